"""Backing up an archive beside whoever reads and writes it, and bringing one back.

No lock of the archive is taken: a run of `index` may hold it for days. Lance writes each file once
and a table's state is one file more in `_versions`, so the archive as it was at one moment is all
files of a listing during which no such file came or went. Whatever such a listing holds is copied;
where a commit came in between it is listed again, and only what is new is left to copy. What a
writer had begun at that moment is rows of no video, which are swept when the archive is restored,
as after a writer that was killed.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vidsearch import snapshots
from vidsearch.errors import ArchiveBusy
from vidsearch.lock import writer_lock
from vidsearch.snapshots import BackupFailed, Held, Snapshot, told_of
from vidsearch.stamp import UNFINISHED, read_stamp
from vidsearch.urls import Place, Stat
from vidsearch.whole import write_whole

PLACES = "backups.json"
"""The file in an archive that remembers where it was backed up to, and when."""
_NOT_KEPT = ("writer.lock", "writer.json", "latest_version_hint.json", UNFINISHED, PLACES)
_COPIES = "cache"
_WRITTEN_ONCE = ("data", "_deletions", "_indices", "_transactions")
_NOTED_EVERY_S = 30.0
_Listing = Mapping[str, tuple[Place, Stat]]


@dataclass(frozen=True)
class Backup:
    """What a backup did: the snapshot, and the files and bytes that were not there before."""

    snapshot: Snapshot
    copied: int
    copied_bytes: int
    dropped: tuple[str, ...]


def back_up(
    folder: Place,
    where: Place,
    *,
    keep: int | None = None,
    wait_s: float = 600.0,
    waiting: Callable[[str], None] | None = None,
) -> Backup:
    """Make a snapshot of the archive in `folder`, in the place `where`; writers go on.

    Of the snapshots there the last `keep` stay, all if that is None. Raises `ArchiveUnavailable`,
    `ArchiveBusy` where the archive changes all the time or another backup runs, `BackupFailed`.
    """
    _refuse_inside(folder, where)
    stamp = read_stamp(folder)
    with told_of(where, "written"):
        where.mkdir(parents=True, exist_ok=True)
        lock = writer_lock(where)
        lock.acquire(wait_s, waiting)
    try:
        with told_of(where, "written"):
            before = snapshots.listed(where)
            if before and before[-1].archive_id != stamp.archive_id:
                raise BackupFailed(
                    f"{where} holds backups of another archive: choose another place for this one"
                )
            _remember(folder, where)  # now: what is copied is there, also if this is killed
            taking = _Taking(where, stamp.archive_id, before[-1].files if before else {})
            with taking.noted():
                files = _at_one_moment(folder, taking, wait_s)
            stamp = read_stamp(folder)
            name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{uuid.uuid4().hex[:4]}"
            made = Snapshot(
                name, stamp.archive_id, stamp.schema, stamp.vidsearch, time.time(), files
            )
            lock.check()
            snapshots.write(where, made)
            snapshots.forget_unfinished(where)
            dropped = _drop_older(where, [*before, made], keep)
        return Backup(made, taking.copied, taking.copied_bytes, dropped)
    finally:
        lock.release()


def check(where: Place, name: str = "") -> Snapshot:
    """Read all of a snapshot, the latest if it has no name; raises `BackupFailed` if it is bad."""
    with told_of(where, "read"):
        snapshot = snapshots.named(where, name)
        for held in {held.sha256: held for held in snapshot.files.values()}.values():
            snapshots.check(where, held)
    return snapshot


def places_of(folder: Place) -> list[str]:
    """Where an archive was backed up to, as far as it remembers."""
    try:
        found = json.loads((folder / PLACES).read_bytes())
    except (OSError, ValueError):
        return []
    return sorted(found) if isinstance(found, dict) else []


class _Taking:
    """Copies files that are not there yet; what was copied before is known by path and mark.

    That is noted in the place once a while, for the next backup, if this one does not end. `read`
    counts the files that had to be read, of those that a writer writes once.
    """

    def __init__(self, where: Place, archive_id: str, before: Mapping[str, Held]) -> None:
        self._where = where
        self._archive_id = archive_id
        self._known = snapshots.objects(where)
        known = {**before, **snapshots.unfinished(where, archive_id)}
        self._held = {path: held for path, held in known.items() if held.sha256 in self._known}
        self._noted_s = time.monotonic()
        self.copied = self.copied_bytes = self.read = 0

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what was taken also where taking fails."""
        try:
            yield
        except BaseException:
            with suppress(OSError):  # why it failed is what is to be told
                self._note()
            raise

    def take(self, path: str, file: Place, stat: Stat) -> Held:
        mark = _mark(stat)
        before = self._held.get(path)
        if before is not None and (before.size, before.mark) == (stat.st_size, mark):
            return before
        sha256, size, is_new = snapshots.put(self._where, file, self._known)
        if is_new:
            self._known.add(sha256)
            self.copied += 1
            self.copied_bytes += size
        self._held[path] = Held(size, sha256, mark)
        self.read += "/" in path
        if time.monotonic() - self._noted_s >= _NOTED_EVERY_S:
            self._note()
        return self._held[path]

    def _note(self) -> None:
        snapshots.note_unfinished(self._where, self._archive_id, self._held)
        self._noted_s = time.monotonic()


