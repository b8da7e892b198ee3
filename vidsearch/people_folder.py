"""People in a folder, to move them between archives: their photos, and a JSON that says whose.

    FOLDER/people.json            names, aliases, and of each photo its file, face and digest
    FOLDER/Anna Rossi/1.jpg       the photos as the archive keeps them

Vectors stay behind: another archive makes its own, of its own face model. A folder without a
`people.json` is taken too: each folder in it is a person, the pictures in that are the photos.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidsearch import people as enrolment
from vidsearch.errors import EnrolmentError, UnreadableImage, VidsearchError
from vidsearch.inputs import printable
from vidsearch.names import key
from vidsearch.records import Person, Photo
from vidsearch.whole import write_whole

if TYPE_CHECKING:
    from idclip.faces import FaceModel
    from idclip.identity import IdentityScorer
    from vidsearch.store import Store

_FILE, _FORM = "people.json", 1
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"}


@dataclass(frozen=True, eq=False)
class Arrival:
    """What became of one person of a folder: enrolled, or refused, and why.

    `person` is None where `reason` says why nothing of them was taken.
    """

    name: str
    person: Person | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Packed:
    """One person of a folder: who is made of them, given everybody who is enrolled."""

    name: str
    unpack: Callable[[Sequence[Person]], Person]


def write(people: Sequence[Person], folder: Path) -> None:
    """Write people into a folder that is new or empty. Raises VidsearchError where it cannot."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise VidsearchError(f"{folder} is not empty: name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        taken: set[str] = set()
        facts = []
        for person in people:
            place = _folder_name(person.name, taken)
            taken.add(place.casefold())
            (folder / place).mkdir()
            facts.append(_write_person(person, folder, place))
        whole = {"form": _FORM, "people": facts}
        write_whole(folder / _FILE, json.dumps(whole, indent=1, ensure_ascii=False))
    except OSError as error:
        raise VidsearchError(
            f"{folder} cannot be written: {error.strerror}; choose another folder"
        ) from error


def check(folder: Path) -> None:
    """Raise VidsearchError where a folder holds no people, or its list of them is damaged."""
    if not folder.is_dir():
        raise VidsearchError(f"{folder}: there is no such folder")
    if (folder / _FILE).is_file():
        _facts(folder / _FILE)
    elif not _places(folder):
        raise VidsearchError(
            f"{folder} holds no people: neither a {_FILE}, nor folders with pictures in them"
        )


def read(
    folder: Path,
    faces: FaceModel,
    scorer: IdentityScorer,
    enrolled: Sequence[Person],
    *,
    more: bool = False,
    trust: bool = False,
) -> Iterator[Arrival]:
    """The people of a folder, with vectors of `faces`, one after the other; nothing is stored.

    Whoever cannot be taken whole, for a photo without a face or a name that is taken, is not taken
    at all. With `more` photos are added to people who are `enrolled` already; of a `people.json`
    those they have are left out. `trust` takes photos that do not look like each other, which is
    asked only of folders
    without a `people.json`. Of a folder that `check` refuses, anything may be raised.
    """
    known = list(enrolled)
    for packed in _packed(folder, faces, scorer, more, trust):
        try:
            person = packed.unpack(known)
        except VidsearchError as error:
            yield Arrival(packed.name, None, str(error))
            continue
        known = [each for each in known if each.person_id != person.person_id] + [person]
        yield Arrival(person.name, person)


def settled(arrival: Arrival, store: Store, allow: bool) -> Arrival:
    """Enrol who has arrived; somebody who was forgotten is refused unless `allow`."""
    if arrival.person is None:
        return arrival
    try:
        store.update_person(arrival.person, allow=allow)
    except EnrolmentError as error:
        return Arrival(arrival.name, None, str(error))
    return arrival


def _write_person(person: Person, folder: Path, place: str) -> dict[str, Any]:
    photos = []
    for number, photo in enumerate(person.photos, 1):
        file = f"{place}/{number}.jpg"
        (folder / file).write_bytes(photo.jpeg)
        photos.append(
            {"file": file, "name": photo.name, "sha256": photo.sha256, "box": list(photo.box)}
        )
    return {
        "name": person.name,
        "aliases": list(person.aliases),
        "created_at": person.created_at,
        "photos": photos,
    }


def _folder_name(name: str, taken: set[str]) -> str:
    """A name that every file system takes, and that no other person has."""
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)[:60].strip(". ") or "_"
    if plain.split(".")[0].upper() in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}:
        plain = f"_{plain}"
    number, choice = 1, plain
    while choice.casefold() in taken:
        number += 1
        choice = f"{plain} {number}"
    return choice


