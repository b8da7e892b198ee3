"""From face tracks to the intervals in which somebody is on screen, as arrays.

Faces are looked for about every 0.8 s (`vidsearch.tracks`), so nobody knows to the frame when
somebody came or went. A track is taken to last

- half the distance between two looks longer on each side, since the face came or went somewhere
  between the look that shows it and the one that does not;
- to the edge of its shot where that is no further away than the part that is never looked at (the
  first and last 0.6 s at most, where one picture fades into another) and one look more;

and never beyond its shot. So an end inside a shot is right to within half a look, 0.4 s, and
mostly put there by a turned head; one at a cut is exact to the frame. Ends inside a shot are put
on frames by the shot's times: exactly where frames are evenly spaced, else as near as the
shot's mean rate tells (`Video.variable_rate`).

Intervals of one person that touch, as they do in consecutive shots, are one: it has the mean
probability of its tracks, weighed by their seconds, so that seconds times probability are the
seconds to be expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vidsearch.records import Ints, Reals, Rows

# When faces are looked for, as `vidsearch.tracks.face_times` and `vidsearch.keyframes.settled` say
# it (a test holds them together): those modules load OpenCV, which an answer has no need of.
_STEP_S, _LEAST, _MOST = 0.8, 3, 40
_UNSEEN_S, _UNSEEN_SHARE = 0.6, 0.25


@dataclass(frozen=True, eq=False)
class Spans:
    """Intervals `[start_s, end_s)` as columns [N], by video and start; none overlap if `joined`.

    `first_shot` and `last_shot` are rows of shots; `track` is the track with the highest
    probability of each, its evidence.
    """

    first_shot: Ints
    last_shot: Ints
    start_s: Reals
    end_s: Reals
    start_frame: Ints
    end_frame: Ints
    probability: Reals
    track: Ints

    def __len__(self) -> int:
        return len(self.track)

    @property
    def seconds(self) -> Reals:
        """How long each lasts."""
        return np.asarray(self.end_s - self.start_s)


def of_tracks(rows: Rows, tracks: Ints, probability: Reals) -> Spans:
    """What each of `tracks` (rows) covers, with the `probability` [N] given; by shot and start."""
    shot = rows.track_shot[tracks]
    start_s, end_s = _extended(rows, tracks)
    first = _frame(rows, shot, start_s)
    # Two ends that fall on one frame still show that frame.
    first = np.minimum(first, rows.shot_end_frame[shot] - 1)
    last = np.maximum(_frame(rows, shot, end_s), first + 1)
    start_s, end_s = _second(rows, shot, first), _second(rows, shot, last)
    order = np.lexsort((first, shot))
    columns: tuple[Any, ...] = (shot, shot, start_s, end_s, first, last, probability, tracks)
    return Spans(*(column[order] for column in columns))


def joined(rows: Rows, spans: Spans) -> Spans:
    """Intervals sorted by video and start, those that touch or overlap made one."""
    if not len(spans):
        return spans
    # All videos one behind the other, with room between them, so that one sweep does them all.
    last_shots = np.searchsorted(rows.shot_video, np.arange(len(rows.videos)), "right") - 1
    lengths = np.where(last_shots >= 0, rows.shot_end_frame[last_shots] + 1, 1)
    base = (np.cumsum(lengths) - lengths)[rows.shot_video[spans.first_shot]]
    reached = np.maximum.accumulate(base + spans.end_frame)
    new = np.ones(len(spans), bool)
    new[1:] = (base + spans.start_frame)[1:] > reached[:-1]
    starts = np.flatnonzero(new)
    weight = np.maximum(spans.seconds, 1e-9)
    total = np.add.reduceat(weight, starts)
    best = np.lexsort((-spans.probability, np.cumsum(new)))[starts]
    return Spans(
        spans.first_shot[starts],
        np.maximum.reduceat(spans.last_shot, starts),
        spans.start_s[starts],
        np.maximum.reduceat(spans.end_s, starts),
        spans.start_frame[starts],
        np.maximum.reduceat(spans.end_frame, starts),
        np.add.reduceat(weight * spans.probability, starts) / total,
        spans.track[best],
    )


def all_of(parts: Sequence[Spans]) -> Spans:
    """The intervals of several, by video and start."""
    if not parts:
        row, second = np.zeros(0, np.int64), np.zeros(0)
        return Spans(row, row, second, second, row, row, second, row)
    columns: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Spans)
    }
    order = np.lexsort((columns["start_frame"], columns["first_shot"]))
    return Spans(**{name: column[order] for name, column in columns.items()})


def spacing(length: Reals) -> tuple[Reals, Reals]:
    """Of parts of shots that last `length` [N]: how much of each end is never looked at for
    faces, and how far apart the looks are, in seconds."""
    unseen = np.minimum(_UNSEEN_S, _UNSEEN_SHARE * length)
    least = np.where(length > 1, _LEAST, 1)
    count = np.minimum(np.maximum(np.rint(length / _STEP_S), least), _MOST)
    return unseen, (length - 2 * unseen) / count


def _extended(rows: Rows, tracks: Ints) -> tuple[Reals, Reals]:
    """Seconds from which and to which tracks are taken to last."""
    shot = rows.track_shot[tracks]
    begin, end = rows.shot_start_s[shot], rows.shot_end_s[shot]
    seen_from, seen_to = rows.track_start_s[tracks], rows.track_end_s[tracks]
    # The first and the last part of the shot: the whole of it where it is searched as one.
    first_part = np.searchsorted(rows.keyframe_shot, shot, "left")
    last_part = np.searchsorted(rows.keyframe_shot, shot, "right") - 1
    unseen, step = spacing(rows.part_end_s[first_part] - rows.part_start_s[first_part])
    start = np.where(
        seen_from - begin <= unseen + _STEP_S, begin, np.maximum(begin, seen_from - step / 2)
    )
    unseen, step = spacing(rows.part_end_s[last_part] - rows.part_start_s[last_part])
    stop = np.where(end - seen_to <= unseen + _STEP_S, end, np.minimum(end, seen_to + step / 2))
    return start, stop


def _frame(rows: Rows, shot: Ints, time_s: Reals) -> Ints:
    """The frame whose beginning is nearest to a moment of its shot, the end of the last too."""
    begin, end = rows.shot_start_s[shot], rows.shot_end_s[shot]
    first, last = rows.shot_start_frame[shot], rows.shot_end_frame[shot]
    share = (time_s - begin) / np.maximum(end - begin, 1e-9)
    return np.asarray(first + np.rint(share * (last - first)), np.int64)


def _second(rows: Rows, shot: Ints, frame: Ints) -> Reals:
    """When a frame of a shot begins."""
    begin, end = rows.shot_start_s[shot], rows.shot_end_s[shot]
    first, last = rows.shot_start_frame[shot], rows.shot_end_frame[shot]
    share = (frame - first) / np.maximum(last - first, 1)
    # The edges themselves, not what rounding makes of them.
    return np.asarray(np.where(frame >= last, end, begin + share * (end - begin)), np.float64)
