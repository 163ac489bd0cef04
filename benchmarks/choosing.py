"""How well does one choose a way of updating? Streams that nothing was tuned on, and several ways to decide.

There are 36 simulated bookstores, drawn from one seeded generator, six of each kind of drift (none, slow, fast,
sudden, seasonal, all of them), half with labels that come a day late; and four real streams, each with and without
that delay. On each, ten candidates, all of one factorisation, have their settings chosen on the later half of the
first 40 %, and run over it (the pilot); then they run over the other 60 %, which nothing has seen. A decider names one
candidate before that part begins, and is scored on it:

- *pilot*: the cheapest of those that are tied with the best in the pilot; *pilot, best*: the best, whatever it costs.
- *always X*: the same on each stream. The strongest of these in hindsight is a decider nobody could have had.
- *rules*, which know properties of the stream and not how candidates did: how fast the error of a frozen model grows
  in the pilot, shares of new users and items, events per user and item, the delay, the length. They are fitted on all
  other streams (a real stream's two delays leave together): nearest neighbours, a small tree, a forest; and the
  plainest, which takes what was best on average on the others.

Scores: the share of streams on which the choice is within 1 % of the best candidate (its RMSE or log loss at most 1 %
higher, its recall at most 1 % lower), and the mean gap to it. On simulated streams also regret, the mean divergence
from the true probability: the share within 1 % and within 10 % of the least regret, and the share of what the best
candidate gains on the frozen one that is lost by the choice. Intervals resample streams.

The claims were written after two runs. In the first each contender chose its first fit for itself; in the second, as
now, all that learn on begin with the fit of full retrains (:mod:`recsys_course.tuning`). What changed its sign between
the two is not claimed: taking the best of the pilot lost least in the first, and not in the second. The first is kept
in ``results/choosing_own_fits.json``; commit eecc0ba of this repository made it.

``python -m benchmarks.choosing --jobs 2 --cache FOLDER`` goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from benchmarks.common import as_ranking, finish, mean_regret
from recsys_course import data
from recsys_course.contenders import Family, contenders, families
from recsys_course.data.bookstore import BookstoreConfig, bookstore
from recsys_course.data.dataset import Dataset
from recsys_course.metrics.intervals import Interval, group_interval
from recsys_course.pilot import choose
from recsys_course.replay import Result
from recsys_course.report import METRIC, per_event, quality
from recsys_course.track import Track, make_track
from recsys_course.tuning import choose_settings, warm_up

SEED = 12
KINDS = ("none", "slow", "fast", "sudden", "seasonal", "all")
STREAMS_A_KIND = 6
CANDIDATES = (
    "frozen", "biases only", "per event", "per event, rehearsing", "in windows", "every day",
    "full retrain, growing", "full retrain, sliding", "warm retrain", "hybrid",
)  # fmt: skip
PROPERTIES = (
    "error growth", "new users", "new items", "log events per user", "log events per item", "log delay", "log past",
)  # fmt: skip


@dataclass(frozen=True)
class Stream:
    """One held-out stream: how to make it, and how late its labels are. ``group`` is its name without the delay."""

    name: str
    group: str
    kind: str
    delay: str | None
    make: Callable[[], Dataset]
    recipe: dict


# ----------------------------------------------------------------------------------------------- the streams


def simulated() -> list[Stream]:
    """The bookstores: :func:`simulate` makes one of its recipe."""
    rng = np.random.default_rng(SEED)
    out = []
    for number in range(len(KINDS) * STREAMS_A_KIND):
        kind = KINDS[number % len(KINDS)]
        delay = ("1D", None)[number // len(KINDS) % 2]
        n_events, seed, config = _draw(rng, kind)
        recipe: dict[str, Any] = {"n_events": n_events, "seed": seed, "config": config}
        name = f"{number:02d} {kind}" + (", a day late" if delay else "")
        out.append(Stream(name, name, kind, delay, partial(simulate, **recipe), recipe))
    return out


def simulate(n_events: int, seed: int, config: dict) -> Dataset:
    """What a row of the table ``streams`` describes, made with the library alone."""
    return bookstore(n_events, rng=np.random.default_rng(seed), config=BookstoreConfig.stationary(**config))


def _draw(rng: np.random.Generator, kind: str) -> tuple[int, int, dict]:
    """Sizes and effects are drawn for each kind of drift alike; what drifts, and how fast, is the kind's."""

    def between(low: float, high: float, digits: int = 2) -> float:
        return round(float(rng.uniform(low, high)), digits)

    def wide(low: float, high: float) -> int:
        return int(np.exp(rng.uniform(np.log(low), np.log(high))))

    n_events, days = 1000 * wide(20, 50), int(rng.integers(30, 91))
    users, books = wide(100, 1000), wide(60, 500)
    config: dict[str, Any] = {
        "events_per_day": round(n_events / days),
        "n_users": users,
        "n_books": books,
        # Nobody joins in a third of the worlds; elsewhere up to as many again as there were.
        "new_users_per_day": round(max(0.0, float(rng.uniform(-0.5, 1))) * users / days, 3),
        "new_books_per_day": round(max(0.0, float(rng.uniform(-0.5, 1))) * books / days, 3),
        "n_tastes": int(rng.integers(2, 6)),
        "taste_strength": between(0.5, 3),
        "user_bias_sd": between(0.1, 0.8),
        "appeal_sd": between(0.1, 0.8),
    }
    gradual = {"slow": (1.5, 4.0), "fast": (0.25, 1.0), "all": (0.5, 3.0)}
    if kind in gradual:
        # In how many lengths of the stream a taste has become an unrelated one.
        config["taste_drift_days"] = round(days * between(*gradual[kind]), 1)
        config["appeal_drift_days"] = round(days * between(*gradual[kind]), 1)
    if kind in ("sudden", "all"):
        # At most one a third, so that they increase; some come before the pilot ends, some after.
        thirds = sorted(rng.choice(3, size=int(rng.integers(1, 4)), replace=False))
        config["sudden_days"] = [round(days * (0.2 + 0.25 * (int(third) + between(0, 0.9))), 1) for third in thirds]
        config["sudden_user_share"] = between(0.3, 0.9)
        config["sudden_category_sd"] = between(0.2, 1)
    if kind in ("seasonal", "all"):
        config["week_effect"] = between(0.2, 1.2)
        config["year_effect"] = between(0.2, 1.5)
    return n_events, int(rng.integers(2**31)), config


