"""COCO's format is read, and what is missing in it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from idclip.cocopfs.coco import read_split
from idclip.errors import VidsearchError

PERSON, DOG = {"id": 1, "name": "person"}, {"id": 18, "name": "dog"}


def note(image: int, category: int = 1, crowd: int = 0) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "iscrowd": crowd, "bbox": [1, 2, 10, 20]}


def coco(
    folder: Path,
    captions: dict[int, list[str]],
    *,
    photos: list[int] | None = None,
    instances: tuple[list[int], list[dict[str, Any]]] | None = None,
) -> Path:
    """A folder in COCO's format; `instances` are the images they cover and their annotations."""
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for number in captions if photos is None else photos:
        (folder / "val2017" / f"{number:012d}.jpg").write_bytes(b"\xff\xd8")
    images = [{"id": n, "file_name": f"{n:012d}.jpg"} for n in captions]
    texts = [(n, text) for n, said in captions.items() for text in said]
    notes = [{"id": i, "image_id": n, "caption": text} for i, (n, text) in enumerate(texts)]
    write(folder, "captions", {"images": images, "annotations": notes})
    if instances is not None:
        covered = [image for image in images if image["id"] in instances[0]]
        data = {"images": covered, "annotations": instances[1], "categories": [PERSON, DOG]}
        write(folder, "instances", data)
    return folder


def write(folder: Path, kind: str, data: object) -> None:
    (folder / "annotations" / f"{kind}_val2017.json").write_text(json.dumps(data))


def test_photos_come_with_their_captions(tmp_path: Path) -> None:
    split = read_split(coco(tmp_path, {7: ["A man.", "A boy."], 3: ["A dog."]}), "val2017")
    assert [(image.coco_id, image.captions) for image in split.images] == [
        (3, ("A dog.",)),
        (7, ("A man.", "A boy.")),
    ]
    assert split.persons is None


def test_an_image_that_nobody_annotated_is_not_one_without_persons(tmp_path: Path) -> None:
    notes = [note(1), note(1, category=18), note(2), note(2)]
    folder = coco(tmp_path, {n: ["A man."] for n in (1, 2, 3, 4)}, instances=([1, 2, 3], notes))
    persons = read_split(folder, "val2017").persons
    assert persons is not None
    assert {number: len(boxes) for number, boxes in persons.items()} == {1: 1, 2: 2, 3: 0}
    assert persons[1] == ((1.0, 2.0, 11.0, 22.0),)


def test_a_crowd_counts_as_many(tmp_path: Path) -> None:
    folder = coco(tmp_path, {1: ["People."]}, instances=([1], [note(1, crowd=1)]))
    persons = read_split(folder, "val2017").persons
    assert persons is not None
    assert len(persons[1]) == 2


def test_instances_and_keypoints_are_taken_together(tmp_path: Path) -> None:
    folder = coco(tmp_path, {1: ["A man."], 2: ["A man."]}, instances=([1], [note(1)]))
    images = [{"id": 1}, {"id": 2}]
    notes = [note(1), note(1), note(2)]
    data = {"images": images, "annotations": notes, "categories": [PERSON]}
    write(folder, "person_keypoints", data)
    persons = read_split(folder, "val2017").persons
    assert persons is not None
    assert {number: len(boxes) for number, boxes in persons.items()} == {1: 2, 2: 1}


@pytest.mark.parametrize("missing", ["val2017", "annotations/captions_val2017.json"])
def test_a_missing_part_is_named(tmp_path: Path, missing: str) -> None:
    folder = coco(tmp_path / "coco", {1: ["A man."]})
    (folder / missing).rename(tmp_path / "away")
    with pytest.raises(VidsearchError, match=missing.replace(".", r"\.")):
        read_split(folder, "val2017")


def test_captions_without_photos_and_photos_without_captions_are_counted(tmp_path: Path) -> None:
    folder = coco(tmp_path, {1: ["A man."], 2: ["A boy."], 3: []}, photos=[1, 3, 9])
    split = read_split(folder, "val2017")
    assert [image.coco_id for image in split.images] == [1]
    assert split.absent == ("000000000002.jpg",)
    assert split.mute == ("000000000003.jpg", "000000000009.jpg")


def test_captions_of_other_photos_alone_are_an_error(tmp_path: Path) -> None:
    folder = coco(tmp_path, {1: ["A man."]}, photos=[2])
    with pytest.raises(VidsearchError, match="belong together"):
        read_split(folder, "val2017")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": [{"id": 1}]}', '{"images": [], "annotations": [{}]}']
)
def test_broken_captions_are_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    folder = coco(tmp_path, {1: ["A man."]})
    (folder / "annotations" / "captions_val2017.json").write_text(text)
    with pytest.raises(VidsearchError, match="captions_val2017"):
        read_split(folder, "val2017")


def test_the_captions_kept_are_in_cocos_own_format(tmp_path: Path) -> None:
    split = read_split(coco(tmp_path, {1: ["A man."], 2: ["A boy."]}), "val2017")
    kept = split.captions_of({2})
    assert kept["images"] == [{"id": 2, "file_name": "000000000002.jpg"}]
    assert [note["caption"] for note in kept["annotations"]] == ["A boy."]
