"""Retrieval metrics of identity-aware search: recall at k both ways, and of persons.

All functions take vectors of any length but zero and compare them by cosine, in double precision.
They work in tiles, so memory grows with the number of vectors and not with its square.

**Ties.** A right answer that scores the same as wrong ones (within `TIE`) stands behind all of
them. So a model that gives everything one score finds nothing, whatever the order of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import VidsearchError

KS = (1, 5, 10, 50)
"""Where the paper reads recall."""

TIE = 1e-9
"""Cosines nearer than this are one score: far above double precision's noise, far below float32's
spacing, so that equal vectors tie wherever they stand in a matrix."""

_TILE = 1024
_CELLS = 4_000_000
_PAPER_DEPTH = 10

Floats: TypeAlias = NDArray[np.float64]


class InvalidVectors(VidsearchError):
    """Vectors or their labels do not fit together."""


@dataclass(frozen=True)
class Ranks:
    """How many wrong answers stand before the first right one; 0 is the best.

    `text` int64 [T]: images before a text's own. `image` int64 [J]: texts of other images before
    the best of an image's own, for the J images that have texts, whose rows `asked` int64 [J] names
    (images without a text only distract).
    """

    text: NDArray[np.int64]
    image: NDArray[np.int64]
    asked: NDArray[np.int64]


@dataclass(frozen=True)
class EntityScores:
    """Per entity, float64 [E]: what the ranking of all images by one query is worth.

    `kmin_recall[k]`: hits in the top k / min(k, number of the entity's images). `paper_map10`: the
    sum of the precisions at the hits in the top 10, divided always by 10, which the paper calls
    mAP. `ap`: average precision over the whole ranking.
    """

    kmin_recall: Mapping[int, Floats]
    paper_map10: Floats
    ap: Floats


def ranks(image: NDArray[Any], text: NDArray[Any], text_image: NDArray[Any]) -> Ranks:
    """Rank images for texts and texts for images.

    `image` [I, D], `text` [T, D], `text_image` integer [T]: the row of the image that each text
    belongs to. Raises `InvalidVectors` for shapes that do not fit, values that are not finite, zero
    vectors and rows out of range.
    """
    image, text = _vectors("image", image), _vectors("text", text)
    _same_length("image", image, "text", text)
    own_row = _rows("text_image", text_image, len(text), len(image))
    image_norm, text_norm = _norms(image), _norms(text)
    own = np.concatenate(
        [
            np.einsum(
                "td,td->t",
                _unit(text, text_norm, part),
                _unit(image, image_norm, own_row[part]),
            )
            for part in _parts(len(text), _TILE)
        ]
    )
    best = np.full(len(image), np.inf)  # no text is better than that of an image without one
    best[own_row] = -np.inf
    np.maximum.at(best, own_row, own)
    text_rank, image_rank = np.zeros(len(text), np.int64), np.zeros(len(image), np.int64)
    for rows in _parts(len(text), _TILE):
        texts = _unit(text, text_norm, rows)
        for columns in _parts(len(image), _TILE):
            score = texts @ _unit(image, image_norm, columns).T
            at = own_row[rows] - columns.start
            here = np.flatnonzero((at >= 0) & (at < score.shape[1]))
            score[here, at[here]] = -np.inf  # one's own is no rival
            text_rank[rows] += np.count_nonzero(score > own[rows, None] - TIE, axis=1)
            image_rank[columns] += np.count_nonzero(score > best[None, columns] - TIE, axis=0)
    asked = np.flatnonzero(np.isfinite(best))
    return Ranks(text_rank, image_rank[asked], asked)


def recall(rank: NDArray[np.int64], k: int) -> Floats:
    """Per query 1.0 where a right answer is among the first `k`, else 0.0; float64 [Q]."""
    return (rank < k).astype(np.float64)


def entity_scores(
    image: NDArray[Any],
    image_entity: NDArray[Any],
    entity_text: NDArray[Any],
    entity: NDArray[Any],
) -> EntityScores:
    """Score one query per entity, without a context, against all images.

    `image` [I, D], `image_entity` [I] (integers or strings: who is in it), `entity_text` [E, D],
    `entity` [E] (whom each query asks for). Raises `InvalidVectors` as `ranks` does, and for an
    entity that is in no image.
    """
    image, entity_text = _vectors("image", image), _vectors("entity_text", entity_text)
    _same_length("image", image, "entity_text", entity_text)
    shown, wanted = _codes(image_entity, len(image), entity, len(entity_text))
    image_norm, text_norm = _norms(image), _norms(entity_text)
    kmin = {k: np.empty(len(wanted)) for k in KS}
    paper, ap = np.empty(len(wanted)), np.empty(len(wanted))
    for rows in _parts(len(wanted), max(1, min(_TILE, _CELLS // len(image)))):
        texts = _unit(entity_text, text_norm, rows)
        score = np.empty((len(texts), len(image)))
        for columns in _parts(len(image), _TILE):
            score[:, columns] = texts @ _unit(image, image_norm, columns).T
        right = wanted[rows, None] == shown[None]
        score[right] -= TIE
        hit = np.take_along_axis(right, np.argsort(-score, axis=1, kind="stable"), axis=1)
        total = hit.sum(axis=1)
        for k in KS:
            kmin[k][rows] = hit[:, :k].sum(axis=1) / np.minimum(k, total)
        precision = np.cumsum(hit, axis=1) / np.arange(1, len(image) + 1) * hit
        paper[rows] = precision[:, :_PAPER_DEPTH].sum(axis=1) / _PAPER_DEPTH
        ap[rows] = precision.sum(axis=1) / total
    return EntityScores(kmin, paper, ap)


def intervals(
    values: NDArray[Any],
    group: NDArray[Any] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """Bootstrap intervals of means, by percentiles: float64 [M, 2] (low, high).

    `values` [Q, M] holds M measures of Q queries. What is drawn again with replacement are the
    groups: with `group` [Q] the image of each query, queries on one image go together, as they are
    not independent. Without, each query is one. The same seed draws the same groups. Raises
    `InvalidVectors` for no values or shapes that do not fit.
    """
    values = np.asarray(values, np.float64)
    labels = np.arange(len(values)) if group is None else np.asarray(group)
    if values.ndim != 2 or not len(values) or labels.shape != values.shape[:1]:
        raise InvalidVectors(
            f"intervals need values [Q, M] and groups [Q], got {values.shape} and {labels.shape}"
        )
    found, place = np.unique(labels, return_inverse=True)
    sums, counts = np.zeros((len(found), values.shape[1])), np.bincount(place)
    np.add.at(sums, place, values)
    rng = np.random.default_rng(seed)
    chances = np.full(len(found), 1 / len(found))
    means = []
    for part in _parts(resamples, max(1, _CELLS // len(found))):
        drawn = rng.multinomial(len(found), chances, size=part.stop - part.start)
        means.append((drawn @ sums) / (drawn @ counts)[:, None])
    ends = [(1 - level) / 2, (1 + level) / 2]
    return np.asarray(np.quantile(np.concatenate(means), ends, axis=0)).T


# --- vectors -------------------------------------------------------------------------------------


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(at, min(at + size, length)) for at in range(0, length, size))


def _norms(vectors: NDArray[Any]) -> Floats:
    parts = [
        np.linalg.norm(vectors[part].astype(np.float64), axis=1)
        for part in _parts(len(vectors), _TILE)
    ]
    return np.concatenate(parts)


def _unit(vectors: NDArray[Any], norms: Floats, rows: slice | NDArray[np.int64]) -> Floats:
    unit: Floats = vectors[rows].astype(np.float64) / norms[rows, None]
    return unit


def _vectors(name: str, vectors: NDArray[Any]) -> NDArray[Any]:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not vectors.size:
        raise InvalidVectors(f"{name} has the shape {vectors.shape}; it must be [rows, dimensions]")
    if not np.issubdtype(vectors.dtype, np.floating):
        raise InvalidVectors(f"{name} holds {vectors.dtype}; vectors are floating point numbers")
    for part in _parts(len(vectors), _TILE):
        block = vectors[part].astype(np.float64)
        for fault, rows in (
            ("is not finite", ~np.isfinite(block).all(axis=1)),
            ("is zero, which has no direction", ~block.any(axis=1)),
        ):
            if rows.any():
                row = part.start + int(np.argmax(rows))
                raise InvalidVectors(f"row {row} of {name} {fault}; mend or leave out that vector")
    return vectors


def _same_length(first: str, one: NDArray[Any], second: str, other: NDArray[Any]) -> None:
    if one.shape[1] != other.shape[1]:
        raise InvalidVectors(
            f"{first} vectors have {one.shape[1]} dimensions, {second} vectors {other.shape[1]}; "
            "they must come from one model"
        )


def _labels(name: str, labels: NDArray[Any], count: int, of: str) -> NDArray[Any]:
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise InvalidVectors(f"{name} has the shape {labels.shape}; {of} has {count} rows")
    return labels


def _rows(name: str, rows: NDArray[Any], count: int, images: int) -> NDArray[np.int64]:
    rows = _labels(name, rows, count, "text")
    if not np.issubdtype(rows.dtype, np.integer):
        raise InvalidVectors(f"{name} holds {rows.dtype}; it must hold rows of image, as integers")
    outside = (rows < 0) | (rows >= images)
    if outside.any():
        at = int(np.argmax(outside))
        raise InvalidVectors(f"{name}[{at}] is {rows[at]}; image has the rows 0 to {images - 1}")
    return rows.astype(np.int64)


def _codes(
    image_entity: NDArray[Any], images: int, entity: NDArray[Any], entities: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both label arrays as numbers that can be compared."""
    shown = _labels("image_entity", image_entity, images, "image")
    wanted = _labels("entity", entity, entities, "entity_text")
    for name, labels in (("image_entity", shown), ("entity", wanted)):
        if labels.dtype.kind not in "iuU":
            raise InvalidVectors(f"{name} holds {labels.dtype}; labels are integers or strings")
    if (shown.dtype.kind == "U") != (wanted.dtype.kind == "U"):
        raise InvalidVectors("image_entity and entity must both hold integers or both strings")
    _, codes = np.unique(np.concatenate([shown, wanted]), return_inverse=True)
    absent = ~np.isin(codes[images:], codes[:images])
    if absent.any():
        at = int(np.argmax(absent))
        raise InvalidVectors(
            f"entity[{at}] is {wanted[at]!s}, who is in no image; leave that query out"
        )
    return codes[:images].astype(np.int64), codes[images:].astype(np.int64)
