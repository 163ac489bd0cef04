"""The compiled loops of :mod:`recsys_course.models.bpr`: a set of pairs, and the pass over the events."""

from __future__ import annotations

import numba
import numpy as np

# Sums may be reordered so that they run in parallel lanes; nothing else about arithmetic is relaxed.
_LANES = {"reassoc", "contract"}


@numba.njit(cache=True, inline="always")
def _slot(table, key):
    """Where a key stands in the set, or where it would: the first place, from its own on, that is its or free (-1)."""
    mask = np.uint64(len(table) - 1)
    # Fibonacci hashing: neighbours are thrown far apart by a product, whose high bits are the best mixed.
    place = ((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while table[place] != key and table[place] != -1:
        place = (place + np.uint64(1)) & mask
    return place


@numba.njit(cache=True)
def refill(old, table):
    """Put the keys of one set into another, larger one."""
    for key in old:
        if key != -1:
            table[_slot(table, key)] = key


@numba.njit(cache=True)
def admit(users, items, known, log, table):
    """Note that these events happened: ``known`` counts items and events, ``log`` holds the events' items."""
    for row in range(len(users)):
        _admit(users[row], items[row], known, log, table)


@numba.njit(cache=True, inline="always")
def _admit(u, i, known, log, table):
    known[0] = max(known[0], i + 1)
    log[known[1]] = i
    known[1] += 1
    key = (u << 32) | i
    table[_slot(table, key)] = key


@numba.njit(cache=True, nogil=True)
def draw_rivals(order, users, items, new, draws, popular, known, log, table, out):
    """For each event an item that its user has not taken: of the items known by then or, with ``popular``, the events.

    Draws that hit what the user has taken are passed over; if all do, the rival is -1. No parameter is looked at, so
    this is a pass of its own: its many look-ups, far apart in memory, then wait for each other and for nothing else.
    """
    for at in range(len(order)):
        u = users[order[at]]
        if new:
            _admit(u, items[order[at]], known, log, table)
        out[at] = -1
        for d in range(draws.shape[1]):
            rival = log[int(draws[at, d] * known[1])] if popular else int(draws[at, d] * known[0])
            if table[_slot(table, (u << 32) | rival)] == -1:
                out[at] = rival
                break


@numba.njit(cache=True, nogil=True, fastmath=_LANES)
def learn(order, users, items, rivals, user_rows, item_rows, item_bias, rates):
    """One step for each event: its item should stand above its rival."""
    step_size, shrink = rates[0], rates[1]
    one = rates.dtype.type(1)
    keep = one - step_size * shrink
    for at in range(len(order)):
        u, i, j = users[order[at]], items[order[at]], rivals[at]
        if j < 0:
            continue
        p, q, r = user_rows[u], item_rows[i], item_rows[j]
        ahead = item_bias[i] - item_bias[j]
        for f in range(len(p)):
            ahead += p[f] * (q[f] - r[f])
        push = step_size / (one + np.exp(ahead))
        for f in range(len(p)):
            old, above, below = p[f], q[f], r[f]
            p[f] = keep * old + push * (above - below)
            q[f] = keep * above + push * old
            r[f] = keep * below - push * old
        item_bias[i] = keep * item_bias[i] + push
        item_bias[j] = keep * item_bias[j] - push


@numba.njit(cache=True, fastmath=_LANES)
def pair_scores(users, items, user_rows, item_rows, item_bias, out):
    """b_i + p_u . q_i of each pair; b_i alone for a user who is not known (-1), minus infinity for such an item."""
    for pair in range(len(users)):
        u, i = users[pair], items[pair]
        if i < 0:
            out[pair] = -np.inf
            continue
        total = item_bias[i]
        if u >= 0:
            for f in range(user_rows.shape[1]):
                total += user_rows[u, f] * item_rows[i, f]
        out[pair] = total
