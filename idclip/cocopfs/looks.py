"""Perceived gender and skin tone, as somebody wrote them down, for people and for photos."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import VidsearchError

_WOMAN = re.compile(r"\b(woman|girl|lady|female|mother|mum|mom|bride)\b", re.IGNORECASE)
_MAN = re.compile(r"\b(man|boy|guy|male|father|dad|gentleman|groom)\b", re.IGNORECASE)
_SHORT = {"f": "female", "woman": "female", "m": "male", "man": "male"}


@dataclass(frozen=True)
class Look:
    """How somebody looks; "" is unknown."""

    gender: str = ""
    skin: str = ""

    def agrees(self, other: Look) -> bool:
        """Whether nothing that is known of both speaks against each other."""
        pairs = ((self.gender, other.gender), (self.skin, other.skin))
        return all(not a or not b or a == b for a, b in pairs)


def read_looks(path: Path) -> dict[str, Look]:
    """A CSV with the columns name, gender, skin; names are people's or photos' file names.

    Underscores and blanks in names are the same. Raises `VidsearchError` for another file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VidsearchError(f"{path}: cannot be read: {error}") from error
    if not rows or "name" not in rows[0] or not {"gender", "skin"} & set(rows[0]):
        raise VidsearchError(f"{path}: needs the columns name, gender, skin and at least one row")
    found = {}
    for row in rows:
        gender = (row.get("gender") or "").strip().lower()
        skin = (row.get("skin") or "").strip().lower()
        found[key(row["name"] or "")] = Look(_SHORT.get(gender, gender), skin)
    return found


def key(name: str) -> str:
    """The name under which a look is kept."""
    return "_".join(name.split())


def look_of_photo(file: str, captions: Iterable[str], looks: Mapping[str, Look]) -> Look:
    """The look of the person in a photo: from the file, else the gender its captions agree on."""
    if key(file) in looks:
        return looks[key(file)]
    said = list(captions)
    women = sum(bool(_WOMAN.search(caption)) for caption in said)
    men = sum(bool(_MAN.search(caption)) for caption in said)
    if bool(women) == bool(men):
        return Look()
    return Look(gender="female" if women else "male")
