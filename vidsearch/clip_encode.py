"""A clip encoded anew, exact to the frame, and several joined to one reel: H.264 and AAC in MP4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.codec
import cv2
import numpy as np
from numpy.typing import NDArray

from vidsearch.clip_source import SOUND_RATE, Stretch, pictures, sound
from vidsearch.errors import VidsearchError
from vidsearch.inputs import printable
from vidsearch.pictures import Picture

_TICK = Fraction(1, 90_000)
_CODEC = "libx264"
_OPTIONS = {"preset": "veryfast", "crf": "18"}  # looks like its source
_SAME_S = 1e-4
_BLOCK = 1024  # samples an AAC frame has

Draw = Callable[[Picture], Picture]


def encode(stretch: Stretch, target: Path, rate: Fraction, draw: Draw | None = None) -> int:
    """Write exactly the frames of the stretch, with their times and the sound; gives how many.

    `rate` is the nominal one, frames a second; `draw` draws on each picture. Raises
    UnreadableVideo, VidsearchError for no frame at all, and OSError where `target` cannot be
    written.
    """
    with _Movie(target, rate) as movie:
        end_s = 0.0
        for at_s, picture in pictures(stretch):
            movie.show(at_s, draw(picture) if draw else picture)
            end_s = at_s + float(1 / rate)
        if not movie.shown:
            raise VidsearchError(f"{printable(stretch.path)}: no frame can be read there")
        movie.hear(sound(stretch, end_s))
        return movie.shown


@dataclass(frozen=True)
class Part:
    """A stretch of a reel, how many `seconds` of it there are, and what draws on its pictures."""

    stretch: Stretch
    seconds: float
    draw: Draw | None = None


def join(parts: Sequence[Part], target: Path, rate: Fraction) -> int:
    """Write stretches one after the other at one even rate; gives how many frames.

    Pictures have the size of the first one's; others are scaled to fit and padded with black.
    Where a file has no sound it is silent. Raises what `encode` raises.
    """
    heard: list[NDArray[np.float32]] = []
    with _Movie(target, rate) as movie:
        for part in parts:
            stretch, draw, before = part.stretch, part.draw, movie.shown
            drawn = ((at_s, draw(p) if draw else p) for at_s, p in pictures(stretch))
            for picture in even(drawn, rate, part.seconds):
                movie.show(float(movie.shown / rate), picture)
            if movie.shown == before:
                raise VidsearchError(f"{printable(stretch.path)}: no frame can be read there")
            seconds = float((movie.shown - before) / rate)
            silence = np.zeros((2, round(seconds * SOUND_RATE)), np.float32)
            found = sound(stretch, seconds)
            heard.append(silence if found is None else found)
        movie.hear(np.concatenate(heard, axis=1))
        return movie.shown


def even(
    frames: Iterable[tuple[float, Picture]], rate: Fraction, seconds: float
) -> Iterator[Picture]:
    """Frames with their times as a picture for each tick of an even rate: the one then on screen.

    The last is held until so many `seconds` are over.
    """
    n = 0
    held: Picture | None = None
    for at_s, picture in frames:
        while held is not None and float(n / rate) < at_s - _SAME_S:
            yield held
            n += 1
        held = picture
    while held is not None and float(n / rate) < seconds - _SAME_S:
        yield held
        n += 1


class _Movie:
    """An MP4 file that is being written: pictures as they come, sound at the end."""

    def __init__(self, target: Path, rate: Fraction) -> None:
        if _CODEC not in av.codec.codecs_available:
            raise VidsearchError(f"this PyAV cannot write H.264: it was built without {_CODEC}")
        self.shown = 0
        self._size = (0, 0)
        self._rate = rate
        self._container = av.open(str(target), "w", format="mp4", options={"movflags": "faststart"})
        self._video: Any = self._container.add_stream(_CODEC, rate=rate, options=_OPTIONS)
        self._audio: Any = self._container.add_stream("aac", rate=SOUND_RATE, layout="stereo")

    def __enter__(self) -> _Movie:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._container.close()

    def show(self, at_s: float, picture: Picture) -> None:
        """Show a picture from a moment on; moments must grow."""
        if not self.shown:
            height, width = (side + side % 2 for side in picture.shape[:2])  # 4:2:0 wants even
            self._size = (width, height)
            self._video.width, self._video.height = width, height
            self._video.pix_fmt = "yuv420p"
            context = self._video.codec_context
            context.time_base = _TICK
            context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
            context.color_range = 1
        frame = av.VideoFrame.from_ndarray(fit(picture, self._size), "rgb24").reformat(
            format="yuv420p", dst_colorspace=1, src_color_range=2, dst_color_range=1
        )
        frame.pts, frame.time_base = round(at_s / _TICK), _TICK
        self._container.mux(self._video.encode(frame))
        self.shown += 1

    def hear(self, samples: NDArray[np.float32] | None) -> None:
        """End the pictures, and add the sound: float32 [2, N] at `SOUND_RATE`, None for none."""
        self._container.mux(self._video.encode())
        if samples is None:
            samples = np.zeros((2, 0), np.float32)
        for start in range(0, samples.shape[1], _BLOCK):
            block = np.ascontiguousarray(samples[:, start : start + _BLOCK])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = (
                SOUND_RATE,
                start,
                Fraction(1, SOUND_RATE),
            )
            self._container.mux(self._audio.encode(frame))
        self._container.mux(self._audio.encode())


def fit(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture scaled to fit (width, height), centred on black; one pixel less is repeated."""
    width, height = size
    if (picture.shape[1] + picture.shape[1] % 2, picture.shape[0] + picture.shape[0] % 2) == size:
        missing = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
        return np.ascontiguousarray(np.pad(picture, missing, mode="edge"))
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    scaled = cv2.resize(
        picture, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    full = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    full[top : top + inner[1], left : left + inner[0]] = scaled
    return full
