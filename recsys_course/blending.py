"""One prediction out of several: the ensemble and the fusion.

Both take what members have predicted over the same stream, as their replays wrote it down, and walk through it once
more: predict an instant from what the members said, then take in the labels that have arrived. So no member is trained
twice, whatever it takes part in.

- :func:`ensemble` is a weighted mean, and the weights follow the members' recent losses.
- :func:`fusion` is a small regression on the members' scores, learned as the labels come.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from recsys_course import _blending_kernels as kernels
from recsys_course.models.settings import below_one, finite
from recsys_course.plan import make_plan
from recsys_course.replay import Cost, Result

__all__ = ["ensemble", "fusion"]


def ensemble(
    results: list[Result],
    events: pd.DataFrame,
    *,
    rate: float = 1.0,
    forget: float = 0.001,
    delay: int | str | pd.Timedelta | np.ndarray | None = None,
    name: str = "ensemble",
) -> Result:
    """The mean of the members' predictions, each weighted by how well it has done lately.

    Member k has the weight exp(-rate L_k), divided by the sum of all of these, where L_k is its loss so far:
    with each label that arrives, L_k <- (1 - forget) L_k + (its squared error, or its log loss).

    Parameters
    ----------
    results : list of Result
        Of one task, "rating" or "binary", and the same rows.
    events : DataFrame
        The stream that was replayed.
    rate : float
        How sharply a difference in loss shows in the weights; 0 leaves all weights equal.
    forget : float
        How much of the past each label wipes out: about the latest 1 / forget labels count.
    delay : as in :func:`recsys_course.replay.replay`
        How late labels arrive: what the members were replayed with.
    name : str

    Returns
    -------
    Result
        Its cost is that of all members together, its staleness that of the freshest.

    Raises
    ------
    ValueError
        Results of different streams or of a ranking, or a setting that is out of range.

    Notes
    -----
    Exponential weights with forgetting: Herbster and Warmuth, Machine Learning 32, 1998, 10.1023/A:1007424614876, for
    experts of whom the best one changes. Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.replay import replay
    >>> from recsys_course.strategies import Frozen, Incremental
    >>> stream = pd.DataFrame({"user": 1, "item": 7, "label": [3.0] * 8 + [5.0] * 8, "timestamp": range(16)})
    >>> members = [replay(stream, kind(RunningMeans()), task="rating") for kind in (Frozen, Incremental)]
    >>> ensemble(members, stream).settings["weights"][[0, -1]].round(2)  # at last the one that learned is heard alone
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    plan, scores, binary = _stage(results, events, delay)
    finite("rate", rate)
    below_one("forget", forget)
    keep = 1 - forget
    out, weights = np.empty(len(scores)), np.empty_like(scores)
    kernels.walk_ensemble(*plan, scores, results[0].labels, binary, rate, keep, out, weights)
    return _composed(results, name, out, {"weights": weights, "rate": rate, "forget": forget})


