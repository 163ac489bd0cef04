"""Models of what users took: against dense solutions, numeric gradients, and themselves under other names."""

import copy
import hashlib
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_course.events import EventsError
from recsys_course.models import BPR, EASE, ItemNeighbours, NotFittedError, WeightedALS
from recsys_course.models.implicit_als import half_sweep
from recsys_course.models.pairs import Pairs


def taken(n=300, users=12, items=15, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": rng.integers(users, size=n),
            "item": [f"film {i}" for i in (items * rng.random(n) ** 2).astype(int)],
            "label": 1.0,
            "timestamp": np.cumsum(rng.integers(0, 3, n)) * 3600,
        }
    )


def models():
    rng = np.random.default_rng(3)
    return {
        "als": WeightedALS(5, sweeps=4, dtype=np.float64, rng=rng),
        "als, exact": WeightedALS(5, sweeps=4, cg_steps=None, rng=rng),
        "bpr, uniform": BPR(5, epochs=3, rng=rng),
        "bpr, popular": BPR(5, epochs=3, negatives="popular", tries=3, dtype=np.float64, rng=rng),
        "ease": EASE(regularization=2.0),
        "neighbours": ItemNeighbours(),
        "few neighbours": ItemNeighbours(alpha=0.3, neighbours=4),
    }


NAMES = list(models())


def outputs(model, events):
    return model.score_items(events["user"].unique(), events["item"].unique())


def dense(events):
    """Counts, users by items, both in order of arrival."""
    users, items = pd.factorize(events["user"])[0], pd.factorize(events["item"])[0]
    counts = np.zeros((users.max() + 1, items.max() + 1))
    np.add.at(counts, (users, items), 1)
    return counts


# ------------------------------------------------------------------------------------------------ pairs


@given(seed=st.integers(0, 1000), cut=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_pairs_are_the_table_of_counts(seed, cut):
    rng = np.random.default_rng(seed)
    users, items = rng.integers(5, size=60), rng.integers(7, size=60)
    expected = np.zeros((5, 7))
    np.add.at(expected, (users, items), 1)
    pairs = Pairs()
    pairs.add(users[:cut], items[:cut])
    pairs.add(users[cut:], items[cut:])
    assert len(pairs) == (expected > 0).sum()
    for side, table in ((pairs.by_user(5), expected), (pairs.by_item(7), expected.T)):
        again = np.zeros(table.shape)
        again[np.repeat(np.arange(len(table)), np.diff(side.starts)), side.columns] = side.counts
        np.testing.assert_array_equal(again, table)
        some = np.array([3, 0])
        picked = side.only(some)
        np.testing.assert_array_equal(np.diff(picked.starts), (table[some] > 0).sum(axis=1))
        np.testing.assert_array_equal(picked.counts, np.concatenate([row[row > 0] for row in table[some]]))


# -------------------------------------------------------------------------------------------------- ALS


def objective(counts, x, y, alpha, regularization):
    """The formula as it stands, over all pairs."""
    confidence = 1 + alpha * counts
    return np.sum(confidence * ((counts > 0) - x @ y.T) ** 2) + regularization * (np.sum(x**2) + np.sum(y**2))


@given(seed=st.integers(0, 1000), k=st.integers(1, 9), alpha=st.sampled_from([0.5, 20.0]))
@settings(max_examples=25, deadline=None)
def test_an_exact_half_sweep_is_the_dense_solution(seed, k, alpha):
    events = taken(80, seed=seed)
    counts = dense(events)
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(counts.shape[1], k))
    pairs = Pairs()
    pairs.add(pd.factorize(events["user"])[0].astype(np.int64), pd.factorize(events["item"])[0].astype(np.int64))
    for steps in (None, 3 * k):  # so many conjugate gradients are exact, but for rounding
        x = rng.normal(size=(len(counts), k))
        half_sweep(x, y, pairs.by_user(len(x)), alpha=alpha, regularization=0.7, cg_steps=steps)
        for mine, row in zip(x, counts, strict=True):
            c = 1 + alpha * row
            expected = np.linalg.solve(y.T @ (c[:, None] * y) + 0.7 * np.eye(k), y.T @ (c * (row > 0)))
            np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-8)


