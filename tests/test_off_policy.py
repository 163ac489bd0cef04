"""Values from logs: against the exact expectation of small worlds, against another form, and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys_course.data.bookstore import Bookstore, BookstoreConfig
from recsys_course.metrics.off_policy import (
    effective_sample_size,
    importance_weights,
    ips_value,
    naive_value,
    self_normalised_value,
)

some_weights = hnp.arrays(float, st.integers(1, 50), elements=st.floats(0.01, 1000))


def small_world(seed):
    """One context, five things to show: both policies and the chance of a purchase of each."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5)), rng.random(5)


@given(seed=st.integers(0, 10_000), clip=st.floats(0.1, 10))
def test_expectation_over_a_log_of_one_row(seed, clip):
    logging, target, p = small_world(seed)
    weights = importance_weights(target, logging)
    # Every outcome of one row, with its probability: shown thing, bought or not.
    mean = sum(logging[k] * p[k] * ips_value([1.0], weights[k : k + 1]) for k in range(5))
    assert mean == pytest.approx(target @ p)
    clipped = importance_weights(target, logging, clip=clip)
    bias = sum(logging[k] * p[k] * ips_value([1.0], clipped[k : k + 1]) for k in range(5)) - target @ p
    assert bias == pytest.approx(-np.maximum(target - clip * logging, 0) @ p, abs=1e-12)


def test_bias_and_spread_over_many_logs():
    logging, target, p = small_world(1)
    rng = np.random.default_rng(0)
    n, values = 500, []
    for _ in range(2000):
        shown = rng.choice(5, size=n, p=logging)
        rewards = (rng.random(n) < p[shown]).astype(float)
        weights = importance_weights(target[shown], logging[shown])
        values.append((ips_value(rewards, weights), self_normalised_value(rewards, weights)))
    ips, own = np.array(values).T
    value = target @ p
    sd = np.sqrt((target @ (target / logging * p) - value**2) / n)
    assert ips.std() == pytest.approx(sd, rel=0.06)
    assert abs(ips.mean() - value) < 4 * sd / np.sqrt(2000)
    assert abs(own.mean() - value) < 0.01


def test_the_log_of_the_bookstore_tells_another_policy():
    config = BookstoreConfig.stationary(n_users=50, n_books=40, new_users_per_day=0, new_books_per_day=0)
    world = Bookstore(np.random.default_rng(0), config)
    users = np.arange(50)
    books, _ = world.policy(users, config.start)
    p = world.p_purchase(users[:, None], books[None, :], config.start)
    estimates, naive, truth = [], [], []
    for day in range(40):
        log = world.day(day)
        target = np.full(len(log), 1 / 40)
        weights = importance_weights(target, log["propensity"])
        estimates.append(ips_value(log["label"], weights))
        naive.append(naive_value(log["label"], target))
        truth.append(p.mean(axis=1)[log["user"]].mean())
    gap = np.mean(estimates) - np.mean(truth)
    assert abs(gap) < 4 * np.std(estimates) / np.sqrt(40)
    assert np.mean(naive) - np.mean(truth) > 0.03


@given(weights=some_weights, scale=st.floats(0.1, 100), seed=st.integers(0, 100))
def test_self_normalised_is_a_weighted_mean_whatever_the_scale(weights, scale, seed):
    rewards = np.random.default_rng(seed).normal(size=len(weights))
    value = self_normalised_value(rewards, weights)
    assert value == pytest.approx(np.average(rewards, weights=weights), abs=1e-9)
    assert value == pytest.approx(self_normalised_value(rewards, scale * weights), abs=1e-9)
    assert value == pytest.approx(ips_value(rewards, weights) / weights.mean(), abs=1e-9)


@given(weights=some_weights, scale=st.floats(0.1, 100))
def test_effective_sample_size(weights, scale):
    size = effective_sample_size(weights)
    assert 1 - 1e-9 <= size <= len(weights) * (1 + 1e-9)
    assert size == pytest.approx(effective_sample_size(scale * weights))
    assert effective_sample_size(np.ones(len(weights))) == pytest.approx(len(weights))
    assert effective_sample_size([1e300, 1e300]) == pytest.approx(2)


def test_naive_is_the_mean_of_the_rows_in_which_a_policy_without_chance_agrees():
    assert naive_value([1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]) == 0.5


def test_bad_propensities_are_named():
    with pytest.raises(ValueError, match=r"row 1 is 0\.0"):
        importance_weights([0.5, 0.5], [0.5, 0.0])
    with pytest.raises(ValueError, match="row 0 is nan"):
        importance_weights([0.5], [np.nan])
    with pytest.raises(ValueError, match=r"row 0 is 20\.0"):
        importance_weights([0.5], [20.0])
    with pytest.raises(ValueError, match="target of row 1"):
        importance_weights([0.5, -0.1], [0.5, 0.5])
    with pytest.raises(ValueError, match="shape"):
        importance_weights([0.5], [0.5, 0.5])
    for clip in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="clip"):
            importance_weights([0.5], [0.5], clip=clip)


def test_bad_rewards_and_weights_are_named():
    for value in (ips_value, self_normalised_value):
        with pytest.raises(ValueError, match="reward of row 1"):
            value([1.0, np.nan], [1.0, 1.0])
        with pytest.raises(ValueError, match="weight of row 0"):
            value([1.0], [-1.0])
        with pytest.raises(ValueError, match="shape"):
            value([1.0], [1.0, 1.0])
        with pytest.raises(ValueError, match="at least one"):
            value([], [])
    for empty in (lambda: self_normalised_value([1.0], [0.0]), lambda: effective_sample_size([0.0])):
        with pytest.raises(ValueError, match="all weights are zero"):
            empty()
