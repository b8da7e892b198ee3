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

    Vectors are the 256 pooled values of dlib's network (King, dlib-models, CC0) on crops of
    150 x 150, projected by a linear discriminant fitted on people of LFW, clean and degraded
    like video, instead of dlib's own last layer: it knows what changes between two photos of
    one person.
    """

    name = "default"
    licence = "CenterFace MIT, dlib face network CC0 (free for commercial use)"

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        self.detector = CenterFace(folder / "centerface.onnx", threads=threads)
        self._network = open_session(folder / "dlib_face.onnx", threads=threads)
        self._head = open_session(folder / "face_vector.onnx", threads=1)
        self._quality = QualityModel.load(folder / "quality.json")
        self.dim = int(self._head.get_outputs()[0].shape[1])

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceModel.detect`."""
        found = self.detector.detect(image, long_side=long_side)
        faces = []
        for box, landmarks, score in zip(found.boxes, found.landmarks, found.scores, strict=True):
            quality = self._quality.of(image, landmarks, float(score))
            x0, y0, x1, y1 = (float(side) for side in box)
            faces.append(Face((x0, y0, x1, y1), landmarks, float(score), quality))
        return faces

    def embed(self, image: Image, faces: Sequence[Face]) -> Floats:
        """See `FaceModel.embed`."""
        crops = [alignment.cut(image, alignment.similarity(face.landmarks)) for face in faces]
        return self.vectors(self.raw(crops))

    def raw(self, crops: Sequence[Image]) -> Floats:
        """Pooled values float32 [N, 256] of aligned crops, RGB uint8 [150, 150, 3] each."""
        parts = [np.zeros((0, 256), np.float32)]
        for start in range(0, len(crops), _BATCH):
            batch = np.stack(crops[start : start + _BATCH]).transpose(0, 3, 1, 2)
            planes = np.ascontiguousarray(batch, dtype=np.float32)
            parts.append(self._network.run(["pooled"], {"crop": planes})[0])
        return np.concatenate(parts)

    def vectors(self, pooled: Floats) -> Floats:
        """Unit vectors float32 [N, dim] of pooled values [N, 256]."""
        unit: Floats = self._head.run(["vector"], {"pooled": pooled})[0]
        return unit
