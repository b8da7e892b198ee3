"""Whom an analysis asks for its vectors: after one that was waited for in vain, others first."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vidsearch.errors import VidsearchError
from workers import shared as module
from workers.shared import LATE_S, PATIENCE_S, Requests

PICTURES = np.zeros((1, 2, 2, 3), np.uint8)


class RayError(Exception):
    """What Ray says of an actor that died."""


class TaskError(RayError):
    """What it says of one that raised."""


class Actor:
    """An actor that answers with its name, unless it is lost, or dead."""

    def __init__(self, name: int, fate: str = "") -> None:
        self.name = name
        self.fate = fate
        self.encode = SimpleNamespace(remote=lambda sent, origin: self)


class Ray:
    """A Ray on whose node `here` the analysis runs, and its time."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=TaskError)

    def __init__(self) -> None:
        self.here = "elsewhere"
        self.now_s = 100.0
        self.asked: list[int] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: self.here)

    def wait(self, calls: list[Actor], timeout: float) -> tuple[list[Actor], list[Actor]]:
        (actor,) = calls
        self.asked.append(actor.name)
        if actor.fate == "lost":
            self.now_s += timeout
            return [], calls
        return calls, []

    def get(self, actor: Actor) -> int:
        if actor.fate == "dead":
            raise RayError
        return actor.name

    def cancel(self, actor: Actor) -> None:
        pass


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(module, "time", ray)
    return ray


def ask(requests: Requests, *actors: Actor) -> int:
    handles = tuple((f"node{actor.name}", actor) for actor in actors)
    return int(requests.ask(handles, "the encoder", "encode", PICTURES))


@pytest.mark.parametrize("fate", ["lost", "dead"])
def test_an_actor_on_a_lost_node_costs_an_analysis_its_patience_once(ray: Ray, fate: str) -> None:
    requests, lost, well = Requests("video"), Actor(1, fate), Actor(2)
    ray.here = "node1"  # so it is asked first, whatever chance says
    assert [ask(requests, lost, well) for _ in range(50)] == [2] * 50
    assert ray.asked == [1] + 50 * [2]
    assert ray.now_s - 100.0 <= PATIENCE_S


def test_it_is_asked_first_again_after_a_while_and_whenever_it_answers(ray: Ray) -> None:
    requests, lost, well = Requests("video"), Actor(1, "lost"), Actor(2)
    ray.here = "node1"
    ask(requests, lost, well)
    ray.now_s += LATE_S - 1.0
    lost.fate = ""
    assert ask(requests, lost, well) == 2
    ray.now_s += 2.0
    assert ask(requests, lost, well) == 1
    lost.fate = "lost"
    ask(requests, lost, well)
    lost.fate, well.fate = "", "dead"
    assert ask(requests, lost, well) == 1  # there was nobody else
    assert ask(requests, lost, well) == 1
    assert ray.asked[-1:] == [1]


def test_where_none_answers_all_are_asked_until_it_is_given_up(ray: Ray) -> None:
    with pytest.raises(VidsearchError, match="no encoder of the cluster has answered for 15 min"):
        ask(Requests("video"), Actor(1, "lost"), Actor(2, "lost"))
    assert set(ray.asked) == {1, 2}
    assert ray.now_s - 100.0 >= 900.0
