"""Nodes that join while a job runs and cannot do it: they get no more work, and the rest goes on."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from stored_rows import assert_same_rows, expected
from two_nodes import TwoNodes, hooks, two_nodes_in
from videos import encode

from vidsearch import Archive
from vidsearch.errors import VidsearchError
from vidsearch.indexing import IndexReport
from workers import JobOptions, index_job, nodes
from workers import index_job as _index_job  # noqa: F401

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")
N_VIDEOS = 10
needs_root = pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="a node with mounts of its own can only be started by root",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(N_VIDEOS):
        encode(videos / f"slow{number}.mp4", n_frames=60 + number)
    return videos


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the driver has said so far."""
    caplog.set_level(logging.WARNING, "workers")
    return lambda: [record.getMessage() for record in caplog.records]


def job(cluster: TwoNodes, folder: Path, **options: float) -> IndexReport:
    return index_job(
        folder.parent / "archive",
        [folder],
        JobOptions(cluster.address, **options),  # type: ignore[arg-type]
    )


def begun(cluster: TwoNodes, n: int) -> None:
    wait(lambda: len(cluster.log()) >= n)


def wait(for_what: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not for_what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def check(cluster: TwoNodes, folder: Path, report: IndexReport) -> None:
    """Nothing failed, and the rows are those of a run on this machine."""
    assert (len(report.indexed), report.failed) == (N_VIDEOS, ())
    archive = folder.parent / "archive"
    assert Archive(archive).verify() == []
    assert_same_rows(archive, expected(folder))


@needs_root
def test_a_node_that_joins_without_the_mount_gets_nothing_and_costs_nothing(
    two_nodes: TwoNodes, folder: Path, warnings: Callable[[], list[str]]
) -> None:
    with ThreadPoolExecutor(1) as pool, ExitStack() as later:
        running = pool.submit(job, two_nodes, folder)
        begun(two_nodes, 2)
        later.enter_context(two_nodes.blind_node(folder))
        report = running.result()
        there = sum(node["Alive"] for node in ray.nodes())
    assert there == 3
    (said,) = [text for text in warnings() if "does not see" in text]
    assert f"does not see {folder}/slow" in said
    assert "mount it there under the same path" in said
    assert f"It gets no more work of {folder}; the others go on" in said
    assert len({node for node, _ in two_nodes.log()}) == 2
    check(two_nodes, folder, report)
