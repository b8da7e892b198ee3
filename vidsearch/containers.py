"""Opening a file as a video, or saying in one line why it is none."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.stream import Disposition

from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import looks_like_text, os_reason, printable
from vidsearch.urls import Place, RemoteError, Stat

if TYPE_CHECKING:
    from vidsearch.remote import ObjectFile

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded, 67 million pixels: twice 8K."""
MIN_SIDE = 16
"""Smallest side of a picture that is decoded; nothing can be seen in less."""
SETTLED_S = 1.0
"""A file touched within this time is watched until it is over, lest it is still being written."""

_PICTURE_FORMATS = frozenset({"image2", "gif", "apng", "ico", "webp", "webp_anim", "tiff", "psd"})
_PICTURE_BRANDS = frozenset({"heic", "heix", "mif1", "msf1", "avif", "avis"})
_STILL_BEING_WRITTEN = "is still being written, index it again when it is complete"

# Titles in Latin-1 are common and harmless. PyAV 19 reads them so by itself.
_LENIENT = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


def check_file(path: Place) -> Stat:
    """The file's status; UnreadableVideo where it cannot be read or plainly is no video."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadableVideo(printable(path), "is a folder, not a video")
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableVideo(printable(path), "is not a regular file")
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise UnreadableVideo(printable(path), os_reason(error)) from None
    if not head:
        raise _unreadable(path, found, "is empty")
    if looks_like_text(head):
        raise UnreadableVideo(printable(path), "is text, not a video")
    return found


def check_settled(path: Place, before: Stat) -> None:
    """UnreadableVideo if the file has changed since `before`, or changes while it is watched."""
    wait = before.st_mtime + SETTLED_S - time.time()
    if 0 < wait <= SETTLED_S and isinstance(path, Path):  # an object is there whole or not at all
        time.sleep(wait)
    try:
        after = path.stat()
    except OSError as error:
        raise UnreadableVideo(printable(path), os_reason(error)) from None
    if _version(after) != _version(before):
        raise UnreadableVideo(printable(path), _STILL_BEING_WRITTEN)


def _version(status: Stat) -> tuple[int, int, str]:
    return status.st_size, status.st_mtime_ns, getattr(status, "etag", "")


def open_container(path: Place, before: Stat, file: ObjectFile | None = None) -> Any:
    """The file as an av.InputContainer, opened as a file and nothing else; objects by ranges.

    `file` is an object that is open already.
    """
    # "file:" and the whitelist: a name such as "concat:x" or a playlist opens nothing further.
    opened = "file:" + str(path.absolute()) if isinstance(path, Path) else file or path.reading()
    options = {"protocol_whitelist": "file" if isinstance(path, Path) else "none"}
    if file is not None:
        # Whoever wants the pictures alone takes packets as they lie: MP4s whose sound lies behind
        # all pictures would else be fetched to their end for every packet.
        options["interleaved_read"] = "0"
    try:
        return av.open(opened, options=options, **_LENIENT)
    except RemoteError as error:
        raise UnreadableVideo(printable(path), error.reason) from None
    except (av.error.FFmpegError, OSError) as error:
        if _lacks_mp4_index(path):
            reason = "is cut off: its index (moov) is missing, copy it again from the source"
        else:
            reason = f"is not a video that can be read ({getattr(error, 'strerror', error)})"
        raise _unreadable(path, before, reason) from error


def video_stream(path: Place, container: Any, before: Stat) -> Any:
    """The stream to decode: the default one, else the largest; covers of songs do not count."""
    name, brand = container.format.name, container.metadata.get("major_brand", "")
    if name.endswith("_pipe") or name in _PICTURE_FORMATS or brand in _PICTURE_BRANDS:
        raise UnreadableVideo(printable(path), "is a picture, not a video")
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        what = "sound but no video" if container.streams.audio else "no video"
        raise _unreadable(path, before, f"holds {what}")
    readable = [s for s in streams if s.codec_context is not None]
    if not readable:
        raise UnreadableVideo(
            printable(path), "uses a codec that FFmpeg does not know here, convert it first"
        )
    stream = max(
        readable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height, -s.index),
    )
    width, height = stream.codec_context.width, stream.codec_context.height
    if (width or height) and not is_sane_size(width, height):
        raise UnreadableVideo(printable(path), size_reason(width, height))
    return stream


def start_and_sound(path: Place) -> tuple[float, int]:
    """Where a file's own clock starts, in seconds, and how many channels of sound it has.

    Raises UnreadableVideo.
    """
    with open_container(path, check_file(path)) as container:
        sound = next(iter(container.streams.audio), None)
        channels = sound.codec_context.channels if sound and sound.codec_context else 0
        return (container.start_time or 0) / av.time_base, int(channels)


def is_sane_size(width: int, height: int) -> bool:
    """Whether pictures of this size are decoded."""
    return min(width, height) >= MIN_SIDE and width * height <= MAX_PIXELS


def size_reason(width: int, height: int) -> str:
    """Why pictures of this size are not decoded."""
    return f"has pictures of {width}x{height} pixels, which is no size for a video"


def claimed_end_s(container: Any, stream: Any) -> float:
    """Where the container's header says that the last video frame ends, in the file's own clock.

    0 where there is no such claim, as in transport streams, whose length is only ever estimated.
    """
    name = container.format.name
    if name == "avi" and stream.frames and stream.average_rate:
        # An AVI without its index has its stream's duration counted from what is left.
        return float(stream.frames / stream.average_rate)
    if name in ("mxf", "avi") or name.startswith("mov,"):
        if not stream.duration:
            return 0.0
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if name.startswith("matroska"):
        return _clock_s(stream.metadata.get("DURATION", ""))
    return 0.0


def claimed_length_s(container: Any) -> float:
    """How long the header of a Matroska or FLV file says that everything in it lasts, else 0."""
    if container.format.name.startswith(("matroska", "flv")) and container.duration:
        return float(container.duration / av.time_base)
    return 0.0


def _clock_s(text: str) -> float:
    """Seconds of `HH:MM:SS.nnn`, 0 if it is not one."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def _unreadable(path: Place, before: Stat, reason: str) -> UnreadableVideo:
    """The error to raise: of a file that somebody is writing, that is the reason."""
    try:
        check_settled(path, before)
    except UnreadableVideo as error:
        return error
    return UnreadableVideo(printable(path), reason)


def _lacks_mp4_index(path: Place) -> bool:
    """Whether this is an MP4 or MOV file without a whole `moov` box."""
    size = path.stat().st_size
    boxes = list(_boxes(path))
    if not boxes or boxes[0][0] not in (b"ftyp", b"mdat", b"wide", b"free", b"skip"):
        return False
    return not any(kind == b"moov" and end <= size for kind, end in boxes)


def ends_within_fragment(path: Place) -> bool:
    """Whether a fragmented MP4 file breaks off in the middle of a fragment."""
    size = path.stat().st_size
    boxes = list(_boxes(path))
    fragmented = any(kind == b"moof" for kind, _ in boxes)
    return fragmented and boxes[-1][1] > size


def _boxes(path: Place) -> Iterator[tuple[bytes, int]]:
    """The kinds of a file's top boxes and where each should end (ISO/IEC 14496-12)."""
    size = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:  # to the end of the file
                length = size - position
            if length < 8:
                return
            position += length
            yield head[4:8], position
