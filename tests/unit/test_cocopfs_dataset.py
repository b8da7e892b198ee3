"""COCO-PFS folders, whole and broken, in both layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pfs_folders as pfs
import pytest

from idclip.cocopfs.dataset import CocoPFS, load_image
from idclip.cocopfs.layout import BadDataset
from idclip.errors import UnreadableImage, VidsearchError

PEOPLE = {"train": ["Ann_Lee"], "validation": ["Zoë_Ål"], "test": ["Bob_Ray_Jr", "Cy_Ott"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return pfs.ours(tmp_path / "pfs", PEOPLE)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """Other folders and file names, VGGFace2's identities and its CSV, 512 numbers, no manifest."""
    root = tmp_path / "released"
    names = {"n000106": "Anna_Rossi", "n000200": "Bo_Li", "n000300": "Cy_Ott"}
    lines = [f'{key}, "{name}", 12, 1, f' for key, name in names.items()]
    meta = "\n".join(["Class_ID, Name, Sample_Num, Flag, Gender", *lines])
    pfs.write_json(
        root / "x" / "features_train_small_faceswap.json", {"285_n000300": [[0.5] * 512]}
    )
    second = [0.0] * 511 + [1.0]
    vectors = {"139_n000106": [[1.0] * 512], "139_n000200": [second], "285_n000106": [[2.0] * 512]}
    pfs.write_json(root / "x" / "features_new_entities_test_small_faceswap.json", vectors)
    pfs.coco(root / "coco" / "annotations" / "captions_val2017.json", {139: ["A man.", "A dog."]})
    pfs.coco(root / "coco" / "annotations" / "captions_train2017.json", {285: ["A cat."]})
    (root / "x" / "identity_meta.csv").write_text(meta, "utf-8")
    for key in [*vectors, "285_n000300"]:
        image_id, identity = key.split("_")
        name = f"{pfs.scene_file(int(image_id))}_{identity}.jpg"
        pfs.picture(root / "coco_swapped" / name, 200, 10)
    return root


def test_our_layout(root: Path) -> None:
    data = CocoPFS(root, "test")
    assert (data.face_dim, data.face_model, data.fingerprint) == (4, "toy", "f00d")
    assert [(s.image_id, s.identity) for s in data.samples] == [
        (139, "Bob_Ray_Jr"),
        (139, "Cy_Ott"),
        (285, "Bob_Ray_Jr"),
        (285, "Cy_Ott"),
    ]
    first = data.samples[0]
    assert first.name == "Bob Ray Jr"
    assert first.image == root / "val2017" / "000000000139.jpg_Bob_Ray_Jr.jpg"
    assert first.scene == "000000000139.jpg"
    assert first.captions == tuple(pfs.CAPTIONS[139])
    assert first.face_px == 20
    assert first.vector.dtype == np.float32
    assert first.vector == pytest.approx(pfs.face("Bob_Ray_Jr"))
    assert set(data.people) == {"Bob_Ray_Jr", "Cy_Ott"}
    bob = data.people["Bob_Ray_Jr"]
    assert bob.vectors.shape == (2, 4)
    assert bob.qualities == pytest.approx([0.9, 0.5])  # the best photo first
    assert bob.vectors[0] == pytest.approx(pfs.face("Bob_Ray_Jr"))


def test_splits_are_apart(root: Path) -> None:
    assert [s.identity for s in CocoPFS(root, "train").samples] == ["Ann_Lee"] * 2
    assert {s.name for s in CocoPFS(root, "val").samples} == {"Zoë Ål"}
    assert CocoPFS(root, "val").split == "validation"
    assert len(CocoPFS(root)) == 8
    assert set(CocoPFS(root).people) == {who for some in PEOPLE.values() for who in some}


