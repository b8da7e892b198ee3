"""What holds of the stored rows of videos, and which videos break it.

Each check takes the whole table at once and gives the rows that are wrong; they are told by video.

- `shots`: as many as the `videos` row says, numbered from 0; frames and seconds tile the video.
- `keyframes`: one a shot at least; their parts tile the shot, their moment lies in their part.
- `faces`: of a shot that is there; tracks numbered from 0, as many as the shot says; looks
  numbered from 0, the first with a picture, the others without; times and boxes possible.
- `figures`: one a track at most, of a track that is there.
- what is `packed` of a row is what its columns say, and of a keyframe what its shot's say.
- vectors are finite and of unit length; pictures decode, or are absent where they were forgotten.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vidsearch import packing
from vidsearch.records import Video
from vidsearch.rows import by_place, packed_of, vectors_of
from vidsearch.schema import CONTENT, place_of
from vidsearch.tables import Tables

_SAME_S = 1e-6
_INSIDE_S = 1e-3  # times of faces and keyframes are of frames, those of shots of cuts
_UNIT = 1e-3
_EDGE = 1e-3  # by which a box may lie outside the picture

Arrays = Mapping[str, NDArray[Any]]
_COLUMNS = {
    "shots": ("generation", "shot", "start_s", "end_s", "start_frame", "end_frame", "n_tracks"),
    "keyframes": ("generation", "shot", "time_s", "frame", "start_s", "end_s", "n_faces"),
    "faces": ("generation", "shot", "track", "look", "track_start_s", "track_end_s", "time_s"),
    "figures": ("generation", "shot", "track"),
}


@dataclass(frozen=True)
class Broken:
    """What is wrong with the rows of a video, as a sentence."""

    generation: int
    what: str


def broken(tables: Tables, published: Mapping[int, Video]) -> Iterator[Broken]:
    """All that is wrong with the rows of videos, which `published` has by generation."""
    rows = {name: _sorted(tables, name, published) for name in CONTENT}
    yield from _counted(rows["shots"], published)
    checks: tuple[tuple[str, Callable[[], NDArray[np.int64]]], ...] = (
        ("shots that do not tile the video", lambda: _untiled(rows["shots"], published)),
        ("shots without a keyframe", lambda: _without_keyframe(rows)),
        ("keyframes whose parts do not tile their shot", lambda: _parts(rows)),
        ("keyframes outside their part", lambda: _keyframe_moments(rows)),
        ("faces of no shot", lambda: _lost(rows["faces"], rows["shots"])),
        ("shots with other face tracks than they count", lambda: _tracks(rows)),
        ("face tracks whose looks are not numbered from 0", lambda: _looks(rows["faces"])),
        ("faces outside their track or shot", lambda: _face_moments(rows)),
        ("figures of no face track, or two of one", lambda: _figures(rows)),
    )
    for what, check in checks:
        yield from _told(check(), what)
    shots = by_place(rows["shots"])
    for name in CONTENT:
        yield from _row_by_row(tables, name, published, shots)


def _told(generations: NDArray[np.int64], what: str) -> Iterator[Broken]:
    """One sentence a video, with the number of rows."""
    for generation, n in zip(*np.unique(generations, return_counts=True), strict=True):
        yield Broken(int(generation), f"{what}: {n}")


def _sorted(tables: Tables, name: str, published: Mapping[int, Video]) -> dict[str, Any]:
    """Columns of the published rows of a table, by generation, shot and what follows."""
    table = tables.read(name, _COLUMNS[name])
    arrays: dict[str, Any] = {
        column: np.array(table.column(column).to_pylist(), _kind(table.schema.field(column).type))
        for column in _COLUMNS[name]
    }
    seen = np.isin(arrays["generation"], list(published))
    last = {"keyframes": ["start_s"], "faces": ["look", "track"], "figures": ["track"]}
    order = [*last.get(name, []), "shot", "generation"]
    at = np.flatnonzero(seen)
    at = at[np.lexsort([arrays[column][at] for column in order])]
    return {column: values[at] for column, values in arrays.items()}


def _kind(kind: pa.DataType) -> type:
    return np.float64 if pa.types.is_floating(kind) else np.int64


def _counted(shots: Arrays, published: Mapping[int, Video]) -> Iterator[Broken]:
    for generation, video in published.items():
        numbers = shots["shot"][shots["generation"] == generation]
        if len(numbers) != video.n_shots:
            yield Broken(generation, f"{video.n_shots} shots are told, {len(numbers)} are there")
        elif (numbers != np.arange(len(numbers))).any():
            yield Broken(generation, "shots are not numbered from 0")


def _untiled(shots: Arrays, published: Mapping[int, Video]) -> NDArray[np.int64]:
    generation, start, end = shots["generation"], shots["start_s"], shots["end_s"]
    wrong = ~((start < end) & (shots["start_frame"] < shots["end_frame"]))
    first = np.ones(len(start), bool)
    first[1:] = generation[1:] != generation[:-1]
    wrong |= first & ((np.abs(start) > _SAME_S) | (shots["start_frame"] != 0))
    inner = ~first[1:]
    gap = (np.abs(start[1:] - end[:-1]) > _SAME_S) | (
        shots["start_frame"][1:] != shots["end_frame"][:-1]
    )
    wrong[1:] |= inner & gap
    for at in np.flatnonzero(np.append(~inner, True) if len(start) else []):
        video = published[int(generation[at])]
        wrong[at] |= video.status == "indexed" and shots["end_frame"][at] != video.n_frames
    return np.asarray(generation[wrong], np.int64)


def _ranked(*tables: Arrays) -> tuple[NDArray[np.int64], ...]:
    """One growing number a shot for each row: its video's place among all, and its own number."""
    every = np.unique(np.concatenate([rows["generation"] for rows in tables]))
    return tuple(
        np.searchsorted(every, rows["generation"]).astype(np.int64) << 32 | rows["shot"]
        for rows in tables
    )


