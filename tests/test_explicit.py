"""The models of ratings: against other libraries, central differences, and slow versions that are obviously right."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import optim, reco
from test_replay import ratings

from recsys_course.events import EventsError
from recsys_course.models import (
    BayesianFactorization,
    BiasedFactorization,
    ExplicitALS,
    MatrixFactorization,
    NotFittedError,
    SVDPlusPlus,
)
from recsys_course.models import _rating_kernels as kernels
from recsys_course.models.bayesian import draw_precision
from recsys_course.replay import replay
from recsys_course.strategies import Incremental, PeriodicRetrain

SURPRISE = Path(__file__).parent / "data" / "surprise.csv"


def models():
    rng = np.random.default_rng(3)
    shared = {"label_range": (1, 5), "rng": rng}
    return {
        "sgd": BiasedFactorization(4, epochs=3, **shared),
        "sgd, 32 bits": BiasedFactorization(4, epochs=3, decay=0.9, dtype=np.float32, **shared),
        "sgd by user": BiasedFactorization(4, epochs=3, order="by user", **shared),
        "svd++": SVDPlusPlus(3, epochs=3, **shared),
        "svd++ by user": SVDPlusPlus(3, epochs=3, order="by user", dtype=np.float32, **shared),
        "als": ExplicitALS(3, sweeps=3, regularization=1.0, **shared),
        "als per rating": ExplicitALS(3, sweeps=3, per_rating=True, **shared),
        "bayesian": BayesianFactorization(3, sweeps=6, burn_in=2, update_sweeps=3, **shared),
    }


STEPWISE = [name for name in models() if name.startswith(("sgd", "svd"))]
RENAMING = {"als": 1e-12, "als per rating": 1e-12}  # the others: nothing at all changes


def table_of(users, items, labels) -> pd.DataFrame:
    return pd.DataFrame({"user": users, "item": items, "label": labels, "timestamp": np.arange(len(users))})


def outputs(model, events):
    return np.append(model.predict(events), model.score_items(events["user"].unique(), events["item"].unique()))


# ------------------------------------------------------------------------- agreement with other libraries


def surprise_case(n_factors, sides):
    """Its ratings and, drawn as it draws them, its initial factors: users, items, and the implied ones."""
    known = pd.read_csv(SURPRISE)
    events = table_of(known["user"], known["item"], known["label"].astype(float))
    learned = events.head(800)
    draws = np.random.RandomState(0)
    sizes = [learned["user"].nunique(), *[learned["item"].nunique()] * (sides - 1)]
    return events, learned, known, tuple(draws.normal(0, 0.1, (size, n_factors)) for size in sizes)


def test_sgd_is_surprises_svd():
    events, learned, known, initial = surprise_case(7, 2)
    model = BiasedFactorization(
        7,
        epochs=9,
        step_size=0.01,
        bias_step_size=0.02,
        regularization=0.05,
        user_bias_regularization=0.01,
        order="by user",
        initial=initial,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(model.fit(learned).predict(events), known["svd"], rtol=0, atol=1e-9)
    model.dtype = np.dtype(np.float32)
    np.testing.assert_allclose(model.fit(learned).predict(events), known["svd"], rtol=0, atol=1e-4)


def test_regrouped_svdpp_is_surprises():
    events, learned, known, initial = surprise_case(5, 3)
    model = SVDPlusPlus(
        5,
        epochs=6,
        step_size=0.02,
        regularization=0.05,
        implied_step_size=0.01,
        implied_regularization=0.03,
        order="by user",
        initial=initial,
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(model.fit(learned).predict(events), known["svdpp"], rtol=0, atol=1e-9)


def river_initial(events, n_factors, spread, seed):
    """River draws lazily, a newcomer's user before its item, from one generator: the same draws, all at once."""
    new = np.column_stack([~events["user"].duplicated(), ~events["item"].duplicated()]).ravel()
    is_item = np.tile([False, True], len(events))[new]
    draws = np.random.RandomState(seed).normal(0, spread, (new.sum(), n_factors))
    return draws[~is_item], draws[is_item]


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_one_pass_is_rivers_biased_mf(seed):
    events = ratings(200, seed=seed)
    river = reco.BiasedMF(
        n_factors=6,
        bias_optimizer=optim.SGD(0.02),
        latent_optimizer=optim.SGD(0.05),
        l2_bias=0.03,
        l2_latent=0.04,
        seed=seed,
    )
    expected = []
    for row in events.itertuples():
        expected.append(river.predict_one(user=row.user, item=row.item))
        river.learn_one(user=row.user, item=row.item, y=row.label)
    model = BiasedFactorization(
        6,
        step_size=2 * 0.05,
        bias_step_size=2 * 0.02,
        regularization=0.04 / 2,
        user_bias_regularization=0.03 / 2,
        item_bias_regularization=0.03 / 2,
        count_initial=True,
        initial=river_initial(events, 6, 0.1, seed),
        rng=np.random.default_rng(0),
    )
    np.testing.assert_allclose(model.predict_then_learn(events), expected, rtol=0, atol=1e-12)


