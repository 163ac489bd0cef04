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
# # 00 Start here
#
# **What you will be able to do.**
#
# 1. Walk the whole road of a recommender once, on real data: clean, split in time, train, evaluate, update.
# 2. Say what it means to predict first and learn afterwards, and write that loop yourself.
# 3. Compare three ways of updating a model by their error *and* by what they cost.
# 4. Say how sure you may be of a difference between two of them.
#
# **What you need.** Python and a little pandas. No recommender theory: the model of this chapter is a black box, and
# a later one opens it.
#
# **Time.** 25 minutes to read, a few seconds to run.
#
# **Sections of the source.** A2.4, A5.1 and B9.1. The course walks through two Chinese articles on model updating and
# online learning, one after the other; the letters A and B stand for the first and the second, the numbers for their
# sections. Together we call them *the source*; the README names them.
#
# ## A question with a price
#
# You run a film service. On the first day you fit a recommender on all ratings so far, and it goes live. From then on
# new ratings arrive all day long, from people and about films that the model has never met.
#
# You can leave the model as it is. You can fit it again on everything from time to time, which costs more each time as
# the pile of ratings grows. Or you can let it learn from each rating as it comes, once, and never look back. Which of
# the three predicts best, and what does the best one cost?
#
# It is tempting to guess that more computing buys a better model. By the end of this chapter you will have measured it on
# twenty years of real ratings.

# %% [markdown]
# ## Is everything in place?
#
# Run this cell first. If it complains, `recsys-course doctor` on the command line says what to do.

# %%
import sys

import numpy as np
import pandas as pd

from recsys_course import data, plot

assert sys.version_info >= (3, 11), "this course needs Python 3.11 or newer"
assert data.available("movielens"), "the ratings are missing: run recsys-course doctor"
plot.use_style()
"ready"

# %% [markdown]
# ## The data: who, what, how much, when
#
# [MovieLens](https://movielens.org) is a web site on which people rate films with half a star to five stars
# [@harper2015]. A sample of its ratings ships with the course.

# %%
movielens = data.movielens()
events = movielens.events
events.head()

# %% [markdown]
# One row is one *event*: a user gave an item a label at a time. The time is in seconds since
# `1970-01-01`, and rows are sorted by it. Every data set in this course comes in this form.

# %%
span = pd.to_datetime(events["timestamp"].iloc[[0, -1]], unit="s").dt.date
pd.Series(
    {
        "events": f"{len(events):,}",
        "users": f"{events['user'].nunique():,}",
        "items": f"{events['item'].nunique():,}",
        "first day": span.iloc[0],
        "last day": span.iloc[1],
        "mean label": f"{events['label'].mean():.2f}",
    }
)

# %% [markdown]
# **Clean.** The source's first step is to remove duplicates, gaps and impossible values. On this set we look for all
# three and find none, which is worth knowing and not worth assuming. Chapter 02a does this on data that needs it.

# %%
low, high = movielens.card.label_range
findings = pd.Series(
    {
        "rated twice by one user": int(events.duplicated(["user", "item"]).sum()),
        "a value is missing": int(events.isna().any(axis=1).sum()),
        "label out of range": int((~events["label"].between(low, high)).sum()),
    }
)
assert (findings == 0).all()
findings

# %% [markdown]
# **Split in time.** A model that serves today knows yesterday and not tomorrow. So the first two
# fifths of the events are the past, on which the model is fitted before it goes live; the rest is the future, on which
# it is judged.

# %%
from recsys_course.events import split_at

past, future = split_at(events, 0.4)
f"past: {len(past):,} events, future: {len(future):,} events"

# %% [markdown]
# ## The yardstick, and a first model
#
# The simplest model says the same of everybody: the mean of the labels it has seen. Its typical error is the *root mean
# squared error*, RMSE: square the errors, average, take the root. It is in stars, like the labels.

# %%
from recsys_course.metrics import rmse

mean_of_the_past = past["label"].mean()
errors = future["label"] - mean_of_the_past
by_hand = np.sqrt((errors**2).mean())
constant = np.full(len(future), mean_of_the_past)
assert np.isclose(rmse(future["label"], constant), by_hand)
print(f"always saying {mean_of_the_past:.2f} stars: RMSE {by_hand:.3f}")

