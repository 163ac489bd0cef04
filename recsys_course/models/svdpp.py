"""SVD++: what a user chose to rate says something too, whatever the rating was.

The score of SVD++ is

    mu + b_u + b_i + (p_u + z_u) . q_i      with      z_u = n**-0.5 * sum of y_j over the n items that u has rated

so that each rating of a user moves the y_j of all n items, and a pass over the ratings costs n_factors * n for each of
them. It need not. Written out, the step of one rating with error e is, for every j that u has rated,

    y_j <- y_j + s (n**-0.5 e q_i - l y_j) = a y_j + s n**-0.5 e q_i      with      a = 1 - s l

The second term is the same for all j. Summed over j and divided by the root of n, z moves by a rule of its own,

    z <- a z + s e q_i

and z is all of the y_j that a score of u needs. So we let the ratings of one user pass with z alone. After T of them
each y_j stands at a**T y_j + n**-0.5 * (the sum of s e q_i, each shrunk by the steps behind it), and the same sum is
what z has gained beyond shrinking, z_end - a**T z_start. Hence, once for each user,

    y_j <- a**T y_j + n**-0.5 (z_end - a**T z_start)

Nothing was approximated: the numbers are those of the plain loop up to rounding, at n_factors a rating. The price is
that a pass must go user by user.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_course.models import _rating_kernels as kernels
from recsys_course.models.biased import BiasedFactorization, check_initial, replace_first
from recsys_course.models.ratings import longer
from recsys_course.models.settings import finite

__all__ = ["SVDPlusPlus"]


class SVDPlusPlus(BiasedFactorization):
    """Predicts ratings from mu + b_u + b_i + (p_u + z_u) . q_i, where z_u sums up which items the user has rated.

    Parameters
    ----------
    n_factors, epochs, step_size, bias_step_size, decay, regularization, user_bias_regularization, \
