"""What the course needs of a machine, checked one by one, with what to do about each failure."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Check", "examine", "free_port", "locked_versions"]

PYTHONS = ((3, 11), (3, 13))
GIGABYTE = 1e9
DEFAULT_PORT = 8888
# The course runs without these; a chapter that compares with published tables says what it skipped.
OPTIONAL_DATA = ("ml_100k", "movietweetings")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        What was looked at.
    state : {"ok", "note", "fail"}
        A "note" is worth knowing and stops nothing.
    found : str
        What there is.
    remedy : str
        What to do, or "".
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def examine(course: Path | None, port: int = DEFAULT_PORT) -> Iterator[Check]:
    """Look at everything, one check at a time.

    Parameters
    ----------
    course : Path or None
        The folder of the course; None if the library was installed without it.
    port : int
        The port that JupyterLab is to use.
    """
    yield python()
    yield processor()
    yield packages(course / "locks" / "learn.txt" if course else None)
    yield memory()
    yield disk(course or Path.cwd())
    yield from datasets()
    yield writable("working copy", course / "work" if course else Path.cwd())
    yield writable("download cache", _cache_folder())
    yield port_check(port)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Whether the packages of the lock exist for this Python."""
    found = ".".join(map(str, version))
    if PYTHONS[0] <= tuple(version[:2]) <= PYTHONS[1]:
        return Check("Python", "ok", found)
    return Check("Python", "fail", found, "install Python 3.11, 3.12 or 3.13 and run `make lab PYTHON=python3.12`")


def processor(system: str = "", machine: str = "") -> Check:
    """Whether the packages of the lock exist for this kind of machine."""
    system, machine = system or platform.system(), machine or platform.machine()
    found = f"{system} on {machine}"
    if (system, machine) == ("Darwin", "x86_64"):
        return Check("machine", "fail", found, "TensorFlow and numba no longer come for Intel Macs: use Binder")
    return Check("machine", "ok", found)


def locked_versions(lock: Path) -> dict[str, str]:
    """The versions that a lock names for this Python and this machine."""
    from packaging.requirements import Requirement

    versions = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#", "-")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                versions[requirement.name] = next(iter(requirement.specifier)).version
    return versions


def packages(lock: Path | None) -> Check:
    """Whether the installed packages are those of the lock."""
    if lock is None or not lock.exists():
        return Check("packages", "note", "no lock beside the library", "use the library from a clone of the course")
    expected = locked_versions(lock)
    wrong = []
    for name, version in expected.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            wrong.append(f"{name} {found}, not {version}")
    if not wrong:
        return Check("packages", "ok", f"{len(expected)} as in {lock.parent.name}/{lock.name}")
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    # The stamp would tell make that all is well, hence the removal.
    remedy = "remove the folder .venv and run `make lab`; with conda, create the environment again"
    return Check("packages", "fail", ", ".join(wrong[:3]) + more, remedy)


def memory(available: float | None = None) -> Check:
    """Whether there is memory for a chapter; the largest need less than two gigabytes."""
    if available is None:
        import psutil

        available = float(psutil.virtual_memory().available)
    found = f"{available / GIGABYTE:.1f} GB available"
    if available >= 2 * GIGABYTE:
        return Check("memory", "ok", found)
    state = "note" if available >= GIGABYTE else "fail"
    return Check("memory", state, found, "close other programs: some chapters use up to 2 GB")


def disk(folder: Path, free: float | None = None) -> Check:
    """Whether there is room for downloads, backups and compiled code."""
    free = float(shutil.disk_usage(folder).free) if free is None else free
    found = f"{free / GIGABYTE:.1f} GB free"
    if free >= GIGABYTE:
        return Check("disk", "ok", found)
    state = "note" if free >= GIGABYTE / 4 else "fail"
    return Check("disk", state, found, f"free one gigabyte on the disk that holds {folder}")


def datasets() -> Iterator[Check]:
    """Whether each data set is here and is what its checksum says."""
    from recsys_course import data

    for name in data.names():
        status = data.status(name)
        if status.state == "ready":
            yield Check(f"data: {name}", "ok", "here" + (", checksums agree" if status.card.files else ""))
        elif status.state == "missing" and name in OPTIONAL_DATA:
            yield Check(f"data: {name}", "note", "not here; optional", f"`recsys-course data fetch {name}`")
        else:
            yield Check(f"data: {name}", "fail", status.state, status.detail)


def writable(name: str, folder: Path) -> Check:
    """Whether a file can be written in a folder, or in the first of its parents that exists."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Check(name, "ok", f"{folder} is writable")
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        return Check(name, "fail", f"{folder}: {reason}", f"give yourself the right to write in {existing}")


def _cache_folder() -> Path:
    from recsys_course.data import store

    return store.cache_folder()


def free_port(port: int) -> bool:
    """Whether a server can listen on this port of localhost."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":  # as a server does it: a connection that was closed a moment ago is no hindrance
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def port_check(port: int, is_free: Callable[[int], bool] = free_port) -> Check:
    """Whether JupyterLab can have its port."""
    if is_free(port):
        return Check("port", "ok", f"{port} is free")
    remedy = f"`make lab` takes the next one; `make lab PORT={port + 11}` chooses"
    return Check("port", "note", f"{port} is taken", remedy)
