"""What every benchmark needs: a clock that can be trusted, the machine it ran on, and a file for the figures."""

from __future__ import annotations

import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from scipy.special import rel_entr

from recsys_course.data.dataset import Dataset

RESULTS = Path(__file__).parent / "results"


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall-clock seconds of several calls; the first call of all, which compiles, is not counted."""
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peer(name: str) -> Any:
    """A package to measure against that is no part of the environment, or None where nobody has installed it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: its rows, and the claims about it, are left out")
        return None


def machine(packages: tuple[str, ...]) -> dict:
    """The machine and the versions, without a name of either a person or a place."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def as_ranking(dataset: Dataset) -> Dataset:
    """A film rated is a film taken."""
    card = replace(dataset.card, task="ranking", label_range=None)
    return replace(dataset, events=dataset.events.assign(label=1.0), card=card)


def mean_regret(truth, scores) -> float:
    """What is lost beside who knows the probabilities, in nats: the mean of p ln(p/q) + (1 - p) ln((1 - p)/(1 - q))."""
    q = np.clip(scores, 1e-12, 1 - 1e-12)
    return float((rel_entr(truth, q) + rel_entr(1 - np.asarray(truth), 1 - q)).mean())


def finish(
    name: str,
    table: pd.DataFrame,
    claims: dict[str, bool],
    settings: dict,
    packages: tuple[str, ...],
    *,
    more: dict[str, pd.DataFrame] | None = None,
) -> None:
    """Print the table and the claims, write the figures, and exit with 1 if a claim failed.

    ``more`` holds further tables, by the name under which they are written.
    """
    print(table.to_string())
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    RESULTS.mkdir(exist_ok=True)
    parts = {
        "benchmark": name,
        "machine": machine(packages),
        "settings": settings,
        "table": _records(table.reset_index()),
        **{key: _records(other) for key, other in (more or {}).items()},
        "claims": claims,
    }
    text = "{\n" + ",\n".join(f" {json.dumps(key)}: {_written(value)}" for key, value in parts.items()) + "\n}"
    path = RESULTS / f"{name}.json"
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)
    print(f"written: benchmarks/results/{path.name}")
    sys.exit(0 if all(claims.values()) else 1)


def _records(table: pd.DataFrame) -> list[dict]:
    return json.loads(table.to_json(orient="records"))


def _written(value: Any) -> str:
    """A table with a row a line, which is shorter than a number a line and easier to compare; the rest indented."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value) + "\n ]"
    return json.dumps(value, indent=1).replace("\n", "\n ")
