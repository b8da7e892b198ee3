"""A job on Ray stores the same rows as a run on one machine."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from videos import encode

from vidsearch import Archive

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is absent"),
]


def test_ray_and_one_process_store_the_same_rows(tmp_path: Path, example_media: Path) -> None:
    from workers import index_job

    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy2(example_media / "white-house-poetry.mp4", folder)
    encode(folder / "numbers.mp4", n_frames=60)
    (folder / "empty.mp4").write_bytes(b"")
    here, there = Archive(tmp_path / "here"), Archive(tmp_path / "there")
    here.index([folder])
    report = index_job(there.path, [folder], "local")
    assert [bad.path for bad in report.failed] == [str(folder / "empty.mp4")]
    for video in here.videos():
        assert there.shots(video.video_id) == here.shots(video.video_id)
    mine, theirs = here._open.reader.rows(), there._open.reader.rows()
    a, b = (np.lexsort(rows.keyframe_vectors.T) for rows in (mine, theirs))
    np.testing.assert_allclose(mine.keyframe_vectors[a], theirs.keyframe_vectors[b], atol=1e-4)
    assert len(mine.look_track) == len(theirs.look_track) > 0
