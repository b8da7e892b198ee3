"""What is written to, and read from, is full, slow or fails: the job backs off, or says so clearly.

Nothing is lost: what was published stays, and the next run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import TRIES
from object_store import ObjectStore, object_store
from shot_videos import shots_video
from stored_rows import assert_same_rows, expected
from two_nodes import FAULTS, TwoNodes, two_nodes_in
from videos import encode

from vidsearch import Archive
from vidsearch.errors import VidsearchError
from vidsearch.remote import BLOCK
from workers import JobOptions, index_job

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


def noise(number: int, size: tuple[int, int]) -> np.ndarray:
    """Pictures that nothing can foretell; another one every four frames."""
    draw = np.random.default_rng(number // 4)
    return draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(6):
        encode(videos / f"v{number}.mp4", n_frames=30 + number)
    return videos


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


# --- Ray's object store --------------------------------------------------------------------------


@pytest.fixture
def crowded(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TwoNodes]:
    """Two nodes that spill to the small disk, and put also small results into the store."""
    kills = tmp_path / "kills"
    monkeypatch.setenv("VIDSEARCH_KILLS", str(kills))
    spill = json.dumps({"type": "filesystem", "params": {"directory_path": str(small_disk)}})
    config = {"max_direct_call_object_size": 5_000, "object_spilling_config": spill}
    with two_nodes_in(kills, _system_config=config) as nodes:
        nodes.connect()
        try:
            yield nodes
        finally:
            ray.shutdown()


class _Hoard:
    """Somebody else, who holds on to all of a node's object store that there is."""

    def fill(self) -> int:
        self._held: list[Any] = []
        size = 10_000_000
        while size > 1_000:
            try:
                self._held.append(ray.put(np.zeros(size, np.uint8)))
            except (ray.exceptions.OutOfDiskError, ray.exceptions.ObjectStoreFullError):
                size //= 2
        return len(self._held)


