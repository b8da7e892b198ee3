"""Who is in which face track: the probability of a person over all tracks of an archive.

The more people are enrolled, the more evidence a name needs (`idclip.identity.Strangers`). A track
can be one person only. Where several enrolled people fit it, P is multiplied by the
person's share in the sum of all their odds, and only the one who fits best has it at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idclip.identity import Faces, IdentityScorer
from vidsearch.gallery import faces_of, mean_faces
from vidsearch.labels import said_of
from vidsearch.records import SAID_BY_HAND, Ints, Person, Reals, Rows, Vector

Mask = NDArray[np.bool_]
BY_HAND = -1


@dataclass(frozen=True, eq=False)
class Seen:
    """One person over all tracks of the archive.

    `probability` [T] is after everybody enrolled competed for the track, `alone` [T] before;
    `look` and `photo` [T] are the row of the look and the number of the photo that fit best;
    `photo` is `BY_HAND` where somebody said who it is.
    """

    person: Person
    probability: Reals
    alone: Reals
    look: Ints
    photo: Ints


def seen(
    rows: Rows,
    scorer: IdentityScorer,
    person: Person,
    enrolled: Sequence[Person],
    tracks: Mask,
    threshold: float,
) -> Seen:
    """`person` over all tracks; those without a True in `tracks` [T] get probability 0.

    `enrolled` is everybody the archive knows. `threshold` is the least probability that will
    matter: tracks far below it are not compared with everybody else.
    """
    alone, look, photo = _probabilities(rows, scorer, person, tracks, len(enrolled))
    probability = alone.copy()
    # Only tracks that may become evidence are worth the comparison with everybody else.
    close = alone >= threshold / 2
    rivals = [p for p in enrolled if p.photos and p.person_id != person.person_id]
    if close.any() and rivals:
        faces = mean_faces([person, *rivals], scorer)
        beside = _probabilities(rows, scorer, person, close, len(enrolled), faces.vectors[1:])[0]
        probability[close] = beside[close] * _share(rows, scorer, faces, look[close])
    return _as_said(rows, Seen(person, probability, alone, look, photo), tracks)


def _as_said(rows: Rows, found: Seen, tracks: Mask) -> Seen:
    """`found` with P 1 and 0 in the tracks of which somebody said who they are, or are not."""
    if not rows.labels:
        return found
    said = said_of(rows, found.person.person_id)
    are = said.are[tracks[said.are]]
    probability, alone = found.probability.copy(), found.alone.copy()
    look, photo = found.look.copy(), found.photo.copy()
    probability[said.are_not] = alone[said.are_not] = 0.0
    probability[are] = alone[are] = 1.0
    look[are], photo[are] = np.searchsorted(rows.look_track, are), BY_HAND  # a track's best look
    return Seen(found.person, probability, alone, look, photo)


def reference(found: Seen, track: int) -> str:
    """The photo that a track resembles most, or that somebody said who it is."""
    photo = int(found.photo[track])
    return SAID_BY_HAND if photo == BY_HAND else found.person.photos[photo].name


def _probabilities(
    rows: Rows,
    scorer: IdentityScorer,
    person: Person,
    tracks: Mask,
    enrolled: int,
    others: Vector | None = None,
) -> tuple[Reals, Ints, Ints]:
    """P(person) [T], best look and best photo [T], computed for the `tracks` told only.

    `others` [O, F] are the mean faces of the others who are enrolled, where these are to compete.
    """
    if not person.photos:
        nobody = np.zeros(len(tracks), np.int64)
        return np.zeros(len(tracks)), nobody, nobody
    looks = np.flatnonzero(tracks[rows.look_track])
    whole = len(looks) == len(rows.look_track)

    def of(column: NDArray[np.float32]) -> NDArray[np.float32]:
        return column if whole else column[looks]

    faces = Faces(
        of(rows.look_vectors),
        of(rows.look_quality),
        of(rows.look_cohort_mean),
        of(rows.look_cohort_std),
    )
    if others is not None:
        faces = scorer.beside(faces, others)
    owner, photos = rows.look_track[looks], faces_of(person)
    matches = scorer.probabilities(faces, owner, len(tracks), photos, enrolled=enrolled)
    look = looks[np.maximum(matches.look, 0)] if len(looks) else matches.look
    return matches.probability.astype(np.float64), look, matches.photo


def _share(rows: Rows, scorer: IdentityScorer, people: Faces, looks: Ints) -> Reals:
    """The share of the first of `people` in the odds of all of them, at these looks.

    0 where somebody else fits better. One look of a track and one mean face of a person, so that
    a thousand people are compared with a thousand tracks in one product.
    """
    shown = Faces(
        rows.look_vectors[looks],
        rows.look_quality[looks],
        rows.look_cohort_mean[looks],
        rows.look_cohort_std[looks],
    )
    odds = _odds(scorer.pairs(shown, people).astype(np.float64))
    own, others = odds[:, 0], odds[:, 1:]
    return np.where(own > others.max(axis=1, initial=0.0), own / odds.sum(axis=1), 0.0)


def _odds(probability: Reals) -> Reals:
    clipped = np.clip(probability, 1e-9, 1 - 1e-9)
    return clipped / (1 - clipped)
