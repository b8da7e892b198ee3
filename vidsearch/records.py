"""What passes between the stages: Video, Keyframe, Shot, FaceTrack, Person, Rows, Hit.

All times are seconds from the first video frame, by presentation timestamp; all boxes are
`(x0, y0, x1, y1)` relative to the upright picture at display aspect, 0 to 1; all vectors are
float32 of unit length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
Box = tuple[float, float, float, float]
Status = Literal["indexed", "partial", "failed"]
SAME_MOMENT_S = 0.25  # a box drawn on a picture of another moment would lie
EXACT_BELOW = 100_000
"""Shots from which on an archive keeps indexes (`vidsearch.search_index`)."""
SAID_BY_HAND = "said by hand"  # in the place of a photo, where somebody said who a face is
LabelKind = Literal["person", "same", "apart", "ignored", "people"]


@dataclass(frozen=True)
class Video:
    """One video file, or several byte-identical copies of it.

    `video_id` is made from the size and a hash of three 1 MiB ranges, so it survives renaming
    and moving. `paths` are the file system's own bytes (`os.fsencode`), first the one that was
    indexed. `media_offset_s` is where the first video frame stands in the file's own clock.
    `error` is "" unless `status` is "failed" or "partial". `detector` is what found its shots,
    with the options that were set; "" where that was not noted yet.

    For editors: `rate` is the exact frame rate as a fraction ("30000/1001"), "" where nobody knows;
    `variable_rate` says that frames stand at uneven distances; `timecode` is that of the first
    frame as the file has it ("10:00:00:00", with ";" before the frames where it drops numbers) and
    `reel` its tape or reel name, both "" where the file names none. `recorded_at` is when the file
    says it was made, in seconds since 1970, 0 where it says nothing.
    """

    video_id: str
    paths: tuple[bytes, ...]
    size: int
    mtime: float
    status: Status = "indexed"
    error: str = ""
    media_offset_s: float = 0.0
    codec: str = ""
    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    frame_rate: float = 0.0
    n_frames: int = 0
    n_shots: int = 0
    indexed_at: float = 0.0
    detector: str = ""
    rate: str = ""
    variable_rate: bool = False
    timecode: str = ""
    reel: str = ""
    recorded_at: float = 0.0

    @property
    def path(self) -> str:
        """The first path as printable text (undecodable bytes become `\\xNN`)."""
        return self.paths[0].decode("utf-8", "backslashreplace") if self.paths else self.video_id


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A frame that stands for a part `[start_s, end_s)` of a shot; parts tile the shot."""

    time_s: float
    frame: int
    start_s: float
    end_s: float
    vector: Vector  # [D] context
    thumbnail: bytes  # JPEG, long side 320
    n_faces: int  # usable faces seen in this frame


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face followed through one shot.

    `vectors` [N, F] are its N best looks, best first, with `qualities` [N], `times` [N] and
    `boxes` of the same looks. `cohort_mean` and `cohort_std` [N] are the statistics of each
    vector against the face model's cohort of strangers (see `idclip.identity`). `figure` is the
    context vector [D] of the person's own surroundings, cut from the picture of the best look
    that has somebody beside it; None where nobody is, and the keyframes say as much.
    """

    start_s: float
    end_s: float
    vectors: Vector
    qualities: NDArray[np.float32]
    cohort_mean: NDArray[np.float32]
    cohort_std: NDArray[np.float32]
    times: tuple[float, ...]
    boxes: tuple[Box, ...]
    thumbnail: bytes  # JPEG of the best look
    figure: Vector | None = None


@dataclass(frozen=True, eq=False)
class Shot:
    """Frames `[start_frame, end_frame)`, seconds `[start_s, end_s)`; shots tile their video."""

    index: int
    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    keyframes: tuple[Keyframe, ...]
    tracks: tuple[FaceTrack, ...]


@dataclass(frozen=True, eq=False)
class AnalyzedVideo:
    """Everything `analyze()` found in one file: pure data, ready to be stored."""

    video: Video
    shots: tuple[Shot, ...]


@dataclass(frozen=True, eq=False)
class Photo:
    """A reference photo of a person, shrunk, with the face that was chosen in it."""

    name: str  # file name, or VIDEO@TIME
    sha256: str  # of the original bytes: the same photo twice is told
    jpeg: bytes
    box: Box  # of the face, relative to the shrunk photo
    vector: Vector  # [F]
    quality: float
    cohort_mean: float
    cohort_std: float


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody enrolled from photos."""

    person_id: str
    name: str
    aliases: tuple[str, ...]
    photos: tuple[Photo, ...]
    created_at: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class Label:
    """What somebody said of a face: that at `time_s` the one at `box` is a person, or is not.

    It is kept by video, time and box, so that it outlives the rows it was said of.

    One answer of somebody may be of many faces: all its labels have one `answer_id`. Of `kind`
    "person" it is what was said above; the others have no `person_id`, and are of clusters:
    "same" (those of `side` 0 and 1 are one person if `is_person`, else two), "apart" (those of
    side 0 are taken out of their cluster and make cluster `number`, which those of side 1 stay
    out of), "ignored" (nobody wants to hear of them). `photo` is the digest of the reference photo
    that naming made of the face, "" where it made none. Of kind "people" there is no face, and
    `note` (JSON) holds what to bring back: `person_id` was merged with somebody.
    """

    label_id: str
    video_id: str
    time_s: float
    box: Box
    person_id: str
    is_person: bool
    created_at: float
    answer_id: str = ""
    kind: LabelKind = "person"
    side: int = 0
    number: int = 0
    photo: str = ""
    note: str = ""


