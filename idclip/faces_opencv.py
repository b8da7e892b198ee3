"""YuNet and SFace of the OpenCV Zoo: free for commercial use, better than the default.

YuNet (MIT) finds faces, SFace (Apache-2.0) makes 128 values of them; both run in OpenCV itself.
Their files are `face_detection_yunet_*.onnx` and `face_recognition_sface_*.onnx`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from idclip.alignment import Crops
from idclip.devices import CPU
from idclip.errors import ModelUnavailable
from idclip.face_quality import QualityModel
from idclip.faces import WEIGHTS, Face, Floats, Image

_DETECTOR, _NETWORK = "*yunet*.onnx", "*sface*.onnx"
_SCORE, _OVERLAP, _MOST = 0.6, 0.3, 500
# ArcFace's five points in 112 x 112 crops, which SFace was trained on.
_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]],
    np.float32,
)  # fmt: skip
_CROP = 112


class OpenCVFinder:
    """YuNet from a folder; see `FaceFinder`.

    OpenCV's threads are set for the whole process (`cv2.setNumThreads`), so `threads` is obeyed
    for all of OpenCV.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        import cv2

        file = _file(folder.expanduser(), _DETECTOR)
        if threads:
            cv2.setNumThreads(threads)
        with _told_of(file):
            self._detector: Any = cv2.FaceDetectorYN.create(
                str(file), "", (320, 320), _SCORE, _OVERLAP, _MOST
            )
            # Files of other networks load, and fail when first used.
            self._detector.detect(np.zeros((320, 320, 3), np.uint8))
        self._quality = QualityModel.load(WEIGHTS / "quality.json")

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceFinder.detect`."""
        import cv2

        height, width = image.shape[:2]
        ratio = min(1.0, long_side / max(height, width))
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if ratio < 1 else image
        self._detector.setInputSize(size)
        _, rows = self._detector.detect(np.ascontiguousarray(small[:, :, ::-1]))
        faces = []
        for row in [] if rows is None else rows:
            x, y, w, h = (float(v) / ratio for v in row[:4])
            landmarks = (row[4:14].reshape(5, 2) / ratio).astype(np.float32)
            # YuNet names the person's right eye first, which is the left one in the picture.
            quality = self._quality.of(image, landmarks, float(row[14]))
            faces.append(Face((x, y, x + w, y + h), landmarks, float(row[14]), quality))
        return sorted(faces, key=lambda face: -face.score)


class OpenCVFaces:
    """YuNet and SFace from a folder, on the processor; see `FaceModel` for its methods."""

    licence = "YuNet MIT, SFace Apache-2.0 (free for commercial use)"
    device = CPU
    crops = Crops(_TEMPLATE, _CROP)

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        import cv2

        self.name = f"opencv:{folder}"
        self._finder = OpenCVFinder(folder, threads=threads)
        file = _file(folder.expanduser(), _NETWORK)
        with _told_of(file):
            self._network: Any = cv2.FaceRecognizerSF.create(str(file), "")
            self.dim = self._network.feature(np.zeros((_CROP, _CROP, 3), np.uint8)).size

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceFinder.detect`."""
        return self._finder.detect(image, long_side=long_side)

    def embed(self, image: Image, faces: Sequence[Face]) -> Floats:
        """See `FaceModel.embed`."""
        return self.embed_crops(self.crops(image, faces))

    def embed_crops(self, crops: Image) -> Floats:
        """See `FaceModel.embed_crops`."""
        vectors = np.zeros((len(crops), self.dim), np.float32)
        for vector, crop in zip(vectors, crops, strict=True):
            vector[:] = self._network.feature(np.ascontiguousarray(crop[:, :, ::-1])).ravel()
        unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit


def network_file(folder: Path) -> Path:
    """The network that makes the vectors; raises `ModelUnavailable` where there is none."""
    return _file(folder.expanduser(), _NETWORK)


@contextmanager
def _told_of(file: Path) -> Iterator[None]:
    """What OpenCV says of files that are no such networks, as `ModelUnavailable`."""
    import cv2

    try:
        yield
    except cv2.error as error:
        raise ModelUnavailable(f"{file}: OpenCV cannot use this network: {error}") from error


def _file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if not found:
        raise ModelUnavailable(
            f"{folder}: no {pattern}; opencv:FOLDER wants YuNet and SFace of the OpenCV Zoo "
            "(face_detection_yunet_*.onnx, face_recognition_sface_*.onnx) in one folder"
        )
    # The zoo's folders hold int8 copies beside the networks, which lose accuracy.
    return ([file for file in found if "int8" not in file.name] or found)[-1]
