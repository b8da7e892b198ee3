"""Generated pictures of two people of whom each does something else.

Two photos of Flickr8k in which one face is found stand side by side in one frame, 480 to 720 of
its 1,200 pixels each, so that the line between them is anywhere but in the middle. What either
does is told by the five captions of their photo. Who they are is told by photos of LFW, whose face
vectors stand in the place of the faces' own: so the same pixels serve for "Anna does this and
Marco that" and for the opposite, and only what is said of the people differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idclip.faces import FaceModel
from vidsearch.describe import FACE_SIDE
from vidsearch.records import Box

Image = NDArray[np.uint8]
WIDTH, HEIGHT = 1200, 640
SHARE = 0.4, 0.6  # of the width has the left photo
LEAST_FACE = 0.04  # of the frame's width: smaller faces are not looked for on video either


@dataclass(frozen=True, eq=False)
class Single:
    """A photo RGB uint8 [HEIGHT, WIDTH / 2, 3] with the one face in it (pixels), and captions."""

    photo: Image
    face: tuple[float, float, float, float]
    captions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Pair:
    """A frame, the faces of the left and the right person, and what either does."""

    frame: Image
    faces: tuple[Box, Box]
    captions: tuple[tuple[str, ...], tuple[str, ...]]


def singles(photos: Iterable[tuple[Image, list[str]]], faces: FaceModel) -> Iterator[Single]:
    """The photos with exactly one face, which is large enough; their own aspect is 4 to 3."""
    import cv2

    for photo, captions in photos:
        large = cv2.resize(photo, (HEIGHT * 4 // 3, HEIGHT), interpolation=cv2.INTER_CUBIC)
        found = faces.detect(large, long_side=FACE_SIDE)
        if len(found) == 1 and found[0].box[2] - found[0].box[0] >= LEAST_FACE * WIDTH:
            yield Single(np.asarray(large, np.uint8), found[0].box, tuple(captions))


def pairs(of: list[Single], seed: int) -> list[Pair]:
    """All photos in pairs, each once; of an odd number the last is left out."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(of))
    return [
        _beside(of[a], of[b], float(rng.uniform(*SHARE)))
        for a, b in zip(order[::2], order[1::2], strict=False)
    ]


def _beside(left: Single, right: Single, share: float) -> Pair:
    wide = round(share * WIDTH)
    one, at = _narrowed(left, wide)
    other, there = _narrowed(right, WIDTH - wide)
    there = (there[0] + wide, there[1], there[2] + wide, there[3])
    frame = np.ascontiguousarray(np.hstack([one, other]))
    return Pair(frame, (_relative(at), _relative(there)), (left.captions, right.captions))


def _narrowed(single: Single, width: int) -> tuple[Image, tuple[float, float, float, float]]:
    """As much of a photo as fits, around its face, and the face there."""
    x0, y0, x1, y1 = single.face
    room = single.photo.shape[1] - width
    start = int(np.clip((x0 + x1) / 2 - width / 2, 0, room))
    return single.photo[:, start : start + width], (x0 - start, y0, x1 - start, y1)


def _relative(box: tuple[float, float, float, float]) -> Box:
    x0, y0, x1, y1 = box
    return (
        max(0.0, x0 / WIDTH),
        max(0.0, y0 / HEIGHT),
        min(1.0, x1 / WIDTH),
        min(1.0, y1 / HEIGHT),
    )
