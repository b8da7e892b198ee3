"""A person's reference photos, as the identity scorer wants them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idclip.identity import Faces
from vidsearch.records import Person


def faces_of(person: Person) -> Faces:
    """The faces of all photos of a person, in their order; there must be one photo at least."""

    def column(name: str) -> NDArray[np.float32]:
        return np.array([getattr(photo, name) for photo in person.photos], np.float32)

    vectors = np.stack([photo.vector for photo in person.photos]).astype(np.float32, copy=False)
    return Faces(vectors, column("quality"), column("cohort_mean"), column("cohort_std"))
