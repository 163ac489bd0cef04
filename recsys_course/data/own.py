"""Your own events, from a CSV or parquet file: columns are named by arguments, bad rows are counted and shown.

A *file* is refused, with one clear line, when nothing sensible can be read from it: it is empty, truncated, not UTF-8,
or lacks a column. A *row* that cannot be an event (no user, a rating that is not a number) is left out of the events,
counted by reason and reported with its line number; ``on_bad="raise"`` refuses the file instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from recsys_course.data._raw import RawTable, read_raw
from recsys_course.data.dataset import Card, DataError, Dataset, Task

__all__ = ["Problem", "ReadReport", "own"]

_SHOWN = 5  # how many rows of each problem are named


@dataclass(frozen=True)
class Problem:
    """One reason for which rows were left out, and where they stand.

    >>> print(Problem("no user", 2, (4, 9), ""))
    2 rows left out: no user (lines 4, 9)
    """

    reason: str
    count: int
    rows: tuple[int, ...]
    example: str

    def __str__(self) -> str:
        lines = ", ".join(map(str, self.rows)) + (", ..." if self.count > len(self.rows) else "")
        example = f", for example {self.example!r}" if self.example else ""
        what, where = ("row", "line") if self.count == 1 else ("rows", "lines")
        return f"{self.count:,} {what} left out: {self.reason} ({where} {lines}{example})"


@dataclass(frozen=True)
class ReadReport:
    """What was found while a learner's own file was read; ``print`` it.

    Attributes
    ----------
    file : str
        The file's name.
    rows, kept : int
        Rows in the file without its header, and rows that became events.
    problems : tuple of Problem
        Why rows were left out, and where they stand. In a CSV file a row is named by its line, the header being line 1
        (a line break inside quotation marks is not counted); in a parquet file the first row is 1.
    unsorted : int
        Rows that are earlier than the row before them; the events were sorted, ties in the order of the file.
    duplicates : int
        Rows that repeat user, item and timestamp of an earlier row.
    time_unit : str
        How timestamps were read: "s", "ms", "us", "ns", "ISO 8601", "dates" or the format that was given.

    >>> report = ReadReport("shop.csv", 10, 9, (Problem("no user", 1, (4,), ""),), 3, 0, "ISO 8601")
    >>> print(report)
    shop.csv: 9 of 10 rows read, timestamps as ISO 8601
      1 row left out: no user (line 4)
      3 rows were out of order: sorted by time
    """

    file: str
    rows: int
    kept: int
    problems: tuple[Problem, ...]
    unsorted: int
    duplicates: int
    time_unit: str

    @property
    def dropped(self) -> int:
        """Rows that are in no event."""
        return self.rows - self.kept

    def __str__(self) -> str:
        lines = [f"{self.file}: {self.kept:,} of {self.rows:,} rows read, timestamps as {self.time_unit}"]
        lines += [f"  {problem}" for problem in self.problems]
        if self.unsorted:
            lines.append(f"  {_rows(self.unsorted)} out of order: sorted by time")
        if self.duplicates:
            lines.append(f"  {_rows(self.duplicates)} a repetition of user, item and timestamp, and kept")
        return "\n".join(lines)


def _rows(count: int) -> str:
    return f"{count:,} row was" if count == 1 else f"{count:,} rows were"


def own(
    path: str | Path,
    *,
    user: str = "user",
    item: str = "item",
    label: str | None = "label",
    timestamp: str = "timestamp",
    event: str | None = None,
    context: Sequence[str] = (),
    names: Sequence[str] | None = None,
    separator: str | None = None,
    time_format: str | None = None,
    task: Task | None = None,
    label_range: tuple[float, float] | None = None,
    duplicates: Literal["raise", "keep", "first", "last"] = "raise",
    on_bad: Literal["report", "raise"] = "report",
) -> Dataset:
    """Read events from your own CSV (also compressed with gzip) or parquet file.

    Parameters
    ----------
    path : str or Path
        A file named ``*.parquet`` or ``*.pq``, or any other name for text in UTF-8 with a header.
    user, item, timestamp : str
        The columns' names in the file. Ids that are all whole numbers without leading zeros become int64, others stay
        str. Timestamps are seconds, milliseconds, microseconds or nanoseconds since 1970 (told apart by their size),
        or dates and times in ISO 8601; without a time zone they are taken as UTC. Fractions of a second are cut off.
    label : str or None
        The column of ratings or of 0 and 1; None where each row is a purchase or click: then every label is 1.0.
    event : str or None
        A column of whole numbers which says which rows belong to one basket.
    context : sequence of str
        Further columns to keep; those that are all numbers become float64 or int64, others stay str.
    names : sequence of str, optional
        The columns' names, for a text file without a header.
    separator : str, optional
        One character; by default whichever of comma, tab, semicolon and bar stands most often in the first line.
    time_format : str, optional
        The format of the timestamps as in :meth:`datetime.datetime.strptime`, where they are not ISO 8601.
    task : {"rating", "ranking", "binary"}, optional
        By default "ranking" without a label column, "binary" if all labels are 0 or 1, otherwise "rating".
    label_range : (float, float), optional
        Rows with a label outside are bad. By default the range of the labels that occur.
    duplicates : {"raise", "keep", "first", "last"}
        What to do with rows that repeat user, item and timestamp of another: refuse the file, keep all, or keep the
        first or the last of them in the file (the others are reported).
    on_bad : {"report", "raise"}
        Whether bad rows are left out and reported, or the file is refused. Also refuses rows out of order.

    Returns
    -------
    Dataset
        Its ``report`` is a :class:`ReadReport`; ``items`` and ``users`` are None.

    Raises
    ------
    DataMissing
        There is no such file.
    DataError
        The file is empty, truncated, not UTF-8, lacks a column or has no usable row; or ``duplicates`` or ``on_bad``
        say to refuse it.

    Notes
    -----
    Taught in chapter 01.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "shop.csv"
    >>> rows = ["who,what,when", "ann,tea,2024-05-01", "bob,,2024-05-02", "ann,jam,2024-05-03"]
    >>> _ = file.write_text("\\n".join(rows), encoding="utf-8")
    >>> ds = own(file, user="who", item="what", timestamp="when", label=None)
    >>> ds.events["item"].tolist(), ds.card.task
    (['tea', 'jam'], 'ranking')
    >>> print(ds.report)
    shop.csv: 2 of 3 rows read, timestamps as ISO 8601
      1 row left out: no item (line 3)
    """
    for what, value, allowed in (
        ("duplicates", duplicates, ("raise", "keep", "first", "last")),
        ("on_bad", on_bad, ("report", "raise")),
    ):
        if value not in allowed:
            raise DataError(f"{what} is {value!r}: use one of {', '.join(allowed)}")
    path = Path(path)
    wanted = {"user": user, "item": item, "timestamp": timestamp}
    wanted |= {"label": label} if label is not None else {}
    wanted |= {"event": event} if event is not None else {}
    clash = set(context) & {"user", "item", "label", "timestamp", "event"}
    if clash:
        raise DataError(f"context cannot be called {sorted(clash)[0]!r}, which the course gives a meaning: rename it")

    raw = read_raw(path, list(dict.fromkeys([*wanted.values(), *context])), names, separator)
    bad = _Bad(raw)
    table = pd.DataFrame(index=raw.table.index)
    for name in ("user", "item"):
        table[name] = _ids(raw, wanted[name], name, bad)
    table["label"] = _labels(raw, label, label_range, bad)
    table["timestamp"], time_unit = _times(raw, timestamp, time_format, bad)
    if event is not None:
        table["event"] = _numbers(raw, event, "event", bad, whole=True)
    for name in context:
        table[name] = _context(raw, name)

    kept = table[~bad.mask]
    if len(kept) == 0:
        raise DataError(f"{path.name} has no usable row: {'; '.join(map(str, bad.problems()))}")
    if on_bad == "raise" and bad.problems():
        raise DataError(f"{path.name}: {bad.problems()[0]}; mend the file, or read it with on_bad='report'")
    kept, repeated = _without_duplicates(kept, raw, duplicates, bad, path.name)

    late = np.flatnonzero(np.diff(kept["timestamp"].to_numpy()) < 0)
    if on_bad == "raise" and len(late):
        line = raw.lines[kept.index[late[0] + 1]]
        raise DataError(f"{path.name}: line {line} is earlier than the row before it; sort it, or use on_bad='report'")
    events = _final_types(kept).sort_values("timestamp", kind="stable", ignore_index=True)

    report = ReadReport(path.name, raw.rows, len(events), bad.problems(), len(late), repeated, time_unit)
    return Dataset(events, None, None, _card(path, events, label, task, label_range), report)


# --- from raw columns to typed ones -------------------------------------------------------------------------------


class _Bad:
    """Which rows cannot be events, each for the first reason found, and where they stand."""

    def __init__(self, raw: RawTable) -> None:
        self._raw = raw
        self.mask = np.zeros(len(raw.table), dtype=bool)
        self._found: list[Problem] = []
        if raw.broken:
            shown = tuple(number for number, _ in raw.broken[:_SHOWN])
            self._found.append(Problem("wrong number of fields", len(raw.broken), shown, raw.broken[0][1]))

    def add(self, rows: np.ndarray | pd.Series, reason: str, values: pd.Series | None = None) -> None:
        """Mark rows (a mask) that are not marked already."""
        rows = np.asarray(rows, dtype=bool) & ~self.mask
        if not rows.any():
            return
        self.mask |= rows
        at = np.flatnonzero(rows)
        example = "" if values is None else str(values.iloc[at[0]])
        self._found.append(Problem(reason, len(at), tuple(self._raw.lines[at[:_SHOWN]].tolist()), example))

    def problems(self) -> tuple[Problem, ...]:
        return tuple(self._found)


def _absent(values: pd.Series) -> np.ndarray:
    """Missing, or text with nothing in it."""
    missing = values.isna().to_numpy()
    if pd.api.types.is_string_dtype(values):
        missing = missing | (values.fillna("").str.strip() == "").to_numpy()
    return missing


def _ids(raw: RawTable, column: str, name: str, bad: _Bad) -> pd.Series:
    values = raw.table[column]
    bad.add(_absent(values), f"no {name}")
    if pd.api.types.is_bool_dtype(values) or not (
        pd.api.types.is_integer_dtype(values)
        or pd.api.types.is_float_dtype(values)
        or pd.api.types.is_string_dtype(values)
        or isinstance(values.dtype, pd.CategoricalDtype)
    ):
        raise DataError(f"{raw.file}: column {column!r} has dtype {values.dtype}: {name} ids are whole numbers or text")
    if pd.api.types.is_float_dtype(values):  # whole numbers, as parquet holds them when some are missing
        bad.add(values.notna() & (values % 1 != 0), f"{name} is not a whole number", values)
        return values.where(~bad.mask, 0).astype("int64")
    if pd.api.types.is_integer_dtype(values):
        bad.add(values.fillna(0) > np.iinfo(np.int64).max, f"{name} is too large", values)
        return values.where(~bad.mask, 0).astype("int64")
    return values.astype("str")


_WHOLE = r"0|-?[1-9]\d{0,17}"


def _final_types(table: pd.DataFrame) -> pd.DataFrame:
    """Ids that are all plain whole numbers as int64: the same rule whatever kind of file they came from."""
    table = table.copy()
    for name in ("user", "item"):
        if pd.api.types.is_string_dtype(table[name]) and pd.Series(table[name].unique()).str.fullmatch(_WHOLE).all():
            table[name] = table[name].astype("int64")
    return table


def _numbers(raw: RawTable, column: str, name: str, bad: _Bad, *, whole: bool = False) -> pd.Series:
    values = raw.table[column]
    bad.add(_absent(values), f"no {name}")
    number = pd.to_numeric(values, errors="coerce").astype("float64")
    bad.add(number.isna(), f"{name} is not a number", values)
    bad.add(np.isinf(number), f"{name} is infinite", values)
    if whole:
        bad.add((number % 1 != 0) | (number.abs() >= 2.0**63), f"{name} is not a whole number of 64 bits", values)
        exact = pd.to_numeric(values.where(~bad.mask, 0 if values.dtype.kind in "iuf" else "0"))
        return exact.astype("int64")
    return number


def _labels(raw: RawTable, column: str | None, allowed: tuple[float, float] | None, bad: _Bad) -> pd.Series:
    if column is None:
        return pd.Series(1.0, index=raw.table.index)
    number = _numbers(raw, column, "label", bad)
    if allowed is not None:
        outside = ~number.between(*allowed)
        bad.add(outside, f"label is outside {allowed[0]:g} to {allowed[1]:g}", raw.table[column])
    return number


_UNITS = (("s", 1e11, 1.0), ("ms", 1e14, 1e3), ("us", 1e17, 1e6), ("ns", np.inf, 1e9))


def _times(raw: RawTable, column: str, time_format: str | None, bad: _Bad) -> tuple[pd.Series, str]:
    """Whole seconds since 1970 UTC, and how they were read."""
    values = raw.table[column]
    bad.add(_absent(values), "no timestamp")
    if pd.api.types.is_datetime64_any_dtype(values) or _are_dates(values):
        return _seconds(pd.to_datetime(values, utc=True, errors="coerce"), values, bad), "dates"
    number = pd.to_numeric(values, errors="coerce").astype("float64")
    numeric = number.notna().to_numpy() & ~bad.mask
    if time_format is None and numeric.sum() * 2 >= (~bad.mask).sum() and numeric.any():
        size = np.median(np.abs(number[numeric]))  # of 1973 in milliseconds, and of the year 5138 in seconds: 1e11
        unit, _, per_second = next(row for row in _UNITS if size < row[1])
        bad.add(number.isna(), "timestamp is not a number like the others", values)
        seconds = number // per_second
        bad.add(~(seconds.abs() < 1e11), "timestamp is too large", values)
        return seconds.where(~bad.mask, 0).astype("int64"), unit
    moments = pd.to_datetime(values, format=time_format or "ISO8601", utc=True, errors="coerce")
    return _seconds(moments, values, bad), time_format or "ISO 8601"


def _are_dates(values: pd.Series) -> bool:
    return values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) in ("date", "datetime")


def _seconds(moments: pd.Series, values: pd.Series, bad: _Bad) -> pd.Series:
    bad.add(moments.isna(), "timestamp is no date: use ISO 8601, or give time_format", values)
    since = moments.dt.tz_localize(None).astype("datetime64[s]")  # cuts off fractions, towards the past
    return since.fillna(pd.Timestamp(0)).astype("int64")


def _context(raw: RawTable, column: str) -> pd.Series:
    values = raw.table[column]
    if not pd.api.types.is_string_dtype(values):
        return values
    number = pd.to_numeric(values, errors="coerce")
    return number if number.notna().all() else values


def _without_duplicates(
    kept: pd.DataFrame, raw: RawTable, duplicates: str, bad: _Bad, file: str
) -> tuple[pd.DataFrame, int]:
    """Apply the rule for rows that repeat user, item and timestamp; return the rows, and how many repeat and stay."""
    key = ["user", "item", "timestamp", *(["event"] if "event" in kept else [])]
    again = kept.duplicated(key, keep="last" if duplicates == "last" else "first")
    if not again.any():
        return kept, 0
    if duplicates == "keep":
        return kept, int(again.sum())
    if duplicates == "raise":
        later = kept.index[again][0]
        same = (kept[key] == kept.loc[later, key]).all(axis=1)
        earlier = kept.index[same][0]
        others = again.sum() - 1
        so = f", and so {'does 1 other' if others == 1 else f'do {others:,} others'}" if others else ""
        raise DataError(
            f"{file}: line {raw.lines[later]} repeats user, item and timestamp of line {raw.lines[earlier]}{so}: "
            "choose duplicates='keep', 'first' or 'last'"
        )
    dropped = np.zeros(len(raw.table), dtype=bool)
    dropped[again[again].index] = True
    bad.add(dropped, f"repeats user, item and timestamp of {'a later' if duplicates == 'last' else 'an earlier'} row")
    return kept[~again], 0


def _card(
    path: Path, events: pd.DataFrame, label: str | None, task: Task | None, label_range: tuple[float, float] | None
) -> Card:
    if task is None:
        binary = events["label"].isin([0.0, 1.0]).all()
        task = "ranking" if label is None else "binary" if binary else "rating"
    if label_range is None and task == "rating":
        lowest, highest = float(events["label"].min()), float(events["label"].max())
        # A rating that never varies has no range of its own; a width of one keeps the card valid.
        label_range = (lowest, highest) if lowest < highest else (lowest, lowest + 1.0)
    return Card(
        name=path.name.split(".")[0],
        title=path.name,
        task=task,
        label_range=label_range if task == "rating" else None,
        source="your own file",
        access="own",
        event="A row of your file.",
        counts={
            "events": len(events),
            "users": int(events["user"].nunique()),
            "items": int(events["item"].nunique()),
        },
        span=(int(events["timestamp"].iloc[0]), int(events["timestamp"].iloc[-1])),
    )
