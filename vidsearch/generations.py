"""Generations of rows: those that questions are answered from, and another set beside them.

The rows of all videos, as one encoder made them, lie in a folder of their own in the archive; the
first ones lie in the archive folder itself. The stamp (`vidsearch.stamp`) names the generation that
counts, one beside it that can be gone back to, and one that is being built. It is one small file
that is replaced whole, so a switch happens at once: who opened the archive before it goes on with
the rows it has, who opens it after has the others. People, labels, clusters and jobs are common.

A video has the same number (`videos.generation`) in every generation that was made of one indexing
of it, which tells what is left to build and what was indexed since.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import columns, search_index
from vidsearch.errors import VidsearchError
from vidsearch.health import size_of
from vidsearch.records import Video
from vidsearch.schema import ROWS
from vidsearch.stamp import Generation, Stamp, read_stamp, replace_stamp
from vidsearch.tables import explained
from vidsearch.urls import Place

if TYPE_CHECKING:
    from vidsearch.store import Store

_FOLDER = "generations"


@dataclass(frozen=True)
class Kept:
    """A generation that is kept beside the one that counts.

    `role` is "before" for what can be gone back to, "building" for what is not finished; `videos`
    of it have rows, `size` is its bytes on the disk.
    """

    role: str
    generation: Generation
    videos: int
    size: int


def begin(store: Store, encoder: str, dim: int, weights: str, detector: str) -> Store:
    """Make an empty generation beside that of `store`; gives its store.

    Killed before the stamp names it, it is swept by the next writer. Its folder has a name that no
    other ever had: copies for searches, which may lie on other machines, are known by it.
    """
    made = Generation(
        f"{_FOLDER}/{secrets.token_hex(6)}", encoder, dim, weights, detector, time.time()
    )
    with explained(store.folder, "written"):
        (store.folder / made.content).mkdir(parents=True, exist_ok=True)
    store.of(made).make()
    _restamp(store, replace(store.stamp, building=made))
    return next(each for each in store.others() if each.stamp.content == made.content)


def switch(store: Store, target: Store) -> list[Video]:
    """Let questions be answered from `target`, one of `store.others()`; the old rows stay beside.

    What the archive knows of files (paths, failures) goes along. Gives the videos that have rows in
    `store` and not in `target`. `store` still reads the old rows; it is to be closed.
    """
    behind = _bring_files(store, target)
    target.optimize()
    after = target.stamp.generation
    stamp = store.stamp.of(after)
    building = None if store.stamp.building == after else store.stamp.building
    _restamp(store, replace(stamp, beside=store.stamp.generation, building=building))
    return behind


def confirm(store: Store) -> int:
    """Remove the generation that could be gone back to; gives the bytes that became free.

    Raises VidsearchError where there is none.
    """
    gone = store.stamp.beside
    if gone is None:
        raise VidsearchError(
            f"the archive {store.folder} keeps no rows beside those it answers from"
        )
    return _removed(store, gone, replace(store.stamp, beside=None))


def drop(store: Store) -> int:
    """Remove the generation that is being built; gives the bytes that became free.

    Raises VidsearchError where there is none.
    """
    gone = store.stamp.building
    if gone is None:
        raise VidsearchError(f"no reindex of the archive {store.folder} was begun")
    return _removed(store, gone, replace(store.stamp, building=None))


def kept(store: Store) -> tuple[Kept, ...]:
    """The generations beside that of `store`, which may be open for reading only."""
    found, now = [], read_stamp(store.folder)
    for role, generation in (("before", now.beside), ("building", now.building)):
        if generation is not None:
            entries = store.of(generation).entries().values()
            videos = sum(number > 0 for _, number in entries)
            found.append(Kept(role, generation, videos, size(store.folder, generation.content)))
    return tuple(found)


def size(folder: Place, content: str) -> int:
    """Bytes of a generation's tables and of its copies for searches."""
    return sum(size_of(part) for part in _parts(folder, content))


def sweep(store: Store) -> None:
    """Remove what belongs to no generation: what was begun or removed by a killed process."""
    named = {each.content for each in (store.stamp.generation, *store.stamp.others)}
    with explained(store.folder, "written"):
        if named == {""} and not (store.folder / _FOLDER).is_dir():
            return
        for content in _there(store.folder):
            if content not in named:
                _delete(store.folder, content)


def _restamp(store: Store, stamp: Stamp) -> None:
    with explained(store.folder, "written"):
        replace_stamp(store.folder, store.stamp, stamp)
    if stamp.content == store.stamp.content:
        store.stamp = stamp


def _removed(store: Store, gone: Generation, stamp: Stamp) -> int:
    """First the stamp, so that nobody opens what is half gone; who is killed leaves a rest."""
    freed = size(store.folder, gone.content)
    _restamp(store, stamp)
    store.others()  # lets go of the one that goes
    with explained(store.folder, "written"):
        _delete(store.folder, gone.content)
    return freed


def _bring_files(store: Store, target: Store) -> list[Video]:
    """Where files lie now and what failed, as `store` knows it; gives what `target` lacks."""
    known = target.entries()
    changed: list[tuple[Video, int]] = []
    behind: list[Video] = []
    for video_id, (video, number) in store.entries().items():
        if video_id not in known:
            if number:
                behind.append(video)
            else:
                changed.append((video, number))
            continue
        there, theirs = known[video_id]
        moved = replace(there, paths=video.paths, mtime=video.mtime)
        if moved != there:
            changed.append((moved, theirs))
        elif number > theirs:
            behind.append(video)  # indexed again since
    if changed:
        target.note(changed)
    return behind


def _there(folder: Place) -> Iterator[str]:
    """The contents that lie in an archive folder, whoever they are of."""
    with suppress(FileNotFoundError):
        names = [each.name for each in (folder / _FOLDER).iterdir()]
        yield from (f"{_FOLDER}/{name}" for name in names)
    copies = _parts(folder, "")[len(ROWS) :]
    if any((folder / f"{name}.lance").is_dir() for name in ROWS) or any(
        copy.exists() for copy in copies
    ):
        yield ""


def _parts(folder: Place, content: str) -> list[Place]:
    if content:
        inner = folder / content
        outside = [] if isinstance(folder, Path) else [columns.copies(inner)]
        return [inner, *outside]
    copies = [columns.copies(folder) / f"{name}.arrow" for name in ROWS]
    return [*(folder / f"{name}.lance" for name in ROWS), folder / search_index.FILE, *copies]


def _delete(folder: Place, content: str) -> None:
    """Remove all files of a generation. Raises OSError."""
    for part in _parts(folder, content):
        if not isinstance(part, Path):
            for each in [*part.rglob("*"), part]:
                each.unlink(missing_ok=True)
        elif part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
