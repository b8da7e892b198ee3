"""The pictures that show hits: frames of their files, or what the archive keeps of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from vidsearch.errors import VidsearchError
from vidsearch.photos import Picture, decode_jpeg
from vidsearch.records import Hit, Still
from vidsearch.sheet import grey_plate, moment_of


def pictures_of(
    hits: Sequence[Hit],
    read: Callable[[str, Sequence[float]], list[Picture]],
    thumbnail: Callable[[str, int, float], bytes],
) -> list[Still]:
    """The frame that shows each hit; each file is opened once.

    `read` gives the frames of a video (its id) at some times. Where it raises VidsearchError, for
    a file that is gone or damaged, the `thumbnail` (of a video id, shot and time; JPEG) stands in,
    and a grey plate where that was forgotten.
    """

    def stand_in(hit: Hit) -> Still:
        jpeg = thumbnail(hit.video_id, hit.shot, hit.keyframe_s)
        return Still(decode_jpeg(jpeg) if jpeg else grey_plate(), exact=False)

    moments: dict[str, list[float]] = defaultdict(list)
    for hit in hits:
        moments[hit.video_id].append(moment_of(hit))
    frames: dict[tuple[str, float], Picture] = {}
    for video_id, times in moments.items():
        # A file that is gone or damaged, a video that was removed since the question.
        with suppress(VidsearchError):
            pictures = read(video_id, times)
            frames |= {(video_id, at): p for at, p in zip(times, pictures, strict=True)}
    return [
        Still(frames[at]) if (at := (hit.video_id, moment_of(hit))) in frames else stand_in(hit)
        for hit in hits
    ]
