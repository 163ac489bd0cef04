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
# # 02 Preprocessing and features
#
# **What you will be able to do.**
#
# 1. Clean a log with a report that adds up, and tell a row sent twice from a thing bought twice.
# 2. Turn a log into features that look back over a window and see nothing but the past, and prove it.
# 3. Compute the same features for a table and for a stream from one definition, and prove that they agree.
# 4. Scale features and number ids without looking ahead, and say which models need it.
# 5. Find the leak that a random split hides.
# 6. Select features three ways, judged in time order, and say whether it was worth it.
#
# **What you need.** Chapter 00. Two of scikit-learn's models appear as black boxes: logistic regression, which adds up
# features with weights and turns the sum into a probability, and gradient-boosted trees, which ask a series of
# yes-or-no questions about features. All you need of either is `fit` and `predict`.
#
# **Time.** 40 minutes to read, less than half a minute to run.
#
# **Sections of the source.** A3.2 steps 1 and 2, the first half of A4.3, B basic concepts 1, and B9.2.
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
import numpy as np
import pandas as pd

from recsys_course import data, plot
from recsys_course.events import EventsError, check_events, sort_events, split_at

plot.use_style()
"ready"

# %% [markdown]
# ## Seven rows
#
# Before any large log, look at a small one. The source's project (B9.2) starts from this table, in which action 1 is a
# purchase and action 2 a look at a product. Can a recommender be trained on it?

# %% tags=["erratum:toy-table"]
toy = pd.DataFrame(
    {
        "user": [1, 1, 1, 2, 2, 3, 3],
        "item": [1001, 1002, 1003, 1004, 1005, 1001, 1002],
        "action": [1, 1, 1, 2, 2, 2, 2],
    }
)
try:
    check_events(toy.rename(columns={"action": "label"}).astype({"label": float}))
except EventsError as error:
    print(f"{type(error).__name__}: {error}")

bought, looked = toy[toy["action"] == 1], toy[toy["action"] == 2]
assert not set(bought["user"]) & set(looked["user"]), "no user does both"
pd.crosstab(toy["user"], toy["action"].map({1: "bought", 2: "looked"}))

# %% [markdown]
# It cannot, for three reasons.
#
# There is no time. "Bought in the last month" cannot be computed, and no row is known to be before another. There is
# no row for what was shown and left alone, so nothing says what a "no" looks like. And each user does one thing only:
# who it is tells what was done. The source then trains on the purchases and tests on the looks, so that no user of the
# test was ever seen in training.
#
# ## The log of a shop
#
# A table that can be used says what was *shown*, to whom, and when. The bookstore of this course is simulated, and it
# is the one set that logs all of it. The next cell makes a world of its own, with twice as many days as the sample
# that ships, because a window of three months needs three months behind it.
#
# One thing first. The source's shop (A4.3) lists the time of purchase among its data and trains a model to predict
# whether there will be a purchase. Look what that column knows:

# %% tags=["erratum:purchase-time"]
from recsys_course.data.bookstore import BookstoreConfig

shop = data.bookstore(
    200_000, rng=np.random.default_rng(0), config=BookstoreConfig(events_per_day=1_000)
)
exposures = shop.events
has_time = exposures["purchase_delay"].notna()
assert (has_time == (exposures["label"] == 1)).all()
print(
    f"rows in which 'there is a time of purchase' equals the label: {(has_time == exposures['label']).mean():.0%}"
)
exposures[["user", "item", "category", "timestamp", "view", "label", "purchase_delay"]].head()

# %% [markdown]
# The column is the label in disguise. A time of purchase is a fine thing to know of *earlier* purchases; of the one
# that is to be predicted it must not be read. The way out is to stop thinking of columns and to think of happenings.
# Three things happen in this shop, each at its own time: a book is shown, it is opened (at once), it is bought (hours
# later). We write a row for each. The label of every row of this log is 1: this happened. What we want to predict,
# whether a book that is shown will be bought, stays apart, in `exposures`.

# %%
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
log["what"].value_counts()

