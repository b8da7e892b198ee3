"""SMPTE time codes: `HH:MM:SS:FF` as editors count the frames of a video (SMPTE ST 12-1).

A time code names frames, not moments: at 29.97 frames a second it counts thirty to the second, so
its clock runs slow by 3.6 s an hour. Drop-frame codes keep to the wall clock by leaving out frame
*numbers* (never frames), 2 at every minute but each tenth, 4 at 59.94; they are written with a
semicolon before the frames. Rates of 48 and more count all their frames (0 to 59 at 59.94), as
editing systems show them, not the pairs of ST 12-1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from vidsearch.errors import VidsearchError

COUNTS = (24, 25, 30, 48, 50, 60)
"""How many frames a second of a time code may have: more do not fit its two digits."""
_SLOWED = Fraction(1000, 1001)
_FORM = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.,])(\d\d)", re.ASCII)
_DROPPED = {30: 2, 60: 4}  # numbers left out a minute, by frames a second

STANDARD_RATES = tuple(
    sorted(
        rate
        for count in (*COUNTS, 100, 120)
        for rate in (Fraction(count), count * _SLOWED)
        if count % 25 or rate.denominator == 1
    )
)
"""The frame rates of film and television, frames a second."""


def counted_at(rate: Fraction) -> int | None:
    """How many frames a second of time code has at this frame rate; None if it can have none.

    24 for 24 and 24000/1001, 30 for 30 and 30000/1001; None for 17.3, or for 120.
    """
    for count in COUNTS:
        if rate == count or (rate == count * _SLOWED and count % 25):
            return count
    return None


def nearest_standard(rate: Fraction, within: Fraction | None = None) -> Fraction | None:
    """The standard frame rate next to `rate`; None if it is further off than the share `within`."""
    best = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return best if within is None or abs(best - rate) <= within * best else None


def may_drop(rate: Fraction) -> bool:
    """Whether drop-frame codes exist at this rate: 29.97 and 59.94."""
    return counted_at(rate) in _DROPPED and rate.denominator != 1


@dataclass(frozen=True)
class TimeBase:
    """A way to count: the exact frame rate, and whether numbers are dropped.

    Raises `VidsearchError` for a rate that cannot be a time code, or cannot drop.
    """

    rate: Fraction
    drop: bool = False

    def __post_init__(self) -> None:
        if counted_at(self.rate) is None:
            raise VidsearchError(
                f"{rate_words(self.rate)} frames a second cannot be a time code: it counts"
                " 23.976, 24, 25, 29.97, 30, 47.952, 48, 50, 59.94 or 60"
            )
        if self.drop and not may_drop(self.rate):
            raise VidsearchError(
                f"{rate_words(self.rate)} frames a second have no drop-frame time code:"
                " 29.97 and 59.94 have"
            )

    @property
    def count(self) -> int:
        """Frames a second of time code."""
        return counted_at(self.rate) or 0

    @property
    def frames_a_day(self) -> int:
        """How many frames there are until the code starts anew after 23:59:59."""
        return 24 * 6 * self._frames_of_ten_minutes

    @property
    def _frames_of_ten_minutes(self) -> int:
        return 600 * self.count - 9 * self._dropped

    @property
    def _dropped(self) -> int:
        return _DROPPED[self.count] if self.drop else 0

    def code(self, frame: int) -> str:
        """The time code of the frame with this number, counted from 00:00:00:00.

        Starts anew after 24 hours. Raises `ValueError` below 0.
        """
        if frame < 0:
            raise ValueError(f"no frame has the number {frame}")
        number = frame % self.frames_a_day
        if self.drop:
            tens, rest = divmod(number, self._frames_of_ten_minutes)
            a_minute = 60 * self.count - self._dropped
            # The first minute of ten is whole; each other one starts with numbers left out.
            minutes = max(0, rest - self._dropped) // a_minute
            number += self._dropped * (9 * tens + minutes)
        seconds, frames = divmod(number, self.count)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        mark = ";" if self.drop else ":"
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{frames:02d}"

    def frame(self, code: str) -> int:
        """The number of the frame with this time code: the way back from `code`.

        How the code is punctuated does not matter, the time base knows whether it drops. Raises
        `ValueError` for what is no code of this base, numbers that are left out included.
        """
        read = _FORM.fullmatch(code.strip())
        if read is None:
            raise ValueError(f"{code!r} is not a time code: HH:MM:SS:FF")
        hours, minutes, seconds, frames = (int(read[i]) for i in (1, 2, 3, 5))
        if hours > 23 or frames >= self.count:
            raise ValueError(f"{code} is no time code at {rate_words(self.rate)} frames a second")
        if frames < self._dropped and not seconds and minutes % 10:
            raise ValueError(f"{code} is a number that drop-frame time codes leave out")
        all_minutes = 60 * hours + minutes
        counted = (60 * all_minutes + seconds) * self.count + frames
        return counted - self._dropped * (all_minutes - all_minutes // 10)


def drops(code: str) -> bool:
    """Whether a time code is written as one that drops numbers: `;`, or `,`, before the frames."""
    read = _FORM.fullmatch(code.strip())
    return read is not None and read[4] in ";,"


def rate_words(rate: Fraction) -> str:
    """A frame rate as people write it: `25`, `29.97`, `17.3`."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
