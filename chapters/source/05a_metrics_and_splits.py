# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05a Metrics and splits
#
# **What you will be able to do.**
#
# 1. Compute each common metric by hand, and say what it does not see.
# 2. Decide what a metric does with equal scores, with users who have nothing to find, and with lists longer than the catalogue.
# 3. Measure by how much a random split flatters a model, say why, and validate in time order.
# 4. Tell whether a smaller RMSE buys a better list.
# 5. Recognise a sampled metric, and show that it can turn a ranking around.
#
# **What you need.** Chapter 00 for replay and for intervals that resample users, chapter 01 for rankings.
#
# **Time.** 45 minutes to read, half a minute to run.
#
# **Sections of the source.** A3.2 step 4, A9.1, A9.2 and B concepts 4.
#
# ## Two models, and a week to build one of them
#
# A film service may put one of two models into production: one counts, the other factorises. You hold back a fifth of the
# ratings at random, fit both on the rest and compare. The factorisation wins, in each of five repetitions, and an honest
# interval says that this is no luck. So it is built, goes live, and both err more than was promised, the factorisation not a bit less than counting.
#
# Nothing was programmed wrongly. Most of an evaluation is decided before any model is fitted: what counts as
# good, on which rows, against which rivals. The source says to choose suitable metrics by what the business needs, such as accuracy, recall and $F_1$, and to cross-validate (A3.2 step 4). This chapter asks on real streams what
# each of these would choose, and whether time agrees.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn.metrics as sk

from recsys_course import data, plot
from recsys_course.events import sort_events, split_at
from recsys_course.metrics import classification, log_loss, mae, ranking, rmse, user_interval
from recsys_course.models import ImplicitFactorization, MatrixFactorization, RunningMeans

plot.use_style()
"ready"

# %% [markdown]
# ## Five items: decisions
#
# Five films were offered to one person. She liked the first and the third; a model gave each a probability. Whoever wants *decisions* needs a
# threshold, here one half. Then there are four cases: a yes said that is true (TP) or false (FP), a no said that is false (FN) or true (TN).
#
# $$\text{accuracy} = \frac{TP+TN}{n} \qquad \text{precision} = \frac{TP}{TP+FP} \qquad \text{recall} = \frac{TP}{TP+FN} \qquad F_1 = \frac{2\,TP}{2\,TP+FP+FN}$$
#
# Accuracy asks how often the model was right. It is of no use where one answer is rare. Precision asks how many of the offered
# films were liked, recall how many of the liked ones were offered; each is easy to raise alone. $F_1$, their harmonic mean, is low when either is.

# %%
y = np.array([1, 0, 1, 0, 0])
p = np.array([0.9, 0.8, 0.6, 0.3, 0.1])
said = (p >= 0.5).astype(int)

TP, FP, FN, TN = 2, 1, 0, 2
by_hand = {
    "accuracy": (TP + TN) / 5,
    "precision": TP / (TP + FP),
    "recall": TP / (TP + FN),
    "f1": 2 * TP / (2 * TP + FP + FN),
}
assert classification.confusion(y, said) == (TP, FP, FN, TN)
for name, value in by_hand.items():
    assert np.isclose(value, getattr(classification, name)(y, said))
    assert np.isclose(value, getattr(sk, f"{name}_score")(y, said))
pd.Series(by_hand).round(3).to_frame("by hand, library, scikit-learn")

# %% [markdown]
# Where nothing was said, precision is $0/0$. scikit-learn answers 0 and warns; the course's answer is NaN, no value. And a probability
# is no decision: the source's listing compares the two for equality (chapter 04a runs it). The library refuses.

# %%
assert np.isnan(classification.precision(y, np.zeros(5)))
try:
    classification.accuracy(y, p)
except ValueError as error:
    print(f"ValueError: {error}")
print("compared for equality, as the source does:", (p == y).mean())

# %% [markdown]
# ## Five items: order and distance
#
# **AUC** needs no threshold. It is the chance that a liked film is scored above one that was not, equal scores counting one half.
# It sees order, and nothing but order, over *all* pairs: whether the mistake is at the top, which is seen, or at the bottom, which nobody sees,
# is the same to it. The loop over pairs is its definition; ranks give the same without the loop.

# %%
pairs = [(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]]
auc = np.mean(pairs)
assert auc == 5 / 6
assert np.isclose(classification.auc(y, p), auc) and np.isclose(sk.roc_auc_score(y, p), auc)
assert np.isclose(classification.auc(y, p**9), auc), "the same order, other probabilities"
print(f"AUC {auc:.3f}, from {len(pairs)} pairs")

# %% [markdown]
# **Log loss, RMSE and MAE** measure a distance between what was said and what came. With $\hat y$ the prediction,
#
# $$\text{log loss} = -\frac1n\sum \big(y\ln\hat y + (1-y)\ln(1-\hat y)\big)\qquad \text{RMSE} = \sqrt{\frac1n\sum(y-\hat y)^2}\qquad \text{MAE} = \frac1n\sum|y-\hat y|$$
#
# RMSE fears large errors, MAE does not: the best constant for the first is the mean of the labels, for the second their median. **Calibration**
# asks whether of all cases given 30 % three in ten happen. Its *expected error* sorts the probabilities into bins and averages the distance between said and happened,
# weighted by rows [@guo2017].

