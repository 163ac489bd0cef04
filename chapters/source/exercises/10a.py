# %% [markdown]
# # 10a Exercises: Drift and monitoring
#
# These go with [chapter 10a](../10a_drift_and_monitoring.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
import pandas as pd
from river import drift

from recsys_course import data
from recsys_course.data.bookstore import BookstoreConfig
from recsys_course.drift import first_alarms, page_hinkley_path
from recsys_course.models import RunningMeans
from recsys_course.replay import replay
from recsys_course.strategies import RetrainOnAlarm

# %% [markdown]
# ## 1. Take a change apart
#
# *Objective 1.* `take_apart(chance, A, B)` gets two tables of exposures with columns `user`, `item`, `time`, and a function
# `chance(users, items, times)` that gives true chances of a purchase. `A` and `B` have equally many rows; all times of `A` are equal, and so are those of `B`.
# Return `(concept, covariate)`, the two parts of the change of the mean chance, as in the chapter: concept from the pairs of `A`.


# %% answer="apart"
def take_apart(chance, A, B):
    ### BEGIN SOLUTION
    then = chance(A["user"], A["item"], A["time"]).mean()
    later = chance(A["user"], A["item"], np.full(len(A), B["time"].iloc[0])).mean()
    now = chance(B["user"], B["item"], B["time"]).mean()
    return later - then, now - later
    ### END SOLUTION


# %% check="apart" points=1
def chance(users, items, times):
    return np.asarray(0.1 * users + 0.01 * items + 0.3 * (times > 5) * (items == 1), float)


A = pd.DataFrame({"user": [1, 2, 1], "item": [1, 1, 2], "time": 0})
B = pd.DataFrame({"user": [4, 4, 1], "item": [2, 2, 2], "time": 9})
concept, covariate = take_apart(chance, A, B)
total = (
    chance(B["user"], B["item"], B["time"]).mean()
    - chance(A["user"], A["item"], A["time"]).mean()
)
assert np.isclose(concept + covariate, total), "the two parts must add up to the whole change"
assert np.isclose(concept, 0.2), (
    "concept: the same pairs, those of A, at the time of B minus their own time"
)
assert np.isclose(take_apart(chance, A, A.assign(time=9))[1], 0), (
    "if B shows the pairs of A, nothing is left for the covariate part"
)


# %% wrong="apart"
# The concept part is taken from the pairs of B.
def take_apart(chance, A, B):
    then = chance(A["user"], A["item"], A["time"]).mean()
    now = chance(B["user"], B["item"], B["time"]).mean()
    before = chance(B["user"], B["item"], np.full(len(B), A["time"].iloc[0])).mean()
    return now - before, before - then


# %% wrong="apart"
# All of it is called concept drift.
def take_apart(chance, A, B):
    return (
        chance(B["user"], B["item"], B["time"]).mean()
        - chance(A["user"], A["item"], A["time"]).mean(),
        0.0,
    )


# %% [markdown]
# ## 2. A sum for what falls
#
# *Objective 2.* Sales fall. Write `fall_path(values, mean, delta)`: for a known mean before the change, Page's statistic for a mean that *falls* by $2\delta$,
# after each value. It is never negative, and needs one number of memory.


# %% answer="fall"
def fall_path(values, mean, delta):
    ### BEGIN SOLUTION
    g, path = 0.0, []
    for x in values:
        g = max(0.0, g + mean - x - delta)
        path.append(g)
    return np.array(path)
    ### END SOLUTION


# %% check="fall" points=2
assert np.allclose(fall_path([1.0, 0.0, 0.0, 2.0], 1.0, 0.25), [0, 0.75, 1.5, 0.25]), (
    "by hand: nothing below the mean at first, then 0.75 for each 0, then 1.25 less"
)
rng = np.random.default_rng(0)
values = np.r_[rng.normal(0, 1, 500), rng.normal(-0.6, 1, 300)]
path = fall_path(values, 0.0, 0.3)
search = [
    max(0.0, max((0.0 - values[k : t + 1] - 0.3).sum() for k in range(t + 1))) for t in range(60)
]
assert np.allclose(path[:60], search), (
    "it should be the best sum over all places where the fall may have begun"
)
assert path[-1] > 5 * path[:500].mean() and path.min() >= 0, (
    "the fall must show, and good events must be forgotten at 0"
)


