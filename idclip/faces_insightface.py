"""insightface packs: SCRFD and ArcFace, far better on hard faces, for research only.

The packs' licence allows non-commercial research alone. A pack is a folder of ONNX files; it is
looked for as a path, in `$INSIGHTFACE_HOME/models` and in `~/.insightface/models`, and fetched
by the package's own means where a network is there.
"""

from __future__ import annotations

import importlib.util
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from idclip.alignment import Crops
from idclip.devices import CPU, FACES_DEVICE
from idclip.errors import ModelUnavailable
from idclip.face_quality import QualityModel
from idclip.faces import WEIGHTS, Face, Floats, Image
from idclip.onnx_session import open_session

LICENCE = "insightface packs: non-commercial research only"
_REACH_S = 3.0  # how long the origin may take to answer at all
_MULTIPLE = 32
_BATCH = 16  # crops at once: a crowd would take gigabytes ...
_BATCH_ON_GPU = 64  # ... which a GPU has
# SCRFD and ArcFace, by what packs call them: buffalo_* first, antelopev2 second; r50, mbf.
_DETECTOR = ("det_*.onnx", "scrfd_*.onnx")
_NETWORK = ("*r[0-9]*.onnx", "w600k_*.onnx")


class InsightFinder:
    """The detector of a pack of insightface, by name or folder; see `FaceFinder`."""

    def __init__(self, pack: str, *, threads: int = 0, device: str = CPU) -> None:
        _require_package(pack)
        from insightface.model_zoo.scrfd import SCRFD

        folder = _pack_folder(pack)
        finder = _file(folder, *_DETECTOR)
        with _told_of(folder):
            self._detector: Any = SCRFD(str(finder), _session(finder, threads, device))
        if not self._detector.use_kps:
            raise ModelUnavailable(
                f"{finder}: this detector tells no landmarks, without which faces cannot be "
                "compared: use one with nine outputs, as det_10g.onnx"
            )
        self._quality = QualityModel.load(WEIGHTS / "quality.json")

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceFinder.detect`."""
        import cv2

        height, width = image.shape[:2]
        ratio = min(1.0, long_side / max(height, width))
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if ratio < 1 else image
        side = -(-max(size) // _MULTIPLE) * _MULTIPLE
        # insightface fits other shapes into the square by one rounded ratio for both sides.
        square = np.zeros((side, side, 3), np.uint8)
        square[: size[1], : size[0]] = _bgr(small)
        rows, points = self._detector.detect(square, input_size=(side, side))
        faces = []
        for row, five in zip(rows, points, strict=True):
            x0, y0, x1, y1 = (float(v) for v in row[:4] / ratio)
            landmarks = (five / ratio).astype(np.float32)
            quality = self._quality.of(image, landmarks, float(row[4]))
            faces.append(Face((x0, y0, x1, y1), landmarks, float(row[4]), quality))
        return sorted(faces, key=lambda face: -face.score)


class InsightFaces:
    """A pack of insightface by name or folder; see `FaceModel` for its methods."""

    licence = LICENCE

    def __init__(self, pack: str, *, threads: int = 0, device: str = CPU) -> None:
        self.name = f"insightface:{pack}"
        self.device = device
        self._finder = InsightFinder(pack, threads=threads, device=device)
        from insightface.model_zoo import ArcFaceONNX
        from insightface.utils.face_align import arcface_dst

        folder = _pack_folder(pack)
        reader = _file(folder, *_NETWORK)
        with _told_of(folder):
            self._network: Any = ArcFaceONNX(str(reader), _session(reader, threads, device))
            side = int(self._network.input_size[0])
            self.dim = int(self._network.output_shape[-1])
        self.crops = Crops((arcface_dst * (side / 112)).astype(np.float32), side)

    def detect(self, image: Image, *, long_side: int) -> list[Face]:
        """See `FaceFinder.detect`."""
        return self._finder.detect(image, long_side=long_side)

    def embed(self, image: Image, faces: Sequence[Face]) -> Floats:
        """See `FaceModel.embed`."""
        return self.embed_crops(self.crops(image, faces))

    def embed_crops(self, crops: Image) -> Floats:
        """See `FaceModel.embed_crops`."""
        step = _BATCH if self.device == CPU else _BATCH_ON_GPU
        if self._network.input_shape[0] == 1:
            step = 1
        vectors = np.zeros((len(crops), self.dim), np.float32)
        for start in range(0, len(crops), step):
            some = [_bgr(crop) for crop in crops[start : start + step]]
            vectors[start : start + step] = self._network.get_feat(some)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Floats = (vectors / np.maximum(norms, 1e-9)).astype(np.float32)
        return unit


def network_file(pack: str) -> Path:
    """The network that makes a pack's vectors, if it is here; raises `ModelUnavailable`."""
    folder = _folder_here(pack)
    if folder is None:
        raise ModelUnavailable(f"insightface:{pack} is not on this machine")
    return _file(folder, *_NETWORK)


def _require_package(pack: str) -> None:
    """Raise `ModelUnavailable` where insightface cannot be imported."""
    if importlib.util.find_spec("insightface") is None:
        raise ModelUnavailable(
            f'insightface:{pack} needs the extra: pip install "vidsearch[insightface]" '
            f"({LICENCE}); the default face model needs nothing more"
        )
    try:
        import insightface.model_zoo  # noqa: F401
    except ImportError as error:
        raise ModelUnavailable(
            f"insightface:{pack}: insightface cannot be imported ({error}); install it again with "
            'pip install "vidsearch[insightface]"'
        ) from error


def _session(file: Path, threads: int, device: str) -> Any:
    return open_session(file, threads=threads, device=device, option=FACES_DEVICE)


@contextmanager
def _told_of(folder: Path) -> Iterator[None]:
    """What insightface says of networks of other kinds, as `ModelUnavailable`."""
    try:
        yield
    except (AssertionError, TypeError, ValueError, IndexError) as error:
        raise ModelUnavailable(f"{folder}: no insightface pack: {error}") from error


def _bgr(image: Image) -> Image:
    return np.ascontiguousarray(image[:, :, ::-1])


def _pack_folder(pack: str) -> Path:
    folder = _folder_here(pack)
    if folder is not None:
        return folder
    if os.sep in pack:
        raise ModelUnavailable(f"{pack}: no such folder of an insightface pack")
    return _fetch(pack, _home())


def _folder_here(pack: str) -> Path | None:
    places = (Path(pack).expanduser(), _home() / "models" / pack)
    return next((folder for folder in places if folder.is_dir()), None)


def _home() -> Path:
    return Path(os.environ.get("INSIGHTFACE_HOME", "~/.insightface")).expanduser()


def _fetch(pack: str, home: Path) -> Path:
    from insightface.utils.storage import BASE_REPO_URL, ensure_available

    url = f"{BASE_REPO_URL}/{pack}.zip"
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_REACH_S).close()
    except urllib.error.HTTPError as error:
        raise ModelUnavailable(
            f"insightface:{pack}: its origin has no such pack ({error})"
        ) from error
    except OSError as error:
        raise ModelUnavailable(
            f"insightface:{pack} is not on this machine and its origin cannot be reached "
            f"({error}); put the pack's .onnx files into {home / 'models' / pack} or use the "
            "default face model"
        ) from error
    return Path(ensure_available("models", pack, root=str(home)))


def _file(folder: Path, *patterns: str) -> Path:
    for pattern in patterns:
        found = sorted(folder.rglob(pattern))
        if found:
            return found[0]
    raise ModelUnavailable(
        f"{folder}: no {patterns[0]}; an insightface pack holds a detector (det_*.onnx) and an "
        "ArcFace network (as w600k_r50.onnx)"
    )
