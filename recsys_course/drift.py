"""Detectors of change: what they compute after each value of a stream, before any of them has rung.

A detector reads one number after the other, mostly the errors of a model, and rings when a statistic passes a
threshold. Up to that moment the statistic does not depend on the threshold. So one pass that writes it down, without
ever ringing, answers for *all* thresholds at once when each of them would have rung first. That is what the
functions ``..._path`` are for; what runs in production is a detector with a threshold, as those of River are, or
:class:`WindowedZTest` here.

================== ================================================= =====================================
path               statistic                                         rings in River
================== ================================================= =====================================
page_hinkley_path  cumulative sum above its minimum                  ``PageHinkley``: above ``threshold``
adwin_path         evidence in nats of the best cut of the window    ``ADWIN``: above ``ln(1 / delta)``
ks_path            distance of two distribution functions            ``KSWIN``: p-value of it up to ``alpha``
z_path             standardised difference of two means              not there: see :class:`WindowedZTest`
================== ================================================= =====================================
"""

from __future__ import annotations

from collections import deque
from math import sqrt

import numba
import numpy as np

__all__ = ["WindowedZTest", "adwin_path", "first_alarms", "ks_path", "page_hinkley_path", "z_path"]


def first_alarms(path, thresholds) -> np.ndarray:
    """For each threshold, the place of the first value of the path above it; the length of the path if none is.

    Parameters
    ----------
    path : array, shape (n_events,)
        A statistic after each event; NaN where there is none yet.
    thresholds : array, shape (n_thresholds,)

    Returns
    -------
    int64 ndarray, shape (n_thresholds,)

    Notes
    -----
    Taught in chapter 10a.

    Examples
    --------
    >>> first_alarms([np.nan, 1.0, 0.5, 3.0], [0.7, 2.0, 9.0])
    array([1, 3, 4])
    """
    path = np.asarray(path, float)
    highest = np.maximum.accumulate(np.where(np.isnan(path), -np.inf, path))
    return np.searchsorted(highest, np.asarray(thresholds, float), side="right")


def page_hinkley_path(values, *, delta: float = 0.005, alpha: float = 1 - 0.0001, min_instances: int = 30):
    """Page-Hinkley's sum above its minimum, for a mean that rises: ``mode="up"`` of River.

    Parameters
    ----------
    values : array, shape (n_events,)
    delta : float
        In the unit of the values: a rise below it is let pass.
    alpha : float
        Factor by which the sum fades with each event.
    min_instances : int
        There is no statistic before so many events.

    Returns
    -------
    float64 ndarray, shape (n_events,), in the unit of the values; NaN before ``min_instances``.

    Raises
    ------
    ValueError
        A value is missing or infinite.

    Notes
    -----
    S_t = alpha S_(t-1) + x_t - mean(x_1..x_t) - delta; the statistic is S_t - min(S_1..S_t). E. S. Page, Biometrika
    41, 1954, 10.1093/biomet/41.1-2.100. Taught in chapter 10a.

    Examples
    --------
    >>> page_hinkley_path([0.0, 0.0, 3.0], delta=0.0, alpha=1.0, min_instances=2)
    array([nan,  0.,  2.])
    """
    return _page_hinkley(_values(values), delta, alpha, min_instances)


def adwin_path(values, *, clock: int = 32, max_buckets: int = 5, min_window_length: int = 5, grace_period: int = 10):
    """The evidence for the best cut of the whole window, in nats: ADWIN rings where it passes ln(1 / delta).

    Parameters
    ----------
    values : array, shape (n_events,)
        Between 0 and 1, or else the bound behind ADWIN does not hold.
    clock, max_buckets, min_window_length, grace_period : int
        As those of ``river.drift.ADWIN``.

    Returns
    -------
    float64 ndarray, shape (n_events,); NaN where ADWIN does not look.

    Raises
    ------
    ValueError
        A value is missing or infinite.

    Notes
    -----
    For a cut into n0 and n1 values with means that are d apart, 1/m = 1/n0' + 1/n1' (n' = n - min_window_length + 1)
    and variance v, ADWIN asks whether d > sqrt(2 v L / m) + 2 L / (3 m), L = ln(2 ln(n0 + n1) / delta). Solving for L
    gives the largest L for which it is so; L - ln(2 ln(n0 + n1)) is the largest ln(1 / delta). Bifet and Gavaldà, SDM
    2007, 10.1137/1.9781611972771.42. Taught in chapter 10a.

    Examples
    --------
    >>> evidence = adwin_path([0.0] * 64 + [1.0] * 64)
    >>> np.flatnonzero(evidence > np.log(1 / 0.002)).tolist()
    [95, 127]
    """
    return _adwin(_values(values), clock, max_buckets, min_window_length, grace_period)


