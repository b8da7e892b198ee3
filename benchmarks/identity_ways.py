"""The ways that are compared, over one set of questions, and the choice of what they leave open.

What a way leaves open (a weight, a threshold, a floor) is chosen on people and scenes that are in
no test, by R@1 over the questions of all validation sets together: a set of one scene then weighs
what it is worth. The grids reach beyond what is best, or to next to nothing, so that their ends
hold no way back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product as every

import numpy as np

from benchmarks import fusion
from benchmarks.fusion import Floats, Ints
from benchmarks.identity_features import Context, Identity, Questions
from vidsearch.scoring import leniently

PRODUCT = "product: P x context score"
NO_NAME, IN_TEXT, TOKEN, FACE = "no name", "name in the text", "[TOK]", "identity alone (face)"
HARD, SUM, WEIGHTED = (
    "hard filter on the face, then context",
    "sum: P + context score",
    "sum, weighted",
)
RRF, BASIC = "reciprocal rank fusion", "contrast-normalised product"
LIKELIHOOD, WITH_TOKEN = "P x likelihood of the context", "product x [TOK]"
LIKELIHOOD_TOKEN = "P x likelihood of the context x [TOK]"
KNOWN_FACE = "(bound) product, were identity known"
KNOWN_SCENE = "(bound) product, were the scene known"


@dataclass(frozen=True)
class Choices:
    """What is chosen on validation data.

    `floor` is P where no face was found or known again (`fusion.soft`), for the product and for
    the product with a likelihood; `power` the likelihood's exponent and `lenient` how many times
    the odds of P count beside it (`vidsearch.scoring.leniently`); `threshold` of the hard filter;
    `weight` of the context in the weighted sum; `token` and `likelihood_token` of [TOK] beside the
    product and beside the likelihood.
    """

    floor: float = 0.001
    likelihood_floor: float = 0.001
    power: float = 1.0
    lenient: float = 1.0
    threshold: float = 0.5
    weight: float = 1.0
    token: float = 1.0
    likelihood_token: float = 1.0


_FLOORS = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1)
# Each row is chosen by itself: what is tried together, and the way that judges it.
GRIDS: tuple[tuple[str, Mapping[str, Sequence[float]]], ...] = (
    (PRODUCT, {"floor": _FLOORS}),
    (
        LIKELIHOOD,
        {
            "likelihood_floor": _FLOORS,
            "power": (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0),
            "lenient": (1.0, 15.0, 50.0, 150.0, 500.0, 1500.0, 5000.0),
        },
    ),
    (HARD, {"threshold": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 0.5)}),
    (WEIGHTED, {"weight": (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)}),
    (WITH_TOKEN, {"token": (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)}),
    (LIKELIHOOD_TOKEN, {"likelihood_token": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)}),
)


@dataclass(frozen=True, eq=False)
class Branches:
    """All scores of Q questions for I pictures, [Q, I] each, and what is right.

    `scene` [Q] and `own` [Q] are the scene and the column of the right picture; `same_person` and
    `same_scene` say which pictures have it. `named` and `token` are cosines of texts with a name
    and with [TOK]; `token` is None without a checkpoint.
    """

    asked: Questions
    scene: Ints
    same_person: Floats
    same_scene: Floats
    identity: Identity
    context: Context
    named: Floats
    token: Floats | None

    @property
    def own(self) -> Ints:
        """[Q]: the right picture of each question."""
        return self.asked.picture


Way = Callable[[Branches, Choices], Floats]


def _product(at: Branches, how: Choices) -> Floats:
    return fusion.product(fusion.soft(at.identity.probability, how.floor), at.context.score)


def _likelihood(at: Branches, how: Choices) -> Floats:
    known = leniently(fusion.soft(at.identity.probability, how.likelihood_floor), how.lenient)
    return fusion.product(known) + how.power * at.context.evidence


def _weighted(at: Branches, how: Choices) -> Floats:
    face = fusion.standardised(at.identity.score)
    return face + how.weight * fusion.standardised(at.context.cosine)


def _with_token(at: Branches, how: Choices) -> Floats:
    assert at.token is not None, "rows with [TOK] are left out without a checkpoint"
    return _product(at, how) + how.token * fusion.standardised(at.token)


def _likelihood_token(at: Branches, how: Choices) -> Floats:
    assert at.token is not None, "rows with [TOK] are left out without a checkpoint"
    return _likelihood(at, how) + how.likelihood_token * fusion.standardised(at.token)


def _token(at: Branches, how: Choices) -> Floats:
    assert at.token is not None, "rows with [TOK] are left out without a checkpoint"
    return at.token


def _known_face(at: Branches, how: Choices) -> Floats:
    return fusion.product(at.same_person, at.context.score)


def _known_scene(at: Branches, how: Choices) -> Floats:
    return fusion.product(fusion.soft(at.identity.probability, how.floor), at.same_scene)


WAYS: Mapping[str, Way] = {
    NO_NAME: lambda at, how: at.context.cosine,
    IN_TEXT: lambda at, how: at.named,
    TOKEN: _token,
    FACE: lambda at, how: fusion.product(fusion.soft(at.identity.probability, how.floor)),
    HARD: lambda at, how: fusion.hard_filter(
        at.identity.probability, at.context.cosine, how.threshold
    ),
    SUM: lambda at, how: at.identity.probability + at.context.score,
    WEIGHTED: _weighted,
    PRODUCT: _product,
    RRF: lambda at, how: fusion.reciprocal_rank(at.identity.score, at.context.cosine),
    BASIC: lambda at, how: fusion.contrast_normalised(at.identity.cosine, at.context.centred),
    LIKELIHOOD: _likelihood,
    WITH_TOKEN: _with_token,
    LIKELIHOOD_TOKEN: _likelihood_token,
    KNOWN_FACE: _known_face,
    KNOWN_SCENE: _known_scene,
}
NEED_TOKEN = (TOKEN, WITH_TOKEN, LIKELIHOOD_TOKEN)


def possible(at: Branches) -> list[str]:
    """The ways that can be tried: those with [TOK] need a checkpoint."""
    return [way for way in WAYS if at.token is not None or way not in NEED_TOKEN]


def chosen(sets: Sequence[Branches]) -> Choices:
    """The choices with the best R@1 over all questions of the sets; of equals the first."""
    best = Choices()
    for way, grid in GRIDS:
        if way in NEED_TOKEN and any(at.token is None for at in sets):
            continue
        tried = [
            replace(best, **dict(zip(grid, values, strict=True)))
            for values in every(*grid.values())
        ]
        right = [sum(_right(way, at, how) for at in sets) for how in tried]
        best = tried[int(np.argmax(right))]
    return best


def _right(way: str, at: Branches, how: Choices) -> int:
    """How many questions have the right picture first."""
    return int((fusion.ranks(WAYS[way](at, how), at.own) == 0).sum())
