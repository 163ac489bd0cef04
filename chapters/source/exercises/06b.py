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
# # 06b Exercises: What people took
#
# These go with [chapter 06b](../06b_implicit_feedback.ipynb). Each asks you to replace the line that raises an error,
# and is followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.metrics import ranking
from recsys_course.models import EASE, Popularity, WeightedALS

events = data.movielens().events.assign(label=1.0)

# %% [markdown]
# ## 1. One user's row
#
# *Objective 2.* `solve_row(Q, taken, times, alpha, ridge)` returns the row of weighted ALS, shape (k,), of a user who
# took the items `taken` (row numbers of Q, shape (m, k)) so many `times` (integers). Use the Gram matrix and a sum
# over what was taken; change one thing in the chapter's cell: no loop over all items, and no matrix of size m.


# %% answer="row"
def solve_row(Q, taken, times, alpha, ridge):
    ### BEGIN SOLUTION
    Y, extra = Q[taken], alpha * np.asarray(times, float)
    A = Q.T @ Q + ridge * np.eye(Q.shape[1]) + (Y * extra[:, None]).T @ Y
    return np.linalg.solve(A, Y.T @ (1 + extra))
    ### END SOLUTION


# %% check="row" points=2
rng = np.random.default_rng(0)
Q = rng.normal(size=(7, 3))
row, n = solve_row(Q, [1, 4], [2, 1], 3.0, 0.5), np.array([0, 2, 0, 0, 1, 0, 0])
C = np.diag(1 + 3.0 * n)
dense = np.linalg.solve(Q.T @ C @ Q + 0.5 * np.eye(3), Q.T @ C @ (n > 0))
assert np.shape(row) == (3,), "the row has one number per factor"
assert np.allclose(row, dense), (
    "not the dense solution: what is the confidence of a pair taken twice, and on which side does it stand?"
)
assert np.allclose(solve_row(Q, [], [], 3.0, 0.5), 0), "who took nothing has a row of zeros"


# %% wrong="row"
# The confidence is forgotten on the right-hand side.
def solve_row(Q, taken, times, alpha, ridge):
    Y, extra = Q[taken], alpha * np.asarray(times, float)
    A = Q.T @ Q + ridge * np.eye(Q.shape[1]) + (Y * extra[:, None]).T @ Y
    return np.linalg.solve(A, Y.sum(axis=0))


# %% wrong="row"
# Counts only whether an item was taken.
def solve_row(Q, taken, times, alpha, ridge):
    Y = Q[taken]
    A = Q.T @ Q + ridge * np.eye(Q.shape[1]) + alpha * Y.T @ Y
    return np.linalg.solve(A, (1 + alpha) * Y.sum(axis=0))


# %% [markdown]
# ## 2. EASE for two items, by hand
#
# *Objective 3.* Two items; $a$ users took the first, $b$ the second, $c$ both. Work out the weights on paper from the
# ridge regression of each item on the other (one number each), and write `two_items(a, b, c, ridge)`, which returns
# the matrix W, shape (2, 2), without inverting anything.


# %% answer="two"
def two_items(a, b, c, ridge):
    ### BEGIN SOLUTION
    # The regression of item j on item i alone: sum x_i x_j / (sum x_i^2 + ridge).
    return np.array([[0.0, c / (a + ridge)], [c / (b + ridge), 0.0]])
    ### END SOLUTION


# %% check="two" points=1
table = pd.DataFrame(
    {"user": [1, 1, 2, 2, 3, 4, 5], "item": list("ABABAAB"), "label": 1.0, "timestamp": range(7)}
)
W = two_items(4, 3, 2, 1.5)
library = EASE(regularization=1.5).fit(table).weights
assert np.shape(W) == (2, 2) and np.allclose(np.diag(W), 0), "no item predicts itself"
assert np.allclose(W, library), (
    "W[i, j] is the weight with which item i speaks for item j: whose number stands below the line?"
)


# %% wrong="two"
# Transposed.
def two_items(a, b, c, ridge):
    return np.array([[0.0, c / (b + ridge)], [c / (a + ridge), 0.0]])


