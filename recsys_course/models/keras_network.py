"""The network of :mod:`.network` with Keras underneath: the same ids, the same draws, the same answers.

What :class:`~recsys_course.models.network.NeuralNetwork` does around its arithmetic (number ids, hide some of them,
shuffle, check) is inherited. Layers, gradients and optimiser are Keras's. Both networks draw the same start from the
same generator and are given the same batches, so that each can be tested against the other.

Three things keep a learning Keras model fast where events come one by one. The step is traced once, for batches of any
size; the loop over the batches of one update runs inside the graph, not in Python; and the tables are made anew with
twice the room when they are full, so that a thousand newcomers cost ten tracings and not a thousand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys_course.models.network import _CHUNK, STRANGER, NeuralNetwork
from recsys_course.models.optimizers import SGD, Adam
from recsys_course.plan import Plan

__all__ = ["KerasNetwork"]

_ACTIVATIONS = {"identity": "linear", "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu"}  # ours to Keras's


class KerasNetwork(NeuralNetwork):
    """:class:`~recsys_course.models.network.NeuralNetwork`, computed by Keras and TensorFlow.

    Parameters
    ----------
    hidden, n_factors, features, loss, initialization, epochs, batch_size, stranger, label_range, shuffle, dtype, rng
        As for the NumPy network.
    activation : {"relu", "tanh", "sigmoid", "identity"}
        Of the hidden layers.
    optimizer : SGD or Adam, optional
        The course's, whose settings are handed to Keras's optimiser of that name. Keras has no lazy moments, and adds
        up squares apart: other settings are refused.

    Raises
    ------
    ValueError
        A setting is out of range, or one that Keras does not have.
    EventsError, FloatingPointError, NotFittedError
        As for the NumPy network.

    Notes
    -----
    ``fit`` starts anew; ``update`` goes on from the present weights, moments and number of steps. A pickle or a copy
    holds all of these as arrays, and continues exactly as the original does. There is no fused pass: a replay asks
    block by block. TensorFlow is loaded when a network is first fitted. Taught in chapter 04b.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> seen = pd.DataFrame({"user": rng.integers(4, size=200), "item": rng.integers(4, size=200)})
    >>> seen["label"] = (seen["user"] == seen["item"]).astype(float)
    >>> seen["timestamp"] = range(200)
    >>> settings = {"hidden": (8,), "n_factors": 4, "loss": "cross-entropy", "dtype": np.float64}
    >>> ours = NeuralNetwork(**settings, rng=np.random.default_rng(1)).fit(seen)
    >>> keras_s = KerasNetwork(**settings, rng=np.random.default_rng(1)).fit(seen)
    >>> bool(np.abs(keras_s.predict(seen) - ours.predict(seen)).max() < 1e-10)
    True
    """

    _keras: Any = None  # (model, variables, optimizer, score, learn), once there is something to learn

    def __init__(self, hidden: Sequence[int] = (64, 32), **settings: Any) -> None:
        super().__init__(hidden, **settings)
        if self.activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, not {self.activation!r}")
        if type(self.optimizer) not in (SGD, Adam):
            raise ValueError(f"optimizer must be SGD or Adam, not {type(self.optimizer).__name__}")
        if getattr(self.optimizer, "lazy", False) or getattr(self.optimizer, "squares", "apart") != "apart":
            raise ValueError("Keras moves absent rows too and adds up squares apart: use lazy=False, squares='apart'")
        if self.update_step_size is not None or self.update_only != "all" or not self.carry_optimizer:
            raise ValueError("an update in Keras is a step like any other: the settings of updates are NeuralNetwork's")

    # -- the graph ---------------------------------------------------------------------------------------------

    def _start(self, labels: np.ndarray) -> None:
        super()._start(labels)
        self._keras = None  # built when the first ids are known, so that their rows need not be added later

    def _numpy_parameters(self) -> list[np.ndarray]:
        """Those of the NumPy twin in Keras's order: tables, then kernel and bias of each layer."""
        layers = [p for pair in zip(self._network.weights, self._network.biases, strict=True) for p in pair]
        return [table.rows for table in self._tables if self.n_factors] + layers

    def _build(self, parameters: list[np.ndarray], moments: list[np.ndarray] | None) -> None:
        """A Keras model of these parameters, and its optimiser, with these variables or new ones."""
        import keras
        import tensorflow as tf

        dtype = self.dtype.name
        ids = [keras.Input((), dtype="int64", name=name) for name in ("user", "item") if self.n_factors]
        given = keras.Input((len(self.features),), dtype=dtype, name="features")
        embeddings = [
            keras.layers.Embedding(len(p), self.n_factors, embeddings_initializer="zeros", dtype=dtype)
            for p, _ in zip(parameters, ids, strict=False)
        ]
        parts = [embed(number) for embed, number in zip(embeddings, ids, strict=True)]
        parts += [given] if self.features else []
        h = keras.layers.Concatenate(dtype=dtype)(parts) if len(parts) > 1 else parts[0]
        kinds = [_ACTIVATIONS[self.activation]] * len(self.hidden) + ["linear"]  # the loss takes z, before any sigmoid
        dense = [
            keras.layers.Dense(units, activation=kind, kernel_initializer="zeros", dtype=dtype)
            for units, kind in zip((*self.hidden, 1), kinds, strict=True)
        ]
        for layer in dense:
            h = layer(h)
        model = keras.Model([*ids, given] if self.features else ids, h)

        variables = [e.embeddings for e in embeddings] + [v for layer in dense for v in (layer.kernel, layer.bias)]
        for variable, value in zip(variables, parameters, strict=True):
            variable.assign(value)
        with _float_type(keras, dtype):  # an optimiser keeps its step in the type that reigns when it is made
            optimizer = _keras_optimizer(keras, self.optimizer)
            optimizer.build(variables)
        for variable, value in zip(optimizer.variables, moments or [], strict=False):
            variable.assign(_with_room(value, tuple(variable.shape)))
        if self.loss == "squared":
            loss_of = keras.losses.MeanSquaredError(dtype=dtype)
        else:
            loss_of = keras.losses.BinaryCrossentropy(from_logits=True, dtype=dtype)

        # No size is fixed, so that a batch of another length is no reason to trace again.
        numbers = [tf.TensorSpec([None], tf.int64) for _ in ids]
        matrix, vector = tf.TensorSpec([None, len(self.features)], dtype), tf.TensorSpec([None], dtype)
        n_ids, size = len(ids), self.batch_size

        def inputs(columns):
            return list(columns) if self.features else list(columns[:n_ids])

        @tf.function(input_signature=[*numbers, matrix], autograph=False)
        def score(*columns):
            z = model(inputs(columns), training=False)[:, 0]
            return tf.sigmoid(z) if self.loss == "cross-entropy" else z

        @tf.function(input_signature=[*numbers, matrix, vector], autograph=False)
        def learn(*columns):
            n = tf.shape(columns[-1])[0]

            def step(first, _):
                *batch, labels = [column[first : first + size] for column in columns]
                with tf.GradientTape() as tape:
                    loss = loss_of(labels[:, None], model(inputs(batch), training=True))
                gradients = tape.gradient(loss, variables)
                optimizer.apply(gradients, variables)
                return first + size, loss

            def more(first, loss):
                return (first < n) & tf.math.is_finite(loss)

            return tf.while_loop(more, step, (0, tf.zeros((), dtype)), parallel_iterations=1)[1]

        # Traced here, once: what is called later is the graph itself, with nothing to be looked up.
        self._keras = model, variables, optimizer, score.get_concrete_function(), learn.get_concrete_function()

    # -- learning and predicting: the same as in NumPy, by other means ----------------------------------------------

    def _learn(self, order: np.ndarray, numbers: list[np.ndarray], features: np.ndarray, labels: np.ndarray) -> None:
        self._make_room()
        if self.stranger and numbers:
            hidden = self._strangers.random((2, len(labels))) < self.stranger
            numbers = [np.where(h, STRANGER, number) for h, number in zip(hidden, numbers, strict=True)]
        columns = [column[order] for column in (*numbers, features, labels)]
        _, variables, _, _, learn = self._keras
        loss = float(learn(*map(_tensor, columns)))
        if not (np.isfinite(loss) and np.isfinite(variables[-1].numpy()).all()):
            raise FloatingPointError(
                f"learning diverged with step_size={self._moves.step_size}: use a smaller one, and scale the features"
            )
        self.examples_learned += len(order)

    def _make_room(self) -> None:
        """Longer tables, with rows of the optimiser, where ids have arrived for which there is no row."""
        if self._keras is None:
            self._build(self._numpy_parameters(), None)
        _, variables, optimizer, _, _ = self._keras
        tables = [table.rows for table in self._tables if self.n_factors]
        if all(len(rows) == variable.shape[0] for rows, variable in zip(tables, variables, strict=False)):
            return
        parameters = [variable.numpy() for variable in variables]
        for k, rows in enumerate(tables):
            parameters[k] = np.concatenate([parameters[k], rows[len(parameters[k]) :]])
        self._build(parameters, [variable.numpy() for variable in optimizer.variables])

    def _score(self, numbers: list[np.ndarray], features: np.ndarray) -> np.ndarray:
        out = np.empty(len(features))
        score = self._keras[3]
        for first in range(0, len(out), _CHUNK):
            rows = slice(first, first + _CHUNK)
            out[rows] = score(*[_tensor(column[rows]) for column in (*numbers, features)]).numpy()
        if self.loss == "squared" and self.label_range is not None:
            out = np.clip(out, *self.label_range)
        return out

    def run(self, events: pd.DataFrame, plan: Plan, first: int, last: int) -> Any:
        """None: there is no pass over many blocks, and a replay asks for one after the other."""
        return None

    # -- looking inside --------------------------------------------------------------------------------------------

    @property
    def model(self):
        """The Keras model."""
        self._ready()
        return self._keras[0]

    @property
    def network(self):
        """The layers as they stand, copied into the NumPy network."""
        self._pull()
        return super().network

    @property
    def tables(self):
        """The embeddings of users and of items as they stand, copied."""
        self._pull()
        return super().tables

    def _pull(self) -> None:
        self._ready()
        for mine, variable in zip(self._numpy_parameters(), self._keras[1], strict=True):
            mine[: variable.shape[0]] = variable.numpy()

    def __getstate__(self) -> dict:
        state = dict(self.__dict__)
        if state.get("_keras") is not None:
            _, variables, optimizer, _, _ = state.pop("_keras")
            # Graphs cannot be stored, and are traced again; the numbers can.
            state["_arrays"] = [[v.numpy() for v in some] for some in (variables, optimizer.variables)]
        return state

    def __setstate__(self, state: dict) -> None:
        arrays = state.pop("_arrays", None)
        self.__dict__.update(state)
        if arrays is not None:
            self._build(*arrays)


def _tensor(column: np.ndarray):
    import tensorflow as tf

    return tf.constant(column)


def _keras_optimizer(keras, ours):
    # Keras rounds a Python float to float32, and leaves a NumPy number as it is.
    exact = np.float64
    if isinstance(ours, SGD):
        return keras.optimizers.SGD(exact(ours.step_size), momentum=exact(ours.momentum))
    return keras.optimizers.Adam(
        exact(ours.step_size),
        beta_1=exact(ours.decay[0]),
        beta_2=exact(ours.decay[1]),
        epsilon=exact(ours.epsilon),
    )


@contextlib.contextmanager
def _float_type(keras, dtype: str):
    before = keras.backend.floatx()
    keras.backend.set_floatx(dtype)
    try:
        yield
    finally:
        keras.backend.set_floatx(before)


def _with_room(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array, with rows of zeros behind it."""
    if value.shape == shape:
        return value
    grown = np.zeros(shape, value.dtype)
    grown[: len(value)] = value
    return grown
