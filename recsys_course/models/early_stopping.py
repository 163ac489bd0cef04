"""A model that chooses its number of passes on the latest part of what it is fitted to."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd

from recsys_course.candidates import Candidates
from recsys_course.events import EventsError, split_at, without_label
from recsys_course.models.base import Model, NotFittedError
from recsys_course.plan import Plan

__all__ = ["EarlyStopping"]


class EarlyStopping(Model):
    """Fits a model with 1, 2, 4, ... passes to the older events, keeps the number that predicts the latest ones best,
    and fits once more with it, to all of them.

    Parameters
    ----------
    model : Model
        A recipe with an attribute ``epochs``, which is the most passes that are tried; it predicts labels.
    held_out : float
        Share of the events, the latest, on which a number of passes is judged.

    Attributes
    ----------
    chosen : int
        Passes of the last fit.

    Raises
    ------
    EventsError
        Too few events, or too few instants, to hold some out.
    ValueError
        ``held_out`` is out of range, or the model has no ``epochs``.

    Notes
    -----
    Judged by the mean squared error, which is also a proper score of a probability: Gneiting and Raftery, JASA 102,
    2007, 10.1198/016214506000001437. The passes of all candidates are part of ``examples_learned``: together about
    twice the largest. It is after a candidate has done worse than the one before that no more are tried. Taught in
    chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import MatrixFactorization
    >>> rng = np.random.default_rng(0)
    >>> noise = pd.DataFrame({"user": rng.integers(9, size=200), "item": rng.integers(9, size=200)})
    >>> noise = noise.assign(label=rng.normal(size=200), timestamp=range(200))
    >>> EarlyStopping(MatrixFactorization(8, epochs=32, rng=rng)).fit(noise).chosen
    1
    """

    def __init__(self, model: Model, *, held_out: float = 0.1) -> None:
        if not 0 < held_out < 1:
            raise ValueError(f"held_out must lie between 0 and 1, not {held_out}")
        if not hasattr(model, "epochs"):
            raise ValueError(f"{type(model).__name__} makes no passes that could be stopped: it has no epochs")
        self.recipe = model
        self.held_out = held_out
        self._model: Model | None = None
        self._before = 0

    def fit(self, events: pd.DataFrame) -> EarlyStopping:
        older, latest = split_at(events, 1 - self.held_out)
        self._before = 0
        best = np.inf
        passes = 1
        while passes <= self.recipe.epochs:
            error = np.mean((self._fitted(passes, older).predict(without_label(latest)) - latest["label"]) ** 2)
            if not error < best:
                break
            best, self.chosen = error, passes
            passes *= 2
        if not np.isfinite(best):
            raise EventsError("no number of passes predicts the latest events: look at their labels")
        self._model = self._fitted(self.chosen, events)
        self._before -= self._model.examples_learned
        return self

    def _fitted(self, passes: int, events: pd.DataFrame) -> Model:
        model = copy.deepcopy(self.recipe)
        model.epochs = passes
        model.fit(events)
        self._before += model.examples_learned
        return model

    def update(self, events: pd.DataFrame) -> EarlyStopping:
        self._ready().update(events)
        return self

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        return self._ready().predict(events)

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> np.ndarray | None:
        return self._ready().run(events, plan, first, last)

    def run_ranks(
        self, events: pd.DataFrame, plan: Plan, first: int, last: int, contest: Candidates
    ) -> np.ndarray | None:
        """None: what it chooses by is an error of labels, and not an order."""
        return None

    @property
    def examples_learned(self) -> int:  # type: ignore[override]
        return self._before + (self._model.examples_learned if self._model else 0)

    @property
    def nbytes(self) -> int:
        return self._ready().nbytes

    def _ready(self) -> Model:
        if self._model is None:
            raise NotFittedError("EarlyStopping chooses its passes in fit: call it first")
        return self._model
