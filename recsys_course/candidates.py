"""Which items compete for an event, and at which rank the right one came.

On an implicit stream an event says only that a user took an item. To score a model we ask it to order
every item that it could have offered, and look at how far from the top the taken one stands. For the
comparison of two models to be fair the contest has to be the same for both, so it is laid down by the
stream and not by the model: the candidates for an event are all items that have appeared in the stream
before the event's instant. A model that has not met one of them yet puts it last.

On films, what a user has had already leaves the contest; on groceries it stays, since people buy milk
every week.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys_course.events import check_events, tie_ends

__all__ = ["Candidates", "find_candidates", "rank_among"]


@dataclass(frozen=True)
class Candidates:
    """The contest for each event of a stream. Build it with :func:`find_candidates`.

    Attributes
    ----------
    items : ndarray, shape (n_items,)
        Item ids in the order in which they first appear; a position in this array is an item's *code*.
    code : int64 ndarray, shape (n_rows,)
        The code of each row's item.
    group_ends : int64 ndarray, shape (n_events,)
        Row after the last of each event: one row each, or the rows of one basket.
    n_seen : int64 ndarray, shape (n_events,)
        The candidates of event g are the codes 0 .. n_seen[g] - 1.
    had : int64 ndarray
        Codes that users have had, user by user, each user's in order of time.
    had_start, had_stop : int64 ndarray, shape (n_events,)
        ``had[had_start[g]:had_stop[g]]`` leaves the contest of event g; empty where nothing is excluded.
    """

    items: np.ndarray
    code: np.ndarray
    group_ends: np.ndarray
    n_seen: np.ndarray
    had: np.ndarray
    had_start: np.ndarray
    had_stop: np.ndarray

    @property
    def group_starts(self) -> np.ndarray:
        """First row of each event, shape (n_events,)."""
        return np.append(0, self.group_ends[:-1])

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The contest as compiled passes take it: starts and ends of events, candidates, codes, what is left out."""
        return self.group_starts, self.group_ends, self.n_seen, self.code, self.had, self.had_start, self.had_stop

    def groups_in(self, first: int, last: int) -> tuple[int, int]:
        """The events that lie in the rows ``first`` .. ``last - 1``, as a half-open range."""
        first_group, last_group = np.searchsorted(self.group_ends, [first, last], side="right")
        return int(first_group), int(last_group)


def find_candidates(events: pd.DataFrame, *, exclude_had: bool) -> Candidates:
    """Lay down the contest for each event of the stream.

    Parameters
    ----------
    events : DataFrame, shape (n_rows, ...)
        An events table; with a column ``event``, the rows of one number form one basket and must stand
        together, belong to one user and share one timestamp.
    exclude_had : bool
        Whether an item that the user has had at an earlier instant leaves the contest.

    Raises
    ------
    ValueError
        A basket is split up, shared between users or spread over time.

    Notes
    -----
    Taught in chapter 01; a later event never changes the contest of an earlier one.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"user": [1, 1, 2], "item": [7, 8, 7], "label": 1.0, "timestamp": [1, 2, 3]})
    >>> contest = find_candidates(table, exclude_had=False)
    >>> contest.items.tolist(), contest.n_seen.tolist()
    ([7, 8], [0, 1, 2])
    """
    check_events(events)
    timestamps = events["timestamp"].to_numpy()
    code, items = pd.factorize(events["item"])
    user, _ = pd.factorize(events["user"])
    group_ends = _group_ends(events, user, timestamps)
    starts = np.append(0, group_ends[:-1])
    # The first row of the instant to which an event belongs: what stands before it happened earlier.
    ends = tie_ends(timestamps)
    instant = np.append(0, ends[:-1])[np.searchsorted(ends, starts, side="right")]
    first_seen = np.zeros(len(events) + 1, dtype=np.int64)
    first_seen[1:] = np.cumsum(~pd.Series(code).duplicated().to_numpy())
    n_seen = first_seen[instant]
    if exclude_had:
        had, had_start, had_stop = _had_before(user, code, starts, instant)
    else:
        had = np.empty(0, dtype=np.int64)
        had_start = had_stop = np.zeros(len(starts), dtype=np.int64)
    return Candidates(np.asarray(items), code.astype(np.int64), group_ends, n_seen, had, had_start, had_stop)


def _group_ends(events: pd.DataFrame, user: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    if "event" not in events.columns:
        return np.arange(1, len(events) + 1)
    event = events["event"].to_numpy()
    change = np.diff(event) != 0
    same = ~change
    for name, values in (("user", user), ("timestamp", timestamps)):
        broken = same & (np.diff(values) != 0)
        if broken.any():
            row = int(np.argmax(broken)) + 1
            raise ValueError(f"event {event[row]} has more than one {name} (row {row}): a basket has exactly one")
    ends = np.append(np.flatnonzero(change) + 1, len(event))
    again = pd.Series(event[ends - 1]).duplicated().to_numpy()
    if again.any():
        raise ValueError(f"event {event[ends - 1][again][0]} is split up: sort by timestamp and event")
    return ends


def _had_before(user, code, starts, instant):
    first = ~pd.DataFrame({"user": user, "code": code}).duplicated().to_numpy()
    rows = np.flatnonzero(first)
    rows = rows[np.argsort(user[rows], kind="stable")]  # user by user, in time order
    # One sortable number for (user, row): where a user's list starts, and where it stands at an instant.
    key = user[rows].astype(np.int64) * (len(user) + 1) + rows
    owner = user[starts].astype(np.int64) * (len(user) + 1)
    return code[rows].astype(np.int64), np.searchsorted(key, owner), np.searchsorted(key, owner + instant)


def rank_among(scores: np.ndarray, code: int, excluded: np.ndarray | None = None) -> float:
    """How many candidates stand above one item: 0 is the top; an item that is no candidate gets infinity.

    Candidates with the same score share the mean of their places, so that a model that says the same of
    everything stands in the middle, and not at the top by luck of the order.

    Parameters
    ----------
    scores : ndarray, shape (n_candidates,)
        Minus infinity for an item that the model does not know.
    code : int
        The item whose rank is asked; no candidate if ``code >= n_candidates``.
    excluded : int ndarray, optional
        Distinct codes that leave the contest.

    Notes
    -----
    Taught in chapter 01.

    Examples
    --------
    >>> rank_among(np.array([0.1, 0.9, 0.5]), 2)
    1.0
    >>> rank_among(np.array([0.1, 0.9, 0.5]), 2, excluded=np.array([1]))
    0.0
    >>> rank_among(np.zeros(5), 3), rank_among(np.zeros(5), 5)
    (2.0, inf)
    """
    if code >= len(scores):
        return np.inf
    own = scores[code]
    above, level = int((scores > own).sum()), int((scores == own).sum()) - 1
    if excluded is not None:
        if (excluded == code).any():
            return np.inf
        others = scores[excluded[excluded < len(scores)]]
        above -= int((others > own).sum())
        level -= int((others == own).sum())
    return above + level / 2
