"""Questions with or, not, pictures and faces, to real footage with the real models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.store_records import MODELS, analyzed_video
from vidsearch import Archive
from vidsearch.errors import EnrolmentError, InvalidQuery, UnreadableImage, VidsearchError
from vidsearch.given import moment_of
from vidsearch.store import Store

SINGER, AUDIENCE = (2.736, 7.040), 7.040  # seconds (examples/media/ORIGIN.md)
MIRANDA = "Lin-Manuel_Miranda.jpg"


@pytest.fixture(scope="module")
def footage(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive folder with the White House clip, Obama enrolled, asked but not changed."""
    folder = tmp_path_factory.mktemp("given")
    clip = Path(shutil.copy2(example_media / "white-house-poetry.mp4", folder))
    day = time.mktime((2009, 5, 12, 12, 0, 0, 0, 0, -1))
    os.utime(clip, (day, day))
    archive = Archive(folder / "archive")
    archive.index([clip])
    archive.enrol("Barack Obama", [example_media / "people" / "Barack_Obama_1.jpg"])
    archive.enrol("Lin-Manuel Miranda", [example_media / "people" / MIRANDA])
    return folder / "archive"


@pytest.fixture
def archive(footage: Path) -> Archive:
    return Archive(footage)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidsearch", "query", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def starts(archive: Archive, text: str = "", **wishes: object) -> list[float]:
    return [hit.start_s for hit in archive.query(text, **wishes).hits]  # type: ignore[arg-type]


def test_or_finds_who_is_there_and_not_leaves_them_out(archive: Archive) -> None:
    assert starts(archive, "Miranda or Obama")[0] == pytest.approx(SINGER[0], abs=0.001)
    without = starts(archive, "a man at a microphone without Lin-Manuel Miranda")
    assert without
    assert SINGER[0] not in [pytest.approx(start, abs=0.001) for start in without]
    assert starts(archive, "a man at a microphone -Miranda") == without
    assert starts(archive, "a man at a microphone", negative="Miranda") == without
    assert starts(archive, "Miranda AND NOT Miranda") == []


def test_a_picture_finds_what_looks_like_it(archive: Archive, footage: Path) -> None:
    moment = f"{footage.parent / 'white-house-poetry.mp4'}@00:00:08.2"
    assert starts(archive, like=moment)[0] == pytest.approx(AUDIENCE, abs=0.001)
    beside = archive.query("a man singing", like=[moment]).hits
    assert len(beside) == 4
    answer = archive.query(like=moment, people=["Lin-Manuel Miranda"])
    assert answer.people == ("Lin-Manuel Miranda",)


def test_a_moment_is_named_by_a_video_as_the_archive_calls_it(
    archive: Archive, footage: Path
) -> None:
    whole = f"{footage.parent / 'white-house-poetry.mp4'}@00:00:08.2"
    (video,) = archive.videos()
    for called in ("white-house-poetry.mp4@8.2", f"{video.video_id}@00:00:08.2"):
        assert starts(archive, like=called) == starts(archive, like=whole)
    face = archive.query(face="white-house-poetry.mp4@5.839")
    assert face.people == ("Lin-Manuel Miranda",)
    with pytest.raises(EnrolmentError, match=r"house\.mp4@8: no such file"):
        archive.query(like="house.mp4@8")


