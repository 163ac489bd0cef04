# %% [markdown]
# # 09b Exercises: The race
#
# These go with [chapter 09b](../09b_the_race.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import copy

import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.blending import ensemble
from recsys_course.data.bookstore import BookstoreConfig
from recsys_course.models import MatrixFactorization, RunningMeans
from recsys_course.replay import replay
from recsys_course.report import quality
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain

log = data.bookstore().events.drop_duplicates("timestamp").reset_index(drop=True)
recipe = MatrixFactorization(4, epochs=2, loss="logistic", rng=np.random.default_rng(0))

# %% [markdown]
# ## 1. A hybrid with a window
#
# *Objective 1.* Write `hybrid_scores(events, recipe, start, retrain_every, window)`: an array with one prediction for each row from `start` on. Before the first
# of them the recipe is fitted to *all* rows before it. After each `retrain_every` predicted rows a fresh copy is fitted to the latest `window` rows; otherwise the model learns the row before, once. No two rows have the same time.


# %% answer="hybrid"
def hybrid_scores(events, recipe, start, retrain_every, window):
    ### BEGIN SOLUTION
    model, said = copy.deepcopy(recipe).fit(events[:start]), []
    for t in range(start, len(events)):
        if t > start and (t - start) % retrain_every == 0:
            model = copy.deepcopy(recipe).fit(events[max(0, t - window) : t])
        elif t > start:
            model.update(events[t - 1 : t])
        said.append(model.predict(events[t : t + 1])[0])
    return np.array(said)
    ### END SOLUTION


# %% check="hybrid" points=2
few = log[:1000]
mine = hybrid_scores(few, recipe, 400, 150, 300)
library = replay(
    few, Hybrid(recipe, retrain_every=150, window=300), task="binary", warmup=0.4
).scores
assert len(mine) == len(library), "one prediction for each row from start on"
assert np.allclose(mine[:150], library[:150]), (
    "before the first retrain it learns per event: is each row learned after it was predicted, once?"
)
assert np.allclose(mine, library), (
    "after a retrain: is the model fresh, fitted to the latest window rows, the newest among them?"
)


# %% wrong="hybrid"
# The retrain takes the whole history.
def hybrid_scores(events, recipe, start, retrain_every, window):
    model, said = copy.deepcopy(recipe).fit(events[:start]), []
    for t in range(start, len(events)):
        if t > start and (t - start) % retrain_every == 0:
            model = copy.deepcopy(recipe).fit(events[:t])
        elif t > start:
            model.update(events[t - 1 : t])
        said.append(model.predict(events[t : t + 1])[0])
    return np.array(said)


# %% wrong="hybrid"
# Learns before it predicts.
def hybrid_scores(events, recipe, start, retrain_every, window):
    model, said = copy.deepcopy(recipe).fit(events[:start]), []
    for t in range(start, len(events)):
        if t > start and (t - start) % retrain_every == 0:
            model = copy.deepcopy(recipe).fit(events[max(0, t - window) : t])
        model.update(events[t : t + 1])
        said.append(model.predict(events[t : t + 1])[0])
    return np.array(said)


# %% wrong="hybrid"
# What is called a retrain is one more pass of the same model.
def hybrid_scores(events, recipe, start, retrain_every, window):
    model, said = copy.deepcopy(recipe).fit(events[:start]), []
    for t in range(start, len(events)):
        if t > start and (t - start) % retrain_every == 0:
            model.update(events[max(0, t - window) : t])
        elif t > start:
            model.update(events[t - 1 : t])
        said.append(model.predict(events[t : t + 1])[0])
    return np.array(said)


# %% [markdown]
# ## 2. An ensemble whose labels come late
#
# *Objective 1.* `blend(scores, labels, rate, forget, late)` gets predictions of shape `(n, K)` and labels of shape `(n,)`, and returns the ensemble's `n` predictions. Weights and
# fading losses as in the chapter, with squared error; but the label of row `t` is known only when row `t + late + 1` is predicted. With `late = 0` that is the row after it.


