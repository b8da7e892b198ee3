"""Enrolling people: from photos to a `Person`, with a message for everything that can go wrong.

Nothing here is stored: `enrol` and its kin take what is enrolled already and give back a `Person`
for the archive to keep.
"""

from __future__ import annotations

import tempfile
import time
import unicodedata
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch import photos
from vidsearch.errors import EnrolmentError, UnknownPerson
from vidsearch.gallery import faces_of
from vidsearch.inputs import printable
from vidsearch.names import key, normal
from vidsearch.photos import Source
from vidsearch.records import Box, Person, Photo
from vidsearch.unknown import near

if TYPE_CHECKING:
    from idclip.faces import Face, FaceModel
    from idclip.identity import IdentityScorer

LONGEST_NAME = 100
SMALLEST_FACE = 32  # pixels across; a smaller face looks like anybody (see idclip.identity)
# log2 of the Laplacian's deviation over that of the grey values, on the aligned face at 64 pixels.
# The least of 221 photos of LFW is -1.7; a face 200 pixels wide blurred by a Gaussian of 6 has
# -2.3 and still its own vector, by one of 10 it has -2.9 and that of every other blurred face.
LEAST_SHARPNESS = -2.4
_BYSTANDER = 0.4  # faces less wide than this share of the widest are people in the background
# P(same person) under which two photos are told to disagree. Of pairs of LFW photos of one person
# 4 % lie under it (of photos beside two others 0.3 %), of pairs of strangers 98 %.
_STRANGERS = 0.01
_SAME_FACE = 0.3  # overlap from which two detectors' boxes are of one face
_LOOKING_SIDES = (640, 1280)  # long side of the copy that faces are looked for in, in turn


@dataclass(frozen=True, eq=False)
class _Found:
    face: Face
    box: Box


def enrol(
    name: str,
    sources: Sequence[str | Path],
    faces: FaceModel,
    scorer: IdentityScorer,
    *,
    enrolled: Sequence[Person] = (),
    aliases: Sequence[str] = (),
    face: int | None = None,
    more: bool = False,
    trust: bool = False,
) -> Person:
    """A new `Person` from photos (files, or moments `VIDEO@00:00:04.2`).

    `enrolled` is everybody the archive knows. `face` chooses, in photos with several faces, the
    one with this number (from 1, left to right); a photo with one face is used as it is. With
    `more` the photos and aliases are added to the person of this name, who keeps their
    `person_id`. With `trust` photos that do not look like each other are taken nevertheless.

    Raises `EnrolmentError` for a name that cannot be one or that is taken, a photo without a
    face, with several faces, with one too small or too poor, given twice, or unlike the others,
    and a `face` that no photo has;
    `UnreadableImage` and `UnreadableVideo` for files that cannot be read; `UnknownPerson` where
    `more` is meant for a name nobody has.
    """
    name = valid_name(name)
    known = named(name, enrolled)
    if more and known is None:
        raise UnknownPerson(_nobody(name, enrolled))
    if known is not None and not more:
        raise EnrolmentError(
            f'"{name}" is enrolled already{_as_alias(name, known)} ({_count(known.photos)}); '
            "add photos to them with --more, or choose another name"
        )
    if not sources and not (more and aliases):
        raise EnrolmentError(f'"{name}" needs at least one photo')
    person = known or Person(uuid.uuid4().hex, name, (), (), time.time())
    person = with_aliases(person, aliases, enrolled)
    given: dict[str, str] = {}  # the photos of this call, by digest, as they were named
    most = 0
    for source in sources:
        photo, n_faces = _photo_from_file(source, faces, scorer, face, "--face")
        most = max(most, n_faces)
        _refuse_double(photo, source, person, enrolled, given)
        person = replace(person, photos=(*person.photos, photo))
        given[photo.sha256] = printable(source)
    if face is not None and sources and face > most:
        one = "it shows one" if len(given) == 1 else "each shows one"
        raise EnrolmentError(
            f"{', '.join(given.values())}: there is no face {face}: {one}; leave out --face"
        )
    if not trust and sources:
        _refuse_disagreement(person, given, scorer)
    return person


