"""Which face tracks are one person, when nobody has said who anybody is.

1. Each track is one face: the mean of its looks, good ones weighing most.
2. A sparse graph joins each face with its nearest ones, found exactly, in blocks. The weight of an
   edge is the probability that both are one person (`idclip.identity`), against the odds that
   chance would bring so good a match among so many faces. Leiden communities of it, by the
   constant Potts model (Traag et al., Scientific Reports 2019, 2011; graspologic-native), are
   groups whose pairs are, on average, more likely one person than not.
3. Groups grow together: each is one face again, a mean of its members, and two groups that are
   each other's best match are joined while their odds are good enough. The fewer groups are left,
   the fewer chances there are to be wrong, and the less is asked.
4. Poor faces, which look like anybody, take no part in that. Each joins the group it fits, if it
   fits one beyond doubt, and moves nothing.

Faces seen together in one frame, and those that somebody said are two people, are never joined.
What was joined before stays so: new faces join old groups, and numbers are kept. The numbers below
were chosen on people of LFW who are in no test (`benchmarks/face_clusters.py`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idclip.identity import Faces, IdentityScorer
from vidsearch.face_graph import LEAST_WEIGHT, Edges, lowest_cosine, nearest, without
from vidsearch.identities import Mask
from vidsearch.records import Ints

POOR = 0.7  # quality under which a face joins last
FAINT = 0.2  # quality under which it joins no other poor face: by eye, on real clips
# So many groups, each with the rest, bring as many false matches of even odds as can be borne: of
# more groups more is asked, in proportion.
EVEN = 2000.0
_FEWEST = 1500  # groups that are reckoned with at least
BEYOND_DOUBT = 10.0  # times the odds, for a poor face and a cluster
BOTH_POOR = 1000.0  # times the odds, for two poor faces
DOUBTFUL = 0.1  # times the odds asked for: edges under it are left out


def cluster(
    faces: Faces, scorer: IdentityScorer, apart: Ints, before: Ints, highest: int = 0
) -> Ints:
    """The number of each face's cluster [N], from 1.

    `before` [N] are numbers that faces have already, 0 for new ones. Faces of one number stay
    together, and get one cluster with its number, or with the lowest of several that grow
    together. New clusters get new numbers over `highest`, large ones first. `apart` [M, 2] are
    pairs of rows that are two people; those of one number are left as they are.
    """
    if not len(before):
        return before
    poor = faces.qualities < POOR
    old, group = np.unique(before, return_inverse=True)
    first = int(old[:1].sum() != 0)  # 0 stands for none
    group = group.astype(np.int64) - 1 + first
    n_old = len(old) - 1 + first
    fresh = before == 0
    group[fresh] = n_old + _communities(faces, scorer, apart, np.flatnonzero(fresh & ~poor), fresh)
    grown = _grown(faces, scorer, apart, group, poor, n_old)
    return _numbered(grown, before, poor, highest)


def _numbered(group: Ints, before: Ints, poor: Mask, highest: int) -> Ints:
    """The number of each face's cluster: the lowest its good faces had, or any, or a new one."""
    n = int(group.max(initial=-1)) + 1
    none = np.iinfo(np.int64).max
    number = np.full(n, none)
    for rows in (np.flatnonzero((before > 0) & ~poor), np.flatnonzero(before > 0)):
        lowest = np.full(n, none)
        np.minimum.at(lowest, group[rows], before[rows])
        number = np.where(number == none, lowest, number)
    new = np.flatnonzero(number == none)
    sizes = np.bincount(group, minlength=n)
    new = new[np.argsort(-sizes[new], kind="stable")]
    new = new[sizes[new] > 0]
    number[new] = int(before.max(initial=highest)) + 1 + np.arange(len(new))
    return np.asarray(number[group], np.int64)


def odds_asked(n_groups: int) -> float:
    """The odds that two of so many groups need to be taken for one person."""
    return max(n_groups, _FEWEST) / EVEN


# --- the graph and its communities ---------------------------------------------------------------


def _communities(
    faces: Faces, scorer: IdentityScorer, apart: Ints, good: Ints, fresh: Mask
) -> Ints:
    """First groups of the `fresh` faces, from 0: communities of the `good` rows; others alone."""
    group = np.full(len(fresh), -1, np.int64)
    if len(good):
        asked = odds_asked(len(good))
        mine = Faces(*(part[good] for part in faces))
        edges = nearest(scorer, mine, mine, DOUBTFUL * asked, within=True)
        row_of = np.full(len(fresh), -1, np.int64)
        row_of[good] = np.arange(len(good))
        pairs = row_of[apart]
        pairs = pairs[(pairs >= 0).all(axis=1)]
        edges = without(edges, pairs, len(good))
        group[good] = _torn(_leiden(edges, len(good), asked), pairs, edges)
    alone = np.flatnonzero(fresh & (group < 0))
    group[alone] = group.max(initial=-1) + 1 + np.arange(len(alone))
    return group[fresh]


