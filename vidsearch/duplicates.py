"""The same footage in several files: re-encoded, shortened, or among other footage.

That two shots look alike says little: one camera on one desk gives shots as near as two copies of
one, and a poor copy of a shot is less near than that. What says most is the rhythm: in a copy the
cuts lie at the same distances. So two near shots are a seed, from which a run of shots is followed
in both files for as long as each next cut keeps its distance (`_STEADY_S`) and the shots look
somewhat alike; a cut that was missed in one file is stepped over. The more shots of a run are as
long in both files, the less alike they need to be (`_convinces`). A single long shot that was cut
shorter in one file is not found: a slide that stands looks the same all the time.

Shots of one colour (black, a fade, a slate without text) are nobody's footage and count nowhere.
The thresholds were chosen on halves of clips that share no footage, against copies of the same
clips: `benchmarks/duplicates.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.records import Ints, Reals, Rows, Vector

if TYPE_CHECKING:
    from vidsearch.store import Store

NEAR = 0.90  # mean cosine of a run in which one shot is as long in both files
# What is added to that for 0, 1, 2 and more shots of a run that are as long in both files.
_BY_LENGTH = (0.08, 0.0, -0.1, -0.2)
_ALONE = 0.06  # and for a shot without neighbours
_SEED = 0.75  # cosine of two shots from which a run is followed
_FOLLOWED = 0.45  # and of those that it is followed to
_STEADY_S = 0.12  # by which a cut may be found earlier or later in another encoding
_STEP = 3  # shots ahead that the next pair of a run is looked for: two cuts may be missed
_LEAST_S = 0.8  # a shorter run is a flash
_NEIGHBOURS = 64  # other shots that a shot is compared further with
_BLOCK = 1024  # shots compared with all others at once
_PLAIN = 6.0  # deviation of the grey values (0 to 255) under which a picture has nothing in it

Thumbnails = Callable[[int], bytes]


@dataclass(frozen=True)
class Span:
    """Seconds `[start_s, end_s)` of a video, which are of its shots `first` to `last`."""

    video: str
    video_id: str
    start_s: float
    end_s: float
    first: int
    last: int


@dataclass(frozen=True)
class SharedFootage:
    """The same footage in two files; `similarity` is the mean cosine of the shots that agree."""

    one: Span
    other: Span
    similarity: float
    n_shots: int


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Shots (rows) that are near each other, `one` of the earlier video; and how near [N]."""

    one: Ints
    other: Ints
    cosine: Reals


class Pictures:
    """The thumbnails of an archive's shots, read a video at a time and kept for that long."""

    def __init__(self, rows: Rows, store: Store) -> None:
        self._rows = rows
        self._store = store
        self._video = ""
        self._pictures: dict[int, bytes] = {}

    def of(self, shot: int) -> bytes:
        """The JPEG of a keyframe of a shot (row number); b"" where none is kept."""
        video = self._rows.videos[self._rows.shot_video[shot]].video_id
        if video != self._video:
            self._video, self._pictures = video, self._store.thumbnails(video)
        return self._pictures.get(int(self._rows.shot_index[shot]), b"")


def find(rows: Rows, thumbnail: Thumbnails, *, near: float = NEAR) -> list[SharedFootage]:
    """Spans of footage that two videos of the archive share, by video and time.

    `thumbnail` gives the JPEG of a keyframe of a shot (row number), b"" where none is kept. `near`
    is the least mean cosine of a run in which one shot is as long in both files; for others it
    moves with that.
    """
    vectors = _shot_vectors(rows)
    seeds = _near_pairs(vectors, rows.shot_video, _SEED)
    pairs = _without_plain(_followed(rows, vectors, seeds), thumbnail)
    found: list[SharedFootage] = []
    for group in _by_videos(rows, pairs):
        runs = [run for run in _runs(rows, group) if _convinces(rows, group, run, near)]
        found += [_double(rows, group, run) for run in _apart(rows, group, runs)]
    return found


def _shot_vectors(rows: Rows) -> Vector:
    """The mean direction of each shot's keyframes [S, D]; 0 where it has none."""
    if not len(rows.keyframe_shot):
        return np.zeros((len(rows.shot_video), 1), np.float32)
    first = np.searchsorted(rows.keyframe_shot, np.arange(len(rows.shot_video)))
    some = np.diff(np.append(first, len(rows.keyframe_shot))) > 0
    means = np.zeros((len(first), rows.keyframe_vectors.shape[1]), np.float32)
    means[some] = np.add.reduceat(rows.keyframe_vectors, first[some], axis=0)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.maximum(norms, 1e-12), np.float32)


