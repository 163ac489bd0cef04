"""Files are found where they should be, checked before they are read, and fetched whole or not at all; no network."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from recsys_course import data
from recsys_course.data import store
from recsys_course.data.dataset import Card

ROOT = Path(__file__).resolve().parents[1]
MODULE = sys.modules["recsys_course.data.ml_100k"]  # as an attribute of the package, the name is the function's


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    """No test sees the cache or mirror of the machine it runs on."""
    monkeypatch.setenv("RECSYS_COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RECSYS_COURSE_MIRROR", raising=False)
    monkeypatch.delenv("RECSYS_COURSE_DATASETS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


# --- checksums and folders ----------------------------------------------------------------------------------------


def test_a_cut_file_is_named(tmp_path):
    file = tmp_path / "ratings.dat"
    file.write_bytes(b"1::2::3::4\n" * 10)
    good = sha256(file.read_bytes())
    assert store.verify(file, good) == file
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(data.DataError, match=r"ratings\.dat is not the file that it should be.*60 bytes.*truncated"):
        store.verify(file, good)


def test_a_checked_file_is_not_read_again_until_it_changes(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_bytes(b"good")
    read = []
    monkeypatch.setattr(
        store, "checksum", lambda path, algorithm: read.append(path) or hashlib.sha256(b"good").hexdigest()
    )
    for _ in range(3):
        store.verify(file, sha256(b"good"))
    assert len(read) == 1
    file.write_bytes(b"changed")
    store.verify(file, sha256(b"good"))
    assert len(read) == 2


def test_altered_and_missing_datasets_folder(tmp_path, monkeypatch):
    copy = tmp_path / "datasets"
    shutil.copytree(ROOT / "datasets", copy)
    monkeypatch.setenv("RECSYS_COURSE_DATASETS", str(copy))
    assert data.available("movielens")
    assert len(data.movielens().events) == 100_004

    ratings = copy / "movielens" / "ratings.parquet"
    content = bytearray(ratings.read_bytes())
    content[1000] ^= 1  # one bit
    ratings.write_bytes(content)
    assert not data.available("movielens")
    assert data.status("movielens").state == "damaged"
    assert data.status("movielens").folder == ratings.parent
    with pytest.raises(data.DataError, match=r"ratings\.parquet is not the file that it should be"):
        data.movielens()
    with pytest.raises(data.DataError, match="truncated or altered"):
        data.fetch("movielens")

    ratings.unlink()
    with pytest.raises(data.DataMissing, match=r"movielens: ratings\.parquet is not on this machine: it ships"):
        data.movielens()
    shutil.rmtree(copy)
    assert data.status("movielens").state == "missing"
    with pytest.raises(data.DataMissing, match="RECSYS_COURSE_DATASETS names it"):
        data.movielens()


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(
        store.cards(), "complete_journey", replace(data.card("complete_journey"), package="no_such_package")
    )
    assert not data.available("complete_journey")
    with pytest.raises(data.DataMissing, match="install the dependency no-such-package"):
        data.complete_journey()


def test_what_was_not_fetched_says_how_to_get_it():
    for name in ("movietweetings", "ml_100k"):
        assert data.status(name).state == "missing"
        with pytest.raises(data.DataMissing) as caught:
            data.load(name)
        assert f"recsys-course data fetch {name}" in str(caught.value)
        assert "RECSYS_COURSE_MIRROR" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_mirror_comes_before_the_cache(tmp_path, monkeypatch):
    about = Card(name="toy", title="", task="rating", access="fetch", mirror="toy-1", files={"a": sha256(b"x")})
    for folder in ("cache/toy", "mirror/toy-1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a").write_bytes(b"x")
    assert store.require(about, "a") == tmp_path / "cache" / "toy" / "a"
    monkeypatch.setenv("RECSYS_COURSE_MIRROR", str(tmp_path / "mirror"))
    assert store.require(about, "a") == tmp_path / "mirror" / "toy-1" / "a"


def test_parquet_that_is_none(tmp_path):
    shipped = (ROOT / "datasets" / "movielens" / "ratings.parquet").read_bytes()
    file = tmp_path / "x.parquet"
    for content in (b"", b"PAR1", shipped[: len(shipped) // 2], shipped[len(shipped) // 2 :], b"user,item\n1,2\n"):
        file.write_bytes(content)
        with pytest.raises(data.DataError, match=r"x\.parquet cannot be read as parquet"):
            store.read_parquet(file)
    file.write_bytes(shipped)
    with pytest.raises(data.DataError, match="has no column 'rating': it has"):
        store.read_parquet(file, ["user", "rating"])


# --- writing and downloading --------------------------------------------------------------------------------------


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    file = store.write_atomic(tmp_path / "new" / "a", b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """A web server on this machine: yields its folder and address."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def toy(address: str, content: bytes) -> Card:
    urls = {"a": f"{address}/a"}
    return Card(
        name="toy", title="", task="rating", access="fetch", mirror="t", files={"a": sha256(content)}, urls=urls
    )


