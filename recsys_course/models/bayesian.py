"""Bayesian factorisation by Gibbs sampling: not the best parameters, but a crowd of parameters that are all plausible.

The score has the implicit terms of SVD++ on both sides,

    mu + b_u + b_i + a_u . c_i      a_u = p_u + n_u**-0.5 * sum of y_j over the items that u has rated
                                    c_i = q_i + n_i**-0.5 * sum of w_v over the users that have rated i

a rating is normal about it with precision alpha, and every b, p, q, y, w is normal about 0 with a precision of its own
kind and factor. Given all the others, each single number then has a normal distribution that can be written down: for
p_uf, with c fixed and e the residuals,

    precision  alpha * S2 + lambda      mean  alpha * (S1 + S2 p_uf) / precision
    where S1 is the sum of e c_if over the ratings of u, and S2 the sum of c_if**2

A sweep draws each number in turn from its own (Gibbs sampling), then each precision from its gamma distribution; the
states that it wanders through are draws from the posterior. A prediction is the mean over the kept states, and their
spread says how much the ratings leave open. Nothing has to be tuned: the precisions, which are the regularisation, are
learned as well.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_course.models import _rating_kernels as kernels
from recsys_course.models.ratings import RatingModel, no_ratings
from recsys_course.models.settings import at_least

__all__ = ["BayesianFactorization"]

# Gamma(1/2, 1/2) for every precision: worth one observation, which a hundred ratings drown out.
_SHAPE = _RATE = 0.5


class BayesianFactorization(RatingModel):
    """Predicts ratings by averaging over draws from the posterior of a factorisation with implicit terms.

    Parameters
    ----------
    n_factors : int
        Length of the factors.
    sweeps : int
        Gibbs sweeps of :meth:`fit`.
    burn_in : int
        Sweeps at the beginning of :meth:`fit` that are not kept: they remember where it started.
    update_sweeps : int
        Sweeps of :meth:`update`, over all ratings; all are kept, and what was kept before is let go.
    label_range : (float, float), optional
        Labels outside are refused; each draw's score is kept inside.
    init_spread : float
        Standard deviation of the initial factors.
    rng : numpy.random.Generator
        Draws everything; copied, so that each fit starts from the same state.

    Raises
    ------
    EventsError
        The events are no events table, or a label lies outside the range; the model is left as it was.
    NotFittedError
        Asked to predict before anything was learned.

    Notes
    -----
    Salakhutdinov and Mnih, ICML 2008, 10.1145/1390156.1390267, drew whole rows at a time; drawing one number at a time,
    as Rendle's libFM does (TIST 3(3), 2012, 10.1145/2168752.2168771), costs n_factors instead of n_factors**2 a rating.
    The ratings are kept: an update is a continuation of the same walk over more of them. A stranger's vector counts as
    zero, which is not that of the average user: vectors need not average to zero, with implicit terms or without. The
    chapter measures what that costs, and mends it with ``score_items``. Taught in chapter 06a.

    Examples
    --------
    >>> ratings = pd.DataFrame({"user": [1, 1, 1, 2] * 5, "item": [7, 8, 9, 7] * 5, "label": 4.0, "timestamp": 1})
    >>> ratings["label"] += np.tile([1.0, -1.0, 0.0, 0.5], 5)
    >>> model = BayesianFactorization(2, sweeps=50, rng=np.random.default_rng(0)).fit(ratings)
    >>> asked = pd.DataFrame({"user": [1, 3], "item": [7, 7]})
    >>> mean, spread = model.predict_with_spread(asked)
    >>> bool(spread[0] < spread[1])  # less is known about a stranger
    True
    """

    def __init__(
        self,
        n_factors: int = 16,
        *,
        sweeps: int = 30,
        burn_in: int = 5,
        update_sweeps: int = 10,
        label_range: tuple[float, float] | None = None,
        init_spread: float = 0.1,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(n_factors, label_range, init_spread, np.float64, rng)
        at_least("sweeps", sweeps, 1)
        at_least("burn_in", burn_in, 0)
        at_least("update_sweeps", update_sweeps, 1)
        if burn_in >= sweeps:
            raise ValueError(f"burn_in must be below sweeps, or no draw is kept: {burn_in} of {sweeps}")
        self.sweeps = sweeps
        self.burn_in = burn_in
        self.update_sweeps = update_sweeps

    def fit(self, events: pd.DataFrame) -> BayesianFactorization:
        self._check(events)
        self._start()
        self._past: tuple[np.ndarray, ...] = no_ratings()
        self._sides = (_Side(self.n_factors), _Side(self.n_factors))
        self._noise = 1.0
        self._take_in(events)
        self._sample(self.sweeps, self.burn_in)
        return self

    def update(self, events: pd.DataFrame) -> BayesianFactorization:
        if self._users is None:
            return self.fit(events)
        self._check(events)
        self._take_in(events)
        self._sample(self.update_sweeps, 0)
        return self

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        """The posterior mean of each row's rating, shape (n_rows,)."""
        return self.predict_with_spread(events)[0]

    def predict_with_spread(self, events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each row's expected rating over the kept draws, shapes (n_rows,).

        The spread is about what the user would give on average; a single rating scatters about that with the standard
        deviation :attr:`noise`. A user or an item that is not known adds nothing to the mean, and to the spread the
        variance of its prior: how much people, or items, differ.
        """
        users, items = self._find(events)
        low, high = (-np.inf, np.inf) if self.label_range is None else self.label_range
        mean, spread = np.empty(len(events)), np.empty(len(events))
        kernels.posterior_scores(users, items, self._met[0], *self._kept, low, high, mean, spread)
        return mean, spread

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The mean over the kept draws, not kept in range, shape (len(users), len(items)); -inf for an unknown item."""
        known_users, known_items = self._vocabularies()
        rows, columns = known_users.find(users), known_items.find(items)
        user_bias, item_bias, user_vectors, item_vectors = self._kept[:4]
        out = np.full((len(rows), len(columns)), self._met[0])
        met_users, met_items = rows >= 0, columns >= 0
        rows, columns = rows[met_users], columns[met_items]
        out[met_users] += user_bias[:, rows].mean(axis=0)[:, None]
        out[:, met_items] += item_bias[:, columns].mean(axis=0)
        for u, v in zip(user_vectors, item_vectors, strict=True):
            out[np.ix_(met_users, met_items)] += u[rows] @ v[columns].T / len(user_vectors)
        out[:, ~met_items] = -np.inf
        return out

    def parameters(self):
        """Not to be had: a posterior is a crowd of parameters, and their mean is none of them."""
        raise TypeError("a Bayesian factorisation has no single parameters: ask predict_with_spread")

    @property
    def noise(self) -> float:
        """Standard deviation of a single rating about what is expected of it, in the latest draw."""
        self._vocabularies()
        return float(self._noise**-0.5)

    @property
    def nbytes(self) -> int:
        """Size in bytes of what predicting needs: for each kept draw, n_factors + 1 numbers per user and per item."""
        self._vocabularies()
        return sum(array.nbytes for array in self._kept)

    # --------------------------------------------------------------------------------------- inside

    def _take_in(self, events: pd.DataFrame) -> None:
        users, items = self._admit(events)
        new = users, items, events["label"].to_numpy(np.float64)
        self._past = tuple(np.concatenate(pair) for pair in zip(self._past, new, strict=True))
        users, items, labels = self._past
        n_users, n_items = (len(words) for words in self._vocabularies())
        had = kernels.distinct_partners(*kernels.group_rows(users, n_users), items, n_items)
        raters = kernels.distinct_partners(*kernels.group_rows(items, n_items), users, n_users)
        self._met[0] = labels.mean()
        user_side, item_side = self._sides
        # A side's implicit terms belong to the other's ids: the y_j of items move users, the w_v of users move items.
        user_side.admit(users, n_users, n_items, self._user_factors, had, raters)
        item_side.admit(items, n_items, n_users, self._item_factors, raters, had)
        self._residual = np.empty(len(labels))
        kernels.score_pairs(
            users,
            items,
            self._met[0],
            user_side.bias,
            item_side.bias,
            np.ascontiguousarray(user_side.vector.T),
            np.ascontiguousarray(item_side.vector.T),
            self._residual,
        )
        self._residual[:] = labels - self._residual

    def _sample(self, sweeps: int, burn_in: int) -> None:
        user_side, item_side = self._sides
        draws = self._draws
        n = len(self._residual)
        kept = []
        for sweep in range(sweeps):
            self._noise = draw_precision(draws, self._residual)
            for own in self._sides:
                own.sample_biases(self._residual, self._noise, draws)
            for f in range(self.n_factors):
                for own, other in ((user_side, item_side), (item_side, user_side)):
                    own.sample_factor(f, other, self._residual, self._noise, draws)
            self.examples_learned += n
            if sweep >= burn_in:
                kept.append([*user_side.snapshot(), *item_side.snapshot()])
        user_bias, user_vectors, user_prior, item_bias, item_vectors, item_prior = (
            np.stack(of) for of in zip(*kept, strict=True)
        )
        self._kept = user_bias, item_bias, user_vectors, item_vectors, user_prior, item_prior


class _Side:
    """The parameters of one side: biases, factors, what the other side's ids imply, and their precisions."""

    def __init__(self, n_factors: int) -> None:
        self.bias = np.zeros(0)
        self.factors, self.implied, self.vector = (np.zeros((n_factors, 0)) for _ in range(3))
        self.precision = np.ones(n_factors)
        self.implied_precision = np.ones(n_factors)
        self.bias_precision = 1.0

    def admit(self, codes, n, n_other, factors, had, raters) -> None:
        """Take in the ratings as they stand now: ``codes`` has this side's row of each, newcomers among them."""
        have = self.factors.shape[1]
        self.codes, self.counts = codes, np.bincount(codes, minlength=n).astype(float)
        self.by_partner_starts, self.by_partner = raters
        self.bias = np.concatenate([self.bias, np.zeros(n - have)])
        self.factors = np.concatenate([self.factors, factors[have:n].T], axis=1)
        more = n_other - self.implied.shape[1]
        self.implied = np.concatenate([self.implied, np.zeros((len(self.implied), more))], axis=1)
        had_starts, had_codes = had
        size = np.diff(had_starts)
        self.scale = size**-0.5
        owner = np.repeat(np.arange(n), size)
        self.vector = np.empty_like(self.factors)
        for f, implied in enumerate(self.implied):
            self.vector[f] = self.factors[f] + self.scale * np.bincount(owner, implied[had_codes], minlength=n)

    def sample_biases(self, residual, noise, draws) -> None:
        self.bias_precision = draw_precision(draws, self.bias)
        normals = draws.standard_normal(len(self.bias))
        kernels.sample_biases(self.codes, self.counts, residual, noise, self.bias_precision, self.bias, normals)

    def sample_factor(self, f, other, residual, noise, draws) -> None:
        self.precision[f] = draw_precision(draws, self.factors[f])
        # At first all y are zero, and say nothing about how large they are.
        self.implied_precision[f] = draw_precision(draws, self.implied[f])
        kernels.sample_factor(
            self.codes,
            other.codes,
            self.by_partner_starts,
            self.by_partner,
            self.scale,
            residual,
            noise,
            self.precision[f],
            self.implied_precision[f],
            self.factors[f],
            self.implied[f],
            self.vector[f],
            other.vector[f],
            draws.standard_normal(self.factors.shape[1]),
            draws.standard_normal(self.implied.shape[1]),
        )

    def snapshot(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """This draw's biases (n,), vectors (n, n_factors), and the prior variances (n_factors + 1,), bias first."""
        prior = 1.0 / np.append(self.bias_precision, self.precision)
        return self.bias.copy(), np.ascontiguousarray(self.vector.T), prior


def draw_precision(draws: np.random.Generator, values: np.ndarray) -> float:
    """A precision given values that are normal about 0 with it: its gamma distribution, one draw."""
    return draws.gamma(_SHAPE + len(values) / 2) / (_RATE + (values**2).sum() / 2)