# %% wrong="fall"
# Looks for a rise.
def fall_path(values, mean, delta):
    g, path = 0.0, []
    for x in values:
        g = max(0.0, g + x - mean - delta)
        path.append(g)
    return np.array(path)


# %% wrong="fall"
# Never forgets what was good.
def fall_path(values, mean, delta):
    return np.cumsum(mean - np.asarray(values) - delta)


# %% [markdown]
# ## 3. A budget for false alarms
#
# *Objective 3.* `within_budget(path, still, budget)` gets a function that turns a stream into a statistic after each event (NaN where there is none), an array of still streams,
# one per row, and the number of alarms that you accept *per still stream*, when the statistic begins anew after each alarm: an alarm restarts `path` on the rest of the stream.
# Return the smallest of the thresholds `1, 2, 3, ...` that keeps the mean number of alarms within the budget.


# %% answer="budget"
def within_budget(path, still, budget):
    ### BEGIN SOLUTION
    threshold = 1
    while True:
        alarms = 0
        for stream in still:
            rest = stream
            while len(rest):
                found = first_alarms(path(rest), [threshold])[0]
                alarms += found < len(rest)
                rest = rest[found + 1 :]
        if alarms / len(still) <= budget:
            return threshold
        threshold += 1
    ### END SOLUTION


# %% check="budget" points=2
rng = np.random.default_rng(1)
still = (rng.random((20, 2000)) < 0.2).astype(float)


def hinkley(x):
    return page_hinkley_path(x, delta=0.05, alpha=1.0)


def count(threshold):
    """What River's detector does on these streams."""
    alarms = 0
    for stream in still:
        detector = drift.PageHinkley(threshold=threshold, delta=0.05, alpha=1.0, mode="up")
        for x in stream:
            detector.update(x)
            alarms += detector.drift_detected
    return alarms / len(still)


for budget in (2.0, 0.25):
    chosen = within_budget(hinkley, still, budget)
    assert count(chosen) <= budget, (
        f"with threshold {chosen} River rings {count(chosen)} times a stream, over the budget of {budget}: do you count every alarm, not only the first?"
    )
    assert chosen == 1 or count(chosen - 1) > budget, (
        f"threshold {chosen - 1} would do: start at 1 and take the first that does"
    )


# %% wrong="budget"
# Counts at most one alarm in each stream.
def within_budget(path, still, budget):
    threshold = 1
    while np.mean([np.nanmax(path(stream)) > threshold for stream in still]) > budget:
        threshold += 1
    return threshold


# %% wrong="budget"
# Safe, and far too deaf.
def within_budget(path, still, budget):
    return int(max(np.nanmax(path(stream)) for stream in still)) + 10


# %% [markdown]
# ## 4. Shuffle days, not rows
#
# *Objective 4.* `shuffle_days(errors, timestamps, rng)`: the errors with whole days (UTC) in random order; inside a day the order stays. Timestamps are seconds,
# in order. `rng` is a numpy Generator.


# %% answer="days"
def shuffle_days(errors, timestamps, rng):
    ### BEGIN SOLUTION
    days = np.asarray(timestamps) // 86_400
    pieces = np.split(np.asarray(errors), np.flatnonzero(np.diff(days)) + 1)
    return np.concatenate([pieces[k] for k in rng.permutation(len(pieces))])
    ### END SOLUTION


# %% check="days" points=2
timestamps = np.repeat(np.arange(40), 50) * 86_400 + np.tile(np.arange(50), 40) * 60 + 7
errors = np.arange(2000.0)
mixed = shuffle_days(errors, timestamps, np.random.default_rng(0))
assert len(mixed) == 2000 and np.array_equal(np.sort(mixed), errors), "all errors, each once"
assert (np.diff(mixed.reshape(40, 50), axis=1) == 1).all(), (
    "a day was torn apart, or its order was lost"
)
assert not np.array_equal(mixed, errors), "the days are still in their order"
assert not np.array_equal(mixed, shuffle_days(errors, timestamps, np.random.default_rng(1))), (
    "another generator should give another order"
)


# %% wrong="days"
# Shuffles rows.
def shuffle_days(errors, timestamps, rng):
    return rng.permutation(errors)


# %% wrong="days"
# Shuffles inside the days, which stay where they are.
def shuffle_days(errors, timestamps, rng):
    days = np.asarray(timestamps) // 86_400
    return np.asarray(errors)[np.lexsort((rng.random(len(errors)), days))]


