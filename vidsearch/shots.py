"""Where one shot ends and the next begins: detectors by name, and shots that tile the video.

A detector rides on the one decoding pass: it is given every frame's small picture and answers
with cuts, a cut being the number of the first frame of a new shot. Conventions:

- a dissolve or wipe is cut in its middle;
- a fade through black (or another plain colour) is cut once, in the middle of the black, where
  that lasts less than a second or so; longer black is for the detectors a shot of its own;
- a flash, a camera pan, a zoom or a changing subtitle is no cut.

This module imports no third-party engine; those are in the modules named by `DETECTORS`.
"""

from __future__ import annotations

import importlib
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from vidsearch.errors import VidsearchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PART_S = 4.0
"""Longest part of a shot that is searched by parts."""
WHOLE_S = 10.0
"""Longest shot that is searched as a whole."""


class ShotDetector(Protocol):
    """Finds cuts in a stream of frames; its memory does not grow with the stream.

    A cut is reported at most `lag` frames late: after frame `i` has been pushed, no cut at or
    before frame `i - lag` will be reported any more. Cuts come in rising order.
    """

    name: str
    lag: int

    def push(self, index: int, time_s: float, small: NDArray[np.uint8]) -> list[int]:
        """Look at frame `index` (0, 1, 2, ...), RGB uint8 [h, w, 3]; return cuts found by now."""

    def finish(self) -> list[int]:
        """Return the last cuts, after the last frame."""


@dataclass(frozen=True)
class Option:
    """A number that sets a detector: its default, its unit and what it does.

    `least` is the smallest that can be used; `whole` ones have no fraction.
    """

    default: float
    unit: str
    help: str
    least: float = 0.0
    whole: bool = False


@dataclass(frozen=True)
class DetectorInfo:
    """A detector that `make_detector` knows; `factory` is `module:function`."""

    name: str
    summary: str
    factory: str
    options: Mapping[str, Option]


_MIN_SHOT = Option(0.25, "s", "shortest shot; a cut sooner after another is dropped", least=0.25)


def _info(name: str, summary: str, factory: str, **options: Option) -> DetectorInfo:
    return DetectorInfo(name, summary, factory, {**options, "min_shot_s": _MIN_SHOT})


_SCENEDETECT = "vidsearch.detectors_scenedetect:"

DETECTORS: Mapping[str, DetectorInfo] = {
    info.name: info
    for info in (
        _info(
            "blend",
            "our own: hard cuts, dissolves, wipes and fades; unmoved by flashes and pans",
            "vidsearch.detectors_blend:blend",
            cut_ratio=Option(3.0, "ratio", "difference over the mean of its neighbours at a cut"),
            cut_change=Option(10.0, "0-255", "least root mean square difference at a cut"),
            dissolve=Option(1.8, "log odds", "how sure a dissolve is to be", least=-20.0),
        ),
        _info(
            "adaptive",
            "PySceneDetect: HSV difference against its rolling mean; hard cuts",
            _SCENEDETECT + "adaptive",
            threshold=Option(3.0, "ratio", "difference over the mean of its neighbours"),
            window=Option(2, "frames", "neighbours on either side", 1, whole=True),
            min_content=Option(15.0, "0-255", "least HSV difference of a cut"),
        ),
        _info(
            "content",
            "PySceneDetect: HSV difference of neighbouring frames; hard cuts",
            _SCENEDETECT + "content",
            threshold=Option(27.0, "0-255", "mean HSV difference from which there is a cut"),
        ),
        _info(
            "histogram",
            "PySceneDetect: luma histograms of neighbouring frames; hard cuts",
            _SCENEDETECT + "histogram",
            threshold=Option(0.20, "0-1", "one minus the correlation of the histograms"),
            bins=Option(128, "bins", "of a histogram", 2, whole=True),
        ),
        _info(
            "hash",
            "PySceneDetect: perceptual hashes of neighbouring frames; hard cuts",
            _SCENEDETECT + "perceptual_hash",
            threshold=Option(0.35, "0-1", "share of the hash's bits that differ"),
            size=Option(8, "pixels", "side of the hash", 2, whole=True),
        ),
        _info(
            "threshold",
            "PySceneDetect: brightness falls under a limit; fades through black only",
            _SCENEDETECT + "threshold",
            threshold=Option(12, "0-255", "mean brightness under which a frame is black"),
        ),
        _info(
            "transnetv2",
            "a neural network; all kinds, slow; needs the extra `transnetv2` once",
            "vidsearch.detectors_transnetv2:transnetv2",
            threshold=Option(0.5, "0-1", "probability from which a frame is a transition"),
            threads=Option(1, "threads", "of the processor; 0 for all cores", whole=True),
        ),
    )
}

