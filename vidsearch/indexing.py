"""Bring an archive up to date with a set of files: what is left to do, doing it, publishing it.

The three steps are apart so that a cluster can take over the second (see `vidsearch.tasks`); only
the process that runs `index` writes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidsearch.copies import release
from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import Found, PathLike, find_videos, fingerprint, os_reason, printable
from vidsearch.records import Video
from vidsearch.tasks import (
    QUARANTINE,
    Analyst,
    Analyzed,
    Load,
    Progress,
    Recipe,
    Task,
    Unreadable,
)
from vidsearch.urls import Place, Stat, is_there, stat_of

if TYPE_CHECKING:
    from vidsearch.store import Store

log = logging.getLogger(__name__)

# Small videos are published in groups: one commit for many rows keeps the tables compact.
GROUP_VIDEOS = 8
GROUP_SECONDS = 10.0


@dataclass(frozen=True)
class Planned:
    """The first event of a run: what was found and what is left to do.

    `notes` are sentences on what was asked for and is not done.
    """

    todo: int
    bytes_todo: int
    unchanged: int
    moved: int
    hidden: int
    other: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Indexed:
    """A file's rows are published; `seconds` is the time the analysis took."""

    video: Video
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A file that could not be indexed, and why, in one line; `size` is 0 for further copies."""

    video_id: str
    path: str
    reason: str
    size: int = 0


Event = Planned | Progress | Load | Indexed | Failed


@dataclass(frozen=True, eq=False)
class IndexReport:
    """What a run did. `partial` are videos of which only the beginning could be read."""

    planned: Planned
    indexed: tuple[Video, ...]
    failed: tuple[Failed, ...]
    seconds: float

    @property
    def partial(self) -> tuple[Video, ...]:
        """Videos of which a part could not be read; `error` says which."""
        return tuple(video for video in self.indexed if video.status == "partial")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run has to do, from the store and the file system alone."""

    planned: Planned
    tasks: tuple[Task, ...]
    failed: tuple[Unreadable, ...]
    unmatched: tuple[Failed, ...]  # globs that match nothing: told, not recorded


class Tally:
    """What a run has done so far, gathered from its events."""

    def __init__(self) -> None:
        self.planned = Planned(0, 0, 0, 0, 0, 0)
        self.indexed: list[Video] = []
        self.failed: list[Failed] = []
        self.open: dict[str, Progress] = {}
        self.load: Load | None = None
        self.shots = 0
        self.frames = 0
        self.created = self.began = time.monotonic()

    @classmethod
    def of(cls, events: Iterable[Event]) -> Tally:
        """Run `events` to their end."""
        tally = cls()
        for event in events:
            tally.add(event)
        return tally

    def add(self, event: Event) -> None:
        if isinstance(event, Planned):
            self.planned, self.began = event, time.monotonic()
        elif isinstance(event, Progress):
            before = self.open.get(event.video_id)
            self.frames += event.frames - (before.frames if before else 0)
            self.open[event.video_id] = event
        elif isinstance(event, Load):
            self.load = event
        elif isinstance(event, Indexed):
            before = self.open.pop(event.video.video_id, None)
            self.frames += event.video.n_frames - (before.frames if before else 0)
            self.shots += event.video.n_shots
            self.indexed.append(event.video)
        else:
            self.open.pop(event.video_id, None)
            self.failed.append(event)

    def rates(self) -> tuple[float, float]:
        """Frames a second, and seconds of video a second, since the work began."""
        spent = max(time.monotonic() - self.began, 1e-3)
        return self.frames / spent, self.video_s() / spent

    def video_s(self) -> float:
        """Seconds of video that were analysed, those of files in work too."""
        done = sum(video.duration_s for video in self.indexed)
        return done + sum(file.seconds for file in self.open.values())

    def share(self) -> float:
        """How much of the run is done, 0 to 1, by bytes.

        A file in work counts by the share of it that is decoded, one that failed not at all.
        """
        done = float(sum(video.size for video in self.indexed))
        for file in self.open.values():
            if file.duration_s:
                done += file.size * min(file.seconds / file.duration_s, 1.0)
        todo = self.planned.bytes_todo - sum(bad.size for bad in self.failed)
        return min(done / todo, 1.0) if todo > 0 else 0.0

    def left_s(self) -> float | None:
        """Seconds until the end at the speed so far; None before there is a speed."""
        share = self.share()
        return (time.monotonic() - self.began) * (1 / share - 1) if share else None

    def report(self) -> IndexReport:
        """What was done, and how long it has taken."""
        seconds = time.monotonic() - self.created
        return IndexReport(self.planned, tuple(self.indexed), tuple(self.failed), seconds)


