"""The people of an archive whom nobody has named: clusters of its face tracks.

What is kept (`vidsearch.records.Member`) says which face belongs to which cluster by video, time
and box, so that clusters and their numbers outlive the rows of a video. `find` looks at the faces
that are new since the last time; `standing` is what there is, with what was said of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product

import numpy as np

from idclip.identity import Faces, IdentityScorer
from vidsearch.clusters import cluster
from vidsearch.errors import UnknownCluster
from vidsearch.face_graph import faces_of_tracks, measured, seen_together
from vidsearch.gallery import mean_faces
from vidsearch.labels import tracks_at, who_is
from vidsearch.records import Box, Ints, Label, Member, Person, Rows

LIKELY = 0.5  # P from which an enrolled person is told to be likely a cluster's


@dataclass(frozen=True, eq=False)
class Cluster:
    """Faces that are one person, in the order in which they joined.

    `tracks` [N] are rows of the archive's tracks. `person` is who it was said to be, `likely` an
    enrolled person it probably is, with the probability.
    """

    number: int
    tracks: Ints
    videos: int
    first_video: str
    first_s: float
    person: Person | None
    likely: tuple[Person, float] | None
    ignored: bool

    @property
    def title(self) -> str:
        """What it is called where a person reads it."""
        return f"cluster {self.number}" + (f", {self.person.name}" if self.person else "")


@dataclass(frozen=True, eq=False)
class Discovery:
    """What `Archive.discover` gives: the clusters, large ones first, and how many faces are alone.

    `clusters` has those of two faces and more that nobody wants ignored; `new` is how many faces
    were looked at for the first time, `lost` how many answers are of faces that are in no video
    of the archive now.
    """

    clusters: tuple[Cluster, ...]
    alone: int
    ignored: int
    new: int
    lost: int


def place_of(rows: Rows, track: int) -> tuple[str, float, Box]:
    """Video id, time and box of a track's best look: how labels and members name it."""
    look = int(np.searchsorted(rows.look_track, track))
    video = rows.videos[rows.shot_video[rows.track_shot[track]]]
    x0, y0, x1, y1 = map(float, rows.look_boxes[look])
    return video.video_id, float(rows.look_s[look]), (x0, y0, x1, y1)


def numbers(rows: Rows, members: Sequence[Member]) -> tuple[Ints, Ints]:
    """The cluster number of each track [T], 0 of one that is in none, and when it joined [T]."""
    number = np.zeros(len(rows.track_shot), np.int64)
    joined = np.full(len(rows.track_shot), np.iinfo(np.int64).max)
    for member, track in zip(reversed(members), tracks_at(rows, members)[::-1], strict=True):
        if track >= 0:  # of two that became one track the first counts
            number[track], joined[track] = member.number, member.joined
    return number, joined


def find(
    rows: Rows, scorer: IdentityScorer, members: Sequence[Member], *, keep_lost: bool = False
) -> tuple[list[Member], int]:
    """The members with all tracks of the archive among them, and how many are new.

    Members of videos that are not in the archive now stay as they are, for when they come back. So
    do, with `keep_lost`, those whose face is in no track of their video now.
    """
    before, joined = numbers(rows, members)
    new = before == 0
    highest = max((m.number for m in members), default=0)
    highest = max([highest, *(label.number for label in rows.labels)])
    apart = np.concatenate([seen_together(rows), said_apart(rows, before)])
    found = cluster(faces_of_tracks(rows, scorer), scorer, apart, before, highest)
    order = np.lexsort((-_centrality(rows, found), joined))
    there = {video.video_id for video in rows.videos}
    lost = tracks_at(rows, members) < 0 if keep_lost else np.zeros(len(members), bool)
    away = [
        member
        for member, is_lost in zip(members, lost.tolist(), strict=True)
        if is_lost or member.video_id not in there
    ]
    next_place = max((m.joined for m in members), default=0) + 1
    kept = []
    for track in order.tolist():
        place = int(joined[track])
        if new[track]:
            place, next_place = next_place, next_place + 1
        kept.append(Member(int(found[track]), place, *place_of(rows, track)))
    return sorted([*away, *kept], key=lambda member: member.joined), int(new.sum())


def _centrality(rows: Rows, found: Ints) -> Ints:
    """New faces are counted cluster by cluster, the best of each first."""
    look = np.searchsorted(rows.look_track, np.arange(len(found)))
    quality = np.argsort(np.argsort(rows.look_quality[look])) if len(found) else np.zeros(0, int)
    return np.asarray(quality - found * (len(found) + 1), np.int64)