# %%
by_hand = {
    "log loss": -np.mean(np.log([0.9, 1 - 0.8, 0.6, 1 - 0.3, 1 - 0.1])),
    "RMSE": np.sqrt(np.mean([0.1**2, 0.8**2, 0.4**2, 0.3**2, 0.1**2])),
    "MAE": np.mean([0.1, 0.8, 0.4, 0.3, 0.1]),
    # Two bins: below one half 0.2 is said on average and 0 of 2 happen, above it 2.3 / 3 and 2 of 3.
    "calibration error": (2 * abs(0.2 - 0) + 3 * abs(2.3 / 3 - 2 / 3)) / 5,
}
library = [log_loss(y, p), rmse(y, p), mae(y, p), classification.calibration_error(y, p, bins=2)]
scikit = [sk.log_loss(y, p), sk.root_mean_squared_error(y, p), sk.mean_absolute_error(y, p)]
assert np.allclose(list(by_hand.values()), library) and np.allclose(library[:3], scikit)
base_rate = np.full(5, y.mean())
assert np.isclose(classification.calibration_error(y, base_rate, bins=2), 0)
assert mae(y, np.zeros(5)) < mae(y, base_rate) and rmse(y, base_rate) < rmse(y, np.zeros(5))
pd.Series(by_hand).round(3).to_frame("by hand and library")

# %% [markdown]
# The last lines are warnings. The base rate, said of everybody, is perfectly calibrated and knows nothing. By MAE always saying 0 beats it, since most
# labels are 0.
#
# ## Five items: a list
#
# Recommenders show lists. Sort the five films by score; the liked ones stand at the places 0 and 2. Of a list we see the first
# $k$ places, here three. With $R$ right items, at the places $r_1 < \dots < r_R$, counted from 0:
#
# $$\text{hit rate} = [r_1 < k] \qquad \text{precision} = \frac{\#\{r_j<k\}}{k} \qquad \text{recall} = \frac{\#\{r_j<k\}}{R} \qquad \text{RR} = \frac{[r_1<k]}{r_1+1}$$
#
# $$\text{AP} = \frac1{\min(R,k)}\sum_{r_j<k}\frac{j}{r_j+1}\qquad\qquad \text{nDCG} = \sum_{r_j<k}\frac1{\log_2(r_j+2)}\bigg/\sum_{i=1}^{\min(R,k)}\frac1{\log_2(i+1)}$$
#
# Hit rate, precision and recall do not see where on the list a hit stands; reciprocal rank sees the first hit and no other; average precision and
# nDCG [@jarvelin2002] see all places, the first of them most. Averaged over users, AP becomes MAP and RR becomes MRR.

# %%
ranks, user = np.array([0, 2]), np.array([1, 1])
by_hand = {
    "hit_rate": 1,
    "precision": 2 / 3,
    "recall": 2 / 2,
    "reciprocal_rank": 1 / 1,
    "average_precision": (1 / 1 + 2 / 3) / 2,
    "ndcg": (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3)),
}
assert np.array_equal(ranking.ranks_of([p], rows=[0, 0], items=[0, 2]), ranks)
for name, value in by_hand.items():
    assert np.isclose(getattr(ranking, name)(ranks, user, k=3)[0], value)
assert np.isclose(by_hand["ndcg"], sk.ndcg_score([y], [p], k=3))
assert np.isclose(by_hand["average_precision"], sk.average_precision_score(y, p))
pd.Series(by_hand).round(3).to_frame("at k = 3")

# %% [markdown]
# Libraries do not agree on AP. We divide by the right items that fit on the list, so that the best list has 1; `trec_eval` divides by all of
# them. Before you compare a MAP with a published one, look.
#
# **Equal scores, nothing to find, long lists.** Three cases are usually left to accident, and each can decide a contest. A model that says the same of all films has no order;
# what a sort makes of it depends on how the table was stored. Here a thousand films share one score, and one of them is right:

# %%
same = np.zeros((1, 1000))
first, last = (np.argsort(-same[0], kind="stable").tolist().index(i) for i in (0, 999))
middle = ranking.ranks_of(same, [0], [0])
policies = pd.Series(
    {
        "the film stands first in the table": float(first < 10),
        "the film stands last in the table": float(last < 10),
        "mean over all orders": 10 / 1000,
        "the middle place (the course)": ranking.recall(middle, [0], k=10)[0],
    }
)
# Two right films that share the first two places are counted as standing in both.
shared = ranking.ranks_of([[5, 5, 1]], [0, 0], [0, 1])
assert shared.tolist() == [0.5, 0.5] and ranking.ndcg(shared, [0, 0], k=1) == 1
policies.to_frame("recall@10")

# %% [markdown]
# A sort gives the constant full marks or none. The mean over all orders is fair and costs the size of each tie; the course gives each film the *middle place* of
# its tie, as the replay of chapter 01 does. A model that knows nothing then stands in the middle, where no list reaches. (Right items that share a tie
# are counted side by side around its middle, so that two of them never hold one place.)
#
# A user with nothing to find gets no value, and is left out of the mean: any number given to her would be the same for all models, and move all their means. If
# $k$ exceeds the catalogue, the list is the catalogue; precision still divides by $k$.

# %%
ranks, user = [0, 4, 2], [1, 1, 3]  # user 2 has nothing to find: she has no row
recalls = ranking.recall(ranks, user, k=3)
print("recall of users 1 and 3:", recalls, " mean:", recalls.mean())
print(
    f"the mean, if user 2 counted as 0: {recalls.sum() / 3:.2f}, as 1: {(recalls.sum() + 1) / 3:.2f}"
)
assert (ranking.recall([0, 4], [1, 1], k=5) == ranking.recall([0, 4], [1, 1], k=500)).all()
assert ranking.precision([0, 4], [1, 1], k=500) == 2 / 500

# %% [markdown]
# **Coverage and novelty** look at the lists of all users together, and not at what was right: which share of the catalogue is shown to
# anyone, and how surprising the shown items are, in bits: $-\log_2$ of the share of users who have taken an item [@castells2015]. A catalogue of four, two users, lists of two:

# %%
from recsys_course.metrics import coverage, novelty

lists = np.array([[0, 1], [0, 2]])
takers = np.array([8, 4, 1, 2])  # of 8 users
assert coverage(lists, n_items=4) == 3 / 4
by_hand = [(0 + 1) / 2, (0 + 3) / 2]  # shares of 8/8, 4/8 and 1/8 are 0, 1 and 3 bits
assert np.array_equal(novelty(lists, takers, n_users=8), by_hand)
print("coverage:", coverage(lists, 4), " novelty of the two lists:", by_hand)

