"""Peak memory of a two-hour 1080p video, indexed or only decoded.

    python benchmarks/memory_long_video.py [--hours 2] [--decode-only]

Enlarges the White House clip in `examples/media` to 1920x1080 (H.264), repeats its packets until
the video is long enough (stream copy: no second encoding), and reads that file in a process of
its own: `Archive.index`, or with `--decode-only` the pass of `vidsearch.media.decode` with a full
picture a second. The peak is the resident size that the system noted (VmHWM), imports and models
included. A tenth of the length is measured too, to show what grows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _report
import av

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "tests"))

from videos import loop  # noqa: E402

CLIP = REPO / "examples" / "media" / "white-house-poetry.mp4"
TARGET_MIB = 900

DECODE = """
from vidsearch.media import decode
kept = []
with decode(path) as frames:
    for frame in frames:
        if frame.index % 30 == 0:
            kept = [*kept[-2:], frame.picture()]
n_frames = frames.n_frames
"""
INDEX = """
import tempfile
from vidsearch import Archive
with tempfile.TemporaryDirectory() as folder:
    archive = Archive(folder)
    archive.index([path])
    (video,) = archive.videos()
    n_frames = video.n_frames
"""
TELL_PEAK = """
status = open("/proc/self/status").read()
print(n_frames, int(status.split("VmHWM:")[1].split()[0]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--decode-only", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clip = enlarge(CLIP, Path(folder) / "clip.mp4")
        for hours in (options.hours / 10, options.hours):
            path = loop(clip, Path(folder) / "long.mp4", hours * 3600)
            rows.append(measure(path, hours, INDEX if not options.decode_only else DECODE))
            print(rows[-1], flush=True)
    what = "decoding" if options.decode_only else "indexing"
    name = "memory_long_video_decode" if options.decode_only else "memory_long_video"
    notes = [
        f"Target: under {TARGET_MIB} MiB for two hours.",
        "Data: examples/media/white-house-poetry.mp4 enlarged to 1920x1080 and repeated by "
        "stream copy, so every shot comes back every nine seconds.",
    ]
    print(_report.write(name, f"Peak memory of {what} a long 1080p video", rows, notes))
    if rows[-1]["peak_mib"] > TARGET_MIB:
        raise SystemExit(f"{rows[-1]['peak_mib']:.0f} MiB is over the target of {TARGET_MIB}")


def enlarge(source: Path, target: Path) -> Path:
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream(
            "libx264", rate=stream.average_rate, options={"preset": "veryfast", "crf": "30"}
        )
        copy.width, copy.height, copy.pix_fmt = 1920, 1080, "yuv420p"
        start = stream.start_time or 0
        for frame in reader.decode(stream):
            large = frame.reformat(1920, 1080, interpolation="BICUBIC")
            large.pts = frame.pts - start
            writer.mux(copy.encode(large))
        writer.mux(copy.encode())
    return target


def measure(path: Path, hours: float, code: str) -> dict[str, float]:
    script = f"path = {str(path)!r}\n{code}{TELL_PEAK}"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPO, check=True
    )
    seconds = time.perf_counter() - started
    n_frames, peak_kib = map(int, done.stdout.split()[-2:])
    return {
        "hours": hours,
        "frames": n_frames,
        "file_mb": path.stat().st_size / 1e6,
        "peak_mib": peak_kib / 1024,
        "seconds": seconds,
        "times_real_time": hours * 3600 / seconds,
    }


if __name__ == "__main__":
    main()
