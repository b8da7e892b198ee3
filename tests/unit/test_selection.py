"""Which of the shots that answer are shown: pages, one of each video, no near-doubles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_records import unit

from vidsearch.errors import InvalidQuery
from vidsearch.records import Vector
from vidsearch.selection import Page, Paging, beyond, page, paging

N, DIM = 60, 24
VECTORS = unit(np.random.default_rng(0), N, DIM)
VIDEO = np.arange(N) % 7


def shown(wishes: Paging, vectors: Vector = VECTORS, n: int = N) -> Page:
    """A page of the first `n` shots, the first being the best."""
    return page(VIDEO[:n], np.arange(n), vectors, vectors.mean(axis=0), wishes)


def test_a_page_follows_the_one_before_until_nothing_is_left() -> None:
    pages = [shown(Paging(8, offset)) for offset in range(0, 64, 8)]
    assert np.concatenate([p.places for p in pages]).tolist() == list(range(N))
    assert [p.further for p in pages] == [True] * 7 + [False]
    assert all(p.shots == N for p in pages)
    empty = shown(Paging(8, 64))
    assert len(empty.places) == 0
    assert beyond(empty, Paging(8, 64)) == "Nothing comes after the first 64: 60 shots answer"
    assert beyond(pages[0], Paging(8)) == ""


def test_of_each_video_the_best_shot_is_shown_with_how_many_more_there_are() -> None:
    first = shown(Paging(5, by_video=True))
    assert first.places.tolist() == [0, 1, 2, 3, 4]
    assert first.others.tolist() == [8, 8, 8, 8, 7]
    assert (first.shots, first.videos, first.further) == (N, 7, True)
    second = shown(Paging(5, 5, by_video=True))
    assert second.places.tolist() == [5, 6]
    assert not second.further


def doubled() -> Vector:
    """Shots 3, 4 and 40 show nearly the picture of shot 0."""
    vectors = VECTORS.copy()
    noise = unit(np.random.default_rng(1), 3, DIM)
    vectors[[3, 4, 40]] = vectors[0] + 0.15 * noise
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_shots_that_look_like_a_better_one_are_left_out_and_counted() -> None:
    first = shown(Paging(4, diverse=True), doubled())
    assert first.places.tolist() == [0, 1, 2, 5]
    assert first.doubles.tolist() == [2, 0, 0, 0]
    rest = shown(Paging(100, diverse=True), doubled())
    assert rest.doubles.tolist()[0] == 3
    assert len(rest.places) == N - 3
    assert 40 not in rest.places
    assert shown(Paging(4), doubled()).places.tolist() == [0, 1, 2, 3]


def test_where_one_of_each_video_is_shown_none_looks_like_another() -> None:
    first = shown(Paging(10, diverse=True, by_video=True), doubled())
    assert first.places.tolist() == [0, 1, 2, 5, 6, 10, 11]  # 3 and 4 give way to 10 and 11
    assert VIDEO[first.places].tolist() == [0, 1, 2, 5, 6, 3, 4]


def test_nothing_and_one_are_pages_too() -> None:
    none = shown(Paging(diverse=True), n=0)
    assert (len(none.places), none.shots, none.videos, none.further) == (0, 0, 0, False)
    assert beyond(none, Paging()) == ""
    same = np.repeat(VECTORS[:1], N, axis=0)  # the mean itself: no direction to compare
    assert len(shown(Paging(N, diverse=True), same).places) == N


@given(
    st.lists(st.integers(0, 5), max_size=40),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
)
def test_pages_never_repeat_or_lose_a_shot(
    videos: list[int], k: int, diverse: bool, by_video: bool
) -> None:
    video = np.array(videos, np.int64)
    keyframe = np.arange(len(video)) * 7 % 20  # of 20 pictures: the rest are exact doubles
    typical = VECTORS.mean(axis=0)
    whole = page(video, keyframe, VECTORS, typical, Paging(100, 0, diverse, by_video))
    paged: list[int] = []
    while True:
        wishes = Paging(k, len(paged), diverse, by_video)
        part = page(video, keyframe, VECTORS, typical, wishes)
        paged += part.places.tolist()
        if not part.further:
            break
    assert paged == whole.places.tolist()
    if not (diverse or by_video):
        assert paged == list(range(len(video)))
    if diverse and not by_video:
        assert len(set(keyframe[paged])) == len(paged) == len(set(keyframe))
        assert int(whole.doubles.sum()) == len(video) - len(paged)


def test_wishes_that_cannot_be_met_are_refused() -> None:
    assert paging(5, 10, "video", True) == Paging(5, 10, True, True)
    for k, offset, group_by in ((0, 0, None), (1, -1, None), (1, 0, "person")):
        with pytest.raises(InvalidQuery):
            paging(k, offset, group_by, False)
