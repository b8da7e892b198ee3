"""P(same person): normalised against strangers, pooled over good looks, cautious by default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from idclip.errors import ModelUnavailable
from idclip.identity import (
    CALIBRATED,
    EVIDENCE,
    Faces,
    IdentityScorer,
    calibration_folder,
    fitted_folder,
)


@pytest.fixture(scope="module")
def scorer() -> IdentityScorer:
    return IdentityScorer.for_model("default")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class World:
    """People as directions and their photos around them, as far apart as the cohort's own."""

    def __init__(self, scorer: IdentityScorer, seed: int = 3) -> None:
        self._scorer = scorer
        self._rng = np.random.default_rng(seed)
        self._people = unit(self._rng.normal(size=(30, scorer.cohort.shape[1])))

    def faces(self, person: int, count: int, *, blur: float = 0.5, quality: float = 0.8) -> Faces:
        noise = self._rng.normal(size=(count, self._people.shape[1]))
        vectors = unit(self._people[person] + blur * unit(noise))
        return self._scorer.faces(vectors, np.full(count, quality, np.float32))


@pytest.fixture
def world(scorer: IdentityScorer) -> World:
    return World(scorer)


def joined(*parts: Faces) -> Faces:
    return Faces(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def test_the_same_person_is_likely_and_another_is_not(scorer: IdentityScorer, world: World) -> None:
    looks = joined(world.faces(0, 2), world.faces(1, 2))

    found = scorer.probabilities(looks, np.array([0, 0, 1, 1]), 2, world.faces(0, 3))

    assert found.probability[0] > 0.9
    assert found.probability[1] < 0.05


def test_each_of_many_people_is_named_and_nobody_by_another_name(
    scorer: IdentityScorer, world: World
) -> None:
    looks = joined(*(world.faces(person, 1) for person in range(30)))
    tracks = np.arange(30)

    table = np.stack(
        [
            scorer.probabilities(looks, tracks, 30, world.faces(person, 3)).probability
            for person in range(30)
        ]
    )

    assert (np.diag(table) > 0.5).all()
    assert (table - np.diag(np.diag(table))).max() < 0.5


def test_others_who_are_enrolled_count_among_the_strangers(
    scorer: IdentityScorer, world: World
) -> None:
    looks = world.faces(0, 4)
    others = joined(*(world.faces(0, 1, blur=1.0) for _ in range(12))).vectors
    cohort = np.concatenate([scorer.cohort, others])

    beside = scorer.beside(looks, others)

    larger = replace(scorer, cohort=cohort).cohort_stats(looks.vectors)[0]
    assert beside.cohort_mean == pytest.approx(larger, abs=1e-6)
    assert (beside.cohort_mean > looks.cohort_mean + 0.1).all()
    assert (beside.cohort_std == looks.cohort_std).all()
    photos = world.faces(0, 3)
    assert (scorer.normalised(beside, photos) < scorer.normalised(looks, photos)).all()


def test_others_who_look_different_change_nothing(scorer: IdentityScorer, world: World) -> None:
    looks = world.faces(0, 5000)  # more than are compared at once
    far = -looks.vectors[:1]

    assert scorer.beside(looks, far).cohort_mean == pytest.approx(looks.cohort_mean, abs=1e-6)
    assert scorer.beside(looks, far[:0]) is looks


def test_a_model_without_a_cohort_has_nobody_beside() -> None:
    cautious = IdentityScorer.uncalibrated("opencv:x")
    faces = cautious.faces(unit(np.ones((2, 8))), np.ones(2, np.float32))

    assert cautious.beside(faces, faces.vectors) is faces


def test_a_poor_face_needs_a_better_score(scorer: IdentityScorer) -> None:
    score = np.array([3.6])

    good = scorer.probability(score, np.array([0.9]), 0.8)
    poor = scorer.probability(score, np.array([0.05]), 0.8)

    assert good > 0.5 > poor


def test_probability_rises_with_the_score_at_any_quality(scorer: IdentityScorer) -> None:
    for quality in (0.0, 0.3, 1.0):
        rising = scorer.probability(np.linspace(-5, 15, 50), np.full(50, quality), 0.8)
        assert (np.diff(rising) >= 0).all()


def test_good_looks_of_a_track_outweigh_poor_ones(scorer: IdentityScorer, world: World) -> None:
    person, other = world.faces(0, 1, quality=0.9), world.faces(1, 3, quality=0.1)
    track = np.zeros(4, np.intp)

    found = scorer.probabilities(joined(other, person), track, 1, world.faces(0, 3))

    assert found.probability[0] > 0.5
    assert found.look[0] == 3


def test_the_photo_that_a_look_resembles_most_is_named(
    scorer: IdentityScorer, world: World
) -> None:
    photos = world.faces(0, 4, blur=0.9)
    look = Faces(*(part[2:3] for part in photos))

    assert scorer.probabilities(look, np.zeros(1, np.intp), 1, photos).photo[0] == 2


def test_tracks_without_looks_and_people_without_photos_have_no_probability(
    scorer: IdentityScorer, world: World
) -> None:
    looks, nobody = world.faces(0, 1), world.faces(0, 0)

    found = scorer.probabilities(looks, np.array([1]), 3, world.faces(0, 1))
    without = scorer.probabilities(looks, np.array([1]), 3, nobody)
    empty = scorer.probabilities(nobody, np.zeros(0, np.intp), 2, world.faces(0, 1))

    assert found.probability[[0, 2]].tolist() == [0, 0]
    assert found.look.tolist() == [-1, 0, -1]
    assert without.probability.tolist() == [0, 0, 0]
    assert empty.probability.tolist() == [0, 0]


def test_a_face_near_to_every_stranger_is_not_taken_for_the_enrolled(
    scorer: IdentityScorer, world: World
) -> None:
    # Blurred faces of anybody lie near to everybody: the same cosine means less there.
    photos, look = world.faces(0, 1, blur=1.3), world.faces(0, 1, blur=1.3)
    cosine = float(look.vectors[0] @ photos.vectors[0])
    hub = look._replace(cohort_mean=np.full(1, cosine + 0.05, np.float32))
    track = np.zeros(1, np.intp)

    among_strangers = scorer.probabilities(hub, track, 1, photos).probability[0]

    assert among_strangers < scorer.probabilities(look, track, 1, photos).probability[0]
    assert among_strangers < 0.5


def test_cohort_statistics_are_those_of_the_nearest_strangers(scorer: IdentityScorer) -> None:
    face = scorer.cohort[:1]
    scores = np.sort((face @ scorer.cohort.T)[0])[-scorer.top :]

    mean, std = scorer.cohort_stats(face)

    assert 0 < scorer.nearest < scorer.top
    assert mean[0] == pytest.approx(scores[-scorer.nearest :].mean(), abs=1e-5)
    assert std[0] == pytest.approx(scores.std(), abs=1e-5)


def test_a_model_without_calibration_gets_a_cautious_scorer() -> None:
    scorer = IdentityScorer.for_model("insightface:buffalo_l")
    axes = np.eye(512, dtype=np.float32)
    half = unit(axes[0] + axes[1])
    faces = scorer.faces(np.stack([axes[0], axes[0], half, axes[2]]), np.ones(4, np.float32))

    same, near, other = scorer.pairs(
        Faces(*(p[:1] for p in faces)), Faces(*(p[1:] for p in faces))
    )[0]

    assert same > 0.99
    assert near > 0.5
    assert other < 0.01


def test_a_folder_without_calibration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=str(tmp_path)):
        IdentityScorer.load(tmp_path)


