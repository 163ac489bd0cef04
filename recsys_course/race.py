"""Which way of updating suits a stream: settings chosen on its past, a pilot, a race over the rest, and a verdict.

1. **Settings.** Each contender gets those that do best on the later half of the past
   (:mod:`recsys_course.tuning`).
2. **The pilot.** All contenders run over the same part, and the cheapest of those that are tied with the best is named:
   what one would have gone on with.
3. **The race.** All contenders live through the part after the past, which nothing has looked at so far.
4. **The verdict.** The cheapest of those that are tied with the best on the race; what the pilot's choice would have
   lost; how sure that is; what each costs.

:mod:`recsys_course.track` says how a stream is raced on, :mod:`recsys_course.contenders` who races,
:mod:`recsys_course.race_report` writes what this module finds; ``recsys-course race`` calls them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_course.contenders import composed, contenders, families
from recsys_course.data.dataset import Dataset
from recsys_course.events import EventsError
from recsys_course.pilot import Choice, choose
from recsys_course.replay import Result
from recsys_course.report import METRIC, better, quality_by_window
from recsys_course.strategies import Strategy
from recsys_course.track import Track, make_track
from recsys_course.tuning import choose_settings, warm_up

__all__ = ["Race", "compete", "race", "standings"]

WINDOWS = 20


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


def compete(
    track: Track,
    strategies: Mapping[str, Strategy],
    part: str = "race",
    *,
    cache: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Result]:
    """Replay all over the race or the past, and compose the ensemble and the fusion; those that diverged are left out.

    Parameters
    ----------
    track : Track
    strategies : dict from a name to a Strategy
        Of :func:`recsys_course.contenders.contenders`.
    part : {"race", "past"}
    cache, progress
        As in :meth:`recsys_course.track.Track.run`.

    Notes
    -----
    Taught in chapter 09b.
    """
    raced = track.run(strategies, part, cache=cache, progress=progress)
    return raced | composed(track, raced, track.events if part == "race" else track.past)


def race(
    dataset: Dataset,
    *,
    delay: int | str | None = None,
    seed: int = 0,
    quick: bool = False,
    cache: str | Path | None = None,
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
    cache : path, optional
        A folder in which finished replays are kept, so that a race that was killed goes on where it was.
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
    those = families(track)
    warm_up(track, those)
    settings, tried = choose_settings(track, those, cache=cache, progress=partial(advance, "settings"))
    racing = contenders(track, settings)
    piloted = compete(track, racing, "past", cache=cache, progress=partial(advance, "pilot"))
    raced = compete(track, racing, "race", cache=cache, progress=partial(advance, "race"))
    for results in (piloted, raced):
        if "frozen" not in results:
            raise EventsError("the model that was fitted to the past diverged: look at the labels")
    pilot = choose(piloted, rng=track.rng())
    choice = choose(raced, rng=track.rng())
    by = ("user", "block")
    gain = {one: better(raced[choice.name], raced["frozen"], by=one, rng=track.rng()) for one in by}
    named = raced.get(pilot.name)
    lost = {} if named is None else {one: better(raced[choice.best], named, by=one, rng=track.rng()) for one in by}
    return Race(
        track=track,
        settings=tried,
        pilot=pilot,
        choice=choice,
        table=_table(track, raced, choice, pilot),
        windows=_windows(raced),
        gain=gain,
        lost=lost,
        diverged=[name for name in racing if name not in piloted or name not in raced],
        results=raced,
    )


def standings(track: Track, raced: Mapping[str, Result], choice: Choice) -> pd.DataFrame:
    """Quality and cost of each contender, the best first; the columns are those of :class:`Race`, but for the pilot's.

    Taught in chapter 09b.
    """
    metric = METRIC[track.task]
    values = choice.table[metric]
    whole = values["frozen"] - values[choice.best]
    rows = {}
    for name in choice.table.index:
        result, row = raced[name], {metric: values[name]}
        row["share of gain"] = (values["frozen"] - values[name]) / whole + 0.0 if whole else np.nan
        row["worse by"] = 0.0
        for by in ("user", "block"):
            gap = None if name == choice.best else better(raced[choice.best], result, by=by, rng=track.rng())
            row[f"low, {by}s"], row[f"high, {by}s"] = (0.0, 0.0) if gap is None else gap[1:]
            row["worse by"] = 0.0 if gap is None else gap.mean
        row["tied"] = bool(choice.table.at[name, "tied"])
        row["examples per event"] = result.examples_per_event
        row["fits"] = result.cost.fits
        row["CPU s"] = result.cost.cpu_seconds
        row["model kB"] = result.cost.model_bytes / 1000
        row["days old"] = float(np.median(result.staleness)) / 86_400
        rows[name] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "contender"
    return table


def _table(track: Track, raced: Mapping[str, Result], choice: Choice, pilot: Choice) -> pd.DataFrame:
    metric = METRIC[track.task]
    table = standings(track, raced, choice)
    on_the_pilot = [pilot.table[metric].get(name, np.nan) for name in table.index]
    return table.assign(**{f"{metric}, pilot": on_the_pilot})


def _windows(raced: Mapping[str, Result]) -> pd.DataFrame:
    tables = []
    for name, result in raced.items():
        n_scored = len(np.unique(result.events))
        tables.append(quality_by_window(result, windows=min(WINDOWS, n_scored)).assign(contender=name))
    table = pd.concat(tables, ignore_index=True)
    return table[["contender", "window", "start", "events", "quality"]]
