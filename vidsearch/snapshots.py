"""What a place of backups holds: snapshots of one archive, and the objects that they are made of.

    PLACE/objects/ab/abcd...      a file's content, named by its SHA-256
    PLACE/snapshots/NAME.json     which path of the archive had which content, at one moment
    PLACE/unfinished.json         the same of what a backup has copied that did not end

A snapshot's file is written last, so what a killed backup leaves is objects that the next one
finds there already, and never a snapshot that is not whole. Contents that are in several snapshots
are kept once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from vidsearch.errors import VidsearchError
from vidsearch.urls import Place, RemoteError, place
from vidsearch.whole import write_whole

FORMAT = 1
Write = Callable[[bytes], object]
_OBJECTS, _SNAPSHOTS, _UNFINISHED = "objects", "snapshots", "unfinished.json"
_CHUNK = 1 << 24


class BackupFailed(VidsearchError):
    """A backup could not be made, read or restored."""


@dataclass(frozen=True)
class Held:
    """A file of an archive as a snapshot has it; `mark` changes whenever the file is written."""

    size: int
    sha256: str
    mark: str


@dataclass(frozen=True)
class Snapshot:
    """An archive at one moment: `files` by their path in it, `made_at` in seconds since 1970."""

    name: str
    archive_id: str
    schema: int
    vidsearch: str
    made_at: float
    files: dict[str, Held]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(held.size for held in self.files.values())


def backups_at(path: str | os.PathLike[str]) -> Place:
    """Where backups are kept: a folder, or a prefix on s3://. Raises `BackupFailed`."""
    try:
        found = place(path)
    except RemoteError as error:
        raise BackupFailed(f"The backups {path} {error.reason}") from None
    if not isinstance(found, Path) and found.scheme != "s3":
        raise BackupFailed(f"Backups are kept in folders and on s3://, not on {found.scheme}://")
    return found


@contextmanager
def told_of(where: Place, done: str) -> Iterator[None]:
    """What the disk or the store raises, as `BackupFailed`."""
    try:
        yield
    except OSError as error:
        said = (error.strerror or str(error) or type(error).__name__).lower()
        raise BackupFailed(
            f"The backups in {where} cannot be {done}: {said}. What was there before is kept; run"
            " the command again."
        ) from error


def listed(where: Place) -> list[Snapshot]:
    """The snapshots of a place, the oldest first; none of a place where there is nothing.

    Raises OSError, and `BackupFailed` for one that is damaged or of a newer vidsearch.
    """
    try:
        files: list[Place] = [*(where / _SNAPSHOTS).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [_read(file) for file in files if file.suffix == ".json"]
    return sorted(found, key=lambda snapshot: (snapshot.made_at, snapshot.name))


def named(where: Place, name: str) -> Snapshot:
    """The snapshot of a name, "" or "latest" for the latest. Raises `BackupFailed`, OSError."""
    found = listed(where)
    if not found:
        raise BackupFailed(
            f"There is no backup in {where}. Make one with: vidsearch backup {where}"
        )
    if name in ("", "latest"):
        return found[-1]
    for snapshot in found:
        if snapshot.name == name:
            return snapshot
    names = ", ".join(snapshot.name for snapshot in found)
    raise BackupFailed(f"{where} has no snapshot {name}; there are: {names}")


def write(where: Place, snapshot: Snapshot) -> None:
    """Keep a snapshot all of whose objects are there. Raises OSError."""
    file = _file(where, snapshot)
    if isinstance(file, Path):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps({"format": FORMAT} | asdict(snapshot), indent=0))


def remove(where: Place, snapshot: Snapshot) -> None:
    """Take a snapshot away; its objects stay until `sweep`. Raises OSError."""
    _file(where, snapshot).unlink(missing_ok=True)


