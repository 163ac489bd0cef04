"""Means along a stream: worked by hand, beside a plain loop, pandas and River, and by properties."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from river import stats, utils

from recsys_course.metrics.streams import cumulative_mean, fading_factor, fading_mean, window_mean

losses_of_a_stream = hnp.arrays(float, st.integers(1, 60), elements=st.floats(-100, 100, width=32))


@given(losses=losses_of_a_stream, window=st.integers(1, 80))
def test_window_equals_a_plain_loop_and_pandas(losses, window):
    loop = [np.mean(losses[max(0, t + 1 - window) : t + 1]) for t in range(len(losses))]
    found = window_mean(losses, window)
    np.testing.assert_allclose(found, loop, rtol=0, atol=1e-10)
    rolling = pd.Series(losses).rolling(window, min_periods=1).mean()
    np.testing.assert_allclose(found, rolling, rtol=0, atol=1e-10)


def test_window_equals_river():
    losses = np.random.default_rng(0).normal(size=300)
    river, theirs = utils.Rolling(stats.Mean, window_size=37), []
    for loss in losses:
        river.update(loss)
        theirs.append(river.get())
    np.testing.assert_allclose(window_mean(losses, 37), theirs, atol=1e-12)


@given(losses=losses_of_a_stream, factor=st.floats(0.01, 1.0))
def test_fading_equals_the_recursion_of_the_paper(losses, factor):
    s = n = 0.0
    loop = []
    for loss in losses:
        s, n = loss + factor * s, 1 + factor * n
        loop.append(s / n)
    np.testing.assert_allclose(fading_mean(losses, factor), loop, rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [2, 10, 250])
def test_fading_equals_pandas_with_the_span_of_the_window(window):
    losses = np.random.default_rng(1).normal(size=500)
    theirs = pd.Series(losses).ewm(span=window, adjust=True).mean()
    np.testing.assert_allclose(fading_mean(losses, fading_factor(window)), theirs, atol=1e-12)


@pytest.mark.parametrize("window", [1, 7, 100])
def test_the_factor_fits_the_window_in_age_and_in_variance(window):
    factor = fading_factor(window)
    weight = factor ** np.arange(10_000)
    weight /= weight.sum()
    assert weight @ np.arange(10_000) == pytest.approx((window - 1) / 2)
    assert (weight**2).sum() == pytest.approx(1 / window)


@given(losses=losses_of_a_stream, window=st.integers(1, 80), factor=st.floats(0.01, 1.0))
def test_means_stay_between_the_losses_and_know_no_future(losses, window, factor):
    cut = len(losses) // 2
    changed = losses.copy()
    changed[cut:] += 1000
    for mean in (cumulative_mean, lambda x: window_mean(x, window), lambda x: fading_mean(x, factor)):
        found = mean(losses)
        assert found.shape == losses.shape
        assert losses.min() - 1e-6 <= found.min() and found.max() <= losses.max() + 1e-6
        np.testing.assert_array_equal(mean(changed)[:cut], found[:cut])


def test_what_forgets_nothing_is_the_cumulative_mean():
    losses = np.random.default_rng(2).normal(size=100)
    np.testing.assert_allclose(window_mean(losses, 1000), cumulative_mean(losses), atol=1e-12)
    np.testing.assert_allclose(fading_mean(losses, 1.0), cumulative_mean(losses), atol=1e-12)


def test_a_huge_loss_leaves_nothing_behind():
    losses = np.ones(1000)
    losses[10] = 1e18  # a running sum that adds and subtracts would keep its rounding error for ever
    assert (window_mean(losses, 20)[30:] == 1.0).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="row 1 "):
        window_mean([1.0, np.nan], 2)
    with pytest.raises(ValueError, match="row 0 "):
        fading_mean([np.inf], 0.9)
    with pytest.raises(ValueError, match="shape"):
        cumulative_mean([[1.0]])
    with pytest.raises(ValueError, match="window"):
        window_mean([1.0], 0)
    with pytest.raises(ValueError, match="window"):
        fading_factor(0)
    for factor in (0.0, 1.1, np.nan):
        with pytest.raises(ValueError, match="factor"):
            fading_mean([1.0], factor)
    assert len(window_mean([], 5)) == len(fading_mean([], 0.5)) == len(cumulative_mean([])) == 0
