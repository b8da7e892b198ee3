"""Three minutes of the soak: random kills while a cluster indexes, and every row is there, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("psutil")
pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parents[2]
VIDEOS, KILLS = 24, 8


@pytest.mark.timeout(1200)
def test_random_kills_cost_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0"]
    command += ["--videos", VIDEOS, "--kills", KILLS, "--keep", tmp_path / "soak"]
    ran = subprocess.run([str(each) for each in command], cwd=REPO, capture_output=True, text=True)
    print(ran.stdout)  # the seed, and what was killed when
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert ran.returncode == 0, ran.stderr
    assert found["killed"] >= KILLS
    assert {kind.split()[0] for kind in found["kills"]} >= {"worker", "driver"}
    assert found["drivers"] > 1
