"""Bring an archive up to date with a set of files: what is left to do, doing it, publishing it.

The three steps are apart so that a cluster can take over the second (see `vidsearch.tasks`); only
the process that runs `index` writes.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import find_videos, fingerprint, os_reason, printable
from vidsearch.records import Video
from vidsearch.tasks import Analyst, Analyzed, Progress, Recipe, Task, Unreadable

if TYPE_CHECKING:
    from vidsearch.store import Store

PathLike = str | bytes | Path

# Small videos are published in groups: one commit for many rows keeps the tables compact.
GROUP_VIDEOS = 8
GROUP_SECONDS = 10.0


@dataclass(frozen=True)
class Planned:
    """The first event of a run: what was found and what is left to do."""

    todo: int
    bytes_todo: int
    unchanged: int
    moved: int
    hidden: int
    other: int


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


Event = Planned | Progress | Indexed | Failed


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


class Tally:
    """What a run has done so far, gathered from its events."""

    def __init__(self) -> None:
        self.planned = Planned(0, 0, 0, 0, 0, 0)
        self.indexed: list[Video] = []
        self.failed: list[Failed] = []
        self.open: dict[str, Progress] = {}
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
        done = sum(video.duration_s for video in self.indexed)
        return self.frames / spent, (done + sum(p.seconds for p in self.open.values())) / spent

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
) -> Iterator[Event]:
    """Index the videos below `paths` into `store`, which must be open for writing.

    Yields one `Planned`, then `Progress`, `Indexed` and `Failed` as they happen. A bad file is
    recorded in the archive and the run goes on. Whatever was yielded as `Indexed` is on disk.
    """
    work = plan(store, paths, force=force)
    yield work.planned
    for bad in work.failed:
        yield from _record_failure(store, bad)
    group: list[Analyzed] = []
    since = time.monotonic()
    for news in analyst(work.tasks, recipe):
        if isinstance(news, Progress):
            yield news
        elif isinstance(news, Unreadable):
            yield from _record_failure(store, news)
        else:
            group.append(news)
        if group and (len(group) >= GROUP_VIDEOS or time.monotonic() - since > GROUP_SECONDS):
            yield from _publish(store, group)
            group, since = [], time.monotonic()
    yield from _publish(store, group)
    if work.tasks:
        store.optimize()


def plan(store: Store, paths: Sequence[PathLike], *, force: bool = False) -> Plan:
    """Compare the files below `paths` with the archive; note renamed and moved ones there.

    A file whose path, size and time of change are known is not read at all. Others are known
    again by content (`fingerprint`): their rows stay and the new path is noted. Files that
    failed before are tried again.
    """
    found = find_videos(paths)
    videos = {video.video_id: video for video in store.videos()}
    holders: dict[bytes, set[str]] = {}
    for video in videos.values():
        for name in video.paths:
            holders.setdefault(name, set()).add(video.video_id)
    tasks: dict[str, Task] = {}
    failed = [Unreadable(_unknown(path), reason) for path, reason in found.missing]
    unchanged = moved = 0
    for path in found.files:
        raw = os.fsencode(path)
        held = holders.get(raw, set())
        try:
            stat = path.stat()
            same = next((i for i in held if _untouched(videos[i], stat)), None)
            if not force and same is not None:
                _release(store, (raw,), held - {same})
                unchanged += 1
                continue
            video_id = fingerprint(path)
        except UnreadableVideo as error:
            failed.append(Unreadable(_unknown(raw), error.reason))
            continue
        except OSError as error:
            failed.append(Unreadable(_unknown(raw), os_reason(error)))
            continue
        task = Task((raw,), video_id, stat.st_size, stat.st_mtime, frozenset(held - {video_id}))
        twin = videos.get(video_id)
        if video_id in tasks:  # a byte-identical copy of a file of this run
            tasks[video_id] = _with_copy(tasks[video_id], task)
        elif force or twin is None or twin.status == "failed":
            tasks[video_id] = task
        else:
            unchanged += raw in twin.paths  # touched, not changed
            moved += raw not in twin.paths
            videos[video_id] = _note_path(store, twin, task)
    planned = Planned(
        todo=len(tasks),
        bytes_todo=sum(task.size for task in tasks.values()),
        unchanged=unchanged,
        moved=moved,
        hidden=found.n_hidden,
        other=found.n_other,
    )
    return Plan(planned, tuple(tasks.values()), tuple(failed))


def _untouched(video: Video, stat: os.stat_result) -> bool:
    return video.status != "failed" and video.size == stat.st_size and video.mtime == stat.st_mtime


def _with_copy(first: Task, copy: Task) -> Task:
    return replace(
        first, paths=(*first.paths, *copy.paths), replaces=first.replaces | copy.replaces
    )


def _note_path(store: Store, video: Video, task: Task) -> Video:
    """A known video was seen at `task`'s path: paths that are gone go, this one comes first."""
    alive = tuple(path for path in video.paths if path != task.paths[0] and os.path.exists(path))
    noted = replace(video, paths=(*task.paths, *alive), mtime=task.mtime)
    store.update_video(noted)
    _release(store, task.paths, task.replaces)
    return noted


def _unknown(path: str | bytes | Path) -> Task:
    """The record of a path that has no content to be known by."""
    raw = os.fsencode(path)
    return Task((raw,), "path-" + hashlib.blake2b(raw, digest_size=12).hexdigest(), 0, 0.0)


def _record_failure(store: Store, bad: Unreadable) -> Iterator[Failed]:
    """One row for a content that cannot be read; each of its copies is told."""
    video = bad.task.video(status="failed", error=bad.reason)
    store.record_failure(video)
    _release(store, bad.task.paths, bad.task.replaces)
    for path in bad.task.paths:
        size = bad.task.size if path == bad.task.paths[0] else 0
        yield Failed(video.video_id, printable(os.fsdecode(path)), bad.reason, size)


def _publish(store: Store, group: Sequence[Analyzed]) -> Iterator[Indexed]:
    if not group:
        return
    store.publish_many([news.result for news in group])
    for news in group:
        _release(store, news.task.paths, news.task.replaces)
        yield Indexed(news.result.video, news.seconds)


def _release(store: Store, paths: Sequence[bytes], holders: Iterable[str]) -> None:
    """Take `paths` from the videos that held them; a video without a path goes."""
    for video_id in holders:
        before = store.find(video_id)
        if before is None:
            continue
        rest = tuple(path for path in before.paths if path not in paths)
        if rest:
            store.update_video(replace(before, paths=rest))
        else:
            store.remove_video(video_id)
