"""The models: what they compute, against slow versions that are obviously right, and what they refuse."""

import copy
import pickle
from collections import defaultdict, deque

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_replay import rankers, rating_models, ratings

from recsys_course.events import EventsError
from recsys_course.models import (
    ImplicitFactorization,
    MatrixFactorization,
    NotFittedError,
    PersonalFrequency,
    Popularity,
    RunningMeans,
)
from recsys_course.models.base import Vocabulary

ALL = {**rating_models(), **{f"ranker, {name}": model for name, model in rankers().items()}}


def all_models():
    return {**rating_models(), **{f"ranker, {name}": model for name, model in rankers().items()}}


def stream_for(name, **kwargs):
    stream = ratings(**kwargs)
    return stream.assign(label=1.0) if name.startswith("ranker") else stream


def outputs(model, events):
    if hasattr(model, "score_items"):
        return model.score_items(events["user"].unique(), events["item"].unique())
    return model.predict(events)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_an_update_is_a_gradient_step(loss):
    """Against central differences of the objective of one event, parameter by parameter."""
    events = ratings(40)
    if loss == "logistic":
        events["label"] = (events["label"] > 3).astype(float)
    step_size, regularization = 0.01, 0.3
    model = MatrixFactorization(
        3, loss=loss, step_size=step_size, regularization=regularization, epochs=3, rng=np.random.default_rng(0)
    ).fit(events)
    one = events.tail(1)
    state = model._factors
    u, i = state.users.find(one["user"])[0], state.items.find(one["item"])[0]
    label = one["label"].iloc[0]

    def objective(theta, mean):
        b_u, b_i, p, q = theta[0], theta[1], theta[2:5], theta[5:]
        score = mean + b_u + b_i + p @ q
        ridge = regularization / 2 * (theta @ theta)
        if loss == "squared":
            return (label - score) ** 2 / 2 + ridge
        return np.log1p(np.exp(score)) - label * score + ridge

    def parameters():
        return np.concatenate([[state.user_bias[u], state.item_bias[i]], state.user_factors[u], state.item_factors[i]])

    before = parameters()
    total = model._total + np.array([label, 1])
    mean = total[0] / total[1]
    if loss == "logistic":
        share = (total[0] + 1) / (total[1] + 2)
        mean = np.log(share / (1 - share))
    h = 1e-6
    gradient = [
        (objective(before + h * e, mean) - objective(before - h * e, mean)) / (2 * h) for e in np.eye(len(before))
    ]
    model.update(one)
    np.testing.assert_allclose(parameters() - before, -step_size * np.array(gradient), rtol=1e-6, atol=1e-10)


@given(seed=st.integers(0, 1000), forget=st.sampled_from([0.0, 0.2]), shrink=st.sampled_from([0.0, 3.0]))
@settings(max_examples=20, deadline=None)
def test_running_means_against_a_slow_version(seed, forget, shrink):
    events = ratings(60, seed=seed)
    keep = 1 - forget
    labels, item_sum, item_n, user_sum, user_n = [], *(defaultdict(float) for _ in range(4))
    for row in events.itertuples():
        labels.append(row.label)
        above = row.label - np.mean(labels)
        item_sum[row.item] = keep * item_sum[row.item] + above
        item_n[row.item] = keep * item_n[row.item] + 1
        above -= item_sum[row.item] / (item_n[row.item] + shrink)
        user_sum[row.user] = keep * user_sum[row.user] + above
        user_n[row.user] = keep * user_n[row.user] + 1
    expected = [
        np.mean(labels) + item_sum[r.item] / (item_n[r.item] + shrink) + user_sum[r.user] / (user_n[r.user] + shrink)
        for r in events.itertuples()
    ]
    model = RunningMeans(forget=forget, shrink=shrink).fit(events)
    np.testing.assert_allclose(model.predict(events), expected, rtol=1e-12)
    stranger = pd.DataFrame({"user": [999], "item": ["no such film"], "timestamp": [0]})
    assert model.predict(stranger)[0] == pytest.approx(np.mean(labels))