# %% [markdown]
# | Metric | The question it answers | What it does not see |
# |---|---|---|
# | accuracy | how often right? | that one answer is rare; order; how sure |
# | precision, recall, $F_1$ | of the yeses, how many right, how many found? | order; anything but the one threshold |
# | AUC | is a yes above a no? | where on the list; calibration; that users differ |
# | log loss | how much was the truth a surprise? | whether order or calibration went wrong; one sure and wrong answer outweighs all |
# | calibration error | do probabilities mean what they say? | order: the base rate of the same rows is perfect |
# | MAE, RMSE | how far off? | which errors are on the list |
# | hit rate, precision, recall at $k$ | what is on the list? | at which place; all below |
# | MRR | where is the first hit? | all others |
# | MAP, nDCG | where are the hits? | grades of liking (here); what users never saw |
# | coverage, novelty | what does the catalogue get? | whether anybody likes it |
#
# ## The source's three metrics on real films
#
# A3.2 and B concepts 4 name accuracy, recall and $F_1$. Take the question that a shop would ask: which films will somebody give *five stars*? About one rating in ten is such, and in the past more were. Two models
# live through the last three fifths of MovieLens, predicting each rating before they learn it; beside them stand two that need no data. The threshold is one half unless said.

# %% tags=["erratum:A3.2-metrics"]
from recsys_course.replay import replay
from recsys_course.strategies import Incremental

movielens = data.movielens()
events = movielens.events
loved = events.assign(label=(events["label"] == 5).astype(float))


def factorisation(seed=0, n_factors=16, regularization=0.1, **settings):
    # The settings of chapter 00, for all that follows.
    return MatrixFactorization(
        n_factors,
        step_size=0.05,
        regularization=regularization,
        epochs=10,
        rng=np.random.default_rng(seed),
        **settings,
    )


live = {
    "running means": replay(loved, Incremental(RunningMeans()), task="binary", warmup=0.4),
    "factorisation": replay(
        loved, Incremental(factorisation(loss="logistic")), task="binary", warmup=0.4
    ),
}
labels = live["factorisation"].labels
said = {
    "always no": np.zeros(len(labels)),
    "always yes": np.ones(len(labels)),
    **{name: np.clip(run.scores, 0, 1) for name, run in live.items()},
}


def decided(probabilities, threshold=0.5):
    decisions = (probabilities >= threshold).astype(float)
    names = ("accuracy", "precision", "recall", "f1")
    return {name: getattr(classification, name)(labels, decisions) for name in names}


films = pd.DataFrame({name: decided(p) for name, p in said.items()}).T
films.loc["factorisation, from 0.2"] = decided(said["factorisation"], 0.2)
assert films["recall"].idxmax() == "always yes"
assert abs(films.loc["always no", "accuracy"] - films.loc["factorisation", "accuracy"]) < 0.005
assert films.loc["always yes", "f1"] > 5 * films.loc["factorisation", "f1"]
assert films.loc["factorisation, from 0.2", "f1"] > 1.5 * films.loc["always yes", "f1"]
films.round(3)

# %% [markdown]
# Saying no to everything is right nine times out of ten, and the factorisation is level with it. Saying yes to everything
# has the best recall there is, and an $F_1$ far above the factorisation's. Moving the threshold, which changes nothing in the model, multiplies
# its $F_1$. So these metrics judge a model *and* a threshold *and* the share of yeses. Those that need no threshold say what the models are worth:

# %%
soft = pd.DataFrame(
    {
        name: {
            "AUC": classification.auc(labels, p),
            "log loss": log_loss(labels, p),
            "calibration error": classification.calibration_error(labels, p),
            "equal counts": classification.calibration_error(labels, p, equal="count"),
        }
        for name, p in {
            **said,
            "base rate": np.full(len(labels), loved["label"].iloc[:40_000].mean()),
        }.items()
    }
).T.drop(["always no", "always yes"])
assert soft.loc["factorisation", "AUC"] > 0.78 and soft.loc["base rate", "AUC"] == 0.5
assert abs(soft.loc["running means", "AUC"] - soft.loc["factorisation", "AUC"]) < 0.01
zero = said["running means"] == 0
print(
    f"the running means say 0 of {zero.sum():,} ratings; {labels[zero].sum():.0f} had five stars"
)
kept_off = {c: np.clip(said["running means"], c, 1 - c) for c in (1e-15, 1e-3, 1e-2)}
kept_off = {f"{c:g}": log_loss(labels, p) for c, p in kept_off.items()}
print(
    "their log loss, if kept so far off 0 and 1:", {c: round(v, 3) for c, v in kept_off.items()}
)
assert kept_off["0.01"] < soft.loc["factorisation", "log loss"] < kept_off["1e-15"]
assert (
    soft.loc["running means", "calibration error"]
    < soft.loc["factorisation", "calibration error"]
)
soft.round(3)

# %% [markdown]
# Both models order well and nearly alike. The counting model is the better calibrated one on average over bins, and has the larger log loss: it says 0 of many films, and a few of
# them got five stars, each of which costs as much as the library lets it, the log of `1e-15`. Keep the same predictions a hundredth away from 0, and their log loss is the smaller of the two. No single one of these columns could have told us that. The base rate of the past is badly calibrated too: five stars
# became rarer. The last two columns differ by their bins, of equal width or of equally many rows; always say which.
#
# ## A random split, and the stream
#
# Now the story of the beginning. Ratings, three models, a fifth of the rows held back: once drawn at random, five times over, and once the latest. Same sizes, same settings.


# %%
def models(stream, seed=0):
    low_high = stream.card.label_range
    return {
        "running means": RunningMeans(),
        "factorisation": factorisation(seed, label_range=low_high),
    }


