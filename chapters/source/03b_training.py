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
# # 03b Training: steps, streams and depth
#
# **What you will be able to do.**
#
# 1. Write gradient descent, momentum and Adam, and say where a framework's version differs from the paper's.
# 2. Derive the online rule of least mean squares, and both bounds on its step.
# 3. See gradients vanish with depth, and choose an initialisation that keeps them alive.
# 4. Train a network on real data and say, with an honest interval, whether it beats a logistic regression.
#
# **What you need.** Chapter 03a: how a gradient is computed and checked. From chapter 00, intervals that resample users;
# from chapter 01, the log loss.
#
# **Time.** 35 minutes to read, half a minute to run.
#
# **Sections of the source.** A3.2 step 3 (parameter update), B concepts 3, the online formula of B mathematics, and B example
# (parameter update).
#
# ## Is a network worth it?
#
# A grocer wants to know which households will buy milk, bread or cheese next week. A logistic regression on a handful of counts
# answers in seconds and can be explained to anyone. A colleague proposes a neural network. It takes longer, and nobody will be able to say
# why it said what it said. Is it better, and by how much?
#
# At the end of this chapter both are trained on films and on millions of cases from a grocer, with two different answers, the second of
# which has a sequel. Before that the network needs to *move*. A gradient is a direction; how far to go, and what to remember from earlier
# steps, is the business of an optimiser. On a stream, where each event comes once, too large a step does not only slow things down: the
# model flies off.

# %%
import copy
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from recsys_course import data, plot
from recsys_course.models import SGD, Adam, NeuralNetwork
from recsys_course.models.layers import Perceptron
from recsys_course.models.optimizers import RowGradient

plot.use_style()
keras.utils.set_random_seed(0)
"ready"

# %% [markdown]
# ## Three ways to move
#
# All three are given the gradient $g$ of the present batch. *Gradient descent* (SGD, stochastic, since the batch is a sample) steps
# against it. *Momentum* keeps a velocity $v$, which forgets a part of itself at each step, and
# moves by that: where gradients agree it speeds up, where they alternate they cancel. *Adam* keeps running means of $g$ and of $g^2$, number by number, and moves by at most about $\eta$ in each direction, however large
# or small the gradient there: by that where gradients agree, by less where they alternate [@kingma2015].
#
# $$\text{SGD:}\quad \theta \leftarrow \theta - \eta g \qquad\qquad \text{momentum:}\quad v \leftarrow \beta v - \eta g,\quad \theta \leftarrow \theta + v$$
#
# $$\text{Adam:}\quad m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad \theta \leftarrow \theta - \eta\,\frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\,\frac{m}{\sqrt v + \epsilon}$$
#
# Since $m$ and $v$ start at zero, they are too small in the first steps; the fraction with $t$, the number of the step,
# repairs that. In code:

# %%
network = Perceptron(
    (6, 8, 5, 1), activation="tanh", loss="cross-entropy", rng=np.random.default_rng(0)
)


def batches(n, rng):
    for _ in range(n):
        X = rng.normal(size=(16, 6))
        yield X, (X[:, 0] * X[:, 1] > 0).astype(float)


def by_hand(rule, steps=100):
    net = copy.deepcopy(network)
    theta = net.theta
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (X, y) in enumerate(batches(steps, np.random.default_rng(1)), start=1):
        g = net.loss_and_gradient(X, y)[1]
        if rule == "sgd":
            theta -= 0.05 * g
        elif rule == "momentum":
            v[:] = 0.9 * v - 0.02 * g
            theta += v
        else:
            m[:] = 0.9 * m + 0.1 * g
            v[:] = 0.999 * v + 0.001 * g**2
            theta -= 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return theta


def with_library(optimizer, steps=100):
    net = copy.deepcopy(network)
    for X, y in batches(steps, np.random.default_rng(1)):
        optimizer.step([net.theta], [net.loss_and_gradient(X, y)[1]])
    return net.theta


library = {"sgd": SGD(0.05), "momentum": SGD(0.02, momentum=0.9), "adam": Adam(0.01)}
ends = {rule: with_library(optimizer) for rule, optimizer in library.items()}
for rule, theta in ends.items():
    assert np.allclose(theta, by_hand(rule), rtol=0, atol=1e-12)
"each rule by hand, and the library's, agree after a hundred steps"

# %% [markdown]
# **Backpropagation does not update anything.** Article B says that it does (B concepts 3, B backpropagation); article A keeps the two apart (A3.2 step 3).
# It computes the gradient. Given one gradient, from one batch, SGD and Adam go two ways:

# %% tags=["erratum:B-backprop-updates"]
X, y = next(batches(1, np.random.default_rng(1)))
g = network.loss_and_gradient(X, y)[1]
moves = {}
for rule, optimizer in (("sgd", SGD(0.05)), ("adam", Adam(0.01))):
    theta = network.theta.copy()
    optimizer.step([theta], [g])
    moves[rule] = theta - network.theta
cosine = moves["sgd"] @ moves["adam"] / np.prod([np.linalg.norm(m) for m in moves.values()])
assert 0.3 < cosine < 0.95
print(f"cosine between the steps of SGD and Adam, from one gradient: {cosine:.2f}")

