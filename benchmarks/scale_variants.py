"""Kinds of vector index, and of numbers, on the keyframes of an archive; see `benchmarks.scale`.

The vectors are copied to a table of their own beside the archive, which is indexed in each way in
turn. The truth is the order by the exact products of the float32 vectors.
"""

from __future__ import annotations

import datetime
import resource
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfHnswSq, IvfPq, IvfRq, IvfSq
from numpy.typing import NDArray

from benchmarks import scale
from vidsearch.health import size_of

Array = NDArray[np.float32]
CANDIDATES, TOP, ROUNDS = 400, 10, 3
PROBES = (20, 50, 100, 200)
_SAMPLE = 64  # vectors a list from which its centre is learnt, for all kinds


def kinds(rows: int) -> dict[str, Any]:
    """The ways to index, by name."""
    lists = round(rows**0.5)
    common: dict[str, Any] = {"distance_type": "cosine", "sample_rate": _SAMPLE}
    return {
        "rq": IvfRq(num_partitions=lists, **common),
        "pq": IvfPq(num_partitions=lists, num_sub_vectors=96, **common),
        "sq": IvfSq(num_partitions=lists, **common),
        # A graph in each of few large lists, as its makers advise.
        "hnsw": IvfHnswSq(num_partitions=max(1, rows // 250_000), **common),
    }


def compare(archive: Path, wanted: Sequence[str], queries: Array) -> None:
    """Index in each of the `wanted` ways; what it costs and loses goes to what is kept."""
    table, half = _copied(archive)
    rows = table.count_rows()
    truth = _truth(table, queries)
    found = scale.known(archive).get("variants", {})
    found["float16"] = {"recall": _recall_of_halves(table, queries, truth)} | half
    scale.keep(archive, variants=found)
    for kind in wanted:
        before = time.process_time()
        took = scale.timed(lambda kind=kind: table.create_index("vector", config=kinds(rows)[kind]))
        table.optimize(cleanup_older_than=datetime.timedelta(milliseconds=1))
        found[kind] = {
            "rows": rows,
            "build_s": took,
            "build_cpu_s": time.process_time() - before,
            "bytes": sum(each.size_bytes for each in table.list_indices()),
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "asked": [_asked(table, kind, n, queries, truth) for n in PROBES],
        }
        print(kind, found[kind], flush=True)
        scale.keep(archive, variants=found)


def _folder(archive: Path) -> Path:
    return archive.parent / f"{archive.name}-variants"


def _copied(archive: Path) -> tuple[Any, dict[str, int]]:
    """A table of the keyframes' vectors; the bytes that they take as float32 and as float16."""
    database = lancedb.connect(_folder(archive))
    if "vectors" not in database.table_names():
        source = lancedb.connect(archive).open_table("keyframes")
        for batch in source.search().select(["vector"]).to_batches(batch_size=8192):
            for name, kind in (("vectors", pa.float32()), ("halves", pa.float16())):
                vectors = np.asarray(batch["vector"].flatten()).astype(kind.to_pandas_dtype())
                dim = batch["vector"].type.list_size
                listed = pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim)
                rows = pa.table({"vector": listed})
                if name in database.table_names():
                    database.open_table(name).add(rows)
                else:
                    database.create_table(name, rows)
        for name in ("vectors", "halves"):
            database.open_table(name).optimize(
                cleanup_older_than=datetime.timedelta(milliseconds=1)
            )
    sizes = {
        "bytes": size_of(_folder(archive) / "halves.lance"),
        "float32_bytes": size_of(_folder(archive) / "vectors.lance" / "data"),
    }
    shutil.rmtree(_folder(archive) / "vectors.lance" / "_indices", ignore_errors=True)
    return database.open_table("vectors"), sizes


def _batches(table: Any) -> Iterator[Array]:
    for batch in table.search().select(["vector"]).to_batches(batch_size=8192):
        size = batch["vector"].type.list_size
        yield np.asarray(batch["vector"].flatten(), np.float32).reshape(-1, size)


def _best(table: Any, queries: Array, kind: type) -> Array:
    """The products with the `TOP` best rows of each query, [Q, TOP], and their row numbers."""
    best = np.full((len(queries), 0, 2), -np.inf)
    first = 0
    for vectors in _batches(table):
        products = queries @ vectors.astype(kind).astype(np.float32).T
        rows = np.broadcast_to(np.arange(first, first + len(vectors)), products.shape)
        best = np.concatenate([best, np.stack([products, rows], axis=2)], axis=1)
        order = np.argsort(-best[:, :, 0], axis=1)[:, :TOP]
        best = np.take_along_axis(best, order[:, :, None], axis=1)
        first += len(vectors)
    return best


def _truth(table: Any, queries: Array) -> Array:
    return _best(table, queries, np.float32)


def _recall_of_halves(table: Any, queries: Array, truth: Array) -> float:
    found = _best(table, queries, np.float16)[:, :, 1]
    same = [len(set(a) & set(b)) / TOP for a, b in zip(found, truth[:, :, 1], strict=True)]
    return float(np.mean(same))


def _asked(table: Any, kind: str, probes: int, queries: Array, truth: Array) -> dict[str, float]:
    times, same = [], []
    for again in range(ROUNDS):
        for query, best in zip(queries, truth, strict=True):
            began = time.perf_counter()
            asked = table.search(query).distance_type("cosine").limit(CANDIDATES).nprobes(probes)
            if kind == "hnsw":
                asked = asked.ef(CANDIDATES + 5 * probes)
            rows = asked.select(["vector"]).to_arrow()
            if again:
                times.append(1e3 * (time.perf_counter() - began))
            else:
                vectors = np.asarray(rows["vector"].combine_chunks().flatten(), np.float32)
                products = vectors.reshape(len(rows), -1) @ query
                least = best[-1, 0] - 1e-6  # a product as good as the tenth best is found
                same.append(min(TOP, int((products >= least).sum())) / TOP)
    return {
        "probes": probes,
        "p50_ms": float(np.median(times)),
        "p95_ms": float(np.quantile(times, 0.95)),
        "recall": float(np.mean(same)),
    }
