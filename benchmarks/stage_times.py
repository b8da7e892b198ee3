"""What an hour of video costs: processor seconds, bytes moved and bytes stored, by picture size.

    python -m benchmarks.stage_times [--seconds 60] [--write]

Clips as in `index_speed` (slow moves over pictures with people, a cut every 3 s) in the formats of
`FORMATS`. Of each: processor seconds of all threads of `analyze()`, models loaded, and of bare
decoding; the bytes of the finished record as it travels between processes (pickled); the processor
seconds and bytes of publishing it. Processor time is used because it hardly depends on what else
the machine does. `docs/scaling.md` reckons costs from these, and `workers.simulate` a cluster.
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import _report
from benchmarks.index_speed import decode, duration, load_pictures, make_video
from vidsearch import Archive
from vidsearch.analyze import analyze, load_models
from vidsearch.health import size_of
from vidsearch.records import AnalyzedVideo
from vidsearch.shots import DEFAULT_DETECTOR
from vidsearch.tasks import Recipe, Task

# Name, suffix, size, encoder, Mbit/s.
FORMATS = (
    ("360p H.264", "mp4", (640, 360), "libx264", 1),
    ("720p H.264", "mp4", (1280, 720), "libx264", 4),
    ("1080p H.264", "mp4", (1920, 1080), "libx264", 8),
    ("1080p MPEG-2", "mxf", (1920, 1080), "mpeg2video", 50),
)
HOUR = 3600.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    recipe = Recipe("concept", "default", DEFAULT_DETECTOR, threads=1)
    load_models(recipe.encoder, recipe.faces, recipe.threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(Path(folder), options.seconds, recipe, *each) for each in FORMATS]
    for row in rows:
        print(row, flush=True)
    notes = [
        f"{options.seconds:.0f} s of each format; everything as of an hour of video. One thread an "
        "analysis, so core seconds are what one core takes.",
        "Record bytes travel from a worker to the committer; stored bytes are the archive's tables "
        "with thumbnails, without the copies for searches, of the clip. An hour is one video made "
        "of the clip's shots again and again.",
    ]
    if options.write:
        print(_report.write("stage_times", "What an hour of video costs", rows, notes))


def measured(
    folder: Path,
    seconds: float,
    recipe: Recipe,
    name: str,
    suffix: str,
    size: tuple[int, int],
    codec: str,
    megabits: int,
) -> dict[str, Any]:
    path = folder / f"{name.replace(' ', '-')}.{suffix}"
    make_video(path, load_pictures(None), seconds, size=size, codec=codec, megabits=megabits)
    hours = duration(path) / HOUR
    task = Task((os.fsencode(path),), name, path.stat().st_size, 0.0)
    bare = cpu_s(lambda: decode(path))
    began = time.process_time()
    found = analyze(task, recipe)
    spent = time.process_time() - began
    record = len(pickle.dumps(found)) / hours
    archive = Archive(folder / f"{name}.vidsearch")
    with archive._open.made() as store:
        before = _tables(archive.path)
        commit = cpu_s(lambda: store.publish_many([found]))
        stored = (_tables(archive.path) - before) / hours
        whole = repeated(found, HOUR)
        publishing = cpu_s(lambda: store.publish_many([whole]))
    return {
        "format": name,
        "core s": spent / hours,
        "bare decode core s": bare / hours,
        "shots": len(found.shots) / hours,
        "keyframes": sum(len(shot.keyframes) for shot in found.shots) / hours,
        "face tracks": sum(len(shot.tracks) for shot in found.shots) / hours,
        "source MB": path.stat().st_size / 1e6 / hours,
        "record MB": record / 1e6,
        "publishing an hour core s": publishing,
        "publishing this clip core s": commit,
        "stored MB": stored / 1e6,
    }


def repeated(video: AnalyzedVideo, seconds: float) -> AnalyzedVideo:
    """A video of `seconds` or a little more: the shots of `video` again and again."""
    times = math.ceil(seconds / video.video.duration_s)
    shots = video.shots * times
    numbered = tuple(replace(shot, index=number) for number, shot in enumerate(shots))
    about = replace(video.video, video_id="repeated", n_shots=len(numbered))
    return AnalyzedVideo(about, numbered)


def _tables(folder: Path) -> int:
    return sum(size_of(table) for table in folder.glob("*.lance"))


def cpu_s(run: Any) -> float:
    """Processor seconds of all threads of this process while `run()` runs."""
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    main()
