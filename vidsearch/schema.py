"""The archive's tables as Arrow schemas, and the way from records to rows and back.

- `videos`: one row a video. Written last, it publishes the rows of the other tables that carry
  its `generation`; rows of any other generation do not exist for a reader.
- `shots`: one row a shot, with the unit mean of its keyframes' vectors.
- `keyframes`: one row a keyframe, which stands for a part of a shot. It is a table of its own,
  beside the design's four, because a vector index wants one vector a row and long shots are
  searched by parts.
- `faces`: one row a look of a face track; the track's thumbnail lies with its best look only.
- `figures`: one row a track that shares its shot with others: what is around that person alone.
- `people`: one row a person. The photos' pictures lie in a column of their own, so that a search
  reads the vectors without them.
- `labels`: what people said of faces, one row a face and answer.
- `clusters`: one row a face track that `people discover` has seen. Like `labels` it knows a face by
  video, time and box, and has no generation: both outlive the rows of a video.
- `jobs`: one row a run of `index` that had something to do.

Rows of `shots`, `keyframes`, `faces` and `figures` carry the `place` of their shot, one number that
an index finds them by (see `place_of`), and their numbers once more, side by side
(`vidsearch.packing`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from vidsearch import packing
from vidsearch.records import AnalyzedVideo, Job, Label, Member, Person, Photo, Shot, Vector, Video
from vidsearch.stamp import Stamp

# Published by the videos row of their generation.
CONTENT = ("shots", "keyframes", "faces", "figures")
# What each generation of an archive has for itself; the other tables are common to all.
ROWS = ("videos", *CONTENT)
COMMON = ("people", "labels", "clusters", "jobs")
TABLES = (*ROWS, *COMMON)
LATER = (
    "figures",
    "labels",
    "clusters",
    "jobs",
)  # an archive of an older layout lacks these until somebody writes to it
# Columns of `videos` that came after the first layout.
_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(Video)
    if field.name in ("detector", "rate", "variable_rate", "timecode", "reel", "recorded_at")
}
SLICE = 64  # rows of CONTENT turned to Arrow at once: 1 MB of keyframes with their thumbnails

# What a search reads, kept beside the tables as plain columns (see `vidsearch.columns`), and the
# order in which it wants the rows.
SEARCHED: dict[str, tuple[str, ...]] = {
    "videos": (),  # all
    "shots": packing.names("shots"),
    "keyframes": (*packing.names("keyframes"), "vector"),
    "faces": (*packing.names("faces"), "vector"),
    "figures": (*packing.names("figures"), "vector"),
    "people": ("person_id", "name", "aliases", "created_at", "photos"),
    "labels": (),  # all
    "clusters": (),  # all
    "jobs": (),  # all
}
ORDER: dict[str, tuple[str, ...]] = {
    "videos": ("indexed_at", "video_id"),
    "shots": ("generation", "shot"),
    "keyframes": ("generation", "shot", "start_s"),
    "faces": ("generation", "shot", "track", "look"),
    "figures": ("generation", "shot", "track"),
    "people": ("created_at", "person_id"),
    "labels": ("created_at", "answer_id", "label_id"),
    "clusters": ("joined",),
    "jobs": ("started_at", "job_id"),
}


_OWNER = (
    ("video_id", pa.string()),
    ("generation", pa.int64()),
    ("shot", pa.int32()),
    ("place", pa.int64()),
)
_APART = 1_000_003
_NUMBERS = {"float16": pa.float16(), "float32": pa.float32()}
PLACE_IN_SQL = f"generation + {_APART} * CAST(shot AS BIGINT)"
_SPAN = (("start_s", pa.float64()), ("end_s", pa.float64()))


def place_of(generation: Any, shot: Any) -> Any:
    """One number for a shot of a generation, or int64 [N] for as many of both.

    Generations are nanoseconds, so two shots share a number next to never; who looks rows up by
    it checks their `generation` and `shot` all the same.
    """
    return generation + _APART * shot


def schemas(stamp: Stamp) -> dict[str, pa.Schema]:
    """The schema of every table, with the vector lengths of the archive's models."""
    number = _NUMBERS[stamp.numbers]
    context, face = pa.list_(number, stamp.encoder_dim), pa.list_(number, stamp.face_dim)
    return {
        "videos": _videos(),
        "shots": _shots(context),
        "keyframes": _keyframes(context),
        "faces": _faces(face),
        "figures": _figures(context),
        "people": _people(),
        "labels": _labels(),
        "clusters": _clusters(),
        "jobs": _jobs(),
    }


