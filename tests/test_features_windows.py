"""Window features: one definition for table and stream, held against two other implementations."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from recsys_course import data
from recsys_course.events import EventsError, without_label
from recsys_course.features import Window, WindowFeatures, _kernels

WINDOWS = [
    Window("user_20s", "user", 20),
    Window("user_5s", "user", 5),
    Window("user_ever", "user", None),
    Window("bought_20s", "user", "20s", where={"label": 1.0}),
    Window("kind_12s", "kind", 12, where={"label": (1.0, 2.0)}),
    Window("pair_20s", ("user", "kind"), 20),
    Window("triple", ("user", "item", "kind"), None),
    Window("spent_9s", "user", 9, statistic="sum", value="price"),
    Window("mean_9s", "user", 9, statistic="mean", value="price"),
    Window("mean_label", "item", None, statistic="mean", value="label"),
    Window("since", "user", None, statistic="since"),
    Window("since_7s", "item", 7, statistic="since", where={"label": 1.0}),
]


def slowly(events, windows):
    """The definition, word by word: for each row all rows, and only those that the window names."""
    rows = events.to_dict("records")
    out = []
    for row in rows:
        features = {}
        for w in windows:
            key = [row[k] for k in w.keys]
            inside = [
                r
                for r in rows
                if r["timestamp"] < row["timestamp"]
                and (w.length is None or r["timestamp"] >= row["timestamp"] - w.seconds)
                and [r[k] for k in w.keys] == key
                and all(r[c] in (v if isinstance(v, tuple) else (v,)) for c, v in w.where.items())
                and (w.value is None or r[w.value] == r[w.value])
            ]
            values = [] if w.value is None else [r[w.value] for r in inside]
            if any(pd.isna(k) for k in key):
                features[w.name] = np.nan
            elif w.statistic == "count":
                features[w.name] = len(inside)
            elif w.statistic == "sum":
                features[w.name] = sum(values)
            elif not inside:
                features[w.name] = np.nan
            elif w.statistic == "mean":
                features[w.name] = sum(values) / len(values)
            else:
                features[w.name] = row["timestamp"] - max(r["timestamp"] for r in inside)
        out.append(features)
    return pd.DataFrame(out, index=events.index, columns=[w.name for w in windows], dtype=float)


def in_turn(events, windows):
    """A row at a time: asked about, then learned."""
    features = WindowFeatures(windows).fit(events.iloc[:0])
    out = []
    for row in events.to_dict("records"):
        out.append(features.transform_one(row))
        features.learn_one(row)
    return pd.DataFrame(out, index=events.index, columns=[w.name for w in windows], dtype=float)


rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from([0.0, 1.0, 2.0]),
        st.integers(0, 60),
        st.sampled_from(["a", "b", None]),
        st.sampled_from([0.0, 1.0, 2.5, -4.0, 1e15, np.nan]),
    ),
    min_size=1,
    max_size=30,
)


def table(rows):
    events = pd.DataFrame(rows, columns=["user", "item", "label", "timestamp", "kind", "price"])
    events = events.astype({"price": float, "kind": "str"}).sort_values("timestamp", kind="stable")
    return events.set_index(np.arange(len(events)) * 3)  # an index that is not 0, 1, 2: it must come back


def shop(n=3_000, users=200, seed=0):
    rng = np.random.default_rng(seed)
    return table(
        list(
            zip(
                rng.integers(users, size=n),
                rng.integers(50, size=n),
                rng.choice([0.0, 1.0, 2.0], size=n),
                np.sort(rng.integers(n // 2 + 1, size=n)),
                rng.choice(["a", "b", "c"], size=n),
                rng.uniform(0, 9, size=n),
                strict=True,
            )
        )
    )


# ------------------------------------------------------------------------- one definition, three ways to compute it


@settings(max_examples=300, deadline=None)
@given(rows)
def test_table_stream_and_definition_agree_event_by_event(rows):
    events = table(rows)
    whole = WindowFeatures(WINDOWS).fit_transform(events)
    pd.testing.assert_frame_equal(whole, in_turn(events, WINDOWS), check_exact=True)
    # 1e15 passes through sums of ones: with plain adding and taking away the small values would be lost.
    pd.testing.assert_frame_equal(whole, slowly(events, WINDOWS), rtol=1e-12, atol=1e-3)
    small = events["price"].abs().max() < 1e15
    if small:
        pd.testing.assert_frame_equal(whole, slowly(events, WINDOWS), check_exact=True)


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 30), st.integers(0, 30))
def test_a_stream_cut_anywhere_continues_where_it_stopped(rows, first, second):
    events = table(rows)
    cuts = sorted([min(first, len(events)), min(second, len(events))])
    features = WindowFeatures(WINDOWS)
    parts = [features.fit_transform(events.iloc[: cuts[0]])]
    copy = pickle.loads(pickle.dumps(features))
    for walker in (features, copy):
        rest = [walker.advance(events.iloc[cuts[0] : cuts[1]]), walker.advance(events.iloc[cuts[1] :])]
        whole = WindowFeatures(WINDOWS).fit_transform(events)
        pd.testing.assert_frame_equal(pd.concat([*parts, *rest]), whole, check_exact=True)


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 60))
def test_no_later_event_changes_an_earlier_feature(rows, moment):
    events = table(rows)
    clean = WindowFeatures(WINDOWS).fit_transform(events)
    later = events["timestamp"].to_numpy() >= moment
    poisoned = events.copy()
    poisoned.loc[later, ["user", "item"]] = 0
    poisoned.loc[later, ["label", "price"]] = [1.0, -1e9]
    poisoned.loc[later, "kind"] = "a"
    poisoned.loc[later, "timestamp"] = np.sort(moment + events.loc[later, "timestamp"].to_numpy()[::-1] % 7)
    poisoned = poisoned.sort_values("timestamp", kind="stable")
    dirty = WindowFeatures(WINDOWS).fit_transform(poisoned)
    pd.testing.assert_frame_equal(dirty.loc[~later], clean.loc[~later], check_exact=True)


@settings(max_examples=100, deadline=None)
@given(rows)
def test_the_order_within_a_second_does_not_matter(rows):
    events = table(rows)
    turned = events.iloc[::-1].sort_values("timestamp", kind="stable")
    # Sums of the same numbers in another order may differ by rounding; everything else is equal.
    pd.testing.assert_frame_equal(
        WindowFeatures(WINDOWS).fit_transform(turned).loc[events.index],
        WindowFeatures(WINDOWS).fit_transform(events),
        rtol=1e-12,
        atol=1e-3,
    )


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 30))
def test_fit_then_transform_asks_about_what_is_known_now(rows, cut):
    events = table(rows)
    past, future = events.iloc[:cut], events.iloc[cut:]
    features = WindowFeatures(WINDOWS).fit(past)
    before = pickle.dumps(features)
    asked = features.transform(without_label(future))
    assert pickle.dumps(features) == before  # nothing was learned, nothing moved
    for k in range(len(future)):
        alone = slowly(pd.concat([past, future.iloc[k : k + 1]]), WINDOWS).iloc[-1]
        pd.testing.assert_series_equal(asked.iloc[k], alone, rtol=1e-12, atol=1e-3)


def test_pandas_rolling_windows_agree():
    """A third implementation, of other people: it sorts by key, and knows one key and one length at a time."""
    events = shop()
    ours = WindowFeatures([Window("n", "user", "90s"), Window("paid", "user", "90s", statistic="sum", value="price")])
    ours = ours.fit_transform(events)
    dated = events.assign(when=pd.to_datetime(events["timestamp"], unit="s"), row=events.index, n=1.0)
    rolled = dated.set_index("when").groupby("user")[["n", "price"]].rolling("90s", closed="left").sum()
    order = dated.sort_values(["user", "timestamp"], kind="stable")["row"].to_numpy()
    theirs = rolled.fillna(0.0).set_index(order).loc[events.index]
    np.testing.assert_array_equal(ours["n"], theirs["n"])
    np.testing.assert_allclose(ours["paid"], theirs["price"], rtol=1e-9, atol=1e-9)
    assert ours["n"].max() > 3


def test_both_ends_of_a_window():
    events = pd.DataFrame({"user": 1, "item": 7, "label": 1.0, "timestamp": [0, 10, 10, 20, 21]})
    out = WindowFeatures([Window("n", "user", 10)]).fit_transform(events)["n"]
    # At 20 the row at 10 is just inside; at 21 it is out. Rows of one second do not see each other.
    assert out.tolist() == [0, 1, 1, 2, 1]


def test_late_labels_may_be_learned_after_later_rows_were_asked_about():
    features = WindowFeatures([Window("n", "user", 100)]).fit(shop(0))
    row = {"user": 1, "item": 7, "label": 1.0, "timestamp": 50}
    assert features.transform_one({"user": 1, "timestamp": 60}) == {"n": 0.0}
    features.learn_one(row)
    assert features.transform_one({"user": 1, "timestamp": 60}) == {"n": 1.0}
    assert features.transform_one({"user": 1, "timestamp": 151}) == {"n": 0.0}
    for ask in (features.transform_one, lambda row: features.transform(pd.DataFrame([row]))):
        with pytest.raises(EventsError, match="the windows have moved on"):
            ask({"user": 1, "timestamp": 150})


# ------------------------------------------------------------------------------------------------ state and memory


def test_what_has_left_every_window_is_freed_and_so_are_keys_that_no_longer_come():
    windows = [Window("n", "user", 100), Window("pair", ("user", "item"), 50)]
    features = WindowFeatures(windows)
    sizes = []
    for day in range(40):
        # Each day brings 2,000 new users, who never come back.
        n = 2_000
        features.update(pd.DataFrame({"user": np.arange(n) + n * day, "item": 7, "label": 1.0, "timestamp": 60 * day}))
        sizes.append(features.nbytes)
        assert features.n_entries_ <= 2 * n * 3
    assert max(sizes[10:]) <= max(sizes[:10])
    assert all(len(group.codes) < 10_000 for group in features._groups)
    one = features.transform_one({"user": 2_000 * 39 + 5, "item": 7, "timestamp": 60 * 39 + 1})
    assert one == {"n": 1.0, "pair": 1.0}


def test_freeing_keys_changes_no_feature():
    events = shop(6_000, users=3_000)
    windows = [Window("n", "user", 40), Window("since", "user", 40, statistic="since"), Window("k", "kind", 10)]
    expected = WindowFeatures(windows).fit_transform(events)
    eager = WindowFeatures(windows).fit(events.iloc[:0])
    parts = []
    for first in range(0, len(events), 100):
        parts.append(eager.advance(events.iloc[first : first + 100]))
        for group in eager._groups:
            group._roomy = 0  # look for idle keys every time
    pd.testing.assert_frame_equal(pd.concat(parts), expected, check_exact=True)
    assert len(eager._groups[0].codes) < 300


def test_chunks_change_nothing(monkeypatch):
    events = shop()
    whole = WindowFeatures(WINDOWS).fit_transform(events)
    monkeypatch.setattr("recsys_course.features.windows._CHUNK", 7)
    pd.testing.assert_frame_equal(WindowFeatures(WINDOWS).fit_transform(events), whole, check_exact=True)


def test_fit_forgets():
    events = shop()
    features = WindowFeatures(WINDOWS).fit(events)
    pd.testing.assert_frame_equal(features.fit_transform(events), WindowFeatures(WINDOWS).fit_transform(events))


@pytest.mark.parametrize("values", [[1e16, 1.0, 1.0, 0.0], [1.0, 1e16, 2.0, 0.0]])
def test_a_large_value_leaves_no_trace(values):
    events = pd.DataFrame({"user": 1, "item": 7, "label": values, "timestamp": [0, 1, 5, 12]})
    out = WindowFeatures([Window("paid", "user", 10, statistic="sum", value="label")]).fit_transform(events)
    assert out["paid"].iloc[-1] == sum(values[2:])

    events["timestamp"] = [0, 0, 5, 12]
    out = WindowFeatures([Window("paid", "user", 8, statistic="sum", value="label")]).fit_transform(events)
    assert out["paid"].iloc[-1] == values[2]


def test_the_kernel_is_compiled_once_for_all_ways_to_call_it():
    in_turn(shop(50), WINDOWS)
    features = WindowFeatures(WINDOWS).fit(shop(50))
    features.transform(without_label(shop(50).assign(timestamp=10_000)))
    assert len(_kernels.walk.signatures) == 1


def test_on_one_and_a_half_million_purchases():
    lines = data.complete_journey_lines().events
    lengths = ("7D", "30D", "90D")
    windows = [Window(f"{key}_{length}", key, length) for key in ("user", "category") for length in lengths]
    out = WindowFeatures(windows).fit_transform(lines)
    some = lines["user"].isin(lines["user"].unique()[:20]) & lines["category"].notna()
    dated = lines[some].assign(when=pd.to_datetime(lines["timestamp"], unit="s"), one=1.0)
    theirs = dated.set_index("when").groupby("user", sort=True)["one"].rolling("30D", closed="left").sum()
    ours = out.loc[some].assign(user=lines["user"]).sort_values("user", kind="stable")
    # Lines without a category are rows of the window too: compare where a household has none of them.
    whole = (
        lines[lines["user"].isin(dated["user"].unique())].groupby("user")["category"].apply(lambda c: c.notna().all())
    )
    users = set(whole.index[whole])
    at = ours["user"].isin(users).to_numpy()
    assert at.sum() > 1_000
    np.testing.assert_array_equal(ours["user_30D"].to_numpy()[at], theirs.fillna(0.0).to_numpy()[at])


# ------------------------------------------------------------------------------------------------ errors


def test_windows_refuse_what_makes_no_sense():
    for length in (0, -5, "0s", "-1D"):
        with pytest.raises(ValueError, match=r"length of 'n' is .* it must be positive"):
            Window("n", "user", length)
    with pytest.raises(ValueError, match="whole seconds"):
        Window("n", "user", "1500ms")
    with pytest.raises(ValueError, match="statistic of 'n' is 'median'"):
        Window("n", "user", 5, statistic="median")
    with pytest.raises(ValueError, match="need a value column"):
        Window("n", "user", 5, statistic="sum")
    with pytest.raises(ValueError, match="need a value column"):
        Window("n", "user", 5, value="price")
    with pytest.raises(ValueError, match="different names"):
        WindowFeatures([Window("n", "user", 5), Window("n", "item", 5)]).fit(shop(5))
    with pytest.raises(ValueError, match="at least one"):
        WindowFeatures([]).fit(shop(5))


def test_the_past_cannot_be_asked_about():
    events = shop(100)
    features = WindowFeatures(WINDOWS).fit(events)
    with pytest.raises(EventsError, match="use fit_transform or advance"):
        features.transform(events)
    with pytest.raises(EventsError, match="the windows have moved on"):
        features.update(events)
    with pytest.raises(EventsError, match="the windows have moved on"):
        features.learn_one(events.iloc[0].to_dict())
    with pytest.raises(EventsError, match="the windows have moved on"):
        features.transform_one(events.iloc[0].to_dict())


def test_columns_and_values_are_named_in_errors_and_a_refused_row_leaves_no_trace():
    events = shop(100)
    with pytest.raises(EventsError, match="column 'kind' is missing"):
        WindowFeatures(WINDOWS).fit(events.drop(columns="kind"))
    with pytest.raises(EventsError, match="column 'price' is infinite in row 3"):
        WindowFeatures(WINDOWS).fit(events.assign(price=[1.0] * 3 + [np.inf] * 97))
    features = WindowFeatures(WINDOWS).fit(events)
    before = pickle.dumps(features)
    row = events.iloc[-1].to_dict()
    for bad, error in [
        ({**row, "price": np.inf}, EventsError),
        ({**row, "timestamp": 1e9}, EventsError),
        ({k: v for k, v in row.items() if k != "kind"}, KeyError),
        ({k: v for k, v in row.items() if k != "label"}, KeyError),
    ]:
        with pytest.raises(error):
            features.learn_one(bad)
        assert pickle.dumps(features) == before
    with pytest.raises(EventsError, match="not in time order"):
        features.transform(events.assign(timestamp=np.arange(100)[::-1] + 10_000))
    with pytest.raises(EventsError, match="DataFrame with a column 'timestamp'"):
        features.transform(events.drop(columns="timestamp"))
    with pytest.raises(EventsError, match="sort_events"):
        WindowFeatures(WINDOWS).fit(events.iloc[::-1])
    assert pickle.dumps(features) == before


# ------------------------------------------------------------------------- scikit-learn's estimator checks

# What scikit-learn would run on a transformer, and what became of each: "as it is" runs scikit-learn's own code;
# a function of this file runs the same check on an events table, which scikit-learn's code, made for matrices of
# random numbers, cannot build; anything else is the reason why the check does not apply.
NO_MATRIX = "checks how a matrix of numbers is converted; none is accepted: test_a_matrix_is_refused"
CHECKS = {
    "check_estimator_cloneable": "as it is",
    "check_estimator_tags_renamed": "as it is",
    "check_valid_tag_types": "as it is",
    "check_estimator_repr": "as it is",
    "check_no_attributes_set_in_init": "as it is",
    "check_do_not_raise_errors_in_init_or_set_params": "as it is",
    "check_mixin_order": "as it is",
    "check_parameters_default_constructible": "as it is",
    "check_get_params_invariance": "as it is",
    "check_set_params": "as it is",
    "check_estimator_sparse_tag": "test_a_matrix_is_refused",
    "check_fit_score_takes_y": "test_fit_takes_y",
    "check_estimators_overwrite_params": "test_fit_leaves_parameters_and_attributes_alone",
    "check_dont_overwrite_parameters": "test_fit_leaves_parameters_and_attributes_alone",
    "check_dict_unchanged": "test_fit_then_transform_asks_about_what_is_known_now",
    "check_estimators_fit_returns_self": "test_fit_returns_self_and_reads_only",
    "check_readonly_memmap_input": "test_fit_returns_self_and_reads_only",
    "check_estimators_unfitted": "test_not_fitted",
    "check_transformers_unfitted": "test_not_fitted",
    "check_fit_check_is_fitted": "test_not_fitted",
    "check_n_features_in_after_fitting": "test_features_are_counted_and_named",
    "check_n_features_in": "test_features_are_counted_and_named",
    "check_transformer_general": "test_fit_transform_equals_fit_and_transform_where_it_should",
    "check_estimators_pickle": "test_a_stream_cut_anywhere_continues_where_it_stopped",
    "check_fit_idempotent": "test_fit_forgets",
    "check_methods_subset_invariance": "test_rows_are_asked_about_one_by_one_or_together",
    "check_methods_sample_order_invariance": "test_the_order_within_a_second_does_not_matter",
    "check_pipeline_consistency": "test_it_works_inside_a_pipeline_and_a_search",
    "check_estimators_nan_inf": "test_columns_and_values_are_named_in_errors_and_a_refused_row_leaves_no_trace",
    "check_estimators_empty_data_messages": "no rows are no error: a stream begins empty, and a day may be quiet",
    "check_fit2d_1sample": "test_one_row_and_one_window",
    "check_fit2d_1feature": "test_one_row_and_one_window",
    "check_transformer_preserve_dtypes": "features are float64 whatever the columns are, and the tags say so",
    "check_estimators_dtypes": NO_MATRIX,
    "check_dtype_object": NO_MATRIX,
    "check_complex_data": NO_MATRIX,
    "check_estimator_sparse_array": NO_MATRIX,
    "check_estimator_sparse_matrix": NO_MATRIX,
    "check_transformer_data_not_an_array": NO_MATRIX,
    "check_f_contiguous_array_estimator": NO_MATRIX,
    "check_array_api_input": NO_MATRIX,
    "check_fit1d": NO_MATRIX,
    "check_fit2d_predict1d": NO_MATRIX,
    "check_positive_only_tag_during_fit": NO_MATRIX,
    "check_transformer_n_iter": "as it is",
}


class _Usual(TransformerMixin, BaseEstimator):
    """A transformer of matrices with default tags: scikit-learn yields for it all checks of a transformer."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


