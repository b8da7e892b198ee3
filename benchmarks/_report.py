"""One way to write a benchmark's result: a JSON for machines and a Markdown table for people."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
# Of the last minute, when the benchmark began: it imports this first. What ran beside it shows.
LOAD_AT_START = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "av",
    "scenedetect-headless",
    "onnxruntime",
    "lancedb",
    "torch",
)


def machine() -> dict[str, str]:
    """Processor, cores, memory and versions: what a figure needs beside it."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return {
        "cpu": _cpu_model(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "memory_gib": f"{_memory_gib():.0f}",
        "python": platform.python_version(),
        **versions,
    }


def write(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    *,
    folder: Path = RESULTS,
    load: float | None = LOAD_AT_START,
) -> str:
    """Write `NAME.json` and `NAME.md` into `folder`; return the Markdown.

    `rows` are the table's rows, all with the keys of the first; floats are shown with four
    significant digits. `notes` are sentences below the table: the data, what went wrong. `load` is
    the load average of the machine (last minute) when the command began; None: not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    date = datetime.date.today().isoformat()
    about = machine()
    record = {
        "title": title,
        "date": date,
        "machine": about,
        "load_at_start": load,
        "rows": list(rows),
        "notes": list(notes),
    }
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    columns = list(rows[0])
    said = ", ".join(f"{key} {value}" for key, value in about.items())
    beside = "" if load is None else f" Load of the machine when the command began: {load:.1f}."
    lines = [f"# {title}", "", f"{date}, {said}.{beside}", ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(c, "")) for c in columns) + " |" for row in rows]
    lines += ["", *[f"- {note}" for note in notes]]
    text = "\n".join(lines).rstrip() + "\n"
    (folder / f"{name}.md").write_text(text)
    return text


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return 0.0
