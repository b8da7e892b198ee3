"""The driver, which is the one committer, dies; two of them meet; an archive does not fit."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stored_rows import assert_same_rows
from stored_rows import expected as expected_of
from two_nodes import TwoNodes
from videos import encode, restored

from vidsearch import Archive
from vidsearch.errors import ArchiveBusy, ArchiveMismatch
from vidsearch.stamp import SCHEMA, read_stamp
from workers import JobOptions, index_job, on_ray

pytestmark = pytest.mark.slow
FIXTURES = Path(__file__).parents[1] / "fixtures" / "archives"
DRIVER = Path(__file__).with_name("driver.py")


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    videos = tmp_path_factory.mktemp("twelve") / "videos"
    videos.mkdir()
    for number in range(12):
        encode(videos / f"v{number}.mp4", n_frames=20 + number)
    return videos


@pytest.fixture(scope="module")
def expected(twelve: Path) -> Path:
    """The archive that a run on this machine makes of the twelve."""
    return expected_of(twelve)


@pytest.fixture
def folder(twelve: Path) -> Iterator[Path]:
    """The twelve, beside which a test may lay others for a while."""
    with restored(twelve):
        yield twelve


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


def command(two_nodes: TwoNodes, *words: object) -> subprocess.CompletedProcess[str]:
    """A command of `vidsearch` on the cluster, with workers that fail as they are told."""
    words = (sys.executable, DRIVER, "before", 0, *words, "--ray", two_nodes.address)
    return subprocess.run([str(each) for each in words], capture_output=True, text=True)


def driver(
    two_nodes: TwoNodes,
    folder: Path,
    archive: Archive,
    moment: str = "before",
    number: int = 0,
    largest: int | None = None,
) -> subprocess.Popen[str]:
    """A job in a process of its own, which can write no file of more than `largest` bytes."""
    arguments = ["index", folder, "--archive", archive.path, "--ray"]
    command = [sys.executable, DRIVER, moment, number, *arguments, two_nodes.address]
    process = subprocess.Popen(
        [str(each) for each in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if largest is not None:  # not by `preexec_fn`: it forks this process, LanceDB's threads and all
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, largest))
    return process


@pytest.mark.parametrize("moment", ["before", "in", "after"])
def test_a_committer_killed_at_a_commit_leaves_no_half_video_and_no_doubles(
    two_nodes: TwoNodes, folder: Path, archive: Archive, expected: Path, moment: str
) -> None:
    killed = driver(two_nodes, folder, archive, moment, 1)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    done = archive.videos()
    assert (len(done) > 0) == (moment == "after")
    assert [job.state for job in archive.jobs()] == ["killed"]
    seen = {video.video_id: video.indexed_at for video in done}
    again = driver(two_nodes, folder, archive)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert archive.verify() == []
    assert_same_rows(archive.path, expected)
    # What was done is not done again.
    after = {video.video_id: video.indexed_at for video in archive.videos()}
    assert seen.items() <= after.items()


def test_a_job_that_is_interrupted_ends_its_workers_and_goes_on_later(
    two_nodes: TwoNodes, folder: Path, archive: Archive, expected: Path
) -> None:
    held = encode(folder / "held.mp4", n_frames=60)
    with two_nodes.holding():
        run = driver(two_nodes, folder, archive)
        while not any(name == held.name for _, name in two_nodes.log()):
            assert run.poll() is None
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=120)  # as the others here: a busy machine takes its time
    assert run.returncode == 130
    assert "run the same command again to go on" in said
    assert archive.job("last").state == "stopped"
    held.unlink()
    assert driver(two_nodes, folder, archive).wait(timeout=120) == 0
    assert_same_rows(archive.path, expected)


def test_of_two_jobs_on_one_archive_the_second_is_refused_or_waits(
    two_nodes: TwoNodes, folder: Path, archive: Archive, expected: Path
) -> None:
    encode(folder / "held.mp4", n_frames=60)
    with two_nodes.holding(), ThreadPoolExecutor(1) as pool:
        first = driver(two_nodes, folder, archive)
        while not two_nodes.log():
            assert first.poll() is None
            time.sleep(0.1)
        with pytest.raises(ArchiveBusy, match=f"process {first.pid}"):
            archive.index([folder], analyst=on_ray(two_nodes.address), wait_s=0)
        waiting = pool.submit(index_job, archive.path, [folder], JobOptions(two_nodes.address))
        time.sleep(1.0)
        assert not waiting.done()
        two_nodes.let_go()
        second = waiting.result()
    assert first.wait(timeout=120) == 0
    assert (second.indexed, second.planned.unchanged) == ((), 13)
    (folder / "held.mp4").unlink()
    archive.forget_missing()
    assert_same_rows(archive.path, expected)


def test_an_archive_of_other_models_is_refused_before_any_work(
    two_nodes: TwoNodes, folder: Path, archive: Archive
) -> None:
    archive.index([folder / "v0.mp4"])
    other = Archive(archive.path, encoder="idclip:compact")
    with pytest.raises(ArchiveMismatch, match="concept"):
        other.index([folder], analyst=on_ray(two_nodes.address))
    stamp = archive.path / "archive.json"
    stamp.write_text(stamp.read_text().replace('"schema": ', '"schema": 9'))
    with pytest.raises(ArchiveMismatch, match="knows layouts up to"):
        index_job(archive.path, [folder], JobOptions(two_nodes.address))
    assert two_nodes.log() == []


def test_a_file_in_quarantine_is_told_by_the_command_and_its_exit_status(
    two_nodes: TwoNodes, tmp_path: Path
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    encode(folder / "good.mp4", n_frames=20)
    bad = encode(folder / "segfault.mp4", n_frames=30)
    archive = ("--archive", folder.parent / "archive")
    reason = "in quarantine: crashed (Segmentation fault) twice; the file is probably damaged"
    first = command(two_nodes, "index", folder, *archive)
    assert first.returncode == 3, first.stderr
    assert f"failed  {bad}: {reason}" in first.stderr
    again = command(two_nodes, "index", folder, *archive)
    assert again.returncode == 0
    assert "1 file is in quarantine" in again.stderr
    still = command(two_nodes, "jobs", "retry-failed", *archive)
    assert still.returncode == 3
    assert f"failed  {bad}: {reason}" in still.stderr
    names = [name for _, name in two_nodes.log()]
    assert sorted(names) == ["good.mp4", *4 * ["segfault.mp4"]]
    mended = (sys.executable, "-m", "vidsearch", "jobs", "retry-failed", *archive, "--ray", "local")
    assert subprocess.run([str(each) for each in mended]).returncode == 0  # a Ray without faults
    assert_same_rows(folder.parent / "archive", expected_of(folder))
    assert Archive(folder.parent / "archive").job("last").by == "Ray local"


def unpacked(layout: int, folder: Path) -> Archive:
    """An archive that the code of an older layout made."""
    packed = FIXTURES / f"schema-{layout}.tar.gz"
    with tarfile.open(packed) as file:
        file.extractall(folder, filter="data")
    return Archive(folder / f"schema-{layout}")


def test_old_archives_of_other_weights_are_refused_as_by_one_process_before_any_work(
    two_nodes: TwoNodes, folder: Path, tmp_path: Path
) -> None:
    """Layouts 1 and 2; a stamp of the former knows no weights."""
    for layout in (1, 2):
        archive, said = unpacked(layout, tmp_path), []
        for analyst in (None, on_ray(two_nodes.address)):
            with pytest.raises(ArchiveMismatch, match="people refit --from") as refused:
                archive.index([folder], analyst=analyst)
            said.append(str(refused.value))
        assert said[0] == said[1]
        assert len(archive.videos()) == 3
    assert two_nodes.log() == []


def test_an_old_archive_is_upgraded_before_any_work_and_has_the_rows_of_one_process(
    two_nodes: TwoNodes, folder: Path, tmp_path: Path
) -> None:
    """Layout 3: the oldest whose vectors the models of today make too."""
    here, there = (unpacked(3, tmp_path / name) for name in ("here", "there"))
    assert read_stamp(there.path).schema == 3
    at_the_start = []

    def analyst(tasks: Any, recipe: Any) -> Any:
        at_the_start.append((read_stamp(there.path).schema, two_nodes.log()))
        yield from on_ray(two_nodes.address)(tasks, recipe)

    here.index([folder])
    there.index([folder], analyst=analyst)
    assert at_the_start == [(SCHEMA, [])]
    assert Archive(there.path).verify() == Archive(here.path).verify()
    assert len(two_nodes.log()) == 12
    assert_same_rows(there.path, here.path)


def test_a_full_disk_ends_the_job_clearly_and_the_next_goes_on(
    two_nodes: TwoNodes, folder: Path, archive: Archive, expected: Path
) -> None:
    run = driver(two_nodes, folder, archive, largest=20_000)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 2, said
    assert "archive" in said
    assert driver(two_nodes, folder, archive).wait(timeout=120) == 0
    assert archive.verify() == []
    assert_same_rows(archive.path, expected)
    assert set(os.listdir(two_nodes.kills)) <= {"log", "spans"}
