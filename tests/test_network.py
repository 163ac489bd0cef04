"""The NumPy network: gradients against differences and TensorFlow, steps against Keras, the model on streams."""

import copy
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys_course.events import EventsError
from recsys_course.models import SGD, Adam, NeuralNetwork, NotFittedError
from recsys_course.models.layers import (
    ACTIVATIONS,
    Activation,
    Perceptron,
    central_differences,
    relative_error,
    sigmoid,
)
from recsys_course.models.network import Embedding, add_up
from recsys_course.models.optimizers import RowGradient
from recsys_course.replay import replay
from recsys_course.strategies import Incremental


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("keras")


@pytest.fixture
def float64(keras):
    before = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx(before)


# ------------------------------------------------------------------------------------------------ gradients

networks = st.fixed_dictionaries(
    {
        "widths": st.lists(st.integers(1, 9), min_size=2, max_size=6),
        "activation": st.sampled_from(sorted(ACTIVATIONS)),
        "loss": st.sampled_from(["squared", "cross-entropy"]),
        "output": st.sampled_from([None, "identity", "sigmoid", "tanh", "relu"]),
        "n": st.integers(1, 40),
        "seed": st.integers(0, 10**6),
    }
)


def drawn(case):
    """A network with random biases too, and a batch."""
    rng = np.random.default_rng(case["seed"])
    output = None if case["loss"] == "cross-entropy" else case["output"]
    network = Perceptron(
        case["widths"], activation=case["activation"], output=output, loss=case["loss"], initialization="he", rng=rng
    )
    for b in network.biases:
        b[:] = rng.normal(0, 0.3, size=b.shape)
    X = rng.normal(size=(case["n"], case["widths"][0]))
    y = rng.normal(size=(case["n"], case["widths"][-1]))
    return network, X, (y > 0).astype(float) if case["loss"] == "cross-entropy" else y


def relu_margin(network, X):
    """How far the nearest pre-activation is from a kink."""
    zs, _ = network.forward(X)
    kinked = [z for z, a in zip(zs, network.activations, strict=True) if a is ACTIVATIONS["relu"]]
    return min((np.abs(z).min() for z in kinked), default=np.inf)


@settings(max_examples=150, deadline=None)
@given(networks)
def test_gradients_are_those_of_central_differences(case):
    network, X, y = drawn(case)
    assume(relu_margin(network, X) > 1e-3)
    _, gradient = network.loss_and_gradient(X, y)
    estimate = central_differences(lambda theta: network.loss(X, y, theta), network.theta)
    # Rounding of the loss, 1e-16 over a step of 1e-5, reaches 1e-11 in each number: the floor keeps it from counting
    # where the whole gradient is tiny.
    assert relative_error(gradient, estimate, floor=1e-3) < 1e-7


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_gradient_by_the_inputs(activation):
    network, X, y = drawn(
        {"widths": [4, 7, 3, 2], "activation": activation, "loss": "squared", "output": None, "n": 6, "seed": 3}
    )
    assert relu_margin(network, X) > 1e-3
    by_inputs = network.backward(X, y, inputs=True)[2]
    estimate = central_differences(lambda x: network.loss(x.reshape(X.shape), y), X.ravel())
    assert relative_error(by_inputs, estimate) < 1e-8


@settings(max_examples=60, deadline=None)
@given(networks)
def test_gradients_are_those_of_tensorflow(keras, case):
    import tensorflow as tf

    network, X, y = drawn(case)
    loss, gradient = network.loss_and_gradient(X, y)
    variables = [tf.Variable(p) for pair in zip(network.weights, network.biases, strict=True) for p in pair]
    names = {activation: name for name, activation in ACTIVATIONS.items()}
    functions = {"identity": tf.identity, "sigmoid": tf.sigmoid, "tanh": tf.tanh, "relu": tf.nn.relu}
    with tf.GradientTape() as tape:
        h = tf.constant(X)
        for W, b, activation in zip(variables[::2], variables[1::2], network.activations, strict=True):
            z = h @ W + b
            h = functions[names[activation]](z)
        if case["loss"] == "cross-entropy":
            value = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z))
        else:
            value = tf.reduce_mean((h - y) ** 2)
    theirs = np.concatenate([np.ravel(g) for g in tape.gradient(value, variables)])
    assert loss == pytest.approx(float(value), abs=1e-12)
    np.testing.assert_allclose(gradient, theirs, rtol=1e-10, atol=1e-10 * max(1, np.abs(theirs).max()))


