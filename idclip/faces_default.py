"""CenterFace and dlib's face network, on onnxruntime; free for commercial use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from idclip import alignment
from idclip.centerface import CenterFace
from idclip.face_quality import QualityModel
from idclip.faces import Face, Floats, Image
from idclip.onnx_session import open_session

PARTS = 1024  # 256 maps, four quarters of the face
_BATCH = 16  # more crops at once only take memory


class Raw(NamedTuple):
    """Values of the network before any fitted step, for N crops.

    `parts` float32 [N, 1024] make the vector: map by map the quarters top left, top right, bottom
    left, bottom right, the mean of the crop and its mirror. `pooled` float32 [N, 2, 256] are the
    values dlib's own vector is made of, of the crop and of its mirror.
    """

    parts: Floats
    pooled: Floats


class DefaultFaces:
    """The default face model; see `FaceModel` for its methods.

    Vectors are made of dlib's network (King, dlib-models, CC0) on crops of 150 x 150: its maps
    before the last block, averaged over each quarter of the crop and over the crop and its
    mirror, projected by a linear discriminant fitted on people of LFW, clean and degraded like
    video. It knows what changes between two photos of one person, and where in the face; dlib's
    own last layers average over the whole face.
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
        return self.vectors(self.raw(crops).parts)

    def raw(self, crops: Sequence[Image]) -> Raw:
        """What the network says of aligned crops, RGB uint8 [150, 150, 3] each, and mirrored."""
        parts, pooled = [np.zeros((0, PARTS), np.float32)], [np.zeros((0, 2, 256), np.float32)]
        for start in range(0, len(crops), _BATCH):
            planes = np.stack(crops[start : start + _BATCH]).transpose(0, 3, 1, 2)
            both = np.concatenate([planes, planes[..., ::-1]]).astype(np.float32)
            maps, means = self._network.run(["parts", "pooled"], {"crop": both})
            straight, mirrored = np.split(maps, 2)
            # Mirrored back, left is left again: the quarters of both show the same of the face.
            mean = (straight + mirrored[..., ::-1]) / 2
            parts.append(mean.reshape(len(mean), PARTS))
            pooled.append(np.stack(np.split(means, 2), axis=1))
        return Raw(np.concatenate(parts), np.concatenate(pooled))

    def vectors(self, parts: Floats) -> Floats:
        """Unit vectors float32 [N, dim] of `Raw.parts` [N, 1024]."""
        unit: Floats = self._head.run(["vector"], {"parts": parts})[0]
        return unit
