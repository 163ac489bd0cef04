"""What to watch while a model serves: its inputs, its scores, and, where labels have come, its errors.

A window of the log is compared with a reference: the log of the days on which the model was accepted. Some signals
need no label and are there at once; others have to wait for labels, and fall silent when labels stop. Which window is
alarming is a question of thresholds, which :func:`alarm_levels` takes from runs in which nothing happened.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_course.metrics.losses import row_log_loss
from recsys_course.replay import Result

__all__ = ["NEED_LABELS", "alarm_levels", "first_alarm", "psi", "signals"]

NEED_LABELS = ("label rate", "calibration", "loss", "worst segment")
"""Signals that are silent without labels."""


def psi(reference, window) -> float:
    """Population stability index of two counts over the same bins.

    Parameters
    ----------
    reference, window : array of counts, shape (n_bins,)
        Half a case is added to each bin, so that an empty one does not make the index infinite.

    Returns
    -------
    float
        In nats: sum of (q - p) ln(q / p), for shares p of the reference and q of the window. 0 for equal shares.

    Raises
    ------
    ValueError
        Shapes differ, a count is negative, or one side is empty.

    Notes
    -----
    It is the Kullback-Leibler divergence of p from q plus that of q from p. If nothing has changed, it is about
    (1/n + 1/m) times a chi-squared variable with n_bins - 1 degrees of freedom, n and m the two numbers of cases:
    Yurdakul and Naranjo, Journal of Risk Model Validation 14(4), 2020. So no fixed level fits all windows. Taught in
    chapter 10a.

    Examples
    --------
    >>> round(psi([500, 500], [900, 100]), 2)
    0.88
    >>> psi([500, 500], [50, 50])
    0.0
    """
    counts = [np.asarray(side, float) for side in (reference, window)]
    if counts[0].shape != counts[1].shape or counts[0].ndim != 1:
        raise ValueError(f"the counts have shapes {counts[0].shape} and {counts[1].shape}: give both over equal bins")
    if any((side < 0).any() for side in counts):
        raise ValueError("a count is negative: give how many cases fell into each bin")
    if any(side.sum() == 0 for side in counts):
        raise ValueError("one side has no case at all: there is nothing to compare")
    p, q = ((side + 0.5) / (side + 0.5).sum() for side in counts)
    return float(((q - p) * np.log(q / p)).sum())


def signals(
    result: Result,
    events: pd.DataFrame,
    *,
    reference: int,
    window: int,
    segment: str,
    arrival: np.ndarray | None = None,
) -> pd.DataFrame:
    """The signals of each window of a replay of yes and no, against the first scored events.

    Parameters
    ----------
    result : Result
        Of a replay with ``task="binary"``.
    events : DataFrame
        The table that was replayed.
    reference, window : int
        How many of the first scored events are the reference; the length of the windows that follow. An unfinished
        last window is left out.
    segment : str
        Column by which inputs are counted and quality is watched part by part.
    arrival : array, shape (n_rows of events,), optional
        When each label arrived, unix seconds, infinity for never; at once unless told.

    Returns
    -------
    DataFrame, one row per window, indexed by its number of events after the reference, at its end
        ``new users`` (share of events whose user is not in the past or the reference), ``PSI of inputs`` (of the
        segments), ``KS of scores``, ``mean score``; of labels that arrived before the window ends ``label rate``,
        ``calibration`` (mean label minus mean score), ``loss`` (log loss), ``worst segment`` (largest rise of the
        log loss of a segment, in its standard errors); and ``label age``, hours from the newest event with a label to
        the end of the window. All but PSI, KS, ``worst segment`` and ``label age`` are differences from the reference.

    Raises
    ------
    ValueError
        The result is no binary one, the column is missing, or there is no full window behind the reference.

    Notes
    -----
    Taught in chapter 10a.
    """
    if result.task != "binary":
        raise ValueError(f"signals are defined for a replay with task='binary', not {result.task!r}")
    if segment not in events:
        raise ValueError(f"column {segment!r} is missing: name the column whose parts are to be watched")
    scored = len(result.rows)
    if reference < 1 or window < 1 or reference + window > scored:
        raise ValueError(f"reference and window must fit into the {scored} scored events, not {reference} + {window}")
    code, names = pd.factorize(events[segment], sort=True)
    code = code[result.rows]
    loss = row_log_loss(result.labels, result.scores)
    at = np.asarray(result.timestamps, float) if arrival is None else np.asarray(arrival, float)[result.rows]
    first = slice(0, reference)
    known = set(events["user"].iloc[: result.rows[0] + reference])
    stranger = ~pd.Series(result.users).isin(known).to_numpy()
    count = [np.bincount(code[first], minlength=len(names))]
    base_scores = np.sort(result.scores[first])
    base_loss = _by_segment(code[first], loss[first], len(names))

    rows = []
    for begin in range(reference, scored - window + 1, window):
        here = slice(begin, begin + window)
        end = result.timestamps[begin + window - 1]
        has = at[here] <= end
        row = {
            "events": begin + window - reference,
            "new users": stranger[here].mean(),
            "PSI of inputs": psi(count[0], np.bincount(code[here], minlength=len(names))),
            "KS of scores": _largest_distance(base_scores, result.scores[here]),
            "mean score": result.scores[here].mean() - result.scores[first].mean(),
        }
        if has.any():
            labels, scores = result.labels[here][has], result.scores[here][has]
            row["label rate"] = labels.mean() - result.labels[first].mean()
            off = (result.labels[first] - result.scores[first]).mean()
            row["calibration"] = (labels - scores).mean() - off
            row["loss"] = loss[here][has].mean() - loss[first].mean()
            mean, error = _by_segment(code[here][has], loss[here][has], len(names))
            rise = (mean - base_loss[0]) / np.sqrt(error**2 + base_loss[1] ** 2)
            row["worst segment"] = np.nanmax(rise) if np.isfinite(rise).any() else np.nan
        arrived = at[: begin + window] <= end
        newest = result.timestamps[: begin + window][arrived].max() if arrived.any() else result.timestamps[0]
        row["label age"] = (end - newest) / 3600
        rows.append(row)
    columns = ["events", "new users", "PSI of inputs", "KS of scores", "mean score", *NEED_LABELS, "label age"]
    return pd.DataFrame(rows, columns=columns).set_index("events")


def _largest_distance(ordered, values) -> float:
    """Kolmogorov-Smirnov: the largest distance of two distribution functions; the first sample is in order."""
    values = np.sort(values)
    at = np.concatenate([ordered, values])
    apart = np.searchsorted(ordered, at, side="right") / len(ordered)
    apart -= np.searchsorted(values, at, side="right") / len(values)
    return float(np.abs(apart).max())


def _by_segment(code, values, n) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of the values of each segment; NaN for one with fewer than two."""
    count = np.bincount(code, minlength=n).astype(float)
    count[count < 2] = np.nan
    mean = np.bincount(code, values, minlength=n) / count
    squares = np.bincount(code, (values - mean[code]) ** 2, minlength=n)
    return mean, np.sqrt(squares / (count - 1) / count)


