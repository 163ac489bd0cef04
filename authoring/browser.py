"""Open notebooks in JupyterLab as a learner would, and run them: `python -m authoring browser [NN ...]`.

In headless Chromium, on a working copy in a temporary folder, with the outputs cleared first. JupyterLab's own menu
runs all cells. Then the notebook that it saved and the page that it shows are held to what a run gave when the notebook
was built: every code cell run in order, no error, as many pictures as stored, each of them drawn, every formula set.

With --screens FOLDER the page is saved as pictures, one for each window of it, so that somebody can look.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authoring.course import Course, CourseError, Document
from authoring.execute import environment
from authoring.sources import read_notebook

WINDOW = (1280, 1000)
OPEN_SECONDS = 60  # for the page to open, with a kernel
SECONDS = 180  # for all cells


@dataclass
class Seen:
    """What was found in the browser.

    Attributes
    ----------
    pictures, formulas, cells : int
        Pictures that are drawn on the page, formulas that are set, code cells that were run.
    problems : list of str
    screens : list of Path
        Pictures of the page, from top to bottom.
    """

    pictures: int = 0
    formulas: int = 0
    cells: int = 0
    problems: list[str] = field(default_factory=list)
    screens: list[Path] = field(default_factory=list)


def missing() -> str:
    """What the browser test lacks on this machine, or an empty string."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium and driver:
        return ""
    return "Chromium and its driver are not installed: apt-get install chromium chromium-driver"


@contextlib.contextmanager
def jupyterlab(work: Path) -> Iterator[tuple[str, str]]:
    """A server on this machine alone that shows ``work``; its address and token."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        token = secrets.token_hex(16)
        settings = work / ".jupyter" / "lab" / "user-settings"  # as recsys-course lab has them
        own = {**environment(Path(folder)), "JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTER_TOKEN": token}
        own["JUPYTERLAB_WORKSPACES_DIR"] = str(Path(folder) / "workspaces")
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={work}"]
        command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        log = Path(folder) / "log"
        with log.open("w", encoding="utf-8") as file:
            server = subprocess.Popen(command, env={**os.environ, **own}, stdout=file, stderr=file)
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:
                try:
                    ask(address, token, "api/status")
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        said = log.read_text(encoding="utf-8")[-2000:]
                        raise CourseError(f"JupyterLab does not start:\n{said}") from None
                    time.sleep(0.2)
            yield address, token
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def ask(address: str, token: str, path: str) -> Any:
    request = urllib.request.Request(f"{address}/{path}", headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A window without a screen."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = (
            shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
        )
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder}",
            f"--window-size={WINDOW[0]},{WINDOW[1]}",
        ):
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def working_copy(course: Course, folder: Path) -> None:
    """The learner's copy of the course in ``folder``, with no output in it, so that a stale one cannot pass."""
    from recsys_course import workspace

    workspace.ensure(course.root, folder)
    for path in folder.rglob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
        path.write_text(json.dumps(notebook), encoding="utf-8")


