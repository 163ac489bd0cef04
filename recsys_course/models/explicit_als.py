"""Alternating least squares on ratings: half of the parameters at a time, each half in closed form.

The objective is that of the biased factorisation, summed over the ratings,

    sum of (r - mu - b_u - b_i - p_u . q_i)**2  +  ridge * (sum of b**2 + |p|**2 + |q|**2)

It is no quadratic function of all parameters at once, but it is one of x_u = (b_u, p_u) while the items stand still:
then each user has a ridge regression of its own, of the targets r - mu - b_i on the rows d_i = (1, q_i),

    (sum of d_i d_i' + ridge I) x_u = sum of d_i (r - mu - b_i)

and the same holds for the items while the users stand still. Each solution is the minimum of its part, so the objective
never rises. The same equation places a newcomer among what was learned, without touching anything else: folding in.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_course.events import EventsError
from recsys_course.models import _rating_kernels as kernels
from recsys_course.models.ratings import RatingModel, no_ratings
from recsys_course.models.settings import at_least, finite

__all__ = ["ExplicitALS"]


class ExplicitALS(RatingModel):
    """Predicts ratings from mu + b_u + b_i + p_u . q_i, fitted by alternating ridge regressions.

    Parameters
    ----------
    n_factors : int
        Length of p_u and q_i.
    sweeps : int
        How often :meth:`fit` solves for all users and then for all items.
    regularization : float
        The ridge; above 0, which makes every solution unique.
    per_rating : bool
        Whether the ridge of a row is multiplied by its number of ratings, as in Zhou and others (2008).
    label_range : (float, float), optional
        Labels outside are refused; what :meth:`predict` says is kept inside.
    init_spread : float
        Standard deviation of the initial factors.
    rng : numpy.random.Generator
        Draws the initial factors; copied, so that each fit starts from the same state.

    Raises
    ------
    EventsError
        The events are no events table, or a label lies outside the range; the model is left as it was.
    NotFittedError
        Asked to predict before anything was learned.

    Notes
    -----
    Zhou, Wilkinson, Schreiber and Pan, AAIM 2008, 10.1007/978-3-540-68880-8_32. The ratings are kept, 16 bytes each,
    since :meth:`update` needs all those of the users and items that it solves for. mu is the mean of the labels of
    :meth:`fit` and stays. One thread: a row's solution does not depend on another's, so threads would change nothing.
    Taught in chapter 06a.

    Examples
    --------
    >>> ratings = pd.DataFrame(
    ...     {"user": [1, 1, 2, 2], "item": [7, 8, 7, 9], "label": [5.0, 1.0, 4.0, 2.0], "timestamp": [1, 2, 3, 4]}
    ... )
    >>> model = ExplicitALS(2, regularization=0.01, rng=np.random.default_rng(0)).fit(ratings)
    >>> model.predict(ratings).round(1)
    array([5., 1., 4., 2.])
    >>> newcomer = pd.DataFrame({"user": [3], "item": [8], "label": [1.0], "timestamp": [5]})
    >>> model.fold_in(newcomer).predict(newcomer).round(1)
    array([1.])
    """

    def __init__(
        self,
        n_factors: int = 16,
        *,
        sweeps: int = 15,
        regularization: float = 0.1,
        per_rating: bool = False,
        label_range: tuple[float, float] | None = None,
        init_spread: float = 0.1,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(n_factors, label_range, init_spread, np.float64, rng)
        at_least("sweeps", sweeps, 1)
        finite("regularization", regularization, positive=True)
        self.sweeps = sweeps
        self.regularization = regularization
        self.per_rating = per_rating

    def fit(self, events: pd.DataFrame) -> ExplicitALS:
        self._check(events)
        self._start()
        self._past: tuple[np.ndarray, ...] = no_ratings()
        self._remember(events)
        self._met[0] = events["label"].mean()
        for _ in range(self.sweeps):
            self.sweep()
        return self

    def sweep(self) -> ExplicitALS:
        """Solve for every user, then for every item, once more; :meth:`objective` does not rise."""
        users, items = self._vocabularies()
        self._solve_users(np.arange(len(users)))
        self._solve_items(np.arange(len(items)))
        self.examples_learned += len(self._past[0])
        return self

    def update(self, events: pd.DataFrame) -> ExplicitALS:
        """Add ratings, then solve for the users that they touch, then for the items; all else stays where it is.

        Each solution takes in all ratings of its row, so the objective over everything that was learned does not rise.
        """
        if self._users is None:
            return self.fit(events)
        self._check(events)
        users, items = self._remember(events)
        self._solve_users(np.unique(users))
        self._solve_items(np.unique(items))
        self.examples_learned += len(events)
        return self

    def fold_in(self, events: pd.DataFrame) -> ExplicitALS:
        """Place newcomers by their ratings, in closed form, and leave every other parameter as it was.

        Parameters
        ----------
        events : DataFrame, shape (n_rows, ...)
            An events table in which each row has one newcomer: a new user on a known item, or a new item rated by a
            known user.

        Raises
        ------
        EventsError
            A row has no newcomer (use :meth:`update`), or two.
        """
        self._check(events)
        users, items = self._find(events)
        wrong = (users < 0) == (items < 0)
        if wrong.any():
            row = int(np.argmax(wrong))
            how = "are both new" if users[row] < 0 else "are both known: use update"
            raise EventsError(
                f"row {row}: user {events['user'].iloc[row]!r} and item {events['item'].iloc[row]!r} {how}; "
                "folding in takes one newcomer in each row"
            )
        new_users, new_items = users < 0, items < 0
        users, items = self._remember(events)
        self._solve_users(np.unique(users[new_users]))
        self._solve_items(np.unique(items[new_items]))
        self.examples_learned += len(events)
        return self

    def objective(self) -> float:
        """The regularised sum of squares over all ratings that were learned."""
        users, items, labels = self._past
        out = np.empty(len(labels))
        kernels.score_pairs(users, items, self._met[0], self._user_bias, self._item_bias, *self._vectors(), out)
        total = float(((labels - out) ** 2).sum())
        sides = ((users, self._user_bias, self._user_factors), (items, self._item_bias, self._item_factors))
        for codes, bias, factors in sides:
            counts = np.bincount(codes, minlength=len(bias))
            ridge = self.regularization * (counts if self.per_rating else counts > 0)
            total += float((ridge * (bias**2 + (factors**2).sum(axis=1))).sum())
        return total

    @property
    def nbytes(self) -> int:
        """Size in bytes: n_factors + 1 numbers per user and per item, and 16 bytes for each rating that is kept."""
        return super().nbytes + sum(array.nbytes for array in self._past)

    # --------------------------------------------------------------------------------------- inside

    def _remember(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        users, items = self._admit(events)
        new = users, items, events["label"].to_numpy(np.float64)
        self._past = tuple(np.concatenate(pair) for pair in zip(self._past, new, strict=True))
        return users, items

    def _solve_users(self, which: np.ndarray) -> None:
        users, items, labels = self._past
        own, other = (self._user_bias, self._user_factors), (self._item_bias, self._item_factors)
        self._solve(which, users, items, labels, *own, *other)

    def _solve_items(self, which: np.ndarray) -> None:
        users, items, labels = self._past
        own, other = (self._item_bias, self._item_factors), (self._user_bias, self._user_factors)
        self._solve(which, items, users, labels, *own, *other)

    def _solve(self, which, own, other, labels, bias, factors, other_bias, other_factors) -> None:
        starts, rows = kernels.group_rows(own, len(bias))
        kernels.solve_rows(
            which,
            starts,
            rows,
            other,
            labels,
            self._met[0],
            bias,
            factors,
            other_bias,
            other_factors,
            self.regularization,
            self.per_rating,
        )
