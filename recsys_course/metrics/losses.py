"""Losses of predicted labels. Each takes labels first, predictions second, and refuses shapes that differ."""

from __future__ import annotations

import numpy as np

__all__ = ["check_probabilities", "log_loss", "mae", "rmse", "row_log_loss"]


def _pair(labels, predictions) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.asarray(labels, float), np.asarray(predictions, float)
    if labels.shape != predictions.shape:
        # (n,) against (n, 1) would broadcast to (n, n) and give a number that means nothing.
        raise ValueError(f"labels have shape {labels.shape}, predictions {predictions.shape}: make them equal")
    if labels.size == 0:
        raise ValueError("no labels: a loss over nothing has no value")
    if not (np.isfinite(labels).all() and np.isfinite(predictions).all()):
        raise ValueError("a label or a prediction is missing or infinite")
    return labels, predictions


def rmse(labels, predictions) -> float:
    """Root of the mean squared error, in the unit of the label. Taught in chapter 00.

    >>> rmse([1.0, 2.0], [1.0, 4.0])
    1.4142135623730951
    """
    labels, predictions = _pair(labels, predictions)
    return float(np.sqrt(np.mean((labels - predictions) ** 2)))


def mae(labels, predictions) -> float:
    """Mean absolute error, in the unit of the label. Taught in chapter 05a.

    The best constant is the median of the labels, where that of :func:`rmse` is their mean.

    >>> mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    labels, predictions = _pair(labels, predictions)
    return float(np.mean(np.abs(labels - predictions)))


def check_probabilities(labels, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Both as float arrays, or a ValueError that says what is no label of 0 or 1, or no probability.

    >>> check_probabilities([1], [0.5])
    (array([1.]), array([0.5]))
    """
    labels, probabilities = _pair(labels, probabilities)
    if not np.isin(labels, [0.0, 1.0]).all():
        raise ValueError("labels must be 0 or 1")
    if (probabilities < 0).any() or (probabilities > 1).any():
        raise ValueError("probabilities must lie between 0 and 1")
    return labels, probabilities


def row_log_loss(labels, probabilities) -> np.ndarray:
    """Minus the log of the probability given to what happened, per row, in nats; labels are 0 or 1.

    A probability of exactly 0 or 1 is moved inside by 1e-15, as scikit-learn does. Taught in chapter 01.

    >>> row_log_loss([1.0, 0.0], [0.5, 0.5]).round(4)
    array([0.6931, 0.6931])
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    p = np.clip(probabilities, 1e-15, 1 - 1e-15)
    return -np.where(labels == 1.0, np.log(p), np.log1p(-p))


def log_loss(labels, probabilities) -> float:
    """The mean of :func:`row_log_loss`. Taught in chapter 01.

    >>> round(log_loss([1.0, 0.0], [0.8, 0.1]), 4)
    0.1643
    """
    return float(row_log_loss(labels, probabilities).mean())
