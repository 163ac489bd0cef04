"""Test, then train: live through a recorded stream as a deployed model would have.

The replay hands a strategy the past, asks it for each block of events in turn, writes down what it said, and
only then lets it have the labels. Whatever a strategy does, no prediction has seen a label that had not
arrived by then, and each event is scored exactly once.

:func:`replay` walks a :class:`~recsys_course.plan.Plan` block by block, which is the definition of what it
computes. Where a model offers a compiled pass over many blocks it is used instead; ``fused=False`` forbids
it, and the two give the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from recsys_course.candidates import Candidates, find_candidates, rank_among
from recsys_course.events import EventsError, check_events, first_row_after, without_label
from recsys_course.plan import Plan, make_plan
from recsys_course.strategies import Strategy

__all__ = ["Cost", "Result", "replay"]

TASKS = ("rating", "binary", "ranking")


@dataclass(frozen=True)
class Cost:
    """What a strategy spent on the stream, the first fit left out since all strategies share it.

    Attributes
    ----------
    examples : int
        Events learned, each pass over an event counted: the same on every machine.
    fits : int
        How many times a model was fitted anew.
    cpu_seconds : float
        Processor time of learning and predicting; what a machine happens to take.
    model_bytes : int
        Size of the state that serves at the end.
    """

    examples: int
    fits: int
    cpu_seconds: float
    model_bytes: int


@dataclass(frozen=True)
class Result:
    """What a replay wrote down, a row for each scored row of the stream.

    Attributes
    ----------
    name : str
        The strategy's.
    task : {"rating", "binary", "ranking"}
    rows : int64 ndarray, shape (n_scored,)
        Row numbers in the stream.
    scores : float64 ndarray, shape (n_scored,)
        Predicted labels; for a ranking the rank of the item among the candidates, 0 the best, infinity a miss.
    labels, timestamps, users, events : ndarray, shape (n_scored,)
        Copied from the stream; ``events`` numbers the event (or basket) of each row.
    staleness : float64 ndarray, shape (n_scored,)
        Seconds from the newest label that the serving model has learned to the prediction.
    cost : Cost
    settings : dict
        Among others ``rows``, how many the strategy lived through, scored or not, and ``learned``, shape (n, 2): how
        many rows were done, and how many examples it had learned by then; in between, they grew evenly.
    """

    name: str
    task: str
    rows: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    timestamps: np.ndarray
    users: np.ndarray
    events: np.ndarray
    staleness: np.ndarray
    cost: Cost
    settings: dict = field(default_factory=dict)

    @property
    def examples_per_event(self) -> float:
        """Events learned for each row of the stream that was lived through, whether it was scored or not."""
        return self.cost.examples / self.settings.get("rows", len(self.rows))


def replay(
    events: pd.DataFrame,
    strategy: Strategy,
    *,
    task: str,
    warmup: float = 0.4,
    delay: int | str | pd.Timedelta | np.ndarray | None = None,
    exclude_had: bool | None = None,
    score_every: int = 1,
    fused: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Result:
    """Replay a stream under a strategy.

    Parameters
    ----------
    events : DataFrame, shape (n_rows, ...)
        An events table.
    strategy : Strategy
    task : {"rating", "binary", "ranking"}
        Predict a rating, a probability, or the rank of the item that was taken.
    warmup : float
        Share of the rows, from the start, on which the first model is fitted; the rest is scored.
    delay : int, time, ndarray or None
        How late labels arrive; see :func:`recsys_course.plan.make_plan`.
    exclude_had : bool, optional
        Whether what a user has had leaves the contest of a ranking: unless told, on single events (films) yes,
        on baskets (an ``event`` column) no.
    score_every : int
        Of a ranking, score each so manieth event (or basket) only, the first one and then evenly: to order a large
        catalogue for each event can cost far more than to learn. All events are learned, and the result holds the
        rows that were scored.
    fused : bool
        Whether a compiled pass may be used where there is one.
    progress : callable, optional
        Called now and then with the share of the stream that is done.

    Returns
    -------
    Result

    Raises
    ------
    EventsError
        The table is no events table.
    ValueError
        An unknown task, a warm-up that leaves no past or no future, a negative delay, a ``score_every`` below 1 or for
        another task than a ranking.

    Notes
    -----
    Gama, Sebastiao and Rodrigues, Machine Learning 90, 2013, 10.1007/s10994-012-5320-9: prequential evaluation.
    Events with equal timestamps are predicted before any of them is learned. Taught in chapter 00.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.strategies import Frozen, Incremental
    >>> stream = pd.DataFrame({"user": 1, "item": 7, "label": [3.0] * 5 + [5.0] * 5, "timestamp": range(10)})
    >>> means = RunningMeans(shrink=0.0)
    >>> replay(stream, Frozen(means), task="rating", warmup=0.5).scores
    array([3., 3., 3., 3., 3.])
    >>> replay(stream, Incremental(means), task="rating", warmup=0.5).scores.round(2)
    array([3.  , 3.84, 4.35, 4.68, 4.89])
    """
    check_events(events)
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, not {task!r}")
    timestamps = events["timestamp"].to_numpy()
    if not 0 < warmup < 1:
        raise ValueError(f"warmup must lie between 0 and 1, not {warmup}")
    start = first_row_after(timestamps, round(warmup * len(events)))
    if not 0 < start < len(events):
        raise EventsError(f"a warm-up of {warmup} leaves no past or no future: the table has {len(events)} rows")
    plan = make_plan(
        timestamps, start, update_every=strategy.update_every, retrain_every=strategy.retrain_every, delay=delay
    )
    contest = None
    if task == "ranking":
        contest = find_candidates(events, exclude_had="event" not in events if exclude_had is None else exclude_had)
    kept: slice | np.ndarray = slice(None)
    if score_every != 1:
        contest, kept = _only_each(contest, score_every, start)

    history = _History(events, plan)
    began = time.process_time()
    strategy.start(history.until(plan.known[0]))
    first_fit, first_seconds = strategy.examples_learned, time.process_time() - began

    scores = np.empty(len(events) - start)
    learned = []  # rows done, and examples learned by then
    began = time.process_time()
    block = 0
    while block < len(plan):
        if block > 0:
            arrived = history.between(plan.known[block - 1], plan.known[block])
            if plan.retrain[block]:
                strategy.retrain(history.until(plan.known[block]), arrived)
            elif len(arrived):
                strategy.update(arrived)
        learned.append((plan.starts[block] - start, strategy.examples_learned - first_fit))
        stop = _next_retrain(plan, block) if fused else block + 1
        out = strategy.run(events, plan, block, stop, contest) if fused else None
        if out is None:
            stop = block + 1
            out = _predict_block(strategy, events, plan, block, contest)
        scores[plan.starts[block] - start : plan.ends[stop - 1] - start] = out
        block = stop
        learned.append((plan.ends[block - 1] - start, strategy.examples_learned - first_fit))
        if progress is not None:
            progress((plan.ends[block - 1] - start) / (len(events) - start))
    cost = Cost(
        examples=strategy.examples_learned - first_fit,
        fits=int(plan.retrain.sum()) + strategy.unplanned_fits,
        cpu_seconds=time.process_time() - began,
        model_bytes=strategy.nbytes,
    )

    scored = events.iloc[start:]
    if score_every != 1:
        scored = scored.iloc[kept]
    return Result(
        name=strategy.name,
        task=task,
        rows=np.arange(start, len(events))[kept],
        scores=scores[kept],
        labels=scored["label"].to_numpy(),
        timestamps=scored["timestamp"].to_numpy(),
        users=scored["user"].to_numpy(),
        events=_event_numbers(events, contest)[start:][kept],
        staleness=_staleness(timestamps, plan)[kept],
        cost=cost,
        settings={
            "warmup": warmup,
            "first_fit_examples": first_fit,
            "first_fit_cpu_seconds": first_seconds,
            "rows": len(events) - start,
            "learned": np.array(learned, dtype=float),
        },
    )


def _only_each(contest: Candidates | None, score_every: int, start: int) -> tuple[Candidates, np.ndarray]:
    """A contest in which the events that are not scored have no candidates, and which of the scored part's rows are."""
    if contest is None or score_every < 1:
        raise ValueError(f"score_every must be at least 1, and 1 unless the task is a ranking: it is {score_every}")
    first, last = contest.groups_in(start, int(contest.group_ends[-1]))
    chosen = np.zeros(len(contest.group_ends), dtype=bool)
    chosen[first:last:score_every] = True
    rows = np.repeat(chosen, contest.group_ends - contest.group_starts)[start:]
    return replace(contest, n_seen=np.where(chosen, contest.n_seen, 0)), np.flatnonzero(rows)


