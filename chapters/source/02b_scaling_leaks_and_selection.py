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
# # 02b Scaling, leaks and selection
#
# **What you will be able to do.**
#
# 1. Number ids so that a new one moves none of the old.
# 2. Scale features without looking ahead, and say which models need it.
# 3. Find the leak that a random split hides.
# 4. Select features three ways, judged in time order, and say whether it was worth it.
#
# **What you need.** Chapter 02a: the log of the bookstore, its windows, and the poison test. Two of scikit-learn's models
# appear as black boxes: logistic regression, which you know from there, and gradient-boosted trees, which ask a series of
# yes-or-no questions about features. All you need of either is `fit` and `predict`.
#
# **Time.** 25 minutes to read, about a quarter of a minute to run.
#
# **Sections of the source.** A3.2 steps 1, 2 and 7, the first half of A4.3, and B basic concepts 1.
#
# ## Two analysts
#
# You run the film service of chapter 00. Two analysts predict ratings from the same four features: how many ratings
# the user and the film have had, and how high they were on average. They use the same model on the same data. Ann's
# error in validation is clearly smaller than Bob's, so you put Ann's model live.
#
# A month later the error on live traffic is in. Ann's model is worse than Bob's would have been; it is worse than a
# few lines of counting. Nobody lied, and no code crashed. What went wrong, and how would you have seen it in time?
#
# The answer lies in how the four numbers were computed. It takes us the length of this chapter to get there.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from recsys_course import data, plot

plot.use_style()
"ready"

# %% [markdown]
# ## The shop again
#
# Before the films we need the bookstore once more. The next two cells repeat, without comment, what chapter 02a built: the
# same simulated shop, its log of happenings, the thirty-six windows, and the split into past and future after the
# ninety days that fill the windows. `loss_of` fits the logistic regression of that chapter on the past, and returns its
# log loss on each exposure of the future.

# %%
from recsys_course.data.bookstore import BookstoreConfig
from recsys_course.events import sort_events
from recsys_course.features import Window, WindowFeatures

DAY = 86_400
shop = data.bookstore(
    200_000, rng=np.random.default_rng(0), config=BookstoreConfig(events_per_day=1_000)
)
exposures = shop.events
row = exposures[["user", "item", "category", "timestamp"]].assign(label=1.0)
opened, paid = exposures["view"] == 1, exposures["label"] == 1
delay = exposures["purchase_delay"].fillna(0).astype("int64")
log = sort_events(
    pd.concat(
        [
            row.assign(what="shown"),
            row[opened].assign(what="view"),
            row[paid].assign(what="purchase", timestamp=row["timestamp"] + delay),
        ]
    )
)
keys = {"reader": "user", "category": "category", "book": "item", "taste": ("user", "category")}
windows = [
    Window(f"{who}_{what}_{days}d", key, f"{days}D", where={"what": what})
    for who, key in keys.items()
    for what in ("shown", "view", "purchase")
    for days in (7, 30, 90)
]
features = WindowFeatures(windows).fit_transform(log)

shown = (log["what"] == "shown").to_numpy()
X = features[shown].reset_index(drop=True)
y = exposures["label"].to_numpy()
print(f"{len(log):,} rows of the log, {len(windows)} features of {len(X):,} exposures")

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from recsys_course.metrics.losses import row_log_loss

day = (exposures["timestamp"] - shop.world.config.start) // DAY
first, cut = np.searchsorted(day, [90, 140])
past, future = np.arange(first, cut), np.arange(cut, len(X))


def loss_of(columns):
    """Log loss of each exposure of the future, of a logistic regression on the logarithms of these counts."""
    model = make_pipeline(
        FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(max_iter=300)
    )
    model.fit(X.loc[past, columns], y[past])
    return row_log_loss(y[future], model.predict_proba(X.loc[future, columns])[:, 1])


