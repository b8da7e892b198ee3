"""What is given beside a question as a picture: one to resemble (`--like`), or a face (`--face`).

Both are picture files or moments of videos, `VIDEO@TIME`. Nothing of them is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidsearch import people, photos
from vidsearch.copies import file_of
from vidsearch.errors import EnrolmentError
from vidsearch.gallery import faces_of, mean_faces
from vidsearch.inputs import printable
from vidsearch.question import Like
from vidsearch.records import Person, Video
from vidsearch.urls import is_there

if TYPE_CHECKING:
    from idclip.encoders import Encoder
    from idclip.faces import FaceModel
    from idclip.identity import IdentityScorer

SAME = 0.5  # P(same person) from which a face is that of somebody enrolled


def listed(given: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """One path or text, or several, as a tuple."""
    return (str(given),) if isinstance(given, (str, Path)) else tuple(map(str, given))


def moment_of(source: str, called: Callable[[str], Sequence[Video]]) -> str:
    """`VIDEO@TIME` with the path of the one video that the archive calls VIDEO; else as it is.

    Raises `EnrolmentError` where several are called so.
    """
    name, at, moment = source.rpartition("@")
    if not name or is_there(name):
        return source
    found = called(name)
    if len(found) > 1:
        raise EnrolmentError(
            f"{printable(source)}: {len(found)} videos of the archive are called"
            f" {printable(name)}: write more of the path"
        )
    return f"{file_of(found[0])}{at}{moment}" if found else source


def and_strangers(enrolled: Sequence[Person], asked: Sequence[Person]) -> tuple[Person, ...]:
    """Everybody who competes for a face track: who is enrolled, and who is `asked` for and not."""
    known = {person.person_id for person in enrolled}
    new = {person.person_id: person for person in asked if person.person_id not in known}
    return (*enrolled, *new.values())


def like(source: str, encoder: Encoder) -> Like:
    """The picture at `source`, to be resembled.

    Raises `UnreadableImage`, `UnreadableVideo`, and `EnrolmentError` for a path that does not
    exist and a moment after the end of its video.
    """
    read = photos.read(source)
    return Like(read.name, np.asarray(encoder.encode_images([read.picture])[0], np.float32))


def whoever(
    source: str,
    faces: FaceModel,
    scorer: IdentityScorer,
    enrolled: Sequence[Person],
    *,
    number: int | None = None,
) -> Person:
    """Whoever is in the picture at `source`, as a person of one photo who is not enrolled.

    Where the face is that of somebody enrolled, by `SAME`, it is them, with their own photos: two
    of one person would compete for every track. `number` chooses among several faces, from 1,
    left to right. Raises what enrolment raises for a photo without a face, with several of them,
    or with one that is too small, blurred or hidden.
    """
    photo = people.reference_photo(source, faces, scorer, number, option="--face-number")
    person = Person(f"face {photo.sha256} {photo.box}", f"face in {photo.name}", (), (photo,), 0.0)
    known = [each for each in enrolled if each.photos]
    if known:
        same = scorer.pairs(faces_of(person), mean_faces(known, scorer))[0]
        best = int(np.argmax(same))
        if same[best] >= SAME:
            return known[best]
    return person
