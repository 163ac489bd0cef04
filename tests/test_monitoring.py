"""Detectors against River and against plain loops, signals against what they must see, and the alarm's strategy."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from scipy import stats

from recsys_course.drift import WindowedZTest, adwin_path, first_alarms, ks_path, page_hinkley_path, z_path
from recsys_course.models import RunningMeans
from recsys_course.models.base import Model
from recsys_course.monitoring import NEED_LABELS, alarm_levels, first_alarm, psi, signals
from recsys_course.replay import Cost, Result, replay
from recsys_course.strategies import Frozen, PeriodicRetrain, RetrainOnAlarm


def first(detector, values):
    for t, x in enumerate(values.tolist()):
        detector.update(x)
        if detector.drift_detected:
            return t
    return len(values)


def stream(seed, n=1500):
    """A stream with a change somewhere, sometimes none, of normal or binary values."""
    rng = np.random.default_rng(seed)
    rise = np.where(np.arange(n) < rng.integers(n), 0.0, rng.choice([0.0, 0.3, 1.0]))
    if seed % 2:
        return rng.normal(size=n) + rise
    return (rng.random(n) < 0.2 + 0.5 * rise).astype(float)


# -- paths ------------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([3.0, 10.0, 40.0]), delta=st.sampled_from([0.005, 0.1]))
@settings(max_examples=30, deadline=None)
def test_page_hinkley_rings_where_river_does(seed, threshold, delta):
    values = stream(seed)
    river = drift.PageHinkley(threshold=threshold, delta=delta, mode="up")
    assert first_alarms(page_hinkley_path(values, delta=delta), [threshold])[0] == first(river, values)


@given(
    seed=st.integers(0, 10_000),
    delta=st.sampled_from([0.9, 0.1, 0.002, 1e-6]),
    clock=st.sampled_from([1, 32]),
    buckets=st.sampled_from([3, 5]),
)
@settings(max_examples=40, deadline=None)
def test_adwin_rings_where_river_does(seed, delta, clock, buckets):
    values = stream(seed)
    river = drift.ADWIN(delta=delta, clock=clock, max_buckets=buckets)
    path = adwin_path(values, clock=clock, max_buckets=buckets)
    assert first_alarms(path, [np.log(1 / delta)])[0] == first(river, values)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ks_is_that_of_scipy_when_there_is_one_way_to_draw(seed):
    values = stream(seed, n=120)
    path = ks_path(values, window=40, recent=20, rng=np.random.default_rng(0))
    assert np.isnan(path[:39]).all()
    for t in range(39, 120):
        assert np.isclose(path[t], stats.ks_2samp(values[t - 39 : t - 19], values[t - 19 : t + 1]).statistic)


def test_ks_draws_without_replacement_and_looks_by_its_clock():
    values = np.r_[np.arange(30.0), np.full(10, 100.0)]
    path = ks_path(values, window=40, recent=10, clock=20, rng=np.random.default_rng(0))
    assert path[39] == 1 and np.isnan(np.delete(path, 39)).all()
    # All older values are needed once: drawn twice, the two sides would differ.
    ramp = np.tile(np.arange(25.0), 2)
    assert ks_path(ramp, window=50, recent=25, rng=np.random.default_rng(0))[49] == 0


@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([1.0, 2.5, 4.0]))
@settings(max_examples=30, deadline=None)
def test_z_test_rings_where_its_path_says_and_as_by_hand(seed, threshold):
    values = stream(seed)
    path = z_path(values, reference=200, window=50)
    test = WindowedZTest(reference=200, window=50, threshold=threshold)
    assert first_alarms(path, [threshold])[0] == first(test, values)
    before, t = values[:200], 700
    z = (values[t - 49 : t + 1].mean() - before.mean()) / (before.std(ddof=1) * np.sqrt(1 / 50 + 1 / 200))
    assert np.isclose(path[t], z)


def test_z_test_begins_anew_after_an_alarm():
    rng = np.random.default_rng(0)
    values = rng.normal(np.where(np.arange(800) < 300, 0.0, 5.0))
    test, rang = WindowedZTest(reference=100, window=20, threshold=8.0), []
    for x in values:
        test.update(x)
        rang.append(test.drift_detected)
    assert sum(rang) == 1 and rang.index(True) >= 300


def test_a_reference_without_spread_rings_at_any_rise_and_never_at_none():
    flat, rises = np.full(40, 2.0), np.r_[np.full(30, 2.0), np.full(10, 2.5)]
    for values, when in ((flat, 40), (rises, 30)):
        assert first_alarms(z_path(values, reference=10, window=5), [4.0])[0] == when
        assert first(WindowedZTest(reference=10, window=5), values) == when


@given(seed=st.integers(0, 10_000), cut=st.integers(200, 1400))
@settings(max_examples=20, deadline=None)
def test_paths_know_no_future(seed, cut):
    values = stream(seed)
    other = values.copy()
    other[cut:] = 7.0
    for path in (
        page_hinkley_path,
        adwin_path,
        lambda x: z_path(x, reference=100, window=50),
        lambda x: ks_path(x, rng=np.random.default_rng(1)),
    ):
        assert np.array_equal(path(values)[:cut], path(other)[:cut], equal_nan=True)


def test_first_alarms_is_a_plain_search():
    rng = np.random.default_rng(0)
    path = np.where(rng.random(200) < 0.1, np.nan, rng.normal(size=200).cumsum())
    at_a_value = float(np.nanmax(path[:100]))  # equal is not above
    for threshold in (-5.0, 0.0, 2.0, at_a_value, 50.0):
        above = np.flatnonzero(path > threshold)
        assert first_alarms(path, [threshold])[0] == (above[0] if len(above) else 200)


def test_bad_streams_and_settings_are_named():
    with pytest.raises(ValueError, match="row 2"):
        adwin_path([0.0, 1.0, np.nan])
    with pytest.raises(ValueError, match="one per event"):
        page_hinkley_path([[0.0]])
    with pytest.raises(ValueError, match="half of the window"):
        ks_path([0.0], window=10, recent=6, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="reference must be at least 2"):
        WindowedZTest(reference=1)


# -- signals ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=20))
def test_psi_is_symmetric_not_negative_and_zero_for_equals(pairs):
    a, b = map(np.array, zip(*pairs, strict=True))
    if a.sum() == 0 or b.sum() == 0:
        with pytest.raises(ValueError, match="no case"):
            psi(a, b)
        return
    assert psi(a, b) >= 0 and np.isclose(psi(a, b), psi(b, a)) and psi(a, a) == 0


def test_psi_is_the_divergence_both_ways():
    a, b = np.array([30.0, 50.0, 20.0]), np.array([10.0, 60.0, 30.0])
    p, q = ((x + 0.5) / (x + 0.5).sum() for x in (a, b))
    assert np.isclose(psi(a, b), stats.entropy(p, q) + stats.entropy(q, p))


def test_psi_rejects_what_cannot_be_compared():
    with pytest.raises(ValueError, match="equal bins"):
        psi([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        psi([1, -2], [1, 2])


def served(n=900, seed=0):
    """A log of 100 + n rows and its result: 100 rows of past, calibrated scores."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.1, 0.9, 100 + n)
    events = pd.DataFrame(
        {
            "user": rng.integers(20, size=100 + n),
            "item": rng.integers(9, size=100 + n),
            "label": (rng.random(100 + n) < scores).astype(float),
            "timestamp": 3600 * np.arange(100 + n),
            "kind": rng.choice(["a", "b", "c"], 100 + n),
        }
    )
    scored = events.iloc[100:]
    result = Result(
        name="by hand",
        task="binary",
        rows=np.arange(100, 100 + n),
        scores=scores[100:],
        labels=scored["label"].to_numpy(),
        timestamps=scored["timestamp"].to_numpy(),
        users=scored["user"].to_numpy(),
        events=np.arange(n),
        staleness=np.zeros(n),
        cost=Cost(0, 0, 0.0, 0),
    )
    return events, result