# %% [markdown]
# ## The same path as Keras
#
# The strictest test of an optimiser is to walk beside another one. Keras gets the same layers, the same start and the same
# hundred batches; after each step all parameters are compared.
#
# Two traps on the way. Keras computes in float32 unless told, so we tell it, before the optimisers are made: they keep their step in
# that type too. And it rounds a Python float such as a momentum of `0.9` to float32 even then (though not the step), which shows in the eighth digit; handed as a
# NumPy float64 it is kept.

# %%
keras.backend.set_floatx("float64")


def with_keras(optimizer, steps=100):
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(5, "tanh"), keras.layers.Dense(1)]
    twin = keras.Sequential([keras.Input((6,)), *layers])
    pairs = zip(network.weights, network.biases, strict=True)
    twin.set_weights([p for pair in pairs for p in pair])
    twin.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    for X, y in batches(steps, np.random.default_rng(1)):
        twin.train_on_batch(X, y[:, None])
    return np.concatenate([np.ravel(w) for w in twin.get_weights()])


f64 = np.float64
theirs = {
    "sgd": keras.optimizers.SGD(f64(0.05)),
    "momentum": keras.optimizers.SGD(f64(0.02), momentum=f64(0.9)),
    "adam": keras.optimizers.Adam(
        f64(0.01), beta_1=f64(0.9), beta_2=f64(0.999), epsilon=f64(1e-7)
    ),
}
apart = {rule: np.abs(with_keras(opt) - ends[rule]).max() for rule, opt in theirs.items()}
rounded = np.abs(
    with_keras(keras.optimizers.SGD(f64(0.02), momentum=0.9)) - ends["momentum"]
).max()
keras.backend.set_floatx("float32")
assert max(apart.values()) < 1e-9 < rounded < 1e-4
closeness = pd.Series({**apart, "momentum, Python floats": rounded}) < 1e-9
closeness.rename("within a billionth of Keras").to_frame()

# %% [markdown]
# **Where epsilon stands.** In Adam's paper the correction is made first, $\hat v = v/(1-\beta_2^t)$, and $\epsilon$ is added to
# $\sqrt{\hat v}$; Keras adds it to $\sqrt v$, the form that the paper mentions at the end of its second section [@kingma2015]. In the first step
# $\sqrt v$ is about thirty times smaller than $\sqrt{\hat v}$, so Keras's $\epsilon$ weighs thirty times as much. That matters where
# gradients are smaller than some thirty times $\epsilon$, and there it does:

# %%
first_step = []
for g in (1e-2, 1e-6):
    v = 0.001 * g**2
    paper = g / (np.sqrt(v / 0.001) + 1e-7)
    theta = np.zeros(1)
    Adam(1.0).step([theta], [np.array([g])])
    first_step.append((g, paper, -theta[0]))
table = pd.DataFrame(first_step, columns=["gradient", "paper, in steps", "Keras, in steps"])
assert np.isclose(table.iloc[0, 1], table.iloc[0, 2], rtol=0.01)
assert table.iloc[1, 2] < 0.3 < 0.9 < table.iloc[1, 1]
table.round(3).assign(gradient=["0.01", "one millionth"])

# %% [markdown]
# ## Rows that are not there
#
# A recommender's largest parameters are embeddings: a row for each user and item, and a batch touches few of them. The
# gradient of all other rows is zero. That does not mean that they stay where they are: their $m$ and $v$ are still
# there, and in Keras the rows glide on, while these fade. *Lazy* moments leave absent rows alone, which is much cheaper for a
# large table, and is not the same algorithm.

# %%
glide = {}
for name, optimizer in (("dense, as Keras", Adam(0.1)), ("lazy", Adam(0.1, lazy=True))):
    table = np.zeros((2, 1))
    optimizer.step([table], [RowGradient(np.array([0]), np.ones((1, 1)))])
    path = [table[0, 0]]
    for _ in range(5):  # batches without row 0
        optimizer.step([table], [RowGradient(np.array([1]), np.ones((1, 1)))])
        path.append(table[0, 0])
    glide[name] = path
assert glide["lazy"][-1] == glide["lazy"][0] and glide["dense, as Keras"][-1] < -0.3
pd.DataFrame(glide).rename_axis("batches since row 0 was used").T.round(3)

# %% [markdown]
# The user of row 0 was seen once, and five batches later dense moments have carried that row to more than three times as far as the event itself moved it.
# One more difference of this kind, which we found when the two paths parted: where an id occurs twice in a batch, its
# gradient is the sum of two parts. Adam's $v$ wants the square of the sum; Keras 3 on TensorFlow adds up the squares of the parts. The
# library does as Keras unless told (`squares="summed"`).

