"""Weighted least squares for what users took: all pairs count, those that happened count more.

Nobody says what they dislike by not buying it, yet most of what a user did not take does not interest them. Hu, Koren
and Volinsky's answer: every pair of a user and an item is an example. Its target p_ui is 1 if the user took the item,
else 0, and its weight, the *confidence*, is c_ui = 1 + alpha n_ui with n_ui the number of times. Minimise

    sum over all u, i of c_ui (p_ui - x_u . y_i)^2 + lambda (sum_u |x_u|^2 + sum_i |y_i|^2).

With the items held, each user's row is a least-squares problem of its own, whose matrix is

    sum_i c_ui y_i y_i^T + lambda I = Y^T Y + lambda I + alpha sum over the items taken of n_ui y_i y_i^T.

The first term is the same for all users and is worked out once; the rest takes a pass over what the user took. So the
millions of zeros cost nothing. Then the users are held, and so on in turn.
"""

from __future__ import annotations

import copy
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.models import _als_kernels as kernels
from recsys_course.models.base import NotFittedError, Ranker, Vocabulary
from recsys_course.models.labels import check_taken
from recsys_course.models.pairs import Pairs, Side
from recsys_course.models.settings import at_least, finite, float_type

__all__ = ["WeightedALS", "half_sweep"]

_PARTS = 16  # of a Gram matrix: a number of its own, so that sums do not depend on the number of threads


def half_sweep(
    rows: np.ndarray,
    other: np.ndarray,
    side: Side,
    *,
    alpha: float,
    regularization: float,
    cg_steps: int | None,
    threads: int = 1,
) -> None:
    """Improve ``rows`` (n, k) in place with ``other`` (m, k) held: half a sweep of weighted ALS.

    Parameters
    ----------
    side : Side
        The pairs of each row, their columns numbers of rows of ``other``.
    alpha, regularization : float
        As in :class:`WeightedALS`.
    cg_steps : int, optional
        Steps of conjugate gradients, from where a row stands; None solves exactly, by Cholesky's factorisation.
    threads : int
        The result is the same for any number, to the last bit.

    Notes
    -----
    Exact costs O(k^3) a row and O(k^2) a pair, a step O(k^2) and O(k). Takács, Pilászy and Tikk, RecSys 2011,
    10.1145/2043932.2043987. Taught in chapter 06b.

    Examples
    --------
    >>> pairs = Pairs()
    >>> pairs.add(np.array([0]), np.array([0]))
    >>> x, y = np.zeros((1, 1)), np.array([[2.0], [1.0]])
    >>> half_sweep(x, y, pairs.by_user(1), alpha=1.0, regularization=1.0, cg_steps=None)
    >>> x  # (1 + alpha) 2 / (2^2 + 1^2 + lambda + alpha 2^2)
    array([[0.4]])
    """
    ridged = _gram(other, threads)
    ridged[np.diag_indices_from(ridged)] += rows.dtype.type(regularization)
    weights = (alpha * side.counts).astype(rows.dtype)
    solve = kernels.cholesky if cg_steps is None else kernels.conjugate_gradient
    # Equal work, not equal numbers of rows: a row costs its pairs, and about as much as k pairs besides.
    work = np.cumsum(np.diff(side.starts) + rows.shape[1])
    _in_threads(
        threads,
        work,
        lambda first, last: solve(
            first, last, side.starts, side.columns, weights, ridged, rows, other, 0 if cg_steps is None else cg_steps
        ),
    )


def _gram(rows: np.ndarray, threads: int) -> np.ndarray:
    n, k = rows.shape
    parts = np.zeros((_PARTS, k, k), rows.dtype)
    cuts = np.linspace(0, n, _PARTS + 1).astype(np.int64)

    def part(first, last):
        for p in range(first, last):
            kernels.gram(cuts[p], cuts[p + 1], rows, parts[p])

    _in_threads(threads, np.arange(1, _PARTS + 1), part)
    return parts.sum(axis=0)


