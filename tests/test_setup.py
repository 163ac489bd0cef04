"""The set-up: the files that name versions agree, the bootstrap repairs what it finds, the project keeps its habits."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
LEARNER = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
LOCKS = {
    "learn": [*LEARNER, *map(Requirement, GROUPS["build"])],
    "test": [*LEARNER, *map(Requirement, GROUPS["build"] + GROUPS["test"])],
    "installer": list(map(Requirement, GROUPS["installer"])),
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    """Package -> version; a package that is pinned twice (for two systems) must not have two versions."""
    versions: dict[str, str] = {}
    for block in re.split(r"\n(?=\S)", text_of(f"locks/{name}.txt").strip()):
        requirement = Requirement(block.splitlines()[0].removesuffix("\\").strip())
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), f"{requirement.name} has no hash in locks/{name}.txt"
        package = canonicalize_name(requirement.name)
        assert versions.setdefault(package, pin.version) == pin.version, f"{package} has two versions in {name}"
    return versions


# --- versions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_each_lock_pins_what_pyproject_asks_for_within_its_band(name):
    pinned = pins(name)
    for requirement in LOCKS[name]:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in locks/{name}.txt: run `make lock KEEP=1`"
        assert requirement.specifier.contains(version), f"{requirement} but {version} in locks/{name}.txt"


@pytest.mark.parametrize("requirement", LOCKS["test"], ids=str)
def test_each_dependency_has_a_band_that_begins_with_what_was_tested(requirement):
    operators = {part.operator: Version(part.version) for part in requirement.specifier}
    if set(operators) == {"=="}:  # a package that is data: another version would be other data
        return
    assert set(operators) == {">=", "<"}, f"{requirement}: give a lower and an upper bound"
    locked = Version(pins("test")[canonicalize_name(requirement.name)])
    assert operators[">="].release[:2] <= locked.release[:2]
    first = operators[">="].release
    following = (first[0] + 1,) if first[0] else (0, first[1] + 1)
    assert operators["<"] <= Version(".".join(map(str, following))), (
        f"{requirement}: reaches past the next major release"
    )


def test_the_tests_lock_is_the_learners_and_more():
    learn, test = pins("learn"), pins("test")
    assert learn.items() <= test.items()
    assert not set(map(canonicalize_name, ("nbgrader", "selenium", "pytest", "vowpalwabbit"))) & set(learn)


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_place(name):
    for line in text_of(f"locks/{name}.txt").splitlines():
        assert re.fullmatch(r"(\S+==\S+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?)", line), line


def test_the_build_needs_nothing_that_the_lock_lacks():
    for text in PROJECT["build-system"]["requires"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins("learn")[canonicalize_name(requirement.name)])


def test_environment_yml_gives_the_same_versions():
    environment = yaml.safe_load(text_of("environment.yml"))
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r locks/learn.txt"]}, "the lock says it all, and takes nothing without a hash beside it"
    names = [re.split("[=<> ]", text)[0] for text in conda]
    assert names == ["python", "pip"], "conda brings Python and pip, the lock the rest"
    version = conda[0].removeprefix("python=")
    assert version in SpecifierSet(PROJECT["project"]["requires-python"])
    # Both ways to install the course itself: it is not in the list above.
    command = "python -m pip install --no-deps --no-build-isolation --editable ."
    assert command in text_of("environment.yml") and command in text_of("postBuild")


def test_every_place_that_names_the_pythons_names_the_same(bootstrap):
    from recsys_course import doctor

    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert bootstrap.SUPPORTED == doctor.PYTHONS == ((3, 11), (3, 13))
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in text_of("Makefile")
    workflow = yaml.safe_load(text_of(".github/workflows/course.yml"))
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


# --- the bootstrap ------------------------------------------------------------------------------------------------


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """bootstrap.py on a copy of the files that it reads, with the slow steps replaced by notes of their calls."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    module.calls = []

    def create(folder):
        module.calls.append("create")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "create", create)
    monkeypatch.setattr(module, "install", lambda *_, **__: module.calls.append("install"))
    monkeypatch.setattr(module, "starts", lambda folder: folder.exists())
    monkeypatch.setattr(module, "offer_data", lambda folder: None)
    return module


def calls(bootstrap, name="learn"):
    bootstrap.calls.clear()
    bootstrap.ensure(name)
    return list(bootstrap.calls)


def test_an_environment_is_built_once(bootstrap):
    assert calls(bootstrap) == ["create", "install"]
    assert calls(bootstrap) == []
    assert calls(bootstrap, "test") == ["create", "install"]
    assert (bootstrap.ROOT / ".venv").is_dir() and (bootstrap.ROOT / ".venv-test").is_dir()