def test_the_objective_and_its_gradient():
    """The short formula is the long one; at an exact half-sweep's result its numeric gradient is zero."""
    events = taken()
    counts = dense(events)
    model = WeightedALS(4, sweeps=3, alpha=3.0, cg_steps=None, dtype=np.float64, rng=np.random.default_rng(0)).fit(
        events
    )
    x, y = model.user_factors, model.item_factors
    assert model.objective() == pytest.approx(objective(counts, x, y, 3.0, 1.0), rel=1e-12)

    def slope(table):
        out, h = np.zeros_like(table), 1e-5
        for place in np.ndindex(table.shape):
            old = table[place]
            table[place] = old + h
            above = objective(counts, x, y, 3.0, 1.0)
            table[place] = old - h
            out[place] = (above - objective(counts, x, y, 3.0, 1.0)) / (2 * h)
            table[place] = old
        return out

    confidence = 1 + 3.0 * counts
    left = confidence * ((counts > 0) - x @ y.T)
    np.testing.assert_allclose(slope(x), -2 * left @ y + 2 * x, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(slope(y), 0, atol=1e-5)  # the items were solved last
    assert np.abs(slope(x)).max() > 1e-3


@given(seed=st.integers(0, 1000), steps=st.sampled_from([None, 1, 3]), alpha=st.sampled_from([0.1, 5.0, 50.0]))
@settings(max_examples=25, deadline=None)
def test_no_half_sweep_raises_the_objective(seed, steps, alpha):
    """Exactly solved, and by conjugate gradients from where a row stands: each step of theirs lowers a quadratic."""
    events = taken(120, seed=seed)
    counts = dense(events)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(len(counts), 6)), rng.normal(size=(counts.shape[1], 6))
    pairs = Pairs()
    pairs.add(pd.factorize(events["user"])[0].astype(np.int64), pd.factorize(events["item"])[0].astype(np.int64))
    values = [objective(counts, x, y, alpha, 0.3)]
    for _ in range(5):
        for rows, other, side in ((x, y, pairs.by_user(len(x))), (y, x, pairs.by_item(len(y)))):
            half_sweep(rows, other, side, alpha=alpha, regularization=0.3, cg_steps=steps)
            values.append(objective(counts, x, y, alpha, 0.3))
    assert (np.diff(values) <= 1e-9 * values[0]).all()
    assert values[-1] < values[0]


def test_folding_in():
    """A newcomer's row is the dense solution, update stores the same, and it comes close to what a full fit says."""
    events = taken(2000, users=60, items=30, seed=1)
    newcomer = events["user"] == 7
    others, mine = events[~newcomer], events[newcomer]
    settings_ = dict(alpha=2.0, regularization=5.0, cg_steps=None, sweeps=30, dtype=np.float64)
    model = WeightedALS(3, **settings_, rng=np.random.default_rng(0)).fit(others)
    before = pickle.dumps(model)
    (row,) = model.fold_in_users(mine)
    assert pickle.dumps(model) == before
    y = model.item_factors
    n = mine["item"].value_counts().reindex(model.known_items, fill_value=0).to_numpy()
    c = 1 + 2.0 * n
    expected = np.linalg.solve(y.T @ (c[:, None] * y) + 5.0 * np.eye(3), y.T @ (c * (n > 0)))
    np.testing.assert_allclose(row, expected, rtol=1e-9)
    np.testing.assert_allclose(model.score_items(np.array([7]), model.known_items)[0], model.user_factors.mean(0) @ y.T)

    full = WeightedALS(3, **settings_, rng=np.random.default_rng(0)).fit(events)
    items = full.known_items
    truth = full.score_items(np.array([7]), items)[0]
    admitted = model.update(mine).score_items(np.array([7]), items)[0]
    stranger = pickle.loads(before).score_items(np.array([7]), items)[0]
    assert np.abs(row @ y.T - truth[pd.Index(items).get_indexer(pickle.loads(before).known_items)]).max() < 0.1
    assert np.abs(admitted - truth).mean() < 0.5 * np.abs(stranger - truth).mean()