def _yielded():
    """The checks of this version of scikit-learn, by name."""
    checks = {}
    for _, check in estimator_checks.estimator_checks_generator(_Usual()):
        checks.setdefault(estimator_checks._check_name(check), check)
    return checks


def test_each_of_scikit_learns_checks_is_run_or_has_a_reason():
    assert set(_yielded()) == set(CHECKS)
    for name, what in CHECKS.items():
        assert what == "as it is" or what in globals() or " " in what, name


@pytest.mark.parametrize("name", [name for name, what in CHECKS.items() if what == "as it is"])
def test_scikit_learns_own_checks(name):
    getattr(estimator_checks, name)("WindowFeatures", WindowFeatures(WINDOWS))


def test_a_matrix_is_refused():
    for matrix in (np.ones((4, 3)), [[1.0, 2.0]], sparse.csr_array(np.ones((4, 3))), shop(4)["label"]):
        with pytest.raises(EventsError, match="must be a pandas DataFrame"):
            WindowFeatures(WINDOWS).fit(matrix)
        with pytest.raises(EventsError, match="must be a DataFrame"):
            WindowFeatures(WINDOWS).fit(shop(4)).transform(matrix)


def test_fit_takes_y():
    events = shop(50)
    for y in (None, events["label"]):
        assert isinstance(WindowFeatures(WINDOWS).fit(events, y), WindowFeatures)
        assert WindowFeatures(WINDOWS).fit_transform(events, y).shape == (50, len(WINDOWS))


