"""From a question to a ranked list of shots with evidence.

Every shot has, for each person asked for, the probability that one of its face tracks is that
person, and for the context the odds that a keyframe fits it (`vidsearch.context`). They are
multiplied, and the odds of the best keyframe are the shot's score:

    odds  = (P(first person) * P(second person) * ...) ^ IDENTITY * odds of the context
    score = odds / (1 + odds)

so that the score is the context's own where nobody was asked for, and P where nothing else was.
Odds, because the context's score ends at 1, where it can no longer tell the good from the very
good. `IDENTITY` was chosen on people and scenes that are in no test; against the plain product of
P and score this found more on all four test sets (`benchmarks/identity_in_context.py`).

- A track can be one person only (`vidsearch.identities`).
- In a long shot, which is searched by parts, a person counts fully in the parts in which their
  track is seen and less in the others (`_AWAY`): who has turned away is probably still there.
- A context always ranks something. Where the best score is under `WEAK` the answer says so beside
  its hits; it does not hide them, because right answers may score low (see `vidsearch.context`).
- An encoder whose texts can hold people (an Id-CLIP) is asked twice, with "a person" and with the
  person's own token, and the geometric mean of both odds counts.
- Only shots in which everybody has at least `threshold` are hits: the answer to a question for
  somebody who is in no shot is "No shot shows Joe Biden (best probability 0.04)".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from idclip.encoders import encode_people, takes_people
from idclip.identity import IdentityScorer
from vidsearch import identities
from vidsearch.context import background_of, log_odds, score_of
from vidsearch.copies import matches
from vidsearch.errors import UnknownPerson
from vidsearch.gallery import mean_faces
from vidsearch.identities import Mask, Seen, reference
from vidsearch.records import Answer, Hit, Ints, Person, Reals, Rows, Sighting, Video

if TYPE_CHECKING:
    from idclip.encoders import Encoder
    from vidsearch.query import Query

THRESHOLD = 0.5
IDENTITY = 0.5
WEAK = 0.1  # a best context score under this is told: nothing fits well
# A person's weight in a part of a shot from which their track is absent: falls from 1 to _AWAY
# with the time to the track's nearest end, over _AWAY_S seconds.
_AWAY, _AWAY_S = 0.5, 5.0
_LEAST = 1e-12  # a probability under it is none


@dataclass(frozen=True, eq=False)
class _Within:
    """What `videos`, `since` and `until` leave to be searched."""

    shots: Mask
    keyframes: Mask
    tracks: Mask
    looks: Mask


def search(
    rows: Rows,
    encoder: Encoder,
    scorer: IdentityScorer,
    query: Query,
    enrolled: Sequence[Person],
    *,
    k: int = 10,
    threshold: float = THRESHOLD,
    videos: str | None = None,
    since: float | None = None,
    until: float | None = None,
) -> Answer:
    """The `k` best shots for a question, with evidence, or the sentence that says there are none.

    `enrolled` is everybody the archive knows: the people asked for and those they compete with.
    `threshold` is the least probability with which a hit shows each person. `videos` is a glob
    for paths or file names; `since` and `until` are seconds from the start of each video: shots
    that reach into that time are searched, by the parts and tracks that do.

    A name in the text that nobody is enrolled under gives no hits and a message with near names
    and the remedy; one that was forced raises `UnknownPerson` with that message.
    """
    if query.unknown:
        return _strangers(query)
    within = _within(rows, videos, since, until)
    if not within.shots.any():
        return _nothing(query, _nowhere(rows, videos))
    seen = [
        identities.seen(rows, scorer, p, enrolled, within.tracks, threshold) for p in query.people
    ]
    per_shot = [_best_of_shots(rows, person.probability) for person in seen]
    shown = within.shots & np.all([p >= threshold for p in per_shot], axis=0)
    if not shown.any():
        return _nothing(query, _not_shown(seen, per_shot, threshold))
    keyframes = np.flatnonzero(shown[rows.keyframe_shot] & within.keyframes)
    context = _context(rows, encoder, scorer, query, keyframes) if query.context else None
    score = _fused(context, [_in_parts(rows, who, keyframes, threshold) for who in seen])
    hits = []
    for rank, at in enumerate(_best_parts(rows, keyframes, score, k), 1):
        context_score = None if context is None else float(score_of(context[at]))
        sightings = tuple(
            _sighting(rows, p, int(keyframes[at]), threshold, within.looks) for p in seen
        )
        hits.append(
            _hit(rows, rank, int(keyframes[at]), float(score[at]), context_score, sightings)
        )
    message = _doubt(query, max((hit.context_score or 0 for hit in hits), default=0))
    return Answer(query.text, _names(query), query.context, message, tuple(hits))


def _within(rows: Rows, videos: str | None, since: float | None, until: float | None) -> _Within:
    wanted = np.array([videos is None or _matches(video, videos) for video in rows.videos], bool)
    after = 0.0 if since is None else since
    before = np.inf if until is None else until
    shots = wanted[rows.shot_video] & (rows.shot_end_s > after) & (rows.shot_start_s < before)
    parts = (rows.part_end_s > after) & (rows.part_start_s < before)
    tracks = (rows.track_end_s >= after) & (rows.track_start_s < before)
    looks = (rows.look_s >= after) & (rows.look_s < before)
    return _Within(shots, parts & shots[rows.keyframe_shot], tracks & shots[rows.track_shot], looks)


def _matches(video: Video, glob: str) -> bool:
    """Whether a path of the video, or its file name, matches."""
    return any(matches(path, glob) for path in video.paths)


def _best_of_shots(rows: Rows, probability: Reals) -> Reals:
    best = np.zeros(len(rows.shot_video))
    np.maximum.at(best, rows.track_shot, probability)
    return best


def _in_parts(rows: Rows, seen: Seen, keyframes: Ints, threshold: float) -> Reals:
    """A person's probability in the parts that `keyframes` stand for, those without them less."""
    tracks = np.flatnonzero(seen.probability >= threshold)
    shots = rows.keyframe_shot[keyframes]
    first = np.searchsorted(shots, rows.track_shot[tracks], "left")
    count = np.searchsorted(shots, rows.track_shot[tracks], "right") - first
    # Every pair of a track and a keyframe of its shot.
    track = np.repeat(tracks, count)
    part = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    weighed = np.zeros(len(keyframes))
    np.maximum.at(weighed, part, _present(rows, seen, track, keyframes[part]))
    return weighed