def _leiden(edges: Edges, n: int, asked: float) -> Ints:
    """Leiden communities of `n` faces, from 0."""
    from graspologic_native import leiden_csr

    if not len(edges.one):
        return np.arange(n)
    one = np.concatenate([edges.one, edges.other])
    other = np.concatenate([edges.other, edges.one])
    odds = np.concatenate([edges.odds, edges.odds])
    order = np.lexsort((other, one))
    ends = np.searchsorted(one[order], np.arange(n + 1)).astype(np.int64)
    weight = (odds / (odds + asked))[order].astype(np.float64)
    _, found = leiden_csr(
        ends,
        other[order].astype(np.int32),
        weight,
        n,
        resolution=0.5,
        use_modularity=False,
        seed=1,
    )
    alone = iter(range(n, 2 * n))
    community = np.array([found.get(row, next(alone)) for row in range(n)], np.int64)
    return np.unique(community, return_inverse=True)[1].astype(np.int64)


def _torn(group: Ints, apart: Ints, edges: Edges) -> Ints:
    """`group` with those taken apart that hold two faces of `apart` [M, 2].

    Each of their faces, the first one first, goes where it has the best edges and no enemy.
    """
    broken = group[apart[:, 0]] == group[apart[:, 1]]
    if not broken.any():
        return group
    group, fresh = group.copy(), int(group.max()) + 1
    enemies: dict[int, set[int]] = defaultdict(set)
    for one, other in apart[broken].tolist():
        enemies[one].add(other)
        enemies[other].add(one)
    friends: dict[int, dict[int, float]] = defaultdict(dict)
    hurt = np.isin(group, group[apart[broken, 0]])
    for at in np.flatnonzero(hurt[edges.one] & (group[edges.one] == group[edges.other])).tolist():
        one, other, odds = int(edges.one[at]), int(edges.other[at]), float(edges.odds[at])
        friends[one][other] = friends[other][one] = odds / (1 + odds)
    for number in np.unique(group[hurt]).tolist():
        parts: list[set[int]] = []
        for face in np.flatnonzero(group == number).tolist():
            open_to = [part for part in parts if not part & enemies[face]]
            fits = [sum(friends[face].get(each, 0.0) for each in part) for part in open_to]
            if fits and max(fits) > 0:
                open_to[int(np.argmax(fits))].add(face)
            else:
                parts.append({face})
        for part in parts[1:]:
            group[list(part)] = fresh
            fresh += 1
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


# --- groups grow together ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Groups:
    """Groups [G] and their `weight` [G]; each as a face whose values are the means of its members'.

    All is written to as groups join.
    """

    weight: NDArray[np.float32]
    faces: Faces

    def of(self, some: Ints) -> Faces:
        """The faces of some groups, to be compared with others.

        Made a unit, a mean of many kinds of faces is like everybody, and grows without end. Left
        as it is, its product with another one is the mean of all pairs' cosines, which forgoes
        what a mean knows better than its members. So it is left half way between the two.
        """
        faces = Faces(*(part[some] for part in self.faces))
        length = np.linalg.norm(faces.vectors, axis=1, keepdims=True)
        return faces._replace(vectors=faces.vectors / np.sqrt(np.maximum(length, 1e-9)))

    def join(self, kept: Ints, gone: Ints) -> Faces:
        """Add the groups `gone` to those `kept`, pair by pair; gives the faces of `kept`.

        A group is in one pair at most.
        """
        mine, theirs = self.weight[kept], self.weight[gone]
        for part in self.faces:
            a, b = (mine, theirs) if part.ndim == 1 else (mine[:, None], theirs[:, None])
            part[kept] = (part[kept] * a + part[gone] * b) / (a + b)
        self.weight[kept] += theirs
        return self.of(kept)


def _grown(
    faces: Faces, scorer: IdentityScorer, apart: Ints, group: Ints, poor: Mask, n_old: int
) -> Ints:
    """The final group of each face [N]; of two groups that join, the lower number stays.

    Groups under `n_old` were all compared with each other in an earlier run.
    """
    n = int(group.max(initial=-1)) + 1
    groups = _gathered(faces, group, n)
    growing = np.zeros(n, bool)
    growing[group[~poor]] = True
    into = np.arange(n)
    into[growing] = _joined(scorer, groups, np.flatnonzero(growing), into[group[apart]], n_old)
    alone = np.setdiff1d(group[poor], np.flatnonzero(growing))
    left = np.flatnonzero(growing & (into == np.arange(n)))
    into = _poor_joined(scorer, groups, alone, left, into, into[group[apart]])
    # What fits no clear face may still be the same as another poor one, as in a second copy.
    rest = alone[(into[alone] == alone) & (groups.faces.qualities[alone] >= FAINT)]
    into[rest] = _joined(scorer, groups, rest, group[apart], n_old, times=BOTH_POOR)
    return np.asarray(into[group], np.int64)


