"""The models, and the interface that all of them fit: :mod:`recsys_course.models.base`."""

from recsys_course.models.base import Model, NotFittedError, Ranker
from recsys_course.models.baselines import PersonalFrequency, Popularity, RunningMeans
from recsys_course.models.bayesian import BayesianFactorization
from recsys_course.models.biased import BiasedFactorization
from recsys_course.models.bpr import BPR
from recsys_course.models.early_stopping import EarlyStopping
from recsys_course.models.explicit_als import ExplicitALS
from recsys_course.models.factorization import ImplicitFactorization, MatrixFactorization
from recsys_course.models.ftrl import FTRLProximal
from recsys_course.models.implicit_als import WeightedALS
from recsys_course.models.item_to_item import EASE, ItemNeighbours
from recsys_course.models.keras_network import KerasNetwork
from recsys_course.models.network import NeuralNetwork
from recsys_course.models.optimizers import SGD, Adam
from recsys_course.models.svdpp import SVDPlusPlus

__all__ = [
    "BPR",
    "EASE",
    "SGD",
    "Adam",
    "BayesianFactorization",
    "BiasedFactorization",
    "EarlyStopping",
    "ExplicitALS",
    "FTRLProximal",
    "ImplicitFactorization",
    "ItemNeighbours",
    "KerasNetwork",
    "MatrixFactorization",
    "Model",
    "NeuralNetwork",
    "NotFittedError",
    "PersonalFrequency",
    "Popularity",
    "Ranker",
    "RunningMeans",
    "SVDPlusPlus",
    "WeightedALS",
]
