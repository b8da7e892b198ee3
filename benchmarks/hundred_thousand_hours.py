"""What an archive of 100,000 hours would take, EXTRAPOLATED from what smaller ones took.

    python -m benchmarks.hundred_thousand_hours [--hours 100000] [--write]

100,000 hours of 1,200 shots are 120 million shots, many times as many as were ever measured. Each
figure of `results` at a million shots and of the largest archive is carried on by the power of the
shots that leads from the one to the other. Nothing is measured here, and what stops growing or
begins to grow in between is not seen.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks import _report
from workers.simulate import MEASURED

FROM, SHOTS_HOUR = "1,000,000", 1200
QUESTIONS = (
    "context",
    "person",
    "person in 1 shot",
    "person and context",
    "context, not person",
    "context, videos",
)
SIZES = ("keyframes MB", "faces MB", "shots MB", "indexes MB")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=100_000.0)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    shots, to = given.hours * SHOTS_HOUR, _rows("scale_archives")[-1]["shots"]
    rows = [_row(what, unit, a, b, to, shots) for what, unit, a, b in measured(to)]
    rows.append(upkeep(to, shots))
    notes = [
        f"EXTRAPOLATED: {given.hours:,.0f} hours of {SHOTS_HOUR:,} shots are {shots:,.0f} shots, "
        f"{shots / _number(to):.3g} times what was measured; by the power that led from {FROM} to "
        f"{to} shots.",
        "In proportion: if it grew as the shots do. Measured: scale, scale_archives, upkeep; the "
        "archives were without pictures.",
    ]
    print(*rows, sep="\n")
    if given.write:
        title = f"{given.hours:,.0f} hours of video, extrapolated"
        print(_report.write("hundred_thousand_hours", title, rows, notes, load=None))


def measured(to: str) -> Iterator[tuple[str, str, float, float]]:
    """What, its unit, and its values at a million shots and in the largest archive."""
    asked = {(row["shots"], row["question"]): row for row in _rows("scale")}
    for kind in QUESTIONS:
        a, b = (asked[shots, kind]["p50 ms"] for shots in (FROM, to))
        yield f"{kind}, asked before", "ms", a, b
    a, b = (asked[shots, "person"]["first time, p50 ms"] for shots in (FROM, to))
    yield "person, first time", "ms", a, b
    made = {row["shots"]: row for row in _rows("scale_archives")}
    yield "memory of a reader", "GB", made[FROM]["memory GB"], made[to]["memory GB"]
    a, b = (made[shots]["memory GB, writer"] for shots in (FROM, to))
    yield "memory of the writer", "GB", a, b
    bytes_gb = [sum(made[shots][size] for size in SIZES) / 1e3 for shots in (FROM, to)]
    yield "tables and indexes, no pictures", "GB", bytes_gb[0], bytes_gb[1]


def upkeep(to: str, shots: float) -> dict[str, Any]:
    """The row of all upkeep, as `workers.simulate` reckons it."""
    a, b, far = (MEASURED.upkeep_s(n) / 3600 for n in (_number(FROM), _number(to), shots))
    row = _row("all upkeep", "h", a, b, to, shots)
    return row | {"EXTRAPOLATED": far}


def _row(what: str, unit: str, a: float, b: float, to: str, shots: float) -> dict[str, Any]:
    power = math.log(b / a) / math.log(_number(to) / _number(FROM))
    times = shots / _number(to)
    return {
        "what": what,
        "unit": unit,
        f"{FROM} shots": a,
        f"{to} shots": b,
        "grows as shots to the power": power,
        "EXTRAPOLATED": b * times**power,
        "in proportion": b * times,
    }


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((_report.RESULTS / f"{name}.json").read_text())["rows"]
    return rows


def _number(text: str) -> int:
    return int(text.replace(",", ""))


if __name__ == "__main__":
    main()
