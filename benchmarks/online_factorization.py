"""One pass over MovieLens 100K in time order, each rating predicted and then learned: ours, River's, Vowpal Wabbit's.

The algorithm and its settings are those of River's BiasedMF, from the initial factors that River draws lazily, so the
predictions must be River's. Vowpal Wabbit learns a factorisation of its own kind (``--rank``), with its own defaults,
through its Python API, one example at a time; it stands beside them where it is installed (``pip install
vowpalwabbit``), and no claim is made about it. The claims:

- the predictions of one pass are River's to 1e-12, as one run and with one call for each event;
- a run of all events, ids and all, handles at least 100 times River's events per second;
- one call for each event handles at least 10 times River's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from river import optim, reco

from benchmarks.common import finish, peer
from recsys_course import data
from recsys_course.models import BiasedFactorization

vowpalwabbit = peer("vowpalwabbit")

FACTORS, SEED, SPREAD = 10, 73, 0.1
LATENT_RATE, BIAS_RATE = 0.05, 0.025
REPEATS = 3


def initial_factors(events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """River draws when it meets a newcomer, a user before its item, from one generator: the same draws, all at once."""
    new = np.column_stack([~events["user"].duplicated(), ~events["item"].duplicated()]).ravel()
    is_item = np.tile([False, True], len(events))[new]
    draws = np.random.RandomState(SEED).normal(0, SPREAD, (new.sum(), FACTORS))
    return draws[~is_item], draws[is_item]


def main() -> None:
    events = data.ml_100k().events
    users, items, labels = (events[name].tolist() for name in ("user", "item", "label"))
    initial = initial_factors(events)

    def river() -> list[float]:
        model = reco.BiasedMF(
            n_factors=FACTORS,
            bias_optimizer=optim.SGD(BIAS_RATE),
            latent_optimizer=optim.SGD(LATENT_RATE),
            latent_initializer=optim.initializers.Normal(sigma=SPREAD, seed=SEED),
        )
        said = []
        for user, item, label in zip(users, items, labels, strict=True):
            said.append(model.predict_one(user=user, item=item))
            model.learn_one(user=user, item=item, y=label)
        return said

    def ours() -> BiasedFactorization:
        return BiasedFactorization(
            FACTORS,
            step_size=2 * LATENT_RATE,  # River's gradient of the squared error has a factor of 2
            bias_step_size=2 * BIAS_RATE,
            regularization=0.0,
            count_initial=True,
            initial=initial,
            rng=np.random.default_rng(0),
        )

    def in_one_run() -> np.ndarray:
        return ours().predict_then_learn(events)

    def one_by_one() -> list[float]:
        learn = ours().learn_one
        return [learn(user, item, label) for user, item, label in zip(users, items, labels, strict=True)]

    def wabbit() -> list[float]:
        model = vowpalwabbit.Workspace(f"--quiet -b 18 --rank {FACTORS} -q ui")
        said = []
        for user, item, label in zip(users, items, labels, strict=True):
            example = model.example(f"{label} |u {user} |i {item}")
            model.learn(example)  # predicts first, and keeps what it said
            said.append(example.get_simplelabel_prediction())
            model.finish_example(example)
        model.finish()
        return said

    ways: dict[str, Callable] = {
        "River BiasedMF": river,
        "ours, one run": in_one_run,
        "ours, a call an event": one_by_one,
    }
    if vowpalwabbit is not None:
        ways["Vowpal Wabbit, --rank"] = wabbit
    in_one_run(), one_by_one()  # compiles, or loads what was compiled
    said: dict[str, np.ndarray] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):  # in turn, so that a busy machine is as busy for one as for another
        for name, run in ways.items():
            began = time.perf_counter()
            said[name] = np.asarray(run())
            seconds[name].append(time.perf_counter() - began)

    def times_river(name: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds["River BiasedMF"], seconds[name], strict=True))

    label = events["label"].to_numpy()
    table = pd.DataFrame(index=pd.Index(list(ways), name="what"))
    table["RMSE"] = [np.sqrt(np.mean((said[name].clip(1, 5) - label) ** 2)).round(4) for name in ways]
    table["MAE"] = [np.abs(said[name].clip(1, 5) - label).mean().round(4) for name in ways]
    table["events per second"] = [round(len(events) / statistics.median(seconds[name]), -2) for name in ways]
    table["times River"] = [round(times_river(name), 1) for name in ways]
    table["difference to River"] = [float(np.abs(said[name] - said["River BiasedMF"]).max()) for name in ways]
    claims = {
        "one run says what River says, to 1e-12": bool(table["difference to River"]["ours, one run"] <= 1e-12),
        "calls for each event say the same": bool(np.array_equal(said["ours, one run"], said["ours, a call an event"])),
        "a run: at least 100 times River's events per second": times_river("ours, one run") >= 100,
        "a call an event: at least 10 times River's": times_river("ours, a call an event") >= 10,
    }
    settings = {
        "factors": FACTORS,
        "latent rate": LATENT_RATE,
        "bias rate": BIAS_RATE,
        "seed": SEED,
        "repeats": REPEATS,
        "vowpalwabbit": getattr(vowpalwabbit, "__version__", None),
        "threads": 1,
    }
    finish("online_factorization", table, claims, settings, ("numpy", "numba", "pandas", "river"))


if __name__ == "__main__":
    main()