def test_folding_in_an_item_mirrors_folding_in_a_user():
    events = taken(600, seed=2)
    settings_ = dict(sweeps=1, cg_steps=None, dtype=np.float64)
    model = WeightedALS(3, **settings_, rng=np.random.default_rng(0)).fit(events)
    mirror = copy.deepcopy(model)
    mirror._users, mirror._items = model._items, model._users
    mirror.user_factors, mirror.item_factors = model.item_factors, model.user_factors
    new = events.head(20).assign(item="film new")
    np.testing.assert_allclose(
        model.fold_in_items(new),
        mirror.fold_in_users(new.rename(columns={"user": "item", "item": "user"})),
        rtol=1e-12,
    )


def test_an_update_moves_only_who_took_part():
    events = taken()
    model = WeightedALS(3, rng=np.random.default_rng(0)).fit(events)
    users, items = model.user_factors.copy(), model.item_factors.copy()
    new = pd.DataFrame({"user": [3, 99], "item": ["film 2", "film new"], "label": 1.0, "timestamp": 10**9})
    model.update(new)
    moved = np.flatnonzero((model.user_factors[: len(users)] != users).any(axis=1))
    assert moved.tolist() == model._users.find([3]).tolist()
    moved = np.flatnonzero((model.item_factors[: len(items)] != items).any(axis=1))
    assert moved.tolist() == model._items.find(["film 2"]).tolist()
    assert len(model.user_factors) == len(users) + 1 and len(model.item_factors) == len(items) + 1


def test_float32_is_float64_to_rounding():
    events = taken()
    a, b = (WeightedALS(6, dtype=t, rng=np.random.default_rng(0)).fit(events) for t in (np.float32, np.float64))
    assert a.item_factors.dtype == np.float32 and a.nbytes < b.nbytes
    np.testing.assert_allclose(outputs(a, events), outputs(b, events), atol=2e-3)
    a, b = (BPR(6, dtype=t, rng=np.random.default_rng(0)).fit(events) for t in (np.float32, np.float64))
    np.testing.assert_allclose(outputs(a, events), outputs(b, events), atol=1e-4)


def test_threads_change_no_bit():
    events = taken(3000, users=200, items=150, seed=5)
    for steps in (3, None):
        found = {
            hashlib.sha256(model.user_factors.tobytes() + model.item_factors.tobytes()).hexdigest()
            for threads in (1, 2, 3, 7)
            for model in [WeightedALS(17, cg_steps=steps, threads=threads, rng=np.random.default_rng(0)).fit(events)]
        }
        assert len(found) == 1
    for negatives in ("uniform", "popular"):
        a, b = (BPR(7, negatives=negatives, threads=t, rng=np.random.default_rng(0)).fit(events) for t in (1, 2))
        np.testing.assert_array_equal(outputs(a, events), outputs(b, events))
        a.update(events.tail(5))
        b.update(events.tail(5))
        np.testing.assert_array_equal(outputs(a, events), outputs(b, events))


# -------------------------------------------------------------------------------------------------- BPR


@pytest.mark.parametrize("negatives", ["uniform", "popular"])
def test_a_bpr_step_is_a_gradient_step(negatives):
    events = taken(60)
    step_size, regularization = 1e-3, 0.3
    settings_ = dict(step_size=step_size, regularization=regularization, negatives=negatives, dtype=np.float64)
    model = BPR(3, epochs=5, init_spread=1.0, tries=9, **settings_, rng=np.random.default_rng(0)).fit(events)
    one = events.tail(1)
    u, i = model._users.find(one["user"])[0], model._items.find(one["item"])[0]

    def parameters():
        return np.concatenate([model._user_rows.ravel(), model._item_rows.ravel(), model._item_bias])

    before = parameters()
    n_u, n_i = model._user_rows.shape[0], model._item_rows.shape[0]
    model.update(one)
    moved = parameters() - before
    bias = moved[-n_i:]
    (j,) = np.flatnonzero(bias != 0)[np.flatnonzero(bias != 0) != i]
    assert events["item"][events["user"] == one["user"].iloc[0]].ne(model.known_items[j]).all()

    def loss(theta):
        p = theta[: 3 * n_u].reshape(-1, 3)[u]
        q, b = theta[3 * n_u : -n_i].reshape(-1, 3), theta[-n_i:]
        ahead = b[i] - b[j] + p @ (q[i] - q[j])
        size = p @ p + q[i] @ q[i] + q[j] @ q[j] + b[i] ** 2 + b[j] ** 2
        return np.log1p(np.exp(-ahead)) + regularization / 2 * size

    h = 1e-6
    gradient = np.array([(loss(before + h * e) - loss(before - h * e)) / (2 * h) for e in np.eye(len(before))])
    np.testing.assert_allclose(moved, -step_size * gradient, rtol=1e-6, atol=1e-11)