# %%
embedding = keras.layers.Embedding(2, 1)
model = keras.Sequential([keras.Input((), dtype="int32"), embedding])
embedding.set_weights([np.zeros((2, 1))])
adam = keras.optimizers.Adam(0.1)
model.compile(
    adam, lambda y, p: keras.ops.mean(2 * p)
)  # two events: each part of the gradient is 1
model.train_on_batch(np.array([0, 0]), np.zeros((2, 1)))
velocity = [w.numpy() for w in adam.variables if w.shape == (2, 1)][-1][0, 0]
print(f"Keras's v after one step: {velocity:.4f}")
print(
    f"squares of the parts: {0.001 * (1 + 1):.4f}, square of the sum: {0.001 * (1 + 1) ** 2:.4f}"
)
assert np.isclose(velocity, 0.002, rtol=1e-3)

# %% [markdown]
# ## Do optimisers accelerate?
#
# The source says that algorithms such as gradient descent and Adam are there to speed up convergence (B concepts 3). Gradient descent is
# what is to be sped up; and whether anything does, depends on the problem. We count the steps until the excess loss of a
# linear regression has fallen to a thousandth, each optimiser with its best step out of a grid: once with ten features of
# one scale, once with scales from 1 to 30.


# %% tags=["erratum:B-accelerate"]
def steps_needed(make, scales, limit=5000):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(500, 10)) * scales
    A = X.T @ X / len(X)
    start = (
        rng.normal(size=10) / scales
    )  # in the units of the features, about as far away in each
    goal = 1e-3 * start @ A @ start
    best = limit
    for eta in 10.0 ** np.arange(-5, 0.6, 0.25):
        theta, optimizer = start.copy(), make(eta)
        for t in range(1, best):
            optimizer.step([theta], [A @ theta])
            excess = theta @ A @ theta
            if excess < goal:
                best = t
                break
            if not excess < 1e6:
                break
    return best


rules = {"SGD": SGD, "momentum": lambda eta: SGD(eta, momentum=0.9), "Adam": Adam}
problems = {"one scale": np.ones(10), "scales 1 to 30": np.geomspace(1, 30, 10)}
needed = pd.DataFrame(
    {
        p: {r: steps_needed(make, scales) for r, make in rules.items()}
        for p, scales in problems.items()
    }
)
assert needed.loc["SGD", "one scale"] < needed.loc[["momentum", "Adam"], "one scale"].min()
assert needed.loc["SGD", "scales 1 to 30"] > 5 * needed.loc["Adam", "scales 1 to 30"]
needed

# %% [markdown]
# On features of one scale plain gradient descent is the fastest of the three (the others with their usual constants). On unequal scales it is by far the slowest, since its one
# step has to suit the steepest direction. Scaling the features, as in chapter 02b, does more than either optimiser.
#
# ## One event at a time: least mean squares
#
# Now let events come one by one, each seen once. A linear model predicts $\hat y = \theta^\top x$, and the loss of
# one event is $L = \frac12 (y - \theta^\top x)^2$. Its gradient by $\theta$ is $-(y - \theta^\top x)\,x$, shape $(d,)$, so the step is
#
# $$\theta_t = \theta_{t-1} + \eta\,(y_t - \theta_{t-1}^\top x_t)\,x_t .$$
#
# This is the rule of Widrow and Hoff, *least mean squares* or LMS: the error, a scalar, times the input, a vector. The
# source's online rule is $\theta_t = \theta_{t-1} + \eta\,(X_t - \theta_{t-1}\cdot X_t)$. It has no label: what users did enters as features alone, and $y$ may be anything. And, the dot
# being the product of two vectors, it subtracts a scalar from a vector, which NumPy allows. Here are both, over three hundred streams whose labels follow a fixed rule.

# %% tags=["erratum:B-online"]
rng = np.random.default_rng(3)
truth, eta, n_streams = np.array([1.0, -1.0, 0.5, 0.0, 2.0]), 0.01, 300
lms, source = np.zeros((n_streams, 5)), np.zeros((n_streams, 5))
rows = []
for t in range(1, 10_001):
    x = rng.normal(size=(n_streams, 5))
    y = x @ truth + 0.1 * rng.normal(size=n_streams)
    lms += eta * (y - (lms * x).sum(1))[:, None] * x
    source += eta * (x - (source * x).sum(1)[:, None])
    if t in (100, 1_000, 10_000):
        distance = [np.sqrt(np.mean((theta - truth) ** 2)) for theta in (lms, source)]
        gap = np.sqrt(np.mean((source[:, 0] - source[:, 1]) ** 2))
        rows.append((t, *distance, gap, eta * np.sqrt(2 * t)))
table = pd.DataFrame(
    rows,
    columns=["events", "LMS, error", "source, error", "source, theta_1 - theta_2", "random walk"],
).set_index("events")
assert table["LMS, error"].iloc[-1] < 0.02 < 1 < table["source, error"].iloc[-1]
assert np.allclose(table["source, theta_1 - theta_2"], table["random walk"], rtol=0.15)
table.round(3)