def test_an_activation_of_ones_own():
    cube = Activation(lambda z: z**3, lambda z, h: 3 * z**2)
    rng = np.random.default_rng(0)
    network = Perceptron((3, 4, 1), activation=cube, rng=rng)
    X, y = rng.normal(size=(5, 3)), rng.normal(size=5)
    estimate = central_differences(lambda theta: network.loss(X, y, theta), network.theta)
    assert relative_error(network.loss_and_gradient(X, y)[1], estimate) < 1e-8


def test_cross_entropy_survives_huge_scores():
    network = Perceptron((1, 1), loss="cross-entropy", rng=np.random.default_rng(0))
    network.weights[0][:] = 1.0
    loss, gradient = network.loss_and_gradient([[1e4], [-1e4]], [0.0, 1.0])
    assert loss == pytest.approx(1e4)
    assert gradient.tolist() == [1e4, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_dtype_from_end_to_end(dtype):
    for loss in ("squared", "cross-entropy"):
        for activation in ACTIVATIONS:
            network = Perceptron((3, 4, 1), activation=activation, loss=loss, dtype=dtype, rng=np.random.default_rng(0))
            zs, hs = network.forward(np.ones((2, 3)))
            _, gradient = network.loss_and_gradient(np.ones((2, 3)), np.ones(2))
            assert {a.dtype for a in (*zs, *hs, gradient, network.theta)} == {np.dtype(dtype)}
    assert sigmoid(np.zeros(1, np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"widths": (3,)}, "widths"),
        ({"widths": (3, 0, 1)}, "widths"),
        ({"widths": (3, 1), "loss": "hinge"}, "loss"),
        ({"widths": (3, 1), "loss": "cross-entropy", "output": "relu"}, "fused"),
        ({"widths": (3, 2, 1), "activation": "swish"}, "activation"),
        ({"widths": (3, 1), "initialization": "zeros"}, "initialization"),
        ({"widths": (3, 1), "initialization": -1.0}, "initialization"),
        ({"widths": (3, 1), "dtype": np.int64}, "dtype"),
    ],
)
def test_wrong_settings_are_named(kwargs, word):
    with pytest.raises(ValueError, match=word):
        Perceptron(**kwargs, rng=np.random.default_rng(0))


def test_shapes_that_would_broadcast_are_refused():
    network = Perceptron((3, 2), rng=np.random.default_rng(0))
    for y in (np.ones(4), np.ones((4, 1)), np.ones((2, 2))):
        with pytest.raises(ValueError, match="labels have shape"):
            network.loss(np.ones((4, 3)), y)
    for X in (np.ones((4, 2)), np.ones(3), np.ones((0, 3))):
        with pytest.raises(ValueError, match="X has shape"):
            network.predict(X)


def test_a_pickled_network_still_moves_as_one():
    network = pickle.loads(pickle.dumps(Perceptron((3, 4, 1), rng=np.random.default_rng(0))))
    for other in (network, copy.deepcopy(network)):
        other.theta += 1
        assert np.shares_memory(other.weights[0], other.theta)
        assert other.biases[0].tolist() == [1.0] * 4


# --------------------------------------------------------------------------------------- steps, beside Keras

