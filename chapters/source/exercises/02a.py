# %% [markdown]
# # 02a Exercises: Cleaning and windows
#
# These go with [chapter 02a](../02a_cleaning_and_windows.ipynb). Each asks you to replace the line that raises an
# error, and is followed by a cell that checks your answer; run it until it is silent. They become less guided as they
# go on.

# %%
import numpy as np
import pandas as pd

from recsys_course import data
from recsys_course.features import Window, WindowFeatures, clean

exposures = data.bookstore().events
DAY = 86_400

# %% [markdown]
# ## 1. Sent twice, bought twice
#
# *Objective 2.* Write `duplicates_and_repeats(events)`, which returns two numbers: how many rows are duplicates of an
# earlier row, and how many *other* rows repeat a user and item that an earlier row has. The table has the columns
# user, item, label, timestamp and event (the basket), in time order, and no row is missing anything. Do not use
# `clean`.

# %%
receipts = pd.DataFrame(
    {
        "user": [1, 1, 1, 2, 2, 1, 1],
        "item": [7, 7, 8, 7, 7, 7, 8],
        "label": 1.0,
        "timestamp": [10, 10, 10, 20, 30, 40, 40],
        "event": [1, 1, 1, 2, 3, 4, 4],
    }
)


# %% answer="duplicates"
def duplicates_and_repeats(events):
    ### BEGIN SOLUTION
    duplicate = events.duplicated(["user", "item", "label", "timestamp", "event"])
    rest = events[~duplicate]
    return int(duplicate.sum()), int(rest.duplicated(["user", "item"]).sum())
    ### END SOLUTION


# %% check="duplicates" points=1
assert duplicates_and_repeats(receipts) == (1, 3), (
    "in receipts one row was sent twice, and three repeat a purchase"
)
lines = data.complete_journey_lines().events.head(200_000)
lines = lines[~lines.duplicated(["user", "item", "timestamp"], keep=False)]
_, report = clean(lines)
found = duplicates_and_repeats(lines)
assert found[0] == report.removed == 0, (
    "no line of the grocer is a duplicate: does your rule look at the time?"
)
assert found[1] == report.findings[0].rows, (
    "a repeat is a user and item of an earlier row, at another time"
)


# %% wrong="duplicates"
# Forgets that a duplicate agrees in the time as well.
def duplicates_and_repeats(events):
    duplicate = events.duplicated(["user", "item"])
    return int(duplicate.sum()), 0


# %% wrong="duplicates"
# Counts a duplicate among the repeats again.
def duplicates_and_repeats(events):
    duplicate = events.duplicated(["user", "item", "label", "timestamp", "event"])
    return int(duplicate.sum()), int(events.duplicated(["user", "item"]).sum())


# %% [markdown]
# ## 2. A window of two keys
#
# *Objective 3.* Write `count_taste(events, days)`, a list with one number per row of `events`: how many earlier rows
# with label 1 have the same user *and* category, not more than `days` days before (a row exactly that old counts) and
# *strictly before* this one. A plain double loop is fine, the table is small.

# %%
some_readers = exposures["user"].between(500, 511)
small = exposures[some_readers].head(600).reset_index(drop=True)
small["timestamp"] = (
    small["timestamp"] // (DAY // 4) * (DAY // 4)
)  # a coarse clock, so that many rows share a time


# %% answer="taste"
def count_taste(events, days):
    ### BEGIN SOLUTION
    rows = list(events.itertuples())
    return [
        sum(
            earlier.label == 1
            and earlier.user == row.user
            and earlier.category == row.category
            and row.timestamp - days * DAY <= earlier.timestamp < row.timestamp
            for earlier in rows
        )
        for row in rows
    ]
    ### END SOLUTION


# %% check="taste" points=2
expected = WindowFeatures(
    [Window("n", ("user", "category"), "7D", where={"label": 1.0})]
).fit_transform(small)["n"]
by_hand = count_taste(small, 7)
assert len(by_hand) == len(small), "give one number per row"
assert max(by_hand) > 0, "all counts are zero: do you look at label 1?"
assert by_hand[0] == 0, "nothing lies before the first row"
assert by_hand == expected.tolist(), (
    "not what the library counts: same user and category, label 1, at most so many days before, and strictly before"
)


