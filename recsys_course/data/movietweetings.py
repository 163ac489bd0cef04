"""MovieTweetings 100K: film ratings that people tweeted in 2013. Downloaded, or read from a mirror folder."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_course.data.dataset import DataError, Dataset
from recsys_course.data.store import card, require
from recsys_course.events import sort_events

__all__ = ["movietweetings"]


def movietweetings() -> Dataset:
    """100,000 ratings of 10,506 films by 16,554 people, February to September 2013.

    Returns
    -------
    Dataset
        ``events``: user (int64), item (str, IMDb's number with its leading zeros), label (float64, 0 to 10),
        timestamp (int64); equal timestamps keep the order of the file, which is by user, then film. ``items``: title
        (str), year (Int64), genres (str, joined by "|", empty where none is listed), indexed by item. ``users``: None.

    Raises
    ------
    DataMissing
        It was not fetched, and no mirror folder has it.
    DataError
        A file was altered or truncated.

    Notes
    -----
    Dooms, De Pessemier and Martens (2013), MIT licence. Taught in chapter 01.

    Examples
    --------
    >>> from recsys_course import data
    >>> len(data.movietweetings().events) if data.available("movietweetings") else 100_000
    100000
    """
    about = card("movietweetings")
    ratings = _read_fields(require(about, "ratings.dat"), 4)
    events = pd.DataFrame(
        {
            "user": np.array(ratings[0], dtype=np.int64),
            "item": pd.array(ratings[1], dtype="str"),
            "label": np.array(ratings[2], dtype=np.float64),
            "timestamp": np.array(ratings[3], dtype=np.int64),
        }
    )
    movies = _read_fields(require(about, "movies.dat"), 3)
    items = split_titles(pd.Series(movies[1], index=pd.Index(movies[0], name="item", dtype="str"), dtype="str"))
    items["genres"] = pd.array(movies[2], dtype="str")
    return Dataset(sort_events(events), items, None, about)


def _read_fields(path: Path, count: int) -> list[list[str]]:
    """The columns of a file whose fields are parted by "::" (pandas reads that only slowly, and loses zeros)."""
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    rows = [line.split("::") for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != count:
            raise DataError(f"{path}, line {number}: {len(row)} fields parted by '::', expected {count}")
    return [list(column) for column in zip(*rows, strict=True)]


_TITLE = re.compile(r"^(?P<title>.*?)\s*\((?P<year>\d{4})\)(?:\s*\(V\))?\s*$")


def split_titles(titles: pd.Series) -> pd.DataFrame:
    """Part "The Matrix (1999)" into a title (str) and a year (Int64); a name without year keeps its whole text.

    "(V)" behind the year marks a film that went straight to video.

    >>> split_titles(pd.Series(["Toy Story (1995)", "unknown", "Seven (Se7en) (1995)"]))
               title  year
    0      Toy Story  1995
    1        unknown  <NA>
    2  Seven (Se7en)  1995
    """
    parts = titles.str.extract(_TITLE)
    parts["title"] = parts["title"].fillna(titles)
    parts["year"] = pd.to_numeric(parts["year"]).astype("Int64")
    return parts