def full_numbers(schema: pa.Schema) -> pa.Schema:
    """The same columns with vectors of float32, as they are computed with."""
    return pa.schema(
        [
            field.with_type(pa.list_(pa.float32(), field.type.list_size))
            if pa.types.is_fixed_size_list(field.type)
            else field
            for field in schema
        ]
    )


def _videos() -> pa.Schema:
    return pa.schema(
        [
            ("video_id", pa.string()),
            ("generation", pa.int64()),
            ("path", pa.string()),
            ("paths", pa.list_(pa.binary())),
            ("size", pa.int64()),
            ("mtime", pa.float64()),
            ("status", pa.string()),
            ("error", pa.string()),
            ("media_offset_s", pa.float64()),
            ("codec", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("duration_s", pa.float64()),
            ("frame_rate", pa.float64()),
            ("n_frames", pa.int64()),
            ("n_shots", pa.int32()),
            ("indexed_at", pa.float64()),
            ("detector", pa.string()),
            ("rate", pa.string()),
            ("variable_rate", pa.bool_()),
            ("timecode", pa.string()),
            ("reel", pa.string()),
            ("recorded_at", pa.float64()),
        ]
    )


def _shots(context: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            *_OWNER,
            *_SPAN,
            ("start_frame", pa.int64()),
            ("end_frame", pa.int64()),
            ("n_tracks", pa.int32()),
            packing.field("shots"),
            ("vector", context),
        ]
    )


def _keyframes(context: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            *_OWNER,
            ("time_s", pa.float64()),
            ("frame", pa.int64()),
            *_SPAN,
            ("n_faces", pa.int32()),
            packing.field("keyframes"),
            ("vector", context),
            ("thumbnail", pa.binary()),
        ]
    )


def _faces(face: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            *_OWNER,
            ("track", pa.int32()),
            ("look", pa.int32()),
            ("track_start_s", pa.float64()),
            ("track_end_s", pa.float64()),
            ("time_s", pa.float64()),
            ("box", pa.list_(pa.float32(), 4)),
            ("quality", pa.float32()),
            ("cohort_mean", pa.float32()),
            ("cohort_std", pa.float32()),
            packing.field("faces"),
            ("vector", face),
            ("thumbnail", pa.binary()),
        ]
    )


def _figures(context: pa.DataType) -> pa.Schema:
    return pa.schema(
        [*_OWNER, ("track", pa.int32()), packing.field("figures"), ("vector", context)]
    )


def _people() -> pa.Schema:
    photo = pa.struct(
        [
            ("name", pa.string()),
            ("sha256", pa.string()),
            ("box", pa.list_(pa.float64())),
            ("vector", pa.list_(pa.float32())),
            ("quality", pa.float64()),
            ("cohort_mean", pa.float64()),
            ("cohort_std", pa.float64()),
        ]
    )
    return pa.schema(
        [
            ("person_id", pa.string()),
            ("name", pa.string()),
            ("aliases", pa.list_(pa.string())),
            ("created_at", pa.float64()),
            ("photos", pa.list_(photo)),
            ("jpegs", pa.list_(pa.binary())),
        ]
    )


_FACE = (("video_id", pa.string()), ("time_s", pa.float64()), ("box", pa.list_(pa.float64())))


def _labels() -> pa.Schema:
    return pa.schema(
        [
            ("label_id", pa.string()),
            *_FACE,
            ("person_id", pa.string()),
            ("is_person", pa.bool_()),
            ("created_at", pa.float64()),
            ("answer_id", pa.string()),
            ("kind", pa.string()),
            ("side", pa.int32()),
            ("number", pa.int64()),
            ("photo", pa.string()),
            ("note", pa.string()),
        ]
    )


def _clusters() -> pa.Schema:
    return pa.schema([("number", pa.int64()), ("joined", pa.int64()), *_FACE])


def _jobs() -> pa.Schema:
    return pa.schema(
        [
            ("job_id", pa.string()),
            ("state", pa.string()),
            ("started_at", pa.float64()),
            ("host", pa.string()),
            ("pid", pa.int64()),
            ("paths", pa.list_(pa.string())),
            ("by", pa.string()),
            ("seen_at", pa.float64()),
            ("ended_at", pa.float64()),
            ("todo", pa.int64()),
            ("indexed", pa.int64()),
            ("partial", pa.int64()),
            ("failed", pa.int64()),
            ("shots", pa.int64()),
            ("video_s", pa.float64()),
            ("error", pa.string()),
            ("failures", pa.list_(pa.struct([("path", pa.string()), ("reason", pa.string())]))),
        ]
    )


