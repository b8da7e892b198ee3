"""Time codes of editors: every frame has one name, drop-frame ones keep to the wall clock."""

from __future__ import annotations

from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.errors import VidsearchError
from vidsearch.smpte import TimeBase, counted_at, drops, nearest_standard

NTSC, NTSC2 = Fraction(30000, 1001), Fraction(60000, 1001)
FILM = Fraction(24000, 1001)
BASES = [
    TimeBase(FILM),
    TimeBase(Fraction(24)),
    TimeBase(Fraction(25)),
    TimeBase(NTSC),
    TimeBase(NTSC, drop=True),
    TimeBase(Fraction(30)),
    TimeBase(Fraction(48)),
    TimeBase(Fraction(50)),
    TimeBase(NTSC2),
    TimeBase(NTSC2, drop=True),
    TimeBase(Fraction(60)),
]


@pytest.mark.parametrize(
    ("base", "frame", "code"),
    [
        (TimeBase(FILM), 24 * 3600, "01:00:00:00"),
        (TimeBase(Fraction(25)), 25 * 3600 + 24, "01:00:00:24"),
        (TimeBase(NTSC), 1800, "00:01:00:00"),
        (TimeBase(NTSC, drop=True), 1799, "00:00:59;29"),
        (TimeBase(NTSC, drop=True), 1800, "00:01:00;02"),
        (TimeBase(NTSC, drop=True), 17981, "00:09:59;29"),
        (TimeBase(NTSC, drop=True), 17982, "00:10:00;00"),
        (TimeBase(NTSC, drop=True), 107892, "01:00:00;00"),  # ST 12-1: an hour of 107,892 frames
        (TimeBase(NTSC2, drop=True), 3600, "00:01:00;04"),
        (TimeBase(NTSC2, drop=True), 215784, "01:00:00;00"),
        (TimeBase(Fraction(50)), 49, "00:00:00:49"),
    ],
)
def test_frames_have_the_codes_of_the_standard(base: TimeBase, frame: int, code: str) -> None:
    assert base.code(frame) == code
    assert base.frame(code) == frame


@given(st.sampled_from(BASES), st.integers(0, 5_184_000))
def test_a_code_names_one_frame_and_a_frame_has_one_code(base: TimeBase, frame: int) -> None:
    assert base.frame(base.code(frame)) == frame % base.frames_a_day


@given(st.sampled_from(BASES), st.integers(0, 2_500_000))
def test_opentimelineio_counts_the_same(base: TimeBase, frame: int) -> None:
    rate = float(base.rate) if base.drop else float(base.count)
    time = otio.opentime.RationalTime(frame % base.frames_a_day, rate)
    assert otio.opentime.to_timecode(time, rate) == base.code(frame)


@given(st.sampled_from([b for b in BASES if b.drop]), st.integers(0, 2_500_000))
def test_drop_frame_codes_stay_within_two_frames_and_a_tenth_of_the_clock(
    base: TimeBase, frame: int
) -> None:
    seconds = (frame % base.frames_a_day) / base.rate
    code = base.code(frame).replace(";", ":").split(":")
    said = Fraction(int(code[0]) * 3600 + int(code[1]) * 60 + int(code[2]))
    said += Fraction(int(code[3]), base.count)
    assert abs(said - seconds) < Fraction(2, 30) + Fraction(1, 10)


def test_a_code_starts_anew_after_a_day() -> None:
    assert TimeBase(Fraction(25)).code(24 * 3600 * 25 + 3) == "00:00:00:03"


@pytest.mark.parametrize("rate", ["17.3", "15", "120", "100", "29.9", "1", "25000/1001"])
def test_a_rate_that_cannot_be_a_time_code_is_refused_with_those_that_can(rate: str) -> None:
    assert counted_at(Fraction(rate)) is None
    with pytest.raises(VidsearchError, match=r"cannot be a time code: it counts 23\.976, 24, 25"):
        TimeBase(Fraction(rate))


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, FILM])
def test_only_2997_and_5994_drop_numbers(rate: Fraction) -> None:
    with pytest.raises(VidsearchError, match="no drop-frame time code"):
        TimeBase(Fraction(rate), drop=True)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "x",
        "1:00:00:00",
        "00:60:00:00",
        "24:00:00:00",
        "00:00:00:30",
        "00:01:00;00",
        "00:01:00;01",
    ],
)
def test_what_is_no_code_of_the_base_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="time code"):
        TimeBase(NTSC, drop=True).frame(code)


def test_a_semicolon_says_that_numbers_are_dropped() -> None:
    assert drops("01:00:00;00")
    assert not drops("01:00:00:00")
    assert not drops("")


def test_no_frame_is_before_the_first() -> None:
    with pytest.raises(ValueError, match="no frame has the number -1"):
        TimeBase(Fraction(25)).code(-1)


def test_the_nearest_standard_rate() -> None:
    assert nearest_standard(Fraction("29.91")) == NTSC
    assert nearest_standard(Fraction("29.97"), Fraction(1, 5000)) == NTSC
    assert nearest_standard(Fraction("17.3"), Fraction(1, 5000)) is None