source_features = [
    "reader_purchase_90d",
    "reader_view_90d",
    "category_purchase_90d",
    "category_view_90d",
]
print(
    f"log loss of the source's four features, as in chapter 02a: {loss_of(source_features).mean():.3f}"
)

# %% [markdown]
# ## Ids that keep coming
#
# A model with embeddings wants ids as row numbers. scikit-learn's `OrdinalEncoder` numbers them in sorted order. That
# is fine until tomorrow, when a new id comes in the middle of the alphabet. `IdEncoder` numbers in order of arrival
# and keeps 0 for those it has not met, so that a stranger is a known case and no id ever moves.

# %%
from sklearn.preprocessing import OrdinalEncoder

from recsys_course.features import IdEncoder

monday = pd.DataFrame({"item": ["tea", "rye"]})
tuesday = pd.DataFrame({"item": ["tea", "rye", "sugar"]})

encoder = IdEncoder().fit(monday)
numbers = pd.DataFrame(
    {
        "sorted, Monday": pd.Series(
            OrdinalEncoder().fit(monday).transform(monday)[:, 0], monday["item"]
        ),
        "sorted, Tuesday": pd.Series(
            OrdinalEncoder().fit(tuesday).transform(tuesday)[:, 0], tuesday["item"]
        ),
        "arrival, Monday": pd.Series(encoder.transform(tuesday)[:, 0], tuesday["item"]),
        "arrival, Tuesday": pd.Series(
            encoder.partial_fit(tuesday).transform(tuesday)[:, 0], tuesday["item"]
        ),
    }
)
assert numbers.loc["tea", "sorted, Monday"] != numbers.loc["tea", "sorted, Tuesday"]
assert numbers.loc["tea", "arrival, Monday"] == numbers.loc["tea", "arrival, Tuesday"] == 1
assert numbers.loc["sugar", "arrival, Monday"] == 0
numbers

# %% [markdown]
# ## Scaling, when it matters
#
# The source scales all features, lest some influence training too much. A scaler subtracts the mean and divides by the
# standard deviation. Both can be kept up to date one value at a time, with a running mean and a running sum of squares
# [@welford1962]; scikit-learn's `StandardScaler` does that when it is fed with `partial_fit`, a day at a time.
#
# Does it matter? Add the age of the book in *seconds*, a column of large numbers, to the counts, and give them to two
# models: a linear one trained by gradient steps, and boosted trees. Three versions: as they are, scaled with mean and
# deviation of the past, and scaled with those of the whole table, which looks ahead.

# %%
age = (exposures["timestamp"] - exposures["item"].map(shop.items["arrived"])).to_numpy(
    dtype=float
)  # seconds

count, mean, squares = 0, 0.0, 0.0
for value in age[:5000]:
    count += 1
    step = value - mean
    mean += step / count
    squares += step * (value - mean)

daily = StandardScaler()
for chunk in np.array_split(age[:5000], 5):
    daily.partial_fit(chunk[:, None])
assert np.isclose(daily.mean_[0], mean) and np.isclose(daily.scale_[0], np.sqrt(squares / count))
assert np.isclose(StandardScaler().fit(age[:5000, None]).scale_[0], daily.scale_[0])
print(
    f"age of the books: {mean / DAY:.0f} days on average, standard deviation {np.sqrt(squares / count) / DAY:.0f}"
)

# %% tags=["erratum:scaling"]
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score

table = X.assign(age=age)
scalings = {
    "as they are": lambda rows: rows.to_numpy(),
    "scaled, past": StandardScaler().fit(table.loc[past]).transform,
    "scaled, whole table": StandardScaler().fit(table).transform,
}
makers = {
    "gradient steps": lambda: SGDClassifier(
        loss="log_loss", average=True, max_iter=2, tol=None, random_state=0
    ),
    "trees": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
}
latest = past[-20_000:]
auc, said = pd.DataFrame(index=makers, columns=scalings, dtype=float), {}
for model_name, make in makers.items():
    for name, scale in scalings.items():
        model = make().fit(scale(table.loc[latest]), y[latest])
        said[model_name, name] = model.predict_proba(scale(table.loc[future]))[:, 1]
        auc.loc[model_name, name] = roc_auc_score(y[future], said[model_name, name])

