"""Answers as people and as programs read them: a table, and the fixed JSON form."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vidsearch.inputs import printable
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idclip.pull import Availability
    from vidsearch.indexing import IndexReport
    from vidsearch.records import Answer, Hit, Person, Sighting, Video
    from vidsearch.store import ShotRow


def stdout() -> Console:
    """The console that results go to; as wide as needed where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def print_answer(answer: Answer) -> None:
    """The hits as a table, or the sentence that says why there are none."""
    console = stdout()
    if not answer.hits:
        console.print(escape(answer.message))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("video", overflow="fold")
    table.add_column("from")
    table.add_column("to")
    table.add_column("score", justify="right")
    table.add_column("why", overflow="fold")
    for hit in answer.hits:
        table.add_row(
            str(hit.rank),
            escape(printable(PurePath(hit.video).name)),
            timecode(hit.start_s),
            timecode(hit.end_s),
            f"{hit.score:.2f}",
            escape(why(hit)),
        )
    console.print(table)
    if answer.message:
        console.print(f"[dim]{escape(answer.message)}[/dim]")


def why(hit: Hit) -> str:
    """The evidence of a hit in one line."""
    reasons = [_seen(sighting) for sighting in hit.people]
    if hit.context_score is not None:
        reasons.append(f"context {hit.context_score:.2f} at {timecode(hit.keyframe_s)}")
    return "; ".join(reasons)


def _seen(sighting: Sighting) -> str:
    return (
        f"{sighting.name} {sighting.probability:.2f} at {timecode(sighting.time_s)} "
        f"like {sighting.reference}"
    )


def answer_as_json(answer: Answer) -> dict[str, Any]:
    """The fixed form; `box` is relative x0, y0, x1, y1, times are seconds from the first frame."""
    return {
        "query": answer.query,
        "people": list(answer.people),
        "context": answer.context,
        "message": answer.message,
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
        "media_offset_s": video.media_offset_s,
        "n_frames": video.n_frames,
        "n_shots": video.n_shots,
        "size": video.size,
    }


def print_videos(videos: Sequence[Video]) -> None:
    """What the archive holds, one line a file."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("status", "video", "length", "shots", "picture", "codec", "note"):
        table.add_column(name, overflow="fold")
    for video in videos:
        table.add_row(
            video.status,
            escape(printable(video.path)),
            timecode(video.duration_s),
            str(video.n_shots),
            f"{video.width}x{video.height}" if video.width else "",
            video.codec,
            escape(video.error),
        )
    stdout().print(table)


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
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("name", "aliases", "photos", "best quality"):
        table.add_column(name, overflow="fold")
    for person in people:
        best = max((photo.quality for photo in person.photos), default=0.0)
        aliases = ", ".join(person.aliases)
        table.add_row(escape(person.name), escape(aliases), str(len(person.photos)), f"{best:.2f}")
    stdout().print(table)


def print_person(person: Person) -> None:
    """One person with every photo."""
    console = stdout()
    aliases = f" (also {', '.join(person.aliases)})" if person.aliases else ""
    console.print(f"[bold]{escape(person.name)}[/bold]{escape(aliases)}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("photo", "quality", "face"):
        table.add_column(name, overflow="fold")
    for photo in person.photos:
        x0, y0, x1, y1 = photo.box
        table.add_row(
            escape(photo.name), f"{photo.quality:.2f}", f"{x0:.2f},{y0:.2f} to {x1:.2f},{y1:.2f}"
        )
    console.print(table)


def print_shots(shots: Sequence[ShotRow]) -> None:
    """The shots of one video."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("shot", "from", "to", "frames", "faces"):
        table.add_column(name, justify="right")
    for shot in shots:
        table.add_row(
            str(shot.index),
            timecode(shot.start_s),
            timecode(shot.end_s),
            f"{shot.start_frame} to {shot.end_frame}",
            str(shot.n_tracks),
        )
    stdout().print(table)


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
    return [
        {
            "name": one.info.name,
            "present": one.present,
            "remedy": one.remedy,
            "used_for_new_archives": one.info.name == chosen,
            "about": one.info.about,
            "origin": one.info.origin,
            "licence": one.info.licence,
            "commercial_use": one.info.commercial,
            "note": one.info.note,
            "dimensions": one.info.dim,
            "megabytes": one.info.megabytes,
        }
        for one in known
    ]


def print_models(known: Sequence[Availability], chosen: str) -> None:
    """The named encoders, the one for new archives marked."""
    console = stdout()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "encoder", "MB", "here", "commercial use", "licence"):
        table.add_column(name, no_wrap=True)
    for one in known:
        info = one.info
        table.add_row(
            "*" if info.name == chosen else "",
            escape(info.name),
            str(info.megabytes),
            "yes" if one.present else "no",
            info.commercial,
            escape(info.licence.partition(" (")[0]),
        )
    console.print(table)
    console.print(
        "[dim]* for new archives; another: vidsearch models use NAME. Fetch one that is not here: "
        "vidsearch models pull NAME.\n"
        '"ask": the licence of the weights allows it, the data or the model card may not. '
        "Origin and notes: --json.[/dim]"
    )