def _at_one_moment(folder: Place, taking: _Taking, wait_s: float) -> dict[str, Held]:
    """Every file of an archive, as all of them were at one moment.

    Only while files are listed nothing may be committed. What was listed is copied afterwards,
    small files first: those are the ones that a writer soon replaces and cleans up. Copying may
    take hours, and one merge meanwhile makes it begin with another moment: as long as each try
    leaves less to copy, none was in vain, and nobody has waited.
    """
    until, pause, read, take = time.monotonic() + wait_s, 0.0, 0, taking.take
    while True:
        before = _states(_listing(folder))
        everything = _listing(folder)
        with suppress(FileNotFoundError):  # a file of an old version, cleaned up meanwhile
            held = _take(everything, take, lambda path: "/" not in path)  # may be written again
            if before == _states(everything) == _states(_listing(folder)):
                return held | _take(everything, take, lambda path: "/" in path)
        if taking.read > read:
            until, read = time.monotonic() + wait_s, taking.read
        if time.monotonic() > until:
            raise ArchiveBusy(
                f"The archive {folder} is written to all the time, so that no moment of it could be"
                " backed up. Run this again later; what was copied is not copied again."
            )
        pause = min(pause + 0.01, 1.0)
        time.sleep(random.uniform(0, pause))


def _take(
    listing: _Listing, take: Callable[[str, Place, Stat], Held], wanted: Callable[[str], bool]
) -> dict[str, Held]:
    paths = sorted(filter(wanted, listing), key=lambda path: listing[path][1].st_size)
    return {path: take(path, *listing[path]) for path in paths}


def _listing(folder: Place) -> _Listing:
    """The files of an archive that make it up, by their path in it."""
    found: dict[str, tuple[Place, Stat]] = {}
    if isinstance(folder, Path):
        for base, _, files in os.walk(folder, onerror=_unless_gone):
            for name in files:
                file = Path(base) / name
                with suppress(FileNotFoundError):
                    found[file.relative_to(folder).as_posix()] = file, file.stat()
    else:
        for each in folder.rglob("*"):
            assert each.listed is not None
            found[each.url[len(folder.url) + 1 :]] = each, each.listed
    return {path: each for path, each in found.items() if _belongs(path)}


def _unless_gone(error: OSError) -> None:
    """A folder that cannot be read must not be left out; one that a writer removed may be."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _belongs(path: str) -> bool:
    *folders, name = PurePosixPath(path).parts
    if _COPIES in folders:  # made again from the tables
        return False
    return name not in _NOT_KEPT and not name.endswith(".part") and not name.startswith(".")


def _states(listing: _Listing) -> dict[str, tuple[int, str]]:
    """What tells one state of an archive from another: all but the files that are written once."""
    return {
        path: (stat.st_size, _mark(stat))
        for path, (_, stat) in listing.items()
        if not set(PurePosixPath(path).parts[1:-1]) & set(_WRITTEN_ONCE)
    }


def _mark(stat: Stat) -> str:
    return getattr(stat, "etag", "") or f"{stat.st_mtime_ns}"


def _drop_older(where: Place, found: list[Snapshot], keep: int | None) -> tuple[str, ...]:
    """Take away all but the last `keep` snapshots, and what only they needed."""
    older = found[:-keep] if keep else []
    for snapshot in older:
        snapshots.remove(where, snapshot)
    if keep:  # also what a backup that never was one has copied: it may hold who was forgotten
        left = found[len(older) :]
        snapshots.sweep(where, {held.sha256 for each in left for held in each.files.values()})
    return tuple(snapshot.name for snapshot in older)


def _refuse_inside(folder: Place, where: Place) -> None:
    """A backup inside its archive would be lost with it, and be backed up itself."""
    inner, outer = PurePosixPath(str(where.absolute())), PurePosixPath(str(folder.absolute()))
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise BackupFailed(f"{where} and the archive {folder} lie in each other: choose another")


def _remember(folder: Place, where: Place) -> None:
    """Note where backups are, to be told when somebody is forgotten; who may not write does not."""
    known = dict.fromkeys(places_of(folder)) | {str(where.absolute()): None}
    with suppress(OSError):
        write_whole(folder / PLACES, json.dumps(known, indent=1))


def with_new_id(stamp_file: bytes) -> str:
    """An archive's stamp for a copy of it, which is an archive of its own from then on."""
    return json.dumps(json.loads(stamp_file) | {"archive_id": uuid.uuid4().hex}, indent=1)