def _packed(
    folder: Path, faces: FaceModel, scorer: IdentityScorer, more: bool, trust: bool
) -> list[_Packed]:
    if (folder / _FILE).is_file():
        return [
            _Packed(str(facts["name"]), partial(_unpacked, facts, folder, faces, scorer, more))
            for facts in _facts(folder / _FILE)
        ]
    return [
        _Packed(printable(place.name), partial(_enrolled, place, faces, scorer, more, trust))
        for place in _places(folder)
    ]


def _places(folder: Path) -> list[Path]:
    """The folders with pictures in a folder."""
    return [place for place in sorted(folder.iterdir()) if place.is_dir() and _photos(place)]


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)


def _facts(file: Path) -> list[dict[str, Any]]:
    try:
        facts = json.loads(file.read_bytes())
        form, people = facts["form"], facts["people"]
        if form > _FORM:
            raise VidsearchError(f"{file} was written by a newer vidsearch: update this one")
        for person in people:
            _check(person)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VidsearchError(f"{file} is no list of people: {error!r}") from error
    return list(people)


def _check(person: dict[str, Any]) -> None:
    """Raise where a field of a person is absent or of another kind."""
    str(person["name"]), float(person["created_at"])
    if not all(isinstance(alias, str) for alias in person["aliases"]):
        raise ValueError("aliases are texts")
    for photo in person["photos"]:
        str(photo["file"]), str(photo["name"]), bytes.fromhex(photo["sha256"])
        if len([float(edge) for edge in photo["box"]]) != 4:
            raise ValueError("a box has four edges")


def _unpacked(
    facts: dict[str, Any],
    folder: Path,
    faces: FaceModel,
    scorer: IdentityScorer,
    more: bool,
    known: Sequence[Person],
) -> Person:
    """A person of a `people.json`, whole; raises VidsearchError where that cannot be."""
    name = enrolment.valid_name(facts["name"])
    twin = _place_for(name, known, more)
    had = {photo.sha256 for photo in twin.photos} if twin else set()
    photos = [_photo(each, folder) for each in facts["photos"] if each["sha256"] not in had]
    if not photos and twin is None:
        raise EnrolmentError(f'"{name}" has no photo')
    made = replace(_nobody(name), photos=tuple(photos))
    refit = enrolment.refit([made], faces, scorer) if photos else None
    if refit is not None and refit.lost:
        raise EnrolmentError("; ".join(refit.lost))
    new = refit.people[0].photos if refit else ()
    person = twin or replace(_nobody(name), created_at=float(facts["created_at"]))
    person = replace(person, photos=(*person.photos, *new))
    others = facts["aliases"] if key(person.name) == key(name) else [name, *facts["aliases"]]
    return enrolment.with_aliases(person, others, known)


def _enrolled(
    place: Path,
    faces: FaceModel,
    scorer: IdentityScorer,
    more: bool,
    trust: bool,
    known: Sequence[Person],
) -> Person:
    """A person from a folder of pictures, named like it."""
    twin = _place_for(place.name, known, more)
    return enrolment.enrol(
        place.name,
        _photos(place),
        faces,
        scorer,
        enrolled=known,
        more=twin is not None,
        trust=trust,
    )


def _place_for(name: str, known: Sequence[Person], more: bool) -> Person | None:
    twin = enrolment.named(name, known)
    if twin is not None and not more:
        raise EnrolmentError(f'"{name}" is enrolled already; add photos to them with --more')
    return twin


def _nobody(name: str) -> Person:
    return Person(uuid.uuid4().hex, name, (), (), time.time())


def _photo(facts: dict[str, Any], folder: Path) -> Photo:
    """A photo of the folder, its vector still to be made. Raises `UnreadableImage`."""
    from vidsearch.photos import decode_jpeg

    file = folder / facts["file"]
    if not file.resolve().is_relative_to(folder.resolve()):
        raise UnreadableImage(f"{facts['file']} lies outside the folder {folder}")
    try:
        jpeg = file.read_bytes()
        decode_jpeg(jpeg)
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImage(f"{file}: the photo cannot be read ({error})") from error
    x0, y0, x1, y1 = (float(edge) for edge in facts["box"])
    nothing = np.zeros(0, np.float32)
    return Photo(facts["name"], facts["sha256"], jpeg, (x0, y0, x1, y1), nothing, 0.0, 0.0, 0.0)
