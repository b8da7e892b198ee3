"""COCO-PFS from real COCO photos and Labeled Faces in the Wild."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from idclip.cocopfs import pictures
from idclip.cocopfs.build import Options, build_cocopfs
from idclip.cocopfs.swap import ClassicSwapper, load_swapper
from idclip.faces import load_faces

pytestmark = [pytest.mark.real, pytest.mark.slow]

OPTIONS = Options(identities_per_image=3, least_photos=6)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    out = tmp_path_factory.mktemp("built") / "pfs"
    build_cocopfs(shared_data / "coco-mini", shared_data / "lfw90.tar", out, OPTIONS)
    return out


@pytest.fixture(scope="module")
def manifest(built: Path) -> dict[str, Any]:
    return json.loads((built / "manifest.json").read_text())


def content(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_one_person_photos_are_chosen_by_annotations_and_detector(
    manifest: dict[str, Any],
) -> None:
    for folder, uncovered, alone in (("train2017", 0, 15), ("val2017", 80, 15)):
        reasons = Counter(manifest["counts"]["photos"][folder]["reasons"])
        assert reasons["not covered by the instances file"] == uncovered
        assert reasons["no person annotated"] > 30
        seen = ("face smaller than 24 px", "no face found", "several faces found")
        strange = reasons["the face is not the annotated person's"]
        usable = manifest["counts"]["photos"][folder]["usable"]
        assert sum(reasons[reason] for reason in seen) + strange + usable == alone
        assert 5 <= usable <= 8


def test_most_clear_faces_become_somebody_else(manifest: dict[str, Any]) -> None:
    clear = [
        part["by_quality"][quality]
        for part in manifest["counts"]["splits"].values()
        for quality in ("0.2 to 0.4", "0.4 and more")
    ]
    photos, some = sum(c["photos"] for c in clear), sum(c["photos_kept"] for c in clear)
    assert photos >= 4
    assert some >= 0.8 * photos


def test_no_query_photo_was_swapped_in_or_shows_the_same(
    built: Path, manifest: dict[str, Any]
) -> None:
    vectors = []
    for person in manifest["people"].values():
        photos = [query["photo"] for query in person["query_photos"]]
        assert len(photos) >= 5
        assert not set(photos) & set(person["source_photos"])
        rows = np.array([query["vector"] for query in person["query_photos"]])
        assert (rows @ rows.T - np.eye(len(rows))).max() < 0.9
        vectors.append(rows)
    assert {rows.shape[1] for rows in vectors} == {manifest["face_dim"]}


def test_a_run_that_is_killed_goes_on_to_the_same_and_leaves_no_process(
    tmp_path: Path, shared_data: Path, built: Path
) -> None:
    out = tmp_path / "pfs"
    command = [sys.executable, "-c", "from idclip.cli_cocopfs import build_cocopfs as b; b()"]
    command += ["--coco", str(shared_data / "coco-mini"), "--out", str(out), "--jobs", "2"]
    command += ["--faces", str(shared_data / "lfw90.tar"), "--least-photos", "6"]
    command += ["--identities-per-image", "3"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    journals = ("select_val2017", "people_train", "swaps_train")
    for journal in journals:
        run = subprocess.Popen(
            command, stderr=subprocess.PIPE, env=environment, start_new_session=True
        )
        path = out / ".work" / f"{journal}.jsonl"
        until = time.monotonic() + 300
        while not (path.is_file() and path.stat().st_size) and run.poll() is None:
            assert time.monotonic() < until, f"{journal} was never begun"
            time.sleep(0.01)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert not (out / "manifest.json").exists()
        assert _gone(run.pid)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert content(out) == content(built)


def _gone(group: int) -> bool:
    """Whether every process of the group has ended within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_ray_cluster_makes_the_same_folder(
    tmp_path: Path, shared_data: Path, built: Path
) -> None:
    ray = pytest.importorskip("ray")
    from workers.cocopfs_job import cocopfs_job

    coco, faces = shared_data / "coco-mini", shared_data / "lfw90.tar"
    ray.shutdown()  # what another test in this process has left
    ray.init("local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        cocopfs_job(coco, faces, tmp_path / "pfs", OPTIONS)
    finally:
        ray.shutdown()
    assert content(tmp_path / "pfs") == content(built)


# --- inswapper -----------------------------------------------------------------------------------


class MeanColour:
    """Stands for ArcFace, whose weights are not here: 512 numbers from the face's colours."""

    name, dim, licence = "mean-colour", 512, "none"

    def embed(self, image: np.ndarray, faces: Any) -> np.ndarray:
        x0, y0, x1, y1 = (int(side) for side in faces[0].box)
        part = cv2.resize(image[max(0, y0) : y1, max(0, x0) : x1], (13, 13)).ravel()
        vector = np.resize(part, 512).astype(np.float32) / 255
        return (vector / np.linalg.norm(vector))[None]


def inswapper_file(path: Path) -> Path:
    """A network with inswapper_128's inputs, output and last initialiser, that paints one colour.

    The colour follows the vector: a file of the real network's form, without its weights.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    target = helper.make_tensor_value_info("target", TensorProto.FLOAT, [1, 3, 128, 128])
    source = helper.make_tensor_value_info("source", TensorProto.FLOAT, [1, 512])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 128, 128])
    weights = np.zeros((512, 3), np.float32)
    weights[:, 0] = 1 / 22
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["source", "weights"], ["colour"]),
            helper.make_node("Reshape", ["colour", "shape"], ["small"]),
            helper.make_node("Mul", ["target", "zero"], ["black"]),
            helper.make_node("Add", ["black", "small"], ["output"]),
        ],
        "stand-in",
        [target, source],
        [output],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1, 3, 1, 1], np.int64), "shape"),
            numpy_helper.from_array(np.float32([0]), "zero"),
            numpy_helper.from_array(np.eye(512, dtype=np.float32), "emap"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_inswappers_network_is_asked_and_its_face_pasted_back(
    tmp_path: Path, example_media: Path
) -> None:
    pytest.importorskip("insightface")
    from idclip.cocopfs.inswapper import InSwapper

    model, folder = load_faces("default", threads=1), example_media / "people"
    shown = []
    for name in ("Joe_Biden.jpg", "Lin-Manuel_Miranda.jpg"):
        picture = pictures.decoded((folder / name).read_bytes(), name)
        shown.append((picture, model.detect(picture, long_side=640)[0]))
    (old, old_face), (new, new_face) = shown
    swapper = InSwapper(inswapper_file(tmp_path / "inswapper_128.onnx"), arcface=MeanColour())
    swapped = swapper.swap(old, old_face, new, new_face)
    x, y = (int(v) for v in old_face.landmarks[2])
    red, green, blue = (int(v) for v in swapped[y, x])
    assert red > 150 > 20 > max(green, blue)  # RGB in, RGB out
    assert (swapped[-50:] == old[-50:]).all()
    assert "non-commercial" in swapper.licence
    assert not np.array_equal(swapped, ClassicSwapper().swap(old, old_face, new, new_face))


def test_inswapper_without_arcface_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("insightface")
    from idclip.errors import ModelUnavailable

    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    file = inswapper_file(tmp_path / "inswapper_128.onnx")
    with pytest.raises(ModelUnavailable, match="buffalo_l"):
        load_swapper(f"inswapper:{file}")


def test_a_file_that_is_no_inswapper_is_named(tmp_path: Path) -> None:
    pytest.importorskip("insightface")
    from idclip.errors import ModelUnavailable
    from idclip.faces import WEIGHTS

    for name in ("centerface.onnx", "face_vector.onnx"):
        with pytest.raises(ModelUnavailable, match=f"{name}: not the network inswapper_128"):
            load_swapper(f"inswapper:{WEIGHTS / name}")
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(ModelUnavailable, match=r"x\.onnx"):
        load_swapper(f"inswapper:{tmp_path / 'x.onnx'}")
