"""Answers as people and as programs read them: a table, and the fixed JSON form."""

from __future__ import annotations

import re
from pathlib import PurePath
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vidsearch.copies import gone
from vidsearch.inputs import printable
from vidsearch.records import SAID_BY_HAND
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from idclip.pull import Availability
    from vidsearch.indexing import IndexReport
    from vidsearch.records import Answer, Hit, Person, Sighting, Video
    from vidsearch.store import ShotRow

UNBROKEN = 100_000  # a width that no line reaches
INDENT = "    "


def stdout() -> Console:
    """The console that results go to; where it is no terminal no line is ever broken."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=UNBROKEN)


def counted(n: int, noun: str) -> str:
    """`1 photo`, `2 photos`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], prose: str = "") -> None:
    """A table; in a terminal that is too narrow for it, each row as a paragraph.

    A paragraph breaks between cells, and inside those of the column `prose` between words, so
    that names and times stay whole and can be copied. A column whose name ends in ">" is aligned
    on the right.
    """
    console = stdout()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        right = name.endswith(">")
        table.add_column(name.rstrip(">"), justify="right" if right else "left", no_wrap=True)
    rows = list(rows)
    for row in rows:
        table.add_row(*map(escape, row))
    wide = console.measure(table, options=console.options.update(width=UNBROKEN)).maximum
    if wide <= console.width:
        console.print(table)
        return
    names = [name.rstrip(">") for name in columns]
    console.print("  ".join(names), style="dim", markup=False, soft_wrap=True)
    for row in rows:
        for line in _paragraph(row, [name == prose for name in names], console.width):
            console.print(line, markup=False, soft_wrap=True)


def _paragraph(row: Sequence[str], loose: Sequence[bool], width: int) -> Iterator[str]:
    """The cells of a row in lines of `width`, those after the first line indented."""
    cells = [
        part
        for cell, breakable in zip(row, loose, strict=True)
        for part in (_clauses(cell, width) if breakable else [cell])
        if part
    ]
    line = cells[0]
    for cell in cells[1:]:
        if cell_len(line) + 2 + cell_len(cell) <= width:
            line = f"{line}  {cell}"
        else:
            yield line
            line = INDENT + cell
    yield line


def _clauses(text: str, width: int) -> list[str]:
    """Prose cut after its semicolons, and between words only where that is not enough."""
    clauses = re.split(r"(?<=;) ", text)
    return [part for clause in clauses for part in _wrapped(clause, width - len(INDENT))]


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, width, break_long_words=False, break_on_hyphens=False)


def print_answer(answer: Answer) -> None:
    """The hits as a table, or the sentence that says why there are none."""
    console = stdout()
    if not answer.hits:
        console.print(escape(answer.message))
        return
    rows = (
        (
            str(hit.rank),
            printable(PurePath(hit.video).name) + _and_copies(hit.copies),
            timecode(hit.start_s),
            timecode(hit.end_s),
            f"{hit.score:.2f}",
            why(hit),
        )
        for hit in answer.hits
    )
    print_rows(("#>", "video", "from", "to", "score>", "why"), rows, prose="why")
    for remark in filter(None, (answer.message, shown_of(answer))):
        console.print(f"[dim]{escape(remark)}[/dim]")


def why(hit: Hit) -> str:
    """The evidence of a hit in one line."""
    reasons = [_seen(sighting) for sighting in hit.people]
    if hit.context_score is not None:
        reasons.append(f"context {hit.context_score:.2f} at {timecode(hit.keyframe_s)}")
    if hit.doubles:
        reasons.append(f"{hit.doubles} more {'looks' if hit.doubles == 1 else 'look'} like it")
    if hit.others:
        reasons.append(f"{counted(hit.others, 'more shot')} in this video")
    return "; ".join(reasons)


def shown_of(answer: Answer) -> str:
    """Which of the shots that answer are shown, where it is not all; and how to see the next."""
    first, last = answer.offset + 1, answer.offset + len(answer.hits)
    if not answer.hits or (first == 1 and not answer.further):
        return ""
    if answer.by_video:
        least = "at least " if answer.at_least else ""
        shots = counted(answer.total, "shot")
        whole = f"videos {first} to {last} of {least}{answer.n_videos} ({shots})"
    else:
        whole = f"shots {first} to {last} of {'at least ' if answer.at_least else ''}{answer.total}"
    return f"{whole}; next: --offset {last}" if answer.further else whole