# %% [markdown]
# LMS arrives. The source's rule does not: the difference of two of its coordinates is a random walk, exactly, because the scalar
# that is subtracted is the same for both. The last column is what a random walk would give; it grows without bound, and along $(1, \dots, 1)$
# the rule runs away faster still.
#
# ## How large may the step be?
#
# Let $e = \theta - \theta^*$ be how far the rule is from the truth, and let events be independent of each other. Without noise a step turns $e$ into $(I - \eta\,x x^\top)\,e$.
#
# *In the mean.* On average over streams $e$ is multiplied by $I - \eta\,\mathbb E[x x^\top]$. It shrinks in every direction if $\eta < 2/\lambda_{\max}$, the largest
# eigenvalue of $\mathbb E[xx^\top]$. For white input, independent with variance 1, that is $\eta < 2$, and many texts stop here.
#
# *In the mean square.* But a mean of zero may hide wild swings to both sides. The squared length becomes
# $|e|^2 - 2\eta\,(x^\top e)^2 + \eta^2 (x^\top e)^2 |x|^2$. For white Gaussian $x$ of dimension $d$, $\mathbb E(x^\top e)^2 = |e|^2$ and
# $\mathbb E(x^\top e)^2|x|^2 = (d + 2)\,|e|^2$, so
#
# $$\mathbb E|e_t|^2 = \big(1 - 2\eta + \eta^2 (d+2)\big)\; \mathbb E|e_{t-1}|^2, \qquad\text{which shrinks if and only if}\quad \eta < \frac{2}{d+2} .$$
#
# For eight features that is ten times smaller [@feuer1985]. Where does $d+2$ come from? Take $e$ along the first axis: $x_1^2(x_1^2 + \dots + x_d^2)$ has the mean
# $\mathbb E x_1^4 + (d-1) = 3 + d - 1$.
#
# *A typical stream.* The mean square is ruled by the worst streams. One stream follows the mean of the *logarithm* of its growth, which is smaller (the mean of logarithms is below the logarithm of the mean), so it may well do
# fine beyond the bound. We measure all three over an ensemble of two hundred thousand streams.

# %%
rng = np.random.default_rng(4)
d = 8
x = rng.normal(size=(200_000, d))
along, length = x[:, 0] ** 2, (x**2).sum(1)  # e is a unit vector along the first axis
etas = np.geomspace(0.02, 3, 120)
mean_growth, square_growth, typical_growth = [], [], []
for eta in etas:
    factor = 1 - 2 * eta * along + eta**2 * along * length  # on the squared error, of each stream
    mean_growth.append(abs(np.mean(1 - eta * along)))
    square_growth.append(np.sqrt(factor.mean()))
    typical_growth.append(np.exp(0.5 * np.log(factor).mean()))
assert np.allclose(mean_growth, np.abs(1 - etas), atol=0.02)
assert np.allclose(square_growth, np.sqrt(1 - 2 * etas + etas**2 * (d + 2)), rtol=0.01)

fig, ax = plt.subplots()
ax.plot(etas, square_growth, markevery=10, label="root mean square over streams")
ax.plot(etas, typical_growth, markevery=10, label="a typical stream")
ax.plot(etas, mean_growth, markevery=10, label="mean over streams")
ax.axhline(1, color="black", linewidth=1, linestyle="-", marker="")
for bound, text in ((2 / (d + 2), "2/(d+2)"), (2, r"2/$\lambda_{max}$")):
    ax.axvline(bound, color="black", linewidth=1, linestyle=":", marker="")
    ax.text(bound * 0.96, 1.62, text, ha="right")
ax.set(xscale="log", xlim=(0.05, 3), ylim=(0, 1.75), xlabel="step size (logarithmic)")
ax.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
ax.minorticks_off()
ax.set_ylabel("factor on the error in one event")
ax.set_title("Three bounds: above the line the error grows")
ax.legend(loc="lower left")


def crossing(growth):
    """The first step size at which the error grows."""
    return float(etas[np.argmax((np.array(growth) > 1) & (etas > 0.1))])


bounds = {
    "mean square": crossing(square_growth),
    "typical stream": crossing(typical_growth),
    "mean": crossing(mean_growth),
}
assert abs(bounds["mean square"] / 0.2 - 1) < 0.1 and abs(bounds["mean"] / 2 - 1) < 0.1
assert 1.05 * bounds["mean square"] < bounds["typical stream"] < 0.15 * bounds["mean"]
print("the error begins to grow at a step of", {k: round(v, 2) for k, v in bounds.items()})
plt.show()

# %% [markdown]
# Each curve shows by how much one event multiplies the error; below the horizontal line the error shrinks. The root mean
# square crosses the line at $2/(d+2)$, as derived; a typical stream holds out a little longer; the mean alone
# falls to zero at a step of 1 and stays below the line up to $2/\lambda_{\max}$, long after every stream has flown off. All three have their best step well below their bound. A service that runs one model sees one stream, and one that runs
# thousands meets the worst of them. So the bound in the mean square is the one to respect. Whole streams show the same:

