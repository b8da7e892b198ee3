"""Faces in pictures: where they are, how good they are, and the vector that tells who it is.

`load_faces("default")` is CenterFace and dlib's face network, both on onnxruntime with weights
that ship with the package. Other backends hang on the same protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from idclip.devices import CPU, face_device
from idclip.errors import ModelUnavailable

if TYPE_CHECKING:
    from idclip.alignment import Crops

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "weights" / "faces"


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one picture.

    `box` is x0, y0, x1, y1 and `landmarks` [5, 2] the left eye, right eye, nose and the left and
    right corner of the mouth as seen in the picture, in pixels of the picture given to `detect`.
    `score` is the detector's own. `quality`, 0 to 1, says how far the face can be trusted to
    tell who it is (see `idclip.face_quality`).
    """

    box: tuple[float, float, float, float]
    landmarks: Floats
    score: float
    quality: float


class FaceFinder(Protocol):
    """The detector of a face model: all that is needed where its network runs elsewhere."""

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """Faces in `image` (RGB uint8 [H, W, 3]), best score first, in its own pixels.

        They are looked for on a copy with the given long side: smaller is faster and loses small
        faces. Quality is measured on `image` itself.
        """
        ...


class FaceModel(FaceFinder, Protocol):
    """A detector and an embedding that belong together.

    Faces become vectors in two steps, `crops` and `embed_crops`, which may run on two machines. The
    vectors do not depend on the `device`.
    """

    name: str
    dim: int
    licence: str

    @property
    def device(self) -> str:
        """Where the network runs: "cpu", "cuda" or "cuda:NUMBER"."""
        ...

    @property
    def crops(self) -> Crops:
        """The first step: faces cut out of a picture, uint8 [N, side, side, 3]."""
        ...

    def embed_crops(self, crops: Image) -> Floats:
        """The second: what `crops` cut, as unit vectors float32 [N, dim]."""
        ...

    def embed(self, image: Image, faces: Sequence[Face]) -> Floats:
        """Both: vectors float32 [N, dim] of unit length, for faces of `detect` on the same picture.

        The same faces found on a smaller copy will do, when scaled to this picture (`scaled`).
        """
        ...


def load_faces(name: str = "default", *, threads: int = 0, device: str = CPU) -> FaceModel:
    """The face model of that name; `threads` 0 means all cores.

    `default`, `insightface:PACK` (the extra `insightface`, a downloaded pack; non-commercial
    research licence), or `opencv:FOLDER` (YuNet and SFace as ONNX files in FOLDER). `device` is
    "cpu" (which "auto" is too), "cuda" or "cuda:NUMBER", for detector and network; opencv's run on
    the processor alone. Raises `ModelUnavailable` with what to do when a name is unknown, its files
    are not there, or it cannot run on the device.
    """
    kind, _, rest = full_name(name).partition(":")
    device = face_device(name, device)
    if name == "default":
        from idclip.faces_default import DefaultFaces

        return DefaultFaces(WEIGHTS, threads=threads, device=device)
    if kind == "insightface":
        from idclip.faces_insightface import InsightFaces

        return InsightFaces(rest or "buffalo_l", threads=threads, device=device)
    if kind == "opencv" and rest:
        from idclip.faces_opencv import OpenCVFaces

        return OpenCVFaces(Path(rest), threads=threads)
    raise ModelUnavailable(unknown_faces(name))


def load_finder(name: str = "default", *, threads: int = 0) -> FaceFinder:
    """The detector of `load_faces(name)` alone, on the processor; its network is not loaded.

    Raises `ModelUnavailable` as `load_faces` does.
    """
    kind, _, rest = full_name(name).partition(":")
    if name == "default":
        from idclip.faces_default import DefaultFinder

        return DefaultFinder(WEIGHTS, threads=threads)
    if kind == "insightface":
        from idclip.faces_insightface import InsightFinder

        return InsightFinder(rest or "buffalo_l", threads=threads)
    if kind == "opencv" and rest:
        from idclip.faces_opencv import OpenCVFinder

        return OpenCVFinder(Path(rest), threads=threads)
    raise ModelUnavailable(unknown_faces(name))


def full_name(name: str) -> str:
    """The name with its folder written in full: what a face model calls itself when loaded.

    So an archive finds its model from any folder. Names of packs stay as they are.
    """
    kind, _, rest = name.partition(":")
    place = Path(rest).expanduser()
    return f"{kind}:{place.resolve()}" if rest and place.exists() else name


def unknown_faces(name: str) -> str:
    """The message for a name that is no face model."""
    return f"{name!r} is no face model: use default, insightface:PACK or opencv:FOLDER"


def scaled(face: Face, ratio: float) -> Face:
    """The same face in a picture `ratio` times as large, for `embed` on that picture."""
    x0, y0, x1, y1 = (side * ratio for side in face.box)
    return Face((x0, y0, x1, y1), face.landmarks * np.float32(ratio), face.score, face.quality)