def ks_path(values, *, window: int = 100, recent: int = 30, clock: int = 1, rng: np.random.Generator):
    """Distance of Kolmogorov and Smirnov between the latest values and as many drawn from those before them.

    Parameters
    ----------
    values : array, shape (n_events,)
    window : int
        Length of the whole window.
    recent : int
        Length of its latest part; as many are drawn, without replacement, from the rest.
    clock : int
        Look only after each so many events.
    rng : numpy.random.Generator

    Returns
    -------
    float64 ndarray, shape (n_events,), between 0 and 1; NaN before the window is full, and where nobody looks.

    Raises
    ------
    ValueError
        The window is not at least twice as long as its latest part, or a value is missing or infinite.

    Notes
    -----
    Raab, Heusinger and Schleif, Neurocomputing, 2020, 10.1016/j.neucom.2019.11.111. River's ``KSWIN`` rings where the
    p-value is at most its ``alpha`` *and* the distance is above 0.1. Taught in chapter 10a.

    Examples
    --------
    >>> ks_path([0.0] * 4 + [1.0] * 2, window=6, recent=2, rng=np.random.default_rng(0))
    array([nan, nan, nan, nan, nan,  1.])
    """
    if not 1 <= recent <= window - recent:
        raise ValueError(f"recent must lie between 1 and half of the window ({window}), not {recent}")
    return _ks(_values(values), window, recent, clock, rng)


def z_path(values, *, reference: int = 1000, window: int = 500):
    """How many standard errors the mean of the latest values lies above that of the first ones.

    Parameters
    ----------
    values : array, shape (n_events,)
    reference, window : int
        How many of the first values are the reference; how many of the latest are compared with it.

    Returns
    -------
    float64 ndarray, shape (n_events,); NaN before ``reference + window`` events.

    Raises
    ------
    ValueError
        The reference or the window is too short, or a value is missing or infinite.

    Notes
    -----
    (mean of window - mean of reference) / (sd of reference * sqrt(1/window + 1/reference)). Taught in chapter 10a.

    Examples
    --------
    >>> z_path([0.0, 1.0, 0.0, 1.0, 3.0, 3.0], reference=4, window=2).round(2)
    array([nan, nan, nan, nan, nan,  5.])
    """
    _check_z(reference, window)
    values = _values(values)
    z = np.full(len(values), np.nan)
    if len(values) < reference + window:
        return z
    first = values[:reference]
    total = np.cumsum(np.append(0.0, values - first.mean()))
    latest = (total[window:] - total[:-window]) / window
    with np.errstate(divide="ignore", invalid="ignore"):  # no spread: any rise is infinite, and none is no number
        z[reference + window - 1 :] = latest[reference:] / _standard_error(first.std(ddof=1), reference, window)
    return z


class WindowedZTest:
    """Rings when the latest values lie significantly above the first ones; then it begins anew.

    It has what River's detectors have, ``update`` and ``drift_detected``, and can stand in their place.

    Parameters
    ----------
    reference, window : int
        How many values are the reference; how many of the latest are compared with it.
    threshold : float
        In standard errors.

    Raises
    ------
    ValueError
        The reference or the window is too short.

    Notes
    -----
    Taught in chapter 10a.

    Examples
    --------
    >>> test = WindowedZTest(reference=4, window=2, threshold=3.0)
    >>> for x in [0.0, 1.0, 0.0, 1.0, 3.0, 3.0]:
    ...     test.update(x)
    >>> test.drift_detected
    True
    """

    def __init__(self, *, reference: int = 1000, window: int = 500, threshold: float = 4.0) -> None:
        _check_z(reference, window)
        self.reference, self.window, self.threshold = reference, window, threshold
        self._reset()

    def _reset(self) -> None:
        self.drift_detected = False
        self._n, self._mean, self._squares = 0, 0.0, 0.0
        self._latest: deque[float] = deque(maxlen=self.window)

    def update(self, x: float) -> None:
        """Take in one value; ``drift_detected`` says whether it rings."""
        if self.drift_detected:
            self._reset()
        if self._n < self.reference:  # Welford's recursion, as in chapter 02b
            self._n += 1
            before = x - self._mean
            self._mean += before / self._n
            self._squares += before * (x - self._mean)
            return
        self._latest.append(x)
        if len(self._latest) == self.window:
            sd = sqrt(self._squares / (self.reference - 1))
            rise = sum(self._latest) / self.window - self._mean
            self.drift_detected = bool(rise > self.threshold * _standard_error(sd, self.reference, self.window))


