"""What a worker process leaves behind when it dies: a file that says what killed it.

A process that is gone cannot say why. So while it works it keeps a file named by its number;
Python's `faulthandler` writes there if the process crashes (a segmentation fault, an
abort), and a watch over its memory writes there before it ends the process itself. A file that is
empty afterwards means that somebody else killed it: the node's operator, or its system when memory
ran out. The driver has it read on the node where the process ran.
"""

from __future__ import annotations

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
_watched = False


def record(limit_bytes: int) -> None:
    """Begin anew in this process: what was recorded is gone, and so much memory may be held."""
    global _open, _limit_bytes, _watched
    # Nobody else's link is followed: the folder is everybody's, and the name no secret.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    _open = os.fdopen(os.open(_path(os.getpid()), flags, 0o600), "w")
    faulthandler.enable(_open)
    _limit_bytes = limit_bytes
    if not _watched:
        threading.Thread(target=_watch_memory, name="memory", daemon=True).start()
        _watched = True


def forget() -> None:
    """The piece of work is done: leave nothing behind."""
    global _open, _limit_bytes
    _limit_bytes = None
    faulthandler.enable()  # to stderr, as Ray has it
    if _open is not None:
        _open.close()
    _open = None
    _path(os.getpid()).unlink(missing_ok=True)


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
        held, limit, file = process.memory_info().rss, _limit_bytes, _open
        if limit is not None and file is not None and held > limit:
            took = f"took more than {limit / 1e9:.1f} GB of memory"
            file.write(_MEMORY + took)
            file.flush()
            os._exit(MEMORY_DIED)
        time.sleep(WATCH_S)


def _path(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"vidsearch-worker-{pid}.txt"
