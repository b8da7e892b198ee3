"""Who is on screen when, on an archive of a million shots: times and memory.

    python -m benchmarks.timeline [--shots 1000000]

The rows are generated, everything that reads them is real: 50 shots a video, 1.3 face tracks a
shot with two looks each, made by mixing vectors of the face model's cohort; 100 people enrolled by
three photos each, who have 6 % of the tracks. The rows are arrays in memory, as `Store.rows` gives
them; keyframes have no vectors, which a timeline does not read.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before numpy is loaded

import numpy as np
from numpy.typing import NDArray

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from store_records import person  # noqa: E402

from benchmarks import _report  # noqa: E402
from idclip.identity import IdentityScorer  # noqa: E402
from vidsearch.appearances import appearances, screen_time, together  # noqa: E402
from vidsearch.records import Person, Rows, Video  # noqa: E402
from vidsearch.timeline import Timeline, timeline  # noqa: E402

SHOTS_EACH, SHOT_S, RATE, TRACKS_A_SHOT, LOOKS = 50, 4.0, 25, 1.3, 2
PEOPLE, KNOWN = 100, 0.06  # enrolled, and the share of tracks that show one of them
AT_MS = 5.0
THRESHOLD = 0.5


def main() -> int:
    """Generate, measure, write the result; 1 if `at` takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, default=1_000_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    scorer = IdentityScorer.for_model("default")
    people = [_enrolled(scorer, rng, f"Person {n:03d}") for n in range(PEOPLE)]
    rows = _rows(scorer, rng, people, options.shots)
    held = _mib()
    table = measure(rows, scorer, people, rng)
    notes = [
        f"Data: generated; {options.shots} shots of {SHOT_S:g} s in {len(rows.videos)} videos, "
        f"{len(rows.track_shot)} face tracks, {len(rows.look_track)} looks, {PEOPLE} people.",
        f"Memory: {held:.0f} MiB with the rows, {_mib():.0f} MiB at most while answering.",
        "Times are of one core (the process's own, one thread), so that others on the machine do "
        "not count.",
        "A timeline is made once for a video and asked as often as one likes. A question about "
        "all videos compares every look of the archive with the person.",
    ]
    title = f"Who is on screen when: an archive of {options.shots} shots"
    print(_report.write("timeline", title, table, notes))
    return int(float(table[0]["median ms"]) > AT_MS)


