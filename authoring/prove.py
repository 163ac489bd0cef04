"""Prove the exercises: `python -m authoring prove [NN ...]`.

For each exercise the solution passes its check, the stub fails it, and each wrong answer fails it with a message that
helps. See :func:`authoring.exercises.prove`.
"""

from __future__ import annotations

import argparse
import os
import sys

from authoring.course import Course, CourseError
from authoring.execute import ONE_THREAD
from authoring.exercises import prove
from authoring.sources import read_cells


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m authoring prove", description=__doc__)
    parser.add_argument("numbers", nargs="*", metavar="NN", help="chapters; all that have exercises by default")
    parser.add_argument("--root", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    os.environ.update({**ONE_THREAD, "MPLBACKEND": "Agg"})
    course = Course() if options.root is None else Course(type(Course().root)(options.root))
    failed = 0
    try:
        for document in course.documents(options.numbers or None):
            if document.kind == "solution":
                problems = prove(read_cells(document.source))
                print(f"exercises/{document.source.name}: {'; '.join(problems) or 'each check tells right from wrong'}")
                failed += bool(problems)
    except CourseError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
