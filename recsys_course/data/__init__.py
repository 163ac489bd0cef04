"""Data sets of the course: one function each, one type of table, and a card that says where it comes from.

>>> from recsys_course import data
>>> ds = data.movielens()
>>> ds.events.columns.tolist()
['user', 'item', 'label', 'timestamp']
>>> data.card("movielens").task
'rating'
"""

from __future__ import annotations

from recsys_course.data.complete_journey import complete_journey, complete_journey_lines
from recsys_course.data.dataset import Card, DataError, DataMissing, Dataset

# Each module is imported here, at once, because its function has the same name: imported later, it would take the
# function's place as an attribute of this package. The modules import their own readers only when they are called.
from recsys_course.data.movielens import movielens
from recsys_course.data.movietweetings import movietweetings
from recsys_course.data.store import Status, card, cards, status

__all__ = [
    "Card",
    "DataError",
    "DataMissing",
    "Dataset",
    "Status",
    "available",
    "card",
    "cards",
    "complete_journey",
    "complete_journey_lines",
    "movielens",
    "movietweetings",
    "names",
    "status",
]


def names() -> list[str]:
    """The names of all data sets that have a card.

    >>> names()[0]
    'movielens'
    """
    return list(cards())


def available(name: str) -> bool:
    """Whether a data set can be loaded right now without a network: its files are here and unaltered.

    >>> available("movielens")
    True
    """
    return status(name).state == "ready"
