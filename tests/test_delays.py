"""Late labels: what a learner is told and when, the corrections, and that no label arrives before its time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys_course.delays import OnlineLogistic, at_once, fake_negative_weights, undo_reentry, waiting
from recsys_course.events import without_label
from recsys_course.models import MatrixFactorization, Model, PersonalFrequency, RunningMeans
from recsys_course.replay import replay
from recsys_course.strategies import Incremental, PeriodicRetrain

HOUR = 3600

# ------------------------------------------------------------------------------------------ the replay


def stream(seed, n=70):
    """Ratings with many ties."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": rng.integers(8, size=n),
            "item": rng.integers(10, size=n),
            "label": rng.integers(1, 6, n).astype(float),
            "timestamp": np.cumsum(rng.integers(0, 3, n) * rng.integers(0, 2, n)) * HOUR,
        }
    )


def of_its_own(late):
    """A delay in seconds for each row, and its rule."""
    return late, lambda row, t, first, now: t + late[row] < now


@st.composite
def delays(draw, n=70):
    """A delay, and the rule by which it says that a label is there: (row, its time, first row, its time) -> bool."""
    kind = draw(st.sampled_from(["none", "events", "time", "Timedelta", "each"]))
    if kind == "none":
        return None, lambda row, t, first, now: t < now
    if kind == "events":
        k = draw(st.integers(0, 30))
        return k, lambda row, t, first, now: row + k < first
    if kind == "each":
        choices = [0, 1, HOUR, 5 * HOUR, 5 * HOUR + 0.5, 40 * HOUR, np.inf]
        late = np.random.default_rng(draw(st.integers(0, 10_000))).choice(choices, size=n)
        return of_its_own(late)
    hours = draw(st.integers(0, 20))
    late = pd.Timedelta(hours=hours) if kind == "Timedelta" else f"{hours}h"
    return late, lambda row, t, first, now: t + hours * HOUR < now


def instants(events):
    times = events["timestamp"].to_numpy()
    return [np.flatnonzero(times == t) for t in np.unique(times)]


def warm_up(events, is_there):
    """A share of the rows after which a first label has come, as replay reads it: (warmup, first scored row)."""
    times = events["timestamp"].to_numpy()
    for block in instants(events):
        first = int(block[0])
        if first >= 20 and any(is_there(r, times[r], first, times[first]) for r in range(first)):
            return first / len(events), first
    return None, None


def slow_replay(events, strategy, start, is_there, every=1):
    """As slow and plain as can be: at each update gather the labels that are there, and learn those that are new."""
    times = events["timestamp"].to_numpy()
    said, learned, next_update = [], None, start
    for block in instants(events):
        first = int(block[0])
        if first < start:
            continue
        if first >= next_update:
            rows = [r for r in range(first) if is_there(r, times[r], first, times[first])]
            if learned is None:
                strategy.start(events.iloc[rows])
            else:
                new = [r for r in rows if r not in learned]
                if isinstance(strategy, PeriodicRetrain):
                    strategy.retrain(events.iloc[rows], events.iloc[new])
                elif new:
                    strategy.update(events.iloc[new])
            learned = set(rows) | (learned or set())
            while next_update <= first:
                next_update += every
        said.extend(strategy.predict(without_label(events.iloc[block])))
    return np.array(said)


def strategies(every):
    rng = np.random.default_rng(0)
    return [
        Incremental(MatrixFactorization(3, epochs=2, label_range=(1, 5), rng=rng), every=every),
        Incremental(RunningMeans(forget=0.1), every=every),
        PeriodicRetrain(RunningMeans(), every=every),
    ]


@given(seed=st.integers(0, 10_000), delay=delays(), every=st.sampled_from([1, 3, 8]))
@example(seed=1, delay=of_its_own(np.resize([0, np.inf, 5.5 * HOUR, HOUR, 40.0 * HOUR], 70)), every=1)
@settings(max_examples=20, deadline=None)
def test_replay_with_a_delay_is_the_slow_version(seed, delay, every):
    events, (late, is_there) = stream(seed), delay
    warmup, start = warm_up(events, is_there)
    if warmup is None:
        return
    for fast, slow in zip(strategies(every), strategies(every), strict=True):
        expected = slow_replay(events, slow, start, is_there, every)
        for fused in (True, False):
            run = replay(events, fast, task="rating", warmup=warmup, delay=late, fused=fused)
            assert run.rows[0] == start
            np.testing.assert_array_equal(run.scores, expected)


