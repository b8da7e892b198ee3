"""Rows of a large archive, looked up by its indexes: the nearest ones, those of shots, of videos.

What comes of it is a `Rows` of some shots, from which a question is answered as from all of them.
What was read is kept for the questions that follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from vidsearch import packing
from vidsearch.kept import Kept, KeptShots
from vidsearch.records import EXACT_BELOW, Ints, Label, Rows, Vector, Video
from vidsearch.rows import Arrays, arrays_of, joined, searched_of
from vidsearch.schema import CONTENT, ORDER, SEARCHED
from vidsearch.search_index import Known, partitions_for
from vidsearch.tables import Tables, Wanted, explained

_PROBES = 80  # inverted lists that are looked at, at least, for each so many rows
_FOR_ROWS = 500
_SHARE = 13  # and at least one in so many of all lists: less finds less
_REFINED = 2  # the best of so many times the keyframes that are wanted
_COMPARED, _COMPARED_ONE_BIT = 48, 800  # and of so many at least; of codes of one bit
_OFTEN = 1 / 20  # a filter that leaves so much is looked at when the nearest are found
_SPARE = 1.25  # times as many as it leaves on average
_WIDER = 2  # in so many times the lists: what it leaves lies in more of them
_AT_ONCE = 5000  # places in one condition
_REMEMBERED = 256  # people and filters
_KEPT_BYTES = 512 << 20  # of rows of people, and as many of vectors of their keyframes
_KEPT_BYTES_OF_SHOTS = 64 << 20  # of candidates, of each way in which they are read
_KEPT_BYTES_OF_VIDEOS = 256 << 20  # of rows of whole videos
_KEPT_BYTES_OF_NEAREST = 64 << 20  # of keyframes that an index found
_PICTURES = ("shots", "keyframes")
_FACES = ("shots", "faces", "figures")
In = TypeVar("In")
Out = TypeVar("Out")


class Lookup:
    """The rows of an archive that has indexes, as long as nothing is committed to it.

    `videos` are those published, by generation. `remembered` is what was found out about people and
    filters, by whatever that depends on. Of fewer keyframes than `exact_below` that a filter leaves
    all are compared. Columns are those of `SEARCHED`, and `place`; where
    rows are packed, keyframes have those of their shots too (`vidsearch.packing`).

    Every method raises `ArchiveUnavailable` where the tables cannot be read.
    """

    def __init__(
        self,
        tables: Tables,
        known: Known,
        videos: Mapping[int, Video],
        labels: Sequence[Label],
        exact_below: int = EXACT_BELOW,
    ) -> None:
        self.typical = known.mean
        self._lists = partitions_for(known.made_for.get("keyframes", 0))
        self._compared = _COMPARED if known.bits > 1 else _COMPARED_ONE_BIT
        self.videos = videos
        self._exact_below = exact_below
        self.labels = labels
        self._tables = tables
        self.remembered = Kept[Any](_REMEMBERED)
        self._kept = Kept[Rows](_KEPT_BYTES, lambda rows: rows.nbytes)
        self._pictures = Kept[Arrays](_KEPT_BYTES, _size)
        self._videos = Kept[Rows](_KEPT_BYTES_OF_VIDEOS, lambda rows: rows.nbytes)
        self._found = Kept[Arrays](_KEPT_BYTES_OF_NEAREST, _size)
        # None of what is kept holds the lookup: after a commit all of it goes at once.
        self._packed = known.packed
        self._read_of = {
            name: _packed(SEARCHED[name]) if known.packed else SEARCHED[name] for name in CONTENT
        }
        self._none = {
            name: searched_of(name, tables.nothing(name).select(self._read_of[name]))
            for name in CONTENT
        }
        ways: tuple[tuple[str, ...], ...] = (CONTENT, _FACES, ("shots",))
        self._shots = {
            names: KeptShots({name: self._none[name] for name in names}, _KEPT_BYTES_OF_SHOTS)
            for names in ways
        }

    def warm(self) -> None:
        """Read all indexes into memory, parts of which are read else when a question needs them."""
        with explained(self._tables.folder, "read"):
            for table in CONTENT:
                self._tables.warm(table)

    def nearest_keyframes(
        self, directions: Vector, n: int, where: str | None = None, share: float = 1.0
    ) -> tuple[Arrays, list[float]]:
        """The `n` keyframes nearest to each of `directions` [M, D], each once.

        `where` (SQL) narrows them before, to about `share` of all. Beside them, for each direction,
        the product with the last of its keyframes, -inf where there were no more: none that is left
        out is nearer, as far as the index can tell. What is found, and what a filter leaves where
        it can be compared one by one, is kept: whoever turns a page, says that somebody be not
        there, or asks for something else of the same month, asks for the same.
        """
        if where is not None and share * self._n_keyframes < self._exact_below:
            return _nearest_of(self._keyframes_where(where), directions, n)

        def nearest(direction: Vector) -> tuple[Arrays, float]:
            key = (direction.tobytes(), n, where)
            found = self._found.of(key, lambda: self._found_by_index(direction, n, where, share))
            full = len(found["place"]) == n
            return found, float((found["vector"] @ direction).min()) if full else -np.inf

        tables, last = zip(*_each(nearest, directions), strict=True)
        return _each_once(concatenated(tables), "time_s"), list(last)

    def _found_by_index(self, direction: Vector, n: int, where: str | None, share: float) -> Arrays:
        """The `n` keyframes nearest to a direction of those that fit `where`.

        An index that is told a filter which leaves much takes longer for that than for all else.
        So as many more of all keyframes are looked for, and it is told where too few of those fit.
        """
        probes = self._probes(n, where, share)
        if where is not None and share >= _OFTEN:
            more = math.ceil(_SPARE * n / share)
            found = self._nearest("keyframes", direction, more, where, probes, before=False)
            if len(found["place"]) >= n:
                return taken(found, np.argsort(-(found["vector"] @ direction))[:n])
        return self._nearest("keyframes", direction, n, where, probes)

    def _probes(self, n: int, where: str | None, share: float) -> int:
        """How many inverted lists are looked at."""
        probes = max(self._lists // _SHARE, _PROBES * math.ceil(n / _FOR_ROWS))
        if where is not None:
            # What a filter leaves is thinner: its nearest lie as far as so many more of all would,
            # though not in so many more lists.
            as_of_all = n / max(share, 1e-9)
            probes = max(probes, math.ceil(_PROBES * math.sqrt(as_of_all / _FOR_ROWS)))
            if share >= _OFTEN:
                probes *= _WIDER
        return min(probes, self._lists)

    def nearest_faces(self, face: Vector, n: int, where: str | None = None) -> Arrays:
        """The `n` looks nearest to a face [F], nearest first.

        Nobody may be missed, and people are remembered: every list is looked at.
        """
        return self._nearest("faces", face, n, where)

    def places(self, table: str, where: str | None, n: int | None = None) -> Ints:
        """The places of the first `n` rows that fit, of all for None; each once, in their order."""
        with explained(self._tables.folder, "read"):
            found = arrays_of(self._tables.read(table, ["place"], where, n))["place"]
        _, first = np.unique(found, return_index=True)
        return found[np.sort(first)]

    def count(self, table: str, where: str | None) -> int:
        """How many rows fit."""
        with explained(self._tables.folder, "read"):
            return self._tables.count(table, where)

    def shots(self, generations: Iterable[int]) -> Arrays:
        """`generation`, `place`, `start_s` and `end_s` of all shots of some videos."""
        wanted = ["generation", "place", "start_s", "end_s"]
        with explained(self._tables.folder, "read"):
            return arrays_of(self._tables.read("shots", wanted, _in("generation", generations)))

    def keyframes_at(self, places: Ints, where: str | None = None) -> Arrays:
        """All keyframes of some shots that fit `where`.

        They are for shots that will be asked for again, those of a person: the last are kept.
        """

        def read() -> Arrays:
            fit = "" if where is None else f" AND ({where})"
            return self._read(("keyframes",), [at + fit for at in _conditions(places)])["keyframes"]

        return self._pictures.of((places.tobytes(), where), read)

    def _keyframes_where(self, where: str) -> Arrays:
        return self._pictures.of(where, lambda: self._read(("keyframes",), [where])["keyframes"])

    def rows_at(self, places: Ints, *, faces: bool = True) -> Rows:
        """The rows of the shots at `places`, in archive order; without `faces` nobody looks at."""
        return self._joined(self._read(CONTENT if faces else _PICTURES, _conditions(places)))

    def kept_at(self, places: Ints, *, faces: bool = True) -> Rows:
        """The same of shots that will be asked for again, those of a person: the last are kept."""
        return self._kept.of((places.tobytes(), faces), lambda: self.rows_at(places, faces=faces))

    def rows_of(self, keyframes: Arrays, whole: Ints, *, faces: bool) -> Rows:
        """The rows of shots of which `keyframes` were read before, in archive order.

        They have these keyframes alone, and with `faces` those of all. Of the shots at `whole`,
        which need not be among them, everything is read. The last shots are kept.
        """
        others = taken(keyframes, np.flatnonzero(~np.isin(keyframes["place"], whole)))
        beside = self._beside(others, faces=faces)
        everything = self._kept_of(CONTENT, whole) if len(whole) else {}
        parts = [beside, {"keyframes": others}, everything]
        return self._joined(
            {
                name: concatenated([part[name] for part in parts if name in part])
                for name in CONTENT
                if any(name in part for part in parts)
            }
        )

    def _beside(self, keyframes: Arrays, *, faces: bool) -> dict[str, Arrays]:
        """The rows of other tables of the shots of some keyframes, which tell of them if packed."""
        places, first = np.unique(keyframes["place"], return_index=True)
        if faces or not self._packed:
            return self._kept_of(_FACES if faces else ("shots",), places)
        return {"shots": packing.shots_of(taken(keyframes, first)) | {"place": places}}

    def rows_of_video(self, video_id: str) -> Rows:
        """All rows of a video, none of one that has none; the last few are kept."""
        number = next((n for n, video in self.videos.items() if video.video_id == video_id), 0)
        at = [_in("generation", [number])]
        return self._videos.of(number, lambda: self._joined(self._read(CONTENT, at)))

    @cached_property
    def _n_keyframes(self) -> int:
        return self._tables.count("keyframes")

    @cached_property
    def has_figures(self) -> bool:
        """Whether there are pictures of somebody alone."""
        return self._tables.count("figures") > 0

    def _nearest(
        self,
        name: str,
        vector: Vector,
        n: int,
        where: str | None,
        probes: int | None = None,
        *,
        before: bool = True,
    ) -> Arrays:
        """The `n` nearest rows; of all lists, or not all fit `before`, as the codes say alone."""
        exact = before and probes is not None
        refined = max(_REFINED, math.ceil(self._compared / n)) if exact else 1
        # Packed, all of what is compared is read with its vector; else Lance compares, and the
        # columns of the best alone are read.
        here, there = (refined, 1) if self._packed else (1, refined)
        wanted = self._read_of[name]
        with explained(self._tables.folder, "read"):
            told = self._tables.nearest(
                name, vector.tolist(), here * n, wanted, where,
                probes=probes, refined=there, least=n, before=before,
            )  # fmt: skip
        found = searched_of(name, told.select(wanted))
        return found if here == 1 else taken(found, np.argsort(-(found["vector"] @ vector))[:n])

    def _kept_of(self, names: tuple[str, ...], places: Ints) -> dict[str, Arrays]:
        return self._shots[names].of(places, lambda new: self._read(names, _conditions(new)))

    def _read(self, names: Sequence[str], conditions: Sequence[str]) -> dict[str, Arrays]:
        """The rows of some tables that fit one of the conditions, of each table at once."""

        with explained(self._tables.folder, "read"):
            there = [name for name in names if name != "figures" or self.has_figures]
            wanted = [
                Wanted(name, self._read_of[name], each) for name in there for each in conditions
            ]
            before = self._tables.newest("shots")
            found = self._tables.read_each(wanted)
            if len(there) > 1 and "shots" in there and self._tables.newest("shots") != before:
                # Rows of a video are deleted from shots first: whoever finds a shot has to have
                # read its other rows before any of them was deleted.
                again = iter(self._tables.read_each([w for w in wanted if w.table == "shots"]))
                found = [
                    next(again) if each.table == "shots" else rows
                    for each, rows in zip(wanted, found, strict=True)
                ]
        return {
            name: concatenated(
                [
                    searched_of(name, rows)
                    for each, rows in zip(wanted, found, strict=True)
                    if each.table == name
                ]
                or [self._none[name]]
            )
            for name in names
        }

    def _joined(self, tables: Mapping[str, Arrays]) -> Rows:
        """Rows in archive order, of `shots` and of what there is of the other tables."""
        ordered = {
            name: _sorted(tables[name], ORDER[name]) if name in tables else self._none[name]
            for name in CONTENT
        }
        there = np.unique(ordered["shots"]["generation"]).tolist()
        published = [(self.videos[each], each) for each in there if each in self.videos]
        ids = {video.video_id for video, _ in published}
        labels = [label for label in self.labels if label.video_id in ids]
        return joined(published, ordered, labels, self.typical)


def concatenated(tables: Sequence[Arrays]) -> Arrays:
    """Rows of the same columns, one after the other."""
    if len(tables) == 1:
        return tables[0]
    return {name: np.concatenate([each[name] for each in tables]) for name in tables[0]}


def taken(columns: Arrays, at: Ints) -> Arrays:
    """Some rows, by their numbers."""
    return {name: column[at] for name, column in columns.items()}


def _nearest_of(keyframes: Arrays, directions: Vector, n: int) -> tuple[Arrays, list[float]]:
    """What `Lookup.nearest_keyframes` gives, by comparing each of some keyframes."""
    products = directions @ keyframes["vector"].T
    if len(keyframes["place"]) < n:
        return _each_once(keyframes, "time_s"), [-np.inf] * len(directions)
    best = np.argpartition(-products, n - 1, axis=1)[:, :n]
    last = np.take_along_axis(products, best, axis=1).min(axis=1)
    return _each_once(taken(keyframes, best.ravel()), "time_s"), last.tolist()


def _each(ask: Callable[[In], Out], what: Iterable[In]) -> list[Out]:
    """What `ask` gives of each, of several at a time."""
    what = list(what)
    if len(what) < 2:  # threads take longer to start than the least questions to answer
        return [ask(each) for each in what]
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(ask, what))


def _packed(columns: Sequence[str]) -> tuple[str, ...]:
    """What is read in the place of some columns where their numbers are packed."""
    return (packing.COLUMN, *(name for name in columns if name == "vector"))


def _sorted(columns: Arrays, by: Sequence[str]) -> Arrays:
    return taken(columns, np.lexsort([columns[name] for name in reversed(by)]))


def _each_once(columns: Arrays, also: str) -> Arrays:
    """The first row of each place and value of `also`, in the order in which they come."""
    order = np.lexsort((columns[also], columns["place"]))
    new = np.ones(len(order), bool)
    new[1:] = np.diff(columns["place"][order]) != 0
    new[1:] |= np.diff(columns[also][order]) != 0
    return taken(columns, np.sort(order[new]))


def _size(columns: Arrays) -> int:
    return sum(column.nbytes for column in columns.values())


def _conditions(places: Ints) -> list[str]:
    """SQL for the rows of the shots at `places`, of so many at a time."""
    portions = (places[at : at + _AT_ONCE] for at in range(0, len(places), _AT_ONCE))
    return [_in("place", portion.tolist()) for portion in portions]


def _in(column: str, values: Iterable[int]) -> str:
    return f"{column} IN ({', '.join(str(int(value)) for value in values)})"
