"""How far a mean over a stream might be from what another stretch, or other users, would have given.

The usual standard error takes rows for independent. They are not: the errors of one user go together, and so do
those of one hour. Resampling whole users, or whole blocks of time, keeps what goes together together, and gives
an interval that is honest, and wider.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["Interval", "block_interval", "group_interval", "naive_interval", "user_interval"]


_MOST_GROUPS = 20_000


class Interval(NamedTuple):
    """A mean and an interval that holds the true one in about 95 of 100 such experiments."""

    mean: float
    low: float
    high: float


def group_interval(values, groups, *, rng: np.random.Generator, samples: int = 1000, level: float = 0.95) -> Interval:
    """Mean of ``values`` with a bootstrap interval that resamples whole groups.

    Parameters
    ----------
    values : array, shape (n_rows,)
        A loss per row, or a paired difference of two losses.
    groups : array, shape (n_rows,)
        What must stay together: the user of each row, the block of time.
    rng : numpy.random.Generator
    samples : int
        Number of bootstrap samples.
    level : float
        Share of bootstrap means inside the interval.

    Raises
    ------
    ValueError
        Shapes differ, or there are fewer than two groups.

    Notes
    -----
    Each sample draws as many groups as there are, with replacement, and takes the mean over their rows (a ratio of
    sums); the interval is that of percentiles. More than 20,000 groups are put together at random into so many first:
    what is independent stays so, and the time that it takes is bounded.
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ISBN 9780412042317. Taught in chapter 00.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = np.repeat(rng.normal(size=50), 20)  # 1000 rows, but only 50 independent numbers
    >>> by_group = group_interval(values, np.repeat(np.arange(50), 20), rng=rng)
    >>> by_row = naive_interval(values)
    >>> (by_group.high - by_group.low) > 3 * (by_row.high - by_row.low)
    True
    """
    values = np.asarray(values, float)
    groups = np.asarray(groups)
    if values.shape != groups.shape or values.ndim != 1:
        raise ValueError(f"values have shape {values.shape}, groups {groups.shape}: give one of each per row")
    number, _ = pd.factorize(groups)
    n_groups = int(number.max()) + 1 if len(number) else 0
    if n_groups < 2:
        raise ValueError(f"an interval needs at least two groups, not {n_groups}")
    if n_groups > _MOST_GROUPS:
        number = rng.permutation(n_groups)[number] % _MOST_GROUPS
        n_groups = _MOST_GROUPS
    sums = np.bincount(number, weights=values)
    sizes = np.bincount(number)
    means = np.empty(samples)
    for s in range(samples):
        drawn = rng.integers(n_groups, size=n_groups)
        means[s] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def user_interval(values, users, *, rng: np.random.Generator, samples: int = 1000) -> Interval:
    """:func:`group_interval` with users as groups. Taught in chapter 00.

    >>> user_interval([0.0, 0.0, 1.0, 1.0], ["ann", "ann", "bob", "bob"], rng=np.random.default_rng(0))
    Interval(mean=0.5, low=0.0, high=1.0)
    """
    return group_interval(values, users, rng=rng, samples=samples)


def block_interval(values, *, blocks: int = 50, rng: np.random.Generator, samples: int = 1000) -> Interval:
    """:func:`group_interval` with ``blocks`` stretches of consecutive rows as groups; rows stand in time order.

    Taught in chapter 00.

    >>> block_interval([0.0] * 50 + [1.0] * 50, blocks=2, rng=np.random.default_rng(0))
    Interval(mean=0.5, low=0.0, high=1.0)
    """
    n_rows = len(values)
    if not 2 <= blocks <= n_rows:
        raise ValueError(f"blocks must lie between 2 and the number of rows ({n_rows}), not {blocks}")
    return group_interval(values, np.arange(n_rows) * blocks // n_rows, rng=rng, samples=samples)


def naive_interval(values) -> Interval:
    """Mean plus and minus 1.96 standard errors, as if rows were independent; shown to be too narrow in chapter 00.

    >>> naive_interval([0.0, 1.0] * 50).low.__round__(3)
    0.402
    """
    values = np.asarray(values, float)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))