def real() -> list[Stream]:
    """Four streams, each at once and a day late; those of MovieTweetings are left out where it cannot be had."""
    makers: dict[str, Callable[[], Dataset]] = {"MovieLens": data.movielens, "Complete Journey": baskets}
    if data.available("movietweetings"):
        makers |= {
            "MovieTweetings, ratings": data.movietweetings,
            "MovieTweetings, ranking": lambda: as_ranking(data.movietweetings()),
        }
    out = []
    for group, make in makers.items():
        for delay in (None, "1D"):
            name = group + (", a day late" if delay else "")
            out.append(Stream(name, group, "real", delay, make, {"n_events": 0, "seed": 0, "config": {}}))
    return out


def baskets() -> Dataset:
    """The shopping of 350 households."""
    whole = data.complete_journey()
    some = np.sort(whole.events["user"].unique())[:350]
    return replace(whole, events=whole.events[whole.events["user"].isin(some)].reset_index(drop=True))


# ------------------------------------------------------------------------------------------- on each stream


def track_of(dataset: Dataset, delay: str | None, events_per_day: int | None = None) -> Track:
    """As ``recsys-course race`` would race on it, but that a simulated stream is retrained once a day.

    Of rankings fewer settings are tried, and one event in four is scored, or this would take hours; all are learned.
    """
    ranking = dataset.card.task == "ranking"
    track = make_track(dataset, delay=delay, quick=ranking)
    if ranking:
        track = replace(track, score_every=max(4, track.score_every))
    return track if events_per_day is None else replace(track, retrain_every=events_per_day)


def candidates_of(track: Track) -> list[Family]:
    """The families that are tuned here: what others begin with comes along."""
    return [family for family in families(track, "all") if _plain(track, family.name) in CANDIDATES]


def _plain(track: Track, name: str) -> str:
    """Windows hold 1,000 events, or 1 % of a stream below 50,000: one name for all streams."""
    return "in windows" if name == f"every {track.window:,} events" else name


# ---------------------------------------------------------------------------------------------- one stream's rows


