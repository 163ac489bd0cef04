# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03a Backpropagation, derived and checked
#
# **What you will be able to do.**
#
# 1. Derive the gradient of a network, from one neuron to a batch, and give the shape of each line.
# 2. Say why a sigmoid at the output goes with the cross-entropy.
# 3. Check a gradient in two independent ways, and choose the step of the check.
# 4. Find a wrong formula by its shape, by its numbers, by a loss that climbs, or by an update that does nothing.
#
# **What you need.** The chain rule, matrix products in NumPy, and the notation of chapter 00. No framework.
#
# **Time.** 40 minutes to read, a quarter of a minute to run.
#
# **Sections of the source.** A3.2 step 3, A4.1, A4.2, and the parts of B on mathematics (MLP, gradient descent,
# backpropagation) with its example.
#
# ## It trains, so it is right?
#
# Two engineers write the same small network by hand, from the same data and the same start, and let both make the same
# number of steps. One of them forgot a transpose on the way back, the other derived her formulas. Here are their losses.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from recsys_course import plot
from recsys_course.models.layers import Perceptron, central_differences, relative_error, sigmoid

plot.use_style()


def square_network():
    """Eight inputs, two hidden layers of eight, one output; all of it in column vectors, one example."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.5, size=(8, 8)) for _ in range(2)] + [rng.normal(0, 0.5, size=(1, 8))]


def train(transpose, steps=1000, eta=0.02):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 8))
    Y = np.maximum(X[:, 0], 0) + np.maximum(X[:, 1], 0)
    W1, W2, W3 = square_network()
    for t in range(steps):
        x, y = X[t % 200], Y[t % 200]
        h1 = np.maximum(W1 @ x, 0)
        h2 = np.maximum(W2 @ h1, 0)
        delta3 = 2 * (W3 @ h2 - y)
        delta2 = (W3.T @ delta3) * (h2 > 0)
        delta1 = ((W2.T if transpose else W2) @ delta2) * (h1 > 0)
        W1 -= eta * np.outer(delta1, x)
        W2 -= eta * np.outer(delta2, h1)
        W3 -= eta * np.outer(delta3, h2)
    H = np.maximum(np.maximum(X @ W1.T, 0) @ W2.T, 0)
    return float(np.mean((H @ W3[0] - Y) ** 2))


untrained, wrong, right = train(True, steps=0), train(False), train(True)
assert right < wrong < untrained
print(
    f"mean squared error: {untrained:.3f} untrained, {wrong:.3f} the one, {right:.3f} the other"
)

# %% [markdown]
# Both losses fall, nothing crashes, and one of the two gradients is wrong: it lacks a transpose. A wrong gradient is
# rarely a failure one can see. It is a model that is a little worse than it should be, for years.
#
# So this chapter does two things. It derives the gradient, slowly, with a shape at each line. And it builds the two
# instruments that can tell a right gradient from a wrong one, and holds the source's formulas against them.
#
# ## One neuron
#
# A neuron takes an event's features $x$, shape $(d,)$, has a weight for each of them, $w$, shape $(d,)$, and a bias $b$, a
# scalar. It computes
#
# $$z = w^\top x + b, \qquad \hat y = \sigma(z) = \frac{1}{1 + e^{-z}}, \qquad L = (\hat y - y)^2 ,$$
#
# all three scalars. To learn means to move $w$ and $b$ so that $L$ becomes smaller, and for that we need the slope of $L$
# along each of them. The chain rule walks back from $L$:
#
# $$\delta := \frac{\partial L}{\partial z} = 2(\hat y - y)\,\sigma'(z), \qquad \frac{\partial L}{\partial w} = \delta\, x \;\; (d,), \qquad \frac{\partial L}{\partial b} = \delta .$$
#
# The slope of the sigmoid is $\sigma'(z) = \hat y (1 - \hat y)$. With a single feature, $d = 1$, all of these are plain numbers;
# with more, $x$ and $w$ become vectors and nothing else changes. The letter $\delta$ is the one that matters in all that
# follows: the slope of the loss at the sum *before* the bend.

# %%
rng = np.random.default_rng(3)
x, y = rng.normal(size=4), 1.0
w, b = rng.normal(size=4), 0.2


def loss(w, b):
    return (sigmoid(w @ x + b) - y) ** 2


y_hat = sigmoid(w @ x + b)
delta = 2 * (y_hat - y) * y_hat * (1 - y_hat)
by_w, by_b = delta * x, delta

h = 1e-5
nudged = [(loss(w + h * e, b) - loss(w - h * e, b)) / (2 * h) for e in np.eye(4)]
assert np.allclose(by_w, nudged, atol=1e-9)
assert np.isclose(by_b, (loss(w, b + h) - loss(w, b - h)) / (2 * h), atol=1e-9)
pd.DataFrame({"by the chain rule": by_w, "by nudging each weight": nudged}).round(6)

# %% [markdown]
# The second column uses no calculus. It moves one weight a little up and a little down, and looks at the loss. This is
# the first of the two instruments, *central differences*, and we will sharpen it below.
#
# ## Why a probability is not trained by its squared error
#
# Look at $\sigma'(z)$ in $\delta$. Where the neuron is sure of itself, $\sigma'$ is nearly zero, and so is the gradient,
# *also when it is sure of the wrong thing*. The cross-entropy $L = -y\log\hat y - (1-y)\log(1-\hat y)$ has a slope that
# undoes this:
#
# $$\frac{\partial L}{\partial \hat y} = \frac{\hat y - y}{\hat y(1-\hat y)}, \qquad \delta = \frac{\partial L}{\partial \hat y}\,\sigma'(z) = \frac{\hat y - y}{\hat y(1-\hat y)}\;\hat y(1-\hat y) = \hat y - y .$$
#
# The sigmoid's slope cancels, and what is left is the plain error. Here is a neuron that should say 1, from sure and right to
# sure and wrong.

# %%
z = np.array([4.0, 0.0, -4.0, -8.0])
p = sigmoid(z)
pull = pd.DataFrame(
    {
        "z": z,
        "prediction": p,
        "slope of the sigmoid": p * (1 - p),
        "delta, squared error": 2 * (p - 1) * p * (1 - p),
        "delta, cross-entropy": p - 1,
    }
).set_index("z")
assert abs(pull.loc[-8.0, "delta, squared error"]) < 0.001
assert pull.loc[-8.0, "delta, cross-entropy"] < -0.999
pull.round(4)

# %% [markdown]
# In the last row the neuron could hardly be more wrong. The squared error moves it by next to nothing, the
# cross-entropy with full force. In its mathematics the source trains the probability of a
# recommendation by squared error (B gradient descent), in its listings by the cross-entropy. That is not false, since both losses are smallest at the true probability; it is slow where it should be fast.
#
# One more reason to fuse the two: far out, $\hat y$ is rounded to exactly 0 or 1, and its logarithm is infinite. Written in
# $z$ the loss is $\max(z, 0) - y z + \log(1 + e^{-|z|})$, with `log1p` for the last term, which no rounding can hurt. The library computes it so.
#
# ## From one neuron to a batch
#
# The source's example is a network with ten features, hidden layers of twenty and of ten neurons, and one output:
# 10-20-10-1. We feed it a batch of $n$ events at once, a row each.
#
# | | shape | |
# |---|---|---|
# | $H_0 = X$ | $(n, 10)$ | the features |
# | $Z_1 = H_0 W_1 + b_1$, $\;H_1 = f(Z_1)$ | $(n, 20)$ | $W_1$ is $(10, 20)$, $b_1$ is $(20,)$ and added to each row |
# | $Z_2 = H_1 W_2 + b_2$, $\;H_2 = f(Z_2)$ | $(n, 10)$ | $W_2$ is $(20, 10)$, $b_2$ is $(10,)$ |
# | $Z_3 = H_2 W_3 + b_3$, $\;\hat Y = \sigma(Z_3)$ | $(n, 1)$ | $W_3$ is $(10, 1)$, $b_3$ is $(1,)$ |
#
# A row of $W_l$ belongs to a neuron before, a column to a neuron of layer $l$. Keras stores its kernels in the same way. The source writes
# $W x$ with column vectors, so its matrices are the transposes of these.

# %%
rng = np.random.default_rng(0)
widths = (10, 20, 10, 1)
weights = [rng.normal(0, 1 / np.sqrt(a), size=(a, b)) for a, b in pairwise(widths)]
biases = [rng.normal(0, 0.1, size=b) for b in widths[1:]]
X = rng.normal(size=(5, 10))
Y = (rng.random(size=(5, 1)) < 0.5).astype(float)


def forward(X, weights, biases):
    hs = [X]
    for W, b in zip(weights, biases, strict=True):
        hs.append(sigmoid(hs[-1] @ W + b))
    return hs


def cross_entropy(y_hat, Y):
    return float(np.mean(-Y * np.log(y_hat) - (1 - Y) * np.log(1 - y_hat)))


hs = forward(X, weights, biases)
for number, (W, h) in enumerate(zip(weights, hs[1:], strict=True), start=1):
    print(f"layer {number}: {hs[number - 1].shape} @ {W.shape} -> {h.shape}")
print("parameters:", sum(W.size for W in weights) + sum(b.size for b in biases))

# %% [markdown]
# ## Backward
#
# Let $\Delta_l$ hold the slopes of the loss at $Z_l$; it has the shape of $Z_l$. We know the last one: the mean over $n$ labels
# of the cross-entropy gives $\Delta_3 = (\hat Y - Y)/n$, shape $(n, 1)$.
#
# *From one layer to the one before.* Neuron $j$ of layer $l$ acts on the loss through every neuron $k$ of layer $l+1$, with
# weight $W_{l+1}[j, k]$. Its slope is the sum over these ways, and then it passes its own bend:
#
# $$\Delta_l[i, j] = \Big(\sum_k \Delta_{l+1}[i, k]\; W_{l+1}[j, k]\Big)\, f'(Z_l[i, j]) \quad\Longrightarrow\quad \Delta_l = (\Delta_{l+1} W_{l+1}^\top) \odot f'(Z_l) .$$
#
# The shapes for $l = 2$: $(n, 1)$ times $(1, 10)$ is $(n, 10)$, and $\odot$, the product element by element, leaves it so.
#
# *From a layer to its weights.* The weight from $j$ to $k$ meets $H_{l-1}[i, j]$ on its way in, for each event $i$, and the
# bias meets a 1:
#
# $$\frac{\partial L}{\partial W_l} = H_{l-1}^\top \Delta_l, \qquad \frac{\partial L}{\partial b_l} = \sum_i \Delta_l[i, :] .$$
#
# The matrix product sums over events by itself. The gradient of $W_2$ has shape $(20, n)$ times $(n, 10)$, which is $(20, 10)$: that of
# $W_2$, as it must be.


# %%
def backward(X, Y, weights, biases):
    hs = forward(X, weights, biases)
    delta = (hs[-1] - Y) / len(X)
    by_weights, by_biases = [], []
    for k in reversed(range(len(weights))):
        by_weights.insert(0, hs[k].T @ delta)
        by_biases.insert(0, delta.sum(axis=0))
        if k > 0:
            delta = (delta @ weights[k].T) * hs[k] * (1 - hs[k])
    return by_weights, by_biases


by_weights, by_biases = backward(X, Y, weights, biases)
for W, g in zip(weights, by_weights, strict=True):
    assert W.shape == g.shape
    print(f"W {W.shape!s:9} gradient {g.shape!s:9} length {np.linalg.norm(g):.4f}")

# %% [markdown]
# The batch is nothing new, only faster. Event by event, with plain vectors and outer products, and added up at the end, it
# is the same to the last digits:

# %%
summed = [np.zeros_like(W) for W in weights]
for x, y in zip(X, Y, strict=True):
    h = [x]
    for W, b in zip(weights, biases, strict=True):
        h.append(sigmoid(W.T @ h[-1] + b))
    delta = (h[-1] - y) / len(X)
    for k in reversed(range(3)):
        summed[k] += np.outer(h[k], delta)
        delta = (weights[k] @ delta) * h[k] * (1 - h[k])
assert all(np.allclose(a, b, rtol=0, atol=1e-15) for a, b in zip(summed, by_weights, strict=True))
"event by event and batch agree"

# %% [markdown]
# The course's library has this network as `Perceptron`: any depth, any activation, squared error or cross-entropy. It
# keeps all parameters in one long vector `theta`, layer by layer, and each $W_l$ is a view into it.

# %%
network = Perceptron(widths, activation="sigmoid", loss="cross-entropy", rng=rng)
for ours, its in zip(weights + biases, network.weights + network.biases, strict=True):
    its[:] = ours
value, gradient = network.loss_and_gradient(X, Y)
assert np.isclose(value, cross_entropy(hs[-1], Y))
by_hand = np.concatenate(
    [np.ravel(g) for pair in zip(by_weights, by_biases, strict=True) for g in pair]
)
assert np.allclose(gradient, by_hand, rtol=0, atol=1e-15)
print(f"a gradient of {gradient.size} numbers, for {network.theta.size} parameters")

# %% [markdown]
# ## First instrument: central differences
#
# $\frac{L(\theta + h e_k) - L(\theta - h e_k)}{2h}$ estimates the slope along parameter $k$, for the price of two forward
# passes. How small should $h$ be? Too large, and the loss bends between the two points: the error grows as $h^2$. Too
# small, and the two losses agree in all but their last digits: rounding, some $10^{-16}$, is divided by $h$. The best
# step lies between, near the cube root of $10^{-16}$ times a factor that depends on how the loss bends.
#
# Two gradients are compared as whole vectors, $|a - b|/(|a| + |b|)$: number by number, one that happens to be nearly zero
# would spoil the ratio.

# %%
steps = 10.0 ** np.arange(-12, 0.1, 0.5)
deep = Perceptron(
    (10, *[20] * 12, 1), activation="sigmoid", loss="cross-entropy", rng=np.random.default_rng(1)
)
shallow_error, first_layer_error = [], []
first_layer = slice(0, 210)  # W_1 and b_1
deep_gradient = deep.loss_and_gradient(X, Y)[1][first_layer]
rest = deep.theta[210:]
for step in steps:
    estimate = central_differences(lambda t: network.loss(X, Y, t), network.theta, step=step)
    shallow_error.append(relative_error(gradient, estimate, floor=0))
    estimate = central_differences(
        lambda t: deep.loss(X, Y, np.concatenate([t, rest])), deep.theta[first_layer], step=step
    )
    first_layer_error.append(relative_error(deep_gradient, estimate, floor=0))

fig, ax = plt.subplots()
ax.loglog(steps, shallow_error, label="10-20-10-1, all parameters")
ax.loglog(steps, first_layer_error, label="twelve hidden layers, the first layer's")
ax.set_xlabel("step h of the differences (logarithmic)")
ax.set_ylabel("relative error (logarithmic)")
ax.set_title("Too large a step bends, too small a step rounds")
ax.legend()
best = steps[np.argmin(shallow_error)]
assert 1e-6 <= best <= 1e-4 and min(shallow_error) < 1e-8
at_best = first_layer_error[np.argmin(shallow_error)]
own_best = steps[np.argmin(first_layer_error)]
assert (
    at_best > 1e-4 and own_best >= 30 * best and min(first_layer_error) > 1e5 * min(shallow_error)
)
print(f"shallow network: error {min(shallow_error):.0e}, at a step of {best:.0e}")
print(
    f"first of twelve layers: error {at_best:.0e} at the same step, {min(first_layer_error):.0e} at best"
)
typical = float(np.sqrt(np.mean(deep_gradient**2)))
floor = 1e-16 / best
assert 1e-4 < floor / typical < at_best * 10
print(f"a typical number in the first layer's gradient: {typical:.0e}")
print(f"noise floor at the shallow network's step: {floor:.0e}")
plt.show()

# %% [markdown]
# The lower curve is a V: the error falls from right to left as the square of the step, reaches its lowest point between
# $10^{-5}$ and $10^{-4}$, and rises again as rounding takes over. The upper curve is the first layer of a deep stack of
# sigmoids. Where the shallow network is checked to ten digits, it is off in the third, which looks like a mistake in the formula;
# and at its own best step, a hundred times larger, it is still far behind. The gradient is right. But the first layer's
# gradient is tiny in such a stack (chapter 03b draws it), and drowns in the rounding of a loss that is not tiny itself; at the left end
# the estimate is nothing but rounding, and the error is 1.
# *Differences are an instrument with a noise floor*, about $10^{-16}/h$ in each number, and close to the floor a second
# instrument is needed.
#
# ## Second instrument: automatic differentiation
#
# TensorFlow records each operation on a *tape* and applies the chain rule to the record, in code that shares nothing with
# ours. It has no step to choose. In double precision the two agree in both networks, also where differences were blind.

# %%
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # TensorFlow is talkative when it is loaded
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # and sums in another order from run to run
import tensorflow as tf


def tape_gradient(network, X, Y):
    pairs = zip(network.weights, network.biases, strict=True)
    variables = [tf.Variable(p) for pair in pairs for p in pair]
    with tf.GradientTape() as tape:
        h = tf.constant(X)
        for W, b in zip(variables[::2], variables[1::2], strict=True):
            z = h @ W + b
            h = tf.sigmoid(z)
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=Y, logits=z))
    return np.concatenate([np.ravel(g) for g in tape.gradient(loss, variables)])


shallow = relative_error(gradient, tape_gradient(network, X, Y), floor=0)
first = relative_error(deep_gradient, tape_gradient(deep, X, Y)[first_layer], floor=0)
assert shallow < 1e-12 and first < 1e-12
print("both agree with the tape to twelve digits")

# %% [markdown]
# From here on we can judge. The rest of the chapter takes the source's formulas as they stand, one after the other, and
# runs them. The source uses column vectors, so its matrices are our transposes: $W_1$ is $20\times10$, $W_2$ is
# $10\times20$, $W_3$ is $1\times10$. One event, and the network above.
#
# **The example's second layer (B example).** Already here the source differs: its $W_2$ is $10\times1$, with twenty neurons
# before it and ten in it.

# %% tags=["erratum:B-example-W2"]
W1, W2, W3 = (W.T for W in network.weights)
b1, b2, b3 = network.biases
x, y = X[0], Y[0]
z1 = W1 @ x + b1
h1 = sigmoid(z1)
z2 = W2 @ h1 + b2
h2 = sigmoid(z2)
z3 = W3 @ h2 + b3
y_hat = sigmoid(z3)
delta3 = y_hat - y
delta2 = (W3.T @ delta3) * h2 * (1 - h2)
delta1 = (W2.T @ delta2) * h1 * (1 - h1)
true = [np.outer(delta1, x), np.outer(delta2, h1), np.outer(delta3, h2)]
one = network.loss_and_gradient(X[:1], Y[:1])[1]
assert all(np.allclose(t.T, g) for t, g in zip(true, network.split(one)[0], strict=True))


def attempt(what, run):
    """Run a formula; say what shape it has, or why it has none."""
    try:
        print(f"{what}: shape {np.shape(run())}")
    except ValueError as error:
        print(f"{what}: {type(error).__name__}: {str(error).partition(', with')[0].strip()}")
        return True
    return False


assert attempt("a W_2 of 10 x 1 times H_1", lambda: np.zeros((10, 1)) @ h1)
assert not attempt("a W_2 of 10 x 20 times H_1", lambda: W2 @ h1)

# %% [markdown]
# ## Wrong by its shape
#
# **The step back (A4.2).** The source has $\delta_l = (f_l)'(O_l)(W_l\,\delta_{l+1})$, where $O_l$ is the layer's output. It takes the
# weights of the wrong layer, does not transpose them, takes the slope at the wrong place, and does not say that the
# product is element by element. Run on layer 2 it has no value at all.

# %% tags=["erratum:A4.2-delta"]
assert attempt("W_2 delta_3", lambda: W2 @ delta3)
assert not attempt("W_3^T delta_3", lambda: W3.T @ delta3)

# %% [markdown]
# Square layers hide this, and ReLU hides the slope, since it is the same before and after the bend. That is why the
# engineer of the first cell noticed nothing. So we repair one thing at a time in a network of equal widths, with ReLU and
# with sigmoid, and hold each attempt against the true gradient.


# %%
def step_back(activation, own_weights, at_output):
    """Relative error of the first layer's gradient in a 6-6-6-6 network, one event."""
    rng = np.random.default_rng(4)
    net = Perceptron((6, 6, 6, 6), activation=activation, rng=rng)
    X, Y = rng.normal(size=(1, 6)), rng.normal(size=(1, 6))
    f, slope = net.activations[0]
    zs, hs = net.forward(X)
    delta = 2 / 6 * (hs[-1] - Y)[0]
    for k in (1, 0):
        matrix = net.weights[k].T if own_weights else net.weights[k + 1]
        at = hs[k + 1] if at_output else zs[k]
        delta = slope(at, f(at))[0] * (matrix @ delta)
    true = net.split(net.loss_and_gradient(X, Y)[1])[1][0]
    return relative_error(delta, true)


