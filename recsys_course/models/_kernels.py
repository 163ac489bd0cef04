"""The compiled loops of the models: one function per idea, shared by the plain calls and by the fused pass.

``predict`` and ``update`` call the same few functions that a fused pass calls, in the same order and with
the same operands; that is why the two agree to the last bit, which the tests check. Importing this module
loads numba; a function is compiled when it is first called and kept on disk after that.

Names follow the notation of chapter 00: ``mean`` is mu, ``user_bias`` b_u, ``item_bias`` b_i, ``user_factors``
the rows p_u, ``item_factors`` the rows q_i. A row of -1 is an id that the model has never met.
"""

from __future__ import annotations

import numba
import numpy as np

# Sums may be reordered so that they run in parallel lanes; nothing else about arithmetic is relaxed.
_LANES = {"reassoc", "contract"}


@numba.njit(cache=True, inline="always")
def sigmoid(z):
    if z >= 0:
        return 1.0 / (1.0 + np.exp(-z))
    e = np.exp(z)
    return e / (1.0 + e)


@numba.njit(cache=True, inline="always")
def dot(p, q):
    total = 0.0
    for f in range(len(p)):
        total += p[f] * q[f]
    return total


@numba.njit(cache=True, inline="always")
def in_label_units(score, logistic, low, high):
    if logistic:
        return sigmoid(score)
    return min(max(score, low), high)


@numba.njit(cache=True, inline="always")
def step(error, p, q, step_factor, shrink_factor):
    """One gradient step on one pair of rows; both move from their old values, as the gradient of the pair says."""
    for f in range(len(p)):
        p_old = p[f]
        q_old = q[f]
        p[f] = p_old + step_factor * (error * q_old - shrink_factor * p_old)
        q[f] = q_old + step_factor * (error * p_old - shrink_factor * q_old)


# ---------------------------------------------------------------------------------------------- labels


@numba.njit(cache=True, inline="always")
def mean_score(total, logistic):
    """mu: the running mean of the labels (or its log-odds, one label of each kind added so that it is finite)."""
    if logistic:
        share = (total[0] + 1.0) / (total[1] + 2.0)
        return np.log(share / (1.0 - share))
    if total[1] == 0.0:
        return 0.0
    return total[0] / total[1]


@numba.njit(cache=True, fastmath=_LANES, inline="always")
def _learn_labels(rows, users, items, labels, count, total, state, rates, logistic):
    """Learn the given rows, one after the other; with ``count`` each enters mu and the counts first."""
    user_bias, item_bias, user_factors, item_factors, user_count, item_count = state
    step_bias, step_factor, shrink_bias, shrink_factor = rates
    for row in rows:
        u = users[row]
        i = items[row]
        if count:
            total[0] += labels[row]
            total[1] += 1.0
            user_count[u] += 1
            item_count[i] += 1
        p = user_factors[u]
        q = item_factors[i]
        score = mean_score(total, logistic) + user_bias[u] + item_bias[i] + dot(p, q)
        error = labels[row] - (sigmoid(score) if logistic else score)
        user_bias[u] += step_bias * (error - shrink_bias * user_bias[u])
        item_bias[i] += step_bias * (error - shrink_bias * item_bias[i])
        step(error, p, q, step_factor, shrink_factor)


@numba.njit(cache=True, fastmath=_LANES, inline="always")
def _predict_labels(first, last, users, items, total, state, logistic, low, high, out):
    """Write the predictions of rows first .. last - 1 to out[0], out[1], ...

    An id from which nothing was learned yet adds nothing: its factors are still random numbers.
    """
    user_bias, item_bias, user_factors, item_factors, user_count, item_count = state
    mean = mean_score(total, logistic)
    for row in range(first, last):
        u = users[row]
        i = items[row]
        score = mean
        known_user = u >= 0 and user_count[u] > 0
        known_item = i >= 0 and item_count[i] > 0
        if known_user:
            score += user_bias[u]
        if known_item:
            score += item_bias[i]
        if known_user and known_item:
            score += dot(user_factors[u], item_factors[i])
        out[row - first] = in_label_units(score, logistic, low, high)


# The two are written into the fused pass, where a call for each event would cost ten times what it does.
learn_labels = numba.njit(cache=True, fastmath=_LANES)(_learn_labels.py_func)
predict_labels = numba.njit(cache=True, fastmath=_LANES)(_predict_labels.py_func)


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def run_labels(starts, ends, order, known, users, items, labels, total, state, rates, logistic, low, high, out):
    """The fused pass: predict a block, learn what has arrived, predict the next, ..."""
    for b in range(len(starts)):
        if b > 0:
            _learn_labels(order[known[b - 1] : known[b]], users, items, labels, True, total, state, rates, logistic)
        _predict_labels(
            starts[b], ends[b], users, items, total, state, logistic, low, high, out[starts[b] - starts[0] :]
        )


