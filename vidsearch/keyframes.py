"""Which frames stand for a part of a shot: cheap looks at frames, a bounded pool, a choice.

Pure selection: nothing is decoded or stored here. While a file is decoded, `CandidatePool` keeps
a few frames of what is still open; when a part is closed, `representative` chooses from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
T = TypeVar("T")

THUMBNAIL_SIDE = 320
THUMBNAIL_QUALITY = 80
INTERVAL_S = 0.2
"""Candidates are about this far apart; less than the shortest shot, so that each has one."""

_TINY = (16, 9)  # columns and rows of the picture by which a frame is called typical
_BLACK_MEAN, _BLANK_STD = 24.0, 8.0  # of luma, 0 to 255
_EDGE_S, _EDGE_SHARE = 0.6, 0.25  # the ends of a part, where transitions are: seconds, share of it
_TYPICAL_SCALE = 20.0  # mean absolute difference, 0 to 255, of a frame that is not typical
_STILL_SCALE = 8.0  # mean absolute difference between neighbouring frames in a swift pan


@dataclass(frozen=True, eq=False)
class FrameLook:
    """What a small picture is like.

    `mean` and `contrast` are the mean and the standard deviation of luma (0 to 255); `sharpness`
    is the variance of luma's Laplacian (Pech-Pacheco et al. 2000), to be compared within a shot;
    `motion` the mean absolute luma difference from the frame before (0 to 255; 0 where none was
    given); `tiny` float32 [9 * 16 * 3] the picture at 16x9, RGB 0 to 255.
    """

    mean: float
    contrast: float
    sharpness: float
    motion: float
    tiny: NDArray[np.float32]

    @property
    def blank(self) -> bool:
        """Black, or of one plain colour: nothing to see."""
        dim = self.mean < _BLACK_MEAN and self.contrast < 2 * _BLANK_STD
        return dim or self.contrast < _BLANK_STD

    def state(self) -> tuple[object, ...]:
        """All of it, to be compared."""
        return self.mean, self.contrast, self.sharpness, self.motion, self.tiny.tobytes()


def look(small: Picture, previous: Picture | None = None) -> FrameLook:
    """Measure a small picture, RGB uint8 [h, w, 3]; `previous` is that of the frame before."""
    import cv2

    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    mean, contrast = (float(value[0, 0]) for value in cv2.meanStdDev(luma))
    _, detail = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    motion = 0.0
    if previous is not None and previous.shape == small.shape:
        before = cv2.cvtColor(previous, cv2.COLOR_RGB2GRAY)
        motion = float(cv2.norm(luma, before, cv2.NORM_L1)) / luma.size
    tiny = cv2.resize(small, _TINY, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    return FrameLook(mean, contrast, float(detail[0, 0]) ** 2, motion, tiny)


@dataclass(frozen=True, eq=False)
class Candidate(Generic[T]):
    """A frame that may become a keyframe; `handle` is whatever gives its full picture."""

    index: int
    time_s: float
    look: FrameLook
    handle: T


class CandidatePool(Generic[T]):
    """A bounded number of frames of the stretch of video that is still open.

    Every frame is pushed; the last one in each `INTERVAL_S` of the video's time is looked at and
    kept, so that a shot of `INTERVAL_S` or more, even at a variable frame rate, has one, and that
    which frames are kept does not depend on where the pass began. At most `budget` settled
    candidates are held, plus those of the last `lag` frames, plus the newest frame. While a long
    shot is open the settled ones are thinned by doubling their distance, so they stay spread
    evenly; the last `lag` frames are not, because a detector that reports late (its
    `ShotDetector.lag`) may yet find a short shot there.
    """

    def __init__(self, budget: int = 8, lag: int = 0) -> None:
        if budget < 2:
            raise ValueError(f"a pool needs room for two candidates at least, not {budget}")
        self._budget = budget
        self._lag = lag
        self._interval_s = INTERVAL_S
        self._kept: list[Candidate[T]] = []
        self._newest: tuple[int, float, Picture, T] | None = None  # neither kept nor dropped yet
        self._before: Picture | None = None  # the small picture of the frame before the newest

    def __len__(self) -> int:
        return len(self._kept) + (self._newest is not None)

    def push(self, index: int, time_s: float, small: Picture, handle: T) -> None:
        """Take the next frame: its number, time, small picture and what gives the full one."""
        if self._newest is not None:
            if _interval(time_s) > _interval(self._newest[1]):
                self._keep(self._newest)
            self._before = self._newest[2]
        self._newest = (index, time_s, small, handle)

    def state(self, decoded: Callable[[T], bytes]) -> tuple[object, ...]:
        """All that decides which candidates are given from here on, frames counted from the newest.

        `decoded` tells what the picture of a handle is.
        """
        newest = self._newest
        last = 0 if newest is None else newest[0]
        kept = tuple(
            (c.index - last, c.time_s, decoded(c.handle), c.look.state()) for c in self._kept
        )
        return (
            kept,
            None if newest is None else (newest[1], decoded(newest[3])),
            None if self._before is None else self._before.tobytes(),
            self._interval_s,
        )

    def take(self, end_s: float) -> list[Candidate[T]]:
        """Remove and return the candidates before `end_s`, by time; the rest starts afresh.

        Gives one at least if any frame before `end_s` is held.
        """
        taken = [candidate for candidate in self._kept if candidate.time_s < end_s]
        if not taken and self._newest is not None and self._newest[1] < end_s:
            self._keep(self._newest)
            self._newest = None
            taken = list(self._kept)
        self._kept = self._kept[len(taken) :]
        self._interval_s = INTERVAL_S
        return taken

    def _keep(self, frame: tuple[int, float, Picture, T]) -> None:
        index, time_s, small, handle = frame
        self._kept.append(Candidate(index, time_s, look(small, self._before), handle))
        settled = index - self._lag
        self._thin(settled)
        while sum(candidate.index <= settled for candidate in self._kept) > self._budget:
            self._interval_s *= 2
            self._thin(settled)

    def _thin(self, settled: int) -> None:
        if self._interval_s == INTERVAL_S:  # as they were taken
            return
        kept: list[Candidate[T]] = []
        for candidate in self._kept:
            near = kept and candidate.time_s - kept[-1].time_s < self._interval_s
            if candidate.index > settled or not near:
                kept.append(candidate)
        self._kept = kept


def _interval(time_s: float) -> int:
    """The number of the `INTERVAL_S` in which a time is; times are rounded to the file's ticks."""
    return math.floor(time_s / INTERVAL_S + 1e-6)


