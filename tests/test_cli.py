"""The command line: its help teaches, its errors are one line, its exit codes tell failures apart."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

from recsys_course import cli, data, doctor, workspace
from recsys_course.doctor import Check
from recsys_course.events import EventsError


@pytest.fixture
def run(monkeypatch, capsys):
    """Call the command as the shell does; return its exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["recsys-course", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("RECSYS_COURSE_DEBUG", raising=False)
    return call


@pytest.fixture
def course(tmp_path, monkeypatch):
    for path in ("chapters/00_start_here.ipynb", "chapters/exercises/00_start_here.ipynb"):
        notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setattr(workspace, "course_folder", lambda: tmp_path)
    return tmp_path


def one_line(err: str) -> str:
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


@pytest.mark.parametrize("command", ["doctor", "lab", "reset", "data", "data list", "data show", "data fetch"])
def test_every_help_shows_an_example(run, command):
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert "Example" in out and f"recsys-course {command}" in out


def test_the_command_alone_shows_its_help(run):
    _, out, err = run()
    assert "doctor" in out + err and "Every command has its own --help" in " ".join((out + err).split())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (data.DataMissing("ml_100k is not here: fetch it"), 4),
        (data.DataError("ratings.parquet is damaged"), 5),
        (EventsError("column 'user' is missing"), 5),
        (workspace.WorkspaceError("work cannot be written"), 6),
        (ZeroDivisionError("division by\nzero"), 1),
    ],
)
def test_an_error_is_one_line_and_a_code(run, monkeypatch, error, code):
    def fail(name):
        raise error

    monkeypatch.setattr(data, "status", fail)
    found, out, err = run("data", "show", "movielens")
    assert found == code and out == ""
    assert " ".join(str(error).split()) in one_line(err)


def test_a_developer_can_have_the_traceback(run, monkeypatch):
    monkeypatch.setenv("RECSYS_COURSE_DEBUG", "1")
    monkeypatch.setattr(data, "status", lambda name: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["recsys-course", "data", "show", "movielens"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_misspelt_command_is_told_the_right_one(run):
    code, _, err = run("docter")
    assert code == 2 and "Did you mean 'doctor'" in err


def test_python_dash_m_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "recsys_course", "data", "show", "nope"], capture_output=True, text=True
    )
    assert done.returncode == 5 and "there is no data set 'nope'" in one_line(done.stderr)


# --- data ---------------------------------------------------------------------------------------------------------


def test_data_list_names_every_set_with_its_state(run):
    code, out, _ = run("data", "list")
    assert code == 0
    for name in data.names():
        (line,) = [line for line in out.splitlines() if line.strip().startswith(name + " ")]
        assert data.status(name).state in line


def test_data_show_gives_terms_source_counts_and_checksums(run):
    code, out, _ = run("data", "show", "movielens")
    assert code == 0
    for part in ("not commercial", "GroupLens", "100,004 ratings", "1995-01-09 to 2016-10-16", "Harper"):
        assert part in out
    for digits in data.card("movielens").files.values():
        assert digits in out.replace("\n", "").replace(" ", "")


def test_data_fetch_of_a_set_that_cannot_be_had(run, monkeypatch, tmp_path):
    def unreachable(name):
        raise data.DataMissing(f"{name} cannot be fetched: no network")

    monkeypatch.setenv("RECSYS_COURSE_CACHE", str(tmp_path))
    monkeypatch.delenv("RECSYS_COURSE_MIRROR", raising=False)
    monkeypatch.setattr(data, "fetch", unreachable)
    code, _, err = run("data", "fetch", "ml_100k")
    assert code == 4 and "no network" in one_line(err)
    code, out, err = run("data", "fetch", "ml_100k", "--optional")
    assert code == 0 and err == "" and "the course runs without it" in out


def test_data_fetch_says_what_is_here_and_on_which_terms(run):
    code, out, _ = run("data", "fetch", "movielens")
    assert code == 0 and "is here, checksums agree" in out and "Terms: " in out


# --- doctor -------------------------------------------------------------------------------------------------------


def test_doctor_is_content_with_an_environment_of_the_lock(run):
    code, out, err = run("doctor")
    assert code == 0, out + err
    assert "The course can run here." in out


def test_doctor_fails_with_what_to_do(run, monkeypatch):
    monkeypatch.setattr(doctor, "memory", lambda: Check("memory", "fail", "0.5 GB available", "close other programs"))
    code, out, _ = run("doctor")
    assert code == 3
    assert "memory: close other programs" in out and "Put right before you go on: memory." in out


