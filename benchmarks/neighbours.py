"""Whether shots of one scene should support each other, and how much: cutting to and fro.

    python -m benchmarks.neighbours [--write]

A dialogue is eight shots that alternate between two people, each before a background of their own
(photos of Flickr8k, moved and cut a little differently in each shot). A face is another LFW photo
of the person, in two of three shots as small, dark and blurred as video has it (`lfw.degrade`);
each third dialogue has a person who is not enrolled in the place of the first, and in each shot
somebody unknown stands behind. Everybody of the set is enrolled from three photos. Asked for one
person after the other: how many of the shots they are in are found at the threshold, and how many
shots are given to somebody who is not in them. The weight is chosen on people of the part "cohort"
of LFW and photos kept out of training; the test is on people of the part "test" and Flickr8k's test
photos.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _report, lfw
from benchmarks.context_calibration import held_out
from benchmarks.context_retrieval import DATA, flickr_test
from benchmarks.identity_sets import people_of
from idclip.encoders import Encoder, load_encoder
from idclip.faces import FaceModel, load_faces
from idclip.identity import IdentityScorer
from vidsearch import identities, scenes
from vidsearch.records import Person, Photo, Rows, Video

SHOTS, ENROLLED, LOOKS = 8, 3, 6
DIALOGUES = 60
THRESHOLD = 0.5
WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
Image = NDArray[np.uint8]
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Look:
    """A face: its vector [F] and quality."""

    vector: NDArray[np.float32]
    quality: float


@dataclass(frozen=True, eq=False)
class Made:
    """An archive of dialogues; `truth` [T] says who is in each track, "" for somebody unknown."""

    rows: Rows
    truth: NDArray[np.str_]
    people: list[Person]


def looks(names: Sequence[str], faces: FaceModel, *, degraded: bool) -> list[Look]:
    """The faces of LFW photos, those left out in which none is found."""
    variant = lfw.DEGRADED if degraded else lfw.CLEAN
    found = []
    for _, image, side in lfw.pictures(names, variant):
        seen = faces.detect(image, long_side=side)
        if seen:
            found.append(Look(faces.embed(image, seen[:1])[0], seen[0].quality))
    return found


def dialogues(test: bool, encoder: Encoder, faces: FaceModel, scorer: IdentityScorer) -> Made:
    """The archive of one part of the data."""
    rng = np.random.default_rng(1 if test else 0)
    known = people_of("test" if test else "cohort")[:40]
    photos = _photos(known)
    enrolled = [_person(who, photos[who][:ENROLLED], faces, scorer) for who in known]
    shown = {
        who: (
            looks(photos[who][ENROLLED:][:LOOKS], faces, degraded=False),
            looks(photos[who][ENROLLED:][:LOOKS], faces, degraded=True),
        )
        for who in known
    }
    strangers = _strangers(test, faces)
    backgrounds = list(islice(flickr_test(DATA) if test else held_out(DATA, 0), 2 * DIALOGUES))
    usable = [who for who in known if all(shown[who])]
    pictures, tracks, truth = [], [], []
    for number in range(DIALOGUES):
        pair: list[str] = [str(who) for who in rng.choice(usable, 2, replace=False)]
        if number % 3 == 0:
            pair[0] = ""
        for shot in range(SHOTS):
            who, scene = pair[shot % 2], backgrounds[2 * number + shot % 2][0]
            pictures.append(_moved(scene, rng))
            clean, bad = shown[who] if who else (strangers, strangers)
            pool = clean if rng.random() < 1 / 3 else bad
            of_scene = strangers[number % len(strangers)]
            face = pool[int(rng.integers(len(pool)))] if who else of_scene
            behind = strangers[int(rng.integers(len(strangers)))]
            for look, name in ((face, who), (behind, "")):
                if look.quality >= scorer.least_quality:
                    tracks.append((number * SHOTS + shot, look))
                    truth.append(name)
    vectors = np.concatenate([encoder.encode_images([picture]) for picture in pictures])
    return Made(_rows(vectors, tracks, scorer), np.array(truth), enrolled)


def _photos(people: Sequence[str]) -> dict[str, list[str]]:
    wanted, photos = set(people), dict[str, list[str]]()
    for name in lfw.all_names():
        if lfw.person_of(name) in wanted:
            photos.setdefault(lfw.person_of(name), []).append(name)
    return photos


def _person(who: str, names: Sequence[str], faces: FaceModel, scorer: IdentityScorer) -> Person:
    photos = []
    for number, look in enumerate(looks(names, faces, degraded=False)):
        mean, std = scorer.cohort_stats(look.vector[None])
        photos.append(
            Photo(f"{who}{number}", f"{who}{number}", b"", WHOLE, look.vector, look.quality,
                  float(mean[0]), float(std[0]))
        )  # fmt: skip
    return Person(who, who, (), tuple(photos), 0.0)


def _strangers(test: bool, faces: FaceModel) -> list[Look]:
    """People with one photo, of the same part of LFW, as video shows them."""
    part: Any = "test" if test else "cohort"
    counts: dict[str, list[str]] = {}
    for name in lfw.all_names():
        if lfw.split_of(lfw.person_of(name)) == part:
            counts.setdefault(lfw.person_of(name), []).append(name)
    # The cohort's own strangers are what scores are normalised by: their photos serve nobody else.
    alone = [names[-1] for names in counts.values() if (len(names) == 1) is test or len(names) == 2]
    return looks(alone[:200], faces, degraded=True)


def _moved(picture: Image, rng: np.random.Generator) -> Image:
    """A cut of 80 to 95 per cent of the picture, a little lighter or darker."""
    height, width = picture.shape[:2]
    share = float(rng.uniform(0.8, 0.95))
    tall, wide = int(share * height), int(share * width)
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    part = picture[top : top + tall, left : left + wide].astype(np.float32)
    return np.clip(part * float(rng.uniform(0.85, 1.15)), 0, 255).astype(np.uint8)


def _rows(
    vectors: NDArray[np.float32], tracks: Sequence[tuple[int, Look]], scorer: IdentityScorer
) -> Rows:
    shots, count = len(vectors), len(tracks)
    start, shot = np.arange(shots, dtype=np.float64), np.array([at for at, _ in tracks])
    faces = scorer.faces(
        np.stack([look.vector for _, look in tracks]),
        np.array([look.quality for _, look in tracks], np.float32),
    )
    begins = shot.astype(np.float64)
    return Rows(
        (Video("v", (b"v",), 0, 0.0),),
        np.zeros(shots, np.int64), np.arange(shots), start, start + 1,
        np.arange(shots), np.arange(shots) + 1,
        np.arange(shots), start + 0.5, start, start + 1, vectors,
        shot, begins, begins + 1, np.arange(count), begins + 0.5,
        np.zeros((count, 4), np.float32), faces.vectors, faces.qualities,
        faces.cohort_mean, faces.cohort_std,
        np.zeros(0, np.int64), np.zeros((0, vectors.shape[1]), np.float32),
    )  # fmt: skip


def table(made: Made, scorer: IdentityScorer, name: str) -> Iterator[dict[str, Any]]:
    """One row for each weight."""
    rows, every = made.rows, np.ones(len(made.rows.track_shot), bool)
    least = scenes.could_be_raised(THRESHOLD, max(WEIGHTS))
    seen = [identities.seen(rows, scorer, p, made.people, every, least) for p in made.people]
    for weight in WEIGHTS:
        there = found = wrong = wrong_photos = 0
        for one in seen:
            probability = scenes.supported(rows, one, THRESHOLD, weight)
            shown = np.flatnonzero(probability >= THRESHOLD)
            right = made.truth == one.person.person_id
            there += int(right.sum())
            found += int(right[shown].sum())
            wrong += int((~right[shown]).sum())
            wrong_photos += int((made.truth[shown] == "").sum())
        yield {
            "people": name,
            "weight": weight,
            "faces of enrolled people": there,
            "found, %": 100 * found / there,
            "named wrongly": wrong,
            "of them strangers": wrong_photos,
            "right of those named, %": 100 * found / max(found + wrong, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    encoder, faces = load_encoder("concept", threads=1), load_faces("default", threads=1)
    scorer = IdentityScorer.for_model("default")
    rows = []
    for test in (False, True):
        made = dialogues(test, encoder, faces, scorer)
        for row in table(made, scorer, "test" if test else "fit (the weight is chosen here)"):
            rows.append(row)
            print(row, flush=True)
    if given.write:
        _report.write(
            "neighbours",
            "Shots of one scene that support each other",
            rows,
            [
                "The weight in use was chosen with the calibration of faces of 2026-11-24, as one"
                " step under the largest at which nobody more of fit was named wrongly than without"
                " neighbours. It was not chosen anew: see the column for what it costs now.",
                f"{DIALOGUES} generated dialogues of {SHOTS} shots, cut to and fro; two of three"
                " faces as video has them. Everybody of the set is enrolled from"
                f" {ENROLLED} photos; threshold {THRESHOLD}; near is {scenes.NEAR} shots, alike a"
                f" cosine of {scenes.ALIKE}. Weight 0: without neighbours. In use:"
                f" {scenes.SUPPORT}.",
                "In a generated scene the person before a background is always the same one: on"
                " film somebody else may step there, so these figures flatter.",
            ],
        )


if __name__ == "__main__":
    main()
