"""What is said of clusters, as labels to keep: named, merged, split, ignored; and taken back.

Every function here takes the archive as it is and gives a `Change`: labels to add, and the
members and people as they are to be. Nothing is stored here. An answer's labels share an
`answer_id`, and hold all that `undone` needs to take it back.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from vidsearch.discover import Cluster, numbers, place_of
from vidsearch.errors import VidsearchError
from vidsearch.labels import who_is
from vidsearch.records import Box, Label, LabelKind, Member, Person, Photo, Rows

_SHOWN = 16  # faces of a side that stand for a large cluster where two are told apart
_NOBODY: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Change:
    """What an answer changes, and the answer in a sentence (`said`).

    `added` are labels. None stands for what stays as it is: `kept` are all other labels, where
    some go or change, and `members` all members, where a face changes its cluster. `people` are
    to be stored, and who has the id `gone` is to be removed ("" for nobody).
    """

    said: str
    added: tuple[Label, ...] = ()
    kept: tuple[Label, ...] | None = None
    members: tuple[Member, ...] | None = None
    people: tuple[Person, ...] = ()
    gone: str = ""


@dataclass(frozen=True)
class _Pen:
    """Writes the labels of one answer."""

    rows: Rows
    answer_id: str
    now: float

    @classmethod
    def on(cls, rows: Rows) -> _Pen:
        return cls(rows, uuid.uuid4().hex, time.time())

    def of(
        self,
        tracks: Iterable[int],
        kind: LabelKind,
        *,
        person: str = "",
        true: bool = True,
        side: int = 0,
        number: int = 0,
        photos: dict[int, str] | None = None,
    ) -> list[Label]:
        made = []
        for track in map(int, tracks):
            video_id, time_s, box = place_of(self.rows, track)
            made.append(
                Label(
                    uuid.uuid4().hex,
                    video_id,
                    time_s,
                    box,
                    person,
                    true,
                    self.now,
                    answer_id=self.answer_id,
                    kind=kind,
                    side=side,
                    number=number,
                    photo=(photos or {}).get(track, ""),
                )
            )
        return made


def said_to_be(rows: Rows, cluster: Cluster, person: Person, photos: dict[int, str]) -> Change:
    """All faces of a cluster are `person`; `photos` are digests of those that became photos."""
    labels = _Pen.on(rows).of(cluster.tracks, "person", person=person.person_id, photos=photos)
    people = (person,) if photos else ()
    return Change(f"cluster {cluster.number} is {person.name}", tuple(labels), people=people)


def said_not_to_be(rows: Rows, cluster: Cluster, person: Person) -> Change:
    """No face of a cluster is `person`."""
    labels = _Pen.on(rows).of(cluster.tracks, "person", person=person.person_id, true=False)
    return Change(f"cluster {cluster.number} is not {person.name}", tuple(labels))


def merged(rows: Rows, members: Sequence[Member], one: Cluster, other: Cluster) -> Change:
    """Two clusters are one person: all faces get the number of `one`.

    Raises VidsearchError where they are the same, or are named as two people.
    """
    if one.number == other.number:
        raise VidsearchError(f"cluster {one.number} cannot be merged with itself")
    if one.person and other.person and one.person.person_id != other.person.person_id:
        raise VidsearchError(
            f"{one.title} and {other.title} have two names; if that is one person, merge the"
            f' people: vidsearch people merge "{one.person.name}" "{other.person.name}"'
        )
    pen = _Pen.on(rows)
    labels = pen.of(one.tracks[:_SHOWN], "same", number=one.number)
    labels += pen.of(other.tracks, "same", side=1, number=other.number)
    for person, nameless in ((one.person, other), (other.person, one)):
        if person is not None and nameless.person is None:  # the name is of all faces then
            labels += pen.of(nameless.tracks, "person", person=person.person_id)
    moved = _moved(rows, members, other.tracks.tolist(), one.number)
    return Change(
        f"clusters {one.number} and {other.number} are one person", tuple(labels), members=moved
    )


def said_two(rows: Rows, one: Cluster, other: Cluster) -> Change:
    """Two clusters are two people."""
    pen = _Pen.on(rows)
    labels = pen.of(one.tracks[:_SHOWN], "same", true=False, number=one.number)
    labels += pen.of(other.tracks[:_SHOWN], "same", true=False, side=1, number=other.number)
    return Change(f"clusters {one.number} and {other.number} are two people", tuple(labels))


def split(
    rows: Rows,
    members: Sequence[Member],
    enrolled: Sequence[Person],
    cluster: Cluster,
    faces: Sequence[int],
) -> tuple[Change, int]:
    """Some faces, by their numbers in the cluster (from 1), are somebody else: a new cluster.

    They lose the name of the cluster, and are no photos of that person any more. Gives the new
    number too. Raises VidsearchError for a number that no face has, and where nothing would be
    left of the cluster or of the person's photos.
    """
    chosen = sorted(set(faces))
    n = len(cluster.tracks)
    wrong = [face for face in chosen if not 1 <= face <= n]
    if wrong or not chosen:
        none = f"there is no face {wrong[0]}" if wrong else "no face was named"
        raise VidsearchError(f"cluster {cluster.number}: {none}: it has faces 1 to {n}")
    if len(chosen) == n:
        raise VidsearchError(
            f"cluster {cluster.number} has only {n} faces, and all were named: name those that"
            " are somebody else"
        )
    out = [int(cluster.tracks[face - 1]) for face in chosen]
    rest = [track for track in cluster.tracks.tolist() if track not in set(out)]
    highest = max(label.number for label in rows.labels) if rows.labels else 0
    new = max(highest, *(member.number for member in members)) + 1
    pen = _Pen.on(rows)
    labels = pen.of(out, "apart", number=cluster.number)
    labels += pen.of(rest[:_SHOWN], "apart", side=1, number=new)
    who, _ = who_is(rows)
    people: list[Person] = []
    for person in (each for each in enrolled if each.person_id in {who.get(t) for t in out}):
        theirs = [track for track in out if who.get(track) == person.person_id]
        photos = _photos_made_of(rows, theirs, person)
        labels += pen.of(theirs, "person", person=person.person_id, true=False, photos=photos)
        if photos:
            people.append(_without_photos(person, set(photos.values())))
            if not people[-1].photos:
                raise VidsearchError(
                    f"all photos of {person.name} are made of these faces, and they would have"
                    " none: take the name back with: vidsearch people undo"
                )
    said = f"{_counted(len(out), 'face')} of cluster {cluster.number} split off as cluster {new}"
    moved = _moved(rows, members, out, new)
    return Change(said, tuple(labels), members=moved, people=tuple(people)), new


def _photos_made_of(rows: Rows, tracks: Sequence[int], person: Person) -> dict[int, str]:
    """The digests of those photos of a person that naming made of `tracks`, by track."""
    have = {photo.sha256 for photo in person.photos}
    return {
        track: label.photo
        for label, track in zip(rows.labels, rows.label_track.tolist(), strict=True)
        if track in set(tracks) and label.is_person and label.photo in have
    }


def _without_photos(person: Person, digests: set[str]) -> Person:
    return replace(person, photos=tuple(p for p in person.photos if p.sha256 not in digests))


def ignored(rows: Rows, cluster: Cluster) -> Change:
    """Nobody wants to hear of a cluster. Raises VidsearchError for one that has a name."""
    if cluster.person is not None:
        raise VidsearchError(
            f"cluster {cluster.number} is {cluster.person.name}: who has a name is not ignored"
        )
    labels = _Pen.on(rows).of(cluster.tracks, "ignored", number=cluster.number)
    return Change(f"cluster {cluster.number} is ignored", tuple(labels))


def people_merged(labels: Sequence[Label], kept: Person, other: Person) -> Change:
    """`other` is `kept` too: photos and names go to `kept`, and so does what was said of faces.

    Raises VidsearchError where both are the same.
    """
    if kept.person_id == other.person_id:
        raise VidsearchError(f"{kept.name} cannot be merged with themselves")
    have = {photo.sha256 for photo in kept.photos}
    new = [photo for photo in other.photos if photo.sha256 not in have]
    person = replace(
        kept,
        photos=(*kept.photos, *new),
        aliases=tuple(dict.fromkeys((*kept.aliases, *other.names))),
    )
    note = {
        "person_id": other.person_id,
        "name": other.name,
        "aliases": other.aliases,
        "created_at": other.created_at,
        "photos": [photo.sha256 for photo in other.photos],
        "added": [photo.sha256 for photo in new],
        "labels": [each.label_id for each in labels if each.person_id == other.person_id],
    }
    theirs = tuple(
        replace(each, person_id=kept.person_id) if each.person_id == other.person_id else each
        for each in labels
    )
    mark = Label(
        uuid.uuid4().hex, "", 0.0, _NOBODY, kept.person_id, True, time.time(),
        answer_id=uuid.uuid4().hex, kind="people", note=json.dumps(note),
    )  # fmt: skip
    said = f"{other.name} is {kept.name} too"
    return Change(said, (mark,), kept=theirs, people=(person,), gone=other.person_id)


def undone(
    rows: Rows,
    members: Sequence[Member],
    enrolled: Sequence[Person],
    photo_of: Callable[[int], Photo | None],
) -> Change:
    """The last answer taken back. Raises VidsearchError where there is none.

    `photo_of` makes a track's best look a photo again, which splitting had taken from somebody.
    """
    if not rows.labels:
        raise VidsearchError("there is no answer to undo")
    last = max(rows.labels, key=lambda label: label.created_at)
    labels = [label for label in rows.labels if label.answer_id == last.answer_id]
    tracks = {
        label.label_id: track
        for label, track in zip(rows.labels, rows.label_track.tolist(), strict=True)
    }
    by_id = {person.person_id: person for person in enrolled}
    said = _sentence(labels, by_id)
    if last.kind == "people":
        return _people_parted(said, last, rows.labels, by_id)
    back: dict[int, list[int]] = {}
    for label in labels:
        moved = label.kind == "apart" and label.side == 0
        moved |= label.kind == "same" and label.side == 1 and label.is_person
        if moved and tracks[label.label_id] >= 0:
            back.setdefault(label.number, []).append(tracks[label.label_id])
    now = tuple(members)
    for number, some in back.items():
        now = _moved(rows, now, some, number)
    people, gone = _photos_taken_back(labels, by_id)
    for label in labels:
        photo = photo_of(tracks[label.label_id]) if _took_photo(label, tracks) else None
        if photo is not None and label.person_id in by_id:
            whole = by_id[label.person_id]
            by_id[label.person_id] = replace(whole, photos=(*whole.photos, photo))
            people = (
                *(p for p in people if p.person_id != whole.person_id),
                by_id[whole.person_id],
            )
    kept = tuple(label for label in rows.labels if label.answer_id != last.answer_id)
    return Change(said, kept=kept, members=now if back else None, people=people, gone=gone)


def _took_photo(label: Label, tracks: dict[str, int]) -> bool:
    return bool(label.photo) and not label.is_person and tracks[label.label_id] >= 0


def _sentence(labels: Sequence[Label], people: dict[str, Person]) -> str:
    """What an answer said; without the names in it, which labels do not keep."""
    first = next((label for label in labels if label.kind != "person"), labels[0])
    number = {label.side: label.number for label in labels if label.kind == first.kind}
    n = sum(label.kind == first.kind and label.side == 0 for label in labels)
    if first.kind == "apart":
        return f"{_counted(n, 'face')} split off cluster {number[0]}"
    if first.kind == "ignored":
        return f"cluster {first.number} is ignored"
    if first.kind == "same":
        told = "one person" if first.is_person else "two people"
        return f"clusters {number.get(0, 0)} and {number.get(1, 0)} are {told}"
    name = people[first.person_id].name if first.person_id in people else "somebody"
    if first.kind == "people":
        return f"{json.loads(first.note)['name']} is {name} too"
    verb = "is" if n == 1 else "are"
    return f"{_counted(n, 'face')} {verb if first.is_person else f'{verb} not'} {name}"


def _photos_taken_back(
    labels: Sequence[Label], people: dict[str, Person]
) -> tuple[tuple[Person, ...], str]:
    """Who loses the photos that naming gave them; the id of who has no other."""
    made: dict[str, set[str]] = {}
    for label in labels:
        if label.photo and label.is_person and label.person_id in people:
            made.setdefault(label.person_id, set()).add(label.photo)
    changed: list[Person] = []
    for person_id, digests in made.items():
        person = _without_photos(people[person_id], digests)
        if not person.photos:
            return tuple(changed), person_id
        changed.append(person)
    return tuple(changed), ""


def _people_parted(
    said: str, mark: Label, labels: Sequence[Label], people: dict[str, Person]
) -> Change:
    """Two people who were merged are two again, with what was theirs."""
    note = json.loads(mark.note)
    kept = people[mark.person_id]
    theirs = {photo.sha256: photo for photo in kept.photos if photo.sha256 in note["photos"]}
    other = Person(
        note["person_id"],
        note["name"],
        tuple(note["aliases"]),
        tuple(theirs[digest] for digest in note["photos"] if digest in theirs),
        note["created_at"],
    )
    kept = replace(
        kept,
        photos=tuple(photo for photo in kept.photos if photo.sha256 not in note["added"]),
        aliases=tuple(name for name in kept.aliases if name not in other.names),
    )
    was_theirs = set(note["labels"])
    back = tuple(
        replace(each, person_id=other.person_id) if each.label_id in was_theirs else each
        for each in labels
        if each.answer_id != mark.answer_id
    )
    return Change(said, kept=back, people=(kept, other))


def _moved(
    rows: Rows, members: Sequence[Member], tracks: Sequence[int], number: int
) -> tuple[Member, ...]:
    """The members, with these tracks in cluster `number`."""
    _, joined = numbers(rows, members)
    places = {int(joined[track]) for track in tracks}
    return tuple(
        replace(member, number=number) if member.joined in places else member for member in members
    )


def _counted(n: int, thing: str) -> str:
    return f"{n} {thing}" + ("" if n == 1 else "s")
