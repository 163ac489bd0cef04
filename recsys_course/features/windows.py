"""Features that look back from a moment over a window: one definition, for a table and for a stream.

"Purchases of this user in the last 30 days" is a number that changes with every event and with every midnight. Worked
out one way for training and another way for serving, it differs in the cases nobody thought of, and the model is asked
about something that it was not trained on. Here both ways are the same few compiled lines (:mod:`._kernels`): a table
is a stream whose rows are all there already.

A row at time t sees the rows with ``t - length <= time < t``: never itself, never another row of the same second,
never a later one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from recsys_course.events import EventsError, check_events

__all__ = ["Window", "WindowFeatures"]

Statistic = Literal["count", "sum", "mean", "since"]
_KINDS: tuple[Statistic, ...] = ("count", "sum", "mean", "since")  # in the order of the kernel's numbers

_CHUNK = 1 << 16  # rows given to the kernel at once: bounds the memory of a long table
_NOT_MET, _MISSING = -1, -2


@dataclass(frozen=True)
class Window:
    """One feature: what to count, for whom, and how far back.

    Parameters
    ----------
    name : str
        The feature's column.
    key : str or tuple of str
        One or more columns: rows count for each other if they agree in all of them. A row with a missing key counts
        for nobody, and its own feature is NaN.
    length : str, Timedelta, int or None
        How far back: ``"30D"``, ``"12h"``, whole seconds, or None for all the past.
    where : mapping from column to value or tuple of values
        Only rows that hold one of these values count; all rows unless told.
    statistic : {"count", "sum", "mean", "since"}
        The number of rows; the sum or mean of ``value`` over them; or the seconds since the last of them. Without any
        row a count and a sum are 0, a mean and a time are NaN: there is no such number.
    value : str, optional
        The column to add up, for "sum" and "mean". A row in which it is missing does not count.

    Raises
    ------
    ValueError
        A length that is not positive, an unknown statistic, a sum without a value or a count with one.

    Notes
    -----
    Taught in chapter 02a.

    Examples
    --------
    >>> Window("bought_30d", "user", "30D", where={"what": "purchase"})
    Window(name='bought_30d', key='user', length='30D', where={'what': 'purchase'}, statistic='count', value=None)
    """

    name: str
    key: str | tuple[str, ...]
    length: str | int | pd.Timedelta | None
    where: Mapping[str, Any] = field(default_factory=dict)
    statistic: Statistic = "count"
    value: str | None = None

    def __post_init__(self) -> None:
        if self.statistic not in _KINDS:
            raise ValueError(f"statistic of {self.name!r} is {self.statistic!r}: use one of {', '.join(_KINDS)}")
        if (self.value is None) == (self.statistic in ("sum", "mean")):
            raise ValueError(f"{self.name!r}: 'sum' and 'mean' need a value column, 'count' and 'since' take none")
        if self.seconds == 0 or self.seconds < -1:
            raise ValueError(f"length of {self.name!r} is {self.length!r}: it must be positive")

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    @property
    def seconds(self) -> int:
        """The length in seconds, -1 for all the past."""
        if self.length is None:
            return -1
        if isinstance(self.length, int | np.integer):
            return int(self.length) if self.length > 0 else 0
        seconds = pd.Timedelta(self.length).total_seconds()
        if seconds % 1:
            raise ValueError(f"length of {self.name!r} is {self.length!r}: timestamps are whole seconds")
        return int(seconds) if seconds > 0 else 0


class WindowFeatures(TransformerMixin, BaseEstimator):
    """Window features of events, for a table or for a stream.

    ============================ ====================================== ==========================
    call                         each row sees                          then
    ============================ ====================================== ==========================
    ``fit_transform(events)``    the earlier rows of ``events``         all is learned, from empty
    ``advance(events)``          what was learned, and earlier rows     all is learned
    ``fit(events)``              -                                      all is learned, from empty
    ``update(events)``           -                                      all is learned
    ``transform(events)``        what was learned, and nothing else     nothing is learned
    ``transform_one(row)``       what was learned                       nothing is learned
    ``learn_one(row)``           -                                      the row is learned
    ============================ ====================================== ==========================

    Parameters
    ----------
    windows : sequence of Window
        The features, with different names.

    Attributes
    ----------
    clock_ : int
        The moment the windows stand at: the latest timestamp that was learned, advanced to or asked by
        ``transform_one``. Time moves on: no row before it can be asked about, because the windows have moved past.
    n_entries_ : int
        Entries that are held: those that some window still needs. All that has left is freed.

    Raises
    ------
    EventsError
        A column is missing, the rows are not an events table, or one is earlier than what was learned: ``transform``
        on the very rows that were learned would show them their own future; ``fit_transform`` is meant.

    Notes
    -----
    The table may lack the column ``label`` when it is only asked about, and all others but timestamp and keys. Each row
    costs the same for any length of window, and windows that differ only in length share one log. ``pickle`` saves the
    state, and a copy of it continues as the original does. Taught in chapter 02a.

    Examples
    --------
    >>> events = pd.DataFrame({"user": 1, "item": [7, 8, 7, 9], "label": 1.0, "timestamp": [0, 10, 10, 25]})
    >>> features = WindowFeatures([Window("last_20s", "user", 20), Window("since", "user", None, statistic="since")])
    >>> features.fit_transform(events)
       last_20s  since
    0       0.0    NaN
    1       1.0   10.0
    2       1.0   10.0
    3       2.0   15.0
    >>> features.transform_one({"user": 1, "timestamp": 30})
    {'last_20s': 3.0, 'since': 5.0}
    """

    clock_: int
    _learned_until: int

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows

    # -- a table at a time -------------------------------------------------------------------------------------

    def fit(self, events: pd.DataFrame, y=None) -> WindowFeatures:
        """Forget what was learned, and learn these rows."""
        self._check(events, learn=True)
        self._start(events.columns)
        self._walk(events, ask=False, learn=True)
        return self

    def update(self, events: pd.DataFrame) -> WindowFeatures:
        """Learn these rows too; they are not earlier than any that was learned."""
        self._check(events, learn=True)
        if not hasattr(self, "clock_"):
            self._start(events.columns)
        self._walk(events, ask=False, learn=True)
        return self

    def fit_transform(self, events: pd.DataFrame, y=None) -> pd.DataFrame:
        """Forget, then :meth:`advance`: the features of a whole table, each row seeing only what was before it."""
        self._check(events, learn=True)
        self._start(events.columns)
        return self._walk(events, ask=True, learn=True)

    def advance(self, events: pd.DataFrame) -> pd.DataFrame:
        """The features of these rows, shape (n_rows, n_windows), each learned before the next instant is asked about.

        The same as ``transform_one`` and ``learn_one`` on one row after the other.
        """
        self._check(events, learn=True)
        if not hasattr(self, "clock_"):
            self._start(events.columns)
        return self._walk(events, ask=True, learn=True)

    def transform(self, events: pd.DataFrame) -> pd.DataFrame:
        """The features of these rows, shape (n_rows, n_windows), given what was learned; learns nothing.

        All rows, late ones too, are asked about as of what is known now: nothing that happened in between is in them.
        """
        check_is_fitted(self, "clock_")
        self._check(events, learn=False)
        return self._walk(events, ask=True, learn=False)

    # -- a row at a time ---------------------------------------------------------------------------------------

    def transform_one(self, row: Mapping[str, Any]) -> dict[str, float]:
        """The features of one row, by name; the clock moves to its timestamp."""
        check_is_fitted(self, "clock_")
        now = _moment(row)
        self._not_before(now, self.clock_)
        codes = [group.find_one(row) for group in self._groups]
        self.clock_ = now
        out = np.empty((1, len(self._names)))
        at = np.array([now])
        for group, code in zip(self._groups, codes, strict=True):
            for track in group.tracks:
                track.walk(at, np.array([code]), _NOTHING, _ZERO, True, False, out)
        return dict(zip(self._names, out[0].tolist(), strict=True))

    def learn_one(self, row: Mapping[str, Any]) -> WindowFeatures:
        """Learn one row."""
        if not hasattr(self, "clock_"):
            self._start(row)
        now = _moment(row)
        self._not_before(now, self._learned_until)
        # All of the row is read before any of it is learned: a row that lacks a column leaves no trace.
        read = [([track.reads_one(row) for track in group.tracks], group.name(row)) for group in self._groups]
        self._learned_until = now
        self.clock_ = max(self.clock_, now)
        at = np.array([now])
        for group, (counted, name) in zip(self._groups, read, strict=True):
            code = np.array([group.code(name)])
            for track, (counts, value) in zip(group.tracks, counted, strict=True):
                track.walk(at, code, np.array([counts]), np.array([value]), False, True, _NO_OUTPUT)
            group.forget_idle_keys()
        return self

    # -- the rest ----------------------------------------------------------------------------------------------

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """The names of the windows, in their order."""
        check_is_fitted(self, "clock_")
        return np.array(self._names, dtype=object)

    @property
    def n_entries_(self) -> int:
        check_is_fitted(self, "clock_")
        return sum(int(track.place[0]) - track.oldest() for group in self._groups for track in group.tracks)

    @property
    def nbytes(self) -> int:
        """Size of the arrays that hold the state, in bytes; the keys' names come on top."""
        check_is_fitted(self, "clock_")
        return sum(array.nbytes for group in self._groups for track in group.tracks for array in track.arrays())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "clock_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # an events table, not a matrix of numbers
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _start(self, columns: Iterable[str]) -> None:
        windows = list(self.windows)
        names = [window.name for window in windows]
        if not windows or len(set(names)) < len(names):
            raise ValueError(f"windows must be at least one, with different names, not {names}")
        self.feature_names_in_ = np.array([str(name) for name in columns], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self._names = names
        self._groups = [
            _Group(keys, [(j, window) for j, window in enumerate(windows) if window.keys == keys])
            for keys in dict.fromkeys(window.keys for window in windows)
        ]
        self.clock_ = self._learned_until = np.iinfo(np.int64).min

    def _check(self, events: pd.DataFrame, *, learn: bool) -> None:
        if learn:
            check_events(events, allow_empty=True)
        elif not isinstance(events, pd.DataFrame) or "timestamp" not in events.columns:
            raise EventsError("events must be a DataFrame with a column 'timestamp'")
        needed = {key for window in self.windows for key in window.keys}
        if learn:
            needed |= {name for window in self.windows for name in window.where}
            needed |= {window.value for window in self.windows if window.value is not None}
        missing = sorted(needed - set(events.columns))
        if missing:
            raise EventsError(f"column {missing[0]!r} is missing: the table has {list(map(str, events.columns))}")
        for name in {window.value for window in self.windows if learn and window.value is not None}:
            _refuse_infinite(events[name].to_numpy(dtype=float, na_value=np.nan), name)

    def _not_before(self, now: int, limit: int) -> None:
        if now < limit:
            raise EventsError(
                f"a row at {now} comes after one at {limit} was learned or asked about: the windows have moved on. For "
                "the features of the rows that are being learned use fit_transform or advance"
            )

    def _walk(self, events: pd.DataFrame, *, ask: bool, learn: bool) -> pd.DataFrame:
        """Rows in their order through every track; a track's state is a copy where nothing is to be learned."""
        times = np.array(events["timestamp"], dtype=np.int64)
        if len(times):
            if (np.diff(times) < 0).any():
                raise EventsError("the rows are not in time order: sort the table with sort_events(table)")
            self._not_before(int(times[0]), self.clock_ if ask else self._learned_until)
        out = np.empty((len(events), len(self._names)) if ask else (0, 0))
        for group in self._groups:
            tracks = group.tracks if learn else [track.copy() for track in group.tracks]
            for first in range(0, len(events), _CHUNK):
                rows = events.iloc[first : first + _CHUNK]
                codes = group.add(rows) if learn else group.find(rows)
                at = times[first : first + _CHUNK]
                for track in tracks:
                    counts, values = track.reads(rows) if learn else (_NOTHING, _ZERO)
                    track.walk(at, codes, counts, values, ask, learn, out[first : first + _CHUNK])
                if learn:
                    group.forget_idle_keys()
        if learn and len(times):
            self._learned_until = int(times[-1])
            self.clock_ = max(self.clock_, self._learned_until)
        return pd.DataFrame(out, index=events.index, columns=self._names, copy=False) if ask else pd.DataFrame()


_NOTHING, _ZERO, _NO_OUTPUT = np.zeros(1, dtype=np.bool_), np.zeros(1), np.zeros((0, 0))


class _Group:
    """The windows that share their key columns: one numbering of keys, and a track for each selection of rows."""

    def __init__(self, keys: tuple[str, ...], windows: list[tuple[int, Window]]) -> None:
        self.keys = keys
        self.codes: dict[Hashable, int] = {}
        selections = dict.fromkeys(_selection(window) for _, window in windows)
        self.tracks = [
            _Track([(j, window) for j, window in windows if _selection(window) == selection])
            for selection in selections
        ]
        self._roomy = 1024  # number of keys from which on it is worth looking for idle ones

    def add(self, rows: pd.DataFrame) -> np.ndarray:
        """The code of each row's key; a key not met before gets the next free one."""
        return self._translate(rows, lambda name: self.codes.setdefault(name, len(self.codes)))

    def find(self, rows: pd.DataFrame) -> np.ndarray:
        """The code of each row's key, -1 for a key not met before; -2 for a missing one, as in ``add``."""
        return self._translate(rows, lambda name: self.codes.get(name, _NOT_MET))

    def code(self, name: Hashable | None) -> int:
        """The code of a key, a new one if it was not met before."""
        return _MISSING if name is None else self.codes.setdefault(name, len(self.codes))

    def find_one(self, row: Mapping[str, Any]) -> int:
        name = self.name(row)
        return _MISSING if name is None else self.codes.get(name, _NOT_MET)

    def name(self, row: Mapping[str, Any]) -> Hashable | None:
        """The key of a row, None if a part of it is missing."""
        if len(self.keys) == 1:
            value = row[self.keys[0]]
            return None if _absent(value) else value
        values = tuple(row[key] for key in self.keys)
        return None if any(map(_absent, values)) else values

    def _translate(self, rows: pd.DataFrame, one) -> np.ndarray:
        code, names = pd.factorize(rows[self.keys[0]])  # -1 where missing
        distinct: list = np.asarray(names).tolist()
        for key in self.keys[1:]:
            more, more_names = pd.factorize(rows[key])
            code = np.where((code < 0) | (more < 0), -1, code * len(more_names) + more)
            code, pairs = pd.factorize(np.where(code < 0, np.nan, code.astype(float)))
            left, right = np.divmod(pairs.astype(np.int64), max(len(more_names), 1))
            second = np.asarray(more_names).tolist()
            distinct = [(*_tuple(distinct[a]), second[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
        table = np.fromiter((one(name) for name in distinct), dtype=np.int64, count=len(distinct))
        return np.append(table, _MISSING)[code]  # -1 reads the last

    def forget_idle_keys(self) -> None:
        """Free the keys of which nothing is left in any window, now and then: a stream has new users for ever."""
        if len(self.codes) <= self._roomy:
            return
        busy = np.zeros(len(self.codes), dtype=bool)
        for track in self.tracks:
            track.mark_busy(busy)
        new = np.where(busy, np.cumsum(busy) - 1, -1)
        self.codes = {name: int(new[code]) for name, code in self.codes.items() if busy[code]}
        for track in self.tracks:
            track.renumber(busy, new)
        self._roomy = max(1024, 2 * len(self.codes))


class _Track:
    """The rows that count for some windows of one key, as the kernel wants them."""

    def __init__(self, windows: list[tuple[int, Window]]) -> None:
        some = windows[0][1]
        self.where = {name: v if isinstance(v, tuple) else (v,) for name, v in some.where.items()}
        self.value = some.value
        lengths = list(dict.fromkeys(window.seconds for _, window in windows))
        self.lengths = np.array(lengths, dtype=np.int64)
        self.kinds = np.array([_KINDS.index(window.statistic) for _, window in windows])
        self.of_window = np.array([lengths.index(window.seconds) for _, window in windows])
        self.columns = np.array([j for j, _ in windows])
        self.log = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self.place = np.zeros(2 + len(lengths), np.int64)
        self.count = np.zeros((0, len(lengths)), np.int64)
        self.total, self.lost = np.zeros((0, len(lengths))), np.zeros((0, len(lengths)))
        self.last = np.zeros(0, np.int64)

    def arrays(self) -> list[np.ndarray]:
        return [*self.log, self.count, self.total, self.lost, self.last]

    def oldest(self) -> int:
        """The first entry of the log that a window still needs."""
        return int(self.place[1:].min())

    def copy(self) -> _Track:
        """A track to walk through without a trace; the log is shared, because asking does not write to it."""
        other = object.__new__(_Track)
        other.__dict__.update(self.__dict__)
        for name in ("place", "count", "total", "lost", "last"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def reads(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Which rows count, and with what value."""
        counts = np.ones(len(rows), dtype=np.bool_)
        for name, allowed in self.where.items():
            counts &= rows[name].isin(allowed).to_numpy(dtype=bool)
        if self.value is None:
            return counts, np.zeros(len(rows))
        values = rows[self.value].to_numpy(dtype=float, na_value=np.nan, copy=True)
        return counts & ~np.isnan(values), values

    def reads_one(self, row: Mapping[str, Any]) -> tuple[bool, float]:
        counts = all([row[name] in allowed for name, allowed in self.where.items()])
        if self.value is None:
            return counts, 0.0
        value = np.nan if _absent(row[self.value]) else float(row[self.value])
        _refuse_infinite(np.array([value]), self.value)
        return counts and value == value, value

    def walk(self, times, codes, counts, values, ask: bool, learn: bool, out: np.ndarray) -> None:
        from recsys_course.features import _kernels  # loads numba, so only once something is to be counted

        if learn:
            self._make_room(len(times), int(codes.max(initial=-1)) + 1)
        _kernels.walk(
            times, codes, counts, values, ask, learn, *self.log, self.place, self.lengths, self.count, self.total,
            self.lost, self.last, self.kinds, self.of_window, self.columns, out,
        )  # fmt: skip

    def _make_room(self, n_rows: int, n_keys: int) -> None:
        end, capacity = int(self.place[0]), len(self.log[0])
        if end + n_rows > capacity:
            first = self.oldest()
            held = end - first
            # Twice what is needed, so that moving the log costs each entry a constant on average.
            size = max(64, 2 * (held + n_rows))
            moved = (np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size))
            for new, old in zip(moved, self.log, strict=True):
                new[:held] = old[first:end]
            self.log = moved
            self.place = self.place - first
        if n_keys > len(self.count):
            size = max(64, 2 * n_keys)
            for name in ("count", "total", "lost", "last"):
                old = getattr(self, name)
                new = np.zeros((size, *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)

    def mark_busy(self, busy: np.ndarray) -> None:
        n = min(len(busy), len(self.count))
        busy[:n] |= (self.count[:n] > 0).any(axis=1)
        busy[self.log[1][self.place[1] : self.place[0]]] = True

    def renumber(self, busy: np.ndarray, new: np.ndarray) -> None:
        kept = np.flatnonzero(busy[: len(self.count)])
        for name in ("count", "total", "lost", "last"):
            setattr(self, name, getattr(self, name)[kept])
        held = slice(self.oldest(), int(self.place[0]))
        self.log[1][held] = new[self.log[1][held]]


def _selection(window: Window) -> tuple:
    """What has to agree for two windows to share a track."""
    return tuple(sorted((name, repr(value)) for name, value in window.where.items())), window.value


def _tuple(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _moment(row: Mapping[str, Any]) -> int:
    try:
        return index(row["timestamp"])
    except TypeError:
        raise EventsError(f"timestamp is {row['timestamp']!r}: use whole seconds since 1970-01-01 UTC") from None


def _refuse_infinite(values: np.ndarray, name: str) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        raise EventsError(f"column {name!r} is infinite in row {int(np.argmax(infinite))}: no sum could shed it again")


def _absent(value) -> bool:
    return value is None or value is pd.NA or value != value