# %% [markdown]
# ## Clean, and keep the books
#
# Step 1 of the source: remove what is repeated, missing or impossible. Removing is easy. Knowing afterwards what was
# removed, and why, is the part that gets skipped. Let us dirty a piece of the exposures on purpose, so that we know
# what should be found: some rows are sent twice, some lose their user, one comes from a clock that runs ahead.
#
# First a plain loop. Each row leaves for one reason, the first that holds, so that the sum is right. Then the
# library's `clean`, which does this and returns a report beside the table.

# %%
rng = np.random.default_rng(0)
dirty = exposures.loc[:1999, ["user", "item", "label", "timestamp"]]
dirty = pd.concat([dirty, dirty.iloc[100:].sample(30, random_state=rng)], ignore_index=True)
dirty.loc[[10, 11, 12], "user"] = np.nan
dirty.loc[[20, 21], "label"] = 7.0
dirty.loc[30, "timestamp"] = 4_000_000_000
now = int(exposures["timestamp"].max())

kept, removed, seen = [], {"no user": 0, "label": 0, "future": 0, "duplicate": 0}, set()
for line in dirty.itertuples():
    key = (line.user, line.item, line.label, line.timestamp)
    if np.isnan(line.user):
        removed["no user"] += 1
    elif not 0 <= line.label <= 1:
        removed["label"] += 1
    elif line.timestamp > now:
        removed["future"] += 1
    elif key in seen:
        removed["duplicate"] += 1
    else:
        kept.append(line.Index)
        seen.add(key)
assert len(dirty) == len(kept) + sum(removed.values())
removed

# %%
from recsys_course.features import clean

cleaned, report = clean(dirty, label_range=(0, 1), not_after=now)

assert [f.rows for f in report.findings if f.removed] == list(removed.values())
assert cleaned["timestamp"].tolist() == dirty.loc[kept, "timestamp"].tolist()
print(report)

# %% [markdown]
# ## Sent twice or bought twice?
#
# The last line of the report is the important one. The same reader met the same book again, later. That is no error.
# Now a real log: a year of till receipts from a grocer, one line for each product in each basket.

# %%
grocer = data.complete_journey_lines()
lines = grocer.events
_, report = clean(lines)

repeats = report.table().loc["repeat of a user and item at another time", "rows"]
assert report.removed == 0 and repeats > 0.4 * len(lines)
print(report)
print(f"share of the lines that repeat an earlier purchase: {repeats / len(lines):.0%}")

most = 100
large = lines[lines["quantity"] > most]
kinds = large["item"].map(grocer.items["type"]).value_counts()
assert kinds.iloc[0] / len(large) > 0.99
print(
    f"{len(large):,} lines with a quantity above {most}, up to {large['quantity'].max():,}: {kinds.head(2).to_dict()}"
)

# %% [markdown]
# Begin at the end. Quantities above 100 look impossible, up to 89,638 of a thing on one receipt. All but one of these
# lines are petrol, whose quantity is in a smaller unit that nobody wrote down. A rule that removes outliers would
# remove every visit to the filling station from the log. Before you remove the impossible, ask for its unit.
#
# Fourteen lines are undecidable: the same second, but another receipt. `clean` keeps and counts them, and leaves the
# decision to someone who can ask the till.
#
# Not one line is a duplicate, and two in five are repeats: people buy milk again. "Remove repeated data", as the
# source puts it without saying what repeats, is one line of pandas, `drop_duplicates(["user", "item"])`. What would it
# cost?
#
# To see that we need a recommender. *Personal frequency* recommends to a household what it has bought most often; what
# it has never bought comes after that, by popularity. We fit it on the past of some households with and without that
# line, and count which share of each later basket is among the ten types of product that it recommends.

# %% tags=["erratum:repeats"]
from recsys_course.metrics import recall
from recsys_course.metrics.intervals import block_interval, user_interval
from recsys_course.models import PersonalFrequency
from recsys_course.replay import replay
from recsys_course.strategies import Frozen


class WithoutRepeats(PersonalFrequency):
    def fit(self, events):
        return super().fit(events.drop_duplicates(["user", "item"]))


households = np.random.default_rng(0).choice(lines["user"].unique(), 400, replace=False)
some = lines[lines["user"].isin(households) & (lines["type"] >= 0)]
some = some.assign(item=some["type"]).drop_duplicates(
    ["event", "item"]
)  # a row for each type in each basket

