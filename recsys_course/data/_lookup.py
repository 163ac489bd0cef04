"""Random numbers that can be looked up: the same seed and key give the same number, in any order, at any time.

A simulated reader has tastes at every instant. Storing them all would take memory that grows with time, and
drawing them one after another would make the tastes of one reader depend on who came before. A hash does
neither: the number *is* a function of (seed, key), as a page of a book is a function of its page number.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Ints", "normal", "uniform", "wander"]

Ints = int | np.ndarray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _scramble(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every input bit flips half of the output bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _state(seed: int, keys: tuple[Ints, ...]) -> np.ndarray:
    """64 well mixed bits for each broadcast combination of the keys."""
    state = np.full((1,), seed, dtype=np.uint64)  # an array, because NumPy warns when a scalar wraps round
    for key in keys:
        state = _scramble(state + _GOLDEN * (np.atleast_1d(key).astype(np.int64).view(np.uint64) + np.uint64(1)))
    return state


def _to_unit(bits: np.ndarray) -> np.ndarray:
    return ((bits >> np.uint64(11)) + 0.5) * 2.0**-53


def uniform(seed: int, *keys: Ints) -> np.ndarray:
    """Numbers in (0, 1), one for each broadcast combination of the integer ``keys``.

    >>> uniform(7, 1, np.array([5, 6])) == uniform(7, 1, np.array([5, 6]))
    array([ True,  True])
    """
    return _to_unit(_state(seed, keys))


def normal(seed: int, *keys: Ints) -> np.ndarray:
    """Standard normal numbers, one for each broadcast combination of the integer ``keys`` (Box and Muller 1958)."""
    state = _state(seed, keys)
    radius = np.sqrt(-2 * np.log(_to_unit(_scramble(state + _GOLDEN))))
    return radius * np.cos(2 * np.pi * _to_unit(_scramble(state + _GOLDEN + _GOLDEN)))


def wander(seed: int, position: np.ndarray, *keys: Ints) -> np.ndarray:
    """A standard normal number that changes smoothly as ``position`` grows, and is unrelated to itself two steps on.

    Between two whole positions it moves on an arc from one random number to the next,
    cos(phi) a + sin(phi) b with phi from 0 to a quarter turn, so its variance stays 1 all the way. Within one
    arc, values at a distance of s have correlation cos(pi s / 2); averaged over where on the arc one starts,
    (1 - s/2) cos(pi s/2) + sin(pi s/2) / pi for s up to 1.

    >>> wander(7, np.array([2.0]), 1) == normal(7, 1, 2)
    array([ True])
    """
    knot = np.floor(position)
    phi = (position - knot) * (np.pi / 2)
    knot = knot.astype(np.int64)
    return np.cos(phi) * normal(seed, *keys, knot) + np.sin(phi) * normal(seed, *keys, knot + 1)
