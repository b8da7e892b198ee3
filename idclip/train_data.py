"""What a training run reads: pictures of people, what is said of them, and in which order.

Everything drawn at random is drawn from (seed, epoch, place) alone, so that a run that is resumed
sees what it would have seen. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cocopfs.captions import evaluation_texts, training_text
from .cocopfs.dataset import CocoPFS, Sample
from .cocopfs.layout import BadDataset

_ORDER, _DRAW = 0, 1  # two streams of random numbers


@dataclass(frozen=True)
class Photo:
    """A picture, and the vectors float32 [P, F] of other photos of who is in it, best first."""

    sample: Sample
    asked_with: NDArray[np.float32]


@dataclass(frozen=True)
class PhotoSet:
    """Pictures of one split, of one or several data sets."""

    photos: tuple[Photo, ...]
    face_dim: int
    face_model: str
    fingerprint: str
    left_out: int = 0
    """Training pictures of people who are in a validation or test split of another data set."""

    def __len__(self) -> int:
        return len(self.photos)

    @cached_property
    def identities(self) -> NDArray[np.int64]:
        """Who is in each picture, as numbers [N]."""
        names = [photo.sample.identity for photo in self.photos]
        return np.unique(names, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Question:
    """A text with [TOK], the face vector float32 [F] that is meant, the row of the picture."""

    text: str
    face: NDArray[np.float32]
    row: int


def load_photos(roots: Sequence[Path], split: str) -> PhotoSet:
    """The pictures of a split ("train" or "validation") of all data sets.

    People who are in a validation or test split of any of them are not trained on. Raises
    `BadDataset` where a part is missing or wrong, or the face models differ.
    """
    sets = [CocoPFS(root, split) for root in roots]
    if not sets:
        raise BadDataset("no data set is given; name a folder that idclip build-cocopfs made")
    _one_face_model(sets)
    unseen = _unseen(roots) if split == "train" else set()
    every = [
        Photo(sample, data.people[sample.identity].vectors)
        for data in sets
        for sample in data.samples
    ]
    photos = tuple(photo for photo in every if photo.sample.identity not in unseen)
    if len(photos) < 2:
        raise BadDataset(
            f"{sets[0].root}: {len(photos)} pictures to be used for {split}; build a larger set"
        )
    prints = "+".join(data.fingerprint for data in sets)
    return PhotoSet(photos, sets[0].face_dim, sets[0].face_model, prints, len(every) - len(photos))


def order(photos: int, batch: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The rows of each batch of an epoch; what does not fill a batch is left out this time."""
    rows = np.random.default_rng((seed, _ORDER, epoch)).permutation(photos)
    batch = min(batch, photos)
    return [rows[at : at + batch] for at in range(0, photos - batch + 1, batch)]


def draw(photo: Photo, seed: int, epoch: int, row: int) -> tuple[str, NDArray[np.float32]]:
    """A text about a picture, and a face vector [F] to put into it: any caption, any photo."""
    rng = np.random.default_rng((seed, _DRAW, epoch, row))
    captions = photo.sample.captions
    face = photo.asked_with[int(rng.integers(len(photo.asked_with)))]
    return training_text(captions[int(rng.integers(len(captions)))], rng), face


def questions(photos: PhotoSet, captions: int) -> list[Question]:
    """What validation asks: the first captions of each picture, one fixed template, [TOK] alone."""
    return [
        Question(text, photo.asked_with[0], row)
        for row, photo in enumerate(photos.photos)
        for caption in photo.sample.captions[:captions]
        for text in evaluation_texts(caption, photo.sample.name)
    ]


def named(photos: PhotoSet, rows: Sequence[int], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Pictures and texts of a batch, for a message or JSON."""
    for row, text in zip(rows, texts, strict=True):
        sample = photos.photos[row].sample
        yield {"picture": str(sample.image), "identity": sample.identity, "text": text}


def _one_face_model(sets: Sequence[CocoPFS]) -> None:
    first = sets[0]
    for other in sets[1:]:
        if (other.face_model, other.face_dim) != (first.face_model, first.face_dim):
            raise BadDataset(
                f"{other.root} has vectors of {other.face_model} ({other.face_dim} values), "
                f"{first.root} of {first.face_model} ({first.face_dim}); build both with one"
            )


def _unseen(roots: Sequence[Path]) -> set[str]:
    """Who is in a validation or test split."""
    found: set[str] = set()
    for root in roots:
        for split in ("validation", "test"):
            try:
                found |= set(CocoPFS(root, split).people)
            except BadDataset:  # a set need not have all splits
                continue
    return found