def measure(
    rows: Rows, scorer: IdentityScorer, people: list[Person], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """The table's rows."""

    def of(video: Video) -> Timeline:
        return timeline(rows, scorer, video, people, threshold=THRESHOLD)

    some = [rows.videos[int(n)] for n in rng.integers(0, len(rows.videos), 50)]
    drawn = [of(video) for video in some]
    asked = [(one, float(rng.uniform(0, one.end_s))) for one in drawn for _ in range(20)]
    table = [
        _row("timeline.at(t)", _times([lambda a=a: a[0].at(a[1]) for a in asked]), AT_MS),
        _row("timeline(video)", _times([lambda v=v: of(v) for v in some])),
        _row("timeline(video).at(t)", _times([lambda v=v: of(v).at(1.0) for v in some])),
    ]

    def all_of(who: Person) -> Any:
        return appearances(rows, scorer, who, people, threshold=THRESHOLD)

    table += [
        _row("appearances(person)", _times([lambda p=p: all_of(p) for p in people[:3]])),
        _row(
            "together(a, b)",
            _times([lambda: together([all_of(people[0]), all_of(people[1])])]),
        ),
    ]
    for by in ("person", "video"):
        work = [lambda by=by: screen_time(rows, scorer, people, people, by, threshold=THRESHOLD)]
        table.append(_row(f'screen_time("{by}")', _times(work)))
    return table


def _times(work: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of one core that each takes, whatever else the machine does meanwhile."""
    found = []
    for one in work:
        began = time.process_time()
        one()
        found.append(1e3 * (time.process_time() - began))
    return found


def _row(what: str, times: list[float], target: float | None = None) -> dict[str, Any]:
    return {
        "what": what,
        "median ms": median(times),
        "slowest": max(times),
        "runs": len(times),
        "at most": target or "",
    }


def _mib() -> float:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def _noisy(rng: np.random.Generator, who: NDArray[np.float32]) -> NDArray[np.float32]:
    """Other faces of the same people, as far apart as two photos of one are."""
    noise = rng.standard_normal(who.shape, dtype=np.float32)
    return _unit(who + noise * np.float32(0.35 / np.sqrt(who.shape[-1])))


def _somebody(scorer: IdentityScorer, rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """`n` people of no cohort: mixtures of two strangers."""
    pairs = rng.integers(0, len(scorer.cohort), (2, n))
    return _unit(scorer.cohort[pairs[0]] + scorer.cohort[pairs[1]])


def _enrolled(scorer: IdentityScorer, rng: np.random.Generator, name: str) -> Person:
    made = person(name, photos=3, face_dim=scorer.cohort.shape[1])
    vectors = _noisy(rng, np.repeat(_somebody(scorer, rng, 1), 3, axis=0))
    mean, std = scorer.cohort_stats(vectors)
    photos = tuple(
        replace(photo, vector=v, cohort_mean=float(m), cohort_std=float(s))
        for photo, v, m, s in zip(made.photos, vectors, mean, std, strict=True)
    )
    return replace(made, photos=photos)


def _rows(
    scorer: IdentityScorer, rng: np.random.Generator, people: list[Person], n_shots: int
) -> Rows:
    n_videos = n_shots // SHOTS_EACH
    n_tracks = int(TRACKS_A_SHOT * n_shots)
    index = np.tile(np.arange(SHOTS_EACH), n_videos)
    start = index * SHOT_S
    shot = np.sort(rng.integers(0, n_shots, n_tracks))
    edge = 0.95  # where a shot of four seconds is looked at first
    track_start = start[shot] + np.where(rng.random(n_tracks) < 0.7, edge, 1.8)
    vectors, track = _faces(scorer, rng, people, n_tracks), np.repeat(np.arange(n_tracks), LOOKS)
    some = rng.choice(len(vectors), 2000)
    mean, std = scorer.cohort_stats(vectors[some])
    drawn = rng.integers(0, len(some), len(vectors))
    look_s = np.repeat(track_start, LOOKS) + np.tile(np.arange(LOOKS) * 0.8, n_tracks)
    return Rows(
        videos=tuple(
            Video(f"v{n:06d}", (b"/v/%06d.mp4" % n,), 0, 0.0, n_shots=SHOTS_EACH)
            for n in range(n_videos)
        ),
        shot_video=np.repeat(np.arange(n_videos), SHOTS_EACH),
        shot_index=index,
        shot_start_s=start,
        shot_end_s=start + SHOT_S,
        shot_start_frame=(start * RATE).astype(np.int64),
        shot_end_frame=((start + SHOT_S) * RATE).astype(np.int64),
        keyframe_shot=np.arange(n_shots),
        keyframe_s=start + SHOT_S / 2,
        part_start_s=start,
        part_end_s=start + SHOT_S,
        keyframe_vectors=np.zeros((n_shots, 1), np.float32),
        track_shot=shot,
        track_start_s=track_start,
        track_end_s=track_start + 0.8 * (LOOKS - 1),
        look_track=track,
        look_s=look_s,
        look_boxes=np.tile(np.array([0.4, 0.2, 0.5, 0.4], np.float32), (len(track), 1)),
        look_vectors=vectors,
        look_quality=rng.uniform(0.2, 1.0, len(track)).astype(np.float32),
        look_cohort_mean=mean[drawn],
        look_cohort_std=std[drawn],
        figure_track=np.zeros(0, np.int64),
        figure_vectors=np.zeros((0, 1), np.float32),
    )


def _faces(
    scorer: IdentityScorer, rng: np.random.Generator, people: list[Person], n_tracks: int
) -> NDArray[np.float32]:
    """The looks of all tracks, made some at a time."""
    known = _unit(np.stack([np.mean([p.vector for p in who.photos], axis=0) for who in people]))
    vectors = np.empty((n_tracks * LOOKS, known.shape[1]), np.float32)
    step = 50_000
    for first in range(0, n_tracks, step):
        n = min(step, n_tracks - first)
        who = _somebody(scorer, rng, n)
        is_known = rng.random(n) < KNOWN
        who[is_known] = known[rng.integers(0, len(known), int(is_known.sum()))]
        looks = _noisy(rng, np.repeat(who, LOOKS, axis=0))
        vectors[first * LOOKS : (first + n) * LOOKS] = looks
    return vectors


if __name__ == "__main__":
    sys.exit(main())
