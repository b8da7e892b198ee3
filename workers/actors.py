"""What a worker process of the cluster does: one file at a time, telling how far it is.

A worker is a Ray task, not an actor: Ray keeps the process, with the models in it, for the next
file, starts more where nodes join, and ends it where the driver says so. It is a generator, so that
progress and the result come by one road, in order.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidsearch.remote import bytes_fetched
from vidsearch.tasks import Analyzed, Progress, Recipe, Task, Unreadable
from workers import black_box
from workers.cluster import Code, refuse_other_code
from workers.encoder_pool import Shared, SharedEncoder

if TYPE_CHECKING:
    from vidsearch.describe import Models

TELL_S = 1.0
"""How often a worker tells of its progress."""
UNTAKEN = 2
"""Pieces of news of one file that may wait for the driver; a worker with more waits too."""


@dataclass(frozen=True)
class Order:
    """All that a worker must know beside the file: `memory_bytes` None is its share of the node,
    `shared` the encoders that it shares with others, None where it has its own.
    """

    recipe: Recipe
    code: Code
    cpus: float
    memory_bytes: int | None = None
    shared: Shared | None = None


@dataclass(frozen=True)
class Result:
    """An `Analyzed` or `Unreadable`, pickled, so that everyone on the way knows its size."""

    data: bytes

    @classmethod
    def of(cls, news: Analyzed | Unreadable) -> Result:
        return cls(pickle.dumps(news, protocol=pickle.HIGHEST_PROTOCOL))

    def news(self) -> Analyzed | Unreadable:
        opened: Analyzed | Unreadable = pickle.loads(self.data)
        return opened


@dataclass(frozen=True)
class Begun:
    """A worker has begun: the process and the node that it runs on."""

    pid: int
    node: str


@dataclass(frozen=True)
class Waiting:
    """No frame was decoded, and it is not the file's doing: its bytes come from a store that is
    slow, or the worker waits for a shared encoder.
    """


News = Begun | Progress | Waiting | Result


def analysed(task: Task, order: Order) -> Iterator[News]:
    """The Ray task: `Begun`, `Progress` or `Waiting` about once a second, and the result.

    Raises `VidsearchError` for what would fail for every file: other code, no models.
    """
    import ray

    refuse_other_code(order.code)
    here = ray.get_runtime_context().get_node_id()
    shared = SharedEncoder(order.shared, task.video_id) if order.shared else None
    _models(order.recipe, shared)  # before the file is begun: what they take is no standstill of it
    black_box.record(order.memory_bytes or black_box.share_of_memory(_workers_here(order.cpus)))
    try:
        yield from _told(task, order.recipe, here, shared)
    finally:
        black_box.forget()


def _told(task: Task, recipe: Recipe, node: str, shared: SharedEncoder | None) -> Iterator[News]:
    # Twice: with two pieces of news that the driver has not taken Ray holds a worker back
    # (`UNTAKEN`), so a file that kills us at once cannot do so before the driver knows who we are.
    yield Begun(os.getpid(), node)
    yield Begun(os.getpid(), node)
    latest: list[Progress] = []
    result = _in_thread(task, recipe, latest, shared)
    told: Progress | None = None
    fetched = bytes_fetched()
    last_s = time.monotonic()
    while not result.done():
        _wait(result, TELL_S / 10)
        if time.monotonic() - last_s < TELL_S:
            continue
        if latest and latest[-1] != told:
            told, last_s = latest[-1], time.monotonic()
            yield told
        elif bytes_fetched() > fetched or (shared is not None and shared.waits):
            last_s = time.monotonic()
            yield Waiting()
        fetched = bytes_fetched()
    yield Result.of(result.result())


def _in_thread(
    task: Task, recipe: Recipe, latest: list[Progress], shared: SharedEncoder | None
) -> Future[Analyzed | Unreadable]:
    """The analysis in a thread of its own; what it reports last stands in `latest`."""
    from vidsearch.analysts import run_task

    result: Future[Analyzed | Unreadable] = Future()

    def report(progress: Progress) -> None:
        latest[:] = [progress]

    def run() -> None:
        try:
            result.set_result(run_task(task, recipe, report, _models(recipe, shared)))
        except BaseException as error:  # raised where the result is asked for
            result.set_exception(error)

    threading.Thread(target=run, name="analysis", daemon=True).start()
    return result


def _models(recipe: Recipe, shared: SharedEncoder | None) -> Models:
    from vidsearch.analyze import prepare

    return prepare(recipe, shared)


def _wait(result: Future[Analyzed | Unreadable], seconds: float) -> None:
    from concurrent.futures import wait

    wait([result], timeout=seconds)


def _workers_here(cpus: float) -> float:
    """How many workers fit on this node."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    node = next((each for each in ray.nodes() if each["NodeID"] == here), None)
    return float(node["Resources"].get("CPU", 1.0)) / cpus if node else 1.0