def test_signals_are_what_they_say():
    events, result = served()
    users = result.users.copy()
    users[500:600] = 99  # a stranger, in the third window of a hundred behind a reference of 300
    events["user"] = np.r_[events["user"][:100], users]
    result = replace(result, users=users)
    table = signals(result, events, reference=300, window=100, segment="kind")
    assert table.index.tolist() == [100, 200, 300, 400, 500, 600]
    assert table["new users"].tolist() == [0, 0, 1, 0, 0, 0]
    part = slice(400, 500)
    assert np.isclose(table.loc[200, "label rate"], result.labels[part].mean() - result.labels[:300].mean())
    gap = (result.labels - result.scores)[part].mean() - (result.labels - result.scores)[:300].mean()
    assert np.isclose(table.loc[200, "calibration"], gap)
    loss = -np.log(np.where(result.labels == 1, result.scores, 1 - result.scores))
    assert np.isclose(table.loc[200, "loss"], loss[part].mean() - loss[:300].mean())
    assert np.isclose(
        table.loc[200, "KS of scores"], stats.ks_2samp(result.scores[:300], result.scores[part]).statistic
    )
    rises = []
    for kind in "abc":
        of = events["kind"].to_numpy()[100:] == kind
        old, new = loss[:300][of[:300]], loss[part][of[part]]
        rises.append((new.mean() - old.mean()) / np.hypot(stats.sem(old), stats.sem(new)))
    assert np.isclose(table.loc[200, "worst segment"], max(rises))
    assert (table["label age"] == 0).all()


