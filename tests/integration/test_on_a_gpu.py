"""What a GPU computes is what a processor computes; skipped where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from idclip.devices import onnx_has_cuda
from idclip.encoders import load_encoder
from idclip.faces import load_faces
from vidsearch import Archive


def _no_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return True
    import torch

    return not torch.cuda.is_available()


pytestmark = [pytest.mark.slow, pytest.mark.skipif(_no_gpu(), reason="torch finds no CUDA GPU")]


wants_onnx = pytest.mark.skipif(not onnx_has_cuda(), reason="onnxruntime has no CUDA")


@pytest.fixture
def folder(tmp_path: Path, example_media: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy2(example_media / "white-house-poetry.mp4", videos)
    return videos


def test_vectors_of_a_gpu_are_those_of_a_processor() -> None:
    noise = np.random.default_rng(1)
    pictures = [noise.integers(0, 256, (180, 320, 3), dtype=np.uint8) for _ in range(40)]
    there, here = (load_encoder("idclip:compact", device=each) for each in ("cuda", "cpu"))
    assert (there.device, here.device) == ("cuda", "cpu")
    expected = here.encode_images(pictures)
    assert np.abs(there.encode_images(pictures) - expected).max() < 1e-4
    assert np.abs(there.encode_prepared(there.prepare(pictures)) - expected).max() < 1e-4
    texts = ["a man at a lectern", "a dog"]
    assert np.abs(there.encode_texts(texts) - here.encode_texts(texts)).max() < 1e-4


def test_an_archive_is_the_same_from_a_gpu_and_can_go_on_without(
    tmp_path: Path, folder: Path
) -> None:
    from stored_rows import assert_same_rows

    for device in ("cuda", "cpu"):
        Archive(tmp_path / device, encoder="idclip:compact", device=device).index([folder])
    assert_same_rows(tmp_path / "cuda", tmp_path / "cpu")
    assert Archive(tmp_path / "cuda").query("a man at a lectern").hits


@wants_onnx
def test_faces_are_found_and_known_on_a_gpu_as_on_a_processor(example_media: Path) -> None:
    there, here = (load_faces("default", device=each) for each in ("cuda", "cpu"))
    assert (there.device, here.device) == ("cuda", "cpu")
    crops = []
    for file in sorted((example_media / "people").glob("*.jpg")):
        photo = np.ascontiguousarray(cv2.imread(str(file))[:, :, ::-1])
        expected = here.detect(photo, long_side=512)
        found = there.detect(photo, long_side=512)
        assert len(found) == len(expected) > 0
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours.box, theirs.box, atol=0.1)
            np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=0.1)
            assert abs(ours.quality - theirs.quality) < 1e-2
        crops.append(here.crops(photo, expected))
    many = np.concatenate(crops * 30)  # more than one batch of the network
    assert np.abs(there.embed_crops(many) - here.embed_crops(many)).max() < 1e-4


@wants_onnx
@pytest.mark.parametrize("encoder", ["concept", "idclip:compact"])
def test_an_archive_has_the_same_faces_from_a_gpu(
    tmp_path: Path, folder: Path, encoder: str
) -> None:
    from stored_rows import NEARLY, assert_same_rows

    there = Archive(tmp_path / "there", encoder=encoder, device="cpu", faces_device="cuda")
    there.index([folder])
    here = Archive(tmp_path / "here", encoder=encoder, device="cpu", faces_device="cpu")
    here.index([folder])
    assert_same_rows(there.path, here.path, boxes=NEARLY)


@wants_onnx
def test_faces_go_with_an_encoder_to_a_gpu_unasked() -> None:
    from idclip.devices import Devices
    from vidsearch.analyze import load_models

    def devices(asked: Devices) -> tuple[Any, str]:
        models: Any = load_models("idclip:compact", "default", 1, asked)
        return models.encoder.device, models.faces.device

    assert devices(Devices()) == ("cuda", "cuda")
    assert devices(Devices(faces="cpu")) == ("cuda", "cpu")
    assert devices(Devices("cpu")) == ("cpu", "cpu")


@wants_onnx
def test_a_gpu_that_this_machine_has_not_is_told() -> None:
    from idclip.errors import ModelUnavailable

    with pytest.raises(ModelUnavailable, match="--faces-device cuda:99"):
        load_faces("default", device="cuda:99")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is absent")
@pytest.mark.parametrize("faces", ["cpu", pytest.param("auto", marks=wants_onnx)])
def test_workers_of_a_cluster_share_a_gpu(
    tmp_path: Path, folder: Path, faces: str, caplog: pytest.LogCaptureFixture
) -> None:
    import ray
    from stored_rows import assert_same_rows

    from vidsearch.tasks import Load
    from workers import JobOptions, on_ray

    caplog.set_level("INFO", "workers.index_job")

    Archive(tmp_path / "cpu", encoder="idclip:compact", device="cpu").index([folder])
    there = Archive(tmp_path / "there", encoder="idclip:compact")
    ray.shutdown()  # what a test of another file may have left
    ray.init("local", include_dashboard=False, log_to_driver=False)
    try:
        options = JobOptions("auto", device="cuda", num_gpus=0.5, faces_device=faces)
        analyst = on_ray(options)
        events: list[Any] = list(there.indexing([folder], analyst=analyst))
    finally:
        ray.shutdown()
    assert_same_rows(there.path, tmp_path / "cpu")
    assert all(event.gpu is not None for event in events if isinstance(event, Load))
    ((served,),) = [record.args for record in caplog.records if "shared encoders" in record.msg]
    assert served.pictures.n > 0
    assert (served.faces.n > 0) == (faces == "auto")
