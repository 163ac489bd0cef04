"""A neural network on the course's interface: embeddings of user and item, features, and layers on top of them.

Each user and each item has a row of numbers, its *embedding*. The network's input is the two rows side by side,
followed by the features of the event, if there are any; the rest is :class:`~recsys_course.models.layers.Perceptron`.
The gradient by the input, cut apart again, is the gradient of the two rows.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.events import EventsError, check_events
from recsys_course.models.base import Model, NotFittedError, Vocabulary
from recsys_course.models.labels import check_yes_or_no
from recsys_course.models.layers import Perceptron
from recsys_course.models.optimizers import Adam, Optimizer, RowGradient
from recsys_course.models.settings import at_least, below_one, finite
from recsys_course.plan import Plan

__all__ = ["Embedding", "NeuralNetwork"]

STRANGER = 0  # the row of ids that were never met


class Embedding:
    """A table with a row for each id and one, row 0, for strangers; it grows as ids arrive.

    Parameters
    ----------
    width : int
        Numbers per id.
    spread : float
        New rows are uniform between -spread and spread, as in Keras.
    rng : numpy.random.Generator
        Draws the rows, in order of arrival: it makes no difference whether ids come one at a time or all at once.

    Notes
    -----
    Taught in chapter 03b.

    Examples
    --------
    >>> table = Embedding(2, rng=np.random.default_rng(0))
    >>> table.add(["ann", "bob", "ann"]), table.find(["bob", "eve"])
    (array([1, 2, 1]), array([2, 0]))
    """

    def __init__(self, width: int, *, spread: float = 0.05, dtype: Any = np.float64, rng: np.random.Generator) -> None:
        self.spread = spread
        self.rng = rng
        self.ids = Vocabulary()
        self.rows = np.zeros((0, width), dtype)
        self._grow()

    def __len__(self) -> int:
        return len(self.ids) + 1

    @property
    def nbytes(self) -> int:
        return len(self) * self.rows.shape[1] * self.rows.itemsize

    def add(self, ids) -> np.ndarray:
        """The row number of each id, shape (n,); an id not met before gets the next free row."""
        numbers = self.ids.add(ids) + 1
        self._grow()
        return numbers

    def find(self, ids) -> np.ndarray:
        """The row number of each id, shape (n,); 0 for an id not met before."""
        return self.ids.find(ids) + 1

    def _grow(self) -> None:
        have = len(self.rows)
        if len(self) <= have:
            return
        room = max(len(self), 2 * have, 16)  # twice the room each time: newcomers cost a copy each, in all
        new = self.rng.uniform(-self.spread, self.spread, size=(room - have, self.rows.shape[1]))
        self.rows = np.concatenate([self.rows, new.astype(self.rows.dtype)])


def add_up(numbers: np.ndarray, values: np.ndarray) -> RowGradient:
    """The gradient of a table whose rows ``numbers`` (n,) received ``values`` (n, width): repeated rows are summed.

    >>> add_up(np.array([3, 1, 3]), np.array([[1.0], [2.0], [4.0]]))
    RowGradient(rows=array([1, 3]), values=array([[2.],
           [5.]]), squares=array([[ 4.],
           [17.]]))
    """
    if len(numbers) == 1:
        return RowGradient(numbers, values)
    order = np.argsort(numbers, kind="stable")
    in_order, parts = numbers[order], values[order]
    first = np.flatnonzero(np.diff(in_order, prepend=-1))
    return RowGradient(
        in_order[first], np.add.reduceat(parts, first, axis=0), np.add.reduceat(parts * parts, first, axis=0)
    )


class NeuralNetwork(Model):
    """Predicts a label from embeddings of user and item and from features, learned in mini-batches.

    Parameters
    ----------
    hidden : sequence of int
        Units of the hidden layers; with ``()`` and no embeddings it is a linear or a logistic regression.
    n_factors : int
        Numbers per user and per item; with 0 ids are not looked at.
    features : sequence of str
        Columns of the events that are inputs too: finite numbers, which you scale.
    loss : {"squared", "cross-entropy"}
        Squared error for ratings; cross-entropy for labels 0 and 1, with predictions between them.
    activation : str
        Of the hidden layers; see :class:`~recsys_course.models.layers.Perceptron`.
    initialization : str or float
        Of the layers.
    optimizer : Optimizer, optional
        How parameters move; copied at each fit. ``Adam(0.001)`` unless told.
    epochs, batch_size : int
        Passes that :meth:`fit` makes (:meth:`update` makes one), and examples per step.
    update_step_size : float, optional
        The optimiser's step in :meth:`update`; that of :meth:`fit` unless told.
    update_only : {"all", "embeddings", "layers"}
        Which parameters :meth:`update` moves; newcomers get embeddings in any case.
    carry_optimizer : bool
        Whether :meth:`update` goes on with what the optimiser remembers, or starts each time with an optimiser that
        remembers nothing.
    stranger : float
        While it learns, this share of ids is replaced by the row of strangers, so that something is known of those
        who come later. In :meth:`update` too.
    label_range : (float, float), optional
        Predictions are kept inside, for squared error.
    shuffle : bool
        Whether :meth:`fit` draws a new order for each pass; :meth:`update` keeps the order of the rows.
    dtype : numpy dtype
        float32 or float64.
    rng : numpy.random.Generator
        Draws weights, embeddings, orders and strangers; copied, so that each fit starts from the same state.

    Raises
    ------
    EventsError
        The events are no events table, a feature is missing or not finite, or a label does not fit the loss; the
        model is left as it was.
    FloatingPointError
        The step was too large, and the numbers ran away.
    NotFittedError
        Asked to predict before anything was learned.
    ValueError
        A setting is out of range.

    Notes
    -----
    The bias of the output starts where a constant prediction would be best, at the mean label (or its log-odds).
    ``nbytes`` counts what a prediction needs: layers, and the rows of ids met; not the optimiser's memory.
    Covington, Adams and Sargin, RecSys 2016, 10.1145/2959100.2959190, feed embeddings beside features into layers in
    this way. Taught in chapter 03b.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> seen = pd.DataFrame({"user": rng.integers(4, size=400), "item": rng.integers(4, size=400)})
    >>> seen["label"] = (seen["user"] == seen["item"]).astype(float)  # no sum of a user's and an item's part
    >>> seen["timestamp"] = range(400)
    >>> network = NeuralNetwork((8,), n_factors=4, loss="cross-entropy", optimizer=Adam(0.05), epochs=40, rng=rng)
    >>> pairs = pd.DataFrame({"user": [1, 1], "item": [1, 2]})
    >>> network.fit(seen).predict(pairs).round(1)
    array([1., 0.])
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 32),
        *,
        n_factors: int = 16,
        features: Sequence[str] = (),
        loss: str = "squared",
        activation: str = "relu",
        initialization: str | float = "glorot",
        optimizer: Optimizer | None = None,
        epochs: int = 5,
        batch_size: int = 64,
        update_step_size: float | None = None,
        update_only: str = "all",
        carry_optimizer: bool = True,
        stranger: float = 0.05,
        label_range: tuple[float, float] | None = None,
        shuffle: bool = True,
        dtype: Any = np.float32,
        rng: np.random.Generator,
    ) -> None:
        for name, value, least in (("n_factors", n_factors, 0), ("epochs", epochs, 1), ("batch_size", batch_size, 1)):
            at_least(name, value, least)
        if update_step_size is not None:
            finite("update_step_size", update_step_size, positive=True)
        if update_only not in ("all", "embeddings", "layers"):
            raise ValueError(f"update_only must be 'all', 'embeddings' or 'layers', not {update_only!r}")
        if update_only == "embeddings" and not n_factors:
            raise ValueError("update_only='embeddings' would learn nothing: with n_factors=0 there are none")
        below_one("stranger", stranger)
        if isinstance(features, str):
            raise ValueError(f"features must be a sequence of column names: write ({features!r},)")
        if {"label", "user", "item"} & set(features):
            raise ValueError("features must not name the label, the user or the item")
        if not (n_factors or features):
            raise ValueError("the network has no input: give features, or n_factors above 0")
        self.hidden = tuple(hidden)
        self.n_factors = n_factors
        self.features = tuple(features)
        self.loss = loss
        self.activation = activation
        self.initialization = initialization
        self.optimizer = Adam() if optimizer is None else optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.update_step_size = update_step_size
        self.update_only = update_only
        self.carry_optimizer = carry_optimizer
        self.stranger = stranger
        self.label_range = label_range
        self.shuffle = shuffle
        self.dtype = np.dtype(dtype)
        self.rng = rng
        self.examples_learned = 0
        self._fitted = False
        self._layers(np.random.default_rng(0))  # wrong settings are refused now, and not at the first fit

    def _layers(self, rng: np.random.Generator) -> Perceptron:
        return Perceptron(
            (2 * self.n_factors + len(self.features), *self.hidden, 1),
            activation=self.activation,
            loss=self.loss,
            initialization=self.initialization,
            dtype=self.dtype,
            rng=rng,
        )

    def _start(self, labels: np.ndarray) -> None:
        layers, users, items, order, strangers = copy.deepcopy(self.rng).spawn(5)
        self._network = self._layers(layers)
        self._tables = [Embedding(self.n_factors, dtype=self.dtype, rng=rng) for rng in (users, items)]
        self._order, self._strangers = order, strangers
        self._moves = copy.deepcopy(self.optimizer)
        self._move = "all"
        mean = labels.mean()
        if self.loss == "cross-entropy":
            share = (labels.sum() + 1) / (len(labels) + 2)
            mean = np.log(share / (1 - share))
        self._network.biases[-1][:] = mean
        self._fitted = True
        self.examples_learned = 0

    def fit(self, events: pd.DataFrame) -> NeuralNetwork:
        features, labels = self._check(events)
        self._start(labels)
        numbers = self._numbers(events, add=True)
        rows = np.arange(len(events))
        for _ in range(self.epochs):
            if self.shuffle:
                rows = self._order.permutation(len(events))
            self._learn(rows, numbers, features, labels)
        return self

    def update(self, events: pd.DataFrame) -> NeuralNetwork:
        features, labels = self._check(events)
        if not self._fitted:
            self._start(labels)
        self._begin_update()
        self._learn(np.arange(len(events)), self._numbers(events, add=True), features, labels)
        return self

    def _begin_update(self) -> None:
        if not self.carry_optimizer:
            self._moves = copy.deepcopy(self.optimizer)
        if self.update_step_size is not None:
            self._moves.step_size = self.update_step_size
        self._move = self.update_only

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        self._ready()
        return self._score(self._numbers(events, add=False), self._features(events))

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> np.ndarray:
        # What predict and update do, block by block, but the table of events is read once and not at each block.
        self._ready()
        features, labels = self._check(events)
        arriving = plan.arriving(first, last)
        met = [len(table.ids) for table in self._tables]
        self._numbers(events.iloc[arriving], add=True)
        numbers = self._numbers(events, add=False)
        out = np.empty(plan.n_predicted(first, last))
        for block in range(first, last):
            rows = plan.order[plan.known[block - 1] : plan.known[block]] if block > first else arriving[:0]
            if len(rows):
                own = [number[rows] for number in numbers]
                self._begin_update()
                self._learn(np.arange(len(rows)), own, features[rows], labels[rows])
                met = [max(highest, int(number.max())) for highest, number in zip(met, own, strict=False)]
            ask = slice(plan.starts[block], plan.ends[block])
            # Ids are numbered in order of arrival: a higher number than the highest so far is still a stranger.
            asked = [np.where(n[ask] <= m, n[ask], STRANGER) for n, m in zip(numbers, met, strict=False)]
            out[ask.start - plan.starts[first] : ask.stop - plan.starts[first]] = self._score(asked, features[ask])
        return out

    def _score(self, numbers: list[np.ndarray], features: np.ndarray) -> np.ndarray:
        out = np.empty(len(features))
        for first in range(0, len(out), _CHUNK):
            rows = slice(first, first + _CHUNK)
            out[rows] = self._network.predict(self._input(rows, numbers, features))[:, 0]
        if self.loss == "squared" and self.label_range is not None:
            out = np.clip(out, *self.label_range)
        return out

    @property
    def nbytes(self) -> int:
        self._ready()
        return self._network.theta.nbytes + (sum(t.nbytes for t in self._tables) if self.n_factors else 0)

    @property
    def network(self) -> Perceptron:
        """The layers, for whoever wants to look inside."""
        self._ready()
        return self._network

    @property
    def tables(self) -> tuple[Embedding, Embedding]:
        """The embeddings of users and of items."""
        self._ready()
        return self._tables[0], self._tables[1]

    def _ready(self) -> None:
        if not self._fitted:
            raise NotFittedError(f"{type(self).__name__} has learned nothing yet: call fit or update first")

    def _check(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        check_events(events)
        labels = events["label"].to_numpy()
        if self.loss == "cross-entropy":
            check_yes_or_no(events, loss="cross-entropy")
        return self._features(events), labels.astype(self.dtype)

    def _features(self, events: pd.DataFrame) -> np.ndarray:
        missing = [name for name in self.features if name not in events.columns]
        if missing:
            raise EventsError(f"column {missing[0]!r} is missing: the network was built with it as a feature")
        out = np.empty((len(events), len(self.features)), self.dtype)
        for k, name in enumerate(self.features):
            if not pd.api.types.is_numeric_dtype(events[name]):
                raise EventsError(f"column {name!r} has dtype {events[name].dtype}: a feature is a number")
            out[:, k] = events[name].to_numpy()
            finite = np.isfinite(out[:, k])
            if not finite.all():
                row = int(np.argmin(finite))
                raise EventsError(f"column {name!r} is missing or infinite in row {row}: fill, clip or drop it first")
        return out

    def _numbers(self, events: pd.DataFrame, *, add: bool) -> list[np.ndarray]:
        """Row numbers in the two tables, each of shape (n,)."""
        if not self.n_factors:
            return []
        pairs = zip(self._tables, ("user", "item"), strict=True)
        return [table.add(events[name]) if add else table.find(events[name]) for table, name in pairs]

    def _input(self, rows, numbers, features) -> np.ndarray:
        parts = [table.rows[number[rows]] for table, number in zip(self._tables, numbers, strict=False)]
        return np.concatenate([*parts, features[rows]], axis=1)

    def _learn(self, order: np.ndarray, numbers: list[np.ndarray], features: np.ndarray, labels: np.ndarray) -> None:
        if self.stranger and numbers:
            hidden = self._strangers.random((2, len(labels))) < self.stranger
            numbers = [np.where(h, STRANGER, number) for h, number in zip(hidden, numbers, strict=True)]
        parameters = [self._network.theta] + [table.rows for table in self._tables if self.n_factors]
        k = self.n_factors
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size]
            X = self._input(rows, numbers, features)
            loss, gradient, by_input = self._network.backward(X, labels[rows], inputs=bool(k))
            gradients: list[np.ndarray | RowGradient | None] = [gradient if self._move != "embeddings" else None]
            if by_input is not None and self._move != "layers":
                gradients += [
                    add_up(number[rows], by_input[:, t * k : (t + 1) * k]) for t, number in enumerate(numbers)
                ]
            gradients += [None] * (len(parameters) - len(gradients))
            if not np.isfinite(loss):
                break
            self._moves.step(parameters, gradients)
        if not (np.isfinite(loss) and np.isfinite(self._network.theta).all()):
            raise FloatingPointError(
                f"learning diverged with step_size={self._moves.step_size}: use a smaller one, and scale the features"
            )
        self.examples_learned += len(order)


_CHUNK = 65_536  # rows predicted at once: bounds the memory of a prediction over millions of them
