"""Trying a file again, or not: what a worker's death says about the file it worked on.

A file that crashes its decoder, hangs it or eats memory must not be tried for ever; one whose
worker was killed from outside, or whose node went away, has done nothing. They are told apart:

- crashed, hung, took too much memory: `tries` times, then the file goes into quarantine;
- the node went away, or the worker died before it had begun with the file: never counted;
- killed, and nobody knows by whom (an operator, or the system when memory ran out): `KILLS` times.
  Of a file in pieces each piece has its own count, since one hand kills the workers of several.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from vidsearch.tasks import QUARANTINE

KILLS = 4
"""Times a worker may be killed over a file, or one piece of it, for reasons unknown, before the
file is suspected."""

CEILING_S = 3600.0
"""Seconds that a file may take whatever its size ..."""
CEILING_S_PER_GB = 3 * 3600.0
"""... and for each GB of it: a hundredth of the usual speed."""


class Death(Enum):
    """Why a worker ended without a result."""

    FILE = "the file did it"
    NODE = "its node went away"
    START = "it had not begun"
    KILLED = "somebody killed it"


@dataclass
class Attempts:
    """How often a file was tried, and why that ended."""

    tries: int
    by_file: list[str] = field(default_factory=list)
    kills: Counter[int | None] = field(default_factory=Counter)

    @property
    def is_suspected(self) -> bool:
        """Whether one more kill puts the file into quarantine."""
        return max(self.kills.values(), default=0) >= KILLS - 1

    def add(self, death: Death, reason: str, piece: int | None = None) -> str:
        """Note how a try ended, of a piece or of the whole file (None).

        Gives the reason to put the file into quarantine, "" to try again.
        """
        if death in (Death.NODE, Death.START):
            return ""
        if death is Death.KILLED:
            self.kills[piece] += 1
            if self.kills[piece] < KILLS:
                return ""
            reason = f"its worker was killed {KILLS} times, perhaps for want of memory"
            return f"{QUARANTINE}{reason}"
        self.by_file.append(reason)
        if len(self.by_file) < self.tries:
            return ""
        return f"{QUARANTINE}{_often(self.by_file)}; the file is probably damaged"


def ceiling_s(size: int) -> float:
    """The longest that a file of `size` bytes may take, in seconds: it grows with the length."""
    return CEILING_S + size / 1e9 * CEILING_S_PER_GB


def _often(reasons: list[str]) -> str:
    """`crashed (Aborted) twice`, or each of several reasons."""
    if len(set(reasons)) > 1:
        return ", then ".join(reasons)
    times = {1: "", 2: " twice"}.get(len(reasons), f" {len(reasons)} times")
    return f"{reasons[0]}{times}"