variants = {
    "as in the source": (True, True),
    "right weights, slope at the output": (False, True),
    "wrong weights, slope before the bend": (True, False),
    "as derived": (False, False),
}
errors = pd.DataFrame(
    {a: {name: step_back(a, *v) for name, v in variants.items()} for a in ("relu", "sigmoid")}
)
assert errors.loc["right weights, slope at the output", "relu"] < 1e-12
assert errors.loc["right weights, slope at the output", "sigmoid"] > 0.01
assert (errors.loc[["as in the source", "wrong weights, slope before the bend"]] > 0.3).all(
    axis=None
)
assert (errors.loc["as derived"] < 1e-12).all()
errors.round(3)

# %% [markdown]
# Zero is right; two vectors that have nothing to do with each other come out near 0.7, opposite ones at 1. With ReLU the slope at the output does no harm; with a sigmoid it does. Only the last row
# is right in both columns. A test of a gradient should therefore use unequal widths and a smooth bend.
#
# **The update (A4.2).** $W_l \leftarrow W_l - \alpha\,\delta_l O_{l-1}$ multiplies two vectors. It has to be their outer
# product. With unequal widths NumPy refuses; with equal ones it multiplies element by element and adds the result to each
# row, and nobody hears a thing.

# %% tags=["erratum:A4.2-outer"]
assert attempt("delta_2 O_1, unequal widths", lambda: W2 - 0.1 * (delta2 * h1))
assert not attempt("outer product", lambda: W2 - 0.1 * np.outer(delta2, h1))
six = np.random.default_rng(5).normal(size=(3, 6))
silent = np.zeros((6, 6)) - 0.1 * six[0] * six[1]
assert (silent == silent[0]).all()
print("equal widths: every row of W gets the same change:", bool((silent == silent[0]).all()))

