"""Workers of a cluster that share encoders, and what knows faces, store the rows of a run on one
machine.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
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


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory, example_media: Path) -> Path:
    """Videos in which every `SHOT` frames photos of two other people are seen."""
    files = sorted((example_media / "people").glob("*.jpg"))
    photos = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
    videos = tmp_path_factory.mktemp("portraits")
    for number in range(3):

        def draw(index: int, size: tuple[int, int], first: int = number) -> np.ndarray:
            shot, half = index // SHOT + first, (size[0] // 2, size[1])
            two = [photos[n % len(photos)] for n in (shot, shot + 1 + shot % 3)]
            return np.hstack([cv2.resize(p, half, interpolation=cv2.INTER_AREA) for p in two])

        n_frames = SHOT * 20 + number
        encode(videos / f"p{number}.mp4", n_frames=n_frames, size=(480, 240), draw=draw)
    return videos


def served_of(caplog: pytest.LogCaptureFixture) -> Any:
    """What a job told of its shared encoders."""
    ((served,),) = [record.args for record in caplog.records if "shared encoders" in record.msg]
    return served


@pytest.mark.parametrize("device", ["encoder", "cpu"])
def test_faces_are_known_beside_shared_encoders_or_by_each_worker_with_the_same_rows(
    tmp_path: Path,
    cluster: Any,
    portraits: Path,
    device: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from workers import JobOptions, on_ray
    from workers.batching import Count

    Archive(tmp_path / "here").index([portraits])
    there = Archive(tmp_path / "there")
    options = JobOptions("auto", encoders=1, gpu_batch=8, faces_device=device)
    with caplog.at_level(logging.INFO, "workers.index_job"):
        there.index([portraits], analyst=on_ray(options))
    assert_same_rows(there.path, tmp_path / "here")
    assert there.verify() == []
    faces = served_of(caplog).faces
    if device == "cpu":
        assert faces == Count()
        return
    shots = [shot for video in there.videos() for shot in there.shots(video.video_id)]
    assert faces.n >= sum(shot.n_tracks for shot in shots) > 60
    assert faces.batches > faces.mixed > 0
    assert 2 < faces.largest <= 8
    assert faces.n_bytes == faces.n * 150 * 150 * 3  # crops, and no picture


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
    served = served_of(caplog)
    pictures = served.pictures
    assert pictures.batches > pictures.mixed > 0
    assert 2 < pictures.largest <= 8
    # What a picture is shrunk to, and no frame.
    assert pictures.n_bytes == pictures.n * 260 * 260 * 3
    n_keyframes = len(there._open.reader.rows().keyframe_vectors)
    assert pictures.n >= n_keyframes > 80
    assert served.faces.n == 0  # workers know them: no encoder is on a GPU
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
    for options, said in (
        (JobOptions("auto", device="cuda"), "--device cuda: the onnxruntime"),
        (JobOptions("auto", num_gpus=1.0, faces_device="cuda"), "--faces-device cuda: the onnxrun"),
    ):
        with pytest.raises(ModelUnavailable, match=said):
            Archive(tmp_path / "a").index([folder], analyst=on_ray(options))
        assert Archive(tmp_path / "a").videos() == []
