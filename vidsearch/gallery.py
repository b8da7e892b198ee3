"""People's reference photos, as the identity scorer wants them."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from idclip.identity import Faces, IdentityScorer
from vidsearch.records import Person

_LEAST_WEIGHT = 0.05
_MEANS: WeakKeyDictionary[IdentityScorer, WeakKeyDictionary[Person, Faces]] = WeakKeyDictionary()
_LOCK = Lock()


def faces_of(person: Person) -> Faces:
    """The faces of all photos of a person, in their order; there must be one photo at least."""

    def column(name: str) -> NDArray[np.float32]:
        return np.array([getattr(photo, name) for photo in person.photos], np.float32)

    vectors = np.stack([photo.vector for photo in person.photos]).astype(np.float32, copy=False)
    return Faces(vectors, column("quality"), column("cohort_mean"), column("cohort_std"))


def mean_faces(people: Sequence[Person], scorer: IdentityScorer) -> Faces:
    """One face for each of some people: the mean of their photos, good ones weighing most.

    Every question compares with everybody enrolled: a mean is kept as long as its person is.
    """
    with _LOCK:
        known = _MEANS.setdefault(scorer, WeakKeyDictionary())
        if new := [person for person in dict.fromkeys(people) if person not in known]:
            found = _means(new, scorer)
            for n, person in enumerate(new):
                known[person] = Faces(*(column[n : n + 1].copy() for column in found))
        rows = zip(*(known[person] for person in people), strict=True)
    return Faces(*map(np.concatenate, rows))


def _means(people: Sequence[Person], scorer: IdentityScorer) -> Faces:
    vectors, qualities = [], []
    for person in people:
        weight = np.array([photo.quality for photo in person.photos], np.float32) + _LEAST_WEIGHT
        mean = weight @ np.stack([photo.vector for photo in person.photos])
        vectors.append(mean / max(float(np.linalg.norm(mean)), 1e-9))
        qualities.append(weight @ (weight - _LEAST_WEIGHT) / weight.sum())
    return scorer.faces(np.array(vectors, np.float32), np.array(qualities, np.float32))
