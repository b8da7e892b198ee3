"""What a shot shows: its keyframes as context vectors, its faces as tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from idclip.encoders import ImageEncoder
from idclip.faces import Face, FaceModel
from idclip.identity import IdentityScorer
from vidsearch import figures
from vidsearch.keyframes import Candidate, best_face_frame, look, thumbnail
from vidsearch.media import Frame, read_picture
from vidsearch.records import Box, FaceTrack, Keyframe, Shot
from vidsearch.segments import Part
from vidsearch.tracks import Detected, best_looks, follow, join_alike
from vidsearch.urls import Place

Picture: TypeAlias = NDArray[np.uint8]

FACE_SIDE = 512
"""Long side of the copy on which faces are looked for: 29 ms on one core; finds faces from about
3 % of the picture's width on."""
LOOKS = 3
"""Looks of a track that get a vector in each part of a shot."""
FIGURES = 4
"""People of a part of a shot, those with the best faces, whose own figures get a context vector: 4
ms each. In a crowd nobody asks which one does it."""
FACE_THUMBNAIL = 160  # long side in pixels
FACE_MARGIN = 0.35  # of the face's size, around it in its thumbnail


@dataclass(frozen=True)
class Models:
    """What an analysis needs loaded."""

    encoder: ImageEncoder
    faces: FaceModel
    scorer: IdentityScorer


@dataclass(frozen=True, eq=False)
class _Still:
    """A candidate whose full picture is at hand, with the faces in it."""

    candidate: Candidate[Frame]
    picture: Picture
    faces: tuple[Face, ...]


Sight: TypeAlias = Detected[tuple[_Still, Face]]


class ShotBuilder:
    """Makes shots of their parts, given in order; `done` are the shots that are complete."""

    def __init__(self, path: Place, models: Models) -> None:
        self.done: list[Shot] = []
        self._path = path
        self._models = models
        self._keyframes: list[Keyframe] = []
        self._tracks: list[_Track] = []

    def add(self, part: Part) -> None:
        """Describe the next part; with the last part of a shot the shot is done."""
        chosen = part.keyframe or self._reread(part)
        stills = self._stills(part.looks or (chosen,))
        self._keyframes += self._keyframes_of(part, chosen, stills)
        self._tracks += self._tracks_of(stills)
        if part.span is None:
            return
        self.done.append(
            Shot(
                part.shot,
                part.span.start_s,
                part.span.end_s,
                part.span.start_frame,
                part.span.end_frame,
                tuple(self._keyframes),
                tuple(self._joined(self._tracks)),
            )
        )
        self._keyframes, self._tracks = [], []

    def _stills(self, looks: Sequence[Candidate[Frame]]) -> list[_Still]:
        """Full pictures of the frames that are looked at, with their faces."""
        stills = []
        for candidate in looks:
            picture = candidate.handle.picture()
            faces = look_for_faces(self._models.faces, picture)
            stills.append(_Still(candidate, picture, faces))
        return stills

    def _keyframes_of(
        self, part: Part, chosen: Candidate[Frame], stills: Sequence[_Still]
    ) -> list[Keyframe]:
        """The representative frame, and beside it the one with the best face."""
        rated = [
            (still.candidate, max((face.quality for face in still.faces), default=0.0))
            for still in stills
        ]
        best = best_face_frame(rated, beside=chosen)
        indices = {chosen.index} | ({best.index} if best is not None else set())
        kept = [still for still in stills if still.candidate.index in indices]
        vectors = self._models.encoder.encode_images([still.picture for still in kept])
        return [
            Keyframe(
                time_s=still.candidate.time_s,
                frame=still.candidate.index,
                start_s=part.start_s,
                end_s=part.end_s,
                vector=vector,
                thumbnail=thumbnail(still.picture),
                n_faces=len(still.faces),
            )
            for still, vector in zip(kept, vectors, strict=True)
        ]

    def _tracks_of(self, stills: Sequence[_Still]) -> list[_Track]:
        """The faces of one part, joined by where they are, with vectors of their best looks."""
        frames = [
            [
                Detected(
                    still.candidate.time_s,
                    relative(face, still.picture),
                    face.quality,
                    (still, face),
                )
                for face in still.faces
            ]
            for still in stills
        ]
        found = follow(frames)
        least = self._models.scorer.least_quality  # a poorer face is nobody's
        looks = [best_looks(track, LOOKS, least_quality=least) for track in found]
        vectors = self._embed([look for kept in looks for look in kept])
        figure = self._figures([kept[0] for kept in looks if kept])
        return [
            _Track(
                [Detected(d.time_s, d.box, d.quality, None) for d in track],
                tuple(
                    _Look(
                        d.time_s, d.box, d.quality, vectors[id(d)], _face_jpeg(d), figure.get(id(d))
                    )
                    for d in kept
                ),
            )
            for track, kept in zip(found, looks, strict=True)
            if kept
        ]

    def _figures(self, best: Sequence[Sight]) -> dict[int, NDArray[np.float32]]:
        """The context vector [D] of people's own figures, by the `id` of their best look.

        None of somebody who is alone: the keyframe says as much.
        """
        least = self._models.scorer.least_quality
        chosen: list[Sight] = []
        cuts: list[Picture] = []
        for sight in sorted(best, key=lambda sight: -sight.quality):
            still, face = sight.source
            if len(chosen) < FIGURES and is_beside_others(face, still.faces, least):
                chosen.append(sight)
                cuts.append(figure_of(face, still.faces, still.picture))
        if not cuts:
            return {}
        vectors = self._models.encoder.encode_images(cuts)
        return {id(sight): vector for sight, vector in zip(chosen, vectors, strict=True)}

    def _embed(self, sights: Sequence[Sight]) -> dict[int, NDArray[np.float32]]:
        """The vector [F] of each sight, by its `id`; those of all pictures in one call."""
        if not sights:
            return {}
        model = self._models.faces
        crops = [model.crops(still.picture, [face]) for still, face in (s.source for s in sights)]
        vectors = model.embed_crops(np.concatenate(crops))
        return {id(sight): vector for sight, vector in zip(sights, vectors, strict=True)}

    def _joined(self, tracks: Sequence[_Track]) -> list[FaceTrack]:
        """Tracks of all parts of a shot, those of one person joined."""
        if not tracks:
            return []
        scorer = self._models.scorer
        looks = [look for track in tracks for look in track.looks]
        vectors = np.stack([look.vector for look in looks]).astype(np.float32)
        faces = scorer.faces(vectors, np.array([look.quality for look in looks], np.float32))
        starts = np.cumsum([0, *[len(track.looks) for track in tracks[:-1]]])
        pairs = scorer.pairs(faces, faces)
        best = np.maximum.reduceat(np.maximum.reduceat(pairs, starts, axis=0), starts, axis=1)
        alike = np.minimum(best, best.T).astype(np.float32)
        rows = np.split(np.arange(len(looks)), starts[1:])
        joined = []
        for group in join_alike([track.seen for track in tracks], alike):
            mine = sorted((row for i in group for row in rows[i]), key=lambda r: -looks[r].quality)
            times = [face.time_s for i in group for face in tracks[i].seen]
            joined.append(
                FaceTrack(
                    start_s=min(times),
                    end_s=max(times),
                    vectors=vectors[mine],
                    qualities=faces.qualities[mine],
                    cohort_mean=faces.cohort_mean[mine],
                    cohort_std=faces.cohort_std[mine],
                    times=tuple(looks[row].time_s for row in mine),
                    boxes=tuple(looks[row].box for row in mine),
                    thumbnail=looks[mine[0]].jpeg,
                    figure=next((f for row in mine if (f := looks[row].figure) is not None), None),
                )
            )
        return joined

    def _reread(self, part: Part) -> Candidate[Frame]:
        """A candidate for a part in which no frame begins: the one that is shown meanwhile."""
        middle = (part.start_s + part.end_s) / 2
        picture = read_picture(self._path, middle)
        return Candidate(-1, middle, look(picture), _Reread(picture))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class _Look:
    """One of the best looks of a track."""

    time_s: float
    box: Box
    quality: float
    vector: NDArray[np.float32]
    jpeg: bytes
    figure: NDArray[np.float32] | None = None  # of the best look in its part


