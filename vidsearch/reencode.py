"""The context vectors of one file again, by another encoder, without another analysis of it.

Shots, keyframes and faces of a file that was analysed before are known, so that only the frames
that have a vector are read, by random access; one is in memory at a time. Figures (`vidsearch.
figures`) are cut as `vidsearch.describe` cuts them, which takes the faces in those frames once
more: what is stored of a figure does not say which of a person's looks it was cut at, so that is
found out in the same way. In a crowd, where more people have a face than get a figure, it may be
another of their looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from idclip.faces import Face
from vidsearch.describe import (
    FIGURES,
    Models,
    figure_of,
    is_beside_others,
    look_for_faces,
    relative,
)
from vidsearch.errors import UnreadableVideo
from vidsearch.inputs import printable
from vidsearch.pictures import Picture
from vidsearch.records import Box, Vector
from vidsearch.rereads import pictures_in_turn
from vidsearch.tasks import Again, Progress, Recipe, Sight, Task, Vectors

BATCH = 8
"""Pictures that are given to the encoder at once."""
_SAME_BOX = 1e-3
Report = Callable[[Progress], None]


def reencode(task: Task, recipe: Recipe, report: Report, models: Models) -> Vectors:
    """The vectors of `task.again`, by the encoder of `models`.

    `report` hears of each batch; what it raises ends the work. Raises UnreadableVideo where a frame
    cannot be had.
    """
    assert task.again is not None
    known = task.again
    wanted = sorted({*known.times, *(sight.time_s for sight in known.sights)})
    here = set(known.times)
    sights: dict[float, list[Sight]] = defaultdict(list)
    for sight in known.sights:
        sights[sight.time_s].append(sight)
    batch = _Batches(models)
    figures = _Figures(models)
    for time_s, picture in zip(wanted, _pictures(task, known, wanted), strict=True):
        if time_s in here:
            batch.add(time_s, picture)
        if time_s in sights:
            figures.look(picture, sights[time_s])
        if len(batch.waiting) >= BATCH:
            batch.encode()
            report(_progress(task, known, time_s, len(batch.done)))
    batch.encode()
    keyframes = [batch.done[time_s] for time_s in known.times]
    empty = np.zeros((0, models.encoder.dim), np.float32)
    return Vectors(np.stack(keyframes) if keyframes else empty, figures.chosen())


def _pictures(task: Task, known: Again, wanted: Sequence[float]) -> Iterator[Picture]:
    if not known.pictures:
        yield from pictures_in_turn(task.path, wanted)
        return
    for jpeg in known.pictures:
        yield _decoded(jpeg, task)


def _decoded(jpeg: bytes, task: Task) -> Picture:
    import cv2

    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        reason = "its file is gone, and so is a picture of it, which was forgotten"
        raise UnreadableVideo(task.path, reason)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _progress(task: Task, known: Again, time_s: float, done: int) -> Progress:
    video = known.video
    share = min(time_s / video.duration_s, 1.0) if video.duration_s else 0.0
    return Progress(
        task.video_id,
        printable(task.path),
        round(share * video.n_frames),
        time_s,
        video.duration_s,
        round(share * video.n_shots),
        task.size,
    )


class _Batches:
    """Vectors of keyframes by their time, made some at a time."""

    def __init__(self, models: Models) -> None:
        self.done: dict[float, Vector] = {}
        self.waiting: list[tuple[float, Picture]] = []
        self._encoder = models.encoder

    def add(self, time_s: float, picture: Picture) -> None:
        self.waiting.append((time_s, picture))

    def encode(self) -> None:
        if self.waiting:
            vectors = self._encoder.encode_images([picture for _, picture in self.waiting])
            times = (time_s for time_s, _ in self.waiting)
            self.done.update(zip(times, vectors, strict=True))
            self.waiting = []


class _Figures:
    """Figures at all looks that may have one, of which the right ones are chosen at the end."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._found: list[tuple[Sight, Vector]] = []

    def look(self, picture: Picture, sights: Sequence[Sight]) -> None:
        """Make the figures of the sights of one moment that have somebody beside them."""
        least = self._models.scorer.least_quality
        faces = look_for_faces(self._models.faces, picture)
        cuts = []
        for sight in sights:
            face = _at(sight.box, faces, picture)
            if face is not None and is_beside_others(face, faces, least):
                cuts.append((sight, figure_of(face, faces, picture)))
        if cuts:
            vectors = self._models.encoder.encode_images([cut for _, cut in cuts])
            self._found += zip((sight for sight, _ in cuts), vectors, strict=True)

    def chosen(self) -> dict[tuple[int, int], Vector]:
        """By shot and track: for the best people of a part, the figure at each one's best look."""
        parts: dict[tuple[int, float], list[tuple[Sight, Vector]]] = defaultdict(list)
        for sight, vector in self._found:
            parts[sight.shot, sight.part_s].append((sight, vector))
        kept = [
            each
            for part in parts.values()
            for each in sorted(part, key=lambda each: -each[0].quality)[:FIGURES]
        ]
        best: dict[tuple[int, int], Vector] = {}
        for sight, vector in sorted(kept, key=lambda each: -each[0].quality):
            best.setdefault((sight.shot, sight.track), vector)
        return best


def _at(box: Box, faces: Sequence[Face], picture: Picture) -> Face | None:
    """The face that was stored with this box."""
    off = [max(abs(a - b) for a, b in zip(relative(f, picture), box, strict=True)) for f in faces]
    nearest = int(np.argmin(off)) if off else -1
    return faces[nearest] if off and off[nearest] < _SAME_BOX else None