# %% wrong="taste"
# Lets rows of the same second see each other, and themselves.
def count_taste(events, days):
    rows = list(events.itertuples())
    return [
        sum(
            r.label == 1
            and r.user == row.user
            and r.category == row.category
            and row.timestamp - days * DAY <= r.timestamp <= row.timestamp
            for r in rows
        )
        for row in rows
    ]


# %% wrong="taste"
# Forgets the category.
def count_taste(events, days):
    rows = list(events.itertuples())
    return [
        sum(
            r.label == 1
            and r.user == row.user
            and row.timestamp - days * DAY <= r.timestamp < row.timestamp
            for r in rows
        )
        for row in rows
    ]


# %% wrong="taste"
# The past side of the window is open: a row exactly as old as the window is lost.
def count_taste(events, days):
    rows = list(events.itertuples())
    return [
        sum(
            r.label == 1
            and r.user == row.user
            and r.category == row.category
            and row.timestamp - days * DAY < r.timestamp < row.timestamp
            for r in rows
        )
        for row in rows
    ]


# %% [markdown]
# ## 3. The poison test
#
# *Objective 4.* Write `sees_the_future(feature, events)`. `feature` is a function that takes an events table and
# returns one number per row (a Series or an array). Your function poisons the second half of the table, computes the
# feature again, and returns True or False: whether any number of the first half has changed. Poison whatever a
# feature may read, users, items *and* labels, and overwrite it, since a shuffle keeps every total. Mind that a feature
# may hold NaN, which differs from itself.

# %%
ratings = data.movielens().events.head(20_000)
half = np.searchsorted(
    ratings["timestamp"], ratings["timestamp"].iloc[10_000]
)  # no second stands on both sides