def _near_pairs(vectors: Vector, video: Ints, near: float) -> _Pairs:
    """Pairs of shots of different videos with a cosine of at least `near`; the nearest of many."""
    ones, others, cosines = [], [], []
    for start in range(0, len(vectors), _BLOCK):
        stop = min(start + _BLOCK, len(vectors))
        # Shots are sorted by video, so only those of later ones are compared.
        after = int(np.searchsorted(video, video[start], "right"))
        cosine = vectors[start:stop] @ vectors[after:].T
        cosine[video[start:stop, None] >= video[None, after:]] = -1
        if cosine.shape[1] > _NEIGHBOURS:
            least = np.partition(cosine, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS]
            cosine[cosine < least[:, None]] = -1
        row, column = np.nonzero(cosine >= near)
        ones.append(row + start)
        others.append(column + after)
        cosines.append(cosine[row, column].astype(np.float64))
    if not ones:
        return _Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return _Pairs(np.concatenate(ones), np.concatenate(others), np.concatenate(cosines))


def _followed(rows: Rows, vectors: Vector, seeds: _Pairs) -> _Pairs:
    """The seeds, and all pairs that steady cuts lead to from one of them."""
    cosine = dict(
        zip(
            zip(seeds.one.tolist(), seeds.other.tolist(), strict=True),
            seeds.cosine.tolist(),
            strict=True,
        )
    )
    todo = list(cosine)
    while todo:
        for pair in _beside(rows, *todo.pop()):
            if pair not in cosine:
                near = float(vectors[pair[0]] @ vectors[pair[1]])
                if near >= _FOLLOWED:
                    cosine[pair] = near
                    todo.append(pair)
    both = np.array(sorted(cosine), np.int64).reshape(-1, 2)
    return _Pairs(both[:, 0], both[:, 1], np.array([cosine[a, b] for a, b in both.tolist()]))


def _beside(rows: Rows, one: int, other: int) -> Iterator[tuple[int, int]]:
    """The pairs after and before a pair between which the cut keeps its distance."""
    starts, ends, video = rows.shot_start_s, rows.shot_end_s, rows.shot_video
    later = ends[other] - ends[one], starts[other] - starts[one]
    for step in range(1, _STEP + 1):
        for aside in range(1, _STEP + 1):
            a, b = one + step, other + aside
            inside = a < len(video) and b < len(video) and _are_in(video, (a, one), (b, other))
            if inside and abs(starts[b] - starts[a] - later[0]) <= _STEADY_S:
                yield a, b
            a, b = one - step, other - aside
            inside = a >= 0 and b >= 0 and _are_in(video, (a, one), (b, other))
            if inside and abs(ends[b] - ends[a] - later[1]) <= _STEADY_S:
                yield a, b


def _are_in(video: Ints, *together: tuple[int, int]) -> bool:
    return all(video[a] == video[b] for a, b in together)


def _without_plain(pairs: _Pairs, thumbnail: Thumbnails) -> _Pairs:
    plain: dict[int, bool] = {}
    for shot in np.unique(np.concatenate([pairs.one, pairs.other])).tolist():
        plain[shot] = is_plain(thumbnail(shot))
    keep = [
        not (plain[a] or plain[b])
        for a, b in zip(pairs.one.tolist(), pairs.other.tolist(), strict=True)
    ]
    mask = np.array(keep, bool)
    return _Pairs(pairs.one[mask], pairs.other[mask], pairs.cosine[mask])


def is_plain(jpeg: bytes) -> bool:
    """Whether a picture shows nothing: one colour, a little noise.

    Not so of one that is absent or broken, of which nothing is known.
    """
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            grey = np.asarray(image.convert("L").resize((32, 32)), np.float32)
    except (OSError, SyntaxError):
        return False
    return bool(grey.std() < _PLAIN)


def _by_videos(rows: Rows, pairs: _Pairs) -> Iterator[_Pairs]:
    """The pairs of each two videos, sorted by both shots."""
    if not len(pairs.one):
        return
    one, other = rows.shot_video[pairs.one], rows.shot_video[pairs.other]
    order = np.lexsort((pairs.other, pairs.one, other, one))
    key = one[order] * len(rows.videos) + other[order]
    for part in np.split(order, np.flatnonzero(np.diff(key)) + 1):
        yield _Pairs(pairs.one[part], pairs.other[part], pairs.cosine[part])


