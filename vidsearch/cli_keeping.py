"""Commands that keep an archive for years: drop what is gone, back up, bring back, watch."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidsearch.cli_run import Run, run_options
from vidsearch.command import (
    NOTHING_FOUND,
    SOME_FAILED,
    ArchiveFolder,
    agreed,
    archive_option,
    json_option,
    print_json,
    say,
)
from vidsearch.urls import is_there

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


@click.command()
@click.argument("place", metavar="DEST")
@archive_option
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Keep the last N snapshots there and remove older ones (all are kept).",
)
@click.option("--check", is_flag=True, help="Afterwards read the snapshot back and compare it.")
@json_option
def backup(place: str, folder: Path, keep: int | None, check: bool, as_json: bool) -> int:
    """Make a snapshot of the archive in DEST, a folder or s3://BUCKET/KEY.

    It is the archive at one moment, also while somebody indexes. The next backup to the same place
    copies what is new only. One that is killed leaves the snapshots before it as they were.
    """
    from vidsearch.archive import Archive
    from vidsearch.backup import check as read_back
    from vidsearch.present_keeping import backup_as_json, print_backup
    from vidsearch.snapshots import backups_at

    done = Archive(folder, waiting=say).backup(place, keep=keep)
    if check:
        read_back(backups_at(place), done.snapshot.name)
    if as_json:
        print_json(backup_as_json(done))
    else:
        print_backup(done, place)
    return 0


@click.command()
@click.argument("place", metavar="DEST")
@archive_option
@click.option("--snapshot", default="", metavar="NAME", help="Which snapshot (the latest).")
@click.option("--list", "only_list", is_flag=True, help="List the snapshots; restore nothing.")
@click.option(
    "--forgotten",
    type=ArchiveFolder(file_okay=False, path_type=Path),
    metavar="ARCHIVE",
    help="Whoever was forgotten in this archive is forgotten in the restored one, too.",
)
@json_option
def restore(
    place: str, folder: Path, snapshot: str, only_list: bool, forgotten: Path | None, as_json: bool
) -> int:
    """Bring an archive back from its backups in DEST, into the empty folder --archive.

    Every file is compared with its checksum, and the archive verified. People whom later snapshots,
    or the archive --forgotten, know to be forgotten do not come back. Killed, it is gone on with.
    """
    from vidsearch.archive import Archive
    from vidsearch.present_keeping import print_restored, print_snapshots, restored_as_json
    from vidsearch.present_keeping import snapshots_as_json as as_data
    from vidsearch.present_upkeep import print_faults
    from vidsearch.snapshots import backups_at, listed, told_of

    if only_list:
        where = backups_at(place)
        with told_of(where, "read"):
            found = listed(where)
        (print_json(as_data(found)) if as_json else print_snapshots(found, place, say))
        return 0 if found else NOTHING_FOUND
    archive = Archive(folder, waiting=say)
    done = archive.restore(place, snapshot=snapshot, forgotten=forgotten)
    faults = archive.verify()
    if as_json:
        print_json(restored_as_json(done, faults))
    else:
        print_restored(done, archive.path)
        print_faults(faults)
    return 1 if faults else 0


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=str), metavar="DIR...")
@archive_option
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a file must be as it is before it is taken for whole.",
)
@click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Look so often, and do not rely on what the system tells: for network mounts.",
)
@click.option("--encoder", help="Context encoder of a new archive (see `vidsearch models list`).")
@click.option("--faces", help="Face model of a new archive: default, insightface:PACK, opencv:DIR.")
@run_options
def watch(
    paths: Sequence[str],
    folder: Path,
    settle_s: float,
    poll_s: float | None,
    encoder: str | None,
    faces: str | None,
    run: Run,
) -> int:
    """Index what is in the folders DIR and what comes there, each file when it stopped growing.

    A file that fails is recorded, and tried again when it changes. Deleted files are told of and
    stay in the archive until `vidsearch prune`. Ctrl-C, or SIGTERM, ends it with exit status 0;
    killed and started again it goes on. With --json each line is an object.
    """
    from vidsearch.archive import Archive
    from vidsearch.jobs import here
    from vidsearch.present_watch import Told

    for path in paths:
        if not is_there(path):
            raise click.UsageError(f"{path} does not exist: mount it, or make it, first")
    told = Told(_line, as_json=run.as_json, quiet=run.quiet)
    archive = Archive(folder, encoder=encoder, faces=faces, waiting=run.say)
    by = f"watch, {run.by or here(run.jobs)}"
    options: dict[str, Any] = {"jobs": run.jobs, "analyst": run.analyst(), "by": by}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    news = archive.watching(paths, settle_s=settle_s, poll_s=poll_s, **options)
    try:
        told.all_of(news)
    except KeyboardInterrupt:
        news.close()  # what was told as indexed is on the disk, the rest is for the next time
    told.summary()
    return 0


def _line(text: str) -> None:
    """A line of a long run is seen at once, also in a file or a pipe."""
    click.echo(text)
    sys.stdout.flush()


COMMANDS = (prune, backup, restore, watch)
