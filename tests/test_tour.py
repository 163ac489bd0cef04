"""The tour: the whole loop in the terminal, on the course's data and on a learner's own."""

import sys

import numpy as np
import pandas as pd
import pytest

from recsys_course import cli, data, tour
from recsys_course.replay import replay


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["recsys-course", "tour", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return call


def plays(n=600, seed=0):
    rng = np.random.default_rng(seed)
    listener = rng.integers(20, size=n)
    return pd.DataFrame(
        {
            "listener": listener,
            "track": (listener + rng.integers(3, size=n)) % 20,
            "stars": rng.integers(0, 101, size=n),
            "played_at": pd.date_range("2020-01-01", periods=n, freq="37min").strftime("%Y-%m-%dT%H:%M:%S"),
        }
    )


def test_on_the_ratings_that_ship(run):
    code, out, _ = run()
    assert code == 0
    for word in ("frozen", "full retrain, 20 times", "incremental, per event", "running means", "RMSE", "CPU s"):
        assert word in out
    assert max(map(len, out.splitlines()[2:9])) <= 80


def test_retrains_are_as_many_as_said_and_costs_add_up():
    dataset = data.movielens()
    strategies = tour.contenders(dataset)
    results = tour.run(dataset, strategies)
    table = tour.verdicts(results)
    assert table.loc["full retrain, 20 times", "fits"] == 20
    assert table.loc["frozen", "examples per event"] == 0
    assert 0.99 < table.loc["incremental, per event", "examples per event"] <= 1
    assert table.loc["incremental, per event", "RMSE"] < 0.86 < 0.94 < table.loc["full retrain, 20 times", "RMSE"]
    assert (table["against frozen"].iloc[1:] == "better").all()
    # The tour is chapter 00's replay and nothing else.
    again = replay(dataset.events, strategies["frozen"], task="rating", warmup=0.4)
    np.testing.assert_array_equal(again.scores, results["frozen"].scores)


def test_on_a_file_of_ones_own(run, tmp_path):
    path = tmp_path / "plays.csv"
    table = plays().astype({"stars": "object"})
    table.loc[5, "stars"] = "none"
    table.to_csv(path, index=False)
    columns = ("--user", "listener", "--item", "track", "--time", "played_at", "--retrains", "3")
    code, out, _ = run("--data", str(path), *columns, "--label", "stars")
    assert code == 0
    assert "599 rows, 20 users, 20 items" in " ".join(out.split())
    assert "full retrain, 3 times" in out
    assert "1" in out and "label" in out  # the bad row is counted and shown
    code, out, _ = run("--data", str(path), *columns, "--no-label")
    assert code == 0
    assert "recall@10" in out and "600 rows" in out


def test_a_wide_scale_of_ratings_does_not_diverge(tmp_path):
    path = tmp_path / "plays.csv"
    plays(3000).assign(stars=lambda t: t["stars"] * 100).to_csv(path, index=False)
    dataset = data.own(path, user="listener", item="track", label="stars", timestamp="played_at")
    table = tour.verdicts(tour.run(dataset, tour.contenders(dataset, retrains=2)))
    assert (table["RMSE"] < 1.3 * dataset.events["label"].std()).all()


def test_a_folder_named_like_a_set_is_read_as_one(run, tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_COURSE_MIRROR", "")
    folder = tmp_path / "movietweetings-100k"
    folder.mkdir()
    code, _, err = run("--data", str(folder))
    assert code == 4 and "movietweetings" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "movielenz"), 5, "neither a file nor one of the sets"),
        (("--data", "nowhere.csv"), 4, "nowhere.csv"),
        (("--data", "."), 5, "is a folder"),
        (("--retrains", "100000"), 2, "too few"),
    ],
)
def test_mistakes_get_one_line(run, arguments, code, message):
    got, _, err = run(*arguments)
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert got == code


def test_a_column_that_is_not_there_is_named(run, tmp_path):
    path = tmp_path / "plays.csv"
    plays().to_csv(path, index=False)
    code, _, err = run("--data", str(path), "--user", "lisener")
    assert code == 5 and "lisener" in err and "listener" in err