assert np.array_equal(said["trees", "as they are"], said["trees", "scaled, past"])
assert (
    auc.loc["gradient steps", "as they are"]
    < 0.55
    < 0.65
    < auc.loc["gradient steps", "scaled, past"]
)
assert (
    abs(
        auc.loc["gradient steps", "scaled, past"]
        - auc.loc["gradient steps", "scaled, whole table"]
    )
    < 0.01
)
auc.round(3)

# %% [markdown]
# The table shows the area under the ROC curve: the chance that a purchase gets a higher score than an exposure without
# one; a coin gets one half. Gradient steps on raw seconds are a coin. The trees are *identical* with and without
# scaling, since a question like "more than 30 days?" has the same answer in any unit. So scale for models that add
# features up, measure distances or take gradient steps, and save yourself the trouble for trees.
#
# The last column looks ahead, and gains nothing that three decimals show: scaling only has to bring columns to a like
# size, and either scaler does. We fit scalers on the past all the same. A rule that is always kept needs no judgement,
# and the next leak is not so harmless.
#
# ## The leak that a random split hides
#
# Back to the two analysts and their four features of MovieLens. Ann computed them as one does, with a `groupby` over
# the table. Bob used windows: *so far*. Both validate on a random split, as most tutorials do. We draw five of them,
# to see how much luck is in it.

# %%
from recsys_course.events import split_at
from recsys_course.metrics import rmse

ratings = data.movielens().events
stars = ratings["label"].to_numpy()


def whole_table(events):
    """Ann's four features."""
    user, film = events.groupby("user")["label"], events.groupby("item")["label"]
    means = {"user_mean": user.transform("mean"), "film_mean": film.transform("mean")}
    counts = {"user_count": user.transform("size"), "film_count": film.transform("size")}
    return pd.DataFrame(means | counts).astype(float)


so_far = WindowFeatures(
    [
        Window("user_mean", "user", None, statistic="mean", value="label"),
        Window("film_mean", "item", None, statistic="mean", value="label"),
        Window("user_count", "user", None),
        Window("film_count", "item", None),
    ]
)
ann, bob = whole_table(ratings), so_far.fit_transform(ratings)
bob.tail(3).round(2)

# %%
from sklearn.ensemble import HistGradientBoostingRegressor


def fit_trees(features, rows):
    trees = HistGradientBoostingRegressor(max_iter=30, random_state=0)
    return trees.fit(features.iloc[rows], stars[rows])


cut_at = len(split_at(ratings, 0.6)[0])
promised = []
for seed in range(5):
    order = np.random.default_rng(seed).permutation(len(ratings))
    train, test = order[:cut_at], order[cut_at:]
    for name, table in (("Ann", ann), ("Bob", bob)):
        error = rmse(stars[test], fit_trees(table, train).predict(table.iloc[test]))
        promised.append({"analyst": name, "split": seed, "RMSE": error})
promised = pd.DataFrame(promised).pivot(index="split", columns="analyst", values="RMSE")
assert (promised["Ann"] < promised["Bob"] - 0.07).all()
promised.agg(["mean", "min", "max"]).round(3)

# %% [markdown]
# Ann is far ahead in each split, and the luck of the draw is a tenth of her lead. You put her model live.
#
# Live means: fitted on the past, and asked about rating after rating with what is known *by then*. Ann's `groupby` now
# runs over the past, which is all there is, and her trees are fitted on that. From then on they are asked with the
# numbers as they stand when the rating is to be predicted, the same as Bob's.

# %%
from recsys_course.metrics.intervals import block_interval, user_interval
from recsys_course.models import RunningMeans
from recsys_course.replay import replay
from recsys_course.strategies import Incremental

