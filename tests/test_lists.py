"""Metrics of lists: by hand, beside scikit-learn, by properties, and where they are easily left to accident."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_course.candidates import rank_among
from recsys_course.metrics import coverage, novelty, ranks_of, top_k
from recsys_course.metrics.ranking import average_precision, hit_rate, ndcg, precision, recall, reciprocal_rank

METRICS = (hit_rate, precision, recall, average_precision, reciprocal_rank, ndcg)
tables = st.tuples(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 9), st.booleans())


def a_table(seed, n_rows, n_items, ties):
    """Scores, and the pairs that should be found: each row has at least one."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (n_rows, n_items)).astype(float) if ties else rng.random((n_rows, n_items))
    scores[rng.random(scores.shape) < 0.1] = -np.inf if ties else 0.5 / (1 + rng.random())
    right = rng.random(scores.shape) < 0.3
    right[np.arange(n_rows), rng.integers(n_items, size=n_rows)] = True
    return scores, right, rng


@settings(deadline=None)
@given(tables)
def test_ranks_equal_those_of_the_replay(case):
    scores, right, rng = a_table(*case)
    excluded = rng.random(scores.shape) < 0.3
    rows, items = np.nonzero(right)
    for out in (None, excluded):
        expected = [
            rank_among(scores[r], i, None if out is None else np.flatnonzero(out[r]))
            for r, i in zip(rows, items, strict=True)
        ]
        assert ranks_of(scores, rows, items, excluded=out).tolist() == expected


def test_ranks_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="give"):
        ranks_of([0.1, 0.2], [0], [0])
    with pytest.raises(ValueError, match="missing"):
        ranks_of([[0.1, np.nan]], [0], [0])
    with pytest.raises(ValueError, match="excluded"):
        ranks_of([[0.1, 0.2]], [0], [0], excluded=[[True]])


def test_five_items_by_hand():
    ranks, events = [0, 2], [1, 1]  # the first and the third of five are right
    assert [m(ranks, events, 3)[0] for m in METRICS[:3]] == [1, 2 / 3, 1]
    assert average_precision(ranks, events, 3)[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert average_precision(ranks, events, 1)[0] == 1, "one place, and a right item in it: nothing could be better"
    assert reciprocal_rank([2, 4], events, 3)[0] == pytest.approx(1 / 3)
    assert ndcg(ranks, events, 3)[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))


@settings(deadline=None)
@given(tables, st.integers(1, 12))
def test_without_ties_they_equal_scikit_learn(case, k):
    scores, right, _ = a_table(*case[:3], False)
    scores += np.arange(scores.shape[1]) * 1e-9  # no two are equal
    rows, items = np.nonzero(right)
    ranks = ranks_of(scores, rows, items)
    if scores.shape[1] > 1:
        each = [sklearn.metrics.ndcg_score([r], [s], k=k) for r, s in zip(right.astype(float), scores, strict=True)]
        np.testing.assert_allclose(ndcg(ranks, rows, k), each)
    whole = [sklearn.metrics.average_precision_score(r, s) for r, s in zip(right, scores, strict=True)]
    np.testing.assert_allclose(average_precision(ranks, rows, 100), whole)
    best = np.argsort(-scores, axis=1)[:, :k]
    hits = np.take_along_axis(right, best, axis=1).sum(axis=1)
    np.testing.assert_allclose(hit_rate(ranks, rows, k), hits > 0)
    np.testing.assert_allclose(precision(ranks, rows, k), hits / k)
    np.testing.assert_allclose(recall(ranks, rows, k), hits / right.sum(axis=1))
    first = np.argmax(np.take_along_axis(right, np.argsort(-scores, axis=1), axis=1), axis=1)
    np.testing.assert_allclose(reciprocal_rank(ranks, rows, k), np.where(first < k, 1 / (first + 1), 0))


@settings(deadline=None)
@given(tables, st.integers(1, 12))
def test_properties(case, k):
    scores, right, rng = a_table(*case)
    n_items = scores.shape[1]
    rows, items = np.nonzero(right)
    ranks = ranks_of(scores, rows, items)
    np.testing.assert_array_equal(ranks_of(np.arctan(scores) * 2 + 1, rows, items), ranks)
    people = rng.permutation(len(scores))
    for metric in METRICS:
        values = metric(ranks, rows, k)
        assert values.shape == (len(scores),) and (values >= 0).all() and (values <= 1 + 1e-12).all()
        assert (metric(ranks, -rows, k) == values[::-1]).all(), "in the order of event numbers"
        shuffled = rng.permutation(len(rows))
        np.testing.assert_allclose(metric(ranks[shuffled], people[rows][shuffled], k), values[np.argsort(people)])
        beyond = metric(ranks, rows, n_items + k)
        same = metric(ranks, rows, n_items)
        if metric is precision:
            beyond = beyond * (n_items + k) / n_items
        np.testing.assert_allclose(beyond, same, err_msg="beyond the catalogue nothing is found")
    for metric in (hit_rate, recall, reciprocal_rank):
        assert (metric(ranks, rows, k) <= metric(ranks, rows, k + 1) + 1e-12).all(), "a longer list finds no less"