# %% [markdown]
# ## The black box
#
# The model of this chapter is a *matrix factorisation*. It keeps a short list of numbers for each user and for each
# film, and predicts a rating from the overall mean, from how generous the user is, from how well liked the film is, and
# from how well the two lists match [@koren2009]. When it learns from one rating it nudges the numbers of that user and
# that film, and no others, in the direction that would have made its error smaller. That is all you need for now.
#
# Three of its settings matter here: how many numbers a list has, how far a nudge goes, and how many times fitting goes
# through the ratings. Of the others, `regularization` keeps the numbers small, `label_range` keeps predictions on the
# scale of stars, and `rng` sets the random start. All are fixed for what follows.
#
# You will meet `assert` lines, here and everywhere in the course. They stop the notebook if what the text says is no
# longer true; skip them on a first reading.

# %%
from recsys_course.models import MatrixFactorization


def new_model(seed=0):
    return MatrixFactorization(
        n_factors=16,
        step_size=0.05,
        regularization=0.1,
        epochs=10,
        label_range=movielens.card.label_range,
        rng=np.random.default_rng(seed),
    )


model = new_model().fit(past)
print(f"trained once, on the past: RMSE {rmse(future['label'], model.predict(future)):.3f}")

# %% [markdown]
# That is better than the constant, and by less than one would hope. The model has a good excuse:

# %%
newcomers = ~future["user"].isin(past["user"])
print(f"events of the future whose user the past never saw: {newcomers.mean():.0%}")
assert newcomers.mean() > 0.8

# %% [markdown]
# Almost all of the future belongs to people who were not there when the model was fitted. Of them it knows nothing, and
# a model that never learns again never will.
#
# ## Predict, then learn
#
# Let the model live through the future instead. It is shown a user and a film, it predicts, and then it is told the
# rating and learns from it. Each event is a test first and a lesson afterwards, so every prediction is honest: it was
# made before its label was known. In the literature this is *prequential* evaluation, or test-then-train [@gama2013].
#
# Here is the loop, on the first few hundred events of the future. `predict` is given the event without its label.

# %%
from recsys_course.events import without_label

model = new_model().fit(past)
stream = future.head(400)

predictions = []
for second, at_once in stream.groupby("timestamp"):
    predictions.extend(model.predict(without_label(at_once)))
    model.update(at_once)

error = rmse(stream["label"], predictions)
print(f"RMSE of the loop over its {len(predictions)} events: {error:.3f}")
print(f"on the same events, the constant: {rmse(stream['label'], constant[: len(stream)]):.3f}")

# %% [markdown]
# These first events are hard ones, as the constant's error on them says; do not compare them with the whole future.
#
# One detail deserves a second look: the loop goes second by second, not row by row. Events with the same timestamp are
# all predicted before any of them is learned, since we do not know which came first. Here that concerns few events; where
# a row is one product in a basket, it concerns nearly all of them.

# %%
sizes = future.groupby("timestamp").size()
shared = sizes[sizes > 1].sum() / sizes.sum()
print(f"events that share their second with another one: {shared:.0%}")

# %% [markdown]
# The loop is the definition of everything that follows, and it is slow. The library's `replay` does the same in compiled
# code. It wants the stream, a *strategy* (here: update after each event), the kind of task, and a warm-up:
# `warmup=0.4` makes the first two fifths the past, as our split did. Its `scores` are the predictions for the rest. Over
# the same events the two agree to the last bit:

# %%
from recsys_course.replay import replay
from recsys_course.strategies import Incremental

per_event = replay(events, Incremental(new_model(), every=1), task="rating", warmup=0.4)

assert np.array_equal(per_event.scores[: len(predictions)], predictions)
error_online = rmse(future["label"], per_event.scores)
print(f"learning from each of {len(per_event.scores):,} events: RMSE {error_online:.3f}")

# %% [markdown]
# ## Three strategies on one stream
#
# Now the contest. *Frozen* never learns again. *Full retrain* keeps all ratings and fits a fresh model on them about
# twenty times, evenly spread over the future. *Incremental* updates the same model on new events only; we let it do so
# after each event, and also once per three thousand, so that it has exactly as many updates as the retraining.
#
# The same protocol holds for all: same past, same future, same settings, predict before learning.

# %%
from recsys_course.strategies import Frozen, PeriodicRetrain

interval = 3000
results = [
    replay(events, strategy, task="rating", warmup=0.4)
    for strategy in (
        Frozen(new_model()),
        PeriodicRetrain(new_model(), every=interval),
        Incremental(new_model(), every=interval),
        Incremental(new_model(), every=1),
    )
]
frozen, retrain, seldom, per_event = results

# %% [markdown]
# Quality and cost belong in one table. The cost that is the same on every machine is the number of examples learned: an
# event that is gone through ten times counts ten times. The first fit is left out, as all four share it.

# %%
from recsys_course.report import summary

table = summary(results)
table.round(3)

