"""What somebody does first: `ray start --head`, index, lose the job half way, run it again."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_head import Head, ray_head
from stored_rows import assert_same_rows
from stored_rows import expected as expected_of
from videos import encode, loop, restored

from vidsearch import Archive

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head() as head:
        yield head


@pytest.fixture(scope="module")
def eleven(tmp_path_factory: pytest.TempPathFactory, example_media: Path) -> Path:
    videos = tmp_path_factory.mktemp("eleven") / "videos"
    videos.mkdir()
    shutil.copy2(example_media / "white-house-poetry.mp4", videos)
    for number in range(10):
        encode(videos / f"v{number}.mp4", n_frames=60 + 10 * number)
    return videos


@pytest.fixture(scope="module")
def expected(eleven: Path) -> Path:
    """The archive that a run on this machine makes of the eleven."""
    return expected_of(eleven)


@pytest.fixture
def folder(eleven: Path) -> Iterator[Path]:
    """The eleven, beside which a test may lay others for a while."""
    with restored(eleven):
        yield eleven


def test_a_driver_killed_half_way_goes_on_and_every_row_is_there_once(
    head: Head, folder: Path, expected: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    index = ("index", folder, "--archive", archive, "--ray", "auto")

    head.assert_goes_on_after_a_kill(archive, 5, *index, question="a woman giving a speech")
    assert_same_rows(archive, expected)
    third = head.vidsearch(*index)
    assert third.returncode == 0
    assert "nothing to do; 11 unchanged" in third.stderr


def test_a_submitted_job_indexes_and_its_log_tells_what_it_did(
    head: Head, folder: Path, expected: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    (folder / "text.mp4").write_bytes(b"no video")
    job = (sys.executable, "-m", "workers", "index", folder, "--archive", archive)
    submit = ("job", "submit", "--submission-id")

    some_failed = head.ray(*submit, "first", "--", *job)
    assert some_failed.returncode == 1
    said = head.ray("job", "logs", "first").stdout
    lines = said[said.index("12 videos to index") :].splitlines()
    assert lines[-1].startswith("indexed 11 videos, ")
    assert lines[-1].endswith("; 1 failed")
    assert f"failed  {folder / 'text.mp4'}: is text, not a video" in lines
    assert all(line.isprintable() for line in lines)  # nothing that steers a terminal
    status = head.ray("job", "status", "first")
    assert "failed with exit code 3" in status.stdout + status.stderr
    assert Archive(archive).verify() == []
    listed = head.ray("list", "tasks", "--limit", "10000", "--format", "json")
    tasks = {task["name"] for task in json.loads(listed.stdout[listed.stdout.index("[") :])}
    names = {f"index {folder / name}" for name in ("v0.mp4", "white-house-poetry.mp4", "text.mp4")}
    assert names <= tasks  # in Ray's dashboard, and before each line of a worker's log

    (folder / "text.mp4").unlink()
    good = head.ray(*submit, "second", "--", *job)
    assert good.returncode == 0
    assert "nothing to do; 11 unchanged" in good.stdout
    Archive(archive).forget_missing()
    assert_same_rows(archive, expected)


def test_a_job_that_is_stopped_goes_on_when_it_is_submitted_again(
    head: Head, folder: Path, expected: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    loop(folder / "white-house-poetry.mp4", folder / "long.mp4", 900)
    job = (sys.executable, "-m", "workers", "index", folder, "--archive", archive)
    started = head.ray("job", "submit", "--no-wait", "--submission-id", "third", "--", *job)
    assert started.returncode == 0
    deadline = time.monotonic() + 120
    while not re.search(r"\d workers?\b", head.ray("job", "logs", "third").stdout):
        assert time.monotonic() < deadline
    head.ray("job", "stop", "third")
    assert "was stopped" in "".join(head.ray("job", "status", "third").stdout.splitlines())
    assert [each.state for each in Archive(archive).jobs()] == ["stopped"]
    (folder / "long.mp4").unlink()
    again = head.ray("job", "submit", "--", *job)
    assert again.returncode == 0, again.stdout
    assert_same_rows(archive, expected)


def test_where_a_worker_dies_programs_read_every_line_of_the_run(
    head: Head, folder: Path, tmp_path: Path
) -> None:
    long = folder / "long.mp4"
    loop(folder / "white-house-poetry.mp4", long, 600)  # in work when the first state is told
    index = ("index", folder, "--archive", tmp_path / "archive", "--ray", "auto")
    ran = head.losing_the_worker_of(long, *index)
    assert ran.returncode == 0, ran.stderr
    told = [json.loads(line) for line in ran.stderr.splitlines()]
    said = [each["message"] for each in told if each["event"] == "warning"]
    assert any(str(long) in each and "it is tried again" in each for each in said)
    assert len(json.loads(ran.stdout)["indexed"]) == 12


def test_a_wrong_token_is_said_to_be_one(head: Head, folder: Path, tmp_path: Path) -> None:
    wrong = Head({**head.environment, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64})
    run = wrong.vidsearch("index", folder, "--archive", tmp_path / "archive", "--ray", "auto")
    assert run.returncode == 2
    assert "the Ray cluster at 'auto' does not take us" in run.stderr
    assert "RAY_AUTH_TOKEN" in run.stderr
    assert "Traceback" not in run.stderr
