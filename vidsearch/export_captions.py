"""Excerpts of one video as subtitles, SubRip and WebVTT: who is on screen, and how sure that is.

Cues are in a player's time: it shows a file from 0 on, wherever its own clock starts.
"""

from __future__ import annotations

from html import escape
from math import floor

from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.inputs import printable


def as_srt(excerpts: Excerpts, offset_s: float) -> bytes:
    """SubRip; `offset_s` is where a player shows the first video frame."""
    cues = []
    for number, each in enumerate(_by_time(excerpts), 1):
        times = f"{_clock(each.start_s + offset_s, ',')} --> {_clock(each.end_s + offset_s, ',')}"
        cues.append(f"{number}\n{times}\n" + "\n".join(_lines(each)) + "\n")
    return "\n".join(cues).encode("utf-8")


def as_webvtt(excerpts: Excerpts, offset_s: float) -> bytes:
    """WebVTT, with the title as a note; texts are escaped, so that no name is a tag."""
    parts = ["WEBVTT\n", f"NOTE {_one_line(excerpts.title).replace('-->', '->')}\n"]
    for each in _by_time(excerpts):
        times = f"{_clock(each.start_s + offset_s, '.')} --> {_clock(each.end_s + offset_s, '.')}"
        lines = [escape(line, quote=False) for line in _lines(each)]
        parts.append(f"{each.rank}\n{times}\n" + "\n".join(lines) + "\n")
    return "\n".join(parts).encode("utf-8")


def _by_time(excerpts: Excerpts) -> list[Excerpt]:
    return sorted(excerpts.excerpts, key=lambda each: (each.start_s, each.end_s))


def _lines(each: Excerpt) -> list[str]:
    lines = [_one_line(each.title), _one_line(each.evidence)]
    return [line.replace("-->", "->") for line in lines if line]


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _clock(seconds: float, mark: str) -> str:
    """`HH:MM:SS.mmm`, rounded down, or the first frame of a cue would be shown without it."""
    milliseconds = max(0, floor(seconds * 1000 + 1e-6))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{mark}{milliseconds % 1000:03d}"
