"""Labeled Faces in the Wild for fitting and testing who is who: the split, and what video does.

The photos (`../shared/data/lfw90.tar`: 13,233 of 5,749 people, 90x90) are research data: no photo
enters the repository. People, not photos, are split, by the CRC-32 of the name as LFW writes it
(`Aaron_Eckhart`), modulo 10: 0 to 3 test, 4 and 5 cohort, 6 to 9 fit. So nobody of the cohort or
the fit is in a test.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from idclip import alignment, face_quality
from idclip.faces_default import DefaultFaces, Raw

REPO = Path(__file__).resolve().parent.parent
TAR = REPO.parent / "shared" / "data" / "lfw90.tar"
CACHE = REPO / "build" / "lfw"

Split = Literal["test", "cohort", "fit"]
Image = NDArray[np.uint8]

CLEAN, DEGRADED, DEGRADED_AGAIN = 0, 1, 2
_LEAST_SCORE = 0.3  # lower than in the product: the choice of a threshold is part of the test
_BATCH = 16


def split_of(person: str) -> Split:
    """Which part of the split somebody belongs to."""
    rest = zlib.crc32(person.encode()) % 10
    return "test" if rest < 4 else "cohort" if rest < 6 else "fit"


def chosen(names: Sequence[str], variant: int) -> list[str]:
    """The photos that are used, so that fitting takes minutes and no one person dominates.

    Clean: one photo of each stranger of the cohort; up to 6 of people of the fit; of test people
    with 4 photos or more the first 6 (three to enrol, three to be named), one of all others, who
    are the strangers. Degraded: the same of the fit, the photos to be named, and every second
    stranger. The second degraded copy: up to 4 photos of people of the fit with several.
    """
    by_person: dict[str, list[str]] = {}
    for name in sorted(names):
        by_person.setdefault(_person(name), []).append(name)
    kept: list[str] = []
    for person, photos in by_person.items():
        kept += _chosen_of(photos, split_of(person), variant)
    return kept


def _chosen_of(photos: list[str], split: Split, variant: int) -> list[str]:
    every_second = zlib.crc32(photos[0].encode()) % 2 == 0
    if split == "cohort":
        return photos[:1] if variant == CLEAN else []
    if split == "fit":
        if variant == DEGRADED_AGAIN:
            return photos[:4] if len(photos) > 1 else []
        return photos[:6]
    if variant == DEGRADED_AGAIN:
        return []
    if len(photos) >= 4:
        return photos[:6] if variant == CLEAN else photos[3:6]
    return photos[:1] if variant == CLEAN or every_second else []


def degrade(image: Image, rng: np.random.Generator) -> Image:
    """A photo as video would show it; RGB uint8 [90, 90, 3] in, another size out.

    The whole photo is made 18 to 70 pixels high (evenly on a logarithmic scale) and squeezed,
    blurred by lens or motion, darkened, made noisy and stored as JPEG of quality 20 to 75. It
    happens before detection, so that boxes and landmarks suffer too, and a face that is no longer
    found counts as not named.
    """
    import cv2

    height, width = image.shape[:2]
    scale = float(np.exp(rng.uniform(np.log(18), np.log(70)))) / height
    squeeze = float(np.exp(rng.normal(0, 0.08)))
    size = max(12, round(width * scale * squeeze)), max(12, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    x = cv2.resize(image, size, interpolation=how).astype(np.float32)
    x = _blurred(x, rng)
    x = 255 * (x / 255) ** float(np.exp(rng.normal(0.1, 0.25)))
    x = x * float(rng.uniform(0.35, 1.1)) + float(rng.uniform(0, 25))
    x = x + rng.normal(0, float(rng.uniform(0, 4)), x.shape)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(20, 75))]
    _, jpeg = cv2.imencode(".jpg", np.clip(x, 0, 255).astype(np.uint8)[:, :, ::-1], quality)
    return _rgb(jpeg)


def _blurred(x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    import cv2

    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.3, 1.0))))
    if rng.random() < 0.4:
        length = int(rng.integers(2, 4))
        kernel = np.zeros((length, length), np.float32)
        if rng.random() < 0.5:
            kernel[length // 2, :] = 1 / length
        else:
            np.fill_diagonal(kernel, 1 / length)
        return np.asarray(cv2.filter2D(x, -1, kernel))
    return x


@dataclass(frozen=True, eq=False)
class Measured:
    """Faces of LFW photos, row by row: who, which photo, and what the networks say.

    `found` is whether a face near the middle of the photo was found; without it the other values
    mean nothing. `features` [N, 9] are those of `idclip.face_quality`, among them the detector's
    score; `parts` and `pooled` are `idclip.faces_default.Raw`.
    """

    person: NDArray[np.str_]
    photo: NDArray[np.str_]
    split: NDArray[np.str_]
    found: NDArray[np.bool_]
    features: NDArray[np.float32]
    parts: NDArray[np.float32]
    pooled: NDArray[np.float32]


def measured(model: DefaultFaces, variant: int) -> Measured:
    """The chosen photos in one variant; kept in `build/lfw`, since measuring takes minutes."""
    path = CACHE / f"parts{variant}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **vars(_measure(model, variant)))
    with np.load(path) as stored:
        return Measured(**{name: stored[name] for name in stored.files})


def _measure(model: DefaultFaces, variant: int) -> Measured:
    photos, found, features = [], [], []
    raw: list[Raw] = []
    crops: list[Image] = []
    for name, image in _photos(variant):
        rng = np.random.default_rng(zlib.crc32(name.encode()) + 7919 * variant)
        side = 192
        if variant != CLEAN:
            image, side = degrade(image, rng), int(rng.choice([96, 128, 192]))
        landmarks, score = _middle_face(model, image, side)
        photos.append(name)
        found.append(landmarks is not None)
        if landmarks is None:
            features.append(np.zeros(len(face_quality.FEATURES), np.float32))
            crops.append(np.zeros((alignment.CROP, alignment.CROP, 3), np.uint8))
        else:
            features.append(face_quality.measure(image, landmarks, score))
            crops.append(alignment.cut(image, alignment.similarity(landmarks)))
        if len(crops) == _BATCH:
            raw.append(model.raw(crops))
            crops.clear()
    if crops:
        raw.append(model.raw(crops))
    people = [_person(name) for name in photos]
    return Measured(
        np.array(people),
        np.array(photos),
        np.array([split_of(person) for person in people]),
        np.array(found),
        np.array(features, np.float32),
        np.concatenate([part.parts for part in raw]),
        np.concatenate([part.pooled for part in raw]),
    )


def _middle_face(
    model: DefaultFaces, image: Image, side: int
) -> tuple[NDArray[np.float32] | None, float]:
    """Landmarks and score of the face LFW means: the one nearest to the middle."""
    found = model.detector.detect(image, long_side=side, threshold=_LEAST_SCORE)
    if not len(found.scores):
        return None, 0.0
    size = np.array([image.shape[1], image.shape[0]])
    offset = np.hypot(*((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 / size - 0.5).T)
    best = int(np.argmin(offset - 0.1 * found.scores))
    if offset[best] >= 0.25:
        return None, 0.0
    return found.landmarks[best], float(found.scores[best])


def _photos(variant: int) -> Iterator[tuple[str, Image]]:
    with tarfile.open(TAR) as tar:
        names = [name for name in tar.getnames() if name.endswith(".jpg")]
        for name in chosen(names, variant):
            file = tar.extractfile(name)
            assert file is not None
            data = np.frombuffer(file.read(), np.uint8)
            yield name, _rgb(data)


def _rgb(data: NDArray[np.uint8]) -> Image:
    import cv2

    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None, "LFW photos and our own JPEGs can be read"
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


def _person(name: str) -> str:
    return Path(name).parent.name
