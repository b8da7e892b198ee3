"""The curves of a training run as a picture: loss, and recalls at validation (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SMOOTHED = 50  # points of the loss that are left of many


def draw_curves(lines: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Draw what log.jsonl says to a PNG `file`, whole or not at all.

    Raises `ImportError` without matplotlib and `OSError` where the file cannot be written.
    """
    from matplotlib.figure import Figure

    steps = [line for line in lines if line["event"] == "step"]
    checks = [line for line in lines if line["event"] == "validation"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, recalls = figure.subplots(1, 2)
    loss.plot(*_means([(line["step"], line["loss"]) for line in steps]), color="#335577")
    loss.set(title="loss", xlabel="step")
    for name, color in (("R@1", "#b03a2e"), ("R@5", "#ca8a04"), ("R@10", "#2e7d5b")):
        points = [(line["step"], 100 * line[name]) for line in checks]
        recalls.plot(*_columns(points), "o-", markersize=3, label=name, color=color)
    recalls.set(title="text to image on the validation split, %", xlabel="step", ylim=(0, None))
    recalls.legend()
    for axes in (loss, recalls):
        axes.grid(alpha=0.3)
    part = file.with_name(f".{file.name}")
    figure.savefig(part, format="png", dpi=110)
    part.replace(file)


def _means(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Neighbours averaged, so that a long run shows its course and not its noise."""
    size = max(1, len(points) // SMOOTHED)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return _columns([(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups])


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
