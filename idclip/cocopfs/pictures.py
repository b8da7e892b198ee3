"""Reading and writing pictures, and a second look at a face for landmarks to swap by."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableImage
from ..faces import Face, FaceModel, Image

LOOKING_SIDE = 640  # long side of the copy that faces are looked for in; COCO's photos have it
JPEG_QUALITY = 95
_CLOSE_SIDE = 192  # the second look: the face is a third of it, the size the detector knows best


def decoded(data: bytes, name: str) -> Image:
    """A picture file's bytes as RGB uint8 [H, W, 3]; raises `UnreadableImage` with `name`."""
    import cv2

    raw = np.frombuffer(data, np.uint8)
    try:
        picture = cv2.imdecode(raw, cv2.IMREAD_COLOR) if len(raw) else None
    except cv2.error:  # more pixels than OpenCV will hold
        picture = None
    if picture is None:
        raise UnreadableImage(f"{name}: cannot be read as a picture")
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


def jpeg(image: Image) -> bytes:
    """RGB uint8 [H, W, 3] as the bytes of a JPEG file."""
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), quality)
    return data.tobytes()


def write_whole(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)


def side(face: Face) -> float:
    """The shorter side of a face's box, in pixels: the size that `--least-face` speaks of."""
    x0, y0, x1, y1 = face.box
    return min(x1 - x0, y1 - y0)


def overlap(a: Face, b: Face) -> float:
    """Area that two boxes share over the area of both."""
    low = np.maximum(a.box[:2], b.box[:2])
    high = np.minimum(a.box[2:], b.box[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    areas = sum((f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in (a, b))
    return common / max(areas - common, 1e-9)


def turn(landmarks: NDArray[Any]) -> float:
    """How far the nose stands right of the middle between the eyes, in eye distances."""
    across = landmarks[1] - landmarks[0]
    offset = landmarks[2] - (landmarks[0] + landmarks[1]) / 2
    return float(offset @ across) / max(float(across @ across), 1e-6)


def closer(model: FaceModel, image: Image, face: Face) -> Face:
    """The face with landmarks of a second look, at one size and with something around it.

    A detector misplaces the landmarks of faces that fill the picture or are cut by its edge,
    which a vector forgives and a swap does not.
    """
    import cv2

    x0, y0, x1, y1 = face.box
    size = max(x1 - x0, y1 - y0)
    border = int(1.6 * size) + 2
    padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    corner = np.array([int((x0 + x1) / 2 - 1.5 * size), int((y0 + y1) / 2 - 1.5 * size)])
    wide = int(3 * size)
    left, top = corner + border
    part = np.ascontiguousarray(padded[top : top + wide, left : left + wide])
    shift = np.array([*corner, *corner], np.float64)
    found = [
        replace(f, box=tuple(np.array(f.box) + shift), landmarks=f.landmarks + np.float32(corner))
        for f in model.detect(part, long_side=_CLOSE_SIDE)
    ]
    same = max(found, key=lambda f: overlap(f, face), default=None)
    if same is None or overlap(same, face) < 0.5:
        return face
    return replace(face, landmarks=same.landmarks.astype(np.float32))
