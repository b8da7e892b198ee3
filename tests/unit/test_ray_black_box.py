"""A process that dies says why, if it was itself; one that somebody kills says nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from workers import black_box

MB = 1_000_000


def died(work: str, limit_bytes: int = 10**12) -> tuple[subprocess.Popen[bytes], str]:
    code = f"from workers import black_box\nblack_box.record({limit_bytes})\n{work}"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    process.wait(timeout=60)
    return process, black_box.read(process.pid)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("import os; os.abort()", "crashed (Aborted)"),
        ("import ctypes; ctypes.string_at(0)", "crashed (Segmentation fault)"),
        ("import os; os.kill(os.getpid(), 9)", ""),
    ],
)
def test_what_killed_a_process_is_known_afterwards(work: str, reason: str) -> None:
    process, said = died(work)
    assert process.returncode < 0
    assert said == reason


def test_a_process_that_takes_too_much_memory_ends_itself_and_says_so() -> None:
    work = "import time\nheld = bytearray(300_000_000)\ntime.sleep(60)"
    process, said = died(work, 200 * MB)
    assert process.returncode == black_box.MEMORY_DIED
    assert said == "took more than 0.2 GB of memory"


def test_memory_between_two_files_is_nobodys_fault() -> None:
    work = "black_box.forget()\nimport time\nheld = bytearray(300_000_000)\ntime.sleep(1)"
    process, said = died(work, 200 * MB)
    assert (process.returncode, said) == (0, "")


def test_nothing_is_left_behind_by_work_that_was_done() -> None:
    process, _ = died("black_box.forget()")
    assert not list(Path(tempfile.gettempdir()).glob(f"vidsearch-worker-{process.pid}.txt"))


def test_a_process_that_is_asked_after_twice_was_read_once() -> None:
    process, said = died("import os; os.abort()")
    assert said
    assert process.returncode == -signal.SIGABRT
    assert black_box.read(process.pid) == ""


def test_workers_share_nine_tenths_of_the_memory() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert black_box.share_of_memory(2) == pytest.approx(0.45 * total, rel=0.01)
    assert black_box.share_of_memory(0.5) == pytest.approx(0.9 * total, rel=0.01)