def _present(rows: Rows, seen: Seen, track: Ints, keyframe: Ints) -> Reals:
    gap = np.maximum(
        rows.part_start_s[keyframe] - rows.track_end_s[track],
        rows.track_start_s[track] - rows.part_end_s[keyframe],
    )
    presence = _AWAY + (1 - _AWAY) * np.exp(-np.maximum(gap, 0) / _AWAY_S)
    return np.asarray(seen.probability[track] * presence)


def _fused(context: NDArray[np.float32] | None, people: Sequence[Reals]) -> Reals:
    """The score of each keyframe: see the module. `context` are log odds, one of both is there."""
    if context is None:
        return np.asarray(np.prod(people, axis=0), np.float64)
    found: Reals = context.astype(np.float64)
    for probability in people:
        found = found + IDENTITY * np.log(np.maximum(probability, _LEAST))
    return 1 / (1 + np.exp(-found))


def _context(
    rows: Rows, encoder: Encoder, scorer: IdentityScorer, query: Query, keyframes: Ints
) -> NDArray[np.float32]:
    """Log odds of each keyframe."""
    vectors = rows.keyframe_vectors
    chosen = vectors if len(keyframes) == len(vectors) else vectors[keyframes]
    text = query.context
    background = background_of(encoder)  # type: ignore[arg-type]  # a Protocol is not Hashable
    typical, scale = rows.typical_picture, encoder.logit_scale
    asked = encode_people(encoder, text) if query.people else encoder.encode_texts([text])
    found = log_odds(chosen, asked, background, typical, scale)
    if query.marks and takes_people(encoder):
        faces = mean_faces(query.marks, scorer).vectors
        named = encoder.encode_texts([query.marked], [faces])
        found = np.mean([found, log_odds(chosen, named, background, typical, scale)], axis=0)
    return found


