"""When a model predicts, when it learns, and which labels it has by then.

A stream is cut into *blocks*. All events of a block are predicted with one state of the model; before the
next block, the labels that have arrived in the meantime may be learned. Which rows end a block is a
matter of the strategy (each event, each thousand, each night); which labels have arrived is a matter of
the world (at once, after a day, after hours that differ from event to event). A :class:`Plan` holds both
as arrays of row numbers, worked out before anything runs, so that the readable loop and the compiled one
walk the same path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys_course.events import tie_ends

__all__ = ["Plan", "every", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """The course of a replay. Build it with :func:`make_plan`.

    Attributes
    ----------
    starts, ends : int64 ndarray, shape (n_blocks,)
        Block b predicts the rows ``starts[b]`` .. ``ends[b] - 1``.
    order : int64 ndarray, shape (n_rows,)
        Rows in the order in which they can be learned: by the block before which their labels arrive, and
        in time order within it.
    known : int64 ndarray, shape (n_blocks,)
        When block b is predicted, the labels of ``order[:known[b]]`` have arrived.
    retrain : bool ndarray, shape (n_blocks,)
        Whether the model is fitted anew, and not only updated, before block b.
    """

    starts: np.ndarray
    ends: np.ndarray
    order: np.ndarray
    known: np.ndarray
    retrain: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What a compiled pass over the blocks ``first`` .. ``last - 1`` takes: starts, ends, order, known."""
        return self.starts[first:last], self.ends[first:last], self.order, self.known[first:last]

    def arriving(self, first: int, last: int) -> np.ndarray:
        """Rows whose labels arrive, and are learned, between the blocks ``first`` and ``last - 1``."""
        return self.order[self.known[first] : self.known[last - 1]]

    def n_predicted(self, first: int, last: int) -> int:
        """How many rows the blocks ``first`` .. ``last - 1`` predict."""
        return int(self.ends[last - 1] - self.starts[first])

    @property
    def in_order(self) -> bool:
        """Whether labels arrive in the order of the rows, as they do when all are equally late."""
        return bool((self.order == np.arange(len(self.order))).all())


def every(interval: int | str | pd.Timedelta | None) -> int | pd.Timedelta | None:
    """Read an interval: an int counts events, anything else is a length of time; None is never.

    Raises
    ------
    ValueError
        The interval is not positive, or is no interval at all.

    Notes
    -----
    Taught in chapter 00.

    Examples
    --------
    >>> every(1000), every("1D")
    (1000, Timedelta('1 days 00:00:00'))
    """
    if interval is None:
        return None
    too_short = f"an interval must be positive (and a time at least one second), not {interval!r}"
    if isinstance(interval, (int, np.integer)) and not isinstance(interval, bool):
        if interval < 1:
            raise ValueError(too_short)
        return int(interval)
    try:
        length = pd.Timedelta(interval)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{interval!r} is no interval: use a number of events or a time such as '1D'") from error
    if not length >= pd.Timedelta(seconds=1):  # NaT too compares as False
        raise ValueError(too_short)
    return length


def make_plan(
    timestamps: np.ndarray,
    start: int,
    *,
    update_every: int | str | pd.Timedelta | None = None,
    retrain_every: int | str | pd.Timedelta | None = None,
    delay: int | str | pd.Timedelta | np.ndarray | None = None,
) -> Plan:
    """Cut a stream into blocks and say which labels are known when each is predicted.

    A block never ends between rows with equal timestamps: it goes on to the end of the instant. A label
    counts as arrived when it came strictly before the instant of a block's first row.

    Parameters
    ----------
    timestamps : int64 ndarray, shape (n_rows,)
        Seconds, in order.
    start : int
        First row that is predicted; the first row of an instant.
    update_every, retrain_every : int, time or None
        How often the model is updated, and how often it is fitted anew: every so many events, or at each
        multiple of a length of time (``"1D"``: at midnight UTC).
    delay : int, time, ndarray of shape (n_rows,) or None
        How late a label is: so many further events, a length of time, or seconds for each row.

    Raises
    ------
    ValueError
        ``start`` leaves no past or no future or lies inside an instant, or no label has arrived by then.

    Notes
    -----
    Taught in chapter 00. Labels that arrive after the last block began are not learned: nothing that is
    scored would gain from them.

    Examples
    --------
    >>> import numpy as np
    >>> plan = make_plan(np.array([1, 2, 3, 3, 4, 5]), 1, update_every=2)
    >>> plan.starts.tolist(), plan.ends.tolist(), plan.known.tolist()
    ([1, 4, 5], [4, 5, 6], [1, 4, 5])
    """
    timestamps = np.asarray(timestamps, dtype=np.int64)
    n_rows = len(timestamps)
    if not 0 < start < n_rows:
        raise ValueError(f"start must leave rows on both sides: it is {start} of {n_rows}")
    if timestamps[start - 1] == timestamps[start]:
        raise ValueError(f"row {start} shares its timestamp with the row before it: start where an instant starts")
    ends = tie_ends(timestamps)
    # Marks on rows, and not sorted sets of row numbers: the work stays linear in the number of rows.
    begins = np.zeros(n_rows + 1, dtype=bool)
    retrains = np.zeros(n_rows + 1, dtype=bool)
    begins[_cuts(timestamps, start, ends, every(update_every))] = True
    retrains[_cuts(timestamps, start, ends, every(retrain_every))] = True
    begins |= retrains
    begins[: start + 1] = retrains[: start + 1] = begins[n_rows] = False
    begins[start] = True
    starts = np.flatnonzero(begins)
    order, known = _arrivals(timestamps, starts, delay)
    if known[0] == 0:
        raise ValueError("no label has arrived before the first prediction: start later or shorten the delay")
    return Plan(starts, np.append(starts[1:], n_rows), order, known, retrains[starts])


def _cuts(timestamps, start, ends, interval):
    """Rows at which a new block would start; the caller drops those outside the scored part."""
    if interval is None:
        return np.empty(0, dtype=np.int64)
    if isinstance(interval, int):
        if interval == 1:
            return ends
        return ends[np.searchsorted(ends, np.arange(start + interval, len(timestamps), interval))]
    return np.flatnonzero(np.diff(timestamps // int(interval.total_seconds()))) + 1


def _arrivals(timestamps, starts, delay):
    n_rows = len(timestamps)
    rows = np.arange(n_rows)
    if delay is None:
        return rows, starts.copy()
    if isinstance(delay, (int, np.integer)):
        if delay < 0:
            raise ValueError(f"a delay cannot be negative: {delay}")
        return rows, np.maximum(starts - int(delay), 0)
    if isinstance(delay, np.ndarray):
        seconds = delay
        if seconds.shape != (n_rows,):
            raise ValueError(f"delay has shape {seconds.shape}: give one number of seconds for each of {n_rows} rows")
    else:
        seconds = np.full(n_rows, pd.Timedelta(delay).total_seconds())
    if not (seconds >= 0).all():  # also catches NaN
        raise ValueError("a delay cannot be negative or missing; use infinity for a label that never arrives")
    arrival = timestamps + seconds
    # The first block that begins after a label's arrival; a table of events learned together is in time order.
    block = np.searchsorted(timestamps[starts], arrival, side="right")
    order = np.argsort(block, kind="stable")
    return order, np.searchsorted(block[order], np.arange(len(starts)), side="right")
