"""How what is done to keep an archive for years is shown, to people and as JSON."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from vidsearch.inputs import printable
from vidsearch.present import counted, print_rows, video_as_json
from vidsearch.present_upkeep import faults_as_json

if TYPE_CHECKING:
    from vidsearch.backup import Backup
    from vidsearch.prune import Kept, Pruned
    from vidsearch.restore import Restored
    from vidsearch.snapshots import Snapshot
    from vidsearch.urls import Place
    from vidsearch.verify import Fault

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


def print_backup(done: Backup, place: str) -> None:
    """One line on what a backup did, and one on the snapshots that went."""
    size, n = done.snapshot.size, len(done.snapshot.files)
    click.echo(
        f"{printable(place)}: snapshot {done.snapshot.name}, {counted(n, 'file')} of"
        f" {megabytes(size)}; {done.copied} copied, {megabytes(done.copied_bytes)}"
    )
    if done.dropped:
        click.echo(f"removed: {', '.join(done.dropped)}")


def backup_as_json(done: Backup) -> dict[str, Any]:
    """What a backup did, sizes in bytes."""
    return _snapshot_as_json(done.snapshot) | {
        "copied": done.copied,
        "copied_bytes": done.copied_bytes,
        "removed": list(done.dropped),
    }


def print_snapshots(found: Sequence[Snapshot], place: str, say: Say) -> None:
    """The snapshots of a place, a line each."""
    if not found:
        say(f"there is no backup in {printable(place)}")
        return
    rows = [
        (
            each.name,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.made_at)),
            str(len(each.files)),
            megabytes(each.size),
        )
        for each in found
    ]
    print_rows(("snapshot", "made", "files", "size"), rows)


def snapshots_as_json(found: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """The snapshots of a place, sizes in bytes, times in seconds since 1970."""
    return [_snapshot_as_json(each) for each in found]


def print_restored(done: Restored, folder: Place) -> None:
    """What was brought back."""
    click.echo(f"{printable(folder)}: restored from the snapshot {done.snapshot.name}")
    if done.forgotten:
        click.echo(f"forgotten since, and so again: {done.forgotten}")


def restored_as_json(done: Restored, faults: Sequence[Fault]) -> dict[str, Any]:
    """What was brought back, and the faults of it."""
    return _snapshot_as_json(done.snapshot) | {
        "forgotten_again": done.forgotten,
        "faults": faults_as_json(faults),
    }


def _snapshot_as_json(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "snapshot": snapshot.name,
        "made_at": snapshot.made_at,
        "files": len(snapshot.files),
        "bytes": snapshot.size,
    }


def megabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
