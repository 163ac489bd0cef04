# %% [markdown]
# # 05b Exercises: Evaluating a stream
#
# These go with [chapter 05b](../05b_evaluating_a_stream.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.data.bookstore import Bookstore, BookstoreConfig
from recsys_course.metrics.comparisons import holm
from recsys_course.metrics.intervals import group_interval, naive_interval
from recsys_course.metrics.off_policy import (
    effective_sample_size,
    importance_weights,
    ips_value,
    self_normalised_value,
)
from recsys_course.metrics.streams import fading_mean

# %% [markdown]
# ## 1. Two numbers of memory
#
# *Objective 1.* A monitor runs for years and cannot keep the losses. Write a class `FadingMean` that is made with a factor, has a method
# `update(loss)`, and an attribute or property `mean`: the mean with fading of all losses so far. It may keep two numbers besides the factor.


# %% answer="fading"
### BEGIN SOLUTION
class FadingMean:
    def __init__(self, factor):
        self.factor, self.total, self.weight = factor, 0.0, 0.0

    def update(self, loss):
        self.total = loss + self.factor * self.total
        self.weight = 1 + self.factor * self.weight

    @property
    def mean(self):
        return self.total / self.weight


### END SOLUTION


# %% check="fading" points=1
losses = np.random.default_rng(0).normal(2, 1, size=400)
for factor in (0.5, 0.99, 1.0):
    monitor, means = FadingMean(factor), []
    for loss in losses:
        monitor.update(loss)
        means.append(monitor.mean)
    assert np.isclose(means[0], losses[0]), (
        "after one loss the mean is that loss: by what do you divide at the start?"
    )
    assert np.allclose(means, fading_mean(losses, factor)), (
        f"factor {factor}: not what the chapter's formula gives; how is the weight of all losses kept?"
    )
kept = [v for v in vars(monitor).values() if np.ndim(v) > 0 or isinstance(v, (list, dict))]
assert not kept, "keep numbers, not losses"


# %% wrong="fading"
# Begins at zero, and is too low for a long time.
class FadingMean:
    def __init__(self, factor):
        self.factor, self.mean = factor, 0.0

    def update(self, loss):
        self.mean = self.factor * self.mean + (1 - self.factor) * loss


# %% wrong="fading"
# Keeps everything.
class FadingMean:
    def __init__(self, factor):
        self.factor, self.losses = factor, []

    def update(self, loss):
        self.losses.append(loss)

    @property
    def mean(self):
        return fading_mean(self.losses, self.factor)[-1]


# %% [markdown]
# ## 2. Better than the same as last time?
#
# *Objective 2.* Accuracy hides what persistence can do, so measure from there: `skill(events, predictions)` is
# $1 - e/e_0$, where $e$ is the share of events that the predictions get wrong and $e_0$ the share that *the last label of the same user* gets wrong; 0 is no
# better than persistence. The events have columns user, item, label (0 or 1) and timestamp, in time order. Leave out of both shares the events whose user has no earlier
# one. Events of one timestamp must not see each other; a user who had several labels at the last moment counts as 1 if more than half of them were.


# %% answer="skill"
def skill(events, predictions):
    ### BEGIN SOLUTION
    moments = events.groupby(["user", "timestamp"], sort=False)["label"].mean()
    before = moments.groupby(level=0).shift()
    before = before.loc[pd.MultiIndex.from_frame(events[["user", "timestamp"]])].to_numpy()
    known = np.isfinite(before)
    labels = events["label"].to_numpy()[known]
    wrong = np.mean(np.asarray(predictions)[known] != labels)
    return 1 - wrong / np.mean((before[known] > 0.5) != labels)
    ### END SOLUTION


