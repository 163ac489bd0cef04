"""Two models on one stream, and many: what a difference is worth, and what the best of twenty is.

Both models meet the same events, so their losses are compared event by event; what is hard about an event is hard
for both, and drops out. What remains is not independent from event to event: the events of a user, or of a stretch of
time, go together. Every function here takes *groups*, what must stay together, and treats a whole group as one piece
of evidence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from recsys_course.metrics.intervals import group_interval

__all__ = ["Comparison", "benjamini_hochberg", "compare_losses", "holm", "sign_flip_p", "time_blocks"]


class Comparison(NamedTuple):
    """Mean of a loss minus another, an interval of 95 %, and how surprising the mean is if the two are equals."""

    difference: float
    low: float
    high: float
    p_value: float
    n_groups: int


def time_blocks(timestamps, length) -> np.ndarray:
    """Number of the stretch of time that each row lies in, counted from the first row's; for use as groups.

    Parameters
    ----------
    timestamps : int64 array, shape (n_rows,)
        Unix seconds, in order.
    length : str or Timedelta
        ``"7D"``, a week. It should be longer than what makes neighbours alike: a sitting, a day, an offer.

    Raises
    ------
    ValueError
        Times are not in order, or the length is not positive.

    Notes
    -----
    Taught in chapter 05b.

    Examples
    --------
    >>> time_blocks([0, 3600, 86_400, 200_000], "1D")
    array([0, 0, 1, 2])
    """
    timestamps = np.asarray(timestamps, np.int64)
    length = pd.Timedelta(length)
    if not length >= pd.Timedelta(seconds=1):
        raise ValueError(f"a block must last at least one second, not {length}")
    if (np.diff(timestamps) < 0).any():
        row = int(np.flatnonzero(np.diff(timestamps) < 0)[0]) + 1
        raise ValueError(f"timestamps are not in order: that of row {row} is before its predecessor's")
    if len(timestamps) == 0:
        return timestamps
    return (timestamps - timestamps[0]) // int(length.total_seconds())


def compare_losses(a, b, groups, *, rng: np.random.Generator, samples: int = 1000) -> Comparison:
    """Mean of ``a - b`` on one stream, with its interval and p-value by groups; below zero, a has the smaller loss.

    Parameters
    ----------
    a, b : array, shape (n_events,)
        Losses of two models on the same events.
    groups : array, shape (n_events,)
        What must stay together: users, or :func:`time_blocks`.
    rng : numpy.random.Generator
    samples : int
        Of the bootstrap (:func:`~recsys_course.metrics.intervals.group_interval`) and of :func:`sign_flip_p`.

    Raises
    ------
    ValueError
        Shapes differ, a loss is missing or infinite, or there are fewer than two groups.

    Notes
    -----
    Taught in chapter 05b.

    Examples
    --------
    >>> users = np.repeat(np.arange(40), 10)
    >>> a = np.random.default_rng(0).normal(size=400)
    >>> found = compare_losses(a, a + 0.1, users, rng=np.random.default_rng(0))
    >>> round(found.difference, 3), found.n_groups, found.p_value < 0.01
    (-0.1, 40, True)
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        raise ValueError(f"one model has losses of shape {a.shape}, the other {b.shape}: score both on the same events")
    difference = a - b
    _check(difference)
    interval = group_interval(difference, groups, rng=rng, samples=samples)
    p_value = sign_flip_p(difference, groups, rng=rng, samples=samples)
    return Comparison(*interval, p_value, len(pd.unique(np.asarray(groups))))


