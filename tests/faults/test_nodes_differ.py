"""Nodes that join while a job runs and cannot do it get no more work, and the rest goes on."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from stored_rows import assert_same_rows, expected
from two_nodes import TwoNodes
from videos import encode

from vidsearch import Archive
from vidsearch.errors import VidsearchError
from vidsearch.indexing import GROUP_VIDEOS, IndexReport
from workers import JobOptions, index_job
from workers.nodes import STARTS

pytestmark = pytest.mark.slow
pytest.importorskip("ray")
N_VIDEOS = 10
needs_root = pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="a node with mounts of its own can only be started by root",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(N_VIDEOS // 2):  # the larger ones are handed out first
        encode(videos / f"held-first{number}.mp4", n_frames=60 + number)
        encode(videos / f"held-last{number}.mp4", n_frames=30 + number)
    return videos


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the driver has said so far."""
    return lambda: said(caplog, logging.WARNING)


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    found = [each for each in caplog.records if each.name.startswith("workers")]
    return [each.getMessage() for each in found if each.levelno == level]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes are looked at all the time."""
    monkeypatch.setattr(sys.modules["workers.index_job"], "LOAD_EVERY_S", 0.5)
    monkeypatch.setattr(sys.modules["workers.nodes"], "ASK_AGAIN_S", 0.5)


def job(cluster: TwoNodes, folder: Path, **options: float) -> IndexReport:
    return index_job(
        folder.parent / "archive",
        [folder],
        JobOptions(cluster.address, **options),  # type: ignore[arg-type]
    )


def wait(running: Future[IndexReport], for_what: Callable[[], object]) -> None:
    """Wait for something that happens while a job is running."""
    deadline = time.monotonic() + 120
    while not for_what():
        assert not running.done(), running.result()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def sent_on(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The files that a node sent on to another one so far."""
    return [text for text in said(caplog, logging.INFO) if "another one is asked" in text]


def check(cluster: TwoNodes, folder: Path, report: IndexReport) -> None:
    """Nothing failed, and the rows are those of a run on this machine."""
    assert (len(report.indexed), report.failed) == (len(list(folder.iterdir())), ())
    archive = folder.parent / "archive"
    assert Archive(archive).verify() == []
    assert_same_rows(archive, expected(folder))


@needs_root
def test_a_node_without_the_mount_gets_nothing_until_it_has_it_and_costs_nothing(
    two_nodes: TwoNodes,
    folder: Path,
    warnings: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
    quick: None,
) -> None:
    caplog.set_level(logging.INFO, "workers")
    # Ray starts nodes from the main thread alone.
    with ThreadPoolExecutor(1) as pool, two_nodes.holding():
        running = pool.submit(job, two_nodes, folder)
        wait(running, lambda: len(two_nodes.log()) >= 2)
        with two_nodes.blind_node(folder) as blind:
            wait(running, lambda: any("does not see" in text for text in warnings()))
            time.sleep(2.0)  # for what it had been given by then
            before = len(sent_on(caplog))
            time.sleep(5.0)  # in which it would go through what waits
            assert len(sent_on(caplog)) - before <= 1
            (told,) = warnings()
            assert not running.done()
            assert len(two_nodes.at_work()) == 2
            blind.see()
            wait(running, lambda: len(warnings()) == 2)
            two_nodes.hold("last")
            wait(running, lambda: len(two_nodes.at_work()) == 3)
            two_nodes.let_go()
            report = running.result()
    assert f"does not see {folder}/held" in told
    assert "mount it there under the same path" in told
    assert f"It gets no more work of {folder}; the others go on" in told
    assert "it is used again" in warnings()[1]
    check(two_nodes, folder, report)