def settled(start_s: float, end_s: float) -> tuple[float, float]:
    """The inside of `[start_s, end_s)`, without its ends, where one picture fades into another."""
    margin = min(_EDGE_S, _EDGE_SHARE * (end_s - start_s))
    return start_s + margin, end_s - margin


def representative(
    candidates: Sequence[Candidate[T]], start_s: float, end_s: float
) -> Candidate[T]:
    """The candidate that stands for `[start_s, end_s)`.

    Not blank, and not near the ends (where dissolves are) as long as there are others; among
    those the one that is typical (close to the median picture), sharp for this shot, still, and
    near the middle. The first of equals. Raises ValueError on no candidates.
    """
    if not candidates:
        raise ValueError(f"there is no candidate frame between {start_s} and {end_s} s")
    usable = [c for c in candidates if not c.look.blank] or list(candidates)
    first_s, last_s = settled(start_s, end_s)
    usable = [c for c in usable if first_s <= c.time_s <= last_s] or usable
    median = np.median([c.look.tiny for c in usable], axis=0)
    sharpest = max(c.look.sharpness for c in usable) or 1.0
    middle, half = (start_s + end_s) / 2, max((end_s - start_s) / 2, 1e-6)

    def merit(candidate: Candidate[T]) -> float:
        seen = candidate.look
        away = float(np.abs(seen.tiny - median).mean()) / _TYPICAL_SCALE
        blurred = 1 - math.sqrt(seen.sharpness / sharpest)
        moving = min(1.0, seen.motion / _STILL_SCALE)
        off_centre = min(1.0, abs(candidate.time_s - middle) / half)
        return -(away + blurred + 0.5 * moving + 0.3 * off_centre)

    return max(usable, key=merit)


def best_face_frame(
    candidates: Iterable[tuple[Candidate[T], float]], beside: Candidate[T] | None = None
) -> Candidate[T] | None:
    """The candidate with the best face, None where no frame has one.

    Each candidate comes with the best quality (0 to 1; 0 for no face) of the faces in it.
    `beside` is the representative frame: it wins unless another has a clearly better face, so
    that a shot does not get two keyframes that show the same.
    """
    rated = [(quality, candidate) for candidate, quality in candidates if quality > 0]
    if not rated:
        return None
    best = max(rated, key=lambda pair: pair[0])
    if beside is not None:
        own = max((quality for quality, c in rated if c.index == beside.index), default=0.0)
        if own >= 0.8 * best[0]:
            return beside
    return best[1]


def thumbnail(picture: Picture, long_side: int = THUMBNAIL_SIDE) -> bytes:
    """A JPEG of RGB uint8 [h, w, 3], shrunk (never enlarged) to `long_side` pixels."""
    import cv2

    height, width = picture.shape[:2]
    scale = long_side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])
    if not done:
        raise ValueError(f"a picture of {width}x{height} pixels could not be encoded as JPEG")
    return bytes(jpeg)
