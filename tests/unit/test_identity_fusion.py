"""Ways of putting a face and a context into one ranking: their arithmetic and their traps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import fusion

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
