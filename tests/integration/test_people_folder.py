"""Galleries move between archives as a folder of photos, each person whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.errors import VidsearchError

OBAMA = ("Barack_Obama_1.jpg", "Barack_Obama_2.jpg")


@pytest.fixture(scope="module")
def photos(example_media: Path) -> Path:
    return example_media / "people"


@pytest.fixture(scope="module")
def source(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    archive = Archive(tmp_path_factory.mktemp("source") / "archive")
    archive.enrol("Barack Obama", [photos / name for name in OBAMA], aliases=["Obama"])
    archive.enrol("Joe: Biden/Jr", [photos / "Joe_Biden.jpg"])
    return archive


@pytest.fixture
def there(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "there")


@pytest.fixture
def folder(source: Archive, tmp_path: Path) -> Path:
    source.export_people(tmp_path / "moved")
    return tmp_path / "moved"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_people_go_out_and_come_in_as_they_were(
    source: Archive, folder: Path, there: Archive
) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "Barack Obama",
        "Joe_ Biden_Jr",
        "people.json",
    }
    assert all(each.person for each in there.import_people(folder))
    for before, after in zip(source.people(), there.people(), strict=True):
        assert (after.name, after.aliases) == (before.name, before.aliases)
        assert after.created_at == before.created_at
        for old, new in zip(before.photos, after.photos, strict=True):
            assert (new.name, new.sha256, new.jpeg) == (old.name, old.sha256, old.jpeg)
            assert float(new.vector @ old.vector) > 0.9  # of the kept picture, which is smaller


def test_only_the_named_are_written_and_never_over_something(
    source: Archive, tmp_path: Path
) -> None:
    source.export_people(tmp_path / "one", ["obama"])
    facts = json.loads((tmp_path / "one" / "people.json").read_text())
    assert [person["name"] for person in facts["people"]] == ["Barack Obama"]
    assert "vector" not in json.dumps(facts)
    with pytest.raises(VidsearchError, match="is not empty"):
        source.export_people(tmp_path / "one")


def test_who_is_here_already_is_refused_and_with_more_gets_the_photos_that_are_new(
    folder: Path, there: Archive, photos: Path
) -> None:
    there.enrol("Barack Obama", [photos / OBAMA[0]])
    first, second = there.import_people(folder)
    assert first.person is None
    assert "enrolled already" in first.reason
    assert second.person is not None
    assert len(there.person("Barack Obama").photos) == 1
    there.import_people(folder, more=True)
    assert [photo.name for photo in there.person("Barack Obama").photos] == list(OBAMA)
    assert there.person("Obama").name == "Barack Obama"


def test_nobody_is_enrolled_in_half(folder: Path, there: Archive) -> None:
    (folder / "Barack Obama" / "2.jpg").write_bytes(b"no picture")
    told = run("people", "import", folder, "--archive", there.path)
    assert told.exit_code == 3
    assert "not taken: Barack Obama: " in told.stdout
    assert "2.jpg" in told.stdout
    assert [person.name for person in there.people()] == ["Joe: Biden/Jr"]


def test_a_photo_whose_face_is_not_where_the_file_says_is_refused(
    folder: Path, there: Archive
) -> None:
    facts = json.loads((folder / "people.json").read_text())
    facts["people"][0]["photos"][0]["box"] = [0.0, 0.0, 0.01, 0.01]
    (folder / "people.json").write_text(json.dumps(facts))
    first, _ = there.import_people(folder)
    assert first.person is None
    assert "no face found any more in Barack_Obama_1.jpg" in first.reason


@pytest.mark.parametrize("file", ["../outside.jpg", "/etc/hosts"])
def test_a_file_outside_the_folder_is_not_read(folder: Path, there: Archive, file: str) -> None:
    shutil.copy(folder / "Barack Obama" / "1.jpg", folder.parent / "outside.jpg")
    facts = json.loads((folder / "people.json").read_text())
    facts["people"][0]["photos"][0]["file"] = file
    (folder / "people.json").write_text(json.dumps(facts))
    assert "lies outside the folder" in there.import_people(folder)[0].reason


@pytest.mark.parametrize("text", ["", "[]", '{"form": 1, "people": [{"name": "A"}]}'])
def test_a_damaged_list_is_told(folder: Path, there: Archive, text: str) -> None:
    (folder / "people.json").write_text(text)
    with pytest.raises(VidsearchError, match=r"people\.json is no list of people"):
        there.import_people(folder)


def test_plain_folders_of_photos_are_enrolled_too(
    photos: Path, there: Archive, tmp_path: Path
) -> None:
    for name, files in (("Barack Obama", OBAMA), ("Mixed Up", ("Joe_Biden.jpg", OBAMA[0]))):
        (tmp_path / "plain" / name).mkdir(parents=True)
        for file in files:
            shutil.copy(photos / file, tmp_path / "plain" / name)
    told = run("people", "import", tmp_path / "plain", "--archive", there.path, "--json")
    assert told.exit_code == 3
    obama, mixed = json.loads(told.stdout)
    assert len(obama["person"]["photos"]) == 2
    assert mixed["person"] is None
    assert "enrolled already" in mixed["reason"] or "look like one person" in mixed["reason"]
    assert [person.name for person in there.people()] == ["Barack Obama"]


def test_a_folder_without_people_is_told(there: Archive, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(VidsearchError, match="holds no people"):
        there.import_people(tmp_path / "bare")
    assert not there.path.exists()


def test_who_was_forgotten_is_not_let_in_by_the_back_door(folder: Path, there: Archive) -> None:
    there.import_people(folder)
    there.forget_person("Obama")
    first, _ = there.import_people(folder, more=True)
    assert first.person is None
    assert "was forgotten" in first.reason
    assert there.import_people(folder, more=True, allow=True)[0].person is not None


def test_an_archive_without_people_writes_nothing(tmp_path: Path, source: Archive) -> None:
    told = run("people", "export", tmp_path / "out", "Obama", "--archive", source.path)
    assert told.exit_code == 0
    assert told.stdout.strip().endswith("1 person, 2 photos")
    both = run("people", "export", tmp_path / "both", "--archive", source.path)
    assert both.stdout.strip().endswith(": 2 people, 3 photos")