# %% [markdown]
# Read the table twice. Learning from each event once gives the smallest error *and* is far cheaper than retraining: one
# example per event against hundreds. Even at the same twenty moments, an update on the new events alone is level
# with a fit on everything.
#
# The last column but one tells why. *Staleness* is the median age, in hours, of the newest rating that a model had learned when
# it made a prediction. Between two retrainings months pass; learning from each event, seconds.

# %%
error = table["RMSE"]
cost = table["examples per event"]
assert error[per_event.name] < 0.86 < 0.95 < error[retrain.name] < 0.98 < error[frozen.name]
assert abs(error[seldom.name] - error[retrain.name]) < 0.01
assert cost[retrain.name] > 200 and cost[per_event.name] <= 1
cost.round(1)

# %% [markdown]
# What the clock says depends on the machine. On yours it said:

# %% tags=["timing"]
summary(results, timing=True)["CPU s"].round(2)

# %% [markdown]
# ## The one chart
#
# Did the gain come from one lucky stretch? Cut the future into twenty stretches with the same number of events each, and
# look at the error in each.

# %%
from recsys_course.report import quality_by_window

ax = plot.quality_over_time([frozen, retrain, per_event])
ax.set_title("Learning from each event is ahead in every stretch")
ahead = quality_by_window(per_event)["quality"] < quality_by_window(retrain)["quality"]
assert ahead.all()
print(
    f"stretches in which learning per event is ahead of retraining: {ahead.sum()} of {len(ahead)}"
)

# %% [markdown]
# The frozen model's error is the upper line, retraining's runs close below it, and learning from each event lies
# clearly under both from beginning to end. They share many ups and downs, since some stretches hold people who are
# harder to predict. Towards the end the frozen line climbs and the lowest does not: the older the model, the wider the gap. In the first stretch the frozen and the retrained model are one and the same, since nothing was fitted anew yet.
#
# ## How sure may we be?
#
# The usual error bar takes the rows for independent. They are not: one user's errors go together, and so do those of one
# afternoon. An honest interval resamples whole users, or whole stretches of time: draw as many users as there are, with
# replacement, take the mean over their rows, repeat a thousand times; the middle 95 % of these means is the interval.
# Here is the difference in squared error between learning per event and retraining, by three methods.

# %%
from recsys_course.metrics.intervals import naive_interval
from recsys_course.report import compare

difference = (per_event.labels - per_event.scores) ** 2 - (retrain.labels - retrain.scores) ** 2
rng = np.random.default_rng(1)
intervals = pd.DataFrame(
    {
        "as if rows were independent": naive_interval(difference),
        "resampling users": compare(per_event, retrain, by="user", rng=rng),
        "resampling stretches of time": compare(per_event, retrain, by="block", rng=rng),
    },
    index=["mean", "low", "high"],
).T
intervals["width"] = intervals["high"] - intervals["low"]
intervals["times as wide"] = intervals["width"] / intervals["width"].iloc[0]
assert (intervals["times as wide"].iloc[1:] > 4).all() and (intervals["high"] < 0).all()
intervals.round(4)

# %% [markdown]
# The naive interval is several times too narrow, whichever way we resample. The honest ones stay below zero, so the
# finding stands: on this stream, learning per event has the smaller error.
#
# Chance enters in another place too: the model starts from random numbers. Five starts differ far less than the strategies
# do. Note what this does and does not show. It measures the luck of the start, and says nothing about other users.


# %%
def errors_of_five_starts(strategy):
    runs = [
        replay(events, strategy(new_model(seed)), task="rating", warmup=0.4) for seed in range(5)
    ]
    return [rmse(run.labels, run.scores) for run in runs]


spread = pd.DataFrame(
    {
        per_event.name: errors_of_five_starts(Incremental),
        frozen.name: errors_of_five_starts(Frozen),
    }
)
assert (spread.max() - spread.min() < 0.01).all()
spread.agg(["min", "max"]).round(4)

# %% [markdown]
# ## A baseline that is hard to beat
#
# Before we praise the factorisation, let us ask how much of it is needed. `RunningMeans` only counts: it predicts the mean,
# plus how far the film has been above it, plus how far the user has been above that, where each older rating counts a
# little less. No factors, no gradients.

# %%
from recsys_course.models import RunningMeans

counting = replay(
    events, Incremental(RunningMeans(forget=0.05), every=1), task="rating", warmup=0.4
)
gap = compare(per_event, counting, by="user", rng=np.random.default_rng(3))
error_counting = rmse(counting.labels, counting.scores)
print(f"running means: RMSE {error_counting:.3f}")
print("factorisation minus counting, in squared error:")
assert gap.low < 0 < gap.high, "not a tie: the interval does not hold zero"
pd.Series(gap._asdict()).round(4)

