"""Timelines as pictures: people as bars over time, below them frames of the video and its shots.

How solid a bar is says how probable it is. The same timeline gives the same bytes.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from vidsearch.appearances import Appearance
from vidsearch.errors import ModelUnavailable, VidsearchError
from vidsearch.inputs import printable
from vidsearch.present import counted
from vidsearch.records import Person, Video
from vidsearch.timecodes import timecode
from vidsearch.timeline import ShotSpan, Timeline
from vidsearch.timeline_text import STEPS_S

if TYPE_CHECKING:
    from vidsearch.store import Store

# Inches.
_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 13.0, 2.75, 1.05, 0.95, 0.55
_ROW, _STRANGERS, _FILM, _SHOTS, _GAP = 0.52, 0.26, 0.72, 0.2, 0.12
_INK, _GREY, _FAINT = "#22252a", "#7b8088", "#eceef1"
_LIGHT, _DARK = "#ccd2db", "#98a1ad"  # shots
# Okabe and Ito's colours, told apart with any colour vision; the yellow is too pale for a bar.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_LEAST_ALPHA = 0.25  # of a bar of probability 0
_FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Arial Unicode MS")
_MOST_ROWS = 60
_MOST_MARKS = 9  # of time
_FRAMES = 24  # frames of the video shown at most


@dataclass(frozen=True)
class _Row:
    """A row of bars: its name, its face [H, W, 3] or None, what stands at its end."""

    name: str
    face: Any
    said: str
    colour: str
    spans: Sequence[Appearance]
    end_s: float  # up to which there is anything to be on


def marks(since_s: float, until_s: float) -> list[tuple[float, str]]:
    """Round moments from `since_s` to `until_s`, a few, with what is written at them."""
    length = until_s - since_s
    fits = (step for step in STEPS_S if length / step <= _MOST_MARKS)
    step_s = next(fits, math.ceil(length / _MOST_MARKS))
    first, last = math.ceil(since_s / step_s - 1e-9), math.floor(until_s / step_s + 1e-9)
    codes = [(number * step_s, timecode(number * step_s)) for number in range(first, last + 1)]
    tail = -4 if step_s >= 1 else -2
    return [(time_s, code[0 if until_s >= 3600 else 3 : tail]) for time_s, code in codes]


def check() -> None:
    """Raise `ModelUnavailable` where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ModelUnavailable(
            "matplotlib is not installed; install it with: pip install 'vidsearch[plot]'"
        ) from error


def plot_timeline(
    timeline: Timeline, store: Store, file: Path, since_s: float, until_s: float
) -> None:
    """Draw who is on screen from `since_s` to `until_s`; faces and frames come from `store`.

    Raises VidsearchError where the file cannot be written or the video was indexed anew since,
    `ModelUnavailable` without matplotlib.
    """
    inside = timeline.between(since_s, until_s)
    names = list(dict.fromkeys(each.person for each in inside))
    enrolled = {person.name: person for person in store.people()}
    rows = []
    for n, name in enumerate(names[:_MOST_ROWS]):
        spans = [each for each in inside if each.person == name]
        face = _face(enrolled[name]) if name in enrolled else None
        colour = _COLOURS[n % len(_COLOURS)]
        rows.append(_Row(name, face, _seconds(spans), colour, spans, until_s))
    strangers = [
        (each.start_s, each.end_s)
        for each in timeline.strangers
        if each.start_s < until_s and each.end_s > since_s
    ]
    shots = [shot for shot in timeline.shots if shot.start_s < until_s and shot.end_s > since_s]
    below = (_STRANGERS if strangers else 0) + _FILM + _SHOTS + 3 * _GAP
    title = _shown(timeline.video.path)
    said = f"{timecode(since_s)} to {timecode(until_s)}, {counted(len(shots), 'shot')}"
    left_out = len(names) - len(rows)
    said += f", {left_out} more people" if left_out else ""
    with _drawing(title, said, max(len(rows), 1) * _ROW, below, since_s, until_s) as page:
        page.bars(rows)
        if not rows:
            page.nobody("Nobody enrolled is on screen")
        if strangers:
            page.strangers(strangers)
        page.film(_frames(shots, store, timeline.video, since_s, until_s))
        page.shots(shots)
        page.save(file)