def test_the_replays_factorisation_is_the_same_model():
    events = ratings()
    old = MatrixFactorization(4, epochs=3, step_size=0.03, regularization=0.05, shuffle=False, rng=_rng()).fit(events)
    new = BiasedFactorization(
        4, epochs=3, step_size=0.03, regularization=0.05, order="arrival", initial=_factors_of(old, events), rng=_rng()
    )
    np.testing.assert_allclose(new.fit(events).predict(events), old.predict(events), atol=1e-12)
    more = ratings(200, seed=1)
    np.testing.assert_allclose(new.update(more).predict(more), old.update(more).predict(more), atol=1e-12)


def _rng():
    return np.random.default_rng(5)


def _factors_of(model, events):
    """The initial factors that the model starts from: those after learning with steps of length 0."""
    start = copy.deepcopy(model)
    start.step_size = 0.0
    state = start.fit(events)._factors
    return state.user_factors[: len(state.users)], state.item_factors[: len(state.items)]


# ------------------------------------------------------------------------------- gradients and solutions


def one_event(kind, **kwargs):
    """A fitted model, a further event of a known pair, and the parameters that learning it may move."""
    events = ratings(120)
    model = kind(3, epochs=2, step_size=0.01, rng=np.random.default_rng(0), **kwargs).fit(events)
    event = table_of([events["user"].iloc[3]], [events["item"].iloc[3]], [2.5])
    u, i = model._users.rows[event["user"].iloc[0]], model._items.rows[event["item"].iloc[0]]
    return events, model, event, u, i


def central_differences(objective, theta, h=1e-6):
    return np.array([(objective(theta + h * e) - objective(theta - h * e)) / (2 * h) for e in np.eye(len(theta))])


@pytest.mark.parametrize("way", ["update", "learn_one"])
def test_a_step_of_sgd_is_minus_the_gradient(way):
    kwargs = {
        "bias_step_size": 0.02,
        "regularization": 0.3,
        "user_bias_regularization": 0.1,
        "item_bias_regularization": 0.2,
    }
    events, model, event, u, i = one_event(BiasedFactorization, **kwargs)
    labels = np.append(events["label"], 2.5)

    def parameters():
        return np.concatenate(
            [[model._user_bias[u], model._item_bias[i]], model._user_factors[u], model._item_factors[i]]
        )

    def objective(theta):
        score = labels.mean() + theta[0] + theta[1] + theta[2:5] @ theta[5:]
        shrink = np.repeat([0.1, 0.2, 0.3], [1, 1, 6])
        return (2.5 - score) ** 2 / 2 + (shrink * theta**2).sum() / 2

    before = parameters()
    gradient = central_differences(objective, before)
    if way == "update":
        model.update(event)
    else:
        model.learn_one(event["user"].iloc[0], event["item"].iloc[0], 2.5)
    np.testing.assert_allclose(parameters() - before, -np.repeat([0.02, 0.01], [2, 6]) * gradient, rtol=1e-6)


