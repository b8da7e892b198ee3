"""Real footage on a Ray cluster: the rows of one pass on this machine, also after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ray_head import ray_head
from stored_rows import assert_same_rows

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.real]

PIECE_MINUTES = 0.3
TOO_SHORT = "white-house-poetry.mp4"  # for pieces


def test_real_videos_in_pieces_and_a_killed_driver_give_the_rows_of_one_pass(
    shared_data: Path, one_pass: Path, tmp_path: Path
) -> None:
    archive, videos = tmp_path / "archive", shared_data / "videos"
    index = ("index", videos, "--archive", archive, "--ray", "auto")
    index += ("--piece-minutes", PIECE_MINUTES)
    question = "a man singing into a microphone"
    with ray_head() as head:
        head.assert_goes_on_after_a_kill(archive, 1, *index, question=question)
        listed = head.ray("list", "tasks", "--limit", "10000", "--format", "json").stdout
    tasks = {task["name"] for task in json.loads(listed[listed.index("[") :])}
    in_pieces = {path for path in videos.iterdir() if f"index {path}, piece 2" in tasks}
    assert in_pieces == {path for path in videos.iterdir() if path.name != TOO_SHORT}
    assert_same_rows(archive, one_pass)
