"""Batches are made across videos, as they come, and each request gets its own vectors back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from idclip.errors import VidsearchError
from workers.batching import FACES, PICTURES, Batcher, Count, Served
from workers.encoder_actor import InHalves, out_of_memory


def _pictures(*values: int) -> Any:
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1)


class Network:
    """Doubles; remembers its batches, and may be held up in one."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.began, self.go = threading.Event(), threading.Event()
        if not held:
            self.go.set()

    def __call__(self, pictures: Any) -> Any:
        self.batches.append(pictures.ravel().tolist())
        self.began.set()
        assert self.go.wait(10)
        return pictures.reshape(len(pictures), -1).astype(np.float32) * 2


async def _began(network: Network) -> None:
    while not network.began.is_set():
        await asyncio.sleep(0.001)


def test_what_comes_while_a_batch_is_encoded_is_the_next_batch_whosever_it_is() -> None:
    network = Network(held=True)

    async def run() -> tuple[Sequence[Any], Served]:
        batcher = Batcher({PICTURES: network}, most=4, wait_s=0)
        first = asyncio.create_task(batcher(PICTURES, _pictures(1), "a"))
        await _began(network)
        later = [
            asyncio.create_task(batcher(PICTURES, _pictures(*values), origin))
            for values, origin in (((2, 3), "a"), ((4,), "b"), ((5, 6), "c"))
        ]
        await asyncio.sleep(0.01)
        network.go.set()
        return await asyncio.gather(first, *later), batcher.served()

    answers, served = asyncio.run(run())
    assert network.batches == [[1], [2, 3, 4], [5, 6]]  # of four at most, and none is torn apart
    assert [answer.ravel().tolist() for answer in answers] == [[2], [4, 6], [8], [10, 12]]
    assert served.pictures == Count(n=6, batches=3, mixed=1, largest=3, n_bytes=6)
    assert served.faces == Count()
    assert 0.01 <= served.busy_s <= served.seconds


def test_a_batch_is_of_pictures_or_of_faces_whichever_waits_longest() -> None:
    pictures, faces = Network(held=True), Network()

    async def run() -> tuple[Sequence[Any], Served]:
        batcher = Batcher({PICTURES: pictures, FACES: faces}, most=3, wait_s=0)
        first = asyncio.create_task(batcher(PICTURES, _pictures(1), "a"))
        await _began(pictures)
        later = [
            asyncio.create_task(batcher(kind, _pictures(*values), origin))
            for kind, values, origin in (
                (FACES, (10, 11), "a"),
                (PICTURES, (2,), "b"),
                (FACES, (12,), "b"),
                (FACES, (13,), "c"),
                (PICTURES, (3,), "b"),
            )
        ]
        await asyncio.sleep(0.01)
        pictures.go.set()
        return await asyncio.gather(first, *later), batcher.served()

    answers, served = asyncio.run(run())
    assert (pictures.batches, faces.batches) == ([[1], [2, 3]], [[10, 11, 12], [13]])
    doubled = [[2], [20, 22], [4], [24], [26], [6]]
    assert [answer.ravel().tolist() for answer in answers] == doubled
    assert served.pictures == Count(n=3, batches=2, mixed=0, largest=2, n_bytes=3)
    assert served.faces == Count(n=4, batches=2, mixed=1, largest=3, n_bytes=4)


def test_the_first_picture_of_a_batch_waits_for_others_only_so_long() -> None:
    network = Network()

    async def run() -> None:
        batcher = Batcher({PICTURES: network}, most=3, wait_s=0.2)
        together = [asyncio.create_task(batcher(PICTURES, _pictures(n), str(n))) for n in (1, 2)]
        await asyncio.sleep(0.02)
        full = asyncio.create_task(
            batcher(PICTURES, _pictures(3), "3")
        )  # full: nobody waits any more
        await asyncio.wait_for(asyncio.gather(*together, full), 0.1)
        await batcher(PICTURES, _pictures(4), "4")  # alone, it is encoded in the end

    asyncio.run(run())
    assert network.batches == [[1, 2, 3], [4]]


def test_a_request_larger_than_a_batch_goes_alone() -> None:
    network = Network()
    answer = asyncio.run(_once(Batcher({PICTURES: network}, most=2), _pictures(1, 2, 3)))
    assert (network.batches, answer.ravel().tolist()) == ([[1, 2, 3]], [2, 4, 6])


async def _once(batcher: Batcher, pictures: Any) -> Any:
    return await batcher(PICTURES, pictures, "a")


def test_what_a_batch_raises_is_told_to_all_who_asked_and_the_next_is_encoded() -> None:
    def encode(pictures: Any) -> Any:
        if 13 in pictures:
            raise RuntimeError("no luck")
        return pictures.reshape(len(pictures), -1).astype(np.float32)

    async def run() -> list[Any]:
        batcher = Batcher({PICTURES: encode}, most=8, wait_s=0.02)
        asked = [batcher(PICTURES, _pictures(value), str(value)) for value in (1, 13)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        return [*told, await batcher(PICTURES, _pictures(2), "b")]

    first, second, third = asyncio.run(run())
    assert (str(first), str(second)) == ("no luck", "no luck")
    assert third.tolist() == [[2.0]]


def test_a_count_that_began_anew_is_a_new_one() -> None:
    """That of an encoder that was started again."""
    before = Served(Count(10, 5, 2, 4, 1000), Count(3, 1, 0, 3, 30), 3.0, 60.0)
    after = Served(Count(12, 6, 2, 4, 1200), Count(5, 2, 1, 3, 50), 4.0, 62.0)
    new = Served(Count(2, 1, 0, 4, 200), Count(2, 1, 1, 3, 20), 1.0, 2.0)
    assert after.since(before) == new
    assert before + new == after
    assert new.busy == 0.5
    anew = Served(Count(3, 2, 1, 2, 300), Count(), 0.5, 5.0)
    assert anew.since(before) == anew
    assert Served().busy == 0.0


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


class Small:
    """An encoder that has room for two pictures."""

    def __init__(self) -> None:
        self.tried: list[int] = []

    def __call__(self, prepared: Any) -> Any:
        self.tried.append(len(prepared))
        if len(prepared) > 2:
            raise OutOfMemoryError("CUDA out of memory")
        return prepared.reshape(len(prepared), -1).astype(np.float32)


def test_a_gpu_without_room_gets_smaller_batches_from_then_on() -> None:
    small = Small()
    encode = InHalves(small, 8)
    assert encode(_pictures(*range(8))).ravel().tolist() == list(range(8))
    assert small.tried == [8, 4, 2, 2, 2, 2]
    assert encode(_pictures(1, 2, 3)).ravel().tolist() == [1, 2, 3]
    assert small.tried[6:] == [2, 1]
    assert not out_of_memory(VidsearchError("no"))


def test_one_picture_that_has_no_room_is_told() -> None:
    def none(prepared: Any) -> Any:
        raise OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemoryError):
        InHalves(none, 8)(_pictures(1, 2))
