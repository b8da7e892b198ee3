"""A Ctrl-C that Python drops ends a job all the same."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from workers.interrupts import remembered


class Dying:
    """Is interrupted while it is finalised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # the handler runs between two steps of the interpreter
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_is_dropped_is_raised_at_the_next_look() -> None:
    before = signal.getsignal(signal.SIGINT)
    with remembered() as interrupts:
        interrupts.check()
        there = Dying()
        del there  # Python tells of the KeyboardInterrupt and goes on
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_one_that_is_not_dropped_is_raised_at_once() -> None:
    with remembered() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupts.came


def test_what_is_ignored_stays_ignored_and_other_threads_may_ask() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with remembered() as interrupts:
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
    finally:
        signal.signal(signal.SIGINT, before)
    told: list[str] = []

    def elsewhere() -> None:
        with remembered() as interrupts:
            interrupts.check()
            told.append("well")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert told == ["well"]
