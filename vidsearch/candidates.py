"""Questions to a large archive: which shots are looked at, found by its indexes.

Up to `records.EXACT_BELOW` shots a question compares everything. A larger archive is asked in
two steps: indexes give candidates, a few hundred shots that may answer, and `vidsearch.search`
answers from the rows of these alone, by the very same code, with exact scores. So a score never
depends on an index; what does is only whether a shot is among the candidates.

- People first, never last. Whoever is asked for is looked for among all faces of the archive, so a
  person who is in one shot of ten million is found. The nearest looks are judged as the score will
  judge them, and more are read until the farthest of them are nobody's. The shots of everybody
  that the question wants are all read; only where that is very many shots their pictures alone are,
  and then the rest of those that fit the context best. Both are kept in memory.
- A context without people has the keyframes nearest to its direction in the space of vectors: log
  odds are a linear function of the vector, so the nearest are the best. Of contexts joined by
  "and" the keyframes nearest to all together are read too.
- Rows take more time than the index does. So those of a short list are read first, and of the
  others only where these may be better (`vidsearch.shortlist`). Of people who are surely in fewer
  shots than the page shows all shots are read at once: the page would not be full before.
- Of people who are not wanted only those shots are read in which a look may be theirs: elsewhere
  they count as not there, which changes a score by less than a ten-thousandth. Where it is somebody
  with a context that is not wanted, how unlike them others are counts, and all faces are read.
- "Not" takes away: as long as a shot that was not read might be better than the last of the page,
  by what the farthest candidate allows, or the page is not full, four times as many are read.
- What filters on videos and dates leave is compared one by one, and kept in memory, where it is no
  more than a small archive has; else they narrow what the indexes look at. Times, lengths of shots
  and numbers of faces do so where they leave few shots; else shots that do not fit are passed over
  among the candidates.

What that loses is measured in `benchmarks/scale.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from idclip.identity import IdentityScorer
from vidsearch import fits, scenes, scoring, shortlist
from vidsearch.filters import Filters
from vidsearch.lookup import Lookup, taken
from vidsearch.narrowing import FEW_SHOTS, Narrowed, narrow, no_video
from vidsearch.question import AllOf, AnyOf, Like, Node, Not, Scene, Someone, leaves
from vidsearch.records import Answer, Ints, Person, Reals, Rows, Vector
from vidsearch.rows import Arrays
from vidsearch.schema import place_of
from vidsearch.search import EVERYTHING, FIRST_PAGE, THRESHOLD, answer_of, search
from vidsearch.selection import Paging
from vidsearch.spots import Seen

if TYPE_CHECKING:
    from idclip.encoders import Encoder
    from vidsearch.query import Query

DEPTHS = (100, 400, 1600, 6400, 25_600)  # candidates of a context, of each direction
_DIRECTIONS = 12
_SUREST = 50  # shots of a person that are read whatever they show
_UNKNOWN = -700.0  # log odds of shots of which only is known that there are more


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
        return answer_of(query, no_video(lookup, filters))
    if narrowed.few is not None and not len(narrowed.few):
        return answer_of(query, "No shot is left by the filters together: take one away")
    if narrowed.few is not None and len(narrowed.few) <= FEW_SHOTS:
        return asked(lookup.kept_at(narrowed.few))
    reach = Reach(lookup, encoder, scorer, query.tree, enrolled, threshold, narrowed)
    asked_for: list[tuple[int, int | None]] = [(depth, None) for depth in DEPTHS]
    if least := reach.depth_of_all(paging):
        asked_for = [each for each in asked_for if each[0] >= least]
    else:
        asked_for = [*shortlist.first(paging, narrowed, people=bool(query.people)), *asked_for]
    for depth, most in asked_for:
        rows, unseen = reach.rows(depth, most)
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
        narrowed: Narrowed,
    ) -> None:
        self._lookup = lookup
        self._encoder = encoder
        self._scorer = scorer
        self._tree = tree
        self._narrowed = narrowed
        people = {
            leaf.person.person_id: leaf.person for leaf in leaves(tree) if isinstance(leaf, Someone)
        }
        self._wanted_people = _people(tree)
        self._threshold = threshold
        seen = Seen(lookup, scorer, enrolled, threshold, narrowed.of_videos)
        self._spots = {who: seen.spots(person) for who, person in people.items()}
        self._directions = {
            id(leaf): fits.directions(encoder, scorer, leaf, lookup.typical)
            for leaf in leaves(tree)
            if not isinstance(leaf, Someone)
        }

    def depth_of_all(self, paging: Paging) -> int:
        """The depth at which all shots are read in which the people who are wanted may be.

        0 where less may do: where the page may be full of shots in which they surely are.
        """
        every, sure = self._places(), self._places(self._threshold)
        if every is None or sure is None or len(sure) >= paging.offset + paging.k:
            return 0
        return next((depth for depth in DEPTHS if len(every) <= _few(depth)), 0)

    def rows(self, depth: int, most: int | None = None) -> tuple[Rows, float]:
        """The rows of the candidates, and the log odds that no other shot exceeds.

        These are -inf where no other shot can be a hit. Of more than `most` candidates the rows of
        those are read that are worth most.
        """
        required, few = self._places(), _few(depth)
        if required is not None and len(required) <= few:
            complete = all(spots.all for spots in self._spots.values())
            # Nobody is where all are wanted: the answer says where each is.
            told = required if len(required) else self._beside(few)
            return self._kept_at(told), -np.inf if complete else _UNKNOWN
        directions = self._to_ask()
        if required is not None:
            if not len(directions):
                return self._kept_at(self._surest_of(required, few // 2)), _UNKNOWN
            return self._best_of(required, directions, 2 * depth, most)
        if not len(directions):
            return self._any(4 * depth)
        keyframes, last = self._lookup.nearest_keyframes(
            directions, depth, self._narrowed.of_nearest, self._narrowed.share
        )
        farthest = dict(zip(map(_key, directions), last, strict=True))
        unseen = self._unseen(self._tree, farthest) if self._wanted(self._tree) else _UNKNOWN
        unseen = -np.inf if max(last) == -np.inf else unseen
        if self._wanted_people:
            return self._rows_at(np.union1d(keyframes["place"], self._beside(few))), unseen
        if most is not None:
            listed, left_out = self._listed(keyframes, most)
            keyframes, unseen = _of(keyframes, listed), max(unseen, left_out)
        return self._without_people(keyframes), unseen

    def _places(self, least: float = 0.0) -> Ints | None:
        """Where those who are wanted may be, with at least that probability, sorted.

        None where a shot may answer whoever is in it.
        """
        each = {
            who: np.sort(spots.surest(least)) if least else spots.sorted
            for who, spots in self._spots.items()
        }
        return _required(self._tree, each)

    def _beside(self, n: int) -> Ints:
        """The `n` surest places of everybody who is asked for."""
        return np.unique(np.concatenate([spots.places[:n] for spots in self._spots.values()]))

    def _rows_at(self, places: Ints) -> Rows:
        return self._lookup.rows_at(np.union1d(places, self._narrowed.some))

    def _kept_at(self, places: Ints) -> Rows:
        """The same, for places that the people asked for decide alone, whatever else is asked."""
        return self._lookup.kept_at(np.union1d(places, self._narrowed.some))

    def _worth(self, keyframes: Arrays) -> Reals:
        """What keyframes are worth at most, log odds, whoever is in them."""
        vectors, typical = keyframes["vector"], self._lookup.typical
        return shortlist.worth(self._encoder, self._scorer, self._tree, vectors, typical)

    def _without_people(self, keyframes: Arrays) -> Rows:
        """The rows of candidates of a context in which nobody is wanted, but somebody may not be.

        Of candidates in which those may be everything is read, and of shots near these in which
        they are: they support that they are there too. In the others nobody is like them, so
        nobody looks at their faces.
        """
        places = np.unique(keyframes["place"])
        beside = [
            _near(places[_in(places, spots.sorted)], spots.places) for spots in self._spots.values()
        ]
        told = places[:0] if len(places) else self._narrowed.some
        known = all(spots.all for spots in self._spots.values())
        faces = not (known and _apart(self._tree))
        return self._lookup.rows_of(keyframes, reduce(np.union1d, beside, told), faces=faces)

    def _any(self, n: int) -> tuple[Rows, float]:
        """The first shots: where only somebody is not wanted, all others are worth the same."""
        places = self._lookup.places("shots", self._narrowed.of_keyframes, n)
        every = np.union1d(places, self._beside(n))
        return self._rows_at(every), -np.inf if len(places) < n else _UNKNOWN

    def _surest_of(self, required: Ints, n: int) -> Ints:
        """Of more places than can be read those where the people asked for are most probably."""
        sure = np.concatenate([spots.places[:n] for spots in self._spots.values()])
        return np.unique(sure[_in(sure, required)][:n])

    def _best_of(
        self, required: Ints, directions: Vector, n: int, most: int | None
    ) -> tuple[Rows, float]:
        """Of more places than can be read those where the context fits best.

        Half of them are shots in which the people are for themselves or by their neighbours, as
        far as is known; the other half may be any. If `most` are wanted it is those of the former
        that are worth most, and beside the rows is what the best of their others is worth.
        """
        where = self._narrowed.of_keyframes
        keyframes = self._lookup.keyframes_at(required, where)
        places = keyframes["place"]
        products = directions @ keyframes["vector"].T
        surely = self._places(self._threshold)
        assert surely is not None, "people are required"
        likely: Ints = self._lookup.remembered.of(  # whatever context is asked for beside
            (required.tobytes(), surely.tobytes(), where),
            lambda: np.flatnonzero(_in(places, _near(surely, required))),
        )
        found, left_out = _best(places[likely], products[:, likely], n), _UNKNOWN
        if most is None:
            others = [_best(places, products, n), self._surest_of(required, _SUREST)]
        else:
            longest = most * (1 + self._lookup.has_figures)
            found, left_out = self._listed(_of(keyframes, found), longest)
            others = []
        support = _near(found[~_in(found, surely)], surely)
        every = reduce(np.union1d, [found, support, *others])
        read = _of(keyframes, every)
        beside = np.setdiff1d(every, read["place"])
        return self._lookup.rows_of(read, beside, faces=True), max(left_out, _UNKNOWN)

    def _listed(self, keyframes: Arrays, n: int) -> tuple[Ints, float]:
        """The `n` places that are worth most, and what the best of the others is worth."""
        return shortlist.best(keyframes["place"], self._worth(keyframes), n)

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


def _few(depth: int) -> int:
    """So many shots of the people who are asked for are all read."""
    return FEW_SHOTS * max(1, depth // DEPTHS[0])


def _of(keyframes: Arrays, places: Ints) -> Arrays:
    """The keyframes of the shots at `places`, which are sorted."""
    return taken(keyframes, np.flatnonzero(_in(keyframes["place"], places)))


def _key(direction: Vector) -> bytes:
    return np.ascontiguousarray(direction, np.float32).tobytes()


def _best(places: Ints, products: Vector, n: int) -> Ints:
    """The `n` places [N] whose best product [M, N] is largest, and some of each direction."""
    orders = [products.max(axis=0, initial=-np.inf), *products]
    shares = [n, *[n // len(products)] * len(products)]
    best = [
        places[np.argpartition(-order, share)[:share]] if share < len(order) else places
        for order, share in zip(orders, shares, strict=True)
    ]
    return np.unique(np.concatenate(best))


def _near(places: Ints, among: Ints) -> Ints:
    """Those of `among` that are one of `places`, or so near to one that they may support it.

    `places` are sorted.
    """
    steps = np.arange(-scenes.NEAR, scenes.NEAR + 1)
    # Places of one step after those of another: a stable sort has only to merge them.
    near = np.sort(place_of(places, steps[:, None]), axis=None, kind="stable")
    return among[_in(among, near)]


def _in(values: Ints, some: Ints) -> NDArray[np.bool_]:
    """Which of `values` are among `some`, which are sorted: sooner than `np.isin` says it."""
    if not len(some):
        return np.zeros(len(values), bool)
    at = np.searchsorted(some, values)
    return np.asarray(some[np.minimum(at, len(some) - 1)] == values)


def _apart(node: Node) -> bool:
    """Whether nothing denies people together with a context."""
    if isinstance(node, Not):
        return len({isinstance(leaf, Someone) for leaf in leaves(node.part)}) == 1
    return not isinstance(node, (AllOf, AnyOf)) or all(map(_apart, node.parts))


def _people(node: Node, *, wanted: bool = True) -> set[str]:
    """The ids of those who are wanted in some part of a question."""
    if isinstance(node, Someone):
        return {node.person.person_id} if wanted else set()
    if isinstance(node, Not):
        return _people(node.part, wanted=not wanted)
    if isinstance(node, (AllOf, AnyOf)):
        return {who for part in node.parts for who in _people(part, wanted=wanted)}
    return set()


def _required(node: Node, places: Mapping[str, Ints], *, wanted: bool = True) -> Ints | None:
    """The places outside of which `node` cannot hold, sorted; None where it may hold anywhere.

    `places` are those where each person may be, sorted.
    """
    if isinstance(node, Not):
        return _required(node.part, places, wanted=not wanted)
    if isinstance(node, Someone):
        return places[node.person.person_id] if wanted else None
    if not isinstance(node, (AllOf, AnyOf)):
        return None
    parts = [_required(part, places, wanted=wanted) for part in node.parts]
    there = [part for part in parts if part is not None]
    if isinstance(node, AllOf) is wanted:
        return reduce(np.intersect1d, there) if there else None
    return reduce(np.union1d, there) if len(there) == len(parts) else None
