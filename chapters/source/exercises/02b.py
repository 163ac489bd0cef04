# %% [markdown]
# # 02b Exercises: Scaling, leaks and selection
#
# These go with [chapter 02b](../02b_scaling_leaks_and_selection.ipynb). Each asks you to replace the line that raises an
# error, and is followed by a cell that checks your answer; run it until it is silent. They become less guided as they
# go on.

# %%
import numpy as np
import pandas as pd
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from recsys_course import data
from recsys_course.events import sort_events
from recsys_course.features import Window, WindowFeatures
from recsys_course.metrics import log_loss

# %% [markdown]
# ## 1. A scaler that keeps up
#
# *Objective 2.* A price drifts. Write `scaled_daily(days)`: `days` is a list of arrays, one a day; return the list of
# scaled arrays. Each day is scaled with the mean and standard deviation of *all days before it*, and learned after
# that; the first day, before which there is nothing, is returned as it is. `StandardScaler.partial_fit` keeps the
# numbers.

# %%
prices = [np.random.default_rng(d).normal(10 + d / 5, 2, size=50) for d in range(40)]


# %% answer="scaler"
def scaled_daily(days):
    ### BEGIN SOLUTION
    scaler, out = StandardScaler(), []
    for number, day in enumerate(days):
        column = np.asarray(day)[:, None]
        out.append(scaler.transform(column).ravel() if number else np.asarray(day))
        scaler.partial_fit(column)
    return out
    ### END SOLUTION


# %% check="scaler" points=2
out = scaled_daily(prices)
assert len(out) == len(prices) and all(
    len(a) == len(b) for a, b in zip(out, prices, strict=True)
), "one scaled array a day"
assert np.array_equal(out[0], prices[0]), "the first day has nothing before it: leave it as it is"
earlier = np.concatenate(prices[:7])
assert np.allclose(out[7], (prices[7] - earlier.mean()) / earlier.std()), (
    "day 7 is scaled with days 0 to 6, not with itself"
)
assert np.mean(out[-1]) > 1, (
    "the price has risen, and a scaler of the past shows it: do you fit each day anew?"
)


# %% wrong="scaler"
# Fits a scaler to each day: "the same steps as in training", and the drift is wiped out.
def scaled_daily(days):
    return [days[0], *[StandardScaler().fit_transform(d[:, None]).ravel() for d in days[1:]]]


# %% wrong="scaler"
# Learns the day before it is scaled.
def scaled_daily(days):
    scaler, out = StandardScaler(), []
    for number, day in enumerate(days):
        scaler.partial_fit(day[:, None])
        out.append(scaler.transform(day[:, None]).ravel() if number else day)
    return out


# %% wrong="scaler"
# One scaler for the whole table: looks ahead.
def scaled_daily(days):
    scaler = StandardScaler().fit(np.concatenate(days)[:, None])
    return [days[0], *[scaler.transform(d[:, None]).ravel() for d in days[1:]]]


# %% [markdown]
# ## 2. What it would have said live
#
# *Objective 3.* Ann's features were one thing in her table and another when the model was asked. Write
# `live(feature, events, start)`, an array with one number for each row from position `start` on: what `feature` would
# have said when that row was to be predicted. `feature` takes a table and returns a Series with one number per row. So
# for each of these rows hand it the table up to that row, *with* the row but with the row's own label unknown (NaN),
# and keep its last number. Leave `events` as it is. Timestamps all differ here, so you need not mind ties.

# %%
ratings = data.movielens().events.drop_duplicates("timestamp", ignore_index=True).head(2_000)
start = 1_800


# %% answer="live"
def live(feature, events, start):
    ### BEGIN SOLUTION
    said = []
    for position in range(start, len(events)):
        known = events.iloc[: position + 1].copy()
        known.loc[known.index[-1], "label"] = np.nan
        said.append(feature(known).iloc[-1])
    return np.array(said, dtype=float)
    ### END SOLUTION