def _seen(sighting: Sighting) -> str:
    return (
        f"{sighting.name} {sighting.probability:.2f} at {timecode(sighting.time_s)} "
        f"{'' if sighting.reference == SAID_BY_HAND else 'like '}{sighting.reference}"
    )


def answer_as_json(answer: Answer) -> dict[str, Any]:
    """The fixed form; `box` is relative x0, y0, x1, y1, times are seconds from the first frame."""
    return {
        "query": answer.query,
        "people": list(answer.people),
        "context": answer.context,
        "message": answer.message,
        "total": answer.total,
        "at_least": answer.at_least,
        "offset": answer.offset,
        "further": answer.further,
        "groups": [
            {"video": hit.video, "shots": 1 + hit.others, "rank": hit.rank}
            for hit in answer.hits
            if answer.by_video
        ],
        "hits": [_hit_as_json(hit) for hit in answer.hits],
    }


def _hit_as_json(hit: Hit) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "video": hit.video,
        "shot": hit.shot,
        "start_s": hit.start_s,
        "end_s": hit.end_s,
        "keyframe_s": hit.keyframe_s,
        "score": hit.score,
        "context_score": hit.context_score,
        "doubles": hit.doubles,
        "people": [
            {
                "name": sighting.name,
                "probability": sighting.probability,
                "time_s": sighting.time_s,
                "box": list(sighting.box),
                "reference": sighting.reference,
            }
            for sighting in hit.people
        ],
    }


def report_as_json(report: IndexReport) -> dict[str, Any]:
    """An index run for programs."""
    return {
        "indexed": [video_as_json(video) for video in report.indexed],
        "failed": [{"path": bad.path, "reason": bad.reason} for bad in report.failed],
        "unchanged": report.planned.unchanged,
        "moved": report.planned.moved,
        "skipped": {"hidden": report.planned.hidden, "other": report.planned.other},
        "notes": list(report.planned.notes),
        "seconds": report.seconds,
    }


def video_as_json(video: Video) -> dict[str, Any]:
    """A `videos` row for programs; bytes of paths that are not UTF-8 become `\\xNN`."""
    return {
        "video_id": video.video_id,
        "paths": [path.decode("utf-8", "backslashreplace") for path in video.paths],
        "status": video.status,
        "error": video.error,
        "codec": video.codec,
        "width": video.width,
        "height": video.height,
        "duration_s": video.duration_s,
        "frame_rate": video.frame_rate,
        "rate": video.rate,
        "variable_rate": video.variable_rate,
        "timecode": video.timecode,
        "reel": video.reel,
        "recorded_at": video.recorded_at,
        "media_offset_s": video.media_offset_s,
        "n_frames": video.n_frames,
        "n_shots": video.n_shots,
        "size": video.size,
        "detector": video.detector,
        "missing": [path.decode("utf-8", "backslashreplace") for path in gone(video)],
    }


def print_videos(videos: Sequence[Video]) -> None:
    """What the archive holds, one row a file; nothing is known of one that failed but why."""
    rows = (
        (
            video.status,
            printable(video.path) + _and_copies(len(video.paths) - 1),
            timecode(video.duration_s) if video.duration_s else "",
            str(video.n_shots) if video.status != "failed" else "",
            f"{video.width}x{video.height}" if video.width else "",
            video.codec,
            _note(video),
        )
        for video in videos
    )
    columns = ("status", "video", "length", "shots>", "picture", "codec", "note")
    print_rows(columns, rows, prose="note")


def _and_copies(n: int) -> str:
    return "" if n < 1 else f" and {n} {'copy' if n == 1 else 'copies'}"


def _note(video: Video) -> str:
    """What went wrong with a video, and whether files of it are gone."""
    missing = gone(video)
    if not missing or video.error == "does not exist":
        return video.error
    whole = len(missing) == len(video.paths)
    said = "missing" if whole else f"missing: {', '.join(map(printable, missing))}"
    return "; ".join(filter(None, (said, video.error)))


