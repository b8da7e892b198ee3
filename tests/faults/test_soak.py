"""Three minutes of the soak: random kills while a cluster indexes, and every row is there, once.

What is killed when is drawn by lot, anew in each run; that each kind was killed is not.
"""

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
MINUTES, VIDEOS, KILLS = 3, 16, 8


@pytest.mark.timeout(1200)
def test_random_kills_cost_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", MINUTES]
    command += ["--videos", VIDEOS, "--kills", KILLS, "--keep", tmp_path / "soak"]
    ran = subprocess.run([str(each) for each in command], cwd=REPO, capture_output=True, text=True)
    print(ran.stdout)  # the seed, and what was killed when
    assert ran.stdout.endswith("}\n"), ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert ran.returncode == 0, ran.stderr
    assert found["killed"] >= KILLS
    kinds = found["kills"]
    assert kinds.keys() >= {"worker", "node", "driver"}
    assert any(kind.startswith("worker at ") for kind in kinds)
    assert found["drivers"] > kinds["driver"]
