"""However long a video is, each worker decodes its part of it and the margins, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from shot_videos import shots_video
from stored_rows import assert_same_rows, expected
from two_nodes import TwoNodes

from vidsearch import Archive
from vidsearch.pieces import LEAD_S
from workers import JobOptions, index_job

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SHOT_S, KEYFRAME_S, PIECE_S, PIECES = 2.0, 1.0, 15.0, 4
LAG_S = 1.0  # until a cut is certain


def test_a_worker_decodes_no_frame_outside_its_part_and_the_margins(
    two_nodes: TwoNodes, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    n_shots = round(PIECES * PIECE_S / SHOT_S)
    shots_video(folder / "long.mp4", (SHOT_S,) * n_shots, gop=round(25 * KEYFRAME_S))
    duration_s = n_shots * SHOT_S
    archive = tmp_path / "archive"
    options = JobOptions(two_nodes.address, piece_minutes=PIECE_S / 60)
    assert len(index_job(archive, [folder], options).indexed) == 1
    spans = sorted(two_nodes.spans())
    assert [piece for piece, _, _ in spans] == list(range(PIECES))
    part_s = duration_s / PIECES
    for piece, first_s, last_s in spans:
        from_s = piece * part_s
        before_s = LEAD_S + KEYFRAME_S
        assert first_s == pytest.approx(max(0.0, from_s - before_s), abs=KEYFRAME_S + 0.1)
        assert last_s <= from_s + part_s + SHOT_S + LAG_S
    assert Archive(archive).verify() == []
    assert_same_rows(archive, expected(folder))
