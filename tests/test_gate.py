"""The gate bites: for every way to fool it there is a canary here, which must be caught.

A course of one tiny chapter with two exercises is built once; it keeps every rule. Each canary spoils a copy of it in
one way and names the rule that has to notice. Two canaries run pytest itself, on a notebook whose cells are each spoilt
in another way, to show what nbval as it is set up here sees and what it does not.
"""

import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import IPyNbCell, NbCellError

from authoring import check, execute, nbval_plugin, prose, rules
from authoring.build import build
from authoring.course import ROOT, Course, CourseError, write
from authoring.exercises import differences, prove
from authoring.references import check_references
from authoring.sources import as_text, read_cells, read_notebook

TINY = ROOT / "tests" / "canaries" / "course"
CHAPTER = "chapters/00_tiny.ipynb"
SOLUTION, EXERCISE = "chapters/solutions/00_tiny.ipynb", "chapters/exercises/00_tiny.ipynb"
TEXT, EXERCISES = "chapters/source/00_tiny.py", "chapters/source/exercises/00.py"
ERRATA, REFERENCES = "chapters/errata.yml", "chapters/references.yml"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The tiny course, built."""
    root = tmp_path_factory.mktemp("gate") / "course"
    shutil.copytree(TINY, root)
    course = Course(root)
    for document in course.documents():
        write(document.notebook, build(course, document).text)
    return root


@pytest.fixture
def course(built, tmp_path):
    """A copy of it to spoil."""
    return Course(Path(shutil.copytree(built, tmp_path / "course")))


def in_text(path, old, new, count=1):
    def spoil(root):
        text = (root / path).read_text(encoding="utf-8")
        assert old in text, f"the canary is out of date: {old!r} is not in {path}"
        write(root / path, text.replace(old, new, count))

    return spoil


def in_notebook(path, change):
    def spoil(root):
        notebook = read_notebook(root / path)
        change(notebook)
        write(root / path, nbformat.writes(notebook) + "\n")

    return spoil


def code(notebook, number=0):
    return [cell for cell in notebook.cells if cell.cell_type == "code"][number]


def prints(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def set_output(*outputs, number=0):
    return lambda notebook: code(notebook, number).update(outputs=list(outputs))


def set_tags(*tags):
    return lambda notebook: code(notebook).metadata.update(tags=list(tags))


def picture(content):
    return new_output("display_data", data={"image/png": base64.b64encode(content).decode()})


# --- the rules ----------------------------------------------------------------------------------------------------

CANARIES = {
    "agrees_with_its_source": [
        in_text(TEXT, "What is the sum", "What was the sum"),
        in_text(TEXT, "mean = total / 101 / 59", "mean = total / 101 / 60"),
        in_text(TEXT, 'tags=["needs:movielens"]', 'tags=["timing"]'),
        in_text(TEXT, '# %% tags=["needs:movielens"]', "# %%\nu = 1\n\n# %%"),
        in_text(REFERENCES, "10.1000/tiny", "10.1000/tiny2"),
        in_text(EXERCISES, "return sum(numbers)", "return float(sum(numbers))"),
        in_text(EXERCISES, '# %% check="own" points=1', '# %% check="own" points=2'),
        in_notebook(EXERCISE, lambda nb: code(nb, 1).update(source="def add(numbers):\n    return sum(numbers)")),
        in_notebook(CHAPTER, lambda nb: nb.cells.append(new_markdown_cell("x"))),
        in_notebook(CHAPTER, lambda nb: nb.cells.insert(0, nb.cells.pop(1))),
        in_notebook(CHAPTER, lambda nb: nb.cells[0].update(id="another")),
        in_notebook(SOLUTION, lambda nb: code(nb, 2).metadata.nbgrader.update(points=0)),
    ],
    "was_run_from_top_to_bottom": [
        in_notebook(CHAPTER, lambda nb: code(nb).update(execution_count=None, outputs=[])),
        in_notebook(CHAPTER, lambda nb: code(nb, 1).update(execution_count=7)),
        in_notebook(SOLUTION, lambda nb: code(nb).update(execution_count=None)),
        in_notebook(EXERCISE, lambda nb: code(nb).update(execution_count=1)),
        in_notebook(EXERCISE, set_output(prints("6"))),
    ],
    "outputs_are_clean": [
        in_notebook(CHAPTER, set_output(prints("a warning", "stderr"))),
        in_notebook(CHAPTER, set_output(new_output("error", ename="ValueError", evalue="x", traceback=[]))),
        in_notebook(CHAPTER, set_output(prints("read /" + "home/ann/ratings.csv"))),
        in_notebook(CHAPTER, set_output(prints("read C:" + "\\Users\\ann"))),
        in_notebook(CHAPTER, set_output(new_output("execute_result", data={"text/plain": "<f at 0x7f12ab34cd56>"}))),
        in_notebook(CHAPTER, set_output(prints("10%\r20%\r"))),
        in_notebook(CHAPTER, set_output(new_output("display_data", data={"image/svg+xml": "<svg/>"}))),
        in_notebook(
            CHAPTER, set_output(new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}}))
        ),
    ],
    "metadata_are_ours": [
        in_notebook(CHAPTER, lambda nb: nb.metadata.kernelspec.update(name="my-env")),
        in_notebook(CHAPTER, lambda nb: nb.metadata.update(widgets={})),
        in_notebook(CHAPTER, lambda nb: code(nb).metadata.update(execution={"iopub.execute_input": "2026-01-01"})),
        in_notebook(CHAPTER, lambda nb: nb.update(nbformat_minor=4)),
    ],
    "no_mark_switches_a_comparison_off": [
        in_notebook(CHAPTER, set_tags("nbval-ignore-output")),
        in_notebook(CHAPTER, set_tags("raises-exception")),
        in_notebook(CHAPTER, set_tags("nbval-skip")),
        in_notebook(CHAPTER, set_tags("Timing")),
        in_notebook(CHAPTER, lambda nb: code(nb).update(source="# NBVAL_IGNORE_OUTPUT: it varies\nprint(1)")),
        in_notebook(CHAPTER, lambda nb: code(nb).update(source="print(1)  # NBVAL_SKIP")),
    ],
    "clocks_stay_in_timing_cells": [
        in_notebook(CHAPTER, lambda nb: code(nb).update(source="print(time.perf_counter())")),
        in_notebook(CHAPTER, lambda nb: code(nb).update(source="summary(results, timing=True)")),
    ],
    "code_is_plain_python": [
        in_notebook(CHAPTER, lambda nb, source=source: code(nb).update(source=source))
        for source in (
            "%matplotlib inline",
            "!pip install x",
            "import sys; sys.path.append('..')",
            "x =",
            "assert True",
            "assert (x == 1, 'never fails')",
            "axes.plot([1]);",
            'pd.read_csv("/' + 'home/ann/ratings.csv")',
        )
    ],
    "is_small": [in_notebook(CHAPTER, set_output(prints("x" * 2_100_000)))],
    "figures_are_seen_and_said": [
        in_notebook(CHAPTER, set_output(picture(b"\x89PNG"), number=2)),
        in_notebook(CHAPTER, set_output(picture(b"\x89PNG Software Matplotlib" + b"x" * 2000), number=2)),
        in_notebook(CHAPTER, lambda nb: [nb.cells.pop(7), nb.cells.insert(7, new_code_cell("1"))]),
        in_notebook(
            CHAPTER, set_output(new_output("execute_result", data={"text/plain": "Text(0.5, 0, 'x')"}), number=2)
        ),
    ],
    "numbers_in_prose_are_printed": [
        in_text(TEXT, "The sum is 5,050", "The sum is 5,051"),
        in_text(TEXT, "the mean 0.85", "the mean 0.86"),
        in_text(TEXT, "or 85 %", "or 86 %"),
        in_text(TEXT, "In 1893 others found 1.23 [@tiny2020]", "In 1893 others found 1.23"),
        in_text(TEXT, "the step `0.375`", "the step 0.375"),
        in_text(TEXT, "The line goes up", "The line goes up since 2013-02-28"),
        in_text(EXERCISES, "Write `add(numbers)`", "Get below 0.77 with `add(numbers)`"),
        in_notebook(CHAPTER, lambda nb: code(nb).metadata.update(tags=["timing"])),
    ],
    "no_result_is_typed_in": [
        in_text(TEXT, "assert total == 5050", 'print("RMSE 0.91")\nassert total == 5050'),
        in_text(TEXT, 'is wrong"\ntotal', 'is wrong"\n"an error of 0.91"'),
        in_text(TEXT, 'is wrong"\ntotal', 'is wrong"\n{"RMSE": 0.91}'),
    ],
    "links_lead_somewhere": [
        in_notebook(CHAPTER, lambda nb, text=text: nb.cells[0].update(source=text))
        for text in (
            "[here](01_gone.ipynb)",
            "[here](#No-such-heading)",
            "[here](exercises/00_tiny.ipynb#3.-Gone)",
            "![](00_tiny.ipynb)",
            "![a cat](https://example.org/cat.png)",
            "[site](http:example)",
            '<img src="cat.png">',
            "[nowhere]()",
        )
    ],
    "citations_have_entries": [in_text(TEXT, "known this [@tiny2020]", "known this [@nobody1999]")],
    "chapters_named_exist": [in_text(TEXT, "Chapter 00 helps", "Chapters 00 and 07 help")],
    "chapter_has_its_shape": [
        in_text(TEXT, "# # 00 Tiny", "# # Tiny"),
        in_text(TEXT, "**What you need.**", "**You need.**"),
        in_text(TEXT, "2 minutes", "A while"),
        in_text(TEXT, "**Sections of the source.** A4.2.", "**Sections of the source.** Some."),
        in_text(TEXT, "# 2. See a sum.", "# 3. See a sum."),
        in_text(TEXT, "# ## Recap", "# ## Summary"),
        in_text(TEXT, "# Five.\n", ""),
        in_text(TEXT, "<details><summary>Answer</summary>\n#\n", "<details><summary>Answer</summary>\n"),
        in_text(TEXT, "By adding one number after the other until none is left.", "Add."),
        in_text(TEXT, "# - [@tiny2020!]", "# - Nothing."),
        in_text(TEXT, "# In [`exercises/00_tiny.ipynb`](exercises/00_tiny.ipynb): add", "# Add"),
        in_text(TEXT, "# ## Read on", "# ## Read off"),
        in_notebook(CHAPTER, lambda nb: nb.update(cells=nb.cells[:14])),
        in_notebook(CHAPTER, lambda nb: nb.cells.extend(new_markdown_cell("x") for _ in range(30))),
        in_notebook(CHAPTER, lambda nb: [cell.update(source="1") for cell in nb.cells if cell.cell_type == "code"]),
    ],
    "source_table_is_backed_by_cells": [
        in_text(TEXT, "*The wrong sign* |", "*No such heading* |"),
        in_text(TEXT, ": *The wrong sign* |", " |"),
        in_text(TEXT, "*The wrong sign* |", "*Recap* |"),
        in_text(TEXT, "| A4.2 |", "| somewhere |"),
        in_text(TEXT, "# | Go along the gradient | A4.2 | Against it: *The wrong sign* |\n", ""),
    ],
    "exercises_have_their_shape": [
        in_notebook(EXERCISE, lambda nb: nb.cells[2].update(source="*Objective 3.* Add.")),
        in_notebook(SOLUTION, lambda nb: nb.cells[2].update(source="Add.")),
        in_text(EXERCISES, "# # 00 Exercises: Tiny", "# # Exercises"),
        in_text(EXERCISES, "(../00_tiny.ipynb)", "(00_tiny.ipynb)"),
        in_notebook(SOLUTION, lambda nb: code(nb, 2).update(source="assert add([1]) == 1")),
        in_notebook(SOLUTION, lambda nb: code(nb, 2).update(source="add([1])")),
    ],
}
EACH = [
    pytest.param(name, spoil, id=f"{name}-{n}") for name, all_ in CANARIES.items() for n, spoil in enumerate(all_, 1)
]


def test_the_tiny_course_is_sound(built):
    assert rules.everything_broken(Course(built)) == []


def test_every_rule_has_a_canary():
    assert CANARIES.keys() == rules.RULES.keys()


@pytest.mark.parametrize(("name", "spoil"), EACH)
def test_a_rule_notices(course, name, spoil):
    spoil(course.root)
    assert [line for document in course.documents() for line in rules.RULES[name](rules.Subject.read(course, document))]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / CHAPTER).unlink(), "00_tiny has not been built"),
        (lambda root: (root / "chapters/01_left_over.ipynb").write_text("{}"), "has no source"),
        (lambda root: (root / EXERCISES).unlink(), "chapter 00 has no exercises"),
        (lambda root: (root / EXERCISES).rename(root / "chapters/source/exercises/04.py"), "has no chapter"),
        (in_text(ERRATA, "- id: sign", "- id: sine"), "is to be tagged erratum:sine"),
        (in_text(ERRATA, 'chapter: "00"', 'chapter: "07"'), "there is no chapter '07'"),
        (in_text(ERRATA, "where: A4.2", "where: somewhere"), "names no section"),
        (in_text(ERRATA, "  wrong: it raises it\n", ""), "lacks wrong"),
        (in_text(ERRATA, "says: a step along the gradient lowers the loss", "says:"), "says is empty"),
        (lambda root: write(root / ERRATA, "[]\n"), "errata.yml has no such entry"),
        (in_text(TEXT, "assert along**2 > x**2 > against**2", "along"), "its cell proves nothing"),
        (in_text(TEXT, "assert along**2 > x**2 > against**2", "assert 1 < 2"), "its cell proves nothing"),
        (in_text(TEXT, ' tags=["erratum:sign"]', ""), "0 cells tagged erratum:sign"),
        (in_text(REFERENCES, "tiny2020:", "tiny2021:"), "nobody cites it"),
    ],
)
def test_the_course_notices(course, spoil, message):
    spoil(course.root)
    assert message in "\n".join(rules.broken_course(course))


def test_a_docstring_that_names_a_missing_chapter_is_noticed(course):
    write(course.root / "recsys_course/a.py", '"""Taught in chapter 00 and in chapter 09a."""\n')
    (line,) = rules.broken_course(course)
    assert "recsys_course/a.py speaks of chapter 09a" in line


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  title: A Work for a Test\n", "", "title is missing"),
        ("10.1000/tiny", "doi.org/10.1000/tiny", "is no doi"),
        ("  doi: 10.1000/tiny\n", "", "nobody can find it"),
        ("  doi: 10.1000/tiny\n", '  isbn: "9787115281587"\n', "check digit"),
        ("  doi: 10.1000/tiny\n", "  arxiv: 2209.07\n", "is no arXiv number"),
        ("year: 2020", "year: last", "year is a number"),
        ('["Nobody, Ann"]', '["Ann Nobody"]', "Family, Given"),
        ("venue:", "journal:", "journal is no field"),
    ],
)
def test_a_reference_that_nobody_could_find_is_noticed(course, old, new, message):
    in_text(REFERENCES, old, new)(course.root)
    assert message in "\n".join(check_references(course, {"tiny2020"}))


def test_two_references_of_one_key_are_noticed(course):
    in_text(REFERENCES, "tiny2020:", "tiny2020: {}\ntiny2020:")(course.root)
    with pytest.raises(CourseError, match="stands twice"):
        check_references(course, set())


# --- numbers in prose ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "output", "stands"),
    [
        ("an error of 0.86", "0.8571", True),
        ("an error of 0.86", "0.8549", False),
        ("an error of 0.860", "0.86", True),
        ("an error of 0.862", "0.86", False),
        ("100,004 ratings", "100004", True),
        ("100\u202f004 ratings", "100,004", True),
        ("100,000 ratings", "100,004", False),
        ("1.5 million lines", "1,469,307", True),
        ("1.4 million lines", "1,469,307", False),
        ("12 % of them", "0.1234", True),
        ("12% of them", "12.3%", True),
        ("12 percent of them", "share in %: 12.3", True),
        ("12 % of them", "12.3", False),
        ("13 % of them", "0.1234", False),
        ("9 % of them", "0.5", False),
        ("lower by 0.2", "-0.2", True),
        ("a change of -0.2", "0.2", False),
        ("a change of −0.2", "-0.2", True),
        ("from 1995 to 2016", "1995-01-09, 2016-10-16", True),
        ("from 1995-2016", "1995", False),
        ("since 2013-02-28", "2013-02-28", True),
        ("since 2013-02-28", "2013-02-27", False),
        ("between 0.2-0.5", "0.2", False),
        ("350x faster", "1", False),
        ("in 350ms", "1", False),
        ("1.5M lines", "1,469,307", True),
        ("2.5 percentage points", "0.0251", True),
        ("the 100th of MovieLens 100K", "", True),
        ("twelve, 99, A4.2, B8.1-8.3, ML-100K, version 3.11.2", "", True),
        ("`0.375`, $x = 0.375$, $$\n0.375\n$$ and [0](a_0.375.html)", "", True),
        ("```\n0.375\n```\n", "", True),
        ("Known is 0.375 [@tiny2020].", "", True),
        ("Known is 0.375. It is [@tiny2020].", "", False),
        ("| a | 0.375 | [@tiny2020] |\n| b | 0.375 | |", "", False),
        ("- 0.375 [@tiny2020]\n- 0.375", "", False),
        ("0.2 in one line\n# 0.3", "0.2", False),
        ("an F of 1.0", "Text(0.5, 1.0, 'x')", False),
        ("800 wide", "<Figure size 800x450 with 1 Axes>", False),
    ],
)
def test_a_number_in_prose_needs_its_output(text, output, stands):
    run = new_code_cell("f()", outputs=[new_output("execute_result", data={"text/plain": output})])
    assert (prose.unbacked([new_markdown_cell(text)], prose.shown_texts([run])) == []) is stands


# --- the builder --------------------------------------------------------------------------------------------------


def test_two_builds_are_the_same_bytes_but_for_timings(course):
    for document in course.documents():
        first, again = read_notebook(document.notebook), build(course, document).notebook
        assert check.without_timings(first) == check.without_timings(again)
        assert document.notebook.read_bytes() == (as_text(read_notebook(document.notebook))).encode()
        assert list(check.differences(first, again)) == []
    assert b"\r" not in (course.root / CHAPTER).read_bytes()


@pytest.mark.parametrize(
    ("status", "chapters"),
    [
        ("", []),
        (" M README.md\0", []),
        (f" M {TEXT}\0", ["00"]),
        (f"?? {EXERCISE}\0", ["00"]),
        (" M recsys_course/replay.py\0", ["00"]),
        (None, ["00"]),
    ],
)
def test_what_differs_from_the_last_commit_is_built_again(course, monkeypatch, status, chapters):
    answer = SimpleNamespace(returncode=int(status is None), stdout=(status or "").encode())
    monkeypatch.setattr(check.subprocess, "run", lambda *_, **__: answer)
    assert check.changed_chapters(course) == chapters


def test_a_build_again_notices_a_stale_picture_and_overlooks_a_timing(course):
    (document,) = [d for d in course.documents() if d.kind == "chapter"]
    for number, noticed in ((2, True), (3, False)):  # the cell with the picture, and the one that is tagged timing
        stale, fresh = read_notebook(document.notebook), read_notebook(document.notebook)
        assert ("image/png" in str(code(stale, number).outputs)) is noticed
        code(stale, number).outputs = [picture(b"another")]
        assert bool(list(check.differences(stale, fresh))) is noticed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (in_text(TEXT, "total = sum", "1 / 0\ntotal = sum"), r"00_tiny, cell 2 fails:[^\x1b]*ZeroDivisionError"),
        (
            in_text(EXERCISES, "numbers =", "import sys\nprint(1, file=sys.stderr)\nnumbers ="),
            "cell 1 writes to stderr",
        ),
        (in_text(EXERCISES, "numbers =", "import warnings\nwarnings.warn('x')\nnumbers ="), "cell 1 writes to stderr"),
        (in_text(EXERCISES, "numbers =", "import sys\nprint(sys.prefix)\nnumbers ="), "cell 1 shows an absolute path"),
        (in_text(TEXT, "total = sum", "import time\ntime.sleep(60)\ntotal = sum"), "cell 2 takes more than 4 s"),
        (in_text(TEXT, "needs:movielens", "needs:ml_100k"), "ml_100k is not here"),
        (in_text(TEXT, "needs:movielens", "neds:movielens"), "none of timing, needs:NAME"),
        (in_text(TEXT, 'tags=["timing"]', 'tag=["timing"]'), "its marker says 'tag'"),
        (in_text(EXERCISES, 'answer="add"', 'anwser="add"'), "its marker says 'anwser'"),
        (in_text(EXERCISES, " points=2", ""), "a check earns points"),
        (in_text(EXERCISES, '# %% check="add" points=2', "# %%"), "each answer needs one check"),
        (in_text(EXERCISES, 'check="add"', 'check="own"'), "checks 'own', and the answer before it"),
        (in_text(EXERCISES, "    ### BEGIN SOLUTION\n", ""), "mark what is to be cut out"),
        (in_text(EXERCISES, '# %% answer="own"', "# %%"), "holds a solution"),
        (in_text(REFERENCES, "tiny2020:", "tiny2020: ["), "not valid YAML"),
    ],
)
def test_a_build_refuses_and_leaves_the_old_notebook(course, monkeypatch, spoil, message):
    from recsys_course import data

    monkeypatch.setattr(data, "available", lambda name: name != "ml_100k")
    before = {path: path.read_bytes() for path in course.root.rglob("*.ipynb")}
    spoil(course.root)
    spoilt = [
        d
        for d in course.documents()
        if d.source.read_bytes() != (TINY / d.source.relative_to(course.root)).read_bytes()
    ]
    with pytest.raises(CourseError) as error:
        for document in spoilt or course.documents():
            build(course, document, cell_seconds=4)
    assert re.search(message, str(error.value))
    assert before == {path: path.read_bytes() for path in course.root.rglob("*.ipynb")}


@pytest.mark.parametrize("folder", ["/srv/course/.venv", "/check", "/scratch2/ann"])
def test_a_place_on_this_machine_is_known_wherever_it_is(monkeypatch, folder):
    monkeypatch.setattr(sys, "prefix", folder)
    assert any(folder in place for place in execute.places(f"read {folder}/lib"))
    assert any(folder in place for place in execute.places(folder))
    assert not execute.places(f"and{folder}/lib, {folder}ed")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write(tmp_path / "a.ipynb", "old\n")
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "a.ipynb", "new \ud800\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ipynb"]
    assert (tmp_path / "a.ipynb").read_bytes() == b"old\n"


def test_a_kernel_sees_none_of_its_users_settings(monkeypatch):
    for name in execute.FOLDERS:
        monkeypatch.setenv(name, "of-the-user")
    with execute.isolated():
        assert {os.environ[name] for name in execute.ONE_THREAD} == {"1"}
        for name in execute.FOLDERS:
            assert list(Path(os.environ[name]).iterdir()) == []
    assert {os.environ[name] for name in execute.FOLDERS} == {"of-the-user"}


def test_kernels_and_tests_are_held_to_one_thread_by_the_same_names():
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    assert bootstrap.ONE_THREAD == execute.ONE_THREAD


# --- exercises ----------------------------------------------------------------------------------------------------


def test_the_tiny_exercises_are_proved():
    assert prove(read_cells(TINY / EXERCISES)) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("assert add(mine) == 10", "assert add([4, 6]) == 10", "the stub passes the check"),
        ("return sum(numbers)", "return sum(numbers) + 1", "the check on the solution fails"),
        ("return sum(numbers)", "return total(numbers)", "the check on the solution fails with NameError"),
        ("### BEGIN SOLUTION\nmine = [4, 6]\n", "mine = [4, 6]\n### BEGIN SOLUTION\nmine = mine\n", "the stub passes"),
        ("mine = [4, 5]", "mine = [5, 5]", "the wrong answer 1 passes the check"),
        ("mine = [4, 5]", "mine = nothing", "the wrong answer 1 fails by itself"),
        (', f"they add up to {add(mine)}"', "", "not by an assert with a message"),
        ('# %% wrong="own"\nmine = [4, 5]\n', "", "give it a wrong answer, wrong='own'"),
        ('wrong="own"', 'wrong="one"', "a wrong answer for 'one', which is no exercise"),
        ("numbers = [1, 2, 3]", "numbers = [1, 2, 3]\n1 / 0", "a cell fails with ZeroDivisionError"),
    ],
)
def test_an_exercise_whose_check_cannot_tell_is_noticed(course, old, new, message):
    in_text(EXERCISES, old, new)(course.root)
    assert message in "\n".join(prove(read_cells(course.root / EXERCISES)))


def test_proving_is_a_command_with_an_exit_status(course):
    command = [sys.executable, "-m", "authoring", "prove", "--root", str(course.root)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    in_text(EXERCISES, "mine = [4, 5]", "mine = [5, 5]")(course.root)
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 1


def test_the_students_version_is_the_solution_but_for_the_blanks(built):
    solution, student = read_notebook(built / SOLUTION), read_notebook(built / EXERCISE)
    assert differences(solution, student) == []
    assert code(student, 1).source == "def add(numbers):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert not code(student, 2).metadata.editable and "wrong" not in json.dumps(student)
    for change in (
        lambda nb: code(nb, 2).update(source="assert True"),
        lambda nb: code(nb, 1).update(source=code(solution, 1).source),
        lambda nb: nb.cells.pop(),
        lambda nb: code(nb).update(outputs=[prints("6")]),
        lambda nb: nb.cells[0].update(source="another text"),
    ):
        spoilt = read_notebook(built / EXERCISE)
        change(spoilt)
        assert differences(solution, spoilt) != []


# --- nbval, as it is set up here ----------------------------------------------------------------------------------

# What a cell says, what is stored below it, its tags, and whether a run of it passes when compared, and in lax mode.
SAME, CHANGED = [prints("1\n")], [prints("2\n")]
table = "from IPython.display import display\ndisplay({'text/plain': 'a', 'text/html': '<b>b</b>'}, raw=True)"
CELLS = {
    "a result that stands": ("print(1)", SAME, [], True, True),
    "a result that has changed": ("print(1)", CHANGED, [], False, True),
    "a result that is gone": ("x = 1", SAME, [], False, True),
    "a result that nobody stored": ("print(1)", [], [], False, True),
    "an assert that fails": ("assert 1 == 2", [], [], False, False),
    "a word on stderr": ("import sys\nprint(1)\nprint('x', file=sys.stderr)", SAME, [], False, False),
    "a timing that has changed": ("print(1)", CHANGED, ["timing"], True, True),
    "a timing with a word on stderr": ("print(1)\nprint('x', file=sys.stderr)", SAME, ["timing"], False, False),
    "a timing that fails": ("1 / 0", [], ["timing"], False, False),
    "data that are absent": ("print(1)", CHANGED, ["needs:ml_100k"], True, True),
    "data that are here": ("print(1)", CHANGED, ["needs:movielens"], False, True),
    "a cell that was never run": ("print(1)", None, [], False, False),
    "a mark with a reason": ("# NBVAL_IGNORE_OUTPUT: it varies\nprint(1)", CHANGED, [], False, True),
    "a mark that skips": ("# NBVAL_SKIP\nassert False", [], [], False, False),
    "an exception that never comes": ("x = 1", [], ["raises-exception"], False, False),
    "a table whose HTML has changed": (
        table,
        [new_output("display_data", data={"text/plain": "a", "text/html": "<b>c</b>"})],
        [],
        False,
        True,
    ),
    # Nobody compares these here: building again does, byte for byte.
    "a picture that has changed": (
        "display({'image/png': 'AAAA'}, raw=True)",
        [new_output("display_data", data={"image/png": "BBBB"})],
        [],
        True,
        True,
    ),
}


@pytest.fixture(scope="module", params=["compared", "lax"])
def verdicts(request, tmp_path_factory):
    """Run pytest on a notebook of those cells; and what it says of each cell."""
    folder = tmp_path_factory.mktemp("nbval")
    cells = []
    for number, (source, outputs, tags, _, _) in enumerate(CELLS.values(), 1):
        cell = new_code_cell(source, outputs=outputs or [], execution_count=None if outputs is None else number)
        cell.metadata.tags = tags
        cells.append(cell)
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "of-somebody-else", "display_name": "?", "language": "python"}
    write(folder / "a.ipynb", nbformat.writes(notebook))
    if request.param == "compared":
        slow = new_notebook(cells=[new_code_cell("import time\ntime.sleep(50)", execution_count=1)])
        write(folder / "slow.ipynb", nbformat.writes(slow))
    write(folder / "empty.ini", "[pytest]\n")
    lax = ["--course-lax"] if request.param == "lax" else []
    command = [
        "-m",
        "pytest",
        "-p",
        "authoring.nbval_plugin",
        "-p",
        "no:cacheprovider",
        "-c",
        str(folder / "empty.ini"),
        *lax,
    ]
    command += [
        "--rootdir",
        str(folder),
        "--nbval-cell-timeout",
        "2",
        "--junitxml",
        str(folder / "out.xml"),
        str(folder),
    ]
    # An empty cache and an empty mirror: ML-100K is not here, whatever this machine has.
    environment = {**os.environ, "RECSYS_COURSE_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    environment["RECSYS_COURSE_MIRROR"] = str(folder / "mirror")
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    found = {}
    for case in ET.parse(folder / "out.xml").iter("testcase"):
        failed = case.find("failure")
        found[case.get("classname"), case.get("name")] = "" if failed is None else failed.text or "failed"
        assert case.find("skipped") is None
    return request.param, found


def test_nbval_sees_what_it_should(verdicts):
    mode, found = verdicts
    seen = {name: not found["a.ipynb", f"Cell {number}"] for number, name in enumerate(CELLS)}
    assert seen == {name: cell[3 if mode == "compared" else 4] for name, cell in CELLS.items()}


def test_nbval_does_not_wait_for_ever(verdicts):
    mode, found = verdicts
    if mode == "compared":
        assert "Timeout of 2 seconds" in found["slow.ipynb", "Cell 0"]


def options(**changes):
    default = {
        "course_lax": False,
        "nbval_cell_timeout": 2000,
        "nbval_sanitize_with": None,
        "sanitize_with": None,
        "numprocesses": None,
        "dist": "no",
    }
    config = SimpleNamespace(option=SimpleNamespace(**(default | changes)), cleanups=[])
    config.add_cleanup = config.cleanups.append
    return config


def test_nbval_is_set_up_to_compare():
    config = options()
    nbval_plugin.pytest_configure(config)
    for cleanup in config.cleanups:
        cleanup()
    assert config.option.nbval and not config.option.nbval_lax and config.option.nbval_current_env
    assert config.option.nbval_cell_timeout == nbval_plugin.CELL_SECONDS <= 120


def test_a_notebook_that_takes_for_ever_fails():
    item = object.__new__(IPyNbCell)
    item.options, item.cell_num, item.test_outputs = {"skip": False, "check_exception": False}, 0, []
    item.cell = new_code_cell("1", execution_count=1)
    notebook = SimpleNamespace(stash=pytest.Stash())
    item.getparent = lambda kind: notebook
    for passed, fails in ((0, False), (nbval_plugin.NOTEBOOK_SECONDS + 1, True)):
        notebook.stash[nbval_plugin.BEGAN] = time.monotonic() - passed
        step = nbval_plugin.pytest_runtest_call(item)
        next(step)
        with pytest.raises(NbCellError if fails else StopIteration):
            step.send(None)


@pytest.mark.parametrize(
    "changes",
    [
        {"nbval_sanitize_with": "file.cfg"},
        {"sanitize_with": "file.cfg"},
        {"numprocesses": 2, "dist": "load"},
        {"numprocesses": 2, "dist": "worksteal"},
    ],
)
def test_a_slip_on_the_command_line_is_refused(changes):
    with pytest.raises(pytest.UsageError):
        nbval_plugin.pytest_configure(options(**changes))
