"""Kinds of vector index, and of numbers, on the keyframes of an archive; see `benchmarks.scale`.

The vectors are made again and stored as float16, as an archive does, in a table of their own
beside it, which is indexed in each way in turn. The truth is the order by the exact products of the
float32 vectors.
"""

from __future__ import annotations

import datetime
import resource
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfHnswSq, IvfPq, IvfRq, IvfSq
from numpy.typing import NDArray

from benchmarks import scale
from vidsearch.health import size_of
from vidsearch.rows import vectors_of
from vidsearch.schema import vectors_column
from vidsearch.search_index import partitions_for

from large_archive import Maker  # isort: skip  (`scale` has put its folder on the path)

Array = NDArray[np.float32]
TOP, ROUNDS = 10, 3
PROBES, CANDIDATES = (50, 100, 200), (40, 400)
_ROUNDING = 2e-4  # of a product with float16
_SAMPLE = 64  # vectors a list from which its centre is learnt, for all kinds


def kinds(rows: int) -> dict[str, Any]:
    """The ways to index, by name."""
    lists = partitions_for(rows)
    common: dict[str, Any] = {"distance_type": "cosine", "sample_rate": _SAMPLE}
    return {
        "rq 1 bit": IvfRq(num_partitions=lists, **common),
        "rq 1 bit, lists x 2": IvfRq(num_partitions=2 * lists, **common),
        "rq 2 bits": IvfRq(num_partitions=lists, num_bits=2, **common),
        "rq 3 bits": IvfRq(num_partitions=lists, num_bits=3, **common),
        "rq 5 bits": IvfRq(num_partitions=lists, num_bits=5, **common),
        # As many bytes a vector as RaBitQ takes with one bit.
        "pq": IvfPq(num_partitions=lists, num_sub_vectors=48, **common),
        "sq": IvfSq(num_partitions=lists, **common),
        # A graph in each of few large lists, as its makers advise; a third of the work that they
        # put into it by default, which took over a quarter of an hour for a million.
        "hnsw": IvfHnswSq(
            num_partitions=max(1, rows // 250_000), m=16, ef_construction=100, **common
        ),
    }


def compare(archive: Path, data: Path, wanted: Sequence[str], queries: Array) -> None:
    """Index in each of the `wanted` ways, in all if none is named; what each costs is kept."""
    numbers = range(scale.known(archive)["shots"] // scale.SHOTS_EACH)
    maker = scale.maker(archive, data)
    truth = best(exact(maker, numbers), queries)
    table = _stored(archive, maker, numbers)
    rows = table.count_rows()
    found = scale.known(archive).get("variants", {})
    found["float16"] = {
        "recall": _alike(best(_batches(table), queries), truth),
        "bytes": size_of(_folder(archive) / "vectors.lance" / "data"),
    }
    scale.keep(archive, variants=found)
    for kind in wanted or kinds(rows):
        before = time.process_time()
        took = scale.timed(lambda kind=kind: table.create_index("vector", config=kinds(rows)[kind]))
        table.optimize(cleanup_older_than=datetime.timedelta(milliseconds=1))
        found[kind] = {
            "rows": rows,
            "build_s": took,
            "build_cpu_s": time.process_time() - before,
            "bytes": _largest(_folder(archive) / "vectors.lance" / "_indices"),
            "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "asked": [
                _asked(table, kind, probes, n, queries, truth)
                for n in CANDIDATES
                for probes in PROBES
            ],
        }
        print(kind, found[kind], flush=True)
        scale.keep(archive, variants=found)
    shutil.rmtree(_folder(archive))


def _largest(indexes: Path) -> int:
    """The bytes of the index: the folder also holds what is left of the one before."""
    return max(size_of(each) for each in indexes.iterdir())


def exact(maker: Maker, numbers: Iterable[int]) -> Iterator[Array]:
    """The vectors of an archive's keyframes before they were rounded, a video at a time."""
    return (maker.pictures(number, scale.SHOTS_EACH) for number in numbers)


def best(batches: Iterable[Array], queries: Array) -> Array:
    """The products with the `TOP` best rows of each query, [Q, TOP, 2], and their row numbers."""
    found, first = np.full((len(queries), 0, 2), -np.inf), 0
    for vectors in batches:
        products = queries @ vectors.T
        rows = np.broadcast_to(np.arange(first, first + len(vectors)), products.shape)
        found = np.concatenate([found, np.stack([products, rows], axis=2)], axis=1)
        order = np.argsort(-found[:, :, 0], axis=1)[:, :TOP]
        found = np.take_along_axis(found, order[:, :, None], axis=1)
        first += len(vectors)
    return found


def _folder(archive: Path) -> Path:
    return archive.parent / f"{archive.name}-variants"


def _stored(archive: Path, maker: Maker, numbers: Iterable[int]) -> Any:
    """A table of the keyframes' vectors as an archive stores them, in float16."""
    shutil.rmtree(_folder(archive), ignore_errors=True)
    kind = pa.list_(pa.float16(), len(maker.pictures(0, 1)[0]))
    schema = pa.schema([("vector", kind)])
    batches = (
        pa.RecordBatch.from_arrays([vectors_column(vectors, kind)], schema=schema)
        for vectors in exact(maker, numbers)
    )
    rows = pa.RecordBatchReader.from_batches(schema, batches)
    return lancedb.connect(_folder(archive)).create_table("vectors", rows)


def _batches(table: Any) -> Iterator[Array]:
    for batch in table.search().select(["vector"]).to_batches(batch_size=8192):
        yield vectors_of(batch["vector"])


def _alike(found: Array, truth: Array) -> float:
    """The share of the true best rows that are among those found."""
    pairs = zip(found[:, :, 1], truth[:, :, 1], strict=True)
    return float(np.mean([len(set(a) & set(b)) / TOP for a, b in pairs]))


def _asked(
    table: Any, kind: str, probes: int, n: int, queries: Array, truth: Array
) -> dict[str, float]:
    """Times and recall of the `n` candidates that codes find, their vectors read."""
    times, same = [], []
    for again in range(ROUNDS):
        for query, tenth in zip(queries, truth[:, -1, 0], strict=True):
            began = time.perf_counter()
            asked = table.search(query).distance_type("cosine").limit(n).nprobes(probes)
            if kind == "hnsw":
                asked = asked.ef(n + 5 * probes)
            rows = asked.select(["vector", "_distance"]).to_arrow()
            if again:
                times.append(1e3 * (time.perf_counter() - began))
            else:
                products = vectors_of(rows["vector"].combine_chunks()) @ query
                least = tenth - _ROUNDING  # a product as good as the tenth best is found
                same.append(min(TOP, int((products >= least).sum())) / TOP)
    return {
        "candidates": n,
        "probes": probes,
        "p50_ms": float(np.median(times)),
        "p95_ms": float(np.quantile(times, 0.95)),
        "recall": float(np.mean(same)),
    }
