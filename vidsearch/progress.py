"""The progress of an index run on stderr: live bars, or plain lines where there is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from vidsearch.indexing import Event, Failed, Indexed, IndexReport, Planned, Tally
from vidsearch.inputs import printable
from vidsearch.present import counted
from vidsearch.tasks import Progress

if TYPE_CHECKING:
    from vidsearch.records import Video

PLAIN_EVERY_S = 10.0
"""How often plain progress lines are written."""
SHOWN = 8
"""Files in work that are shown: a cluster has more of them than a terminal has lines."""


def show(events: Iterable[Event], *, quiet: bool = False, verbose: bool = False) -> IndexReport:
    """Run `events` to their end, telling stderr about them; return the report.

    `quiet` tells of failures only, `verbose` adds a line for each video.
    """
    return tell(events, _Stderr(stderr=True, highlight=False), quiet=quiet, verbose=verbose)


class _Stderr(Console):
    """A run goes on when nobody reads what it says any more, as `2>&1 | head` does."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)


def tell(
    events: Iterable[Event], console: Console, *, quiet: bool = False, verbose: bool = False
) -> IndexReport:
    """As `show`, on any console: live where it is a terminal."""
    tally = Tally()
    with _display(console, quiet=quiet) as display:
        for event in events:
            tally.add(event)
            # A path is never folded, so that it can be copied; the terminal wraps it.
            if isinstance(event, Failed):
                said = f"[red]failed[/red]  {escape(event.path)}: {escape(event.reason)}"
                console.print(said, soft_wrap=True)
            elif isinstance(event, Indexed) and (verbose or event.video.status == "partial"):
                console.print(_line(event), soft_wrap=True)
            elif isinstance(event, Planned) and not quiet:
                for note in event.notes:
                    console.print(escape(note), soft_wrap=True)
            display(event, tally)
    report = tally.report()
    if not quiet:
        console.print(summary(report), soft_wrap=not console.is_terminal)
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
            f"indexed {counted(n, 'video')}, {counted(shots, 'shot')}, {clock(seconds)} of video "
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
    """Seconds as a person says them: 4.2 s, 55 s, 3:05 min, 2:03:05 h."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def _line(event: Indexed) -> str:
    video: Video = event.video
    speed = f"{video.duration_s / event.seconds:.1f}x" if event.seconds else ""
    line = (
        f"[green]{video.status}[/green] {escape(printable(video.path))}: "
        f"{counted(video.n_shots, 'shot')}, {clock(video.duration_s)}, {speed}"
    )
    return f"{line}; [yellow]{escape(video.error)}[/yellow]" if video.error else line


def state(tally: Tally) -> str:
    """One line on how far a run has come."""
    fps, speed = tally.rates()
    shots = tally.shots + sum(file.shots for file in tally.open.values())
    said = [
        f"{len(tally.indexed)} of {counted(tally.planned.todo, 'video')}",
        f"{counted(shots, 'shot')} in {clock(tally.video_s())}",
        f"{fps:.0f} fps",
        f"{speed:.1f}x real time",
    ]
    left = tally.left_s()
    if left is not None:
        said.append(f"{clock(left)} left")
    if tally.load is not None:
        said.append(counted(tally.load.workers, "worker"))
        if tally.load.gpu is not None:
            said.append(f"GPU {tally.load.gpu:.0%} busy")
    if tally.failed:
        said.append(f"{len(tally.failed)} failed")
    return ", ".join(said)


def _share(file: Progress) -> str:
    """How much of a file is done; its length is not always known."""
    return f"{clock(file.seconds)} of {clock(file.duration_s) if file.duration_s else '?'}"


Display = Callable[[Event, Tally], None]


@contextmanager
def _display(console: Console, *, quiet: bool) -> Iterator[Display]:
    if quiet:
        yield lambda event, tally: None
    elif console.is_terminal:
        with _Live(console) as live:
            yield live.tell
    else:
        yield _Plain(console).tell


class _Plain:
    """Lines for a log: the state of the run and the files in work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def tell(self, event: Event, tally: Tally) -> None:
        if isinstance(event, Planned) and event.todo:
            self._console.print(f"{counted(event.todo, 'video')} to index", soft_wrap=True)
        now = time.monotonic()
        if now - self._last >= PLAIN_EVERY_S:
            self._last = now
            named = list(tally.open.values())[:SHOWN]
            files = [f"{PurePath(f.path).name} ({_share(f)})" for f in named]
            if more := len(tally.open) - len(named):
                files.append(f"and {more} more")
            line = "; ".join([state(tally), *files])
            self._console.print(line, markup=False, soft_wrap=True)


class _Live:
    """A bar for each file in work, one for the run, and its state below them."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[told]}", table_column=Column(no_wrap=True)),
        )
        self._state = ""
        self._all: TaskID | None = None
        self._files: dict[str, TaskID] = {}
        self._live = Live(console=console, get_renderable=self._shown, transient=True)

    def __enter__(self) -> _Live:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _shown(self) -> RenderableType:
        return Group(self._bars, Text(self._state)) if self._state else Text()

    def tell(self, event: Event, tally: Tally) -> None:
        if isinstance(event, Planned):
            if event.todo:
                self._all = self._bars.add_task("all", total=1.0, told="")
        elif isinstance(event, Progress):
            self._advance(event)
        elif isinstance(event, Indexed):
            self._close(event.video.video_id)
        elif isinstance(event, Failed):
            self._close(event.video_id)
        if self._all is not None:
            self._state = state(tally)
            share = tally.share()
            self._bars.update(self._all, completed=share, told=f"{share:.0%}")

    def _advance(self, event: Progress) -> None:
        if event.video_id not in self._files:
            if len(self._files) >= SHOWN:
                return  # it gets a bar when another file is done
            name = PurePath(event.path).name
            name = name if len(name) <= 36 else f"…{name[-35:]}"
            self._files[event.video_id] = self._bars.add_task(escape(name), total=None, told="")
        self._bars.update(
            self._files[event.video_id],
            total=event.duration_s or None,
            completed=min(event.seconds, event.duration_s or event.seconds),
            told=_share(event),
        )

    def _close(self, video_id: str) -> None:
        bar = self._files.pop(video_id, None)
        if bar is not None:
            self._bars.remove_task(bar)
