"""People nobody has named, in one archive: what `Archive` and the command line do with clusters.

Each function takes an open store, and stores what it changes at once.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from idclip.identity import IdentityScorer
from vidsearch import answers, naming, review, sheet
from vidsearch.answers import Change
from vidsearch.discover import Cluster, Discovery, called, find, place_of, standing
from vidsearch.people import find as find_person
from vidsearch.present import counted
from vidsearch.records import Person, Photo, Rows
from vidsearch.review import Question
from vidsearch.store import Store
from vidsearch.timecodes import timecode

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_FACES = 100  # on a cluster's sheet
FACES_A_SIDE = 15  # on that of a question


def discover(store: Store, scorer: IdentityScorer) -> Discovery:
    """Put the new faces of the archive into clusters; say what there is."""
    rows = store.rows()
    # The rows kept beside these may have faces that these have not: they may count again.
    kept = bool(store.stamp.others)
    members, new = find(rows, scorer, store.members(), keep_lost=kept)
    if members != store.members():
        store.put_members(members)
    clusters = clusters_of(store, scorer)
    listed = tuple(each for each in clusters if is_listed(each))
    ignored = sum(each.ignored for each in clusters)
    alone = sum(not is_listed(each) and not each.ignored for each in clusters)
    faces = [at for label, at in zip(rows.labels, rows.label_track, strict=True) if label.video_id]
    return Discovery(listed, alone, ignored, new, sum(int(at) < 0 for at in faces))


def is_listed(cluster: Cluster) -> bool:
    """Whether people want to see a cluster: it has several faces, or a name."""
    return not cluster.ignored and (len(cluster.tracks) > 1 or cluster.person is not None)


def clusters_of(store: Store, scorer: IdentityScorer) -> list[Cluster]:
    """All clusters, those of one face and those to be ignored too; large ones first."""
    return standing(store.rows(), store.members(), store.people(pictures=False), scorer)


def name(
    store: Store,
    scorer: IdentityScorer,
    number: int,
    person_name: str,
    *,
    more: bool,
    trust: bool,
    allow: bool,
) -> Person:
    """Cluster `number` is the person of this name (see `vidsearch.naming.name`)."""
    rows = store.rows()
    cluster = called(clusters_of(store, scorer), number)
    best = naming.best_looks(rows, cluster, scorer)
    pictures = dict(zip(best, pictures_of(store, best), strict=True))
    person, photos = naming.name(
        rows, cluster, person_name, store.people(), scorer, pictures, more=more, trust=trust
    )
    apply(store, answers.said_to_be(rows, cluster, person, photos), allow=allow)
    return person


def merge(store: Store, scorer: IdentityScorer, one: int, other: int) -> Cluster:
    """Two clusters are one person; gives the one that is left, `one`."""
    clusters = clusters_of(store, scorer)
    kept, gone = called(clusters, one), called(clusters, other)
    apply(store, answers.merged(store.rows(), store.members(), kept, gone))
    return called(clusters_of(store, scorer), one)


def merge_people(store: Store, kept_name: str, other_name: str) -> Person:
    """Two enrolled people are one; gives the one that is left, who has both names."""
    enrolled = store.people()
    kept, other = find_person(kept_name, enrolled), find_person(other_name, enrolled)
    change = answers.people_merged(store.labels(), kept, other)
    apply(store, change)
    return change.people[0]


def split(
    store: Store, scorer: IdentityScorer, number: int, faces: Sequence[int]
) -> tuple[Cluster, Cluster]:
    """Faces of a cluster, by number, are somebody else; gives what is left, and the new cluster."""
    cluster = called(clusters_of(store, scorer), number)
    change, new = answers.split(store.rows(), store.members(), store.people(), cluster, faces)
    apply(store, change)
    clusters = clusters_of(store, scorer)
    return called(clusters, number), called(clusters, new)


def ignore(store: Store, scorer: IdentityScorer, number: int) -> Cluster:
    """Nobody wants to hear of a cluster any more."""
    cluster = called(clusters_of(store, scorer), number)
    apply(store, answers.ignored(store.rows(), cluster))
    return cluster


def questions(store: Store, scorer: IdentityScorer) -> list[Question]:
    """What is in doubt, the most useful question first."""
    clusters = clusters_of(store, scorer)
    enrolled = store.people(pictures=False)
    return review.questions(store.rows(), store.members(), clusters, enrolled, scorer)


def answer(store: Store, question: Question, yes: bool) -> str:
    """Keep the answer to a question; gives it as a sentence."""
    change = review.answered(store.rows(), store.members(), question, yes)
    apply(store, change)
    return change.said


def undo(store: Store) -> str:
    """Take the last answer back; says which it was."""
    rows = store.rows()

    def photo_of(track: int) -> Photo | None:
        (jpeg,) = pictures_of(store, [track])
        return naming.photo_of(rows, track, jpeg) if jpeg else None

    change = answers.undone(rows, store.members(), store.people(), photo_of)
    apply(store, change)
    return change.said


def apply(store: Store, change: Change, *, allow: bool = False) -> None:
    """Store a change: people first, who may be refused; who goes, last."""
    if change.people:
        store.put_people(change.people, allow=allow)
    if change.kept is not None:
        store.put_labels([*change.kept, *change.added])
    else:
        store.add_labels(change.added)
    if change.members is not None:
        store.put_members(change.members)
    if change.gone:
        store.remove_person(change.gone)


def cluster_sheet(store: Store, cluster: Cluster) -> Image:
    """The faces of a cluster with their numbers; of very many, some from all over it."""
    n = len(cluster.tracks)
    shown = sorted({round(at) for at in np.linspace(0, n - 1, min(n, MOST_FACES))})
    some = f", {len(shown)} of them shown" if len(shown) < n else ""
    title = f"{cluster.title[0].upper()}{cluster.title[1:]} ({counted(n, 'face')}{some})"
    return sheet.face_sheet(title, _cards(store, cluster, shown, numbered=True))


def question_sheet(store: Store, question: Question) -> Image:
    """Both sides of a question: a cluster, and another one or the photos of a person."""
    sides = [
        sheet.face_sheet(
            f"{each.title[0].upper()}{each.title[1:]}",
            _cards(store, each, list(range(min(len(each.tracks), FACES_A_SIDE))), numbered=False),
            columns=5,
        )
        for each in (question.one, question.other)
        if each is not None
    ]
    if question.person is not None:
        person = next(p for p in store.people() if p.person_id == question.person.person_id)
        photos = [("", photo.name, photo.jpeg) for photo in person.photos[:FACES_A_SIDE]]
        sides.append(sheet.face_sheet(person.name, photos, columns=5))
    return sheet.beside(*sides)


def _cards(
    store: Store, cluster: Cluster, shown: Sequence[int], *, numbered: bool
) -> list[tuple[str, str, bytes]]:
    rows = store.rows()
    tracks = [int(cluster.tracks[at]) for at in shown]
    cards = []
    for at, track, jpeg in zip(shown, tracks, pictures_of(store, tracks), strict=True):
        video = rows.videos[rows.shot_video[rows.track_shot[track]]]
        _, time_s, _ = place_of(rows, track)
        below = f"{timecode(time_s)[:8]} {os.path.basename(video.path)}"
        cards.append((str(at + 1) if numbered else "", below, jpeg))
    return cards


def pictures_of(store: Store, tracks: Sequence[int]) -> list[bytes]:
    """The JPEG of each track's best look; b"" of one that is gone."""
    rows = store.rows()
    wanted: dict[str, list[tuple[int, int]]] = defaultdict(list)
    places = [_shot_and_track(rows, track) for track in tracks]
    for video_id, shot, track in places:
        wanted[video_id].append((shot, track))
    read = {video_id: store.face_pictures(video_id, some) for video_id, some in wanted.items()}
    return [read[video_id].get((shot, track), b"") for video_id, shot, track in places]


def _shot_and_track(rows: Rows, track: int) -> tuple[str, int, int]:
    """Video id, number of the shot, and the track's number in it: they are numbered in order."""
    shot = int(rows.track_shot[track])
    first = int(np.searchsorted(rows.track_shot, shot))
    return rows.videos[rows.shot_video[shot]].video_id, int(rows.shot_index[shot]), track - first
