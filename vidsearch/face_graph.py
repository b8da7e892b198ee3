"""The graph of faces that may be one person: each joined with the nearest ones it has.

All cosines are computed, in blocks; the probabilities (`idclip.identity`), which cost more, of
those pairs only that may be likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idclip.identity import Faces, IdentityScorer
from vidsearch.records import Ints, Reals, Rows, Vector

_NEAREST = 24  # edges of a face in the graph, at most
_ROWS, _COLUMNS = 512, 8192  # of a block of cosines: 16 MB
_SAMPLE = 1500  # faces whose pairs tell how low the cosine of a likely pair can be
_MISSED = 0.005  # share of the likely pairs that may be overlooked
LEAST_WEIGHT = 0.05  # of the poorest look


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of rows `one` and `other` [E] with the `odds` [E] that both are one person."""

    one: Ints
    other: Ints
    odds: Reals


def faces_of_tracks(rows: Rows, scorer: IdentityScorer) -> Faces:
    """One face a track [T]: the mean of its looks, weighed by quality; its mean quality."""
    if not len(rows.look_track):
        return scorer.faces(np.zeros((0, rows.look_vectors.shape[1]), np.float32), np.zeros(0))
    first = np.searchsorted(rows.look_track, np.arange(len(rows.track_shot)))
    weight = rows.look_quality + np.float32(LEAST_WEIGHT)
    total = np.add.reduceat(weight, first)
    mean = np.empty((len(first), rows.look_vectors.shape[1]), np.float32)
    for start in range(0, len(first), _COLUMNS):  # the weighed looks of all would be a second copy
        ends = [*first[start + 1 : start + _COLUMNS + 1], len(weight)]
        part = slice(first[start], ends[min(_COLUMNS, len(first) - start) - 1])
        weighed = rows.look_vectors[part] * weight[part, None]
        mean[start : start + _COLUMNS] = np.add.reduceat(
            weighed, first[start : start + _COLUMNS] - first[start]
        )
    quality = np.add.reduceat(weight * rows.look_quality, first) / total
    return measured(scorer, mean, quality)


def measured(scorer: IdentityScorer, sums: Vector, qualities: NDArray[np.floating]) -> Faces:
    """Faces in the directions of `sums` [N, F], with their cohort statistics, made in blocks."""
    vectors = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    stats = [
        scorer.cohort_stats(vectors[start : start + _COLUMNS])
        for start in range(0, len(vectors), _COLUMNS)
    ] or [scorer.cohort_stats(vectors)]
    mean, std = (np.concatenate(parts) for parts in zip(*stats, strict=True))
    return Faces(vectors, np.asarray(qualities, np.float32), mean, std)


def seen_together(rows: Rows) -> Ints:
    """Pairs [M, 2] of tracks that run through one shot at the same time."""
    pairs: list[tuple[int, int]] = []
    edges = np.searchsorted(rows.track_shot, np.arange(len(rows.shot_video) + 1))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        for one in range(first, last - 1):
            others = np.arange(one + 1, last)
            both = (rows.track_start_s[others] <= rows.track_end_s[one]) & (
                rows.track_start_s[one] <= rows.track_end_s[others]
            )
            pairs += [(one, other) for other in others[both].tolist()]
    return np.array(pairs, np.int64).reshape(-1, 2)


