"""The pictures and captions that the encoder learns from, and those it must never see."""

from __future__ import annotations

import csv
import io
import itertools
import json
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .towers import IMAGE_SIDE, class_names_and_glosses

CAPTIONS = 5
FLICKR_TEST = 1000
HELD_OUT = 1000
BATCH = 16

Pixels = NDArray[np.uint8]


class Split(NamedTuple):
    """Numbers of photos: not learned from at all, by the head alone, by the towers and the head."""

    held_out: NDArray[np.int64]
    elsewhere: NDArray[np.int64]
    seen: NDArray[np.int64]


@dataclass(frozen=True)
class Photo:
    """One training photo: where it stands and its five captions."""

    name: str
    captions: tuple[str, ...]


class Photos:
    """All training photos: Flickr8k's, COCO's and, where a folder is given, ImageNet's."""

    def __init__(self, flickr: Path, coco: Path, imagenet: Path | None) -> None:
        self._folders = flickr, coco / "train2017", imagenet
        self._of_flickr, self._of_coco = flickr_photos(flickr), coco_photos(coco)
        self._of_classes = [] if imagenet is None else imagenet_photos(imagenet)
        everything = [*self._of_flickr, *self._of_coco, *self._of_classes]
        self.captions = [photo.captions for photo in everything]

    def __str__(self) -> str:
        counts = len(self._of_flickr), len(self._of_coco), len(self._of_classes)
        return "photos: {} Flickr8k, {} COCO, {} ImageNet".format(*counts)

    def split(self, seed: int) -> Split:
        """Hold out 1,000 photos of Flickr8k, and keep COCO's from the towers."""
        order = np.random.default_rng(seed).permutation(len(self._of_flickr))
        held_out, rest = np.split(order, [min(HELD_OUT, len(order) // 5)])
        elsewhere = len(order) + np.arange(len(self._of_coco))
        classes = np.arange(len(order) + len(elsewhere), len(self.captions))
        return Split(held_out, elsewhere, np.concatenate([rest, classes]))

    def pictures(self) -> Iterator[Pixels]:
        """RGB uint8 [260, 260, 3], in order."""
        flickr, coco, imagenet = self._folders
        yield from flickr_pictures(flickr, self._of_flickr)
        yield from folder_pictures(coco, self._of_coco)
        if imagenet is not None:
            yield from folder_pictures(imagenet, self._of_classes)

    def view(self, number: int, seed: int) -> Iterator[Pixels]:
        """A view (see `view_of`) of all pictures, RGB uint8 [n, 260, 260, 3], n at most `BATCH`."""
        rng = np.random.default_rng((seed, number))
        rest = self.pictures()
        while batch := list(itertools.islice(rest, BATCH)):
            yield np.stack([view_of(picture, number, rng) for picture in batch])

    def first(self, count: int) -> Pixels:
        """The first pictures, RGB uint8 [count, 260, 260, 3]."""
        return np.stack(list(itertools.islice(self.pictures(), count)))


def coco_photos(coco: Path) -> list[Photo]:
    """COCO's `train2017` photos that are on this machine; `val2017` is a test set."""
    captions = defaultdict(list)
    notes = json.loads((coco / "annotations" / "captions_train2017.json").read_text())
    for note in notes["annotations"]:
        captions[note["image_id"]].append(note["caption"].strip())
    photos = []
    for path in sorted((coco / "train2017").glob("*.jpg")):
        found = captions[int(path.stem)]
        if len(found) >= CAPTIONS:
            photos.append(Photo(path.name, tuple(found[:CAPTIONS])))
    return photos


def flickr_photos(flickr: Path) -> list[Photo]:
    """Flickr8k's photos but the test set: the 1,000 with the smallest crc32 of the file name."""
    captions = defaultdict(list)
    with (flickr / "captions.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            captions[row["image"]].append(row["caption"])
    by_sum = sorted(captions, key=lambda name: zlib.crc32(name.encode()))
    kept = sorted(by_sum[FLICKR_TEST:])
    return [Photo(name, tuple(captions[name][:CAPTIONS])) for name in kept]


def imagenet_photos(imagenet: Path) -> list[Photo]:
    """One photo for each of ImageNet's 1,000 classes, captioned by its class's names and gloss.

    They keep the heads from forgetting what Flickr8k, people and dogs for the most part, lacks.
    """
    paths = sorted(imagenet.glob("n*_*.jpg"))
    said = class_names_and_glosses()
    if len(paths) != len(said):
        raise ValueError(f"{imagenet}: {len(paths)} photos WNID_name.jpg, not {len(said)}")
    return [
        Photo(path.name, (names, gloss, names, names, gloss))
        for path, (names, gloss) in zip(paths, said, strict=True)
    ]


def folder_pictures(folder: Path, photos: list[Photo]) -> Iterator[Pixels]:
    """RGB uint8 [260, 260, 3] in the order of `photos`."""
    for photo in photos:
        yield _square((folder / photo.name).read_bytes())


def flickr_pictures(flickr: Path, photos: list[Photo]) -> Iterator[Pixels]:
    """RGB uint8 [260, 260, 3] in the order of `photos`."""
    with tarfile.open(flickr / "images.tar") as archive:
        members = {Path(m.name).name: m for m in archive.getmembers() if m.isfile()}
        for photo in photos:
            stored = archive.extractfile(members[photo.name])
            if stored is None:
                raise FileNotFoundError(f"{flickr / 'images.tar'}: {photo.name} is not a file")
            yield _square(stored.read())


def view_of(picture: Pixels, number: int, rng: np.random.Generator) -> Pixels:
    """A training view of a picture, both RGB uint8 [260, 260, 3].

    View 0 is the picture, 1 its mirror image; others are a random part (45 to 100 % of the area),
    mirrored or not, in another light.
    """
    if number < 2:
        return np.ascontiguousarray(picture[:, ::-1]) if number else picture
    import cv2

    area, aspect = rng.uniform(0.45, 1), np.exp(rng.uniform(-0.25, 0.25))
    height, width = (
        min(IMAGE_SIDE, int(IMAGE_SIDE * side**0.5)) for side in (area / aspect, area * aspect)
    )
    top, left = (int(rng.integers(0, IMAGE_SIDE - side + 1)) for side in (height, width))
    part = picture[top : top + height, left : left + width]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    lit = cv2.resize(np.ascontiguousarray(part), (IMAGE_SIDE, IMAGE_SIDE)).astype(np.float32)
    lit *= rng.uniform(0.75, 1.25)
    lit = (lit - lit.mean()) * rng.uniform(0.8, 1.2) + lit.mean()
    return np.asarray(lit.clip(0, 255), np.uint8)


def _square(data: bytes) -> Pixels:
    """The whole picture squeezed to a square, as `idclip.concept` does it."""
    import cv2
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    shrinks = max(picture.shape[:2]) > IMAGE_SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    squared: Pixels = cv2.resize(picture, (IMAGE_SIDE, IMAGE_SIDE), interpolation=method)
    return squared
