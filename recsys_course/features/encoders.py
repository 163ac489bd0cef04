"""Ids as small numbers, for catalogues that grow.

scikit-learn's ``OrdinalEncoder`` numbers ids in sorted order and cannot learn more of them later: a new id would shift
the numbers of the old ones, and with them the rows of an embedding table. This one numbers in order of arrival.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

__all__ = ["IdEncoder"]


class IdEncoder(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Number the ids of each column 1, 2, 3, ... in the order in which they arrive; 0 is for ids not met.

    ``fit`` forgets what was, ``partial_fit`` adds; no id ever changes its number. Row 0 of an embedding table that is
    indexed by these numbers is what is known of a stranger.

    Attributes
    ----------
    ids_ : list of ndarray
        For each column its ids in order of arrival; the number of an id is its place in there, plus 1.
    n_numbers_ : int64 ndarray, shape (n_columns,)
        How many numbers each column uses, 0 counted: the number of rows that an embedding table needs.

    Raises
    ------
    ValueError
        An id is missing or infinite, or ``transform`` meets other columns than ``fit`` did.

    Notes
    -----
    X has shape (n_rows, n_columns), a DataFrame or an array of numbers or strings; ``transform`` gives int64 of the
    same shape. It follows scikit-learn's interface and passes all of its estimator checks. Taught in chapter 02b.

    Examples
    --------
    >>> day_1, day_2 = pd.DataFrame({"item": ["tea", "jam"]}), pd.DataFrame({"item": ["rye", "tea"]})
    >>> encoder = IdEncoder().fit(day_1)
    >>> encoder.transform(day_2).ravel()
    array([0, 1])
    >>> encoder.partial_fit(day_2).transform(day_2).ravel()
    array([3, 1])
    >>> encoder.n_numbers_
    array([4])
    """

    _number: list[dict[Hashable, int]]

    def fit(self, X, y=None) -> IdEncoder:
        """Number the ids of X, and no others."""
        return self._learn(X, reset=True)

    def partial_fit(self, X, y=None) -> IdEncoder:
        """Number the ids of X that have no number yet."""
        return self._learn(X, reset=not hasattr(self, "_number"))

    def transform(self, X) -> np.ndarray:
        """The numbers of the ids, 0 for those that have none."""
        check_is_fitted(self, "ids_")
        columns = self._columns(X, reset=False)
        out = np.empty((len(columns[0]), len(columns)), dtype=np.int64)
        for j, (column, number) in enumerate(zip(columns, self._number, strict=True)):
            code, distinct = _distinct(column)
            found = np.fromiter((number.get(name, 0) for name in distinct), dtype=np.int64, count=len(distinct))
            out[:, j] = found[code]
        return out

    @property
    def ids_(self) -> list[np.ndarray]:
        if not hasattr(self, "_number"):
            raise AttributeError("ids_ is there after fit")
        return [np.array(list(number)) for number in self._number]

    @property
    def n_numbers_(self) -> np.ndarray:
        if not hasattr(self, "_number"):
            raise AttributeError("n_numbers_ is there after fit")
        return np.array([len(number) + 1 for number in self._number])

    def _learn(self, X, *, reset: bool) -> IdEncoder:
        columns = self._columns(X, reset=reset)
        numbers = [{} for _ in columns] if reset else self._number
        for column, number in zip(columns, numbers, strict=True):
            for name in _distinct(column)[1]:
                number.setdefault(name, len(number) + 1)
        self._number = numbers
        return self

    def _columns(self, X, *, reset: bool) -> list[np.ndarray]:
        """Each column on its own: an array of integers beside strings, made into one array, would be strings."""
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            for name, missing in X.isna().any().items():
                if missing:
                    raise ValueError(f"column {name!r} of X contains a missing id (None or NaN): clean it first")
            columns = (X.iloc[:, j] for j in range(X.shape[1]))
            return [check_array(column, ensure_2d=False, dtype=None, input_name="X") for column in columns]
        X = validate_data(self, X, reset=reset, dtype=None)
        if X.dtype == object and pd.isna(X).any():
            raise ValueError("X contains a missing id (None or NaN): clean it first")
        return list(X.T)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _distinct(column: np.ndarray) -> tuple[np.ndarray, list]:
    """For each row the place of its id among the distinct ones, which stand in order of arrival."""
    code, distinct = pd.factorize(column)
    return code, distinct.tolist()
