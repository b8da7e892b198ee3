"""Long shots are searched by parts, each with a keyframe of its own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from videos import encode

from vidsearch.media import decode
from vidsearch.segments import KEPT, Part, segment
from vidsearch.shots import WHOLE_S, make_detector


def still(number: int, size: tuple[int, int]):  # type: ignore[no-untyped-def]
    """One and the same picture, whatever the number: a shot without a cut."""
    from videos import numbered

    return numbered(5, size)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Part]:
    path = encode(tmp_path_factory.mktemp("long") / "long.mp4", n_frames=25 * 47, draw=still)
    with decode(path) as frames:
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
    from vidsearch.describe import _chosen

    times = [chosen.time_s for part in parts if (chosen := _chosen(part)) is not None]
    assert len(times) == len(parts) > 47 / 5
    assert all(0 < after - before <= 5 for before, after in pairwise(times))


def test_candidates_lie_in_their_part_and_are_few(parts: list[Part]) -> None:
    for part in parts:
        assert 1 <= len(part.candidates) <= KEPT
        assert all(part.start_s <= one.time_s < part.end_s for one in part.candidates)


def test_a_short_shot_is_one_part(tmp_path: Path) -> None:
    path = encode(tmp_path / "short.mp4", n_frames=int(25 * WHOLE_S) - 5, draw=still)
    with decode(path) as frames:
        (part,) = segment(frames, make_detector())
    assert part.whole
