"""Bandits: the compiled loops against River's and plain ones, and what they are known to do."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import bandit, proba

from recsys_course.bandits import epsilon_greedy, linucb, regret, thompson, thompson_on_log, ucb
from recsys_course.metrics.catalogue import gini

P = np.array([0.5, 0.4, 0.3, 0.2, 0.1])


def still(n, p=P):
    return np.tile(p, (n, 1))


def test_ucb_pulls_what_a_plain_loop_pulls():
    """With rewards of 0 and 1 for certain nothing is left to chance but ties, which the assertion allows for."""
    p = still(400, np.array([1.0, 0.0, 0.0]))
    pulled = ucb(p, np.random.default_rng(0))
    n, total = np.zeros(3), np.zeros(3)
    for step, arm in enumerate(pulled):
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = np.where(n > 0, total / n + np.sqrt(2 * np.log(max(step, 1)) / n), np.inf)
        assert bound[arm] == pytest.approx(bound.max(), abs=1e-12) or bound[arm] == bound.max()
        n[arm] += 1
        total[arm] += p[step, arm]


@pytest.mark.parametrize("forget", [1.0, 0.9])
def test_without_exploration_epsilon_greedy_pulls_a_best_mean(forget):
    """River's takes the first of equals, which favours the arm that is named first; ours draws lots."""
    p = (np.random.default_rng(0).random((300, 4)) < 0.4) * 1.0
    pulled = epsilon_greedy(p, np.random.default_rng(1), epsilon=0.0, forget=forget)
    n, total = np.zeros(4), np.zeros(4)
    for row, arm in zip(p, pulled, strict=True):
        mean = np.divide(total, n, out=np.zeros(4), where=n > 0)
        assert mean[arm] == pytest.approx(mean.max(), abs=1e-12)
        n, total = n * forget, total * forget
        n[arm] += 1
        total[arm] += row[arm]
    first = [epsilon_greedy(p[:1], np.random.default_rng(s), epsilon=0.0)[0] for s in range(40)]
    assert len(np.unique(first)) == 4


@pytest.mark.parametrize(
    ("ours", "rivers"),
    [
        (ucb, lambda s: bandit.UCB(delta=1, seed=s)),
        (thompson, lambda s: bandit.ThompsonSampling(reward_obj=proba.Beta(), seed=s)),
    ],
)
def test_regret_is_rivers_on_average(ours, rivers):
    n, runs = 600, 60
    mine = [regret(still(n), ours(still(n), np.random.default_rng(s))).sum() for s in range(runs)]
    theirs = []
    for seed in range(runs):
        policy, luck, lost = rivers(seed), random.Random(1000 + seed), 0.0
        for _ in range(n):
            arm = policy.pull(list(range(5)))
            policy.update(arm, float(luck.random() < P[arm]))
            lost += P.max() - P[arm]
        theirs.append(lost)
    error = np.hypot(np.std(mine), np.std(theirs)) / np.sqrt(runs)
    assert abs(np.mean(mine) - np.mean(theirs)) < 4 * error
    assert error < 0.15 * np.mean(theirs)


def test_linucb_with_noise_is_rivers_step_by_step():
    """Certain rewards, and contexts that break ties: both must pull the same from each arm's second pull on."""
    rng = np.random.default_rng(0)
    contexts = rng.normal(size=(300, 3))
    p = (rng.random((300, 4)) < 0.5) * 1.0
    pulled = linucb(contexts, p, np.random.default_rng(1), noise=1.0)
    policy, unpulled = bandit.LinUCBDisjoint(seed=0), set(range(4))
    same = 0
    for x, row, arm in zip(contexts, p, pulled, strict=True):
        context = dict(enumerate(x))
        if arm in unpulled:  # equals among arms never pulled are drawn by lot
            unpulled.discard(arm)
        else:
            said = policy.pull(list(range(4)), context=context)
            assert said == arm or said in unpulled
            same += said == arm
        policy.update(int(arm), context, float(row[arm]))
    assert same > 280


def test_linucb_without_noise_is_a_plain_loop():
    rng = np.random.default_rng(2)
    contexts = rng.normal(size=(200, 3))
    p = (rng.random((200, 3)) < 0.5) * 1.0
    pulled = linucb(contexts, p, np.random.default_rng(1), width=0.7)
    A, c = [np.eye(3) for _ in range(3)], np.zeros((3, 3))
    for x, row, arm in zip(contexts, p, pulled, strict=True):
        bound = np.array(
            [x @ np.linalg.solve(A[a], c[a]) + 0.7 * np.sqrt(x @ np.linalg.solve(A[a], x)) for a in range(3)]
        )
        assert bound[arm] == pytest.approx(bound.max(), abs=1e-9)
        A[arm] += np.outer(x, x)
        c[arm] += row[arm] * x


