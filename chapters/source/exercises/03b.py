# %% [markdown]
# # 03b Exercises: Training
#
# These go with [chapter 03b](../03b_training.ipynb). Each asks you to replace the line that raises an error, and is
# followed by a cell that checks your answer; run it until it is silent. They become less guided as they go on.

# %%
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from recsys_course import data
from recsys_course.metrics import log_loss
from recsys_course.models import Adam
from recsys_course.models.layers import Perceptron

# %% [markdown]
# ## 1. Adam, as the paper has it
#
# *Objective 1.* Write `adam_of_the_paper(gradients, eta, epsilon)`: given a list of gradients, one per step, return by how
# much a parameter that starts at 0 has moved after all of them. Correct first, $\hat m = m/(1-\beta_1^t)$ and
# $\hat v = v/(1-\beta_2^t)$, then step by $\eta\,\hat m/(\sqrt{\hat v} + \epsilon)$. The decays are `0.9` and `0.999`.


# %% answer="adam"
def adam_of_the_paper(gradients, eta, epsilon):
    ### BEGIN SOLUTION
    theta = m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        theta = theta - eta * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
    return theta
    ### END SOLUTION


# %% check="adam" points=1
gradients = np.random.default_rng(0).normal(1, 2, size=50)


def of_the_library(epsilon):
    theta, optimizer = np.zeros(1), Adam(0.1, epsilon=epsilon)
    for g in gradients:
        optimizer.step([theta], [np.array([g])])
    return theta[0]


assert np.isclose(adam_of_the_paper(gradients[:1], 0.1, 1e-12), -0.1 * np.sign(gradients[0])), (
    "the first step goes by eta against the sign of the gradient: are both moments corrected, and is t 1 at first?"
)
assert np.isclose(adam_of_the_paper(gradients, 0.1, 1e-12), of_the_library(1e-12)), (
    "with a tiny epsilon the paper's form and Keras's should agree"
)
assert not np.isclose(adam_of_the_paper(gradients, 0.1, 0.1), of_the_library(0.1)), (
    "with a large epsilon they should not: add it after the correction"
)
assert np.isclose(adam_of_the_paper([1.0], 1.0, 1.0), -0.5), (
    "one step, gradient 1, epsilon 1: half a step"
)


# %% wrong="adam"
# Keras's form.
def adam_of_the_paper(gradients, eta, epsilon):
    theta = m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        theta -= eta * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + epsilon)
    return theta


# %% wrong="adam"
# Leaves out the correction of the start.
def adam_of_the_paper(gradients, eta, epsilon):
    theta = m = v = 0.0
    for g in gradients:
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        theta -= eta * m / (np.sqrt(v) + epsilon)
    return theta


# %% [markdown]
# ## 2. The bound for other features
#
# *Objective 2.* The chapter's bound $2/(d+2)$ holds for white Gaussian features. Let features be independent, each $+1$ or
# $-1$ with equal chance. Derive by what factor one step of LMS multiplies $\mathbb E|e|^2$ now, and write two functions:
# `growth(eta, d)`, that factor, and `bound(d)`, the step at which it becomes 1.


# %% answer="bound"
### BEGIN SOLUTION
def growth(eta, d):
    return 1 - 2 * eta + eta**2 * d  # the squared length of x is d, always


def bound(d):
    return 2 / d


### END SOLUTION


# %% check="bound" points=2
rng = np.random.default_rng(0)
for d in (2, 5, 20):
    x = rng.choice([-1.0, 1.0], size=(100_000, d))
    e = np.eye(d)[0] * 0.6 + np.eye(d)[1] * 0.8
    for eta in (0.05, 0.3):
        after = e - eta * (x @ e)[:, None] * x
        measured = (after**2).sum(axis=1).mean()
        assert np.isclose(growth(eta, d), measured, rtol=0.03), (
            f"with {d} features and a step of {eta} the factor is about {measured:.2f}: what is |x| squared here?"
        )
    assert np.isclose(growth(bound(d), d), 1), "at the bound the factor should be 1"
    assert bound(d) > 0.01, "a step of 0 is always a bound: give the other one"