def test_fetch_downloads_once_and_repairs(server, tmp_path, monkeypatch, capfd):
    www, address = server
    (www / "a").write_bytes(b"content")
    monkeypatch.setitem(store.cards(), "toy", toy(address, b"content"))
    assert data.fetch("toy") == tmp_path / "cache" / "toy"
    assert data.available("toy")
    (www / "a").unlink()
    data.fetch("toy")  # ready: the server is not asked

    (tmp_path / "cache" / "toy" / "a").write_bytes(b"cont")
    assert data.status("toy").state == "damaged"
    (www / "a").write_bytes(b"content")
    data.fetch("toy")
    assert (tmp_path / "cache" / "toy" / "a").read_bytes() == b"content"
    assert capfd.readouterr().err == ""  # a notebook would show it as an error


def test_fetch_refuses_another_file_and_keeps_nothing(server, tmp_path, monkeypatch):
    www, address = server
    (www / "a").write_bytes(b"something else")
    monkeypatch.setitem(store.cards(), "toy", toy(address, b"content"))
    with pytest.raises(data.DataError, match="/a did not give the file that was expected"):
        data.fetch("toy")
    assert not (tmp_path / "cache" / "toy" / "a").exists()
    (www / "a").unlink()
    with pytest.raises(data.DataMissing, match=r"/a cannot be reached \(HTTPError\)"):
        data.fetch("toy")
    assert list((tmp_path / "cache" / "toy").iterdir()) == []


def test_fetch_without_a_server(monkeypatch):
    monkeypatch.setitem(store.cards(), "toy", toy("http://127.0.0.1:9", b"content"))
    with pytest.raises(data.DataMissing, match=r"cannot be reached \(ConnectionError\): try again when online"):
        data.fetch("toy")


def test_fetch_does_not_hide_a_damaged_mirror(server, tmp_path, monkeypatch):
    www, address = server
    (www / "a").write_bytes(b"content")
    monkeypatch.setitem(store.cards(), "toy", toy(address, b"content"))
    monkeypatch.setenv("RECSYS_COURSE_MIRROR", str(tmp_path))
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").write_bytes(b"conte")
    with pytest.raises(data.DataError, match="is not the file that it should be"):
        data.fetch("toy")


# --- ML-100K, with a tiny stand-in --------------------------------------------------------------------------------

