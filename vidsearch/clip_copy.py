"""A clip by stream copy: the coded pictures and sound as they are, from a keyframe on.

Nothing is lost and it is fast, but a clip can only begin at a keyframe, so it begins earlier than
asked for; how much earlier is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from vidsearch.clip_source import Stretch
from vidsearch.containers import check_file, open_container, video_stream
from vidsearch.errors import VidsearchError
from vidsearch.inputs import printable
from vidsearch.urls import Place

_KEPT = {".mp4": ".mp4", ".m4v": ".mp4", ".mov": ".mov", ".mkv": ".mkv", ".webm": ".mkv",
         ".ts": ".ts", ".mts": ".ts", ".m2ts": ".ts", ".avi": ".avi"}  # fmt: skip


# Streams without an index are sought by guessing, often too far: then from further back.
_BACK_S = (0, 2, 10, 60, 10**6)
_ASIDE_S = 3.0  # how far behind its pictures sound is looked for


@dataclass(frozen=True)
class Copied:
    """What a copy holds: `lead_s` seconds before what was asked for, `tail_s` after it."""

    lead_s: float
    tail_s: float


def suffix_of(path: Place) -> str:
    """The suffix of a copy: that of the file where it is a common one, else Matroska's."""
    return _KEPT.get(path.suffix.lower(), ".mkv")


def copy(stretch: Stretch, target: Path, kind: str) -> Copied:
    """Write the stretch to `target` as a file of `kind`, a suffix such as ".mp4".

    Raises VidsearchError where it cannot be copied (no keyframe before it, a codec that the
    container does not take), and OSError where `target` cannot be written.
    """
    if stretch.unclocked:
        raise VidsearchError(
            f"{printable(stretch.path)}: its clock starts anew in the middle, or it has none;"
            " it cannot be copied, and what is heard where is not known"
        )
    status = check_file(stretch.path)
    try:
        with open_container(stretch.path, status) as source:
            stream = video_stream(stretch.path, source, status)
            chosen = _packets(source, stream, stretch)
            return _write(source, stream, chosen, stretch, target, kind)
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise  # of what is written: reading does not fail so
        raise VidsearchError(f"{printable(stretch.path)}: cannot be copied ({error})") from error


_DISK = (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT


def _packets(source: Any, stream: Any, stretch: Stretch) -> list[Any]:
    """The coded pictures to copy and the sound beside them, in the file's order."""
    tick = Fraction(stream.time_base)
    first, end = stretch.ticks(tick)
    # Of a stream without an index the first keyframe is never sought, only read.
    if stretch.start_s == 0 and (found := _from_here(source, stream, first, end)):
        return found
    for back_s in _BACK_S:
        source.seek(max(stream.start_time or 0, first - round(back_s / tick)), stream=stream)
        if found := _from_here(source, stream, first, end):
            return found
    raise VidsearchError(f"{printable(stretch.path)}: has no keyframe before that moment")


def _from_here(source: Any, stream: Any, first: int, end: int | None) -> list[Any]:
    """The packets, read from where the file stands; none if a keyframe before `first` is not."""
    sounds = [each for each in source.streams.audio if each.codec_context is not None]
    pictures: list[Any] = []
    others: list[Any] = []
    end_s = float("inf") if end is None else float(end * stream.time_base)
    silent = {each.index for each in sounds}  # whose packets have not come to the end
    for packet in source.demux(stream, *sounds):
        if packet.pts is None or packet.dts is None or not packet.size:
            continue
        at_s = float(packet.dts * packet.time_base)
        if packet.stream.index != stream.index:
            others.append(packet)
            silent -= {packet.stream.index} if at_s >= end_s else set()
            continue
        if at_s >= end_s:  # sound may lie behind the pictures that it belongs to
            if not silent or at_s >= end_s + _ASIDE_S:
                break
            continue
        if packet.is_keyframe and packet.pts <= first:
            pictures = []  # a later keyframe is nearer
        if packet.is_keyframe or pictures:
            pictures.append(packet)
    if not pictures or pictures[0].pts > first:
        return []
    key = pictures[0].pts
    # Pictures that come before the keyframe refer to others that are not there.
    pictures = [packet for packet in pictures if packet.pts >= key]
    while end is not None and len(pictures) > 1 and pictures[-1].pts >= end:
        pictures.pop()
    from_s, to_s = (float(at * stream.time_base) for at in (key, max(p.pts for p in pictures)))
    heard = [p for p in others if from_s <= float(p.pts * p.time_base) <= to_s]
    return sorted(pictures + heard, key=lambda packet: float(packet.dts * packet.time_base))


def _write(
    source: Any, stream: Any, packets: list[Any], stretch: Stretch, target: Path, kind: str
) -> Copied:
    shown = [packet for packet in packets if packet.stream.index == stream.index]
    key_s = shown[0].pts * Fraction(stream.time_base)
    last = max(shown, key=lambda packet: packet.pts)
    end_s = float((last.pts + (last.duration or 0)) * stream.time_base)
    formats = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".ts": "mpegts", ".avi": "avi"}
    with av.open(str(target), "w", format=formats[kind]) as clip:
        used = {packet.stream.index for packet in packets}
        copies = {
            each.index: clip.add_stream_from_template(each)
            for each in source.streams
            if each.index in used
        }
        for packet in packets:
            shift = round(key_s / Fraction(packet.time_base))
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = copies[packet.stream.index]
            clip.mux(packet)
    lead_s = stretch.start_s + stretch.offset_s - float(key_s)
    tail_s = 0.0 if stretch.end_s == float("inf") else end_s - stretch.offset_s - stretch.end_s
    return Copied(max(0.0, lead_s), max(0.0, tail_s))