def test_the_more_people_are_enrolled_the_more_evidence_a_name_needs(
    scorer: IdentityScorer, world: World
) -> None:
    look, photos = world.faces(0, 1, blur=1.4), world.faces(0, 1, blur=1.4)
    track = np.zeros(1, np.intp)

    among = [
        float(scorer.probabilities(look, track, 1, photos, enrolled=n).probability[0])
        for n in (1, 100, 1000, 10_000)
    ]

    assert among == sorted(among, reverse=True)
    assert among[0] > 1.2 * among[-1] > 0


def test_a_track_of_nothing_but_poor_looks_names_nobody(
    scorer: IdentityScorer, world: World
) -> None:
    photos, track = world.faces(0, 1), np.zeros(1, np.intp)

    poor, fair = (
        scorer.probabilities(world.faces(0, 1, quality=quality), track, 1, photos).probability[0]
        for quality in (0.14, 0.31)
    )

    assert 0 < poor < 0.011
    assert fair > 0.5


def test_several_looks_say_more_than_one(scorer: IdentityScorer, world: World) -> None:
    photos = world.faces(0, 1, blur=1.4)
    look = world.faces(0, 1, blur=1.4)
    thrice = Faces(*(np.repeat(part, 3, axis=0) for part in look))

    once = scorer.probabilities(look, np.zeros(1, np.intp), 1, photos).probability[0]
    more = scorer.probabilities(thrice, np.zeros(3, np.intp), 1, photos).probability[0]

    assert more > once


