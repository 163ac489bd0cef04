# %% [markdown]
# # 05a Exercises: Metrics and splits
#
# These go with [chapter 05a](../05a_metrics_and_splits.ipynb). Each asks you to replace the line that raises an error, and
# is followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
from itertools import pairwise

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, TimeSeriesSplit

from recsys_course import data
from recsys_course.events import split_at
from recsys_course.metrics import classification, ranking
from recsys_course.models import MatrixFactorization

# %% [markdown]
# ## 1. An AUC that does not mix users
#
# *Objective 1.* AUC compares each yes with each no, also if they belong to different people, whom no list ever compares. Write
# `auc_within(labels, scores, users)`: the mean, over users who have both a yes and a no, of their own AUC. Users who lack one are left out. A loop over users is fine.


# %% answer="within"
def auc_within(labels, scores, users):
    ### BEGIN SOLUTION
    table = pd.DataFrame({"label": labels, "score": scores, "user": users})
    own = [classification.auc(t["label"], t["score"]) for _, t in table.groupby("user")]
    return np.nanmean(own)
    ### END SOLUTION


# %% check="within" points=1
rng = np.random.default_rng(0)
users = rng.integers(40, size=2000)
generous = rng.normal(size=40)[users]
taste = rng.normal(size=2000)
liked = (rng.random(2000) < 1 / (1 + np.exp(-generous - taste))).astype(float)
value = auc_within(liked, taste, users)
own = [roc_auc_score(liked[users == u], taste[users == u]) for u in range(40)]
assert np.isclose(value, np.mean(own)), "each user counts once: take the mean of their own AUCs"
assert np.isclose(auc_within(liked, taste + 10 * generous, users), value), (
    "adding a number to all scores of a user changes none of her lists, and must not change this"
)
assert np.isclose(auc_within([1, 0, 1, 1], [0.9, 0.1, 0.2, 0.3], [1, 1, 2, 2]), 1), (
    "user 2 has no no: leave her out"
)


# %% wrong="within"
# Mixes users.
def auc_within(labels, scores, users):
    return classification.auc(labels, scores)


# %% wrong="within"
# Gives a user without a no one half instead of leaving her out.
def auc_within(labels, scores, users):
    table = pd.DataFrame({"label": labels, "score": scores, "user": users})
    own = [classification.auc(t["label"], t["score"]) for _, t in table.groupby("user")]
    return np.mean(np.nan_to_num(own, nan=0.5))


# %% [markdown]
# ## 2. Recall over all orders of a tie
#
# *Objective 2.* The course puts equal scores in the middle of their places. Write `fair_recall(scores, right, k)` instead: the mean of
# recall at `k` over *all* orders that equal scores could have. `scores` has shape `(n_items,)`, `right` is a bool array of that shape with at least one True. No
# sampling: there is a formula for the chance that an item with `above` items above it and `equal` items on its level, itself included, is among the first `k`.


# %% answer="fair"
def fair_recall(scores, right, k):
    ### BEGIN SOLUTION
    own = scores[right][:, None]
    above = (scores > own).sum(axis=1)
    equal = (scores == own).sum(axis=1)
    return np.clip((k - above) / equal, 0, 1).mean()
    ### END SOLUTION


# %% check="fair" points=2
assert np.isclose(fair_recall(np.zeros(1000), np.arange(1000) == 3, 10), 0.01), (
    "a constant finds each of 1,000 items among the first ten with a chance of 1 in 100"
)
rng = np.random.default_rng(0)
for case in range(5):
    scores = rng.integers(0, 4, size=12).astype(float)
    right = rng.random(12) < 0.4
    right[0] = True
    for k in (1, 4, 30):
        sampled = []
        for _ in range(4000):
            order = np.lexsort((rng.random(12), -scores))
            sampled.append(right[order[:k]].sum() / right.sum())
        assert np.isclose(fair_recall(scores, right, k), np.mean(sampled), atol=0.03), (
            f"case {case}, k = {k}: shuffled many times, the ties give {np.mean(sampled):.2f}"
        )


# %% wrong="fair"
# The course's own rule.
def fair_recall(scores, right, k):
    rows = np.zeros(right.sum(), int)
    ranks = ranking.ranks_of(scores[None], rows, np.flatnonzero(right))
    return ranking.recall(ranks, rows, k)[0]


# %% wrong="fair"
# The order of the table.
def fair_recall(scores, right, k):
    return right[np.argsort(-scores, kind="stable")[:k]].sum() / right.sum()


