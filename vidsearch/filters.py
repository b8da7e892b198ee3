"""What a question may be narrowed to: some videos, a stretch of each, a date, a length, a number
of faces. Everything else of the archive is not searched at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from vidsearch.copies import matches
from vidsearch.errors import InvalidQuery
from vidsearch.identities import Mask
from vidsearch.records import Rows, Video

_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)
_RANGE = re.compile(r"\s*(.*?)\s*(?:\.\.\s*(.*?)\s*)?")
_EVER = (-np.inf, np.inf)


@dataclass(frozen=True)
class Filters:
    """What is searched; everything, as it stands.

    `videos` is a glob for paths or file names. `since` and `until` are seconds from the start of
    each video: shots that reach into that time are searched, by the parts and tracks that do.
    `min_duration` is the least length of a shot in seconds. `faces` is the least and the most
    number of face tracks in a shot (None: no most). `dates` are the seconds since 1970 from which
    and before which a video was recorded (see `recorded_at`).
    """

    videos: str | None = None
    since: float | None = None
    until: float | None = None
    min_duration: float = 0.0
    faces: tuple[int, int | None] | None = None
    dates: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Within:
    """The rows that `Filters` leave to be searched, a mask for each table."""

    shots: Mask  # [S]
    keyframes: Mask  # [K]
    tracks: Mask  # [T]
    looks: Mask  # [L]


def chosen(
    videos: str | None,
    since: float | None,
    until: float | None,
    min_duration: float,
    faces: str | int | None,
    date: str | None,
) -> Filters:
    """Filters as people write them; see `parse_faces` and `parse_dates`, which raise as they do.

    Raises `InvalidQuery` as well for a length that is less than nothing.
    """
    if not 0 <= min_duration < np.inf:
        raise InvalidQuery(f"{min_duration:g} s is no length of a shot: give seconds, as in 2.5")
    return Filters(
        videos,
        since,
        until,
        min_duration,
        None if faces is None else parse_faces(str(faces)),
        None if date is None else parse_dates(date),
    )


def within(rows: Rows, filters: Filters) -> Within:
    """The rows that are left: keyframes and tracks of the shots that are, in the time asked for.

    Looks are masked by the time alone.
    """
    after = 0.0 if filters.since is None else filters.since
    before = np.inf if filters.until is None else filters.until
    wanted = np.array([wanted_video(video, filters) for video in rows.videos], bool)
    shots = wanted[rows.shot_video] & (rows.shot_end_s > after) & (rows.shot_start_s < before)
    shots &= _long_enough(rows, filters) & _with_faces(rows, filters)
    parts = (rows.part_end_s > after) & (rows.part_start_s < before)
    tracks = (rows.track_end_s >= after) & (rows.track_start_s < before)
    looks = (rows.look_s >= after) & (rows.look_s < before)
    return Within(shots, parts & shots[rows.keyframe_shot], tracks & shots[rows.track_shot], looks)


def nowhere(rows: Rows, filters: Filters) -> str:
    """Why `within` leaves no shot, in a sentence."""
    if not len(rows.shot_video):
        return "The archive holds no shots yet: index some videos first"
    named = [video for video in rows.videos if _named(video, filters.videos)]
    if not named:
        return f"No video matches {filters.videos}"
    if not any(_dated(video, filters.dates) for video in named):
        which = "video" if filters.videos is None else "such video"
        return f"No {which} is of that date ({_span(named)})"
    if not _long_enough(rows, filters).any():
        longest = float((rows.shot_end_s - rows.shot_start_s).max())
        return f"No shot lasts {filters.min_duration:g} s (the longest: {longest:.1f} s)"
    if not _with_faces(rows, filters).any():
        return f"No shot shows that many faces (the most: {int(rows.tracks_of_shots.max())})"
    if filters.min_duration or filters.faces or filters.dates:
        return "No shot is left by the filters together: take one away"
    return "No shot lies in the time asked for"


def recorded_at(video: Video) -> float:
    """When a video was recorded, in seconds since 1970: as the file says, else as it was written.

    What a file says of itself survives copying; the time it was written does not always.
    """
    return video.recorded_at or video.mtime


def parse_dates(text: str) -> tuple[float, float]:
    """The time meant by `2024`, `2024-03`, `2024-03-05`, or a range `2024..2025-03`.

    A range takes in both ends, one of which may be left out (`2024..`). Days are those of this
    machine's time zone. Gives the seconds since 1970 from which and before which it is.
    Raises `InvalidQuery` for anything else, a day that no calendar has included.
    """
    first, last = _ends(text)
    if last is None:
        return _period(first, text)
    start = _period(first, text)[0] if first else _EVER[0]
    end = _period(last, text)[1] if last else _EVER[1]
    if start >= end or not (first or last):
        raise InvalidQuery(f"{text!r} holds no date: write the earlier one first, as 2023..2024")
    return start, end


def parse_faces(text: str) -> tuple[int, int | None]:
    """The least and the most number meant by `2`, `1..3`, `2..` or `..3`.

    Raises `InvalidQuery` for anything else.
    """
    first, last = _ends(text)
    ends = [first] if last is None else [first, last]
    if not any(ends) or not all(end == "" or re.fullmatch(r"[0-9]{1,4}", end) for end in ends):
        raise InvalidQuery(f"{text!r} is no number of faces: write 2, 1..3, 2.. or ..3")
    least = int(first or 0)
    most = least if last is None else (int(last) if last else None)
    if most is not None and most < least:
        raise InvalidQuery(f"{text!r} holds no number: write the smaller one first, as 1..3")
    return least, most


def _ends(text: str) -> tuple[str, str | None]:
    """The two ends of `A..B`; None for the second where there is no `..`."""
    match = _RANGE.fullmatch(text)
    return (text, None) if match is None else (match[1], match[2])


def _period(date: str, said: str) -> tuple[float, float]:
    """A year, a month or a day in seconds since 1970, its end not in it."""
    match = _DATE.fullmatch(date)
    if match is None:
        raise InvalidQuery(
            f"{said!r} is not a date: write 2024, 2024-03, 2024-03-05 or a range 2023..2024-06"
        )
    year, month, day = (int(part) if part else None for part in match.groups())
    try:
        first = datetime(year or 0, month or 1, day or 1)
        if day:
            after = datetime.fromordinal(first.toordinal() + 1)
        elif month:
            after = datetime(first.year + month // 12, month % 12 + 1, 1)
        else:
            after = datetime(first.year + 1, 1, 1)
        return first.astimezone().timestamp(), after.astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidQuery(f"{said!r} is no date of the calendar") from error


def wanted_video(video: Video, filters: Filters) -> bool:
    """Whether a video is searched, as far as its path and date say."""
    return _named(video, filters.videos) and _dated(video, filters.dates)


def _named(video: Video, glob: str | None) -> bool:
    """Whether a path of the video, or its file name, matches."""
    return glob is None or any(matches(path, glob) for path in video.paths)


def _dated(video: Video, dates: tuple[float, float] | None) -> bool:
    return dates is None or dates[0] <= recorded_at(video) < dates[1]


def _long_enough(rows: Rows, filters: Filters) -> Mask:
    return np.asarray(rows.shot_end_s - rows.shot_start_s >= filters.min_duration)


def _with_faces(rows: Rows, filters: Filters) -> Mask:
    if filters.faces is None:
        return np.ones(len(rows.shot_video), bool)
    least, most = filters.faces
    found = rows.tracks_of_shots
    return np.asarray((found >= least) & (found <= (np.inf if most is None else most)))


def _span(videos: Iterable[Video]) -> str:
    times = sorted(recorded_at(video) for video in videos)
    first, last = (datetime.fromtimestamp(at).date().isoformat() for at in (times[0], times[-1]))
    return f"they are of {first}" if first == last else f"they are of {first} to {last}"
