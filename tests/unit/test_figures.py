"""A figure is about one person: around their face, up to the next one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.figures import around, cut
from vidsearch.records import Box

PLACE = st.floats(0.0, 0.8)
SIZE = st.floats(0.02, 0.2)
BOXES = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), PLACE, PLACE, SIZE, SIZE)


@given(BOXES, st.lists(BOXES, max_size=4))
def test_a_figure_holds_its_face_and_stays_in_the_picture(face: Box, others: list[Box]) -> None:
    x0, y0, x1, y1 = around(face, others)
    assert 0 <= x0 <= face[0] < face[2] <= x1 <= 1
    assert 0 <= y0 <= face[1] < face[3] <= y1 <= 1


def test_two_people_side_by_side_share_the_picture() -> None:
    left, right = (0.2, 0.2, 0.3, 0.4), (0.7, 0.2, 0.8, 0.4)
    of_left, of_right = around(left, [right]), around(right, [left])
    assert of_left[2] == pytest.approx(0.5)
    assert of_right[0] == pytest.approx(0.5)
    assert (of_left[0], of_right[2]) == (0.0, 1.0)


def test_who_is_nearer_gets_the_larger_share() -> None:
    near, far = (0.1, 0.2, 0.3, 0.6), (0.75, 0.2, 0.85, 0.4)
    assert around(near, [far])[2] > 0.5


def test_alone_somebody_has_some_surroundings_and_more_below_than_above() -> None:
    x0, y0, x1, y1 = around((0.48, 0.4, 0.52, 0.48), [])
    assert (x0, x1) == pytest.approx((0.34, 0.66))
    assert 0.4 - y0 < y1 - 0.48


@given(BOXES)
def test_every_cut_has_pixels(box: Box) -> None:
    picture = np.zeros((9, 7, 3), np.uint8)
    assert min(cut(picture, box).shape) >= 1


def test_a_cut_is_what_lies_under_the_box() -> None:
    picture = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    assert np.array_equal(cut(picture, (0.25, 0.5, 0.5, 1.0)), picture[5:, 5:10])