def _best_parts(rows: Rows, keyframes: Ints, score: Reals, k: int) -> Ints:
    """The best keyframe of each of the `k` best shots, as places in `keyframes`, best first."""
    order = np.lexsort((keyframes, -score))  # keyframes are in archive order: ties stay in it
    _, first = np.unique(rows.keyframe_shot[keyframes[order]], return_index=True)
    return order[np.sort(first)[:k]]


def _sighting(rows: Rows, seen: Seen, keyframe: int, threshold: float, wanted: Mask) -> Sighting:
    """The track by which a person counts in a part, at the look that fits them best.

    Where that look lies outside the time asked for, the clearest of the `wanted` ones is shown.
    """
    shot = rows.keyframe_shot[keyframe]
    tracks = np.flatnonzero((rows.track_shot == shot) & (seen.probability >= threshold))
    present = _present(rows, seen, tracks, np.full(len(tracks), keyframe))
    track = tracks[np.argmax(present)]
    look = seen.look[track]
    inside = np.flatnonzero((rows.look_track == track) & wanted)
    if not wanted[look] and len(inside):
        look = inside[np.argmax(rows.look_quality[inside])]
    x0, y0, x1, y1 = map(float, rows.look_boxes[look])
    return Sighting(
        seen.person.name,
        float(seen.probability[track]),
        float(rows.look_s[look]),
        (x0, y0, x1, y1),
        reference(seen, int(track)),
    )


def _hit(
    rows: Rows,
    rank: int,
    keyframe: int,
    score: float,
    context_score: float | None,
    people: tuple[Sighting, ...],
) -> Hit:
    shot = int(rows.keyframe_shot[keyframe])
    video = rows.videos[rows.shot_video[shot]]
    if context_score is None:
        # Asked for a person alone, the moment is where their face is the evidence.
        first, last = np.searchsorted(rows.keyframe_shot, [shot, shot + 1])
        keyframe = first + int(np.argmin(np.abs(rows.keyframe_s[first:last] - people[0].time_s)))
    return Hit(
        rank,
        video.path,
        video.video_id,
        int(rows.shot_index[shot]),
        float(rows.shot_start_s[shot]),
        float(rows.shot_end_s[shot]),
        float(rows.keyframe_s[keyframe]),
        score,
        context_score,
        people,
    )


def _doubt(query: Query, best: float) -> str:
    """What to say beside hits of which none fits the context well."""
    if not query.context or best >= WEAK:
        return ""
    doubt = f"No shot fits the context well (best score {best:.2f})"
    if query.perhaps:
        doubt += (
            f'; if "{query.perhaps}" is a person, enrol them with: '
            f'vidsearch people add "{query.perhaps}" PHOTO...'
        )
    return doubt


def _names(query: Query) -> tuple[str, ...]:
    return tuple(person.name for person in query.people)


def _nothing(query: Query, message: str) -> Answer:
    return Answer(query.text, _names(query), query.context, message, ())


def _strangers(query: Query) -> Answer:
    message = "\n".join(name.message() for name in query.unknown)
    if any(name.forced for name in query.unknown):
        raise UnknownPerson(message)
    return _nothing(query, message)


def _nowhere(rows: Rows, videos: str | None) -> str:
    if not len(rows.shot_video):
        return "The archive holds no shots yet: index some videos first"
    if videos is not None and not any(_matches(video, videos) for video in rows.videos):
        return f"No video matches {videos}"
    return "No shot lies in the time asked for"


def _not_shown(seen: Sequence[Seen], per_shot: Sequence[Reals], threshold: float) -> str:
    """Who is missing, and by how much; or that those asked for are nowhere together."""
    best = [float(probability.max(initial=0.0)) for probability in per_shot]
    missing = [
        f"No shot shows {person.person.name} (best probability {top:.2f})"
        for person, top in zip(seen, best, strict=True)
        if top < threshold
    ]
    if missing:
        return "; ".join([missing[0], *(f"n{sentence[1:]}" for sentence in missing[1:])])
    counts = ", ".join(
        f"{person.person.name} is in {int((probability >= threshold).sum())}"
        for person, probability in zip(seen, per_shot, strict=True)
    )
    names = " and ".join(person.person.name for person in seen)
    return f"No shot shows {names} together ({counts})"
