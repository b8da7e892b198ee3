"""The five real clips with the photos: who is found, and that nobody gets another's name."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from vidsearch import Archive

pytestmark = [pytest.mark.slow, pytest.mark.real]

ENROLLED = {
    "Lin-Manuel Miranda": ("Lin-Manuel_Miranda.png",),
    "Alex Lacamoire": ("Alex_Lacamoire.png",),
    "Barack Obama": ("Barack_Obama_1.jpg", "Barack_Obama_2.jpg"),
    "Joe Biden": ("Joe_Biden.jpg",),
}
# Who may be named where, by the truth of the data: (video, first and last second).
CLIP = "white-house-poetry.mp4"
TRUTH: dict[str, list[tuple[str, float, float]]] = {
    "Lin-Manuel Miranda": [(CLIP, 0.0, 0.667), (CLIP, 2.736, 7.04)],
    "Alex Lacamoire": [(CLIP, 0.0, 2.736)],
    "Barack Obama": [(CLIP, 7.04, 9.176)],
    "Joe Biden": [],
}


@pytest.fixture(scope="module")
def archive(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    archive = Archive(tmp_path_factory.mktemp("real") / "archive")
    report = archive.index([shared_data / "videos"])
    assert (len(report.indexed), report.failed) == (5, ())
    for name, photos in ENROLLED.items():
        archive.enrol(name, [shared_data / "people" / photo for photo in photos])
    return Archive(archive.path)


def test_the_singer_is_found_first(archive: Archive) -> None:
    hit = archive.query("Lin-Manuel Miranda singing into a microphone").hits[0]
    assert PurePath(hit.video).name == "white-house-poetry.mp4"
    assert (hit.start_s, hit.end_s) == pytest.approx((2.736, 7.040), abs=0.001)
    assert hit.people[0].probability > 0.5


def test_the_audience_is_in_the_first_two(archive: Archive) -> None:
    answer = archive.query("people sitting in an audience", video="*white-house*")
    assert any(hit.start_s == pytest.approx(7.040, abs=0.001) for hit in answer.hits[:2])


def test_joe_biden_is_in_no_shot(archive: Archive) -> None:
    answer = archive.query("Joe Biden giving a speech")
    assert answer.hits == ()
    assert answer.message.startswith("No shot shows Joe Biden")


@pytest.mark.parametrize("name", ENROLLED)
def test_nobody_is_given_anothers_name(archive: Archive, name: str) -> None:
    for hit in archive.query(name, k=1000).hits:
        seen = (PurePath(hit.video).name, hit.people[0].time_s)
        assert any(
            seen[0] == video and start <= seen[1] < end for video, start, end in TRUTH[name]
        ), f"{name} is not in {seen}"