def alarm_levels(quiet: list[pd.DataFrame], *, false_alarms: float) -> pd.Series:
    """The level of each signal that a given share of quiet runs passes at least once.

    Parameters
    ----------
    quiet : list of DataFrame
        Tables of :func:`signals` from runs in which nothing happened, equally long.
    false_alarms : float
        Share of such runs that may ring, between 0 and 1: the same for every signal.

    Returns
    -------
    Series, indexed by signal: quantile over the runs of the largest size (absolute value) in a run.

    Raises
    ------
    ValueError
        No runs, runs of different lengths, or a share outside (0, 1).

    Notes
    -----
    Taught in chapter 10a.
    """
    if not quiet or len({len(run) for run in quiet}) > 1:
        raise ValueError("give at least one quiet run, and all of the same number of windows")
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms must lie between 0 and 1, not {false_alarms}")
    largest = pd.DataFrame([run.abs().max() for run in quiet])
    return largest.quantile(1 - false_alarms, interpolation="higher")


def first_alarm(run: pd.DataFrame, levels: pd.Series) -> pd.Series:
    """After how many events each signal first passes its level; NaN if never. Taught in chapter 10a.

    >>> run = pd.DataFrame({"loss": [0.0, 0.3, -0.9]}, index=pd.Index([100, 200, 300], name="events"))
    >>> first_alarm(run, pd.Series({"loss": 0.2}))
    loss    200.0
    dtype: float64
    """
    rings = run.abs() > levels
    return rings.idxmax().where(rings.any()).astype(float)
