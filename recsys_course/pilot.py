"""Choosing by a race: let the candidates run over the first part of a stream, and go on with the one that did best.

What is best depends on the stream, and no property of a stream that we know of says it beforehand. A pilot asks the
stream itself: it costs what the candidates cost on a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys_course.events import first_row_after
from recsys_course.grid import Entry, run_grid
from recsys_course.replay import Result
from recsys_course.report import METRIC, better, quality
from recsys_course.strategies import Strategy

__all__ = ["Choice", "choose", "pilot"]


@dataclass(frozen=True)
class Choice:
    """What a race says.

    Attributes
    ----------
    name : str
        The candidate to go on with.
    best : str
        The candidate with the best quality; the chosen one may be a cheaper one that is tied with it.
    table : DataFrame
        A row for each candidate, the best first: the metric, how much worse it is than the best (in squared stars, nats
        or recall) with an interval, whether the two are tied, and examples learned per event.
    reason : str
        The choice in a sentence.
    """

    name: str
    best: str
    table: pd.DataFrame
    reason: str


def choose(results: Mapping[str, Result], *, rng: np.random.Generator, thrifty: bool = True) -> Choice:
    """Choose among replays of one stream: the best, or of those tied with it the one that learned the fewest examples.

    Parameters
    ----------
    results : dict from a name to a Result
    rng : numpy.random.Generator
        Draws the bootstrap samples; the same for each pair.
    thrifty : bool
        Whether cost decides among those that are tied; if not, the best is chosen, however close the next one is.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        No results, or results of different streams or tasks.

    Notes
    -----
    Tied means that the wider of two intervals, over users and over blocks of time, holds zero. Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.replay import replay
    >>> from recsys_course.strategies import Frozen, Incremental
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"user": rng.integers(20, size=400), "item": 7, "timestamp": range(400)})
    >>> table["label"] = (table["timestamp"] // 200) * 2.0 + rng.normal(size=400)
    >>> raced = {kind.__name__: replay(table, kind(RunningMeans()), task="rating") for kind in (Frozen, Incremental)}
    >>> choose(raced, rng=rng).reason
    'Incremental has the best RMSE, 1.293; no other is tied with it.'
    """
    if not results:
        raise ValueError("no results: give at least one")
    tasks = {result.task for result in results.values()}
    if len(tasks) > 1:
        raise ValueError(f"results of different tasks cannot be compared: {', '.join(sorted(tasks))}")
    (task,) = tasks
    metric, sign = METRIC[task], -1 if task == "ranking" else 1
    values = {name: quality(result) for name, result in results.items()}
    best = min(values, key=lambda name: sign * values[name])
    same = np.random.default_rng(int(rng.integers(2**32)))
    rows = []
    for name, result in results.items():
        cost = result.examples_per_event
        low = high = worse = 0.0
        if name != best:
            worse, low, high = better(results[best], result, rng=same)
        rows.append((name, values[name], worse, low, high, low <= 0.0, cost))
    columns = ["candidate", metric, "worse by", "low", "high", "tied", "examples per event"]
    table = pd.DataFrame(rows, columns=columns).set_index("candidate")
    table = table.iloc[np.argsort(sign * table[metric].to_numpy(), kind="stable")]
    tied = [name for name in table.index[table["tied"]] if name != best]
    costs = table["examples per event"].to_dict()
    name = min([best, *tied], key=lambda one: costs[one]) if thrifty else best
    return Choice(name, best, table, _reason(table, metric, best, name, tied))


def pilot(
    events: pd.DataFrame,
    candidates: Mapping[str, Strategy],
    *,
    task: str,
    share: float = 0.2,
    warmup: float = 0.5,
    rng: np.random.Generator,
    thrifty: bool = True,
    **options,
) -> Choice:
    """Race the candidates over the first ``share`` of a stream and choose.

    Parameters
    ----------
    events : DataFrame
        The stream; nothing after the first part is looked at.
    candidates : dict from a name to a Strategy
    task : {"rating", "binary", "ranking"}
    share : float
        How much of the stream the pilot sees.
    warmup : float
        Share of the pilot on which the first models are fitted.
    rng, thrifty
        As in :func:`choose`.
    **options
        As in :func:`recsys_course.replay.replay`, such as ``delay``.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        ``share`` is out of range, or as :func:`choose` and the replay.

    Notes
    -----
    Taught in chapter 09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.strategies import Frozen, Incremental
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"user": rng.integers(20, size=4000), "item": 7, "timestamp": range(4000)})
    >>> table["label"] = table["timestamp"] / 1000 + rng.normal(size=4000)
    >>> candidates = {"never": Frozen(RunningMeans()), "always": Incremental(RunningMeans())}
    >>> pilot(table, candidates, task="rating", rng=rng).name
    'always'
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie above 0 and be at most 1, not {share}")
    last = first_row_after(events["timestamp"].to_numpy(), round(share * len(events)))
    first_part = events.iloc[:last]
    entries = [
        Entry("pilot", strategy, task, options={"warmup": warmup, **options}) for strategy in candidates.values()
    ]
    results = run_grid(entries, {"pilot": first_part})
    return choose(dict(zip(candidates, results, strict=True)), rng=rng, thrifty=thrifty)


def _reason(table: pd.DataFrame, metric: str, best: str, name: str, tied: list[str]) -> str:
    costs = table["examples per event"].to_dict()
    said = f"{best} has the best {metric}, {table[metric].to_dict()[best]:.3f}"
    if not tied:
        return f"{said}; no other is tied with it."
    others = " and ".join(tied) if len(tied) < 3 else f"{', '.join(tied[:-1])} and {tied[-1]}"
    said += f"; {others} {'is' if len(tied) == 1 else 'are'} tied with it"
    if name == best:
        return f"{said}, and cost more or as much."
    return f"{said}, and {name} costs {costs[name]:.3g} examples an event in the place of {costs[best]:.3g}."
