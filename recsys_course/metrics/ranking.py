"""Metrics of a ranked list, from the ranks at which the right items stand.

One representation serves all of them: a row for each item that an event should have found, with its *rank* among the
candidates, 0 the best, infinity a miss. A replay of an implicit stream gives it
(:func:`recsys_course.candidates.rank_among`), :func:`ranks_of` makes it from a table of scores. ``events`` says which
rows belong together: a film watched is an event of one row, a basket of ten items one of ten rows, a user's films of
next month one of as many. Each function gives one value per event, in the order of event numbers; their mean over
events is the metric.

What is easily left to accident is decided here:

- **Equal scores** share the mean of their places, so that a model which says the same of everything stands in the
  middle, and not at the top by luck of the order. Several right items of one event that share a place stand side by
  side around it: two that fill places 0 and 1 arrive as 0.5 and 0.5, and are counted as 0 and 1.
- **An event with nothing to find** has no row, hence no value: it is left out of the mean. Any number given to it would
  be the same for all models.
- **k beyond the catalogue** is allowed: the list is then the whole catalogue. Precision still divides by k.
- **What is right** is yes or no; grades of relevance are not used.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["average_precision", "hit_rate", "ndcg", "precision", "ranks_of", "recall", "reciprocal_rank"]


def ranks_of(scores, rows, items, *, excluded=None) -> np.ndarray:
    """The rank of each (row, item) among the items of its row, shape (n_pairs,).

    Parameters
    ----------
    scores : array, shape (n_rows, n_items)
        A row for each user or event; minus infinity for an item that the model does not know.
    rows, items : int arrays, shape (n_pairs,)
        Which items should have been found: columns of ``scores``, and the row of each.
    excluded : bool array, shape (n_rows, n_items), optional
        What leaves the contest of each row; a pair that does gets infinity.

    Raises
    ------
    ValueError
        A shape does not fit, or a score is missing.

    Notes
    -----
    The same ranks as :func:`recsys_course.candidates.rank_among`, for all rows at once. Taught in chapter 05a.

    Examples
    --------
    >>> ranks_of([[0.9, 0.8, 0.6, 0.3, 0.1]], [0, 0], [0, 2])
    array([0., 2.])
    >>> ranks_of([[0.9, 0.8, 0.6, 0.3, 0.1]], [0], [2], excluded=[[False, True, False, False, False]])
    array([1.])
    """
    scores = np.asarray(scores, float)
    rows, items = np.asarray(rows, np.int64), np.asarray(items, np.int64)
    if scores.ndim != 2 or rows.shape != items.shape or rows.ndim != 1:
        raise ValueError(f"scores {scores.shape}, rows {rows.shape}, items {items.shape}: give (n, m), (p,), (p,)")
    if np.isnan(scores).any():
        raise ValueError("a score is missing: use minus infinity for an item that the model does not know")
    # Unknown items keep the last places of the contest, and what is excluded stands behind them.
    scores = np.maximum(scores, np.finfo(float).min)
    if excluded is not None:
        excluded = np.asarray(excluded, bool)
        if excluded.shape != scores.shape:
            raise ValueError(f"excluded has shape {excluded.shape}, scores {scores.shape}: make them equal")
        scores = np.where(excluded, -np.inf, scores)
    best_first, own = np.sort(-scores, axis=1), -scores[rows, items]
    above = _count(best_first, rows, own, np.less)
    ranks = (above + _count(best_first, rows, own, np.less_equal) - 1) / 2
    return ranks if excluded is None else np.where(excluded[rows, items], np.inf, ranks)


def _count(table: np.ndarray, rows: np.ndarray, values: np.ndarray, compare) -> np.ndarray:
    """How many entries of a sorted row compare with a value, for all pairs at once: a search by halves."""
    low, high = np.zeros(len(rows), np.int64), np.full(len(rows), table.shape[1])
    while (low < high).any():
        middle = (low + high) // 2
        # Where low has met high, middle may stand behind the last entry, and nothing changes any more.
        inside = compare(table[rows, np.minimum(middle, table.shape[1] - 1)], values) & (low < high)
        low, high = np.where(inside, middle + 1, low), np.where(inside, high, middle)
    return low


def _check(ranks, events, k) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, the number of each row's event and the order of the row within it; rows sorted by event and place."""
    ranks, events = np.asarray(ranks, float), np.asarray(events)
    if ranks.shape != events.shape or ranks.ndim != 1:
        raise ValueError(f"ranks have shape {ranks.shape}, events {events.shape}: give one of each per row")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if np.isnan(ranks).any() or (ranks < 0).any():
        raise ValueError("a rank is missing or negative: 0 is the best, infinity a miss")
    number, _ = pd.factorize(events, sort=True)
    order = np.lexsort((ranks, number))
    ranks, number = ranks[order], number[order]
    row = np.arange(len(ranks))
    new_event = np.diff(number, prepend=-1) != 0
    # Not np.diff: two misses are equal, and infinity minus infinity is not zero.
    new_place = new_event | (ranks != np.roll(ranks, 1))
    nth = row - np.maximum.accumulate(np.where(new_event, row, 0))
    nth_equal = row - np.maximum.accumulate(np.where(new_place, row, 0))
    group = np.cumsum(new_place) - 1
    n_equal = np.bincount(group)[group] if len(group) else group
    return ranks + nth_equal - (n_equal - 1) / 2, number, nth


