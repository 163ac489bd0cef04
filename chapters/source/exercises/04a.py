# %% [markdown]
# # 04a Exercises: An MLP in TensorFlow
#
# These go with [chapter 04a](../04a_mlp_in_tensorflow.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from recsys_course import data

tf.get_logger().setLevel("ERROR")
ratings = data.movielens().events
like = (ratings["label"] >= 4).to_numpy(float)

# %% [markdown]
# ## 1. An accuracy that carries its baseline
#
# *Objective 1.* Write `accuracy(labels, probabilities)`: the share of cells for which a threshold of one half gives the right answer, and
# that of the more frequent answer, as a pair of floats. If the two shapes differ, it raises a `ValueError`.


# %% answer="accuracy"
def accuracy(labels, probabilities):
    ### BEGIN SOLUTION
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if labels.shape != probabilities.shape:
        raise ValueError(f"labels have shape {labels.shape}, probabilities {probabilities.shape}")
    share = float(labels.mean())
    return float(((probabilities > 0.5) == (labels == 1)).mean()), max(share, 1 - share)
    ### END SOLUTION


# %% check="accuracy" points=1
rng = np.random.default_rng(0)
labels = (rng.random(400) < 0.1).astype(float)
guesses = np.clip(0.8 * labels + 0.3 * rng.random(400), 0, 1)
right = np.mean([(p > 0.5) == bool(y) for p, y in zip(guesses, labels, strict=True)])
have = accuracy(labels, guesses)
assert np.isclose(have[0], right), f"the accuracy should be {right:.3f}: is there a threshold?"
assert np.isclose(have[1], 1 - labels.mean()), (
    "the baseline: what does the most frequent answer reach?"
)
assert np.isclose(accuracy(1 - labels, guesses)[1], 1 - labels.mean()), (
    "the more frequent answer may be yes"
)
for y, p in ((labels, guesses[:, None]), (labels[:, None], guesses), (labels[:1], guesses)):
    refused = False
    try:
        accuracy(y, p)
    except ValueError:
        refused = True
    assert refused, f"{y.shape} against {p.shape} compares some cells with others: refuse it"


# %% wrong="accuracy"
# Compares floats with labels.
def accuracy(labels, probabilities):
    if labels.shape != probabilities.shape:
        raise ValueError("shapes")
    return (probabilities == labels).mean(), max(labels.mean(), 1 - labels.mean())


# %% wrong="accuracy"
# Lets shapes broadcast.
def accuracy(labels, probabilities):
    share = labels.mean()
    return ((probabilities > 0.5) == (labels == 1)).mean(), max(share, 1 - share)


# %% wrong="accuracy"
# Takes it for granted that the more frequent answer is no.
def accuracy(labels, probabilities):
    if labels.shape != probabilities.shape:
        raise ValueError("shapes")
    return ((probabilities > 0.5) == (labels == 1)).mean(), 1 - labels.mean()


# %% [markdown]
# ## 2. Early stopping by hand
#
# *Objective 2.* Write `early_stop(losses, patience)`. `losses` are those on the validation part after rounds 0, 1, 2, ... as they would be if nobody
# stopped. Return the round whose state is kept and the last round that is trained: training ends after `patience` rounds in a row that
# did not beat the best loss so far.


# %% answer="stopping"
def early_stop(losses, patience):
    ### BEGIN SOLUTION
    best = 0
    for t, loss in enumerate(losses):
        if loss < losses[best]:
            best = t
        if t - best == patience:
            return best, t
    return best, len(losses) - 1
    ### END SOLUTION


