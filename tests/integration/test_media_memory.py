"""Memory does not grow with the length of a video."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from videos import encode, loop

REPO = Path(__file__).resolve().parents[2]

# VmHWM starts anew with the program; ru_maxrss would remember what the test runner needed.
DECODE_AND_TELL_PEAK = """
import sys
from pathlib import Path
from vidsearch.media import decode

kept = None
with decode(sys.argv[1], threads=2) as frames:
    for frame in frames:
        if frame.index % 100 == 0:
            kept = frame.picture()
status = Path("/proc/self/status")
if status.exists():
    peak_kib = int(status.read_text().split("VmHWM:")[1].split()[0])
else:
    import resource
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(frames.n_frames, peak_kib)
"""


def peak_mib(path: Path) -> tuple[int, float]:
    done = subprocess.run(
        [sys.executable, "-c", DECODE_AND_TELL_PEAK, str(path)],
        capture_output=True,
        text=True,
        cwd=REPO,
        check=True,
    )
    n_frames, peak_kib = map(int, done.stdout.split())
    return n_frames, peak_kib / 1024


def test_fifteen_minutes_take_no_more_memory_than_five(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", n_frames=250, size=(160, 90))
    n_short, short = peak_mib(loop(clip, tmp_path / "5.mp4", 5 * 60))
    n_long, long = peak_mib(loop(clip, tmp_path / "15.mp4", 15 * 60))
    assert (n_short, n_long) == (7500, 22500)
    # The container's index is all that may grow: tens of bytes a frame.
    assert long - short < 6