def plot_appearances(
    person: Person, found: Sequence[Appearance], videos: Sequence[Video], file: Path
) -> None:
    """Draw where `person` is, a row for each video, all on one scale. Raises as `plot_timeline`."""
    ends = {video.video_id: video.duration_s for video in videos}
    by_video: dict[str, list[Appearance]] = {}
    for each in found:
        by_video.setdefault(each.video_id, []).append(each)
    rows = [
        _Row(
            _shown(spans[0].video),
            None,
            _seconds(spans),
            _COLOURS[0],
            spans,
            max(ends.get(key, 0.0), spans[-1].end_s),
        )
        for key, spans in list(by_video.items())[:_MOST_ROWS]
    ]
    until_s = max((row.end_s for row in rows), default=1.0)
    said = f"{_seconds(found)} in {len(by_video)} of {counted(len(videos), 'video')}"
    left_out = len(by_video) - len(rows)
    said += f", {left_out} of them not shown" if left_out else ""
    with _drawing(person.name, said, max(len(rows), 1) * _ROW, 0.0, 0.0, until_s) as page:
        page.bars(rows)
        page.portrait(_face(person))
        page.save(file)


@contextmanager
def _drawing(*facts: Any) -> Iterator[_Page]:
    """A page of these `facts`, and matplotlib set up for it while it is drawn."""
    check()
    import matplotlib
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    fonts = [font for font in _FONTS if font in there]
    with matplotlib.rc_context({"svg.hashsalt": "vidsearch", "font.family": fonts}):
        yield _Page(*facts)


