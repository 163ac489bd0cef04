"""The working copy: nothing a learner wrote is overwritten or lost, and nothing committed is touched."""

import json
from pathlib import Path

import pytest

from recsys_course import workspace
from recsys_course.workspace import WorkspaceError, ensure, first_notebook, reset


def notebook(path: Path, *sources: str, outputs: str = "") -> None:
    cells = [
        {"cell_type": "code", "source": [source], "outputs": [outputs] if outputs else [], "execution_count": None}
        for source in sources
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")


@pytest.fixture
def course(tmp_path) -> Path:
    for folder in ("", "exercises", "solutions"):
        notebook(tmp_path / "chapters" / folder / "01_loop.ipynb", f"first {folder}")
    notebook(tmp_path / "chapters" / "00_start.ipynb", "start")
    return tmp_path


def actions(changes):
    return {change.path: change.action for change in changes}


def test_the_first_call_copies_everything_and_the_second_nothing(course):
    assert set(actions(ensure(course)).values()) == {"added"}
    copied = {path.relative_to(course / "work").as_posix() for path in (course / "work").rglob("*.ipynb")}
    assert copied == {"00_start.ipynb", "01_loop.ipynb", "exercises/01_loop.ipynb", "solutions/01_loop.ipynb"}
    assert ensure(course) == []
    assert first_notebook(course) == "00_start.ipynb"


def test_an_unchanged_copy_follows_the_course(course):
    ensure(course)
    notebook(course / "chapters" / "01_loop.ipynb", "second")
    assert actions(ensure(course)) == {"01_loop.ipynb": "refreshed"}
    assert (course / "work" / "01_loop.ipynb").read_bytes() == (course / "chapters" / "01_loop.ipynb").read_bytes()


def test_a_copy_that_was_only_run_follows_too_and_its_outputs_are_kept_in_the_backup(course):
    ensure(course)
    notebook(course / "work" / "01_loop.ipynb", "first ", outputs="mine")
    assert ensure(course) == []
    notebook(course / "chapters" / "01_loop.ipynb", "second")
    (change,) = ensure(course)
    assert change.action == "refreshed"
    assert "mine" in (course / "work" / change.beside).read_text(encoding="utf-8")


def test_a_changed_copy_stays_and_the_newer_edition_lies_beside_it_once(course):
    ensure(course)
    mine = course / "work" / "exercises" / "01_loop.ipynb"
    notebook(mine, "my answer")
    before = mine.read_bytes()
    assert ensure(course) == []
    notebook(course / "chapters" / "exercises" / "01_loop.ipynb", "second")
    (change,) = ensure(course)
    assert (change.action, change.beside) == ("offered", "exercises/01_loop.new.ipynb")
    assert mine.read_bytes() == before
    beside = course / "work" / change.beside
    assert "second" in beside.read_text(encoding="utf-8")
    beside.unlink()
    assert ensure(course) == [], "an offer that was declined is not repeated"

    notebook(course / "chapters" / "exercises" / "01_loop.ipynb", "third")
    assert actions(ensure(course)) == {"exercises/01_loop.ipynb": "offered"}
    beside.replace(mine)
    assert ensure(course) == [], "an offer that was taken up is an untouched copy again"
    notebook(course / "chapters" / "exercises" / "01_loop.ipynb", "fourth")
    assert actions(ensure(course)) == {"exercises/01_loop.ipynb": "refreshed"}


def test_what_was_written_into_an_offered_edition_is_not_lost_either(course):
    ensure(course)
    notebook(course / "work" / "01_loop.ipynb", "mine")
    notebook(course / "chapters" / "01_loop.ipynb", "second")
    (change,) = ensure(course)
    notebook(course / "work" / change.beside, "second, with my answer")
    notebook(course / "chapters" / "01_loop.ipynb", "third")
    ensure(course)
    kept = [path.read_text(encoding="utf-8") for path in (course / "work" / "backup").rglob("*.ipynb")]
    assert any("second, with my answer" in text for text in kept)


def test_without_a_manifest_a_copy_that_differs_counts_as_changed(course):
    ensure(course)
    notebook(course / "work" / "01_loop.ipynb", "mine")
    (course / "work" / workspace.MANIFEST).write_text("{broken", encoding="utf-8")
    assert actions(ensure(course)) == {"01_loop.ipynb": "offered"}


def test_a_notebook_that_is_damaged_is_the_learners_all_the_same(course):
    ensure(course)
    mine = course / "work" / "01_loop.ipynb"
    mine.write_text("<<<<<<< half a merge", encoding="utf-8")
    notebook(course / "chapters" / "01_loop.ipynb", "second")
    assert actions(ensure(course)) == {"01_loop.ipynb": "offered"}
    assert mine.read_text(encoding="utf-8") == "<<<<<<< half a merge"


def test_a_chapter_that_the_course_drops_goes_unless_it_was_changed(course):
    ensure(course)
    notebook(course / "work" / "01_loop.ipynb", "mine")
    (course / "chapters" / "01_loop.ipynb").unlink()
    (course / "chapters" / "exercises" / "01_loop.ipynb").unlink()
    assert actions(ensure(course)) == {"exercises/01_loop.ipynb": "removed"}
    assert (course / "work" / "01_loop.ipynb").exists()
    assert not (course / "work" / "exercises" / "01_loop.ipynb").exists()


def test_reset_restores_and_keeps_the_old_version(course):
    ensure(course)
    for folder in ("", "exercises"):
        notebook(course / "work" / folder / "01_loop.ipynb", f"mine {folder}")
    (change,) = reset(course, "1", chapter=False)
    assert (change.path, change.action) == ("exercises/01_loop.ipynb", "restored")
    assert "mine exercises" in (course / "work" / change.beside).read_text(encoding="utf-8")
    assert "mine " in (course / "work" / "01_loop.ipynb").read_text(encoding="utf-8"), "the chapter was not asked for"
    assert actions(reset(course, "01")) == {"01_loop.ipynb": "restored", "exercises/01_loop.ipynb": "unchanged"}
    assert ensure(course) == []


def test_two_resets_within_a_second_keep_both_versions(course):
    ensure(course)
    for text in ("mine once", "mine twice"):
        notebook(course / "work" / "01_loop.ipynb", text)
        reset(course, "01", exercise=False)
    kept = "".join(path.read_text(encoding="utf-8") for path in (course / "work" / "backup").rglob("*.ipynb"))
    assert "mine once" in kept and "mine twice" in kept


def test_a_number_without_letter_stands_for_both_parts(course):
    for part in ("09a_one", "09b_two"):
        notebook(course / "chapters" / f"{part}.ipynb", part)
    assert set(actions(reset(course, "9"))) == {"09a_one.ipynb", "09b_two.ipynb"}
    assert set(actions(reset(course, "09b"))) == {"09b_two.ipynb"}


def test_reset_of_an_unknown_chapter_names_the_known_ones(course):
    with pytest.raises(WorkspaceError, match="no chapter or exercise '77': use one of 00, 01"):
        reset(course, "77")


def test_the_committed_notebooks_are_never_written(course):
    before = {path: path.read_bytes() for path in (course / "chapters").rglob("*.ipynb")}
    ensure(course)
    for path in (course / "work").rglob("*.ipynb"):
        assert not path.is_symlink() and path.stat().st_nlink == 1
        notebook(path, "run all, saved", outputs="x")
    reset(course, "01")
    ensure(course)
    assert {path: path.read_bytes() for path in before} == before


def test_the_learners_own_settings_stay(course):
    ensure(course)
    folder = workspace.settings_folder(course / "work") / "@jupyterlab"
    news = folder / "apputils-extension" / "notification.jupyterlab-settings"
    assert json.loads(news.read_text(encoding="utf-8"))["fetchNews"] == "false"
    news.write_text("{}", encoding="utf-8")
    ensure(course)
    assert news.read_text(encoding="utf-8") == "{}"


def test_a_file_in_the_way_is_named(course):
    (course / "work").write_text("not a folder", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="work cannot be read or written"):
        ensure(course)
