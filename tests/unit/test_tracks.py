"""Faces are followed by place, kept by quality, and joined by likeness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.tracks import Detected, best_looks, face_times, follow, join_alike


def seen(time_s: float, x: float, *, width: float = 0.1, quality: float = 0.5) -> Detected[str]:
    box = (x - width / 2, 0.4 - width / 2, x + width / 2, 0.4 + width / 2)
    return Detected(time_s, box, quality, f"{time_s:.2f}@{x:.2f}")


def names(tracks: list[list[Detected[str]]]) -> list[list[str]]:
    return [[face.source for face in track] for track in tracks]


def test_two_people_side_by_side_are_two_tracks() -> None:
    frames = [[seen(t, 0.3), seen(t, 0.7)] for t in (0.0, 0.8, 1.6)]

    tracks = follow(frames)

    assert names(tracks) == [
        ["0.00@0.30", "0.80@0.30", "1.60@0.30"],
        ["0.00@0.70", "0.80@0.70", "1.60@0.70"],
    ]


def test_a_walking_face_is_followed_while_another_sits() -> None:
    frames = [[seen(0.0, 0.2), seen(0.0, 0.6)], [seen(0.8, 0.28), seen(0.8, 0.6)],
              [seen(1.6, 0.36), seen(1.6, 0.6)]]  # fmt: skip

    assert sorted(len(track) for track in follow(frames)) == [3, 3]
    assert {face.source[-4:] for face in follow(frames)[1]} == {"0.60"}


def test_a_face_that_jumps_across_the_picture_is_somebody_else() -> None:
    assert len(follow([[seen(0.0, 0.2)], [seen(0.8, 0.8)]])) == 2


def test_a_face_twice_as_large_in_the_same_place_is_somebody_else() -> None:
    assert len(follow([[seen(0.0, 0.5, width=0.1)], [seen(0.8, 0.5, width=0.3)]])) == 2


def test_a_face_missed_once_goes_on_and_one_long_unseen_does_not() -> None:
    once = follow([[seen(0.0, 0.5)], [], [seen(1.6, 0.5)]])
    long = follow([[seen(0.0, 0.5)], [], [seen(9.0, 0.5)]])

    assert (len(once), len(long)) == (1, 2)


@given(
    st.lists(st.lists(st.tuples(st.floats(0.1, 0.9), st.floats(0.02, 0.3)), max_size=5), max_size=6)
)
def test_every_face_is_in_one_track_and_no_track_holds_two_of_a_frame(
    places: list[list[tuple[float, float]]],
) -> None:
    frames = [[seen(0.8 * i, x, width=w) for x, w in faces] for i, faces in enumerate(places)]

    tracks = follow(frames)

    assert sum(map(len, tracks)) == sum(map(len, frames))
    for track in tracks:
        times = [face.time_s for face in track]
        assert times == sorted(set(times))


def test_the_best_look_comes_first_and_the_next_is_not_its_neighbour() -> None:
    track = [seen(0.0, 0.5, quality=0.90), seen(0.1, 0.5, quality=0.89),
             seen(3.0, 0.5, quality=0.80)]  # fmt: skip

    assert [look.time_s for look in best_looks(track, 2)] == [0.0, 3.0]


def test_a_far_worse_look_is_not_taken_for_the_sake_of_distance() -> None:
    track = [seen(0.0, 0.5, quality=0.9), seen(0.1, 0.5, quality=0.9),
             seen(3.0, 0.5, quality=0.1)]  # fmt: skip

    assert [look.time_s for look in best_looks(track, 2)] == [0.0, 0.1]


def test_looks_under_the_least_quality_are_not_kept() -> None:
    assert best_looks([seen(0.0, 0.5, quality=0.1)], 3, least_quality=0.2) == []


def test_pieces_that_look_alike_become_one_but_never_two_faces_of_a_frame() -> None:
    early, late = [seen(0.0, 0.2)], [seen(2.0, 0.7)]
    beside = [seen(2.0, 0.3)]
    alike = np.array([[1, 0.9, 0.8], [0.9, 1, 0.99], [0.8, 0.99, 1]], np.float32)

    assert join_alike([early, late, beside], alike) == [[0, 1], [2]]


def test_pieces_that_do_not_look_alike_stay_apart() -> None:
    alike = np.array([[1, 0.3], [0.3, 1]], np.float32)

    assert join_alike([[seen(0.0, 0.2)], [seen(2.0, 0.2)]], alike) == [[0], [1]]


@pytest.mark.parametrize(
    ("length", "looks"), [(0.0, 0), (0.04, 1), (0.9, 1), (1.2, 3), (4.0, 5), (3600.0, 40)]
)
def test_long_shots_get_more_looks_up_to_a_limit(length: float, looks: int) -> None:
    assert len(face_times(10.0, 10.0 + length)) == looks


@given(st.floats(0, 1e4), st.floats(1e-3, 1e4))
def test_looks_rise_inside_their_shot(start: float, length: float) -> None:
    end = start + length
    times = face_times(start, end)

    assert times == sorted(times)
    assert all(start <= time <= end for time in times)


def test_no_face_is_looked_for_where_a_dissolve_may_be() -> None:
    dissolve_s = 0.5  # the half of it that lies in this shot

    times = face_times(10.0, 14.0)

    assert min(times) > 10.0 + dissolve_s
    assert max(times) < 14.0 - dissolve_s