def test_labels_that_stop_silence_what_needs_them_and_nothing_else():
    events, result = served()
    arrival = events["timestamp"].to_numpy(float)
    arrival[100 + 500 :] = np.inf
    table = signals(result, events, reference=300, window=100, segment="kind", arrival=arrival)
    late = table.loc[300:]
    assert late[list(NEED_LABELS)].isna().all().all() and late.drop(columns=list(NEED_LABELS)).notna().all().all()
    assert late["label age"].tolist() == [100, 200, 300, 400]


@given(seed=st.integers(0, 1000), begin=st.integers(300, 899))
@settings(max_examples=20, deadline=None)
def test_no_label_that_has_not_arrived_reaches_a_signal(seed, begin):
    events, result = served(seed=seed)
    rng = np.random.default_rng(seed)
    arrival = events["timestamp"] + rng.exponential(50 * 3600, len(events))
    table = signals(result, events, reference=300, window=100, segment="kind", arrival=arrival.to_numpy())
    row = 300 + (begin - 300) // 100 * 100  # a window's first scored row
    end = result.timestamps[row + 99]
    hidden = arrival.to_numpy()[100:] > end
    hidden[:300] = False
    result = replace(result, labels=np.where(hidden, 1 - result.labels, result.labels))  # what nobody can know yet
    again = signals(result, events, reference=300, window=100, segment="kind", arrival=arrival.to_numpy())
    pd.testing.assert_series_equal(table.loc[row - 200], again.loc[row - 200])


def test_levels_let_the_promised_share_ring():
    rng = np.random.default_rng(0)
    quiet = [pd.DataFrame({"a": rng.normal(size=30), "b": 100 * rng.normal(size=30)}) for _ in range(400)]
    level = alarm_levels(quiet[:200], false_alarms=0.1)
    rang = pd.DataFrame([first_alarm(run, level).notna() for run in quiet[:200]]).mean()
    assert (rang <= 0.1).all() and (rang > 0.08).all()
    fresh = pd.DataFrame([first_alarm(run, level).notna() for run in quiet[200:]]).mean()
    assert (abs(fresh - 0.1) < 0.08).all()


