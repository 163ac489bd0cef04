"""The report of a race: one HTML file that needs nothing beside it, and its tables as CSV.

The answer stands first, then the two figures, the table, what was read, and what was decided on what. Pictures are
inside the file, there is no script, and every name that came from a learner's file is escaped.
"""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
import shutil
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

import recsys_course
from recsys_course.data.dataset import Dataset
from recsys_course.race import Race
from recsys_course.race_answer import UNIT, answer, raced_rows, share_of, what_it_is
from recsys_course.race_figures import draw_frontier, draw_over_time, picture, shown_over_time
from recsys_course.report import METRIC

__all__ = ["FILES", "FolderTaken", "check_folder", "to_html", "write"]

FILES = ("race.html", "contenders.csv", "windows.csv", "settings.csv")


class FolderTaken(ValueError):
    """The folder for the report holds something that must not be written over."""


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Refuse a folder that is in use: without ``force`` any, with it all but an earlier report.

    Raises
    ------
    FolderTaken
        It says what to do.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FolderTaken(f"{folder} is a file: name a folder")
    held = {path.name for path in folder.iterdir()}
    if held - set(FILES):
        raise FolderTaken(f"{folder} holds {min(held - set(FILES))}, which is no part of a report: name another folder")
    if held and not force:
        raise FolderTaken(f"{folder} holds a report already: name another folder, or replace it with --force")


def write(found: Race, dataset: Dataset, folder: str | Path, *, force: bool = False, seconds: float = 0.0) -> Path:
    """Write the report into a folder, which is there as a whole or not at all; returns the path of the HTML file.

    Parameters
    ----------
    found : Race
    dataset : Dataset
        What was raced on.
    folder : path
    force : bool
        Whether an earlier report in it is replaced.
    seconds : float
        How long the race took, for the reader.

    Raises
    ------
    FolderTaken
        As :func:`check_folder`.

    Notes
    -----
    Taught in chapter 09b.
    """
    folder = Path(folder)
    check_folder(folder, force=force)
    content = {
        "race.html": to_html(found, dataset, seconds=seconds),
        "contenders.csv": found.table.to_csv(lineterminator="\n"),
        "windows.csv": found.windows.to_csv(index=False, lineterminator="\n"),
        "settings.csv": found.settings.to_csv(index=False, lineterminator="\n"),
    }
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        unfinished.mkdir(parents=True)
        for name, text in content.items():
            (unfinished / name).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder / "race.html"


_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.2rem; background: #fff; color: #1a1a1a;
  font: 1.05rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .2rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p, li { max-width: 46rem; }