def video_rows(videos: Iterable[tuple[Video, int]], schema: pa.Schema) -> pa.Table:
    """Rows of `videos` with their generations."""
    rows = [
        {
            name: getattr(video, name)
            for name in schema.names
            if name not in ("generation", "paths", "path")
        }
        | {"generation": generation, "paths": list(video.paths), "path": printable(video)}
        for video, generation in videos
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def printable(video: Video) -> str:
    """The first path as text that Arrow can hold: a file name may hold half a surrogate pair."""
    return video.path.encode("utf-8", "backslashreplace").decode("utf-8")


def videos_from(table: pa.Table) -> list[tuple[Video, int]]:
    """The way back from `video_rows`."""
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    generations = columns.pop("generation")
    columns.pop("path")
    columns["paths"] = [tuple(paths) for paths in columns["paths"]]
    for name, default in _DEFAULTS.items():  # in rows that are older than the column
        values = columns.get(name, [None] * table.num_rows)
        columns[name] = [default if value is None else value for value in values]
    names = list(columns)
    return [
        (Video(**dict(zip(names, values, strict=True))), generation)
        for generation, *values in zip(generations, *columns.values(), strict=True)
    ]


def content_rows(
    videos: Sequence[tuple[AnalyzedVideo, int]], table: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows of a table of `CONTENT` of analysed videos with their generations, in order.

    They come `SLICE` at a time: the rows of a long video, all made at once, would take twice the
    memory that the video's records take. Vectors must have passed `check_lengths`.
    """
    rows = (
        _owner(analyzed.video.video_id, generation, shot.index) | row
        for analyzed, generation in videos
        for shot in analyzed.shots
        for row in _ROWS[table](shot)
    )
    while some := list(islice(rows, SLICE)):
        yield _batch(table, some, schema)


def _batch(table: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = [
        packing.packed(table, columns)
        if field.name == packing.COLUMN
        else _column(columns[field.name], field)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _owner(video_id: str, generation: int, shot: int) -> dict[str, Any]:
    place = place_of(generation, shot)
    return {"video_id": video_id, "generation": generation, "shot": shot, "place": place}


def check_lengths(videos: Iterable[AnalyzedVideo], tables: dict[str, pa.Schema]) -> None:
    """Raise ValueError if vectors have another length than those of the archive's models."""
    context, face = (tables[n].field("vector").type.list_size for n in ("keyframes", "faces"))
    for video in videos:
        for shot in video.shots:
            for keyframe in shot.keyframes:
                _check_length(keyframe.vector, context)
            for track in shot.tracks:
                for vector in track.vectors:
                    _check_length(vector, face)
                if track.figure is not None:
                    _check_length(track.figure, context)


def _check_length(vector: Vector, size: int) -> None:
    if vector.shape != (size,):
        raise ValueError(f"vectors of {size} numbers expected, got shape {vector.shape}")


def _told(shot: Shot) -> dict[str, Any]:
    return {
        "start_s": shot.start_s,
        "end_s": shot.end_s,
        "start_frame": shot.start_frame,
        "end_frame": shot.end_frame,
        "n_tracks": len(shot.tracks),
    }


def _shot_rows(shot: Shot) -> Iterator[dict[str, Any]]:
    yield _told(shot) | {"vector": mean_direction([keyframe.vector for keyframe in shot.keyframes])}


def _keyframe_rows(shot: Shot) -> Iterator[dict[str, Any]]:
    told = packing.of_shot(_told(shot))
    return (vars(keyframe) | told for keyframe in shot.keyframes)


def _face_rows(shot: Shot) -> Iterator[dict[str, Any]]:
    for number, track in enumerate(shot.tracks):
        for look in range(len(track.vectors)):
            yield {
                "track": number,
                "look": look,
                "track_start_s": track.start_s,
                "track_end_s": track.end_s,
                "time_s": track.times[look],
                "box": np.asarray(track.boxes[look], np.float32),
                "quality": track.qualities[look],
                "cohort_mean": track.cohort_mean[look],
                "cohort_std": track.cohort_std[look],
                "vector": track.vectors[look],
                "thumbnail": track.thumbnail if look == 0 else None,
            }


def _figure_rows(shot: Shot) -> Iterator[dict[str, Any]]:
    for number, track in enumerate(shot.tracks):
        if track.figure is not None:
            yield {"track": number, "vector": track.figure}


_ROWS: dict[str, Callable[[Shot], Iterator[dict[str, Any]]]] = {
    "shots": _shot_rows,
    "keyframes": _keyframe_rows,
    "faces": _face_rows,
    "figures": _figure_rows,
}


def mean_direction(vectors: Sequence[Vector]) -> Vector | None:
    """The mean of unit vectors, of unit length; None of none."""
    if not vectors:
        return None
    mean = np.mean(vectors, axis=0, dtype=np.float32)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def _column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_fixed_size_list(field.type):
        return vectors_column(values, field.type)
    return pa.array(values, field.type)


def vectors_column(values: Sequence[Vector | None], kind: pa.FixedSizeListType) -> pa.Array:
    """Vectors as one fixed-size list column, rounded to its kind of numbers."""
    missing = np.array([value is None for value in values], bool)
    flat = np.zeros((len(values), kind.list_size), kind.value_type.to_pandas_dtype())
    for row, value in enumerate(values):
        if value is not None:
            flat[row] = value
    return pa.FixedSizeListArray.from_arrays(
        pa.array(flat.ravel()), type=kind, mask=pa.array(missing) if missing.any() else None
    )


def people_rows(people: Sequence[Person], schema: pa.Schema) -> pa.Table:
    """Rows of `people`."""
    rows = [
        {
            "person_id": person.person_id,
            "name": person.name,
            "aliases": list(person.aliases),
            "created_at": person.created_at,
            "photos": [
                {
                    "name": photo.name,
                    "sha256": photo.sha256,
                    "box": list(photo.box),
                    "vector": photo.vector,
                    "quality": photo.quality,
                    "cohort_mean": photo.cohort_mean,
                    "cohort_std": photo.cohort_std,
                }
                for photo in person.photos
            ],
            "jpegs": [photo.jpeg for photo in person.photos],
        }
        for person in people
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def people_from(table: pa.Table) -> list[Person]:
    """The way back from `people_rows`; where `jpegs` was not read the photos are b""."""
    people = []
    for row in table.to_pylist():
        jpegs = row.get("jpegs") or [b""] * len(row["photos"])
        photos = tuple(
            Photo(
                name=photo["name"],
                sha256=photo["sha256"],
                jpeg=jpeg,
                box=tuple(photo["box"]),
                vector=np.array(photo["vector"], np.float32),
                quality=photo["quality"],
                cohort_mean=photo["cohort_mean"],
                cohort_std=photo["cohort_std"],
            )
            for photo, jpeg in zip(row["photos"], jpegs, strict=True)
        )
        people.append(
            Person(row["person_id"], row["name"], tuple(row["aliases"]), photos, row["created_at"])
        )
    return people


def face_rows(faces: Sequence[Label] | Sequence[Member], schema: pa.Schema) -> pa.Table:
    """Rows of `labels` or `clusters`."""
    rows = [vars(face) | {"box": list(face.box)} for face in faces]
    return pa.Table.from_pylist(rows, schema=schema)


def labels_from(table: pa.Table) -> list[Label]:
    """The way back from `face_rows` of labels, in the order of the rows."""
    return [Label(**row | {"box": tuple(row["box"])}) for row in table.to_pylist()]


def members_from(table: pa.Table) -> list[Member]:
    """The way back from `face_rows` of members, in the order of the rows."""
    return [Member(**row | {"box": tuple(row["box"])}) for row in table.to_pylist()]


def job_rows(jobs: Sequence[Job], schema: pa.Schema) -> pa.Table:
    """Rows of `jobs`."""
    rows = [
        vars(job)
        | {
            "paths": list(job.paths),
            "failures": [{"path": path, "reason": reason} for path, reason in job.failures],
        }
        for job in jobs
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def jobs_from(table: pa.Table) -> list[Job]:
    """The way back from `job_rows`, in the order of the rows."""
    return [
        Job(
            **row
            | {
                "paths": tuple(row["paths"]),
                "failures": tuple((bad["path"], bad["reason"]) for bad in row["failures"]),
            }
        )
        for row in table.to_pylist()
    ]
