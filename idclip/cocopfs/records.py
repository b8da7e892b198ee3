"""Faces as JSON, and the face model each process keeps open."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..faces import Face, FaceModel, load_faces


@lru_cache(maxsize=1)
def model_of(name: str) -> FaceModel:
    """The face model of that name on one thread, opened once in each process."""
    return load_faces(name, threads=1)


def face_record(face: Face) -> dict[str, Any]:
    """A face as JSON; coordinates to a hundredth of a pixel."""
    return {
        "box": [round(float(side), 2) for side in face.box],
        "landmarks": [[round(float(v), 2) for v in point] for point in face.landmarks],
        "score": round(float(face.score), 4),
        "quality": round(float(face.quality), 4),
    }


def face_from(record: Mapping[str, Any]) -> Face:
    """The face that `face_record` wrote."""
    x0, y0, x1, y1 = record["box"]
    landmarks = np.array(record["landmarks"], np.float32)
    return Face((x0, y0, x1, y1), landmarks, record["score"], record["quality"])


def vector_record(vector: Any) -> list[float]:
    """A vector [F] as JSON: six digits are more than a float32 comparison can tell apart."""
    return [round(float(value), 6) for value in vector]
