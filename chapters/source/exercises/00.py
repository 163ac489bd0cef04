# %% [markdown]
# # 00 Exercises: Start here
#
# These go with [chapter 00](../00_start_here.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.events import split_at, without_label
from recsys_course.metrics import rmse
from recsys_course.metrics.intervals import group_interval, naive_interval
from recsys_course.models import MatrixFactorization, RunningMeans
from recsys_course.replay import replay
from recsys_course.report import quality
from recsys_course.strategies import Frozen, Incremental, PeriodicRetrain, Strategy

movielens = data.movielens()
events = movielens.events


def new_model(seed=0):
    return MatrixFactorization(
        n_factors=16,
        step_size=0.05,
        regularization=0.1,
        epochs=10,
        label_range=movielens.card.label_range,
        rng=np.random.default_rng(seed),
    )


# %% [markdown]
# ## 1. Change the interval
#
# *Objective 3.* Write `error_and_cost(every)`, which replays `events` as the chapter does, under incremental updates
# every so many events, and returns two numbers: the RMSE, and the examples learned per scored event
# (`result.cost.examples` is their total). Then look at
# what happens between an update after each event and one after each ten thousand.


# %% answer="interval"
def error_and_cost(every):
    ### BEGIN SOLUTION
    result = replay(events, Incremental(new_model(), every=every), task="rating", warmup=0.4)
    return rmse(result.labels, result.scores), result.cost.examples / len(result.rows)
    ### END SOLUTION


# %% check="interval" points=1
fast, slow = error_and_cost(1), error_and_cost(10_000)
assert len(fast) == 2, "return two numbers: the RMSE and the examples per event"
assert 0.84 < fast[0] < 0.86, (
    f"with every=1 the RMSE should be that of the chapter's table, not {fast[0]:.3f}"
)
assert slow[0] > fast[0] + 0.1, (
    "a longer interval should give a larger error: do you pass every on?"
)
assert 0.8 < slow[1] <= fast[1] <= 1, (
    "divide the examples learned by the number of scored events: at most one each"
)


# %% wrong="interval"
# Forgets to pass the interval on.
def error_and_cost(every):
    result = replay(events, Incremental(new_model(), every=1), task="rating", warmup=0.4)
    return rmse(result.labels, result.scores), result.cost.examples / len(result.rows)


# %% wrong="interval"
# Counts the first fit, and so makes every strategy look as dear as the next.
def error_and_cost(every):
    result = replay(events, Incremental(new_model(), every=every), task="rating", warmup=0.4)
    return rmse(result.labels, result.scores), (400_020 + result.cost.examples) / len(result.rows)


# %% [markdown]
# ## 2. The retraining loop by hand
#
# *Objective 2.* The chapter writes out the loop for learning from each event. Write the one for retraining: a
# function `retraining_loop(past, stream, interval)` that returns one prediction per row of `stream`. It starts with a
# model fitted on `past`. It goes through the stream in blocks of `interval` rows; after each block it fits a *new*
# model on everything before the next block, the past included. Timestamps in this stream all differ, so you need not
# mind ties.

# %%
calm = events.drop_duplicates("timestamp", ignore_index=True).head(20_000)
calm_past, calm_stream = split_at(calm, 0.9)


# %% answer="retraining"
def retraining_loop(past, stream, interval):
    ### BEGIN SOLUTION
    model = new_model().fit(past)
    predictions = []
    for first in range(0, len(stream), interval):
        if first > 0:
            model = new_model().fit(pd.concat([past, stream.iloc[:first]]))
        predictions.extend(model.predict(without_label(stream.iloc[first : first + interval])))
    return np.array(predictions)
    ### END SOLUTION


# %% check="retraining" points=2
by_hand = retraining_loop(calm_past, calm_stream, 500)
by_replay = replay(
    calm, PeriodicRetrain(new_model(), every=500), task="rating", warmup=0.9
).scores
assert len(by_hand) == len(calm_stream), "give one prediction for each row of the stream"
assert np.allclose(by_hand[:500], by_replay[:500]), (
    "the first block is predicted by a model fitted on the past alone"
)
assert np.allclose(by_hand, by_replay), (
    "after a block, fit on the past and all blocks so far, and on nothing later"
)


