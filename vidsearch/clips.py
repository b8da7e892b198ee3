"""`vidsearch clip`: excerpts cut out of their files, one by one or joined to a reel.

A clip is a stream copy where a keyframe allows it, else, or where `exact` is asked for, encoded
anew to the frame. A file that is gone or damaged is told, and the others go on.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from vidsearch.copies import file_of
from vidsearch.errors import UnreadableVideo, VidsearchError
from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.export import cannot_write, make_folder
from vidsearch.inputs import printable
from vidsearch.names_of_files import Names
from vidsearch.records import Video
from vidsearch.timecodes import timecode
from vidsearch.urls import Place

if TYPE_CHECKING:
    from vidsearch.clip_encode import Draw
    from vidsearch.clip_source import Stretch

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_HALF_FRAME_S = 0.004


@dataclass(frozen=True)
class Clip:
    """An excerpt that was cut: seconds `[start_s, end_s)` of the video, handles included.

    `lead_s` and `tail_s` are how much more the file holds before and after, because a stream copy
    begins at a keyframe; both are 0 where `exact`. `note` says why a copy was not possible.
    """

    file: Path
    excerpt: Excerpt
    start_s: float
    end_s: float
    exact: bool
    lead_s: float = 0.0
    tail_s: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Uncut:
    """An excerpt that could not be cut, and why."""

    excerpt: Excerpt
    reason: str


def cut(
    excerpts: Excerpts,
    folder: Path,
    *,
    exact: bool = False,
    handles_s: float = 0.0,
    captions: bool = False,
) -> Iterator[Clip | Uncut]:
    """Cut every excerpt into a file of its own in `folder`, which is made.

    `handles_s` seconds more are taken before and after, as far as the video goes. `captions` writes
    who it is into the picture, and so encodes anew. Raises VidsearchError for excerpts of nothing
    and where the folder cannot be written; no half-written file stays.
    """
    _check(excerpts, handles_s)
    make_folder(folder)
    names = Names()
    for each in excerpts.excerpts:
        try:
            yield _cut_one(each, folder, names, exact or captions, handles_s, captions)
        except VidsearchError as error:
            if isinstance(error, _Unwritable):
                raise
            yield Uncut(each, str(error))


def reel(
    excerpts: Excerpts, file: Path, *, handles_s: float = 0.0, captions: bool = False
) -> list[Uncut]:
    """Join all excerpts to one MP4 with the size and rate of the first; gives what is missing.

    Raises VidsearchError where nothing of them can be read, or `file` cannot be written.
    """
    from vidsearch.clip_encode import Part, join

    _check(excerpts, handles_s)
    parts: list[Part] = []
    missing: list[Uncut] = []
    rate = None
    for each in excerpts.excerpts:
        try:
            stretch = _stretch(each, handles_s)
        except VidsearchError as error:
            missing.append(Uncut(each, str(error)))
            continue
        rate = rate or rate_of(each.video)
        first_s, end_s = _span(stretch, each.video)
        parts.append(Part(stretch, end_s - first_s, _caption(each) if captions else None))
    if not parts or rate is None:
        raise VidsearchError(f"nothing can be joined: {missing[0].reason}")
    with _whole(file) as part:
        join(parts, part, rate)
    return missing


def rate_of(video: Video) -> Fraction:
    """The rate at which a video is encoded anew: its own, or the standard one next to it."""
    from vidsearch.counting import counting

    with suppress(VidsearchError):
        return counting(video).rate
    return Fraction(25)


class _Unwritable(VidsearchError):
    """The target, not the source, is at fault: what comes after would fail too."""


def _check(excerpts: Excerpts, handles_s: float) -> None:
    if not excerpts.excerpts:
        raise VidsearchError(f"there is nothing to cut: {excerpts.message or 'no excerpts'}")
    if not 0 <= handles_s < float("inf"):
        raise VidsearchError(f"handles are seconds before and after, 0 or more, not {handles_s:g}")


def _cut_one(
    each: Excerpt, folder: Path, names: Names, exact: bool, handles_s: float, captions: bool
) -> Clip:
    from vidsearch.clip_copy import copy, suffix_of
    from vidsearch.clip_encode import encode

    stretch = _stretch(each, handles_s)
    span = _span(stretch, each.video)
    note = ""
    kind = ".mp4" if exact else suffix_of(stretch.path)
    name = names.free(_name(each), kind)
    if not exact:
        try:
            with _whole(folder / name, stretch.path) as part:
                copied = copy(stretch, part, kind)
            return Clip(folder / name, each, *span, False, copied.lead_s, copied.tail_s)
        except UnreadableVideo:
            raise
        except VidsearchError as error:
            if isinstance(error, _Unwritable):
                raise
            note = f"{error}; encoded anew"
    if stretch.unclocked and not note:
        note = f"{printable(stretch.path)}: its clock leads nowhere, so the clip has no sound"
    if kind != ".mp4":
        name = names.free(_name(each), ".mp4")
    with _whole(folder / name, stretch.path) as part:
        encode(stretch, part, rate_of(each.video), _caption(each) if captions else None)
    return Clip(folder / name, each, *span, True, note=note)


def _stretch(each: Excerpt, handles_s: float) -> Stretch:
    """Where an excerpt lies in its file; UnreadableVideo where that is gone."""
    from vidsearch.clip_source import Stretch, is_unclocked

    file = file_of(each.video)
    if not file.exists():
        raise UnreadableVideo(printable(file), "is gone: put it back, or index where it is now")
    end_s = each.end_s + handles_s
    length = each.video.duration_s
    if length and end_s > length - _HALF_FRAME_S:
        end_s = float("inf")  # to the very last frame, whatever was rounded
    start_s, offset_s = max(0.0, each.start_s - handles_s), each.video.media_offset_s
    return Stretch(file, start_s, end_s, offset_s, is_unclocked(file, length))


def _span(stretch: Stretch, video: Video) -> tuple[float, float]:
    """The seconds of the video that a stretch holds."""
    return stretch.start_s, min(stretch.end_s, video.duration_s or stretch.end_s)


def _name(each: Excerpt) -> str:
    people = " ".join(seen.name for seen in each.people)
    at = timecode(each.start_s).replace(":", ".")
    stem = PurePath(each.video.path).stem[:60]
    return f"{each.rank:03d} {stem} {at} {people}".strip()


def _caption(each: Excerpt) -> Draw:
    from vidsearch.sheet import captioned

    lines = (each.title, f"{PurePath(each.video.path).name}  {timecode(each.start_s)}")
    return lambda picture: captioned(picture, lines)


@contextmanager
def _whole(file: Path, source: Place | None = None) -> Iterator[Path]:
    """A name to write to, which becomes `file` when all went well and vanishes otherwise."""
    if source is not None and file.exists() and file.samefile(source):
        raise _Unwritable(f"{printable(file)} is the video itself: choose another --out")
    try:
        handle, name = tempfile.mkstemp(prefix=".vidsearch-", suffix=".part", dir=file.parent)
        os.close(handle)
        part = Path(name)
    except OSError as error:
        raise _Unwritable(str(cannot_write(file, error))) from error
    try:
        yield part
        os.chmod(part, 0o644)
        os.replace(part, file)
    except OSError as error:
        if error.errno in _FULL or isinstance(error, (PermissionError, IsADirectoryError)):
            raise _Unwritable(str(cannot_write(file, error))) from error
        raise VidsearchError(f"{printable(file)}: {error.strerror or error}") from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def clip_as_json(made: Clip | Uncut) -> dict[str, object]:
    """A clip for programs; what could not be cut has an `error` and no `file`."""
    each = made.excerpt
    data: dict[str, object] = {"rank": each.rank, "video": each.video.path, "shot": each.shot}
    if isinstance(made, Uncut):
        return data | {"error": made.reason}
    return data | {
        "file": printable(made.file),
        "start_s": made.start_s,
        "end_s": made.end_s,
        "exact": made.exact,
        "lead_s": made.lead_s,
        "tail_s": made.tail_s,
        "note": made.note,
    }
