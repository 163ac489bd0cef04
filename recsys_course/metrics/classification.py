"""How good decisions and probabilities of yes and no are: what 05a calls the classifier's view.

``decisions`` are 0 or 1, ``probabilities`` lie between 0 and 1, ``scores`` are any numbers of which only the order
counts. Labels come first, as in :mod:`recsys_course.metrics.losses`. What would be 0/0 (the precision of one who never
says yes, the AUC where all labels are equal) has no value, and is NaN: a zero would be an opinion, and would pass into
a mean unseen. The functions keep their textbook names, so use them with the name of the module:
``classification.recall`` judges decisions, :func:`recsys_course.metrics.ranking.recall` judges lists.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from recsys_course.metrics.losses import _pair, check_probabilities

__all__ = [
    "Confusion",
    "accuracy",
    "auc",
    "calibration_error",
    "calibration_table",
    "confusion",
    "f1",
    "precision",
    "recall",
]


class Confusion(NamedTuple):
    """How many rows fell into each of the four cases."""

    true_yes: int
    false_yes: int
    false_no: int
    true_no: int


def confusion(labels, decisions) -> Confusion:
    """Count the four cases of a label and a decision, both 0 or 1. Taught in chapter 05a.

    Raises
    ------
    ValueError
        Shapes differ, there are no rows, or something is neither 0 nor 1. A probability is no decision: comparing it
        with a label for equality is a mistake that raises nothing by itself.

    Examples
    --------
    >>> confusion([1, 0, 1, 0, 0], [1, 1, 1, 0, 0])
    Confusion(true_yes=2, false_yes=1, false_no=0, true_no=2)
    """
    labels, decisions = _pair(labels, decisions)
    for name, values in (("labels", labels), ("decisions", decisions)):
        if not np.isin(values, [0.0, 1.0]).all():
            raise ValueError(f"{name} must be 0 or 1: compare probabilities with a threshold first")
    yes, said = labels == 1, decisions == 1
    counts = (yes & said, ~yes & said, yes & ~said, ~yes & ~said)
    return Confusion(*(int(case.sum()) for case in counts))


def accuracy(labels, decisions) -> float:
    """Share of decisions that were right. Taught in chapter 05a.

    >>> accuracy([1, 0, 1, 0, 0], [1, 1, 1, 0, 0])
    0.8
    """
    c = confusion(labels, decisions)
    return (c.true_yes + c.true_no) / sum(c)


def precision(labels, decisions) -> float:
    """Share of the yeses said that were right; NaN if none was said. Taught in chapter 05a.

    >>> round(precision([1, 0, 1, 0, 0], [1, 1, 1, 0, 0]), 3)
    0.667
    """
    c = confusion(labels, decisions)
    return _ratio(c.true_yes, c.true_yes + c.false_yes)


def recall(labels, decisions) -> float:
    """Share of the yeses that were found; NaN if there is none. Taught in chapter 05a.

    >>> recall([1, 0, 1, 0, 0], [1, 1, 1, 0, 0])
    1.0
    """
    c = confusion(labels, decisions)
    return _ratio(c.true_yes, c.true_yes + c.false_no)


def f1(labels, decisions) -> float:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); NaN if no yes was said and there is none.

    Taught in chapter 05a.

    >>> f1([1, 0, 1, 0, 0], [1, 1, 1, 0, 0])
    0.8
    """
    c = confusion(labels, decisions)
    return _ratio(2 * c.true_yes, 2 * c.true_yes + c.false_yes + c.false_no)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def auc(labels, scores) -> float:
    """Chance that a row with a yes is scored above one with a no, equal scores counting one half; NaN without both.

    Parameters
    ----------
    labels : array of 0 and 1, shape (n,)
    scores : array of finite numbers, shape (n,)
        Only their order counts.

    Notes
    -----
    With mean ranks r (from 1) of the n1 rows with a yes, AUC = (sum of r - n1 (n1 + 1) / 2) / (n1 n0): the statistic of
    Mann and Whitney. Hanley and McNeil, Radiology 143(1), 1982, 10.1148/radiology.143.1.7063747. Taught in chapter 05a.

    Examples
    --------
    >>> round(auc([1, 0, 1, 0, 0], [0.9, 0.8, 0.6, 0.3, 0.1]), 3)
    0.833
    >>> auc([1, 0], [0.5, 0.5])
    0.5
    """
    labels, scores = _pair(labels, scores)
    if labels.ndim != 1 or not np.isin(labels, [0.0, 1.0]).all():
        raise ValueError("labels must be 0 or 1, in one dimension")
    yes = labels == 1
    n_yes = int(yes.sum())
    n_no = len(labels) - n_yes
    if n_yes == 0 or n_no == 0:
        return float("nan")
    rank_sum = rankdata(scores)[yes].sum()
    return float((rank_sum - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))


def calibration_table(labels, probabilities, *, bins: int = 10, equal: str = "width") -> pd.DataFrame:
    """What was said beside what happened, bin by bin.

    Parameters
    ----------
    labels : array of 0 and 1, shape (n,)
    probabilities : array, shape (n,)
    bins : int
    equal : {"width", "count"}
        Bins of equal width between 0 and 1, or that hold equally many rows. Equal probabilities share a bin, whatever
        the order of the rows, so the counts may differ. An edge belongs to the bin below it.

    Returns
    -------
    DataFrame
        A row for each bin that is not empty: ``said``, the mean probability; ``happened``, the share of yes;
        ``rows``. Taught in chapter 05a.

    Examples
    --------
    >>> calibration_table([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2)
       said  happened  rows
    0   0.2       0.5     2
    1   0.9       1.0     2
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    if equal == "width":
        edges = np.linspace(0, 1, bins + 1)[1:-1]
    elif equal == "count":
        # In whole numbers: an interpolated quantile may miss the value it means in the last digit, and cut beside it.
        last = -(-len(labels) * np.arange(1, bins) // bins) - 1
        edges = np.sort(probabilities)[last]
    else:
        raise ValueError(f"equal must be 'width' or 'count', not {equal!r}")
    number = np.searchsorted(edges, probabilities)
    rows = np.bincount(number, minlength=bins)
    full = rows > 0
    sums = [np.bincount(number, weights=values, minlength=bins)[full] for values in (probabilities, labels)]
    return pd.DataFrame({"said": sums[0] / rows[full], "happened": sums[1] / rows[full], "rows": rows[full]})


def calibration_error(labels, probabilities, *, bins: int = 10, equal: str = "width") -> float:
    """Expected calibration error: the mean distance of said and happened over bins, weighted by rows.

    Guo, Pleiss, Sun and Weinberger, ICML 2017. It depends on the bins, and a base rate has none of it: never show it
    alone. See :func:`calibration_table` for the parameters. Taught in chapter 05a.

    >>> round(calibration_error([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2), 3)
    0.2
    """
    table = calibration_table(labels, probabilities, bins=bins, equal=equal)
    return float(np.average((table["said"] - table["happened"]).abs(), weights=table["rows"]))