# %%
streams = {}
rng = np.random.default_rng(5)
for eta in (0.1, 0.19, 0.21, 0.25):
    e = np.zeros((100_000, d), np.float32)
    e[:, 0] = 1
    for t in range(1, 41):
        x = rng.standard_normal(size=e.shape, dtype=np.float32)
        e -= eta * (e * x).sum(1, keepdims=True) * x
        if t == 10:
            mean_10 = float((e**2).sum(1, dtype=float).mean())
    squared = (e**2).sum(1, dtype=float)
    expected = (1 - 2 * eta + eta**2 * (d + 2)) ** 10
    top = float(np.sort(squared)[-10_000:].sum() / squared.sum())  # of the worst tenth
    shrank = float((squared < 1).mean())
    streams[eta] = (expected, mean_10, float(np.median(squared)), shrank, top)
table = pd.DataFrame(
    streams,
    index=[
        "mean, 10 events, theory",
        "measured",
        "median, 40 events",
        "share that shrank",
        "worst tenth's share of the mean",
    ],
).T.rename_axis("step")
assert np.allclose(table["measured"], table["mean, 10 events, theory"], rtol=0.1)
assert table.loc[0.21, "measured"] > 1 > table.loc[0.21, "median, 40 events"]
assert 1 / 6 < table.loc[0.25, "share that shrank"] < 0.25
table.round(3)

# %% [markdown]
# In the third row, just beyond the bound, the mean grows while the typical stream still shrinks: after forty events the worst tenth of the streams
# makes up most of the mean. In the last row most streams grow, and still more than one in six ends nearer to the truth than it began. *One
# stream that does well is no proof that the step is safe.*
#
# Both bounds depend on the features' scale: with deviation $s$ each is divided by $s^2$. For one feature of deviation 2, $\lambda_{\max}$ is 4, and the
# bound in the mean is one half:

# %%
rng = np.random.default_rng(6)
loud = 2 * rng.normal(size=400_000)
factor = {eta: float(abs(np.mean(1 - eta * loud**2))) for eta in (0.45, 0.55)}
assert factor[0.45] < 1 < factor[0.55]
print({eta: round(f, 2) for eta, f in factor.items()})

# %% [markdown]
# ## Gradients that vanish
#
# A deep network multiplies: each step back passes one more weight matrix and one more slope. The slope of a sigmoid is at most one quarter. We
# build networks with twenty hidden layers of thirty-two neurons and look, before any training, at how large the gradient of each layer's
# weights is.

# %%
X = np.random.default_rng(7).normal(size=(64, 32))
y = (X[:, 0] > 0).astype(float)
settings = {
    "ReLU, He": ("relu", "he"),
    "tanh, Glorot": ("tanh", "glorot"),
    "sigmoid, Glorot": ("sigmoid", "glorot"),
    "ReLU, deviation 0.05": ("relu", 0.05),
}
sizes = {}
for name, (activation, initialization) in settings.items():
    net = Perceptron(
        (32, *[32] * 20, 1),
        activation=activation,
        loss="cross-entropy",
        initialization=initialization,
        rng=np.random.default_rng(8),
    )
    by_weights, _ = net.split(net.loss_and_gradient(X, y)[1])
    sizes[name] = [float(np.sqrt(np.mean(g**2))) for g in by_weights[:-1]]
fig, ax = plt.subplots()
for name, rms in sizes.items():
    ax.semilogy(range(1, 21), rms, label=name, markevery=2)
ax.set(xlabel="hidden layer, 1 is next to the input", xticks=range(1, 21, 3))
ax.set_ylabel("size of its weights' gradient (log)")
ax.set_title("From right to left: what is left of the gradient")
ax.legend(loc="center right")
ratio = {name: rms[0] / rms[-1] for name, rms in sizes.items()}
assert ratio["sigmoid, Glorot"] < 1e-8 and 0.05 < ratio["ReLU, He"] < 20
for name, r in ratio.items():
    print(f"{name}: first layer over last {r:.0e}")
plt.show()

# %% [markdown]
# Read from right to left. With sigmoids the gradient falls by more than ten orders of magnitude on its way to the first layer: that layer
# does not learn. ReLU with He's initialisation, whose variance of $2/\text{inputs}$ makes up for the half that ReLU
# cuts away [@he2015], keeps its size, and so nearly does tanh with Glorot's [@glorot2010]. The fourth line is ReLU with weights that are merely
# small: its gradient is tiny in *every* layer: near the output because the signal has died on its way forward, near the input because the slopes have died on
# their way back. So it is not the bend alone, and not the depth alone; bend and initialisation have to fit.
#
# ## Two tasks, first: will they like the film?
#
# MovieLens, in time order; the label is whether a rating has at least four stars. Four features tell, at the time of each rating, how
# often the user and the film were liked so far and how many ratings that is. Ratings of the same second do not count, as chapter 00 asks.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from recsys_course.metrics.intervals import group_interval
from recsys_course.metrics.losses import log_loss, row_log_loss

ratings = data.movielens().events
ratings = ratings.assign(label=(ratings["label"] >= 4).astype(float))
n_past = round(0.8 * len(ratings))
prior = ratings["label"].iloc[:n_past].mean()


