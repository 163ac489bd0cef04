# %% [markdown]
# # 08b Exercises: River beside the course
#
# These go with [chapter 08b](../08b_river_beside_the_course.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import pickle
import tempfile
from pathlib import Path

import numpy as np
from river import base, checks, optim, reco

from recsys_course import data
from recsys_course.models import BiasedFactorization, MatrixFactorization
from recsys_course.replay import replay
from recsys_course.report import quality
from recsys_course.strategies import Incremental, PeriodicRetrain

ratings = data.movielens().events

# %% [markdown]
# ## 1. A model that passes River's checks
#
# *Objective 1.* Write `FadingMean`, a subclass of `river.base.Regressor` that ignores its features. It is made with a factor `alpha`, by default
# 0.99, which must stay its only parameter, and predicts the mean of all labels so far in which each label counts `alpha` times as much as the one after it; 0.0 before
# the first. (Chapter 05b has the formula.) It needs a docstring, as all of River's estimators do.


# %% answer="mean"
### BEGIN SOLUTION
class FadingMean(base.Regressor):
    """The mean of the labels, the older the lighter."""

    def __init__(self, alpha: float = 0.99):
        self.alpha = alpha
        self.total = self.weight = 0.0

    def learn_one(self, x, y):
        self.total = y + self.alpha * self.total
        self.weight = 1 + self.alpha * self.weight

    def predict_one(self, x):
        return self.total / self.weight if self.weight else 0.0


### END SOLUTION

# %% check="mean" points=2
model, labels = FadingMean(0.5), [1.0, 2.0, 6.0]
assert model.predict_one({}) == 0.0, "before the first label the prediction is 0.0"
for y in labels:
    model.learn_one({}, y)
expected = (0.25 * 1 + 0.5 * 2 + 6) / 1.75
assert np.isclose(model.predict_one({}), expected), (
    "after 1, 2, 6 with alpha 0.5: by what do you divide?"
)
for check in checks.yield_checks(FadingMean()):
    if check.__name__ == "check_bounded_memory_growth":
        continue  # it takes long
    try:
        check(FadingMean())
    except pickle.PicklingError:
        continue  # a class that was typed in is not always found again by pickle, which is not its fault
    except AssertionError as problem:
        raise AssertionError(
            f"River's {check.__name__} refuses your model: {problem}"
        ) from problem
assert FadingMean(0.7).clone().alpha == 0.7, "a clone has the parameters of the original"


# %% wrong="mean"
# Begins at zero and is too low for a long time.
class FadingMean(base.Regressor):
    """The mean of the labels."""

    def __init__(self, alpha: float = 0.99):
        self.alpha, self.mean = alpha, 0.0

    def learn_one(self, x, y):
        self.mean = self.alpha * self.mean + (1 - self.alpha) * y

    def predict_one(self, x):
        return self.mean


# %% wrong="mean"
# Keeps the parameter under another name, so that its clones cannot know it.
class FadingMean(base.Regressor):
    """The mean of the labels."""

    def __init__(self, alpha: float = 0.99):
        self.factor, self.alpha = alpha, 0.99
        self.total = self.weight = 0.0

    def learn_one(self, x, y):
        self.total = y + self.factor * self.total
        self.weight = 1 + self.factor * self.weight

    def predict_one(self, x):
        return self.total / self.weight if self.weight else 0.0


# %% [markdown]
# ## 2. Strangers that leave no trace
#
# *Objective 1.* River's `BiasedMF` stores whoever it is asked about. Write `predict_without_trace(model, user, item)` for a `reco.BiasedMF`: the mean, plus
# the biases of those it has *stored*, plus the product of the factors if both are stored; a stranger adds nothing, and nothing in the model changes.


# %% answer="trace"
def predict_without_trace(model, user, item):
    ### BEGIN SOLUTION
    score = (
        model.global_mean.get() + model.u_biases.get(user, 0.0) + model.i_biases.get(item, 0.0)
    )
    if user in model.u_latents and item in model.i_latents:
        score += np.dot(model.u_latents[user], model.i_latents[item])
    return float(score)
    ### END SOLUTION


# %% check="trace" points=2
river = reco.BiasedMF(5, optim.SGD(0.05), optim.SGD(0.05), seed=3)
for event in ratings.head(300).itertuples():
    river.learn_one(event.user, event.item, event.label)
before = pickle.dumps(river)
u, i = ratings["user"].iloc[0], ratings["item"].iloc[0]
answers = [
    predict_without_trace(river, *pair)
    for pair in ((u, i), ("eve", i), (u, "no film"), ("eve", "no film"))
]
assert pickle.dumps(river) == before, (
    "asking has changed the model: which look-ups store what they do not find?"
)
assert np.isclose(answers[0], river.predict_one(u, i)), (
    "for those it knows the answer is River's own"
)
assert np.isclose(answers[1], river.global_mean.get() + river.i_biases[i]), (
    "a stranger adds nothing, the film its bias"
)
assert np.isclose(answers[3], river.global_mean.get()), "of two strangers only the mean is known"


