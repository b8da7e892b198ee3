"""LanceDB itself: opening, making, reading and appending to the tables of one archive folder.

The only module that imports lancedb, and that only once a table is really opened: its import takes
longer than a whole question.
"""

from __future__ import annotations

import asyncio
import datetime
import errno
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from vidsearch import packing
from vidsearch.errors import ArchiveUnavailable
from vidsearch.schema import LATER, PLACE_IN_SQL, ROWS
from vidsearch.store_errors import explanation_of_store
from vidsearch.urls import Place

_AT_ONCE = datetime.timedelta(milliseconds=1)  # 0 draws a warning
_LAST_VERSION = 2**64 - 1
_DIGITS = len(str(_LAST_VERSION))
_TIDIED = 5  # times until nothing old is left, at most
_AT_A_TIME = 4  # reads: each holds batches in memory
_SAMPLE = 64  # vectors a partition from which its centre is learnt


@dataclass(frozen=True)
class Wanted:
    """Rows of a table: `columns` (all if none are named) of the first `limit` that fit `where`."""

    table: str
    columns: Sequence[str] = ()
    where: str | None = None  # SQL
    limit: int | None = None


@dataclass(frozen=True)
class Indexed:
    """An index: of which column, rows in it, rows that came since.

    Rows that were added to it later may be `parts` of it, each of which a question asks.
    """

    name: str
    column: str
    rows: int
    tail: int
    parts: int = 1


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
        self._readables: dict[str, Any] = {}
        self._session: Any = None
        self._there: set[str] = set()
        self._packed: dict[str, bool] = {}

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
        table = self._open.get(name)  # another thread may let go of it at any moment
        if table is None:
            table = self._open[name] = self._database(name).open_table(name)
        return table

    def close(self) -> None:
        """Let go of every table."""
        self._open, self._readables, self._connections, self._packed = {}, {}, {}, {}
        self._session = None

    def make(self, name: str) -> None:
        """Make an empty table; one that a killed `create` left empty is made again."""
        self._packed.pop(name, None)
        database = self._database(name)
        with suppress(ValueError):  # there is none, which is as it should be
            if database.open_table(name).count_rows():
                raise ArchiveUnavailable(
                    f"{self.folder} has no archive.json but a table {name} with rows in it. Put"
                    " archive.json back from a backup, or choose another folder with --archive."
                )
            database.drop_table(name)
        database.create_table(name, schema=self._schemas[name])

    def lacks_column(self, name: str, column: str) -> bool:
        """Whether a table is there, of an older layout that has no such column."""
        return not self.lacks(name) and column not in self.open(name).schema.names

    def is_packed(self, name: str) -> bool:
        """Whether rows of a table that is there have the column of `vidsearch.packing`.

        Older tables never get it, so it is asked for once.
        """
        if name not in self._packed:
            self._packed[name] = packing.COLUMN in self.open(name).schema.names
        return self._packed[name]

    def schema_of(self, name: str) -> pa.Schema:
        """The schema of new rows of a table that is there."""
        schema = self._schemas[name]
        if packing.COLUMN not in schema.names or self.is_packed(name):
            return schema
        return schema.remove(schema.get_field_index(packing.COLUMN))

    def lacks_places(self, name: str) -> bool:
        """Whether rows of a table have no `place`: it is older, or an older version added some."""
        if self.lacks(name):
            return False
        return self.lacks_column(name, "place") or self.count(name, "place IS NULL") > 0

    def add_place(self, name: str) -> None:
        """Give a table of an older layout the column `place`, by one commit."""
        if self.lacks_column(name, "place"):
            self.open(name).add_columns({"place": PLACE_IN_SQL})
        else:
            self.open(name).update(where="place IS NULL", values_sql={"place": PLACE_IN_SQL})

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """All rows of a table in its latest version, some at a time, in their order."""
        if self.lacks(name):
            return
        yield from self.open(name).search().to_batches(batch_size=1024)

    def overwrite(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Write a table anew; its old versions are still on the disk then."""
        self._open[name] = self._database(name).create_table(
            name, rows, schema=self.schema_of(name), mode="overwrite"
        )

    def append(self, name: str, rows: Iterator[pa.RecordBatch]) -> None:
        """Add rows to a table by one commit, taking them as they are made; no rows, no commit."""
        first = next(rows, None)
        if first is not None:
            schema = self.schema_of(name)
            every = (batch.select(schema.names) for batch in chain([first], rows))
            self.open(name).add(pa.RecordBatchReader.from_batches(schema, every))

    def read(
        self,
        name: str,
        wanted: Sequence[str] = (),
        where: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """What `read_each` gives of one table."""
        return self.read_each([Wanted(name, wanted, where, limit)])[0]

    def read_each(self, wanted: Sequence[Wanted]) -> list[pa.Table]:
        """Some rows of each of some tables in their latest versions, of all at once.

        Of a table that is not there there are no rows.
        """
        there = [each for each in wanted if not self.lacks(each.table)]
        found = iter(self._run(self._read(each) for each in there) if there else ())
        return [next(found) if each in there else self._no_rows(each) for each in wanted]

    async def _read(self, wanted: Wanted) -> pa.Table:
        def query(table: Any) -> Any:
            return table.query() if wanted.limit is None else table.query().limit(wanted.limit)

        return await self._answered(wanted.table, query, wanted.columns, wanted.where)

    def _no_rows(self, wanted: Wanted) -> pa.Table:
        nothing = self.nothing(wanted.table)
        return nothing.select(list(wanted.columns)) if wanted.columns else nothing

    def nearest(
        self,
        name: str,
        vector: list[float],
        n: int,
        wanted: Sequence[str],
        where: str | None = None,
        *,
        probes: int | None = None,
        refined: int = 1,
        least: int | None = None,
        before: bool = True,
    ) -> pa.Table:
        """Columns of the `n` rows whose `vector` has about the greatest cosine, and `_distance`.

        The codes of an index say which: of `refined` times `n` that they find the best are taken.
        Of its partitions `probes` are looked at, and all of them for None or where fewer than
        `least` (`n`) rows are in these; rows that are in no index are all compared. `where` (SQL)
        is applied before, so `n` rows come if so many fit; or not `before`, and those of the
        nearest `n` come that fit.
        """

        def query(table: Any) -> Any:
            asked = table.query().nearest_to(vector).column("vector").distance_type("cosine")
            # Both to the least first: never may the most be less.
            asked = asked.limit(n).nprobes(probes or 1)
            asked = asked.maximum_nprobes(probes or 0)  # 0: all of them
            asked = asked if before else asked.postfilter()
            return asked.refine_factor(refined) if refined > 1 else asked

        (found,) = self._run([self._answered(name, query, [*wanted, "_distance"], where)])
        if before and probes is not None and len(found) < (n if least is None else least):
            return self.nearest(name, vector, n, wanted, where, refined=refined)
        return found

    def nothing(self, name: str) -> pa.Table:
        """No rows of a table."""
        return self._schemas[name].empty_table()

    def newest(self, name: str) -> str:
        """Names the state of a table as it is now: each commit gives it another one."""
        return max(manifest_names(self.place(name), name), key=_number_of, default="")

    def count(self, name: str, where: str | None = None) -> int:
        """How many rows fit."""
        return 0 if self.lacks(name) else int(self.open(name).count_rows(where))

    def sample(self, name: str, column: str, n: int) -> pa.Array:
        """A column of `n` rows (of all if there are fewer), spread evenly over a table."""
        table = self.open(name)
        rows = int(table.count_rows())
        offsets = [at * rows // n for at in range(n)] if rows > n else list(range(rows))
        return table.take_offsets(offsets).select([column]).to_arrow()[column].combine_chunks()

    # --- indexes ---------------------------------------------------------------------------------

    def indexes(self, name: str) -> dict[str, Indexed]:
        """The indexes of a table by column; none of a table that is not there."""
        if self.lacks(name):
            return {}
        table, found = self.open(name), {}
        for each in table.list_indices():
            stats = table.index_stats(each.name)
            if stats is not None and len(each.columns) == 1:
                rows, tail = stats.num_indexed_rows, stats.num_unindexed_rows
                parts = stats.num_indices or 1
                found[each.columns[0]] = Indexed(each.name, each.columns[0], rows, tail, parts)
        return found

    def index_numbers(self, name: str, column: str) -> None:
        """Index a column of numbers, so that rows are found by value without a scan."""
        from lancedb.index import BTree

        self.open(name).create_index(column, config=BTree())

    def index_vectors(self, name: str, partitions: int, bits: int) -> None:
        """Index the column `vector` for the cosine, anew where there is an index already.

        RaBitQ codes, of so many `bits` a dimension, in inverted lists; `benchmarks/scale.py`
        compares them with others.
        """
        from lancedb.index import IvfRq

        how = IvfRq(
            distance_type="cosine", num_partitions=partitions, sample_rate=_SAMPLE, num_bits=bits
        )
        self.open(name).create_index("vector", config=how)

    def warm(self, name: str) -> None:
        """Read the indexes of a table into memory."""
        table = self.open(name)
        for each in self.indexes(name).values():
            table.prewarm_index(each.name)

    def drop_indexes(self, name: str) -> None:
        """Take all indexes off a table; their files go with the next `tidy`."""
        for each in self.indexes(name).values():
            self.open(name).drop_index(each.name)

    def tidy(self, name: str) -> None:
        """Merge small files, bring indexes up to date, remove every old version from the disk."""
        for _ in range(_TIDIED):
            self.open(name).optimize(cleanup_older_than=_AT_ONCE, delete_unverified=True)
            # Lance goes by the clock: what was written within that millisecond, or by a machine
            # whose clock is ahead of this one's, is still there. So is what came before a list of
            # an index that it has split just now.
            old = sorted(manifests(self.place(name), name), key=_version)[:-1]
            if not old:
                break
            for manifest in old:
                manifest.unlink(missing_ok=True)

    async def _answered(
        self, name: str, asked: Callable[[Any], Any], wanted: Sequence[str], where: str | None
    ) -> pa.Table:
        """What a query of a table gives, asked again where the writer merged files meanwhile."""
        for attempts_left in reversed(range(3)):
            query = asked(await self._readable(name))
            if wanted:
                query = query.select(list(wanted))
            if where is not None:
                query = query.where(where)
            try:
                batches = await query.to_batches()
                return pa.Table.from_batches(await batches.read_all(), schema=batches.schema)
            except (OSError, RuntimeError, ValueError) as error:
                # The writer merged files between our look at the version and at its files.
                if not attempts_left or "not found" not in str(error).lower():
                    raise
                self._readables.pop(name, None)  # another thread may have been first
        raise AssertionError("unreachable")

    async def _readable(self, name: str) -> Any:
        """The table as Lance's loop reads it."""
        table = self._readables.get(name)
        if table is None:
            import lancedb

            folder = self.place(name)
            database = await lancedb.connect_async(**self._how(folder))
            table = self._readables[name] = await database.open_table(name)
        return table

    def _run(self, asked: Iterable[Coroutine[Any, Any, pa.Table]]) -> list[pa.Table]:
        """What questions give that are asked at once, in the loop in which Lance runs.

        All of them are one way to its thread and back, and no threads of ours wait for each other.
        """
        _before_lance()
        from lancedb.background_loop import LOOP

        turns = asyncio.Semaphore(_AT_A_TIME)

        async def in_turn(each: Coroutine[Any, Any, pa.Table]) -> pa.Table:
            async with turns:
                return await each

        async def all_of_them() -> list[pa.Table]:
            return await asyncio.gather(*map(in_turn, asked))

        return list(LOOP.run(all_of_them()))

    def _how(self, folder: Place) -> dict[str, Any]:
        """How a folder is connected to; all connections have the same caches."""
        from lancedb import Session

        if self._session is None:
            self._session = Session.default()
        return {
            "uri": str(folder),
            # Zero: every read looks for the latest version first.
            "read_consistency_interval": datetime.timedelta(0),
            "storage_options": storage_options(folder),
            "session": self._session,
        }

    def _database(self, name: str) -> Any:
        folder = self.place(name)
        if str(folder) not in self._connections:
            _before_lance()
            import lancedb

            self._connections[str(folder)] = lancedb.connect(**self._how(folder))
        return self._connections[str(folder)]


def _before_lance() -> None:
    """What Lance reads when it is imported."""
    os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings help nobody who searches
    # On up to three cores Lance takes one thread for all that it computes, and has waited
    # for ever where one such work waits for another (lancedb issue 3568).
    os.environ.setdefault("LANCE_CPU_THREADS", str(max(4, os.cpu_count() or 1)))


def manifests(folder: Place, table: str) -> list[Place]:
    """The files that each name one state of a Lance table: those that are still on the disk.

    Raises FileNotFoundError where there is no such table.
    """
    versions = folder / f"{table}.lance" / "_versions"
    return [versions / name for name in manifest_names(folder, table)]


def manifest_names(folder: Place, table: str) -> list[str]:
    """The same by their names alone: every question asks whether there are others by now."""
    versions = folder / f"{table}.lance" / "_versions"
    if isinstance(versions, Path):
        names: Iterable[str] = os.listdir(versions)  # paths take five times as long
    else:
        names = (each.name for each in versions.iterdir())
    return [name for name in names if name.endswith(".manifest")]


def _version(manifest: Place) -> int:
    return _number_of(manifest.name)


def _number_of(manifest: str) -> int:
    """The number in a manifest's name; in the newer way of naming they count down."""
    stem = manifest.split(".", 1)[0]
    return int(stem) if len(stem) < _DIGITS else _LAST_VERSION - int(stem)


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