def _without_keyframe(rows: Mapping[str, Arrays]) -> NDArray[np.int64]:
    shots, keyframes = _ranked(rows["shots"], rows["keyframes"])
    return np.asarray(rows["shots"]["generation"][~np.isin(shots, keyframes)], np.int64)


def _parts(rows: Mapping[str, Arrays]) -> NDArray[np.int64]:
    """Keyframes of no shot, and those that do not begin where the one before them ends."""
    shots, keyframes = rows["shots"], rows["keyframes"]
    shot_keys, keys = _ranked(shots, keyframes)
    at, lost = _place(shot_keys, keys)
    start, end = keyframes["start_s"], keyframes["end_s"]
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    last = np.append(first[1:], True) if len(keys) else first
    wrong = lost | ~(start < end)
    if len(shot_keys):
        wrong |= first & (np.abs(start - shots["start_s"][at]) > _SAME_S)
        wrong |= last & (np.abs(end - shots["end_s"][at]) > _SAME_S)
    # Several keyframes may stand for one part.
    again = (start[1:] == start[:-1]) & (end[1:] == end[:-1])
    wrong[1:] |= ~first[1:] & ~again & (np.abs(start[1:] - end[:-1]) > _SAME_S)
    return np.asarray(keyframes["generation"][wrong], np.int64)


def _keyframe_moments(rows: Mapping[str, Arrays]) -> NDArray[np.int64]:
    shots, keyframes = rows["shots"], rows["keyframes"]
    at, lost = _place(*_ranked(shots, keyframes))
    time, frame = keyframes["time_s"], keyframes["frame"]
    wrong = (time < keyframes["start_s"] - _INSIDE_S) | (time > keyframes["end_s"] + _INSIDE_S)
    wrong |= ~np.isfinite(time) | (keyframes["n_faces"] < 0)
    if len(shots["shot"]):
        wrong |= (frame < shots["start_frame"][at]) | (frame >= shots["end_frame"][at])
    return np.asarray(keyframes["generation"][wrong & ~lost], np.int64)


