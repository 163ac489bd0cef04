"""The references that chapters cite, and the errata of the source with the cells that prove them.

``chapters/references.yml`` maps a key to what is known of a work; ``[@key]`` in a chapter becomes a link to it, with
the authors and the year, and ``[@key!]`` the whole reference. ``chapters/errata.yml`` lists what the source says
wrongly.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from authoring.course import Course, CourseError

CITATION = re.compile(r"\[@([A-Za-z0-9_:-]+)(!?)\]")
CODE_SPAN = re.compile(r"(```.*?```|`[^`\n]*`)", re.S)
REQUIRED = {"authors", "title", "year"}
OPTIONAL = {"venue", "doi", "arxiv", "isbn", "url"}
ERRATUM = {"id", "where", "says", "wrong", "right", "chapter", "cell"}
# A4.2, B8.2, B9, A3.2 step 3, B necessity 1, A appendix 2, B listing "TensorFlow": as the syllabus names the sections.
WHERE = re.compile(r'[AB](\d+(\.\d+)*)?( [a-z]+)*( "[^"]+"| \d+)?')


def load_references(course: Course) -> dict[str, dict[str, Any]]:
    return _load(course.chapters / "references.yml", {})


def load_errata(course: Course) -> list[dict[str, Any]]:
    return _load(course.chapters / "errata.yml", [])


def _load(path: Path, empty):
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_NoDuplicates)
    except OSError as problem:
        raise CourseError(f"{path.name} cannot be read ({problem.strerror}): restore it") from problem
    except yaml.YAMLError as problem:
        raise CourseError(f"{path.name} is not valid YAML: {problem}") from problem
    found = empty if found is None else found
    if type(found) is not type(empty):
        raise CourseError(f"{path.name} must hold a {'list' if empty == [] else 'mapping'}")
    return found


class _NoDuplicates(yaml.SafeLoader):
    """YAML lets the second of two equal keys win in silence; here it is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key!r} stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)


# --- citations ----------------------------------------------------------------------------------------------------


def citations(text: str) -> list[str]:
    """The keys that a text cites, outside code.

    >>> citations("As said [@gama2013] and `[@not]` there [@koren2009!].")
    ['gama2013', 'koren2009']
    """
    return [match[1] for match in CITATION.finditer(CODE_SPAN.sub("", text))]


def cite(text: str, references: dict[str, dict[str, Any]]) -> str:
    """Replace each citation by a link to the work.

    A key that does not exist is left as it is; the check of citations names it.

    >>> work = {"authors": ["Gama, João", "Silva, Ann"], "title": "T", "venue": "V", "year": 2013, "doi": "10.1/x"}
    >>> works = {"a": work}
    >>> cite("Known [@a].", works)
    'Known ([Gama and Silva, 2013](https://doi.org/10.1/x)).'
    >>> cite("[@a!]", works)
    'João Gama, Ann Silva. *T*. V, 2013. [doi:10.1/x](https://doi.org/10.1/x)'
    """

    def replace(match: re.Match) -> str:
        work = references.get(match[1])
        if work is None:
            return match[0]
        return full(work) if match[2] else f"({short(work)})"

    parts = CODE_SPAN.split(text)
    return "".join(part if index % 2 else CITATION.sub(replace, part) for index, part in enumerate(parts))


def short(work: dict[str, Any]) -> str:
    names = [author.partition(",")[0] for author in work["authors"]]
    who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    link = _link(work)
    return f"[{who}, {work['year']}]({link[1]})" if link else f"{who}, {work['year']}"


def full(work: dict[str, Any]) -> str:
    who = ", ".join(" ".join(reversed([part.strip() for part in author.split(",", 1)])) for author in work["authors"])
    venue = f"{work['venue']}, " if "venue" in work else ""
    link = _link(work)
    end = f" [{link[0]}]({link[1]})" if link else f" ISBN {work['isbn']}"
    return f"{who}. *{work['title']}*. {venue}{work['year']}.{end}"


def _link(work: dict[str, Any]) -> tuple[str, str] | None:
    if "doi" in work:
        return f"doi:{work['doi']}", f"https://doi.org/{work['doi']}"
    if "arxiv" in work:
        return f"arXiv:{work['arxiv']}", f"https://arxiv.org/abs/{work['arxiv']}"
    return (work["url"], work["url"]) if "url" in work else None


# --- checks -------------------------------------------------------------------------------------------------------


def check_references(course: Course, cited: set[str]) -> list[str]:
    """What is wrong with the file of references; ``cited`` are the keys that the course uses."""
    problems = []
    for key, work in load_references(course).items():
        at = f"references.yml, {key}"
        if not re.fullmatch(r"[a-z0-9_-]+", str(key)):
            problems.append(f"{at}: write the key in lower case, as in gama2013")
        if not isinstance(work, dict):
            problems.append(f"{at}: give it fields")
            continue
        missing, unknown = sorted(REQUIRED - work.keys()), sorted(work.keys() - REQUIRED - OPTIONAL)
        problems += [f"{at}: {name} is missing" for name in missing]
        problems += [
            f"{at}: {name} is no field; known are {', '.join(sorted(REQUIRED | OPTIONAL))}" for name in unknown
        ]
        if missing:
            continue
        if not isinstance(work["authors"], list) or not all("," in str(author) for author in work["authors"]):
            problems.append(f"{at}: authors is a list of 'Family, Given'")
        if not isinstance(work["year"], int) or not 1900 < work["year"] < 2100:
            problems.append(f"{at}: year is a number of four digits")
        if not {"doi", "arxiv", "isbn", "url"} & work.keys():
            problems.append(f"{at}: nobody can find it; give a doi, an arxiv number, an isbn or a url")
        if "doi" in work and not re.fullmatch(r"10\.\d{4,9}/\S+", str(work["doi"])):
            problems.append(f"{at}: {work['doi']!r} is no doi; it begins with 10.")
        if "arxiv" in work and not re.fullmatch(r"\d{4}\.\d{4,5}", str(work["arxiv"])):
            problems.append(f"{at}: {work['arxiv']!r} is no arXiv number; write it in quotes, as in '2209.07663'")
        if "isbn" in work and not isbn_is_right(str(work["isbn"])):
            problems.append(f"{at}: the check digit of {work['isbn']!r} is wrong; write 13 digits in quotes")
        if "url" in work and not str(work["url"]).startswith("https://"):
            problems.append(f"{at}: the url must begin with https://")
        if key not in cited:
            problems.append(f"{at}: nobody cites it; cite it or take it out")
    return problems


def isbn_is_right(isbn: str) -> bool:
    """
    >>> isbn_is_right("9787115281586"), isbn_is_right("9787115281587")
    (True, False)
    """
    digits = isbn.replace("-", "")
    return bool(re.fullmatch(r"\d{13}", digits)) and sum(int(d) * (1, 3)[i % 2] for i, d in enumerate(digits)) % 10 == 0