# %% wrong="trace"
# Looks up in a dictionary that stores.
def predict_without_trace(model, user, item):
    return model.predict_one(user, item)


# %% wrong="trace"
# Gives strangers nothing at all.
def predict_without_trace(model, user, item):
    if user in model.u_latents and item in model.i_latents:
        return model.predict_one(user, item)
    return model.global_mean.get()


# %% [markdown]
# ## 3. What is a free choice worth?
#
# *Objective 2.* Write `shuffle_ties(events, rng)`: the same rows, still in order of time, with those of equal timestamps in an order drawn from `rng`, and a
# fresh index 0, 1, 2, ... Then `worth(events, seeds)`: the RMSE of one pass of `one_pass()` over the shuffled events for each seed, as a list.


# %%
def one_pass():
    return BiasedFactorization(
        10, step_size=0.1, bias_step_size=0.05, regularization=0.0, rng=np.random.default_rng(0)
    )


# %% answer="ties"
### BEGIN SOLUTION
def shuffle_ties(events, rng):
    order = np.lexsort((rng.random(len(events)), events["timestamp"].to_numpy()))
    return events.iloc[order].reset_index(drop=True)


def worth(events, seeds):
    found = []
    for seed in seeds:
        stream = shuffle_ties(events, np.random.default_rng(seed))
        said = one_pass().predict_then_learn(stream)
        found.append(float(np.sqrt(np.mean((said - stream["label"]) ** 2))))
    return found


### END SOLUTION

# %% check="ties" points=2
some = ratings.head(3000)
drawn = shuffle_ties(some, np.random.default_rng(1))
assert drawn["timestamp"].is_monotonic_increasing, "the order of time must stay"
pairs = ["user", "item", "timestamp"]
assert (
    drawn[pairs].sort_values(pairs).to_numpy().tolist()
    == some[pairs].sort_values(pairs).to_numpy().tolist()
), "the same rows: user, item and timestamp belong together"
assert list(drawn.index) == list(range(len(some))), "the index is 0, 1, 2, ..."
orders = {tuple(shuffle_ties(some, np.random.default_rng(seed))["item"]) for seed in range(5)}
assert len(orders) == 5, "five seeds, five orders of equal times"
found = worth(some, range(6))
assert len(found) == 6 and len(set(found)) > 1, (
    "a different order gives a different RMSE: is each stream shuffled?"
)
assert min(found) > 0.5 and max(found) - min(found) < 0.05, (
    "RMSE in stars; a free choice is not worth this much"
)


# %% wrong="ties"
# Shuffles everything, so that the future is learned before the past.
def shuffle_ties(events, rng):
    return events.iloc[rng.permutation(len(events))].reset_index(drop=True)


def worth(events, seeds):
    return [0.9 + seed / 1000 for seed in seeds]


# %% wrong="ties"
# Sorts, and shuffles nothing.
def shuffle_ties(events, rng):
    return events.sort_values("timestamp", kind="stable").reset_index(drop=True)


def worth(events, seeds):
    return [0.9 + seed / 1000 for seed in seeds]


# %% [markdown]
# ## 4. A budget spent well
#
# *Objective 3.* You may learn at most two examples for each event that is scored, after the first fit. Return from `spend(model)` a strategy that wraps
# `model` and keeps to that; it must come at least half of the way from the frozen model's RMSE down to that of learning each event once.


# %%
stream = ratings.iloc[:30_000]


def rating_model(epochs=1):
    return MatrixFactorization(
        10,
        step_size=0.1,
        regularization=0.05,
        epochs=epochs,
        label_range=(0.5, 5.0),
        rng=np.random.default_rng(0),
    )


# %% answer="budget"
def spend(model):
    ### BEGIN SOLUTION
    return Incremental(model, every=5)
    ### END SOLUTION


# %% check="budget" points=2
from recsys_course.strategies import Frozen

run = replay(stream, spend(rating_model()), task="rating")
frozen = quality(replay(stream, Frozen(rating_model()), task="rating"))
each = quality(replay(stream, Incremental(rating_model()), task="rating"))
budget = run.cost.examples / len(run.rows)
assert budget <= 2, (
    f"your strategy learned {budget:.1f} examples for each event scored; at most 2 are allowed"
)
assert quality(run) <= (frozen + each) / 2, (
    f"RMSE {quality(run):.3f}; half of the way from {frozen:.3f} to {each:.3f} is asked: does the model learn soon enough?"
)


# %% wrong="budget"
# Keeps to the budget by forgetting.
def spend(model):
    return PeriodicRetrain(model, every=3000, window=6000)


# %% wrong="budget"
# All of history, over and over.
def spend(model):
    return PeriodicRetrain(model, every=500)


