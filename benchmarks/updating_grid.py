"""The large grid: ways of updating, on five streams, with two models and several seeds, all at full size.

Each contender has settings of its own, chosen with the first seed on the later half of the past (the first 40 % of a
stream); the other 60 % is the race. What learns on begins with the fit that was chosen for full retrains: they alone
are fitted, on the pilot, to about as many events as the first model of the race. A first fit chosen for half as many
cost updating a seventh of its gain on the bookstore, and made the hybrid look better than it is. The streams:

- a bookstore of 200,000 exposures, whose truth is known: *regret* is what a model loses beside somebody who knows the
  probability of each purchase. Its tastes wander all the time, and on day 65 a quarter of the readers get new ones.
- MovieLens and MovieTweetings, ratings; MovieTweetings, as a ranking of what is rated next;
- The Complete Journey, a ranking of what is bought next, for 400 households drawn at random of 2,469.

The network does not rank, so it races on ratings and on the bookstore, and with two seeds, since it learns event by
event in interpreted code. Four tables come out of it: the standings; *pairs*, the differences that chapters speak of,
with the wider of two intervals (over users, over blocks of time) for each seed; the update-interval curve, with labels
at once and late; and what one common step would have said, the one that suits full retraining.

A direction is called so where the interval of each seed lies on one side of zero; where all of them hold zero it is a
tie; the rest is open. Finished replays are kept in a folder, so that a grid that was killed goes on::

    python -m benchmarks.updating_grid --cache /tmp/grid --jobs 2
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from benchmarks.common import as_ranking, finish, mean_regret
from recsys_course import data, grid
from recsys_course.blending import fusion
from recsys_course.contenders import BASELINES, Family, contenders, families
from recsys_course.data.dataset import Dataset
from recsys_course.pilot import choose
from recsys_course.race import compete, standings
from recsys_course.replay import Result
from recsys_course.report import METRIC, better, quality, quality_by_window
from recsys_course.strategies import Frozen, Incremental
from recsys_course.track import Track, make_track
from recsys_course.tuning import choose_settings, warm_up

EXPOSURES, HOUSEHOLDS = 200_000, 400
SEEDS: dict[str, tuple[int, ...]] = {"factorization": (0, 1, 2), "network": (0, 1)}
RANKINGS = ("movietweetings, ranking", "complete journey")
INTERVALS = (1, 10, 100, 1_000, 10_000)
DELAYS = (None, 2_000, "1D")
WINDOWS = 20
UPDATES = (0.1, 0.3, 1.0, 2.0, 4.0)

BOTH = "fusion, deep and classical"
WINDOW, FIVE = "every 1,000 events", "every 1,000 events, 5 passes"
GROWING, SLIDING, STOPPED = "full retrain, growing", "full retrain, sliding", "full retrain, stopped early"
EMBEDDINGS, FRESH = "hybrid, embeddings only between", "per event, fresh optimiser"
SLOW = ("frozen, Adam", "per event, Adam", FRESH, "per event, rehearsing", STOPPED, "warm retrain")
LONG = ("bookstore", "network")  # with one seed, and without the above, which take minutes each there
PLAIN = ("frozen", "per event", WINDOW, FIVE, GROWING, SLIDING, "hybrid")
PAIRS = (
    ("per event", "frozen"), (WINDOW, "frozen"), (GROWING, "frozen"), (SLIDING, "frozen"), ("hybrid", "frozen"),
    ("per event", GROWING), ("per event", SLIDING), ("per event", WINDOW), ("per event", "every day"),
    ("per event", "per event, rehearsing"), (FIVE, WINDOW), (FIVE, "per event"),
    ("hybrid", "per event"), ("hybrid", GROWING), (SLIDING, GROWING), (STOPPED, GROWING), ("warm retrain", GROWING),
    ("warm retrain", "per event"), ("hybrid", EMBEDDINGS), (EMBEDDINGS, GROWING), ("per event, Adam", FRESH),
    ("per event, Adam", "per event"), ("ensemble", "per event"), ("fusion", "per event"), (BOTH, "per event"),
    *(("per event", name) for name in BASELINES),
)  # fmt: skip


def streams(rows: int | None = None) -> dict[str, Callable[[], Dataset]]:
    """Each stream by its name; with ``rows``, only so many from the start of each."""

    def cut(dataset: Dataset) -> Dataset:
        return dataset if rows is None else replace(dataset, events=dataset.events.head(rows))

    def journey() -> Dataset:
        whole = data.complete_journey()
        users = whole.events["user"]
        drawn = np.random.default_rng(0).choice(np.sort(users.unique()), HOUSEHOLDS, replace=False)
        return replace(whole, events=whole.events[users.isin(drawn)].reset_index(drop=True))

    makers: dict[str, Callable[[], Dataset]] = {
        "bookstore": lambda: data.bookstore(rows or EXPOSURES, rng=np.random.default_rng(0)),
        "movielens": data.movielens,
        "movietweetings": data.movietweetings,
        "movietweetings, ranking": lambda: as_ranking(data.movietweetings()),
        "complete journey": journey,
    }
    return {name: partial(lambda make: cut(make()), make) for name, make in makers.items()}


class Grid:
    """What all parts of the benchmark share: where results are kept, what is said meanwhile, and the tables."""

    def __init__(self, cache: str | None, quick: bool) -> None:
        self.cache, self.quick = cache, quick
        self.rows: list[dict] = []
        self.pairs: list[dict] = []
        self.curve: list[dict] = []
        self.untuned: list[dict] = []
        self.windows: dict[tuple, list[np.ndarray]] = {}
        self.settings: list[dict] = []
        self.classical: dict[tuple, Result] = {}  # what the factorisation said, for the fusion with the network

    def seeds(self, name: str, model: str) -> tuple[int, ...]:
        return SEEDS[model][:1] if self.quick or (name, model) == LONG else SEEDS[model]

    def part(self, name: str, make: Callable[[], Dataset], model: str) -> None:
        """One stream with one model, from the folder if its tables are there."""
        path = None
        if self.cache is not None:
            made_by = (grid._code(), inspect.getsource(sys.modules[__name__]).partition("def claims_of")[0])
            name_of = hashlib.sha256(repr((made_by, name, model, self.quick)).encode()).hexdigest()
            path = Path(self.cache) / f"tables-{name_of}"
        if path is not None and path.exists():
            kept = pickle.loads(path.read_bytes())
        else:
            alone = Grid(self.cache, self.quick)
            alone.classical = {key: result for key, result in self.classical.items() if key[0] == name}
            alone.stream(name, make(), model)
            kept = vars(alone)
            if path is not None:
                path.with_suffix(".part").write_bytes(pickle.dumps(kept))
                path.with_suffix(".part").replace(path)
        for table in ("rows", "pairs", "curve", "untuned", "settings"):
            getattr(self, table).extend(kept[table])
        self.windows |= kept["windows"]
        self.classical |= kept["classical"]

    def say(self, what: str) -> Callable[[float], None]:
        """A bar on the screen of whoever waits."""

        def show(share: float) -> None:
            if sys.stderr.isatty():
                bar = "#" * int(30 * share)
                print(f"\r{what:60s} [{bar:30s}] {share:4.0%}", end="\n" if share >= 1 else "", file=sys.stderr)

        return show

    # --------------------------------------------------------------------------------------------- the parts

    def stream(self, name: str, dataset: Dataset, model: str) -> None:
        began = time.perf_counter()
        track = make_track(dataset, model=model, quick=self.quick)
        those = [one for one in families(track, "all") if (name, model) != LONG or one.name not in SLOW]
        warm_up(track, those)
        title = f"{name}, {model}"
        settings, tried = choose_settings(track, those, cache=self.cache, progress=self.say(f"{title}: settings"))
        self._keep_settings(name, model, tried)
        truth = dataset.events["p_purchase"].to_numpy() if "p_purchase" in dataset.events else None
        found: dict[int, dict[str, Result]] = {}
        for seed in self.seeds(name, model):
            seeded = replace(track, seed=seed)
            raced = self._race(name, seeded, settings, f"{title}: seed {seed}")
            self._standings(name, seeded, raced, truth)
            found[seed] = raced
        common = settings[GROWING]
        step = {"epochs": common["epochs"], "step_size": common["step_size"], "update_step_size": common["step_size"]}
        flat = {one: {**own, **step} if "step_size" in own and "Adam" not in one and one != FRESH else own
                for one, own in settings.items()}  # fmt: skip
        if model == "network":  # those alone of which the table speaks: a replay event by event is slow
            flat = {one: own for one, own in flat.items() if one in PLAIN}
        plain = self._race(name, track, flat, f"{title}: one step for all")
        self._untuned(name, track, found[0], plain)
        self._pairs(name, track, found, plain)
        if model == "factorization":
            self._curve(name, track, settings)
        print(f"{title}: {time.perf_counter() - began:.0f} s", flush=True)

    def _race(self, name: str, track: Track, settings: Mapping, what: str) -> dict[str, Result]:
        raced = compete(track, contenders(track, settings), cache=self.cache, progress=self.say(what))
        key = (name, track.seed, "one step" in what)
        if track.kind == "factorization":
            self.classical[key] = raced["per event"]
        elif key in self.classical and "per event" in raced:
            both = [raced["per event"], self.classical[key]]
            raced[BOTH] = fusion(both, track.events, delay=track.delay, name=BOTH)
        return raced

    def _keep_settings(self, name: str, model: str, tried: pd.DataFrame) -> None:
        for family, own in tried[tried["chosen"]].groupby("family", sort=False):
            last = own.iloc[-1].dropna().to_dict()
            metric = next(key for key in METRIC.values() if key in last)
            edges = ", ".join(filter(None, own["edge"]))
            names = ("epochs", "step_size", "update_step_size", "passes", "forget", "window")
            keep = {key: round_off(last[key]) for key in names if key in last}
            n_tried = int((tried["family"] == family).sum())
            row = {"stream": name, "model": model, "contender": family, "at the edge": edges, "tried": n_tried}
            self.settings.append({**row, "pilot": round_off(last[metric]), "settings": keep})

    def _standings(self, name: str, track: Track, raced: dict[str, Result], truth: np.ndarray | None) -> None:
        metric = METRIC[track.task]
        table = standings(track, raced, choose(raced, rng=track.rng()))
        for contender, row in table.iterrows():
            result = raced[str(contender)]
            users, blocks = ((row[f"low, {by}"], row[f"high, {by}"]) for by in ("users", "blocks"))
            self.rows.append(
                {
                    "stream": name, "model": track.kind, "contender": contender, "seed": track.seed,
                    "metric": metric, "quality": row[metric],
                    "regret": None if truth is None else mean_regret(truth[result.rows], result.scores),
                    "share of gain": row["share of gain"], "worse by": row["worse by"],
                    "over users": users, "over blocks": blocks, "tied": bool(row["tied"]),
                    "examples per event": row["examples per event"], "fits": int(row["fits"]),
                    "CPU s": round(row["CPU s"], 2), "model kB": round(row["model kB"]),
                }
            )  # fmt: skip
            by_window = quality_by_window(result, windows=WINDOWS)["quality"].to_numpy()
            self.windows.setdefault((name, track.kind, str(contender)), []).append(by_window)

    def _untuned(self, name: str, track: Track, tuned: dict[str, Result], plain: dict[str, Result]) -> None:
        for contender in (one for one in tuned if track.kind != "network" or one in PLAIN):
            untuned = quality(plain[contender]) if contender in plain else None
            self.untuned.append(
                {"stream": name, "model": track.kind, "contender": contender, "tuned": quality(tuned[contender]),
                 "one step for all": untuned}
            )  # fmt: skip

    def _pairs(self, name: str, track: Track, found: dict[int, dict[str, Result]], plain: dict[str, Result]) -> None:
        for a, b in PAIRS:
            every_seed = [_gap(replace(track, seed=seed), raced, a, b) for seed, raced in found.items()]
            if None in every_seed:
                continue
            gaps = np.array(every_seed)
            flat = _gap(track, plain, a, b)
            verdict, untuned = verdict_of(gaps), None if flat is None else verdict_of(np.array([flat]))
            self.pairs.append(
                {
                    "stream": name, "model": track.kind, "a": a, "b": b, "a better by": gaps[:, 0].mean(),
                    "low": gaps[:, 1].min(), "high": gaps[:, 2].max(), "verdict": verdict,
                    "untuned, better by": None if flat is None else flat[0], "untuned, verdict": untuned,
                }
            )  # fmt: skip

    def _curve(self, name: str, track: Track, chosen: Mapping[str, Mapping]) -> None:
        """Quality against the interval between updates, each with a step of its own, for labels at once and late."""
        fitted = chosen["per event"]
        tenth = (len(track.events) - track.start) // 10
        intervals = sorted({*(k for k in INTERVALS if k < tenth), tenth})
        for delay in DELAYS[:1] if self.quick else DELAYS:
            late = replace(track, delay=delay)
            what = f"{name}: intervals, delay {delay}"
            settings, _ = choose_settings(
                late, self._curve_families(late, intervals, fitted), cache=self.cache, progress=self.say(what)
            )
            for seed in self.seeds(name, "factorization")[: None if delay is None else 1]:
                seeded = replace(late, seed=seed)
                built = self._curve_families(seeded, intervals, fitted)
                racing = {family.name: family.build(settings[family.name]) for family in built}
                racing["frozen"] = Frozen(seeded.model(16, chosen["frozen"]))
                raced = seeded.run(racing, cache=self.cache)
                for family_name, result in raced.items():
                    self.curve.append(
                        {
                            "stream": name, "delay": delay, "seed": seed,
                            "interval": None if family_name == "frozen" else int(family_name),
                            "quality": quality(result),
                            "step": settings.get(family_name, {}).get("update_step_size"),
                        }
                    )  # fmt: skip

    @staticmethod
    def _curve_families(track: Track, intervals: list[int], fitted: Mapping) -> list[Family]:
        axes = {
            "epochs": [fitted["epochs"]],
            "step_size": [fitted["step_size"]],
            "update_step_size": [fitted["step_size"] * u for u in UPDATES],
        }

        def build(every: int, chosen: Mapping) -> Incremental:
            return Incremental(track.model(16, chosen), every=every)

        return [Family(str(k), partial(build, k), (lambda best: axes,)) for k in intervals]


def _gap(track: Track, raced: Mapping[str, Result], a: str, b: str) -> tuple[float, float, float] | None:
    """How much better a is than b, with the wider of the two intervals."""
    if a not in raced or b not in raced:
        return None
    gap = better(raced[a], raced[b], rng=track.rng())
    return float(gap.mean), float(gap.low), float(gap.high)


def verdict_of(gaps: np.ndarray) -> str:
    """Of rows (better by, low, high), one a seed: "better", "worse", "tie", or "open" where seeds disagree."""
    if (gaps[:, 1] > 0).all():
        return "better"
    if (gaps[:, 2] < 0).all():
        return "worse"
    return "tie" if ((gaps[:, 1] <= 0) & (gaps[:, 2] >= 0)).all() else "open"


def round_off(value):
    """Five digits are more than the intervals can tell apart."""
    if isinstance(value, tuple):
        return [round_off(one) for one in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{value:.5g}")
    return value


def rounded(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame([{key: round_off(value) for key, value in row.items()} for row in rows])


def claims_of(pairs: pd.DataFrame) -> dict[str, bool]:
    """What the intervals of all seeds must bear out; of parts that were left out nothing is claimed."""

    def holds(a: str, b: str, *streams: str, model: str | None = None, verdict: str = "better", of: str = "") -> bool:
        own = pairs[(pairs["a"] == a) & (pairs["b"] == b)]
        if streams:
            own = own[own["stream"].isin(streams)]
        if model:
            own = own[own["model"] == model]
        return len(own) > 0 and bool((own[f"{of}verdict"] == verdict).all())

    labels, mf = ("bookstore", "movielens", "movietweetings"), "factorization"
    every = ", on each stream and with each model"
    with_labels = ", with factorisation on the bookstore, MovieLens and MovieTweetings ratings"
    return {
        **{f"{a} beats the frozen model{every}": holds(a, "frozen") for a in ("per event", WINDOW, GROWING, "hybrid")},
        f"per event beats growing full retrains{with_labels}": holds("per event", GROWING, *labels, model=mf),
        f"per event beats sliding full retrains{with_labels}": holds("per event", SLIDING, *labels, model=mf),
        f"the hybrid beats growing full retrains{with_labels}": holds("hybrid", GROWING, *labels, model=mf),
        f"a fusion with the baselines beats per event{with_labels}": holds("fusion", "per event", *labels, model=mf),
        f"to rehearse two old events beside each new one is worse than not to{with_labels}": holds(
            "per event", "per event, rehearsing", *labels, model=mf
        ),
        "running means beat the factorisation per event on MovieTweetings ratings": holds(
            "per event", "running means", "movietweetings", model=mf, verdict="worse"
        ),
        "personal frequency beats the factorisation per event on baskets": holds(
            "per event", "personal frequency", "complete journey", verdict="worse"
        ),
        "with the step of full retrains for all, per event is worse than growing full retrains on the bookstore": holds(
            "per event", GROWING, "bookstore", model=mf, verdict="worse", of="untuned, "
        ),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", help="a folder for finished replays; without it none is kept")
    parser.add_argument("--jobs", type=int, default=1, help="replays that run at once")
    parser.add_argument("--only", help="streams and models, as in 'movielens,network;bookstore,factorization'")
    parser.add_argument("--without", default="", help="streams and models that are left out of what is written")
    parser.add_argument("--quick", action="store_true", help="2,500 rows, one seed, nothing written: for a test")
    chosen = parser.parse_args(arguments)

    whole = Grid(chosen.cache, chosen.quick)
    only = {tuple(pair.rsplit(",", 1)) for pair in chosen.only.split(";")} if chosen.only else None
    without = [tuple(pair.rsplit(",", 1)) for pair in chosen.without.split(";") if pair]
    with joblib.parallel_config(n_jobs=chosen.jobs):
        for name, make in streams(2_500 if chosen.quick else None).items():
            for model in SEEDS:
                # The network's fusion wants what the factorisation said.
                wanted = not only or (name, model) in only or (model == "factorization" and (name, "network") in only)
                if wanted and (name, model) not in without and not (model == "network" and name in RANKINGS):
                    whole.part(name, make, model)
    table, pairs = rounded(whole.rows), rounded(whole.pairs)
    if chosen.quick or only:
        print(pairs.to_string())
        print(table.drop(columns=["over users", "over blocks"]).to_string())
        print(rounded(whole.curve).to_string())
        print(rounded(whole.untuned).to_string())
        print(pd.DataFrame(whole.settings).to_string())
        return
    windows = [
        {"stream": name, "model": model, "contender": contender,
         "quality": [round_off(float(value)) for value in np.mean(values, axis=0)]}
        for (name, model, contender), values in whole.windows.items()
    ]  # fmt: skip
    described = {
        "seeds": SEEDS, "exposures": EXPOSURES, "households": HOUSEHOLDS, "intervals": INTERVALS,
        "delays": DELAYS, "past": 0.4, "windows": WINDOWS, "left out": without,
    }  # fmt: skip
    more = {
        "pairs": pairs,
        "curve": rounded(whole.curve),
        "untuned": rounded(whole.untuned),
        "chosen": pd.DataFrame(whole.settings),
        "windows": pd.DataFrame(windows),
    }
    finish(
        "updating_grid", table.set_index(["stream", "model", "contender", "seed"]), claims_of(pairs), described,
        ("numpy", "numba", "pandas", "scipy", "joblib"), more=more,
    )  # fmt: skip


if __name__ == "__main__":
    main()
