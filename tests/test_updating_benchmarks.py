"""The benchmarks of updating: what they count and call a direction is so, and a small run goes from end to end."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import common, updating_cost, updating_grid


def test_counts_of_examples_are_those_of_the_formulas():
    for n in (60_000, 100_000, 110_001):
        events = updating_cost.stream(n)
        for name, strategy in updating_cost.strategies().items():
            result = updating_cost.run(events, strategy)
            assert (result.rows[0], len(result.rows)) == (updating_cost.SCHEDULE, n - updating_cost.SCHEDULE)
            assert result.cost.examples == updating_cost.derived(name, n), (name, n)


def test_a_direction_wants_each_seed_on_one_side():
    assert updating_grid.verdict_of(np.array([[0.2, 0.1, 0.3], [0.3, 0.05, 0.6]])) == "better"
    assert updating_grid.verdict_of(np.array([[-0.2, -0.3, -0.1]])) == "worse"
    assert updating_grid.verdict_of(np.array([[0.1, -0.1, 0.3], [-0.1, -0.3, 0.1]])) == "tie"
    assert updating_grid.verdict_of(np.array([[0.1, 0.01, 0.3], [0.1, -0.1, 0.3]])) == "open"
    assert updating_grid.verdict_of(np.array([[0.2, 0.1, 0.3], [-0.2, -0.3, -0.1]])) == "open"


def test_a_small_grid_runs_and_goes_on_from_what_is_kept(tmp_path, capsys, monkeypatch):
    said = []
    for _ in range(2):
        updating_grid.main(["--quick", "--only", "movielens,factorization", "--cache", str(tmp_path)])
        said.append(capsys.readouterr().out)
        monkeypatch.setattr("recsys_course.grid.replay", lambda *a, **k: pytest.fail("replayed again"))
    for word in ("per event", "ensemble", "fusion", "verdict", "one step for all", "interval"):
        assert word in said[0]
    # The seconds that it took are said once; the tables are kept.
    assert said[0].partition("\n")[2] == said[1]


def test_figures_are_written_with_a_row_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    table = pd.DataFrame({"what": ["ä", "b"], "value": [1.5, np.nan]}).set_index("what")
    with pytest.raises(SystemExit) as ended:
        common.finish("trial", table, {"fails": False}, {"seeds": [0]}, ("numpy",), more={"other": table.reset_index()})
    assert ended.value.code == 1
    text = (tmp_path / "trial.json").read_text(encoding="utf-8")
    kept = json.loads(text)
    assert kept["table"] == kept["other"] == [{"what": "ä", "value": 1.5}, {"what": "b", "value": None}]
    assert '  {"what": "ä", "value": 1.5},\n' in text and kept["settings"] == {"seeds": [0]}
