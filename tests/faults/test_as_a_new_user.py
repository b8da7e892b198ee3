"""What somebody does first: `ray start --head`, index, lose the job half way, run it again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from stored_rows import assert_same_rows
from videos import encode, loop

from vidsearch import Archive

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent


@dataclass
class Head:
    """A cluster that `ray start --head` made, with the environment of who uses it."""

    environment: dict[str, str]

    def run(self, *command: object, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(each) for each in command],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
        )

    def ray(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Ray's own command asks for a token only if it is told to."""
        with_token = Head({**self.environment, "RAY_AUTH_MODE": "token"})
        return with_token.run(BIN / "ray", *arguments)

    def vidsearch(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "vidsearch", *arguments)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    ports = {
        name: free_port()
        for name in ("port", "dashboard-port", "dashboard-agent-listen-port", "client")
    }
    ports["ray-client-server-port"] = ports.pop("client")
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: sockets have their names in it
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("a-token-of-this-test-alone-0123456789")
    ours = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ours},
        # Somebody who used Ray before, and has a token since. "auto" means this cluster, whatever
        # else this machine runs.
        "HOME": str(folder),
        "RAY_ADDRESS": f"127.0.0.1:{ports['port']}",
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports['dashboard-port']}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    options = [f"--{name}={value}" for name, value in ports.items()]
    options += ["--num-cpus=2", "--object-store-memory=100000000", f"--temp-dir={folder}"]
    process = subprocess.Popen(
        [BIN / "ray", "start", "--head", "--block", *options],
        env={name: value for name, value in environment.items() if name != "RAY_ADDRESS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "block forever" in line:
                break
        else:
            pytest.fail(said)
        yield Head(environment)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(tmp_path: Path, example_media: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy2(example_media / "white-house-poetry.mp4", videos)
    for number in range(10):
        encode(videos / f"v{number}.mp4", n_frames=60 + 10 * number)
    return videos


def test_a_driver_killed_half_way_goes_on_and_every_row_is_there_once(
    head: Head, folder: Path, tmp_path: Path
) -> None:
    archive, expected = tmp_path / "archive", tmp_path / "expected"
    Archive(expected).index([folder])
    index = ("index", folder, "--archive", archive, "--ray", "auto")

    words = [sys.executable, "-m", "vidsearch", *map(str, index), "--json"]
    first = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=head.environment
    )
    assert first.stderr is not None
    told = 0
    for line in first.stderr:
        told += json.loads(line)["event"] == "indexed"
        if told == 5:
            break
    first.kill()
    first.wait(timeout=60)
    assert first.returncode == -signal.SIGKILL
    done = {video.video_id: video.indexed_at for video in Archive(archive).videos()}
    assert 0 < len(done) < 11
    assert [job.state for job in Archive(archive).jobs()] == ["killed"]

    again = head.vidsearch(*index)
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} unchanged" in again.stderr
    after = {video.video_id: video.indexed_at for video in Archive(archive).videos()}
    assert done.items() <= after.items()

    checked = head.vidsearch("verify", "--archive", archive)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert_same_rows(archive, expected)
    question = ("query", "a woman giving a speech", "--archive", archive, "--json")
    asked = head.vidsearch(*question)
    assert asked.returncode == 0, asked.stderr
    hits = [(hit["video"], hit["start_s"]) for hit in json.loads(asked.stdout)["hits"]]
    assert len(hits) == len(set(hits)) > 0

    third = head.vidsearch(*index)
    assert third.returncode == 0
    assert "nothing to do; 11 unchanged" in third.stderr


def test_a_submitted_job_indexes_and_its_log_tells_what_it_did(
    head: Head, folder: Path, tmp_path: Path
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
    Archive(tmp_path / "expected").index([folder])
    assert_same_rows(archive, tmp_path / "expected")


def test_a_job_that_is_stopped_goes_on_when_it_is_submitted_again(
    head: Head, folder: Path, tmp_path: Path
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
    Archive(tmp_path / "expected").index([folder])
    assert_same_rows(archive, tmp_path / "expected")


def test_a_wrong_token_is_said_to_be_one(head: Head, folder: Path, tmp_path: Path) -> None:
    wrong = Head({**head.environment, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64})
    run = wrong.vidsearch("index", folder, "--archive", tmp_path / "archive", "--ray", "auto")
    assert run.returncode == 2
    assert "the Ray cluster at 'auto' does not take us" in run.stderr
    assert "RAY_AUTH_TOKEN" in run.stderr
    assert "Traceback" not in run.stderr
