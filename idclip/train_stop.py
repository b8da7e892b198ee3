"""A training run that is asked to stop does so between two steps. Needs no torch."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from .errors import VidsearchError


class Stopped(VidsearchError):
    """A run was stopped by a signal; its text says what was saved."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum


@dataclass
class Stop:
    """`signum` is that of the signal that came, 0 before one did."""

    signum: int = 0


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM once; a second one ends the process as it always did."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # a worker's: has no signals
        yield stop
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    def remember(signum: int, frame: FrameType | None) -> None:
        stop.signum = signum
        restore()

    for each in before:
        signal.signal(each, remember)
    try:
        yield stop
    finally:
        restore()