# %% answer="blend"
def blend(scores, labels, rate, forget, late):
    ### BEGIN SOLUTION
    losses, said = np.zeros(scores.shape[1]), []
    for t in range(len(labels)):
        known = t - 1 - late
        if known >= 0:
            losses = (1 - forget) * losses + (scores[known] - labels[known]) ** 2
        weights = np.exp(-rate * (losses - losses.min()))
        said.append(weights @ scores[t] / weights.sum())
    return np.array(said)
    ### END SOLUTION


# %% check="blend" points=2
ratings = data.movielens().events.drop_duplicates("timestamp").head(3000).reset_index(drop=True)
members = [
    replay(ratings, Incremental(RunningMeans(forget=f)), task="rating", warmup=0.5)
    for f in (0.0, 0.3)
]
S, y = np.column_stack([m.scores for m in members]), members[0].labels
assert np.isclose(blend(S, y, 1.0, 0.01, 0)[0], S[0].mean()), (
    "before any label all weigh the same"
)
for late in (0, 100):
    theirs = ensemble(members, ratings, rate=1.0, forget=0.01, delay=late).scores
    assert np.allclose(blend(S, y, 1.0, 0.01, late), theirs), (
        f"late = {late}: whose labels are known when row t is predicted, and do old losses fade?"
    )
assert np.isfinite(blend(S, y, 50.0, 0.0, 0)).all(), (
    "with a large rate every weight underflows: take the least loss off before the exponential"
)


# %% wrong="blend"
# The label of the row itself is used.
def blend(scores, labels, rate, forget, late):
    losses, said = np.zeros(scores.shape[1]), []
    for t in range(len(labels)):
        known = t - late
        if known >= 0:
            losses = (1 - forget) * losses + (scores[known] - labels[known]) ** 2
        weights = np.exp(-rate * (losses - losses.min()))
        said.append(weights @ scores[t] / weights.sum())
    return np.array(said)


# %% wrong="blend"
# Ignores that labels are late.
def blend(scores, labels, rate, forget, late):
    losses, said = np.zeros(scores.shape[1]), []
    for t in range(len(labels)):
        weights = np.exp(-rate * (losses - losses.min()))
        said.append(weights @ scores[t] / weights.sum())
        losses = (1 - forget) * losses + (scores[t] - labels[t]) ** 2
    return np.array(said)


# %% [markdown]
# ## 3. A step that is chosen on the past
#
# *Objective 2.* `chosen_step(events, start, steps)` returns the one of `steps` with which a model that learns per event does best on the later half of the first `start` rows, fitted to the earlier half. The model is `learner(step)`.
# Nothing from row `start` on may matter.


# %%
def learner(step):
    model = MatrixFactorization(
        4,
        epochs=3,
        step_size=0.1,
        update_step_size=step,
        loss="logistic",
        rng=np.random.default_rng(0),
    )
    return Incremental(model)


# %% answer="step"
def chosen_step(events, start, steps):
    ### BEGIN SOLUTION
    past = events[:start]
    return min(
        steps, key=lambda step: quality(replay(past, learner(step), task="binary", warmup=0.5))
    )
    ### END SOLUTION


# %% check="step" points=1
steps = [0.02, 0.1, 0.3]
stream = log[:20_000]
assert chosen_step(stream, 8000, steps) == 0.1, (
    "of these, 0.1 does best on the later half of the past"
)
noise = stream.copy()
noise.loc[8000:, "label"] = np.random.default_rng(0).integers(2, size=12_000).astype(float)
assert chosen_step(noise, 8000, steps) == 0.1, (
    "labels after start were replaced by noise, and your choice changed: it looks at what will be scored"
)
noisy_past = stream.copy()
noisy_past.loc[4000:7999, "label"] = np.random.default_rng(0).integers(2, size=4000).astype(float)
assert chosen_step(noisy_past, 8000, steps) == 0.3, (
    "here the later half of the past says 0.3, and what comes after it 0.1: which rows do you judge on?"
)


