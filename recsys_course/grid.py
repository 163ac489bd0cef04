"""Many replays: in parallel, on this machine or on a cluster, and never the same one twice.

A grid is a list of :class:`Entry`, each a strategy on a stream. :func:`run_grid` replays them through joblib, which
runs them one by one, on several cores, or on a cluster: that is decided outside, by ``joblib.parallel_config``.

With a folder for results, each finished replay is kept under a name made from everything that decides it: the events,
the strategy with all its settings and generators, the arguments of the replay, the source of this package and the
versions of those it stands on. An interrupted grid goes on where it was; a changed line of code starts anew.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.metadata
import io
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from recsys_course.replay import Result, replay
from recsys_course.strategies import Strategy

__all__ = ["Entry", "key_of", "run_grid"]

# Columns of a result that stand in the stream, too, and need not be kept twice.
_FROM_STREAM = {"labels": "label", "timestamps": "timestamp", "users": "user"}


DIVERGED = "diverged"  # what is kept of a replay in which learning diverged


@dataclass(frozen=True)
class Entry:
    """One replay of a grid.

    Attributes
    ----------
    stream : str
        Which of the streams.
    strategy : Strategy
        With models and generators of its own: a seed is a matter of whoever makes it.
    task : {"rating", "binary", "ranking"}
    tags : dict
        What the caller wants to remember of it, such as the seed; part of no key.
    options : dict
        Further arguments of :func:`recsys_course.replay.replay`, such as ``delay`` and ``warmup``.
    """

    stream: str
    strategy: Strategy
    task: str
    tags: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)


def run_grid(
    entries: Sequence[Entry],
    streams: dict[str, pd.DataFrame],
    *,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    diverged: str = "raise",
) -> list[Any]:
    """Replay every entry; results come in the order of the entries, whoever was done first.

    Parameters
    ----------
    entries : sequence of Entry
    streams : dict from a name to an events table
    cache : path, optional
        A folder in which finished replays are kept and looked for. None, the default, keeps and finds nothing.
    progress : callable, optional
        Called with how many are done and how many there are, each time that one is.
    diverged : {"raise", "leave out"}
        What becomes of a replay in which learning diverges: the ``FloatingPointError`` of the model, or None in the
        place of its result, which is kept like one.

    Returns
    -------
    list of Result

    Raises
    ------
    FloatingPointError
        Learning diverges, and ``diverged`` is "raise".
    KeyError
        An entry names a stream that is not there.
    ValueError
        ``diverged`` is something else.

    Notes
    -----
    How many run at once is joblib's matter: ``with joblib.parallel_config(n_jobs=2)`` for two cores, and with
    ``backend="dask"`` for a cluster. A strategy or model whose class stands outside this package, River and NumPy, in a
    notebook for instance, is replayed each time: its code could change without its name changing. Taught in chapter
    09b.

    Examples
    --------
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.strategies import Frozen, Incremental
    >>> table = pd.DataFrame({"user": 1, "item": 7, "label": [3.0] * 5 + [5.0] * 5, "timestamp": range(10)})
    >>> grid = [Entry("small", kind(RunningMeans()), "rating") for kind in (Frozen, Incremental)]
    >>> [result.name for result in run_grid(grid, {"small": table})]
    ['frozen', 'incremental, per event']
    """
    if diverged not in ("raise", "leave out"):
        raise ValueError(f"diverged must be 'raise' or 'leave out', not {diverged!r}")
    for entry in entries:
        if entry.stream not in streams:
            raise KeyError(f"no stream is called {entry.stream!r}: there are {', '.join(map(repr, streams))}")
    folder = None if cache is None else Path(cache)
    keys: list[str | None] = [None] * len(entries)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        hashes = {name: joblib.hash(streams[name]) for name in {entry.stream for entry in entries}}
        keys = [_key(hashes[entry.stream], entry) for entry in entries]

    results: list[Result | None] = [None] * len(entries)
    missing = []
    for number, (entry, key) in enumerate(zip(entries, keys, strict=True)):
        kept = None if folder is None or key is None else _read(folder / key, streams[entry.stream])
        # That learning diverged is no answer to a caller who wants the error: it is tried again, and raises.
        if kept is None or (kept is DIVERGED and diverged == "raise"):
            missing.append(number)
        elif kept is not DIVERGED:
            results[number] = kept
    done = len(entries) - len(missing)
    if progress is not None:
        progress(done, len(entries))
    tasks = (
        joblib.delayed(_one)(
            number, entries[number], streams[entries[number].stream], _path(folder, keys[number]), diverged
        )
        for number in missing
    )
    for number, result in joblib.Parallel(return_as="generator_unordered")(tasks):
        results[number] = result
        done += 1
        if progress is not None:
            progress(done, len(entries))
    return results


def key_of(entry: Entry, events: pd.DataFrame) -> str | None:
    """The name under which an entry's result is kept; None where it must not be kept. Taught in chapter 09b."""
    return _key(joblib.hash(events), entry)


