"""What a simulated job reckons with, put together from what was measured.

    python -m benchmarks.rates [--write]

Reads `results` and, with `--write`, writes `workers/rates.json`, which `workers.simulate` uses; a
test holds the two together. Nothing is measured here: run it, and then `simulated_cluster`, when
one of the results in `found` was measured anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import _report

RATES = Path(__file__).parent.parent / "workers" / "rates.json"
FORMAT = "720p H.264"
HOUR = 3600.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true")
    text = json.dumps(found(), indent=1) + "\n"
    print(text)
    if parser.parse_args(arguments).write:
        RATES.write_text(text)


def found() -> dict[str, Any]:
    """The fields of `workers.simulate.Rates`."""
    clip = _row("stage_times", "format", FORMAT)
    commit_s, hour_s = _committing()
    return {
        "core_s": clip["core s"] / HOUR,
        "hand_out_s": _row("hand_out", "what", "a file of 1 s")["core s each"],
        "news_s": _row("hand_out", "what", "a piece of news")["core s each"],
        "commit_s": commit_s,
        "publish_hour_s": hour_s,
        "shots_hour": clip["shots"],
        "upkeep": [[row["shots"], row["all upkeep s"]] for row in _rows("upkeep")],
    }


def _committing() -> tuple[float, float]:
    """The driver's seconds for a commit, and for an hour of video in it.

    `ray_commit` measured the driver's processor seconds of videos of ten minutes that were
    committed one by one and eight together: what differs is the commits.
    """
    each = {
        row["group"]: row["driver core s an hour"]
        for row in _rows("ray_commit")
        if (row["where"], row["way"]) == ("disk", "committer")
    }
    videos = 6.0  # an hour
    commit_s = (each[1] - each[8]) / (videos - videos / 8)
    return commit_s, each[8] - videos / 8 * commit_s


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((_report.RESULTS / f"{name}.json").read_text())["rows"]
    return rows


def _row(name: str, key: str, value: str) -> dict[str, Any]:
    return next(row for row in _rows(name) if row[key] == value)


if __name__ == "__main__":
    main()
