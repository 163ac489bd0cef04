"""The authors' commands.

    python -m authoring build [NN ...]     notebooks from their sources           make notebooks [ONLY=NN]
    python -m authoring check [NN ...]     the course's rules, and the same bytes again    make check
    python -m authoring prove [NN ...]     each exercise's check tells right from wrong
    python -m authoring browser [NN ...]   chapters in JupyterLab, in Chromium without a screen
    python -m authoring locks [--keep]     the locks from the bands               make lock

Each has a --help of its own. What they do is described in CONTRIBUTING.md.
"""

from __future__ import annotations

import importlib
import sys

from authoring.course import use_mirror_beside

COMMANDS = {"build": "build", "check": "check", "prove": "prove", "browser": "browser", "locks": "locks"}


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(__doc__)
        return 0
    if arguments[0] not in COMMANDS:
        print(f"error: there is no command {arguments[0]!r}: use one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    use_mirror_beside()
    return importlib.import_module(f"authoring.{COMMANDS[arguments[0]]}").main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