# %% [markdown]
# **The bias of a batch (A4.2).** The input of A4.2 is "the data $X$", and its bias moves by $-\alpha\,\delta_l$. For one event
# that is right. For a batch the rows of $\Delta_l$ have to be added up; left as they are, $b = b - \alpha\Delta$ makes the bias a matrix with a
# row for each event, without an error, and the network serves batches of no other size.

# %% tags=["erratum:A4.2-bias-batch"]
Delta1 = (backward(X, Y, weights, biases)[1][0] / 5) + np.zeros((5, 20))  # a row for each event
broken = b1 - 0.1 * Delta1
assert broken.shape == (5, 20)
print("the bias had shape", b1.shape, "and has", broken.shape)
assert attempt("the next batch, of 3 events", lambda: X[:3] @ W1.T + broken)

# %% [markdown]
# **A factor too many (B backpropagation, B example).** For the slope at a hidden layer the source has
#
# $$\frac{\partial J}{\partial H} = (y - \hat y)\cdot\frac{\partial\hat y}{\partial H}\cdot\frac{\partial H}{\partial W_1} ,$$
#
# and then multiplies by $\partial H/\partial W_1$ once more to get at $W_1$. That factor belongs into the second formula only.
# For one neuron $h = \sigma(w\,x)$ the factor is the number $\partial h/\partial w = h(1-h)\,x$; for a layer, $\partial H/\partial W_1$ is an array with
# three axes: neuron of $H$, row and column of $W_1$.

