"""Fitting evidence on known people: calibrated on people left out, and its origin is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from idclip import calibrate, calibrate_fit, calibrate_plot, faces
from idclip.calibrate import Sample
from idclip.cli import main
from idclip.faces import Face
from idclip.identity import EVIDENCE, IdentityScorer

DIM = 24


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def trials() -> calibrate.Trials:
    """100 people with four photos each, and a degraded copy of every photo."""
    rng = np.random.default_rng(4)
    scorer = IdentityScorer(unit(rng.normal(size=(200, DIM))), 70, 10, {})
    person = np.repeat([f"person {n}" for n in range(100)], 8)
    photo = np.repeat([f"photo {n}" for n in range(400)], 2)
    copy = np.tile(["", "degraded"], 400)
    quality = np.where(copy == "", 0.8, 0.4) + rng.uniform(-0.1, 0.1, 800)
    noise = np.where(copy == "", 0.9, 1.3)[:, None] * unit(rng.normal(size=(800, DIM)))
    centres = np.repeat(unit(rng.normal(size=(100, DIM))), 8, axis=0)
    sample = Sample(person, photo, copy, scorer.faces(unit(centres + noise), quality))
    tracks = calibrate.make_tracks(sample, (("",), ("degraded",), ("", "degraded")))
    return calibrate.make_trials(scorer, sample, tracks)


def test_no_track_is_judged_by_the_photo_it_was_made_of(trials: calibrate.Trials) -> None:
    same = trials.same & ~trials.allowed
    assert same.any()
    assert not (~trials.allowed & ~trials.same).any()
    assert set(trials.photos) == {1, 2, 3}  # of four photos one is always left to be named


def test_evidence_is_calibrated_on_people_left_out_whatever_the_mix(
    trials: calibrate.Trials,
) -> None:
    for strangers in (1.0, 30.0):
        assert calibrate.reliability_unseen(trials, strangers, 4).error < 0.05


def test_weights_follow_what_tells_people_apart(trials: calibrate.Trials) -> None:
    weights = calibrate.fit_tracks(trials)

    odds = calibrate.log_odds(trials.features, weights)
    assert set(weights) == {*EVIDENCE, "bias"}
    assert np.median(odds[trials.same & trials.allowed]) > 2
    assert np.median(odds[~trials.same]) < -2


def test_the_error_of_a_braggart_is_what_he_exaggerates() -> None:
    outcome = np.tile([1.0, 0.0], 50)

    honest = calibrate.reliability(np.full(100, 0.5), outcome)
    braggart = calibrate.reliability(np.full(100, 0.95), outcome)

    assert honest.error == pytest.approx(0)
    assert braggart.error == pytest.approx(0.45)


class Painted:
    """A face model for painted squares: the face is the middle, its vector the colour pattern."""

    name, dim, licence = "painted", 48, "none"

    def detect(self, image: np.ndarray, *, long_side: int) -> list[Face]:
        height, width = image.shape[:2]
        if image.std() < 5:
            return []
        box = (0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height)
        return [Face(box, np.zeros((5, 2), np.float32), 0.9, 0.3 + 0.5 * min(1.0, width / 90))]

    def embed(self, image: np.ndarray, found: Sequence[Face]) -> np.ndarray:
        small = np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.BOX), float)
        return unit((small - small.mean(axis=(0, 1))).reshape(1, -1))


def paint(folder: Path, people: int, photos: int) -> None:
    """People as patterns of four by four colours, each photo of them a little other."""
    rng = np.random.default_rng(2)
    for number in range(people):
        pattern = rng.uniform(40, 215, (4, 4, 3))
        place = folder / f"person {number:03}"
        place.mkdir(parents=True)
        for photo in range(photos if number % 2 else 1):
            seen = np.clip(pattern + rng.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
            Image.fromarray(seen).resize((96, 96)).save(place / f"{photo}.png")


def calibrate_faces(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["calibrate-faces", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(faces, "load_faces", lambda name: Painted())
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "models"))
    return tmp_path / "people"


def test_a_folder_of_people_calibrates_a_model_that_is_found_afterwards(painted: Path) -> None:
    paint(painted, people=70, photos=3)

    status, out, _ = calibrate_faces(str(painted), "--json", "--no-diagram")

    written = json.loads(out)
    stored = json.loads((Path(written["folder"]) / "calibration.json").read_text())
    scorer = IdentityScorer.for_model("painted")
    assert status == 0
    assert (written["people"], written["photos"], written["model"]) == (70, 140, "painted")
    assert stored["origin"]["calibration_error_on_people_left_out"].keys() == {
        "1 true to 1",
        "1 true to 10",
        "1 true to 100",
    }
    assert scorer.cohort.shape == (21, 48)
    assert scorer.track_weights is not None
    assert scorer.track_weights["score"] + scorer.track_weights["best"] > 0


def test_a_diagram_is_drawn_of_what_was_said_and_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    line = calibrate.reliability(np.linspace(0, 1, 50), (np.linspace(0, 1, 50) > 0.5).astype(float))

    calibrate_plot.draw(tmp_path / "reliability.png", [("People", {"all": line})])

    with Image.open(tmp_path / "reliability.png") as diagram:
        assert min(diagram.size) > 300


def test_too_few_people_are_counted(painted: Path) -> None:
    paint(painted, people=30, photos=2)

    status, _, said = calibrate_faces(str(painted))

    assert status == 2
    assert "too few people to calibrate on: 30 with photos, 15 of them with several" in said
    assert f"{calibrate_fit.LEAST_PEOPLE} and {calibrate_fit.LEAST_WITH_SEVERAL}" in said


def test_photos_without_a_face_are_told(painted: Path) -> None:
    for number in range(60):
        (painted / str(number)).mkdir(parents=True)
        for photo in range(2):
            Image.new("RGB", (64, 64), (9, 9, 9)).save(painted / str(number) / f"{photo}.png")

    status, _, said = calibrate_faces(str(painted))

    assert status == 2
    assert "no face found in any of 120 photos" in said


@pytest.mark.parametrize("make", [lambda place: None, lambda place: place.mkdir()])
def test_a_folder_that_holds_nobody_says_how_it_should_look(painted: Path, make: object) -> None:
    make(painted)  # type: ignore[operator]

    status, _, said = calibrate_faces(str(painted))

    assert status == 2
    assert "subfolder for each person" in said


def test_a_photo_that_is_none_is_named(painted: Path) -> None:
    paint(painted, people=60, photos=2)
    broken = painted / "person 003" / "1.png"
    broken.write_bytes(b"no picture")

    status, _, said = calibrate_faces(str(painted))

    assert status == 2
    assert f"{broken}: the photo cannot be read" in said