# %% check="stopping" points=2
class Scripted(keras.callbacks.Callback):
    """Says what the validation loss is, whatever it is."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.losses[epoch]


def of_keras(losses, patience):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience)
    x = np.zeros((2, 1))
    seen = model.fit(
        x, x, epochs=len(losses), callbacks=[Scripted(losses), stop], verbose=0
    ).epoch
    return int(np.argmin(losses[: len(seen)])), seen[-1]


assert early_stop([5.0, 4.0, 4.5, 4.2, 3.0], 2) == (1, 3), (
    "rounds 2 and 3 did not beat round 1, and round 4 never comes"
)
assert early_stop([3.0, 2.0, 2.0, 2.0, 1.0], 2) == (1, 3), "a tie does not beat the best"
assert early_stop([5.0, 4.0, 4.5, 3.0, 3.5], 2) == (3, 4), "a new best starts the count again"
for seed in range(4):
    path = np.random.default_rng(seed).normal(size=12).round(1).tolist()
    assert early_stop(path, 3) == of_keras(path, 3), f"Keras stops otherwise on {path}"


# %% wrong="stopping"
# Compares with the round before, not with the best.
def early_stop(losses, patience):
    bad = 0
    for t in range(1, len(losses)):
        bad = bad + 1 if losses[t] >= losses[t - 1] else 0
        if bad == patience:
            return int(np.argmin(losses[: t + 1])), t
    return int(np.argmin(losses)), len(losses) - 1


# %% wrong="stopping"
# Takes a tie for a new best.
def early_stop(losses, patience):
    best = 0
    for t, loss in enumerate(losses):
        if loss <= losses[best]:
            best = t
        if t - best == patience:
            return best, t
    return best, len(losses) - 1


# %% wrong="stopping"
# Looks at all losses, those after the stop too.
def early_stop(losses, patience):
    best = int(np.argmin(losses))
    return best, min(best + patience, len(losses) - 1)


# %% [markdown]
# ## 3. From weighted to honest
#
# *Objective 3.* A network was trained with the class weights `{0: a, 1: b}` and says `q`. Write `honest(q, weights)`, the probabilities that it
# would give without weights, and `gap(labels, p, groups)`: cut the cells into so many groups of equal size in order of `p` and return the largest distance
# between a group's mean prediction and its share of ones.


# %% answer="honest"
### BEGIN SOLUTION
def honest(q, weights):
    w = weights[1] / weights[0]
    return q / (q + w * (1 - q))


def gap(labels, p, groups=10):
    chunks = np.array_split(np.argsort(p, kind="stable"), groups)
    return max(abs(p[c].mean() - labels[c].mean()) for c in chunks)


### END SOLUTION

# %% check="honest" points=2
rng = np.random.default_rng(1)
truth = rng.beta(1, 7, size=100_000)
labels = (rng.random(100_000) < truth).astype(float)
for weights in ({0: 1.0, 1: 7.0}, {0: 0.5, 1: 4.0}):
    said = weights[1] * truth / (weights[1] * truth + weights[0] * (1 - truth))
    assert np.allclose(honest(said, weights), truth), (
        "the odds were multiplied by the ratio of the weights: divide them by it"
    )
    assert 0.3 < gap(labels, said) < 0.6, (
        "of weighted predictions the gap is large: groups by what?"
    )
assert gap(labels, truth) < 0.02, "true probabilities have nearly no gap"
four = gap(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.9, 0.1, 0.2, 0.8]), groups=2)
assert np.isclose(four, 0.85), "low group: says 0.15 and has ones only"


# %% wrong="honest"
# Divides probabilities where odds belong.
def honest(q, weights):
    return q * weights[0] / weights[1]


def gap(labels, p, groups=10):
    chunks = np.array_split(np.argsort(p, kind="stable"), groups)
    return max(abs(p[c].mean() - labels[c].mean()) for c in chunks)


# %% wrong="honest"
# Groups the rows as they come.
def honest(q, weights):
    w = weights[1] / weights[0]
    return q / (q + w * (1 - q))


def gap(labels, p, groups=10):
    chunks = np.array_split(np.arange(len(p)), groups)
    return max(abs(p[c].mean() - labels[c].mean()) for c in chunks)


# %% [markdown]
# ## 4. A table that grows
#
# *Objective 4.* `known` are ids in order of arrival, `rows` their embedding with the stranger's row first, shape `(len(known) + 1, width)`. Write
# `grow(known, rows, arrived)`, which returns the new list of ids and the new table: ids of `arrived` that are new get rows, in order of arrival, which begin
# as the stranger's; old ones stay where they are; an id that arrives twice gets one row.


# %% answer="grow"
def grow(known, rows, arrived):
    ### BEGIN SOLUTION
    ids = list(dict.fromkeys([*known, *arrived]))
    more = np.repeat(rows[:1], len(ids) - len(known), axis=0)
    return ids, np.concatenate([rows, more])
    ### END SOLUTION


# %% check="grow" points=2
items = ratings["item"].to_numpy()
known = list(dict.fromkeys(items[:500].tolist()))
rows = np.random.default_rng(2).normal(size=(len(known) + 1, 3)).astype(np.float32)
ids, table = grow(known, rows, items[400:3000].tolist())


def look_up(ids, table, asked):
    return table[keras.layers.IntegerLookup(vocabulary=ids)(asked).numpy()]


assert len(set(ids)) == len(ids), "an id stands twice"
assert set(ids) == set(items[:3000].tolist()), "an id is missing"
assert list(ids) == list(dict.fromkeys(items[:3000].tolist())), (
    "ids are numbered in order of arrival: old ones first, then the new ones as they came"
)
assert table.shape == (len(ids) + 1, 3), "a row for each id, and one for strangers"
assert (look_up(ids, table, items) == look_up(known, rows, items)).all(), (
    "growing should change nobody's row: not of old ids, not of newcomers, not of strangers"
)
assert grow(known, rows, [])[1].shape == rows.shape, "nobody came, and the table grew"


# %% wrong="grow"
# Sorts the ids.
def grow(known, rows, arrived):
    ids = sorted({*known, *arrived})
    more = np.repeat(rows[:1], len(ids) - len(known), axis=0)
    return ids, np.concatenate([rows, more])


# %% wrong="grow"
# Keeps the old ones, and sorts the new ones.
def grow(known, rows, arrived):
    ids = [*known, *sorted(set(arrived) - set(known))]
    more = np.repeat(rows[:1], len(ids) - len(known), axis=0)
    return ids, np.concatenate([rows, more])


# %% wrong="grow"
# New rows are zero, which is not what a newcomer was served before.
def grow(known, rows, arrived):
    ids = list(dict.fromkeys([*known, *arrived]))
    more = np.zeros((len(ids) - len(known), rows.shape[1]), rows.dtype)
    return ids, np.concatenate([rows, more])


# %% [markdown]
# ## 5. Your own, and it survives
#
# *Objective 5.* Build and train a Keras model of your own that takes raw film ids, shape `(n,)`, and gives the probability of a like, shape
# `(n, 1)`; write `my_model()`, which returns it trained on the first `70_000` ratings, given as `seen` and `liked`. It has to know an answer for any id, to be better on the
# next ten thousand than the base rate of the past by `0.015` nats, and to predict the same after it was saved and loaded. It may take a few seconds.

# %%
seen, liked = ratings["item"].to_numpy()[:70_000], like[:70_000]
keras.utils.set_random_seed(0)


# %% answer="own"
def my_model():
    ### BEGIN SOLUTION
    ids = list(dict.fromkeys(seen.tolist()))
    item = keras.Input((), dtype="int64")
    number = keras.layers.IntegerLookup(vocabulary=ids)(item)
    bias = keras.layers.Embedding(len(ids) + 1, 1, embeddings_initializer="zeros")(number)
    model = keras.Model(item, keras.layers.Dense(1, "sigmoid")(bias))
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy")
    rng = np.random.default_rng(0)
    hidden = np.where(rng.random(len(seen)) < 0.1, -1, seen)
    model.fit(hidden, liked[:, None], epochs=4, batch_size=512, verbose=0)
    return model
    ### END SOLUTION


# %% check="own" points=3
mine = my_model()
asked, truth = ratings["item"].to_numpy()[70_000:80_000], like[70_000:80_000]
p = np.asarray(mine.predict(asked, batch_size=10_000, verbose=0), float)
assert p.shape == (10_000, 1), f"one probability a rating, shape (n, 1), not {p.shape}"
assert (p > 0).all() and (p < 1).all(), "probabilities lie between 0 and 1"


def loss(p):
    return -np.mean(np.where(truth == 1, np.log(p), np.log1p(-p)))


have, base = loss(p[:, 0]), loss(np.full(10_000, liked.mean()))
assert have < base - 0.015, (
    f"log loss {have:.4f}, the base rate has {base:.4f}: what of rare films?"
)
nobody = np.array([-7, 10**9])
assert np.isfinite(mine.predict(nobody, verbose=0)).all(), "it has no answer for an unknown id"
with tempfile.TemporaryDirectory() as folder:
    mine.save(Path(folder) / "mine.keras")
    again = keras.models.load_model(Path(folder) / "mine.keras")
for raw in (asked, nobody):
    same = again.predict(raw, batch_size=10_000, verbose=0) == mine.predict(
        raw, batch_size=10_000, verbose=0
    )
    assert same.all(), "the loaded model predicts something else: is all that it needs inside it?"


# %% wrong="own"
# Learns by heart: far too many passes, at too large a step.
def my_model():
    ids = list(dict.fromkeys(seen.tolist()))
    item = keras.Input((), dtype="int64")
    rows = keras.layers.Embedding(len(ids) + 1, 16)(
        keras.layers.IntegerLookup(vocabulary=ids)(item)
    )
    model = keras.Model(item, keras.layers.Dense(1, "sigmoid")(rows))
    model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy")
    model.fit(seen, liked[:, None], epochs=5, batch_size=1024, verbose=0)
    return model


# %% wrong="own"
# Not trained.
def my_model():
    item = keras.Input((), dtype="int64")
    rows = keras.layers.Embedding(2, 4)(keras.layers.IntegerLookup(vocabulary=[1])(item))
    model = keras.Model(item, keras.layers.Dense(1, "sigmoid")(rows))
    model.compile("adam", "binary_crossentropy")
    return model
