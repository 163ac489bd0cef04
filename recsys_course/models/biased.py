"""Biased matrix factorisation by stochastic gradient descent, with every setting in the open.

The model is that of :class:`~recsys_course.models.MatrixFactorization`, which the replays walk:

    mu + b_u + b_i + p_u . q_i

and one rating r moves, with e = r - (the score), from the old values of all four,

    b_u += s_b (e - l_u b_u)      p_u += s (e q_i - l p_u)
    b_i += s_b (e - l_i b_i)      q_i += s (e p_u - l q_i)

Here biases and factors have step sizes and regularisation of their own, the step may shrink from pass to pass, the
order of a pass and the initial factors can be given, and numbers may have 32 bits. That is enough to be other
libraries' models number for number, which the tests check:

- scikit-surprise's SVD passes over the ratings user by user: ``order="by user"``.
- River's BiasedMF learns each event once. Its gradient of the squared error is 2 e where its L2 term is not doubled:
  ``step_size`` is twice River's rate, and ``regularization`` half its L2. It counts the random initial factors of a
  newcomer in the prediction before the first event: ``count_initial=True``.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from recsys_course.events import EventsError
from recsys_course.models import _rating_kernels as kernels
from recsys_course.models.ratings import RatingModel
from recsys_course.models.settings import at_least, finite

__all__ = ["BiasedFactorization"]


class BiasedFactorization(RatingModel):
    """Predicts ratings from mu + b_u + b_i + p_u . q_i, learned by stochastic gradient descent.

    Parameters
    ----------
    n_factors : int
        Length of p_u and q_i.
    epochs : int
        Passes that :meth:`fit` makes; :meth:`update` makes one.
    step_size, bias_step_size : float
        Steps of the factors and of the biases; unless told, the same.
    decay : float
        What the steps are multiplied by after each pass of :meth:`fit`; :meth:`update` steps at full length.
    regularization : float
        How strongly factors are pulled to zero, per step.
    user_bias_regularization, item_bias_regularization : float, optional
        The same for the biases; unless told, as for the factors.
    order : {"shuffled", "arrival", "by user"}
        The order of a pass of :meth:`fit`: drawn anew each time, that of the rows, or user by user in order of arrival.
    count_initial : bool
        Whether :meth:`learn_one` and :meth:`predict_then_learn` count a newcomer's random factors when they predict
        its first event; if not, a newcomer adds nothing, as in :meth:`predict`.
    label_range : (float, float), optional
        Labels outside are refused; what :meth:`predict` says is kept inside.
    init_spread : float
        Standard deviation of the initial factors.
    initial : (ndarray, ndarray), optional
        Factors of the first users and of the first items, in order of arrival; the rest is drawn.
    dtype : {numpy.float32, numpy.float64}
        Of the parameters and the arithmetic: 32 bits learn faster, and lose nothing that a rating could tell.
    rng : numpy.random.Generator
        Draws initial factors and orders; copied, so that each fit starts from the same state.

    Raises
    ------
    EventsError
        The events are no events table, or a label lies outside the range; the model is left as it was.
    NotFittedError
        Asked to predict before anything was learned.
    FloatingPointError
        The step was too large and the parameters ran away.

    Notes
    -----
    Koren, Bell and Volinsky, Computer 42(8), 2009, 10.1109/MC.2009.263, equations 4 and 5. In :meth:`fit` mu is the
    mean of all labels; in :meth:`update` it is a running mean that takes each label in before the gradient is formed.
    Settings are read when the model starts to learn. Taught in chapter 06a.

    Examples
    --------
    >>> ratings = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2], "item": [7, 8, 7, 9], "label": [5.0, 1.0, 4.0, 2.0], "timestamp": [1, 2, 3, 4]}
    ... )
    >>> model = BiasedFactorization(2, epochs=100, step_size=0.1, regularization=0.01, rng=np.random.default_rng(0))
    >>> model.fit(ratings).predict(ratings).round(1)
    array([5., 1., 4., 2.])
    >>> round(model.learn_one(2, 8, 1.0), 1)  # what it would have said, before it learned that
    1.5
    """

    orders: tuple[str, ...] = ("shuffled", "arrival", "by user")

    def __init__(
        self,
        n_factors: int = 16,
        *,
        epochs: int = 20,
        step_size: float = 0.02,
        bias_step_size: float | None = None,
        decay: float = 1.0,
        regularization: float = 0.05,
        user_bias_regularization: float | None = None,
        item_bias_regularization: float | None = None,
        order: str = "shuffled",
        count_initial: bool = False,
        label_range: tuple[float, float] | None = None,
        init_spread: float = 0.1,
        initial: tuple[np.ndarray, ...] | None = None,
        dtype: type = np.float64,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(n_factors, label_range, init_spread, dtype, rng)
        self.epochs = epochs
        self.step_size = step_size
        self.bias_step_size = step_size if bias_step_size is None else bias_step_size
        self.decay = decay
        self.regularization = regularization
        self.user_bias_regularization = regularization if user_bias_regularization is None else user_bias_regularization
        self.item_bias_regularization = regularization if item_bias_regularization is None else item_bias_regularization
        at_least("epochs", epochs, 1)
        for name in ("step_size", "bias_step_size", "decay", "regularization"):
            finite(name, getattr(self, name))
        for name in ("user_bias_regularization", "item_bias_regularization"):
            finite(name, getattr(self, name))
        if order not in self.orders:
            raise ValueError(f"order must be one of {', '.join(self.orders)}, not {order!r}")
        self.order = order
        self.count_initial = count_initial
        # Comparing with the largest number there is refuses infinity too, and NaN compares with nothing.
        self._low, self._high = label_range or (-sys.float_info.max, sys.float_info.max)
        self.initial = check_initial(initial, ("user", "item"), n_factors)

    def fit(self, events: pd.DataFrame) -> BiasedFactorization:
        self._check(events)
        self._start()
        users, items = self._admit(events)
        labels = events["label"].to_numpy(self.dtype)
        n_users, n_items = (len(words) for words in self._vocabularies())
        self._met[:4] = events["label"].mean(), len(events), n_users, n_items
        rows = np.arange(len(events))
        if self.order == "by user":
            rows = kernels.group_rows(users, n_users)[1]
        for epoch in range(self.epochs):
            if self.order == "shuffled":
                rows = self._draws.permutation(len(events))
            rates = self._rates(self.decay**epoch)
            kernels.descend(rows, users, items, labels, self.dtype.type(self._met[0]), self._state, rates)
        self.examples_learned += self.epochs * len(events)
        self._guard(self.step_size)
        return self

    def update(self, events: pd.DataFrame) -> BiasedFactorization:
        self.predict_then_learn(events)
        return self

    def predict_then_learn(self, events: pd.DataFrame) -> np.ndarray:
        """Predict each event from all before it, then learn it; the predictions, shape (n_rows,), not kept in range.

        One compiled pass, and the same numbers as :meth:`learn_one` called for one row after the other.
        """
        self._check(events)
        if self._users is None:
            self._start()
        out = self._meet(*self._admit(events), events["label"].to_numpy(np.float64))
        self.examples_learned += len(events)
        self._guard(self.step_size)
        return out

    def _meet(self, users: np.ndarray, items: np.ndarray, labels: np.ndarray) -> np.ndarray:
        out = np.empty(len(labels))
        kernels.meet_all(users, items, labels, self._met, self.count_initial, *self._state, out)
        return out

    def learn_one(self, user, item, label: float) -> float:
        """Learn one event without a table around it; returns what was predicted before, not kept in range.

        Raises
        ------
        EventsError
            The label is not finite, or outside ``label_range``; the model is left as it was.
        """
        if not self._low <= label <= self._high:
            self._refuse(user, item, label)
        if self._users is None:
            self._start()
        u, i = self._user_rows[user], self._item_rows[item]  # a newcomer is numbered by being looked up
        if u >= self._user_room or i >= self._item_room:
            self._grow()
        self.examples_learned += 1
        return kernels.meet_one(u, i, label + 0.0, self._met, self.count_initial, *self._state)

    def predict_one(self, user, item) -> float:
        """What :meth:`predict` says of one pair, without a table around it and not kept in range; draws nothing.

        Raises
        ------
        NotFittedError
            Nothing was learned yet.
        """
        users, items = self._vocabularies()
        u, i = users.rows.get(user, -1), items.rows.get(item, -1)
        score = self._met[0]
        if u >= 0:
            score += self._user_bias[u]
        if i >= 0:
            score += self._item_bias[i]
        if u >= 0 and i >= 0:
            score += self._user_factors[u] @ self._item_factors[i]
        return float(score)

    # --------------------------------------------------------------------------------------- inside

    def _refuse(self, user, item, label: float) -> None:
        raise EventsError(
            f"the label {label} of user {user!r} and item {item!r} is no number from {self._low} to {self._high}"
        )

    def _start(self) -> None:
        super()._start()
        self._met = np.append(self._met, self._rates())  # the passes that predict and learn read both
        self._gather()

    def _grow(self) -> None:
        have = len(self._user_factors), len(self._item_factors)
        super()._grow()
        if self.initial is not None:
            replace_first(self._user_factors, have[0], self.initial[0])
            replace_first(self._item_factors, have[1], self.initial[1])
        self._gather()

    def _gather(self) -> None:
        # At hand for learn_one, to which the price of an attribute matters.
        users, items = self._vocabularies()
        self._user_rows, self._item_rows = users.rows, items.rows
        self._user_room, self._item_room = len(self._user_bias), len(self._item_bias)
        self._state = self._user_bias, self._item_bias, self._user_factors, self._item_factors

    def _rates(self, shrunk: float = 1.0) -> np.ndarray:
        """Steps of b_u, b_i and the factors, then what each is shrunk by: what the kernels know of the settings."""
        steps = (self.bias_step_size * shrunk, self.bias_step_size * shrunk, self.step_size * shrunk)
        shrink = (self.user_bias_regularization, self.item_bias_regularization, self.regularization)
        return np.array(steps + shrink, self.dtype)


def replace_first(grown: np.ndarray, have: int, given: np.ndarray) -> None:
    """Rows from ``have`` on take what was given for them, as far as it was."""
    grown[have : len(given)] = given[have : len(grown)]


def check_initial(initial, names: tuple[str, ...], n_factors: int):
    if initial is None:
        return None
    for name, array in zip(names, initial, strict=True):
        if np.ndim(array) != 2 or np.shape(array)[1] != n_factors or not np.isfinite(array).all():
            raise ValueError(
                f"initial {name} factors must be finite, of shape (n, {n_factors}), not of shape {np.shape(array)}"
            )
    return initial
