"""COCO-PFS from photos and faces to the finished folder, and what may go wrong on the way."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from idclip.cli import main
from idclip.cli_cocopfs import build_cocopfs as command
from idclip.cocopfs.build import Options, build_cocopfs
from idclip.cocopfs.galleries import SPLITS, split_of
from idclip.errors import VidsearchError

OPTIONS = Options(identities_per_image=2)
PEOPLE = ("Barack_Obama_1", "Joe_Biden")


def named(base: str, split: str) -> str:
    """A name of that base that belongs to the split."""
    return next(f"{base} {i}" for i in itertools.count(1) if split_of(f"{base} {i}") == split)


def shrunk(photo: Path, height: int, *, mirrored: bool = False, squeezed: float = 1.0) -> bytes:
    picture = cv2.imread(str(photo))
    size = round(squeezed * picture.shape[1] * height / picture.shape[0]), height
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", picture[:, ::-1] if mirrored else picture)[1])


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory, example_media: Path) -> Path:
    """Two photos to train on, three to test with, all of one man, and things to leave out."""
    folder, people = tmp_path_factory.mktemp("coco"), example_media / "people"
    miranda, lacamoire = people / "Lin-Manuel_Miranda.jpg", people / "Alex_Lacamoire.jpg"
    nothing = bytes(cv2.imencode(".jpg", np.full((200, 200, 3), 90, np.uint8))[1])
    photos = {
        "train2017": {
            1: shrunk(miranda, 240),
            2: shrunk(lacamoire, 240, mirrored=True),
            3: nothing,
            4: b"broken",
        },
        "val2017": {
            11: shrunk(miranda, 200, mirrored=True),
            12: shrunk(lacamoire, 220),
            13: shrunk(miranda, 300),
        },
    }
    (folder / "annotations").mkdir()
    for name, files in photos.items():
        (folder / name).mkdir()
        for number, data in files.items():
            (folder / name / f"{number:012d}.jpg").write_bytes(data)
        images = [{"id": n, "file_name": f"{n:012d}.jpg", "license": 1} for n in files]
        notes = [
            {"id": 10 * n + i, "image_id": n, "caption": f"A man sings {i}."}
            for n in files
            for i in range(5)
        ]
        data = {"licenses": [{"id": 1, "name": "public domain"}], "images": images}
        path = folder / "annotations" / f"captions_{name}.json"
        path.write_text(json.dumps({**data, "annotations": notes}))
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, example_media: Path) -> Path:
    """Two men in each split, each with three photos that no one would take for one."""
    folder = tmp_path_factory.mktemp("faces")
    for split, person in itertools.product(SPLITS, PEOPLE):
        place = folder / named(person.replace("_", " "), split)
        place.mkdir()
        photo = example_media / "people" / f"{person}.jpg"
        for number, squeezed in enumerate((1.0, 1.35, 0.72)):
            (place / f"{number}.jpg").write_bytes(shrunk(photo, 420, squeezed=squeezed))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, coco: Path, faces: Path) -> Path:
    out = tmp_path_factory.mktemp("built") / "pfs"
    build_cocopfs(coco, faces, out, OPTIONS)
    return out


@pytest.fixture(scope="module")
def manifest(built: Path) -> dict[str, Any]:
    return json.loads((built / "manifest.json").read_text())


def content(folder: Path) -> dict[str, str]:
    """The digest of every file of a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# --- what is built -------------------------------------------------------------------------------


def test_every_usable_photo_is_swapped_to_all_identities(manifest: dict[str, Any]) -> None:
    counts = manifest["counts"]["splits"]
    assert {split: (c["photos"], c["kept"]) for split, c in counts.items()} == {
        "train": (2, 4),
        "validation": (1, 2),
        "test": (2, 4),
    }


