"""Photos of people as they are given: a folder or a tar archive of `PERSON/*.jpg`."""

from __future__ import annotations

import tarfile
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from ..errors import UnreadableImage, VidsearchError

_ENDINGS = (".jpg", ".jpeg", ".png")


class Photos(Protocol):
    """A folder or a tar archive of `PERSON/*.jpg`."""

    place: Path

    def people(self) -> dict[str, list[str]]:
        """Names of the photos of each person, as `PERSON/FILE`, sorted; empty people too."""
        ...

    def read(self, photo: str) -> bytes:
        """The bytes of the photo of that name."""
        ...


class _Folder:
    def __init__(self, place: Path) -> None:
        self.place = place

    def people(self) -> dict[str, list[str]]:
        found = {}
        for folder in sorted(self.place.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                names = (p.name for p in folder.iterdir() if p.suffix.lower() in _ENDINGS)
                found[folder.name] = [f"{folder.name}/{name}" for name in sorted(names)]
        return found

    def read(self, photo: str) -> bytes:
        return (self.place / photo).read_bytes()


class _Tar:
    def __init__(self, place: Path) -> None:
        self.place = place
        self._tar = tarfile.open(place)  # noqa: SIM115 - open as long as the process reads photos
        self._members = {PurePosixPath(member.name): member for member in self._tar.getmembers()}

    def people(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path, member in self._members.items():
            if member.isdir() and len(path.parts) == 1:
                found.setdefault(path.name, [])
            elif member.isfile() and len(path.parts) == 2 and path.suffix.lower() in _ENDINGS:
                found.setdefault(path.parts[0], []).append(str(path))
        return {name: sorted(found[name]) for name in sorted(found) if name not in ("", ".")}

    def read(self, photo: str) -> bytes:
        file = self._tar.extractfile(self._members[PurePosixPath(photo)])
        if file is None:
            raise UnreadableImage(f"{self.place}: {photo} is not a file")
        return file.read()


@lru_cache(maxsize=2)
def open_photos(place: Path) -> Photos:
    """The photos in a folder or a tar; raises `VidsearchError` where there are none."""
    if place.is_dir():
        return _Folder(place)
    try:
        return _Tar(place)
    except (OSError, tarfile.TarError) as error:
        raise VidsearchError(
            f"{place}: neither a folder nor a tar of PERSON/*.jpg: {error}"
        ) from error
