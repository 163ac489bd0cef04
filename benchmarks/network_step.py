"""One training step of the course's NumPy network, beside Keras's ``train_on_batch``, by batch size.

The network is the source's 128-64-1 on 32 features, trained by Adam on the binary cross-entropy in float32. Both start
from the same numbers and are given the same batches; after the first steps their parameters are compared, so that
what is timed is the same work. (After hundreds of steps float32 has driven any two such networks apart.) The claims:

- at every batch size of online learning, 1 to 64, the NumPy step is faster;
- after the first steps the two parameter vectors agree, in relative length, to 1e-5. (Number by number they need not:
  Adam makes a full step of a gradient that is mere rounding, where a neuron is all but dead.)

At some larger batch the matrix products outweigh the calls, and the framework wins: the table shows where, if that is
reached at all. A network of two million parameters stands below it, without a claim: there Adam's pass over the
parameters outweighs everything at any batch. One thread each unless ``OMP_NUM_THREADS`` says otherwise.
"""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import time
from itertools import pairwise

import keras
import numpy as np
import pandas as pd

from benchmarks.common import finish
from recsys_course.models import Adam
from recsys_course.models.layers import Perceptron, relative_error

WIDTHS = (32, 128, 64, 1)
WIDE = (32, 2048, 1024, 1)
ONLINE = (1, 2, 4, 8, 16, 32, 64)
LARGER = (128, 256, 512, 1024, 2048, 4096, 8192)
FIRST_STEPS, ROUNDS, SECONDS = 5, 7, 0.15


def keras_twin(network: Perceptron) -> keras.Model:
    """The same layers with the same numbers."""
    layers = [keras.layers.Dense(w, activation="relu") for w in network.widths[1:-1]]
    twin = keras.Sequential([keras.Input((network.widths[0],)), *layers, keras.layers.Dense(1)])
    twin.set_weights([p for pair in zip(network.weights, network.biases, strict=True) for p in pair])
    twin.compile(keras.optimizers.Adam(0.001), keras.losses.BinaryCrossentropy(from_logits=True))
    return twin


def side_by_side(runs, n_steps: int) -> list[float]:
    """Median seconds per step of each, taken in turn so that a busy moment of the machine meets all alike."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, taken in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            for _ in range(n_steps):
                run()
            taken.append((time.perf_counter() - began) / n_steps)
    return [statistics.median(taken) for taken in seconds]


def measure(widths: tuple[int, ...], batch: int) -> tuple[float, float, float]:
    """Seconds per step of NumPy and of Keras, and how far apart the parameters are after the first steps."""
    rng = np.random.default_rng(batch)
    network = Perceptron(widths, loss="cross-entropy", dtype=np.float32, rng=rng)
    twin, optimizer = keras_twin(network), Adam(0.001)
    X = rng.normal(size=(batch, widths[0])).astype(np.float32)
    y = (X[:, :1] > 0).astype(np.float32)

    def ours() -> None:
        optimizer.step([network.theta], [network.loss_and_gradient(X, y)[1]])

    def theirs() -> None:
        twin.train_on_batch(X, y)

    for _ in range(FIRST_STEPS):  # Keras traces and compiles its step at the first call
        began = time.perf_counter()
        ours()
        theirs()
        elapsed = time.perf_counter() - began
    end = np.concatenate([np.ravel(w) for w in twin.get_weights()])
    apart = relative_error(end, network.theta)
    seconds = side_by_side((ours, theirs), max(3, int(SECONDS / elapsed)))
    return seconds[0], seconds[1], apart


def main() -> None:
    cases = [(WIDTHS, batch) for batch in (*ONLINE, *LARGER)] + [(WIDE, batch) for batch in (1, 64)]
    rows = [("-".join(map(str, widths[1:])), batch, *measure(widths, batch)) for widths, batch in cases]
    table = pd.DataFrame(rows, columns=["network", "batch", "NumPy, us", "Keras, us", "apart"])
    table[["NumPy, us", "Keras, us"]] *= 1e6
    table["times Keras"] = (table["Keras, us"] / table["NumPy, us"]).round(2)
    table = table.round({"NumPy, us": 1, "Keras, us": 1, "apart": 10}).set_index(["network", "batch"])
    main_network = table.loc["-".join(map(str, WIDTHS[1:]))]
    behind = main_network.index[main_network["times Keras"] < 1]
    crossover = int(behind[0]) if len(behind) else None
    print("crossover:", f"Keras is faster from a batch of {crossover}" if crossover else "not reached")
    claims = {
        "at batch sizes of 1 to 64 the NumPy step is faster": bool(
            (main_network.loc[list(ONLINE), "times Keras"] > 1).all()
        ),
        "after the first steps both agree in relative length to 1e-5": bool((table["apart"] < 1e-5).all()),
    }
    settings = {
        "widths": WIDTHS,
        "parameters": sum((a + 1) * b for a, b in pairwise(WIDTHS)),
        "optimizer": "Adam",
        "dtype": "float32",
        "rounds": ROUNDS,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "crossover": crossover,
    }
    # On Linux the course installs the build for CPUs alone, elsewhere the full one.
    tensorflow = importlib.metadata.packages_distributions()["tensorflow"][0]
    finish("network_step", table, claims, settings, ("numpy", "keras", tensorflow))


if __name__ == "__main__":
    main()
