"""What a worker process of the cluster does: one file at a time, telling how far it is.

A worker is a Ray task, not an actor: Ray keeps the process, with the models in it, for the next
file, starts more where nodes join, and ends it where the driver says so. It is a generator, so that
progress and the result come by one road, in order.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar, Union, cast

from vidsearch.errors import VidsearchError
from vidsearch.remote import bytes_fetched
from vidsearch.tasks import Analyzed, Progress, Recipe, Task, Unreadable
from vidsearch.urls import is_url
from workers import black_box
from workers.nodes import Unfit, does_not_see
from workers.same_code import Code, refuse_other_code
from workers.shared import Requests, Shared, SharedEncoder, SharedFaces

if TYPE_CHECKING:
    from vidsearch.describe import Models
    from vidsearch.pieces import Passed, Piece

log = logging.getLogger(__name__)

T = TypeVar("T")
Found = Union[Analyzed, Unreadable, "Passed"]
Report = Callable[[Progress], None]

TELL_S = 1.0
"""How often a worker tells of its progress."""
UNTAKEN = 2
"""Pieces of news of one file that may wait for the driver; a worker with more waits too."""


@dataclass(frozen=True)
class Order:
    """All that a worker must know beside the file: `memory_bytes` None is its share of the node,
    `shared` the networks that it shares with others, None where it has its own. A long
    file is made of pieces of about `piece_s` seconds.
    """

    recipe: Recipe
    code: Code
    cpus: float
    memory_bytes: int | None = None
    shared: Shared | None = None
    piece_s: float = 0.0


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
class Taken:
    """A worker took an order and loads its models: the process, its node, and what that is called.

    Whatever becomes of it until it has `Begun` has nothing to do with the file.
    """

    pid: int
    node: str
    host: str


@dataclass(frozen=True)
class Begun:
    """The worker has its models, and begins with the file."""


@dataclass(frozen=True)
class Waiting:
    """No frame was decoded, and it is not the file's doing: its bytes come from a store that is
    slow, or the worker waits for a shared encoder.
    """


@dataclass(frozen=True)
class InPieces:
    """The file can be made of these pieces; the worker goes on with the first of them."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class PieceResult:
    """What came of a piece: all but its shots, which are `data`, pickled; None where it failed.

    `seconds` is the time that it took.
    """

    passed: Passed | None
    data: bytes
    seconds: float

    @classmethod
    def of(cls, found: Passed | Unreadable, seconds: float) -> PieceResult:
        if isinstance(found, Unreadable):
            return cls(None, b"", seconds)
        shots = pickle.dumps(found.shots, protocol=pickle.HIGHEST_PROTOCOL)
        return cls(found.light(), shots, seconds)


News = Taken | Begun | Progress | Waiting | InPieces | PieceResult | Result | Unfit


def analysed(
    task: Task, order: Order, piece: Piece | None = None, may_split: bool = False
) -> Iterator[News]:
    """The Ray task: `Taken`, `Begun`, `Progress` or `Waiting` about once a second, and the result.

    It is the `Result` of the file, or the `PieceResult` of `piece`. With `may_split` a long file is
    made of pieces: `InPieces` comes first, and the result is that of the first one. In the place of
    `Begun` and all that follows comes `Unfit` where the node has other code, no models or no memory
    for them, and in the place of the result where it does not see the file. Raises what would fail
    for every file.
    """
    import ray

    here = ray.get_runtime_context().get_node_id()
    # Twice: with two pieces of news that the driver has not taken Ray holds a worker back
    # (`UNTAKEN`), so none can die of its models or its file before the driver knows where it is.
    for _ in range(UNTAKEN):
        yield Taken(os.getpid(), here, platform.node())
    requests = Requests(task.video_id)
    limit = order.memory_bytes or black_box.share_of_memory(_workers_here(order.cpus))
    try:
        refuse_other_code(order.code)
        models = _models(order, requests)  # before the file is begun: it is no standstill of it
        black_box.check_room(limit)
        black_box.record(limit)
    except Exception as error:  # whatever it is, it has nothing to do with this file
        yield _cannot_begin(here, error)
        return
    try:
        yield Begun()
        yield from _told(task, order, here, models, requests, piece, may_split)
    except MemoryError:
        black_box.die_of("ran out of memory")
    finally:
        black_box.forget()


