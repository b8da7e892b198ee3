"""Which photos show exactly one person with one face that can be swapped."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import UnreadableImage
from ..faces import Face
from . import pictures
from .coco import CocoImage, CocoSplit
from .jobs import Runner
from .journal import Journal
from .records import face_from, face_record, model_of

# Words of a caption that speak of one person. A detector takes dogs for people, captions do not.
_PERSON = re.compile(
    r"\b(person|man|woman|boy|girl|child|kid|baby|toddler|infant|lady|guy|gentleman|male|female|"
    r"teen|teenager|adult|someone|player|rider|skier|surfer|skateboarder|snowboarder|biker|"
    r"bicyclist|cyclist|climber|runner|worker|hiker|swimmer|bride|groom|musician|performer|dancer|"
    r"singer|mother|father|mom|dad|driver|chef|cook|police|officer|soldier|batter|catcher|pitcher)\b",
    re.IGNORECASE,
)
ONE = "one person, one usable face"
_NEAR = 0.5  # another face of this share of the main face's side makes it unclear who is meant


@dataclass(frozen=True)
class FaceTask:
    """Look for the one usable face of a photo; `least_face` in pixels."""

    image: CocoImage
    face_model: str
    least_face: float


@dataclass(frozen=True)
class Selected:
    """A photo that can be used, with its face."""

    image: CocoImage
    face: Face


@dataclass(frozen=True)
class Selection:
    """The photos of one folder that can be used, and how many were left out for which reason."""

    photos: tuple[Selected, ...]
    reasons: Counter[str]
    broken: tuple[str, ...]


def select(
    split: CocoSplit,
    *,
    face_model: str,
    least_face: float,
    limit: int | None,
    run: Runner,
    journal: Journal,
    tell: Callable[[int, int], None],
) -> Selection:
    """Photos of exactly one annotated person that show exactly one usable face.

    Where COCO annotated instances, photos that they do not cover are left out; without such a
    file the captions must speak of one person, and the face detector alone counts. Photos are
    taken in the order of their name's CRC-32, at most `limit` of them. `tell` hears how many were
    looked at, and of how many.
    """
    reasons: Counter[str] = Counter()
    open_, photos, broken = _candidates(split, reasons), [], []
    results = _looked(open_, face_model, least_face, run, journal)
    for done, (image, found) in enumerate(results, 1):
        reasons[found["reason"]] += 1
        if found["reason"] == ONE:
            photos.append(Selected(image, face_from(found["face"])))
        elif found["reason"] == _BROKEN:
            broken.append(image.file)
        tell(done, len(open_))
        if limit is not None and len(photos) >= limit:
            if done < len(open_):
                reasons[f"not looked at, --limit {limit} was reached"] = len(open_) - done
            break
    reasons["in the captions, but no such photo"] = len(split.absent)
    reasons["photo without a caption"] = len(split.mute)
    return Selection(tuple(photos), +reasons, tuple(broken))


_BROKEN = "cannot be read as a picture"


def _candidates(split: CocoSplit, reasons: Counter[str]) -> list[CocoImage]:
    """The photos that are worth a look, in order."""
    kept = []
    for image in split.images:
        if split.persons is None:
            if sum(bool(_PERSON.search(caption)) for caption in image.captions) < 2:
                reasons["captions speak of no single person"] += 1
                continue
        elif image.coco_id not in split.persons:
            reasons["not covered by the instances file"] += 1
            continue
        elif split.persons[image.coco_id] != 1:
            several = split.persons[image.coco_id] > 1
            reasons["several persons annotated" if several else "no person annotated"] += 1
            continue
        kept.append(image)
    return sorted(kept, key=lambda image: (zlib.crc32(image.file.encode()), image.file))


def _looked(
    images: list[CocoImage], face_model: str, least_face: float, run: Runner, journal: Journal
) -> Iterator[tuple[CocoImage, dict[str, Any]]]:
    """What was found in each photo, in order: from the journal, or by looking."""
    known = [image for image in images if image.file in journal]
    todo = [image for image in images if image.file not in journal]
    # A run goes through the photos in order, so what the journal knows comes first.
    yield from ((image, journal[image.file]) for image in known)
    tasks = [FaceTask(image, face_model, least_face) for image in todo]
    for image, found in zip(todo, run(look, tasks), strict=False):
        journal.add(image.file, found)
        yield image, found


def look(task: FaceTask) -> dict[str, Any]:
    """What a photo shows: the reason it cannot be used, or `ONE` and the face.

    A face counts from `least_face` pixels on its box's shorter side; smaller ones count when
    they have at least half the side of the largest, for then nobody can tell who is meant.
    """
    try:
        picture = pictures.decoded(task.image.path.read_bytes(), str(task.image.path))
    except (UnreadableImage, FileNotFoundError, PermissionError):
        return {"reason": _BROKEN}
    faces = model_of(task.face_model).detect(picture, long_side=pictures.LOOKING_SIDE)
    sides = [pictures.side(face) for face in faces]
    largest = max(sides, default=0.0)
    if not faces:
        return {"reason": "no face found"}
    if largest < task.least_face:
        return {"reason": f"face smaller than {task.least_face:g} px"}
    if sum(s >= min(task.least_face, _NEAR * largest) for s in sides) > 1:
        return {"reason": "several faces found"}
    return {"reason": ONE, "face": face_record(faces[sides.index(largest)])}
