"""Every learner that takes one event at a time, side by side: predict, then learn, the shipped MovieLens in time order.

Each learner is timed in turn, three rounds of it, over as many events as it does in a second or two; the table has the
median. RMSE is that of the first 5,000 events, which all of them see, ids new to all of them, settings untuned: it
says that they learn, and nothing about which is best. Claims: a run of the compiled factorisation is at least 100
times as fast as River's BiasedMF; a call for each event at least 10 times; through River's interface at least 3 times;
and handing a model of the course a table for each event is slower than River.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from river import facto, linear_model, optim, preprocessing, reco

from benchmarks.common import finish
from recsys_course import data
from recsys_course.events import tie_ends
from recsys_course.models import SGD, BiasedFactorization, MatrixFactorization, NeuralNetwork, RunningMeans
from recsys_course.models.river_adapters import CourseRecommender, CourseRegressor, RiverModel
from recsys_course.plan import make_plan

COMMON, REPEATS = 5_000, 3


def main() -> None:
    events = data.movielens().events
    users, items, labels = (events[name].tolist() for name in ("user", "item", "label"))
    pairs = [{"user": str(user), "item": str(item)} for user, item in zip(users, items, strict=True)]

    def by_ids(make: Callable) -> Callable:
        def run(n: int):
            model, said = make(), []
            for user, item, label in zip(users[:n], items[:n], labels[:n], strict=True):
                said.append(model.predict_one(user, item))
                model.learn_one(user, item, label)
            return said

        return run

    def by_dict(make: Callable) -> Callable:
        def run(n: int):
            model, said = make(), []
            for x, label in zip(pairs[:n], labels[:n], strict=True):
                said.append(model.predict_one(x))
                model.learn_one(x, label)
            return said

        return run

    def one_hot(x: dict) -> dict:
        return {f"user {x['user']}": 1, f"item {x['item']}": 1}

    def linear(n: int):
        model, said = linear_model.LinearRegression(optim.SGD(0.025), intercept_init=3.5), []
        for pair, label in zip(pairs[:n], labels[:n], strict=True):
            x = one_hot(pair)
            said.append(model.predict_one(x))
            model.learn_one(x, label)
        return said

    def in_replay(make: Callable) -> Callable:
        def run(n: int):
            part = events.iloc[:n]
            start = int(tie_ends(part["timestamp"].to_numpy())[0])
            plan = make_plan(part["timestamp"].to_numpy(), start, update_every=1)
            return make().fit(part.iloc[:start]).run(part, plan, 0, len(plan))

        return run

    def factorization():
        return BiasedFactorization(
            10, step_size=0.1, bias_step_size=0.05, regularization=0.0, count_initial=True, rng=np.random.default_rng(0)
        )

    def machine(kind: type, **settings):
        steps = {"weight_optimizer": optim.SGD(0.01), "latent_optimizer": optim.SGD(0.025), "intercept": 3, "seed": 1}
        return preprocessing.PredClipper(kind(n_factors=10, **steps, **settings), 0.5, 5)

    def call_by_call(n: int):
        learn = factorization().learn_one
        return [learn(u, i, y) for u, i, y in zip(users[:n], items[:n], labels[:n], strict=True)]

    def one_by_one():
        return NeuralNetwork(
            (16,), n_factors=8, optimizer=SGD(0.01), batch_size=1, label_range=(0.5, 5.0), rng=np.random.default_rng(0)
        )

    def matrix():
        return MatrixFactorization(10, step_size=0.1, regularization=0.0, epochs=1, rng=np.random.default_rng(0))

    def biased():
        return reco.BiasedMF(10, optim.SGD(0.025), optim.SGD(0.05), seed=1)

    def ours():
        return CourseRecommender(10, bias_rate=0.025, latent_rate=0.05, seed=1)

    learners: dict[str, tuple[Callable, int]] = {
        "River Baseline": (by_ids(lambda: reco.Baseline(optim.SGD(0.025))), 50_000),
        "River FunkMF": (by_ids(lambda: reco.FunkMF(10, optim.SGD(0.05), seed=1)), 50_000),
        "River BiasedMF": (by_ids(biased), 50_000),
        "River LinearRegression, one-hot": (linear, 20_000),
        "River FM": (by_dict(lambda: machine(facto.FMRegressor)), 10_000),
        "River FFM": (by_dict(lambda: machine(facto.FFMRegressor)), 10_000),
        "River FwFM": (by_dict(lambda: machine(facto.FwFMRegressor)), 10_000),
        "River HOFM": (by_dict(lambda: machine(facto.HOFMRegressor, degree=3)), 10_000),
        "River BiasedMF, in a replay": (in_replay(lambda: RiverModel(biased())), 50_000),
        "ours, one run": (lambda n: factorization().predict_then_learn(events.iloc[:n]), 100_000),
        "ours, a call an event": (call_by_call, 100_000),
        "ours, on River's interface": (by_ids(ours), 50_000),
        "ours, MatrixFactorization in a replay": (in_replay(matrix), 100_000),
        "ours, RunningMeans in a replay": (in_replay(RunningMeans), 100_000),
        "ours, RunningMeans, a table an event": (by_dict(lambda: CourseRegressor(RunningMeans())), 5_000),
        "ours, NeuralNetwork, a table an event": (by_dict(lambda: CourseRegressor(one_by_one())), 5_000),
    }
    quality = {}
    for name, (run, _) in learners.items():  # compiles, or loads what was compiled
        said = np.asarray(run(COMMON)).clip(0.5, 5)
        first = COMMON - len(said)  # a replay has its model learn the first instant before it begins
        quality[name] = float(np.sqrt(np.mean((said - np.array(labels[first:COMMON])) ** 2)))
    seconds: dict[str, list[float]] = {name: [] for name in learners}
    for _ in range(REPEATS):  # in turn, so that a busy machine is as busy for one as for another
        for name, (run, n) in learners.items():
            began = time.process_time()
            run(n)
            seconds[name].append((time.process_time() - began) / n)
    table = pd.DataFrame(index=pd.Index(list(learners), name="learner"))
    table["events per CPU second"] = [round(1 / statistics.median(seconds[name]), -2) for name in learners]
    table["times River's BiasedMF"] = [
        round(statistics.median(a / b for a, b in zip(seconds["River BiasedMF"], seconds[name], strict=True)), 2)
        for name in learners
    ]
    table["RMSE, first 5,000"] = [round(quality[name], 3) for name in learners]
    times = table["times River's BiasedMF"]
    claims = {
        "one run: at least 100 times River's BiasedMF": bool(times["ours, one run"] >= 100),
        "a call an event: at least 10 times": bool(times["ours, a call an event"] >= 10),
        "on River's interface: at least 3 times": bool(times["ours, on River's interface"] >= 3),
        "a table an event: slower than River": bool(times["ours, RunningMeans, a table an event"] < 1),
    }
    settings = {"factors": 10, "repeats": REPEATS, "threads": 1, "order": "time"}
    finish("online_throughput", table, claims, settings, ("numpy", "numba", "pandas", "river"))


if __name__ == "__main__":
    main()
