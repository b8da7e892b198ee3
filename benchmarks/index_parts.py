"""What an index of several parts, and rows that are in none yet, take a question.

    python -m benchmarks.index_parts --archive DIR [--rows 300000] [--data DIR] [--write]

Keyframes as `benchmarks.scale make --archive DIR` makes them are indexed in a table of their own
beside DIR, which need not be there; then 20,000 others are added, and the index brought up to date,
again and again. What came becomes a part of the index, but where Lance joins or splits a list. Each
state is asked for the 24 nearest of 16 contexts, as `vidsearch.lookup` asks; all in one process, so
ratios are to the index of one part in the same run.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfRq

from benchmarks import _report, scale, scale_report
from vidsearch import lookup, search_index
from vidsearch.schema import vectors_column

from large_archive import Maker  # isort: skip  (`scale` has put its folder on the path)

ADDED, PARTS, ROUNDS, NEAREST = 20_000, 8, 3, 24
SHOWN = (1, 2, 4)  # parts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--data", type=Path, default=scale.DATA)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    folder = given.archive.parent / f"{given.archive.name}-parts"
    try:
        rows = measured(folder, scale.maker(given.archive, given.data), given.rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    notes = [scale_report.DATA, f"{ADDED:,} keyframes came each time; p50 of {16 * ROUNDS} asked."]
    print(*rows, *notes, sep="\n")
    if given.write:
        print(_report.write("index_parts", "Parts of an index, and rows in none", rows, notes))


def measured(folder: Path, made_by: Maker, n: int) -> list[dict[str, Any]]:
    """A row for each state of the index."""
    kind = pa.list_(pa.float16(), len(made_by.pictures(0, 1)[0]))
    numbers = itertools.count()

    def batches(wanted: int) -> Iterator[pa.RecordBatch]:
        for number in itertools.islice(numbers, -(-wanted // scale.SHOTS_EACH)):
            column = vectors_column(made_by.pictures(number, scale.SHOTS_EACH), kind)
            yield pa.RecordBatch.from_arrays([column], ["vector"])

    def reader(wanted: int) -> pa.RecordBatchReader:
        schema = pa.schema([("vector", kind)])
        return pa.RecordBatchReader.from_batches(schema, batches(wanted))

    table = lancedb.connect(folder).create_table("vectors", reader(n))
    lists = search_index.partitions_for(n)
    how = IvfRq(distance_type="cosine", num_partitions=lists, num_bits=search_index.BITS)
    table.create_index("vector", config=how)
    rows = [_row(table)]
    for _ in range(PARTS - 1):
        table.add(reader(ADDED))
        if len(rows) == 1:
            rows.append(_row(table))
        table.optimize(cleanup_older_than=datetime.timedelta(milliseconds=1))
        if table.index_stats("vector_idx").num_indices in SHOWN:
            rows.append(_row(table))
    for row in rows:
        row["ratio"] = row["core ms, p50"] / rows[0]["core ms, p50"]
    return rows


def _row(table: Any) -> dict[str, Any]:
    stats = table.index_stats("vector_idx")
    times, cores = [], []
    table.prewarm_index("vector_idx")
    for count in range(1 + ROUNDS):
        for direction in scale.directions():
            began, worked = time.perf_counter(), time.process_time()
            asked = table.search(direction).distance_type("cosine")
            asked = asked.limit(lookup._REFINED * NEAREST).nprobes(lookup._PROBES)
            asked.select(["vector", "_distance"]).to_arrow()
            if count:  # the first round warms what is read from the disk
                times.append(1e3 * (time.perf_counter() - began))
                cores.append(1e3 * (time.process_time() - worked))
    return {
        "rows in the index": stats.num_indexed_rows,
        "parts": stats.num_indices,
        "rows in none": stats.num_unindexed_rows,
        "p50 ms": float(np.median(times)),
        "core ms, p50": float(np.median(cores)),
    }


if __name__ == "__main__":
    main()
