"""One photo with all its swaps: what a worker does, on this machine or on a cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..faces import Face, Floats, Image
from . import pictures
from .check import KEPT, Gallery, check
from .galleries import Person, Source
from .photos import open_photos
from .records import model_of
from .swap import Swapper, load_swapper


@dataclass(frozen=True, eq=False)
class Candidate:
    """An identity that a photo may be swapped to, with the photos to take the face from."""

    identity: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, eq=False)
class SwapTask:
    """A photo, its face, and the identities it is swapped to, in order, until `wanted` are kept.

    `gallery` is the file of `write_gallery`; kept pictures go into the folder `out` as
    FILE_IDENTITY.jpg.
    """

    path: Path
    file: str
    face: Face
    candidates: tuple[Candidate, ...]
    wanted: int
    gallery: Path
    faces: Path
    face_model: str
    swapper: str
    out: Path


def picture_name(file: str, identity: str) -> str:
    """The file name of a swapped picture, as the released data set has it."""
    return f"{file}_{identity}.jpg"


def write_gallery(work: Path, people: Sequence[Person]) -> Path:
    """A file of the names and mean vectors that swaps are checked against, for the workers.

    It is named after its content, since workers keep what they have read.
    """
    data = {"names": [p.identity for p in people], "means": [p.mean().tolist() for p in people]}
    text = json.dumps(data).encode()
    path = work / f"gallery_{hashlib.sha256(text).hexdigest()[:16]}.json"
    pictures.write_whole(path, text)
    return path


@lru_cache(maxsize=4)
def _gallery(path: Path) -> Gallery:
    data = json.loads(path.read_text("utf-8"))
    return Gallery(tuple(data["names"]), np.array(data["means"], np.float32))


@lru_cache(maxsize=1)
def _swapper(name: str) -> Swapper:
    return load_swapper(name)


@lru_cache(maxsize=64)
def _photo(place: Path, photo: str) -> Image:
    return pictures.decoded(open_photos(place).read(photo), f"{place}: {photo}")


def swap_photo(task: SwapTask) -> dict[str, Any]:
    """Swap a photo to its identities; write what passes the check, say why others do not.

    An identity whose swap is rejected is tried again with its next source photo, then the next
    identity takes its place. When none of the first `wanted` passes, the photo is given up.
    """
    model = model_of(task.face_model)
    image = pictures.decoded(task.path.read_bytes(), str(task.path))
    vector: Floats = model.embed(image, [task.face])[0]
    exact = pictures.closer(model, image, task.face)
    kept: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for number, candidate in enumerate(task.candidates):
        if len(kept) == task.wanted or (number >= task.wanted and not kept):
            break
        tries: list[dict[str, Any]] = []
        for source in candidate.sources:
            record, data = _tried(task, image, exact, vector, candidate.identity, source)
            if data:
                pictures.write_whole(task.out / record["file"], data)
                kept.append(record)
                break
            tries.append(record)
        else:
            last = tries[-1]
            rejected.append({**last, "identity": candidate.identity, "tries": len(tries)})
    return {"kept": kept, "rejected": rejected}


def _tried(
    task: SwapTask, image: Image, face: Face, vector: Floats, identity: str, source: Source
) -> tuple[dict[str, Any], bytes]:
    """One swap: what is recorded of it, and the picture's bytes if it passed."""
    photo = _photo(task.faces, source.photo)
    swapped = _swapper(task.swapper).swap(image, face, photo, source.face)
    data = pictures.jpeg(swapped)
    # Checked is what is stored: JPEG takes its part of a small face.
    verdict = check(
        model_of(task.face_model),
        pictures.decoded(data, task.file),
        old_face=task.face,
        old_vector=vector,
        identity=identity,
        gallery=_gallery(task.gallery),
    )
    record: dict[str, Any] = {"source_photo": source.photo, "scores": dict(verdict.scores)}
    if verdict.reason != KEPT or verdict.face is None:
        return {**record, "reason": verdict.reason}, b""
    return {
        **record,
        "file": picture_name(task.file, identity),
        "identity": identity,
        "box": [round(side, 1) for side in verdict.face.box],
        "face_px": round(pictures.side(verdict.face), 1),
        "sha256": hashlib.sha256(data).hexdigest(),
    }, data


def still_there(result: Mapping[str, Any], folder: Path) -> bool:
    """Whether the pictures of a result are in the folder as they were written."""
    for record in result["kept"]:
        try:
            data = (folder / record["file"]).read_bytes()
        except OSError:
            return False
        if hashlib.sha256(data).hexdigest() != record["sha256"]:
            return False
    return True
