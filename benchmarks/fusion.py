"""Ways to make one ranking of who is in a picture and what it shows, as plain arithmetic.

Every way takes scores of Q questions for I pictures, float64 [Q, I], and gives scores of the same
shape, higher is better; `OUT` is the score of a picture that a way does not return at all.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

OUT = -np.inf
TIE = 1e-9  # scores nearer than this are one score
RRF_K = 60  # Cormack, Clarke and Buettcher, SIGIR 2009
HARRIS = 0.1  # the authors' choice, see `contrast_normalised`
_LEAST = 1e-12  # no probability is smaller: its logarithm would rule out what was only unlikely


def ranks(score: Floats, own: NDArray[Any]) -> Ints:
    """How many wrong pictures stand before the right one, int64 [Q]; 0 is the best.

    `own` [Q] is the column of the right picture. One that scores as a wrong one does stands behind
    it; one that is `OUT` has the rank I, behind everything.
    """
    at = np.arange(len(score))
    right = score[at, own]
    before = (score > right[:, None] - TIE).sum(axis=1) - 1
    return np.asarray(np.where(np.isfinite(right), before, score.shape[1]), np.int64)


def reciprocal(rank: Ints, pictures: int) -> Floats:
    """1 / place of the right picture, 0 for one that is not returned; float64 [Q].

    Its mean is the mean average precision, as each question has one right picture.
    """
    return np.where(rank < pictures, 1 / (1.0 + rank), 0.0)


def soft(probability: Floats, floor: float) -> Floats:
    """Probabilities of which `floor` is left when the face was not found, or not known again.

    The chance that the face branch says nothing is `floor`, and then everybody is as likely.
    """
    return floor + (1 - floor) * probability


def hard_filter(probability: Floats, context: Floats, threshold: float) -> Floats:
    """The context's order of those pictures in which the person has at least `threshold`."""
    return np.where(probability >= threshold, context, OUT)


def product(*factors: Floats) -> Floats:
    """The logarithm of the product of scores from 0 to 1: the same order, no underflow."""
    logs = [np.log(np.maximum(factor, _LEAST)) for factor in factors]
    return np.asarray(np.sum(logs, axis=0))


def standardised(score: Floats) -> Floats:
    """Each question's scores less their mean, over their deviation."""
    deviation = score.std(axis=1, keepdims=True)
    return np.asarray((score - score.mean(axis=1, keepdims=True)) / np.maximum(deviation, _LEAST))


def reciprocal_rank(*scores: Floats) -> Floats:
    """Reciprocal rank fusion: the sum of 1 / (60 + place); of equal scores all have the last place.

    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods", SIGIR 2009.
    """
    return np.asarray(np.sum([1 / (RRF_K + _places(score)) for score in scores], axis=0))


def contrast_normalised(likeness: Floats, context: Floats, *, harris: float = HARRIS) -> Floats:
    """The product as in BASIC, of cosines of vectors that were centred before.

    Each question's cosines are put on one scale, from 0 for the least of them in units of its size,
    multiplied, and what is strong in one branch alone is held down:
    `a * b - harris * (a + b)^2`, as Harris finds corners. Psomas et al., "Instance-Level Composed
    Image Retrieval", NeurIPS 2025. Of their method this leaves out the projection on the main
    directions of a text corpus and the query expansion, and takes the least cosine from the
    pictures at hand where they have constants of another data set.
    """
    a, b = _from_least(likeness), _from_least(context)
    return a * b - harris * (a + b) ** 2


def _from_least(cosine: Floats) -> Floats:
    least = cosine.min(axis=1, keepdims=True)
    return (cosine - least) / np.maximum(np.abs(least), _LEAST)


def _places(score: Floats) -> Floats:
    """1 for the best of each row; equal scores all have the last of their places."""
    places = np.empty(score.shape)
    for row, (values, ordered) in enumerate(zip(score, np.sort(score, axis=1), strict=True)):
        places[row] = len(values) - np.searchsorted(ordered, values - TIE, "left")
    return places
