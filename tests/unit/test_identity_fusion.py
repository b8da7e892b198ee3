"""Ways of putting a face and a context into one ranking: their arithmetic and their traps."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import fusion
from benchmarks import identity_ways as ways
from benchmarks.identity_features import Questions, Seen, context, identity
from benchmarks.identity_product import product_ranks
from benchmarks.identity_sets import IdentitySet, Picture
from benchmarks.identity_ways import Branches, Choices
from idclip.cocopfs.dataset import PersonEntry
from idclip.identity import IdentityScorer
from vidsearch.scoring import IDENTITY, LENIENT

# The question: picture 0 is right, 1 shows the person elsewhere, 2 another person in this context,
# 3 has nothing of either.
FACE = np.array([[0.9, 0.95, 0.01, 0.02]])
CONTEXT = np.array([[0.8, 0.05, 0.9, 0.04]])
RIGHT = np.array([0])


def order(score: NDArray[np.float64]) -> list[int]:
    return [int(column) for column in np.argsort(-score[0], kind="stable")]


def test_neither_branch_alone_finds_the_picture_and_the_product_does() -> None:
    assert fusion.ranks(FACE, RIGHT)[0] == 1
    assert fusion.ranks(CONTEXT, RIGHT)[0] == 1
    assert fusion.ranks(fusion.product(FACE, CONTEXT), RIGHT)[0] == 0


def test_a_right_picture_that_ties_with_wrong_ones_stands_behind_them() -> None:
    assert fusion.ranks(np.zeros((1, 5)), np.array([3])).tolist() == [4]
    assert fusion.ranks(np.array([[0.5, 0.5 + 1e-12, 0.1]]), np.array([0])).tolist() == [1]


def test_a_picture_that_is_not_returned_has_no_place() -> None:
    score = fusion.hard_filter(FACE, CONTEXT, 0.92)
    rank = fusion.ranks(score, RIGHT)
    assert rank.tolist() == [4]
    assert fusion.reciprocal(rank, 4).tolist() == [0.0]


def test_one_that_is_returned_is_not_hindered_by_those_that_are_not() -> None:
    score = fusion.hard_filter(FACE, CONTEXT, 0.5)
    assert order(score)[:2] == [0, 1]
    assert np.isneginf(score[0, 2:]).all()
    assert fusion.ranks(score, np.array([1])).tolist() == [1]


def test_reciprocal_rank_is_one_over_the_place() -> None:
    assert fusion.reciprocal(np.array([0, 1, 3]), 9) == pytest.approx([1, 0.5, 0.25])


def test_the_product_has_the_order_of_plain_multiplication_and_no_underflow() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.random((3, 20, 30))
    logs = fusion.product(a, b, c)
    assert (np.argsort(logs, axis=1) == np.argsort(a * b * c, axis=1)).all()
    assert np.isfinite(fusion.product(np.zeros((1, 3)), np.zeros((1, 3)))).all()


def test_a_floor_leaves_a_chance_where_no_face_was_found() -> None:
    face = np.array([[0.0, 1e-7]])  # not found, and surely somebody else
    context = np.array([[0.9, 0.3]])
    assert order(fusion.product(face, context)) == [1, 0]
    assert order(fusion.product(fusion.soft(face, 0.05), context)) == [0, 1]
    assert fusion.soft(np.array([[0.0, 1.0]]), 0.05) == pytest.approx(np.array([[0.05, 1.0]]))


def test_standardised_scores_do_not_change_with_scale_and_offset_of_a_question() -> None:
    score = np.array([[0.1, 0.2, 0.6], [1.0, 1.0, 1.0]])
    found = fusion.standardised(score)
    assert found[0].mean() == pytest.approx(0)
    assert found[0].std() == pytest.approx(1)
    assert fusion.standardised(score * 7 + 3)[0] == pytest.approx(found[0])
    assert (found[1] == 0).all()


def test_reciprocal_rank_fusion_is_that_of_its_paper() -> None:
    found = fusion.reciprocal_rank(np.array([[3.0, 2.0, 1.0]]), np.array([[1.0, 5.0, 5.0]]))
    assert found[0] == pytest.approx([1 / 61 + 1 / 63, 1 / 62 + 1 / 62, 1 / 63 + 1 / 62])


def test_contrast_normalisation_is_scale_free_and_least_is_nothing() -> None:
    likeness, context = np.array([[-0.2, 0.0, 0.6]]), np.array([[-0.1, 0.3, 0.0]])
    plain = fusion.contrast_normalised(likeness, context, harris=0.0)
    assert plain[0] == pytest.approx([0, 1 * 4, 4 * 1])
    assert fusion.contrast_normalised(3 * likeness, 5 * context, harris=0.0) == pytest.approx(plain)


def test_harris_holds_down_what_is_strong_in_one_branch_alone() -> None:
    likeness, context = np.array([[-1.0, 3.0, 15.0]]), np.array([[-1.0, 3.0, 0.0]])
    plain = fusion.contrast_normalised(likeness, context, harris=0.0)
    assert plain[0, 1] == pytest.approx(plain[0, 2])
    held = fusion.contrast_normalised(likeness, context)
    assert held[0, 1] == pytest.approx(16 - 0.1 * 64)
    assert held[0, 1] > held[0, 2]


# --- the ways over a small set -------------------------------------------------------------------

DIM, PEOPLE = 16, ("Anna", "Marco", "Joe")
SCORER = IdentityScorer.uncalibrated("test")


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


class Scattered:
    """Every text has a direction of its own."""

    name, dim, licence, logit_scale = "scattered", DIM, "none", 8.0

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seeds = [zlib.crc32(text.encode()) for text in texts]
        return unit(np.stack([np.random.default_rng(seed).normal(size=DIM) for seed in seeds]))


ENCODER = Scattered()


def small_set(seed: int, scenes: int = 6) -> tuple[IdentitySet, Seen]:
    """Everybody in every scene, seen through noise; in one picture no face was found."""
    rng = np.random.default_rng(seed)
    faces = dict(zip(PEOPLE, unit(rng.normal(size=(len(PEOPLE), DIM))), strict=True))
    pictures = [
        Picture(str(scene), who, who, (f"a person in scene {scene}",), None, NotImplemented)
        for scene in range(scenes)
        for who in PEOPLE
    ]
    texts = ENCODER.encode_texts([picture.captions[0] for picture in pictures])
    found = np.arange(1, len(pictures))
    shown = np.stack([faces[pictures[row].identity] for row in found])
    vectors = unit(shown + rng.normal(0, 0.3, shown.shape))
    seen = Seen(
        unit(texts + rng.normal(0, 0.4, texts.shape)),
        SCORER.faces(vectors, np.ones(len(found))),
        found,
        np.tile(np.array([0, 0, 1, 1], np.float32), (len(found), 1)),
        {who: PersonEntry(who, face[None], np.ones(1, np.float32)) for who, face in faces.items()},
    )
    return IdentitySet("small", "", "", tuple(pictures), lambda model: seen.people), seen


def branches(data: IdentitySet, seen: Seen) -> Branches:
    asked = Questions.of(data)
    who, what = identity(seen, asked.people, 1, SCORER), context(seen, asked.captions, ENCODER)
    nothing = np.zeros((len(asked.picture), len(data.pictures)))
    return Branches(
        asked,
        asked.caption,
        nothing,
        nothing,
        type(who)(*(m[asked.person] for m in (who.probability, who.score, who.cosine))),
        type(what)(
            *(m[asked.caption] for m in (what.cosine, what.score, what.evidence, what.centred))
        ),
        nothing,
        None,
    )


@pytest.mark.parametrize("seed", range(3))
def test_vidsearch_ranks_what_it_returns_as_the_way_that_the_table_says(seed: int) -> None:
    data, seen = small_set(seed)
    at, least = branches(data, seen), 1e-3
    how = Choices(likelihood_floor=0.0, power=1 / IDENTITY, lenient=LENIENT)
    score = ways.WAYS[ways.LIKELIHOOD](at, how)
    score[at.identity.probability < least] = fusion.OUT
    expected = fusion.ranks(score, at.own)
    found = product_ranks(seen, at.asked, ENCODER, SCORER, 1, rivals=False, threshold=least)
    assert found.tolist() == expected.tolist()
    assert found[0] == len(data.pictures)  # no face was found in it
    assert 0 < (found == 0).sum() < len(found)  # or the comparison would say little


def test_face_and_context_together_find_more_than_each_alone() -> None:
    at = branches(*small_set(0))

    def first(way: str) -> float:
        return float((fusion.ranks(ways.WAYS[way](at, Choices()), at.own) == 0).mean())

    assert first(ways.LIKELIHOOD) > max(first(ways.NO_NAME), first(ways.FACE))


def test_a_set_of_few_questions_does_not_decide_for_a_large_one() -> None:
    # By the mean of both sets' R@1 the weight would be 1.0, for three questions of 39.
    large, small = branches(*small_set(4, 12)), branches(*small_set(3, 1))
    best, fancied = (ways.chosen([at]).weight for at in (large, small))
    assert fancied != best
    assert ways.chosen([large, small]).weight == best


def test_ways_with_a_token_are_left_out_without_a_checkpoint() -> None:
    at = branches(*small_set(0))
    assert not set(ways.NEED_TOKEN) & set(ways.possible(at))
    assert len(ways.possible(at)) == len(ways.WAYS) - len(ways.NEED_TOKEN)
