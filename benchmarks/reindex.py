"""Another encoder for an archive: reindexing against indexing anew, thumbnails against frames.

    python benchmarks/reindex.py [VIDEO...]

Each video gets an archive by the bundled encoder. Then `idclip:compact`, whose picture tower costs
as much, is to take its place: by a whole index into an archive of its own, and by `reindex`. Both
take turns, and the copy of the archive that a turn starts from is made outside of the clock. The
vectors of both are compared, and those that `reindex --thumbnails` makes of the stored pictures
where a file is gone. Needs the extra `torch`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _report
import numpy as np
from numpy.typing import NDArray

from vidsearch import Archive

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
OTHER = "idclip:compact"
ROUNDS = 3
QUESTIONS = (
    "a man in a suit talks at a lectern",
    "players run after a ball on a field",
    "a page of text",
    "a scene from a computer game",
    "a person walks in the street",
)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def vectors(archive: Archive) -> NDArray[np.float32]:
    """The context vectors of all keyframes [K, D], by video, shot and time."""
    return np.array(Archive(archive.path)._open.reader.rows().keyframe_vectors)


def first_shots(archive: Archive) -> list[tuple[int, ...]]:
    """The three best shots for each question."""
    asked = Archive(archive.path)
    return [tuple(hit.shot for hit in asked.query(each, k=3).hits) for each in QUESTIONS]


def measure(video: Path, folder: Path) -> dict[str, Any]:
    """A row for one video."""
    placed = folder / video.name
    shutil.copyfile(video, placed)
    before = Archive(folder / "before")
    before.index([placed])
    indexing, reindexing = [], []
    for turn in range(ROUNDS):
        anew = Archive(folder / f"anew {turn}", encoder=OTHER)
        again = Archive(shutil.copytree(before.path, folder / f"again {turn}"))
        indexing.append(seconds(lambda to=anew: to.index([placed])))
        reindexing.append(seconds(lambda to=again: to.reindex(encoder=OTHER)))
    exact = vectors(anew)
    placed.unlink()
    pictured = Archive(shutil.copytree(before.path, folder / "pictured"))
    pictured.reindex(encoder=OTHER, thumbnails=True)
    cosines = (exact * vectors(pictured)).sum(axis=1)
    agree = [a[:1] == b[:1] for a, b in zip(first_shots(anew), first_shots(pictured), strict=True)]
    return {
        "video": video.name,
        "keyframes": len(exact),
        "index s": statistics.median(indexing),
        "reindex s": statistics.median(reindexing),
        "reindex / index": statistics.median(
            again / anew for again, anew in zip(reindexing, indexing, strict=True)
        ),
        "vectors differ by at most": float(np.abs(exact - vectors(again)).max()),
        "thumbnails: cosine, mean": float(cosines.mean()),
        "thumbnails: cosine, least": float(cosines.min()),
        "thumbnails: same first shot": f"{sum(agree)} of {len(agree)}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--note", default="", help="what to say of the machine: that it was busy")
    given = parser.parse_args()
    videos = given.videos or sorted(DATA.glob("*.mp4"))
    rows: list[dict[str, Any]] = []
    for video in videos:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(video, Path(folder)))
        report(rows, given.note)  # after each: who stops it keeps what was measured
    print(report(rows, given.note))


def report(rows: list[dict[str, Any]], note: str = "") -> str:
    """Write what was measured so far."""
    notes = [
        f"From `concept` to `{OTHER}`, one process; median of {ROUNDS} turns that take turns with"
        " each other, so the ratio is of neighbours in time.",
        "The files are short, of ten seconds to two minutes: what a run costs whatever it does"
        " (models, commits) weighs more than in an archive.",
        "`vectors differ`: the largest difference of a number, reindexed against indexed anew.",
        "`thumbnails`: vectors of the stored pictures, long side 320 pixels, against those of the"
        f" frames; first shots are those of {len(QUESTIONS)} questions.",
        *([note] if note else []),
    ]
    return _report.write("reindex", "Another encoder for an archive", rows, notes)


if __name__ == "__main__":
    main()
