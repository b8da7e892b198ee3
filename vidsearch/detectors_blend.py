"""Our own detector: hard cuts, dissolves, wipes and fades, at a third of a millisecond a frame.

Every frame becomes a point: a 32x18 picture, RGB. Distances between the last 72 points, all from
one matrix-vector product a frame, tell the kinds apart:

- a hard cut is a step that stands out among its neighbours (the ratio of PySceneDetect's adaptive
  detector) between pictures that do not correlate, and nothing behind it comes back near anything
  before it, as it does after a flash; where nothing moves at all (slides), any lasting change of
  more than 15 % of the picture is a cut;
- a dissolve is a straight way from one picture to another: for `s`, `m`, `e` on it, the law of
  cosines gives how far `m` is along the line and how far off it (zero for a linear mixture, 0.87
  for unrelated pictures; the mixture model of dissolves is that of Lienhart 1999). The picture
  rests before and after, relative to the way (twin comparison, Zhang, Kankanhalli and Smoliar
  1993, compares likewise);
- a pan or zoom goes a long way too, but its frame-to-frame differences are explained by shift and
  scale: differences are projected on the picture's gradients (one step of Lucas and Kanade 1981
  with shift and zoom), and a window whose changes are so explained is no dissolve. It moves the
  same colours about, while a dissolve leads to others: the sorted values of each colour tell;
- a fade passes through a plain picture (no contrast). It is cut in the middle of the plain frames
  if what follows differs from what went before. More than 30 plain frames are a shot of their own.

Not found: most dissolves into or out of a swift pan, and some between pictures of the same colours,
such as two views of one stage. Taken for dissolves: now and then something that sweeps across most
of the picture within a few frames.

The weights were fitted on the sets for tuning of `benchmarks/shot_clips.py` (`tuning` and `more`);
`benchmarks/results` has the measurements on the test set.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 32, 18
_STEP_S = 0.0285  # frames closer in time are looked at two by two: 50 and 60 frames/s as 25 and 30
_KEPT = 72  # points that are kept: the longest window, what is before it and what is behind it
_AHEAD = 12  # points behind a window that are awaited
_LAG = 48  # points by which cuts are reported late
_NEAR = 6  # points on either side of a hard cut that are compared
_LENGTHS = np.array([3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 32, 40])  # of windows, in points
_REST = np.clip(_LENGTHS // 2, 2, 12)  # how long the picture is to rest before and behind
_HALVES = (_LENGTHS + 1) // 2
_SHADES = 32  # into how many groups of equal size the values of a colour are sorted
_APART = 10  # points within which of two dissolves the better one is meant
_PLAIN = 4.0  # standard deviation (0 to 255) under which a picture is plain
_PLAIN_RUN = 30  # points of plain pictures from which they are a shot of their own
_SAME = 0.7  # correlation over which two pictures show the same
_BACK = 0.65  # share of a change that has to last
_STILL = 0.5  # mean difference of neighbouring points where nothing moves: slides, titles
_GRAIN = 2.0**-20  # of changes, which have the scale 0 to 255
_SLIDE_CHANGE = 4.0  # least root mean square difference of a cut there ...
_SLIDE_AREA = 0.15  # ... and the least share of the picture; two lines of subtitles have 0.09


def blend(cut_ratio: float, cut_change: float, dissolve: float) -> BlendDetector:
    """The detector; see `vidsearch.shots.DETECTORS` for the options."""
    return BlendDetector(cut_ratio, cut_change, dissolve)


class BlendDetector:
    """Takes every frame, or every second one at high rates, and gives numbers of frames."""

    name = "blend"
    lag = 2 * _LAG + 1

    def __init__(self, cut_ratio: float, cut_change: float, dissolve: float) -> None:
        self._way = _Way(cut_ratio, cut_change, dissolve)
        self._frames: deque[int] = deque(maxlen=_KEPT)  # their numbers, one for each point
        self._skipped: dict[int, NDArray[np.float32]] = {}  # by the number of the point behind
        self._latest: NDArray[np.float32] | None = None
        self._latest_s = -math.inf
        self._may_skip = True

    def push(self, index: int, time_s: float, small: NDArray[np.uint8]) -> list[int]:
        """Look at the next frame; see `vidsearch.shots.ShotDetector`."""
        tiny = cv2.resize(small, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
        point = tiny.astype(np.float32)
        if time_s - self._latest_s < _STEP_S and self._may_skip:
            self._may_skip = False
            self._latest = point
            return []
        if not self._may_skip and self._latest is not None:
            self._skipped[self._way.n] = self._latest
        self._may_skip, self._latest, self._latest_s = True, None, time_s
        self._frames.append(index)
        self._skipped.pop(self._way.n - _KEPT, None)
        return [self._exact(cut) for cut in self._way.push(point)]

    def finish(self) -> list[int]:
        """Return the last cuts."""
        return [self._exact(cut) for cut in self._way.finish()]

    def state(self) -> tuple[object, ...]:
        """All that decides which cuts are found from here on, frames counted from the latest."""
        n, last = self._way.n, self._frames[-1] if self._frames else 0
        return (
            self._way.state(),
            tuple(number - last for number in self._frames),
            tuple((at - n, point.tobytes()) for at, point in sorted(self._skipped.items())),
            None if self._latest is None else self._latest.tobytes(),
            self._latest_s,
            self._may_skip,
        )

    def _exact(self, cut: int) -> int:
        """The frame number of a cut at a point: that of the skipped frame if it is new already."""
        number = self._frames[cut - self._way.n]
        skipped = self._skipped.get(cut)
        if skipped is None:
            return number
        to_old, to_new = self._way.distances(skipped, cut - 1, cut)
        return number - 1 if to_new < to_old else number


@dataclass
class _Window:
    """Points from `start` to `end` that look like a dissolve: where to cut, and how much so."""

    start: int
    end: int
    cut: int
    score: float


class _Way:
    """The points so far and the cuts among them, by the numbers of points."""

    def __init__(self, cut_ratio: float, cut_change: float, dissolve: float) -> None:
        self.n = 0
        self._cut_ratio, self._cut_change, self._dissolve = cut_ratio, cut_change, dissolve
        size = _WIDTH * _HEIGHT * 3
        # float64: sums of whole numbers are exact then, in whichever order they are added, so that
        # a pass which began elsewhere, or on another machine, finds the same to the last bit.
        self._points = np.zeros((_KEPT, size))
        self._norms = np.zeros(_KEPT)
        self._means = np.zeros(_KEPT)
        self._spread = np.zeros(_KEPT)  # standard deviation of a picture
        self._shades = np.zeros((_KEPT, 3 * _SHADES))  # which colours there are, wherever they are
        self._apart = np.zeros((_KEPT, _KEPT))  # root mean square difference of two pictures
        self._changed = np.zeros(_KEPT)  # sums of the changes from point to point ...
        self._unexplained = np.zeros(_KEPT)  # ... and of what no shift or zoom explains of them
        self._luma: NDArray[np.float64] | None = None
        self._hard: list[int] = []  # cuts that have been found and not been reported
        self._soft: list[_Window] = []
        self._best: _Window | None = None  # the window that is still challenged
        self._over = 0  # where the last dissolve ended
        self._plain: list[tuple[int, int, int | None]] = []  # start, end and cut of plain runs
        self._plain_from: int | None = None
        self._awaited: list[tuple[int, int]] = []  # plain runs whose sequel is awaited
        self._reported = 0

    def push(self, picture: NDArray[np.float32]) -> list[int]:
        """Take the next point, float32 [h, w, 3]; return the cuts found by now."""
        i = self.n
        self.n += 1
        self._add(i, picture)
        self._follow_plain(i)
        if i >= _NEAR:
            self._try_cut(i - _NEAR + 1)
        if i >= _AHEAD + 3:
            self._try_dissolve(i - _AHEAD)
        return self._report(i - _LAG)

    def finish(self) -> list[int]:
        """Return the last cuts."""
        for cut in range(max(1, self.n - _NEAR + 1), self.n):
            self._try_cut(cut)
        self._settle_plain(math.inf)
        if self._best is not None:
            self._soft.append(self._best)
        return self._report(self.n)

    def state(self) -> tuple[object, ...]:
        """All that decides the future, points counted from the next; see `BlendDetector.state`."""
        n, best = self.n, self._best
        order = np.arange(n, n + _KEPT) % _KEPT
        latest = (n - 1) % _KEPT
        longest = int(_LENGTHS[-1] + _AHEAD)  # an end further back hinders no window any more
        return (
            min(n, _KEPT + longest),
            self._points[order].astype(np.uint8).tobytes(),
            (self._changed[order] - self._changed[latest]).tobytes(),
            (self._unexplained[order] - self._unexplained[latest]).tobytes(),
            tuple(cut - n for cut in self._hard),
            tuple((w.start - n, w.end - n, w.cut - n, w.score) for w in self._soft),
            None if best is None else (best.start - n, best.end - n, best.cut - n, best.score),
            max(self._over - n, -longest),
            tuple((a - n, b - n, None if c is None else c - n) for a, b, c in self._plain),
            None if self._plain_from is None else (self._plain_from - n, self._plain_from > 0),
            tuple((a - n, b - n) for a, b in self._awaited),
            self._reported - n,
        )

    def distances(self, picture: NDArray[np.float32], *points: int) -> list[float]:
        """Root mean square differences of a picture from some of the kept points."""
        flat = picture.ravel()
        rows = self._points[np.array(points) % _KEPT]
        return [float(np.sqrt(np.mean((row - flat) ** 2))) for row in rows]

    def _add(self, i: int, picture: NDArray[np.float32]) -> None:
        at = i % _KEPT
        flat = picture.ravel().astype(np.float64)
        self._points[at] = flat
        products = self._points @ flat / flat.size
        self._norms[at] = products[at]
        apart = np.sqrt(np.maximum(self._norms + products[at] - 2 * products, 0))
        self._apart[at], self._apart[:, at] = apart, apart
        self._means[at] = flat.mean()
        self._spread[at] = math.sqrt(max(0.0, products[at] - self._means[at] ** 2))
        shades = np.sort(flat.reshape(-1, 3).T).reshape(3 * _SHADES, -1)
        self._shades[at] = shades.sum(1) / shades.shape[1]
        luma = picture.sum(2, dtype=np.float64)
        change, unexplained = (0.0, 0.0) if self._luma is None else _motion(self._luma, luma)
        self._luma = luma
        before = (i - 1) % _KEPT
        # Whole multiples of `_GRAIN`: their sums are exact, however long the video.
        self._changed[at] = self._changed[before] + round(change / _GRAIN) * _GRAIN
        self._unexplained[at] = self._unexplained[before] + round(unexplained / _GRAIN) * _GRAIN

    def _likeness(self, i: int, j: int) -> float:
        """Correlation of two pictures, towards 0 where they hardly have any contrast."""
        i, j = i % _KEPT, j % _KEPT
        shift = (self._means[i] - self._means[j]) ** 2
        covariance = self._spread[i] ** 2 + self._spread[j] ** 2 + shift - self._apart[i, j] ** 2
        return float(covariance / 2 / (self._spread[i] * self._spread[j] + 16))

    def _nearest(self, before: range, behind: range) -> float:
        """The least distance between a point before and one behind a change."""
        rows = np.array([max(k, 0, self.n - _KEPT) for k in before]) % _KEPT
        columns = np.array([min(k, self.n - 1) for k in behind]) % _KEPT
        return float(self._apart[np.ix_(rows, columns)].min())

    def _try_cut(self, cut: int) -> None:
        step = self._step(cut)
        if step < min(self._cut_change, _SLIDE_CHANGE):
            return
        around = sum(self._step(k) for k in range(cut - 3, cut + 4) if k != cut) / 6
        if step < self._cut_ratio * (around + 1):
            return
        alike = step < self._cut_change or self._likeness(cut - 1, cut) > _SAME
        if alike and not (around < _STILL and self._area(cut - 1, cut) > _SLIDE_AREA):
            return
        if self._nearest(range(cut - _NEAR, cut), range(cut, cut + _NEAR)) > _BACK * step:
            self._hard.append(cut)

    def _area(self, i: int, j: int) -> float:
        """The share of the picture that differs between two points."""
        change = np.abs(self._points[i % _KEPT] - self._points[j % _KEPT])
        return float((change.reshape(-1, 3).max(1) > 10).mean())

    def _step(self, i: int) -> float:
        """Distance of point `i` from the one before, 0 outside the video."""
        return float(self._apart[i % _KEPT, (i - 1) % _KEPT]) if 0 < i < self.n else 0.0

    def _try_dissolve(self, end: int) -> None:
        best = self._best
        if best is not None and end > best.end + _APART:
            self._soft.append(best)
            self._over = best.end
            self._best = best = None
        # A window may not begin within the last dissolve.
        fits = end - np.maximum(_REST, self._over) >= _LENGTHS
        if not fits.any():
            return
        lengths, rest = _LENGTHS[fits], _REST[fits]
        start = end - lengths
        scores = self._scores(start, end, rest, _HALVES[fits])
        k = int(scores.argmax())
        if scores[k] < self._dissolve or (best is not None and scores[k] <= best.score):
            return
        first = int(start[k])
        way = self._apart[end % _KEPT, first % _KEPT]
        if self._likeness(first, end) > _SAME:
            return
        if self._nearest(range(first - _AHEAD, first + 1), range(end, end + _AHEAD)) < _BACK * way:
            return
        # A window may begin long before the dissolve and end long after it: cut where the new
        # picture outweighs the old one.
        inside = np.arange(first, end + 1) % _KEPT
        old = self._apart[inside, first % _KEPT] <= self._apart[inside, end % _KEPT]
        self._best = _Window(first, end, first + int(old.sum()), float(scores[k]))

    def _scores(
        self,
        start: NDArray[np.int64],
        end: int,
        rest: NDArray[np.int64],
        half: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """How much the windows from `start` to `end` look like dissolves."""
        apart, e, s = self._apart, end % _KEPT, start % _KEPT
        m = (start + half) % _KEPT
        way = np.maximum(apart[e, s], 1.0)
        before, behind = apart[s, m] / way, apart[m, e] / way
        along = (before**2 + 1 - behind**2) / 2  # the law of cosines
        off = np.sqrt(np.maximum(before**2 - along**2, 0))
        unrest_before = apart[s, (start - rest) % _KEPT] / way
        unrest_behind = apart[e, (end + rest) % _KEPT] / way
        changed = self._changed[e] - self._changed[s]
        unexplained = (self._unexplained[e] - self._unexplained[s]) / (changed + 0.3)
        recoloured = self._shades[s] - self._shades[e]
        recoloured = np.sqrt((recoloured**2).mean(1)) / way
        features = np.stack(
            [
                np.log(way / 30),
                np.minimum(off, 1.5),
                np.minimum(np.maximum(unrest_before, unrest_behind), 2),
                np.minimum(np.minimum(unrest_before, unrest_behind), 2),
                unexplained,
                recoloured,
                np.ones_like(way),
            ]
        )
        scores: NDArray[np.float64] = _WEIGHTS @ features
        return scores

    def _follow_plain(self, i: int) -> None:
        if self._spread[i % _KEPT] < _PLAIN:
            if self._plain_from is None:
                self._plain_from = i
            elif i - self._plain_from == _PLAIN_RUN and self._plain_from > 0:
                self._hard.append(self._plain_from)
        elif self._plain_from is not None:
            start, self._plain_from = self._plain_from, None
            if i - start > _PLAIN_RUN:
                self._plain.append((start, i, i))
            elif start > 0:
                self._awaited.append((start, i))
            else:
                self._plain.append((start, i, None))
        self._settle_plain(i)

    def _settle_plain(self, i: float) -> None:
        """Decide on the plain runs that ended `_AHEAD` points ago."""
        for start, end in list(self._awaited):
            if i < end + _AHEAD:
                continue
            self._awaited.remove((start, end))
            old = self._strongest(range(start - _AHEAD, start))
            new = self._strongest(range(end, min(end + _AHEAD, self.n)))
            same = self._likeness(old, new) > _SAME
            self._plain.append((start, end, None if same else (start + end) // 2))

    def _strongest(self, points: range) -> int:
        """Which of these points has the most contrast."""
        kept = [k for k in points if max(0, self.n - _KEPT) <= k < self.n]
        return max(kept, key=lambda k: self._spread[k % _KEPT])

    def _report(self, until: int) -> list[int]:
        """The cuts up to a point: plain runs go before hard cuts, those before dissolves."""
        plain = self._plain
        cuts = {cut for _, _, cut in plain if cut is not None}
        hard = [
            cut
            for cut in self._hard
            if not any(start - 2 <= cut <= end + 2 for start, end, _ in plain)
        ]
        cuts.update(hard)
        for window in self._soft:
            clear = all(
                end + _AHEAD < window.start or window.end < start - _AHEAD
                for start, end, _ in plain
            )
            if clear and not any(window.start - 2 <= cut <= window.end + 2 for cut in hard):
                cuts.add(window.cut)
        ready = sorted(cut for cut in cuts if self._reported < cut <= until)
        self._reported = max(self._reported, until)
        self._hard = [cut for cut in self._hard if cut > until - _KEPT]
        self._soft = [window for window in self._soft if window.end > until - _KEPT]
        self._plain = [run for run in plain if run[1] > until - _KEPT]
        return ready


_WEIGHTS = np.array([2.36, -3.7, -1.77, -2.08, 17.94, 4.83, -15.12])

# Twice the distance from the middle of the picture, in points, without the outermost ones.
_Y, _X = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.float64)
_X = (2 * _X - (_WIDTH - 1))[1:-1, 1:-1].ravel()
_Y = (2 * _Y - (_HEIGHT - 1))[1:-1, 1:-1].ravel()
_PER_CHANGE, _PER_GRADIENT, _PER_DISTANCE = 3, 12, _WIDTH  # the whole numbers in `_motion`
_PER_BASIS = _PER_GRADIENT * np.array([1, 1, _PER_DISTANCE])


def _motion(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[float, float]:
    """How much luma changed (root mean square), and how much of it beyond shift and zoom.

    Of each point [h, w] the sum of red, green and blue, whole numbers, as is all that is summed
    here: see `_Way`. The change is projected on the gradients of the mean picture and on their
    radial component.
    """
    middle = before + after
    change = (after - before)[1:-1, 1:-1].ravel()
    across = (middle[1:-1, 2:] - middle[1:-1, :-2]).ravel()
    down = (middle[2:, 1:-1] - middle[:-2, 1:-1]).ravel()
    basis = np.stack([across, down, _X * across + _Y * down])
    matrix = (basis @ basis.T) / np.outer(_PER_BASIS, _PER_BASIS) + 0.1 * np.eye(3)
    target = (basis @ change) / (_PER_BASIS * _PER_CHANGE)
    energy = float(change @ change) / _PER_CHANGE**2
    explained = float(target @ np.linalg.solve(matrix, target))
    return math.sqrt(energy / change.size), math.sqrt(max(0.0, energy - explained) / change.size)