def test_the_layout_is_that_of_the_released_set(built: Path, manifest: dict[str, Any]) -> None:
    pictures = {path.name: path for path in built.glob("*2017/*.jpg")}
    assert set(pictures) == set(manifest["images"])
    for name, record in manifest["images"].items():
        assert name == f"{record['coco_file']}_{record['identity']}.jpg"
        assert pictures[name].parent.name == record["folder"]
        assert hashlib.sha256(pictures[name].read_bytes()).hexdigest() == record["sha256"]
    with (built / "identity_meta.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["Class_ID"] for row in rows} == set(manifest["people"])
    assert all(" " not in row["Name"] for row in rows)
    for split in SPLITS:
        vectors = json.loads((built / f"embeddings_{split}.json").read_text())
        wanted = [r for r in manifest["images"].values() if r["split"] == split]
        assert set(vectors) == {f"{r['coco_id']}_{r['identity']}" for r in wanted}
        assert all(np.shape(v) == (1, manifest["face_dim"]) for v in vectors.values())


def test_captions_are_those_of_the_kept_photos(built: Path) -> None:
    captions = json.loads((built / "annotations" / "captions_train2017.json").read_text())
    assert [image["id"] for image in captions["images"]] == [1, 2]
    assert len(captions["annotations"]) == 10


def test_identities_keep_to_their_split_and_splits_to_their_photos(
    manifest: dict[str, Any],
) -> None:
    people, photos = {}, {}
    for record in manifest["images"].values():
        people.setdefault(record["split"], set()).add(record["identity"])
        photos.setdefault(record["split"], set()).add(record["coco_id"])
        assert manifest["people"][record["identity"]]["split"] == record["split"]
        assert record["folder"] == ("train2017" if record["split"] == "train" else "val2017")
    for a, b in itertools.combinations(SPLITS, 2):
        assert not people[a] & people[b]
        assert not photos[a] & photos[b]


def test_a_query_is_never_the_photo_that_was_swapped_in(
    built: Path, manifest: dict[str, Any]
) -> None:
    for person in manifest["people"].values():
        queries = {query["photo"] for query in person["query_photos"]}
        assert queries
        assert not queries & set(person["source_photos"])
    for split in SPLITS:
        for key, vectors in json.loads((built / f"embeddings_{split}.json").read_text()).items():
            person = manifest["people"][key.split("_", 1)[1]]
            assert vectors[0] in [query["vector"] for query in person["query_photos"]]
    for record in manifest["images"].values():
        assert record["source_photo"] in manifest["people"][record["identity"]]["source_photos"]


def test_kept_swaps_are_nearest_to_the_new_person(manifest: dict[str, Any]) -> None:
    for record in manifest["images"].values():
        scores = record["scores"]
        assert scores["new"] > max(scores["old"], scores["other"])


def test_what_was_left_out_is_counted_and_named(built: Path, manifest: dict[str, Any]) -> None:
    reasons = manifest["counts"]["photos"]["train2017"]["reasons"]
    assert reasons == {
        "cannot be read as a picture": 1,
        "no face found": 1,
        "one person, one usable face": 2,
    }
    assert manifest["broken"] == {"train2017": ["000000000004.jpg"], "val2017": []}
    report = (built / "report.md").read_text()
    assert "no labels of gender and skin tone were given" in report
    assert "the face detector and the captions alone" in report
    assert "public domain" in report


def test_the_report_shows_pictures(built: Path) -> None:
    grid = cv2.imread(str(built / "report.jpg"))
    assert grid.shape[0] > 5 * 128
    assert grid.std() > 20


def test_nothing_but_the_layout_is_left(built: Path) -> None:
    assert sorted(path.name for path in built.iterdir()) == [
        "annotations",
        *(f"embeddings_{split}.json" for split in sorted(SPLITS)),
        "identity_meta.csv",
        "manifest.json",
        "report.jpg",
        "report.md",
        "train2017",
        "val2017",
    ]


# --- again, elsewhere, interrupted ---------------------------------------------------------------


def test_several_processes_make_the_same_folder(
    tmp_path: Path, coco: Path, faces: Path, built: Path
) -> None:
    build_cocopfs(coco, faces, tmp_path / "pfs", OPTIONS, jobs=2)
    assert content(tmp_path / "pfs") == content(built)


class Killed(Exception):
    """Stands for a run that ended in the middle."""


def killed_at(stage: str) -> Callable[[str, int, int], None]:
    def tell(now: str, done: int, total: int) -> None:
        if now == stage:
            raise Killed

    return tell


def test_a_killed_run_goes_on_and_comes_to_the_same(
    tmp_path: Path, coco: Path, faces: Path, built: Path
) -> None:
    out, looked = tmp_path / "pfs", []
    for stage in ("looking for faces in val2017", "test people", "swapping, test", "writing"):
        with pytest.raises(Killed):
            build_cocopfs(coco, faces, out, OPTIONS, tell=killed_at(stage))
        assert not (out / "manifest.json").exists()
    picture = next((out / "train2017").glob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:500])  # the disk was full, or somebody's hand
    (out / "val2017" / "stray.jpg").write_bytes(b"of a worker that was killed")

    def tell(stage: str, done: int, total: int) -> None:
        looked.append(stage)

    build_cocopfs(coco, faces, out, OPTIONS, tell=tell)
    assert content(out) == content(built)
    assert "swapping, train" in looked  # the damaged picture
    assert "swapping, validation" not in looked


