"""Make the course's environment from its lock, and run something in it: `python bootstrap.py lab`.

`make lab` and `make test` call this file; on Windows, or wherever there is no make, call it yourself:

    python bootstrap.py lab              the learner's environment, and JupyterLab on chapter 00
    python bootstrap.py test             the authors' environment, and every test
    python bootstrap.py run COMMAND ...  a command in the learner's environment, e.g. recsys-course doctor
    python bootstrap.py run-test COMMAND ...  the same in the authors' environment
    python bootstrap.py setup            the learner's environment, and nothing more

It uses the standard library alone, since it runs before anything is installed. An environment is built once; after
that a call takes a blink, until the lock, the project's dependencies or the Python version change.

Environment variables: RECSYS_COURSE_INSTALLER=pip leaves uv aside; RECSYS_COURSE_OFFLINE=1 asks for no optional data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SUPPORTED = ((3, 11), (3, 13))
STAMP = "course-stamp.json"  # written last: an environment without it is not finished

# One thread for each worker: two workers that each start a thread per core are slower than one, and sums whose order
# depends on the number of threads differ in the last digit.
ONE_THREAD = dict.fromkeys(
    [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ],
    "1",
)
WORKERS = ["-n", "2", "--dist", "loadfile"]


class SetupError(Exception):
    """Something stands in the way of a set-up; the message says what to do."""


def main(arguments: list[str]) -> int:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    try:
        check_machine()
        if command == "setup" and not rest:
            ensure("learn")
            return 0
        if command == "lab":
            return run(ensure("learn"), ["recsys-course", "lab", *rest])
        if command == "test":
            return run_tests(ensure("test"), rest)
        if command in ("run", "run-test") and rest:
            return run(ensure("learn" if command == "run" else "test"), rest)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    print(__doc__)
    return 0 if command in ("help", "-h", "--help") else 2


def check_machine(version=None, system: str | None = None, machine: str | None = None) -> None:
    """Raise unless the locked packages exist for this Python and this machine."""
    version = tuple((version or sys.version_info)[:2])
    if not SUPPORTED[0] <= version <= SUPPORTED[1]:
        raise SetupError(
            f"this is Python {version[0]}.{version[1]}, and the course needs 3.11, 3.12 or 3.13: install one of them "
            "and name it, as in `make lab PYTHON=python3.12` or `python3.12 bootstrap.py lab`"
        )
    if (system or platform.system()) == "Darwin" and (machine or platform.machine()) == "x86_64":
        raise SetupError(
            "TensorFlow and numba no longer come for Intel Macs: use Binder, a Linux container or another machine. "
            "On a Mac with Apple silicon this Python itself is an Intel build: install one for arm64"
        )


def ensure(name: str) -> Path:
    """Bring the environment ``name`` ("learn" or "test") in step with its lock, and return its folder."""
    folder = ROOT / (".venv" if name == "learn" else ".venv-test")
    if up_to_date(folder, name):
        return folder
    with only_one(folder.with_name(f"{folder.name}.lock")) as lock_file:
        if up_to_date(folder, name):  # somebody else did it while this call waited
            return folder
        started = time.monotonic()
        stamp, wanted, found = folder / STAMP, fingerprint(name), read_stamp(folder)
        # Without a stamp the last set-up was cut off and may have left half a package: begin again.
        fresh = not (found and starts(folder) and all(found.get(key) == wanted[key] for key in ("python", "folder")))
        if fresh:
            print(f"Creating {folder.name} with Python {platform.python_version()} ...", flush=True)
            create(folder)
        else:
            print(f"The lock or the project has changed: bringing {folder.name} in step ...", flush=True)
            stamp.unlink()
        install(folder, ROOT / "locks" / f"{name}.txt", fresh=fresh, lock_file=lock_file)
        write_atomically(stamp, json.dumps(wanted, indent=1))
        print(f"{folder.name} is ready after {time.monotonic() - started:.0f} s.", flush=True)
    offer_data(folder)
    return folder


def up_to_date(folder: Path, name: str) -> bool:
    return read_stamp(folder) == fingerprint(name) and starts(folder)


@contextlib.contextmanager
def only_one(path: Path):
    """Hold a lock on ``path``, so that two set-ups of one environment take turns.

    Where the system allows it, the installers inherit the lock: one that outlives a killed set-up still writes into the
    folder, and the next set-up has to wait for its end.
    """
    with path.open("a", encoding="utf-8") as file:
        if sys.platform == "win32":
            import msvcrt

            def take():
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            def take():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        told = False
        while True:
            try:
                take()
                break
            except OSError:
                if not told:
                    print("Another set-up of this environment is running: waiting for it ...", flush=True)
                told = True
                time.sleep(0.5)
        yield file  # closing the file gives the lock back


def fingerprint(name: str) -> dict[str, str]:
    """What an environment depends on: when one of these changes, it has to be brought in step."""
    import tomllib  # since 3.11: an older Python has to live long enough to be told so

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = {"project": project["project"], "build": project["build-system"]}
    return {
        "lock": digest((ROOT / "locks" / f"{name}.txt").read_bytes() + (ROOT / "locks" / "installer.txt").read_bytes()),
        "project": digest(json.dumps(parts, sort_keys=True).encode()),
        "python": "{}.{}".format(*sys.version_info[:2]),
        "folder": str(ROOT),
    }


def digest(content: bytes) -> str:
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def read_stamp(folder: Path) -> dict[str, str] | None:
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def write_atomically(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def executable(folder: Path, name: str) -> Path:
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    return scripts / (f"{name}.exe" if os.name == "nt" else name)


def starts(folder: Path) -> bool:
    """Whether the folder's own Python runs: it does not once the Python it was made from is gone."""
    try:
        return subprocess.run([executable(folder, "python"), "-c", ""], capture_output=True).returncode == 0
    except OSError:
        return False