def errors(train, test, stream, seed=0):
    """RMSE of each model on the test rows, and the squared errors."""
    said = {"mean": np.full(len(test), train["label"].mean())}
    said |= {name: m.fit(train).predict(test) for name, m in models(stream, seed).items()}
    squares = pd.DataFrame({name: (test["label"] - s) ** 2 for name, s in said.items()})
    return np.sqrt(squares.mean()), squares


past, future = split_at(events, 0.8)
in_time, squares_in_time = errors(past, future, movielens)
draws = []
for seed in range(5):
    drawn = np.random.default_rng(seed).random(len(events)) < 0.8
    at_random, squares_at_random = errors(events[drawn], events[~drawn], movielens, seed)
    draws.append(at_random)
draws = pd.DataFrame(draws)
split_table = pd.DataFrame(
    {"random, best": draws.min(), "random, worst": draws.max(), "in time": in_time}
)
split_table["flattered by"] = split_table["in time"] - draws.mean()
assert split_table.loc[["running means", "factorisation"], "flattered by"].min() > 0.08
assert (draws["factorisation"] < draws["running means"]).all()
assert in_time["running means"] < in_time["factorisation"]
print(split_table.round(3).to_string())


def verdict(squares, test):
    """Squared error of the factorisation minus that of the running means; below 0 it is ahead."""
    gap = squares["factorisation"] - squares["running means"]
    return user_interval(gap, test["user"], rng=np.random.default_rng(0))


gaps = pd.DataFrame(
    {
        "random, last draw": verdict(squares_at_random, events[~drawn]),
        "in time": verdict(squares_in_time, future),
    },
    index=["mean", "low", "high"],
).T
assert gaps.loc["random, last draw", "high"] < 0 < gaps.loc["in time", "mean"]
assert gaps.loc["in time", "low"] < 0, "not sure either"
gaps.round(4)

# %% [markdown]
# The random split flatters both models by more than a tenth of a star, and the mean by far less. It is also *sure* of its winner, and time is not. Drawn at random, the factorisation is ahead and the interval, over users, excludes zero. In time it is behind, by an amount that may be chance. "The factorisation is the better one" was a statement
# about the split. More seeds would not have helped: an interval protects from the luck of the sample, and not from a wrong question.
#
# ## Why does it flatter?
#
# Two suspects. The model has seen *what the time was like*: which films came out, which were popular, how people rated, after the test rows. Or it has seen
# *the same person's other ratings*, from the same evening. To separate them we hold the test rows fixed, and the number of training rows too, and change only where the latter may come from.
# Test: half of the later ratings of half of the people who appear in the last fifth.


