"""`--open`: the player that is there gets the file and the moment; where none is, we say so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.player import play


def _program(folder: Path, name: str) -> Path:
    """A program that notes what it was told."""
    told = folder / f"{name}.told"
    program = folder / name
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > "{told}.part"\nmv "{told}.part" "{told}"\n'
    )
    program.chmod(0o755)
    return told


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `mv` alone, which is all of PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mv").symlink_to("/bin/mv")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mpv", ["--start=2.736", "--", "/v/a film.mp4"]),
        ("vlc", ["--start-time=2.736", "/v/a film.mp4"]),
        ("ffplay", ["-ss", "2.736", "-autoexit", "/v/a film.mp4"]),
    ],
)
def test_a_player_is_told_the_file_and_the_moment(
    path: Path, name: str, arguments: list[str]
) -> None:
    told = _program(path, name)
    play(Path("/v/a film.mp4"), 2.7361)
    deadline = time.monotonic() + 20
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert told.read_text().splitlines() == arguments


def test_where_no_player_is_the_moment_is_told(path: Path) -> None:
    with pytest.raises(VidsearchError) as caught:
        play(Path("/v/a film.mp4"), 2.736)
    said = str(caught.value)
    assert "install mpv, VLC or ffplay" in said
    assert "/v/a film.mp4 at 00:00:02.736" in said
