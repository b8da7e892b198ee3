"""Requests of many videos gathered into batches, so that a GPU never waits for one file.

What comes while a batch is encoded is the next batch; where nothing was waiting, a few
milliseconds are given for others to come. So batches are small where there is little to do, and as
large as allowed where there is much. Keyframes and faces are of two networks: a batch is of one
kind, that of whoever waits longest. Knows nothing of Ray.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

WAIT_S = 0.005
"""How long the first picture of a batch waits for others: less than a network takes for one."""

PICTURES, FACES = "pictures", "faces"
Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Count:
    """What was encoded of one kind: `mixed` are the batches with some of several videos, `n_bytes`
    those that came.
    """

    n: int = 0
    batches: int = 0
    mixed: int = 0
    largest: int = 0
    n_bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.n + other.n,
            self.batches + other.batches,
            self.mixed + other.mixed,
            max(self.largest, other.largest),
            self.n_bytes + other.n_bytes,
        )

    def since(self, before: Count) -> Count:
        """What came after `before`."""
        return Count(
            self.n - before.n,
            self.batches - before.batches,
            self.mixed - before.mixed,
            self.largest,
            self.n_bytes - before.n_bytes,
        )


@dataclass(frozen=True)
class Served:
    """What was encoded; `busy_s` of the `seconds` since the start went into it."""

    pictures: Count = Count()
    faces: Count = Count()
    busy_s: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Served) -> Served:
        return Served(
            self.pictures + other.pictures,
            self.faces + other.faces,
            self.busy_s + other.busy_s,
            self.seconds + other.seconds,
        )

    def since(self, before: Served) -> Served:
        """What came after `before`; all of it where the count has begun anew meanwhile."""
        if before.seconds > self.seconds:
            return self
        return Served(
            self.pictures.since(before.pictures),
            self.faces.since(before.faces),
            self.busy_s - before.busy_s,
            self.seconds - before.seconds,
        )

    @property
    def busy(self) -> float:
        """The share of the time that went into encoding, 0 to 1."""
        return min(self.busy_s / self.seconds, 1.0) if self.seconds else 0.0


@dataclass(eq=False)
class _Request:
    kind: str
    pictures: NDArray[np.uint8]
    origin: str
    came_s: float
    answer: asyncio.Future[NDArray[np.float32]]


class Batcher:
    """Encodes pictures in batches of `most` at most; one batch at a time, in a thread.

    Of each kind `encode` has what takes prepared pictures uint8 [N, ...] to vectors float32 [N, D].
    What it raises is raised for each request of the batch. A request of more pictures than `most`
    is a batch alone.
    """

    def __init__(self, encode: Mapping[str, Encode], most: int, *, wait_s: float = WAIT_S) -> None:
        self._encode = encode
        self._most = most
        self._wait_s = wait_s
        self._thread = ThreadPoolExecutor(1, "encode")
        self._waiting: deque[_Request] = deque()
        self._came = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._served = Served()
        self._began_s = time.monotonic()
        self._batch_s: float | None = None  # since when a batch is in work

    async def __call__(
        self, kind: str, pictures: NDArray[np.uint8], origin: str
    ) -> NDArray[np.float32]:
        """The vectors of pictures, or faces, of the video `origin`."""
        answer: asyncio.Future[NDArray[np.float32]]
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(kind, pictures, origin, time.monotonic(), answer))
        self._came.set()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await answer

    def served(self) -> Served:
        """What was encoded so far, the batch in work counted by its time alone."""
        now = time.monotonic()
        in_work = now - self._batch_s if self._batch_s is not None else 0.0
        busy_s = self._served.busy_s + in_work
        return replace(self._served, busy_s=busy_s, seconds=now - self._began_s)

    async def _run(self) -> None:
        while self._waiting:
            await self._others()
            self._waiting = deque(each for each in self._waiting if not each.answer.done())
            if self._waiting:  # who gave up waiting is not encoded for
                await self._answer(self._taken())

    async def _others(self) -> None:
        """Wait until a batch is full, or its first picture has waited long enough."""
        first = self._waiting[0]
        until = first.came_s + self._wait_s
        while sum(len(r.pictures) for r in self._waiting if r.kind == first.kind) < self._most:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), left)
            except asyncio.TimeoutError:
                return

    def _taken(self) -> list[_Request]:
        """The requests of the next batch, in the order in which they came."""
        batch = [self._waiting.popleft()]
        room = self._most - len(batch[0].pictures)
        for request in [each for each in self._waiting if each.kind == batch[0].kind]:
            if len(request.pictures) > room:
                break
            batch.append(request)
            self._waiting.remove(request)
            room -= len(request.pictures)
        return batch

    async def _answer(self, batch: list[_Request]) -> None:
        pictures = np.concatenate([request.pictures for request in batch])
        self._batch_s = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            vectors = await loop.run_in_executor(
                self._thread, self._encode[batch[0].kind], pictures
            )
        except Exception as error:  # each of those who asked is told
            for request in batch:
                if not request.answer.done():
                    request.answer.set_exception(error)
            return
        finally:
            spent_s = time.monotonic() - self._batch_s
            self._batch_s = None
            self._count(batch, pictures, spent_s)
        ends = np.cumsum([len(request.pictures) for request in batch])
        for request, found in zip(batch, np.split(vectors, ends[:-1]), strict=True):
            if not request.answer.done():  # who asked may be gone
                request.answer.set_result(found)

    def _count(self, batch: list[_Request], pictures: NDArray[np.uint8], spent_s: float) -> None:
        mixed = len({request.origin for request in batch}) > 1
        n = len(pictures)
        count = Count(n, 1, int(mixed), n, pictures.nbytes)
        if batch[0].kind == FACES:
            self._served += Served(Count(), count, spent_s)
        else:
            self._served += Served(count, Count(), spent_s)
