"""How well keyframes fit a scene in words, or another picture: log odds.

Where a shot shows several people and the words are about one of them, the person's own figure
(`vidsearch.figures`) says whether it is they who do it. The words may also be about what is
elsewhere in the picture, so both are mixed, as odds:

    odds = (1 - FIGURE) * odds of the keyframe + FIGURE * odds of the figure

`FIGURE` was chosen on generated pictures of two people of whom each does something else, so that
who does it is found more often and who is beside it is hardly found less
(`benchmarks/two_people.py`).

An encoder whose texts can hold people (an Id-CLIP) is asked twice, with "a person" and with the
person's own token, and the geometric mean of both odds counts.

Likeness to a picture is the cosine of both vectors less the archive's mean picture. A straight
line makes log odds of it, fitted on pairs of views of one photo and of two
(`benchmarks/like_and_not.py`), with the same convention of how rare right shots are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from idclip.encoders import encode_people, takes_people
from idclip.identity import IdentityScorer
from vidsearch.context import OFFSET, RARITY, SLOPE, background_of, log_odds
from vidsearch.gallery import mean_faces
from vidsearch.kept import Kept
from vidsearch.question import Like, Scene
from vidsearch.records import Ints, Reals, Rows, Vector
from vidsearch.sought import Sought

if TYPE_CHECKING:
    from idclip.encoders import Encoder

FIGURE = 0.25
# What scenes are in words, for as long as somebody asks for them.
_TOLD: WeakKeyDictionary[Scene, tuple[Encoder, list[Vector]]] = WeakKeyDictionary()
_TEXTS = 1000  # the last of them, of every encoder, for whoever asks on or turns a page
_ENCODED: WeakKeyDictionary[Encoder, Kept[Vector]] = WeakKeyDictionary()
LIKE_SLOPE, LIKE_OFFSET = 14.0, 7.4


@dataclass(frozen=True, eq=False)
class Fit:
    """A scene over N keyframes: the log odds that count, [N], and of what they are made.

    `whole` [N] are those of the keyframes, `figure` [N] those of the people's own figures, NaN
    where there is none.
    """

    log_odds: Reals
    whole: Reals
    figure: Reals


def scene(
    rows: Rows,
    encoder: Encoder,
    scorer: IdentityScorer,
    asked: Scene,
    people: Sequence[Sought],
    keyframes: Ints,
) -> Fit:
    """`asked` of the keyframes; `people` are those whom its words are about."""
    every = len(keyframes) == len(rows.keyframe_vectors)
    vectors = rows.keyframe_vectors if every else rows.keyframe_vectors[keyframes]
    told = _texts(encoder, scorer, asked)
    whole = _fit(encoder, told, vectors, rows.typical_picture)
    figure = np.full(len(keyframes), np.nan)
    if asked.named and people and len(rows.figure_track):
        figure = _figures(rows, encoder, told, people, rows.keyframe_shot[keyframes])
    own, mixed = ~np.isnan(figure), whole.copy()
    mixed[own] = np.logaddexp(whole[own] + np.log1p(-FIGURE), figure[own] + np.log(FIGURE))
    return Fit(mixed, whole, figure)


def of_pictures(
    encoder: Encoder,
    scorer: IdentityScorer,
    asked: Scene | Like,
    vectors: Vector,
    typical: Vector,
) -> Reals:
    """Log odds [N] of pictures [N, D] for themselves, whoever is in them.

    `typical` [D] is the archive's mean picture.
    """
    if isinstance(asked, Like):
        return likeness_odds(vectors, asked.vector, typical)
    return _fit(encoder, _texts(encoder, scorer, asked), vectors, typical)


def like(rows: Rows, asked: Like, keyframes: Ints) -> Reals:
    """Log odds that the keyframes show what another picture shows."""
    return likeness_odds(rows.keyframe_vectors[keyframes], asked.vector, rows.typical_picture)


def likeness_odds(vectors: Vector, picture: Vector, typical: Vector) -> Reals:
    """Log odds [N] of pictures [N, D] beside one [D]; `typical` [D] is the archive's mean."""
    away = picture - typical
    length = np.linalg.norm(vectors - typical, axis=1) * np.linalg.norm(away)
    cosine = (vectors @ away - typical @ away) / np.maximum(length, 1e-6)
    return np.asarray(LIKE_SLOPE * cosine - LIKE_OFFSET - np.log(RARITY), np.float64)