# %% answer="poison"
def sees_the_future(feature, events):
    ### BEGIN SOLUTION
    middle = np.searchsorted(events["timestamp"], events["timestamp"].iloc[len(events) // 2])
    poisoned = events.copy()
    later = poisoned.index[middle:]
    poisoned.loc[later, "user"] = events["user"].iloc[0]
    poisoned.loc[later, "item"] = events["item"].iloc[0]
    poisoned.loc[later, "label"] = 1e6
    before = np.asarray(feature(events), dtype=float)[:middle]
    after = np.asarray(feature(poisoned), dtype=float)[:middle]
    return not np.array_equal(before, after, equal_nan=True)
    ### END SOLUTION


# %% check="poison" points=3
honest = {
    "a window": lambda e: WindowFeatures([Window("n", "user", "30D")]).fit_transform(e)["n"],
    "a mean so far": lambda e: WindowFeatures(
        [Window("m", "item", None, statistic="mean", value="label")]
    ).fit_transform(e)["m"],
    "the number of rows so far": lambda e: np.arange(len(e)),
}
leaky = {
    "the user's mean": lambda e: e.groupby("user")["label"].transform("mean"),
    "the popularity of the film": lambda e: e.groupby("item")["item"].transform("size"),
    "the user's number of ratings": lambda e: e.groupby("user")["user"].transform("size"),
    "the next label": lambda e: e["label"].shift(-1),
}
for name, feature in honest.items():
    assert not sees_the_future(feature, ratings), (
        f"{name} sees nothing of the future: what differs? (NaN?)"
    )
for name, feature in leaky.items():
    assert sees_the_future(feature, ratings), (
        f"{name} sees the future: does your poison reach what it reads?"
    )


# %% wrong="poison"
# Poisons the labels only: a feature that counts is not caught.
def sees_the_future(feature, events):
    middle = len(events) // 2
    poisoned = events.copy()
    poisoned.loc[poisoned.index[middle:], "label"] = 1e6
    before, after = (
        np.asarray(feature(events), float)[:middle],
        np.asarray(feature(poisoned), float)[:middle],
    )
    return not np.array_equal(before, after, equal_nan=True)


# %% wrong="poison"
# Takes NaN, which differs from itself, for a change.
def sees_the_future(feature, events):
    middle = len(events) // 2
    poisoned = events.copy()
    later = poisoned.index[middle:]
    poisoned.loc[later, "user"], poisoned.loc[later, "item"] = (
        events["user"].iloc[0],
        events["item"].iloc[0],
    )
    poisoned.loc[later, "label"] = 1e6
    before, after = (
        np.asarray(feature(events), float)[:middle],
        np.asarray(feature(poisoned), float)[:middle],
    )
    return bool((before != after).any())


# %% wrong="poison"
# Compares all rows: those that were poisoned differ by right.
def sees_the_future(feature, events):
    middle = len(events) // 2
    poisoned = events.copy()
    later = poisoned.index[middle:]
    poisoned.loc[later, "user"], poisoned.loc[later, "item"] = (
        events["user"].iloc[0],
        events["item"].iloc[0],
    )
    poisoned.loc[later, "label"] = 1e6
    before, after = np.asarray(feature(events), float), np.asarray(feature(poisoned), float)
    return not np.array_equal(before, after, equal_nan=True)


# %% [markdown]
# ## 4. One definition, your own
#
# *Objective 5.* Write a class `MeanSoFar` for the mean label of a user so far. `transform_one(row)` returns it for one
# row (a dict with "user"), NaN for a user not met; `learn_one(row)` learns the row's label. Then a table is a stream
# whose rows are all there already: `transform_table(events)` asks and learns row by row and returns a list, starting
# from what was learned. Timestamps all differ here, so you need not mind ties.

# %%
calm = ratings.drop_duplicates("timestamp", ignore_index=True).head(5000)


# %% answer="definition"
class MeanSoFar:
    ### BEGIN SOLUTION
    def __init__(self):
        self.total, self.count = {}, {}

    def transform_one(self, row):
        count = self.count.get(row["user"], 0)
        return self.total[row["user"]] / count if count else float("nan")

    def learn_one(self, row):
        self.total[row["user"]] = self.total.get(row["user"], 0.0) + row["label"]
        self.count[row["user"]] = self.count.get(row["user"], 0) + 1

    def transform_table(self, events):
        out = []
        for row in events.to_dict("records"):
            out.append(self.transform_one(row))
            self.learn_one(row)
        return out

    ### END SOLUTION


# %% check="definition" points=2
by_library = WindowFeatures(
    [Window("m", "user", None, statistic="mean", value="label")]
).fit_transform(calm)["m"]
assert "transform_table" in vars(MeanSoFar), "the class needs a method transform_table"
whole = np.array(MeanSoFar().transform_table(calm))
assert len(whole) == len(calm), "transform_table returns one number per row"
assert np.isnan(whole[0]), "nobody was met before the first row: NaN"
assert np.allclose(whole, by_library, equal_nan=True), (
    "a row must see the rows before it, and not itself"
)
resumed = MeanSoFar()
parts = resumed.transform_table(calm.head(2000)) + resumed.transform_table(calm.tail(3000))
assert np.array_equal(parts, whole, equal_nan=True), (
    "cut in two, the table must give the same: keep what was learned"
)


# %% wrong="definition"
# Learns a row before it is asked about it: the feature contains the label.
class MeanSoFar:
    def __init__(self):
        self.total, self.count = {}, {}

    def transform_one(self, row):
        count = self.count.get(row["user"], 0)
        return self.total[row["user"]] / count if count else float("nan")

    def learn_one(self, row):
        self.total[row["user"]] = self.total.get(row["user"], 0.0) + row["label"]
        self.count[row["user"]] = self.count.get(row["user"], 0) + 1

    def transform_table(self, events):
        out = []
        for number, row in enumerate(events.to_dict("records")):
            if number:
                self.learn_one(row)
            out.append(self.transform_one(row))
        return out


# %% wrong="definition"
# Forgets at the start of each table: training and serving would disagree.
class MeanSoFar:
    def transform_one(self, row):
        count = self.count.get(row["user"], 0)
        return self.total[row["user"]] / count if count else float("nan")

    def learn_one(self, row):
        self.total[row["user"]] = self.total.get(row["user"], 0.0) + row["label"]
        self.count[row["user"]] = self.count.get(row["user"], 0) + 1

    def transform_table(self, events):
        self.total, self.count = {}, {}
        out = []
        for row in events.to_dict("records"):
            out.append(self.transform_one(row))
            self.learn_one(row)
        return out