def _joined(
    scorer: IdentityScorer,
    groups: _Groups,
    growing: Ints,
    apart: Ints,
    n_old: int,
    times: float = 1.0,
) -> Ints:
    """The group that each of the `growing` ones has become part of, in rounds of `_best_pairs`.

    They need `times` the odds that are asked of so many. What has joined another group becomes a
    face of zeros, which is like nobody.
    """
    n = len(growing)
    row = np.full(len(groups.weight), -1, np.int64)
    row[growing] = np.arange(n)
    enemies = row[apart]
    enemies = enemies[(enemies >= 0).all(axis=1)]
    every = groups.of(growing)
    left = n
    least = times * DOUBTFUL * odds_asked(n)
    floor = lowest_cosine(scorer, every, every, least)
    into = np.arange(n)
    new = np.flatnonzero(growing >= n_old)
    edges = without(_between(scorer, every, new, least, floor), enemies, n)
    while True:
        kept, gone = _best_pairs(edges, times * odds_asked(left), n)
        if not len(kept):
            return np.asarray(growing[into], np.int64)
        left -= len(gone)
        changed = groups.join(growing[kept], growing[gone])
        for part, values in zip(every, changed, strict=True):
            part[kept] = values
        every.vectors[gone] = 0.0
        step = np.arange(n)
        step[gone] = kept
        into = step[into]
        touched = np.zeros(n, bool)
        touched[kept] = touched[gone] = True
        stays = ~(touched[edges.one] | touched[edges.other])
        fresh = _between(scorer, every, kept, least, floor)
        fresh = without(fresh, into[enemies], n)
        edges = Edges(
            np.concatenate([edges.one[stays], fresh.one]),
            np.concatenate([edges.other[stays], fresh.other]),
            np.concatenate([edges.odds[stays], fresh.odds]),
        )


def _gathered(faces: Faces, group: Ints, n: int) -> _Groups:
    weight = faces.qualities + np.float32(LEAST_WEIGHT)
    order = np.argsort(group, kind="stable")
    first = np.searchsorted(group[order], np.arange(n))
    total = np.add.reduceat(weight[order], first)
    parts = []
    for part in faces:
        a, b = (weight, total) if part.ndim == 1 else (weight[:, None], total[:, None])
        parts.append(np.add.reduceat((part * a)[order], first) / b)
    return _Groups(total, Faces(*parts))


def _between(scorer: IdentityScorer, every: Faces, some: Ints, least: float, floor: float) -> Edges:
    """Edges between some rows of `every` and all of it; each pair once."""
    n = len(every.vectors)
    ours = every if len(some) == n else Faces(*(part[some] for part in every))
    edges = nearest(scorer, ours, every, least, within=ours is every, floor=floor)
    one = some[edges.one]
    low, high = np.minimum(one, edges.other), np.maximum(one, edges.other)
    _, first = np.unique(low * n + high, return_index=True)
    first = first[low[first] != high[first]]
    return Edges(low[first], high[first], edges.odds[first])


def _best_pairs(edges: Edges, asked: float, n: int) -> tuple[Ints, Ints]:
    """Pairs of groups, lower and higher number, that are each other's best, with odds enough."""
    good = edges.odds >= asked
    one = np.concatenate([edges.one[good], edges.other[good]])
    other = np.concatenate([edges.other[good], edges.one[good]])
    odds = np.concatenate([edges.odds[good], edges.odds[good]])
    order = np.lexsort((other, -odds, one))
    groups, first = np.unique(one[order], return_index=True)
    best = np.full(n, -1, np.int64)
    best[groups] = other[order][first]
    has = groups[best[best[groups]] == groups]
    kept = has[has < best[has]]
    return kept, best[kept]


def _poor_joined(
    scorer: IdentityScorer, groups: _Groups, poor: Ints, growing: Ints, into: Ints, apart: Ints
) -> Ints:
    """`into` with the groups of poor faces sent where they fit beyond doubt, best fit first."""
    if not len(poor) or not len(growing):
        return into
    asked = BEYOND_DOUBT * odds_asked(len(growing))
    found = nearest(scorer, groups.of(poor), groups.of(growing), asked)
    into = into.copy()
    enemies: dict[int, set[int]] = defaultdict(set)
    for one, other in apart.tolist():
        enemies[one].add(other)
        enemies[other].add(one)
    for at in np.argsort(-found.odds, kind="stable").tolist():
        mine, theirs = int(poor[found.one[at]]), int(growing[found.other[at]])
        if into[mine] == mine and theirs not in {int(into[each]) for each in enemies[mine]}:
            into[mine] = theirs
    return np.asarray(into[into], np.int64)
