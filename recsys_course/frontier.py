"""The course's one figure to remember: what each way of updating gains, against what it costs, a panel a stream.

Up is the share of the gain: 0 for the model that never learns again, 1 for the best learner. To the right is the cost,
examples learned for each event, on a log scale; what never learns stands at the left edge. The steps join those that
nobody beats at their cost or below it. A dashed line is the best baseline, and may lie above 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from recsys_course.plot import COLOURS

__all__ = ["KINDS", "Panel", "frontier", "grid_panel", "kind_of", "on_the_frontier", "panel"]

# Short names for labels in a panel, and the kind of each, which decides marker and colour.
SHORT = {
    "frozen": "frozen",
    "per event": "per event",
    "per event, rehearsing": "rehearsing",
    "every 1,000 events": "by 1,000",
    "every 1,000 events, 5 passes": "by 1,000, 5 passes",
    "every day": "daily",
    "full retrain, growing": "full, growing",
    "full retrain, sliding": "full, sliding",
    "full retrain, stopped early": "full, stopped early",
    "warm retrain": "warm",
    "hybrid": "hybrid",
    "hybrid, embeddings only between": "embeddings only",
    "fusion, deep and classical": "deep + classical",
    "ensemble": "ensemble",
    "fusion": "fusion",
}
KINDS = {"never learns again": ("X", 6), "new events only": ("o", 0),
         "the whole past, or its latest part": ("s", 1), "both, or several models": ("^", 2)}  # fmt: skip
"""What a contender learns: the marker of its kind, and which of the course's colours."""
LEFT = 0.35  # where a cost of 0 is drawn
LOWEST, HIGHEST = -0.25, 1.3  # of the shares that are drawn in their place; others stand at the edge, with an arrow


class Panel(NamedTuple):
    """What one panel shows; make it with :func:`panel`."""

    title: str
    marks: pd.DataFrame  # indexed by contender: share, low, high, cost
    baseline: str
    baseline_share: float


def on_the_frontier(cost, share) -> np.ndarray:
    """Which points nobody beats at their cost or below it, shape (n,); of equal points the first.

    Costs that differ by less than a twentieth of an example per event count as one.

    Notes
    -----
    Taught in chapter 09b.

    Examples
    --------
    >>> on_the_frontier([0, 1, 3, 30], [0.0, 0.9, 0.7, 1.0])
    array([ True,  True, False,  True])
    """
    cost, share = np.round(np.asarray(cost, float), 1), np.asarray(share, float)
    order = np.lexsort((-share, cost))
    out = np.zeros(len(cost), bool)
    best = -np.inf
    for k in order:
        out[k] = share[k] > best
        best = max(best, share[k])
    return out


def kind_of(name: str) -> str:
    """Which of :data:`KINDS` a contender is.

    >>> [kind_of(name) for name in ("every day", "warm retrain", "hybrid")]
    ['new events only', 'the whole past, or its latest part', 'both, or several models']
    """
    never, new, past, both = KINDS
    if name.startswith("frozen"):
        return never
    if "retrain" in name:
        return past
    return both if name.startswith(("hybrid", "ensemble", "fusion")) else new