def reference_photo(
    source: str | Path,
    faces: FaceModel,
    scorer: IdentityScorer,
    face: int | None = None,
    *,
    option: str = "--face",
) -> Photo:
    """The reference photo in one file or moment, for somebody who is not to be enrolled.

    `option` is what chooses a face on the command line. Raises what `enrol` raises of one photo,
    a `face` that a photo of one face does not have included.
    """
    photo, n_faces = _photo_from_file(source, faces, scorer, face, option)
    if face is not None and face > n_faces:
        raise EnrolmentError(
            f"{printable(source)}: there is no face {face}: it shows one; leave out {option}"
        )
    return photo


def _photo_from_file(
    source: str | Path,
    faces: FaceModel,
    scorer: IdentityScorer,
    face: int | None,
    option: str,
) -> tuple[Photo, int]:
    """The reference photo in one file or moment, and how many faces it shows.

    Its face is chosen, measured and cut. With several faces in it and no `face`, a picture with
    their numbers is written beside the file and named in the `EnrolmentError`. See `enrol` for
    what else is raised.
    """
    shown = printable(source)
    read, seen = _look(photos.read(source), faces)
    chosen = _choose(read, shown, seen, face, option)
    found = chosen.face
    width = min(found.box[2] - found.box[0], found.box[3] - found.box[1])
    if width < SMALLEST_FACE:
        raise EnrolmentError(
            f"{shown}: the face is too small ({width:.0f} pixels; at least {SMALLEST_FACE} are "
            "needed): take a photo that is closer or larger"
        )
    if _sharpness(read.picture, found) < LEAST_SHARPNESS:
        raise EnrolmentError(
            f"{shown}: the face is too blurred to know it by: take a sharper photo"
        )
    if found.quality < scorer.least_quality:
        raise EnrolmentError(
            f"{shown}: the face is too dark, hidden or turned away to know it by (quality "
            f"{found.quality:.2f}; at least {scorer.least_quality:.2f} is needed): take a "
            "photo from the front, in good light"
        )
    jpeg, box = photos.kept(read.picture, chosen.box)
    measured = _measured(read.picture, found, faces, scorer)
    return Photo(read.name, read.sha256, jpeg, box, *measured), len(seen)


def _measured(
    picture: NDArray[np.uint8], face: Face, faces: FaceModel, scorer: IdentityScorer
) -> tuple[NDArray[np.float32], float, float, float]:
    """Vector [F], quality, cohort mean and deviation of a face."""
    vectors = faces.embed(picture, [face])
    mean, std = scorer.cohort_stats(vectors)
    vector = np.asarray(vectors[0], np.float32)
    return vector, float(face.quality), float(mean[0]), float(std[0])


@dataclass(frozen=True, eq=False)
class Refit:
    """What became of people whose vectors were made anew; `lost` says of whom a photo was left out.

    A photo is lost where the face model finds no face in what was kept of it, a person where that
    is so of all their photos, or where somebody else has their name or alias here.
    """

    people: tuple[Person, ...]
    lost: tuple[str, ...]


def refit(
    people: Sequence[Person],
    faces: FaceModel,
    scorer: IdentityScorer,
    *,
    enrolled: Sequence[Person] = (),
) -> Refit:
    """`people` with vectors of another face model, made from the photos that were kept of them.

    Those of `enrolled` who have the same id, or the same name, are replaced.
    """
    done: list[Person] = []
    lost: list[str] = []
    for person in people:
        twin = named(person.name, enrolled)
        same = {person.person_id} | ({twin.person_id} if twin else set())
        others = [each for each in enrolled if each.person_id not in same]
        taken = next((name for name in person.names if named(name, others)), None)
        refitted = [_refitted(photo, faces, scorer) for photo in person.photos]
        kept = tuple(photo for photo in refitted if photo is not None)
        if taken is not None:
            lost.append(f'{person.name}: somebody else has the name "{taken}" here')
            continue
        lost += [
            f"{person.name}: no face found any more in {photo.name}; enrol them from it again"
            for photo, new in zip(person.photos, refitted, strict=True)
            if new is None
        ]
        if kept:
            place = twin.person_id if twin else person.person_id
            done.append(replace(person, person_id=place, photos=kept))
    return Refit(tuple(done), tuple(lost))


