"""Metrics of a ranked list, from the ranks at which the right items stand.

A replay of an implicit stream gives each taken item its rank among the candidates, 0 the best, infinity a miss
(:func:`recsys_course.candidates.rank_among`). All ranking metrics follow from these ranks and from which rows
belong to one event: a film watched is an event of one row, a basket of ten items one of ten rows. Each function
gives one value per event; their mean over events is the metric.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["ndcg", "recall"]


def _check(ranks, events, k) -> tuple[np.ndarray, np.ndarray, int]:
    ranks, events = np.asarray(ranks, float), np.asarray(events)
    if ranks.shape != events.shape or ranks.ndim != 1:
        raise ValueError(f"ranks have shape {ranks.shape}, events {events.shape}: give one of each per row")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if np.isnan(ranks).any() or (ranks < 0).any():
        raise ValueError("a rank is missing or negative: 0 is the best, infinity a miss")
    number, _ = pd.factorize(events, sort=True)
    return ranks, number, int(number.max()) + 1 if len(number) else 0


def recall(ranks, events, k: int) -> np.ndarray:
    """Share of an event's items that stand in its first ``k`` places, shape (n_events,), in the order of event numbers.

    Taught in chapter 01.

    >>> recall([0, 12, np.inf, 3], [1, 1, 1, 2], k=10).round(3)
    array([0.333, 1.   ])
    """
    ranks, number, n_events = _check(ranks, events, k)
    hits = np.bincount(number, weights=ranks < k, minlength=n_events)
    return hits / np.bincount(number, minlength=n_events)


def ndcg(ranks, events, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain of an event's first ``k`` places, shape (n_events,).

    An item at rank r gains 1 / log2(r + 2), and the sum is divided by that of the best possible list. Jarvelin and
    Kekalainen, ACM TOIS 20(4), 2002, 10.1145/582415.582418. Taught in chapter 01.

    >>> ndcg([1, np.inf], [1, 1], k=10).round(4)
    array([0.3869])
    """
    ranks, number, n_events = _check(ranks, events, k)
    inside = ranks < k
    gain = np.where(inside, 1.0 / np.log2(np.where(inside, ranks, 0.0) + 2.0), 0.0)
    best = np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))
    sizes = np.bincount(number, minlength=n_events)
    return np.bincount(number, weights=gain, minlength=n_events) / best[np.minimum(sizes, k) - 1]