RATINGS = b"1\t2\t5\t200\n2\t1\t3\t100\n1\t1\t4\t200\n"
GROUPLENS_ITEM = (
    "1|Misérables, Les (1995)|01-Jan-1995||http://x|" + "|".join("1" if i in (8, 12) else "0" for i in range(19)) + "\n"
    "2|Great Giving, The (1995) (V)|01-Jan-1995||http://x|" + "|".join("1" if i == 3 else "0" for i in range(19)) + "\n"
    "3|unknown||||1" + "|0" * 18 + "\n"
).encode("latin-1")
RECBOLE_ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tMisérables, Les\t1995\tDrama Musical\n"
    "2\tGreat Giving, The (1995)\tV\tAnimation\n"
    "3\tunkonwn\tunkonwn\tunknown\n"
).encode()
RECBOLE_USER = (
    b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    b"1\t24\tM\twriter\t01002\n2\t53\tF\tother\tT8H1N\n"
)
GROUPLENS_USER = b"1|24|M|writer|01002\n2|53|F|other|T8H1N\n"
FROM_GROUPLENS = {"u.data": RATINGS, "u.item": GROUPLENS_ITEM, "u.user": GROUPLENS_USER}
FROM_RECBOLE = {"u.data": RATINGS, "ml-100k.item": RECBOLE_ITEM, "ml-100k.user": RECBOLE_USER}


@pytest.fixture
def tiny(monkeypatch):
    """The card of ML-100K, with the checksum and the counts of the stand-in."""
    real = data.card("ml_100k")
    about = replace(
        real,
        files={**real.files, "u.data": "md5:" + hashlib.md5(RATINGS).hexdigest()},
        counts={"ratings": 3, "users": 2, "items": 3},
    )
    monkeypatch.setitem(store.cards(), "ml_100k", about)
    return about


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    (folder / "ml-100k").mkdir(parents=True)
    monkeypatch.setenv("RECSYS_COURSE_MIRROR", str(folder))
    return folder / "ml-100k"


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("files", [FROM_GROUPLENS, FROM_RECBOLE], ids=["grouplens", "recbole"])
def test_ml_100k_reads_the_same_from_either_source(tiny, mirror, files):
    fill(mirror, files)
    assert data.available("ml_100k")
    ds = data.ml_100k()
    assert ds.events["timestamp"].tolist() == [100, 200, 200]
    assert ds.events["item"].tolist() == [1, 2, 1]  # equal times keep the order of the file
    assert ds.items["title"].tolist() == ["Misérables, Les", "Great Giving, The", "unknown"]
    assert ds.items["year"].fillna(0).tolist() == [1995, 1995, 0]
    assert ds.items["genres"].tolist() == ["Drama|Musical", "Animation", ""]
    assert ds.users.to_dict("list") == {
        "age": [24, 53],
        "gender": ["M", "F"],
        "occupation": ["writer", "other"],
        "zip_code": ["01002", "T8H1N"],
    }


@pytest.mark.parametrize("files", [FROM_GROUPLENS, FROM_RECBOLE], ids=["grouplens", "recbole"])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["ratings", "items", "users"])
def test_ml_100k_files_cut_anywhere_are_named(tiny, mirror, files, which):
    fill(mirror, files)
    name = list(files)[which]
    for end in range(len(files[name])):
        (mirror / name).write_bytes(files[name][:end])
        with pytest.raises(data.DataError, match=name.replace(".", r"\.")):
            data.ml_100k()
    (mirror / name).write_bytes(files[name].replace(b"\n2", b"\t|\n2", 1))
    with pytest.raises(data.DataError, match=name.replace(".", r"\.")):
        data.ml_100k()
    (mirror / name).unlink()
    with pytest.raises(data.DataMissing, match=name.replace(".", r"\.")):
        data.ml_100k()


def wheel(path: Path, ratings: bytes) -> str:
    inside = "recbole/dataset_example/ml-100k/ml-100k"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{inside}.inter", b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + ratings)
        archive.writestr(f"{inside}.item", RECBOLE_ITEM)
        archive.writestr(f"{inside}.user", RECBOLE_USER)
    return store.checksum(path)


@pytest.fixture
def no_grouplens(monkeypatch):
    def unreachable(url, *_):
        raise data.DataMissing(f"{url} cannot be reached (ConnectionError)")

    monkeypatch.setattr(MODULE, "download", unreachable)


