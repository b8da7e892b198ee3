"""Where people may be in a large archive: looked for among all its faces, by an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from idclip.identity import Faces, IdentityScorer
from vidsearch import scenes
from vidsearch.gallery import faces_of, mean_faces
from vidsearch.labels import NEAR_S
from vidsearch.lookup import Lookup, taken
from vidsearch.records import Ints, Person, Reals
from vidsearch.rows import Arrays

_LOOKS = (512, 2048, 8192, 32_768)  # of one person
_DOUBTFUL = 0.05  # a look's probability, as a share of what counts, from which its shot is read
_NEAREST = 5  # looks whose shots are read anyway: they say how probable the likeliest one is


@dataclass(frozen=True, eq=False)
class Spots:
    """Where a person may be: places of shots [N], the surest first, with probabilities [N].

    `all` is whether nobody like them can be elsewhere.
    """

    places: Ints
    probability: Reals
    all: bool

    @cached_property
    def sorted(self) -> Ints:
        """The places in their own order."""
        return np.sort(self.places)

    def surest(self, least: float) -> Ints:
        """The places with at least that probability."""
        return self.places[self.probability >= least]


class Seen:
    """Looks for people among all faces of an archive."""

    def __init__(
        self,
        lookup: Lookup,
        scorer: IdentityScorer,
        enrolled: Sequence[Person],
        threshold: float,
        where: str | None,
    ) -> None:
        self._lookup = lookup
        self._scorer = scorer
        self._enrolled = len(enrolled)
        self._least = scenes.could_be_raised(threshold) * _DOUBTFUL
        self._where = where

    def spots(self, person: Person) -> Spots:
        """Where `person` may be; the last few people are remembered."""
        photos = tuple(photo.sha256 for photo in person.photos)
        key = (person.person_id, photos, self._enrolled, self._least, self._where)
        found: Spots = self._lookup.remembered.of(key, lambda: self._found(person))
        return found

    def _found(self, person: Person) -> Spots:
        said = self._said(person)
        if not person.photos:
            return Spots(said, np.ones(len(said)), True)
        face = mean_faces([person], self._scorer).vectors[0]
        for n in _LOOKS:
            looks = self._lookup.nearest_faces(face, n, self._where)
            probability = self._judged(person, looks)
            farthest = probability[-max(1, n // 10) :]
            done = len(probability) < n or not (farthest >= self._least).any()
            if done:
                break
        place = looks["place"]
        kept = probability >= self._least
        kept[:_NEAREST] = True
        order = np.argsort(-probability[kept], kind="stable")
        place, sure = place[kept][order], probability[kept][order]
        place = np.concatenate([said, place])
        sure = np.concatenate([np.ones(len(said)), sure])
        _, first = np.unique(place, return_index=True)
        first = np.sort(first)
        return Spots(place[first], sure[first], done)

    def _judged(self, person: Person, looks: Arrays) -> Reals:
        """P(person) of the track of each look [N], as far as its looks are among these."""
        order = np.lexsort((looks["track"], looks["place"]))
        looks = taken(looks, order)
        new = np.ones(len(order), bool)
        new[1:] = np.diff(looks["place"]) != 0
        new[1:] |= np.diff(looks["track"]) != 0
        owner = np.cumsum(new) - 1
        faces = Faces(looks["vector"], looks["quality"], looks["cohort_mean"], looks["cohort_std"])
        tracks = int(owner[-1]) + 1 if len(owner) else 0
        matches = self._scorer.probabilities(
            faces, owner, tracks, faces_of(person), enrolled=self._enrolled
        )
        probability = np.zeros(len(order))
        probability[order] = matches.probability[owner]
        return probability

    def _said(self, person: Person) -> Ints:
        """The places of shots in which somebody said that a face is theirs."""
        labels = [
            label
            for label in self._lookup.labels
            if label.person_id == person.person_id and label.is_person and label.kind == "person"
        ]
        if not labels:
            return np.zeros(0, np.int64)
        generation = {video.video_id: n for n, video in self._lookup.videos.items()}
        ids = {generation[each.video_id] for each in labels if each.video_id in generation}
        shots = self._lookup.shots(sorted(ids))
        near = np.zeros(len(shots["place"]), bool)
        for label in labels:
            near |= (
                (shots["generation"] == generation.get(label.video_id, -1))
                & (shots["start_s"] - NEAR_S <= label.time_s)
                & (shots["end_s"] + NEAR_S >= label.time_s)
            )
        return np.unique(shots["place"][near])