def look(driver, address: str, token: str, document: Document, screens: Path | None = None) -> Seen:
    """Open a notebook, run all of it, save it, and say what is to be seen."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    seen = Seen()
    read_notebook(document.notebook)  # says so if it was not built
    path = document.key + ".ipynb"
    driver.get(f"{address}/lab/tree/{path}?token={token}&reset")
    wait = WebDriverWait(driver, OPEN_SECONDS)
    wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-Cell"), "the notebook does not open")
    # The page's own indicator says idle too early.
    wait.until(
        lambda d: [k["execution_state"] for k in ask(address, token, "api/kernels")][-1:] == ["idle"], "no kernel"
    )
    wait.until(
        lambda d: _click(d, "//div[contains(@class,'lm-MenuBar-itemLabel')][text()='Run']"), "a dialog is in the way"
    )
    wait.until(lambda d: _click(d, "//li[@data-command='runmenu:run-all']"), "no menu")
    deadline = time.monotonic() + SECONDS
    while True:
        time.sleep(1)
        driver.find_element(By.TAG_NAME, "body").send_keys(Keys.CONTROL, "s")
        try:
            saved = ask(address, token, f"api/contents/{path}?content=1")["content"]
        except urllib.error.HTTPError:  # asked for while it was being written: 400 or 500, by what was met
            if time.monotonic() > deadline:
                raise
            continue
        code = [cell for cell in saved["cells"] if cell["cell_type"] == "code"]
        failed = any(o["output_type"] == "error" for cell in code for o in cell["outputs"])
        done = all(cell["execution_count"] for cell in code)
        if done or failed:
            break
        if time.monotonic() > deadline:
            seen.problems.append(
                f"after {SECONDS} s only {sum(bool(c['execution_count']) for c in code)} cells were run"
            )
            break
    time.sleep(1)  # for the last picture to be drawn
    _hold(seen, driver, code, document)
    if screens is not None:
        seen.screens = photograph(driver, screens, document.key.replace("/", "_"))
    return seen


def _click(driver, xpath: str) -> bool:
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By

    try:
        driver.find_element(By.XPATH, xpath).click()
    except WebDriverException:
        return False  # not there yet, or something lies above it
    return True


def _hold(seen: Seen, driver, code: list[dict], document: Document) -> None:
    """Compare what the page shows with what the build stored."""
    counts = [cell["execution_count"] for cell in code]
    seen.cells = sum(bool(count) for count in counts)
    if document.kind != "exercise" and counts != list(range(1, len(counts) + 1)):
        seen.problems.append(f"the cells were not run one after the other: {counts}")
    for number, cell in enumerate(code):
        for output in cell["outputs"]:
            if output["output_type"] == "error" and document.kind != "exercise":
                seen.problems.append(f"code cell {number} fails: {output['ename']}: {output['evalue']}")
            if output["output_type"] == "stream" and output["name"] == "stderr":
                seen.problems.append(f"code cell {number} writes to stderr: {''.join(output['text'])[:200]}")
    widths = driver.execute_script(
        "return [...document.querySelectorAll('.jp-OutputArea-output img')].map(i => i.complete ? i.naturalWidth : 0)"
    )
    seen.pictures = sum(width > 0 for width in widths)
    stored = [o for cell in read_notebook(document.notebook).cells for o in cell.get("outputs", [])]
    wanted = sum("image/png" in output.get("data", {}) for output in stored)
    if seen.pictures != wanted or len(widths) != wanted:
        seen.problems.append(f"{wanted} pictures are stored, and {seen.pictures} are seen")
    shown = driver.execute_script(
        "return [document.querySelectorAll('mjx-container').length, document.querySelectorAll('mjx-merror').length,"
        " [...document.querySelectorAll('.jp-MarkdownOutput')].filter(m => m.innerText.match(/\\$\\S/)).length]"
    )
    seen.formulas, unset, raw = shown
    if unset or raw:
        seen.problems.append(f"{unset} formulas are wrong and {raw} texts show a bare $")
    broken = driver.execute_script(
        "return [...document.querySelectorAll('.jp-MarkdownOutput img')].filter(i => !i.naturalWidth).map(i => i.src)"
    )
    seen.problems += [f"a picture of the text is not there: {source[:80]}" for source in broken]


def photograph(driver, folder: Path, name: str) -> list[Path]:
    """Save the notebook, window by window, from top to bottom."""
    folder.mkdir(parents=True, exist_ok=True)
    scroller = (
        "[...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) *')]"
        ".filter(e => e.scrollHeight > e.clientHeight + 20 && e.querySelector('.jp-Cell'))"
        ".sort((a, b) => b.scrollHeight - a.scrollHeight)[0]"
    )
    height, step = driver.execute_script(f"const e = {scroller}; return e ? [e.scrollHeight, e.clientHeight] : [1, 1]")
    pictures = []
    tops = [*range(0, max(0, height - step), max(1, step - 40)), max(0, height - step)]
    for number, top in enumerate(tops, 1):
        driver.execute_script(f"const e = {scroller}; if (e) e.scrollTop = {top}")
        time.sleep(0.3)
        pictures.append(folder / f"{name}_{number:02d}.png")
        driver.save_screenshot(str(pictures[-1]))
    return pictures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m authoring browser", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", metavar="NN", help="chapters to open; all by default")
    parser.add_argument("--screens", type=Path, metavar="FOLDER", help="save pictures of each page in this folder")
    parser.add_argument("--exercises", action="store_true", help="open their exercises and solutions too")
    options = parser.parse_args(arguments)
    if missing():
        print(f"error: {missing()}", file=sys.stderr)
        return 2
    course, failed = Course(), False
    try:
        documents = course.documents(options.numbers or None)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            work = Path(folder).resolve()
            working_copy(course, work)
            with jupyterlab(work) as (address, token):
                for document in documents:
                    if document.kind != "chapter" and not options.exercises:
                        continue
                    with chromium() as driver:
                        seen = look(driver, address, token, document, options.screens)
                    failed |= bool(seen.problems)
                    print(
                        f"{document.key}: {seen.cells} cells run, {seen.pictures} pictures and {seen.formulas} formulas"
                        f" seen; {'; '.join(seen.problems) or 'nothing to mend'}"
                    )
                    for screen in seen.screens:
                        print(f"  {screen}")
    except CourseError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