# %% tags=["erratum:B-factor-twice"]
dyhat_dH1 = ((W3 * (h2 * (1 - h2))) @ W2)[0] * (y_hat * (1 - y_hat))
dH1_dW1 = np.einsum("j,jk,m->jkm", h1 * (1 - h1), np.eye(20), x)
source = -2 * (y - y_hat) * np.tensordot(dyhat_dH1, dH1_dW1, axes=1)
print("the slope at H_1 has the shape of H_1,", h1.shape, "and the source's has", source.shape)
assert attempt("times dH_1/dW_1 once more", lambda: np.tensordot(source, dH1_dW1, axes=1))
narrow = dict(w1=0.5, w2=-0.7, x=0.3)
h = sigmoid(narrow["w1"] * narrow["x"])
extra = h * (1 - h) * narrow["x"]
print(f"in a network one neuron wide nothing stops it: the gradient is multiplied by {extra:.3f}")


def narrow_loss(w1):
    return float((sigmoid(narrow["w2"] * sigmoid(w1 * narrow["x"])) - 1) ** 2)


slope = central_differences(lambda t: narrow_loss(t[0]), np.array([narrow["w1"]]))[0]
p = sigmoid(narrow["w2"] * h)
once = 2 * (p - 1) * p * (1 - p) * narrow["w2"] * extra
assert np.isclose(once, slope) and not np.isclose(once * extra, slope)