def _standard_error(sd: float, reference: int, window: int) -> float:
    return sd * sqrt(1 / window + 1 / reference)


def _check_z(reference: int, window: int) -> None:
    if reference < 2 or window < 1:
        raise ValueError(f"reference must be at least 2 and window at least 1, not {reference} and {window}")


def _values(values) -> np.ndarray:
    values = np.ascontiguousarray(values, float)
    if values.ndim != 1:
        raise ValueError(f"values have shape {values.shape}: give one per event, in time order")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"the value of row {bad[0]} is missing or infinite: leave it out, or fill it")
    return values


@numba.njit(cache=True)
def _page_hinkley(values, delta, alpha, min_instances):
    path = np.full(len(values), np.nan)
    mean, total, lowest = 0.0, 0.0, np.inf
    for t in range(len(values)):
        mean += (values[t] - mean) / (t + 1)
        total = alpha * total + values[t] - mean - delta
        lowest = min(lowest, total)
        if t + 1 >= min_instances:
            path[t] = total - lowest
    return path


@numba.njit(cache=True)
def _adwin(values, clock, max_buckets, min_length, grace):
    """Rows of buckets: each bucket of row i holds the sum of 2**i values; the two oldest of a full row are merged.

    The variance of the window needs no buckets, since the window never shrinks before the first alarm.
    """
    path = np.full(len(values), np.nan)
    sums = np.zeros((64, max_buckets + 1))
    count = np.zeros(64, np.int64)
    mean, squares = 0.0, 0.0
    for t in range(len(values)):
        n = t + 1
        before = values[t] - mean
        mean += before / n
        squares += before * (values[t] - mean)
        carry, row = values[t], 0
        while True:
            sums[row, count[row]] = carry
            count[row] += 1
            if count[row] <= max_buckets:
                break
            carry = sums[row, 0] + sums[row, 1]
            for k in range(2, count[row]):
                sums[row, k - 2] = sums[row, k]
            count[row] -= 2
            row += 1
        if n % clock or n <= grace:
            continue
        variance, best = squares / n, -np.inf
        n0, u0, total = 0, 0.0, mean * n
        for row in range(63, -1, -1):
            for k in range(count[row]):
                n0 += 1 << row
                u0 += sums[row, k]
                n1 = n - n0
                if n0 < min_length or n1 < min_length:
                    continue
                apart = abs(u0 / n0 - (total - u0) / n1)
                inverse_m = 1 / (n0 - min_length + 1) + 1 / (n1 - min_length + 1)
                a, b = np.sqrt(2 * variance * inverse_m), 2 / 3 * inverse_m
                root = (np.sqrt(a * a + 4 * b * apart) - a) / (2 * b)  # of the largest L
                best = max(best, root * root - np.log(2 * np.log(n)))
        path[t] = best
    return path


@numba.njit(cache=True)
def _ks(values, window, recent, clock, rng):
    path = np.full(len(values), np.nan)
    older = window - recent
    place = np.arange(older)
    drawn, late = np.empty(recent), np.empty(recent)
    for t in range(window - 1, len(values)):
        if (t + 1) % clock:
            continue
        begin = t + 1 - window
        for k in range(recent):  # the first steps of a shuffle draw without replacement
            other = k + int(rng.random() * (older - k))
            place[k], place[other] = place[other], place[k]
            drawn[k] = values[begin + place[k]]
            late[k] = values[begin + older + k]
        a, b = np.sort(drawn), np.sort(late)
        i, j, far = 0, 0, 0
        while i < recent and j < recent:  # walk up both; equal values are passed together
            x = min(a[i], b[j])
            while i < recent and a[i] == x:
                i += 1
            while j < recent and b[j] == x:
                j += 1
            far = max(far, abs(i - j))
        path[t] = far / recent
    return path
