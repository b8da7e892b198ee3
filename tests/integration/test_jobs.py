"""The archive remembers its runs, also those that never came to their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from videos import encode, loop

from vidsearch import Archive
from vidsearch.errors import ArchiveUnavailable, VidsearchError
from vidsearch.indexing import Failed
from vidsearch.store import Store


def vidsearch(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidsearch", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    encode(videos / "good.mp4", n_frames=30)
    (videos / "bad.mp4").write_text("no video")
    return videos


def test_a_run_leaves_what_it_did_and_what_failed(tmp_path: Path, folder: Path) -> None:
    archive = Archive(tmp_path / "archive")
    archive.index([folder])
    (job,) = archive.jobs()
    assert (job.state, job.todo, job.indexed, job.failed) == ("done", 2, 1, 1)
    assert job.paths == (str(folder),)
    assert job.by == "1 process"
    assert job.failures == ((str(folder / "bad.mp4"), "is text, not a video"),)
    assert job.shots == 1
    assert job.video_s == pytest.approx(archive.videos()[1].duration_s)
    assert 0 < job.started_at <= job.seen_at <= job.ended_at <= time.time()


def test_of_a_long_list_of_paths_some_are_remembered(tmp_path: Path, folder: Path) -> None:
    archive = Archive(tmp_path / "archive")
    archive.index([folder, *(tmp_path / f"none{number}.mp4" for number in range(100))])
    (job,) = archive.jobs()
    assert job.paths[:2] == (str(folder), str(tmp_path / "none0.mp4"))
    assert job.paths[20:] == ("and 81 more",)
    assert job.failed == 101  # each of which is told, and tried again


def test_a_run_with_nothing_to_do_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    archive = Archive(tmp_path / "archive")
    (folder / "bad.mp4").unlink()
    archive.index([folder])
    archive.index([folder])
    assert len(archive.jobs()) == 1


def test_a_run_that_is_left_is_stopped_and_one_that_breaks_says_why(
    tmp_path: Path, folder: Path
) -> None:
    archive = Archive(tmp_path / "archive")
    events = archive.indexing([folder])
    for _ in range(3):
        next(events)
    events.close()
    assert archive.job("last").state == "stopped"

    def breaks(tasks: object, recipe: object) -> object:
        raise VidsearchError("the cluster\nis gone")

    with pytest.raises(VidsearchError):
        archive.index([folder], force=True, analyst=breaks)
    assert (archive.job("last").state, archive.job("last").error) == (
        "failed",
        "the cluster is gone",
    )


def test_an_archive_that_cannot_be_written_hides_no_interrupt(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path / "archive")

    def full(*_: object) -> None:
        raise ArchiveUnavailable("the disk is full")

    events = archive.indexing([folder])
    assert any(isinstance(event, Failed) for event in events)
    monkeypatch.setattr(Store, "put_jobs", full)
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())


def test_a_run_that_was_killed_is_told_as_killed(tmp_path: Path, folder: Path) -> None:
    # Minutes of work: however late the kill comes, it comes before the end.
    loop(encode(tmp_path / "short.mp4", n_frames=250), folder / "long.mp4", 10_000)
    archive = tmp_path / "archive"
    command = [sys.executable, "-m", "vidsearch", "index", folder, "--archive", archive]
    run = subprocess.Popen([str(each) for each in command], stderr=subprocess.DEVNULL)
    jobs: list[dict[str, object]] = []
    until = time.monotonic() + 60
    while not jobs and time.monotonic() < until:
        listed = vidsearch("jobs", "list", "--json", "--archive", archive)
        jobs = json.loads(listed.stdout) if listed.returncode == 0 else []
    assert [job["state"] for job in jobs] == ["running"]
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    again = Archive(archive)
    assert [job.state for job in again.jobs()] == ["killed"]
    assert again.jobs()[0].ended_at == 0.0
    (folder / "long.mp4").unlink()
    again.index([folder])
    assert [job.state for job in again.jobs()] == ["done", "killed"]


def test_what_failed_is_tried_again(tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "archive"
    assert vidsearch("index", folder, "--archive", archive).returncode == 3
    job = Archive(archive).job("last").job_id
    still = vidsearch("jobs", "retry-failed", job, "--archive", archive)
    assert (still.returncode, "is text, not a video" in still.stderr) == (3, True)
    (folder / "bad.mp4").unlink()
    encode(folder / "bad.mp4", n_frames=20)
    assert vidsearch("jobs", "retry-failed", job, "--archive", archive).returncode == 0
    assert {video.status for video in Archive(archive).videos()} == {"indexed"}
    nothing = vidsearch("jobs", "retry-failed", "--archive", archive)
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_a_job_is_called_by_the_beginning_of_its_id(tmp_path: Path, folder: Path) -> None:
    archive = Archive(tmp_path / "archive")
    archive.index([folder])
    job = archive.job("last")
    assert archive.job(job.job_id[:3]) == job
    shown = vidsearch("jobs", "show", job.job_id, "--archive", archive.path)
    assert f"failed   {folder}/bad.mp4: is text, not a video" in shown.stdout.splitlines()
    with pytest.raises(VidsearchError, match="no job is called xyz"):
        archive.job("xyz")


def test_progress_for_programs_is_one_object_a_line(tmp_path: Path, folder: Path) -> None:
    done = vidsearch("index", folder, "--archive", tmp_path / "archive", "--json")
    told = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert told[0] == "planned"
    assert sorted(each for each in told[1:-1] if each != "progress") == ["failed", "indexed"]
    assert told[-1] == "done"
    assert len(json.loads(done.stdout)["indexed"]) == 1
