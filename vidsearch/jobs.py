"""What the archive remembers of its runs: when, on what, how far, and what went wrong.

A run that has something to do gets one row in `jobs`, which is written when it begins, about once a
minute while it works, and when it ends, however it ends. A run that was killed cannot say so: its
row stays "running", and whoever looks sees that the writer it names is gone.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from vidsearch.errors import VidsearchError
from vidsearch.indexing import Event, Failed, Indexed, Planned, Tally
from vidsearch.lock import holder
from vidsearch.records import Job

if TYPE_CHECKING:
    from vidsearch.store import Store

EVERY_S = 60.0
"""How often the row of a run is written while it works."""
KEPT = 1000
"""Jobs that are remembered, the latest, and as many older ones that were given other paths."""
PATHS_KEPT = 20
"""Paths that are remembered of a run, which may have been given a list of a hundred thousand."""
RUNNING, DONE, STOPPED, FAILED, KILLED = "running", "done", "stopped", "failed", "killed"


@dataclass(frozen=True)
class Asked:
    """What a run was asked to do, in the words that `jobs` shows: printable paths, and by what."""

    paths: tuple[str, ...]
    by: str


def here(processes: int) -> str:
    """How a run on this machine is told of."""
    return "1 process" if processes == 1 else f"{processes} processes"


def remembered(store: Store, events: Iterator[Event], asked: Asked) -> Iterator[Event]:
    """Pass `events` on and keep the run's row in `store`, which is open for writing."""
    journal = _Journal(store, asked)
    try:
        for event in events:
            journal.add(event)
            yield event
    except (GeneratorExit, KeyboardInterrupt, SystemExit):  # the last is SIGTERM, by Ray's handler
        with suppress(VidsearchError):  # an archive that cannot be written hides no interrupt
            journal.end(STOPPED, "")
        raise
    except BaseException as error:
        with suppress(VidsearchError):  # of an archive that cannot be written: `error` says it
            journal.end(FAILED, " ".join(str(error).split()) or type(error).__name__)
        raise
    journal.end(DONE, "")


class _Journal:
    """The row of one run, and when it was last written."""

    def __init__(self, store: Store, asked: Asked) -> None:
        self._store = store
        self._tally = Tally()
        self._failures: list[tuple[str, str]] = []
        self._written_s: float | None = None  # None: nothing to remember yet
        self._job = Job(
            job_id=uuid.uuid4().hex[:8],
            state=RUNNING,
            started_at=time.time(),
            host=socket.gethostname(),
            pid=os.getpid(),
            paths=_some(asked.paths),
            by=asked.by,
        )

    def add(self, event: Event) -> None:
        self._tally.add(event)
        if isinstance(event, Failed):
            self._failures.append((event.path, event.reason))
        worth = isinstance(event, (Indexed, Failed)) or (
            isinstance(event, Planned) and event.todo > 0
        )
        if self._written_s is None:
            if worth:
                self._write(self._so_far())
        elif not isinstance(event, Planned) and time.monotonic() - self._written_s > EVERY_S:
            self._write(self._so_far())

    def end(self, state: str, error: str) -> None:
        if self._written_s is not None:
            self._write(replace(self._so_far(), state=state, error=error, ended_at=time.time()))

    def _so_far(self) -> Job:
        tally = self._tally
        return replace(
            self._job,
            seen_at=time.time(),
            todo=tally.planned.todo,
            indexed=len(tally.indexed),
            partial=sum(video.status == "partial" for video in tally.indexed),
            failed=len(self._failures),
            shots=tally.shots,
            video_s=tally.video_s(),
            failures=tuple(self._failures),
        )

    def _write(self, job: Job) -> None:
        # Nobody else writes while we do, so a run that still says "running" is no more.
        others = [
            replace(each, state=KILLED) if each.state == RUNNING else each
            for each in self._store.jobs()
            if each.job_id != job.job_id
        ]
        self._store.put_jobs(_latest([*others, job]))
        self._written_s = time.monotonic()


def _latest(jobs: Sequence[Job]) -> list[Job]:
    """The jobs to remember: a folder that was indexed once, before thousands of others, is one."""
    recent = jobs[-KEPT:]
    told = {job.paths for job in recent}
    older = {job.paths: job for job in jobs[:-KEPT] if job.paths not in told}
    return [*list(older.values())[-KEPT:], *recent]


def _some(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The first of them, folders before what has a suffix, and how many more there were."""
    more = len(paths) - PATHS_KEPT
    if more <= 0:
        return paths
    return (
        *sorted(paths, key=lambda path: PurePath(path).suffix != "")[:PATHS_KEPT],
        f"and {more} more",
    )


def listed(store: Store) -> list[Job]:
    """Every job that is remembered, the latest first, each with the state that it is really in."""
    now = holder(store.folder)

    def alive(job: Job) -> bool:
        return (now.get("pid"), now.get("host")) == (job.pid, job.host) and not _is_gone(job)

    jobs = [
        replace(job, state=KILLED) if job.state == RUNNING and not alive(job) else job
        for job in store.jobs()
    ]
    return jobs[::-1]


def find(jobs: Sequence[Job], name: str) -> Job:
    """The job whose id begins so, or the "last" one; raises VidsearchError for none or several."""
    found = list(jobs[:1]) if name == "last" else [j for j in jobs if j.job_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} jobs have an id that begins with" if found else "no job is called"
    raise VidsearchError(f"{many} {name}; see: vidsearch jobs list")


def _is_gone(job: Job) -> bool:
    """Whether the process of a job has ended, as far as this machine can know."""
    if job.host != socket.gethostname():
        return False
    try:
        os.kill(job.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is somebody else's, so there is one
    return False
