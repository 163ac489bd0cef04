"""Where data files are kept, and how one can be sure of them.

A file of a data set is looked for in the place that its card names: what *ships* lies in ``datasets/``, what comes
with a *package* lies in that package, and what has to be *fetched* lies in the mirror folder or else in the cache.
Its checksum is compared with the card before it is read, once in a process, so a file that was half downloaded or
altered is named and never used.

================================ =============================================================================
environment variable             meaning
================================ =============================================================================
``RECSYS_COURSE_DATASETS``       a folder that takes the place of ``datasets/``
``RECSYS_COURSE_MIRROR``         a folder with one subfolder a set, for machines that cannot download
``RECSYS_COURSE_CACHE``          where downloads are kept; by default the cache folder of the operating system
================================ =============================================================================
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import secrets
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_course.data.dataset import Card, DataError, DataMissing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Status",
    "cache_folder",
    "card",
    "cards",
    "checksum",
    "datasets_folder",
    "download",
    "fetch_files",
    "locate",
    "mirror_folder",
    "read_parquet",
    "require",
    "status",
    "verify",
    "write_atomic",
]


# --- cards ------------------------------------------------------------------------------------------------------


@cache
def cards() -> dict[str, Card]:
    """All data cards, by name, from ``cards.toml`` beside this module.

    Taught in chapter 01.

    >>> sorted(cards())
    ['bookstore', 'complete_journey', 'ml_100k', 'movielens', 'movietweetings']
    """
    table = tomllib.loads((Path(__file__).parent / "cards.toml").read_text(encoding="utf-8"))
    return {name: _card(name, entry) for name, entry in table.items()}


def _card(name: str, entry: dict) -> Card:
    pairs = {key: tuple(entry[key]) for key in ("label_range", "span", "quirks") if key in entry}
    return Card(name=name, **{**entry, **pairs})


def card(name: str) -> Card:
    """The data card of one set.

    Taught in chapter 01.

    >>> card("movielens").counts["ratings"]
    100004
    """
    try:
        return cards()[name]
    except KeyError:
        raise DataError(f"there is no data set {name!r}: use one of {', '.join(cards())}") from None


# --- folders ----------------------------------------------------------------------------------------------------


def datasets_folder() -> Path:
    """The folder of the data that ships with the course.

    Raises
    ------
    DataMissing
        It is not there: the course was moved without it, or ``RECSYS_COURSE_DATASETS`` names another place.
    """
    named = os.environ.get("RECSYS_COURSE_DATASETS")
    package = Path(__file__).resolve().parents[1]
    # Beside the package in a clone of the course; inside it where the course was installed from a wheel.
    candidates = [Path(named)] if named else [package.parent / "datasets", package / "_datasets"]
    for folder in candidates:
        if folder.is_dir():
            return folder
    reason = "RECSYS_COURSE_DATASETS names it" if named else "it stands beside the package in a clone of the course"
    raise DataMissing(f"the folder {candidates[0]} is missing: {reason}; restore it or correct the variable")


def mirror_folder() -> Path | None:
    """The folder that ``RECSYS_COURSE_MIRROR`` names, or None."""
    named = os.environ.get("RECSYS_COURSE_MIRROR")
    return Path(named) if named else None


def cache_folder() -> Path:
    """The folder that keeps downloads; it need not exist yet."""
    named = os.environ.get("RECSYS_COURSE_CACHE")
    if named:
        return Path(named)
    import pooch

    return Path(pooch.os_cache("recsys-course"))


def _folders(about: Card) -> list[Path]:
    """Where the files of a set may lie, the first choice first."""
    if about.access == "ships":
        return [datasets_folder() / about.name]
    if about.access == "package":
        spec = importlib.util.find_spec(about.package)
        if spec is None or not spec.submodule_search_locations:
            return []
        return [Path(spec.submodule_search_locations[0]) / "data"]
    mirror = mirror_folder()
    return ([mirror / about.mirror] if mirror else []) + [cache_folder() / about.name]


# --- checksums --------------------------------------------------------------------------------------------------

_verified: set[tuple[str, int, int, str]] = set()


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def verify(path: Path, expected: str) -> Path:
    """Return ``path`` if its checksum is ``expected`` ("sha256:..." or "md5:..."), and raise otherwise.

    A file that was checked before, and whose size and time of change are the same, is not read again.

    Raises
    ------
    DataError
        The checksum differs: the file was truncated or altered.
    """
    algorithm, _, digits = expected.partition(":")
    stat = path.stat()
    seen = (str(path.resolve()), stat.st_size, stat.st_mtime_ns, expected)
    if seen in _verified:
        return path
    found = checksum(path, algorithm)
    if found != digits:
        raise DataError(
            f"{path} is not the file that it should be: its {algorithm} begins {found[:12]}, expected {digits[:12]}; "
            f"it has {stat.st_size:,} bytes and was truncated or altered: replace it, or delete it and fetch it again"
        )
    _verified.add(seen)
    return path


# --- finding files ----------------------------------------------------------------------------------------------


def locate(about: Card, file: str) -> Path | None:
    """The first place where ``file`` of a set lies, unchecked, or None; "u.user or ml-100k.user" takes either name."""
    for folder in _folders(about):
        for name in file.split(" or "):
            if (folder / name).is_file():
                return folder / name
    return None


def require(about: Card, file: str) -> Path:
    """The path of one file of a data set, its checksum compared with the card.

    Raises
    ------
    DataMissing
        The file is nowhere; the message says how to get it.
    DataError
        The file is there and is not the one that it should be.
    """
    path = locate(about, file)
    if path is None:
        raise DataMissing(f"{about.name}: {file} is not on this machine: {_remedy(about)}")
    expected = about.files[file]  # "" where only the content can be checked, which the reader of the file does
    return verify(path, expected) if expected else path


def _remedy(about: Card) -> str:
    if about.access == "ships":
        return f"it ships with the course; restore {datasets_folder() / about.name}"
    if about.access == "package":
        return f"install the dependency {about.package.replace('_', '-')}, which carries it"
    return (
        f"run `recsys-course data fetch {about.name}`, or set RECSYS_COURSE_MIRROR to a folder that holds "
        f"{about.mirror}/"
    )


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a parquet file with pyarrow, and say clearly when it is none.

    Raises
    ------
    DataError
        The file is empty, truncated or of another kind, or lacks one of ``columns``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns or [] if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path} has no column {missing[0]!r}: it has {file.schema_arrow.names}")
            return file.read(columns)
    except (pa.ArrowException, OSError) as problem:
        reason = str(problem).splitlines()[0]
        raise DataError(f"{path} cannot be read as parquet: truncated, or of another kind ({reason})") from problem


# --- writing and downloading --------------------------------------------------------------------------------------


def write_atomic(path: Path, content: bytes) -> Path:
    """Write a file so that it is either whole or not there at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")  # in the same folder: replace is atomic
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def download(url: str, path: Path, expected: str) -> Path:
    """Download a file with pooch: into a temporary file first, moved to ``path`` if its checksum is ``expected``.

    Raises
    ------
    DataMissing
        The address cannot be reached.
    DataError
        What came is not the file that was expected.
    """
    import pooch

    # pooch tells of every step on stderr, which a notebook would show as an error.
    pooch.get_logger().setLevel(logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        pooch.retrieve(
            url,
            known_hash=expected,
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=30),  # seconds without an answer
        )
    except ValueError as problem:
        raise DataError(f"{url} did not give the file that was expected: its checksum differs; try again") from problem
    except (OSError, ImportError) as problem:  # every error of requests is an OSError
        raise DataMissing(f"{url} cannot be reached ({type(problem).__name__}): {_offline(path)}") from problem
    return path


def _offline(path: Path) -> str:
    return f"try again when online, or set RECSYS_COURSE_MIRROR to a folder that holds {path.name}"


# --- the state of a set -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """Whether a data set can be loaded now, and what to do if not.

    Attributes
    ----------
    card : Card
    state : {"ready", "missing", "damaged"}
    folder : Path or None
        Where its files lie.
    detail : str
        One line: nothing when it is ready, otherwise what is wrong and what to do.
    """

    card: Card
    state: str
    folder: Path | None = None
    detail: str = ""


def status(name: str) -> Status:
    """Look for the files of one set and compare their checksums, without raising.

    >>> status("movielens").state
    'ready'
    """
    about = card(name)
    folder = None
    for file in about.files:
        try:
            folder = require(about, file).parent
        except DataMissing as problem:
            return Status(about, "missing", detail=str(problem))
        except (DataError, OSError) as problem:
            return Status(about, "damaged", getattr(locate(about, file), "parent", None), str(problem))
    return Status(about, "ready", folder)


def fetch_files(about: Card) -> Path:
    """Download all files of a set that has one address a file into the cache; return the folder."""
    folder = cache_folder() / about.name
    for file, url in about.urls.items():
        download(url, folder / file, about.files[file])
    return folder
