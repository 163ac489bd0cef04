"""Models that only count. A learned model has to beat them before it earns its cost, and often does not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_course.candidates import Candidates
from recsys_course.events import check_events
from recsys_course.models import _kernels
from recsys_course.models.base import Model, NotFittedError, Ranker, Vocabulary
from recsys_course.models.settings import below_one
from recsys_course.plan import Plan

__all__ = ["PersonalFrequency", "Popularity", "RunningMeans"]


class RunningMeans(Model):
    """Predicts the mean label, plus how far the item and the user have lately been above it.

    Parameters
    ----------
    forget : float
        Share of an old label's weight that is lost with each newer label of the same user or item; 0 forgets nothing.
    shrink : float
        Pulls the mean of an id with few labels to zero, as if it had so many more labels at the mean.

    Raises
    ------
    ValueError
        ``forget`` is not in [0, 1) or ``shrink`` is negative.

    Notes
    -----
    An item's effect is the weighted mean of label - mu, a user's of label - mu - (item's effect); the damped means
    are those of Koren and Bell, Recommender Systems Handbook, 2011. Fitting is one pass in order. Taught in chapter 01.

    Examples
    --------
    >>> import pandas as pd
    >>> ratings = pd.DataFrame({"user": [1, 2], "item": [7, 8], "label": [5.0, 1.0], "timestamp": [1, 2]})
    >>> RunningMeans(shrink=1.0).fit(ratings).predict(ratings).round(2)
    array([3. , 1.5])
    """

    def __init__(self, *, forget: float = 0.0, shrink: float = 5.0) -> None:
        below_one("forget", forget)
        if not shrink >= 0:
            raise ValueError(f"shrink must be at least 0, not {shrink}")
        self.forget = forget
        self.shrink = shrink
        self._fitted = False

    def _start(self) -> None:
        self._fitted = True
        self._users, self._items = Vocabulary(), Vocabulary()
        self._state = (np.zeros(2), *(np.zeros(0) for _ in range(4)))
        self.examples_learned = 0

    def fit(self, events: pd.DataFrame) -> RunningMeans:
        check_events(events)
        self._start()
        return self.update(events)

    def update(self, events: pd.DataFrame) -> RunningMeans:
        check_events(events)
        if not self._fitted:
            self._start()
        users, items = self._admit(events)
        rows = np.arange(len(events))
        labels = events["label"].to_numpy()
        _kernels.learn_means(rows, users, items, labels, *self._state, 1 - self.forget, self.shrink)
        self.examples_learned += len(events)
        return self

    def _admit(self, events: pd.DataFrame):
        users, items = self._users.add(events["user"]), self._items.add(events["item"])
        sizes = (2, *[len(self._users)] * 2, *[len(self._items)] * 2)
        self._state = tuple(_room(a, n) for a, n in zip(self._state, sizes, strict=True))
        return users, items

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        self._ready()
        users, items = self._users.find(events["user"]), self._items.find(events["item"])
        out = np.empty(len(events))
        _kernels.predict_means(0, len(events), users, items, *self._state, self.shrink, out)
        return out

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> np.ndarray:
        check_events(events)
        self._ready()
        arriving = plan.arriving(first, last)
        self._admit(events.iloc[arriving])
        out = np.empty(plan.n_predicted(first, last))
        _kernels.run_means(
            *plan.part(first, last),
            self._users.find(events["user"]),
            self._items.find(events["item"]),
            events["label"].to_numpy(),
            self._state,
            1 - self.forget,
            self.shrink,
            out,
        )
        self.examples_learned += len(arriving)
        return out

    @property
    def nbytes(self) -> int:
        self._ready()
        return 16 * (1 + len(self._users) + len(self._items))

    def _ready(self) -> None:
        if not self._fitted:
            raise NotFittedError("RunningMeans has learned nothing yet: call fit or update first")


def _room(array: np.ndarray, needed: int, fill=0) -> np.ndarray:
    """The array with room for ``needed`` entries; twice the room each time it is short."""
    if needed <= len(array):
        return array
    out = np.full(max(needed, 2 * len(array)), fill, array.dtype)
    out[: len(array)] = array
    return out


class _Counts(Ranker):
    """Counts of items, over all events or the latest, and for each user; the two rankers below are settings of it."""

    def __init__(self, window: int | None, keep: float) -> None:
        self._window = window
        self._keep = keep  # below zero: nothing is counted per user
        self._fitted = False

    def _start(self) -> None:
        self._fitted = True
        self._users, self._items, self._pairs = Vocabulary(), Vocabulary(), Vocabulary()
        self._position = np.zeros(1, np.int64)
        self._recent = np.zeros(self._window or 0, np.int64)
        self._counts, self._seen = np.zeros(0), np.zeros(0, np.bool_)
        empty = np.zeros(0, np.int64)
        self._personal = (empty, np.zeros(0), empty, empty, empty, empty)
        self._fade: np.ndarray = np.zeros(0)
        self.examples_learned = 0

    def fit(self, events: pd.DataFrame):
        check_events(events)
        self._start()
        return self.update(events)

    def update(self, events: pd.DataFrame):
        check_events(events)
        if not self._fitted:
            self._start()
        users, items, pairs = self._admit(events)
        rows = np.arange(len(events))
        _kernels.learn_counts(
            rows, users, items, pairs, self._position, self._recent, self._counts, self._personal, self._fade
        )
        self._seen[items] = True
        self.examples_learned += len(events)
        return self

    def _admit(self, events: pd.DataFrame):
        users, items = self._users.add(events["user"]), self._items.add(events["item"])
        self._counts = _room(self._counts, len(self._items))
        self._seen = _room(self._seen, len(self._items))
        item, weight, clock_then, following, head, clock = self._personal
        pairs = np.zeros(len(events), np.int64)
        if self._keep >= 0:
            pairs = self._pairs.add(users * 2**32 + items)
            n = len(self._pairs)
            item, following = _room(item, n, -1), _room(following, n, -1)
            weight, clock_then = _room(weight, n), _room(clock_then, n)
            head, clock = _room(head, len(self._users), -1), _room(clock, len(self._users))
            # A power for each number of ticks that can occur, worked out once and not for each weight that is read.
            ticks = int(clock.max()) + len(events) + 1
            if ticks > len(self._fade):
                self._fade = np.power(self._keep, np.arange(2 * ticks), dtype=np.float64)
        self._personal = (item, weight, clock_then, following, head, clock)
        return users, items, pairs

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        self._ready()
        return np.array(
            [
                self.score_items(np.array([user]), np.array([item]))[0, 0]
                for user, item in zip(events["user"], events["item"], strict=True)
            ]
        )

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        self._ready()
        rows, catalogue = self._users.find(users), self._items.find(items)
        row_to_code = self._row_to_code(catalogue)
        out = np.empty((len(rows), len(catalogue)))
        for k, u in enumerate(rows):
            _kernels.score_counts(
                u,
                catalogue,
                row_to_code,
                self._position,
                self._recent,
                self._counts,
                self._seen,
                self._personal,
                self._fade,
                out[k],
            )
        return out

    def _row_to_code(self, catalogue: np.ndarray) -> np.ndarray:
        codes = np.full(len(self._items), -1, np.int64)
        known = catalogue >= 0
        codes[catalogue[known]] = np.flatnonzero(known)
        return codes

    @property
    def known_items(self) -> np.ndarray:
        self._ready()
        return self._items.ids()

    def run_ranks(self, events: pd.DataFrame, plan: Plan, first: int, last: int, contest: Candidates) -> np.ndarray:
        check_events(events)
        self._ready()
        arriving = plan.arriving(first, last)
        pairs = np.zeros(len(events), np.int64)
        pairs[arriving] = self._admit(events.iloc[arriving])[2]
        catalogue = self._items.find(contest.items)
        out = np.empty(plan.n_predicted(first, last))
        _kernels.run_count_ranks(
            *plan.part(first, last),
            self._users.find(events["user"]),
            self._items.find(events["item"]),
            pairs,
            self._position,
            self._recent,
            self._counts,
            self._seen,
            self._personal,
            self._fade,
            *contest.arrays,
            catalogue,
            self._row_to_code(catalogue),
            out,
        )
        self.examples_learned += len(arriving)
        return out

    @property
    def nbytes(self) -> int:
        self._ready()
        per_user = 16 * len(self._users) + 32 * len(self._pairs) if self._keep >= 0 else 0
        return 9 * len(self._items) + 8 * len(self._recent) + per_user

    def _ready(self) -> None:
        if not self._fitted:
            raise NotFittedError(f"{type(self).__name__} has learned nothing yet: call fit or update first")


class Popularity(_Counts):
    """Orders items by how often they were taken, lately or ever; the same order for everybody.

    Parameters
    ----------
    window : int, optional
        Count the latest so many events only; all unless told.

    Notes
    -----
    An item that fell out of the window scores 0, one never met stands last. Taught in chapter 01.

    Examples
    --------
    >>> import pandas as pd
    >>> taken = pd.DataFrame({"user": 1, "item": ["a", "a", "b"], "label": 1.0, "timestamp": [1, 2, 3]})
    >>> Popularity().fit(taken).score_items(np.array([1]), np.array(["a", "b", "c"]))
    array([[0.5 , 0.25, -inf]])
    >>> Popularity(window=1).fit(taken).recommend([9], k=1)["item"].tolist()
    ['b']
    """

    def __init__(self, *, window: int | None = None) -> None:
        if window is not None and window < 1:
            raise ValueError(f"window must be at least 1 event, not {window}")
        super().__init__(window, keep=-1.0)
        self.window = window


class PersonalFrequency(_Counts):
    """Orders items by how often this user took them, older times counting less; popularity settles the rest.

    Parameters
    ----------
    forget : float
        Share of its weight that an event loses with each newer event of the same user.

    Notes
    -----
    Popularity enters as a share below 1, the weight of one event: it orders what the user never took, and hardly
    disturbs the rest. Taught in chapter 01.

    Examples
    --------
    >>> import pandas as pd
    >>> taken = pd.DataFrame({"user": [1, 2, 2], "item": ["a", "b", "b"], "label": 1.0, "timestamp": [1, 2, 3]})
    >>> PersonalFrequency().fit(taken).recommend([1, 2, 3], k=1)["item"].tolist()
    ['a', 'b', 'b']
    """

    def __init__(self, *, forget: float = 0.02) -> None:
        if not 0 <= forget <= 1:
            raise ValueError(f"forget must lie between 0 and 1, not {forget}")
        super().__init__(None, keep=1.0 - forget)
        self.forget = forget
