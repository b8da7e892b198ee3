"""Rows of an archive in memory: videos of tiled shots with face tracks, people on axes.

A face is a vector whose cosine to a person's axis is chosen, so that P follows from the cautious
function of `IdentityScorer.uncalibrated`: 0.42 is a probability of one half, 0.6 is 0.99.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from idclip.identity import IdentityScorer
from vidsearch.records import Person, Photo, Rows, Video

SCORER = IdentityScorer.uncalibrated("test")
FACE_DIM = 16
RATE = 25


def axis(number: int) -> NDArray[np.float32]:
    return np.eye(FACE_DIM, dtype=np.float32)[number]


def face(number: int, cosine: float) -> NDArray[np.float32]:
    """A face at this cosine from the person on an axis, the rest on an axis of nobody's."""
    return np.asarray(cosine * axis(number) + np.sqrt(1 - cosine**2) * axis(FACE_DIM - 1))


def person(number: int, name: str) -> Person:
    photo = Photo(f"{name}.jpg", name, b"", (0.0, 0.0, 1.0, 1.0), axis(number), 1.0, 0.0, 1.0)
    return Person(f"p{number}", name, (), (photo,), 0.0)


ANNA, MARCO, JOE = person(0, "Anna Rossi"), person(1, "Marco Bianchi"), person(2, "Joe Biden")
PEOPLE = (ANNA, MARCO, JOE)


@dataclass(frozen=True)
class Track:
    """A face seen from `start_s` to `end_s`, seconds of its shot, of person `who`."""

    who: int
    cosine: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Shot:
    """So many frames, with faces in them."""

    frames: int
    tracks: tuple[Track, ...] = ()


@dataclass
class Archive:
    """Videos as lists of shots; `rows()` is what an archive of them holds."""

    videos: list[Sequence[Shot]] = field(default_factory=list)

    def rows(self) -> Rows:
        shots, tracks, looks = [], [], []
        for number, video in enumerate(self.videos):
            first = 0
            for index, shot in enumerate(video):
                start, row = first / RATE, len(shots)
                last = first + shot.frames
                shots.append((number, index, start, last / RATE, first, last))
                for track in shot.tracks:
                    times = (start + track.start_s, start + track.end_s)
                    looks.append((len(tracks), sum(times) / 2, face(track.who, track.cosine)))
                    tracks.append((row, *times))
                first = last
        whole, real = np.int64, np.float64

        def column(table: Sequence[tuple], at: int, kind: type) -> NDArray:
            return np.array([row[at] for row in table], kind)

        starts, ends = column(shots, 2, real), column(shots, 3, real)
        vectors = np.array([look[2] for look in looks], np.float32).reshape(-1, FACE_DIM)
        ones = np.ones(len(looks), np.float32)
        return Rows(
            videos=tuple(
                Video(f"v{n}", (f"/films/{n}.mp4".encode(),), 0, 0.0, n_shots=len(video))
                for n, video in enumerate(self.videos)
            ),
            shot_video=column(shots, 0, whole),
            shot_index=column(shots, 1, whole),
            shot_start_s=starts,
            shot_end_s=ends,
            shot_start_frame=column(shots, 4, whole),
            shot_end_frame=column(shots, 5, whole),
            keyframe_shot=np.arange(len(shots)),
            keyframe_s=(starts + ends) / 2,
            part_start_s=starts,
            part_end_s=ends,
            keyframe_vectors=np.ones((len(shots), 1), np.float32),
            track_shot=column(tracks, 0, whole),
            track_start_s=column(tracks, 1, real),
            track_end_s=column(tracks, 2, real),
            look_track=column(looks, 0, whole),
            look_s=column(looks, 1, real),
            look_boxes=np.tile(np.array([0.1, 0.2, 0.3, 0.5], np.float32), (len(looks), 1)),
            look_vectors=vectors,
            look_quality=ones,
            look_cohort_mean=0 * ones,
            look_cohort_std=ones,
            figure_track=np.zeros(0, whole),
            figure_vectors=np.zeros((0, 1), np.float32),
        )
