"""Settings for each contender, chosen on the later half of the past, and never on what is scored.

A step with which learning diverges loses, like any other bad one. Where the best of a round is the smallest or the
largest that was tried, one further is tried, and once more; if that is better still, the table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.contenders import Axes, Family, families
from recsys_course.events import EventsError
from recsys_course.report import METRIC, quality
from recsys_course.track import Track

__all__ = ["choose_settings", "warm_up"]

FURTHER = 2  # how often a value beyond the edge is tried


def choose_settings(
    track: Track,
    those: Sequence[Family],
    *,
    cache: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[dict[str, dict], pd.DataFrame]:
    """The settings of each family that do best on the later half of the past.

    Parameters
    ----------
    track : Track
    those : list of Family
        With each also the one that it comes after.
    cache : path, optional
        As in :func:`recsys_course.grid.run_grid`.
    progress : callable, optional
        Called with the share that is done.

    Returns
    -------
    settings : dict from a family's name to its settings
    tried : DataFrame
        All that was tried: the family, the round, the values, the metric, which was chosen, and ``edge``: settings
        whose chosen value is still the smallest or largest that was tried.

    Raises
    ------
    EventsError
        Learning diverges with everything that was tried for a family.
    ValueError
        A family comes after one that is not there.

    Notes
    -----
    Taught in chapter 09b.
    """
    names = [family.name for family in those]
    for family in those:
        if family.after is not None and family.after not in names:
            raise ValueError(f"{family.name!r} begins with the settings of {family.after!r}: give that family too")
    advance = progress or (lambda share: None)
    chosen: dict[str, dict] = {}
    done = dict.fromkeys(names, 0)
    n_rounds = {family.name: len(family.rounds) for family in those}
    trials: list[_Trial] = []
    while open_ := [
        family
        for family in those
        if done[family.name] < n_rounds[family.name]
        and (family.after is None or done[family.after] == n_rounds[family.after])
    ]:
        for family in open_:
            if not done[family.name]:
                chosen[family.name] = dict(chosen[family.after]) if family.after else {}
        axes = {f.name: f.rounds[done[f.name]](chosen[f.name]) for f in open_}
        new = [
            _Trial(f, done[f.name] + 1, {**chosen[f.name], **dict(zip(axes[f.name], values, strict=True))})
            for f in open_
            for values in product(*axes[f.name].values())
        ]
        before, share = sum(done.values()) / sum(n_rounds.values()), len(open_) / sum(n_rounds.values())
        _grade(track, new, cache, lambda part, b=before, s=share: advance(b + s * part))
        for _ in range(FURTHER):
            further = [trial for f in open_ for trial in _beyond(f, new, axes[f.name])]
            _grade(track, further, cache, None)
            new += further
        for family in open_:
            own = [trial for trial in new if trial.family is family]
            best = _best(track, own)
            best.chosen, best.edge = True, ", ".join(name for name, _ in _edges(best, own, axes[family.name]))
            chosen[family.name] = best.settings
            done[family.name] += 1
            trials += own
    table = pd.DataFrame([trial.row(METRIC[track.task]) for trial in trials])
    first = ["family", "round", "chosen", "edge", METRIC[track.task]]
    return {name: chosen[name] for name in names}, table[first + [n for n in table.columns if n not in first]]


@dataclass(eq=False)
class _Trial:
    family: Family
    round: int
    settings: dict
    value: float = np.nan
    sort: float = np.inf  # the lower the better
    chosen: bool = False
    edge: str = ""

    def row(self, metric: str) -> dict:
        plain = {"family": self.family.name, "round": self.round, "chosen": self.chosen, "edge": self.edge}
        return {**plain, metric: self.value, **self.settings}


def _grade(track: Track, trials: list[_Trial], cache, advance) -> None:
    """What each trial reaches on the later half of the past; no number if learning diverged."""
    results = track.run(
        {str(k): trial.family.build(trial.settings) for k, trial in enumerate(trials)},
        "past",
        cache=cache,
        progress=advance,
    )
    for name, result in results.items():
        trial = trials[int(name)]
        trial.value = quality(result)
        trial.sort = -trial.value if track.task == "ranking" else trial.value


def _best(track: Track, own: list[_Trial]) -> _Trial:
    best = min(own, key=lambda trial: trial.sort)
    if not np.isfinite(best.sort):
        raise EventsError(
            f"learning diverges with each step that was tried for {best.family.name!r}: look at the labels"
        )
    return best


def _edges(best: _Trial, own: list[_Trial], axes: Axes) -> list[tuple[str, Any]]:
    """Settings of which the best value is the smallest or largest tried, each with the next value beyond."""
    out = []
    for name in axes:
        values = sorted({trial.settings[name] for trial in own})
        at = values.index(best.settings[name])
        if len(values) < 3 or 0 < at < len(values) - 1:
            continue
        inner = values[1] if at == 0 else values[-2]
        beyond = best.settings[name] * best.settings[name] / inner if inner else 0.0
        if isinstance(best.settings[name], int):
            beyond = round(beyond)
        if beyond and beyond != best.settings[name]:
            out.append((name, beyond))
    return out


def _beyond(family: Family, trials: list[_Trial], axes: Axes) -> list[_Trial]:
    """Trials one value further than the best, where that stands at an edge."""
    own = [trial for trial in trials if trial.family is family]
    best = min(own, key=lambda trial: trial.sort)
    if not np.isfinite(best.sort):
        return []
    return [
        _Trial(family, best.round, {**best.settings, name: value})
        for name, value in _edges(best, own, axes)
        if not (name == "forget" and value >= 1)
    ]


def warm_up(track: Track, those: Sequence[Family]) -> None:
    """Compile on a few events what a race will call, so that no contender is charged for it."""
    few = track.events.head(300)
    small = replace(track, events=few, start=120, retrain_every=20, window=20, latest=100, delay=None)
    built = {family.name: family for family in families(small, "all")}
    # Names say how many events a window holds; the rest is the same.
    names = [family.name.replace(f"every {track.window:,}", "every 20") for family in those]
    for name in names:
        # Where these few have no past or future, the first contender pays; the numbers are the same.
        with suppress(EventsError, FloatingPointError):
            small.replay(built[name].build(_first_settings(name, built)))


def _first_settings(name: str, built: Mapping[str, Family]) -> dict:
    """The first of what would be tried."""
    family = built[name]
    best = _first_settings(family.after, built) if family.after else {}
    for choices in family.rounds:
        best |= {setting: values[0] for setting, values in choices(best).items()}
    return best
