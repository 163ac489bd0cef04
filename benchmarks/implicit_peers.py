"""Weighted ALS and BPR beside those of the package `implicit`, at the same settings, on three real sets.

The sets are MovieLens 100K, Complete Journey (a pair counts how often it was bought) and MovieTweetings (items and
users with five ratings at least). Of each user's distinct pairs a quarter is held out; nDCG at ten over all that the
user did not have in the rest. Settings are chosen with our models, inside the training part, and serve both packages.

- **ALS.** `implicit` takes a table of confidences: it is given 1 + alpha n, so that both minimise the same objective.
  From the same starting factors both must end at the same factors; and from five starts of its own each.
- **BPR.** `implicit` draws the other item among the events, hence by popularity, and passes over draws that the user
  has taken; our "popular" is that, and "uniform" is what it does not offer. Both start from factors of the same size,
  which matters. Five starts each; it runs on two threads that overwrite each other, and differs from run to run.
- **Defaults.** What `implicit` gives to someone who sets nothing: counts as they are, ALS() and BPR().

Seconds are those of a fit on two threads (our BPR's second only draws ahead), side by side, the median of five in
turn; ours number the ids of a table of events, theirs get a sparse matrix ready made. The claims, for each set:

- at the same settings our nDCG is within 0.002 of theirs or better, for ALS and for BPR (mean of five starts);
- from one start the two ALS agree;
- our fit takes no longer.

It needs `implicit` (0.7.3, which has wheels for Python 3.11 to 3.13 on Linux, macOS and Windows).
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable
from functools import partial

# Before numpy is loaded: its threads would fight those that we count.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.common import finish
from benchmarks.held_out import choose, ndcg_by_user, split
from recsys_course import data
from recsys_course.events import sort_events
from recsys_course.metrics.intervals import user_interval
from recsys_course.models import BPR, WeightedALS
from recsys_course.models.implicit_als import half_sweep
from recsys_course.models.pairs import Pairs

MISSING: ImportError | None = None
try:
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking
except ImportError as error:
    MISSING = error

STARTS, REPEATS, THREADS = 5, 5, 2
FACTORS, SWEEPS, EPOCHS = 64, 15, 60
ALS_GRID = [(a, r) for a, r in itertools.product([0.5, 1.0, 2.0, 4.0, 8.0], [5.0, 10.0, 20.0, 40.0])]
BPR_GRID = list(itertools.product([0.02, 0.05, 0.1], [0.003, 0.01, 0.03]))
# As implicit has it: one draw, and initial factors uniform between -1/2 and 1/2, divided by their number.
TRIES, SPREAD = 1, (1 / 12 / FACTORS) ** 0.5
TOLERANCE = 0.002
SAME = 1e-4


def sets() -> dict[str, pd.DataFrame]:
    """Events of each set that is here, a row for each time that something was taken, in order of time."""
    tables = {}
    for name in ("ml_100k", "complete_journey", "movietweetings"):
        if not data.available(name):
            print(f"{name} is not here, and is left out")
            continue
        events = data.load(name).events[["user", "item", "timestamp"]].assign(label=1.0)
        if name == "movietweetings":
            for column in ("item", "user"):
                events = events[events.groupby(column)[column].transform("size") >= 5]
        tables[name] = sort_events(events)
    return tables


def halves(events: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All events of the pairs that are kept, and one row for each pair that is held out."""
    pairs = events.drop_duplicates(["user", "item"])
    kept, held = split(pairs, rng)
    names = pd.MultiIndex.from_frame(kept[["user", "item"]])
    return events[pd.MultiIndex.from_frame(events[["user", "item"]]).isin(names)], held


class Peer:
    """A model of `implicit` with the one call that the yardstick needs."""

    def __init__(self, model, users: pd.Index, items: pd.Index):
        self.model, self.users, self.items = model, users, items

    def score_items(self, users, items):
        rows, columns = self.users.get_indexer(users), self.items.get_indexer(items)
        x, y = self.model.user_factors[rows], self.model.item_factors[columns]
        scores = x.astype(np.float64) @ y.astype(np.float64).T
        scores[:, columns < 0] = -np.inf
        return scores