def so_far(events, key):
    """Share of likes before each event, pulled to the prior by five, and the log of their number."""
    instants = events.groupby([key, "timestamp"], sort=False)["label"].agg(["sum", "size"])
    before = instants.groupby(level=0).cumsum() - instants
    before = before.loc[pd.MultiIndex.from_frame(events[[key, "timestamp"]])]
    likes, n = before["sum"].to_numpy(), before["size"].to_numpy()
    return (likes + 5 * prior) / (n + 5), np.log1p(n)


for key in ("user", "item"):
    ratings[f"{key}_share"], ratings[f"{key}_number"] = so_far(ratings, key)
columns = ["user_share", "user_number", "item_share", "item_number"]
ratings[columns] = (
    StandardScaler().fit(ratings[columns].iloc[:n_past]).transform(ratings[columns])
)
past, future = ratings.iloc[:n_past], ratings.iloc[n_past:]
strangers = ~future["user"].isin(past["user"])
print(f"{len(past):,} ratings to learn from, {len(future):,} to predict")
print(f"liked: {past['label'].mean():.0%} and {future['label'].mean():.0%}")
print(f"of users never seen before: {strangers.mean():.0%}")

# %% [markdown]
# The network is `NeuralNetwork`, on the same interface as the models of chapter 00: an embedding for user and item if wanted, features beside
# them, and the layers of chapter 03a on top. A share of ids is hidden while it learns, so that the row for strangers
# learns what is known of strangers. It is measured by the *log loss*, which is the cross-entropy on events it did not learn from.


# %%
def likes_network(n_factors, step_size, epochs):
    return NeuralNetwork(
        (32, 16),
        n_factors=n_factors,
        features=columns,
        loss="cross-entropy",
        optimizer=Adam(step_size, lazy=True),
        epochs=epochs,
        stranger=0.3,
        rng=np.random.default_rng(0),
    )


earlier, later = past.iloc[: round(0.8 * n_past)], past.iloc[round(0.8 * n_past) :]
pilot = {}
for n_factors in (0, 8):
    for step_size in (0.0005, 0.002, 0.008):
        for epochs in (1, 4):
            trial = likes_network(n_factors, step_size, epochs).fit(earlier)
            pilot[n_factors, step_size, epochs] = log_loss(later["label"], trial.predict(later))
pilot = pd.Series(pilot).rename_axis(["n_factors", "step", "epochs"])
chosen = {n: pilot[n].idxmin() for n in (0, 8)}
pilot.unstack(["epochs"]).round(4)

# %% [markdown]
# Step and number of epochs are chosen inside the past: learned on its first four fifths, judged on its last. The future
# has not been looked at. With the best setting of each, both learn the whole past.

# %%
regression = LogisticRegression().fit(past[columns], past["label"])
predictions = {
    "base rate": np.full(len(future), prior),
    "logistic regression": regression.predict_proba(future[columns])[:, 1],
    "network on features": likes_network(0, *chosen[0]).fit(past).predict(future),
    "network on features and ids": likes_network(8, *chosen[8]).fit(past).predict(future),
}


def verdict(labels, predictions, groups):
    """Log loss of each, and its difference to logistic regression with an interval that resamples groups."""
    reference = row_log_loss(labels, predictions["logistic regression"])
    rows = {}
    for name, p in predictions.items():
        interval = group_interval(
            row_log_loss(labels, p) - reference, groups, rng=np.random.default_rng(0)
        )
        rows[name] = (log_loss(labels, p), *interval)
    return pd.DataFrame(rows, index=["log loss", "difference", "low", "high"]).T


likes = verdict(future["label"], predictions, future["user"])
assert likes.loc["network on features", "low"] < 0 < likes.loc["network on features", "high"]
assert likes.loc["network on features and ids", "high"] > 0
assert likes.loc["base rate", "low"] > 0.1
likes.round(4)

# %% [markdown]
# The features are worth a great deal, the network nothing that shows: its interval, which resamples users, holds zero, and is narrow beside what
# the features gain. Four numbers that each
# push in one direction are what a logistic regression is made for. Embeddings do not help either, for the reason of chapter 00: most of
# the future belongs to users whose row was never learned.

# %% [markdown]
# ## Two tasks, second: who buys what next week?
#
# On Complete Journey, the year of groceries of chapter 01 (realistic, and perhaps simulated, as that chapter says), an example is a cell: a household, a category, a week. *All* cells are
# examples, three quarters of a million in each week, also those in which nothing was bought; nearly all are of that kind.
#
# Features are shares of past weeks: in which the household bought from the category (of the last 1, 4 and 13), in which it came at all
# (of the same), and how often the category was bought by all of them lately, as log-odds. Weeks 35 to 40 are the past, 41 to 52 the future.

# %%
lines = data.complete_journey_lines().events
lines = lines[lines["category"].notna()]  # a few products have none, the data's card says
household, households = pd.factorize(lines["user"], sort=True)
category, categories = pd.factorize(lines["category"], sort=True)
bought = np.zeros((54, len(households), len(categories)), np.int8)
bought[lines["week"], household, category] = 1  # weeks count from 1; row 0 stays empty
came = bought.max(axis=2)
del lines, household, category  # more than a million rows each, no longer needed


def log_odds(share):
    return np.log(share / (1 - share))


