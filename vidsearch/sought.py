"""One person who is asked for, over the shots and keyframes of an archive.

A shot shows somebody where one of its face tracks has at least the threshold. In a long shot,
which is searched by parts, a person counts fully in the parts in which their track is seen and
less in the others: who has turned away is probably still there. `_AWAY` is reasoned, not measured:
no material at hand says where people are whom nobody sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idclip.identity import IdentityScorer
from vidsearch import identities, scenes
from vidsearch.filters import Within
from vidsearch.identities import Mask, Seen
from vidsearch.records import Ints, Person, Reals, Rows, Sighting

# A person's weight in a part of a shot from which their track is absent: falls from 1 to _AWAY
# with the time to the track's nearest end, over _AWAY_S seconds.
_AWAY, _AWAY_S = 0.5, 5.0
_REMEMBERED = 16  # people


@dataclass(frozen=True, eq=False)
class Sought:
    """One person over the archive.

    `seen` is what the faces say, `probability` [T] the same with the support of neighbouring
    shots, `per_shot` [S] the best track of each shot and `shown` [S] where that is enough.
    """

    rows: Rows
    seen: Seen
    probability: Reals
    per_shot: Reals
    shown: Mask
    threshold: float

    @property
    def person(self) -> Person:
        return self.seen.person

    @property
    def best(self) -> float:
        """The best probability of all."""
        return float(self.per_shot.max(initial=0.0))

    def in_parts(self, keyframes: Ints) -> tuple[Reals, Reals]:
        """P in the parts that `keyframes` (rising row numbers) stand for, 0 where nobody is shown.

        Beside it how much of that counts: less in parts of a shot without the track.
        """
        rows = self.rows
        tracks = np.flatnonzero(self.probability >= self.threshold)
        shots = rows.keyframe_shot[keyframes]
        first = np.searchsorted(shots, rows.track_shot[tracks], "left")
        count = np.searchsorted(shots, rows.track_shot[tracks], "right") - first
        # Every pair of a track and a keyframe of its shot.
        track = np.repeat(tracks, count)
        part = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
        counted = self._present(track, keyframes[part])
        order = np.argsort(counted, kind="stable")  # of several tracks the last one written counts
        track, part, counted = track[order], part[order], counted[order]
        sure, presence = np.zeros(len(keyframes)), np.ones(len(keyframes))
        sure[part] = self.probability[track]
        presence[part] = counted / np.maximum(self.probability[track], 1e-12)
        return sure, presence

    def tracks_in(self, shots: Ints) -> Ints:
        """The track by which the person is in each of `shots` [N], -1 where they are not shown."""
        tracks = np.flatnonzero(self.probability >= self.threshold)
        tracks = tracks[np.argsort(self.probability[tracks], kind="stable")]
        best = np.full(len(self.rows.shot_video), -1, np.int64)
        best[self.rows.track_shot[tracks]] = tracks  # the last one written is the surest
        return best[shots]

    def track_at(self, keyframe: int) -> int:
        """The track by which the person counts in the part of a keyframe; they must be shown."""
        shot = self.rows.keyframe_shot[keyframe]
        first, last = np.searchsorted(self.rows.track_shot, [shot, shot + 1])
        tracks = np.arange(first, last)
        tracks = tracks[self.probability[tracks] >= self.threshold]
        present = self._present(tracks, np.full(len(tracks), keyframe))
        return int(tracks[np.argmax(present)])

    def presence(self, track: int, keyframe: int) -> float:
        """How much of P counts in the part of a keyframe, from `_AWAY` to 1."""
        present = float(self._present(np.array([track]), np.array([keyframe]))[0])
        return present / max(float(self.probability[track]), 1e-12)

    def sighting(self, keyframe: int, wanted: Mask) -> Sighting:
        """The track by which the person counts in a part, at the look that fits them best.

        Where that look lies outside the time asked for, the clearest of the `wanted` ones is shown.
        """
        rows, track = self.rows, self.track_at(keyframe)
        look = self.seen.look[track]
        inside = np.flatnonzero((rows.look_track == track) & wanted)
        if not wanted[look] and len(inside):
            look = inside[np.argmax(rows.look_quality[inside])]
        x0, y0, x1, y1 = map(float, rows.look_boxes[look])
        return Sighting(
            self.person.name,
            float(self.probability[track]),
            float(rows.look_s[look]),
            (x0, y0, x1, y1),
            identities.reference(self.seen, track),
        )

    def _present(self, track: Ints, keyframe: Ints) -> Reals:
        rows = self.rows
        gap = np.maximum(
            rows.part_start_s[keyframe] - rows.track_end_s[track],
            rows.track_start_s[track] - rows.part_end_s[keyframe],
        )
        presence = _AWAY + (1 - _AWAY) * np.exp(-np.maximum(gap, 0) / _AWAY_S)
        return np.asarray(self.probability[track] * presence)


def seek(
    rows: Rows,
    scorer: IdentityScorer,
    person: Person,
    enrolled: Sequence[Person],
    within: Within,
    threshold: float,
) -> Sought:
    """`person` in the tracks that are searched; `enrolled` is everybody the archive knows.

    The rows remember the last few people, as long as the same ones are enrolled.
    """
    known, everybody = rows.remembered, tuple(enrolled)
    if known.get("enrolled") != everybody or len(known) > _REMEMBERED:
        known.clear()
        known["enrolled"] = everybody
    key = (scorer, person, threshold, within.tracks.tobytes())
    found: tuple[Seen, Reals, Reals] | None = known.get(key)
    if found is None:
        least = scenes.could_be_raised(threshold)
        seen = identities.seen(rows, scorer, person, enrolled, within.tracks, least)
        probability = scenes.supported(rows, seen, threshold)
        found = known[key] = seen, probability, scenes.best_of_shots(rows, probability)
    return Sought(rows, *found, found[2] >= threshold, threshold)
