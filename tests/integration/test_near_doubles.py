"""Somebody enrolled twice, or very like somebody enrolled, is told at enrolment; others are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from vidsearch import Archive
from vidsearch.cli import main


@pytest.fixture(scope="module")
def enrolled(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list]:
    """Obama under two names by different photos, and Biden; and all that was said meanwhile."""
    said: list[str] = []
    folder = tmp_path_factory.mktemp("doubles") / "archive"
    archive = Archive(folder, waiting=said.append)
    people = example_media / "people"
    archive.enrol("Barack Obama", [people / "Barack_Obama_1.jpg"])
    archive.enrol("Joe Biden", [people / "Joe_Biden.jpg"])
    assert said == []
    archive.enrol("The President", [people / "Barack_Obama_2.jpg"])
    return folder, said


def test_the_same_person_under_another_name_is_told_with_what_to_do(
    enrolled: tuple[Path, list],
) -> None:
    _, said = enrolled

    (sentence,) = said
    assert sentence.startswith("The President looks like Barack Obama (probability ")
    assert "--more" in sentence
    assert "Joe Biden" not in sentence


def test_both_are_doubles_of_each_other_and_nobody_else_is(enrolled: tuple[Path, list]) -> None:
    archive = Archive(enrolled[0])

    of_one = archive.near_doubles("Barack Obama")
    of_other = archive.near_doubles("The President")

    assert [double.person.name for double in of_one] == ["The President"]
    assert of_one[0].probability == pytest.approx(of_other[0].probability)
    assert archive.near_doubles("Joe Biden") == ()


def test_json_of_people_add_names_the_double(
    enrolled: tuple[Path, list], example_media: Path, tmp_path: Path
) -> None:
    people, folder = example_media / "people", str(tmp_path / "archive")
    runner = CliRunner()
    runner.invoke(
        main, ["people", "add", "A", str(people / "Barack_Obama_1.jpg"), "--archive", folder]
    )

    result = runner.invoke(
        main,
        ["people", "add", "B", str(people / "Barack_Obama_2.jpg"), "--archive", folder, "--json"],
    )

    (double,) = json.loads(result.stdout)["near_doubles"]
    assert double["name"] == "A"
    assert double["probability"] > 0.1
