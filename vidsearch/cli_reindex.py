"""`vidsearch reindex`: another encoder for the videos of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsearch.cli_run import Run, run_options
from vidsearch.command import (
    SOME_FAILED,
    archive_option,
    detector_option,
    numbers,
    print_json,
    wait_option,
)

if TYPE_CHECKING:
    from vidsearch.archive import Archive
    from vidsearch.reindexing import Outcome


@click.command()
@archive_option
@click.option("--encoder", help="The context encoder to change to (see `vidsearch models list`).")
@click.option("--detector", default=None, help="Find shots anew too: see `vidsearch detectors`.")
@detector_option
@click.option(
    "--thumbnails",
    is_flag=True,
    help="Where a file is gone take the stored thumbnails, 320 pixels wide, for its frames.",
)
@click.option(
    "--leave-out", is_flag=True, help="Switch without the videos that cannot be brought over."
)
@click.option("--back", is_flag=True, help="Answer from the rows of before the last reindex again.")
@click.option("--confirm", is_flag=True, help="Remove the rows of before the last reindex.")
@click.option("--drop", is_flag=True, help="Give up a reindex that is not finished.")
@wait_option
@run_options
def reindex(
    folder: Path,
    encoder: str | None,
    detector: str | None,
    detector_options: Sequence[str],
    thumbnails: bool,
    leave_out: bool,
    back: bool,
    confirm: bool,
    drop: bool,
    wait_s: float,
    run: Run,
) -> int:
    """Change an archive to another encoder: new rows beside the old ones, then switched at once.

    Shots, faces, people and what was said of them stay; only frames are read again. Questions go on
    with the old rows meanwhile. Interrupt it at any moment: the same command goes on, and so does
    `vidsearch reindex` alone. The old rows stay until `--confirm`.
    """
    from vidsearch.archive import Archive

    asked = [
        name
        for name, given in (("--back", back), ("--confirm", confirm), ("--drop", drop))
        if given
    ]
    if len(asked) > 1 or (asked and (encoder or detector or detector_options)):
        raise click.UsageError(f"{asked[0]} goes with no other option")
    archive = Archive(
        folder, waiting=run.say, device=run.device_here, faces_device=run.faces_device_here
    )
    if back:
        return _ended(archive.reindex_back(), run, archive)
    if confirm or drop:
        freed = archive.confirm_reindex() if confirm else archive.drop_reindex()
        if run.as_json:
            print_json({"freed": freed})
        else:
            what = "the rows of before the last reindex" if confirm else "what was reindexed so far"
            click.echo(f"removed {what}: {freed / 1e6:.1f} MB are free")
        return 0
    from vidsearch.present import report_as_json
    from vidsearch.reindexing import told_apart

    outcomes: list[Outcome] = []
    events = archive.reindexing(
        encoder=encoder,
        detector=detector,
        detector_options=numbers(detector_options),
        thumbnails=thumbnails,
        leave_out=leave_out,
        jobs=run.jobs,
        analyst=run.analyst(),
        by=run.by,
        wait_s=wait_s,
    )
    report = run.shown(told_apart(events, outcomes))
    return _ended(outcomes[-1], run, archive, report_as_json(report))


def _ended(
    outcome: Outcome, run: Run, archive: Archive, report: dict[str, object] | None = None
) -> int:
    from vidsearch.present_reindex import outcome_as_json, print_outcome

    if run.as_json:
        print_json((report or {}) | outcome_as_json(outcome))
    else:
        print_outcome(outcome, archive.path)
    return SOME_FAILED if outcome.lacking else 0
