"""Make datasets/bookstore/exposures.parquet, the sample of the simulated bookstore, and print its checksum.

Authors run it: ``python datasets/build_bookstore.py [FOLDER]``. The sample is what
``bookstore(200_000, rng=np.random.default_rng(0))`` gives with the default settings, its probabilities rounded to four
significant digits so that the file stays small; settings and seed stand in the file. Whoever changes a default of
BookstoreConfig, or what the generator draws, runs this again and renews the checksum in recsys_course/data/cards.toml.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_course.data.bookstore import BookstoreConfig, bookstore

N_EVENTS = 200_000
SEED = 0
PROBABILITIES = ("propensity", "p_view", "p_purchase")
DIGITS = 4


def rounded(values: np.ndarray, digits: int = DIGITS) -> np.ndarray:
    """Values rounded to so many significant digits."""
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(values)))
    return np.round(values * scale) / scale


def sample() -> pd.DataFrame:
    """The events as they are shipped."""
    events = bookstore(N_EVENTS, rng=np.random.default_rng(SEED), config=BookstoreConfig()).events
    return events.assign(**{name: rounded(events[name].to_numpy()) for name in PROBABILITIES})


def write(events: pd.DataFrame, path: Path) -> str:
    """Write a small and repeatable parquet file that says what it was made with; return its sha256."""
    made_with = json.dumps({"rng": SEED, "config": asdict(BookstoreConfig())})
    table = pa.Table.from_pandas(events, preserve_index=False).replace_schema_metadata({"bookstore": made_with})
    dictionary = [name for name in table.column_names if name != "timestamp"]
    encoding = {"timestamp": "DELTA_BINARY_PACKED"}
    temporary = path.with_suffix(".partial")
    pq.write_table(
        table,
        temporary,
        compression="zstd",
        compression_level=19,
        use_dictionary=dictionary,
        column_encoding=encoding,
        dictionary_pagesize_limit=4_000_000,
        row_group_size=N_EVENTS,
    )
    temporary.replace(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "exposures.parquet"
    events = sample()
    print(f"{path}: {len(events):,} rows, sha256:{write(events, path)}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "bookstore")
