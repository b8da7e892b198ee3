"""The command line: every command is one call of `vidsearch.Archive` with the same name.

Results go to stdout, progress and warnings to stderr. Exit status: 0 found, 1 nothing found,
2 wrong usage, 3 some inputs failed, 130 interrupted. Heavy imports live inside the commands, so
that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import vidsearch
from vidsearch.errors import VidsearchError

if TYPE_CHECKING:
    pass

NOTHING_FOUND = 1
SOME_FAILED = 3
INTERRUPTED = 130


class Command(click.Group):
    """A click group that prints our errors as one message, without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            status = super().main(*args, **kwargs)
        except click.exceptions.Exit as stop:
            sys.exit(stop.exit_code)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("\ninterrupted; run the same command again to go on", err=True)
            sys.exit(INTERRUPTED)
        except VidsearchError as error:
            click.echo(f"vidsearch: {error}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output is gone: say no more
            sys.exit(0)
        sys.exit(status if isinstance(status, int) else 0)


archive_option = click.option(
    "--archive",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="VIDSEARCH_ARCHIVE",
    default=".vidsearch",
    show_default=True,
    help="The archive folder (also $VIDSEARCH_ARCHIVE).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(vidsearch.__version__, prog_name="vidsearch")
def main() -> None:
    """Search video archives by who and what is happening."""


# --- index ---------------------------------------------------------------------------------------


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=str))
@archive_option
@click.option("--encoder", help="Context encoder of a new archive (see `vidsearch models list`).")
@click.option("--faces", help="Face model of a new archive: default, insightface:PACK, opencv:DIR.")
@click.option("--detector", default=None, help="Shot detector: see `vidsearch detectors`.")
@click.option(
    "--detector-option",
    "detector_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="A threshold of the detector; may be repeated.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Files analysed at the same time, each in a process of its own.",
)
@click.option(
    "--ray",
    "ray_address",
    metavar="ADDRESS",
    help='Analyse on a Ray cluster: "local", "auto" or its address.',
)
@click.option("--force", is_flag=True, help="Index again what is indexed already.")
@click.option(
    "--wait",
    "wait_s",
    type=float,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another writer to finish.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, only failures.")
@click.option("-v", "--verbose", is_flag=True, help="One line for each video.")
@json_option
def index(
    paths: Sequence[str],
    folder: Path,
    encoder: str | None,
    faces: str | None,
    detector: str | None,
    detector_options: Sequence[str],
    jobs: int,
    ray_address: str | None,
    force: bool,
    wait_s: float,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Index the videos in PATHS (files, folders, globs).

    What is indexed already is left alone; renamed and moved files keep their rows; a bad file is
    named, recorded, and the run goes on. Interrupt it at any moment: the next run continues.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import report_as_json
    from vidsearch.progress import show

    analyst = None
    if ray_address:
        from workers.index_job import on_ray  # the one arrow upwards, and a lazy one

        analyst = on_ray(ray_address)
    archive = Archive(folder, encoder=encoder, faces=faces, waiting=_say)
    events = archive.indexing(
        paths,
        jobs=jobs,
        force=force,
        detector=detector,
        detector_options=_numbers(detector_options),
        analyst=analyst,
        wait_s=wait_s,
    )
    report = show(events, quiet=quiet, verbose=verbose)
    if as_json:
        _print_json(report_as_json(report))
    return SOME_FAILED if report.failed else 0


# --- query ---------------------------------------------------------------------------------------


@main.command()
@click.argument("text")
@archive_option
@click.option(
    "-k",
    "count",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="At most so many shots.",
)
@click.option(
    "--person",
    "persons",
    multiple=True,
    metavar="NAME",
    help="This enrolled person must be in the shot; may be repeated.",
)
@click.option("--context-only", is_flag=True, help="Take no word of TEXT for a name.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=None,
    help="Least probability that a shot shows the person.",
)
@click.option("--since", metavar="TIME", help="From this moment of a video (12.5, 1:02, 00:01:02).")
@click.option("--until", metavar="TIME", help="Up to this moment of a video.")
@click.option("--video", "video_glob", metavar="GLOB", help="Only videos whose path matches.")
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.jpg",
    help="Write a contact sheet of the hits.",
)
@click.option("--open", "open_first", is_flag=True, help="Play the first hit in your player.")
@json_option
def query(
    text: str,
    folder: Path,
    count: int,
    persons: Sequence[str],
    context_only: bool,
    threshold: float | None,
    since: str | None,
    until: str | None,
    video_glob: str | None,
    sheet: Path | None,
    open_first: bool,
    as_json: bool,
) -> int:
    """Find the shots that show TEXT, such as "Anna Rossi giving a speech outdoors"."""
    from vidsearch.archive import Archive
    from vidsearch.present import answer_as_json, print_answer
    from vidsearch.timecodes import parse_timecode

    archive = Archive(folder)
    answer = archive.query(
        text,
        k=count,
        people=persons,
        context_only=context_only,
        threshold=threshold,
        since=None if since is None else parse_timecode(since),
        until=None if until is None else parse_timecode(until),
        video=video_glob,
    )
    if as_json:
        _print_json(answer_as_json(answer))
    else:
        print_answer(answer)
    if sheet is not None:
        archive.sheet([answer], sheet)
        click.echo(f"contact sheet: {sheet}", err=True)
    if open_first and answer.hits:
        archive.open_hit(answer.hits[0])
    return 0 if answer.hits else NOTHING_FOUND


# --- people --------------------------------------------------------------------------------------


@main.group()
def people() -> None:
    """Enrol people from photos, list, rename and remove them."""


@people.command("add")
@click.argument("name")
@click.argument("photos", nargs=-1, metavar="PHOTO...")
@archive_option
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name of theirs.")
@click.option(
    "--face",
    type=click.IntRange(1),
    metavar="N",
    help="Which face, in photos with several (a numbered picture is written).",
)
@click.option("--more", is_flag=True, help="Add photos or aliases to somebody who is enrolled.")
@click.option("--trust", is_flag=True, help="Take photos that do not look like each other.")
@json_option
def people_add(
    name: str,
    photos: Sequence[str],
    folder: Path,
    aliases: Sequence[str],
    face: int | None,
    more: bool,
    trust: bool,
    as_json: bool,
) -> int:
    """Enrol NAME from photos; a photo may also be a moment, VIDEO@00:00:04.2.

    Nothing has to be indexed again: they are found at once.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json, print_person

    person = Archive(folder, waiting=_say).enrol(
        name, photos, aliases=aliases, face=face, more=more, trust=trust
    )
    if as_json:
        _print_json(person_as_json(person))
    else:
        print_person(person)
    return 0


@people.command("list")
@archive_option
@json_option
def people_list(folder: Path, as_json: bool) -> int:
    """List who is enrolled."""
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json, print_people

    everybody = Archive(folder).people()
    if as_json:
        _print_json([person_as_json(person) for person in everybody])
    elif everybody:
        print_people(everybody)
    else:
        click.echo('nobody is enrolled; add somebody with: vidsearch people add "NAME" PHOTO...')
    return 0 if everybody else NOTHING_FOUND


@people.command("show")
@click.argument("name")
@archive_option
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.jpg",
    help="Write their photos, with the chosen faces framed, as one picture.",
)
@json_option
def people_show(name: str, folder: Path, sheet: Path | None, as_json: bool) -> int:
    """Show one person: aliases, photos, how good each photo is."""
    from vidsearch.archive import Archive
    from vidsearch.present import person_as_json, print_person

    archive = Archive(folder)
    person = archive.person(name)
    if as_json:
        _print_json(person_as_json(person))
    else:
        print_person(person)
    if sheet is not None:
        archive.person_sheet(person, sheet)
        click.echo(f"photos: {sheet}", err=True)
    return 0


@people.command("rename")
@click.argument("name")
@click.argument("new_name")
@archive_option
def people_rename(name: str, new_name: str, folder: Path) -> int:
    """Give NAME the name NEW_NAME."""
    from vidsearch.archive import Archive

    person = Archive(folder, waiting=_say).rename(name, new_name)
    click.echo(f"{name} is now {person.name}")
    return 0


@people.command("remove")
@click.argument("name")
@archive_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def people_remove(name: str, folder: Path, yes: bool) -> int:
    """Remove NAME and the photos; the videos stay indexed."""
    from vidsearch.archive import Archive

    archive = Archive(folder, waiting=_say)
    person = archive.person(name)
    if not yes:
        click.confirm(
            f"Remove {person.name} and {len(person.photos)} photos?", abort=True, err=True
        )
    archive.remove_person(name)
    click.echo(f"{person.name} is removed")
    return 0


# --- what there is -------------------------------------------------------------------------------


@main.command()
@archive_option
@click.option("--failed", is_flag=True, help="Only those that failed or are there in part.")
@json_option
def videos(folder: Path, failed: bool, as_json: bool) -> int:
    """List the videos of the archive, with what went wrong with each."""
    from vidsearch.archive import Archive
    from vidsearch.present import print_videos, video_as_json

    rows = [row for row in Archive(folder).videos() if not failed or row.status != "indexed"]
    if as_json:
        _print_json([video_as_json(row) for row in rows])
    elif rows:
        print_videos(rows)
    return 0 if rows else NOTHING_FOUND


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
        _print_json([shot_as_json(row) for row in rows])
    else:
        print_shots(rows)
    return 0 if rows else NOTHING_FOUND


@main.command()
@json_option
def detectors(as_json: bool) -> int:
    """List the shot detectors and their options."""
    from vidsearch.present import detectors_as_json, print_detectors

    if as_json:
        _print_json(detectors_as_json())
    else:
        print_detectors()
    return 0


@main.command()
@archive_option
@json_option
def doctor(folder: Path, as_json: bool) -> int:
    """Check this machine and the archive; exit 0 when the main job can be done."""
    from vidsearch.doctor import as_data, diagnose, render

    report = diagnose(folder if folder.exists() else None)
    if as_json:
        _print_json(as_data(report))
    else:
        render(report)
    return 0 if report.ok else 1


# --- models --------------------------------------------------------------------------------------


@main.group()
def models() -> None:
    """List, fetch and choose context encoders."""


@models.command("list")
@json_option
def models_list(as_json: bool) -> int:
    """List the named encoders: what is here, where it comes from, what its licence allows."""
    from idclip.pull import available
    from vidsearch.present import models_as_json, print_models
    from vidsearch.settings import read

    known, chosen = available(), read().encoder
    if as_json:
        _print_json(models_as_json(known, chosen))
    else:
        print_models(known, chosen)
    return 0


@models.command("pull")
@click.argument("name")
def models_pull(name: str) -> int:
    """Fetch the encoder NAME, unless it is here already."""
    from idclip.pull import pull

    click.echo(f"{name}: {pull(name)}")
    return 0


@models.command("use")
@click.argument("name")
def models_use(name: str) -> int:
    """Make NAME the encoder of every new archive; archives that exist keep theirs."""
    from dataclasses import replace

    from idclip.encoders import load_encoder
    from vidsearch.settings import read, write

    encoder = load_encoder(name)  # one that cannot be loaded is not worth choosing
    file = write(replace(read(), encoder=encoder.name))
    click.echo(f"new archives use {encoder.name} (licence: {encoder.licence}); kept in {file}")
    return 0


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _numbers(options: Sequence[str]) -> dict[str, float]:
    """NAME=VALUE options as numbers."""
    numbers = {}
    for option in options:
        name, _, value = option.partition("=")
        try:
            numbers[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(
                f"{option!r} is not NAME=NUMBER; see: vidsearch detectors",
                param_hint="--detector-option",
            ) from None
    return numbers


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))
