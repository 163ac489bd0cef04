"""The rules that every committed notebook keeps, each a small function that returns what is wrong, one line a
finding.

nbval runs the cells and compares what they print; it can be fooled, and each rule here closes one of the ways. A cell
that was never run is compared with nothing. A mark with a word too much, or a tag of Jupyter's own, switches a
comparison off. A notebook that is not what its source says was edited by hand, or not built. And some promises of the
course are about its text: the shape of a chapter, numbers that a cell prints, links and citations that lead
somewhere.
"""

from __future__ import annotations

import ast
import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode

from authoring import prose
from authoring.build import unrun
from authoring.course import Course, CourseError, Document
from authoring.execute import METADATA, output_problems, places
from authoring.references import ERRATUM, WHERE, check_references, citations, load_errata, load_references
from authoring.sources import TAGS, read_cells, read_notebook, tags

BUDGET_BYTES = 2_000_000  # a notebook that opens fast, and whose history stays small
CELLS = (15, 45)
CELL_METADATA = {"tags", "nbgrader"}
STUDENT_METADATA = CELL_METADATA | {"deletable", "editable"}


@dataclass
class Subject:
    """One notebook under examination: as it is committed, and as its source has it."""

    course: Course
    document: Document
    notebook: NotebookNode

    @classmethod
    def read(cls, course: Course, document: Document) -> Subject:
        return cls(course, document, read_notebook(document.notebook))

    @cached_property
    def wanted(self) -> NotebookNode:
        return unrun(self.course, self.document)

    @cached_property
    def source_cells(self) -> list[NotebookNode]:
        """The cells as the author wrote them: citations are still keys."""
        return [cell for cell in read_cells(self.document.source) if "wrong" not in cell.metadata]

    @property
    def cells(self) -> list[NotebookNode]:
        return self.notebook.cells

    @property
    def code(self) -> list[tuple[int, NotebookNode]]:
        return [(number, cell) for number, cell in enumerate(self.cells) if cell.cell_type == "code"]

    @property
    def run(self) -> bool:
        return self.document.kind != "exercise"

    @cached_property
    def text(self) -> str:
        return "\n\n".join(cell.source for cell in self.source_cells if cell.cell_type == "markdown")