def said_apart(rows: Rows, number: Ints) -> Ints:
    """Pairs [M, 2] of tracks that are two people, by what was said; one for each two groups."""
    pairs: set[tuple[int, int]] = set()
    said = zip(rows.labels, rows.label_track.tolist(), strict=True)
    for _, answer in groupby(said, key=lambda each: (each[0].answer_id, each[0].kind)):
        both = [(label, track) for label, track in answer if track >= 0]
        if both and (both[0][0].kind == "apart" or _denies(both[0][0])):
            sides = ([t for label, t in both if label.side == side] for side in (0, 1))
            ours, theirs = (_one_a_group(side, number) for side in sides)
            pairs.update(product(ours, theirs))
    who, not_them = who_is(rows)
    of: dict[str, list[int]] = {}
    for track, person in who.items():
        of.setdefault(person, []).append(track)
    shown = {person: _one_a_group(tracks, number) for person, tracks in of.items()}
    for person, tracks in shown.items():
        for other, others in shown.items():
            if person < other:
                pairs.update(product(tracks, others))
    for track, people in not_them.items():
        pairs.update((track, each) for person in people for each in shown.get(person, ()))
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _denies(label: Label) -> bool:
    return label.kind == "same" and not label.is_person


def _one_a_group(tracks: Iterable[int], number: Ints) -> list[int]:
    """One of the tracks of each group; all that are in none."""
    first: dict[int, int] = {}
    for track in sorted(tracks):
        first.setdefault(int(number[track]) or -track - 1, track)
    return list(first.values())


def standing(
    rows: Rows, members: Sequence[Member], enrolled: Sequence[Person], scorer: IdentityScorer
) -> list[Cluster]:
    """All clusters, those of one face and the ignored ones too; large ones first."""
    number, joined = numbers(rows, members)
    who, _ = who_is(rows)
    people = {person.person_id: person for person in enrolled}
    ignored = {
        track
        for label, track in zip(rows.labels, rows.label_track.tolist(), strict=True)
        if label.kind == "ignored"
    }
    order = np.lexsort((joined, number))
    order = order[number[order] > 0]
    starts = np.flatnonzero(np.diff(number[order], prepend=0))
    groups = [part for part in np.split(order, starts) if len(part)]
    clusters = [_cluster(rows, int(number[g[0]]), g, who, people, ignored) for g in groups]
    clusters.sort(key=lambda each: (-len(each.tracks), each.number))
    return _with_likely(clusters, rows, enrolled, scorer)


def _cluster(
    rows: Rows,
    number: int,
    tracks: Ints,
    who: dict[int, str],
    people: dict[str, Person],
    ignored: set[int],
) -> Cluster:
    named = Counter(who[track] for track in tracks.tolist() if who.get(track) in people)
    person = people[named.most_common(1)[0][0]] if named else None
    video = rows.shot_video[rows.track_shot[tracks]]
    first = tracks[np.lexsort((rows.track_start_s[tracks], video))[0]]
    return Cluster(
        number,
        tracks,
        videos=len(np.unique(video)),
        first_video=rows.videos[rows.shot_video[rows.track_shot[first]]].path,
        first_s=float(rows.track_start_s[first]),
        person=person,
        likely=None,
        ignored=person is None and bool(ignored & set(tracks.tolist())),
    )


def _with_likely(
    clusters: list[Cluster], rows: Rows, enrolled: Sequence[Person], scorer: IdentityScorer
) -> list[Cluster]:
    """The same, with the enrolled person that each nameless one probably is."""
    gallery = [person for person in enrolled if person.photos]
    asked = [at for at, each in enumerate(clusters) if each.person is None]
    if not gallery or not asked:
        return clusters
    same = scorer.pairs(
        faces_of_clusters(rows, scorer, [clusters[at] for at in asked]),
        mean_faces(gallery, scorer),
    )
    _, not_them = who_is(rows)
    for place, at in enumerate(asked):
        denied = set().union(*(not_them.get(t, set()) for t in clusters[at].tracks.tolist()))
        p = [
            0.0 if person.person_id in denied else float(value)
            for person, value in zip(gallery, same[place], strict=True)
        ]
        best = int(np.argmax(p))
        if p[best] >= LIKELY:
            clusters[at] = replace(clusters[at], likely=(gallery[best], p[best]))
    return clusters


def faces_of_clusters(rows: Rows, scorer: IdentityScorer, clusters: Sequence[Cluster]) -> Faces:
    """One face for each cluster: the mean of its looks, weighed by quality."""
    size = rows.look_vectors.shape[1]
    sums, quality = np.zeros((len(clusters), size), np.float32), np.zeros(len(clusters), np.float32)
    first = np.searchsorted(rows.look_track, np.arange(len(rows.track_shot) + 1))
    for at, each in enumerate(clusters):
        looks = np.concatenate([np.arange(first[t], first[t + 1]) for t in each.tracks])
        weight = rows.look_quality[looks] + np.float32(0.05)
        sums[at] = weight @ rows.look_vectors[looks]
        quality[at] = weight @ rows.look_quality[looks] / weight.sum()
    return measured(scorer, sums, quality)


def called(clusters: Sequence[Cluster], number: int) -> Cluster:
    """The cluster of this number; raises `UnknownCluster`."""
    for each in clusters:
        if each.number == number:
            return each
    if not clusters:
        raise UnknownCluster(
            "the archive has no clusters yet; find them with: vidsearch people discover"
        )
    raise UnknownCluster(
        f"there is no cluster {number}, or it has no faces any more; see: vidsearch people"
        " discover --all"
    )
