"""A learner's own file: its rows are all accounted for, or one line says why the file was refused."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from recsys_course.data import DataError, DataMissing, own
from recsys_course.events import EventsError, check_events

GOOD = "user,item,label,timestamp\n1,7,4.5,300\n2,8,3,100\n1,9,5,200\n"


@pytest.fixture
def write(tmp_path):
    def _write(content: str | bytes, name: str = "mine.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return _write


# --- what is read -------------------------------------------------------------------------------------------------


def test_a_good_file(write):
    ds = own(write(GOOD))
    check_events(ds.events)
    assert ds.events.to_dict("list") == {
        "user": [2, 1, 1],
        "item": [8, 9, 7],
        "label": [3.0, 5.0, 4.5],
        "timestamp": [100, 200, 300],
    }
    assert ds.events["user"].dtype == np.int64
    assert (ds.card.task, ds.card.label_range, ds.card.span) == ("rating", (3.0, 5.0), (100, 300))
    assert ds.card.counts == {"events": 3, "users": 2, "items": 3}
    assert (ds.report.rows, ds.report.kept, ds.report.problems, ds.report.unsorted) == (3, 3, (), 1)
    assert "1 row was out of order: sorted by time" in str(ds.report)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (GOOD.replace(",", "\t"), "a.tsv"),
        (GOOD.replace(",", ";"), "a.csv"),
        (GOOD.replace(",", "|"), "a.txt"),
        (GOOD.replace("\n", "\r\n"), "a.csv"),
        ("\ufeff" + GOOD, "a.csv"),
        (GOOD.rstrip("\n"), "a.csv"),
        (gzip.compress(GOOD.encode()), "a.csv.gz"),
        ('"user","item","label","timestamp"\n"1","7","4.5","300"\n2,8,3,100\n1,9,5,200\n', "a.csv"),
    ],
    ids=["tab", "semicolon", "bar", "windows lines", "byte order mark", "no last line end", "gzip", "quoted"],
)
def test_kinds_of_text(write, content, name):
    pd.testing.assert_frame_equal(own(write(content, name)).events, own(write(GOOD, "good.csv")).events)


def test_parquet_is_read_as_the_same_csv(write, tmp_path):
    expected = own(write(GOOD)).events
    table = pd.read_csv(io.StringIO(GOOD))
    variants = {
        "integers": table,
        "text": table.astype({"user": str, "item": str, "timestamp": str}),
        "floats": table.astype({"user": float, "item": float}),
        "dates": table.assign(timestamp=pd.to_datetime(table["timestamp"], unit="s")),
        "zone": table.assign(
            timestamp=pd.to_datetime(table["timestamp"], unit="s", utc=True).dt.tz_convert("Asia/Tokyo")
        ),
        "categories": table.astype({"item": str}).astype({"item": "category"}),
    }
    for name, variant in variants.items():
        variant.to_parquet(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(own(tmp_path / f"{name}.parquet").events, expected, obj=name)


def test_columns_by_name_without_header_and_with_context(write):
    ds = own(
        write("ann,tea,2024-05-01,3,green\nbob,jam,2024-05-02,4,red\n"),
        names=["who", "what", "when", "n", "colour"],
        user="who",
        item="what",
        timestamp="when",
        label=None,
        context=["n", "colour"],
    )
    assert ds.events["user"].tolist() == ["ann", "bob"]
    assert ds.events["n"].tolist() == [3, 4]
    assert ds.events["n"].dtype == np.int64
    assert ds.events["colour"].tolist() == ["green", "red"]
    assert (ds.events["label"] == 1).all()
    assert ds.card.task == "ranking"
    assert ds.card.label_range is None


def test_without_a_header_the_first_line_is_line_1(write):
    ds = own(write("1,2,x,3\n1,2\n1,2,4,3\n,2,4,3\n"), names=["user", "item", "label", "timestamp"])
    found = {problem.reason: problem.rows for problem in ds.report.problems}
    assert found == {"wrong number of fields": (2,), "label is not a number": (1,), "no user": (4,)}


def test_tasks(write):
    clicks = write("user,item,label,timestamp\n1,2,0,1\n1,3,1,2\n")
    assert own(clicks).card.task == "binary"
    assert own(clicks, task="rating", label_range=(0, 5)).card.label_range == (0, 5)
    basket = write("user,item,timestamp,basket\n1,2,5,10\n1,3,5,10\n", "b.csv")
    ds = own(basket, label=None, event="basket")
    assert ds.events["event"].tolist() == [10, 10]
    assert ds.events["event"].dtype == np.int64


def test_ids_with_leading_zeros_stay_text(write):
    ds = own(write("user,item,label,timestamp\n1,0133093,4,1\n2,133093,4,2\n"))
    assert ds.events["item"].tolist() == ["0133093", "133093"]
    assert ds.events["user"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1700000000", "s"),
        ("1700000000.9", "s"),
        ("1700000000123", "ms"),
        ("1700000000123456", "us"),
        ("1700000000123456789", "ns"),
        ("2023-11-14T22:13:20Z", "ISO 8601"),
        ("2023-11-14 22:13:20.75", "ISO 8601"),
        ("2023-11-15T00:13:20+02:00", "ISO 8601"),
    ],
)
def test_timestamps(write, text, unit):
    ds = own(write(f"user,item,label,timestamp\n1,2,3,{text}\n"))
    assert ds.events["timestamp"].tolist() == [1_700_000_000]
    assert ds.report.time_unit == unit


def test_other_dates_need_their_format(write):
    file = write("user,item,label,timestamp\n1,2,3,14/11/2023\n")
    with pytest.raises(DataError, match=r"no usable row: 1 row left out: timestamp is no date: use ISO 8601, or give"):
        own(file)
    ds = own(file, time_format="%d/%m/%Y")
    assert datetime.fromtimestamp(ds.events["timestamp"][0], UTC).date().isoformat() == "2023-11-14"


# --- rows that are left out ---------------------------------------------------------------------------------------

BAD = """user,item,label,timestamp
1,7,4,100
,7,4,101
2,,4,102
3,7,,103
3,7,good,104
3,7,inf,105
3,7,4,
3,7,4,noon

