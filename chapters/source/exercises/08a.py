# %% [markdown]
# # 08a Exercises: True online learning
#
# These go with [chapter 08a](../08a_true_online_learning.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
from river import base, compose, evaluate, linear_model, metrics, optim

from recsys_course import data
from recsys_course.metrics import log_loss
from recsys_course.models import FTRLProximal
from recsys_course.replay import replay
from recsys_course.strategies import Incremental

films = data.movielens()
first = films.events.head(4000)
stream = [
    ({"t": int(t), f"user={u}": 1.0, f"film={i}": 1.0}, bool(stars >= 4))
    for u, i, stars, t in first[["user", "item", "label", "timestamp"]].itertuples(index=False)
]


def new_model():
    return compose.Discard("t") | linear_model.LogisticRegression(optim.SGD(0.1))


# %% [markdown]
# ## 1. A delay by hand
#
# *Objective 1.* Write `late(model, stream, delay)`: the predicted probability of a like for each event of the stream, an array in the order of the stream. The label of an event at `x["t"]` arrives `delay` seconds
# later (`delay` is at least 1). Before an event is predicted, all labels that have arrived by its time are learned, in the order of the events; one that arrives in the same second counts as arrived. Labels that arrive after the last event are not needed.


# %% answer="late"
def late(model, stream, delay):
    ### BEGIN SOLUTION
    said, waiting = [], 0
    for x, _ in stream:
        while stream[waiting][0]["t"] + delay <= x["t"]:
            model.learn_one(*stream[waiting])
            waiting += 1
        said.append(model.predict_proba_one(x)[True])
    return np.array(said)
    ### END SOLUTION


# %% check="late" points=2
liked = [y for _, y in stream]
for delay in (1, 60, 86_400):
    river = evaluate.progressive_val_score(
        stream, new_model(), metrics.LogLoss(), moment=lambda x: x["t"], delay=delay
    ).get()
    mine = late(new_model(), stream, delay)
    assert len(mine) == len(stream), "one prediction for each event"
    assert np.isclose(log_loss(liked, mine), river, rtol=0, atol=1e-10), (
        f"delay {delay}: your log loss is {log_loss(liked, mine):.4f}, River's {river:.4f}: "
        "which labels have arrived when an event is predicted?"
    )


# %% wrong="late"
# Learns each label at once.
def late(model, stream, delay):
    said = []
    for x, y in stream:
        said.append(model.predict_proba_one(x)[True])
        model.learn_one(x, y)
    return np.array(said)


# %% wrong="late"
# A label that arrives in this second has to wait for the next.
def late(model, stream, delay):
    said, waiting = [], 0
    for x, _ in stream:
        while stream[waiting][0]["t"] + delay < x["t"]:
            model.learn_one(*stream[waiting])
            waiting += 1
        said.append(model.predict_proba_one(x)[True])
    return np.array(said)


# %% [markdown]
# ## 2. Taught what was served
#
# *Objective 2.* A feature that says how many seconds ago the user was last seen is worthless if the model behind it learns from a 0 each time. Write a transformer `SecondsSince` for River: `transform_one(x)` returns
# `{"since": seconds}`, the time from the last *learned* event of `x["user"]` to `x["t"]`, and -1 for a user never learned. In a pipeline the model must be taught the very features that it was served, if `learn_one(x, y)` follows `predict_one(x)`. In the chapter, one kind of transformer did that by itself:
# the one that needs the label. A class becomes one of that kind by inheriting from `base.SupervisedTransformer` and `base.Transformer`, in this order, with `learn_one(self, x, y)`.


# %% answer="since"
### BEGIN SOLUTION
class SecondsSince(base.SupervisedTransformer, base.Transformer):
    def __init__(self):
        self.last = {}

    def transform_one(self, x):
        if x["user"] not in self.last:
            return {"since": -1}
        return {"since": x["t"] - self.last[x["user"]]}

    def learn_one(self, x, y):
        self.last[x["user"]] = x["t"]


### END SOLUTION


# %% check="since" points=2
class Spy(linear_model.LinearRegression):
    def predict_one(self, x):
        self.asked = dict(x)
        return super().predict_one(x)

    def learn_one(self, x, y):
        self.taught = dict(x)
        super().learn_one(x, y)


