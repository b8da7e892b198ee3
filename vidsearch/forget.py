"""Forgetting a person for good: what is known of them, and the way to leave no byte of it.

Lance keeps deleted rows on the disk: a deletion only marks them, and old versions stay. So every
table that holds, or ever held, a face or a picture is written anew without what is to go, by one
commit, and its past is removed. That also drops what an earlier indexing left behind.

What is to be done is first written to `forgetting.json`, which names nobody. Whoever opens the
archive to write finishes what a killed process began (`resume`); each step may be done twice.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vidsearch import audit, identities, packing, urls
from vidsearch.audit import Line
from vidsearch.labels import said_of, tracks_at
from vidsearch.records import Ints, Label, Member, Person, Rows
from vidsearch.rows import packed_of
from vidsearch.whole import write_whole

if TYPE_CHECKING:
    from idclip.identity import IdentityScorer
    from vidsearch.store import Store

_JOURNAL = "forgetting.json"
_REWRITTEN = ("faces", "figures", "shots", "keyframes")
Place = tuple[str, int]  # video id and shot


@dataclass(frozen=True)
class Traces:
    """What an archive holds of a person, besides their row in `people`.

    `tracks` are the numbers of their face tracks in each shot, `alone` the shots in which nobody
    else has one, `labels` the ids of labels and `members` the `joined` numbers of cluster members
    that are theirs. `counts` says how many things there are of each kind, photos included.
    """

    tracks: Mapping[Place, tuple[int, ...]]
    alone: frozenset[Place]
    labels: tuple[str, ...]
    members: tuple[int, ...]
    counts: Mapping[str, int]


def traces(
    rows: Rows,
    members: Sequence[Member],
    scorer: IdentityScorer,
    person: Person,
    enrolled: Sequence[Person],
    threshold: float,
) -> Traces:
    """What there is of `person`: faces that a question would find, that were labelled or clustered.

    A track is theirs where their probability, after everybody `enrolled` competed for it, is at
    least `threshold`, where somebody said so, and where most of its cluster is theirs; never where
    somebody said that it is not them.
    """
    everywhere = np.ones(len(rows.track_shot), bool)
    seen = identities.seen(rows, scorer, person, enrolled, everywhere, threshold)
    said = said_of(rows, person.person_id)
    theirs = seen.probability >= threshold
    theirs[said.are] = True
    theirs[said.are_not] = False
    theirs |= _of_their_clusters(rows, members, theirs)
    theirs[said.are_not] = False
    tracks = _by_shot(rows, theirs)
    alone = _alone(rows, theirs)
    labels = _labels_of(rows, person, theirs)
    of = tracks_at(rows, members)
    gone = tuple(m.joined for m, at in zip(members, of, strict=True) if at >= 0 and theirs[at])
    counts = {
        "photos": len(person.photos),
        "face tracks": int(theirs.sum()),
        "face vectors": int(theirs[rows.look_track].sum()),
        "shots without pictures": len(alone),
        "labels": len(labels),
        "faces in clusters": len(gone),
    }
    return Traces(tracks, alone, labels, gone, counts)


def forget(
    store: Store, person: Person, found: Traces, beside: Mapping[str, Traces] | None = None
) -> Line:
    """Remove a person and all that was `found` of them; gives the line that stays of it.

    `beside` has what was found in the other generations of the archive, by their `content`.
    `store` is open for writing. When this is done no byte of their photos, vectors and name is in
    the archive folder; if it is killed, the next writer finishes it. Raises `ArchiveUnavailable`.
    """
    from vidsearch.tables import explained

    with explained(store.folder, "written"):
        line = audit.forgetting(store.folder, person, found.counts)
        every = [found, *(beside or {}).values()]
        others = [each for each in store.others() if each.stamp.content in (beside or {})]
        work = {
            "person_id": person.person_id,
            "line": asdict(line),
            "labels": sorted({label for each in every for label in each.labels}),
            "members": sorted({member for each in every for member in each.members}),
            "rows": [_rows_of(each, of) for each, of in zip([store, *others], every, strict=True)],
        }
        write_whole(store.folder / _JOURNAL, json.dumps(work))
    resume(store)
    return line


def kept_elsewhere(folder: urls.Place) -> str:
    """A sentence on what a store may keep of what was forgotten; "" where it keeps nothing."""
    if isinstance(folder, Path):
        return ""
    try:
        if not folder.keeps_versions():
            return ""
    except OSError:
        return (
            f"Whether the bucket {folder.bucket} keeps old versions of objects cannot be seen"
            " (s3:GetBucketVersioning): if it does, what was forgotten is in them still."
        )
    return (
        f"The bucket {folder.bucket} keeps old versions of objects: what was forgotten is in them"
        f" until they are deleted. Delete the versions below {folder} that are not current."
    )


def kept_in_backups(folder: urls.Place) -> str:
    """A sentence on the backups that still hold what was forgotten; "" where none is known."""
    from vidsearch.backup import places_of

    if not (places := places_of(folder)):
        return ""
    commands = "".join(
        f"\n  {shlex.join(['vidsearch', 'backup', place, '--archive', str(folder), '--keep', '1'])}"
        for place in places
    )
    return (
        "Backups that were made before hold what was forgotten. To make a new one and remove"
        f" those:{commands}"
    )


def is_unfinished(folder: urls.Place) -> bool:
    """Whether somebody was being forgotten when a writer was killed."""
    return (folder / _JOURNAL).exists()


def resume(store: Store) -> None:
    """Do what `forgetting.json` says, or what is left of it; the file goes when all is done."""
    from vidsearch.tables import explained

    file = store.folder / _JOURNAL
    with explained(store.folder, "written"):
        work = json.loads(file.read_text("utf-8"))
        line = work["line"]
        audit.add(store.folder, Line(**line | {k: tuple(line[k]) for k in ("names", "photos")}))
    labels, members = set(work["labels"]), set(work["members"])
    store.put_labels([each for each in store.labels() if each.label_id not in labels])
    store.put_members([each for each in store.members() if each.joined not in members])
    store.remove_person(work["person_id"])
    # One that was written before there were generations is all about one of them.
    for of in work.get("rows") or [work | {"content": store.stamp.content}]:
        for each in (store, *store.others()):
            if each.stamp.content == of["content"]:
                _rewrite(each, of)
    with explained(store.folder, "written"):
        file.unlink()
    for each in (store, *store.others()):
        each.optimize()  # indexes went with the tables that they were of


def expect_commit(folder: urls.Place, content: str, table: str, version: int) -> None:
    """Before a commit to a table that has `version` and changes no row: it is no rewriting.

    Does nothing where nobody is being forgotten. Raises OSError.
    """
    if not is_unfinished(folder):
        return
    work = json.loads((folder / _JOURNAL).read_text("utf-8"))
    for each in work.get("rows") or [work]:
        mine = each.get("content", content) == content
        if mine and each["versions"].get(table) == version:
            each["versions"][table] = version + 1
    write_whole(folder / _JOURNAL, json.dumps(work))


def _rows_of(store: Store, found: Traces) -> dict[str, object]:
    """What is to be done to the rows of one generation, as JSON takes it."""
    return {
        "content": store.stamp.content,
        "tracks": [[video, shot, list(t)] for (video, shot), t in found.tracks.items()],
        "alone": sorted(found.alone),
        "versions": {name: store.version(name) for name in _REWRITTEN},
    }


def _rewrite(store: Store, of: Mapping[str, Any]) -> None:
    tracks = {(video, shot): tuple(numbers) for video, shot, numbers in of["tracks"]}
    alone = {(video, shot) for video, shot in of["alone"]}
    for name in _REWRITTEN:
        if store.version(name) > of["versions"][name]:
            store.purge(name)  # tracks are numbered anew, so this must not be done twice
        else:
            store.change(name, partial(_without, table=name, tracks=tracks, alone=alone))


def _of_their_clusters(
    rows: Rows, members: Sequence[Member], theirs: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The tracks [T] of clusters most of whose faces are theirs."""
    track = tracks_at(rows, members)
    number = np.array([member.number for member in members], np.int64)
    of = np.zeros(len(theirs), bool)
    for cluster in np.unique(number[track >= 0][theirs[track[track >= 0]]]):
        faces = track[(number == cluster) & (track >= 0)]
        if 2 * int(theirs[faces].sum()) > len(faces):
            of[faces] = True
    return of


