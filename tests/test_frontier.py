"""The figure of chapter 09b and the README: shares, the frontier, and where names stand."""

import itertools
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from benchmarks.common import RESULTS
from recsys_course import plot
from recsys_course.contenders import BASELINES
from recsys_course.frontier import frontier, grid_panel, on_the_frontier, panel

points = st.lists(st.tuples(st.integers(0, 20), st.integers(-5, 5)), min_size=1, max_size=12)


@given(points)
def test_nobody_on_the_frontier_is_beaten_and_everybody_else_is(drawn):
    cost, share = np.array(drawn, float).T
    mask = on_the_frontier(cost, share)
    for k in range(len(cost)):
        better = (cost <= cost[k]) & (share >= share[k]) & ((cost < cost[k]) | (share > share[k]))
        twin = (cost[:k] == cost[k]) & (share[:k] == share[k])
        assert mask[k] == (not better.any() and not twin.any())


def test_costs_that_hardly_differ_are_one_cost():
    assert on_the_frontier([0.99, 1.0], [0.5, 0.9]).tolist() == [False, True]


def test_shares_run_from_frozen_to_the_best_learner_and_the_best_baseline_is_the_line():
    loss = {"frozen": 4.0, "per event": 2.0, "hybrid": 3.0, "running means": 1.0, "biases only": 3.5}
    made = panel(
        "p", loss, {"frozen": 0, "per event": 1, "hybrid": 90}, ("running means", "biases only"), {"hybrid": (2.8, 3.4)}
    )
    assert made.marks["share"].to_dict() == {"frozen": 0.0, "per event": 1.0, "hybrid": 0.5}
    assert made.marks.loc["hybrid", ["low", "high"]].tolist() == pytest.approx([0.3, 0.6])
    assert (made.baseline, made.baseline_share) == ("running means", 1.5)


def test_without_a_start_or_a_gain_there_are_no_shares():
    with pytest.raises(ValueError, match="frozen"):
        panel("p", {"per event": 1.0}, {"per event": 1}, ())
    with pytest.raises(ValueError, match="gains"):
        panel("p", {"frozen": 1.0, "per event": 1.0}, {"frozen": 0, "per event": 1}, ())


def rows(metric, quality, regret=None):
    return pd.DataFrame(
        [
            {"contender": name, "seed": seed, "metric": metric, "quality": value + 0.01 * seed, "examples per event": k,
             "regret": None if regret is None else regret[name], "over users": [0.0, 0.1], "over blocks": [-0.1, 0.2]}
            for seed in (0, 1)
            for k, (name, value) in enumerate(quality.items())
        ]
    )  # fmt: skip


def test_each_metric_has_its_unit():
    squares = grid_panel("p", rows("RMSE", {"frozen": 2.0, "per event": 1.0, "hybrid": 1.5}), ())
    assert squares.marks.at["hybrid", "share"] == pytest.approx((4.0501 - 2.2650 - 0.0001) / 3.01, abs=0.02)
    recall = grid_panel("p", rows("recall@10", {"frozen": 0.1, "per event": 0.3, "hybrid": 0.2}), ())
    assert recall.marks.at["hybrid", "share"] == pytest.approx(0.5)
    known = {"frozen": 1.0, "per event": 0.0, "hybrid": 0.75}
    regret = grid_panel("p", rows("log loss", {"frozen": 2.0, "per event": 1.0, "hybrid": 1.1}, known), ())
    assert regret.marks.at["hybrid", "share"] == pytest.approx(0.25)
    assert regret.marks.at["per event", "low"] == pytest.approx(0.8)  # the wider end of both intervals
    assert regret.marks.at["per event", "high"] == pytest.approx(1.1)


def test_a_name_stands_nearest_to_its_own_mark_on_every_panel_of_the_readme():
    plot.use_style()
    table = pd.DataFrame(json.loads((RESULTS / "updating_grid.json").read_text(encoding="utf-8"))["table"])
    own = table[table["model"] == "factorization"]
    fig = frontier([grid_panel(str(name), rows, BASELINES) for name, rows in own.groupby("stream")])
    try:
        for ax in fig.axes[:5]:
            mine = [text for text in ax.texts if text.get_style() != "italic"]  # not the baseline's, which has no mark
            marks = np.array([ax.transData.transform(text.xy) for text in mine])
            assert len(mine) >= 9
            for text, mark in zip(mine, marks, strict=True):
                renderer = fig.canvas.get_renderer()
                text.update_positions(renderer)
                box = Text.get_window_extent(text, renderer)  # without the line to its mark
                far = np.hypot(*(np.clip(marks, box.min, box.max) - marks).T)
                own_far = far[(marks == mark).all(axis=1)].min()
                apart = np.hypot(*(marks - mark).T) > 12
                assert not (far[apart] < own_far - 4).any(), text.get_text()
    finally:
        plt.close(fig)


def test_names_cover_neither_each_other_nor_marks():
    plot.use_style()
    loss = {
        "frozen": 2.0,
        "per event": 1.02,
        "every day": 1.05,
        "hybrid": 1.0,
        "ensemble": 1.01,
        "fusion": 1.1,
    }
    cost = {"frozen": 0, "per event": 1, "every day": 1, "hybrid": 90, "ensemble": 92, "fusion": 3}
    fig = frontier([panel("one", loss | {"counts": 0.9}, cost, ("counts",))])
    try:
        ax = fig.axes[0]
        renderer = fig.canvas.get_renderer()
        names = [text.get_text() for text in ax.texts]
        assert sorted(names) == ["counts", "daily", "ensemble", "frozen", "fusion", "hybrid", "per event"]
        boxes = [text.get_window_extent(renderer) for text in ax.texts]
        # An annotation's extent reaches to its mark where a line leads there: those are left out.
        alone = [box for box, text in zip(boxes, ax.texts, strict=True) if text.arrow_patch is None]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(alone, 2))
    finally:
        plt.close(fig)