@given(seed=st.integers(0, 1000), window=st.sampled_from([None, 1, 7, 500]))
@settings(max_examples=20, deadline=None)
def test_popularity_against_a_slow_version(seed, window):
    events = ratings(60, seed=seed).assign(label=1.0)
    latest = deque(events["item"], maxlen=window)
    items = events["item"].unique()
    expected = [latest.count(item) / (len(latest) + 1) for item in items]
    model = Popularity(window=window).fit(events)
    np.testing.assert_allclose(model.score_items(np.array([0]), items)[0], expected)
    assert model.score_items(np.array([0]), np.array(["no such film"]))[0, 0] == -np.inf


@given(seed=st.integers(0, 1000), forget=st.sampled_from([0.0, 0.1, 1.0]))
@settings(max_examples=20, deadline=None)
def test_personal_frequency_against_a_slow_version(seed, forget):
    events = ratings(60, seed=seed).assign(label=1.0)
    weight: dict = defaultdict(float)
    for row in events.itertuples():
        for key in weight:
            if key[0] == row.user:
                weight[key] *= 1 - forget
        weight[row.user, row.item] += 1
    users, items = events["user"].unique(), events["item"].unique()
    counts = events["item"].value_counts()
    expected = [[weight[u, i] + counts[i] / (len(events) + 1) for i in items] for u in users]
    scores = PersonalFrequency(forget=forget).fit(events).score_items(users, items)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_names_do_not_matter(name):
    events = stream_for(name)
    renamed = events.assign(user=events["user"].map(lambda u: f"reader {97 - u}"), item=events["item"].str.upper())
    a, b = (all_models()[name].fit(table) for table in (events, renamed))
    np.testing.assert_array_equal(outputs(a, events), outputs(b, renamed))


@pytest.mark.parametrize("name", ALL)
def test_one_at_a_time_equals_all_at_once(name):
    events = stream_for(name)
    first, rest = events.iloc[:100], events.iloc[100:]
    at_once = all_models()[name].fit(first).update(rest)
    singly = all_models()[name].fit(first)
    for row in range(len(rest)):
        singly.update(rest.iloc[row : row + 1])
    np.testing.assert_array_equal(outputs(at_once, events), outputs(singly, events))
    assert at_once.examples_learned == singly.examples_learned


@pytest.mark.parametrize("name", ALL)
def test_a_stored_model_goes_on_exactly(name):
    events = stream_for(name)
    model = all_models()[name].fit(events.iloc[:150])
    restored = pickle.loads(pickle.dumps(model))
    for m in (model, restored):
        m.update(events.iloc[150:])
    np.testing.assert_array_equal(outputs(model, events), outputs(restored, events))


@pytest.mark.parametrize("name", ALL)
def test_fitting_again_starts_from_scratch(name):
    events = stream_for(name)
    model = all_models()[name]
    first = outputs(model.fit(events), events)
    model.update(events)
    np.testing.assert_array_equal(first, outputs(model.fit(events), events))
    assert model.nbytes > 0


@pytest.mark.parametrize("name", ALL)
def test_bad_events_are_refused_and_leave_the_model_alone(name):
    events = stream_for(name)
    model = all_models()[name].fit(events)
    before = outputs(copy.deepcopy(model), events)
    for column, value, message in (
        ("label", np.nan, "label"),
        ("label", np.inf, "label"),
        ("timestamp", -5, "earlier"),
    ):
        bad = events.copy()
        bad.loc[7, column] = value
        for call in (model.update, model.fit):
            with pytest.raises(EventsError, match=message):
                call(bad)
    for call in (model.update, model.fit):
        with pytest.raises(EventsError, match="no rows"):
            call(events.head(0))
        with pytest.raises(EventsError, match="'item' is missing"):
            call(events.drop(columns="item"))
    np.testing.assert_array_equal(before, outputs(model, events))