# -------------------------------------------------------------------------------------------- rankings


@numba.njit(cache=True, fastmath=_LANES)
def learn_positives(rows, users, items, count, draws, known_items, state, rates):
    """Learn that each row's user took its item, and that the user did not take some items drawn at random.

    ``draws`` has a row of uniform numbers per learned event; number d picks item ``int(d * known)`` among the
    items known by then (``known_items[0]``, which grows as new items come).
    """
    user_bias, item_bias, user_factors, item_factors, user_count, item_count = state
    step_bias, step_factor, shrink_bias, shrink_factor = rates
    for k in range(len(rows)):
        u = users[rows[k]]
        taken = items[rows[k]]
        if count:
            user_count[u] += 1
            item_count[taken] += 1
            known_items[0] = max(known_items[0], taken + 1)
        p = user_factors[u]
        for d in range(-1, draws.shape[1]):
            i = taken if d < 0 else int(draws[k, d] * known_items[0])
            if d >= 0 and i == taken:
                continue
            q = item_factors[i]
            label = 1.0 if d < 0 else 0.0
            error = label - sigmoid(user_bias[u] + item_bias[i] + dot(p, q))
            user_bias[u] += step_bias * (error - shrink_bias * user_bias[u])
            item_bias[i] += step_bias * (error - shrink_bias * item_bias[i])
            step(error, p, q, step_factor, shrink_factor)


@numba.njit(cache=True, fastmath=_LANES)
def score_catalogue(u, catalogue, state, out):
    """Scores of one user for the model rows in ``catalogue``; -inf where the model has no row."""
    user_bias, item_bias, user_factors, item_factors, user_count, item_count = state
    known_user = u >= 0 and user_count[u] > 0
    p = user_factors[max(u, 0)]
    own_bias = user_bias[u] if known_user else 0.0
    for c in range(len(catalogue)):
        i = catalogue[c]
        if i < 0 or item_count[i] == 0:
            out[c] = -np.inf
        elif known_user:
            out[c] = own_bias + item_bias[i] + dot(p, item_factors[i])
        else:
            out[c] = item_bias[i]


@numba.njit(cache=True)
def rank_codes(scores, codes, had, out):
    """Ranks of several items in one contest; :func:`recsys_course.candidates.rank_among`, compiled."""
    for t in range(len(codes)):
        own_code = codes[t]
        if own_code >= len(scores):
            out[t] = np.inf
            continue
        own = scores[own_code]
        above = 0
        level = -1
        for c in range(len(scores)):
            above += scores[c] > own
            level += scores[c] == own
        barred = False
        for h in had:
            if h < len(scores):
                barred = barred or h == own_code
                above -= scores[h] > own
                level -= scores[h] == own
        out[t] = np.inf if barred else above + 0.5 * level


@numba.njit(cache=True, nogil=True)
def run_ranks(
    starts,
    ends,
    order,
    known,
    users,
    items,
    draws,
    known_items,
    state,
    rates,
    group_starts,
    group_ends,
    n_seen,
    codes,
    had,
    had_start,
    had_stop,
    catalogue,
    out,
):
    """The fused pass of a ranker. ``catalogue[code]`` is the model's row of the stream's item ``code``."""
    scores = np.empty(len(catalogue))
    group = np.searchsorted(group_starts, starts[0])
    learned = 0
    for b in range(len(starts)):
        if b > 0:
            rows = order[known[b - 1] : known[b]]
            learn_positives(rows, users, items, True, draws[learned : learned + len(rows)], known_items, state, rates)
            learned += len(rows)
        while group < len(group_ends) and group_ends[group] <= ends[b]:
            first = group_starts[group]
            last = group_ends[group]
            score_catalogue(users[first], catalogue[: n_seen[group]], state, scores)
            rank_codes(
                scores[: n_seen[group]],
                codes[first:last],
                had[had_start[group] : had_stop[group]],
                out[first - starts[0] : last - starts[0]],
            )
            group += 1


# ------------------------------------------------------------------------------------------- baselines


@numba.njit(cache=True)
def learn_means(rows, users, items, labels, total, user_sum, user_weight, item_sum, item_weight, keep, shrink):
    """Running means with forgetting: an old label counts ``keep`` times less with each newer one of the same id."""
    for row in rows:
        u = users[row]
        i = items[row]
        total[0] += labels[row]
        total[1] += 1.0
        above_mean = labels[row] - total[0] / total[1]
        item_sum[i] = keep * item_sum[i] + above_mean
        item_weight[i] = keep * item_weight[i] + 1.0
        above_item = above_mean - item_sum[i] / (item_weight[i] + shrink)
        user_sum[u] = keep * user_sum[u] + above_item
        user_weight[u] = keep * user_weight[u] + 1.0


