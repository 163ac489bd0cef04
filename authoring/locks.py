"""Renew the locks from the bands in pyproject.toml: `make lock`, or `python -m authoring.locks [--keep]`.

One lock serves Linux, Windows and Macs with Apple silicon, on Python 3.11 to 3.13. It holds a hash for every file that
may be installed, and no address, so that any registry or mirror serves it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILE = [
    "pip",
    "compile",
    "--universal",
    "--python-version=3.11",
    "--fork-strategy=fewest",  # one version of a package for all of them, as far as that can be had
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "--no-annotate",
    "--quiet",
]
# Where a lock comes from. The tests' lock is held to the learner's, so that what is tested is what is taught.
LOCKS = {
    "installer": ["--group", "installer"],
    "learn": ["pyproject.toml", "--group", "build"],
    "test": ["pyproject.toml", "--group", "build", "--group", "test", "--constraint", "locks/learn.txt"],
}


def main(arguments: list[str]) -> int:
    keep = "--keep" in arguments
    for name, sources in LOCKS.items():
        output = f"locks/{name}.txt"
        options = [*sources, "--output-file", output, *([] if keep else ["--upgrade"])]
        code = subprocess.call([sys.executable, "-m", "uv", *COMPILE, *options], cwd=ROOT)
        if code:
            print(f"error: {output} could not be renewed: see the lines above", file=sys.stderr)
            return code
        print(f"{output} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