def _by_shot(rows: Rows, theirs: NDArray[np.bool_]) -> dict[Place, tuple[int, ...]]:
    """The numbers that the tracks have within their shots; tracks are sorted by shot and number."""
    found: dict[Place, list[int]] = defaultdict(list)
    first = np.searchsorted(rows.track_shot, np.arange(len(rows.shot_video)))
    for track in np.flatnonzero(theirs):
        shot = int(rows.track_shot[track])
        found[_place(rows, shot)].append(int(track - first[shot]))
    return {place: tuple(numbers) for place, numbers in found.items()}


def _alone(rows: Rows, theirs: NDArray[np.bool_]) -> frozenset[Place]:
    n_shots = len(rows.shot_video)
    every = np.bincount(rows.track_shot, minlength=n_shots)
    own = np.bincount(rows.track_shot[theirs], minlength=n_shots)
    shots: Ints = np.flatnonzero((own > 0) & (own == every))
    return frozenset(_place(rows, int(shot)) for shot in shots)


def _place(rows: Rows, shot: int) -> Place:
    return rows.videos[rows.shot_video[shot]].video_id, int(rows.shot_index[shot])


def _labels_of(rows: Rows, person: Person, theirs: NDArray[np.bool_]) -> tuple[str, ...]:
    """What was said about them, of their faces, and notes that hold a name or photo of theirs."""
    marks = (person.person_id, *person.names, *(photo.sha256 for photo in person.photos))
    texts = {text for mark in marks for text in (mark, json.dumps(mark)[1:-1])}

    def is_theirs(label: Label, track: int) -> bool:
        noted = any(text in label.note for text in texts)
        return label.person_id == person.person_id or noted or (track >= 0 and bool(theirs[track]))

    pairs = zip(rows.labels, rows.label_track.tolist(), strict=True)
    return tuple(label.label_id for label, track in pairs if is_theirs(label, track))