def _per_event(number: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(number, weights=values)


def hit_rate(ranks, events, k: int) -> np.ndarray:
    """1 if at least one of an event's items stands in its first ``k`` places, else 0, shape (n_events,).

    Taught in chapter 05a.

    >>> hit_rate([0, 12, 11], [1, 1, 2], k=10)
    array([1., 0.])
    """
    places, _, nth = _check(ranks, events, k)
    return (places[nth == 0] < k).astype(float)


def precision(ranks, events, k: int) -> np.ndarray:
    """Share of the first ``k`` places that hold an item of the event, shape (n_events,).

    Always divided by k, so an event with fewer items cannot reach 1. Taught in chapter 05a.

    >>> precision([0, 12, 11], [1, 1, 2], k=10)
    array([0.1, 0. ])
    """
    places, number, _ = _check(ranks, events, k)
    return _per_event(number, places < k) / k


def recall(ranks, events, k: int) -> np.ndarray:
    """Share of an event's items that stand in its first ``k`` places, shape (n_events,), in the order of event numbers.

    Divided by all items of the event, so one with more than k cannot reach 1. Taught in chapter 01.

    >>> recall([0, 12, np.inf, 3], [1, 1, 1, 2], k=10).round(3)
    array([0.333, 1.   ])
    """
    places, number, _ = _check(ranks, events, k)
    return _per_event(number, places < k) / np.bincount(number)


def average_precision(ranks, events, k: int) -> np.ndarray:
    """Mean of the precisions at the places of an event's items, shape (n_events,); its mean over events is MAP.

    Items beyond ``k`` give 0; divided by the items that could have been found, min(their number, k), so that the best
    list has 1. (trec_eval's map_cut divides by their number.) Taught in chapter 05a.

    >>> average_precision([0, 2], [1, 1], k=5).round(4)
    array([0.8333])
    """
    places, number, nth = _check(ranks, events, k)
    at = np.where(places < k, (nth + 1) / (places + 1), 0.0)
    return _per_event(number, at) / np.minimum(np.bincount(number), k)


def reciprocal_rank(ranks, events, k: int) -> np.ndarray:
    """1 / (1 + place of the first of an event's items), 0 beyond ``k``, shape (n_events,); its mean is MRR.

    Taught in chapter 05a.

    >>> reciprocal_rank([2, 4, 11], [1, 1, 2], k=10).round(3)
    array([0.333, 0.   ])
    """
    places, _, nth = _check(ranks, events, k)
    first = places[nth == 0]
    return np.where(first < k, 1.0 / (first + 1.0), 0.0)


def ndcg(ranks, events, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain of an event's first ``k`` places, shape (n_events,).

    An item at rank r gains 1 / log2(r + 2), and the sum is divided by that of the best possible list. Jarvelin and
    Kekalainen, ACM TOIS 20(4), 2002, 10.1145/582415.582418. Taught in chapter 01.

    >>> ndcg([1, np.inf], [1, 1], k=10).round(4)
    array([0.3869])
    """
    places, number, _ = _check(ranks, events, k)
    inside = places < k
    gain = np.where(inside, 1.0 / np.log2(np.where(inside, places, 0.0) + 2.0), 0.0)
    sizes = np.bincount(number)
    n_best = int(min(sizes.max(initial=0), k))
    best = np.cumsum(1.0 / np.log2(np.arange(n_best) + 2.0))
    return _per_event(number, gain) / best[np.minimum(sizes, k) - 1]
