"""The compiled loops of FTRL-Proximal: the same few functions serve a plain call and the fused pass.

``weight_of[row, f]`` is the number of the weight that field f of a row points at, -1 for one that was never met. ``z``
and ``n`` hold two numbers for each weight, and the weight itself is worked out from them whenever it is read.
"""

from __future__ import annotations

import numba
import numpy as np

from recsys_course.models._kernels import sigmoid


@numba.njit(cache=True, inline="always")
def weight(z, n, settings):
    """argmin over w of z w + (1/rate + l2) w^2 / 2 + l1 |w|, with rate = alpha / (beta + n^power)."""
    alpha, beta, l1, l2, power = settings
    if abs(z) <= l1:
        return 0.0
    shrunk = z - l1 if z > 0 else z + l1
    return -shrunk / ((beta + n**power) / alpha + l2)


@numba.njit(cache=True, inline="always")
def logit(numbers, z, n, settings):
    total = 0.0
    for f in range(len(numbers)):
        j = numbers[f]
        if j >= 0:
            total += weight(z[j], n[j], settings)
    return total


@numba.njit(cache=True)
def predict(first, last, weight_of, z, n, settings, out):
    for row in range(first, last):
        out[row - first] = sigmoid(logit(weight_of[row], z, n, settings))


@numba.njit(cache=True)
def learn(rows, weight_of, labels, z, n, settings):
    """Learn the rows, one after the other."""
    alpha, power = settings[0], settings[4]
    for row in rows:
        numbers = weight_of[row]
        error = sigmoid(logit(numbers, z, n, settings)) - labels[row]
        for f in range(len(numbers)):
            j = numbers[f]
            # Fields that share a bucket are one feature whose value is their number: its gradient is so much larger.
            times = 0
            for other in range(len(numbers)):
                if numbers[other] == j:
                    if other < f:
                        times = -1
                        break
                    times += 1
            if times < 0:
                continue
            g = error * times
            w = weight(z[j], n[j], settings)
            new_n = n[j] + g * g
            # n^power is 0 at the start, also where power is 0: then the rate is alpha / (beta + 1) from the first step.
            before = n[j] ** power if n[j] > 0.0 else 0.0
            z[j] += g - (new_n**power - before) / alpha * w
            n[j] = new_n


@numba.njit(cache=True, nogil=True)
def run(starts, ends, order, known, weight_of, labels, z, n, settings, out):
    """The fused pass: predict a block, learn what has arrived, predict the next, ..."""
    for b in range(len(starts)):
        if b > 0:
            learn(order[known[b - 1] : known[b]], weight_of, labels, z, n, settings)
        predict(starts[b], ends[b], weight_of, z, n, settings, out[starts[b] - starts[0] :])


@numba.njit(cache=True)
def all_weights(z, n, settings):
    out = np.empty(len(z))
    for j in range(len(z)):
        out[j] = weight(z[j], n[j], settings)
    return out
