# %% [markdown]
# # 06a Exercises: Matrix factorisation: ratings
#
# These go with [chapter 06a](../06a_factorization_of_ratings.ipynb). Each asks you to replace the line that raises an
# error, and is followed by a cell that checks your answer; run it until it is silent. They become less guided as they
# go on.

# %%
import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.events import split_at
from recsys_course.models import ExplicitALS

movielens = data.movielens()
past, future = split_at(movielens.events, 0.6)

# %% [markdown]
# ## 1. The other half-step
#
# *Objective 1.* The chapter solves for a film while the users are held fixed. Write the step for a user:
# `solve_user(b, Q, labels, mean, ridge)`, where `b`, shape `(n,)`, and `Q`, shape `(n, k)`, belong to the $n$ films
# that the user rated, and `labels`, shape `(n,)`, are the ratings. Return the user's bias and vector as one array of
# shape `(k + 1,)`, bias first. The ridge acts on both.


# %% answer="user"
def solve_user(b, Q, labels, mean, ridge):
    ### BEGIN SOLUTION
    D = np.column_stack([np.ones(len(Q)), Q])
    return np.linalg.solve(D.T @ D + ridge * np.eye(D.shape[1]), D.T @ (labels - mean - b))
    ### END SOLUTION


# %% check="user" points=1
rng = np.random.default_rng(0)
model = ExplicitALS(3, sweeps=3, regularization=5.0, rng=rng).fit(past.head(20_000))
known = model.parameters()
films = np.argsort(-np.abs(known.item_bias))[:6]
newcomer = pd.DataFrame(
    {"user": "you", "item": known.items[films], "label": [5.0, 1, 4, 4, 2, 3], "timestamp": 0}
)
mine = solve_user(
    known.item_bias[films],
    known.item_vectors[films],
    newcomer["label"].to_numpy(),
    known.mean,
    5.0,
)
assert np.shape(mine) == (4,), "one array: the bias, then the three numbers of the vector"
folded = model.fold_in(newcomer).parameters()
assert np.isclose(mine[0], folded.user_bias[-1]), (
    "the bias is not the library's: is there a column of ones, is the ridge on the bias too, are the films' biases taken off?"
)
assert np.allclose(mine[1:], folded.user_vectors[-1]), "the vector is not the library's"
nobody = solve_user(np.zeros(0), np.zeros((0, 3)), np.zeros(0), 3.5, 5.0)
assert np.allclose(nobody, 0), (
    "without ratings the ridge alone decides: everything zero, and no error"
)


# %% wrong="user"
# The ridge grows with the number of ratings.
def solve_user(b, Q, labels, mean, ridge):
    D = np.column_stack([np.ones(len(Q)), Q])
    ridge = ridge * max(len(Q), 1)
    return np.linalg.solve(D.T @ D + ridge * np.eye(D.shape[1]), D.T @ (labels - mean - b))


# %% wrong="user"
# Forgets that the films have biases.
def solve_user(b, Q, labels, mean, ridge):
    D = np.column_stack([np.ones(len(Q)), Q])
    return np.linalg.solve(D.T @ D + ridge * np.eye(D.shape[1]), D.T @ (labels - mean))


# %% [markdown]
# ## 2. The same scores, balanced
#
# *Objective 2.* At a minimum of the ridge $P^\top P = Q^\top Q$. Write `balanced(P, Q)`, for any $P$, shape `(n, k)`,
# and $Q$, shape `(m, k)`, of full rank: return a pair of the same shapes with the same products $PQ^\top$ for which
# that holds. Do not form the $n \times m$ matrix of scores: there may be a million users. (Hint: `np.linalg.qr` of
# both leaves a problem of size $k \times k$.)


# %% answer="balanced"
def balanced(P, Q):
    ### BEGIN SOLUTION
    left, small_left = np.linalg.qr(P)
    right, small_right = np.linalg.qr(Q)
    U, size, V = np.linalg.svd(small_left @ small_right.T)
    return left @ U * np.sqrt(size), right @ V.T * np.sqrt(size)
    ### END SOLUTION


# %% check="balanced" points=2
rng = np.random.default_rng(1)
P, Q = rng.normal(size=(50, 4)) @ np.diag([9, 3, 1, 0.2]), rng.normal(size=(70, 4))
P2, Q2 = balanced(P, Q)
assert P2.shape == P.shape and Q2.shape == Q.shape, "the shapes should stay"
assert np.allclose(P2 @ Q2.T, P @ Q.T), "the scores have changed"
assert np.allclose(P2.T @ P2, Q2.T @ Q2), (
    "P'P and Q'Q differ: one factor of scale for all is not enough, the directions differ too"
)
assert (P2**2).sum() + (Q2**2).sum() < (P**2).sum() + (Q**2).sum(), (
    "balanced factors pay the smallest ridge"
)
many = rng.normal(size=(300_000, 2))
P2, Q2 = balanced(many, many)
assert np.allclose(P2[:5] @ Q2[:5].T, many[:5] @ many[:5].T), "it should work for many rows too"


