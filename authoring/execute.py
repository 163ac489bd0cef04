"""Run a notebook from top to bottom, so that it comes out the same again; refuse what must not stand in an output."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from authoring.course import ROOT, CourseError

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_SECONDS = 60  # a whole chapter has about that much
ONE_THREAD = dict.fromkeys(
    [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ],
    "1",
)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "MPLCONFIGDIR", "IPYTHONDIR")


def environment(folder: Path) -> dict[str, str]:
    """What a kernel finds around it: one thread, and none of the settings that its user keeps at home.

    A kernel's profile, a matplotlibrc or a kernelspec in somebody's home would change what a chapter prints.
    """
    own = {name: str(folder / name.lower()) for name in FOLDERS}
    for path in own.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    # The debugger's warning about frozen modules would go to stderr. An empty backend lets a kernel choose its own.
    return {**ONE_THREAD, **own, "PYDEVD_DISABLE_FILE_VALIDATION": "1", "MPLBACKEND": ""}


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Set :func:`environment` for this process and the kernels that it starts."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        new = environment(Path(folder))
        before = {name: os.environ.get(name) for name in new}
        os.environ.update(new)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@dataclass
class Run:
    """What a run took: seconds of each cell, peak memory of the kernel in bytes."""

    cell_seconds: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    peak_bytes: int = 0


def execute(notebook: NotebookNode, folder: Path, name: str, *, cell_seconds: float = CELL_SECONDS) -> Run:
    """Run all cells in place, in a kernel of this Python that works in ``folder``.

    Raises
    ------
    CourseError
        A cell fails, takes too long, writes to stderr, or prints a place or a name of this machine.
    """
    run, started = Run(), {}

    def begin(cell, cell_index, **_):
        started[cell_index] = time.perf_counter()

    def end(cell, cell_index, **_):
        run.cell_seconds[cell_index] = time.perf_counter() - started[cell_index]

    client = NotebookClient(
        notebook,
        timeout=cell_seconds,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=40"],  # it warns of its own transport on the terminal
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=begin,
        on_cell_executed=end,
    )
    with isolated(), _peak_memory(client, run):
        clock = time.perf_counter()
        try:
            client.execute()
        except CellTimeoutError as problem:
            at = max(started)
            raise CourseError(
                f"{name}, cell {at} takes more than {cell_seconds:g} s:\n{notebook.cells[at].source}"
            ) from problem
        except CellExecutionError as problem:
            at = max(started)
            raise CourseError(f"{name}, cell {at} fails:\n{ANSI.sub('', str(problem))}") from problem
        except DeadKernelError as problem:
            at = max(started)
            raise CourseError(f"{name}, cell {at}: the kernel died; is the memory full?") from problem
        run.seconds = time.perf_counter() - clock
    tidy(notebook)
    problems = output_problems(notebook)
    if problems:
        raise CourseError("\n".join(f"{name}, {problem}" for problem in problems))
    return run


def tidy(notebook: NotebookNode) -> None:
    """Leave nothing in the notebook that depends on when messages arrived, or on the kernel's version of Python."""
    notebook.metadata = NotebookNode({name: NotebookNode(value) for name, value in METADATA.items()})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        merged: list[Any] = []
        for output in cell.outputs:
            same = [
                old for old in merged if output.output_type == "stream" == old.output_type and old.name == output.name
            ]
            if same:
                same[0].text += output.text
            else:
                merged.append(output)
        cell.outputs = merged


@contextlib.contextmanager
def _peak_memory(client: NotebookClient, run: Run) -> Iterator[None]:
    stop = threading.Event()

    def watch():
        while not stop.wait(0.05):
            try:
                kernel: Any = client.km  # a LocalProvisioner knows its process; its base class does not say so
                run.peak_bytes = max(run.peak_bytes, psutil.Process(kernel.provisioner.pid).memory_info().rss)
            except (AttributeError, TypeError, psutil.Error):
                continue  # not started yet, or already gone

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# --- outputs ------------------------------------------------------------------------------------------------------

# Written with a class of characters, so that the search for such places in the project's files does not find it.
PLACES = [
    (re.compile(r"(?<![\w.~/])/(?:home|root|tmp|Users|usr|var|opt|work|private|mnt)[/]\S*"), "an absolute path"),
    (re.compile(r"\b[A-Za-z]:\\\\?[\w.]"), "an absolute path"),
    (re.compile(r"\bat 0x[0-9a-f]{6,}"), "an address in memory"),
    (re.compile(r"\bipykernel_\d+"), "the name of a kernel's file"),
]


def of_this_machine() -> list[str]:
    """Where the course, its environment, the user's files and temporary files lie here, wherever that is.

    The list in ``PLACES`` knows where such folders usually are; a course cloned into ``/srv`` is known only from here.
    """
    here = [ROOT, Path(sys.prefix), Path.home(), Path(tempfile.gettempdir())]
    return sorted({str(place) for path in here for place in (path, path.resolve()) if len(place.parts) > 1})


def places(text: str) -> list[str]:
    """What a text says about the machine on which it was written."""
    found = [f"{what}: {match[0]}" for pattern, what in PLACES for match in pattern.finditer(text)]
    for place in of_this_machine():
        if re.search(rf"(?<![\w.~/]){re.escape(place)}(?![\w.-])", text):
            found.append(f"an absolute path: {place}")
    user, host = getpass.getuser(), platform.node()
    # "root" and "admin" are words of the language; a longer or rarer name is not.
    if len(user) > 3 and user not in {"root", "admin", "user", "runner"} and re.search(rf"\b{re.escape(user)}\b", text):
        found.append(f"a user's name: {user}")
    if len(host) > 5 and host != "localhost" and host in text:
        found.append(f"a machine's name: {host}")
    return found


def output_texts(output: NotebookNode) -> Iterator[tuple[str, str]]:
    """The texts of an output with their type: ``("stdout", "...")``, ``("text/html", "...")``."""
    if output.output_type == "stream":
        yield output.name, output.text
    elif output.output_type == "error":
        yield "error", "\n".join([output.ename, output.evalue, *output.traceback])
    else:
        for kind, text in output.data.items():
            if isinstance(text, str) and not (kind.startswith("image/") and kind != "image/svg+xml"):
                yield kind, text


def output_problems(notebook: NotebookNode) -> list[str]:
    """What stands in the outputs and must not: errors, stderr, places and names of a machine, things that change."""
    problems = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                problems.append(f"cell {number} failed with {output.ename}: catch it and print its type and message")
                continue
            if output.output_type == "stream" and output.name == "stderr":
                problems.append(
                    f"cell {number} writes to stderr, which names the kernel's files: {output.text[:200]!r}"
                )
                continue
            for kind, text in output_texts(output):
                problems += [f"cell {number} shows {place}" for place in places(text)]
                if kind == "stdout" and "\r" in text:
                    problems.append(f"cell {number} prints a progress bar: it would pile up in the notebook")
            for kind in output.get("data", {}):
                if kind == "image/svg+xml" or (kind.startswith("application/vnd.") and "dataresource" not in kind):
                    problems.append(f"cell {number} has an output of type {kind}, which differs on every run")
    return problems