def unfinished(where: Place, archive_id: str) -> dict[str, Held]:
    """What a backup of this archive had copied that did not end, by path; nothing where all did.

    Raises OSError.
    """
    try:
        facts = json.loads((where / _UNFINISHED).read_bytes())
        if facts["archive_id"] != archive_id:
            return {}
        return {path: Held(**held) for path, held in facts["files"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # it is there to save time, and nothing else


def note_unfinished(where: Place, archive_id: str, files: Mapping[str, Held]) -> None:
    """Keep what a backup has copied so far. Raises OSError."""
    facts = {path: asdict(held) for path, held in files.items()}
    write_whole(where / _UNFINISHED, json.dumps({"archive_id": archive_id, "files": facts}))


def forget_unfinished(where: Place) -> None:
    """A snapshot knows it all now. Raises OSError."""
    (where / _UNFINISHED).unlink(missing_ok=True)


def objects(where: Place) -> set[str]:
    """The SHA-256 of every content that is there. Raises OSError."""
    try:
        return {each.name for each in (where / _OBJECTS).rglob("*") if len(each.name) == 64}
    except FileNotFoundError:
        return set()


def sweep(where: Place, keep: set[str]) -> None:
    """Remove every object that is not in `keep`, and half written ones. Raises OSError."""
    there: list[Place] = [*(where / _OBJECTS).rglob("*")]
    for each in there:
        if each.name not in keep and len(each.name) > 2:
            each.unlink(missing_ok=True)


def put(where: Place, source: Place, known: set[str]) -> tuple[str, int, bool]:
    """Bring a file's content there: its SHA-256, its bytes, and whether it was not there before.

    `known` are the objects that are there. Raises OSError.
    """
    if not isinstance(where, Path):
        return _put_into_store(where, source, known)
    folder = where / _OBJECTS
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as made:
            sha256, size = _stream(source, made.write)
            made.flush()
            os.fsync(made.fileno())
        if sha256 in known:
            return sha256, size, False
        target = _object(where, sha256)
        target.parent.mkdir(exist_ok=True)
        assert isinstance(target, Path)
        Path(temporary).replace(target)
        return sha256, size, True
    finally:
        Path(temporary).unlink(missing_ok=True)


def get(where: Place, held: Held, target: Place, scratch: Path | None) -> None:
    """Write a content as the file `target`, whole or not at all, by way of the folder `scratch`.

    Raises OSError, and `BackupFailed` where it is not what it was when it was put.
    """
    handle, name = tempfile.mkstemp(dir=scratch)
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            check(where, held, file.write)
            file.flush()
            os.fsync(file.fileno())
        if isinstance(target, Path):
            made.chmod(0o644)  # mkstemp's 0600 would shut out other readers
            made.replace(target)
        else:
            target.upload(made)
    finally:
        made.unlink(missing_ok=True)


def check(where: Place, held: Held, write: Write = len) -> None:
    """Read an object; raises `BackupFailed` where it is absent or not what it was, and OSError."""
    try:
        sha256, size = _stream(_object(where, held.sha256), write)
    except FileNotFoundError:
        sha256, size = "", 0
    if (sha256, size) != (held.sha256, held.size):
        state = "damaged" if sha256 else "missing"
        raise BackupFailed(
            f"The object {_object(where, held.sha256)} is {state}: restore another snapshot, and"
            " make a backup elsewhere"
        )


def _put_into_store(where: Place, source: Place, known: set[str]) -> tuple[str, int, bool]:
    """The same into a store, where an object needs its name before its content."""
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(source, Path):
            local = source
            sha256, size = _stream(source, len)
        else:
            local = Path(folder) / "content"
            with local.open("wb") as file:
                sha256, size = _stream(source, file.write)
        if sha256 in known:
            return sha256, size, False
        target = _object(where, sha256)
        assert not isinstance(target, Path)
        target.upload(local)
        return sha256, size, True


def _stream(source: Place, write: Write) -> tuple[str, int]:
    """Hand on a file's content in pieces: its SHA-256 and its bytes."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            write(piece)
            size += len(piece)
    return digest.hexdigest(), size


def _object(where: Place, sha256: str) -> Place:
    return where / _OBJECTS / sha256[:2] / sha256


def _file(where: Place, snapshot: Snapshot) -> Place:
    return where / _SNAPSHOTS / f"{snapshot.name}.json"


def _read(file: Place) -> Snapshot:
    try:
        facts = json.loads(file.read_bytes())
        if int(facts.pop("format")) > FORMAT:
            raise BackupFailed(
                f"{file} was made by a newer vidsearch. Update with:\n"
                "  pip install --upgrade vidsearch"
            )
        facts["files"] = {path: Held(**held) for path, held in facts["files"].items()}
        return Snapshot(**facts)
    except (ValueError, KeyError, TypeError) as error:
        raise BackupFailed(f"The snapshot {file} is damaged ({error}): remove it") from error


def is_empty(folder: Place) -> bool:
    """Whether there is nothing in a folder, or no such folder. Raises OSError."""
    try:
        return next(iter(folder.iterdir()), None) is None
    except FileNotFoundError:
        return True


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
