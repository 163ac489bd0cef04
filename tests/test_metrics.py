"""Metrics, candidates and the report: worked by hand, by a second implementation, by properties."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from test_replay import baskets, rankers, ratings

from recsys_course import plot
from recsys_course.candidates import find_candidates, rank_among
from recsys_course.metrics import block_interval, log_loss, ndcg, recall, rmse, user_interval
from recsys_course.metrics.intervals import group_interval, naive_interval
from recsys_course.models import MatrixFactorization, RunningMeans
from recsys_course.replay import replay
from recsys_course.report import better, compare, per_event, quality, quality_by_window, summary
from recsys_course.strategies import Frozen, Incremental


def test_losses_equal_scikit_learn():
    rng = np.random.default_rng(0)
    y, p = rng.integers(2, size=200).astype(float), rng.random(200)
    assert rmse(y, p) == pytest.approx(sklearn.metrics.root_mean_squared_error(y, p))
    assert log_loss(y, p) == pytest.approx(sklearn.metrics.log_loss(y, p))


@pytest.mark.parametrize("loss", [rmse, log_loss])
def test_losses_refuse_what_would_broadcast_or_hide(loss):
    with pytest.raises(ValueError, match="shape"):
        loss([1.0, 0.0], [[0.5], [0.5]])
    with pytest.raises(ValueError, match="no labels"):
        loss([], [])
    with pytest.raises(ValueError, match="missing"):
        loss([1.0, 0.0], [0.5, np.nan])


def test_log_loss_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="0 or 1"):
        log_loss([0.5], [0.5])
    with pytest.raises(ValueError, match="between 0 and 1"):
        log_loss([1.0], [1.5])


@given(seed=st.integers(0, 1000), k=st.integers(1, 12))
def test_ranking_metrics_equal_scikit_learn_and_sets(seed, k):
    rng = np.random.default_rng(seed)
    n_items = 12
    for _ in range(3):
        scores = rng.permutation(n_items).astype(float)
        taken = rng.choice(n_items, size=rng.integers(1, 6), replace=False)
        ranks = [rank_among(scores, item) for item in taken]
        events = np.zeros(len(taken))
        top = set(np.argsort(-scores)[:k])
        assert recall(ranks, events, k)[0] == len(top & set(taken)) / len(taken)
        relevance = np.isin(np.arange(n_items), taken).astype(float)
        assert ndcg(ranks, events, k)[0] == pytest.approx(sklearn.metrics.ndcg_score([relevance], [scores], k=k))


def test_ranking_metrics_by_hand():
    # Event 1 takes the items at places 1 and 3 and one that nobody knew; event 2 one at place 11.
    ranks, events = [0, 2, np.inf, 10], [1, 1, 1, 2]
    assert recall(ranks, events, 10).tolist() == [2 / 3, 0]
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    np.testing.assert_allclose(ndcg(ranks, events, 10), [(1 + 1 / np.log2(4)) / best, 0])
    for metric in (recall, ndcg):
        with pytest.raises(ValueError, match="k must be"):
            metric(ranks, events, 0)
        with pytest.raises(ValueError, match="missing or negative"):
            metric([-1, 0, 0, 0], events, 3)


def test_equal_scores_share_their_places():
    assert [rank_among(np.array([5.0, 5.0, 1.0]), code) for code in range(4)] == [0.5, 0.5, 2.0, np.inf]


@pytest.mark.parametrize("exclude_had", [False, True])
@pytest.mark.parametrize("kind", ["films", "baskets"])
def test_candidates_against_a_slow_version(kind, exclude_had):
    stream = ratings().assign(label=1.0) if kind == "films" else baskets()
    contest = find_candidates(stream, exclude_had=exclude_had)
    for group, (first, last) in enumerate(zip(contest.group_starts, contest.group_ends, strict=True)):
        row = stream.iloc[first]
        before = stream[stream["timestamp"] < row["timestamp"]]
        assert set(contest.items[: contest.n_seen[group]]) == set(before["item"])
        had = before.loc[before["user"] == row["user"], "item"] if exclude_had else []
        mine = contest.had[contest.had_start[group] : contest.had_stop[group]]
        assert sorted(contest.items[mine]) == sorted(set(had))
        assert (contest.items[contest.code[first:last]] == stream["item"].iloc[first:last]).all()
        assert contest.groups_in(first, last) == (group, group + 1)


def test_baskets_that_are_none_are_refused():
    good = baskets()
    split = good.copy()
    split.loc[len(split) - 1, "event"] = 0
    with pytest.raises(ValueError, match="event 0"):
        find_candidates(split, exclude_had=False)
    shared = good.copy()
    inside = int(np.flatnonzero(np.diff(good["event"]) == 0)[0]) + 1
    shared.loc[inside, "user"] = 99
    with pytest.raises(ValueError, match="more than one user"):
        find_candidates(shared, exclude_had=False)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = {"group": 0, "naive": 0}
    for _ in range(200):
        users = np.repeat(np.arange(40), 15)
        values = rng.normal(size=40)[users] + rng.normal(size=600)
        for name, interval in (
            ("group", group_interval(values, users, rng=rng, samples=300)),
            ("naive", naive_interval(values)),
        ):
            inside[name] += interval.low < 0 < interval.high
    assert 175 <= inside["group"] <= 200
    assert inside["naive"] < 120


def test_very_many_groups_are_put_together_and_the_interval_stays():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(25_000), 2)
    values = rng.normal(size=25_000)[users] + 0.1 * rng.normal(size=50_000)
    interval = group_interval(values, users, rng=rng, samples=200)
    # The standard error of a mean of 25,000 independent numbers with a deviation of 1.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 25_000**0.5, rel=0.2)
    assert interval.mean == values.mean()


def test_intervals_refuse_what_they_cannot_do():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two groups"):
        user_interval([1.0, 2.0], ["ann", "ann"], rng=rng)
    with pytest.raises(ValueError, match="shape"):
        user_interval([1.0, 2.0], ["ann"], rng=rng)
    with pytest.raises(ValueError, match="blocks"):
        block_interval([1.0, 2.0], blocks=3, rng=rng)


def results():
    model = MatrixFactorization(2, epochs=2, rng=np.random.default_rng(0))
    return [replay(ratings(), make(model), task="rating") for make in (Frozen, Incremental)]


def test_windows_add_up_to_the_whole():
    result = results()[1]
    table = quality_by_window(result, windows=7)
    assert table["events"].sum() == len(result.rows)
    whole = np.sqrt((table["quality"] ** 2 * table["events"]).sum() / table["events"].sum())
    assert whole == pytest.approx(quality(result)) == pytest.approx(rmse(result.labels, result.scores))
    with pytest.raises(ValueError, match="windows"):
        quality_by_window(result, windows=0)


def test_a_ranking_is_reported_per_basket():
    stream = baskets()
    result = replay(stream, Incremental(rankers()["popularity"]), task="ranking")
    values = per_event(result)
    assert len(values) == stream["event"].iloc[result.rows].nunique()
    assert quality(result) == pytest.approx(recall(result.scores, result.events, 10).mean())


def test_compare_is_paired_and_signed():
    frozen, online = results()
    gap = compare(online, frozen, by="user", rng=np.random.default_rng(0))
    expected = (online.labels - online.scores) ** 2 - (frozen.labels - frozen.scores) ** 2
    assert gap.mean == pytest.approx(expected.mean())
    assert gap.low < gap.mean < gap.high
    same = compare(frozen, frozen, by="block", rng=np.random.default_rng(0))
    assert same == (0, 0, 0)
    with pytest.raises(ValueError, match="'user' or 'block'"):
        compare(frozen, online, by="item", rng=np.random.default_rng(0))


def test_better_is_compare_with_its_sign_and_the_wider_interval():
    frozen, online = results()
    generator = np.random.default_rng(0)
    both = {by: compare(online, frozen, by=by, rng=np.random.default_rng(0)) for by in ("user", "block")}
    for by, gap in both.items():
        assert better(online, frozen, by=by, rng=generator) == (-gap.mean, -gap.high, -gap.low)  # drawn alike each time
    wider = max(both, key=lambda by: both[by].high - both[by].low)
    assert better(online, frozen, rng=generator) == better(online, frozen, by=wider, rng=generator)


def test_what_was_not_scored_on_the_same_rows_is_not_compared():
    model = RunningMeans()
    a = replay(ratings(), Frozen(model), task="rating")
    b = replay(ratings(), Frozen(model), task="rating", warmup=0.6)
    with pytest.raises(ValueError, match="same rows"):
        summary([a, b])
    with pytest.raises(ValueError, match="no results"):
        summary([])


def test_figures_say_what_they_show():
    import matplotlib

    matplotlib.use("Agg")
    plot.use_style()
    ax = plot.quality_over_time(results())
    assert "events" in ax.get_xlabel() and "stars" in ax.get_ylabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["frozen", "incremental, per event"]
    looks = {(line.get_linestyle(), line.get_marker()) for line in ax.get_lines()}
    assert len(looks) == len(ax.get_lines()), "told apart by colour alone"
    matplotlib.pyplot.close(ax.figure)


def test_summary_has_cost_beside_quality():
    table = summary(results())
    assert table.columns[0] == "RMSE" and "CPU s" not in table
    assert "CPU s" in summary(results(), timing=True)
    assert table.loc["frozen", "examples per event"] == 0
    assert isinstance(table, pd.DataFrame)