pipeline, served = SecondsSince() | Spy(), []
for user, t in (("ann", 100), ("bob", 105), ("ann", 130), ("ann", 131)):
    pipeline.predict_one({"user": user, "t": t})
    pipeline.learn_one({"user": user, "t": t}, 1.0)
    spy = pipeline["Spy"]
    served.append(spy.asked["since"])
    assert spy.taught == spy.asked, (
        f"asked with {spy.asked}, taught {spy.taught}: does the transformer learn before it transforms?"
    )
assert served == [-1, -1, 30, 1], (
    f"served {served}: the first of a user is -1, then the seconds since her last"
)
pipeline.predict_one({"user": "eve", "t": 140})
pipeline.predict_one({"user": "eve", "t": 150})
assert pipeline["Spy"].asked["since"] == -1, "a question is not an event: eve was never learned"


# %% wrong="since"
# A transformer without labels: River lets it learn first.
class SecondsSince(base.Transformer):
    def __init__(self):
        self.last = {}

    def transform_one(self, x):
        return {"since": x["t"] - self.last[x["user"]] if x["user"] in self.last else -1}

    def learn_one(self, x):
        self.last[x["user"]] = x["t"]


# %% wrong="since"
# Learns when it is asked.
class SecondsSince(base.SupervisedTransformer, base.Transformer):
    def __init__(self):
        self.last = {}

    def transform_one(self, x):
        since = x["t"] - self.last[x["user"]] if x["user"] in self.last else -1
        self.last[x["user"]] = x["t"]
        return {"since": since}

    def learn_one(self, x, y):
        pass


# %% [markdown]
# ## 3. A memory with a bound
#
# *Objective 3.* Write a class `BoundedMeans(room)`. `predict_one(user)` returns the mean of the user's ratings as if ten ratings of `3.5` had come first: $(35 + \text{sum})/(10 + n)$. `learn_one(user, stars)` takes a rating in. It keeps at most `room` users: when one more would be needed, the
# user who was *learned* longest ago is forgotten. Questions leave no trace. What is kept stands in a dictionary `kept`, with a user for a key.


# %% answer="bounded"
### BEGIN SOLUTION
class BoundedMeans:
    def __init__(self, room):
        self.room, self.kept = room, {}

    def predict_one(self, user):
        total, n = self.kept.get(user, (0.0, 0))
        return (35 + total) / (10 + n)

    def learn_one(self, user, stars):
        # A dictionary keeps the order of insertion: taken out and put in again, the latest stands last.
        total, n = self.kept.pop(user, (0.0, 0))
        self.kept[user] = (total + stars, n + 1)
        if len(self.kept) > self.room:
            del self.kept[next(iter(self.kept))]


### END SOLUTION


# %% check="bounded" points=2
means = BoundedMeans(2)
assert means.predict_one("ann") == 3.5 and len(means.kept) == 0, "a question must not be kept"
means.learn_one("ann", 5.0)
means.learn_one("bob", 1.0)
means.learn_one("ann", 4.0)
assert np.isclose(means.predict_one("ann"), 44 / 12), "ann gave 5 and 4: (35 + 9) / (10 + 2)"
means.predict_one("bob")
means.learn_one("eve", 2.0)
assert set(means.kept) == {"ann", "eve"}, (
    f"kept are {sorted(means.kept)}: bob was learned longest ago, whoever was asked about since"
)
assert means.predict_one("bob") == 3.5, "bob is forgotten"
means = BoundedMeans(50)
for user, stars in first[["user", "label"]].itertuples(index=False):
    means.predict_one(user)
    means.learn_one(user, stars)
    assert len(means.kept) <= 50, "more users than there is room for"
assert set(means.kept) == set(first["user"].drop_duplicates(keep="last").tail(50)), (
    "the fifty users who were learned last should be kept"
)


# %% wrong="bounded"
# Forgets who came first, not who was learned longest ago.
class BoundedMeans:
    def __init__(self, room):
        self.room, self.kept = room, {}

    def predict_one(self, user):
        total, n = self.kept.get(user, (0.0, 0))
        return (35 + total) / (10 + n)

    def learn_one(self, user, stars):
        total, n = self.kept.get(user, (0.0, 0))
        self.kept[user] = (total + stars, n + 1)
        if len(self.kept) > self.room:
            del self.kept[next(iter(self.kept))]


