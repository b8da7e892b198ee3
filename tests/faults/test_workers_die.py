"""Workers and nodes die while they work: the files are tried elsewhere and the rows are exact."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from shot_videos import shots_video
from stored_rows import assert_same_rows, expected
from two_nodes import TwoNodes
from videos import encode

from vidsearch import Archive
from vidsearch.errors import VidsearchError
from vidsearch.indexing import IndexReport
from workers import JobOptions, index_job

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(4):
        encode(videos / f"v{number}.mp4", n_frames=30 + number)
    return videos


def job(two_nodes: TwoNodes, folder: Path, **options: float) -> tuple[Path, IndexReport]:
    archive = folder.parent / "archive"
    report = index_job(archive, [folder], JobOptions(two_nodes.address, **options))  # type: ignore[arg-type]
    assert Archive(archive).verify() == []
    return archive, report


@pytest.mark.parametrize("stage", ["decode", "encode", "write"])
def test_a_worker_that_is_killed_costs_nothing(
    two_nodes: TwoNodes, folder: Path, stage: str
) -> None:
    two_nodes.kill_at(stage)
    archive, report = job(two_nodes, folder)
    assert two_nodes.killed(stage)
    assert (len(report.indexed), report.failed) == (4, ())
    assert_same_rows(archive, expected(folder))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("segfault", "crashed (Segmentation fault) twice"),
        ("abort", "crashed (Aborted) twice"),
        ("hang", "made no progress for 4 s twice"),
        ("memory", "took more than 1.5 GB of memory twice"),
        ("no-more", "ran out of memory twice"),
    ],
)
def test_a_file_that_breaks_its_worker_is_put_in_quarantine(
    two_nodes: TwoNodes, folder: Path, fault: str, reason: str
) -> None:
    bad = encode(folder / f"{fault}.mp4", n_frames=40)
    archive, report = job(two_nodes, folder, stall_s=4.0, memory_gb=1.5)
    (failed,) = report.failed
    assert failed.path == str(bad)
    assert failed.reason == f"in quarantine: {reason}; the file is probably damaged"
    assert [name for _, name in two_nodes.log()].count(bad.name) == 2
    assert len(report.indexed) == 4
    later = Archive(archive).index([folder])
    assert (later.indexed, later.failed) == ((), ())
    assert later.planned.notes[0].startswith("1 file is in quarantine")
    asked = Archive(archive).index(Archive(archive).failed_paths(), retry=True)  # without hooks
    assert [video.path for video in asked.indexed] == [str(bad)]


@pytest.mark.parametrize("stage", ["piece2", "encode", "write"])
def test_a_worker_killed_in_a_piece_costs_that_piece_alone(
    two_nodes: TwoNodes, tmp_path: Path, stage: str
) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    video = shots_video(folder / "long.mp4")
    two_nodes.kill_at(stage)
    archive, report = job(two_nodes, folder, piece_minutes=0.2)
    assert two_nodes.killed(stage)
    assert (len(report.indexed), report.failed) == (1, ())
    begun = [name for _, name in two_nodes.log()].count(video.name)
    assert begun == 4 + 1
    assert_same_rows(archive, expected(folder))


def test_a_piece_that_crashes_its_worker_puts_the_file_in_quarantine(
    two_nodes: TwoNodes, folder: Path, tmp_path: Path
) -> None:
    bad = shots_video(folder / "segfault-in-piece-3.mp4")
    archive, report = job(two_nodes, folder, piece_minutes=0.2)
    (failed,) = report.failed
    assert failed.path == str(bad)
    assert failed.reason.startswith("in quarantine: crashed (Segmentation fault) twice")
    assert len(report.indexed) == 4
    states = {Path(video.path).name: video.status for video in Archive(archive).videos()}
    assert states.pop(bad.name) == "failed"
    assert set(states.values()) == {"indexed"}


def until_work_on(two_nodes: TwoNodes, n_nodes: int, running: Future[Any]) -> None:
    deadline = time.monotonic() + 120
    while len(two_nodes.at_work()) < n_nodes:
        assert not running.done(), running.result()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def during(
    two_nodes: TwoNodes, folder: Path, happens: Callable[[], object], n_nodes: int = 2
) -> tuple[Path, IndexReport]:
    """Run the job; while both nodes are amid a file, something happens.

    They go on when so many nodes have begun to work.
    """
    with ThreadPoolExecutor(1) as pool, two_nodes.holding():  # Ray starts nodes from the main
        running = pool.submit(job, two_nodes, folder)  # thread alone
        until_work_on(two_nodes, 2, running)
        happens()
        until_work_on(two_nodes, n_nodes, running)
        two_nodes.let_go()
        return running.result()


@pytest.fixture
def held(folder: Path) -> Path:
    """With files in which workers can be held: more than there will be nodes, and begun first."""
    for number in range(4):
        encode(folder / f"held{number}.mp4", n_frames=80 + number)
    return folder


def test_a_node_that_goes_away_is_survived_and_no_file_is_blamed(
    two_nodes: TwoNodes, held: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, report = during(two_nodes, held, two_nodes.lose_second)
    again = [text for text in caplog.messages if text.endswith("it is tried again")]
    assert again
    assert all("(its node went away)" in text for text in again)
    assert (len(report.indexed), report.failed) == (8, ())
    assert len([name for _, name in two_nodes.log() if name.startswith("held")]) > 4
    assert_same_rows(archive, expected(held))


def test_a_node_that_comes_is_used(two_nodes: TwoNodes, held: Path) -> None:
    _, report = during(two_nodes, held, two_nodes.add_node, n_nodes=3)
    assert len(report.indexed) == 8
    assert len(two_nodes.at_work()) == 3


def test_workers_whose_models_leave_no_room_for_a_file_are_told_and_no_file_is_blamed(
    two_nodes: TwoNodes, folder: Path
) -> None:
    archive = folder.parent / "archive"
    with pytest.raises(
        VidsearchError, match=r"the models of a worker take .* \(--cpus-per-worker\)"
    ):
        index_job(archive, [folder], JobOptions(two_nodes.address, memory_gb=0.2))
    assert two_nodes.log() == []
    assert Archive(archive).videos() == []


def test_workers_that_no_node_has_the_cores_for_are_not_waited_for_without_end(
    two_nodes: TwoNodes,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys.modules["workers.index_job"], "NODES_S", 2.0)
    archive = folder.parent / "archive"
    with pytest.raises(VidsearchError, match="no node of the cluster has the 64 cores"):
        index_job(archive, [folder], JobOptions(two_nodes.address, cpus_per_worker=64))
    (told,) = [text for text in caplog.messages if "64 cores" in text]
    assert told.endswith("Nodes are waited for, 2 s at most")


def test_a_node_with_other_code_is_refused_before_any_work(
    two_nodes: TwoNodes, folder: Path
) -> None:
    from workers.same_code import own_digest

    two_nodes.add_node(VIDSEARCH_PRETEND="0123456789abcdef")
    archive = folder.parent / "archive"
    code = rf"\(code 01234567\), and the job vidsearch \S+ \(code {own_digest()[:8]}\): install"
    with pytest.raises(VidsearchError, match=code):
        index_job(archive, [folder], JobOptions(two_nodes.address))
    assert two_nodes.log() == []
    assert Archive(archive).videos() == []


def test_files_that_a_node_does_not_see_are_told_before_any_work(
    two_nodes: TwoNodes, folder: Path
) -> None:
    import ray

    from vidsearch.tasks import Recipe
    from workers.cluster import check_nodes

    with pytest.raises(VidsearchError, match=r"does not see /nowhere/a\.mp4: mount it there"):
        check_nodes(ray, Recipe("concept", "default", "blend"), ["/nowhere/a.mp4"])
