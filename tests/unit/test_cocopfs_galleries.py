"""People are split by name, and a photo that is swapped in is never asked with."""

from __future__ import annotations

import io
import itertools
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.lfw import split_of as split_of_lfw
from idclip.cocopfs.galleries import (
    Enrolled,
    enrol,
    identity_of,
    roster,
    split_of,
)
from idclip.cocopfs.jobs import runner
from idclip.cocopfs.journal import Journal
from idclip.cocopfs.photos import open_photos
from idclip.errors import VidsearchError

NAMES = [f"Person {i}" for i in range(60)]
TRAIN = [name for name in NAMES if split_of(name) == "train"]


def test_nobody_of_the_face_models_fit_or_cohort_is_in_the_test_split() -> None:
    parts = {(split_of(name), split_of_lfw(name)) for name in NAMES}
    assert parts == {("test", "test"), ("validation", "cohort"), ("train", "fit")}


def faces_folder(place: Path, people: dict[str, list[bytes]]) -> Path:
    for name, photos in people.items():
        (place / name).mkdir(parents=True)
        for number, data in enumerate(photos):
            (place / name / f"{number:04d}.jpg").write_bytes(data)
    return place


def packed(folder: Path, tar: Path) -> Path:
    with tarfile.open(tar, "w") as archive:
        archive.add(folder, arcname=".")
    return tar


def test_a_folder_and_a_tar_hold_the_same_people(tmp_path: Path) -> None:
    folder = faces_folder(tmp_path / "faces", {"Anna": [b"1", b"2"], "Ben": [b"3"], "Eva": []})
    in_folder, in_tar = open_photos(folder), open_photos(packed(folder, tmp_path / "faces.tar"))
    assert in_folder.people() == in_tar.people()
    assert in_folder.people()["Anna"] == ["Anna/0000.jpg", "Anna/0001.jpg"]
    assert in_folder.read("Ben/0000.jpg") == in_tar.read("Ben/0000.jpg") == b"3"


def test_people_with_too_few_photos_or_none_are_told(tmp_path: Path) -> None:
    photos = {"Anna": [b""] * 3, "Ben": [b""] * 2, "Cleo": [b""], "Eva": []}
    people = roster(open_photos(faces_folder(tmp_path / "faces", photos)), least_photos=2)
    assert sorted(people.photos) == ["Anna", "Ben"]
    assert (people.too_few, people.empty) == (("Cleo",), ("Eva",))


@pytest.mark.parametrize("people", [{}, {"Anna": [b""] * 5}, {"Anna": [b""] * 5, "Ben": []}])
def test_one_person_alone_is_an_error(tmp_path: Path, people: dict[str, list[bytes]]) -> None:
    (tmp_path / "faces").mkdir()
    photos = open_photos(faces_folder(tmp_path / "faces", people))
    with pytest.raises(VidsearchError, match="at least two people"):
        roster(photos, least_photos=2)


def test_two_folders_for_one_identity_are_an_error(tmp_path: Path) -> None:
    people = {"Anna Rossi": [b""] * 2, "Anna_Rossi": [b""] * 2}
    with pytest.raises(VidsearchError, match="both be called Anna_Rossi"):
        roster(open_photos(faces_folder(tmp_path / "faces", people)), least_photos=2)


def test_a_file_that_is_no_tar_and_a_path_that_is_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "faces.tar").write_bytes(b"no tar")
    for name in ("faces.tar", "absent"):
        with pytest.raises(VidsearchError, match=name):
            open_photos(tmp_path / name)


def test_numbers_get_the_names_that_stand_beside_them(tmp_path: Path) -> None:
    folder = faces_folder(tmp_path / "faces", {"n01": [b""] * 2, "Ben Ito": [b""] * 2})
    (folder / "identity_meta.csv").write_text("Class_ID, Name\nn01, Anna_Rossi\n")
    people = roster(open_photos(folder), least_photos=2)
    assert people.names == {"n01": "Anna Rossi", "Ben Ito": "Ben Ito"}
    assert identity_of("Ben Ito") == "Ben_Ito"


