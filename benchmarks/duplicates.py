"""How much of the footage that files share `vidsearch duplicates` finds, and what it invents.

Of each development clip six files are made: the whole, the whole again smaller and compressed
hard, its middle half, an excerpt between generated footage and black, and its two halves, which
share nothing though they look alike. What any two of the files share is known to the frame. The
thresholds of `vidsearch.duplicates` were chosen on the clips of `FIT`; the others are told apart.

    python -m benchmarks.duplicates [--write] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks._report import write
from vidsearch import Archive, duplicates
from vidsearch.duplicates import SharedFootage
from vidsearch.records import Rows, Video

REPO = Path(__file__).resolve().parents[1]
CLIPS = REPO.parent / "shared" / "data" / "videos"
FIT = ("game-trailer", "football")
RATE = 25
MOST_S = 24.0  # of each clip
AGREE_S = 0.5  # a moment is found where the other file's is told this exactly
SWEEP = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)


@dataclass(frozen=True)
class Piece:
    """Seconds `[start, end)` of a clip; of "" they are generated and like nothing else."""

    clip: str
    start: float
    end: float


@dataclass(frozen=True)
class Version:
    """A file: pieces one after the other, its width, and the quality (x264 crf)."""

    name: str
    pieces: tuple[Piece, ...]
    width: int
    crf: int


def versions(clip: str, length: float) -> list[Version]:
    """The six files of a clip."""
    whole = Piece(clip, 0.0, length)
    half = length / 2
    excerpt = Piece(clip, 0.4 * length, min(0.4 * length + 10, 0.9 * length))
    generated = Piece("", 0.0, 6.0)
    return [
        Version(f"{clip}-whole", (whole,), 480, 20),
        Version(f"{clip}-small", (whole,), 240, 34),
        Version(f"{clip}-middle", (Piece(clip, length / 4, 3 * length / 4),), 480, 26),
        Version(
            f"{clip}-among", (generated, excerpt, replace(generated, start=6, end=12)), 480, 30
        ),
        Version(f"{clip}-first", (Piece(clip, 0.0, half),), 480, 23),
        Version(f"{clip}-second", (Piece(clip, half, length),), 480, 23),
    ]


def make(version: Version, file: Path) -> None:
    """Encode a version at 25 frames a second; black stands before and after what is generated."""
    height = None
    with av.open(str(file), "w") as target:
        stream = target.add_stream(
            "libx264", rate=Fraction(RATE), options={"preset": "ultrafast", "crf": str(version.crf)}
        )
        stream.pix_fmt = "yuv420p"
        for picture in _pictures(version):
            if height is None:
                height = round(picture.shape[0] * version.width / picture.shape[1] / 2) * 2
                stream.width, stream.height = version.width, height
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            target.mux(stream.encode(frame.reformat(version.width, height, "yuv420p")))
        target.mux(stream.encode())


def _pictures(version: Version) -> Iterator[NDArray[np.uint8]]:
    shape = next(_frames(next(p for p in version.pieces if p.clip))).shape
    for piece in version.pieces:
        yield from _frames(piece) if piece.clip else _generated(piece, shape, version.name)


def _frames(piece: Piece) -> Iterator[NDArray[np.uint8]]:
    """Pictures of a piece, 25 a second, at most 480 wide."""
    with av.open(str(CLIPS / f"{piece.clip}.mp4")) as source:
        stream = source.streams.video[0]
        first, at = None, piece.start
        for frame in source.decode(stream):
            first = frame.time if first is None else first
            while frame.time - first >= at - 1e-6:
                if at >= piece.end - 1e-6:
                    return
                wide = min(480, frame.width)
                high = round(frame.height * wide / frame.width / 2) * 2
                yield frame.to_ndarray(format="rgb24", width=wide, height=high)
                at += 1 / RATE


def _generated(piece: Piece, shape: tuple[int, ...], name: str) -> Iterator[NDArray[np.uint8]]:
    """Some black, then blobs of colour that drift, in scenes whose lengths are each file's own."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    seed = sum(name.encode()) + int(piece.start)
    lengths = np.random.default_rng(seed).uniform(0.7, 3.5, 20)
    cuts = np.cumsum(lengths)
    for index in range(int((piece.end - piece.start) * RATE)):
        scene = int(np.searchsorted(cuts, index / RATE, "right"))
        rng = np.random.default_rng([seed, scene])
        slow, fast = sorted(rng.uniform(1, 40, 2))
        waves = [
            np.sin(rng.uniform(slow, fast) * x + rng.uniform(slow, fast) * y + index / 20)
            for _ in range(3)
        ]
        blobs = (127 + 120 * np.stack(waves, axis=-1) * rng.uniform(0, 1, 3)).astype(np.uint8)
        yield blobs if scene else np.zeros(shape, np.uint8)


def shared(one: Version, other: Version) -> list[tuple[float, float, float]]:
    """What two files share: from, to in the first, and how much later it is in the second."""
    found = []
    at = 0.0
    for mine in one.pieces:
        there = 0.0
        for theirs in other.pieces:
            start, end = max(mine.start, theirs.start), min(mine.end, theirs.end)
            if mine.clip and mine.clip == theirs.clip and end > start:
                later = (there + start - theirs.start) - (at + start - mine.start)
                found.append((at + start - mine.start, at + end - mine.start, later))
            there += theirs.end - theirs.start
        at += mine.end - mine.start
    return found


