"""From one million events to fifty, over the same users and items: memory as the formula says, and a steady rate.

The events come in slices of a million, are predicted and learned in one pass each, and are let go: a model of a stream
keeps parameters, and no events. Ids are integers, numbered by the model as ever; what share of the time that is stands
in a column of its own. The claims:

- the parameters take (n_factors + 1) * itemsize bytes for each user and each item, and what the process holds grows
  by no more than twice that from the first million to the fiftieth;
- by median, the events per second over ten and over fifty million are within a factor of 1.5 of those of a first
  million: that of a model which has learned nothing yet, and learns the same events in turn with the one that has,
  since a machine may be busier at one time than at another.
"""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import psutil

from benchmarks.common import finish
from recsys_course.models import BiasedFactorization

USERS, ITEMS = 100_000, 20_000
SLICE = 1_000_000
PARTS = 10  # of a slice: a median wants more than one time
SIZES = (1, 10, 50)  # millions of events
BESIDE = [0, *range(4, SIZES[-1], 5)]  # slices that a beginner learns too
SETTINGS = ((16, np.float32), (64, np.float32))


def slice_of(number: int) -> pd.DataFrame:
    """Ratings of users and items that are chosen unevenly, as in life; each slice from a seed of its own."""
    rng = np.random.default_rng(number)
    user = (USERS * rng.random(SLICE) ** 2).astype(np.int64)
    item = (ITEMS * rng.random(SLICE) ** 2).astype(np.int64)
    label = np.clip(np.round(3.5 + np.sin(user * 1.7) * np.cos(item * 2.3) + rng.normal(size=SLICE)), 1, 5)
    return pd.DataFrame({"user": user, "item": item, "label": label, "timestamp": number * SLICE + np.arange(SLICE)})


def everybody() -> pd.DataFrame:
    """Each user and each item once, so that all slices run over the same rows of parameters."""
    rows = np.arange(USERS)
    return pd.DataFrame({"user": rows, "item": rows % ITEMS, "label": 3.0, "timestamp": 0})


def main() -> None:
    process = psutil.Process()
    rows = []
    claims: dict[str, bool] = {}
    for n_factors, dtype in SETTINGS:
        model = BiasedFactorization(n_factors, step_size=0.02, dtype=dtype, rng=np.random.default_rng(0))
        model.update(everybody())
        beginner = copy.deepcopy(model)
        formula = (USERS + ITEMS) * (n_factors + 1) * np.dtype(dtype).itemsize
        taken: list[tuple] = []
        held: list[int] = []
        for number in range(SIZES[-1]):
            events = slice_of(number)
            young = copy.deepcopy(beginner) if number in BESIDE else None
            for start in range(0, SLICE, SLICE // PARTS):
                part = events.iloc[start : start + SLICE // PARTS]
                numbering = seconds_of(model._find, part)
                others = seconds_of(young.update, part) if young else np.nan
                taken.append((number, seconds_of(model.update, part), others, numbering))
            del events, part, young
            gc.collect()
            held.append(process.memory_info().rss)
        name = f"{n_factors} factors, {np.dtype(dtype).name}"
        parts = pd.DataFrame(taken, columns=["slice", "seconds", "beginner", "numbering"])
        for size in SIZES:
            until = parts[parts["slice"] < size]
            rate = SLICE / PARTS / until["seconds"].median()
            ratio = (until["beginner"] / until["seconds"]).median()
            share = (until["numbering"] / until["seconds"]).median()
            rows.append((name, size, rate, ratio, share, model.nbytes / 2**20, held[size - 1] / 2**20))
            if size > 1:
                claims[f"{name}: over {size} million within 1.5 of the rate of a first million"] = bool(
                    1 / 1.5 <= ratio <= 1.5
                )
        claims[f"{name}: parameters as the formula says"] = model.nbytes == formula
        claims[f"{name}: the process grows by less than twice the parameters after the first million"] = bool(
            held[-1] - held[0] <= 2 * formula
        )
    columns = ["what", "millions", "events per second", "times a first million", "share of numbering"]
    table = pd.DataFrame(rows, columns=[*columns, "parameters, MB", "process, MB"])
    table = table.round({"events per second": -3, "times a first million": 2, "share of numbering": 2})
    table = table.round({"parameters, MB": 1, "process, MB": 0}).set_index(["what", "millions"])
    settings = {"users": USERS, "items": ITEMS, "slice": SLICE, "parts": PARTS, "beside": BESIDE, "threads": 1}
    finish("scale", table, claims, settings, ("numpy", "numba", "pandas"))


def seconds_of(do: Callable[[pd.DataFrame], object], events: pd.DataFrame) -> float:
    began = time.perf_counter()
    do(events)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
