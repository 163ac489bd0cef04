"""The compiled walks behind :mod:`recsys_course.blending`.

Each goes through the blocks of a plan: the labels that have arrived before a block, then the block's predictions. Rows
before ``start`` were not predicted by anybody, and teach nothing.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def row_loss(score, label, binary):
    if not binary:
        return (label - score) ** 2
    p = min(max(score, 1e-15), 1 - 1e-15)
    return -np.log(p) if label > 0.5 else -np.log(1 - p)


@numba.njit(cache=True, nogil=True)
def walk_ensemble(starts, ends, order, known, start, scores, labels, binary, rate, keep, out, weights_out):
    """The weighted mean: see :func:`recsys_course.blending.ensemble`. ``scores`` has a row per scored event."""
    n_members = scores.shape[1]
    losses = np.zeros(n_members)
    weights = np.empty(n_members)
    for b in range(len(starts)):
        if b > 0:
            for row in order[known[b - 1] : known[b]]:
                if row >= start:
                    for k in range(n_members):
                        losses[k] = keep * losses[k] + row_loss(scores[row - start, k], labels[row - start], binary)
        least = losses.min()
        for k in range(n_members):
            weights[k] = np.exp(-rate * (losses[k] - least))
        weights /= weights.sum()
        for row in range(starts[b] - start, ends[b] - start):
            total = 0.0
            for k in range(n_members):
                total += weights[k] * scores[row, k]
            out[row] = total
            weights_out[row] = weights


@numba.njit(cache=True, nogil=True)
def walk_fusion(starts, ends, order, known, start, inputs, labels, binary, keep, prior, theta, out, theta_out):
    """The regression learned by recursive least squares: see :func:`recsys_course.blending.fusion`."""
    n = len(theta)
    spread = np.diag(prior)
    gain = np.empty(n)
    for b in range(len(starts)):
        if b > 0:
            for row in order[known[b - 1] : known[b]]:
                if row < start:
                    continue
                x = inputs[row - start]
                z = 0.0
                for k in range(n):
                    z += theta[k] * x[k]
                expected = 1 / (1 + np.exp(-z)) if binary else z
                curvature = max(expected * (1 - expected), 1e-6) if binary else 1.0
                total = keep / curvature
                for k in range(n):
                    gain[k] = 0.0
                    for j in range(n):
                        gain[k] += spread[k, j] * x[j]
                for k in range(n):
                    total += gain[k] * x[k]
                error = (labels[row - start] - expected) / curvature
                for k in range(n):
                    theta[k] += gain[k] / total * error
                for k in range(n):
                    for j in range(n):
                        # Forgetting lets the spread grow; it never grows beyond what it was before any label.
                        spread[k, j] = (spread[k, j] - gain[k] * gain[j] / total) / keep
                if np.any(np.diag(spread) > prior):
                    spread *= keep
        for row in range(starts[b] - start, ends[b] - start):
            z = 0.0
            for k in range(n):
                z += theta[k] * inputs[row, k]
            out[row] = 1 / (1 + np.exp(-z)) if binary else z
            theta_out[row] = theta