# %%
def by_what_is_known(seed):
    rng = np.random.default_rng(seed)
    people = rng.permutation(future["user"].unique())
    chosen = future["user"].isin(people[: len(people) // 2])
    held = chosen & (rng.random(len(future)) < 0.5)
    pools = {
        "the past": past,
        "and later ratings of others": pd.concat([past, future[~chosen]]),
        "and their own": pd.concat([past, future[~held]]),
    }
    out = {}
    for name, pool in pools.items():
        rows = np.sort(rng.choice(len(pool), len(past), replace=False))
        train = sort_events(pool.iloc[rows])
        out[name] = errors(train, future[held], movielens, seed)[0]
    return pd.DataFrame(out)


known = [by_what_is_known(seed) for seed in range(5)]
steps = [run.diff(axis=1).iloc[1:, 1:] for run in known]
own = pd.concat([s["and their own"] for s in steps])
others = pd.concat([s["and later ratings of others"] for s in steps])
newcomers = (~future["user"].isin(past["user"])).mean()
assert own.max() < -0.05 and own.mean() < -0.1 and others.min() > -0.02
print(f"ratings in the last fifth by people whom the past never saw: {newcomers:.0%}")
(sum(known) / len(known)).round(3)

# %% [markdown]
# Read along a row. Knowing the time changes little, a hundredth of a star (only a tenth of that pool is later than the past, as the later
# half is small); knowing the same people's other ratings changes everything, in each of five repetitions. A random split turns newcomers, who
# are most of the future here, into old acquaintances. It answers a question, "how well do we fill gaps in the table of people whom we know?", and it is not the question of
# a service that people join. Models that learn a user quickly can be given what they need as it arrives: that is test-then-train.
#
# ## It need not flatter, and can still choose wrongly
#
# Groceries. The household is known, the question is what goes into its next basket. `PersonalFrequency` counts what a household has bought; each purchase loses the share `forget` of its weight
# with each newer one. How fast should it forget? We ask twice on the first four fifths of the year, once holding back random baskets, once the latest, and let the last fifth be the judge. Half of the households (those with an
# even number), up to six thousand baskets each time, recall@10.

# %%
from recsys_course.models import PersonalFrequency

columns = ["user", "item", "label", "timestamp", "event"]
groceries = data.complete_journey().events[columns]
groceries = groceries[groceries["user"] % 2 == 0]
types = np.unique(groceries["item"])
FORGET = (0, 0.005, 0.02)


def recalls(train, test, seed=0):
    """Recall of each basket for each setting, and the households."""
    numbers = test["event"].unique()
    chosen = np.random.default_rng(seed).permutation(numbers)[:6000]
    test = test[test["event"].isin(chosen)]
    basket, _ = pd.factorize(test["event"])
    households = test.drop_duplicates("event")["user"].to_numpy()
    item = np.searchsorted(types, test["item"])
    values = {}
    for forget in FORGET:
        scores = PersonalFrequency(forget=forget).fit(train).score_items(households, types)
        values[forget] = ranking.recall(ranking.ranks_of(scores, basket, item), basket, k=10)
    return pd.DataFrame(values), households


year, last_fifth = split_at(groceries, 0.8)
scored = {}
for seed in range(2):
    numbers = year["event"].unique()
    held = year["event"].isin(numbers[np.random.default_rng(seed).random(len(numbers)) < 0.2])
    scored[f"random, seed {seed}"] = recalls(year[~held], year[held], seed)
scored["in time"] = recalls(*split_at(year, 0.8))
scored["the judge"] = recalls(year, last_fifth)
baskets_table = pd.DataFrame({name: values.mean() for name, (values, _) in scored.items()})
print(baskets_table.rename_axis("forget").round(4).to_string())

gains = pd.DataFrame(
    {
        name: user_interval(values[0.005] - values[0], users, rng=np.random.default_rng(0))
        for name, (values, users) in scored.items()
    },
    index=["forgetting gains", "low", "high"],
).T
drawn_at_random = gains.index.str.startswith("random")
assert (gains.loc[drawn_at_random, "high"] < 0).all() and gains.loc["the judge", "low"] > 0
assert baskets_table["in time"].idxmax() == baskets_table["the judge"].idxmax() == 0.005
assert baskets_table.loc[0].filter(like="random").min() > baskets_table.loc[0, "the judge"] + 0.02
gains.round(4)

# %% [markdown]
# Both random draws are sure that forgetting loses. The later baskets prefer a little of it, without being sure; the judge is, and says the same. A random split gives the model purchases from weeks *around* the basket, after it as well as before,
# so all are equally near and there is nothing to forget. It flatters the model that remembers everything by some three points of recall, and the one that forgets fast not at all. Which model a split flatters is
# what makes it dangerous: if it flattered all alike, it would choose well.
#
# ## Cross-validation, in time
#
# A3.2 and B concepts 4 say that cross-validation shows how a model does on unknown data, and ensures that it generalises. The usual kind shuffles: each fifth is predicted from the other four, all of which hold rows from
# its future. `TimeSeriesSplit` goes forward: five times, what comes next is predicted from all that came before. We validate on the first four fifths by both, and then look at the last fifth.

# %% tags=["erratum:A3.2-cross-validation"]
from sklearn.model_selection import KFold, TimeSeriesSplit


def folds(splitter, stream, development):
    """RMSE in each fold, and the verdict on factorisation minus running means in each."""
    rows, gaps = [], []
    for train, test in splitter.split(development):
        rmse_of, squares = errors(development.iloc[train], development.iloc[test], stream)
        rows.append(rmse_of)
        gaps.append(verdict(squares, development.iloc[test]))
    return pd.DataFrame(rows), pd.DataFrame(gaps, columns=["mean", "low", "high"])


forward, gaps = folds(TimeSeriesSplit(5), movielens, past)
shuffled, _ = folds(KFold(5, shuffle=True, random_state=0), movielens, past)
promised = pd.DataFrame(
    {
        "shuffled, five folds": shuffled.mean(),
        "forward, five folds": forward.mean(),
        "forward, worst fold": forward.max(),
        "the last fifth": in_time,
    }
)
print("factorisation minus running means, squared error, forward, fold by fold:")
print(gaps.round(3).to_string(index=False))
assert (gaps["low"] > 0).sum() >= 3 and (gaps["high"] > 0).all()
learned = promised.loc[["running means", "factorisation"]]
missed = learned.sub(learned["the last fifth"], axis=0).abs()
assert (missed["shuffled, five folds"] > 3 * missed["forward, five folds"]).all()
assert learned["shuffled, five folds"].idxmin() == "factorisation"
assert (
    learned["forward, five folds"].idxmin()
    == learned["the last fifth"].idxmin()
    == "running means"
)
promised.round(3)

# %% [markdown]
# Shuffled folds promise a tenth of a star too much, and choose the factorisation. Forward folds come close, and choose counting, most of them beyond chance; the last fifth alone was not sure. They are also honest about spread: from fold to fold the error moves by
# far more than the models differ. Two details. The folds cut between rows, so events of one second can fall on both sides; on this stream that concerns a handful (`split_at` moves its cut past them). And early folds train
# on little: if a model needs much data, look at the later ones.
#
# ## Lists, in time order
#
# A service has to answer when somebody asks. So let us ask: for each person with at least twenty ratings in the last three fifths of a stream, at the middle of those, *which films will you like next?* Each
# model has by then learned all ratings of everybody up to that second, and none after it. It ranks all films that have
# appeared, without those that she has rated. Right are those that she will give four stars or more; a film that has not appeared yet is a miss.

# %%
from types import SimpleNamespace


def ask(stream):
    """One question per person, in order of time, and what would have been right."""
    table = stream.events.assign(
        user=pd.factorize(stream.events["user"])[0].astype(np.int64),
        item=pd.factorize(stream.events["item"])[0].astype(np.int64),
    )
    times, first = table["timestamp"].to_numpy(), table.groupby("item")["timestamp"].min()
    questions = []
    for person, rows in split_at(table, 0.4)[1].groupby("user"):
        now = rows["timestamp"].iloc[len(rows) // 2 - 1]
        later = rows[rows["timestamp"] > now]
        if len(rows) >= 20 and len(later):
            questions.append((np.searchsorted(times, now, side="right"), person, now, later))
    questions.sort(key=lambda q: q[0])
    out = np.array([first.to_numpy() > now for _, _, now, _ in questions])
    for q, (known, person, _, _) in enumerate(questions):
        past_items = table["item"].iloc[:known][table["user"].iloc[:known] == person]
        out[q, past_items] = True
    later = pd.concat([q[3] for q in questions])
    number = np.repeat(np.arange(len(questions)), [len(q[3]) for q in questions])
    liked = (later["label"] >= 4).to_numpy()
    return SimpleNamespace(
        card=stream.card, events=table, questions=questions, out=out, later=later, number=number,
        rows=number[liked], items=later["item"].to_numpy()[liked],
    )  # fmt: skip


films = ask(movielens)
empty = len(films.questions) - len(np.unique(films.rows))
print(f"{len(films.questions)} questions; with nothing to find: {empty}, left out of all lists")
print(f"films liked later, per question: {len(films.items) / len(films.questions):.0f}")

# %% [markdown]
# Four ways to answer. Order films by the rating that a model predicts; by how many people liked them; by how often they were liked together with what she liked, an item-*k*NN of ten lines
# [@deshpande2004]; or by a factorisation that was trained to tell liked films from others (`ImplicitFactorization`, chapter 01). The neighbours' score of item $j$ is a sum of cosines, if $\alpha=\frac12$:
#
# $$s_j = \sum_{i\ \text{liked}} \frac{c_{ij}}{(n_i n_j)^\alpha}$$
#
# with $c_{ij}$ the number of people who liked both, $n_i$ and $n_j$ how many liked each; the larger $\alpha$, the less popular the answer. We fix $\alpha=\frac12$, the usual cosine, before looking.


# %%
class Popularity:
    def __init__(self, stream):
        self.n_liked = np.zeros(stream.out.shape[1])

    def learn(self, events):
        np.add.at(self.n_liked, events["item"][events["label"] >= 4], 1)

    def scores(self, person):
        return self.n_liked.copy()


class Neighbours:
    def __init__(self, stream, alpha=0.5):
        n_users, n_items = stream.events["user"].max() + 1, stream.out.shape[1]
        self.alpha, self.liked = alpha, np.zeros((n_users, n_items), np.float32)
        self.n_liked = np.zeros(n_items, np.float32)

    def learn(self, events):
        likes = events[events["label"] >= 4]
        self.liked[likes["user"], likes["item"]] = 1
        np.add.at(self.n_liked, likes["item"], 1)

    def scores(self, person):
        n = np.maximum(self.n_liked, 1) ** np.float32(self.alpha)
        mine = np.flatnonzero(self.liked[person])
        return ((self.liked[:, mine] @ (1 / n[mine])) @ self.liked) / n


class Learned:
    """A model of the library: by predicted rating, or by the scores of one that ranks."""

    def __init__(self, stream, model):
        self.model, self.started, self.catalogue = model, False, np.arange(stream.out.shape[1])
        self.ranks = isinstance(model, ImplicitFactorization)

    def learn(self, events):
        if self.ranks:
            events = events[events["label"] >= 4].assign(label=1.0)
        if len(events):
            self.model.update(events) if self.started else self.model.fit(events)
            self.started = True

    def scores(self, person):
        if self.ranks:
            return self.model.score_items(np.array([person]), self.catalogue)[0]
        return self.model.predict(pd.DataFrame({"user": person, "item": self.catalogue}))


def answers(stream, recommender):
    """Scores of the whole catalogue at each question, shape (questions, items)."""
    learned, out = 0, []
    for known, person, _, _ in stream.questions:
        if known > learned:
            # The first stretch, two fifths of the stream and a little, is fitted; the rest comes as updates.
            recommender.learn(stream.events.iloc[learned:known])
            learned = known
        out.append(recommender.scores(person))
    return np.array(out)


# %%
from recsys_course.metrics import top_k


def rating_models(stream):
    yield "biases", Learned(stream, RunningMeans())
    for shrink in (0, 25, 100):
        yield f"biases, shrink {shrink}", Learned(stream, RunningMeans(shrink=shrink))
    for n_factors, regularization in ((16, 0.1), (16, 0.02), (64, 0.1)):
        model = factorisation(0, n_factors, regularization)
        yield f"{n_factors} factors, lambda {regularization}", Learned(stream, model)


def list_models(stream):
    yield "popularity", Popularity(stream)
    yield "neighbours", Neighbours(stream)
    model = ImplicitFactorization(16, rng=np.random.default_rng(0))
    yield "factors for lists", Learned(stream, model)


def both_yardsticks(stream):
    rows, of_user = {}, {}
    for kind in (rating_models, list_models):
        for name, recommender in kind(stream):
            scores = answers(stream, recommender)
            ranks = ranking.ranks_of(scores, stream.rows, stream.items, excluded=stream.out)
            of_user[name] = ranking.ndcg(ranks, stream.rows, k=10)
            rows[name] = {
                "recall@10": ranking.recall(ranks, stream.rows, k=10).mean(),
                "nDCG@10": of_user[name].mean(),
                "coverage": coverage(top_k(scores, 10, excluded=stream.out), len(scores[0])),
            }
            if kind is rating_models:
                said = scores[stream.number, stream.later["item"]]
                said = said.clip(*stream.card.label_range)
                rows[name]["RMSE"] = rmse(stream.later["label"], said)
    table = pd.DataFrame(rows).T[["RMSE", "recall@10", "nDCG@10", "coverage"]]
    for name, values in of_user.items():
        gap = values - of_user["popularity"]
        gap = user_interval(gap, np.arange(len(gap)), rng=np.random.default_rng(0))
        table.loc[name, ["gap low", "gap high"]] = gap.low, gap.high
    return table


tables = {"MovieLens": both_yardsticks(films)}
tables["MovieLens"].round(3)

# %% [markdown]
# The last two columns are the interval, over people, of the gap to popularity in nDCG. The factorisations predict ratings best, and their lists are next to useless: almost nothing on them is ever
# watched and liked. The biases with the strongest pull to the mean (`shrink 100`) predict worst of all, and have the best lists among the rating models. The neighbours have the best of all by nDCG, with an interval that excludes zero. By recall they are no better than popularity: they find more in all, but less for people with
# little to find, whom recall weighs most. And they show several times as much of the catalogue.
#
# Is it the films? The same on MovieLens 100K, from the same web site, almost twenty years earlier.

# %% tags=["needs:ml_100k"]
streams = {"MovieLens": films}
if data.available("ml_100k"):
    streams["ML-100K"] = ask(data.ml_100k())
    tables["ML-100K"] = both_yardsticks(streams["ML-100K"])
    print(tables["ML-100K"].round(3).to_string())
else:
    print("left out, because it is not on this machine: ml_100k")

from scipy.stats import spearmanr

fig, axes = plt.subplots(1, len(tables), figsize=(11, 4.8), sharey=True, squeeze=False)
for ax, (name, table) in zip(axes[0], tables.items(), strict=True):
    rated = table.dropna()
    rank = spearmanr(rated["RMSE"], rated["nDCG@10"]).statistic
    print(f"{name}: rank correlation of RMSE and nDCG@10 over rating models: {rank:.2f}")
    for kind, marker in (("biases", "o"), ("factors", "s")):
        part = rated[rated.index.str.contains(kind)]
        ax.plot(part["RMSE"], part["nDCG@10"], marker, label=f"by rating: {kind}", markersize=9)
    for model, dash in (("neighbours", "--"), ("popularity", ":")):
        ax.axhline(table.loc[model, "nDCG@10"], color="black", linestyle=dash, label=model)
    best, worst = rated["RMSE"].idxmin(), rated["nDCG@10"].idxmax()
    assert "factors" in best and "biases" in worst
    assert rank > 0.3 and rated.loc[worst, "nDCG@10"] > 2 * rated.loc[best, "nDCG@10"]
    assert table["nDCG@10"].idxmax() == "neighbours" and table.loc["neighbours", "gap low"] > 0
    ax.set(title=name, xlabel="RMSE in stars (lower is better)")
axes[0, 0].set_ylabel("nDCG@10 (higher is better)")
axes[0, 0].legend(loc="upper left", fontsize=11)
plt.show()

# %% [markdown]
# Each point is a model that orders films by predicted rating; left is better at ratings, up is better at lists. On both streams the factorisations (squares) stand furthest to the left and low,
# and the highest circle, the biases with the strongest pull, to the right of all squares. The circle at the bottom, far to the right of the squares on MovieLens, is the biases without any pull. No point reaches the dashed line, the neighbours, nor the dotted one, popularity. So: a smaller RMSE did *not* make a better list. RMSE is taken over films that somebody chose to rate; a list is drawn from
# all films, and the highest predictions belong to films that a few people saw and loved. (Seven models chosen by hand make the rank correlation an illustration, and not a law.) That rating models make poor lists has been known for long [@cremonesi2010].
#
# On both streams the neighbours are surely ahead of popularity. Ten lines without training are a baseline that a learned model has to beat: the factors trained
# for lists do not, here, with settings that nobody tuned. (A9.1 and A9.2 say that research has shown the potential and the advantages of deep and online learning, and that neural models will step by step replace the others. The source compares nothing, so there is nothing to repeat; a table such as these is what it would take.)
#
# ## Sampled metrics
#
# Ranking a catalogue of millions for each event is costly, so many papers rank the right item among a hundred sampled others. The number is then an answer to an easier question. Here is one model, the neighbours, and three
# yardsticks: each film that a person liked later competes with all films that she has not seen, with 100 of them drawn evenly, and with 100 drawn in proportion to how often they were rated.


# %%
def samples(stream, rng, size=100):
    """For each question, films that were not taken: drawn evenly, and by popularity; (questions, size) each."""
    shape = stream.out.shape
    n_before = np.zeros(shape)
    for q, (known, *_) in enumerate(stream.questions):
        n_before[q] = np.bincount(stream.events["item"].iloc[:known], minlength=shape[1])
    taken = np.zeros(shape, bool)
    taken[stream.number, stream.later["item"]] = True
    with np.errstate(divide="ignore"):
        weights = {"100 drawn evenly": np.zeros(shape), "100 popular ones": np.log(n_before)}
    out = {}
    for name, weight in weights.items():
        # The largest of log weight + Gumbel noise are a draw without replacement in proportion to weight.
        keys = np.where(stream.out | taken, -np.inf, weight + rng.gumbel(size=shape))
        out[name] = np.argpartition(-keys, size, axis=1)[:, :size]
    return out, taken


def hits_of_all(stream, scores, taken):
    """Whether each liked film is among the first ten; one that has not appeared yet is a miss."""
    ranks = ranking.ranks_of(scores, stream.rows, stream.items, excluded=stream.out)
    # Her own later films are no rivals: take the places off again that they hold above it.
    own = ranking.ranks_of(scores, stream.rows, stream.items, excluded=~taken | stream.out)
    found = np.zeros(len(ranks))
    appeared = ~stream.out[stream.rows, stream.items]
    found[appeared] = ranks[appeared] - own[appeared] < 10
    return found


def hits_of_samples(stream, scores, drawn):
    pair = stream.rows, stream.items
    own, found = scores[pair][:, None], {}
    for name, negatives in drawn.items():
        rivals = np.take_along_axis(scores, negatives, axis=1)[stream.rows]
        places = (rivals > own).sum(axis=1) + (rivals == own).sum(axis=1) / 2
        found[name] = ((places < 10) & ~stream.out[pair]).astype(float)
    return found


def hits(stream, scores, drawn, taken):
    all_films = {"all films": hits_of_all(stream, scores, taken)}
    return pd.DataFrame(all_films | hits_of_samples(stream, scores, drawn))


drawn, taken = samples(films, np.random.default_rng(0))
numbers = hits(films, answers(films, Neighbours(films)), drawn, taken).mean()
assert numbers["100 drawn evenly"] > 5 * numbers["all films"]
numbers.round(3).to_frame("hit rate@10 of the neighbours")

# %% [markdown]
# One model, three numbers, the largest many times the smallest. That would do no harm if all models rose alike. They need not: with few rivals only the order far below the top decides, where nobody looks;
# with popular rivals, a model is paid for *not* liking what is popular [@krichene2022] [@dallmann2021]. Let us choose $\alpha$, which does just that, by each yardstick.

# %% tags=["needs:ml_100k"]
ALPHAS = (0, 0.25, 0.5, 0.75, 1)
scores_of, curves, turned = {}, {}, {}
for name, stream in streams.items():
    drawn, taken = samples(stream, np.random.default_rng(0))
    scores_of[name] = {a: answers(stream, Neighbours(stream, a)) for a in ALPHAS}
    found = {a: hits(stream, scores, drawn, taken) for a, scores in scores_of[name].items()}
    curves[name] = pd.DataFrame({a: h.mean() for a, h in found.items()}).T.rename_axis("alpha")
    for yardstick in curves[name]:
        gap = found[0.75][yardstick] - found[0][yardstick]
        gap = user_interval(gap, stream.rows, rng=np.random.default_rng(0))
        turned[name, yardstick] = {"0.75 minus 0": gap.mean, "low": gap.low, "high": gap.high}
    assert turned[name, "all films"]["high"] < 0 < turned[name, "100 popular ones"]["low"]
    assert curves[name]["100 popular ones"].idxmax() == 0.75 != curves[name]["all films"].idxmax()
print(pd.DataFrame(turned).T.round(3).to_string())

others = []
for seed in range(1, 5):
    drawn, _ = samples(films, np.random.default_rng(seed))
    more, less = (hits_of_samples(films, scores_of["MovieLens"][a], drawn) for a in (0.75, 0))
    others.append({name: more[name].mean() - less[name].mean() for name in drawn})
others = pd.DataFrame(others)
assert (others["100 popular ones"] > 0.03).all()
print("other draws of rivals on MovieLens, smallest and largest difference:")
others.agg(["min", "max"]).round(3)

# %% [markdown]
# Two models of one family. On the whole catalogue the one that pays heed to popularity ($\alpha = 0$) is ahead; against a hundred popular rivals the other one is, and all intervals exclude zero. On
# ML-100K even evenly drawn rivals turn the two around. On MovieLens four other draws of rivals say the same.

# %% tags=["needs:ml_100k"]
fig, axes = plt.subplots(1, len(curves), figsize=(11, 4.4), sharey=True, squeeze=False)
for ax, (name, curve) in zip(axes[0], curves.items(), strict=True):
    for yardstick in curve:
        ax.plot(curve.index, curve[yardstick] / curve[yardstick].max(), label=yardstick)
    print(name)
    print(curve.round(3).to_string())
    ax.set(title=name, xlabel="alpha: how little popularity counts", xticks=ALPHAS)
axes[0, 0].set_ylabel("hit rate@10, share of the best")
axes[0, 0].legend(loc="lower left")
plt.show()

# %% [markdown]
# Each line is one yardstick, as a share of its best value. On the whole catalogue (solid) the top lies left of, or at, the middle, and falls to almost nothing by the right end. Against popular rivals (dash-dotted) the top lies at 0.75 on both streams. Who tunes by them, on MovieLens,
# chooses a model whose real hit rate is a small part of the best one's. We had tried many pairs of models before we took this family; most keep their order, and these are two that do not, by far more than chance. Rank everything if you can, or correct for the sampling [@krichene2022]; and never compare a sampled number with an unsampled one.
#
# ## What the source says, what we measured
#
# | The source says | Where | What we measured |
# |---|---|---|
# | Choose suitable metrics, such as accuracy, recall, $F_1$ | A3.2 step 4, B concepts 4 | Never saying yes has an accuracy of 0.895, always saying it a recall of 1; a threshold moves $F_1$ from 0.019 to 0.383: *The source's three metrics on real films* |
# | Cross-validation shows how a model does on unknown data | A3.2 step 4 | Shuffled folds promise 0.897 for the factorisation; live it is 1.018, and forward folds say 0.997: *Cross-validation, in time* |
# | ... and so ensures that it generalises | B concepts 4 | It measures, and ensures nothing; even forward folds range widely: *Cross-validation, in time* |
# | MAE is one of the common metrics | B concepts 4 | It prefers "always 0" to the base rate where yeses are rare: *Five items: order and distance* |
# | Research shows the advantages of deep models, which will replace others | A9.1, A9.2 | The source compares nothing, and this chapter tries no deep model; it shows the baseline one would have to beat: *Lists, in time order* |
#
# ## Recap
#
# 1. A metric is a question; accuracy, recall and F1 judge the threshold and the base rate along with the model.
# 2. Equal scores, users with nothing to find and long lists are decided by somebody: let it be you, in writing.
# 3. A random split makes newcomers old acquaintances and lets a model remember its future; what it flatters most, it chooses.
# 4. Validate forward in time, and look at the spread over folds before at their mean.
# 5. Rating errors and sampled rivals can each turn the order of two models around; lists over the whole catalogue decide about lists.
#
# ## Three questions
#
# **1. A paper reports a hit rate of one half, yours on the same data is one in twenty. What do you look at first?**
#
# <details><summary>Answer</summary>
#
# At the rivals. A hundred sampled ones instead of the catalogue explain such a factor alone. Then at the split (last item of each user, random, in time), and at what leaves the contest.
#
# </details>
#
# **2. On your data a random split and a forward split give the same error. May you use the random one?**
#
# <details><summary>Answer</summary>
#
# For this model, today, it does no harm. You know that only because you measured the forward one, and the next model, one that remembers or forgets, may be favoured by one of them. Keep the forward one.
#
# </details>
#
# **3. Why do factorisations with the smaller RMSE put films on a list that nobody watches?**
#
# <details><summary>Answer</summary>
#
# They are fitted and judged on films that somebody chose to rate. For all others, which is most of the catalogue, nothing holds their predictions down, and a list is drawn from the largest
# of thousands of predictions: it collects the errors upwards.
#
# </details>
#
# ## Read on
#
# - On sampled metrics, with proofs: [@krichene2022!]; measured on sequence models: [@dallmann2021!]
# - Better ratings, worse lists: [@cremonesi2010!]
# - How splits reorder models: [@meng2020!] and [@ji2023!]
# - nDCG: [@jarvelin2002!]; calibration: [@guo2017!]; novelty: [@castells2015!]
# - Neighbours of items: [@deshpande2004!]
#
# ## Exercises
#
# In `exercises/05a_metrics_and_splits.ipynb`: an AUC that does not mix users; recall over all orders of a tie; folds that respect the clock; a list from ratings that is not useless; and two models that a sample turns around.
