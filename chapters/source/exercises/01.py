# %% [markdown]
# # 01 Exercises: The recommender is a loop
#
# These go with [chapter 01](../01_the_recommender_is_a_loop.ipynb). Each asks you to replace the line that raises an
# error, and is followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import copy
from itertools import pairwise

import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.data.bookstore import BookstoreConfig
from recsys_course.events import split_at
from recsys_course.metrics import log_loss
from recsys_course.metrics.losses import row_log_loss
from recsys_course.models import MatrixFactorization, RunningMeans
from recsys_course.replay import replay
from recsys_course.strategies import Incremental, PeriodicRetrain

movielens = data.movielens().events
shop = data.bookstore()


def tastes():
    """A factorisation for the bookstore."""
    return MatrixFactorization(
        8,
        step_size=0.05,
        regularization=0.05,
        epochs=15,
        loss="logistic",
        rng=np.random.default_rng(0),
    )


# %% [markdown]
# ## 1. Count another network
#
# *Objective 2.* Users are described by longer lists than items. Write `count(n_users, n_items, user_width, item_width,
# layers)`, which returns two whole numbers: the parameters in the two tables, and those in the layers. The layers are
# given by their numbers of outputs, such as `(128, 64, 1)`; the first takes both lists, joined, as its inputs; each
# output has a bias.


# %% answer="count"
def count(n_users, n_items, user_width, item_width, layers):
    ### BEGIN SOLUTION
    tables = n_users * user_width + n_items * item_width
    dense, inputs = 0, user_width + item_width
    for outputs in layers:
        dense += (inputs + 1) * outputs
        inputs = outputs
    return tables, dense
    ### END SOLUTION


# %% check="count" points=1
assert count(671, 9066, 64, 64, (128, 64, 1)) == (623_168, 24_833), (
    "with equal widths it is the network of the chapter: are the biases in?"
)
assert count(10, 5, 3, 2, (1,)) == (40, 6), (
    "ten lists of 3 and five of 2; the one layer has 5 weights and a bias"
)
assert count(10, 5, 3, 2, (4, 1))[1] == 29, (
    "the second layer takes the outputs of the first, not the two lists"
)


# %% wrong="count"
# Forgets the biases.
def count(n_users, n_items, user_width, item_width, layers):
    sizes = [user_width + item_width, *layers]
    dense = sum(a * b for a, b in pairwise(sizes))
    return n_users * user_width + n_items * item_width, dense


# %% wrong="count"
# Takes the users' width for both tables.
def count(n_users, n_items, user_width, item_width, layers):
    sizes = [2 * user_width, *layers]
    dense = sum((a + 1) * b for a, b in pairwise(sizes))
    return (n_users + n_items) * user_width, dense


# %% [markdown]
# ## 2. From words to calls
#
# *Objective 3.* Four colleagues say how their models are kept up to date. Give the strategy of each, in a dictionary
# `strategies` with the keys `"ann"`, `"bob"`, `"cem"` and `"dee"`. Use `RunningMeans()` as the model.
#
# - Ann: "Each night at midnight UTC, the model that serves learns the events of the day, each of them once."
# - Bob: "After every `2000` events a new model is fitted on everything that we have."
# - Cem: "Incremental? We do that: every `2000` events a new model is fitted, on the latest `4000`."
# - Dee: "Batch learning, but of very small batches: an event is learned when its label comes, and thrown away."

# %% answer="words"
### BEGIN SOLUTION
strategies = {
    "ann": Incremental(RunningMeans(), every="1D"),
    "bob": PeriodicRetrain(RunningMeans(), every=2000),
    "cem": PeriodicRetrain(RunningMeans(), every=2000, window=4000),
    "dee": Incremental(RunningMeans(), every=1),
}
### END SOLUTION

# %% check="words" points=2
assert sorted(strategies) == ["ann", "bob", "cem", "dee"], (
    "give one strategy for each of the four"
)
lives = {
    who: replay(movielens.head(20_000), strategy, task="rating", warmup=0.5)
    for who, strategy in strategies.items()
}
learned = {who: life.cost.examples for who, life in lives.items()}
fits = {who: life.cost.fits for who, life in lives.items()}
assert fits["ann"] == 0 and fits["dee"] == 0, (
    "Ann's and Dee's models are never fitted anew: they go on from where they stand"
)
assert fits["bob"] == 4 and fits["cem"] == 4, (
    "Bob and Cem fit a new model, whatever they call it, four times in ten thousand events"
)
assert learned["cem"] == 4 * 4000, "Cem's new model is fitted on the latest 4000 events alone"
assert learned["bob"] > 3 * learned["cem"], "Bob's is fitted on everything, the past included"
assert np.median(lives["dee"].staleness) < np.median(lives["ann"].staleness), (
    "Dee's model learns sooner than Ann's: at once, not at midnight"
)
assert strategies["ann"].update_every == pd.Timedelta("1D"), "Ann's interval is a time, a day"