# %% wrong="two"
# The ridge is forgotten.
def two_items(a, b, c, ridge):
    return np.array([[0.0, c / a], [c / b, 0.0]])


# %% [markdown]
# ## 3. The step of BPR
#
# *Objective 3.* Write `bpr_step(p, q_i, q_j, step_size, ridge)`, which returns the three vectors after one step of
# gradient descent on
# $-\ln\sigma(p^\top(q_i - q_j)) + \frac\lambda2(\lVert p\rVert^2+\lVert q_i\rVert^2+\lVert q_j\rVert^2)$, without
# biases. All gradients use the old values.


# %% answer="bpr"
def bpr_step(p, q_i, q_j, step_size, ridge):
    ### BEGIN SOLUTION
    g = 1 / (1 + np.exp(p @ (q_i - q_j)))
    return (
        p + step_size * (g * (q_i - q_j) - ridge * p),
        q_i + step_size * (g * p - ridge * q_i),
        q_j + step_size * (-g * p - ridge * q_j),
    )
    ### END SOLUTION


# %% check="bpr" points=2
def bpr_loss(theta, ridge=0.2):
    p, q_i, q_j = theta.reshape(3, 4)
    return np.log1p(np.exp(-p @ (q_i - q_j))) + ridge / 2 * theta @ theta


theta = np.random.default_rng(1).normal(size=12)
slope = [(bpr_loss(theta + e) - bpr_loss(theta - e)) / 2e-6 for e in 1e-6 * np.eye(12)]
before = theta.copy()
moved = np.concatenate(bpr_step(*theta.reshape(3, 4), 0.1, 0.2))
assert np.allclose(theta, before), "the old values were overwritten: return new vectors"
assert np.allclose(moved, theta - 0.1 * np.array(slope), atol=1e-6), (
    "not a step against the gradient: look at the signs, at the ridge, and at which p the items' steps use"
)


# %% wrong="bpr"
# The items' steps use the new p.
def bpr_step(p, q_i, q_j, step_size, ridge):
    g = 1 / (1 + np.exp(p @ (q_i - q_j)))
    p = p + step_size * (g * (q_i - q_j) - ridge * p)
    return p, q_i + step_size * (g * p - ridge * q_i), q_j + step_size * (-g * p - ridge * q_j)


# %% wrong="bpr"
# Pushes hardest where the order is right already.
def bpr_step(p, q_i, q_j, step_size, ridge):
    g = 1 / (1 + np.exp(-p @ (q_i - q_j)))
    return (
        p + step_size * (g * (q_i - q_j) - ridge * p),
        q_i + step_size * (g * p - ridge * q_i),
        q_j + step_size * (-g * p - ridge * q_j),
    )


# %% [markdown]
# ## 4. A newcomer
#
# *Objective 6.* `for_newcomer(model, items, k)` gives a fitted `WeightedALS` and the items that somebody, who is not
# known to the model, has taken; it returns the k best other items, best first, as a list. The model must not change.
# Items that the model does not know are passed over.


# %% answer="newcomer"
def for_newcomer(model, items, k):
    ### BEGIN SOLUTION
    had = pd.DataFrame({"user": "guest", "item": items, "label": 1.0, "timestamp": 0})
    row = model.fold_in_users(had)[0]
    scores = pd.Series(model.item_factors @ row, index=model.known_items).drop(
        items, errors="ignore"
    )
    return scores.sort_values(ascending=False, kind="stable").index[:k].tolist()
    ### END SOLUTION


# %% check="newcomer" points=2
past, guest = events[events["user"] != 15], events[events["user"] == 15]["item"].tolist()[:30]
model = WeightedALS(16, alpha=1.0, regularization=10.0, rng=np.random.default_rng(0)).fit(past)
users, learned = model.user_factors.copy(), model.examples_learned
shown = for_newcomer(model, guest, 10)
assert len(shown) == 10 and not set(shown) & set(guest), (
    "ten films, and none that was taken already"
)
assert model.user_factors.shape == users.shape and model.examples_learned == learned, (
    "the model has learned: fold in, do not update"
)
Y = model.item_factors.astype(float)
mine = Y[pd.Index(model.known_items).get_indexer(guest)]
row = np.linalg.solve(Y.T @ Y + 10 * np.eye(16) + mine.T @ mine, 2 * mine.sum(axis=0))
expected = pd.Series(Y @ row, index=model.known_items).drop(guest).nlargest(10)
assert set(shown) == set(expected.index), "not the ten largest scores of the folded row"
assert shown[0] == expected.index[0], "best first"
assert for_newcomer(model, [*guest, -7], 3) == shown[:3], "an unknown film should be passed over"


