"""Exercises: the student's notebook and the solution from one file, and the proof that each check can tell them
apart.

``chapters/source/exercises/NN.py`` is py:percent, with three markers beside the usual ones::

    # %% [markdown]
    # ## 1. Change the interval
    #
    # *Objective 3.* Write `error_of(interval)`, which returns ...

    # %% answer="interval"
    def error_of(interval):
        ### BEGIN SOLUTION
        return rmse(...)
        ### END SOLUTION

    # %% check="interval" points=2
    assert error_of(1) < error_of(1000), "a shorter interval should give the smaller error: is every event learned?"

    # %% wrong="interval"
    # Forgets to pass the interval on.
    def error_of(interval):
        return rmse(...)

What stands between BEGIN and END is cut out of the student's version, by nbgrader's own preprocessors, so that a
lecturer can collect and mark the result with nbgrader. A check is locked and earns points. A ``wrong`` cell reaches
no notebook: it stands in for the whole answer, as a plausible mistake, to show that the check refuses it.

:func:`prove` runs all of this in one go: for every exercise the solution passes its check, the stub fails it, and so
does each wrong answer, with a message that helps; and in a notebook of stubs alone every check fails.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

from nbformat import NotebookNode

from authoring.course import CourseError

MARKERS = {"answer", "check", "points", "wrong"}
SOLUTION = re.compile(r"^[ \t]*### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*$", re.S | re.M)
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"


def as_nbgrader(cells: list[NotebookNode], name: str) -> list[NotebookNode]:
    """Replace the short markers by nbgrader's metadata, after holding them to the convention.

    Raises
    ------
    CourseError
        An answer without a check or without a part to cut out, a check without points, or two of one name.
    """
    answers, checks = [], []
    for number, cell in enumerate(cells):
        where = f"exercises/{name}, cell {number}"
        marks = {key: cell.metadata.pop(key) for key in MARKERS & cell.metadata.keys()}
        if "answer" in marks:
            if not SOLUTION.search(cell.source):
                raise CourseError(f"{where}: mark what is to be cut out with ### BEGIN SOLUTION and ### END SOLUTION")
            answers.append(str(marks["answer"]))
            cell.metadata.nbgrader = _nbgrader(answers[-1], solution=True)
        elif "SOLUTION" in cell.source and re.search(r"### (BEGIN|END) SOLUTION", cell.source):
            raise CourseError(f'{where}: holds a solution, and its marker does not say answer="NAME"')
        if "check" in marks:
            points = marks.get("points")
            if not isinstance(points, int) or points < 1:
                raise CourseError(f"{where}: a check earns points: write points=1 or more behind check=...")
            checks.append(str(marks["check"]))
            if checks[-1:] != answers[-1:]:
                raise CourseError(f"{where}: checks {checks[-1]!r}, and the answer before it is {answers[-1:]}")
            cell.metadata.nbgrader = _nbgrader(f"{checks[-1]}-check", points=points)
        elif "points" in marks:
            raise CourseError(f"{where}: points without check=")
    if answers != checks or len(set(answers)) != len(answers):
        raise CourseError(
            f"exercises/{name}: each answer needs one check, in order: answers {answers}, checks {checks}"
        )
    if not answers:
        raise CourseError(f'exercises/{name} has no answer="NAME" cell')
    return cells


def _nbgrader(grade_id: str, *, solution: bool = False, points: int | None = None) -> dict[str, Any]:
    graded = {} if points is None else {"points": points}
    return {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
        **graded,
    }


def without_wrong_answers(cells: list[NotebookNode]) -> list[NotebookNode]:
    return [cell for cell in cells if "wrong" not in cell.metadata]


def wrong_answers(cells: list[NotebookNode]) -> dict[str, list[str]]:
    """The wrong answers of a source, by the name of the exercise."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        if "wrong" in cell.metadata:
            found.setdefault(str(cell.metadata["wrong"]), []).append(cell.source)
    return found


