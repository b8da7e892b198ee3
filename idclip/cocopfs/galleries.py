"""People and their photos: who is in which split, which photo is swapped in, which are queries."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import UnreadableImage, VidsearchError
from ..faces import Face, Floats, Image
from . import pictures
from .jobs import Runner
from .journal import Journal
from .photos import Photos, open_photos
from .records import face_from, face_record, model_of, vector_record

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PHOTOS = 8
"""Photos of a person that are embedded at most."""
_LOOKED_AT = 2 * PHOTOS  # photos that are opened for them: some show no face
_QUERIES = 5  # query photos that a person keeps before a second and a third source are taken
_SOURCES = 3
_SAME = 0.9
"""Cosine from which two faces are taken for one photograph, stored twice. Of 2,200 pairs of LFW
photos of one person one in a thousand has more than 0.88, and both with more than 0.9 are that."""
_CENTRAL = 0.25  # of the picture's size: how far from the middle a main face may well be


def split_of(name: str) -> Split:
    """The split of a person, by the CRC-32 of the name as the folder writes it, modulo 10.

    0 to 3 test, 4 and 5 validation, 6 to 9 train. For LFW this is the very rule by which the
    people were split that the default face model's last step and cohort were fitted on: nobody of
    them is in `test`.
    """
    rest = zlib.crc32(name.encode()) % 10
    return "test" if rest < 4 else "validation" if rest < 6 else "train"


@dataclass(frozen=True)
class Roster:
    """Who could be in a gallery: photos by person, who has too few, and what people are called."""

    photos: Mapping[str, tuple[str, ...]]
    too_few: tuple[str, ...]
    empty: tuple[str, ...]
    names: Mapping[str, str]

    def of(self, split: Split) -> list[str]:
        """The people of a split, most photos first; more than `PHOTOS` count as so many."""
        people = [person for person in self.photos if split_of(person) == split]
        return sorted(
            people, key=lambda p: (-min(len(self.photos[p]), PHOTOS), zlib.crc32(p.encode()), p)
        )


def roster(photos: Photos, *, least_photos: int) -> Roster:
    """The people with `least_photos` or more; raises `VidsearchError` for less than two people."""
    people = photos.people()
    enough = {p: tuple(names) for p, names in people.items() if len(names) >= least_photos}
    if len(enough) < 2:
        raise VidsearchError(
            f"{photos.place}: {len(enough)} of {len(people)} people have {least_photos} photos or "
            "more, and a swap needs at least two people to tell apart: put photos into "
            "PERSON/*.jpg, or lower --least-photos"
        )
    keys = [identity_of(person) for person in enough]
    if len(set(keys)) < len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise VidsearchError(f"{photos.place}: two people would both be called {twice[0]}")
    few = tuple(p for p, names in people.items() if 0 < len(names) < least_photos)
    empty = tuple(p for p, names in people.items() if not names)
    return Roster(enough, few, empty, _names(photos, enough))


def identity_of(person: str) -> str:
    """What a person is called in file names: the folder's name, underscores for blanks."""
    return "_".join(person.split())


def _names(photos: Photos, people: Mapping[str, object]) -> dict[str, str]:
    """Names by person: those of an `identity_meta.csv` beside the folders, else the folder's."""
    names = {person: " ".join(person.replace("_", " ").split()) for person in people}
    meta = photos.place / "identity_meta.csv"
    if meta.is_file():
        for row in csv.DictReader(io.StringIO(meta.read_text("utf-8")), skipinitialspace=True):
            person, name = (row.get("Class_ID") or "").strip(), (row.get("Name") or "").strip()
            if person in names and name:
                names[person] = name.replace("_", " ")
    return names


@dataclass(frozen=True, eq=False)
class QueryPhoto:
    """A photo to ask with: its name, the quality of its face, its vector float32 [F]."""

    photo: str
    quality: float
    vector: Floats


@dataclass(frozen=True, eq=False)
class Source:
    """A photo to swap in, with its face."""

    photo: str
    face: Face


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody of a gallery. No source photo is ever a query photo."""

    identity: str
    name: str
    split: Split
    sources: tuple[Source, ...]
    queries: tuple[QueryPhoto, ...]

    def mean(self) -> Floats:
        """The mean of the query photos' vectors, float32 [F] of unit length."""
        mean = np.mean([query.vector for query in self.queries], axis=0)
        unit: Floats = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
        return unit


@dataclass(frozen=True)
class PersonTask:
    """Look at the photos of one person."""

    place: Path
    person: str
    photos: tuple[str, ...]
    face_model: str
    least_quality: float


@dataclass(frozen=True)
class Enrolled:
    """The people of a split; `dropped` says why others are not among them, `bad` which photos."""

    people: tuple[Person, ...]
    dropped: Mapping[str, str]
    bad: Mapping[str, str]


