"""The pilot: it sees the first part alone, and chooses the cheapest of those that are tied with the best."""

import numpy as np
import pandas as pd
import pytest

from recsys_course.models import MatrixFactorization, Popularity, RunningMeans
from recsys_course.pilot import choose, pilot
from recsys_course.replay import replay
from recsys_course.report import compare, quality
from recsys_course.strategies import Frozen, Incremental, PeriodicRetrain


def drifting(n=3000, seed=0, drift=1.0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"user": rng.integers(30, size=n), "item": rng.integers(20, size=n)})
    return table.assign(label=drift * np.arange(n) / 1000 + rng.normal(size=n), timestamp=np.arange(n))


def candidates():
    return {
        "never": Frozen(RunningMeans()),
        "each event": Incremental(RunningMeans()),
        "now and then": PeriodicRetrain(RunningMeans(), every=200),
    }


def rng():
    return np.random.default_rng(0)


def raced(stream, **options):
    return {name: replay(stream, strategy, task="rating", **options) for name, strategy in candidates().items()}


def test_the_best_is_chosen_and_the_table_says_by_how_much():
    results = raced(drifting())
    choice = choose(results, rng=rng())
    assert choice.name == choice.best == "each event"
    table = choice.table
    assert table.index[0] == "each event"
    assert table["RMSE"].is_monotonic_increasing
    for name, result in results.items():
        assert table.at[name, "RMSE"] == quality(result)
        mean = compare(result, results["each event"], by="user", rng=rng()).mean
        assert table.at[name, "worse by"] == pytest.approx(mean)
    row = table.loc["never"]
    assert 0 < row["low"] < row["worse by"] < row["high"] and not row["tied"]
    assert "each event" in choice.reason and "no other" in choice.reason


def test_cost_decides_among_the_tied_and_only_there():
    standing = raced(drifting(drift=0.0))
    choice = choose(standing, rng=rng())
    tied = choice.table[choice.table["tied"]]
    assert choice.name == tied["examples per event"].idxmin() == "never"
    assert len(tied) > 1
    assert choose(standing, rng=rng(), thrifty=False).name == choice.best
    assert choose(raced(drifting()), rng=rng()).name == "each event"  # never is cheaper still, and not tied


def test_a_higher_recall_is_better():
    r = rng()
    n = 2000
    items = np.where(np.arange(n) < n // 2, r.integers(0, 40, n), r.integers(20, 60, n))
    stream = pd.DataFrame({"user": r.integers(50, size=n), "item": items, "label": 1.0, "timestamp": np.arange(n)})
    results = {
        kind.__name__: replay(stream, kind(Popularity(window=200)), task="ranking", exclude_had=False)
        for kind in (Frozen, Incremental)
    }
    choice = choose(results, rng=rng())
    assert choice.best == "Incremental"
    assert choice.table.at["Frozen", "worse by"] > 0
    assert (
        choice.table.at["Frozen", "low"] <= choice.table.at["Frozen", "worse by"] <= choice.table.at["Frozen", "high"]
    )


def test_the_pilot_sees_the_first_part_alone():
    stream = drifting()
    poisoned = stream.copy()
    poisoned.loc[900:, ["label", "user"]] = [99.0, -1]
    first, second = (pilot(s, candidates(), task="rating", share=0.3, rng=rng()) for s in (stream, poisoned))
    pd.testing.assert_frame_equal(first.table, second.table)
    expected = choose(raced(stream.iloc[:900], warmup=0.5), rng=rng())
    pd.testing.assert_frame_equal(first.table, expected.table)


def test_options_reach_the_replay():
    stream = drifting()
    plain, late = (pilot(stream, candidates(), task="rating", rng=rng(), **o) for o in ({}, {"delay": 100}))
    assert (plain.table["RMSE"] != late.table["RMSE"]).any()


def test_mistakes_are_named():
    stream = drifting()
    with pytest.raises(ValueError, match="no results"):
        choose({}, rng=rng())
    with pytest.raises(ValueError, match="share must"):
        pilot(stream, candidates(), task="rating", share=0.0, rng=rng())
    binary = stream.assign(label=(stream["label"] > 1).astype(float))
    logistic = MatrixFactorization(0, loss="logistic", rng=rng())
    both = raced(stream) | {"other": replay(binary, Frozen(logistic), task="binary")}
    with pytest.raises(ValueError, match="different tasks"):
        choose(both, rng=rng())