@needs_root
def test_where_only_nodes_without_the_mount_are_left_the_job_ends_clearly(
    two_nodes: TwoNodes, tmp_path: Path, warnings: Callable[[], list[str]], quick: None
) -> None:
    """One node alone is large enough; the one that comes, and does not see the files, is too."""
    folder = tmp_path / "videos"
    folder.mkdir()
    first = [encode(folder / f"v{n}.mp4", n_frames=60 + n) for n in range(GROUP_VIDEOS)]
    rest = [
        encode(folder / f"slow{n}.mp4", n_frames=250 + n, size=(64, 36), options={"crf": "50"})
        for n in range(4)
    ]
    assert max(path.stat().st_size for path in rest) < min(path.stat().st_size for path in first)
    archive = tmp_path / "archive"
    large = two_nodes.add_node(cpus=2)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(job, two_nodes, folder, stall_s=5.0, cpus_per_worker=2)
        stamp = archive / "archive.json"
        wait(running, lambda: stamp.exists() and Archive(archive).videos())
        with two_nodes.blind_node(folder, cpus=2):
            wait(running, lambda: any("does not see" in text for text in warnings()))
            two_nodes.cluster.remove_node(large, allow_graceful=False)
            with pytest.raises(VidsearchError) as ended:
                running.result()
    assert len(two_nodes.at_work()) == 1
    done = Archive(archive).videos()
    left = len(first) + len(rest) - len(done)
    assert {video.status for video in done} == {"indexed"}
    assert len(done) >= len(first)
    assert left > 0
    assert f"{left} files are left that no node of the cluster can do" in str(ended.value)
    assert "mount it there under the same path" in str(ended.value)
    assert "What was stored is kept; run the command again" in str(ended.value)
    Archive(archive).index([folder])
    assert_same_rows(archive, expected(folder))


def test_a_node_with_other_code_that_joins_gets_nothing_and_costs_nothing(
    two_nodes: TwoNodes, folder: Path, warnings: Callable[[], list[str]], quick: None
) -> None:
    with ThreadPoolExecutor(1) as pool, two_nodes.holding():
        running = pool.submit(job, two_nodes, folder)
        wait(running, lambda: len(two_nodes.log()) >= 2)
        two_nodes.add_node(VIDSEARCH_PRETEND="0" * 16)
        wait(running, warnings)
        two_nodes.let_go()
        report = running.result()
    (told,) = warnings()
    assert "(code 00000000), and the job vidsearch" in told
    assert "of the same commit, and start its Ray again. It gets no more work; the others" in told
    assert len(two_nodes.at_work()) == 2
    check(two_nodes, folder, report)


def test_a_node_whose_workers_die_of_their_models_is_kept_out_and_no_file_is_blamed(
    two_nodes: TwoNodes, folder: Path, warnings: Callable[[], list[str]], quick: None
) -> None:
    with ThreadPoolExecutor(1) as pool, two_nodes.holding():
        running = pool.submit(job, two_nodes, folder)
        wait(running, lambda: len(two_nodes.log()) >= 2)
        two_nodes.add_node(VIDSEARCH_NO_MODELS="1")
        wait(running, lambda: any("It gets no more work" in text for text in warnings()))
        two_nodes.let_go()
        report = running.result()
    told = [text for text in warnings() if "it is tried again" in text]
    assert len(told) >= STARTS
    assert all("while it loaded its models" in text for text in told)
    assert all("(it had not begun); it is tried again" in text for text in told)
    assert any(f"{STARTS} workers in a row ended before they" in text for text in warnings())
    check(two_nodes, folder, report)


@needs_root
def test_a_node_that_does_not_see_the_files_is_told_before_any_work(
    two_nodes: TwoNodes, folder: Path
) -> None:
    before = two_nodes.n_alive()
    with two_nodes.blind_node(folder):
        while two_nodes.n_alive() == before:
            time.sleep(0.1)
        with pytest.raises(VidsearchError, match=f"does not see {folder}/held.*: mount it there"):
            job(two_nodes, folder)
    assert two_nodes.log() == []
    assert Archive(folder.parent / "archive").videos() == []


def test_a_node_that_does_not_understand_its_order_ends_the_job_clearly(
    two_nodes: TwoNodes, folder: Path
) -> None:
    two_nodes.add_node(VIDSEARCH_FAR="1")
    said = "could not even read what it is to do"
    with two_nodes.holding(), pytest.raises(VidsearchError, match=said) as ended:
        job(two_nodes, folder)
    assert "install the same everywhere" in str(ended.value)
    assert "unexpected keyword" in str(ended.value) or "positional argument" in str(ended.value)
    assert Archive(folder.parent / "archive").verify() == []
