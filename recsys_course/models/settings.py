"""Checks of settings that models share: what is out of range is refused by name when a model is made."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["at_least", "below_one", "finite", "float_type"]


def at_least(name: str, value: float, least: float) -> None:
    """Raise a ValueError that names the setting unless ``value`` is at least ``least``.

    >>> at_least("epochs", 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: epochs must be at least 1, not 0
    """
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def finite(name: str, value: float, *, positive: bool = False) -> None:
    """Raise a ValueError that names the setting unless ``value`` is a finite number of at least, or above, 0.

    >>> finite("alpha", 0.0, positive=True)
    Traceback (most recent call last):
    ...
    ValueError: alpha must be a finite number above 0, not 0.0
    """
    if not (value > 0 if positive else value >= 0) or value == np.inf:
        raise ValueError(f"{name} must be a finite number {'above' if positive else 'of at least'} 0, not {value}")


def below_one(name: str, value: float) -> None:
    """Raise a ValueError that names the setting unless ``value`` is at least 0 and below 1.

    >>> below_one("forget", 1.0)
    Traceback (most recent call last):
    ...
    ValueError: forget must be at least 0 and below 1, not 1.0
    """
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {value}")


def float_type(dtype: Any) -> np.dtype:
    """The numpy dtype, of which 32 and 64 bits are accepted.

    >>> float_type("float16")
    Traceback (most recent call last):
    ...
    ValueError: dtype must be float32 or float64, not float16
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, not {np.dtype(dtype)}")
    return np.dtype(dtype)