F = np.float64  # Keras rounds a Python float to float32, and leaves a NumPy number as it is
OPTIMIZERS = {
    "sgd": (lambda: SGD(0.05), lambda k: k.optimizers.SGD(F(0.05))),
    "momentum": (lambda: SGD(0.02, momentum=0.9), lambda k: k.optimizers.SGD(F(0.02), momentum=F(0.9))),
    "adam": (lambda: Adam(0.01), lambda k: k.optimizers.Adam(F(0.01), beta_1=F(0.9), beta_2=F(0.999), epsilon=F(1e-7))),
    # An epsilon so large that it matters where it stands, and other decays.
    "adam, epsilon": (
        lambda: Adam(0.01, epsilon=0.1, decay=(0.8, 0.95)),
        lambda k: k.optimizers.Adam(F(0.01), epsilon=F(0.1), beta_1=F(0.8), beta_2=F(0.95)),
    ),
}


def keras_twin(keras, network):
    """The same layers, the same start; the last one gives z where the loss is the cross-entropy."""
    names = {activation: name for name, activation in ACTIVATIONS.items()}
    last = "linear" if network.loss_name == "cross-entropy" else names[network.activations[-1]]
    kinds = [names[a] for a in network.activations[:-1]] + [last]
    kinds = ["linear" if kind == "identity" else kind for kind in kinds]
    layers = [keras.layers.Dense(w, activation=k) for w, k in zip(network.widths[1:], kinds, strict=True)]
    twin = keras.Sequential([keras.Input((network.widths[0],)), *layers])
    twin.set_weights([p for pair in zip(network.weights, network.biases, strict=True) for p in pair])
    return twin


def keras_loss(keras, name):
    if name == "squared":
        return keras.losses.MeanSquaredError()
    return keras.losses.BinaryCrossentropy(from_logits=True)


