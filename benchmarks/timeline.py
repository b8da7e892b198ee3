"""Who is on screen when, in an archive of a million shots: times and memory of what users call.

    python -m benchmarks.scale make --archive DIR --shots 1000000
    python -m benchmarks.timeline --archive DIR [--write]

Everything is asked of one `Archive`, which read its indexes first (`Archive.warm`), as a process
that stays open does: each timeline and everybody's appearances for the first time, and once more.
Those that read all rows come last. What is in the archive is said in `benchmarks.scale`: videos of
1,000 shots, 23 people enrolled.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import _report, scale, scale_report
from vidsearch import Archive

OFTEN = "Otto Often"  # in one shot of fifty
VIDEOS, MOMENTS = 50, 20  # of each video
AT_MS = 5.0
Took = tuple[float, float]  # milliseconds that passed, and of all cores together


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the result; 1 if `at` takes longer than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    archive = Archive(options.archive)
    shots = sum(video.n_shots for video in archive.videos())
    archive.warm()
    quick = of_videos(archive) + of_people(archive)
    held_gb = scale.peak_gb()
    table = quick + of_all_rows(archive)
    notes = [
        scale_report.DATA,
        f"{shots:,} shots in {len(archive.videos()):,} videos, {len(archive.people())} people. Each"
        " was asked for by a process that had its indexes in memory: `first time`, when nothing of"
        " it had been read, and `again`. `core ms` are of all cores together.",
        f"Memory: {held_gb:.1f} GB at most until the rows below `together` were asked for, which"
        f" read all rows of the archive: {scale.peak_gb():.1f} GB.",
    ]
    for row in table:
        print(row)
    if options.write:
        title = f"Who is on screen when: an archive of {shots:,} shots"
        print(_report.write("timeline", title, table, notes))
    return int(float(table[0]["p50 ms"]) > AT_MS)


def of_videos(archive: Archive) -> list[dict[str, Any]]:
    """Timelines of some videos and moments of them."""
    rng, videos = np.random.default_rng(0), archive.videos()
    some = [videos[int(n)] for n in rng.permutation(len(videos))[:VIDEOS]]
    first, again, moments = [], [], []
    for video in some:
        first.append(took(lambda video=video: archive.timeline(video.video_id)))
        again.append(took(lambda video=video: archive.timeline(video.video_id)))
        made = archive.timeline(video.video_id)
        for at_s in rng.uniform(0, made.end_s, MOMENTS).tolist():
            moments.append(took(lambda made=made, at_s=at_s: made.at(at_s)))
    return [
        _row("timeline.at(t)", moments, AT_MS),
        _row("timeline(video), first time", first),
        _row("timeline(video), again", again),
    ]


def of_people(archive: Archive) -> list[dict[str, Any]]:
    """All appearances of everybody whom `benchmarks.scale` asks for, and of who is there often."""

    def asked(*names: str) -> list[Took]:
        return [took(lambda name=name: archive.appearances(name)) for name in names]

    others = [name for name in scale.PEOPLE if name != OFTEN]
    return [
        _row("appearances(person), first time", asked(*others)),
        _row("appearances(person), again", asked(*others)),
        _row("appearances of who is in one shot of fifty, first time", asked(OFTEN)),
        _row("appearances of who is in one shot of fifty, again", asked(OFTEN)),
    ]


def of_all_rows(archive: Archive) -> list[dict[str, Any]]:
    """What reads every row of the archive, each the first time and again."""
    both = (OFTEN, scale.PEOPLE[1])
    asked: dict[str, Callable[[], object]] = {
        "together(a, b)": lambda: archive.together(*both),
        'screen_time("person")': lambda: archive.screen_time("person"),
    }
    return [
        _row(f"{name}, {when}", [took(ask)])
        for name, ask in asked.items()
        for when in ("first time", "again")
    ]


def took(ask: Callable[[], object]) -> Took:
    began, worked = time.perf_counter(), time.process_time()
    ask()
    return 1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - worked)


def _row(what: str, times: Sequence[Took], target: float | None = None) -> dict[str, Any]:
    passed, cores = zip(*times, strict=True)
    return {
        "what": what,
        "p50 ms": median(passed),
        "slowest ms": max(passed),
        "core ms, p50": median(cores),
        "runs": len(times),
        "at most": target or "",
    }


if __name__ == "__main__":
    sys.exit(main())