def test_a_finished_folder_is_left_as_it_is(coco: Path, faces: Path, built: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    build_cocopfs(coco, faces, built, OPTIONS)
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == times


@pytest.mark.parametrize("finished", [True, False])
def test_other_options_on_the_same_folder_are_refused(
    tmp_path: Path, coco: Path, faces: Path, built: Path, finished: bool
) -> None:
    out = tmp_path / "pfs"
    if finished:
        shutil.copytree(built, out)
    else:
        with pytest.raises(Killed):
            build_cocopfs(coco, faces, out, OPTIONS, tell=killed_at("train people"))
    with pytest.raises(VidsearchError, match="another least-face, seed: give the options of then"):
        build_cocopfs(coco, faces, out, Options(identities_per_image=2, seed=7, least_face=30.0))


def test_another_seed_deals_other_queries(
    tmp_path: Path, coco: Path, faces: Path, built: Path
) -> None:
    options = Options(identities_per_image=1, seed=3, splits=("test",))
    one = build_cocopfs(coco, faces, tmp_path / "one", options)
    assert one["counts"]["splits"].keys() == {"test"}
    assert one["counts"]["splits"]["test"]["kept"] == 2
    assert not (tmp_path / "one" / "train2017").exists()


def test_a_limit_takes_fewer_photos_and_says_so(tmp_path: Path, coco: Path, faces: Path) -> None:
    options = Options(identities_per_image=1, limit=1, splits=("train",))
    made = build_cocopfs(coco, faces, tmp_path / "pfs", options)
    assert made["counts"]["photos"]["train2017"]["usable"] == 1
    assert made["counts"]["splits"]["train"]["kept"] == 1


def test_labels_of_looks_are_followed_and_said(tmp_path: Path, coco: Path, faces: Path) -> None:
    obama, biden = (named(person.replace("_", " "), "test") for person in PEOPLE)
    looks = tmp_path / "looks.csv"
    rows = [f"{obama},male,dark", f"{biden},male,light"]
    rows += [f"{n:012d}.jpg,male,light" for n in (11, 12)] + ["000000000013.jpg,male,dark"]
    looks.write_text("\n".join(["name,gender,skin", *rows]) + "\n")
    options = Options(identities_per_image=1, looks=looks, splits=("test",))
    made = build_cocopfs(coco, faces, tmp_path / "pfs", options)
    assert made["matched_by"].startswith("perceived gender and skin tone, as far as labels say")
    assert "in 2 of 2 photos" in made["matched_by"]
    for record in made["images"].values():
        light = record["coco_id"] != 13
        assert record["identity"] == (biden if light else obama).replace(" ", "_")


# --- bad input -----------------------------------------------------------------------------------


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path, coco: Path, faces: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(VidsearchError, match="holds other things"):
        build_cocopfs(coco, faces, tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_out_that_is_a_file_is_named(tmp_path: Path, coco: Path, faces: Path) -> None:
    (tmp_path / "pfs").write_text("")
    with pytest.raises(VidsearchError, match="is a file"):
        build_cocopfs(coco, faces, tmp_path / "pfs", OPTIONS)


def test_too_few_people_in_a_split_are_said_before_any_work(
    tmp_path: Path, coco: Path, faces: Path
) -> None:
    with pytest.raises(VidsearchError, match="only 2 people of the faces are in train"):
        build_cocopfs(coco, faces, tmp_path / "pfs", Options(identities_per_image=3))
    assert not (tmp_path / "pfs").exists()


def test_photos_that_show_nobody_are_an_error_with_counts(
    tmp_path: Path, coco: Path, faces: Path
) -> None:
    with pytest.raises(VidsearchError, match="3 face smaller than 900 px"):
        build_cocopfs(
            coco,
            faces,
            tmp_path / "pfs",
            Options(identities_per_image=2, least_face=900.0, splits=("test",)),
        )


def test_a_full_disk_is_said_and_the_run_can_go_on(
    tmp_path: Path, coco: Path, faces: Path, built: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    out = tmp_path / "pfs"
    name = sorted(path.name for path in (built / "train2017").iterdir())[0]
    (out / "train2017").mkdir(parents=True)
    with pytest.raises(VidsearchError, match="holds other things"):
        build_cocopfs(coco, faces, out, OPTIONS)
    (out / "train2017").rmdir()
    with pytest.raises(Killed):
        build_cocopfs(coco, faces, out, OPTIONS, tell=killed_at("train people"))
    (out / "train2017").mkdir()
    (out / "train2017" / f".{name}.part").symlink_to("/dev/full")
    with pytest.raises(VidsearchError, match="no space is left on the disk; free some"):
        build_cocopfs(coco, faces, out, OPTIONS)
    assert not (out / "manifest.json").exists()
    (out / "train2017" / f".{name}.part").unlink()
    build_cocopfs(coco, faces, out, OPTIONS)
    assert content(out) == content(built)


# --- the command ---------------------------------------------------------------------------------


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_command_says_what_came_of_it(coco: Path, faces: Path, built: Path) -> None:
    done = run(
        "--coco", coco, "--faces", faces, "--out", built, "--identities-per-image", 2, "--jobs", 1
    )
    assert done.exit_code == 0, done.output
    assert "test: 4 swaps of 2 photos, 2 people, 0 rejected" in done.output
    assert "report.md" in done.output


def test_the_cluster_has_the_same_command_without_jobs() -> None:
    from workers.cocopfs_job import command as on_cluster

    (there,) = on_cluster("auto").commands.values()
    here = {param.name for param in command.params}
    assert {param.name for param in there.params} == here - {"jobs"}
    done = subprocess.run(
        [sys.executable, "-m", "workers", "build-cocopfs", "-h"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "--identities-per-image" in done.stdout


def test_bad_input_is_one_message_and_status_2(tmp_path: Path, faces: Path) -> None:
    arguments = ["--coco", str(tmp_path), "--faces", str(faces), "--out", str(tmp_path / "pfs")]
    done = CliRunner().invoke(main, ["build-cocopfs", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"idclip: {tmp_path} is not in COCO's format: missing ")
    assert "captions_train2017.json" in done.stderr
    assert not (tmp_path / "pfs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--splits", "train,exam"], "give one or more of train, validation, test"),
        (["--splits", ""], "give one or more of"),
        (["--jobs", "0"], "--jobs"),
        (["--least-photos", "1"], "--least-photos"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_wrong_options_are_said(
    tmp_path: Path, coco: Path, faces: Path, arguments: list[str], said: str
) -> None:
    done = run("--coco", coco, "--faces", faces, "--out", tmp_path / "pfs", *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "pfs").exists()