def _without(
    batch: pa.RecordBatch,
    table: str,
    tracks: Mapping[Place, Sequence[int]],
    alone: Collection[Place],
) -> pa.RecordBatch:
    """Rows of a table without what is to go.

    Tracks that stay are numbered without gaps, in `shots` they are counted anew, as their keyframes
    tell as well; keyframes of shots that show nobody else lose their picture.
    """
    places = set(tracks)
    touched = pc.is_in(batch["video_id"], pa.array({video for video, _ in places}, pa.string()))
    rows = np.flatnonzero(np.asarray(touched.to_pylist(), bool)).tolist()
    if not rows:
        return batch
    videos, shots = batch["video_id"].to_pylist(), batch["shot"].to_pylist()
    gone = {row: tracks[at] for row in rows if (at := (videos[row], shots[row])) in places}
    if table == "keyframes":
        blank = [row for row in gone if (videos[row], shots[row]) in alone]
        return _with_fewer_tracks(_blanked(batch, blank), gone)
    changed = (_recounted if table == "shots" else _renumbered)(batch, gone)
    if packing.COLUMN not in changed.schema.names:
        return changed
    return _with(changed, packing.COLUMN, packed_of(table, pa.Table.from_batches([changed])))


def _blanked(batch: pa.RecordBatch, rows: Iterable[int]) -> pa.RecordBatch:
    pictures = batch["thumbnail"].to_pylist()
    for row in rows:
        pictures[row] = b""
    return _with(batch, "thumbnail", pictures)


def _with_fewer_tracks(batch: pa.RecordBatch, rows: Mapping[int, Sequence[int]]) -> pa.RecordBatch:
    """Keyframes that know of those tracks alone of their shots that stay."""
    if packing.COLUMN not in batch.schema.names:
        return batch
    gone = np.zeros(batch.num_rows, np.int32)
    gone[list(rows)] = [len(tracks) for tracks in rows.values()]
    packed = pa.chunked_array([batch[packing.COLUMN]])
    return _with(batch, packing.COLUMN, packing.with_fewer_tracks(packed, gone))


def _recounted(batch: pa.RecordBatch, rows: Mapping[int, Sequence[int]]) -> pa.RecordBatch:
    counts = batch["n_tracks"].to_pylist()
    for row, gone in rows.items():
        counts[row] -= len(gone)
    return _with(batch, "n_tracks", counts)


def _renumbered(batch: pa.RecordBatch, rows: Mapping[int, Sequence[int]]) -> pa.RecordBatch:
    numbers = batch["track"].to_pylist()
    keep = np.ones(batch.num_rows, bool)
    for row, gone in rows.items():
        keep[row] = numbers[row] not in gone
        numbers[row] -= sum(number < numbers[row] for number in gone)
    return _with(batch, "track", numbers).filter(pa.array(keep.tolist()))


def _with(batch: pa.RecordBatch, name: str, values: pa.Array | Sequence[object]) -> pa.RecordBatch:
    field = batch.schema.field(name)
    column = values if isinstance(values, pa.Array) else pa.array(values, field.type)
    return batch.set_column(batch.schema.get_field_index(name), field, column)
