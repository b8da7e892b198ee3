"""What was said of a face is found again by video, time and box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.labels import NEAR_S, said_of, tracks_at
from vidsearch.records import Box, Label, Rows, Video

LEFT, RIGHT = (0.1, 0.2, 0.3, 0.6), (0.6, 0.2, 0.8, 0.6)


@dataclass(frozen=True)
class Face:
    video_id: str
    time_s: float
    box: Box


def rows_of(looks: list[tuple[int, int, float, Box]]) -> Rows:
    """Rows of looks (video, track, time, box), in order; each track is a shot of its own."""
    tracks = sorted({(video, track) for video, track, _, _ in looks})
    of = {key: n for n, key in enumerate(tracks)}
    nothing, none = np.zeros(0), np.zeros(0, np.int64)
    videos = tuple(Video(f"v{n}", (b"x",), 1, 1.0) for n in range(1 + tracks[-1][0]))
    look_track = np.array([of[video, track] for video, track, _, _ in looks], np.int64)
    n = len(looks)
    return Rows(
        videos=videos,
        shot_video=np.array([video for video, _ in tracks], np.int64),
        shot_index=np.arange(len(tracks)),
        shot_start_s=np.zeros(len(tracks)),
        shot_end_s=np.full(len(tracks), 100.0),
        shot_start_frame=np.zeros(len(tracks), np.int64),
        shot_end_frame=np.zeros(len(tracks), np.int64),
        keyframe_shot=none,
        keyframe_s=nothing,
        part_start_s=nothing,
        part_end_s=nothing,
        keyframe_vectors=np.zeros((0, 4), np.float32),
        track_shot=np.arange(len(tracks)),
        track_start_s=np.zeros(len(tracks)),
        track_end_s=np.full(len(tracks), 100.0),
        look_track=look_track,
        look_s=np.array([time_s for _, _, time_s, _ in looks]),
        look_boxes=np.array([box for *_, box in looks], np.float32).reshape(-1, 4),
        look_vectors=np.zeros((n, 4), np.float32),
        look_quality=np.ones(n, np.float32),
        look_cohort_mean=np.zeros(n, np.float32),
        look_cohort_std=np.ones(n, np.float32),
        figure_track=none,
        figure_vectors=np.zeros((0, 4), np.float32),
    )


def label(person: str, created_at: float, *, true: bool = True) -> Label:
    return Label(f"l{created_at}", "v0", 1.0, LEFT, person, true, created_at)


def test_of_two_faces_in_a_frame_the_one_at_the_place_is_meant() -> None:
    rows = rows_of([(0, 0, 1.0, LEFT), (0, 1, 1.0, RIGHT)])
    faces = [Face("v0", 1.0, RIGHT), Face("v0", 1.0, LEFT), Face("v0", 1.0, (0.4, 0.2, 0.5, 0.3))]
    assert tracks_at(rows, faces).tolist() == [1, 0, -1]


def test_of_two_faces_at_one_place_the_one_nearest_in_time_is_meant() -> None:
    rows = rows_of([(0, 0, 1.0, LEFT), (0, 1, 2.0, LEFT)])
    asked = [1.0, 1.4, 1.6, 3.9, 2.0 + NEAR_S + 0.1]
    assert tracks_at(rows, [Face("v0", t, LEFT) for t in asked]).tolist() == [0, 0, 1, 1, -1]


def test_faces_of_other_videos_are_never_meant() -> None:
    rows = rows_of([(0, 0, 99.0, LEFT), (1, 0, 0.0, LEFT)])
    faces = [Face("v0", 100.5, LEFT), Face("v1", 0.5, LEFT), Face("gone", 0.0, LEFT)]
    faces.append(Face("v0", 1000.0, LEFT))
    assert tracks_at(rows, faces).tolist() == [0, 1, -1, -1]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 500), st.integers(0, 3)),
        min_size=1,
        max_size=40,
        unique_by=lambda look: (look[0], look[2], look[3]),
    )
)
def test_every_face_is_found_at_its_own_look(found: list[tuple[int, int, int, int]]) -> None:
    places = [(0.0, 0.0, 0.2, 0.2), (0.25, 0.0, 0.45, 0.2), LEFT, RIGHT]
    looks = [(v, t, at / 5, places[place]) for v, t, at, place in sorted(found)]
    looks.sort(key=lambda look: look[:2])
    rows = rows_of(looks)
    faces = [Face(f"v{video}", time_s, box) for video, _, time_s, box in looks]
    assert tracks_at(rows, faces).tolist() == rows.look_track.tolist()


def test_the_latest_word_on_a_face_counts_and_it_is_one_person_only() -> None:
    rows = rows_of([(0, 0, 1.0, LEFT)])

    def said(person: str, *labels: Label) -> tuple[list[int], list[int]]:
        track = np.zeros(len(labels), np.int64)
        found = said_of(replace(rows, labels=labels, label_track=track), person)
        return found.are.tolist(), found.are_not.tolist()

    assert said("anna", label("anna", 1)) == ([0], [])
    assert said("marco", label("anna", 1)) == ([], [0])
    assert said("anna", label("anna", 1), label("marco", 2)) == ([], [0])
    assert said("anna", label("anna", 1), label("anna", 2, true=False)) == ([], [0])
    assert said("anna", label("anna", 1, true=False), label("anna", 2)) == ([0], [])
    assert said("marco", label("anna", 1, true=False)) == ([], [])
