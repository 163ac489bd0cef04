"""How much of the gain from learning per event is had from fresh counters that feed a network with frozen weights.

A network of the course (embeddings of user and item, one hidden layer) lives through three streams, full size, three
seeds, in five ways: ids alone or ids beside four *counters* (n / (n + 5), for the number n of events that the user
and the item have had, and the mean of their labels, shrunken in the same way), with weights that are frozen or learn
from each event, and with counters that are fresh (of all events strictly before the row) or stopped (as they stood when
the scored part began). Beside them, the library's running means, per event: counting without a network.

Settings are chosen on the first 40 % of each stream, predicting their later half from their earlier one: passes, step
and share of strangers of the first fit by the frozen network, the mean over the seeds, of each of the two kinds; then
the step of the updates. The share is that of the gain, in mean loss, from the frozen network of ids to the one that
learns from each event; its interval is the wider of that over users and that over blocks. The claims:

- on each stream, fresh counters before frozen weights keep at least a third of the gain, with all of the interval;
- stopped counters keep less than fresh ones, on each stream and seed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from benchmarks.common import finish
from recsys_course import data
from recsys_course.events import split_at
from recsys_course.features import Window, WindowFeatures
from recsys_course.metrics.intervals import block_interval, user_interval
from recsys_course.models import SGD, NeuralNetwork, RunningMeans
from recsys_course.replay import replay
from recsys_course.report import per_event
from recsys_course.strategies import Frozen, Incremental

STREAMS = ("movielens", "movietweetings", "bookstore")
SEEDS = (0, 1, 2)
WARMUP, SHRINK = 0.4, 5
FITS = [
    {"epochs": epochs, "step_size": step, "stranger": stranger}
    for epochs in (5, 10)
    for step in (0.03, 0.1)
    for stranger in (0.05, 0.2)
]
UPDATES = (0.003, 0.01, 0.03)
FORGET = (0.0, 0.01, 0.02, 0.05, 0.1)
COUNTERS = ("user_many", "user_above", "item_many", "item_above")


def with_counters(events: pd.DataFrame, start: int, *, fresh: bool = True) -> pd.DataFrame:
    """The events with four counters of what came strictly before each row; stopped, of what came before ``start``."""
    past = events["label"].iloc[:start]
    labels = events.assign(above=(events["label"] - past.mean()) / past.std())
    windows = []
    for who in ("user", "item"):
        windows.append(Window(f"{who}_n", who, None))
        windows.append(Window(f"{who}_sum", who, None, statistic="sum", value="above"))
    counting = WindowFeatures(windows)
    seen = counting.fit_transform(labels.iloc[:start])
    after = labels.iloc[start:]
    seen = pd.concat([seen, counting.advance(after) if fresh else counting.transform(after)])
    out = events.copy()
    for who in ("user", "item"):
        out[f"{who}_many"] = seen[f"{who}_n"] / (seen[f"{who}_n"] + SHRINK)
        out[f"{who}_above"] = seen[f"{who}_sum"] / (seen[f"{who}_n"] + SHRINK)
    return out


def network(task: str, label_range, features, seed: int, fit: dict, update: float | None = None) -> NeuralNetwork:
    return NeuralNetwork(
        (32,),
        n_factors=8,
        features=features,
        loss="squared" if task == "rating" else "cross-entropy",
        optimizer=SGD(fit["step_size"]),
        update_step_size=update,
        epochs=fit["epochs"],
        stranger=fit["stranger"],
        label_range=label_range if task == "rating" else None,
        rng=np.random.default_rng(seed),
    )


class Probabilities(RunningMeans):
    """Running means of labels 0 and 1, kept inside, where a log loss is finite."""

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        return np.clip(super().predict(events), 0.01, 0.99)

    def run(self, events: pd.DataFrame, plan, first: int, last: int) -> np.ndarray:
        return np.clip(super().run(events, plan, first, last), 0.01, 0.99)


def loss(result) -> float:
    return float(per_event(result)["value"].mean())


def share_kept(run, frozen, online) -> tuple[float, float, float]:
    """Share of the gain that is kept, and the wider of two intervals."""
    f, r, o = (per_event(x)["value"].to_numpy() for x in (frozen, run, online))
    gain = (f - o).mean()
    share = (f - r).mean() / gain
    # The residual has mean zero; its mean over other users or blocks is how far the ratio would move.
    residual = ((f - r) - share * (f - o)) / gain
    rng = np.random.default_rng(0)
    intervals = (user_interval(residual, run.users, rng=rng), block_interval(residual, rng=rng))
    widest = max(intervals, key=lambda i: i.high - i.low)
    return share, share + widest.low, share + widest.high


def on_stream(name: str) -> tuple[list[dict], dict]:
    dataset = data.load(name)
    task, label_range = dataset.card.task, dataset.card.label_range
    events = dataset.events[["user", "item", "label", "timestamp"]]
    past, _ = split_at(events, WARMUP)
    halfway = len(split_at(past, 0.5)[0])
    pilot = with_counters(past, halfway)

    def tried(strategy_of, make, seeds=SEEDS) -> float:
        """The mean loss over the seeds: what is lucky with one seed only is not chosen."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # a step that is too large is out, and says so
                return float(np.mean([loss(replay(pilot, strategy_of(make(s)), task=task, warmup=0.5)) for s in seeds]))
        except FloatingPointError:
            return np.inf

    settings: dict = {}
    for kind, features in (("ids", ()), ("counters", COUNTERS)):

        def make(seed, fit, update=None, features=features):
            return network(task, label_range, features, seed, fit, update)

        fits = [tried(Frozen, partial(make, fit=fit)) for fit in FITS]
        fit = FITS[int(np.argmin(fits))]
        steps = [tried(Incremental, partial(make, fit=fit, update=u), SEEDS[:1]) for u in UPDATES]
        settings[kind] = {"fit": fit, "update": UPDATES[int(np.argmin(steps))]}
    counting_model = RunningMeans if task == "rating" else Probabilities
    means = [tried(Incremental, lambda seed, f=f: counting_model(forget=f), SEEDS[:1]) for f in FORGET]
    settings["running means"] = {"forget": FORGET[int(np.argmin(means))]}
    print(name, settings, flush=True)

    fresh, stopped = with_counters(events, len(past)), with_counters(events, len(past), fresh=False)
    rows = []
    for seed in SEEDS:

        def run(table, strategy_of, kind, updating, seed=seed):
            chosen = settings[kind]
            features = COUNTERS if kind == "counters" else ()
            model = network(task, label_range, features, seed, chosen["fit"], chosen["update"] if updating else None)
            return replay(table, strategy_of(model), task=task, warmup=WARMUP)

        frozen = run(fresh, Frozen, "ids", False)
        online = run(fresh, Incremental, "ids", True)
        counting = replay(events, Incremental(counting_model(**settings["running means"])), task=task, warmup=WARMUP)
        runs = {
            "ids, frozen": frozen,
            "ids, per event": online,
            "fresh counters, frozen": run(fresh, Frozen, "counters", False),
            "stopped counters, frozen": run(stopped, Frozen, "counters", False),
            "fresh counters, per event": run(fresh, Incremental, "counters", True),
            "running means": counting,
        }
        for way, result in runs.items():
            share, low, high = share_kept(result, frozen, online)
            rows.append(
                {
                    "stream": name, "way": way, "seed": seed, "loss": loss(result), "share": share, "low": low,
                    "high": high, "examples per event": result.examples_per_event,
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows, settings


def main() -> None:
    rows: list[dict] = []
    settings: dict = {
        "warmup": WARMUP, "shrink": SHRINK, "seeds": SEEDS, "hidden": (32,), "n_factors": 8, "batch_size": 64,
        "fits tried": FITS, "updates tried": UPDATES, "forget tried": FORGET,
    }  # fmt: skip
    for name in STREAMS:
        more, settings[name] = on_stream(name)
        rows += more
    table = pd.DataFrame(rows).set_index(["stream", "way", "seed"])
    fresh = table.xs("fresh counters, frozen", level="way")
    stopped = table.xs("stopped counters, frozen", level="way")
    claims = {
        "fresh counters before frozen weights keep at least a third of the gain": bool((fresh["low"] > 1 / 3).all()),
        "stopped counters keep less than fresh ones": bool((stopped["share"] < fresh["share"]).all()),
    }
    finish("fresh_counters", table.round(5), claims, settings, ("numpy", "pandas"))


if __name__ == "__main__":
    main()