def test_bad_input_of_signals_is_named():
    events, result = served()
    for changes, message in (
        ({"segment": "colour"}, "'colour' is missing"),
        ({"reference": 0}, "must fit"),
        ({"window": 601}, "must fit"),
    ):
        with pytest.raises(ValueError, match=message):
            signals(result, events, **({"reference": 300, "window": 100, "segment": "kind"} | changes))
    with pytest.raises(ValueError, match="binary"):
        signals(replace(result, task="rating"), events, reference=300, window=100, segment="kind")
    with pytest.raises(ValueError, match="same number"):
        alarm_levels([], false_alarms=0.1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        alarm_levels([pd.DataFrame({"a": [1.0]})], false_alarms=1.0)


# -- retraining on alarm ----------------------------------------------------------------------------------------------


class Never:
    drift_detected = False

    def __init__(self):
        self.heard = []

    def update(self, x):
        self.heard.append(x)


class Always(Never):
    drift_detected = True


def ratings(n=200, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    gaps = rng.integers(0 if ties else 1, 4, n)
    return pd.DataFrame(
        {
            "user": rng.integers(8, size=n),
            "item": rng.integers(6, size=n),
            "label": rng.integers(1, 6, n).astype(float),
            "timestamp": 3600 * np.cumsum(gaps),
        }
    )


def test_an_alarm_that_never_rings_is_frozen_and_one_that_always_does_is_a_schedule():
    table = ratings(400)
    frozen = replay(table, Frozen(RunningMeans()), task="rating")
    never = replay(table, RetrainOnAlarm(RunningMeans(), Never(), every=20), task="rating")
    assert np.array_equal(frozen.scores, never.scores) and never.cost.fits == never.cost.examples == 0
    for window in (None, 50):
        schedule = replay(table, PeriodicRetrain(RunningMeans(), every=20, window=window), task="rating")
        always = replay(table, RetrainOnAlarm(RunningMeans(), Always(), every=20, window=window), task="rating")
        assert np.array_equal(schedule.scores, always.scores)
        assert schedule.cost.fits == always.cost.fits and schedule.cost.examples == always.cost.examples


def test_late_labels_are_fitted_in_time_order_as_a_schedule_does():
    table = ratings(300, ties=False)
    delay = np.random.default_rng(1).exponential(20 * 3600, len(table))
    schedule = replay(table, PeriodicRetrain(RunningMeans(), every=20), task="rating", delay=delay)
    always = replay(table, RetrainOnAlarm(RunningMeans(), Always(), every=20), task="rating", delay=delay)
    assert np.allclose(schedule.scores, always.scores, rtol=0, atol=1e-12)


class Places(Model):
    """Predicts 0, so that with the row's number as its label the detector hears which rows it was told of."""

    asked: list = []  # noqa: RUF012  shared on purpose: a strategy copies the model, not the witness

    def fit(self, events):
        Places.asked.append(("fit", events["label"].to_numpy()))
        return self

    def update(self, events):
        raise AssertionError("nothing is learned between alarms")

    def predict(self, events):
        assert "label" not in events.columns
        Places.asked.append(("predict", events.index.to_numpy()))
        return np.zeros(len(events))

    @property
    def nbytes(self):
        return 0


class Tells(Never):
    """Writes into the witness's log what it hears, and rings at some of it."""

    def update(self, x):
        Places.asked.append(("hear", np.array([x])))
        self.drift_detected = int(x) % 37 == 0


@given(
    seed=st.integers(0, 10_000),
    every=st.sampled_from([1, 7, "3h", "1D"]),
    delay=st.sampled_from([None, 3, 40, "3h", "random"]),
    wait=st.sampled_from([0, 15]),
)
@settings(max_examples=60, deadline=None)
def test_no_future_label_reaches_the_detector_or_the_model(seed, every, delay, wait):
    table = ratings(150, seed=seed)
    table["label"] = np.arange(150.0)
    times = table["timestamp"].to_numpy()
    late = delay
    if delay == "random":
        late = np.random.default_rng(seed).exponential(15 * 3600, 150)
    arrival = times.astype(float)
    if isinstance(late, str):
        arrival = arrival + pd.Timedelta(late).total_seconds()
    elif isinstance(late, np.ndarray):
        arrival = arrival + late
    Places.asked = []

    class Serves(RetrainOnAlarm):
        def predict(self, events):
            Places.asked.append(("serve", events.index.to_numpy()))
            return super().predict(events)

    strategy = Serves(Places(), Tells(), every=every, wait=wait, error=lambda labels, scores: labels - scores)
    replay(table, strategy, task="rating", delay=late)
    told: set = set()
    heard: list = []
    for what, rows in Places.asked:
        if what == "hear":
            heard.extend(rows)
        if what in ("hear", "fit"):
            told.update(int(row) for row in rows)
        if what == "serve" and isinstance(late, int):
            assert max(told) < rows[0] - late
        elif what == "serve":
            assert arrival[list(told)].max() < times[rows[0]]
    assert len(heard) == len(set(heard)), "an error was heard twice"
    assert not set(heard) & set(Places.asked[0][1]), "the detector heard what the first model had learned"


def test_detector_and_recipe_are_copied_and_start_resets():
    table = ratings(200)
    detector = drift.ADWIN()
    strategy = RetrainOnAlarm(RunningMeans(), detector, every=10)
    one = replay(table, strategy, task="rating")
    assert detector.width == 0
    assert np.array_equal(one.scores, replay(table, strategy, task="rating").scores)


def test_waiting_puts_the_fit_off():
    table = ratings(300)
    rings = RetrainOnAlarm(RunningMeans(), Always(), every=10, wait=25)
    replay(table, rings, task="rating")
    assert rings.alarms and all(f - a >= 25 for a, f in zip(rings.alarms, rings.fitted, strict=False))
    assert all(f - a < 25 + 20 for a, f in zip(rings.alarms, rings.fitted, strict=False))


def test_a_jump_is_found_and_learned():
    rng = np.random.default_rng(0)
    label = np.where(np.arange(4000) < 2500, 1.0, 4.0) + rng.normal(0, 0.1, 4000)
    table = pd.DataFrame({"user": rng.integers(9, size=4000), "item": 1, "label": label, "timestamp": range(4000)})

    def error(labels, scores):
        return np.clip((labels - scores) ** 2 / 16, 0, 1)

    alarm = RetrainOnAlarm(RunningMeans(), drift.ADWIN(), every=50, window=300, wait=300, error=error)
    result = replay(table, alarm, task="rating")
    assert len(alarm.fitted) == 1 and result.cost.fits == 1
    assert 900 < alarm.alarms[0] < 1000  # 2500 is event 900 of the scored part
    after = result.rows > 3400
    assert abs(result.scores[after] - 4).max() < 0.2


@pytest.mark.parametrize(
    "changes, message",
    [({"window": 0}, "window"), ({"wait": -1}, "wait"), ({"every": None}, "interval"), ({"every": 0}, "positive")],
)
def test_bad_settings_of_the_strategy_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        RetrainOnAlarm(RunningMeans(), Never(), **({"every": 10} | changes))
