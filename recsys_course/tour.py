"""The whole loop on one data set: frozen, retrained from time to time, and learning from each event, with costs.

What chapter 00 does step by step, for any events table; `recsys-course tour` shows it in the terminal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from recsys_course.data.dataset import Dataset
from recsys_course.models import (
    ImplicitFactorization,
    MatrixFactorization,
    Model,
    PersonalFrequency,
    Popularity,
    RunningMeans,
)
from recsys_course.replay import Result, replay
from recsys_course.report import METRIC, compare, summary
from recsys_course.strategies import Frozen, Incremental, PeriodicRetrain, Strategy

__all__ = ["contenders", "run", "verdicts"]

WARMUP = 0.4
RETRAINS = 20


def contenders(dataset: Dataset, *, retrains: int = RETRAINS, seed: int = 0) -> dict[str, Strategy]:
    """The strategies that a tour compares: three of a factorisation, and one that only counts, event by event.

    Parameters
    ----------
    dataset : Dataset
        Its task chooses the model.
    retrains : int
        How many full retrains are spread evenly over the scored part.
    seed : int

    Returns
    -------
    dict from a name to a strategy
        In the order in which they are shown.

    Raises
    ------
    ValueError
        There are fewer scored events than retrains.

    Notes
    -----
    A step size fits labels of a certain spread. Ratings with a wide scale get a step smaller in proportion, so that a
    scale of 0 to 100 is learned as calmly as one of 0 to 5. Taught in chapter 00.
    """
    rng = np.random.default_rng(seed)
    scored = round((1 - WARMUP) * len(dataset.events))
    if scored < retrains + 1:
        raise ValueError(f"{scored} events to score are too few for {retrains} retrains")
    interval = -(-scored // (retrains + 1))
    model: Model
    counting: Model
    if dataset.card.task == "rating":
        labels = dataset.events["label"]
        low, high = dataset.card.label_range or (float(labels.min()), float(labels.max()))
        past = labels.iloc[: len(labels) - scored]
        step_size = 0.05 / max(1.0, float(past.std()))
        model = MatrixFactorization(step_size=step_size, regularization=0.1, label_range=(low, high), rng=rng)
        counting, what = RunningMeans(forget=0.05), "running means"
    elif dataset.card.task == "binary":
        model = MatrixFactorization(loss="logistic", rng=rng)
        counting, what = MatrixFactorization(0, loss="logistic", epochs=1, rng=rng), "biases alone"
    else:
        model = ImplicitFactorization(epochs=3, step_size=0.03, n_negatives=2, rng=rng)
        if "event" in dataset.events:
            counting, what = PersonalFrequency(forget=0.005), "personal frequency"
        else:
            counting, what = Popularity(window=max(100, scored // 10)), "recent popularity"
    return {
        "frozen": Frozen(model),
        f"full retrain, {retrains} times": PeriodicRetrain(model, every=interval),
        "incremental, per event": Incremental(model, every=1),
        what: Incremental(counting, every=1),
    }


def run(
    dataset: Dataset,
    strategies: dict[str, Strategy],
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Result]:
    """Replay the stream under each strategy.

    Parameters
    ----------
    dataset : Dataset
    strategies : dict
        As :func:`contenders` gives it.
    progress : callable, optional
        Called with a strategy's name and the share of it that is done.

    Returns
    -------
    dict from a name to a Result

    Notes
    -----
    Taught in chapter 00.
    """
    compile_for(dataset, strategies)
    results = {}
    for name, strategy in strategies.items():

        def report(share: float, name: str = name) -> None:
            if progress is not None:
                progress(name, share)

        report(0.0)
        results[name] = replay(dataset.events, strategy, task=dataset.card.task, warmup=WARMUP, progress=report)
        report(1.0)
    return results


def compile_for(dataset: Dataset, strategies: dict[str, Strategy]) -> None:
    """Compile what the strategies will call, on a few events, so that no strategy is charged for it."""
    few = dataset.events.head(200)
    if few["timestamp"].iloc[0] == few["timestamp"].iloc[-1]:
        return  # one instant has no future to predict; the first strategy pays, and the numbers are the same
    for strategy in {type(strategy.recipe): strategy for strategy in strategies.values()}.values():
        replay(few, Incremental(strategy.recipe, every=1), task=dataset.card.task, warmup=0.3)


def verdicts(results: dict[str, Result], *, seed: int = 0) -> pd.DataFrame:
    """Quality and cost of each result, and whether it differs from the first beyond what chance among users explains.

    Returns
    -------
    DataFrame indexed by name
        The columns of :func:`recsys_course.report.summary`, and ``against NAME``, the first: better, worse or a tie, by
        the 95 % interval of the difference that resamples users.

    Notes
    -----
    Taught in chapter 00.
    """
    names = list(results)
    table = summary(list(results.values()), timing=True)
    table.index = pd.Index(names, name="strategy")
    first = results[names[0]]
    higher_is_better = METRIC[first.task] == METRIC["ranking"]
    words = [""]
    for name in names[1:]:
        gap = compare(results[name], first, by="user", rng=np.random.default_rng(seed))
        if gap.low <= 0 <= gap.high:
            words.append("a tie")
        else:
            words.append("better" if (gap.mean > 0) == higher_is_better else "worse")
    table[f"against {names[0]}"] = words
    return table