# %% [markdown]
# ## 5. A signal for an incident of your own
#
# *Objective 5.* A crawler has found the shop: from some event on, a share of the exposures goes to *one* user. The label rate hardly moves, and the mix of categories does not.
# Design `crawler_signal(users, window)`: users of all events in order, and a signal, one number for each full window of so many events. The check sets a level on still shops, the highest value in any of
# their windows, and asks that yours passes it in the first window after a crawler takes a tenth of the exposures, and that the signal would be the same if users had other names.


# %% answer="crawler"
def crawler_signal(users, window):
    ### BEGIN SOLUTION
    users = np.asarray(users)
    code = pd.factorize(users)[0][: len(users) // window * window].reshape(-1, window)
    return np.array([np.bincount(part).max() / window for part in code])
    ### END SOLUTION


# %% check="crawler" points=3
config = BookstoreConfig.stationary(n_users=300, n_books=150)
logs = [
    data.bookstore(10_000, rng=np.random.default_rng(s), config=config).events["user"].to_numpy()
    for s in range(6)
]
level = max(np.max(crawler_signal(log, 1000)) for log in logs[:4])
assert len(crawler_signal(logs[0], 1000)) == 10, "one number for each full window"
for log in logs[4:]:
    rng = np.random.default_rng(5)
    crawled = np.where((np.arange(10_000) >= 5000) & (rng.random(10_000) < 0.1), 9_999, log)
    signal = np.asarray(crawler_signal(crawled, 1000))
    assert (signal[5:] > level).all(), (
        f"from the sixth window on a crawler has a tenth of the events, and the signal {signal.round(3)} stays under the still shops' {level:.3f}"
    )
    assert (np.asarray(crawler_signal(log, 1000)) <= 1.3 * level).all(), (
        "it rings where nothing happens"
    )
    renamed = np.random.default_rng(6).permutation(20_000)[crawled]
    assert np.allclose(crawler_signal(renamed, 1000), signal), (
        "the names of users should not matter"
    )


# %% wrong="crawler"
# Looks at the mean of ids.
def crawler_signal(users, window):
    users = np.asarray(users)
    return users[: len(users) // window * window].reshape(-1, window).mean(axis=1)


# %% wrong="crawler"
# Counts how many users there are, and a crawler hardly changes that.
def crawler_signal(users, window):
    users = np.asarray(users)
    return np.array(
        [len(np.unique(users[i : i + window])) for i in range(0, len(users) - window + 1, window)]
    )


# %% [markdown]
# ## 6. Does the alarm hear only what it may?
#
# *Objective 6.* `heard(stream, delay)`: replay the stream with `RetrainOnAlarm`, task "rating", a warm-up of `0.5`, looked at every 10 events, with a detector that never rings but remembers, and labels late by
# `delay` seconds. The model is `RunningMeans()`. Return how many errors the detector had heard by the end. (The strategy copies its detector: look at `strategy.detector` afterwards.)


# %% answer="heard"
def heard(stream, delay):
    ### BEGIN SOLUTION
    class Remembers:
        def __init__(self):
            self.heard, self.drift_detected = [], False

        def update(self, x):
            self.heard.append(x)

    strategy = RetrainOnAlarm(RunningMeans(), Remembers(), every=10)
    replay(stream, strategy, task="rating", warmup=0.5, delay=pd.Timedelta(seconds=delay))
    return len(strategy.detector.heard)
    ### END SOLUTION


# %% check="heard" points=2
stream = pd.DataFrame(
    {"user": 1, "item": np.arange(200) % 7, "label": 3.0, "timestamp": np.arange(200) * 10}
)
assert heard(stream, 0) == 90, (
    "the last block of ten is predicted, and its labels come when nothing is left to predict"
)
assert heard(stream, 200) == 90, (
    "with labels 200 seconds, twenty events, late, the past known at the start is shorter by as much as the end"
)
assert heard(stream.iloc[:150], 0) == 70, (
    "75 are predicted, in blocks of ten: is the last, short block not heard?"
)


# %% wrong="heard"
# Counts what was predicted, not what has arrived.
def heard(stream, delay):
    return len(stream) - len(stream) // 2


# %% wrong="heard"
# Everything arrives at once.
def heard(stream, delay):
    return len(stream)
