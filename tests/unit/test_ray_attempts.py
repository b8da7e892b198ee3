"""What the death of a worker means for the file it worked on."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import workers  # noqa: F401  its function `index_job` hides the module of that name
from vidsearch.tasks import Task
from workers.actors import Taken
from workers.attempts import KILLS, Attempts, Death, ceiling_s
from workers.plan import Work


def test_a_file_that_crashes_its_worker_twice_goes_into_quarantine() -> None:
    attempts = Attempts(2)
    assert attempts.add(Death.FILE, "crashed (Aborted)") == ""
    assert attempts.add(Death.FILE, "crashed (Aborted)") == (
        "in quarantine: crashed (Aborted) twice; the file is probably damaged"
    )


def test_each_reason_is_told_where_they_differ() -> None:
    attempts = Attempts(2)
    attempts.add(Death.FILE, "crashed (Aborted)")
    assert "crashed (Aborted), then made no progress" in attempts.add(
        Death.FILE, "made no progress for 300 s"
    )


def test_nodes_that_go_away_are_never_held_against_a_file() -> None:
    attempts = Attempts(2)
    assert {attempts.add(Death.NODE, "the node is gone") for _ in range(50)} == {""}
    assert attempts.add(Death.FILE, "crashed (Aborted)") == ""  # the first of its own


def test_a_worker_that_others_kill_is_believed_some_times() -> None:
    attempts = Attempts(2)
    verdicts = [attempts.add(Death.KILLED, "its worker was killed") for _ in range(KILLS)]
    assert verdicts[:-1] == [""] * (KILLS - 1)
    assert verdicts[-1].startswith(f"in quarantine: its worker was killed {KILLS} times")


def test_a_hand_that_kills_the_workers_of_many_pieces_at_once_is_one_hand() -> None:
    attempts = Attempts(2)
    for _ in range(KILLS - 1):
        assert {attempts.add(Death.KILLED, "its worker was killed", n) for n in range(9)} == {""}
    assert attempts.add(Death.KILLED, "its worker was killed", 3) != ""


def test_crashes_of_any_pieces_count_together() -> None:
    attempts = Attempts(2)
    assert attempts.add(Death.FILE, "crashed (Aborted)", 1) == ""
    assert attempts.add(Death.FILE, "crashed (Aborted)", 2) != ""


def test_crashes_and_kills_are_counted_apart() -> None:
    attempts = Attempts(2)
    assert attempts.add(Death.KILLED, "its worker was killed") == ""
    assert attempts.add(Death.FILE, "crashed (Aborted)") == ""
    assert attempts.add(Death.KILLED, "its worker was killed") == ""
    assert attempts.add(Death.FILE, "crashed (Aborted)") != ""


def test_the_longer_a_file_the_longer_it_may_take() -> None:
    assert 3600 <= ceiling_s(0) < ceiling_s(10**9) < ceiling_s(10**11)


# --- when a worker must be ended -----------------------------------------------------------------

HOUR, GB = 3600.0, 10**9
STALL_S = 300.0


class Clock:
    """The driver's clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sys.modules["workers.index_job"], "time", clock)
    return clock


def running(size: int, *, taken: bool = True, begun: bool = True, of: int | None = None) -> Any:
    """Work of `size` bytes, a piece of a file of `of`."""
    task = Task((b"/archive/a.mp4",), "a", of or size, 0.0)
    file = sys.modules["workers.index_job"]._Running(Work(task, Attempts(2), size))
    if taken:
        file.took(Taken(1, "node", "host"))
    if taken and begun:
        file.began()
    return file


def test_a_file_that_goes_on_for_ever_is_ended_after_a_time_that_grows_with_it(
    clock: Clock,
) -> None:
    small, large = running(0), running(2 * GB)
    began_s = clock.now
    while clock.now - began_s <= HOUR:  # a frame now and then, which never ends
        assert small.overdue(STALL_S) == large.overdue(STALL_S) == ""
        clock.now += STALL_S
        small.moved_s = large.moved_s = clock.now
    assert small.overdue(STALL_S) == "took more than 1.0 hours"
    clock.now = large.moved_s = began_s + 7 * HOUR
    assert large.overdue(STALL_S) == ""
    clock.now = large.moved_s = began_s + 7 * HOUR + 1
    assert large.overdue(STALL_S) == "took more than 7.0 hours"
    large.stopped = "took more than 7.0 hours"
    assert large.overdue(STALL_S) == ""  # once


def test_a_file_of_which_no_frame_comes_is_ended_and_one_that_waits_for_a_worker_is_not(
    clock: Clock,
) -> None:
    at_work, waiting = running(GB), running(GB, taken=False)
    clock.now += STALL_S
    assert at_work.overdue(STALL_S) == ""
    clock.now += 1
    assert at_work.overdue(STALL_S) == "made no progress for 300 s"
    clock.now += 100 * HOUR
    assert waiting.overdue(STALL_S) == ""


def test_a_piece_may_take_as_long_as_its_file_for_it_may_have_to_do_all_that_follows(
    clock: Clock,
) -> None:
    piece = running(GB // 100, of=2 * GB)
    clock.now = piece.moved_s = clock.now + 7 * HOUR
    assert piece.overdue(STALL_S) == ""
    clock.now = piece.moved_s = clock.now + 1
    assert piece.overdue(STALL_S) == "took more than 7.0 hours"


def test_models_may_take_longer_to_load_than_a_frame_and_not_for_ever(clock: Clock) -> None:
    loading = running(GB, begun=False)
    clock.now += HOUR / 2
    assert loading.overdue(STALL_S) == ""
    clock.now += 1
    assert loading.overdue(STALL_S) == "had not loaded its models after 30 minutes"
    loading.began()
    assert loading.overdue(STALL_S) == ""


def test_who_had_not_begun_with_a_file_says_nothing_of_it() -> None:
    attempts = Attempts(2)
    assert {attempts.add(Death.START, "its worker never began") for _ in range(50)} == {""}
    assert not attempts.by_file
    assert not attempts.kills