def fake_pip(monkeypatch, made: Path | None, stderr: str = ""):
    """subprocess.run that puts a wheel where pip would, or fails as pip would."""

    def run(command, **_):
        assert command[2:4] == ["pip", "download"]
        assert "--no-deps" in command
        if made is not None:
            shutil.copy(made, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0 if made else 1, "", stderr)

    monkeypatch.setattr(MODULE.subprocess, "run", run)


def test_fetch_ml_100k_out_of_the_wheel(tiny, no_grouplens, tmp_path, monkeypatch):
    monkeypatch.setattr(MODULE, "_WHEEL_SHA256", wheel(tmp_path / "recbole-1.2.1-py3-none-any.whl", RATINGS))
    fake_pip(monkeypatch, tmp_path / "recbole-1.2.1-py3-none-any.whl")
    folder = data.fetch("ml_100k")
    assert (folder / "u.data").read_bytes() == RATINGS
    assert len(data.ml_100k().events) == 3
    assert sorted(path.name for path in folder.iterdir()) == ["ml-100k.item", "ml-100k.user", "u.data"]


def test_fetch_ml_100k_that_stops_half_way_is_not_ready(tiny, no_grouplens, tmp_path, monkeypatch):
    monkeypatch.setattr(MODULE, "_WHEEL_SHA256", wheel(tmp_path / "recbole-1.2.1-py3-none-any.whl", RATINGS))
    fake_pip(monkeypatch, tmp_path / "recbole-1.2.1-py3-none-any.whl")
    written = []

    def stop_after_one(path, content):
        if written:
            raise KeyboardInterrupt
        written.append(store.write_atomic(path, content))

    monkeypatch.setattr(MODULE, "write_atomic", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        data.fetch("ml_100k")
    assert written[0].name != "u.data"
    assert data.status("ml_100k").state == "missing"


def test_fetch_ml_100k_refuses_another_wheel(tiny, no_grouplens, tmp_path, monkeypatch):
    wheel(tmp_path / "recbole-1.2.1-py3-none-any.whl", RATINGS)
    fake_pip(monkeypatch, tmp_path / "recbole-1.2.1-py3-none-any.whl")
    with pytest.raises(data.DataError, match="not the one that is known"):
        data.fetch("ml_100k")
    assert not data.available("ml_100k")


def test_fetch_ml_100k_when_nothing_can_be_reached(tiny, no_grouplens, monkeypatch):
    fake_pip(monkeypatch, None, "WARNING: retrying\nERROR: No matching distribution found for recbole==1.2.1\n")
    with pytest.raises(data.DataMissing) as caught:
        data.fetch("ml_100k")
    for said in ("cannot be reached", "No matching distribution found", "RECSYS_COURSE_MIRROR"):
        assert said in str(caught.value)


def test_fetch_ml_100k_from_grouplens(tiny, server, monkeypatch):
    www, address = server
    with zipfile.ZipFile(www / "ml-100k.zip", "w") as archive:
        for name, content in {**FROM_GROUPLENS, "README": b"terms"}.items():
            archive.writestr(f"ml-100k/{name}", content)
    monkeypatch.setitem(store.cards(), "ml_100k", replace(tiny, urls={"ml-100k.zip": f"{address}/ml-100k.zip"}))
    monkeypatch.setattr(MODULE, "_ZIP_MD5", store.checksum(www / "ml-100k.zip", "md5"))
    folder = data.fetch("ml_100k")
    assert (folder / "README").read_bytes() == b"terms"
    assert data.ml_100k().items.loc[1, "title"] == "Misérables, Les"


def test_no_registry_host_is_named():
    hosts = ("py" + "pi.org", "python" + "hosted.org")
    for folder in ("recsys_course/data", "datasets"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".toml", ".md", ".txt"):
                assert not any(host in path.read_text(encoding="utf-8") for host in hosts), path
