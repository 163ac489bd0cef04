"""How pytest runs the notebooks of the course: every cell, and every text that a cell stores, but for timings.

Loaded by the ``conftest.py`` at the top, so that plain ``pytest`` does it. nbval does the work; this sets it up,
once, in code, and takes away what could weaken it by a slip on a command line. ``--course-lax`` runs every cell and
every assert and compares no stored text: for systems on which the notebooks were not built.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from authoring.course import use_mirror_beside
from authoring.execute import isolated
from authoring.sources import tags

CELL_SECONDS = 120
NOTEBOOK_SECONDS = 300  # twice and more what a build allows: a slow runner is no mistake, a cell that hangs is one
SEPARATE = ("loadfile", "loadscope")


def pytest_addoption(parser):
    group = parser.getgroup("course")
    group.addoption(
        "--course-lax",
        action="store_true",
        help="run every cell of the notebooks with its asserts, without comparing what it prints with what is stored",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    option = config.option
    option.nbval, option.nbval_lax = not option.course_lax, option.course_lax
    # The kernel of this Python, whatever a notebook names; that it names python3 is checked elsewhere.
    option.nbval_current_env = True
    if option.nbval_cell_timeout == 2000:  # nbval's default
        option.nbval_cell_timeout = CELL_SECONDS
    if option.nbval_sanitize_with or option.sanitize_with:
        raise pytest.UsageError("stored outputs are compared as they are: tag what cannot be the same with timing")
    if getattr(option, "numprocesses", None) and option.dist not in SEPARATE:
        raise pytest.UsageError("the cells of a notebook belong together: add --dist loadfile to -n")
    use_mirror_beside()
    around = isolated()
    around.__enter__()
    config.add_cleanup(lambda: around.__exit__(None, None, None))


def pytest_ignore_collect(collection_path: Path, config):
    """Sources and canaries are read and run by tests; student versions must fail; the working copy is the learner's."""
    root = config.rootpath
    apart = ("chapters/source", "chapters/exercises", "work", "tests/canaries")
    if any(collection_path == root / name for name in apart) or collection_path.name == ".ipynb_checkpoints":
        return True
    return None


def pytest_itemcollected(item):
    """Compare no output that is tagged timing, or that needs a data set which is not here. The cell still runs."""
    if isinstance(item, IPyNbCell):
        from recsys_course import data

        for tag in tags(item.cell):
            if tag == "timing" or (tag.startswith("needs:") and not data.available(tag.removeprefix("needs:"))):
                item.options["check"] = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """See what nbval overlooks: stderr where it does not compare, cells never run, notebooks that take an hour."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    notebook = item.getparent(IPyNbFile)
    began = notebook.stash.setdefault(BEGAN, time.monotonic())
    if item.options["skip"] or item.options["check_exception"]:
        raise NbCellError(item.cell_num, "A tag or a comment switches this cell off.", item.cell.source)
    result = yield
    if item.cell.execution_count is None:
        raise NbCellError(item.cell_num, "The committed cell was never run: build the notebook.", item.cell.source)
    for output in item.test_outputs or []:
        if output.output_type == "stream" and output.name == "stderr":
            raise NbCellError(item.cell_num, "Cell writes to stderr", item.cell.source, output.text)
    if time.monotonic() - began > NOTEBOOK_SECONDS:
        raise NbCellError(item.cell_num, f"The notebook takes more than {NOTEBOOK_SECONDS} s", item.cell.source)
    return result


BEGAN = pytest.StashKey[float]()
