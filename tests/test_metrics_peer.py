"""Metrics of lists beside trec_eval, the reference of information retrieval, where its Python binding is installed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_course.metrics import ranks_of
from recsys_course.metrics.ranking import average_precision, hit_rate, ndcg, precision, recall, reciprocal_rank

pytrec_eval = pytest.importorskip("pytrec_eval")

K = 5
NAMES = {"success", "P", "recall", "map_cut", "ndcg_cut"}


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), n_users=st.integers(1, 6), n_items=st.integers(1, 40))
def test_they_equal_trec_eval(seed, n_users, n_items):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(n_items, dtype=float), (n_users, 1)), axis=1)  # no ties: trec_eval
    right = rng.random(scores.shape) < 0.2  # breaks them by the names of documents
    right[np.arange(n_users), rng.integers(n_items, size=n_users)] = True
    users, items = range(n_users), range(n_items)
    qrel = {f"u{u}": {f"i{i}": int(right[u, i]) for i in items} for u in users}
    run = {f"u{u}": {f"i{i}": float(scores[u, i]) for i in items} for u in users}
    measures = {f"{name}.{K}" for name in NAMES} | {"recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate(run)

    def peer(name):
        return [theirs[f"u{u}"][name] for u in users]

    rows, columns = np.nonzero(right)
    ranks = ranks_of(scores, rows, columns)
    np.testing.assert_allclose(hit_rate(ranks, rows, K), peer(f"success_{K}"))
    np.testing.assert_allclose(precision(ranks, rows, K), peer(f"P_{K}"))
    np.testing.assert_allclose(recall(ranks, rows, K), peer(f"recall_{K}"))
    np.testing.assert_allclose(ndcg(ranks, rows, K), peer(f"ndcg_cut_{K}"))
    np.testing.assert_allclose(reciprocal_rank(ranks, rows, n_items), peer("recip_rank"))
    # trec_eval divides by all right items, the course by those that fit on the list.
    n_right = right.sum(axis=1)
    ours = average_precision(ranks, rows, K) * np.minimum(n_right, K) / n_right
    np.testing.assert_allclose(ours, peer(f"map_cut_{K}"))
