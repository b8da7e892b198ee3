"""What an archive amounts to: hours, shots, faces, people, and the disk by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import generations
from vidsearch.columns import copies
from vidsearch.generations import Kept
from vidsearch.health import size_of
from vidsearch.schema import ROWS, TABLES
from vidsearch.stamp import Stamp
from vidsearch.urls import Place

if TYPE_CHECKING:
    from idclip.identity import IdentityScorer
    from vidsearch.store import Store


@dataclass(frozen=True)
class Stats:
    """Counts of what a question can find.

    `seconds` are of all videos that have shots; `screen_s` says how long each enrolled person is
    on screen (face tracks of at least the default probability, joined where they overlap).
    `clusters` are those that `discover` lists: of several faces, or named. `disk` has the bytes of
    each table, of `cache`, of the rows `kept beside` them and of `rest`, which together are the
    whole folder. `kept` are the generations beside the one that is counted here.
    """

    stamp: Stamp
    videos: Mapping[str, int]  # by status
    seconds: float
    source_bytes: int
    shots: int
    keyframes: int
    face_tracks: int
    face_looks: int
    labels: int
    clusters: int
    people: int
    photos: int
    screen_s: Mapping[str, float]
    disk: Mapping[str, int]
    kept: tuple[Kept, ...] = ()


def stats(store: Store, scorer: IdentityScorer) -> Stats:
    """Count everything in an archive; tables are read by their copies, not scanned."""
    from vidsearch.appearances import screen_time
    from vidsearch.search import THRESHOLD
    from vidsearch.unnamed import clusters_of, is_listed

    rows, enrolled = store.rows(), store.people(pictures=False)
    listed = screen_time(rows, scorer, enrolled, enrolled, "person", threshold=THRESHOLD)
    status = Counter(video.status for video in store.videos())
    return Stats(
        stamp=store.stamp,
        videos={each: status[each] for each in ("indexed", "partial", "failed")},
        seconds=sum(video.duration_s for video in rows.videos),
        source_bytes=sum(video.size for video in rows.videos),
        shots=len(rows.shot_video),
        keyframes=len(rows.keyframe_shot),
        face_tracks=len(rows.track_shot),
        face_looks=len(rows.look_track),
        labels=len(rows.labels),
        clusters=sum(is_listed(each) for each in clusters_of(store, scorer)),
        people=len(enrolled),
        photos=sum(len(person.photos) for person in enrolled),
        screen_s={each.name: each.seconds for each in listed},
        disk=disk(store.folder, store.stamp),
        kept=generations.kept(store),
    )


def disk(folder: Place, stamp: Stamp) -> dict[str, int]:
    """Bytes of each table, of the copies for searches (`cache`) and of what else is there."""
    rows = folder / stamp.content if stamp.content else folder
    parts = {n: size_of((rows if n in ROWS else folder) / f"{n}.lance") for n in TABLES}
    beside = {each.content: generations.size(folder, each.content) for each in stamp.others}
    caches = {str(copies(each)): size_of(copies(each)) for each in (folder, rows)}
    parts["cache"] = sum(caches.values())
    if "" in beside:  # the old rows in the archive folder have their copies in a common folder
        parts["cache"] -= sum(size_of(copies(folder) / f"{name}.arrow") for name in ROWS)
    if beside:
        parts["kept beside"] = sum(beside.values())
    there = size_of(folder)
    if not isinstance(folder, Path):  # copies lie elsewhere
        caches |= {c: size_of(copies(folder / c)) for c in beside if c}
        there += sum(caches.values())
    return parts | {"rest": max(0, there - sum(parts.values()))}