def test_evidence_is_of_the_best_photo_as_well_as_of_all(
    scorer: IdentityScorer, world: World
) -> None:
    look, photos = world.faces(0, 1), world.faces(0, 3, blur=1.2)

    _, features = scorer.evidence(look, np.zeros(1, np.intp), photos)

    row = dict(zip(EVIDENCE, features[0], strict=True))
    each = scorer.normalised(look, photos)[0]
    assert row["best"] == pytest.approx(each.max(), abs=1e-5)
    assert row["score"] == pytest.approx(
        scorer.normalised(look, scorer.template(photos))[0, 0], abs=1e-5
    )
    assert (row["photos"], row["looks"]) == (pytest.approx(np.log(3)), 0)


def test_nearness_counts_most_along_the_axes_in_which_strangers_differ() -> None:
    spread = np.array([[4, 1, 0.2], [-4, 1, 0.2], [4, -1, 0.2], [-4, -1, -0.2]])
    cohort = unit(spread)
    scorer = IdentityScorer(cohort, 3, 1, {})
    faces = scorer.faces(np.eye(3, dtype=np.float32), np.ones(3, np.float32))

    mostly, hardly = scorer.nearness(faces, unit(np.array([1, 1, 0])))[:2]

    covariance = np.cov(cohort.T, bias=True)
    length = np.sqrt(np.einsum("ij,jk,ik->i", cohort, covariance, cohort)).mean()
    person = unit(np.array([1, 1, 0]))
    expected = covariance @ person / (np.sqrt(person @ covariance @ person) * length)
    assert (mostly, hardly) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert mostly > 2 * hardly > 0
    own = [scorer.nearness(scorer.faces(c[None], np.ones(1)), c)[0] for c in cohort]
    assert np.mean(own) == pytest.approx(1)


def test_nearness_is_of_tracks_as_of_looks(scorer: IdentityScorer, world: World) -> None:
    looks, photos = world.faces(0, 3), world.faces(0, 2)

    _, features = scorer.evidence(looks, np.zeros(1, np.intp), photos)

    near = scorer.nearness(looks, scorer.template(photos).vectors[0])  # all of one quality
    assert features[0, EVIDENCE.index("axes")] == pytest.approx(near.mean(), rel=1e-4)
    assert near.min() > scorer.nearness(world.faces(1, 1), photos.vectors[0])[0]


def test_a_calibration_from_before_the_axes_still_holds(
    scorer: IdentityScorer, world: World
) -> None:
    assert scorer.track_weights is not None
    before = {name: weight for name, weight in scorer.track_weights.items() if name != "axes"}
    older = replace(scorer, track_weights=before)
    _, features = scorer.evidence(world.faces(0, 1), np.zeros(1, np.intp), world.faces(0, 1))

    less = scorer.log_odds(features) - older.log_odds(features)

    assert less == pytest.approx(scorer.track_weights["axes"] * features[:, -1], rel=1e-4)


def test_what_was_fitted_for_a_model_is_found_by_its_name(
    scorer: IdentityScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path))
    name = "opencv:/models/yunet and sface"
    assert calibration_folder(name) is None
    folder = fitted_folder(name)
    folder.mkdir(parents=True)
    for file in ("cohort.npy", "calibration.json"):
        (folder / file).write_bytes((CALIBRATED["default"] / file).read_bytes())

    found = IdentityScorer.for_model(name)

    assert found.track_weights == scorer.track_weights
    assert fitted_folder(name) != fitted_folder("opencv:/models/other")
    assert folder.parent.parent == tmp_path
