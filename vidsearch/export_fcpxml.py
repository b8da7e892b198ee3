"""Excerpts as FCPXML 1.8, for Final Cut Pro, DaVinci Resolve and others.

Written here: OpenTimelineIO's adapter for it computes in floating point, gives a 29.97 its frames
at the wrong length unless the rate is written 29.97, calls ffprobe and knows no time codes. Every
time is a whole number of frame durations, as a fraction of seconds.
"""

from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree as ET

from vidsearch.counting import Counting
from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.export_editors import counted, name, shared, title_of
from vidsearch.export_tables import file_url
from vidsearch.inputs import printable
from vidsearch.records import Video

_REEL = "com.apple.proapps.studio.reel"


def as_fcpxml(
    excerpts: Excerpts, rate: Fraction | None = None, sound: dict[str, int] | None = None
) -> bytes:
    """The sequence; `sound` has the channels of sound of each video, by its id.

    Raises VidsearchError for files of different rates, and for one whose rate cannot be a time
    code.
    """
    counts = counted(excerpts, rate)
    base = shared(counts).time_base
    root = ET.Element("fcpxml", version="1.8")
    resources = ET.SubElement(root, "resources")
    formats: dict[tuple[int, int], str] = {}
    assets: dict[str, str] = {}
    for number, video in enumerate(excerpts.videos, 1):
        size = (video.width, video.height)
        if size not in formats:
            formats[size] = f"f{len(formats) + 1}"
            _format(resources, formats[size], base.rate, size)
        assets[video.video_id] = f"r{number}"
        channels = (sound or {}).get(video.video_id, 0)
        _asset(resources, counts[video.video_id], f"r{number}", formats[size], channels)
    title = title_of(excerpts)
    event = ET.SubElement(root, "event", name=title)
    project = ET.SubElement(event, "project", name=title)
    drop = "DF" if base.drop else "NDF"
    spans = [counts[each.video.video_id].span(each) for each in excerpts.excerpts]
    length = sum(end - first for first, end in spans)
    sequence = ET.SubElement(
        project,
        "sequence",
        format=formats[(excerpts.videos[0].width, excerpts.videos[0].height)],
        duration=_time(length, base.rate),
        tcStart="0s",
        tcFormat=drop,
    )
    spine = ET.SubElement(sequence, "spine")
    at = 0
    for each, (first, end) in zip(excerpts.excerpts, spans, strict=True):
        clip = ET.SubElement(
            spine,
            "asset-clip",
            name=name(each.video),
            ref=assets[each.video.video_id],
            offset=_time(at, base.rate),
            start=_time(first, base.rate),
            duration=_time(end - first, base.rate),
            tcFormat=drop,
        )
        _why(clip, each, counts[each.video.video_id])
        at += end - first
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'.encode()


def _format(resources: ET.Element, key: str, rate: Fraction, size: tuple[int, int]) -> None:
    width, height = size
    shape = ET.SubElement(resources, "format", id=key, frameDuration=_time(1, rate))
    if width and height:
        shape.attrib |= {"width": str(width), "height": str(height)}


def _asset(resources: ET.Element, count: Counting, key: str, shape: str, channels: int) -> None:
    video: Video = count.video
    asset = ET.SubElement(
        resources,
        "asset",
        id=key,
        name=name(video),
        src=file_url(video.paths),
        start=_time(count.start, count.rate),
        duration=_time(count.n_frames, count.rate),
        hasVideo="1",
        format=shape,
    )
    if channels:
        asset.attrib |= {"hasAudio": "1", "audioSources": "1", "audioChannels": str(channels)}
    if video.reel:
        metadata = ET.SubElement(asset, "metadata")
        ET.SubElement(metadata, "md", key=_REEL, value=printable(video.reel))


def _why(clip: ET.Element, each: Excerpt, count: Counting) -> None:
    """The evidence as a note, and a marker at each face."""
    ET.SubElement(clip, "note").text = printable(f"score {each.score:.3f}; {each.evidence}")
    for seen in each.people:
        ET.SubElement(
            clip,
            "marker",
            start=_time(count.frame_at(each, seen.time_s), count.rate),
            duration=_time(1, count.rate),
            value=printable(f"{seen.name} {seen.probability:.2f}"),
        )


def _time(frames: int, rate: Fraction) -> str:
    """So many frames in seconds: `1001/30000s`, `5s`."""
    seconds = frames / rate
    if seconds.denominator == 1:
        return f"{seconds.numerator}s"
    # On the rate's own scale, where every time of a file has the same denominator.
    return f"{frames * rate.denominator}/{rate.numerator}s"
