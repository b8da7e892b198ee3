"""Following faces through one shot.

Faces are looked for on a few frames of a shot (`face_times`), joined by where they are
(`follow`), and only the best looks of each track (`best_looks`) are worth the cost of a vector.
Pieces of a track that broke when the face turned away are then joined by likeness
(`join_alike`). Two faces of one frame are never one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidsearch.keyframes import settled
from vidsearch.records import Box

T = TypeVar("T")

STEP_S = 0.8  # between two looks for faces: a face rarely comes and goes faster
_LEAST = 3  # looks in a shot of more than a second, so that one blink or blur does not decide
_MOST = 40  # looks in a shot, however long; beyond 32 s the step grows
_REACH = 1.2  # face widths a face may move between two looks
_SIZES = 0.5  # the smaller of two joined faces has at least this share of the other's width
_GAP_S = 2.5  # a face unseen for longer starts a new track


@dataclass(frozen=True, eq=False)
class Detected(Generic[T]):
    """A face in one frame: its time, its relative box, its quality and whatever it came from."""

    time_s: float
    box: Box
    quality: float
    source: T


def face_times(start_s: float, end_s: float) -> list[float]:
    """When to look for faces in the shot `[start_s, end_s)`, rising, all inside it.

    One look each 0.8 s, at least 3 in shots of over a second, at most 40, in the middle of equal
    parts of the shot without its ends: a face seen through a dissolve is half somebody else's.
    """
    length = end_s - start_s
    if length <= 0:
        return []
    count = max(round(length / STEP_S), _LEAST if length > 1 else 1)
    count = min(count, _MOST)
    first_s, last_s = settled(start_s, end_s)
    return [first_s + (last_s - first_s) * (i + 0.5) / count for i in range(count)]


def follow(frames: Sequence[Sequence[Detected[T]]]) -> list[list[Detected[T]]]:
    """Faces of several frames of one shot, joined to tracks by where they are.

    `frames` are in order of time, each with the faces of one frame. A track takes at most one
    face a frame, the nearest first, if neither its place nor its size jumped. Tracks are in the
    order of their first faces, and every face is in exactly one.
    """
    tracks: list[list[Detected[T]]] = []
    for faces in frames:
        alive = [track for track in tracks if faces and _recent(track[-1], faces[0])]
        costs = [
            (cost, i, j)
            for i, track in enumerate(alive)
            for j, face in enumerate(faces)
            if (cost := _distance(track[-1].box, face.box)) is not None
        ]
        taken_tracks: set[int] = set()
        taken_faces: set[int] = set()
        for _, i, j in sorted(costs):
            if i not in taken_tracks and j not in taken_faces:
                taken_tracks.add(i)
                taken_faces.add(j)
                alive[i].append(faces[j])
        tracks += [[face] for j, face in enumerate(faces) if j not in taken_faces]
    return tracks


def best_looks(
    track: Sequence[Detected[T]], keep: int = 3, *, least_quality: float = 0.0
) -> list[Detected[T]]:
    """Up to `keep` looks of a track, best first, spread in time.

    The best face is always kept unless it is under `least_quality`; a further one counts for
    less the nearer in time it is to one already chosen, since it shows the same again.
    """
    left = [face for face in track if face.quality >= least_quality]
    span = max((face.time_s for face in track), default=0) - min(
        (face.time_s for face in track), default=0
    )
    apart = max(span / keep, 1e-6)
    chosen: list[Detected[T]] = []
    while left and len(chosen) < keep:
        times = [face.time_s for face in chosen]

        def worth(face: Detected[T], times: Sequence[float] = times) -> float:
            nearest = min((abs(face.time_s - t) for t in times), default=apart)
            return face.quality * (0.5 + 0.5 * min(1.0, nearest / apart))

        best = max(left, key=worth)
        chosen.append(best)
        left.remove(best)
    return chosen


def join_alike(
    tracks: Sequence[Sequence[Detected[T]]],
    probability: NDArray[np.float32],
    *,
    threshold: float = 0.5,
) -> list[list[int]]:
    """Which tracks are pieces of one: groups of their indices, in order of their first faces.

    `probability` [T, T] is P(same person) of each pair. The most alike are joined first; tracks
    that share a frame never are, however alike.
    """
    groups = [[i] for i in range(len(tracks))]
    group_of = list(range(len(tracks)))
    times = [{face.time_s for face in track} for track in tracks]
    pairs = [
        (float(probability[i, j]), i, j)
        for i in range(len(tracks))
        for j in range(i + 1, len(tracks))
        if probability[i, j] >= threshold
    ]
    for _, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        a, b = group_of[i], group_of[j]
        if a == b or times[a] & times[b]:
            continue
        groups[a] = sorted(groups[a] + groups[b])
        times[a] |= times[b]
        for member in groups[b]:
            group_of[member] = a
        groups[b] = []
    return sorted(group for group in groups if group)


def _recent(last: Detected[T], now: Detected[T]) -> bool:
    return 0 < now.time_s - last.time_s <= _GAP_S


def _distance(a: Box, b: Box) -> float | None:
    """How far apart two faces are, in face sizes; None where they cannot be one face."""
    sizes = [(box[2] - box[0], box[3] - box[1]) for box in (a, b)]
    if min(min(size) for size in sizes) <= 0:
        return None
    width, height = (max(sizes[0][k], sizes[1][k]) for k in (0, 1))
    if any(min(sizes[0][k], sizes[1][k]) < _SIZES * max(sizes[0][k], sizes[1][k]) for k in (0, 1)):
        return None
    across = (a[0] + a[2] - b[0] - b[2]) / 2 / width
    down = (a[1] + a[3] - b[1] - b[3]) / 2 / height
    distance = float(np.hypot(across, down))
    return distance if distance <= _REACH else None
