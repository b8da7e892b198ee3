"""Synthetic records to store: plausible in form and size, and the same for the same seed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import AnalyzedVideo, FaceTrack, Keyframe, Person, Photo, Shot, Video

ENCODER_DIM = 16
FACE_DIM = 8
MODELS = {
    "encoder": "test-encoder",
    "encoder_dim": ENCODER_DIM,
    "face_model": "test-faces",
    "face_dim": FACE_DIM,
}


def unit(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float32]:
    """`n` random directions, float32 [n, dim], that an archive's float16 holds as they are."""
    vectors = rng.standard_normal((n, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32)


def analyzed_video(
    name: str = "a",
    *,
    shots: int = 3,
    tracks: int = 1,
    looks: int = 2,
    seed: int = 0,
    encoder_dim: int = ENCODER_DIM,
    face_dim: int = FACE_DIM,
    thumbnail: int = 200,
    long_every: int = 5,
) -> AnalyzedVideo:
    """A video `/videos/NAME.mp4` of 4-second shots; every `long_every`-th has three keyframes.

    `tracks` is the number of face tracks of each shot, `thumbnail` the bytes of a picture.
    """
    rng = np.random.default_rng(
        [seed, *hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()]
    )
    made = tuple(
        _shot(rng, index, 3 if index % long_every == long_every - 1 else 1, tracks, looks,
              encoder_dim, face_dim, thumbnail)
        for index in range(shots)
    )  # fmt: skip
    video = Video(
        video_id="id-" + name,
        paths=(b"/videos/" + name.encode("utf-8", "surrogateescape") + b".mp4",),
        size=1000 + shots,
        mtime=12345.5,
        codec="h264",
        width=1280,
        height=720,
        duration_s=4.0 * shots,
        frame_rate=25.0,
        n_frames=100 * shots,
        n_shots=shots,
        indexed_at=time.time(),
    )
    return AnalyzedVideo(video, made)


def _shot(
    rng: np.random.Generator,
    index: int,
    parts: int,
    tracks: int,
    looks: int,
    encoder_dim: int,
    face_dim: int,
    thumbnail: int,
) -> Shot:
    start = 4.0 * index
    step = 4.0 / parts
    vectors = unit(rng, parts, encoder_dim)
    keyframes = tuple(
        Keyframe(
            time_s=start + (part + 0.5) * step,
            frame=int(25 * (start + (part + 0.5) * step)),
            start_s=start + part * step,
            end_s=start + (part + 1) * step,
            vector=vectors[part],
            thumbnail=b"\xff\xd8" + rng.bytes(thumbnail),
            n_faces=tracks,
        )
        for part in range(parts)
    )
    return Shot(
        index=index,
        start_s=start,
        end_s=start + 4.0,
        start_frame=100 * index,
        end_frame=100 * (index + 1),
        keyframes=keyframes,
        tracks=tuple(
            _track(rng, start, looks, face_dim, thumbnail, encoder_dim if tracks > 1 else 0)
            for _ in range(tracks)
        ),
    )


def _track(
    rng: np.random.Generator,
    start: float,
    looks: int,
    face_dim: int,
    thumbnail: int,
    figure_dim: int,
) -> FaceTrack:
    x, y = rng.uniform(0, 0.7, 2)
    return FaceTrack(
        start_s=start + 0.5,
        end_s=start + 3.5,
        vectors=unit(rng, looks, face_dim),
        qualities=rng.uniform(0.2, 1.0, looks).astype(np.float32),
        cohort_mean=rng.uniform(0.1, 0.3, looks).astype(np.float32),
        cohort_std=rng.uniform(0.03, 0.06, looks).astype(np.float32),
        times=tuple(start + 0.5 + look for look in range(looks)),
        boxes=((x, y, x + 0.2, y + 0.3),) * looks,
        thumbnail=b"\xff\xd8face" + rng.bytes(thumbnail // 4),
        figure=unit(rng, 1, figure_dim)[0] if figure_dim else None,
    )


def archive_of(
    videos: int, *, shots_each: int, seed: int = 0, **facts: int
) -> Iterator[AnalyzedVideo]:
    """Many videos for a large archive, made one at a time; `facts` as of `analyzed_video`."""
    for number in range(videos):
        yield analyzed_video(f"v{number:05d}", shots=shots_each, seed=seed, **facts)


def person(
    name: str = "Anna Rossi",
    *,
    photos: int = 2,
    aliases: tuple[str, ...] = (),
    face_dim: int = FACE_DIM,
    seed: int = 0,
    jpeg: bytes = b"\xff\xd8photo",
) -> Person:
    """Somebody enrolled from photos whose pictures are `jpeg` and a number."""
    rng = np.random.default_rng([seed, *name.encode()])
    taken = tuple(
        Photo(
            name=f"{name}{number}.jpg",
            sha256=hashlib.sha256(f"{name}{number}".encode()).hexdigest(),
            jpeg=jpeg + b"%d" % number,
            box=(0.25, 0.25, 0.75, 0.75),
            vector=unit(rng, 1, face_dim)[0],
            quality=0.9,
            cohort_mean=0.2,
            cohort_std=0.05,
        )
        for number in range(photos)
    )
    return Person("p-" + name, name, aliases, taken, created_at=time.time())
