"""Time codes are written to the millisecond and read in the forms people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.errors import InvalidQuery
from vidsearch.timecodes import parse_timecode, timecode


@given(st.floats(0, 400_000))
def test_what_is_written_reads_as_the_same_millisecond(seconds: float) -> None:
    assert parse_timecode(timecode(seconds)) == pytest.approx(seconds, abs=0.000501)


@given(st.integers(0, 3_600_000_00))
def test_whole_milliseconds_survive_exactly(milliseconds: int) -> None:
    written = timecode(milliseconds / 1000)
    assert round(parse_timecode(written) * 1000) == milliseconds
    assert timecode(parse_timecode(written)) == written


@given(st.floats(0, 300_000), st.floats(0, 300_000))
def test_time_codes_sort_as_times_do(one: float, other: float) -> None:
    if round(one * 1000) < round(other * 1000) and max(one, other) < 360_000:
        assert timecode(one) < timecode(other)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        ("04.2", 4.2),
        ("0", 0.0),
        ("90", 90.0),
        ("1:02", 62.0),
        ("1:02,5", 62.5),
        ("00:00:04.2", 4.2),
        ("1:00:00", 3600.0),
        (" 100:00:00 ", 360_000.0),
        ("7s", 7.0),
    ],
)
def test_people_may_type_seconds_minutes_or_hours(text: str, seconds: float) -> None:
    assert parse_timecode(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1:75", "1:60:00", "1:2:3:4", "12.5.1", "nan", "inf", "1e3", ":5", "٣"]
)
def test_what_is_no_time_is_refused_with_the_forms_to_write(text: str) -> None:
    with pytest.raises(InvalidQuery, match="is not a time: write seconds"):
        parse_timecode(text)


def test_the_minute_is_carried_when_rounding_reaches_it() -> None:
    assert timecode(59.9996) == "00:01:00.000"
    assert timecode(4.2) == "00:00:04.200"


@pytest.mark.parametrize("seconds", [-0.001, float("nan"), float("inf")])
def test_no_moment_of_a_video_is_negative_or_endless(seconds: float) -> None:
    with pytest.raises(ValueError, match="not a time"):
        timecode(seconds)