def test_how_rivals_are_drawn():
    """Evenly among the items, or as often as they were taken; never what the user has; -1 if there is nothing else."""
    from recsys_course.models import _bpr_kernels as kernels

    events = taken(400, users=9)
    counts = dense(events)
    users, items = pd.factorize(events["user"])[0].astype(np.int64), pd.factorize(events["item"])[0].astype(np.int64)
    for popular in (False, True):
        model = BPR(2, epochs=1, rng=np.random.default_rng(0)).fit(events)
        rows = np.random.default_rng(1).integers(len(events), size=40_000)
        draws, out = np.random.default_rng(2).random((len(rows), 1)), np.empty(len(rows), np.int64)
        state = model._known, model._log, model._table
        kernels.draw_rivals(rows, users, items, False, draws, popular, *state, out)
        drawn = out >= 0
        assert not counts[users[rows[drawn]], out[drawn]].any()
        chance = counts.sum(axis=0) / counts.sum() if popular else np.full(counts.shape[1], 1 / counts.shape[1])
        expected = sum((users[rows] == u).sum() * chance * (counts[u] == 0) for u in range(9))
        found = np.bincount(out[drawn], minlength=counts.shape[1])
        assert (np.abs(found - expected) < 5 * np.sqrt(expected) + 5).all()
    everything = pd.DataFrame({"user": 1, "item": ["a", "b"], "label": 1.0, "timestamp": [1, 2]})
    model = BPR(2, epochs=1, tries=5, rng=np.random.default_rng(0)).fit(everything)
    assert (model._item_bias == 0).all()  # there is no rival for one who took all


def test_bpr_one_at_a_time_equals_all_at_once():
    for name in ("bpr, uniform", "bpr, popular"):
        events = taken(200)
        for at_once, singly in (
            (models()[name].fit(events.iloc[:90]), models()[name].fit(events.iloc[:90])),
            (models()[name], models()[name]),
        ):
            start = 90 if at_once._fitted else 0
            at_once.update(events.iloc[start:])
            for row in range(start, len(events)):
                singly.update(events.iloc[row : row + 1])
            np.testing.assert_array_equal(outputs(at_once, events), outputs(singly, events))
            assert at_once.examples_learned == singly.examples_learned


def test_bpr_learns_and_says_when_it_runs_away():
    events = taken(600, users=40, seed=3).assign(
        item=lambda e: e["item"] + (e["user"] % 2).map({0: " for even", 1: " for odd"})
    )
    model = BPR(4, epochs=30, rng=np.random.default_rng(0)).fit(events)
    best = model.recommend(events["user"].unique(), k=3)
    assert (best["item"].str.endswith("odd") == (best["user"] % 2 == 1)).mean() > 0.95
    with pytest.raises(FloatingPointError, match="use a smaller"):
        BPR(4, step_size=1e20, regularization=1e20, epochs=5, rng=np.random.default_rng(0)).fit(events)


# ------------------------------------------------------------------------------------- closed forms, counts


@given(seed=st.integers(0, 1000), regularization=st.sampled_from([0.5, 30.0]))
@settings(max_examples=20, deadline=None)
def test_ease_is_the_constrained_ridge_regression(seed, regularization):
    """Column by column: the ridge regression of an item on all others, which needs no formula of Steck's."""
    events = taken(100, seed=seed)
    x = (dense(events) > 0).astype(float)
    weights = EASE(regularization=regularization).fit(events).weights
    for j in range(x.shape[1]):
        others = np.delete(x, j, axis=1)
        b = np.linalg.solve(others.T @ others + regularization * np.eye(others.shape[1]), others.T @ x[:, j])
        np.testing.assert_allclose(np.delete(weights[:, j], j), b, atol=1e-10)
        assert weights[j, j] == 0


