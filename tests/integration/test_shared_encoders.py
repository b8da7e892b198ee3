"""Workers of a cluster that share encoders store the rows of a run on one machine."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_rows import assert_same_rows
from videos import encode, numbered

from vidsearch import Archive
from vidsearch.errors import ModelUnavailable
from vidsearch.tasks import Load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is absent"),
]
SHOT = 12  # frames: many pictures to encode for little to decode


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """This machine, said to have a GPU: what does not find one encodes on the processor."""
    import ray

    ray.shutdown()  # what a test of another file may have left
    ray.init("local", num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def cuts(index: int, size: tuple[int, int]) -> np.ndarray:
    """A frame of a video in which every `SHOT` frames something else is seen."""
    shot = index // SHOT
    picture = numbered(shot * 977 % 65536, size)
    return np.roll(picture, shot * 37, axis=1) if shot % 2 else 255 - picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, example_media: Path) -> Path:
    videos = tmp_path_factory.mktemp("videos")
    shutil.copy2(example_media / "white-house-poetry.mp4", videos)
    for number in range(4):
        encode(videos / f"v{number}.mp4", n_frames=SHOT * 20 + number, draw=cuts)
    return videos


@pytest.mark.parametrize("encoder", ["concept", "idclip:compact"])
def test_shared_encoders_give_the_same_rows_from_batches_of_several_videos(
    tmp_path: Path, cluster: Any, folder: Path, encoder: str, caplog: pytest.LogCaptureFixture
) -> None:
    from workers import JobOptions, on_ray

    Archive(tmp_path / "here", encoder=encoder).index([folder])
    there = Archive(tmp_path / "there", encoder=encoder)
    analyst = on_ray(JobOptions("auto", num_gpus=1.0, gpu_batch=8))
    with caplog.at_level(logging.INFO, "workers.index_job"):
        events = list(there.indexing([folder], analyst=analyst))
    assert_same_rows(there.path, tmp_path / "here")
    assert there.verify() == []
    ((served,),) = [record.args for record in caplog.records if "shared encoders" in record.msg]
    assert served.batches > served.mixed > 0
    assert 2 < served.largest <= 8
    # What a picture is shrunk to, and no frame.
    assert served.n_bytes == served.pictures * 260 * 260 * 3
    n_keyframes = len(there._open.reader.rows().keyframe_vectors)
    assert served.pictures >= n_keyframes > 80
    loads = [event for event in events if isinstance(event, Load)]
    assert all(load.gpu is not None and 0 <= load.gpu <= 1 for load in loads)
    assert 0 < served.busy < 1


def test_encoders_can_be_shared_on_the_processor_too(
    tmp_path: Path, cluster: Any, folder: Path
) -> None:
    from workers import JobOptions, on_ray

    one = folder / "v1.mp4"
    Archive(tmp_path / "here").index([one])
    there = Archive(tmp_path / "there")
    events = list(there.indexing([one], analyst=on_ray(JobOptions("auto", encoders=2))))
    assert_same_rows(there.path, tmp_path / "here")
    assert {event.gpu for event in events if isinstance(event, Load)} == {None}


def test_a_gpu_that_the_node_has_not_is_told_before_any_work(
    tmp_path: Path, cluster: Any, folder: Path
) -> None:
    import onnxruntime

    from workers import JobOptions, on_ray

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is a GPU here")
    with pytest.raises(ModelUnavailable, match="onnxruntime that is installed has no CUDA"):
        Archive(tmp_path / "a").index([folder], analyst=on_ray(JobOptions("auto", device="cuda")))
    assert Archive(tmp_path / "a").videos() == []
