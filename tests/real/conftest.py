"""What tests of real footage share."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidsearch import Archive

N_VIDEOS = 5
"""All of the folder: broadcast sport, a trailer, a talk in 1080p, a vertical vlog and the White
House."""


@pytest.fixture(scope="session")
def one_pass(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that this process makes of all of them; who changes it takes a copy."""
    archive = tmp_path_factory.mktemp("real") / "archive"
    report = Archive(archive).index([shared_data / "videos"])
    assert (len(report.indexed), report.failed) == (N_VIDEOS, ())
    return archive