# %% wrong="step"
# Judges on what will be scored.
def chosen_step(events, start, steps):
    share = start / len(events)
    return min(
        steps,
        key=lambda step: quality(replay(events, learner(step), task="binary", warmup=share)),
    )


# %% wrong="step"
# The largest step learns fastest.
def chosen_step(events, start, steps):
    return max(steps)


# %% [markdown]
# ## 4. The cheapest of the tied
#
# *Objective 3.* `bargain(table)` gets a table indexed by contender with the columns `loss`, `low`, `high` and `cost`: `low` and `high` are the interval of how much more it loses than the best one (0 and 0 for the best itself). Return the name of the cheapest one among the best and those tied with it.


# %% answer="bargain"
def bargain(table):
    ### BEGIN SOLUTION
    tied = table[table["low"] <= 0]
    return tied["cost"].idxmin()
    ### END SOLUTION


# %% check="bargain" points=1
table = pd.DataFrame(
    {
        "loss": [0.50, 0.51, 0.52, 0.50, 0.60],
        "low": [0.0, 0.004, -0.002, -0.001, 0.08],
        "high": [0.0, 0.016, 0.042, 0.001, 0.12],
        "cost": [200.0, 1.0, 3.0, 90.0, 0.0],
    },
    index=["hybrid", "per event", "fusion", "sliding", "frozen"],
)
assert bargain(table) != "frozen", (
    "the cheapest of all is not tied with the best: its interval lies above zero"
)
assert bargain(table) != "per event", (
    "its loss is close to the best, but its interval does not hold zero"
)
assert bargain(table) == "fusion", (
    "tied are those whose interval holds zero; of them, the lowest cost"
)
assert bargain(table.loc[["hybrid", "per event", "frozen"]]) == "hybrid", (
    "with no ties the best remains"
)


# %% wrong="bargain"
# A difference below 0.02 is called a tie.
def bargain(table):
    tied = table[table["loss"] < table["loss"].min() + 0.02]
    return tied["cost"].idxmin()


# %% wrong="bargain"
# The best, whatever it costs.
def bargain(table):
    return table["loss"].idxmin()


# %% [markdown]
# ## 5. How long until it has healed?
#
# *Objective 4.* `events_to_heal(losses, jump, width)` gets a loss per event, the row of a sudden change, and a width. The level before is the mean of the `5 * width` losses before the jump. From the jump on, take means of consecutive stretches of `width` losses (drop what is left over). Return the number of events from the jump to the
# start of the first stretch in which less than half of the first stretch's damage is left; `inf` if there is none.