def student_version(solution: NotebookNode) -> NotebookNode:
    """The student's notebook: what is to be written cut out, checks locked, nothing run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what nbgrader's own imports deprecate is not ours to mend
        from nbgrader.preprocessors import (
            CheckCellMetadata,
            ClearHiddenTests,
            ClearOutput,
            ClearSolutions,
            ComputeChecksums,
            LockCells,
        )

        notebook, resources = solution, {"language": "python"}
        for step in (CheckCellMetadata, LockCells, ClearSolutions, ClearOutput, ClearHiddenTests, ComputeChecksums):
            notebook, _ = step().preprocess(notebook, resources)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def differences(solution: NotebookNode, student: NotebookNode) -> list[str]:
    """Where a student's version differs from its solution in anything but the blanks."""
    if len(solution.cells) != len(student.cells):
        return [f"{len(solution.cells)} cells in the solution, {len(student.cells)} for the student"]
    problems = []
    for number, (full, blank) in enumerate(zip(solution.cells, student.cells, strict=True)):
        expected = SOLUTION.sub(_blank, full.source)
        if (full.cell_type, expected) != (blank.cell_type, blank.source):
            problems.append(f"cell {number} differs in more than its blanks")
        if "SOLUTION" in blank.source:
            problems.append(f"cell {number} still shows the solution's marks")
        if blank.get("outputs") or blank.get("execution_count"):
            problems.append(f"cell {number} has been run")
    return problems


def _blank(match: re.Match) -> str:
    indent = re.match(r"[ \t]*", match[0])
    assert indent is not None  # it matches the empty string
    return "\n".join(indent[0] + line for line in STUB.splitlines())


# --- the proof ----------------------------------------------------------------------------------------------------


def prove(cells: list[NotebookNode]) -> list[str]:
    """What is wrong with the exercises of a source, whose cells are given with their short markers.

    Runs in this process, with one namespace that is put back after each trial, so call it in a process of its own.
    """
    wrong = wrong_answers(cells)
    kept = without_wrong_answers(cells)
    names = [str(cell.metadata["answer"]) for cell in kept if "answer" in cell.metadata]
    problems = [f"a wrong answer for {name!r}, which is no exercise" for name in wrong if name not in names]
    problems += [f"{name}: give it a wrong answer, wrong={name!r}" for name in names if name not in wrong]

    space: dict[str, Any] = _namespace()
    answer = ""
    trials: list[tuple[str, str]] = []
    before: dict[str, Any] = {}
    for cell in kept:
        if cell.cell_type != "code":
            continue
        if "answer" in cell.metadata:
            name = str(cell.metadata["answer"])
            answer, before = cell.source, dict(space)
            stub = SOLUTION.sub(_blank, answer)
            trials = [("stub", stub), *((f"wrong answer {n}", text) for n, text in enumerate(wrong.get(name, []), 1))]
            continue
        if "check" not in cell.metadata:
            failed = _run(cell.source, space)
            if failed:
                return [*problems, f"a cell fails with {failed!r}:\n{cell.source}"]
            continue
        name = str(cell.metadata["check"])
        for kind, text in trials:
            own = _run(text, space)
            verdict = _run(cell.source, space)
            if verdict is None:
                problems.append(f"{name}: the {kind} passes the check:\n{text}")
            elif kind != "stub":
                if own is not None:
                    problems.append(f"{name}: the {kind} fails by itself ({own!r}), so it says nothing about the check")
                elif not isinstance(verdict, AssertionError) or not str(verdict).strip():
                    problems.append(f"{name}: the {kind} is refused with {verdict!r}, not by an assert with a message")
            space.clear()
            space.update(before)
        for what, text in (("solution", answer), ("check on the solution", cell.source)):
            failed = _run(text, space)
            if failed:
                return [*problems, f"{name}: the {what} fails with {failed!r}"]

    # And as a learner first meets it: all blanks at once. A check that passes here needs nothing of anybody.
    space = _namespace()
    for cell in kept:
        if cell.cell_type == "code":
            failed = _run(SOLUTION.sub(_blank, cell.source), space)
            if "check" in cell.metadata and failed is None:
                problems.append(f"{cell.metadata['check']}: the check passes in a notebook where nothing is answered")
    return problems


def _namespace() -> dict[str, Any]:
    show: Callable[..., None] = lambda *_, **__: None  # noqa: E731
    return {"__name__": "__main__", "display": show}


def _run(text: str, space: dict[str, Any]) -> BaseException | None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, "<cell>", "exec"), space)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        return problem
    return None
