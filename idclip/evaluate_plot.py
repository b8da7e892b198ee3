"""The evaluation's recalls as a picture. The only module that imports matplotlib's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .evaluate import Evaluation, Row
from .evaluate_published import PUBLISHED

_SHOWN = ("R@1", "R@5", "R@10")
_COLOURS = {"caption": "#1f6f8b", "fixed": "#1f6f8b", "averaged": "#e08e45"}
_MARKS = {"frozen CLIP + translator": "s", "+ VPT-5": "D"}
_SHIFT = {"caption": 0.0, "": 0.0, "fixed": -0.16, "averaged": 0.16}
_GREY = "#6b6b6b"


def plot(evaluation: Evaluation, file: Path) -> None:
    """Write text-to-image recall of every way to ask, with intervals, as a PNG.

    The paper's published figures are hollow: they were measured on its own data.
    """
    queries = {row.configuration: row.label for row in evaluation.rows}
    place = {configuration: index for index, configuration in enumerate(queries)}
    figure = Figure(figsize=(11, 1.9 + 0.5 * len(queries)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(_SHOWN), sharey=True)
    for panel, name in zip(panels, _SHOWN, strict=True):
        for row in evaluation.rows:
            _ours(panel, row, place[row.configuration], name)
        _papers(panel, place, int(name.removeprefix("R@")))
        panel.set_title(name, fontsize=11)
        panel.set_xlim(-2, 102)  # marks at the ends stay whole
        panel.grid(axis="x", color="#e3e3e3")
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(queries)), list(queries.values()))
    panels[0].invert_yaxis()
    panels[1].set_xlabel("text to image, percent of captions")
    _legend(figure, panels[0])
    figure.suptitle(
        f"{evaluation.model}, COCO-PFS {evaluation.split}: {evaluation.pictures} pictures, "
        f"{evaluation.people} identities",
        fontsize=12,
    )
    figure.savefig(file, dpi=130)


def _ours(panel: Any, row: Row, at: int, name: str) -> None:
    found = row.t2i[name]
    height, colour = at + _SHIFT[row.template], _COLOURS[row.template]
    panel.plot([100 * found.low, 100 * found.high], [height] * 2, color=colour, linewidth=2)
    panel.plot(100 * found.value, height, "o", color=colour, markersize=6)


def _papers(panel: Any, place: dict[str, int], k: int) -> None:
    column = (1, 5, 10, 50).index(k)
    for row in PUBLISHED:
        if row.t2i is not None and row.configuration in place:
            height = place[row.configuration] + _SHIFT[row.template]
            panel.plot(
                row.t2i[column],
                height,
                _MARKS[row.model],
                markerfacecolor="none",
                markeredgecolor=_COLOURS.get(row.template, _GREY),
                markersize=6,
            )


def _legend(figure: Any, panel: Any) -> None:
    marks = [
        panel.plot([], [], "o-", color=_COLOURS["fixed"], label="fixed template, or caption")[0],
        panel.plot([], [], "o-", color=_COLOURS["averaged"], label="templates averaged")[0],
    ]
    for model, mark in _MARKS.items():
        text = f"paper, its own data: {model}"
        marks += panel.plot([], [], mark, markerfacecolor="none", markeredgecolor=_GREY, label=text)
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
