"""Play a moment of a video in whatever player this machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click

from vidsearch.errors import VidsearchError
from vidsearch.inputs import printable
from vidsearch.timecodes import timecode

# Players that can start at a moment, and how they are told; the first that is installed is used.
_PLAYERS = {
    "mpv": ("--start={at:.3f}", "--", "{file}"),
    "vlc": ("--start-time={at:.3f}", "{file}"),
    "ffplay": ("-ss", "{at:.3f}", "-autoexit", "{file}"),
}


def play(file: Path, at_s: float) -> None:
    """Start a player at `at_s` seconds of the file's own clock, and do not wait for it.

    Where none of mpv, VLC and ffplay is installed the desktop's own player opens the file, at
    its beginning. Raises `VidsearchError`, with the file and the moment, where there is none.
    """
    for player, arguments in _PLAYERS.items():
        program = shutil.which(player)
        if program:
            told = [argument.format(at=max(0.0, at_s), file=file) for argument in arguments]
            subprocess.Popen([program, *told], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return
    if click.launch(str(file)):
        raise VidsearchError(
            "no player found: install mpv, VLC or ffplay; to see the hit open "
            f"{printable(file)} at {timecode(max(0.0, at_s))}"
        )
