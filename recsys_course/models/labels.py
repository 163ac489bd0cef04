"""Checks of labels that models share: what a loss cannot use is refused before anything is learned of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_course.events import EventsError, check_events

__all__ = ["check_taken", "check_yes_or_no"]


def check_taken(events: pd.DataFrame) -> None:
    """Raise an EventsError unless this is an events table in which each row says that something was taken.

    Raises
    ------
    EventsError
        As :func:`recsys_course.events.check_events`, or a label is not 1.
    """
    check_events(events)
    _refuse(
        events,
        (events["label"] != 1.0).to_numpy(),
        "an implicit stream has labels of 1; keep the rows that count as taken, and write .assign(label=1.0)",
    )


def check_yes_or_no(events: pd.DataFrame, *, loss: str) -> None:
    """Raise an EventsError unless every label is 0 or 1; ``loss`` is the name of what needs that."""
    _refuse(events, ~events["label"].isin([0.0, 1.0]).to_numpy(), f"the {loss} needs 0 or 1")


def _refuse(events: pd.DataFrame, wrong: np.ndarray, why: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise EventsError(f"column 'label' is {events['label'].iloc[row]} in row {row}: {why}")
