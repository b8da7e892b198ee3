"""How what large archives take grows with them, as a picture and in words: see `scale_report`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks._growth import Line, Panel

SHOT_S = 6.0  # of video a shot
NEW_WORDS = ("context", "person and context", "context, not person")
Measured = Mapping[str, Any]


def panels(measured: Sequence[Measured]) -> tuple[Panel, ...]:
    """What is stored, what writing takes, what memory, what a question takes."""
    return (_stored(measured), _written(measured), _memory(measured), _asked(measured))


def told(panels: Sequence[Panel]) -> str:
    """The powers of all lines, and between which sizes they are told."""
    said = []
    for panel in panels:
        for line in panel.lines:
            if line.power is not None:
                between = f"{line.told[0][0]:,.4g} to {line.told[-1][0]:,.4g} {panel.size}"
                said.append(f"{panel.title}, {line.name}: {line.power:.2f} ({between})")
    return "Grew by the power of the size, from the first to the last: " + "; ".join(said) + "."


def _stored(measured: Sequence[Measured]) -> Panel:
    lines = (
        _line("archive", measured, _hours, lambda each: each["bytes"] / 1e9),
        _line("of these indexes", measured, _hours, lambda each: _indexes(each) / 1e9),
    )
    return Panel("what is stored", "hours of video", "GB", lines)


def _written(measured: Sequence[Measured]) -> Panel:
    def seconds(each: Measured) -> float:
        return float(each["written_s"] + each.get("indexing_s", 0.0))

    lines = (_line("writing, with all upkeep", measured, _hours, seconds),)
    return Panel("what writing takes", "hours of video", "seconds that passed", lines)


def _memory(measured: Sequence[Measured]) -> Panel:
    names = {"reader": "peak_reader_gb", "writer": "peak_writer_gb"}
    lines = [
        _line(who, measured, _hours, lambda each, name=name: each.get(name, 0.0))
        for who, name in names.items()
    ]
    return Panel("what memory it takes, at most", "hours of video", "GB", tuple(lines))


def _asked(measured: Sequence[Measured]) -> Panel:
    """Questions in milliseconds that passed; powers of those sizes that indexes answer."""
    indexed = [each["shots"] for each in measured if _indexes(each)]
    since = float(min(indexed, default=np.inf))

    def line(name: str, kept: str, kind: str) -> Line:
        return _line(name, measured, _shots, lambda each: _p50(each, kept, kind), since)

    lines = [line(f"{kind}, new words", "new_words", kind) for kind in NEW_WORDS]
    lines.append(line("person, first time", "new_times", "person"))
    lines.append(line("context, asked before", "times", "context"))
    lines.append(line("context, compared with all", "exact_times", "context"))
    title = "what a question takes, new or asked before"
    return Panel(title, "shots", "p50 of milliseconds that passed", tuple(lines))


def _line(
    name: str,
    measured: Sequence[Measured],
    size: Callable[[Measured], float],
    of: Callable[[Measured], float],
    since: float = 0.0,
) -> Line:
    """A line of those archives that have such a value: 0 is none, and no logarithm."""
    pairs = [(size(each), float(of(each))) for each in measured if of(each)]
    return Line(name, tuple(x for x, _ in pairs), tuple(y for _, y in pairs), since)


def _p50(each: Measured, kept: str, kind: str) -> float:
    return float(np.median(each[kept][kind])) if kind in each.get(kept, {}) else 0.0


def _indexes(each: Measured) -> int:
    return sum(each["index_bytes"].values())


def _hours(each: Measured) -> float:
    return float(each["shots"] * SHOT_S / 3600)


def _shots(each: Measured) -> float:
    return float(each["shots"])
