"""Numbers in prose are numbers that a cell prints.

A number that somebody typed into a text goes wrong in silence when the data, a version or the code beside it changes.
So every decimal, percentage, ISO date and integer from 100 up that stands in a text, outside code, formulas and
links, must be printed by a cell of the same chapter, after rounding, or stand in a sentence (a list item, a row of a
table) with a citation. Outputs of cells tagged ``timing`` do not count: they are different on every machine.

What matches: 0.86 matches a printed 0.8571; 100,004 matches 100004; 1.5 million matches 1,469,307; 12 % matches 12%,
12.3%, 0.123, and a bare 12.3 in an output that speaks of percent. A minus in the text asks for one in the output; a
number without one matches both, since prose says "lower by 0.2".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from nbformat import NotebookNode

from authoring.execute import output_texts
from authoring.references import citations

DIGITS = r"(?:\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!\d)|\d+)"
NUMBER = re.compile(
    rf"(?<![\w.])(?<!\d,)(?P<whole>{DIGITS})(?P<fraction>\.\d+)?(?!\.\d)"
    r"(?P<percent>\s?%|\s(?:percent|per cent|percentage points?)\b)?"
    r"(?P<scale>\s(?:thousand|million|billion)\b|[kM]\b)?(?P<unit>×|[^\W\d_]{1,3})?(?!\w)"
)
PRINTED = re.compile(
    rf"(?<![\w.])(?P<whole>{DIGITS})(?P<fraction>\.\d*)?(?P<power>[eE][+-]?\d+)?(?P<percent>\s?%)?(?!\w)"
)
NAMES = {"st", "nd", "rd", "th", "K", "D"}  # the 100th, MovieLens 100K: no results
SCALES = {"thousand": 3, "k": 3, "million": 6, "M": 6, "billion": 9}
DATE = re.compile(r"(?<![\w-])\d{4}-\d{2}(?:-\d{2})?(?![\w-])")
MINUS = "-−–"
# References to the sections of the source: A4.2, B8.1-8.3.
SECTION = re.compile(r"\b[AB]\d+(?:\.\d+)*(?:\s?[-–]\s?[AB]?\d+(?:\.\d+)*)?")
NOT_PROSE = [
    re.compile(r"^(```|~~~).*?^\1\s*$", re.S | re.M),
    re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.S),
    re.compile(r"\$\$.+?\$\$", re.S),
    re.compile(r"(?<![\\$\w])\$(?![\s$])[^$]*?(?<![\s\\])\$(?!\d)", re.S),
    re.compile(r"<!--.*?-->", re.S),
    re.compile(r"</?[A-Za-z][^>]*>"),
    re.compile(r"\]\([^)\s]*\)"),
    re.compile(r"https?://\S+"),
]


@dataclass(frozen=True)
class Number:
    """A number as it is written.

    >>> [(n.text, str(n.value), str(n.half)) for n in numbers_in("It fell to 0.86, or 12 % of 1.5 million, in B8.2.")]
    [('0.86', '0.86', '0.005'), ('12 %', '12', '0.5'), ('1.5 million', '1500000', '50000')]
    """

    text: str
    value: Decimal
    half: Decimal  # half a unit of the last digit: how far the number may be rounded
    percent: bool
    negative: bool


def numbers_in(text: str) -> list[Number]:
    """The numbers of a text that have to be backed: decimals, percentages, and integers from 100 up."""
    found = []
    for match in NUMBER.finditer(SECTION.sub(" ", text)):
        fraction, scale = match["fraction"] or "", (match["scale"] or "").strip()
        if (
            match.start()
            and match.string[match.start() - 1] == "-"
            and match.string[: match.start() - 1][-1:].isalpha()
        ):
            continue  # a name, as in ML-100 or top-10
        if match["unit"] in NAMES:
            continue
        value = Decimal(re.sub(r"[^\d]", "", match["whole"]) + fraction)
        if not (fraction or match["percent"] or scale or value >= 100):
            continue
        exponent = SCALES.get(scale, 0)
        half = Decimal(5).scaleb(exponent - len(fraction.removeprefix(".")) - 1)
        negative = _negative(match)
        shown = match[0].strip()
        found.append(
            Number(
                shown, Decimal(f"{value.scaleb(exponent):f}"), Decimal(f"{half:f}"), bool(match["percent"]), negative
            )
        )
    return found


def printed_in(text: str) -> list[Number]:
    """All numbers of an output; a bare number counts as a percentage too where the output speaks of percent."""
    found = []
    speaks_of_percent = "%" in text or "percent" in text or "per cent" in text
    for match in PRINTED.finditer(text):
        whole = re.sub(r"[^\d]", "", match["whole"])
        value = Decimal(whole + (match["fraction"] or "").rstrip(".") + (match["power"] or ""))
        negative, percent = _negative(match), bool(match["percent"])
        found.append(Number(match[0], value, Decimal(0), percent, negative))
        if speaks_of_percent and not percent:
            found.append(Number(match[0], value, Decimal(0), True, negative))
    return found


def _negative(match: re.Match) -> bool:
    before = match.string[: match.start()]
    return before[-1:] in tuple(MINUS) and bool(before) and (len(before) == 1 or before[-2] in " \n([|=:,'\"*")


def backs(printed: Number, number: Number) -> bool:
    """Whether a printed number is, after rounding, the one in the text.

    >>> backs(printed_in("0.8571")[0], numbers_in("0.86")[0]), backs(printed_in("0.8571")[0], numbers_in("0.85")[0])
    (True, False)
    """
    if number.negative and not printed.negative:
        return False
    value = printed.value
    if number.percent and not printed.percent:
        value *= 100
    elif printed.percent and not number.percent:
        value /= 100
    return abs(value - number.value) <= number.half


def sentences(text: str) -> Iterable[str]:
    """The sentences of a text without its code and formulas; a row of a table and an item of a list is one by itself.

    Citations stay: they are what may excuse a number.
    """
    for pattern in NOT_PROSE:
        text = pattern.sub(lambda match: "\n" * match[0].count("\n") or " ", text)
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        line = re.sub(r"^\s*>\s?", "", line)
        row = line.lstrip().startswith("|")
        if not line.strip() or row or re.match(r"\s*([-*+]|\d+[.)])\s|#", line):
            yield from _split(" ".join(block))
            block = []
        if row:
            yield line
        else:
            block.append(re.sub(r"^\s*(?:[-*+]|\d+[.)])\s", "", line))


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?:;])[\"')*_]*\s+(?=[^a-z])", text) if part.strip()]


def shown_texts(cells: Iterable[NotebookNode]) -> list[str]:
    """What the cells print, but for timings and the names of figures' parts."""
    texts = []
    for cell in cells:
        if cell.cell_type != "code" or "timing" in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            found = dict(output_texts(output))
            text = found.get("stdout") or found.get("text/plain") or found.get("text/markdown") or ""
            if not re.match(r"\[?(<|Text\(|array\(\[<|\(<)", text):
                texts.append(text)
    return texts


