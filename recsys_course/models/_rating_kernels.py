"""The compiled loops of the models that predict ratings: one function per idea.

Each works on float64 and on float32 alike: the arrays and the rates that it is given decide. Nothing is decided in
here: step sizes, regularisation and orders come as arguments. A fixed order of events and one machine give the same
bits each time; sums may be taken in parallel lanes (``_LANES``), which moves the last digits against a plain loop.

Names follow the notation of chapter 06a: ``user_bias`` b_u, ``item_bias`` b_i, ``user_factors`` the rows p_u,
``item_factors`` the rows q_i, ``implied`` the rows y_j.
"""

from __future__ import annotations

import numba
import numpy as np

# Sums may be reordered so that they run in parallel lanes; nothing else about arithmetic is relaxed.
_LANES = {"reassoc", "contract"}


@numba.njit(cache=True, fastmath=_LANES)
def score_pairs(users, items, mean, user_bias, item_bias, user_vectors, item_vectors, out):
    """mean + b_u + b_i + u . v for each row; an id without a row (-1) adds nothing."""
    for row in range(len(users)):
        u = users[row]
        i = items[row]
        total = mean
        if u >= 0:
            total += user_bias[u]
        if i >= 0:
            total += item_bias[i]
        if u >= 0 and i >= 0:
            for f in range(user_vectors.shape[1]):
                total += user_vectors[u, f] * item_vectors[i, f]
        out[row] = total


# ------------------------------------------------------------------------------- biased factorisation


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def descend(rows, users, items, labels, mean, state, rates):
    """One pass of stochastic gradient descent over the given rows, mu held fixed.

    While a rating is learned, the next rating's dot product is formed in the same loop if it is of the same user: p_u
    is at hand then, and is read once and not twice. The arithmetic of a step is the same either way.
    """
    user_bias, item_bias, user_factors, item_factors = state
    step_user, step_item, step_factor = rates[0], rates[1], rates[2]
    shrink_user, shrink_item, shrink_factor = rates[3], rates[4], rates[5]
    n_factors = user_factors.shape[1]
    zero = user_factors.dtype.type(0)
    keep = user_factors.dtype.type(1) - step_factor * shrink_factor
    known = False
    dot = zero
    for k in range(len(rows)):
        row = rows[k]
        u = users[row]
        i = items[row]
        p = user_factors[u]
        q = item_factors[i]
        if not known:
            dot = zero
            for f in range(n_factors):
                dot += p[f] * q[f]
        error = labels[row] - (mean + user_bias[u] + item_bias[i] + dot)
        user_bias[u] += step_user * (error - shrink_user * user_bias[u])
        item_bias[i] += step_item * (error - shrink_item * item_bias[i])
        push = step_factor * error
        known = k + 1 < len(rows) and users[rows[k + 1]] == u
        if known:  # and q is written before the next is read: they may be the same item
            following = item_factors[items[rows[k + 1]]]
            dot = zero
            for f in range(n_factors):
                p_old = p[f]
                q_old = q[f]
                p_new = keep * p_old + push * q_old
                p[f] = p_new
                q[f] = keep * q_old + push * p_old
                dot += p_new * following[f]
        else:
            for f in range(n_factors):
                p_old = p[f]
                q_old = q[f]
                p[f] = keep * p_old + push * q_old
                q[f] = keep * q_old + push * p_old


@numba.njit(cache=True, inline="always")
def _meet(u, i, label, met, count_initial, user_bias, item_bias, user_factors, item_factors):
    """Predict one event, then learn it; returns the prediction. Written into each of its callers."""
    number = user_factors.dtype.type
    step_user, step_item, step_factor = number(met[4]), number(met[5]), number(met[6])
    shrink_user, shrink_item, shrink_factor = number(met[7]), number(met[8]), number(met[9])
    keep = number(1) - step_factor * shrink_factor
    p = user_factors[u]
    q = item_factors[i]
    dot = number(0)
    for f in range(len(p)):
        dot += p[f] * q[f]
    score = user_bias[u] + item_bias[i] + dot
    # Rows are numbered by arrival, so a row beyond all that were met is that of a newcomer; its bias is still 0.
    newcomer = u >= met[2] or i >= met[3]
    predicted = met[0] + (score if count_initial or not newcomer else score - dot)
    met[2] = max(met[2], u + 1.0)
    met[3] = max(met[3], i + 1.0)
    # The mean takes the label in before the gradient is formed, as River has it.
    met[1] += 1.0
    met[0] += (label - met[0]) / met[1]
    error = number(label - (met[0] + score))
    user_bias[u] += step_user * (error - shrink_user * user_bias[u])
    item_bias[i] += step_item * (error - shrink_item * item_bias[i])
    push = step_factor * error
    for f in range(len(p)):
        p_old = p[f]
        q_old = q[f]
        p[f] = keep * p_old + push * q_old
        q[f] = keep * q_old + push * p_old
    return predicted


