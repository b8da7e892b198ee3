"""Video in: find files, say what they are, and decode each ONCE, with exact timestamps.

PyAV does the pass over a file, because it gives every frame its presentation time, reads on in
damaged files and knows rotation and interlacing. Random access afterwards is in
`vidsearch.rereads`. Times count from the first video frame.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error

from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import Found, PathLike, find_videos, fingerprint, looks_like_text, printable
from vidsearch.pictures import (
    Layout,
    Picture,
    Transfer,
    full_picture,
    layout_of,
    small_picture,
    transfer_of,
)

__all__ = [
    "Decoder",
    "Found",
    "Frame",
    "Probe",
    "decode",
    "find_videos",
    "fingerprint",
    "printable",
    "probe",
]

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded, 67 million pixels: twice 8K."""
MIN_SIDE = 16
"""Smallest side of a picture that is decoded; nothing can be seen in less."""

_PICTURE_FORMATS = frozenset({"image2", "gif", "apng", "ico", "webp", "webp_anim", "tiff", "psd"})
_PICTURE_BRANDS = frozenset({"heic", "heix", "mif1", "msf1", "avif", "avis"})
_COVER = 0x400  # AV_DISPOSITION_ATTACHED_PIC: the cover of a song, not a video
_MANY_ERRORS = 50


@dataclass(frozen=True)
class Probe:
    """What a file says of its video, checked by decoding the first frame.

    `width` and `height` are those of the upright picture at display aspect. `media_offset_s` is
    where the first frame stands in the file's own clock. `duration_s`, `frame_rate` (the average)
    and `n_frames` are what the container claims, 0 where it claims nothing: the pass over the
    file knows better. `rotation` is how far the stored picture is turned clockwise to be upright.
    """

    codec: str
    container: str
    width: int
    height: int
    duration_s: float
    frame_rate: float
    n_frames: int
    media_offset_s: float
    rotation: int
    interlaced: bool
    transfer: Transfer


class Frame:
    """One frame of the pass: number, time, a small picture, and the full one on demand.

    `time_s` is the presentation time from the first frame, `duration_s` how long the file says
    it is shown (0 where it says nothing), `small` RGB uint8 [h, w, 3], upright, at display aspect.
    A frame that is kept holds its decoded buffer, 1.5 bytes a pixel for 8-bit 4:2:0 (3 MB at
    1080p): keep few, or keep `picture()`'s result instead.
    """

    __slots__ = ("_layout", "_source", "duration_s", "index", "small", "time_s")

    def __init__(
        self, index: int, time_s: float, duration_s: float, source: Any, layout: Layout
    ) -> None:
        self.index = index
        self.time_s = time_s
        self.duration_s = duration_s
        self.small: Picture = small_picture(source, layout)
        self._source = source
        self._layout = layout

    def picture(self) -> Picture:
        """RGB uint8 [height, width, 3]: upright, display aspect, deinterlaced, SDR."""
        return full_picture(self._source, self._layout)


def probe(path: PathLike) -> Probe:
    """What a video file is; raises UnreadableVideo with a one-line reason."""
    with decode(path, threads=1) as decoder:
        return decoder.probe


def decode(path: PathLike, *, small_side: int = 320, threads: int = 0) -> Decoder:
    """Open a file for its one pass.

    `small_side` is the long side of the small pictures, `threads` the decoding threads (0: one a
    core). Raises UnreadableVideo at once where nothing can be decoded.
    """
    return Decoder(path, small_side=small_side, threads=threads)


