"""LanceDB itself: opening, making, reading and appending to the tables of one archive folder.

The only module that imports lancedb, and that only once a table is really opened: its import takes
longer than a whole question.
"""

from __future__ import annotations

import datetime
import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from vidsearch.errors import ArchiveUnavailable
from vidsearch.schema import LATER, ROWS
from vidsearch.store_errors import explanation_of_store
from vidsearch.urls import Place


class Tables:
    """The tables in a folder, with the schemas that new ones get; opened when first asked for.

    `content` is the folder in it of the tables that each generation has for itself.
    """

    def __init__(self, folder: Place, schemas: Mapping[str, pa.Schema], content: str = "") -> None:
        self.folder = folder
        self.content = content
        self.rows_folder = folder / content if content else folder
        self._schemas = schemas
        self._connections: dict[str, Any] = {}
        self._open: dict[str, Any] = {}
        self._there: set[str] = set()

    def place(self, name: str) -> Place:
        """The folder in which a table lies."""
        return self.rows_folder if name in ROWS else self.folder

    def lacks(self, name: str) -> bool:
        """Whether the archive is of an older layout, which has no such table."""
        if name not in LATER or name in self._there:
            return False
        if (self.place(name) / f"{name}.lance").is_dir():
            self._there.add(name)  # asking a store is a request, and tables never go
            return False
        return True

    def open(self, name: str) -> Any:
        """The LanceDB table of this name, in its latest version whenever it is read."""
        if name not in self._open:
            self._open[name] = self._database(name).open_table(name)
        return self._open[name]

    def close(self) -> None:
        """Let go of every table."""
        self._open, self._connections = {}, {}

    def make(self, name: str) -> None:
        """Make an empty table; one that a killed `create` left empty is made again."""
        database = self._database(name)
        with suppress(ValueError):  # there is none, which is as it should be
            if database.open_table(name).count_rows():
                raise ArchiveUnavailable(
                    f"{self.folder} has no archive.json but a table {name} with rows in it. Put"
                    " archive.json back from a backup, or choose another folder with --archive."
                )
            database.drop_table(name)
        database.create_table(name, schema=self._schemas[name])

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """All rows of a table in its latest version, some at a time, in their order."""
        if self.lacks(name):
            return
        yield from self.open(name).search().to_batches(batch_size=1024)

    def overwrite(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Write a table anew; its old versions are still on the disk then."""
        self._open[name] = self._database(name).create_table(
            name, rows, schema=self._schemas[name], mode="overwrite"
        )

    def append(self, name: str, rows: Iterator[pa.RecordBatch]) -> None:
        """Add rows to a table by one commit, taking them as they are made; no rows, no commit."""
        first = next(rows, None)
        if first is not None:
            every = pa.RecordBatchReader.from_batches(first.schema, chain([first], rows))
            self.open(name).add(every)

    def read(self, name: str, wanted: Sequence[str] = (), where: str | None = None) -> pa.Table:
        """Columns of a table (all if none are named) in its latest version; no rows of none."""
        if self.lacks(name):
            empty = self._schemas[name].empty_table()
            return empty.select(list(wanted)) if wanted else empty
        for attempts_left in reversed(range(3)):
            query = self.open(name).search()
            if wanted:
                query = query.select(list(wanted))
            if where is not None:
                query = query.where(where)
            try:
                return query.to_arrow()
            except (OSError, RuntimeError, ValueError) as error:
                # The writer merged files between our look at the version and at its files.
                if not attempts_left or "not found" not in str(error).lower():
                    raise
                self._open.pop(name)
        raise AssertionError("unreachable")

    def _database(self, name: str) -> Any:
        folder = self.place(name)
        if str(folder) not in self._connections:
            import lancedb

            # Zero: every read looks for the latest version first.
            self._connections[str(folder)] = lancedb.connect(
                folder if isinstance(folder, Path) else str(folder),
                read_consistency_interval=datetime.timedelta(0),
                storage_options=storage_options(folder),
            )
        return self._connections[str(folder)]


def storage_options(folder: Place) -> dict[str, str]:
    """What Lance has to be told to reach a folder: nothing, or a store's endpoint and region."""
    return {} if isinstance(folder, Path) else folder.storage_options()


@contextmanager
def explained(folder: Place, done: str) -> Iterator[None]:
    """What the storage raises, as an `ArchiveUnavailable` that says what to do."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, pa.ArrowException) as error:
        raise ArchiveUnavailable(_explanation(folder, done, error)) from error


def _explanation(folder: Place, done: str, error: Exception) -> str:
    if not isinstance(folder, Path):
        return explanation_of_store(folder, done, error)
    code = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "quota" in text.lower():
        return (
            f"The archive {folder} cannot be {done}: the disk is full. Free some space and run the"
            " command again; everything stored before is kept."
        )
    if code == errno.EROFS or "Read-only file system" in text:
        return (
            f"The archive {folder} cannot be {done}: it lies on a read-only file system. Choose a"
            " folder that can be written with --archive DIR."
        )
    if code in (errno.EACCES, errno.EPERM) or "ermission denied" in text:
        return (
            f"The archive {folder} cannot be {done}: permission denied. Check the owner and the"
            " permissions of the folder, or choose another with --archive DIR."
        )
    # The engine says which line of its own source it was in; that helps nobody here.
    lines = re.sub(r",? ?\S+\.rs:\d+(:\d+)?", "", text).strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return (
        f"The archive {folder} cannot be {done}: {first}. If this stays so, look with: vidsearch"
        " doctor"
    )
