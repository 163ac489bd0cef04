"""River's models on our interface, ours on River's: the same numbers either way, and River's own checks."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import (
    checks,
    compose,
    dummy,
    evaluate,
    facto,
    linear_model,
    metrics,
    naive_bayes,
    optim,
    preprocessing,
    reco,
    stats,
)
from test_explicit import river_initial
from test_replay import ratings

from recsys_course.events import EventsError
from recsys_course.models import BiasedFactorization, MatrixFactorization, NeuralNetwork, NotFittedError, RunningMeans
from recsys_course.models.river_adapters import (
    CourseRecommender,
    CourseRegressor,
    LeastMeanSquares,
    RiverModel,
    RiverRanker,
    user_and_item,
)
from recsys_course.replay import replay
from recsys_course.resume import Checkpoint, follow, load_checkpoint, predictions, save_checkpoint
from recsys_course.strategies import Frozen, Incremental, PeriodicRetrain


def ours_for_river():
    return {
        "least mean squares": LeastMeanSquares(0.5, normalized=True),
        "running means": CourseRegressor(RunningMeans()),
        "factorisation, as regressor": CourseRegressor(MatrixFactorization(3, rng=np.random.default_rng(0))),
        "network, as regressor": CourseRegressor(NeuralNetwork((4,), n_factors=2, rng=np.random.default_rng(0))),
        "factorisation, as recommender": CourseRecommender(4, seed=1),
    }


RIVER_CHECKS = [
    pytest.param(name, check, id=f"{name}:{number}:{check.__name__}")
    for name, model in ours_for_river().items()
    for number, check in enumerate(checks.yield_checks(model))
    if check.__name__ not in model._unit_test_skips()
]


@pytest.mark.parametrize(("name", "check"), RIVER_CHECKS)
def test_ours_pass_rivers_own_checks(name, check):
    check(ours_for_river()[name].clone())


def test_rivers_checks_are_many_and_none_is_skipped_by_us():
    for model in ours_for_river().values():
        inherited = reco.base.Ranker._unit_test_skips(model) if isinstance(model, reco.base.Ranker) else set()
        assert model._unit_test_skips() == inherited
    assert len(RIVER_CHECKS) > 80


class Aliasing(LeastMeanSquares):
    """Keeps the dict that it was given: a mistake that River's checks know."""

    def learn_one(self, x, y):
        super().learn_one(x, y)
        self.last = x


class Hoarder(LeastMeanSquares):
    """Forgets a parameter, so that its clones differ."""

    def __init__(self, step_size=0.01, normalized=True):
        super().__init__(0.25, normalized)


@pytest.mark.parametrize("broken", [Aliasing, Hoarder])
def test_rivers_checks_refuse_what_is_wrong(broken):
    with pytest.raises(AssertionError):
        checks.check_estimator(broken(0.5, True))


# ------------------------------------------------------------------------------ River on our interface


def river_models():
    linear = preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.05))
    return {
        "baseline": RiverModel(reco.Baseline(seed=0)),
        "funk": RiverModel(reco.FunkMF(4, seed=0)),
        "biased": RiverModel(reco.BiasedMF(4, seed=0), label_range=(1, 5)),
        "machine": RiverModel(preprocessing.PredClipper(facto.FMRegressor(3, intercept=3, seed=0), 1, 5)),
        "linear": RiverModel(linear, features=lambda row: {"hour": row["timestamp"] / 3600}),
    }


@pytest.mark.parametrize("name", river_models())
@pytest.mark.parametrize("strategy", [Frozen, Incremental, PeriodicRetrain])
def test_river_runs_in_a_replay(name, strategy):
    events, model = ratings(150), river_models()[name]
    strategies = {Frozen: Frozen(model), Incremental: Incremental(model, every=10)}
    life = strategies.get(strategy) or PeriodicRetrain(model, every=40)
    result = replay(events, life, task="rating", warmup=0.4)
    assert np.isfinite(result.scores).all() and result.cost.model_bytes > 0
    learned = {Frozen: 0, Incremental: result.cost.examples, PeriodicRetrain: result.cost.examples}[strategy]
    assert result.cost.examples == learned and (strategy is Frozen) == (learned == 0)
    assert model.estimator is None, "the recipe was changed"