def fusion(
    results: list[Result],
    events: pd.DataFrame,
    *,
    forget: float = 0.0001,
    prior: float = 0.1,
    delay: int | str | pd.Timedelta | np.ndarray | None = None,
    name: str = "fusion",
) -> Result:
    """A regression on what the members predict (*stacking*), learned online by recursive least squares.

    With x = (1, s_1, ..., s_K), s_k the prediction of member k, or its log-odds, the fusion says theta . x, or its
    logistic function. It begins as the mean of the members. With each label that arrives, and f = ``forget``,

        g = P x / ((1 - f) / w + x . P x)       theta <- theta + g e / w
        P <- (P - g (P x)^T) / (1 - f)

    where e is the label minus what theta says at present, and w is 1, or p (1 - p) for a probability p. P begins as
    ``prior`` times the identity, and forgetting never lets its diagonal grow beyond that.

    Parameters
    ----------
    results, events, delay, name
        As in :func:`ensemble`.
    forget : float
        How much of the past each label wipes out.
    prior : float
        How far from the mean of the members the regression may go at first: the variance of theta, in units of the
        square of what is predicted.

    Returns
    -------
    Result
        Its cost is that of all members together, its staleness that of the freshest.

    Raises
    ------
    ValueError
        As :func:`ensemble`.

    Notes
    -----
    Wolpert, Neural Networks 5(2), 1992, 10.1016/S0893-6080(05)80023-1, for stacking; for the recursion Haykin, Adaptive
    Filter Theory, 5th edition, 2014, ISBN 9780132671453. For probabilities it is the extended Kalman filter
    of a logistic regression. Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.replay import replay
    >>> from recsys_course.strategies import Incremental
    >>> stream = pd.DataFrame({"user": 1, "item": 7, "label": [3.0, 5.0] * 50, "timestamp": range(100)})
    >>> members = [replay(stream, Incremental(RunningMeans(forget=f)), task="rating") for f in (0.1, 0.7)]
    >>> error = [np.abs(r.scores - r.labels)[-10:].mean() for r in (*members, fusion(members, stream, prior=10.0))]
    >>> bool(error[2] < 0.6 * min(error[:2]))  # a mean of the two cannot turn against the last label: a regression can
    True
    """
    plan, scores, binary = _stage(results, events, delay)
    finite("prior", prior, positive=True)
    below_one("forget", forget)
    keep = 1 - forget
    n = len(results)
    if binary:
        inside = scores.clip(1e-6, 1 - 1e-6)
        scores = np.log(inside / (1 - inside))
    inputs = np.column_stack([np.ones(len(scores)), scores])
    theta = np.append(0.0, np.full(n, 1 / n))
    out, thetas = np.empty(len(scores)), np.empty_like(inputs)
    priors = np.full(n + 1, prior)
    kernels.walk_fusion(*plan, inputs, results[0].labels, binary, keep, priors, theta, out, thetas)
    return _composed(results, name, out, {"weights": thetas, "forget": forget, "prior": prior})


def _stage(results: list[Result], events: pd.DataFrame, delay):
    """What both walks need: blocks and the first scored row, the members' scores side by side, the kind of task."""
    if len(results) < 2:
        raise ValueError(f"there is nothing to put together: {len(results)} result(s)")
    first = results[0]
    for other in results:
        if other.task == "ranking":
            raise ValueError(f"{other.name!r} is a ranking: a replay keeps ranks, and ranks have no mean")
        if other.task != first.task or not np.array_equal(other.rows, first.rows):
            raise ValueError(f"{other.name!r} and {first.name!r} were not scored on the same rows of one task")
    start = int(first.rows[0])
    timestamps = events["timestamp"].to_numpy()
    if len(events) != first.rows[-1] + 1 or not np.array_equal(timestamps[start:], first.timestamps):
        raise ValueError("events are not the stream that was replayed: give the whole of it, warm-up included")
    plan = make_plan(timestamps, start, update_every=1, delay=delay)
    scores = np.column_stack([result.scores for result in results])
    return (*plan.part(0, len(plan)), start), scores, first.task == "binary"


def _composed(results: list[Result], name: str, scores: np.ndarray, settings: dict) -> Result:
    first = results[0]
    cost = Cost(
        examples=sum(result.cost.examples for result in results),
        fits=sum(result.cost.fits for result in results),
        cpu_seconds=sum(result.cost.cpu_seconds for result in results),
        model_bytes=sum(result.cost.model_bytes for result in results),
    )
    staleness = np.min([result.staleness for result in results], axis=0)
    members = [result.name for result in results]
    curves = [result.settings["learned"] for result in results]
    rows = np.unique(np.concatenate([curve[:, 0] for curve in curves]))
    rows = np.sort(np.append(rows - 1e-9, rows))  # before and after a retrain, at which a curve jumps
    learned = np.column_stack([rows, sum(np.interp(rows, *curve.T) for curve in curves)])
    return replace(
        first,
        name=name,
        scores=scores,
        staleness=staleness,
        cost=cost,
        settings=first.settings | settings | {"members": members, "learned": learned},
    )
