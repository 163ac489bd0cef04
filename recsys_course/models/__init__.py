"""The models, and the interface that all of them fit: :mod:`recsys_course.models.base`."""

from recsys_course.models.base import Model, NotFittedError, Ranker
from recsys_course.models.baselines import PersonalFrequency, Popularity, RunningMeans
from recsys_course.models.factorization import ImplicitFactorization, MatrixFactorization

__all__ = [
    "ImplicitFactorization",
    "MatrixFactorization",
    "Model",
    "NotFittedError",
    "PersonalFrequency",
    "Popularity",
    "Ranker",
    "RunningMeans",
]