3,7,4
3,7,4,106,9
  ,7,4,107
4,8,2,50
"""


def test_bad_rows_are_counted_by_reason_and_line(write):
    ds = own(write(BAD))
    found = {problem.reason: (problem.count, problem.rows) for problem in ds.report.problems}
    assert found == {
        "wrong number of fields": (2, (11, 12)),
        "no user": (3, (3, 10, 13)),
        "no item": (1, (4,)),
        "no label": (1, (5,)),
        "label is not a number": (1, (6,)),
        "label is infinite": (1, (7,)),
        "no timestamp": (1, (8,)),
        "timestamp is not a number like the others": (1, (9,)),
    }
    assert (ds.report.rows, ds.report.kept, ds.report.dropped, ds.report.unsorted) == (13, 2, 11, 1)
    assert ds.events["user"].tolist() == [4, 1]
    assert "(line 6, for example 'good')" in str(ds.report)


def test_bad_rows_can_be_refused(write):
    with pytest.raises(DataError, match=r"mine\.csv: 2 rows left out: wrong number of fields \(lines 11, 12"):
        own(write(BAD), on_bad="raise")
    with pytest.raises(DataError, match="line 3 is earlier than the row before it"):
        own(write(GOOD), on_bad="raise")
    own(write("user,item,label,timestamp\n1,7,4,1\n1,8,4,1\n", "sorted.csv"), on_bad="raise")


def test_only_the_first_few_lines_are_named(write):
    ds = own(write("user,item,label,timestamp\n1,7,4,1\n" + ",7,4,1\n" * 2000))
    assert ds.report.problems[0].rows == (3, 4, 5, 6, 7)
    assert str(ds.report.problems[0]) == "2,000 rows left out: no user (lines 3, 4, 5, 6, 7, ...)"


def test_labels_outside_the_range_are_bad(write):
    ds = own(write(GOOD), label_range=(1, 4.75))
    assert ds.report.problems[0].reason == "label is outside 1 to 4.75"
    assert (ds.report.problems[0].rows, ds.report.problems[0].example) == ((4,), "5")


def test_missing_values_in_parquet(tmp_path):
    table = pd.DataFrame(
        {
            "user": [1.0, np.nan, 3.5, 4.0],
            "item": ["a", "b", "c", None],
            "label": [1.0, 2.0, 3.0, 4.0],
            "timestamp": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]),
        }
    )
    table.to_parquet(tmp_path / "x.parquet")
    ds = own(tmp_path / "x.parquet")
    assert ds.events[["user", "item"]].to_numpy().tolist() == [[1, "a"]]
    assert [(p.reason, p.rows) for p in ds.report.problems] == [
        ("no user", (2,)),
        ("user is not a whole number", (3,)),
        ("no item", (4,)),
    ]


TWICE = "user,item,label,timestamp\n1,7,4,100\n2,7,4,100\n1,7,2,100\n1,7,3,100\n"


def test_duplicate_keys(write):
    file = write(TWICE)
    with pytest.raises(
        DataError, match=r"line 4 repeats user, item and timestamp of line 2, and so does 1 other: choose"
    ):
        own(file)
    kept = own(file, duplicates="keep")
    assert (len(kept.events), kept.report.duplicates, kept.report.dropped) == (4, 2, 0)
    first = own(file, duplicates="first")
    assert first.events["label"].tolist() == [4, 4]
    assert [(p.count, p.rows) for p in first.report.problems] == [(2, (4, 5))]
    last = own(file, duplicates="last")
    assert last.events["label"].tolist() == [4, 3]
    assert [(p.count, p.rows) for p in last.report.problems] == [(2, (2, 4))]


# --- files that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: it has no bytes"),
        (b"\n \n\n", "is empty: it has blank lines only"),
        (b"user,item,label,timestamp\n", "has a header and no rows"),
        (b"user,item,rating,timestamp\n1,2,3,4\n", r"has no column 'label': its columns are 'user', 'item', 'rating'"),
        (b"User,item,label,timestamp\n1,2,3,4\n", "has no column 'user'.*did you mean 'User'"),
        (b"1,2,3,4\n1,3,3,5\n", "first line looks like data: give the columns' names with names="),
        (b"user,item,label,label,timestamp\n1,2,3,3,4\n", "has 2 columns named 'label'"),
        (b"user,item,label,timestamp\n1,caf\xe9,3,4\n", "is not UTF-8: line 2 has the byte 0xe9"),
        (GOOD.encode("utf-16"), "is UTF-16, not UTF-8"),
        (b"user,item,label,timestamp\n1,2\0,3,4\n", "is not text: line 2 holds a zero byte"),
        (b'user,item,label,timestamp\n1,"2,3,4\n1,2,3,4\n1,2,3,4\n', "ends inside quotation marks"),
        (gzip.compress(GOOD.encode() * 99)[:-20], "is a truncated or damaged gzip file"),
        (b"PAR1 and so on", "cannot be read as parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_refused(write, content, message):
    with pytest.raises(DataError, match=message) as caught:
        own(write(content))
    assert "\n" not in str(caught.value)


def test_inch_marks_are_no_quotation_marks(write):
    assert own(write('user,item,label,timestamp\n1,disk 5",3,4\n')).events["item"].tolist() == ['disk 5"']


def test_a_missing_file_and_wrong_arguments(write, tmp_path):
    with pytest.raises(DataMissing, match="there is no file"):
        own(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="duplicates is 'drop': use one of raise, keep, first, last"):
        own(write(GOOD), duplicates="drop")
    with pytest.raises(DataError, match="on_bad is 'skip'"):
        own(write(GOOD), on_bad="skip")
    with pytest.raises(DataError, match="task of 'mine' is 'guess'"):
        own(write(GOOD), task="guess")
    with pytest.raises(DataError, match="context cannot be called 'event'"):
        own(write(GOOD), context=["event"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": [[1], [2]]}, "column 'user' has dtype object"),
        ({"user": [True, False]}, "column 'user' has dtype bool"),
    ],
)
def test_parquet_of_odd_types(tmp_path, change, message):
    table = {"user": [1, 2], "item": [3, 4], "label": [1.0, 2.0], "timestamp": [5, 6]} | change
    pd.DataFrame(table).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message):
        own(tmp_path / "x.parquet")


# --- properties ---------------------------------------------------------------------------------------------------

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
text = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"), min_size=1, max_size=8)
ids = text.filter(lambda value: value.strip() != "")
moments = st.integers(0, 4_000_000_000)
rows = st.lists(st.tuples(ids, ids, st.floats(-1e6, 1e6), moments), min_size=1, max_size=12)


def as_csv(table, header=("user", "item", "label", "timestamp")) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *table])
    return buffer.getvalue().encode("utf-8")


@quick
@given(rows)
def test_every_good_row_arrives_in_order_of_time(tmp_path, table):
    path = tmp_path / "p.csv"
    path.write_bytes(as_csv([(u, i, repr(r), t) for u, i, r, t in table]))
    ds = own(path, separator=",", duplicates="keep")
    check_events(ds.events)
    read = ds.events.astype({"user": str, "item": str}).itertuples(index=False, name=None)
    assert list(read) == sorted(table, key=lambda row: row[3])  # sorted is stable, as the reader promises to be
    assert ds.report.dropped == 0


broken = st.sampled_from(
    [("", "7", "4", "5"), ("1", " ", "4", "5"), ("1", "7", "x", "5"), ("1", "7", "-inf", "5"), ("1",)]
)


@quick
@given(st.lists(st.one_of(broken, st.just(("1", "7", "4", "5"))), min_size=1, max_size=30))
def test_every_row_is_kept_or_reported_with_its_line(tmp_path, table):
    good = ("1", "7", "4", "5")
    assume(good in table)
    path = tmp_path / "p.csv"
    path.write_bytes(as_csv(table))
    report = own(path, duplicates="keep").report
    assert report.rows == len(table)
    assert report.kept == table.count(good)
    assert sum(problem.count for problem in report.problems) == report.dropped
    for problem in report.problems:
        assert all(table[line - 2] != good for line in problem.rows)
    assert Counter(row == good for row in table)[False] == report.dropped


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_parquet_or_gzip_file_cut_anywhere_is_refused(tmp_path, data):
    table = pd.DataFrame({"user": range(500), "item": "x", "label": 1.5, "timestamp": range(500)})
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    packed = gzip.compress(as_csv(table.itertuples(index=False, name=None)))
    for name, content in (("x.parquet", buffer.getvalue()), ("x.csv.gz", packed)):
        path = tmp_path / name
        path.write_bytes(content)
        assert len(own(path).events) == 500
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(DataError):
            own(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.lists(st.binary(max_size=20)).map(b"\n".join)), st.booleans())
@example(b"\r\x01", False)
@example(b"x" * 200_000, False)
def test_no_content_ends_in_another_error(tmp_path, content, header):
    path = tmp_path / "noise.csv"
    path.write_bytes(b"user,item,label,timestamp\n" * header + content)
    try:
        check_events(own(path, duplicates="keep").events)
    except DataError as problem:
        assert "\n" not in str(problem).replace(repr(content), "")
    except EventsError as problem:  # pragma: no cover - the reader must not hand out an invalid table
        raise AssertionError from problem


@quick
@given(
    st.lists(
        st.sampled_from(["1", "0", "-3", "1e400", "nan", "1700000000000", "2024-01-01", "9" * 25, "x", ""]),
        min_size=1,
        max_size=6,
    )
)
def test_odd_values_never_end_in_another_error(tmp_path, values):
    path = tmp_path / "odd.csv"
    path.write_bytes(as_csv([(v, v, v, v, v) for v in values], ("user", "item", "label", "timestamp", "basket")))
    try:
        ds = own(path, event="basket", duplicates="keep")
    except DataError:
        return
    check_events(ds.events)
    assert ds.report.kept + sum(problem.count for problem in ds.report.problems) == len(values)
