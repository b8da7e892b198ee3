"""Clusters of faces: who is joined, who never is, and numbers that stay."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from idclip.identity import Faces, IdentityScorer
from vidsearch.clusters import FAINT, POOR, cluster
from vidsearch.face_graph import lowest_cosine, nearest
from vidsearch.records import Ints

SCORER = IdentityScorer.uncalibrated("test")
NONE = np.zeros((0, 2), np.int64)


def faces_of(
    people: list[int], *, seed: int = 0, spread: float = 0.25, quality: float = 0.9
) -> Faces:
    """A face for each entry, near the direction of that person."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((max(people) + 1, 64))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    noise = rng.standard_normal((len(people), 64)) * spread / 8
    vectors = (directions[people] + noise).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return SCORER.faces(vectors, np.full(len(people), quality, np.float32))


def new(n: int) -> Ints:
    return np.zeros(n, np.int64)


def joined(*parts: Faces) -> Faces:
    return Faces(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def partition(number: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(number == each).tolist()) for each in np.unique(number)}


def test_each_person_is_one_cluster_and_the_largest_has_the_lowest_number() -> None:
    people = [2] * 3 + [0] * 9 + [1] * 5 + [3]
    number = cluster(faces_of(people), SCORER, NONE, new(len(people)))
    assert number.tolist() == [3] * 3 + [1] * 9 + [2] * 5 + [4]


def test_no_faces_make_no_clusters() -> None:
    assert len(cluster(faces_of([0])._replace(**empty()), SCORER, NONE, new(0))) == 0


def empty() -> dict[str, NDArray[np.float32]]:
    none = np.zeros(0, np.float32)
    return {
        "vectors": np.zeros((0, 64), np.float32),
        "qualities": none,
        "cohort_mean": none,
        "cohort_std": none,
    }


def test_faces_seen_together_are_never_one_person_however_alike() -> None:
    people = [0] * 6
    apart = np.array([[0, 1], [2, 3]])
    number = cluster(faces_of(people), SCORER, apart, new(6))
    assert number[0] != number[1]
    assert number[2] != number[3]
    assert len(np.unique(number)) == 2


def test_two_clusters_are_not_joined_by_a_face_that_fits_both() -> None:
    before = np.array([1, 1, 1, 2, 2, 2, 0])
    number = cluster(faces_of([0] * 7), SCORER, np.array([[0, 3]]), before)
    assert number[:6].tolist() == [1, 1, 1, 2, 2, 2]
    assert number[6] in (1, 2)


def test_a_poor_face_joins_last_and_only_beyond_doubt() -> None:
    good = faces_of([0] * 5 + [1] * 5)
    poor = faces_of([0], seed=1, quality=POOR / 2)
    twice = faces_of([2] * 2, seed=2, quality=POOR / 2)
    faint = faces_of([3] * 2, seed=3, quality=FAINT * 0.9)
    number = cluster(joined(good, poor, twice, faint), SCORER, NONE, new(15))
    assert number[10] == number[0]
    assert number[11] == number[12], "the same poor face, as in a copy of its video"
    assert number[13] != number[14], "faint faces joined each other"


def test_two_poor_faces_of_one_frame_do_not_join_one_cluster() -> None:
    good, poor = faces_of([0] * 5), faces_of([0, 0], seed=1, quality=POOR / 2)
    number = cluster(joined(good, poor), SCORER, np.array([[5, 6]]), new(7))
    assert sorted(number[5:].tolist()) == [1, 2]


def test_new_faces_join_old_clusters_and_the_numbers_stay() -> None:
    old = np.array([7, 7, 7, 3, 3])
    faces = joined(faces_of([0] * 3 + [1] * 2), faces_of([0, 1, 2, 2], seed=1))
    number = cluster(faces, SCORER, NONE, np.concatenate([old, new(4)]), highest=20)
    assert number.tolist() == [7, 7, 7, 3, 3, 7, 3, 21, 21]


def test_old_clusters_that_new_faces_bring_together_keep_the_lower_number() -> None:
    faces = faces_of([0] * 8)
    number = cluster(faces, SCORER, NONE, np.array([5, 5, 2, 2, 0, 0, 0, 0]))
    assert number.tolist() == [2] * 8


def test_many_looks_of_one_person_are_found_beyond_the_edges_of_a_face() -> None:
    people = [0] * 300 + [1] * 40
    number = cluster(faces_of(people, spread=0.35), SCORER, NONE, new(340))
    assert len(np.unique(number)) == 2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_order_of_faces_does_not_matter_to_who_is_together(seed: int) -> None:
    people = [n % 7 for n in range(70)]
    faces = faces_of(people)
    order = np.random.default_rng(seed).permutation(70)
    shuffled = Faces(*(part[order] for part in faces))
    number = np.empty(70, np.int64)
    number[order] = cluster(shuffled, SCORER, NONE, new(70))
    assert partition(number) == partition(cluster(faces, SCORER, NONE, new(70)))


def test_the_graph_has_the_pairs_of_a_plain_comparison() -> None:
    faces = faces_of([n % 20 for n in range(100)], spread=0.6)
    same = SCORER.pairs(faces, faces)
    plain = {(i, j) for i in range(100) for j in range(i + 1, 100) if same[i, j] >= 0.5}
    floor = lowest_cosine(SCORER, faces, faces, 0.1)
    edges = nearest(SCORER, faces, faces, 1.0, within=True, floor=floor)
    assert set(zip(edges.one.tolist(), edges.other.tolist(), strict=True)) == plain