train, test = np.arange(cut_at), np.arange(cut_at, len(ratings))
live = {
    "Ann, split in time": fit_trees(ann, train).predict(ann.iloc[test]),
    "Ann, live": fit_trees(whole_table(ratings.iloc[train]), train).predict(bob.iloc[test]),
    "Bob, live": fit_trees(bob, train).predict(bob.iloc[test]),
}
counting = replay(ratings, Incremental(RunningMeans(forget=0.05)), task="rating", warmup=0.6)
live["running means, live"] = counting.scores

once = ann["film_count"].to_numpy()[test] == 1
promise = {"Ann": live["Ann, split in time"], "Bob": live["Bob, live"]}
on_once = {name: rmse(stars[test][once], values[once]) for name, values in promise.items()}
assert on_once["Ann"] < 0.4 * on_once["Bob"]
print(
    f"films rated once: {once.mean():.0%} of the future, RMSE {on_once['Ann']:.2f} for Ann, {on_once['Bob']:.2f} for Bob"
)

errors = pd.Series({name: rmse(stars[test], values) for name, values in live.items()})
assert errors["Ann, live"] > errors["Bob, live"] + 0.02 > errors["running means, live"] + 0.04
assert errors["Ann, split in time"] < promised["Ann"].max()
errors.round(3)

# %%
_, ax = plt.subplots(figsize=(8, 3.6))
for place, name in enumerate(["Bob", "Ann"]):
    ax.plot(
        promised[name],
        [place] * 5,
        linestyle="none",
        marker="o",
        color=plot.COLOURS[0],
        fillstyle="none",
        markeredgewidth=2,
        markersize=9,
    )
    ax.plot(
        errors[f"{name}, live"],
        place,
        linestyle="none",
        marker="s",
        color=plot.COLOURS[1],
        markersize=11,
    )
ax.axvline(errors["running means, live"], color=plot.COLOURS[2], linestyle=":", marker="")
ax.annotate(
    "running means, live",
    (errors["running means, live"], 0.5),
    xytext=(6, 0),
    textcoords="offset points",
)
ax.set(yticks=[0, 1], yticklabels=["Bob\nso far", "Ann\nwhole table"], ylim=(-0.5, 1.5))
ax.set(
    xlabel="RMSE in stars (lower is better)",
    title="Promised by random splits (circles), and live (squares)",
)
plt.show()

change = {
    name: user_interval((stars[test] - live[f"{name}, live"]) ** 2 - (stars[test] - live["Bob, live"]) ** 2,
                        ratings["user"].to_numpy()[test], rng=np.random.default_rng(3))
    for name in ("Ann", "running means")
}  # fmt: skip
assert change["Ann"].low > 0 > change["running means"].high
pd.DataFrame(change, index=["mean", "low", "high"]).T.round(3)

# %% [markdown]
# Bob's square lies beside his circles: live he is a little better than he promised. Ann's lies far to the right of
# hers, and beyond Bob's. The dotted line, running means, is better than both. The table holds the differences to Bob
# in squared error, with intervals over users: Ann is worse, running means are better, and neither interval holds zero.
# That a few lines of counting beat both is the other lesson, and chapter 00 has told it.
#
# Where did Ann's lead come from? A film that was rated once has that rating as its mean: the feature *is* the label,
# and on such films her error in validation is a third of Bob's. With every further rating of a film the label is
# diluted, and still in there. The trees learned to trust such means, and live they are of another kind.
#
# Note the first line of the table above the figure: a split in time did *not* find the leak, for her test rows still hold their own
# labels in their features. The split has to be right *and* the features have to be computed as of their time. The
# poison test of chapter 02a would have told on her in a second. Leaks of this kind are old and common [@kaufman2012],
# and in the evaluation of recommenders they have been found to reorder the models [@ji2023].
#
# ## Selecting features three ways
#
# The source goes on to "select the features with a significant influence, and remove redundant ones" (A3.2 step 2),
# and gives as an example to take the purchases and views of the last three months (A4.3). That is a choice of a
# length; nothing was compared. There are three ways to compare. A *filter* scores each feature alone. A *wrapper*
# tries sets of features with the model that will use them. An *embedded* method lets the model drop features while it
# is fitted [@guyon2003].
#
# First the wrapper, as a loop: start with nothing, and add whichever feature makes the error in validation smallest.
# Each validation lies after its training rows, never before: `TimeSeriesSplit`. To save time the columns are scaled once,
# on all rows that take part in the search; they end before the future on which the result is judged.

