"""Whether a file that is not to be seen was deleted, or its disk is not there.

The second must never cost a video its rows, nor be told as the first. So a file counts as gone only
where something vouches for its disk: another known file in the same folder or below it, or a folder
that still holds something. Of a folder that is missing or empty altogether, and of a mount point, a
bucket or a folder of which all was asked for and no file is left, nothing is taken for deleted.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import PurePath

from vidsearch.urls import is_url

NONE_LEFT = "none of the files that were indexed there is left"


def roots_of(asked: Iterable[bytes], paths: Collection[bytes]) -> set[bytes]:
    """The folders of which all was asked for, by what was `asked` for and the known `paths`.

    A file that was asked for by itself stands for its folder. So does one that is below none of
    the folders asked for: it came by a glob, or by a run that nobody remembers any more.
    """
    asked, files = set(asked), set(paths)
    folders = asked - files
    holding = set(map(os.path.dirname, files))
    unasked = {folder for folder in holding if not _is_below(folder, folders)}
    return folders | unasked | set(map(os.path.dirname, asked & files))


def _is_below(folder: bytes, folders: Collection[bytes]) -> bool:
    return folder in folders or any(each in folders for each in folders_of(folder))


class Ground:
    """What vouches for a folder: files `there`, the `roots` that were indexed, what is `meant`."""

    def __init__(
        self, there: Iterable[bytes], roots: Collection[bytes], meant: Iterable[bytes] = ()
    ) -> None:
        self._vouched = {folder for path in there for folder in folders_of(path)}
        self._roots = set(roots)
        self._meant = set(meant)
        self._why = cache(self._reason)

    def doubt(self, path: bytes) -> tuple[bytes, str] | None:
        """The folder for which nothing vouches and why; None where a missing file is gone."""
        above = list(folders_of(path))
        if self._meant & {path, *above}:
            return None
        if not is_url(path) and os.path.islink(path):
            return path, "it is a link to something that is not there"
        alone = [folder for folder in above if folder not in self._vouched]
        for folder in alone:
            if reason := self._why(folder):
                return folder, reason
        if len(alone) == len(above):  # not one file of this disk, or of this store, is there
            return above[0], NONE_LEFT
        return None

    def _reason(self, folder: bytes) -> str:
        """Why the files of a folder of which none is there need not be gone; "" if they are."""
        if is_url(folder):
            is_bucket = folder.count(b"/") == 2
            return NONE_LEFT if is_bucket or folder in self._roots else ""
        try:
            entries = os.listdir(folder)
        except FileNotFoundError:
            return "the folder is not there"
        except NotADirectoryError:
            return "it is no folder any more"
        except OSError as error:
            return f"the folder cannot be looked into ({(error.strerror or str(error)).lower()})"
        if all(name.startswith(b".") for name in entries):
            return "the folder is empty"
        if os.path.dirname(folder) == folder:
            return ""  # the whole file system: it is there
        return NONE_LEFT if folder in self._roots or os.path.ismount(folder) else ""


def folders_of(path: bytes) -> Iterator[bytes]:
    """The folders that a path lies in, the outermost first; of an object, from its bucket on."""
    if is_url(path):
        scheme, _, rest = path.partition(b"://")
        names = rest.split(b"/")
        for n in range(1, len(names)):
            yield scheme + b"://" + b"/".join(names[:n])
        return
    for folder in reversed(PurePath(os.fsdecode(path)).parents):
        yield os.fsencode(folder)