def nearest(
    scorer: IdentityScorer,
    ours: Faces,
    theirs: Faces,
    least: float,
    *,
    within: bool = False,
    floor: float | None = None,
) -> Edges:
    """Pairs of `ours` and `theirs` with odds of `least` at least, some of the best of each row.

    With `within` both are the same faces, and each pair is given once. All cosines are computed;
    odds only where the cosine is over `floor`, by default `lowest_cosine`.
    """
    if floor is None:
        floor = lowest_cosine(scorer, ours, theirs, least)
    found: list[tuple[Ints, Ints, Reals]] = []
    for start in range(0, len(ours.vectors), _ROWS):
        block = ours.vectors[start : start + _ROWS]
        near: list[list[tuple[Ints, Vector]]] = [[] for _ in range(len(block))]
        for left in range(start if within else 0, len(theirs.vectors), _COLUMNS):
            cosine = block @ theirs.vectors[left : left + _COLUMNS].T
            if within and left < start + len(block):  # this side of the diagonal
                cosine[np.tril(np.ones_like(cosine, bool), start - left)] = -1
            rows, columns = np.nonzero(cosine > floor)
            ends = np.searchsorted(rows, np.arange(len(block) + 1))
            for row in np.unique(rows).tolist():
                some = columns[ends[row] : ends[row + 1]]
                near[row].append((some + left, cosine[row, some]))
        for row, parts in enumerate(near):
            if parts:
                found.append(_best_of(scorer, ours, start + row, theirs, parts, least))
    if not found:
        return Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Edges(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _best_of(
    scorer: IdentityScorer,
    ours: Faces,
    row: int,
    theirs: Faces,
    parts: list[tuple[Ints, Vector]],
    least: float,
) -> tuple[Ints, Ints, Reals]:
    columns, cosine = (np.concatenate(each) for each in zip(*parts, strict=True))
    if len(columns) > 4 * _NEAREST:  # of somebody who is seen thousands of times
        columns = columns[np.argpartition(-cosine, 4 * _NEAREST)[: 4 * _NEAREST]]
    odds = _odds(scorer, Faces(*(p[row : row + 1] for p in ours)), theirs, columns)
    good = np.flatnonzero(odds >= least)
    if len(good) > _NEAREST:
        good = good[np.argpartition(-odds[good], _NEAREST)[:_NEAREST]]
    return np.full(len(good), row, np.int64), columns[good].astype(np.int64), odds[good]


def _odds(scorer: IdentityScorer, face: Faces, theirs: Faces, columns: Ints) -> Reals:
    """Odds that a face and each of those in `columns` are one person: the mean of both views."""
    some = Faces(*(part[columns] for part in theirs))
    same = (scorer.pairs(face, some)[0] + scorer.pairs(some, face)[:, 0]) / 2
    p = np.clip(same.astype(np.float64), 1e-9, 1 - 1e-7)
    return np.asarray(p / (1 - p))


def lowest_cosine(scorer: IdentityScorer, ours: Faces, theirs: Faces, least: float) -> float:
    """The cosine over which all but a few of the likely pairs of a sample lie; 1 if there is none.

    Pairs are likely that have odds of `least`, which is less than any use of them asks.
    """
    rng = np.random.default_rng(1)
    a, b = (
        Faces(*(part[rows] for part in faces))
        for faces, rows in (
            (ours, rng.permutation(len(ours.vectors))[:_SAMPLE]),
            (theirs, rng.permutation(len(theirs.vectors))[: 4 * _SAMPLE]),
        )
    )
    cosines: list[NDArray[np.floating]] = []
    for start in range(0, len(a.vectors), 256):
        block = Faces(*(part[start : start + 256] for part in a))
        likely = scorer.pairs(block, b) >= least / (1 + least)
        cosines.append((block.vectors @ b.vectors.T)[likely])
    found = np.concatenate(cosines) if cosines else np.zeros(0)
    found = found[found < 1 - 1e-5]  # a face with itself
    if not len(found):
        return 1.0
    return float(np.quantile(found, _MISSED, method="lower")) - 1e-4  # of few, not one is lost


def without(edges: Edges, pairs: Ints, n: int) -> Edges:
    """`edges` less those between rows of `pairs` [M, 2]."""
    low, high = np.minimum(edges.one, edges.other), np.maximum(edges.one, edges.other)
    never = np.minimum(pairs[:, 0], pairs[:, 1]) * n + np.maximum(pairs[:, 0], pairs[:, 1])
    allowed = ~np.isin(low * n + high, never)
    return Edges(edges.one[allowed], edges.other[allowed], edges.odds[allowed])