# %% check="live" points=2
def mean_of_table(events):
    return events.groupby("item")["label"].transform("mean")


def mean_so_far(events):
    earlier = events.groupby("item")["label"]
    return (earlier.cumsum() - events["label"].fillna(0)) / earlier.cumcount()


def count_so_far(events):
    return events.groupby("item").cumcount()


original = ratings.copy()
said = live(count_so_far, ratings, start)
assert len(said) == len(ratings) - start, "one number for each row from start on"
assert np.array_equal(said, count_so_far(ratings).iloc[start:]), (
    "a count of earlier rows says the same live: does the table that you hand over end with the row itself?"
)
said = live(mean_of_table, ratings, start)
past_of_item = [
    ratings["label"].iloc[:place][ratings["item"].iloc[:place] == ratings["item"].iloc[place]]
    for place in range(start, len(ratings))
]
expected = np.array([labels.mean() for labels in past_of_item])
assert np.isnan(said[np.isnan(expected)]).all(), (
    "a film without an earlier rating has no mean live: is the row's own label hidden?"
)
assert np.allclose(said, expected, equal_nan=True), (
    "live, a mean over the table is the mean of what came before: do you hide the label, and the later rows?"
)
assert ratings.equals(original), "hide the label in a copy: the table must stay as it is"


# %% wrong="live"
# Leaves the row's own label in the table.
def live(feature, events, start):
    return np.array(
        [feature(events.iloc[: place + 1]).iloc[-1] for place in range(start, len(events))],
        dtype=float,
    )


# %% wrong="live"
# Hands over the table without the row: the last number belongs to the row before.
def live(feature, events, start):
    return np.array(
        [feature(events.iloc[:place]).iloc[-1] for place in range(start, len(events))],
        dtype=float,
    )


# %% wrong="live"
# Computes the feature once over the whole table, as Ann did.
def live(feature, events, start):
    return feature(events).to_numpy(dtype=float)[start:]


# %% wrong="live"
# Hides the label and forgets that later rows are not there yet.
def live(feature, events, start):
    said = []
    for place in range(start, len(events)):
        known = events.copy()
        known.loc[known.index[place], "label"] = np.nan
        said.append(feature(known).iloc[place])
    return np.array(said, dtype=float)


# %% [markdown]
# ## 3. Knowledge from noise
#
# *Objective 4.* Below are a hundred labels and two thousand features, all of them noise: nothing can be predicted. A
# selection of the ten features that correlate most, made on *all* rows before the cross-validation, makes noise look
# like knowledge. Write `honest_score(features, labels)`: the mean $R^2$ of `LinearRegression` on ten features selected by
# `SelectKBest(f_regression, k=10)` under `KFold(5)`, with the selection made inside each fold, on its training rows
# only.

# %%
noise = np.random.default_rng(0).normal(size=(100, 2_000))
nothing = np.random.default_rng(1).normal(size=100)
best = SelectKBest(f_regression, k=10).fit_transform(noise, nothing)
fooled = cross_val_score(LinearRegression(), best, nothing, cv=KFold(5), scoring="r2").mean()
print(f"selected on all rows, then validated: R2 {fooled:.2f}")


# %% answer="noise"
def honest_score(features, labels):
    ### BEGIN SOLUTION
    model = make_pipeline(SelectKBest(f_regression, k=10), LinearRegression())
    return cross_val_score(model, features, labels, cv=KFold(5), scoring="r2").mean()
    ### END SOLUTION


# %% check="noise" points=2
assert fooled > 0.2, "the set-up changed: selecting on all rows should look like knowledge"
assert honest_score(noise, nothing) < 0, (
    "noise predicts nothing: is the selection inside each fold?"
)
signal = noise.copy()
signal[:, 5] = nothing + 0.1 * noise[:, 5]
assert honest_score(signal, nothing) > 0.9, (
    "where one feature does know the label, your score should say so"
)


