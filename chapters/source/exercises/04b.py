# %% [markdown]
# # 04b Exercises: A network that is updated every day
#
# These go with [chapter 04b](../04b_updated_every_day.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.linear_model import SGDClassifier

from recsys_course.models.base import Model
from recsys_course.replay import replay
from recsys_course.report import compare, quality
from recsys_course.strategies import Frozen, Incremental, PeriodicRetrain

keras.utils.set_random_seed(0)
"ready"


# %% [markdown]
# ## 1. Traced once
#
# *Objective 1.* Write `make_step(model, optimizer, loss_fn, note)`. It returns a compiled function of `(X, y, step_size)` that makes
# one training step of this optimizer with this step size and returns the loss. It calls `note()` in its Python body, once for each tracing, and it must be traced
# only once, whatever the length of the batch and the step size. `X` has four columns, `y` one, all are float32; the step size comes as
# a tensor.


# %% answer="step"
def make_step(model, optimizer, loss_fn, note):
    ### BEGIN SOLUTION
    optimizer.build(model.trainable_variables)

    def step(X, y, step_size):
        note()
        optimizer.learning_rate = step_size
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(X, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    shapes = ([None, 4], [None, 1], [])
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(step, input_signature=signature, autograph=False)
    ### END SOLUTION


# %% check="step" points=2
def trace_and_move():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    start, notes = [np.ones((4, 1), np.float32), np.zeros(1, np.float32)], []
    model.set_weights(start)
    momentum = keras.optimizers.SGD(0.5, momentum=0.9)
    step = make_step(model, momentum, keras.losses.MeanSquaredError(), lambda: notes.append(1))
    rng, velocity = np.random.default_rng(0), 0.0
    for n, size in ((3, 0.1), (1, 0.01), (7, 0.001)):
        X = rng.normal(size=(n, 4)).astype(np.float32)
        y = rng.normal(size=(n, 1)).astype(np.float32)
        weights = model.get_weights()
        error = X @ weights[0] + weights[1] - y
        loss = step(tf.constant(X), tf.constant(y), tf.constant(size))
        assert np.isclose(float(loss), (error**2).mean(), rtol=1e-4), (
            "the loss returned is not that of the batch before the step"
        )
        moved = model.get_weights()[0] - weights[0]
        velocity = 0.9 * velocity - size * 2 / n * X.T @ error
        assert np.allclose(moved, velocity, atol=1e-5), (
            f"a step of {size} should move the weights as this optimizer does, with momentum: is step_size used, and the optimizer?"
        )
    return len(notes)


assert trace_and_move() == 1, (
    "it should be traced once: leave the length of a batch open in the signature"
)


# %% wrong="step"
# No signature: traced anew for each length.
def make_step(model, optimizer, loss_fn, note):
    optimizer.build(model.trainable_variables)

    def step(X, y, step_size):
        note()
        optimizer.learning_rate = step_size
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(X, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return tf.function(step, autograph=False)


# %% wrong="step"
# The source's: the step size is not read.
def make_step(model, optimizer, loss_fn, note):
    optimizer.build(model.trainable_variables)

    def step(X, y, step_size):
        note()
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(X, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    shapes = ([None, 4], [None, 1], [])
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(step, input_signature=signature, autograph=False)


# %% wrong="step"
# Plain descent by hand: the optimizer is not used.
def make_step(model, optimizer, loss_fn, note):
    def step(X, y, step_size):
        note()
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(X, training=True))
        variables = model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(step_size * gradient)
        return loss

    shapes = ([None, 4], [None, 1], [])
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(step, input_signature=signature, autograph=False)


# %% [markdown]
# ## 2. An auditor for updates
#
# *Objective 2.* An update here is a function `update(state, X, y, step)`. It is given a dict `state` with a vector `"theta"` and a velocity
# `"v"`, and returns a new such dict, leaving the old one alone. Write `audit(update)`, which knows nothing of what is inside and returns
# a dict with three truths: `"labels"`, whether other labels give another result; `"step"`, whether another step does; and `"memory"`, whether the velocity that
# comes in matters for where theta goes.

# %%
X_audit = np.random.default_rng(0).normal(size=(8, 3))


def momentum(state, X, y, step):
    """A correct one: linear regression with momentum."""
    gradient = 2 / len(X) * X.T @ (X @ state["theta"] - y)
    v = 0.9 * state["v"] - step * gradient
    return {"theta": state["theta"] + v, "v": v}


# %% answer="audit"
def audit(update):
    ### BEGIN SOLUTION
    def end(y=0.0, step=0.1, v=0.0):
        state = {"theta": np.ones(3), "v": np.full(3, v)}
        return update(state, X_audit, np.full(8, y), step)["theta"]

    usual = end()
    return {
        "labels": not np.allclose(end(y=5.0), usual),
        "step": not np.allclose(end(step=0.01), usual),
        "memory": not np.allclose(end(v=1.0), usual),
    }
    ### END SOLUTION


# %% check="audit" points=2
def deaf(state, X, y, step):
    return momentum(state, X, np.ones(len(X)), step)


def stubborn(state, X, y, step):
    return momentum(state, X, y, 0.05)


def forgetful(state, X, y, step):
    return momentum({"theta": state["theta"], "v": np.zeros(3)}, X, y, step)


def all_three(state, X, y, step):
    return forgetful(state, X, np.ones(len(X)), 0.05)


for name, update, lacks in (  # without their names, which would tell
    ("momentum", lambda *given, **named: momentum(*given, **named), ()),
    ("deaf", lambda *given, **named: deaf(*given, **named), ("labels",)),
    ("stubborn", lambda *given, **named: stubborn(*given, **named), ("step",)),
    ("forgetful", lambda *given, **named: forgetful(*given, **named), ("memory",)),
    (
        "all_three",
        lambda *given, **named: all_three(*given, **named),
        ("labels", "step", "memory"),
    ),
):
    found = audit(update)
    assert set(found) == {"labels", "step", "memory"}, "return the three truths by these names"
    for what in found:
        assert bool(found[what]) == (what not in lacks), (
            f"{name}: you say that {what} is {bool(found[what])}; change that one thing alone, and compare theta"
        )


# %% wrong="audit"
# Trusts.
def audit(update):
    return {"labels": True, "step": True, "memory": True}


# %% wrong="audit"
# Goes by the name.
def audit(update):
    lacks = {"deaf": "labels", "stubborn": "step", "forgetful": "memory"}
    name = update.__name__
    return {
        what: name != "all_three" and lacks.get(name) != what
        for what in ("labels", "step", "memory")
    }


# %% wrong="audit"
# Compares the velocities, and changes everything at once.
def audit(update):
    a = update({"theta": np.ones(3), "v": np.zeros(3)}, X_audit, np.zeros(8), 0.1)
    b = update({"theta": np.ones(3), "v": np.ones(3)}, X_audit, np.ones(8) * 5, 0.01)
    differs = not np.allclose(a["v"], b["v"])
    return {"labels": differs, "step": differs, "memory": differs}


# %% [markdown]
# ## 3. A model that can be updated
#
# *Objective 3.* scikit-learn's `SGDClassifier` can go on learning, by `partial_fit`. Write the class `Online`, a model of the course around it: `fit` starts anew with
# one pass over the events, `update` goes on from the present state with one pass over the new ones, both by one call of `partial_fit`; they return `self`. `predict` returns the probability of the label 1, and `examples_learned` counts. The
# feature is the column `x`; a new classifier is made by `new()`. Mind what `partial_fit` asks for at its first call.


# %%
def new():
    return SGDClassifier(loss="log_loss", alpha=1e-4, random_state=0)


# %% answer="online"
class Online(Model):
    nbytes = 16

    ### BEGIN SOLUTION
    def fit(self, events):
        self.inner = new()
        self.examples_learned = 0
        return self.update(events)

    def update(self, events):
        self.inner.partial_fit(events[["x"]], events["label"], classes=[0.0, 1.0])
        self.examples_learned += len(events)
        return self

    def predict(self, events):
        return self.inner.predict_proba(events[["x"]])[:, 1]

    ### END SOLUTION


# %% check="online" points=2
rng = np.random.default_rng(0)
x = rng.normal(size=3_000)
turned = np.where(np.arange(3_000) < 1_500, 1.0, -1.0)  # half way, what x means turns around
label = (rng.random(3_000) < 1 / (1 + np.exp(-3 * turned * x))).astype(float)
turning = pd.DataFrame({"user": 1, "item": 1, "label": label, "timestamp": range(3_000), "x": x})
hand = new().partial_fit(turning.loc[:499, ["x"]], label[:500], classes=[0.0, 1.0])
as_hand = Online().fit(turning.head(500))
assert np.allclose(as_hand.predict(turning), hand.predict_proba(turning[["x"]])[:, 1]), (
    "fit is one pass by partial_fit with a classifier made by new(), and predict gives its probability of 1"
)
for first in (500, 600):
    rows = turning.iloc[first : first + 100]
    hand.partial_fit(rows[["x"]], rows["label"])
    as_hand.update(rows)
assert np.allclose(as_hand.predict(turning), hand.predict_proba(turning[["x"]])[:, 1]), (
    "an update is one pass by partial_fit over the new rows alone, from the present state"
)
lives = {
    "frozen": Frozen(Online()),
    "daily": Incremental(Online(), every=50),
    "anew": PeriodicRetrain(Online(), every=500),
}
lived = {
    name: replay(turning, life, task="binary", warmup=0.4, fused=False)
    for name, life in lives.items()
}
assert lived["daily"].cost.examples == 1_750, (
    f"the updates learned {lived['daily'].cost.examples:,} examples: count each event once"
)
assert quality(lived["daily"]) < 0.8 * quality(lived["frozen"]), (
    "the updated model should follow when x turns around: does update go on from where it stands?"
)
one = Online().fit(turning.head(500)).predict(turning)
twice = Online().fit(turning.tail(500)).fit(turning.head(500)).predict(turning)
assert np.allclose(one, twice), "fit has to forget what was learned before"
parts = Online().fit(turning.head(500)).update(turning.iloc[500:600])
assert not np.allclose(parts.predict(turning), one), "update changes nothing"
assert not np.allclose(
    parts.predict(turning), Online().fit(turning.iloc[500:600]).predict(turning)
), "update starts anew: a retrain on the new rows alone"
assert parts.examples_learned == 600, "examples_learned counts what fit and update have learned"
assert Online().fit(turning.head(1)).predict(turning.head(3)).shape == (3,), (
    "a first batch may hold only one kind of label: name the classes"
)


# %% wrong="online"
# Its update is a retrain on the new rows.
class Online(Model):
    nbytes = 16

    def fit(self, events):
        self.inner = new().partial_fit(events[["x"]], events["label"], classes=[0.0, 1.0])
        self.examples_learned = len(events)
        return self

    def update(self, events):
        return self.fit(events)

    def predict(self, events):
        return self.inner.predict_proba(events[["x"]])[:, 1]


# %% wrong="online"
# Its fit does not forget.
class Online(Model):
    nbytes = 16
    inner = None

    def fit(self, events):
        self.inner = self.inner or new()
        self.examples_learned = 0
        return self.update(events)

    def update(self, events):
        self.inner.partial_fit(events[["x"]], events["label"], classes=[0.0, 1.0])
        self.examples_learned += len(events)
        return self

    def predict(self, events):
        return self.inner.predict_proba(events[["x"]])[:, 1]


# %% wrong="online"
# Two passes in each update.
class Online(Model):
    nbytes = 16

    def fit(self, events):
        self.inner = new().partial_fit(events[["x"]], events["label"], classes=[0.0, 1.0])
        self.examples_learned = len(events)
        return self

    def update(self, events):
        for _ in range(2):
            self.inner.partial_fit(events[["x"]], events["label"])
        self.examples_learned += len(events)
        return self

    def predict(self, events):
        return self.inner.predict_proba(events[["x"]])[:, 1]


# %% wrong="online"
# Six passes in fit.
class Online(Model):
    nbytes = 16

    def fit(self, events):
        self.inner = new()
        self.examples_learned = 0
        for _ in range(6):
            self.update(events)
        self.examples_learned = len(events)
        return self

    def update(self, events):
        self.inner.partial_fit(events[["x"]], events["label"], classes=[0.0, 1.0])
        self.examples_learned += len(events)
        return self

    def predict(self, events):
        return self.inner.predict_proba(events[["x"]])[:, 1]


# %% wrong="online"
# Decisions, dressed as probabilities.
class Online(Model):
    nbytes = 16

    def fit(self, events):
        self.inner = new()
        self.examples_learned = 0
        return self.update(events)

    def update(self, events):
        self.inner.partial_fit(events[["x"]], events["label"], classes=[0.0, 1.0])
        self.examples_learned += len(events)
        return self

    def predict(self, events):
        return np.where(self.inner.predict(events[["x"]]) == 1, 0.8, 0.2)


# %% [markdown]
# ## 4. Only what was known
#
# *Objective 4.* Write `purchases_known(exposures)`, with the columns user, timestamp and purchase_delay (seconds, missing where nothing was bought), rows in time order. It
# returns for each exposure how many purchases this user had *made* before it, strictly, in all the past. Plain NumPy will do. The check
# changes purchases that come later and looks whether an earlier row notices.


# %% answer="known"
def purchases_known(exposures):
    ### BEGIN SOLUTION
    out = np.zeros(len(exposures), dtype=int)
    at = exposures["timestamp"].to_numpy() + exposures["purchase_delay"].to_numpy()
    for rows in exposures.reset_index(drop=True).groupby("user").indices.values():
        paid = np.sort(at[rows][~np.isnan(at[rows])])
        out[rows] = np.searchsorted(paid, exposures["timestamp"].to_numpy()[rows], side="left")
    return out
    ### END SOLUTION


# %% check="known" points=2
small = pd.DataFrame(
    {
        "user": [1, 1, 2, 1, 1],
        "timestamp": [0, 10, 11, 20, 30],
        "purchase_delay": [20, 5, 1, np.nan, 0],
    }
)
assert list(purchases_known(small)) == [0, 0, 0, 1, 2], (
    "by hand: user 1 pays at 15, 20 and 30, and a purchase of the same second is not known yet"
)
rng = np.random.default_rng(1)
shop = pd.DataFrame(
    {"user": rng.integers(5, size=300), "timestamp": np.sort(rng.integers(1_000, size=300))}
)
shop["purchase_delay"] = np.where(rng.random(300) < 0.4, rng.integers(200, size=300), np.nan)
answer = np.asarray(purchases_known(shop))
for moment in (300, 600):
    poisoned = shop.copy()
    later = shop["timestamp"] + shop["purchase_delay"] >= moment
    poisoned.loc[later, "purchase_delay"] = np.nan
    before = (shop["timestamp"] <= moment).to_numpy()
    assert np.array_equal(np.asarray(purchases_known(poisoned))[before], answer[before]), (
        f"a purchase that is made at {moment} or later changes a count before: you look ahead"
    )
assert answer.max() > 15, "all of the past counts"


# %% wrong="known"
# From when the book was shown.
def purchases_known(exposures):
    paid = exposures["purchase_delay"].notna().astype(int)
    return (paid.groupby(exposures["user"]).cumsum() - paid).to_numpy()


# %% wrong="known"
# The same second counts.
def purchases_known(exposures):
    out = []
    for row in exposures.itertuples():
        own = exposures[exposures["user"] == row.user]
        out.append(int((own["timestamp"] + own["purchase_delay"] <= row.timestamp).sum()))
    return np.array(out)


# %% [markdown]
# ## 5. The cheapest of those that are tied
#
# *Objective 5.* Write `choose(results)`: given a list of results of replays on one stream, find the one with the best quality; of all that cannot be told from it (the interval
# of the difference, by users, holds zero; the best is tied with itself), return the name of the one that learned the fewest examples. The name is `result.name`, the number of examples
# `result.cost.examples`, and `quality(result)` is better when it is lower. Use `compare` with `np.random.default_rng(0)`.


# %% answer="choose"
def choose(results):
    ### BEGIN SOLUTION
    best = min(results, key=quality)

    def tied(result):
        ends = compare(result, best, by="user", rng=np.random.default_rng(0))
        return result is best or ends.low <= 0 <= ends.high

    return min(filter(tied, results), key=lambda result: result.cost.examples).name
    ### END SOLUTION


# %% check="choose" points=2
from recsys_course.replay import Cost, Result


def result(name, examples, shift, seed):
    """A life of forty users whose predictions are off by so much (one number, or one for each), and by some noise."""
    users = np.repeat(np.arange(40), 25)
    truth = np.random.default_rng(9).normal(size=1_000)
    noise = np.random.default_rng(seed).normal(size=1_000) * 0.05
    return Result(
        name,
        "rating",
        np.arange(1_000),
        truth + np.broadcast_to(shift, 40)[users] + noise,
        truth,
        np.arange(1_000),
        users,
        np.arange(1_000),
        np.zeros(1_000),
        Cost(examples, 0, 0.0, 0),
    )


lives = [
    result("frozen", 0, 0.6, 1),
    result("weekly", 9_000, 0.1, 2),
    result("daily", 1_000, 0.1, 3),
    result("hourly", 1_500, 0.1, 4),
]
assert choose(lives) == "daily", (
    "daily, hourly and weekly are tied and frozen is not: daily is the cheapest of the three"
)
assert choose(lives[:2]) == "weekly", "the cheapest of all is not tied with the best here"
assert choose(lives[2:]) == "daily" and choose(lives[:1]) == "frozen", (
    "it should work for any list, one of one result too"
)
slightly = result("slightly worse", 500, 0.13, 5)
uneven = result("uneven", 200, np.where(np.arange(40) < 2, 0.8, 0.05), 6)
assert choose([slightly, *lives]) == "daily", (
    "a small difference may be a sure one: ask the interval and not its size"
)
assert choose([lives[0], slightly, lives[1]]) == "weekly", (
    "the best may be the dearest, if nothing is tied with it"
)
assert choose([uneven, slightly, *lives]) == "uneven", (
    "a larger difference may be unsure, if it is made by few users: it is tied then"
)


# %% wrong="choose"
# The best, at any price.
def choose(results):
    return min(results, key=quality).name


# %% wrong="choose"
# The cheapest, at any quality.
def choose(results):
    return min(results, key=lambda r: r.cost.examples).name


# %% wrong="choose"
# A threshold, and no interval.
def choose(results):
    best = min(map(quality, results))
    close = [r for r in results if quality(r) - best < 0.05]
    return min(close, key=lambda r: r.cost.examples).name


# %% wrong="choose"
# An interval, but some distance is forgiven.
def choose(results):
    best = min(results, key=quality)

    def tied(result):
        return compare(result, best, by="user", rng=np.random.default_rng(0)).low <= 0.1

    return min(filter(tied, results), key=lambda r: r.cost.examples).name


# %% wrong="choose"
# Compares with the second of the list.
def choose(results):
    reference = results[min(1, len(results) - 1)]

    def tied(result):
        ends = compare(result, reference, by="user", rng=np.random.default_rng(0))
        return result is reference or ends.low <= 0 <= ends.high

    return min(filter(tied, results), key=lambda r: r.cost.examples).name


# %% wrong="choose"
# The cheapest of those that learned anything.
def choose(results):
    learned = [r for r in results if r.cost.examples] or results
    return min(learned, key=lambda r: r.cost.examples).name
