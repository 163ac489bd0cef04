"""How parameters move, given a gradient: SGD, momentum and Adam, with Keras's conventions.

An optimiser is handed lists of parameters and of gradients, in the same order each time, and changes the parameters
in place. What it remembers of a parameter (its *slots*) has the parameter's shape and starts at 0. A table of which
few rows were used gives its gradient as :class:`RowGradient`, those rows alone.

A table may grow between two steps: its slots grow with it, and start at 0 for new rows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsys_course.models.settings import below_one, finite

__all__ = ["SGD", "Adam", "Optimizer", "RowGradient"]


class RowGradient(NamedTuple):
    """The gradient of a table that is 0 but in some rows: ``rows`` (m,), each once, and ``values`` (m, width).

    Where a row was used several times in a batch, ``values`` holds the sum of what its uses contribute, and ``squares``
    (m, width), if given, the sum of their squares: :class:`Adam` says what for.
    """

    rows: np.ndarray
    values: np.ndarray
    squares: np.ndarray | None = None


class Optimizer(ABC):
    """Moves parameters in place. Taught in chapter 03b.

    Attributes
    ----------
    step_size : float
        May be changed between steps.
    steps : int
        How many steps it has made.
    """

    n_slots = 0

    def __init__(self, step_size: float) -> None:
        finite("step_size", step_size, positive=True)
        # A Python float takes the dtype of the array it meets; a NumPy one would turn float32 into float64.
        self.step_size = float(step_size)
        self.steps = 0
        self._slots: list[list[np.ndarray]] = []

    def step(self, parameters: Sequence[np.ndarray], gradients: Sequence[np.ndarray | RowGradient | None]) -> None:
        """One step on all parameters, in place; a gradient of None leaves its parameter alone, memory and all."""
        if not self._slots:
            self._slots = [[np.zeros_like(p) for _ in range(self.n_slots)] for p in parameters]
        if not len(parameters) == len(gradients) == len(self._slots):
            raise ValueError(
                f"{len(parameters)} parameters, {len(gradients)} gradients, and {len(self._slots)} the step before: "
                "give the same parameters in the same order each time"
            )
        self.steps += 1
        for k, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            if gradient is None:
                continue
            slots = self._slots[k] = [_as_long(slot, parameter) for slot in self._slots[k]]
            self._move(parameter, gradient, *slots)

    @abstractmethod
    def _move(self, parameter: np.ndarray, gradient: np.ndarray | RowGradient, *slots: np.ndarray) -> None: ...


class SGD(Optimizer):
    """Gradient descent on the batch at hand: theta <- theta - step_size g; with momentum, v <- momentum v - step_size g
    and theta <- theta + v.

    Parameters
    ----------
    step_size : float
    momentum : float
        In [0, 1): how much of the last move is made again.
    lazy : bool
        Whether rows of a table that are not in the batch stay where they are; unless told they glide on with their
        momentum, as in Keras.

    Raises
    ------
    ValueError
        A setting is out of range.

    Notes
    -----
    Polyak, USSR Computational Mathematics and Mathematical Physics 4(5), 1964, 10.1016/0041-5553(64)90137-5. Taught in
    chapter 03b.

    Examples
    --------
    >>> theta = np.array([1.0])
    >>> optimizer = SGD(0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.step([theta], [2 * theta])  # the gradient of theta squared
    >>> theta
    array([0.54])
    """

    def __init__(self, step_size: float = 0.01, *, momentum: float = 0.0, lazy: bool = False) -> None:
        super().__init__(step_size)
        below_one("momentum", momentum)
        self.momentum = float(momentum)
        self.lazy = lazy
        self.n_slots = 1 if momentum else 0

    def _move(self, parameter, gradient, *slots):
        if isinstance(gradient, RowGradient):
            rows, g, _ = gradient
            if not slots:
                parameter[rows] -= self.step_size * g
            elif self.lazy:
                v = slots[0][rows] * self.momentum - self.step_size * g
                slots[0][rows] = v
                parameter[rows] += v
            else:
                v = slots[0]
                v *= self.momentum
                v[rows] -= self.step_size * g
                parameter += v
        elif slots:
            v = slots[0]
            v *= self.momentum
            v -= self.step_size * gradient
            parameter += v
        else:
            parameter -= self.step_size * gradient


class Adam(Optimizer):
    """Adaptive moments: m and v are running means of g and g^2, and theta moves by about step_size m / sqrt(v).

    Parameters
    ----------
    step_size : float
    decay : (float, float)
        beta_1 and beta_2: how much of m and of v is kept in a step.
    epsilon : float
        Added to sqrt(v) *before* the correction of the start, as Keras does; the paper adds it after. The two agree up
        to the factor sqrt(1 - beta_2^t) on epsilon.
    lazy : bool
        Whether rows of a table that are not in the batch are left alone, moments and all; unless told their moments
        fade and they move with what is left of m, as in Keras, at the price of a pass over the whole table.
    squares : {"apart", "summed"}
        What enters v of a table's row that a batch uses several times: the sum of the squares of its parts, as in Keras
        3 with TensorFlow, or the square of their sum, which is the square of the gradient.

    Raises
    ------
    ValueError
        A setting is out of range.

    Notes
    -----
    Kingma and Ba, ICLR 2015, arXiv 1412.6980: the form at the end of its section 2. Taught in chapter 03b.

    Examples
    --------
    >>> theta = np.array([1.0, -1.0])
    >>> Adam(0.1).step([theta], [np.array([0.001, -1000.0])])  # the first step: the sign of g, whatever its size
    >>> theta.round(3)
    array([ 0.9, -0.9])
    """

    n_slots = 2

    def __init__(
        self,
        step_size: float = 0.001,
        *,
        decay: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-7,
        lazy: bool = False,
        squares: str = "apart",
    ) -> None:
        super().__init__(step_size)
        if squares not in ("apart", "summed"):
            raise ValueError(f"squares must be 'apart' or 'summed', not {squares!r}")
        if not all(0 <= beta < 1 for beta in decay) or not epsilon > 0:
            raise ValueError(f"decay must lie in [0, 1) and epsilon above 0, not {decay} and {epsilon}")
        self.decay = (float(decay[0]), float(decay[1]))
        self.epsilon = float(epsilon)
        self.lazy = lazy
        self.squares = squares

    def _move(self, parameter, gradient, *slots):
        m, v = slots
        beta_1, beta_2 = self.decay
        alpha = self.step_size * math.sqrt(1 - beta_2**self.steps) / (1 - beta_1**self.steps)
        if isinstance(gradient, RowGradient):
            rows, g, squares = gradient
            if squares is None or self.squares == "summed":
                squares = g * g
            if self.lazy:
                m_rows, v_rows = m[rows], v[rows]
                m_rows += (1 - beta_1) * (g - m_rows)
                v_rows += (1 - beta_2) * (squares - v_rows)
                m[rows], v[rows] = m_rows, v_rows
                parameter[rows] -= alpha * m_rows / (np.sqrt(v_rows) + self.epsilon)
                return
            m *= beta_1
            m[rows] += (1 - beta_1) * g
            v *= beta_2
            v[rows] += (1 - beta_2) * squares
        else:
            m += (1 - beta_1) * (gradient - m)
            v += (1 - beta_2) * (gradient * gradient - v)
        parameter -= alpha * m / (np.sqrt(v) + self.epsilon)


def _as_long(slot: np.ndarray, parameter: np.ndarray) -> np.ndarray:
    if slot.shape == parameter.shape:
        return slot
    if len(slot) > len(parameter) or slot.shape[1:] != parameter.shape[1:]:
        raise ValueError(f"a parameter of shape {slot.shape} came back as {parameter.shape}: only rows may be added")
    grown = np.zeros_like(parameter)
    grown[: len(slot)] = slot
    return grown
