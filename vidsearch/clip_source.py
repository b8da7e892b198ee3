"""Reading a stretch of a file for a clip: its pictures with their times, and its sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from vidsearch.containers import check_file, open_container
from vidsearch.decoding import Source, decode
from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import printable
from vidsearch.pictures import Picture, full_picture
from vidsearch.urls import Place

_NO_TIMESTAMPS, _MAY_JUMP = 0x80, 0x200  # AVFMT_NOTIMESTAMPS, AVFMT_TS_DISCONT
_ASIDE_S = 1.5  # sound may begin before the pictures and go on after them
_SAME_S = 1e-4
SOUND_RATE = 48_000  # samples a second of what is read, stereo
_EARLIER_S = 0.2  # sound is sought from before: some containers seek to the next packet


@dataclass(frozen=True)
class Stretch:
    """Seconds `[start_s, end_s)` of a file, from its first video frame, which stands at `offset_s`.

    An `end_s` at the video's end may be infinite. `unclocked` says that the file's own clock is no
    guide to it (see `is_unclocked`): it is found by reading the file from its beginning.
    """

    path: Place
    start_s: float
    end_s: float
    offset_s: float
    unclocked: bool = False

    def ticks(self, tick: Fraction) -> tuple[int, int | None]:
        """Start and end in the file's own timestamps; None for no end."""
        first = round((self.start_s + self.offset_s) / tick)
        if self.end_s == float("inf"):
            return first, None
        return first, round((self.end_s + self.offset_s) / tick)


def is_unclocked(path: Place, length_s: float) -> bool:
    """Whether a file's clock does not lead to a moment of its video, which lasts `length_s`.

    It starts anew in the middle, as in recordings that were joined, or there is none, as in raw
    streams. Raises UnreadableVideo.
    """
    with open_container(path, check_file(path)) as container:
        flags = int(container.format.flags)
        if flags & _NO_TIMESTAMPS:
            return True
        if not flags & _MAY_JUMP or not length_s or not container.duration:
            return False
        return bool(abs(container.duration / av.time_base - length_s) > _ASIDE_S)


def pictures(stretch: Stretch) -> Iterator[tuple[float, Picture]]:
    """The frames whose presentation time lies in the stretch, exactly, with seconds from its start.

    RGB uint8 [H, W, 3], upright, display aspect, deinterlaced, SDR. Raises UnreadableVideo.
    """
    if stretch.unclocked:
        yield from _read_through(stretch)
        return
    for sought in (True, False):
        source = Source(stretch.path, threads=0)
        try:
            first, end = stretch.ticks(source.tick)
            frames = source.decode_on() if sought and source.seek(first) else _all(source)
            begun = None
            for frame in frames:
                begun = frame.pts if begun is None else begun
                if begun is None or (sought and begun > first):
                    break  # sought too far: read from the beginning
                if frame.pts is None or frame.pts < first:
                    continue
                if end is not None and frame.pts >= end:
                    return
                yield (
                    float((frame.pts - first) * source.tick),
                    full_picture(frame, source.layout),
                )
            else:
                return
        finally:
            source.close()
    raise UnreadableVideo(printable(stretch.path), "has no timestamps to cut it by")


def _read_through(stretch: Stretch) -> Iterator[tuple[float, Picture]]:
    """The frames of a stretch by the times of a pass from the beginning."""
    with decode(stretch.path, small_side=16) as frames:
        for frame in frames:
            if frame.time_s >= stretch.end_s - _SAME_S:
                return
            if frame.time_s >= stretch.start_s - _SAME_S:
                yield max(0.0, frame.time_s - stretch.start_s), frame.picture()


def _all(source: Source) -> Iterator[Any]:
    yield source.first
    yield from source.frames


def sound(stretch: Stretch, seconds: float) -> NDArray[np.float32] | None:
    """The sound of the stretch, float32 [2, N] at `SOUND_RATE`, N for exactly so many `seconds`.

    Silence where the file has none at that time; None where it has no sound at all, and where
    nobody can say what is heard beside which picture (`unclocked`).
    """
    if stretch.unclocked:
        return None
    total = round(seconds * SOUND_RATE)
    heard = np.zeros((2, total), np.float32)
    with open_container(stretch.path, check_file(stretch.path)) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            return None
        begin_s = stretch.start_s + stretch.offset_s
        to_stereo = av.AudioResampler("fltp", "stereo", SOUND_RATE)
        try:
            container.seek(round(max(0.0, begin_s - _EARLIER_S) * av.time_base))
            for packet in container.demux(stream):
                for frame in _decoded(packet):
                    if frame.pts is None:
                        continue
                    at = round((float(frame.pts * frame.time_base) - begin_s) * SOUND_RATE)
                    if at >= total:
                        return heard
                    frame.pts = None
                    for part in to_stereo.resample(frame):
                        at = _put(heard, part.to_ndarray(), at)
        except (av.error.FFmpegError, OSError):
            return heard  # what is damaged is silent
    return heard


def _decoded(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except av.error.FFmpegError:
        return []


def _put(heard: NDArray[np.float32], part: NDArray[np.float32], at: int) -> int:
    """Copy what of `part`, which begins at sample `at`, lies within; where the next part begins."""
    end = at + int(part.shape[1])
    first, last = max(0, at), min(heard.shape[1], end)
    if first < last:
        heard[:, first:last] = part[:, first - at : last - at]
    return end
