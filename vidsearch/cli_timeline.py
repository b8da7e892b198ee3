"""`vidsearch timeline`: who is on screen when, in a video or of one person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsearch.command import (
    NOTHING_FOUND,
    archive_option,
    check_picture,
    json_option,
    print_json,
    say,
)
from vidsearch.timecodes import parse_timecode

if TYPE_CHECKING:
    from vidsearch.archive import Archive

_DRAWINGS = (".png", ".svg")


def _drawing(ctx: click.Context, param: click.Parameter, file: Path | None) -> Path | None:
    """Refuse, before the work, a drawing that could not be made after it."""
    if file is not None:
        from vidsearch.timeline_plot import check

        check_picture(file, _DRAWINGS)
        check()
    return file


@click.command()
@click.argument("video", required=False)
@archive_option
@click.option("--person", metavar="NAME", help="Where this enrolled person is, in all videos.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Least probability that a face is the person.",
)
@click.option("--since", metavar="TIME", help="From this moment of VIDEO (12.5, 1:02, 00:01:02).")
@click.option("--until", metavar="TIME", help="Up to this moment of VIDEO.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png|svg",
    callback=_drawing,
    help="Draw it as a picture (needs the extra `plot`).",
)
@json_option
def timeline(
    video: str | None,
    folder: Path,
    person: str | None,
    threshold: float,
    since: str | None,
    until: str | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Show who is on screen when in VIDEO (a path, or a video id), or where --person is."""
    from vidsearch.archive import Archive

    if (video is None) == (person is None):
        raise click.UsageError("say whose timeline: VIDEO, or --person NAME, and not both")
    archive = Archive(folder)
    if video is not None:
        return _of_video(archive, video, threshold, since, until, plot, as_json)
    if since is not None or until is not None:
        raise click.UsageError("--since and --until are moments of VIDEO, not of --person")
    return _of_person(archive, person or "", threshold, plot, as_json)


def _of_video(
    archive: Archive,
    video: str,
    threshold: float,
    since: str | None,
    until: str | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    from vidsearch.timeline_text import print_timeline, timeline_as_json

    found = archive.timeline(video, threshold=threshold)
    since_s = 0.0 if since is None else parse_timecode(since)
    until_s = found.end_s if until is None else min(parse_timecode(until), found.end_s)
    anybody = bool(found.between(since_s, until_s))
    if as_json:
        print_json(timeline_as_json(found, since_s, until_s))
    else:
        print_timeline(found, since_s, until_s)
    if plot is not None:
        archive.plot_timeline(found, plot, since=since_s, until=until_s)
        say(f"timeline: {plot}")
    return 0 if anybody else NOTHING_FOUND


def _of_person(
    archive: Archive, name: str, threshold: float, plot: Path | None, as_json: bool
) -> int:
    from vidsearch.timeline_text import person_as_json, print_person

    known = archive.person(name)
    found = archive.appearances(known.name, threshold=threshold)
    if as_json:
        print_json(person_as_json(known.name, found))
    elif found:
        print_person(known.name, found, archive.videos())
    else:
        click.echo(f"{known.name} is in no video (with a probability of {threshold:g} or more)")
    if plot is not None and found:
        archive.plot_appearances(known.name, found, plot)
        say(f"timeline: {plot}")
    return 0 if found else NOTHING_FOUND