def sign_flip_p(difference, groups, *, rng: np.random.Generator, samples: int = 1000) -> float:
    """How often chance alone makes a mean difference as large as this one, either way, if the models are equals.

    Equals may change their names: in each sample a coin is tossed for each group, and on heads its differences change
    sign, all of them at once.

    Parameters
    ----------
    difference : array, shape (n_events,)
        Loss of one model minus loss of the other.
    groups : array, shape (n_events,)
    rng : numpy.random.Generator
    samples : int
        Tosses; the smallest value that can come out is 1 / (samples + 1).

    Raises
    ------
    ValueError
        Shapes differ, a difference is missing or infinite, or there are fewer than two groups.

    Notes
    -----
    Exact if each group's sum is as likely to be s as -s; the one is added because the data are a sample too. Phipson
    and Smyth, Statistical Applications in Genetics and Molecular Biology 9(1), 2010, 10.2202/1544-6115.1585. Taught
    in chapter 05b.

    Examples
    --------
    >>> one_way = np.ones(40)
    >>> sign_flip_p(one_way, np.arange(40), rng=np.random.default_rng(0)) < 0.01
    True
    >>> sign_flip_p(one_way, np.arange(40) // 20, rng=np.random.default_rng(0)) > 0.3  # only two users
    True
    """
    difference, groups = np.asarray(difference, float), np.asarray(groups)
    if difference.shape != groups.shape or difference.ndim != 1:
        raise ValueError(f"differences have shape {difference.shape}, groups {groups.shape}: give one of each per row")
    _check(difference)
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    number, _ = pd.factorize(groups)
    sums = np.bincount(number, weights=difference)
    if len(sums) < 2:
        raise ValueError(f"a comparison needs at least two groups, not {len(sums)}")
    observed = abs(sums.sum())
    # A hair less, or a sum in another order would not count as equal to itself.
    observed -= 1e-12 * np.abs(sums).sum()
    as_large, done = 0, 0
    while done < samples:
        some = min(samples - done, max(1, 2_000_000 // len(sums)))
        signs = 2.0 * rng.integers(2, size=(some, len(sums))) - 1.0
        as_large += int((np.abs(signs @ sums) >= observed).sum())
        done += some
    return (as_large + 1) / (samples + 1)


def holm(p_values) -> np.ndarray:
    """P-values corrected so that the chance of even one false find among all is at most the level one compares with.

    The smallest is multiplied by their number m, the next by m - 1, and so on; none may be below one before it.

    Parameters
    ----------
    p_values : array, shape (m,)

    Returns
    -------
    float64 ndarray, shape (m,), in the order of the input, at most 1

    Raises
    ------
    ValueError
        A value is missing or not between 0 and 1.

    Notes
    -----
    Holm, Scandinavian Journal of Statistics 6(2), 1979, pages 65-70. Nothing is asked of how the tests depend on each
    other. Taught in chapter 05b.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = _p_values(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(stepped, 1.0)
    return out


def benjamini_hochberg(p_values) -> np.ndarray:
    """P-values corrected so that, of what is called a find, at most a share of the level is false on average.

    Parameters
    ----------
    p_values : array, shape (m,)

    Returns
    -------
    float64 ndarray, shape (m,), in the order of the input

    Raises
    ------
    ValueError
        A value is missing or not between 0 and 1.

    Notes
    -----
    Benjamini and Hochberg, Journal of the Royal Statistical Society B 57(1), 1995, pages 289-300; for tests that are
    independent or depend positively. Taught in chapter 05b.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    array([0.03, 0.04, 0.04])
    """
    p = _p_values(p_values)
    order = np.argsort(p, kind="stable")[::-1]
    ranks = np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.minimum.accumulate(p[order] * len(p) / ranks), 1.0)
    return out


def _check(difference: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(difference))
    if len(bad):
        raise ValueError(f"the difference of row {bad[0]} is missing or infinite")


def _p_values(p_values) -> np.ndarray:
    p = np.asarray(p_values, float)
    if p.ndim != 1:
        raise ValueError(f"p-values have shape {p.shape}: give one per comparison")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-value {int(np.flatnonzero(~((p >= 0) & (p <= 1)))[0])} is missing or not between 0 and 1")
    return p