# %% [markdown]
# The interval holds zero: on this evidence the two are tied. A few lines of counting, kept fresh, are level with the factorisation, and leave the retrained factorisation far
# behind. On this stream *when* a model learns matters more than *which* model it is. That is a finding about this stream:
# its users rate in one sitting, and the gain lies in getting to know them while they sit there.
#
# ## The catch: late labels
#
# In a sitting on MovieLens the next rating follows within seconds, and we assumed that the model learns within those
# seconds too. Suppose that labels take a day to reach it, as they do where logs are collected overnight.

# %%
late = replay(events, Incremental(new_model(), every=1), task="rating", warmup=0.4, delay="1D")
late_error = rmse(late.labels, late.scores)
kept = (error[frozen.name] - late_error) / (error[frozen.name] - error[per_event.name])
assert 0.2 < kept < 0.5
print(f"labels a day late: RMSE {late_error:.3f}; of the gain over frozen, {kept:.0%} is left")

# %% [markdown]
# Most of the advantage is gone: when the labels of a sitting arrive, the user has left. A fast learner is worth as much as
# the road that its data takes.
#
# ## What the source says, what we measured
#
# | The source says | Where | What we measured |
# |---|---|---|
# | Data flow from cleaning to training to updating and round again | A2.4 | The loop works as drawn, but evaluation has to come before each update, not once: *Predict, then learn* |
# | Python `3.7` and TensorFlow `2.0` "or newer" are enough | A5.1 | Not for this course, which needs Python `3.11`: *Is everything in place?* |
# | TensorFlow, NumPy and pandas are the tools to install | B9.1 | For the whole loop no deep-learning library was needed; counting tied with the factorisation: *A baseline that is hard to beat* |
#
# ## Recap
#
# 1. A recommender is judged in time order: predict, then learn.
# 2. Quality stands beside cost; the cost that can be compared is the number of examples learned.
# 3. On MovieLens, learning from each event once beats periodic retraining, at a small part of its cost.
# 4. The reason is that most events come from new users, and a day's delay of the labels undoes most of the gain.
# 5. Errors of one user go together: an interval that ignores this is several times too narrow.
#
# ## Three questions
#
# **1. Why are events with the same timestamp predicted before any of them is learned?**
#
# <details><summary>Answer</summary>
#
# Their order is not known. If the model learned one before it predicted the other, it would be given a label that, as
# far as the data can tell, did not exist yet, and the error would look smaller than it is.
#
# </details>
#
# **2. A colleague retrains every night and finds no gain over a frozen model on her data. Is she wrong?**
#
# <details><summary>Answer</summary>
#
# Not at all. The gain of updating depends on what is new: here most events come from users that the frozen model never met.
# On a stream whose users, items and tastes stay what they are, there is little to gain.
#
# </details>
#
# **3. Per-event learning went through each event once, retraining many times. Why did the many passes not help?**
#
# <details><summary>Answer</summary>
#
# They improve what the model says about users and films that it knows. What was missing is knowledge of users who arrived
# after the last fit, and no number of passes over old events can give that.
#
# </details>
#
# ## The notation of this course
#
# | Symbol | Shape | Meaning |
# |---|---|---|
# | $u$, $i$, $t$ | | a user, an item, a time |
# | $y$, $\hat y$ | scalar | a label, and what a model predicts for it |
# | $n$, $n_u$, $n_i$ | | number of events, of user $u$, of item $i$ |
# | $\mu$ | scalar | mean label |
# | $b_u$, $b_i$ | scalar | how far user $u$ and item $i$ lie above it |
# | $p_u$, $q_i$ | $(k,)$ | factors of user $u$ and item $i$; $k$ is their number |
# | $x$, $X$ | $(d,)$, $(n, d)$ | features of one event; of $n$ events, a row each |
# | $\theta$ | | all parameters of a model |
# | $\eta$ | scalar | step size |
# | $\lambda$ | scalar | strength of regularisation |
# | $L$ | scalar | a loss |
#
# The factorisation of this chapter predicts $\hat y = \mu + b_u + b_i + p_u^\top q_i$, a scalar, since $p_u$ and $q_i$ both
# have shape $(k,)$.
#
# ## Read on
#
# - On evaluating stream learners, test-then-train: [@gama2013!]
# - On the black box, and why biases come first: [@koren2009!]
# - On where the ratings come from: [@harper2015!]
# - Chapter 01 says what the words mean and shows how fast a model ages on other streams.
#
# ## Exercises
#
# In `exercises/00_start_here.ipynb`: change the update interval; write the retraining loop by hand; measure what the rule
# for equal timestamps is worth; put an interval on a difference; design a strategy of your own.
