"""The compiled loops of :mod:`recsys_course.models.implicit_als`: a row at a time, no row reading another of its side.

That is what makes them parallel without a doubt: a thread takes some rows, and each row's sums are made in the same
order whichever thread makes them. They release the interpreter's lock, so plain Python threads run side by side.
"""

from __future__ import annotations

import numba
import numpy as np

# Sums may be reordered so that they run in parallel lanes; nothing else about arithmetic is relaxed.
_LANES = {"reassoc", "contract"}


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def gram(first, last, rows, out):
    """Add y y^T of the rows first .. last - 1 to ``out``, shape (k, k)."""
    k = rows.shape[1]
    row = first
    while row + 4 <= last:  # four rows at a time: ``out`` is read and written once for all of them
        a, b, c, d = rows[row], rows[row + 1], rows[row + 2], rows[row + 3]
        for f in range(k):
            af, bf, cf, df = a[f], b[f], c[f], d[f]
            line = out[f]
            for g in range(k):
                line[g] += af * a[g] + bf * b[g] + cf * c[g] + df * d[g]
        row += 4
    while row < last:
        a = rows[row]
        for f in range(k):
            af = a[f]
            line = out[f]
            for g in range(k):
                line[g] += af * a[g]
        row += 1


@numba.njit(cache=True, nogil=True, fastmath=_LANES, inline="always")
def _times(matrix, x, out):
    """out = matrix x for a symmetric matrix whose size is a multiple of four, or any other."""
    k = len(x)
    out[:] = 0
    f = 0
    while f + 4 <= k:
        a, b, c, d = x[f], x[f + 1], x[f + 2], x[f + 3]
        ma, mb, mc, md = matrix[f], matrix[f + 1], matrix[f + 2], matrix[f + 3]
        for g in range(k):
            out[g] += a * ma[g] + b * mb[g] + c * mc[g] + d * md[g]
        f += 4
    while f < k:
        a = x[f]
        ma = matrix[f]
        for g in range(k):
            out[g] += a * ma[g]
        f += 1


@numba.njit(cache=True, nogil=True, fastmath=_LANES, inline="always")
def _dot(p, q):
    total = p[0] * 0
    for f in range(len(p)):
        total += p[f] * q[f]
    return total


@numba.njit(cache=True, nogil=True, fastmath=_LANES, inline="always")
def _add_pairs(first, last, columns, weights, other, x, add_right, out):
    """out += sum_j (r_j + s w_j (y_j . x)) y_j over the pairs first .. last - 1, four at a time.

    With ``add_right`` r_j = 1 + w_j and s = -1, what the pairs add to a residual, else r_j = 0 and s = 1, what they add
    to the product of the row's matrix and x. Four at a time, so that x and ``out`` are read a quarter as often: reading
    is what takes the time.
    """
    k = len(x)
    nothing = weights.dtype.type(0)
    one = weights.dtype.type(1)
    right = one if add_right else nothing
    sign = -one if add_right else one
    entry = first
    while entry + 4 <= last:
        ya, yb = other[columns[entry]], other[columns[entry + 1]]
        yc, yd = other[columns[entry + 2]], other[columns[entry + 3]]
        a, b, c, d = nothing, nothing, nothing, nothing
        for f in range(k):
            a += ya[f] * x[f]
            b += yb[f] * x[f]
            c += yc[f] * x[f]
            d += yd[f] * x[f]
        wa, wb, wc, wd = weights[entry], weights[entry + 1], weights[entry + 2], weights[entry + 3]
        a = right * (one + wa) + sign * wa * a
        b = right * (one + wb) + sign * wb * b
        c = right * (one + wc) + sign * wc * c
        d = right * (one + wd) + sign * wd * d
        for f in range(k):
            out[f] += a * ya[f] + b * yb[f] + c * yc[f] + d * yd[f]
        entry += 4
    while entry < last:
        ya, wa = other[columns[entry]], weights[entry]
        a = right * (one + wa) + sign * wa * _dot(ya, x)
        for f in range(k):
            out[f] += a * ya[f]
        entry += 1


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def conjugate_gradient(first, last, starts, columns, weights, ridged, rows, other, steps):
    """A few steps of conjugate gradients for the rows first .. last - 1, each from where it stands.

    Row x solves (ridged + sum_j w_j y_j y_j^T) x = sum_j (1 + w_j) y_j over its pairs j, where ``ridged`` is the Gram
    matrix of all y plus the ridge. The matrix of a row is never written down: only its product with a vector is.
    """
    k = rows.shape[1]
    residual, direction, product = np.empty_like(rows[0]), np.empty_like(rows[0]), np.empty_like(rows[0])
    nothing = weights.dtype.type(1e-20)
    for row in range(first, last):
        x = rows[row]
        _times(ridged, x, product)
        for f in range(k):
            residual[f] = -product[f]
        _add_pairs(starts[row], starts[row + 1], columns, weights, other, x, True, residual)
        direction[:] = residual
        size = _dot(residual, residual)
        for _ in range(steps):
            if not size > nothing:
                break
            _times(ridged, direction, product)
            _add_pairs(starts[row], starts[row + 1], columns, weights, other, direction, False, product)
            step = size / _dot(direction, product)
            for f in range(k):
                x[f] += step * direction[f]
                residual[f] -= step * product[f]
            new_size = _dot(residual, residual)
            turn = new_size / size
            for f in range(k):
                direction[f] = residual[f] + turn * direction[f]
            size = new_size


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def cholesky(first, last, starts, columns, weights, ridged, rows, other, steps):
    """The exact solution of the same equations, by Cholesky's L L^T; ``steps`` is not used."""
    k = rows.shape[1]
    lower = np.empty_like(ridged)
    right = np.empty_like(rows[0])
    one = weights.dtype.type(1)
    for row in range(first, last):
        lower[:] = ridged
        right[:] = 0
        for entry in range(starts[row], starts[row + 1]):
            y = other[columns[entry]]
            w = weights[entry]
            for f in range(k):
                wf = w * y[f]
                right[f] += (one + w) * y[f]
                line = lower[f]
                for g in range(f + 1):
                    line[g] += wf * y[g]
        for f in range(k):
            mine = lower[f]
            for g in range(f):
                mine[g] = (mine[g] - _dot(mine[:g], lower[g, :g])) / lower[g, g] if g > 0 else mine[0] / lower[0, 0]
            left = mine[f] - _dot(mine[:f], mine[:f]) if f > 0 else mine[0]
            if not left > 0:
                raise ZeroDivisionError("a row's equations are singular")
            mine[f] = np.sqrt(left)
        x = rows[row]
        for f in range(k):
            x[f] = (right[f] - _dot(lower[f, :f], x[:f])) / lower[f, f] if f > 0 else right[0] / lower[0, 0]
        for f in range(k - 1, -1, -1):
            x[f] /= lower[f, f]
            for g in range(f):
                x[g] -= lower[f, g] * x[f]


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def pair_scores(users, items, user_rows, item_rows, out):
    """x_u . y_i of each pair; 0 where one of the two is unknown (-1)."""
    for pair in range(len(users)):
        u, i = users[pair], items[pair]
        out[pair] = _dot(user_rows[u], item_rows[i]) if u >= 0 and i >= 0 else 0.0
