"""Real footage on a Ray cluster: the rows of one pass on this machine, also after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_head import ray_head
from stored_rows import assert_same_rows

from vidsearch import Archive
from vidsearch.indexing import IndexReport

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.real]

VIDEOS = 5
"""All of the folder: five minutes of broadcast sport, a trailer, a talk in 1080p, a vertical vlog
and the White House."""
PIECE_MINUTES = 0.3


@pytest.fixture(scope="module")
def videos(shared_data: Path) -> Path:
    return shared_data / "videos"


@pytest.fixture(scope="module")
def one_pass(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that this process makes of them."""
    archive = tmp_path_factory.mktemp("real") / "archive"
    assert len(Archive(archive).index([videos]).indexed) == VIDEOS
    return archive


@pytest.fixture
def nobody_on_ray() -> Iterator[None]:
    ray.shutdown()  # what a test of another file may have left
    yield
    ray.shutdown()


def test_real_videos_in_pieces_give_the_rows_of_one_pass(
    videos: Path,
    one_pass: Path,
    tmp_path: Path,
    nobody_on_ray: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from workers import JobOptions, index_job

    caplog.set_level("INFO", "workers")
    archive = tmp_path / "archive"
    report: IndexReport = index_job(
        archive, [videos], JobOptions("local", piece_minutes=PIECE_MINUTES)
    )
    assert (len(report.indexed), report.failed) == (VIDEOS, ())
    said = [record.getMessage() for record in caplog.records]
    assert sum(text.endswith(" pieces") for text in said) == VIDEOS - 1  # one is too short
    assert Archive(archive).verify() == []
    assert_same_rows(archive, one_pass)


def test_a_driver_killed_half_way_through_real_videos_goes_on(
    videos: Path, one_pass: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    index = ("index", videos, "--archive", archive, "--ray", "auto")
    index += ("--piece-minutes", PIECE_MINUTES)
    question = "a man singing into a microphone"
    with ray_head() as head:
        head.assert_goes_on_after_a_kill(archive, 1, *index, question=question)
    assert len(Archive(archive).videos()) == VIDEOS
    assert_same_rows(archive, one_pass)
