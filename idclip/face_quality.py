"""How far a face can be trusted to tell who it is.

Faces that are small, blurred, dark or turned away all look alike to a face network, so a score
without quality gives them to whoever is enrolled. Quality is a logistic function of what can be
measured on the aligned crop and the landmarks; its weights are fitted on photos of known people
degraded like video (see `benchmarks/face_identity.py`), not guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idclip import alignment

FEATURES = (
    "log_width",
    "sharpness",
    "fine_sharpness",
    "log_residual",
    "turn",
    "score",
    "contrast",
    "brightness",
    "clipped",
)
_SMALL = 64


def measure(
    image: NDArray[np.uint8], landmarks: NDArray[np.float32], score: float
) -> NDArray[np.float32]:
    """The values of `FEATURES` [9] for one face; `image` is RGB uint8 [H, W, 3].

    `log_width`: log2 of the width in picture pixels that the 150 pixel crop covers, at most that
    of 150. `sharpness`, `fine_sharpness`: log2 of the deviation of the Laplacian against that of
    the grey values, on the crop at 64 and at 128 pixels. `log_residual`: log2 of one plus the
    landmarks' mean distance from the template, in crop pixels. `turn`: how far the nose stands
    from the middle between the eyes, in eye distances. `contrast`, `brightness`: of the grey crop
    at 64 pixels, 0 to 1; `clipped`: its share of nearly black or white pixels.
    """
    import cv2

    matrix = alignment.similarity(landmarks)
    scale = max(alignment.scale_of(matrix), 1e-3)
    crop = cv2.cvtColor(alignment.cut(image, matrix), cv2.COLOR_RGB2GRAY)
    crop = crop[15:135, 15:135]  # the face without what is around it
    small = cv2.resize(crop, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
    middle = (landmarks[0] + landmarks[1]) / 2
    across = landmarks[1] - landmarks[0]
    eyes = max(float(np.hypot(*across)), 1e-3)
    turn = abs(float((landmarks[2] - middle) @ across)) / eyes**2
    values = (
        np.log2(min(alignment.CROP / scale, alignment.CROP)),
        _sharpness(small),
        _sharpness(crop.astype(np.float32)),
        np.log2(1 + alignment.residual(landmarks, matrix)),
        min(turn, 2.0),
        score,
        small.std() / 128,
        small.mean() / 255,
        float(((small < 12) | (small > 243)).mean()),
    )
    return np.array(values, np.float32)


def _sharpness(grey: NDArray[np.float32]) -> float:
    import cv2

    edges = cv2.Laplacian(grey, cv2.CV_32F)
    return float(np.log2((edges.std() + 0.5) / (grey.std() + 1)))


@dataclass(frozen=True, eq=False)
class QualityModel:
    """A logistic function of standardised features, and of their squares."""

    mean: NDArray[np.float32]  # [9]
    std: NDArray[np.float32]  # [9]
    weights: NDArray[np.float32]  # [18]: of the features, then of their squares
    bias: float

    @classmethod
    def load(cls, path: Path) -> QualityModel:
        """Read the fitted weights from a JSON file."""
        read = json.loads(path.read_text())
        if tuple(read["features"]) != FEATURES:
            raise ValueError(f"{path}: fitted for other features, {read['features']}")
        mean, std, weights = (np.array(read[k], np.float32) for k in ("mean", "std", "weights"))
        return cls(mean, std, weights, float(read["bias"]))

    def of(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32], score: float) -> float:
        """Quality 0 to 1 of one face in `image` (RGB uint8 [H, W, 3])."""
        return float(self.of_features(measure(image, landmarks, score)[None])[0])

    def of_features(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Quality [N] of measured features [N, 9]."""
        z = np.clip((features - self.mean) / self.std, -3, 3)
        logit = np.concatenate([z, z**2], axis=1) @ self.weights + self.bias
        quality: NDArray[np.float32] = (1 / (1 + np.exp(-logit))).astype(np.float32)
        return quality * _facing(features) * _lit(features)


def _facing(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 for faces towards the camera, down to 0.1 for those turned away [N].

    The photos that the rest is fitted on show no profiles. On film, faces whose landmarks miss
    the template by more than 6 crop pixels resembled whoever was enrolled.
    """
    missed = 2 ** features[:, FEATURES.index("log_residual")] - 1
    turn = features[:, FEATURES.index("turn")]
    away = np.maximum((missed - 4) / 6, (turn - 0.25) / 0.5)
    facing: NDArray[np.float32] = 1 - 0.9 * np.clip(away, 0, 1).astype(np.float32)
    return facing


def _lit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 for faces with the contrast of those that the rest is fitted on, down to 0.1 [N].

    One in a thousand degraded photos has less than 0.05; a face of eight grey values has 0.01.
    """
    missing = (0.05 - features[:, FEATURES.index("contrast")]) / 0.04
    lit: NDArray[np.float32] = 1 - 0.9 * np.clip(missing, 0, 1).astype(np.float32)
    return lit
