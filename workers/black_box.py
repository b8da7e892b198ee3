"""What a worker process leaves behind when it dies: a file that says what killed it.

A process that is gone cannot say why. So before each piece of work it opens a file named by its
number; Python's `faulthandler` writes there if the process crashes (a segmentation fault, an
abort), and a watch over its memory writes there before it ends the process itself. A file that is
empty afterwards means that somebody else killed it: the node's operator, or its system when memory
ran out. The driver has it read on the node where the process ran.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

WATCH_S = 0.2
MEMORY_DIED = 86  # the exit status of a process that held too much; any would do
_FATAL = re.compile(r"Fatal Python error: (.+)")
_MEMORY = "memory: "

_open: IO[str] | None = None  # faulthandler holds on to its number, so it must outlive the work
_limit_bytes: int | None = None


def record(limit_bytes: int) -> None:
    """Begin anew in this process: what was recorded is gone, and so much memory may be held."""
    global _open, _limit_bytes
    started = _limit_bytes is not None
    _limit_bytes = limit_bytes
    if _open is None:
        path = _path(os.getpid())
        _open = path.open("w+")
        atexit.register(path.unlink, missing_ok=True)
        faulthandler.enable(_open)
    _open.seek(0)
    _open.truncate()
    if not started:
        threading.Thread(target=_watch_memory, name="memory", daemon=True).start()


def read(pid: int) -> str:
    """Why the process died, as a clause; "" where it did not say. Takes its file away."""
    path = _path(pid)
    try:
        said = path.read_text(errors="replace")
        path.unlink()
    except OSError:
        return ""
    if said.startswith(_MEMORY):
        return said.removeprefix(_MEMORY).strip()
    fatal = _FATAL.search(said)
    return f"crashed ({fatal[1].strip()})" if fatal else ""


def share_of_memory(workers: float) -> int:
    """Bytes that one of so many workers of this machine may hold: nine tenths, shared."""
    import psutil

    return int(psutil.virtual_memory().total * 0.9 / max(workers, 1.0))


def _watch_memory() -> None:
    import psutil

    process: Any = psutil.Process()
    while True:
        held = process.memory_info().rss
        if _limit_bytes is not None and held > _limit_bytes:
            assert _open is not None
            took = f"took more than {_limit_bytes / 1e9:.1f} GB of memory"
            _open.seek(0)
            _open.write(_MEMORY + took)
            _open.flush()
            os._exit(MEMORY_DIED)
        time.sleep(WATCH_S)


def _path(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"vidsearch-worker-{pid}.txt"
