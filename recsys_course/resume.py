"""Follow a stream so that it can be stopped anywhere, also by a power cut, and taken up again as if nothing had been.

Three things have to agree after a crash: the model, how many events it has learned, and what was written down about
them. Saved apart, they will one day disagree: a model that has learned event 1,000 beside a note that says 999 learns
that event twice. Here one file, the *checkpoint*, holds the model and its position, and is replaced in one step. What
was predicted is appended to a second file, eight bytes an event, so that its length is a position too: taking up the
run cuts it back to the checkpoint's, and the events since then are predicted, written and learned again.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Checkpoint", "follow", "load_checkpoint", "predictions", "save_checkpoint"]

_CHECKPOINT, _SAID = "checkpoint.pickle", "predictions.float64"


class Checkpoint(NamedTuple):
    """A model and how many events of the stream it has learned."""

    model: Any
    position: int


def _nothing(moment: str) -> None:
    """What happens at each moment unless a test wants a crash there."""


def save_checkpoint(folder: Path, state: Checkpoint, *, at: Callable[[str], None] = _nothing) -> None:
    """Replace the folder's checkpoint, whole or not at all: written beside it, forced to disk, then renamed.

    Renaming within a folder is one step on every system that Python runs on, so a reader finds the old file or the
    new one. Taught in chapter 08b.
    """
    content = pickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL)
    unfinished = folder / f"{_CHECKPOINT}.part"
    with unfinished.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        at("checkpoint half written")
        file.write(content[len(content) // 2 :])
        file.flush()
        os.fsync(file.fileno())
    at("checkpoint written, not in place")
    unfinished.replace(folder / _CHECKPOINT)
    at("checkpoint in place")


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The folder's checkpoint, or None where there is none yet.

    Only from a folder that you trust: unpickling runs what the file says. Taught in chapter 08b.
    """
    path = folder / _CHECKPOINT
    return pickle.loads(path.read_bytes()) if path.exists() else None


def predictions(folder: Path) -> np.ndarray:
    """What was predicted so far, shape (position,), one float64 for each event of the stream."""
    return np.fromfile(folder / _SAID)


def follow(
    events: Sequence[tuple],
    model: Any,
    folder: Path,
    *,
    predict: Callable[[Any, tuple], float],
    learn: Callable[[Any, tuple], object],
    every: int = 1000,
    at: Callable[[str], None] = _nothing,
) -> Any:
    """Predict, write down and learn each event once, from wherever the folder's checkpoint says that the run stands.

    Parameters
    ----------
    events : sequence of tuples
        The whole stream: what was learned before is skipped. It must be the same stream, in the same order.
    model : object
        The model to begin with, used only where there is no checkpoint yet; whatever can be pickled.
    folder : Path
        Of this run alone, and of one process at a time.
    predict, learn : callable
        ``predict(model, event)``, a number, and ``learn(model, event)``. They may change nothing but the model.
    every : int
        Events between two checkpoints: what a crash costs is learning at most so many events again.
    at : callable
        Called with the name of each moment at which a crash would find things half done; tests raise there.

    Returns
    -------
    The model after the last event. What was predicted: :func:`predictions`.

    Raises
    ------
    ValueError
        ``every`` is below 1, or the checkpoint lies beyond the end of the stream, or its predictions are gone.

    Notes
    -----
    Whenever and however often it is interrupted, the predictions and the model are those of a run that was not:
    nothing is lost, and nothing counts twice. Taught in chapter 08b.

    Examples
    --------
    >>> import tempfile
    >>> events = [("ann", "Alien", 5.0), ("bob", "Alien", 4.0), ("ann", "Up", 1.0)]
    >>> def learn(model, event):
    ...     model.append(event[2])
    >>> with tempfile.TemporaryDirectory() as name:
    ...     ask = lambda model, event: float(len(model))
    ...     half = follow(events[:2], [], Path(name), predict=ask, learn=learn)
    ...     whole = follow(events, [], Path(name), predict=ask, learn=learn)
    ...     whole, predictions(Path(name)).tolist()
    ([5.0, 4.0, 1.0], [0.0, 1.0, 2.0])
    """
    if every < 1:
        raise ValueError(f"every must be at least 1 event, not {every}")
    folder.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint(folder)
    if state is None:  # before the model has learned anything: whoever calls again hands over what has learned since
        state = Checkpoint(model, 0)
        save_checkpoint(folder, state, at=at)
    model, position = state
    if position > len(events):
        raise ValueError(
            f"the checkpoint has learned {position} events, and the stream has {len(events)}: another one?"
        )
    said_path = folder / _SAID
    said_path.touch()
    if said_path.stat().st_size < 8 * position:
        raise ValueError(f"{_SAID} holds fewer than the {position} predictions that the checkpoint has learned from")
    with said_path.open("r+b") as said:
        said.truncate(8 * position)  # what was said after the checkpoint is said again
        said.seek(8 * position)
        for event in events[position:]:
            at("before predicting")
            answer = predict(model, event)
            at("predicted, not written")
            said.write(np.float64(answer).tobytes())
            at("written, not learned")
            learn(model, event)
            position += 1
            at("learned, no checkpoint")
            if position % every == 0 or position == len(events):
                # The predictions first: a checkpoint that is in place speaks for all that came before it.
                said.flush()
                os.fsync(said.fileno())
                save_checkpoint(folder, Checkpoint(model, position), at=at)
    return model