def _place(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[Any, NDArray[np.bool_]]:
    """Where each of `wanted` stands in sorted `keys`, and which do not."""
    at = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    lost = np.ones(len(wanted), bool) if not len(keys) else keys[at] != wanted
    return at, lost


def _lost(rows: Arrays, shots: Arrays) -> NDArray[np.int64]:
    _, lost = _place(*_ranked(shots, rows))
    return np.asarray(rows["generation"][lost], np.int64)


def _tracks(rows: Mapping[str, Arrays]) -> NDArray[np.int64]:
    """Shots whose tracks are not the numbers from 0 to the one before `n_tracks`."""
    shots, faces = rows["shots"], rows["faces"]
    shot_keys, keys = _ranked(shots, faces)
    both = np.unique(np.stack([keys, faces["track"]], axis=1), axis=0)
    at, lost = _place(shot_keys, both[:, 0])
    count = np.bincount(at[~lost], minlength=len(shot_keys)) if len(shot_keys) else np.zeros(0)
    highest = np.full(len(shot_keys), -1)
    np.maximum.at(highest, at[~lost], both[~lost, 1])
    wrong = (count != shots["n_tracks"]) | (highest != shots["n_tracks"] - 1)
    return np.asarray(shots["generation"][wrong], np.int64)


def _looks(faces: Arrays) -> NDArray[np.int64]:
    (keys,) = _ranked(faces)
    look = faces["look"]
    first = np.ones(len(keys), bool)
    first[1:] = (keys[1:] != keys[:-1]) | (faces["track"][1:] != faces["track"][:-1])
    wrong = first & (look != 0)
    wrong[1:] |= ~first[1:] & (look[1:] != look[:-1] + 1)
    return np.asarray(faces["generation"][wrong], np.int64)


def _face_moments(rows: Mapping[str, Arrays]) -> NDArray[np.int64]:
    shots, faces = rows["shots"], rows["faces"]
    at, lost = _place(*_ranked(shots, faces))
    start, end, time = faces["track_start_s"], faces["track_end_s"], faces["time_s"]
    wrong = ~((start - _INSIDE_S <= time) & (time <= end + _INSIDE_S))
    if len(shots["shot"]):
        wrong |= (start < shots["start_s"][at] - _INSIDE_S) | (end > shots["end_s"][at] + _INSIDE_S)
    return np.asarray(faces["generation"][wrong & ~lost], np.int64)


def _figures(rows: Mapping[str, Arrays]) -> NDArray[np.int64]:
    figures, faces = rows["figures"], rows["faces"]
    keys, face_keys = _ranked(figures, faces)
    there = set(zip(face_keys.tolist(), faces["track"].tolist(), strict=True))
    seen: dict[tuple[int, int], int] = defaultdict(int)
    wrong = np.zeros(len(keys), bool)
    for row, track in enumerate(zip(keys.tolist(), figures["track"].tolist(), strict=True)):
        seen[track] += 1
        wrong[row] = track not in there or seen[track] > 1
    return np.asarray(figures["generation"][wrong], np.int64)


def _row_by_row(
    tables: Tables, name: str, published: Mapping[int, Video], shots: Arrays
) -> Iterator[Broken]:
    """What can be seen of each row by itself, a batch at a time: vectors, boxes, pictures."""
    found: dict[str, list[int]] = defaultdict(list)
    for batch in tables.batches(name):
        generation = np.array(batch["generation"].to_pylist(), np.int64)
        seen = np.isin(generation, list(published))
        for what, wrong in (*_wrong_rows(batch, name), *_wrongly_packed(batch, name, shots)):
            found[what] += generation[wrong & seen].tolist()
    for what, generations in found.items():
        yield from _told(np.array(generations, np.int64), what)


def _wrong_rows(batch: pa.RecordBatch, name: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield f"{name} with a vector that is none", ~_is_unit(batch["vector"])
    if name == "keyframes":
        pictures = batch["thumbnail"].to_pylist()
        yield "keyframes with a broken picture", np.array([bad_jpeg(p) for p in pictures], bool)
    if name == "faces":
        yield "faces with an impossible box, quality or cohort", ~_are_possible(batch)
        pairs = zip(batch["look"].to_pylist(), batch["thumbnail"].to_pylist(), strict=True)
        wrong = [bool(jpeg) if look else not jpeg or bad_jpeg(jpeg) for look, jpeg in pairs]
        yield "faces with a broken picture, or one too many", np.array(wrong, bool)


def _wrongly_packed(
    batch: pa.RecordBatch, name: str, shots: Arrays
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Rows whose packed numbers are others than those of their columns and of their `shots`.

    These are in the order of their places. What is of none of them is told of elsewhere.
    """
    if packing.COLUMN not in batch.schema.names:
        return
    rows = pa.Table.from_batches([batch])
    places = place_of(*(rows[column].to_numpy() for column in ("generation", "shot")))
    at = np.searchsorted(shots["place"], places)
    there = at < len(shots["place"])
    there[there] = shots["place"][at[there]] == places[there]
    rows = rows.filter(pa.array(there))
    told = packed_of(name, rows, shots).to_pylist()
    wrong = np.zeros(len(there), bool)
    wrong[there] = [a != b for a, b in zip(rows[packing.COLUMN].to_pylist(), told, strict=True)]
    yield f"{name} whose packed numbers are not those of their columns", wrong


def _are_possible(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Which faces have a box inside the picture, and numbers that a face can have."""
    boxes = np.array(batch["box"].to_pylist(), np.float64).reshape(-1, 4)
    inside = np.all((boxes > -_EDGE) & (boxes < 1 + _EDGE), axis=1)
    inside &= np.all(boxes[:, :2] < boxes[:, 2:], axis=1)
    quality, mean, std = (
        np.array(batch[column].to_pylist(), np.float64)
        for column in ("quality", "cohort_mean", "cohort_std")
    )
    numbers = (quality >= 0) & (quality <= 1) & (std > 0) & (np.abs(mean) <= 1)
    return np.asarray(inside & numbers, bool)


def _is_unit(column: pa.Array) -> NDArray[np.bool_]:
    """Which vectors of a fixed-size list column have unit length; one that is absent has not."""
    there = np.array(column.is_valid().to_pylist(), bool)
    lengths = np.zeros(len(column))
    lengths[there] = np.linalg.norm(vectors_of(column.drop_null()), axis=1)
    return np.asarray(np.abs(lengths - 1) <= _UNIT)


def bad_jpeg(picture: bytes | None) -> bool:
    """Whether bytes are no JPEG that decodes; b"" stands for one that was forgotten."""
    if picture is None:
        return True
    if not picture:
        return False
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
            image.load()
    except (OSError, ValueError, SyntaxError):
        return True
    return False