def _refitted(photo: Photo, faces: FaceModel, scorer: IdentityScorer) -> Photo | None:
    """A kept photo with a new vector of the face that was chosen in it; None if none is there."""
    picture = photos.decode_jpeg(photo.jpeg)
    read, seen = _look(Source(photo.name, picture, photo.sha256, Path()), faces)
    # `_look` may have laid a border around the picture.
    height, width = picture.shape[:2]
    whole_height, whole_width = read.picture.shape[:2]
    left, top = (whole_width - width) / 2, (whole_height - height) / 2
    x0, y0, x1, y1 = photo.box
    box = _relative(
        (left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height),
        whole_width,
        whole_height,
    )
    best = max(seen, key=lambda found: _overlap(found.box, box), default=None)
    if best is None or _overlap(best.box, box) < _SAME_FACE:
        return None
    vector, quality, mean, std = _measured(read.picture, best.face, faces, scorer)
    return replace(photo, vector=vector, quality=quality, cohort_mean=mean, cohort_std=std)


def valid_name(name: str) -> str:
    """`name` in the form that is kept: composed, single spaces.

    Raises `EnrolmentError` for names that no question could hold: without a letter, with control
    characters, longer than `LONGEST_NAME`.
    """
    if any(unicodedata.category(char) in ("Cc", "Cs", "Co") for char in name.strip()):
        raise EnrolmentError(f"{name!r} cannot be a name: it holds control characters")
    tidy = normal(name)
    if not key(tidy) or not any(unicodedata.category(c)[0] == "L" for c in tidy):
        raise EnrolmentError(f"{name!r} cannot be a name: it needs at least one letter")
    if len(tidy) > LONGEST_NAME:
        raise EnrolmentError(f"{tidy[:40]!r}... cannot be a name: over {LONGEST_NAME} characters")
    return tidy


def named(name: str, enrolled: Iterable[Person]) -> Person | None:
    """The person who has `name` as name or alias, compared as in questions."""
    asked = key(name)
    return next((p for p in enrolled if asked in {key(known) for known in p.names}), None)


def find(name: str, enrolled: Sequence[Person]) -> Person:
    """The person of this name or alias; raises `UnknownPerson`, with near names."""
    person = named(name, enrolled)
    if person is None:
        raise UnknownPerson(_nobody(name, enrolled))
    return person


def renamed(person: Person, name: str, enrolled: Sequence[Person]) -> Person:
    """`person` under another name; an alias of theirs may become the name.

    Raises `EnrolmentError` where the name cannot be one or somebody else has it.
    """
    name = valid_name(name)
    holder = named(name, enrolled)
    if holder is not None and holder.person_id != person.person_id:
        raise EnrolmentError(f'"{name}" is enrolled already{_as_alias(name, holder)}')
    aliases = tuple(alias for alias in person.aliases if key(alias) != key(name))
    return replace(person, name=name, aliases=aliases)


def with_aliases(person: Person, aliases: Sequence[str], enrolled: Sequence[Person]) -> Person:
    """`person` with more aliases; those they have already are left out.

    Raises `EnrolmentError` where an alias cannot be a name or somebody else has it.
    """
    for alias in map(valid_name, aliases):
        holder = named(alias, enrolled)
        if holder is not None and holder.person_id != person.person_id:
            whose = "the name" if key(holder.name) == key(alias) else "an alias"
            raise EnrolmentError(
                f'the alias "{alias}" is {whose} of {holder.name}: two people cannot share it'
            )
        if named(alias, [person]) is None:
            person = replace(person, aliases=(*person.aliases, alias))
    return person


def _as_alias(name: str, person: Person) -> str:
    return "" if key(person.name) == key(name) else f" as an alias of {person.name}"


def _count(reference: Sequence[Photo]) -> str:
    return f"{len(reference)} photo" + ("" if len(reference) == 1 else "s")


def _nobody(name: str, enrolled: Sequence[Person]) -> str:
    close = near(name, enrolled)
    hint = f"; near names: {', '.join(close)}" if close else ""
    return f'"{normal(name)}" is not enrolled{hint}'


