"""What vidsearch would name: P of everybody enrolled over faces, as in `vidsearch.identities`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip.identity import Faces, IdentityScorer, look_weights

Floats = NDArray[Any]
Ints = NDArray[np.intp]


def named(scorer: IdentityScorer, looks: Faces, people: Sequence[Faces]) -> Floats:
    """P [N, G] of `looks`, each a track of its own, and all of `people`, each with their photos."""
    means = templates(scorer, people)
    beside = with_others(
        nearest(scorer, looks.vectors), looks.vectors @ means.vectors.T, scorer.nearest
    )
    alone = [
        of_tracks(scorer, looks._replace(cohort_mean=beside[:, number]), photos, len(people))
        for number, photos in enumerate(people)
    ]
    return np.stack(alone, axis=1) * shares(scorer.pairs(looks, means))


def of_tracks(scorer: IdentityScorer, looks: Faces, photos: Faces, enrolled: int) -> Floats:
    """P [N] of one person alone, each of `looks` a track of its own."""
    tracks = np.arange(len(looks.vectors))
    found = scorer.probabilities(looks, tracks, len(tracks), photos, enrolled=enrolled)
    return found.probability.astype(np.float64)


def templates(scorer: IdentityScorer, people: Sequence[Faces]) -> Faces:
    """The mean face of each person."""
    means = [scorer.template(photos) for photos in people]
    return Faces(*(np.concatenate(parts) for parts in zip(*means, strict=True)))


def nearest(scorer: IdentityScorer, vectors: Floats) -> Floats:
    """The best scores of `vectors` [N, F] against the cohort, one more than make their mean."""
    scores = vectors @ scorer.cohort.T
    return np.partition(scores, -scorer.nearest - 1, axis=1)[:, -scorer.nearest - 1 :]


def with_others(best: Floats, scores: Floats, count: int) -> Floats:
    """What `IdentityScorer.beside` gives as mean, for everybody at once, [N, G].

    `best` [N, count + 1] are the best scores against the cohort, `scores` [N, G] those with the
    people enrolled; for each person the mean of the `count` best of all but their own.
    """
    every = np.concatenate([best, scores], axis=1)
    top = np.partition(every, -count - 1, axis=1)[:, -count - 1 :]
    least, total = top.min(axis=1, keepdims=True), top.sum(axis=1, keepdims=True)
    return np.asarray((total - np.maximum(scores, least)) / count)


def against_others(
    scorer: IdentityScorer, looks: Faces, starts: Ints, best: Floats, people: Floats
) -> Floats:
    """The evidence [K, G] that tracks lose where all G people are enrolled.

    `starts` [K] is the first of `looks` of each track, `best` their `nearest`, `people` [G, F]
    everybody's mean face. What `IdentityScorer.beside` does to log odds, for many people at once.
    """
    mean = with_others(best, looks.vectors @ people.T, scorer.nearest)
    lower = (mean - looks.cohort_mean[:, None]) / looks.cohort_std[:, None] / 2
    weight = look_weights(looks.qualities)[:, None]
    total = np.add.reduceat(weight, starts)
    quality = np.add.reduceat(weight * looks.qualities[:, None], starts) / total
    by = scorer.track_weights or {}
    slope = by["score"] + by["best"] + by["score_quality"] * quality
    return np.asarray(slope * np.add.reduceat(weight * lower, starts) / total)


def shares(probability: Floats) -> Floats:
    """Of P [N, G] of pairs: everybody's share in the sum of odds, 0 but for the likeliest."""
    p = np.clip(probability.astype(np.float64), 1e-9, 1 - 1e-9)
    odds = p / (1 - p)
    share = odds / odds.sum(axis=1, keepdims=True)
    return np.where(odds >= odds.max(axis=1, keepdims=True), share, 0.0)