@given(seed=st.integers(0, 10_000), delay=delays(), cut=st.integers(25, 65), bad=st.sampled_from([-3.0, 9.0]))
@settings(max_examples=20, deadline=None)
def test_no_future_label_reaches_an_earlier_prediction(seed, delay, cut, bad):
    """Poison each label that has not come by a moment, old and late ones too: nothing up to that moment moves."""
    events, (late, is_there) = stream(seed), delay
    times = events["timestamp"].to_numpy()
    warmup, _ = warm_up(events, is_there)
    if warmup is None:
        return
    moment = int(np.flatnonzero(times == times[cut])[0])
    there = np.array([is_there(r, t, moment, times[moment]) and r < moment for r, t in enumerate(times)])
    poisoned = events.assign(label=np.where(there, events["label"], bad))
    for strategy in strategies(every=1):
        clean, other = (replay(t, strategy, task="rating", warmup=warmup, delay=late) for t in (events, poisoned))
        before = times[clean.rows] <= times[moment]
        np.testing.assert_array_equal(clean.scores[before], other.scores[before])


@given(seed=st.integers(0, 10_000), delay=delays(), cut=st.integers(25, 65))
@settings(max_examples=20, deadline=None)
def test_no_late_basket_reaches_an_earlier_ranking(seed, delay, cut):
    """On a ranking it is the item that is late: which items a user took may not be felt before it has come."""
    events, (late, is_there) = stream(seed).assign(label=1.0), delay
    events["timestamp"] = np.arange(len(events)) * HOUR  # events without ties, so that each is its own contest
    times = events["timestamp"].to_numpy()
    warmup, _ = warm_up(events, is_there)
    if warmup is None:
        return
    not_there = np.array([r >= cut or not is_there(r, t, cut, times[cut]) for r, t in enumerate(times)])
    swapped = events["item"].to_numpy().copy()
    hidden = np.flatnonzero(not_there & (np.arange(len(events)) < cut))
    # Items change places among those that are late, and are met in the same order: only whose they are is poisoned.
    swapped[hidden] = swapped[hidden][::-1]
    poisoned = events.assign(item=swapped)
    seen = [set(), set()]
    for row in range(cut):  # the catalogue of the contest must stay the same
        seen[0].add(events["item"][row])
        seen[1].add(swapped[row])
        if seen[0] != seen[1]:
            return
    model = PersonalFrequency()
    clean, other = (
        replay(t, Incremental(model), task="ranking", warmup=warmup, delay=late, exclude_had=False)
        for t in (events, poisoned)
    )
    same = (clean.rows < cut) & ~np.isin(clean.rows, hidden)  # what was asked must be the same, too
    np.testing.assert_array_equal(clean.scores[same], other.scores[same])


def test_the_poison_is_felt_once_it_has_come():
    """Else the tests above could not fail."""
    events = stream(1).assign(timestamp=np.arange(70) * HOUR)
    poisoned = events.copy()
    poisoned.loc[40, "label"] = 1e3
    for late, felt_from in ((None, 41), (5, 46), ("5h", 46), (np.full(70, 5.5 * HOUR), 46)):
        a, b = (
            replay(t, Incremental(RunningMeans()), task="rating", warmup=20 / 70, delay=late)
            for t in (events, poisoned)
        )
        assert a.rows[np.argmax(a.scores != b.scores)] == felt_from


# ------------------------------------------------------------------------------------------- lessons


exposure_lists = st.lists(st.tuples(st.integers(0, 4), st.one_of(st.none(), st.floats(0, 30))), min_size=1, max_size=30)


def log_of(exposures):
    times = np.cumsum([gap for gap, _ in exposures])
    return times, np.array([np.nan if late is None else late for _, late in exposures])