def enrol(
    people: Roster,
    place: Path,
    split: Split,
    *,
    wanted: int,
    least_photos: int,
    face_model: str,
    least_quality: float,
    run: Runner,
    journal: Journal,
    tell: Callable[[int, int], None],
) -> Enrolled:
    """The first `wanted` people of a split whose photos are good enough.

    A person needs `least_photos` photos with a face of `least_quality`. Only as many people are
    looked at as it takes. `tell` hears how many there are, and how many are wanted.
    """
    order = people.of(split)
    kept: list[Person] = []
    dropped: dict[str, str] = {}
    bad: dict[str, str] = {}
    tasks = [PersonTask(place, p, people.photos[p], face_model, least_quality) for p in order]
    for person, found in _looked(tasks, run, journal):
        bad.update(found["bad"])
        usable = len(found["queries"]) + len(found["sources"])
        if usable < max(2, least_photos):
            dropped[person] = f"{usable} usable photos"
            continue
        kept.append(_person(person, people.names[person], split, found))
        tell(len(kept), min(wanted, len(order)))
        if len(kept) >= wanted:
            break
    return Enrolled(tuple(kept), dropped, bad)


def _looked(
    tasks: Sequence[PersonTask], run: Runner, journal: Journal
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((task.person, journal[task.person]) for task in tasks if task.person in journal)
    todo = [task for task in tasks if task.person not in journal]
    for task, found in zip(todo, run(look, todo), strict=False):
        journal.add(task.person, found)
        yield task.person, found


def _person(person: str, name: str, split: Split, found: Mapping[str, Any]) -> Person:
    sources = tuple(Source(s["photo"], face_from(s["face"])) for s in found["sources"])
    queries = tuple(
        QueryPhoto(q["photo"], q["quality"], np.array(q["vector"], np.float32))
        for q in found["queries"]
    )
    return Person(identity_of(person), name, split, sources, queries)


_Found = tuple[str, Image, Face, Floats]  # name, picture, face, vector of a photo


def look(task: PersonTask) -> dict[str, Any]:
    """The faces of a person's photos: one to three as sources, the others as queries.

    Sources are the photos with the best and most frontal faces; a second and a third are taken
    only while five query photos are left. A photograph that is there twice counts once, lest it be
    source and query.
    """
    model, photos = model_of(task.face_model), open_photos(task.place)
    found: list[_Found] = []
    bad: dict[str, str] = {}
    for photo in _spread(task.photos):
        try:
            picture = pictures.decoded(photos.read(photo), f"{task.place}: {photo}")
        except (UnreadableImage, OSError):
            bad[photo] = "cannot be read as a picture"
            continue
        face = _main(model.detect(picture, long_side=pictures.LOOKING_SIDE), picture.shape)
        if face is None or face.quality < task.least_quality:
            bad[photo] = "no face in the middle" if face is None else "its face is of poor quality"
            continue
        found.append((photo, picture, face, model.embed(picture, [face])[0]))
        if len(found) == PHOTOS:
            break
    found = _distinct(sorted(found, key=lambda item: (-_good(item[2]), item[0])), bad)
    n = min(_SOURCES, max(1, len(found) - _QUERIES))
    sources = [
        {"photo": photo, "face": face_record(pictures.closer(model, picture, face))}
        for photo, picture, face, _ in found[:n]
    ]
    queries = [
        {"photo": photo, "quality": round(face.quality, 4), "vector": vector_record(vector)}
        for photo, _, face, vector in sorted(found[n:], key=lambda item: item[0])
    ]
    return {"sources": sources, "queries": queries, "bad": bad}


def _distinct(found: Sequence[_Found], bad: dict[str, str]) -> list[_Found]:
    """The photos without those that show the same as one before them; `bad` is told of these."""
    kept: list[_Found] = []
    for photo, picture, face, vector in found:
        twin = next((other for other, _, _, v in kept if float(v @ vector) > _SAME), None)
        if twin is None:
            kept.append((photo, picture, face, vector))
        else:
            bad[photo] = f"the same photograph as {twin}"
    return kept


def _spread(photos: Sequence[str]) -> list[str]:
    """The photos to open, in an order that has nothing to do with when they were taken."""
    return sorted(photos, key=lambda photo: (zlib.crc32(photo.encode()), photo))[:_LOOKED_AT]


def _main(faces: Sequence[Face], shape: Sequence[int]) -> Face | None:
    """The face a portrait means: large and near the middle; None if all lie off it."""

    def weight(face: Face) -> float:
        x0, y0, x1, y1 = face.box
        off = np.hypot((x0 + x1) / 2 / shape[1] - 0.5, (y0 + y1) / 2 / shape[0] - 0.5)
        return float((x1 - x0) * (y1 - y0) * np.exp(-((off / _CENTRAL) ** 2)))

    return max(faces, key=weight, default=None)


def _good(face: Face) -> float:
    """How well a face can be swapped in: its quality, less where it looks to the side."""
    return face.quality * float(np.exp(-abs(pictures.turn(face.landmarks))))