@dataclass(frozen=True, eq=False)
class _Track:
    """A face through one part: where it was seen, and its best looks."""

    seen: list[Detected[None]]
    looks: tuple[_Look, ...]


@dataclass(frozen=True, eq=False)
class _Reread:
    """A picture in the place of a decoded frame."""

    image: Picture

    def picture(self) -> Picture:
        return self.image


def is_beside_others(face: Face, faces: Sequence[Face], least_quality: float) -> bool:
    """Whether one of `faces` other than `face` is good enough to be somebody."""
    return any(other is not face and other.quality >= least_quality for other in faces)


def figure_of(face: Face, faces: Sequence[Face], picture: Picture) -> Picture:
    """The part of a picture [H, W, 3] that is about the person with `face`, one of its `faces`."""
    others = [relative(other, picture) for other in faces if other is not face]
    return figures.cut(picture, figures.around(relative(face, picture), others))


def look_for_faces(model: FaceModel, picture: Picture) -> tuple[Face, ...]:
    """The faces in a picture, as an analysis finds them."""
    # A larger copy than the picture itself would find nothing more.
    return tuple(model.detect(picture, long_side=min(FACE_SIDE, max(picture.shape[:2]))))


def relative(face: Face, picture: Picture) -> Box:
    """A face's box relative to the picture, within it."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = face.box
    return (
        min(max(x0 / width, 0.0), 1.0),
        min(max(y0 / height, 0.0), 1.0),
        min(max(x1 / width, 0.0), 1.0),
        min(max(y1 / height, 0.0), 1.0),
    )


def _face_jpeg(sight: Sight) -> bytes:
    """The face of a sight with some room around it."""
    still, face = sight.source
    height, width = still.picture.shape[:2]
    x0, y0, x1, y1 = face.box
    room_x, room_y = FACE_MARGIN * (x1 - x0), FACE_MARGIN * (y1 - y0)
    left, top = max(0, int(x0 - room_x)), max(0, int(y0 - room_y))
    right, bottom = min(width, int(x1 + room_x) + 1), min(height, int(y1 + room_y) + 1)
    return thumbnail(np.ascontiguousarray(still.picture[top:bottom, left:right]), FACE_THUMBNAIL)