@pytest.mark.parametrize("name", river_models())
def test_a_replay_per_event_is_rivers_progressive_validation(name):
    """One after the other, without ties, the replay does what progressive_val_score does."""
    events, model = ratings(200, ties=False), river_models()[name]
    result = replay(events, Incremental(model), task="rating", warmup=0.25)
    fresh = copy.deepcopy(model)
    fresh.fit(events[:50])
    metric = metrics.MAE()
    later = events[50:].to_dict("records")
    if model._by_ids:
        stream = [({}, row["label"], {"user": row["user"], "item": row["item"]}) for row in later]
        # A metric of River takes no bare recommender, but one inside a clipper.
        scored = preprocessing.PredClipper(fresh.estimator, *(model.label_range or (-np.inf, np.inf)))
    else:
        stream = [(model.features({k: v for k, v in row.items() if k != "label"}), row["label"]) for row in later]
        scored = fresh.estimator
    evaluate.progressive_val_score(stream, scored, metric)
    assert metric.get() == pytest.approx(np.abs(result.scores - result.labels).mean(), abs=1e-12)


@pytest.mark.parametrize("name", river_models())
@pytest.mark.parametrize("delay", [None, "3h", 7])
def test_the_fast_run_is_the_plain_loop(name, delay):
    events, model = ratings(150), river_models()[name]
    for strategy in (Incremental(model), Incremental(model, every=20), PeriodicRetrain(model, every=40), Frozen(model)):
        runs = [replay(events, strategy, task="rating", fused=fused, delay=delay) for fused in (True, False)]
        np.testing.assert_array_equal(runs[0].scores, runs[1].scores)
        assert runs[0].cost.examples == runs[1].cost.examples


def test_a_fit_starts_from_nothing_and_is_repeatable():
    events = ratings(100)
    for model in river_models().values():
        first = model.fit(events).predict(events)
        assert model.examples_learned == 100
        model.update(ratings(50, seed=1))
        assert model.examples_learned == 150
        np.testing.assert_array_equal(model.fit(events).predict(events), first)
        assert model.examples_learned == 100


def test_epochs_are_passes_in_order():
    events = ratings(80)
    twice = RiverModel(reco.BiasedMF(4, seed=0), epochs=2).fit(events)
    by_hand = RiverModel(reco.BiasedMF(4, seed=0)).fit(events).update(events)
    np.testing.assert_array_equal(twice.predict(events), by_hand.predict(events))
    assert twice.examples_learned == by_hand.examples_learned == 160


def test_a_classifier_says_the_probability_of_yes():
    events = ratings(200).assign(label=lambda e: (e["label"] > 3) * 1.0)
    model = RiverModel(naive_bayes.BernoulliNB(), features=lambda row: {f"user {row['user']}": True})
    said = model.fit(events).predict(events)
    assert ((said > 0) & (said < 1)).all()
    result = replay(events, Incremental(model), task="binary", warmup=0.4)
    assert ((result.scores > 0) & (result.scores < 1)).all()
    assert RiverModel(facto.FMClassifier(seed=1)).fit(events).predict(events[:0]).shape == (0,)


def test_the_features_of_a_row_never_hold_its_label():
    seen = set()

    def spy(row):
        seen.update(row)
        return user_and_item(row)

    RiverModel(facto.FMRegressor(seed=0), features=spy).fit(ratings(20)).predict(ratings(20))
    assert seen == {"user", "item", "timestamp"}


def test_what_is_refused():
    with pytest.raises(TypeError, match="neither a regressor"):
        RiverModel(preprocessing.StandardScaler())
    with pytest.raises(TypeError, match="BiasedMF, FunkMF or Baseline"):
        RiverRanker(reco.RandomNormal(), rng=np.random.default_rng(0))
    for wrong in ({"epochs": 0}, {"label_range": (5, 1)}):
        with pytest.raises(ValueError):
            RiverModel(reco.Baseline(), **wrong)
    with pytest.raises(ValueError, match="n_negatives"):
        RiverRanker(reco.BiasedMF(), n_negatives=0, rng=np.random.default_rng(0))
    fresh = RiverModel(reco.Baseline())
    for ask in (lambda: fresh.predict(ratings(5)), lambda: fresh.nbytes):
        with pytest.raises(NotFittedError):
            ask()
    with pytest.raises(EventsError, match="'item'"):
        fresh.fit(ratings(5)).predict(ratings(5).drop(columns="item"))
    with pytest.raises(EventsError):
        fresh.update(ratings(5).assign(label=np.nan))


def taken(n=200, seed=0):
    return ratings(n, seed=seed).assign(label=1.0)


