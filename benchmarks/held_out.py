"""Lists judged by what was held out: a part of each user's items, found again among all that the user did not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from recsys_course.metrics.ranking import ndcg, ranks_of

K = 10
USERS_AT_ONCE = 1_000

# Scores of some users (rows) for all items (columns), from their ids.
Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]


def split(pairs: pd.DataFrame, rng: np.random.Generator, share: float = 0.25) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out ``share`` of each user's rows, drawn at random and rounded; (kept, held out)."""
    user = pairs["user"]
    place = pd.Series(rng.random(len(pairs)), index=pairs.index).groupby(user).rank(method="first")
    held = (place <= (share * user.groupby(user).transform("size")).round()).to_numpy()
    return pairs[~held], pairs[held]


def ndcg_by_user(score: Scorer, kept: pd.DataFrame, held: pd.DataFrame) -> pd.Series:
    """nDCG@10 of each user with something held out; what is kept leaves the user's contest, all other items are in it.

    An item that occurs in the held-out part only is a candidate that no model knows, and so a miss.
    """
    items = pd.Index(pd.unique(pd.concat([kept["item"], held["item"]])))
    users = pd.Index(np.sort(held["user"].unique()))
    found = []
    for first in range(0, len(users), USERS_AT_ONCE):
        some = users[first : first + USERS_AT_ONCE]
        had, right = (table[table["user"].isin(some)] for table in (kept, held))
        excluded = np.zeros((len(some), len(items)), bool)
        excluded[some.get_indexer(had["user"]), items.get_indexer(had["item"])] = True
        scores = score(some.to_numpy(), items.to_numpy())
        rows = some.get_indexer(right["user"])
        ranks = ranks_of(scores, rows, items.get_indexer(right["item"]), excluded=excluded)
        found.append(ndcg(ranks, rows, K))
    return pd.Series(np.concatenate(found), index=users)


def choose(candidates: Iterable, make: Callable, kept: pd.DataFrame, held: pd.DataFrame, learn: Callable) -> tuple:
    """The candidate with which ``make(candidate).fit(learn(kept))`` finds most of ``held``, with its nDCG."""
    found = [
        (float(ndcg_by_user(make(c).fit(learn(kept)).score_items, kept, held).mean()), n, c)
        for n, c in enumerate(candidates)
    ]
    best, _, candidate = max(found, key=lambda f: (f[0], -f[1]))
    return candidate, best
