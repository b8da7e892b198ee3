"""Labeled Faces in the Wild for fitting and testing who is who: the split, and what video does.

The photos (`../shared/data/lfw90.tar`: 13,233 of 5,749 people, 90x90) are research data: no photo
enters the repository. People, not photos, are split, by the CRC-32 of the name as LFW writes it
(`Aaron_Eckhart`), modulo 10: 0 to 3 test, 4 and 5 cohort, 6 to 9 fit. So nobody of the cohort or
the fit is in a test.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from idclip import alignment, face_quality
from idclip.centerface import CenterFace
from idclip.degrade import degrade, turn_head
from idclip.digests import of_files
from idclip.faces import WEIGHTS
from idclip.faces_default import quarters
from idclip.onnx_session import open_session

REPO = Path(__file__).resolve().parent.parent
TAR = REPO.parent / "shared" / "data" / "lfw90.tar"
CACHE = REPO / "build" / "lfw"

Split = Literal["test", "cohort", "fit"]
Image = NDArray[np.uint8]

CLEAN, DEGRADED, DEGRADED_AGAIN = 0, 1, 2
TURNED = 9  # 3 to 8 are the copies that `benchmarks/train_faces.py` trains on
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
    stranger. The second degraded copy: up to 4 photos of people of the fit with several. Turned:
    as degraded, but only every second of those of the fit who have one photo.
    """
    by_person: dict[str, list[str]] = {}
    for name in sorted(names):
        by_person.setdefault(person_of(name), []).append(name)
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
        if variant == TURNED and len(photos) == 1 and not every_second:
            return []
        return photos[:6]
    if variant == DEGRADED_AGAIN:
        return []
    if len(photos) >= 4:
        return photos[:6] if variant == CLEAN else photos[3:6]
    return photos[:1] if variant == CLEAN or every_second else []


@dataclass(frozen=True, eq=False)
class Measured:
    """Faces of LFW photos, row by row: who, which photo, and what is measured.

    `found` is whether a face near the middle of the photo was found; without it the values that
    follow mean nothing. `landmarks` [N, 5, 2] are those of the detector, `features` [N, 9] those
    of `idclip.face_quality`, among them the detector's score.
    """

    person: NDArray[np.str_]
    photo: NDArray[np.str_]
    split: NDArray[np.str_]
    found: NDArray[np.bool_]
    landmarks: NDArray[np.float32]
    features: NDArray[np.float32]


def measured(variant: int) -> Measured:
    """The chosen photos in one variant; kept in `build/lfw`, since measuring takes minutes."""
    return Measured(
        **_kept(f"faces{variant}", lambda: _measure(chosen(all_names(), variant), variant))
    )


def measured_cohort(variant: int) -> Measured:
    """Up to 6 photos of everybody of the cohort; kept in `build/lfw`.

    No network was trained on them, and nobody of the test is among them: to try scores on.
    """
    photos: dict[str, list[str]] = {}
    for name in all_names():
        if split_of(person_of(name)) == "cohort":
            photos.setdefault(person_of(name), []).append(name)
    names = [name for some in photos.values() for name in some[:6]]
    return Measured(**_kept(f"cohort{variant}", lambda: _measure(names, variant)))


def parts(network: Path, faces: Measured, variant: int, kind: str = "parts") -> NDArray[np.float32]:
    """What a network (`idclip.faces_default.quarters`) says of the faces, [N, 1024].

    Rows without a face are zero. Kept in `build/lfw` by the network's digest, the variant and what
    `kind` of faces these are.
    """
    session = open_session(network)

    def of_crops(crops: Sequence[Image]) -> NDArray[np.float32]:
        return quarters(session, crops)

    name = f"{kind}{variant}-{of_files([network])}"
    return _kept(name, lambda: {"parts": _of_faces(faces, variant, of_crops)})["parts"]


def pooled(network: Path, faces: Measured, variant: int) -> NDArray[np.float32]:
    """The values dlib's own vector is made of, of each face and of its mirror, [N, 2, 256].

    `network` is dlib's as its author trained it (`idclip.face_weights.dlib_network`).
    """
    session = open_session(network)

    def of_crops(crops: Sequence[Image]) -> NDArray[np.float32]:
        planes = np.stack(crops).transpose(0, 3, 1, 2)
        both = np.concatenate([planes, planes[..., ::-1]]).astype(np.float32)
        return np.stack(np.split(session.run(["pooled"], {"crop": both})[0], 2), axis=1)

    name = f"pooled{variant}-{of_files([network])}"
    return _kept(name, lambda: {"pooled": _of_faces(faces, variant, of_crops)})["pooled"]


