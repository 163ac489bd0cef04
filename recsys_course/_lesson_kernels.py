"""The compiled loop behind :meth:`recsys_course.lessons.LessonMaker.spread`."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def fill(block, order, known, draws, rehearse, timestamps, out):
    """Write the rows of one lesson after the other to ``out``: what is rehearsed, then what is new, in time order."""
    done = 0
    drawn = 0
    for b in block:
        before = known[b - 1]
        n_new = known[b] - before
        n_old = n_new * rehearse
        lesson = out[done : done + n_old + n_new]
        at = np.sort((draws[drawn : drawn + n_old] * before).astype(np.int64))
        for k in range(n_old):
            lesson[k] = order[at[k]]
        for k in range(n_new):
            lesson[n_old + k] = order[before + k]
        if n_old > 0:
            lesson[:] = lesson[np.argsort(timestamps[lesson], kind="mergesort")]
        done += n_old + n_new
        drawn += n_old
