# %% [markdown]
# # 03a Exercises: Backpropagation, derived and checked
#
# These go with [chapter 03a](../03a_backpropagation.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np

from recsys_course.models.layers import (
    Activation,
    Perceptron,
    central_differences,
    relative_error,
    sigmoid,
)

# %% [markdown]
# ## 1. The shapes
#
# *Objective 1.* Write `shapes(widths, n)`, for a network of the given widths and a batch of `n` events. Return two lists
# of shapes, in the order of the layers: those of $\Delta_l$, and those of the gradients of $W_l$.


# %% answer="shapes"
def shapes(widths, n):
    ### BEGIN SOLUTION
    deltas = [(n, units) for units in widths[1:]]
    weights = [(before, units) for before, units in zip(widths[:-1], widths[1:], strict=True)]  # noqa: RUF007
    return deltas, weights
    ### END SOLUTION


# %% check="shapes" points=1
deltas, weights = shapes((10, 20, 10, 1), 7)
assert len(deltas) == len(weights) == 3, "three layers have weights: the input is not one of them"
assert weights == [(10, 20), (20, 10), (10, 1)], (
    "a gradient has the shape of its weights: a row for each neuron before, a column for each of the layer"
)
assert deltas == [(7, 20), (7, 10), (7, 1)], "delta has a row for each event, as Z has"
assert shapes((3, 5), 2) == ([(2, 5)], [(3, 5)]), (
    "it should work for any widths, not for the example alone"
)


# %% wrong="shapes"
# The source's orientation, and a delta that belongs to the layer before.
def shapes(widths, n):
    deltas = [(n, units) for units in widths[:-1]]
    weights = [(b, a) for a, b in zip(widths[:-1], widths[1:], strict=True)]  # noqa: RUF007
    return deltas, weights


# %% wrong="shapes"
# Typed in for the example.
def shapes(widths, n):
    return [(7, 20), (7, 10), (7, 1)], [(10, 20), (20, 10), (10, 1)]


# %% [markdown]
# ## 2. Another bend
#
# *Objective 1.* The function $f(z) = z\,\sigma(z)$, called swish, is used in many networks. Derive its slope, and write
# `swish_slope(z, h)`, where `h` is $f(z)$. The library then trains with it as with its own.


# %% answer="swish"
def swish_slope(z, h):
    ### BEGIN SOLUTION
    return sigmoid(z) + h * (1 - sigmoid(z))
    ### END SOLUTION


# %% check="swish" points=2
swish = Activation(lambda z: z * sigmoid(z), swish_slope)
z = np.linspace(-6, 6, 25)
by_differences = (swish.f(z + 1e-6) - swish.f(z - 1e-6)) / 2e-6
assert np.shape(swish_slope(z, swish.f(z))) == z.shape, "one slope for each z"
assert np.allclose(swish_slope(z, swish.f(z)), by_differences, atol=1e-8), (
    "differs from central differences: the product rule gives two terms"
)
rng = np.random.default_rng(0)
net = Perceptron((4, 7, 3, 1), activation=swish, loss="cross-entropy", rng=rng)
X, y = rng.normal(size=(6, 4)), np.array([0.0, 1, 1, 0, 1, 0])
estimate = central_differences(lambda theta: net.loss(X, y, theta), net.theta)
assert relative_error(net.loss_and_gradient(X, y)[1], estimate) < 1e-8, (
    "right in itself, wrong inside a network: does it also work for arrays with two axes?"
)


# %% wrong="swish"
# Forgets that z itself has a slope.
def swish_slope(z, h):
    return z * sigmoid(z) * (1 - sigmoid(z))


# %% wrong="swish"
# The slope of the sigmoid.
def swish_slope(z, h):
    return sigmoid(z) * (1 - sigmoid(z))


