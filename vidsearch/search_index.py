"""The indexes of a large archive: when they are made, and what keeps them current.

Up to `records.EXACT_BELOW` shots every question compares all vectors, which takes milliseconds and
misses nothing. From there on `vidsearch.candidates` asks indexes that Lance keeps with the tables:

- of the vectors of keyframes and faces, RaBitQ codes in inverted lists, of three bits a dimension:
  by the first bit Lance passes over most of a list, and the others tell who is nearest so well that
  few vectors have to be read for it;
- of the `place` of rows, which finds the rows of a shot, and of the `generation`, which finds those
  of a video.

Nobody has to ask for them. The writer makes them at the end of a run, or within a long one, and
brings them up to date when more than a few rows came since. That compares each new row with every
list. Lance writes them as a part of their own, with lists of its own, or writes all of an index
anew where a list has become too long: so within a run it waits until one row in eight is new, that
a large index is not written more and more often for the same number of rows. Each part makes every
question take longer, and so do lists that were split: at the end of a run an index of many parts,
or for more than twice the rows it was made for, is made anew. Rows that are in
no index yet are compared one by one, so they are found all the same, in more time. Readers wait
for nobody: an index appears by one commit, like rows. What a killed writer left half made is
removed with the old versions.

`indexes.json` beside the tables is written when all indexes are there, and an archive without
it is searched exactly. It holds the mean of the keyframes' vectors, of a sample: every score needs
it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.schema import CONTENT
from vidsearch.urls import Place
from vidsearch.whole import write_whole

if TYPE_CHECKING:
    from vidsearch.tables import Indexed, Tables

VECTORS = ("keyframes", "faces")
NUMBERS = {
    "shots": ("place", "generation"),
    "keyframes": ("place", "generation"),
    "faces": ("place", "generation"),
    "figures": ("place", "generation"),
}
# Rows outside an index are compared one by one, by every question: so many in a few milliseconds.
_TAIL, _TAIL_OF_VECTORS = 20_000, 5000
_TAIL_WITHIN_A_RUN = 1 / 8  # of the rows
# For so many times the rows it was made for, an index is made anew, with more lists: within a run
# seldom, for that takes long, and at its end sooner, for lists that Lance split are slow to ask.
_GROWN_WITHIN_A_RUN, _GROWN = 4, 2
# At the end of a run an index of more parts than these is made anew: each takes a question about a
# millisecond, and who adds a few videos every day adds a part every day.
_PARTS = 8
_FEW = 1024  # rows under which vectors are not worth an index, nor enough to learn one from
_SAMPLE = 50_000  # vectors whose mean stands for that of all
BITS = 3  # a dimension
FILE = "indexes.json"


@dataclass(frozen=True)
class Known:
    """What `indexes.json` says: the mean keyframe vector [D], and for how many rows (by table) the
    indexes of vectors were last made, with codes of how many bits a dimension.

    Rows are `packed` (`vidsearch.packing`) unless a table of theirs is of an older layout."""

    typical: tuple[float, ...]
    made_for: dict[str, int]
    made_at: float
    bits: int = BITS
    packed: bool = False

    @property
    def mean(self) -> NDArray[np.float32]:
        """The mean keyframe vector as an array, float32 [D]."""
        return np.array(self.typical, np.float32)


@dataclass(frozen=True)
class IndexState:
    """One index as it is: rows in it and rows that are compared one by one; None where it lacks."""

    table: str
    column: str
    rows: int | None
    tail: int


@dataclass(frozen=True)
class Optimized:
    """What `optimize` left: bytes of the archive before and after, and the indexes it has."""

    size_before: int
    size: int
    indexes: tuple[IndexState, ...]


def read(folder: Place) -> Known | None:
    """What is known of the indexes of the rows in a folder; None where there are none."""
    try:
        facts = json.loads((folder / FILE).read_bytes())
        typical, made_for = tuple(facts["typical"]), dict(facts["made_for"])
        bits, packed = int(facts.get("bits", 1)), bool(facts.get("packed", False))
        return Known(typical, made_for, float(facts["made_at"]), bits, packed)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def forget(folder: Place) -> None:
    """From now on the rows have no indexes, whatever lies in their tables. Raises OSError."""
    (folder / FILE).unlink(missing_ok=True)


def states(tables: Tables) -> list[IndexState]:
    """Every index that a large archive should have, those of tables too small for one left out."""
    found = []
    for table in CONTENT:
        there, rows = tables.indexes(table), tables.count(table)
        for column in _columns(table, rows):
            if (index := there.get(column)) is None:
                found.append(IndexState(table, column, None, rows))
            else:
                found.append(IndexState(table, column, index.rows, index.tail))
    return found


def is_behind(state: IndexState, *, within_a_run: bool = False) -> bool:
    """Whether an index lacks, or so many rows that it makes questions slow; in a run many more."""
    if state.rows is None:
        return True
    most = _TAIL_OF_VECTORS if state.column == "vector" else _TAIL
    return state.tail > (max(most, _TAIL_WITHIN_A_RUN * state.rows) if within_a_run else most)


def renew(
    tables: Tables,
    *,
    say: Callable[[str], None],
    force: bool = False,
    within_a_run: bool = False,
) -> bool:
    """Make the indexes that lack, and bring up to date those that are behind; all if `force`.

    `within_a_run`, which goes on to write, they are behind later. `say` is told, in a few words,
    before each step that takes time. Gives whether there was any.
    """
    folder = tables.rows_folder
    known = read(folder)
    made_for = dict(known.made_for) if known and known.bits == BITS else {}
    changed = known is None
    for table in CONTENT:
        rows, there = tables.count(table), tables.indexes(table)
        for column in _columns(table, rows):
            if column != "vector" and column not in there:
                tables.index_numbers(table, column)
                changed = True
        worn = _is_worn(there.get("vector"), rows, made_for.get(table, 0), within_a_run)
        if table in VECTORS and rows >= _FEW and worn:
            say(f"indexing {rows} rows of {table}")
            tables.index_vectors(table, partitions_for(rows), BITS)
            tables.tidy(table)  # of the old one nothing stays on the disk
            made_for[table], changed = rows, True
            if known is not None:  # whoever is killed now need not make this one again
                now = Known(known.typical, made_for, time.time(), packed=known.packed)
                _write(folder, now)
    behind = [
        each
        for each in states(tables)
        if is_behind(each, within_a_run=within_a_run) or (force and each.tail)
    ]
    for table in dict.fromkeys(state.table for state in behind):
        say(f"bringing the indexes of {table} up to date")
        tables.tidy(table)
        changed = True
    if changed:
        packed = not any(tables.lacks(name) or not tables.is_packed(name) for name in CONTENT)
        typical = tuple(map(float, _mean(tables)))
        _write(folder, Known(typical, made_for, time.time(), packed=packed))
    return changed


def _is_worn(index: Indexed | None, rows: int, made_for: int, within_a_run: bool) -> bool:
    """Whether an index of vectors lacks, is outgrown, or would have too many parts."""
    grown = _GROWN_WITHIN_A_RUN if within_a_run else _GROWN
    if index is None or rows > grown * made_for:
        return True
    parts = index.parts + (index.tail > _TAIL_OF_VECTORS)  # once it is up to date
    return parts > _PARTS and not within_a_run


def _write(folder: Place, known: Known) -> None:
    write_whole(folder / FILE, json.dumps(asdict(known)))


def partitions_for(rows: int) -> int:
    """How many inverted lists: half the root of the number of rows.

    Making the index compares each row with each list, and the codes in a list are quick to compare,
    so with half of the usual number it takes half as long to make and finds more. Fewer still for
    faces, of which every question looks at all lists, make the codes coarser: more looks of
    strangers come before somebody's, and more have to be read.
    """
    return max(1, math.isqrt(rows) // 2)


def _columns(table: str, rows: int) -> tuple[str, ...]:
    vector = ("vector",) if table in VECTORS and rows >= _FEW else ()
    return (*NUMBERS[table], *vector) if rows else ()


def _mean(tables: Tables) -> NDArray[np.float32]:
    """The mean of keyframe vectors [D], of a sample spread over the whole table."""
    from vidsearch.rows import vectors_of

    return np.asarray(vectors_of(tables.sample("keyframes", "vector", _SAMPLE)).mean(axis=0))
