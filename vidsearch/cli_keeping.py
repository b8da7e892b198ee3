"""Commands that keep an archive for years: drop what is gone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsearch.command import (
    NOTHING_FOUND,
    SOME_FAILED,
    agreed,
    archive_option,
    json_option,
    print_json,
    say,
)

if TYPE_CHECKING:
    from vidsearch.archive import Archive
    from vidsearch.prune import Pruned


@click.command()
@archive_option
@click.option(
    "--root-gone",
    "meant",
    multiple=True,
    metavar="PATH",
    help="All that is missing of this folder, disk or bucket was deleted. May be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def prune(folder: Path, meant: Sequence[str], yes: bool, as_json: bool) -> int:
    """Drop the videos whose files are gone; those found under another name are noted.

    A folder, disk or bucket that is missing or empty as a whole is taken for one that is not
    mounted: its videos are kept, and the exit status is 3. People and answers always stay.
    """
    from vidsearch.archive import Archive
    from vidsearch.present_keeping import pruned_as_json

    done = prune_agreed(Archive(folder, waiting=say), meant, yes=yes)
    if as_json:
        print_json(pruned_as_json(done))
    if done.kept:
        return SOME_FAILED
    return 0 if done.videos or done.moved else NOTHING_FOUND


def prune_agreed(archive: Archive, meant: Sequence[str] = (), *, yes: bool) -> Pruned:
    """Say what is gone, ask unless `yes`, and drop it; say what was done and what is kept."""
    from vidsearch.inputs import printable
    from vidsearch.present import counted
    from vidsearch.present_keeping import tell_kept, tell_pruned

    found = archive.prunable(meant)
    tell_kept(found.kept, say)
    paths = found.gone
    if paths and not yes:
        for path in paths:
            say(f"missing  {printable(path)}")
        if not agreed(f"Forget {counted(len(paths), 'missing file')}?"):
            paths = ()
    done = archive.prune(meant, only=paths)
    tell_pruned(done, say)
    return done


COMMANDS = (prune,)