# %% [markdown]
# ## 3. Folds that respect the clock
#
# *Objective 3.* `TimeSeriesSplit` cuts between rows, also between two that happened in the same second. Write `forward_folds(timestamps, n)`: a list of
# `n` pairs `(train, test)` of row numbers. Training rows are *all* rows strictly earlier than the first test row; tests follow each other without a hole, together reach the last row, and leave about
# the first part of `n + 1` equal parts untested. No instant may stand in training and test, or in two tests. `timestamps` are sorted.


# %% answer="folds"
def forward_folds(timestamps, n):
    ### BEGIN SOLUTION
    rough = np.arange(1, n + 1) * len(timestamps) // (n + 1)
    cuts = [np.searchsorted(timestamps, timestamps[row - 1], side="right") for row in rough]
    cuts.append(len(timestamps))
    return [(np.arange(start), np.arange(start, stop)) for start, stop in pairwise(cuts)]
    ### END SOLUTION


# %% check="folds" points=2
coarse = np.sort(np.random.default_rng(0).integers(0, 200, size=1000))  # about five rows a second
for n in (3, 5):
    folds = forward_folds(coarse, n)
    assert len(folds) == n, "as many folds as asked for"
    for train, test in folds:
        assert len(test) > 0 and coarse[train].max() < coarse[test].min(), (
            "an instant stands in training and in test, or training reaches into the future"
        )
        assert len(train) == test.min(), "all earlier rows are for training"
    tested = np.concatenate([test for _, test in folds])
    assert np.array_equal(tested, np.arange(tested[0], 1000)), (
        "tests follow each other to the end"
    )
    sizes = [len(test) for _, test in folds]
    assert min(sizes) > 0.8 * 1000 / (n + 1) and abs(tested[0] - 1000 / (n + 1)) < 15, (
        "n + 1 parts of about the same size"
    )
