"""What the models that predict ratings share: ids, checks of what comes in, and scores of what was learned.

Each of them ends in the same form, mean + b_u + b_i + u . v, whatever lies behind the two vectors. A model says how it
learns; predicting, ordering a catalogue and refusing what is no rating stand here once.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import pandas as pd

from recsys_course.events import EventsError, check_events
from recsys_course.models import _rating_kernels as kernels
from recsys_course.models.base import NotFittedError, Ranker, Vocabulary, padded
from recsys_course.models.settings import at_least, finite, float_type

__all__ = ["Parameters", "RatingModel"]


class Parameters(NamedTuple):
    """What a model of ratings has learned; row n belongs to the n-th id, in order of arrival.

    Attributes
    ----------
    mean : float
    users, items : ndarray, shapes (n_users,) and (n_items,)
        The ids.
    user_bias, item_bias : ndarray, shapes (n_users,) and (n_items,)
    user_vectors, item_vectors : ndarray, shapes (n_users, n_factors) and (n_items, n_factors)
    """

    mean: float
    users: np.ndarray
    items: np.ndarray
    user_bias: np.ndarray
    item_bias: np.ndarray
    user_vectors: np.ndarray
    item_vectors: np.ndarray


class RatingModel(Ranker):
    """A model of ratings: mean + b_u + b_i + u . v. Taught in chapter 06a.

    A subclass keeps ``_met`` (the mean label, how many labels it stands for, and how many users and items were
    learned from), ``_user_bias``, ``_item_bias`` and
    the rows that :meth:`_vectors` returns, numbered by ``_users`` and ``_items`` in order of arrival.
    """

    def __init__(
        self,
        n_factors: int,
        label_range: tuple[float, float] | None,
        init_spread: float,
        dtype: type,
        rng: np.random.Generator,
    ) -> None:
        at_least("n_factors", n_factors, 0)
        finite("init_spread", init_spread)
        if label_range is not None and not label_range[0] < label_range[1]:
            raise ValueError(f"label_range must be (low, high) with low < high, not {label_range}")
        self.n_factors = n_factors
        self.label_range = label_range
        self.init_spread = init_spread
        self.dtype = float_type(dtype)
        self.rng = rng
        self.examples_learned = 0
        self._users: Vocabulary | None = None

    # ------------------------------------------------------------------------------------- learning

    def _start(self) -> None:
        """Forget everything; a copy of the generator, so that each fit starts from the same numbers."""
        self._draws = copy.deepcopy(self.rng)
        self._user_draws, self._item_draws = self._draws.spawn(2)
        self._users, self._items = Vocabulary(), Vocabulary()
        self._met = np.zeros(4)
        self._user_bias, self._item_bias = np.zeros(0, self.dtype), np.zeros(0, self.dtype)
        self._user_factors = np.zeros((0, self.n_factors), self.dtype)
        self._item_factors = np.zeros((0, self.n_factors), self.dtype)
        self.examples_learned = 0

    def _admit(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """The row of each event's user and item, int32; newcomers get rows, and factors, in order of arrival."""
        assert self._users is not None
        users, items = self._users.add(events["user"]), self._items.add(events["item"])
        self._grow()
        # 32 bits: half the memory that a pass has to read, and two thousand million ids are enough.
        return users.astype(np.int32), items.astype(np.int32)

    def _grow(self) -> None:
        assert self._users is not None
        n_users, n_items = len(self._users), len(self._items)
        self._user_bias = longer(self._user_bias, n_users)
        self._item_bias = longer(self._item_bias, n_items)
        self._user_factors = self._more(self._user_factors, n_users, self._user_draws)
        self._item_factors = self._more(self._item_factors, n_items, self._item_draws)

    def _more(self, factors: np.ndarray, needed: int, draws: np.random.Generator) -> np.ndarray:
        have = len(factors)
        if needed <= have:
            return factors
        # Drawn row by row, so that it makes no difference whether ids arrive singly or a million at once.
        grown = longer(factors, needed)
        grown[have:] = draws.normal(0.0, self.init_spread, size=(len(grown) - have, self.n_factors))
        return grown

    def _check(self, events: pd.DataFrame) -> None:
        check_events(events)
        if self.label_range is not None:
            low, high = self.label_range
            outside = ~events["label"].between(low, high).to_numpy()
            if outside.any():
                row = int(np.argmax(outside))
                raise EventsError(
                    f"column 'label' is {events['label'].iloc[row]} in row {row}: label_range says {low} to {high}"
                )

    def _guard(self, step_size: float) -> None:
        """Stop with a clear word when the step was too large and the numbers ran away."""
        if not (np.isfinite(self._item_bias).all() and np.isfinite(self._user_bias).all()):
            raise FloatingPointError(f"learning diverged with step_size={step_size}: use a smaller one")

    # ----------------------------------------------------------------------------------- predicting

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows whose products are the scores: shapes (n_users, n_factors) and (n_items, n_factors)."""
        return self._user_factors, self._item_factors

    def _vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        if self._users is None:
            raise NotFittedError(f"{type(self).__name__} has learned nothing yet: call fit or update first")
        return self._users, self._items

    def _find(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        users, items = self._vocabularies()
        missing = [name for name in ("user", "item") if name not in events]
        if missing:
            raise EventsError(f"column {missing[0]!r} is missing: the table has {list(map(str, events.columns))}")
        return users.find(events["user"]), items.find(events["item"])

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """One label per row, shape (n_rows,), kept inside ``label_range``; an unknown id adds nothing to a score."""
        users, items = self._find(events)
        out = np.empty(len(events))
        kernels.score_pairs(users, items, self._met[0], self._user_bias, self._item_bias, *self._vectors(), out)
        return out if self.label_range is None else out.clip(*self.label_range)

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        known_users, known_items = self._vocabularies()
        rows, columns = known_users.find(users), known_items.find(items)
        user_vectors, item_vectors = self._vectors()
        out = np.full((len(rows), len(columns)), self._met[0])
        met_users, met_items = rows >= 0, columns >= 0
        out[met_users] += self._user_bias[rows[met_users], None]
        out[:, met_items] += self._item_bias[columns[met_items]]
        out[np.ix_(met_users, met_items)] += user_vectors[rows[met_users]] @ item_vectors[columns[met_items]].T
        out[:, ~met_items] = -np.inf
        return out

    def parameters(self) -> Parameters:
        """A copy of what was learned: a score is mean + user_bias + item_bias + user_vector . item_vector."""
        users, items = self._vocabularies()
        n_users, n_items = len(users), len(items)
        user_vectors, item_vectors = self._vectors()
        return Parameters(
            float(self._met[0]),
            users.ids(),
            items.ids(),
            self._user_bias[:n_users].copy(),
            self._item_bias[:n_items].copy(),
            user_vectors[:n_users].copy(),
            item_vectors[:n_items].copy(),
        )

    @property
    def known_items(self) -> np.ndarray:
        return self._vocabularies()[1].ids()

    @property
    def nbytes(self) -> int:
        """Size of the learned parameters in bytes: n_factors + 1 numbers per user and per item."""
        users, items = self._vocabularies()
        return self.dtype.itemsize * (self.n_factors + 1) * (len(users) + len(items))


def longer(array: np.ndarray, needed: int) -> np.ndarray:
    """The array, with room for ``needed`` rows: exactly that at first, twice as many as before later on.

    >>> len(longer(np.zeros(0), 5)), len(longer(np.zeros(5), 6)), len(longer(np.zeros(5), 5))
    (5, 10, 5)
    """
    have = len(array)
    return array if needed <= have else padded(array, max(needed, 2 * have))


def no_ratings() -> tuple[np.ndarray, ...]:
    """Users, items and labels of a model that keeps its ratings, before there are any."""
    return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0)
