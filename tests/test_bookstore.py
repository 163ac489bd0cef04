"""The simulated bookstore keeps its promises: what it declares as true is what its events follow.

Statistical tests use fixed seeds and bounds of four to five standard errors, so that they pass every time as long as
the generator is right and fail when it is not.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import tracemalloc
from dataclasses import fields
from math import inf
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_course.data._lookup import normal, uniform, wander
from recsys_course.data.bookstore import (
    DAY,
    ORACLE_COLUMNS,
    OUTCOME_COLUMNS,
    Bookstore,
    BookstoreConfig,
    bookstore,
    bookstore_stream,
)
from recsys_course.data.dataset import DataError
from recsys_course.data.store import card
from recsys_course.events import check_events

ROOT = Path(__file__).resolve().parents[1]


def world(seed: int = 0, **settings) -> Bookstore:
    return Bookstore(np.random.default_rng(seed), BookstoreConfig(**settings))


def still(seed: int = 0, **settings) -> Bookstore:
    return Bookstore(np.random.default_rng(seed), BookstoreConfig.stationary(**settings))


def days(shop: Bookstore, *which: int) -> pd.DataFrame:
    return pd.concat([shop.day(day) for day in which], ignore_index=True)


@pytest.fixture(scope="module")
def log() -> tuple[Bookstore, pd.DataFrame]:
    """The default world, and its first 100 days (about 200,000 events)."""
    shop = world()
    return shop, days(shop, *range(100))


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Equal to the last bit, NaN included."""

    def content(table: pd.DataFrame, name: str) -> bytes:
        column = table[name].cat.codes if isinstance(table[name].dtype, pd.CategoricalDtype) else table[name]
        return column.to_numpy().tobytes()

    return a.dtypes.equals(b.dtypes) and all(content(a, name) == content(b, name) for name in a)


# --- numbers that can be looked up -----------------------------------------------------------------------------


def test_lookup_is_uniform_and_normal_and_keys_are_unrelated():
    n = 200_000
    u, z = uniform(1, 2, np.arange(n)), normal(1, 2, np.arange(n))
    assert np.histogram(u, 20, (0, 1))[0].min() > n / 20 - 5 * math.sqrt(n / 20)
    assert abs(z.mean()) < 5 / math.sqrt(n) and abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    for other in (normal(2, 2, np.arange(n)), normal(1, 3, np.arange(n)), np.roll(z, 1)):
        assert abs(np.mean(z * other)) < 5 / math.sqrt(n)


def test_lookup_broadcasts_and_does_not_depend_on_company():
    table = normal(5, np.arange(7)[:, None], np.arange(4))
    assert table.shape == (7, 4)
    assert table[3, 2] == normal(5, 3, 2)[0]


