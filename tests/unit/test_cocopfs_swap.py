"""A swapped face is the new person's, at its old place, and the rest of the picture stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from idclip.cocopfs import pictures
from idclip.cocopfs.check import KEPT, LOST, OLD, OTHER, Gallery, check
from idclip.cocopfs.swap import ClassicSwapper, load_swapper
from idclip.errors import ModelUnavailable, UnreadableImage
from idclip.faces import Face, FaceModel, load_faces

BIDEN, MIRANDA, OBAMA = "Joe_Biden", "Lin-Manuel_Miranda", "Barack_Obama_1"


class Shown:
    """A photo that ships with the project, `share` as large, with its face and vector."""

    def __init__(self, model: FaceModel, photo: Path, share: float = 1.0) -> None:
        picture = pictures.decoded(photo.read_bytes(), photo.name)
        self.picture = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        (self.found,) = model.detect(self.picture, long_side=640)
        self.face = pictures.closer(model, self.picture, self.found)
        self.vector = model.embed(self.picture, [self.found])[0]


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_faces("default", threads=1)


@pytest.fixture(scope="module")
def people(example_media: Path, model: FaceModel) -> dict[str, Shown]:
    folder = example_media / "people"
    return {name: Shown(model, folder / f"{name}.jpg") for name in (BIDEN, MIRANDA, OBAMA)}


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_face_becomes_the_other_persons(
    example_media: Path, model: FaceModel, people: dict[str, Shown], share: float
) -> None:
    old = Shown(model, example_media / "people" / f"{BIDEN}.jpg", share)
    for name in (MIRANDA, OBAMA):
        new = people[name]
        swapped = ClassicSwapper().swap(old.picture, old.face, new.picture, new.face)
        (face,) = model.detect(swapped, long_side=640)
        vector = model.embed(swapped, [face])[0]
        assert pictures.overlap(face, old.face) > 0.6
        assert vector @ new.vector > vector @ old.vector + 0.1
        assert vector @ new.vector > 0.5


def test_the_rest_of_the_picture_and_the_picture_given_stay(people: dict[str, Shown]) -> None:
    old, new = people[BIDEN], people[MIRANDA]
    before = old.picture.copy()
    swapped = ClassicSwapper().swap(old.picture, old.face, new.picture, new.face)
    assert (old.picture == before).all()
    assert (swapped.shape, swapped.dtype) == (before.shape, np.uint8)
    x0, y0, x1, y1 = (round(side) for side in old.face.box)
    away = np.ones(before.shape[:2], bool)
    margin = (x1 - x0) // 2
    away[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin] = False
    assert (swapped[away] == before[away]).all()
    assert (swapped[y0:y1, x0:x1] != before[y0:y1, x0:x1]).mean() > 0.5


def test_the_new_face_takes_the_light_of_the_old(people: dict[str, Shown]) -> None:
    old, new = people[BIDEN], people[MIRANDA]
    dark = (old.picture * 0.4).astype(np.uint8)
    swapped = ClassicSwapper().swap(dark, old.face, new.picture, new.face)
    x0, y0, x1, y1 = (round(side) for side in old.face.box)
    assert abs(swapped[y0:y1, x0:x1].mean() - dark[y0:y1, x0:x1].mean()) < 12


@pytest.mark.parametrize("edge", ["left", "top", "right", "bottom"])
def test_a_face_cut_by_the_pictures_edge_is_swapped_too(
    people: dict[str, Shown], edge: str
) -> None:
    old, new = people[BIDEN], people[OBAMA]
    x0, y0, x1, y1 = (round(side) for side in old.face.box)
    third = (x1 - x0) // 5
    rows, columns = slice(None), slice(None)
    if edge in ("left", "right"):
        columns = slice(x0 + third, None) if edge == "left" else slice(None, x1 - third)
    else:
        rows = slice(y0 + third, None) if edge == "top" else slice(None, y1 - third)
    part = np.ascontiguousarray(old.picture[rows, columns])
    shift = np.array([columns.start or 0, rows.start or 0], np.float32)
    face = replace(old.face, landmarks=old.face.landmarks - shift)
    swapped = ClassicSwapper().swap(part, face, new.picture, new.face)
    assert swapped.shape == part.shape
    assert (swapped != part).mean() > 0.02


def test_degenerate_landmarks_break_nothing(people: dict[str, Shown]) -> None:
    old, new = people[BIDEN], people[OBAMA]
    for landmarks in (np.full((5, 2), 3.0), np.array([[i, i] for i in range(5)])):
        face = Face((0, 0, 5, 5), landmarks.astype(np.float32), 1.0, 0.0)
        swapped = ClassicSwapper().swap(old.picture, face, new.picture, new.face)
        assert swapped.shape == old.picture.shape


def test_a_second_look_finds_the_landmarks_of_a_face_that_fills_the_photo(
    people: dict[str, Shown], model: FaceModel
) -> None:
    known = people[OBAMA].face
    x0, y0, x1, y1 = (round(side) for side in known.box)
    tight = np.ascontiguousarray(people[OBAMA].picture[y0:y1, x0:x1])
    (found,) = model.detect(tight, long_side=640)
    truth = known.landmarks - np.float32([x0, y0])
    far = np.abs(found.landmarks - truth).mean()
    assert np.abs(pictures.closer(model, tight, found).landmarks - truth).mean() < min(far, 6.0)


def test_an_unknown_swapper_and_an_absent_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="'magic' is no swapper"):
        load_swapper("magic")
    with pytest.raises(ModelUnavailable, match=r"gone\.onnx: no such file.*non-commercial"):
        load_swapper(f"inswapper:{tmp_path / 'gone.onnx'}")


# --- the check -----------------------------------------------------------------------------------


def verdict(people: dict[str, Shown], model: FaceModel, picture: np.ndarray, who: str) -> str:
    old = people[BIDEN]
    means = np.stack([people[MIRANDA].vector, people[OBAMA].vector])
    return check(
        model,
        picture,
        old_face=old.found,
        old_vector=old.vector,
        identity=who,
        gallery=Gallery((MIRANDA, OBAMA), means),
    ).reason


def test_a_swap_is_kept_for_the_person_who_was_swapped_in(
    people: dict[str, Shown], model: FaceModel
) -> None:
    old, new = people[BIDEN], people[MIRANDA]
    swapped = ClassicSwapper().swap(old.picture, old.face, new.picture, new.face)
    assert verdict(people, model, swapped, MIRANDA) == KEPT
    assert verdict(people, model, swapped, OBAMA) in (OLD, OTHER)


def test_a_picture_that_nobody_swapped_is_rejected(
    people: dict[str, Shown], model: FaceModel
) -> None:
    assert verdict(people, model, people[BIDEN].picture, MIRANDA) == OLD


def test_a_face_that_went_away_is_rejected(people: dict[str, Shown], model: FaceModel) -> None:
    gone = people[BIDEN].picture.copy()
    x0, y0, x1, y1 = (round(side) for side in people[BIDEN].face.box)
    gone[max(0, y0 - 40) : y1 + 40, max(0, x0 - 40) : x1 + 40] = 128
    assert verdict(people, model, gone, MIRANDA) == LOST


def test_bytes_that_are_no_picture_are_named() -> None:
    for data in (b"", b"\xff\xd8\xff", b"text"):
        with pytest.raises(UnreadableImage, match=r"a\.jpg"):
            pictures.decoded(data, "a.jpg")
