"""Large archives as they might be: scenes, near-doubles, casts, made video by video from a seed.

A video is a row of scenes, and a scene goes to and fro between two or three views, so that most
shots have neighbours that nearly look like them; one shot in fifty is a title or a jingle that
comes again in many videos. Views are mixtures of two of the `pictures` given, with noise of their
spread. Two shots in three show a face of the video's cast; who is known is in the shots that
`Cast` says. Of these one in twelve shows a stranger beside, and of one track in eight there are two
looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from store_records import person

from idclip.identity import IdentityScorer
from vidsearch import packing
from vidsearch.records import AnalyzedVideo, FaceTrack, Keyframe, Person, Shot, Video
from vidsearch.schema import place_of

Array = NDArray[np.float32]
_SHOT_S, _RATE = 6.0, 25
_JINGLES, _JINGLE_SHARE = 40, 0.02
_FACE_NOISE = 0.35
_BOX = (0.3, 0.2, 0.5, 0.5)
_BESIDE, _TWICE = 12, 8


@dataclass(frozen=True)
class Looks:
    """Faces of one video: shots [L], tracks in them [L], their looks [L], and what each is."""

    shot: NDArray[np.int64]
    track: NDArray[np.int64]
    look: NDArray[np.int64]
    vectors: Array
    quality: Array
    cohort_mean: Array
    cohort_std: Array

    def tracks(self, shots: int) -> NDArray[np.int64]:
        """How many tracks each shot has."""
        return np.bincount(self.shot[self.look == 0], minlength=shots)


@dataclass(frozen=True)
class Cast:
    """Who is known: in one shot of all, in some hundred, in one of fifty."""

    once: Person
    some: Person
    often: Person
    others: tuple[Person, ...]

    @property
    def people(self) -> tuple[Person, ...]:
        return (self.once, self.some, self.often, *self.others)


class Maker:
    """Makes videos; `pictures` [N, D] are vectors of real pictures, or of texts in their place."""

    def __init__(self, pictures: Array, scorer: IdentityScorer, seed: int = 0) -> None:
        self._scorer = scorer
        self._seed = seed
        rng = np.random.default_rng([seed, 1])
        self._pictures = _unit(pictures)
        centred = self._pictures - self._pictures.mean(axis=0)
        spread = np.cov(centred.T) + 1e-6 * np.eye(centred.shape[1])
        self._spread = np.linalg.cholesky(spread).T.astype(np.float32)
        self._jingles = self._views(rng, _JINGLES)
        self.cast = Cast(
            self._enrolled(rng, "Olga Once"),
            self._enrolled(rng, "Sam Sometimes"),
            self._enrolled(rng, "Otto Often"),
            tuple(self._enrolled(rng, f"Person {n:02d}") for n in range(20)),
        )
        self._faces = {p.name: _mean(p) for p in self.cast.people}

    def videos(
        self, n: int, shots: int, *, first: int = 0, every: int = 100
    ) -> Iterator[AnalyzedVideo]:
        """`n` videos of so many shots: Olga is in one of all, Otto in one of fifty.

        Sam is in one of `every`. `first` is the number of the first video, so that an archive can
        be gone on with. Of the shots that would show somebody, every third shows no face.
        """
        for number in range(first, first + n):
            yield self._video(number, shots, known_every=every)

    def pictures(self, number: int, shots: int) -> Array:
        """The vectors of a video's keyframes, float32 [shots, D] of unit length."""
        return self._shots(np.random.default_rng([self._seed, 2, number]), shots)

    def batches(
        self, number: int, generation: int, shots: int, schemas: Mapping[str, pa.Schema], every: int
    ) -> tuple[Video, dict[str, pa.RecordBatch]]:
        """A video as `videos` makes it and its rows for the store, ten times as fast."""
        rng = np.random.default_rng([self._seed, 2, number])
        video, pictures = _described(number, shots), self._shots(rng, shots)
        looks = self._looks(rng, number, shots, every)
        start = _SHOT_S * np.arange(shots)
        frame = int(_SHOT_S * _RATE) * np.arange(shots)
        seen = start[looks.shot]
        columns = {
            "shots": {
                "shot": np.arange(shots),
                "start_s": start,
                "end_s": start + _SHOT_S,
                "start_frame": frame,
                "end_frame": frame + int(_SHOT_S * _RATE),
                "n_tracks": looks.tracks(shots),
                "vector": pictures,
            },
            "keyframes": {
                "shot": np.arange(shots),
                "time_s": start + _SHOT_S / 2,
                "frame": frame + int(_SHOT_S * _RATE / 2),
                "start_s": start,
                "end_s": start + _SHOT_S,
                "n_faces": looks.tracks(shots),
                "vector": pictures,
                "thumbnail": [b""] * shots,
            },
            "faces": {
                "shot": looks.shot,
                "track": looks.track,
                "look": looks.look,
                "track_start_s": seen + 0.5,
                "track_end_s": seen + _SHOT_S - 0.5,
                "time_s": seen + 2.0 + looks.look,
                "box": np.tile(np.array(_BOX, np.float32), (len(seen), 1)),
                "quality": looks.quality,
                "cohort_mean": looks.cohort_mean,
                "cohort_std": looks.cohort_std,
                "vector": looks.vectors,
                "thumbnail": [b""] * len(seen),
            },
        }
        owner = {"video_id": [video.video_id], "generation": [generation]}
        columns["keyframes"] |= packing.of_shot(columns["shots"])
        return video, {
            name: _batch(name, each, owner, generation, schemas[name])
            for name, each in columns.items()
        }

    def _video(self, number: int, shots: int, known_every: int) -> AnalyzedVideo:
        rng = np.random.default_rng([self._seed, 2, number])
        pictures = self._shots(rng, shots)
        made = self._tracks(rng, number, shots, known_every)
        rows = tuple(
            Shot(
                index=at,
                start_s=_SHOT_S * at,
                end_s=_SHOT_S * (at + 1),
                start_frame=int(_SHOT_S * _RATE) * at,
                end_frame=int(_SHOT_S * _RATE) * (at + 1),
                keyframes=(
                    Keyframe(
                        time_s=_SHOT_S * (at + 0.5),
                        frame=int(_SHOT_S * _RATE * (at + 0.5)),
                        start_s=_SHOT_S * at,
                        end_s=_SHOT_S * (at + 1),
                        vector=pictures[at],
                        thumbnail=b"",
                        n_faces=len(made[at]),
                    ),
                ),
                tracks=tuple(made[at]),
            )
            for at in range(shots)
        )
        return AnalyzedVideo(_described(number, shots), rows)

    def _views(self, rng: np.random.Generator, n: int) -> Array:
        a, b = rng.integers(0, len(self._pictures), (2, n))
        share = rng.uniform(0.3, 1.0, (n, 1)).astype(np.float32)
        mixed = share * self._pictures[a] + (1 - share) * self._pictures[b]
        return mixed + 0.5 * self._noise(rng, n)

    def _noise(self, rng: np.random.Generator, n: int) -> Array:
        drawn = rng.standard_normal((n, len(self._spread)), dtype=np.float32)
        return np.asarray(drawn @ self._spread, np.float32)

    def _shots(self, rng: np.random.Generator, shots: int) -> Array:
        lengths = rng.integers(4, 20, shots // 4 + 1)
        scene = np.repeat(np.arange(len(lengths)), lengths)[:shots]
        view = 3 * scene + rng.integers(0, 3, shots)
        found = self._views(rng, 3 * len(lengths))[view] + 0.2 * self._noise(rng, shots)
        jingle = np.flatnonzero(rng.random(shots) < _JINGLE_SHARE)
        which = rng.integers(0, _JINGLES, len(jingle))
        found[jingle] = self._jingles[which] + 0.03 * self._noise(rng, len(jingle))
        return _unit(found)

    def _tracks(
        self, rng: np.random.Generator, number: int, shots: int, known_every: int
    ) -> list[list[FaceTrack]]:
        looks = self._looks(rng, number, shots, known_every)
        found: list[list[FaceTrack]] = [[] for _ in range(shots)]
        first = np.flatnonzero(looks.look == 0).tolist()
        for n, end in zip(first, [*first[1:], len(looks.look)], strict=True):
            start = _SHOT_S * int(looks.shot[n])
            track = FaceTrack(
                start_s=start + 0.5,
                end_s=start + _SHOT_S - 0.5,
                vectors=looks.vectors[n:end],
                qualities=looks.quality[n:end],
                cohort_mean=looks.cohort_mean[n:end],
                cohort_std=looks.cohort_std[n:end],
                times=tuple(start + 2.0 + look for look in range(end - n)),
                boxes=(_BOX,) * (end - n),
                thumbnail=b"",
            )
            found[looks.shot[n]].append(track)
        return found

    def _looks(self, rng: np.random.Generator, number: int, shots: int, known_every: int) -> Looks:
        """The faces of a video, by shot, track and look."""
        cast = np.stack([self._stranger(rng) for _ in range(6)])
        names = list(self._faces)
        cast[0] = self._faces[names[3 + number % 20]] if number % 5 == 0 else cast[0]
        at = np.flatnonzero(rng.random(shots) < 0.67)
        who = cast[rng.integers(0, len(cast), len(at))]
        whole = number * shots + at
        who[whole % 50 == 7] = self._faces["Otto Often"]
        who[whole % known_every == 3] = self._faces["Sam Sometimes"]
        if number == 1:
            who[len(who) // 2] = self._faces["Olga Once"]
        # A stranger beside comes after, and so does a second look of a track.
        at, who, track = _with_more(at, who, np.zeros_like(at), at % _BESIDE == 0, cast[1])
        at, who, look = _with_more(at, who, np.zeros_like(at), (at + track) % _TWICE == 5, None)
        track = np.cumsum(look == 0) - 1
        track -= track[np.searchsorted(at, at)]
        vectors, mean, std = self._seen(rng, who)
        quality = rng.uniform(0.5, 1.0, len(at)).astype(np.float32)
        return Looks(at, track, look, vectors, quality, mean, std)

    def _seen(self, rng: np.random.Generator, who: Array) -> tuple[Array, Array, Array]:
        noise = rng.standard_normal(who.shape, dtype=np.float32) * _FACE_NOISE
        vectors = _unit(who + noise / np.sqrt(who.shape[1]))
        mean, std = self._scorer.cohort_stats(vectors)
        return vectors, np.asarray(mean, np.float32), np.asarray(std, np.float32)

    def _stranger(self, rng: np.random.Generator) -> Array:
        a, b = self._scorer.cohort[rng.choice(len(self._scorer.cohort), 2, replace=False)]
        return _unit(a + b)

    def _enrolled(self, rng: np.random.Generator, name: str) -> Person:
        made = person(name, photos=3)
        vectors, mean, std = self._seen(rng, np.stack([self._stranger(rng)] * 3))
        photos = tuple(
            replace(photo, vector=vectors[n], cohort_mean=float(mean[n]), cohort_std=float(std[n]))
            for n, photo in enumerate(made.photos)
        )
        return replace(made, photos=photos)


def _with_more(
    at: NDArray[np.int64],
    who: Array,
    number: NDArray[np.int64],
    which: NDArray[np.bool_],
    other: Array | None,
) -> tuple[NDArray[np.int64], Array, NDArray[np.int64]]:
    """Faces with one more after each of `which`, of the `other` face or the same, and its number.

    Gives shots, faces and the numbers, of those that there were as `number` has them.
    """
    more = np.flatnonzero(which)
    faces = who[more] if other is None else np.broadcast_to(other, (len(more), who.shape[1]))
    return (
        np.insert(at, more + 1, at[more]),
        np.insert(who, more + 1, faces, axis=0),
        np.insert(number, more + 1, number[more] + 1),
    )


def _described(number: int, shots: int) -> Video:
    return Video(
        video_id=f"id-v{number:06d}",
        paths=(f"/videos/{number % 97:02d}/v{number:06d}.mp4".encode(),),
        size=1000 + number,
        mtime=1.6e9 + 86400.0 * (number % 2000),
        codec="h264",
        width=1280,
        height=720,
        duration_s=_SHOT_S * shots,
        frame_rate=float(_RATE),
        n_frames=int(_SHOT_S * _RATE) * shots,
        n_shots=shots,
        indexed_at=1.7e9 + number,
    )


def _batch(
    name: str,
    columns: dict[str, Any],
    owner: dict[str, list[Any]],
    generation: int,
    schema: pa.Schema,
) -> pa.RecordBatch:
    n = len(columns["shot"])
    every = {name: values * n for name, values in owner.items()} | columns
    every["place"] = place_of(generation, np.asarray(columns["shot"], np.int64))
    arrays = []
    every[packing.COLUMN] = packing.packed(name, every)
    for field in schema:
        values = every[field.name]
        if isinstance(values, pa.Array):
            arrays.append(values)
        elif pa.types.is_fixed_size_list(field.type):
            flat = pa.array(np.asarray(values, field.type.value_type.to_pandas_dtype()).ravel())
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _mean(who: Person) -> Array:
    return _unit(np.mean([photo.vector for photo in who.photos], axis=0))


def _unit(vectors: NDArray[np.floating]) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def captions(subjects: Sequence[str], doings: Sequence[str], places: Sequence[str]) -> list[str]:
    """Every subject doing everything everywhere, as texts."""
    return [f"{a} {b} {c}" for a in subjects for b in doings for c in places]