found, buyer = {}, None
for name, model in (
    ("repeats kept", PersonalFrequency(forget=0.0)),
    ("repeats removed", WithoutRepeats(forget=0.0)),
):
    result = replay(some, Frozen(model), task="ranking", warmup=0.6)
    found[name] = recall(result.scores, result.events, k=10)
    buyer = pd.Series(result.users).groupby(result.events).first().to_numpy()

loss = user_interval(
    found["repeats kept"] - found["repeats removed"], buyer, rng=np.random.default_rng(1)
)
assert loss.low > 0.1
pd.Series(
    {name: values.mean() for name, values in found.items()}
    | {"lost": loss.mean, "at least": loss.low}
).round(3)

# %% [markdown]
# The tidy-looking line throws away half of what the model knew. A duplicate is the same user, item, label *and time*.
# The same user and item at another time is the strongest signal that a grocer has.
#
# ## Looking back over a window
#
# Step 2 of the source is to extract features. Its shop (A4.3) wants three: purchases of the user in a recent period,
# views of the user, and the heat of a category, which is how much of it was bought and viewed. All three ask the log
# one question: *how many rows like this, of the same user or category, between then and now?*
#
# The ends of that window are half of the definition. The past side is inclusive. The present side is *exclusive*: a
# row never sees itself, nor anything else of its own second, since we do not know which of them came first. One `<=`
# in place of `<`, and the purchase that you are about to predict is counted among the earlier ones.
#
# Here is the question in plain Python, for a hundred rows of the log, and then the library's answer to all of it. The
# loop goes through the log for each row. The library keeps a count per user, adds a row when it enters the window and
# takes it out when it leaves, so that a row costs the same for any length of window.

# %%
DAY = 86_400


def count_before(log, now, user, what, days):
    """Rows of this user in the window: from now - days, inclusive, to now, exclusive."""
    return sum(
        row.user == user and row.what == what and now - days * DAY <= row.timestamp < now
        for row in log.itertuples()
    )


piece = log.head(4000)
asked = piece.tail(100)
by_hand = [
    count_before(piece, row.timestamp, row.user, "purchase", 30) for row in asked.itertuples()
]
print(
    f"purchases of the reader in the last 30 days: {np.mean(by_hand):.2f} on average, at most {max(by_hand)}"
)

# %%
from recsys_course.features import Window, WindowFeatures

bought_30d = Window("bought_30d", key="user", length="30D", where={"what": "purchase"})
counted = WindowFeatures([bought_30d]).fit_transform(piece)
assert counted["bought_30d"].tail(100).tolist() == by_hand
counted.tail(3)

# %% [markdown]
# A `Window` is a definition: a name, whose rows count for each other, how far back, and which rows count. Definitions
# are cheap to write, so write many: for the reader, the category, the book, and the reader in this category; for what
# was shown, viewed and purchased; over a week, a month and three months.

# %%
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
assert (log.loc[shown, "item"].to_numpy() == exposures["item"]).all()

