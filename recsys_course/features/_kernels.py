"""The compiled core of the window features: one function, which both the batch and the stream call.

It reads as follows. All entries that count stand in one log, in the order of their times. Three kinds of places in
that log move only to the right: ``end``, behind the last entry; ``seen``, behind the last one that lies before the
present; and a ``head`` for each window, at the oldest entry that still is inside. An entry that ``seen`` passes is
added to its key's count and sum; one that a head passes is taken out of them. So each entry costs the same however
long the window is, and what lies left of all heads can be thrown away.
"""

from __future__ import annotations

import numba
import numpy as np

COUNT, SUM, MEAN, SINCE = 0, 1, 2, 3


@numba.njit(cache=True, inline="always")
def add(total, lost, value):
    """Add to a sum and remember the rounding error (Neumaier, ZAMM 54, 1974): a large value leaves no trace."""
    new = total + value
    if abs(total) >= abs(value):
        lost += (total - new) + value
    else:
        lost += (value - new) + total
    return new, lost


@numba.njit(cache=True)
def walk(
    times, keys, counts_in, values, ask, learn,  # the rows: time, key, whether and with what value they count
    log_time, log_key, log_value, place,  # the log; place holds end, seen and then a head per window
    lengths, count, total, lost, last,  # per window; per key and window; per key
    kinds, windows, columns, out,  # what to write: which statistic of which window, into which column
):  # fmt: skip
    """Walk through rows in time order; each is asked about first, and then learned.

    A row at time t sees the entries with t - length <= time < t, so never itself nor another row of its instant.
    Key -1 has not been met, key -2 is missing.
    """
    for i in range(len(times)):
        now = times[i]
        # 1. What lies before the present is counted.
        while place[1] < place[0] and log_time[place[1]] < now:
            j = place[1]
            key = log_key[j]
            for w in range(len(lengths)):
                count[key, w] += 1
                total[key, w], lost[key, w] = add(total[key, w], lost[key, w], log_value[j])
            last[key] = log_time[j]
            place[1] += 1
        # 2. What has left a window is taken out of it.
        for w in range(len(lengths)):
            if lengths[w] < 0:  # a window over all the past: nothing leaves
                place[2 + w] = place[1]
                continue
            while place[2 + w] < place[1] and log_time[place[2 + w]] < now - lengths[w]:
                key = log_key[place[2 + w]]
                count[key, w] -= 1
                if count[key, w] == 0:  # an empty sum is 0, whatever rounding has left
                    total[key, w] = 0.0
                    lost[key, w] = 0.0
                else:
                    total[key, w], lost[key, w] = add(total[key, w], lost[key, w], -log_value[place[2 + w]])
                place[2 + w] += 1
        # 3. The row is asked about.
        if ask:
            key = keys[i]
            for f in range(len(kinds)):
                w = windows[f]
                n = count[key, w] if key >= 0 else 0
                if key == -2:
                    out[i, columns[f]] = np.nan
                elif kinds[f] == COUNT:
                    out[i, columns[f]] = n
                elif kinds[f] == SUM:
                    out[i, columns[f]] = total[key, w] + lost[key, w] if n > 0 else 0.0
                elif n == 0:
                    out[i, columns[f]] = np.nan
                elif kinds[f] == MEAN:
                    out[i, columns[f]] = (total[key, w] + lost[key, w]) / n
                else:
                    out[i, columns[f]] = now - last[key]
        # 4. The row is learned.
        if learn and counts_in[i] and keys[i] >= 0:
            log_time[place[0]] = now
            log_key[place[0]] = keys[i]
            log_value[place[0]] = values[i]
            place[0] += 1
