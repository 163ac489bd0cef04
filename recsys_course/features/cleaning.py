"""Cleaning with a report: what was found, what was done about it, and a count of rows that adds up.

Every rule looks at one row, or at the rows before it, and never at later ones: cleaning a stream a day at a time gives
the same rows as cleaning it whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys_course.events import COLUMNS, EventsError, check_events, sort_events

__all__ = ["CleaningReport", "Finding", "clean"]

_SHOWN = 3  # how many rows of each finding are named


@dataclass(frozen=True)
class Finding:
    """One thing that was found: in how many rows, whether they were removed, and the index of the first few.

    >>> Finding("no user", 2, True, (4, 9))
    Finding(what='no user', rows=2, removed=True, examples=(4, 9))
    """

    what: str
    rows: int
    removed: bool
    examples: tuple[Hashable, ...]


@dataclass(frozen=True)
class CleaningReport:
    """What :func:`clean` found and did; ``print`` it, or take ``table()``.

    Attributes
    ----------
    rows_in, rows_out : int
        Rows that came, and rows that are left.
    findings : tuple of Finding
        Those that removed rows, and then those that only counted them. A row is removed for one reason, the first
        that holds, so that ``rows_in`` is ``rows_out`` and the removed rows together.

    Raises
    ------
    ValueError
        The rows do not add up.

    Notes
    -----
    Taught in chapter 02a.

    Examples
    --------
    >>> print(CleaningReport(10, 9, (Finding("no user", 1, True, (4,)), Finding("repeats", 3, False, (7, 8, 9)))))
    10 rows in
     - 1 no user (row 4)
     = 9 rows out
       3 of them: repeats (rows 7, 8, 9)
    """

    rows_in: int
    rows_out: int
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        if self.rows_in != self.rows_out + self.removed:
            raise ValueError(f"{self.rows_in} rows in are not {self.rows_out} out and {self.removed} removed")

    @property
    def removed(self) -> int:
        """Rows that are gone, for whatever reason."""
        return sum(finding.rows for finding in self.findings if finding.removed)

    def table(self) -> pd.DataFrame:
        """One row a finding: rows, what was done, and examples."""
        return pd.DataFrame(
            {
                "rows": [f.rows for f in self.findings],
                "done": ["removed" if f.removed else "kept" for f in self.findings],
                "examples": [", ".join(map(str, f.examples)) for f in self.findings],
            },
            index=pd.Index([f.what for f in self.findings], name="found", dtype="str"),
        )

    def __str__(self) -> str:
        def at(finding: Finding) -> str:
            more = ", ..." if finding.rows > len(finding.examples) else ""
            return f"({'row' if finding.rows == 1 else 'rows'} {', '.join(map(str, finding.examples))}{more})"

        lines = [f"{self.rows_in:,} rows in"]
        lines += [f" - {f.rows:,} {f.what} {at(f)}" for f in self.findings if f.removed]
        lines += [f" = {self.rows_out:,} rows out"]
        lines += [f"   {f.rows:,} of them: {f.what} {at(f)}" for f in self.findings if not f.removed]
        return "\n".join(lines)


def clean(
    events: pd.DataFrame,
    *,
    label_range: tuple[float, float] | None = None,
    not_before: int | None = None,
    not_after: int | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    required: Sequence[str] = (),
) -> tuple[pd.DataFrame, CleaningReport]:
    """Remove rows that cannot be events, count what is merely odd, and report both.

    Parameters
    ----------
    events : DataFrame, shape (n_rows, ...)
        Columns ``user``, ``item``, ``label``, ``timestamp`` and any others; values may be missing or impossible, and
        the rows in any order. Not changed.
    label_range : (float, float), optional
        The lowest and the highest label that can occur, both allowed.
    not_before, not_after : int, optional
        The earliest and the latest timestamp that can occur, unix seconds, both allowed: the day the shop opened, and
        now. A timestamp in the future is an error of a clock.
    bounds : mapping from column to (lowest, highest), optional
        What other columns can hold, both allowed, None for no bound; a missing value breaks no bound.
    required : sequence of str
        Columns other than the four without which a row is of no use.

    Returns
    -------
    events : DataFrame
        A valid events table, in time order, with a new index.
    report : CleaningReport
        Rows are named by the index of the table that was given.

    Raises
    ------
    EventsError
        A column is missing, a label or a timestamp is no number, or no row is left.

    Notes
    -----
    A row is a *duplicate*, and removed, if an earlier row has the same user, item, label, timestamp and, where there is
    such a column, event: nobody does the same thing twice in one second. If only label or event differ, the row is
    kept and counted, because the table cannot tell which of them is right. The same user and item at another time is
    a *repeat*, which is what a shop lives on: kept and counted. Taught in chapter 02a.

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "user": [1, 1, 1, None, 2],
    ...     "item": [7, 7, 7, 7, 8],
    ...     "label": [1.0, 1.0, 1.0, 1.0, 9.0],
    ...     "timestamp": [10, 10, 20, 30, 40],
    ... })
    >>> kept, report = clean(table, label_range=(0, 5))
    >>> kept["timestamp"].tolist()
    [10, 20]
    >>> print(report)
    5 rows in
     - 1 no user (row 3)
     - 1 label outside 0 to 5 (row 4)
     - 1 duplicate of an earlier row (row 1)
     = 2 rows out
       1 of them: repeat of a user and item at another time (row 2)
    """
    bounds = dict(bounds or {})
    for name in [*COLUMNS, *required, *bounds]:
        if name not in events.columns:
            raise EventsError(f"column {name!r} is missing: the table has {list(map(str, events.columns))}")
    sieve = _Sieve(events)
    for name in [*COLUMNS, *(name for name in required if name not in COLUMNS)]:
        sieve.remove(events[name].isna(), f"no {name}")

    label, timestamp = _numbers(events, "label"), _numbers(events, "timestamp")
    sieve.remove(np.isinf(label), "label infinite")
    sieve.remove_outside(label, "label", label_range)
    sieve.remove((timestamp % 1 != 0) | (np.abs(timestamp) >= 2.0**53), "timestamp not whole seconds")
    sieve.remove(timestamp < (-np.inf if not_before is None else not_before), "timestamp before the first possible")
    sieve.remove(timestamp > (np.inf if not_after is None else not_after), "timestamp in the future")
    for name, allowed in bounds.items():
        sieve.remove_outside(_numbers(events, name), name, allowed)

    # Duplicates and repeats are looked for among good rows, in time order: the first in time is the one that stays.
    rows = np.flatnonzero(sieve.open)
    rows = rows[np.argsort(timestamp[rows], kind="stable")]
    kept = events.iloc[rows].assign(label=label[rows], timestamp=timestamp[rows].astype(np.int64))
    basket = ["event"] if "event" in kept.columns else []
    again = kept.duplicated([*COLUMNS, *basket]).to_numpy()
    sieve.remove(_at(rows[again], len(events)), "duplicate of an earlier row")
    kept, rows = kept[~again], rows[~again]

    same_second = kept.duplicated(["user", "item", "timestamp"]).to_numpy()
    repeats = kept.duplicated(["user", "item"]).to_numpy() & ~same_second
    sieve.note(rows[repeats], "repeat of a user and item at another time")
    if basket:
        other_label = kept.duplicated(["user", "item", "timestamp", "event"]).to_numpy()
        sieve.note(rows[other_label], "same user, item, second and basket, other label")
        sieve.note(rows[same_second & ~other_label], "same user, item and second, other basket")
    else:
        sieve.note(rows[same_second], "same user, item and second, other label")
    sieve.note(np.flatnonzero(sieve.open & _earlier_than_before(timestamp, sieve.open)), "out of order, sorted")
    for name in events.columns:
        if name not in COLUMNS and name not in required:
            sieve.note(np.flatnonzero(sieve.open & events[name].isna().to_numpy()), f"no {name}")

    if len(kept) == 0:
        raise EventsError(f"no row is left of {len(events)}: {'; '.join(f.what for f in sieve.found) or 'none came'}")
    kept = sort_events(kept.assign(user=_as_ids(kept["user"]), item=_as_ids(kept["item"])))
    return check_events(kept), CleaningReport(len(events), len(kept), tuple(sieve.found + sieve.noted))


class _Sieve:
    """Which rows are still in, and why the others are not."""

    def __init__(self, events: pd.DataFrame) -> None:
        self._index = events.index
        self.open = np.ones(len(events), dtype=bool)
        self.found: list[Finding] = []
        self.noted: list[Finding] = []

    def remove(self, bad, what: str) -> None:
        """Take out the rows of a mask that are still in."""
        at = np.flatnonzero(np.asarray(bad, dtype=bool) & self.open)
        if len(at):
            self.open[at] = False
            self.found.append(Finding(what, len(at), True, self._examples(at)))

    def remove_outside(self, values: np.ndarray, name: str, allowed: tuple[float | None, float | None] | None) -> None:
        """Take out the rows whose value breaks a bound; a missing value breaks none."""
        low, high = (None, None) if allowed is None else allowed
        if low is not None and high is not None:
            self.remove((values < low) | (values > high), f"{name} outside {low:g} to {high:g}")
        elif low is not None:
            self.remove(values < low, f"{name} below {low:g}")
        elif high is not None:
            self.remove(values > high, f"{name} above {high:g}")

    def note(self, at: np.ndarray, what: str) -> None:
        """Count rows that stay."""
        if len(at):
            self.noted.append(Finding(what, len(at), False, self._examples(np.sort(at))))

    def _examples(self, at: np.ndarray) -> tuple[Hashable, ...]:
        return tuple(self._index[at[:_SHOWN]].tolist())


def _numbers(events: pd.DataFrame, name: str) -> np.ndarray:
    try:
        return pd.to_numeric(events[name]).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise EventsError(f"column {name!r} holds something that is no number: {error}") from None


def _at(rows: np.ndarray, n_rows: int) -> np.ndarray:
    mask = np.zeros(n_rows, dtype=bool)
    mask[rows] = True
    return mask


def _earlier_than_before(timestamp: np.ndarray, open_rows: np.ndarray) -> np.ndarray:
    """Rows that stand later in the table than one with a later timestamp."""
    latest = np.maximum.accumulate(np.where(open_rows, timestamp, -np.inf))
    return timestamp < latest


def _as_ids(column: pd.Series) -> pd.Series:
    """Ids as an events table holds them: a gap in a column of integers had made floats or objects of them."""
    if pd.api.types.is_float_dtype(column) and (column % 1 == 0).all():
        return column.astype(np.int64)
    return column.infer_objects() if column.dtype == object else column
