"""What updating costs as a stream grows from a hundred thousand events to ten million: examples learned, and seconds.

The events come evenly, and each way of updating keeps its schedule: a full retrain comes each S = 20,000 events,
however long the stream is. Of n events the first S are the past. With R = ceil((n - S) / S) - 1 retrains after it, E
passes each, and a sliding window of W events, the examples learned are

- frozen: 0
- per event: n - S - 1, since the last event is predicted, and the stream ends
- every 1,000: the events of all full windows but the last
- full retrain, growing: E times the sum over k = 1 .. R of (S + k S), or E S (R + R (R + 1) / 2): quadratic in n
- full retrain, sliding: E times the sum over k of min(W, S + k S): linear once the window is full
- hybrid: as growing, and n - S - 1 - R updates in between, since what arrives with a retrain is learned by it.

Growing and hybrid are replayed up to one million events, sliding up to three; what lies beyond is counted by the
formula and has no seconds. The claims:

- each count is that of the formula, to the example;
- CPU seconds grow like the examples: from 300,000 events to the largest size, the exponent of n lies between 0.85 and
  1.15 for per event and every 1,000, and above 1.7 for growing and for the hybrid. The bands are wide enough for caches
  that hold less of a longer stream, and far too narrow for another power of n.

Of the seconds of sliding retrains nothing is claimed: their examples grow linearly, but the compiled pass reads the ids
of the whole stream once after each retrain, and that share of the seconds is quadratic.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import pandas as pd

from benchmarks.common import finish
from recsys_course.models import MatrixFactorization
from recsys_course.replay import Result, replay
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain, Strategy

USERS, ITEMS = 20_000, 5_000
SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
SCHEDULE, WINDOW, PASSES, FACTORS = 20_000, 100_000, 2, 16
LARGEST = {"full retrain, growing": 1_000_000, "hybrid": 1_000_000, "full retrain, sliding": 3_000_000}
REPEATS = 3  # of what takes a second or two: the median counts


def stream(n: int) -> pd.DataFrame:
    """Ratings of users and items that are chosen unevenly, as in life, one a second."""
    rng = np.random.default_rng(0)
    user = (USERS * rng.random(n) ** 2).astype(np.int64)
    item = (ITEMS * rng.random(n) ** 2).astype(np.int64)
    label = np.clip(np.round(3.5 + np.sin(user * 1.7) * np.cos(item * 2.3) + rng.normal(size=n)), 1, 5)
    return pd.DataFrame({"user": user, "item": item, "label": label, "timestamp": np.arange(n)})


def strategies() -> dict[str, Strategy]:
    model = MatrixFactorization(FACTORS, epochs=PASSES, step_size=0.01, rng=np.random.default_rng(0))
    return {
        "frozen": Frozen(model),
        "per event": Incremental(model),
        "every 1,000 events": Incremental(model, every=1_000),
        "full retrain, sliding": PeriodicRetrain(model, every=SCHEDULE, window=WINDOW),
        "full retrain, growing": PeriodicRetrain(model, every=SCHEDULE),
        "hybrid": Hybrid(model, retrain_every=SCHEDULE),
    }


def derived(name: str, n: int) -> int:
    """Examples learned, by the formulas above."""
    scored = n - SCHEDULE
    retrains = math.ceil(scored / SCHEDULE) - 1
    growing = PASSES * (SCHEDULE * retrains + SCHEDULE * retrains * (retrains + 1) // 2)
    return {
        "frozen": 0,
        "per event": scored - 1,
        "every 1,000 events": 1_000 * (math.ceil(scored / 1_000) - 1),
        "full retrain, sliding": PASSES * sum(min(WINDOW, SCHEDULE * (1 + k)) for k in range(1, retrains + 1)),
        "full retrain, growing": growing,
        "hybrid": growing + scored - 1 - retrains,
    }[name]


def run(events: pd.DataFrame, strategy: Strategy) -> Result:
    return replay(events, strategy, task="rating", warmup=SCHEDULE / len(events))


def exponent(table: pd.DataFrame, name: str) -> float:
    """Of n in the CPU seconds, from 300,000 events to the largest size that was run: slope of a line in logarithms."""
    own = table[(table["contender"] == name) & table["CPU s"].notna() & (table["events"] >= SIZES[1])]
    return float(np.polyfit(np.log(own["events"]), np.log(own["CPU s"]), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="leave out longer streams: to try it")
    largest = parser.parse_args().largest
    for strategy in strategies().values():
        run(stream(100_000).head(60_000), strategy)  # compiles
    rows = []
    exact = True
    for n in SIZES:
        if n > largest:
            break
        events = stream(n)
        for name, strategy in strategies().items():
            count, seconds = derived(name, n), None
            if n <= LARGEST.get(name, n):
                results = [run(events, strategy) for _ in range(REPEATS if count < 5_000_000 else 1)]
                exact &= all(result.cost.examples == count for result in results)
                seconds = float(np.median([result.cost.cpu_seconds for result in results]))
            rate = None if seconds is None else (n - SCHEDULE) / seconds
            rows.append((name, n, count, count / (n - SCHEDULE), seconds, rate))
            print(*rows[-1], flush=True)
    columns = ["contender", "events", "examples learned", "examples per event", "CPU s", "events per CPU s"]
    table = pd.DataFrame(rows, columns=columns)
    powers = {name: exponent(table, name) for name in strategies() if name != "frozen"}
    print({name: round(power, 3) for name, power in powers.items()})
    claims = {"each count of examples is that of the formula": exact}
    for name in ("per event", "every 1,000 events"):
        claims[f"{name}: CPU seconds grow with the events to a power within 0.85 and 1.15"] = (
            0.85 <= powers[name] <= 1.15
        )
    for name in ("full retrain, growing", "hybrid"):
        claims[f"{name}: CPU seconds grow with the events to a power above 1.7"] = powers[name] > 1.7
    table = table.round({"examples per event": 3, "CPU s": 3, "events per CPU s": -3})
    settings = {
        "users": USERS, "items": ITEMS, "schedule": SCHEDULE, "window": WINDOW, "passes": PASSES, "factors": FACTORS,
        "exponents": {name: round(power, 3) for name, power in powers.items()},
    }  # fmt: skip
    if largest == SIZES[-1]:
        finish(
            "updating_cost", table.set_index(["contender", "events"]), claims, settings, ("numpy", "numba", "pandas")
        )
    print(claims)


if __name__ == "__main__":
    main()
