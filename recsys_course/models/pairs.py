"""Who took what, and how often: the table that models of implicit feedback learn from.

A stream of purchases has a row per purchase; a factorisation wants, for each user, the items taken and their counts,
and the same the other way round. Both are kept sorted, so that new events are merged in one pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Pairs", "Side"]

_BITS = 32
_LOW = (1 << _BITS) - 1


class Side(NamedTuple):
    """The pairs row by row: those of row r are ``starts[r]`` .. ``starts[r + 1] - 1``, in order of column."""

    starts: np.ndarray
    columns: np.ndarray
    counts: np.ndarray

    def only(self, rows: np.ndarray) -> Side:
        """The pairs of these rows, which become 0, 1, 2, ..."""
        sizes = np.diff(self.starts)[rows]
        starts = np.append(0, np.cumsum(sizes))
        at = np.repeat(self.starts[rows] - starts[:-1], sizes) + np.arange(starts[-1])
        return Side(starts, self.columns[at], self.counts[at])


class Pairs:
    """Counts of pairs of a user's and an item's number.

    Notes
    -----
    Adding n events to N pairs costs O(n log n + N). Taught in chapter 06b.

    Examples
    --------
    >>> pairs = Pairs()
    >>> pairs.add(np.array([0, 1, 0]), np.array([5, 5, 5]))
    >>> pairs.by_user(2).counts.tolist(), pairs.by_item(6).starts.tolist()
    ([2.0, 1.0], [0, 0, 0, 0, 0, 0, 2])
    """

    def __init__(self) -> None:
        self._keys = [np.zeros(0, np.int64), np.zeros(0, np.int64)]
        self._counts = [np.zeros(0), np.zeros(0)]

    def __len__(self) -> int:
        return len(self._keys[0])

    @property
    def nbytes(self) -> int:
        return 32 * len(self)

    def add(self, users: np.ndarray, items: np.ndarray) -> None:
        """Count one event for each row; a pair met before counts once more."""
        for side, (rows, columns) in enumerate(((users, items), (items, users))):
            keys, counts = self._keys[side], self._counts[side]
            new, times = np.unique((rows << _BITS) | columns, return_counts=True)
            at = np.searchsorted(keys, new)
            known = at < len(keys)
            known[known] = keys[at[known]] == new[known]
            counts[at[known]] += times[known]
            self._keys[side] = np.insert(keys, at[~known], new[~known])
            self._counts[side] = np.insert(counts, at[~known], times[~known].astype(float))

    def by_user(self, n_users: int) -> Side:
        """The items of each user."""
        return self._side(0, n_users)

    def by_item(self, n_items: int) -> Side:
        """The users of each item."""
        return self._side(1, n_items)

    def _side(self, side: int, n_rows: int) -> Side:
        keys = self._keys[side]
        starts = np.searchsorted(keys, np.arange(n_rows + 1, dtype=np.int64) << _BITS)
        return Side(starts, keys & _LOW, self._counts[side])