# %% check="skill" points=2
small = pd.DataFrame(
    {
        "user": [1, 1, 2, 1, 2, 1],
        "item": [1, 2, 3, 4, 5, 6],
        "label": [1.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        "timestamp": [1, 1, 2, 3, 3, 4],
    }
)
# Known are the last three; the last labels are 1, 0, 0, of which two are wrong.
assert np.isclose(skill(small, small["label"]), 1), "perfect predictions have a skill of 1"
assert np.isclose(skill(small, [0, 0, 1, 0, 1, 1]), 0.5), (
    "one of three is wrong where persistence has two: do events without a past count, or do events of one timestamp see each other?"
)
tie = small.assign(label=[1.0, 0.0, 0.0, 0.0, 1.0, 1.0])
# The two of user 1 at moment 1 are half and half, which is not more than half: her last label counts as 0.
assert np.isclose(skill(tie, [0, 0, 0, 0, 0, 0]), 0), (
    "half of several labels is not more than half"
)
ratings = data.movielens().events.head(20_000)
ratings = ratings.assign(label=(ratings["label"] >= 4) * 1.0)
always = np.full(len(ratings), round(ratings["label"].mean()))
assert abs(skill(ratings, always)) < 0.2, "on films a constant is about level with the last label"
shuffled = ratings.sample(frac=1, random_state=0).sort_values("timestamp", ignore_index=True)
assert np.isclose(skill(shuffled, always), skill(ratings, always)), (
    "the order of rows within one second changes the result: they see each other"
)


# %% wrong="skill"
# Row by row: events of one second see each other.
def skill(events, predictions):
    before = events.groupby("user")["label"].shift().to_numpy()
    known = np.isfinite(before)
    labels = events["label"].to_numpy()[known]
    wrong = np.mean(np.asarray(predictions)[known] != labels)
    return 1 - wrong / np.mean(before[known] != labels)


# %% wrong="skill"
# The last label of anybody.
def skill(events, predictions):
    before = events["label"].shift().to_numpy()
    known = np.isfinite(before)
    labels = events["label"].to_numpy()[known]
    wrong = np.mean(np.asarray(predictions)[known] != labels)
    return 1 - wrong / np.mean(before[known] != labels)


# %% [markdown]
# ## 3. An A/A test of your own
#
# *Objective 3.* Write `holds_zero(interval, difference, groups, rng, tests)`. `interval(values)` returns something with `low` and `high`. Take the mean off
# the differences, let each group swap its sign by a coin, and return the share of so many tests in which the interval holds zero.


# %% answer="coins"
def holds_zero(interval, difference, groups, rng, tests):
    ### BEGIN SOLUTION
    centred = difference - difference.mean()
    number, names = pd.factorize(groups)
    held = 0
    for _ in range(tests):
        found = interval(centred * rng.choice([-1, 1], size=len(names))[number])
        held += found.low <= 0 <= found.high
    return held / tests
    ### END SOLUTION


# %% check="coins" points=2
rng = np.random.default_rng(1)
groups = np.repeat(np.arange(60), 30)
difference = 0.4 + rng.normal(size=60)[groups] + rng.normal(size=1800)
naive = holds_zero(naive_interval, difference, groups, np.random.default_rng(0), 200)
assert 0.2 < naive < 0.6, (
    f"the naive interval holds zero in {naive:.0%} of tests: does a whole group swap at once, and is the mean off?"
)


def by_groups(values):
    return group_interval(values, groups, rng=np.random.default_rng(2), samples=200)


grouped = holds_zero(by_groups, difference, groups, np.random.default_rng(0), 200)
assert grouped > 0.88, (
    f"resampling groups should hold in about 95 of a hundred, not {grouped:.0%}"
)
rows = holds_zero(naive_interval, difference, np.arange(1800), np.random.default_rng(0), 200)
assert rows > 0.88, "with a coin for each row the naive interval is right"
far = holds_zero(naive_interval, 5 + difference, groups, np.random.default_rng(0), 200)
assert np.isclose(far, naive), (
    "a constant added to all differences must not matter: take the mean off first"
)


# %% wrong="coins"
# A coin for each row.
def holds_zero(interval, difference, groups, rng, tests):
    centred, held = difference - difference.mean(), 0
    for _ in range(tests):
        found = interval(centred * rng.choice([-1, 1], size=len(centred)))
        held += found.low <= 0 <= found.high
    return held / tests


# %% wrong="coins"
# Leaves the mean where it is.
def holds_zero(interval, difference, groups, rng, tests):
    number, names = pd.factorize(groups)
    held = 0
    for _ in range(tests):
        found = interval(difference * rng.choice([-1, 1], size=len(names))[number])
        held += found.low <= 0 <= found.high
    return held / tests


# %% [markdown]
# ## 4. Holm, step by step
#
# *Objective 4.* Without the library: `holm_finds(p, level)` returns, for each p-value, whether it is a find: `True` from the smallest one
# on, until the first that fails its step.


# %% answer="holm"
def holm_finds(p, level):
    ### BEGIN SOLUTION
    p = np.asarray(p)
    finds = np.zeros(len(p), bool)
    for step, k in enumerate(np.argsort(p, kind="stable")):
        if p[k] > level / (len(p) - step):
            break
        finds[k] = True
    return finds
    ### END SOLUTION


# %% check="holm" points=1
assert list(holm_finds([0.04, 0.01, 0.02], 0.05)) == [True, True, True], (
    "0.01 against a third, 0.02 against a half, 0.04 against the whole level: all are finds"
)
assert list(holm_finds([0.01, 0.03, 0.04], 0.05)) == [True, False, False], (
    "0.03 fails against a half of the level; what comes after it is no find, even where it would pass its own step"
)
rng = np.random.default_rng(5)
for _ in range(200):
    p = rng.random(12) ** 3
    assert list(holm_finds(p, 0.05)) == list(holm(p) <= 0.05), "the library disagrees"


# %% wrong="holm"
# Bonferroni: every one against the smallest share.
def holm_finds(p, level):
    return np.asarray(p) <= level / len(p)


# %% wrong="holm"
# Does not stop at the first failure.
def holm_finds(p, level):
    p = np.asarray(p)
    place = np.argsort(np.argsort(p))
    return p <= level / (len(p) - place)


# %% [markdown]
# ## 5. Right if either is right
#
# *Objective 5.* A model of purchases could value a policy without weights: predict, for each reader, what the policy's books would sell. It is as
# good as the model. The *doubly robust* estimate begins there and corrects by the weighted errors on the log,
# $\frac1n\sum_i \big[\,m_i + w_i\,(r_i - \hat r_i)\,\big]$, with $\hat r_i$ the model's prediction for the book that was shown in row $i$, and $m_i = \sum_a \pi(a|x_i)\,\hat r(x_i,a)$.
# Write `doubly_robust(log, policy, model)`; `policy` and `model` are matrices of readers by books. The check tries a good model with right propensities, a bad
# model with right ones, and the true model with wrong ones. The mean is over the rows of the log, each with its own reader.

# %%
config = BookstoreConfig.stationary(
    n_users=200,
    n_books=100,
    new_users_per_day=0,
    new_books_per_day=0,
    events_per_day=3000,
    personalization=1.0,
)
world = Bookstore(np.random.default_rng(7), config)
readers = np.arange(200)
books, logging = world.policy(readers, config.start)
buys = world.p_purchase(readers[:, None], books[None, :], config.start)
logs = [world.day(day) for day in range(40)]
noise = np.random.default_rng(8).normal(0, 0.5, size=buys.shape)
good = 1 / (1 + np.exp(-(np.log(buys / (1 - buys)) + noise)))
rank = (-good).argsort(axis=1).argsort(axis=1)
ten_best = (rank < 10) / 10


# %% answer="robust"
def doubly_robust(log, policy, model):
    ### BEGIN SOLUTION
    user, item = log["user"].to_numpy(), log["item"].to_numpy()
    w = importance_weights(policy[user, item], log["propensity"])
    direct = (policy * model).sum(axis=1)[user]
    return np.mean(direct + w * (log["label"].to_numpy() - model[user, item]))
    ### END SOLUTION


# %% check="robust" points=3
def errors(estimate):
    truth = (ten_best * buys).sum(axis=1)
    return np.array([estimate(log) - truth[log["user"]].mean() for log in logs])


def plain(log):
    target = ten_best[log["user"], log["item"]]
    return ips_value(log["label"], importance_weights(target, log["propensity"]))


bad = np.full_like(buys, 0.3)
of_good = errors(lambda log: doubly_robust(log, ten_best, good))
of_bad = errors(lambda log: doubly_robust(log, ten_best, bad))
of_ips = errors(plain)
assert abs(of_bad.mean()) < 0.03, (
    "with right propensities even a bad model should give no bias: is its error weighted and added?"
)
assert abs(of_good.mean()) < 0.02, "a good model and right propensities: there should be no bias"
assert of_good.std() < 0.8 * of_ips.std(), (
    "a good model should leave less spread than the weights alone: is m the sum over the new policy's books?"
)
exact = errors(
    lambda log: doubly_robust(
        log.assign(propensity=np.minimum(1, 2 * log["propensity"])), ten_best, buys
    )
)
assert abs(exact.mean()) < 0.02, "with the true model wrong propensities should do no harm"
few = logs[0][logs[0]["user"] < 20]  # a log of some readers: others have no part in its mean
expected = (ten_best * buys).sum(axis=1)[few["user"]].mean()
correction = importance_weights(ten_best[few["user"], few["item"]], few["propensity"]) * (
    few["label"] - buys[few["user"], few["item"]]
)
assert np.isclose(doubly_robust(few, ten_best, buys), expected + correction.mean()), (
    "on a log of some readers the mean is over its rows, not over all readers"
)


# %% wrong="robust"
# The model alone.
def doubly_robust(log, policy, model):
    return (policy * model).sum(axis=1)[log["user"]].mean()


# %% wrong="robust"
# The weights alone.
def doubly_robust(log, policy, model):
    target = policy[log["user"], log["item"]]
    return ips_value(log["label"], importance_weights(target, log["propensity"]))


# %% wrong="robust"
# Starts from what the model says of the books that were shown.
def doubly_robust(log, policy, model):
    user, item = log["user"].to_numpy(), log["item"].to_numpy()
    w = importance_weights(policy[user, item], log["propensity"])
    return np.mean(model[user, item] + w * (log["label"].to_numpy() - model[user, item]))


# %% [markdown]
# ## 6. A policy that a log can judge
#
# *Objective 5.* Design `my_policy(logging, scores)`: from the present policy and a model's scores, both of readers by books, make a new policy of the same shape, each row
# adding up to 1. It should sell at least a third more than the present one, and the log should be able to tell: an effective
# sample size of at least a fifth of the rows. There is more than one way.


# %% answer="policy"
def my_policy(logging, scores):
    ### BEGIN SOLUTION
    # Tilt the present policy towards what the model likes: the weights stay bounded by the tilt.
    tilted = logging * np.exp(3.0 * scores)
    return tilted / tilted.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %% check="policy" points=3
mine = np.asarray(my_policy(logging.copy(), good.copy()))
assert mine.shape == logging.shape and (mine >= 0).all(), "a chance for each reader and book"
assert np.allclose(mine.sum(axis=1), 1), "the chances of a reader do not add up to 1"
sells, today = (mine * buys).sum(axis=1).mean(), (logging * buys).sum(axis=1).mean()
assert sells > 1.33 * today, (
    f"sells {sells:.3f} per exposure, today's {today:.3f}: lean more on the scores"
)
sizes, told = [], []
for log in logs:
    w = importance_weights(mine[log["user"], log["item"]], log["propensity"])
    sizes.append(effective_sample_size(w) / len(log))
    told.append(self_normalised_value(log["label"], w))
assert np.median(sizes) > 0.2, (
    f"the log is worth {np.median(sizes):.0%} of its rows for this policy: stay nearer to the present one"
)
assert abs(np.mean(told) - sells) < 0.03, "the log's estimate is off"


# %% wrong="policy"
# The best book for each reader: it sells, but no log can tell.
def my_policy(logging, scores):
    return (scores == scores.max(axis=1, keepdims=True)).astype(float)


# %% wrong="policy"
# Nearly what is done today: the log can tell that it sells no more.
def my_policy(logging, scores):
    return 0.9 * logging + 0.1 / logging.shape[1]