def seconds_of(*runs: Callable[[], object]) -> list[float]:
    """Median seconds of each, taken in turn, so that whatever else the machine does meets all alike."""
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(REPEATS):
        for mine, run in zip(found, runs, strict=True):
            began = time.perf_counter()
            run()
            mine.append(time.perf_counter() - began)
    return [float(np.median(mine)) for mine in found]


def our_als(setting: tuple[float, float], seed: int = 0) -> WeightedALS:
    alpha, ridge = setting
    rng = np.random.default_rng(seed)
    return WeightedALS(FACTORS, alpha=alpha, regularization=ridge, sweeps=SWEEPS, threads=THREADS, rng=rng)


def our_bpr(setting: tuple[float, float], negatives: str, seed: int = 0) -> BPR:
    step_size, ridge = setting
    rng = np.random.default_rng(seed)
    return BPR(
        FACTORS,
        step_size=step_size,
        regularization=ridge,
        epochs=EPOCHS,
        negatives=negatives,
        tries=TRIES,
        init_spread=SPREAD,
        threads=THREADS,
        rng=rng,
    )


def their_als(confidence, ridge: float, seed: int = 0, *, start=None):
    dtype = np.float32 if start is None else np.float64
    model = AlternatingLeastSquares(
        FACTORS, ridge, alpha=1.0, dtype=dtype, iterations=SWEEPS, num_threads=THREADS, random_state=seed
    )
    if start is not None:
        model.user_factors, model.item_factors = start[0].copy(), start[1].copy()
    model.fit(confidence, show_progress=False)
    return model


def their_bpr(binary, setting: tuple[float, float], seed: int = 0):
    model = BayesianPersonalizedRanking(FACTORS, *setting, iterations=EPOCHS, num_threads=THREADS, random_state=seed)
    model.fit(binary, show_progress=False)
    return model


def apart_from_one_start(counts, at, setting: tuple[float, float], confidence) -> float:
    """Largest difference of the two ALS' factors, as a share of the largest factor, in float64."""
    alpha, ridge = setting
    start = [np.random.default_rng(s).normal(0, 0.01, (n, FACTORS)) for s, n in enumerate(counts.shape)]
    theirs = their_als(confidence, ridge, start=start)
    x, y = start
    pairs = Pairs()
    pairs.add(at[0].astype(np.int64), at[1].astype(np.int64))
    for _ in range(SWEEPS):
        for mine, other, side in ((x, y, pairs.by_user(len(x))), (y, x, pairs.by_item(len(y)))):
            half_sweep(mine, other, side, alpha=alpha, regularization=ridge, cg_steps=3, threads=THREADS)
    apart = max(np.abs(x - theirs.user_factors).max(), np.abs(y - theirs.item_factors).max())
    return float(apart / max(np.abs(x).max(), np.abs(y).max()))


