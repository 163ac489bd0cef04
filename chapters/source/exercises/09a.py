# %% [markdown]
# # 09a Exercises: When should updating pay?
#
# These go with [chapter 09a](../09a_when_updating_pays.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.events import split_at
from recsys_course.metrics.intervals import block_interval, naive_interval, user_interval
from recsys_course.models import SGD, NeuralNetwork, RunningMeans
from recsys_course.replay import replay
from recsys_course.strategies import Frozen, Incremental

# %% [markdown]
# ## 1. What will it learn?
#
# *Objective 1.* Write `examples(n, every, passes, rehearse)`: how many examples an incremental strategy learns over `n` scored events with different
# timestamps, before it has run. The last shard arrives too late to be learned.


# %% answer="examples"
def examples(n, every, passes=1, rehearse=0):
    ### BEGIN SOLUTION
    shards_learned = (n - 1) // every
    return shards_learned * every * passes * (1 + rehearse)
    ### END SOLUTION


# %% check="examples" points=1
stream = pd.DataFrame({"user": np.arange(1000) % 7, "item": np.arange(1000) % 5, "label": 3.0})
stream["timestamp"] = np.arange(1000)
for every, passes, rehearse in ((1, 1, 0), (50, 1, 0), (50, 3, 0), (70, 2, 4), (600, 1, 0)):
    strategy = Incremental(
        RunningMeans(),
        every=every,
        passes=passes,
        rehearse=rehearse,
        rng=np.random.default_rng(0),
    )
    learned = replay(stream, strategy, task="rating", warmup=0.4).cost.examples
    assert examples(600, every, passes, rehearse) == learned, (
        f"every={every}, passes={passes}, rehearse={rehearse}: the replay learned {learned}. Is the last shard left "
        "out, and are old events drawn anew in each pass?"
    )


# %% wrong="examples"
# Counts the last shard.
def examples(n, every, passes=1, rehearse=0):
    return n * passes * (1 + rehearse)


# %% wrong="examples"
# Rehearses once for all passes.
def examples(n, every, passes=1, rehearse=0):
    return (n - 1) // every * every * (passes + rehearse)


# %% [markdown]
# ## 2. The best window, exactly
#
# *Objective 2.* Write `best_window(q, sigma)`: the whole number $n \geq 1$ with the least excess of the mean of the latest $n$ labels, when one number walks with standard deviation `q` per event under noise `sigma`.
# Use the exact sum of the chapter, not its approximation: it must be right in fast worlds, too.


# %% answer="window"
def best_window(q, sigma):
    ### BEGIN SOLUTION
    n = np.arange(1, int(4 * sigma / q) + 10)
    excess = sigma**2 / n + q**2 * (n + 1) * (2 * n + 1) / (6 * n)
    return int(n[excess.argmin()])
    ### END SOLUTION


# %% check="window" points=1
assert abs(best_window(0.001, 1.0) - 1732) <= 2, (
    "in a slow world it is close to the square root of three times sigma / q"
)
assert best_window(0.002, 2.0) == best_window(0.001, 1.0), "only the ratio of q and sigma counts"
assert best_window(3.0, 1.0) == 1, (
    "where the walk is faster than the noise, only the latest label counts"
)
rng = np.random.default_rng(0)
truth = np.cumsum(1.25 * rng.normal(size=(60_000,)))
labels = truth + rng.normal(size=60_000)
sums = np.r_[0, np.cumsum(labels)]
t = np.arange(50, 60_000)
measured = [((truth[t] - (sums[t] - sums[t - n]) / n) ** 2).mean() for n in range(1, 8)]
assert best_window(1.25, 1.0) == 1 + int(np.argmin(measured)), (
    "with q = 1.25 sigma a simulation finds another window: did you use the approximation for large n?"
)


# %% wrong="window"
# Upside down.
def best_window(q, sigma):
    return max(1, round(np.sqrt(3) * q / sigma))


# %% wrong="window"
# The approximation for large n.
def best_window(q, sigma):
    return max(1, round(np.sqrt(3) * sigma / q))


# %% wrong="window"
# The memory of the best constant step.
def best_window(q, sigma):
    return max(1, round(sigma / q))


# %% [markdown]
# ## 3. How long may it take?
#
# *Objective 3.* On a random walk a stream has `N` scored events and labels that are `D` events late. Write `longest_interval(N, keep, D)`: the largest interval $T$ that keeps at least the share `keep` of what
# per event without delay would gain over frozen, by the exact formula of the chapter; 0 if even $T=1$ does not.