def test_fit_leaves_parameters_and_attributes_alone():
    events = shop(50)
    windows = list(WINDOWS)
    features = WindowFeatures(windows).fit(events)
    assert features.windows is windows and windows == WINDOWS
    public = {name for name in vars(features) if not name.endswith("_") and not name.startswith("_")}
    assert public == {"windows"}
    pd.testing.assert_frame_equal(events, shop(50))


def test_fit_returns_self_and_reads_only():
    events = shop(50)
    for name in events.columns[:4]:
        events[name].array.to_numpy().flags.writeable = False
    features = WindowFeatures(WINDOWS)
    assert features.fit(events) is features and features.update(events.iloc[-1:]) is features


def test_not_fitted():
    features = WindowFeatures(WINDOWS)
    for call in (
        lambda: features.transform(shop(5)),
        lambda: features.transform_one({"timestamp": 1}),
        lambda: features.get_feature_names_out(),
        lambda: features.n_entries_,
        lambda: features.nbytes,
        lambda: clone(WindowFeatures(WINDOWS).fit(shop(5))).transform(shop(5)),
    ):
        with pytest.raises(NotFittedError):
            call()
    assert WindowFeatures(WINDOWS).learn_one(shop(5).iloc[0].to_dict()).clock_ == shop(5)["timestamp"].iloc[0]
    assert len(WindowFeatures(WINDOWS).advance(shop(5))) == 5


