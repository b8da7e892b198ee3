"""The five real clips with the photos: who is found, and that nobody gets another's name."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path, PurePath

import pytest

from vidsearch import Archive
from vidsearch.errors import EnrolmentError

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


STRANGERS = 100  # people of LFW who are enrolled as well, and are in none of the videos


@pytest.fixture(scope="module")
def archive(shared_data: Path, one_pass: Path, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("acceptance") / "archive"
    archive = Archive(shutil.copytree(one_pass, folder))
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


def test_the_answer_is_the_same_for_any_sight_of_joe_biden(archive: Archive) -> None:
    for question in (
        "Joe Biden",
        "Joe Biden or nobody else",
        "a man like Joe Biden in an audience",
    ):
        assert archive.query(question, k=1000).hits == (), question
    assert len(archive.appearances("Joe Biden")) == 0


def test_a_timeline_names_nobody_wrongly(archive: Archive) -> None:
    for video in archive.videos():
        for seen in archive.timeline(video.path).appearances:
            place = PurePath(video.path).name
            assert any(
                place == name and start <= seen.time_s < end
                for name, start, end in TRUTH[seen.person]
            ), f"{seen.person} is not at {seen.time_s} s of {place}"


@pytest.fixture(scope="module")
def crowd(archive: Archive, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The same archive, in which 100 people of LFW are enrolled beside the four."""
    if not (shared_data / "lfw90.tar").is_file():
        pytest.skip("the photos of LFW (../shared/data/lfw90.tar) are absent")
    folder = tmp_path_factory.mktemp("crowd")
    shutil.copytree(archive.path, folder / "archive")
    crowd = Archive(folder / "archive")
    with tarfile.open(shared_data / "lfw90.tar") as photos:
        names = sorted(name for name in photos.getnames() if name.endswith("_0001.jpg"))
        for name in sorted(names, key=lambda name: zlib.crc32(name.encode())):
            if len(crowd.people()) == len(ENROLLED) + STRANGERS:
                break
            photos.extract(name, folder, filter="data")
            who = PurePath(name).parent.name.replace("_", " ")
            if who not in ENROLLED:
                with suppress(EnrolmentError):  # a photo on which no face is found
                    crowd.enrol(who, [folder / name])
    return Archive(crowd.path)


def test_nobody_of_lfw_is_named_in_the_clips(crowd: Archive) -> None:
    """None of 100 people who are in no clip is named, though each has one photo of 90 pixels."""
    people = [person.name for person in crowd.people() if person.name not in ENROLLED]
    assert len(people) == STRANGERS
    named = {name: crowd.query("", people=[name], k=1000).hits for name in people}
    wrong = [
        f"{name} at {hit.people[0].time_s:.2f} s of {hit.video} ({hit.people[0].probability:.2f})"
        for name, hits in named.items()
        for hit in hits
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ENROLLED)
def test_nobody_is_given_anothers_name_in_a_crowd(crowd: Archive, name: str) -> None:
    test_nobody_is_given_anothers_name(crowd, name)


def test_the_singer_is_found_in_a_crowd(crowd: Archive) -> None:
    test_the_singer_is_found_first(crowd)
