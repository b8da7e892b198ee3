"""A long video in pieces on two workers, against one worker for the whole of it.

    python -m benchmarks.pieces [--minutes 20] [--piece-minutes 5] [--rounds 2] [--write]

The White House clip in `examples/media`, its packets repeated until it is long enough. Both ways
index it on a Ray cluster of two cores into new archives, in turn; the rows must be the same. What
is decoded twice is counted by the frames that each worker decoded; a worker's memory is the most
that it held resident, looked at five times a second, its models included. Beside the time that it
took stand the seconds of processor time that the workers used, which other work on the machine
disturbs less: those of the busiest worker are what a job waits for on idle machines.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks import _report
from vidsearch import Archive
from vidsearch.pieces import Passed
from workers import JobOptions, on_ray
from workers.plan import Plan

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "tests"))

from stored_rows import assert_same_rows  # noqa: E402
from videos import loop  # noqa: E402

CLIP = REPO / "examples" / "media" / "white-house-poetry.mp4"
CORES = 2


@dataclass
class Way:
    """What was measured of one way, over its runs."""

    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    cpu_s: list[float] = field(default_factory=list)  # of each worker, in the latest run
    decoded: int = 0
    pieces: int = 1


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--piece-minutes", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    import ray

    ray.init("local", num_cpus=CORES, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        video = loop(CLIP, Path(folder) / "long.mp4", 60 * given.minutes)
        ways = {"one worker": Way(), f"pieces, {CORES} workers": Way()}
        lengths = dict(zip(ways, (0.0, given.piece_minutes), strict=True))
        indexed(Path(folder) / "first", CLIP, 0.05, Way())  # the workers load the models
        for number in range(given.rounds):
            for name, way in ways.items():
                indexed(Path(folder) / f"{name}{number}", video, lengths[name], way)
        whole, split = (Path(folder) / f"{name}0" for name in ways)
        assert_same_rows(split, whole)
        n_frames = Archive(whole).videos()[0].n_frames
    rows = [row(name, way, n_frames, next(iter(ways.values()))) for name, way in ways.items()]
    print(*rows, sep="\n")
    twice_s = (ways[f"pieces, {CORES} workers"].decoded - n_frames) / (
        n_frames / given.minutes / 60
    )
    borders = max(1, ways[f"pieces, {CORES} workers"].pieces - 1)
    notes = [
        f"{given.minutes:.0f} minutes of 640x360 H.264 with a shot of 2.3 s on average (the clip "
        f"repeated by stream copy), pieces of {given.piece_minutes:g} min; medians of "
        f"{given.rounds} run(s) of each in turn on a cluster of {CORES} cores, whose workers had "
        "loaded their models. The rows of both were compared and are the same.",
        f"Decoded twice: {twice_s / borders:.1f} s of video at each border, without being "
        f"described twice: {twice_s / borders / 6:.1f} % of a piece of the default ten minutes.",
        f"The load of the machine was {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores when this "
        "ended: with more than its cores, only the seconds of the processor tell something.",
    ]
    if given.write:
        print(_report.write("pieces", "A long video in pieces", rows, notes))


def indexed(archive: Path, video: Path, piece_minutes: float, way: Way) -> None:
    """Index it once."""
    decoded: list[int] = []
    passed = Plan.passed

    def counted(plan: Plan, work: Any, found: Passed, *rest: Any) -> Any:
        last = found.end or found.stop
        decoded.append(last.frames if last is not None else 0)
        return passed(plan, work, found, *rest)

    with patch.object(Plan, "passed", counted), watched() as workers:
        began = time.perf_counter()
        options = JobOptions("auto", piece_minutes=piece_minutes)
        Archive(archive).index([video], analyst=on_ray(options))
        way.seconds.append(time.perf_counter() - began)
    way.peak_mib = max(way.peak_mib, *(each.peak / 2**20 for each in workers.values()))
    way.cpu_s = [each.last_s - each.first_s for each in workers.values()]
    way.decoded, way.pieces = sum(decoded), len(decoded) or 1


@dataclass
class Worker:
    """Of one process: processor seconds when it was first and last seen; the most bytes it held."""

    first_s: float
    last_s: float = 0.0
    peak: int = 0


@contextmanager
def watched() -> Iterator[dict[int, Worker]]:
    """What the workers of the cluster do meanwhile, by their process numbers."""
    workers: dict[int, Worker] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    if " ".join(process.cmdline()).startswith("ray::index"):
                        times = process.cpu_times()
                        spent_s = times.user + times.system
                        worker = workers.setdefault(process.pid, Worker(spent_s))
                        worker.last_s = spent_s
                        worker.peak = max(worker.peak, process.memory_info().rss)
                except psutil.Error:  # it has just ended
                    continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield workers
    finally:
        over.set()
        thread.join()


def row(name: str, way: Way, n_frames: int, base: Way) -> dict[str, Any]:
    return {
        "way": name,
        "pieces": way.pieces,
        "seconds": statistics.median(way.seconds),
        "speed": statistics.median(base.seconds) / statistics.median(way.seconds),
        "CPU s of all workers": sum(way.cpu_s),
        "of the busiest": max(way.cpu_s),
        "peak MiB of a worker": way.peak_mib,
        "decoded twice": max(0, way.decoded - n_frames) / n_frames if way.decoded else 0.0,
    }


if __name__ == "__main__":
    main()