# %% wrong="noise"
# Selects on all rows first.
def honest_score(features, labels):
    chosen = SelectKBest(f_regression, k=10).fit_transform(features, labels)
    return cross_val_score(LinearRegression(), chosen, labels, cv=KFold(5), scoring="r2").mean()


# %% wrong="noise"
# Selects nothing: always says that nothing is known.
def honest_score(features, labels):
    model = LinearRegression()
    return min(-0.1, cross_val_score(model, features, labels, cv=KFold(5), scoring="r2").mean())


# %% [markdown]
# ## 4. Windows of your own
#
# *Objective 4.* Design `my_windows`, a list of at most eight `Window`s over the log below, for predicting whether a
# book that is shown will be bought. The source's four features are the bar: your logistic regression
# should close at least twice as much of the gap between a constant and the truth. Other keys (`author`, `publisher`)
# and statistics ("since") are in the log for you to try. Decide on the *past* alone, by splitting it once more in
# time; the check looks at the future, once. `None` is a length too.

# %%
shop = data.bookstore()
row = shop.events[["user", "item", "category", "timestamp"]].assign(label=1.0)
row["author"] = row["item"].map(shop.items["author"])
row["publisher"] = row["item"].map(shop.items["publisher"])
delay = shop.events["purchase_delay"].fillna(0).astype("int64")
log = sort_events(
    pd.concat(
        [
            row.assign(what="shown"),
            row[shop.events["view"] == 1].assign(what="view"),
            row[shop.events["label"] == 1].assign(
                what="purchase", timestamp=row["timestamp"] + delay
            ),
        ]
    )
)
bought = shop.events["label"].to_numpy()
fit_rows, future_rows = slice(60_000, 120_000), slice(120_000, None)


def share_of_gap(windows):
    """Of the log loss between a constant (0) and the truth (1), what these windows close on the future."""
    table = (
        WindowFeatures(windows)
        .fit_transform(log)[(log["what"] == "shown").to_numpy()]
        .fillna(1e7)
    )
    model = make_pipeline(
        FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(max_iter=300)
    )
    model.fit(table.iloc[fit_rows], bought[fit_rows])
    loss = log_loss(bought[future_rows], model.predict_proba(table.iloc[future_rows])[:, 1])
    constant = log_loss(
        bought[future_rows], np.full(len(bought[future_rows]), bought[fit_rows].mean())
    )
    truth = log_loss(bought[future_rows], shop.events["p_purchase"].to_numpy()[future_rows])
    return (constant - loss) / (constant - truth)


the_source = [
    Window(f"{key}_{what}", key, "90D", where={"what": what})
    for key in ("user", "category")
    for what in ("purchase", "view")
]
print(f"the source's four close {share_of_gap(the_source):.0%} of the gap")

# %% answer="windows"
### BEGIN SOLUTION
my_windows = [
    Window(f"{name}_{what}", key, length, where={"what": what})
    for name, key, length in (
        ("taste", ("user", "category"), None),
        ("book", "item", "30D"),
        ("reader", "user", "30D"),
    )
    for what in ("shown", "purchase")
] + [
    Window(f"again_{what}", ("user", "item"), None, where={"what": what})
    for what in ("shown", "purchase")
]
### END SOLUTION

# %% check="windows" points=4
assert 1 <= len(my_windows) <= 8, "give one to eight windows"
assert all(isinstance(window, Window) for window in my_windows), "each is a Window"
mine, bar = share_of_gap(my_windows), share_of_gap(the_source)
assert mine >= 2 * bar, (
    f"your windows close {mine:.0%} of the gap; twice the source's would be {2 * bar:.0%}: try other keys"
)

# %% wrong="windows"
# The source's features once more, over a month.
my_windows = [
    Window(f"{key}_{what}", key, "30D", where={"what": what})
    for key in ("user", "category")
    for what in ("purchase", "view")
]

# %% wrong="windows"
# Many windows in place of good ones.
my_windows = [
    Window(f"{key}_{days}", key, f"{days}D")
    for key in ("user", "category", "item")
    for days in (1, 3, 7, 14, 30, 90)
]
