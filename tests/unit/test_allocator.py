"""Freed pictures are given back to the system, although small things were kept in between."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vidsearch.allocator import _is_glibc

KEPT_BY_PICTURES = """
import sys
from vidsearch.allocator import LARGE, give_back_large_blocks

def resident_mib():
    status = open("/proc/self/status").read()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024

set_ = give_back_large_blocks() if sys.argv[1] == "set" else False
bytearray(8 * LARGE)  # the first that is freed tells glibc what is large
before, kept = resident_mib(), []
pictures = []
for _ in range(60):
    pictures.append(b"\\1" * (3 * LARGE))
    kept.append(bytes(100_000))
del pictures
print(set_, resident_mib() - before)
"""


def kept_mib(how: str, **environment: str) -> tuple[str, float]:
    """Whether it was set, and the MiB that stay of 180 MiB of pictures that were freed."""
    done = subprocess.run(
        [sys.executable, "-c", KEPT_BY_PICTURES, how],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    was_set, mib = done.stdout.split()
    return was_set, float(mib)


@pytest.mark.skipif(not _is_glibc(), reason="a setting of glibc")
def test_freed_pictures_go_back_to_the_system() -> None:
    assert kept_mib("unset")[1] > 100  # else there would be nothing to set
    was_set, mib = kept_mib("set")
    assert was_set == "True"
    assert mib < 20


@pytest.mark.skipif(not _is_glibc(), reason="a setting of glibc")
def test_what_the_user_set_is_left_alone() -> None:
    was_set, _ = kept_mib("set", MALLOC_MMAP_THRESHOLD_="33554432")
    assert was_set == "False"