@pytest.mark.parametrize("kind", [reco.BiasedMF, reco.FunkMF, reco.Baseline])
def test_a_catalogue_is_scored_as_river_scores_its_pairs(kind):
    events = taken()
    model = RiverRanker(kind(seed=3), rng=np.random.default_rng(0)).fit(events)
    users, items = events["user"].unique()[:3], events["item"].unique()
    table = model.score_items(users, items)
    for row, user in enumerate(users):
        one_by_one = [model.estimator.predict_one(user, item) for item in items]
        np.testing.assert_allclose(table[row], one_by_one, rtol=0, atol=1e-12)
    before = model.nbytes
    unknown = model.score_items(np.array([999]), np.array(["no film", items[0]]))
    assert unknown[0, 0] == -np.inf and np.isfinite(unknown[0, 1]) and model.nbytes == before


def test_a_ranker_is_replayed_and_repeatable():
    events = taken()
    model = RiverRanker(reco.BiasedMF(4, seed=0), rng=np.random.default_rng(1))
    runs = [replay(events, Incremental(model, every=20), task="ranking", warmup=0.4).scores for _ in range(2)]
    np.testing.assert_array_equal(*runs)
    assert set(model.fit(events).known_items) == set(events["item"])


# ------------------------------------------------------------------------------ ours on River's interface


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_given_rivers_factors_our_recommender_is_rivers(seed):
    events = ratings(150, seed=seed)
    river = reco.BiasedMF(6, optim.SGD(0.02), optim.SGD(0.05), l2_bias=0.03, l2_latent=0.04, seed=seed)
    ours = CourseRecommender(6, bias_rate=0.02, latent_rate=0.05, l2_bias=0.03, l2_latent=0.04)
    ours._model.initial = river_initial(events, 6, 0.1, seed)
    for row in events.itertuples():
        for model in (river, ours):
            model.learn_one(user=row.user, item=row.item, y=row.label)
        assert abs(ours.predict_one(row.user, row.item) - river.predict_one(row.user, row.item)) < 1e-12


def test_asking_about_strangers_changes_ours_not():
    ours, river = CourseRecommender(4, seed=0), reco.BiasedMF(4, seed=0)
    for model in (ours, river):
        model.learn_one("ann", "Alien", 5.0)
    before = pickle.dumps(ours), len(river.u_latents)
    for k in range(50):
        ours.predict_one(f"stranger {k}", "Alien")
        river.predict_one(f"stranger {k}", "Alien")
    assert pickle.dumps(ours) == before[0]
    assert len(river.u_latents) == before[1] + 50  # if River mends this, the chapter has to be told


def test_predict_one_is_predict():
    events = ratings(100)
    model = BiasedFactorization(3, epochs=2, rng=np.random.default_rng(0)).fit(events)
    asked = pd.DataFrame({"user": [1, 2, 999, 999], "item": ["film 3", "no film", "film 3", "no film"]})
    one_by_one = [model.predict_one(*pair) for pair in asked.itertuples(index=False)]
    np.testing.assert_allclose(model.predict(asked), one_by_one, rtol=0, atol=1e-12)
    with pytest.raises(NotFittedError):
        BiasedFactorization(3, rng=np.random.default_rng(0)).predict_one(1, 2)


def test_our_regressor_is_our_model():
    events, river = ratings(80), CourseRegressor(RunningMeans())
    ours = RunningMeans()
    for row in events.to_dict("records"):
        x, y = {"user": row["user"], "item": row["item"]}, row["label"]
        if ours._fitted:
            assert river.predict_one(x) == ours.predict(pd.DataFrame([x]))[0]
        river.learn_one(x, y)
        ours.update(pd.DataFrame([row]))


def test_least_mean_squares_is_rivers_linear_model_at_half_the_rate():
    rng = np.random.default_rng(0)
    river = linear_model.LinearRegression(optim.SGD(0.01), intercept_lr=0.0)
    ours = LeastMeanSquares(0.02)
    for _ in range(200):
        x = dict(zip("abc", rng.normal(size=3).tolist(), strict=True))
        y = x["a"] - 2 * x["b"]
        assert ours.predict_one(x) == pytest.approx(river.predict_one(x), abs=1e-12)
        ours.learn_one(x, y)
        river.learn_one(x, y)


