"""Data sets of the course: one function each, one table type."""

from __future__ import annotations

from recsys_course.data.dataset import Card, DataError, DataMissing, Dataset

__all__ = ["Card", "DataError", "DataMissing", "Dataset"]
