"""How a job would scale to thousands of nodes, by simulation, and what ends it.

    python -m benchmarks.simulated_cluster [--hours 100000] [--write]

`workers.simulate` on one collection: clusters of more and more nodes of 16 workers, with 2 % of the
pieces four times as slow and nodes that die every 200 hours. The rates are those measured
(`benchmarks.rates`); nothing of this was run on a real cluster. Long videos cut into pieces of ten
minutes are held against files as they are, and against a job without the upkeep of the archive; a
tenth of the collection is as many shots as upkeep was measured of. Writes a plot beside the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import _report, cost_model
from workers.simulate import LEFT_OUT, MEASURED, Outcome, Rates, Shape, lengths_s, simulate

NODES = (1, 10, 30, 100, 300, 1000, 3000)
WORKERS = 16
PIECES = "pieces of 10 minutes"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=100_000.0)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    found: dict[tuple[float, str], list[Outcome]] = {}
    for hours, name, piece_s, rates in plans(given.hours):
        lengths, outcomes = lengths_s(hours), []
        for nodes in NODES:
            outcome = simulate(lengths, Shape(nodes, WORKERS), rates, piece_s=piece_s)
            outcomes.append(outcome)
            print(hours, name, nodes, f"{outcome.hours:.2f} h", outcome.limit, flush=True)
        found[hours, name] = outcomes
    rows = [
        {
            "hours of video": hours,
            "plan": name,
            "nodes": each.nodes,
            "hours": each.hours,
            "x real time": each.video_hours / each.hours,
            "of ideal": each.efficiency,
            "driver: handing out": each.handing_out,
            "listening": each.listening,
            "publishing": each.publishing,
            "upkeep": each.upkeep,
            "redone": each.redone,
            "limit": each.limit,
        }
        for (hours, name), outcomes in found.items()
        for each in outcomes
    ]
    rates = replace(MEASURED, upkeep=())
    last = MEASURED.upkeep[-1]
    notes = [
        f"SIMULATED: log-normal lengths of files, {WORKERS} workers of one core a node; {rates}; "
        f"upkeep as measured up to {last[0]:,.0f} shots, {last[0] / MEASURED.shots_hour:,.0f} "
        "hours of video; EXTRAPOLATED beyond by the power of the last tenfold.",
        f"Left out: {LEFT_OUT}; and what a worker loses by going through Ray: `core_s` is the bare"
        f" time of `stage_times`, which `cost_model` divides by {cost_model.ray_share():.2f}"
        " (`ray_overhead`).",
    ]
    if given.write:
        print(
            _report.write("simulated_cluster", "A job on clusters that were not built", rows, notes)
        )
        plot(found, _report.RESULTS / "simulated_cluster.png")


def plans(hours: float) -> Iterator[tuple[float, str, float, Rates]]:
    """Hours of video, a name, the length of pieces, rates."""
    without = replace(MEASURED, upkeep=())
    yield hours / 10, "whole files", 0.0, MEASURED
    for much in (hours / 10, hours):
        yield much, PIECES, 600.0, MEASURED
        yield much, "pieces, no upkeep", 600.0, without


def plot(found: dict[tuple[float, str], list[Outcome]], file: Path) -> None:
    """Speed against nodes, both logarithmic, beside the ideal."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    nodes = list(NODES)
    axes.plot(nodes, [n * WORKERS / MEASURED.core_s for n in nodes], "k:", label="ideal")
    for (hours, name), outcomes in found.items():
        if name == "whole files":
            continue
        speeds = [each.video_hours / each.hours for each in outcomes]
        style = "o-" if name == PIECES else "+--"
        axes.plot(nodes, speeds, style, label=f"{hours:,.0f} h, {name}")
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