def test_the_released_layout(released: Path) -> None:
    data = CocoPFS(released, "test")
    assert (data.face_dim, data.face_model) == (512, "arcface")
    assert [(s.image_id, s.name) for s in data.samples] == [
        (139, "Anna Rossi"),
        (139, "Bo Li"),
        (285, "Anna Rossi"),
    ]
    assert data.samples[0].image.parent == released / "coco_swapped"
    assert data.samples[0].captions == ("A man.", "A dog.")
    assert data.samples[2].captions == ("A cat.",)  # from the other captions file
    assert data.samples[0].face_px is None
    assert data.samples[0].vector.shape == (512,)
    assert data.people["n000106"].vectors.shape == (2, 512)
    assert data.people["n000200"].vectors.shape == (1, 512)
    assert np.isnan(data.people["n000200"].qualities).all()
    assert len(CocoPFS(released)) == 4
    with pytest.raises(BadDataset, match=r"no vectors for the split validation, only .*train"):
        CocoPFS(released, "validation")


def test_a_fingerprint_follows_the_content(released: Path) -> None:
    before = CocoPFS(released, "test").fingerprint
    assert CocoPFS(released, "test").fingerprint == before
    assert CocoPFS(released, "train").fingerprint != before
    file = released / "x" / "features_new_entities_test_small_faceswap.json"
    file.write_text(file.read_text().replace("2.0", "3.0"))
    assert CocoPFS(released, "test").fingerprint != before


def test_a_file_that_names_no_split_gives_all_without_one(released: Path) -> None:
    file = released / "x" / "features_new_entities_test_small_faceswap.json"
    file.rename(file.with_name("features.json"))
    (released / "x" / "features_train_small_faceswap.json").unlink()
    assert len(CocoPFS(released)) == 3
    with pytest.raises(BadDataset, match=r"features\.json \(of no split\)"):
        CocoPFS(released, "test")


def test_pictures_are_rgb(root: Path) -> None:
    image = load_image(CocoPFS(root, "test").samples[1])
    assert image.shape == (16, 24, 3)
    assert image.dtype == np.uint8
    assert image.mean(axis=(0, 1)) == pytest.approx([90, 30, 40], abs=4)


def test_a_broken_picture_is_named(root: Path) -> None:
    sample = CocoPFS(root, "test").samples[0]
    for content in (b"", b"no picture", sample.image.read_bytes()[:200]):
        sample.image.write_bytes(content)
        with pytest.raises(UnreadableImage, match=r"139\.jpg_Bob_Ray_Jr"):
            load_image(sample)


# --- broken folders ------------------------------------------------------------------------------


