"""Excerpts as a sequence for editing systems: OpenTimelineIO, and by it EDL (CMX 3600).

Clips stand one after the other on one video track, each with its place in the file by the file's
own time code, and a marker at each face that is evidence. Times are whole frames at exact rates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vidsearch.counting import Counting, counting
from vidsearch.errors import VidsearchError
from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.export_tables import file_url
from vidsearch.inputs import printable
from vidsearch.records import Video
from vidsearch.smpte import rate_words

if TYPE_CHECKING:
    import opentimelineio as otio

REEL_LENGTH = 8  # characters, the most that CMX 3600 has room for


def as_otio(excerpts: Excerpts, rate: Fraction | None = None) -> bytes:
    """OTIO's own JSON; files of different rates may share a sequence."""
    import opentimelineio as otio

    counts = counted(excerpts, rate)
    timeline = _timeline(excerpts, counts, {k: float(count.rate) for k, count in counts.items()})
    return str(otio.adapters.write_to_string(timeline, "otio_json")).encode("utf-8") + b"\n"


def as_edl(excerpts: Excerpts, rate: Fraction | None = None) -> bytes:
    """CMX 3600: one video track at one rate.

    A reel has eight characters. Longer ones are cut, and numbered where two become the same; the
    whole name, and the file's, stand in comments. Raises VidsearchError for files of different
    rates, and for one whose rate cannot be a time code.
    """
    import opentimelineio as otio

    counts = counted(excerpts, rate)
    base = shared(counts).time_base
    # The adapter takes 29.97 for drop-frame and 23.976 for no rate of an EDL: where no numbers are
    # dropped the same frames, counted at the whole number, have the right codes.
    speed = float(base.rate) if base.drop else float(base.count)
    timeline = _timeline(excerpts, counts, dict.fromkeys(counts, speed))
    reels = reel_names(excerpts.videos)
    for clip, each in zip(timeline.video_tracks()[0], excerpts.excerpts, strict=True):
        clip.metadata["cmx_3600"] = _cmx_facts(each, reels[each.video.video_id])
    text = otio.adapters.write_to_string(timeline, "cmx_3600", rate=speed)
    title, _, events = text.partition("\n\n")
    mode = "DROP FRAME" if base.drop else "NON-DROP FRAME"
    return f"{title}\nFCM: {mode}\n\n{events}".encode()


def counted(excerpts: Excerpts, rate: Fraction | None) -> dict[str, Counting]:
    """How the frames of each video are counted, by its id."""
    return {video.video_id: counting(video, rate) for video in excerpts.videos}


def shared(counts: dict[str, Counting]) -> Counting:
    """The one way all videos are counted; VidsearchError where there are several."""
    ways = {(count.time_base.rate, count.time_base.drop): count for count in counts.values()}
    if len(ways) > 1:
        named = ", ".join(
            f"{name(count.video)} at {rate_words(rate)}{' drop-frame' if drop else ''}"
            for (rate, drop), count in ways.items()
        )
        raise VidsearchError(
            f"one sequence has one rate, and these files have several: {named}; give a folder to"
            " --out for one sequence a file, use otio, or count all by time with --rate"
        )
    return next(iter(ways.values()))


def name(video: Video) -> str:
    """A video's file name on one line."""
    return printable(PurePath(video.path).name)


def title_of(excerpts: Excerpts) -> str:
    """The title on one line."""
    return printable(" ".join(excerpts.title.split())) or "vidsearch"


def reel_names(videos: Sequence[Video]) -> dict[str, str]:
    """A reel for an EDL for each video id: from its reel, else its file name; no two the same."""
    given: dict[str, str] = {}  # by the whole name
    taken: dict[str, str] = {}
    for video in videos:
        whole = video.reel or PurePath(video.path).stem + video.video_id
        if whole not in given:
            plain = re.sub(r"[^A-Z0-9_]", "", (video.reel or PurePath(video.path).stem).upper())
            given[whole] = _free(plain or "AX", set(given.values()))
        taken[video.video_id] = given[whole]
    return taken


def _free(plain: str, used: set[str]) -> str:
    short, n = plain[:REEL_LENGTH], 1
    while short in used:
        n += 1
        short = plain[: REEL_LENGTH - len(str(n))] + str(n)
    return short


def _cmx_facts(each: Excerpt, reel: str) -> dict[str, Any]:
    comments = [f"SOURCE FILE: {printable(each.video.path)}"]
    if each.video.reel and each.video.reel != reel:
        comments.append(f"SOURCE REEL: {printable(each.video.reel)}")
    comments.append(f"SCORE: {each.score:.3f}")
    if each.evidence:
        comments.append(f"WHY: {printable(each.evidence)}")
    return {"reel": reel, "comments": comments}


def _timeline(
    excerpts: Excerpts, counts: dict[str, Counting], speeds: dict[str, float]
) -> otio.schema.Timeline:
    """The sequence, the frames of each video counted at the speed given for its id."""
    import opentimelineio as otio

    timeline = otio.schema.Timeline(title_of(excerpts))
    track = otio.schema.Track("V1", kind=otio.schema.TrackKind.Video)
    timeline.tracks.append(track)
    for each in excerpts.excerpts:
        video_id = each.video.video_id
        track.append(_clip(each, counts[video_id], speeds[video_id]))
    return timeline


def _clip(each: Excerpt, count: Counting, speed: float) -> otio.schema.Clip:
    import opentimelineio as otio

    def frames(first: int, n: int) -> otio.opentime.TimeRange:
        at, long = (otio.opentime.RationalTime(number, speed) for number in (first, n))
        return otio.opentime.TimeRange(at, long)

    first, end = count.span(each)
    media = otio.schema.ExternalReference(
        file_url(each.video.paths), frames(count.start, count.n_frames)
    )
    media.name = name(each.video)
    clip = otio.schema.Clip(
        name(each.video),
        media,
        frames(first, end - first),
        metadata={
            "vidsearch": {
                "rank": each.rank,
                "video_id": each.video.video_id,
                "shot": each.shot,
                "start_s": each.start_s,
                "end_s": each.end_s,
                "score": each.score,
                "context_score": each.context_score,
                "evidence": printable(each.evidence),
                "reel": each.video.reel,
                "counted_by_time": count.by_time,
            }
        },
    )
    for seen in each.people:
        clip.markers.append(
            otio.schema.Marker(
                printable(f"{seen.name} {seen.probability:.2f}"),
                frames(count.frame_at(each, seen.time_s), 1),
                otio.schema.MarkerColor.YELLOW,
                {
                    "vidsearch": {
                        "person": printable(seen.name),
                        "probability": seen.probability,
                        "time_s": seen.time_s,
                        "box": [float(edge) for edge in seen.box],
                        "reference": printable(seen.reference),
                    }
                },
            )
        )
    return clip