def _predict_block(strategy, events, plan, block, contest) -> np.ndarray:
    """The readable definition: what one block's predictions are."""
    first, last = plan.starts[block], plan.ends[block]
    asked = without_label(events.iloc[first:last])
    if contest is None:
        return strategy.predict(asked)
    ranks = np.empty(last - first)
    users = events["user"].to_numpy()
    for group in range(*contest.groups_in(first, last)):
        row, end = contest.group_starts[group], contest.group_ends[group]
        candidates = contest.items[: contest.n_seen[group]]
        scores = strategy.score_items(users[row : row + 1], candidates)[0]
        had = contest.had[contest.had_start[group] : contest.had_stop[group]]
        for k in range(row, end):
            ranks[k - first] = rank_among(scores, contest.code[k], had)
    return ranks


class _History:
    """The labelled events in the order in which their labels arrived."""

    def __init__(self, events: pd.DataFrame, plan: Plan) -> None:
        self._events, self._order, self._in_order = events, plan.order, plan.in_order

    def until(self, known: int) -> pd.DataFrame:
        """All that has arrived, in time order, as fitting expects it."""
        rows = slice(known) if self._in_order else np.sort(self._order[:known])
        return self._events.iloc[rows]

    def between(self, known: int, known_next: int) -> pd.DataFrame:
        """What has arrived in between, in the plan's order, which is that of time."""
        rows = slice(known, known_next) if self._in_order else self._order[known:known_next]
        return self._events.iloc[rows]


def _next_retrain(plan: Plan, block: int) -> int:
    later = np.flatnonzero(plan.retrain[block + 1 :])
    return len(plan) if len(later) == 0 else block + 1 + int(later[0])


def _event_numbers(events: pd.DataFrame, contest: Candidates | None) -> np.ndarray:
    if contest is None:
        return np.arange(len(events))
    return np.repeat(np.arange(len(contest.group_ends)), contest.group_ends - contest.group_starts)


def _staleness(timestamps: np.ndarray, plan: Plan) -> np.ndarray:
    newest = np.maximum.accumulate(timestamps[plan.order])[plan.known - 1]
    return (timestamps[plan.starts[0] :] - np.repeat(newest, plan.ends - plan.starts)).astype(float)