# %% [markdown]
# ## Wrong by its numbers
#
# **The wrong derivative (B backpropagation, B example).** For the last layer's weights the source has
# $\partial J/\partial W = (y - \hat y)\cdot\partial\hat y/\partial H$: the derivative by the neurons where that by the weights
# belongs. Here both happen to have ten numbers, so nothing complains. The direction of the update is then that of $W_3$,
# whatever came in.

# %% tags=["erratum:B-output-weights"]
literal = (y_hat - y) * (y_hat * (1 - y_hat)) * W3  # its sign already repaired, to be fair
by_loss = 0.5 * central_differences(
    lambda t: float((sigmoid(t @ h2 + b3) - y)[0] ** 2), W3[0]
)  # J has a half
assert literal.shape == W3.shape
repaired = (y_hat - y) * y_hat * (1 - y_hat) * h2
assert relative_error(literal, by_loss) > 0.5 and relative_error(repaired, by_loss) < 1e-8
print(
    f"relative error {relative_error(literal, by_loss):.2f} as written, zero with H in the place of W"
)

# %% [markdown]
# **A sum that is missing, and one over nothing (B backpropagation, B example).** The loss is a sum over events. In the gradient
# of $W_2$ of the smaller network the sum is missing, and a free index $i$ stays behind; in the example there is a sum over
# $i$, but no term under it has an $i$, so it multiplies one event's gradient by $n$.