def test_a_step_of_svdpp_is_minus_the_gradient():
    kwargs = {"regularization": 0.3, "implied_step_size": 0.03, "implied_regularization": 0.2}
    events, model, event, u, i = one_event(SVDPlusPlus, **kwargs)
    mean = np.append(events["label"], 2.5).mean()
    had = model._items.find(events["item"][events["user"] == event["user"].iloc[0]].unique())

    def parameters():
        return np.concatenate(
            [
                [model._user_bias[u], model._item_bias[i]],
                model._user_factors[u],
                model._item_factors[i],
                model._implied[had].ravel(),
            ]
        )

    def objective(theta):
        z = theta[8:].reshape(-1, 3).sum(axis=0) / np.sqrt(len(had))
        score = mean + theta[0] + theta[1] + (theta[2:5] + z) @ theta[5:8]
        shrink = np.repeat([0.3, 0.2], [8, 3 * len(had)])
        return (2.5 - score) ** 2 / 2 + (shrink * theta**2).sum() / 2

    before = parameters()
    gradient = central_differences(objective, before)
    model.update(event)
    steps = np.repeat([0.01, 0.03], [8, 3 * len(had)])
    np.testing.assert_allclose(parameters() - before, -steps * gradient, rtol=1e-6, atol=1e-10)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_regrouping_svdpp_changes_nothing(seed):
    """Against the loop as it is written down, also where a user has rated an item twice."""
    events = ratings(150, seed=seed)
    rng = np.random.default_rng(seed)
    size = {"user": events["user"].nunique(), "item": events["item"].nunique()}
    p, q, y = (rng.normal(0, 0.2, (size[side], 3)) for side in ("user", "item", "item"))
    initial = p.copy(), q.copy(), y.copy()
    users, items = pd.factorize(events["user"])[0], pd.factorize(events["item"])[0]
    b_u, b_i, mean = np.zeros(len(p)), np.zeros(len(q)), events["label"].mean()
    shrink = 0.1
    for step in (0.03, 0.03 * 0.6):
        for u in range(len(p)):
            had = np.unique(items[users == u])
            for row in np.flatnonzero(users == u):
                i = items[row]
                z = y[had].sum(axis=0) / np.sqrt(len(had))
                e = events["label"][row] - (mean + b_u[u] + b_i[i] + (p[u] + z) @ q[i])
                b_u[u] += step * (e - shrink * b_u[u])
                b_i[i] += step * (e - shrink * b_i[i])
                p_old, q_old = p[u].copy(), q[i].copy()
                p[u] += step * (e * q_old - shrink * p_old)
                q[i] += step * (e * (p_old + z) - shrink * q_old)
                y[had] += step * (e * q_old / np.sqrt(len(had)) - shrink * y[had])
    model = SVDPlusPlus(
        3, epochs=2, step_size=0.03, decay=0.6, regularization=0.1, order="by user", initial=initial, rng=_rng()
    ).fit(events)
    for learned, expected in ((model._user_factors, p), (model._item_factors, q), (model._implied, y)):
        np.testing.assert_allclose(learned, expected, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 1000), per_rating=st.booleans(), ridge=st.sampled_from([0.01, 1.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_als_never_raises_its_objective(seed, per_rating, ridge):
    events = ratings(150, seed=seed)
    model = ExplicitALS(4, sweeps=1, regularization=ridge, per_rating=per_rating, rng=_rng()).fit(events.head(100))
    heights = [model.objective()]
    for _ in range(5):
        heights.append(model.sweep().objective())
    for users, items in ((events["user"].unique()[:3], []), ([], events["item"].unique()[:3])):
        model._solve_users(model._users.find(users))
        model._solve_items(model._items.find(items))
        heights.append(model.objective())
    assert (np.diff(heights) <= 1e-9 * heights[0]).all()
    # An update adds terms to the objective; from where it stands with them, it falls too.
    before = copy.deepcopy(model)
    before._remember(events.tail(50))
    assert model.update(events.tail(50)).objective() <= before.objective() * (1 + 1e-9)


@pytest.mark.parametrize("per_rating", [False, True])
def test_als_stops_where_the_gradient_is_zero(per_rating):
    events = ratings(200)
    model = ExplicitALS(2, sweeps=400, regularization=2.0, per_rating=per_rating, rng=_rng()).fit(events)
    arrays = [model._user_bias, model._item_bias, model._user_factors, model._item_factors]
    at = np.concatenate([array.ravel() for array in arrays])

    def objective(theta):
        start = 0
        for array in arrays:
            array[...] = theta[start : start + array.size].reshape(array.shape)
            start += array.size
        return model.objective()

    np.testing.assert_allclose(central_differences(objective, at, 1e-5), 0, atol=1e-3)


@pytest.mark.parametrize("per_rating", [False, True])
@pytest.mark.parametrize("side", ["user", "item"])
def test_folding_in_is_ridge_regression_and_moves_nobody_else(side, per_rating):
    events = ratings()
    other = {"user": "item", "item": "user"}[side]
    newcomer = events.drop_duplicates(other).head(6).assign(label=[5.0, 4, 5, 1, 2, 5])
    newcomer[side] = 99 if side == "user" else "film 99"
    newcomer = newcomer.sort_values("timestamp", kind="stable")
    model = ExplicitALS(3, regularization=0.7, per_rating=per_rating, rng=_rng()).fit(events)
    before = outputs(model, events)
    model.fold_in(newcomer)
    np.testing.assert_array_equal(outputs(model, events), before)

    words = {"user": model._users, "item": model._items}
    bias = {"user": model._user_bias, "item": model._item_bias}
    factors = {"user": model._user_factors, "item": model._item_factors}
    rows = words[other].find(newcomer[other])
    design = np.column_stack([np.ones(6), factors[other][rows]])
    ridge = 0.7 * (6 if per_rating else 1)
    target = newcomer["label"] - events["label"].mean() - bias[other][rows]
    expected = np.linalg.solve(design.T @ design + ridge * np.eye(4), design.T @ target)
    new = words[side].rows[newcomer[side].iloc[0]]
    np.testing.assert_allclose(np.append(bias[side][new], factors[side][new]), expected, rtol=1e-10)


def test_folding_in_wants_one_newcomer_a_row():
    events = ratings()
    model = ExplicitALS(3, rng=_rng()).fit(events)
    before = outputs(copy.deepcopy(model), events)
    with pytest.raises(EventsError, match=r"row 0.*both known: use update"):
        model.fold_in(events.head(3))
    with pytest.raises(EventsError, match=r"row 1.*both new"):
        model.fold_in(table_of([99, 99], [events["item"].iloc[0], "film 99"], [3.0, 3.0]))
    np.testing.assert_array_equal(before, outputs(model, events))


# -------------------------------------------------------------------------------------- the posterior


def test_biases_are_drawn_from_their_posterior():
    """With n ratings of noise 1 about 2 and a prior of precision 4: mean 2n / (n + 4), variance 1 / (n + 4)."""
    n, rng, drawn = 12, np.random.default_rng(0), []
    bias, residual = np.zeros(1), np.full(n, 2.0)
    for _ in range(4000):
        kernels.sample_biases(np.zeros(n, np.int32), np.array([n * 1.0]), residual, 1.0, 4.0, bias, rng.normal(size=1))
        np.testing.assert_allclose(residual, 2.0 - bias[0], atol=1e-9)
        drawn.append(bias[0])
    assert np.mean(drawn) == pytest.approx(2 * n / (n + 4), abs=0.02)
    assert np.var(drawn) == pytest.approx(1 / (n + 4), rel=0.1)


def test_factors_are_drawn_from_their_posterior():
    """Three users, two items, c fixed: (p, y) has a normal posterior, written down with matrices and drawn by Gibbs."""
    own, other = np.array([0, 0, 1, 2], np.int32), np.array([0, 1, 0, 1], np.int32)
    c, scale = np.array([1.0, -0.5]), np.array([2.0, 1.0, 1.0]) ** -0.5
    labels = np.array([1.0, 0.5, -1.0, 0.3])
    noise, precision, implied_precision = 3.0, 2.0, 1.5
    starts, rows = kernels.group_rows(other, 2)
    design = np.zeros((4, 5))
    for k in range(4):
        design[k, own[k]] = c[other[k]]
        for j in other[own == own[k]]:
            design[k, 3 + j] += scale[own[k]] * c[other[k]]
    inverse = np.linalg.inv(noise * design.T @ design + np.diag([precision] * 3 + [implied_precision] * 2))
    expected = inverse @ design.T @ labels * noise
    rng = np.random.default_rng(0)
    p, y, vector, residual, drawn = np.zeros(3), np.zeros(2), np.zeros(3), labels.copy(), []
    for _ in range(20_000):
        kernels.sample_factor(
            *(own, other, starts, own[rows], scale, residual, noise, precision, implied_precision),
            *(p, y, vector, c, rng.normal(size=3), rng.normal(size=2)),
        )
        drawn.append([*p, *y])
    np.testing.assert_allclose(residual, labels - design @ drawn[-1], atol=1e-9)
    np.testing.assert_allclose(np.mean(drawn, axis=0), expected, atol=0.02)
    np.testing.assert_allclose(np.cov(np.transpose(drawn)), inverse, atol=0.03)


def test_precisions_are_drawn_from_their_posterior():
    """Gamma(1/2 + n/2, 1/2 + sum of squares / 2): its mean and its variance; and noise is found where it is known."""
    values, rng = np.array([0.5, -2.0, 1.0]), np.random.default_rng(0)
    drawn = [draw_precision(rng, values) for _ in range(20_000)]
    shape, rate = 2.0, 0.5 + 5.25 / 2
    assert np.mean(drawn) == pytest.approx(shape / rate, rel=0.02)
    assert np.var(drawn) == pytest.approx(shape / rate**2, rel=0.05)
    events = ratings(2000)
    events["label"] = 3 + np.random.default_rng(1).normal(0, 0.25, 2000)
    model = BayesianFactorization(2, sweeps=20, rng=_rng()).fit(events)
    assert model.noise == pytest.approx(0.25, rel=0.1)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_vectors_and_residuals_are_those_of_the_parameters(seed):
    """After sweeps, which change them bit by bit, and after newcomers, for whom they are made anew."""
    events = ratings(90, seed=seed)
    model = BayesianFactorization(2, sweeps=3, burn_in=1, update_sweeps=2, rng=_rng()).fit(events.head(40))
    for way in ("fitted", "newcomers", "updated"):
        if way == "newcomers":
            model._take_in(events.iloc[40:80])
        if way == "updated":
            model.update(events.iloc[80:])
        users, items, labels = model._past
        a, c = model._sides[0].factors.T.copy(), model._sides[1].factors.T.copy()
        for u in range(len(a)):
            had = np.unique(items[users == u])
            a[u] += model._sides[0].implied[:, had].sum(axis=1) / np.sqrt(len(had))
        for i in range(len(c)):
            raters = np.unique(users[items == i])
            c[i] += model._sides[1].implied[:, raters].sum(axis=1) / np.sqrt(len(raters))
        np.testing.assert_allclose(model._sides[0].vector.T, a, atol=1e-10)
        np.testing.assert_allclose(model._sides[1].vector.T, c, atol=1e-10)
        biases = model._sides[0].bias[users] + model._sides[1].bias[items]
        scores = labels.mean() + biases + (a[users] * c[items]).sum(axis=1)
        np.testing.assert_allclose(model._residual, labels - scores, atol=1e-10)


def test_the_posterior_knows_how_much_it_knows():
    events = ratings(1200, users=30, items=25)
    model = BayesianFactorization(3, sweeps=60, burn_in=10, rng=_rng()).fit(events[events["user"] != 7])
    items = events["item"].unique()
    about_7 = pd.DataFrame({"user": 7, "item": items})

    def spread(table):
        return model.predict_with_spread(table)[1].mean()

    stranger = spread(about_7)
    few = table_of([7, 7, 7], items[:3], [5.0, 5.0, 4.0])
    model.update(few)
    after_three = spread(about_7)
    model.update(events[events["user"] == 7])
    assert stranger > after_three > spread(about_7) > 0
    assert model.noise == pytest.approx(events["label"].std(), rel=0.2)  # the labels are random here


def test_the_spread_is_that_of_the_draws_and_of_the_prior():
    events = ratings()
    model = BayesianFactorization(3, sweeps=8, burn_in=2, rng=_rng()).fit(events)
    user_bias, item_bias, p, q, prior, _ = model._kept
    assert len(user_bias) == 8 - 2
    mean, spread = model.predict_with_spread(events)
    u, i = model._users.find(events["user"]), model._items.find(events["item"])
    draws = model._met[0] + user_bias[:, u] + item_bias[:, i] + np.einsum("srf,srf->sr", p[:, u], q[:, i])
    np.testing.assert_allclose(mean, draws.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(spread, draws.std(axis=0), rtol=1e-6)
    mean, spread = model.predict_with_spread(pd.DataFrame({"user": [-1], "item": events["item"].iloc[:1]}))
    own = model._met[0] + item_bias[:, i[0]]
    variance = own.var() + np.mean(prior[:, 0] + (prior[:, 1:] * q[:, i[0]] ** 2).sum(axis=1))
    assert (mean[0], spread[0]) == (pytest.approx(own.mean()), pytest.approx(variance**0.5))


# -------------------------------------------------------------------------------------- one interface


@pytest.mark.parametrize("name", [name for name in models() if name != "bayesian"])
def test_parameters_are_those_that_predict_and_are_a_copy(name):
    events = ratings(150)
    model = models()[name].fit(events.head(20)).update(events.iloc[20:])  # newcomers leave room to spare in the arrays
    known = model.parameters()
    assert list(known.users) == list(events["user"].unique()) and list(known.items) == list(events["item"].unique())
    by_hand = known.mean + known.user_bias[:, None] + known.item_bias + known.user_vectors @ known.item_vectors.T
    before = model.score_items(known.users, known.items)
    np.testing.assert_allclose(by_hand, before, rtol=1e-6, atol=1e-6)
    for array in known[3:]:
        array[:] = 0
    np.testing.assert_array_equal(model.score_items(known.users, known.items), before)


def test_a_posterior_has_no_single_parameters():
    with pytest.raises(TypeError, match="predict_with_spread"):
        models()["bayesian"].fit(ratings()).parameters()


@pytest.mark.parametrize("name", models())
def test_names_do_not_matter(name):
    events = ratings()
    renamed = events.assign(user=events["user"].map(lambda u: f"reader {97 - u}"), item=events["item"].str.upper())
    a, b = (models()[name].fit(table.head(200)).update(table.iloc[200:]) for table in (events, renamed))
    np.testing.assert_allclose(outputs(a, events), outputs(b, renamed), rtol=0, atol=RENAMING.get(name, 0))


@pytest.mark.parametrize("name", models())
def test_a_stored_model_goes_on_exactly(name):
    events = ratings()
    model = models()[name].fit(events.iloc[:150])
    restored = pickle.loads(pickle.dumps(model))
    for m in (model, restored):
        m.update(events.iloc[150:])
        if name in STEPWISE:
            m.learn_one(99, "film 1", 2.0)
    np.testing.assert_array_equal(outputs(model, events), outputs(restored, events))


@pytest.mark.parametrize("name", models())
def test_a_seed_decides_everything_and_fitting_again_starts_from_scratch(name):
    events = ratings()
    model = models()[name]
    first = outputs(model.fit(events), events)
    learned = model.examples_learned
    model.update(events)
    assert model.examples_learned > learned
    np.testing.assert_array_equal(first, outputs(model.fit(events), events))
    np.testing.assert_array_equal(first, outputs(models()[name].fit(events), events))
    assert model.nbytes > 0 and model.examples_learned == learned


@pytest.mark.parametrize("name", STEPWISE)
def test_one_at_a_time_equals_all_at_once(name):
    events = ratings()
    first, rest = events.iloc[:3], events.iloc[3:]  # so that most ids are still to come, and their factors to be drawn
    at_once, singly, bare = (models()[name].fit(first) for _ in range(3))
    told = at_once.predict_then_learn(rest)
    for row in range(len(rest)):
        singly.update(rest.iloc[row : row + 1])
    said = [bare.learn_one(row.user, row.item, row.label) for row in rest.itertuples()]
    np.testing.assert_array_equal(told, said)
    for model in (singly, bare):
        np.testing.assert_array_equal(outputs(at_once, events), outputs(model, events))
        assert model.examples_learned == at_once.examples_learned


@pytest.mark.parametrize("name", STEPWISE)
def test_a_pass_says_what_predict_would_have_said(name):
    """Also of newcomers, whose random factors do not count unless that is asked for."""
    events = ratings(150)
    model = models()[name]
    model.label_range = None
    model.fit(events.head(20))
    apart = copy.deepcopy(model)
    expected = []
    for row in range(20, 150):
        expected.append(apart.predict(events.iloc[row : row + 1])[0])
        apart.update(events.iloc[row : row + 1])
    exact = 1e-5 if model.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(model.predict_then_learn(events.iloc[20:]), expected, rtol=0, atol=exact)


def test_a_rating_given_twice_in_a_row_is_learned_twice():
    """The pass reads ahead to the next rating, which may be of the same pair: against the plain loop."""
    events = table_of([1] * 6, [7, 7, 8, 8, 8, 7], [5.0, 1.0, 3.0, 2.0, 5.0, 4.0])
    initial = np.full((1, 9), 0.2), np.linspace(-1, 1, 18).reshape(2, 9)
    settings = {"epochs": 3, "step_size": 0.1, "decay": 0.5, "order": "arrival"}
    model = BiasedFactorization(9, **settings, initial=initial, rng=_rng()).fit(events)
    b_u, b_i, p, q = 0.0, np.zeros(2), initial[0][0].copy(), initial[1].copy()
    for step in (0.1, 0.05, 0.025):
        for i, label in zip(pd.factorize(events["item"])[0], events["label"], strict=True):
            e = label - (events["label"].mean() + b_u + b_i[i] + p @ q[i])
            b_u += step * (e - 0.05 * b_u)
            b_i[i] += step * (e - 0.05 * b_i[i])
            p, q[i] = p + step * (e * q[i] - 0.05 * p), q[i] + step * (e * p - 0.05 * q[i])
    np.testing.assert_allclose(model._user_factors[0], p, rtol=1e-12)
    np.testing.assert_allclose(model._item_factors, q, rtol=1e-12)


@pytest.mark.parametrize("name", models())
def test_what_is_learned_helps_and_newcomers_are_admitted(name):
    events = ratings(800)
    model = models()[name].fit(events.head(400))
    stranger = pd.DataFrame({"user": [99, 99, 0], "item": ["film 99", "film 1", "film 99"]})
    said = model.predict(stranger)
    assert said[0] == pytest.approx(model._met[0], abs=1e-6) and np.isfinite(said).all()
    assert model.score_items(np.array([0]), np.array(["film 99"]))[0, 0] == -np.inf
    arrived = table_of([99] * 40, ["film 99", "film 1"] * 20, [5.0, 1.0] * 20)
    model.update(arrived)
    liked, disliked = model.predict(arrived.head(2))
    assert liked > disliked
    listed = model.recommend([99], 99)["item"].tolist()
    assert sorted(listed) == sorted(model.known_items) and listed.index("film 99") < listed.index("film 1")


@pytest.mark.parametrize("name", models())
def test_scores_are_predictions_outside_the_range(name):
    events = ratings()
    model = models()[name]
    model.label_range = None
    model.fit(events)
    users, items = np.append(events["user"].unique(), 99), events["item"].unique()
    grid = pd.DataFrame({"user": np.repeat(users, len(items)), "item": np.tile(items, len(users))})
    scores = model.score_items(users, items).ravel()
    np.testing.assert_allclose(scores, model.predict(grid), rtol=1e-4 if "32" in name or "svd" in name else 1e-9)
    inside = models()[name].fit(events).predict(grid)
    assert inside.min() >= 1 and inside.max() <= 5


@pytest.mark.parametrize("name", models())
def test_bad_input_is_refused_and_leaves_the_model_alone(name):
    events = ratings()
    model = models()[name].fit(events)
    before = outputs(copy.deepcopy(model), events)
    bad_labels = [(np.nan, "row 7"), (np.inf, "row 7"), (-np.inf, "row 7"), (5.5, "5.5 in row 7: label_range says 1")]
    for value, message in bad_labels:
        bad = events.copy()
        bad.loc[7, "label"] = value
        bad.loc[6, ["user", "item"]] = [99, "film 99"]
        for call in (model.update, model.fit):
            with pytest.raises(EventsError, match=message):
                call(bad)
        if name in STEPWISE:
            with pytest.raises(EventsError, match="is no number from 1 to 5"):
                model.learn_one(98, "film 98", value)
    for call in (model.update, model.fit, model.predict):
        with pytest.raises(EventsError, match="'item' is missing"):
            call(events.drop(columns="item"))
    for call in (model.update, model.fit):
        with pytest.raises(EventsError, match="no rows"):
            call(events.head(0))
        with pytest.raises(EventsError, match="earlier"):
            call(events.iloc[::-1])
    assert len(model.predict(events.head(0))) == 0
    assert 98 not in model._users.ids() and 99 not in model._users.ids()
    np.testing.assert_array_equal(before, outputs(model, events))


@pytest.mark.parametrize("name", models())
def test_asking_before_learning_is_an_error(name):
    for ask in (
        lambda m: m.predict(ratings()),
        lambda m: m.score_items(np.array([1]), np.array([2])),
        lambda m: m.nbytes,
        lambda m: m.known_items,
    ):
        with pytest.raises(NotFittedError, match="learned nothing yet"):
            ask(models()[name])


@pytest.mark.parametrize("name", models())
def test_updating_from_nothing_is_allowed(name):
    events = ratings()
    model = models()[name].update(events)
    assert np.isfinite(model.predict(events)).all()


def test_labels_without_a_range_may_be_any_number():
    model = BiasedFactorization(2, rng=_rng())
    model.learn_one(1, 2, -40)
    for value in (np.inf, np.nan):
        with pytest.raises(EventsError, match="is no number"):
            model.learn_one(1, 2, value)


def test_running_away_is_said():
    for kind in (BiasedFactorization, SVDPlusPlus):
        with pytest.raises(FloatingPointError, match="use a smaller"):
            kind(step_size=5.0, rng=_rng()).fit(ratings())


def test_a_users_ratings_stay_together_when_svdpp_shuffles():
    starts, rows = kernels.group_rows(np.array([1, 0, 1, 1, 0]), 3)
    assert starts.tolist() == [0, 2, 5, 5] and rows.tolist() == [1, 4, 0, 2, 3]
    seen = set()
    for seed in range(60):
        shuffled = rows.copy()
        kernels.shuffle_groups(starts, shuffled, np.random.default_rng(seed).random(5))
        assert set(shuffled[:2]) == {1, 4} and set(shuffled[2:]) == {0, 2, 3}
        seen.add(tuple(shuffled))
    assert len(seen) == 2 * 6


@pytest.mark.parametrize("name", ["sgd", "svd++", "als", "bayesian"])
def test_a_replay_takes_them(name):
    events = ratings()
    for strategy in (Incremental(models()[name], every=20), PeriodicRetrain(models()[name], every=50)):
        assert np.isfinite(replay(events, strategy, task="rating").scores).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BiasedFactorization(-1, rng=None), "n_factors"),
        (lambda: BiasedFactorization(epochs=0, rng=None), "epochs"),
        (lambda: BiasedFactorization(step_size=np.nan, rng=None), "step_size"),
        (lambda: BiasedFactorization(bias_step_size=-1, rng=None), "bias_step_size"),
        (lambda: BiasedFactorization(decay=np.inf, rng=None), "decay"),
        (lambda: BiasedFactorization(item_bias_regularization=-1, rng=None), "item_bias_regularization"),
        (lambda: BiasedFactorization(order="random", rng=None), "order"),
        (lambda: BiasedFactorization(label_range=(5, 1), rng=None), "label_range"),
        (lambda: BiasedFactorization(dtype=np.int64, rng=None), "dtype"),
        (lambda: BiasedFactorization(2, initial=(np.ones((3, 1)), np.ones((3, 2))), rng=None), "initial user"),
        (lambda: SVDPlusPlus(order="arrival", rng=None), "order"),
        (lambda: SVDPlusPlus(implied_regularization=-0.1, rng=None), "implied_regularization"),
        (lambda: SVDPlusPlus(1, initial=(*[np.ones((3, 1))] * 2, np.full((3, 1), np.nan)), rng=None), "implied"),
        (lambda: ExplicitALS(regularization=0, rng=None), "above 0"),
        (lambda: ExplicitALS(sweeps=0, rng=None), "sweeps"),
        (lambda: BayesianFactorization(sweeps=5, burn_in=5, rng=None), "burn_in"),
        (lambda: BayesianFactorization(update_sweeps=0, rng=None), "update_sweeps"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
