"""How good predictions are, and how sure one may be of it.

Losses of labels and metrics of lists stand here; those of decisions have the same names as some of the latter, and
keep that of their module: ``classification.recall``.
"""

from recsys_course.metrics import classification
from recsys_course.metrics.catalogue import coverage, novelty, top_k
from recsys_course.metrics.intervals import Interval, block_interval, user_interval
from recsys_course.metrics.losses import log_loss, mae, rmse
from recsys_course.metrics.ranking import (
    average_precision,
    hit_rate,
    ndcg,
    precision,
    ranks_of,
    recall,
    reciprocal_rank,
)

__all__ = [
    "Interval",
    "average_precision",
    "block_interval",
    "classification",
    "coverage",
    "hit_rate",
    "log_loss",
    "mae",
    "ndcg",
    "novelty",
    "precision",
    "ranks_of",
    "recall",
    "reciprocal_rank",
    "rmse",
    "top_k",
    "user_interval",
]