# %% answer="longest"
def longest_interval(N, keep, D=0):
    ### BEGIN SOLUTION
    T = int(np.floor((1 - keep) * (N - 1) + 1e-9)) + 1 - 2 * D
    return max(T, 0)
    ### END SOLUTION


# %% check="longest" points=1
for N, keep, D in ((10_002, 0.9, 0), (10_002, 0.9, 300), (5000, 0.5, 100), (777, 0.99, 0)):
    T = longest_interval(N, keep, D)

    def share(T, N=N, D=D):
        return 1 - (T - 1 + 2 * D) / (N - 1)

    assert share(T) >= keep - 1e-9, (
        f"N={N}, keep={keep}, D={D}: an interval of {T} keeps {share(T):.4f} only"
    )
    assert share(T + 1) < keep, (
        f"N={N}, keep={keep}, D={D}: {T + 1} would keep {share(T + 1):.4f}, too"
    )
assert longest_interval(1000, 0.95, 100) == 0, "a delay may be too long for any interval"


# %% wrong="longest"
# Forgets the delay.
def longest_interval(N, keep, D=0):
    return int((1 - keep) * (N - 1) + 1e-9) + 1


# %% wrong="longest"
# A label that is late by D counts only half.
def longest_interval(N, keep, D=0):
    return max(int((1 - keep) * (N - 1) + 1e-9) + 1 - D, 0)


# %% [markdown]
# ## 4. An interval for a share
#
# *Objective 4.* Write `share(frozen, run, online, users, rng)` for three arrays of losses per event: return `(share, low, high)`, the share of the gain that `run` keeps with the wider of the two intervals, over users and over blocks.
# The share is a ratio, and *both* of its means vary.


# %% answer="share"
def share(frozen, run, online, users, rng):
    ### BEGIN SOLUTION
    gain = (frozen - online).mean()
    kept = (frozen - run).mean() / gain
    residual = ((frozen - run) - kept * (frozen - online)) / gain
    both = user_interval(residual, users, rng=rng), block_interval(residual, rng=rng)
    widest = max(both, key=lambda i: i.high - i.low)
    return kept, kept + widest.low, kept + widest.high
    ### END SOLUTION


# %% check="share" points=2
rng = np.random.default_rng(0)
users = np.repeat(rng.permutation(200), 20)
per_user = np.repeat(rng.gamma(1.0, 1.0, 200), 20)  # what there is to gain differs between users
online = rng.gamma(2.0, 0.5, 4000)
frozen = online + per_user
exactly_half = online + 0.5 * per_user
kept, low, high = share(frozen, exactly_half, online, users, np.random.default_rng(1))
assert np.isclose(kept, 0.5), "it keeps half of the gain of each user"
assert high - low < 1e-6, (
    "half is kept for every user, so the ratio does not vary at all, though both of its means do"
)
own = rng.normal(0.5, 0.6, 200)
mixed = online + (1 - own)[users] * 1.0
kept, low, high = share(online + 1.0, mixed, online, users, np.random.default_rng(1))
honest = 2 * 1.96 * own.std() / np.sqrt(200)
assert 0.8 < (high - low) / honest < 1.3, (
    "two hundred users differ, twenty rows of each go together: the interval has another width"
)
assert low < kept < high, "the interval should hold the share"


# %% wrong="share"
# Takes rows for independent.
def share(frozen, run, online, users, rng):
    gain = (frozen - online).mean()
    kept = (frozen - run).mean() / gain
    residual = ((frozen - run) - kept * (frozen - online)) / gain
    i = naive_interval(residual)
    return kept, kept + i.low, kept + i.high


# %% wrong="share"
# Takes the gain for known.
def share(frozen, run, online, users, rng):
    gain = (frozen - online).mean()
    i = user_interval((frozen - run) / gain, users, rng=rng)
    return i.mean, i.low, i.high


# %% [markdown]
# ## 5. Strangers
#
# *Objective 5.* Write `strangers(events, start, every)`: the share of the rows from `start` on whose user is in none of the rows that a model updated per `every` events has learned by then. All timestamps
# differ, so shards begin at `start`, `start + every`, and so on.


# %% answer="strangers"
def strangers(events, start, every):
    ### BEGIN SOLUTION
    rows = np.arange(len(events))
    first = events.groupby("user")["timestamp"].transform("idxmin").to_numpy()
    shard = start + (rows - start) // every * every
    return float((first >= shard)[start:].mean())
    ### END SOLUTION


# %% check="strangers" points=2
films = data.movielens().events.drop_duplicates("timestamp").head(20_000).reset_index(drop=True)