def panel(title: str, loss: Mapping[str, float], cost: Mapping[str, float], baselines: Sequence[str],
          intervals: Mapping[str, tuple[float, float]] | None = None) -> Panel:  # fmt: skip
    """Turn losses into shares of the gain from ``"frozen"`` (0) to the best learner (1).

    Parameters
    ----------
    title : str
    loss : dict from a contender to its loss
        The lower the better; in the unit in which gains may be compared, such as squared stars.
    cost : dict from a contender to examples learned per event
    baselines : sequence of str
        Those of the contenders that are baselines: the best of them is the line.
    intervals : dict from a contender to (low, high), optional
        Of its loss.

    Raises
    ------
    ValueError
        No ``"frozen"``, or nothing is gained on it.

    Notes
    -----
    Taught in chapter 09b.

    Examples
    --------
    >>> loss = {"frozen": 2.0, "per event": 1.0, "counts": 1.5}
    >>> made = panel("films", loss, {"frozen": 0, "per event": 1}, ["counts"])
    >>> made.marks["share"].to_dict(), made.baseline_share
    ({'frozen': 0.0, 'per event': 1.0}, 0.5)
    """
    if "frozen" not in loss:
        raise ValueError("shares begin at 'frozen': give its loss, too")
    learners = [name for name in loss if name not in baselines]
    best = min(loss[name] for name in learners)
    gain = loss["frozen"] - best
    if not gain > 0:
        raise ValueError(f"{title}: no learner gains anything on 'frozen', so there are no shares of it")
    rows = {}
    for name in learners:
        share = (loss["frozen"] - loss[name]) / gain
        ends = (intervals or {}).get(name, (loss[name], loss[name]))
        high, low = ((loss["frozen"] - end) / gain for end in ends)
        rows[name] = {"share": share, "low": low, "high": high, "cost": cost[name]}
    ahead = min((name for name in baselines if name in loss), key=lambda name: loss[name], default="")
    reached = (loss["frozen"] - loss[ahead]) / gain if ahead else np.nan
    return Panel(title, pd.DataFrame.from_dict(rows, orient="index"), ahead, reached)


def grid_panel(title: str, table: pd.DataFrame, baselines: Sequence[str]) -> Panel:
    """The panel of one stream and model, from its rows in the table of ``benchmarks/updating_grid.py``.

    Losses are means over the seeds: the regret where it is known, else squared stars, nats, or minus the recall. The
    interval of a contender is that of its distance to the best of all, the wider of two, over users and over blocks of
    time, and of all seeds. Contenders that have no short name here, such as those with another optimiser, are left out.

    Notes
    -----
    Taught in chapter 09b.
    """
    table = table[table["contender"].isin([*SHORT, *baselines])]
    unit = table["quality"] ** 2 if table["metric"].iloc[0] == "RMSE" else table["quality"]
    if table["metric"].iloc[0] == "recall@10":
        unit = -unit
    if table["regret"].notna().all():
        unit = table["regret"]
    table = table.assign(loss=unit.astype(float))
    leader = table.groupby("seed")["loss"].min()
    loss, cost, intervals = {}, {}, {}
    for name in map(str, table["contender"].unique()):
        own = table[table["contender"] == name]
        loss[name], cost[name] = own["loss"].mean(), own["examples per event"].mean()
        ends = [end for column in ("over users", "over blocks") for end in own[column]]
        low, high = (min(end[0] for end in ends), max(end[1] for end in ends))
        intervals[name] = leader.mean() + low, leader.mean() + high
    return panel(title, loss, cost, baselines, intervals)


def frontier(panels: Sequence[Panel], *, columns: int = 3):
    """Draw the panels side by side, with the key in the last place.

    Parameters
    ----------
    panels : sequence of Panel
    columns : int

    Returns
    -------
    matplotlib Figure

    Notes
    -----
    Taught in chapter 09b.
    """
    import matplotlib.pyplot as plt

    rows = -(-(len(panels) + 1) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(5.0 * columns, 4.3 * rows), squeeze=False)
    places = axes.ravel()
    most = max(10.0, *(one.marks["cost"].max() for one in panels)) * 1.9
    for place, ax, one in zip(range(len(panels)), places, panels, strict=False):
        _draw(ax, one, most)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "", "0.5", "", "1"])
        if place % columns == 0:
            ax.set_ylabel("share of the gain,\nfrozen 0, best learner 1")
        if place >= len(panels) - columns:
            ax.set_xlabel("examples learned per event")
    for ax in places[len(panels) :]:
        ax.axis("off")
    _key(places[len(panels)])
    fig.canvas.draw()  # sizes of labels are known from here on
    for ax, one in zip(places, panels, strict=False):
        _label(ax, one)
    return fig