# %% [markdown]
# ## 3. Repair it
#
# *Objectives 1 and 2.* A colleague's function computes the gradient of the mean cross-entropy of a network with one
# hidden layer of tanh and a sigmoid output. Her loss falls; her check by central differences fails. Find the mistakes
# (there are three) and write `repaired`, with the same arguments, which returns the four gradients in the same order.


# %%
def of_a_colleague(X, y, W1, b1, W2, b2):
    h = np.tanh(X @ W1 + b1)
    p = sigmoid(h @ W2 + b2)
    delta2 = (p - y[:, None]) * p * (1 - p) / len(X)
    delta1 = (delta2 @ W2.T) * (1 - np.tanh(h) ** 2)
    return X.T @ delta1, delta1.mean(axis=0), h.T @ delta2, delta2.sum(axis=0)


# %% answer="repair"
def repaired(X, y, W1, b1, W2, b2):
    ### BEGIN SOLUTION
    h = np.tanh(X @ W1 + b1)
    p = sigmoid(h @ W2 + b2)
    delta2 = (p - y[:, None]) / len(X)
    delta1 = (delta2 @ W2.T) * (1 - h**2)
    return X.T @ delta1, delta1.sum(axis=0), h.T @ delta2, delta2.sum(axis=0)
    ### END SOLUTION


# %% check="repair" points=2
rng = np.random.default_rng(1)
net = Perceptron((4, 6, 1), activation="tanh", loss="cross-entropy", rng=rng)
X, y = rng.normal(size=(9, 4)), (rng.random(9) < 0.5).astype(float)
W1, W2, (b1, b2) = *net.weights, net.biases
(true1, true2), (true_b1, true_b2) = net.split(net.loss_and_gradient(X, y)[1])
by_W1, by_b1, by_W2, by_b2 = repaired(X, y, W1, b1, W2, b2)
assert np.allclose(by_W2, true2) and np.allclose(by_b2, true_b2), (
    "the last layer: what becomes of the sigmoid's slope under the cross-entropy?"
)
assert np.allclose(by_W1, true1), "the first weights: where is the slope of tanh taken?"
assert np.allclose(by_b1, true_b1), "the first bias: delta holds the division by n already"


# %% wrong="repair"
# Two of the three: the bias is still averaged twice.
def repaired(X, y, W1, b1, W2, b2):
    h = np.tanh(X @ W1 + b1)
    p = sigmoid(h @ W2 + b2)
    delta2 = (p - y[:, None]) / len(X)
    delta1 = (delta2 @ W2.T) * (1 - h**2)
    return X.T @ delta1, delta1.mean(axis=0), h.T @ delta2, delta2.sum(axis=0)


# %% wrong="repair"
# The last layer alone.
def repaired(X, y, W1, b1, W2, b2):
    h = np.tanh(X @ W1 + b1)
    p = sigmoid(h @ W2 + b2)
    delta2 = (p - y[:, None]) / len(X)
    delta1 = (delta2 @ W2.T) * (1 - np.tanh(h) ** 2)
    return X.T @ delta1, delta1.sum(axis=0), h.T @ delta2, delta2.sum(axis=0)


# %% [markdown]
# ## 4. A check that no wrong gradient passes
#
# *Objectives 3 and 4.* Write `accepts(gradient)`, which says whether a function computes right gradients. It is called
# as `gradient(network, X, y)` and should return the gradient of `network.loss(X, y)` by `network.theta`. You choose
# the networks and the batches to try it on: widths, bends, losses, sizes. `accepts` returns True or False, and should not crash when the
# function does.
#
# The check holds your function against right gradients and against several wrong ones, each of which is right in some networks.