day = (exposures["timestamp"] - shop.world.config.start) // DAY
months = X["reader_shown_90d"].groupby(day // 30).mean()
assert (
    months.iloc[:3].is_monotonic_increasing
    and months.iloc[3:6].max() < 1.1 * months.iloc[3:6].min()
)
print(f"{len(windows)} features of {len(X):,} exposures; reader_shown_90d, mean in each month:")
months.round(1)

# %% [markdown]
# Mind the first three months: a window of 90 days cannot be full before day 90, because the log begins too late. Its
# mean climbs for no other reason than that. A model fitted there would learn from counts that mean something else
# later, so from here on the first 90 days only fill the windows. The fifty days after them are the past, the rest is
# the future.
#
# ## What are they worth?
#
# The judge is the log loss: minus the logarithm of the probability that was given to what happened, on average;
# smaller is better. A constant gives the worst that is sensible, the simulator's own probabilities the best that is
# possible, and a score in between is stated as the share of that gap that it closes. Two models of chapter 00 that
# read no feature at all stand beside: running means and the factorisation, learning from each exposure as it comes.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from recsys_course.metrics.losses import row_log_loss
from recsys_course.models import MatrixFactorization, RunningMeans
from recsys_course.strategies import Incremental

first, cut = np.searchsorted(day, [90, 140])
past, future = np.arange(first, cut), np.arange(cut, len(X))


def loss_of(columns):
    """Log loss of each exposure of the future, of a logistic regression on the logarithms of these counts."""
    model = make_pipeline(
        FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(max_iter=300)
    )
    model.fit(X.loc[past, columns], y[past])
    return row_log_loss(y[future], model.predict_proba(X.loc[future, columns])[:, 1])


def loss_per_event(model):
    result = replay(exposures, Incremental(model), task="binary", warmup=cut / len(X))
    assert len(result.scores) == len(future)
    return row_log_loss(result.labels, result.scores.clip(0.01, 0.99))


source_features = [
    "reader_purchase_90d",
    "reader_view_90d",
    "category_purchase_90d",
    "category_view_90d",
]
losses = {
    "a constant": row_log_loss(y[future], np.full(len(future), y[past].mean())),
    "the source's features": loss_of(source_features),
    "readers and categories": loss_of(
        [name for name in X if name.startswith(("reader", "category"))]
    ),
    "all features": loss_of(list(X)),
    "running means": loss_per_event(RunningMeans(forget=0.02)),
    "factorisation": loss_per_event(
        MatrixFactorization(
            n_factors=8,
            epochs=10,
            step_size=0.05,
            regularization=0.05,
            label_range=(0, 1),
            rng=np.random.default_rng(0),
        )
    ),
    "the truth": row_log_loss(y[future], exposures["p_purchase"].to_numpy()[future]),
}
worth = pd.DataFrame({"log loss": {name: values.mean() for name, values in losses.items()}})
worth["share of the gap"] = (worth["log loss"].iloc[0] - worth["log loss"]) / np.ptp(
    worth["log loss"]
)
against_all = pd.DataFrame(
    {
        name: block_interval(losses[name] - losses["all features"], rng=np.random.default_rng(2))
        for name in ("the source's features", "running means", "factorisation")
    },
    index=["mean", "low", "high"],
).T
assert (
    against_all.loc["the source's features", "low"] > 0.02
    and against_all.loc["running means", "low"] > 0.01
)
assert against_all.loc["factorisation", "high"] < 0
worth["less all: low"], worth["high"] = against_all["low"], against_all["high"]
worth.round(3)

# %% [markdown]
# The source's ideas carry something, but little. More lengths, and counts of what was shown, add to it. The larger
# step comes from two keys that it does not mention: the book, and the reader *in this category*. With them the windows
# are ahead of running means, although those are told of each purchase at once, sooner than any shop could know. Yet
# counting does not replace a model of tastes: the factorisation, kept fresh, is ahead of all else in the table but the
# truth.
#
# The last two columns say that this is more than luck. They hold the interval of the difference to all features, from
# resampled stretches of time, and none of the three holds zero.
#
# ## One and a half million purchases
#
# Does it hold at size? Six windows, over a week, a month and three months, for each household and each category, on
# all lines of the grocer. `pandas` can count in windows too, one key and one length at a time; a household's column
# serves as the check.

# %% tags=["timing"]
import time

began = time.perf_counter()
heat_windows = [
    Window(f"{key}_{days}d", key, f"{days}D")
    for key in ("user", "category")
    for days in (7, 30, 90)
]
heat = WindowFeatures(heat_windows).fit_transform(lines)
print(f"{len(lines):,} lines, {len(heat_windows)} windows: {time.perf_counter() - began:.1f} s")

# %%
import matplotlib.pyplot as plt
from matplotlib.dates import DateFormatter

household = lines[lines["user"] == lines["user"].iloc[0]]
dated = household.set_index(pd.to_datetime(household["timestamp"], unit="s"))
rolled = dated["label"].rolling("30D", closed="left").sum().fillna(0)
assert rolled.tolist() == heat.loc[household.index, "user_30d"].tolist()

assert (heat["category_7d"].isna() == lines["category"].isna()).all()

name = "FROZEN PIE/DESSERTS"
pies = heat[lines["category"] == name]
when = pd.to_datetime(lines.loc[pies.index, "timestamp"], unit="s")
_, ax = plt.subplots()
for days in (7, 30, 90):
    ax.plot(when, pies[f"category_{days}d"] / days, marker="", label=f"last {days} days")
ax.set(
    xlabel="month",
    ylabel=f"{name.lower()}:\npurchases a day in the window",
    title="A short window jumps, a long one follows late",
)
ax.xaxis.set_major_formatter(DateFormatter("%b"))
ax.legend()
plt.show()

peak = {days: when.loc[pies[f"category_{days}d"].idxmax()].date() for days in (7, 30, 90)}
level = pd.Series({days: (pies[f"category_{days}d"] / days).max() for days in (7, 30, 90)})
assert level[7] > 2 * level[90] and peak[7] < peak[90]
print(f"highest heat: {level.round(1).to_dict()} purchases a day")

# %% [markdown]
# The same shelf, three memories. At the left edge all three climb from nothing: windows that are not full yet. Over a
# week the heat jumps up before Thanksgiving and again before Christmas, and falls back at once. Over three months it
# hardly moves, then climbs late and stays warm after the rush is over. Neither is right: a short window is fresh and
# noisy, a long one calm and stale. Give the model several and let it weigh them. (A line without a category counts for
# no category, and its own heat is a missing value; nothing is filled in unseen.)
#
# ## Poison the future
#
# How do you know that a feature sees only the past? Reading the code is not enough; there is a test that needs no
# reading. Take a moment in the middle. Replace everything from there on with nonsense. Compute again. *Nothing before
# that moment may change, in any digit.*

# %%
moment = int(log["timestamp"].iloc[len(log) // 2])
before = (log["timestamp"] < moment).to_numpy()

poisoned = log.copy()
poisoned.loc[~before, "user"] = 0
poisoned.loc[~before, "item"] = rng.permutation(poisoned.loc[~before, "item"])
poisoned.loc[~before, ["what", "category"]] = ["purchase", "crime"]

pd.testing.assert_frame_equal(
    WindowFeatures(windows).fit_transform(poisoned)[before], features[before], check_exact=True
)


def share_changed(feature):
    """Share of the rows before the moment that the poison reaches."""
    return (feature(poisoned)[before] != feature(log)[before]).mean()


def purchases_of_reader(log):
    return (log["what"] == "purchase").groupby(log["user"]).transform("sum")


assert share_changed(purchases_of_reader) > 0.8
print(
    f"windows: nothing changed; purchases of the reader by groupby: {share_changed(purchases_of_reader):.0%} changed"
)

# %% [markdown]
# The windows pass. The feature below them, a `groupby` over the whole table as everyone writes it on a Monday morning,
# fails in nearly every row: it counts purchases that had not happened yet.
#
# ## One definition for table and stream
#
# A model that is live meets events one at a time. If its features are computed there by other code than in training,
# the two will differ in the cases that nobody thought of, and the model is asked about something that it was not
# trained on; such skew is among the debts that machine-learning systems run up in silence [@sculley2015]. The source
# says rightly that live data must go through *the same steps*. Here the same object answers both: `transform_one`
# gives the features of one row, `learn_one` lets it count. We stop the stream in the middle and resume it from what
# was saved. `advance` then goes on in larger steps, a month at a time.

# %%
import pickle

stream = WindowFeatures(windows).fit(log.head(0))
one_by_one = []
for number, event in enumerate(log.head(4000).to_dict("records")):
    if number == 2000:
        stream = pickle.loads(
            pickle.dumps(stream)
        )  # the service is stopped, and resumes from what it saved
    one_by_one.append(stream.transform_one(event))
    stream.learn_one(event)

pd.testing.assert_frame_equal(pd.DataFrame(one_by_one), features.head(4000), check_exact=True)
held, months = {}, [features.head(4000)]
for month, rows in log.iloc[4000:].groupby(
    (log["timestamp"] - shop.world.config.start) // (30 * DAY)
):
    months.append(stream.advance(rows))
    held[f"day {30 * (month + 1)}"] = stream.n_entries_ / len(stream._groups)

pd.testing.assert_frame_equal(pd.concat(months), features, check_exact=True)
assert held["day 180"] < 1.1 * held["day 120"] < 0.7 * len(log)
print(f"rows of the log: {len(log):,}; rows held:")
pd.Series(held).astype(int)

# %% [markdown]
# The table and the stream are equal, not nearly equal, across the stop and whatever the size of the steps. The state
# holds what the longest window still needs, and what has left it is freed: memory stops growing after three months.
#
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
# The last column looks ahead, and gains a few thousandths at most: the mean of two months hardly differs from that of
# seven. We fit scalers on the past all the same. A rule that is always kept needs no judgement, and the next leak is
# not so harmless.
#
# ## The leak that a random split hides
#
# Back to the two analysts and their four features of MovieLens. Ann computed them as one does, with a `groupby` over
# the table. Bob used windows: *so far*. Both validate on a random split, as most tutorials do. We draw five of them,
# to see how much luck is in it.

# %%
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

from recsys_course.metrics import rmse


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
# Note the first line of that table: a split in time did *not* find the leak, for her test rows still hold their own
# labels in their features. The split has to be right *and* the features have to be computed as of their time. The
# poison test of this chapter would have told on her in a second. Leaks of this kind are old and common [@kaufman2012],
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
# Each validation lies after its training rows, never before: `TimeSeriesSplit`.

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
in_time = {"cv": TimeSeriesSplit(3), "scoring": "neg_log_loss"}

chosen: list[str] = []
for _ in range(2):
    gain = {
        c: cross_val_score(fast, Z[[*chosen, c]], y[recent], **in_time).mean()
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
# | A table of user, product and action is the data set | B9.2 | Without time and without what was shown, nothing of this chapter can be computed from it: *Seven rows* |
# | The time of purchase is among the columns of a model that predicts purchases | A4.3 | That there is one equals the label in each row: *The log of a shop* |
# | Remove repeated data | A3.2 step 1, B concepts 1 | Of 1.5 million lines not one is a duplicate and 41 % are repeats; without them recall falls from 0.267 to 0.128: *Sent twice or bought twice?* |
# | Remove unreasonable data | A3.2 step 1, B concepts 1 | All but one of 13,510 impossible quantities are petrol: *Sent twice or bought twice?* |
# | Scale all features | A3.2 step 1, B concepts 1 | Gradient steps are lost without it, trees are the same with and without: *Scaling, when it matters* |
# | Purchases and views of the user and the heat of the category are the features | A4.3 | They close 9 % of the gap between a constant and the truth; with more keys windows close 29 %, a factorisation 41 %: *What are they worth?* |
# | Select features with significant influence, and drop redundant ones | A3.2 step 2, A4.3 | Six selected ones have a log loss of 0.603, all thirty-six 0.594: a saving, no gain: *Selecting features three ways* |
# | Live data go through the same steps as training data | A3.2 step 7 | True, and it can be proved, event by event: *One definition for table and stream* |
#
# ## Recap
#
# 1. Cleaning is done when rows in equal rows out plus rows removed; a repeat at another time is no duplicate.
# 2. A feature of a moment may count only what lies strictly before it; poisoning the future shows whether it does.
# 3. One definition that serves table and stream agrees with itself in every digit, even across a stop.
# 4. Scaling matters to models that add, measure or step, not to trees; whatever is fitted is fitted on the past.
# 5. A random split hides a feature that knows the future, and so does a split in time: only the live numbers tell.
#
# ## Three questions
#
# **1. A colleague computes each user's mean rating on the training rows alone and joins it to training and test rows,
# in a split in time. Is that free of leaks?**
#
# <details><summary>Answer</summary>
#
# Not for the training rows. Each of them is in its own user's mean, so the model learns to trust the feature more than
# it deserves; the test rows are honest, and the model is disappointed there. This is Ann's model as it went live.
# Means of what came before each row have the same meaning on both sides.
#
# </details>
#
# **2. Why do the windows drop a purchase that happened in the very second of the exposure?**
#
# <details><summary>Answer</summary>
#
# Within a second the order is unknown, so a row may be the consequence of the other. A feature that is right whatever
# the order has to leave out all of that second.
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
# - What else runs up debts in a live system: [@sculley2015!]
# - The running mean and variance, in two pages: [@welford1962!]
#
# ## Exercises
#
# In `exercises/02_preprocessing_and_features.ipynb`: tell duplicates from repeats; count in a window of two keys;
# write the poison test; write a feature that serves table and stream; keep a scaler up to date; see noise turn into
# knowledge; and design windows that close twice as much of the gap as the source's.
