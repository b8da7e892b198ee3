"""Questions to a large archive: which shots are looked at, found by its indexes.

Up to `records.EXACT_BELOW` shots a question compares everything. A larger archive is asked in
two steps: indexes give candidates, a few hundred shots that may answer, and `vidsearch.search`
answers from the rows of these alone, by the very same code, with exact scores. So a score never
depends on an index; what does is only whether a shot is among the candidates.

- People first, never last. Whoever is asked for is looked for among all faces of the archive, so a
  person who is in one shot of ten million is found. The nearest looks are judged as the score will
  judge them, and more are read until the farthest of them are nobody's. The shots of everybody
  that the question wants are all read; only where that is very many shots the context narrows them,
  and then candidates of the context are kept that are among those shots.
- A context without people has the keyframes nearest to its direction in the space of vectors: log
  odds are a linear function of the vector, so the nearest are the best. Of contexts joined by
  "and" the keyframes nearest to all together are read too.
- "Not" takes away: as long as a shot that was not read might be better than the last of the page,
  by what the farthest candidate allows, or the page is not full, four times as many are read.
- Videos, dates and times narrow what the indexes look at. Lengths of shots and numbers of faces do
  so where they leave few shots; else shots without them are passed over among the candidates.

What that loses is measured in `benchmarks/scale.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from idclip.identity import Faces, IdentityScorer
from vidsearch import fits, scenes, scoring
from vidsearch.filters import Filters, nowhere, wanted_video
from vidsearch.gallery import faces_of, mean_faces
from vidsearch.labels import NEAR_S
from vidsearch.lookup import Lookup
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone, leaves
from vidsearch.records import Answer, Ints, Person, Reals, Rows, Vector
from vidsearch.rows import vectors_of
from vidsearch.search import EVERYTHING, FIRST_PAGE, THRESHOLD, answer_of, search
from vidsearch.selection import Paging

if TYPE_CHECKING:
    from idclip.encoders import Encoder
    from vidsearch.query import Query

DEPTHS = (400, 1600, 6400, 25_600)  # candidates of a context, of each direction
FEW_SHOTS = 2000  # so many shots are compared without asking an index for the nearest
_LOOKS = (512, 2048, 8192, 32_768)  # of one person
_DOUBTFUL = 0.05  # a look's probability, as a share of what counts, from which its shot is read
_NEAREST = 5  # looks whose shots are read anyway: they say how probable the likeliest one is
_DIRECTIONS = 12
_REMEMBERED = 256  # people
_UNKNOWN = -700.0  # log odds of shots of which only is known that there are more


@dataclass(frozen=True, eq=False)
class Spots:
    """Where a person may be: places of shots [N], the surest first, with probabilities [N].

    `all` is whether nobody like them can be elsewhere.
    """

    places: Ints
    probability: Reals
    all: bool


@dataclass(frozen=True)
class Narrowed:
    """What the filters leave: published generations, None for all, and the SQL for keyframes.

    `few` are the places of all shots that are left, where these are few.
    """

    generations: tuple[int, ...] | None
    of_videos: str | None
    of_keyframes: str | None
    few: Ints | None
    some: Ints  # the place of one shot that is left: who is in none is told of, not the filters


def answer(
    lookup: Lookup,
    encoder: Encoder,
    scorer: IdentityScorer,
    query: Query,
    enrolled: Sequence[Person],
    *,
    threshold: float = THRESHOLD,
    filters: Filters = EVERYTHING,
    paging: Paging = FIRST_PAGE,
) -> Answer:
    """What `vidsearch.search.search` says, from the rows that may matter. See there.

    The answer's `total` counts the candidates that answer; `at_least` tells that there may be more.
    """

    def asked(rows: Rows) -> Answer:
        return search(
            rows, encoder, scorer, query, enrolled,
            threshold=threshold, filters=filters, paging=paging,
        )  # fmt: skip

    if query.tree is None or query.unknown:
        return asked(lookup.rows_at(np.zeros(0, np.int64)))
    narrowed = narrow(lookup, filters)
    if narrowed.generations == ():
        return answer_of(query, _no_video(lookup, filters))
    if narrowed.few is not None and not len(narrowed.few):
        return answer_of(query, "No shot is left by the filters together: take one away")
    if narrowed.few is not None and len(narrowed.few) <= FEW_SHOTS:
        return asked(lookup.rows_at(narrowed.few))
    reach = Reach(lookup, encoder, scorer, query.tree, enrolled, threshold, filters, narrowed)
    for depth in DEPTHS:
        rows, unseen = reach.rows(depth)
        found = asked(rows)
        if unseen == -np.inf or _settled(found, unseen, paging):
            break
    return replace(found, at_least=unseen > -np.inf, further=found.further or unseen > -np.inf)


def rows_with(
    lookup: Lookup,
    scorer: IdentityScorer,
    person: Person,
    enrolled: Sequence[Person],
    threshold: float,
) -> Rows | None:
    """The rows of all shots in which `person` may be; None where these are too many to tell."""
    spots = Seen(lookup, scorer, enrolled, threshold, None).spots(person)
    return lookup.rows_at(spots.places) if spots.all else None


def _settled(found: Answer, unseen: float, paging: Paging) -> bool:
    """Whether the page is full of shots that nothing unseen can be better than."""
    if len(found.hits) < paging.k:
        return False
    return found.hits[-1].score >= float(scoring.odds(np.array(unseen))) - 1e-6


class Reach:
    """The candidates of one question."""

    def __init__(
        self,
        lookup: Lookup,
        encoder: Encoder,
        scorer: IdentityScorer,
        tree: Node,
        enrolled: Sequence[Person],
        threshold: float,
        filters: Filters,
        narrowed: Narrowed,
    ) -> None:
        self._lookup = lookup
        self._encoder = encoder
        self._tree = tree
        self._narrowed = narrowed
        people = {
            leaf.person.person_id: leaf.person for leaf in leaves(tree) if isinstance(leaf, Someone)
        }
        self._faces = bool(people) or filters.faces is not None
        seen = Seen(lookup, scorer, enrolled, threshold, narrowed.of_videos)
        self._spots = {who: seen.spots(person) for who, person in people.items()}
        self._directions = {
            id(leaf): fits.directions(encoder, scorer, leaf, lookup.typical)
            for leaf in leaves(tree)
            if not isinstance(leaf, Someone)
        }

    def rows(self, depth: int) -> tuple[Rows, float]:
        """The rows of the candidates, and the log odds that no other shot exceeds.

        These are -inf where no other shot can be a hit.
        """
        required = _required(self._tree, self._spots)
        few = FEW_SHOTS * depth // DEPTHS[0]
        if required is not None and len(required) <= few:
            complete = all(spots.all for spots in self._spots.values())
            # Nobody is where all are wanted: the answer says where each is.
            told = required if len(required) else self._beside(few)
            return self._rows_at(told), -np.inf if complete else _UNKNOWN
        directions = self._to_ask()
        if required is not None:
            return self._rows_at(self._best_of(required, directions, few)), _UNKNOWN
        if not len(directions):
            return self._any(depth)
        keyframes, last = self._lookup.nearest_keyframes(
            directions, depth, self._narrowed.of_keyframes
        )
        farthest = dict(zip(map(_key, directions), last, strict=True))
        unseen = self._unseen(self._tree, farthest) if self._wanted(self._tree) else _UNKNOWN
        unseen = -np.inf if max(last) == -np.inf else unseen
        places = np.unique(np.array(keyframes["place"].to_pylist(), np.int64))
        if not self._spots:
            return self._lookup.rows_at(places, faces=self._faces, keyframes=keyframes), unseen
        return self._rows_at(np.union1d(places, self._beside(few))), unseen

    def _beside(self, n: int) -> Ints:
        """The `n` surest places of everybody who is asked for."""
        return np.unique(np.concatenate([spots.places[:n] for spots in self._spots.values()]))

    def _rows_at(self, places: Ints) -> Rows:
        every = np.union1d(places, self._narrowed.some)
        return self._lookup.rows_at(every, faces=self._faces)

    def _any(self, depth: int) -> tuple[Rows, float]:
        """The first shots: where only somebody is not wanted, all others are worth the same."""
        where = self._narrowed.of_keyframes
        places = self._lookup.places("keyframes", where, depth)
        every = np.union1d(places, self._beside(depth))
        return self._rows_at(every), -np.inf if len(places) < depth // 4 else _UNKNOWN

    def _best_of(self, required: Ints, directions: Vector, few: int) -> Ints:
        """Of more places than can be read those where the context fits, and the surest people."""
        sure = np.concatenate([spots.places[: few // 2] for spots in self._spots.values()])
        sure = sure[np.isin(sure, required)][: few // 2]
        if not len(directions):
            return np.unique(sure)
        near = self._lookup.nearest_places(directions, 8 * few, self._narrowed.of_keyframes)
        near = near[np.isin(near, required)]
        if len(near) < DEPTHS[0] // 4:
            where = f"place IN ({', '.join(map(str, required.tolist()))})"
            near = self._lookup.nearest_places(directions, few // 2, where)
        return np.unique(np.concatenate([sure, near]))

    def _to_ask(self) -> Vector:
        """The directions in which candidates are looked for, [M, D], each once."""
        found = self._wanted(self._tree) or self._wanted(self._tree, away=True)
        each = {_key(direction): direction for direction in found}
        dim = len(self._lookup.typical)
        return np.array(list(each.values())[:_DIRECTIONS], np.float32).reshape(-1, dim)

    def _wanted(self, node: Node, *, away: bool = False) -> list[Vector]:
        """The directions of what is wanted; `away` from what is not."""
        if isinstance(node, Someone):
            return []
        if isinstance(node, (Scene, Like)):
            return [] if away else list(self._directions[id(node)])
        if isinstance(node, Not):
            return [-each for each in self._wanted(node.part)] if away else []
        parts = [some for part in node.parts if (some := self._wanted(part, away=away))]
        found = [each for part in parts for each in part]
        if isinstance(node, AllOf) and len(parts) > 1:
            found.append(np.sum([np.mean(part, axis=0) for part in parts], axis=0))
        return found

    def _unseen(self, node: Node, last: Mapping[bytes, float]) -> float:
        """The log odds that a keyframe may have which was not read, as far as `last` tells."""
        if isinstance(node, Someone):
            return -np.inf  # all of their shots were read
        if isinstance(node, (Scene, Like)):
            told = [last.get(_key(each), np.inf) for each in self._directions[id(node)]]
            return fits.most(self._encoder, node, told, self._lookup.typical)
        if isinstance(node, Not):
            return np.inf
        parts = [self._unseen(part, last) for part in node.parts]
        return min(parts) if isinstance(node, AllOf) else max(parts)


def _key(direction: Vector) -> bytes:
    return np.ascontiguousarray(direction, np.float32).tobytes()


def _required(node: Node, spots: Mapping[str, Spots], *, wanted: bool = True) -> Ints | None:
    """The places outside of which `node` cannot hold, None where it may hold anywhere."""
    if isinstance(node, Not):
        return _required(node.part, spots, wanted=not wanted)
    if isinstance(node, Someone):
        return spots[node.person.person_id].places if wanted else None
    if not isinstance(node, (AllOf, AnyOf)):
        return None
    parts = [_required(part, spots, wanted=wanted) for part in node.parts]
    there = [part for part in parts if part is not None]
    if isinstance(node, AllOf) is wanted:
        return reduce(np.intersect1d, there) if there else None
    return reduce(np.union1d, there) if len(there) == len(parts) else None


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
        known = self._lookup.remembered
        if key not in known:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[key] = self._found(person)
        found: Spots = known[key]
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
            done = len(looks) < n or not (farthest >= self._least).any()
            if done:
                break
        place = np.array(looks["place"].to_pylist(), np.int64)
        kept = probability >= self._least
        kept[:_NEAREST] = True
        order = np.argsort(-probability[kept], kind="stable")
        place, sure = place[kept][order], probability[kept][order]
        place = np.concatenate([said, place])
        sure = np.concatenate([np.ones(len(said)), sure])
        _, first = np.unique(place, return_index=True)
        first = np.sort(first)
        return Spots(place[first], sure[first], done)

    def _judged(self, person: Person, looks: pa.Table) -> Reals:
        """P(person) of the track of each look [N], as far as its looks are among these."""
        key = {name: np.array(looks[name].to_pylist(), np.int64) for name in ("place", "track")}
        order = np.lexsort((key["track"], key["place"]))
        new = np.ones(len(order), bool)
        new[1:] = np.diff(key["place"][order]) != 0
        new[1:] |= np.diff(key["track"][order]) != 0
        owner = np.cumsum(new) - 1

        def column(name: str) -> Vector:
            return np.array(looks[name].to_pylist(), np.float32)[order]

        vectors = vectors_of(looks["vector"].combine_chunks())[order]
        faces = Faces(vectors, column("quality"), column("cohort_mean"), column("cohort_std"))
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
        columns = {name: np.array(shots[name].to_pylist()) for name in shots.column_names}
        near = np.zeros(len(shots), bool)
        for label in labels:
            near |= (
                (columns["generation"] == generation.get(label.video_id, -1))
                & (columns["start_s"] - NEAR_S <= label.time_s)
                & (columns["end_s"] + NEAR_S >= label.time_s)
            )
        return np.unique(columns["place"][near].astype(np.int64))


# --- filters -------------------------------------------------------------------------------------


def narrow(lookup: Lookup, filters: Filters) -> Narrowed:
    """What is left by the filters, as far as indexes can be told."""
    generations = sorted(lookup.videos)
    if filters.videos is not None or filters.dates is not None:
        generations = [g for g in generations if wanted_video(lookup.videos[g], filters)]
    if not generations:
        return Narrowed((), None, None, None, np.zeros(0, np.int64))
    all_of_them = len(generations) == len(lookup.videos)
    of_videos = None if all_of_them else _among(generations, sorted(lookup.videos))
    conditions = [of_videos] if of_videos else []
    if filters.since is not None:
        conditions.append(f"end_s > {filters.since!r}")
    if filters.until is not None:
        conditions.append(f"start_s < {filters.until!r}")
    few = None
    shots = sum(lookup.videos[each].n_shots for each in generations)
    of_shots = [*conditions, *_of_shots(filters)]
    where = " AND ".join(of_shots) or None
    is_narrow = shots <= FEW_SHOTS or bool(_of_shots(filters))
    if is_narrow and lookup.count("shots", where) <= FEW_SHOTS * 10:
        few = lookup.places("shots", where)
        if len(few) > FEW_SHOTS:
            conditions = [f"place IN ({', '.join(map(str, few.tolist()))})"]
    return Narrowed(
        None if all_of_them else tuple(generations),
        of_videos,
        " AND ".join(conditions) or None,
        few,
        lookup.places("shots", where, 1),
    )


def _of_shots(filters: Filters) -> list[str]:
    found = []
    if filters.min_duration:
        found.append(f"end_s - start_s >= {filters.min_duration!r}")
    if filters.faces:
        least, most = filters.faces
        found.append(f"n_tracks >= {least}")
        found += [] if most is None else [f"n_tracks <= {most}"]
    return found


def _among(chosen: Sequence[int], every: Sequence[int]) -> str:
    """SQL for the generations `chosen` of all that are published: by runs, there are fewer."""
    at = np.searchsorted(np.array(every, np.int64), np.array(chosen, np.int64))
    starts = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    ends = [*(starts[1:] - 1).tolist(), len(at) - 1]
    if len(starts) * 2 < len(chosen):
        runs = [(chosen[a], chosen[b]) for a, b in zip(starts.tolist(), ends, strict=True)]
        return f"({' OR '.join(f'generation BETWEEN {a} AND {b}' for a, b in runs)})"
    return f"generation IN ({', '.join(map(str, chosen))})"


def _no_video(lookup: Lookup, filters: Filters) -> str:
    """Why no video is left, in a sentence."""
    rows = lookup.rows_of_video(lookup.videos[min(lookup.videos)].video_id)
    return nowhere(replace(rows, videos=tuple(lookup.videos.values())), filters)
