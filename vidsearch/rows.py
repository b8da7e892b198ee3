"""The columns of an archive that questions are answered from, as arrays in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vidsearch import packing
from vidsearch.errors import VidsearchError
from vidsearch.labels import tracks_at
from vidsearch.records import Label, Rows, Video
from vidsearch.schema import CONTENT, labels_from, place_of, videos_from

Ints = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]  # columns by name, of as many rows each
_DTYPES = {
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float16(): np.float16,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def join(tables: Mapping[str, pa.Table]) -> Rows:
    """Rows of all published videos from the columns of `videos`, `shots`, `keyframes`, `faces`.

    The tables are sorted as `vidsearch.schema.ORDER` says. Nothing is copied unless rows of
    unpublished generations lie between the others. What was said of faces is in `labels`, where
    that table is given.
    """
    published = [entry for entry in videos_from(tables["videos"]) if entry[1]]
    labels = labels_from(tables["labels"]) if "labels" in tables else []
    return joined(published, {name: arrays_of(tables[name]) for name in CONTENT}, labels)


def joined(
    published: Iterable[tuple[Video, int]],
    columns: Mapping[str, Arrays],
    labels: Sequence[Label],
    typical: NDArray[np.float32] | None = None,
) -> Rows:
    """The same of `published` videos, their generations and columns; of some of the rows as well.

    `typical` is the archive's mean picture then. Rows of shots that are not there are left out.
    """
    published = sorted(published, key=lambda entry: entry[1])
    generations = np.array([generation for _, generation in published], np.int64)
    shots, keyframes, faces, figures = (_visible(columns[name], generations) for name in CONTENT)
    shot_keys = _shot_keys(shots, generations)
    if typical is not None:
        keyframes, faces, figures = (
            _of_shots(each, shot_keys, generations) for each in (keyframes, faces, figures)
        )
    look_shot = np.searchsorted(shot_keys, _shot_keys(faces, generations))
    look_track, first = _tracks(look_shot, faces["track"])
    figure_shot = np.searchsorted(shot_keys, _shot_keys(figures, generations))
    track_keys = _track_keys(look_shot[first], faces["track"][first])
    figure_keys = _track_keys(figure_shot, figures["track"])
    whose = np.isin(figure_keys, track_keys)  # not of somebody who is being forgotten just now
    rows = Rows(
        videos=tuple(video for video, _ in published),
        shot_video=shot_keys >> 32,
        shot_index=shots["shot"].astype(np.int64),
        shot_start_s=shots["start_s"],
        shot_end_s=shots["end_s"],
        shot_start_frame=shots["start_frame"],
        shot_end_frame=shots["end_frame"],
        shot_tracks=shots["n_tracks"],
        keyframe_shot=np.searchsorted(shot_keys, _shot_keys(keyframes, generations)),
        keyframe_s=keyframes["time_s"],
        part_start_s=keyframes["start_s"],
        part_end_s=keyframes["end_s"],
        keyframe_vectors=keyframes["vector"],
        track_shot=look_shot[first],
        track_start_s=faces["track_start_s"][first],
        track_end_s=faces["track_end_s"][first],
        look_track=look_track,
        look_s=faces["time_s"],
        look_boxes=faces["box"],
        look_vectors=faces["vector"],
        look_quality=faces["quality"],
        look_cohort_mean=faces["cohort_mean"],
        look_cohort_std=faces["cohort_std"],
        figure_track=np.searchsorted(track_keys, figure_keys[whose]),
        figure_vectors=figures["vector"] if whose.all() else figures["vector"][whose],
    )
    return replace(rows, labels=tuple(labels), label_track=tracks_at(rows, labels), typical=typical)


def is_whole(rows: Rows) -> bool:
    """Whether every video has as many shots as it should have."""
    found = np.bincount(rows.shot_video, minlength=len(rows.videos))
    return bool(found.tolist() == [video.n_shots for video in rows.videos])


def of_video(rows: Rows, video_id: str) -> Rows | None:
    """The Rows of one video, as views of the arrays; None where it has none.

    A column belongs to the table that its name begins with, so that a new one is cut as well.
    """
    at = next((n for n, video in enumerate(rows.videos) if video.video_id == video_id), None)
    if at is None:
        return None
    shots = _between(rows.shot_video, at, at + 1)
    tracks = _between(rows.track_shot, *shots)
    spans = {
        "shot": shots,
        "keyframe": _between(rows.keyframe_shot, *shots),
        "track": tracks,
        "look": _between(rows.look_track, *tracks),
        "figure": _between(rows.figure_track, *tracks),
    }
    spans["part"] = spans["keyframe"]
    cut: Arrays = {}
    for field in fields(rows):
        table, _, _ = field.name.partition("_")
        column = getattr(rows, field.name)
        if table in spans and column is not None:
            cut[field.name] = column[slice(*spans[table])]
    pointers = {"shot_video": at, "keyframe_shot": shots[0], "track_shot": shots[0]}
    pointers |= {"look_track": tracks[0], "figure_track": tracks[0]}
    cut |= {name: cut[name] - first for name, first in pointers.items()}
    said = np.flatnonzero((rows.label_track >= tracks[0]) & (rows.label_track < tracks[1]))
    cut["label_track"] = rows.label_track[said] - tracks[0]
    labels = tuple(rows.labels[int(n)] for n in said)
    changed: dict[str, Any] = {"videos": (rows.videos[at],), "labels": labels, **cut}
    return replace(rows, **changed)


def _between(column: Ints, first: int, last: int) -> tuple[int, int]:
    """Where the values `[first, last)` of a column that never falls lie in it."""
    start, end = np.searchsorted(column, [first, last])
    return int(start), int(end)


def arrays_of(table: pa.Table) -> Arrays:
    """The columns of a table as arrays [N] or, lists of a fixed size, [N, size].

    They are not copied, but for lists of float16, which become float32.

    By way of their buffers: `to_numpy` would import pandas where it is installed, which takes
    longer than a whole search. So would `combine_chunks` of nothing.
    """
    arrays = {}
    for field in table.schema:
        column = table.column(field.name)
        column = column.combine_chunks() if len(column) else pa.nulls(0, field.type)
        listed = pa.types.is_fixed_size_list(field.type)
        arrays[field.name] = vectors_of(column) if listed else _numbers(column)
    return arrays


def searched_of(name: str, table: pa.Table) -> Arrays:
    """The columns of a table of `CONTENT` as arrays, packed or not, and `place`.

    Places are quicker to reckon than to read.
    """
    plain = [column for column in table.column_names if column != packing.COLUMN]
    columns = arrays_of(table.select(plain))
    if packing.COLUMN in table.column_names:
        columns = packing.unpacked(name, table[packing.COLUMN]) | columns
    return columns | {"place": place_of(columns["generation"], columns["shot"].astype(np.int64))}


def by_place(columns: Mapping[str, NDArray[Any]]) -> Arrays:
    """The same rows with their `place`, in the order of these."""
    places = place_of(columns["generation"], columns["shot"].astype(np.int64))
    order = np.argsort(places)
    return {name: column[order] for name, column in {**columns, "place": places}.items()}


def packed_of(
    name: str, table: pa.Table, shots: Mapping[str, NDArray[Any]] | None = None
) -> pa.Array:
    """The column `vidsearch.packing.COLUMN` of rows from their other columns.

    What keyframes tell of their shots comes from `shots`, as `by_place` gives them. Raises
    VidsearchError for a keyframe of none of these.
    """
    columns = searched_of(name, table.select(list(packing.names(name))))
    if name == "keyframes":
        assert shots is not None, "keyframes are packed with their shots"
        at = np.searchsorted(shots["place"], columns["place"])
        if not np.array_equal(shots["place"][np.minimum(at, len(shots["place"]) - 1)],
                              columns["place"]):  # fmt: skip
            raise VidsearchError(
                "The archive has keyframes of shots that are not there. Find them, and mend it,"
                " with:\n  vidsearch verify --repair"
            )
        columns |= packing.of_shot({each: shots[each][at] for each in packing.names("shots")})
    return packing.packed(name, columns)


def vectors_of(column: pa.Array) -> NDArray[np.float32]:
    """Lists of a fixed size as an array [N, size]; not copied, but from float16 to float32."""
    numbers = _numbers(column.flatten()).reshape(-1, column.type.list_size)
    return numbers.astype(np.float32) if numbers.dtype == np.float16 else numbers


def _numbers(column: pa.Array) -> NDArray[Any]:
    numbers = np.frombuffer(column.buffers()[1], _DTYPES[column.type])
    return numbers[column.offset : column.offset + len(column)]


def _visible(columns: Arrays, generations: Ints) -> Arrays:
    """The rows of published generations (sorted); the columns themselves if that is all."""
    seen = np.isin(columns["generation"], generations)
    return columns if seen.all() else {name: column[seen] for name, column in columns.items()}


def _of_shots(columns: Arrays, shots: Ints, generations: Ints) -> Arrays:
    """The rows of shots that are there: a writer may have removed one between two reads."""
    there = np.isin(_shot_keys(columns, generations), shots)
    return columns if there.all() else {name: column[there] for name, column in columns.items()}


def _shot_keys(columns: Arrays, generations: Ints) -> Ints:
    """One growing number a shot: the video's place among `generations`, then the shot's number."""
    video = np.searchsorted(generations, columns["generation"]).astype(np.int64)
    return video << 32 | columns["shot"].astype(np.int64)


def _track_keys(shot: Ints, track: NDArray[Any]) -> Ints:
    """One growing number a track, of the rows of shots and the tracks' numbers in them."""
    return shot.astype(np.int64) << 32 | track.astype(np.int64)


def _tracks(look_shot: Ints, track: NDArray[Any]) -> tuple[Ints, Ints]:
    """The track of each look, counted over the archive, and the row of each track's first look."""
    new = np.ones(len(track), bool)
    new[1:] = (look_shot[1:] != look_shot[:-1]) | (track[1:] != track[:-1])
    return np.cumsum(new) - 1, np.flatnonzero(new)
