"""Labels that come late: what a learner may see when, and how to correct for what it cannot see yet.

An exposure is known at once; that it led to a purchase is known when the purchase comes, and that it did not is never
known for certain. A learner therefore sees *lessons*, rows of a log with a label and a time, which are not the log's
own rows and labels: :func:`waiting` makes one lesson of each exposure, when a window has closed, and :func:`at_once`
makes one of each exposure with the label 0, and a second one with the label 1 of each purchase when it comes.
:class:`OnlineLogistic` learns lessons in the order of their times and predicts each exposure from those before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

__all__ = ["CORRECTIONS", "Lessons", "OnlineLogistic", "at_once", "fake_negative_weights", "undo_reentry", "waiting"]

CORRECTIONS = ("none", "weights", "take back")
"""What :class:`OnlineLogistic` does about fake negatives."""


@dataclass(frozen=True)
class Lessons:
    """What a learner is told, in order of time. Build it with :func:`waiting` or :func:`at_once`.

    Attributes
    ----------
    rows : int64 ndarray, shape (n_lessons,)
        Row of the log that a lesson is about.
    labels : float64 ndarray, shape (n_lessons,)
        What the lesson says: 1 for a purchase, 0 for none, or none yet.
    times : float64 ndarray, shape (n_lessons,)
        When it can be learned, unix seconds, in order; lessons of one time are in the order of their rows.
    """

    rows: np.ndarray
    labels: np.ndarray
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def waiting(timestamps, purchase_delay, window: float) -> Lessons:
    """One lesson an exposure, when a window has closed: 1 if the purchase came within it, else 0.

    Parameters
    ----------
    timestamps : array, shape (n_rows,)
        Of the exposures, unix seconds, in order.
    purchase_delay : array, shape (n_rows,)
        Seconds from exposure to purchase, NaN or infinity without one.
    window : float
        Seconds. A purchase that comes later is never learned; with 0 only one of the very instant is.

    Raises
    ------
    ValueError
        Shapes differ, times are not in order, or a delay or the window is negative.

    Notes
    -----
    Taught in chapter 10b.

    Examples
    --------
    >>> lessons = waiting([0, 10, 20], [30.0, np.nan, 500.0], window=100)
    >>> lessons.rows.tolist(), lessons.labels.tolist(), lessons.times.tolist()
    ([0, 1, 2], [1.0, 0.0, 0.0], [100.0, 110.0, 120.0])
    """
    timestamps, late = _check(timestamps, purchase_delay)
    if not 0 <= window < np.inf:
        raise ValueError(f"window is {window}: give a number of seconds, 0 or more, that ends some day")
    return Lessons(np.arange(len(late)), (late <= window).astype(float), timestamps + float(window))


def at_once(timestamps, purchase_delay) -> Lessons:
    """Each exposure as a lesson with the label 0 when it happens, each purchase as one with the label 1 when it comes.

    The first lesson about an exposure that ends in a purchase is a *fake negative*. Parameters and errors are those of
    :func:`waiting`.

    Notes
    -----
    Ktena et al., RecSys 2019, 10.1145/3298689.3347002, the stream of their "fake negative" losses. Taught in
    chapter 10b.

    Examples
    --------
    >>> lessons = at_once([0, 10, 20], [15.0, np.nan, 500.0])
    >>> lessons.rows.tolist(), lessons.labels.tolist(), lessons.times.tolist()
    ([0, 1, 0, 2, 2], [0.0, 0.0, 1.0, 0.0, 1.0], [0.0, 10.0, 15.0, 20.0, 520.0])
    """
    timestamps, late = _check(timestamps, purchase_delay)
    bought = np.flatnonzero(np.isfinite(late))
    rows = np.concatenate([np.arange(len(late)), bought])
    labels = np.repeat([0.0, 1.0], [len(late), len(bought)])
    times = np.concatenate([timestamps.astype(float), timestamps[bought] + late[bought]])
    # An exposure comes before its purchase even where both have one time.
    order = np.lexsort((rows, labels, times))
    return Lessons(rows[order], labels[order], times[order])


def _check(timestamps, purchase_delay) -> tuple[np.ndarray, np.ndarray]:
    timestamps, late = np.asarray(timestamps), np.asarray(purchase_delay, float)
    if timestamps.shape != late.shape or timestamps.ndim != 1:
        raise ValueError(
            f"timestamps have shape {timestamps.shape}, purchase_delay {late.shape}: give one of each a row"
        )
    if (np.diff(timestamps) < 0).any():
        row = int(np.argmax(np.diff(timestamps) < 0)) + 1
        raise ValueError(f"timestamps go back at row {row}: sort the exposures by time")
    if (late < 0).any():
        raise ValueError(
            f"purchase_delay of row {int(np.argmax(late < 0))} is negative: no purchase precedes its exposure"
        )
    return timestamps, np.where(np.isnan(late), np.inf, late)


def fake_negative_weights(p, labels) -> np.ndarray:
    """Weights that make up for the fake negatives of :func:`at_once`: 1 + p for a 1, (1 + p)(1 - p) for a 0.

    Parameters
    ----------
    p : array
        Probability of a purchase, as the model has it now; between 0 and 1.
    labels : array of the same shape
        0 or 1.

    Raises
    ------
    ValueError
        A probability or a label is none.

    Notes
    -----
    Each weight is the share of its label among true labels over that among the lessons, p and 1 - p over p / (1 + p)
    and 1 / (1 + p). Ktena et al., RecSys 2019, 10.1145/3298689.3347002. Derived in chapter 10b.

    >>> fake_negative_weights([0.5, 0.5], [1, 0])
    array([1.5 , 0.75])
    """
    p, labels = np.asarray(p, float), np.asarray(labels, float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p must hold probabilities, between 0 and 1")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise ValueError("labels must be 0 or 1")
    return np.where(labels == 1.0, 1 + p, (1 + p) * (1 - p))


def undo_reentry(b, *, highest: float = 0.999) -> np.ndarray:
    """The probability of a purchase from the share b of purchases among the lessons of :func:`at_once`: b / (1 - b).

    A share above one half has no such probability; a model that is not quite right says such things, and then the
    answer is ``highest``.

    Raises
    ------
    ValueError
        A share is not between 0 and 1.

    Notes
    -----
    Of n exposures np come again, so b = np / (n + np) = p / (1 + p). Ktena et al., RecSys 2019,
    10.1145/3298689.3347002. Derived in chapter 10b.

    >>> undo_reentry([0.0, 0.2, 0.6])
    array([0.   , 0.25 , 0.999])
    """
    b = np.asarray(b, float)
    if not ((b >= 0) & (b <= 1)).all():
        raise ValueError("b must hold shares, between 0 and 1")
    highest_b = highest / (1 + highest)
    return np.where(b >= highest_b, highest, b / (1 - np.minimum(b, highest_b)))


class OnlineLogistic:
    """Logistic regression on features that are there or not, learned one lesson at a time.

    Parameters
    ----------
    n_weights : int
        How many features there are.
    step_size : float
    correction : {"none", "weights", "take back"}
        For the lessons of :func:`at_once`. "weights" are those of :func:`fake_negative_weights`, from the model's
        present prediction; "take back" learns a purchase as what it is, the label 1 in the place of a 0 that was
        learned before: the step of the 1 less that of the 0.

    Attributes
    ----------
    weights : float64 ndarray, shape (n_weights,)

    Notes
    -----
    With f = sigmoid(sum of the weights of a row's features), a lesson y moves each of them by step * (y - f), the
    gradient of its log loss. Taught in chapter 10b.

    Examples
    --------
    >>> model = OnlineLogistic(1, step_size=0.5)
    >>> told = waiting([0, 1, 2, 3], [0.0, 0.0, 0.0, 0.0], window=0)
    >>> model.run(told, np.zeros((4, 1), int), np.arange(4)).round(2)
    array([0.5 , 0.56, 0.62, 0.66])
    """

    def __init__(self, n_weights: int, *, step_size: float, correction: str = "none") -> None:
        if n_weights < 1:
            raise ValueError(f"n_weights must be at least 1, not {n_weights}")
        if not 0 < step_size < np.inf:
            raise ValueError(f"step_size must be a finite number above 0, not {step_size}")
        if correction not in CORRECTIONS:
            raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, not {correction!r}")
        self.step_size, self.correction = step_size, correction
        self.weights = np.zeros(n_weights)

    def run(self, lessons: Lessons, features, timestamps) -> np.ndarray:
        """Predict each row of a log from the lessons that were there before its instant.

        Parameters
        ----------
        lessons : Lessons
        features : int array, shape (n_rows, n_active)
            Numbers of the features that each row has.
        timestamps : array, shape (n_rows,)
            Of the rows, in order.

        Returns
        -------
        float64 ndarray, shape (n_rows,)
            Predictions. Lessons that come after the last row are not learned.

        Raises
        ------
        ValueError
            A feature has a number that the model does not have, or a lesson is about no row.
        """
        features = np.ascontiguousarray(features, dtype=np.int64)
        if features.ndim != 2 or len(features) != len(timestamps):
            raise ValueError(f"features have shape {features.shape}: give (n_rows, n_active), {len(timestamps)} rows")
        if features.size and not 0 <= features.min() <= features.max() < len(self.weights):
            raise ValueError(f"a feature's number lies between 0 and {len(self.weights) - 1}")
        if len(lessons) and not 0 <= lessons.rows.min() <= lessons.rows.max() < len(features):
            raise ValueError("a lesson is about a row that is not in the log")
        out = np.empty(len(features))
        _run(
            lessons.rows,
            lessons.labels,
            lessons.times,
            np.asarray(timestamps, float),
            features,
            self.weights,
            self.step_size,
            CORRECTIONS.index(self.correction),
            out,
        )
        return out


@numba.njit(cache=True)
def _predict(weights, active):
    z = 0.0
    for k in active:
        z += weights[k]
    return 1.0 / (1.0 + np.exp(-z))


@numba.njit(cache=True)
def _run(rows, labels, times, timestamps, features, weights, step_size, correction, out):
    lesson = 0
    for row in range(len(timestamps)):
        while lesson < len(rows) and times[lesson] < timestamps[row]:
            active = features[rows[lesson]]
            y = labels[lesson]
            f = _predict(weights, active)
            error = y - f
            if correction == 1:
                error *= (1.0 + f) if y == 1.0 else (1.0 + f) * (1.0 - f)
            elif correction == 2 and y == 1.0:
                error = 1.0  # (1 - f) - (0 - f)
            for k in active:
                weights[k] += step_size * error
            lesson += 1
        out[row] = _predict(weights, features[row])
