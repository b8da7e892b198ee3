"""The command line: every command is one call of `vidsearch.Archive` with the same name.

The commands about questions, people and models are in modules of their own; what all share is in
`vidsearch.command`. Heavy imports live inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import vidsearch
from vidsearch import cli_keeping, cli_upkeep
from vidsearch.cli_export import clip, export
from vidsearch.cli_jobs import jobs
from vidsearch.cli_keeping import prune_agreed
from vidsearch.cli_models import models
from vidsearch.cli_people import people
from vidsearch.cli_query import query
from vidsearch.cli_reindex import reindex
from vidsearch.cli_run import Run, run_options
from vidsearch.cli_timeline import timeline
from vidsearch.command import (
    NOTHING_FOUND,
    SOME_FAILED,
    Command,
    archive_option,
    detector_option,
    json_option,
    numbers,
    print_json,
    say,
    wait_option,
)

if TYPE_CHECKING:
    from vidsearch.archive import Archive


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(vidsearch.__version__, prog_name="vidsearch")
def main() -> None:
    """Search video archives by who and what is happening."""


# --- index ---------------------------------------------------------------------------------------


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=str))
@archive_option
@click.option(
    "--from",
    "listed_in",
    metavar="FILE",
    help="Index what this list says too: a path or URL a line, or as `find -print0` writes them;"
    " - is standard input.",
)
@click.option("--encoder", help="Context encoder of a new archive (see `vidsearch models list`).")
@click.option("--faces", help="Face model of a new archive: default, insightface:PACK, opencv:DIR.")
@click.option("--detector", default=None, help="Shot detector: see `vidsearch detectors`.")
@detector_option
@click.option("--force", is_flag=True, help="Index again what is indexed already.")
@wait_option
@run_options
def index(
    paths: Sequence[str],
    folder: Path,
    listed_in: str | None,
    encoder: str | None,
    faces: str | None,
    detector: str | None,
    detector_options: Sequence[str],
    force: bool,
    wait_s: float,
    run: Run,
) -> int:
    """Index the videos in PATHS (files, folders, globs, s3:// and gs:// URLs).

    What is indexed already is left alone; renamed and moved files keep their rows; a bad file is
    named, recorded, and the run goes on. Interrupt it at any moment: the next run continues.
    With --json, progress is told on stderr as one JSON object a line, the result on stdout.
    """
    from vidsearch.archive import Archive

    archive = Archive(
        folder,
        encoder=encoder,
        faces=faces,
        waiting=run.say,
        device=run.device_here,
        faces_device=run.faces_device_here,
    )
    events = archive.indexing(
        _and_listed(paths, listed_in),
        jobs=run.jobs,
        force=force,
        detector=detector,
        detector_options=numbers(detector_options),
        analyst=run.analyst(),
        by=run.by,
        wait_s=wait_s,
    )
    return run.told(events)


# --- what there is -------------------------------------------------------------------------------


@main.command()
@archive_option
@click.option("--failed", is_flag=True, help="Only those that failed or are there in part.")
@click.option(
    "--forget",
    multiple=True,
    metavar="VIDEO",
    help="Forget this video (a path, or a video id) with all that is stored of it; the file stays."
    " May be repeated.",
)
@click.option("--forget-missing", is_flag=True, help="The same as: vidsearch prune.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def videos(
    folder: Path,
    failed: bool,
    forget: Sequence[str],
    forget_missing: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """List the videos of the archive, with what went wrong with each, or forget some."""
    from vidsearch.archive import Archive
    from vidsearch.present import print_videos, video_as_json

    archive = Archive(folder, waiting=say)
    if forget or forget_missing:
        return _forget(archive, forget, forget_missing, yes, as_json)
    rows = [row for row in archive.videos() if not failed or row.status != "indexed"]
    if as_json:
        print_json([video_as_json(row) for row in rows])
    elif rows:
        print_videos(rows)
    elif failed:
        say(f"no video of the archive {folder} failed")
    else:
        say(f"the archive {folder} holds no videos; add some with: vidsearch index PATH...")
    return 0 if rows else NOTHING_FOUND


def _forget(archive: Archive, names: Sequence[str], missing: bool, yes: bool, as_json: bool) -> int:
    """Forget the videos with these names and, where they are meant, those that are missing."""
    from vidsearch.present import counted, video_as_json

    forgotten = archive.forget_videos(names) if names else []
    if forgotten and not as_json:
        say(f"forgot {counted(len(forgotten), 'video')}")
    done = prune_agreed(archive, yes=yes) if missing else None
    forgotten += done.videos if done else ()
    if as_json:
        print_json([video_as_json(video) for video in forgotten])
    if done and done.kept:
        return SOME_FAILED
    return 0 if forgotten else NOTHING_FOUND


@main.command()
@click.argument("video")
@archive_option
@json_option
def shots(video: str, folder: Path, as_json: bool) -> int:
    """List the shots of VIDEO (a path, or a video id)."""
    from vidsearch.archive import Archive
    from vidsearch.present import print_shots, shot_as_json

    rows = Archive(folder).shots(video)
    if as_json:
        print_json([shot_as_json(row) for row in rows])
    else:
        print_shots(rows)
    return 0 if rows else NOTHING_FOUND


@main.command()
@json_option
def detectors(as_json: bool) -> int:
    """List the shot detectors and their options."""
    from vidsearch.present import detectors_as_json, print_detectors

    if as_json:
        print_json(detectors_as_json())
    else:
        print_detectors()
    return 0


@main.command()
@archive_option
@json_option
def doctor(folder: Path, as_json: bool) -> int:
    """Check this machine and the archive; exit 0 when the main job can be done."""
    from vidsearch.doctor import as_data, diagnose, render

    report = diagnose(folder)
    if as_json:
        print_json(as_data(report))
    else:
        render(report)
    return 0 if report.ok else 1


def _and_listed(paths: Sequence[str], listed_in: str | None) -> list[str | bytes]:
    """What is to be indexed: the paths given, and those of a list."""
    from vidsearch.file_lists import read

    if not paths and listed_in is None:
        raise click.UsageError("name what to index: PATHS, or a list of them with --from FILE")
    return [*paths, *(read(listed_in) if listed_in is not None else ())]


for noun in (
    query,
    people,
    models,
    *cli_upkeep.COMMANDS,
    *cli_keeping.COMMANDS,
    timeline,
    export,
    clip,
    jobs,
    reindex,
):
    main.add_command(noun)
