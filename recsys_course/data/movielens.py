"""MovieLens, the small set of October 2016: film ratings over twenty years. It ships with the course."""

from __future__ import annotations

from recsys_course.data.dataset import Dataset
from recsys_course.data.store import card, read_parquet, require

__all__ = ["movielens"]


def movielens() -> Dataset:
    """100,004 ratings of 9,066 films by 671 users, 1995 to 2016.

    Returns
    -------
    Dataset
        ``events``: user (int64), item (int64), label (float64, 0.5 to 5.0 stars), timestamp (int64); equal timestamps
        are ordered by user, then item. ``items``: title (str), year (Int64), genres (str, joined by "|"; empty where
        the source lists none), indexed by item; 5 films lack title and year. ``users``: None, nothing is known of them.

    Raises
    ------
    DataMissing
        The files of datasets/movielens are not there.
    DataError
        A file was altered or truncated.

    Notes
    -----
    Harper and Konstan (2015), under MovieLens' terms: not for commercial use. Taught in chapter 00.

    Examples
    --------
    >>> ds = movielens()
    >>> ds
    Dataset('movielens': 100,004 events of 671 users on 9,066 items, 1995-01-09 to 2016-10-16)
    >>> ds.items.loc[1, "title"]
    'Toy Story'
    """
    about = card("movielens")
    events = read_parquet(require(about, "ratings.parquet")).to_pandas()
    items = read_parquet(require(about, "movies.parquet")).to_pandas().set_index("item")
    items["year"] = items["year"].astype("Int64")
    return Dataset(events, items, None, about)
