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
# # 02a Cleaning and windows
#
# **What you will be able to do.**
#
# 1. Say whether a log can teach a recommender anything, and which of its columns knows the answer.
# 2. Clean a log with a report that adds up, and tell a row sent twice from a thing bought twice.
# 3. Turn a log into features that look back over a window and see nothing but the past.
# 4. Prove that a feature sees nothing of the future, without reading its code.
# 5. Compute the same features for a table and for a stream from one definition, and prove that they agree.
#
# **What you need.** Chapter 00. One of scikit-learn's models appears as a black box: logistic regression, which adds up
# features with weights and turns the sum into a probability. All you need of it is `fit` and `predict`.
#
# **Time.** 25 minutes to read, about a quarter of a minute to run.
#
# **Sections of the source.** A3.2 steps 1, 2 and 7, the first half of A4.3, B basic concepts 1, and B9.2.
#
# ## A tidy Monday
#
# A colleague takes over the log of a grocer. She begins as many tutorials do, with one line that removes repeated rows.
# The table shrinks by two fifths, nothing crashes, and the report calls the data clean. The recommender that is fitted
# on it finds half as much of what the households buy as the one before.
#
# In the afternoon she builds a feature for a bookstore: how many purchases the reader has made. It is one `groupby`, its
# numbers agree with what the till says of each reader, and in nearly every row it counts purchases that had not
# happened yet.
#
# Two lines, both of the kind that nobody reviews. Neither raised an error, and no metric of that day showed the harm. What
# would have told on them the same morning? For the first it is a report that must add up and that names what it removed;
# for the second a test that needs no reading of code. This chapter builds both.

# %%
import numpy as np
import pandas as pd

from recsys_course import data, plot
from recsys_course.events import EventsError, check_events, sort_events

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
# It can be fed to one, but nothing that comes out can be trusted, for three reasons.
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
# lines are petrol, whose quantity seems to be in a smaller unit that nobody wrote down. A rule that removes outliers
# would remove most visits to the filling station from the log. Before you remove the impossible, ask for its unit.
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
# The tidy-looking line costs half of that share, which is called *recall*. A duplicate is the same user, item, label
# *and time*. The same user and item at another time is what tells a grocer most here.
#
# ## Looking back over a window
#
# Step 2 of the source is to extract features. Its shop (A4.3) wants three: purchases of the user in a recent period,
# views of the user, and the heat of a category, which is how much of it was bought and viewed. All three ask the log
# one question: *how many rows like this, of the same user or category, between then and now?*
#
# The ends of that window are half of the definition. The past side is inclusive. The present side is *exclusive*: a
# row never sees itself, nor anything else of its own second, since we do not know which of them came first. One `<=`
# in place of `<`, and the opening of this very book, which stands in the same second, is counted among the earlier
# views. Only a book that was opened is ever bought, so that is half the answer.
#
# Here is the question in plain Python, for fifty rows of the log, and then the library's answer to all of it. The
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
asked = piece.tail(50)
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
assert counted["bought_30d"].tail(50).tolist() == by_hand
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
# truth. It is told at once too; whether that is what decides can be tried with `delay="1D"` in its replay.
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
# hardly moves, then climbs late and stays warm after the rush is over. None is right: a short window is fresh and
# noisy, a long one calm and stale. Give the model several and let it weigh them. (A line without a category counts for
# no category, and its own heat is a missing value; nothing is filled in unseen.)
#
# ## Poison the future
#
# How do you know that a feature sees only the past? Reading the code is not enough; there is a test that needs no
# reading. Take a moment in the middle. Overwrite everything from there on with nonsense, labels included. Compute
# again. *Nothing before that moment may change, in any digit.* Overwrite, and do not shuffle: a shuffle keeps every
# total, and what reads totals would pass.

# %%
moment = int(log["timestamp"].iloc[len(log) // 2])
before = (log["timestamp"] < moment).to_numpy()

poisoned = log.copy()
poisoned.loc[~before, "user"] = 0
poisoned.loc[~before, ["what", "category", "item", "label"]] = ["purchase", "crime", 0, 0.5]

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
# The windows pass. The `groupby` over the whole table fails in nearly every row: it counts purchases that had not
# happened yet.
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
# ## What the source says, what we measured
#
# | The source says | Where | What we measured |
# |---|---|---|
# | A table of user, product and action is the data set | B9.2 | Without time and without what was shown, nothing of this chapter can be computed from it: *Seven rows* |
# | The time of purchase is among the columns of a model that predicts purchases | A4.3 | That there is one equals the label in each row: *The log of a shop* |
# | Remove repeated data | A3.2 step 1, B concepts 1 | Of 1.5 million lines not one is a duplicate and 41 % are repeats of a product; without repeats of a type of product recall falls from 0.267 to 0.128: *Sent twice or bought twice?* |
# | Remove unreasonable data | A3.2 step 1, B concepts 1 | All but one of 13,510 impossible quantities are petrol: *Sent twice or bought twice?* |
# | Purchases and views of the user and the heat of the category are the features | A4.3 | They close 9 % of the gap between a constant and the truth; with more keys windows close 29 %, a factorisation 41 %: *What are they worth?* |
# | Live data go through the same steps as training data | A3.2 step 7 | True, and it can be proved, event by event: *One definition for table and stream* |
#
# ## Recap
#
# 1. A log that can be used says what was shown, to whom and when; of the event to be predicted nothing may be read.
# 2. Cleaning is done when rows in equal rows out plus rows removed; a repeat at another time is no duplicate.
# 3. A feature of a moment may count only what lies strictly before it; poisoning the future shows whether it does.
# 4. What counts in windows are worth depends on their keys first; they do not replace a model of tastes.
# 5. One definition that serves table and stream agrees with itself in every digit, even across a stop.
#
# ## Three questions
#
# **1. A music service logs the same song for the same listener four times in an hour, at four different times. Is that
# a fault in the data, and what would you want to know?**
#
# <details><summary>Answer</summary>
#
# By the rule of this chapter these are four repeats: somebody likes the song, so keep them. The rule takes the time at its
# word, though. If the phone sends a row again after a broken connection and stamps it anew, one act has several times, and
# no rule about users, items and times can tell. Ask whether each act has a number of its own, given where it happens; then
# duplicates are the rows that share that number.
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
# **3. A feature passes the poison test. Can it still know the answer?**
#
# <details><summary>Answer</summary>
#
# Yes, from its own row. The poison replaces rows from a moment on, so it finds whatever reads *later rows*. The time of
# purchase stands in the row of the exposure itself, where it was filled in afterwards, and no poison below reaches it.
# That is why the log was first taken apart into happenings, each with the time at which it was known.
#
# </details>
#
# ## Read on
#
# - What a leak is, how to find and how to avoid it: [@kaufman2012!]
# - What else runs up debts in a live system: [@sculley2015!]
#
# Chapter 02b goes on with these windows: ids, scaling, a leak that validation did not find, and selection.
#
# ## Exercises
#
# In `exercises/02a_cleaning_and_windows.ipynb`: tell duplicates from repeats; count in a window of two keys; write the
# poison test; and write a feature that serves table and stream.
