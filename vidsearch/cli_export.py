"""`vidsearch export` and `vidsearch clip`: what was found, taken to other tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vidsearch.cli_query import asked, query
from vidsearch.command import (
    NOTHING_FOUND,
    SOME_FAILED,
    archive_option,
    json_option,
    print_json,
    say,
)

if TYPE_CHECKING:
    from vidsearch.archive import Archive
    from vidsearch.excerpts import Excerpts

FORMATS = ("csv", "json", "parquet", "srt", "webvtt", "edl", "fcpxml", "otio", "html")


# Options of `vidsearch query` that are about its own output, and those that appearances know too.
_OUTPUT = ("folder", "sheet", "open_first", "explain", "as_json")
_OF_APPEARANCES = ("text", "persons", "threshold", "video_glob", "timeline")


def _finding(command: Callable[..., Any]) -> Callable[..., Any]:
    """What says what to take: TEXT with all options of `vidsearch query`, or --timeline VIDEO."""
    options = [option for option in query.params if option.name not in _OUTPUT]
    timeline = click.option(
        "--timeline", metavar="VIDEO", help="All appearances of people in VIDEO (a path, or an id)."
    )
    command = archive_option(timeline(command))
    command.__click_params__ += reversed(options)  # type: ignore[attr-defined]
    return command


def _found(
    ctx: click.Context, archive: Archive, finding: dict[str, Any], timeline: str | None
) -> Excerpts:
    """The excerpts that are meant: of a question, or appearances where there is none."""
    text, persons = finding["text"], finding["persons"]
    is_question = text is not None or finding["like"] or finding["face"] or len(persons) > 1
    if timeline is None and is_question:
        return archive.excerpts(asked(archive, **finding))
    if timeline is None and not persons:
        raise click.UsageError("say what to take: TEXT, --person NAME, or --timeline VIDEO")
    for name in finding:
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in _OF_APPEARANCES:
            option = name.replace("_", "-").replace("count", "-k")
            raise click.UsageError(f"{option} is for a TEXT, and this takes appearances of people")
    if timeline is not None and text is not None:
        raise click.UsageError("--timeline takes a whole video: leave TEXT out")
    return _appearances(archive, persons, timeline, finding["threshold"], finding["video_glob"])


def _appearances(
    archive: Archive,
    persons: Sequence[str],
    timeline: str | None,
    threshold: float,
    video_glob: str | None,
) -> Excerpts:
    """Appearances in a video, or of a person in all videos, of those that are named."""
    from dataclasses import replace

    from vidsearch.copies import matches

    names = [archive.person(name).name for name in persons]
    if timeline is not None:
        found = archive.excerpts(archive.timeline(timeline, threshold=threshold))
    else:
        (name,) = names
        found = archive.excerpts(archive.appearances(name, threshold=threshold), name)
    kept = [
        each
        for each in found.excerpts
        if (not names or each.people[0].name in names)
        and (video_glob is None or any(matches(p, video_glob) for p in each.video.paths))
    ]
    message = found.message
    if names and not kept:
        where = timeline or ("any video" if video_glob is None else f"a video called {video_glob}")
        message = (
            f"{', '.join(names)}: not in {where} (with a probability of {threshold:g} or more)"
        )
    return replace(found, excerpts=tuple(kept), message=message)


def _remark(excerpts: Excerpts) -> None:
    """What an answer says of its hits, as that none of them fits well."""
    if excerpts.message:
        say(excerpts.message)


def _rate(ctx: click.Context, param: click.Parameter, text: str | None) -> Fraction | None:
    """A frame rate; 29.97 and its like mean the exact ones."""
    from vidsearch.errors import VidsearchError
    from vidsearch.smpte import TimeBase, nearest_standard

    if text is None:
        return None
    try:
        said = Fraction(text)
        rate = nearest_standard(said, Fraction(1, 5000)) or said
        TimeBase(rate)
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(
            f"{text!r} is no frame rate: write 25, 29.97 or 30000/1001"
        ) from None
    except VidsearchError as error:
        raise click.BadParameter(str(error)) from None
    return rate


@click.command()
@_finding
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Else the suffix of --out tells."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Where to; a folder gets one file a video. Else the standard output.",
)
@click.option(
    "--rate",
    metavar="FPS",
    callback=_rate,
    help="Count frames by time at this rate, for files without a rate of their own.",
)
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    /,
    folder: Path,
    timeline: str | None,
    form: str | None,
    out: Path | None,
    rate: Fraction | None,
    as_json: bool,
    **finding: Any,
) -> int:
    """Take hits or appearances to another tool.

    TEXT is a question, as for `vidsearch query`; without it --person NAME takes all appearances of
    that person, --timeline VIDEO all appearances in a video. Tables: csv, json, parquet; subtitles:
    srt, webvtt; editing: edl, fcpxml, otio; to look at: html.
    """
    from vidsearch.archive import Archive
    from vidsearch.export import FORMATS as KNOWN
    from vidsearch.export import format_of, notes

    if out is None:
        form = form or ("json" if as_json else None)
        if form is None:
            raise click.UsageError(f"say --out FILE, or --format: {', '.join(FORMATS)}")
        if not KNOWN[form].is_text:
            raise click.UsageError(f"{form} is not text: say --out FILE.{form}")
    archive = Archive(folder)
    excerpts = _found(ctx, archive, finding, timeline)
    if not excerpts.excerpts:
        say(f"nothing to export: {excerpts.message or 'nothing was found'}")
        return NOTHING_FOUND
    _remark(excerpts)
    if out is None:
        assert form is not None
        click.echo(archive.exported(excerpts, form, rate=rate), nl=False)
        used = form
    else:
        files = archive.export(excerpts, out, format=form, rate=rate)
        used = form or format_of(files[0]) or ""
        if as_json:
            print_json([str(file) for file in files])
        for file in files:
            say(f"wrote {file}")
    for note in notes(excerpts, used, rate):
        say(note)
    return 0


@click.command()
@_finding
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the clips go, one file each.",
)
@click.option("--exact", is_flag=True, help="Encode anew, exact to the frame (H.264 in MP4).")
@click.option(
    "--handles",
    "handles_s",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="So much more before and after.",
)
@click.option("--captions", is_flag=True, help="Write who it is into the picture (encodes anew).")
@click.option(
    "--reel",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.mp4",
    help="Join all of them to one file.",
)
@json_option
@click.pass_context
def clip(
    ctx: click.Context,
    /,
    folder: Path,
    timeline: str | None,
    out: Path | None,
    exact: bool,
    handles_s: float,
    captions: bool,
    reel: Path | None,
    as_json: bool,
    **finding: Any,
) -> int:
    """Cut hits or appearances out of their files.

    TEXT is a question, as for `vidsearch query`; without it --person NAME takes all appearances of
    that person, --timeline VIDEO all appearances in a video. A clip is copied as it is from the
    keyframe before it, so it may begin earlier, which is told; --exact encodes it anew.
    """
    from vidsearch.archive import Archive
    from vidsearch.clips import Uncut, clip_as_json

    if out is None and reel is None:
        raise click.UsageError("say where to: --out FOLDER, --reel FILE.mp4, or both")
    if reel is not None and reel.suffix.lower() != ".mp4":
        raise click.BadParameter(f"{reel} is no MP4: end it in .mp4", param_hint="--reel")
    archive = Archive(folder)
    excerpts = _found(ctx, archive, finding, timeline)
    if not excerpts.excerpts:
        say(f"nothing to cut: {excerpts.message or 'nothing was found'}")
        return NOTHING_FOUND
    _remark(excerpts)
    made = []
    failed: list[Uncut] = []
    if out is not None:
        for one in archive.clip(excerpts, out, exact=exact, handles_s=handles_s, captions=captions):
            made.append(one)
            if isinstance(one, Uncut):
                failed.append(one)
                say(f"not cut: {one.reason}")
            elif not as_json:
                _tell(one)
    if reel is not None:
        missing = archive.reel(excerpts, reel, handles_s=handles_s, captions=captions)
        failed += missing
        for one in missing:
            say(f"not in the reel: {one.reason}")
        say(f"reel: {reel}")
    if as_json:
        print_json({"clips": [clip_as_json(one) for one in made], "reel": reel and str(reel)})
    return SOME_FAILED if failed else 0


def _tell(made: Any) -> None:
    """A clip on a line, with what it holds beside what was asked for."""
    from vidsearch.inputs import printable
    from vidsearch.timecodes import timecode

    more = "exact" if made.exact else "copied"
    if made.lead_s >= 0.001:
        more += f", begins {made.lead_s:.2f} s before"
    if made.tail_s >= 0.001:
        more += f", ends {made.tail_s:.2f} s after"
    click.echo(
        f"{printable(made.file)}  {timecode(made.start_s)} to {timecode(made.end_s)}  {more}"
    )
    if made.note:
        say(made.note)