@numba.njit(cache=True)
def predict_means(first, last, users, items, total, user_sum, user_weight, item_sum, item_weight, shrink, out):
    mean = total[0] / total[1]
    for row in range(first, last):
        score = mean
        i = items[row]
        if i >= 0:
            score += item_sum[i] / (item_weight[i] + shrink)
        u = users[row]
        if u >= 0:
            score += user_sum[u] / (user_weight[u] + shrink)
        out[row - first] = score


@numba.njit(cache=True, nogil=True)
def run_means(starts, ends, order, known, users, items, labels, state, keep, shrink, out):
    total, user_sum, user_weight, item_sum, item_weight = state
    for b in range(len(starts)):
        if b > 0:
            rows = order[known[b - 1] : known[b]]
            learn_means(rows, users, items, labels, total, user_sum, user_weight, item_sum, item_weight, keep, shrink)
        to = out[starts[b] - starts[0] :]
        predict_means(starts[b], ends[b], users, items, total, user_sum, user_weight, item_sum, item_weight, shrink, to)


@numba.njit(cache=True)
def learn_counts(rows, users, items, pairs, position, recent, counts, personal, fade):
    """Count items over the latest ``len(recent)`` events (0: over all), and, per user, with forgetting.

    ``personal`` holds one entry per pair of a user and an item, chained into a list for each user: the entry's
    item, its weight, the user's clock when the weight was right, and the next entry. A clock advances with each
    event of the user, and a weight fades with the clock, so nothing has to be touched until it is read: after n ticks
    ``fade[n]`` of it is left. Without ``fade`` nothing is counted per user.
    """
    pair_item, pair_weight, pair_clock, pair_next, head, clock = personal
    for row in rows:
        u = users[row]
        i = items[row]
        if len(recent) > 0:
            slot = position[0] % len(recent)
            if position[0] >= len(recent):
                counts[recent[slot]] -= 1.0
            recent[slot] = i
        position[0] += 1
        counts[i] += 1.0
        if len(fade) > 0:
            pair = pairs[row]
            clock[u] += 1
            if pair_item[pair] < 0:
                pair_item[pair] = i
                pair_next[pair] = head[u]
                head[u] = pair
            pair_weight[pair] = pair_weight[pair] * fade[clock[u] - pair_clock[pair]] + 1.0
            pair_clock[pair] = clock[u]


@numba.njit(cache=True)
def score_counts(u, catalogue, row_to_code, position, recent, counts, seen, personal, fade, out):
    """Popularity as a share of at most 1, plus the user's own weights; -inf for an item without an event."""
    pair_item, pair_weight, pair_clock, pair_next, head, clock = personal
    size = float(position[0]) if len(recent) == 0 else float(min(position[0], len(recent)))
    for c in range(len(catalogue)):
        i = catalogue[c]
        out[c] = counts[i] / (size + 1.0) if i >= 0 and seen[i] else -np.inf
    if len(fade) > 0 and u >= 0:
        pair = head[u]
        while pair >= 0:
            c = row_to_code[pair_item[pair]]
            if 0 <= c < len(catalogue):
                out[c] += pair_weight[pair] * fade[clock[u] - pair_clock[pair]]
            pair = pair_next[pair]


@numba.njit(cache=True, nogil=True)
def run_count_ranks(
    starts,
    ends,
    order,
    known,
    users,
    items,
    pairs,
    position,
    recent,
    counts,
    seen,
    personal,
    fade,
    group_starts,
    group_ends,
    n_seen,
    codes,
    had,
    had_start,
    had_stop,
    catalogue,
    row_to_code,
    out,
):
    scores = np.empty(len(catalogue))
    group = np.searchsorted(group_starts, starts[0])
    for b in range(len(starts)):
        if b > 0:
            rows = order[known[b - 1] : known[b]]
            learn_counts(rows, users, items, pairs, position, recent, counts, personal, fade)
            for row in rows:
                seen[items[row]] = True
        while group < len(group_ends) and group_ends[group] <= ends[b]:
            first = group_starts[group]
            last = group_ends[group]
            contest = catalogue[: n_seen[group]]
            score_counts(users[first], contest, row_to_code, position, recent, counts, seen, personal, fade, scores)
            rank_codes(
                scores[: n_seen[group]],
                codes[first:last],
                had[had_start[group] : had_stop[group]],
                out[first - starts[0] : last - starts[0]],
            )
            group += 1
