"""Whether a file that is not seen any more was taken away, or the disk that it is on.

The first is for the file to bear, as without Ray: it has failed. The second may be so on this
machine alone, or on one node: it says nothing of the file. Both look the same from the file itself,
so the disk of each folder is noted before the work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from workers.nodes import last_folder


@dataclass(frozen=True)
class Disks:
    """The files of a job and, by folder, the disks (`st_dev`) that they were on when it began."""

    paths: tuple[str, ...]
    _of: dict[str, int]

    @classmethod
    def of(cls, paths: Iterable[str]) -> Disks:
        """Note the disks of files as they are now."""
        files = tuple(paths)
        found = {folder: _disk(folder) for folder in {os.path.dirname(path) for path in files}}
        return cls(files, {folder: disk for folder, disk in found.items() if disk is not None})

    def lost(self, path: str) -> bool:
        """Whether a file that is not seen here was taken away, and its disk is still there.

        It is if what is left of the way to the file is on that disk. A disk that was mounted anew
        may have another number: then any other file of it tells. Where the folder had gone before
        its disk was noted, those below what is left of the way do.
        """
        left = last_folder(path)
        disk = self._of.get(os.path.dirname(path))
        if disk is None:
            return any(map(os.path.exists, self._below(left, path)))
        others = (p for p in self.paths if p != path and self._of.get(os.path.dirname(p)) == disk)
        return _disk(left) == disk or any(map(os.path.exists, others))

    def instead(self, path: str, under: str) -> str:
        """About which file a node is asked that did not see `path`, to learn of the folder `under`.

        The same one if it is there, or its disk is not here either; else that one of the folder
        which is nearest to it, "" where there is none.
        """
        if os.path.exists(path) or not self.lost(path):
            return path
        others = self._below(under, path)
        others.sort(key=lambda other: -len(os.path.commonpath([other, path])))
        return next(filter(os.path.exists, others), "")

    def _below(self, folder: str, path: str) -> list[str]:
        start = folder.rstrip("/") + "/"
        return [other for other in self.paths if other != path and other.startswith(start)]


def _disk(folder: str) -> int | None:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return None