# %% wrong="balanced"
# One scale for everything.
def balanced(P, Q):
    c = np.sqrt(np.linalg.norm(Q) / np.linalg.norm(P))
    return P * c, Q / c


# %% wrong="balanced"
# Turns both, which changes no norm.
def balanced(P, Q):
    turn = np.linalg.svd(Q.T @ Q)[0]
    return P @ turn, Q @ turn


# %% [markdown]
# ## 3. Choose on the past
#
# *Objective 3.* Write `choose(past, candidates, make)`. `make(candidate)` returns a new model with `fit(events)`,
# which returns the model, and `predict(events)`. Fit each candidate on the first four fifths of the past in time
# (`split_at`), and return the one whose predictions of the last fifth have the smallest RMSE.


# %% answer="choose"
def choose(past, candidates, make):
    ### BEGIN SOLUTION
    early, late = split_at(past, 0.8)

    def error(candidate):
        predicted = make(candidate).fit(early).predict(late)
        return np.mean((late["label"].to_numpy() - predicted) ** 2)

    return min(candidates, key=error)
    ### END SOLUTION


# %% check="choose" points=2
drifting = pd.DataFrame(
    {
        "user": 1,
        "item": np.arange(1000),
        "label": np.linspace(0, 10, 1000),
        "timestamp": np.arange(1000),
    }
)


class MeanPlus:
    """Says the mean of what it learned, plus a shift; remembers the times of what it was shown."""

    shown = ()

    def __init__(self, shift):
        self.shift = shift

    def fit(self, events):
        self.mean = events["label"].mean()
        self.last = events["timestamp"].max()
        return self

    def predict(self, events):
        MeanPlus.shown += ((self.last, events["timestamp"].min(), len(events)),)
        return np.full(len(events), self.mean + self.shift)


# The first four fifths have a mean of 4, the last fifth of 9.
assert choose(drifting, [0, 1, 3, 5, 7], MeanPlus) == 5, (
    "not the candidate that is best on the last fifth: was the model judged on a random part, or on what it learned?"
)
assert len(MeanPlus.shown) >= 5, "each candidate should be tried"
assert all(learned < asked for learned, asked, _ in MeanPlus.shown), (
    "a model was asked about a time that it had learned from"
)
assert all(count == 200 for *_, count in MeanPlus.shown), (
    "the last fifth has two hundred of these events"
)


# %% wrong="choose"
# Judges on what was learned.
def choose(past, candidates, make):
    return min(
        candidates,
        key=lambda c: np.mean((past["label"] - make(c).fit(past).predict(past)) ** 2),
    )


# %% wrong="choose"
# Holds out at random.
def choose(past, candidates, make):
    held = np.random.default_rng(0).random(len(past)) < 0.2

    def error(c):
        return np.mean((past["label"][held] - make(c).fit(past[~held]).predict(past[held])) ** 2)

    return min(candidates, key=error)


# %% [markdown]
# ## 4. SVD++, one user at a time
#
# Here is what SVD++ does with one user, as it is written down. `R`, shape `(n,)`, are the user's items, each once,
# `labels` the ratings. It changes `bi`, `p`, `Q` and `Y` in place, and returns the user's bias.


# %%
def literal(R, labels, mu, bu, bi, p, Q, Y, eta, lam):
    root = np.sqrt(len(R))
    for i, r in zip(R, labels, strict=True):
        z = Y[R].sum(axis=0) / root
        e = r - (mu + bu + bi[i] + (p + z) @ Q[i])
        bu += eta * (e - lam * bu)
        bi[i] += eta * (e - lam * bi[i])
        p_old, q = p.copy(), Q[i].copy()
        p += eta * (e * q - lam * p_old)
        Q[i] += eta * (e * (p_old + z) - lam * q)
        Y[R] += eta * (e * q / root - lam * Y[R])
    return bu


# %% [markdown]
# *Objective 4.* Write `regrouped`, with the same arguments and results, which writes each row of `Y` once.


# %% answer="regrouped"
def regrouped(R, labels, mu, bu, bi, p, Q, Y, eta, lam):
    ### BEGIN SOLUTION
    root, keep = np.sqrt(len(R)), 1 - eta * lam
    z = Y[R].sum(axis=0) / root
    before = z.copy()
    for i, r in zip(R, labels, strict=True):
        e = r - (mu + bu + bi[i] + (p + z) @ Q[i])
        bu += eta * (e - lam * bu)
        bi[i] += eta * (e - lam * bi[i])
        p_old, q = p.copy(), Q[i].copy()
        p += eta * (e * q - lam * p_old)
        Q[i] += eta * (e * (p_old + z) - lam * q)
        z = keep * z + eta * e * q
    shrunk = keep ** len(R)
    Y[R] = shrunk * Y[R] + (z - shrunk * before) / root
    return bu
    ### END SOLUTION


