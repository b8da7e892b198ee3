"""How editors count the frames of a video: its rate, and the time code of its first frame.

A video whose frames come unevenly has no frame numbers an editing system would agree with: those
conform it to an even rate, by time. So its frames are counted by time here too, at the standard
rate next to its average. A rate that cannot be a time code, such as 17.3, is refused until somebody
says at which rate to count.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from vidsearch.errors import VidsearchError
from vidsearch.excerpts import Excerpt
from vidsearch.records import Video
from vidsearch.smpte import (
    STANDARD_RATES,
    TimeBase,
    counted_at,
    drops,
    may_drop,
    nearest_standard,
    rate_words,
)

_ALIKE = Fraction(1, 5000)


@dataclass(frozen=True)
class Counting:
    """How the frames of one video are counted.

    `start` is the number of its first frame, by its time code. `by_time` says that frames are
    placed by their time at `rate`, not counted one by one. `base` is None where the rate cannot be
    a time code. `notes` are remarks for whoever exports.
    """

    video: Video
    rate: Fraction
    base: TimeBase | None
    start: int = 0
    by_time: bool = False
    notes: tuple[str, ...] = ()

    def span(self, excerpt: Excerpt) -> tuple[int, int]:
        """The numbers of an excerpt's frames, `[first, end)`, from the time code's 00:00:00:00."""
        if not self.by_time:
            return self.start + excerpt.start_frame, self.start + excerpt.end_frame
        first, end = self._at(excerpt.start_s), self._at(excerpt.end_s)
        return self.start + first, self.start + max(end, first + 1)

    def frame_at(self, excerpt: Excerpt, time_s: float) -> int:
        """The number of the frame on screen at a moment of an excerpt, at `time_s` of the video."""
        first, end = self.span(excerpt)
        share = (time_s - excerpt.start_s) / (excerpt.end_s - excerpt.start_s)
        return max(first, min(end - 1, first + int(share * (end - first) + 1e-6)))

    @property
    def n_frames(self) -> int:
        """How many frames the video has, counted so."""
        return max(1, self._at(self.video.duration_s) if self.by_time else self.video.n_frames)

    @property
    def time_base(self) -> TimeBase:
        """The base of its time codes; raises VidsearchError where the rate cannot have any."""
        if self.base is None:
            raise VidsearchError(
                f"{self.video.path}: {rate_words(self.rate)} frames a second cannot be a time code;"
                " say at which rate to count its frames by time, such as --rate 25"
            )
        return self.base

    def codes(self, excerpt: Excerpt) -> tuple[str, str]:
        """The time codes of an excerpt's first frame and of the one after its last."""
        first, end = self.span(excerpt)
        return self.time_base.code(first), self.time_base.code(end)

    def _at(self, time_s: float) -> int:
        return round(time_s * self.rate)


def counting(video: Video, rate: Fraction | None = None) -> Counting:
    """How to count the frames of a video; `rate` is somebody's wish, and counts by time.

    Raises VidsearchError where nobody knows its rate, or the wish cannot be a time code.
    """
    own = _own_rate(video)
    by_time = video.variable_rate
    notes: list[str] = []
    if rate is not None:
        TimeBase(rate)
        by_time = by_time or rate != own
    elif not own:
        raise VidsearchError(
            f"{video.path}: its frame rate is not known; index it again (vidsearch index --force),"
            " or say it, such as --rate 25"
        )
    elif by_time:
        rate = min(filter(counted_at, STANDARD_RATES), key=lambda known: abs(known - own))
        notes.append(
            f"{video.path}: its frames come unevenly, {rate_words(own)} a second on average; they"
            f" are counted by time at {rate_words(rate)}"
        )
    else:
        rate = own
    if counted_at(rate) is None:
        return Counting(video, rate, None, 0, by_time, tuple(notes))
    base = TimeBase(rate, drops(video.timecode) and may_drop(rate))
    start = 0
    if video.timecode:
        try:
            start = base.frame(video.timecode)
        except ValueError:
            notes.append(
                f"{video.path}: its time code {video.timecode} is none at {rate_words(rate)}"
                " frames a second; counted from 00:00:00:00"
            )
    return Counting(video, rate, base, start, by_time, tuple(notes))


def _own_rate(video: Video) -> Fraction:
    """The exact rate; of a video indexed by an older vidsearch the average, 0 if unknown."""
    if video.rate:
        return Fraction(video.rate)
    said = Fraction(video.frame_rate).limit_denominator(1001)
    return nearest_standard(said, _ALIKE) or said if said else said
