"""What was forgotten, and when: the lines that stay, without a name, a vector or a picture.

The file `audit.json` in the archive folder holds a random salt and one line a deed. A line knows
the person again by hashes only: of each name and alias, folded as questions fold them, and of the
digests of the photos. Names are few enough to be tried out, so theirs is a slow hash (scrypt, RFC
7914); a photo's digest cannot be guessed by who has not the photo, so a fast one will do.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from vidsearch.errors import ArchiveUnavailable, EnrolmentError
from vidsearch.names import key
from vidsearch.records import Person
from vidsearch.urls import Place
from vidsearch.whole import write_whole

FORGOTTEN = "forgotten"
ALLOWED = "enrolled again, allowed"
FILE = "audit.json"
# 16 MB and some 50 ms a name: a million guesses take half a day.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1


@dataclass(frozen=True)
class Line:
    """One deed: when (seconds since 1970), what, and how many things of each kind it took.

    `names` and `photos` are hashes by which a forgotten person is known again.
    """

    line_id: str
    when: float
    what: str
    counts: Mapping[str, int]
    names: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()

    @property
    def is_forgetting(self) -> bool:
        """Whether somebody was forgotten, and not enrolled again."""
        return self.what == FORGOTTEN


def read(folder: Place) -> list[Line]:
    """The lines of an archive, oldest first. Raises `ArchiveUnavailable` if they are damaged."""
    return _read(folder)[1]


def add(folder: Place, line: Line) -> None:
    """Keep a line; one that is there already is not kept twice. Raises OSError."""
    salt, lines = _read(folder)
    if line.line_id not in {each.line_id for each in lines}:
        _write(folder, salt, [*lines, line])


def put(folder: Place, content: bytes) -> None:
    """Take another state of the record, which knows of others; lines of its own stay.

    Raises OSError, and ValueError, KeyError or TypeError if the content is damaged.
    """
    salt, lines = _parsed(content)
    known = {line.line_id for line in lines}
    own = [line for line in read(folder) if line.line_id not in known]
    _write(folder, salt, [*lines, *own])


def forgetting(folder: Place, person: Person, counts: Mapping[str, int]) -> Line:
    """The line that is to stay of a person who is about to be forgotten; nothing is written.

    But the salt is, where there was none: a line would be worth nothing without it.
    """
    salt, lines = _read(folder)
    if not lines:
        _write(folder, salt, lines)
    return Line(
        secrets.token_hex(8),
        time.time(),
        FORGOTTEN,
        dict(counts),
        tuple(_of_name(name, salt) for name in person.names),
        tuple(_of_photo(photo.sha256, salt) for photo in person.photos),
    )


def refuse(
    folder: Place, people: Sequence[Person], enrolled: Sequence[Person], *, allow: bool = False
) -> None:
    """Raise `EnrolmentError` if somebody of `people` was forgotten in this archive.

    Names and photos that a person of `enrolled` has already are not asked about again. With
    `allow` nobody is refused, and a line says that somebody was enrolled again.
    """
    salt, lines = _read(folder)
    forgotten = [line for line in lines if line.is_forgetting]
    if not forgotten:
        return
    known = {person.person_id: person for person in enrolled}
    for person in people:
        said = _recognised(person, known.get(person.person_id), forgotten, salt)
        if said and not allow:
            raise EnrolmentError(f"{said}; if that is really meant, enrol them with --allow")
        if said:
            counts = {"photos": len(person.photos)}
            add(folder, Line(secrets.token_hex(8), time.time(), ALLOWED, counts))


def lines_in(content: bytes) -> list[Line]:
    """The lines of the file's content. Raises ValueError, KeyError or TypeError if damaged."""
    return _parsed(content)[1]


def is_of(folder: Place, person: Person, lines: Sequence[Line]) -> bool:
    """Whether one of `lines`, of this archive's record, says that this person was forgotten."""
    salt, _ = _read(folder)
    forgotten = [line for line in lines if line.is_forgetting]
    return bool(forgotten and _recognised(person, None, forgotten, salt))


def day_forgotten(folder: Place, name: str) -> str:
    """The day on which somebody of this name or alias was last forgotten; "" where nobody was."""
    salt, lines = _read(folder)
    named = [line for line in lines if line.names and _of_name(name, salt) in line.names]
    return _day(named[-1]) if named else ""


def _recognised(
    person: Person, before: Person | None, forgotten: Sequence[Line], salt: bytes
) -> str:
    """What says that a person was forgotten, as a sentence; "" where nothing does."""
    held = {key(name) for name in before.names} if before else set()
    digests = {photo.sha256 for photo in before.photos} if before else set()
    for name in person.names:
        if key(name) in held:
            continue
        hashed = _of_name(name, salt)
        for line in forgotten:
            if hashed in line.names:
                return f'"{name}" was forgotten here on {_day(line)}, for good'
    for photo in person.photos:
        if photo.sha256 in digests:
            continue
        hashed = _of_photo(photo.sha256, salt)
        for line in forgotten:
            if hashed in line.photos:
                return f"{photo.name}: whom it shows was forgotten here on {_day(line)}, for good"
    return ""


def _day(line: Line) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(line.when))


@lru_cache(maxsize=4096)
def _slow(words: tuple[str, ...], salt: bytes) -> str:
    text = "\x1f".join(words).encode("utf-8", "surrogateescape")
    return hashlib.scrypt(text, salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=32).hex()


def _of_name(name: str, salt: bytes) -> str:
    return _slow(key(name), salt)


def _of_photo(sha256: str, salt: bytes) -> str:
    return hmac.new(salt, sha256.encode(), hashlib.sha256).hexdigest()


def _read(folder: Place) -> tuple[bytes, list[Line]]:
    """The salt, a new one where there is no file, and the lines."""
    try:
        return _parsed((folder / FILE).read_bytes())
    except FileNotFoundError:
        return secrets.token_bytes(16), []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveUnavailable(
            f"The record of who was forgotten, {folder / FILE}, cannot be read ({error}). Put it"
            " back from a backup: without it the archive would take them again."
        ) from error


def _parsed(content: bytes) -> tuple[bytes, list[Line]]:
    facts = json.loads(content)
    lines = [
        Line(**line | {"names": tuple(line["names"]), "photos": tuple(line["photos"])})
        for line in facts["lines"]
    ]
    return bytes.fromhex(facts["salt"]), lines


def _write(folder: Place, salt: bytes, lines: Sequence[Line]) -> None:
    facts = {"salt": salt.hex(), "lines": [asdict(line) for line in lines]}
    write_whole(folder / FILE, json.dumps(facts, indent=1))
