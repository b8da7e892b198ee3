"""One writer at a time: a lock that the operating system drops when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from vidsearch.errors import ArchiveBusy
from vidsearch.urls import Place

if TYPE_CHECKING:
    from vidsearch.lease import Lease

_LOCK = "writer.lock"
_HOLDER = "writer.json"  # beside the lock: Windows lets nobody read a locked file


def writer_lock(folder: Place) -> WriterLock | Lease:
    """The right to write to the archive in `folder`, wherever that is."""
    if isinstance(folder, Path):
        return WriterLock(folder)
    from vidsearch.lease import Lease

    return Lease(folder)


def holder(folder: Place) -> dict[str, Any]:
    """Who holds the right to write (`pid`, `host`, `since`), or held it last and was killed."""
    try:
        found = json.loads((folder / _HOLDER).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and not found.get("released") else {}


class WriterLock:
    """The right to write to an archive folder, held from `acquire` to `release`."""

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        # The lock belongs to whoever holds the store, which may pass between threads.
        self._lock = FileLock(folder / _LOCK, thread_local=False)

    def acquire(self, wait_s: float, waiting: Callable[[str], None] | None = None) -> None:
        """Take the lock, waiting for another writer `wait_s` seconds at most.

        `waiting` is told once, in a sentence, whom we wait for. Raises `ArchiveBusy`, or OSError
        where the folder cannot be written.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if wait_s > 0 and waiting is not None:
                waiting(f"{self._busy()} Waiting for it.")
            try:
                self._lock.acquire(timeout=wait_s, poll_interval=0.1)
            except Timeout:
                raise ArchiveBusy(
                    f"{self._busy()} Let it finish, or stop it, and run the command again;"
                    " nothing was changed."
                ) from None
        try:
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
            (self._folder / _HOLDER).write_text(json.dumps(holder))
        except BaseException:
            self._lock.release()
            raise

    def check(self) -> None:
        """Nothing: what the operating system locks is not lost while its holder lives."""

    def release(self) -> None:
        """Give the lock back; does nothing if it is not held."""
        if self._lock.is_locked:
            # Only the message to others is lost if this fails; the lock itself must go.
            with contextlib.suppress(OSError):
                (self._folder / _HOLDER).unlink(missing_ok=True)
            self._lock.release()

    def _busy(self) -> str:
        try:
            holder = json.loads((self._folder / _HOLDER).read_text())
            clock = time.strftime("%H:%M", time.localtime(holder["since"]))
            who = f"process {holder['pid']} on {holder['host']} since {clock}"
        except (OSError, ValueError, KeyError, TypeError):  # it has only just taken the lock
            who = "another process"
        return f"The archive {self._folder} is being written by {who}."
