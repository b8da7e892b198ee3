"""Random access to the frames of a file: decord against PyAV, in one run.

    python benchmarks/rereads.py [VIDEO...]

Reads frames scattered over each video, and all in a row, with both; the two take turns. The
comparison that must go before decord is used on a file (`vidsearch.rereads.decord_is_right`) is
timed apart, since it happens once for a file and process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _report
import numpy as np

from vidsearch import rereads
from vidsearch.media import probe

CLIP = Path(__file__).resolve().parent.parent / "examples" / "media" / "white-house-poetry.mp4"
ROUNDS = 3


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(video: Path) -> list[dict[str, Any]]:
    """A row for each number of pictures; none where decord's frames are wrong."""
    name = str(video)
    checked = seconds(lambda: rereads.decord_is_right(name))
    if not rereads.decord_is_right(name):
        print(f"{video.name}: decord is not used on this file")
        return []
    end = probe(video).duration_s
    rows = []
    for count in (24, 200):
        times = np.random.default_rng(0).uniform(0, end, count).tolist()
        ordered = sorted(set(times))
        turns = [
            (
                seconds(lambda t=times: rereads._read_by_decord(name, t)),
                seconds(lambda t=ordered: rereads._read_by_pyav(name, t)),
            )
            for _ in range(ROUNDS)
        ]
        decord, pyav = (statistics.median(side) for side in zip(*turns, strict=True))
        rows.append(
            {
                "video": video.name,
                "pictures": count,
                "decord s": decord,
                "PyAV s": pyav,
                "decord / PyAV": decord / pyav,
                "comparison first s": checked,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, default=[CLIP])
    rows = [row for video in parser.parse_args().videos for row in measure(video)]
    notes = [f"Data: the videos named, frames at random times; median of {ROUNDS} turns."]
    print(_report.write("rereads", "Frames at random times", rows, notes))


if __name__ == "__main__":
    main()