def _kept(name: str, make: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays of that name in `build/lfw`, made if they are not there."""
    path = CACHE / f"{name}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **make())
    with np.load(path) as stored:
        return {part: stored[part] for part in stored.files}


def _measure(photos: Sequence[str], variant: int) -> dict[str, NDArray[Any]]:
    detector = CenterFace(WEIGHTS / "centerface.onnx")
    names, found, points, features = [], [], [], []
    for name, image, side in pictures(photos, variant):
        landmarks, score = middle_face(detector, image, side)
        names.append(name)
        found.append(landmarks is not None)
        if landmarks is None:
            points.append(np.zeros((5, 2), np.float32))
            features.append(np.zeros(len(face_quality.FEATURES), np.float32))
        else:
            points.append(landmarks)
            features.append(face_quality.measure(image, landmarks, score))
    people = [person_of(name) for name in names]
    return {
        "person": np.array(people),
        "photo": np.array(names),
        "split": np.array([split_of(person) for person in people]),
        "found": np.array(found),
        "landmarks": np.array(points, np.float32),
        "features": np.array(features, np.float32),
    }


def _of_faces(
    faces: Measured, variant: int, of_crops: Callable[[Sequence[Image]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """`of_crops` of all faces found, in the rows of `faces`."""
    rows = np.flatnonzero(faces.found)
    values, crops = [], []
    for row, (_, image, _) in zip(rows, pictures(faces.photo[rows], variant), strict=True):
        crops.append(alignment.cut(image, alignment.similarity(faces.landmarks[row])))
        if len(crops) == _BATCH or row == rows[-1]:
            values.append(of_crops(crops))
            crops.clear()
    made = np.concatenate(values)
    placed = np.zeros((len(faces.found), *made.shape[1:]), np.float32)
    placed[rows] = made
    return placed


def middle_face(
    detector: CenterFace, image: Image, side: int
) -> tuple[NDArray[np.float32] | None, float]:
    """Landmarks and score of the face LFW means: the one nearest to the middle.

    It is looked for on a copy with the long side `side`.
    """
    found = detector.detect(image, long_side=side, threshold=_LEAST_SCORE)
    if not len(found.scores):
        return None, 0.0
    size = np.array([image.shape[1], image.shape[0]])
    offset = np.hypot(*((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 / size - 0.5).T)
    best = int(np.argmin(offset - 0.1 * found.scores))
    if offset[best] >= 0.25:
        return None, 0.0
    return found.landmarks[best], float(found.scores[best])


def all_names() -> list[str]:
    """Names of all photos, sorted: `./PERSON/PERSON_0001.jpg` and so on."""
    with tarfile.open(TAR) as tar:
        return sorted(name for name in tar.getnames() if name.endswith(".jpg"))


def pictures(names: Iterable[str], variant: int) -> Iterator[tuple[str, Image, int]]:
    """Each photo as the variant has it, and the long side of the copy to look for a face on.

    Any variant but `CLEAN` is a degraded copy, `TURNED` of the photo with the head turned by 20
    to 45 degrees; the same name and variant give the same copy.
    """
    with tarfile.open(TAR) as tar:
        for name in names:
            file = tar.extractfile(str(name))
            assert file is not None
            image, side = _rgb(np.frombuffer(file.read(), np.uint8)), 192
            if variant != CLEAN:
                rng = np.random.default_rng(zlib.crc32(name.encode()) + 7919 * variant)
                if variant == TURNED:
                    yaw = np.deg2rad(rng.uniform(20, 45)) * rng.choice([-1, 1])
                    image = turn_head(image, float(yaw))
                image, side = degrade(image, rng), int(rng.choice([96, 128, 192]))
            yield name, image, side


def _rgb(data: NDArray[np.uint8]) -> Image:
    import cv2

    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None, "LFW photos and our own JPEGs can be read"
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


def person_of(name: str) -> str:
    """Whose photo it is."""
    return Path(name).parent.name