def cells(week):
    """All cells of a week, with what was known before it."""
    _, n, m = bought.shape
    table = pd.DataFrame({"user": np.repeat(np.arange(n), m), "item": np.tile(np.arange(m), n)})
    table["timestamp"] = week
    table["label"] = bought[week].ravel().astype(float)
    for weeks in (1, 4, 13):
        table[f"bought_{weeks}"] = (
            bought[week - weeks : week].mean(axis=0, dtype=np.float32).ravel()
        )
        table[f"came_{weeks}"] = np.repeat(
            came[week - weeks : week].mean(axis=0, dtype=np.float32), m
        )
    lately = bought[week - 13 : week].sum(axis=0)
    heat = (lately.sum(axis=0) + 0.5) / (13 * n + 1)
    table["heat"] = np.tile(log_odds(heat).astype(np.float32), n)
    table["habit"] = log_odds((lately + 2 * heat) / (13 + 2)).ravel().astype(np.float32)
    return table


past_cells = pd.concat([cells(week) for week in range(35, 41)], ignore_index=True)
everything = past_cells.columns[4:].tolist()
columns = [name for name in everything if name != "habit"]  # a matter for later
scaler = StandardScaler().fit(past_cells[everything])


def scaled(table):
    table[everything] = scaler.transform(table[everything]).astype(np.float32)
    return table


past_cells = scaled(past_cells)
print(f"{len(categories)} categories, {len(households):,} households")
print(f"{len(past_cells):,} cells to learn from, bought: {past_cells['label'].mean():.1%}")

# %% [markdown]
# Again the setting is chosen inside the past: weeks 35 to 38 teach, 39 and 40 judge.


# %%
def cell_network(step_size, columns=columns, n_factors=0, seed=0):
    return NeuralNetwork(
        (32, 16),
        n_factors=n_factors,
        features=columns,
        loss="cross-entropy",
        optimizer=Adam(step_size, lazy=True),
        epochs=1,
        batch_size=512,
        rng=np.random.default_rng(seed),
    )


until_38 = past_cells["timestamp"].searchsorted(39)
earlier, later = past_cells.iloc[:until_38], past_cells.iloc[until_38:]
pilot = {
    step_size: log_loss(later["label"], cell_network(step_size).fit(earlier).predict(later))
    for step_size in (0.0005, 0.002, 0.008)
}
step_size = min(pilot, key=pilot.get)
pd.Series(pilot, name="log loss of weeks 39 and 40").rename_axis("step").to_frame().round(5)

# %% [markdown]
# Now twelve weeks that none of them has seen. Each is predicted from what was known at its beginning; the models stay as they are.


# %%
def logistic_regression(columns):
    X = past_cells[columns].to_numpy(np.float32)
    return LogisticRegression(max_iter=500).fit(X, past_cells["label"]), columns


base_rate = past_cells["label"].mean()
regressions = {"logistic regression": logistic_regression(columns)}
regressions["regression and habit"] = logistic_regression(everything)
starts = range(3)
networks = {("network on features", s): cell_network(step_size, seed=s) for s in starts}
networks |= {
    ("network and habit", s): cell_network(step_size, everything, seed=s) for s in starts
}
networks["network on features and ids", 0] = cell_network(step_size, n_factors=8)
for network in networks.values():
    network.fit(past_cells)
print(f"{len(regressions)} regressions and {len(networks)} networks")

# %%
future_weeks = range(41, 53)
losses = {name: [] for name in ("base rate", *regressions, *networks)}
for week in future_weeks:
    table = scaled(cells(week))
    p = {"base rate": np.full(len(table), base_rate)}
    for name, (model, names) in regressions.items():
        X = table[names].to_numpy(np.float32)
        p[name] = model.predict_proba(X)[:, 1].astype(float)
    p |= {name: network.predict(table) for name, network in networks.items()}
    for name, predicted in p.items():
        by_cell = row_log_loss(table["label"], predicted)
        losses[name].append(by_cell.reshape(len(households), -1).mean(axis=1))
losses = {name: np.mean(weeks, axis=0) for name, weeks in losses.items()}  # one per household
for name in ("network on features", "network and habit"):
    losses[name] = np.mean([losses[name, start] for start in starts], axis=0)


def against(reference, name):
    difference = losses[name] - losses[reference]
    interval = group_interval(difference, households, rng=np.random.default_rng(0))
    return losses[name].mean(), *interval


shown = ["base rate", "logistic regression", "network on features"]
rows = {name: against("logistic regression", name) for name in shown}
rows["network on features and ids"] = against(
    "logistic regression", ("network on features and ids", 0)
)
purchases = pd.DataFrame(rows, index=["log loss", "difference", "low", "high"]).T
assert purchases.loc["base rate", "low"] > 0.02
assert purchases.loc["network on features", "high"] < -0.001
assert purchases.loc["network on features and ids", "low"] > 0
purchases.round(5)

# %% [markdown]
# Here the network is ahead of the regression on the same features, and the interval, which resamples households, stays below zero. A row of
# its own for each household and category makes it worse than the regression: in six weeks the rows learn what happened in those six, and the features already say
# what lasts. The network's row is the mean of three starts. Here they are one by one:

