"""What was found out or read and may be asked for again: the last of it, so much and no more."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


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
        with self._lock, suppress(ValueError):  # it is larger than all the room there is
            self._held[key] = found
        return found
