"""Everybody enrolled over all tracks of an archive, without comparing each with each in full.

Few of the people enrolled are in a video, and most faces of an archive are nobody's. So every look
is first compared with one mean face of each person, in one product of matrices, and only those
tracks of which a look comes near are compared in earnest (`vidsearch.identities.seen`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from idclip.identity import Faces, IdentityScorer
from vidsearch.gallery import mean_faces
from vidsearch.identities import Seen, seen
from vidsearch.records import Ints, Person, Rows

# A track whose best look has less than this share of the threshold, measured against the mean
# face, never reaches it: pooling looks and photos moves P's logit by far less than four.
_NEAR = 1 / 50
_BLOCK = 4_000_000  # numbers of the faces, or of the product, at a time: 16 MB


def everybody(
    rows: Rows,
    scorer: IdentityScorer,
    people: Sequence[Person],
    enrolled: Sequence[Person],
    threshold: float,
) -> Iterator[Seen]:
    """Each of `people` who may be in some track, in order, as `seen` tells of all tracks.

    `enrolled` is everybody the archive knows, `people` among them; tracks under `threshold` may be
    told with probability 0. Who is near no track is left out.
    """
    near = _near(rows, scorer, people, threshold)
    said = rows.label_track[rows.label_track >= 0]
    for person in people:
        tracks = np.zeros(len(rows.track_shot), bool)
        tracks[near.get(person.person_id, said)] = True
        tracks[said] = True
        if tracks.any():
            yield seen(rows, scorer, person, enrolled, tracks, threshold)


def _near(
    rows: Rows, scorer: IdentityScorer, people: Sequence[Person], threshold: float
) -> dict[str, Ints]:
    """The tracks with a look that comes near each person, by id; a track may be there twice."""
    known = [person for person in people if person.photos]
    if not known or not len(rows.look_track):
        return {}
    means = mean_faces(known, scorer)
    looks, whom = [], []
    step = max(1, _BLOCK // max(len(known), rows.look_vectors.shape[1]))
    for first in range(0, len(rows.look_track), step):
        part = slice(first, first + step)
        faces = Faces(
            rows.look_vectors[part],
            rows.look_quality[part],
            rows.look_cohort_mean[part],
            rows.look_cohort_std[part],
        )
        look, person = np.nonzero(scorer.pairs(faces, means) >= _NEAR * threshold)
        looks.append((look + first).astype(np.int32))
        whom.append(person.astype(np.int32))
    order = np.argsort(np.concatenate(whom), kind="stable")
    tracks = rows.look_track[np.concatenate(looks)[order]]
    ends = np.cumsum(np.bincount(np.concatenate(whom), minlength=len(known)))
    parts = np.split(tracks, ends[:-1])
    return {person.person_id: part for person, part in zip(known, parts, strict=True)}