# Plain arrays, and few of them: for a single event, handing over the arguments costs more than the arithmetic.
@numba.njit(cache=True, fastmath=_LANES)
def meet_one(u, i, label, met, count_initial, user_bias, item_bias, user_factors, item_factors):
    return _meet(u, i, label, met, count_initial, user_bias, item_bias, user_factors, item_factors)


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def meet_all(users, items, labels, met, count_initial, user_bias, item_bias, user_factors, item_factors, out):
    """Predict and learn events in their order, one after the other.

    ``met`` holds the mean label, the number of labels behind it, how many users and items were learned from, and after
    these the six rates.
    """
    for row in range(len(users)):
        out[row] = _meet(
            users[row],
            items[row],
            labels[row],
            met,
            count_initial,
            user_bias,
            item_bias,
            user_factors,
            item_factors,
        )


# --------------------------------------------------------------------------------------------- SVD++


@numba.njit(cache=True)
def group_rows(codes, n_codes):
    """Rows grouped by code, in their order within a group: (starts, rows), a counting sort."""
    starts = np.zeros(n_codes + 1, np.int64)
    for code in codes:
        starts[code + 1] += 1
    for c in range(n_codes):
        starts[c + 1] += starts[c]
    at = starts[:-1].copy()
    rows = np.empty(len(codes), np.int64)
    for row in range(len(codes)):
        rows[at[codes[row]]] = row
        at[codes[row]] += 1
    return starts, rows


@numba.njit(cache=True)
def distinct_partners(starts, rows, partners, n_partners):
    """For each group the codes of its partners, each once, in the order in which they first appear."""
    last = np.full(n_partners, -1, np.int64)
    out_starts = np.zeros(len(starts), np.int64)
    out = np.empty(len(rows), partners.dtype)
    n = 0
    for g in range(len(starts) - 1):
        for k in range(starts[g], starts[g + 1]):
            partner = partners[rows[k]]
            if last[partner] != g:
                last[partner] = g
                out[n] = partner
                n += 1
        out_starts[g + 1] = n
    return out_starts, out[:n].copy()


@numba.njit(cache=True)
def shuffle_groups(starts, rows, draws):
    """Shuffle the rows of each group in place (Fisher and Yates), with a uniform number for each row."""
    for g in range(len(starts) - 1):
        for k in range(starts[g + 1] - 1, starts[g], -1):
            other = starts[g] + int(draws[k] * (k + 1 - starts[g]))
            rows[k], rows[other] = rows[other], rows[k]


