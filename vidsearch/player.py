"""Play a moment of a video in whatever player this machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsearch.errors import VidsearchError
from vidsearch.inputs import os_reason, printable
from vidsearch.timecodes import timecode
from vidsearch.urls import Place

if TYPE_CHECKING:
    from vidsearch.remote import Remote

LINK_S = 6 * 3600
"""How long a link that a player is given stays good."""

# Players that can start at a moment, and how they are told; the first that is installed is used.
_PLAYERS = {
    "mpv": ("--start={at:.3f}", "--", "{file}"),
    "vlc": ("--start-time={at:.3f}", "{file}"),
    "ffplay": ("-ss", "{at:.3f}", "-autoexit", "{file}"),
}


def play(file: Place, at_s: float) -> None:
    """Start a player at `at_s` seconds of the file's own clock, and do not wait for it.

    Where none of mpv, VLC and ffplay is installed the desktop's own player opens the file, at
    its beginning. An object of a store is played by a signed link of `LINK_S` seconds. Raises
    `VidsearchError`, with the file and the moment, where there is none.
    """
    opened = str(file) if isinstance(file, Path) else _link(file)
    for player, arguments in _PLAYERS.items():
        program = shutil.which(player)
        if program:
            told = [argument.format(at=max(0.0, at_s), file=opened) for argument in arguments]
            subprocess.Popen([program, *told], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return
    if click.launch(opened):
        raise VidsearchError(
            "no player found: install mpv, VLC or ffplay; to see the hit open "
            f"{printable(file)} at {timecode(max(0.0, at_s))}"
        )


def _link(file: Remote) -> str:
    try:
        return file.link(LINK_S)
    except OSError as error:
        reason = os_reason(error)
        raise VidsearchError(f"{printable(file)}: {reason}; it cannot be played") from None