Rule = Callable[[Subject], list[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


def broken(subject: Subject) -> list[str]:
    """Everything that is wrong with one notebook."""
    found = [
        f"{subject.document.key}: {problem} [{name}]" for name, check in RULES.items() for problem in check(subject)
    ]
    return sorted(set(found), key=found.index)


# --- the notebook and its source ----------------------------------------------------------------------------------


@rule
def agrees_with_its_source(subject: Subject) -> list[str]:
    """Cell by cell: kind, text, tags, order, id."""
    have, want = subject.cells, subject.wanted.cells
    again = f"make notebooks ONLY={subject.document.number}"
    if len(have) != len(want):
        return [f"{len(have)} cells, and the source has {len(want)}: {again}"]
    problems = []
    for number, (old, new) in enumerate(zip(have, want, strict=True)):
        for what in ("cell_type", "source", "metadata", "id"):
            if old.get(what) != new.get(what):
                problems.append(f"cell {number} has another {what} than its source: {again}")
                break
    return problems


@rule
def was_run_from_top_to_bottom(subject: Subject) -> list[str]:
    """nbval compares nothing in a cell that was not run, and says so to nobody."""
    if not subject.run:
        return [
            f"cell {number} of a student's version has been run"
            for number, cell in subject.code
            if cell.outputs or cell.execution_count is not None
        ]
    counts = [cell.execution_count for _, cell in subject.code]
    if counts != list(range(1, len(counts) + 1)):
        return [f"was not run from top to bottom in one go: its execution counts are {counts}"]
    return []


@rule
def outputs_are_clean(subject: Subject) -> list[str]:
    """No error, nothing on stderr, no place or name of a machine, nothing that differs on every run."""
    return output_problems(subject.notebook)


@rule
def metadata_are_ours(subject: Subject) -> list[str]:
    """Another kernel's name opens a dialog at the learner's; times and widgets differ on every run."""
    problems = []
    if subject.notebook.metadata != METADATA:
        problems.append(f"has metadata {dict(subject.notebook.metadata)}, and a build writes {METADATA}")
    if (subject.notebook.nbformat, subject.notebook.nbformat_minor) != (4, 5):
        problems.append("is not of format 4.5")
    allowed = CELL_METADATA if subject.run else STUDENT_METADATA
    for number, cell in enumerate(subject.cells):
        odd = sorted(cell.metadata.keys() - allowed)
        if odd:
            problems.append(f"cell {number} has metadata {odd}")
    try:
        nbformat.validate(subject.notebook)
    except nbformat.ValidationError as problem:
        problems.append(f"is no valid notebook: {problem.message[:100]}")
    return problems


@rule
def no_mark_switches_a_comparison_off(subject: Subject) -> list[str]:
    """All text is compared but for cells tagged timing. A call meant to fail is caught, and its error printed."""
    problems = []
    for number, cell in enumerate(subject.cells):
        for tag in tags(cell):
            if not TAGS.fullmatch(tag):
                problems.append(f"cell {number} has the tag {tag!r}; known are timing, needs:NAME, erratum:ID")
        if cell.cell_type == "code" and re.search(r"#.*(NBVAL_|PYTEST_VALIDATE)", cell.source):
            problems.append(f"cell {number} has a mark for nbval; use the tag timing, or print what can be compared")
    return problems


CLOCKS = re.compile(
    r"\b(perf_counter|process_time|monotonic|time\.time|timeit|cpu_seconds|datetime\.now|Timestamp\.now)\b"
)


@rule
def clocks_stay_in_timing_cells(subject: Subject) -> list[str]:
    """A time that a compared cell prints fails the next run; a timing cell that has no clock hides a result."""
    problems = []
    for number, cell in subject.code:
        has_clock = bool(CLOCKS.search(cell.source)) or "timing=True" in cell.source
        if has_clock and "timing" not in tags(cell) and cell.outputs:
            problems.append(
                f"cell {number} reads a clock and shows something: tag it timing, or show in a cell of its own"
            )
    return problems


@rule
def code_is_plain_python(subject: Subject) -> list[str]:
    """No magics, no shell, no installing, no meddling with the path: the course is one installed package."""
    problems = []
    for number, cell in subject.code:
        if re.search(r"^\s*[!%]", cell.source, re.M) or "get_ipython" in cell.source:
            problems.append(f"cell {number} uses a magic or the shell")
        if cell.source.rstrip().endswith(";"):
            problems.append(
                f"cell {number} ends with a semicolon, which hides nothing from nbval: end it with plt.show()"
            )
        if "sys.path" in cell.source:
            problems.append(f"cell {number} changes sys.path: what it needs belongs into recsys_course")
        try:
            tree = ast.parse(cell.source)
        except SyntaxError as problem:
            problems.append(f"cell {number} is not Python: {problem.msg} in its line {problem.lineno}")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant | ast.Tuple):
                problems.append(f"cell {number} asserts a constant, which cannot fail")
        for place in places(cell.source):
            problems.append(f"cell {number} names {place}")
    return problems


@rule
def is_small(subject: Subject) -> list[str]:
    size = len(nbformat.writes(subject.notebook).encode())
    return [f"is {size / 1e6:.1f} MB: draw fewer points, or at a lower resolution"] if size > BUDGET_BYTES else []


# --- figures ------------------------------------------------------------------------------------------------------


def pictures(cell: NotebookNode) -> list[bytes]:
    found = []
    for output in cell.get("outputs", []):
        for kind in ("image/png", "image/jpeg"):
            if kind in output.get("data", {}):
                found.append(base64.b64decode(output.data[kind]))
    return found


@rule
def figures_are_seen_and_said(subject: Subject) -> list[str]:
    """A picture is there, is the same on every run, and the text after it says what it shows."""
    problems = []
    for number, cell in subject.code:
        drawn = pictures(cell)
        for picture in drawn:
            if len(picture) < 1000:
                problems.append(f"cell {number} shows an empty picture")
            if b"Software" in picture:
                problems.append(f"cell {number} draws before plot.use_style(): its picture names matplotlib's version")
        for text in (output.get("data", {}).get("text/plain", "") for output in cell.outputs):
            if re.match(r"\[?\(?(Text\(|<matplotlib|<Axes)", text):
                problems.append(f"cell {number} shows {text[:30]!r} beside its figure: end it with plt.show()")
        following = [c.source for c in subject.cells[number + 1 : number + 3] if c.cell_type == "markdown"]
        if drawn and not any(len(re.findall(r"\w+", text)) >= 8 for text in following):
            problems.append(f"cell {number} draws a figure, and no text after it says what it shows")
    return problems


# --- text ---------------------------------------------------------------------------------------------------------


@rule
def numbers_in_prose_are_printed(subject: Subject) -> list[str]:
    """See :mod:`authoring.prose`. The text of exercises may also speak of what their chapter prints."""
    shown = prose.shown_texts(subject.cells)
    if subject.document.kind != "chapter":
        siblings = [d for d in subject.course.documents([subject.document.number]) if d.kind != "exercise"]
        for sibling in siblings:
            if sibling.notebook.exists() and sibling != subject.document:
                shown += prose.shown_texts(read_notebook(sibling.notebook).cells)
    return prose.unbacked(subject.source_cells, shown)


@rule
def no_result_is_typed_in(subject: Subject) -> list[str]:
    return prose.typed_in(subject.source_cells)


LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]*)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$", re.M)


