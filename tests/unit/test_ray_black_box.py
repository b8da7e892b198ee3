"""A process that dies says why, if it was itself; one that somebody kills says nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from vidsearch.errors import VidsearchError
from workers import black_box

MB = 1_000_000


def died(work: str, limit_bytes: int = 10**12) -> tuple[subprocess.Popen[bytes], str | None]:
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
    assert (process.returncode, said) == (0, None)


def test_nothing_is_left_behind_by_work_that_was_done() -> None:
    process, _ = died("black_box.forget()")
    assert not list(Path(tempfile.gettempdir()).glob(f"vidsearch-worker-{process.pid}.txt"))


def test_a_process_that_is_asked_after_twice_was_read_once() -> None:
    process, said = died("import os; os.abort()")
    assert said
    assert process.returncode == -signal.SIGABRT
    assert black_box.read(process.pid) is None


def test_a_process_to_which_no_memory_is_given_says_so() -> None:
    process, said = died('black_box.die_of("ran out of memory")')
    assert (process.returncode, said) == (black_box.MEMORY_DIED, "ran out of memory")


def test_models_that_leave_no_room_for_a_file_are_told() -> None:
    held = black_box._held()
    black_box.check_room(held + black_box.ROOM + 50 * MB)
    with pytest.raises(VidsearchError, match=r"may hold 0\.3 GB, .*--memory-gb.*--encoders 1"):
        black_box.check_room(300 * MB)


@pytest.mark.parametrize(
    ("own", "files", "least"),
    [
        ("0::/\n", {"memory.max": "8000"}, [8000]),  # a container
        ("0::/a/job\n", {"a/memory.max": "8000", "a/job/memory.max": "max"}, [8000]),  # Slurm
        ("0::/a/job\n", {"a/memory.max": "9000", "a/job/memory.max": "7000"}, [7000, 9000]),
        ("0::/of/the/host\n", {"memory.max": "8000"}, [8000]),  # named as on the host
        (
            "3:cpu:/b\n2:memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": "6000", "memory/b/memory.limit_in_bytes": "1"},
            [6000],
        ),
        ("0::/\n", {}, []),
    ],
)
def test_a_container_s_memory_is_what_its_control_groups_allow(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    files: dict[str, str],
    least: list[int],
) -> None:
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text + "\n")
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(black_box, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(black_box, "OWN_CGROUPS", tmp_path / "own")
    assert list(black_box._limits()) == least
    assert black_box.share_of_memory(1) == (
        int(0.9 * min(least)) if least else int(0.9 * psutil.virtual_memory().total)
    )


def test_workers_share_nine_tenths_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(black_box, "OWN_CGROUPS", Path("/nowhere"))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert black_box.share_of_memory(2) == pytest.approx(0.45 * total, rel=0.01)
    assert black_box.share_of_memory(0.5) == pytest.approx(0.9 * total, rel=0.01)
