"""Rows of a large archive, looked up by its indexes: the nearest ones, those of shots, of videos.

What comes of it is a `Rows` of some shots, from which a question is answered as from all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from vidsearch.kept import Kept
from vidsearch.records import Ints, Label, Rows, Vector, Video
from vidsearch.rows import joined, vectors_of
from vidsearch.schema import CONTENT, ORDER, SEARCHED
from vidsearch.search_index import Known, partitions_for
from vidsearch.tables import Tables, explained

_PROBES = 100  # inverted lists that are looked at, at least, for up to so many rows:
_FOR_ROWS = 500
_SHARE, _SHARE_OF_FILTERED = 8, 2  # and at least one in so many of all lists: less finds less
_REFINED = 8  # the best of so many times the keyframes that are wanted
_AT_ONCE = 5000  # places in one condition
_REMEMBERED = 256  # people and filters
_KEPT_BYTES = 256 << 20  # of rows of people, and as many of vectors of their keyframes
_PICTURES = ("shots", "keyframes")


class Lookup:
    """The rows of an archive that has indexes, as long as nothing is committed to it.

    `videos` are those published, by generation. `remembered` is what was found out about people and
    filters, by whatever that depends on.

    Every method raises `ArchiveUnavailable` where the tables cannot be read.
    """

    def __init__(
        self, tables: Tables, known: Known, videos: Mapping[int, Video], labels: Sequence[Label]
    ) -> None:
        self.typical = known.mean
        self._lists = partitions_for(known.made_for.get("keyframes", 0))
        self.videos = videos
        self.labels = labels
        self._tables = tables
        self.remembered = Kept[Any](_REMEMBERED)
        self._kept = Kept[Rows](_KEPT_BYTES, lambda rows: rows.nbytes)
        self._pictures = Kept[pa.Table](_KEPT_BYTES, lambda table: table.nbytes)
        self._video = lru_cache(maxsize=16)(
            lambda number: self._rows({name: [_in("generation", [number])] for name in CONTENT})
        )

    def nearest_keyframes(
        self, directions: Vector, n: int, where: str | None = None
    ) -> tuple[pa.Table, list[float]]:
        """The `n` keyframes nearest to each of `directions` [M, D], each once, as `SEARCHED` says.

        `where` (SQL) narrows them before. Beside them, for each direction, the product with the
        last of its keyframes, -inf where there were no more: none that is left out is nearer, as
        far as the index can tell.
        """
        # What a filter leaves is thinner, so that its nearest lie in more of the lists.
        share = self._lists // (_SHARE if where is None else _SHARE_OF_FILTERED)
        probes = max(share, _PROBES * -(-n // _FOR_ROWS))

        def nearest(direction: Vector) -> tuple[pa.Table, float]:
            table = self._nearest("keyframes", direction, n, where, probes, _REFINED)
            last = float((vectors(table) @ direction).min()) if len(table) == n else -np.inf
            return table.select(["place", *SEARCHED["keyframes"]]), last

        with ThreadPoolExecutor(2) as pool:
            tables, last = zip(*pool.map(nearest, directions), strict=True)
        return _each_once(pa.concat_tables(tables), "time_s"), list(last)

    def nearest_faces(self, face: Vector, n: int, where: str | None = None) -> pa.Table:
        """The `n` looks nearest to a face [F], nearest first, as `SEARCHED` says, with `place`.

        Nobody may be missed, and people are remembered: every list is looked at.
        """
        return self._nearest("faces", face, n, where).select(["place", *SEARCHED["faces"]])

    def places(self, table: str, where: str | None, n: int | None = None) -> Ints:
        """The places of the first `n` rows that fit, of all for None; each once, in their order."""
        with explained(self._tables.folder, "read"):
            found = integers(self._tables.read(table, ["place"], where, n), "place")
        _, first = np.unique(found, return_index=True)
        return found[np.sort(first)]

    def count(self, table: str, where: str | None) -> int:
        """How many rows fit."""
        with explained(self._tables.folder, "read"):
            return self._tables.count(table, where)

    def shots(self, generations: Iterable[int]) -> pa.Table:
        """`generation`, `place`, `start_s` and `end_s` of all shots of some videos."""
        wanted = ["generation", "place", "start_s", "end_s"]
        with explained(self._tables.folder, "read"):
            return self._tables.read("shots", wanted, _in("generation", generations))

    def keyframes_at(self, places: Ints, where: str | None = None) -> pa.Table:
        """All keyframes of some shots that fit `where`, as `SEARCHED` says, with `place`.

        They are for shots that will be asked for again, those of a person: the last are kept.
        """

        def read(some: Ints) -> pa.Table:
            there = _at(some) if where is None else f"{_at(some)} AND ({where})"
            return self._tables.read("keyframes", ["place", *SEARCHED["keyframes"]], there)

        def read_all() -> pa.Table:
            with explained(self._tables.folder, "read"), ThreadPoolExecutor(2) as pool:
                return pa.concat_tables(pool.map(read, _portions(places))).combine_chunks()

        return self._pictures.of((places.tobytes(), where), read_all)

    def rows_at(self, places: Ints, *, faces: bool = True) -> Rows:
        """The rows of the shots at `places`, in archive order; without `faces` nobody looks at."""
        at = [_at(some) for some in _portions(places)]
        return self._rows({name: at for name in CONTENT if faces or name in _PICTURES})

    def kept_at(self, places: Ints, *, faces: bool = True) -> Rows:
        """The same of shots that will be asked for again, those of a person: the last are kept."""
        return self._kept.of((places.tobytes(), faces), lambda: self.rows_at(places, faces=faces))

    def rows_of(self, keyframes: pa.Table, whole: Ints, *, faces: bool) -> Rows:
        """The rows of shots of which `keyframes` were read before, in archive order.

        They have these keyframes alone, and with `faces` those of all. Of the shots at `whole`,
        which need not be among them, everything is read.
        """
        places = integers(keyframes, "place")
        every, at = np.union1d(places, whole), [_at(some) for some in _portions(whole)]
        every_at = [_at(some) for some in _portions(every)]
        with_faces = every_at if faces else at
        others = taken(keyframes, np.flatnonzero(~np.isin(places, whole)))
        return self._rows(
            {"shots": every_at, "keyframes": at, "faces": with_faces, "figures": with_faces}, others
        )

    def rows_of_video(self, video_id: str) -> Rows:
        """All rows of a video, none of one that has none; the last few are kept."""
        number = next((n for n, video in self.videos.items() if video.video_id == video_id), 0)
        return self._video(number)

    @cached_property
    def _has_figures(self) -> bool:
        return self._tables.count("figures") > 0

    def _nearest(
        self,
        name: str,
        vector: Vector,
        n: int,
        where: str | None,
        probes: int | None = None,
        refined: int = 1,
    ) -> pa.Table:
        wanted = ["place", *SEARCHED[name]]
        with explained(self._tables.folder, "read"):
            return self._tables.nearest(
                name, vector.tolist(), n, wanted, where, probes=probes, refined=refined
            )

    def _rows(self, wanted: Mapping[str, Sequence[str]], keyframes: pa.Table | None = None) -> Rows:
        """The rows of each table that fit one of the conditions, and `keyframes` read before."""

        def read(name: str) -> pa.Table:
            found = [self._tables.read(name, SEARCHED[name], each) for each in wanted.get(name, ())]
            if name == "keyframes" and keyframes is not None:
                found.append(keyframes.select(list(SEARCHED[name])))
            return pa.concat_tables(found) if found else self._nothing(name)

        names = ["faces", "keyframes", *(["figures"] if self._has_figures else [])]
        with explained(self._tables.folder, "read"):
            with ThreadPoolExecutor(3) as pool:
                tables = dict(zip(names, pool.map(read, names), strict=True))
            # Last: whoever finds a shot has read its other rows before any of them was deleted.
            tables["shots"] = read("shots")
        tables.setdefault("figures", self._nothing("figures"))
        ordered = {
            name: table.sort_by([(column, "ascending") for column in ORDER[name]])
            for name, table in tables.items()
        }
        there = np.unique(integers(tables["shots"], "generation")).tolist()
        published = [(self.videos[each], each) for each in there if each in self.videos]
        ids = {video.video_id for video, _ in published}
        labels = [label for label in self.labels if label.video_id in ids]
        return joined(published, ordered, labels, self.typical)

    def _nothing(self, name: str) -> pa.Table:
        return self._tables.nothing(name).select(list(SEARCHED[name]))


def _each_once(table: pa.Table, also: str) -> pa.Table:
    moments = np.array(table[also].to_pylist(), np.float64)
    order = np.lexsort((moments, places := integers(table, "place")))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(places[order]) != 0) | (np.diff(moments[order]) != 0)
    first = order[new]
    return taken(table, np.sort(first))


def taken(table: pa.Table, at: Ints) -> pa.Table:
    """Some rows of a table, by their numbers."""
    return table.take(pa.array(at.tolist(), pa.int64()))  # of an array would import pandas


def vectors(table: pa.Table) -> Vector:
    """The column `vector`, float32 [N, D]."""
    if not len(table):
        return np.zeros((0, table.schema.field("vector").type.list_size), np.float32)
    return vectors_of(table["vector"].combine_chunks())


def integers(table: pa.Table, column: str) -> Ints:
    """A column of whole numbers as int64 [N]."""
    return np.array(table[column].to_pylist(), np.int64)


def _portions(places: Ints) -> list[Ints]:
    return [places[at : at + _AT_ONCE] for at in range(0, len(places), _AT_ONCE)]


def _at(places: Ints) -> str:
    return _in("place", places.tolist())


def _in(column: str, values: Iterable[int]) -> str:
    return f"{column} IN ({', '.join(str(int(value)) for value in values)})"