DEFAULT_DETECTOR = "blend"
CONVERGING = frozenset({"blend"})
"""Detectors that come to the same state wherever they began, some seconds on, and can tell it."""


def make_detector(name: str = DEFAULT_DETECTOR, **options: float) -> ShotDetector:
    """A fresh detector, for one video.

    `options` are those of `DETECTORS[name].options`, in the units told there. Raises
    VidsearchError on an unknown name, an unknown option or a value that cannot be used,
    ModelUnavailable where the detector's weights are not on this machine.
    """
    info = DETECTORS.get(name)
    if info is None:
        raise VidsearchError(f"no shot detector is called {name!r}; there are {_list(DETECTORS)}")
    for key, value in options.items():
        if key not in info.options:
            known = _list(f"{k} ({o.unit}, default {o.default:g})" for k, o in info.options.items())
            raise VidsearchError(
                f"the shot detector {name!r} has no option {key!r}; it has {known}"
            )
        option = info.options[key]
        broken = option.whole and not float(value).is_integer()
        if broken or not (math.isfinite(value) and value >= option.least):
            kind = "a whole number of " if option.whole else ""
            raise VidsearchError(
                f"{key}={value:g} cannot be used: the shot detector {name!r} needs {kind}"
                f"{option.least:g} or more ({option.unit})"
            )
    values = {key: option.default for key, option in info.options.items()} | options
    min_shot_s = values.pop("min_shot_s")
    module, function = info.factory.split(":")
    detector: ShotDetector = getattr(importlib.import_module(module), function)(**values)
    return _Spaced(detector, min_shot_s)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


class _Spaced:
    """Drops cuts that follow the start or another cut too soon.

    Done here, in seconds of the file's own clock, and not by the detectors, which count frames
    and of which one (PySceneDetect's content) would otherwise report cuts late without bound.
    """

    def __init__(self, detector: ShotDetector, min_shot_s: float) -> None:
        self.name = detector.name
        self.lag = detector.lag
        self._detector = detector
        self._min_shot_s = min_shot_s
        self._times = _RecentTimes(detector.lag)
        self._last_s: float | None = None

    def push(self, index: int, time_s: float, small: NDArray[np.uint8]) -> list[int]:
        self._times.add(index, time_s)
        if self._last_s is None:
            self._last_s = time_s
        return self._spaced(self._detector.push(index, time_s, small))

    def finish(self) -> list[int]:
        return self._spaced(self._detector.finish())

    def state(self) -> tuple[object, ...]:
        """All that decides the cuts from here on, of detectors that can tell (`CONVERGING`)."""
        inner: tuple[object, ...] = self._detector.state()  # type: ignore[attr-defined]
        return (*inner, self._last_s, self._times.latest())

    def _spaced(self, cuts: list[int]) -> list[int]:
        kept = []
        for cut in cuts:
            time_s = self._times[cut]
            # A frame's time may be off by a rounding of the file's clock: hence the millisecond.
            if self._last_s is not None and time_s - self._last_s > self._min_shot_s - 1e-3:
                kept.append(cut)
                self._last_s = time_s
        return kept


class _RecentTimes:
    """The times of the last frames, by frame number."""

    def __init__(self, lag: int) -> None:
        self._times: deque[float] = deque(maxlen=lag + 2)
        self._next = 0

    def add(self, index: int, time_s: float) -> None:
        if index != self._next:
            raise ValueError(f"frame {index} was pushed where frame {self._next} was due")
        self._times.append(time_s)
        self._next += 1

    def latest(self) -> tuple[float, ...]:
        return tuple(self._times)

    def __getitem__(self, index: int) -> float:
        return self._times[index - self._next]

    def __len__(self) -> int:
        return self._next


