"""Where people are on screen in an archive: one, several together, and for how long.

Probabilities are those of face tracks (`vidsearch.identities`), the times of an interval are what
`vidsearch.presence` makes of the tracks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vidsearch import identities
from vidsearch.copies import best_first
from vidsearch.errors import InvalidQuery
from vidsearch.everybody import everybody
from vidsearch.listing import Listing
from vidsearch.presence import Spans, all_of, joined, of_tracks
from vidsearch.records import Box, Ints, Person, Rows

if TYPE_CHECKING:
    from idclip.identity import IdentityScorer
    from vidsearch.identities import Seen

By = Literal["person", "video"]


@dataclass(frozen=True)
class Appearance:
    """One person on screen: seconds `[start_s, end_s)`, frames `[start_frame, end_frame)`.

    It runs through the shots `first_shot` to `last_shot`. `probability` is the mean of its tracks'
    by their seconds. `time_s`, `box` and `reference` are its evidence: when and where the face is
    that fits best in the most probable track, and which reference photo it resembles.
    """

    person: str
    person_id: str
    video: str
    video_id: str
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    probability: float
    first_shot: int
    last_shot: int
    time_s: float
    box: Box
    reference: str

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Together:
    """Several people on screen at the same time; times, frames and shots as of `Appearance`.

    `people` are in the order asked for; `probability` is the product of theirs.
    """

    people: tuple[str, ...]
    video: str
    video_id: str
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    probability: float
    first_shot: int
    last_shot: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class ScreenTime:
    """How long a person is on screen, or a video shows somebody: `name` and `id` are of that.

    `probability` is the mean of the `appearances`' by their seconds. Of a person `people` is 1 and
    `videos` the number that show them; of a video `videos` is 1, `people` the number it shows, and
    `seconds` the time in which at least one of them is on screen.
    """

    name: str
    id: str
    seconds: float
    probability: float
    appearances: int
    people: int
    videos: int


def appearances(
    rows: Rows,
    scorer: IdentityScorer,
    person: Person,
    enrolled: Sequence[Person],
    *,
    threshold: float,
) -> Listing[Appearance]:
    """Where `person` is on screen in all videos of `rows`, by video and time.

    `enrolled` is everybody the archive knows, `threshold` the least probability of a track.
    """
    seen = everybody(rows, scorer, [person], enrolled, threshold)
    return Listing(Appearance, [a for one in seen for a in appearances_of(rows, one, threshold)])


def appearances_of(rows: Rows, seen: Seen, threshold: float) -> Iterator[Appearance]:
    """The appearances of somebody whose tracks are known, by video and time."""
    spans = _spans(rows, seen, threshold)
    look = seen.look[spans.track]
    paths = _paths(rows, rows.shot_video[spans.first_shot])
    for n in range(len(spans)):
        video = int(rows.shot_video[spans.first_shot[n]])
        x0, y0, x1, y1 = map(float, rows.look_boxes[look[n]])
        yield Appearance(
            seen.person.name,
            seen.person.person_id,
            paths[video],
            rows.videos[video].video_id,
            float(spans.start_s[n]),
            float(spans.end_s[n]),
            int(spans.start_frame[n]),
            int(spans.end_frame[n]),
            float(spans.probability[n]),
            int(rows.shot_index[spans.first_shot[n]]),
            int(rows.shot_index[spans.last_shot[n]]),
            float(rows.look_s[look[n]]),
            (x0, y0, x1, y1),
            identities.reference(seen, int(spans.track[n])),
        )


def together(people: Sequence[Sequence[Appearance]]) -> Listing[Together]:
    """When all are on screen, given the appearances of each, of two people at least.

    The appearances of a person do not overlap. Gives them by video and time.
    """
    if not all(people):
        return Listing(Together, ())
    common = [_alone(each) for each in people[0]]
    for others in people[1:]:
        common = list(_meetings(common, others))
    return Listing(Together, common)


def screen_time(
    rows: Rows,
    scorer: IdentityScorer,
    people: Sequence[Person],
    enrolled: Sequence[Person],
    by: By,
    *,
    threshold: float,
) -> Listing[ScreenTime]:
    """How long each of `people`, or each video any of them, is on screen; the longest first.

    Who or what has no time is left out. Raises `InvalidQuery` for another `by`.
    """
    if by not in ("person", "video"):
        raise InvalidQuery(f'screen time is told by "person" or by "video", not by "{by}"')
    spans = [
        (seen.person, _spans(rows, seen, threshold))
        for seen in everybody(rows, scorer, people, enrolled, threshold)
    ]
    found = (
        _of_people(rows, spans) if by == "person" else _of_videos(rows, [own for _, own in spans])
    )
    return Listing(ScreenTime, sorted(found, key=lambda each: (-each.seconds, each.name)))


def _spans(rows: Rows, seen: Seen, threshold: float) -> Spans:
    tracks = np.flatnonzero(seen.probability >= threshold)
    return joined(rows, of_tracks(rows, tracks, seen.probability[tracks]))


def _paths(rows: Rows, videos: Ints) -> dict[int, str]:
    """The path to show of each video: of several copies one that is there."""
    return {int(video): best_first(rows.videos[video]).path for video in np.unique(videos)}


def _alone(one: Appearance) -> Together:
    return Together(
        (one.person,),
        one.video,
        one.video_id,
        one.start_s,
        one.end_s,
        one.start_frame,
        one.end_frame,
        one.probability,
        one.first_shot,
        one.last_shot,
    )


def _meetings(common: Sequence[Together], others: Sequence[Appearance]) -> Iterator[Together]:
    """Where intervals of both lie over each other; neither list's own overlap."""
    by_video: dict[str, list[Appearance]] = {}
    for other in others:
        by_video.setdefault(other.video_id, []).append(other)
    for one in common:
        for other in by_video.get(one.video_id, ()):
            if other.start_frame < one.end_frame and one.start_frame < other.end_frame:
                yield _common(one, other)