def _look(read: Source, faces: FaceModel) -> tuple[Source, list[_Found]]:
    """The faces in a photo, left to right, and the photo they were found in.

    A photo that shows none is searched in a larger copy, then with a grey border: a detector
    expects something around a face, and portraits are often cut close.
    """
    for side in _LOOKING_SIDES:
        found = faces.detect(read.picture, long_side=side)
        if found or side >= max(read.picture.shape[:2]):
            break
    if not found:
        border = max(read.picture.shape[:2]) // 2
        padding = ((border, border), (border, border), (0, 0))
        read = replace(read, picture=np.pad(read.picture, padding, constant_values=128))
        found = faces.detect(read.picture, long_side=_LOOKING_SIDES[0])
    height, width = read.picture.shape[:2]
    ordered = sorted(found, key=lambda face: face.box[0] + face.box[2])
    return read, [_Found(face, _relative(face.box, width, height)) for face in ordered]


def _relative(box: tuple[float, float, float, float], width: int, height: int) -> Box:
    x0, y0, x1, y1 = box
    return (x0 / width, y0 / height, x1 / width, y1 / height)


def _choose(
    read: Source, shown: str, found: list[_Found], number: int | None, option: str
) -> _Found:
    if not found:
        raise EnrolmentError(
            f"{shown}: no face found in it: the face should look into the camera, unhidden"
        )
    if len(found) == 1:
        return found[0]
    if number is not None:
        if not 1 <= number <= len(found):
            raise EnrolmentError(f"{shown}: there is no face {number}: it shows {len(found)} faces")
        return found[number - 1]
    widest = max(f.face.box[2] - f.face.box[0] for f in found)
    near_ones = [f for f in found if f.face.box[2] - f.face.box[0] >= _BYSTANDER * widest]
    if len(near_ones) == 1:
        return near_ones[0]
    numbers = _write_numbers(read, found)
    raise EnrolmentError(
        f"{shown}: it shows {len(found)} faces; say which one with {option} N, "
        f"by the numbers in {printable(numbers)}"
    )


def _sharpness(picture: NDArray[np.uint8], face: Face) -> float:
    from idclip.face_quality import FEATURES, measure

    return float(measure(picture, face.landmarks, face.score)[FEATURES.index("sharpness")])


def _write_numbers(read: Source, found: Sequence[_Found]) -> Path:
    """The numbered picture, beside the photo or, where that cannot be written, in a new folder."""
    from vidsearch.sheet import numbered_faces

    image = numbered_faces(read.picture, [f.box for f in found])
    name = f"{read.beside.stem if read.beside.is_file() else read.beside.name}.faces.jpg"
    try:
        shown = read.beside.with_name(name)
        image.save(shown, quality=90)
    except OSError:
        shown = Path(tempfile.mkdtemp(prefix="vidsearch-")) / name
        image.save(shown, quality=90)
    return shown


def _refuse_double(
    photo: Photo,
    source: str | Path,
    person: Person,
    enrolled: Sequence[Person],
    given: Mapping[str, str],
) -> None:
    for other in (person, *(p for p in enrolled if p.person_id != person.person_id)):
        for known in other.photos:
            if known.sha256 != photo.sha256:
                continue
            shown = printable(source)
            if other.person_id == person.person_id:
                first = given.get(known.sha256, known.name)
                raise EnrolmentError(
                    f"{shown}: the same photo twice: it is {first} of {person.name}"
                )
            if _overlap(known.box, photo.box) > 0.5:
                raise EnrolmentError(
                    f"{shown}: this face is enrolled already, as {other.name}; choose another "
                    "face with --face N, or give it to them as an alias"
                )


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / (areas - wide * high)


def _refuse_disagreement(person: Person, given: Mapping[str, str], scorer: IdentityScorer) -> None:
    """Each of the photos `given` (digest to name), the last, should look like one of the others."""
    if len(person.photos) < 2:
        return
    known = faces_of(person)
    same = scorer.pairs(known, known)
    np.fill_diagonal(same, 0.0)
    best = same.max(axis=1)
    names = [given.get(photo.sha256, photo.name) for photo in person.photos]
    odd = [names[at] for at in range(len(names) - len(given), len(names)) if best[at] < _STRANGERS]
    if not odd:
        return
    if len(names) == 2:
        said = f"{names[0]} and {names[1]} do not look like one person"
    elif len(odd) == 1:
        said = f"{odd[0]} does not look like the others"
    else:
        said = f"{', '.join(odd[:-1])} and {odd[-1]} do not look like any of the others"
    raise EnrolmentError(
        f"{said} (probability under {_STRANGERS}): leave out what is somebody "
        "else, or take all with --trust"
    )