@pytest.mark.parametrize("apart", [0.0, 0.25, 0.5, 1.0])
def test_wander_keeps_its_variance_and_loses_its_memory(apart):
    who = np.arange(100_000)
    a, b = wander(3, np.full(100_000, 4.0), 1, who), wander(3, np.full(100_000, 4.0 + apart), 1, who)
    assert abs(b.var() - 1) < 5 * math.sqrt(2 / 100_000)
    assert abs(np.mean(a * b) - math.cos(math.pi * apart / 2)) < 5 * math.sqrt(2 / 100_000)
    assert np.abs(wander(3, np.array([5 - 1e-9]), 1, 7) - wander(3, np.array([5 + 1e-9]), 1, 7)).max() < 1e-7


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_users", 0), ("n_books", -1), ("n_authors", 0), ("n_publishers", 0), ("n_tastes", 2.5),
        ("events_per_day", 0), ("events_per_day", math.nan), ("events_per_day", inf), ("delay_hours", -1),
        ("new_users_per_day", -0.5), ("new_books_per_day", inf), ("taste_drift_days", 0),
        ("taste_drift_days", math.nan),
        ("appeal_drift_days", -inf), ("sudden_user_share", 1.5), ("explore", -0.1), ("popularity_appeal", 2),
        ("sudden_days", (5, 5)), ("sudden_days", (9, 3)), ("sudden_days", (math.nan,)), ("category_share", 0.9),
        ("gradual_to_day", -1), ("categories", ()), ("categories", ("a", "a")), ("view_gap", -1),
        ("taste_strength", math.nan), ("recency_days", 0), ("user_bias_sd", "wide"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        BookstoreConfig(**{field: value})


@pytest.mark.parametrize(("name", "value"), [("n_events", 0), ("n_events", -5), ("chunk", 0)])
def test_wrong_sizes_are_named_at_once(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        bookstore_stream(**{"n_events": 10, name: value})
    if name == "n_events":
        with pytest.raises(ValueError, match="n_events must be at least 1"):
            bookstore(value)


# --- the stream -------------------------------------------------------------------------------------------------

SMALL = BookstoreConfig(events_per_day=150, n_users=40, n_books=30)


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return pd.concat(bookstore_stream(1_000, 1_000, rng=np.random.default_rng(3), config=SMALL), ignore_index=True)


@settings(max_examples=30, deadline=None)
@given(chunk=st.integers(1, 1_500), n_events=st.integers(1, 1_000))
def test_neither_chunk_nor_length_changes_the_stream(reference, chunk, n_events):
    tables = list(bookstore_stream(n_events, chunk, rng=np.random.default_rng(3), config=SMALL))
    assert [len(t) for t in tables[:-1]] == [chunk] * (len(tables) - 1) and 1 <= len(tables[-1]) <= chunk
    assert all(t.index.equals(pd.RangeIndex(len(t))) for t in tables)
    assert same(pd.concat(tables, ignore_index=True), reference[:n_events])


def test_seeds(reference):
    again = bookstore(1_000, rng=np.random.default_rng(3), config=SMALL).events
    other = bookstore(1_000, rng=np.random.default_rng(4), config=SMALL).events
    assert same(again, reference)
    assert not same(other, reference)
    # Another generator gives another world, not only other draws from the same one.
    assert world(3).p_purchase(1, 1, world(3).config.start) != world(4).p_purchase(1, 1, world(4).config.start)


@pytest.mark.parametrize(
    "setting", [{"events_per_day": 0.4}, {"n_users": 1, "n_books": 1}, {"n_books": 2, "n_authors": 1, "n_tastes": 1}]
)
def test_small_worlds(setting):
    events = bookstore(20, rng=np.random.default_rng(0), config=BookstoreConfig(**setting)).events
    check_events(events)
    assert len(events) == 20 and events["propensity"].between(0, 1).all()


def test_an_endless_stream_goes_on(reference):
    stream = bookstore_stream(chunk=700, rng=np.random.default_rng(3), config=SMALL)
    first = next(stream)
    assert len(first) == len(next(stream)) == 700 and same(first, reference[:700])


def test_events_are_a_valid_table_in_time_order_with_ties(log):
    _, events = log
    check_events(events)
    assert events["user"].dtype == events["item"].dtype == np.int64
    ties = np.diff(events["timestamp"]) == 0
    assert 0.01 < ties.mean() < 0.03  # whole seconds, 2,000 events a day, most of them in the evening
    assert events["timestamp"].min() >= BookstoreConfig().start
    per_day = np.bincount((events["timestamp"] - BookstoreConfig().start) // DAY)
    assert len(per_day) == 100 and abs(per_day.mean() - 2_000) < 5 * math.sqrt(2_000 / 100)
    assert abs(per_day.var() / 2_000 - 1) < 5 * math.sqrt(2 / 100)


def test_outcome_columns_belong_together(log):
    _, events = log
    assert set(OUTCOME_COLUMNS) | set(ORACLE_COLUMNS) < set(events)
    bought = events["label"] == 1
    assert set(events["label"]) == {0.0, 1.0} and set(events["view"]) == {0, 1}
    assert (events.loc[bought, "view"] == 1).all()
    assert (events["purchase_delay"].notna() == bought).all()
    assert (events["p_purchase"] < events["p_view"]).all()
    for name in ("p_purchase", "p_view", "propensity"):
        assert events[name].between(0, 1, inclusive="neither").all()


def test_purchases_follow_after_an_exponential_time(log):
    delay = log[1]["purchase_delay"].dropna()
    assert (delay >= 1).all() and (delay == np.floor(delay)).all()
    n, mean = len(delay), 24 * 3_600
    assert abs(delay.mean() / mean - 1) < 5 / math.sqrt(n)
    for hours in (1, 6, 24, 72):
        p = math.exp(-hours / 24)
        assert abs((delay > hours * 3_600).mean() - p) < 5 * math.sqrt(p * (1 - p) / n)


# --- the declared probabilities are the true ones ---------------------------------------------------------------


def calibration(outcome: np.ndarray, p: np.ndarray, bins: int = 40) -> float:
    """Chi-square of outcomes against probabilities in ``bins`` groups, in standard deviations from its mean."""
    group = np.argsort(np.argsort(p, kind="stable")) * bins // len(p)
    excess = np.bincount(group, outcome - p) ** 2 / np.bincount(group, p * (1 - p))
    return float((excess.sum() - bins) / math.sqrt(2 * bins))


def test_labels_and_views_are_bernoulli_with_the_declared_probability(log):
    _, events = log
    p_view, p_buy = events["p_view"].to_numpy(), events["p_purchase"].to_numpy()
    view, label = events["view"].to_numpy(), events["label"].to_numpy()
    assert abs(calibration(view, p_view)) < 4
    assert abs(calibration(label, p_buy)) < 4
    opened = view == 1
    assert abs(calibration(label[opened], (p_buy / p_view)[opened])) < 4
    assert calibration(label, np.clip(p_buy * 1.03, 0, 0.999)) > 5  # the test would notice 3 %
    residual = label - p_buy  # no dependence between one row and the next beyond p
    assert abs(np.mean(residual[1:] * residual[:-1])) < 5 * residual.var() / math.sqrt(len(label))


def test_the_world_can_be_asked_and_answers_what_was_logged(log):
    shop, events = log
    rows = events.sample(2_000, random_state=1)
    args = rows["user"].to_numpy(), rows["item"].to_numpy(), rows["timestamp"].to_numpy()
    np.testing.assert_array_equal(shop.p_purchase(*args), rows["p_purchase"])
    np.testing.assert_array_equal(shop.p_view(*args), rows["p_view"])
    np.testing.assert_allclose(shop.propensity(*args), rows["propensity"], rtol=1e-12)
    assert (shop.items(99).loc[rows["item"], "category"].to_numpy() == rows["category"].to_numpy()).all()
    users, books, now = np.arange(5), np.arange(40, 47), shop.config.start + 12 * DAY
    matrix = shop.p_purchase(users[:, None], books[None, :], now)
    assert matrix.shape == (5, 7) and matrix[3, 4] == shop.p_purchase(3, 44, now)[0]


def test_respond_is_a_fresh_answer_of_the_same_world():
    shop = world()
    users, books, now = np.full(50_000, 3), np.arange(50_000) % 50, np.full(50_000, world().config.start)
    answer = shop.respond(users, books, now, np.random.default_rng(1))
    np.testing.assert_array_equal(answer["p_purchase"], shop.p_purchase(users, books, now))
    assert abs(calibration(answer["label"].to_numpy(), answer["p_purchase"].to_numpy())) < 4
    assert abs(calibration(answer["view"].to_numpy(), answer["p_view"].to_numpy())) < 4
    assert same(answer, shop.respond(users, books, now, np.random.default_rng(1)))
    assert not same(answer, shop.respond(users, books, now, np.random.default_rng(2)))
    assert len(shop.respond(3, np.arange(5), shop.config.start, np.random.default_rng(1))) == 5


# --- the logging policy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"explore": 0.0}, {"explore": 1.0}, {"personalization": 3.0}, {"n_books": 3}])
def test_policy_is_a_distribution_over_the_catalogue(settings):
    shop = world(**settings)
    now = shop.config.start + 9 * DAY + 100
    books, probability = shop.policy(np.arange(50), now)
    assert books.tolist() == shop.books_on(9).tolist()
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    assert probability.min() >= shop.config.explore / len(books) * (1 - 1e-12)
    asked = shop.propensity(np.arange(50)[:, None], books[None, :], now)
    np.testing.assert_allclose(asked, probability, rtol=1e-12)
    assert shop.propensity(3, books[-1] + 1, now) == 0 == shop.propensity(3, books[0] - 1, now)
    with pytest.raises(ValueError, match="one day at a time"):
        shop.policy(np.array([1, 2]), np.array([now, now + DAY]))


@pytest.mark.parametrize("explore", [0.0, 0.1, 1.0])
def test_books_are_shown_as_often_as_the_policy_says(explore):
    shop = world(events_per_day=60_000, n_books=80, explore=explore, personalization=1.0)
    events = shop.day(3)
    for chosen in (events["user"] == events["user"].mode()[0], events["user"] >= 0):
        rows = events[chosen]
        books, probability = shop.policy(rows["user"].to_numpy(), rows["timestamp"].to_numpy())
        expected = probability.sum(axis=0)
        shown = np.bincount(rows["item"] - books[0], minlength=len(books))
        big = expected >= 5
        chi2 = ((shown - expected) ** 2 / expected)[big].sum()
        assert abs(chi2 - big.sum()) < 5 * math.sqrt(2 * big.sum())
        logged = probability[np.arange(len(rows)), rows["item"] - books[0]]
        np.testing.assert_allclose(rows["propensity"], logged, rtol=1e-12)


def test_inverse_propensity_recovers_the_truth_where_the_naive_mean_does_not():
    shop = still(events_per_day=60_000, n_users=200, n_books=100, new_users_per_day=0, new_books_per_day=0)
    events = shop.day(0)
    n = len(events)
    # The policy's own value: the mean of the labels, and of the true probabilities under it.
    users, now = events["user"].to_numpy(), events["timestamp"].to_numpy()
    books, probability = shop.policy(users, now)
    truth = shop.p_purchase(users[:, None], books[None, :], now[:, None])
    own = (probability * truth).sum(axis=1).mean()
    assert abs(events["label"].mean() - own) < 5 * 0.5 / math.sqrt(n)
    # Another policy: the uniform one. Weights average 1, weighted labels its value.
    weight = 1 / len(books) / events["propensity"].to_numpy()
    value = truth.mean()
    assert abs(weight.mean() - 1) < 5 * weight.std() / math.sqrt(n)
    weighted = weight * events["label"].to_numpy()
    error = weighted.std() / math.sqrt(n)
    assert abs(weighted.mean() - value) < 4 * error
    assert abs(events["label"].mean() - value) > 10 * error


def test_what_is_popular_new_or_liked_is_shown_more():
    plain = {"popularity_exponent": 0.0, "recency_boost": 0.0, "personalization": 0.0}
    now = world().config.start + 20 * DAY
    _, even = world(**plain).policy(np.arange(10), now)
    np.testing.assert_allclose(even, 1 / 500, rtol=1e-9)
    _, recent = world(**plain | {"recency_boost": 1.0}).policy(0, now)
    assert recent[0, -5:].min() > 1.5 * recent[0, :100].mean()
    _, popular = world(**plain | {"popularity_exponent": 1.0, "explore": 0.0}).policy(0, now)
    zipf = 1 / np.arange(1, 501)
    np.testing.assert_allclose(np.sort(popular[0])[::-1], zipf / zipf.sum())
    books, liked = world(**plain | {"personalization": 2.0}).policy(np.arange(300), now)
    truth = world().p_purchase(np.arange(300)[:, None], books[None, :], now)
    assert np.corrcoef(liked.ravel(), truth.ravel())[0, 1] > 0.2


def test_activity_is_zipf():
    shop = still(events_per_day=400_000, activity_exponent=1.0, n_users=300, new_users_per_day=0)
    counts = np.sort(np.bincount(shop.day(0)["user"], minlength=300))[::-1]
    slope = np.polyfit(np.log(np.arange(1, 101)), np.log(counts[:100]), 1)[0]
    assert abs(slope + 1) < 0.05


# --- drift, at the declared times and nowhere else ---------------------------------------------------------------

WHO = np.arange(3_000)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(a * b))


def test_without_drift_nothing_ever_changes():
    shop = still()
    start = shop.config.start
    users, books = np.arange(300)[:, None], np.arange(100)[None, :]
    first = shop.p_purchase(users, books, start)
    for day in (0.3, 7, 64, 66, 1_000):
        np.testing.assert_array_equal(shop.p_purchase(users, books, int(start + day * DAY)), first)
    assert len(shop.drifts()) == 0 and len(shop.drift_times) == 0


def after(s: float) -> float:
    """Mean correlation after a part s of a period of drift: see wander."""
    return (1 - s / 2) * math.cos(math.pi * s / 2) + math.sin(math.pi * s / 2) / math.pi


def test_gradual_drift_goes_at_the_declared_speed_between_the_declared_days():
    shop = still(taste_drift_days=50.0, gradual_from_day=20, gradual_to_day=60)
    start = shop.config.start
    at = {day: shop.taste(WHO, start + day * DAY) for day in (0, 20, 25, 60, 90)}
    np.testing.assert_array_equal(at[0], at[20])
    np.testing.assert_array_equal(at[60], at[90])
    assert abs(correlation(at[20], at[25]) - after(0.1)) < 0.02
    assert abs(correlation(at[20], at[60]) - after(0.8)) < 0.05
    assert all(abs(tastes.var() - 1) < 5 * math.sqrt(2 / 12_000) for tastes in at.values())
    table = shop.drifts()
    assert table[["kind", "what"]].to_numpy().tolist() == [["gradual", "tastes"]]
    assert table[["start", "end"]].to_numpy().tolist() == [[start + 20 * DAY, start + 60 * DAY]]


def test_the_appeal_of_books_drifts_too():
    shop = still(appeal_drift_days=30.0)
    day = {n: shop.appeal(WHO, shop.config.start + n * DAY) for n in (0, 3, 30, 60)}
    assert abs(correlation(day[0], day[3]) - after(0.1)) < 0.05
    assert abs(correlation(day[0], day[30]) - after(1)) < 0.1 and abs(correlation(day[0], day[60])) < 0.1
    assert abs(day[30].var() - 1) < 0.13
    assert (still().appeal(WHO, shop.config.start) == still().appeal(WHO, shop.config.start + 30 * DAY)).all()


def test_sudden_drift_strikes_at_its_second():
    shop = still(sudden_days=(10.0, 20.5), sudden_user_share=0.3, sudden_category_sd=0.8)
    assert shop.drift_times.tolist() == [shop.config.start + 10 * DAY, shop.config.start + 20 * DAY + DAY // 2]
    seen = []
    for time in shop.drift_times:
        old, new = shop.taste(WHO, time - 1), shop.taste(WHO, time)
        changed = (old != new).any(axis=1)
        assert abs(changed.mean() - 0.3) < 5 * math.sqrt(0.3 * 0.7 / len(WHO))
        assert abs(correlation(old[changed], new[changed])) < 0.1
        assert abs(new.var() - 1) < 0.1
        seen.append(changed)
    assert abs((seen[0] & seen[1]).mean() - 0.09) < 5 * math.sqrt(0.09 * 0.91 / len(WHO))  # others the second time
    categories = np.arange(12)
    times = (shop.drift_times[0] - 1, shop.drift_times[1] - 1, shop.drift_times[1])
    first, second, third = (shop.category_effect(categories, time) for time in times)
    assert (first == 0).all() and 0.3 < second.std() < 1.4 and not np.isclose(second, third).any()
    old, new = (shop.taste(WHO, shop.drift_times[0] + s) for s in (0, 5 * DAY))
    np.testing.assert_array_equal(old, new)


def test_seasons_have_their_period_and_amplitude():
    start, categories = still().config.start, np.arange(12)[:, None]
    week = still(week_effect=0.5).category_effect(categories, start + np.arange(0, 14 * 24) * 3_600)
    np.testing.assert_allclose(week[:, : 7 * 24], week[:, 7 * 24 :], atol=1e-9)
    assert (abs(week.max(axis=1) - 0.5) < 0.01).all() and (abs(week[:, : 7 * 24].mean(axis=1)) < 1e-6).all()
    assert len(np.unique(week.argmax(axis=1) // 24)) >= 4  # categories have best days of their own
    year = still(year_effect=0.4).category_effect(categories, start + np.arange(0, 5 * 366) * (DAY // 4) * 4)
    np.testing.assert_allclose(year[:, 0], year[:, 4 * 365 + 1], atol=1e-9)  # four years have 1,461 days
    assert (abs(year[:, :366].max(axis=1) - 0.4) < 0.001).all() and (abs(year[:, 0] - year[:, 182]) > 0.01).all()


def test_drift_is_visible_in_the_events():
    """Purchases of a category jump with its trend, in the labels and not only in the declared probabilities."""
    jump = {}
    for name, setting in (("sudden", {"sudden_days": (20,), "sudden_category_sd": 1.0}), ("calm", {})):
        events = days(still(**setting), *range(10, 30))
        late = events["timestamp"] >= still().config.start + 20 * DAY
        rate = events.groupby(["category", late], observed=True)["label"].agg(["mean", "count"]).unstack()
        error = np.sqrt((0.25 / rate["count"]).sum(axis=1))
        jump[name] = np.abs((rate["mean"][True] - rate["mean"][False]) / error)
    assert jump["sudden"].max() > 8 and (jump["sudden"] > 4).sum() >= 4
    assert jump["calm"].max() < 4


# --- who is there -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    rate=st.one_of(st.just(0.0), st.floats(0.01, 40)),
    n=st.integers(1, 60),
    leave=st.booleans(),
    day=st.integers(0, 400),
)
def test_who_is_present_has_arrived(rate, n, leave, day):
    shop = world(n_users=n, new_users_per_day=rate, users_leave=leave)
    present, table = shop.users_on(day), shop.users(day)
    arrived = (table["arrived"] - shop.config.start) // DAY
    assert (arrived <= day).all() and present[-1] == table.index[-1]
    assert len(present) == (n if leave else n + math.floor(rate * day + 1e-9))
    assert (np.diff(present) == 1).all() and table.index.tolist() == list(range(len(table)))
    later = shop.users(day + 1)  # the next ones had not come before
    assert ((later["arrived"].iloc[len(table) :] - shop.config.start) // DAY == day + 1).all()


def test_nobody_acts_before_arriving_or_after_leaving(log):
    shop, events = log
    users, books = shop.users(99), shop.items(99)
    assert len(users) == 1_000 + 2 * 99 and len(books) == 500 + 99
    assert (events["timestamp"].to_numpy() >= users.loc[events["user"], "arrived"].to_numpy()).all()
    assert (events["timestamp"].to_numpy() >= books.loc[events["item"], "arrived"].to_numpy()).all()
    day = shop.day_of(events["timestamp"].to_numpy())
    assert (events["user"] >= 2 * day).all() and (events["item"] >= day).all()
    late = events[day >= 90]
    assert late["user"].max() >= 1_150 and late["item"].max() >= 580  # newcomers do act, and new books are shown


def test_a_new_book_is_known_by_its_category_author_and_publisher():
    shop = still(n_books=6_000, n_authors=300)
    table, profile = shop.items(0), shop.profile(np.arange(6_000))
    assert abs(profile.var() - 1) < 0.2
    assert table.groupby("author")["category"].nunique().max() == 1
    codes = table.assign(category=table["category"].cat.codes)
    a, b = np.random.default_rng(0).integers(6_000, size=(2, 2_000_000))
    equal = {
        name: codes[name].to_numpy()[a] == codes[name].to_numpy()[b] for name in ("category", "author", "publisher")
    }

    def likeness(category: bool, author: bool, publisher: bool) -> float:
        pairs = (equal["category"] == category) & (equal["author"] == author) & (equal["publisher"] == publisher)
        pairs &= a != b
        return correlation(profile[a[pairs]], profile[b[pairs]])

    nothing, category = likeness(False, False, False), likeness(True, False, False)
    author, everything = likeness(True, True, False), likeness(True, True, True)
    assert abs(nothing) < 0.2 and category > nothing + 0.15 and author > category + 0.1 and everything > author + 0.03
    assert 0.45 < author < 0.75  # 0.35 of the variance is the category's, 0.25 the author's


# --- what can be learned ----------------------------------------------------------------------------------------


@numba.njit(cache=True)
def _pass(user, item, label, mean, user_bias, item_bias, p, q, step, decay, learn, order):
    """Predict each event of ``order``, and if ``learn`` make one step of logistic gradient descent on it."""
    scores = np.empty(len(order))
    for row in range(len(order)):
        u, i = user[order[row]], item[order[row]]
        z = mean + user_bias[u] + item_bias[i]
        for f in range(p.shape[1]):
            z += p[u, f] * q[i, f]
        scores[row] = 1 / (1 + math.exp(-z))
        if learn:
            error = label[order[row]] - scores[row]
            user_bias[u] += 0.6 * step * (error - decay * user_bias[u])
            item_bias[i] += 0.6 * step * (error - decay * item_bias[i])
            for f in range(p.shape[1]):
                old = p[u, f]
                p[u, f] += step * (error * q[i, f] - decay * old)
                q[i, f] += step * (error * old - decay * q[i, f])
    return scores


class LogisticFactors:
    """A factorisation of the logit, small enough to be checked by eye; with 0 factors it is biases alone."""

    def __init__(self, n_factors: int, epochs: int, step: float = 0.05, decay: float = 0.03):
        self.rng, self.epochs, self.step, self.decay = np.random.default_rng(0), epochs, step, decay
        self.state = [np.zeros(1_500), np.zeros(1_500)] + [self.rng.normal(0, 0.1, (1_500, n_factors)) for _ in "pq"]

    def run(self, events: pd.DataFrame, learn: bool, order: np.ndarray | None = None) -> np.ndarray:
        columns = [events[name].to_numpy().copy() for name in ("user", "item", "label")]
        order = np.arange(len(events)) if order is None else order
        return _pass(*columns, self.mean, *self.state, self.step, self.decay, learn, order)

    def fit(self, events: pd.DataFrame) -> LogisticFactors:
        rate = events["label"].mean()
        self.mean = math.log(rate / (1 - rate))
        for _ in range(self.epochs):
            self.run(events, True, self.rng.permutation(len(events)))
        return self


def log_loss(events: pd.DataFrame, p) -> float:
    y = events["label"].to_numpy()
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-np.asarray(p)))))


def recovered(events: pd.DataFrame, scores: np.ndarray, rate: float) -> float:
    """Share of the log-loss gap between the base rate (0) and the oracle (1)."""
    base, oracle = log_loss(events, rate), log_loss(events, events["p_purchase"].to_numpy())
    return (base - log_loss(events, scores)) / (base - oracle)


def shares(events: pd.DataFrame, n_factors: int, epochs: int) -> dict[str, float]:
    cut = int(0.6 * len(events))
    past, future = events[:cut], events[cut:]
    rate = past["label"].mean()
    whole = LogisticFactors(n_factors, epochs).fit(events).run(events, False)
    model = LogisticFactors(n_factors, epochs).fit(past)
    frozen = model.run(future, False)
    online = model.run(future, True)
    tenth = len(future) // 10
    return {
        "in sample": recovered(events, whole, events["label"].mean()),
        "frozen": recovered(future, frozen, rate),
        "online": recovered(future, online, rate),
        "frozen, early": recovered(future[:tenth], frozen[:tenth], rate),
        "frozen, late": recovered(future[-tenth:], frozen[-tenth:], rate),
        "online, late": recovered(future[-tenth:], online[-tenth:], rate),
    }


@pytest.mark.parametrize("n_events", [100_000, 200_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_tastes_matter_and_can_be_learned(n_events, seed):
    """The requirement: biases recover at most 40 % of the gap, a factorisation clearly more, at the chapters' sizes."""
    events = bookstore(n_events, rng=np.random.default_rng(seed)).events
    biases, factors = shares(events, 0, 8), shares(events, 6, 15)
    assert 0.05 < biases["in sample"] <= 0.35 and biases["online"] <= 0.30
    assert factors["in sample"] > 0.75
    assert biases["frozen"] + 0.15 < factors["frozen"]
    assert biases["online"] + 0.30 < factors["online"] < 0.75
    if n_events == 200_000:  # 40 days of drift after the cut, a sudden one among them
        assert factors["frozen, late"] < factors["frozen, early"] - 0.2
        assert factors["online, late"] > factors["frozen, late"] + 0.2


def test_without_drift_a_frozen_model_keeps_what_it_knows():
    """So the decay of the test above is drift, and not something else that ages."""
    steady = BookstoreConfig.stationary(new_users_per_day=0, new_books_per_day=0)
    factors = shares(bookstore(200_000, rng=np.random.default_rng(0), config=steady).events, 6, 15)
    assert abs(factors["frozen, late"] - factors["frozen, early"]) < 0.06
    assert 0.6 < factors["frozen"] < factors["online"] < factors["frozen"] + 0.08


# --- memory -----------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_events():
    config = BookstoreConfig(events_per_day=5_000)
    tracemalloc.start()
    try:
        peaks = []
        for number, table in enumerate(
            bookstore_stream(1_000_000, 20_000, rng=np.random.default_rng(0), config=config)
        ):
            assert len(table) == 20_000
            if number % 10 == 9:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert len(peaks) == 5
    # A million int64 are 8 MB: one forgotten column would show.
    assert max(peaks[1:]) < 1.25 * peaks[0] and max(peaks) < 8e6


def test_the_simulator_compiles_nothing():
    code = "import sys, recsys_course.data.bookstore; print('numba' in sys.modules, 'tensorflow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.split() == ["False", "False"]


# --- the sample that ships --------------------------------------------------------------------------------------

SAMPLE = ROOT / "datasets" / "bookstore" / "exposures.parquet"


def builder():
    spec = importlib.util.spec_from_file_location("build_bookstore", ROOT / "datasets" / "build_bookstore.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generator_still_makes_the_shipped_sample():
    """Ids, times, outcomes exactly; probabilities to the rounding of the file."""
    shipped, build = bookstore(), builder()
    made = bookstore(build.N_EVENTS, rng=np.random.default_rng(build.SEED))
    assert shipped.events.columns.equals(made.events.columns) and shipped.events.dtypes.equals(made.events.dtypes)
    for name in made.events:
        if name in build.PROBABILITIES:
            np.testing.assert_allclose(shipped.events[name], made.events[name], rtol=0.51e-3)
        else:
            pd.testing.assert_series_equal(shipped.events[name], made.events[name])
    pd.testing.assert_frame_equal(shipped.items, made.items)
    pd.testing.assert_frame_equal(shipped.users, made.users)


def test_the_sample_says_how_it_was_made():
    made_with = json.loads(pq.read_schema(SAMPLE).metadata[b"bookstore"])
    assert made_with["rng"] == builder().SEED
    assert set(made_with["config"]) == {field.name for field in fields(BookstoreConfig)}
    assert bookstore().world.config == BookstoreConfig()
    assert bookstore().world.seed == world().seed
    assert SAMPLE.stat().st_size < 3_000_000


def test_building_the_sample_again_gives_the_same_bytes(tmp_path):
    build = builder()
    events = bookstore(5_000, rng=np.random.default_rng(0)).events
    assert build.write(events, tmp_path / "a.parquet") == build.write(events, tmp_path / "b.parquet")
    p = np.array([0.123456, 0.00098768, 0.999961])
    np.testing.assert_allclose(build.rounded(p), [0.1235, 0.0009877, 1.0], rtol=1e-12)


def test_the_card_tells_the_truth():
    ds = bookstore()
    events = ds.events
    assert ds.card is card("bookstore") and ds.card.task == "binary" and ds.card.label_range == (0.0, 1.0)
    assert ds.card.counts == {
        "exposures": len(events),
        "users": events["user"].nunique(),
        "items": events["item"].nunique(),
        "views": int(events["view"].sum()),
        "purchases": int(events["label"].sum()),
    }
    assert ds.card.span == (events["timestamp"].iloc[0], events["timestamp"].iloc[-1])
    assert set(ds.card.columns) == set(events) - {"user", "item", "label", "timestamp"}
    assert events["user"].isin(ds.users.index).all() and events["item"].isin(ds.items.index).all()
    quirks = " ".join(ds.card.quirks)
    assert f"{100 * events['view'].mean():.0f} % of the exposures are opened" in quirks
    assert f"{100 * events['label'].mean():.0f} % end in a purchase" in quirks
    assert f"{100 * events.duplicated(['user', 'item']).mean():.0f} % of the rows repeat" in quirks
    assert pd.Timestamp(ds.world.drift_times[0], unit="s").strftime("%Y-%m-%d") in quirks


def test_a_simulated_set_has_a_card_of_its_own():
    ds = bookstore(1_234, rng=np.random.default_rng(8))
    assert ds.card.access == "simulated" and ds.card.files == {} and ds.card.counts["exposures"] == 1_234
    assert ds.world.seed == world(8).seed


def test_a_damaged_sample_is_named(tmp_path, monkeypatch):
    (tmp_path / "bookstore").mkdir()
    (tmp_path / "bookstore" / "exposures.parquet").write_bytes(SAMPLE.read_bytes()[:-100])
    monkeypatch.setenv("RECSYS_COURSE_DATASETS", str(tmp_path))
    with pytest.raises(DataError, match=r"exposures\.parquet"):
        bookstore()
