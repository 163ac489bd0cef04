"""Two linear models from what items have in common: a user's score of an item is a sum over the items taken.

Let X be the table of who took what, users by items, of zeros and ones. Both models keep one matrix W, items by items,
and score a user's row x by x W. The neighbours' W is written down from counts: how often two items were taken by the
same user, divided by how often each was. EASE's W is the best of all matrices with zeros on the diagonal, and is
computed in closed form. The cost is that of a matrix of all pairs of items: it serves a catalogue of some thousands,
not of millions.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import pandas as pd

from recsys_course.models.base import NotFittedError, Ranker, Vocabulary
from recsys_course.models.labels import check_taken
from recsys_course.models.pairs import Pairs
from recsys_course.models.settings import finite

__all__ = ["EASE", "ItemNeighbours"]


class _ItemToItem(Ranker):
    """Keeps who took what, and a matrix of weights made from the counts X^T X."""

    def __init__(self) -> None:
        self.examples_learned = 0
        self._fitted = False

    @abstractmethod
    def _weights_from(self, together: np.ndarray) -> np.ndarray:
        """W, shape (n_items, n_items), from X^T X."""

    def fit(self, events: pd.DataFrame):
        check_taken(events)
        self._fitted = True
        self._users, self._items, self._pairs = Vocabulary(), Vocabulary(), Pairs()
        self.examples_learned = 0
        return self.update(events)

    def update(self, events: pd.DataFrame):
        """Learn new events; afterwards the model is the one that all events at once would have given."""
        check_taken(events)
        if not self._fitted:
            return self.fit(events)
        self._pairs.add(self._users.add(events["user"]), self._items.add(events["item"]))
        taken = self._taken()
        self.weights = self._weights_from((taken.T @ taken).toarray())
        # A stranger is scored as the average user: that is popularity, passed once through the weights.
        self._stranger = np.asarray(taken.mean(axis=0)).ravel() @ self.weights
        self.examples_learned += len(events)
        return self

    def _taken(self):
        """X, sparse, shape (n_users, n_items)."""
        from scipy import sparse  # imported here, so that importing the course stays fast

        side = self._pairs.by_user(len(self._users))
        ones = np.ones(len(side.columns))
        return sparse.csr_array((ones, side.columns, side.starts), shape=(len(self._users), len(self._items)))

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """The score of each row's pair; 0 for an item that is not known."""
        self._ready()
        users, distinct = pd.factorize(events["user"])
        catalogue = self._items.find(events["item"])
        out = np.empty(len(events))
        scores = self._all_scores(self._users.find(distinct))
        out[:] = np.where(catalogue >= 0, scores[users, catalogue], 0.0)
        return out

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        self._ready()
        catalogue = self._items.find(items)
        scores = self._all_scores(self._users.find(users))[:, catalogue]
        scores[:, catalogue < 0] = -np.inf
        return scores

    def _all_scores(self, rows: np.ndarray) -> np.ndarray:
        scores = self._taken()[np.maximum(rows, 0)] @ self.weights
        scores[rows < 0] = self._stranger
        return scores

    @property
    def known_items(self) -> np.ndarray:
        self._ready()
        return self._items.ids()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights, 8 for each pair of items, and of who took what, 32 for each pair of user and item."""
        self._ready()
        return self.weights.nbytes + self._pairs.nbytes

    def _ready(self) -> None:
        if not self._fitted:
            raise NotFittedError(f"{type(self).__name__} has learned nothing yet: call fit or update first")


class EASE(_ItemToItem):
    """Orders items by x W, where W is the ridge regression of each item on all others, in closed form.

    W minimises |X - X W|^2 + lambda |W|^2 under the condition that its diagonal is zero, without which the answer would
    be that each item predicts itself. With P = (X^T X + lambda I)^-1 it is W_ij = -P_ij / P_jj for i != j.

    Parameters
    ----------
    regularization : float
        The lambda above, in users.

    Raises
    ------
    EventsError
        The events are no events table, or a label is not 1; the model is left as it was.
    NotFittedError
        Asked to score before anything was learned.
    ValueError
        ``regularization`` is not a finite number above 0.

    Notes
    -----
    Steck, WWW 2019, 10.1145/3308558.3313710. How often a pair happened is not used. A fit and an update cost
    O(n_items^3) and some times 8 n_items^2 bytes, whatever the number of new events. A stranger is scored as the
    average user; an item that is not known stands last. Taught in chapter 06b.

    Examples
    --------
    >>> taken = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2, 3], "item": ["tea", "milk", "tea", "milk", "jam"], "label": 1.0, "timestamp": 0}
    ... )
    >>> model = EASE(regularization=1.0).fit(taken)
    >>> model.weights.round(3)  # tea and milk: 2 / (2 + lambda)
    array([[0.   , 0.667, 0.   ],
           [0.667, 0.   , 0.   ],
           [0.   , 0.   , 0.   ]])
    """

    def __init__(self, *, regularization: float = 400.0) -> None:
        super().__init__()
        finite("regularization", regularization, positive=True)
        self.regularization = regularization

    def _weights_from(self, together: np.ndarray) -> np.ndarray:
        from scipy.linalg import lapack  # imported here, so that importing the course stays fast

        together[np.diag_indices_from(together)] += self.regularization
        # The inverse of a positive definite matrix from its Cholesky factor, half the work of the general one. LAPACK's
        # upper triangle is the lower one of the matrix as numpy lays it out, and it is symmetric.
        factor, _ = lapack.dpotrf(together.T, overwrite_a=True)
        inverse, _ = lapack.dpotri(factor, overwrite_c=True)
        inverse = np.triu(inverse) + np.triu(inverse, 1).T
        weights = 0.0 - inverse / np.diag(inverse)  # from nothing, so that no zero is a negative one
        np.fill_diagonal(weights, 0.0)
        return weights


class ItemNeighbours(_ItemToItem):
    """Orders items by the sum of their likenesses to the items that the user has taken.

    The likeness of i and j is c_ij / (n_i n_j)^alpha, where c_ij users took both, n_i took i and n_j took j: with alpha
    = 1/2 the cosine of the two columns of X. The larger alpha, the less popular the answer.

    Parameters
    ----------
    alpha : float
        From 0, counts as they are, upward.
    neighbours : int, optional
        Keep the so many largest likenesses of each scored item j, at least; all unless told.

    Raises
    ------
    EventsError
        The events are no events table, or a label is not 1; the model is left as it was.
    NotFittedError
        Asked to score before anything was learned.
    ValueError
        A setting is out of range.

    Notes
    -----
    Deshpande and Karypis, ACM TOIS 22(1), 2004, 10.1145/963770.963776. A stranger is scored as the average user; an
    item that is not known stands last. Taught in chapter 06b; 05a writes it by hand.

    Examples
    --------
    >>> taken = pd.DataFrame(
    ...     {"user": [1, 1, 2, 3], "item": ["tea", "milk", "tea", "jam"], "label": 1.0, "timestamp": range(4)}
    ... )
    >>> ItemNeighbours().fit(taken).weights.round(3)
    array([[0.   , 0.707, 0.   ],
           [0.707, 0.   , 0.   ],
           [0.   , 0.   , 0.   ]])
    """

    def __init__(self, *, alpha: float = 0.5, neighbours: int | None = None) -> None:
        super().__init__()
        finite("alpha", alpha)
        if neighbours is not None and neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, or None for all, not {neighbours}")
        self.alpha = alpha
        self.neighbours = neighbours

    def _weights_from(self, together: np.ndarray) -> np.ndarray:
        taken = np.diag(together) ** self.alpha
        weights = together / taken[:, None] / taken
        np.fill_diagonal(weights, 0.0)
        if self.neighbours is not None and self.neighbours < len(weights):
            # Equal likenesses stay or go together, so that no order of the items is preferred.
            least = np.partition(weights, -self.neighbours, axis=0)[-self.neighbours]
            weights[weights < least] = 0.0
        return weights