def trajectories(keras, name, loss, dtype):
    """theta after each of 100 steps on the same batches, ours and Keras's, as fixed Python code per step."""
    ours_make, theirs_make = OPTIMIZERS[name]
    rng = np.random.default_rng(5)
    network = Perceptron((6, 8, 5, 1), activation="tanh", loss=loss, dtype=dtype, rng=rng)
    twin = keras_twin(keras, network)
    twin.compile(optimizer=theirs_make(keras), loss=keras_loss(keras, loss))
    ours, theirs, optimizer = [], [], ours_make()
    for _ in range(100):
        X = rng.normal(size=(16, 6)).astype(dtype)
        y = (X[:, :1] * X[:, 1:2] > 0).astype(dtype)
        twin.train_on_batch(X, y)
        _, gradient = network.loss_and_gradient(X, y)
        optimizer.step([network.theta], [gradient])
        ours.append(network.theta.copy())
        theirs.append(np.concatenate([np.ravel(w) for w in twin.get_weights()]))
    return np.array(ours), np.array(theirs)


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_hundred_steps_of_keras_in_float64(keras, float64, name, loss):
    ours, theirs = trajectories(keras, name, loss, np.float64)
    assert theirs.dtype == np.float64
    assert np.abs(ours[-1] - ours[0]).max() > 0.01, "nothing moved: the comparison is void"
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_hundred_steps_of_keras_in_float32(keras, name):
    ours, theirs = trajectories(keras, name, "cross-entropy", np.float32)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_embeddings_follow_keras_with_dense_moments(keras, float64, name):
    """Ids repeat inside a batch, and some rows are absent from most batches: their moments must still act."""
    rng = np.random.default_rng(2)
    table, network = rng.normal(size=(30, 3)), Perceptron((3, 4, 1), loss="cross-entropy", rng=rng)
    embedding = keras.layers.Embedding(30, 3)
    inner = keras_twin(keras, network)
    twin = keras.Sequential([keras.Input((), dtype="int64"), embedding, inner])
    embedding.set_weights([table])
    ours_make, theirs_make = OPTIMIZERS[name]
    twin.compile(optimizer=theirs_make(keras), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    optimizer = ours_make()
    for _ in range(100):
        ids = rng.integers(0, rng.integers(2, 30), size=8)
        y = (ids % 2).astype(float)[:, None]
        twin.train_on_batch(ids, y)
        _, gradient, by_input = network.backward(table[ids], y, inputs=True)
        optimizer.step([table, network.theta], [add_up(ids, by_input), gradient])
    np.testing.assert_allclose(table, embedding.get_weights()[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        network.theta, np.concatenate([np.ravel(w) for w in inner.get_weights()]), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("make", [lambda lazy: SGD(0.1, momentum=0.9, lazy=lazy), lambda lazy: Adam(0.1, lazy=lazy)])
def test_lazy_moments_leave_absent_rows_alone(make):
    dense, lazy = np.ones((3, 2)), np.ones((3, 2))
    first = RowGradient(np.array([0]), np.full((1, 2), 0.5))
    second = RowGradient(np.array([2]), np.full((1, 2), 0.5))
    for table, optimizer in ((dense, make(False)), (lazy, make(True))):
        optimizer.step([table], [first])
        before = table[0].copy()
        optimizer.step([table], [second])
        moved = not np.array_equal(table[0], before)
        assert moved == (table is dense)
        assert (table[1] == 1).all()
    # Where every row is in every batch the two are one.
    every = RowGradient(np.arange(3), np.random.default_rng(0).normal(size=(3, 2)))
    results = []
    for optimizer in (make(False), make(True)):
        table = np.ones((3, 2))
        for _ in range(5):
            optimizer.step([table], [every])
        results.append(table)
    np.testing.assert_allclose(*results, rtol=1e-13)


@pytest.mark.parametrize(
    "make", [lambda: SGD(0.1), lambda: SGD(0.1, momentum=0.9), lambda: Adam(0.1, squares="summed")]
)
def test_rows_or_the_whole_table_make_the_same_step(make):
    rng = np.random.default_rng(0)
    by_rows, whole = np.ones((5, 2)), np.ones((5, 2))
    one, other = make(), make()
    for _ in range(20):
        gradient = add_up(rng.integers(5, size=4), rng.normal(size=(4, 2)))
        full = np.zeros((5, 2))
        full[gradient.rows] = gradient.values
        one.step([by_rows], [gradient])
        other.step([whole], [full])
    np.testing.assert_allclose(by_rows, whole, rtol=1e-12)


def test_a_growing_table_keeps_its_moments():
    small, large = np.ones((2, 1)), np.ones((4, 1))
    one, other = Adam(0.1), Adam(0.1)
    gradient = RowGradient(np.array([1]), np.array([[2.0]]))
    one.step([small], [gradient])
    other.step([large], [gradient])
    small = np.concatenate([small, np.ones((2, 1))])
    late = RowGradient(np.array([1, 3]), np.array([[-1.0], [1.0]]))
    one.step([small], [late])
    other.step([large], [late])
    assert np.array_equal(small, large)
    with pytest.raises(ValueError, match="only rows may be added"):
        one.step([np.ones((4, 2))], [late])
    with pytest.raises(ValueError, match="same order"):
        one.step([small, small], [late, late])


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(0.0),
        lambda: SGD(np.inf),
        lambda: SGD(0.1, momentum=1.0),
        lambda: Adam(0.1, decay=(1.0, 0.9)),
        lambda: Adam(0.1, epsilon=0.0),
        lambda: Adam(0.1, squares="both"),
    ],
)
def test_optimizers_refuse(make):
    with pytest.raises(ValueError):
        make()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_repeated_rows_are_summed(numbers, seed):
    numbers = np.array(numbers)
    values = np.random.default_rng(seed).normal(size=(len(numbers), 2))
    expected = np.zeros((6, 2))
    np.add.at(expected, numbers, values)
    rows, sums, squares = add_up(numbers, values)
    if squares is not None:
        expected_squares = np.zeros((6, 2))
        np.add.at(expected_squares, numbers, values**2)
        np.testing.assert_allclose(squares, expected_squares[rows], atol=1e-12)
    assert rows.tolist() == sorted(set(numbers.tolist()))
    np.testing.assert_allclose(sums, expected[rows], atol=1e-12)


# ------------------------------------------------------------------------------------------------- the model


def stream(n=600, seed=0, loss="squared"):
    rng = np.random.default_rng(seed)
    user, item = rng.integers(20, size=n), rng.integers(15, size=n)
    x = rng.normal(size=n)
    score = rng.normal(size=20)[user] + rng.normal(size=15)[item] + x
    label = score + 3 if loss == "squared" else (score > 0).astype(float)
    return pd.DataFrame({"user": user, "item": item, "label": label, "timestamp": np.arange(n), "x": x})


def small(loss="squared", seed=0, **kwargs):
    settings = {"n_factors": 4, "features": ("x",), "optimizer": Adam(0.02), "epochs": 3, "batch_size": 16}
    return NeuralNetwork((8,), loss=loss, rng=np.random.default_rng(seed), **(settings | kwargs))


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_it_learns_more_than_a_constant(loss):
    events = stream(3000, loss=loss)
    past, future = events.head(2000), events.tail(1000)
    model = small(loss, epochs=10).fit(past)
    constant = ((future["label"] - past["label"].mean()) ** 2).mean()
    assert ((future["label"] - model.predict(future)) ** 2).mean() < 0.4 * constant
    assert model.examples_learned == 20_000


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pickled_model_goes_on_as_the_original(loss, dtype):
    events = stream(loss=loss)
    model = small(loss, dtype=dtype).fit(events.head(300))
    twin = pickle.loads(pickle.dumps(model))
    for m in (model, twin):
        m.update(events.tail(300))
    assert np.array_equal(model.predict(events), twin.predict(events))
    assert model.nbytes == twin.nbytes


def test_the_network_steps_by_the_gradient_of_its_loss():
    """One update of one event, against central differences over layers and both rows together."""
    events = stream(50)
    model = small(optimizer=SGD(0.01), stranger=0.0, dtype=np.float64, activation="tanh").fit(events)
    one = stream(1, seed=9)
    users, items = model.tables
    u, i = users.find(one["user"])[0], items.find(one["item"])[0]
    network = model.network

    def parameters():
        return np.concatenate([network.theta, users.rows[u], items.rows[i]])

    def loss(theta):
        X = np.concatenate([theta[len(network.theta) :], one["x"]])[None, :]
        return network.loss(X, one["label"].to_numpy(), theta[: len(network.theta)])

    before = parameters()
    estimate = central_differences(loss, before)
    model.update(one)
    np.testing.assert_allclose(parameters() - before, -0.01 * estimate, rtol=1e-6, atol=1e-10)


def test_renaming_users_changes_nothing():
    events = stream()
    renamed = events.assign(user="u" + events["user"].astype(str))
    assert np.array_equal(small().fit(events).predict(events), small().fit(renamed).predict(renamed))


def test_ids_may_come_one_at_a_time():
    one_by_one, at_once = (Embedding(3, rng=np.random.default_rng(0)) for _ in range(2))
    for name in range(100):
        one_by_one.add([name])
    at_once.add(range(100))
    assert np.array_equal(one_by_one.rows[:101], at_once.rows[:101])
    assert one_by_one.nbytes == at_once.nbytes == 101 * 3 * 8


def test_a_stranger_is_predicted_and_changes_nothing():
    events = stream()
    model = small().fit(events)
    before = pickle.dumps(model)
    stranger = events.head(2).assign(user=[999, 998], item=[999, 998], x=0.5)
    out = model.predict(stranger)
    assert out[0] == out[1] and np.isfinite(out).all()
    assert pickle.dumps(model) == before
    never = small(stranger=0.0).fit(events)
    assert np.array_equal(never.tables[0].rows[0], small(stranger=0.0, epochs=1).fit(events).tables[0].rows[0])
    assert not np.array_equal(model.tables[0].rows[0], never.tables[0].rows[0])


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_predictions_do_not_read_the_label(loss):
    events = stream(loss=loss)
    model = small(loss).fit(events)
    assert np.array_equal(model.predict(events), model.predict(events.drop(columns="label")))


def test_fitting_twice_is_fitting_once_and_leaves_the_generator_alone():
    events, rng = stream(), np.random.default_rng(4)
    state = rng.bit_generator.state
    model = NeuralNetwork((4,), optimizer=Adam(), rng=rng)
    once = model.fit(events).predict(events)
    assert np.array_equal(model.fit(events).predict(events), once)
    assert rng.bit_generator.state == state
    assert model.optimizer.steps == 0, "the optimiser that was passed in is a template"


def test_update_goes_once_through_in_order():
    events = stream(100)
    whole, halves = small(batch_size=10, stranger=0.0), small(batch_size=10, stranger=0.0)
    whole.fit(events.head(50)).update(events.tail(50))
    halves.fit(events.head(50))
    for first in range(50, 100, 10):
        halves.update(events.iloc[first : first + 10])
    assert np.array_equal(whole.predict(events), halves.predict(events))
    assert whole.examples_learned == halves.examples_learned == 200


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("kwargs", [{}, {"n_factors": 0}, {"optimizer": SGD(0.02, momentum=0.9)}, {"batch_size": 3}])
@pytest.mark.parametrize(("every", "delay"), [(1, None), (7, None), (1, 25), (50, "40s")])
def test_the_fused_replay_is_the_plain_one(loss, kwargs, every, delay):
    """New users and items keep coming, equal times occur, and labels may be late."""
    events = stream(loss=loss)
    events["user"] += events["timestamp"] // 60  # half of the users are met late
    events["timestamp"] = events["timestamp"] // 2
    task = "rating" if loss == "squared" else "binary"
    fused, plain = (
        replay(events, Incremental(small(loss, **kwargs), every=every), task=task, delay=delay, fused=f)
        for f in (True, False)
    )
    assert np.array_equal(fused.scores, plain.scores)
    assert fused.cost.examples == plain.cost.examples > 0.8 * len(fused.rows)
    assert fused.cost.model_bytes == plain.cost.model_bytes


def test_a_regression_is_the_network_without_hidden_layers():
    from sklearn.linear_model import LogisticRegression

    events = stream(2000, loss="cross-entropy")
    model = NeuralNetwork(
        (), n_factors=0, features=("x",), loss="cross-entropy", optimizer=Adam(0.05), epochs=200, batch_size=2000,
        dtype=np.float64, rng=np.random.default_rng(0),
    ).fit(events)  # fmt: skip
    peer = LogisticRegression(C=np.inf).fit(events[["x"]], events["label"])
    assert model.network.weights[0][0, 0] == pytest.approx(peer.coef_[0, 0], rel=1e-3)
    assert model.nbytes == 16


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"label": 0.5}, "label.*0.5 in row 0"),
        ({"x": np.nan}, "'x' is missing or infinite in row 0"),
        ({"x": "a"}, "'x' has dtype"),
    ],
)
def test_bad_events_leave_the_model_as_it_was(change, word):
    events = stream(loss="cross-entropy")
    model = small("cross-entropy").fit(events)
    before = pickle.dumps(model)
    with pytest.raises(EventsError, match=word):
        model.update(events.assign(**change))
    with pytest.raises(EventsError, match="'x' is missing"):
        model.update(events.drop(columns="x"))
    assert pickle.dumps(model) == before


def test_it_says_when_it_has_learned_nothing_or_runs_away():
    with pytest.raises(NotFittedError, match="fit or update"):
        small().predict(stream())
    with pytest.raises(FloatingPointError, match="step_size=1e\\+30"), np.errstate(all="ignore"):
        small(optimizer=SGD(1e30)).fit(stream())


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"n_factors": -1}, "n_factors"),
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": 0}, "epochs"),
        ({"stranger": 1.0}, "stranger"),
        ({"features": "x"}, "sequence"),
        ({"features": ("label",)}, "label"),
        ({"n_factors": 0, "features": ()}, "no input"),
        ({"loss": "hinge"}, "loss"),
    ],
)
def test_the_model_refuses_wrong_settings(kwargs, word):
    with pytest.raises(ValueError, match=word):
        small(**kwargs)
