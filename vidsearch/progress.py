"""The progress of an index run on stderr: live bars, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)

from vidsearch.indexing import Event, Failed, Indexed, IndexReport, Planned, Tally
from vidsearch.inputs import printable
from vidsearch.tasks import Progress

if TYPE_CHECKING:
    from vidsearch.records import Video

PLAIN_EVERY_S = 10.0
"""How often plain progress lines are written."""


def show(events: Iterable[Event], *, quiet: bool = False, verbose: bool = False) -> IndexReport:
    """Run `events` to their end, telling stderr about them; return the report.

    `quiet` tells of failures only, `verbose` adds a line for each video.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    tally = Tally()
    with _display(console, live=console.is_terminal and not quiet) as display:
        for event in events:
            tally.add(event)
            if isinstance(event, Failed):
                console.print(f"[red]failed[/red]  {escape(event.path)}: {escape(event.reason)}")
            elif isinstance(event, Indexed) and (verbose or event.video.status == "partial"):
                console.print(_line(event))
            if not quiet:
                display.tell(event, tally)
    report = tally.report()
    if not quiet:
        console.print(summary(report))
    return report


def summary(report: IndexReport) -> str:
    """One line on what a run did."""
    planned, n = report.planned, len(report.indexed)
    shots = sum(video.n_shots for video in report.indexed)
    seconds = sum(video.duration_s for video in report.indexed)
    said = []
    if n:
        speed = seconds / report.seconds if report.seconds else 0.0
        said.append(
            f"indexed {_count(n, 'video')}, {_count(shots, 'shot')}, {clock(seconds)} of video "
            f"in {clock(report.seconds)} ({speed:.1f}x real time)"
        )
    elif not report.failed:
        said.append("nothing to do")
    if planned.unchanged:
        said.append(f"{planned.unchanged} unchanged")
    if planned.moved:
        said.append(f"{planned.moved} renamed, moved or copied")
    if report.partial:
        said.append(f"{len(report.partial)} of them only in part")
    if report.failed:
        said.append(f"{len(report.failed)} failed")
    if planned.hidden or planned.other:
        said.append(f"skipped {planned.hidden} hidden and {planned.other} other files")
    return "; ".join(said)


def clock(seconds: float) -> str:
    """Seconds as a person says them: 4.2 s, 3:05 min, 2:03:05 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _line(event: Indexed) -> str:
    video: Video = event.video
    speed = f"{video.duration_s / event.seconds:.1f}x" if event.seconds else ""
    line = (
        f"[green]{video.status}[/green] {escape(printable(video.path))}: "
        f"{_count(video.n_shots, 'shot')}, {clock(video.duration_s)}, {speed}"
    )
    return f"{line}; [yellow]{escape(video.error)}[/yellow]" if video.error else line


class _Plain:
    """Lines for a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = 0.0

    def tell(self, event: Event, tally: Tally) -> None:
        if isinstance(event, Planned) and event.todo:
            self._console.print(f"{_count(event.todo, 'video')} to index")
        now = time.monotonic()
        if isinstance(event, Progress | Indexed) and now - self._last >= PLAIN_EVERY_S:
            self._last = now
            fps, speed = tally.rates()
            self._console.print(
                f"{len(tally.indexed)} of {tally.planned.todo} videos, "
                f"{fps:.0f} frames/s, {speed:.1f}x real time, {len(tally.failed)} failed"
            )


class _Live:
    """A bar for the run and one for each file in work."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._all: TaskID | None = None
        self._files: dict[str, TaskID] = {}

    def tell(self, event: Event, tally: Tally) -> None:
        if isinstance(event, Planned):
            if event.todo:
                self._all = self._bars.add_task("videos", total=event.todo, told="")
        elif isinstance(event, Progress):
            self._advance(event)
        elif isinstance(event, Indexed):
            self._close(event.video.video_id)
        else:
            self._close(event.video_id)
        if self._all is not None:
            fps, speed = tally.rates()
            done = len(tally.indexed) + len(tally.failed)
            told = f"{fps:.0f} frames/s  {speed:.1f}x  {tally.shots} shots"
            if tally.failed:
                told += f"  [red]{len(tally.failed)} failed[/red]"
            self._bars.update(self._all, completed=min(done, tally.planned.todo), told=told)

    def _advance(self, event: Progress) -> None:
        if event.video_id not in self._files:
            name = escape(PurePath(event.path).name[-40:])
            self._files[event.video_id] = self._bars.add_task(name, total=None, told="")
        self._bars.update(
            self._files[event.video_id],
            total=event.duration_s or None,
            completed=min(event.seconds, event.duration_s or event.seconds),
            told=f"{clock(event.seconds)} of {clock(event.duration_s)}  {event.shots} shots",
        )

    def _close(self, video_id: str) -> None:
        bar = self._files.pop(video_id, None)
        if bar is not None:
            self._bars.remove_task(bar)


@contextmanager
def _display(console: Console, *, live: bool) -> Iterator[_Live | _Plain]:
    if not live:
        yield _Plain(console)
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bars:
        yield _Live(bars)
