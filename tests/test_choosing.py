"""The benchmark of choosing: deciders and scores on small tables, and that the committed file is what it says."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import choosing
from benchmarks.common import RESULTS, mean_regret

RULES = {name: make for name, make in choosing.RULES.items() if "forest" not in name}  # which takes its time


def small(n=12, seed=0):
    """Streams on which 'hybrid' is best where new items are many, and 'per event' elsewhere."""
    rng = np.random.default_rng(seed)
    names = [f"s{k}" for k in range(n)]
    many = np.arange(n) % 2 == 1
    streams = pd.DataFrame({name: rng.normal(size=n) for name in choosing.PROPERTIES}, index=names)
    streams["new items"] = np.where(many, 10.0, -10.0)
    streams["group"], streams["task"], streams["kind"], streams["delay"] = names, "binary", "none", None
    streams["pilot"], streams["pilot, best"] = "per event", "hybrid"
    streams.index.name = "stream"
    rows = [
        {"stream": name, "candidate": candidate, "later quality": quality, "regret": quality - 0.4,
         "examples per event": cost}
        for name, is_many in zip(names, many, strict=True)
        for candidate, quality, cost in (
            ("frozen", 0.6, 0), ("per event", 0.55 if is_many else 0.5, 1), ("hybrid", 0.5 if is_many else 0.55, 30)
        )
    ]  # fmt: skip
    return pd.DataFrame(rows), streams


def test_gaps_are_shares_of_the_best_whichever_way_is_better():
    rows, streams = small(2)
    gap = choosing.gaps(rows, streams)
    np.testing.assert_allclose(gap.loc["s0"], [0.2, 0.0, 0.1])  # in the order of the candidates
    streams.loc["s1", "task"] = "ranking"  # there 0.6 is the best
    np.testing.assert_allclose(choosing.gaps(rows, streams).loc["s1"], [0.0, 0.05 / 0.6, 0.1 / 0.6])
    rows.loc[0, "later quality"] = None  # diverged
    assert choosing.gaps(rows, streams).loc["s0", "frozen"] == 1.0


def test_a_rule_learns_from_the_others_alone_what_there_is_to_learn():
    rows, streams = small()
    gap = choosing.gaps(rows, streams)
    named = choosing.decide(gap, streams, RULES)
    best = ["per event", "hybrid"] * 6
    assert named["rule: tree"].tolist() == best
    # What a rule says of a stream does not depend on how the candidates did there.
    other = gap.copy()
    other.loc["s3"] = other.loc["s3"].to_numpy()[::-1]
    again = choosing.decide(other, streams, RULES)
    rules = [name for name in named if name.startswith("rule")]
    assert (again.loc["s3", rules] == named.loc["s3", rules]).all()
    # A stream and the same one with late labels leave together.
    streams.loc[["s3", "s4"], "group"] = "both"
    other.loc["s4"] = other.loc["s4"].to_numpy()[::-1]
    first, second = choosing.decide(gap, streams, RULES), choosing.decide(other, streams, RULES)
    assert (first.loc[["s3", "s4"], rules] == second.loc[["s3", "s4"], rules]).all(axis=None)


def test_scores_are_those_of_what_was_named():
    rows, streams = small()
    gap = choosing.gaps(rows, streams)
    named = choosing.decide(gap, streams, RULES)
    found = choosing.scores(rows, streams, gap, named)
    table = choosing.summarise(found, streams)
    assert table.loc["pilot", "within 1 %"] == 0.5 and table.loc["rule: tree", "within 1 %"] == 1.0
    assert table.loc["always frozen", "mean gap %"] == pytest.approx(20)
    assert table.loc["always frozen", "gain lost %"] == pytest.approx(100)
    assert table.loc["pilot", "gain lost %"] == pytest.approx(25)  # half of the gain on half of the streams
    assert table.loc["pilot", "examples per event"] == 1
    assert table.loc["pilot", "within 1 %, low"] < 0.5 < table.loc["pilot", "within 1 %, high"]
    ahead = choosing.differences(found, streams)
    assert ahead.loc[("pilot", "rule: tree"), "within 1 %"] == -0.5


def test_regret_is_nothing_for_the_truth_and_more_for_anything_else():
    truth = np.array([0.1, 0.9])
    assert mean_regret(truth, truth) == pytest.approx(0)
    by_hand = (0.1 * np.log(0.1 / 0.2) + 0.9 * np.log(0.9 / 0.8)) / 2
    assert mean_regret(truth, np.array([0.2, 0.9])) == pytest.approx(by_hand)
    entropy = -(truth * np.log(truth) + (1 - truth) * np.log(1 - truth))
    assert mean_regret(truth, np.full(2, 0.5)) == pytest.approx(np.log(2) - entropy.mean())


@pytest.fixture(scope="module")
def committed():
    return json.loads((RESULTS / "choosing.json").read_text(encoding="utf-8"))


def test_the_committed_streams_are_those_that_are_drawn(committed):
    recipes = {one.name: one.recipe for one in choosing.simulated()}
    stored = {one["stream"]: one for one in committed["streams"] if one["kind"] != "real"}
    assert len(recipes) >= 36 and list(stored) == list(recipes)
    for name, recipe in recipes.items():
        assert {key: stored[name][key] for key in recipe} == recipe


def test_the_committed_scores_follow_from_the_committed_rows(committed):
    rows = pd.DataFrame(committed["rows"])
    streams = pd.DataFrame(committed["streams"]).set_index("stream")
    named = pd.DataFrame(committed["named"]).set_index("stream")
    gap = choosing.gaps(rows, streams)
    again = choosing.summarise(choosing.scores(rows, streams, gap, named), streams)
    table = pd.DataFrame(committed["table"]).set_index("decider")
    pd.testing.assert_frame_equal(again, table, atol=2e-4)
    always = [name for name in named if name.startswith(("always", "pilot"))]
    assert (choosing.decide(gap, streams, {})[always] == named[always]).all(axis=None)
    assert committed["claims"] and all(committed["claims"].values())
