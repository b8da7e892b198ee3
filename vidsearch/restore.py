"""Bringing an archive back from a backup, whole or not at all, without those forgotten since.

The stamp `archive.json` is written when all files are there, and then those are forgotten who were
forgotten since: that takes an archive that is open for writing. Before all is done `restoring.json`
keeps everybody else from opening it (`vidsearch.stamp`), and a restoring that was killed is gone on
with. The restored archive gets an id of its own: copies of columns that a machine kept of the old
one are not of it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import audit, snapshots
from vidsearch.audit import Line
from vidsearch.backup import with_new_id
from vidsearch.schema import CONTENT
from vidsearch.snapshots import BackupFailed, Snapshot, told_of
from vidsearch.stamp import UNFINISHED, is_archive
from vidsearch.tables import explained
from vidsearch.urls import Place
from vidsearch.whole import write_whole

if TYPE_CHECKING:
    from vidsearch.records import Person
    from vidsearch.store import Store

_STAMP = "archive.json"
_SCRATCH = ".restoring"


@dataclass(frozen=True)
class Restored:
    """What was brought back, and how many of its people were `forgotten` since, and so again."""

    snapshot: Snapshot
    forgotten: int


def restore(where: Place, folder: Place, name: str = "", lost: Place | None = None) -> Restored:
    """Write a snapshot, the latest if it has no name, as the archive in `folder`.

    `folder` must be empty, or what is left of restoring the same one. Who was forgotten later than
    the snapshot, by what later snapshots say, and by the archive `lost` if that is given, is for
    `forget_again`. Raises `BackupFailed`, `ArchiveUnavailable`.
    """
    with told_of(where, "read"):
        snapshot = snapshots.named(where, name)
        later = _later_lines(where, snapshot, lost)
    with explained(folder, "written"):
        scratch = _begin(folder, snapshot, where, lost)
        if not is_archive(folder):  # else all is there, but what was forgotten since, for good
            _copy(where, snapshot, folder, scratch)
        if later is not None:
            audit.put(folder, later)
    return Restored(snapshot, 0)


def forget_again(
    store: Store, where: Place, snapshot: Snapshot, forget: Callable[[Store, Person], object]
) -> int:
    """Forget whom the restored archive holds although they were forgotten since; gives how many.

    `store` is the restored archive, open for writing, and `forget` forgets one person in it. When
    this is done it is like any other. Those of an earlier try, which was killed, are counted.
    """
    folder = store.folder
    before = _lines_of(where, snapshot)
    since = [line for line in audit.read(folder) if line not in before]
    for person in store.people():
        if audit.is_of(folder, person, since):
            forget(store, person)
    with explained(folder, "written"):
        mark = json.loads((folder / UNFINISHED).read_bytes())
        began_at = float(mark.get("began_at", time.time()))
        again = sum(line.is_forgetting and line.when >= began_at for line in audit.read(folder))
        if again:
            _leave_no_byte(store)
        if isinstance(folder, Path):
            shutil.rmtree(folder / _SCRATCH, ignore_errors=True)
        (folder / UNFINISHED).unlink(missing_ok=True)
    return again


def _leave_no_byte(store: Store) -> None:
    """Keep no file that no table names: whatever killed tries did, one may hold a face."""
    for each in (store, *store.others()):
        for name in CONTENT:
            each.purge(name)


def _begin(folder: Place, snapshot: Snapshot, where: Place, lost: Place | None) -> Path | None:
    """Mark the folder as one that is being restored; refuse one that holds anything else.

    The mark says with which command one goes on. Gives the folder where files are written first;
    None for one of this machine's own.
    """
    try:
        facts = json.loads((folder / UNFINISHED).read_bytes())
        begun, began_at = facts["snapshot"], facts.get("began_at", time.time())
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        begun, began_at = None, time.time()
    if begun is None and not snapshots.is_empty(folder):
        raise BackupFailed(f"{folder} is not empty: restore into a new folder, with --archive NEW")
    if begun not in (None, snapshot.name):
        raise BackupFailed(
            f"In {folder} the snapshot {begun} was being restored: go on with --snapshot {begun},"
            " or choose another folder"
        )
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
        if (free := snapshots.free_bytes(folder)) < snapshot.size and begun is None:
            raise BackupFailed(
                f"The disk of {folder} has {free / 1e9:.1f} GB free, and the archive takes"
                f" {snapshot.size / 1e9:.1f} GB"
            )
    if begun is None or lost is not None:
        mark = {"snapshot": snapshot.name, "place": str(where.absolute()), "began_at": began_at}
        if lost is not None:
            mark["forgotten"] = str(lost.absolute())
        write_whole(folder / UNFINISHED, json.dumps(mark))
    if not isinstance(folder, Path):
        return None
    shutil.rmtree(folder / _SCRATCH, ignore_errors=True)
    (folder / _SCRATCH).mkdir()
    return folder / _SCRATCH


def _copy(where: Place, snapshot: Snapshot, folder: Place, scratch: Path | None) -> None:
    """Bring all files that are not there yet, the stamp last."""
    for path, held in snapshot.files.items():
        target = folder.joinpath(path) if isinstance(folder, Path) else folder / path
        if path != _STAMP and not _is_there(target, held.size):
            if isinstance(target, Path):
                target.parent.mkdir(parents=True, exist_ok=True)
            snapshots.get(where, held, target, scratch)
    _write_stamp(where, folder, snapshot)


def _is_there(target: Place, size: int) -> bool:
    """Whether a killed restoring wrote this file: each is there whole or not at all."""
    try:
        return target.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False


def _write_stamp(where: Place, folder: Place, snapshot: Snapshot) -> None:
    if _STAMP not in snapshot.files:
        raise BackupFailed(f"The snapshot {snapshot.name} has no {_STAMP}: it is none")
    write_whole(folder / _STAMP, with_new_id(_content(where, snapshot, _STAMP)))


def _content(where: Place, snapshot: Snapshot, path: str) -> bytes:
    pieces: list[bytes] = []
    snapshots.check(where, snapshot.files[path], pieces.append)
    return b"".join(pieces)


def _lines_of(where: Place, snapshot: Snapshot) -> Sequence[Line]:
    if audit.FILE not in snapshot.files:
        return ()
    return audit.lines_in(_content(where, snapshot, audit.FILE))


def _later_lines(where: Place, snapshot: Snapshot, lost: Place | None) -> bytes | None:
    """The newest record of who was forgotten; None where it is that of the snapshot itself.

    Raises `BackupFailed` where it is no later state of it.
    """
    latest = snapshots.listed(where)[-1]
    records: list[tuple[bytes, str]] = []
    if audit.FILE in latest.files:
        records.append((_content(where, latest, audit.FILE), latest.name))
    if lost is not None:
        if (lost / audit.FILE).exists():
            records.append(((lost / audit.FILE).read_bytes(), str(lost)))
        elif not is_archive(lost):
            raise BackupFailed(f"{lost} is no archive that could know who was forgotten")
    if not records:
        return None
    ids = [{line.line_id for line in audit.lines_in(content)} for content, _ in records]
    known = max(ids, key=len)
    newest, whose = records[ids.index(known)]
    if not {line.line_id for line in _lines_of(where, snapshot)}.union(*ids) <= known:
        raise BackupFailed(
            f"What {whose} says of who was forgotten is no later state of the snapshot"
            f" {snapshot.name}: it is of another archive"
        )
    return newest