def headings(cells: list[NotebookNode]) -> list[str]:
    """
    >>> headings([nbformat.v4.new_markdown_cell("# 00 A `b`\\n\\ntext")])
    ['00 A `b`']
    """
    return [match[2] for cell in cells if cell.cell_type == "markdown" for match in HEADING.finditer(cell.source)]


@rule
def links_lead_somewhere(subject: Subject) -> list[str]:
    """Files exist, headings exist, pictures have words beside them and are not fetched from elsewhere."""
    problems = []
    folder = subject.document.notebook.parent
    for number, cell in enumerate(subject.cells):
        if cell.cell_type != "markdown":
            continue
        text = prose.NOT_PROSE[1].sub(" ", prose.NOT_PROSE[0].sub(" ", cell.source))
        if re.search(r"<(img|iframe|script|video)\b", text):
            problems.append(f"cell {number} embeds HTML that loads something: use ![words](file)")
        for image, words, target in LINK.findall(text):
            at = f"cell {number} links to {target!r}"
            if image and not words.strip():
                problems.append(f"{at}, a picture without words for those who cannot see it")
            if target.startswith(("http://", "https://")):
                if image:
                    problems.append(f"{at}, a picture from elsewhere, which will be gone one day")
                if not re.match(r"https://[\w.-]+\.[a-z]{2,}(/|$)", target):
                    problems.append(f"{at}: write a full https address")
                continue
            path, _, anchor = target.partition("#")
            file = (folder / unquote(path)).resolve() if path else subject.document.notebook
            if not target or not (file.exists() or _will_be_built(subject.course, file)):
                problems.append(f"{at}, which is not there")
            elif anchor:
                cells = subject.cells if not path else read_notebook(file).cells if file.suffix == ".ipynb" else []
                if unquote(anchor) not in {heading.replace(" ", "-") for heading in headings(cells)}:
                    problems.append(f"{at}, and there is no heading of that name")
    return problems


def _will_be_built(course: Course, file: Path) -> bool:
    return file in {document.notebook.resolve() for document in course.documents()}


@rule
def citations_have_entries(subject: Subject) -> list[str]:
    known = load_references(subject.course)
    return [f"cites [@{key}], which is not in references.yml" for key in citations(subject.text) if key not in known]


CHAPTER = re.compile(r"\b[Cc]hapters?\s+(\d\d[a-z]?)((?:(?:,|\s+and|\s+to|\s+or|\s*[-–])\s*\d\d[a-z]?\b)*)")


