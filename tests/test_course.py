"""The course keeps its own rules: each committed notebook, the course as a whole, and the exercises.

What the rules are is in ``authoring/rules.py``; that each of them bites is shown in ``test_gate.py``. The notebooks
themselves are run, and their outputs compared, by nbval: see ``authoring/nbval_plugin.py``.
"""

import subprocess
import sys

import pytest

from authoring.course import ROOT, Course
from authoring.exercises import differences
from authoring.rules import Subject, broken, broken_course
from authoring.sources import read_notebook

COURSE = Course()
EXERCISES = [document.number for document in COURSE.documents() if document.kind == "solution"]


@pytest.mark.parametrize("document", COURSE.documents(), ids=lambda document: document.key)
def test_a_notebook_keeps_every_rule(document):
    problems = broken(Subject.read(COURSE, document))
    assert not problems, "\n".join(problems)


def test_the_course_fits_together():
    problems = broken_course(COURSE)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("number", EXERCISES)
def test_a_students_version_is_the_solution_but_for_the_blanks(number):
    files = {document.kind: document.notebook for document in COURSE.documents([number])}
    assert differences(read_notebook(files["solution"]), read_notebook(files["exercise"])) == []


@pytest.mark.parametrize("number", EXERCISES)
def test_each_check_tells_right_from_wrong(number):
    """The solution passes, the stub and every wrong answer fail: in a process of its own, since it runs their code."""
    command = [sys.executable, "-m", "authoring", "prove", number]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr


def test_pytest_runs_every_notebook_that_is_committed(pytestconfig):
    """Plain pytest collects all of them, whole, but the student versions, which cannot pass."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "chapters"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    wanted = {d.notebook.relative_to(ROOT).as_posix() for d in COURSE.documents() if d.kind != "exercise"}
    assert collected == wanted, done.stdout + done.stderr
    assert "chapters" in pytestconfig.getini("testpaths")
