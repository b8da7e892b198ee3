"""Which photos show exactly one person with one face that can be swapped."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UnreadableImage
from ..faces import Face
from . import pictures
from .coco import Box, CocoImage, CocoSplit
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
_SEVERAL = re.compile(
    r"\b(people|persons|men|women|boys|girls|children|kids|toddlers|babies|ladies|guys|couple|"
    r"couples|group|crowd|friends|family|another|others|both|together)\b",
    re.IGNORECASE,
)
ONE = "one person, one usable face"
_NEAR = 0.5  # another face of this share of the main face's side makes it unclear who is meant


@dataclass(frozen=True)
class FaceTask:
    """Look for the one usable face of a photo, in the box of its `person` where that is known.

    `least_face` is in pixels.
    """

    image: CocoImage
    person: Box | None
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
    uncovered: bool,
    run: Runner,
    journal: Journal,
    tell: Callable[[int, int], None],
) -> Selection:
    """Photos of exactly one annotated person that show exactly one usable face.

    Where COCO annotated instances, photos that they do not cover are left out, unless `uncovered`
    asks for them; these, and all photos where there is no such file, must have captions that speak
    of one person, and the face detector alone counts. Photos are
    taken in the order of their name's CRC-32, at most `limit` of them. `tell` hears how many were
    looked at, and of how many.
    """
    reasons: Counter[str] = Counter()
    open_, photos, broken = _candidates(split, uncovered, reasons), [], []
    tasks = [
        FaceTask(i, next(iter(_persons_of(split, i)), None), face_model, least_face) for i in open_
    ]
    results = _looked(tasks, run, journal)
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


def speak_of_one(captions: Sequence[str]) -> bool:
    """Whether most captions speak of a person and of no second one."""
    one = sum(bool(_PERSON.search(c)) and not _SEVERAL.search(c) for c in captions)
    return 2 * one > len(captions)


def _candidates(split: CocoSplit, uncovered: bool, reasons: Counter[str]) -> list[CocoImage]:
    """The photos that are worth a look, in order; `reasons` is told of the others."""
    kept = []
    for image in split.images:
        reason = _unfit(split, image, uncovered)
        if reason:
            reasons[reason] += 1
        else:
            kept.append(image)
    return sorted(kept, key=lambda image: (zlib.crc32(image.file.encode()), image.file))


def _unfit(split: CocoSplit, image: CocoImage, uncovered: bool) -> str:
    """Why annotations or captions leave a photo out, or ""."""
    if split.persons is not None and image.coco_id in split.persons:
        persons = len(_persons_of(split, image))
        if persons == 1:
            return ""
        return "several persons annotated" if persons else "no person annotated"
    if split.persons is not None and not uncovered:
        return "not covered by the instances file"
    return "" if speak_of_one(image.captions) else "captions speak of nobody or of several"


def _persons_of(split: CocoSplit, image: CocoImage) -> tuple[Box, ...]:
    return (split.persons or {}).get(image.coco_id, ())


def _looked(
    tasks: list[FaceTask], run: Runner, journal: Journal
) -> Iterator[tuple[CocoImage, dict[str, Any]]]:
    """What was found in each photo, in order: from the journal, or by looking."""
    # A run goes through the photos in order, so what the journal knows comes first.
    known = [task.image for task in tasks if task.image.file in journal]
    yield from ((image, journal[image.file]) for image in known)
    todo = [task for task in tasks if task.image.file not in journal]
    for task, found in zip(todo, run(look, todo), strict=False):
        journal.add(task.image.file, found)
        yield task.image, found


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
    face = faces[sides.index(largest)]
    if task.person is not None and not _inside(face, task.person):
        return {"reason": "the face is not the annotated person's"}
    return {"reason": ONE, "face": face_record(face)}


def _inside(face: Face, person: Box) -> bool:
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    return person[0] <= x <= person[2] and person[1] <= y <= person[3]
