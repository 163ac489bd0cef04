"""How good predictions are, and how sure one may be of it."""

from recsys_course.metrics.intervals import Interval, block_interval, user_interval
from recsys_course.metrics.losses import log_loss, rmse
from recsys_course.metrics.ranking import ndcg, recall

__all__ = ["Interval", "block_interval", "log_loss", "ndcg", "recall", "rmse", "user_interval"]
