"""Ctrl-C that is not lost.

Python drops an exception that is raised while an object is finalised, and the streams of Ray are
finalised by Python code whenever one has ended: a Ctrl-C in that moment would leave a job running.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether SIGINT came, whatever became of it."""

    def __init__(self) -> None:
        self.came = False

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if it came."""
        if self.came:
            raise KeyboardInterrupt


@contextmanager
def remembered() -> Iterator[Interrupts]:
    """Remember SIGINT, which does what it did; of another thread than the main one nothing is."""
    interrupts = Interrupts()
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not is_main or not callable(before):  # it is ignored, or not Python's to handle
        yield interrupts
        return

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.came = True
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
