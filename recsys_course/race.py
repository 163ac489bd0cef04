"""Which way of updating suits a stream: settings chosen on its past, a pilot, a race over the rest, and a verdict.

The stream is cut twice. Its first 40 % is the past, and the later half of the past is where everything is decided that
has to be decided beforehand:

1. **Settings.** Each family of contenders gets the step sizes and the number of passes that do best on the later half
   of the past. A step with which learning diverges loses, like any other bad one.
2. **The pilot.** All contenders run over the same part, and the cheapest of those that are tied with the best is named:
   what one would have gone on with.
3. **The race.** All contenders live through the other 60 %, which nothing has looked at so far.
4. **The verdict.** The cheapest of those that are tied with the best on the race; what the pilot's choice would have
   lost; how sure that is; what each costs.

What is expensive is bounded, so that a million events take minutes: full retrains are ten or twenty however long the
stream is, and of a ranking with a large catalogue only each so manieth event is scored (all are learned). The second is
a matter of counts and not of time, so that the same stream gives the same numbers everywhere; the report says it.

:mod:`recsys_course.race_report` writes what this module finds; ``recsys-course race`` calls both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd

from recsys_course.blending import ensemble, fusion
from recsys_course.data.dataset import Dataset
from recsys_course.events import EventsError, first_row_after
from recsys_course.models import (
    ImplicitFactorization,
    MatrixFactorization,
    Model,
    PersonalFrequency,
    Popularity,
    RunningMeans,
)
from recsys_course.pilot import Choice, choose
from recsys_course.plan import make_plan
from recsys_course.replay import Result, replay
from recsys_course.report import METRIC, compare, quality, quality_by_window
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain, Strategy

__all__ = ["Race", "Track", "contenders", "make_track", "race"]

WARMUP = 0.4
LEAST_ROWS = 500
MOST_SCORES = 4_000_000_000  # scores of items in one replay of a ranking: about ten seconds
WINDOWS = 20

# What is tried. Steps of fits are multiples of the model's usual one, steps of updates of the one chosen for fits.
EPOCHS, STEPS, UPDATES, PASSES = (2, 5, 10, 20), (0.2, 0.5, 1.0, 2.0, 4.0), (0.1, 0.3, 1.0, 2.0, 4.0), (1, 5)
QUICK_EPOCHS, QUICK_STEPS, QUICK_UPDATES, QUICK_PASSES = (3, 10), (0.3, 1.0), (0.3, 1.0, 3.0), (1,)

Chosen = Mapping[str, Any]


@dataclass(frozen=True)
class Track:
    """A stream, and what its past and its length say about how to race on it. Make it with :func:`make_track`.

    Attributes
    ----------
    events : DataFrame
        The stream, with ids as numbers.
    task : {"rating", "binary", "ranking"}
    start : int
        Rows of the past; what comes after it is raced on.
    delay : int, str or None
        How late labels are.
    seed : int
    quick : bool
        Whether to try fewer settings, and retrain half as often.
    window, retrain_every, latest : int
        Events between the updates of the contender that learns in windows; between full retrains; and how many of the
        latest events a sliding retrain fits.
    days : float
        Length of the race in days.
    label_range : (float, float) or None
        Of the past; predicted ratings are kept inside.
    step_size : float
        The usual one, smaller in proportion where ratings are spread widely.
    exclude_had : bool
        Of a ranking, whether what a user had before leaves the contest: not on baskets, and not where more than a
        twentieth of the past are repetitions.
    score_every : int
        Of a ranking, each so manieth event is scored.
    """

    events: pd.DataFrame
    task: str
    start: int
    delay: int | str | None
    seed: int
    quick: bool
    window: int
    retrain_every: int
    latest: int
    days: float
    label_range: tuple[float, float] | None
    step_size: float
    exclude_had: bool
    score_every: int

    @property
    def past(self) -> pd.DataFrame:
        """The part on which everything is decided."""
        return self.events.iloc[: self.start]

    def replay(self, events: pd.DataFrame, strategy: Strategy, warmup: float) -> Result:
        """Replay the past or the whole stream as the track says."""
        more: dict[str, Any] = {}
        if self.task == "ranking":
            more = {"exclude_had": self.exclude_had, "score_every": self.score_every}
        return replay(events, copy.deepcopy(strategy), task=self.task, warmup=warmup, delay=self.delay, **more)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def factorization(self, n_factors: int, chosen: Chosen) -> Model:
        """The model that learns; without factors it is biases alone."""
        steps = {name: chosen[name] for name in ("epochs", "step_size", "update_step_size") if name in chosen}
        if self.task == "ranking":
            return ImplicitFactorization(n_factors, n_negatives=2, rng=self.rng(), **steps)
        if self.task == "binary":
            return MatrixFactorization(n_factors, loss="logistic", rng=self.rng(), **steps)
        return MatrixFactorization(n_factors, regularization=0.1, label_range=self.label_range, rng=self.rng(), **steps)


def make_track(dataset: Dataset, *, delay: int | str | None = None, seed: int = 0, quick: bool = False) -> Track:
    """Decide from a stream's length and its past how it is raced on; labels of the scored part are not looked at.

    Raises
    ------
    EventsError
        Too few events or users, too few instants, or labels that are all the same.

    Notes
    -----
    Taught in chapter 09b.
    """
    columns = ["user", "item", "label", "timestamp"] + (["event"] if "event" in dataset.events else [])
    events = dataset.events[columns].reset_index(drop=True)
    task, n = dataset.card.task, len(events)
    # Numbers in order of arrival: models number ids in that way in any case, and numbers are smaller to send around.
    events = events.assign(**{name: pd.factorize(events[name])[0].astype(np.int64) for name in ("user", "item")})
    timestamps = events["timestamp"].to_numpy()
    start = first_row_after(timestamps, round(WARMUP * n))
    halfway = first_row_after(timestamps, round(start / 2))
    if n < LEAST_ROWS or not 0 < halfway < start < n:
        raise EventsError(f"{n} rows at {events['timestamp'].nunique()} moments are too few to race on: give more")
    try:
        make_plan(timestamps[:start], halfway, delay=delay)
    except ValueError as problem:
        raise EventsError(f"labels come too late for the first fifth of the stream to be learned: {problem}") from None
    past = events.iloc[:start]
    for part in (past.iloc[halfway:], events.iloc[start:]):
        if part["user"].nunique() < 2:
            raise EventsError("an interval resamples users, and a part of the stream has one user only")
    label_range, spread = None, 1.0
    if task != "ranking":
        label_range, spread = dataset.card.label_range, float(past["label"].std())
        if dataset.card.access == "own" or label_range is None:
            label_range = float(past["label"].min()), float(past["label"].max())
        if not spread > 0:
            raise EventsError("all labels of the first two fifths are the same: there is nothing to predict")
    baskets = "event" in events
    repeated = past.duplicated(["user", "item"]).mean()
    exclude_had = not baskets and bool(repeated <= 0.05)
    catalogue = events["item"].nunique()
    scored = n - start
    retrains = 5 if quick else 10
    return Track(
        events=events,
        task=task,
        start=start,
        delay=delay,
        seed=seed,
        quick=quick,
        window=1000 if n >= 50_000 else max(10, n // 100),
        retrain_every=-(-scored // (retrains + 1)),
        latest=start // 2,
        days=float(timestamps[-1] - timestamps[start]) / 86_400,
        label_range=label_range,
        step_size=0.05 / (max(1.0, spread) if task == "rating" else 1.0),
        exclude_had=exclude_had,
        score_every=max(1, -(-scored * catalogue // MOST_SCORES)) if task == "ranking" else 1,
    )


# ------------------------------------------------------------------------------------------------ settings


def _families(track: Track) -> dict[str, tuple[Callable[[Chosen], Strategy], list[Callable[[Chosen], list[dict]]]]]:
    """What is tuned: how a family's strategy is made of chosen settings, and in which rounds they are chosen."""
    epochs, steps = (QUICK_EPOCHS, QUICK_STEPS) if track.quick else (EPOCHS, STEPS)
    updates, passes = (QUICK_UPDATES, QUICK_PASSES) if track.quick else (UPDATES, PASSES)

    def fits(best: Chosen) -> list[dict]:
        return [{"epochs": e, "step_size": track.step_size * s} for e in epochs for s in steps]

    def updating(best: Chosen) -> list[dict]:
        return [{**best, "update_step_size": best["step_size"] * u} for u in updates]

    def in_windows(best: Chosen) -> list[dict]:
        return [{**one, "passes": p} for one in updating(best) for p in passes]

    def one_by_one(name: str, values: tuple) -> Callable[[Chosen], list[dict]]:
        return lambda best: [{name: value} for value in values]

    def every_window(chosen: Chosen) -> Strategy:
        model = track.factorization(16, chosen)
        return Incremental(model, every=track.window, passes=chosen.get("passes", 1))

    families: dict[str, Any] = {
        "full": (lambda c: PeriodicRetrain(track.factorization(16, c), every=track.retrain_every), [fits]),
        "per event": (lambda c: Incremental(track.factorization(16, c)), [fits, updating]),
        "windows": (every_window, [fits, in_windows]),
        "biases only": (lambda c: Incremental(track.factorization(0, c)), [fits, updating]),
    }
    if track.task == "rating":
        forget = one_by_one("forget", (0.0, 0.01, 0.02, 0.05, 0.1))
        families["running means"] = (lambda c: Incremental(RunningMeans(**c)), [forget])
    if track.task == "ranking":
        windows = tuple(max(10, track.start // share) for share in (40, 20, 8, 3))
        families["recent popularity"] = (lambda c: Incremental(Popularity(**c)), [one_by_one("window", windows)])
    if track.task == "ranking" and not track.exclude_had:
        fades = one_by_one("forget", (0.002, 0.005, 0.02, 0.05))
        families["personal frequency"] = (lambda c: Incremental(PersonalFrequency(**c)), [fades])
    return families


def _choose_settings(track: Track, advance: Callable[[str, float], None]) -> tuple[dict[str, dict], pd.DataFrame]:
    """The settings of each family, and a table of all that was tried."""
    families = _families(track)
    sign = -1.0 if track.task == "ranking" else 1.0
    chosen: dict[str, dict] = {name: {} for name in families}
    tried: list[dict] = []
    n_rounds = max(len(rounds) for _, rounds in families.values())
    for number in range(n_rounds):
        trials = [
            (name, settings)
            for name, (_, rounds) in families.items()
            if number < len(rounds)
            for settings in rounds[number](chosen[name])
        ]
        strategies = [families[name][0](settings) for name, settings in trials]
        values = _in_parallel(
            partial(_grade, track), strategies, lambda s, r=number: advance("settings", (r + s) / n_rounds)
        )
        for name in dict.fromkeys(name for name, _ in trials):
            own = [k for k, (other, _) in enumerate(trials) if other == name]
            best = min(own, key=lambda k: sign * values[k] if np.isfinite(values[k]) else np.inf)
            if not np.isfinite(values[best]):
                raise EventsError(f"learning diverges with each step that was tried for {name!r}: look at the labels")
            chosen[name] = trials[best][1]
            tried += [
                {
                    "family": name,
                    "round": number + 1,
                    **trials[k][1],
                    METRIC[track.task]: values[k],
                    "chosen": k == best,
                }
                for k in own
            ]
    table = pd.DataFrame(tried)
    first = ["family", "round", "chosen", METRIC[track.task]]
    return chosen, table[first + [name for name in table.columns if name not in first]]


def _grade(track: Track, strategy: Strategy) -> float:
    """What a strategy reaches on the later half of the past; no number if learning diverged."""
    result = _attempt(track, track.past, 0.5, strategy)
    return np.nan if result is None else quality(result)


def _attempt(track: Track, events: pd.DataFrame, warmup: float, strategy: Strategy) -> Result | None:
    try:
        result = track.replay(events, strategy, warmup)
    except FloatingPointError:
        return None
    # Of a ranking a rank may be infinite, a miss; no other score may be.
    sound = track.task == "ranking" or (np.abs(result.scores) < 1e100).all()
    return result if sound else None


def _in_parallel(function: Callable[[Strategy], Any], strategies: list[Strategy], advance) -> list[Any]:
    """What the function says of each strategy; how many run at once is decided by ``joblib.parallel_config``."""
    out: list[Any] = [None] * len(strategies)
    advance(0.0)
    calls = (joblib.delayed(_numbered)(function, k, strategy) for k, strategy in enumerate(strategies))
    done: Iterator[tuple[int, Any]] = joblib.Parallel(return_as="generator_unordered")(calls)
    for count, (k, value) in enumerate(done, start=1):
        out[k] = value
        advance(count / len(strategies))
    return out


def _numbered(function, k: int, strategy: Strategy) -> tuple[int, Any]:
    return k, function(strategy)


# ------------------------------------------------------------------------------------------------ the race


def contenders(track: Track, settings: Mapping[str, Chosen]) -> dict[str, Strategy]:
    """All that race, in the order in which they are shown; an ensemble and a fusion are composed afterwards.

    Parameters
    ----------
    track : Track
    settings : dict from a family to its settings

    Notes
    -----
    The frozen model and the sliding retrain are fitted like the full retrain; rehearsing and the hybrid learn like the
    one that learns per event; once a day like the windows. Taught in chapter 09b.
    """
    full, single = track.factorization(16, settings["full"]), track.factorization(16, settings["per event"])
    windows, passes = track.factorization(16, settings["windows"]), settings["windows"].get("passes", 1)
    racing: dict[str, Strategy] = {
        "frozen": Frozen(full),
        "per event": Incremental(single),
        "per event, rehearsing": Incremental(single, rehearse=2, rng=track.rng()),
        f"every {track.window:,} events": Incremental(windows, every=track.window, passes=passes),
    }
    if track.days >= 5:
        racing["every day"] = Incremental(windows, every="1D", passes=passes)
    racing["full retrain, growing"] = PeriodicRetrain(full, every=track.retrain_every)
    sliding = -(-track.retrain_every // 2)
    racing["full retrain, sliding"] = PeriodicRetrain(full, every=sliding, window=track.latest)
    racing["hybrid"] = Hybrid(single, retrain_every=track.retrain_every)
    families = _families(track)
    for name in BASELINES:
        if name in families:
            racing[name] = families[name][0](settings[name])
    return racing


BASELINES = ("biases only", "running means", "recent popularity", "personal frequency")


def _run(track: Track, events: pd.DataFrame, warmup: float, strategies: dict[str, Strategy], advance):
    """The results of those that did not diverge, and the names of those that did."""
    out = _in_parallel(partial(_attempt, track, events, warmup), list(strategies.values()), advance)
    raced = {name: result for name, result in zip(strategies, out, strict=True) if result is not None}
    diverged = [name for name in strategies if name not in raced]
    if "frozen" not in raced:
        raise EventsError("the model that was fitted to the past diverged: look at the labels")
    shared = raced["frozen"]
    raced = {
        # What stands in the stream is kept once, and not once for each contender.
        name: replace(
            result, name=name, rows=shared.rows, labels=shared.labels, timestamps=shared.timestamps,
            users=shared.users, events=shared.events,
        )
        for name, result in raced.items()
    }  # fmt: skip
    if track.task != "ranking":
        scale = float(track.past["label"].var())
        online, last = (raced.get(name) for name in ("per event", "full retrain, growing"))
        if online and last:
            rate = 1.0 / scale if track.task == "rating" else 1.0
            raced["ensemble"] = ensemble([online, last], events, rate=rate, delay=track.delay, name="ensemble")
        counting = [raced[name] for name in BASELINES if name in raced]
        if online and counting:
            raced["fusion"] = fusion([online, *counting], events, delay=track.delay, name="fusion")
    return raced, diverged


@dataclass(frozen=True)
class Race:
    """What a race found.

    Attributes
    ----------
    track : Track
    settings : DataFrame
        All settings that were tried, and which were chosen.
    pilot, choice : Choice
        What the pilot chose on the past, and what is best on the race.
    table : DataFrame indexed by contender, the best first
        The metric; ``share of gain``, from the frozen model (0) to the best (1), no number where nothing is gained;
        ``worse by`` than the best with its intervals over users and over blocks of time, in squared stars, nats or
        recall; ``tied``, with the best; ``examples per event``; ``fits``; ``CPU s``; ``model kB``; ``days old``, the
        median age of the newest label learned; and the metric on the pilot.
    windows : DataFrame
        The metric of each contender in consecutive stretches of the race.
    gain : dict from {"user", "block"} to Interval
        How much less the recommended one loses than the frozen one; positive is better.
    lost : dict from {"user", "block"} to Interval
        How much more the pilot's choice loses on the race than the best.
    diverged : list of str
        Contenders whose steps were too large for the race, though not for the past.
    results : dict from a name to a Result
    """

    track: Track
    settings: pd.DataFrame
    pilot: Choice
    choice: Choice
    table: pd.DataFrame
    windows: pd.DataFrame
    gain: dict
    lost: dict
    diverged: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)


def race(
    dataset: Dataset,
    *,
    delay: int | str | None = None,
    seed: int = 0,
    quick: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Race:
    """Choose settings, run the pilot and the race, and say which way of updating suits the stream.

    Parameters
    ----------
    dataset : Dataset
        Its task chooses the models.
    delay : int, time or None
        How late labels arrive: a number of further events, or a length of time such as ``"1D"``.
    seed : int
        Of all random numbers.
    quick : bool
        Fewer settings and half as many retrains.
    progress : callable, optional
        Called with "settings", "pilot" or "race" and the share of it that is done.

    Returns
    -------
    Race

    Raises
    ------
    EventsError
        The stream is too small or too plain to race on, or every step diverges.

    Notes
    -----
    ``with joblib.parallel_config(n_jobs=2):`` uses two cores; the numbers are the same. Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course.data.dataset import Card
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"user": rng.integers(30, size=1500), "item": rng.integers(9, size=1500)})
    >>> table["label"] = rng.normal(size=1500) + np.linspace(0, 6, 1500)
    >>> drifting = Dataset(table.assign(timestamp=range(1500)), None, None, Card("mine", "Mine", "rating", (-4, 10)))
    >>> found = race(drifting, quick=True)
    >>> found.choice.name == "frozen", float(found.table.at["frozen", "share of gain"])
    (False, 0.0)
    """
    advance = progress or (lambda stage, share: None)
    track = make_track(dataset, delay=delay, seed=seed, quick=quick)
    _compile(track)
    settings, tried = _choose_settings(track, advance)
    racing = contenders(track, settings)
    piloted, fell = _run(track, track.past, 0.5, racing, partial(advance, "pilot"))
    pilot = choose(piloted, rng=track.rng())
    raced, diverged = _run(track, track.events, WARMUP, racing, partial(advance, "race"))
    choice = choose(raced, rng=track.rng())
    by = ("user", "block")
    sign = 1 if track.task == "ranking" else -1
    gain = {one: _better(raced[choice.name], raced["frozen"], sign, one, track) for one in by}
    named = raced.get(pilot.name)
    lost = {} if named is None else {one: _better(raced[choice.best], named, sign, one, track) for one in by}
    return Race(
        track=track,
        settings=tried,
        pilot=pilot,
        choice=choice,
        table=_table(track, raced, choice, pilot, sign),
        windows=_windows(raced),
        gain=gain,
        lost=lost,
        diverged=list(dict.fromkeys(fell + diverged)),
        results=raced,
    )


def _better(a: Result, b: Result, sign: int, by: str, track: Track):
    """How much better the first is than the second."""
    interval = compare(a, b, by=by, rng=track.rng())
    low, high = sorted((sign * interval.low, sign * interval.high))
    return type(interval)(sign * interval.mean, low, high)


def _compile(track: Track) -> None:
    """Compile on a few events what the race will call, so that no contender is charged for it."""
    few = track.events.head(300)
    if few["timestamp"].iloc[149] == few["timestamp"].iloc[-1]:
        return  # no future to predict in there; the first contender pays, and the numbers are the same
    small = replace(track, retrain_every=20, window=20, latest=100, delay=None)
    for strategy in contenders(
        small, {name: _first(rounds) for name, (_, rounds) in _families(small).items()}
    ).values():
        _attempt(small, few, 0.5, strategy)


def _first(rounds) -> dict:
    return rounds[0]({})[0]


def _table(track: Track, raced: dict[str, Result], choice: Choice, pilot: Choice, sign: int) -> pd.DataFrame:
    metric = METRIC[track.task]
    values = choice.table[metric]
    whole = values["frozen"] - values[choice.best]
    rows = {}
    for name in choice.table.index:
        result, row = raced[name], {metric: values[name]}
        row["share of gain"] = (values["frozen"] - values[name]) / whole + 0.0 if whole else np.nan
        row["worse by"] = 0.0
        for by in ("user", "block"):
            gap = None if name == choice.best else _better(raced[choice.best], result, sign, by, track)
            row[f"low, {by}s"], row[f"high, {by}s"] = (0.0, 0.0) if gap is None else gap[1:]
            row["worse by"] = 0.0 if gap is None else gap.mean
        row["tied"] = bool(choice.table.at[name, "tied"])
        row["examples per event"] = result.examples_per_event
        row["fits"] = result.cost.fits
        row["CPU s"] = result.cost.cpu_seconds
        row["model kB"] = result.cost.model_bytes / 1000
        row["days old"] = float(np.median(result.staleness)) / 86_400
        row[f"{metric}, pilot"] = pilot.table[metric].get(name, np.nan)
        rows[name] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "contender"
    return table


def _windows(raced: dict[str, Result]) -> pd.DataFrame:
    tables = []
    for name, result in raced.items():
        n_scored = len(np.unique(result.events))
        tables.append(quality_by_window(result, windows=min(WINDOWS, n_scored)).assign(contender=name))
    table = pd.concat(tables, ignore_index=True)
    return table[["contender", "window", "start", "events", "quality"]]
