"""The replay: what it promises about time, and that the compiled passes are the plain loop."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_course.models import (
    ImplicitFactorization,
    MatrixFactorization,
    Model,
    PersonalFrequency,
    Popularity,
    RunningMeans,
)
from recsys_course.plan import make_plan
from recsys_course.replay import replay
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain


def ratings(n=300, users=12, items=15, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    gaps = rng.integers(0 if ties else 1, 3, n)
    return pd.DataFrame(
        {
            "user": rng.integers(users, size=n),
            "item": [f"film {i}" for i in rng.integers(items, size=n)],
            "label": rng.integers(1, 6, n).astype(float),
            "timestamp": np.cumsum(gaps) * 3600,
        }
    )


def baskets(n=120, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for event in range(n):
        user = int(rng.integers(8))
        for item in np.unique(rng.integers(0, 4 + event // 6, size=rng.integers(1, 6))):
            rows.append((user, int(item), 1.0, 1000 * (event // 2), event))
    return pd.DataFrame(rows, columns=["user", "item", "label", "timestamp", "event"])


def rating_models():
    rng = np.random.default_rng(3)
    return {
        "biases": MatrixFactorization(0, rng=rng),
        "factors": MatrixFactorization(5, epochs=2, label_range=(1, 5), rng=rng),
        "running means": RunningMeans(forget=0.1),
    }


def rankers():
    rng = np.random.default_rng(3)
    return {
        "factors": ImplicitFactorization(5, epochs=2, rng=rng),
        "popularity": Popularity(),
        "recent popularity": Popularity(window=20),
        "personal": PersonalFrequency(forget=0.05),
    }


SETTINGS = [
    (lambda m: Frozen(m), None),
    (lambda m: Incremental(m, every=1), None),
    (lambda m: Incremental(m, every=7), None),
    (lambda m: Incremental(m, every="1D"), None),
    (lambda m: PeriodicRetrain(m, every=40), None),
    (lambda m: PeriodicRetrain(m, every=40, window=50), None),
    (lambda m: Incremental(m, every=1), 20),
    (lambda m: Incremental(m, every=1), "6h"),
    (lambda m: Incremental(m, every=5), "random"),
    (lambda m: PeriodicRetrain(m, every=40), "random"),
    (lambda m: PeriodicRetrain(m, every=40, window=50, warm=True), None),
    (lambda m: Incremental(m, every=7, passes=3), None),
    (lambda m: Incremental(m, every=1, rehearse=2, rng=np.random.default_rng(5)), None),
    (lambda m: Incremental(m, every=5, passes=2, rehearse=1, rng=np.random.default_rng(5)), "random"),
    (lambda m: Hybrid(m, retrain_every=40), None),
    (lambda m: Hybrid(m, retrain_every="3D", window=60, every=3), "random"),
    (lambda m: Hybrid(m, retrain_every=40, rehearse=1, rng=np.random.default_rng(5)), "random"),
]


def delay_of(kind, n):
    return np.random.default_rng(1).exponential(20_000, n) if kind == "random" else kind


@pytest.mark.parametrize("name", rating_models())
@pytest.mark.parametrize(("strategy", "delay"), SETTINGS)
def test_fused_pass_equals_plain_loop_for_ratings(name, strategy, delay):
    stream = ratings()
    runs = [
        replay(stream, strategy(rating_models()[name]), task="rating", delay=delay_of(delay, len(stream)), fused=fused)
        for fused in (True, False)
    ]
    np.testing.assert_array_equal(runs[0].scores, runs[1].scores)
    assert runs[0].cost.examples == runs[1].cost.examples


@pytest.mark.parametrize("name", rankers())
@pytest.mark.parametrize(("strategy", "delay"), SETTINGS)
@pytest.mark.parametrize("kind", ["films", "baskets"])
def test_fused_pass_equals_plain_loop_for_rankings(name, strategy, delay, kind):
    stream = ratings().assign(label=1.0) if kind == "films" else baskets()
    runs = [
        replay(stream, strategy(rankers()[name]), task="ranking", delay=delay_of(delay, len(stream)), fused=fused)
        for fused in (True, False)
    ]
    np.testing.assert_array_equal(runs[0].scores, runs[1].scores)
    assert runs[0].cost.examples == runs[1].cost.examples
    assert np.isfinite(runs[0].scores).any()


def test_binary_labels_run_too():
    stream = ratings()
    stream["label"] = (stream["label"] > 3).astype(float)
    model = MatrixFactorization(3, loss="logistic", epochs=2, rng=np.random.default_rng(0))
    runs = [replay(stream, Incremental(model), task="binary", fused=fused) for fused in (True, False)]
    np.testing.assert_array_equal(runs[0].scores, runs[1].scores)
    assert ((runs[0].scores > 0) & (runs[0].scores < 1)).all()


class Recorder(Model):
    """Remembers what it was given and when: the witness for what a replay lets a model see."""

    log: list = []  # noqa: RUF012  shared on purpose: a strategy copies the model, not the witness

    def fit(self, events):
        self.log.append(("fit", events.index.to_numpy(), events["timestamp"].to_numpy()))
        return self

    def update(self, events):
        self.log.append(("update", events.index.to_numpy(), events["timestamp"].to_numpy()))
        return self

    def predict(self, events):
        assert "label" not in events.columns
        self.log.append(("predict", events.index.to_numpy(), events["timestamp"].to_numpy()))
        return np.zeros(len(events))

    @property
    def nbytes(self):
        return 0


@given(
    seed=st.integers(0, 10_000),
    every=st.sampled_from([1, 2, 9, "1h", "1D", None]),
    retrain=st.sampled_from([None, 25, "2D"]),
    delay=st.sampled_from([None, 0, 3, 40, "3h", "random"]),
)
@settings(max_examples=60, deadline=None)
def test_no_label_is_seen_before_it_arrives_and_none_twice(seed, every, retrain, delay):
    stream = ratings(n=120, seed=seed)
    lateness = delay_of(delay, len(stream))

    class Both(PeriodicRetrain):
        def __init__(self):
            super().__init__(Recorder(), every=retrain or 10**6)
            self.update_every = every

        def update(self, arrived):
            self.model.update(arrived)

    Recorder.log = []
    replay(stream, Both(), task="rating", delay=lateness)
    seen: set = set()
    predicted: list = []
    times = stream["timestamp"].to_numpy()
    if isinstance(lateness, np.ndarray):
        arrival = times + lateness
    elif isinstance(lateness, str):
        arrival = times + pd.Timedelta(lateness).total_seconds()
    else:
        arrival = times.astype(float)
    for what, rows, stamps in Recorder.log:
        if what == "predict":
            predicted.extend(rows)
            learned = np.array(sorted(seen))
            assert (arrival[learned] < stamps[0]).all()
            if isinstance(lateness, int):
                assert (learned + lateness < rows[0]).all()
        elif what == "update":
            assert not seen.intersection(rows)
            assert (np.diff(stamps) >= 0).all()
            seen.update(rows)
        else:
            assert seen.issubset(rows)
            seen.update(rows)
    start = predicted[0]
    assert predicted == list(range(start, len(stream)))


@given(seed=st.integers(0, 10_000), cut=st.integers(50, 110))
@settings(max_examples=25, deadline=None)
def test_the_future_cannot_be_felt(seed, cut):
    """Poison everything from a row on; no earlier prediction or rank may move."""
    stream = ratings(n=120, seed=seed)
    cut = int(np.searchsorted(stream["timestamp"], stream["timestamp"].iloc[cut]))
    poisoned = stream.copy()
    poisoned.loc[cut:, "label"] = -3.0
    poisoned.loc[cut:, "item"] = "poison"
    poisoned.loc[cut:, "user"] = -1
    for strategy in (Incremental, lambda m: Incremental(m, every=10), lambda m: PeriodicRetrain(m, every=15)):
        a, b = (replay(t, strategy(rating_models()["factors"]), task="rating", warmup=0.3) for t in (stream, poisoned))
        keep = a.rows < cut
        np.testing.assert_array_equal(a.scores[keep], b.scores[keep])
        a, b = (
            replay(t.assign(label=1.0), strategy(rankers()["factors"]), task="ranking", warmup=0.3)
            for t in (stream, poisoned)
        )
        np.testing.assert_array_equal(a.scores[keep], b.scores[keep])


def test_cost_counts_every_pass():
    stream = ratings(ties=False)
    model = MatrixFactorization(2, epochs=3, rng=np.random.default_rng(0))
    scored = 180
    assert replay(stream, Frozen(model), task="rating").cost.examples == 0
    # The last event is predicted and never learned: nothing that is scored would gain from it.
    assert replay(stream, Incremental(model), task="rating").cost.examples == scored - 1
    retrains = replay(stream, PeriodicRetrain(model, every=60), task="rating").cost
    assert (retrains.fits, retrains.examples) == (2, 3 * (180 + 240))
    sliding = replay(stream, PeriodicRetrain(model, every=60, window=100), task="rating").cost
    assert sliding.examples == 3 * 200


def test_staleness_is_the_age_of_the_newest_label():
    stream = ratings(ties=False)
    times = stream["timestamp"].to_numpy()
    model = RunningMeans()
    frozen = replay(stream, Frozen(model), task="rating").staleness
    np.testing.assert_array_equal(frozen, times[120:] - times[119])
    online = replay(stream, Incremental(model), task="rating").staleness
    np.testing.assert_array_equal(online, np.diff(times[119:]))


def test_strategies_leave_the_recipe_alone():
    model = MatrixFactorization(2, rng=np.random.default_rng(0))
    first = replay(ratings(), Incremental(model), task="rating").scores
    assert model._factors is None
    np.testing.assert_array_equal(first, replay(ratings(), Incremental(model), task="rating").scores)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "stars"}, "task must be one of"),
        ({"warmup": 0.0}, "warmup must lie between"),
        ({"delay": -1}, "cannot be negative"),
        ({"delay": np.array([1.0])}, "one number of seconds for each"),
        ({"delay": 10**6}, "no label has arrived"),
    ],
)
def test_bad_arguments_say_what_to_do(changes, message):
    arguments = {"task": "rating"} | changes
    with pytest.raises(ValueError, match=message):
        replay(ratings(), Frozen(RunningMeans()), **arguments)


@pytest.mark.parametrize("kind", ["films", "baskets"])
@pytest.mark.parametrize("fused", [True, False])
def test_scoring_a_share_learns_all_and_says_the_same_of_it(kind, fused):
    stream = ratings().assign(label=1.0) if kind == "films" else baskets()
    strategy = Hybrid(next(iter(rankers().values())), retrain_every=60, every=5)
    whole, part = (replay(stream, strategy, task="ranking", score_every=k, fused=fused) for k in (1, 3))
    kept = np.isin(whole.events, np.unique(whole.events)[::3])
    for name in ("rows", "scores", "labels", "timestamps", "users", "events", "staleness"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[kept])
    assert part.cost.examples == whole.cost.examples
    assert part.examples_per_event == whole.examples_per_event == whole.cost.examples / len(whole.rows)
    assert 0 < kept.sum() < len(kept)


@pytest.mark.parametrize(("task", "score_every"), [("ranking", 0), ("rating", 2)])
def test_a_share_to_score_is_a_matter_of_rankings(task, score_every):
    with pytest.raises(ValueError, match="score_every must be at least 1"):
        replay(ratings().assign(label=1.0), Frozen(Popularity()), task=task, score_every=score_every)


def test_a_plan_never_cuts_an_instant():
    times = np.repeat([1, 2, 3, 4], [3, 4, 1, 5])
    plan = make_plan(times, 3, update_every=2)
    assert plan.starts.tolist() == [3, 7]
    with pytest.raises(ValueError, match="shares its timestamp"):
        make_plan(times, 4, update_every=2)


@pytest.mark.parametrize("bad", [0, -1, "0s", "soon", True, 1.5])
def test_bad_intervals(bad):
    with pytest.raises(ValueError):
        Incremental(RunningMeans(), every=bad)
    with pytest.raises(ValueError):
        PeriodicRetrain(RunningMeans(), every=bad)


def test_a_strategy_with_a_rule_of_its_own_is_not_run_past_it():
    """The compiled pass knows the model's update alone; a subclass that does something else must be asked."""

    class Twice(Incremental):
        def update(self, arrived):
            self.model.update(arrived)
            self.model.update(arrived)

    class Calm(Incremental):
        def predict(self, events):
            return np.full(len(events), 3.0)

    model = MatrixFactorization(2, rng=np.random.default_rng(0))
    stream = ratings(ties=False)
    assert replay(stream, Twice(model), task="rating").cost.examples == 2 * 179
    assert (replay(stream, Calm(model), task="rating").scores == 3.0).all()
