"""What was found out or read and may be asked for again: the last of it, so much and no more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from vidsearch.rows import Arrays, Ints

T = TypeVar("T")
_OVERHEAD = 120  # bytes of an array without any number in it
_OVERHEAD_OF_SHOT = 500  # and of a key with its places in three dictionaries


class Kept(Generic[T]):
    """Values by key. Those asked for last are kept, up to `most` in all by their `size`.

    Without a `size` each counts as one. Several threads may ask.
    """

    def __init__(self, most: int, size: Callable[[T], int] = lambda _: 1) -> None:
        self._held: LRUCache[Hashable, T] = LRUCache(most, getsizeof=size)
        self._lock = Lock()

    def of(self, key: Hashable, find: Callable[[], T]) -> T:
        """The value of a key, which `find` gives where it is not known."""
        with self._lock, suppress(KeyError):
            return self._held[key]
        found = find()
        self.keep([(key, found)])
        return found

    def known(self, keys: Iterable[Hashable]) -> dict[Hashable, T]:
        """The values of those of `keys` that are known."""
        with self._lock:
            return {key: self._held[key] for key in keys if key in self._held}

    def keep(self, values: Iterable[tuple[Hashable, T]]) -> None:
        """Keep values by key, if there is room for each alone."""
        with self._lock:
            for key, value in values:
                with suppress(ValueError):  # it is larger than all the room there is
                    self._held[key] = value


class KeptShots:
    """The rows of shots in some tables, by the shots' places, up to `most` bytes.

    `nothing` are the columns of each table without any row, `place` among them.
    """

    def __init__(self, nothing: Mapping[str, Arrays], most: int) -> None:
        self._records = {name: _records(columns) for name, columns in nothing.items()}
        self._kept = Kept[tuple[NDArray[np.void], ...]](most, _size)

    def of(self, places: Ints, read: Callable[[Ints], Mapping[str, Arrays]]) -> dict[str, Arrays]:
        """The columns of each table, of the rows of shots at `places` (each once).

        `read` gives them of those places that are not known.
        """
        known = self._kept.known(places.tolist())
        lacking = np.array([place for place in places.tolist() if place not in known], np.int64)
        if len(lacking):
            new = list(self._split(lacking, read(lacking)))
            self._kept.keep(new)
            known.update(new)
        each = [known[place] for place in places.tolist()]
        return {
            name: _columns(np.concatenate([rows[n] for rows in each]).view(record))
            if each
            else _columns(np.empty(0, record))
            for n, (name, record) in enumerate(self._records.items())
        }

    def _split(
        self, places: Ints, tables: Mapping[str, Arrays]
    ) -> Iterable[tuple[Hashable, tuple[NDArray[np.void], ...]]]:
        """The rows of each place, of all tables; copies, so that nothing else stays in memory.

        They are bare bytes: those are put together much faster than records are.
        """
        parts: list[Sequence[NDArray[np.void]]] = []
        for name, record in self._records.items():
            rows = _packed(tables[name], record)
            rows = rows[np.argsort(rows["place"], kind="stable")]
            first = np.searchsorted(rows["place"], places, "left").tolist()
            last = np.searchsorted(rows["place"], places, "right").tolist()
            bare = rows.view(f"V{record.itemsize}")
            parts.append([bare[a:b].copy() for a, b in zip(first, last, strict=True)])
        return zip(places.tolist(), zip(*parts, strict=True), strict=True)


def _records(columns: Arrays) -> np.dtype[np.void]:
    """The type of one row of some columns."""
    return np.dtype([(name, column.dtype, column.shape[1:]) for name, column in columns.items()])


def _packed(columns: Arrays, record: np.dtype[np.void]) -> NDArray[np.void]:
    """Columns as one array of records [N]."""
    rows = np.empty(len(columns["place"]), record)
    for name, column in columns.items():
        rows[name] = column
    return rows


def _columns(rows: NDArray[np.void]) -> Arrays:
    """The columns of records [N], each in one piece."""
    return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}


def _size(rows: tuple[NDArray[np.void], ...]) -> int:
    return _OVERHEAD_OF_SHOT + sum(_OVERHEAD + each.nbytes for each in rows)