# %% wrong="words"
# Believes the words: Cem says "incremental".
strategies = {
    "ann": Incremental(RunningMeans(), every="1D"),
    "bob": PeriodicRetrain(RunningMeans(), every=2000),
    "cem": Incremental(RunningMeans(), every=2000),
    "dee": Incremental(RunningMeans(), every=1),
}

# %% wrong="words"
# Reads "batch" as fitting anew, and forgets Cem's window.
strategies = {
    "ann": Incremental(RunningMeans(), every="1D"),
    "bob": PeriodicRetrain(RunningMeans(), every=2000),
    "cem": PeriodicRetrain(RunningMeans(), every=2000),
    "dee": PeriodicRetrain(RunningMeans(), every=500),
}


# %% [markdown]
# ## 3. How cold is a stream?
#
# *Objective 4.* The chapter counts how many events of the future belong to users whom the *past* never saw. A model that
# learns from each event is better off: to it a user is new only once. Write `newcomers(events, fraction)`, which returns
# two shares of the rows of the future: those whose user does not occur in the past, and those whose user does not occur in
# *any earlier row*. Split with `split_at`.


# %% answer="newcomers"
def newcomers(events, fraction):
    ### BEGIN SOLUTION
    past, future = split_at(events, fraction)
    unknown_to_the_past = ~future["user"].isin(past["user"])
    first_row = ~events["user"].duplicated().loc[future.index]
    return unknown_to_the_past.mean(), first_row.mean()
    ### END SOLUTION


# %% check="newcomers" points=2
toy = pd.DataFrame(
    {
        "user": [1, 2, 1, 3, 3, 3, 2, 4],
        "item": 7,
        "label": 1.0,
        "timestamp": [1, 2, 3, 4, 5, 6, 7, 8],
    }
)
to_the_past, at_all = newcomers(toy, 0.25)
assert np.isclose(to_the_past, 4 / 6), (
    "in the toy stream, users 3, 3, 3 and 4 of six rows are new to the past: count rows, not users"
)
assert np.isclose(at_all, 2 / 6), "and two rows are the first of their user: once seen, known"
to_the_past, at_all = newcomers(movielens, 0.4)
assert 0.87 < to_the_past < 0.88, "on MovieLens the first share is that of the chapter's table"
assert at_all < 0.01, (
    "a user of MovieLens has many rows, and only the first is by somebody unknown"
)


# %% wrong="newcomers"
# Counts users, not rows.
def newcomers(events, fraction):
    past, future = split_at(events, fraction)
    users = pd.Series(future["user"].unique())
    new = ~users.isin(past["user"])
    return new.mean(), new.sum() / len(future)


# %% wrong="newcomers"
# Looks for the first row within the future, and so takes old acquaintances for new ones.
def newcomers(events, fraction):
    past, future = split_at(events, fraction)
    return (~future["user"].isin(past["user"])).mean(), (~future["user"].duplicated()).mean()


# %% [markdown]
# ## 4. One exam, four ages
#
# *Objective 5.* The chapter lets an old and a young model sit the same exam. Find what lies between them: write
# `exam_by_age(events)`, which fits `tastes()` four times, on the first, the second, the third and the fourth fifth of
# the rows, examines all four on the last fifth, and returns their mean regrets, the oldest first. Count only
# those rows of the exam whose user *and* item occur in all four lessons.
#
# Do not expect a straight line: in the moving world tastes jump once, late, and in the still one what is left is noise.
#
# The regret of a row is its log loss minus that of the true probability, `p_purchase`.

# %%
still_shop = data.bookstore(
    200_000, rng=np.random.default_rng(0), config=BookstoreConfig.stationary()
)


# %% answer="exam-by-age"
def exam_by_age(events):
    ### BEGIN SOLUTION
    fifth = len(events) // 5
    lessons = [events.iloc[k * fifth : (k + 1) * fifth] for k in range(4)]
    exam = events.iloc[4 * fifth :]
    for lesson in lessons:
        exam = exam[exam["user"].isin(lesson["user"]) & exam["item"].isin(lesson["item"])]
    of_oracle = row_log_loss(exam["label"], exam["p_purchase"])
    return [
        (row_log_loss(exam["label"], tastes().fit(lesson).predict(exam)) - of_oracle).mean()
        for lesson in lessons
    ]
    ### END SOLUTION


# %% check="exam-by-age" points=3
moving, still = exam_by_age(shop.events), exam_by_age(still_shop.events)
assert len(moving) == 4 and len(still) == 4, "four lessons, four regrets"
assert min(moving + still) > 0.07, (
    "nobody does so well after a fifth of the rows: do all four learn the same number, and none the exam?"
)
assert moving[0] > moving[3] + 0.02, (
    "where tastes move, the youngest lesson is clearly better than the oldest: is the oldest first?"
)
assert still[0] < still[3] + 0.006, (
    "where nothing moves, the oldest lesson is about as good as the youngest: count only rows that all four know"
)


