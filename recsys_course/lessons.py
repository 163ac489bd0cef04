"""What is learned when new events have arrived: these alone, these several times, or old ones beside them.

An update is a *lesson*: a table of events that a model is given. The plainest holds what has arrived, once. Several
passes are several lessons with the same events; to *rehearse* is to draw old events and put them into the lesson, so
that what is new does not wash out what was known.

:meth:`LessonMaker.of` makes the lessons of one update, and :meth:`LessonMaker.spread` those of many blocks at once, as
a plan that a compiled pass can walk. Both draw the same numbers in the same order.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd

from recsys_course.models.settings import at_least
from recsys_course.plan import Plan

__all__ = ["LessonMaker"]


class LessonMaker:
    """How arrived events become lessons.

    Parameters
    ----------
    passes : int
        Lessons with the same new events; what is rehearsed is drawn anew for each.
    rehearse : int
        Old events drawn for each new one, with replacement, evenly from all that arrived before this update.
    rng : numpy.random.Generator, optional
        Needed where something is drawn; copied.

    Raises
    ------
    ValueError
        A number is out of range, or ``rehearse`` is above 0 and there is no generator.

    Notes
    -----
    A lesson is in time order, as every table of events is: what is old comes before what is new. Taught in chapter 09a.

    Examples
    --------
    >>> table = pd.DataFrame({"user": 1, "item": [7, 8, 9], "label": 1.0, "timestamp": [1, 2, 3]})
    >>> lessons = LessonMaker(passes=2, rehearse=1, rng=np.random.default_rng(1))
    >>> lessons.remember(table.iloc[:2])
    >>> [lesson["item"].tolist() for lesson in lessons.of(table.iloc[2:])]
    [[8, 9], [8, 9]]
    """

    def __init__(self, passes: int = 1, rehearse: int = 0, rng: np.random.Generator | None = None) -> None:
        at_least("passes", passes, 1)
        at_least("rehearse", rehearse, 0)
        if rehearse and rng is None:
            raise ValueError("to rehearse, old events are drawn at random: give rng=numpy.random.default_rng(seed)")
        self.passes = passes
        self.rehearse = rehearse
        self._rng = copy.deepcopy(rng)
        self._seen: list[pd.DataFrame] = []

    def __str__(self) -> str:
        passes = f", {self.passes} passes" if self.passes > 1 else ""
        return passes + (f", {self.rehearse} old beside each new" if self.rehearse else "")

    def __copy__(self) -> LessonMaker:
        """Lessons that draw the same from here on, each by itself."""
        other = LessonMaker(self.passes, self.rehearse, self._rng)
        other._seen = list(self._seen)
        return other

    def remember(self, events: pd.DataFrame) -> None:
        """These have arrived, and may be rehearsed from now on."""
        if self.rehearse:
            self._seen.append(events)

    def of(self, arrived: pd.DataFrame) -> list[pd.DataFrame]:
        """The lessons of one update, one after the other."""
        if not self.rehearse:
            return [arrived] * self.passes
        past = pd.concat(self._seen) if len(self._seen) > 1 else self._seen[0]
        drawn = [past.iloc[self._draw(len(arrived), len(past))] for _ in range(self.passes)]
        self._seen = [past, arrived]
        return [pd.concat([old, arrived]).sort_values("timestamp", kind="stable") for old in drawn]

    def spread(self, plan: Plan, first: int, last: int, timestamps: np.ndarray) -> tuple[Plan, int, int]:
        """The same for the blocks after ``first`` and before ``last``: a plan with a block a lesson, and its range.

        A lesson that is followed by another one stands before a block that predicts nothing.
        """
        if self.passes == 1 and not self.rehearse:
            return plan, first, last
        starts, ends, order, known = plan.part(first, last)
        new = np.diff(known)  # arrivals before each block but the first
        lessons = np.where(new > 0, self.passes, 1)
        n_lessons = int(lessons.sum())
        # Before the first block nothing is learned; a later block stands behind its lessons, the last of them its own.
        block = np.repeat(np.arange(1, len(starts)), lessons)
        final = np.append(np.diff(block) > 0, True)[:n_lessons]
        sizes = new[block - 1] * (1 + self.rehearse)
        out = np.empty(int(sizes.sum()), np.int64)
        draws = self._uniform(int(new[block - 1].sum()) * self.rehearse)
        from recsys_course import _lesson_kernels  # numba is loaded where lessons are more than what has arrived

        _lesson_kernels.fill(block, order, known, draws, self.rehearse, timestamps, out)
        spread = Plan(
            np.append(starts[0], starts[block]),
            np.append(ends[0], np.where(final, ends[block], starts[block])),
            out,
            np.append(0, np.cumsum(sizes)),
            np.zeros(n_lessons + 1, bool),
        )
        return spread, 0, len(spread)

    def _uniform(self, n: int) -> np.ndarray:
        return self._rng.random(n) if self._rng is not None else np.empty(0)

    def _draw(self, n_new: int, n_old: int) -> np.ndarray:
        """Positions among the events seen, in order of arrival."""
        return np.sort((self._uniform(n_new * self.rehearse) * n_old).astype(np.int64))
