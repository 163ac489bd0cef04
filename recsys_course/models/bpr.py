"""Bayesian personalised ranking: learn an order from pairs of items, one that was taken and one that was not.

An order is all that a list shows, so let the example be an order: user u took item i and not item j. The model says how
sure it is by the logistic function of the difference of two scores, and a step of gradient descent lowers

    -log sigmoid(s_ui - s_uj) + lambda / 2 (|p_u|^2 + |q_i|^2 + |q_j|^2 + b_i^2 + b_j^2),   s_ui = b_i + p_u . q_i.

Which j? Drawn evenly, most are items that nobody wants, and the model soon has nothing to learn from them. Drawn by
popularity they are harder, and the model is paid for not liking what is popular. Which is better depends on how the
list is judged: the chapter measures both.
"""

from __future__ import annotations

import contextlib
import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.models import _bpr_kernels as kernels
from recsys_course.models.base import NotFittedError, Ranker, Vocabulary, padded
from recsys_course.models.labels import check_taken
from recsys_course.models.settings import at_least, finite, float_type

__all__ = ["BPR"]


class BPR(Ranker):
    """Orders items by b_i + p_u . q_i, learned by stochastic gradient steps on pairs of items.

    Parameters
    ----------
    n_factors : int
        Length of p_u and q_i.
    epochs : int
        Passes that :meth:`fit` makes over its events; :meth:`update` always makes one.
    step_size, regularization : float
        How far a step goes, and the lambda above.
    negatives : {"uniform", "popular"}
        How the other item is drawn: each known item alike, or in proportion to its events so far.
    tries : int
        Draws for an event; those that hit an item which the user has taken are passed over, and if all do, so is the
        event.
    init_spread : float
        Standard deviation of the initial factors, divided by the root of their number.
    shuffle : bool
        Whether :meth:`fit` draws a new order for each pass; :meth:`update` keeps the order of the rows.
    threads : int
        With two or more, :meth:`fit` draws the order and the negatives of the next pass while this one runs. The result
        is the same, to the last bit.
    dtype : numpy dtype
        float32 or float64.
    rng : numpy.random.Generator
        Draws initial factors, orders and negatives; copied, so that each fit starts from the same state.

    Raises
    ------
    EventsError
        The events are no events table, or a label is not 1; the model is left as it was.
    FloatingPointError
        The step was too large, and the numbers ran away.
    NotFittedError
        Asked to score before anything was learned.
    ValueError
        A setting is out of range.

    Notes
    -----
    Rendle, Freudenthaler, Gantner and Schmidt-Thieme, UAI 2009, arXiv:1205.2618, with an item bias. One step needs the
    result of the one before, so the steps run on one thread: peers that use several let them overwrite each other, and
    their result differs from run to run. Ids are numbered, and their factors drawn, in order of arrival: it makes no
    difference whether events are learned one at a time or all at once. A user who is not known is scored by b_i; an
    item that is not known stands last. ``examples_learned`` counts events, not negatives.
    Taught in chapter 06b.

    Examples
    --------
    >>> taken = pd.DataFrame({"user": [1, 2] * 20, "item": ["milk", "tea"] * 20, "label": 1.0, "timestamp": range(40)})
    >>> model = BPR(4, epochs=20, rng=np.random.default_rng(0)).fit(taken)
    >>> model.recommend([2], k=1)["item"].tolist()
    ['tea']
    """

    def __init__(
        self,
        n_factors: int = 64,
        *,
        epochs: int = 30,
        step_size: float = 0.05,
        regularization: float = 0.01,
        negatives: str = "uniform",
        tries: int = 1,
        init_spread: float = 0.1,
        shuffle: bool = True,
        threads: int = 1,
        dtype: Any = np.float32,
        rng: np.random.Generator,
    ) -> None:
        for name, count in (("n_factors", n_factors), ("epochs", epochs), ("tries", tries), ("threads", threads)):
            at_least(name, count, 1)
        for name, value in (("step_size", step_size), ("regularization", regularization), ("init_spread", init_spread)):
            finite(name, value)
        if negatives not in ("uniform", "popular"):
            raise ValueError(f"negatives must be 'uniform' or 'popular', not {negatives!r}")
        self.n_factors = n_factors
        self.epochs = epochs
        self.step_size = step_size
        self.regularization = regularization
        self.negatives = negatives
        self.tries = tries
        self.init_spread = init_spread
        self.shuffle = shuffle
        self.threads = threads
        self.dtype = float_type(dtype)
        self.rng = rng
        self.examples_learned = 0
        self._fitted = False

    def fit(self, events: pd.DataFrame) -> BPR:
        check_taken(events)
        self._start()
        users, items = self._add(events)
        kernels.admit(users, items, self._known, self._log, self._table)

        def prepare():
            rows = self._order_rng.permutation(len(events)) if self.shuffle else np.arange(len(events))
            return rows, self._rivals(rows, users, items, new=False)

        # What a pass needs to know depends on no parameter: another thread can draw it while the one before runs.
        with ThreadPoolExecutor(1) if self.threads > 1 else contextlib.nullcontext() as other:
            ahead = None
            for epoch in range(self.epochs):
                rows, rivals = prepare() if ahead is None else ahead.result()
                if other is not None and epoch + 1 < self.epochs:
                    ahead = other.submit(prepare)
                self._learn(rows, users, items, rivals)
        return self

    def update(self, events: pd.DataFrame) -> BPR:
        check_taken(events)
        if not self._fitted:
            self._start()
        users, items = self._add(events)
        rows = np.arange(len(events))
        self._learn(rows, users, items, self._rivals(rows, users, items, new=True))
        return self

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """sigmoid(b_i + p_u . q_i) of each row, shape (n_rows,): an order, not a probability; 0 for an unknown item."""
        self._ready()
        out = np.empty(len(events))
        self._score(self._users.find(events["user"]), self._items.find(events["item"]), out)
        return np.exp(-np.logaddexp(0.0, -out))

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        self._ready()
        rows, catalogue = self._users.find(users), self._items.find(items)
        mine = np.where((rows >= 0)[:, None], self._user_rows[rows], 0).astype(np.float64)
        scores = mine @ self._item_rows[catalogue].astype(np.float64).T + self._item_bias[catalogue]
        scores[:, catalogue < 0] = -np.inf
        return scores

    @property
    def known_items(self) -> np.ndarray:
        self._ready()
        return self._items.ids()

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters of ids met, and of the memory of what was taken."""
        self._ready()
        numbers = len(self._users) * self.n_factors + len(self._items) * (self.n_factors + 1)
        return numbers * self.dtype.itemsize + self._table.nbytes + 8 * int(self._known[1])

    def _start(self) -> None:
        self._fitted = True
        self._user_rng, self._item_rng, self._order_rng, self._draw_rng = copy.deepcopy(self.rng).spawn(4)
        self._users, self._items = Vocabulary(), Vocabulary()
        self._user_rows = np.zeros((0, self.n_factors), self.dtype)
        self._item_rows, self._item_bias = self._user_rows.copy(), np.zeros(0, self.dtype)
        self._known = np.zeros(2, np.int64)  # items, events
        self._log = np.zeros(0, np.int64)  # the item of each event, so that an event is drawn as an item is
        self._table = np.full(16, -1, np.int64)
        self.examples_learned = 0

    def _add(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """The rows of each event's user and item, with room for what it will leave behind."""
        users, items = self._users.add(events["user"]), self._items.add(events["item"])
        self._user_rows = self._with_room(self._user_rows, len(self._users), self._user_rng)
        self._item_rows = self._with_room(self._item_rows, len(self._items), self._item_rng)
        self._item_bias = padded(self._item_bias, len(self._item_rows))
        needed = int(self._known[1]) + len(events)
        if needed > len(self._log):
            self._log = padded(self._log, max(needed, 2 * len(self._log)))
        if 2 * needed > len(self._table):  # at most half full: then a look-up takes one or two steps
            table = np.full(1 << int(2 * needed - 1).bit_length(), -1, np.int64)
            kernels.refill(self._table, table)
            self._table = table
        return users, items

    def _with_room(self, rows: np.ndarray, needed: int, rng: np.random.Generator) -> np.ndarray:
        have = len(rows)
        if needed <= have:
            return rows
        room = max(needed, 2 * have, 16)  # twice the room each time: newcomers cost a copy each, in all
        new = rng.normal(0.0, self.init_spread / np.sqrt(self.n_factors), (room - have, self.n_factors))
        return np.concatenate([rows, new.astype(self.dtype)])

    def _rivals(self, order: np.ndarray, users: np.ndarray, items: np.ndarray, *, new: bool) -> np.ndarray:
        draws = self._draw_rng.random((len(order), self.tries))
        rivals = np.empty(len(order), np.int64)
        popular = self.negatives == "popular"
        kernels.draw_rivals(order, users, items, new, draws, popular, self._known, self._log, self._table, rivals)
        return rivals

    def _learn(self, order: np.ndarray, users: np.ndarray, items: np.ndarray, rivals: np.ndarray) -> None:
        rates = np.array([self.step_size, self.regularization], self.dtype)
        kernels.learn(order, users, items, rivals, self._user_rows, self._item_rows, self._item_bias, rates)
        self.examples_learned += len(order)
        if not np.isfinite(self._item_bias).all():
            raise FloatingPointError(f"learning diverged with step_size={self.step_size}: use a smaller one")

    def _score(self, users: np.ndarray, items: np.ndarray, out: np.ndarray) -> None:
        kernels.pair_scores(users, items, self._user_rows, self._item_rows, self._item_bias, out)

    def _ready(self) -> None:
        if not self._fitted:
            raise NotFittedError("BPR has learned nothing yet: call fit or update first")
