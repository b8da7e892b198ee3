"""How this process gives memory back: a setting of the C library, where it has one."""

from __future__ import annotations

import ctypes
import os
from functools import cache

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
LARGE = 1 << 20
"""Bytes from which a block is a mapping of its own: below a decoded 1080p frame or picture (3 to 6
MB), above what is allocated all the time."""


@cache
def give_back_large_blocks() -> bool:
    """Let blocks of `LARGE` bytes and more go back to the system as soon as they are freed.

    glibc would soon keep them in heaps (its threshold grows to the largest block that was freed),
    where a few small survivors hold hundreds of megabytes that pictures once took: 740 instead of
    835 MiB while 1080p is indexed, at no measurable cost in time. It holds for the whole process,
    so it is done by whoever analyses videos, and not where the user's `MALLOC_MMAP_THRESHOLD_`
    says otherwise. Gives False where nothing was set: other C libraries need or have no such thing.
    """
    if not _is_glibc() or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE))


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False