@pytest.mark.parametrize("file", ["locks/learn.txt", "locks/installer.txt"])
def test_an_edit_of_the_lock_is_noticed(bootstrap, file):
    calls(bootstrap)
    with (bootstrap.ROOT / file).open("a", encoding="utf-8") as lock:
        lock.write("another==1.0\n")
    assert calls(bootstrap) == ["install"]
    assert calls(bootstrap) == []


def test_an_edit_of_the_project_is_noticed_and_one_of_its_tools_is_not(bootstrap):
    calls(bootstrap)
    project = bootstrap.ROOT / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace("line-length = 120", "line-length = 119"), encoding="utf-8")
    assert calls(bootstrap) == []
    project.write_text(text.replace("[project.scripts]", '[project.scripts]\nanother = "a:b"'), encoding="utf-8")
    assert calls(bootstrap) == ["install"]


@pytest.mark.parametrize("broken", ["create", "install"])
def test_a_set_up_that_was_cut_off_begins_again(bootstrap, monkeypatch, broken):
    def interrupted(folder, *_, **__):
        folder.mkdir(exist_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, broken, interrupted)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.ensure("learn")
    assert calls(bootstrap) == ["create", "install"]
    assert calls(bootstrap) == []


def test_a_repair_that_was_cut_off_begins_again(bootstrap, monkeypatch):
    calls(bootstrap)
    (bootstrap.ROOT / "locks" / "learn.txt").write_text("another==1.0\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "install", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bootstrap.ensure("learn")
    assert calls(bootstrap) == ["create", "install"]


@pytest.mark.parametrize(("key", "value"), [("python", "3.10"), ("folder", "elsewhere")])
def test_another_python_or_place_makes_a_new_environment(bootstrap, key, value):
    calls(bootstrap)
    stamp = bootstrap.ROOT / ".venv" / bootstrap.STAMP
    stamp.write_text(json.dumps(json.loads(stamp.read_text(encoding="utf-8")) | {key: value}), encoding="utf-8")
    assert calls(bootstrap) == ["create", "install"]


def test_an_environment_whose_python_is_gone_is_made_again(bootstrap, monkeypatch):
    calls(bootstrap)
    monkeypatch.setattr(bootstrap, "starts", lambda folder: False)
    assert calls(bootstrap) == ["create", "install"]


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (((3, 10), "Linux", "x86_64"), "needs 3.11, 3.12 or 3.13"),
        (((3, 14), "Linux", "x86_64"), "needs 3.11, 3.12 or 3.13"),
        (((3, 12), "Darwin", "x86_64"), "no longer come for Intel Macs"),
    ],
)
def test_a_machine_that_cannot_be_served_is_told_so(bootstrap, machine, message):
    with pytest.raises(bootstrap.SetupError, match=message):
        bootstrap.check_machine(*machine)


SERVED = [((3, 11), "Linux", "aarch64"), ((3, 13), "Darwin", "arm64"), ((3, 12), "Windows", "AMD64")]


@pytest.mark.parametrize("machine", SERVED)
def test_the_others_are_served(bootstrap, machine):
    bootstrap.check_machine(*machine)


def test_uv_that_fails_gives_way_to_pip_in_a_new_environment(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    done = []

    def call(command, **_):
        done.append("uv" if "sync" in command else "pip")
        assert "--require-hashes" in command or "--no-deps" in command
        return int("sync" in command)

    monkeypatch.setattr(module.subprocess, "call", call)
    monkeypatch.setattr(module, "create", lambda folder: done.append("create"))
    monkeypatch.delenv("RECSYS_COURSE_INSTALLER", raising=False)
    with module.only_one(tmp_path / "lock") as lock_file:
        module.install(tmp_path, ROOT / "locks" / "learn.txt", fresh=True, lock_file=lock_file)
    assert done == ["pip", "uv", "create", "pip", "pip"], "uv, uv's sync, then pip's lock and the course"


def test_the_tests_run_with_one_thread_a_worker_and_files_kept_together(bootstrap, monkeypatch):
    seen = {}
    monkeypatch.setattr(bootstrap, "run", lambda folder, command, environment: seen.update(c=command, e=environment))
    bootstrap.run_tests(Path(), ["-k", "events"])
    assert seen["c"] == ["python", "-m", "pytest", "-n", "2", "--dist", "loadfile", "-k", "events"]
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    assert {seen["e"][f"{name}_NUM_THREADS"] for name in names} == {"1"}
    assert {seen["e"][f"TF_NUM_{name}_THREADS"] for name in ("INTRAOP", "INTEROP")} == {"1"}


# --- imports ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modules", "banned"),
    [
        ("recsys_course", ["numpy", "pandas", "numba", "tensorflow", "keras", "sklearn", "matplotlib"]),
        ("recsys_course, recsys_course.cli", ["pandas", "numba", "tensorflow", "keras", "sklearn", "matplotlib"]),
        ("recsys_course.cli, recsys_course.data, recsys_course.events", ["numba", "tensorflow", "keras", "matplotlib"]),
    ],
)
def test_importing_the_package_loads_nothing_heavy_and_nothing_compiled(modules, banned):
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "recsys_course" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in banned or name.endswith("_kernels")]