# %% check="regrouped" points=3
class Counted(np.ndarray):
    """An array that counts the rows written to it (and not those written to copies of it)."""

    written, watched = 0, None

    def __setitem__(self, key, value):
        if self is Counted.watched:
            Counted.written += np.size(np.asarray(self)[key]) // self.shape[1]
        super().__setitem__(key, value)


rng = np.random.default_rng(2)
R, labels = rng.permutation(40)[:25], rng.uniform(1, 5, size=25)
first = [rng.normal(0, 0.3, size=size) for size in (40, 5, (40, 5), (40, 5))]  # bi, p, Q, Y
asked, given = ([a.copy() for a in first] for _ in range(2))
given[3] = Counted.watched = given[3].view(Counted)
Counted.written = 0
bias = regrouped(R, labels, 3.5, 0.1, *given, 0.05, 0.2)
written = Counted.written
expected = literal(R, labels, 3.5, 0.1, *asked, 0.05, 0.2)
assert np.isclose(bias, expected), (
    "the user's bias differs: do the errors see the z of that moment?"
)
for name, mine, right in zip(("bi", "p", "Q", "Y"), given, asked, strict=True):
    assert np.allclose(np.asarray(mine), right, rtol=0, atol=1e-12), (
        f"{name} differs: q is used as it was before its step, and z shrinks as the y do"
    )
assert written <= len(R), (
    f"{written} rows of Y were written for {len(R)} items: write each row once, at the end"
)


# %% wrong="regrouped"
# Right, and not regrouped.
def regrouped(R, labels, mu, bu, bi, p, Q, Y, eta, lam):
    return literal(R, labels, mu, bu, bi, p, Q, Y, eta, lam)


# %% wrong="regrouped"
# Forgets that the old part of z has shrunk.
def regrouped(R, labels, mu, bu, bi, p, Q, Y, eta, lam):
    root, keep = np.sqrt(len(R)), 1 - eta * lam
    z = Y[R].sum(axis=0) / root
    before = z.copy()
    for i, r in zip(R, labels, strict=True):
        e = r - (mu + bu + bi[i] + (p + z) @ Q[i])
        bu += eta * (e - lam * bu)
        bi[i] += eta * (e - lam * bi[i])
        p_old, q = p.copy(), Q[i].copy()
        p += eta * (e * q - lam * p_old)
        Q[i] += eta * (e * (p_old + z) - lam * q)
        z = keep * z + eta * e * q
    Y[R] = Y[R] + (z - before) / root
    return bu


# %% [markdown]
# ## 5. A newcomer with error bars
#
# *Objective 5.* The films are known; a newcomer's $x$, bias and vector, is normal about 0 with precision `lam` in each
# component before anything is rated, and a rating is normal about $d^\top x$ with standard deviation `noise`. Write
# `forecast(D, t, d, noise, lam)`: `D`, shape `(n, k + 1)`, has the rows of the films rated, `t`, shape `(n,)`, the
# ratings less mean and film biases, and `d`, shape `(k + 1,)`, the row of another film. Return the expected rating of
# that film (also less mean and bias), the standard deviation of what is *expected*, and the half width of an interval
# that holds a single *rating* nine times in ten ($1.645$ standard deviations).


# %% answer="forecast"
def forecast(D, t, d, noise, lam):
    ### BEGIN SOLUTION
    covariance = np.linalg.inv(D.T @ D / noise**2 + lam * np.eye(len(d)))
    mean = d @ covariance @ D.T @ t / noise**2
    spread = np.sqrt(d @ covariance @ d)
    return mean, spread, 1.645 * np.sqrt(spread**2 + noise**2)
    ### END SOLUTION


# %% check="forecast" points=2
rng = np.random.default_rng(3)
D, t, d = rng.normal(size=(3, 4)), np.array([1.0, -0.5, 0.8]), rng.normal(size=4)
mean, spread, half = forecast(D, t, d, 0.7, 2.0)
ridge = np.linalg.solve(D.T @ D + 2.0 * 0.7**2 * np.eye(4), D.T @ t)
assert np.isclose(mean, d @ ridge), (
    "the mean is the ridge solution: the ridge is lam times the variance of the noise"
)
nothing = forecast(D[:0], t[:0], d, 0.7, 2.0)
assert np.allclose(nothing[:2], [0, np.linalg.norm(d) / np.sqrt(2.0)]), (
    "before any rating the prior alone speaks: 0, and |d| / sqrt(lam)"
)
assert forecast(np.tile(d, (5, 1)), np.ones(5), d, 0.7, 2.0)[1] < nothing[1] / 2, (
    "five ratings of such a film should tell a lot about it"
)
inside = []
for _ in range(3000):  # people drawn from the prior, three ratings each
    x = rng.normal(0, 2.0**-0.5, size=4)
    D, d = rng.normal(size=(3, 4)), rng.normal(size=4)
    mean, _, half = forecast(D, D @ x + rng.normal(0, 0.7, size=3), d, 0.7, 2.0)
    inside.append(abs(d @ x + rng.normal(0, 0.7) - mean) <= half)
