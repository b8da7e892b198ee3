"""Faces are found in picture coordinates, rated, and told apart; what is missing is said."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idclip import alignment
from idclip.errors import ModelUnavailable
from idclip.face_quality import QualityModel
from idclip.faces import WEIGHTS, Face, FaceModel, load_faces, scaled

Image = np.ndarray


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_faces("default", threads=1)


def read(path: Path) -> Image:
    picture = cv2.imread(str(path))
    assert picture is not None, path
    return np.ascontiguousarray(picture[:, :, ::-1])


@pytest.fixture(scope="module")
def portrait(example_media: Path) -> Image:
    return read(example_media / "people" / "Barack_Obama_1.jpg")


@pytest.fixture(scope="module")
def found(model: FaceModel, portrait: Image) -> Face:
    faces = model.detect(portrait, long_side=640)
    assert len(faces) == 1
    return faces[0]


def test_a_portrait_has_one_good_face_with_eyes_above_the_mouth(
    found: Face, portrait: Image
) -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks
    x0, y0, x1, y1 = found.box

    assert found.quality > 0.8
    assert 0 <= x0 < left_eye[0] < right_eye[0] < x1 <= portrait.shape[1]
    assert 0 <= y0 < left_eye[1] < nose[1] < left_mouth[1] < y1 <= portrait.shape[0]
    assert left_mouth[0] < right_mouth[0]


@pytest.mark.parametrize("long_side", [160, 320, 640])
def test_boxes_are_in_pixels_of_the_given_picture_whatever_the_copy(
    model: FaceModel, portrait: Image, found: Face, long_side: int
) -> None:
    face = model.detect(portrait, long_side=long_side)[0]

    width = found.box[2] - found.box[0]
    assert np.abs(np.array(face.box) - found.box).max() < 0.15 * width


def test_vectors_are_of_unit_length_and_the_same_on_a_larger_copy(
    model: FaceModel, portrait: Image, found: Face
) -> None:
    twice = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)

    here = model.embed(portrait, [found])
    there = model.embed(twice, [scaled(found, 2.0)])

    assert here.shape == (1, model.dim)
    assert here.dtype == np.float32
    assert np.linalg.norm(here, axis=1) == pytest.approx(1, abs=1e-5)
    assert float(here[0] @ there[0]) > 0.97


def test_no_faces_give_no_vectors(model: FaceModel, portrait: Image) -> None:
    assert model.embed(portrait, []).shape == (0, model.dim)


def test_a_picture_without_people_has_no_face(model: FaceModel) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), dtype=np.uint8)

    assert model.detect(noise, long_side=320) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3000, 2), (40, 40)])
def test_odd_pictures_are_no_trouble(model: FaceModel, shape: tuple[int, int]) -> None:
    assert model.detect(np.full((*shape, 3), 128, np.uint8), long_side=320) == []


def test_two_portraits_of_one_man_are_nearer_than_two_men(
    model: FaceModel, example_media: Path
) -> None:
    vectors = {}
    for name in ("Barack_Obama_1.jpg", "Barack_Obama_2.jpg", "Joe_Biden.jpg"):
        picture = read(example_media / "people" / name)
        faces = model.detect(picture, long_side=640)
        vectors[name] = model.embed(picture, faces[:1])[0]
    first, second, other = vectors.values()

    assert first @ second > first @ other
    assert first @ second > second @ other


@pytest.mark.parametrize("spoil", ["small", "blurred", "dark"])
def test_a_spoilt_face_is_rated_lower(
    model: FaceModel, portrait: Image, found: Face, spoil: str
) -> None:
    if spoil == "small":
        ratio = 20 / (found.box[2] - found.box[0])
        picture = cv2.resize(portrait, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        face = scaled(found, ratio)
    else:
        blurred = cv2.GaussianBlur(portrait, (0, 0), (found.box[2] - found.box[0]) / 12)
        picture = blurred if spoil == "blurred" else (portrait * 0.03).astype(np.uint8)
        face = found
    spoilt = QualityModel.load(WEIGHTS / "quality.json").of(picture, face.landmarks, face.score)

    assert spoilt < found.quality - 0.05


@given(st.floats(0.05, 20), st.floats(-3.1, 3.1), st.floats(-500, 500), st.floats(-500, 500))
def test_alignment_undoes_any_turn_size_and_place(
    size: float, turn: float, x: float, y: float
) -> None:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    placed = (size * alignment.TEMPLATE @ rotation.T + [x, y]).astype(np.float32)

    matrix = alignment.similarity(placed)

    assert alignment.residual(placed, matrix) < 0.1
    assert alignment.scale_of(matrix) == pytest.approx(1 / size, rel=1e-2)


@pytest.mark.parametrize("size", [0.7, 1.0, 3.0, 9.0])
def test_the_crop_shows_the_same_whatever_the_size_of_the_face(size: float) -> None:
    small = np.zeros((150, 150, 3), np.uint8)
    cv2.circle(small, (75, 60), 25, (255, 128, 0), -1)
    picture = cv2.resize(small, None, fx=size, fy=size, interpolation=cv2.INTER_LINEAR)
    # Pixel centres: the middle of pixel 0 lies half a pixel inside.
    landmarks = ((alignment.TEMPLATE + 0.5) * size - 0.5).astype(np.float32)

    crop = alignment.cut(picture, alignment.similarity(landmarks))

    assert np.abs(crop.astype(int) - small).mean() < 3


def test_landmarks_all_in_one_place_do_no_harm(model: FaceModel, portrait: Image) -> None:
    nowhere = Face((0, 0, 1, 1), np.full((5, 2), 7, np.float32), 0.5, 0.0)

    assert np.isfinite(model.embed(portrait, [nowhere])).all()


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(ModelUnavailable, match="insightface:PACK or opencv:FOLDER"):
        load_faces("eigenfaces")


def test_a_folder_without_yunet_and_sface_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="yunet") as error:
        load_faces(f"opencv:{tmp_path}")
    assert str(tmp_path) in str(error.value)


def test_files_that_are_no_networks_are_named(tmp_path: Path) -> None:
    for name in ("face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"):
        (tmp_path / name).write_bytes(b"not a network")

    with pytest.raises(ModelUnavailable, match="face_detection_yunet_2023mar"):
        load_faces(f"opencv:{tmp_path}")


def test_insightface_without_extra_or_network_is_told_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))

    with pytest.raises(ModelUnavailable) as error:
        load_faces("insightface:no_such_pack")
    assert "insightface:no_such_pack" in str(error.value)
