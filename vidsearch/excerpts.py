"""Excerpts: the parts of videos that leave the archive, whatever found them.

Hits of a question and appearances of people become the same thing here, so that every format, clips
and reports are written once. Frames are exact: they come from the archive's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidsearch.errors import VidsearchError
from vidsearch.records import SAID_BY_HAND, Answer, Hit, Sighting, Video
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    from vidsearch.appearances import Appearance
    from vidsearch.store import ShotRow

_SAME_S = 1e-3


@dataclass(frozen=True)
class Excerpt:
    """Frames `[start_frame, end_frame)`, seconds `[start_s, end_s)` of a video, and why.

    `keyframe_s` is the moment that shows it best. `score` is the hit's, or the probability of an
    appearance; `context_score` is None where there was no context. Raises VidsearchError for what
    lies beyond the video's end, or lasts no time.
    """

    rank: int
    video: Video
    shot: int
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    keyframe_s: float
    score: float
    context_score: float | None
    people: tuple[Sighting, ...]

    def __post_init__(self) -> None:
        length = self.video.duration_s
        if not (0 <= self.start_s < self.end_s) or self.end_frame <= self.start_frame:
            raise VidsearchError(
                f"{self.video.path}: there is nothing from {self.start_s:g} to {self.end_s:g} s"
            )
        if length and self.end_s > length + _SAME_S:
            raise VidsearchError(
                f"{self.video.path}: it is {timecode(length)} long, and the excerpt ends at"
                f" {timecode(self.end_s)}"
            )

    def as_hit(self) -> Hit:
        """The excerpt as a hit, which is what pictures and sheets are made of."""
        return Hit(
            self.rank,
            self.video.path,
            self.video.video_id,
            self.shot,
            self.start_s,
            self.end_s,
            self.keyframe_s,
            self.score,
            self.context_score,
            self.people,
        )

    @property
    def title(self) -> str:
        """Who is in it with their probabilities, else the score."""
        people = [f"{seen.name} {seen.probability:.2f}" for seen in self.people]
        return ", ".join(people) or f"score {self.score:.2f}"

    @property
    def evidence(self) -> str:
        """Why, in one line."""
        why = [
            f"{seen.name} {seen.probability:.2f} at {timecode(seen.time_s)}"
            + _resembles(seen.reference)
            for seen in self.people
        ]
        if self.context_score is not None:
            why.append(f"context {self.context_score:.2f} at {timecode(self.keyframe_s)}")
        return "; ".join(why)


@dataclass(frozen=True)
class Excerpts:
    """What leaves the archive: excerpts in the order to show them, and the `title` they go by.

    `message` says why there are none, or that none of them fits well.
    """

    title: str
    excerpts: tuple[Excerpt, ...]
    message: str = ""

    @property
    def videos(self) -> tuple[Video, ...]:
        """The videos they are of, each once, in order."""
        return tuple({each.video.video_id: each.video for each in self.excerpts}.values())

    def of(self, video: Video) -> Excerpts:
        """Those of one video."""
        mine = tuple(e for e in self.excerpts if e.video.video_id == video.video_id)
        return replace(self, excerpts=mine)


def _resembles(reference: str) -> str:
    """What a face was known by, after the moment of it."""
    said = reference == SAID_BY_HAND
    return f", {reference}" if said else f" like {reference}" if reference else ""


def of_answer(
    answer: Answer,
    video: Callable[[str], Video],
    shots: Callable[[str], Sequence[ShotRow]],
) -> Excerpts:
    """The shots of an answer; `video` and `shots` look an id up.

    Raises VidsearchError for a shot that has left the archive since the question.
    """
    known: dict[str, dict[int, ShotRow]] = {}
    found = []
    for hit in answer.hits:
        if hit.video_id not in known:
            known[hit.video_id] = {shot.index: shot for shot in shots(hit.video_id)}
        shot = known[hit.video_id].get(hit.shot)
        if shot is None or shot.start_s != hit.start_s:
            raise VidsearchError(f"{hit.video} was indexed anew since the question: ask again")
        found.append(
            Excerpt(
                hit.rank,
                video(hit.video_id),
                hit.shot,
                hit.start_s,
                hit.end_s,
                shot.start_frame,
                shot.end_frame,
                hit.keyframe_s,
                hit.score,
                hit.context_score,
                hit.people,
            )
        )
    return Excerpts(answer.query or ", ".join(answer.people), tuple(found), answer.message)


def of_appearances(
    title: str, appearances: Iterable[Appearance], video: Callable[[str], Video]
) -> Excerpts:
    """Appearances of people, by video and time; `video` looks an id up."""
    found = [
        Excerpt(
            rank,
            video(each.video_id),
            each.first_shot,
            each.start_s,
            each.end_s,
            each.start_frame,
            each.end_frame,
            each.time_s,
            each.probability,
            None,
            (Sighting(each.person, each.probability, each.time_s, each.box, each.reference),),
        )
        for rank, each in enumerate(appearances, 1)
    ]
    return Excerpts(title, tuple(found), "" if found else f"{title}: nobody is on screen")
