"""`vidsearch query`: a question to an archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vidsearch.command import (
    NOTHING_FOUND,
    archive_option,
    json_option,
    print_json,
    say,
    sheet_option,
)
from vidsearch.errors import UnknownPerson
from vidsearch.timecodes import parse_timecode

if TYPE_CHECKING:
    from vidsearch.archive import Archive
    from vidsearch.records import Answer


@click.command()
@click.argument("text", required=False)
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
    "--offset", type=click.IntRange(0), default=0, help="Leave out so many of the best shots."
)
@click.option(
    "--person",
    "persons",
    multiple=True,
    metavar="NAME",
    help="This enrolled person must be in the shot; may be repeated.",
)
@click.option(
    "--like",
    multiple=True,
    metavar="PICTURE",
    help="Pictures like this one: a file, or VIDEO@TIME; may be repeated.",
)
@click.option(
    "--face",
    multiple=True,
    metavar="PICTURE",
    help="Whoever this is, enrolled or not: a file, or VIDEO@TIME; may be repeated.",
)
@click.option(
    "--face-number",
    type=click.IntRange(1),
    metavar="N",
    help="Which face of the picture, from 1, left to right.",
)
@click.option(
    "--negative", multiple=True, metavar="TEXT", help="Not what TEXT says; may be repeated."
)
@click.option("--context-only", is_flag=True, help="Take no word of TEXT for a name.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Least probability that a shot shows the person.",
)
@click.option("--since", metavar="TIME", help="From this moment of a video (12.5, 1:02, 00:01:02).")
@click.option("--until", metavar="TIME", help="Up to this moment of a video.")
@click.option("--video", "video_glob", metavar="GLOB", help="Only videos whose path matches.")
@click.option(
    "--date", metavar="DATE", help="Recorded then: 2024, 2024-03, 2024-03-05, 2023..2024-06."
)
@click.option(
    "--min-duration",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Only shots of this length at least.",
)
@click.option("--faces", metavar="N..M", help="Only shots with so many faces: 2, 1..3, 2.., ..3.")
@click.option(
    "--group-by", type=click.Choice(["video"]), help="Show the best shot of each video only."
)
@click.option("--diverse", is_flag=True, help="Leave out shots that look like a better one.")
@sheet_option("Write a contact sheet of the hits.")
@click.option("--open", "open_first", is_flag=True, help="Play the first hit in your player.")
@click.option("--explain", is_flag=True, help="Say what each score is made of.")
@json_option
@click.pass_context
def query(
    ctx: click.Context,
    text: str | None,
    folder: Path,
    count: int,
    offset: int,
    persons: Sequence[str],
    like: Sequence[str],
    face: Sequence[str],
    face_number: int | None,
    negative: Sequence[str],
    context_only: bool,
    threshold: float,
    since: str | None,
    until: str | None,
    video_glob: str | None,
    date: str | None,
    min_duration: float,
    faces: str | None,
    group_by: str | None,
    diverse: bool,
    sheet: Path | None,
    open_first: bool,
    explain: bool,
    as_json: bool,
) -> int:
    """Find the shots that show TEXT, such as "Anna Rossi giving a speech outdoors".

    TEXT may hold "or", "not", "without", quotes and brackets: "(Anna or Marco) in a car -sunset".
    It may be left out beside --person, --face or --like.
    """
    from vidsearch.archive import Archive
    from vidsearch.present import answer_as_json, print_answer
    from vidsearch.present_explained import explained, explained_as_json
    from vidsearch.records import Answer

    if text is None and not (persons or like or face):
        raise click.UsageError("say what to look for: TEXT, --person, --face or --like")
    if face_number is not None and not face:
        raise click.UsageError("--face-number chooses a face of --face PICTURE, which is missing")
    _moments(since, until)  # a wrong one is told before any work
    archive = Archive(folder)
    try:
        answer = asked(
            archive,
            text,
            count=count,
            offset=offset,
            persons=persons,
            like=like,
            face=face,
            face_number=face_number,
            negative=negative,
            context_only=context_only,
            threshold=threshold,
            since=since,
            until=until,
            video_glob=video_glob,
            date=date,
            min_duration=min_duration,
            faces=faces,
            group_by=group_by,
            diverse=diverse,
        )
    except UnknownPerson as error:  # the answer that a name in TEXT gets
        answer = Answer(text or "", (), "", str(error), ())
    if as_json:
        more = {"explained": explained_as_json(answer)} if explain else {}
        print_json(answer_as_json(answer) | more)
    else:
        print_answer(answer)
        if explain:
            click.echo(f"\n{explained(answer)}")
    given = ctx.get_parameter_source("threshold") is ParameterSource.COMMANDLINE
    if given and answer.hits and all(f.kind != "person" for f in answer.hits[0].factors):
        say("--threshold is about people, and the question names none: it changed nothing")
    if sheet is not None:
        archive.sheet([answer], sheet)
        say(f"contact sheet: {sheet}")
    if open_first and answer.hits:
        archive.open_hit(answer.hits[0])
    return 0 if answer.hits else NOTHING_FOUND


def asked(
    archive: Archive,
    text: str | None,
    *,
    count: int,
    persons: Sequence[str],
    since: str | None,
    until: str | None,
    video_glob: str | None,
    **options: Any,
) -> Answer:
    """The answer to a question as the options of `vidsearch query` put it."""
    after, before = _moments(since, until)
    return archive.query(
        text or "",
        k=count,
        people=persons,
        since=after,
        until=before,
        video=video_glob,
        **options,
    )


def _moments(since: str | None, until: str | None) -> tuple[float | None, float | None]:
    """The two options in seconds."""
    after = None if since is None else parse_timecode(since)
    before = None if until is None else parse_timecode(until)
    if after is not None and before is not None and after >= before:
        wrong = "after" if after > before else "the same moment as"
        raise click.UsageError(f"--since {since} is {wrong} --until {until}: nothing lies between")
    return after, before