def index(
    store: Store,
    paths: Sequence[PathLike],
    recipe: Recipe,
    analyst: Analyst,
    *,
    force: bool = False,
    split_with: str = "",
    retry: bool = False,
) -> Iterator[Event]:
    """Index the videos below `paths` into `store`, which must be open for writing.

    Yields one `Planned`, then `Progress`, `Indexed` and `Failed` as they happen. A bad file is
    recorded in the archive and the run goes on. Whatever was yielded as `Indexed` is on disk.
    `split_with` is the detector that was asked for, "" if any is welcome. Files in quarantine are
    passed over unless `retry` or `force`.
    """
    work = plan(store, paths, split_with=split_with, force=force, retry=retry)
    yield work.planned
    yield from work.unmatched
    for bad in work.failed:
        yield from _record_failure(store, bad)
    group: list[Analyzed] = []
    since = time.monotonic()
    for news in analyst(work.tasks, recipe):
        if isinstance(news, (Progress, Load)):
            yield news
        elif isinstance(news, Unreadable):
            if news.trace:
                log.debug("%s: %s", printable(news.task.path), news.trace)
            yield from _record_failure(store, news)
        else:
            group.append(news)
        if group and (len(group) >= GROUP_VIDEOS or time.monotonic() - since > GROUP_SECONDS):
            yield from _publish(store, group)
            group, since = [], time.monotonic()
    yield from _publish(store, group)
    if work.tasks:
        store.optimize()


def nothing_found(found: Found) -> Iterator[Event]:
    """The events of a run that met no file at all, for which no archive need be made."""
    yield Planned(0, 0, 0, 0, found.n_hidden, found.n_other)
    for path, reason in found.missing:
        task = _unknown(path)
        yield Failed(task.video_id, printable(path), reason)
    yield from _unmatched(found)


def _unmatched(found: Found) -> Iterator[Failed]:
    for glob in found.unmatched:
        yield Failed("", printable(glob), "matches no file")


def plan(
    store: Store,
    paths: Sequence[PathLike],
    *,
    split_with: str = "",
    force: bool = False,
    retry: bool = False,
) -> Plan:
    """Compare the files below `paths` with the archive; note renamed and moved ones there.

    A file whose path, size and time of change are known is not read at all. Others are known
    again by content (`fingerprint`): their rows stay and the new path is noted. Files that failed
    before are tried again, those in quarantine only with `retry` or `force`. Videos that stay
    although another detector than `split_with` found their shots are told in `Planned.notes`.
    """
    found = find_videos(paths)
    comparison = _Comparison(store, force, retry)
    for path in found.files:
        try:
            comparison.add(path)
        except UnreadableVideo as error:
            comparison.failed.append(Unreadable(_unknown(path), error.reason))
        except OSError as error:
            comparison.failed.append(Unreadable(_unknown(path), os_reason(error)))
    tasks = tuple(comparison.tasks.values())
    planned = Planned(
        todo=len(tasks),
        bytes_todo=sum(task.size for task in tasks),
        unchanged=comparison.unchanged,
        moved=comparison.moved,
        hidden=found.n_hidden,
        other=found.n_other,
        notes=(
            *_split_otherwise(comparison.kept.values(), split_with),
            *_in_quarantine(len(comparison.quarantined)),
        ),
    )
    missing = [Unreadable(_unknown(path), reason) for path, reason in found.missing]
    return Plan(planned, tasks, (*missing, *comparison.failed), tuple(_unmatched(found)))