@pytest.mark.parametrize("name", ALL)
def test_asking_before_learning_is_an_error(name):
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        all_models()[name].predict(ratings())


def test_labels_that_do_not_fit_are_refused():
    events = ratings()
    with pytest.raises(EventsError, match="logistic loss needs 0 or 1"):
        MatrixFactorization(loss="logistic", rng=np.random.default_rng(0)).fit(events)
    with pytest.raises(EventsError, match="implicit stream has labels of 1"):
        ImplicitFactorization(rng=np.random.default_rng(0)).fit(events)


def test_running_away_is_said():
    model = MatrixFactorization(step_size=5.0, rng=np.random.default_rng(0))
    with pytest.raises(FloatingPointError, match="use a smaller"):
        model.fit(ratings())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MatrixFactorization(-1, rng=None), "n_factors"),
        (lambda: MatrixFactorization(epochs=0, rng=None), "epochs"),
        (lambda: MatrixFactorization(step_size=np.nan, rng=None), "step_size"),
        (lambda: MatrixFactorization(regularization=-0.1, rng=None), "regularization"),
        (lambda: MatrixFactorization(loss="hinge", rng=None), "loss"),
        (lambda: ImplicitFactorization(n_negatives=0, rng=None), "n_negatives"),
        (lambda: RunningMeans(forget=1.0), "forget"),
        (lambda: RunningMeans(shrink=-1), "shrink"),
        (lambda: Popularity(window=0), "window"),
        (lambda: PersonalFrequency(forget=1.5), "forget"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_recommend_orders_excludes_and_leaves_out_the_unknown():
    events = ratings().assign(label=1.0)
    model = Popularity().fit(events)
    best = model.recommend([1, 2], k=4)
    counts = events["item"].value_counts()
    for _, mine in best.groupby("user"):
        assert mine["rank"].tolist() == [0, 1, 2, 3]
        assert counts[mine["item"]].is_monotonic_decreasing
    top = best["item"].iloc[0]
    assert top not in model.recommend([1], k=4, exclude={1: {top}})["item"].tolist()
    assert len(model.recommend([1], k=99, items=[top, "no such film"])) == 1
    with pytest.raises(ValueError, match="k must be"):
        model.recommend([1], k=0)


@given(st.lists(st.text(max_size=3), max_size=80), st.lists(st.text(max_size=3), max_size=80))
def test_a_vocabulary_numbers_in_order_of_arrival(first, second):
    expected: dict = {}
    for name in first + second:
        expected.setdefault(name, len(expected))
    vocabulary = Vocabulary()
    np.testing.assert_array_equal(vocabulary.find(np.array(first, dtype=object)), [-1] * len(first))
    for names in (first, second):
        rows = vocabulary.add(np.array(names, dtype=object))
        np.testing.assert_array_equal(rows, [expected[name] for name in names])
    assert vocabulary.ids().tolist() == list(expected)


def test_factors_beat_biases_where_tastes_matter():
    from recsys_course import data
    from recsys_course.metrics import log_loss
    from recsys_course.replay import replay
    from recsys_course.strategies import Incremental

    shop = data.bookstore()
    rng = np.random.default_rng(0)
    with_factors, biases = (
        replay(
            shop.events,
            Incremental(MatrixFactorization(k, loss="logistic", rng=rng)),
            task="binary",
        )
        for k in (8, 0)
    )
    scored = shop.events.iloc[with_factors.rows]
    base = log_loss(scored["label"], np.full(len(scored), scored["label"].mean()))
    oracle = log_loss(scored["label"], scored["p_purchase"])
    share = [(base - log_loss(r.labels, r.scores)) / (base - oracle) for r in (with_factors, biases)]
    assert share[0] > 0.5 and share[1] < 0.4