def race_on(stream: Stream, cache: str | None = None) -> tuple[list[dict], dict]:
    """A row for each candidate, and one of what is known of the stream before the scored part begins."""
    dataset = stream.make()
    track = track_of(dataset, stream.delay, stream.recipe["config"].get("events_per_day"))
    those = candidates_of(track)
    warm_up(track, those)
    tuned, _ = choose_settings(track, those, cache=cache)
    racing = contenders(track, tuned)
    piloted, raced = (track.run(racing, part, cache=cache) for part in ("past", "race"))
    settings = {_plain(track, name): tuned[name] for name in racing}
    piloted, raced = ({_plain(track, name): one for name, one in part.items()} for part in (piloted, raced))
    sign = -1 if track.task == "ranking" else 1
    named = {
        "pilot": choose(piloted, rng=np.random.default_rng(0)).name,
        "pilot, best": choose(piloted, rng=np.random.default_rng(0), thrifty=False).name,
    }
    truth = dataset.events["p_purchase"].to_numpy() if "p_purchase" in dataset.events else None
    rows = []
    for name in settings:
        early, later = piloted.get(name), raced.get(name)
        row = {
            "stream": stream.name,
            "candidate": name,
            "pilot quality": quality(early) if early else None,
            "later quality": quality(later) if later else None,
            "regret": mean_regret(truth[later.rows], later.scores) if later and truth is not None else None,
            "examples per event": later.examples_per_event if later else None,
            "CPU s": round(later.cost.cpu_seconds, 3) if later else None,
            "pilot examples": early.cost.examples if early else None,
        }
        rows.append(row | {"settings": settings[name]})
    about = {
        "stream": stream.name,
        "group": stream.group,
        "kind": stream.kind,
        "task": track.task,
        "metric": METRIC[track.task],
        "delay": stream.delay,
        "events": len(track.events),
        "retrain every": track.retrain_every,
        "window": track.window,
        **stream.recipe,
        **properties(track, piloted["frozen"], sign),
        **named,
    }
    return rows, about


def properties(track: Track, frozen: Result, sign: int) -> dict[str, float]:
    """What a rule may know. All of it is seen in the past, and it asks no candidate but the frozen one."""
    past = track.past
    halfway = int(frozen.rows[0])
    before, pilot = past.iloc[:halfway], past.iloc[halfway:]
    value = per_event(frozen)["value"].to_numpy()
    third = len(value) // 3
    first, last = value[:third].mean(), value[-third:].mean()
    growth = sign * (last - first) / max(first, 1e-9)
    days = (past["timestamp"].iloc[-1] - past["timestamp"].iloc[0]) / 86_400
    late = len(past) / days if track.delay else 0.0  # events that one day's delay holds back
    out = {
        "error growth": growth,
        "new users": 1 - pilot["user"].isin(before["user"]).mean(),
        "new items": 1 - pilot["item"].isin(before["item"]).mean(),
        "log events per user": np.log(len(past) / past["user"].nunique()),
        "log events per item": np.log(len(past) / past["item"].nunique()),
        "log delay": np.log1p(late),
        "log past": np.log(len(past)),
    }
    return {name: round(float(value), 4) for name, value in out.items()}


# ---------------------------------------------------------------------------------------------------- deciders


def gaps(rows: pd.DataFrame, streams: pd.DataFrame) -> pd.DataFrame:
    """How far each candidate is behind the best of its stream, as a share of the best; one row a stream.

    One that diverged is as far behind as can be: by one.
    """
    value = rows.pivot(index="stream", columns="candidate", values="later quality").loc[streams.index]
    value = value.astype(float)
    ranking = (streams["task"] == "ranking").to_numpy()[:, None]
    best = np.where(ranking[:, 0], value.max(axis=1), value.min(axis=1))[:, None]
    gap = np.where(ranking, best - value, value - best) / best
    return (
        pd.DataFrame(gap, index=value.index, columns=value.columns)
        .fillna(1.0)
        .clip(upper=1.0)[[name for name in CANDIDATES if name in value]]
    )


RULES: dict[str, Callable[[], Any]] = {
    "rule: 7 nearest streams": lambda: make_pipeline(StandardScaler(), KNeighborsRegressor(7, weights="distance")),
    "rule: tree": lambda: DecisionTreeRegressor(max_depth=3, min_samples_leaf=4, random_state=0),
    "rule: forest": lambda: RandomForestRegressor(300, min_samples_leaf=2, random_state=0),
}