# %% answer="accepts"
def accepts(gradient):
    ### BEGIN SOLUTION
    for seed, (activation, loss, widths) in enumerate(
        (bend, loss, widths)
        for bend in ("tanh", "sigmoid", "relu")
        for loss in ("squared", "cross-entropy")
        for widths in ((4, 7, 3, 1), (4, 4, 4, 1))
    ):
        rng = np.random.default_rng(seed)
        net = Perceptron(widths, activation=activation, loss=loss, rng=rng)
        for b in net.biases:
            b[:] = rng.normal(size=b.shape)
        X, y = rng.normal(size=(5, 4)), (rng.random(5) < 0.5).astype(float)
        estimate = central_differences(lambda t, n=net, X=X, y=y: n.loss(X, y, t), net.theta)
        try:
            if relative_error(gradient(net, X, y), estimate) > 1e-5:
                return False
        except ValueError:
            return False
    return True
    ### END SOLUTION


# %% check="accepts" points=3
def with_mistake(mistake):
    """Backpropagation with one mistake."""

    def gradient(network, X, y):
        zs, hs = network.forward(X)
        y = np.asarray(y).reshape(zs[-1].shape)
        out = np.empty_like(network.theta)
        by_weights, by_biases = network.split(out)
        if network.loss_name == "squared" or mistake == "no cancellation":
            delta = (hs[-1] - y) / y.size
            delta = delta * network.activations[-1].slope(zs[-1], hs[-1])
            if network.loss_name == "squared":
                delta = 2 * delta
        else:
            delta = (hs[-1] - y) / y.size
        for k in reversed(range(len(zs))):
            by_weights[k][:] = hs[k].T @ delta
            by_biases[k][:] = delta.mean(axis=0) if mistake == "mean bias" else delta.sum(axis=0)
            if k:
                f, slope = network.activations[k - 1]
                at = hs[k] if mistake == "slope at the output" else zs[k - 1]
                W = network.weights[k]
                square = W.shape[0] == W.shape[1]
                delta = delta @ (W if square and mistake == "no transpose" else W.T)
                if not (mistake == "slope left out" and k == 1):
                    delta = delta * slope(at, f(at))
        return 2 * out if mistake == "factor" else out

    return gradient


def crashes(network, X, y):
    raise ValueError("operands could not be broadcast together")


assert accepts(lambda network, X, y: network.loss_and_gradient(X, y)[1]), (
    "refuses the library's own gradient"
)
assert accepts(with_mistake("none")), (
    "refuses a right gradient: is your step too small, or too large?"
)
assert not accepts(with_mistake("factor")), (
    "accepts a gradient that is twice as long: compare lengths, too"
)
assert not accepts(with_mistake("mean bias")), (
    "accepts a bias averaged over the batch: try more than one event"
)
assert not accepts(with_mistake("slope at the output")), (
    "accepts a slope after the bend: ReLU hides it"
)
assert not accepts(with_mistake("slope left out")), "accepts a missing slope in the first layer"
assert not accepts(with_mistake("no cancellation")), (
    "accepts a slope that cancels: try the cross-entropy"
)
assert not accepts(with_mistake("no transpose")), (
    "accepts a missing transpose where a layer is square: try equal widths, beside unequal ones"
)
assert not accepts(crashes), "a function that raises a ValueError is wrong, too: return False"


# %% wrong="accepts"
# One network of ReLU, squared error, one event: hides most mistakes.
def accepts(gradient):
    rng = np.random.default_rng(0)
    net = Perceptron((4, 4, 1), activation="relu", rng=rng)
    X, y = rng.normal(size=(1, 4)), np.ones(1)
    estimate = central_differences(lambda t: net.loss(X, y, t), net.theta)
    return relative_error(gradient(net, X, y), estimate) < 1e-5


# %% wrong="accepts"
# Compares directions alone.
def accepts(gradient):
    rng = np.random.default_rng(0)
    net = Perceptron((4, 7, 3, 1), activation="sigmoid", loss="cross-entropy", rng=rng)
    X, y = rng.normal(size=(5, 4)), np.array([0.0, 1, 1, 0, 1])
    a, b = gradient(net, X, y), net.loss_and_gradient(X, y)[1]
    return bool(a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999)