# %% wrong="bound"
# That of Gaussian features.
def growth(eta, d):
    return 1 - 2 * eta + eta**2 * (d + 2)


def bound(d):
    return 2 / (d + 2)


# %% wrong="bound"
# That of the mean.
def growth(eta, d):
    return (1 - eta) ** 2


def bound(d):
    return 2.0


# %% [markdown]
# ## 3. An initialisation that fits
#
# *Objective 3.* Write `deviation(activation, width)`, the standard deviation of the first weights for which a network of
# forty hidden layers, each of `width` neurons, passes its gradient from the last to the first: their sizes should differ by less than a factor of
# a hundred. It should work for `"tanh"` and for `"relu"`, at widths from `32` to `128`.


# %% answer="initialisation"
def deviation(activation, width):
    ### BEGIN SOLUTION
    return np.sqrt((2 if activation == "relu" else 1.1) / width)
    ### END SOLUTION


# %% check="initialisation" points=2
def ends(activation, width):
    rng = np.random.default_rng(width)
    net = Perceptron(
        (width, *[width] * 40, 1),
        activation=activation,
        initialization=float(deviation(activation, width)),
        rng=rng,
    )
    X = rng.normal(size=(50, width))
    by_weights, _ = net.split(net.loss_and_gradient(X, X[:, 0])[1])
    return np.linalg.norm(by_weights[0]), np.linalg.norm(by_weights[-2])


for activation in ("tanh", "relu"):
    for width in (32, 64, 128):
        first, last = ends(activation, width)
        assert np.isfinite(first) and first > 0, f"{activation}, width {width}: nothing arrives"
        assert 0.01 < first / last < 100, (
            f"{activation}, width {width}: the first layer's gradient is {first / last:.0e} times the last's"
        )
        assert last > 1e-6, f"{activation}, width {width}: the signal dies on its way forward"
        assert last < 100, f"{activation}, width {width}: the signal explodes on its way forward"


# %% wrong="initialisation"
# One for all.
def deviation(activation, width):
    return 0.05


# %% wrong="initialisation"
# As large as it likes: the ends agree, and both explode.
def deviation(activation, width):
    return 1.0 if activation == "relu" else np.sqrt(1.1 / width)


# %% wrong="initialisation"
# Forgets that ReLU cuts half of the signal away.
def deviation(activation, width):
    return np.sqrt(1 / width) * 0.7


# %% [markdown]
# ## 4. Features of your own
#
# *Objective 4.* The chapter predicts likes on MovieLens from four features, with a log loss of about one half, and its network gains
# nothing over the regression. Features may. Write `features(ratings)`, which returns an array with a row for each rating and
# any number of columns, numbers that are known *before* the rating. The check fits a scaled logistic regression on them and wants a log
# loss that is smaller than that of the chapter's four by at least `0.003`. It also turns around the labels of the
# last ratings: the features of earlier ones must not notice.
#
# `so_far` is given, and `ratings` has the columns user, item, label, timestamp. Ratings of one second must not see each other.

# %%
ratings = data.movielens().events
ratings = ratings.assign(label=(ratings["label"] >= 4).astype(float))
n_past = round(0.8 * len(ratings))


def so_far(events, key):
    """Share of likes before each event, pulled to one half by five, and the log of their number."""
    instants = events.groupby([key, "timestamp"], sort=False)["label"].agg(["sum", "size"])
    before = instants.groupby(level=0).cumsum() - instants
    before = before.loc[pd.MultiIndex.from_frame(events[[key, "timestamp"]])]
    likes, n = before["sum"].to_numpy(), before["size"].to_numpy()
    return (likes + 2.5) / (n + 5), np.log1p(n)


