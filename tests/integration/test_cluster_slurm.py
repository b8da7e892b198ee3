"""The SLURM script runs: real Ray on two nodes, only SLURM's own two commands are stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from stored_rows import assert_same_rows
from videos import encode

from vidsearch import Archive

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "cluster" / "slurm.sh"

# `srun OPTIONS... COMMAND...`: the command, on this machine. It notes which node was asked for.
SRUN = """#!/bin/bash
while [[ ${1:-} == --* ]]; do
    case $1 in --nodelist=* | --exclude=*) echo "${1#--} $*" >> "$ASKED" ;; esac
    shift
done
exec "$@"
"""
SCONTROL = """#!/bin/bash
[[ "$*" == "show hostnames one,two" ]] && printf 'one\\ntwo\\n'
"""


def test_the_script_starts_two_nodes_and_gives_the_status_of_the_run(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(3):
        encode(folder / f"v{number}.mp4", n_frames=40 + number)
    (folder / "text.mp4").write_bytes(b"no video")
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as temporary:
        environment = {
            **os.environ,
            "PATH": os.pathsep.join(
                [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "ASKED": str(tmp_path / "asked"),
            "TMPDIR": temporary,
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NODELIST": "one,two",
            "SLURM_CPUS_PER_TASK": "2",
            "RAY_OBJECT_STORE_BYTES": "100000000",
        }
        command = ["bash", str(SCRIPT), str(folder), "--archive", str(tmp_path / "archive")]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 3, run.stdout + run.stderr
    assert "indexed 3 videos" in run.stderr
    assert "1 failed" in run.stderr
    assert "Ray's head is one" in run.stdout
    asked = (tmp_path / "asked").read_text()
    assert asked.count("nodelist=one") >= 2
    assert "exclude=one" in asked
    (folder / "text.mp4").unlink()
    Archive(tmp_path / "archive").forget_missing()
    Archive(tmp_path / "expected").index([folder])
    assert_same_rows(tmp_path / "archive", tmp_path / "expected")
