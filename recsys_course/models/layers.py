"""A multilayer perceptron with its gradients, in NumPy: a whole batch at once, no loop over examples.

A batch X has a row for each example, shape (n, d). Layer l multiplies by W_l, shape (units before, units), adds
b_l, shape (units,), and bends the sum z_l with a function f_l:

    z_l = h_(l-1) W_l + b_l        h_l = f_l(z_l)        h_0 = X

Backward, delta_l is the derivative of the loss by z_l, and has its shape, (n, units):

    delta_L = dL/dz_L                              (from the loss; see :data:`LOSSES`)
    delta_l = (delta_(l+1) W_(l+1)^T) * f_l'(z_l)
    dL/dW_l = h_(l-1)^T delta_l        dL/db_l = sum over rows of delta_l

All weights and biases lie one after the other in a single vector ``theta``, and W_l and b_l are views into it. An
optimiser then works on one long array instead of many short ones, and a gradient can be compared as one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "Loss",
    "Perceptron",
    "central_differences",
    "relative_error",
    "sigmoid",
]


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), elementwise, without overflow: only the exponential of a negative number is taken.

    Taught in chapter 03a.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


class Activation(NamedTuple):
    """A function f of z, elementwise, and its derivative, which may use f(z) too: ``slope(z, f(z))``."""

    f: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray]


# Functions with names, and not lambdas: a network is pickled with the functions that it uses.
def _identity(z):
    return z


def _one(z, h):
    return np.ones_like(z)


def _sigmoid_slope(z, h):
    return h * (1 - h)


def _tanh_slope(z, h):
    return 1 - h * h


def _relu(z):
    return np.maximum(z, 0)


def _relu_slope(z, h):
    # At the kink itself the derivative is taken as 0, as TensorFlow does.
    return (z > 0).astype(z.dtype)


ACTIVATIONS = {
    "identity": Activation(_identity, _one),
    "sigmoid": Activation(sigmoid, _sigmoid_slope),
    "tanh": Activation(np.tanh, _tanh_slope),
    "relu": Activation(_relu, _relu_slope),
}


class Loss(NamedTuple):
    """``value(z, h, y)``: the mean over all labels; ``delta(z, h, y, f')``: its derivative by the last z."""

    value: Callable[..., Any]
    delta: Callable[..., np.ndarray]


def _squared_value(z, h, y):
    return np.mean((h - y) ** 2)


def _squared_delta(z, h, y, slope):
    return (2 / y.size) * (h - y) * slope(z, h)


def _cross_entropy_value(z, h, y):
    # -y log h - (1 - y) log(1 - h) with h = sigmoid(z), written in z: it never takes the log of a rounded 0.
    return np.mean(np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z))))


def _cross_entropy_delta(z, h, y, slope):
    # (h - y) / (h (1 - h)) times h (1 - h): the slope of the sigmoid cancels, and is not asked for.
    return (h - y) / y.size


LOSSES = {
    "squared": Loss(_squared_value, _squared_delta),
    "cross-entropy": Loss(_cross_entropy_value, _cross_entropy_delta),
}


