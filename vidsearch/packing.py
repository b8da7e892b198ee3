"""What a question reads of a row, side by side in one column.

Lance keeps columns apart, so each value of a row that an index found is a read of its own, and a
large archive reads rows here and there: five numbers of a keyframe took longer than its vector.
So rows of videos have their numbers a second time, in a column of bytes that one read brings.
Keyframes have those of their shot as well, so that a context is answered from keyframes alone.

A table of an older layout has no such column, and is asked for its plain ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")
COLUMN = "packed"
_ROW = [("generation", "<i8"), ("shot", "<i4")]
_SPAN = [("start_s", "<f8"), ("end_s", "<f8")]
_OF_SHOT = [*_SPAN, ("start_frame", "<i8"), ("end_frame", "<i8"), ("n_tracks", "<i4")]
_SHOTS = "shot_"  # what begins so is told of the row's shot
_TRACKS = _SHOTS + "n_tracks"
_LAYOUTS: dict[str, np.dtype[np.void]] = {
    "shots": np.dtype([*_ROW, *_OF_SHOT]),
    "keyframes": np.dtype(
        [*_ROW, ("time_s", "<f8"), *_SPAN, *((_SHOTS + name, kind) for name, kind in _OF_SHOT)]
    ),
    "faces": np.dtype(
        [
            *_ROW,
            ("track", "<i4"),
            ("look", "<i4"),
            ("track_start_s", "<f8"),
            ("track_end_s", "<f8"),
            ("time_s", "<f8"),
            ("box", "<f4", 4),
            ("quality", "<f4"),
            ("cohort_mean", "<f4"),
            ("cohort_std", "<f4"),
        ]
    ),
    "figures": np.dtype([*_ROW, ("track", "<i4")]),
}


def names(table: str) -> tuple[str, ...]:
    """The columns of a table that are packed; without what keyframes tell of their shots."""
    return tuple(name for name in _LAYOUTS[table].names or () if not name.startswith(_SHOTS))


def field(table: str) -> pa.Field:
    """The column as Arrow has it."""
    return pa.field(COLUMN, pa.binary(_LAYOUTS[table].itemsize))


def packed(table: str, columns: Mapping[str, ArrayLike]) -> pa.Array:
    """The column, of all that is packed of `N` rows by name (a box is [N, 4])."""
    layout = _LAYOUTS[table]
    rows = np.zeros(len(np.asarray(columns["shot"])), layout)
    for name in layout.names or ():
        rows[name] = columns[name]
    buffers = [None, pa.py_buffer(rows.tobytes())]
    return pa.Array.from_buffers(pa.binary(layout.itemsize), len(rows), buffers)


def unpacked(table: str, column: pa.ChunkedArray) -> dict[str, NDArray[Any]]:
    """The way back: arrays [N] and [N, 4] by name."""
    layout = _LAYOUTS[table]
    parts = [np.frombuffer(part.buffers()[1], layout)[part.offset :][: len(part)]
             for part in column.chunks if len(part)]  # fmt: skip
    rows = np.concatenate(parts) if parts else np.zeros(0, layout)
    return {name: np.ascontiguousarray(rows[name]) for name in layout.names or ()}


def shots_of(keyframes: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What keyframes tell of their shots: columns of `shots`, a row for each keyframe."""
    found = {name: keyframes[name] for name, _ in _ROW}
    return found | {name: keyframes[_SHOTS + name] for name, _ in _OF_SHOT}


def of_shot(told: Mapping[str, T]) -> dict[str, T]:
    """What is told of a shot, or columns of it, by the names that they have with its keyframes."""
    return {_SHOTS + name: told[name] for name, _ in _OF_SHOT}


def with_fewer_tracks(column: pa.ChunkedArray, gone: NDArray[np.int32]) -> pa.Array:
    """The column of keyframes of whose shots so many tracks [N] are gone."""
    columns = unpacked("keyframes", column)
    return packed("keyframes", columns | {_TRACKS: columns[_TRACKS] - gone})