def _in_threads(threads: int, work: np.ndarray, run) -> None:
    """Call ``run(first, last)`` over ranges that cover all rows; ``work`` is the cumulated work of the rows."""
    if threads == 1:
        run(0, len(work))
        return
    shares = np.linspace(0, work[-1], 4 * threads + 1)[1:-1]  # more than threads: who is done early takes another
    cuts = np.unique(np.concatenate([[0], np.searchsorted(work, shares), [len(work)]]))
    list(_pool(threads).map(run, cuts[:-1].tolist(), cuts[1:].tolist()))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work: starting them anew for each half-sweep would take longer than a small one does."""
    return ThreadPoolExecutor(threads, thread_name_prefix="als")


class WeightedALS(Ranker):
    """Orders items by x_u . y_i, learned by alternating weighted least squares from what users took, and how often.

    Parameters
    ----------
    n_factors : int
        Length of x_u and y_i.
    sweeps : int
        How often :meth:`fit` solves all users and then all items.
    alpha : float
        Confidence of a pair taken n times is 1 + alpha n, of one never taken 1.
    regularization : float
        The lambda of the objective.
    cg_steps : int, optional
        Steps of conjugate gradients a row and half-sweep, from the row's last value; None solves exactly.
    init_spread : float
        Standard deviation of the initial factors, divided by the root of their number.
    threads : int
        Rows are shared out among so many; the result is the same for any number, to the last bit.
    dtype : numpy dtype
        float32 or float64.
    rng : numpy.random.Generator
        Draws the initial factors; copied, so that each fit starts from the same state.

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
    Hu, Koren and Volinsky, ICDM 2008, 10.1109/ICDM.2008.22; c_ui is their equation for confidence, and the exact solver
    never raises their objective. :meth:`update` takes its events as one block: it adds them to the counts, then
    solves the rows of their users exactly with the items held, then those of their items. Nobody else moves, so a
    newcomer is admitted at the cost of two small systems; the order within a block is of no account. A user who is
    not known is scored as the average user, which is close to popularity; an item that is not known stands last.
    Taught in chapter 06b.

    Examples
    --------
    >>> taken = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2, 3], "item": ["tea", "milk", "tea", "milk", "jam"], "label": 1.0, "timestamp": 0}
    ... )
    >>> model = WeightedALS(2, regularization=0.1, alpha=10.0, rng=np.random.default_rng(0)).fit(taken)
    >>> newcomer = pd.DataFrame({"user": [4], "item": ["tea"], "label": [1.0], "timestamp": [9]})
    >>> model.update(newcomer).recommend([4], k=1, exclude={4: ["tea"]})["item"].tolist()
    ['milk']
    """

    def __init__(
        self,
        n_factors: int = 64,
        *,
        sweeps: int = 15,
        alpha: float = 10.0,
        regularization: float = 1.0,
        cg_steps: int | None = 3,
        init_spread: float = 0.1,
        threads: int = 1,
        dtype: Any = np.float32,
        rng: np.random.Generator,
    ) -> None:
        for name, count in (("n_factors", n_factors), ("sweeps", sweeps), ("threads", threads)):
            at_least(name, count, 1)
        if cg_steps is not None and cg_steps < 1:
            raise ValueError(f"cg_steps must be at least 1, or None for the exact solution, not {cg_steps}")
        for name, value in (("alpha", alpha), ("regularization", regularization), ("init_spread", init_spread)):
            finite(name, value, positive=True)
        self.n_factors = n_factors
        self.sweeps = sweeps
        self.alpha = alpha
        self.regularization = regularization
        self.cg_steps = cg_steps
        self.init_spread = init_spread
        self.threads = threads
        self.dtype = float_type(dtype)
        self.rng = rng
        self.examples_learned = 0
        self._fitted = False

    def fit(self, events: pd.DataFrame) -> WeightedALS:
        check_taken(events)
        self._fitted = True
        self._users, self._items, self._pairs = Vocabulary(), Vocabulary(), Pairs()
        self._pairs.add(self._users.add(events["user"]), self._items.add(events["item"]))
        # A generator for each side: that a user more is known does not change how items start.
        spread = self.init_spread / np.sqrt(self.n_factors)
        self.user_factors, self.item_factors = (
            rng.normal(0.0, spread, (len(ids), self.n_factors)).astype(self.dtype)
            for rng, ids in zip(copy.deepcopy(self.rng).spawn(2), (self._users, self._items), strict=True)
        )
        by_user, by_item = self._sides()
        for _ in range(self.sweeps):
            self._solve(self.user_factors, self.item_factors, by_user, self.cg_steps)
            self._solve(self.item_factors, self.user_factors, by_item, self.cg_steps)
        self.examples_learned = self.sweeps * len(events)
        return self

    def update(self, events: pd.DataFrame) -> WeightedALS:
        check_taken(events)
        if not self._fitted:
            return self.fit(events)
        users, items = self._users.add(events["user"]), self._items.add(events["item"])
        self._pairs.add(users, items)
        self.user_factors = self._with_room(self.user_factors, len(self._users))
        self.item_factors = self._with_room(self.item_factors, len(self._items))
        by_user, by_item = self._sides()
        for rows, other, side, touched in (
            (self.user_factors, self.item_factors, by_user, np.unique(users)),
            (self.item_factors, self.user_factors, by_item, np.unique(items)),
        ):
            moved = np.zeros((len(touched), self.n_factors), self.dtype)
            self._solve(moved, other, side.only(touched), None)
            rows[touched] = moved
        self.examples_learned += len(events)
        return self

    def fold_in_users(self, events: pd.DataFrame) -> np.ndarray:
        """The rows that users with these events would have, the items held, shape (n_users, n_factors).

        Users in order of appearance; the events are taken for all that is known of them, and items that the model
        does not know are passed over. The model is left as it is: :meth:`update` is what admits.
        """
        return self._fold_in(events, "user", "item")

    def fold_in_items(self, events: pd.DataFrame) -> np.ndarray:
        """The rows that items with these events would have, the users held, shape (n_items, n_factors)."""
        return self._fold_in(events, "item", "user")

    def _fold_in(self, events: pd.DataFrame, new: str, held: str) -> np.ndarray:
        check_taken(events)
        self._ready()
        ids, other = (self._items, self.item_factors) if held == "item" else (self._users, self.user_factors)
        rows, distinct = pd.factorize(events[new])
        columns = ids.find(events[held])
        pairs = Pairs()
        pairs.add(rows[columns >= 0].astype(np.int64), columns[columns >= 0])
        out = np.zeros((len(distinct), self.n_factors), self.dtype)
        self._solve(out, other, pairs.by_user(len(distinct)), None)
        return out

    def objective(self) -> float:
        """What the fit minimises, over all pairs, worked out in float64 without visiting the pairs that are zero."""
        self._ready()
        x, y = self.user_factors.astype(np.float64), self.item_factors.astype(np.float64)
        side = self._sides()[0]
        scores = np.empty(len(self._pairs))
        users = np.repeat(np.arange(len(x)), np.diff(side.starts))
        kernels.pair_scores(users, side.columns, x, y, scores)
        # All pairs as if each were a zero of weight 1, and then what the pairs taken really cost instead.
        everywhere = np.sum((x.T @ x) * (y.T @ y))
        taken = np.sum((1 + self.alpha * side.counts) * (1 - scores) ** 2 - scores**2)
        return float(everywhere + taken + self.regularization * (np.sum(x**2) + np.sum(y**2)))

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """x_u . y_i of each row, near 1 for what is sure to be taken; 0 where the user or the item is not known."""
        self._ready()
        out = np.empty(len(events))
        users, items = self._users.find(events["user"]), self._items.find(events["item"])
        kernels.pair_scores(users, items, self.user_factors, self.item_factors, out)
        return out

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        self._ready()
        rows, catalogue = self._users.find(users), self._items.find(items)
        mine = np.where((rows >= 0)[:, None], self.user_factors[rows], self.user_factors.mean(axis=0))
        scores = mine.astype(np.float64) @ self.item_factors[catalogue].astype(np.float64).T
        scores[:, catalogue < 0] = -np.inf
        return scores

    @property
    def known_items(self) -> np.ndarray:
        self._ready()
        return self._items.ids()

    @property
    def nbytes(self) -> int:
        """Bytes of the factors, n_factors numbers per user and item, and of the pairs, 32 bytes each."""
        self._ready()
        return self.user_factors.nbytes + self.item_factors.nbytes + self._pairs.nbytes

    def _sides(self) -> tuple[Side, Side]:
        return self._pairs.by_user(len(self._users)), self._pairs.by_item(len(self._items))

    def _solve(self, rows: np.ndarray, other: np.ndarray, side: Side, cg_steps: int | None) -> None:
        half_sweep(
            rows,
            other,
            side,
            alpha=self.alpha,
            regularization=self.regularization,
            cg_steps=cg_steps,
            threads=self.threads,
        )

    def _with_room(self, rows: np.ndarray, needed: int) -> np.ndarray:
        return np.concatenate([rows, np.zeros((needed - len(rows), self.n_factors), self.dtype)])

    def _ready(self) -> None:
        if not self._fitted:
            raise NotFittedError("WeightedALS has learned nothing yet: call fit or update first")