class Perceptron:
    """A multilayer perceptron: values, loss, and gradients for a batch.

    Parameters
    ----------
    widths : sequence of int
        Units of the input, of each hidden layer, and of the output: ``(10, 20, 10, 1)``.
    activation : str or Activation
        Of the hidden layers; a name in :data:`ACTIVATIONS` or a pair of functions of your own.
    output : str or Activation, optional
        Of the last layer: unless told, sigmoid for cross-entropy and identity for squared error.
    loss : {"squared", "cross-entropy"}
        Mean over all labels of (prediction - label)^2, or of the binary cross-entropy, fused with the sigmoid.
    initialization : {"glorot", "he"} or float
        Weights uniform with variance 2 / (units before + units), normal with variance 2 / units before, or normal
        with the given standard deviation; biases start at 0.
    dtype : numpy dtype
        float64 or float32.
    rng : numpy.random.Generator
        Draws the weights.

    Raises
    ------
    ValueError
        A setting is not one of those above, or the shapes of X and y do not fit.

    Attributes
    ----------
    theta : ndarray, shape (n_parameters,)
        All parameters: W_1 row by row, b_1, W_2, b_2, ...
    weights, biases : list of ndarray
        Views into ``theta``: shapes (units before, units) and (units,).

    Notes
    -----
    Rumelhart, Hinton and Williams, Nature 323, 1986, 10.1038/323533a0. Glorot and Bengio, AISTATS 2010; He, Zhang,
    Ren and Sun, ICCV 2015, 10.1109/ICCV.2015.123. Taught in chapter 03a.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> network = Perceptron((10, 20, 10, 1), activation="sigmoid", loss="cross-entropy", rng=rng)
    >>> X, y = rng.normal(size=(5, 10)), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    >>> loss, gradient = network.loss_and_gradient(X, y)
    >>> gradient.shape == network.theta.shape == (10 * 20 + 20 + 20 * 10 + 10 + 10 * 1 + 1,)
    True
    >>> estimate = central_differences(lambda theta: network.loss(X, y, theta), network.theta)
    >>> bool(relative_error(gradient, estimate) < 1e-8)
    True
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: str | Activation = "relu",
        output: str | Activation | None = None,
        loss: str = "squared",
        initialization: str | float = "glorot",
        dtype: Any = np.float64,
        rng: np.random.Generator,
    ) -> None:
        self.widths = tuple(int(w) for w in widths)
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths must name an input and an output of at least one unit, not {tuple(widths)}")
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {loss!r}")
        if loss == "cross-entropy" and output not in (None, "sigmoid"):
            raise ValueError("the cross-entropy is fused with a sigmoid: leave output to it")
        self.loss_name = loss
        last = output or ("sigmoid" if loss == "cross-entropy" else "identity")
        self.activations = [_activation(activation)] * (len(self.widths) - 2) + [_activation(last)]
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float64 or float32, not {self.dtype}")
        sizes = [(a + 1) * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        self.theta = np.zeros(sum(sizes), self.dtype)
        self._cut()
        for W in self.weights:
            W[:] = _draw(initialization, W.shape, rng)

    def _cut(self) -> None:
        self.weights, self.biases = self.split(self.theta)

    def split(self, theta: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Views of a vector of all parameters, or of their gradient, as weights and biases."""
        weights, biases, start = [], [], 0
        for a, b in zip(self.widths, self.widths[1:], strict=False):
            weights.append(theta[start : start + a * b].reshape(a, b))
            biases.append(theta[start + a * b : start + (a + 1) * b])
            start += (a + 1) * b
        return weights, biases

    # A pickle would store theta and its views as strangers to each other: store theta alone.
    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name not in ("weights", "biases")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._cut()

    def forward(self, X: np.ndarray, theta: np.ndarray | None = None) -> tuple[list, list]:
        """All z_l, and all h_l with h_0 = X: shapes (n, units of l)."""
        weights, biases = (self.weights, self.biases) if theta is None else self.split(theta)
        zs: list[np.ndarray] = []
        hs = [self._rows(X)]
        for W, b, activation in zip(weights, biases, self.activations, strict=True):
            z = hs[-1] @ W
            z += b
            zs.append(z)
            hs.append(activation.f(z))
        return zs, hs

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Shape (n, units of the output)."""
        return self.forward(X)[1][-1]

    def loss(self, X: np.ndarray, y: np.ndarray, theta: np.ndarray | None = None) -> float:
        """The mean loss over the batch; at another point than the present one if ``theta`` is given."""
        zs, hs = self.forward(X, theta)
        return float(LOSSES[self.loss_name].value(zs[-1], hs[-1], self._labels(y, zs[-1])))

    def loss_and_gradient(self, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss and its gradient by ``theta``, shape (n_parameters,)."""
        loss, gradient, _ = self.backward(X, y)
        return loss, gradient

    def backward(
        self, X: np.ndarray, y: np.ndarray, *, inputs: bool = False
    ) -> tuple[float, np.ndarray, np.ndarray | None]:
        """As :meth:`loss_and_gradient`, and with ``inputs`` also the gradient by X, shape (n, d): for embeddings."""
        zs, hs = self.forward(X)
        y = self._labels(y, zs[-1])
        loss = LOSSES[self.loss_name]
        gradient = np.empty_like(self.theta)
        to_weights, to_biases = self.split(gradient)
        delta = loss.delta(zs[-1], hs[-1], y, self.activations[-1].slope)
        for layer in reversed(range(len(zs))):
            np.matmul(hs[layer].T, delta, out=to_weights[layer])
            delta.sum(axis=0, out=to_biases[layer])
            if layer > 0:
                slope = self.activations[layer - 1].slope(zs[layer - 1], hs[layer])
                delta = (delta @ self.weights[layer].T) * slope
        by_inputs = delta @ self.weights[0].T if inputs else None
        return float(loss.value(zs[-1], hs[-1], y)), gradient, by_inputs

    def _rows(self, X: np.ndarray) -> np.ndarray:
        X = np.asarray(X, self.dtype)
        if X.ndim != 2 or X.shape[1] != self.widths[0] or len(X) == 0:
            raise ValueError(f"X has shape {X.shape}: give (n, {self.widths[0]}), a row for each of n > 0 examples")
        return X

    def _labels(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        y = np.asarray(y, self.dtype)
        # (n,) against (n, 1) would broadcast to (n, n): only a network of one output takes labels of shape (n,).
        if y.ndim == 1 and z.shape == (len(y), 1):
            y = y[:, None]
        if y.shape != z.shape:
            raise ValueError(f"labels have shape {y.shape}: give {z.shape}, one for each prediction")
        return y


def _activation(which: str | Activation) -> Activation:
    if isinstance(which, Activation):
        return which
    if which not in ACTIVATIONS:
        raise ValueError(f"an activation must be one of {', '.join(ACTIVATIONS)}, not {which!r}")
    return ACTIVATIONS[which]


def _draw(how: str | float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    before, units = shape
    if how == "glorot":
        limit = np.sqrt(6 / (before + units))  # a uniform number within the limit has variance limit^2 / 3
        return rng.uniform(-limit, limit, size=shape)
    if how == "he":
        return rng.normal(0, np.sqrt(2 / before), size=shape)
    if isinstance(how, str) or not 0 <= how < np.inf:
        raise ValueError(f"initialization must be 'glorot', 'he' or a standard deviation, not {how!r}")
    return rng.normal(0, how, size=shape)


def central_differences(
    function: Callable[[np.ndarray], float], theta: np.ndarray, *, step: float = 1e-5
) -> np.ndarray:
    """Estimate a gradient without any calculus: (f(theta + step e) - f(theta - step e)) / (2 step) for each e.

    The error falls with the square of the step until rounding takes over, near a step of 1e-5 for numbers around 1 in
    float64; chapter 03a draws it. Costs two calls of ``function`` per parameter.

    Taught in chapter 03a.

    >>> central_differences(lambda t: float(t @ t), np.array([1.0, -2.0])).round(6)
    array([ 2., -4.])
    """
    theta = np.array(theta, np.float64)
    out = np.empty_like(theta)
    for k in range(theta.size):
        up, down = theta.copy(), theta.copy()
        up[k] += step
        down[k] -= step
        out[k] = (function(up) - function(down)) / (up[k] - down[k])  # the step as it was rounded
    return out


def relative_error(a: np.ndarray, b: np.ndarray, *, floor: float = 1e-8) -> float:
    """Length of a - b beside the lengths of both, compared as whole vectors: |a - b| / (|a| + |b| + floor).

    Taught in chapter 03a.

    >>> relative_error(np.array([3.0, 4.0]), np.array([3.0, 4.0]))
    0.0
    """
    a, b = np.ravel(a), np.ravel(b)
    if a.shape != b.shape:
        raise ValueError(f"the vectors have {a.size} and {b.size} numbers: compare gradients of the same parameters")
    return float(np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b) + floor))