def chapters_named(text: str) -> set[str]:
    """
    >>> sorted(chapters_named("Chapter 02, and chapters 03 and 04b; section 05."))
    ['02', '03', '04b']
    """
    return {number for match in CHAPTER.finditer(text) for number in re.findall(r"\d\d[a-z]?", match[0])}


@rule
def chapters_named_exist(subject: Subject) -> list[str]:
    known = subject.course.numbers()
    return [
        f"speaks of chapter {number}, which does not exist"
        for number in sorted(chapters_named(subject.text))
        if number not in known
    ]


# --- the shape of a chapter ---------------------------------------------------------------------------------------

OPENING = ("What you will be able to do.", "What you need.", "Time.", "Sections of the source.")
CLOSING = ("What the source says, what we measured", "Recap", "Three questions", "Read on", "Exercises")


def section(text: str, heading: str) -> str | None:
    """What stands under a heading of the second level, up to the next one."""
    match = re.search(rf"^## {re.escape(heading)}\s*$\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return match[1].strip() if match else None


def objectives(text: str) -> list[str]:
    """The numbered objectives at the top of a chapter.

    >>> objectives("**What you will be able to do.**\\n\\n1. See.\\n2. Say\\n   more.\\n\\n**What you need.** x")
    ['1', '2']
    """
    part = text.partition("What you will be able to do.")[2].partition("**What you need.")[0]
    return re.findall(r"^(\d+)\. ", part, re.M)


@rule
def chapter_has_its_shape(subject: Subject) -> list[str]:
    if subject.document.kind != "chapter":
        return []
    problems, text = [], subject.text
    cells = len(subject.cells)
    if not CELLS[0] <= cells <= CELLS[1]:
        problems.append(f"has {cells} cells, and a chapter has {CELLS[0]} to {CELLS[1]}: one idea a cell, or two parts")
    if not re.match(rf"# {subject.document.number} \S", text):
        problems.append(f"must begin with '# {subject.document.number} ' and its title")
    places = [text.find(f"**{part}**") for part in OPENING]
    problems += [f"says nowhere '**{part}**'" for part, at in zip(OPENING, places, strict=True) if at < 0]
    if min(places) >= 0 and places != sorted(places):
        problems.append(f"its opening has another order than {', '.join(OPENING)}")
    if not re.search(r"\*\*Time\.\*\*[^.]*\b\d+ minutes\b", text):
        problems.append("does not say how many minutes it takes to read: **Time.** 25 minutes to read")
    covered = text.partition("**Sections of the source.**")[2].partition("\n\n")[0]
    if not re.search(r"\b[AB](\d| [a-z])", covered):
        problems.append("does not say which sections of the source it covers, as in A2.4")
    aims = objectives(text)
    if len(aims) < 2 or aims != [str(n) for n in range(1, len(aims) + 1)]:
        problems.append("number its objectives 1, 2, ... under 'What you will be able to do.'")
    at = [text.find(f"\n## {heading}") for heading in CLOSING]
    problems += [f"has no section '## {heading}'" for heading, where in zip(CLOSING, at, strict=True) if where < 0]
    if min(at) >= 0 and at != sorted(at):
        problems.append(f"its closing sections have another order than {', '.join(CLOSING)}")
    recap = section(text, "Recap")
    if recap is not None and len([line for line in recap.splitlines() if line.strip()]) != 5:
        problems.append("its recap has not five lines")
    problems += _questions(section(text, "Three questions"))
    read_on = section(text, "Read on")
    if read_on is not None and not citations(read_on):
        problems.append("'Read on' cites nothing")
    exercises = section(text, "Exercises")
    if exercises is not None and f"exercises/{subject.document.notebook.name}" not in exercises:
        problems.append(f"'Exercises' does not name exercises/{subject.document.notebook.name}")
    if not any(re.search(r"^\s*assert\b", cell.source, re.M) for _, cell in subject.code):
        problems.append("asserts none of its claims")
    return problems


def _questions(text: str | None) -> list[str]:
    if text is None:
        return []
    answers = re.findall(r"<details>\s*<summary>[^<]+</summary>\n\n(.+?)\n\n</details>", text, re.S)
    if len(answers) != 3 or text.count("<details>") != 3 or any(len(answer.split()) < 8 for answer in answers):
        return [
            "its three questions need three folded answers, each <details><summary>Answer</summary>, an empty line, "
            "the answer, an empty line, </details>"
        ]
    return []


@rule
def source_table_is_backed_by_cells(subject: Subject) -> list[str]:
    """Each row of "What the source says, what we measured" ends with the *heading* under which a cell shows it."""
    table = section(subject.text, CLOSING[0])
    if subject.document.kind != "chapter" or table is None:
        return []
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    if not rows:
        return ["'What the source says, what we measured' has no table with rows"]
    backed, current, problems = set(), None, []
    for cell in subject.cells:
        if cell.cell_type == "markdown":
            for match in HEADING.finditer(cell.source):
                current = match[2]
        elif current and (cell.outputs or "assert" in cell.source):
            backed.add(current)
    for row in rows:
        named = re.findall(r"\*([^*|]+)\*\s*\|\s*$", row)
        if not named or named[-1] not in backed:
            problems.append(
                f"a row of the source's table does not end with the *heading* of a section with a cell: {row}"
            )
        if not re.search(r"\|\s*[AB](\d| [a-z])", row):
            problems.append(f"a row of the source's table does not say which section says it: {row}")
    return problems


@rule
def exercises_have_their_shape(subject: Subject) -> list[str]:
    """Each is tied to an objective of its chapter, and every assert of a check says what to look at."""
    if subject.document.kind == "chapter":
        return []
    problems = []
    (chapter,) = [d for d in subject.course.documents([subject.document.number]) if d.kind == "chapter"]
    aims = objectives("\n\n".join(c.source for c in read_cells(chapter.source) if c.cell_type == "markdown"))
    if not re.match(rf"# {subject.document.number} Exercises: \S", subject.text):
        problems.append(f"must begin with '# {subject.document.number} Exercises: ' and the chapter's title")
    if f"(../{chapter.notebook.name})" not in subject.text:
        problems.append(f"does not link to its chapter, ../{chapter.notebook.name}")
    text = ""
    for number, cell in enumerate(subject.cells):
        grading = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "markdown":
            text = cell.source
        elif grading.get("solution"):
            named = re.findall(r"\*Objectives? (\d+)(?: and (\d+))?\.\*", text)
            if not named or not {aim for pair in named for aim in pair if aim} <= set(aims):
                problems.append(f"cell {number}: the text before it says *Objective N.* for none of {', '.join(aims)}")
        elif grading.get("grade"):
            try:
                tree = ast.parse(cell.source)
            except SyntaxError:
                continue  # another rule names it
            asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
            if not asserts:
                problems.append(f"cell {number} checks nothing: it has no assert")
            problems += [f"cell {number}: an assert without a message" for node in asserts if node.msg is None]
    return problems


# --- the course as a whole ----------------------------------------------------------------------------------------


def broken_course(course: Course) -> list[str]:
    """What is wrong between the notebooks: files that are missing or left over, references, errata, docstrings."""
    return [
        *files_fit(course),
        *check_references(course, cited(course)),
        *check_errata(course),
        *docstrings_name_chapters_that_exist(course),
    ]


def files_fit(course: Course) -> list[str]:
    documents = course.documents()
    problems = [
        f"{d.key} has not been built: make notebooks ONLY={d.number}" for d in documents if not d.notebook.exists()
    ]
    known = {document.notebook for document in documents}
    for path in sorted(course.chapters.rglob("*.ipynb")):
        if path not in known and ".ipynb_checkpoints" not in path.parts:
            problems.append(f"{path.relative_to(course.root).as_posix()} has no source: write one, or delete it")
    for number in course.numbers():
        if not any(d.kind == "exercise" for d in documents if d.number == number):
            problems.append(f"chapter {number} has no exercises: chapters/source/exercises/{number}.py")
    for path in sorted((course.chapters / "source" / "exercises").glob("*.py")):
        if path.stem not in course.numbers():
            problems.append(f"exercises/{path.name} has no chapter")
    return problems


def cited(course: Course) -> set[str]:
    return {
        key
        for document in course.documents()
        for cell in read_cells(document.source)
        if cell.cell_type == "markdown"
        for key in citations(cell.source)
    }


def docstrings_name_chapters_that_exist(course: Course) -> list[str]:
    problems, known = [], course.numbers()
    for path in sorted((course.root / "recsys_course").rglob("*.py")):
        for number in sorted(chapters_named(path.read_text(encoding="utf-8"))):
            if number not in known:
                problems.append(
                    f"{path.relative_to(course.root).as_posix()} speaks of chapter {number}, which does not exist"
                )
    return problems


def check_errata(course: Course) -> list[str]:
    """Each entry names a chapter and a cell of it that proves something; each tagged cell has its entry."""
    problems: list[str] = []
    tagged: dict[tuple[str, str], list[NotebookNode]] = {}
    for document in course.documents():
        if document.kind == "chapter":
            for cell in read_cells(document.source):
                for tag in tags(cell):
                    if tag.startswith("erratum:"):
                        tagged.setdefault((document.number, tag), []).append(cell)
    seen: set[str] = set()
    proved = set()
    for entry in load_errata(course):
        if not isinstance(entry, dict) or not entry.keys() >= ERRATUM:
            missing = sorted(ERRATUM - (entry.keys() if isinstance(entry, dict) else set()))
            problems.append(f"errata.yml: {entry!r} lacks {', '.join(missing)}")
            continue
        at = f"errata.yml, {entry['id']}"
        problems += [f"{at}: {name} is no field" for name in sorted(entry.keys() - ERRATUM)]
        problems += [f"{at}: {name} is empty" for name in sorted(ERRATUM) if not str(entry[name] or "").strip()]
        if entry["id"] in seen:
            problems.append(f"{at} stands twice")
        seen.add(entry["id"])
        if not WHERE.fullmatch(str(entry["where"])):
            problems.append(f"{at}: {entry['where']!r} names no section as in A4.2 or B necessity 1")
        if entry["chapter"] not in course.numbers():
            problems.append(f"{at}: there is no chapter {entry['chapter']!r}; write it in quotes, as in '03'")
            continue
        if entry["cell"] != f"erratum:{entry['id']}":
            problems.append(f"{at}: its cell is to be tagged erratum:{entry['id']}, not {entry['cell']!r}")
        cells = tagged.get((entry["chapter"], entry["cell"]), [])
        proved.add((entry["chapter"], entry["cell"]))
        if len(cells) != 1:
            problems.append(f"{at}: chapter {entry['chapter']} has {len(cells)} cells tagged {entry['cell']}, not one")
        problems += [f"{at}: its cell proves nothing" for cell in cells if not proves(cell)]
    problems += [
        f"chapter {number} tags a cell {tag}, and errata.yml has no such entry"
        for number, tag in tagged.keys() - proved
    ]
    return problems


def proves(cell: NotebookNode) -> bool:
    """Whether a cell asserts something that can fail, or prints an error that it caught.

    >>> proves(nbformat.v4.new_code_cell("assert True")), proves(nbformat.v4.new_code_cell("assert a < b"))
    (False, True)
    """
    if cell.cell_type != "code":
        return False
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and any(isinstance(part, ast.Name) for part in ast.walk(node.test)):
            return True
        if isinstance(node, ast.ExceptHandler) and node.name:
            for part in ast.walk(node):
                if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "print":
                    return True
    return False


def everything_broken(course: Course, numbers: list[str] | None = None) -> list[str]:
    """Every finding on the notebooks of some chapters, or of all, and on the course."""
    problems = []
    for document in course.documents(numbers):
        try:
            problems += broken(Subject.read(course, document))
        except CourseError as problem:
            problems.append(str(problem))
    try:
        return problems + broken_course(course)
    except CourseError as problem:  # a source that cannot be read
        return [*problems, str(problem)]
