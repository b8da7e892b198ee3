"""A cluster gets a name: its best looks become the photos that a person is known by."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from idclip.identity import IdentityScorer
from vidsearch.describe import FACE_MARGIN
from vidsearch.discover import Cluster, faces_of_clusters
from vidsearch.errors import EnrolmentError
from vidsearch.gallery import mean_faces
from vidsearch.people import find, named, valid_name
from vidsearch.records import Box, Person, Photo, Rows
from vidsearch.timecodes import timecode

MOST_PHOTOS = 5
_STRANGERS = 0.01  # P under which a cluster is told not to look like somebody (as in `people`)


def best_looks(rows: Rows, cluster: Cluster, scorer: IdentityScorer) -> list[int]:
    """Tracks whose best looks are worth being photos, the best first; of each shot one at most.

    Videos take turns, so that somebody is known in more than one light.
    """
    look = np.searchsorted(rows.look_track, cluster.tracks)
    quality = rows.look_quality[look]
    shot = rows.track_shot[cluster.tracks]
    taken: set[int] = set()
    turns: dict[int, int] = {}
    ranked: list[tuple[int, int]] = []
    for at in np.argsort(-quality, kind="stable").tolist():
        if quality[at] < scorer.least_quality or int(shot[at]) in taken:
            continue
        taken.add(int(shot[at]))
        video = int(rows.shot_video[shot[at]])
        turns[video] = turns.get(video, 0) + 1
        ranked.append((turns[video], int(cluster.tracks[at])))
    return [track for _, track in sorted(ranked, key=lambda each: each[0])][:MOST_PHOTOS]


def name(
    rows: Rows,
    cluster: Cluster,
    name: str,
    enrolled: Sequence[Person],
    scorer: IdentityScorer,
    pictures: Mapping[int, bytes],
    *,
    more: bool = False,
    trust: bool = False,
) -> tuple[Person, dict[int, str]]:
    """The person that a cluster is, and the digests of the photos they got, by track.

    `pictures` are the JPEGs of `best_looks`. With `more` they are added to the person of this
    name, whom the cluster should look like unless `trust`. Raises `EnrolmentError` for a name that
    cannot be one or is taken, a cluster that has another one, faces too poor or too unlike;
    `UnknownPerson` where `more` is meant for a name nobody has.
    """
    name = valid_name(name)
    known = find(name, enrolled) if more else named(name, enrolled)
    if known is not None and not more:
        raise EnrolmentError(
            f'"{known.name}" is enrolled already; add the faces of cluster {cluster.number} to them'
            " with --more, or choose another name"
        )
    if cluster.person is not None and (
        known is None or known.person_id != cluster.person.person_id
    ):
        raise EnrolmentError(
            f"cluster {cluster.number} is {cluster.person.name} already: take that back with:"
            " vidsearch people undo, or rename them with: vidsearch people rename"
            f' "{cluster.person.name}" "{name}"'
        )
    if known is not None and not trust:
        _refuse_unlike(rows, cluster, known, scorer)
    new = {track: photo_of(rows, track, jpeg) for track, jpeg in pictures.items() if jpeg}
    if known is None and not new:
        raise EnrolmentError(
            f"the faces of cluster {cluster.number} are too poor to know somebody by: enrol them"
            f' from a photo with: vidsearch people add "{name}" PHOTO, then name the cluster with'
            " --more"
        )
    person = known or Person(uuid.uuid4().hex, name, (), (), time.time())
    have = {photo.sha256 for photo in person.photos}
    new = {track: photo for track, photo in new.items() if photo.sha256 not in have}
    person = replace(person, photos=(*person.photos, *new.values()))
    return person, {track: photo.sha256 for track, photo in new.items()}


def _refuse_unlike(rows: Rows, cluster: Cluster, known: Person, scorer: IdentityScorer) -> None:
    if not known.photos:
        return
    face = faces_of_clusters(rows, scorer, [cluster])
    same = float(scorer.pairs(face, mean_faces([known], scorer))[0, 0])
    if same < _STRANGERS:
        raise EnrolmentError(
            f"cluster {cluster.number} does not look like {known.name} (probability under"
            f" {_STRANGERS}): choose another name, or take it with --trust"
        )


def photo_of(rows: Rows, track: int, jpeg: bytes) -> Photo:
    """A track's thumbnail as a reference photo, named by the moment it shows."""
    look = int(np.searchsorted(rows.look_track, track))
    video = rows.videos[rows.shot_video[rows.track_shot[track]]]
    x0, y0, x1, y1 = map(float, rows.look_boxes[look])
    return Photo(
        name=f"{os.path.basename(video.path)}@{timecode(float(rows.look_s[look]))}",
        sha256=hashlib.sha256(jpeg).hexdigest(),
        jpeg=jpeg,
        box=_within((x0, y0, x1, y1)),
        vector=np.array(rows.look_vectors[look], np.float32),
        quality=float(rows.look_quality[look]),
        cohort_mean=float(rows.look_cohort_mean[look]),
        cohort_std=float(rows.look_cohort_std[look]),
    )


def _within(box: Box) -> Box:
    """A face's box in its own thumbnail, which has `FACE_MARGIN` around it where there is room."""

    def edges(low: float, high: float) -> tuple[float, float]:
        room = FACE_MARGIN * (high - low)
        left, right = max(0.0, low - room), min(1.0, high + room)
        return (low - left) / (right - left), (high - left) / (right - left)

    (x0, x1), (y0, y1) = edges(box[0], box[2]), edges(box[1], box[3])
    return x0, y0, x1, y1
