"""CenterFace and dlib's face network, on onnxruntime; free for commercial use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from idclip import alignment
from idclip.centerface import CenterFace
from idclip.face_quality import QualityModel
from idclip.faces import Face, Floats, Image
from idclip.onnx_session import open_session

_BATCH = 16  # more crops at once only take memory


class DefaultFaces:
    """The default face model; see `FaceModel` for its methods.

    Vectors are dlib's network (King, dlib-models, CC0) on 150 x 150 crops.
    """

    name = "default"
    licence = "CenterFace MIT, dlib face network CC0 (free for commercial use)"

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        self._detector = CenterFace(folder / "centerface.onnx", threads=threads)
        self._network = open_session(folder / "dlib_face.onnx", threads=threads)
        self._quality = QualityModel.load(folder / "quality.json")
        self.dim = int(self._network.get_outputs()[0].shape[1])

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceModel.detect`."""
        found = self._detector.detect(image, long_side=long_side)
        faces = []
        for box, landmarks, score in zip(found.boxes, found.landmarks, found.scores, strict=True):
            quality = self._quality.of(image, landmarks, float(score))
            x0, y0, x1, y1 = (float(side) for side in box)
            faces.append(Face((x0, y0, x1, y1), landmarks, float(score), quality))
        return faces

    def embed(self, image: Image, faces: Sequence[Face]) -> Floats:
        """See `FaceModel.embed`."""
        crops = [alignment.cut(image, alignment.similarity(face.landmarks)) for face in faces]
        return self.embed_crops(crops)

    def embed_crops(self, crops: Sequence[Image]) -> Floats:
        """Unit vectors float32 [N, dim] of aligned crops, RGB uint8 [150, 150, 3] each."""
        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(crops), _BATCH):
            batch = np.stack(crops[start : start + _BATCH]).transpose(0, 3, 1, 2)
            planes = np.ascontiguousarray(batch, dtype=np.float32)
            parts.append(self._network.run(["embedding"], {"crop": planes})[0])
        vectors = np.concatenate(parts)
        unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit
