"""Which files of an archive are really gone, and dropping their videos.

A file that is not to be seen was deleted, or its disk is not there. The second must never cost a
video its rows (`vidsearch.ground`), so what may only be away is kept until somebody says that it is
meant (`meant`). In a store only its own word that an object does not exist counts.

What people said stays: labels, clusters, enrolled people and their photos know faces by video, time
and place, and find them again when the video comes back.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidsearch.copies import gone, release
from vidsearch.ground import NONE_LEFT, Ground, folders_of, roots_of
from vidsearch.inputs import find_videos, fingerprint, is_video_name
from vidsearch.records import Video
from vidsearch.urls import Place, absolute, is_stored, place, stat_of

if TYPE_CHECKING:
    from vidsearch.store import Store

_NEVER_READ = "path-"  # how ids of files begin that could not be opened when they were indexed


@dataclass(frozen=True)
class Kept:
    """Files that are not to be seen, below `root`, and why that does not mean they are gone."""

    root: bytes
    reason: str
    paths: tuple[bytes, ...]


@dataclass(frozen=True)
class Moved:
    """A video that lies elsewhere now, known by its content."""

    video: Video
    path: bytes


@dataclass(frozen=True)
class Prospect:
    """What `prune` would do: the paths that are gone, videos found elsewhere, and what it keeps."""

    gone: tuple[bytes, ...]
    moved: tuple[Moved, ...]
    kept: tuple[Kept, ...]


@dataclass(frozen=True)
class Pruned:
    """What `prune` did: the videos that lost a path or all their rows, as they were."""

    videos: tuple[Video, ...]
    moved: tuple[Moved, ...]
    kept: tuple[Kept, ...]


def look(store: Store, meant: Iterable[str | bytes | os.PathLike[str]] = ()) -> Prospect:
    """What is gone of the archive; nothing is changed.

    `meant` are folders, buckets or files of which somebody says that all that is missing of them
    was deleted.
    """
    videos = store.videos()
    missing = {video.video_id: gone(video) for video in videos}
    if not any(missing.values()):
        return Prospect((), (), ())
    paths = {path for video in videos for path in video.paths}
    there = paths - {path for each in missing.values() for path in each}
    asked = _asked(store)
    ground = Ground(there, roots_of(asked, paths), [absolute(each) for each in meant])
    lost: list[bytes] = []
    doubts: dict[tuple[bytes, str], list[bytes]] = defaultdict(list)
    for video in videos:
        for path in missing[video.video_id]:
            doubt = None if video.video_id.startswith(_NEVER_READ) else ground.doubt(path)
            (lost if doubt is None else doubts[doubt]).append(path)
    homeless = [v for v in videos if v.paths and set(v.paths) <= set(lost)]
    moved = _elsewhere(homeless, there, asked)
    return Prospect(
        tuple(sorted(set(lost))),
        moved,
        tuple(_kept(root, why, paths) for (root, why), paths in sorted(doubts.items())),
    )


def prune(
    store: Store,
    meant: Iterable[str | bytes | os.PathLike[str]] = (),
    only: Collection[bytes] | None = None,
) -> Pruned:
    """Drop what is gone, of the paths in `only` where that is given; note what has moved.

    `store` is open for writing. A video goes with its last path.
    """
    found = look(store, meant)
    lost = {path for path in found.gone if only is None or path in only}
    for each in found.moved:
        left = tuple(p for p in each.video.paths if p not in lost and p != each.path)
        mtime = stat_of(place(each.path)).st_mtime
        store.update_video(replace(each.video, paths=(each.path, *left), mtime=mtime))
    holders = [video.video_id for video in store.videos() if lost & set(video.paths)]
    return Pruned(tuple(release(store, lost, holders)), found.moved, found.kept)


def _asked(store: Store) -> list[bytes]:
    """What runs were told to index, as far as it is remembered: folders, files and globs."""
    told = dict.fromkeys(path for job in store.jobs() for path in job.paths)
    return [absolute(path) for path in told if os.path.isabs(path) or is_stored(path)]


def _kept(root: bytes, reason: str, paths: Sequence[bytes]) -> Kept:
    """Files that are kept; of a disk that is there, the narrowest folder that holds them all."""
    if reason == NONE_LEFT:
        shared = set.intersection(*(set(folders_of(path)) for path in paths))
        root = max(shared, key=len, default=root)
    return Kept(root, reason, tuple(sorted(set(paths))))


# --- what lies elsewhere now ---------------------------------------------------------------------


def _elsewhere(
    homeless: Sequence[Video], there: Collection[bytes], roots: Sequence[bytes]
) -> tuple[Moved, ...]:
    """Videos without a file that lie, under another name, where videos were indexed.

    Only files of the right size are read, three ranges of 1 MiB of each.
    """
    wanted = {video.video_id: video for video in homeless if video.status != "failed"}
    sizes = {video.size for video in wanted.values()}
    found: dict[str, Moved] = {}
    for file in _candidates(wanted.values(), there, roots) if wanted else ():
        raw = os.fsencode(file)
        try:
            if raw in there or stat_of(file).st_size not in sizes:
                continue
            video = wanted.get(fingerprint(file))
        except OSError:
            continue  # it is not the question here; `index` tells of it
        if video is not None:
            found.setdefault(video.video_id, Moved(video, raw))
    return tuple(found.values())


def _candidates(
    videos: Iterable[Video], there: Collection[bytes], roots: Sequence[bytes]
) -> Iterator[Place]:
    """Files below the folders that were indexed, and beside files that are or were known."""
    seen: set[Place] = set()
    for file in find_videos(roots).files:
        seen.add(file)
        yield file
    paths = {*there, *(path for video in videos for path in video.paths)}
    for folder in sorted({os.fsencode(place(path).parent) for path in paths}):
        try:
            for child in place(folder).iterdir():
                hidden = child.name.startswith(".")
                if child in seen or hidden or stat.S_ISDIR(stat_of(child).st_mode):
                    continue
                if is_video_name(child):
                    yield child
        except OSError:
            continue  # a folder that is not there holds nothing
