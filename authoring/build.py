"""Build notebooks from their sources: `make notebooks`, or `python -m authoring build [NN ...]`.

A chapter comes out of ``chapters/source/NN_name.py`` as ``chapters/NN_name.ipynb``, run from top to bottom. Its
exercises come out of ``chapters/source/exercises/NN.py`` twice: as ``chapters/solutions/NN_name.ipynb``, run, and
without answers and outputs as ``chapters/exercises/NN_name.ipynb``. Two builds give the same bytes, but for the
outputs of cells tagged timing.

A build refuses, and leaves the committed notebook as it was, when a data set is missing that a ``needs:NAME`` tag
asks for, when a cell fails, takes too long or writes to stderr, and when an output shows a place or name of this
machine.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass

from nbformat import NotebookNode

from authoring.course import Course, CourseError, Document, write
from authoring.execute import CELL_SECONDS, Run, execute
from authoring.exercises import student_version
from authoring.sources import as_notebook, as_text, needs, with_stable_ids

BUDGET_SECONDS = 60  # for a chapter, or the solutions of one
BUDGET_WITH_NETWORKS = 120  # where networks are trained
BUDGET_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Built:
    """A notebook as it is to be written, and what it took."""

    document: Document
    notebook: NotebookNode
    run: Run | None  # None for what is not run

    @property
    def text(self) -> str:
        return as_text(self.notebook)


def build(course: Course, document: Document, *, cell_seconds: float = CELL_SECONDS) -> Built:
    """The notebook of a document, run where it is to be run; nothing is written.

    Raises
    ------
    CourseError
        For the reasons above; the message names the file and the cell.
    """
    notebook = as_notebook(course, document)
    if document.kind == "exercise":
        return Built(document, with_stable_ids(student_version(notebook).cells, document.key), None)
    check_data(notebook, document)
    document.notebook.parent.mkdir(parents=True, exist_ok=True)  # where it is read is where it runs
    run = execute(notebook, document.notebook.parent, document.key, cell_seconds=cell_seconds)
    return Built(document, notebook, run)


def unrun(course: Course, document: Document) -> NotebookNode:
    """The notebook of a document as its source has it now, without outputs: what a committed one is held to."""
    notebook = as_notebook(course, document)
    if document.kind == "exercise":
        notebook = with_stable_ids(student_version(notebook).cells, document.key)
    return notebook


def check_data(notebook: NotebookNode, document: Document) -> None:
    from recsys_course import data

    absent = sorted(name for name in needs(notebook.cells) if not data.available(name))
    if absent:
        raise CourseError(
            f"{document.source.name} is built with every data set present, and {', '.join(absent)} is not here: "
            f"recsys-course data fetch {absent[0]}, or name a mirror folder in RECSYS_COURSE_MIRROR"
        )


def budget_seconds(notebook: NotebookNode) -> int:
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return BUDGET_WITH_NETWORKS if re.search(r"\bkeras\b|\bNeuralNetwork\b|\bKerasNetwork\b", code) else BUDGET_SECONDS


def report_line(built: Built) -> str:
    name = built.document.key
    if built.run is None:
        return f"{name:<45} {len(built.notebook.cells):>5}  student's version, not run"
    run = built.run
    slowest = max(run.cell_seconds, key=run.cell_seconds.__getitem__, default=0)
    seconds = budget_seconds(built.notebook)
    limits = (("time", run.seconds, seconds), ("memory", run.peak_bytes, BUDGET_BYTES))
    over = [what for what, value, limit in limits if value > limit]
    return (
        f"{name:<45} {len(built.notebook.cells):>5} {run.seconds:>8.1f} {run.seconds / seconds:>7.0%} "
        f"{run.peak_bytes / 1e6:>8.0f}   cell {slowest}: {run.cell_seconds.get(slowest, 0):.1f} s"
        + (f"   OVER BUDGET in {' and '.join(over)}" if over else "")
    )


HEADER = f"{'notebook':<45} {'cells':>5} {'seconds':>8} {'budget':>7} {'peak MB':>8}   slowest"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m authoring build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "numbers", nargs="*", metavar="NN", help="chapters to build, as in 00 02; all of them by default"
    )
    parser.add_argument("--cell-timeout", type=float, default=CELL_SECONDS, help="seconds for one cell (%(default)s)")
    options = parser.parse_args(arguments)
    course = Course()
    failed: set[tuple[str, str]] = set()
    try:
        documents = course.documents(options.numbers or None)
    except CourseError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(HEADER, flush=True)
    for document in documents:
        if document.kind == "exercise" and ("solution", document.number) in failed:
            continue  # both or neither, so that they stay two versions of one text
        try:
            built = build(course, document, cell_seconds=options.cell_timeout)
            write(document.notebook, built.text)
            print(report_line(built), flush=True)
        except CourseError as problem:
            failed.add((document.kind, document.number))
            print(f"error: {problem}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
