"""Keyframes are sharp, seen, typical and away from transitions; the pool of candidates is small."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidsearch.keyframes import (
    INTERVAL_S,
    Candidate,
    CandidatePool,
    best_face_frame,
    look,
    representative,
    thumbnail,
)

Picture = NDArray[np.uint8]


def scene(seed: int, width: int = 320, height: int = 180) -> Picture:
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (4, 12, 60):
        noise = rng.random((cells, cells, 3)).astype(np.float32) - 0.5
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture / np.abs(picture).max() * 120 + 128, 0, 255).astype(np.uint8)


def candidates(pictures: dict[float, Picture]) -> list[Candidate[str]]:
    return [
        Candidate(round(25 * time_s), time_s, look(picture), f"{time_s}")
        for time_s, picture in pictures.items()
    ]


def chosen(pictures: dict[float, Picture], start_s: float, end_s: float) -> float:
    return representative(candidates(pictures), start_s, end_s).time_s


def test_the_middle_of_an_even_shot_stands_for_it() -> None:
    assert chosen({t / 5: scene(1) for t in range(21)}, 0.0, 4.0) == 2.0


def test_black_and_plain_frames_are_not_chosen() -> None:
    pictures = {t / 5: np.zeros_like(scene(1)) for t in range(20)}
    pictures |= {t / 5: np.full_like(scene(1), 250) for t in range(8, 12)}
    pictures[0.2] = scene(1)
    assert chosen(pictures, 0.0, 4.0) == 0.2


def test_a_wholly_black_shot_has_a_keyframe_too() -> None:
    assert chosen({t / 5: np.zeros_like(scene(1)) for t in range(11)}, 0.0, 2.0) == 1.0


def test_a_sharp_frame_goes_before_a_blurred_one_nearer_the_middle() -> None:
    pictures = {t / 5: cv2.GaussianBlur(scene(1), (0, 0), 4) for t in range(21)}
    pictures[1.2] = scene(1)
    assert chosen(pictures, 0.0, 4.0) == 1.2


def test_a_frame_within_a_dissolve_is_not_chosen() -> None:
    old, new = scene(1), scene(2)
    pictures = {t / 5: new for t in range(16)}
    for k, t in enumerate((0.0, 0.2, 0.4)):  # the second half of a dissolve begins the shot
        pictures[t] = cv2.addWeighted(old, 0.5 - k * 0.16, new, 0.5 + k * 0.16, 0)
    assert chosen(pictures, 0.0, 3.0) > 0.5


def test_a_passing_object_is_not_typical() -> None:
    pictures = {t / 5: scene(1) for t in range(21)}
    for t in (9, 10, 11):
        pictures[t / 5] = scene(2)
    assert chosen(pictures, 0.0, 4.0) not in (1.8, 2.0, 2.2)


def test_a_still_moment_goes_before_a_moving_one() -> None:
    moving = look(scene(1), np.roll(scene(1), 9, 1))
    still = look(scene(1), scene(1))
    assert moving.motion > still.motion == 0
    found = representative(
        [Candidate(25, 1.0, moving, "moving"), Candidate(30, 1.2, still, "still")], 0.0, 2.0
    )
    assert found.handle == "still"


def test_no_candidates_are_an_error() -> None:
    with pytest.raises(ValueError, match="no candidate frame"):
        representative([], 0.0, 1.0)


def test_the_frame_with_the_best_face_is_chosen_beside() -> None:
    first, second, third = candidates({0.0: scene(1), 1.0: scene(2), 2.0: scene(3)})
    assert best_face_frame([(first, 0.2), (second, 0.9), (third, 0.0)], beside=first) is second
    assert best_face_frame([(first, 0.0), (second, 0.0)]) is None
    assert best_face_frame([], beside=first) is None


def test_no_second_keyframe_where_the_first_shows_the_face_about_as_well() -> None:
    first, second = candidates({0.0: scene(1), 1.0: scene(2)})
    assert best_face_frame([(first, 0.8), (second, 0.9)], beside=first) is first


# --- the pool ----------------------------------------------------------------------------------


def fill(pool: CandidatePool[int], times: list[float], most: int) -> None:
    small = np.zeros((9, 16, 3), np.uint8)
    for i, time_s in enumerate(times):
        pool.push(i, time_s, small, i)
        assert len(pool) <= most


def test_an_hour_of_one_shot_keeps_few_frames_and_spreads_them() -> None:
    pool: CandidatePool[int] = CandidatePool(budget=8)
    fill(pool, [i / 5 for i in range(5 * 3600)], most=8 + 2)
    times = [candidate.time_s for candidate in pool.take(float("inf"))]
    gaps = np.diff(times)
    assert len(times) >= 4
    assert gaps[:-1].max() <= 2.1 * gaps[:-1].min()


def test_frames_within_the_lag_are_not_thinned() -> None:
    pool: CandidatePool[int] = CandidatePool(budget=4, lag=50)
    fill(pool, [i / 25 for i in range(1000)], most=4 + 50 // 5 + 3)
    late = [c.time_s for c in pool.take(float("inf")) if c.index >= 950]
    assert max(np.diff(late)) <= INTERVAL_S + 0.05


def test_what_is_taken_is_gone_and_what_is_later_stays() -> None:
    pool: CandidatePool[int] = CandidatePool(lag=100)
    fill(pool, [i / 25 for i in range(100)], most=30)
    early = pool.take(2.0)
    late = pool.take(4.0)
    assert max(c.time_s for c in early) < 2.0 <= min(c.time_s for c in late)
    assert len(pool.take(4.0)) <= 1  # the newest frame, at most


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.01, 0.9), min_size=2, max_size=80),
    st.lists(st.integers(1, 79), max_size=12),
    st.integers(0, 30),
)
def test_every_shot_of_a_quarter_second_has_a_candidate_at_any_frame_rate(
    gaps: list[float], cuts: list[int], lag: int
) -> None:
    times = np.cumsum([0.0, *gaps]).tolist()
    kept, last = [], 0.0
    for cut in sorted({cut for cut in cuts if cut < len(times)}):
        if times[cut] - last >= 0.25:
            kept.append(cut)
            last = times[cut]
    pool: CandidatePool[int] = CandidatePool(budget=4, lag=lag)
    small = np.zeros((9, 16, 3), np.uint8)
    start = 0
    for i, time_s in enumerate(times):
        pool.push(i, time_s, small, i)
        if kept and i == min(kept[0] + lag, len(times) - 1):
            cut = kept.pop(0)
            found = pool.take(times[cut])
            assert found
            assert all(start <= candidate.index < cut for candidate in found)
            start = cut
    assert pool.take(float("inf"))


def test_a_pool_for_one_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="two candidates"):
        CandidatePool(budget=1)


# --- thumbnails --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (320, 180)),
        ((202, 360), (180, 320)),
        ((120, 90), (120, 90)),
        ((900, 2), (320, 1)),
    ],
)
def test_thumbnails_are_small_jpegs_in_true_colours(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[..., 0] = 200  # red
    jpeg = thumbnail(picture)
    assert jpeg[:2] == b"\xff\xd8"
    back = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert (back.shape[1], back.shape[0]) == expected
    assert np.abs(back[..., ::-1].reshape(-1, 3).mean(0) - (200, 0, 0)).max() < 4
