"""Trailing windows over the 1.5 million lines of Complete Journey, beside pandas.

A window here counts the household's lines of the last thirty days, those of the present second left out. pandas
computes the same for one window with ``groupby(...).rolling("30D", closed="left")``. The claims:

- six windows over all lines take two seconds at the most;
- the time grows in proportion to the rows: per row, all of them cost at most 1.5 times what an eighth does;
- for one window the two agree on every row, and ours is not slower.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from benchmarks.common import finish, median_seconds
from recsys_course import data
from recsys_course.features import Window, WindowFeatures

REPEATS = 5
ONE = [Window("bought_30d", key="user", length="30D")]
SIX = [Window(f"{key}_{days}d", key=key, length=f"{days}D") for key in ("user", "category") for days in (7, 30, 90)]


def ours(lines: pd.DataFrame, windows: list[Window]) -> pd.DataFrame:
    return WindowFeatures(windows).fit_transform(lines)


def pandas_window(lines: pd.DataFrame) -> np.ndarray:
    """The same count with pandas. Rows of one household and second go together: rolling would show one to the other."""
    table = pd.DataFrame({"user": lines["user"].to_numpy(), "second": lines["timestamp"].to_numpy()})
    instants = table.groupby(["user", "second"])
    sizes = instants.size().rename("lines").reset_index()
    sizes["time"] = pd.to_datetime(sizes["second"], unit="s")
    rolled = sizes.set_index("time").groupby("user")["lines"].rolling("30D", closed="left").sum()
    return rolled.fillna(0.0).to_numpy()[instants.ngroup().to_numpy()]


def main() -> None:
    lines = data.complete_journey_lines().events
    sizes = [len(lines) // 8, len(lines) // 4, len(lines) // 2, len(lines)]
    rows = []
    for size in sizes:
        rows.append(("six windows", size, median_seconds(partial(ours, lines.iloc[:size], SIX), REPEATS)))
    rows.append(("one window", len(lines), median_seconds(partial(ours, lines, ONE), REPEATS)))
    rows.append(("one window, pandas", len(lines), median_seconds(partial(pandas_window, lines), REPEATS)))
    table = pd.DataFrame(rows, columns=["what", "rows", "seconds"])
    table["rows per second"] = (table["rows"] / table["seconds"]).round(-3)
    table["seconds"] = table["seconds"].round(4)

    # rolling(closed="left") leaves out the present instant and takes in the far end, as the window does.
    agree = np.array_equal(ours(lines, ONE)["bought_30d"].to_numpy(), pandas_window(lines))
    smallest, largest = table.iloc[0], table.iloc[len(sizes) - 1]
    claims = {
        "six windows over all lines in two seconds at the most": bool(largest["seconds"] <= 2),
        "per row, all lines cost at most 1.5 times what an eighth does": bool(
            largest["rows per second"] * 1.5 >= smallest["rows per second"]
        ),
        "one window agrees with pandas on every row": bool(agree),
        "one window is not slower than pandas": bool(table["seconds"].iloc[-2] <= table["seconds"].iloc[-1]),
    }
    settings = {"repeats": REPEATS, "threads": 1, "windows": [window.name for window in SIX]}
    finish("window_features", table.set_index("what"), claims, settings, ("numpy", "numba", "pandas"))


if __name__ == "__main__":
    main()
