"""People's reference photos, as the identity scorer wants them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idclip.identity import Faces, IdentityScorer
from vidsearch.records import Person

_LEAST_WEIGHT = 0.05


def faces_of(person: Person) -> Faces:
    """The faces of all photos of a person, in their order; there must be one photo at least."""

    def column(name: str) -> NDArray[np.float32]:
        return np.array([getattr(photo, name) for photo in person.photos], np.float32)

    vectors = np.stack([photo.vector for photo in person.photos]).astype(np.float32, copy=False)
    return Faces(vectors, column("quality"), column("cohort_mean"), column("cohort_std"))


def mean_faces(people: Sequence[Person], scorer: IdentityScorer) -> Faces:
    """One face for each person: the mean of their photos, good ones weighing most."""
    vectors, qualities = [], []
    for person in people:
        weight = np.array([photo.quality for photo in person.photos], np.float32) + _LEAST_WEIGHT
        mean = weight @ np.stack([photo.vector for photo in person.photos])
        vectors.append(mean / max(float(np.linalg.norm(mean)), 1e-9))
        qualities.append(weight @ (weight - _LEAST_WEIGHT) / weight.sum())
    return scorer.faces(np.array(vectors, np.float32), np.array(qualities, np.float32))