# %% wrong="exam-by-age"
# Lets the lessons grow: what looks like age is also the number of rows.
def exam_by_age(events):
    fifth = len(events) // 5
    lessons = [events.iloc[: (k + 1) * fifth] for k in range(4)]
    exam = events.iloc[4 * fifth :]
    for lesson in lessons:
        exam = exam[exam["user"].isin(lesson["user"]) & exam["item"].isin(lesson["item"])]
    of_oracle = row_log_loss(exam["label"], exam["p_purchase"])
    return [
        (row_log_loss(exam["label"], tastes().fit(lesson).predict(exam)) - of_oracle).mean()
        for lesson in lessons
    ]


# %% wrong="exam-by-age"
# Counts newcomers: in the still shop the old model looks aged, and it is only a stranger.
def exam_by_age(events):
    fifth = len(events) // 5
    lessons = [events.iloc[k * fifth : (k + 1) * fifth] for k in range(4)]
    exam = events.iloc[4 * fifth :]
    of_oracle = row_log_loss(exam["label"], exam["p_purchase"])
    return [
        (row_log_loss(exam["label"], tastes().fit(lesson).predict(exam)) - of_oracle).mean()
        for lesson in lessons
    ]


# %% [markdown]
# ## 5. A gate that is not fooled
#
# *Objective 1.* The chapter's gate lets an update pass that learned a night of labels turned around. Design a better
# one: a function `accepts(serving, candidate, batch, week)` which says whether the candidate may replace the serving
# model. `batch` holds the events that the candidate has just learned, with the labels as they came; `week` holds the events of
# the last seven nights that were accepted, the same ones for both models. Look at the share of purchases of a few nights
# before you choose a bound.
#
# `season(accepts, fault)` below lives through sixty nights in the bookstore, asks your gate each night, and returns the days whose
# update was refused. One night of the sixty goes wrong in one of three ways: the step is too large, the labels are turned around, or all
# purchases are lost from the log. Refuse that night, whichever it is, and hardly any other: the day on which the readers'
# tastes jump is *no* fault, and a model that is kept from learning on that day is worse off.


# %%
def season(accepts, fault=None):
    days = shop.world.day_of(shop.events["timestamp"])
    nights = [shop.events[days == day] for day in range(100)]
    serving = tastes().fit(pd.concat(nights[:40]))
    accepted, refused = nights[33:40], []
    for day in range(40, 100):
        batch, candidate = nights[day], copy.deepcopy(serving)
        if day == 50 and fault == "labels":
            batch = batch.assign(label=1.0 - batch["label"])
        if day == 50 and fault == "lost":
            batch = batch.assign(label=0.0)
        if day == 50 and fault == "step":
            candidate.step_size *= 20
        candidate.update(batch)
        candidate.step_size = serving.step_size
        if accepts(serving, candidate, batch, pd.concat(accepted[-7:])):
            serving = candidate
            accepted.append(batch)
        else:
            refused.append(day)
    return refused


# %% answer="gate"
def accepts(serving, candidate, batch, week):
    ### BEGIN SOLUTION
    # The data first: purchases per exposure do not change by half over night.
    if not 0.6 < batch["label"].mean() / week["label"].mean() < 1.6:
        return False
    # Then the model, on labels that were accepted before: it may forget a little, not a lot.
    loss = [log_loss(week["label"], model.predict(week)) for model in (serving, candidate)]
    return loss[1] < loss[0] + 0.03
    ### END SOLUTION


# %% check="gate" points=3
quiet = season(accepts)
assert len(quiet) <= 2, (
    f"nothing was wrong, and you refused {len(quiet)} nights, such as day {quiet[0]}"
)
assert 65 not in quiet, "on day 65 tastes jump: that is what updates are for"
for fault, hint in {
    "step": "let both models predict labels that you trust, and compare their losses",
    "labels": "a look at the labels of the batch, beside those of the week, would show it",
    "lost": "no purchase in a whole night: look at the batch itself",
}.items():
    refused = season(accepts, fault)
    assert 50 in refused, f"the night of the fault {fault!r} was accepted: {hint}"
    assert len(refused) <= 4, (
        f"with the fault {fault!r} you refused {len(refused)} nights, of which one was wrong"
    )


# %% wrong="gate"
# The gate of the chapter: an exam from the same night as the lesson is as wrong as the lesson.
def accepts(serving, candidate, batch, week):
    exam = batch.iloc[::10]
    loss = [log_loss(exam["label"], model.predict(exam)) for model in (serving, candidate)]
    return loss[1] < loss[0] + 0.02


# %% wrong="gate"
# Trusts nobody.
def accepts(serving, candidate, batch, week):
    return False


# %% wrong="gate"
# Looks at the data and never at the model.
def accepts(serving, candidate, batch, week):
    return 0.6 < batch["label"].mean() / week["label"].mean() < 1.6
