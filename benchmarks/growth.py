"""How the cost of indexing grows with the video: core seconds, rows, bytes and memory by minutes.

    python -m benchmarks.growth [--minutes 1 2 4 8 16] [--write]

A minute as in `index_speed` (slow moves over pictures with people, a cut every 3 s) is encoded once
in each of the formats of `FORMATS` and repeated by stream copy, so that every minute of each video
holds the same. Each video is indexed into an archive of its own by a process of its own, which
indexed a clip of two seconds before: that is its start (imports, models, a first commit), and told
apart. Powers are fitted to all lengths by least squares of logarithms. Draws growth.png.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _growth, _report
from benchmarks._growth import Line, Panel
from benchmarks.index_speed import duration, load_pictures, make_video
from vidsearch import Archive

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "tests"))

from videos import loop  # noqa: E402

# Name, size, Mbit/s; those of `stage_times`.
FORMATS = (("360p", (640, 360), 1), ("720p", (1280, 720), 4))
MINUTES = (1.0, 2.0, 4.0, 8.0, 16.0)
MINUTE_S, FIRST_S = 60.0, 2.0
ROWS = ("shots", "keyframes", "face tracks", "face looks")
COSTS = ("core s", "core s with start", "archive MB", "peak MiB")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("FIRST", "VIDEO", "FOLDER"), help="(internal)")
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(index(*map(Path, options.one))))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measured(Path(folder), options.minutes):
            rows.append(row)
            print(row, flush=True)
    drawn = panels(rows)
    print(powers(drawn))
    if options.write:
        title = "How the cost of indexing grows with the video"
        print(_report.write("growth", title, rows, [*NOTES, powers(drawn)]))
        file = _report.RESULTS / "growth.png"
        _growth.figure(drawn, columns=2).savefig(file, bbox_inches="tight")


NOTES = (
    "A minute with a cut every 3 s, repeated by stream copy; each video into an archive of its own,"
    " by a process of its own, on all cores. `core s`: user and system time of that process, after"
    f" it had indexed a clip of {FIRST_S:.0f} s into another archive; `with start` has that in it.",
    "`archive MB`: all files but the copies for searches. `peak MiB`: the most that the process"
    " ever held, libraries and models included.",
)


def measured(folder: Path, minutes: Sequence[float]) -> Iterator[dict[str, Any]]:
    """A row a format and length."""
    for name, size, megabits in FORMATS:
        first, minute = folder / f"{name}-first.mp4", folder / f"{name}.mp4"
        for path, seconds in ((first, FIRST_S), (minute, MINUTE_S)):
            make_video(path, load_pictures(None), seconds, size=size, megabits=megabits)
        for length in minutes:
            path = loop(minute, folder / f"{name}-{length:g}.mp4", MINUTE_S * length)
            row = {"format": name, "minutes": duration(path) / MINUTE_S}
            yield row | in_a_process(first, path, folder / f"{name}-{length:g}")
            path.unlink()


def in_a_process(first: Path, video: Path, folder: Path) -> dict[str, Any]:
    """What `index` tells in a new process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.growth",
        "--one",
        *map(str, (first, video, folder)),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=REPO, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def index(first: Path, video: Path, folder: Path) -> dict[str, Any]:
    """Index a video, after a `first` one, each into a new archive below `folder`; what it took."""
    Archive(folder / "first").index([first])
    start_s = core_s()
    archive = Archive(folder / "archive")
    archive.index([video])
    spent_s, peak_mib = core_s(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stats = archive.stats()  # measured before: it reads everything
    if not stats.shots:
        raise SystemExit(f"{video}: nothing was indexed")
    return {
        "core s": spent_s - start_s,
        "core s with start": spent_s,
        "shots": stats.shots,
        "keyframes": stats.keyframes,
        "face tracks": stats.face_tracks,
        "face looks": stats.face_looks,
        "archive MB": sum(n for part, n in stats.disk.items() if part != "cache") / 1e6,
        "peak MiB": peak_mib,
    }


def core_s() -> float:
    """User and system seconds of this process so far, and of children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def panels(rows: Sequence[Mapping[str, Any]]) -> tuple[Panel, ...]:
    """Core seconds, rows, bytes and memory against minutes."""

    def lines(
        *names: str, of: Sequence[str] = tuple(each[0] for each in FORMATS)
    ) -> Iterator[Line]:
        for name in names:
            for format_ in of:
                some = [row for row in rows if row["format"] == format_]
                x, y = (tuple(float(row[what]) for row in some) for what in ("minutes", name))
                yield Line(f"{format_}, {name}", x, y, fitted=True)

    size, last = "minutes of video", FORMATS[-1][0]
    return (
        Panel("what indexing takes", size, "core seconds", tuple(lines(*COSTS[:2]))),
        Panel("rows", size, "rows", tuple(lines(*ROWS, of=[last]))),
        Panel("what is stored", size, "MB", tuple(lines("archive MB"))),
        Panel("memory at most", size, "MiB", tuple(lines("peak MiB"))),
    )


def powers(drawn: Sequence[Panel]) -> str:
    """The fitted powers in words, and how much the last doubling of the length took more."""
    said = [
        f"{line.name} {line.power:.2f} (last doubling: {line.y[-1] / line.y[-2]:.2f} times)"
        for panel in drawn
        for line in panel.lines
        if line.power is not None
    ]
    return "Grows by this power of the minutes, fitted to all lengths: " + "; ".join(said) + "."


if __name__ == "__main__":
    main()