def _x(cost: float) -> float:
    return max(cost, LEFT)


def _y(share: float) -> float:
    return min(max(share, LOWEST), HIGHEST)


def _draw(ax, one: Panel, most: float) -> None:
    ax.set_xscale("log")
    ax.set_xlim(LEFT * 0.75, most)
    ax.set_ylim(LOWEST - 0.08, HIGHEST + 0.08)
    ticks = [tick for tick in (1, 10, 100, 1000) if tick < most]
    ax.set_xticks([LEFT, *ticks], ["0", *map(str, ticks)])
    ax.minorticks_off()
    ax.set_title(one.title)
    if one.baseline:
        y = _y(one.baseline_share)
        ax.axhline(y, color="black", linewidth=1.6, linestyle=(0, (6, 3)), marker="", zorder=1)
    marks = one.marks
    best = marks[on_the_frontier(marks["cost"], marks["share"])].sort_values("cost")
    xs, ys = [_x(c) for c in best["cost"]], [_y(s) for s in best["share"]]
    ax.step([*xs, most], [*ys, ys[-1]], where="post", color="0.72", linewidth=5, marker="", linestyle="-", zorder=0)
    for name, row in marks.iterrows():
        marker, number = KINDS[kind_of(str(name))]
        colour = COLOURS[number]
        x, y, ahead = _x(row["cost"]), _y(row["share"]), name in best.index
        ax.plot(
            [x, x], [_y(row["low"]), _y(row["high"])], color=colour, linewidth=1.4, alpha=0.6, marker="", linestyle="-"
        )
        ax.plot(
            x, y, marker=marker, markersize=11 if ahead else 9, linestyle="none", markeredgecolor=colour,
            markeredgewidth=2, markerfacecolor=colour if ahead else "white", zorder=3,
        )  # fmt: skip


def _label(ax, one: Panel) -> None:
    """Put a name beside each mark, and one on the line, where they cover neither marks nor names nor the line."""
    renderer = ax.figure.canvas.get_renderer()
    marks = one.marks
    points = {n: ax.transData.transform((_x(r["cost"]), _y(r["share"]))) for n, r in marks.iterrows()}
    taken = [(x - 9, y - 9, x + 9, y + 9) for x, y in points.values()]
    inside = ax.get_window_extent(renderer).extents
    if one.baseline:
        height = ax.transData.transform((1, _y(one.baseline_share)))[1]
        taken.append((inside[0], height - 1.5, inside[2], height + 1.5))
    ahead = on_the_frontier(marks["cost"], marks["share"])
    for k in np.argsort(~ahead, kind="stable"):  # the frontier's names first: the first come has the choice
        name, bold = str(marks.index[k]), bool(ahead[k])
        box = _Box(ax, renderer, SHORT.get(name, name) + _beyond(marks["share"].iloc[k]), bold)
        x, y = points[name]
        places = []
        for radius in (13, 22, 34, 48, 64):
            for angle in np.deg2rad([0, 180, 45, 135, -45, -135, 90, -90, 20, 160, -20, -160]):
                across, up = np.cos(angle), np.sin(angle)
                shift = 0 if across > 0.3 else box.width if across < -0.3 else box.width / 2
                places.append((3.0 * radius, x + radius * across - shift, y + radius * up - box.height / 2))
        others = [point for point in points.values() if np.hypot(*(point - points[name])) > 12]  # not those it covers
        box.put(places, taken, inside, (x, y), others)
    if one.baseline:
        box = _Box(ax, renderer, one.baseline + _beyond(one.baseline_share), False, style="italic")
        lefts = np.linspace(inside[2] - box.width - 4, inside[0] + 4, 25)
        sides = (height + 4, height - box.height - 4)
        box.put(
            [(0.2 * k + j, left, low) for k, left in enumerate(lefts) for j, low in enumerate(sides)], taken, inside
        )


