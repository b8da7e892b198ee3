"""The mean face of each person: every question needs those of everybody who is enrolled."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from store_records import unit

from idclip.identity import Faces, IdentityScorer
from vidsearch.gallery import mean_faces
from vidsearch.records import Person, Photo

SCORER = IdentityScorer.for_model("default")
QUALITIES = (0.2, 0.9)


def person(number: int) -> Person:
    """Somebody with a poor photo and a good one."""
    vectors = unit(np.random.default_rng(number), 2, SCORER.cohort.shape[1])
    photos = tuple(
        Photo(f"{number} {quality}", "", b"", (0, 0, 1, 1), vector, quality, 0.0, 1.0)
        for vector, quality in zip(vectors, QUALITIES, strict=True)
    )
    return Person(f"id-{number}", f"Person {number}", (), photos, 0.0)


def test_good_photos_weigh_most_and_everybody_has_a_row() -> None:
    people = [person(n) for n in (3, 1, 3)]
    faces = mean_faces(people, SCORER)
    for row, each in enumerate(people):
        poor, good = (photo.vector for photo in each.photos)
        assert faces.vectors[row] @ good > faces.vectors[row] @ poor
        mean, deviation = SCORER.cohort_stats(faces.vectors[row : row + 1])
        assert_allclose(faces.cohort_mean[row], mean[0], rtol=1e-5)
        assert_allclose(faces.cohort_std[row], deviation[0], rtol=1e-5)
    assert_allclose(np.linalg.norm(faces.vectors, axis=1), 1.0, rtol=1e-5)
    assert [column.dtype for column in faces] == [np.float32] * 4
    assert [len(column) for column in faces] == [3] * 4


def test_who_was_asked_for_before_is_not_reckoned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reckoned: list[int] = []
    faces = IdentityScorer.faces

    def counted(self: IdentityScorer, vectors: np.ndarray, qualities: np.ndarray) -> Faces:
        reckoned.append(len(vectors))
        return faces(self, vectors, qualities)

    monkeypatch.setattr(IdentityScorer, "faces", counted)
    anna, others = person(1), [person(n) for n in range(2, 9)]
    first = mean_faces([anna, *others[:4]], SCORER)
    again = mean_faces([*others, anna], SCORER)
    assert reckoned == [5, 3]
    for before, after in zip(first, again, strict=True):
        assert_array_equal(before[0], after[-1])
        assert_array_equal(before[1:], after[:4])
    mean_faces([anna], IdentityScorer.for_model("default"))
    assert reckoned == [5, 3, 1]  # another scorer may see it otherwise


def test_nothing_is_kept_of_people_who_are_gone() -> None:
    people = [person(n) for n in range(3)]
    gone = [weakref.ref(each) for each in people]
    mean_faces(people, SCORER)
    people.clear()
    gc.collect()
    assert [each() for each in gone] == [None] * 3