def test_the_library_never_imports_what_only_authors_run():
    outside = re.compile(r"^\s*(from|import) (authoring|benchmarks|tests)\b", re.M)
    for path in (ROOT / "recsys_course").rglob("*.py"):
        assert not outside.search(path.read_text(encoding="utf-8")), path


# --- habits -------------------------------------------------------------------------------------------------------


def tracked() -> list[Path]:
    """The files of the project: what git knows, or everything outside ignored folders where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    if done.returncode == 0:
        names = done.stdout.decode("utf-8").split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    skipped = {".venv", ".venv-test", "work", "__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]


BINARY = {".parquet", ".png", ".gz", ".zip", ".ico", ".npz"}
# Written so that this file does not trip over itself.
REGISTRIES = "|".join(
    rf"{name}[.]{end}" for name, end in (("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"))
)
PLACES = {
    "a registry's host": re.compile(rf"\b({REGISTRIES}|registry[.]npmjs)"),
    "an absolute path": re.compile(r"(?<![\w.~}\])/-])/(home|root|work|Users)(?=/)/[\w.]|\b[A-Z]:[\\]{1,2}\w"),
}


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine():
    files = tracked()
    assert ROOT / "bootstrap.py" in files
    found = []
    for path in files:
        if path.suffix in BINARY:
            continue
        text = path.read_text(encoding="utf-8")  # and every text file is UTF-8
        for what, pattern in PLACES.items():
            found += [f"{path.relative_to(ROOT)}: {what}: {match[0]}" for match in pattern.finditer(text)]
        found += [f"{path.relative_to(ROOT)}: your home folder"] if str(Path.home()) + "/" in text else []
    assert not found


@pytest.mark.parametrize(
    "text", ["see |home|ann|x", "'|root|.cache'", "C:~Users", "C:~~Users", "https:||pypi!org|simple"]
)
def test_the_search_for_places_finds_them(text):
    text = text.replace("|", "/").replace("~", "\\").replace("!", ".")
    assert any(pattern.search(text) for pattern in PLACES.values())


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_content():
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_is_valid_and_runs_the_gate_on_every_system():
    path = ".github/workflows/course.yml"
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path]  # needs no network
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    workflow = yaml.safe_load(text_of(path))
    triggers = workflow[True]  # YAML 1.1 reads the key `on` as true
    assert {"push", "pull_request", "schedule"} <= triggers.keys()
    jobs = workflow["jobs"]
    linux = [step for step in jobs["linux"]["steps"] if step.get("run") == "bash .ci/run"]
    assert len(linux) == 1 and "if" not in linux[0]
    assert [re.sub("-.*", "", name) for name in jobs["elsewhere"]["strategy"]["matrix"]["os"]] == ["macos", "windows"]
    assert jobs["elsewhere"]["steps"][-1]["run"] == "python bootstrap.py test --course-lax"


def test_ci_runs_make_test():
    assert text_of(".ci/run").rstrip().endswith("exec make test")


def test_every_make_target_is_in_its_help():
    makefile = text_of("Makefile")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split())
    assert targets == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert {"lab", "test", "check", "notebooks", "lock"} <= targets


# --- documents ----------------------------------------------------------------------------------------------------

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LECTURERS.md"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_to_a_file_leads_somewhere_and_no_image_is_remote(name):
    text = text_of(name)
    for image, target in re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://", "#", "mailto:")):
            assert not image, f"{name} shows an image from elsewhere: {target}"
        else:
            assert (ROOT / target.partition("#")[0]).exists(), f"{name} links to {target}"
    assert not re.search(r"<img[^>]+src=.https?:", text)


@pytest.mark.parametrize("name", ["README.md", "LECTURERS.md"])
def test_the_list_of_chapters_is_the_chapters(name):
    rows = re.findall(r"^\| (\d\d[a-z]?) \| \[([^\]]+)\]\(chapters/([^)]+)\) \| (\d+) \|", text_of(name), re.M)
    chapters = sorted((ROOT / "chapters").glob("[0-9][0-9]*.ipynb"))
    assert [row[2] for row in rows] == [path.name for path in chapters]
    for number, title, file, minutes in rows:
        assert file.startswith(f"{number}_")
        cells = json.loads(text_of(f"chapters/{file}"))["cells"]
        opening = "\n".join("".join(cell["source"]) for cell in cells[:2])
        assert title in opening.splitlines()[0], f"{file} is titled {opening.splitlines()[0]!r}"
        assert re.search(rf"\b{minutes} minutes\b", opening), f"{file} does not say that it takes {minutes} minutes"


def test_the_changelog_begins_with_the_present_version():
    import recsys_course

    assert re.search(r"^## (\S+)", text_of("CHANGELOG.md"), re.M)[1] == recsys_course.__version__
