"""Contact sheets show every hit, frame the faces that are its evidence, and say when nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsearch.records import Answer, Box, Hit, Sighting, Still
from vidsearch.sheet import contact_sheet, moment_of, numbered_faces

GREEN = (20, 160, 60)
AMBER = (255, 196, 61)
BOX: Box = (0.4, 0.2, 0.6, 0.5)


def picture(height: int = 360, width: int = 640) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GREEN, np.uint8)


def hit(rank: int, *, face_s: float | None = None, second_s: float | None = None) -> Hit:
    people = tuple(
        Sighting("Anna Rossi", 0.97, at, BOX, "anna.jpg")
        for at in (face_s, second_s)
        if at is not None
    )
    return Hit(rank, "/films/a film.mp4", "v", rank, 1.0, 3.0, 2.0, 0.8, 0.9, people)


def answer(*hits: Hit, message: str = "") -> Answer:
    return Answer("q", (), "q", message, hits)


def count(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    close = np.abs(image.astype(int) - np.array(colour)).max(axis=2) < 12
    return int(close.sum())


def sheet(*sections: tuple[str, Answer, list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    return np.asarray(contact_sheet(sections))


def test_every_hit_has_its_picture() -> None:
    one = count(sheet(("q", answer(hit(1)), [Still(picture())])), GREEN)
    four = count(sheet(("q", answer(*map(hit, (1, 2, 3, 4))), [Still(picture())] * 4)), GREEN)
    assert one > 0.9 * 400 * 225
    assert four == pytest.approx(4 * one, rel=0.02)


def test_pictures_of_any_shape_are_shown_whole() -> None:
    tall = picture(640, 360)
    tall[:6], tall[-6:] = (250, 0, 0), (0, 0, 250)
    shown = sheet(("q", answer(hit(1)), [Still(tall)]))
    assert count(shown, (250, 0, 0)) > 50
    assert count(shown, (0, 0, 250)) > 50


def test_a_face_is_framed_where_it_is_in_the_picture() -> None:
    plain = sheet(("q", answer(hit(1)), [Still(picture())]))
    framed = sheet(("q", answer(hit(1, face_s=2.0)), [Still(picture())]))
    top, left = np.argwhere(np.abs(plain.astype(int) - GREEN).max(axis=2) < 12)[0]
    changed = np.argwhere((plain != framed).any(axis=2))
    changed = changed[changed[:, 0] < top + 225]
    # The frame, and the label above it: nothing below the face or left of it.
    assert changed[:, 0].max() == pytest.approx(top + 0.5 * 225, abs=4)
    assert changed[:, 1].min() == pytest.approx(left + 0.4 * 400, abs=4)


def test_no_face_is_framed_on_what_stands_in_for_a_frame() -> None:
    plain = sheet(("q", answer(hit(1)), [Still(picture())]))
    stood_in = sheet(("q", answer(hit(1, face_s=2.0)), [Still(picture(), exact=False)]))
    framed = sheet(("q", answer(hit(1, face_s=2.0)), [Still(picture())]))
    still = slice(0, plain.shape[0] // 2)
    green = [count(each[still], GREEN) for each in (plain, stood_in, framed)]
    assert green[0] == green[1] > green[2]


def test_a_face_of_another_moment_is_not_framed_on_this_picture() -> None:
    one = sheet(("q", answer(hit(1, face_s=2.0)), [Still(picture())]))
    two = sheet(("q", answer(hit(1, face_s=2.0, second_s=2.9)), [Still(picture())]))
    assert count(one[:300], AMBER) == count(two[:300], AMBER)


def test_the_moment_of_a_hit_is_where_its_first_face_is_seen() -> None:
    assert moment_of(hit(1, face_s=1.5)) == 1.5
    assert moment_of(hit(1)) == 2.0


def test_no_hits_show_the_message_as_a_strip() -> None:
    message = "No shot shows Joe Biden (best probability 0.04)"
    empty = sheet(("Joe Biden", answer(message=message), []))
    silent = sheet(("Joe Biden", answer(message=""), []))
    assert empty.shape == silent.shape
    assert (empty != silent).any()
    assert empty.shape[0] < 200


def test_questions_stand_one_under_the_other() -> None:
    first = ("one", answer(hit(1)), [Still(picture())])
    second = ("two", answer(message="nothing"), [])
    both, alone = sheet(first, second), sheet(first)
    assert both.shape[0] > alone.shape[0]
    assert (both[: alone.shape[0] - 30] == alone[:-30]).all()


def test_long_and_foreign_words_stay_inside_the_sheet() -> None:
    long = "word " * 200 + "李安 Żółć العربية 🙂 \n two lines"
    shown = sheet((long, answer(hit(1, face_s=2.0), message=long), [Still(picture())]))
    assert shown.shape == sheet(("q", answer(hit(1, face_s=2.0)), [Still(picture())])).shape
    assert (shown[:, -20:] == shown[0, 0]).all()


def test_one_picture_for_each_hit_is_demanded() -> None:
    with pytest.raises(ValueError, match="shorter"):
        contact_sheet([("q", answer(hit(1), hit(2)), [Still(picture())])])


def test_faces_are_numbered_and_small_pictures_enlarged() -> None:
    small = picture(90, 90)
    numbered = np.asarray(numbered_faces(small, [BOX, (0.7, 0.2, 0.9, 0.5)]))
    assert max(numbered.shape) == 640
    assert count(numbered, AMBER) > 500
    right = numbered[:, 420:]
    assert count(right, AMBER) > 200


def test_boxes_that_leave_the_picture_are_cut_at_its_edge() -> None:
    numbered = np.asarray(numbered_faces(picture(), [(-0.5, -0.2, 1.5, 1.3)]))
    assert numbered.shape == (360, 640, 3)
    assert count(numbered[:, :6], AMBER) > 0
