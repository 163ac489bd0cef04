"""Quality beside cost: what a replay is boiled down to.

The quality of a rating stream is its RMSE, of a stream of yes and no its log loss, of a stream of taken items its
recall among the first ten; a lower loss or a higher recall is better. Cost stands beside it, always.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd

from recsys_course.metrics.intervals import Interval, block_interval, user_interval
from recsys_course.metrics.losses import row_log_loss
from recsys_course.metrics.ranking import recall
from recsys_course.replay import Result

__all__ = ["METRIC", "better", "compare", "examples_by_window", "per_event", "quality", "quality_by_window", "summary"]

METRIC = {"rating": "RMSE", "binary": "log loss", "ranking": "recall@10"}


def per_event(result: Result) -> pd.DataFrame:
    """One row per scored event with its value: squared error, log loss, or recall among the first ten.

    Returns
    -------
    DataFrame with columns value, user, timestamp; rows are independent of each other only across users or time.

    Notes
    -----
    Taught in chapter 00.
    """
    if result.task == "ranking":
        first = np.flatnonzero(np.append(True, np.diff(result.events) != 0))
        value = recall(result.scores, result.events, k=10)
    else:
        first = np.arange(len(result.rows))
        if result.task == "rating":
            value = (result.labels - result.scores) ** 2
        else:
            value = row_log_loss(result.labels, result.scores)
    return pd.DataFrame({"value": value, "user": result.users[first], "timestamp": result.timestamps[first]})


def _in_unit(task: str, mean):
    """Means of squared errors are shown as roots, in stars; the rest as they are."""
    return np.sqrt(mean) if task == "rating" else mean


def quality(result: Result) -> float:
    """The metric of the result's task over all scored events. Taught in chapter 00.

    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.replay import replay
    >>> from recsys_course.strategies import Frozen
    >>> stream = pd.DataFrame({"user": 1, "item": 7, "label": [3.0] * 5 + [5.0] * 5, "timestamp": range(10)})
    >>> quality(replay(stream, Frozen(RunningMeans()), task="rating", warmup=0.5))
    2.0
    """
    return float(_in_unit(result.task, per_event(result)["value"].mean()))


def quality_by_window(result: Result, *, windows: int = 20) -> pd.DataFrame:
    """The metric over consecutive stretches with the same number of events, to see how it moves.

    Returns
    -------
    DataFrame, shape (windows, 4)
        Columns window, start (of its first event, UTC), events, quality.

    Notes
    -----
    Taught in chapter 00.
    """
    events = per_event(result)
    if not 1 <= windows <= len(events):
        raise ValueError(f"windows must lie between 1 and the number of scored events ({len(events)}), not {windows}")
    number = np.arange(len(events)) * windows // len(events)
    grouped = events.groupby(number)
    return pd.DataFrame(
        {
            "window": np.arange(windows),
            "start": pd.to_datetime(grouped["timestamp"].first(), unit="s", utc=True),
            "events": grouped.size(),
            "quality": _in_unit(result.task, grouped["value"].mean()),
        }
    ).reset_index(drop=True)


def examples_by_window(result: Result, *, windows: int = 20) -> np.ndarray:
    """Examples learned by the end of each stretch of :func:`quality_by_window`, shape (windows,); no first fit.

    Notes
    -----
    Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.replay import replay
    >>> from recsys_course.strategies import PeriodicRetrain
    >>> stream = pd.DataFrame({"user": 1, "item": 7, "label": 3.0, "timestamp": range(10)})
    >>> result = replay(stream, PeriodicRetrain(RunningMeans(), every=2), task="rating", warmup=0.4)
    >>> examples_by_window(result, windows=3)  # fitted to 6 events, and then to 8
    array([ 0.,  6., 14.])
    """
    last = np.flatnonzero(np.append(np.diff(result.events) != 0, True))  # the last row of each event
    ends = last[np.arange(1, windows + 1) * len(last) // windows - 1]
    rows, learned = result.settings["learned"].T
    # A retrain between two stretches belongs to the second: look a moment before it.
    return np.interp(result.rows[ends] - result.rows[0] + 1 - 1e-6, rows, learned).round(3)


def summary(results: list[Result], *, timing: bool = False) -> pd.DataFrame:
    """One row per strategy: quality and cost side by side.

    Parameters
    ----------
    results : list of Result
        All of one task and one stream.
    timing : bool
        Whether to show what a machine happens to take: CPU seconds. Deterministic columns only, unless told.

    Returns
    -------
    DataFrame indexed by strategy
        The metric; ``examples per event``, events learned for each event scored; ``fits``; ``staleness``, the median
        age in hours of the newest label that the model had learned when it predicted; ``model kB``.

    Raises
    ------
    ValueError
        The results are not of one task and of the same rows.

    Notes
    -----
    Taught in chapter 00.
    """
    _same_stream(results)
    rows = []
    for result in results:
        row = {
            METRIC[result.task]: quality(result),
            "examples per event": result.examples_per_event,
            "fits": result.cost.fits,
            "staleness, hours": float(np.median(result.staleness)) / 3600,
            "model kB": result.cost.model_bytes / 1000,
        }
        if timing:
            row["CPU s"] = result.cost.cpu_seconds
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index([result.name for result in results], name="strategy"))


def compare(a: Result, b: Result, *, by: str, rng: np.random.Generator) -> Interval:
    """Mean difference of two results' values per event, a minus b, with an honest interval.

    Parameters
    ----------
    a, b : Result
        Of one task and the same rows.
    by : {"user", "block"}
        Resample whole users, or whole stretches of time.

    Returns
    -------
    Interval
        In squared stars, nats or recall. It holds zero: the two are tied on this evidence.

    Raises
    ------
    ValueError
        The results are not of one stream, or ``by`` is unknown.

    Notes
    -----
    Taught in chapter 00.
    """
    _same_stream([a, b])
    left, right = per_event(a), per_event(b)
    difference = (left["value"] - right["value"]).to_numpy()
    if by == "user":
        return user_interval(difference, left["user"].to_numpy(), rng=rng)
    if by == "block":
        return block_interval(difference, rng=rng)
    raise ValueError(f"by must be 'user' or 'block', not {by!r}")


def better(a: Result, b: Result, *, by: str = "wider", rng: np.random.Generator) -> Interval:
    """How much better the first is than the second, with an interval; positive is better whatever the metric.

    Parameters
    ----------
    a, b : Result
        Of one task and the same rows.
    by : {"user", "block", "wider"}
        As in :func:`compare`, or the wider of the two intervals.
    rng : numpy.random.Generator
        Copied, so that each pair is resampled alike.

    Raises
    ------
    ValueError
        As :func:`compare`.

    Notes
    -----
    Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.replay import replay
    >>> from recsys_course.strategies import Frozen, Incremental
    >>> table = pd.DataFrame({"user": [1, 2] * 200, "item": 7, "label": [3.0] * 200 + [5.0] * 200})
    >>> kinds = [kind(RunningMeans()) for kind in (Incremental, Frozen)]
    >>> online, frozen = (replay(table.assign(timestamp=range(400)), kind, task="rating") for kind in kinds)
    >>> better(online, frozen, rng=np.random.default_rng(0)).low > 0
    True
    """
    if by == "wider":
        both = [better(a, b, by=one, rng=rng) for one in ("user", "block")]
        return max(both, key=lambda interval: interval.high - interval.low)
    interval = compare(a, b, by=by, rng=copy.deepcopy(rng))
    if a.task == "ranking":  # a recall: the higher the better
        return interval
    return Interval(-interval.mean, -interval.high, -interval.low)


def _same_stream(results: list[Result]) -> None:
    if not results:
        raise ValueError("no results: give at least one")
    first = results[0]
    for other in results[1:]:
        if other.task != first.task or not np.array_equal(other.rows, first.rows):
            raise ValueError(f"{other.name!r} and {first.name!r} were not scored on the same rows of one task")