def _told(
    task: Task,
    order: Order,
    node: str,
    models: Models,
    requests: Requests,
    piece: Piece | None,
    may_split: bool,
) -> Iterator[News]:
    if may_split:
        pieces = yield from _waited(partial(_pieces, task, order), requests)
        if pieces:
            yield InPieces(pieces)
            piece = pieces[0]
    began_s = time.monotonic()
    found = yield from _waited(partial(_found, task, order.recipe, models, piece), requests)
    path = os.fsdecode(task.paths[0])
    if isinstance(found, Unreadable) and not is_url(path) and (unfit := does_not_see(node, path)):
        yield unfit
    else:
        yield _packed(found, piece, time.monotonic() - began_s)


def _cannot_begin(node: str, error: Exception) -> Unfit:
    """What keeps this node from any work, in its own words if it is ours."""
    host, said = platform.node(), str(error)
    if not isinstance(error, VidsearchError):
        log.warning("no worker can begin here", exc_info=error)  # for this node's own log
        said = f"{type(error).__name__}: {' '.join(said.split())[-300:]}"
    is_named = isinstance(error, VidsearchError) and host in said
    return Unfit(
        node, host, said if is_named else f"on the node {host} no worker can begin: {said}"
    )


def _waited(
    work: Callable[[Report], T], requests: Requests
) -> Generator[Progress | Waiting, None, T]:
    """Do some work in a thread of its own, telling meanwhile how far it is; what it gives."""
    latest: list[Progress] = []
    result = _in_thread(work, latest)
    told: Progress | None = None
    fetched = bytes_fetched()
    last_s = time.monotonic()
    while not result.done():
        wait([result], timeout=TELL_S / 10)
        if time.monotonic() - last_s < TELL_S:
            continue
        if latest and latest[-1] != told:
            told, last_s = latest[-1], time.monotonic()
            yield told
        elif bytes_fetched() > fetched or requests.waits:
            last_s = time.monotonic()
            yield Waiting()
        fetched = bytes_fetched()
    return result.result()


def _in_thread(work: Callable[[Report], T], latest: list[Progress]) -> Future[T]:
    """Do some work in a thread of its own; what it reports last stands in `latest`."""
    result: Future[T] = Future()

    def report(progress: Progress) -> None:
        latest[:] = [progress]

    def run() -> None:
        try:
            result.set_result(work(report))
        except BaseException as error:  # raised where the result is asked for
            result.set_exception(error)

    threading.Thread(target=run, name="analysis", daemon=True).start()
    return result


def _pieces(task: Task, order: Order, report: Report) -> tuple[Piece, ...]:
    from vidsearch.pieces import plan_pieces

    try:
        return plan_pieces(task, order.recipe, order.piece_s)
    except Exception:  # whoever analyses it as a whole tells what is wrong with it
        return ()


def _found(
    task: Task,
    recipe: Recipe,
    models: Models,
    piece: Piece | None,
    report: Report,
) -> Found:
    from vidsearch import analysts

    if piece is None:
        return analysts.run_task(task, recipe, report, models)
    return analysts.run_piece(task, recipe, piece, report, models)


def _packed(found: Found, piece: Piece | None, seconds: float) -> PieceResult | Result:
    """What was found, as it travels."""
    if piece is None:
        return Result.of(cast("Analyzed | Unreadable", found))
    return PieceResult.of(cast("Passed | Unreadable", found), seconds)


def _models(order: Order, requests: Requests) -> Models:
    """What an analysis needs: the process's own, and in their place what is shared."""
    from vidsearch.analyze import finder, prepare

    recipe, shared = order.recipe, order.shared
    if shared is None:
        return prepare(recipe)
    faces = None
    if shared.faces:
        faces = SharedFaces(shared.faces, shared.face_actors, finder(recipe), requests)
    return prepare(recipe, SharedEncoder(shared, requests), faces)


def _workers_here(cpus: float) -> float:
    """How many workers fit on this node."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    node = next((each for each in ray.nodes() if each["NodeID"] == here), None)
    return float(node["Resources"].get("CPU", 1.0)) / cpus if node else 1.0
