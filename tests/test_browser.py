"""Each chapter opens in JupyterLab and runs there, seen in Chromium: `make browser`, or `pytest -m browser`.

A test for authors: it is left out of plain `pytest`, since it needs a browser on the machine. The pictures of the pages
are kept in pytest's temporary folder; `python -m authoring browser NN --screens FOLDER` puts them where you want them.
"""

import shutil

import pytest
from nbformat import writes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from authoring.browser import chromium, jupyterlab, look, missing, working_copy
from authoring.course import ROOT, Course, write
from authoring.execute import METADATA

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    # Selenium and its driver leave sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CHAPTERS = [document for document in Course().documents() if document.kind != "exercise"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    working_copy(Course(), work)
    with jupyterlab(work) as (address, token):
        yield address, token


@pytest.mark.parametrize("document", CHAPTERS, ids=lambda document: document.key)
def test_a_chapter_runs_in_the_browser(server, tmp_path, document):
    with chromium() as driver:
        seen = look(driver, *server, document, tmp_path / "screens")
    assert seen.problems == []
    assert seen.cells and seen.screens


def test_the_browser_sees_what_is_broken(tmp_path):
    """A cell that fails, a picture that was stored and is not drawn, a formula that cannot be set, a word on stderr."""
    root = shutil.copytree(ROOT / "tests" / "canaries" / "course", tmp_path / "course")
    course = Course(root)
    document = course.documents()[0]
    picture = new_output("display_data", data={"image/png": "AAAA"})
    cells = [
        new_markdown_cell("# A formula: $\\frac{1}$ and ![gone](gone.png)"),
        new_code_cell("import sys\nprint('x', file=sys.stderr)", outputs=[picture], execution_count=1),
        new_code_cell("1 / 0", execution_count=2),
    ]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": METADATA["kernelspec"]})  # another opens a dialog
    write(document.notebook, writes(notebook))
    working_copy(course, tmp_path / "work")
    with jupyterlab(tmp_path / "work") as (address, token), chromium() as driver:
        seen = look(driver, address, token, document)
    problems = "\n".join(seen.problems)
    for message in (
        "fails: ZeroDivisionError",
        "1 pictures are stored, and 0 are seen",
        "writes to stderr",
        "1 formulas are",
    ):
        assert message in problems
    assert "a picture of the text is not there" in problems
