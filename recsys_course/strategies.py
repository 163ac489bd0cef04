"""When a model is fitted, updated or replaced, while it serves.

A strategy owns a model and lives through a stream: it is given the past to begin with, predicts each block of
events, and is then given the labels that have arrived. What it does with them is what sets strategies apart:

- :class:`Frozen` does nothing; the model of the first day serves for ever.
- :class:`Incremental` updates the model on the new events alone.
- :class:`PeriodicRetrain` keeps the history and fits a fresh model on all of it from time to time.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd

from recsys_course.candidates import Candidates
from recsys_course.models.base import Model
from recsys_course.plan import Plan, every

__all__ = ["Frozen", "Incremental", "PeriodicRetrain", "Strategy"]


class Strategy:
    """What the strategies share. The model that is passed in is a recipe: it is copied, never changed.

    Attributes
    ----------
    name : str
        How reports call it.
    update_every, retrain_every : int, Timedelta or None
        How often :meth:`update` and :meth:`retrain` are called; see :func:`recsys_course.plan.every`.
    model : Model
        The model that serves at present.
    """

    update_every: int | pd.Timedelta | None = None
    retrain_every: int | pd.Timedelta | None = None
    name: str = "strategy"

    def __init__(self, model: Model) -> None:
        self.recipe = model
        self.model: Model = model
        self._examples_before = 0

    def start(self, history: pd.DataFrame) -> None:
        """Fit the first model on what is known when the stream begins."""
        self.model = copy.deepcopy(self.recipe).fit(history)
        self._examples_before = 0

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """One score per row, from the model that serves at present."""
        return self.model.predict(events)

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """One score per user and item, from the model that serves at present."""
        return self.model.score_items(users, items)  # type: ignore[attr-defined]

    def update(self, arrived: pd.DataFrame) -> None:
        """Take in the labels that have arrived since the last call."""

    def retrain(self, history: pd.DataFrame) -> None:
        """Fit anew on all labels that have arrived so far."""

    def run(self, events, plan: Plan, first: int, last: int, contest: Candidates | None) -> np.ndarray | None:
        """The blocks ``first`` .. ``last - 1`` in one compiled pass; None where that would not be the same.

        It is the same for a single block, with nothing to learn in between, and where learning means the model's own
        update and nothing else. A strategy that defines ``update`` or ``predict`` anew is asked block by block.
        """
        kind = type(self)
        predicts_plainly = kind.predict is Strategy.predict and kind.score_items is Strategy.score_items
        learns_plainly = last == first + 1 or kind.update is Incremental.update
        if not (predicts_plainly and learns_plainly):
            return None
        if contest is None:
            return self.model.run(events, plan, first, last)
        return self.model.run_ranks(events, plan, first, last, contest)  # type: ignore[attr-defined]

    @property
    def examples_learned(self) -> int:
        """Events learned by all models so far, each pass counted, the first fit included."""
        return self._examples_before + self.model.examples_learned

    @property
    def nbytes(self) -> int:
        """Size of the state that serves, in bytes."""
        return self.model.nbytes


class Frozen(Strategy):
    """Fit once and never learn again. Taught in chapter 00."""

    name = "frozen"


class Incremental(Strategy):
    """Update the model on the new events only, in order, each of them once.

    Parameters
    ----------
    model : Model
    every : int or time
        1 updates after each event (events with equal timestamps go together), 1000 after each thousand,
        ``"1D"`` at midnight UTC.

    Notes
    -----
    Taught in chapter 00.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> Incremental(RunningMeans(), every=1000).name
    'incremental, every 1,000 events'
    """

    def __init__(self, model: Model, *, every: int | str | pd.Timedelta = 1) -> None:
        super().__init__(model)
        self.update_every = _interval(every)
        self.name = f"incremental, {_say(self.update_every)}"

    def update(self, arrived: pd.DataFrame) -> None:
        self.model.update(arrived)


class PeriodicRetrain(Strategy):
    """Fit a fresh model on the whole history from time to time, and put it in the place of the old one.

    Parameters
    ----------
    model : Model
    every : int or time
    window : int, optional
        Fit on the latest so many events only; on all of them unless told.

    Notes
    -----
    Taught in chapter 00.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> PeriodicRetrain(RunningMeans(), every="7D").name
    'full retrain, every 7 days'
    """

    def __init__(self, model: Model, *, every: int | str | pd.Timedelta, window: int | None = None) -> None:
        super().__init__(model)
        if window is not None and window < 1:
            raise ValueError(f"window must be at least 1 event, not {window}")
        self.retrain_every = _interval(every)
        self.window = window
        self.name = f"full retrain, {_say(self.retrain_every)}" + (f", latest {window:,}" if window else "")

    def retrain(self, history: pd.DataFrame) -> None:
        self._examples_before += self.model.examples_learned
        if self.window is not None:
            history = history.iloc[-self.window :]
        self.model = copy.deepcopy(self.recipe).fit(history)


def _interval(value):
    interval = every(value)
    if interval is None:
        raise ValueError("this strategy needs an interval, such as 1000 or '1D'; Frozen is the one that never learns")
    return interval


def _say(interval: int | pd.Timedelta | None) -> str:
    if isinstance(interval, int):
        return "per event" if interval == 1 else f"every {interval:,} events"
    assert interval is not None
    days = interval / pd.Timedelta(days=1)
    if days == 1:
        return "every day"
    return f"every {days:g} days" if days > 1 else f"every {interval / pd.Timedelta(hours=1):g} hours"
