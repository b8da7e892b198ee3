"""The timeline of one video: its shots, who is on screen when, and faces that are nobody known.

It is a snapshot: what is indexed, enrolled or said of faces later is in the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vidsearch.appearances import Appearance, appearances_of
from vidsearch.errors import InvalidQuery, VidsearchError
from vidsearch.everybody import everybody
from vidsearch.identities import Mask
from vidsearch.listing import Listing
from vidsearch.presence import of_tracks
from vidsearch.records import Box, Person, Reals, Rows, Video
from vidsearch.rows import of_video
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from idclip.identity import IdentityScorer

_SAME = 1e-6  # a moment that was computed from a frame's number must fall on that frame again


@dataclass(frozen=True)
class Stranger:
    """A face on screen that is nobody enrolled, or nobody for certain: one face track.

    `time_s` and `box` are of its clearest look.
    """

    video: str
    video_id: str
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    shot: int
    time_s: float
    box: Box


@dataclass(frozen=True)
class ShotSpan:
    """A shot of a timeline; `keyframes_s` are the times of the frames that stand for it."""

    shot: int
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    keyframes_s: tuple[float, ...]

    def frame_at(self, time_s: float) -> int:
        """The number of the frame on screen, which is exact where frames are evenly spaced."""
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        frame = self.start_frame + math.floor(share * (self.end_frame - self.start_frame) + _SAME)
        return max(self.start_frame, min(frame, self.end_frame - 1))


@dataclass(frozen=True)
class Moment:
    """What a video shows at `time_s`: the shot, its nearest keyframe, and who is on screen.

    `people` are whole appearances, the most probable first; `strangers` counts the faces that are
    nobody enrolled.
    """

    video: str
    video_id: str
    time_s: float
    frame: int
    shot: int
    shot_start_s: float
    shot_end_s: float
    keyframe_s: float
    people: Listing[Appearance]
    strangers: int


@dataclass(frozen=True, eq=False)
class Timeline:
    """One video: `shots` tile it; `appearances` and `strangers` are sorted by start.

    The appearances of one person never overlap.
    """

    video: Video
    shots: tuple[ShotSpan, ...]
    appearances: Listing[Appearance]
    strangers: Listing[Stranger]

    @property
    def end_s(self) -> float:
        """Where the last shot ends."""
        return self.shots[-1].end_s

    @property
    def people(self) -> tuple[str, ...]:
        """The names of who is on screen, by first appearance."""
        return tuple(dict.fromkeys(each.person for each in self.appearances))

    def at(self, time_s: float) -> Moment:
        """Who and what is on screen at a moment, in seconds from the first frame.

        Raises `InvalidQuery` where the video has no such moment: before 0, at its end or later.
        """
        self._check(time_s)
        shot = self._shot_at(time_s)
        starts, ends = self._people_spans
        found = [self.appearances[n] for n in _rows(starts <= time_s, ends > time_s)]
        starts, ends = self._stranger_spans
        return Moment(
            self.video.path,
            self.video.video_id,
            time_s,
            shot.frame_at(time_s),
            shot.shot,
            shot.start_s,
            shot.end_s,
            min(shot.keyframes_s, key=lambda keyframe_s: abs(keyframe_s - time_s)),
            Listing(Appearance, sorted(found, key=lambda each: -each.probability)),
            len(_rows(starts <= time_s, ends > time_s)),
        )

    def between(self, start_s: float, end_s: float) -> Listing[Appearance]:
        """The appearances in `[start_s, end_s)`, cut to it; their evidence may lie outside.

        An end beyond the video's is taken as that. Raises `InvalidQuery` where the video has
        nothing in that time, or it is none.
        """
        self._check(start_s)
        if not end_s > start_s:
            raise InvalidQuery(
                f"there is no time between {start_s:g} s and {end_s:g} s: the earlier comes first"
            )
        starts, ends = self._people_spans
        inside = [self.appearances[n] for n in _rows(starts < end_s, ends > start_s)]
        return Listing(Appearance, [self._cut(each, start_s, end_s) for each in inside])

    def to_arrow(self) -> pa.Table:
        """The appearances as a table, a column for each field of `Appearance`."""
        return self.appearances.to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """The appearances as a frame of pandas, which is in the extra `pandas`."""
        return self.appearances.to_pandas()

    @cached_property
    def _shot_starts(self) -> Reals:
        return np.array([shot.start_s for shot in self.shots])

    @cached_property
    def _people_spans(self) -> tuple[Reals, Reals]:
        return _bounds(self.appearances)

    @cached_property
    def _stranger_spans(self) -> tuple[Reals, Reals]:
        return _bounds(self.strangers)

    def _shot_at(self, time_s: float) -> ShotSpan:
        return self.shots[int(np.searchsorted(self._shot_starts, time_s, "right")) - 1]

    def _cut(self, whole: Appearance, start_s: float, end_s: float) -> Appearance:
        changed: dict[str, Any] = {}
        if whole.start_s < start_s:
            shot = self._shot_at(start_s)
            changed |= {
                "start_s": start_s,
                "start_frame": shot.frame_at(start_s),
                "first_shot": shot.shot,
            }
        if whole.end_s > end_s:
            last_s = math.nextafter(end_s, 0)  # `end_s` itself is not in it
            shot = self._shot_at(last_s)
            frame = 1 + shot.frame_at(max(shot.start_s, last_s - 2 * _SAME))
            changed |= {"end_s": end_s, "end_frame": frame, "last_shot": shot.shot}
        cut = replace(whole, **changed)  # where it ends by a rounding after it begins, one frame
        return replace(cut, end_frame=max(cut.end_frame, cut.start_frame + 1))

    def _check(self, time_s: float) -> None:
        if 0 <= time_s < self.end_s:
            return
        length = f"{self.video.path} is {timecode(self.end_s)} ({self.end_s:g} s) long"
        where = "before its first frame" if time_s < 0 else "no moment of it"
        raise InvalidQuery(f"{length}: {time_s:g} s is {where}")


def timeline(
    rows: Rows,
    scorer: IdentityScorer,
    video: Video,
    enrolled: Sequence[Person],
    threshold: float,
) -> Timeline:
    """The timeline of one video: whoever of `enrolled` has a track of `threshold` or more.

    Raises VidsearchError for a video without shots, because it failed.
    """
    own = of_video(rows, video.video_id)
    if own is None or not len(own.shot_video):
        reason = f" ({video.error})" if video.error else ""
        raise VidsearchError(f"{video.path} was not indexed{reason}: it has no timeline")
    own = replace(own, videos=(video,))
    known = np.zeros(len(own.track_shot), bool)
    found: list[Appearance] = []
    for seen in everybody(own, scorer, enrolled, enrolled, threshold):
        known |= seen.probability >= threshold
        found += appearances_of(own, seen, threshold)
    found.sort(key=lambda each: (each.start_s, each.end_s, each.person_id))
    return Timeline(
        video,
        tuple(_shots(own)),
        Listing(Appearance, found),
        Listing(Stranger, _strangers(own, ~known)),
    )


def _shots(own: Rows) -> Iterator[ShotSpan]:
    first = np.searchsorted(own.keyframe_shot, np.arange(len(own.shot_video) + 1))
    for n in range(len(own.shot_video)):
        yield ShotSpan(
            int(own.shot_index[n]),
            float(own.shot_start_s[n]),
            float(own.shot_end_s[n]),
            int(own.shot_start_frame[n]),
            int(own.shot_end_frame[n]),
            tuple(map(float, own.keyframe_s[first[n] : first[n + 1]])),
        )


def _strangers(own: Rows, unknown: Mask) -> Iterator[Stranger]:
    tracks = np.flatnonzero(unknown)
    spans = of_tracks(own, tracks, np.zeros(len(tracks)))
    video = own.videos[0]
    for n, track in enumerate(spans.track):
        first, last = np.searchsorted(own.look_track, [track, track + 1])
        look = first + int(np.argmax(own.look_quality[first:last]))
        x0, y0, x1, y1 = map(float, own.look_boxes[look])
        yield Stranger(
            video.path,
            video.video_id,
            float(spans.start_s[n]),
            float(spans.end_s[n]),
            int(spans.start_frame[n]),
            int(spans.end_frame[n]),
            int(own.shot_index[spans.first_shot[n]]),
            float(own.look_s[look]),
            (x0, y0, x1, y1),
        )


def _rows(started: Mask, lasts: Mask) -> list[int]:
    found: list[int] = np.flatnonzero(started & lasts).tolist()
    return found


def _bounds(spans: Sequence[Appearance | Stranger]) -> tuple[Reals, Reals]:
    return np.array([s.start_s for s in spans]), np.array([s.end_s for s in spans])
