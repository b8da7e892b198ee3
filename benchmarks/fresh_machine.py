"""What a fresh clone costs: `make demo` with its set-up, and the size of the core install.

    python benchmarks/fresh_machine.py

Clones this checkout's last commit into an empty folder and runs `make demo` there, with the
packages' registry as the only network (pip may find what it downloaded before). The size is that
of all files of `.venv`, as `du` counts them.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import _report

REPO = Path(__file__).resolve().parent.parent
MOST_S, MOST_MB = 240, 1100


def megabytes(folder: Path) -> float:
    """The room that all files of a folder take on the disk."""
    told = subprocess.run(["du", "-sk", folder], check=True, capture_output=True, text=True)
    return int(told.stdout.split()[0]) * 1024 / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "vidsearch"
        subprocess.run(["git", "clone", "--quiet", REPO, clone], check=True)
        start = time.monotonic()
        demo = subprocess.run(["make", "demo"], cwd=clone, capture_output=True, text=True)
        taken = time.monotonic() - start
        if demo.returncode:
            raise SystemExit(f"make demo failed:\n{demo.stdout}\n{demo.stderr}")
        size = megabytes(clone / ".venv")
    rows = [
        {"what": "make demo, set-up included", "unit": "s", "measured": taken, "at most": MOST_S},
        {"what": "core install", "unit": "MB", "measured": size, "at most": MOST_MB},
    ]
    print(_report.write("fresh_machine", "A fresh clone", rows, ["Data: the demo's own."]))


if __name__ == "__main__":
    main()
