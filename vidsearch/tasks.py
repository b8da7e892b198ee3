"""What passes between planning a run, analysing its files and storing what was found.

An `Analyst` turns tasks into news, on one machine (`vidsearch.analysts`) or a cluster (`workers`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from vidsearch.records import AnalyzedVideo, Video
from vidsearch.urls import Place, place

if TYPE_CHECKING:
    from vidsearch.stamp import Stamp


QUARANTINE = "in quarantine: "
"""How the reason of a file begins that is not tried again before it changes or somebody asks."""


@dataclass(frozen=True)
class Task:
    """One file to analyse.

    `paths` are the bytes of all its names, first the one to read; `replaces` are the ids of the
    rows that held one of these paths with other content, and lose it once this one is stored.
    """

    paths: tuple[bytes, ...]
    video_id: str
    size: int
    mtime: float
    replaces: frozenset[str] = frozenset()

    @property
    def path(self) -> Place:
        return place(self.paths[0])

    def video(self, **facts: object) -> Video:
        """The task's `videos` row, with `facts` beside what the file system says."""
        row = Video(self.video_id, self.paths, self.size, self.mtime, indexed_at=time.time())
        return replace(row, **facts)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Recipe:
    """How files are analysed: small, hashable and picklable, so it can travel to workers.

    `threads` are those of one analysis, 0 for all cores. `encoder_weights` and `face_weights` are
    digests of the weights that must be used, "" for any.
    """

    encoder: str
    faces: str
    detector: str
    detector_options: tuple[tuple[str, float], ...] = ()
    threads: int = 0
    encoder_weights: str = ""
    face_weights: str = ""

    @property
    def split_with(self) -> str:
        """The detector and the options that were set, as one word after the other."""
        return " ".join([self.detector, *(f"{n}={value:g}" for n, value in self.detector_options)])

    def with_threads(self, threads: int) -> Recipe:
        return replace(self, threads=threads)


def recipe_of(stamp: Stamp, detector: str, options: Mapping[str, float]) -> Recipe:
    """How an archive's files are analysed; options that are defaults anyway are left out."""
    from vidsearch.shots import DETECTORS

    known = DETECTORS[detector].options
    changed = {name: value for name, value in options.items() if value != known[name].default}
    return Recipe(
        stamp.encoder,
        stamp.face_model,
        detector,
        tuple(sorted(changed.items())),
        encoder_weights=stamp.encoder_weights,
        face_weights=stamp.face_weights,
    )


@dataclass(frozen=True)
class Progress:
    """How far one file has come: frames and seconds decoded, of `duration_s` (0 if unknown).

    `size` is that of the file in bytes.
    """

    video_id: str
    path: str
    frames: int
    seconds: float
    duration_s: float
    shots: int
    size: int = 0


@dataclass(frozen=True)
class Load:
    """How busy the machines of a run are: workers on a file just now, and the share of the last
    seconds in which the GPUs had work (0 to 1; None where there are none).
    """

    workers: int
    gpu: float | None = None


@dataclass(frozen=True, eq=False)
class Analyzed:
    """An analyst's good news."""

    task: Task
    result: AnalyzedVideo
    seconds: float


@dataclass(frozen=True, eq=False)
class Unreadable:
    """An analyst's bad news; with a `trace` where it is a fault of ours, for whoever mends it."""

    task: Task
    reason: str
    trace: str = ""


class Analyst(Protocol):
    """Turns files into analysed videos, in any order, reporting progress on the way."""

    def __call__(
        self, tasks: Sequence[Task], recipe: Recipe
    ) -> Iterator[Progress | Load | Analyzed | Unreadable]: ...
