"""The figure of the README and of chapter 09b, drawn from the committed table of :mod:`benchmarks.updating_grid`.

``python -m benchmarks.frontier`` writes ``docs/frontier.png``, the same bytes each time. It measures nothing, so it
takes a moment; run it after the grid.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pandas as pd

from benchmarks.common import RESULTS
from recsys_course import plot
from recsys_course.contenders import BASELINES
from recsys_course.frontier import frontier, grid_panel

PICTURE = Path(__file__).parent.parent / "docs" / "frontier.png"
TITLES = {
    ("movielens", "factorization"): "MovieLens: ratings",
    ("movietweetings", "factorization"): "MovieTweetings: ratings",
    ("bookstore", "factorization"): "Bookstore: purchases (regret)",
    ("complete journey", "factorization"): "Complete Journey: baskets",
    ("movietweetings, ranking", "factorization"): "MovieTweetings: the next film",
}


def draw(table: pd.DataFrame):
    """The figure, of those streams and models that the table has."""
    parts = dict(list(table.groupby(["stream", "model"])))
    return frontier([grid_panel(title, parts[key], BASELINES) for key, title in TITLES.items() if key in parts])


def main() -> None:
    matplotlib.use("agg")
    plot.use_style()
    grid = json.loads((RESULTS / "updating_grid.json").read_text(encoding="utf-8"))
    figure = draw(pd.DataFrame(grid["table"]))
    figure.savefig(PICTURE, dpi=120, metadata={"Software": None}, facecolor="white")
    print(f"written: docs/{PICTURE.name}, from the grid of {grid['machine']['date']}")


if __name__ == "__main__":
    main()
