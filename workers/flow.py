"""How many files may be in work at once: as many as there is room for them and for their results.

A result waits in Ray's object store until the driver takes it, and a driver that writes is slower
than a large cluster for some moments. So files are handed out only while the results that they may
give fit into a part of the store. How large results are is learnt from those that came.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

AHEAD = 1.5
"""Files handed out for each worker that has room: enough to keep all busy and to let a cluster that
grows by demand grow, few enough that what waits to be written is little."""
PART = 0.5
"""Of the object store that results may fill; the rest is left to whoever else uses the cluster."""
ASSUMED = 0.1
"""Bytes of a result for each byte of its file, before any came: twice those of a 360p video; larger
pictures give less (benchmarks/results/stage_times.md)."""
ASSUMED_BYTES = 1e8
"""How many bytes of files count for this assumption, against those that came."""
PAUSE_S = (1.0, 30.0)
"""Seconds for which nothing is handed out when the store is full: the first time, and at most."""


@dataclass
class Flow:
    """The results that files give, as far as is known: bytes of both, summed.

    Others fill the store too. So a result may find no room even so; then nothing is handed out for
    a while, each time for longer, until one gets through. Results that were on their way together
    make one pause.
    """

    files_bytes: float = ASSUMED_BYTES
    results_bytes: float = ASSUMED * ASSUMED_BYTES
    full_since_s: float | None = None
    pause_s: float = 0.0
    _until_s: float = 0.0

    def learn(self, file_bytes: int, result_bytes: int) -> None:
        """A file of so many bytes gave a result of so many."""
        self.files_bytes += file_bytes
        self.results_bytes += result_bytes
        self.full_since_s, self.pause_s = None, 0.0

    def found_full(self) -> float:
        """A result found no room: wait. Gives for how many seconds no result has got through."""
        now = time.monotonic()
        self.full_since_s = now if self.full_since_s is None else self.full_since_s
        if now >= self._until_s or not self.pause_s:
            self.pause_s = min(max(2 * self.pause_s, PAUSE_S[0]), PAUSE_S[1])
        self._until_s = now + self.pause_s
        return now - self.full_since_s

    def expected(self, file_bytes: int) -> float:
        """Bytes of the result of a file."""
        return file_bytes * self.results_bytes / self.files_bytes

    def has_room(
        self, out: Iterable[int], file_bytes: int, *, workers: float, store_bytes: float
    ) -> bool:
        """Whether a file may be handed out beside those of `out` bytes.

        The first always may, unless results wait for the store to have room again.
        """
        if time.monotonic() < self._until_s:
            return False
        sizes = list(out)
        if not sizes:
            return True
        if len(sizes) >= AHEAD * workers:
            return False
        return self.expected(sum(sizes) + file_bytes) <= PART * store_bytes
