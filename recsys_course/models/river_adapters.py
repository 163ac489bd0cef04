"""River's models on the course's interface, and the course's models on River's.

River learns from one event at a time: ``predict_one``, then ``learn_one``. The course hands tables to a model:
``predict(events)``, then ``update(events)``. Going from one to the other is a loop over rows, in both directions:

- :class:`RiverModel` and :class:`RiverRanker` let a replay run whatever River has: regressors, classifiers,
  recommenders, pipelines.
- :class:`CourseRegressor` and :class:`CourseRecommender` let River's evaluation, pipelines and metrics run the
  course's models; :class:`LeastMeanSquares` is written for River from the start, and is the shortest example.

River is imported here and nowhere else in the library, and this module only by whoever uses it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from river import base, reco

from recsys_course.events import EventsError, check_events
from recsys_course.models.base import Model, NotFittedError, Ranker, Vocabulary
from recsys_course.models.baselines import RunningMeans
from recsys_course.models.biased import BiasedFactorization
from recsys_course.plan import Plan

__all__ = ["CourseRecommender", "CourseRegressor", "LeastMeanSquares", "RiverModel", "RiverRanker", "user_and_item"]


def user_and_item(row: dict[str, Any]) -> dict[str, Any]:
    """The two ids as strings, which is what River's factorisation machines take for categories.

    Left as integers they would be taken for measurements, and user 900 for nine hundred times user 1.

    >>> user_and_item({"user": 900, "item": 7, "timestamp": 3})
    {'user': '900', 'item': '7'}
    """
    return {"user": str(row["user"]), "item": str(row["item"])}


class RiverModel(Model):
    """A River regressor, classifier or recommender behind the course's interface.

    Parameters
    ----------
    estimator : river.base.Estimator
        A recipe: it is cloned at each fit, and never learns itself.
    features : callable, optional
        From a row, as a dict of column names and values without the label, to the dict that the estimator takes.
        :func:`user_and_item` unless told. Recommenders (``river.reco``) take the two ids and no features.
    label_range : (float, float), optional
        Predictions are kept inside.
    epochs : int
        Passes that :meth:`fit` makes over the events, each in order of arrival; :meth:`update` makes one.

    Raises
    ------
    TypeError
        The estimator is neither a regressor nor a classifier nor a recommender of River.
    EventsError
        The events are no events table.
    NotFittedError
        Asked to predict before anything was learned.

    Notes
    -----
    Labels of a classifier are True and False: label > 0.5; its prediction is the probability of True. River's
    recommenders keep what they draw for whoever they are asked about, learned or not, so a prediction for a stranger
    makes the model larger, and ids that were only asked about count in ``nbytes``, which is River's own estimate of
    memory, Python objects included. Taught in chapter 08b.

    Examples
    --------
    >>> from river import reco
    >>> ratings = pd.DataFrame({"user": 1, "item": [7, 8] * 50, "label": [5.0, 1.0] * 50, "timestamp": range(100)})
    >>> RiverModel(reco.Baseline(seed=0)).fit(ratings).predict(ratings[:2]).round(1)
    array([4.3, 1.7])
    """

    def __init__(
        self,
        estimator: Any,
        *,
        features: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        label_range: tuple[float, float] | None = None,
        epochs: int = 1,
    ) -> None:
        if not isinstance(estimator, (base.Regressor, base.Classifier, reco.base.Ranker)):
            raise TypeError(
                f"{type(estimator).__name__} is neither a regressor nor a classifier nor a recommender of River"
            )
        if label_range is not None and not label_range[0] < label_range[1]:
            raise ValueError(f"label_range must be (low, high) with low < high, not {label_range}")
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {epochs}")
        self.recipe = estimator
        self.features = user_and_item if features is None else features
        self.label_range = label_range
        self.epochs = epochs
        self.estimator: Any = None
        self.examples_learned = 0
        # Recommenders are called differently, and wrappers of River's such as PredClipper do not say what they hold.
        self._by_ids = isinstance(estimator, reco.base.Ranker)
        self._classifies = isinstance(estimator, base.Classifier)

    def fit(self, events: pd.DataFrame) -> RiverModel:
        check_events(events)
        self._start()
        for _ in range(self.epochs):
            self._learn(events)
        return self

    def update(self, events: pd.DataFrame) -> RiverModel:
        check_events(events)
        if self.estimator is None:
            self._start()
        self._learn(events)
        return self

    def predict(self, events: pd.DataFrame) -> np.ndarray:
        ask = self._ask()
        return self._in_range([ask(*given) for given in self._given(events)])

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> np.ndarray:
        """The same calls in the same order as :meth:`predict` and :meth:`update` make, without a table for each.

        Not compiled, but for single events some ten times as fast, since cutting a table apart costs more than River.
        """
        check_events(events)
        ask, arriving = self._ask(), plan.arriving(first, last)
        begin, end = int(plan.starts[first]), int(plan.ends[last - 1])
        if len(arriving):
            begin = min(begin, int(arriving.min()))
        given = list(self._given(events.iloc[begin:end]))
        labels = events["label"].iloc[begin:end].tolist()
        learn, said = self.estimator.learn_one, list[Any]()
        for block in range(first, last):
            if block > first:
                for row in (plan.order[plan.known[block - 1] : plan.known[block]] - begin).tolist():
                    learn(*given[row], self._taught(labels[row]))
            said.extend(ask(*given[row - begin]) for row in range(plan.starts[block], plan.ends[block]))
        self.examples_learned += len(arriving)
        return self._in_range(said)

    @property
    def nbytes(self) -> int:
        """River's estimate of the memory of the estimator: numbers, and the Python objects around them."""
        return int(self._ready()._raw_memory_usage)

    # --------------------------------------------------------------------------------------- inside

    def _start(self) -> None:
        self.estimator = self.recipe.clone()
        self.examples_learned = 0

    def _learn(self, events: pd.DataFrame) -> None:
        learn = self.estimator.learn_one
        for given, label in zip(self._given(events), events["label"].tolist(), strict=True):
            learn(*given, self._taught(label))
        self.examples_learned += len(events)

    def _ask(self) -> Callable:
        return self._ready().predict_proba_one if self._classifies else self._ready().predict_one

    def _taught(self, label: float) -> float | bool:
        return label > 0.5 if self._classifies else label

    def _in_range(self, said: list) -> np.ndarray:
        if self._classifies:
            said = [chances.get(True, 0.0) for chances in said]
        out = np.array(said, float)
        return out if self.label_range is None else out.clip(*self.label_range)

    def _given(self, events: pd.DataFrame) -> Iterator[tuple]:
        """What the estimator is asked with, row by row: the two ids, or a dict of features."""
        for name in ("user", "item") if self._by_ids else ():
            if name not in events:
                raise EventsError(f"column {name!r} is missing: the table has {list(map(str, events.columns))}")
        columns = ["user", "item"] if self._by_ids else [name for name in events.columns if name != "label"]
        rows = zip(*(events[name].tolist() for name in columns), strict=True)
        return rows if self._by_ids else ((self.features(dict(zip(columns, row, strict=True))),) for row in rows)

    def _ready(self) -> Any:
        if self.estimator is None:
            raise NotFittedError("RiverModel has learned nothing yet: call fit or update first")
        return self.estimator


