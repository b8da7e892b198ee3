"""Retrieval metrics against values by hand and against a slow reading of their definitions."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from idclip import metrics
from idclip.metrics import InvalidVectors, entity_scores, intervals, ranks, recall


def unit(*angles: float) -> NDArray[np.float32]:
    """Vectors in the plane at these degrees."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


# --- by hand -------------------------------------------------------------------------------------


def test_ranks_by_hand() -> None:
    # images at 0, 30 and 90 degrees; texts at 2 (image 0), 18 (image 0), 80 (image 1)
    found = ranks(unit(0, 30, 90), unit(2, 18, 80), np.array([0, 0, 1]))
    assert found.text.tolist() == [0, 1, 1]  # 18 is nearer to 30; 80 nearer to 90
    # image 0's best own text is nearest; image 1's only text (80) comes after 18 and 2
    assert found.image.tolist() == [0, 2]
    assert found.asked.tolist() == [0, 1]  # image 2 has no text: it distracts, and is no query
    assert recall(found.text, 1).mean() == pytest.approx(1 / 3)
    assert recall(found.text, 2).mean() == 1


def test_entities_by_hand() -> None:
    image = unit(0, 10, 20, 30, 40)
    who = np.array(["ann", "bob", "ann", "bob", "ann"])
    found = entity_scores(image, who, unit(0, 12), np.array(["ann", "bob"]))
    # ann's ranking: hit miss hit miss hit; bob's: hit(10) miss(20) miss(0) hit(30) miss(40)
    ap = [(1 + 2 / 3 + 3 / 5) / 3, (1 + 2 / 4) / 2]
    assert found.ap == pytest.approx(ap)
    assert found.paper_map10 == pytest.approx([3 * ap[0] / 10, 2 * ap[1] / 10])
    assert found.kmin_recall[1].tolist() == [1, 1]
    assert found.kmin_recall[5].tolist() == [1, 1]
    image = unit(0, 10, 20, 30, 40, 50, 60)
    found = entity_scores(image, np.array([1, 1, 0, 0, 0, 0, 1]), unit(0), np.array([1]))
    assert found.kmin_recall[5][0] == pytest.approx(2 / 3)  # three images, two in the top five
    assert found.kmin_recall[10][0] == 1


def test_the_papers_map_never_exceeds_a_tenth_of_an_entitys_images() -> None:
    image = np.eye(12, dtype=np.float32)[[0] * 2 + list(range(1, 11))]
    who = np.array([0, 0, *range(1, 11)])
    found = entity_scores(image, who, image[:1], np.array([0]))
    assert found.ap[0] == 1
    assert found.paper_map10[0] == pytest.approx(0.2)


# --- ties ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [3, 64, 513])
def test_one_score_for_everything_finds_nothing(dimensions: int) -> None:
    """However the sums of a matrix product are rounded at its edges."""
    vector = np.random.default_rng(1).normal(size=dimensions).astype(np.float32)
    image, text = np.tile(vector, (1037, 1)), np.tile(3 * vector, (1100, 1))
    owner = np.arange(1100) % 1037
    found = ranks(image, text, owner)
    assert (found.text == 1036).all()
    own = np.bincount(owner)
    assert (found.image == 1100 - own).all()
    scores = entity_scores(image, np.arange(1037) // 100, text[:3], np.arange(3))
    assert all(scores.kmin_recall[k].tolist() == [0, 0, 0] for k in metrics.KS)
    assert scores.paper_map10.tolist() == [0, 0, 0]


def test_a_tie_with_one_wrong_answer_costs_one_place() -> None:
    found = ranks(unit(0, 0, 90), unit(5, 5, 88), np.array([0, 1, 2]))
    assert found.text.tolist() == [1, 1, 0]
    assert found.image.tolist() == [1, 1, 0]


def test_length_does_not_count() -> None:
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(20, 8)), rng.normal(size=(50, 8))
    owner = rng.integers(20, size=50)
    plain = ranks(image, text, owner)
    scaled = ranks(image * rng.uniform(0.1, 9, (20, 1)), text * rng.uniform(0.1, 9, (50, 1)), owner)
    assert (plain.text == scaled.text).all()
    assert (plain.image == scaled.image).all()


