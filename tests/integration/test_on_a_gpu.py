"""What a GPU computes is what a processor computes; skipped where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from idclip.encoders import load_encoder
from vidsearch import Archive


def _no_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return True
    import torch

    return not torch.cuda.is_available()


pytestmark = [pytest.mark.slow, pytest.mark.skipif(_no_gpu(), reason="torch finds no CUDA GPU")]


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


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is absent")
def test_workers_of_a_cluster_share_a_gpu(tmp_path: Path, folder: Path) -> None:
    import ray
    from stored_rows import assert_same_rows

    from vidsearch.tasks import Load
    from workers import JobOptions, on_ray

    Archive(tmp_path / "cpu", encoder="idclip:compact", device="cpu").index([folder])
    there = Archive(tmp_path / "there", encoder="idclip:compact")
    ray.shutdown()  # what a test of another file may have left
    ray.init("local", include_dashboard=False, log_to_driver=False)
    try:
        analyst = on_ray(JobOptions("auto", device="cuda", num_gpus=0.5))
        events: list[Any] = list(there.indexing([folder], analyst=analyst))
    finally:
        ray.shutdown()
    assert_same_rows(there.path, tmp_path / "cpu")
    assert all(event.gpu is not None for event in events if isinstance(event, Load))
