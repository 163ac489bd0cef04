"""The grid: the same results however it is run, interrupted or kept; nothing stale."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from test_replay import ratings

from recsys_course import grid
from recsys_course.grid import Entry, key_of, run_grid
from recsys_course.models import MatrixFactorization, NeuralNetwork, RunningMeans
from recsys_course.replay import replay
from recsys_course.strategies import Frozen, Hybrid, Incremental, PeriodicRetrain

STREAMS = {"a": ratings(seed=0), "b": ratings(seed=1)}


def entries(seeds=(0, 1)):
    out = []
    for stream in STREAMS:
        for seed in seeds:
            model = MatrixFactorization(2, epochs=2, rng=np.random.default_rng(seed))
            for strategy in (
                Frozen(model),
                Incremental(model, rehearse=1, rng=np.random.default_rng(seed)),
                PeriodicRetrain(model, every=50),
                Hybrid(model, retrain_every=50),
            ):
                out.append(Entry(stream, strategy, "rating", tags={"seed": seed}, options={"delay": 5}))
    return out


def table(results):
    return [(r.name, r.scores.tobytes(), r.staleness.tobytes(), r.labels.tobytes(), r.cost.examples) for r in results]


@pytest.fixture(scope="module")
def plain():
    return table([replay(STREAMS[e.stream], e.strategy, task=e.task, **e.options) for e in entries()])


def test_it_is_one_replay_after_the_other(plain, tmp_path):
    assert table(run_grid(entries(), STREAMS)) == plain
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_two_at_a_time_give_the_same(plain, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert table(run_grid(entries(), STREAMS)) == plain


def test_a_cluster_gives_the_same(plain):
    import distributed

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        assert table(run_grid(entries(), STREAMS)) == plain


def test_what_is_kept_is_found_and_the_same(plain, tmp_path, monkeypatch):
    assert table(run_grid(entries(), STREAMS, cache=tmp_path)) == plain
    assert len(list(tmp_path.iterdir())) == len(plain)

    def refuse(*args, **kwargs):
        raise AssertionError("replayed again")

    monkeypatch.setattr(grid, "replay", refuse)
    seen = []
    again = run_grid(entries(), STREAMS, cache=tmp_path, progress=lambda done, of: seen.append((done, of)))
    assert table(again) == plain
    assert seen == [(16, 16)]


def test_what_was_interrupted_goes_on_and_gives_the_same(plain, tmp_path):
    """Kill a grid half-way, really, and start it again."""
    code = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, "tests")
        from recsys_course import grid
        import test_grid
        slow = grid.replay
        def replay(*args, **kwargs):
            time.sleep(0.2)
            return slow(*args, **kwargs)
        grid.replay = replay
        grid.run_grid(test_grid.entries(), test_grid.STREAMS, cache=sys.argv[1])
        """
    )
    root = Path(__file__).parent.parent
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root)
    finished = lambda: [p for p in tmp_path.iterdir() if p.suffix != ".part"]  # noqa: E731
    try:
        until = time.monotonic() + 120
        while len(finished()) < 3 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
    finally:
        process.kill() if os.name == "nt" else process.send_signal(signal.SIGKILL)
        process.wait()
    assert 3 <= len(finished()) < 16
    done_before = []
    results = run_grid(entries(), STREAMS, cache=tmp_path, progress=lambda done, of: done_before.append(done))
    assert done_before[0] == len(finished()) - (16 - done_before[0])
    assert table(results) == plain


@pytest.mark.parametrize("harm", ["half", "flipped", "empty"])
def test_a_broken_file_is_noticed_and_replaced(harm, tmp_path):
    one = entries()[:1]
    (before,) = run_grid(one, STREAMS, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    broken = {"half": content[: len(content) // 2], "flipped": content[:-1] + b"?", "empty": b""}[harm]
    path.write_bytes(broken)
    assert table(run_grid(one, STREAMS, cache=tmp_path)) == table([before])
    assert list(tmp_path.iterdir()) == [path]
    assert table([grid._read(path, STREAMS["a"])]) == table([before])


def test_the_key_knows_everything_that_decides():
    def key(events=STREAMS["a"], task="rating", delay=None, seed=0, make=Incremental, **kwargs):
        model = MatrixFactorization(2, rng=np.random.default_rng(seed), **kwargs)
        return key_of(Entry("a", make(model), task, options={"delay": delay}), events)

    one_label = STREAMS["a"].copy()
    one_label.loc[3, "label"] += 1
    different = [
        key(),
        key(events=one_label),
        key(task="binary"),
        key(delay=3),
        key(seed=1),
        key(make=Frozen),
        key(make=lambda m: Incremental(m, passes=2)),
        key(epochs=3),
        key(step_size=0.051),
    ]
    assert len(set(different)) == len(different)
    assert None not in different
    assert key() == key()
    assert key_of(Entry("x", Frozen(RunningMeans()), "rating", tags={"a": 1}), one_label) == key_of(
        Entry("y", Frozen(RunningMeans()), "rating"), one_label
    )


def test_the_key_knows_the_code(monkeypatch):
    entry = Entry("a", Frozen(RunningMeans()), "rating")
    before = key_of(entry, STREAMS["a"])
    monkeypatch.setattr(grid, "_code", lambda: "another source")
    assert key_of(entry, STREAMS["a"]) != before


def test_code_that_nobody_has_released_is_not_kept(tmp_path):
    class Mine(Frozen):
        pass

    entry = Entry("a", Mine(RunningMeans()), "rating")
    assert key_of(entry, STREAMS["a"]) is None
    for _ in range(2):
        assert run_grid([entry], STREAMS, cache=tmp_path)[0].name == "frozen"
    assert not list(tmp_path.iterdir())
    deep = Entry("a", Frozen(NeuralNetwork((2,), n_factors=1, rng=np.random.default_rng(0))), "rating")
    assert key_of(deep, STREAMS["a"]) is not None
    deep.strategy.recipe.optimizer = Local()
    assert key_of(deep, STREAMS["a"]) is None


class Local:
    """Stands in this module, which has no version."""


def test_an_unknown_stream_is_named():
    with pytest.raises(KeyError, match="no stream is called 'c'"):
        run_grid([Entry("c", Frozen(RunningMeans()), "rating")], STREAMS)


def test_a_failing_replay_says_so():
    with pytest.raises(ValueError, match="task must be one of"):
        run_grid([Entry("a", Frozen(RunningMeans()), "stars")], STREAMS)
    assert isinstance(STREAMS["a"], pd.DataFrame)


def test_a_replay_that_diverges_is_an_error_or_left_out_and_kept_as_such(tmp_path, monkeypatch):
    wild = Incremental(MatrixFactorization(2, update_step_size=1e9, rng=np.random.default_rng(0)))
    grid_of = [Entry("a", wild, "rating"), Entry("a", Frozen(RunningMeans()), "rating")]
    with pytest.raises(FloatingPointError):
        run_grid(grid_of, STREAMS, cache=tmp_path)
    for _ in range(2):
        nothing, sound = run_grid(grid_of, STREAMS, cache=tmp_path, diverged="leave out")
        assert nothing is None and sound.name == "frozen"
        monkeypatch.setattr(grid, "replay", lambda *a, **k: pytest.fail("replayed again"))
    monkeypatch.undo()
    with pytest.raises(FloatingPointError):  # that it was left out once does not hide it from who wants to know
        run_grid(grid_of, STREAMS, cache=tmp_path)
    with pytest.raises(ValueError, match="'raise' or 'leave out'"):
        run_grid(grid_of, STREAMS, diverged="hide")
