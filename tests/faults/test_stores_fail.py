"""What is written to, and read from, is full, slow or fails: the job backs off, or says so clearly.

Nothing is lost: what was published stays, and the next run goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_store import ObjectStore, object_store
from stored_rows import assert_same_rows
from two_nodes import FAULTS, TwoNodes, hooks, two_nodes_in
from videos import encode

from vidsearch import Archive
from vidsearch.tasks import QUARANTINE
from workers import JobOptions, index_job

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


def noise(number: int, size: tuple[int, int]) -> np.ndarray:
    """Pictures that nothing can foretell; another one every twelve frames."""
    draw = np.random.default_rng(number // 12)
    return draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(6):
        encode(videos / f"v{number}.mp4", n_frames=30 + number)
    return videos


def expected(folder: Path) -> Path:
    """The archive that a run on this machine makes of the same files."""
    archive = folder.parent / "expected"
    Archive(archive).index([folder])
    return archive


# --- the disk ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_what_was_stored_stays_and_the_next_job_goes_on(
    two_nodes: TwoNodes, folder: Path, small_disk: Path
) -> None:
    archive = Archive(small_disk / "archive")
    archive.index([folder / "v0.mp4"])
    command = [sys.executable, FAULTS / "driver.py", "before", "0", "index", folder]
    command += ["--archive", archive.path, "--ray", two_nodes.address]
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (os.statvfs(small_disk).f_bavail * 4096 - 30_000))
    full = subprocess.run([str(each) for each in command], capture_output=True, text=True)
    assert full.returncode == 2, full.stderr
    assert f"The archive {archive.path} cannot be written: the disk is full." in full.stderr
    assert "everything stored before is kept" in full.stderr
    assert [video.status for video in archive.videos()] == ["indexed"]
    ballast.unlink()
    subprocess.run([str(each) for each in command], check=True)
    assert archive.verify() == []
    assert_same_rows(archive.path, expected(folder))


# --- where the videos are ------------------------------------------------------------------------


@pytest.fixture
def footage() -> Iterator[ObjectStore]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with object_store() as store:
        yield store


@pytest.fixture
def cluster(
    footage: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TwoNodes]:
    """Two nodes, started after the store, whose address they inherit; they wait for it seconds."""
    kills = tmp_path / "kills"
    monkeypatch.setenv("VIDSEARCH_KILLS", str(kills))
    monkeypatch.setenv("VIDSEARCH_READ_TIMEOUT", "1.5")
    with two_nodes_in(kills) as nodes:
        ray.init(nodes.address, runtime_env=hooks(), log_to_driver=False)
        try:
            yield nodes
        finally:
            ray.shutdown()


def gets_of(*names: str) -> Any:
    """Requests for what these objects hold."""

    def where(method: str, path: str) -> bool:
        return method == "GET" and any(path.endswith(name) for name in names)

    return where


@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_fails_for_a_while_costs_nothing(
    cluster: TwoNodes, footage: ObjectStore, folder: Path, status: int
) -> None:
    for path in sorted(folder.iterdir()):
        footage.put(path.name, path)
    footage.fail(status, times=8, where=gets_of("v0.mp4", "v3.mp4"))
    archive = folder.parent / "archive"
    report = index_job(archive, [footage.url()], JobOptions(cluster.address))
    assert (len(report.indexed), report.failed) == (6, ())
    assert footage.faults[0].left == 0
    here = Archive(folder.parent / "expected")
    here.index([footage.url()])
    assert_same_rows(archive, here.path)


@pytest.mark.parametrize(("status", "delay_s"), [(503, 0.0), (0, 60.0)])
def test_one_video_whose_store_fails_for_good_is_named_and_tried_again_later(
    cluster: TwoNodes, footage: ObjectStore, folder: Path, status: int, delay_s: float
) -> None:
    """With errors, or by never answering; neither is the file's fault."""
    films = [encode(folder / f"film{n}.mp4", n_frames=30, draw=noise, size=(640, 360),
                    options={"crf": "0"}) for n in range(2)]  # fmt: skip
    for path in sorted(folder.iterdir()):
        footage.put(path.name, path)
    archive = Archive(folder.parent / "archive")
    # Its name is found; it is while it is decoded that the store begins to fail.
    size = films[0].stat().st_size
    assert size > 4 << 20
    footage.fail(status, where=gets_of("film0.mp4"), beyond=2 << 20, delay_s=delay_s)
    report = index_job(
        archive.path, [footage.url()], JobOptions(cluster.address, stall_s=60.0)
    )
    (failed,) = report.failed
    assert failed.path == footage.url("film0.mp4")
    assert "the store" in failed.reason
    assert QUARANTINE not in failed.reason
    assert len(report.indexed) == 7
    footage.heal()
    later = index_job(archive.path, [footage.url()], JobOptions(cluster.address))
    assert [video.path for video in later.indexed] == [footage.url("film0.mp4")]
    assert archive.verify() == []


def test_slow_reads_are_no_standstill(
    cluster: TwoNodes, footage: ObjectStore, tmp_path: Path
) -> None:
    """Each frame takes longer to come than a file may take that makes no progress."""
    film = encode(tmp_path / "film.mp4", n_frames=6, size=(1920, 1080), gop=1,
                  draw=lambda number, size: noise(number * 12, size), options={"crf": "0"})  # fmt: skip
    footage.put("film.mp4", film)
    print(film.stat().st_size)
    footage.bytes_per_s = 1e6
    report = index_job(
        tmp_path / "archive", [footage.url()], JobOptions(cluster.address, stall_s=2.5)
    )
    assert report.failed == ()
    assert [video.n_frames for video in report.indexed] == [6]
