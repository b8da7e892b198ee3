"""What the upkeep of a growing archive takes, from what `benchmarks.scale make` printed.

    python -m benchmarks.scale make --archive DIR --shots 10000000 | tee LOG
    python -m benchmarks.upkeep LOG --archive DIR [--write]

`make` commits 8,000 shots at a time and looks after the files and indexes every 64 commits, as a
job does, and says every ten commits how many seconds all of its writing took so far. Ten commits
that took much longer than most had an upkeep in them: what they took beyond the others is its time.
The last upkeep, at the end of a run, is what `make` kept in DIR. `workers.simulate` reckons with
the sums.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import _report, scale, scale_report

LINE = re.compile(r"^([\d,]+) shots, (\d+) s$", re.MULTILINE)
MUCH_S = 8  # beyond the median of ten commits; the log counts whole seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    steps = steps_of(given.log.read_text())
    each_s = statistics.median(seconds for _, seconds in steps)
    last_s = scale.known(given.archive).get("indexing_s")
    rows = upkeep(steps, each_s, last_s)
    end = "The last row is the upkeep at the end of the run."
    if last_s is None:
        end = f"The run was going on: {steps[-1][0]:,} shots were there."
    notes = [
        f"{scale_report.DATA} Ten commits, 80,000 shots, took {each_s:g} s in the median, without "
        f"upkeep. {end}",
        "The machine did other work for a part of the time, so single rows may be too high.",
    ]
    print(*rows, *notes, sep="\n")
    if given.write:
        title = "Upkeep of an archive that grows"
        print(_report.write("upkeep", title, rows, notes, load=None))


def steps_of(log: str) -> list[tuple[int, float]]:
    """Shots after each step, and the seconds that it took."""
    told = [(int(shots.replace(",", "")), float(s)) for shots, s in LINE.findall(log)]
    before = [(0, 0.0), *told]
    return [(b[0], b[1] - a[1]) for a, b in zip(before, told, strict=False)]


def upkeep(
    steps: Sequence[tuple[int, float]], each_s: float, last_s: float | None
) -> list[dict[str, Any]]:
    """A row an upkeep: shots, its seconds, those of all so far; `last_s` is that at the end."""
    found = [(shots, seconds - each_s) for shots, seconds in steps if seconds - each_s > MUCH_S]
    if last_s is not None:
        found.append((steps[-1][0], last_s))
    rows, total_s = [], 0.0
    for shots, seconds in found:
        total_s += seconds
        rows.append({"shots": shots, "upkeep s": seconds, "all upkeep s": total_s})
    return rows


if __name__ == "__main__":
    main()
