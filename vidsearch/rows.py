"""The columns of an archive that questions are answered from, as arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vidsearch.schema import videos_from
from vidsearch.search import Rows

Ints = NDArray[np.int64]


def join(tables: Mapping[str, pa.Table]) -> Rows:
    """Rows of all published videos from the columns of `videos`, `shots`, `keyframes`, `faces`.

    The tables are sorted as `vidsearch.schema.ORDER` says. Vectors are not copied unless rows of
    unpublished generations lie between the others.
    """
    published = [entry for entry in videos_from(tables["videos"]) if entry[1]]
    published.sort(key=lambda entry: entry[1])
    generations = np.array([generation for _, generation in published], np.int64)
    shots = _visible(tables["shots"], generations)
    keyframes = _visible(tables["keyframes"], generations)
    faces = _visible(tables["faces"], generations)
    shot_keys = _shot_keys(shots, generations)
    looks_shot = np.searchsorted(shot_keys, _shot_keys(faces, generations))
    look_track, first = _tracks(looks_shot, _numbers(faces, "track"))
    return Rows(
        videos=tuple(video for video, _ in published),
        shot_video=shot_keys >> 32,
        shot_index=_numbers(shots, "shot").astype(np.int64),
        shot_start_s=_numbers(shots, "start_s"),
        shot_end_s=_numbers(shots, "end_s"),
        keyframe_shot=np.searchsorted(shot_keys, _shot_keys(keyframes, generations)),
        keyframe_s=_numbers(keyframes, "time_s"),
        part_start_s=_numbers(keyframes, "start_s"),
        part_end_s=_numbers(keyframes, "end_s"),
        keyframe_vectors=_lists(keyframes, "vector"),
        track_shot=looks_shot[first],
        track_start_s=_numbers(faces, "track_start_s")[first],
        track_end_s=_numbers(faces, "track_end_s")[first],
        look_track=look_track,
        look_s=_numbers(faces, "time_s"),
        look_boxes=_lists(faces, "box"),
        look_vectors=_lists(faces, "vector"),
        look_quality=_numbers(faces, "quality"),
        look_cohort_mean=_numbers(faces, "cohort_mean"),
        look_cohort_std=_numbers(faces, "cohort_std"),
    )


def _visible(table: pa.Table, generations: Ints) -> pa.Table:
    """The rows of published generations (sorted); the table itself if that is all of them."""
    written = _numbers(table, "generation")
    place = np.searchsorted(generations, written)
    place[place == len(generations)] = 0
    seen = generations[place] == written if len(generations) else np.zeros(len(written), bool)
    return table if seen.all() else table.filter(pa.array(seen))


def _shot_keys(table: pa.Table, generations: Ints) -> Ints:
    """One growing number a shot: the video's place among `generations`, then the shot's number."""
    video = np.searchsorted(generations, _numbers(table, "generation")).astype(np.int64)
    return video << 32 | _numbers(table, "shot").astype(np.int64)


def _tracks(look_shot: Ints, track: NDArray[Any]) -> tuple[Ints, Ints]:
    """The track of each look, counted over the archive, and the row of each track's first look."""
    new = np.ones(len(track), bool)
    new[1:] = (look_shot[1:] != look_shot[:-1]) | (track[1:] != track[:-1])
    return np.cumsum(new) - 1, np.flatnonzero(new)


def _numbers(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name).combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _lists(table: pa.Table, name: str) -> NDArray[np.float32]:
    """A column of fixed-size lists as [N, size], without copying."""
    column = table.column(name).combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    size = array.type.list_size
    return np.asarray(array.flatten().to_numpy(zero_copy_only=False)).reshape(-1, size)
