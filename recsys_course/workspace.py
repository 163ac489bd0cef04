"""The learner's working copy: notebooks to run, change and break, while the committed ones stay as they are.

``chapters/`` is copied into ``work/``, which git ignores. A manifest in there remembers which edition each copy was
made from. What a learner has written is never overwritten and never lost:

* a copy whose cells are as they came is brought up to date when the course moves on;
* a copy that the learner has changed stays, and the newer edition is put beside it as ``NN_name.new.ipynb``;
* whatever gives way is moved to ``work/backup/`` first.

A copy counts as changed when the text of a cell is changed, added or removed. That it was run is no change: its outputs
can be had again. The functions take the folders as arguments, so that a test can use its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

__all__ = ["Change", "WorkspaceError", "course_folder", "ensure", "first_notebook", "reset"]

T = TypeVar("T")

MANIFEST = ".course.json"
# What is copied, as folders of chapters/: the links between chapters, exercises and solutions stay good in the copy.
FOLDERS = {"chapter": "", "exercise": "exercises", "solution": "solutions"}
# No toast about news of the Jupyter project, and every cell on the page, so that the browser's search finds it.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


class WorkspaceError(RuntimeError):
    """The working copy cannot be made or restored; the message names the file and says what to do."""


@dataclass(frozen=True)
class Change:
    """What happened to one notebook of the working copy.

    Attributes
    ----------
    path : str
        The notebook, as a path inside the working copy.
    action : {"added", "refreshed", "offered", "removed", "restored", "unchanged"}
        "offered": the learner's copy was changed, so the newer edition was put beside it.
    beside : str
        The newer edition ("offered"), or where the replaced copy was moved to ("restored", "refreshed"); or "".
    """

    path: str
    action: str
    beside: str = ""


def course_folder() -> Path:
    """The folder of the course: the one that holds ``chapters/``, beside this package.

    Raises
    ------
    WorkspaceError
        There are no chapters beside the package: it was installed without the course.
    """
    folder = Path(__file__).resolve().parents[1]
    if not (folder / "chapters").is_dir():
        raise WorkspaceError(f"there is no folder chapters/ in {folder}: use the library from a clone of the course")
    return folder


def ensure(course: Path, work: Path | None = None) -> list[Change]:
    """Make the working copy, or bring it up to date, and return what was changed in it.

    Parameters
    ----------
    course : Path
        The folder of the course, with ``chapters/`` in it.
    work : Path, optional
        The working copy; by default ``work/`` in ``course``.

    Raises
    ------
    WorkspaceError
        A file cannot be read or written; the message says which.
    """
    work = work or course / "work"
    changes = []
    with _workspace(work) as (made_from, offered, backup):
        current = _notebooks(course)
        for name, source in current.items():
            change = _bring_up_to_date(name, source, work, made_from, offered, backup)
            if change:
                changes.append(change)
        for name in sorted(set(made_from) - set(current)):  # the course has dropped or renamed it
            copy = work / name
            if copy.exists() and _text_hash(copy) == made_from[name]:
                changes.append(Change(name, "removed", backup(copy)))
            del made_from[name]
    _write_settings(work)
    return changes


def reset(
    course: Path, number: str, *, chapter: bool = True, exercise: bool = True, work: Path | None = None
) -> list[Change]:
    """Restore a chapter, its exercises, or both; the learner's version is moved to ``work/backup/`` first.

    Parameters
    ----------
    course : Path
        The folder of the course.
    number : str
        The number of the chapter, as in "01" or "09a".
    chapter, exercise : bool
        Which of the two to restore.
    work : Path, optional
        The working copy; by default ``work/`` in ``course``.

    Raises
    ------
    WorkspaceError
        There is no such chapter, or a file cannot be written.
    """
    work = work or course / "work"
    wanted = [kind for kind, chosen in (("chapter", chapter), ("exercise", exercise)) if chosen]
    notebooks = _notebooks(course)
    folders = {FOLDERS[kind] for kind in wanted}
    number = number.rjust(2, "0") if number.isdigit() else number
    # "09" stands for both of its parts, 09a and 09b.
    named = {name: _number(name) for name in notebooks if _folder(name) in folders}
    chosen = {name: notebooks[name] for name, its in named.items() if number in (its, its.rstrip("abc"))}
    if not chosen:
        known = sorted({_number(name) for name in notebooks})
        raise WorkspaceError(f"there is no {' or '.join(wanted)} {number!r}: use one of {', '.join(known)}")
    changes = []
    with _workspace(work) as (made_from, offered, backup):
        for name, source in chosen.items():
            copy = work / name
            if copy.exists() and copy.read_bytes() == source.read_bytes():
                changes.append(Change(name, "unchanged"))
            else:
                changes.append(Change(name, "restored", backup(copy) if copy.exists() else ""))
                _copy(source, copy)
            made_from[name] = _text_hash(source)
            _withdraw(name, source, work, offered)
    return changes


def first_notebook(course: Path) -> str:
    """The notebook to open first, as a path inside the working copy."""
    chapters = [name for name in _notebooks(course) if _folder(name) == ""]
    if not chapters:
        raise WorkspaceError(f"there is no chapter in {course / 'chapters'}: restore the folder")
    return chapters[0]


# --- one notebook -------------------------------------------------------------------------------------------------


def _bring_up_to_date(
    name: str,
    source: Path,
    work: Path,
    made_from: dict[str, str],
    offered: dict[str, str],
    backup: Callable[[Path], str],
) -> Change | None:
    copy, edition = work / name, _text_hash(source)
    if not copy.exists():
        _copy(source, copy)
        made_from[name] = edition
        return Change(name, "added")
    mine = _text_hash(copy)
    if mine == edition:  # as the course has it, perhaps with outputs of the learner's own
        made_from[name] = edition
        _withdraw(name, source, work, offered)
        return None
    if mine == made_from.get(name):  # as it came, and the course has moved on
        moved = backup(copy)
        _copy(source, copy)
        made_from[name] = edition
        return Change(name, "refreshed", moved)
    if edition in (made_from.get(name), offered.get(name)):  # nothing new to offer
        return None
    beside = _beside(name)
    if (work / beside).exists():
        backup(work / beside)
    _copy(source, work / beside)
    offered[name] = edition
    return Change(name, "offered", beside)


def _withdraw(name: str, source: Path, work: Path, offered: dict[str, str]) -> None:
    """Forget an offer that was taken up, and its file unless something was written in it."""
    beside = work / _beside(name)
    if beside.exists() and _text_hash(beside) in (offered.get(name), _text_hash(source)):
        _guarded(beside.unlink, beside)
    offered.pop(name, None)


def _notebooks(course: Path) -> dict[str, Path]:
    """The committed notebooks, by their path inside the working copy."""
    found = {}
    for folder in FOLDERS.values():
        for path in sorted((course / "chapters" / folder).glob("[0-9][0-9]*.ipynb")):
            found[f"{folder}/{path.name}" if folder else path.name] = path
    return found


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _number(name: str) -> str:
    return name.rpartition("/")[2].partition("_")[0]


def _beside(name: str) -> str:
    return name.removesuffix(".ipynb") + ".new.ipynb"


def _text_hash(path: Path) -> str:
    """A hash of what was written: the cells' kinds and texts, without outputs and numbers of execution."""
    content = _guarded(path.read_bytes, path)
    try:
        cells = [[cell["cell_type"], "".join(cell["source"])] for cell in json.loads(content)["cells"]]
    except (ValueError, KeyError, TypeError):
        return hashlib.sha256(content).hexdigest()  # no notebook any more; what it is remains the learner's
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


