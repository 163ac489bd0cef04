"""How a loss moves along a stream: over the latest events, or with old events fading.

The mean over all events so far hides what happens now: after a hundred thousand good events a thousand bad ones are
one per cent of it. A sliding window forgets all at once what is older than it, a fading factor forgets gradually.
Both take one pass, and both give a value after each event.
"""

from __future__ import annotations

import numpy as np

__all__ = ["cumulative_mean", "fading_factor", "fading_mean", "window_mean"]


def _losses(losses) -> np.ndarray:
    losses = np.asarray(losses, float)
    if losses.ndim != 1:
        raise ValueError(f"losses have shape {losses.shape}: give one per event, in time order")
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise ValueError(f"the loss of row {bad[0]} is missing or infinite: it would stay in every later mean")
    return losses


def cumulative_mean(losses) -> np.ndarray:
    """Mean of all losses up to and including each event, shape (n_events,). Taught in chapter 05b.

    >>> cumulative_mean([2.0, 4.0, 0.0])
    array([2., 3., 2.])
    """
    losses = _losses(losses)
    return np.cumsum(losses) / np.arange(1, len(losses) + 1)


def window_mean(losses, window: int) -> np.ndarray:
    """Mean of the latest ``window`` losses after each event; of all so far, as long as there are fewer.

    Parameters
    ----------
    losses : array, shape (n_events,)
        In time order; any unit.
    window : int
        Events.

    Returns
    -------
    float64 ndarray, shape (n_events,), in the unit of the losses.

    Raises
    ------
    ValueError
        The window is shorter than one event, or a loss is missing or infinite.

    Notes
    -----
    The stream is cut into pieces of the window's length. A window ends in one piece and begins in the piece before, so
    that it is the end of that one and the beginning of this one: two sums that were accumulated once. The time is
    linear, whatever the window, and nothing is subtracted, so that one huge loss leaves no rounding error behind when
    it has left. Taught in chapter 05b.

    Examples
    --------
    >>> window_mean([1.0, 2.0, 3.0, 10.0], window=2)
    array([1. , 1.5, 2.5, 6.5])
    """
    losses = _losses(losses)
    if window < 1:
        raise ValueError(f"window must be at least 1 event, not {window}")
    n = len(losses)
    window = min(int(window), max(n, 1))
    pieces = np.zeros((-(-n // window) + 1, window))  # a piece of zeros stands before the first
    pieces.ravel()[window : window + n] = losses
    beginning = np.cumsum(pieces, axis=1)
    after = np.zeros_like(pieces)  # the sum of what stands after each place of a piece
    after[:, :-1] = np.cumsum(pieces[:, :0:-1], axis=1)[:, ::-1]
    sums = (beginning[1:] + after[:-1]).ravel()[:n]
    return sums / np.minimum(np.arange(1, n + 1), window)


def fading_factor(window: int) -> float:
    """The factor that forgets as much as a sliding window: (window - 1) / (window + 1).

    With it the losses in the mean are as old on average as in the window, (window - 1) / 2 events, and the mean of
    independent losses has the same variance, theirs divided by the window. Derived in chapter 05b.

    >>> round(fading_factor(1000), 4)
    0.998
    """
    if window < 1:
        raise ValueError(f"window must be at least 1 event, not {window}")
    return (window - 1) / (window + 1)


def fading_mean(losses, factor: float) -> np.ndarray:
    """Mean of the losses after each event, in which an event counts ``factor`` times as much as the one after it.

    Parameters
    ----------
    losses : array, shape (n_events,)
        In time order; any unit.
    factor : float
        Above 0 and at most 1; 1 forgets nothing. :func:`fading_factor` gives the one that fits a window.

    Returns
    -------
    float64 ndarray, shape (n_events,), in the unit of the losses.

    Raises
    ------
    ValueError
        The factor is not in (0, 1], or a loss is missing or infinite.

    Notes
    -----
    S_t = L_t + factor S_(t-1), N_t = 1 + factor N_(t-1), and the mean is S_t / N_t: two numbers of memory, where a
    window has to keep its events. Gama, Sebastiao and Rodrigues, Machine Learning 90, 2013,
    10.1007/s10994-012-5320-9. Taught in chapter 05b.

    Examples
    --------
    >>> fading_mean([1.0, 1.0, 4.0], factor=0.5).round(3)
    array([1.   , 1.   , 2.714])
    """
    from scipy.signal import lfilter  # imported here, so that importing the course stays fast

    losses = _losses(losses)
    if not 0 < factor <= 1:
        raise ValueError(f"factor must be above 0 and at most 1, not {factor}")
    if len(losses) == 0:
        return losses
    faded, weight = lfilter([1.0], [1.0, -factor], np.stack([losses, np.ones(len(losses))]), axis=1)
    return faded / weight
