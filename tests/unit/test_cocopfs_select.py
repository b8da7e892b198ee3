"""Photos of one person with one usable face are chosen, and it is said why others are not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from idclip.cocopfs.coco import Box, CocoImage, CocoSplit
from idclip.cocopfs.jobs import runner
from idclip.cocopfs.journal import Journal
from idclip.cocopfs.select import ONE, FaceTask, Selection, look, select, speak_of_one


@pytest.fixture(scope="module")
def miranda(example_media: Path) -> np.ndarray:
    """A photo 704 pixels wide, whose face is 265 pixels wide."""
    return cv2.imread(str(example_media / "people" / "Lin-Manuel_Miranda.jpg"))


def shows(tmp_path: Path, photo: np.ndarray, *shares: float) -> Path:
    """A grey picture that shows the photo side by side, `shares` as large."""
    canvas = np.full((640, 1400, 3), 128, np.uint8)
    left = 0
    for share in shares:
        small = cv2.resize(photo, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        canvas[: small.shape[0], left : left + small.shape[1]] = small
        left += small.shape[1] + 20
    path = tmp_path / f"{'_'.join(str(share) for share in shares)}.png"
    cv2.imwrite(str(path), canvas)
    return path


def reason(path: Path, least_face: float = 24.0, person: Box | None = None) -> str:
    image = CocoImage(1, path.name, path, ("A man.",))
    return str(look(FaceTask(image, person, "default", least_face))["reason"])


def test_one_face_is_one_face(tmp_path: Path, miranda: np.ndarray) -> None:
    assert reason(shows(tmp_path, miranda, 0.5)) == ONE
    assert reason(shows(tmp_path, miranda, 0.5), least_face=200) == "face smaller than 200 px"
    assert reason(shows(tmp_path, miranda)) == "no face found"  # a grey picture


def test_a_second_face_counts_unless_it_is_small_and_far_smaller(
    tmp_path: Path, miranda: np.ndarray
) -> None:
    assert reason(shows(tmp_path, miranda, 0.5, 0.3)) == "several faces found"
    assert reason(shows(tmp_path, miranda, 0.8, 0.25), least_face=100) == ONE
    assert reason(shows(tmp_path, miranda, 0.5, 0.4), least_face=120) == "several faces found"


def test_the_face_must_be_that_of_the_annotated_person(tmp_path: Path, miranda: np.ndarray) -> None:
    path = shows(tmp_path, miranda, 0.5)
    assert reason(path, person=(0, 0, 352, 306)) == ONE
    assert reason(path, person=(700, 0, 1400, 640)) == "the face is not the annotated person's"


@pytest.mark.parametrize(
    ("captions", "one"),
    [
        (["A man rides.", "The rider.", "Someone on a bike.", "A bike.", "A road."], True),
        (["A man rides.", "A dog.", "Grass."], False),
        (["A man and another man.", "Two men.", "A man talks."], False),
        (["A black dog runs.", "A dog."], False),
        (["A MAN smiles.", "A boy , smiling .", "Two people?"], True),
        ([], False),
    ],
)
def test_captions_speak_of_one_person_or_not(captions: list[str], one: bool) -> None:
    assert speak_of_one(captions) is one


def chosen(
    tmp_path: Path,
    miranda: np.ndarray,
    persons: dict[int, tuple[Box, ...]] | None,
    *,
    uncovered: bool = False,
) -> Selection:
    """What is chosen of five equal photos, numbers 1 to 5; captions of 5 speak of a dog."""
    path = shows(tmp_path, miranda, 0.5)
    images = tuple(
        CocoImage(n, f"{n}.jpg", path, ("A man." if n < 5 else "A dog.",)) for n in range(1, 6)
    )
    split = CocoSplit("val2017", tmp_path, images, persons, ("gone.jpg",), (), {})
    with Journal(tmp_path / "journal") as journal:
        return select(
            split,
            face_model="default",
            least_face=24.0,
            limit=None,
            uncovered=uncovered,
            run=runner(1),
            journal=journal,
            tell=lambda done, total: None,
        )


WHOLE: Box = (0, 0, 1400, 640)


def test_annotations_decide_where_they_are(tmp_path: Path, miranda: np.ndarray) -> None:
    found = chosen(tmp_path, miranda, {1: (WHOLE,), 2: (WHOLE, WHOLE), 3: (), 5: (WHOLE,)})
    assert {photo.image.coco_id for photo in found.photos} == {1, 5}
    assert found.reasons == Counter(
        {
            ONE: 2,
            "several persons annotated": 1,
            "no person annotated": 1,
            "not covered by the instances file": 1,
            "in the captions, but no such photo": 1,
        }
    )


def test_photos_that_nobody_annotated_can_be_asked_for(tmp_path: Path, miranda: np.ndarray) -> None:
    found = chosen(tmp_path, miranda, {1: (WHOLE,), 2: ()}, uncovered=True)
    assert {photo.image.coco_id for photo in found.photos} == {1, 3, 4}
    assert found.reasons["captions speak of nobody or of several"] == 1


def test_without_annotations_captions_and_detector_decide(
    tmp_path: Path, miranda: np.ndarray
) -> None:
    found = chosen(tmp_path, miranda, None)
    assert {photo.image.coco_id for photo in found.photos} == {1, 2, 3, 4}
