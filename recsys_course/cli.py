"""The command line, `recsys-course`: thin, each command a few lines around a function of the library.

A command that fails prints one line on stderr and ends with a code that says what kind of failure it was; with
RECSYS_COURSE_DEBUG=1 it shows the traceback instead.

==== =====================================================
code meaning
==== =====================================================
0    all is well
1    an error that nobody foresaw
2    the command was misspelt, or an option is wrong
3    `doctor` found something that has to be put right
4    a data set is not on this machine
5    a file or a table is not what it should be
6    the working copy cannot be made, restored or opened
==== =====================================================
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

__all__ = ["app", "main"]

FAILURES = 3  # of doctor

app = typer.Typer(
    help="Recommenders That Keep Learning: open the course, look after it, and try it on data of your own.",
    epilog="Start with `recsys-course doctor`, then `recsys-course lab`. Every command has its own --help.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="Data sets: what is here, what can be had, and on which terms.",
    epilog="Examples: `recsys-course data list`; `recsys-course data show movielens`; "
    "`recsys-course data fetch ml_100k`.",
    no_args_is_help=True,
)
app.add_typer(data_app, name="data")

Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="The port to use.", show_default="8888, or the next that is free")
]


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    try:
        app()
    except Exception as error:
        if os.environ.get("RECSYS_COURSE_DEBUG") == "1":
            raise
        _stop(error)


def _stop(error: Exception) -> NoReturn:
    from recsys_course.data import DataError, DataMissing
    from recsys_course.events import EventsError
    from recsys_course.workspace import WorkspaceError

    kinds = ((DataMissing, 4), ((DataError, EventsError), 5), (WorkspaceError, 6))
    code = next((code for kind, code in kinds if isinstance(error, kind)), 1)
    message = " ".join(str(error).split()) or type(error).__name__
    if code == 1:
        message = f"{type(error).__name__}: {message} (RECSYS_COURSE_DEBUG=1 shows where)"
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


def _table(*columns: str, title: str | None = None) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[-1].overflow = "fold"
    return table


def _print(what: Any = "") -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=isinstance(what, str), markup=not isinstance(what, str)).print(what)


# --- doctor -------------------------------------------------------------------------------------------------------


@app.command(epilog="Examples: `recsys-course doctor`; `recsys-course doctor --port 8899` also looks at that port.")
def doctor(port: Port = None) -> None:
    """Check this machine: Python, packages, memory, disk, data, write access, port.

    Says what to do about each failure. Ends with 0 if the course can run here, and with 3 otherwise.
    """
    from recsys_course.doctor import DEFAULT_PORT, examine
    from recsys_course.workspace import WorkspaceError, course_folder

    try:
        course = course_folder()
    except WorkspaceError:
        course = None
    checks = list(examine(course, port or DEFAULT_PORT))
    marks = {"ok": "ok", "note": "[yellow]note[/]", "fail": "[bold red]FAIL[/]"}
    table = _table("", "checked", "found")
    for check in checks:
        table.add_row(marks[check.state], check.name, _plain(check.found))
    _print(table)
    for check in checks:
        if check.remedy:
            _print(f"{check.name}: {check.remedy}")
    failed = [check.name for check in checks if check.state == "fail"]
    if failed:
        _print(f"\nPut right before you go on: {', '.join(failed)}.")
        raise SystemExit(FAILURES)
    _print("\nThe course can run here.")


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


# --- lab and reset ------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples: `recsys-course lab`; `recsys-course lab --port 8899 --no-browser` on a machine without a screen."
)
def lab(
    port: Port = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open the course in JupyterLab, on your working copy of the chapters.

    Makes the working copy in the folder work, or brings it up to date; what you have changed stays as it is.
    The server listens on this machine alone, and only the address with its token opens it.
    """
    from recsys_course import workspace
    from recsys_course.doctor import DEFAULT_PORT, free_port, packages

    course = workspace.course_folder()
    work = course / "work"
    check = packages(course / "locks" / "learn.txt")
    if check.state == "fail":
        print(f"warning: {check.found}: {check.remedy}", file=sys.stderr)
    _tell(workspace.ensure(course))
    if port is None:
        port = next((p for p in range(DEFAULT_PORT, DEFAULT_PORT + 50) if free_port(p)), None)
        if port is None:
            raise workspace.WorkspaceError("no port from 8888 to 8937 is free: choose one with --port")
    elif not free_port(port):
        raise workspace.WorkspaceError(f"port {port} is taken: choose another, as in --port {port + 11}")
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    page = f"/lab/tree/{workspace.first_notebook(course)}"
    print(f"\nThe course is at\n\n    http://localhost:{port}{page}?token={token}\n\nCtrl+C here ends it.", flush=True)
    command = [
        sys.executable,
        *("-m", "jupyterlab", "--ServerApp.log_level=ERROR", "--LabApp.log_level=ERROR"),
        *("--ServerApp.ip=localhost", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={work}", f"--LabApp.default_url={page}"),
        *(() if browser else ("--no-browser",)),
        *(("--allow-root",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
    ]
    _become(command, {**os.environ, **_jupyter_folders(work), "JUPYTER_TOKEN": token})


def _jupyter_folders(work: Path) -> dict[str, str]:
    """Settings of the course's own, so that neither it nor the learner's other work is disturbed."""
    from recsys_course.workspace import settings_folder

    settings = settings_folder(work)
    return {
        "JUPYTER_CONFIG_DIR": str(work / ".jupyter"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(settings.with_name("workspaces")),
    }


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Go on as another program, so that a signal to this process reaches it."""
    if os.name != "nt":
        os.execve(command[0], command, environment)
    child = subprocess.Popen(command, env=environment)  # Windows cannot; wait for it instead
    while True:
        try:
            raise SystemExit(child.wait())
        except KeyboardInterrupt:  # it reached the child too, which ends in its own time
            continue


@app.command(
    epilog="Examples: `recsys-course reset 01` restores the chapter and its exercises; "
    "`recsys-course reset 1 --exercise` the exercises alone."
)
def reset(
    number: Annotated[str, typer.Argument(help="The number of the chapter, as in 01.", show_default=False)],
    chapter: Annotated[bool, typer.Option("--chapter", help="Only the chapter.")] = False,
    exercise: Annotated[bool, typer.Option("--exercise", help="Only the exercises.")] = False,
) -> None:
    """Restore a chapter and its exercises in your working copy.

    Your own version is not lost: it is moved to the folder work/backup first.
    """
    from recsys_course import workspace

    both = chapter == exercise
    course = workspace.course_folder()
    _tell(workspace.reset(course, number, chapter=chapter or both, exercise=exercise or both))


def _tell(changes: list[Any]) -> None:
    """Say what happened to the working copy, in one line a notebook; new notebooks in one line together."""
    sentences = {
        "refreshed": "work/{path} is the newer edition now; your copy, run but not changed, is in work/{beside}",
        "offered": "work/{path} has a newer edition. Yours was changed and stays; the new one is work/{beside}",
        "removed": "{path} is no longer part of the course; your copy is in work/{beside}",
        "restored": "work/{path} is as the course has it; your version is in work/{beside}",
        "unchanged": "work/{path} is as the course has it already",
    }
    added = [change for change in changes if change.action == "added"]
    if added:
        print(f"{len(added)} notebooks copied to the folder work, which is yours to change.")
    for change in changes:
        if change.action in sentences:
            sentence = sentences[change.action]
            if change.action == "restored" and not change.beside:
                sentence = "work/{path} is as the course has it"
            print(sentence.format(path=change.path, beside=change.beside))


# --- tour ---------------------------------------------------------------------------------------------------------


@app.command(
    epilog="Examples: `recsys-course tour`; `recsys-course tour --data complete_journey`; "
    "`recsys-course tour --data plays.csv --user listener --item track --time played_at --no-label`."
)
def tour(
    source: Annotated[
        str, typer.Option("--data", help="A data set's name, a folder that holds one, or a CSV or parquet file.")
    ] = "movielens",
    user: Annotated[str, typer.Option(help="The file's column of users.")] = "user",
    item: Annotated[str, typer.Option(help="The file's column of items.")] = "item",
    label: Annotated[str, typer.Option(help="The file's column of ratings, or of 0 and 1.")] = "label",
    no_label: Annotated[bool, typer.Option("--no-label", help="Each row is a purchase, a click or a play.")] = False,
    timestamp: Annotated[str, typer.Option("--time", help="The file's column of times.")] = "timestamp",
    basket: Annotated[str | None, typer.Option(help="The file's column of basket numbers, if rows form them.")] = None,
    time_format: Annotated[str | None, typer.Option(help="The format of the times, as in %d.%m.%Y.")] = None,
    separator: Annotated[str | None, typer.Option(help="The character between the file's columns.")] = None,
    duplicates: Annotated[str, typer.Option(help="Rows that repeat a key: raise, keep, first or last.")] = "raise",
    retrains: Annotated[int, typer.Option(min=1, help="How many full retrains to spread over the stream.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The seed of all random numbers.")] = 0,
) -> None:
    """Walk the whole loop on real data: frozen, retrained, and learning from each event.

    The first two fifths of the events are the past, on which each model is fitted. Then it lives through the rest: it
    predicts each event before it learns from it. One table shows how well, and at what cost.
    """
    from recsys_course import tour as course_tour

    dataset = _dataset(
        source,
        user=user,
        item=item,
        label=None if no_label else label,
        timestamp=timestamp,
        event=basket,
        time_format=time_format,
        separator=separator,
        duplicates=duplicates,
    )
    events = dataset.events
    users, items = events["user"].nunique(), events["item"].nunique()
    _print(f"{dataset.card.title}: {len(events):,} rows, {users:,} users, {items:,} items")
    if dataset.report is not None:
        _print(str(dataset.report))
    try:
        strategies = course_tour.contenders(dataset, retrains=retrains, seed=seed)
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--retrains") from problem
    with _bars(strategies) as advance:
        results = course_tour.run(dataset, strategies, advance)
    _print(_verdict_table(course_tour.verdicts(results)))
    _print(
        "examples: events learned for each event scored, each pass counted, without the first fit, which all share.\n"
        "days old: median age of the newest label that the model had learned. CPU s: on this machine.\n"
        "better, worse: than frozen, beyond what the chance of which users came by explains. More in chapter 00."
    )


@app.command(
    epilog="Examples: `recsys-course race --data movielens`; "
    "`recsys-course race --data plays.csv --user listener --item track --time played_at --no-label --out plays-race`; "
    "`recsys-course race --data ads.csv --delay 1D` if labels come a day late.",
)
def race(
    source: Annotated[
        str, typer.Option("--data", help="A data set's name, a folder that holds one, or a CSV or parquet file.")
    ] = "movielens",
    user: Annotated[str, typer.Option(help="The file's column of users.")] = "user",
    item: Annotated[str, typer.Option(help="The file's column of items.")] = "item",
    label: Annotated[str, typer.Option(help="The file's column of ratings, or of 0 and 1.")] = "label",
    no_label: Annotated[bool, typer.Option("--no-label", help="Each row is a purchase, a click or a play.")] = False,
    timestamp: Annotated[str, typer.Option("--time", help="The file's column of times.")] = "timestamp",
    basket: Annotated[str | None, typer.Option(help="The file's column of basket numbers, if rows form them.")] = None,
    time_format: Annotated[str | None, typer.Option(help="The format of the times, as in %d.%m.%Y.")] = None,
    separator: Annotated[str | None, typer.Option(help="The character between the file's columns.")] = None,
    duplicates: Annotated[str, typer.Option(help="Rows that repeat a key: raise, keep, first or last.")] = "raise",
    delay: Annotated[
        str | None, typer.Option(help="How late labels arrive: a number of events, or a time as in 1D or 2h.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("race"),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report in that folder.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="A folder that keeps finished replays: a race that was stopped goes on.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of all random numbers.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer settings and retrains: a first impression.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Contenders that run at once.", show_default="one a core, if it pays")
    ] = None,
) -> None:
    """Race ways of updating on data of your own, and write a report that recommends one.

    The first two fifths of the events are the past, on which settings are chosen and a pilot runs. The rest is raced:
    frozen, retrained, learning from each event, mixtures, and baselines. A million events take minutes.
    """
    import time

    import joblib

    from recsys_course import race as course_race
    from recsys_course import race_report
    from recsys_course.race_answer import answer

    try:
        race_report.check_folder(out, force=force)
    except race_report.FolderTaken as problem:
        raise typer.BadParameter(str(problem), param_hint="--out") from problem
    late = _delay(delay)
    dataset = _dataset(
        source,
        user=user,
        item=item,
        label=None if no_label else label,
        timestamp=timestamp,
        event=basket,
        time_format=time_format,
        separator=separator,
        duplicates=duplicates,
    )
    _print(f"{dataset.card.title}: {len(dataset.events):,} rows")
    if dataset.report is not None:
        _print(str(dataset.report))
    began = time.monotonic()
    # Below, starting a second process takes longer than the race does.
    n_jobs = jobs or (1 if len(dataset.events) < 200_000 else joblib.cpu_count(only_physical_cores=True))
    with _bars(("settings", "pilot", "race")) as advance, joblib.parallel_config(n_jobs=n_jobs):
        found = course_race.race(dataset, delay=late, seed=seed, quick=quick, cache=cache, progress=advance)
    page = race_report.write(found, dataset, out, force=force, seconds=time.monotonic() - began)
    said = answer(found)
    _print(f"\n{said['do']}")
    for part in ("reason", "gain", "cheaper", "factors", "pilot", "beware"):
        if said[part]:
            _print(said[part])
    _print(f"\nThe report: {page}")


def _delay(text: str | None) -> int | str | None:
    from recsys_course.plan import every

    if text is None:
        return None
    late = int(text) if text.isascii() and text.isdigit() else text
    try:
        return None if late == 0 else late if every(late) else None
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--delay") from problem


def _dataset(source: str, **columns: Any) -> Any:
    from recsys_course import data

    path = Path(source)
    if source in data.names():
        return data.load(source)
    if path.is_dir():
        # A folder with the name and the files of a set, such as a mirror's: read the set from there.
        for card in data.cards().values():
            if card.mirror == path.resolve().name:
                os.environ["RECSYS_COURSE_MIRROR"] = str(path.resolve().parent)
                return data.load(card.name)
        known = ", ".join(card.mirror for card in data.cards().values() if card.mirror)
        raise data.DataError(f"{source} is a folder, and not one of {known}: name a file, or a set of `data list`")
    if not path.exists() and not path.suffix:
        raise data.DataError(f"{source} is neither a file nor one of the sets {', '.join(data.names())}")
    return data.own(path, **columns)


def _bars(names: Any) -> Any:
    from contextlib import contextmanager

    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    @contextmanager
    def bars() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, transient=True) as progress:
            tasks = {name: progress.add_task(name, total=1.0, start=False) for name in names}

            def advance(name: str, share: float) -> None:
                if share == 0.0:
                    progress.start_task(tasks[name])
                progress.update(tasks[name], completed=share)

            yield advance

    return bars()


def _verdict_table(verdicts: Any) -> Any:
    metric, against = verdicts.columns[0], verdicts.columns[-1]
    table = _table("strategy", metric, "examples", "days old", "kB", "CPU s", "verdict")
    table.padding = (0, 1, 0, 0)  # the whole of it fits a terminal of 80 columns
    table.columns[0].no_wrap = True
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, row in verdicts.iterrows():
        table.add_row(
            str(name),
            f"{row[metric]:.4f}",
            f"{row['examples per event']:,.1f}",
            f"{row['staleness, hours'] / 24:,.1f}",
            f"{row['model kB']:,.0f}",
            f"{row['CPU s']:.2f}",
            row[against],
        )
    return table


# --- data ---------------------------------------------------------------------------------------------------------


@data_app.command("list", epilog="Example: `recsys-course data list`")
def list_data() -> None:
    """List the data sets: what is here, and what can be had."""
    from recsys_course import data

    table = _table("name", "task", "state", "what it is")
    for name in data.names():
        status = data.status(name)
        table.add_row(name, status.card.task, status.state, _plain(status.card.title))
    _print(table)
    _print("`recsys-course data show NAME` tells more of one; `recsys-course data fetch NAME` gets it.")


@data_app.command(epilog="Example: `recsys-course data show movielens`")
def show(name: Annotated[str, typer.Argument(help="The name of the set, as in the list.", show_default=False)]) -> None:
    """Show the card of a data set: terms of use, source, counts, quirks, files and checksums."""
    from datetime import UTC, datetime

    from recsys_course import data

    status = data.status(name)
    card = status.card
    span = [f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}" for second in card.span or ()]
    table = _table("", "", title=card.title)
    table.show_header = False
    rows = {
        "state": status.detail or "here, checksums agree" if card.files else "made on demand",
        "folder": str(status.folder or ""),
        "task": card.task,
        "labels": "" if card.label_range is None else f"{card.label_range[0]:g} to {card.label_range[1]:g}",
        "a row": card.event,
        "licence": card.licence,
        "source": card.source,
        "cite": card.citation,
        "counts": ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in card.counts.items()),
        "time": " to ".join(span),
        **{f"column {column}": meaning for column, meaning in card.columns.items()},
        **{f"file {file}": digits for file, digits in card.files.items()},
    }
    for what, text in rows.items():
        if text:
            table.add_row(what, _plain(text))
    for number, quirk in enumerate(card.quirks):
        table.add_row("beware" if number == 0 else "", _plain(quirk))
    _print(table)


@data_app.command(epilog="Example: `recsys-course data fetch ml_100k`")
def fetch(
    name: Annotated[str, typer.Argument(help="The name of the set, as in the list.", show_default=False)],
    optional: Annotated[bool, typer.Option("--optional", help="If it cannot be had, say so and end well.")] = False,
) -> None:
    """Fetch a data set, check it, and keep it for use without a network.

    What is here already is not fetched again. Its terms of use are printed: read them.
    """
    from recsys_course import data

    card = data.card(name)
    here = data.available(name)
    if not here:
        print(f"Fetching {card.title} ...", flush=True)
    try:
        folder = data.fetch(name)
    except data.DataMissing as problem:
        if not optional:
            raise
        print(f"{name} is optional and could not be had; the course runs without it ({problem})")
        return
    print(f"{name} is {'here' if here else 'ready'}, checksums agree: {folder}")
    if card.licence:
        print(f"Terms: {card.licence}")


if __name__ == "__main__":
    main()
