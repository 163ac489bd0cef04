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
    "movielens": "MovieLens: ratings",
    "movietweetings": "MovieTweetings: ratings",
    "bookstore": "Bookstore: purchases (regret)",
    "complete journey": "Complete Journey: baskets",
    "movietweetings, ranking": "MovieTweetings: the next film",
}


def draw(table: pd.DataFrame):
    """The figure, of the factorisation's rows."""
    of_factors = table[table["model"] == "factorization"]
    parts = {title: of_factors[of_factors["stream"] == stream] for stream, title in TITLES.items()}
    return frontier([grid_panel(title, part, BASELINES) for title, part in parts.items() if len(part)])


def main() -> None:
    matplotlib.use("agg")
    plot.use_style()
    grid = json.loads((RESULTS / "updating_grid.json").read_text(encoding="utf-8"))
    figure = draw(pd.DataFrame(grid["table"]))
    figure.savefig(PICTURE, dpi=120, metadata={"Software": None}, facecolor="white")
    print(f"written: docs/{PICTURE.name}, from the grid of {grid['machine']['date']}")


if __name__ == "__main__":
    main()
