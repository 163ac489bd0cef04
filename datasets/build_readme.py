"""Write datasets/README.md from the data cards, which live in recsys_course/data; a test holds the two together.

Authors run it: ``python datasets/build_readme.py``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from recsys_course.data import Card, cards

HEAD = """# Data of the course

This page is written by `datasets/build_readme.py` from the data cards in `recsys_course/data/`, which `recsys-course
data show NAME` prints too; every count and time span in it is held against the loaded data by the tests. Each set has
its own licence, and none of them is that of the course's code or text.

A set that *ships* lies in this folder. One that comes with a *package* is a dependency, installed with the course. One
that is *fetched* is downloaded once, by `recsys-course data fetch NAME`, into the cache folder (`RECSYS_COURSE_CACHE`
names another), or read from a mirror: a folder named by `RECSYS_COURSE_MIRROR` with one subfolder a set, for machines
that cannot download. Checksums are compared before a file is read, so one that was altered or half downloaded is never
used. Your own CSV or parquet file is read by `recsys_course.data.own`.
"""

HOW = {
    "ships": "ships with the course",
    "package": "comes with a dependency",
    "fetch": "is fetched on demand",
    "simulated": "is simulated",
}


def section(card: Card) -> str:
    """One data card as Markdown."""
    access = HOW[card.access]
    if card.mirror:
        access += f"; in a mirror its folder is `{card.mirror}/`"
    labels = f", labels {card.label_range[0]:g} to {card.label_range[1]:g}" if card.label_range else ", all labels 1"
    facts = [
        ("Loaded by", f"`recsys_course.data.{card.name}()`; {access}"),
        ("Task", card.task + labels),
        ("A row", card.event),
        ("Source", card.source),
        ("Licence", card.licence),
        ("Cite", card.citation),
        ("Counts", ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in card.counts.items())),
    ]
    if card.span:
        first, last = (datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S") for moment in card.span)
        facts.append(("Time", f"{first} to {last} UTC"))
    facts += [(f"Column `{name}`", meaning) for name, meaning in card.columns.items()]
    facts += [
        (f"File `{name}`", f"`{digest}`" if digest else "checked by its content") for name, digest in card.files.items()
    ]
    facts += [(f"Address of `{name}`", url) for name, url in card.urls.items()]
    table = "\n".join(f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in facts if value)
    quirks = "\n".join(f"- {quirk}" for quirk in card.quirks)
    return f"## {card.name}: {card.title}\n\n| | |\n|---|---|\n{table}\n\nWhat to know before using it:\n\n{quirks}\n"


def readme() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(card) for card in cards().values())])


if __name__ == "__main__":
    (Path(__file__).parent / "README.md").write_text(readme(), encoding="utf-8", newline="\n")