def create(folder: Path) -> None:
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)  # in one step, so that a half-deleted folder is never taken for an environment
        shutil.rmtree(old, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True)
    if made.returncode:
        detail = (made.stdout + made.stderr).strip().splitlines()
        raise SetupError(
            "Python could not make a virtual environment; on Debian and Ubuntu `apt install python3-venv` adds what "
            f"is missing. It said: {detail[-1] if detail else 'nothing'}"
        )


def install(folder: Path, lock: Path, *, fresh: bool, lock_file) -> None:
    """Install what the lock names, with uv where it can be had and with pip where it cannot, then the course itself."""
    python = str(executable(folder, "python"))
    installer = str(ROOT / "locks" / "installer.txt")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--root-user-action", "ignore"]
    hashed = ["--require-hashes", "--only-binary", ":all:"]
    environment = dict(os.environ)
    if "PIP_INDEX_URL" in environment:  # uv does not read pip's settings, and a mirror is usually set for pip
        environment.setdefault("UV_DEFAULT_INDEX", environment["PIP_INDEX_URL"])

    def succeeds(command: list[str]) -> bool:
        inherited = () if os.name == "nt" else (lock_file.fileno(),)
        return subprocess.call(command, env=environment, pass_fds=inherited) == 0

    with_uv = os.environ.get("RECSYS_COURSE_INSTALLER") != "pip"
    if with_uv:
        print("Installing the installer (uv) ...", flush=True)
        with_uv = succeeds([*pip, *hashed, "-r", installer])
    if with_uv:
        # Bytecode now, or every first import of TensorFlow compiles it and takes three times as long.
        print("Installing the packages of the lock (half a minute, 2.5 GB) ...", flush=True)
        sync = [python, "-m", "uv", "pip", "sync", "--python", python, "--require-hashes", "--compile-bytecode"]
        if not sys.stderr.isatty():  # a log needs no bars and no list of 190 packages
            sync.append("--quiet")
        with_uv = succeeds([*sync, installer, str(lock)])
        fresh = fresh and with_uv
    if not with_uv:
        print("Installing the packages of the lock with pip (two minutes, 2.5 GB) ...", flush=True)
        if not fresh:  # pip removes nothing, and the environment is to hold what the lock holds
            create(folder)
        if not succeeds([*pip, *hashed, "-r", str(lock)]):
            raise SetupError("the packages could not be installed, see above: is a package registry reachable?")
    # The course itself, editable: the lock already holds what builds it, so nothing is fetched here.
    if not succeeds([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]):
        raise SetupError("the course itself could not be installed: see the lines above")


def offer_data(folder: Path) -> None:
    """Fetch the data set that may not be shipped, if it can be had; nothing depends on it."""
    if os.environ.get("RECSYS_COURSE_OFFLINE") == "1" or not (ROOT / "recsys_course" / "cli.py").exists():
        return
    fetch = ["-m", "recsys_course.cli", "data", "fetch", "ml_100k", "--optional"]
    subprocess.call([str(executable(folder, "python")), *fetch])


def run(folder: Path, command: list[str], environment: dict[str, str] | None = None) -> int:
    """Run a command with the environment's folder of programs first on the path."""
    environment = {**os.environ, **(environment or {})}
    program = executable(folder, command[0])
    environment["PATH"] = os.pathsep.join([str(program.parent), environment.get("PATH", "")])
    environment["VIRTUAL_ENV"] = str(folder)
    environment.pop("PYTHONHOME", None)
    words = [str(program) if program.exists() else command[0], *command[1:]]
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name != "nt":
        try:
            os.execvpe(words[0], words, environment)  # become it, so that whoever ends this process ends it
        except OSError as error:
            raise SetupError(f"{words[0]} cannot be run: {error.strerror}") from error
    child = subprocess.Popen(words, env=environment)  # Windows cannot do that: wait for it
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # it reached the child as well, which may want to ask first
            continue


def run_tests(folder: Path, options: list[str]) -> int:
    chosen = [] if any(option.startswith(("-n", "--dist")) for option in options) else WORKERS
    return run(folder, ["python", "-m", "pytest", *chosen, *options], ONE_THREAD)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