# %% tags=["erratum:B-sum"]
each = [network.loss_and_gradient(X[i : i + 1], Y[i : i + 1])[1] for i in range(5)]
whole = 5 * network.loss_and_gradient(X, Y)[1]
assert np.allclose(sum(each), whole)
versions = {
    "the sum over events": sum(each),
    "one event, i = 1": each[0],
    "one event, i = 2": each[1],
    "n times one event": 5 * each[0],
}
table = pd.Series({k: relative_error(v, whole, floor=0) for k, v in versions.items()})
assert table.iloc[0] < 1e-12 and (table.iloc[1:] > 0.05).all()
table.round(3).rename("relative error").to_frame()

# %% [markdown]
# ## A loss that climbs
#
# **The sign (B gradient descent).** For $J = \frac12\sum(y_i - \hat y_i)^2$ the source has
# $\partial J/\partial W = \sum (y_i - \hat y_i)\,\partial\hat y_i/\partial W$, and updates by $W = W - \alpha\,\partial J/\partial W$. The
# inner derivative of $-\hat y$ was lost, so the sign is wrong.
#
# **The words (B gradient descent, B backpropagation).** Three times it says that parameters move *along* the gradient to minimise the loss.
# Along the gradient is uphill. If one follows words and formula together, the two mistakes cancel.