def _common(one: Together, other: Appearance) -> Together:
    return Together(
        (*one.people, other.person),
        one.video,
        one.video_id,
        max(one.start_s, other.start_s),
        min(one.end_s, other.end_s),
        max(one.start_frame, other.start_frame),
        min(one.end_frame, other.end_frame),
        one.probability * other.probability,
        max(one.first_shot, other.first_shot),
        min(one.last_shot, other.last_shot),
    )


def _of_people(rows: Rows, spans: Sequence[tuple[Person, Spans]]) -> Iterator[ScreenTime]:
    for person, own in spans:
        if len(own):
            seconds = float(own.seconds.sum())
            yield ScreenTime(
                person.name,
                person.person_id,
                seconds,
                float(own.seconds @ own.probability) / seconds,
                len(own),
                1,
                len(np.unique(rows.shot_video[own.first_shot])),
            )


def _of_videos(rows: Rows, spans: Sequence[Spans]) -> Iterator[ScreenTime]:
    every = all_of(spans)
    video = rows.shot_video[every.first_shot]
    whole = joined(rows, every)
    n = len(rows.videos)
    seconds = np.bincount(rows.shot_video[whole.first_shot], whole.seconds, n)
    each = np.bincount(video, every.seconds, n)
    expected = np.bincount(video, every.seconds * every.probability, n)
    count = np.bincount(video, minlength=n)
    people = sum(
        (np.bincount(np.unique(rows.shot_video[own.first_shot]), minlength=n) for own in spans),
        np.zeros(n, np.int64),
    )
    for at, path in _paths(rows, video).items():
        yield ScreenTime(
            path,
            rows.videos[at].video_id,
            float(seconds[at]),
            float(expected[at] / each[at]),
            int(count[at]),
            int(people[at]),
            1,
        )