# %%
from sklearn.feature_selection import (
    SelectFromModel,
    SequentialFeatureSelector,
    mutual_info_classif,
)
from sklearn.model_selection import TimeSeriesSplit, cross_val_score

recent = past[-6_000:]
Z = pd.DataFrame(StandardScaler().fit_transform(np.log1p(X.loc[recent])), columns=X.columns)
fast = LogisticRegression(solver="newton-cholesky", tol=1e-3)
in_time = {"cv": TimeSeriesSplit(2), "scoring": "neg_log_loss"}

chosen: list[str] = []
for _ in range(2):
    gain = {
        c: cross_val_score(fast, Z[[*chosen, c]].to_numpy(), y[recent], **in_time).mean()
        for c in Z
        if c not in chosen
    }
    chosen.append(max(gain, key=gain.get))

search = SequentialFeatureSelector(fast, n_features_to_select=6, **in_time).fit(Z, y[recent])
wrapper = list(Z.columns[search.get_support()])
assert set(chosen) < set(wrapper)
chosen

# %% [markdown]
# scikit-learn's `SequentialFeatureSelector` is that loop, and our two are among the six that it chooses. Now six
# features by each method, chosen on the past, judged on the future; beside them all thirty-six, the source's four, and
# ten draws of six at random. The filter is the *mutual information* of a feature and the label, the embedded method a
# logistic regression whose penalty drives weights to exactly zero (L1).

# %% tags=["erratum:window-is-not-selection"]
information = mutual_info_classif(Z, y[recent], random_state=0)
lasso = LogisticRegression(l1_ratio=1, solver="saga", C=0.01, tol=1e-3, max_iter=500)
sparse = SelectFromModel(lasso, max_features=6, threshold=-np.inf).fit(Z, y[recent])
sets = {
    "all": list(Z),
    "filter": list(Z.columns[np.argsort(-information)[:6]]),
    "wrapper": wrapper,
    "embedded": list(Z.columns[sparse.get_support()]),
    "the source's": source_features,
}
draws = [np.random.default_rng(seed).choice(Z.columns, 6, replace=False) for seed in range(10)]
lost = {name: loss_of(columns) for name, columns in sets.items()}
selection = pd.DataFrame(
    {
        "features": {name: len(columns) for name, columns in sets.items()},
        "log loss": {name: lost[name].mean() for name in sets},
    }
)
by_chance = pd.Series([loss_of(list(columns)).mean() for columns in draws])
print(
    f"six at random, ten draws: {by_chance.min():.3f} to {by_chance.max():.3f}, median {by_chance.median():.3f}"
)
for name in ("filter", "wrapper", "embedded"):
    print(f"{name}:", ", ".join(sets[name]))
assert sum(name.startswith("category") for name in sets["filter"]) >= 4
assert (
    selection["log loss"]["the source's"]
    > selection["log loss"][["wrapper", "embedded"]].max() + 0.02
)
assert selection["log loss"]["all"] < selection["log loss"][["wrapper", "embedded"]].min()
assert (
    selection["log loss"][["wrapper", "embedded"]].max()
    < by_chance.min()
    < selection["log loss"]["filter"]
)
behind = block_interval(lost["wrapper"] - lost["all"], rng=np.random.default_rng(4))
assert behind.low > 0, (
    "the wrapper's six should be behind all features, and the interval should say so"
)
print(
    f"the wrapper's six against all, difference and interval: {' '.join(f'{value:.4f}' for value in behind)}"
)
selection.round(3)

