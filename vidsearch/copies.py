"""Where the copies of a video lie: which one to show, which are gone, and forgetting them.

A video of the archive is a content; its paths are the files that hold it. A video that has lost
its last path is nowhere, so it goes with all its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import PurePath
from typing import TYPE_CHECKING

from vidsearch.records import Video
from vidsearch.urls import Place, is_there, place

if TYPE_CHECKING:
    from vidsearch.store import Store


def gone(video: Video) -> tuple[bytes, ...]:
    """The paths of a video where no file is now: deleted, moved, or on a disk that is not there."""
    return tuple(path for path in video.paths if _is_gone(path))


def _is_gone(path: bytes) -> bool:
    try:
        place(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # a folder that may not be looked into says nothing of what is in it
        return False
    return False


def best_first(video: Video, glob: str | None = None) -> Video:
    """The video with the path first that answers a question: it matches `glob`, and is there."""

    def rank(path: bytes) -> tuple[bool, bool]:
        return glob is not None and not matches(path, glob), not is_there(path)

    if len(video.paths) < 2:
        return video
    return replace(video, paths=tuple(sorted(video.paths, key=rank)))


def matches(path: bytes, glob: str) -> bool:
    """Whether the whole path, or the file name, matches; or is so called, brackets and all."""
    text = path.decode("utf-8", "backslashreplace")
    return any(called == glob or fnmatch(called, glob) for called in (text, PurePath(text).name))


def file_of(video: Video) -> Place:
    """The file to read a video from: the first of its paths that is there."""
    return place(best_first(video).paths[0])


def release(store: Store, paths: Collection[bytes], holders: Iterable[str]) -> list[Video]:
    """Take `paths` from the videos `holders` (ids); give those that had one, as they were.

    A video without a path goes with its rows, all such by one commit a table.
    """
    touched, homeless = [], []
    for video_id in holders:
        before = store.find(video_id)
        if before is None:
            continue
        rest = tuple(path for path in before.paths if path not in paths)
        if not rest:
            homeless.append(video_id)
        elif rest != before.paths:
            store.update_video(replace(before, paths=rest))
        else:
            continue
        touched.append(before)
    store.remove_videos(homeless)
    return touched