def person_as_json(person: Person) -> dict[str, Any]:
    """An enrolled person for programs, without vectors and pictures."""
    return {
        "person_id": person.person_id,
        "name": person.name,
        "aliases": list(person.aliases),
        "created_at": person.created_at,
        "photos": [
            {"name": photo.name, "quality": photo.quality, "box": list(photo.box)}
            for photo in person.photos
        ],
    }


def print_people(people: Sequence[Person]) -> None:
    """Who is enrolled."""
    rows = (
        (
            person.name,
            ", ".join(person.aliases),
            str(len(person.photos)),
            f"{max((photo.quality for photo in person.photos), default=0.0):.2f}",
        )
        for person in people
    )
    print_rows(("name", "aliases", "photos>", "best quality>"), rows, prose="aliases")


def print_person(person: Person) -> None:
    """One person with every photo."""
    aliases = f" (also {', '.join(person.aliases)})" if person.aliases else ""
    stdout().print(f"[bold]{escape(person.name)}[/bold]{escape(aliases)}")
    rows = []
    for photo in person.photos:
        x0, y0, x1, y1 = photo.box
        box = f"{x0:.2f},{y0:.2f} to {x1:.2f},{y1:.2f}"
        rows.append((photo.name, f"{photo.quality:.2f}", box))
    print_rows(("photo", "quality>", "face"), rows)


def print_shots(shots: Sequence[ShotRow]) -> None:
    """The shots of one video."""
    rows = (
        (
            str(shot.index),
            timecode(shot.start_s),
            timecode(shot.end_s),
            f"{shot.start_frame} to {shot.end_frame}",
            str(shot.n_tracks),
        )
        for shot in shots
    )
    print_rows(("shot>", "from>", "to>", "frames>", "faces>"), rows)


def shot_as_json(shot: ShotRow) -> dict[str, Any]:
    """A shot for programs; frames and seconds are half open."""
    return {
        "shot": shot.index,
        "start_s": shot.start_s,
        "end_s": shot.end_s,
        "start_frame": shot.start_frame,
        "end_frame": shot.end_frame,
        "faces": shot.n_tracks,
    }


def detectors_as_json() -> list[dict[str, Any]]:
    """The shot detectors with their options, defaults and units."""
    from vidsearch.shots import DEFAULT_DETECTOR, DETECTORS

    return [
        {
            "name": info.name,
            "default": info.name == DEFAULT_DETECTOR,
            "summary": info.summary,
            "options": {
                name: {"default": option.default, "unit": option.unit, "help": option.help}
                for name, option in info.options.items()
            },
        }
        for info in DETECTORS.values()
    ]


def print_detectors() -> None:
    """The shot detectors, each with its options."""
    console = stdout()
    for detector in detectors_as_json():
        mark = " (default)" if detector["default"] else ""
        console.print(f"[bold]{detector['name']}[/bold]{mark}  {escape(detector['summary'])}")
        for name, option in detector["options"].items():
            console.print(
                f"    {name}={option['default']:g}  {escape(option['help'])} ({option['unit']})"
            )


def models_as_json(known: Sequence[Availability], chosen: str) -> list[dict[str, Any]]:
    """The named encoders with origin, licence and whether they are on this machine."""
    return [{**one.as_data(), "used_for_new_archives": one.info.name == chosen} for one in known]


def print_models(known: Sequence[Availability], chosen: str) -> None:
    """The named encoders, the one for new archives marked: a name a line, details below it."""
    console = stdout()
    for one in known:
        info = one.info
        used = " (for new archives)" if info.name == chosen else ""
        console.print(f"[bold]{escape(info.name)}[/bold]{used}", soft_wrap=True)
        allowed = f"{info.licence}, commercial use: {info.commercial}"
        here = "here" if one.present else f"not here: {one.remedy}"
        for line in (info.about, f"{info.megabytes} MB; {allowed}", here):
            for part in _wrapped(line, console.width - len(INDENT)):
                console.print(INDENT + part, markup=False, soft_wrap=True)
    console.print(
        "[dim]Another for new archives: vidsearch models use NAME.\n"
        'Commercial use "ask": the licence of the weights allows it, the data or the model card '
        "may not. Origin and notes: --json.[/dim]"
    )
