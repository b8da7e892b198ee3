"""What people said of faces, found again in the archive as it is now.

A label names a face by video, time and box (`vidsearch.records.Label`), because the rows it was
said of are replaced when a video is indexed again. `tracks_at` finds the track that shows the
face today, `Said` is what holds of one person: the latest word on a track counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import Box, Ints, Rows

NEAR_S = 2.0  # a face is looked for this far from the time it was named at
LEAST_OVERLAP = 0.3  # of the boxes (intersection over union), to be the face that was meant


class Face(Protocol):
    """A face named by video, time and box."""

    @property
    def video_id(self) -> str: ...

    @property
    def time_s(self) -> float: ...

    @property
    def box(self) -> Box: ...


@dataclass(frozen=True, eq=False)
class Said:
    """The tracks (row numbers) said to be one person, and those said not to be them.

    A track that is said to be somebody else is among the latter.
    """

    are: Ints
    are_not: Ints


def said_of(rows: Rows, person_id: str) -> Said:
    """What was said about one person, the latest word on each track and person."""
    who, not_them = who_is(rows)
    others = {track for track, is_one in who.items() if is_one != person_id}
    denied = {track for track, people in not_them.items() if person_id in people}
    are = [track for track, is_one in who.items() if is_one == person_id]
    return Said(np.array(sorted(are), np.int64), np.array(sorted(others | denied), np.int64))


def who_is(rows: Rows) -> tuple[dict[int, str], dict[int, set[str]]]:
    """The ids of who tracks were said to be, and of those they were said not to be."""
    who: dict[int, str] = {}
    not_them: dict[int, set[str]] = {}
    for label, track in zip(rows.labels, rows.label_track.tolist(), strict=True):
        if track < 0 or label.kind != "person":
            continue
        if label.is_person:
            who[track] = label.person_id
            not_them.get(track, set()).discard(label.person_id)
        else:
            not_them.setdefault(track, set()).add(label.person_id)
            if who.get(track) == label.person_id:
                del who[track]
    return who, not_them


def tracks_at(rows: Rows, faces: Sequence[Face]) -> Ints:
    """The row of the track that shows each of `faces` [N], -1 where none does.

    It is the one with a look nearest in time, `NEAR_S` at most, whose box overlaps the face's; of
    looks at the same time the one that overlaps most.
    """
    tracks = np.full(len(faces), -1, np.int64)
    place = {video.video_id: number for number, video in enumerate(rows.videos)}
    video = np.array([place.get(face.video_id, -1) for face in faces], np.int64)
    asked = np.flatnonzero(video >= 0)
    if not len(asked) or not len(rows.look_track):
        return tracks
    look_video = rows.shot_video[rows.track_shot[rows.look_track]]
    looks = np.flatnonzero(np.isin(look_video, video[asked]))
    looks = looks[np.lexsort((rows.look_s[looks], look_video[looks]))]
    # One growing number a look: seconds, with more than any video's length between videos.
    apart = float(rows.look_s.max(initial=0.0)) + 4 * NEAR_S
    clock = look_video[looks] * apart + rows.look_s[looks]
    time_s = np.array([faces[at].time_s for at in asked.tolist()])
    at_s = video[asked] * apart + np.minimum(time_s, apart - 2 * NEAR_S)
    first = np.searchsorted(clock, at_s - NEAR_S, "left")
    count = np.searchsorted(clock, at_s + NEAR_S, "right") - first
    of = np.repeat(np.arange(len(asked)), count)
    near = looks[np.arange(len(of)) + np.repeat(first - (np.cumsum(count) - count), count)]
    boxes = np.array([faces[at].box for at in asked.tolist()], np.float64).reshape(-1, 4)
    overlap = overlaps(boxes[of], rows.look_boxes[near].astype(np.float64))
    off_s = np.round(np.abs(rows.look_s[near] - time_s[of]), 3)
    there = np.flatnonzero(overlap >= LEAST_OVERLAP)
    best = there[np.lexsort((-overlap[there], off_s[there], of[there]))]
    found, where = np.unique(of[best], return_index=True)
    tracks[asked[found]] = rows.look_track[near[best[where]]]
    return tracks


def overlaps(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes [N, 4] and [N, 4], row by row."""
    low, high = np.maximum(ours[:, :2], theirs[:, :2]), np.minimum(ours[:, 2:], theirs[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = sum(np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1) for b in (ours, theirs))
    return np.asarray(both / np.maximum(areas - both, 1e-12))