@numba.njit(cache=True, fastmath=_LANES)
def add_up_implied(u, starts, had, implied, z):
    """z = sum of y_j over the items that u has had, divided by the square root of their number."""
    z[:] = 0
    n = starts[u + 1] - starts[u]
    if n == 0:
        return
    for k in range(starts[u], starts[u + 1]):
        y = implied[had[k]]
        for f in range(len(z)):
            z[f] += y[f]
    scale = z.dtype.type(1.0 / np.sqrt(n))
    for f in range(len(z)):
        z[f] *= scale


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def descend_implied(order, starts, rows, had_starts, had, items, labels, mean, state, implied, rates):
    """One pass of SVD++, user by user in the given order: see :mod:`recsys_course.models.svdpp` for the regrouping."""
    user_bias, item_bias, user_factors, item_factors = state
    step_user, step_item, step_factor = rates[0], rates[1], rates[2]
    shrink_user, shrink_item, shrink_factor = rates[3], rates[4], rates[5]
    step_implied, shrink_implied = rates[6], rates[7]
    n_factors = user_factors.shape[1]
    one = user_factors.dtype.type(1)
    keep = one - step_factor * shrink_factor
    keep_implied = one - step_implied * shrink_implied
    z = np.empty(n_factors, user_factors.dtype)
    z_start = np.empty(n_factors, user_factors.dtype)
    for u in order:
        n_ratings = starts[u + 1] - starts[u]
        if n_ratings == 0:
            continue
        add_up_implied(u, had_starts, had, implied, z)
        z_start[:] = z
        p = user_factors[u]
        left = one
        for k in range(starts[u], starts[u + 1]):
            row = rows[k]
            i = items[row]
            q = item_factors[i]
            dot = user_factors.dtype.type(0)
            for f in range(n_factors):
                dot += (p[f] + z[f]) * q[f]
            error = labels[row] - (mean + user_bias[u] + item_bias[i] + dot)
            user_bias[u] += step_user * (error - shrink_user * user_bias[u])
            item_bias[i] += step_item * (error - shrink_item * item_bias[i])
            push = step_factor * error
            push_implied = step_implied * error
            for f in range(n_factors):
                p_old = p[f]
                q_old = q[f]
                z_old = z[f]
                p[f] = keep * p_old + push * q_old
                q[f] = keep * q_old + push * (p_old + z_old)
                z[f] = keep_implied * z_old + push_implied * q_old
            left *= keep_implied
        # All y_j of the user have moved alike: by what z has moved, divided by the root of their number.
        scale = one / user_factors.dtype.type(np.sqrt(had_starts[u + 1] - had_starts[u]))
        for f in range(n_factors):
            z[f] = (z[f] - left * z_start[f]) * scale
        for k in range(had_starts[u], had_starts[u + 1]):
            y = implied[had[k]]
            for f in range(n_factors):
                y[f] = left * y[f] + z[f]


@numba.njit(cache=True)
def chain_up(starts, had, pairs):
    """What each user has had, as chains that can grow: (item, next, head, count, number of pairs)."""
    pair_item, pair_next, head, count, n_pairs = pairs
    for u in range(len(starts) - 1):
        for k in range(starts[u], starts[u + 1]):
            pair_item[k] = had[k]
            pair_next[k] = head[u]
            head[u] = k
        count[u] = starts[u + 1] - starts[u]
    n_pairs[0] = len(had)


@numba.njit(cache=True, fastmath=_LANES)
def add_up_chain(u, pairs, implied, z):
    pair_item, pair_next, head = pairs[0], pairs[1], pairs[2]
    z[:] = 0
    pair = head[u]
    while pair >= 0:
        y = implied[pair_item[pair]]
        for f in range(len(z)):
            z[f] += y[f]
        pair = pair_next[pair]