def changed(file: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        data = json.loads((root / file).read_text())
        change(data)
        (root / file).write_text(json.dumps(data))

    return apply


VECTORS, MANIFEST = "embeddings_test.json", "manifest.json"
CAPTIONS = "annotations/captions_val2017.json"
KEY = "139_Cy_Ott"
PICTURE = "000000000139.jpg_Cy_Ott.jpg"

BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no picture": (
        lambda root: (root / "val2017" / PICTURE).unlink(),
        rf"1 of 4 pictures are missing, the first is {PICTURE}",
    ),
    "no vectors": (lambda root: (root / VECTORS).unlink(), "no vectors for the split test"),
    "cut vectors": (
        lambda root: (root / VECTORS).write_text((root / VECTORS).read_text()[:80]),
        rf"{VECTORS}: not readable as JSON",
    ),
    "short vector": (
        changed(VECTORS, lambda data: data[KEY][0].pop()),
        f'{VECTORS}: the vector of "{KEY}" has 3 numbers instead of 4',
    ),
    "two vectors": (changed(VECTORS, lambda data: data[KEY].append([1] * 4)), r"shape \[2, 4\]"),
    "no number": (
        changed(VECTORS, lambda data: data.update({KEY: [["a"] * 4]})),
        f"{KEY}.*numbers",
    ),
    "ragged": (changed(VECTORS, lambda data: data.update({KEY: [[1], [1, 2]]})), f"{KEY}.*numbers"),
    "NaN": (
        changed(VECTORS, lambda data: data.update({KEY: [[float("nan")] * 4]})),
        f"{KEY}.*not finite",
    ),
    "zero": (changed(VECTORS, lambda data: data.update({KEY: [[0] * 4]})), f"{KEY}.*zero"),
    "odd key": (
        changed(VECTORS, lambda data: data.update({"Cy": [[1] * 4]})),
        '"Cy" is not <image',
    ),
    "unknown scene": (
        changed(VECTORS, lambda data: data.update({"7_Cy_Ott": [[1] * 4]})),
        "no captions for 1 images, the first has the id 7",
    ),
    "declared otherwise": (
        changed(MANIFEST, lambda data: data.update(face_dim=128)),
        "4 numbers instead of 128",
    ),
    "photo of another length": (
        changed(MANIFEST, lambda data: data["people"]["Cy_Ott"]["query_photos"][1]["vector"].pop()),
        "photo of Cy_Ott has 3 numbers",
    ),
    "no query photo": (
        changed(MANIFEST, lambda data: data["people"]["Cy_Ott"].update(query_photos=[])),
        "Cy_Ott has no query photo",
    ),
    "person not listed": (
        changed(MANIFEST, lambda data: data["people"].pop("Cy_Ott")),
        "manifest.json: Cy_Ott is missing",
    ),
    "person of training": (
        changed(MANIFEST, lambda data: data["people"]["Cy_Ott"].update(split="train")),
        "Cy_Ott belongs to train but is in pictures of test",
    ),
    "picture not listed": (
        changed(MANIFEST, lambda data: data["images"].pop(PICTURE)),
        "manifest.json: face_px is missing",
    ),
    "later format": (
        changed(MANIFEST, lambda data: data.update(format=2)),
        "not a manifest of format",
    ),
    "cut manifest": (
        lambda root: (root / MANIFEST).write_text('{"format": 1'),
        "manifest.json: not readable as JSON",
    ),
    "no face model": (
        changed(MANIFEST, lambda data: data.pop("face_model")),
        "face_model is missing",
    ),
    "no captions": (
        lambda root: [file.unlink() for file in (root / "annotations").iterdir()],
        r"no captions\*\.json",
    ),
    "captions without image": (
        changed(CAPTIONS, lambda data: data["images"].pop()),
        r"captions_val2017\.json: has captions of image 285 but does not list it",
    ),
    "no COCO": (
        changed(CAPTIONS, lambda data: data.pop("annotations")),
        "not COCO's captions format",
    ),
    "no names": (lambda root: (root / "identity_meta.csv").unlink(), "no identity_meta.csv"),
    "name missing": (
        lambda root: (root / "identity_meta.csv").write_text("Class_ID,Name\nBob_Ray_Jr,Bob\n"),
        "no name to the identity Cy_Ott",
    ),
    "other columns": (
        lambda root: (root / "identity_meta.csv").write_text("id,name\n1,2\n"),
        "no column 'Class_ID'",
    ),
    "names in another encoding": (
        lambda root: (root / "identity_meta.csv").write_bytes(
            "Class_ID,Name\nZoë,Zoë".encode("cp1252")
        ),
        "not readable as CSV",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_missing_or_wrong_is_named(root: Path, case: str) -> None:
    break_it, message = BROKEN[case]
    break_it(root)
    with pytest.raises(BadDataset, match=message):
        CocoPFS(root, "test")


def test_an_image_without_captions_is_named(root: Path) -> None:
    for file in (root / "annotations").iterdir():
        data = json.loads(file.read_text())
        data["annotations"] = [said for said in data["annotations"] if said["image_id"] != 285]
        file.write_text(json.dumps(data))
    with pytest.raises(BadDataset, match="no captions for 1 images, the first has the id 285"):
        CocoPFS(root, "test")


def test_a_build_that_stopped_halfway_is_not_taken_for_a_released_one(root: Path) -> None:
    (root / ".work").mkdir()
    assert len(CocoPFS(root, "test")) == 4  # killed after its last file
    (root / "manifest.json").unlink()
    with pytest.raises(BadDataset, match=r"is not finished; run the same .* again"):
        CocoPFS(root, "test")


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="no such folder"):
        CocoPFS(tmp_path / "absent")
    with pytest.raises(BadDataset, match=r"no JSON with vectors.*build-cocopfs"):
        CocoPFS(tmp_path)
    with pytest.raises(VidsearchError, match='no split "dev"; choose train, validation, test'):
        CocoPFS(tmp_path, "dev")