# --- against the definitions ---------------------------------------------------------------------


def slow_ranks(
    image: NDArray[Any], text: NDArray[Any], owner: NDArray[Any]
) -> tuple[list[int], dict[int, int]]:
    cosine = np.array(
        [[t @ i / np.sqrt(t @ t) / np.sqrt(i @ i) for i in image] for t in text], np.float64
    )
    by_text = []
    for t in range(len(text)):
        order = sorted(range(len(image)), key=lambda i, t=t: (-cosine[t, i], i == owner[t]))
        by_text.append(order.index(owner[t]))
    by_image = {}
    for i in sorted(set(owner.tolist())):
        order = sorted(range(len(text)), key=lambda t, i=i: (-cosine[t, i], owner[t] == i))
        by_image[i] = next(place for place, t in enumerate(order) if owner[t] == i)
    return by_text, by_image


def slow_entity(order_hits: list[bool]) -> tuple[float, float, dict[int, float]]:
    total = sum(order_hits)
    precisions = [
        sum(order_hits[: place + 1]) / (place + 1) for place, hit in enumerate(order_hits) if hit
    ]
    in_ten = precisions[: sum(order_hits[:10])]
    kmin = {k: sum(order_hits[:k]) / min(k, total) for k in (1, 5, 10, 50)}
    return sum(precisions) / total, sum(in_ten) / 10, kmin


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 40), st.integers(2, 9))
def test_ranks_are_those_of_a_sorted_list(seed: int, images: int, texts: int, dims: int) -> None:
    rng = np.random.default_rng(seed)
    image, text = rng.normal(size=(images, dims)), rng.normal(size=(texts, dims))
    owner = rng.integers(images, size=texts)
    found = ranks(image, text, owner)
    by_text, by_image = slow_ranks(image, text, owner)
    assert found.text.tolist() == by_text
    assert dict(zip(found.asked.tolist(), found.image.tolist(), strict=True)) == by_image


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 90), st.integers(2, 9))
def test_entities_are_those_of_a_sorted_list(seed: int, images: int, dims: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(images, dims))
    who = rng.integers(5, size=images)
    entity = np.unique(who)
    query = rng.normal(size=(len(entity), dims))
    found = entity_scores(image, who, query, entity)
    unit_image = image / np.linalg.norm(image, axis=1, keepdims=True)
    for row, one in enumerate(entity):
        order = np.argsort(-(unit_image @ query[row]))
        ap, paper, kmin = slow_entity((who[order] == one).tolist())
        assert found.ap[row] == pytest.approx(ap)
        assert found.paper_map10[row] == pytest.approx(paper)
        for k, value in kmin.items():
            assert found.kmin_recall[k][row] == pytest.approx(value)


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    image, text = rng.normal(size=(53, 6)), rng.normal(size=(131, 6))
    owner, who = rng.integers(53, size=131), np.arange(53) % 7
    whole = ranks(image, text, owner), entity_scores(image, who, text[:7], np.arange(7))
    monkeypatch.setattr(metrics, "_TILE", 10)
    monkeypatch.setattr(metrics, "_CELLS", 106)
    tiled = ranks(image, text, owner), entity_scores(image, who, text[:7], np.arange(7))
    assert (whole[0].text == tiled[0].text).all()
    assert (whole[0].image == tiled[0].image).all()
    assert whole[1].ap == pytest.approx(tiled[1].ap)