# %% wrong="bounded"
# Keeps everybody it is asked about.
class BoundedMeans:
    def __init__(self, room):
        self.room, self.kept = room, {}

    def predict_one(self, user):
        total, n = self.kept.setdefault(user, (0.0, 0))
        return (35 + total) / (10 + n)

    def learn_one(self, user, stars):
        total, n = self.kept.pop(user, (0.0, 0))
        self.kept[user] = (total + stars, n + 1)
        while len(self.kept) > self.room:
            del self.kept[next(iter(self.kept))]


# %% [markdown]
# ## 4. A step for a world that moves
#
# *Objective 4.* In the chapter, a constant step settled at $\frac{d\,(\eta^2\sigma^2+\omega^2)}{2\eta-\eta^2(d+2)}$. For small steps the best one is $\omega/\sigma$. Write `best_step(d, sigma, omega)`, which is right for
# large ones, too. Either set the derivative to zero and solve the quadratic equation, or let a search find it; the check allows an error of one in a thousand.


# %% answer="step"
def best_step(d, sigma, omega):
    ### BEGIN SOLUTION
    # (eta^2 s + w) / (2 eta - eta^2 k): its derivative is zero where s eta^2 + k w eta - w = 0.
    s, w, k = sigma**2, omega**2, d + 2
    return (-k * w + np.sqrt((k * w) ** 2 + 4 * s * w)) / (2 * s)
    ### END SOLUTION


# %% check="step" points=2
def settles_at(eta, d, sigma, omega):
    return d * (eta**2 * sigma**2 + omega**2) / (2 * eta - eta**2 * (d + 2))


for d, sigma, omega in ((5, 1.0, 0.001), (5, 1.0, 0.3), (20, 0.5, 0.1), (2, 2.0, 2.0)):
    eta = best_step(d, sigma, omega)
    assert 0 < eta < 2 / (d + 2), f"{eta} lies outside the range in which the rule settles"
    tried = np.linspace(0, 2 / (d + 2), 200_002)[1:-1]
    best = tried[np.argmin(settles_at(tried, d, sigma, omega))]
    assert abs(eta / best - 1) < 1e-3 or abs(eta - best) < 2e-5, (
        f"d = {d}, sigma = {sigma}, omega = {omega}: the formula is least at {best:.5f}, not at {eta:.5f}"
    )


# %% wrong="step"
# Right for small steps only.
def best_step(d, sigma, omega):
    return min(omega / sigma, 1.999 / (d + 2))


# %% wrong="step"
# The middle of the stable range.
def best_step(d, sigma, omega):
    return 1 / (d + 2)


# %% [markdown]
# ## 5. FTRL for squared error
#
# *Objective 5.* Write `ftrl_squared(X, y, alpha, beta, l1, l2)` for rows $x$ of numbers and the loss $\frac12(y - w^\top x)^2$: go through the rows once, and return the final weights, shape $(d,)$. The gradient of a weight is $-(y - w^\top x)\,x_j$; all else
# is as in the chapter: each prediction is made with the weights that $z$ and $n$ give at that moment.


# %% answer="squared"
def ftrl_squared(X, y, alpha, beta, l1, l2):
    ### BEGIN SOLUTION
    z, n = np.zeros(X.shape[1]), np.zeros(X.shape[1])

    def weights():
        shrunk = z - np.sign(z) * l1
        return np.where(np.abs(z) <= l1, 0.0, -shrunk / ((beta + np.sqrt(n)) / alpha + l2))

    for x, target in zip(X, y, strict=True):
        w = weights()
        g = -(target - w @ x) * x
        z += g - (np.sqrt(n + g**2) - np.sqrt(n)) / alpha * w
        n += g**2
    return weights()
    ### END SOLUTION


# %% check="squared" points=3
rng = np.random.default_rng(0)
X = rng.normal(size=(1500, 6))
y = X @ [1.5, -1.0, 0.5, 0.0, 0.0, 0.0] + 0.1 * rng.normal(size=1500)
w, n = np.zeros(6), np.zeros(6)
for x, target in zip(X, y, strict=True):
    g = -(target - w @ x) * x
    n += g**2
    w -= 0.3 / (1.0 + np.sqrt(n)) * g