@settings(deadline=None)
@given(tables, st.integers(1, 9))
def test_ndcg_and_average_precision_are_1_for_the_best_list_and_no_other(case, k):
    scores, right, _ = a_table(*case[:3], False)
    scores += np.arange(scores.shape[1]) * 1e-9
    rows, items = np.nonzero(right)
    ranks = ranks_of(scores, rows, items)
    top = np.take_along_axis(right, np.argsort(-scores, axis=1)[:, :k], axis=1)
    best = top.sum(axis=1) == np.minimum(right.sum(axis=1), k)  # and none of the wrong ones between
    best &= np.array([not (np.diff(row.astype(int)) > 0).any() for row in top])
    for metric in (ndcg, average_precision):
        np.testing.assert_array_equal(np.isclose(metric(ranks, rows, k), 1), best)


@pytest.mark.parametrize("metric", METRICS)
def test_right_items_that_share_their_places_stand_side_by_side(metric):
    # Two right items fill the first two places: the ranks are 0.5 and 0.5, the value that of 0 and 1.
    for k in (1, 2, 3):
        assert metric([0.5, 0.5], [1, 1], k) == metric([0, 1], [1, 1], k), k
    # Two right ones among four of one score: places 1 and 2, the middle ones.
    assert metric([1.5, 1.5, 7], [1, 1, 1], 2) == metric([1, 2, 7], [1, 1, 1], 2)
    # Those of another event, and misses, which are equal too, are no neighbours.
    np.testing.assert_array_equal(metric([3, 3], [1, 2], 5), np.repeat(metric([3], [1], 5), 2))
    assert metric([0, np.inf, np.inf], [1] * 3, 5) == metric([0, 90, 91], [1] * 3, 5)


def test_a_constant_stands_in_the_middle():
    ranks = ranks_of(np.zeros((1, 101)), [0], [3])
    assert ranks == [50] and recall(ranks, [0], 10) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_no_events_and_bad_ones(metric):
    assert metric([], [], 10).shape == (0,)
    with pytest.raises(ValueError, match="k must be"):
        metric([0], [1], 0)
    with pytest.raises(ValueError, match="missing or negative"):
        metric([np.nan], [1], 3)
    with pytest.raises(ValueError, match="shape"):
        metric([0, 1], [1], 3)


@settings(deadline=None)
@given(tables, st.integers(1, 12))
def test_a_list_holds_the_best_and_what_it_lacks_is_minus_one(case, k):
    scores, excluded, _ = a_table(*case)
    lists = top_k(scores, k, excluded=excluded)
    assert lists.shape == (len(scores), k)
    for row, out, best in zip(scores, excluded, lists, strict=True):
        allowed = [i for i in range(len(row)) if not out[i] and row[i] > -np.inf]
        expected = sorted(allowed, key=lambda i: (-row[i], i))[:k]
        assert best.tolist() == expected + [-1] * (k - len(expected))
    shown = set(lists[lists >= 0].tolist())
    assert coverage(lists, scores.shape[1]) == len(shown) / scores.shape[1]


def test_novelty_is_the_bits_of_a_share():
    values = novelty([[0, 1], [2, -1], [-1, -1]], takers=[8, 4, 0], n_users=8)
    np.testing.assert_array_equal(values, [0.5, 3, np.nan])  # never taken counts as taken once, no list has no value


def test_lists_refuse_what_they_cannot_be():
    with pytest.raises(ValueError, match="integers"):
        coverage([[0.5]], 3)
    with pytest.raises(ValueError, match="between 0 and 2"):
        coverage([[3]], 3)
    with pytest.raises(ValueError, match="number of users"):
        novelty([[0]], takers=[9], n_users=8)
    with pytest.raises(ValueError, match="k must"):
        top_k([[0.1]], 0)
    with pytest.raises(ValueError, match="missing"):
        top_k([[np.nan]], 1)