@numba.njit(cache=True, fastmath=_LANES)
def add_up_chains(pairs, implied, out):
    """z_u for every user, shape (n_users, n_factors)."""
    count = pairs[3]
    for u in range(len(out)):
        add_up_chain(u, pairs, implied, out[u])
        if count[u] > 0:
            scale = implied.dtype.type(1.0 / np.sqrt(count[u]))
            for f in range(out.shape[1]):
                out[u, f] *= scale


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def meet_all_implied(users, items, labels, met, count_initial, state, implied, pairs, rates, out):
    """Predict and learn events in their order: SVD++ as it is written down, each y_j moved by each event."""
    user_bias, item_bias, user_factors, item_factors = state
    step_user, step_item, step_factor = rates[0], rates[1], rates[2]
    shrink_user, shrink_item, shrink_factor = rates[3], rates[4], rates[5]
    step_implied, shrink_implied = rates[6], rates[7]
    pair_item, pair_next, head, count, n_pairs = pairs
    number = user_factors.dtype.type
    keep = number(1) - step_factor * shrink_factor
    keep_implied = number(1) - step_implied * shrink_implied
    n_factors = user_factors.shape[1]
    z = np.empty(n_factors, user_factors.dtype)
    for row in range(len(users)):
        u = users[row]
        i = items[row]
        p = user_factors[u]
        q = item_factors[i]
        add_up_chain(u, pairs, implied, z)
        root = number(np.sqrt(max(count[u], 1)))
        dot = number(0)
        for f in range(n_factors):
            dot += (p[f] + z[f] / root) * q[f]
        newcomer = u >= met[2] or i >= met[3]
        bias = user_bias[u] + item_bias[i]
        out[row] = met[0] + (bias + dot if count_initial or not newcomer else bias)
        met[2] = max(met[2], u + 1.0)
        met[3] = max(met[3], i + 1.0)
        # What is learned now belongs to what the user has had, as it does in a pass of fit.
        pair = head[u]
        while pair >= 0 and pair_item[pair] != i:
            pair = pair_next[pair]
        if pair < 0:
            pair_item[n_pairs[0]] = i
            pair_next[n_pairs[0]] = head[u]
            head[u] = n_pairs[0]
            n_pairs[0] += 1
            count[u] += 1
            for f in range(n_factors):
                z[f] += implied[i, f]
        root = number(np.sqrt(count[u]))
        dot = number(0)
        for f in range(n_factors):
            z[f] /= root
            dot += (p[f] + z[f]) * q[f]
        met[1] += 1.0
        met[0] += (labels[row] - met[0]) / met[1]
        error = number(labels[row] - (met[0] + bias + dot))
        user_bias[u] += step_user * (error - shrink_user * user_bias[u])
        item_bias[i] += step_item * (error - shrink_item * item_bias[i])
        push = step_factor * error
        push_implied = step_implied * error / root
        pair = head[u]
        while pair >= 0:
            y = implied[pair_item[pair]]
            for f in range(n_factors):
                y[f] = keep_implied * y[f] + push_implied * q[f]
            pair = pair_next[pair]
        for f in range(n_factors):
            p_old = p[f]
            q_old = q[f]
            p[f] = keep * p_old + push * q_old
            q[f] = keep * q_old + push * (p_old + z[f])


# ---------------------------------------------------------------------- alternating least squares


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def solve_rows(
    which, starts, rows, partners, labels, mean, bias, factors, other_bias, other_factors, ridge, per_rating
):
    """Set each of the rows in ``which`` to the minimum of its ridge regression on its partners, in closed form.

    With x = (b, p) and the design row (1, q_i) for each rating: (D'D + ridge I) x = D' (r - mu - b_i); with
    ``per_rating`` the ridge is multiplied by the number of ratings. Solved by Cholesky's factorisation.
    """
    n = factors.shape[1] + 1
    gram = np.empty((n, n))
    right = np.empty(n)
    for u in which:
        count = starts[u + 1] - starts[u]
        gram[:] = 0.0
        right[:] = 0.0
        for k in range(starts[u], starts[u + 1]):
            i = partners[rows[k]]
            q = other_factors[i]
            target = labels[rows[k]] - mean - other_bias[i]
            gram[0, 0] += 1.0
            right[0] += target
            for f in range(1, n):
                value = q[f - 1]
                right[f] += target * value
                gram[f, 0] += value
                for g in range(1, f + 1):
                    gram[f, g] += value * q[g - 1]
        for f in range(n):
            gram[f, f] += ridge * max(count, 1) if per_rating else ridge
        for f in range(n):  # the lower triangle becomes L, with L L' the matrix
            for g in range(f + 1):
                total = gram[f, g]
                for h in range(g):
                    total -= gram[f, h] * gram[g, h]
                gram[f, g] = np.sqrt(total) if f == g else total / gram[g, g]
        for f in range(n):  # L v = right
            total = right[f]
            for h in range(f):
                total -= gram[f, h] * right[h]
            right[f] = total / gram[f, f]
        for f in range(n - 1, -1, -1):  # L' x = v
            total = right[f]
            for h in range(f + 1, n):
                total -= gram[h, f] * right[h]
            right[f] = total / gram[f, f]
        bias[u] = right[0]
        for f in range(1, n):
            factors[u, f - 1] = right[f]