def test_ease_gradient():
    events = taken(100)
    x = (dense(events) > 0).astype(float)
    weights = EASE(regularization=3.0).fit(events).weights

    def loss(w):
        return np.sum((x - x @ w) ** 2) + 3.0 * np.sum(w**2)

    h = 1e-4
    for i, j in np.argwhere(~np.eye(len(weights), dtype=bool))[::7]:
        step = np.zeros_like(weights)
        step[i, j] = h
        assert abs(loss(weights + step) - loss(weights - step)) / (2 * h) < 1e-6


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8])
def test_neighbours_by_hand(alpha):
    events = taken(60)
    x = dense(events) > 0
    model = ItemNeighbours(alpha=alpha).fit(events)
    for i in range(x.shape[1]):
        for j in range(x.shape[1]):
            likeness = (x[:, i] & x[:, j]).sum() / (x[:, i].sum() * x[:, j].sum()) ** alpha if i != j else 0
            assert model.weights[i, j] == pytest.approx(likeness)
    np.testing.assert_allclose(outputs(model, events), x @ model.weights)
    few = ItemNeighbours(alpha=alpha, neighbours=3).fit(events).weights
    for column, full in zip(few.T, model.weights.T, strict=True):
        assert set(column[column > 0]) == {w for w in full if w > 0 and w >= np.sort(full)[-3]}


@pytest.mark.parametrize("name", ["ease", "neighbours", "few neighbours"])
def test_item_to_item_updates_are_exact(name):
    events = taken()
    at_once, later = models()[name].fit(events), models()[name].fit(events.iloc[:50])
    for first in range(50, 300, 50):
        later.update(events.iloc[first : first + 50])
    np.testing.assert_array_equal(outputs(at_once, events), outputs(later, events))


# ------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", NAMES)
def test_names_do_not_matter(name):
    events = taken()
    renamed = events.assign(user=events["user"].map(lambda u: f"reader {97 - u}"), item=events["item"].str.upper())
    a, b = (models()[name].fit(t.iloc[:200]).update(t.iloc[200:]) for t in (events, renamed))
    np.testing.assert_array_equal(outputs(a, events), outputs(b, renamed))
    np.testing.assert_array_equal(a.predict(events), b.predict(renamed))


@pytest.mark.parametrize("name", ["ease", "neighbours"])
def test_order_does_not_matter(name):
    """Other numbers for users and items, but the same counts."""
    events = taken(500)
    a, b = models()[name].fit(events), models()[name].fit(events.iloc[::-1].assign(timestamp=0))
    users, items = events["user"].unique(), events["item"].unique()
    np.testing.assert_allclose(a.score_items(users, items), b.score_items(users, items), atol=1e-12)