# %%
gain = pd.Series(
    {s: -against("logistic regression", ("network on features", s))[1] for s in starts}
)
whole = purchases.loc["base rate", "log loss"] - purchases.loc["logistic regression", "log loss"]
assert (gain > 0.001).all() and (gain / whole).between(0.01, 0.10).all()
print(f"beside what the regression gains over the base rate: {(gain / whole).round(3).tolist()}")
gain.round(5).rename_axis("start").rename("gain").to_frame()

# %% [markdown]
# Each of three starts gains. The gain is well beyond chance, and small beside what the regression gains over the base rate.
#
# What might the network have found? A guess, and then a test of it. The features are shares, and a share that goes from nothing to one week in
# thirteen says far more than one from six weeks to seven. The regression adds up shares; the network can bend them. *Habit* is the
# household's own share as log-odds, pulled to the category's where it is empty. Here is the regression with that one feature more,
# against the network without and with it:

# %%
contest = {
    "regression and habit, against network on features": (
        "network on features",
        "regression and habit",
    ),
    "network and habit, against regression and habit": (
        "regression and habit",
        "network and habit",
    ),
}
rows = {name: against(*pair)[1:] for name, pair in contest.items()}
contest = pd.DataFrame(rows, index=["difference", "low", "high"]).T
gains = {s: -against("logistic regression", s)[1] for s in ("regression and habit", *shown[2:])}
regained = gains["regression and habit"] / gains["network on features"]
assert 0.85 < regained < 1.05
assert contest["difference"].abs().max() < 0.2 * gains["network on features"]
print(f"the regression with habit gets {regained:.0%} of the network's gain")
contest.round(5)

# %% [markdown]
# One feature gives the regression about nine tenths of what the network had gained. The rest the network keeps, with the feature too: beyond chance,
# and a tenth of a small gain. So the answer to the grocer is neither yes nor no. A network finds by itself how a number has to be bent, which is worth much
# where there are many numbers and nobody to look at them. Here it was worth one line of code.
#
# ## What the source says, what we measured
#
# | The source says | Where | What we measured |
# |---|---|---|
# | Backpropagation updates the parameters | B concepts 3 | It gives a gradient; SGD and Adam make different moves of it: *Three ways to move* |
# | Gradient descent and Adam accelerate convergence | B concepts 3 | On features of one scale plain descent is fastest, on unequal ones slowest: *Do optimisers accelerate?* |
# | $\theta + \eta(X - \theta\cdot X)$ is online learning | B online formula | No label, and a random walk; LMS arrives: *One event at a time: least mean squares* |
# | $\eta$ is the learning rate | B online formula | Beyond $2/(d+2)$ the mean square error grows: *How large may the step be?* |
# | A deep model captures complex patterns, and so improves recommendations | A3.1, A3.3 | Against a logistic regression: nothing on films; on purchases as much as one well-made feature: *Two tasks, second: who buys what next week?* |
#
# ## Recap
#
# 1. Backpropagation gives the gradient; SGD, momentum and Adam decide what to make of it, and can be matched to Keras step by step.
# 2. Frameworks differ from papers in small places: where epsilon stands, what happens to rows that are not there.
# 3. LMS multiplies the error by the input; in the mean square its step must stay below $2/(d+2)$ for white Gaussian features.
# 4. Bend and initialisation have to fit, or the gradient never reaches the first layer.
# 5. A network beats a logistic regression where numbers have to be bent, and one well-bent feature may do the same.
#
# ## Three questions
#
# **1. You double the number of features of an online linear model. What about its step?**
#
# <details><summary>Answer</summary>
#
# The bound in the mean square, $2/(d+2)$, is halved, nearly, for features of variance 1. A step that was safe may make the model fly off. Dividing the step by
# $|x|^2$ (normalised LMS) adapts by itself.
#
# </details>
#
# **2. A user was active once, a year ago. Her embedding has moved ever since. How?**
#
# <details><summary>Answer</summary>
#
# With dense moments: after her one event, $m$ is not zero, and each step moves her row by what is left of it, until it has faded. With
# lazy moments her row stays until she comes back.
#
# </details>
#
# **3. A colleague's network beats the regression by two per cent of its log loss. What do you ask before it goes to production?**
#
# <details><summary>Answer</summary>
#
# How its settings were chosen (not on the part that is scored, one hopes); whether the interval resamples users; whether other starts gain as well;
# and whether somebody has given the regression the same numbers on another scale, in steps, or multiplied with each other. In this chapter the last question took nearly the whole gain away.
#
# </details>
#
# ## Read on
#
# - Adam, four pages in: [@kingma2015!]
# - Momentum, before there were networks: [@polyak1964!]
# - Least mean squares, and the bound that is much smaller than the usual one: [@feuer1985!]
# - Initialisation and depth: [@glorot2010!] and [@he2015!]
#
# ## Exercises
#
# In `exercises/03b_training.ipynb`: Adam as the paper has it; the bound for other features; an initialisation that fits; and features of
# your own that beat the chapter's.
