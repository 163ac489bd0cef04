"""Matrix factorisation, learned one event at a time.

A user u is a row of numbers p_u, an item i a row q_i, and the score of the pair is

    mu + b_u + b_i + p_u . q_i

where mu is the mean label, b_u says how generous the user is and b_i how well liked the item. Learning one
event costs one pass over the two rows that it touches, whatever the size of the catalogue: that is what
makes the model fit to be updated while it serves.

:class:`MatrixFactorization` predicts labels (ratings, or purchases after an exposure);
:class:`ImplicitFactorization` learns from what was taken alone and orders the catalogue.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd

from recsys_course.candidates import Candidates
from recsys_course.events import check_events
from recsys_course.models import _kernels
from recsys_course.models.base import Model, NotFittedError, Ranker, Vocabulary, padded
from recsys_course.models.labels import check_taken, check_yes_or_no
from recsys_course.models.settings import at_least, finite
from recsys_course.plan import Plan

__all__ = ["ImplicitFactorization", "MatrixFactorization"]


class _Factors:
    """The parameters: a bias and ``n_factors`` numbers for each user and for each item.

    New rows are drawn from a generator of their own for users and for items, row by row in order of arrival, so
    that it makes no difference whether ids arrive one at a time or a million at once.
    """

    def __init__(self, n_factors: int, spread: float, rng: np.random.Generator) -> None:
        self.spread = spread
        self.user_rng, self.item_rng = rng.spawn(2)
        self.users, self.items = Vocabulary(), Vocabulary()
        self.user_bias, self.item_bias = np.zeros(0), np.zeros(0)
        self.user_factors, self.item_factors = np.zeros((0, n_factors)), np.zeros((0, n_factors))
        self.user_count, self.item_count = np.zeros(0, np.int64), np.zeros(0, np.int64)

    @property
    def arrays(self):
        return (
            self.user_bias,
            self.item_bias,
            self.user_factors,
            self.item_factors,
            self.user_count,
            self.item_count,
        )

    @property
    def nbytes(self) -> int:
        rows = len(self.users) * (self.user_factors.shape[1] + 2) + len(self.items) * (self.item_factors.shape[1] + 2)
        return 8 * rows

    def add(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """The rows of each event's user and item; ids not met before get new ones, in order of arrival."""
        users, items = self.users.add(events["user"]), self.items.add(events["item"])
        self.user_bias, self.user_factors, self.user_count = self._grow(
            len(self.users), self.user_bias, self.user_factors, self.user_count, self.user_rng
        )
        self.item_bias, self.item_factors, self.item_count = self._grow(
            len(self.items), self.item_bias, self.item_factors, self.item_count, self.item_rng
        )
        return users, items

    def count(self, users: np.ndarray, items: np.ndarray) -> None:
        """Count events per row; a row with a count of 0 is not used in a prediction."""
        np.add.at(self.user_count, users, 1)
        np.add.at(self.item_count, items, 1)

    def _grow(self, needed, bias, factors, count, rng):
        have, n_factors = factors.shape
        if needed <= have:
            return bias, factors, count
        # Twice the room each time: a million newcomers cost a million copies in all, not a million each.
        room = max(needed, 2 * have, 16)
        grown = np.empty((room, n_factors))
        grown[:have] = factors
        grown[have:] = rng.normal(0.0, self.spread, size=(room - have, n_factors))
        return padded(bias, room), grown, padded(count, room)


class _FactorModel:
    """What the two factorisations share: settings, the state and how it starts."""

    def __init__(self, n_factors, epochs, step_size, update_step_size, regularization, init_spread, shuffle, rng):
        for name, value, least in (("n_factors", n_factors, 0), ("epochs", epochs, 1)):
            at_least(name, value, least)
        for name, value in (
            ("step_size", step_size),
            ("update_step_size", step_size if update_step_size is None else update_step_size),
            ("regularization", regularization),
            ("init_spread", init_spread),
        ):
            finite(name, value)
        self.n_factors = n_factors
        self.epochs = epochs
        self.step_size = step_size
        self.update_step_size = update_step_size
        self.regularization = regularization
        self.init_spread = init_spread
        self.shuffle = shuffle
        self.rng = rng
        self.examples_learned = 0
        self._factors: _Factors | None = None

    def _start(self) -> None:
        # A copy: fitting twice, or fitting two models made with one generator, starts from the same numbers.
        self._draws = copy.deepcopy(self.rng)
        self._factors = _Factors(self.n_factors, self.init_spread, self._draws)
        self.examples_learned = 0

    def _rates(self, *, updating: bool):
        own = updating and self.update_step_size is not None
        step_size = self.update_step_size if own else self.step_size
        return step_size, step_size, self.regularization, self.regularization

    def _state(self) -> _Factors:
        if self._factors is None:
            raise NotFittedError(f"{type(self).__name__} has learned nothing yet: call fit or update first")
        return self._factors

    @property
    def nbytes(self) -> int:
        """Size of the learned parameters in bytes: (n_factors + 2) numbers of 8 bytes per user and per item."""
        return self._state().nbytes

    def _guard(self) -> None:
        """Stop with a clear word when the step was too large and the numbers ran away."""
        state = self._state()
        if not (np.isfinite(state.item_bias).all() and np.isfinite(state.user_bias).all()):
            raise FloatingPointError(
                f"learning diverged with steps of {self._rates(updating=False)[0]} and "
                f"{self._rates(updating=True)[0]}: use a smaller one"
            )


