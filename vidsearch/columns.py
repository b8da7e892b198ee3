"""The columns a search reads, beside their tables as memory-mapped Arrow files.

A question must be answered within a second and a half by a process that has just been started,
and importing LanceDB alone takes longer. So the few columns that every search reads in full are
copied to `cache/TABLE.arrow` after each change; for an archive in a store the copies lie in the
user's cache folder. The tables stay the truth, and a copy whose key is not that of the table as it
stands is made again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from vidsearch.cache_folder import cache_folder
from vidsearch.errors import ArchiveUnavailable
from vidsearch.schema import ORDER, SEARCHED, full_numbers
from vidsearch.stamp import read_stamp
from vidsearch.tables import Tables, explained, manifest_names
from vidsearch.urls import Place

_KEY = b"vidsearch:table"
_FOLDER = "cache"


def table_key(folder: Place, archive_id: str, table: str) -> str:
    """Names one state of a Lance table, without reading it.

    Each commit adds one file to `_versions` and nothing else does, so the names in there tell
    states apart. Raises FileNotFoundError where there is no such table.
    """
    names = sorted(manifest_names(folder, table))
    return hashlib.sha256("/".join((archive_id, table, *names)).encode()).hexdigest()


def is_tidy(folder: Place, table: str) -> bool:
    """Whether nothing of the past of a Lance table is on the disk: it has one state, in one file.

    A second file may also be of a writer that was killed before its commit.
    """
    data = folder / f"{table}.lance" / "data"
    n_files = sum(1 for _ in data.iterdir()) if data.is_dir() else 0
    return n_files <= 1 and len(manifest_names(folder, table)) <= 1


def copies(folder: Place) -> Path:
    """Where the copies of an archive are: in it, or for one in a store in the user's cache."""
    if isinstance(folder, Path):
        return folder / _FOLDER
    return cache_folder() / "archives" / hashlib.sha256(str(folder).encode()).hexdigest()[:24]


def load(folder: Place, table: str, key: str) -> pa.Table | None:
    """The copy of a table in the state `key`, mapped into memory, or None if there is none."""
    try:
        source = pa.memory_map(str(copies(folder) / f"{table}.arrow"))
        reader = pa.ipc.open_file(source)
    except (OSError, pa.ArrowInvalid):  # absent, or cut short by a full disk or a power failure
        return None
    if (reader.schema.metadata or {}).get(_KEY) != key.encode():
        return None
    return reader.read_all()


def save(folder: Place, table: str, key: str, rows: pa.Table) -> None:
    """Keep a copy of a table in the state `key`. Raises OSError."""
    cache = copies(folder)
    cache.mkdir(exist_ok=True, parents=True, mode=0o777 if cache.parent == folder else 0o700)
    marked = rows.combine_chunks().replace_schema_metadata({_KEY: key.encode()})
    handle, temporary = tempfile.mkstemp(dir=cache, prefix=table, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            # One batch: its columns are then one piece of memory each.
            with pa.ipc.new_file(file, marked.schema) as writer:
                writer.write_table(marked, max_chunksize=max(1, marked.num_rows))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(cache / f"{table}.arrow")
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def forget(folder: Place, table: str) -> None:
    """Remove the copy of a table. Raises OSError."""
    (copies(folder) / f"{table}.arrow").unlink(missing_ok=True)


def sweep(folder: Place) -> None:
    """Remove what a killed process left half written. Raises OSError.

    A copy that another process is writing just now may go too; it does without.
    """
    for path in copies(folder).glob("*.part"):
        path.unlink(missing_ok=True)


class Columns:
    """What searches read of an archive's tables, held in memory for as long as it is current."""

    def __init__(self, tables: Tables, archive_id: str) -> None:
        self._tables = tables
        self._archive_id = archive_id
        self._held: dict[str, tuple[str, pa.Table]] = {}

    def key(self, name: str) -> str:
        """Names the state of a table as it is now."""
        if self._tables.lacks(name):
            return f"{self._archive_id} lacks {name}"
        folder = self._tables.place(name)
        with explained(self._tables.folder, "read"):
            try:
                return table_key(folder, self._archive_id, name)
            except FileNotFoundError:
                if read_stamp(self._tables.folder).knows(self._tables.content):
                    raise
        raise ArchiveUnavailable(
            f"The archive {self._tables.folder} was reindexed meanwhile, and the rows that it had"
            " when it was opened here were removed. Open it again."
        )

    def of(self, name: str) -> tuple[str, pa.Table]:
        """What searches read of a table, and its key; "" if a commit came while it was read."""
        key = self.key(name)
        if name in self._held and self._held[name][0] == key:
            return self._held[name]
        folder = self._tables.place(name)
        table = load(folder, name, key)
        wanted = list(SEARCHED[name])
        if table is None or (wanted and table.column_names != wanted):
            order = [(column, "ascending") for column in ORDER[name]]
            with explained(self._tables.folder, "read"):
                table = self._tables.read(name, SEARCHED[name]).sort_by(order).combine_chunks()
            table = table.cast(full_numbers(table.schema))  # mapped as they are, and not converted
            if self.key(name) != key:
                return "", table
            # A copy is for speed only: a reader may have no right to write it, and a full disk is
            # told by whoever writes rows.
            with suppress(OSError):
                save(folder, name, key, table)
                if self.key(name) != key:  # what a writer removed meanwhile must not stay here
                    forget(folder, name)
        self._held[name] = key, table
        return key, table

    def forget(self, name: str) -> None:
        """Keep nothing of a table, in memory or on the disk. Raises OSError."""
        forget(self._tables.place(name), name)
        self._held.pop(name, None)
