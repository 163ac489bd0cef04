"""How a stream is raced on: where its past ends, how often a full retrain comes, and which model learns.

A stream is cut twice. Its first 40 % is the past, on which everything is decided that has to be decided beforehand, on
the later half of it; the other 60 % is the race. A :class:`Track` holds the stream together with these decisions, which
follow from its length and its past alone, so that all contenders run under the same rules.

What is expensive is bounded, so that a million events take minutes: full retrains are ten or twenty however long the
stream is, and of a ranking with a large catalogue only each so manieth event is scored (all are learned). The second is
a matter of counts and not of time, so that the same stream gives the same numbers everywhere; the report says it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.data.dataset import Dataset
from recsys_course.events import EventsError, first_row_after
from recsys_course.grid import Entry, run_grid
from recsys_course.models import SGD, Adam, ImplicitFactorization, MatrixFactorization, Model, NeuralNetwork
from recsys_course.plan import make_plan
from recsys_course.replay import Result, replay
from recsys_course.strategies import Strategy

__all__ = ["MODELS", "WARMUP", "Chosen", "Track", "make_track"]

MODELS = ("factorization", "network")
WARMUP = 0.4
PILOT_WARMUP = 0.5  # of the past
LEAST_ROWS = 500
MOST_SCORES = 4_000_000_000  # scores of items in one replay of a ranking: about ten seconds
USUAL_STEP = {"factorization": 0.05, "network": 0.5, "Adam": 0.003}

Chosen = Mapping[str, Any]
"""Settings of a contender: any of epochs, step_size, update_step_size, passes, forget, window."""


@dataclass(frozen=True)
class Track:
    """A stream, and what its past and its length say about how to race on it. Make it with :func:`make_track`.

    Attributes
    ----------
    events : DataFrame
        The stream, with ids as numbers.
    task : {"rating", "binary", "ranking"}
    kind : {"factorization", "network"}
        The model that learns.
    start : int
        Rows of the past; what comes after it is raced on.
    delay : int, str or None
        How late labels are.
    seed : int
        Of all random numbers; ``dataclasses.replace(track, seed=1)`` is the same track with others.
    quick : bool
        Whether to try fewer settings, and retrain half as often.
    window, retrain_every, latest : int
        Events between the updates of the contender that learns in windows; between full retrains; and around how many
        of the latest events a sliding retrain may fit.
    days : float
        Length of the race in days.
    label_range : (float, float) or None
        Of the past; predicted ratings are kept inside.
    step_size : float
        The usual one of a fit, smaller in proportion where ratings are spread widely.
    exclude_had : bool
        Of a ranking, whether what a user had before leaves the contest: not on baskets, and not where more than a
        twentieth of the past are repetitions.
    score_every : int
        Of a ranking, each so manieth event is scored.
    """

    events: pd.DataFrame
    task: str
    kind: str
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

    @property
    def options(self) -> dict[str, Any]:
        """What every replay on this track is told."""
        more = {"exclude_had": self.exclude_had, "score_every": self.score_every} if self.task == "ranking" else {}
        return {"delay": self.delay, **more}

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def replay(self, strategy: Strategy, part: str = "race") -> Result:
        """One replay: of the ``"race"``, after the past, or of the later half of the ``"past"``."""
        events, warmup = self._part(part)
        return replay(events, copy.deepcopy(strategy), task=self.task, warmup=warmup, **self.options)

    def run(
        self,
        strategies: Mapping[str, Strategy],
        part: str = "race",
        *,
        cache: str | Path | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> dict[str, Result]:
        """The same for many, by :func:`recsys_course.grid.run_grid`; those that diverged are left out.

        What stands in the stream, such as the labels, is kept once and not once for each strategy.
        """
        events, warmup = self._part(part)
        entries = [
            Entry(part, strategy, self.task, options={"warmup": warmup, **self.options})
            for strategy in strategies.values()
        ]
        say = None if progress is None else lambda done, of: progress(done / max(1, of))
        results = run_grid(entries, {part: events}, cache=cache, progress=say, diverged="leave out")
        kept: dict[str, Result] = {}
        for name, result in zip(strategies, results, strict=True):
            # Of a ranking a rank may be infinite, a miss; no other score may be.
            if result is None or not (self.task == "ranking" or (np.abs(result.scores) < 1e100).all()):
                continue
            first = next(iter(kept.values()), result)
            kept[name] = replace(
                result, name=name, rows=first.rows, labels=first.labels, timestamps=first.timestamps,
                users=first.users, events=first.events,
            )  # fmt: skip
        return kept

    def _part(self, part: str) -> tuple[pd.DataFrame, float]:
        if part not in ("race", "past"):
            raise ValueError(f"part must be 'race' or 'past', not {part!r}")
        return (self.events, WARMUP) if part == "race" else (self.past, PILOT_WARMUP)

    def model(self, n_factors: int, chosen: Chosen, **options: Any) -> Model:
        """The model that learns, with chosen settings; without factors it is biases alone, whatever the kind.

        Parameters
        ----------
        n_factors : int
        chosen : dict
            Of ``epochs``, ``step_size`` and ``update_step_size``, those that were chosen.
        **options
            Of a network: ``optimizer="Adam"``, ``update_only`` and ``carry_optimizer``.
        """
        names = ("epochs", "step_size", "update_step_size")
        chosen = {name: chosen[name] for name in names if name in chosen}
        if self.task == "ranking":
            return ImplicitFactorization(n_factors, n_negatives=2, rng=self.rng(), **chosen)
        if self.kind == "network" and n_factors:
            optimizer = {"SGD": SGD, "Adam": Adam}[options.pop("optimizer", "SGD")]
            return NeuralNetwork(
                (32,),
                n_factors=n_factors,
                loss="cross-entropy" if self.task == "binary" else "squared",
                optimizer=optimizer(chosen.pop("step_size")),
                batch_size=64,
                label_range=self.label_range if self.task == "rating" else None,
                rng=self.rng(),
                **chosen,
                **options,
            )
        if self.task == "binary":
            return MatrixFactorization(n_factors, loss="logistic", rng=self.rng(), **chosen)
        return MatrixFactorization(
            n_factors, regularization=0.1, label_range=self.label_range, rng=self.rng(), **chosen
        )

    def usual_step(self, model: str) -> float:
        """The step around which the steps of a fit are tried: of "factorization", "network" (by SGD) or "Adam"."""
        if model == "Adam":  # whose steps do not grow with the gradient, nor with the spread of the labels
            return USUAL_STEP[model]
        return self.step_size * USUAL_STEP[model] / USUAL_STEP["factorization"]


def make_track(
    dataset: Dataset,
    *,
    delay: int | str | None = None,
    seed: int = 0,
    quick: bool = False,
    model: str = "factorization",
) -> Track:
    """Decide from a stream's length and its past how it is raced on; labels of the scored part are not looked at.

    Parameters
    ----------
    dataset : Dataset
        Its task chooses the loss.
    delay : int, time or None
        How late labels arrive: a number of further events, or a length of time such as ``"1D"``.
    seed : int
    quick : bool
        Fewer settings and half as many retrains.
    model : {"factorization", "network"}
        Matrix factorisation with 16 factors, or a neural network on embeddings of as many numbers with one hidden
        layer, which predicts ratings and yes or no, but does not rank.

    Raises
    ------
    EventsError
        Too few events or users, too few instants, or labels that are all the same.
    ValueError
        An unknown model, or a network for a ranking.

    Notes
    -----
    Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course import data
    >>> track = make_track(data.bookstore(2_000, rng=np.random.default_rng(0)))
    >>> track.task, len(track.past), track.retrain_every
    ('binary', 800, 110)
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, not {model!r}")
    columns = ["user", "item", "label", "timestamp"] + (["event"] if "event" in dataset.events else [])
    events = dataset.events[columns].reset_index(drop=True)
    task, n = dataset.card.task, len(events)
    if task == "ranking" and model == "network":
        raise ValueError("the course's network predicts labels and does not rank: take model='factorization'")
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
        kind=model,
        start=start,
        delay=delay,
        seed=seed,
        quick=quick,
        window=1000 if n >= 50_000 else max(10, n // 100),
        retrain_every=-(-scored // (retrains + 1)),
        latest=start // 2,
        days=float(timestamps[-1] - timestamps[start]) / 86_400,
        label_range=label_range,
        step_size=USUAL_STEP["factorization"] / (max(1.0, spread) if task == "rating" else 1.0),
        exclude_had=exclude_had,
        score_every=max(1, -(-scored * catalogue // MOST_SCORES)) if task == "ranking" else 1,
    )