def test_memory_does_not_grow_with_the_square() -> None:
    """All scores of 12,000 by 12,000 take 576 MB in float32."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(12_000, 32)).astype(np.float32)
    tracemalloc.start()
    try:
        found = ranks(image, image + 0.1, np.arange(12_000))
        entity_scores(image, np.arange(12_000) // 6, image[:2000], np.arange(2000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200e6
    assert recall(found.text, 1).mean() > 0.9


# --- intervals -----------------------------------------------------------------------------------


def interval(values: Any, group: Any = None, *, seed: int = 0) -> tuple[float, float]:
    low, high = intervals(np.asarray(values)[:, None], group, seed=seed)[0]
    return low, high


def test_an_interval_has_the_width_that_statistics_expect() -> None:
    hits = (np.arange(400) % 4 == 0).astype(float)
    low, high = interval(hits)
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert low == pytest.approx(0.25 - half, abs=0.01)
    assert high == pytest.approx(0.25 + half, abs=0.01)


def test_queries_on_one_image_are_drawn_together() -> None:
    """Five copies of each hit say nothing new: the interval stays that of the images."""
    hits = (np.arange(100) % 2).astype(float)
    alone = interval(hits)
    together = interval(np.repeat(hits, 5), np.repeat(np.arange(100), 5))
    assert together == pytest.approx(alone)
    low, high = interval(np.repeat(hits, 5))
    assert high - low < 0.6 * (alone[1] - alone[0])


def test_intervals_repeat_and_are_closed_for_sure_things() -> None:
    values = np.random.default_rng(0).random(50)
    assert interval(values, seed=4) == interval(values, seed=4)
    assert interval(values, seed=4) != interval(values, seed=5)
    assert interval(np.ones(9)) == (1, 1)
    assert interval(np.ones(9), np.array([0, 0, 0, 0, 0, 1, 1, 2, 3])) == pytest.approx((1, 1))
    both = intervals(np.stack([values, np.ones(50)], axis=1), seed=4)
    assert both.tolist() == [pytest.approx(interval(values, seed=4)), [1, 1]]


# --- bad input -----------------------------------------------------------------------------------

GOOD = np.eye(3)


@pytest.mark.parametrize(
    ("image", "text", "owner", "message"),
    [
        (np.array([[1, np.nan], [1, 1]]), np.ones((1, 2)), [0], "row 0 of image is not finite"),
        (GOOD, np.vstack([GOOD, [0, 0, 0]]), [0, 1, 2, 0], "row 3 of text is zero"),
        (GOOD, np.full((1, 3), np.inf), [0], "row 0 of text is not finite"),
        (GOOD, np.ones((1, 4)), [0], "3 dimensions, text vectors 4"),
        (GOOD[0], GOOD, [0, 1, 2], r"image has the shape \(3,\)"),
        (GOOD[:0], GOOD, [0, 1, 2], r"image has the shape \(0, 3\)"),
        (GOOD.astype(int), GOOD, [0, 1, 2], "image holds int64"),
        (GOOD, GOOD, [0, 1], "text has 3 rows"),
        (GOOD, GOOD, [0, 1, 3], r"text_image\[2\] is 3; image has the rows 0 to 2"),
        (GOOD, GOOD, [0, -1, 2], r"text_image\[1\] is -1"),
        (GOOD, GOOD, [0.0, 1.0, 2.0], "rows of image, as integers"),
    ],
)
def test_what_does_not_fit_is_named(image: Any, text: Any, owner: list[Any], message: str) -> None:
    with pytest.raises(InvalidVectors, match=message):
        ranks(image, text, np.array(owner))


def test_entities_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidVectors, match=r"entity\[1\] is cleo, who is in no image"):
        entity_scores(GOOD, np.array(["a", "b", "b"]), GOOD[:2], np.array(["a", "cleo"]))
    with pytest.raises(InvalidVectors, match="image_entity has the shape"):
        entity_scores(GOOD, np.arange(2), GOOD, np.arange(3))
    with pytest.raises(InvalidVectors, match="both"):
        entity_scores(GOOD, np.arange(3), GOOD[:1], np.array(["0"]))
    with pytest.raises(InvalidVectors, match="entity holds float64"):
        entity_scores(GOOD, np.arange(3), GOOD[:1], np.array([0.0]))
    with pytest.raises(InvalidVectors, match="got"):
        intervals(np.ones((3, 1)), np.ones(2))
