"""Bandits: learning what to show from what was shown, with the truth at hand to say what it cost.

At each step one of a few arms is pulled (a book is shown) and pays 1 or 0 (it is bought or not); of the others
nothing is learned. The functions here live through one such course of events, whose true probabilities are given, and
return the arms that were pulled; :func:`regret` says how much was lost by it. They are River's policies as compiled
loops, which makes many thousands of steps with many seeds affordable, with two things that River's do not have:
rewards may come late, and old ones may be forgotten.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["epsilon_greedy", "linucb", "regret", "thompson", "thompson_on_log", "ucb"]


def epsilon_greedy(p, rng: np.random.Generator, *, epsilon: float, forget: float = 1.0, delay: int = 0) -> np.ndarray:
    """Pull the arm with the best mean so far, and with probability ``epsilon`` any arm.

    Parameters
    ----------
    p : array, shape (n_steps, n_arms)
        True probability of a reward of 1, for each step and arm.
    rng : numpy Generator
        Draws rewards, arms, and which of several equals is taken.
    epsilon : float
    forget : float
        Each reward that is learned makes all earlier ones count ``forget`` times as much; 1 forgets nothing.
    delay : int
        The reward of step t is known at step t + 1 + delay, and before that nothing of the pull.

    Returns
    -------
    int64 ndarray, shape (n_steps,)
        Arms pulled.

    Raises
    ------
    ValueError
        ``p`` is no matrix of probabilities, or a setting is out of range.

    Notes
    -----
    An arm without a reward has the mean 0. Taught in chapter 10b.

    Examples
    --------
    >>> p = np.tile([0.2, 0.6], (1000, 1))
    >>> pulled = epsilon_greedy(p, np.random.default_rng(0), epsilon=0.1)
    >>> bool((pulled == 1).mean() > 0.8)
    True
    """
    p = _check(p, forget, delay)
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must lie between 0 and 1, not {epsilon}")
    return _epsilon_greedy(p, rng, float(epsilon), float(forget), int(delay))


def ucb(p, rng: np.random.Generator, *, width: float = 1.0, forget: float = 1.0, delay: int = 0) -> np.ndarray:
    """Pull the arm with the highest upper bound, mean + width * sqrt(2 ln(n) / n_arm); first each arm once.

    Other parameters and errors as for :func:`epsilon_greedy`. With ``forget`` below 1, n and n_arm are sums of faded
    ones.

    Notes
    -----
    Auer, Cesa-Bianchi and Fischer, Machine Learning 47, 2002, 10.1023/A:1013689704352 (UCB1). Taught in chapter 10b.

    >>> pulled = ucb(np.tile([0.2, 0.6], (1000, 1)), np.random.default_rng(0))
    >>> bool((pulled == 1).mean() > 0.7)
    True
    """
    p = _check(p, forget, delay)
    if not 0 <= width < np.inf:
        raise ValueError(f"width must be a finite number of at least 0, not {width}")
    return _ucb(p, rng, float(width), float(forget), int(delay))


def thompson(p, rng: np.random.Generator, *, forget: float = 1.0, delay: int = 0) -> np.ndarray:
    """Draw a probability for each arm from what is known of it, Beta(1 + rewards, 1 + misses); pull the highest draw.

    Parameters and errors as for :func:`epsilon_greedy`.

    Notes
    -----
    Thompson, Biometrika 25, 1933, 10.1093/biomet/25.3-4.285. Taught in chapter 10b.

    >>> pulled = thompson(np.tile([0.2, 0.6], (1000, 1)), np.random.default_rng(0))
    >>> bool((pulled == 1).mean() > 0.9)
    True
    """
    return _thompson(_check(p, forget, delay), rng, float(forget), int(delay))


def linucb(contexts, p, rng: np.random.Generator, *, width: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """Pull the arm with the highest upper bound of a ridge regression of its rewards on the context.

    Parameters
    ----------
    contexts : array, shape (n_steps, d)
        What is known before each pull.
    p : array, shape (n_steps, n_arms)
    rng : numpy Generator
    width : float
        Times the standard deviation is added to the mean.
    noise : float
        Variance that is added under the root: 0 for LinUCB, 1 for River's ``LinUCBDisjoint`` of default settings.

    Returns
    -------
    int64 ndarray, shape (n_steps,)

    Raises
    ------
    ValueError
        Shapes differ, or a number is missing or out of range.

    Notes
    -----
    With A = I + sum of x x' and c = sum of reward * x over the pulls of an arm, its bound is
    x' A^-1 c + width * sqrt(noise + x' A^-1 x). Li, Chu, Langford and Schapire, WWW 2010, 10.1145/1772690.1772758,
    algorithm 1. Taught in chapter 10b.

    >>> x = np.ones((1000, 1))
    >>> pulled = linucb(x, np.tile([0.2, 0.6], (1000, 1)), np.random.default_rng(0))
    >>> bool((pulled == 1).mean() > 0.9)
    True
    """
    p = _check(p, 1.0, 0)
    contexts = np.ascontiguousarray(contexts, dtype=float)
    if contexts.ndim != 2 or len(contexts) != len(p):
        raise ValueError(f"contexts have shape {contexts.shape}: give (n_steps, d) with {len(p)} steps")
    if not np.isfinite(contexts).all():
        raise ValueError(f"the context of step {int(np.argmin(np.isfinite(contexts).all(axis=1)))} is not finite")
    for name, value in (("width", width), ("noise", noise)):
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} must be a finite number of at least 0, not {value}")
    return _linucb(contexts, p, rng, float(width), float(noise))


def regret(p, arms) -> np.ndarray:
    """Probability lost at each step: that of the best arm less that of the pulled one, shape (n_steps,).

    Add it up (``np.cumsum``) for the usual cumulative regret. Taught in chapter 10b.

    Raises
    ------
    ValueError
        Shapes differ, or an arm has a number that ``p`` does not have.

    >>> regret([[0.25, 0.5], [0.25, 0.5]], [0, 1])
    array([0.25, 0.  ])
    """
    p, arms = _check(p, 1.0, 0), np.asarray(arms)
    if arms.shape != (len(p),) or (arms < 0).any() or (arms >= p.shape[1]).any():
        raise ValueError(f"arms have shape {arms.shape}: give one of 0 .. {p.shape[1] - 1} for each of {len(p)} steps")
    return p.max(axis=1) - p[np.arange(len(p)), arms]


def thompson_on_log(logged, rewards, n_arms: int, rng: np.random.Generator) -> np.ndarray:
    """Which rows of a log :func:`thompson` would have pulled, and so learned from, shape (n_rows,), bool.

    At each row the policy draws its arm; where the log has the same one its reward is learned, and all other rows are
    passed over.

    Parameters
    ----------
    logged : int array, shape (n_rows,)
    rewards : array, shape (n_rows,)
        0 or 1.
    n_arms : int
    rng : numpy Generator

    Raises
    ------
    ValueError
        Shapes differ, an arm has no such number, or a reward is not 0 or 1.

    Notes
    -----
    The mean reward of these rows is the policy's, over so many steps, if the log's arms were drawn uniformly: Li, Chu,
    Langford and Wang, WSDM 2011, 10.1145/1935826.1935878. Taught in chapter 10b.

    >>> rng = np.random.default_rng(0)
    >>> logged = rng.integers(2, size=1000)
    >>> kept = thompson_on_log(logged, logged * 1.0, 2, rng)
    >>> bool(logged[kept].mean() > 0.9), bool(0.4 < kept.mean() < 0.6)
    (True, True)
    """
    logged, rewards = np.asarray(logged), np.asarray(rewards, float)
    if logged.shape != rewards.shape or logged.ndim != 1:
        raise ValueError(f"logged has shape {logged.shape}, rewards {rewards.shape}: give one of each per row")
    if len(logged) and not 0 <= logged.min() <= logged.max() < n_arms:
        raise ValueError(f"an arm's number lies between 0 and {n_arms - 1}")
    if not np.isin(rewards, (0.0, 1.0)).all():
        raise ValueError("rewards must be 0 or 1")
    return _thompson_on_log(logged.astype(np.int64), rewards, n_arms, rng)


def _check(p, forget, delay) -> np.ndarray:
    p = np.ascontiguousarray(p, dtype=float)
    if p.ndim != 2 or 0 in p.shape:
        raise ValueError(f"p has shape {p.shape}: give (n_steps, n_arms)")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p must hold probabilities, between 0 and 1")
    if not 0 < forget <= 1:
        raise ValueError(f"forget must be above 0 and at most 1, not {forget}")
    if delay < 0 or delay != int(delay):
        raise ValueError(f"delay must be a number of steps, 0 or more, not {delay}")
    return p


@numba.njit(cache=True)
def _learn(step, delay, arms, rewards, n, total, forget):
    """Learn the reward that has become known before this step, if there is one."""
    known = step - 1 - delay
    if known < 0:
        return
    if forget < 1.0:
        n *= forget
        total *= forget
    n[arms[known]] += 1.0
    total[arms[known]] += rewards[known]


@numba.njit(cache=True)
def _highest(scores, rng):
    """An arm with the highest score; of several equals each has the same chance."""
    best, equals = 0, 1
    for arm in range(1, len(scores)):
        if scores[arm] > scores[best]:
            best, equals = arm, 1
        elif scores[arm] == scores[best]:
            equals += 1
            if rng.random() * equals < 1.0:
                best = arm
    return best


@numba.njit(cache=True)
def _epsilon_greedy(p, rng, epsilon, forget, delay):
    n_steps, n_arms = p.shape
    n, total, scores = np.zeros(n_arms), np.zeros(n_arms), np.zeros(n_arms)
    arms, rewards = np.zeros(n_steps, np.int64), np.zeros(n_steps)
    for step in range(n_steps):
        _learn(step, delay, arms, rewards, n, total, forget)
        if rng.random() < epsilon:
            arm = int(rng.random() * n_arms)
        else:
            for k in range(n_arms):
                scores[k] = total[k] / n[k] if n[k] > 0 else 0.0
            arm = _highest(scores, rng)
        arms[step] = arm
        rewards[step] = 1.0 if rng.random() < p[step, arm] else 0.0
    return arms


@numba.njit(cache=True)
def _ucb(p, rng, width, forget, delay):
    n_steps, n_arms = p.shape
    n, total, scores = np.zeros(n_arms), np.zeros(n_arms), np.zeros(n_arms)
    arms, rewards = np.zeros(n_steps, np.int64), np.zeros(n_steps)
    for step in range(n_steps):
        _learn(step, delay, arms, rewards, n, total, forget)
        log = np.log(max(n.sum(), 1.0))
        for k in range(n_arms):
            scores[k] = total[k] / n[k] + width * np.sqrt(2.0 * log / n[k]) if n[k] > 0 else np.inf
        arm = _highest(scores, rng)
        arms[step] = arm
        rewards[step] = 1.0 if rng.random() < p[step, arm] else 0.0
    return arms


@numba.njit(cache=True)
def _thompson(p, rng, forget, delay):
    n_steps, n_arms = p.shape
    n, total, scores = np.zeros(n_arms), np.zeros(n_arms), np.zeros(n_arms)
    arms, rewards = np.zeros(n_steps, np.int64), np.zeros(n_steps)
    for step in range(n_steps):
        _learn(step, delay, arms, rewards, n, total, forget)
        for k in range(n_arms):
            # Fading leaves n - total a hair below zero at times.
            scores[k] = rng.beta(1.0 + total[k], 1.0 + max(n[k] - total[k], 0.0))
        arm = _highest(scores, rng)
        arms[step] = arm
        rewards[step] = 1.0 if rng.random() < p[step, arm] else 0.0
    return arms


@numba.njit(cache=True)
def _thompson_on_log(logged, rewards, n_arms, rng):
    n, total, scores = np.zeros(n_arms), np.zeros(n_arms), np.zeros(n_arms)
    kept = np.zeros(len(logged), np.bool_)
    for row in range(len(logged)):
        for k in range(n_arms):
            scores[k] = rng.beta(1.0 + total[k], 1.0 + n[k] - total[k])
        arm = _highest(scores, rng)
        if arm == logged[row]:
            kept[row] = True
            n[arm] += 1.0
            total[arm] += rewards[row]
    return kept


@numba.njit(cache=True)
def _linucb(contexts, p, rng, width, noise):
    n_steps, n_arms = p.shape
    d = contexts.shape[1]
    inverse, c = np.zeros((n_arms, d, d)), np.zeros((n_arms, d))
    for k in range(n_arms):
        for j in range(d):
            inverse[k, j, j] = 1.0
    arms, scores, along = np.zeros(n_steps, np.int64), np.zeros(n_arms), np.zeros((n_arms, d))
    for step in range(n_steps):
        x = contexts[step]
        for k in range(n_arms):
            mean, variance = 0.0, noise
            for i in range(d):
                along[k, i] = 0.0
                for j in range(d):
                    along[k, i] += inverse[k, i, j] * x[j]
            for i in range(d):
                mean += along[k, i] * c[k, i]
                variance += along[k, i] * x[i]
            scores[k] = mean + width * np.sqrt(variance)
        arm = _highest(scores, rng)
        arms[step] = arm
        reward = 1.0 if rng.random() < p[step, arm] else 0.0
        # Sherman and Morrison: the inverse of A + x x' from that of A.
        scale = 1.0
        for i in range(d):
            scale += along[arm, i] * x[i]
        for i in range(d):
            c[arm, i] += reward * x[i]
            for j in range(d):
                inverse[arm, i, j] -= along[arm, i] * along[arm, j] / scale
    return arms
