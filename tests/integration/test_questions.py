"""Questions to real footage, through the command line and the Python API, with the real models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vidsearch import Archive
from vidsearch.errors import ArchiveUnavailable, UnknownPerson

SINGER = (2.736, 7.040)  # seconds of the shot that shows him (examples/media/ORIGIN.md)
AUDIENCE_S = 7.040


@pytest.fixture(scope="module")
def footage(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive folder with the White House clip and three people, asked but not changed."""
    folder = tmp_path_factory.mktemp("footage")
    shutil.copy2(example_media / "white-house-poetry.mp4", folder)
    archive = Archive(folder / "archive")
    archive.index([folder / "white-house-poetry.mp4"])
    people = example_media / "people"
    archive.enrol("Lin-Manuel Miranda", [people / "Lin-Manuel_Miranda.jpg"], aliases=["LMM"])
    archive.enrol("Barack Obama", [people / name for name in ("Barack_Obama_1.jpg",)])
    archive.enrol("Joe Biden", [people / "Joe_Biden.jpg"])
    return folder / "archive"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vidsearch", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_person_in_a_context_gives_their_shot_first(footage: Path) -> None:
    answer = Archive(footage).query("Lin-Manuel Miranda singing into a microphone")
    hit = answer.hits[0]
    assert (hit.start_s, hit.end_s) == pytest.approx(SINGER, abs=0.001)
    assert hit.people[0].probability > 0.5
    assert hit.people[0].reference == "Lin-Manuel_Miranda.jpg"
    assert SINGER[0] <= hit.people[0].time_s < SINGER[1]
    x0, y0, x1, y1 = hit.people[0].box
    assert 0 <= x0 < x1 <= 1
    assert 0 <= y0 < y1 <= 1


def test_context_alone_ranks_shots(footage: Path) -> None:
    answer = Archive(footage).query("people sitting in an audience")
    assert answer.people == ()
    assert any(hit.start_s == pytest.approx(AUDIENCE_S, abs=0.001) for hit in answer.hits[:2])


def test_a_name_alone_ranks_by_probability_and_an_alias_will_do(footage: Path) -> None:
    by_name = Archive(footage).query("lin-manuel miranda")
    assert by_name.context == ""
    assert all(hit.context_score is None for hit in by_name.hits)
    assert [hit.shot for hit in Archive(footage).query("LMM").hits] == [
        hit.shot for hit in by_name.hits
    ]


def test_somebody_in_no_shot_is_said_to_be_in_none(footage: Path) -> None:
    done = run("query", "Joe Biden giving a speech", "--archive", footage)
    assert done.returncode == 1
    assert done.stdout.startswith("No shot shows Joe Biden (best probability 0.")


def test_a_name_nobody_is_enrolled_under_is_told(footage: Path) -> None:
    done = run("query", "Joe Bidden giving a speech", "--archive", footage)
    assert done.returncode == 1
    assert "not enrolled" in done.stdout
    assert "Joe Biden" in done.stdout
    assert "vidsearch people add" in done.stdout


def test_the_json_form_is_fixed(footage: Path) -> None:
    done = run("query", "LMM singing", "--json", "-k", 1, "--archive", footage)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {"query", "people", "context", "message", "hits", "total", "groups"} <= set(answer)
    (hit,) = answer["hits"]
    assert {
        "rank", "video", "shot", "start_s", "end_s", "keyframe_s", "score", "context_score",
        "people",
    } <= set(hit)  # fmt: skip
    assert list(hit["people"][0]) == ["name", "probability", "time_s", "box", "reference"]


def test_time_and_video_narrow_the_search(footage: Path) -> None:
    archive = Archive(footage)
    assert all(hit.end_s > 7.1 for hit in archive.query("people", since=7.1).hits)
    assert all(hit.start_s < 0.5 for hit in archive.query("people", until=0.5).hits)
    assert archive.query("people", video="*poetry*").hits
    assert not archive.query("people", video="*.mkv").hits
    assert not archive.query("LMM", threshold=0.999).hits


def test_the_contact_sheet_is_a_picture(footage: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.jpg"
    done = run("query", "LMM", "--sheet", sheet, "--archive", footage)
    assert done.returncode == 0, done.stderr
    with Image.open(sheet) as picture:
        assert min(picture.size) > 200


def test_an_archive_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    done = run("query", "people", "--archive", tmp_path / "nothing")
    assert done.returncode == 2
    assert "vidsearch index" in done.stderr
    with pytest.raises(ArchiveUnavailable):
        Archive(tmp_path / "nothing").videos()


def test_enrolling_from_a_moment_needs_no_new_index(footage: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(footage, tmp_path / "archive"))
    clip = footage.parent / "white-house-poetry.mp4"
    archive = Archive(copy)
    archive.remove_person("LMM")
    archive.enrol("The Singer", [f"{clip}@00:00:04.2"])
    hits = Archive(copy).query("the singer").hits
    assert hits[0].start_s == pytest.approx(SINGER[0], abs=0.001)


def test_people_may_be_enrolled_before_anything_is_indexed(
    example_media: Path, tmp_path: Path
) -> None:
    photo = example_media / "people" / "Lin-Manuel_Miranda.jpg"
    done = run("people", "add", "The Poet", photo, "--archive", tmp_path / "archive")
    assert done.returncode == 0, done.stderr
    early = Archive(tmp_path / "archive").query("The Poet singing")
    assert "index" in early.message
    Archive(tmp_path / "archive").index([example_media / "white-house-poetry.mp4"])
    assert Archive(tmp_path / "archive").query("The Poet").hits


def test_people_are_listed_renamed_and_removed(footage: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(footage, tmp_path / "archive")
    assert run("people", "rename", "LMM", "The Poet", "--archive", copy).returncode == 0
    listed = json.loads(run("people", "list", "--json", "--archive", copy).stdout)
    assert {person["name"] for person in listed} == {"Barack Obama", "Joe Biden", "The Poet"}
    assert run("people", "remove", "The Poet", "--yes", "--archive", copy).returncode == 0
    assert run("people", "show", "The Poet", "--archive", copy).returncode == 2
    with pytest.raises(UnknownPerson, match="not enrolled"):
        Archive(copy).person("The Poet")


def test_explain_says_how_the_question_was_read_and_what_each_score_is_made_of(
    footage: Path,
) -> None:
    asked = ("query", "Lin-Manuel Miranda singing into a microphone", "--archive", footage)
    done = run(*asked, "--explain")
    assert done.returncode == 0
    table, explanation = done.stdout.split("\nRead as\n")
    assert "white-house-poetry.mp4" in table
    assert "person: Lin-Manuel Miranda" in explanation
    assert max(map(len, explanation.splitlines())) <= 80
    said = json.loads(run(*asked, "--explain", "--json").stdout)["explained"]
    assert [factor["kind"] for factor in said["hits"][0]["factors"]] == ["person", "scene"]
    assert "explained" not in json.loads(run(*asked, "--json").stdout)