# %% tags=["erratum:B-gradient-sign", "erratum:B-along"]
def descend(formula_sign, step_sign, steps=200):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(100, 3))
    y = (sigmoid(X @ np.array([1.0, -2.0, 0.5])) > 0.5).astype(float)
    w = np.zeros(3)
    J = []
    for _ in range(steps):
        p = sigmoid(X @ w)
        J.append(0.5 * np.sum((y - p) ** 2))
        dJ_dw = formula_sign * ((y - p) * p * (1 - p)) @ X
        w = w + step_sign * 0.05 * dJ_dw
    return J


climbs = {
    "source's formula, W - alpha dJ/dW": descend(+1, -1),
    "right formula, along the gradient": descend(-1, +1),
    "both mistakes at once": descend(+1, +1),
    "right formula, against the gradient": descend(-1, -1),
}
first_last = pd.DataFrame(
    {k: (J[0], J[-1]) for k, J in climbs.items()}, index=["first", "last"]
).T
assert (first_last["last"] > first_last["first"]).tolist() == [True, True, False, False]
assert first_last["last"].iloc[0] > 3 * first_last["first"].iloc[0]
first_last.round(2)

# %% [markdown]
# The first two rows climb, to nearly the worst loss there is. The last two descend by the same path.
#
# ## An update that does nothing
#
# **Two names for one thing (B example).** The forward pass calls the network's output $Y$. The gradients are
# then $(Y - \hat Y)\,\partial\hat Y/\partial H_2$, and $\hat Y$ is defined nowhere. If $Y$ is what the network says, $\hat Y$ can only be the label,
# and a label does not depend on $H_2$: its derivative is zero, and so is every gradient of the example.


# %% tags=["erratum:B-example-names"]
def label_given_hidden(h2):
    return float(y[0])  # what the user did, whatever our neurons say


by_hidden = central_differences(label_given_hidden, h2)
literal = (y_hat - y) * by_hidden
assert literal.shape == (10,) and not literal.any() and true[2].any()
print("largest number in the literal gradient:", np.abs(literal).max())

# %% [markdown]
# **No loss at all (A4.2).** The first article gives a recursion for $\delta$ from layer $l+1$ to layer $l$, and no loss and
# no $\delta$ of the last layer to begin with. The labels occur nowhere in the section. Begin as you like: what comes
# out cannot depend on what users did. The true gradient turns around when the labels do.

# %% tags=["erratum:A4.2-no-loss"]
begin = np.ones(1)  # nothing in the section says otherwise
without_labels = [(W3.T @ begin) * h2 * (1 - h2) for label in (0.0, 1.0)]
with_labels = [(W3.T @ (y_hat - label)) * h2 * (1 - h2) for label in (0.0, 1.0)]
cosine = with_labels[0] @ with_labels[1] / np.prod([np.linalg.norm(d) for d in with_labels])
assert np.array_equal(*without_labels) and np.isclose(cosine, -1)
print(
    f"labels turned from 0 to 1: the recursion alone stays, the gradient turns, cosine {cosine:.0f}"
)

# %% [markdown]
# **Biases without a gradient (B gradient descent, B backpropagation, B example).** $J$ depends on $W$ and $b$. No formula for
# $\partial J/\partial b$ is given anywhere, and the gradient descent section moves $W$ alone; the example does use $\partial J/\partial b$ but never
# says what it is. Here is what a bias is for. One event in ten is a purchase, whatever the features say.