@dataclass(frozen=True)
class Member:
    """That a face (a track's best look) belongs to cluster `number`; the `joined`th to be found."""

    number: int
    joined: int
    video_id: str
    time_s: float
    box: Box


@dataclass(frozen=True)
class Sighting:
    """Why a shot is said to show a person: which face, when, and which photo it resembles."""

    name: str
    probability: float
    time_s: float
    box: Box
    reference: str


@dataclass(frozen=True)
class Factor:
    """What one part of a question adds to a hit's score, or takes from it.

    `value`, 0 to 1, is a probability (`kind` "person") or a score ("scene", "like") of what is
    asked, `wanted` or not. `weight` is what the part adds to the log odds of the score: how much
    these would be less without it. `details` are (name, value) of what it is made of.
    """

    kind: Literal["person", "scene", "like"]
    what: str
    wanted: bool
    value: float
    weight: float
    details: tuple[tuple[str, float | str], ...]


@dataclass(frozen=True)
class Job:
    """One run of `index`, as the archive remembers it.

    `state` is "running", "done", "stopped" by whoever started it, "failed" as a whole with its
    `error`, or "killed". Times are seconds since 1970, 0 where there is none; `seen_at` is when it
    last wrote. `by` says by what ("2 processes", "Ray auto"). `todo` videos were to be
    analysed, of `video_s` seconds so far, those in work included; `failures` are paths with their
    reasons.
    """

    job_id: str
    state: str
    started_at: float
    host: str
    pid: int
    paths: tuple[str, ...]
    by: str
    seen_at: float = 0.0
    ended_at: float = 0.0
    todo: int = 0
    indexed: int = 0
    partial: int = 0
    failed: int = 0
    shots: int = 0
    video_s: float = 0.0
    error: str = ""
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Hit:
    """One shot of the answer, with its evidence.

    `factors` are what the score is made of, one for each part of the question, and `next_below`
    says why the next hit is below, "" of the last.
    """

    rank: int
    video: str  # printable path
    video_id: str
    shot: int
    start_s: float
    end_s: float
    keyframe_s: float
    score: float
    context_score: float | None  # None where the question had no context
    people: tuple[Sighting, ...]
    copies: int = 0  # how many more files hold the same video
    others: int = 0  # how many more shots of this video answer, where one of each is shown
    doubles: int = 0  # how many shots that look like this one were left out
    factors: tuple[Factor, ...] = ()
    next_below: str = ""


