"""Two models, and many, on one stream: exact small cases, a second implementation, and how often each is wrong."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys_course.metrics.comparisons import benjamini_hochberg, compare_losses, holm, sign_flip_p, time_blocks
from recsys_course.metrics.intervals import group_interval

some_p_values = hnp.arrays(float, st.integers(1, 30), elements=st.floats(0, 1))


def test_sign_flips_equal_all_of_them():
    rng = np.random.default_rng(0)
    users = rng.integers(8, size=60)
    difference = rng.normal(0.3, 1, size=60) + rng.normal(size=8)[users]
    sums = np.bincount(users, weights=difference)
    every = [abs(np.dot(signs, sums)) for signs in itertools.product([-1, 1], repeat=8)]
    exact = np.mean(np.array(every) >= abs(sums.sum()) - 1e-9)
    found = sign_flip_p(difference, users, rng=rng, samples=20_000)
    assert found == pytest.approx(exact, abs=0.015)


def test_sign_flips_equal_scipy_where_each_row_is_a_group():
    rng = np.random.default_rng(1)
    difference = rng.normal(0.25, 1, size=50)
    theirs = scipy.stats.permutation_test(
        (difference,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    ).pvalue
    assert sign_flip_p(difference, np.arange(50), rng=rng, samples=20_000) == pytest.approx(theirs, abs=0.02)


def test_the_p_value_is_as_often_small_as_it_says():
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(40), 15)
    small = {"user": 0, "row": 0}
    for _ in range(200):
        difference = rng.normal(size=40)[users] + rng.normal(size=600)
        small["user"] += sign_flip_p(difference, users, rng=rng, samples=200) <= 0.05
        small["row"] += sign_flip_p(difference, np.arange(600), rng=rng, samples=200) <= 0.05
    assert 2 <= small["user"] <= 20  # ten are expected
    assert small["row"] > 60


def test_a_comparison_is_paired_and_signed():
    rng = np.random.default_rng(3)
    users = rng.integers(30, size=500)
    hard = 10 * rng.normal(size=500)  # what is hard for both drops out
    a, b = hard + rng.normal(size=500), hard + 0.5 + rng.normal(size=500)
    found = compare_losses(a, b, users, rng=np.random.default_rng(0))
    assert found[:3] == group_interval(a - b, users, rng=np.random.default_rng(0))
    assert found.high < 0 and found.p_value < 0.01 and found.n_groups == 30
    same = compare_losses(a, a, users, rng=rng)
    assert same[:4] == (0, 0, 0, 1)


@given(p=some_p_values)
def test_holm_equals_its_definition(p):
    m, order = len(p), np.argsort(p, kind="stable")
    want = np.empty(m)
    for k in range(m):
        want[order[k]] = min(1.0, max((m - j) * p[order[j]] for j in range(k + 1)))
    found = holm(p)
    np.testing.assert_allclose(found, want, atol=1e-12)
    assert (found >= p).all() and (found <= np.minimum(1, m * p) + 1e-12).all()  # never above Bonferroni


@given(p=some_p_values)
def test_benjamini_hochberg_equals_scipy(p):
    np.testing.assert_allclose(benjamini_hochberg(p), scipy.stats.false_discovery_control(p), atol=1e-12)
    assert (benjamini_hochberg(p) <= holm(p) + 1e-12).all()


def test_holm_keeps_the_chance_of_one_false_find():
    rng = np.random.default_rng(4)
    families = rng.random((2000, 20))
    plain = np.mean([(p < 0.05).any() for p in families])
    corrected = np.mean([(holm(p) < 0.05).any() for p in families])
    assert 0.58 < plain < 0.70 and corrected < 0.065


def test_blocks_of_time():
    times = np.array([86_000, 86_399, 172_400, 600_000])
    assert time_blocks(times, "1D").tolist() == [0, 0, 1, 5]
    assert len(time_blocks([], "1D")) == 0
    with pytest.raises(ValueError, match="row 1"):
        time_blocks([5, 4], "1D")
    with pytest.raises(ValueError, match="at least one second"):
        time_blocks([1, 2], "0s")


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="same events"):
        compare_losses([1.0, 2.0], [1.0], [1, 2], rng=rng)
    with pytest.raises(ValueError, match="row 1"):
        compare_losses([1.0, np.nan], [1.0, 1.0], [1, 2], rng=rng)
    with pytest.raises(ValueError, match="two groups"):
        sign_flip_p([1.0, 2.0], [1, 1], rng=rng)
    with pytest.raises(ValueError, match="shape"):
        sign_flip_p([1.0, 2.0], [1], rng=rng)
    with pytest.raises(ValueError, match="samples"):
        sign_flip_p([1.0, 2.0], [1, 2], rng=rng, samples=0)
    for correct in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match="p-value 1"):
            correct([0.5, 1.5])
        with pytest.raises(ValueError, match="shape"):
            correct([[0.5]])
