"""`vidsearch jobs`: what was indexed when, by what, and what failed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from vidsearch.cli_run import Run, run_options
from vidsearch.command import (
    NOTHING_FOUND,
    Command,
    archive_option,
    json_option,
    print_json,
    say,
)


@click.group(cls=Command)
def jobs() -> None:
    """Runs of `index`: list them, look at one, try again what failed."""


@jobs.command("list")
@archive_option
@click.option("-n", "most", type=click.IntRange(1), default=20, show_default=True, metavar="N")
@json_option
def jobs_list(folder: Path, most: int, as_json: bool) -> int:
    """List the latest runs that had something to do, the latest first."""
    from vidsearch.archive import Archive
    from vidsearch.present_jobs import job_as_json, print_jobs

    found = Archive(folder).jobs()[:most]
    if as_json:
        print_json([job_as_json(job) for job in found])
    elif found:
        print_jobs(found)
    else:
        say(f"nothing was indexed into the archive {folder} yet")
    return 0 if found else NOTHING_FOUND


@jobs.command("show")
@click.argument("job", default="last")
@archive_option
@json_option
def jobs_show(job: str, folder: Path, as_json: bool) -> int:
    """Show one run, by the beginning of its id (the last, if none is given), with its failures."""
    from vidsearch.archive import Archive
    from vidsearch.present_jobs import job_as_json, print_job

    found = Archive(folder).job(job)
    if as_json:
        print_json(job_as_json(found))
    else:
        print_job(found)
    return 0


@jobs.command("retry-failed")
@click.argument("job", default=None, required=False)
@archive_option
@run_options
def jobs_retry_failed(job: str | None, folder: Path, run: Run) -> int:
    """Index again what failed: of one run, or of all of them; what is in quarantine too."""
    from vidsearch.archive import Archive

    analyst = run.analyst()
    archive = Archive(
        folder, waiting=run.say, device=run.device_here, faces_device=run.faces_device_here
    )
    paths: Sequence[bytes] = archive.failed_paths(job)
    if not paths:
        run.say("nothing failed that is not indexed by now")
        return NOTHING_FOUND
    return run.told(archive.indexing(paths, jobs=run.jobs, analyst=analyst, by=run.by, retry=True))