# %% [markdown]
# An honest result, and not the one that the word "selection" promises. All thirty-six are best. The wrapper and the
# embedded method find six that come close, better than any of ten random draws; the interval says that the distance to
# all is real. The filter does no better than chance. It looks at each feature alone, so it takes much the same thing
# again and again: four of its six count the category. What selection buys here is not quality but cost, six windows to
# keep and to serve in place of thirty-six. And nobody picks three months throughout: a week, a month and three are
# mixed.
#
# One trap is left for the exercises: whoever selects on *all* rows, and validates afterwards, has shown the validation
# rows to the selection. With many features and few rows, pure noise then looks like knowledge.
#
# ## What the source says, what we measured
#
# | The source says | Where | What we measured |
# |---|---|---|
# | Scale all features | A3.2 step 1, B concepts 1 | Gradient steps are lost without it, trees are the same with and without: *Scaling, when it matters* |
# | Live data go through the same steps as training data | A3.2 step 7 | The same `groupby` is not the same feature. Over the whole table it promises an RMSE of 0.822, and live it gives 0.924, where windows give 0.888: *The leak that a random split hides* |
# | Select features with significant influence, and drop redundant ones | A3.2 step 2, A4.3 | Six selected ones have a log loss of 0.603, all thirty-six 0.594: a saving, no gain: *Selecting features three ways* |
#
# ## Recap
#
# 1. Ids are numbered in order of arrival, with one number kept for strangers, so that no id ever moves.
# 2. Scaling matters to models that add, measure or step, not to trees; whatever is fitted is fitted on the past.
# 3. A mean over the whole table holds the label that it helps to predict, and holds nothing else where there is one row.
# 4. A random split hides a feature that knows the future, and so does a split in time: the poison test tells, or live data.
# 5. Selection is judged in time order; here it saved windows to keep and serve, and won no quality.
#
# ## Three questions
#
# **1. A colleague computes each user's mean rating on the training rows alone and joins it to training and test rows,
# in a split in time. Is that free of leaks?**
#
# <details><summary>Answer</summary>
#
# Not for the training rows. Each of them is in its own user's mean, so the model learns to trust the feature more than
# it deserves; the test rows are honest, and the model is disappointed there. Ann's model as it went live has the same
# fault on its training side; only the numbers that it was asked with were fresher.
# Means of what came before each row have the same meaning on both sides.
#
# </details>
#
# **2. The wrapper's six features are behind all thirty-six, and the interval says so. Why might you serve the six?**
#
# <details><summary>Answer</summary>
#
# Because a difference that is certain may still be small. Each window is state to keep and a number to compute for every
# book that is shown; thirty fewer may pay for something that gains more, such as the factorisation of chapter 02a. And a
# selection is fitted like anything else: it ages, so whoever serves six has to ask again, later, whether they are still
# the right ones.
#
# </details>
#
# **3. The scaler of the whole table looked ahead and gained next to nothing. When would it matter?**
#
# <details><summary>Answer</summary>
#
# When the future has other levels than the past: a price after an inflation, a counter that only grows, a new market.
# Then the past's mean is off, live as well, and a validation that used the whole table would not have shown it.
#
# </details>
#
# ## Read on
#
# - What a leak is, how to find and how to avoid it: [@kaufman2012!]
# - Leaks in the evaluation of recommenders: [@ji2023!]
# - Filters, wrappers and embedded methods: [@guyon2003!]
# - The running mean and variance, in two pages: [@welford1962!]
#
# ## Exercises
#
# In `exercises/02b_scaling_leaks_and_selection.ipynb`: keep a scaler up to date; ask what a feature would have said live;
# see noise turn into knowledge; and design windows that close twice as much of the gap as the source's.
