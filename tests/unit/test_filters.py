"""What a question is narrowed to: dates and numbers as people write them, and the rows left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_records import MODELS, analyzed_video

from vidsearch.errors import InvalidQuery
from vidsearch.filters import Filters, chosen, nowhere, parse_dates, parse_faces, within
from vidsearch.records import Rows
from vidsearch.store import Store


def at(year: int, month: int = 1, day: int = 1) -> float:
    return datetime(year, month, day).timestamp()


# --- dates and numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024", at(2024), at(2025)),
        ("2024-03", at(2024, 3), at(2024, 4)),
        ("2024-12", at(2024, 12), at(2025)),
        ("2024-03-05", at(2024, 3, 5), at(2024, 3, 6)),
        ("2024-2-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2023..2024-06", at(2023), at(2024, 7)),
        ("2024-03-05 .. 2024-03-07", at(2024, 3, 5), at(2024, 3, 8)),
        ("2024..2024", at(2024), at(2025)),
        ("2024..", at(2024), np.inf),
        ("..2024", -np.inf, at(2025)),
    ],
)
def test_a_date_is_a_year_a_month_a_day_or_a_range(text: str, start: float, end: float) -> None:
    assert parse_dates(text) == (start, end)


@pytest.mark.parametrize(
    "text",
    ["", "..", "24", "2024-13", "2024-02-30", "2023-02-29", "yesterday", "2024..2023",
     "2024...2025", "0000", "9999", "2024-03-05-01", "٢٠٢٤", "2024/03"],
)  # fmt: skip
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery, match=r"date|calendar"):
        parse_dates(text)


@pytest.fixture
def _new_york() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set here")
@pytest.mark.usefixtures("_new_york")
def test_a_day_is_one_of_this_machines_time_zone_and_may_be_of_23_hours() -> None:
    start, end = parse_dates("2024-03-10")  # clocks went forward
    assert start == datetime.fromisoformat("2024-03-10T05:00:00+00:00").timestamp()
    assert end - start == 23 * 3600


@given(st.dates(min_value=datetime(1900, 1, 1).date(), max_value=datetime(2200, 1, 1).date()))
def test_every_day_lies_in_its_month_and_its_year(day: datetime) -> None:
    spans = [parse_dates(f"{day:%Y-%m-%d}"), parse_dates(f"{day:%Y-%m}"), parse_dates(f"{day:%Y}")]
    for (start, end), (outer_start, outer_end) in pairwise(spans):
        assert outer_start <= start < end <= outer_end


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", (2, 2)), ("1..3", (1, 3)), ("2..", (2, None)), ("..3", (0, 3)), ("0", (0, 0))],
)
def test_a_number_of_faces_is_one_or_a_range(text: str, number: tuple[int, int | None]) -> None:
    assert parse_faces(text) == number


@pytest.mark.parametrize("text", ["", "..", "two", "3..1", "-1", "1.5", "1...3", "²"])
def test_what_is_no_number_of_faces_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery, match=r"number"):
        parse_faces(text)


def test_filters_are_read_as_people_write_them() -> None:
    assert chosen(None, None, None, 0, None, None) == Filters()
    assert chosen("*.mp4", 1, 2, 3, 0, "2024") == Filters(
        "*.mp4", 1, 2, 3, (0, 0), (at(2024), at(2025))
    )
    with pytest.raises(InvalidQuery, match="length"):
        chosen(None, None, None, -1, None, None)


# --- rows -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Video `old` of 2019 with one face in each shot, `new` of 2024 (by its file) with three."""
    folder = tmp_path_factory.mktemp("archive") / "a"
    Store.create(folder, **MODELS)  # type: ignore[arg-type]
    bare = analyzed_video("bare", shots=1, tracks=0)
    made = (
        (analyzed_video("old", shots=3, tracks=1), at(2019, 5, 5), at(2024)),
        (analyzed_video("new", shots=2, tracks=3), 0.0, at(2024, 3, 5) + 60),
        (replace(bare, shots=(replace(bare.shots[0], end_s=9.0),)), at(2021), 0.0),
    )
    with Store.open(folder) as store:
        store.publish_many(
            [
                replace(video, video=replace(video.video, recorded_at=recorded, mtime=mtime))
                for video, recorded, mtime in made
            ]
        )
        return store.rows()


def videos(rows: Rows, filters: Filters) -> list[str]:
    shots = within(rows, filters).shots
    return [Path(rows.videos[at].path).stem for at in rows.shot_video[shots]]


def test_everything_is_searched_without_a_filter(rows: Rows) -> None:
    left = within(rows, Filters())
    assert all(mask.all() for mask in (left.shots, left.keyframes, left.tracks, left.looks))
    assert len(left.shots) == 6


def test_a_date_is_that_of_the_file_itself_and_else_of_its_last_change(rows: Rows) -> None:
    assert videos(rows, Filters(dates=parse_dates("2019"))) == ["old"] * 3
    assert videos(rows, Filters(dates=parse_dates("2024"))) == ["new"] * 2
    assert videos(rows, Filters(dates=parse_dates("2024-03-05"))) == ["new"] * 2
    assert videos(rows, Filters(dates=parse_dates("..2021"))) == ["old"] * 3 + ["bare"]


def test_faces_are_the_tracks_of_a_shot(rows: Rows) -> None:
    assert videos(rows, Filters(faces=(1, 1))) == ["old"] * 3
    assert videos(rows, Filters(faces=(2, None))) == ["new"] * 2
    assert videos(rows, Filters(faces=(0, 0))) == ["bare"]


def test_the_length_is_that_of_the_shot(rows: Rows) -> None:
    assert videos(rows, Filters(min_duration=4.5)) == ["bare"]
    assert len(videos(rows, Filters(min_duration=4.0))) == 6


def test_keyframes_and_tracks_follow_their_shots(rows: Rows) -> None:
    left = within(rows, Filters(videos="new.*", until=4.0))
    assert left.shots.sum() == 1
    assert set(rows.keyframe_shot[left.keyframes]) == set(np.flatnonzero(left.shots))
    assert left.tracks.sum() == 3


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (Filters(videos="*.mov"), "No video matches *.mov"),
        (Filters(dates=parse_dates("2001")), "No video is of that date (they are of 2019-05-05"),
        (Filters(videos="old*", dates=parse_dates("2024")), "No such video is of that date"),
        (Filters(min_duration=60), "No shot lasts 60 s (the longest: 9.0 s)"),
        (Filters(faces=(7, None)), "No shot shows that many faces (the most: 3)"),
        (Filters(faces=(3, 3), min_duration=5), "No shot is left by the filters together"),
        (Filters(since=100), "No shot lies in the time asked for"),
    ],
)
def test_which_filter_left_nothing_is_told(rows: Rows, filters: Filters, said: str) -> None:
    assert not within(rows, filters).shots.any()
    assert nowhere(rows, filters).startswith(said)