class Decoder:
    """Iterates over the frames of one file, in order of presentation; memory stays bounded.

    Known from the start: `probe`. Known after the iteration: `n_frames`, `end_s` (where the last
    frame ends), `truncated`, `n_damaged` (packets that were skipped) and `problem` (one line, ""
    if all is well). The iteration raises UnreadableVideo if the file changes meanwhile.
    """

    def __init__(self, path: PathLike, *, small_side: int = 320, threads: int = 0) -> None:
        self.path = Path(os.fsdecode(path))
        self.n_frames = 0
        self.end_s = 0.0
        self.truncated = False
        self.n_damaged = 0
        self._before = _check_file(self.path)
        self._container = _open_container(self.path)
        try:
            self._stream = _video_stream(self.path, self._container)
            _check_size(self.path, self._stream.codec_context)
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.thread_count = threads
            self._sources = self._decode_packets()
            first = next(self._sources, None)
            if first is None:
                raise UnreadableVideo(printable(self.path), "holds no frame that can be decoded")
            self._first = first
            self._layout = layout_of(first, _sample_aspect(first, self._stream), small_side)
            self._first_pts = first.pts or 0
            self._tick: Fraction = first.time_base or self._stream.time_base
            self.probe = self._describe(first)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is None:
            raise RuntimeError("a Decoder can be iterated over only once")
        yield self._frame(first)
        del first
        for source in self._sources:
            yield self._frame(source)
        self._finish()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames already taken stay usable."""
        self._container.close()

    @property
    def problem(self) -> str:
        """Why the pass is not the whole video, on one line; "" if it is."""
        if self.truncated:
            return f"is cut off: only the first {self.end_s:.1f} s can be read"
        if self.n_damaged:
            return f"is damaged: {self.n_damaged} unreadable pieces were skipped"
        return ""

    def _decode_packets(self) -> Iterator[Any]:
        errors_in_a_row = 0
        while errors_in_a_row < _MANY_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    try:
                        frames = packet.decode()
                    except av.error.FFmpegError:
                        self.n_damaged += 1
                        continue
                    errors_in_a_row = 0
                    yield from frames
                return
            except av.error.FFmpegError:  # the container itself is damaged here: read on behind it
                errors_in_a_row += 1
        self.n_damaged += 1

    def _frame(self, source: Any) -> Frame:
        pts = source.pts if source.pts is not None else self._first_pts
        time_s = self._seconds(pts - self._first_pts)
        duration_s = self._seconds(source.duration or 0)
        frame = Frame(self.n_frames, time_s, duration_s, source, self._layout)
        self.n_frames += 1
        rate = self.probe.frame_rate
        self.end_s = time_s + (duration_s or (1 / rate if rate else 0.04))
        return frame

    def _seconds(self, ticks: int) -> float:
        # One division of integers is correctly rounded, as Fraction would be, and far cheaper.
        return ticks * self._tick.numerator / self._tick.denominator

    def _finish(self) -> None:
        entries = self._stream.index_entries
        if len(entries):
            last = entries[len(entries) - 1]
            self.truncated = last.pos + last.size > self._before.st_size

    def _describe(self, first: Any) -> Probe:
        stream, layout = self._stream, self._layout
        duration = self._seconds(stream.duration) if stream.duration else 0.0
        if not duration and self._container.duration:
            duration = self._container.duration / av.time_base
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        return Probe(
            codec=stream.codec_context.name,
            container=self._container.format.name,
            width=layout.width,
            height=layout.height,
            duration_s=duration,
            frame_rate=rate,
            n_frames=stream.frames or round(duration * rate),
            media_offset_s=self._seconds(self._first_pts),
            rotation=0,
            interlaced=bool(first.interlaced_frame),
            transfer=transfer_of(first),
        )


def _check_file(path: Path) -> os.stat_result:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadableVideo(printable(path), "is a folder, not a video")
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableVideo(printable(path), "is not a regular file")
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise UnreadableVideo(printable(path), "does not exist") from None
    except PermissionError:
        raise UnreadableVideo(printable(path), "may not be read (no permission)") from None
    except OSError as error:
        raise UnreadableVideo(printable(path), (error.strerror or str(error)).lower()) from None
    if not head:
        raise UnreadableVideo(printable(path), "is empty")
    if looks_like_text(head):
        raise UnreadableVideo(printable(path), "is text, not a video")
    return found


def _open_container(path: Path) -> Any:
    # "file:" and the whitelist: a name such as "concat:x" or a playlist opens nothing else.
    options = {"protocol_whitelist": "file"}
    try:
        return av.open("file:" + os.path.abspath(path), options=options)
    except av.error.FFmpegError as error:
        raise UnreadableVideo(printable(path), _why_not_opened(path, error)) from error


def _why_not_opened(path: Path, error: Exception) -> str:
    if _lacks_mp4_index(path):
        return "is cut off: its index (moov) is missing, copy it again from the source"
    return f"is not a video that can be read ({getattr(error, 'strerror', error)})"


def _lacks_mp4_index(path: Path) -> bool:
    """Whether this is an MP4 or MOV file without its `moov` box (ISO/IEC 14496-12)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8)[4:] not in (b"ftyp", b"mdat", b"wide", b"free", b"skip"):
            return False
        position = 0
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if head[4:8] == b"moov":
                return False
            if length < 8:
                break
            position += length
    return True


def _video_stream(path: Path, container: Any) -> Any:
    name, brand = container.format.name, container.metadata.get("major_brand", "")
    if name.endswith("_pipe") or name in _PICTURE_FORMATS or brand in _PICTURE_BRANDS:
        raise UnreadableVideo(printable(path), "is a picture, not a video")
    streams = [s for s in container.streams.video if not int(s.disposition) & _COVER]
    if not streams:
        what = "sound but no video" if container.streams.audio else "no video"
        raise UnreadableVideo(printable(path), f"holds {what}")
    readable = [s for s in streams if s.codec_context is not None]
    if not readable:
        raise UnreadableVideo(printable(path), "uses a codec that is unknown here")
    return max(readable, key=lambda s: (int(s.disposition) & 1, s.width * s.height, -s.index))


def _check_size(path: Path, codec: Any) -> None:
    width, height = codec.width, codec.height
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        reason = f"has pictures of {width}x{height} pixels, which is no size for a video"
        raise UnreadableVideo(printable(path), reason)


def _sample_aspect(frame: Any, stream: Any) -> float:
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return float(aspect) if aspect else 1.0