def test_a_video_s_name_that_several_have_is_not_enough(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    Store.create(folder, **MODELS)  # type: ignore[arg-type]
    with Store.open(folder) as store:
        store.publish_many([analyzed_video("a/tape"), analyzed_video("b/tape")])
    called = Archive(folder)._called("tape.mp4")
    assert len(called) == 2
    with pytest.raises(EnrolmentError, match=r"2 videos of the archive are called tape\.mp4"):
        moment_of("tape.mp4@3", lambda name: called)
    with pytest.raises(VidsearchError, match=r"2 videos of the archive are called tape\.mp4"):
        Archive(folder).video("tape.mp4")


def test_a_moment_after_the_end_and_a_picture_that_is_none_are_told(
    archive: Archive, footage: Path, tmp_path: Path
) -> None:
    clip = footage.parent / "white-house-poetry.mp4"
    with pytest.raises(EnrolmentError, match=r"the video ends at 00:00:09\.1"):
        archive.query(like=f"{clip}@60")
    with pytest.raises(EnrolmentError, match="no such file"):
        archive.query(like=tmp_path / "nothing.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UnreadableImage, match="not a picture"):
        archive.query(like=tmp_path / "text.jpg")


def test_a_face_finds_whoever_it_is_without_enrolling_them(
    example_media: Path, footage: Path, tmp_path: Path
) -> None:
    bare = Archive(shutil.copytree(footage, tmp_path / "archive"))
    bare.remove_person("Lin-Manuel Miranda")
    answer = bare.query("singing", face=example_media / "people" / MIRANDA)
    assert answer.people == (f"face in {MIRANDA}",)
    assert answer.hits[0].start_s == pytest.approx(SINGER[0], abs=0.001)
    assert answer.hits[0].people[0].reference == MIRANDA
    assert [person.name for person in bare.people()] == ["Barack Obama"]
    assert starts(bare, "a man", face=example_media / "people" / "Joe_Biden.jpg") == []


def test_the_face_of_somebody_enrolled_is_them(archive: Archive, example_media: Path) -> None:
    answer = archive.query(face=str(example_media / "people" / MIRANDA))
    assert answer.people == ("Lin-Manuel Miranda",)
    assert answer.hits[0].start_s == pytest.approx(SINGER[0], abs=0.001)


def test_a_picture_without_a_face_or_that_face_is_refused(
    archive: Archive, example_media: Path, tmp_path: Path
) -> None:
    from PIL import Image

    grey = tmp_path / "grey.png"
    Image.new("RGB", (200, 200), (120, 120, 120)).save(grey)
    with pytest.raises(EnrolmentError, match="no face found"):
        archive.query(face=grey)
    one = example_media / "people" / "Joe_Biden.jpg"
    with pytest.raises(EnrolmentError, match=r"no face 2.*--face-number"):
        archive.query(face=one, face_number=2)
    both = tmp_path / "both.png"
    whole = Image.new("RGB", (512, 256))
    for place, name in ((0, "Joe_Biden.jpg"), (256, MIRANDA)):
        with Image.open(example_media / "people" / name) as photo:
            whole.paste(photo.resize((256, 256)), (place, 0))
    whole.save(both)
    with pytest.raises(EnrolmentError, match=r"2 faces; say which one with --face-number N"):
        archive.query(face=both)
    assert archive.query(face=both, face_number=2).people == ("Lin-Manuel Miranda",)


def test_filters_narrow_by_date_length_and_faces(archive: Archive) -> None:
    assert len(starts(archive, "people", date="2009-05")) == 4
    assert archive.query("people", date="2010..").message.startswith("No video is of that date")
    assert starts(archive, "people", min_duration=4) == [pytest.approx(SINGER[0], abs=0.001)]
    everything = set(starts(archive, "people"))
    few, many = starts(archive, "people", faces="0..1"), starts(archive, "people", faces="2..")
    assert set(few) | set(many) == everything
    assert not set(few) & set(many)
    with pytest.raises(InvalidQuery, match="is not a date"):
        archive.query("people", date="last year")


def test_pages_join_to_the_whole_answer(archive: Archive, footage: Path) -> None:
    whole = archive.query("people").hits
    pages = [archive.query("people", k=1, offset=offset) for offset in range(5)]
    assert [hit.shot for page in pages for hit in page.hits] == [hit.shot for hit in whole]
    assert [hit.rank for page in pages for hit in page.hits] == [1, 2, 3, 4]
    assert [page.further for page in pages] == [True, True, True, False, False]
    assert pages[4].message == "Nothing comes after the first 4: 4 shots answer"
    done = run("people", "-k", 2, "--offset", 1, "--archive", footage)
    assert "shots 2 to 3 of 4; next: --offset 3" in done.stdout


def test_one_shot_of_each_video_says_how_many_more(footage: Path) -> None:
    done = run("people", "--group-by", "video", "--archive", footage)
    assert done.returncode == 0, done.stderr
    assert "3 more shots in this video" in done.stdout
    answer = json.loads(run("people", "--group-by", "video", "--json", "--archive", footage).stdout)
    (group,) = answer["groups"]
    assert (group["shots"], group["rank"], len(answer["hits"])) == (4, 1, 1)
    assert answer["total"] == 4


def test_the_command_says_what_is_wrong_with_a_question(footage: Path) -> None:
    for arguments, fault in (
        (("(a man",), "is never closed"),
        (("--negative", "a dog"), "say what to look for"),
        (("people", "--faces", "many"), "is no number of faces"),
        (("people", "--face-number", "2"), "--face PICTURE"),
        (("people", "--group-by", "person"), "--group-by"),
        (("people", "--person", ""), "is no name of a person"),
    ):
        done = run(*arguments, "--archive", footage)
        assert (done.returncode, done.stdout) == (2, "")
        assert fault in done.stderr