def hoards() -> list[Any]:
    """One on each node, full."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    hoard = ray.remote(num_cpus=0)(_Hoard)
    there = [
        hoard.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in ray.nodes()
    ]
    assert all(ray.get([each.fill.remote() for each in there]))
    return there


def test_a_full_object_store_is_waited_for_then_told_and_nothing_is_lost(
    crowded: TwoNodes, folder: Path
) -> None:
    there = hoards()
    archive = Archive(folder.parent / "archive")
    with pytest.raises(VidsearchError, match="object store is full, and so is the disk"):
        index_job(archive.path, [folder], JobOptions(crowded.address, stall_s=5.0))
    assert archive.videos() == []
    assert archive.job("last").state == "failed"
    begun = len(crowded.log())

    def most_tries() -> int:
        return max(Counter(name for _, name in crowded.log()[begun:]).values(), default=0)

    def leave() -> None:
        while most_tries() < 2:
            time.sleep(0.1)
        for hoard in there:
            ray.kill(hoard)

    leaving = threading.Thread(target=leave, daemon=True)
    leaving.start()
    report = index_job(archive.path, [folder], JobOptions(crowded.address))
    assert not leaving.is_alive()
    assert (len(report.indexed), report.failed) == (6, ())
    assert_same_rows(archive.path, expected(folder))


# --- where the videos are ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with object_store() as store:
        yield store


@pytest.fixture(scope="module")
def environment_of_nodes(
    server: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Nodes are started after the store, whose address they inherit; they wait for it seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDSEARCH_READ_TIMEOUT", "1.5")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def footage(
    server: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ObjectStore]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield server
    server.heal()
    server.empty()


def reads_of(two_nodes: TwoNodes, *names: str) -> Any:
    """Reads of these objects once a worker has begun to decode them."""

    def where(method: str, path: str) -> bool:
        name = path.rpartition("/")[2]
        return method == "GET" and name in names and name in [each for _, each in two_nodes.log()]

    return where


def test_a_store_that_fails_is_asked_again_and_then_told_for_the_video_it_fails_for(
    two_nodes: TwoNodes, footage: ObjectStore, folder: Path
) -> None:
    films = [folder / f"film{number}.mp4" for number in range(4)]
    for number, film in enumerate(films):  # of which a worker has to read several parts
        n_frames = 48 + 4 * number
        encode(film, n_frames=n_frames, draw=noise, size=(1280, 720), options={"crf": "0"})
        assert film.stat().st_size > 3 * BLOCK
    for path in sorted(folder.iterdir()):
        footage.put(path.name, path)
    for_a_while_500, for_a_while_503, errors, silence = (film.name for film in films)
    footage.fail(500, times=4, where=reads_of(two_nodes, for_a_while_500))
    footage.fail(503, times=4, where=reads_of(two_nodes, for_a_while_503))
    footage.fail(503, where=reads_of(two_nodes, errors))
    footage.fail(0, where=reads_of(two_nodes, silence), delay_s=60.0)
    archive = Archive(folder.parent / "archive")
    report = index_job(archive.path, [footage.url()], JobOptions(two_nodes.address))
    assert [fault.left for fault in footage.faults[:2]] == [0, 0]
    # Neither is a fault of the file, so neither is put in quarantine.
    assert {bad.path: bad.reason.partition(" (")[0].partition(":")[0] for bad in report.failed} == {
        footage.url(errors): "the store failed again and again",
        footage.url(silence): "the store does not answer",
    }
    assert len(report.indexed) == 8
    footage.heal()
    later = index_job(archive.path, [footage.url()], JobOptions(two_nodes.address))
    assert {video.path for video in later.indexed} == {footage.url(errors), footage.url(silence)}
    assert later.failed == ()
    assert archive.verify() == []
    here = Archive(folder.parent / "expected")
    here.index([footage.url()])
    assert_same_rows(archive.path, here.path)


def test_slow_reads_are_no_standstill(
    two_nodes: TwoNodes, footage: ObjectStore, tmp_path: Path
) -> None:
    """Each frame takes longer to come than a file may take that makes no progress."""
    film = tmp_path / "film.mp4"
    encode(film, n_frames=12, gop=4, size=(3840, 2160), draw=noise, options={"crf": "0"})
    footage.put(film.name, film)
    footage.bytes_per_s, stall_s = 3e6, 4.0
    assert film.stat().st_size / 3 > stall_s * footage.bytes_per_s > 2 * BLOCK
    report = index_job(
        tmp_path / "archive", [footage.url()], JobOptions(two_nodes.address, stall_s=stall_s)
    )
    assert report.failed == ()
    assert [video.n_frames for video in report.indexed] == [12]
    assert [name for _, name in two_nodes.log()] == [film.name]  # and at the first try


# --- where the archive is ------------------------------------------------------------------------


def test_an_archive_in_a_store_holds_the_rows_of_one_on_a_disk(
    two_nodes: TwoNodes, footage: ObjectStore, folder: Path, example_media: Path
) -> None:
    shutil.copy2(example_media / "white-house-poetry.mp4", folder)  # which has faces
    shots_video(folder / "long.mp4")
    archive = Archive(footage.url("vid/.vidsearch"))
    options = JobOptions(two_nodes.address, piece_minutes=0.2)
    report = index_job(str(archive.path), [folder], options)
    assert (len(report.indexed), report.failed) == (8, ())
    assert [name for _, name in two_nodes.log()].count("long.mp4") == 4  # pieces
    (folder / "v0.mp4").unlink()
    encode(folder / "v0.mp4", n_frames=90)  # whose rows come in the place of others
    report = index_job(str(archive.path), [folder], options)
    assert (len(report.indexed), report.planned.unchanged) == (1, 7)
    assert archive.verify() == []
    assert_same_rows(str(archive.path), expected(folder))


def from_the_second_group_on(footage: ObjectStore, tables: str) -> Any:
    """Writes to these tables once a group of videos was published, and not of the lease."""

    def where(method: str, path: str) -> bool:
        if method not in ("PUT", "POST") or tables not in path or path.endswith("writer.json"):
            return False
        commits = [
            each
            for each in footage.requests
            if each.method == "PUT"
            and "/videos.lance/_versions/" in each.path
            and each.status == 200
        ]
        return len(commits) > 1  # the first one made the table

    return where


@pytest.mark.parametrize("tables", ["", "videos.lance"])
def test_an_archive_that_cannot_be_written_any_more_ends_the_job_and_the_next_goes_on(
    two_nodes: TwoNodes, footage: ObjectStore, folder: Path, tables: str
) -> None:
    """Nothing at all can be written; or rows can, and not what publishes them."""
    for number in range(6, 12):
        encode(folder / f"v{number}.mp4", n_frames=30 + number)
    archive = Archive(footage.url("vid/.vidsearch"))
    command = [sys.executable, FAULTS / "driver.py", "before", "0", "index", folder]
    command += ["--archive", archive.path, "--ray", two_nodes.address]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(each) for each in command],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, TRIES: "2"},  # our patience has tests of its own
        )

    footage.fail(503, where=from_the_second_group_on(footage, tables))
    failed = run()
    assert failed.returncode == 2, failed.stderr
    assert f"The archive {archive.path} cannot be written: the store fails" in failed.stderr
    assert "Everything stored before is kept; run the command again" in failed.stderr
    assert "Traceback" not in failed.stderr
    done = {video.video_id: video.indexed_at for video in archive.videos()}
    assert 0 < len(done) < 12
    # What became of the job can be noted in its table, or is seen by the lease that it gave back.
    assert archive.job("last").state == ("failed" if tables else "killed")
    footage.heal()
    again = run()
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} unchanged" in again.stderr
    after = {video.video_id: video.indexed_at for video in archive.videos()}
    assert done.items() <= after.items()
    assert archive.verify() == []
    assert_same_rows(str(archive.path), expected(folder))