@given(exposures=exposure_lists, window=st.floats(0, 40))
def test_waiting_tells_each_exposure_once_with_what_came_in_time(exposures, window):
    times, late = log_of(exposures)
    told = waiting(times, late, window)
    assert told.rows.tolist() == list(range(len(times)))
    np.testing.assert_allclose(told.times, times + window)
    for row, label in zip(told.rows, told.labels, strict=True):
        assert label == float(late[row] <= window)  # NaN compares as False


@given(exposures=exposure_lists)
def test_at_once_tells_each_exposure_and_then_each_purchase(exposures):
    times, late = log_of(exposures)
    told = at_once(times, late)
    bought = np.flatnonzero(np.isfinite(late))
    assert sorted(told.rows[told.labels == 0]) == list(range(len(times)))
    assert sorted(told.rows[told.labels == 1]) == bought.tolist()
    assert (np.diff(told.times) >= 0).all()
    for row in bought:
        first, second = np.flatnonzero(told.rows == row)
        assert (told.labels[first], told.labels[second]) == (0, 1)
        assert told.times[first] == times[row] and told.times[second] == times[row] + late[row]


@pytest.mark.parametrize("make", [at_once, lambda t, d: waiting(t, d, 5)])
@pytest.mark.parametrize(
    ("times", "late", "message"),
    [
        ([1, 2], [1.0], "give one of each a row"),
        ([2, 1], [1.0, 1.0], "go back at row 1"),
        ([1, 2], [1.0, -1.0], "purchase_delay of row 1 is negative"),
    ],
)
def test_bad_logs_say_what_to_do(make, times, late, message):
    with pytest.raises(ValueError, match=message):
        make(times, late)


@pytest.mark.parametrize("window", [-1, np.inf, np.nan])
def test_a_window_ends_some_day(window):
    with pytest.raises(ValueError, match="window is"):
        waiting([1], [1.0], window)


# -------------------------------------------------------------------------------------- corrections


@given(p=st.floats(0, 0.999))
def test_undoing_reentry_undoes_it(p):
    assert undo_reentry(p / (1 + p)) == pytest.approx(p, abs=1e-9)


def test_shares_that_no_probability_explains():
    np.testing.assert_allclose(undo_reentry([0.5, 0.7, 1.0]), 0.999)
    with pytest.raises(ValueError, match="between 0 and 1"):
        undo_reentry([1.2])


@given(p=st.floats(0, 1), f=st.floats(0, 1))
def test_weighted_lessons_point_where_the_true_label_points(p, f):
    """Expected gradient per exposure, by the weights as they are, against (1 - f^2)(f - p)."""
    zero, one = fake_negative_weights([f, f], [0, 1])
    assert zero * f + p * one * (f - 1) == pytest.approx((1 - f * f) * (f - p), abs=1e-12)


@given(p=st.floats(0, 0.99), loss=st.tuples(st.floats(-5, 5), st.floats(-5, 5)))
def test_weights_at_the_truth_are_unbiased_for_any_loss(p, loss):
    b = p / (1 + p)
    zero, one = fake_negative_weights([p, p], [0, 1])
    assert (1 - b) * zero * loss[0] + b * one * loss[1] == pytest.approx((1 - p) * loss[0] + p * loss[1], abs=1e-9)


@pytest.mark.parametrize(("p", "labels"), [([1.5], [1]), ([np.nan], [1]), ([0.5], [2])])
def test_weights_of_nonsense(p, labels):
    with pytest.raises(ValueError, match="must"):
        fake_negative_weights(p, labels)


# ------------------------------------------------------------------------------------------ learner


def plain(told, features, times, n_weights, step, correction):
    w, out, k = np.zeros(n_weights), [], 0
    for row, now in enumerate(times):
        while k < len(told) and told.times[k] < now:
            active, y = features[told.rows[k]], told.labels[k]
            f = 1 / (1 + np.exp(-w[active].sum()))
            gradient = f - y
            if correction == "weights":
                gradient *= fake_negative_weights(f, y)
            elif correction == "take back" and y == 1:
                gradient = (f - 1) - (f - 0)
            for a in active:
                w[a] -= step * gradient
            k += 1
        out.append(1 / (1 + np.exp(-w[features[row]].sum())))
    return np.array(out)