# ------------------------------------------------------------------------------------ Gibbs sampling


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def sample_biases(codes, counts, residual, noise, precision, bias, normals):
    """Draw every bias of one side given all else, and take the change out of the residuals."""
    total = np.zeros(len(bias))
    for row in range(len(codes)):
        total[codes[row]] += residual[row]
    for c in range(len(bias)):
        weight = noise * counts[c] + precision
        drawn = noise * (total[c] + counts[c] * bias[c]) / weight + normals[c] / np.sqrt(weight)
        total[c] = drawn - bias[c]
        bias[c] = drawn
    for row in range(len(codes)):
        residual[row] -= total[codes[row]]


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def sample_factor(
    own,
    other,
    by_partner_starts,
    by_partner,
    scale,
    residual,
    noise,
    precision,
    implied_precision,
    factor,
    implied,
    vector,
    other_vector,
    normals,
    implied_normals,
):
    """Draw one factor of one side: p of every user, then y of every item, given everything else.

    ``vector`` is p_u + n_u**-0.5 * sum of y_j, what a user's ratings see; ``scale`` holds n_u**-0.5. With the other
    side fixed at B, a user's ratings enter through two sums alone: S1 = sum of residuals times B, and S2 = sum of B**2.
    A y_j enters each user u that has had j as a part n_u**-0.5 of the same sums, so it needs no pass over the ratings;
    S1 is kept in step after each draw, and the residuals are brought up to date once at the end.
    """
    n = len(factor)
    s1 = np.zeros(n)
    s2 = np.zeros(n)
    moved = np.zeros(n)
    for row in range(len(own)):
        b = other_vector[other[row]]
        s1[own[row]] += residual[row] * b
        s2[own[row]] += b * b
    for u in range(n):
        weight = noise * s2[u] + precision
        drawn = noise * (s1[u] + s2[u] * factor[u]) / weight + normals[u] / np.sqrt(weight)
        moved[u] = drawn - factor[u]
        s1[u] -= moved[u] * s2[u]
        factor[u] = drawn
    for j in range(len(implied)):
        t1 = 0.0
        t2 = 0.0
        for k in range(by_partner_starts[j], by_partner_starts[j + 1]):
            u = by_partner[k]
            t1 += s1[u] * scale[u]
            t2 += s2[u] * scale[u] * scale[u]
        weight = noise * t2 + implied_precision
        drawn = noise * (t1 + t2 * implied[j]) / weight + implied_normals[j] / np.sqrt(weight)
        change = drawn - implied[j]
        implied[j] = drawn
        for k in range(by_partner_starts[j], by_partner_starts[j + 1]):
            u = by_partner[k]
            s1[u] -= change * scale[u] * s2[u]
            moved[u] += change * scale[u]
    for u in range(n):
        vector[u] += moved[u]
    for row in range(len(own)):
        residual[row] -= moved[own[row]] * other_vector[other[row]]


@numba.njit(cache=True, nogil=True)
def posterior_scores(
    users, items, mean, user_bias, item_bias, user_vectors, item_vectors, user_prior, item_prior, low, high, out, spread
):
    """Mean and standard deviation of each row's score over the draws, each draw's score kept inside the range.

    A stranger (-1) stands at zero in every draw; the variance that the draw's prior gives it, (n_draws, n_factors + 1)
    with that of the bias first, goes into the spread.
    """
    n_draws = len(user_bias)
    for row in range(len(users)):
        u = users[row]
        i = items[row]
        total = 0.0
        squares = 0.0
        for s in range(n_draws):
            score = 0.0
            unknown = 0.0
            if u >= 0:
                score += user_bias[s, u]
            else:
                unknown += user_prior[s, 0]
            if i >= 0:
                score += item_bias[s, i]
            else:
                unknown += item_prior[s, 0]
            for f in range(user_vectors.shape[2]):
                if u >= 0 and i >= 0:
                    score += user_vectors[s, u, f] * item_vectors[s, i, f]
                elif u >= 0:
                    unknown += user_vectors[s, u, f] ** 2 * item_prior[s, f + 1]
                elif i >= 0:
                    unknown += user_prior[s, f + 1] * item_vectors[s, i, f] ** 2
                else:
                    unknown += user_prior[s, f + 1] * item_prior[s, f + 1]
            # About the mean label: squares of small numbers lose no digits.
            score = min(max(mean + score, low), high) - mean
            total += score
            squares += score * score + unknown
        out[row] = mean + total / n_draws
        spread[row] = np.sqrt(max(squares / n_draws - (total / n_draws) ** 2, 0.0))
