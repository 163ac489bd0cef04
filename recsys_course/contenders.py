"""Who races: the ways of updating, each with settings of its own.

A :class:`Family` says how a contender is made of settings, and in which rounds these are chosen. What fits a frozen
model best is not what fits one that learns on: so each has its own steps and passes, and where one begins with the fit
that was chosen for another (``after``), it still has its own step of updates. :mod:`recsys_course.tuning` chooses.

:func:`composed` adds those that are put together from what others said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from recsys_course.blending import ensemble, fusion
from recsys_course.models import EarlyStopping, PersonalFrequency, Popularity, RunningMeans
from recsys_course.replay import Result
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain, Strategy
from recsys_course.track import Chosen, Track

__all__ = ["BASELINES", "Axes", "Family", "composed", "contenders", "families"]

BASELINES = ("biases only", "running means", "recent popularity", "personal frequency")
FACTORS = 16

# What is tried. Steps of fits are multiples of the model's usual one, steps of updates of the one chosen for fits. A
# network fits in batches of 64, whose gradient is a mean, and updates on single events: so its steps begin lower.
EPOCHS, STEPS, UPDATES, PASSES = (2, 5, 10, 20), (0.2, 0.5, 1.0, 2.0, 4.0), (0.1, 0.3, 1.0, 2.0, 4.0), (1, 5)
QUICK_EPOCHS, QUICK_STEPS, QUICK_UPDATES, QUICK_PASSES = (3, 10), (0.3, 1.0), (0.3, 1.0, 3.0), (1,)
NETWORK_EPOCHS, NETWORK_UPDATES = (2, 5, 10), (0.03, 0.1, 0.3, 1.0)
MOST_EPOCHS = 32  # of a fit that is stopped early

Axes = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Family:
    """One contender before its settings are known.

    Attributes
    ----------
    name : str
        The contender's.
    build : callable
        Makes the strategy of chosen settings.
    rounds : tuple of callables
        Each is given what was chosen so far and says which values of which settings are tried, all with all; a later
        round keeps what the earlier ones chose.
    after : str or None
        The family with whose settings the first round begins.
    """

    name: str
    build: Callable[[Chosen], Strategy]
    rounds: tuple[Callable[[Chosen], Axes], ...]
    after: str | None = None


def families(track: Track, which: str = "race") -> list[Family]:
    """The contenders for a track, in the order in which they are shown.

    Parameters
    ----------
    track : Track
    which : {"race", "all"}
        Those of ``recsys-course race``, or more: stopped early, a warm retrain, and for networks what the optimiser
        remembers and embeddings alone.

    Raises
    ------
    ValueError
        ``which`` is something else.

    Notes
    -----
    Taught in chapter 09b.
    """
    if which not in ("race", "all"):
        raise ValueError(f"which must be 'race' or 'all', not {which!r}")
    out = _learners(track) + _baselines(track)
    small = {
        "frozen", "per event", "per event, rehearsing", _windows(track), f"{_windows(track)}, 5 passes", "every day",
        "full retrain, growing", "full retrain, sliding", "hybrid", *BASELINES,
    }  # fmt: skip
    return out if which == "all" else [family for family in out if family.name in small]


def _windows(track: Track) -> str:
    return f"every {track.window:,} events"


def _learners(track: Track) -> list[Family]:
    network = track.kind == "network"
    updates, passes = (QUICK_UPDATES, QUICK_PASSES) if track.quick else (UPDATES, PASSES)
    fits = _fits(track, track.kind)
    many, single = _steps(updates), _steps(NETWORK_UPDATES if network and not track.quick else updates)

    def step_of_fits(best: Chosen) -> Axes:
        return {"step_size": fits(best)["step_size"]}

    def daily(best: Chosen) -> Axes:
        return {**many(best), "passes": passes}

    def model(chosen: Chosen, **options: Any):
        return track.model(FACTORS, chosen, **options)

    def hybrid(chosen: Chosen, **options: Any) -> Strategy:
        return Hybrid(model(chosen, **options), retrain_every=track.retrain_every)

    def full(chosen: Chosen) -> Strategy:
        return PeriodicRetrain(model(chosen), every=track.retrain_every)

    def spans(best: Chosen) -> Axes:
        return {"window": [track.latest // 2, track.latest, 2 * track.latest]}

    def sliding(chosen: Chosen) -> Strategy:
        window = chosen.get("window", track.latest)
        return PeriodicRetrain(model(chosen), every=-(-track.retrain_every // 2), window=window)

    def stopped(chosen: Chosen) -> Strategy:
        recipe = EarlyStopping(model({**chosen, "epochs": MOST_EPOCHS}))
        return PeriodicRetrain(recipe, every=track.retrain_every)

    def in_windows(passes: int) -> Callable[[Chosen], Strategy]:
        return lambda chosen: Incremental(model(chosen), every=track.window, passes=passes)

    windows, growing = _windows(track), "full retrain, growing"
    # All that learn on begin with the fit that was chosen for full retrains: on the pilot these alone are fitted to as
    # many events as the first model of the race is, and what suits half as many does not suit those.
    out = [
        Family("frozen", lambda c: Frozen(model(c)), (fits,)),
        Family("per event", lambda c: Incremental(model(c)), (single,), growing),
        Family(
            "per event, rehearsing",
            lambda c: Incremental(model(c), rehearse=2, rng=track.rng()),
            (single,),
            "per event",
        ),
        Family(windows, in_windows(1), (many,), growing),
        Family(f"{windows}, 5 passes", in_windows(5), (many,), windows),
    ]
    if track.days >= 5:
        by_day = Family(
            "every day",
            lambda c: Incremental(model(c), every="1D", passes=c.get("passes", 1)),
            (daily,),
            windows,
        )
        out.append(by_day)
    out += [
        Family(growing, full, (fits,)),
        Family("full retrain, sliding", sliding, (fits, spans)),
        Family(
            "warm retrain",
            lambda c: PeriodicRetrain(model(c), every=track.retrain_every, warm=True),
            (many,),
            growing,
        ),
        Family("hybrid", hybrid, (single,), growing),
    ]
    if track.task != "ranking":  # stopping goes by an error of labels
        out.insert(-2, Family("full retrain, stopped early", stopped, (step_of_fits,)))
    if network:
        adam = {"optimizer": "Adam"}
        fresh = {"optimizer": "Adam", "carry_optimizer": False}
        out += [
            Family(
                "hybrid, embeddings only between", lambda c: hybrid(c, update_only="embeddings"), (single,), growing
            ),
            Family("frozen, Adam", lambda c: Frozen(model(c, **adam)), (_fits(track, "Adam"),)),
            Family("per event, Adam", lambda c: Incremental(model(c, **adam)), (single,), "frozen, Adam"),
            Family("per event, fresh optimiser", lambda c: Incremental(model(c, **fresh)), (single,), "frozen, Adam"),
        ]
    return out


def _fits(track: Track, model: str) -> Callable[[Chosen], Axes]:
    """Passes and steps of a fit, and on each axis what is chosen so far."""
    few = NETWORK_EPOCHS if model != "factorization" else EPOCHS
    epochs, steps = (QUICK_EPOCHS, QUICK_STEPS) if track.quick else (few, STEPS)
    plain = {"epochs": epochs, "step_size": [track.usual_step(model) * s for s in steps]}
    return lambda best: {
        name: sorted({*values, best[name]}) if name in best else values for name, values in plain.items()
    }


def _steps(multiples: Sequence[float]) -> Callable[[Chosen], Axes]:
    """Steps of updates, as multiples of that of the fit."""
    return lambda best: {"update_step_size": [best["step_size"] * u for u in multiples]}


def _baselines(track: Track) -> list[Family]:
    def one(name: str, recipe, **axes) -> Family:
        return Family(name, lambda c: Incremental(recipe(**c)), (lambda best: axes,))

    fits, single = _fits(track, "factorization"), _steps(QUICK_UPDATES if track.quick else UPDATES)
    out = [Family("biases only", lambda c: Incremental(track.model(0, c)), (fits, single, fits))]
    if track.task == "rating":
        out.append(one("running means", RunningMeans, forget=(0.0, 0.01, 0.02, 0.05, 0.1)))
    if track.task == "ranking":
        spans = [max(10, track.start // share) for share in (40, 20, 8, 3)]
        out.append(one("recent popularity", Popularity, window=spans))
        if not track.exclude_had:
            out.append(one("personal frequency", PersonalFrequency, forget=(0.002, 0.005, 0.02, 0.05)))
    return out


def contenders(track: Track, settings: Mapping[str, Chosen]) -> dict[str, Strategy]:
    """The strategies of the families that have settings, in order; ``replace(track, seed=1)`` gives those of a seed.

    Taught in chapter 09b.
    """
    return {
        family.name: family.build(settings[family.name]) for family in families(track, "all") if family.name in settings
    }


def composed(track: Track, raced: Mapping[str, Result], events: pd.DataFrame) -> dict[str, Result]:
    """The ensemble and the fusion, put together from the results of others; nothing of a ranking, which has no mean.

    The ensemble is the mean of the one that learns per event and the latest full retrain, weighted by recent loss. The
    fusion is a regression on the one that learns per event and the baselines. Taught in chapter 09b.
    """
    out: dict[str, Result] = {}
    if track.task == "ranking":
        return out
    online, last = (raced.get(name) for name in ("per event", "full retrain, growing"))
    if online and last:
        # How sharply a difference in loss shows, in units of the label's variance; a log loss needs none.
        rate = 1.0 / float(track.past["label"].var()) if track.task == "rating" else 1.0
        out["ensemble"] = ensemble([online, last], events, rate=rate, delay=track.delay, name="ensemble")
    counting = [raced[name] for name in BASELINES if name in raced]
    if online and counting:
        out["fusion"] = fusion([online, *counting], events, delay=track.delay, name="fusion")
    return out
