"""A person's own figure in a picture that shows several: where it is cut.

The context vector of a whole picture says what is done in it, not who does it. Where a shot shows
several people, each gets a vector of the part of the picture around them besides
(`FaceTrack.figure`): the face, the body below it and some surroundings, up to a line between this
person and the next. The window was chosen on generated pictures of two people of whom each does
something else (`benchmarks/two_people.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import Box

Picture = NDArray[np.uint8]


class Window(NamedTuple):
    """How far a figure reaches from its face, in widths (`beside`) and heights of the face.

    `beside` counts from the middle of the face, `above` and `below` from its edges.
    """

    beside: float
    above: float
    below: float


WINDOW = Window(beside=4.0, above=1.5, below=4.0)


def around(face: Box, others: Sequence[Box], window: Window = WINDOW) -> Box:
    """The part of the picture that is about the person with this face.

    `others` are the faces of the other people in it. The window ends at the line between two
    faces of which the larger, who is nearer, has the larger share, and never inside the face.
    """
    x0, y0, x1, y1 = face
    width, height, middle = x1 - x0, y1 - y0, (x0 + x1) / 2
    left, right = middle - window.beside * width, middle + window.beside * width
    for other in others:
        theirs, wide = (other[0] + other[2]) / 2, other[2] - other[0]
        line = middle + (theirs - middle) * width / max(width + wide, 1e-9)
        if theirs < middle:
            left = max(left, min(line, x0))
        elif theirs > middle:
            right = min(right, max(line, x1))
    return (
        max(0.0, left),
        max(0.0, y0 - window.above * height),
        min(1.0, right),
        min(1.0, y1 + window.below * height),
    )


def cut(picture: Picture, box: Box) -> Picture:
    """The part [h, w, 3] of a picture [H, W, 3] under a relative box, one pixel at least."""
    height, width = picture.shape[:2]
    x0, y0 = min(int(box[0] * width), width - 1), min(int(box[1] * height), height - 1)
    x1, y1 = int(np.ceil(box[2] * width)), int(np.ceil(box[3] * height))
    return np.ascontiguousarray(picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
