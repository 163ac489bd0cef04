"""Metrics of decisions and probabilities: by hand, beside scikit-learn, and by properties."""

import warnings

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_course.metrics import classification as c
from recsys_course.metrics import mae
from recsys_course.metrics.classification import auc, calibration_error, calibration_table

# Few distinct scores, so that ties are the rule.
cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=30)


def split(case):
    labels, scores = np.array(case, float).T
    return labels, scores / 5


def sklearn_with_nan(metric, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(*args, zero_division=np.nan)


@settings(deadline=None)
@given(cases)
def test_decisions_equal_scikit_learn_where_it_has_a_value_and_where_not(case):
    labels, scores = split(case)
    said = (scores >= 0.5).astype(float)
    table = sklearn.metrics.confusion_matrix(labels, said, labels=[0, 1])
    assert c.confusion(labels, said) == (table[1, 1], table[0, 1], table[1, 0], table[0, 0])
    assert c.accuracy(labels, said) == pytest.approx(sklearn.metrics.accuracy_score(labels, said))
    for mine, theirs in (
        (c.precision, sklearn.metrics.precision_score),
        (c.recall, sklearn.metrics.recall_score),
        (c.f1, sklearn.metrics.f1_score),
    ):
        np.testing.assert_allclose(mine(labels, said), sklearn_with_nan(theirs, labels, said))


def test_what_would_be_zero_by_zero_has_no_value():
    assert np.isnan(c.precision([1, 0], [0, 0])) and c.recall([1, 0], [0, 0]) == 0 == c.f1([1, 0], [0, 0])
    assert np.isnan(c.recall([0, 0], [1, 0])) and c.precision([0, 0], [1, 0]) == 0 == c.f1([0, 0], [1, 0])
    assert np.isnan(c.f1([0, 0], [0, 0])) and c.accuracy([0, 0], [0, 0]) == 1
    assert np.isnan(auc([1, 1], [0.2, 0.3])) and np.isnan(auc([0], [0.2]))


def test_a_probability_is_no_decision():
    for metric in (c.confusion, c.accuracy, c.precision, c.recall, c.f1):
        with pytest.raises(ValueError, match="threshold"):
            metric([1, 0], [0.9, 0.1])
        with pytest.raises(ValueError, match="labels must"):
            metric([4.0, 0], [1, 0])
        with pytest.raises(ValueError, match="shape"):
            metric([1, 0], [[1], [0]])


@settings(deadline=None)
@given(cases)
def test_auc_is_the_share_of_pairs_in_order(case):
    labels, scores = split(case)
    above, below = scores[labels == 1][:, None], scores[labels == 0][None, :]
    value = auc(labels, scores)
    if above.size == 0 or below.size == 0:
        assert np.isnan(value)
        return
    assert value == pytest.approx(((above > below) + 0.5 * (above == below)).mean())
    assert value == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))
    assert auc(labels, -scores) == pytest.approx(1 - value)
    assert auc(1 - labels, scores) == pytest.approx(1 - value)
    assert auc(labels, np.exp(3 * scores)) == pytest.approx(value), "only the order counts"
    order = np.random.default_rng(0).permutation(len(labels))
    assert auc(labels[order], scores[order]) == pytest.approx(value)


@settings(deadline=None)
@given(cases)
def test_mean_absolute_error_equals_scikit_learn(case):
    labels, scores = split(case)
    assert mae(labels, scores) == pytest.approx(sklearn.metrics.mean_absolute_error(labels, scores))


@settings(deadline=None)
@given(cases, st.integers(1, 7), st.sampled_from(["width", "count"]))
def test_calibration_adds_up(case, bins, equal):
    labels, probabilities = split(case)
    table = calibration_table(labels, probabilities, bins=bins, equal=equal)
    assert table["rows"].sum() == len(labels) and (table["rows"] > 0).all() and len(table) <= bins
    assert table["said"].is_monotonic_increasing
    error = calibration_error(labels, probabilities, bins=bins, equal=equal)
    assert error == pytest.approx(sum(table["rows"] * abs(table["said"] - table["happened"])) / len(labels))
    assert abs(labels.mean() - probabilities.mean()) - 1e-12 <= error <= 1
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = calibration_table(labels[order], probabilities[order], bins=bins, equal=equal)
    np.testing.assert_allclose(shuffled, table)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 9), st.sampled_from(["width", "count"]))
def test_calibration_equals_scikit_learn(seed, bins, rows_per_bin, equal):
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(2, size=bins * rows_per_bin), rng.random(bins * rows_per_bin)
    table = calibration_table(labels, probabilities, bins=bins, equal=equal)
    strategy = {"width": "uniform", "count": "quantile"}[equal]
    happened, said = sklearn.calibration.calibration_curve(labels, probabilities, n_bins=bins, strategy=strategy)
    np.testing.assert_allclose(table["said"], said)
    np.testing.assert_allclose(table["happened"], happened)
    if equal == "count":
        assert (table["rows"] == rows_per_bin).all()


def test_calibration_of_the_base_rate_and_of_the_oracle():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 3, size=50_000)
    labels = (rng.random(50_000) < p).astype(float)
    assert calibration_error(labels, np.full(50_000, labels.mean())) == pytest.approx(0, abs=1e-12)
    assert calibration_error(labels, p, equal="count") < 0.01 < 0.05 < calibration_error(labels, p**2, equal="count")


def test_calibration_refuses_what_it_cannot_do():
    for metric in (calibration_error, calibration_table):
        with pytest.raises(ValueError, match="between 0 and 1"):
            metric([1.0], [1.5])
        with pytest.raises(ValueError, match="0 or 1"):
            metric([0.5], [0.5])
        with pytest.raises(ValueError, match="bins"):
            metric([1.0], [0.5], bins=0)
        with pytest.raises(ValueError, match="width"):
            metric([1.0], [0.5], equal="mass")
