"""Long shots are searched by parts, each with a keyframe of its own."""

from __future__ import annotations

import gc
from itertools import pairwise
from pathlib import Path

import pytest
from videos import encode

from vidsearch.media import Frame, decode
from vidsearch.segments import Part, segment
from vidsearch.shots import WHOLE_S, make_detector
from vidsearch.tracks import STEP_S, face_times


def still(number: int, size: tuple[int, int]):  # type: ignore[no-untyped-def]
    """One and the same picture, whatever the number: a shot without a cut."""
    from videos import numbered

    return numbered(5, size)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("long") / "long.mp4", n_frames=25 * 47, draw=still)


@pytest.fixture(scope="module")
def parts(long: Path) -> list[Part]:
    with decode(long) as frames:
        return list(segment(frames, make_detector()))


def test_the_parts_of_one_long_shot_tile_it(parts: list[Part]) -> None:
    assert {part.shot for part in parts} == {0}
    assert parts[0].start_s == 0
    assert parts[-1].span is not None
    assert parts[-1].end_s == parts[-1].span.end_s == pytest.approx(47)
    assert all(part.span is None for part in parts[:-1])
    for before, after in pairwise(parts):
        assert before.end_s == after.start_s


def test_two_keyframes_are_never_more_than_five_seconds_apart(parts: list[Part]) -> None:
    times = [part.keyframe.time_s for part in parts if part.keyframe is not None]
    assert len(times) == len(parts) > 47 / 5
    assert all(0 < after - before <= 5 for before, after in pairwise(times))


def test_frames_to_look_at_lie_in_their_part_the_keyframe_among_them(parts: list[Part]) -> None:
    for part in parts:
        assert part.keyframe in part.looks
        assert all(part.start_s <= one.time_s < part.end_s for one in part.looks)
        assert [one.time_s for one in part.looks] == sorted({one.time_s for one in part.looks})


def test_faces_are_looked_for_where_they_are_due(parts: list[Part]) -> None:
    for part in parts:
        for due_s in face_times(part.start_s, part.end_s):
            nearest = min(abs(one.time_s - due_s) for one in part.looks)
            assert nearest < STEP_S


def test_frames_that_nobody_looks_at_are_let_go(tmp_path: Path) -> None:
    path = encode(tmp_path / "short.mp4", n_frames=25 * 3, draw=still)
    before = alive_frames()
    with decode(path) as frames:
        (part,) = segment(frames, make_detector())
    del frames
    assert alive_frames() - before == len(part.looks) <= round(3 / STEP_S) + 1


def alive_frames() -> int:
    gc.collect()
    return sum(type(each) is Frame for each in gc.get_objects())


def test_a_short_shot_is_one_part(tmp_path: Path) -> None:
    path = encode(tmp_path / "short.mp4", n_frames=int(25 * WHOLE_S) - 5, draw=still)
    with decode(path) as frames:
        (part,) = segment(frames, make_detector())
    assert part.span is not None
    assert (part.start_s, part.end_s) == (part.span.start_s, part.span.end_s)