def _one(
    number: int, entry: Entry, events: pd.DataFrame, path: Path | None, diverged: str
) -> tuple[int, Result | None]:
    # A copy: the strategy lives through the stream, and the next one to use it must find it as it was.
    strategy = copy.deepcopy(entry.strategy)
    expected: Any = "ignore" if diverged == "leave out" else None
    result: Result | None = None
    try:
        with np.errstate(over=expected, invalid=expected):  # what a model runs into before it gives up
            result = replay(events, strategy, task=entry.task, **entry.options)
    except FloatingPointError:
        if diverged == "raise":
            raise
    if path is not None:
        _write(path, result)
    return number, result


def _path(folder: Path | None, key: str | None) -> Path | None:
    return None if folder is None or key is None else folder / key


# ------------------------------------------------------------------------------------------------ the key


def _key(events_hash: str, entry: Entry) -> str | None:
    strategy = _fixed_code(entry.strategy)
    if strategy is None:
        return None
    options = joblib.hash(sorted(entry.options.items()))
    parts = (events_hash, joblib.hash(entry.strategy), entry.task, options, _code(), *strategy)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _fixed_code(strategy: Strategy) -> list[str] | None:
    """Packages whose classes the strategy is made of, with versions; None if one of them has no version to go by."""
    try:
        content = pickle.dumps(strategy)
    except Exception:  # what cannot be pickled by name is code that somebody is writing just now
        return None
    modules = _Names(io.BytesIO(content)).modules()
    packages = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names) - {__package__}
    try:
        return [f"{name} {importlib.metadata.version(name)}" for name in sorted(packages)]
    except importlib.metadata.PackageNotFoundError:
        return None


class _Names(pickle.Unpickler):
    def modules(self) -> set[str]:
        self._found: set[str] = set()
        self.load()
        return self._found

    def find_class(self, module: str, name: str) -> Any:
        # A notebook's classes live in __main__, which is a module of the standard library by name only.
        self._found.add("a notebook" if module == "__main__" else module)
        return super().find_class(module, name)


@functools.cache
def _code() -> str:
    """This package's source, and what it is run by."""
    digest = hashlib.sha256(sys.version.encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    for name in ("numpy", "numba", "pandas", "scipy"):
        digest.update(f"{name} {importlib.metadata.version(name)}".encode())
    return digest.hexdigest()


# ----------------------------------------------------------------------------------------------- the files


def _write(path: Path, result: Result | None) -> None:
    kept: dict | str = DIVERGED
    if result is not None:
        kept = {f.name: getattr(result, f.name) for f in fields(result) if f.name not in _FROM_STREAM}
    content = pickle.dumps(kept, protocol=5)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(hashlib.sha256(content).digest() + content)
    Path(unfinished).replace(path)


def _read(path: Path, events: pd.DataFrame) -> Any:
    """What was kept, a result or DIVERGED; or None: there is nothing, or the file is not what was written."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    content = stored[32:]
    if hashlib.sha256(content).digest() != stored[:32]:
        path.unlink()  # it will be written again
        return None
    kept = pickle.loads(content)
    if kept == DIVERGED:
        return DIVERGED
    taken: dict[str, Any] = {ours: events[column].to_numpy()[kept["rows"]] for ours, column in _FROM_STREAM.items()}
    return Result(**kept, **taken)