# %% wrong="retraining"
# Fits on the block that it is about to predict: learns before it predicts.
def retraining_loop(past, stream, interval):
    predictions = []
    for first in range(0, len(stream), interval):
        model = new_model().fit(pd.concat([past, stream.iloc[: first + interval]]))
        predictions.extend(model.predict(without_label(stream.iloc[first : first + interval])))
    return np.array(predictions)


# %% wrong="retraining"
# Fits on the last block alone and forgets the past.
def retraining_loop(past, stream, interval):
    model = new_model().fit(past)
    predictions = []
    for first in range(0, len(stream), interval):
        if first > 0:
            model = new_model().fit(stream.iloc[first - interval : first])
        predictions.extend(model.predict(without_label(stream.iloc[first : first + interval])))
    return np.array(predictions)


# %% [markdown]
# ## 3. What is the rule for equal timestamps worth?
#
# *Objective 2.* On MovieLens few events share their second. Suppose the log kept hours only: then everything that
# happens in one hour happens "at once". Write `flattery(table)`, which returns by how much the RMSE of per-event
# learning on `table` becomes *smaller* when the rule is broken, that is, when events of one instant are learned one
# after the other in the order of the rows. One way to break it: give each row a timestamp of its own.

# %%
by_the_hour = events.assign(timestamp=events["timestamp"] // 3600 * 3600)


# %% answer="ties"
def flattery(table):
    ### BEGIN SOLUTION
    def error(t):
        return quality(replay(t, Incremental(new_model(), every=1), task="rating", warmup=0.4))

    return error(table) - error(table.assign(timestamp=np.arange(len(table))))
    ### END SOLUTION


# %% check="ties" points=2
worth = flattery(by_the_hour)
assert 0.05 < worth < 0.08, (
    f"breaking the rule makes the error look smaller, by a few hundredths of a star; you found {worth:.4f}"
)
assert abs(flattery(events)) < 0.005, (
    "with seconds in the log, hardly any events are tied, so little can be gained"
)


# %% wrong="ties"
# Shuffles nothing and breaks nothing: the copy still has its ties.
def flattery(table):
    def error(t):
        return quality(replay(t, Incremental(new_model(), every=1), task="rating", warmup=0.4))

    return error(table) - error(table.copy())


# %% wrong="ties"
# Has the sign the wrong way round.
def flattery(table):
    def error(t):
        return quality(replay(t, Incremental(new_model(), every=1), task="rating", warmup=0.4))

    return error(table.assign(timestamp=np.arange(len(table)))) - error(table)


# %% [markdown]
# ## 4. An honest interval
#
# *Objective 4.* Write `bootstrap_by_user(values, users, rng)`, which returns the lower and upper end of a 95 %
# interval for the mean of `values`: draw as many users as there are, with replacement, take the mean over all rows of
# the drawn users (a user drawn twice counts twice), do this five hundred times, and return the quantiles `0.025` and
# `0.975` of the means.

# %%
frozen, online = (
    replay(events, strategy, task="rating", warmup=0.4)
    for strategy in (Frozen(new_model()), Incremental(new_model()))
)
differences = (online.labels - online.scores) ** 2 - (frozen.labels - frozen.scores) ** 2


# %% answer="interval-by-user"
def bootstrap_by_user(values, users, rng):
    ### BEGIN SOLUTION
    number, names = pd.factorize(users)
    sums, sizes = np.bincount(number, weights=values), np.bincount(number)
    means = []
    for _ in range(500):
        drawn = rng.integers(len(names), size=len(names))
        means.append(sums[drawn].sum() / sizes[drawn].sum())
    return tuple(np.quantile(means, [0.025, 0.975]))
    ### END SOLUTION


# %% check="interval-by-user" points=2
low, high = bootstrap_by_user(differences, online.users, np.random.default_rng(0))
library = group_interval(differences, online.users, rng=np.random.default_rng(1))
naive = naive_interval(differences)
assert low < differences.mean() < high, "the interval should hold the mean itself"
assert high - low > 3 * (naive.high - naive.low), "too narrow: resample whole users, not rows"
assert 0.8 < (high - low) / (library.high - library.low) < 1.25, (
    "the library's interval has another width: weigh users by rows"
)
uneven = np.repeat([1.0, 0.0], [900, 100]), np.append(np.arange(900) % 2, np.arange(2, 102))
assert bootstrap_by_user(*uneven, np.random.default_rng(0))[1] > 0.9, (
    "two users with hundreds of rows each should weigh more than a hundred users with one: take the mean over rows"
)
again = bootstrap_by_user(differences, online.users, np.random.default_rng(0))
assert (low, high) == tuple(again), (
    "the same generator should give the same interval: draw from rng alone"
)


# %% wrong="interval-by-user"
# Resamples rows.
def bootstrap_by_user(values, users, rng):
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(500)]
    return tuple(np.quantile(means, [0.025, 0.975]))