def _beyond(share: float) -> str:
    """What is said of a share that is drawn at the edge."""
    return "" if LOWEST <= share <= HIGHEST else f" ({share:.1f})"


class _Box:
    """A text that looks for its place, in pixels."""

    def __init__(self, ax, renderer, text: str, bold: bool, style: str = "normal") -> None:
        self.ax, self.text = ax, text
        self.font = dict(fontsize=11.5, weight="bold" if bold else "normal", style=style, zorder=5)
        shown = ax.annotate(text, (0, 0), xycoords="figure pixels", **self.font)
        extent = shown.get_window_extent(renderer)
        shown.remove()
        self.width, self.height = extent.width, extent.height

    def put(self, places, taken: list, inside, mark: tuple[float, float] | None = None, others=()) -> None:
        """At the place (penalty, left, low) that is best; a line to its mark if that is far.

        A name that stands nearer to another mark than to its own, or whose line runs through one, would be misread.
        """
        best, where = np.inf, (0.0, 0.0, 0.0, 0.0)
        for penalty, left, low in places:
            new = (left, low, left + self.width, low + self.height)
            bad = sum(_overlap(new, other) for other in taken) + 20 * _outside(new, inside) + penalty
            if mark is not None:
                bad += 150 * sum(_apart(new, other) < _apart(new, mark) - 4 for other in others)
                way = np.linspace(mark, np.clip(mark, new[:2], new[2:]), 9)
                bad += 150 * sum(np.hypot(*(way - other).T).min() < 10 for other in others)
            if bad < best:
                best, where = bad, new
        taken.append(where)
        x, y = (where[0] + where[2]) / 2, (where[1] + where[3]) / 2
        at = self.ax.transData.inverted().transform(mark or (x, y))
        to = (0.0, 0.0) if mark is None else (np.array([x, y]) - mark) * 72 / self.ax.figure.dpi
        line = None
        if mark is not None and _apart(where, mark) > 16:
            line = dict(arrowstyle="-", color="0.4", linewidth=0.8, shrinkA=0, shrinkB=6)
        from matplotlib import patheffects

        halo = [patheffects.withStroke(linewidth=3, foreground="white")]
        self.ax.annotate(
            self.text, at, xytext=to, textcoords="offset points", ha="center", va="center", arrowprops=line,
            path_effects=halo, **self.font,
        )  # fmt: skip


def _apart(box, point) -> float:
    """From a point to the nearest point of a box, in pixels."""
    return float(np.hypot(*(np.clip(point, box[:2], box[2:]) - point)))


def _overlap(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(a, frame) -> float:
    return (a[2] - a[0]) * (a[3] - a[1]) - _overlap(a, frame)


def _key(ax) -> None:
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.text(0.02, 0.97, "What learns what", fontsize=14, va="top")
    for k, (kind, (marker, colour)) in enumerate(KINDS.items()):
        ax.plot(0.07, 0.83 - 0.09 * k, marker=marker, markersize=11, color=COLOURS[colour], linestyle="none")
        ax.text(0.15, 0.83 - 0.09 * k, kind, fontsize=13, va="center")
    line = dict(marker="", linestyle="-")
    ax.plot([0.02, 0.12], [0.41, 0.41], color="0.72", linewidth=5, **line)
    ax.text(0.15, 0.41, "the frontier: nobody does\nbetter at this cost or below", fontsize=13, va="center")
    ax.plot([0.02, 0.12], [0.25, 0.25], color="black", linewidth=1.6, marker="", linestyle=(0, (6, 3)))
    ax.text(0.15, 0.25, "the best that only counts,\nor learns biases alone", fontsize=13, va="center")
    ax.plot([0.07, 0.07], [0.04, 0.14], color=COLOURS[0], linewidth=1.4, alpha=0.6, **line)
    ax.text(0.15, 0.09, "95 % interval of the distance\nto the best", fontsize=13, va="center")
