"""FTRL-Proximal: the closed form, a plain loop, River, gradient descent; and the hashing of ids."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from river import linear_model, optim
from scipy.special import expit
from test_replay import SETTINGS, delay_of, ratings

from recsys_course.events import EventsError
from recsys_course.models import FTRLProximal, NotFittedError
from recsys_course.models.ftrl import hash_fields
from recsys_course.replay import replay

FIELDS = ["user", "item", ("user", "item")]


def likes(n=300, **kwargs):
    stream = ratings(n, **kwargs)
    return stream.assign(label=(stream["label"] > 3).astype(float))


def as_dicts(events):
    return [
        {"one": 1.0, f"u{u}": 1.0, f"i{i}": 1.0, f"x{u},{i}": 1.0}
        for u, i in zip(events["user"], events["item"], strict=True)
    ]


def closed_form(z, n, alpha, beta, l1, l2, power):
    if abs(z) <= l1:
        return 0.0
    return -(z - math.copysign(l1, z)) / ((beta + n**power) / alpha + l2)


def plain(rows, labels, alpha=0.1, beta=1.0, l1=0.0, l2=0.0, power=0.5):
    """Algorithm 1 of McMahan et al., 2013, over dictionaries; features may have any value."""
    z, n, said = {}, {}, []
    for x, y in zip(rows, labels, strict=True):
        w = {j: closed_form(z.get(j, 0.0), n.get(j, 0.0), alpha, beta, l1, l2, power) for j in x}
        said.append(float(expit(sum(w[j] * v for j, v in x.items()))))  # any score, without overflow
        for j, v in x.items():
            g = (said[-1] - y) * v
            before = n.get(j, 0.0)
            n[j] = before + g * g
            shift = n[j] ** power - (before**power if before > 0 else 0.0)
            z[j] = z.get(j, 0.0) + g - shift / alpha * w[j]
    return np.array(said), {j: closed_form(z[j], n[j], alpha, beta, l1, l2, power) for j in z}


def one_by_one(model, events):
    said = [0.5]
    model.update(events.iloc[:1])
    for row in range(1, len(events)):
        said.append(model.predict(events.iloc[row : row + 1])[0])
        model.update(events.iloc[row : row + 1])
    return np.array(said)


@given(
    alpha=st.floats(0.01, 2),
    beta=st.floats(0, 2),
    l1=st.floats(0, 3),
    l2=st.floats(0, 2),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 50),
)
@example(alpha=1.0, beta=0.0, l1=0.0, l2=0.0, power=1.0, seed=1)
@settings(max_examples=40, deadline=None)
def test_it_is_the_papers_loop(alpha, beta, l1, l2, power, seed):
    events = likes(60, seed=seed)
    setting = dict(alpha=alpha, beta=beta, l1=l1, l2=l2, power=power)
    said, w = plain(as_dicts(events), events["label"], **setting)
    model = FTRLProximal(FIELDS, **setting)
    np.testing.assert_allclose(one_by_one(model, events), said, rtol=0, atol=1e-10)
    # Without beta the first steps can be of any size, and weights with them: to rounding is relative to what they are.
    np.testing.assert_allclose(model.weights, list(w.values()), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(FTRLProximal(FIELDS, **setting).fit(events).weights, model.weights, rtol=0, atol=0)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_without_penalties_it_is_gradient_descent_per_coordinate(beta):
    events = likes()
    w, n, said = {}, {}, []
    for x, y in zip(as_dicts(events), events["label"], strict=True):
        said.append(1 / (1 + math.exp(-sum(w.get(j, 0.0) for j in x))))
        g = said[-1] - y
        for j in x:
            n[j] = n.get(j, 0.0) + g * g
            w[j] = w.get(j, 0.0) - 0.2 / (beta + math.sqrt(n[j])) * g
    model = FTRLProximal(FIELDS, alpha=0.2, beta=beta)
    np.testing.assert_allclose(one_by_one(model, events), said, rtol=0, atol=1e-12)
    if beta == 0:
        ada = linear_model.LogisticRegression(optim.AdaGrad(0.2, eps=0.0), intercept_lr=0.0)
        for x, y, p in zip(as_dicts(events), events["label"], said, strict=True):
            assert ada.predict_proba_one(x)[True] == pytest.approx(p, abs=1e-12)
            ada.learn_one(x, y)


def test_power_0_is_a_constant_step():
    events = likes()
    river = linear_model.LogisticRegression(optim.SGD(0.1), intercept_lr=0.0)
    model = FTRLProximal(FIELDS, alpha=0.2, beta=1.0, power=0.0)
    said = one_by_one(model, events)
    for x, y, p in zip(as_dicts(events), events["label"], said, strict=True):
        assert river.predict_proba_one(x)[True] == pytest.approx(p, abs=1e-12)
        river.learn_one(x, y)


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (1.0, 0.5)])
def test_river_lags_one_occurrence_and_keeps_what_should_be_zero(l1, l2):
    """What the chapter says of River 0.26: with its own order in a plain loop its numbers come out exactly."""
    events = likes()
    setting = dict(alpha=0.1, beta=1.0, l1=l1, l2=l2)
    river = linear_model.LogisticRegression(optim.FTRLProximal(**setting), intercept_lr=0.0)
    w, z, n = {}, {}, {}
    for x, y in zip(as_dicts(events), events["label"], strict=True):
        p = 1 / (1 + math.exp(-sum(w.get(j, 0.0) for j in x)))
        assert river.predict_proba_one(x)[True] == pytest.approx(p, abs=1e-12)
        river.learn_one(x, y)
        for j in x:
            z_j, n_j = z.get(j, 0.0), n.get(j, 0.0)
            if abs(z_j) > l1:  # no else: a weight stays what it was
                w[j] = closed_form(z_j, n_j, 0.1, 1.0, l1, l2, 0.5)
            n[j] = n_j + (p - y) ** 2
            z[j] = z_j + p - y - (math.sqrt(n[j]) - math.sqrt(n_j)) / 0.1 * w.get(j, 0.0)


@pytest.mark.parametrize("buckets", [None, 3, 64])
@pytest.mark.parametrize(("strategy", "delay"), SETTINGS)
def test_fused_pass_equals_plain_loop(strategy, delay, buckets):
    stream, runs, kept = likes(), [], []
    for fused in (True, False):
        way = strategy(FTRLProximal(FIELDS, alpha=0.3, l1=0.2, buckets=buckets))
        late = delay_of(delay, len(stream))
        runs.append(replay(stream, way, task="binary", delay=late, fused=fused))
        kept.append(way.model.n_weights)
    np.testing.assert_array_equal(runs[0].scores, runs[1].scores)
    assert runs[0].cost.examples == runs[1].cost.examples
    assert kept[0] == kept[1]  # what is asked about and not learned is not kept


@pytest.mark.parametrize("buckets", [1, 2, 5, 40])
def test_fields_that_share_a_bucket_are_one_feature_with_their_number_for_a_value(buckets):
    events = likes(120)
    names = np.hstack([np.zeros((len(events), 1), np.uint64), hash_fields(events, FIELDS)]) % np.uint64(buckets)
    rows = [{j: float((row == j).sum()) for j in row} for row in names.tolist() for row in [np.array(row)]]
    said, w = plain(rows, events["label"], l1=0.1)
    model = FTRLProximal(FIELDS, alpha=0.1, l1=0.1, buckets=buckets)
    np.testing.assert_allclose(one_by_one(model, events), said, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.weights[list(w)], list(w.values()), rtol=0, atol=1e-12)
    assert model.n_weights == buckets and model.nbytes == 16 * buckets


def test_predicting_leaves_no_trace_and_memory_grows_with_ids_only():
    events = likes()
    model = FTRLProximal(FIELDS).fit(events)
    before, size = model.predict(events), model.n_weights
    strangers = events.assign(user=events["user"] + 1000, item="unknown")
    intercept = model.predict(strangers)
    assert np.ptp(intercept) == 0 and model.n_weights == size
    np.testing.assert_array_equal(model.predict(events), before)
    model.update(events)
    assert model.n_weights == size and model.examples_learned == 2 * len(events)
    assert size == 1 + sum(len(set(column)) for column in hash_fields(events, FIELDS).T.tolist())


def test_predict_does_not_read_the_label():
    events = likes()
    model = FTRLProximal(FIELDS).fit(events)
    np.testing.assert_array_equal(model.predict(events.drop(columns="label")), model.predict(events))


def test_a_strong_penalty_leaves_nothing_and_a_weak_one_everything():
    events = likes()
    counts = [FTRLProximal(FIELDS, l1=l1).fit(events).n_nonzero for l1 in (0.0, 0.5, 2.0, 1000.0)]
    assert counts[0] == FTRLProximal(FIELDS).fit(events).n_weights
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[2] > counts[3] == 0


def test_collisions_are_as_many_as_expected():
    table = pd.DataFrame({"user": np.arange(4000)})
    for buckets in (1000, 4000, 40_000):
        expected = 1 - (1 - 1 / buckets) ** 3999
        shares = []
        for salt in range(5):
            inside = np.bincount((hash_fields(table, ["user"], salt=salt) % np.uint64(buckets)).ravel().astype(int))
            shares.append(1 - (inside == 1).sum() / 4000)
        assert abs(np.mean(shares) - expected) < 4 * np.sqrt(2 * expected * (1 - expected) / 4000 / 5) + 1e-9


def test_names_differ_by_field_by_order_and_by_salt_and_not_by_the_other_rows():
    table = pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"], "c": pd.Categorical(["x", "y"])})
    names = hash_fields(table, ["a", "b", ("a", "b"), ("b", "a"), "c"])
    assert len(np.unique(names)) == names.size
    np.testing.assert_array_equal(hash_fields(table.iloc[1:], ["a", "c"]), names[1:, [0, 4]])
    wider = table.assign(c=table["c"].cat.set_categories(["z", "y", "x"]))
    np.testing.assert_array_equal(hash_fields(wider, ["c"]), names[:, [4]])
    assert not (hash_fields(table, ["a"], salt=1) == names[:, [0]]).any()
    kinds = [hash_fields(pd.DataFrame({"a": [one]}), ["a"])[0, 0] for one in (1, 1.0, "1")]
    assert len(set(kinds)) == 3  # a column has to keep its type
    # The same on every machine and in every run.
    assert hash_fields(pd.DataFrame({"a": ["x"]}), ["a"])[0, 0] == PINNED


PINNED = 1_166_467_159_569_939_828


def test_what_is_refused():
    events = likes(20)
    with pytest.raises(NotFittedError):
        FTRLProximal().predict(events)
    with pytest.raises(EventsError, match="'genre' is missing"):
        FTRLProximal(["genre"]).fit(events)
    with pytest.raises(EventsError, match="'genre' is missing a value in row 3"):
        FTRLProximal(["genre"]).fit(events.assign(genre=["war"] * 3 + [None] + ["war"] * 16))
    model = FTRLProximal().fit(events)
    before = model.weights
    with pytest.raises(EventsError, match="the logistic loss needs 0 or 1"):
        model.update(events.assign(label=3.0))
    np.testing.assert_array_equal(model.weights, before)
    for setting in (
        {"alpha": 0},
        {"alpha": math.nan},
        {"beta": -1},
        {"l1": math.inf},
        {"l2": -1},
        {"power": -1},
        {"epochs": 0},
        {"buckets": 0},
    ):
        with pytest.raises(ValueError, match=next(iter(setting))):
            FTRLProximal(**setting)
