"""How a job would scale to thousands of nodes, by simulation, and what ends it.

    python -m benchmarks.simulated_cluster [--hours 100000] [--write]

`workers.simulate` on one collection: clusters of more and more nodes of 16 workers, with 2 % of the
pieces four times as slow and nodes that die every 200 hours. The rates are those measured in
`results/stage_times.json`; nothing of this was run on a real cluster. Long videos cut into pieces
of ten minutes are held against files as they are. Writes a plot beside the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _report
from workers.simulate import LEFT_OUT, MEASURED, Outcome, Shape, lengths_s, simulate

NODES = (1, 10, 30, 100, 300, 1000, 3000)
WORKERS = 16


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=100_000.0)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    lengths = lengths_s(given.hours)
    found: dict[str, list[Outcome]] = {}
    for name, piece_s in (("pieces of 10 minutes", 600.0), ("whole files", 0.0)):
        found[name] = []
        for nodes in NODES:
            outcome = simulate(lengths, Shape(nodes, WORKERS), MEASURED, piece_s=piece_s)
            found[name].append(outcome)
            print(name, nodes, f"{outcome.hours:.2f} h", outcome.limit, flush=True)
    rows = [
        {
            "plan": name,
            "nodes": each.nodes,
            "hours": each.hours,
            "x real time": each.video_hours / each.hours,
            "of ideal": each.efficiency,
            "driver busy": each.driver_busy,
            "committer busy": each.committer_busy,
            "redone": each.redone,
            "limit": each.limit,
        }
        for name, outcomes in found.items()
        for each in outcomes
    ]
    notes = [
        f"SIMULATED: {given.hours:.0f} hours of video, {len(lengths)} files, {WORKERS} workers of "
        f"one core a node; rates: {MEASURED}.",
        f"Left out: {LEFT_OUT}.",
    ]
    if given.write:
        print(
            _report.write("simulated_cluster", "A job on clusters that were not built", rows, notes)
        )
        plot(found, _report.RESULTS / "simulated_cluster.png")


def plot(found: dict[str, list[Outcome]], file: Path) -> None:
    """Speed against nodes, both logarithmic, beside the ideal."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    nodes = list(NODES)
    axes.plot(nodes, [n * WORKERS / MEASURED.core_s for n in nodes], "k:", label="ideal")
    for name, outcomes in found.items():
        speeds = [each.video_hours / each.hours for each in outcomes]
        axes.plot(nodes, speeds, "o-", label=name)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"nodes of {WORKERS} cores",
        ylabel="hours of video an hour",
        title="A simulated job",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