# %% answer="heal"
def events_to_heal(losses, jump, width):
    ### BEGIN SOLUTION
    level = losses[jump - 5 * width : jump].mean()
    after = losses[jump:]
    stretches = after[: len(after) // width * width].reshape(-1, width).mean(axis=1) - level
    healed = np.flatnonzero(stretches < stretches[0] / 2)
    return width * int(healed[0]) if len(healed) else np.inf
    ### END SOLUTION


# %% check="heal" points=2
t = np.arange(3000)
known = np.where(t < 1000, 1.0, 1.0 + np.exp2(-(t - 1000) / 390))
found = events_to_heal(known, 1000, 100)
assert found == 400, (
    f"half of the damage is gone 400 events after the jump, you say {found}: is it measured above the level before?"
)
assert events_to_heal(np.where(t < 1000, 1.0, 2.0), 1000, 100) == np.inf, "this one never heals"
assert events_to_heal(known + 5, 1000, 100) == 400, (
    "a constant added to all losses changes nothing"
)
assert events_to_heal(np.append(known, 0.0), 1000, 100) == 400, "what is left over is dropped"


# %% wrong="heal"
# Half of the loss, and not half of the damage.
def events_to_heal(losses, jump, width):
    after = losses[jump:]
    stretches = after[: len(after) // width * width].reshape(-1, width).mean(axis=1)
    healed = np.flatnonzero(stretches < stretches[0] / 2)
    return width * int(healed[0]) if len(healed) else np.inf


# %% wrong="heal"
# Counts stretches and not events.
def events_to_heal(losses, jump, width):
    level = losses[jump - 5 * width : jump].mean()
    after = losses[jump:]
    stretches = after[: len(after) // width * width].reshape(-1, width).mean(axis=1) - level
    healed = np.flatnonzero(stretches < stretches[0] / 2)
    return int(healed[0]) if len(healed) else np.inf


# %% [markdown]
# ## 6. Choose for a stream that you have not seen
#
# *Objective 5.* `choose_way(past)` gets the first two fifths of a stream of purchases and returns one of the names in `CANDIDATES`. It will be asked about three shops: one that stands still, one whose tastes turn over quickly, and one with little data. The check lets all candidates run over the rest of each
# and accepts a choice whose log loss is within `1.5 %` of the best. How you choose is up to you; it has to hold for shops whose names you do not know.


# %%
def small_model(step):
    return MatrixFactorization(
        4,
        epochs=10,
        step_size=0.1,
        update_step_size=step,
        loss="logistic",
        rng=np.random.default_rng(0),
    )


CANDIDATES = {
    "frozen": Frozen(small_model(0.1)),
    "per event, small step": Incremental(small_model(0.03)),
    "per event": Incremental(small_model(0.15)),
    "per event, large step": Incremental(small_model(0.6)),
    "full, growing": PeriodicRetrain(small_model(0.1), every="4D"),
    "full, sliding": PeriodicRetrain(small_model(0.1), every="4D", window=8000),
}


# %% answer="choose"
def choose_way(past):
    ### BEGIN SOLUTION
    losses = {
        name: quality(replay(past, copy.deepcopy(way), task="binary", warmup=0.5))
        for name, way in CANDIDATES.items()
    }
    return min(losses, key=losses.get)
    ### END SOLUTION


# %% check="choose" points=3
def unseen_shop(n_events, seed, **changes):
    size = dict(n_users=150, n_books=100, new_users_per_day=0, new_books_per_day=0)
    config = BookstoreConfig.stationary(**dict(events_per_day=1000) | size | changes)
    return data.bookstore(n_events, rng=np.random.default_rng(seed), config=config).events


shops = {
    "still": unseen_shop(40_000, 5),
    "fast": unseen_shop(40_000, 6, taste_drift_days=12.0),
    "little data": unseen_shop(6_000, 7, n_users=800, n_books=400, events_per_day=150),
}
for what, events in shops.items():
    start = int(0.4 * len(events))
    name = choose_way(events[:start].copy())
    assert name in CANDIDATES, f"{name!r} is none of the candidates"
    later = {
        n: quality(replay(events, copy.deepcopy(w), task="binary", warmup=0.4))
        for n, w in CANDIDATES.items()
    }
    behind = later[name] / min(later.values()) - 1
    assert behind <= 0.015, (
        f"in the shop {what!r} your choice, {name}, is {behind:.1%} behind: did you let the past decide?"
    )


# %% wrong="choose"
# Always at once.
def choose_way(past):
    return "per event"


# %% wrong="choose"
# Always everything.
def choose_way(past):
    return "full, growing"


# %% wrong="choose"
# Judges the candidates on what they were fitted to.
def choose_way(past):
    losses = {}
    for name, way in CANDIDATES.items():
        model = copy.deepcopy(way.model).fit(past)
        losses[name] = np.mean((past["label"] - model.predict(past)) ** 2)
    return min(losses, key=losses.get)