class MatrixFactorization(_FactorModel, Model):
    """Predicts a label from mu + b_u + b_i + p_u . q_i, learned by stochastic gradient descent.

    Parameters
    ----------
    n_factors : int
        Length of p_u and q_i; with 0 only the biases are learned, a baseline that is hard to beat.
    epochs : int
        Passes that :meth:`fit` makes over its events; :meth:`update` always makes one.
    step_size : float
        How far a gradient step goes.
    update_step_size : float, optional
        The same in :meth:`update`; as in :meth:`fit` unless told.
    regularization : float
        How strongly parameters are pulled back to zero, per step.
    loss : {"squared", "logistic"}
        Squared error for ratings; logistic loss for labels 0 and 1, with predictions between them.
    label_range : (float, float), optional
        Predictions are kept inside, for squared error; learning uses the prediction before that.
    init_spread : float
        Standard deviation of the initial factors.
    shuffle : bool
        Whether :meth:`fit` draws a new order for each pass; :meth:`update` keeps the order of the rows.
    rng : numpy.random.Generator
        Draws initial factors and orders; copied, so that each fit starts from the same state.

    Raises
    ------
    EventsError
        The events are no events table, or a label does not fit the loss; the model is left as it was.
    NotFittedError
        Asked to predict before anything was learned.

    Notes
    -----
    Koren, Bell and Volinsky, Computer 42(8), 2009, 10.1109/MC.2009.263, equations 4 and 5. An id that the model
    has not learned from adds nothing to a score: a new user gets mu + b_i. Taught in chapter 00.

    Examples
    --------
    >>> import pandas as pd
    >>> ratings = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2], "item": [7, 8, 7, 9], "label": [5.0, 1.0, 4.0, 2.0], "timestamp": [1, 2, 3, 4]}
    ... )
    >>> model = MatrixFactorization(n_factors=2, epochs=50, rng=np.random.default_rng(0)).fit(ratings)
    >>> model.predict(ratings).round(1)
    array([5., 1., 4., 2.])
    """

    def __init__(
        self,
        n_factors: int = 16,
        *,
        epochs: int = 10,
        step_size: float = 0.05,
        update_step_size: float | None = None,
        regularization: float = 0.02,
        loss: str = "squared",
        label_range: tuple[float, float] | None = None,
        init_spread: float = 0.1,
        shuffle: bool = True,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(n_factors, epochs, step_size, update_step_size, regularization, init_spread, shuffle, rng)
        if loss not in ("squared", "logistic"):
            raise ValueError(f"loss must be 'squared' or 'logistic', not {loss!r}")
        self.loss = loss
        self.label_range = label_range

    @property
    def _low_high(self) -> tuple[float, float]:
        return (-np.inf, np.inf) if self.label_range is None else self.label_range

    def fit(self, events: pd.DataFrame) -> MatrixFactorization:
        self._check(events)
        self._start()
        self._total = np.zeros(2)
        users, items = self._state().add(events)
        labels = events["label"].to_numpy()
        # mu is the mean of all labels, and known before the first pass, as are all ids.
        self._total[:] = labels.sum(), len(labels)
        self._state().count(users, items)
        rows = np.arange(len(events))
        for _ in range(self.epochs):
            if self.shuffle:
                rows = self._draws.permutation(len(events))
            self._learn(rows, users, items, labels, count=False)
        return self

    def update(self, events: pd.DataFrame) -> MatrixFactorization:
        self._check(events)
        if self._factors is None:
            self._start()
            self._total = np.zeros(2)
        users, items = self._state().add(events)
        self._learn(np.arange(len(events)), users, items, events["label"].to_numpy(), count=True)
        return self

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        state = self._state()
        users, items = state.users.find(events["user"]), state.items.find(events["item"])
        out = np.empty(len(events))
        _kernels.predict_labels(
            0, len(events), users, items, self._total, state.arrays, self.loss == "logistic", *self._low_high, out
        )
        return out

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> np.ndarray:
        self._check(events)
        state = self._state()
        arriving = plan.arriving(first, last)
        state.add(events.iloc[arriving])
        users, items = state.users.find(events["user"]), state.items.find(events["item"])
        out = np.empty(plan.n_predicted(first, last))
        _kernels.run_labels(
            *plan.part(first, last),
            users,
            items,
            events["label"].to_numpy(),
            self._total,
            state.arrays,
            self._rates(updating=True),
            self.loss == "logistic",
            *self._low_high,
            out,
        )
        self.examples_learned += len(arriving)
        self._guard()
        return out

    def _check(self, events: pd.DataFrame) -> None:
        check_events(events)
        if self.loss == "logistic":
            check_yes_or_no(events, loss="logistic loss")

    def _learn(self, rows, users, items, labels, *, count: bool) -> None:
        _kernels.learn_labels(
            rows,
            users,
            items,
            labels,
            count,
            self._total,
            self._state().arrays,
            self._rates(updating=count),
            self.loss == "logistic",
        )
        self.examples_learned += len(rows)
        self._guard()


class ImplicitFactorization(_FactorModel, Ranker):
    """Orders items by b_i + p_u . q_i, learned from what users took and a few random items that they did not.

    Each event is a positive example; beside it the model learns ``n_negatives`` items drawn at random among those
    that it knows as examples of what was not taken, with the logistic loss. The parameters are those of
    :class:`MatrixFactorization`; b_u is learned too but never changes an order.

    Raises
    ------
    EventsError
        The events are no events table, or a label is not 1: on an implicit stream each event is a positive.
    NotFittedError
        Asked to score before anything was learned.

    Notes
    -----
    A user that the model has not learned from gets the order of the item biases, which is popularity; an item
    that it has not learned from stands last. ``examples_learned`` counts events, not negatives. Taught in chapter 01.

    Examples
    --------
    >>> import pandas as pd
    >>> taken = pd.DataFrame({"user": [1, 2] * 20, "item": ["milk", "tea"] * 20, "label": 1.0, "timestamp": range(40)})
    >>> model = ImplicitFactorization(n_factors=4, rng=np.random.default_rng(0)).fit(taken)
    >>> model.recommend([2], k=1)["item"].tolist()
    ['tea']
    """

    def __init__(
        self,
        n_factors: int = 16,
        *,
        epochs: int = 10,
        step_size: float = 0.05,
        update_step_size: float | None = None,
        regularization: float = 0.01,
        n_negatives: int = 4,
        init_spread: float = 0.1,
        shuffle: bool = True,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(n_factors, epochs, step_size, update_step_size, regularization, init_spread, shuffle, rng)
        if n_negatives < 1:
            raise ValueError(f"n_negatives must be at least 1, not {n_negatives}: without them every score rises")
        self.n_negatives = n_negatives

    def fit(self, events: pd.DataFrame) -> ImplicitFactorization:
        check_taken(events)
        self._begin()
        users, items = self._state().add(events)
        rows = np.arange(len(events))
        self._state().count(users, items)
        self._n_known[0] = len(self._state().items)
        for _ in range(self.epochs):
            if self.shuffle:
                rows = self._draws.permutation(len(events))
            self._learn(rows, users, items, count=False)
        return self

    def update(self, events: pd.DataFrame) -> ImplicitFactorization:
        check_taken(events)
        if self._factors is None:
            self._begin()
        self._learn(np.arange(len(events)), *self._state().add(events), count=True)
        return self

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """The probability that each row's pair is a positive and not a drawn negative; 0 for an unknown item."""
        state = self._state()
        users, items = state.users.find(events["user"]), state.items.find(events["item"])
        scores = np.empty(1)
        out = np.empty(len(events))
        for row in range(len(events)):
            _kernels.score_catalogue(users[row], items[row : row + 1], state.arrays, scores)
            out[row] = _kernels.sigmoid(scores[0])
        return out

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        state = self._state()
        rows, catalogue = state.users.find(users), state.items.find(items)
        out = np.empty((len(rows), len(catalogue)))
        for k, u in enumerate(rows):
            _kernels.score_catalogue(u, catalogue, state.arrays, out[k])
        return out

    @property
    def known_items(self) -> np.ndarray:
        return self._state().items.ids()

    def run_ranks(self, events: pd.DataFrame, plan: Plan, first: int, last: int, contest: Candidates) -> np.ndarray:
        check_taken(events)
        state = self._state()
        arriving = plan.arriving(first, last)
        state.add(events.iloc[arriving])
        out = np.empty(plan.n_predicted(first, last))
        _kernels.run_ranks(
            *plan.part(first, last),
            state.users.find(events["user"]),
            state.items.find(events["item"]),
            self._draw_rng.random((len(arriving), self.n_negatives)),
            self._n_known,
            state.arrays,
            self._rates(updating=True),
            *contest.arrays,
            state.items.find(contest.items),
            out,
        )
        self.examples_learned += len(arriving)
        self._guard()
        return out

    def _begin(self) -> None:
        self._start()
        (self._draw_rng,) = self._draws.spawn(1)
        self._n_known = np.zeros(1, np.int64)

    def _learn(self, rows, users, items, *, count: bool) -> None:
        draws = self._draw_rng.random((len(rows), self.n_negatives))
        _kernels.learn_positives(
            rows, users, items, count, draws, self._n_known, self._state().arrays, self._rates(updating=count)
        )
        self.examples_learned += len(rows)
        self._guard()