@given(exposures=exposure_lists, correction=st.sampled_from(["none", "weights", "take back"]), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_compiled_learner_is_the_plain_one(exposures, correction, seed):
    times, late = log_of(exposures)
    features = np.random.default_rng(seed).integers(6, size=(len(times), 2))
    for told in (at_once(times, late), waiting(times, late, 7.0)):
        said = OnlineLogistic(6, step_size=0.3, correction=correction).run(told, features, times)
        np.testing.assert_allclose(said, plain(told, features, times, 6, 0.3, correction), atol=1e-12)


class OneStep(Model):
    """The learner's arithmetic behind the spine's interface, to hold the two passes to each other."""

    def __init__(self, window, late):
        self.window, self.late, self.w = window, late, np.zeros(30)

    def fit(self, events):
        self.w = np.zeros(30)
        return self.update(events)

    def update(self, events):
        for row, user, item in events[["user", "item"]].itertuples():
            y = float(self.late[row] <= self.window)
            f = 1 / (1 + np.exp(-(self.w[user] + self.w[10 + item])))
            self.w[user] += 0.2 * (y - f)
            self.w[10 + item] += 0.2 * (y - f)
        return self

    def predict(self, events):
        return np.array(
            [1 / (1 + np.exp(-(self.w[u] + self.w[10 + i]))) for u, i in events[["user", "item"]].to_numpy()]
        )

    @property
    def nbytes(self):
        return self.w.nbytes


@pytest.mark.parametrize("window", [0, HOUR, 7.5 * HOUR])
def test_waiting_is_a_replay_with_that_delay(window):
    events = stream(3)
    late = np.random.default_rng(0).exponential(4 * HOUR, len(events))
    late[::3] = np.nan
    times = events["timestamp"].to_numpy()
    features = np.column_stack([events["user"], 10 + events["item"]])
    said = OnlineLogistic(30, step_size=0.2).run(waiting(times, late, window), features, times)
    run = replay(
        events, Incremental(OneStep(window, late)), task="rating", warmup=0.4, delay=np.full(len(events), float(window))
    )
    np.testing.assert_allclose(run.scores, said[run.rows], atol=1e-12)


def test_taking_back_and_weights_find_the_truth_where_lessons_as_they_come_do_not():
    rng = np.random.default_rng(1)
    p, n = 0.4, 60_000
    times = np.arange(n)
    late = np.where(rng.random(n) < p, rng.exponential(50, n), np.nan)
    found = {}
    for correction in ("none", "weights", "take back"):
        said = OnlineLogistic(1, step_size=0.002, correction=correction).run(
            at_once(times, late), np.zeros((n, 1), int), times
        )
        found[correction] = said[n // 2 :].mean()
    assert found["none"] == pytest.approx(p / (1 + p), abs=0.01)
    assert found["weights"] == pytest.approx(p, abs=0.01)
    assert found["take back"] == pytest.approx(p, abs=0.01)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"n_weights": 0, "step_size": 0.1}, "n_weights"),
        ({"n_weights": 1, "step_size": 0}, "step_size"),
        ({"n_weights": 1, "step_size": 0.1, "correction": "hope"}, "correction must be one of"),
    ],
)
def test_bad_learners(settings_, message):
    with pytest.raises(ValueError, match=message):
        OnlineLogistic(**settings_)


def test_bad_features():
    told = waiting([1, 2], [np.nan, np.nan], 0)
    model = OnlineLogistic(2, step_size=0.1)
    with pytest.raises(ValueError, match="give \\(n_rows, n_active\\)"):
        model.run(told, [[0]], [1, 2])
    with pytest.raises(ValueError, match="number lies between"):
        model.run(told, [[0], [2]], [1, 2])
    with pytest.raises(ValueError, match="not in the log"):
        model.run(told, [[0]], [1])