# %% wrong="newcomer"
# Shows the popular, whoever asks.
def for_newcomer(model, items, k):
    scores = pd.Series(
        model.score_items(["guest"], model.known_items)[0], index=model.known_items
    )
    return scores.drop(items, errors="ignore").nlargest(k).index.tolist()


# %% wrong="newcomer"
# Admits the guest for good.
def for_newcomer(model, items, k):
    had = pd.DataFrame({"user": "guest", "item": items, "label": 1.0, "timestamp": 0})
    return model.update(had).recommend(["guest"], k, exclude={"guest": items})["item"].tolist()


# %% [markdown]
# ## 5. Alpha, chosen on the past
#
# *Objectives 2 and 4.* `choose_alpha(past, candidates)` gets an events table in time order. Split it by time, three
# quarters to one; fit a `WeightedALS` of 16 factors, ridge 20, generator `np.random.default_rng(0)`, five sweeps with
# each alpha to the first part; and return the alpha whose nDCG@10 over the users of the second part *who are known*
# is highest. `ndcg_after(model, before, after)` below does the measuring.


# %%
def ndcg_after(model, before, after):
    """Mean nDCG@10 of what users known by then took later, among all items known by then that they had not."""
    items, users = pd.Index(before["item"].unique()), pd.Index(before["user"].unique())
    right = after[after["user"].isin(users) & after["item"].isin(items)].drop_duplicates(
        ["user", "item"]
    )
    asked = pd.Index(right["user"].unique())
    had = before[before["user"].isin(asked)]
    out = np.zeros((len(asked), len(items)), bool)
    out[asked.get_indexer(had["user"]), items.get_indexer(had["item"])] = True
    rows = asked.get_indexer(right["user"])
    scores = model.score_items(asked.to_numpy(), items.to_numpy())
    ranks = ranking.ranks_of(scores, rows, items.get_indexer(right["item"]), excluded=out)
    return ranking.ndcg(ranks, rows, 10).mean()


# %% answer="alpha"
def choose_alpha(past, candidates):
    ### BEGIN SOLUTION
    cut = 3 * len(past) // 4
    before, after = past.iloc[:cut], past.iloc[cut:]
    found = {}
    for alpha in candidates:
        rng = np.random.default_rng(0)
        model = WeightedALS(16, alpha=alpha, regularization=20.0, sweeps=5, rng=rng).fit(before)
        found[alpha] = ndcg_after(model, before, after)
    return max(found, key=found.get)
    ### END SOLUTION


# %% check="alpha" points=3
stream = events.iloc[:20_000]
fits = []
original_fit = WeightedALS.fit


def watched(self, table):
    fits.append((self.alpha, len(table), int(table["timestamp"].max())))
    return original_fit(self, table)


WeightedALS.fit = watched
try:
    best = choose_alpha(stream, [0.1, 2.0, 500.0])
finally:
    WeightedALS.fit = original_fit
assert {alpha for alpha, *_ in fits} == {0.1, 2.0, 500.0}, "fit one model for each candidate"
assert all(n == 15_000 for _, n, _ in fits), "fit to the first three quarters"
assert all(last <= stream["timestamp"].iloc[15_000] for *_, last in fits), (
    "a fit has seen the future"
)
measured = {
    alpha: ndcg_after(
        WeightedALS(
            16, alpha=alpha, regularization=20.0, sweeps=5, rng=np.random.default_rng(0)
        ).fit(stream.iloc[:15_000]),
        stream.iloc[:15_000],
        stream.iloc[15_000:],
    )
    for alpha in (0.1, 2.0, 500.0)
}
assert best == max(measured, key=measured.get), "that alpha is not the one whose lists were best"


