"""Hold the course to its rules, and build again what has changed: `make check`, or `python -m authoring check [NN
...]`.

First the rules of :mod:`authoring.rules`, on every committed notebook. Then the notebooks whose files differ from the
last commit, or of the chapters named, are built again and compared byte for byte with what is in the folder, but for
the outputs of cells tagged timing: pictures too, which nbval leaves aside. Nothing is written. Last, the exercises of
these chapters are proved. When the library, the data or the lock has changed, that is all chapters.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator

from nbformat import NotebookNode

from authoring.build import HEADER, build, report_line
from authoring.course import Course, CourseError, Document
from authoring.rules import everything_broken
from authoring.sources import as_text, read_notebook, tags

SHARED = ("recsys_course/", "datasets/", "locks/", "authoring/", "chapters/references.yml")


def changed_chapters(course: Course) -> list[str]:
    """The chapters whose files differ from the last commit: all, where what they share differs or there is no git."""
    command = ["git", "status", "--porcelain", "--no-renames", "-z", "--untracked-files=all"]
    try:
        done = subprocess.run(command, cwd=course.root, capture_output=True)
    except OSError:
        return course.numbers()
    if done.returncode:
        return course.numbers()
    files = [line[3:] for line in done.stdout.decode("utf-8").split("\0") if line]
    if any(file.startswith(SHARED) for file in files):
        return course.numbers()
    touched = set(files)
    return sorted(
        {
            document.number
            for document in course.documents()
            for path in (document.source, document.notebook)
            if path.relative_to(course.root).as_posix() in touched
        }
    )


def without_timings(notebook: NotebookNode) -> str:
    """The file's text, with the outputs of timing cells taken out."""
    for cell in notebook.cells:
        if "timing" in tags(cell) and cell.cell_type == "code":
            cell.outputs = []
    return as_text(notebook)


def differences(committed: NotebookNode, rebuilt: NotebookNode) -> Iterator[str]:
    """Where two builds of one notebook differ, but for timings."""
    if without_timings(committed) == without_timings(rebuilt):
        return
    if len(committed.cells) != len(rebuilt.cells):
        yield f"{len(committed.cells)} cells, and {len(rebuilt.cells)} when built again"
        return
    before = True
    for number, (old, new) in enumerate(zip(committed.cells, rebuilt.cells, strict=True)):
        if old != new:
            what = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
            yield f"cell {number} comes out with another {' and '.join(what)} when built again"
            before = False
    if before:
        yield "its metadata come out differently when built again"


def rebuild(course: Course, document: Document) -> list[str]:
    """Build a notebook in memory and compare it with the file."""
    built = build(course, document)
    print(report_line(built), flush=True)
    return [f"{document.key}: {line}" for line in differences(read_notebook(document.notebook), built.notebook)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m authoring check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "numbers", nargs="*", metavar="NN", help="chapters to check and to build again; those that changed"
    )
    parser.add_argument("--all", action="store_true", help="build every chapter again")
    parser.add_argument("--rules-only", action="store_true", help="build nothing")
    options = parser.parse_args(arguments)
    course = Course()
    try:
        problems = everything_broken(course, options.numbers or None)
        for problem in problems:
            print(problem)
        print(f"rules: {len(problems) or 'nothing'} to mend", flush=True)
        numbers = course.numbers() if options.all else options.numbers or changed_chapters(course)
        if not options.rules_only and numbers:
            print(HEADER, flush=True)
            for document in course.documents(numbers):
                try:
                    found = rebuild(course, document)
                    if document.kind == "solution":
                        found += prove_apart(course, document.number)
                except CourseError as problem:
                    found = [str(problem)]
                print("".join(f"{line}\n" for line in found), end="", flush=True)
                problems += found
        elif not options.rules_only:
            print("no chapter differs from the last commit: nothing to build again (--all builds every one)")
    except CourseError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 1 if problems else 0


def prove_apart(course: Course, number: str) -> list[str]:
    """Prove the exercises of a chapter in a process of its own, since they run here and there in one namespace."""
    command = [sys.executable, "-m", "authoring", "prove", number, "--root", str(course.root)]
    done = subprocess.run(command, cwd=Course().root, capture_output=True, text=True, encoding="utf-8")
    return [] if done.returncode == 0 else [(done.stdout + done.stderr).strip()]


if __name__ == "__main__":
    sys.exit(main())