assert np.allclose(ftrl_squared(X, y, 0.3, 1.0, 0.0, 0.0), w, atol=1e-10), (
    "without penalties it should be gradient descent with a step for each coordinate: is the gradient times x_j?"
)
sparse = ftrl_squared(X, y, 0.3, 1.0, 30.0, 0.0)
assert (sparse[3:] == 0).all() and (np.abs(sparse[:3]) > 0.1).all(), (
    f"with l1 = 30 the last three weights should be exactly zero and the others not: {sparse.round(3)}"
)
assert (np.sign(sparse[:3]) == [1, -1, 1]).all(), (
    "the signs are those of the truth: which way does the threshold go?"
)
one = ftrl_squared(np.array([[2.0]]), np.array([3.0]), 0.5, 1.0, 1.0, 0.25)
# g = -6, n = 36, z = -6; w = (6 - 1) / ((1 + 6) / 0.5 + 0.25)
assert np.isclose(one[0], 5 / 14.25), f"by hand, one row gives {5 / 14.25:.4f}, not {one[0]:.4f}"


# %% wrong="squared"
# The threshold in the wrong direction.
def ftrl_squared(X, y, alpha, beta, l1, l2):
    z, n = np.zeros(X.shape[1]), np.zeros(X.shape[1])

    def weights():
        grown = z + np.sign(z) * l1
        return np.where(np.abs(z) <= l1, 0.0, -grown / ((beta + np.sqrt(n)) / alpha + l2))

    for x, target in zip(X, y, strict=True):
        w = weights()
        g = -(target - w @ x) * x
        z += g - (np.sqrt(n + g**2) - np.sqrt(n)) / alpha * w
        n += g**2
    return weights()


# %% wrong="squared"
# Leaves out the term that keeps it near: dual averaging.
def ftrl_squared(X, y, alpha, beta, l1, l2):
    z, n = np.zeros(X.shape[1]), np.zeros(X.shape[1])

    def weights():
        shrunk = z - np.sign(z) * l1
        return np.where(np.abs(z) <= l1, 0.0, -shrunk / ((beta + np.sqrt(n)) / alpha + l2))

    for x, target in zip(X, y, strict=True):
        g = -(target - weights() @ x) * x
        z += g
        n += g**2
    return weights()


# %% [markdown]
# ## 6. A model that fits
#
# *Objectives 5 and 6.* Design a model for an app with little memory: `my_model()` returns an `FTRLProximal` for the table `likes` below. While it learns it may keep at most $2^{14}$ weights, whatever comes, so it needs `buckets`. At most `4000` of them may differ from zero after one pass. On the
# last three fifths, learning from each event, its log loss has to be below `0.56`; the past's share of likes has more than `0.70`. Which columns and crosses it uses, the step and the penalty are up to you. There is more than one way.

# %%
likes = films.events.assign(label=(films.events["label"] >= 4) * 1.0)
about = films.items.reindex(likes["item"])
likes["year"] = about["year"].fillna(0).astype(int).to_numpy()
likes["genres"] = about["genres"].fillna("").to_numpy()


# %% answer="fits"
def my_model():
    ### BEGIN SOLUTION
    # Without crosses few ids have to share, and a weak penalty is enough.
    return FTRLProximal(["user", "item", "year", "genres"], alpha=1.0, l1=1.5, buckets=2**14)
    ### END SOLUTION


# %% check="fits" points=3
model = my_model()
assert model.buckets is not None and model.buckets <= 2**14, (
    "its memory must have a bound of 2^14 weights"
)
count = my_model().fit(likes).n_nonzero
assert count <= 4000, f"{count:,} weights are not zero: strengthen the penalty, or use fewer ids"
run = replay(likes, Incremental(my_model()), task="binary", warmup=0.4)
loss = log_loss(run.labels, run.scores)
assert loss < 0.56, f"log loss {loss:.4f}: weaken the penalty, try another alpha or other fields"


# %% wrong="fits"
# A bound, and no penalty.
def my_model():
    return FTRLProximal(["user", "item", "year", "genres"], alpha=0.5, buckets=2**14)


# %% wrong="fits"
# Few weights, and no bound while it learns.
def my_model():
    return FTRLProximal(["user", "item", "year", "genres"], alpha=0.5, l1=3.0)


# %% wrong="fits"
# All crosses in a table that is too small for them.
def my_model():
    fields = ["user", "item", "year", "genres", ("user", "year"), ("user", "genres")]
    return FTRLProximal(fields, alpha=1.0, l1=3.0, buckets=2**14)


# %% wrong="fits"
# Knows the kind of film, and no film.
def my_model():
    return FTRLProximal(["user", "year", "genres"], alpha=1.0, buckets=2**14)


# %% wrong="fits"
# Small, and knows nothing.
def my_model():
    return FTRLProximal(["year"], alpha=0.5, buckets=256)
