"""What a data set is: its events, what is known of its items and users, and a card that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from recsys_course.events import check_events

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Access", "Card", "DataError", "DataMissing", "Dataset", "Task"]

Task = Literal["rating", "ranking", "binary"]
Access = Literal["ships", "package", "fetch", "simulated", "own"]


class DataError(ValueError):
    """A data file is not what it should be; the message names the file, column or row and says what to do."""


class DataMissing(DataError):
    """A data set is not on this machine; the message says, in one line, how to get it."""


@dataclass(frozen=True)
class Card:
    """The data card: what a reader should know before using a data set, and what a test holds against the data.

    Attributes
    ----------
    name : str
        The function in :mod:`recsys_course.data` that loads it.
    title : str
        Its full name.
    task : {"rating", "ranking", "binary"}
        What is predicted: a rating, which items come next, or whether an exposure ends in a purchase.
    label_range : (float, float) or None
        The lowest and highest label that can occur; None for a ranking task, whose labels are all 1.0.
    licence, citation, source : str
        The terms of use, the publication to cite, and who made the data.
    access : {"ships", "package", "fetch", "simulated", "own"}
        Whether it ships with the course, comes with a dependency, has to be fetched, is simulated, or is yours.
    event : str
        What one row is, in one sentence.
    counts : mapping of str to int
        Rows, users, items and whatever else is worth counting.
    span : (int, int) or None
        The first and the last timestamp, seconds since 1970-01-01 UTC.
    quirks : tuple of str
        What surprises people who use it.
    columns : mapping of str to str
        Columns beyond user, item, label and timestamp, and what they hold.
    files : mapping of str to str
        The files it is read from, and the checksum of each as ``sha256:...`` or ``md5:...``.
    urls : mapping of str to str
        Where a file is downloaded from, if it is; ``{}`` otherwise.
    mirror : str
        The name of its folder inside the mirror folder, or "".
    package : str
        The package that carries its files, or "".

    Notes
    -----
    Taught in chapter 01.

    Examples
    --------
    >>> Card(name="mine", title="My ratings", task="rating", label_range=(1, 5)).label_range
    (1, 5)
    """

    name: str
    title: str
    task: Task
    label_range: tuple[float, float] | None = None
    licence: str = ""
    citation: str = ""
    source: str = ""
    access: Access = "own"
    event: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    quirks: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    mirror: str = ""
    package: str = ""

    def __post_init__(self) -> None:
        for what, value, allowed in (("task", self.task, get_args(Task)), ("access", self.access, get_args(Access))):
            if value not in allowed:
                raise DataError(f"{what} of {self.name!r} is {value!r}: use one of {', '.join(allowed)}")
        if self.label_range is not None and not self.label_range[0] < self.label_range[1]:
            raise DataError(f"label_range of {self.name!r} is {self.label_range}: give (lowest, highest)")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set that is ready for use: checked, in time order, with its card.

    Attributes
    ----------
    events : DataFrame
        A table that :func:`recsys_course.events.check_events` accepts.
    items, users : DataFrame or None
        What is known of each item or user, indexed by the ids that ``events`` uses.
    card : Card
        Where it comes from and what to know about it.
    report : object or None
        What was found while reading a learner's own file (:class:`recsys_course.data.own.ReadReport`).

    Raises
    ------
    EventsError
        ``events`` is not a valid events table.
    DataError
        ``items`` or ``users`` lists an id twice.

    Notes
    -----
    Taught in chapter 01.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"user": [1, 2], "item": [7, 7], "label": [4.0, 3.5], "timestamp": [5, 10]})
    >>> Dataset(table, None, None, Card(name="mine", title="My ratings", task="rating", label_range=(1, 5)))
    Dataset('mine': 2 events of 2 users on 1 items, 1970-01-01 to 1970-01-01)
    """

    events: pd.DataFrame
    items: pd.DataFrame | None
    users: pd.DataFrame | None
    card: Card
    report: Any = None

    def __post_init__(self) -> None:
        check_events(self.events)
        for what, table in (("items", self.items), ("users", self.users)):
            if table is not None and not table.index.is_unique:
                twice = table.index[table.index.duplicated()][0]
                raise DataError(f"{what} of {self.card.name!r} lists {twice!r} twice: keep one row an id")

    def __repr__(self) -> str:
        import pandas as pd

        first, last = pd.to_datetime(self.events["timestamp"].iloc[[0, -1]], unit="s").dt.date
        return (
            f"Dataset({self.card.name!r}: {len(self.events):,} events of {self.events['user'].nunique():,} users on "
            f"{self.events['item'].nunique():,} items, {first} to {last})"
        )