def loss_with(columns):
    columns = StandardScaler().fit(columns[:n_past]).transform(columns)
    model = LogisticRegression(max_iter=500).fit(columns[:n_past], ratings["label"].iloc[:n_past])
    return log_loss(ratings["label"].iloc[n_past:], model.predict_proba(columns[n_past:])[:, 1])


of_the_chapter = np.column_stack([*so_far(ratings, "user"), *so_far(ratings, "item")])


# %% answer="features"
def features(ratings):
    ### BEGIN SOLUTION
    user_share, user_n = so_far(ratings, "user")
    item_share, item_n = so_far(ratings, "item")
    # How the user differs from others on the films that she rated, and how sure the film's own share is.
    above = ratings["label"].to_numpy() - item_share
    table = ratings.assign(label=above)
    instants = table.groupby(["user", "timestamp"], sort=False)["label"].agg(["sum", "size"])
    before = instants.groupby(level=0).cumsum() - instants
    before = before.loc[pd.MultiIndex.from_frame(table[["user", "timestamp"]])]
    lean = (before["sum"] / (before["size"] + 5)).to_numpy()
    # The last instants of the user, the older the less.
    mean = instants["sum"] / instants["size"]
    recent = mean.groupby(level=0).transform(
        lambda m: m.ewm(halflife=5).mean().shift(fill_value=0.0)
    )
    recent = recent.loc[pd.MultiIndex.from_frame(table[["user", "timestamp"]])].to_numpy()
    logit = np.log(item_share / (1 - item_share))
    sure = np.minimum(item_n, 3)
    return np.column_stack(
        [user_share, user_n, item_share, item_n, lean, recent, logit * sure, lean * user_n]
    )
    ### END SOLUTION


# %% check="features" points=3
mine = features(ratings)
assert len(mine) == len(ratings), "a row for each rating"
assert np.isfinite(mine).all(), "a feature is missing or infinite"
turned = ratings.copy()
turned.loc[80_000:, "label"] = 1 - turned.loc[80_000:, "label"]
same = (turned["timestamp"] < turned.loc[80_000, "timestamp"]).to_numpy()
assert np.allclose(features(turned)[same], mine[same]), (
    "labels of later ratings change the features of earlier ones: you look ahead"
)
alone = ratings.copy()
alone.loc[[90_000], "label"] = 1 - alone.loc[90_000, "label"]
assert np.allclose(features(alone)[90_000], mine[90_000]), (
    "a rating's own label is in its features"
)
together = ratings[["user", "timestamp"]].duplicated(keep=False).to_numpy()
row = int(np.flatnonzero(together[90_000:])[0]) + 90_000
twin = ratings.copy()
twin.loc[[row], "label"] = 1 - twin.loc[row, "label"]
company = (ratings["user"] == ratings.loc[row, "user"]) & (
    ratings["timestamp"] == ratings.loc[row, "timestamp"]
)
assert np.allclose(features(twin)[company], mine[company]), (
    "ratings of the same user and second see each other"
)
have, want = loss_with(mine), loss_with(of_the_chapter) - 0.003
assert have < want, (
    f"log loss {have:.4f}, wanted below {want:.4f}: what of taste, of genre, of the last few ratings?"
)


# %% wrong="features"
# The chapter's own.
def features(ratings):
    return np.column_stack([*so_far(ratings, "user"), *so_far(ratings, "item")])


# %% wrong="features"
# The row before, which may be of the same second.
def features(ratings):
    last = ratings.groupby("user")["label"].shift(1).fillna(0.5)
    return np.column_stack([*so_far(ratings, "user"), *so_far(ratings, "item"), last])


# %% wrong="features"
# Means over the whole table: each holds the label that it helps to predict.
def features(ratings):
    by_user = ratings.groupby("user")["label"].transform("mean")
    by_item = ratings.groupby("item")["label"].transform("mean")
    return np.column_stack([by_user, by_item])
