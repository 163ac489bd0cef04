"""Replay of a million events under per-event factorisation, beside River's BiasedMF on the same stream.

Both predict each event and then learn it. The replay reads a table of raw ids and writes down every prediction; its
time includes numbering the ids. River is given the same events one by one, as its interface asks. The claims:

- a million events take two seconds at the most;
- the time grows in proportion to the events: per event, a million costs at most 1.5 times what 125,000 do;
- the replay handles at least 25 times the events per second that River's loop does.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from river import optim, reco

from benchmarks.common import finish, median_seconds
from recsys_course.models import MatrixFactorization
from recsys_course.replay import replay
from recsys_course.strategies import Incremental

USERS, ITEMS, FACTORS = 20_000, 5_000, 16
SIZES = (125_000, 250_000, 500_000, 1_000_000)
RIVER_EVENTS = 125_000
REPEATS = 5


def stream(n_events: int, rng: np.random.Generator) -> pd.DataFrame:
    """Ratings of users and items that are chosen unevenly, as in life, one a second."""
    user = (USERS * rng.random(n_events) ** 2).astype(np.int64)
    item = (ITEMS * rng.random(n_events) ** 2).astype(np.int64)
    taste = rng.normal(size=USERS)[user] * rng.normal(size=ITEMS)[item]
    label = np.clip(np.round(3.5 + taste + rng.normal(size=n_events)), 1, 5)
    return pd.DataFrame({"user": user, "item": item, "label": label, "timestamp": np.arange(n_events)})


def main() -> None:
    events = stream(SIZES[-1], np.random.default_rng(0))
    model = MatrixFactorization(FACTORS, epochs=1, label_range=(1, 5), rng=np.random.default_rng(0))

    def ours(n_events: int):
        return replay(events.iloc[:n_events], Incremental(model, every=1), task="rating", warmup=0.01)

    users, items, labels = (events[c].iloc[:RIVER_EVENTS].tolist() for c in ("user", "item", "label"))

    def river():
        peer = reco.BiasedMF(
            n_factors=FACTORS, bias_optimizer=optim.SGD(0.025), latent_optimizer=optim.SGD(0.025), seed=0
        )
        for user, item, label in zip(users, items, labels, strict=True):
            peer.predict_one(user=user, item=item)
            peer.learn_one(user=user, item=item, y=label)

    rows = []
    for size in SIZES:
        seconds = median_seconds(partial(ours, size), REPEATS)
        rows.append(("replay, per event", size, seconds))
    rows.append(("River BiasedMF", RIVER_EVENTS, median_seconds(river, 1)))
    table = pd.DataFrame(rows, columns=["what", "events", "seconds"])
    table["events per second"] = (table["events"] / table["seconds"]).round(-3)
    table["times River"] = (table["events per second"] / table["events per second"].iloc[-1]).round(1)
    table["seconds"] = table["seconds"].round(4)
    smallest, largest, peer = table.iloc[0], table.iloc[len(SIZES) - 1], table.iloc[-1]
    claims = {
        "a million events in two seconds at the most": bool(largest["seconds"] <= 2),
        "per event, a million costs at most 1.5 times what 125,000 do": bool(
            largest["events per second"] * 1.5 >= smallest["events per second"]
        ),
        "at least 25 times River's events per second": bool(
            largest["events per second"] >= 25 * peer["events per second"]
        ),
    }
    settings = {"users": USERS, "items": ITEMS, "factors": FACTORS, "repeats": REPEATS, "threads": 1}
    finish("replay_speed", table.set_index("what"), claims, settings, ("numpy", "numba", "pandas", "river"))


if __name__ == "__main__":
    main()
