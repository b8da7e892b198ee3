"""What a worker process leaves behind when it dies: a file that says what killed it.

A process that is gone cannot say why. So while it works it keeps a file named by its number;
Python's `faulthandler` writes there if the process crashes (a segmentation fault, an
abort), and a watch over its memory writes there before it ends the process itself. A file that is
empty afterwards means that somebody else killed it: the node's operator, or its system when memory
ran out; none at all, that it had not begun with a file. The driver has it read on the node where
the process ran.
"""

from __future__ import annotations

import faulthandler
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from vidsearch.errors import VidsearchError

WATCH_S = 0.2
MEMORY_DIED = 86  # the exit status of a process that held too much; any would do
_FATAL = re.compile(r"Fatal Python error: (.+)")
_MEMORY = "memory: "
ROOM = 250_000_000
"""Bytes that a worker needs for a file beside its models, at the very least."""
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

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


def read(pid: int) -> str | None:
    """Why the process died, as a clause; "" where it did not say. Takes its file away.

    None where there is none: it had not begun with a file, or was done with it.
    """
    path = _path(pid)
    try:
        said = path.read_text(errors="replace")
        path.unlink()
    except OSError:
        return None
    if said.startswith(_MEMORY):
        return said.removeprefix(_MEMORY).strip()
    fatal = _FATAL.search(said)
    return f"crashed ({fatal[1].strip()})" if fatal else ""


def share_of_memory(workers: float) -> int:
    """Bytes that one of so many workers of this machine, or container, may hold: nine tenths of
    its memory, shared.
    """
    import psutil

    most = min([psutil.virtual_memory().total, *_limits()])
    return int(most * 0.9 / max(workers, 1.0))


def check_room(limit_bytes: int) -> None:
    """Raise `VidsearchError` where this process holds so much that no file has room beside it."""
    held = _held()
    if held + ROOM > limit_bytes:
        raise VidsearchError(
            f"the models of a worker take {held / 1e9:.1f} GB, and it may hold"
            f" {limit_bytes / 1e9:.1f} GB, which leaves no room for a file: give each more cores"
            " and so a larger share of its node (--cpus-per-worker), more memory (--memory-gb), or"
            " let all share encoders (--encoders 1)"
        )


def die_of(reason: str) -> NoReturn:
    """End this process, and leave behind that the file was the reason."""
    if _open is not None:
        _open.write(_MEMORY + reason)
        _open.flush()
    os._exit(MEMORY_DIED)


def _watch_memory() -> None:
    while True:
        held, limit = _held(), _limit_bytes  # in this order: what is held now is of who is limited
        if limit is not None and held > limit:
            die_of(f"took more than {limit / 1e9:.1f} GB of memory")
        time.sleep(WATCH_S)


def _held() -> int:
    """Bytes of memory that this process holds."""
    import psutil

    held: int = psutil.Process().memory_info().rss
    return held


def _limits() -> Iterator[int]:
    """Bytes that the containers and jobs around this process may hold, where that is limited.

    Of Linux control groups, version 2 (`memory.max`) and 1 (`memory.limit_in_bytes`); each group
    may limit those in it.
    """
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = CGROUPS / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        # In a container the group may be named as on the host, and lie at the top all the same.
        inside = top / group.lstrip("/")
        for folder in (inside, *inside.parents):
            if folder.is_relative_to(top):
                with suppress(OSError, ValueError):  # not there, or "max"
                    yield int((folder / name).read_text())


def _path(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"vidsearch-worker-{pid}.txt"
