"""CenterFace and dlib's face network, trained further, on onnxruntime; free for commercial use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from idclip.alignment import CROP, TEMPLATE, Crops
from idclip.centerface import CenterFace
from idclip.devices import CPU, FACES_DEVICE
from idclip.face_quality import QualityModel
from idclip.faces import Face, Floats, Image
from idclip.onnx_session import open_session

PARTS = 1024  # 256 maps, four quarters of the face
_BATCH = 16  # more crops at once only take memory on a processor ...
_BATCH_ON_GPU = 64  # ... and a GPU has it


class DefaultFinder:
    """CenterFace, and how good the faces are that it finds; see `FaceFinder`."""

    def __init__(self, folder: Path, *, threads: int = 0, device: str = CPU) -> None:
        self._detector = CenterFace(folder / "centerface.onnx", threads=threads, device=device)
        self._quality = QualityModel.load(folder / "quality.json")

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceFinder.detect`."""
        found = self._detector.detect(image, long_side=long_side)
        faces = []
        for box, landmarks, score in zip(found.boxes, found.landmarks, found.scores, strict=True):
            quality = self._quality.of(image, landmarks, float(score))
            x0, y0, x1, y1 = (float(side) for side in box)
            faces.append(Face((x0, y0, x1, y1), landmarks, float(score), quality))
        return faces


class DefaultFaces:
    """The default face model; see `FaceModel` for its methods.

    Vectors are made of dlib's network (King, dlib-models, CC0) on crops of 150 x 150, trained
    further on people of LFW, clean and degraded like video: its maps before the last block,
    averaged over each quarter of the crop and over the crop and its mirror, projected by a linear
    discriminant fitted on the same people. It knows what changes between two photos of one
    person, and where in the face; dlib's own last layers average over the whole face.
    """

    name = "default"
    licence = "CenterFace MIT, dlib face network CC0 (free for commercial use)"

    crops = Crops(TEMPLATE, CROP)

    def __init__(self, folder: Path, *, threads: int = 0, device: str = CPU) -> None:
        self.device = device
        self._finder = DefaultFinder(folder, threads=threads, device=device)
        self._network = open_session(
            folder / "face_network.onnx", threads=threads, device=device, option=FACES_DEVICE
        )
        # One product of matrices: nothing that a GPU would be asked for.
        self._head = open_session(folder / "face_vector.onnx", threads=1)
        self.dim = int(self._head.get_outputs()[0].shape[1])

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceFinder.detect`."""
        return self._finder.detect(image, long_side=long_side)

    def embed(self, image: Image, faces: Sequence[Face]) -> Floats:
        """See `FaceModel.embed`."""
        return self.embed_crops(self.crops(image, faces))

    def embed_crops(self, crops: Image) -> Floats:
        """See `FaceModel.embed_crops`."""
        most = _BATCH if self.device == CPU else _BATCH_ON_GPU
        return self.vectors(quarters(self._network, crops, most))

    def vectors(self, parts: Floats) -> Floats:
        """Unit vectors float32 [N, dim] of what `quarters` gives, [N, 1024]."""
        unit: Floats = self._head.run(["vector"], {"parts": parts})[0]
        return unit


def quarters(network: Any, crops: Sequence[Image] | Image, most: int = _BATCH) -> Floats:
    """What the network says of aligned crops, RGB uint8 [150, 150, 3] each, before the last step.

    float32 [N, 1024]: map by map the quarters top left, top right, bottom left, bottom right, the
    mean of the crop and its mirror. `most` crops are looked at together.
    """
    parts = [np.zeros((0, PARTS), np.float32)]
    for start in range(0, len(crops), most):
        planes = np.asarray(crops[start : start + most]).transpose(0, 3, 1, 2)
        both = np.concatenate([planes, planes[..., ::-1]]).astype(np.float32)
        straight, mirrored = np.split(network.run(["parts"], {"crop": both})[0], 2)
        # Mirrored back, left is left again: the quarters of both show the same of the face.
        mean = (straight + mirrored[..., ::-1]) / 2
        parts.append(mean.reshape(len(mean), PARTS))
    return np.concatenate(parts)