.answer { border-left: .4rem solid #0072B2; background: #eef5fa; padding: .8rem 1.1rem; }
.answer .do { font-size: 1.4rem; font-weight: 650; line-height: 1.3; margin: 0 0 .6rem; }
.answer p { margin: .45rem 0; }
.beware { border-left: .4rem solid #D55E00; background: #fdf2ea; padding: .5rem 1.1rem; }
figure { margin: 0; }
figure img { display: block; width: 100%; max-width: 58rem; min-width: 34rem; height: auto; }
figcaption { max-width: 46rem; color: #444; font-size: .95rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { vertical-align: bottom; border-bottom: 2px solid #666; white-space: normal; }
.name { text-align: left; white-space: normal; min-width: 13rem; }
.name small { display: block; color: #555; line-height: 1.3; }
tr.recommended td { background: #eef5fa; font-weight: 600; }
tr.recommended small { font-weight: 400; }
pre { overflow-x: auto; background: #f6f6f6; padding: .7rem; font-size: .88rem; white-space: pre-wrap; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem 1rem; max-width: 45rem; }
footer { margin-top: 2rem; border-top: 1px solid #ccc; color: #555; font-size: .88rem; }
@media (max-width: 30rem) { body { padding: .8rem; font-size: 1rem; } .answer .do { font-size: 1.2rem; } }
@media print { body { max-width: none; font-size: 10pt; } .wide { overflow: visible; }
  figure img { min-width: 0; } table { font-size: 7.5pt; } th, td { padding: .15rem .3rem; }
  h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


def to_html(found: Race, dataset: Dataset, *, seconds: float = 0.0) -> str:
    """The report as one page, with pictures inside, no script, and nothing to fetch. Taught in chapter 09b."""
    said = {name: escape(text) for name, text in answer(found).items()}
    title = escape(dataset.card.title)
    metric = METRIC[found.track.task]
    frontier = picture((9.0, 5.2), lambda figure: draw_frontier(figure, found))
    over_time = picture((9.0, 4.6), lambda figure: draw_over_time(figure, found))
    alt_frontier = escape(
        "Share of the gain against examples learned per event: "
        + "; ".join(
            f"{name} {share_of(row['share of gain'])} at {row['examples per event']:.3g}"
            for name, row in found.table.iterrows()
        )
    )
    alt_time = escape(f"{metric} over the race, for {', '.join(shown_over_time(found))}; all are in windows.csv")
    paragraphs = "".join(
        f"<p>{said[part]}</p>" for part in ("reason", "gain", "cheaper", "factors", "pilot") if said[part]
    )
    beware = f'<p class="beware"><strong>Beware.</strong> {said["beware"]}</p>' if said["beware"] else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Race: {title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>How should a recommender on {title} be updated?</h1>
<section class="answer">
<p class="do">{said["do"]}</p>
{paragraphs}
</section>
{beware}
<h2>What quality costs</h2>
<figure>
<div class="wide"><img src="{frontier}" alt="{alt_frontier}"></div>
<figcaption>Up is better, left is cheaper. The grey line joins the contenders that no other beats at less cost; the ring
is the recommended one. Numbers are rows of the table below.</figcaption>
</figure>
<h2>Quality over time</h2>
<figure>
<div class="wide"><img src="{over_time}" alt="{alt_time}"></div>
<figcaption>{metric} in up to twenty stretches of the race with the same number of events. A model that is never updated
grows old; how fast it does is what updating is worth.</figcaption>
</figure>
<h2>All contenders</h2>
<div class="wide">{_contenders(found)}</div>
{_legend(found)}
<h2>What was read</h2>
{_what_was_read(found, dataset)}
<h2>What was decided on what</h2>
{_protocol(found)}
<div class="wide">{_settings(found)}</div>
<p>* the smallest or the largest that was tried: what lies beyond it might do better.</p>
<h2>How to read this</h2>
{_READING}
<footer><p>{escape(_versions())}. Seed {found.track.seed}{", quick" if found.track.quick else ""}.
{f"The whole took {seconds:.0f} seconds." if seconds else ""}</p></footer>
</body>
</html>
"""


def _contenders(found: Race) -> str:
    metric = METRIC[found.track.task]
    heads = (
        "", "contender", metric, "share of gain", "examples per event", "CPU s", "model kB", "tied", "worse by",
        "over users", "over time", "fits", "days old", f"{metric}, pilot",
    )  # fmt: skip
    rows = []
    for number, (name, row) in enumerate(found.table.iterrows(), start=1):
        name = str(name)
        best = name == found.choice.best
        cells = (
            f"{row[metric]:.4f}",
            share_of(row["share of gain"]),
            f"{row['examples per event']:,.2f}",
            f"{row['CPU s']:.2f}",
            f"{row['model kB']:,.0f}",
            "best" if best else "yes" if row["tied"] else "no",
            "" if best else f"{row['worse by'] + 0.0:.4f}",
            "" if best else f"{row['low, users'] + 0.0:.4f} to {row['high, users'] + 0.0:.4f}",
            "" if best else f"{row['low, blocks'] + 0.0:.4f} to {row['high, blocks'] + 0.0:.4f}",
            f"{row['fits']:,}",
            f"{row['days old']:,.2f}",
            "–" if np.isnan(row[f"{metric}, pilot"]) else f"{row[f'{metric}, pilot']:.4f}",
        )
        marked = ' class="recommended"' if name == found.choice.name else ""
        named = f'<td class="name">{escape(name)}<small>{escape(what_it_is(name))}</small></td>'
        rows.append(f"<tr{marked}><td>{number}</td>{named}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(f"<th{' class=name' if what == 'contender' else ''}>{escape(what)}</th>" for what in heads)
    return f'<table id="contenders"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _legend(found: Race) -> str:
    unit = UNIT[found.track.task]
    return (
        "<p>The recommended one is shaded. <em>Examples per event</em>: events learned for each that was raced on, "
        "each pass counted, without the first fit, which all share. <em>CPU s</em>: of learning and predicting, on "
        f"this machine. <em>Worse by</em>: than the best, in {unit} an event, with 95 % intervals that resample users, "
        "and blocks of time; it is <em>tied</em> with the best if the wider of the two holds zero. <em>Days old</em>: "
        "median age of the newest label that the model had learned. All of it is in <code>contenders.csv</code>, in "
        "full.</p>"
    )


def _what_was_read(found: Race, dataset: Dataset) -> str:
    events, track = dataset.events, found.track
    first, last = pd.to_datetime(events["timestamp"].iloc[[0, -1]], unit="s", utc=True)
    out = (
        f"<p>{len(events):,} rows, {events['user'].nunique():,} users, {events['item'].nunique():,} items, "
        f"{first:%Y-%m-%d} to {last:%Y-%m-%d} (UTC). What is predicted: {_predicted(track.task)}.</p>"
    )
    if dataset.report is not None:
        return out + f"<pre>{escape(str(dataset.report))}</pre>"
    licence = f" Terms: {escape(dataset.card.licence)}" if dataset.card.licence else ""
    return out + f"<p>A data set of the course, {escape(dataset.card.title)}: no row was left out.{licence}</p>"


def _predicted(task: str) -> str:
    return {
        "rating": "the rating, judged by the root of the mean squared error",
        "binary": "whether the label is 1, judged by the log loss",
        "ranking": "which item is taken, judged by whether it stands among the first ten",
    }[task]


def _protocol(found: Race) -> str:
    track = found.track
    sliding = -(-track.retrain_every // 2)
    late = "at once" if track.delay is None else f"late, by {escape(str(track.delay))}"
    late += " events" if isinstance(track.delay, int) else ""
    parts = [
        f"The first {track.start:,} rows are the past. Settings were chosen on its later half, and the pilot ran over "
        f"the same part. The {raced_rows(found):,} rows after it were raced on, and nothing was chosen by them.",
        f"Labels arrive {late}. Each event is predicted before it is learned.",
        f"Full retrains, and those of the hybrid: every {track.retrain_every:,} rows. Sliding ones: every {sliding:,} "
        "rows, on a window of the latest; how long it is was chosen like the other settings.",
    ]
    if track.task == "ranking":
        had = "leave the contest" if track.exclude_had else "stay in the contest, since people take things again"
        parts.append(f"Candidates are all items seen so far; those that a user had already {had}.")
    if track.score_every > 1:
        parts.append(f"<strong>Scored: one event in {track.score_every}</strong>, evenly; all are learned.")
    if track.label_range is not None and track.task == "rating":
        low, high = track.label_range
        parts.append(f"Predicted ratings are kept between {low:g} and {high:g}.")
    return "<ul>" + "".join(f"<li>{part}</li>" for part in parts) + "</ul>"


def _settings(found: Race) -> str:
    usual = ("epochs", "step_size", "update_step_size", "passes", "forget", "window")
    names = [name for name in usual if name in found.settings]
    metric = METRIC[found.track.task]
    final = found.settings[found.settings["chosen"]].groupby("family", sort=False).tail(1)
    tried = found.settings.groupby("family")[metric].agg(["size", "count"])
    head = "".join(
        f"<th{' class=name' if k == 0 else ''}>{escape(name.replace('_', ' '))}</th>"
        for k, name in enumerate(["family", *names, f"{metric}, later half of the past", "tried", "diverged"])
    )
    rows = ""
    for _, row in final.iterrows():
        edges = row["edge"].split(", ")
        values = [_setting(row[name], name in edges) for name in names]
        count, sound = tried.loc[row["family"]]
        cells = "".join(
            f"<td>{value}</td>" for value in [*values, f"{row[metric]:.4f}", f"{count}", f"{count - sound}"]
        )
        rows += f'<tr><td class="name">{escape(row["family"])}</td>{cells}</tr>'
    return f'<table id="settings"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _setting(value: float, edge: bool) -> str:
    return "–" if pd.isna(value) else f"{value:.4g}{'*' if edge else ''}"


_READING = """<dl>
<dt>Is the answer sure?</dt>
<dd>It holds for this stream, these models and this stretch of time. A contender whose difference to the best has an
interval that holds zero is tied with it, and the cheapest of those is recommended. The intervals know of other users
and other days, not of another season or another model.</dd>
<dt>Why did the pilot say something else?</dt>
<dd>It saw less, and the stream may have changed. Its regret says what that would have cost. Settings were chosen on the
part that it ran over, so its numbers flatter all that were tuned.</dd>
<dt>What does it cost me?</dt>
<dd>Examples learned per event are the same on every machine: multiply them by what one step of your model costs. CPU
seconds are those of the course's small compiled models.</dd>
<dt>A baseline wins?</dt>
<dd>Then fresh counts are worth more here than factors are. It is a result: keep the counts fresh first, and ask of any
model that it beats them.</dd>
<dt>What next?</dt>
<dd>Run the recommended one beside what you have, on live traffic. A replay knows what people did with what they were
shown then, and not what they would have done with something else.</dd>
</dl>
<p>settings.csv holds every setting that was tried, windows.csv the quality over time of every contender.</p>"""


def _versions() -> str:
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "numba", "pandas", "scipy"))
    return f"recsys-course {recsys_course.__version__}, Python {platform.python_version()}, {packages}"
