"""What every model can do: fit from scratch, update from where it stands, predict.

A matrix factorisation, a neural network and a table of counts have little in common inside. From outside
they answer to the same three calls, so that one replay can run all of them and one report can compare
them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import repeat

import numpy as np
import pandas as pd

from recsys_course.candidates import Candidates
from recsys_course.plan import Plan

__all__ = ["Model", "NotFittedError", "Ranker", "Vocabulary"]


class NotFittedError(RuntimeError):
    """The model has learned nothing yet: call fit or update first."""


class Model(ABC):
    """A model of the course. Taught in chapter 00.

    Attributes
    ----------
    examples_learned : int
        Events learned since the last call of ``fit``, each pass over an event counted: the part of the
        cost that is the same on every machine.
    """

    examples_learned: int = 0

    @abstractmethod
    def fit(self, events: pd.DataFrame) -> Model:
        """Forget everything and learn from these events, as many passes as the model makes."""

    @abstractmethod
    def update(self, events: pd.DataFrame) -> Model:
        """Learn from new events only, from the present state, in the order of the rows."""

    @abstractmethod
    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """One score per row, shape (n_rows,), in the unit of the label. Never reads the column ``label``."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Size of the learned state, in bytes."""

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> np.ndarray | None:
        """Predict and learn the blocks ``first`` .. ``last - 1`` of a plan in one compiled pass, if there is one.

        Block ``first`` is predicted from the present state; before each later block the labels that have
        arrived since are learned. Returns what ``predict`` would have returned for these rows, one call
        after the other, or None for a model without such a pass.
        """
        return None


class Ranker(Model):
    """A model that can order a catalogue for a user. Taught in chapter 01."""

    @abstractmethod
    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """A score for each user and item, shape (len(users), len(items)); -inf for an item not known."""

    def recommend(self, users, k: int, *, items=None, exclude: dict | None = None) -> pd.DataFrame:
        """The ``k`` best items for each user, best first.

        Parameters
        ----------
        users : sequence of user ids
        k : int
            Length of a list; a shorter one is returned where there are fewer candidates.
        items : sequence of item ids, optional
            The candidates; all items that the model knows unless told.
        exclude : dict from user id to a collection of item ids, optional
            Items that leave the contest of a user.

        Returns
        -------
        DataFrame with columns user, rank (0 is the best), item, score.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        candidates = np.asarray(self.known_items if items is None else items)
        scores = self.score_items(np.asarray(users), candidates)
        rows = []
        for user, row in zip(users, scores, strict=True):
            banned = (exclude or {}).get(user, ())
            allowed = ~pd.Series(candidates).isin(list(banned)).to_numpy() & (row > -np.inf)
            open_rows = np.flatnonzero(allowed)
            # A stable sort of the negated scores: equal scores keep the order of the candidates.
            best = open_rows[np.argsort(-row[open_rows], kind="stable")[:k]]
            rows.append(
                pd.DataFrame({"user": user, "rank": range(len(best)), "item": candidates[best], "score": row[best]})
            )
        return pd.concat(rows, ignore_index=True)

    @property
    @abstractmethod
    def known_items(self) -> np.ndarray:
        """Ids of the items that the model has learned, in order of arrival."""

    def run_ranks(
        self, events: pd.DataFrame, plan: Plan, first: int, last: int, contest: Candidates
    ) -> np.ndarray | None:
        """As :meth:`Model.run`, but the rank of each row's item in its event's contest."""
        return None


class Vocabulary:
    """Numbers ids 0, 1, 2, ... in the order in which they arrive.

    A model keeps one row of parameters per id. Numbering by arrival, and not by name, means that renaming
    every user changes nothing, and that a new user takes the next free row. Taught in chapter 00.

    >>> users = Vocabulary()
    >>> users.add(["ann", "bob", "ann"]).tolist()
    [0, 1, 0]
    >>> users.find(["bob", "eve"]).tolist()
    [1, -1]
    """

    def __init__(self) -> None:
        #: The row of each id; looking up an id that is not in it gives it the next free row.
        self.rows: dict = _Numbering()

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, ids) -> np.ndarray:
        """The row of each id, shape (n,), int64; an id not met before gets the next free row."""
        return self._translate(ids, lambda names: map(self.rows.__getitem__, names))

    def find(self, ids) -> np.ndarray:
        """The row of each id, shape (n,), int64; -1 for an id not met before."""
        return self._translate(ids, lambda names: map(self.rows.get, names, repeat(-1)))

    def _translate(self, ids, look_up) -> np.ndarray:
        values = ids if isinstance(ids, (np.ndarray, pd.Series, pd.Index)) else np.asarray(ids)
        if len(values) <= _SMALL:
            return np.fromiter(look_up(values.tolist()), dtype=np.int64, count=len(values))
        # Looking each name up costs more than learning from it: look up the distinct ones only.
        code, distinct = pd.factorize(values)
        rows = np.fromiter(look_up(distinct.tolist()), dtype=np.int64, count=len(distinct))
        return rows[code]

    def ids(self) -> np.ndarray:
        """All ids, in order of arrival."""
        # Not np.array: its strings of one width lose a NUL at their end, and with it an id.
        return pd.Index(list(self.rows)).to_numpy()


def padded(array: np.ndarray, length: int) -> np.ndarray:
    """The array, followed by rows of zeros up to ``length``.

    >>> padded(np.ones(2), 3)
    array([1., 1., 0.])
    """
    out = np.zeros((length, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


class _Numbering(dict):
    def __missing__(self, name) -> int:
        self[name] = row = len(self)
        return row


_SMALL = 32  # below, building a hash table costs more than it saves