# %% [markdown]
# ## 5. The order that hurts
#
# *Objective 4.* A day's events may be learned in any order. Write `worst_order(labels)`: row numbers, so that a model that learns the day in this order ends it
# with the last third of the rows all above the median label, as far as there are so many, and the same rows as before. Then say in one
# sentence (a string `why`, at least ten words) why that hurts although the model sees the same events.


# %% answer="order"
### BEGIN SOLUTION
def worst_order(labels):
    return np.argsort(np.asarray(labels), kind="stable")


why = "The last steps all pull the means and biases one way, and nothing of the day comes after them."
### END SOLUTION

# %% check="order" points=1
day = ratings["label"].iloc[:600].to_numpy()
order = np.asarray(worst_order(day))
assert sorted(order.tolist()) == list(range(600)), "each row once"
assert day[order][-100:].min() >= np.median(day), "the day should end with labels that are high"


def after_a_day(order):
    model = BiasedFactorization(
        4, step_size=0.1, bias_step_size=0.1, regularization=0.0, rng=np.random.default_rng(0)
    )
    events = ratings.iloc[:600]
    model.update(events.iloc[order].assign(timestamp=0))
    return float(np.sqrt(np.mean((model.predict(events) - events["label"]) ** 2)))


assert after_a_day(order) > after_a_day(np.arange(600)), (
    "it should fit the day worse than learning it as it came"
)
assert isinstance(why, str) and len(why.split()) >= 10, "say why, in a sentence"

# %% wrong="order"
# As they came.
why = "Because the order of events should not matter to a model at all, one would think."


def worst_order(labels):
    return np.arange(len(labels))


# %% wrong="order"
# Keeps only the high ones.
why = "Because the model sees only the events that have a high label on that day."


def worst_order(labels):
    return np.flatnonzero(np.asarray(labels) > np.median(labels))


# %% [markdown]
# ## 6. A checkpoint that cannot tear
#
# *Objective 5.* Write `save(folder, model, position)` and `load(folder)`, which returns `(model, position)`, or None if nothing was ever saved. A crash may
# come whenever `save` opens, closes or renames a file: afterwards `load` must return the old pair or the new one, never a mixture or half a file. Write with
# `Path.write_bytes` and move with `Path.replace`; the check makes each of these calls fail, before or in the middle.


# %% answer="checkpoint"
### BEGIN SOLUTION
def save(folder, model, position):
    unfinished = Path(folder) / "state.part"
    unfinished.write_bytes(pickle.dumps((model, position)))
    unfinished.replace(Path(folder) / "state")


def load(folder):
    path = Path(folder) / "state"
    return pickle.loads(path.read_bytes()) if path.exists() else None


### END SOLUTION

# %% check="checkpoint" points=3
from unittest import mock


class Cut(BaseException):
    pass


def crash_at(number, halfway):
    """Replaces the two calls: the one with this number fails, before it does anything or halfway through a write."""
    write, replace, calls = Path.write_bytes, Path.replace, iter(range(1000))

    def failing_write(path, content):
        if next(calls) == number:
            if halfway:
                write(path, content[: len(content) // 2])
            raise Cut
        return write(path, content)

    def failing_replace(path, target):
        if next(calls) == number:
            raise Cut
        return replace(path, target)

    return mock.patch.multiple(Path, write_bytes=failing_write, replace=failing_replace)


with tempfile.TemporaryDirectory() as empty:
    assert load(empty) is None, "nothing was saved yet: None"
crashes = 0
for number in range(6):
    for halfway in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            save(folder, ["old"] * 50, 50)
            assert load(folder) == (["old"] * 50, 50), "what was saved should come back"
            try:
                with crash_at(number, halfway):
                    save(folder, ["new"] * 51, 51)
            except Cut:
                crashes += 1
            try:
                found = load(folder)
            except Exception as problem:
                raise AssertionError(
                    f"after a crash load failed with {type(problem).__name__}: half a file?"
                ) from problem
            assert found in ((["old"] * 50, 50), (["new"] * 51, 51)), (
                "after a crash model and position do not belong together"
            )
assert crashes >= 2, (
    "save should use Path.write_bytes and Path.replace, which the check can make fail"
)


# %% wrong="checkpoint"
# Two files.
def save(folder, model, position):
    for name, value in (("model", model), ("position", position)):
        (Path(folder) / f"{name}.part").write_bytes(pickle.dumps(value))
        (Path(folder) / f"{name}.part").replace(Path(folder) / name)


def load(folder):
    if not (Path(folder) / "position").exists():
        return None
    return tuple(
        pickle.loads((Path(folder) / name).read_bytes()) for name in ("model", "position")
    )


# %% wrong="checkpoint"
# Writes over the old one.
def save(folder, model, position):
    (Path(folder) / "state").write_bytes(pickle.dumps((model, position)))


def load(folder):
    path = Path(folder) / "state"
    return pickle.loads(path.read_bytes()) if path.exists() else None
