"""The models, and the interface that all of them fit: :mod:`recsys_course.models.base`."""

from recsys_course.models.base import Model, NotFittedError, Ranker
from recsys_course.models.baselines import PersonalFrequency, Popularity, RunningMeans
from recsys_course.models.factorization import ImplicitFactorization, MatrixFactorization
from recsys_course.models.keras_network import KerasNetwork
from recsys_course.models.network import NeuralNetwork
from recsys_course.models.optimizers import SGD, Adam

__all__ = [
    "SGD",
    "Adam",
    "ImplicitFactorization",
    "KerasNetwork",
    "MatrixFactorization",
    "Model",
    "NeuralNetwork",
    "NotFittedError",
    "PersonalFrequency",
    "Popularity",
    "Ranker",
    "RunningMeans",
]