class _Comparison:
    """The state of one `plan`: what to do with the files looked at so far."""

    def __init__(self, store: Store, force: bool, retry: bool) -> None:
        self.tasks: dict[str, Task] = {}
        self.quarantined: set[str] = set()
        self.failed: list[Unreadable] = []
        self.kept: dict[str, Video] = {}
        self.unchanged = self.moved = 0
        self._store = store
        self._force = force
        self._retry = retry or force
        self._videos = {video.video_id: video for video in store.videos()}
        self._holders: dict[bytes, set[str]] = {}
        for video in self._videos.values():
            for path in video.paths:
                self._holders.setdefault(path, set()).add(video.video_id)

    def add(self, path: Place) -> None:
        """Decide on one file. Raises OSError and UnreadableVideo."""
        raw = os.fsencode(path)
        held = self._holders.get(raw, set())
        stat = stat_of(path)
        same = next((i for i in held if _untouched(self._videos[i], stat)), None)
        if same is not None and not self._force:
            release(self._store, (raw,), held - {same})
            self.unchanged += 1
            self.kept[same] = self._videos[same]
            return
        video_id = fingerprint(path)
        others = frozenset(held - {video_id})
        task = Task((raw,), video_id, stat.st_size, stat.st_mtime, others)
        twin = self._videos.get(video_id)
        if video_id in self.tasks:  # a byte-identical copy of a file of this run
            self.tasks[video_id] = _with_copy(self.tasks[video_id], task)
        elif twin is not None and is_quarantined(twin) and not self._retry:
            self.quarantined.add(video_id)
        elif self._force or twin is None or twin.status == "failed":
            self.tasks[video_id] = task
        else:
            self.unchanged += raw in twin.paths  # touched, not changed
            self.moved += raw not in twin.paths
            self._videos[video_id] = self.kept[video_id] = _note_path(self._store, twin, task)


def _split_otherwise(kept: Iterable[Video], split_with: str) -> tuple[str, ...]:
    """A sentence for each other detector that videos were split with; "" asks for none."""
    others = Counter(v.detector for v in kept if v.detector and v.detector != split_with)
    return tuple(
        f"{n} {'video was' if n == 1 else 'videos were'} split with {detector};"
        f" --force indexes {'it' if n == 1 else 'them'} again"
        for detector, n in (sorted(others.items()) if split_with else ())
    )


def is_quarantined(video: Video) -> bool:
    """Whether a file crashed, hung or overwhelmed what tried to read it, again and again."""
    return video.status == "failed" and video.error.startswith(QUARANTINE)


def _in_quarantine(n: int) -> tuple[str, ...]:
    """A sentence on the files that are not tried again."""
    if not n:
        return ()
    files = "file is" if n == 1 else "files are"
    return (
        f"{n} {files} in quarantine (see: vidsearch videos --failed) and not tried again, except"
        " by: vidsearch jobs retry-failed",
    )


def _untouched(video: Video, stat: Stat) -> bool:
    return video.status != "failed" and video.size == stat.st_size and video.mtime == stat.st_mtime


def _with_copy(first: Task, copy: Task) -> Task:
    return replace(
        first, paths=(*first.paths, *copy.paths), replaces=first.replaces | copy.replaces
    )


def _note_path(store: Store, video: Video, task: Task) -> Video:
    """A known video was seen at `task`'s path: paths that are gone go, this one comes first."""
    alive = tuple(path for path in video.paths if path != task.paths[0] and is_there(path))
    noted = replace(video, paths=(*task.paths, *alive), mtime=task.mtime)
    store.update_video(noted)
    release(store, task.paths, task.replaces)
    return noted


def _unknown(path: PathLike) -> Task:
    """The record of a path that has no content to be known by."""
    raw = os.fsencode(path)
    return Task((raw,), "path-" + hashlib.blake2b(raw, digest_size=12).hexdigest(), 0, 0.0)


def _record_failure(store: Store, bad: Unreadable) -> Iterator[Failed]:
    """One row for a content that cannot be read; each of its copies is told."""
    video = bad.task.video(status="failed", error=bad.reason)
    store.record_failure(video)
    release(store, bad.task.paths, bad.task.replaces)
    for path in bad.task.paths:
        size = bad.task.size if path == bad.task.paths[0] else 0
        yield Failed(video.video_id, printable(os.fsdecode(path)), bad.reason, size)


def _publish(store: Store, group: Sequence[Analyzed]) -> Iterator[Indexed]:
    if not group:
        return
    store.publish_many([news.result for news in group])
    for news in group:
        release(store, news.task.paths, news.task.replaces)
        yield Indexed(news.result.video, news.seconds)
