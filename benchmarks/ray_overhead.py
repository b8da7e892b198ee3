"""What going through Ray costs: the same files by `--jobs 2` and by a Ray cluster of two cores.

    python -m benchmarks.ray_overhead [--videos 20] [--seconds 20] [--rounds 2] [--write]

Files as in `index_speed` (720p, slow moves over pictures with people), each another one. Both ways
index all of them into a new archive, in turn, `--rounds` times; the ratio is of the medians. Ray's
start (a cluster of this machine alone, until it runs its first task) is measured apart: a job finds
its cluster running. Exit status 1 where the ratio or the start misses what is wanted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _report
from benchmarks.index_speed import load_pictures, make_video
from vidsearch import Archive
from workers import JobOptions, on_ray

CORES = 2
WANTED, START_WANTED_S = 0.9, 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        pictures = load_pictures(None)
        for number in range(given.videos):
            turned = pictures[number % len(pictures) :] + pictures[: number % len(pictures)]
            make_video(videos / f"v{number}.mp4", turned, given.seconds + number / 25)
        start_s = started()
        local, ray = measured(videos, Path(folder), given.rounds)
    rows = [
        {"what": f"--jobs {CORES}", "seconds": local, "ratio": 1.0},
        {"what": "Ray", "seconds": ray, "ratio": local / ray},
        {"what": "start of Ray", "seconds": start_s, "ratio": ""},
    ]
    notes = [
        f"{given.videos} files of {given.seconds:.0f} s at 720p; medians of {given.rounds} runs in "
        f"turn, {CORES} workers each. Ratio: speed against --jobs {CORES}; wanted {WANTED}, and a "
        f"start under {START_WANTED_S:.0f} s.",
        "Each run starts the processes of --jobs anew; Ray keeps its own between files and runs, "
        "as a cluster does.",
    ]
    lacking = missed(local / ray, start_s)
    print(*rows, *lacking, sep="\n")
    if given.write:
        print(_report.write("ray_overhead", "What going through Ray costs", rows, notes + lacking))
    return int(bool(lacking))


def missed(ratio: float, start_s: float) -> list[str]:
    """What is not as wanted, a sentence each."""
    found = []
    if ratio < WANTED:
        found.append(f"MISSED: the ratio is {ratio:.3f}, under {WANTED}.")
    if start_s > START_WANTED_S:
        found.append(f"MISSED: Ray took {start_s:.1f} s to start, over {START_WANTED_S:.0f} s.")
    return found


def started() -> float:
    """Seconds from nothing to the first result of a task."""
    import ray

    from workers.cluster import Code, connect, refuse_other_code

    began = time.perf_counter()
    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False)
    connect("auto")
    ray.get(ray.remote(num_cpus=1)(refuse_other_code).remote(Code.here()))
    return time.perf_counter() - began


def measured(videos: Path, folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of both ways."""
    taken: dict[str, list[float]] = {"local": [], "ray": []}
    for number in range(rounds):
        for way, times in taken.items():
            archive = Archive(folder / f"{way}{number}")
            began = time.perf_counter()
            if way == "local":
                archive.index([videos], jobs=CORES)
            else:
                archive.index([videos], analyst=on_ray(JobOptions("auto")))
            times.append(time.perf_counter() - began)
    return statistics.median(taken["local"]), statistics.median(taken["ray"])


if __name__ == "__main__":
    sys.exit(main())
