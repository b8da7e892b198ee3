"""Who is in a face track where several people are enrolled: the others are strangers, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.identity_features import Seen
from benchmarks.identity_product import rows_of
from benchmarks.naming import against_others, named, nearest
from idclip.identity import IdentityScorer
from vidsearch import identities
from vidsearch.gallery import faces_of
from vidsearch.records import Person, Photo

Vectors = NDArray[np.float32]

SCORER = IdentityScorer.for_model("default")
DIM = SCORER.cohort.shape[1]


def unit(vectors: NDArray[np.floating]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


FACE = unit(np.random.default_rng(5).normal(size=DIM))


def near(cosine: float, count: int, seed: int) -> Vectors:
    """Vectors [count, F] at this cosine to the face, each in a direction of its own."""
    away = np.random.default_rng(seed).normal(size=(count, DIM))
    away = unit(away - (away @ FACE)[:, None] * FACE)
    return unit(cosine * FACE + np.sqrt(1 - cosine**2) * away)


def person(name: str, photo: Vectors) -> Person:
    faces = SCORER.faces(photo[None], np.array([0.8], np.float32))
    about = float(faces.cohort_mean[0]), float(faces.cohort_std[0])
    return Person(name, name, (), (Photo(name, name, b"", (0, 0, 1, 1), photo, 0.8, *about),), 0.0)


def probability(who: Person, enrolled: Sequence[Person]) -> tuple[float, float]:
    """P(the face is theirs) before and after everybody enrolled competed for it."""
    looks = SCORER.faces(FACE[None], np.array([0.8], np.float32))
    picture, box = np.zeros((1, 8), np.float32), np.array([[0, 0, 1, 1]], np.float32)
    rows = rows_of(Seen(picture, looks, np.zeros(1, np.intp), box, {}))
    found = identities.seen(rows, SCORER, who, enrolled, np.ones(1, np.bool_), 0.02)
    return float(found.alone[0]), float(found.probability[0])


ANNA = person("anna", near(0.3, 1, seed=1)[0])
ALIKE = [person(f"alike {n}", face) for n, face in enumerate(near(0.2, 12, seed=2))]
OTHERS = [person(f"other {n}", face) for n, face in enumerate(near(0.0, 12, seed=3))]


def test_a_face_that_resembles_many_who_are_enrolled_is_less_surely_one_of_them() -> None:
    alone, among_others = probability(ANNA, [ANNA, *OTHERS])
    same, among_alike = probability(ANNA, [ANNA, *ALIKE])

    assert alone == same > 0.95
    assert among_others == pytest.approx(alone, rel=1e-3)
    assert 0 < among_alike < 0.88  # 0.95 by their share in the odds alone


def test_they_that_it_resembles_less_do_not_get_its_name() -> None:
    for who in ALIKE:
        assert probability(who, [ANNA, *ALIKE])[1] < 0.02


def test_nobody_stands_beside_the_only_one_enrolled() -> None:
    alone, after = probability(ANNA, [ANNA])

    assert alone == after > 0.5


def test_the_benchmarks_name_as_the_product_does() -> None:
    everybody = [ANNA, *ALIKE, *OTHERS]
    looks = SCORER.faces(FACE[None], np.array([0.8], np.float32))

    table = named(SCORER, looks, [faces_of(who) for who in everybody])

    told = [probability(who, everybody)[1] for who in everybody]
    assert 0.02 < told[0] < 0.95
    assert table[0, told.index(max(told))] == pytest.approx(max(told), rel=1e-4)
    assert (table[0, 1:] < 0.02).all()


def test_the_benchmarks_take_from_a_track_what_the_product_takes() -> None:
    photos, others = faces_of(ANNA), np.stack([who.photos[0].vector for who in (ANNA, *ALIKE)])
    qualities = np.array([0.9, 0.4, 0.7, 0.6, 0.5], np.float32)
    looks = SCORER.faces(np.concatenate([FACE[None], near(0.6, 4, seed=4)]), qualities)
    starts = np.array([0, 2])

    lost = against_others(SCORER, looks, starts, nearest(SCORER, looks.vectors), others)

    plain = SCORER.log_odds(SCORER.evidence(looks, starts, photos)[1])
    beside = SCORER.evidence(SCORER.beside(looks, others[1:]), starts, photos)[1]
    assert (lost[:, 0] > 0.1).all()
    assert lost[:, 0] == pytest.approx(plain - SCORER.log_odds(beside), rel=1e-3)
