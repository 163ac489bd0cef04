"""A simulated online bookstore whose truth is known: readers, books, what was shown, what was bought, and why.

Real logs never tell what would have happened otherwise. This one does. A reader u is shown a book b at time t;
the *interest* is

    z = base + bias_u + appeal_b(t) + season_c(t) + trend_c(t) + strength * <taste_u(t), profile_b> / sqrt(d)

where c is the category of the book. One random number x decides: the book is opened (viewed) if x < p_view, and
bought if x < p_purchase, with

    p_purchase = sigmoid(z),   p_view = sigmoid(z + gap_b),   gap_b > 0,

so that nobody buys what they have not opened, and a book with a wide gap is opened often and bought seldom. Three
kinds of drift act on this: *gradual* (taste_u and appeal_b wander), *sudden* (on given days some readers change
their tastes, and every category gets a new trend), and *seasonal* (season_c has a weekly and a yearly part). What is
shown is drawn from a known policy, and the probability of each draw is logged.

Time passes in days: at midnight new readers and books arrive, the oldest leave, and the policy is computed anew.
Only one day is ever held in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from math import ceil, inf, isfinite, isinf, pi, sqrt
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.data._lookup import Ints, normal, uniform, wander
from recsys_course.data.dataset import Dataset
from recsys_course.data.store import card, read_parquet, require

__all__ = [
    "CATEGORIES",
    "ORACLE_COLUMNS",
    "OUTCOME_COLUMNS",
    "Bookstore",
    "BookstoreConfig",
    "BookstoreDataset",
    "bookstore",
    "bookstore_stream",
]

DAY = 86_400  # seconds

CATEGORIES = (
    "art", "biography", "children", "computing", "cooking", "crime",
    "fantasy", "history", "poetry", "romance", "science", "travel",
)  # fmt: skip

OUTCOME_COLUMNS = ("view", "purchase_delay")
"""Columns besides the label that are known only after the exposure: never features of their own row."""

ORACLE_COLUMNS = ("p_view", "p_purchase")
"""Columns that no shop could know: for measuring regret, never for learning."""

# The first key of every lookup, so that no two quantities share a random number.
_TASTE, _TASTE_PHASE, _USER_BIAS, _ACTIVITY, _CONVERT = 1, 2, 3, 4, 5
_CATEGORY, _AUTHOR, _AUTHOR_TASTE, _AUTHOR_CATEGORY, _PUBLISHER, _PUBLISHER_TASTE, _OWN_TASTE = 6, 7, 8, 9, 10, 11, 12
_APPEAL, _APPEAL_PHASE, _GAP, _POPULARITY, _WEEK, _YEAR, _TREND = 13, 14, 15, 16, 17, 18, 19


@dataclass(frozen=True)
class BookstoreConfig:
    """Everything that can be set. Sizes are counts, times are days unless the name says otherwise, effects are logits.

    To switch a drift off: ``taste_drift_days=inf`` and ``appeal_drift_days=inf`` (gradual), ``sudden_days=()``
    (sudden), ``week_effect=0`` and ``year_effect=0`` (seasonal); :meth:`stationary` does all of it.

    >>> BookstoreConfig(n_users=0)
    Traceback (most recent call last):
    ...
    ValueError: n_users must be at least 1, not 0
    """

    start: int = 1_704_067_200
    """First midnight, unix seconds (Monday 2024-01-01)."""
    events_per_day: float = 2_000.0
    """Mean number of exposures a day; a day holds a Poisson number of them."""

    n_users: int = 1_000
    """Readers at the start. Ids count up in order of arrival, from 0."""
    new_users_per_day: float = 2.0
    users_leave: bool = True
    """Whether the longest-standing reader leaves when a new one arrives; otherwise their number grows."""
    activity_exponent: float = 0.5
    """The reader of rank r comes with a weight of r ** -activity_exponent (Zipf)."""

    n_books: int = 500
    """Books at the start. Ids count up in order of arrival, from 0."""
    new_books_per_day: float = 1.0
    books_leave: bool = True
    n_authors: int = 120
    n_publishers: int = 12
    categories: tuple[str, ...] = CATEGORIES

    n_tastes: int = 4
    """d, the length of the taste and profile vectors."""
    taste_strength: float = 2.0
    """Standard deviation of the taste term of the interest."""
    category_share: float = 0.35
    """Share of the variance of a book's profile that its category explains; so on. The rest is its own."""
    author_share: float = 0.25
    publisher_share: float = 0.1
    base: float = -1.2
    user_bias_sd: float = 0.35
    appeal_sd: float = 0.35
    view_gap: float = 1.2
    """Median over the books of the gap between the logit of a view and that of a purchase."""
    view_gap_sd: float = 0.4
    """Standard deviation of the logarithm of that gap."""
    delay_hours: float = 24.0
    """A purchase follows its exposure after an exponential time with this mean."""

    taste_drift_days: float = 300.0
    """Tastes wander from one random vector to the next in so many days; inf for tastes that stay. Over the readers,
    tastes s of these periods apart have correlation (1 - s/2) cos(pi s/2) + sin(pi s/2)/pi for s up to 1."""
    appeal_drift_days: float = 120.0
    """The appeal of a book does likewise; inf for an appeal that stays."""
    gradual_from_day: float = 0.0
    gradual_to_day: float = inf
    """Gradual drift acts between these two days."""
    sudden_days: tuple[float, ...] = (65.0,)
    """Days on which the world jumps, increasing."""
    sudden_user_share: float = 0.25
    """Share of the readers whose tastes are replaced by unrelated ones on such a day."""
    sudden_category_sd: float = 0.4
    """On such a day every category's trend is drawn again with this standard deviation. Before the first it is 0."""
    week_effect: float = 0.2
    """Amplitude of the weekly season of a category."""
    year_effect: float = 0.3
    """Amplitude of the yearly season of a category."""

    popularity_exponent: float = 0.5
    """The shop shows the book of rank r with a weight of r ** -popularity_exponent (Zipf) ..."""
    popularity_appeal: float = 0.5
    """... where the rank follows a score whose correlation with the book's present appeal is this, ..."""
    recency_boost: float = 1.0
    """... times exp(recency_boost) for a book that is new today, ..."""
    recency_days: float = 14.0
    """... a boost that decays with this time constant, ..."""
    personalization: float = 0.5
    """... times exp(personalization * match of the reader's tastes and the category)."""
    explore: float = 0.1
    """Share of the exposures drawn uniformly from the catalogue: no propensity is below explore / n_books."""

    def __post_init__(self) -> None:
        may_be_infinite = {"taste_drift_days", "appeal_drift_days", "gradual_to_day"}
        not_negative = {
            "new_users_per_day", "new_books_per_day", "activity_exponent", "popularity_exponent", "taste_strength",
            "user_bias_sd", "appeal_sd", "view_gap", "view_gap_sd", "sudden_category_sd", "gradual_from_day",
            "category_share", "author_share", "publisher_share",
        }  # fmt: skip
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if isinstance(field.default, tuple | bool):
                continue
            if not isinstance(value, int | float | np.number):
                raise ValueError(f"{name} must be a number, not {value!r}")
            if not isfinite(value) and not (name in may_be_infinite and value > 0):
                raise ValueError(f"{name} must be finite, not {value!r}")
            if name in not_negative and value < 0:
                raise ValueError(f"{name} must not be negative, not {value!r}")
        for name in ("n_users", "n_books", "n_authors", "n_publishers", "n_tastes"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        for name in ("events_per_day", "delay_hours", "taste_drift_days", "appeal_drift_days", "recency_days"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, not {getattr(self, name)!r}")
        if not all(isinstance(day, int | float | np.number) and isfinite(day) for day in self.sudden_days):
            raise ValueError(f"sudden_days must be finite numbers, not {self.sudden_days!r}")
        for name in ("explore", "sudden_user_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)!r}")
        if not -1 <= self.popularity_appeal <= 1:
            raise ValueError(f"popularity_appeal is a correlation between -1 and 1, not {self.popularity_appeal!r}")
        if self.category_share + self.author_share + self.publisher_share > 1:
            raise ValueError("category_share, author_share and publisher_share must add up to at most 1")
        if self.gradual_to_day < self.gradual_from_day:
            raise ValueError("gradual_to_day must not be earlier than gradual_from_day")
        if any(later <= earlier for earlier, later in zip(self.sudden_days, self.sudden_days[1:], strict=False)):
            raise ValueError(f"sudden_days must increase, not {self.sudden_days!r}")
        if len(self.categories) == 0 or len(set(self.categories)) < len(self.categories):
            raise ValueError("categories must be different names, at least one")

    @classmethod
    def stationary(cls, **settings: Any) -> BookstoreConfig:
        """A world without drift; readers and books still arrive unless ``settings`` say otherwise."""
        still: dict[str, Any] = dict(
            taste_drift_days=inf, appeal_drift_days=inf, sudden_days=(), week_effect=0.0, year_effect=0.0
        )
        return cls(**(still | settings))


class Bookstore:
    """One simulated world: the truth behind the events. Taught in chapter 01.

    Parameters
    ----------
    rng : numpy Generator
        One number is drawn from it; two worlds from equal generators and settings are equal.
    config : BookstoreConfig

    Notes
    -----
    Everything is a function of the seed and of the question asked, so any probability can be asked for any
    reader, book and time, in any order. Arguments broadcast: ``p_purchase(users[:, None], books[None, :], t)`` is
    a matrix.

    Examples
    --------
    >>> world = Bookstore(np.random.default_rng(0))
    >>> noon = world.config.start + 43_200
    >>> p_view, p_buy = world.p_view(3, 7, noon), world.p_purchase(3, 7, noon)
    >>> bool(0 < p_buy[0] < p_view[0] < 1)
    True
    """

    def __init__(self, rng: np.random.Generator, config: BookstoreConfig | None = None):
        self.config = config if config is not None else BookstoreConfig()
        self.seed = int(rng.integers(2**63))
        self._dims = np.arange(self.config.n_tastes)
        n_categories = len(self.config.categories)
        self.category_taste = normal(self.seed, _CATEGORY, np.arange(n_categories)[:, None], self._dims)

    # -- who and what is there ---------------------------------------------------------------------------------

    def users_on(self, day: int) -> np.ndarray:
        """Ids of the readers on that day, in order of arrival."""
        c = self.config
        return _present(day, c.n_users, c.new_users_per_day, c.users_leave)

    def books_on(self, day: int) -> np.ndarray:
        """Ids of the catalogue on that day, in order of arrival."""
        c = self.config
        return _present(day, c.n_books, c.new_books_per_day, c.books_leave)

    def category_of(self, books: Ints) -> np.ndarray:
        """Number of the category of each book: that of its author."""
        author = self.author_of(books)
        return (uniform(self.seed, _AUTHOR_CATEGORY, author) * len(self.config.categories)).astype(np.int64)

    def author_of(self, books: Ints) -> np.ndarray:
        """Number of the author of each book."""
        return (uniform(self.seed, _AUTHOR, books) * self.config.n_authors).astype(np.int64)

    def publisher_of(self, books: Ints) -> np.ndarray:
        """Number of the publisher of each book."""
        return (uniform(self.seed, _PUBLISHER, books) * self.config.n_publishers).astype(np.int64)

    def items(self, until_day: int) -> pd.DataFrame:
        """Books that have been in the catalogue up to that day: index ``item``, and what the shop knows of them."""
        c = self.config
        books = np.arange(self.books_on(until_day)[-1] + 1)
        return pd.DataFrame(
            {
                "category": self._category_column(books).array,
                "publisher": self.publisher_of(books),
                "author": self.author_of(books),
                "arrived": _arrival(books, c.n_books, c.new_books_per_day) * DAY + c.start,
            },
            index=pd.Index(books, name="item"),
        )

    def users(self, until_day: int) -> pd.DataFrame:
        """Readers who have ever come up to that day: index ``user``, column ``arrived`` (unix seconds)."""
        c = self.config
        users = np.arange(self.users_on(until_day)[-1] + 1)
        arrived = _arrival(users, c.n_users, c.new_users_per_day) * DAY + c.start
        return pd.DataFrame({"arrived": arrived}, index=pd.Index(users, name="user"))

    def _category_column(self, books: np.ndarray) -> pd.Series:
        kind = pd.CategoricalDtype(list(self.config.categories))
        return pd.Series(pd.Categorical.from_codes(self.category_of(books), dtype=kind))

    # -- what they think ---------------------------------------------------------------------------------------

    def taste(self, users: Ints, timestamps: Ints) -> np.ndarray:
        """Tastes of the readers at these times, shape (..., n_tastes); standard normal over the readers."""
        users, timestamps = np.atleast_1d(users), np.atleast_1d(timestamps)
        life = np.zeros(np.broadcast_shapes(users.shape, timestamps.shape), dtype=np.int64)
        for number, day in enumerate(self.config.sudden_days):
            converts = uniform(self.seed, _CONVERT, users, number) < self.config.sudden_user_share
            life = life + (converts & (self._days(timestamps) >= day))
        position = uniform(self.seed, _TASTE_PHASE, users) + self._drifted(timestamps) / self.config.taste_drift_days
        return wander(self.seed, position[..., None], _TASTE, users[..., None], life[..., None], self._dims)

    def profile(self, books: Ints) -> np.ndarray:
        """Profiles of the books, shape (..., n_tastes), near to those of their category, author and publisher."""
        c, books = self.config, np.atleast_1d(books)
        author = normal(self.seed, _AUTHOR_TASTE, self.author_of(books)[..., None], self._dims)
        publisher = normal(self.seed, _PUBLISHER_TASTE, self.publisher_of(books)[..., None], self._dims)
        own = normal(self.seed, _OWN_TASTE, books[..., None], self._dims)
        return (
            sqrt(c.category_share) * self.category_taste[self.category_of(books)]
            + sqrt(c.author_share) * author
            + sqrt(c.publisher_share) * publisher
            + sqrt(max(0.0, 1 - c.category_share - c.author_share - c.publisher_share)) * own
        )

    def appeal(self, books: Ints, timestamps: Ints) -> np.ndarray:
        """What a book has for everybody, in standard deviations."""
        books, timestamps = np.atleast_1d(books), np.atleast_1d(timestamps)
        position = uniform(self.seed, _APPEAL_PHASE, books) + self._drifted(timestamps) / self.config.appeal_drift_days
        return wander(self.seed, position, _APPEAL, books)

    def category_effect(self, categories: Ints, timestamps: Ints) -> np.ndarray:
        """Season and trend of a category at a time, in logits."""
        c, days = self.config, self._days(timestamps)
        effect = c.week_effect * np.cos(2 * pi * (days / 7 - uniform(self.seed, _WEEK, categories)))
        effect = effect + c.year_effect * np.cos(2 * pi * (days / 365.25 - uniform(self.seed, _YEAR, categories)))
        jumps = np.searchsorted(np.asarray(c.sudden_days, dtype=float), days, side="right")
        return effect + np.where(jumps > 0, c.sudden_category_sd * normal(self.seed, _TREND, categories, jumps), 0.0)

    def interest(self, users: Ints, books: Ints, timestamps: Ints) -> np.ndarray:
        """z, the logit of a purchase."""
        c = self.config
        users, books, timestamps = np.atleast_1d(users), np.atleast_1d(books), np.atleast_1d(timestamps)
        match = np.einsum("...d,...d->...", self.taste(users, timestamps), self.profile(books)) / sqrt(c.n_tastes)
        return (
            c.base
            + c.user_bias_sd * normal(self.seed, _USER_BIAS, users)
            + c.appeal_sd * self.appeal(books, timestamps)
            + self.category_effect(self.category_of(books), timestamps)
            + c.taste_strength * match
        )

    def gap(self, books: Ints) -> np.ndarray:
        """How much sooner a book is opened than bought, in logits."""
        return self.config.view_gap * np.exp(self.config.view_gap_sd * normal(self.seed, _GAP, books))

    def p_purchase(self, users: Ints, books: Ints, timestamps: Ints) -> np.ndarray:
        """Probability that a reader who is shown the book at that time buys it."""
        return _sigmoid(self.interest(users, books, timestamps))

    def p_view(self, users: Ints, books: Ints, timestamps: Ints) -> np.ndarray:
        """Probability that a reader who is shown the book at that time opens it."""
        return _sigmoid(self.interest(users, books, timestamps) + self.gap(books))

    def respond(self, users: Ints, books: Ints, timestamps: Ints, rng: np.random.Generator) -> pd.DataFrame:
        """Show books to readers and see what happens: one row of ``view``, ``label``, ``purchase_delay``, ``p_*`` each.

        This is how a policy of one's own meets the world; it is also how the log was made.
        """
        users, books, timestamps = np.broadcast_arrays(*map(np.atleast_1d, (users, books, timestamps)))
        z = self.interest(users, books, timestamps)
        p_view, p_purchase = _sigmoid(z + self.gap(books)), _sigmoid(z)
        x = rng.random(len(users))
        bought = x < p_purchase
        delay = np.ceil(rng.exponential(self.config.delay_hours * 3_600, len(users)))  # drawn for all: same stream
        return pd.DataFrame(
            {
                "label": bought.astype(np.float64),
                "view": (x < p_view).astype(np.int8),
                "purchase_delay": np.where(bought, delay, np.nan),
                "p_view": p_view,
                "p_purchase": p_purchase,
            }
        )

    # -- what the shop shows -----------------------------------------------------------------------------------

    def policy(self, users: Ints, timestamps: Ints) -> tuple[np.ndarray, np.ndarray]:
        """The logging policy: the catalogue of that day, and the probability of showing each book to each reader.

        Parameters
        ----------
        users, timestamps : arrays of shape (n,), or a scalar
            All times on one day.

        Returns
        -------
        books : (n_books,) int64
        probabilities : (n, n_books) float64, each row adds up to 1

        Examples
        --------
        The true value of a policy is its probabilities times those of a purchase; here the shop's own, and "show each
        reader the best book".

        >>> world, users = Bookstore(np.random.default_rng(0)), np.arange(1_000)
        >>> books, shown = world.policy(users, world.config.start)
        >>> bought = world.p_purchase(users[:, None], books[None, :], world.config.start)
        >>> own, best = (shown * bought).sum(axis=1).mean(), bought.max(axis=1).mean()
        >>> bool(own < 0.4 and best > 0.9)
        True
        """
        users, timestamps = np.broadcast_arrays(np.atleast_1d(users), np.atleast_1d(timestamps))
        day = np.unique(self.day_of(timestamps))
        if len(day) != 1:
            raise ValueError("the catalogue changes at midnight: ask for the policy of one day at a time")
        shelf = _Shelf(self, int(day[0]))
        by_category = shelf.category_probability(users, timestamps)
        return shelf.books, shelf.probability(by_category[:, shelf.category], slice(None))

    def propensity(self, users: Ints, books: Ints, timestamps: Ints) -> np.ndarray:
        """Probability that the shop shows this book to this reader at this time; 0 for one not in the catalogue."""
        users, books, timestamps = np.broadcast_arrays(*map(np.atleast_1d, (users, books, timestamps)))
        result = np.zeros(users.shape)
        days = self.day_of(timestamps)
        for day in np.unique(days):
            shelf = _Shelf(self, int(day))
            here = (days == day) & (books >= shelf.books[0]) & (books <= shelf.books[-1])
            book = books[here] - shelf.books[0]
            by_category = shelf.category_probability(users[here], timestamps[here])
            result[here] = shelf.probability(by_category[np.arange(len(book)), shelf.category[book]], book)
        return result

    # -- time --------------------------------------------------------------------------------------------------

    def day_of(self, timestamps: Ints) -> np.ndarray:
        """Number of the day, from 0."""
        return (np.asarray(timestamps, dtype=np.int64) - self.config.start) // DAY

    def _days(self, timestamps: Ints) -> np.ndarray:
        return (np.asarray(timestamps, dtype=np.float64) - self.config.start) / DAY

    def _drifted(self, timestamps: Ints) -> np.ndarray:
        """Days of gradual drift that have passed."""
        c = self.config
        return np.clip(self._days(timestamps), c.gradual_from_day, c.gradual_to_day) - c.gradual_from_day

    @property
    def drift_times(self) -> np.ndarray:
        """Times of the sudden drifts, unix seconds, int64."""
        return np.array([self._time(day) for day in self.config.sudden_days], dtype=np.int64)

    def _time(self, day: float) -> int:
        """The first whole second of which it is true that ``day`` days have passed."""
        return self.config.start + ceil(day * DAY)

    def drifts(self) -> pd.DataFrame:
        """All drifts that are switched on, one a row: what moves, between which times, and how much.

        Columns: ``kind`` (gradual, sudden, seasonal), ``what``, ``start`` and ``end`` (unix seconds; no value for one
        that does not end), ``size`` and ``unit``. Taught in chapter 01.

        >>> world = Bookstore(np.random.default_rng(0))
        >>> [(kind, what) for kind, what in world.drifts()[["kind", "what"]].to_numpy()][:4]
        [('gradual', 'tastes'), ('gradual', 'appeal'), ('sudden', 'tastes'), ('sudden', 'categories')]
        """
        c = self.config
        end = None if isinf(c.gradual_to_day) else self._time(c.gradual_to_day)
        rows: list[tuple] = []
        for what, days in (("tastes", c.taste_drift_days), ("appeal", c.appeal_drift_days)):
            if isfinite(days) and c.gradual_to_day > c.gradual_from_day:
                rows.append(("gradual", what, self._time(c.gradual_from_day), end, days, "days from one to the next"))
        for time in self.drift_times:
            if c.sudden_user_share > 0:
                rows.append(("sudden", "tastes", time, time, c.sudden_user_share, "share of readers"))
            if c.sudden_category_sd > 0:
                rows.append(("sudden", "categories", time, time, c.sudden_category_sd, "sd in logits"))
        for what, size in (("week", c.week_effect), ("year", c.year_effect)):
            if size != 0:
                rows.append(("seasonal", what, c.start, None, size, "amplitude in logits"))
        table = pd.DataFrame(rows, columns=["kind", "what", "start", "end", "size", "unit"])
        return table.astype({"start": "int64", "end": "Int64", "size": "float64"})

    # -- the log -----------------------------------------------------------------------------------------------

    def day(self, day: int) -> pd.DataFrame:
        """All exposures of one day: an events table with the columns that :func:`bookstore_stream` documents."""
        c = self.config
        rng = np.random.default_rng([self.seed, day])  # a generator a day: no day depends on how the others were cut
        n = rng.poisson(c.events_per_day)
        evening = np.sort(rng.normal(20.0, 4.5, n) % 24)  # readers come around eight in the evening
        timestamps = c.start + day * DAY + np.minimum((evening * 3_600).astype(np.int64), DAY - 1)
        present = self.users_on(day)
        weight = np.cumsum(_zipf(normal(self.seed, _ACTIVITY, present), c.activity_exponent))
        users = present[_draw(weight, rng.random(n))]
        shelf = _Shelf(self, day)
        books, propensity = shelf.show(users, timestamps, rng)
        response = self.respond(users, books, timestamps, rng)
        events = pd.DataFrame({"user": users, "item": books, "label": response.pop("label"), "timestamp": timestamps})
        events["category"] = self._category_column(books)
        events["propensity"] = propensity
        return pd.concat([events, response], axis=1)


class _Shelf:
    """The shop on one day: its catalogue, and how likely each book is shown.

    A book is drawn in two steps, category first, because only the category's weight depends on the reader; the
    probability is the same as that of a softmax over all books.
    """

    def __init__(self, world: Bookstore, day: int):
        c = world.config
        self.world, self.books = world, world.books_on(day)
        midnight = c.start + day * DAY
        r = c.popularity_appeal
        score = r * world.appeal(self.books, midnight) + sqrt(1 - r * r) * normal(world.seed, _POPULARITY, self.books)
        age = day - _arrival(self.books, c.n_books, c.new_books_per_day)
        weight = _zipf(score, c.popularity_exponent) * np.exp(c.recency_boost * np.exp(-age / c.recency_days))
        self.category = world.category_of(self.books)
        self.by_category = np.argsort(self.category, kind="stable")
        self.in_category = np.bincount(self.category, weight, minlength=len(c.categories))
        self.weight, self.share = weight, weight / self.in_category[self.category]

    def category_probability(self, users: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
        """Probability of each category for each reader, shape (n, n_categories)."""
        c = self.world.config
        taste, category_taste = self.world.taste(users, timestamps), self.world.category_taste
        match = np.einsum("nd,cd->nc", taste, category_taste) / sqrt(c.n_tastes)
        weight = self.in_category * np.exp(c.personalization * match)
        return weight / weight.sum(axis=1, keepdims=True)

    def probability(self, by_category: np.ndarray, book: np.ndarray | slice) -> np.ndarray:
        """Probability of the books at these places of the catalogue, from that of their categories."""
        explore = self.world.config.explore
        return (1 - explore) * by_category * self.share[book] + explore / len(self.books)

    def show(
        self, users: np.ndarray, timestamps: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one book for each reader: (ids, propensities)."""
        n, size = len(users), len(self.books)
        by_category = self.category_probability(users, timestamps)
        x = rng.random((4, n))
        category = np.minimum((np.cumsum(by_category, axis=1) <= x[0, :, None]).sum(axis=1), by_category.shape[1] - 1)
        # Books of one category are neighbours on a line: take a point in the category's stretch of it.
        line, end = np.cumsum(self.weight[self.by_category]), np.cumsum(self.in_category)
        place = np.searchsorted(line, end[category] - x[1] * self.in_category[category])
        chosen = self.by_category[np.minimum(place, size - 1)]
        chosen = np.where(x[2] < self.world.config.explore, (x[3] * size).astype(np.int64), chosen)
        return self.books[chosen], self.probability(by_category[np.arange(n), self.category[chosen]], chosen)


@dataclass(frozen=True, eq=False, repr=False)
class BookstoreDataset(Dataset):
    """A data set with the world that made it, which knows the truth: see :class:`Bookstore`."""

    world: Bookstore | None = None


def bookstore(
    n_events: int | None = None,
    *,
    rng: np.random.Generator | None = None,
    config: BookstoreConfig | None = None,
) -> BookstoreDataset:
    """Exposures of a simulated bookstore: the sample that ships, or any other that you describe.

    Parameters
    ----------
    n_events : int, optional
        How many exposures; 200,000 if only ``rng`` or ``config`` is given. Without any argument the shipped sample is
        read, which is ``bookstore(200_000, rng=np.random.default_rng(0))`` with probabilities rounded to four digits.
    rng : numpy Generator, optional
        ``np.random.default_rng(0)`` unless told.
    config : BookstoreConfig, optional

    Returns
    -------
    BookstoreDataset
        ``events``: the columns that :func:`bookstore_stream` lists; the label is 1.0 for a purchase. ``items``:
        category, publisher, author, arrived (unix seconds), indexed by item. ``users``: arrived, indexed by user.
        ``world``: the :class:`Bookstore` behind them, which knows the truth.

    Raises
    ------
    ValueError
        ``n_events`` is less than 1.
    DataMissing, DataError
        The shipped sample is not there, or was altered.

    Notes
    -----
    Taught in chapter 01. For more events than fit in memory use :func:`bookstore_stream`.

    Examples
    --------
    >>> ds = bookstore(1_000, rng=np.random.default_rng(1))
    >>> len(ds.events), sorted(set(ds.events["label"]))
    (1000, [0.0, 1.0])
    >>> ds.items.columns.tolist()
    ['category', 'publisher', 'author', 'arrived']
    """
    if n_events is None and rng is None and config is None:
        return _sample()
    world = Bookstore(rng if rng is not None else np.random.default_rng(0), config)
    events = pd.concat(_cut(world, 200_000 if n_events is None else n_events, 1_000_000), ignore_index=True)
    return _dataset(world, events, shipped=False)


def _sample() -> BookstoreDataset:
    """The shipped sample; the file says with which generator and settings it was made."""
    table = read_parquet(require(card("bookstore"), "exposures.parquet"))
    made_with = json.loads(table.schema.metadata[b"bookstore"])
    settings: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in made_with["config"].items()}
    world = Bookstore(np.random.default_rng(made_with["rng"]), BookstoreConfig(**settings))
    events = table.to_pandas()
    events["category"] = events["category"].cat.set_categories(list(world.config.categories))
    return _dataset(world, events, shipped=True)


def _dataset(world: Bookstore, events: pd.DataFrame, *, shipped: bool) -> BookstoreDataset:
    last = int(world.day_of(events["timestamp"].iloc[-1]))
    about = card("bookstore")
    if not shipped:
        about = replace(
            about,
            access="simulated",
            counts={"exposures": len(events), "users": events["user"].nunique(), "items": events["item"].nunique()},
            span=(int(events["timestamp"].iloc[0]), int(events["timestamp"].iloc[-1])),
            files={},
        )
    return BookstoreDataset(events, world.items(last), world.users(last), about, world=world)


def bookstore_stream(
    n_events: int | None = None,
    chunk: int = 100_000,
    *,
    rng: np.random.Generator | None = None,
    config: BookstoreConfig | None = None,
) -> Iterator[pd.DataFrame]:
    """The log of a bookstore, a table of ``chunk`` events at a time, in memory that does not grow with their number.

    Parameters
    ----------
    n_events : int, optional
        Events in all; without it the stream never ends.
    chunk : int
        Events in a table (the last one may be shorter). It changes nothing in the stream, and a longer stream
        begins with the shorter one.
    rng : numpy Generator, optional
        ``np.random.default_rng(0)`` unless told.
    config : BookstoreConfig, optional

    Yields
    ------
    DataFrame
        Time-ordered, with the columns

        ============== ========= ================================================================================
        user, item     int64     who was shown which book
        label          float64   1.0 if the reader bought it, else 0.0
        timestamp      int64     of the exposure, unix seconds
        category       category  of the book
        propensity     float64   probability with which the shop showed this book to this reader at that time
        view           int8      1 if the reader opened it, else 0 (known after the exposure: not a feature)
        purchase_delay float64   seconds from exposure to purchase, NaN without one: before that the label looks like 0
        p_view         float64   true probability of the view (no shop knows it: for regret, not a feature)
        p_purchase     float64   true probability of the purchase, likewise; not conditional on the view
        ============== ========= ================================================================================

    Notes
    -----
    Memory is that of one day of events, one chunk, and the readers and books of the present day.
    Taught in chapter 01.

    Examples
    --------
    >>> tables = bookstore_stream(2_500, chunk=1_000, rng=np.random.default_rng(0))
    >>> [len(table) for table in tables]
    [1000, 1000, 500]
    """
    return _cut(Bookstore(rng if rng is not None else np.random.default_rng(0), config), n_events, chunk)


def _cut(world: Bookstore, n_events: int | None, chunk: int) -> Iterator[pd.DataFrame]:
    """The days of a world one after the other, cut into tables of ``chunk`` rows."""
    for name, value in (("n_events", n_events), ("chunk", chunk)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value!r}")
    return _tables(world, n_events, chunk)  # a function of its own, so that errors do not wait for the first table


def _tables(world: Bookstore, n_events: int | None, chunk: int) -> Iterator[pd.DataFrame]:
    left = inf if n_events is None else n_events
    held: list[pd.DataFrame] = []
    rows = day = 0
    while left > 0:
        while rows < min(chunk, left):
            held.append(world.day(day))
            rows, day = rows + len(held[-1]), day + 1
        table = pd.concat(held, ignore_index=True)
        start = 0
        while left > 0 and rows >= min(chunk, left):
            size = int(min(chunk, left))
            yield table.iloc[start : start + size].reset_index(drop=True)
            start, rows, left = start + size, rows - size, left - size
        held = [table.iloc[start:]]


def _arrival(ids: np.ndarray, n_at_start: int, per_day: float) -> np.ndarray:
    """Day on which each one arrives; day 0 or earlier for those who are there at the start."""
    if per_day == 0:
        return np.zeros(len(ids), dtype=np.int64)
    return np.ceil((np.asarray(ids) - n_at_start + 1) / per_day - 1e-9).astype(np.int64)


def _present(day: int, n_at_start: int, per_day: float, leave: bool) -> np.ndarray:
    """Ids present on a day: arrivals are evenly spaced, and who has been there longest leaves first."""
    arrived = int(np.floor(per_day * day + 1e-9))
    return np.arange(arrived if leave else 0, n_at_start + arrived)


def _zipf(score: np.ndarray, exponent: float) -> np.ndarray:
    """Weights rank ** -exponent, rank 1 for the highest score."""
    rank = np.empty(len(score))
    rank[np.argsort(-score, kind="stable")] = np.arange(1, len(score) + 1)
    return rank**-exponent


def _draw(cumulative: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Positions drawn with probability proportional to the steps of ``cumulative``."""
    return np.minimum(np.searchsorted(cumulative, x * cumulative[-1], side="right"), len(cumulative) - 1)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))
