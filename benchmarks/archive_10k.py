"""Questions to an archive of 10,000 shots: warm, from a new process, and `vidsearch --help`.

    python benchmarks/archive_10k.py [--archive DIR] [--shots 10000]

The rows are synthetic, the models and everything else are real: 200 videos of 50 shots, a
keyframe a shot and three in every tenth, one face track a shot with three looks, made by mixing
vectors of the face model's cohort; 50 people enrolled by three photos each, the first of whom is
in 300 shots. Pictures are random bytes of the size of thumbnails. `--archive` keeps the archive
and uses it again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import _report
import numpy as np
from numpy.typing import NDArray

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO), str(REPO / "tests")]

from store_records import analyzed_video, person  # noqa: E402

from idclip.encoders import load_encoder  # noqa: E402
from idclip.faces import load_faces  # noqa: E402
from idclip.identity import IdentityScorer  # noqa: E402
from vidsearch import Archive  # noqa: E402
from vidsearch.records import AnalyzedVideo, FaceTrack, Person  # noqa: E402
from vidsearch.store import Store  # noqa: E402

SHOTS_EACH, LOOKS, PEOPLE, SEEN = 50, 3, 50, 300
NAME = "Anna Rossi"
QUESTIONS = {
    "person and context": f"{NAME} giving a speech outdoors",
    "context": "people sitting in an audience",
    "person": NAME,
    "three of 50 people": f"{NAME} and Person 07 and Person 12 at a table",
}
WARM_MS, COLD_S, HELP_S = 50.0, 1.5, 0.3


def main() -> int:
    """Make the archive, measure, write the result; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--shots", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.archive or Path(temporary) / "archive"
        made = make(folder, options.shots) if not Store.exists(folder) else "made before"
        rows, notes = measure(folder, options.runs)
        notes = ["Data: vectors, faces and thumbnails made by the benchmark.", made, *notes]
    print(
        _report.write(
            "archive_10k", f"Questions to an archive of {options.shots} shots", rows, notes
        )
    )
    return int(any(row["median"] > row["at most"] for row in rows))


def make(folder: Path, shots: int) -> str:
    """Fill a new archive; say how long it took."""
    encoder, faces = load_encoder("concept"), load_faces()
    scorer = IdentityScorer.for_model(faces.name)
    mixer = Mixer(scorer)
    people = [_enrolled(mixer, NAME if n == 0 else f"Person {n:02d}") for n in range(PEOPLE)]
    Store.create(
        folder,
        encoder=encoder.name,
        encoder_dim=encoder.dim,
        face_model=faces.name,
        face_dim=faces.dim,
    )
    began = time.perf_counter()
    with Store.open(folder) as store:
        group: list[AnalyzedVideo] = []
        for video in _videos(mixer, shots, encoder.dim, people[0]):
            group.append(video)
            if len(group) == 8:
                store.publish_many(group)
                group = []
        store.publish_many(group)
        for each in people:
            store.add_person(each)
        store.optimize()
    seconds = time.perf_counter() - began
    size = Store.open(folder, read_only=True).health().size / 1e6
    return f"Storing the {shots} shots took {seconds:.1f} s; the archive is {size:.0f} MB."


class Mixer:
    """Makes face vectors that lie where real ones do: mixtures of two strangers of the cohort."""

    def __init__(self, scorer: IdentityScorer) -> None:
        self._scorer = scorer
        self._rng = np.random.default_rng(0)

    def somebody(self) -> NDArray[np.float32]:
        """The vector [F] of a person who is not in the cohort."""
        cohort = self._scorer.cohort
        assert cohort is not None
        a, b = cohort[self._rng.choice(len(cohort), 2, replace=False)]
        return _unit(a + b)

    def faces(self, who: NDArray[np.float32], n: int) -> dict[str, NDArray[np.float32]]:
        """`n` faces of a person with the statistics that `analyze` would store."""
        noise = self._rng.standard_normal((n, len(who))) * 0.35 / np.sqrt(len(who))
        vectors = _unit(who + noise)
        mean, std = self._scorer.cohort_stats(vectors)
        return {"vectors": vectors, "cohort_mean": mean, "cohort_std": std}


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def _enrolled(mixer: Mixer, name: str) -> Person:
    made = person(name, photos=3, jpeg=bytes(40_000))
    found = mixer.faces(mixer.somebody(), 3)
    photos = tuple(
        replace(
            photo,
            vector=found["vectors"][n],
            cohort_mean=float(found["cohort_mean"][n]),
            cohort_std=float(found["cohort_std"][n]),
        )
        for n, photo in enumerate(made.photos)
    )
    return replace(made, photos=photos)


def _videos(mixer: Mixer, shots: int, dim: int, known: Person) -> Iterator[AnalyzedVideo]:
    known_face = _unit(np.mean([photo.vector for photo in known.photos], axis=0))
    every = max(1, shots // SEEN)
    for number in range(shots // SHOTS_EACH):
        made = analyzed_video(
            f"v{number:04d}",
            shots=SHOTS_EACH,
            looks=LOOKS,
            encoder_dim=dim,
            face_dim=len(known_face),
            thumbnail=12_000,
            long_every=10,
        )
        seen = (number * SHOTS_EACH + shot.index for shot in made.shots)
        faces = [known_face if n % every == 0 else mixer.somebody() for n in seen]
        yield replace(
            made,
            shots=tuple(
                replace(shot, tracks=(_with_face(shot.tracks[0], mixer, face),))
                for shot, face in zip(made.shots, faces, strict=True)
            ),
        )


def _with_face(track: FaceTrack, mixer: Mixer, face: NDArray[np.float32]) -> FaceTrack:
    return replace(track, **mixer.faces(face, len(track.vectors)))


def measure(folder: Path, runs: int) -> tuple[list[dict[str, object]], list[str]]:
    """The table's rows, and what the answers were."""
    rows: list[dict[str, object]] = []
    notes = []
    archive = Archive(folder)
    for what, question in QUESTIONS.items():
        answer = archive.query(question)  # loads models and columns
        notes.append(f"{what}: {len(answer.hits)} hits. {answer.message}".rstrip())
        times = repeat(lambda question=question: archive.query(question), runs)
        rows.append(_row(f"warm, {what}", [1e3 * s for s in times], "ms", WARM_MS))
    command = [sys.executable, "-m", "vidsearch"]
    for what, question in QUESTIONS.items():
        asked = [*command, "--archive", str(folder), "query", question, "--json"]
        if run(asked) == 2:  # `--archive` stands behind the command
            asked = [*command, "query", "--archive", str(folder), question, "--json"]
        times = repeat(lambda asked=asked: run(asked), 5)
        rows.append(_row(f"new process, {what}", times, "s", COLD_S))
    helped = [*command, "--help"]
    rows.append(_row("vidsearch --help", repeat(lambda: run(helped), 10), "s", HELP_S))
    bare = [sys.executable, "-c", "pass"]
    rows.append(_row("(python doing nothing)", repeat(lambda: run(bare), 10), "s", HELP_S))
    return rows, notes


def repeat(work: Callable[[], object], runs: int) -> list[float]:
    """Seconds of each of `runs` runs."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def run(command: list[str]) -> int:
    """Run a command whose answer is not looked at; exit 0 (found), 1 (nothing found) or 2."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO)
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.returncode


def _row(what: str, values: list[float], unit: str, target: float) -> dict[str, object]:
    return {
        "what": what,
        "unit": unit,
        "median": median(values),
        "fastest": min(values),
        "slowest": max(values),
        "at most": target,
    }


if __name__ == "__main__":
    sys.exit(main())