def test_ours_run_in_a_pipeline_of_rivers():
    x_y = [({"a": float(k % 7), "b": float(k % 3)}, 2.0 * (k % 7) + 1) for k in range(600)]
    model = compose.Pipeline(preprocessing.StandardScaler(), LeastMeanSquares(0.1))
    mean = dummy.StatisticRegressor(stats.Mean())
    model_error, mean_error = (evaluate.progressive_val_score(x_y, m, metrics.MAE()).get() for m in (model, mean))
    assert np.isfinite(model_error) and mean_error < model_error  # without a constant it cannot know the level


def test_importing_the_course_does_not_import_river():
    code = "import sys, recsys_course.models, recsys_course.resume; sys.exit('river' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------------ resuming


class Killed(BaseException):
    """The power is cut: nothing catches it."""


MODELS = {
    "River's": (
        lambda: reco.BiasedMF(3, seed=5),
        lambda model, event: model.predict_one(event[0], event[1]),
        lambda model, event: model.learn_one(*event),
    ),
    "ours": (
        lambda: CourseRecommender(3, seed=5),
        lambda model, event: model.predict_one(event[0], event[1]),
        lambda model, event: model.learn_one(*event),
    ),
    "a list of all that was learned": (
        list,
        lambda model, event: float(len(model)),
        lambda model, event: model.append(event),
    ),
}
EVENTS = [tuple(row) for row in ratings(11)[["user", "item", "label"]].itertuples(index=False)]


def run(name, folder, every, at=lambda moment: None):
    make, predict, learn = MODELS[name]
    return follow(EVENTS, make(), folder, predict=predict, learn=learn, every=every, at=at)


def whole(name, folder):
    """The obviously right version: a loop that nothing interrupts."""
    make, predict, learn = MODELS[name]
    model, said = make(), []
    for event in EVENTS:
        said.append(predict(model, event))
        learn(model, event)
    return model, said


def asked(name, model):
    return model if isinstance(model, list) else [model.predict_one(u, i) for u, i, _ in EVENTS]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("every", [1, 4, 50])
def test_killed_once_at_any_moment_nothing_is_lost_and_nothing_learned_twice(name, every, tmp_path):
    model, said = whole(name, tmp_path)
    moments = []
    run(name, tmp_path / "count", every, moments.append)
    assert len(moments) > 4 * len(EVENTS)
    for fatal in range(len(moments)):
        folder = tmp_path / f"killed at {fatal}"
        passed = []

        def kill(moment, passed=passed, fatal=fatal):
            passed.append(moment)
            if len(passed) == fatal + 1:
                raise Killed

        with pytest.raises(Killed):
            run(name, folder, every, kill)
        again = run(name, folder, every)
        assert predictions(folder).tolist() == said, moments[fatal]
        assert asked(name, again) == asked(name, model), moments[fatal]


@given(deaths=st.lists(st.integers(1, 60), max_size=12), every=st.integers(1, 9))
@settings(max_examples=40)
def test_killed_again_and_again(deaths, every):
    import tempfile
    from pathlib import Path

    name = "River's"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, said = whole(name, folder)
        for lives in deaths:
            left = iter(range(lives))

            def kill(moment, left=left):
                if next(left, None) is None:
                    raise Killed

            try:
                run(name, folder, every, kill)
            except Killed:
                continue
        again = run(name, folder, every)
        assert predictions(folder).tolist() == said
        assert asked(name, again) == asked(name, model)


def test_a_finished_run_is_not_run_again(tmp_path):
    run("River's", tmp_path, 4)
    moments = []
    run("River's", tmp_path, 4, moments.append)
    assert moments == []
    assert load_checkpoint(tmp_path).position == len(EVENTS)


def test_resuming_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="every"):
        run("River's", tmp_path, 0)
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, Checkpoint([], 99))
    with pytest.raises(ValueError, match="99"):
        run("River's", tmp_path, 4)
    save_checkpoint(tmp_path, Checkpoint([], 3))
    with pytest.raises(ValueError, match="fewer than the 3"):
        run("River's", tmp_path, 4)


@pytest.mark.parametrize("name", river_models())
def test_saved_and_restored_it_says_the_same_ever_after(name):
    first, second = ratings(100), ratings(100, seed=1)
    model = river_models()[name].fit(first)
    if model.features is not user_and_item:
        model.features = _hour  # a lambda cannot be pickled
    restored = pickle.loads(pickle.dumps(model))
    for events in (first, second):
        np.testing.assert_array_equal(restored.predict(events), model.predict(events))
        restored.update(events)
        model.update(events)


def _hour(row):
    return {"hour": row["timestamp"] / 3600}