# %% wrong="interval-by-user"
# Averages the users' means: a user with three ratings weighs as much as one with a thousand.
def bootstrap_by_user(values, users, rng):
    means_of_users = pd.Series(values).groupby(users).mean().to_numpy()
    n = len(means_of_users)
    means = [means_of_users[rng.integers(n, size=n)].mean() for _ in range(500)]
    return tuple(np.quantile(means, [0.025, 0.975]))


# %% [markdown]
# ## 5. A strategy of your own
#
# *Objective 3.* A strategy is a class with a few methods: `start` is given the past, `predict` a block of events
# without their labels, and `update` the labels that have arrived, every `update_every` events. Suppose your service
# can learn only after each hundred events. Write a strategy `Mine` whose RMSE is smaller by at least 0.003 than that
# of one pass of the factorisation over each hundred, and which learns at most five examples per event. How is up to
# you: more passes, older events again, another model, two models. More is not always better, so measure.
#
# The module `recsys_course/strategies.py` is short, and reading it is part of the exercise. Report what you learned
# in `examples_learned`, as the strategies there do.


# %% answer="own-strategy"
class Mine(Strategy):
    name = "mine"
    update_every = 100

    ### BEGIN SOLUTION
    # Two models that err differently: the mean of their predictions errs less than either.
    def start(self, history):
        super().start(history)
        self.counting = RunningMeans(forget=0.05).fit(history)

    def predict(self, events):
        return (self.model.predict(events) + self.counting.predict(events)) / 2

    def update(self, arrived):
        self.model.update(arrived)
        self.counting.update(arrived)

    @property
    def examples_learned(self):
        return self.model.examples_learned + self.counting.examples_learned

    ### END SOLUTION


# %% check="own-strategy" points=3
mine = replay(events, Mine(new_model()), task="rating", warmup=0.4)
one_pass = replay(events, Incremental(new_model(), every=100), task="rating", warmup=0.4)
assert Mine.update_every == 100, "the service can learn only after each hundred events"
assert 0 < mine.cost.examples <= 5 * len(mine.rows), (
    "learn at least something, and at most five examples per event"
)
assert quality(mine) < quality(one_pass) - 0.003, (
    f"one pass has an RMSE of {quality(one_pass):.4f}, yours {quality(mine):.4f}: what else can be done with a hundred?"
)
poisoned = events.copy()
poisoned.loc[80_000:, "label"] = 0.5
unmoved = replay(poisoned, Mine(new_model()), task="rating", warmup=0.4).scores[
    : 80_000 - mine.rows[0]
]
assert np.array_equal(unmoved, mine.scores[: len(unmoved)]), (
    "labels of the future move your predictions: you look ahead"
)


# %% wrong="own-strategy"
# One pass, as the library does it.
class Mine(Strategy):
    name = "mine"
    update_every = 100

    def update(self, arrived):
        self.model.update(arrived)


# %% wrong="own-strategy"
# More passes over the new events: they cost more and hardly help.
class Mine(Strategy):
    name = "mine"
    update_every = 100

    def update(self, arrived):
        for _ in range(3):
            self.model.update(arrived)