def test_features_are_counted_and_named():
    features = WindowFeatures(WINDOWS)
    assert not hasattr(features, "n_features_in_")
    features.fit(shop(5))
    assert features.n_features_in_ == 6 and features.feature_names_in_.tolist() == shop(5).columns.tolist()
    assert features.get_feature_names_out().tolist() == [window.name for window in WINDOWS]


def test_fit_transform_equals_fit_and_transform_where_it_should():
    """Not on the same rows (there transform is refused), but on the rows of the instant after them."""
    events = shop(100)
    instant = shop(4).assign(timestamp=1_000)
    together = WindowFeatures(WINDOWS).fit_transform(pd.concat([events, instant])).iloc[-4:]
    pd.testing.assert_frame_equal(WindowFeatures(WINDOWS).fit(events).transform(instant), together, check_exact=True)


def test_rows_are_asked_about_one_by_one_or_together():
    features = WindowFeatures(WINDOWS).fit(shop(100))
    asked = shop(20, seed=1).assign(timestamp=60)
    parts = pd.concat([features.transform(asked.iloc[k : k + 1]) for k in range(20)])
    pd.testing.assert_frame_equal(features.transform(asked), parts, check_exact=True)


def test_one_row_and_one_window():
    for windows in (WINDOWS, WINDOWS[:1]):
        assert WindowFeatures(windows).fit_transform(shop(1)).shape == (1, len(windows))


def test_it_works_inside_a_pipeline_and_a_search():
    events = shop(400)
    some = [Window("n", "user", 200), Window("paid", "user", 200, statistic="sum", value="price")]
    pipeline = make_pipeline(WindowFeatures(some), Ridge())
    past, future = events.iloc[:300], events.iloc[300:]
    future = future[future["timestamp"] > past["timestamp"].iloc[-1]]
    assert pipeline.fit(past, past["label"]).predict(without_label(future)).shape == (len(future),)
    search = GridSearchCV(pipeline, {"ridge__alpha": [1.0, 10.0]}, cv=TimeSeriesSplit(3), error_score="raise")
    assert search.fit(events, events["label"]).best_params_["ridge__alpha"] in (1.0, 10.0)
    named = WindowFeatures(some).set_output(transform="pandas").fit_transform(events)
    assert named.index.equals(events.index) and named.columns.tolist() == ["n", "paid"]