class _Page:
    """The picture while it is drawn, from the top down; lengths in inches."""

    def __init__(
        self, title: str, said: str, rows: float, below: float, since_s: float, until_s: float
    ) -> None:
        from matplotlib.figure import Figure

        self._height = _TOP + rows + below + _BOTTOM
        self._since_s, self._until_s = since_s, until_s
        self._figure = Figure(figsize=(_WIDTH, self._height), facecolor="white")
        self._top = _TOP
        self._rows = rows
        self._text(0.3, 0.36, title, size=16, weight="bold")
        self._text(0.3, 0.64, said, size=10.5, color=_GREY)
        # One pane over all, for the lines of the time axis behind everything.
        self._pane = self._panel(_TOP - 0.05, rows + below + 0.05)
        self._ticks(self._pane)

    def bars(self, rows: Sequence[_Row]) -> None:
        """The rows of people or videos."""
        panel = self._panel(self._top, self._rows)
        panel.set_ylim(max(len(rows), 1), 0)
        for n, row in enumerate(rows):
            middle = self._top + (n + 0.5) * _ROW
            length = row.end_s - self._since_s
            panel.barh(n + 0.5, length, left=self._since_s, height=0.1, color=_FAINT, zorder=1)
            for span in row.spans:
                self._bar(panel, n + 0.5, span, row.colour)
            self._name(row, middle)
            self._text(_WIDTH - 0.3, middle, row.said, size=10.5, color=_GREY, ha="right")
        self._top += self._rows + _GAP

    def _bar(self, panel: Any, middle: float, span: Appearance, colour: str) -> None:
        """One appearance, with its probability where there is room."""
        length = self._until_s - self._since_s
        width = max(span.seconds, length / 900)  # so that a glimpse is not lost
        alpha = _LEAST_ALPHA + (1 - _LEAST_ALPHA) * span.probability**2
        bar = {"left": span.start_s, "height": 0.6, "linewidth": 0, "zorder": 2}
        panel.barh(middle, width, color="white", **bar)
        panel.barh(middle, width, color=colour, alpha=alpha, **bar)
        if span.seconds / length * (_WIDTH - _LEFT - _RIGHT) > 0.45:
            panel.text(
                span.start_s + span.seconds / 2,
                middle,
                f"{span.probability:.2f}",
                size=9,
                ha="center",
                va="center_baseline",
                color="white" if alpha > 0.6 else _INK,
                zorder=3,
            )

    def _name(self, row: _Row, middle: float) -> None:
        right = _LEFT - 0.18
        if row.face is not None:
            side = 0.42
            self._image(row.face, right - side, middle - side / 2, side, side)
            right -= side + 0.12
        room = 21 if row.face is not None else 26
        name = row.name if len(row.name) <= room else row.name[: room - 1].rstrip() + "…"
        self._text(right, middle, name, size=11, ha="right")

    def nobody(self, said: str) -> None:
        """A sentence in the place of bars."""
        middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
        self._text(middle, _TOP + self._rows / 2, said, size=11, color=_GREY, ha="center")

    def strangers(self, spans: Sequence[tuple[float, float]]) -> None:
        """When faces of nobody known are seen, darker where there are several."""
        panel = self._panel(self._top, _STRANGERS)
        panel.set_ylim(0, 1)
        for start_s, end_s in spans:
            panel.axvspan(start_s, end_s, 0.25, 0.75, color=_GREY, alpha=0.35, linewidth=0)
        self._text(_LEFT - 0.18, self._top + _STRANGERS / 2, "unknown faces", ha="right")
        self._text(
            _WIDTH - 0.3, self._top + _STRANGERS / 2, str(len(spans)), 10.5, color=_GREY, ha="right"
        )
        self._top += _STRANGERS + _GAP

    def film(self, frames: Sequence[Any]) -> None:
        """Frames of the video, each over the stretch of time from whose middle it is."""
        width = (_WIDTH - _LEFT - _RIGHT) / max(len(frames), 1)
        for n, frame in enumerate(frames):
            at = _LEFT + n * width
            self._image(_filling(frame, width / _FILM), at, self._top, width - 0.02, _FILM)
        self._top += _FILM + _GAP

    def shots(self, shots: Sequence[ShotSpan]) -> None:
        """The shots, one light and one dark in turn."""
        panel = self._panel(self._top, _SHOTS)
        panel.set_ylim(0, 1)
        for shot in shots:
            colour = _DARK if shot.shot % 2 else _LIGHT
            panel.axvspan(shot.start_s, shot.end_s, color=colour, linewidth=0)
        self._text(_LEFT - 0.18, self._top + _SHOTS / 2, "shots", ha="right")
        self._text(
            _WIDTH - 0.3,
            self._top + _SHOTS / 2,
            str(len(shots)),
            size=10.5,
            color=_GREY,
            ha="right",
        )
        self._top += _SHOTS + _GAP

    def portrait(self, face: Any) -> None:
        """A face beside the title."""
        if face is not None:
            self._image(face, _WIDTH - 0.3 - 0.62, 0.16, 0.62, 0.62)

    def save(self, file: Path) -> None:
        """Write the picture. Raises VidsearchError."""
        metadata = {"Date": None} if file.suffix.lower() == ".svg" else {"Software": None}
        try:
            with warnings.catch_warnings():
                # A script that no font here has is drawn as boxes; the picture shows that itself.
                warnings.filterwarnings("ignore", "Glyph .* missing")
                self._figure.savefig(file, dpi=120, metadata=metadata)
        except OSError as error:
            reason = error.strerror or error
            raise VidsearchError(f"{file}: the picture cannot be written ({reason})") from error

    def _panel(self, top: float, height: float) -> Any:
        """Axes over the time, `height` inches from `top` down, bare."""
        panel = self._figure.add_axes(
            (
                _LEFT / _WIDTH,
                1 - (top + height) / self._height,
                (_WIDTH - _LEFT - _RIGHT) / _WIDTH,
                height / self._height,
            )
        )
        panel.set_xlim(self._since_s, self._until_s)
        panel.set_axis_off()
        return panel

    def _ticks(self, pane: Any) -> None:
        for time_s, code in marks(self._since_s, self._until_s):
            pane.axvline(time_s, color=_FAINT, linewidth=1, zorder=0)
            share = (time_s - self._since_s) / (self._until_s - self._since_s)
            x = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
            self._text(x, self._height - _BOTTOM / 2 - 0.04, code, color=_GREY, ha="center")

    def _text(self, x: float, y: float, text: str, size: float = 9.5, **style: Any) -> None:
        """Text whose middle line is `y` from the top; a dollar sign is one, no mathematics."""
        style = {"color": _INK, "ha": "left", **style}
        self._figure.text(
            x / _WIDTH,
            1 - y / self._height,
            text,
            size=size,
            va="center",
            parse_math=False,
            **style,
        )

    def _image(self, picture: Any, x: float, y: float, width: float, height: float) -> None:
        panel = self._figure.add_axes(
            (
                x / _WIDTH,
                1 - (y + height) / self._height,
                width / _WIDTH,
                height / self._height,
            )
        )
        panel.imshow(picture, aspect="auto", interpolation="lanczos")
        panel.set_axis_off()


