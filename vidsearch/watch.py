"""Watching folders: each new file is indexed once, when it has stopped growing.

What there is is found out by looking, as `index` does; what the operating system tells of changes
(`watchfiles`) only says when to look again, so an event that was lost costs time and no file. A
file is ready when its size and its time of change stayed as they were for `settle_s` seconds while
we looked, or, of those that were there when we began, for so long before. One that failed is not
tried again until it changes, or somebody asks for it (`vidsearch jobs retry-failed`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.errors import ArchiveBusy, ArchiveUnavailable
from vidsearch.ground import Ground, roots_of
from vidsearch.indexing import Event, Failed, Indexed
from vidsearch.inputs import PathLike, find_videos, printable
from vidsearch.urls import Place, Stat, absolute, is_stored, is_there, place, stat_of

if TYPE_CHECKING:
    from vidsearch.records import Video

SETTLE_S = 10.0
BATCH = 256  # files of one run: between two others may write
_LOOK_S = 300.0  # so often folders are looked at although nothing was told of them
_LOST_LOOK_S = 15.0  # where a folder went: of what is mounted in its place nobody tells
_SHARE = 10  # looking may take this share of the time, one part in so many
_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 600.0  # before an archive that refuses is tried again


@dataclass(frozen=True)
class Watching:
    """Where we look, how many videos are there, and how many of them are known already."""

    paths: tuple[str, ...]
    files: int
    known: int
    by: str


@dataclass(frozen=True)
class Renamed:
    """A file has another name; its rows stay."""

    old: str
    new: str


@dataclass(frozen=True)
class Gone:
    """A file that was there is not; the archive keeps its rows until `vidsearch prune`."""

    path: str


@dataclass(frozen=True)
class Waiting:
    """Why nothing can be done just now, as a sentence; it is tried again by itself."""

    sentence: str


News = Watching | Renamed | Gone | Waiting | Indexed | Failed
Index = Callable[[Sequence[PathLike]], Iterable[Event]]
Wake = Callable[[float], None]


@dataclass
class _File:
    """A file as it was when it was last looked at, and since when it is like that."""

    place: Place
    state: tuple[int, int]
    inode: tuple[int, int] | None
    since: float
    done: bool
    disk: int | None  # that its folder lay on
    lost: bool = False  # whatever it lay on may only be away


@dataclass
class Ledger:
    """What was seen below `roots`: which files are there, which are settled, which are done."""

    roots: Sequence[PathLike]
    settle_s: float
    known: dict[bytes, tuple[int, float]] = field(default_factory=dict)
    files: dict[bytes, _File] = field(default_factory=dict)
    looked_s: float = 0.0
    _told: set[str] = field(default_factory=set)
    _was_lost: bool = False
    _began: bool = False

    def look(self) -> list[News]:
        """Look at all folders; what was renamed or is gone since the last time."""
        began = time.monotonic()
        found = find_videos(self.roots)
        disk = cache(_disk)
        new = {}
        for each in found.files:
            raw = os.fsencode(each)
            try:
                new[raw] = self._file(raw, each, stat_of(each), disk(each.parent), began)
            except OSError:
                continue  # it went while we looked
        lost = {printable(str(path)): reason for path, reason in found.missing}
        news = [*self._absent(new, lost), *self._lost(lost)]
        self.files.update(new)
        self._began, self.looked_s = True, time.monotonic() - began
        return news

    def ready(self) -> list[_File]:
        """Files to index now: settled, and not done as they are."""
        now = time.monotonic()
        return [
            each
            for each in self.files.values()
            if not each.done and not each.lost and now - each.since >= self.settle_s
        ]

    def finish(self, files: Iterable[_File]) -> None:
        """These were indexed, or failed; whoever changed meanwhile is not done."""
        for each in files:
            each.done = True

    def due_s(self) -> float:
        """Seconds until the next file may be settled, or until it is time to look anyway."""
        now = time.monotonic()
        open_files = [f.since for f in self.files.values() if not (f.done or f.lost)]
        left = [self.settle_s - (now - since) for since in open_files]
        wait = min([*left, _LOST_LOOK_S if self._was_lost else _LOOK_S])
        return max(wait, _SHARE * self.looked_s, 0.05)

    def _file(self, raw: bytes, each: Place, stat: Stat, disk: int | None, now: float) -> _File:
        state, inode = (stat.st_size, stat.st_mtime_ns), _inode(stat)
        before = self.files.get(raw)
        if before is not None and before.state == state:
            before.lost, before.disk = False, disk
            return before
        known = self.known.get(raw) == (stat.st_size, stat.st_mtime)
        since = now
        if not self._began:  # what has been there for long need not be watched first
            since -= max(0.0, time.time() - stat.st_mtime)
        return _File(each, state, inode, since, known, disk)

    def _absent(self, new: Mapping[bytes, _File], lost: dict[str, str]) -> list[News]:
        """What was there and is not, and under which name it is there now, if it is.

        What may only be away is neither: for it `lost` gets the folder, and why.
        """
        by_inode = {each.inode: raw for raw, each in new.items() if raw not in self.files}
        doubt = self._doubts(new, lost)
        news: list[News] = []
        for raw in [raw for raw in self.files if raw not in new]:
            before = self.files[raw]
            now = by_inode.get(before.inode) if before.inode else None
            if now is not None and new[now].state == before.state:
                new[now].since = before.since
                news.append(Renamed(printable(raw), printable(now)))
            elif (away := doubt(raw)) is not None:
                before.lost = True
                lost.setdefault(*away)
                continue
            else:
                news.append(Gone(printable(raw)))
            del self.files[raw]
        return news

    def _doubts(
        self, new: Mapping[bytes, _File], lost: Mapping[str, str]
    ) -> Callable[[bytes], tuple[str, str] | None]:
        """What tells of a file that is absent which folder may only be away, and why.

        It goes by what `prune` goes by; `there` is what has been there before, for another disk in
        the same place may hold videos too.
        """
        roots, disk = list(lost), cache(_disk)
        there = self.files.keys() & new.keys()

        @cache
        def ground() -> Ground:
            asked = [absolute(root) for root in self.roots]
            return Ground(there, roots_of(asked, self.files.keys()))

        def doubt(raw: bytes) -> tuple[str, str] | None:
            shown, before = printable(raw), self.files[raw]
            for root in roots:
                if shown.startswith(f"{root.rstrip('/')}/"):
                    return root, lost[root]
            if (found := ground().doubt(raw)) is not None:
                return printable(found[0]), f"does not hold what it held ({found[1]})"
            folder = before.place.parent
            if before.disk not in (None, disk(folder)):
                return printable(folder), "lies on another disk than before"
            return None

        return doubt

    def _lost(self, lost: Mapping[str, str]) -> list[News]:
        """Folders that cannot be looked at, or whose disk may be away; each is told of once."""
        news: list[News] = [
            Waiting(
                f"{path} {reason}; nothing of it counts as deleted, and it is watched again"
                " when it is back"
            )
            for path, reason in lost.items()
            if path not in self._told
        ]
        self._told, self._was_lost = set(lost), self._was_lost or bool(lost)
        return news


def watch(
    ledger: Ledger, index: Index, wake: Wake, by: str, stop: Callable[[], bool]
) -> Iterator[News]:
    """Index what there is and what comes, until `stop`; never ends by itself.

    `index` runs over some files; `wake` waits so many seconds at most, or until something changed.
    """
    news = ledger.look()
    done = sum(each.done for each in ledger.files.values())
    yield Watching(tuple(map(printable, ledger.roots)), len(ledger.files), done, by)
    yield from news
    pause = _PAUSE_S
    while not stop():
        batch = list(islice((f for f in ledger.ready() if is_there(f.place)), BATCH))
        try:
            if batch:
                yield from _run(index, batch)
                ledger.finish(batch)
                pause = _PAUSE_S
            else:
                wake(ledger.due_s())
        except (ArchiveBusy, ArchiveUnavailable) as error:
            yield Waiting(f"{error} It is tried again in {pause:.0f} seconds.")
            _sleep(pause, stop)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        if not stop():
            yield from ledger.look()


def _run(index: Index, batch: Sequence[_File]) -> Iterator[News]:
    for event in index([each.place for each in batch]):
        if isinstance(event, (Indexed, Failed)):
            yield event


def known_of(videos: Iterable[Video]) -> dict[bytes, tuple[int, float]]:
    """The files that the archive knows as they are, those that failed too, by path."""
    return {path: (each.size, each.mtime) for each in videos for path in each.paths if each.size}


def _disk(folder: Place) -> int | None:
    """Which file system a folder lies on; None in a store, and where there is none."""
    try:
        return folder.stat().st_dev if isinstance(folder, Path) else None
    except OSError:
        return None


def _inode(stat: Stat) -> tuple[int, int] | None:
    inode = getattr(stat, "st_ino", 0)
    return (stat.st_dev, inode) if isinstance(stat, os.stat_result) and inode else None


def _sleep(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stop() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))


# --- when to look --------------------------------------------------------------------------------


def polling(every_s: float, stop: Callable[[], bool]) -> Wake:
    """Look every so many seconds: where nobody tells of changes, as on most network mounts."""
    return lambda wait_s: _sleep(min(wait_s, every_s), stop)


def told_by_system(roots: Sequence[PathLike], stop: Callable[[], bool]) -> Wake | None:
    """Look when the operating system tells of a change; None where it cannot tell.

    That is where `watchfiles` is not installed, of object stores, and where the system's limit of
    watches is too low.
    """
    if any(is_stored(root) for root in roots):
        return None
    try:
        import watchfiles
    except ImportError:
        return None
    paths = [os.fspath(Path(os.fsdecode(place(root)))) for root in roots]
    changes = watchfiles.watch(
        *paths,
        watch_filter=None,
        debounce=200,
        rust_timeout=200,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        next(changes)  # the first look is what sets it up
    except (OSError, RuntimeError):
        return None

    def wake(wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while time.monotonic() < until and not stop():
            if next(changes, None):
                return

    return wake