item_bias_regularization, label_range, init_spread, dtype, rng
        As for :class:`~recsys_course.models.BiasedFactorization`.
    implied_step_size, implied_regularization : float, optional
        Step and regularisation of the y_j; unless told, as for the factors.
    order : {"shuffled", "by user"}
        Whether :meth:`fit` draws, for each pass, a new order of the users and of each user's ratings, or takes both in
        the order of arrival. Either way the ratings of a user are learned together.
    initial : (ndarray, ndarray, ndarray), optional
        The p of the first users, and q and y of the first items, in order of arrival; the rest is drawn.

    Raises
    ------
    EventsError, NotFittedError, FloatingPointError
        As for :class:`~recsys_course.models.BiasedFactorization`.

    Notes
    -----
    Koren, KDD 2008, 10.1145/1401890.1401944, section 4; the derivation of the regrouped pass heads this module. An item
    rated twice by a user stands once among the n. :meth:`update` learns event by event, each at a cost of
    n_factors * n. Taught in chapter 06a.

    Examples
    --------
    >>> ratings = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2], "item": [7, 8, 7, 9], "label": [5.0, 1.0, 4.0, 2.0], "timestamp": [1, 2, 3, 4]}
    ... )
    >>> model = SVDPlusPlus(2, epochs=100, step_size=0.05, rng=np.random.default_rng(0)).fit(ratings)
    >>> model.predict(ratings).round(1)
    array([5., 1., 4., 2.])
    """

    orders = ("shuffled", "by user")

    def __init__(
        self,
        n_factors: int = 16,
        *,
        implied_step_size: float | None = None,
        implied_regularization: float | None = None,
        initial: tuple[np.ndarray, ...] | None = None,
        rng: np.random.Generator,
        **settings,
    ) -> None:
        super().__init__(n_factors, rng=rng, **settings)
        self.initial = check_initial(initial, ("user", "item", "implied"), n_factors)
        self.implied_step_size = self.step_size if implied_step_size is None else implied_step_size
        self.implied_regularization = self.regularization if implied_regularization is None else implied_regularization
        finite("implied_step_size", self.implied_step_size)
        finite("implied_regularization", self.implied_regularization)

    def fit(self, events: pd.DataFrame) -> SVDPlusPlus:
        self._check(events)
        self._start()
        users, items = self._admit(events)
        labels = events["label"].to_numpy(self.dtype)
        n_users, n_items = (len(words) for words in self._vocabularies())
        self._met[:4] = events["label"].mean(), len(events), n_users, n_items
        starts, rows = kernels.group_rows(users, n_users)
        had = kernels.distinct_partners(starts, rows, items, n_items)
        order = np.arange(n_users)
        for epoch in range(self.epochs):
            if self.order == "shuffled":
                order = self._draws.permutation(n_users)
                kernels.shuffle_groups(starts, rows, self._draws.random(len(rows)))
            rates, mean = self._rates(self.decay**epoch), self.dtype.type(self._met[0])
            kernels.descend_implied(order, starts, rows, *had, items, labels, mean, self._state, self._implied, rates)
        self._make_room(len(rows))
        kernels.chain_up(*had, self._pairs)
        self.examples_learned += self.epochs * len(events)
        self._guard(self.step_size)
        return self

    def learn_one(self, user, item, label: float) -> float:
        if not self._low <= label <= self._high:
            self._refuse(user, item, label)
        table = pd.DataFrame({"user": [user], "item": [item], "label": [float(label)], "timestamp": [0]})
        return float(self.predict_then_learn(table)[0])

    # --------------------------------------------------------------------------------------- inside

    def _start(self) -> None:
        self._implied = np.zeros((0, self.n_factors), self.dtype)
        # What each user has had, as chains: item and next of each pair; head and count of each user; number of pairs.
        self._pairs = tuple(np.zeros(size, np.int64) for size in (0, 0, 0, 0, 1))
        self._summed: np.ndarray | None = None
        super()._start()
        (self._implied_draws,) = self._draws.spawn(1)

    def _grow(self) -> None:
        super()._grow()
        have = len(self._implied)
        self._implied = self._more(self._implied, len(self._vocabularies()[1]), self._implied_draws)
        if self.initial is not None:
            replace_first(self._implied, have, self.initial[2])

    def _make_room(self, n_events: int) -> None:
        """Room in the chains for the present users, and for a new pair with each event."""
        item, following, head, count, n_pairs = self._pairs
        n_users = len(self._vocabularies()[0])
        new_head = longer(head, n_users)
        new_head[len(head) :] = -1
        needed = int(n_pairs[0]) + n_events
        self._pairs = longer(item, needed), longer(following, needed), new_head, longer(count, n_users), n_pairs
        self._summed = None

    def _meet(self, users: np.ndarray, items: np.ndarray, labels: np.ndarray) -> np.ndarray:
        self._make_room(len(labels))
        out = np.empty(len(labels))
        kernels.meet_all_implied(
            users,
            items,
            labels,
            self._met,
            self.count_initial,
            self._state,
            self._implied,
            self._pairs,
            self._rates(),
            out,
        )
        return out

    def _rates(self, shrunk: float = 1.0) -> np.ndarray:
        return np.append(
            super()._rates(shrunk), np.array([self.implied_step_size * shrunk, self.implied_regularization], self.dtype)
        )

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        # An event moves the z of everybody who has had one of its items: added up when asked, and kept till it changes.
        if self._summed is None:
            self._summed = np.zeros((len(self._pairs[2]), self.n_factors), self.dtype)
            kernels.add_up_chains(self._pairs, self._implied, self._summed)
            self._summed += self._user_factors[: len(self._summed)]
        return self._summed, self._item_factors

    @property
    def nbytes(self) -> int:
        """Size in bytes: 2 n_factors + 1 numbers per item, n_factors + 1 per user, 16 bytes per distinct pair."""
        n_items = len(self._vocabularies()[1])
        return super().nbytes + self.dtype.itemsize * self.n_factors * n_items + 16 * int(self._pairs[4][0])
