"""What it costs to index a collection on named instances, from measured rates.

    python -m benchmarks.cost_model [--format "720p H.264"] [--write]

Measured: core seconds, bytes and shots of an hour of video (`results/stage_times.json`), how much
of the local speed a Ray job reaches (`results/ray_overhead.json`, taken as 1 while there is none).
Assumed: prices, that a vCPU is a core, and a GPU's speed (`prices.toml`). Nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _report

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRICES = Path(__file__).with_name("prices.toml")
COLLECTIONS = (1_000, 100_000, 1_000_000)  # hours of video
DAYS = 7.0  # in which a collection is to be indexed, where nodes are counted
HOUR = 3600.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", default="720p H.264")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    prices = tomllib.loads(PRICES.read_text())
    rates = rates_of(given.format)
    share = ray_share()
    rows = [
        cost(hours, name, instance, prices, rates, share)
        for hours in COLLECTIONS
        for name, instance in prices["instances"].items()
    ]
    per_hour = rates["core s"] / share / HOUR
    notes = [
        f"{given.format}: {rates['core s']:.0f} core seconds, {rates['record MB']:.0f} MB between "
        f"processes and {rates['stored MB']:.0f} MB in the archive an hour of video, measured "
        "(stage_times). ASSUMED: prices, and that a vCPU is as fast as a core of that machine.",
        f"A Ray job reaches {share:.2f} of the local speed "
        + ("(ray_overhead, measured)." if share != 1 else "(ASSUMED: not measured yet)."),
        f"{per_hour:.3f} core hours an hour of video; "
        f"nodes are those that finish within {DAYS:.0f} days.",
        "The GPU row adds a ViT-L/14 at 336 pixels for every keyframe; its speed is ASSUMED, no "
        "GPU was measured. It takes a share of a GPU: see the GPU hours.",
        "Reading the source, requests to its storage and traffic between regions are left out.",
    ]
    for row in rows:
        print(row)
    if given.write:
        print(_report.write("cost_model", "What indexing a collection costs", rows, notes))


def rates_of(name: str) -> Mapping[str, float]:
    """The measured rates of a format."""
    rows = json.loads((_report.RESULTS / "stage_times.json").read_text())["rows"]
    return next(row for row in rows if row["format"] == name)


def ray_share() -> float:
    """How much of the local speed a Ray job reaches, as measured; 1 where it was not."""
    try:
        rows = json.loads((_report.RESULTS / "ray_overhead.json").read_text())["rows"]
    except OSError:
        return 1.0
    return min(1.0, next(row["ratio"] for row in rows if row["what"] == "Ray"))


def cost(
    hours: int,
    name: str,
    instance: Mapping[str, Any],
    prices: Mapping[str, Any],
    rates: Mapping[str, float],
    share: float,
) -> dict[str, Any]:
    core_hours = hours * rates["core s"] / share / HOUR
    instance_hours = core_hours / instance["cores"]
    pictures = instance.get("pictures_s")
    gpu_hours = hours * rates["keyframes"] / pictures / HOUR if pictures else 0.0
    instance_hours = max(instance_hours, gpu_hours)
    money = instance_hours * instance["hour"]
    stored_gb = hours * rates["stored MB"] / 1e3
    return {
        "hours of video": hours,
        "instance": name,
        "core hours": core_hours,
        "GPU hours": gpu_hours if pictures else "",
        "instance hours": instance_hours,
        f"nodes for {DAYS:.0f} days": max(1, round(instance_hours / (24 * DAYS) + 0.5)),
        "$ on demand": money,
        "$ spot": money * prices["spot_share"],
        "$ an hour of video": money / hours,
        "archive GB": stored_gb,
        "archive $ a month": stored_gb * prices["storage_gb_month"],
    }


if __name__ == "__main__":
    main()
