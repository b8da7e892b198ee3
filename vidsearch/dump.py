"""An archive's tables as Parquet files, for pandas, DuckDB and whatever reads them.

One file a table, with the columns of `vidsearch.schema` but for `packed`, which has nothing that
others have not. Vectors are lists of float32 of a fixed
size; Parquet itself knows no such lists, so the size stands in the file's Arrow schema, which
pyarrow, pandas and polars restore. Rows that no reader of the archive sees are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from vidsearch import packing
from vidsearch.errors import VidsearchError
from vidsearch.schema import CONTENT, full_numbers

if TYPE_CHECKING:
    from vidsearch.store import Store


def dump(store: Store, folder: Path) -> dict[str, int]:
    """Write every table into a new or empty folder; gives the number of rows of each.

    All files appear, each whole, or none stays. Raises VidsearchError where they cannot be written.
    """
    rows: dict[str, int] = {}
    try:
        if folder.exists() and any(folder.iterdir()):
            raise VidsearchError(f"{folder} is not empty: name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        published = pa.array(sorted(store.generations()), pa.int64())
        try:
            for name, schema, batches in store.everything():
                file = folder / f"{name}.parquet"
                rows[name] = _write(file, schema, _seen(batches, name, published))
        except BaseException:
            for name in rows:
                (folder / f"{name}.parquet").unlink(missing_ok=True)
            raise
        return rows
    except OSError as error:
        # Of Arrow's own errors the number alone is fit to be read.
        reason = os.strerror(error.errno) if error.errno else error
        raise VidsearchError(
            f"{folder} cannot be written: {reason}; choose another folder"
        ) from error


def _seen(
    batches: Iterator[pa.RecordBatch], name: str, published: pa.Array
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if name in CONTENT:
            batch = batch.filter(pc.is_in(batch["generation"], published))
        yield batch


def _write(file: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    from pyarrow import parquet

    plain = [name for name in schema.names if name != packing.COLUMN]
    schema = full_numbers(pa.schema([schema.field(name) for name in plain]))
    part, rows = file.with_suffix(".part"), 0
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch.select(plain).cast(schema))
                rows += batch.num_rows
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return rows