# Three standard errors of a share of 0.9 among 3000 are 0.016.
assert abs(np.mean(inside) - 0.9) < 0.017, (
    f"the interval holds {np.mean(inside):.3f} of the ratings: both kinds of doubt belong into it"
)


# %% wrong="forecast"
# As if the newcomer were known.
def forecast(D, t, d, noise, lam):
    covariance = np.linalg.inv(D.T @ D / noise**2 + lam * np.eye(len(d)))
    return d @ covariance @ D.T @ t / noise**2, np.sqrt(d @ covariance @ d), 1.645 * noise


# %% wrong="forecast"
# Takes the precision for the ridge.
def forecast(D, t, d, noise, lam):
    covariance = np.linalg.inv(D.T @ D + lam * np.eye(len(d)))
    spread = noise * np.sqrt(d @ covariance @ d)
    return d @ covariance @ D.T @ t, spread, 1.645 * np.sqrt(spread**2 + noise**2)


# %% [markdown]
# ## 6. Batches that equal the loop
#
# *Objective 6.* A mini-batch is another algorithm where an id occurs in it twice. So choose batches in which none
# does. Write `batches(users, items)` for two arrays of row numbers: return a list of arrays of positions such that
# `run` below, batch after batch, gives what the loop over the events one by one gives, to rounding, with as few
# batches as you can. Design it yourself; the check looks at what comes out. (An event has to wait for whom?)


# %%
def run(order, users, items, labels, P, Q, eta=0.05):
    """SGD without biases and ridge, batch after batch; returns new P and Q."""
    P, Q = P.copy(), Q.copy()
    for batch in order:
        u, i = users[batch], items[batch]
        p, q = P[u], Q[i]
        e = labels[batch] - (p * q).sum(axis=1)
        np.add.at(P, u, eta * e[:, None] * q)
        np.add.at(Q, i, eta * e[:, None] * p)
    return P, Q


shuffled = past.sample(4000, random_state=0)
users, items = (pd.factorize(shuffled[name])[0] for name in ("user", "item"))
labels = shuffled["label"].to_numpy() - 3.5
rng = np.random.default_rng(4)
P, Q = (
    rng.normal(0, 0.3, size=(users.max() + 1, 4)),
    rng.normal(0, 0.3, size=(items.max() + 1, 4)),
)
one_by_one = run([np.array([n]) for n in range(4000)], users, items, labels, P, Q)


# %% answer="batches"
def batches(users, items):
    ### BEGIN SOLUTION
    last_of_user, last_of_item, found = {}, {}, []
    for n, (u, i) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        level = 1 + max(last_of_user.get(u, -1), last_of_item.get(i, -1))
        last_of_user[u] = last_of_item[i] = level
        if level == len(found):
            found.append([])
        found[level].append(n)
    return [np.array(batch) for batch in found]
    ### END SOLUTION


# %% check="batches" points=3
order = batches(users, items)
assert np.array_equal(np.sort(np.concatenate(order)), np.arange(4000)), (
    "each event should be in exactly one batch"
)
for batch in order:
    assert len(set(users[batch])) == len(set(items[batch])) == len(batch), (
        "an id occurs twice in a batch: its steps would start from the same point"
    )
for mine, right in zip(run(order, users, items, labels, P, Q), one_by_one, strict=True):
    assert np.allclose(mine, right, rtol=0, atol=1e-10), (
        "not what the loop gives: an event must come after every earlier one of its user and of its item"
    )
assert len(order) < 400, (
    f"{len(order)} batches for 4000 events: put an event into the first batch in which it may stand"
)


# %% wrong="batches"
# Batches of one: the loop itself.
def batches(users, items):
    return [np.array([n]) for n in range(len(users))]


# %% wrong="batches"
# No id twice in a batch, but out of order: fills the first batch that has neither id.
def batches(users, items):
    found, taken = [], []
    for n, (u, i) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        for batch, ids in zip(found, taken, strict=True):
            if ("u", u) not in ids and ("i", i) not in ids:
                break
        else:
            batch, ids = [], set()
            found.append(batch)
            taken.append(ids)
        batch.append(n)
        ids |= {("u", u), ("i", i)}
    return [np.array(batch) for batch in found]


# %% wrong="batches"
# Batches of a fixed size.
def batches(users, items):
    return np.array_split(np.arange(len(users)), 100)