def jpeg(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", picture)[1])


@pytest.fixture(scope="module")
def portraits(example_media: Path) -> list[bytes]:
    """Photos of one man that differ as photos do: in shape, light, sharpness and size."""
    photo = cv2.imread(str(example_media / "people" / "Barack_Obama_1.jpg"))
    shapes = [(336, 420), (454, 420), (242, 420), (104, 130)]
    plain, wide, narrow, small = (
        cv2.resize(photo, s, interpolation=cv2.INTER_AREA) for s in shapes
    )
    other = (example_media / "people" / "Barack_Obama_2.jpg").read_bytes()
    blurred, dark = cv2.GaussianBlur(plain, (0, 0), 3.5), (plain * 0.15).astype(np.uint8)
    return [other, *(jpeg(p) for p in (plain, wide, narrow, small, blurred, dark))]


def enrolled(place: Path, folder: Path, **changed: int) -> Enrolled:
    given = {"wanted": 9, "least_photos": 2, **changed}
    people = roster(open_photos(folder), least_photos=given["least_photos"])
    place.mkdir(exist_ok=True)
    with Journal(place / "people.jsonl") as journal:
        return enrol(
            people,
            folder,
            "train",
            face_model="default",
            least_quality=0.2,
            run=runner(1),
            journal=journal,
            tell=lambda done, total: None,
            **given,
        )


@pytest.mark.parametrize(("photos", "sources"), [(2, 1), (3, 1), (6, 1), (7, 2)])
def test_no_source_photo_is_a_query_photo(
    tmp_path: Path, portraits: list[bytes], photos: int, sources: int
) -> None:
    people = dict.fromkeys(TRAIN[:2], portraits[:photos])
    found = enrolled(tmp_path / "work", faces_folder(tmp_path / "faces", people))
    assert len(found.people) == 2
    for person in found.people:
        swapped_in = {source.photo for source in person.sources}
        asked_with = {query.photo for query in person.queries}
        assert len(swapped_in) == sources
        assert not swapped_in & asked_with
        assert len(swapped_in | asked_with) == photos
        assert abs(float((person.mean() ** 2).sum()) - 1) < 1e-5


def test_a_photograph_that_is_there_twice_is_not_source_and_query(
    tmp_path: Path, portraits: list[bytes]
) -> None:
    again = jpeg(cv2.imdecode(np.frombuffer(portraits[1], np.uint8), 1)[8:-8, 4:-4])
    people = {name: [portraits[1], again, portraits[0]] for name in TRAIN[:2]}
    found = enrolled(tmp_path / "work", faces_folder(tmp_path / "faces", people))
    for person in found.people:
        (source,), (query,) = person.sources, person.queries
        assert {source.photo[-8:], query.photo[-8:]} >= {"0002.jpg"}
    assert all(why.startswith("the same photograph as") for why in found.bad.values())
    assert len(found.bad) == 2


def test_the_best_photo_is_swapped_in(tmp_path: Path, portraits: list[bytes]) -> None:
    other, plain, *_, blurred, dark = portraits
    people = {name: [dark, blurred, plain, other] for name in TRAIN[:2]}
    found = enrolled(tmp_path / "work", faces_folder(tmp_path / "faces", people))
    assert [[s.photo[-8:] for s in p.sources] for p in found.people] == [["0002.jpg"]] * 2


def test_broken_photos_are_skipped_and_named(tmp_path: Path, portraits: list[bytes]) -> None:
    (first, second), photo = TRAIN[:2], portraits[0]
    people = {first: [photo, b"broken", portraits[1]], second: [photo, b"", b"\xff\xd8"]}
    found = enrolled(tmp_path / "work", faces_folder(tmp_path / "faces", people))
    assert [person.name for person in found.people] == [first]
    assert found.dropped == {second: "1 usable photos"}
    assert set(found.bad) == {f"{first}/0001.jpg", f"{second}/0001.jpg", f"{second}/0002.jpg"}


def test_only_as_many_people_are_looked_at_as_are_wanted(
    tmp_path: Path, portraits: list[bytes]
) -> None:
    folder = faces_folder(tmp_path / "faces", dict.fromkeys(TRAIN[:5], portraits[:2]))
    assert len(enrolled(tmp_path / "work", folder, wanted=2).people) == 2
    with Journal(tmp_path / "work" / "people.jsonl") as journal:
        assert len(list(journal)) == 2


def test_a_tars_photos_are_read_where_names_begin_with_a_dot(
    tmp_path: Path, portraits: list[bytes]
) -> None:
    tar = tmp_path / "faces.tar"
    with tarfile.open(tar, "w") as archive:
        for person, (number, data) in itertools.product(TRAIN[:2], enumerate(portraits[:2])):
            info = tarfile.TarInfo(f"./{person}/{number}.jpg")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert len(enrolled(tmp_path / "work", tar).people) == 2
