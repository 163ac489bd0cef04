"""When a model is fitted, updated or replaced, while it serves.

A strategy owns a model and lives through a stream: it is given the past to begin with, predicts each block of
events, and is then given the labels that have arrived. What it does with them is what sets strategies apart:

- :class:`Frozen` does nothing; the model of the first day serves for ever.
- :class:`Incremental` updates the model on the new events alone, once or several times, with or without old ones.
- :class:`PeriodicRetrain` keeps the history and fits a fresh model on all of it, or on a window, from time to time.
- :class:`RetrainOnAlarm` does so when a detector of change rings.
- :class:`Hybrid` does both: a fresh model from time to time, and updates in between.

Two more ways, the ensemble and the fusion, put together what others have predicted: :mod:`recsys_course.blending`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.candidates import Candidates
from recsys_course.events import without_label
from recsys_course.lessons import LessonMaker
from recsys_course.models.base import Model
from recsys_course.plan import Plan, every

__all__ = ["Frozen", "Hybrid", "Incremental", "PeriodicRetrain", "RetrainOnAlarm", "Strategy"]


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
    unplanned_fits : int
        How often a model was fitted anew otherwise than by :meth:`retrain`.
    """

    unplanned_fits: int = 0
    update_every: int | pd.Timedelta | None = None
    retrain_every: int | pd.Timedelta | None = None
    name: str = "strategy"

    def __init__(self, model: Model) -> None:
        self.recipe = model
        self.model: Model = model
        self._examples_before = 0
        self._block_by_block = False
        self._lessons = LessonMaker()

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

    def retrain(self, history: pd.DataFrame, arrived: pd.DataFrame) -> None:
        """Fit anew on all labels that have arrived so far; ``arrived`` are those of them that are new since last time.

        It is called in the place of :meth:`update`, and not beside it.
        """

    def run(self, events, plan: Plan, first: int, last: int, contest: Candidates | None) -> np.ndarray | None:
        """The blocks ``first`` .. ``last - 1`` in one compiled pass; None where that would not be the same.

        It is the same where learning means the model's own update and nothing else. A strategy that defines ``update``
        or ``predict`` anew is asked block by block.
        """
        kind = type(self)
        predicts_plainly = kind.predict is Strategy.predict and kind.score_items is Strategy.score_items
        if not predicts_plainly:
            return None
        several = last > first + 1
        if several and (kind.update is not Incremental.update or self._block_by_block):
            return None
        if not several and contest is None:
            return None  # to predict these rows alone is as good, and does not look up the ids of the whole stream
        lessons = None
        if several:
            lessons = copy.copy(self._lessons)
            plan, first, last = lessons.spread(plan, first, last, events["timestamp"].to_numpy())
        if contest is None:
            out = self.model.run(events, plan, first, last)
        else:
            out = self.model.run_ranks(events, plan, first, last, contest)  # type: ignore[attr-defined]
        if lessons is not None:
            # A model without such a pass has learned nothing, so nothing was drawn for it; and it is not asked again.
            self._block_by_block = out is None
            if out is not None:
                self._lessons = lessons
        return out

    def _replace(self, history: pd.DataFrame) -> None:
        """Fit a fresh model and let it serve; what the old one has cost is kept in mind."""
        self._examples_before += self.model.examples_learned
        self.model = copy.deepcopy(self.recipe).fit(history)

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
    """Update the model on the new events only, in order: each of them once, unless told otherwise.

    Parameters
    ----------
    model : Model
    every : int or time
        1 updates after each event (events with equal timestamps go together), 1000 after each thousand,
        ``"1D"`` at midnight UTC.
    passes : int
        How many times the events of an update are learned, in the same order each time.
    rehearse : int
        How many old events, drawn at random from all that have arrived, are learned beside each new one.
    rng : numpy.random.Generator, optional
        Draws what is rehearsed; copied, so that each replay draws the same.

    Raises
    ------
    ValueError
        ``passes`` or ``rehearse`` is out of range, or there is something to draw and no generator to draw with.

    Notes
    -----
    The step of an update, whether the optimiser's memory is carried over, and which parameters move are the model's
    matter: they are settings of the models. Taught in chapters 00 and 09a.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> Incremental(RunningMeans(), every=1000).name
    'incremental, every 1,000 events'
    >>> Incremental(RunningMeans(), every="1D", passes=3, rehearse=2, rng=np.random.default_rng(0)).name
    'incremental, every day, 3 passes, 2 old beside each new'
    """

    def __init__(
        self,
        model: Model,
        *,
        every: int | str | pd.Timedelta = 1,
        passes: int = 1,
        rehearse: int = 0,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(model)
        self.update_every = _interval(every)
        self._recipe_lessons = LessonMaker(passes, rehearse, rng)
        self._lessons = self._recipe_lessons
        self.name = f"incremental, {_say(self.update_every)}{self._lessons}"

    def start(self, history: pd.DataFrame) -> None:
        super().start(history)
        self._lessons = copy.deepcopy(self._recipe_lessons)
        self._lessons.remember(history)

    def update(self, arrived: pd.DataFrame) -> None:
        for lesson in self._lessons.of(arrived):
            self.model.update(lesson)


class PeriodicRetrain(Strategy):
    """Fit a fresh model on the whole history from time to time, and put it in the place of the old one.

    Parameters
    ----------
    model : Model
        To stop its training early, wrap it: :class:`~recsys_course.models.EarlyStopping`.
    every : int or time
    window : int, optional
        Fit on the latest so many events only; on all of them unless told.
    warm : bool
        Whether the model goes on from where it stands, one pass over the window, and is not fitted anew.

    Raises
    ------
    ValueError
        ``window`` is below one event.

    Notes
    -----
    Taught in chapters 00 and 09a.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> PeriodicRetrain(RunningMeans(), every="7D").name
    'full retrain, every 7 days'
    """

    def __init__(
        self, model: Model, *, every: int | str | pd.Timedelta, window: int | None = None, warm: bool = False
    ) -> None:
        super().__init__(model)
        _check_window(window)
        self.retrain_every = _interval(every)
        self.window = window
        self.warm = warm
        how = "warm retrain" if warm else "full retrain"
        self.name = f"{how}, {_say(self.retrain_every)}" + (f", latest {window:,}" if window else "")

    def retrain(self, history: pd.DataFrame, arrived: pd.DataFrame) -> None:
        if self.window is not None:
            history = history.iloc[-self.window :]
        if self.warm:
            self.model.update(history)
        else:
            self._replace(history)


class Hybrid(Incremental):
    """Fit a fresh model from time to time, and update it on new events in between.

    Parameters
    ----------
    model : Model
    retrain_every : int or time
        How often a fresh model, fitted on the history, takes the place of the old one.
    every : int or time
        How often it is updated in between.
    window : int, optional
        Fit on the latest so many events only.
    passes, rehearse, rng
        As in :class:`Incremental`.

    Raises
    ------
    ValueError
        ``window`` is below one event, or as in :class:`Incremental`.

    Notes
    -----
    With a model whose ``update_only`` is ``"embeddings"``, it is the other thing that goes by this name: what changes
    fast is learned often, what changes slowly rarely (Liu and others, Monolith, ORSUM 2022, arXiv 2209.07663). Taught
    in chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> Hybrid(RunningMeans(), retrain_every="7D").name
    'hybrid, full every 7 days, per event in between'
    """

    def __init__(
        self,
        model: Model,
        *,
        retrain_every: int | str | pd.Timedelta,
        every: int | str | pd.Timedelta = 1,
        window: int | None = None,
        passes: int = 1,
        rehearse: int = 0,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(model, every=every, passes=passes, rehearse=rehearse, rng=rng)
        _check_window(window)
        self.retrain_every = _interval(retrain_every)
        self.window = window
        latest = f" on the latest {window:,}" if window else ""
        between = f"{_say(self.update_every)} in between{self._lessons}"
        self.name = f"hybrid, full {_say(self.retrain_every)}{latest}, {between}"

    def retrain(self, history: pd.DataFrame, arrived: pd.DataFrame) -> None:
        self._lessons.remember(arrived)
        self._replace(history if self.window is None else history.iloc[-self.window :])


class RetrainOnAlarm(Strategy):
    """Watch the errors with a detector, and fit a fresh model on the latest events when it rings.

    Labels that have arrived are taken in at every interval: the serving model, which has not learned them, predicts
    their rows, and the detector reads the errors one by one. At its first alarm the rest of that batch is not read;
    the retraining may be put off until ``wait`` further labels have come, so that there is something of the new world
    to learn from. After it the detector begins anew.

    Parameters
    ----------
    model : Model
    detector : object with ``update(x)`` and ``drift_detected``
        A recipe, as the model is: any detector of ``river.drift``, or one of :mod:`recsys_course.drift`.
    every : int or time
        How often arrived labels are looked at; also the earliest that an alarm can act.
    window : int, optional
        Fit on the latest so many events only; on all of them unless told.
    wait : int
        How many labels to wait for after an alarm.
    error : callable, optional
        ``error(labels, scores)`` gives one number per row; the squared difference unless told.

    Attributes
    ----------
    alarms, fitted : list of int
        How many labels had arrived since the stream began at each alarm, and at each retraining.

    Notes
    -----
    With late labels the errors are those of the model that serves when the label arrives, and not of the one that
    served the user. Taught in chapter 10a.

    Examples
    --------
    >>> from river import drift
    >>> from recsys_course.models import RunningMeans
    >>> RetrainOnAlarm(RunningMeans(), drift.ADWIN(), every=500, window=2000).name
    'retrain on alarm, ADWIN, latest 2,000'
    """

    def __init__(
        self,
        model: Model,
        detector: Any,
        *,
        every: int | str | pd.Timedelta,
        window: int | None = None,
        wait: int = 0,
        error: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        super().__init__(model)
        _check_window(window)
        if wait < 0:
            raise ValueError(f"wait must not be negative, not {wait}")
        self.update_every = _interval(every)
        self.detector_recipe, self.window, self.wait = detector, window, wait
        self.error = _squared if error is None else error
        self.name = f"retrain on alarm, {type(detector).__name__}" + (f", latest {window:,}" if window else "")

    def start(self, history: pd.DataFrame) -> None:
        super().start(history)
        self.detector = copy.deepcopy(self.detector_recipe)
        self._history, self._arrived = [history], 0
        self._due: int | None = None  # how many labels must have arrived for the next fit
        self.alarms: list[int] = []
        self.fitted: list[int] = []
        self.unplanned_fits = 0

    def update(self, arrived: pd.DataFrame) -> None:
        if self._due is None:
            errors = self.error(arrived["label"].to_numpy(), self.model.predict(without_label(arrived)))
            for k, error in enumerate(errors):
                self.detector.update(float(error))
                if self.detector.drift_detected:
                    self.alarms.append(self._arrived + k + 1)
                    self._due = self._arrived + k + 1 + self.wait
                    break
        self._history.append(arrived)
        self._arrived += len(arrived)
        if self._due is not None and self._arrived >= self._due:
            self._fit_anew()

    def _fit_anew(self) -> None:
        # Late labels come out of turn; fitting expects time order.
        history = pd.concat(self._history).sort_values("timestamp", kind="stable")
        self._history = [history]
        self._replace(history if self.window is None else history.iloc[-self.window :])
        self.detector, self._due = copy.deepcopy(self.detector_recipe), None
        self.fitted.append(self._arrived)
        self.unplanned_fits += 1


def _squared(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return (labels - scores) ** 2


def _interval(value):
    interval = every(value)
    if interval is None:
        raise ValueError("this strategy needs an interval, such as 1000 or '1D'; Frozen is the one that never learns")
    return interval


def _check_window(window: int | None) -> None:
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1 event, not {window}")


def _say(interval: int | pd.Timedelta | None) -> str:
    if isinstance(interval, int):
        return "per event" if interval == 1 else f"every {interval:,} events"
    assert interval is not None
    days = interval / pd.Timedelta(days=1)
    if days == 1:
        return "every day"
    return f"every {days:g} days" if days > 1 else f"every {interval / pd.Timedelta(hours=1):g} hours"