def seconds_right(
    doubles: Sequence[SharedFootage], truth: Sequence[tuple[float, float, float]]
) -> float:
    """How many of the seconds told are shared indeed, at the right place."""
    right = 0.0
    for double in doubles:
        later = double.other.start_s - double.one.start_s
        for start, end, true_later in truth:
            if abs(later - true_later) <= AGREE_S:
                right += max(0.0, min(end, double.one.end_s) - max(start, double.one.start_s))
    return right


def score(
    found: Sequence[SharedFootage], files: Sequence[Version], clips: Sequence[str]
) -> dict[str, float]:
    """Precision and recall in seconds, over all pairs of files of which one is of `clips`."""
    by_name: dict[tuple[str, str], list[SharedFootage]] = {}
    for double in found:
        names = Path(double.one.video).stem, Path(double.other.video).stem
        by_name.setdefault(names, []).append(double)
    total: Counter[str] = Counter()
    for a, b in combinations(files, 2):
        if not any(file.name.rpartition("-")[0] in clips for file in (a, b)):
            continue
        told = by_name.get((a.name, b.name), [])
        for double in by_name.get((b.name, a.name), []):
            told = [
                *told,
                SharedFootage(double.other, double.one, double.similarity, double.n_shots),
            ]
        truth = shared(a, b)
        right = seconds_right(told, truth)
        there = sum(end - start for start, end, _ in truth)
        said = sum(double.one.end_s - double.one.start_s for double in told)
        total.update(right=right, there=there, said=said)  # type: ignore[call-arg]
        total["pairs"] += there > 0
        total["pairs found"] += right > 0.5
        total["pairs invented"] += said > 0 and not truth
    return {
        "shared s": total["there"],
        "recall": total["right"] / total["there"],
        "precision": total["right"] / total["said"] if total["said"] else 1.0,
        "pairs sharing": total["pairs"],
        "of these found": total["pairs found"],
        "pairs invented": total["pairs invented"],
    }


def speed(n_shots: int = 10_000, n_videos: int = 200, dim: int = 384) -> str:
    """How long it takes to compare generated shots, every second video a copy of the one before."""
    rng = np.random.default_rng(0)
    each = n_shots // n_videos
    first = rng.standard_normal((n_videos // 2, each, dim), dtype=np.float32)
    copy = first + 0.2 * rng.standard_normal(first.shape, dtype=np.float32)
    vectors = np.stack([first, copy], axis=1).reshape(-1, dim)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths = np.repeat(rng.uniform(1, 8, (n_videos // 2, 1, each)), 2, axis=1).reshape(
        n_videos, -1
    )
    ends = np.cumsum(lengths, axis=1)
    nothing = np.zeros(0, np.int64)
    rows = Rows(
        videos=tuple(Video(str(n), (b"%d" % n,), 0, 0.0) for n in range(n_videos)),
        shot_video=np.repeat(np.arange(n_videos), each),
        shot_index=np.tile(np.arange(each), n_videos),
        shot_start_s=(ends - lengths).ravel(),
        shot_end_s=ends.ravel(),
        keyframe_shot=np.arange(n_videos * each),
        keyframe_vectors=vectors,
        **{
            field.name: nothing
            for field in fields(Rows)
            if field.default is MISSING
            and field.default_factory is MISSING
            and field.name
            not in ("videos", "keyframe_shot", "keyframe_vectors", "shot_video", "shot_index",
                    "shot_start_s", "shot_end_s")
        },
    )  # fmt: skip
    began = time.monotonic()
    found = duplicates.find(rows, lambda shot: b"")
    spent = time.monotonic() - began
    return (
        f"{n_shots} generated shots of {dim} numbers in {n_videos} videos, half of them copies:"
        f" {len(found)} of {n_videos // 2} pairs found in {spent:.1f} s, pictures not counted."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--work", type=Path, help="a folder to keep the files and the archive in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(given.work or Path(temporary))
    notes = [
        f"Five clips of the development data, at most {MOST_S:.0f} s of each, six files of each.",
        f"Thresholds chosen on {' and '.join(FIT)}; 'others' played no part in that.",
        "Missed of the others: above all files of one or two long shots cut shorter (slides,"
        " white-house), which have no two cuts to tell their place by.",
        "Invented: title cards at an even beat in the game trailer's halves, and generated blobs.",
        f"The default is {duplicates.NEAR}. Seconds count as found where the other file's place is"
        f" right to {AGREE_S} s.",
    ]
    notes.append(speed())
    print(notes[-1])
    if given.write:
        print(write("duplicates", "The same footage in several files", rows, notes))
    else:
        for row in rows:
            print(row)


def measure(work: Path) -> list[dict[str, object]]:
    """Make the files, index them, and compare at several thresholds."""
    clips = [path.stem for path in sorted(CLIPS.glob("*.mp4"))]
    files = []
    (work / "files").mkdir(parents=True, exist_ok=True)
    for clip in clips:
        with av.open(str(CLIPS / f"{clip}.mp4")) as source:
            length = min(MOST_S, int(source.duration / 1e6 * RATE) / RATE)
        for version in versions(clip, length):
            file = work / "files" / f"{version.name}.mp4"
            if not file.exists():
                make(version, file)
            files.append(version)
    archive = Archive(work / "archive")
    archive.index([work / "files"])
    others = [clip for clip in clips if clip not in FIT]
    results: list[dict[str, object]] = []
    for near in SWEEP:
        began = time.monotonic()
        found = archive.duplicates(near=near)
        seconds = time.monotonic() - began
        for name, group in (("fit", FIT), ("others", others)):
            figures = score(found, files, group)
            results.append({"near": near, "clips": name, **figures, "seconds": seconds})
    return results


if __name__ == "__main__":
    main()
