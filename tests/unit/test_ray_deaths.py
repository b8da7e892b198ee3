"""What is made of the death of a worker, from what Ray says and what the worker left behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import workers  # noqa: F401  its function `index_job` hides the module of that name
from workers import deaths as module
from workers.actors import Taken
from workers.attempts import Death
from workers.deaths import STILLBORN, STILLBORN_S, Deaths

PROCESS = Taken(7, "a", "host")


class RayError(Exception):
    """Like Ray's, of which a node's death is one."""


class NodeDied(RayError):
    pass


class OutOfMemory(RayError):
    pass


class Cluster:
    """Says which nodes are alive, once all was asked before."""

    def __init__(self, *alive: str) -> None:
        self.alive = alive
        self.exceptions = SimpleNamespace(
            RayError=RayError,
            NodeDiedError=NodeDied,
            LocalRayletDiedError=NodeDied,
            OutOfMemoryError=OutOfMemory,
        )

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": node, "Alive": node in self.alive} for node in "ab"]


class Left(Deaths):
    """A judge to whom it is told what the worker left behind."""

    left: str | None = None

    def _left_behind(self, process: Taken) -> str | None:
        return self.left


def judged(
    left: str | None, error: Exception, *, began: bool = True, stopped: str = "", alive: str = "ab"
) -> tuple[Death, str]:
    judge = Left(Cluster(*alive))
    judge.left = left
    return judge.judged(PROCESS, began, stopped, error)


def test_a_worker_that_died_of_its_file_says_so() -> None:
    assert judged("crashed (Aborted)", RayError()) == (Death.FILE, "crashed (Aborted)")
    assert judged(None, RayError(), stopped="made no progress") == (Death.FILE, "made no progress")


def test_one_that_says_nothing_was_killed_and_one_of_a_full_node_by_ray() -> None:
    assert judged("", RayError()) == (Death.KILLED, "its worker was killed")
    death, reason = judged("", OutOfMemory())
    assert (death, reason[:22]) == (Death.KILLED, "its node ran out of me")


def test_one_whose_news_did_not_arrive_had_begun_if_it_left_anything_behind() -> None:
    assert judged("", RayError(), began=False)[0] is Death.KILLED
    assert judged("crashed (Aborted)", RayError(), began=False)[0] is Death.FILE


def test_one_that_had_not_begun_says_nothing_of_its_file() -> None:
    death, reason = judged(None, RayError("SIGILL  in\nsome library"), began=False)
    assert death is Death.START
    assert reason.endswith("loaded its models (RayError: SIGILL in some library)")
    assert judged(None, RayError(), began=False, stopped="had not loaded")[0] is Death.START
    assert Deaths(Cluster("a")).judged(None, False, "", RayError("no"))[0] is Death.START


@pytest.mark.parametrize(("left", "began"), [("", True), (None, True), (None, False)])
def test_a_node_that_is_seen_to_go_after_its_worker_is_what_ended_it(
    left: str | None, began: bool
) -> None:
    assert judged(left, RayError(), began=began, alive="b") == (Death.NODE, "the node a is gone")
    assert judged(left, NodeDied(), began=began)[0] is Death.NODE


def test_some_workers_that_never_start_are_chance_and_many_over_a_time_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    judge = Deaths(Cluster("a"))
    assert not any(judge.none_starts() for _ in range(10 * STILLBORN))  # at once, of many cores
    judge.stillborn = 0  # one has taken its order
    clock.now += 2 * STILLBORN_S
    assert not judge.none_starts()
    clock.now += STILLBORN_S + 1
    assert [judge.none_starts() for _ in range(STILLBORN)].index(True) == STILLBORN - 2
