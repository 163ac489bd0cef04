"""The wanted columns of a learner's own file, as they stand in it, or one clear line on why it cannot be read."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recsys_course.data.dataset import DataError, DataMissing
from recsys_course.data.store import read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RawTable", "read_raw"]

_SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class RawTable:
    """The wanted columns as they stand in the file, the number of each row, and rows that have no columns at all."""

    file: str
    table: pd.DataFrame
    lines: np.ndarray
    broken: tuple[tuple[int, str], ...]

    @property
    def rows(self) -> int:
        return len(self.table) + len(self.broken)


def read_raw(path: Path, columns: list[str], names: Sequence[str] | None, separator: str | None) -> RawTable:
    """Read ``columns`` of a parquet file as they are typed, or of a text file as str.

    Raises
    ------
    DataMissing
        There is no such file.
    DataError
        The file is empty, truncated, damaged, not UTF-8, without rows, or lacks a column.
    """
    if not path.is_file():
        raise DataMissing(f"there is no file {path}: check its name and folder")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: it has no bytes at all")
    with path.open("rb") as file:
        start = file.read(4)
    if path.suffix in (".parquet", ".pq") or start == b"PAR1":
        return _read_parquet(path, columns)
    return _read_text(path, columns, names, separator)


def _read_parquet(path: Path, columns: list[str]) -> RawTable:
    table = read_parquet(path)
    _check_columns(path, columns, table.column_names)
    if table.num_rows == 0:
        raise DataError(f"{path} has no rows: check what wrote it")
    frame = table.select(columns).to_pandas()
    return RawTable(path.name, frame, np.arange(1, len(frame) + 1), ())


def _read_text(path: Path, columns: list[str], names: Sequence[str] | None, separator: str | None) -> RawTable:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    content = _utf8(path, _unpacked(path))
    first = content.split(b"\n", 1)[0].split(b"\r", 1)[0].decode("utf-8")
    separator = separator or max(_SEPARATORS, key=first.count)
    try:
        header = list(names) if names is not None else next(csv.reader([first], delimiter=separator), [])
    except csv.Error as problem:  # a first line of more than 131,072 characters, for one
        raise DataError(f"the first line of {path} cannot be read as names of columns: {problem}") from problem
    _check_columns(path, columns, header)

    broken: list[tuple[int, str]] = []

    def note(row: pa_csv.InvalidRow) -> str:
        broken.append((row.number, f"{row.actual_columns} fields instead of {row.expected_columns}"))
        return "skip"

    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            # One thread, because only then does pyarrow tell the number of a bad row.
            read_options=pa_csv.ReadOptions(use_threads=False, column_names=names),
            parse_options=pa_csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=note, ignore_empty_lines=False
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                include_columns=columns,
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowException as problem:
        raise DataError(f"{path} cannot be read as text with columns: {str(problem).splitlines()[0]}") from problem
    lines = _line_numbers(table.num_rows, [number for number, _ in broken], first=1 if names is not None else 2)
    if len(lines) + len(broken) == 0:
        raise DataError(f"{path} has a header and no rows: check what wrote it")
    return RawTable(path.name, _as_str(table), lines, tuple(broken))


def _as_str(table: pa.Table) -> pd.DataFrame:
    return pd.DataFrame({name: table[name].to_pandas().astype("str") for name in table.column_names})


def _line_numbers(good: int, broken: list[int], first: int) -> np.ndarray:
    """The line of each good row, when the rows on the lines ``broken`` are missing.

    >>> _line_numbers(3, [3], first=2).tolist()
    [2, 4, 5]
    """
    every = np.arange(first, first + good + len(broken))
    return every[~np.isin(every, broken)]


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as problem:
        raise DataError(f"{path} is a truncated or damaged gzip file ({problem}): copy it again") from problem


def _utf8(path: Path, content: bytes) -> bytes:
    """The content without a byte order mark, sure to be UTF-8 text whose quotation marks are closed."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16, not UTF-8: save it again as UTF-8")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise DataError(f"{path} is empty: it has blank lines only")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise DataError(
            f"{path} is not UTF-8: line {line} has the byte 0x{content[problem.start]:02x}; save it again as UTF-8"
        ) from problem
    if "\0" in text:
        raise DataError(f"{path} is not text: line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a zero byte")
    if text.count('"') % 2:
        # A quotation mark that is never closed would swallow all rows to the end of the file.
        try:
            for _ in csv.reader(io.StringIO(text, newline=""), strict=True):
                pass
        except csv.Error as problem:
            if "unexpected end of data" in str(problem):
                raise DataError(f"{path} ends inside quotation marks: truncated, or a mark is not closed") from problem
    return content


def _check_columns(path: Path, columns: list[str], header: Sequence[str]) -> None:
    for name in columns:
        if list(header).count(name) > 1:
            raise DataError(f"{path} has {list(header).count(name)} columns named {name!r}: rename all but one")
        if name in header:
            continue
        close = difflib.get_close_matches(name.lower(), [str(column).lower() for column in header], n=1, cutoff=0.5)
        hint = next((f"; did you mean {column!r}?" for column in header if close and column.lower() == close[0]), "")
        if all(re.fullmatch(r"\s*-?[\d.]+\s*", str(column)) for column in header):
            hint = "; its first line looks like data: give the columns' names with names=[...]"
        shown = ", ".join(map(repr, list(header)[:20]))
        raise DataError(f"{path} has no column {name!r}: its columns are {shown}{hint}")
