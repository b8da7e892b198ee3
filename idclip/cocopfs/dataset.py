"""COCO-PFS for training and evaluation: the released layout and ours, through one class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableImage
from .layout import (
    NAMES,
    SPLITS,
    BadDataset,
    Manifest,
    as_vector,
    field,
    fingerprint,
    picture_files,
    read_manifest,
    read_names,
    read_scenes,
    read_vectors,
    vector_files,
)

_Vectors = dict[tuple[int, str], NDArray[np.float32]]


@dataclass(frozen=True)
class Sample:
    """A swapped picture.

    `image`: its file; `image_id` and `scene`: COCO's id and file name of the photo before the swap;
    `identity`: who was put into it, `name`: as people write it; `vector` float32 [F]: the
    identity's face as the data set gives it for this picture; `captions`: COCO's, as they are;
    `face_px`: how large the face is, in pixels (None where the data set does not say).
    """

    image: Path
    image_id: int
    scene: str
    identity: str
    name: str
    vector: NDArray[np.float32]
    captions: tuple[str, ...]
    face_px: float | None


@dataclass(frozen=True)
class PersonEntry:
    """Photos to ask for a person with, none of them the source of a swap.

    `vectors` float32 [P, F], best photo first; `qualities` float32 [P]. The released layout has no
    photos: its `vectors` are the identity's distinct ones, its `qualities` NaN.
    """

    name: str
    vectors: NDArray[np.float32]
    qualities: NDArray[np.float32]


class CocoPFS:
    """The samples of a COCO-PFS folder and the people in them.

    `samples` are in the order of image id and identity; `people` are those that occur in them, by
    identity; `face_dim` is F, `face_model` says what made the vectors, `fingerprint` stands for the
    data's content, `split` is "train", "validation", "test" or None for all.
    """

    def __init__(self, root: Path | str, split: str | None = None) -> None:
        """Read and check a folder, but for the pictures' content.

        Raises `BadDataset` naming the part that is missing or wrong.
        """
        self.root = Path(root)
        self.split = _split(split)
        if not self.root.is_dir():
            raise BadDataset(f"{self.root}: no such folder; give the one that holds COCO-PFS")
        manifest = read_manifest(self.root)
        files = _files(self.root, self.split)
        vectors: _Vectors = {}
        for file in files:
            dim = manifest.face_dim if manifest else len(next(iter(vectors.values()), ())) or None
            vectors |= read_vectors(file, dim)
        self.face_dim = len(next(iter(vectors.values())))
        self.face_model = manifest.face_model if manifest else "arcface"
        self.samples = _samples(self.root, self.split, vectors, manifest)
        self.people: Mapping[str, PersonEntry] = (
            _photographed(manifest, self.samples, self.split)
            if manifest
            else _distinct(self.samples)
        )
        self.fingerprint = (
            manifest.fingerprint
            if manifest
            else fingerprint(files, (sample.image.name for sample in self.samples))
        )

    def __len__(self) -> int:
        return len(self.samples)


def load_image(sample: Sample) -> NDArray[np.uint8]:
    """The sample's picture, RGB uint8 [H, W, 3]. Raises `UnreadableImage` naming the file."""
    from PIL import Image

    try:
        with Image.open(sample.image) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImage(
            f"{sample.image}: not readable as a picture ({error}); copy or build it again"
        ) from None


def _split(split: str | None) -> str | None:
    split = "validation" if split == "val" else split
    if split is not None and split not in SPLITS:
        raise BadDataset(
            f'there is no split "{split}"; choose {", ".join(SPLITS)}, or none for all'
        )
    return split


def _files(root: Path, split: str | None) -> list[Path]:
    """The files with the split's vectors."""
    files = vector_files(root)
    if not files:
        raise BadDataset(
            f"{root}: no JSON with vectors (<image id>_<identity> to [1, F]) is below it; give the "
            "folder that holds COCO-PFS, or build one with idclip build-cocopfs"
        )
    chosen = [file for file, of in files.items() if split is None or of == split]
    if not chosen:
        there = ", ".join(f"{file.name} ({of or 'of no split'})" for file, of in files.items())
        raise BadDataset(
            f"{root}: has no vectors for the split {split}, only {there}; the word train, val or "
            "test in a file's name says whose they are"
        )
    return chosen


def _samples(
    root: Path, split: str | None, vectors: _Vectors, manifest: Manifest | None
) -> tuple[Sample, ...]:
    scenes = read_scenes(root, (image_id for image_id, _ in vectors), split)
    names, pictures = read_names(root), picture_files(root)
    samples, missing = [], []
    for (image_id, identity), vector in sorted(vectors.items(), key=lambda item: item[0]):
        scene = scenes[image_id]
        file = f"{scene.file}_{identity}.jpg"
        if identity not in names:
            raise BadDataset(f"{root}: {NAMES} gives no name to the identity {identity}")
        if file not in pictures:
            missing.append(file)
            continue
        samples.append(
            Sample(
                pictures[file],
                image_id,
                scene.file,
                identity,
                names[identity],
                vector,
                scene.captions,
                _face_px(manifest, file) if manifest else None,
            )
        )
    if missing:
        raise BadDataset(
            f"{root}: {len(missing)} of {len(vectors)} pictures are missing, the first is "
            f"{missing[0]}; copy or build the data set again"
        )
    return tuple(samples)


def _face_px(manifest: Manifest, picture: str) -> float:
    return float(field(manifest.file, manifest.images.get(picture), "face_px", (int, float)))


def _photographed(
    manifest: Manifest, samples: Iterable[Sample], split: str | None
) -> dict[str, PersonEntry]:
    """The people of our layout, with the photos that the manifest lists."""
    people = {}
    for identity, name in sorted({(sample.identity, sample.name) for sample in samples}):
        entry = field(manifest.file, manifest.people, identity, dict)
        of = _split(field(manifest.file, entry, "split", str))
        if split is not None and of != split:
            raise BadDataset(
                f"{manifest.file}: {identity} belongs to {of} but is in pictures of {split}; "
                "identities must not overlap"
            )
        photos = field(manifest.file, entry, "query_photos", list)
        if not photos:
            raise BadDataset(
                f"{manifest.file}: {identity} has no query photo; add one to the faces"
            )
        what = f"{manifest.file}: the vector of a photo of {identity}"
        quality = [float(field(manifest.file, photo, "quality", (int, float))) for photo in photos]
        best_first = sorted(range(len(photos)), key=lambda index: -quality[index])
        vectors = [as_vector(what, photos[i].get("vector"), manifest.face_dim) for i in best_first]
        people[identity] = PersonEntry(
            name, np.stack(vectors), np.array([quality[i] for i in best_first], np.float32)
        )
    return people


def _distinct(samples: Iterable[Sample]) -> dict[str, PersonEntry]:
    """The people of the released layout, with the distinct vectors of their pictures."""
    vectors: dict[str, dict[bytes, NDArray[np.float32]]] = {}
    names = {}
    for sample in samples:
        vectors.setdefault(sample.identity, {})[sample.vector.tobytes()] = sample.vector
        names[sample.identity] = sample.name
    return {
        identity: PersonEntry(
            names[identity],
            np.stack(list(found.values())),
            np.full(len(found), np.nan, np.float32),
        )
        for identity, found in sorted(vectors.items())
    }