@pytest.mark.parametrize("steps", [None, 3])
def test_als_does_not_care_for_numbers(steps):
    """From one start, with users and items numbered anew; the order of arrival decides no more than the start."""
    users, items = np.random.default_rng(0).integers(9, size=80), np.random.default_rng(1).integers(7, size=80)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(7, 4))
    new_u, new_i = rng.permutation(9), rng.permutation(7)
    x2, y2 = np.empty_like(x), np.empty_like(y)
    x2[new_u], y2[new_i] = x, y
    for rows, others, u, i in ((x, y, users, items), (x2, y2, new_u[users], new_i[items])):
        pairs = Pairs()
        pairs.add(u, i)
        for _ in range(5):
            for one, held, side in ((rows, others, pairs.by_user(9)), (others, rows, pairs.by_item(7))):
                half_sweep(one, held, side, alpha=2.0, regularization=1.0, cg_steps=steps)
    np.testing.assert_allclose(x2[new_u], x, atol=1e-10)
    np.testing.assert_allclose(y2[new_i], y, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_model_goes_on_exactly(name):
    events = taken()
    model = models()[name].fit(events.iloc[:150])
    restored = pickle.loads(pickle.dumps(model))
    for m in (model, restored):
        m.update(events.iloc[150:])
    np.testing.assert_array_equal(outputs(model, events), outputs(restored, events))
    np.testing.assert_array_equal(outputs(model.fit(events), events), outputs(restored.fit(events), events))


@pytest.mark.parametrize("name", NAMES)
def test_fitting_again_starts_from_scratch(name):
    events = taken()
    model = models()[name]
    first = outputs(model.fit(events), events)
    learned = model.examples_learned
    model.update(events)
    assert model.examples_learned == learned + len(events)
    np.testing.assert_array_equal(first, outputs(model.fit(events), events))
    assert model.examples_learned == learned
    assert model.nbytes > 0


@pytest.mark.parametrize("name", NAMES)
def test_bad_events_are_refused_and_leave_the_model_alone(name):
    events = taken()
    model = models()[name].fit(events)
    before = pickle.dumps(model)
    for column, value, message in (
        ("label", np.nan, "label"),
        ("label", np.inf, "label"),
        ("label", 4.0, "labels of 1"),
        ("label", 0.0, "labels of 1"),
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
    assert pickle.dumps(model) == before
    fresh = models()[name]
    for call in (fresh.update, fresh.fit):
        with pytest.raises(EventsError, match="labels of 1"):
            call(events.assign(label=3.0))
    with pytest.raises(NotFittedError):
        fresh.predict(events)


@pytest.mark.parametrize("name", NAMES)
def test_strangers_newcomers_and_predictions(name):
    events = taken()
    model = models()[name]
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        model.predict(events)
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        model.score_items(np.array([1]), np.array(["film 1"]))
    with pytest.raises(NotFittedError, match="learned nothing yet"):
        _ = model.known_items
    model.fit(events)
    popular = events.drop_duplicates(["user", "item"])["item"].value_counts()
    scores = model.score_items(np.array([999]), np.append(popular.index.to_numpy(), "no such film"))[0]
    assert scores[-1] == -np.inf and np.isfinite(scores[:-1]).all()
    if name != "bpr, popular":  # whose rivals are what is popular
        assert np.corrcoef(scores[:-1], popular)[0, 1] > 0.5
    pairs = model.predict(events.drop(columns="label"))
    grid = pd.DataFrame(outputs(model, events), events["user"].unique(), events["item"].unique())
    same = np.array([grid.at[u, i] for u, i in zip(events["user"], events["item"], strict=True)])
    if name.startswith("bpr"):
        same = 1 / (1 + np.exp(-same))
    np.testing.assert_allclose(pairs, same, rtol=1e-5, atol=1e-6)
    assert model.predict(events.head(1).assign(item="no such film")).tolist() == [0.0]
    new = pd.DataFrame({"user": 500, "item": ["film 0", "film new"], "label": 1.0, "timestamp": 10**9})
    model.update(new)
    assert "film new" in model.known_items
    assert np.isfinite(model.score_items(np.array([500]), model.known_items)).all()
    best = model.recommend([500, 999], k=3, exclude={500: ["film 0", "film new"]})
    assert best.groupby("user").size().tolist() == [3, 3]
    assert not best[best["user"] == 500]["item"].isin(["film 0", "film new"]).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedALS(0, rng=None), "n_factors"),
        (lambda: WeightedALS(sweeps=0, rng=None), "sweeps"),
        (lambda: WeightedALS(threads=0, rng=None), "threads"),
        (lambda: WeightedALS(alpha=0, rng=None), "alpha"),
        (lambda: WeightedALS(regularization=np.nan, rng=None), "regularization"),
        (lambda: WeightedALS(cg_steps=0, rng=None), "cg_steps"),
        (lambda: WeightedALS(dtype=np.int64, rng=None), "dtype"),
        (lambda: BPR(0, rng=None), "n_factors"),
        (lambda: BPR(epochs=0, rng=None), "epochs"),
        (lambda: BPR(tries=0, rng=None), "tries"),
        (lambda: BPR(threads=0, rng=None), "threads"),
        (lambda: BPR(step_size=np.inf, rng=None), "step_size"),
        (lambda: BPR(negatives="hard", rng=None), "negatives"),
        (lambda: BPR(dtype=np.float16, rng=None), "dtype"),
        (lambda: EASE(regularization=0), "regularization"),
        (lambda: ItemNeighbours(alpha=-1), "alpha"),
        (lambda: ItemNeighbours(neighbours=0), "neighbours"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