def unbacked(cells: list[NotebookNode], shown: list[str]) -> list[str]:
    """The numbers in the markdown cells that no text in ``shown`` prints, as one line each."""
    printed = [number for text in shown for number in printed_in(text)]
    everything = "\n".join(shown)
    problems = []
    for place, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        for sentence in sentences(cell.source):
            if citations(sentence):
                continue
            for date in DATE.findall(sentence):
                if date not in everything:
                    problems.append(f"cell {place}: no cell prints the date {date}: {sentence.strip()[:90]!r}")
            for number in numbers_in(DATE.sub(" ", sentence)):
                if not any(backs(candidate, number) for candidate in printed):
                    problems.append(
                        f"cell {place}: no cell prints {number.text} (print it, cite it, put a setting in `code`, or "
                        f"say it in words): {sentence.strip()[:90]!r}"
                    )
    return problems


def typed_in(cells: list[NotebookNode]) -> list[str]:
    """Outputs that are no results: a cell that prints a number which stands in its own text."""
    problems = []
    for place, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            continue  # another check names it
        for node in ast.walk(tree):
            if not isinstance(node, ast.Expr):
                continue
            value = node.value
            if (
                isinstance(value, ast.Call)
                and isinstance(value.func, ast.Name)
                and value.func.id in {"print", "display"}
            ):
                values = value.args
            elif node is tree.body[-1]:
                values = [value]
            else:
                continue  # a docstring, or a value that nobody sees
            for text in (text for value in values for text in _literals(value)):
                if numbers_in(text):
                    problems.append(f"cell {place} prints {text.strip()!r}, which was typed in: compute it")
    return problems


def _literals(node: ast.expr) -> list[str]:
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str | int | float)
        and not isinstance(node.value, bool)
    ):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return [text for part in node.values if isinstance(part, ast.Constant) for text in _literals(part)]
    if isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set):
        parts = [*node.keys, *node.values] if isinstance(node, ast.Dict) else node.elts
        return [text for part in parts if part is not None for text in _literals(part)]
    return []