def _runs(rows: Rows, pairs: _Pairs) -> list[list[int]]:
    """The longest ways through the pairs of two videos along which cuts keep their distance.

    A dynamic programme over the pairs in order: the best run that ends with each. The first and
    the last shot of a run may be cut shorter in one of the files, those between may not.
    """
    starts, ends = _offsets(rows, pairs)
    place = {
        ab: n for n, ab in enumerate(zip(pairs.one.tolist(), pairs.other.tolist(), strict=True))
    }
    score = np.array(pairs.cosine, np.float64)
    before = np.full(len(score), -1)
    for n in range(len(score)):
        own = score[n]
        for p in _earlier(place, int(pairs.one[n]), int(pairs.other[n])):
            steady = abs(starts[n] - ends[p]) <= _STEADY_S
            middle = before[p] < 0 or abs(starts[p] - ends[p]) <= _STEADY_S
            if steady and middle and score[p] + own > score[n]:
                score[n], before[n] = score[p] + own, p
    runs, used = [], np.zeros(len(score), bool)
    for n in np.argsort(-score, kind="stable").tolist():
        run = []
        while n >= 0 and not used[n]:
            run.append(n)
            used[n] = True
            n = int(before[n])
        if run:
            runs.append(run[::-1])
    return runs


def _earlier(place: Mapping[tuple[int, int], int], one: int, other: int) -> Iterator[int]:
    for back in range(1, _STEP + 1):
        for aside in range(1, _STEP + 1):
            if (found := place.get((one - back, other - aside))) is not None:
                yield found


def _offsets(rows: Rows, pairs: _Pairs) -> tuple[Reals, Reals]:
    """How much later the other shot of each pair starts, and ends, in its file [N]."""
    starts = rows.shot_start_s[pairs.other] - rows.shot_start_s[pairs.one]
    ends = rows.shot_end_s[pairs.other] - rows.shot_end_s[pairs.one]
    return starts, ends


def _convinces(rows: Rows, pairs: _Pairs, run: Sequence[int], near: float) -> bool:
    starts, ends = _offsets(rows, pairs)
    at = list(run)
    length = rows.shot_end_s[pairs.one[at[-1]]] - rows.shot_start_s[pairs.one[at[0]]]
    if length < _LEAST_S:
        return False
    as_long = sum(bool(abs(starts[n] - ends[n]) <= _STEADY_S) for n in at)
    if len(at) == 1 and not as_long:
        return False
    more = _BY_LENGTH[min(as_long, len(_BY_LENGTH) - 1)] + (_ALONE if len(at) == 1 else 0.0)
    return float(pairs.cosine[at].mean()) >= near + more


def _apart(rows: Rows, pairs: _Pairs, runs: Sequence[list[int]]) -> list[list[int]]:
    """The runs that overlap none that is better, in either file; by time."""
    taken: dict[int, set[int]] = defaultdict(set)
    kept = []
    for run in sorted(runs, key=lambda run: -float(pairs.cosine[run].sum())):
        shots = set(pairs.one[run].tolist()), set(pairs.other[run].tolist())
        if not any(taken[side] & shots[side] for side in (0, 1)):
            kept.append(run)
            for side in (0, 1):
                taken[side] |= shots[side]
    return sorted(kept, key=lambda run: int(pairs.one[run[0]]))


def _double(rows: Rows, pairs: _Pairs, run: Sequence[int]) -> SharedFootage:
    """A run as spans; ends that only one of the files has are left out."""
    starts, ends = _offsets(rows, pairs)
    first, last = run[0], run[-1]
    one = [rows.shot_start_s[pairs.one[first]], rows.shot_end_s[pairs.one[last]]]
    other = [rows.shot_start_s[pairs.other[first]], rows.shot_end_s[pairs.other[last]]]
    cuts = [ends[n] for n in run[:-1]] + [starts[n] for n in run[1:]]
    cuts += [starts[n] for n in run if abs(starts[n] - ends[n]) <= _STEADY_S]
    if cuts:
        later = float(np.median(cuts))
        one = [max(one[0], other[0] - later), min(one[1], other[1] - later)]
        other = [one[0] + later, one[1] + later]
    return SharedFootage(
        _span(rows, int(pairs.one[first]), int(pairs.one[last]), one),
        _span(rows, int(pairs.other[first]), int(pairs.other[last]), other),
        float(pairs.cosine[list(run)].mean()),
        len(run),
    )


def _span(rows: Rows, first: int, last: int, seconds: Sequence[float]) -> Span:
    video = rows.videos[rows.shot_video[first]]
    start, end = max(0.0, float(seconds[0])), float(seconds[1])
    numbers = int(rows.shot_index[first]), int(rows.shot_index[last])
    return Span(video.path, video.video_id, start, end, *numbers)
