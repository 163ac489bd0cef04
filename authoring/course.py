"""Where the parts of the course are, and which notebook is built from which source."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
Kind = Literal["chapter", "solution", "exercise"]
SOURCE_NAME = re.compile(r"(\d\d[a-z]?)_([a-z0-9_]+)\.py")


class CourseError(Exception):
    """Something in the course is not as it must be; the message names the file and cell and says what to do."""


@dataclass(frozen=True)
class Document:
    """One notebook of the course.

    Attributes
    ----------
    kind : {"chapter", "solution", "exercise"}
        A solution and the exercise (the student's version) have one source.
    number : str
        "00", "09a".
    source, notebook : Path
        The py:percent file, and the notebook that is built from it.
    """

    kind: Kind
    number: str
    source: Path
    notebook: Path

    @property
    def key(self) -> str:
        """Short and unique: "00_start_here", "solutions/00_start_here"."""
        folder = {"chapter": "", "solution": "solutions/", "exercise": "exercises/"}[self.kind]
        return folder + self.notebook.stem


@dataclass(frozen=True)
class Course:
    """A folder with ``chapters/`` in it; tests give a folder of their own."""

    root: Path = ROOT

    @property
    def chapters(self) -> Path:
        return self.root / "chapters"

    def numbers(self) -> list[str]:
        return [document.number for document in self.documents() if document.kind == "chapter"]

    def documents(self, numbers: list[str] | None = None) -> list[Document]:
        """All notebooks that the sources ask for, in order, or those of some chapters.

        Raises
        ------
        CourseError
            A source has a name that does not fit, or there is no chapter of that number.
        """
        found = []
        for source in sorted((self.chapters / "source").glob("*.py")):
            match = SOURCE_NAME.fullmatch(source.name)
            if not match:
                raise CourseError(f"{source.name}: name it NN_words_in_lower_case.py")
            number = match[1]
            notebook = f"{source.stem}.ipynb"
            found.append(Document("chapter", number, source, self.chapters / notebook))
            exercises = self.chapters / "source" / "exercises" / f"{number}.py"
            if exercises.exists():
                found.append(Document("solution", number, exercises, self.chapters / "solutions" / notebook))
                found.append(Document("exercise", number, exercises, self.chapters / "exercises" / notebook))
        if numbers is None:
            return found
        known = {document.number for document in found}
        unknown = [number for number in numbers if number not in known]
        if unknown:
            raise CourseError(
                f"there is no chapter {unknown[0]!r}: use one of {', '.join(sorted(known)) or 'none yet'}"
            )
        return [document for document in found if document.number in numbers]


def use_mirror_beside(root: Path = ROOT) -> None:
    """Take data sets from ``../shared/data``, if there is one and no other mirror is named.

    Authors keep sets that may not be committed in a folder beside the checkout; with it more stored outputs are
    compared, and without it nothing changes but what is skipped.
    """
    beside = root.parent / "shared" / "data"
    if "RECSYS_COURSE_MIRROR" not in os.environ and beside.is_dir():
        os.environ["RECSYS_COURSE_MIRROR"] = str(beside)


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all, with LF at the end of lines on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
