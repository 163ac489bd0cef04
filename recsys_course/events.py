"""The table that everything else reads: one row per event, in time order.

An *event* says that a user did something to an item at a time: rated a film, clicked on a book, bought
a carton of milk. The course keeps events in a plain :class:`pandas.DataFrame` with four columns that are
always there, and any number of columns that describe the circumstances:

========== ============== ==============================================================
column     dtype          meaning
========== ============== ==============================================================
user       int64 or str   who
item       int64 or str   what
label      float64        the rating, or 1.0 for a purchase or click, 0.0 for none
timestamp  int64          seconds since 1970-01-01 UTC
event      int64          optional: rows with one number belong to one basket
========== ============== ==============================================================

Rows are sorted by ``timestamp``; rows with equal timestamps keep the order in which they arrived, and
no order among them is ever relied on: a replay predicts all of them before it learns any of them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["COLUMNS", "OUTCOMES", "EventsError", "check_events", "sort_events", "split_at", "tie_ends", "without_label"]

COLUMNS = ("user", "item", "label", "timestamp")

# Columns of the course's data sets that are known only after an event: with them a model would be told the answer.
OUTCOMES = (
    "label",
    "view",
    "purchase_delay",
    "p_view",
    "p_purchase",
    "quantity",
    "sales_value",
    "discount",
    "products",
)


class EventsError(ValueError):
    """A table is not an events table; the message names the column or row and says what to do."""


def check_events(events: pd.DataFrame, *, allow_empty: bool = False) -> pd.DataFrame:
    """Return ``events`` unchanged if it is a valid events table, and raise otherwise.

    Parameters
    ----------
    events : DataFrame
        Columns ``user``, ``item``, ``label``, ``timestamp`` and any others.
    allow_empty : bool
        Whether a table without rows is acceptable.

    Raises
    ------
    EventsError
        A column is missing or has the wrong dtype, a value is missing or infinite, the rows are not in
        time order, or the table is empty.

    Notes
    -----
    Taught in chapter 01.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"user": [1, 2], "item": [7, 7], "label": [4.0, 3.5], "timestamp": [10, 5]})
    >>> check_events(table)
    Traceback (most recent call last):
    ...
    recsys_course.events.EventsError: row 1 is earlier than the row before it: sort the table with sort_events(table)
    """
    if not isinstance(events, pd.DataFrame):
        raise EventsError(f"events must be a pandas DataFrame, not {type(events).__name__}")
    missing = [name for name in COLUMNS if name not in events.columns]
    if missing:
        raise EventsError(
            f"column {missing[0]!r} is missing: the table has {list(map(str, events.columns))}; rename your "
            f"columns to {', '.join(COLUMNS)}"
        )
    if len(events) == 0:
        if allow_empty:
            return events
        raise EventsError("the table has no rows: check the file or the filter that made it")
    for name in ("user", "item"):
        column = events[name]
        if not (pd.api.types.is_integer_dtype(column) or pd.api.types.is_string_dtype(column)):
            raise EventsError(f"column {name!r} has dtype {column.dtype}: use integers or strings")
        if column.isna().any():
            raise EventsError(f"column {name!r} has no value in row {_first(column.isna())}: fill or drop it first")
    if not pd.api.types.is_float_dtype(events["label"]):
        raise EventsError(f"column 'label' has dtype {events['label'].dtype}: convert it with .astype(float)")
    finite = np.isfinite(events["label"].to_numpy())
    if not finite.all():
        raise EventsError(f"column 'label' is missing or infinite in row {_first(~finite)}: fill or drop it first")
    if events["timestamp"].dtype != np.int64:
        raise EventsError(
            f"column 'timestamp' has dtype {events['timestamp'].dtype}: use int64 seconds since 1970-01-01 UTC"
        )
    late = np.diff(events["timestamp"].to_numpy()) < 0
    if late.any():
        raise EventsError(
            f"row {_first(late) + 1} is earlier than the row before it: sort the table with sort_events(table)"
        )
    return events


def _first(mask) -> int:
    return int(np.argmax(np.asarray(mask)))


def sort_events(events: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in time order; rows with equal timestamps keep their order (a stable sort).

    Taught in chapter 01.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"user": [1, 2], "item": [7, 7], "label": [4.0, 3.5], "timestamp": [10, 5]})
    >>> sort_events(table)["user"].tolist()
    [2, 1]
    """
    return events.sort_values("timestamp", kind="stable", ignore_index=True)


def split_at(events: pd.DataFrame, fraction: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split in time: the first ``fraction`` of the rows, and the rest.

    The cut moves forward past rows with equal timestamps, so that no instant stands on both sides.

    Raises
    ------
    EventsError
        ``fraction`` is not strictly between 0 and 1, or one side would be empty.

    Notes
    -----
    Taught in chapter 01.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"user": 1, "item": 7, "label": 1.0, "timestamp": [1, 2, 2, 3]})
    >>> past, future = split_at(table, 0.5)
    >>> len(past), len(future)
    (3, 1)
    """
    check_events(events)
    if not 0 < fraction < 1:
        raise EventsError(f"fraction must lie between 0 and 1, not {fraction}")
    cut = first_row_after(events["timestamp"].to_numpy(), round(fraction * len(events)))
    if cut == 0 or cut == len(events):
        raise EventsError(f"a split at {fraction} leaves one side empty: the table has {len(events)} rows")
    return events.iloc[:cut], events.iloc[cut:]


def first_row_after(timestamps: np.ndarray, row: int) -> int:
    """Move ``row`` forward to the next row at which a new timestamp starts.

    >>> first_row_after(np.array([1, 2, 2, 3]), 2)
    3
    """
    if row <= 0 or row >= len(timestamps):
        return min(max(row, 0), len(timestamps))
    return int(np.searchsorted(timestamps, timestamps[row - 1], side="right"))


def tie_ends(timestamps: np.ndarray) -> np.ndarray:
    """For each run of equal timestamps, the row after its last: shape (number of instants,).

    Taught in chapter 00, where events that happen at once are predicted before any is learned.

    >>> tie_ends(np.array([1, 2, 2, 3])).tolist()
    [1, 3, 4]
    """
    timestamps = np.asarray(timestamps)
    return np.append(np.flatnonzero(np.diff(timestamps) != 0) + 1, len(timestamps))


def without_label(events: pd.DataFrame) -> pd.DataFrame:
    """The table as a model sees it when it predicts: without the label and all else that comes with it.

    >>> import pandas as pd
    >>> without_label(pd.DataFrame({"user": [1], "item": [2], "label": [3.0], "timestamp": [4]})).columns.tolist()
    ['user', 'item', 'timestamp']
    """
    return events.drop(columns=list(OUTCOMES), errors="ignore")
