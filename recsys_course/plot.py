"""The course's figures: one style, and the few drawings that more than one chapter needs.

Colours are those of Okabe and Ito, which people with any common form of colour blindness can tell apart, and no
figure relies on colour alone: lines differ in dash and marker too. Sizes are chosen to be read from the back row.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
from cycler import cycler

from recsys_course.report import quality_by_window

__all__ = ["quality_over_time", "use_style"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def use_style() -> None:
    """Set the course's style for all figures that follow; in a notebook, store them the same on every run.

    Taught in chapter 00.
    """
    plt.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=DASHES) + cycler(marker=MARKERS),
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.labelsize": 13,
            "axes.titlesize": 14,
            "axes.titlelocation": "left",
            "figure.figsize": (8.0, 4.5),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 12,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "legend.fontsize": 12,
            "lines.linewidth": 2.2,
            "lines.markersize": 6,
        }
    )
    try:
        from IPython import get_ipython
    except ImportError:
        return
    if get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        # matplotlib writes its version into a picture; without it, equal figures are equal files.
        set_matplotlib_formats("png", metadata={"Software": None})


def quality_over_time(results, *, windows: int = 20, ax=None):
    """Draw the metric of each result over consecutive stretches of the stream.

    Parameters
    ----------
    results : list of Result
    windows : int
        Number of stretches, each with the same number of events.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Notes
    -----
    Taught in chapter 00.
    """
    ax = plt.subplots()[1] if ax is None else ax
    for result in results:
        table = quality_by_window(result, windows=windows)
        events = table["events"].cumsum() - table["events"] / 2
        ax.plot(events / 1000, table["quality"], label=result.name)
    ax.set_xlabel("thousand events since the end of the warm-up")
    ax.set_ylabel(_metric_label(results[0].task))
    ax.legend()
    return ax


def _metric_label(task: str) -> str:
    return {
        "rating": "RMSE in stars (lower is better)",
        "binary": "log loss in nats (lower is better)",
        "ranking": "recall@10 (higher is better)",
    }[task]
