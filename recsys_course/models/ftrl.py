"""FTRL-Proximal: logistic regression over ids, learned one event at a time, with weights that can be exactly zero.

A row is a handful of ids: who, what, and crosses of columns such as (user, genre). Each id that a field shows has a
weight w_j, and the predicted probability is sigmoid(sum of the row's weights). After an event with gradient g_j, the
model keeps two numbers for each weight,

    n_j += g_j^2        z_j += g_j - s_j w_j        with s_j = (n_j^p - its old value) / alpha,

and the weight is read off them:

    w_j = 0 if |z_j| <= l1,   else  -(z_j - sign(z_j) l1) / ((beta + n_j^p) / alpha + l2).

Names of ids are hashed to 64 bits, so that no table of names is kept; ``buckets`` folds them into a table of a fixed
size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsys_course.events import EventsError, check_events
from recsys_course.models import _ftrl_kernels as kernels
from recsys_course.models.base import Model, NotFittedError, Vocabulary, padded
from recsys_course.models.labels import check_yes_or_no
from recsys_course.models.settings import at_least, finite
from recsys_course.plan import Plan

__all__ = ["FTRLProximal", "hash_fields"]


def hash_fields(events: pd.DataFrame, fields: Sequence[str | tuple[str, ...]], *, salt: int = 0) -> np.ndarray:
    """A 64-bit name for what each field of each row shows, uint64, shape (n_rows, n_fields).

    Parameters
    ----------
    events : DataFrame
        Has the columns that the fields name; other columns are not read.
    fields : sequence of str or tuple of str
        Columns, and crosses of columns. One value in two fields has two names.
    salt : int
        Another salt gives other names: a second hash function.

    Raises
    ------
    EventsError
        A column is not there, or a value is missing.

    Notes
    -----
    The same on every machine and in every run, unlike Python's ``hash``. A column has to keep its type: 1, 1.0 and "1"
    are three names. Taught in chapter 08a.

    Examples
    --------
    >>> table = pd.DataFrame({"user": [1, 1, 2], "genre": ["war", "war", "war"]})
    >>> names = hash_fields(table, ["genre", ("user", "genre")])
    >>> [len(set(column)) for column in names.T.tolist()]
    [1, 2]
    """
    out = np.empty((len(events), len(fields)), np.uint64)
    hashed: dict[str, np.ndarray] = {}
    for f, field in enumerate(fields):
        columns = (field,) if isinstance(field, str) else tuple(field)
        for name in columns:
            if name not in hashed:
                hashed[name] = _hash_column(events, name)
        start = pd.util.hash_array(np.array([f"{salt}|{'|'.join(columns)}"], dtype=object), categorize=False)
        mixed = np.full(len(events), start[0])
        for name in columns:
            mixed = _mix(mixed ^ hashed[name])
        out[:, f] = mixed
    return out


def _hash_column(events: pd.DataFrame, name: str) -> np.ndarray:
    if name not in events.columns:
        raise EventsError(f"column {name!r} is missing: the table has {list(map(str, events.columns))}")
    code, distinct = pd.factorize(events[name])
    if (code < 0).any():
        row = int(np.argmax(code < 0))
        raise EventsError(f"column {name!r} is missing a value in row {row}: give what is not known a name of its own")
    return pd.util.hash_array(np.asarray(distinct), categorize=False)[code]


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: each bit of the result depends on each bit of x, and no two x give one result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class FTRLProximal(Model):
    """Predicts the probability of a label of 1 from ids, by follow-the-proximally-regularised-leader.

    Parameters
    ----------
    fields : sequence of str or tuple of str
        The columns that are features, and crosses of columns; a constant, the intercept, is always added.
    alpha, beta : float
        A weight whose squared gradients add up to n steps at the rate alpha / (beta + n ** power).
    l1 : float
        A weight is exactly zero where its z is not larger than this, up to sign.
    l2 : float
        Pulls weights to zero without making them zero.
    power : float
        0.5 is the paper's rate; 0 a rate that does not decay, alpha / (beta + 1).
    epochs : int
        Passes that :meth:`fit` makes; :meth:`update` makes one.
    buckets : int, optional
        Size of the table of weights: ids are hashed into it, and may share one. Unless told, every id has its own
        weight, and the table grows with the ids.
    salt : int
        Another salt, another hash function.

    Raises
    ------
    EventsError
        The events are no events table, a label is not 0 or 1, or a field is missing; the model is left as it was.
    NotFittedError
        Asked to predict before anything was learned.
    ValueError
        A setting is out of its range.

    Notes
    -----
    McMahan et al., Ad Click Prediction: a View from the Trenches, KDD 2013, 10.1145/2487575.2488200, algorithm 1. Ids
    that were never met add nothing to a prediction. Taught in chapter 08a.

    Examples
    --------
    >>> events = pd.DataFrame({"user": [1, 2] * 50, "item": 7, "label": [1.0, 0.0] * 50, "timestamp": range(100)})
    >>> model = FTRLProximal(["user", "item"], alpha=0.5).fit(events)
    >>> (model.predict(events.head(2)) > 0.5).tolist()
    [True, False]
    >>> model.n_weights, model.n_nonzero
    (4, 4)
    >>> FTRLProximal(["user", "item"], alpha=0.5, l1=30.0).fit(events).n_nonzero
    0
    """

    def __init__(
        self,
        fields: Sequence[str | tuple[str, ...]] = ("user", "item"),
        *,
        alpha: float = 0.1,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 0.0,
        power: float = 0.5,
        epochs: int = 1,
        buckets: int | None = None,
        salt: int = 0,
    ) -> None:
        finite("alpha", alpha, positive=True)
        for name, value in (("beta", beta), ("l1", l1), ("l2", l2), ("power", power)):
            finite(name, value)
        for name, count in (("epochs", epochs), ("buckets", buckets)):
            if count is not None:
                at_least(name, count, 1)
        self.fields = tuple(fields)
        self.alpha, self.beta, self.l1, self.l2, self.power = alpha, beta, l1, l2, power
        self.epochs = epochs
        self.buckets = buckets
        self.salt = salt
        self.examples_learned = 0
        self._z: np.ndarray | None = None

    def fit(self, events: pd.DataFrame) -> FTRLProximal:
        names = self._names(events, labelled=True)
        self._start()
        for _ in range(self.epochs):
            self._learn(names, events)
        return self

    def update(self, events: pd.DataFrame) -> FTRLProximal:
        names = self._names(events, labelled=True)
        if self._z is None:
            self._start()
        self._learn(names, events)
        return self

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        z, n = self._state()
        out = np.empty(len(events))
        kernels.predict(0, len(events), self._find(self._names(events)), z, n, self._settings, out)
        return out

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> np.ndarray:
        self._state()
        names, arriving = self._names(events, labelled=True), plan.arriving(first, last)
        self._add(names[arriving])
        z, n = self._state()
        out = np.empty(plan.n_predicted(first, last))
        labels = events["label"].to_numpy()
        kernels.run(*plan.part(first, last), self._find(names), labels, z, n, self._settings, out)
        self.examples_learned += len(arriving)
        return out

    @property
    def weights(self) -> np.ndarray:
        """The weights, in order of arrival (or by bucket), shape (n_weights,)."""
        z, n = self._state()
        return kernels.all_weights(z[: self.n_weights], n[: self.n_weights], self._settings)

    @property
    def n_weights(self) -> int:
        """Weights that are kept, zero or not."""
        self._state()
        return len(self._vocabulary) if self.buckets is None else self.buckets

    @property
    def n_nonzero(self) -> int:
        """Weights that are not zero: what a server needs in order to predict."""
        return int(np.count_nonzero(self.weights))

    @property
    def nbytes(self) -> int:
        """Two numbers of 8 bytes for each weight; the names of ids, which a table without buckets needs, left out."""
        return 16 * self.n_weights

    # --------------------------------------------------------------------------------------- inside

    @property
    def _settings(self) -> tuple[float, ...]:
        return float(self.alpha), float(self.beta), float(self.l1), float(self.l2), float(self.power)

    def _start(self) -> None:
        self._vocabulary = Vocabulary()
        self._z, self._n = np.zeros(self.buckets or 16), np.zeros(self.buckets or 16)
        self.examples_learned = 0

    def _state(self) -> tuple[np.ndarray, np.ndarray]:
        if self._z is None:
            raise NotFittedError("FTRLProximal has learned nothing yet: call fit or update first")
        return self._z, self._n

    def _names(self, events: pd.DataFrame, *, labelled: bool = False) -> np.ndarray:
        if labelled:
            check_events(events)
            check_yes_or_no(events, loss="logistic loss")
        intercept = np.zeros((len(events), 1), np.uint64)
        return np.hstack([intercept, hash_fields(events, self.fields, salt=self.salt)])

    def _add(self, names: np.ndarray) -> np.ndarray:
        """The weight that each name points at; a name not met before gets the next free one."""
        if self.buckets is not None:
            return self._find(names)
        numbers = self._vocabulary.add(names.ravel()).reshape(names.shape)
        have = len(self._n)
        if len(self._vocabulary) > have:
            # Twice the room each time: a million newcomers cost a million copies in all, not a million each.
            room = max(len(self._vocabulary), 2 * have)
            self._z, self._n = padded(self._state()[0], room), padded(self._n, room)
        return numbers

    def _find(self, names: np.ndarray) -> np.ndarray:
        if self.buckets is not None:
            return (names % np.uint64(self.buckets)).astype(np.int64)
        return self._vocabulary.find(names.ravel()).reshape(names.shape)

    def _learn(self, names: np.ndarray, events: pd.DataFrame) -> None:
        numbers = self._add(names)
        z, n = self._state()
        kernels.learn(np.arange(len(events)), numbers, events["label"].to_numpy(), z, n, self._settings)
        self.examples_learned += len(events)
