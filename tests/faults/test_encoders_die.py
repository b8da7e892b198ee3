"""An encoder that workers share dies: it comes back, and no file is to blame."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from stored_rows import assert_same_rows
from two_nodes import STORE_BYTES, TwoNodes
from videos import encode, numbered

from vidsearch import Archive
from workers import JobOptions, index_job

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(4):
        encode(videos / f"v{number}.mp4", n_frames=30 + number)
    return videos


def check(two_nodes: TwoNodes, folder: Path) -> None:
    """All is there as a run on this machine makes it, and each file was decoded once."""
    archive = folder.parent / "archive"
    Archive(folder.parent / "expected").index([folder])
    assert_same_rows(archive, folder.parent / "expected")
    assert Archive(archive).verify() == []
    assert set(Counter(name for _, name in two_nodes.log()).values()) == {1}


@pytest.mark.parametrize("stage", ["encode", "faces"])
def test_an_encoder_that_is_killed_in_a_batch_is_started_again_and_asked_again(
    two_nodes: TwoNodes, folder: Path, example_media: Path, stage: str
) -> None:
    """Whether it was asked for pictures or for faces."""
    shutil.copy2(example_media / "white-house-poetry.mp4", folder)
    two_nodes.kill_at(stage)
    archive = folder.parent / "archive"
    options = JobOptions(two_nodes.address, encoders=1, faces_device="encoder")
    report = index_job(archive, [folder], options)
    assert two_nodes.killed(stage)
    assert (len(report.indexed), report.failed) == (5, ())
    shown = Archive(archive).shots(str(folder / "white-house-poetry.mp4"))
    assert any(shot.n_tracks for shot in shown)
    check(two_nodes, folder)


def test_encoders_killed_again_and_again_cost_time_alone(two_nodes: TwoNodes, folder: Path) -> None:
    for number in range(2):
        encode(folder / f"slow{number}.mp4", n_frames=150 + number)
    archive = folder.parent / "archive"
    options = JobOptions(two_nodes.address, encoders=1)
    killed = 0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(index_job, archive, [folder], options)
        while not two_nodes.log() and not running.done():
            time.sleep(0.05)
        while killed < 3 and not running.done():
            time.sleep(1.0)
            killed += sum(map(kill, encoders()))
        report = running.result()
    assert killed >= 2
    assert (len(report.indexed), report.failed) == (6, ())
    check(two_nodes, folder)


def cuts(index: int, size: tuple[int, int]) -> np.ndarray:
    """A frame of a video in which every 12 frames something else is seen."""
    shot = index // 12
    picture = numbered(shot * 977 % 65536, size)
    return np.roll(picture, shot * 37, axis=1) if shot % 2 else 255 - picture


def test_a_node_that_goes_for_good_costs_an_analysis_one_wait_and_not_one_a_shot(
    two_nodes: TwoNodes, folder: Path
) -> None:
    """Of two nodes that are said to have a GPU one goes, while files of twenty shots are begun."""
    gpus = [
        two_nodes.cluster.add_node(num_cpus=0, num_gpus=1, object_store_memory=STORE_BYTES)
        for _ in range(2)
    ]
    two_nodes.cluster.wait_for_nodes()
    for number in range(4):
        encode(folder / f"w{number}.mp4", n_frames=240 + number, draw=cuts)
    options, patience_s = JobOptions(two_nodes.address, num_gpus=1.0), 15.0
    two_nodes.wait_for_encoders(patience_s)
    with ThreadPoolExecutor(1) as pool:
        with two_nodes.holding("w"):
            running = pool.submit(index_job, folder.parent / "archive", [folder], options)
            while not any(name.startswith("w") for _, name in two_nodes.log()):
                assert not running.done(), running.result()
                time.sleep(0.05)
            two_nodes.cluster.remove_node(gpus[1], allow_graceful=False)
            time.sleep(15.0)  # Ray notices, and so does the job
        let_go_s = time.monotonic()
        report = running.result()
    assert (len(report.indexed), report.failed) == (8, ())
    # Two work at a time, and all four may have had their orders before; a wait for each second of
    # their requests were forty for each of the two.
    assert time.monotonic() - let_go_s < 7 * patience_s
    check(two_nodes, folder)


def encoders() -> list[psutil.Process]:
    """The processes of encoders that this test's cluster runs."""
    children = psutil.Process().children(recursive=True)
    return [each for each in children if _title(each).startswith("ray::EncoderActor")]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill(process: psutil.Process) -> bool:
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
