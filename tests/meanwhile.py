"""Readers beside a writer: something is asked again and again while a test does something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Answer = TypeVar("Answer")


@contextmanager
def asked_meanwhile(ask: Callable[[], Answer]) -> Iterator[list[Answer]]:
    """Ask in a thread until the block ends, however it ends; gives the list that answers go into.

    The block begins after the first answer. What was raised there is raised after the block.
    """
    answers: list[Answer] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            answers.append(ask())

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_on)
        try:
            while not answers and not asking.done():
                time.sleep(0.01)
            yield answers
        finally:
            over.set()  # else the pool waits for ever
        asking.result(timeout=120)