def directions(
    encoder: Encoder, scorer: IdentityScorer, asked: Scene | Like, typical: Vector
) -> Vector:
    """Where the pictures lie that fit, [M, D]: the larger the product with one, the better.

    For a scene that is exact: its log odds grow with the products, of several texts with the
    largest, of two ways to ask with the mean of both; so the mean direction is among them. For
    likeness it is near enough to find candidates by.
    """
    if isinstance(asked, Like):
        return np.asarray(asked.vector - typical, np.float32)[None]
    told = [texts - background_of(encoder) / 2 for texts in _texts(encoder, scorer, asked)]  # type: ignore[arg-type]
    if len(told) > 1:
        told.append(np.mean([texts.mean(axis=0) for texts in told], axis=0, keepdims=True))
    return np.concatenate(told).astype(np.float32)


def most(
    encoder: Encoder, asked: Scene | Like, products: Sequence[float], typical: Vector
) -> float:
    """The log odds of a picture with at most these `products` with its `directions`.

    Of likeness that is so for pictures that are no nearer to the mean one than they use to be.
    """
    if isinstance(asked, Like):
        away = asked.vector - typical
        usual = np.sqrt(max(1 - float(typical @ typical), 1e-6)) * np.linalg.norm(away)
        cosine = (max(products) - float(typical @ away)) / max(float(usual), 1e-6)
        return float(LIKE_SLOPE * cosine - LIKE_OFFSET - np.log(RARITY))
    background = background_of(encoder)  # type: ignore[arg-type]  # a Protocol is not Hashable
    level = float(typical @ background) / 2
    evidence = encoder.logit_scale * (max(products) - level)
    return float(SLOPE * evidence - OFFSET - np.log(RARITY))


def _texts(encoder: Encoder, scorer: IdentityScorer, asked: Scene) -> list[Vector]:
    """What the encoder makes of a scene, once, or once more with the people in it.

    It is asked once for all that looks at the scene.
    """
    known = _TOLD.get(asked)
    if known is None or known[0] is not encoder:
        known = _TOLD[asked] = encoder, _encoded(encoder, scorer, asked)
    return known[1]


def _encoded(encoder: Encoder, scorer: IdentityScorer, asked: Scene) -> list[Vector]:
    known = _ENCODED.setdefault(encoder, Kept(_TEXTS))  # type: ignore[arg-type]
    plain = known.of((asked.text, asked.named), lambda: _plain(encoder, asked))
    if not (asked.marks and takes_people(encoder)):
        return [plain]
    faces = mean_faces(asked.marks, scorer).vectors
    return [plain, encoder.encode_texts([asked.marked], [faces])]


def _plain(encoder: Encoder, asked: Scene) -> Vector:
    if asked.named:
        return encode_people(encoder, asked.text)
    return encoder.encode_texts([asked.text])


def _fit(encoder: Encoder, told: Sequence[Vector], vectors: Vector, typical: Vector) -> Reals:
    background = background_of(encoder)  # type: ignore[arg-type]  # a Protocol is not Hashable
    scale = encoder.logit_scale
    found = [log_odds(vectors, texts, background, typical, scale) for texts in told]
    return np.asarray(np.mean(found, axis=0), np.float64)


def _figures(
    rows: Rows, encoder: Encoder, told: Sequence[Vector], people: Sequence[Sought], shots: Ints
) -> Reals:
    """Log odds of the figures of `people` in `shots` [N], the mean of several; NaN without any."""
    figure_of = np.full(len(rows.track_shot) + 1, -1, np.int64)  # the last place is for track -1
    figure_of[rows.figure_track] = np.arange(len(rows.figure_track))
    total, count = np.zeros(len(shots)), np.zeros(len(shots))
    for person in people:
        figure = figure_of[person.tracks_in(shots)]
        there = np.flatnonzero(figure >= 0)
        if len(there):
            needed, back = np.unique(figure[there], return_inverse=True)
            figures = rows.figure_vectors[needed]
            total[there] += _fit(encoder, told, figures, rows.typical_picture)[back]
            count[there] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