def compare(name: str, events: pd.DataFrame) -> tuple[list[tuple], dict[str, bool], dict]:
    """The rows of the table for one set, its claims, and what else was found."""
    rng = np.random.default_rng(0)
    kept, held = halves(events, rng)
    inner_kept, inner_held = halves(kept, rng)
    once, inner_once = (table.drop_duplicates(["user", "item"]) for table in (kept, inner_kept))
    users, items = pd.Index(kept["user"].unique()), pd.Index(kept["item"].unique())
    at = users.get_indexer(kept["user"]), items.get_indexer(kept["item"])
    counts = sparse.csr_matrix((np.ones(len(kept), np.float32), at), shape=(len(users), len(items)))
    counts.sum_duplicates()
    binary = counts.copy()
    binary.data[:] = 1
    rows = []

    def add(what: str, by: str, models: list, seconds: float = np.nan, settings: str = "") -> float:
        found = [ndcg_by_user(model.score_items, once, held) for model in models]
        values = pd.concat(found)
        mean, low, high = user_interval(values, values.index, rng=np.random.default_rng(0))
        means = [f.mean() for f in found]
        spread = float(np.std(means, ddof=1)) if len(means) > 1 else np.nan
        rows.append((name, what, by, mean, low, high, spread, seconds, settings))
        print(*rows[-1], flush=True)
        return mean

    als, _ = choose(ALS_GRID, our_als, inner_once, inner_held, lambda _: inner_kept)
    confidence = counts.copy()
    confidence.data = (1 + als[0] * confidence.data).astype(np.float32)
    apart = apart_from_one_start(counts, at, als, confidence)
    ours_s, theirs_s = seconds_of(lambda: our_als(als).fit(kept), lambda: their_als(confidence, als[1]))
    label = f"alpha {als[0]:g}, ridge {als[1]:g}"
    ours = add("ALS", "this course", [our_als(als, s).fit(kept) for s in range(STARTS)], ours_s, label)
    found = [Peer(their_als(confidence, als[1], s), users, items) for s in range(STARTS)]
    theirs = add("ALS", "implicit", found, theirs_s, label)
    claims = {
        f"{name}: from one start both ALS end at the same factors, to {SAME:g} of the largest": apart < SAME,
        f"{name}: ALS finds as much as implicit's": ours >= theirs - TOLERANCE,
        f"{name}: ALS takes no longer": ours_s <= theirs_s,
    }
    plain = AlternatingLeastSquares(num_threads=THREADS, random_state=0)
    plain.fit(counts, show_progress=False)
    add("ALS", "implicit, defaults", [Peer(plain, users, items)])

    popular, uniform = (
        choose(BPR_GRID, partial(our_bpr, negatives=kind), inner_once, inner_held, lambda _: inner_once)[0]
        for kind in ("popular", "uniform")
    )
    ours_s, theirs_s, uniform_s = seconds_of(
        lambda: our_bpr(popular, "popular").fit(once),
        lambda: their_bpr(binary, popular),
        lambda: our_bpr(uniform, "uniform").fit(once),
    )
    label = f"step {popular[0]:g}, ridge {popular[1]:g}"
    mine = [our_bpr(popular, "popular", s).fit(once) for s in range(STARTS)]
    ours = add("BPR, popular", "this course", mine, ours_s, label)
    found = [Peer(their_bpr(binary, popular, s), users, items) for s in range(STARTS)]
    theirs = add("BPR, popular", "implicit", found, theirs_s, label)
    claims[f"{name}: BPR finds as much as implicit's"] = ours >= theirs - TOLERANCE
    claims[f"{name}: BPR takes no longer"] = ours_s <= theirs_s
    plain = BayesianPersonalizedRanking(num_threads=THREADS, random_state=0)
    plain.fit(binary, show_progress=False)
    add("BPR, popular", "implicit, defaults", [Peer(plain, users, items)])
    other = [our_bpr(uniform, "uniform", s).fit(once) for s in range(STARTS)]
    add("BPR, uniform", "this course", other, uniform_s, f"step {uniform[0]:g}, ridge {uniform[1]:g}")
    gain = pd.concat(
        ndcg_by_user(u.score_items, once, held) - ndcg_by_user(p.score_items, once, held)
        for u, p in zip(other, mine, strict=True)
    )
    interval = user_interval(gain, gain.index, rng=np.random.default_rng(0))
    more = {"ALS from one start, apart": apart, "uniform minus popular": [round(v, 4) for v in interval]}
    return rows, claims, more


def main() -> None:
    if MISSING:
        sys.exit(f"the package implicit is missing ({MISSING}): nothing was compared, and nothing is claimed")
    rows: list[tuple] = []
    claims: dict[str, bool] = {}
    found = {}
    for name, events in sets().items():
        some_rows, some_claims, found[name] = compare(name, events)
        rows += some_rows
        claims |= {claim: bool(holds) for claim, holds in some_claims.items()}
        print(name, found[name], flush=True)
    columns = ["set", "model", "by", "nDCG@10", "low", "high", "sd of starts", "fit s", "settings"]
    table = pd.DataFrame(rows, columns=columns).set_index(["set", "model", "by"])
    table[columns[3:8]] = table[columns[3:8]].astype(float).round(4)
    settings = {
        "factors": FACTORS,
        "sweeps": SWEEPS,
        "epochs": EPOCHS,
        "starts": STARTS,
        "threads": THREADS,
        "found": found,
    }
    finish("implicit_peers", table, claims, settings, ("numpy", "numba", "scipy", "pandas", "implicit"))


if __name__ == "__main__":
    main()
