"""How an archive is: counts, files, bytes and faults of its tables, for `vidsearch doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vidsearch.records import Video
from vidsearch.schema import CONTENT, TABLES
from vidsearch.stamp import Stamp
from vidsearch.tables import Tables, explained
from vidsearch.urls import Place


@dataclass(frozen=True)
class TableHealth:
    """One table: visible rows, rows that nobody sees, files, versions kept, bytes on disk."""

    rows: int
    orphans: int
    fragments: int
    versions: int
    size: int


@dataclass(frozen=True)
class Health:
    """What `vidsearch doctor` says of an archive.

    `problems` are sentences for the user, none for a sound archive. Orphans are no problem: the
    next writer sweeps them.
    """

    stamp: Stamp
    videos: dict[str, int]  # by status
    tables: dict[str, TableHealth]
    size: int  # bytes of the whole folder
    problems: tuple[str, ...]

    @property
    def orphans(self) -> int:
        """Rows that no reader sees."""
        return sum(table.orphans for table in self.tables.values())


def examine(tables: Tables, stamp: Stamp, entries: Sequence[tuple[Video, int]]) -> Health:
    """Look at an archive whose videos, with their generations, are `entries`."""
    status: dict[str, int] = {"indexed": 0, "partial": 0, "failed": 0}
    for video, _ in entries:
        status[video.status] += 1
    published = {generation for _, generation in entries}
    with explained(tables.folder, "read"):
        there = [name for name in TABLES if not tables.lacks(name)]
        found = {name: _table_health(tables, name, published) for name in there}
        size = size_of(tables.folder)
    problems = []
    shots = sum(video.n_shots for video, _ in entries)
    if found["shots"].rows != shots:
        problems.append(
            f"{shots} shots should be stored, {found['shots'].rows} are: index the videos"
            " again with --force."
        )
    return Health(stamp, status, found, size, tuple(problems))


def orphans(table: pa.Table, published: set[int]) -> dict[int, int]:
    """The generations of a table that no video has, with the numbers of their rows."""
    counts = table.column("generation").value_counts().to_pylist()
    return {c["values"]: c["counts"] for c in counts if c["values"] not in published}


def _table_health(tables: Tables, name: str, published: set[int]) -> TableHealth:
    table = tables.open(name)
    rows, lost = table.count_rows(), 0
    if name in CONTENT:
        lost = sum(orphans(tables.read(name, ["generation"]), published).values())
    return TableHealth(
        rows=rows - lost,
        orphans=lost,
        fragments=table.stats()["fragment_stats"]["num_fragments"],
        versions=len(table.list_versions()),
        size=size_of(tables.place(name) / f"{name}.lance"),
    )


def size_of(folder: Place) -> int:
    """Bytes of the files below a folder; those that go meanwhile count nothing."""
    if not isinstance(folder, Path):
        return sum(each.listed.st_size for each in folder.rglob("*") if each.listed)
    total = folder.stat().st_size if folder.is_file() else 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
