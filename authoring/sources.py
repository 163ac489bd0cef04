"""A py:percent source as a notebook: the same bytes every time, but for what its cells print.

An author writes a chapter in a file that any editor and any diff can read, with one marker a cell::

    # %% [markdown]
    # ## A heading, and text with a citation [@harper2015].

    # %% tags=["timing"]
    summary(results, timing=True)

Three things make the notebook the same on every build. Its cells get ids from a hash of what they say, where jupytext
would draw them at random; its metadata are replaced whole; its keys are sorted. `[@key]` becomes a link to the
reference of that key, `[@key!]` the whole reference.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from authoring.course import Course, CourseError, Document
from authoring.execute import METADATA
from authoring.exercises import MARKERS, as_nbgrader, without_wrong_answers
from authoring.references import cite, load_references

TAGS = re.compile(r"timing|needs:[a-z0-9_]+|erratum:[A-Za-z0-9.-]+")


def read_cells(source: Path) -> list[NotebookNode]:
    """The cells of a source, with nothing in their metadata but what a marker of the course says.

    Raises
    ------
    CourseError
        A marker holds a word or a tag that means nothing: most often a slip of the pen, which would switch off a check.
    """
    text = source.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    allowed = {"tags"} | (MARKERS if source.parent.name == "exercises" else set())
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("lines_to_next_cell", None)
        where = f"{source.name}, cell {number}"
        for name in cell.metadata:
            if name not in allowed:
                raise CourseError(f"{where}: its marker says {name!r}; known are {', '.join(sorted(allowed))}")
        for tag in cell.metadata.get("tags", []):
            if not TAGS.fullmatch(tag):
                raise CourseError(f"{where}: the tag {tag!r} is none of timing, needs:NAME, erratum:ID")
        if cell.cell_type == "raw":
            raise CourseError(f"{where}: a raw cell; use [markdown] or code")
        if not cell.source.strip():
            raise CourseError(f"{where} is empty: delete it")
    if not notebook.cells:
        raise CourseError(f"{source.name} has no cell: begin one with `# %%` or `# %% [markdown]`")
    return notebook.cells


def as_notebook(course: Course, document: Document) -> NotebookNode:
    """The notebook of a document as its source has it, not run; a student's version still has its solutions in it."""
    cells = read_cells(document.source)
    if document.kind != "chapter":
        cells = as_nbgrader(without_wrong_answers(cells), document.source.name)
    references = load_references(course)
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = cite(cell.source, references)
    return with_stable_ids(cells, document.key)


def with_stable_ids(cells: list[NotebookNode], key: str) -> NotebookNode:
    """A notebook of these cells: each id from what the cell says, and a number where two say the same."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha256(f"{key}\n{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    metadata: Any = {name: dict(value) for name, value in METADATA.items()}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def as_text(notebook: NotebookNode) -> str:
    """The file: valid, keys sorted, one LF at the end."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def read_notebook(path: Path) -> NotebookNode:
    """A committed notebook.

    Raises
    ------
    CourseError
        It is not there, or cannot be read.
    """
    if not path.exists():
        raise CourseError(f"{path.name} has not been built: make notebooks ONLY={path.name.partition('_')[0]}")
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except Exception as problem:
        raise CourseError(f"{path.name} cannot be read as a notebook ({problem}): build it again") from problem


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def needs(cells: list[NotebookNode]) -> set[str]:
    """The data sets without which these cells have nothing to show."""
    return {tag.removeprefix("needs:") for cell in cells for tag in tags(cell) if tag.startswith("needs:")}