def decide(gap: pd.DataFrame, streams: pd.DataFrame, rules: dict[str, Callable[[], Any]] = RULES) -> pd.DataFrame:
    """What each decider names on each stream: streams x deciders."""
    out = pd.DataFrame(index=gap.index)
    out["pilot"], out["pilot, best"] = streams["pilot"], streams["pilot, best"]
    for name in gap.columns:
        out[f"always {name}"] = name
    # Of gaps beyond a tenth it matters little how large they are, and a mean would see nothing else.
    known, target = streams[list(PROPERTIES)].to_numpy(float), gap.clip(upper=0.1)
    for name in ("rule: best on the others", *rules):
        out[name] = ""
    for group in streams["group"].unique():
        own = (streams["group"] == group).to_numpy()
        mean = target[~own].mean()
        out.loc[own, "rule: best on the others"] = mean.idxmin()
        for name, make in rules.items():
            model = make().fit(known[~own], target[~own].to_numpy())
            best = model.predict(known[own]).argmin(axis=1)
            out.loc[own, name] = gap.columns[best].to_numpy()
    return out


def scores(
    rows: pd.DataFrame, streams: pd.DataFrame, gap: pd.DataFrame, named: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """For each score a table, streams x deciders; of regret with simulated streams only."""

    def of(table: pd.DataFrame) -> pd.DataFrame:
        """What the named candidates have in a table of streams x candidates."""
        at = table.columns.get_indexer_for
        return named.loc[table.index].apply(
            lambda column: pd.Series(table.to_numpy()[np.arange(len(table)), at(column)], index=table.index)
        )

    true = rows.dropna(subset="regret").pivot(index="stream", columns="candidate", values="regret")
    true = true.loc[[name for name in streams.index if name in true.index]].astype(float)
    chosen, least, frozen = of(true), true.min(axis=1), true["frozen"]
    return {
        "within 1 %": (of(gap) <= 0.01).astype(float),
        "mean gap %": of(gap) * 100,
        "regret within 1 %": chosen.le(1.01 * least, axis=0).astype(float),
        "regret within 10 %": chosen.le(1.1 * least, axis=0).astype(float),
        "excess regret": chosen.sub(least, axis=0),
        "gain": (frozen - least).to_frame(),
        "examples per event": of(
            rows.pivot(index="stream", columns="candidate", values="examples per event").loc[streams.index]
        ),
    }


def interval(values: pd.Series, streams: pd.DataFrame) -> Interval:
    return group_interval(
        values.to_numpy(), streams.loc[values.index, "group"].to_numpy(), rng=np.random.default_rng(0), samples=2000
    )


def summarise(found: dict[str, pd.DataFrame], streams: pd.DataFrame) -> pd.DataFrame:
    """One row a decider: each score with its interval."""
    out = {}
    for decider in found["within 1 %"]:
        row: dict[str, float] = {}
        for score in ("within 1 %", "mean gap %", "regret within 1 %", "regret within 10 %"):
            row[score], row[f"{score}, low"], row[f"{score}, high"] = interval(found[score][decider], streams)
        # A ratio of sums: where next to nothing can be gained, a stream's own ratio says nothing.
        row["gain lost %"] = 100 * found["excess regret"][decider].sum() / found["gain"].to_numpy().sum()
        row["examples per event"] = found["examples per event"][decider].mean()
        out[decider] = row
    return pd.DataFrame.from_dict(out, orient="index").rename_axis("decider").round(4)


def differences(found: dict[str, pd.DataFrame], streams: pd.DataFrame) -> pd.DataFrame:
    """The scores of both pilots minus those of every decider, paired by stream, with intervals."""
    out = []
    for pilot in ("pilot", "pilot, best"):
        for decider in found["within 1 %"].columns.drop(pilot):
            row: dict[str, Any] = {"pilot": pilot, "decider": decider}
            for score in ("within 1 %", "mean gap %", "regret within 1 %", "regret within 10 %"):
                difference = found[score][pilot] - found[score][decider]
                row[score], row[f"{score}, low"], row[f"{score}, high"] = interval(difference, streams)
            out.append(row)
    return pd.DataFrame(out).set_index(["pilot", "decider"]).round(4)


def by_kind(found: dict[str, pd.DataFrame], streams: pd.DataFrame) -> pd.DataFrame:
    """Share within 1 % of the best, by kind of drift and by delay."""
    share = found["within 1 %"]
    kind = streams["kind"].where(streams["kind"] == "real", "drift: " + streams["kind"])
    delay = np.where(streams["delay"].isna(), "labels at once", "labels a day late")
    parts = {"all": np.full(len(streams), "all"), "kind": kind, "delay": delay}
    table = pd.concat([share.groupby(np.asarray(part)).mean() for part in parts.values()])
    return table.rename_axis("part").round(3)


PLAIN = (
    "always per event", "always every day", "always in windows", "always full retrain, growing",
    "always full retrain, sliding",
)  # fmt: skip


def claims(summary: pd.DataFrame, ahead: pd.DataFrame) -> dict[str, bool]:
    """What holds beyond the streams' chance, and what the numbers do not show."""
    thrifty = ahead.loc["pilot"]
    rules = [name for name in summary.index if name.startswith("rule")]
    share, examples = summary["within 1 %"], summary["examples per event"].to_dict()
    low, high = thrifty["mean gap %, low"].to_dict(), thrifty["mean gap %, high"].to_dict()
    level = ["pilot, best", "always hybrid", *rules]
    return {
        "the pilot loses less than each of per event, windows, every day, full retrain, always": all(
            high[name] < 0 for name in PLAIN
        ),
        "it learns fewer than 0.6 of the examples that always hybrid learns": bool(
            examples["pilot"] < 0.6 * examples["always hybrid"]
        ),
        "no rule is within 1 % on fewer streams than always per event": bool(
            share[rules].min() >= share.to_dict()["always per event"]
        ),
        "not shown: by mean gap, the pilot is not told apart from taking its best, always hybrid, or any rule": all(
            low[name] <= 0 <= high[name] for name in level
        ),
    }


# ------------------------------------------------------------------------------------------------------- the run


def main() -> None:
    arguments = argparse.ArgumentParser(description="How well does one choose a way of updating?")
    arguments.add_argument("--jobs", type=int, default=1, help="streams at once")
    arguments.add_argument("--cache", help="a folder that keeps finished replays")
    arguments.add_argument("--only", help="streams whose name holds this; nothing is written")
    given = arguments.parse_args()
    chosen = [one for one in (*simulated(), *real()) if not given.only or given.only in one.name]
    rows: dict[str, list[dict]] = {}
    about: dict[str, dict] = {}
    work = (joblib.delayed(race_on)(stream, given.cache) for stream in chosen)
    for own, known in joblib.Parallel(n_jobs=given.jobs, return_as="generator_unordered")(work):
        rows[known["stream"]], about[known["stream"]] = own, known
        print(f"{len(about)}/{len(chosen)} {known['stream']}: pilot {known['pilot']}", flush=True)
    streams = pd.DataFrame([about[one.name] for one in chosen]).set_index("stream")
    table = pd.DataFrame([row for one in chosen for row in rows[one.name]])
    if given.only:
        print(table.drop(columns="settings").to_string())
        print(streams.drop(columns="config").T.to_string())
        return
    gap = gaps(table, streams)
    named = decide(gap, streams)
    found = scores(table, streams, gap, named)
    summary = summarise(found, streams)
    ahead = differences(found, streams)
    print(ahead.to_string())
    described = {
        "seed": SEED,
        "simulated streams": int((streams["kind"] != "real").sum()),
        "real streams": int((streams["kind"] == "real").sum()),
        "past": 0.4,
        "pilot": "the later half of the past",
        "candidates": list(CANDIDATES),
        "CPU minutes of the scored part": round(table["CPU s"].sum() / 60, 1),
    }
    more = {
        "streams": streams.reset_index(),
        "rows": table,
        "named": named.reset_index(),
        "pilots minus": ahead.reset_index(),
        "by kind": by_kind(found, streams).reset_index(),
    }
    packages = ("numpy", "numba", "pandas", "scikit-learn")
    finish("choosing", summary, claims(summary, ahead), described, packages, more=more)


if __name__ == "__main__":
    main()
