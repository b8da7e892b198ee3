"""Faces cut upright and at one scale, from five landmarks.

Landmarks are left eye, right eye, nose, left and right corner of the mouth, as seen in the
picture, in pixels. The transform is the similarity of least squares (S. Umeyama, "Least-squares
estimation of transformation parameters between two point patterns", PAMI 1991).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from idclip.faces import Face

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

CROP = 150
# Where dlib's own alignment puts CenterFace's five points, on average, in its 150 x 150 crops.
TEMPLATE: Floats = np.array(
    [[46.8, 49.9], [100.6, 49.5], [72.3, 77.5], [54.3, 95.2], [95.5, 94.8]], np.float32
)


@dataclass(frozen=True, eq=False)
class Crops:
    """Cuts faces out of a picture as a network takes them; small, knows no weights, can be pickled.

    `template` [5, 2] is where the landmarks come to lie in crops of `side` pixels.
    """

    template: Floats
    side: int

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """Crops uint8 [N, side, side, 3] of faces in `image` (RGB uint8 [H, W, 3])."""
        crops = np.empty((len(faces), self.side, self.side, 3), np.uint8)
        for crop, face in zip(crops, faces, strict=True):
            crop[:] = cut(image, similarity(face.landmarks, self.template), self.side)
        return crops


def similarity(landmarks: Floats, template: Floats = TEMPLATE) -> NDArray[np.float64]:
    """The matrix [2, 3] that brings `landmarks` [5, 2] nearest to `template` [5, 2].

    It turns, scales and shifts, and never mirrors. Landmarks that all coincide give a matrix of
    scale 0.
    """
    source, target = landmarks.astype(np.float64), template.astype(np.float64)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_spread, target_spread = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(target_spread.T @ source_spread / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    variance = source_spread.var(axis=0).sum()
    scale = float(singular @ signs) / variance if variance > 0 else 0.0
    rotation = (u * signs) @ vt
    return np.hstack([scale * rotation, (target_mean - scale * rotation @ source_mean)[:, None]])


def scale_of(matrix: NDArray[np.float64]) -> float:
    """Crop pixels a picture pixel: above 1 where a small face is enlarged."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def residual(landmarks: Floats, matrix: NDArray[np.float64]) -> float:
    """Mean distance of the transformed landmarks from the template, in crop pixels."""
    moved = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return float(np.linalg.norm(moved - TEMPLATE, axis=1).mean())


def cut(image: Image, matrix: NDArray[np.float64], size: int = CROP) -> Image:
    """The crop uint8 [size, size, 3] that `matrix` describes; what lies outside is repeated edge.

    A face much larger than the crop is shrunk by area first: sampling it bilinearly would keep
    one pixel in many, and the noise with it.
    """
    import cv2

    scale = scale_of(matrix)
    if 0 < scale < 0.5:
        image, matrix = _shrunk(image, matrix, size)
    crop: Image = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return crop


def _shrunk(
    image: Image, matrix: NDArray[np.float64], size: int
) -> tuple[Image, NDArray[np.float64]]:
    """The part of the picture under the crop, about as large as the crop, and its matrix."""
    import cv2

    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    inverse = np.linalg.inv(matrix[:, :2])
    under = (corners - matrix[:, 2]) @ inverse.T
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(under.min(axis=0)).astype(int) - 2, 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(under.max(axis=0)).astype(int) + 2, [x0 + 1, y0 + 1], [width, height])
    wanted = scale_of(matrix) * 1.25
    shape = max(1, round((x1 - x0) * wanted)), max(1, round((y1 - y0) * wanted))
    small: Image = cv2.resize(image[y0:y1, x0:x1], shape, interpolation=cv2.INTER_AREA)
    # Small pixel (u, v) covers picture pixels from x0 + u * step: centres shift by half a pixel.
    step = np.array([(x1 - x0) / shape[0], (y1 - y0) / shape[1]])
    offset = np.array([x0, y0]) + step / 2 - 0.5
    linear = matrix[:, :2] * step
    shift = matrix[:, :2] @ offset + matrix[:, 2]
    return small, np.hstack([linear, shift[:, None]])
