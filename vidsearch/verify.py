"""Whether an archive is sound: every invariant of the store, looked at in the tables themselves.

`examine` finds the faults, `repair` mends those that can be mended without losing what cannot be
made again. Rows of videos are made again by indexing, so a video that is broken is dropped; people
and what was said of faces are not, so of those only what refers to nothing goes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from vidsearch import columns, forget, packing, search_index
from vidsearch.errors import ArchiveUnavailable
from vidsearch.health import orphans
from vidsearch.invariants import bad_jpeg, broken
from vidsearch.names import key
from vidsearch.records import Person
from vidsearch.schema import CONTENT, ORDER, SEARCHED, TABLES, full_numbers, videos_from
from vidsearch.stamp import SINCE_PLACE, Stamp, read_stamp
from vidsearch.urls import Place

if TYPE_CHECKING:
    from vidsearch.store import Store
    from vidsearch.tables import Tables

Mend = Literal["sweep", "copy", "video", "path", "labels", "clusters", ""]
_NAMES = {
    "_orphans": "the rows of videos",
    "_videos": "the list of videos",
    "_content": "the rows of videos",
    "_people": "the people",
    "_said": "what was said of faces",
    "_copies": "a copy for searches",
}
_ONE_VERSION = ("people",)  # of which nothing of the past may stay


@dataclass(frozen=True)
class Fault:
    """Something that does not hold.

    `what` is a sentence, `subject` the video id, table or name it is about, `mend` how `repair`
    mends it; "" where it cannot, and `remedy` is what a person can do. `beside` is the content of
    the generation of rows that it is in, where that is not the one questions are answered from.
    """

    what: str
    subject: str
    mend: Mend
    remedy: str = ""
    beside: str | None = None


@dataclass(frozen=True)
class Repaired:
    """What `repair` did: faults that were mended, faults that stay, files to be indexed again."""

    mended: tuple[Fault, ...]
    left: tuple[Fault, ...]
    again: tuple[str, ...]


def examine(folder: Place) -> list[Fault]:
    """The faults of the archive in `folder`; it is only read. An archive that is not there raises.

    Beside a writer that is at work it may tell of rows that are just being replaced.
    """
    from vidsearch.schema import schemas
    from vidsearch.tables import Tables

    stamp = read_stamp(folder)
    tables = Tables(folder, schemas(stamp), stamp.content)
    faults = _seen(tables, stamp, (_tables, _left_over, _rows, _people, _said, _copies))
    for generation in stamp.others:
        of = stamp.of(generation)
        beside = Tables(folder, schemas(of), generation.content)
        faults += [
            dataclasses.replace(
                fault,
                what=f"in the rows kept beside, of the encoder {of.encoder}: {fault.what}",
                beside=generation.content,
            )
            for fault in _seen(beside, of, (_tables, _rows, _copies))
        ]
    return faults


def _seen(
    tables: Tables, stamp: Stamp, looks: Sequence[Callable[[Tables, Stamp], Iterator[Fault]]]
) -> list[Fault]:
    faults: list[Fault] = []
    for look in looks:
        try:
            faults += look(tables, stamp)
        except (ArchiveUnavailable, OSError, RuntimeError, ValueError, pa.ArrowException) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            faults.append(_lost(_NAMES.get(look.__name__, "a table"), first))
    return faults


def _rows(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    """What is wrong with the rows of one generation."""
    for look in (_orphans, _videos, _content):
        yield from _seen(tables, stamp, (look,))


def repair(store: Store, faults: Sequence[Fault]) -> Repaired:
    """Mend what can be mended, in a store that was just opened for writing (which sweeps it)."""
    videos = {video.video_id: video for video in store.videos()}
    lost = {fault.subject for fault in faults if fault.mend == "video" and fault.beside is None}
    again = tuple(videos[each].path for each in sorted(lost & set(videos)))
    store.remove_videos(sorted(lost), everywhere=False)
    for each in store.others():
        broken = {f.subject for f in faults if f.mend == "video" and f.beside == each.stamp.content}
        each.remove_videos(sorted(broken))
    kinds = {fault.mend for fault in faults}
    if "path" in kinds:
        _one_owner_a_path(store)
    if "labels" in kinds:
        known = {person.person_id for person in store.people(pictures=False)}
        store.remove_labels(lambda label: label.kind == "person" and label.person_id not in known)
    if "clusters" in kinds:
        faces = {(m.video_id, m.time_s, m.box): m for m in reversed(store.members())}
        store.put_members(sorted(faces.values(), key=lambda member: member.joined))
    for each in (store, *store.others()):
        each.sweep()
        each.renew_copies()
    after = examine(store.folder)
    left = tuple(fault for fault in after if fault.mend != "copy")
    mended = tuple(fault for fault in faults if fault not in left)
    return Repaired(mended, left, again)


def drop_copies(folder: Place) -> None:
    """Remove the copies for searches: a wrong one must not decide what is swept. Raises OSError."""
    stamp = read_stamp(folder)
    for content in {each.content for each in (stamp.generation, *stamp.others)} | {""}:
        for name in TABLES:
            columns.forget(folder / content if content else folder, name)


def _lost(table: str, reason: str) -> Fault:
    remedy = "put the archive folder back from a backup, or index the videos into a new one"
    return Fault(f"{table} cannot be read: {reason}", table, "", remedy)


def _tables(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    from vidsearch.schema import schemas

    known = search_index.read(tables.rows_folder)
    for name, schema in schemas(stamp).items():
        if tables.lacks(name):
            continue
        there = tables.open(name).schema
        wrong = [
            field.name
            for field in schema
            if field.name in there.names and there.field(field.name).type != field.type
        ]
        missing = [f.name for f in schema if f.name not in there.names] if name != "videos" else []
        if known is None or not known.packed:  # tables of an older layout never get it
            missing = [column for column in missing if column != packing.COLUMN]
        if stamp.schema < SINCE_PLACE:
            missing = [column for column in missing if column != "place"]
        for column in (*wrong, *missing):
            yield _lost(f"{name}.{column}", "the column is absent or of another kind")


def _left_over(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    folder = tables.folder
    if forget.is_unfinished(folder):
        yield Fault("somebody is not forgotten to the end", "forgetting.json", "sweep")
    halves: list[Place] = [*folder.rglob("*.part")]
    for path in sorted(halves, key=str):
        yield Fault(f"a file was left half written: {path.name}", path.name, "sweep")
    for name in _ONE_VERSION:
        if not columns.is_tidy(folder, name):
            yield Fault(f"old versions of {name} are still on the disk", name, "sweep")


def _orphans(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    published = {generation for _, generation in videos_from(tables.read("videos"))}
    for name in CONTENT:
        if n := sum(orphans(tables.read(name, ["generation"]), published).values()):
            yield Fault(f"{n} rows of {name} are of no video", name, "sweep")


def _videos(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    entries = videos_from(tables.read("videos"))
    ids = Counter(video.video_id for video, _ in entries)
    generations = Counter(generation for _, generation in entries if generation)
    for video, generation in entries:
        if (n := max(ids[video.video_id], generations[generation])) > 1:
            what = f"{video.path}: {n} videos have its id or its rows"
            yield Fault(what, video.video_id, "video")
    for video, generation in entries:
        if (video.status == "failed") == bool(generation):
            what = f"{video.path}: it is {video.status}, but has {'' if generation else 'no '}rows"
            yield Fault(what, video.video_id, "video")
        if not video.paths:
            yield Fault(f"{video.video_id} has no path", video.video_id, "video")
    owners = Counter(path for video, _ in entries for path in set(video.paths))
    for path, n in owners.items():
        if n > 1:
            shown = path.decode("utf-8", "backslashreplace")
            yield Fault(f"{shown}: {n} videos are said to lie there", shown, "path")


def _content(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    published = {gen: video for video, gen in videos_from(tables.read("videos")) if gen}
    for each in broken(tables, published):
        video = published[each.generation]
        yield Fault(f"{video.path}: {each.what}", video.video_id, "video")


def _people(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    from vidsearch.schema import people_from

    rows = tables.read("people")
    people = people_from(rows)
    remedy = "remove them and enrol them again from their photos"
    for person_id, n in Counter(person.person_id for person in people).items():
        if n > 1:
            yield Fault(f"{n} people have one id", person_id, "", remedy)
    names = Counter(name for person in people for name in {key(each) for each in person.names})
    for name, n in names.items():
        if n > 1:
            said = " ".join(name)
            yield Fault(f'{n} people are called "{said}"', said, "", "rename or remove one of them")
    for person in people:
        for what in _wrong_photos(person, stamp.face_dim):
            yield Fault(f"{person.name}: {what}", person.name, "", remedy)


def _wrong_photos(person: Person, dim: int) -> Iterator[str]:
    if not person.photos:
        yield "there is no photo of them"
    for photo in person.photos:
        if photo.vector.shape != (dim,):
            yield f"the vector of {photo.name} has {len(photo.vector)} numbers, not {dim}"
        elif not abs(float(np.linalg.norm(photo.vector)) - 1) <= 1e-3:
            yield f"the vector of {photo.name} is none"
        if not photo.jpeg or bad_jpeg(photo.jpeg):
            yield f"the picture of {photo.name} is broken"
        x0, y0, x1, y1 = photo.box
        if not (-0.001 <= x0 < x1 <= 1.001 and -0.001 <= y0 < y1 <= 1.001):
            yield f"the face's place in {photo.name} is impossible"


def _said(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    from vidsearch.schema import labels_from, members_from

    known = {row["person_id"] for row in tables.read("people", ["person_id"]).to_pylist()}
    labels = labels_from(tables.read("labels"))
    lost = [each for each in labels if each.kind == "person" and each.person_id not in known]
    if lost:
        yield Fault(f"labels of nobody who is enrolled: {len(lost)}", "labels", "labels")
    members = members_from(tables.read("clusters"))
    twice = len(members) - len({(each.video_id, each.time_s, each.box) for each in members})
    if twice:
        yield Fault(f"faces in two clusters: {twice}", "clusters", "clusters")


def _copies(tables: Tables, stamp: Stamp) -> Iterator[Fault]:
    """Copies for searches that are not what their table holds. One that is absent is no fault."""
    for name in TABLES:
        folder = tables.place(name)
        if tables.lacks(name) or not (columns.copies(folder) / f"{name}.arrow").exists():
            continue
        copy = columns.load(folder, name, columns.table_key(folder, stamp.archive_id, name))
        if copy is None:
            yield Fault(f"the copy of {name} for searches is of another state", name, "copy")
            continue
        order = [(column, "ascending") for column in ORDER[name]]
        if SEARCHED[name] and copy.column_names != list(SEARCHED[name]):
            continue  # of an older vidsearch: nobody reads it, and it is made again when needed
        rows = tables.read(name, SEARCHED[name]).sort_by(order).combine_chunks()
        if not copy.equals(rows.cast(full_numbers(rows.schema))):
            yield Fault(f"the copy of {name} for searches is not what it holds", name, "copy")


def _one_owner_a_path(store: Store) -> None:
    """A path stays with the video that was indexed last; one that has no other goes."""
    taken: set[bytes] = set()
    homeless = []
    for video in sorted(store.videos(), key=lambda video: -video.indexed_at):
        rest = tuple(path for path in video.paths if path not in taken)
        taken.update(video.paths)
        if not rest:
            homeless.append(video.video_id)
        elif rest != video.paths:
            store.update_video(dataclasses.replace(video, paths=rest))
    store.remove_videos(homeless)
