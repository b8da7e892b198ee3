"""What a job's driver computes for each file and each piece of news of a Ray cluster.

    python -m benchmarks.hand_out [--files 200] [--seconds 90] [--write]

The analyst of a job (`workers.index_job.on_ray`) runs on a cluster of this machine with eight
workers, however few cores there are, and nothing is stored: first `--files` times a clip of one
second, of which workers hardly tell of progress, then eight long clips, of which they tell once a
second. Processor seconds of the driver's process, without its workers; what it takes to do nothing,
Ray connected, is taken off.
`workers.simulate` reckons with both.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import _report
from benchmarks.index_speed import load_pictures, make_video
from vidsearch.records import AnalyzedVideo
from vidsearch.shots import DEFAULT_DETECTOR
from vidsearch.tasks import Analyzed, Progress, Recipe, Task
from workers import JobOptions, on_ray

WORKERS, SIZE, IDLE_S = 8, (640, 360), 20.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=90.0, help="of the long clips")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    import ray

    ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.mp4", Path(folder) / "long.mp4"
        make_video(short, load_pictures(None), 1.0, size=SIZE)
        make_video(long, load_pictures(None), given.seconds, size=SIZE)
        analysed(short, WORKERS)  # the workers load their models
        idle = idle_share()
        files = per_each("a file of 1 s", analysed(short, given.files), idle, by="files")
        news = analysed(long, WORKERS)
    # Of the long clips the driver's work for files is small, and known.
    told = per_each("a piece of news", news, idle, by="news", less_s=WORKERS * files["core s each"])
    rows = [files, told]
    notes = [
        f"{given.files} files of one second, then {WORKERS} of {given.seconds:.0f} s, at 360p, by "
        f"{WORKERS} workers on the cores there are. Ray connected and nothing to do took "
        f"{idle:.4f} of a core, which is taken off.",
        "A worker tells of its progress once a second, if the driver has taken what it told before;"
        " its analysis goes on meanwhile.",
    ]
    print(*rows, *notes, sep="\n")
    if given.write:
        print(_report.write("hand_out", "What a job's driver computes", rows, notes))


def idle_share() -> float:
    """Processor seconds a second of this process with Ray connected and nothing to do."""
    began = time.process_time()
    time.sleep(IDLE_S)
    return (time.process_time() - began) / IDLE_S


def analysed(path: Path, times: int) -> dict[str, float]:
    """Analyse a file so many times; seconds, processor seconds of this process, and news."""
    data = os.fsencode(path)
    tasks = [Task((data,), f"{path.stem}-{n}", path.stat().st_size, 0.0) for n in range(times)]
    recipe = Recipe("concept", "default", DEFAULT_DETECTOR)
    began_s, began, n_news, n_files = time.perf_counter(), time.process_time(), 0, 0
    for each in on_ray(JobOptions("auto", piece_minutes=0))(tasks, recipe):
        n_news += isinstance(each, Progress)
        n_files += isinstance(each, Analyzed) and isinstance(each.result, AnalyzedVideo)
    if n_files != times:
        raise RuntimeError(f"{n_files} of {times} files were analysed")
    return {
        "seconds": time.perf_counter() - began_s,
        "core s": time.process_time() - began,
        "files": n_files,
        "news": n_news,
    }


def per_each(
    what: str, spent: dict[str, float], idle: float, *, by: str, less_s: float = 0.0
) -> dict[str, Any]:
    """A row: what the driver computes for each file, or each piece of news."""
    own = spent["core s"] - idle * spent["seconds"] - less_s
    return {"what": what, **spent, "core s each": own / max(1, spent[by])}


if __name__ == "__main__":
    main()