# %% tags=["erratum:B-bias"]
rng = np.random.default_rng(8)
features = rng.normal(size=(2000, 5))
bought = (rng.random(size=2000) < 0.1).astype(float)
final = {}
for name, moves_bias in (("W alone", 0.0), ("W and b", 1.0)):
    net = Perceptron((5, 1), loss="cross-entropy", rng=np.random.default_rng(0))
    for _ in range(300):
        _, g = net.loss_and_gradient(features, bought)
        g[-1] *= moves_bias
        net.theta -= 1.0 * g
    final[name] = net.loss(features, bought), float(net.predict(features).mean())
table = pd.DataFrame(final, index=["cross-entropy", "mean prediction"]).T
assert table.loc["W alone", "cross-entropy"] > 2 * table.loc["W and b", "cross-entropy"]
assert abs(table.loc["W and b", "mean prediction"] - bought.mean()) < 0.01
print(f"share of purchases: {bought.mean():.3f}")
table.round(3)

# %% [markdown]
# Without it the network predicts one half on average and cannot do better: its loss stays at that of a coin.
#
# ## What the source says, what we measured
#
# | The source says | Where | What we measured |
# |---|---|---|
# | $O_l = f_l(W_l O_{l-1} + b_l)$ | A4.2 | Right, with column vectors: *From one neuron to a batch* |
# | $\delta_l = (f_l)'(O_l)(W_l\delta_{l+1})$ | A4.2 | A shape error; with equal widths and a sigmoid, a wrong gradient: *Wrong by its shape* |
# | $W_l - \alpha\,\delta_l O_{l-1}$, and $b_l - \alpha\,\delta_l$ | A4.2 | An outer product, and for a batch a sum over its rows: *Wrong by its shape* |
# | The output is a probability, the loss its squared error | B gradient descent | Allowed, and nearly without gradient where it is most wrong: *Why a probability is not trained by its squared error* |
# | The gradient is $\sum (y_i - \hat y_i)\,\partial\hat y_i/\partial W$; steps go along it | B gradient descent | Either one climbs: *A loss that climbs* |
# | $\partial J/\partial W_2 = (y - \hat y)\,\partial\hat y/\partial H$ | B backpropagation | The wrong derivative, and no sum: *Wrong by its numbers* |
# | $\partial J/\partial H$ has the factor $\partial H/\partial W$ | B backpropagation, B example | A factor too many: *Wrong by its shape* |
# | In 10-20-10-1, $W_2$ is $10\times1$; $Y$ is the output, $\hat Y$ the other one | B example | $10\times20$; and read literally, no gradient: *An update that does nothing* |
#
# ## Recap
#
# 1. $\delta$ is the slope of the loss at the sum before the bend; back one layer it is $(\Delta W^\top)\odot f'(Z)$.
# 2. Weights get what came in, transposed, times $\delta$; biases get the sum of $\delta$ over the batch.
# 3. With a sigmoid and the cross-entropy the slope cancels, and $\delta$ is the plain error.
# 4. Central differences check any gradient down to a noise floor; automatic differentiation rounds only in proportion to the gradient.
# 5. Equal widths, ReLU and broadcasting hide wrong formulas: test with unequal widths, smooth bends and more than one event.
#
# ## Three questions
#
# **1. Your gradient check fails at $10^{-3}$ for a network with ReLU, and passes with tanh. Is the gradient wrong?**
#
# <details><summary>Answer</summary>
#
# Perhaps not. If a sum lies within the step of a kink, the loss bends sharply between the two points, and the difference is a weighted mean of two
# slopes. Check at a point where every sum is farther from zero than the step moves it.
#
# </details>
#
# **2. A network starts with all weights at zero. What happens?**
#
# <details><summary>Answer</summary>
#
# All neurons of a layer compute the same and get the same gradient, so they stay equal for ever; and with $W_3 = 0$ nothing reaches
# the layers below at all in the first step. That is why weights start at random. Biases may start at zero.
#
# </details>
#
# **3. A colleague's labels have shape $(n,)$ and her predictions $(n, 1)$. What does `(y_hat - y)` give?**
#
# <details><summary>Answer</summary>
#
# An array of shape $(n, n)$, each prediction against every label, without an error. The mean of its squares is a number that falls in
# training: the network learns to predict the mean label. `Perceptron` refuses such labels.
#
# </details>
#
# ## Read on
#
# - The paper that made backpropagation known: [@rumelhart1986!]
# - Chapters 6 and 8 of the textbook that both articles name: [@goodfellow2016!]
# - How automatic differentiation works, and how it differs from finite differences: [@baydin2018!]
# - Chapter 03b puts the gradient to use.
#
# ## Exercises
#
# In `exercises/03a_backpropagation.ipynb`: give the shapes; write the step back for another bend; find the mistake in a gradient;
# and write a check that no wrong gradient passes.
