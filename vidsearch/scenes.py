"""Neighbouring shots of one scene support each other: who is in one is likely in the next.

In a dialogue the camera goes to and fro. Where a face is too small or turned to be told by itself,
the shots before and after may show the same person in the same place, and then it is likely them:

    log odds of P = those of the face + SUPPORT * P(person in the near shot) * likeness of both

where near is up to `NEAR` shots away and the likeness is the cosine of the two shots' pictures
less the archive's mean picture, 0 under `ALIKE`. A shot without any face of the person is never
made a hit by its neighbours, only a doubtful face is decided, and up to `MOST`: who asks for more
by the threshold wants to see the face itself. In generated dialogues (`benchmarks/neighbours.py`)
a weight of 3 names nobody more wrongly on people of the test, and two strangers more on others; it
is less, because on film somebody else may step into the place where a person stood, and never does
there.
"""

from __future__ import annotations

import numpy as np

from vidsearch.identities import Mask, Seen
from vidsearch.records import Ints, Reals, Rows, Vector

NEAR = 4  # shots
ALIKE = 0.5
SUPPORT = 2.0
MOST = 0.8
_LEAST = 1e-9


def supported(rows: Rows, seen: Seen, threshold: float, weight: float = SUPPORT) -> Reals:
    """P(person) [T] of `seen`, doubtful tracks raised where near shots show the person.

    A track under `threshold` is doubtful. Those of a shot that shows the person anyway are left.
    """
    probability = seen.probability
    best = best_of_shots(rows, probability)
    sure = best >= threshold
    doubtful = np.flatnonzero((probability < threshold) & (probability > _LEAST))
    doubtful = doubtful[best[rows.track_shot[doubtful]] < threshold]
    if not sure.any() or not len(doubtful) or not weight:
        return probability
    shots, of = np.unique(rows.track_shot[doubtful], return_inverse=True)
    support = _support(rows, shots, sure, best)[of]
    raised = probability.copy()
    helped = support > 0
    of_face = probability[doubtful[helped]]
    together = np.minimum(_raised(of_face, weight * support[helped]), MOST)
    raised[doubtful[helped]] = np.maximum(of_face, together)
    return raised


def could_be_raised(threshold: float, weight: float = SUPPORT) -> float:
    """The probability from which a face may come to `threshold` by its neighbours."""
    return float(_raised(np.array([min(threshold, 1 - 1e-6)]), np.array([-weight]))[0])


def _raised(probability: Reals, by: Reals) -> Reals:
    sure = np.clip(probability, _LEAST, 1 - _LEAST)
    return np.asarray(1 / (1 + (1 - sure) / sure * np.exp(-by)))


def _support(rows: Rows, shots: Ints, sure: Mask, best: Reals) -> Reals:
    """For each of `shots` the best P of a `sure` shot near it, times their likeness."""
    support = np.zeros(len(shots))
    # By number, not by row: of a large archive not all shots are read.
    number = rows.shot_video.astype(np.int64) << 32 | rows.shot_index
    for step in [*range(-NEAR, 0), *range(1, NEAR + 1)]:
        wanted = number[shots] + step
        other = np.minimum(np.searchsorted(number, wanted), len(number) - 1)
        there = np.flatnonzero((number[other] == wanted) & sure[other])
        if len(there):
            alike = np.einsum(
                "ij,ij->i", _pictures(rows, shots[there]), _pictures(rows, other[there])
            )
            value = np.where(alike >= ALIKE, alike * best[other[there]], 0.0)
            support[there] = np.maximum(support[there], value)
    return support


def _pictures(rows: Rows, shots: Ints) -> Vector:
    """What each of `shots` shows [N, D], of unit length, the archive's mean picture taken away."""
    first = np.searchsorted(rows.keyframe_shot, shots, "left")
    last = np.maximum(np.searchsorted(rows.keyframe_shot, shots, "right") - 1, first)
    first, last = (np.minimum(at, len(rows.keyframe_vectors) - 1) for at in (first, last))
    mean = (rows.keyframe_vectors[first] + rows.keyframe_vectors[last]) / 2 - rows.typical_picture
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6))


def best_of_shots(rows: Rows, probability: Reals) -> Reals:
    """The best probability of a track in each shot, [S]."""
    best = np.zeros(len(rows.shot_video))
    np.maximum.at(best, rows.track_shot, probability)
    return best
