"""What passes between planning a run, analysing its files and storing what was found.

An `Analyst` turns tasks into news, on one machine (`vidsearch.analysts`) or a cluster (`workers`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from idclip.devices import ANYWHERE, Devices
from vidsearch.records import AnalyzedVideo, Box, Vector, Video
from vidsearch.urls import Place, place

if TYPE_CHECKING:
    from vidsearch.stamp import Stamp


QUARANTINE = "in quarantine: "
"""How the reason of a file begins that is not tried again before it changes or somebody asks."""


@dataclass(frozen=True)
class Sight:
    """A face that may have a figure: the best look of `track` in the part of `shot` from `part_s`.

    `box` is relative, `quality` 0 to 1.
    """

    shot: int
    track: int
    part_s: float
    time_s: float
    box: Box
    quality: float


@dataclass(frozen=True, eq=False)
class Again:
    """What is known of a file of which only the context vectors are to be made again.

    `times` [K] are the moments of its keyframes, ascending, and `sights` the faces beside others,
    by time. Where the file is gone `pictures` are the K thumbnails, JPEG, that stand in for it.
    """

    video: Video
    times: tuple[float, ...]
    sights: tuple[Sight, ...] = ()
    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True, eq=False)
class Vectors:
    """The context vectors of a file: of its keyframes [K, D], and the figures [D] of tracks.

    `figures` are by shot and track.
    """

    keyframes: Vector
    figures: Mapping[tuple[int, int], Vector]


@dataclass(frozen=True)
class Task:
    """One file to analyse.

    `paths` are the bytes of all its names, first the one to read; `replaces` are the ids of the
    rows that held one of these paths with other content, and lose it once this one is stored.
    With `again` the file was analysed before, and only its context vectors are wanted.
    """

    paths: tuple[bytes, ...]
    video_id: str
    size: int
    mtime: float
    replaces: frozenset[str] = frozenset()
    again: Again | None = field(default=None, compare=False)

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
    digests of the weights that must be used, "" for any. `devices` are where pictures are encoded
    and where faces are found and known: they change the time, not the vectors.
    """

    encoder: str
    faces: str
    detector: str
    detector_options: tuple[tuple[str, float], ...] = ()
    threads: int = 0
    encoder_weights: str = ""
    face_weights: str = ""
    devices: Devices = ANYWHERE

    @property
    def split_with(self) -> str:
        """The detector and the options that were set, as one word after the other."""
        return " ".join([self.detector, *(f"{n}={value:g}" for n, value in self.detector_options)])

    def with_threads(self, threads: int) -> Recipe:
        return replace(self, threads=threads)

    def on(self, devices: Devices) -> Recipe:
        return replace(self, devices=devices)


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
    """An analyst's good news; of a task with `again` the `vectors`, and no shots in the result."""

    task: Task
    result: AnalyzedVideo
    seconds: float
    vectors: Vectors | None = None


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