def test_late_rewards_are_not_felt_before_they_come():
    """Poison all that happens from a step on: the pulls up to that step, and for the delay after it, stay."""
    for policy, settings in ((epsilon_greedy, {"epsilon": 0.2}), (ucb, {}), (thompson, {})):
        for delay in (0, 7):
            world, other = still(200), still(200)
            other[100:] = other[100:, ::-1]
            other[100] = 1 - np.round(other[100])
            a, b = (policy(w, np.random.default_rng(3), delay=delay, **settings) for w in (world, other))
            np.testing.assert_array_equal(a[: 101 + delay], b[: 101 + delay])


def test_ucb_repeats_itself_until_the_first_reward_of_each_arm_is_known():
    pulled = ucb(still(60), np.random.default_rng(0), width=0.0, delay=20)
    n = np.bincount(pulled[:21], minlength=5)
    assert n.sum() == 21  # before any reward all are unknown: pulled by lot
    assert (n > 0).sum() >= 4


def test_forgetting_follows_a_change():
    world = np.repeat([P, P[::-1]], 3000, axis=0)
    for policy, settings in ((epsilon_greedy, {"epsilon": 0.1}), (thompson, {})):
        ends = {
            forget: np.mean(
                [
                    regret(world, policy(world, np.random.default_rng(s), forget=forget, **settings)).sum()
                    for s in range(10)
                ]
            )
            for forget in (1.0, 0.995)
        }
        assert ends[0.995] < 0.75 * ends[1.0]


def test_epsilon_of_one_is_uniform():
    pulled = epsilon_greedy(still(20_000), np.random.default_rng(0), epsilon=1.0)
    np.testing.assert_allclose(np.bincount(pulled) / 20_000, 0.2, atol=0.015)


def test_thompson_on_a_uniform_log_is_thompson():
    rng = np.random.default_rng(0)
    means, truth = [], []
    for seed in range(150):
        logged = rng.integers(5, size=1500)
        rewards = (rng.random(1500) < P[logged]) * 1.0
        kept = thompson_on_log(logged, rewards, 5, rng)
        means.append(rewards[kept][:200].mean())
        pulled = thompson(still(200), np.random.default_rng(seed))
        truth.append(P[pulled].mean())
    assert np.mean(means) == pytest.approx(np.mean(truth), abs=0.012)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: thompson([0.5], r), "n_steps, n_arms"),
        (lambda r: thompson([[1.5]], r), "between 0 and 1"),
        (lambda r: thompson([[0.5]], r, forget=0), "forget"),
        (lambda r: thompson([[0.5]], r, delay=-1), "delay"),
        (lambda r: epsilon_greedy([[0.5]], r, epsilon=2), "epsilon"),
        (lambda r: ucb([[0.5]], r, width=-1), "width"),
        (lambda r: linucb([[1.0], [1.0]], [[0.5]], r), "1 steps"),
        (lambda r: linucb([[np.nan]], [[0.5]], r), "context of step 0"),
        (lambda r: linucb([[1.0]], [[0.5]], r, noise=-1), "noise"),
        (lambda r: regret([[0.5]], [1]), "arms have shape"),
        (lambda r: thompson_on_log([0], [0.0, 1.0], 2, r), "one of each per row"),
        (lambda r: thompson_on_log([2], [0.0], 2, r), "arm's number"),
        (lambda r: thompson_on_log([1], [0.5], 2, r), "rewards must be"),
    ],
)
def test_bad_arguments_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))


# ---------------------------------------------------------------------------------------------- Gini


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts):
    x = np.array(counts, float)
    pairs = np.abs(x[:, None] - x[None, :]).mean()
    assert gini(counts) == pytest.approx(pairs / (2 * x.mean()), abs=1e-12)
    assert gini(counts) == pytest.approx(gini(list(reversed(counts))))
    assert -1e-12 <= gini(counts) <= 1 - 1 / len(counts) + 1e-12


@pytest.mark.parametrize(("counts", "message"), [([], "per item"), ([-1, 2], "negative"), ([0, 0], "all counts are 0")])
def test_gini_of_nothing(counts, message):
    with pytest.raises(ValueError, match=message):
        gini(counts)
