"""Ways of updating: what a lesson holds, early stopping, ensembles and fusions beside slow, plain versions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_replay import ratings

from recsys_course.blending import ensemble, fusion
from recsys_course.events import without_label
from recsys_course.lessons import LessonMaker
from recsys_course.metrics.losses import row_log_loss
from recsys_course.models import (
    SGD,
    Adam,
    EarlyStopping,
    ImplicitFactorization,
    KerasNetwork,
    MatrixFactorization,
    NeuralNetwork,
    Popularity,
    RunningMeans,
)
from recsys_course.replay import replay
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain


def binary(n=300, seed=0):
    stream = ratings(n=n, seed=seed)
    return stream.assign(label=(stream["label"] > 2).astype(float))


def factors(**kwargs):
    return MatrixFactorization(3, epochs=2, rng=np.random.default_rng(1), **kwargs)


# ------------------------------------------------------------------------------------------------ lessons


class Notes:
    """A model that writes down what it is taught."""

    def __init__(self):
        self.taught, self.examples_learned = [], 0

    def fit(self, events):
        self.taught = [("fit", events.index.tolist())]
        return self

    def update(self, events):
        self.taught.append(("update", events.index.tolist()))
        return self


def test_passes_are_the_same_events_again():
    strategy = Incremental(Notes(), passes=3)
    stream = ratings(n=20)
    strategy.start(stream.iloc[:10])
    strategy.update(stream.iloc[10:12])
    assert strategy.model.taught[1:] == [("update", [10, 11])] * 3


def test_what_is_rehearsed_is_old_and_evenly_drawn():
    stream = ratings(n=40, ties=False)
    lessons = LessonMaker(rehearse=300, rng=np.random.default_rng(0))
    lessons.remember(stream.iloc[:10])
    first, second = (lessons.of(stream.iloc[k : k + 1])[0] for k in (10, 11))
    assert first.index[-1] == 10 and second.index[-1] == 11
    assert len(first) == len(second) == 301
    assert set(first.index[:-1]) == set(range(10))  # 300 draws from 10: none is left out
    assert set(second.index[:-1]) == set(range(11))  # what was new is old now
    counts = np.bincount(second.index[:-1])
    assert counts.max() < 3 * counts.min()
    assert (np.diff(first["timestamp"]) >= 0).all()


def test_a_hybrid_rehearses_what_came_with_a_retrain():
    stream = ratings(n=30, ties=False)
    strategy = Hybrid(Notes(), retrain_every=5, rehearse=200, rng=np.random.default_rng(0))
    strategy.start(stream.iloc[:5])
    strategy.retrain(stream.iloc[:10], stream.iloc[5:10])
    strategy.update(stream.iloc[10:11])
    assert strategy.model.taught[0] == ("fit", list(range(10)))
    assert set(strategy.model.taught[1][1][:-1]) == set(range(10))


def test_a_replay_draws_the_same_each_time_and_does_not_change_the_strategy():
    stream = ratings()
    strategy = Incremental(factors(), rehearse=1, rng=np.random.default_rng(0))
    a, b = (replay(stream, strategy, task="rating").scores for _ in range(2))
    np.testing.assert_array_equal(a, b)
    other = Incremental(factors(), rehearse=1, rng=np.random.default_rng(1))
    assert (replay(stream, other, task="rating").scores != a).any()


@pytest.mark.parametrize(
    "network", [NeuralNetwork, pytest.param(KerasNetwork, marks=pytest.mark.filterwarnings("default"))]
)
@pytest.mark.parametrize(
    "make",
    [
        lambda m: Incremental(m, every=20, passes=3),
        lambda m: Incremental(m, every=20, rehearse=2, rng=np.random.default_rng(5)),
        lambda m: Hybrid(m, retrain_every=60, every=20),
    ],
)
def test_networks_too(network, make):
    model = network((4,), n_factors=2, epochs=1, batch_size=8, stranger=0.1, rng=np.random.default_rng(0))
    a, b = (replay(ratings(), make(model), task="rating", fused=fused) for fused in (True, False))
    np.testing.assert_allclose(a.scores, b.scores, rtol=1e-6)
    assert a.cost == b.cost or a.cost.examples == b.cost.examples


# ------------------------------------------------------------------------------- settings of an update


def test_an_update_has_a_step_of_its_own():
    stream = ratings()
    past, new = stream.iloc[:200], stream.iloc[200:]
    plain, still = factors(), factors(update_step_size=0.0)
    np.testing.assert_array_equal(plain.fit(past).predict(new), still.fit(past).predict(new))
    before = still.predict(past)
    assert (plain.update(new).predict(past) != before).any()
    still.update(new)
    # Only mu, which is a running mean and no step, has moved.
    moved = still.predict(past) - before
    np.testing.assert_allclose(moved, moved[0], atol=1e-12)
    half = factors(update_step_size=factors().step_size).fit(past).update(new)
    np.testing.assert_array_equal(half.predict(past), plain.predict(past))
    # Without one of its own it follows that of the fit, also where a living model is changed: a fault of chapter 01.
    later = factors().fit(past)
    later.step_size = 0.0
    np.testing.assert_array_equal(later.update(new).predict(past), still.predict(past))


def test_a_ranker_steps_in_an_update_as_told():
    stream = ratings().assign(label=1.0)
    past, new = stream.iloc[:200], stream.iloc[200:]
    known = np.unique(past["item"])
    still = ImplicitFactorization(3, update_step_size=0.0, rng=np.random.default_rng(1)).fit(past)
    before = still.score_items(past["user"].unique(), known)
    np.testing.assert_array_equal(still.update(new).score_items(past["user"].unique(), known), before)


@pytest.mark.parametrize("only", ["all", "embeddings", "layers"])
@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01), Adam(0.01, lazy=True)])
def test_only_what_is_said_moves(only, optimizer):
    stream = ratings()
    past, new = stream.iloc[:200], stream.iloc[200:]
    network = NeuralNetwork((4,), n_factors=2, update_only=only, optimizer=optimizer, rng=np.random.default_rng(0))
    network.fit(past)
    theta, rows = network.network.theta.copy(), [table.rows.copy() for table in network.tables]
    network.update(new)
    assert (network.network.theta != theta).any() == (only != "embeddings")
    moved = [(t.rows[: len(r)] != r).any() for t, r in zip(network.tables, rows, strict=True)]
    assert moved == [only != "layers"] * 2


def test_the_optimiser_is_carried_over_unless_told():
    stream = ratings()
    past, first, second = stream.iloc[:200], stream.iloc[200:210], stream.iloc[210:220]
    settings_of = dict(hidden=(4,), n_factors=2, stranger=0.0, optimizer=Adam(0.01), dtype=np.float64)
    carried, fresh = (
        NeuralNetwork(**settings_of, carry_optimizer=carry, rng=np.random.default_rng(0)).fit(past).update(first)
        for carry in (True, False)
    )
    # The first step of an Adam without memory is the step size, whatever the gradient.
    for model, is_fresh in ((carried, False), (fresh, True)):
        before = model.network.theta.copy()
        model.update(second)
        moved = np.abs(model.network.theta - before)
        np.testing.assert_equal(bool((moved[moved > 1e-12] > 0.0099).all()), is_fresh)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeuralNetwork(update_step_size=0, rng=np.random.default_rng(0)), "update_step_size"),
        (lambda: NeuralNetwork(update_only="half", rng=np.random.default_rng(0)), "update_only"),
        (
            lambda: NeuralNetwork(n_factors=0, features=("x",), update_only="embeddings", rng=np.random.default_rng(0)),
            "would learn nothing",
        ),
        (lambda: KerasNetwork(carry_optimizer=False, rng=np.random.default_rng(0)), "NeuralNetwork's"),
        (lambda: factors(update_step_size=-1), "update_step_size"),
        (lambda: Incremental(factors(), passes=0), "passes"),
        (lambda: Incremental(factors(), rehearse=-1), "rehearse"),
        (lambda: Incremental(factors(), rehearse=1), "give rng"),
        (lambda: Hybrid(factors(), retrain_every=5, window=0), "window"),
        (lambda: EarlyStopping(factors(), held_out=1.0), "held_out"),
        (lambda: EarlyStopping(RunningMeans()), "no epochs"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_early_stopping_is_the_search_written_out():
    stream = ratings(n=400, users=5, items=6)
    recipe = MatrixFactorization(4, epochs=16, rng=np.random.default_rng(0))
    model = EarlyStopping(recipe, held_out=0.25).fit(stream)
    older, latest = stream.iloc[:300], stream.iloc[300:]
    if older["timestamp"].iloc[-1] == latest["timestamp"].iloc[0]:
        cut = int(np.searchsorted(stream["timestamp"], older["timestamp"].iloc[-1], side="right"))
        older, latest = stream.iloc[:cut], stream.iloc[cut:]
    errors = {}
    for passes in (1, 2, 4, 8, 16):
        one = MatrixFactorization(4, epochs=passes, rng=np.random.default_rng(0)).fit(older)
        errors[passes] = float(np.mean((one.predict(latest) - latest["label"]) ** 2))
    falling = [p for p in errors if all(errors[q] > errors[2 * q] for q in errors if 2 * q <= p)]
    assert model.chosen == max(falling)
    whole = MatrixFactorization(4, epochs=model.chosen, rng=np.random.default_rng(0)).fit(stream)
    np.testing.assert_array_equal(model.predict(stream), whole.predict(stream))
    tried = [p for p in errors if p <= 2 * model.chosen]
    assert model.examples_learned == sum(tried) * len(older) + model.chosen * len(stream)
    assert recipe.examples_learned == 0


def test_early_stopping_under_a_strategy():
    model = EarlyStopping(factors())
    for make in (lambda m: PeriodicRetrain(m, every=60), lambda m: Hybrid(m, retrain_every=60)):
        a, b = (replay(ratings(), make(model), task="rating", fused=fused) for fused in (True, False))
        np.testing.assert_array_equal(a.scores, b.scores)
        assert a.cost.examples == b.cost.examples > 0


# -------------------------------------------------------------------------------- ensembles and fusions

DELAYS = [None, 25, "9h", "random"]


def delay_of(kind, n):
    return np.random.default_rng(2).exponential(20_000, n) if kind == "random" else kind


def members(stream, task, delay):
    loss = {"loss": "logistic"} if task == "binary" else {}
    models = [Frozen(factors(**loss)), Incremental(factors(**loss)), Incremental(factors(update_step_size=0.2, **loss))]
    return [replay(stream, model, task=task, delay=delay) for model in models]


def arrived_before(stream, delay, start):
    """For each scored row, the rows whose labels have arrived: worked out one by one, in the order of arrival."""
    times = stream["timestamp"].to_numpy()
    n = len(times)
    for row in range(start, n):
        instant = int(np.searchsorted(times, times[row]))
        if delay is None:
            yield row, list(range(instant))
        elif isinstance(delay, int):
            yield row, list(range(max(instant - delay, 0)))
        else:
            late = delay if isinstance(delay, np.ndarray) else np.full(n, pd.Timedelta(delay).total_seconds())
            yield row, [r for r in range(instant) if times[r] + late[r] < times[row]]


@given(seed=st.integers(0, 1000), delay=st.sampled_from(DELAYS), task=st.sampled_from(["rating", "binary"]))
@settings(max_examples=12, deadline=None)
def test_an_ensemble_is_the_slow_one(seed, delay, task):
    stream = (binary if task == "binary" else ratings)(n=120, seed=seed)
    delay = delay_of(delay, len(stream))
    parts = members(stream, task, delay)
    fast = ensemble(parts, stream, rate=0.3, forget=0.02, delay=delay)
    start = parts[0].rows[0]
    said = np.column_stack([part.scores for part in parts])
    loss = [row_log_loss(parts[0].labels, s) if task == "binary" else (parts[0].labels - s) ** 2 for s in said.T]
    known: list = []
    for row, arrived in arrived_before(stream, delay, start):
        known += [r for r in arrived if r not in known]  # what came in an earlier instant was taken in before
        total = np.zeros(3)
        for r in known:
            if r >= start:
                total = 0.98 * total + [member[r - start] for member in loss]
        weights = np.exp(-0.3 * (total - total.min()))
        weights /= weights.sum()
        np.testing.assert_allclose(fast.scores[row - start], said[row - start] @ weights, rtol=1e-9)


@given(seed=st.integers(0, 1000), delay=st.sampled_from(DELAYS))
@settings(max_examples=8, deadline=None)
def test_a_fusion_of_ratings_is_ridge_regression_on_what_has_arrived(seed, delay):
    stream = ratings(n=120, seed=seed)
    delay = delay_of(delay, len(stream))
    parts = members(stream, "rating", delay)
    fast = fusion(parts, stream, forget=0.0, prior=0.5, delay=delay)
    start = parts[0].rows[0]
    inputs = np.column_stack([np.ones(len(parts[0].rows)), *[part.scores for part in parts]])
    begin = np.append(0, np.full(3, 1 / 3))
    for row, arrived in arrived_before(stream, delay, start):
        if row % 7:
            continue
        rows = [r - start for r in arrived if r >= start]
        x, y = inputs[rows], parts[0].labels[rows]
        theta = begin + np.linalg.solve(x.T @ x + np.eye(4) / 0.5, x.T @ (y - x @ begin))
        np.testing.assert_allclose(fast.scores[row - start], inputs[row - start] @ theta, rtol=1e-7)


def test_a_fusion_of_probabilities_follows_the_labels():
    """Two members, one of which says the opposite of the truth: a fusion can turn it round, a mean cannot."""
    rng = np.random.default_rng(0)
    stream = binary(n=2000)
    wrong, useless = members(stream, "binary", None)[:2]
    p = 1 / (1 + np.exp(-rng.normal(0, 2, len(wrong.rows))))
    labels = (rng.random(len(p)) < p).astype(float)
    events = stream.copy()
    events.loc[wrong.rows, "label"] = labels
    from dataclasses import replace

    pair = [replace(wrong, scores=1 - p, labels=labels), replace(useless, scores=np.full(len(p), 0.5), labels=labels)]
    fused, mean = fusion(pair, events), ensemble(pair, events)
    late = slice(1000, None)
    oracle, own, other = (row_log_loss(labels, s)[late].mean() for s in (p, fused.scores, mean.scores))
    assert own < oracle + 0.02
    assert other > oracle + 0.1
    weights = fused.settings["weights"][-1]
    assert weights[1] == pytest.approx(-1.0, abs=0.2)


@pytest.mark.parametrize("put_together", [ensemble, fusion])
@pytest.mark.parametrize("delay", [None, 10, "9h"])
def test_a_later_label_changes_nothing_earlier(put_together, delay):
    stream = ratings(n=200)
    parts = members(stream, "rating", delay)
    whole = put_together(parts, stream, delay=delay)
    times = stream["timestamp"].to_numpy()
    cut = int(np.searchsorted(times, times[150]))
    from dataclasses import replace

    poisoned = [replace(part, labels=np.where(part.rows >= cut, 99.0, part.labels)) for part in parts]
    other = put_together(poisoned, stream, delay=delay)
    keep = parts[0].rows <= cut
    np.testing.assert_array_equal(whole.scores[keep], other.scores[keep])
    assert (whole.scores[~keep] != other.scores[~keep]).any()


def test_costs_are_added_up_and_nothing_is_trained_again():
    stream = ratings()
    parts = members(stream, "rating", None)
    both = ensemble(parts, stream)
    assert both.cost.examples == sum(part.cost.examples for part in parts)
    assert both.settings["members"] == [part.name for part in parts]
    np.testing.assert_array_equal(both.staleness, parts[1].staleness)
    equal = ensemble(parts, stream, rate=0.0)
    np.testing.assert_allclose(equal.scores, np.mean([part.scores for part in parts], axis=0))


def test_what_cannot_be_put_together_is_refused():
    stream = ratings()
    parts = members(stream, "rating", None)
    with pytest.raises(ValueError, match="nothing to put together"):
        ensemble(parts[:1], stream)
    with pytest.raises(ValueError, match="not the stream"):
        fusion(parts, stream.iloc[:-1])
    with pytest.raises(ValueError, match="same rows"):
        ensemble([parts[0], replay(stream, Frozen(factors()), task="rating", warmup=0.6)], stream)
    ranked = replay(stream.assign(label=1.0), Frozen(Popularity()), task="ranking")
    with pytest.raises(ValueError, match="ranking"):
        ensemble([ranked, ranked], stream)
    for kwargs in ({"rate": -1}, {"forget": 1.0}):
        with pytest.raises(ValueError):
            ensemble(parts, stream, **kwargs)
    with pytest.raises(ValueError, match="prior"):
        fusion(parts, stream, prior=0)


def test_a_hybrid_is_a_retrain_at_its_retrains_and_incremental_from_there():
    stream = ratings(n=200, ties=False)
    hybrid = replay(stream, Hybrid(factors(), retrain_every=40), task="rating", warmup=0.5)
    full = replay(stream, PeriodicRetrain(factors(), every=40), task="rating", warmup=0.5)
    at = [40, 80]
    np.testing.assert_array_equal(hybrid.scores[at], full.scores[at])
    model = factors().fit(stream.iloc[:140])
    for row in range(140, 180):
        one = stream.iloc[row : row + 1]
        assert model.predict(without_label(one))[0] == hybrid.scores[row - 100]
        model.update(one)
