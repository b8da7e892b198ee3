"""What the death of a worker means for the file it worked on."""

from __future__ import annotations

from workers.attempts import KILLS, Attempts, Death, ceiling_s


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
