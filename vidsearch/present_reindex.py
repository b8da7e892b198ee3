"""How generations of rows are shown, and what became of a reindex."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vidsearch.present import counted

if TYPE_CHECKING:
    from vidsearch.reindexing import Outcome
    from vidsearch.stamp import Generation
    from vidsearch.urls import Place

# What can be done about a generation beside the one that counts.
KEPT = {
    "before": (
        "vidsearch reindex --back answers from it",
        "vidsearch reindex --confirm removes it",
    ),
    "building": ("vidsearch reindex goes on with it", "vidsearch reindex --drop removes it"),
}
SHOWN = 10
"""Files that are named where there may be many."""


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """What became of a reindex, for programs."""
    return {
        "switched": outcome.switched,
        "before": asdict(outcome.before),
        "after": asdict(outcome.after),
        "lacking": [asdict(each) for each in outcome.lacking],
        "behind": [video.path for video in outcome.behind],
    }


def print_outcome(outcome: Outcome, folder: Place) -> None:
    """What changed, and what can be done next."""
    for line in _told(outcome, f"vidsearch reindex --archive {shlex.quote(str(folder))}"):
        click.echo(line)


def _told(outcome: Outcome, command: str) -> Iterator[str]:
    before, after = outcome.before, outcome.after
    n = len({each.video_id for each in outcome.lacking})
    if not outcome.switched:
        yield f"not switched: {counted(n, 'video')} could not be brought over (see above)."
        yield f"Questions are still answered from {_named(before)}. Put the files back and go on:"
        yield f"  {command}"
        yield "or let the stored thumbnails, 320 pixels wide, stand in for files that are gone:"
        yield f"  {command} --thumbnails"
        yield "or leave the videos out:"
        yield f"  {command} --leave-out"
        return
    yield f"switched: questions are answered from {_named(after)} from now on"
    if n:
        yield f"{counted(n, 'video')} left out, see: vidsearch videos --failed"
    if outcome.behind:
        yield f"{counted(len(outcome.behind), 'video')} indexed since {_are_not_in(after)}:"
        yield from (f"  {video.path}" for video in outcome.behind[:SHOWN])
        if len(outcome.behind) > SHOWN:
            yield f"  and {len(outcome.behind) - SHOWN} more"
        split = f" --detector {after.detector.split()[0]}" if after.detector else ""
        yield f"bring them over with: {command} --encoder {shlex.quote(after.encoder)}{split}"
    yield f"{_named(before)} is kept. Go back to it, or remove it, with:"
    yield f"  {command} --back"
    yield f"  {command} --confirm"


def _are_not_in(generation: Generation) -> str:
    return f"are not in the rows of {generation.encoder}"


def _named(generation: Generation) -> str:
    split = f", split with {generation.detector}" if generation.detector else ""
    return f"the encoder {generation.encoder}{split}"