@dataclass(frozen=True, eq=False)
class Still:
    """The picture that shows a hit, RGB uint8 [H, W, 3], any size.

    It is not `exact` where a thumbnail, or a grey plate, stands in for a frame that cannot be read:
    boxes of faces are of another moment then.
    """

    picture: NDArray[np.uint8]
    exact: bool = True

    def framed(self, people: Sequence[Sighting], moment_s: float) -> tuple[Sighting, ...]:
        """Those whose face may be framed on it, the picture of `moment_s`; others would lie."""
        return tuple(
            seen for seen in people if self.exact and abs(seen.time_s - moment_s) <= SAME_MOMENT_S
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """What `Archive.query` gives: the hits, and a sentence when there are none.

    `total` shots of `n_videos` videos answer in all; the hits are those shown of them after the
    first `offset`, one of each video where `by_video`. `further` is whether more come after them.
    Of a large archive not every shot is looked at: where there may be more, `at_least` is true.
    `tree` is how the question was read, drawn as lines.
    """

    query: str
    people: tuple[str, ...]
    context: str
    message: str
    hits: tuple[Hit, ...]
    total: int = 0
    n_videos: int = 0
    offset: int = 0
    by_video: bool = False
    further: bool = False
    tree: str = ""
    at_least: bool = False


@dataclass(frozen=True, eq=False)
class Rows:
    """The columns of an archive that questions are answered from, as arrays in memory.

    `*_shot`, `shot_video`, `look_track` and `figure_track` are row numbers of the table they name;
    keyframes are sorted by shot, looks and figures by track. Not every track has a figure.
    """

    videos: tuple[Video, ...]
    shot_video: Ints  # [S]
    shot_index: Ints  # [S]
    shot_start_s: Reals  # [S]
    shot_end_s: Reals  # [S]
    shot_start_frame: Ints  # [S]
    shot_end_frame: Ints  # [S]
    keyframe_shot: Ints  # [K]
    keyframe_s: Reals  # [K]
    part_start_s: Reals  # [K]
    part_end_s: Reals  # [K]
    keyframe_vectors: Vector  # [K, D]
    track_shot: Ints  # [T]
    track_start_s: Reals  # [T]
    track_end_s: Reals  # [T]
    look_track: Ints  # [L]
    look_s: Reals  # [L]
    look_boxes: NDArray[np.float32]  # [L, 4]
    look_vectors: Vector  # [L, F]
    look_quality: NDArray[np.float32]  # [L]
    look_cohort_mean: NDArray[np.float32]  # [L]
    look_cohort_std: NDArray[np.float32]  # [L]
    figure_track: Ints  # [G]
    figure_vectors: Vector  # [G, D]
    labels: tuple[Label, ...] = ()  # what people said of faces
    label_track: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # -1: of no track
    typical: Vector | None = None  # of the whole archive, where these are rows chosen from it
    shot_tracks: NDArray[np.int32] | None = None  # [S], read or not; None where all are there

    @cached_property
    def typical_picture(self) -> Vector:
        """The mean of all keyframe vectors of the archive [D]."""
        if self.typical is not None:
            return self.typical
        return np.asarray(self.keyframe_vectors.mean(axis=0), np.float32)

    @cached_property
    def tracks_of_shots(self) -> NDArray[Any]:
        """How many face tracks each shot has [S], those that were not read among them."""
        if self.shot_tracks is not None:
            return self.shot_tracks
        return np.bincount(self.track_shot, minlength=len(self.shot_video))

    @property
    def nbytes(self) -> int:
        """The bytes of all columns."""
        return sum(each.nbytes for each in vars(self).values() if isinstance(each, np.ndarray))

    @cached_property
    def remembered(self) -> dict[object, Any]:
        """What was found out about these rows, by whatever that depends on."""
        return {}