@pytest.mark.parametrize(
    ("check", "state"),
    [
        (doctor.python((3, 10, 1)), "fail"),
        (doctor.python((3, 13, 0)), "ok"),
        (doctor.python((3, 14, 0)), "fail"),
        (doctor.processor("Darwin", "x86_64"), "fail"),
        (doctor.processor("Darwin", "arm64"), "ok"),
        (doctor.memory(0.5e9), "fail"),
        (doctor.memory(1.5e9), "note"),
        (doctor.memory(8e9), "ok"),
        (doctor.packages(None), "note"),
        (doctor.port_check(8888, lambda port: False), "note"),
        (doctor.port_check(8888, lambda port: True), "ok"),
    ],
)
def test_each_check_tells_good_from_bad(check, state):
    assert check.state == state
    assert bool(check.remedy) == (state != "ok")


def test_too_little_disk_is_noticed(tmp_path):
    assert [doctor.disk(tmp_path, free).state for free in (0.1e9, 0.5e9, 5e9)] == ["fail", "note", "ok"]


def test_a_package_that_is_not_the_locks_is_named(tmp_path):
    lock = tmp_path / "learn.txt"
    pins = ["numpy==0.1 \\", "    --hash=sha256:00", "no-such-package==1.0", "pytest==1 ; python_version < '3'"]
    lock.write_text("\n".join(pins), encoding="utf-8")
    check = doctor.packages(lock)
    assert check.state == "fail"
    assert "numpy" in check.found and "not 0.1" in check.found and "no-such-package missing" in check.found
    assert "pytest" not in check.found, "its marker does not hold here"


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    assert doctor.writable("cache", tmp_path / "not" / "yet").state == "ok"

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    check = doctor.writable("cache", tmp_path)
    assert check.state == "fail" and str(tmp_path) in check.found and "Permission denied" in check.found


def test_a_damaged_data_set_fails_and_a_missing_optional_one_does_not(monkeypatch):
    cards = data.cards()
    states = {"movielens": "damaged", "ml_100k": "missing"}
    monkeypatch.setattr(data, "names", lambda: list(states))
    monkeypatch.setattr(data, "status", lambda name: data.Status(cards[name], states[name], detail="replace it"))
    assert [check.state for check in doctor.datasets()] == ["fail", "note"]


# --- lab and reset ------------------------------------------------------------------------------------------------


def test_reset_says_where_the_old_version_went(run, course):
    workspace.ensure(course)
    (course / "work" / "00_start_here.ipynb").write_text("mine", encoding="utf-8")
    code, out, _ = run("reset", "0", "--chapter")
    assert code == 0 and "work/00_start_here.ipynb is as the course has it; your version is in work/backup/" in out
    code, _, err = run("reset", "42")
    assert code == 6 and "use one of 00" in one_line(err)


def test_lab_refuses_a_port_that_is_taken(run, course, monkeypatch):
    monkeypatch.setattr(doctor, "free_port", lambda port: False)
    code, _, err = run("lab", "--port", "8899", "--no-browser")
    assert code == 6 and "port 8899 is taken" in one_line(err.splitlines(keepends=True)[-1])


def test_lab_serves_the_working_copy_on_localhost_to_those_with_the_token(course):
    """The real server, started as `make lab` starts it."""
    port = next(port for port in range(18888, 18999) if doctor.free_port(port))
    code = (
        "import pathlib, sys; from recsys_course import cli, workspace; folder = pathlib.Path(sys.argv.pop(1)); "
        "workspace.course_folder = lambda: folder; cli.main()"
    )
    command = [sys.executable, "-c", code, str(course), "lab", "--port", str(port), "--no-browser"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert server.stdout is not None
    try:
        address = ""
        while not address:
            line = server.stdout.readline()
            assert line, "the server ended before it told its address"
            address = line.strip() if "token=" in line else ""
        assert address.startswith(f"http://localhost:{port}/lab/tree/00_start_here.ipynb?token=")
        base, _, token = address.partition("?token=")
        listing = f"http://localhost:{port}/api/contents"
        assert get(f"{listing}?token={token}", wait=30) == 200
        assert get(f"{base}?token={token}") == 200
        assert get(f"{listing}?token=wrong") == 403
        assert (course / "work" / "exercises" / "00_start_here.ipynb").exists()
    finally:
        # On Windows the server is a child of the command, elsewhere the command has become the server.
        children = psutil.Process(server.pid).children(recursive=True) if os.name == "nt" else []
        server.terminate()
        for process in (*children, server):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
                process.wait(20)
        server.stdout.close()
    assert doctor.free_port(port), "the server is gone with the process that started it"


def get(url: str, wait: float = 0) -> int:
    deadline = time.monotonic() + wait
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
