"""What was found out or read and may be asked for again: the last of it, so much and no more."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key. Those asked for last are kept, up to `most` in all by their `size`.

    Without a `size` each counts as one. Several threads may ask.
    """

    def __init__(self, most: int, size: Callable[[T], int] = lambda _: 1) -> None:
        self._most = most
        self._size = size
        self._held: OrderedDict[Hashable, T] = OrderedDict()
        self._total = 0
        self._lock = Lock()

    def of(self, key: Hashable, find: Callable[[], T]) -> T:
        """The value of a key, which `find` gives where it is not known."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        found = find()
        with self._lock:
            if key not in self._held:
                self._held[key] = found
                self._total += self._size(found)
            while self._total > self._most and self._held:
                _, oldest = self._held.popitem(last=False)
                self._total -= self._size(oldest)
        return found