def _frames(
    shots: Sequence[ShotSpan], store: Store, video: Video, since_s: float, until_s: float
) -> list[Any]:
    """The keyframes [H, W, 3] nearest to the middles of equal stretches of time."""
    width = _WIDTH - _LEFT - _RIGHT
    shape = video.width / video.height if video.width and video.height else 16 / 9
    count = max(1, min(_FRAMES, int(width / (_FILM * min(max(shape, 0.5), 2.4)))))
    starts = np.array([shot.start_s for shot in shots])
    read: dict[tuple[int, float], Any] = {}
    frames = []
    for n in range(count):
        middle = since_s + (until_s - since_s) * (n + 0.5) / count
        shot = shots[max(0, int(np.searchsorted(starts, middle, "right")) - 1)]
        keyframe_s = min(shot.keyframes_s, key=lambda at: abs(at - middle))
        key = shot.shot, keyframe_s
        if key not in read:
            read[key] = _decoded(store.thumbnail(video.video_id, shot.shot, keyframe_s))
        frames.append(read[key])
    return frames


def _decoded(jpeg: bytes) -> Any:
    from PIL import Image

    from vidsearch.sheet import grey_plate

    if not jpeg:  # it showed somebody who was forgotten
        return grey_plate()
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def _face(person: Person) -> Any:
    """The face of a person's best photo, a square around it; None where no photo is kept."""
    photo = max(person.photos, key=lambda photo: photo.quality, default=None)
    if photo is None or not photo.jpeg:
        return None
    picture = _decoded(photo.jpeg)
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = np.array(photo.box) * [width, height, width, height]
    side = min(1.35 * max(x1 - x0, y1 - y0), width, height)
    left = int(min(max((x0 + x1 - side) / 2, 0), width - side))
    top = int(min(max((y0 + y1 - side) / 2, 0), height - side))
    return picture[top : top + max(1, int(side)), left : left + max(1, int(side))]


def _filling(picture: Any, shape: float) -> Any:
    """The middle of a picture, cut to this width over height."""
    height, width = picture.shape[:2]
    if width > height * shape:
        cut = int((width - height * shape) / 2)
        return picture[:, cut : width - cut]
    cut = int((height - width / shape) / 2)
    return picture[cut : height - cut]


def _seconds(spans: Sequence[Appearance]) -> str:
    seconds = sum(each.seconds for each in spans)
    return f"{seconds:.1f} s" if seconds < 600 else timecode(seconds)[:-4]


def _shown(path: str) -> str:
    return printable(PurePath(path).name)
