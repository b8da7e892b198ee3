"""How costs grow with what they are paid for: powers, and panels beside the line in proportion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Line:
    """Values `y` at sizes `x`, both more than 0; its power is told of sizes from `since` on.

    That is the power between the first of these and the last; `fitted` to all if that is said.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    since: float = 0.0
    fitted: bool = False

    @property
    def told(self) -> list[tuple[float, float]]:
        """The sizes that the power is told of, with their values."""
        return [each for each in zip(self.x, self.y, strict=True) if each[0] >= self.since]

    @property
    def power(self) -> float | None:
        """The power of the size by which it grew; None where fewer than two are told of."""
        if len(self.told) < 2:
            return None
        return power(
            *zip(*(self.told if self.fitted else (self.told[0], self.told[-1])), strict=True)
        )


@dataclass(frozen=True)
class Panel:
    """Lines of one unit against one kind of `size`; the first is held against the proportion."""

    title: str
    size: str
    unit: str
    lines: tuple[Line, ...]


def power(x: Sequence[float], y: Sequence[float]) -> float:
    """The p of y = a x^p, by least squares of the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def figure(panels: Sequence[Panel], columns: int) -> Any:
    """The panels side by side, both scales logarithmic; a matplotlib figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = -(-len(panels) // columns)
    drawn, axes = pyplot.subplots(
        rows, columns, figsize=(6.4 * columns, 4.2 * rows), dpi=80, squeeze=False
    )
    for each, panel in zip(axes.flat, panels, strict=True):
        _draw(each, panel)
    drawn.tight_layout()
    return drawn


def _draw(axes: Any, panel: Panel) -> None:
    noun = panel.size.split()[0]
    axes.set(xlabel=panel.size, ylabel=panel.unit, title=panel.title, xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    lines = [line for line in panel.lines if line.x]
    for line in lines:
        style = "*" if line.name.endswith("compared with all") else "o-"
        told = "" if line.power is None else f": {noun}^{line.power:.2f}"
        axes.plot(line.x, line.y, style, label=line.name + told)
    if lines:
        size, value = lines[0].x, lines[0].y
        steady = [value[0] * each / size[0] for each in size]
        axes.plot(size, steady, "k:", label=f"in proportion to the {noun}")
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
