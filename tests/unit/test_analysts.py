"""What becomes of a file whose analysis needs more memory than there is."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from vidsearch import analysts
from vidsearch.records import AnalyzedVideo
from vidsearch.tasks import Analyzed, Recipe, Task, Unreadable

RECIPE = Recipe("concept", "default", "blend")
HUNGRY, SMALL = (Task((name,), name.decode(), 1, 0.0) for name in (b"/v/hungry.mp4", b"/v/b.mp4"))


@pytest.fixture(autouse=True)
def analyses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that load, and files of which one takes more memory than there is."""

    def analyze(task: Task, *rest: Any) -> AnalyzedVideo:
        if task == HUNGRY:
            raise MemoryError
        return AnalyzedVideo(task.video(), ())

    monkeypatch.setattr(analysts, "prepare", lambda recipe: object())
    monkeypatch.setattr(analysts, "analyze", analyze)
    monkeypatch.setattr(analysts, "analyze_piece", analyze)
    monkeypatch.setattr(analysts, "_news", queue.SimpleQueue())


def test_on_one_machine_it_has_failed_and_the_files_behind_it_are_analysed() -> None:
    first, second = analysts.in_this_process([HUNGRY, SMALL], RECIPE)
    assert isinstance(first, Unreadable)
    assert first.reason.startswith("ran out of memory: take fewer --jobs")
    assert first.trace == ""  # it is no fault of ours
    assert isinstance(second, Analyzed)
    assert second.task == SMALL


def test_so_it_has_in_a_process_of_its_own() -> None:
    found = analysts._run(HUNGRY, RECIPE)
    assert isinstance(found, Unreadable)
    assert found.reason.startswith("ran out of memory")


def test_workers_of_a_cluster_are_told_since_their_node_may_be_to_blame() -> None:
    with pytest.raises(MemoryError):
        analysts.run_task(HUNGRY, RECIPE, print)
    with pytest.raises(MemoryError):
        analysts.run_piece(HUNGRY, RECIPE, None, print)  # type: ignore[arg-type]


def test_models_that_do_not_fit_are_not_blamed_on_each_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_large(recipe: Recipe) -> None:
        raise MemoryError

    monkeypatch.setattr(analysts, "prepare", too_large)
    with pytest.raises(MemoryError):
        list(analysts.in_this_process([HUNGRY, SMALL], RECIPE))