@dataclass(frozen=True)
class Span:
    """Frames `[start_frame, end_frame)`, seconds `[start_s, end_s)` of one shot."""

    start_frame: int
    end_frame: int
    start_s: float
    end_s: float


def tile(cuts: Iterable[int], frame_times: Sequence[float], end_s: float) -> list[Span]:
    """Shots from cuts, half open, without gap or overlap in frames and in seconds.

    `frame_times` are the presentation times of all frames, rising; `end_s` is where the last
    frame ends. The first shot begins with the first frame whatever the cuts; cuts outside the
    video and doubled ones are ignored. No frames, no shots.
    """
    n = len(frame_times)
    if not n:
        return []
    starts = [0, *sorted({cut for cut in cuts if 0 < cut < n})]
    ends = [*starts[1:], n]
    times = [frame_times[start] for start in starts]
    return [
        Span(start, end, start_s, stop_s)
        for start, end, start_s, stop_s in zip(
            starts, ends, times, [*times[1:], max(end_s, frame_times[-1])], strict=True
        )
    ]


class ShotStream:
    """A detector's cuts as finished shots: the same as `tile`, while the frames come in."""

    def __init__(self, detector: ShotDetector) -> None:
        self._detector = detector
        self._times = _RecentTimes(detector.lag)
        self._start: tuple[int, float] = (0, 0.0)

    @property
    def start_s(self) -> float:
        """Where the shot that is still open begins."""
        return self._start[1]

    def state(self) -> tuple[object, ...]:
        """All that decides the shots from here on, frames counted from the next one."""
        start, start_s = self._start
        found: tuple[object, ...] = self._detector.state()  # type: ignore[attr-defined]
        return (*found, start - len(self._times), start_s)

    def push(self, index: int, time_s: float, small: NDArray[np.uint8]) -> list[Span]:
        """Look at the next frame; return the shots that are finished by now, mostly none."""
        if index == 0:
            self._start = (0, time_s)
        self._times.add(index, time_s)
        return self._close(self._detector.push(index, time_s, small))

    def settled_s(self) -> float:
        """The time up to which no cut can come any more."""
        n = len(self._times)
        return self._times[max(0, n - 1 - self._detector.lag)] if n else 0.0

    def finish(self, end_s: float) -> list[Span]:
        """The last shots; `end_s` is where the last frame ends. No frames, no shots."""
        n = len(self._times)
        if not n:
            return []
        spans = self._close(self._detector.finish())
        start, start_s = self._start
        return [*spans, Span(start, n, start_s, max(end_s, self._times[n - 1]))]

    def _close(self, cuts: list[int]) -> list[Span]:
        spans = []
        for cut in cuts:
            start, start_s = self._start
            if start < cut < len(self._times):
                self._start = (cut, self._times[cut])
                spans.append(Span(start, cut, start_s, self._start[1]))
        return spans


def parts(start_s: float, end_s: float) -> list[tuple[float, float]]:
    """The parts `[start_s, end_s)` by which a shot is searched; they tile it exactly.

    A shot of up to `WHOLE_S` is one part. A longer one is cut every `PART_S` until no more than
    `WHOLE_S` is left, and that rest into equal pieces of at most `PART_S`: so a part, once closed,
    does not depend on how long the shot will become (see `closed_parts`).
    """
    bounds = [start_s, *_part_ends(start_s, end_s)]
    if len(bounds) > 1:
        last, rest = bounds[-1], end_s - bounds[-1]
        pieces = max(1, math.ceil(rest / PART_S - 1e-9))
        bounds += [last + rest * i / pieces for i in range(1, pieces)]
    return list(zip(bounds, [*bounds[1:], end_s], strict=True))


def closed_parts(start_s: float, now_s: float) -> list[tuple[float, float]]:
    """Those of `parts` that are certain of a shot that lasts until `now_s` at least."""
    bounds = [start_s, *_part_ends(start_s, now_s)]
    return list(pairwise(bounds))


def _part_ends(start_s: float, end_s: float) -> list[float]:
    """The ends of the parts that are cut off while more than `WHOLE_S` is left."""
    n = 0
    while end_s - (start_s + n * PART_S) > WHOLE_S:
        n += 1
    return [start_s + (i + 1) * PART_S for i in range(n)]