class RiverRanker(RiverModel, Ranker):
    """A River recommender that orders a catalogue, learned from what was taken and from random items that were not.

    Parameters
    ----------
    estimator : river.reco.base.Ranker
        ``reco.BiasedMF``, ``reco.FunkMF`` or ``reco.Baseline``: a recipe, cloned at each fit.
    n_negatives : int
        Beside each event, so many items drawn at random among those known are learned with the label 0. River has no
        loss of its own for streams that hold only what was taken; without negatives every prediction becomes 1.
    rng : numpy.random.Generator
        Draws the negatives; copied at each fit.
    epochs : int

    Notes
    -----
    ``examples_learned`` counts events, not negatives. An item that was never taken is not known and stands last; a
    user that was never met gets the order of the items' biases. Taught in chapter 08b.

    Examples
    --------
    >>> from river import reco
    >>> taken = pd.DataFrame({"user": [1, 2] * 40, "item": ["milk", "tea"] * 40, "label": 1.0, "timestamp": range(80)})
    >>> model = RiverRanker(reco.BiasedMF(seed=0), rng=np.random.default_rng(0)).fit(taken)
    >>> model.recommend([2], k=1)["item"].tolist()
    ['tea']
    """

    def __init__(self, estimator: Any, *, n_negatives: int = 4, epochs: int = 1, rng: np.random.Generator) -> None:
        if not isinstance(estimator, (reco.BiasedMF, reco.FunkMF, reco.Baseline)):
            raise TypeError(
                f"a catalogue is ordered by BiasedMF, FunkMF or Baseline, not by {type(estimator).__name__}"
            )
        super().__init__(estimator, epochs=epochs)
        if n_negatives < 1:
            raise ValueError(f"n_negatives must be at least 1, not {n_negatives}: without them every score becomes 1")
        self.n_negatives = n_negatives
        self.rng = rng

    def _start(self) -> None:
        super()._start()
        self._draws = copy.deepcopy(self.rng)
        self._users, self._items = Vocabulary(), Vocabulary()

    def _learn(self, events: pd.DataFrame) -> None:
        learn, n = self.estimator.learn_one, self.n_negatives
        self._users.add(events["user"])
        self._items.add(events["item"])
        known = self._items.ids().tolist()
        drawn = iter(self._draws.integers(len(known), size=n * len(events)).tolist())
        for user, item in self._given(events):
            learn(user, item, 1.0)
            for _ in range(n):
                learn(user, known[next(drawn)], 0.0)
        self.examples_learned += len(events)

    def score_items(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """River's scores, gathered from its dictionaries: what ``predict_one`` says, without a call for each pair."""
        model, ids = self._ready(), items.tolist()
        columns = np.flatnonzero(self._items.find(items) >= 0)
        known = [ids[column] for column in columns.tolist()]
        mean = model.global_mean.get() if hasattr(model, "global_mean") else 0.0
        out = np.full((len(users), len(ids)), -np.inf)
        shared = np.zeros(len(known))
        if hasattr(model, "i_biases"):
            shared = np.array([model.i_biases[item] for item in known])
        factors = np.array([model.i_latents[item] for item in known]) if hasattr(model, "i_latents") else None
        for row, user in enumerate(users.tolist()):
            met = self._users.find([user])[0] >= 0
            scores = mean + shared
            if met and hasattr(model, "u_biases"):
                scores = scores + model.u_biases[user]
            if met and factors is not None:
                scores = scores + factors @ model.u_latents[user]
            out[row, columns] = scores
        return out

    @property
    def known_items(self) -> np.ndarray:
        self._ready()
        return self._items.ids()


# ------------------------------------------------------------------------------- ours behind River's interface


class LeastMeanSquares(base.Regressor):
    """The rule of Widrow and Hoff on River's interface: w + step_size (y - w . x) x, one weight per feature name.

    Parameters
    ----------
    step_size
        Length of a step.
    normalized
        Whether the step is divided by the squared length of x, so that features need no scaling; any
        ``step_size`` below 2 is then stable.

    Notes
    -----
    A feature that is not in x counts as 0 and keeps its weight, as in all of River. Taught in chapter 08b.

    Examples
    --------
    >>> model = LeastMeanSquares(step_size=0.5)
    >>> for _ in range(60):
    ...     model.learn_one({"one": 1.0, "x": 0.0}, 1.0)
    ...     model.learn_one({"one": 1.0, "x": 1.0}, 3.0)
    >>> round(model.predict_one({"one": 1.0, "x": 2.0}), 3)
    5.0
    """

    def __init__(self, step_size: float = 0.01, normalized: bool = False) -> None:
        self.step_size = step_size
        self.normalized = normalized
        self.weights: dict[Any, float] = {}

    def predict_one(self, x: dict) -> float:
        # Added up in the order of the names, so that the order of the features cannot move the last digit.
        return float(sum(self.weights.get(name, 0.0) * x[name] for name in sorted(x, key=str)))

    def learn_one(self, x: dict, y: float) -> None:
        step = self.step_size * (y - self.predict_one(x))
        if self.normalized:
            step /= 1e-12 + sum(x[name] ** 2 for name in sorted(x, key=str))
        for name, value in x.items():
            self.weights[name] = self.weights.get(name, 0.0) + step * value

    @classmethod
    def _unit_test_params(cls):
        # River's test streams hold features of six digits: unscaled, the plain rule would run away on them.
        yield {"step_size": 0.5, "normalized": True}


class CourseRegressor(base.Regressor):
    """A model of the course behind River's interface, for features that hold ``user`` and ``item``.

    Parameters
    ----------
    model
        A recipe: copied, never changed. Whatever has ``update`` and ``predict``; its labels are real numbers.

    Notes
    -----
    Each event becomes a table of one row, which costs some hundred times what the model's own arithmetic does.
    Features other than user and item are handed over as columns. Before anything was learned the prediction is 0.0,
    as it is for River's regressors. An id that is missing is the id ``"nobody"``. Taught in chapter 08b.

    Examples
    --------
    >>> model = CourseRegressor(RunningMeans(shrink=1.0))
    >>> model.learn_one({"user": "ann", "item": "Alien"}, 5.0)
    >>> model.predict_one({"user": "bob", "item": "Alien"})
    5.0
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._model: Model | None = None

    def predict_one(self, x: dict) -> float:
        return 0.0 if self._model is None else float(self._model.predict(self._table(x))[0])

    def learn_one(self, x: dict, y: float) -> None:
        if self._model is None:
            self._model = copy.deepcopy(self.model)
        self._model.update(self._table(x, y))

    def _table(self, x: dict, y: float | None = None) -> pd.DataFrame:
        row = {"user": "nobody", "item": "nobody", "timestamp": 0} | {str(name): value for name, value in x.items()}
        if y is not None:
            row["label"] = float(y)
        return pd.DataFrame({name: [row[name]] for name in sorted(row)})

    def __repr__(self) -> str:
        # River compares what is printed of a model with what is printed of its clone: no addresses, then.
        return f"{type(self).__name__}({type(self.model).__name__})"

    @classmethod
    def _unit_test_params(cls):
        yield {"model": RunningMeans()}


class CourseRecommender(reco.base.Ranker):
    """The compiled factorisation behind the interface of River's recommenders; set as told, it is River's BiasedMF.

    Parameters
    ----------
    n_factors
        Numbers per user and per item.
    bias_rate, latent_rate
        Rates in River's convention, whose gradient of the squared error has a factor of 2.
    l2_bias, l2_latent
        Regularisation in River's convention, which has no factor of 2.
    spread
        Standard deviation of the initial factors.
    seed
        Of the initial factors.

    Notes
    -----
    A prediction is that of :meth:`BiasedFactorization.predict_one`, and 0.0 before the first event: an id that was
    never learned adds nothing, is not stored, and draws nothing, whatever it is asked about. :meth:`learn_one` counts a
    newcomer's random factors, as River's does. The numbers differ from River's by the initial factors that are drawn,
    and by nothing else; given River's factors they agree to 1e-12, as tests hold. Taught in chapter 08b.

    Examples
    --------
    >>> model = CourseRecommender(seed=1)
    >>> for _ in range(100):
    ...     model.learn_one(user="ann", item="Alien", y=5.0)
    ...     model.learn_one(user="ann", item="Up", y=1.0)
    >>> model.rank("ann", {"Alien", "Up"})
    ['Alien', 'Up']
    """

    def __init__(
        self,
        n_factors: int = 10,
        bias_rate: float = 0.01,
        latent_rate: float = 0.01,
        l2_bias: float = 0.0,
        l2_latent: float = 0.0,
        spread: float = 0.1,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self.n_factors = n_factors
        self.bias_rate = bias_rate
        self.latent_rate = latent_rate
        self.l2_bias = l2_bias
        self.l2_latent = l2_latent
        self.spread = spread
        self._model = BiasedFactorization(
            n_factors,
            step_size=2 * latent_rate,
            bias_step_size=2 * bias_rate,
            regularization=l2_latent / 2,
            user_bias_regularization=l2_bias / 2,
            item_bias_regularization=l2_bias / 2,
            count_initial=True,
            init_spread=spread,
            rng=np.random.default_rng(seed),
        )

    def predict_one(self, user, item, x: dict | None = None) -> Any:
        return self._model.predict_one(user, item) if self._model.examples_learned else 0.0

    def learn_one(self, user, item, y, x: dict | None = None) -> None:
        self._model.learn_one(user, item, float(y))
