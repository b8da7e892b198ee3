"""A Ray cluster that `ray start --head` makes, and its user's processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from vidsearch import Archive

BIN = Path(sys.executable).parent


@dataclass
class Head:
    """The cluster, as the environment of who uses it."""

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

    def _telling(self, *arguments: object, stdout: int) -> subprocess.Popen[str]:
        """`vidsearch --json` at work, which tells on its stderr how far it is."""
        return subprocess.Popen(
            [sys.executable, "-m", "vidsearch", *map(str, arguments), "--json"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def killed_after(self, n_indexed: int, *arguments: object) -> int:
        """Run `vidsearch` and kill it when it has told of so many files; its exit status."""
        process = self._telling(*arguments, stdout=subprocess.DEVNULL)
        assert process.stderr is not None
        told = 0
        for line in process.stderr:
            told += json.loads(line)["event"] == "indexed"
            if told == n_indexed:
                break
        process.kill()
        process.stderr.close()
        return process.wait(timeout=60)

    def losing_the_worker_of(
        self, file: Path, *arguments: object
    ) -> subprocess.CompletedProcess[str]:
        """Run `vidsearch --json`, and kill the worker of a file once it tells how far that is."""
        process = self._telling(*arguments, stdout=subprocess.PIPE)
        assert process.stderr is not None
        assert process.stdout is not None
        lines, killed = [], False
        for line in process.stderr:
            lines.append(line)
            if not killed and f'"in_work": [{{"path": "{file}"' in line:
                os.kill(_worker_of(file), signal.SIGKILL)
                killed = True
        said = process.stdout.read()
        return subprocess.CompletedProcess(process.args, process.wait(60), said, "".join(lines))

    def assert_goes_on_after_a_kill(
        self, archive: Path, n_indexed: int, *index: object, question: str
    ) -> None:
        """`index` killed when it has told of so many files and run again leaves all rows once.

        What was indexed before the kill is not touched, `verify` finds nothing, and a question is
        answered without doubles.
        """
        assert self.killed_after(n_indexed, *index) == -signal.SIGKILL
        done = {video.video_id: video.indexed_at for video in Archive(archive).videos()}
        assert done
        assert [job.state for job in Archive(archive).jobs()] == ["killed"]
        again = self.vidsearch(*index)
        assert again.returncode == 0, again.stderr
        assert f"{len(done)} unchanged" in again.stderr
        after = {video.video_id: video.indexed_at for video in Archive(archive).videos()}
        assert len(done) < len(after)
        assert done.items() <= after.items()
        checked = self.vidsearch("verify", "--archive", archive)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        asked = self.vidsearch("query", question, "--archive", archive, "--json")
        assert asked.returncode == 0, asked.stderr
        hits = [(hit["video"], hit["start_s"]) for hit in json.loads(asked.stdout)["hits"]]
        assert len(hits) == len(set(hits)) > 0


def _worker_of(file: Path) -> int:
    """The process of the Ray task that analyses a file."""
    title = f"ray::index {file}"
    (pid,) = [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if " ".join(each.info["cmdline"] or ()).startswith(title)
    ]
    return pid


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


@contextmanager
def ray_head() -> Iterator[Head]:
    """The cluster, of two cores, for as long as the block lasts."""
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
        "RAY_JOB_STOP_WAIT_TIME_S": "60",  # not 3, after which it kills: this machine may be busy
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
            raise AssertionError(said)
        yield Head(environment)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
