"""What a job hands out next, and what becomes of a video in pieces."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from vidsearch.decoding import Probe
from vidsearch.pieces import End, Leg, Mark, Passed, Piece
from vidsearch.records import Shot
from vidsearch.slate import Slate
from vidsearch.tasks import Progress, Recipe, Task
from workers.plan import Plan, Work

RECIPE = Recipe("concept", "default", "blend")
MB = 1_000_000


def task(name: str, size: int) -> Task:
    return Task((name.encode(),), name, size, 0.0)


def plan(*sizes: int, piece_s: float = 60.0, recipe: Recipe = RECIPE) -> Plan:
    return Plan([task(f"f{n}", size) for n, size in enumerate(sizes)], recipe, piece_s, 2)


def pieces(n: int) -> list[Piece]:
    return [Piece(i, i * 60.0 - 10, i * 60.0, (i + 1) * 60.0) for i in range(n)]


PROBE = Probe(
    "h264", "mov,mp4", 320, 180, 180.0, 25.0, 4500, 0.0, 0, False, 1.0, False, "sdr",
    Slate("", "", 0.0),
)  # fmt: skip


def passed(number: int, last: int, *, begins: bytes | None = None) -> Passed:
    """A pass over a piece of one shot of 100 frames, that leads to the next one."""
    mark = Mark(begins or b"%d" % number, 100 * (number > 0), int(number > 0), 0, 60.0 * number)
    stop = Mark(b"%d" % (number + 1), 200, int(number > 0) + 1, 0, 60.0 * (number + 1))
    return Passed(
        Piece(number),
        PROBE,
        Fraction(1, 25),
        (Fraction(25),),
        (1, 1),
        (Leg(mark, ((150, 150),)),),
        None if number == last else stop,
        End(200, 0, 180.0, False) if number == last else None,
    )


def shots(number: int) -> bytes:
    first = int(number > 0)
    return pickle.dumps((Shot(first, 0.0, 1.0, 100 * first, 100 * first + 100, (), ()),))


def test_big_files_come_first_and_their_pieces_before_the_next() -> None:
    job = plan(3 * MB, 9 * MB, MB)
    work = job.take()
    assert (work.task.video_id, work.may_split) == ("f1", True)
    job.split(work, pieces(3))
    assert (work.piece, work.size, work.may_split) == (pieces(3)[0], 3 * MB, False)
    order = [job.take() for _ in range(4)]
    assert [each.task.video_id for each in order] == ["f1", "f1", "f0", "f2"]
    assert [each.piece and each.piece.number for each in order] == [1, 2, None, None]
    assert sum(each.size for each in [work, *order[:2]]) == 9 * MB
    assert not job


@pytest.mark.parametrize(
    ("size", "changes"),
    [(MB, {}), (9 * MB, {"piece_s": 0.0}), (9 * MB, {"recipe": replace(RECIPE, detector="hash")})],
)
def test_what_cannot_be_long_or_not_be_split_is_not_asked(
    size: int, changes: dict[str, Any]
) -> None:
    assert not plan(size, **changes).take().may_split


def split(job: Plan, n: int) -> list[Work]:
    first = job.take()
    job.split(first, pieces(n))
    return [first, *(job.take() for _ in range(n - 1))]


def test_a_video_is_there_once_all_its_pieces_are_in_whatever_order() -> None:
    job = plan(9 * MB)
    works = split(job, 3)
    for number in (2, 0):
        assert job.passed(works[number], passed(number, 2), shots(number), 1.5) is None
    video = job.passed(works[1], passed(1, 2), shots(1), 1.5)
    assert video is not None
    assert video.seconds == 4.5
    found = video.result
    assert [(s.index, s.start_frame, s.end_frame) for s in found.shots] == [
        (0, 0, 100), (1, 200, 300), (2, 300, 400)
    ]  # fmt: skip
    assert (found.video.n_frames, found.video.status) == (400, "indexed")
    assert not job


def test_pieces_that_do_not_meet_ask_for_another_and_then_for_one_worker() -> None:
    job = plan(9 * MB)
    works = split(job, 2)
    assert job.passed(works[0], passed(0, 1), shots(0), 1.0) is None
    assert job.passed(works[1], passed(1, 1, begins=b"else"), shots(1), 1.0) is None
    for _ in range(2):
        further = job.take()
        assert further.piece is not None
        assert further.piece.begins == {b"1"}
        nothing = replace(passed(1, 1), piece=further.piece, legs=(), end=None)
        assert job.passed(further, nothing, pickle.dumps(()), 1.0) is None
    whole = job.take()
    assert (whole.piece, whole.may_split, whole.size) == (None, False, 9 * MB)
    assert all(work.is_moot for work in works)
    assert not job


def test_what_waits_of_a_file_that_was_given_up_is_dropped() -> None:
    job = plan(9 * MB, MB)
    first = job.take()
    job.split(first, pieces(4))
    job.drop(first)
    assert job.next.task.video_id == "f1"
    assert job.passed(first, passed(0, 3), shots(0), 1.0) is None
    job.again(first)
    assert job.take().task.video_id == "f1"
    assert not job


def test_the_progress_of_a_video_is_that_of_all_its_pieces() -> None:
    job = plan(9 * MB)
    works = split(job, 3)
    news = Progress("f0", "f0", 100, 30.0, 180.0, 2, 9 * MB)
    works[0].told(news)
    together = works[2].told(replace(news, seconds=10.0))
    assert (together.seconds, together.frames, together.shots) == (40.0, 200, 4)
    assert works[2].told(replace(news, seconds=20.0)).seconds == 50.0


def test_where_the_disk_is_full_one_worker_does_the_whole_file() -> None:
    job = plan(9 * MB)
    works = split(job, 3)
    assert job.passed(works[0], passed(0, 2), shots(0), 1.0) is None
    kept = works[0].split
    assert kept is not None
    kept.shelf._file = open("/dev/full", "wb+", buffering=0)  # noqa: SIM115  closed by the plan
    assert job.passed(works[1], passed(1, 2), shots(1), 1.0) is None
    whole = job.take()
    assert (whole.piece, whole.size) == (None, 9 * MB)
    assert all(work.is_moot for work in works)
