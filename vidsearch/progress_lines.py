"""The progress of an index run for programs: one JSON object a line, as things happen.

Every line has an `event`: "planned", "progress" (every `EVERY_S` seconds), "indexed", "failed" and,
last, "done". Times are in seconds. Warnings come between them (`vidsearch.log_lines`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from vidsearch.indexing import Event, Failed, Indexed, IndexReport, Planned, Tally
from vidsearch.inputs import printable

EVERY_S = 5.0


def tell_lines(
    events: Iterable[Event], write: Callable[[str], None], *, quiet: bool = False
) -> IndexReport:
    """Run `events` to their end, giving `write` a line, without its end, for each thing to tell.

    `quiet` tells of failures only, and of files that are there in part.
    """
    tally = Tally()
    last = time.monotonic()

    def tell(event: str, *, is_bad: bool = False, **facts: Any) -> None:
        if quiet and not is_bad:
            return
        write(json.dumps({"event": event, **facts}, ensure_ascii=False))

    for event in events:
        tally.add(event)
        if isinstance(event, Planned):
            tell("planned", **_planned(event))
        elif isinstance(event, Indexed):
            is_bad = event.video.status == "partial"
            tell("indexed", is_bad=is_bad, **indexed_as_data(event))
        elif isinstance(event, Failed):
            facts = {"path": event.path, "video_id": event.video_id, "reason": event.reason}
            tell("failed", is_bad=True, **facts)
        if time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            tell("progress", **state(tally))
    report = tally.report()
    tell("done", **state(tally), seconds=report.seconds)
    return report


def state(tally: Tally) -> dict[str, Any]:
    """How far a run has come."""
    frames, speed = tally.rates()
    return {
        "videos": len(tally.indexed),
        "of": tally.planned.todo,
        "failed": len(tally.failed),
        "shots": tally.shots + sum(file.shots for file in tally.open.values()),
        "video_s": tally.video_s(),
        "frames_per_s": frames,
        "times_real_time": speed,
        "share": tally.share(),
        "left_s": tally.left_s(),
        "workers": tally.load.workers if tally.load else None,
        "gpu_busy": tally.load.gpu if tally.load else None,
        "in_work": [
            {"path": file.path, "video_s": file.seconds, "of_s": file.duration_s}
            for file in tally.open.values()
        ],
    }


def _planned(event: Planned) -> dict[str, Any]:
    return {
        "todo": event.todo,
        "bytes": event.bytes_todo,
        "unchanged": event.unchanged,
        "moved": event.moved,
        "hidden": event.hidden,
        "other": event.other,
        "notes": list(event.notes),
    }


def indexed_as_data(event: Indexed) -> dict[str, Any]:
    """A file whose rows are published."""
    video = event.video
    return {
        "path": printable(video.path),
        "video_id": video.video_id,
        "status": video.status,
        "error": video.error,
        "shots": video.n_shots,
        "video_s": video.duration_s,
        "seconds": event.seconds,
    }