busy = np.sort(np.r_[np.full(300, 90), np.arange(700) // 5])  # one second with 300 rows
sizes = [len(test) for _, test in forward_folds(busy, 4)]
assert max(sizes) < 1.8 * 1000 / 5 + 300 and min(sizes[:1] + sizes[2:]) > 30, (
    "count rows, and then move the cut to the end of its instant: seconds are not equally busy"
)


# %% wrong="folds"
# Cuts through a second.
def forward_folds(timestamps, n):
    return list(TimeSeriesSplit(n).split(timestamps))


# %% wrong="folds"
# Does not go forward.
def forward_folds(timestamps, n):
    return list(KFold(n).split(timestamps))


# %% [markdown]
# ## 4. A list from ratings that is not useless
#
# *Objective 4.* In the chapter, films ordered by the factorisation's predicted rating made lists that nobody liked. Mend that without training anything: write
# `score(predicted, n_ratings)`, two arrays of one shape, the predicted ratings of all films for one person and how many ratings each film has so far. Films are ordered by what you
# return. Of two films with equally many ratings, the one with the higher prediction has to come first. The check wants an nDCG@10 that is better than popularity's by a tenth; the prediction alone has next to nothing.

# %%
films = data.movielens().events
films = films.assign(item=pd.factorize(films["item"])[0].astype(np.int64))
n_films = films["item"].max() + 1
learned, questions, asked = 0, [], []
for person, rows in split_at(films, 0.4)[1].groupby("user"):
    now = rows["timestamp"].iloc[len(rows) // 2 - 1]
    likes = rows[(rows["timestamp"] > now) & (rows["label"] >= 4)]
    if len(rows) >= 20 and len(likes):
        asked.append((np.searchsorted(films["timestamp"], now, side="right"), person, likes))
model = MatrixFactorization(16, regularization=0.1, rng=np.random.default_rng(0))
for known, person, likes in sorted(asked, key=lambda q: q[0])[::3]:
    new = films.iloc[learned:known]
    model = model.update(new) if learned else model.fit(new)
    learned = known
    before = films.iloc[:known]
    n_ratings = np.bincount(before["item"], minlength=n_films)
    out = n_ratings == 0
    out[before["item"][before["user"] == person]] = True
    catalogue = pd.DataFrame({"user": person, "item": np.arange(n_films)})
    questions.append((model.predict(catalogue), n_ratings, out, likes["item"].to_numpy()))


def ndcg_with(score):
    scores = np.array([score(predicted, n) for predicted, n, _, _ in questions], float)
    rows = np.repeat(np.arange(len(questions)), [len(q[3]) for q in questions])
    items = np.concatenate([q[3] for q in questions])
    ranks = ranking.ranks_of(scores, rows, items, excluded=np.array([q[2] for q in questions]))
    return ranking.ndcg(ranks, rows, k=10).mean()


# %% answer="lists"
def score(predicted, n_ratings):
    ### BEGIN SOLUTION
    # What two people loved is no match for what a hundred did.
    return np.log1p(n_ratings) * 2 + predicted
    ### END SOLUTION


# %% check="lists" points=3
many = np.full(5, 50)
assert (np.diff(score(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), many)) > 0).all(), (
    "of films with equally many ratings the better predicted one comes first"
)
have, alone = ndcg_with(score), ndcg_with(lambda predicted, n: predicted)
assert alone < 0.01, "something is wrong with the questions: run the cells from the top"
popular = ndcg_with(lambda predicted, n: n)
assert have > 1.1 * popular, (
    f"nDCG@10 is {have:.3f}, popularity alone has {popular:.3f}: how much should a much better prediction count?"
)


# %% wrong="lists"
# The prediction alone.
def score(predicted, n_ratings):
    return predicted


# %% wrong="lists"
# Popularity, in which the prediction decides between equals alone.
def score(predicted, n_ratings):
    return n_ratings + 0.001 * predicted


# %% wrong="lists"
# Popularity alone.
def score(predicted, n_ratings):
    return n_ratings.astype(float)


# %% [markdown]
# ## 5. Two models that a sample turns around
#
# *Objective 5.* A right item has `rank` others above it, of `n_others` in all. A sampled metric draws `size` of the others, evenly and without replacement, and counts a hit if fewer
# than `k` of the drawn ones stand above it. Write `chance(rank, n_others, size, k)`, the exact probability of a hit (`scipy.stats.hypergeom` helps), for an array of ranks. Then design `two_models()`: two arrays of
# 100 ranks each, for a catalogue with `10_000` others, such that the first has the higher hit rate at 10 on the whole catalogue by at least `0.1`, and the second the higher expected one with `100` sampled by at least `0.1`.


# %% answer="turned"
### BEGIN SOLUTION
from scipy.stats import hypergeom


def chance(rank, n_others, size, k):
    return hypergeom.cdf(k - 1, n_others, rank, size)


def two_models():
    bold = np.r_[np.zeros(30, int), np.full(70, 8000)]  # right at the top, or not at all
    timid = np.full(100, 300)  # never on the list, never far from it
    return bold, timid


### END SOLUTION


# %% check="turned" points=3
rng = np.random.default_rng(0)
for rank in (5, 400, 1500):
    drawn = np.array([(rng.permutation(3000)[:100] < rank).sum() for _ in range(2000)])
    assert np.isclose(
        chance(np.array([rank]), 3000, 100, 10)[0], (drawn < 10).mean(), atol=0.04
    ), f"of 3,000 others {rank} stand above: drawing gives {(drawn < 10).mean():.2f}"
assert np.isclose(chance(np.array([9, 10]), 100, 100, 10), [1, 0]).all(), (
    "with all others drawn it is the unsampled metric: a hit if fewer than k stand above"
)
bold, timid = (np.asarray(ranks) for ranks in two_models())
assert bold.shape == timid.shape == (100,) and min(bold.min(), timid.min()) >= 0, "100 ranks each"
assert max(bold.max(), timid.max()) <= 10_000, "there are 10,000 others"
full = (bold < 10).mean() - (timid < 10).mean()
sampled = (chance(bold, 10_000, 100, 10) - chance(timid, 10_000, 100, 10)).mean()
assert full >= 0.1, f"on the catalogue the first is ahead by {full:.2f}, not by 0.1"
assert sampled <= -0.1, (
    f"sampled, the first minus the second is {sampled:.2f}: which ranks look good?"
)


# %% wrong="turned"
# Draws with replacement in mind, and models that keep their order.
def chance(rank, n_others, size, k):
    from scipy.stats import binom

    return binom.cdf(k - 1, size, rank / n_others)


def two_models():
    return np.zeros(100, int), np.full(100, 5000)


# %% wrong="turned"
# One rival too many.
def chance(rank, n_others, size, k):
    from scipy.stats import hypergeom

    return hypergeom.cdf(k, n_others, rank, size)


def two_models():
    return np.r_[np.zeros(30, int), np.full(70, 8000)], np.full(100, 300)
