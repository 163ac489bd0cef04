"""The Keras network beside its NumPy twin: the same start, the same batches, the same numbers, on every path."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_course.events import EventsError
from recsys_course.models import SGD, Adam, KerasNetwork, NeuralNetwork, NotFittedError
from recsys_course.models.layers import Activation
from recsys_course.replay import replay
from recsys_course.strategies import Frozen, Incremental, PeriodicRetrain

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

OPTIMIZERS = {
    "sgd": lambda: SGD(0.05),
    "momentum": lambda: SGD(0.02, momentum=0.9),
    "adam": lambda: Adam(0.01),
    "adam, epsilon": lambda: Adam(0.01, epsilon=0.1, decay=(0.8, 0.95)),
}


def stream(n=240, loss="cross-entropy", seed=0):
    """Users and items of whom new ones keep coming, one feature, and a label that depends on all three."""
    rng = np.random.default_rng(seed)
    events = pd.DataFrame({"user": rng.integers(0, 12, n) + np.arange(n) // 8, "item": rng.integers(0, 9, n)})
    events["item"] += np.arange(n) // 16
    events["x"] = rng.normal(size=n)
    z = (events["user"] % 3 - 1) * (events["item"] % 2 - 0.5) + events["x"]
    events["label"] = (z > 0).astype(float) if loss == "cross-entropy" else z
    events["timestamp"] = np.arange(n) // 2
    return events


def twins(loss="cross-entropy", hidden=(6, 4), **kwargs):
    chosen = {"n_factors": 3, "features": ("x",), "loss": loss, "epochs": 2, "batch_size": 16, "stranger": 0.1}
    chosen |= {"optimizer": Adam(0.01), "dtype": np.float64} | kwargs
    return [kind(hidden, **chosen, rng=np.random.default_rng(1)) for kind in (NeuralNetwork, KerasNetwork)]


def everything(model):
    """All parameters, in one vector."""
    return np.concatenate([model.network.theta, *[t.rows[: len(t)].ravel() for t in model.tables]])


def assert_same(ours, keras_s, events, atol):
    np.testing.assert_allclose(everything(keras_s), everything(ours), rtol=0, atol=atol)
    np.testing.assert_allclose(keras_s.predict(events), ours.predict(events), rtol=0, atol=atol)
    assert keras_s.examples_learned == ours.examples_learned
    assert keras_s.nbytes == ours.nbytes


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_many_updates_in_float64(optimizer, loss):
    """Tables outgrow their room on the way, ids repeat in a batch, and batches differ in length."""
    events = stream(loss=loss)
    ours, keras_s = twins(loss, optimizer=OPTIMIZERS[optimizer]())
    for model in (ours, keras_s):
        model.fit(events.head(60))
    assert_same(ours, keras_s, events, 1e-12)
    room, before = len(keras_s.tables[0].rows), everything(ours)
    first = 60
    for size in [1, 2, 3, 40, 1, 17, 33, 5] * 2:
        part = events.iloc[first : first + size]
        first = 60 + (first + size - 60) % 170
        for model in (ours, keras_s):
            model.update(part)
    assert len(keras_s.tables[0].rows) > room, "no table grew: the comparison is void"
    assert np.abs(everything(ours)[: len(before)] - before).max() > 0.005, "nothing moved: the comparison is void"
    assert_same(ours, keras_s, events, 1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_many_updates_in_float32(optimizer):
    events = stream()
    ours, keras_s = twins(optimizer=OPTIMIZERS[optimizer](), dtype=np.float32)
    for model in (ours, keras_s):
        model.fit(events.head(60))
        for first in range(60, 240, 12):
            model.update(events.iloc[first : first + 12])
    assert keras_s.model.outputs[0].dtype == "float32"
    assert_same(ours, keras_s, events, 1e-4)


cases = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.integers(1, 6), max_size=3).map(tuple),
        "n_factors": st.integers(0, 3),
        "features": st.sampled_from([(), ("x",)]),
        "loss": st.sampled_from(["squared", "cross-entropy"]),
        "activation": st.sampled_from(["relu", "tanh", "sigmoid", "identity"]),
        "initialization": st.sampled_from(["glorot", "he", 0.3]),
        "batch_size": st.integers(1, 70),
        "stranger": st.sampled_from([0.0, 0.4]),
        "shuffle": st.booleans(),
        "label_range": st.sampled_from([None, (-0.5, 0.5)]),
    }
).filter(lambda case: case["n_factors"] or case["features"])


@settings(max_examples=8, deadline=None)
@given(cases)
def test_every_setting_means_the_same(case):
    events = stream(loss=case["loss"])
    ours, keras_s = twins(**case)
    for model in (ours, keras_s):
        model.fit(events.head(100)).update(events.iloc[100:140])
    np.testing.assert_allclose(keras_s.predict(events), ours.predict(events), rtol=0, atol=1e-10)
    np.testing.assert_allclose(keras_s.network.theta, ours.network.theta, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "strategy", [Frozen, lambda m: Incremental(m, every=9), lambda m: PeriodicRetrain(m, every=60)]
)
@pytest.mark.parametrize("delay", [None, 30])
def test_both_live_through_a_replay_alike(strategy, delay):
    events = stream()
    one, other = (replay(events, strategy(model), task="binary", delay=delay) for model in twins())
    np.testing.assert_allclose(other.scores, one.scores, rtol=0, atol=1e-10)
    assert other.cost.examples == one.cost.examples
    assert other.cost.model_bytes == one.cost.model_bytes


def test_fit_starts_anew_and_update_goes_on():
    events = stream()
    model = twins()[1]
    once = model.fit(events.head(80)).predict(events)
    model.update(events.tail(80))
    assert np.abs(model.predict(events) - once).max() > 1e-3
    assert np.array_equal(model.fit(events.head(80)).predict(events), once)
    # Two updates of whole batches are one of both: the moments and the number of the step are still there.
    whole, halves = twins(stranger=0.0)[1].fit(events.head(80)), twins(stranger=0.0)[1].fit(events.head(80))
    whole.update(events.iloc[80:144])
    halves.update(events.iloc[80:112]).update(events.iloc[112:144])
    np.testing.assert_allclose(everything(halves), everything(whole), rtol=0, atol=1e-14)


def test_a_first_update_is_enough_to_begin():
    events = stream()
    ours, keras_s = twins()
    assert_same(ours.update(events.head(7)), keras_s.update(events.head(7)), events, 1e-12)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on_as_the_original_does(how):
    events = stream()
    model = twins(optimizer=Adam(0.02))[1].fit(events.head(100)).update(events.iloc[100:130])
    other, before = how(model), model.predict(events)
    assert np.array_equal(other.predict(events), before)
    other.update(events.iloc[130:])
    assert np.array_equal(model.predict(events), before), "the copy shares its numbers with the original"
    model.update(events.iloc[130:])  # with newcomers: the tables, their moments and the draws continue too
    assert np.array_equal(everything(other), everything(model))


def test_a_copy_knows_its_moments_and_its_steps():
    """A new Adam would move every number by a whole step."""
    events = stream()
    model = twins()[1].fit(events)
    forgetful = copy.deepcopy(model)
    for variable in forgetful._keras[2].variables[2:]:
        variable.assign(np.zeros(variable.shape))
    for m in (model, forgetful):
        m.update(events.head(16))
    assert np.abs(everything(model) - everything(forgetful)).max() > 1e-4


def test_strangers_share_a_row_and_leave_no_trace():
    events = stream()
    model = twins()[1].fit(events)
    before, size = everything(model), len(model.tables[0])
    strange = events.head(3).assign(user=[900, 901, 902], item=[-1, -2, -3], x=0.5)
    out = model.predict(strange)
    assert out[0] == out[1] == out[2] and 0 < out[0] < 1
    assert len(model.tables[0]) == size and np.array_equal(everything(model), before)
    assert model.update(strange).predict(strange)[0] != out[0] and len(model.tables[0]) == size + 3


def test_one_graph_serves_batches_of_every_size_until_a_table_is_full():
    events = stream()
    model = twins()[1].fit(events)
    first = model._keras
    model.update(events.head(1).assign(user=5000))
    built = model._keras
    assert built is not first, "the table was full: it should have been made anew, with room"
    assert len(model.tables[0].rows) - len(model.tables[0]) > 20
    for size in range(1, 20):
        model.update(events.head(size).assign(user=9000 + size)).predict(events.head(size + 1))
    assert model._keras is built


def test_the_float_type_of_keras_is_left_alone():
    import keras

    before = keras.backend.floatx()
    assert before == "float32"
    twins()[1].fit(stream())
    assert keras.backend.floatx() == before


def test_predictions_do_not_read_the_label():
    events = stream()
    model = twins()[1].fit(events)
    assert np.array_equal(model.predict(events), model.predict(events.drop(columns="label")))


def test_bad_events_leave_the_model_as_it_was():
    events = stream()
    model = twins()[1].fit(events)
    before = everything(model)
    for change in ({"label": 0.5}, {"x": np.nan}):
        with pytest.raises(EventsError):
            model.update(events.assign(**change))
    assert np.array_equal(everything(model), before)


def test_it_says_when_it_has_learned_nothing_or_runs_away():
    with pytest.raises(NotFittedError, match="KerasNetwork has learned nothing"):
        twins()[1].predict(stream())
    with pytest.raises(FloatingPointError, match="step_size=1e\\+150"):
        twins("squared", optimizer=SGD(1e150))[1].fit(stream(loss="squared"))


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"optimizer": Adam(0.01, lazy=True)}, "lazy"),
        ({"optimizer": SGD(0.01, momentum=0.5, lazy=True)}, "lazy"),
        ({"optimizer": Adam(0.01, squares="summed")}, "squares"),
        ({"optimizer": "adam"}, "SGD or Adam"),
        ({"activation": Activation(np.sin, lambda z, h: np.cos(z))}, "activation"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_keras_does_not_have_is_refused(kwargs, word):
    with pytest.raises(ValueError, match=word):
        KerasNetwork((4,), **kwargs, rng=np.random.default_rng(0))


def test_tensorflow_is_loaded_only_when_a_network_learns():
    code = (
        "import sys, numpy; from recsys_course.models import KerasNetwork; "
        "KerasNetwork((4,), rng=numpy.random.default_rng(0)); print('tensorflow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
