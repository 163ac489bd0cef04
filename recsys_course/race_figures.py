"""The two figures of a race: what quality costs, and quality over time."""

from __future__ import annotations

import base64
import io

import numpy as np

from recsys_course.contenders import BASELINES
from recsys_course.frontier import KINDS, kind_of, on_the_frontier
from recsys_course.race import Race
from recsys_course.report import METRIC

__all__ = ["draw_frontier", "draw_over_time", "picture", "shown_over_time"]


def _as_address(figure) -> str:
    """An SVG as the address of an image: it brings its own ids, so that two of them in one file do not clash."""
    import matplotlib as mpl

    out = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "race", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def picture(size: tuple[float, float], draw) -> str:
    """A figure of a size in inches, drawn in the course's style by a function, as the address of an image."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from recsys_course import plot

    with mpl.rc_context():
        plot.use_style()
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        return _as_address(figure)


def draw_frontier(figure, found: Race) -> None:
    """Share of the gain against examples learned per event; numbers are rows of the table."""
    from recsys_course.plot import COLOURS

    table = found.table
    share, cost = table["share of gain"].fillna(0.0).to_numpy(), table["examples per event"].to_numpy()
    axes, key = figure.subplots(1, 2, width_ratios=(3.2, 1))
    free = 0.3 * cost[cost > 0].min(initial=1.0)  # where what learns nothing is drawn, on a scale without a zero
    x = np.where(cost > 0, cost, free)
    floor = min(-0.1, max(-0.5, share.min() - 0.1))
    y = np.maximum(share, floor + 0.04)
    best = np.flatnonzero(on_the_frontier(cost, share))
    best = best[np.argsort(x[best])]
    axes.step([*x[best], x.max() * 2], [*y[best], y[best[-1]]], where="post", color="0.75", lw=1.5, ls="-", marker="")
    counting = "a baseline, per event"
    kinds = np.array([counting if name in BASELINES else kind_of(name) for name in table.index])
    for kind, (marker, colour) in {**KINDS, counting: ("D", 3)}.items():
        own = np.flatnonzero(kinds == kind)
        axes.plot(x[own], y[own], ls="", marker=marker, ms=8, color=COLOURS[colour], label=kind, mec="white", mew=0.8)
    at = table.index.get_loc(found.choice.name)
    ring = {"ls": "", "mfc": "none", "color": "0.2"}
    axes.plot(x[at], y[at], marker="o", ms=18, mew=1.6, **ring)
    axes.set_xscale("log")
    axes.set_ylim(floor, 1.09)
    axes.set_xlim(free / 1.6, x.max() * 2)
    ticks = [10.0**power for power in range(0, 6) if free * 1.5 < 10.0**power < x.max() * 2]
    axes.set_xticks([free, *ticks], ["0", *(f"{tick:,.0f}" for tick in ticks)])
    axes.minorticks_off()
    for k, height in enumerate(_spread(np.log10(x), y, 0.035 * (1.09 - floor))):
        below = " (below)" if share[k] < floor else ""
        away = 1.22 if k == at else 1.13  # outside the ring
        axes.annotate(f"{k + 1}{below}", (x[k], y[k]), (x[k] * away, height), fontsize=11, va="center")
    axes.set_xlabel("examples learned per event (log scale)")
    axes.set_ylabel("share of the gain from frozen to the best")
    key.axis("off")
    lines = [f"{k + 1}  {name}" for k, name in enumerate(table.index)]
    key.text(0, 1, "\n".join(lines), va="top", fontsize=11, linespacing=1.45, transform=key.transAxes)
    handles, labels = axes.get_legend_handles_labels()
    key.legend(handles, labels, loc="lower left", fontsize=10, borderpad=0, bbox_to_anchor=(-0.06, -0.02))


def _spread(x: np.ndarray, y: np.ndarray, gap: float) -> np.ndarray:
    """Heights of labels beside points: those that would touch are stacked around their middle, in their order."""
    out = y.astype(float).copy()
    column = np.empty(len(x), int)
    order = np.argsort(x, kind="stable")
    column[order] = np.cumsum(np.append(0, np.diff(x[order]) > 0.12))
    for number in range(column.max() + 1):
        own = np.flatnonzero(column == number)
        stacks: list[list[int]] = []
        for k in own[np.argsort(y[own], kind="stable")]:
            stacks.append([k])
            # A stack reaches (n - 1) / 2 gaps up and down from the mean of its points.
            while (
                len(stacks) > 1 and y[stacks[-1]].mean() - y[stacks[-2]].mean() < gap * sum(map(len, stacks[-2:])) / 2
            ):
                stacks[-2:] = [stacks[-2] + stacks[-1]]
        for stack in stacks:
            out[stack] = y[stack].mean() + gap * (np.arange(len(stack)) - (len(stack) - 1) / 2)
    return out


def shown_over_time(found: Race) -> list[str]:
    """A handful to draw as lines: the recommended, the best, the pilot's, the best baseline, and the plain ones."""
    order = found.table.index
    baseline = [name for name in order if name in BASELINES][:1]
    plain = ["frozen", "full retrain, growing", "per event"]
    wanted = [found.choice.name, found.choice.best, found.pilot.name, *baseline, *plain]
    return [name for name in dict.fromkeys(wanted) if name in order]


def draw_over_time(figure, found: Race) -> None:
    """The metric in consecutive stretches of the race."""
    axes = figure.subplots()
    for name in shown_over_time(found):
        own = found.windows[found.windows["contender"] == name]
        events = own["events"].cumsum() - own["events"] / 2
        axes.plot(events / 1000 * found.track.score_every, own["quality"], label=name)
    better = "higher" if found.track.task == "ranking" else "lower"
    what = "baskets" if "event" in found.track.events and found.track.task == "ranking" else "events"
    axes.set_xlabel(f"thousand {what} since the race began")
    axes.set_ylabel(f"{METRIC[found.track.task]} ({better} is better)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3, fontsize=11)