def slowly(events, start, every):
    met, count = set(events["user"].iloc[:start]), 0
    for begin in range(start, len(events), every):
        shard = events["user"].iloc[begin : begin + every]
        count += sum(user not in met for user in shard)
        met |= set(shard)
    return count / (len(events) - start)


for every in (1, 30, 1000, 12_000):
    assert np.isclose(strangers(films, 8000, every), slowly(films, 8000, every)), (
        f"every={every}: nothing of a shard is learned before all of it is predicted, and what came before `start` is known"
    )


# %% wrong="strangers"
# Learns each row at once.
def strangers(events, start, every):
    return float((~events["user"].duplicated())[start:].mean())


# %% wrong="strangers"
# Forgets that the past was learned, too.
def strangers(events, start, every):
    future = events.iloc[start:]
    rows = np.arange(len(future))
    first = pd.Series(rows).groupby(future["user"].to_numpy()).transform("min").to_numpy()
    return float((first >= rows // every * every).mean())


# %% [markdown]
# ## 6. Design your own: counters
#
# *Objective 6.* Write `counters(events)`: at most six columns of finite numbers, one row per event, that feed a frozen *linear* model of ratings (it sees nothing else: no ids). Each row may use what came strictly before its timestamp, and
# must not look at anything later, nor at its own label. The linear model is fitted on the first two fifths and never again, so your columns have to bring all that is new. Over forty thousand ratings it should end below an RMSE of `1.03`: a constant ends at about `1.13`, counters that are stopped
# with the past at about `1.08`, the running means, updated per event, at about `0.98`. `WindowFeatures` helps, and so does a loop.


# %% answer="counters"
def counters(events):
    ### BEGIN SOLUTION
    columns = np.zeros((len(events), 4))
    sums, counts = ({}, {}), ({}, {})
    rows = events[["user", "item", "label", "timestamp"]].itertuples(index=False)
    waiting, now = [], None
    for k, (user, item, label, time) in enumerate(rows):
        if time != now:
            for ids, value in waiting:
                for who, name in enumerate(ids):
                    sums[who][name] = sums[who].get(name, 0.0) + value
                    counts[who][name] = counts[who].get(name, 0) + 1
            waiting, now = [], time
        for who, name in enumerate((user, item)):
            n = counts[who].get(name, 0)
            columns[k, 2 * who] = sums[who].get(name, 0.0) / (n + 3)
            columns[k, 2 * who + 1] = n / (n + 3)
        waiting.append(((user, item), label - 3.5))
    return pd.DataFrame(columns, index=events.index, columns=["u", "un", "i", "in"])
    ### END SOLUTION


# %% check="counters" points=3
films = data.movielens().events.head(40_000)
columns = counters(films)
assert columns.shape[0] == len(films) and 1 <= columns.shape[1] <= 6, (
    "one row per event, one to six columns"
)
assert np.isfinite(columns.to_numpy()).all(), "a user without a past needs a number, too"
poisoned = films.copy()
at = films["timestamp"].iloc[30_000]
poisoned.loc[poisoned["timestamp"] >= at, "label"] = 0.5
until = (films["timestamp"] <= at).to_numpy()
assert np.allclose(counters(poisoned).to_numpy()[until], columns.to_numpy()[until]), (
    "labels at and after a moment were changed, and a row of that moment or before noticed: something looks ahead"
)
names = [f"c{k}" for k in range(columns.shape[1])]
table = films.assign(**dict(zip(names, columns.to_numpy().T, strict=True)))
linear = NeuralNetwork(
    (),
    n_factors=0,
    features=names,
    optimizer=SGD(0.05),
    epochs=10,
    label_range=(0.5, 5.0),
    rng=np.random.default_rng(0),
)
run = replay(table, Frozen(linear), task="rating", warmup=0.4)
error = np.sqrt(((run.labels - run.scores) ** 2).mean())
assert error < 1.03, (
    f"RMSE {error:.3f}: are your counters fresh, and shrunken where there are few labels?"
)


# %% wrong="counters"
# Stops counting when the past ends.
def counters(events):
    past, _ = split_at(events, 0.4)
    above = past["label"] - past["label"].mean()
    user = above.groupby(past["user"]).sum() / (past.groupby("user").size() + 3)
    item = above.groupby(past["item"]).sum() / (past.groupby("item").size() + 3)
    return pd.DataFrame(
        {"u": events["user"].map(user).fillna(0.0), "i": events["item"].map(item).fillna(0.0)}
    )


# %% wrong="counters"
# The mean of a user includes the row that is to be predicted.
def counters(events):
    above = events["label"] - 3.5
    n = events.groupby("user").cumcount() + 1
    return pd.DataFrame({"u": above.groupby(events["user"]).cumsum() / (n + 3)})
