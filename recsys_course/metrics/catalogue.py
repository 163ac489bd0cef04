"""What lists show of a catalogue: how much of it, and how far from what everybody knows.

A list is a row of item numbers, best first: an array of shape (n_lists, k) of numbers from 0 to n_items - 1, with -1 in
the places of a list that is shorter. Nothing here looks at what was right; :mod:`recsys_course.metrics.ranking` does.
"""

from __future__ import annotations

import numpy as np

__all__ = ["coverage", "gini", "novelty", "top_k"]


def top_k(scores, k: int, *, excluded=None) -> np.ndarray:
    """The ``k`` best items of each row, best first, shape (n_rows, k).

    Parameters
    ----------
    scores : array, shape (n_rows, n_items)
        Minus infinity for what cannot be shown.
    k : int
        May exceed the number of items: the places that stay empty hold -1.
    excluded : bool array, shape (n_rows, n_items), optional
        What leaves the contest of each row.

    Notes
    -----
    A list has to decide between equal scores: the item with the smaller number comes first, so shuffle the numbers if
    they mean something. (Ranks need not decide: see :mod:`recsys_course.metrics.ranking`.) Taught in chapter 05a.

    Examples
    --------
    >>> top_k([[0.1, 0.9, 0.5]], 2)
    array([[1, 2]])
    >>> top_k([[0.1, 0.9, 0.5]], 4, excluded=[[False, True, False]])
    array([[ 2,  0, -1, -1]])
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 2:
        raise ValueError(f"scores have shape {scores.shape}: give (n_rows, n_items)")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if np.isnan(scores).any():
        raise ValueError("a score is missing: use minus infinity for what cannot be shown")
    if excluded is not None:
        scores = np.where(np.asarray(excluded, bool), -np.inf, scores)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.where(np.take_along_axis(scores, best, axis=1) > -np.inf, best, -1)
    return np.pad(best, ((0, 0), (0, k - best.shape[1])), constant_values=-1)


def _check(lists, n_items: int) -> np.ndarray:
    lists = np.asarray(lists)
    if lists.ndim != 2 or not np.issubdtype(lists.dtype, np.integer):
        raise ValueError(f"lists have shape {lists.shape} and dtype {lists.dtype}: give integers, (n_lists, k)")
    if n_items < 1 or (lists < -1).any() or (lists >= n_items).any():
        raise ValueError(f"an item's number lies between 0 and {n_items - 1}, and -1 is an empty place")
    return lists


def coverage(lists, n_items: int) -> float:
    """Share of the catalogue that stands on at least one list. Taught in chapter 05a.

    >>> coverage([[0, 1], [1, -1]], n_items=4)
    0.5
    """
    lists = _check(lists, n_items)
    return len(np.unique(lists[lists >= 0])) / n_items


def gini(counts) -> float:
    """How unequally something is shared out: 0 if all have the same, 1 - 1/n if one of n has everything.

    Parameters
    ----------
    counts : array, shape (n_items,)
        How often each item was shown (or sold); items with 0 belong in it.

    Raises
    ------
    ValueError
        There are no counts, one is negative or missing, or all are 0.

    Notes
    -----
    Half the mean absolute difference of two items over the mean: with the counts in increasing order, x_1 to x_n,
    sum of (2i - n - 1) x_i over n times their sum. Gini, Variabilita e mutabilita, 1912. Taught in chapter 10b.

    >>> gini([5, 5, 5, 5]), gini([0, 0, 0, 20])
    (0.0, 0.75)
    """
    counts = np.sort(np.asarray(counts, float))
    if counts.ndim != 1 or len(counts) == 0:
        raise ValueError(f"counts have shape {counts.shape}: give one per item, at least one")
    if not (np.isfinite(counts).all() and counts[0] >= 0):
        raise ValueError("a count is missing, infinite or negative")
    if not counts[-1] > 0:
        raise ValueError("all counts are 0: nothing was shared out")
    n = len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * counts.sum()))


def novelty(lists, takers, n_users: int) -> np.ndarray:
    """Mean over a list of -log2(share of users who have taken the item), in bits, shape (n_lists,).

    Parameters
    ----------
    lists : int array, shape (n_lists, k)
    takers : int array, shape (n_items,)
        How many users have taken each item; one that nobody has taken counts as taken once.
    n_users : int
        At least as many as the largest of ``takers``.

    Notes
    -----
    An empty list has no novelty: NaN. Castells, Hurley and Vargas, in Recommender Systems Handbook, 2015. Taught in
    chapter 05a.

    Examples
    --------
    >>> novelty([[0, 1], [1, -1]], takers=[8, 2], n_users=8)
    array([1., 2.])
    """
    takers = np.asarray(takers)
    lists = _check(lists, len(takers))
    if (takers < 0).any() or takers.max() > n_users or n_users < 1:
        raise ValueError(f"takers must lie between 0 and the number of users ({n_users})")
    bits = -np.log2(np.maximum(takers, 1) / n_users)
    shown = lists >= 0
    sums = np.where(shown, bits[lists], 0.0).sum(axis=1)
    sizes = shown.sum(axis=1)
    return np.divide(sums, sizes, out=np.full(len(lists), np.nan), where=sizes > 0)
