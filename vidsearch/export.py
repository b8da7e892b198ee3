"""`vidsearch export`: excerpts in the form another tool reads, one file or one for each video."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from vidsearch.errors import VidsearchError
from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.names_of_files import Names
from vidsearch.records import Still, Video

if TYPE_CHECKING:
    Stills = Callable[[Sequence[Excerpt]], Sequence[Still]]

AT_ONCE = 16  # pictures held in memory


@dataclass(frozen=True)
class Format:
    """A form of export. `suffixes` are those of its files, the usual one first.

    `is_text` says that it may go to a terminal, `of_one_video` that a file of it is about one
    video, as subtitles are.
    """

    name: str
    suffixes: tuple[str, ...]
    is_text: bool = True
    of_one_video: bool = False


FORMATS = {
    form.name: form
    for form in (
        Format("csv", (".csv",)),
        Format("json", (".json",)),
        Format("parquet", (".parquet",), is_text=False),
        Format("srt", (".srt",), of_one_video=True),
        Format("webvtt", (".vtt",), of_one_video=True),
        Format("edl", (".edl",)),
        Format("fcpxml", (".fcpxml",)),
        Format("otio", (".otio",)),
        Format("html", (".html", ".htm")),
    )
}


def format_of(file: Path) -> str | None:
    """The format that a file's name tells, None if it tells none."""
    suffix = file.suffix.lower()
    return next((name for name, form in FORMATS.items() if suffix in form.suffixes), None)


def rendered(
    excerpts: Excerpts, name: str, *, rate: Fraction | None = None, stills: Stills
) -> bytes:
    """Excerpts in one of `FORMATS`.

    `rate` is at which rate to count frames, by time; None for the files' own. `stills` gives a
    still for each of some excerpts. Raises VidsearchError for excerpts of nothing, of several
    videos where the format is of one, and for rates that cannot be a time code.
    """
    if not excerpts.excerpts:
        raise VidsearchError(f"there is nothing to export: {excerpts.message or 'no excerpts'}")
    form = FORMATS[name]
    if form.of_one_video and len(excerpts.videos) > 1:
        raise VidsearchError(
            f"a file of {name} is about one video, and these are {len(excerpts.videos)}:"
            " give a folder to --out for one file a video, or choose one with --video"
        )
    if form.of_one_video:
        from vidsearch.export_captions import as_srt, as_webvtt

        offset_s = shown_from(excerpts.videos[0])
        return (as_srt if name == "srt" else as_webvtt)(excerpts, offset_s)
    if name == "html":
        from vidsearch.report_html import as_html

        return as_html(excerpts, _few_at_a_time(excerpts.excerpts, stills), rate)
    if name == "fcpxml":
        from vidsearch.export_fcpxml import as_fcpxml

        sound = {video.video_id: (_facts(video) or (0.0, 0))[1] for video in excerpts.videos}
        return as_fcpxml(excerpts, rate, sound)
    if name in ("otio", "edl"):
        from vidsearch.export_editors import as_edl, as_otio

        return (as_otio if name == "otio" else as_edl)(excerpts, rate)
    from vidsearch.export_tables import as_csv, as_json, as_parquet

    return {"csv": as_csv, "json": as_json, "parquet": as_parquet}[name](excerpts, rate)


def _few_at_a_time(excerpts: Sequence[Excerpt], stills: Stills) -> Iterator[Still]:
    """Full pictures of all excerpts at once could be gigabytes."""
    for start in range(0, len(excerpts), AT_ONCE):
        yield from stills(excerpts[start : start + AT_ONCE])


def notes(excerpts: Excerpts, name: str, rate: Fraction | None = None) -> tuple[str, ...]:
    """Remarks on how frames are counted, and on subtitles of a file whose clock is not known."""
    if name in ("srt", "webvtt"):
        return tuple(
            f"{video.path}: is gone, and nobody knows where its clock starts: subtitles may be"
            " late by that"
            for video in excerpts.videos
            if _facts(video) is None
        )
    if name not in ("edl", "fcpxml", "otio"):
        return ()
    from vidsearch.counting import counting

    return tuple(note for video in excerpts.videos for note in counting(video, rate).notes)


def shown_from(video: Video) -> float:
    """Seconds at which a player shows the first video frame: players start a file at 0."""
    start_s, _ = _facts(video) or (0.0, 0)
    return max(0.0, video.media_offset_s - start_s)


def _facts(video: Video) -> tuple[float, int] | None:
    """Where the file's own clock starts, and its channels of sound; None if it is not there."""
    from vidsearch.containers import start_and_sound
    from vidsearch.copies import file_of

    with suppress(VidsearchError):
        return start_and_sound(file_of(video))
    return None


def export(
    excerpts: Excerpts,
    out: Path,
    name: str | None = None,
    *,
    rate: Fraction | None = None,
    stills: Stills,
) -> list[Path]:
    """Write excerpts to a file, whole or not at all, or one for each video to a folder.

    A folder is one that is there, or a name that ends in a separator or has no suffix. Gives the
    files. Raises VidsearchError, see `rendered`, and where nothing tells the format.
    """
    to_folder = out.is_dir() or not out.suffix
    name = name or (None if to_folder else format_of(out))
    if name is None:
        known = ", ".join(FORMATS)
        raise VidsearchError(f"{out}: nothing tells the format; say --format: {known}")
    if name not in FORMATS:
        raise VidsearchError(f"{name!r} is no format of exports; those are {', '.join(FORMATS)}")
    if to_folder:
        return export_folder(excerpts, out, name, rate=rate, stills=stills)
    write_whole(out, rendered(excerpts, name, rate=rate, stills=stills))
    return [out]


def export_folder(
    excerpts: Excerpts,
    folder: Path,
    name: str,
    *,
    rate: Fraction | None = None,
    stills: Stills,
) -> list[Path]:
    """Write one file for each video into a folder, which is made; gives the files."""
    names = Names()
    parts = [
        (
            folder / names.free(PurePath(video.path).stem, FORMATS[name].suffixes[0]),
            rendered(excerpts.of(video), name, rate=rate, stills=stills),
        )
        for video in excerpts.videos
    ]
    if not parts:
        rendered(excerpts, name, rate=rate, stills=stills)  # says why there is nothing
    make_folder(folder)
    for file, data in parts:
        write_whole(file, data)
    return [file for file, _ in parts]


def make_folder(folder: Path) -> None:
    """Make a folder to write to; VidsearchError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def write_whole(file: Path, data: bytes) -> None:
    """Write a file under another name and rename it: nothing half written stays.

    Raises VidsearchError where it cannot be written, with the reason and what to do.
    """
    try:
        handle, part = tempfile.mkstemp(prefix=".vidsearch-", suffix=".part", dir=file.parent)
    except OSError as error:
        raise cannot_write(file, error) from error
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(data)
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, file)
    except OSError as error:
        raise cannot_write(file, error) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def cannot_write(file: Path, error: OSError) -> VidsearchError:
    """The error of a target that cannot be written."""
    from vidsearch.inputs import printable

    reason = "no permission" if isinstance(error, PermissionError) else error.strerror or str(error)
    return VidsearchError(
        f"{printable(file)} cannot be written ({reason.lower()}): choose another --out"
    )
