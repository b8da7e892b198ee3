"""The pictures of how costs grow say by which power, and draw what they say they draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from benchmarks import growth, scale_growth
from benchmarks._growth import Line, Panel, figure, power


def archive(shots: int, **changed: Any) -> dict[str, Any]:
    """What `benchmarks.scale` might keep of an archive; some costs in proportion, some less."""
    asked = ("context", "person", "person and context", "context, not person")
    facts = {
        "shots": shots,
        "bytes": 2400 * shots,
        "index_bytes": {"keyframes.lance": 300 * shots} if shots >= 100_000 else {},
        "written_s": 1e-4 * shots,
        "indexing_s": 0.0,
        "peak_reader_gb": 1e-3 * shots**0.5,
        "new_words": {kind: [0.1 * shots**0.25] * 3 for kind in asked if kind != "person"},
        "new_times": {kind: [0.01 * shots**0.75] * 3 for kind in asked},
        "times": {kind: [2.0] * 3 for kind in asked},
    }
    return facts | changed


MEASURED = [
    archive(8_000, new_words={"context": [700.0]}),
    archive(100_000, exact_times={"context": [50.0]}),
    archive(10_000_000),
]


def test_a_power_is_told_by_least_squares() -> None:
    sizes = [1.0, 2.0, 4.0, 8.0]
    assert power(sizes, [3 * x**1.5 for x in sizes]) == pytest.approx(1.5)
    assert Line("", (1.0, 4.0), (5.0, 10.0)).power == pytest.approx(0.5)
    assert Line("", (1.0,), (5.0,)).power is None


def test_each_line_of_large_archives_has_the_power_between_its_first_and_last_size() -> None:
    stored, written, memory, asked = scale_growth.panels(MEASURED)
    assert [line.power for line in stored.lines] == pytest.approx([1.0, 1.0])
    assert written.lines[0].power == pytest.approx(1.0)
    assert memory.lines[0].power == pytest.approx(0.5)
    powers = {line.name: line.power for line in asked.lines}
    # Not of the smallest archive, which no index answers: its 700 ms would make it 0.
    assert powers["context, new words"] == pytest.approx(0.25)
    assert powers["person, first time"] == pytest.approx(0.75)
    assert powers["context, asked before"] == pytest.approx(0.0)
    assert powers["context, compared with all"] is None


def test_the_powers_are_told_with_the_sizes_between_which_they_are() -> None:
    told = scale_growth.told(scale_growth.panels(MEASURED))
    assert "archive: 1.00 (13.33 to 1.667e+04 hours of video)" in told
    assert "person, first time: 0.75 (1e+05 to 1e+07 shots)" in told
    assert "compared with all" not in told


def test_questions_are_drawn_new_and_asked_before_and_beside_the_proportion(tmp_path: Path) -> None:
    drawn = figure(scale_growth.panels(MEASURED), columns=2)
    axes = drawn.axes[-1]
    labels = [line.get_label() for line in axes.get_lines()]
    assert labels == [
        "context, new words: shots^0.25",
        "person and context, new words: shots^0.25",
        "context, not person, new words: shots^0.25",
        "person, first time: shots^0.75",
        "context, asked before: shots^0.00",
        "context, compared with all",
        "in proportion to the shots",
    ]
    steady = axes.get_lines()[-1].get_ydata()
    assert list(steady) == pytest.approx([700.0, 8_750.0, 875_000.0])
    drawn.savefig(tmp_path / "scale.png", bbox_inches="tight")
    assert (tmp_path / "scale.png").stat().st_size > 10_000


def test_a_panel_may_have_nothing_to_draw() -> None:
    nothing = Panel("nothing", "shots", "ms", (Line("not asked", (), ()),))
    assert figure([nothing], columns=1).axes[0].get_lines() == []


def test_indexing_is_drawn_against_minutes_with_the_power_fitted_to_all_lengths() -> None:
    rows = [
        {"format": name, "minutes": minutes}
        | dict.fromkeys(growth.ROWS, 20 * minutes)
        | {"core s": cost * minutes, "core s with start": 5 + cost * minutes}
        | {"archive MB": minutes**0.9, "peak MiB": 400 * minutes**0.1}
        for name, cost in (("360p", 4.0), ("720p", 7.0))
        for minutes in (1.0, 2.0, 4.0, 16.0)
    ]
    drawn = growth.panels(rows)
    powers = {line.name: line.power for panel in drawn for line in panel.lines}
    assert powers["720p, core s"] == pytest.approx(1.0)
    assert powers["720p, face looks"] == pytest.approx(1.0)
    assert 0.5 < powers["360p, core s with start"] < 0.9
    assert powers["720p, archive MB"] == pytest.approx(0.9)
    assert powers["360p, peak MiB"] == pytest.approx(0.1)
    assert "720p, core s 1.00 (last doubling: 4.00 times)" in growth.powers(drawn)
    assert len(figure(drawn, columns=2).axes) == 4