# %% wrong="alpha"
# The rows are shuffled before they are cut.
def choose_alpha(past, candidates):
    order = np.random.default_rng(0).permutation(len(past))
    before = past.iloc[np.sort(order[: 3 * len(past) // 4])]
    after = past.iloc[np.sort(order[3 * len(past) // 4 :])]
    found = {}
    for alpha in candidates:
        rng = np.random.default_rng(0)
        model = WeightedALS(16, alpha=alpha, regularization=20.0, sweeps=5, rng=rng).fit(before)
        found[alpha] = ndcg_after(model, before, after)
    return max(found, key=found.get)


# %% wrong="alpha"
# Takes the objective for the judge; it is not comparable between alphas.
def choose_alpha(past, candidates):
    cut = 3 * len(past) // 4
    found = {}
    for alpha in candidates:
        rng = np.random.default_rng(0)
        model = WeightedALS(16, alpha=alpha, regularization=20.0, sweeps=5, rng=rng)
        found[alpha] = -model.fit(past.iloc[:cut]).objective()
    return min(found, key=found.get)


# %% [markdown]
# ## 6. Design your own: factors and recency
#
# *Objectives 4 and 6.* Counting the latest events and factors know different things. Design a recommender
# `blend(past)` that returns a function `score(users, items)` (arrays of ids; a table of scores, one row a user), made
# from `past` alone, finite for every item of `past`, and for users who may be unknown. It has to beat *both* of its
# parts on the check's stretch of MovieLens: weighted ALS alone, and popularity in a window of `3000` events alone, by
# more than `0.01`. Scores of two models have different units; ranks, or standardised scores, can be added.


# %% answer="blend"
def blend(past):
    ### BEGIN SOLUTION
    rng = np.random.default_rng(0)
    als = WeightedALS(32, alpha=1.0, regularization=10.0, sweeps=10, rng=rng).fit(past)
    recent = Popularity(window=3000).fit(past)

    def standardised(scores):
        scores = np.where(np.isfinite(scores), scores, np.nan)
        spread = np.nanstd(scores, axis=1, keepdims=True)
        return np.nan_to_num(
            (scores - np.nanmean(scores, axis=1, keepdims=True)) / (spread + 1e-9), nan=-9
        )

    def score(users, items):
        return standardised(als.score_items(users, items)) + 0.5 * standardised(
            recent.score_items(users, items)
        )

    return score
    ### END SOLUTION


# %% check="blend" points=3
class Scored:
    def __init__(self, score):
        self.score_items = score


before, after = events.iloc[:40_000], events.iloc[40_000:50_000]
mine = ndcg_after(Scored(blend(before)), before, after)
rng = np.random.default_rng(0)
parts = {
    "weighted ALS": WeightedALS(32, alpha=1.0, regularization=10.0, sweeps=10, rng=rng).fit(
        before
    ),
    "popularity, window": Popularity(window=3000).fit(before),
}
for name, part in parts.items():
    alone = ndcg_after(part, before, after)
    assert mine > alone + 0.01, (
        f"{name} alone has {alone:.3f}, your blend {mine:.3f}: in which units do you add?"
    )
stranger = blend(before)(np.array([-1]), before["item"].unique()[:50])
assert stranger.shape == (1, 50) and np.isfinite(stranger).all(), "a stranger needs a list, too"
assert len(np.unique(stranger)) > 1, "a stranger gets no order"


# %% wrong="blend"
# One part alone.
def blend(past):
    rng = np.random.default_rng(0)
    return (
        WeightedALS(32, alpha=1.0, regularization=10.0, sweeps=10, rng=rng).fit(past).score_items
    )


# %% wrong="blend"
# Adds counts to scores: the counts drown the rest.
def blend(past):
    als = WeightedALS(32, alpha=1.0, regularization=10.0, rng=np.random.default_rng(0)).fit(past)
    recent = Popularity(window=3000).fit(past)
    return lambda users, items: (
        als.score_items(users, items) * 1e-9 + recent.score_items(users, items)
    )
