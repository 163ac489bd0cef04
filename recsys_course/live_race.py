"""A race to watch: the strategies drawn as they run over the stream, for the lecture hall.

:func:`live_race` makes a picture of the last moment of the race, an SVG that any notebook shows, and a few lines of
JavaScript that bring it to life where scripts may run: play and pause, speed, position. Nothing moves until somebody
presses play, and without scripts, as in a notebook that was only opened, the last moment stands there.

The picture is drawn once, here. The script takes it over and moves what depends on the moment: how far the lines have
come, the numbers at their ends, quality and cost so far.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from recsys_course.plot import COLOURS, DASHES
from recsys_course.replay import Result
from recsys_course.report import METRIC, examples_by_window, quality_by_window

__all__ = ["LiveRace", "live_race"]

WIDTH, HEIGHT = 960, 470
LEFT, RIGHT, TOP, BOTTOM = 64, 556, 30, 412  # of the plot; to its right a row for each strategy
ROWS, BAR = 600, 330  # where the rows begin, and the length of a full bar
GAP = 15  # between the numbers at the ends of the lines
MOST = 14


class LiveRace:
    """What :func:`live_race` returns: a notebook shows it. ``svg`` is the picture of the last moment."""

    def __init__(self, svg: str, data: dict) -> None:
        self.svg = svg
        self._data = data

    def _repr_html_(self) -> str:
        # As an image, since that is what is left of a page from which scripts were taken.
        picture = base64.b64encode(self.svg.encode()).decode("ascii")
        name = "live-race-" + hashlib.sha256(self.svg.encode()).hexdigest()[:12]
        data = json.dumps(self._data, separators=(",", ":")).replace("<", "\\u003c")
        script = _SCRIPT.replace("NAME", name).replace("DATA", data)
        image = f'<img style="width:100%" alt="{escape(self._data["alt"])}" src="data:image/svg+xml;base64,{picture}">'
        return (
            f'<div class="{name}" style="max-width:{WIDTH}px;background:#fff">{image}</div>\n<script>{script}</script>'
        )

    def __repr__(self) -> str:
        return f"LiveRace({self._data['alt']!r})"


def live_race(results: Sequence[Result] | Mapping[str, Result], *, windows: int = 40) -> LiveRace:
    """Draw results of one stream as a race that can be played.

    Parameters
    ----------
    results : sequence of Result, or dict from a name to a Result
        Up to 14, of one task and the same rows.
    windows : int
        In how many stretches, with the same number of events, quality is measured.

    Returns
    -------
    LiveRace
        The same for the same results: its ids are made from what it shows.

    Raises
    ------
    ValueError
        No results or too many, results of different streams, or ``windows`` is out of range.

    Notes
    -----
    At each moment a line ends at the latest stretch; beside it stand the metric over all events so far, and the events
    learned so far, a bar on a log scale. Taught in chapter 09b.

    Examples
    --------
    >>> import pandas as pd
    >>> from recsys_course.models import RunningMeans
    >>> from recsys_course.replay import replay
    >>> from recsys_course.strategies import Frozen, Incremental
    >>> table = pd.DataFrame({"user": 1, "item": 7, "label": [3.0] * 50 + [5.0] * 50, "timestamp": range(100)})
    >>> raced = [replay(table, kind(RunningMeans()), task="rating") for kind in (Frozen, Incremental)]
    >>> live_race(raced, windows=10)
    LiveRace('RMSE over the stream at its end: frozen 1.826, incremental, per event 0.773')
    """
    named = dict(results) if isinstance(results, Mapping) else {result.name: result for result in results}
    if not 1 <= len(named) <= MOST or len(named) != len(results):
        raise ValueError(f"give from 1 to {MOST} results, each with a name of its own, not {len(results)}")
    first = next(iter(named.values()))
    for name, result in named.items():
        if result.task != first.task or not np.array_equal(result.rows, first.rows):
            raise ValueError(f"{name!r} was not scored on the same rows of one task as the others")
    tables = [quality_by_window(result, windows=windows) for result in named.values()]
    quality = np.array([table["quality"] for table in tables])
    sizes = tables[0]["events"].to_numpy()
    power = 2 if first.task == "rating" else 1  # squared errors have a mean, and their roots have not
    so_far = (np.cumsum(quality**power * sizes, axis=1) / np.cumsum(sizes)) ** (1 / power)
    cost = np.array([examples_by_window(result, windows=windows) for result in named.values()])
    metric = METRIC[first.task]
    final = ", ".join(f"{name} {value:.3f}" for name, value in zip(named, so_far[:, -1], strict=True))
    scale = _Scale(quality, float(cost.max()))
    data = {
        "alt": f"{metric} over the stream at its end: {final}",
        "y": np.round(scale.y(quality), 1).tolist(),
        "quality": np.round(so_far, 4).tolist(),
        "cost": np.round(cost).astype(int).tolist(),
        "most": max(1, round(float(cost.max()))),
        "events": int(sizes.sum()),
    }
    return LiveRace(_svg(list(named), metric, scale, data), data)


class _Scale:
    """From quality to the height of a point, in pixels."""

    def __init__(self, quality: np.ndarray, most: float) -> None:
        from matplotlib.ticker import MaxNLocator

        low, high = float(quality.min()), float(quality.max())
        self.ticks = MaxNLocator(6).tick_values(low, high if high > low else low + 1.0)
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def y(self, quality):
        return BOTTOM - (np.asarray(quality) - self.low) / (self.high - self.low) * (BOTTOM - TOP)


# ----------------------------------------------------------------------------------------------- the picture


def _svg(names: list[str], metric: str, scale: _Scale, data: dict) -> str:
    """The last moment. What moves has a class that the script looks for, such as line or bar."""
    y = np.array(data["y"])
    n_windows = y.shape[1]
    x = LEFT + (RIGHT - LEFT) * (np.arange(n_windows) + 1) / n_windows
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', _axes(metric, scale, data["events"])]
    labels = _apart(y[:, -1])
    for k in range(len(names)):
        look = _look(k)
        points = " ".join(f"{_px(a)},{_px(b)}" for a, b in zip(x, y[k], strict=True))
        parts.append(f'<polyline class="line" points="{points}" fill="none" stroke-width="2.2" {look}/>')
    for k in range(len(names)):
        colour, height = COLOURS[k % len(COLOURS)], y[k, -1]
        parts.append(
            f'<line class="lead" x1="{_px(RIGHT)}" y1="{_px(height)}" x2="{_px(RIGHT + 12)}" y2="{_px(labels[k])}" '
            f'stroke="{colour}"/><circle class="end" cx="{_px(RIGHT)}" cy="{_px(height)}" r="4" fill="{colour}"/>'
            f'<text class="number" x="{_px(RIGHT + 14)}" y="{_px(labels[k] + 4)}" font-weight="bold">{k + 1}</text>'
        )
    parts.append(f'<text x="{ROWS + BAR}" y="22" text-anchor="end" fill="#555">{metric} so far</text>')
    parts.append(f'<text x="{ROWS}" y="22" fill="#555">bars: events learned so far (log)</text>')
    height = min(52.0, (BOTTOM + 30 - TOP) / len(names))
    for k, name in enumerate(names):
        top = TOP + k * height
        long = escape(name if len(name) <= 34 else name[:33] + "…")
        parts.append(
            f'<text x="{ROWS}" y="{_px(top + 15)}"><tspan font-weight="bold">{k + 1}</tspan>  {long}</text>'
            f'<text class="quality" x="{ROWS + BAR}" y="{_px(top + 15)}" text-anchor="end">'
            f"{data['quality'][k][-1]:.3f}</text>"
            f'<line class="bar" x1="{ROWS}" x2="{_px(ROWS + _bar(data["cost"][k][-1], data["most"]))}" '
            f'y1="{_px(top + 23)}" y2="{_px(top + 23)}" stroke-width="5" {_look(k)}/>'
            f'<text class="cost" x="{ROWS + BAR}" y="{_px(top + 27)}" text-anchor="end" font-size="11" fill="#555">'
            f"{data['cost'][k][-1]:,}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(data["alt"])}" font-family="sans-serif" font-size="13" fill="#222">{"".join(parts)}</svg>'
    )


def _axes(metric: str, scale: _Scale, events: int) -> str:
    from matplotlib.ticker import MaxNLocator

    digits = max(0, int(np.ceil(-np.log10(scale.ticks[1] - scale.ticks[0]) - 1e-9)))
    off = np.abs(scale.ticks * 10**digits - np.round(scale.ticks * 10**digits))
    digits += off.max() > 1e-6  # steps of 0.25
    parts = []
    for tick in scale.ticks:
        y = _px(scale.y(tick))
        parts.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        label = f"{tick:.{digits}f}"
        parts.append(f'<text x="{LEFT - 6}" y="{_px(scale.y(tick) + 4)}" text-anchor="end">{label}</text>')
    for tick in MaxNLocator(6, integer=True).tick_values(0, events):
        if tick <= events:
            x = _px(LEFT + (RIGHT - LEFT) * tick / events)
            parts.append(f'<text x="{x}" y="{BOTTOM + 18}" text-anchor="middle">{tick:,.0f}</text>')
    parts.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}" stroke="#222"/>')
    parts.append(f'<text x="{(LEFT + RIGHT) // 2}" y="{BOTTOM + 40}" text-anchor="middle">events scored</text>')
    better = "higher" if metric == METRIC["ranking"] else "lower"
    parts.append(f'<text x="{LEFT}" y="14">{metric} in each stretch ({better} is better)</text>')
    return "".join(parts)


def _look(k: int) -> str:
    dash = DASHES[(k + k // len(COLOURS)) % len(DASHES)]
    named = {"-": "", "--": "9 4", "-.": "9 3 2 3", ":": "2 3"}
    lengths = named[dash] if isinstance(dash, str) else " ".join(f"{2.2 * length:g}" for length in dash[1])
    dashed = f' stroke-dasharray="{lengths}"' if lengths else ""
    return f'stroke="{COLOURS[k % len(COLOURS)]}"{dashed}'


def _px(value: float) -> str:
    return f"{value:.1f}"


def _bar(cost: float, most: float) -> float:
    return (BAR - 70) * np.log1p(cost) / np.log1p(most)


def _apart(heights: np.ndarray) -> np.ndarray:
    """Heights of the numbers at the ends of the lines: in the same order, and a gap apart."""
    order = np.argsort(heights, kind="stable")
    out = heights[order].astype(float)
    for k in range(1, len(out)):
        out[k] = max(out[k], out[k - 1] + GAP)
    over = out[-1] - BOTTOM
    if over > 0:  # pushed out at the bottom: move up, and the others with it
        out[-1] = BOTTOM
        for k in range(len(out) - 2, -1, -1):
            out[k] = min(out[k], out[k + 1] - GAP)
    back = np.empty(len(out))
    back[order] = out
    return back


# ------------------------------------------------------------------------------------------------ the script

_SCRIPT = f"""
for (const root of document.querySelectorAll(".NAME")) {{
  const image = root.querySelector("img");
  if (!image) continue;  // brought to life already
  const race = DATA;
  const bytes = Uint8Array.from(atob(image.src.split(",")[1]), (c) => c.charCodeAt(0));
  image.outerHTML = new TextDecoder().decode(bytes);
  const all = (name) => [...root.querySelectorAll("." + name)];
  const [lines, ends, leads, numbers, qualities, costs, bars] =
    ["line", "end", "lead", "number", "quality", "cost", "bar"].map(all);
  const count = race.y[0].length, px = (value) => value.toFixed(1);
  const at = (w) => {LEFT} + {RIGHT - LEFT} * (w + 1) / count;
  const set = (node, values) => Object.entries(values).forEach(([key, value]) => node.setAttribute(key, value));
  const draw = (moment) => {{  // 0 at the end of the first stretch, count - 1 at the end of the last
    const whole = Math.min(Math.floor(moment), count - 1), part = moment - whole;
    const between = (row) => part > 0 ? row[whole] + part * (row[whole + 1] - row[whole]) : row[whole];
    const x = at(moment), heights = race.y.map(between), labels = [];
    const order = heights.map((_, k) => k).sort((a, b) => heights[a] - heights[b]);
    order.forEach((k, rank) => labels[k] = rank ? Math.max(heights[k], labels[order[rank - 1]] + {GAP}) : heights[k]);
    order.reverse().forEach((k, rank) =>
      labels[k] = Math.min(labels[k], rank ? labels[order[rank - 1]] - {GAP} : {BOTTOM}));
    race.y.forEach((row, k) => {{
      const points = row.slice(0, whole + 1).map((y, w) => px(at(w)) + "," + px(y));
      if (part > 0) points.push(px(x) + "," + px(heights[k]));
      set(lines[k], {{points: points.join(" ")}});
      set(ends[k], {{cx: px(x), cy: px(heights[k])}});
      set(leads[k], {{x1: px(x), y1: px(heights[k]), x2: px(x + 12), y2: px(labels[k])}});
      set(numbers[k], {{x: px(x + 14), y: px(labels[k] + 4)}});
      const cost = Math.round(between(race.cost[k]));
      set(bars[k], {{x2: px({ROWS} + {BAR - 70} * Math.log1p(cost) / Math.log1p(race.most))}});
      qualities[k].textContent = between(race.quality[k]).toFixed(3);
      costs[k].textContent = cost.toLocaleString("en-US");
    }});
  }};
  const panel = document.createElement("div");
  panel.style.cssText = "display:flex;flex-wrap:wrap;gap:1em;align-items:center;font:14px sans-serif;color:#222";
  panel.dataset.lmSuppressShortcuts = "true";  // JupyterLab keeps its hands off keys that are pressed in here
  panel.innerHTML = '<button type="button" style="min-width:6em;padding:.4em">Play</button>' +
    '<label>speed <input class="speed" type="range" min="1" max="20" step="1" value="4"></label>' +
    '<label style="flex:1;display:flex">position ' +
    '<input class="position" type="range" min="0" step="0.25" style="flex:1"></label>';
  root.append(panel);
  const [button, speed, position] = ["button", ".speed", ".position"].map((name) => panel.querySelector(name));
  position.max = count - 1;
  position.value = count - 1;
  let moment = count - 1, before = null;
  const stop = () => {{ before = null; button.textContent = "Play"; }};
  const tick = (now) => {{
    if (before === null || !root.isConnected) return;
    moment = Math.min(count - 1, moment + speed.value * (now - before) / 1000);
    before = now;
    position.value = moment;
    draw(moment);
    if (moment < count - 1) requestAnimationFrame(tick); else stop();
  }};
  button.onclick = () => {{
    if (before !== null) return stop();
    if (moment >= count - 1) moment = 0;
    button.textContent = "Pause";
    before = performance.now();
    requestAnimationFrame(tick);
  }};
  position.oninput = () => {{ stop(); draw(moment = Number(position.value)); }};
}}
"""
