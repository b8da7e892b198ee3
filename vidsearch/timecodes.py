"""Time codes: `hours:minutes:seconds` as people read and type them.

The form written is `00:00:04.200`, to the millisecond; the forms read are that one, `1:02`,
`00:00:04.2` and plain seconds such as `12.5` or `04.2`.
"""

from __future__ import annotations

import math
import re

from vidsearch.errors import InvalidQuery

_FORM = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,2}):)?(\d{1,9}(?:[.,]\d{1,9})?)s?", re.ASCII)


def timecode(seconds: float) -> str:
    """`seconds` as `HH:MM:SS.mmm`, rounded to the nearest millisecond.

    Raises `ValueError` for negative and non-finite values, which are never a moment of a video.
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{seconds} is not a time in a video")
    # Rounded as one number, so that 59.9996 carries over into the minute.
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}.{milliseconds:03d}"


def parse_timecode(text: str) -> float:
    """Seconds meant by `12.5`, `04.2`, `1:02`, `00:00:04.2` (a comma may stand for the point).

    Raises `InvalidQuery` for anything else, minutes or seconds of 60 and more after a colon
    included: `1:75` is more often a slip than 135 seconds.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidQuery(_refusal(text))
    hours, minutes, seconds = match.groups()
    value = float(seconds.replace(",", "."))
    if (minutes and value >= 60) or (hours and int(minutes) >= 60):
        raise InvalidQuery(_refusal(text))
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + value


def _refusal(text: str) -> str:
    return f"{text!r} is not a time: write seconds (12.5), minutes (1:02) or hours (00:00:04.2)"
