"""From all the shots that answer a question, best first, to the page of them that is shown.

Three wishes are met here: a page further down (`offset`), one shot of each video (`by_video`), and
no two pictures that look the same (`diverse`).

Near-doubles are told by their keyframe vectors. A cosine alone means nothing across encoders (see
`vidsearch.context`), so the archive's mean picture is taken from each vector first; from then on
two pictures that have nothing to do with each other have a cosine near 0 with any encoder, and the
same picture one near 1. `SAME` lies between: of photos beside a cropped copy 98 % reach it, beside
a brighter one 99 %, one with a title 92 %, but only half of those beside one of half the size,
encoded badly; of all pairs of different photos 0.05 % (`benchmarks/near_doubles.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vidsearch.errors import InvalidQuery
from vidsearch.records import Ints, Vector

SAME = 0.85  # cosine of two pictures, the mean picture taken away, from which they are near-doubles
_AT_ONCE = 256  # shots looked at in one product


@dataclass(frozen=True)
class Paging:
    """Which of the shots that answer are shown: `k` of them after the first `offset`.

    `by_video` shows the best shot of each video only, `diverse` leaves out every shot whose
    picture is nearly that of a better one.
    """

    k: int = 10
    offset: int = 0
    diverse: bool = False
    by_video: bool = False


def paging(k: int, offset: int, group_by: str | None, diverse: bool) -> Paging:
    """The wishes as people say them; raises `InvalidQuery` for those that cannot be met."""
    if k < 1 or offset < 0:
        raise InvalidQuery(
            f"{k} shots after the first {offset} cannot be shown: ask for one at least"
        )
    if group_by not in (None, "video"):
        raise InvalidQuery(f"Shots cannot be grouped by {group_by!r}, only by 'video'")
    return Paging(k, offset, diverse, by_video=group_by == "video")


@dataclass(frozen=True, eq=False)
class Page:
    """What is shown.

    `places` [P] are the places of the shots shown in the order that was given, best first; their
    ranks are `offset + 1` and so on. `others` [P] says how many more shots of the same video
    answer, `doubles` [P] how many near-doubles of each were left out (as far as was looked: all
    that are better than the last shot shown). `shots` is the number of all that answer and
    `videos` of how many videos they are. `further` is whether anything comes after this page.
    """

    places: Ints
    others: Ints
    doubles: Ints
    shots: int
    videos: int
    further: bool


def page(
    video: Ints, keyframe: Ints, vectors: Vector, typical: Vector, paging: Paging = Paging()
) -> Page:
    """The page of shots that is shown, a pure function of their order.

    `video` [N] and `keyframe` [N] are, for each shot that answers, best first, its video and its
    best keyframe, as row numbers; `vectors` [K, D] are of all keyframes, unit length, `typical`
    [D] is their mean (`Rows.typical_picture`).
    """
    end = paging.offset + paging.k
    chosen: list[int] = []
    doubles: list[int] = []
    for place, double_of in _kept(video, keyframe, vectors, typical, paging):
        if double_of is not None:
            doubles[double_of] += 1
        elif len(chosen) == end:
            chosen.append(place)  # only to know that something follows
            break
        else:
            chosen.append(place)
            doubles.append(0)
    places = np.array(chosen[paging.offset : end], np.int64)
    per_video = np.bincount(video) if len(video) else np.zeros(0, np.int64)
    return Page(
        places,
        per_video[video[places]] - 1,
        np.array(doubles[paging.offset : end], np.int64),
        len(video),
        int(np.count_nonzero(per_video)),
        len(chosen) > end,
    )


def _kept(
    video: Ints, keyframe: Ints, vectors: Vector, typical: Vector, paging: Paging
) -> Iterator[tuple[int, int | None]]:
    """The places that are shown, each with None; between them near-doubles, each with the number
    of the shown one that it is a double of.
    """
    if not (paging.diverse or paging.by_video):
        yield from ((place, None) for place in range(len(video)))
        return
    seen: set[int] = set()
    shown = np.zeros((0, len(typical)), np.float32)
    for start in range(0, len(video), _AT_ONCE):
        pictures = centred(vectors[keyframe[start : start + _AT_ONCE]], typical)
        for at, picture in enumerate(pictures):
            place = start + at
            if paging.by_video and int(video[place]) in seen:
                continue
            if paging.diverse and len(shown):
                likeness = shown @ picture
                nearest = int(np.argmax(likeness))
                if likeness[nearest] >= SAME:
                    yield place, nearest
                    continue
            seen.add(int(video[place]))
            if paging.diverse:
                shown = np.concatenate([shown, picture[None]])
            yield place, None


def centred(vectors: Vector, typical: Vector) -> Vector:
    """Directions from the mean picture, of unit length; 0 for a picture that is the mean itself."""
    away = vectors - typical
    length = np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(away / np.where(length > 1e-4, length, np.inf), np.float32)


def beyond(page: Page, paging: Paging) -> str:
    """What to say where a page is empty because it lies after the last shot; "" where it does not.

    Nothing is said where no shot answers at all: that has its own sentence.
    """
    if len(page.places) or not page.shots:
        return ""
    answer = f"{page.shots} shots answer" if page.shots > 1 else "1 shot answers"
    if paging.by_video:
        answer += f", of {page.videos} videos" if page.videos > 1 else ", of 1 video"
    left_out = ", near-doubles left out" if paging.diverse else ""
    return f"Nothing comes after the first {paging.offset}: {answer}{left_out}"
