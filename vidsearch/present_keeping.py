"""How what is done to keep an archive for years is shown, to people and as JSON."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vidsearch.inputs import printable
from vidsearch.present import counted, video_as_json

if TYPE_CHECKING:
    from vidsearch.prune import Kept, Pruned

Say = Callable[[str], None]
_SHOWN = 3


def tell_kept(kept: Sequence[Kept], say: Say) -> None:
    """A paragraph on each folder whose files are missing but not taken for deleted."""
    for each in kept:
        n = counted(len(each.paths), "file")
        say(f"kept     {printable(each.root)}: {each.reason}, so the {n} of it may only be away")
        for path in each.paths[:_SHOWN] if each.paths != (each.root,) else ():
            say(f"         {printable(path)}")
        if len(each.paths) > _SHOWN:
            say(f"         and {len(each.paths) - _SHOWN} more")
        command = shlex.join(["vidsearch", "prune", "--root-gone", os.fsdecode(each.root)])
        say(f"         mount it, or, if they were deleted: {printable(command)}")


def tell_pruned(done: Pruned, say: Say) -> None:
    """What was dropped and what was found elsewhere."""
    for each in done.moved:
        say(f"moved    {printable(each.video.path)} is {printable(each.path)} now")
    n = len(done.videos)
    say(f"forgot {counted(n, 'video')}" if n else "nothing was forgotten")


def pruned_as_json(done: Pruned) -> dict[str, Any]:
    """What `prune` did; bytes of paths that are not UTF-8 become `\\xNN`."""
    return {
        "forgotten": [video_as_json(video) for video in done.videos],
        "moved": [
            {
                "video_id": each.video.video_id,
                "from": [_text(path) for path in each.video.paths],
                "to": _text(each.path),
            }
            for each in done.moved
        ],
        "kept": [
            {
                "root": _text(each.root),
                "reason": each.reason,
                "paths": [_text(path) for path in each.paths],
            }
            for each in done.kept
        ],
    }


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
