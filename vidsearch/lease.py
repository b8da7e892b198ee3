"""One writer at a time where no operating system keeps a lock: a lease, kept as an object.

The object `writer.json` names who may write. It is made, renewed and taken over by conditional
puts alone (`If-None-Match`, `If-Match`), of which a store lets one of two succeed. Its holder
renews it every `BEAT_S`; one that was not renewed for `LEASE_S`, by the store's own clock, is of
somebody who was killed or cut off, and the next writer takes it. Who could not renew a lease in
time stops writing before another may have it.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vidsearch.errors import ArchiveBusy, ArchiveUnavailable
from vidsearch.remote import Remote, Versioned

LEASE_S = 60.0
BEAT_S = 15.0
_MARGIN_S = 10.0  # so long before another may have it its holder has stopped
_POLL_S = 2.0
_HOLDER = "writer.json"


@dataclass(frozen=True)
class _Held:
    """The object as it stands: what it says, the tag of this version, and how old it is."""

    facts: dict[str, Any]
    tag: str
    age_s: float

    @property
    def is_free(self) -> bool:
        """Whether it was given back, or its holder has not renewed it in time."""
        lease_s = float(self.facts.get("lease_s", LEASE_S))
        return bool(self.facts.get("released")) or self.age_s > lease_s


class Lease:
    """The right to write to an archive in a store, held from `acquire` to `release`."""

    def __init__(self, folder: Remote) -> None:
        self._folder = folder
        self._object = folder / _HOLDER
        self._lease_s, self._beat_s = LEASE_S, BEAT_S
        self._token = secrets.token_hex(8)
        self._facts: dict[str, Any] = {}
        self._tag = ""
        self._renewed = 0.0
        self._lost = ""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, wait_s: float, waiting: Callable[[str], None] | None = None) -> None:
        """Take the lease, waiting for another writer `wait_s` seconds at most.

        `waiting` is told once, in a sentence, whom we wait for. Raises `ArchiveBusy`, OSError where
        the store does not let us write, and `ArchiveUnavailable` for one without conditional puts.
        """
        until, told = time.monotonic() + wait_s, False
        while not self._try():
            said = self._busy()
            if time.monotonic() >= until:
                raise ArchiveBusy(
                    f"{said} Let it finish, or stop it, and run the command again; nothing was"
                    f" changed. One that was killed is given up after {self._lease_s:.0f} seconds."
                )
            if waiting is not None and not told:
                waiting(f"{said} Waiting for it.")
                told = True
            left = max(0.0, until - time.monotonic())
            time.sleep(min(left, _POLL_S * random.uniform(0.5, 1.0)))
        self._refuse_forgetful_stores()
        self._thread = threading.Thread(target=self._beat, name="vidsearch-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise `ArchiveUnavailable` if the lease is, or may be, another's by now."""
        if not self._lost and time.monotonic() - self._renewed > self._lease_s - _margin(self):
            self._lost = "could not be renewed in time"
        if self._lost:
            raise ArchiveUnavailable(
                f"The right to write to {self._folder} {self._lost}, so another process may be"
                " writing there now. What was told as indexed is kept; run the command again."
            )

    def release(self) -> None:
        """Give the lease back; does nothing if it is not held."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        if self._lost:
            return
        try:
            self._put({**self._facts, "released": True}, self._tag)
        except OSError:
            return  # it runs out by itself

    def _try(self) -> bool:
        """Take the lease if nobody has it."""
        held = self._read()
        if held is not None and not held.is_free:
            return False
        self._facts = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.time(),
            "lease_s": self._lease_s,
            "token": self._token,
        }
        began = time.monotonic()
        tag = self._put(self._facts, held.tag if held else None)
        if tag is None:
            return False
        self._tag, self._renewed = tag, began
        return True

    def _put(self, facts: dict[str, Any], tag: str | None) -> str | None:
        """Replace the version `tag` (None: nothing); the new tag, None where another was faster."""
        # Never the same bytes twice: a store may tag a version by its content alone.
        content = {**facts, "beat": secrets.token_hex(4)}
        made = self._object.put_if(json.dumps(content).encode(), tag)
        if made is None:
            # A put that was asked for again, since its answer was lost, has refused itself.
            now = self._read()
            if now is not None and now.facts.get("token") == self._token:
                return now.tag
        return made

    def _beat(self) -> None:
        """Renew the lease until it is given back; a store that fails is asked again."""
        while not self._over.wait(self._beat_s):
            began = time.monotonic()
            try:
                tag = self._put(self._facts, self._tag)
            except OSError:
                continue  # `check` says when it has been too long
            if tag is None:
                self._lost = "was taken over by another process"
                return
            self._tag, self._renewed = tag, began

    def _read(self) -> _Held | None:
        found: Versioned | None = self._object.versioned()
        if found is None:
            return None
        try:
            facts = json.loads(found.content)
        except ValueError:
            facts = {}
        return _Held(facts if isinstance(facts, dict) else {}, found.tag, found.age_s)

    def _refuse_forgetful_stores(self) -> None:
        """A store that knows no conditions would let two write: a put that must fail tells."""
        content = json.dumps(self._facts).encode()
        if self._object.put_if(content, None) is not None:
            raise ArchiveUnavailable(
                f"{self._folder}: this store does not know conditional puts (If-None-Match), so two"
                " writers could not be kept apart. Keep the archive in a folder, or in a store"
                " that knows them."
            )

    def _busy(self) -> str:
        held = self._read()
        try:
            assert held is not None
            clock = time.strftime("%H:%M", time.localtime(held.facts["since"]))
            who = f"process {held.facts['pid']} on {held.facts['host']} since {clock}"
        except (AssertionError, KeyError, TypeError, ValueError):
            who = "another process"
        return f"The archive {self._folder} is being written by {who}."


def _margin(lease: Lease) -> float:
    return min(_MARGIN_S, lease._lease_s / 4)
