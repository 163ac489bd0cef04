"""Cleaning, encoders: what the features package does to columns. The windows have a file of their own."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from recsys_course import data
from recsys_course.events import EventsError, check_events, tie_ends
from recsys_course.features import CleaningReport, Finding, IdEncoder, clean

# ------------------------------------------------------------------------------------------------ cleaning


def dirty(n=400, seed=0):
    """Good rows, each user and item met again and again."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": rng.integers(8, size=n),
            "item": rng.integers(5, size=n),
            "label": rng.integers(1, 6, size=n).astype(float),
            "timestamp": np.sort(rng.integers(1_000, 2_000, size=n)),
        }
    )


def test_each_thing_that_is_planted_is_found_where_it_was_planted_and_nothing_else_is_removed():
    good, _ = clean(dirty())
    bad = good.copy()
    bad[["user", "item"]] = bad[["user", "item"]].astype("Int64")
    bad.loc[3, "user"] = pd.NA
    bad.loc[5, "item"] = pd.NA
    bad.loc[7, "label"] = np.nan
    bad.loc[9, "label"] = np.inf
    bad.loc[11, "label"] = 6.0
    bad.loc[13, "label"] = -1.0
    bad.loc[17, "timestamp"] = 5_000
    bad.loc[19, "timestamp"] = 0
    bad = pd.concat([bad, bad.loc[[20, 21]]], ignore_index=True)
    kept, report = clean(bad, label_range=(1, 5), not_before=1_000, not_after=2_000)
    removed = {f.what: f.examples for f in report.findings if f.removed}
    assert removed == {
        "no user": (3,),
        "no item": (5,),
        "no label": (7,),
        "label infinite": (9,),
        "label outside 1 to 5": (11, 13),
        "timestamp before the first possible": (19,),
        "timestamp in the future": (17,),
        "duplicate of an earlier row": (len(good), len(good) + 1),
    }
    expected = good.drop([3, 5, 7, 9, 11, 13, 17, 19]).reset_index(drop=True)
    pd.testing.assert_frame_equal(kept.astype({"user": "int64", "item": "int64"}), expected)
    assert report.rows_in == len(bad) == report.rows_out + 10


def test_a_repeat_is_kept_and_a_duplicate_is_not():
    table = pd.DataFrame({"user": 1, "item": 7, "label": 1.0, "timestamp": [10, 10, 11, 12], "event": [1, 1, 2, 3]})
    kept, report = clean(table)
    assert kept["timestamp"].tolist() == [10, 11, 12]
    assert report.table().loc["repeat of a user and item at another time"].tolist() == [2, "kept", "2, 3"]


def test_what_the_table_cannot_decide_is_kept_and_counted():
    table = pd.DataFrame({"user": 1, "item": 7, "label": [1.0, 2.0], "timestamp": 10})
    kept, report = clean(table)
    assert len(kept) == 2 and report.findings == (Finding("same user, item and second, other label", 1, False, (1,)),)
    baskets = table.assign(label=1.0, event=[1, 2])
    kept, report = clean(baskets)
    assert len(kept) == 2 and report.findings == (Finding("same user, item and second, other basket", 1, False, (1,)),)
    both = pd.DataFrame({"user": 1, "item": 7, "label": [1.0, 2.0], "timestamp": 10, "event": 1})
    assert clean(both)[1].findings[0].what == "same user, item, second and basket, other label"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1.0, 2.0, np.nan]),
            st.sampled_from(["tea", "jam", None]),
            st.sampled_from([0.0, 1.0, 9.0, np.nan, np.inf]),
            st.sampled_from([-5.0, 1.0, 2.0, 3.0, 99.0, np.nan]),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_rows_add_up_and_what_is_left_is_an_events_table(rows):
    table = pd.DataFrame(rows, columns=["user", "item", "label", "timestamp"])
    possible = table.dropna().query("label <= 1 and 0 <= timestamp <= 3")
    if len(possible) == 0:
        with pytest.raises(EventsError, match="no row is left"):
            clean(table, label_range=(0, 1), not_before=0, not_after=3)
        return
    before = table.copy()
    kept, report = clean(table, label_range=(0, 1), not_before=0, not_after=3)
    pd.testing.assert_frame_equal(table, before)  # the caller's table is not touched
    assert report.rows_in == len(table) and report.rows_out == len(kept) == len(possible.drop_duplicates())
    check_events(kept)
    again, second = clean(kept, label_range=(0, 1), not_before=0, not_after=3)
    pd.testing.assert_frame_equal(again, kept)  # nothing is left to clean
    assert second.removed == 0


def test_cleaning_a_day_at_a_time_gives_the_rows_of_cleaning_it_whole():
    table = dirty()
    table = pd.concat([table, table.sample(40, random_state=0)]).sort_values("timestamp", ignore_index=True)
    table.loc[::17, "label"] = 99.0
    whole, report = clean(table, label_range=(1, 5))
    ends = tie_ends(table["timestamp"].to_numpy())[9::10]
    days = [table.iloc[a:b] for a, b in zip([0, *ends], [*ends, len(table)], strict=True) if b > a]
    parts = [clean(day, label_range=(1, 5)) for day in days]
    pd.testing.assert_frame_equal(pd.concat([kept for kept, _ in parts], ignore_index=True), whole)
    assert sum(r.removed for _, r in parts) == report.removed > 40