# --- files --------------------------------------------------------------------------------------------------------


@contextmanager
def _workspace(work: Path) -> Iterator[tuple]:
    """The manifest's two tables and a function that moves a file to the backup; the manifest is saved at the end."""
    manifest = work / MANIFEST
    _guarded(lambda: work.mkdir(parents=True, exist_ok=True), work)
    try:
        stored = json.loads(manifest.read_text(encoding="utf-8"))
        made_from, offered = dict(stored["made_from"]), dict(stored["offered"])
    except (OSError, ValueError, KeyError, TypeError):
        made_from, offered = {}, {}  # without it every copy that differs counts as changed, and stays
    stamp = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S")

    def backup(path: Path) -> str:
        folder = work / "backup" / stamp
        target = folder / path.relative_to(work)
        count = 1
        while target.exists():
            count += 1
            target = work / "backup" / f"{stamp}_{count}" / path.relative_to(work)

        def move() -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

        _guarded(move, path)
        return target.relative_to(work).as_posix()

    try:
        yield made_from, offered, backup
    finally:
        table = {"made_from": made_from, "offered": offered}
        _write(manifest, (json.dumps(table, indent=1, sort_keys=True) + "\n").encode())


def _copy(source: Path, target: Path) -> None:
    _write(target, _guarded(source.read_bytes, source))


def _write(path: Path, content: bytes) -> None:
    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(path)

    _guarded(write, path)


def _guarded(action: Callable[[], T], path: Path) -> T:
    try:
        return action()
    except OSError as problem:
        raise WorkspaceError(
            f"{path} cannot be read or written ({problem.strerror or problem}): close it in other programs, or give "
            "yourself access to the folder"
        ) from problem


def _write_settings(work: Path) -> None:
    for name, settings in SETTINGS.items():
        path = settings_folder(work) / "@jupyterlab" / f"{name}.jupyterlab-settings"
        if not path.exists():  # once there it is the learner's
            _write(path, (json.dumps(settings, indent=1) + "\n").encode())


def settings_folder(work: Path) -> Path:
    """Where JupyterLab finds and keeps the settings of the course's window."""
    return work / ".jupyter" / "lab" / "user-settings"
