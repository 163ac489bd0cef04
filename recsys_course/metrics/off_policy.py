"""What a policy would have earned, from a log that another policy made.

A log says what came of what was shown, and nothing of what was not. Where it says how likely each thing was to be
shown, its *propensity*, a row can stand for those that are missing: what was shown with probability 1/50 counts fifty
times. A row's weight is the probability under the new policy (the *target*) over that under the old one.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "effective_sample_size",
    "importance_weights",
    "ips_value",
    "naive_value",
    "self_normalised_value",
]


def importance_weights(target, logged, *, clip: float | None = None) -> np.ndarray:
    """How many rows of a log each row stands for: target probability over logged propensity.

    Parameters
    ----------
    target : array, shape (n_rows,)
        Probability with which the new policy would have shown what this row shows.
    logged : array, shape (n_rows,)
        Probability with which it was shown: as it was logged then, not as it is reckoned today.
    clip : float, optional
        No weight above this one: less spread, and a bias towards zero.

    Returns
    -------
    float64 ndarray, shape (n_rows,)

    Raises
    ------
    ValueError
        Shapes differ; a target is not a probability; a propensity is not above 0 and at most 1; or clip is not above 0.

    Notes
    -----
    Horvitz and Thompson, Journal of the American Statistical Association 47, 1952, 10.1080/01621459.1952.10483446.
    Under the logging policy the mean weight is 1 if it may show all that the target may: a look at the mean is the
    cheapest test of the propensities. Taught in chapter 05b.

    Examples
    --------
    >>> importance_weights([0.5, 0.1, 0.0], [0.1, 0.2, 0.7])
    array([5. , 0.5, 0. ])
    """
    target, logged = np.asarray(target, float), np.asarray(logged, float)
    if target.shape != logged.shape or target.ndim != 1:
        raise ValueError(f"target has shape {target.shape}, logged {logged.shape}: give one of each per row")
    bad = np.flatnonzero(~((target >= 0) & (target <= 1)))
    if len(bad):
        raise ValueError(f"target of row {bad[0]} is {target[bad[0]]}: a probability lies between 0 and 1")
    bad = np.flatnonzero(~((logged > 0) & (logged <= 1)))
    if len(bad):
        raise ValueError(
            f"logged propensity of row {bad[0]} is {logged[bad[0]]}: what was shown had a chance above 0, at most 1; "
            "drop rows whose propensity was not logged, and say how many"
        )
    weights = target / logged
    if clip is None:
        return weights
    if not clip > 0:
        raise ValueError(f"clip must be above 0, not {clip}")
    return np.minimum(weights, clip)


def naive_value(rewards, target) -> float:
    """Mean reward of the log's rows, each as often as the new policy would show it: what was shown to whom is ignored.

    For a policy without chance it is the mean over the rows in which both policies agree. Biased wherever the old
    policy showed things to those who like them. Taught in chapter 05b.

    Raises
    ------
    ValueError
        Shapes differ, a number is missing or negative, or the new policy shows nothing that was logged.

    >>> naive_value([1.0, 0.0, 1.0], target=[0.5, 0.5, 0.0])
    0.5
    """
    return self_normalised_value(rewards, target)


def ips_value(rewards, weights) -> float:
    """Inverse propensity estimate of a policy's value per row: the mean of weight times reward.

    Parameters
    ----------
    rewards, weights : array, shape (n_rows,)
        What came of each row, and :func:`importance_weights`.

    Raises
    ------
    ValueError
        Shapes differ, there are no rows, a weight is missing or negative, or a reward is missing.

    Notes
    -----
    Without bias if the propensities are right and above zero wherever the target's are. One row changes it by at most
    its weight over the number of rows; look at :func:`effective_sample_size` first. Derived in chapter 05b.

    >>> ips_value([1.0, 0.0], weights=[5.0, 0.5])
    2.5
    """
    rewards, weights = _pair(rewards, weights)
    return float(np.mean(weights * rewards))


def self_normalised_value(rewards, weights) -> float:
    """Inverse propensity estimate divided by the mean weight: a weighted mean of the rewards, so never outside them.

    A little bias, which shrinks with the number of rows, against less spread; what an error in the weights has in
    common cancels. Swaminathan and Joachims, NIPS 2015. Taught in chapter 05b.

    Raises
    ------
    ValueError
        As :func:`ips_value`, and where all weights are zero.

    >>> round(self_normalised_value([1.0, 0.0], weights=[5.0, 0.5]), 3)
    0.909
    """
    rewards, weights = _pair(rewards, weights)
    total = weights.sum()
    if not total > 0:
        raise ValueError("all weights are zero: the log has no row that the new policy would show")
    return float(weights @ rewards / total)


def effective_sample_size(weights) -> float:
    """How many rows of equal weight would tell as much: (sum of w)^2 / (sum of w^2), between 1 and the number of rows.

    Kong, Liu and Wong, Journal of the American Statistical Association 89, 1994, 10.1080/01621459.1994.10476469.
    Taught in chapter 05b.

    Raises
    ------
    ValueError
        There are no weights, one is missing or negative, or all are zero.

    >>> effective_sample_size([1.0, 1.0, 1.0]), round(effective_sample_size([100.0, 1.0, 1.0]), 2)
    (3.0, 1.04)
    """
    weights = _weights(weights)
    largest = weights.max()
    if not largest > 0:
        raise ValueError("all weights are zero: the log has no row that the new policy would show")
    weights = weights / largest  # squares of huge weights would overflow
    return float(weights.sum() ** 2 / (weights**2).sum())


def _weights(weights) -> np.ndarray:
    weights = np.asarray(weights, float)
    if weights.ndim != 1 or len(weights) == 0:
        raise ValueError(f"weights have shape {weights.shape}: give one per row, at least one")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(f"the weight of row {bad[0]} is missing, infinite or negative")
    return weights


def _pair(rewards, weights) -> tuple[np.ndarray, np.ndarray]:
    rewards, weights = np.asarray(rewards, float), _weights(weights)
    if rewards.shape != weights.shape:
        raise ValueError(f"rewards have shape {rewards.shape}, weights {weights.shape}: give one of each per row")
    bad = np.flatnonzero(~np.isfinite(rewards))
    if len(bad):
        raise ValueError(f"the reward of row {bad[0]} is missing or infinite")
    return rewards, weights
