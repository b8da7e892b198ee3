"""What `watch` tells: a line for each thing that happens, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from vidsearch.indexing import Failed, Indexed
from vidsearch.inputs import printable
from vidsearch.present import counted
from vidsearch.progress import clock
from vidsearch.progress_lines import indexed_as_data
from vidsearch.watch import Gone, News, Renamed, Waiting, Watching

_EVENTS = {
    Watching: "watching",
    Renamed: "renamed",
    Gone: "gone",
    Waiting: "waiting",
    Indexed: "indexed",
    Failed: "failed",
}


class Told:
    """Writes a line for each thing, and counts them for the summary."""

    def __init__(self, write: Callable[[str], None], *, as_json: bool, quiet: bool) -> None:
        self._write = write
        self._as_json = as_json
        self._quiet = quiet
        self.counts = dict.fromkeys(_EVENTS.values(), 0)
        self._seconds = 0.0

    def all_of(self, news: Iterable[News]) -> None:
        """Tell of everything until it ends, or somebody interrupts."""
        for each in news:
            self.tell(each)

    def tell(self, each: News) -> None:
        name = _EVENTS[type(each)]
        self.counts[name] += 1
        if isinstance(each, Indexed):
            self._seconds += each.video.duration_s
        if self._as_json:
            self._write(json.dumps({"event": name, **_as_data(each)}, ensure_ascii=False))
        elif not self._quiet or isinstance(each, (Failed, Waiting)):
            self._write(_sentence(each))

    def summary(self) -> None:
        """What was done, when it is over."""
        counts = {name: n for name, n in self.counts.items() if name not in ("watching", "waiting")}
        if self._as_json:
            self._write(json.dumps({"event": "stopped", **counts, "video_s": self._seconds}))
        elif not self._quiet:
            n = counts.pop("indexed")
            others = "".join(f"; {many} {name}" for name, many in counts.items() if many)
            video = f", {clock(self._seconds)} of video" if n else ""
            self._write(f"stopped: indexed {counted(n, 'video')}{video}{others}")


def _as_data(each: News) -> dict[str, Any]:
    return indexed_as_data(each) if isinstance(each, Indexed) else asdict(each)


def _sentence(each: News) -> str:
    if isinstance(each, Watching):
        where = ", ".join(each.paths)
        left = each.files - each.known
        return (
            f"watching {where} ({each.by}): {counted(each.files, 'video')},"
            f" {left or 'none'} to look at; Ctrl-C ends it"
        )
    if isinstance(each, Renamed):
        return f"renamed  {each.old} is {each.new} now"
    if isinstance(each, Gone):
        return f"gone     {each.path}; vidsearch prune drops what is stored of it"
    if isinstance(each, Waiting):
        return f"waiting  {each.sentence}"
    if isinstance(each, Failed):
        return f"failed   {each.path}: {each.reason}"
    video = each.video
    said = f"{counted(video.n_shots, 'shot')}, {clock(video.duration_s)}"
    return f"{video.status:8} {printable(video.path)}: {said}" + (
        f"; {video.error}" if video.error else ""
    )