def test_rows_out_of_order_are_sorted_and_said():
    table = pd.DataFrame({"user": [1, 2, 3], "item": 7, "label": 1.0, "timestamp": [20, 10, 30]})
    kept, report = clean(table)
    assert kept["user"].tolist() == [2, 1, 3]
    assert report.findings == (Finding("out of order, sorted", 1, False, (1,)),)


def test_bounds_and_required_columns():
    table = pd.DataFrame(
        {"user": 1, "item": [1, 2, 3, 4], "label": 1.0, "timestamp": [1, 2, 3, 4], "quantity": [1, 0, np.nan, 500]}
    )
    assert len(clean(table, bounds={"quantity": (1, None)})[0]) == 3
    kept, report = clean(table, bounds={"quantity": (1, 100)}, required=["quantity"])
    assert kept["item"].tolist() == [1]
    assert report.table()["rows"].to_dict() == {"no quantity": 1, "quantity outside 1 to 100": 2}
    assert clean(table, bounds={"quantity": (None, 1)})[1].findings[0].what == "quantity above 1"
    assert clean(table)[1].findings == (Finding("no quantity", 1, False, (2,)),)


def test_errors_say_what_to_do():
    table = dirty(20)
    with pytest.raises(EventsError, match="column 'label' is missing"):
        clean(table.drop(columns="label"))
    with pytest.raises(EventsError, match="column 'price' is missing"):
        clean(table, bounds={"price": (0, None)})
    with pytest.raises(EventsError, match="column 'label' holds something that is no number"):
        clean(table.assign(label="five"))
    with pytest.raises(EventsError, match="no row is left of 20: label outside 7 to 9"):
        clean(table, label_range=(7, 9))
    with pytest.raises(ValueError, match="10 rows in are not 9 out and 0 removed"):
        CleaningReport(10, 9, ())


def test_the_shipped_data_are_clean():
    kept, report = clean(data.movielens().events, label_range=(0.5, 5))
    assert report.removed == 0 and len(kept) == 100_004


def test_the_order_of_the_rows_matters_neither_for_what_is_kept_nor_for_the_counts():
    table = dirty()
    table.loc[::13, "label"] = np.nan
    shuffled = table.sample(frac=1, random_state=1)
    kept, report = clean(table)
    kept_too, report_too = clean(shuffled)
    key = ["timestamp", "user", "item", "label"]
    pd.testing.assert_frame_equal(
        kept.sort_values(key, ignore_index=True), kept_too.sort_values(key, ignore_index=True)
    )
    removed = [(f.what, f.rows) for f in report.findings if f.removed]
    assert removed == [(f.what, f.rows) for f in report_too.findings if f.removed]


# ------------------------------------------------------------------------------------------------ encoders


@parametrize_with_checks([IdEncoder()])
def test_id_encoder_passes_scikit_learns_checks(estimator, check):
    check(estimator)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=5))
def test_ids_are_numbered_in_order_of_arrival_however_they_arrive(days):
    whole = IdEncoder().fit([[i] for day in days for i in day])
    daily = IdEncoder()
    seen = []
    for day in days:
        if seen:
            expected = [seen.index(i) + 1 if i in seen else 0 for i in day]
            assert daily.transform([[i] for i in day]).ravel().tolist() == expected
        daily.partial_fit([[i] for i in day])
        seen += [i for i in dict.fromkeys(day) if i not in seen]
    assert daily.ids_[0].tolist() == seen == whole.ids_[0].tolist()
    assert daily.n_numbers_.tolist() == [len(seen) + 1]


def test_a_column_of_integers_beside_strings_stays_one():
    frame = pd.DataFrame({"user": [2**60, 2**60 + 1], "item": ["007", "7"]})
    encoder = IdEncoder().fit(frame)
    assert encoder.transform(frame).tolist() == [[1, 1], [2, 2]]
    assert encoder.transform(frame[::-1]).tolist() == [[2, 2], [1, 1]]
    assert encoder.get_feature_names_out().tolist() == ["user", "item"]
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(frame[["item", "user"]])
    assert IdEncoder().set_output(transform="pandas").fit(frame).transform(frame).columns.tolist() == ["user", "item"]


def test_a_missing_id_is_refused():
    for hole in (None, np.nan, pd.NA):
        frame = pd.DataFrame({"item": pd.Series(["tea", hole], dtype=object)})
        with pytest.raises(ValueError, match=r"missing id|NaN"):
            IdEncoder().fit(frame)


def test_scikit_learns_encoder_renumbers_where_ours_does_not():
    """The reason that ours exists: if OrdinalEncoder learns to grow, it can go."""
    assert not hasattr(OrdinalEncoder(), "partial_fit")
    first, second = [["m"], ["z"]], [["m"], ["z"], ["a"]]
    assert (
        OrdinalEncoder().fit(second).transform(first).tolist() != OrdinalEncoder().fit(first).transform(first).tolist()
    )
    assert IdEncoder().fit(first).partial_fit(second).transform(first).tolist() == [[1], [2]]


def test_it_works_inside_a_pipeline():
    frame = pd.DataFrame({"item": ["a", "b", "a"], "price": [1.0, 2.0, 3.0]})
    pipeline = make_pipeline(make_column_transformer((IdEncoder(), ["item"]), remainder="passthrough"), Ridge())
    assert pipeline.fit(frame, [1.0, 2.0, 3.0]).predict(frame.assign(item="new")).shape == (3,)
