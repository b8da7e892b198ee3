"""CenterFace: faces and five landmarks in one look (Xu et al., arXiv:1911.03599; MIT).

The network gives, for every fourth pixel, how likely a face is centred there (`heatmap`), the
logarithm of its height and width in steps of four pixels (`scale`), where in the step its centre
lies (`offset`), and its landmarks relative to its box.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from idclip.devices import CPU, FACES_DEVICE
from idclip.onnx_session import open_session

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Faces with a lower score are of too poor a quality to know anybody by.
THRESHOLD = 0.5

_STEP = 4
_MULTIPLE = 32
_OVERLAP = 0.3  # boxes that share more than this of their union are one face
_SMALLEST_SIDE = 256  # smaller pictures are enlarged: the network misses faces that fill them


class Detections(NamedTuple):
    """Boxes [N, 4] (x0, y0, x1, y1), landmarks [N, 5, 2] in pixels, scores [N], best first."""

    boxes: Floats
    landmarks: Floats
    scores: Floats


class CenterFace:
    """The detector on onnxruntime, on a device. `threads` 0 means all cores."""

    def __init__(self, path: Path, *, threads: int = 0, device: str = CPU) -> None:
        self._session = open_session(path, threads=threads, device=device, option=FACES_DEVICE)

    def detect(self, image: Image, *, long_side: int, threshold: float = THRESHOLD) -> Detections:
        """Faces in `image` (RGB uint8 [H, W, 3]), in its own pixels.

        The network sees a copy whose long side is about `long_side` pixels, its sides rounded to
        multiples of 32. Faces under some 10 pixels on that copy are not seen.
        """
        small = _copy(image, long_side)
        planes = np.ascontiguousarray(small.transpose(2, 0, 1)[None], dtype=np.float32)
        heatmap, scale, offset, landmarks = self._session.run(None, {"image": planes})
        found = _decode(heatmap[0, 0], scale[0], offset[0], landmarks[0], threshold)
        found = _distinct(found)
        ratio = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], "f4")
        limit = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        boxes = np.clip(found.boxes * np.tile(ratio, 2), 0, limit)
        return Detections(boxes, found.landmarks * ratio, found.scores)


def _copy(image: Image, long_side: int) -> Image:
    import cv2

    height, width = image.shape[:2]
    longest = max(height, width)
    wanted = min(long_side, max(longest, _SMALLEST_SIDE))
    sides = [max(1, round(side * wanted / longest / _MULTIPLE)) for side in (width, height)]
    size = sides[0] * _MULTIPLE, sides[1] * _MULTIPLE
    if size == (width, height):
        return image
    shrinks = size[0] < width
    small: Image = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return small


def _decode(
    heatmap: Floats, scale: Floats, offset: Floats, landmarks: Floats, threshold: float
) -> Detections:
    rows, columns = np.nonzero(heatmap > threshold)
    height, width = np.exp(scale[:, rows, columns]) * _STEP
    y = (rows + offset[0, rows, columns] + 0.5) * _STEP - height / 2
    x = (columns + offset[1, rows, columns] + 0.5) * _STEP - width / 2
    boxes = np.stack([x, y, x + width, y + height], axis=1).astype(np.float32)
    points = landmarks[:, rows, columns].reshape(5, 2, -1)  # point, (y, x), face
    # The network was trained on boxes cut at the picture's edge: landmarks hang on those corners.
    px = points[:, 1] * width + np.maximum(x, 0)
    py = points[:, 0] * height + np.maximum(y, 0)
    places = np.stack([px, py], axis=2).transpose(1, 0, 2).astype(np.float32)
    return Detections(boxes, places, heatmap[rows, columns])


def _distinct(found: Detections) -> Detections:
    """Greedy suppression of boxes that overlap a better one."""
    order = np.argsort(-found.scores, kind="stable")
    boxes = found.boxes[order]
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept: list[int] = []
    for i in range(len(order)):
        low = np.maximum(boxes[i, :2], boxes[kept, :2])
        high = np.minimum(boxes[i, 2:], boxes[kept, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        if not (common > _OVERLAP * (area[i] + area[kept] - common)).any():
            kept.append(i)
    best = order[kept]
    return Detections(found.boxes[best], found.landmarks[best], found.scores[best])
