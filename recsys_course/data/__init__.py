"""Data sets of the course: one function each, one type of table, and a card that says where it comes from.

>>> from recsys_course import data
>>> ds = data.movielens()
>>> ds.events.columns.tolist()
['user', 'item', 'label', 'timestamp']
>>> data.card("movielens").task
'rating'
"""

from __future__ import annotations

from pathlib import Path

from recsys_course.data.bookstore import bookstore
from recsys_course.data.complete_journey import complete_journey, complete_journey_lines
from recsys_course.data.dataset import Card, DataError, DataMissing, Dataset

# Each module is imported here, at once, because its function has the same name: imported later, it would take the
# function's place as an attribute of this package. The modules import their own readers only when they are called.
from recsys_course.data.ml_100k import fetch_ml_100k, ml_100k
from recsys_course.data.movielens import movielens
from recsys_course.data.movietweetings import movietweetings
from recsys_course.data.own import own
from recsys_course.data.store import Status, card, cards, fetch_files, mirror_folder, status

__all__ = [
    "Card",
    "DataError",
    "DataMissing",
    "Dataset",
    "Status",
    "available",
    "bookstore",
    "card",
    "cards",
    "complete_journey",
    "complete_journey_lines",
    "fetch",
    "load",
    "ml_100k",
    "movielens",
    "movietweetings",
    "names",
    "own",
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


def load(name: str) -> Dataset:
    """Load a data set by name, as the function of that name does.

    >>> load("movielens").card.name
    'movielens'
    """
    loaders = {
        "movielens": movielens,
        "complete_journey": complete_journey,
        "movietweetings": movietweetings,
        "ml_100k": ml_100k,
        "bookstore": bookstore,
    }
    return loaders[card(name).name]()


def fetch(name: str) -> Path:
    """Make a data set ready for offline use, and return the folder that holds its files.

    What is here already is not downloaded again. What has to be downloaded goes to the cache folder.

    Raises
    ------
    DataMissing
        It cannot be reached, or it does not come by download: the message says how to get it.
    DataError
        What came is not what was expected, or the copy in the mirror folder is damaged.

    >>> fetch("movielens").name
    'movielens'
    """
    here = status(name)
    if here.state == "ready" and here.folder is not None:
        return here.folder
    mirror = mirror_folder()
    damaged_mirror = here.state == "damaged" and mirror is not None and here.folder == mirror / here.card.mirror
    if here.card.access != "fetch" or damaged_mirror:
        raise (DataMissing if here.state == "missing" else DataError)(here.detail)
    return fetch_ml_100k() if name == "ml_100k" else fetch_files(here.card)
