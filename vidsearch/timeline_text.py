"""Timelines in the terminal, as bars, and for programs, as JSON.

One row a person, as wide as the video is long; a cell shows how probable it is that the person is
on screen in it, by how dense it is, so that no colour is needed. Below them the shots alternate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from vidsearch.appearances import Appearance
from vidsearch.inputs import printable
from vidsearch.present import counted
from vidsearch.records import Video
from vidsearch.timecodes import timecode
from vidsearch.timeline import Stranger, Timeline

# Density by probability, from the first that is reached; shots; and what is certain to print.
_DENSITY = ((0.9, "█"), (0.7, "▓"), (0.5, "▒"), (0.0, "░"))
_SHOTS, _FACES, _MARK = "▀▄", "▪", "╵"
_PLAIN = str.maketrans(
    {"█": "#", "▓": "=", "▒": "-", "░": ".", "▀": "~", "▄": "_", "▪": "o"} | {"╵": "'"}
)
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
"""Seconds that marks of time may stand apart."""
_NAMES, _SECONDS, _GAP = 26, 9, 2  # columns: the longest name shown whole, the seconds at the end
_MOST_TIMES = 12  # appearances whose times are printed below a bar

Span = Appearance | Stranger


def print_timeline(
    timeline: Timeline, since_s: float, until_s: float, console: Console | None = None
) -> None:
    """The bars of a video from `since_s` to `until_s`."""
    console = console or Console(highlight=False)
    people = _by_person(timeline.between(since_s, until_s))
    strangers = [each for each in timeline.strangers if _meets(each, since_s, until_s)]
    axis = _Axis(console, since_s, until_s, [*people, "unknown faces"])
    title = f"{_shown(timeline.video.path)}  {timecode(since_s)} to {timecode(until_s)}"
    _print(console, title)
    _print(console, "")
    for line in axis.ruler():
        _print(console, line)
    for name, spans in people.items():
        _print(console, axis.row(name, axis.density(spans), _seconds(spans)))
    if strangers:
        _print(console, axis.row("unknown faces", axis.marked(strangers), ""))
    shots = [shot for shot in timeline.shots if shot.start_s < until_s and shot.end_s > since_s]
    bounds = np.array([shot.start_s for shot in shots])
    inside = np.searchsorted(bounds, axis.middles, "right") - 1
    _print(console, axis.row("shots", "".join(_SHOTS[n % 2] for n in inside), str(len(shots))))
    if not people:
        _print(console, "")
        _print(console, "Nobody enrolled is on screen.")
    _legend(console, [each.probability for spans in people.values() for each in spans])


def print_person(
    name: str,
    appearances: Sequence[Appearance],
    videos: Sequence[Video],
    console: Console | None = None,
) -> None:
    """The bars of one person, a row for each of `videos` that shows them, with the times below."""
    console = console or Console(highlight=False)
    lengths = {video.video_id: video.duration_s for video in videos}
    by_video: dict[str, list[Appearance]] = {}
    for each in appearances:
        by_video.setdefault(each.video_id, []).append(each)
    shown = {key: _shown(spans[0].video) for key, spans in by_video.items()}
    total = sum(each.seconds for each in appearances)
    _print(
        console,
        f"{name}  {total:.1f} s in {len(by_video)} of {counted(len(videos), 'video')},"
        f" {counted(len(appearances), 'appearance')}",
    )
    for key, spans in by_video.items():
        end_s = max(lengths.get(key, 0.0), spans[-1].end_s)
        axis = _Axis(console, 0.0, end_s, list(shown.values()))
        _print(console, "")
        _print(console, axis.row(shown[key], axis.density(spans, "·"), _seconds(spans)))
        for line in _times(spans, end_s, axis):
            _print(console, line)
    _legend(console, [each.probability for each in appearances])


class _Axis:
    """Where the time from `since_s` to `until_s` lies in the columns of a console."""

    def __init__(
        self, console: Console, since_s: float, until_s: float, names: Sequence[str]
    ) -> None:
        self.names = min(_NAMES, max(map(cell_len, names)))
        self.width = max(10, console.width - self.names - _SECONDS - 2 * _GAP)
        self.since_s, self.until_s = since_s, until_s
        edges = np.linspace(since_s, until_s, self.width + 1)
        self.starts, self.ends = edges[:-1], edges[1:]
        self.middles = (self.starts + self.ends) / 2

    def row(self, name: str, cells: str, end: str) -> str:
        """A name, its cells, and what stands at their end."""
        if cell_len(name) > self.names:
            name = set_cell_size(name, self.names - 1).rstrip() + "…"
        name = set_cell_size(name, self.names)
        return f"{name}{' ' * _GAP}{cells}{' ' * _GAP}{end:>{_SECONDS}}".rstrip()

    def density(self, spans: Sequence[Appearance], empty: str = " ") -> str:
        """Each cell as dense as the highest probability of an appearance that reaches into it."""
        best = np.zeros(self.width)
        for span in spans:
            best[self._cells(span)] = np.maximum(best[self._cells(span)], span.probability)
        return "".join(_density(p) if p else empty for p in best)

    def marked(self, spans: Sequence[Stranger]) -> str:
        """A mark in each cell that one of the faces reaches into."""
        seen = np.zeros(self.width, bool)
        for span in spans:
            seen[self._cells(span)] = True
        return "".join(_FACES if cell else " " for cell in seen)

    def _cells(self, span: Span) -> slice:
        """The cells whose middle lies in a span; one at least, or a short one would be lost."""
        first = int(np.searchsorted(self.middles, span.start_s - 1e-9))
        last = int(np.searchsorted(self.middles, span.end_s - 1e-9))
        if last <= first:
            first = int(np.searchsorted(self.ends, span.start_s, "right"))
            first = min(first, self.width - 1)
        return slice(first, max(last, first + 1))

    def ruler(self) -> Iterator[str]:
        """Two lines: time codes, and where they stand."""
        step_s = self._step()
        codes, marks = [" "] * self.width, [" "] * self.width
        free = 0
        for number in range(int(np.ceil(self.since_s / step_s - 1e-9)), 10_000_000):
            time_s = number * step_s
            at = int((time_s - self.since_s) / (self.until_s - self.since_s) * self.width + 1e-9)
            code = _short(time_s, step_s, self.until_s)
            if at >= self.width:
                break
            marks[at] = _MARK
            if at >= free and at + len(code) <= self.width:
                codes[at : at + len(code)] = code
                free = at + len(code) + 1
        yield self.row("", "".join(codes), "")
        yield self.row("", "".join(marks), "")

    def _step(self) -> float:
        """Seconds between two marks, so that their time codes stand apart."""
        length = self.until_s - self.since_s
        for step_s in STEPS_S:
            room = len(_short(0, step_s, self.until_s)) + 3
            if length / step_s * room <= self.width:
                return step_s
        return STEPS_S[-1] * float(np.ceil(length / STEPS_S[-1] * 12 / self.width))


def _short(time_s: float, step_s: float, until_s: float) -> str:
    """The part of a time code that tells moments of this axis apart."""
    code = timecode(time_s)
    code = code if until_s >= 3600 else code[3:]
    return code[:-2] if step_s < 1 else code[:-4]


def _density(probability: float) -> str:
    return next(cell for least, cell in _DENSITY if probability >= least)


def _by_person(appearances: Sequence[Appearance]) -> dict[str, list[Appearance]]:
    found: dict[str, list[Appearance]] = {}
    for each in appearances:
        found.setdefault(each.person, []).append(each)
    return found


def _meets(span: Span, since_s: float, until_s: float) -> bool:
    return span.start_s < until_s and span.end_s > since_s


def _seconds(spans: Sequence[Appearance]) -> str:
    return f"{sum(each.seconds for each in spans):.1f} s"


def _times(spans: Sequence[Appearance], end_s: float, axis: _Axis) -> Iterator[str]:
    """From when to when, as many to a line as there is room for."""
    indent = " " * (axis.names + _GAP)
    said = [
        f"{timecode(each.start_s)} to {timecode(each.end_s)} ({each.probability:.2f})"
        for each in spans[:_MOST_TIMES]
    ]
    if len(spans) > _MOST_TIMES:
        said.append(f"and {len(spans) - _MOST_TIMES} more (all of them: --json)")
    line = ""
    for one in said:
        if line and len(line) + _GAP + len(one) > axis.width + _SECONDS + _GAP:
            yield indent + line
            line = ""
        line = f"{line}{' ' * _GAP * bool(line)}{one}"
    yield indent + line


def _legend(console: Console, probabilities: Sequence[float]) -> None:
    used = {_density(p) for p in probabilities}
    if not used:
        return
    bounds = [(least, cell) for least, cell in _DENSITY if cell in used]
    said = [f"{cell} {least:g} and more" if least else f"{cell} less" for least, cell in bounds]
    _print(console, "")
    _print(console, f"probability: {', '.join(said)}")


def _shown(path: str) -> str:
    return printable(PurePath(path).name)


def _print(console: Console, line: str) -> None:
    if console.options.ascii_only:
        line = line.translate(_PLAIN)
    console.print(line, markup=False, emoji=False, soft_wrap=True)


def timeline_as_json(timeline: Timeline, since_s: float, until_s: float) -> dict[str, Any]:
    """A video's timeline for programs; seconds and frames are half open, boxes relative."""
    people = _by_person(timeline.between(since_s, until_s))
    return {
        "video": timeline.video.path,
        "video_id": timeline.video.video_id,
        "duration_s": timeline.end_s,
        "since_s": since_s,
        "until_s": until_s,
        "people": [
            {
                "name": name,
                "person_id": spans[0].person_id,
                "seconds": sum(each.seconds for each in spans),
                "appearances": [appearance_as_json(each) for each in spans],
            }
            for name, spans in people.items()
        ],
        "unknown_faces": [
            _without(dataclasses.asdict(each), "video", "video_id")
            for each in timeline.strangers
            if _meets(each, since_s, until_s)
        ],
        "shots": [
            dataclasses.asdict(shot)
            for shot in timeline.shots
            if shot.start_s < until_s and shot.end_s > since_s
        ],
    }


def person_as_json(name: str, appearances: Sequence[Appearance]) -> dict[str, Any]:
    """A person's appearances for programs."""
    return {
        "name": name,
        "seconds": sum(each.seconds for each in appearances),
        "appearances": [appearance_as_json(each) for each in appearances],
    }


def appearance_as_json(each: Appearance) -> dict[str, Any]:
    """One appearance for programs."""
    return {**_without(dataclasses.asdict(each), "person", "person_id"), "seconds": each.seconds}


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}
