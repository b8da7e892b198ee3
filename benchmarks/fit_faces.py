"""Fits what ships beside the face networks, on people of LFW who are in no test.

`python -m benchmarks.fit_faces` writes into `idclip/weights/faces`: `cohort.npy` (vectors of 1,000
strangers), `quality.json` and `calibration.json`; `--calibration` leaves out the first two. It
needs `../shared/data/lfw90.tar` and what `benchmarks/train_faces.py` writes, and neither torch nor
onnx.
"""

from __future__ import annotations

import datetime
import json
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import lfw
from idclip import calibrate
from idclip.calibrate import logistic
from idclip.centerface import THRESHOLD
from idclip.face_quality import FEATURES, QualityModel
from idclip.faces import WEIGHTS
from idclip.identity import Faces, IdentityScorer, Strangers
from idclip.onnx_session import open_session

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]

COHORT = 1000
TOP, NEAREST = 350, 10  # best cohort scores that make a face's deviation, and its mean
FALSE_RATE = 1e-3  # quality is the chance to be recognised when this share of strangers would be
PARTS = 3  # of the fit, by person
HELD_OUT = 0  # the part on whom quality and probability are fitted
WITHOUT = lfw.REPO / "build" / "faces" / "without_a_part"  # networks trained without that part
# Odds of a stranger against the person asked for, among the tracks of an archive. They move the
# probability that a given score means: nobody may be given another's name.
STRANGERS = 10000.0
LEAST_QUALITY = 0.1
# The copies of a photo, and the tracks made of them: one look; the same photo twice; turning away.
COPIES = {
    lfw.CLEAN: "",
    lfw.DEGRADED: "degraded",
    lfw.DEGRADED_AGAIN: "again",
    lfw.TURNED: "turned",
}
KINDS = (
    ("",),
    ("degraded",),
    ("again",),
    ("turned",),
    ("degraded", "again"),
    ("degraded", "again", "turned"),
)
FOLDS = 5  # of people, to say how far the evidence holds for others


class Variant(NamedTuple):
    """Photos in one variant (clean, or a degraded copy), and their vectors [N, F]."""

    faces: lfw.Measured
    vectors: NDArray[np.float32]


def main() -> None:
    """Fit everything, in the order in which each step needs the one before."""
    if "--calibration" not in sys.argv[1:]:
        (clean,) = variants_by(WEIGHTS, lfw.CLEAN)
        np.save(WEIGHTS / "cohort.npy", clean.vectors[_strangers(clean.faces)].astype(np.float16))
    trials = make_trials(variants_by(WITHOUT, lfw.CLEAN, lfw.DEGRADED, lfw.DEGRADED_AGAIN))
    if "--calibration" not in sys.argv[1:]:
        quality = fit_quality(trials)
        (WEIGHTS / "quality.json").write_text(json.dumps(quality, indent=1) + "\n")
    rated = QualityModel.load(WEIGHTS / "quality.json")
    calibration = {
        "top": TOP,
        "nearest": NEAREST,
        "least_quality": LEAST_QUALITY,
        "weights": fit_probability(trials, rated),
        **fit_evidence(tracks_held_out(rated)),
    }
    (WEIGHTS / "calibration.json").write_text(json.dumps(calibration, indent=1) + "\n")


def fit_evidence(trials: calibrate.Trials) -> dict[str, object]:
    """The weights for tracks, the odds of strangers, and where all of it comes from."""
    errors = {
        f"1 to {s:.0f}": calibrate.reliability_unseen(trials, s, FOLDS).error for s in (1, 100)
    }
    return {
        "strangers": Strangers()._asdict(),
        "track_weights": calibrate.fit_tracks(trials),
        "origin": {
            "model": "default",
            "made_by": "python -m benchmarks.fit_faces",
            "date": datetime.date.today().isoformat(),
            "data": "Labeled Faces in the Wild, 90x90: clean, degraded twice, degraded and turned",
            "people": len(np.unique(trials.tracks.person)),
            "tracks": len(trials.tracks.starts),
            "of_the_same_person": int((trials.same & trials.allowed).sum()),
            "of_others": int((~trials.same & trials.allowed).sum()),
            "calibration_error_on_people_left_out": {k: round(v, 4) for k, v in errors.items()},
        },
    }


def tracks_held_out(quality: QualityModel) -> calibrate.Trials:
    """Tracks of people whom the networks of this fit have not seen, each against everybody."""
    variants = variants_by(WITHOUT, *COPIES)
    clean = variants[0]
    scorer = IdentityScorer(clean.vectors[_strangers(clean.faces)], TOP, NEAREST, {})
    sample = sample_of(variants, tuple(COPIES.values()), scorer, quality, _held_out)
    return calibrate.make_trials(scorer, sample, calibrate.make_tracks(sample, KINDS))


def sample_of(
    variants: Sequence[Variant],
    copies: Sequence[str],
    scorer: IdentityScorer,
    quality: QualityModel,
    rows_of: Callable[[lfw.Measured], Ints],
) -> calibrate.Sample:
    """Faces that the product would see, of the rows told; `copies` names `variants`."""
    parts = []
    for (faces, vectors), copy in zip(variants, copies, strict=True):
        rows = rows_of(faces)
        rows = rows[faces.features[rows, FEATURES.index("score")] > THRESHOLD]
        rated = quality.of_features(faces.features[rows])
        named = np.full(len(rows), copy)
        parts.append((faces.person[rows], faces.photo[rows], named, vectors[rows], rated))
    person, photo, copies, stacked, qualities = (
        np.concatenate(p) for p in zip(*parts, strict=True)
    )
    return calibrate.Sample(person, photo, copies, scorer.faces(stacked, qualities))


def part_of(person: str) -> int:
    """Which of `PARTS` parts of the fit somebody belongs to; independent of the split."""
    return zlib.crc32(person.encode()) // 10 % PARTS


def variants_by(folder: Path, *numbers: int) -> list[Variant]:
    """Vectors by the networks in a folder; those of rows without a face mean nothing."""
    head = open_session(folder / "face_vector.onnx")
    variants = []
    for number in numbers:
        faces = lfw.measured(number)
        parts = lfw.parts(folder / "face_network.onnx", faces, number)
        variants.append(Variant(faces, head.run(["vector"], {"parts": parts})[0]))
    return variants


@dataclass(frozen=True, eq=False)
class Trials:
    """Every face of some people against the photos of each of them who has some left.

    `score` [N, G] is normalised, `same` [N, G] whether it is the same person, `allowed` [N, G]
    that the face itself is not among the photos; `features` [N, 9] are the face's, `photo_of`
    [G] the rows of the photos in `photo_features`.
    """

    score: NDArray[np.float32]
    same: NDArray[np.bool_]
    allowed: NDArray[np.bool_]
    features: NDArray[np.float32]
    photo_features: tuple[NDArray[np.float32], ...]


def make_trials(variants: Sequence[Variant]) -> Trials:
    """One to three clean photos a person of the part held out to enrol, all others to be named.

    The networks were trained without them: they know their own people better than anybody else,
    and a probability fitted on those would promise too much.
    """
    clean, vectors = variants[0]
    scorer = IdentityScorer(vectors[_strangers(clean)], TOP, NEAREST, {})
    people, galleries = _galleries(clean)
    templates = []
    for kept in galleries:
        centre = vectors[kept].mean(axis=0)
        templates.append(
            scorer.faces((centre / np.linalg.norm(centre))[None], np.ones(1, np.float32))
        )
    gallery = Faces(*(np.concatenate(parts) for parts in zip(*templates, strict=True)))
    each = [(v, _held_out(v.faces)) for v in variants]
    probes = np.concatenate([v.vectors[rows] for v, rows in each])
    owner, photo, features = (
        np.concatenate([getattr(v.faces, name)[rows] for v, rows in each])
        for name in ("person", "photo", "features")
    )
    looks = scorer.faces(probes, np.ones(len(probes), np.float32))
    used = [set(clean.photo[kept]) for kept in galleries]
    taken = np.array([[name in names for names in used] for name in photo], np.bool_)
    return Trials(
        scorer.normalised(looks, gallery).astype(np.float32),
        np.asarray(owner[:, None] == np.array(people)),
        ~taken,
        features,
        tuple(clean.features[kept] for kept in galleries),
    )


def _galleries(clean: lfw.Measured) -> tuple[list[str], list[list[int]]]:
    """People held out who have several photos, and the rows of some to enrol, never of all."""
    rng = np.random.default_rng(5)
    by_person: dict[str, list[int]] = {}
    for row in _held_out(clean):
        by_person.setdefault(str(clean.person[row]), []).append(int(row))
    several = {person: rows for person, rows in by_person.items() if len(rows) > 1}
    kept = [rows[: int(rng.integers(1, min(3, len(rows) - 1) + 1))] for rows in several.values()]
    return list(several), kept


def _strangers(clean: lfw.Measured) -> Ints:
    return np.flatnonzero(clean.found & (clean.split == "cohort"))[:COHORT]


def _held_out(faces: lfw.Measured) -> Ints:
    among = np.array([part_of(person) == HELD_OUT for person in faces.person])
    return np.flatnonzero(faces.found & (faces.split == "fit") & among)


def fit_quality(trials: Trials) -> dict[str, object]:
    """Logistic regression of "recognised at `FALSE_RATE`" on the features, brightness squared too.

    Photos of LFW all face the camera, so `turn` has nothing to be fitted on; it is left to the
    fixed rule in `idclip.face_quality`.
    """
    others = trials.score[~trials.same & trials.allowed]
    threshold = np.quantile(others, 1 - FALSE_RATE)
    true = np.nonzero(trials.same & trials.allowed)
    recognised = (trials.score[true] > threshold).astype(float)
    features = trials.features[true[0]]
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-3
    z = np.clip((features - mean) / std, -3, 3)
    both = np.concatenate([z, z**2], axis=1)
    used = [i for i, name in enumerate(FEATURES) if name != "turn"]
    used.append(len(FEATURES) + FEATURES.index("brightness"))
    fitted = logistic(both[:, used], recognised, np.ones(len(z)), penalty=3e-3)
    weights = np.zeros(both.shape[1])
    weights[used] = fitted[:-1]
    print(f"quality: {recognised.mean():.3f} of {len(z)} recognised above {threshold:.2f}")
    return {
        "features": list(FEATURES),
        "mean": [round(float(v), 5) for v in mean],
        "std": [round(float(v), 5) for v in std],
        "weights": [round(float(v), 5) for v in weights],
        "bias": round(float(fitted[-1]), 5),
    }


def fit_probability(trials: Trials, model: QualityModel) -> dict[str, float]:
    """The weights of P(same person), with `STRANGERS` strangers for each true match."""
    rows, columns = np.nonzero(trials.allowed)
    same, score = trials.same[rows, columns], trials.score[rows, columns]
    face = model.of_features(trials.features)[rows].astype(np.float64)
    photo = np.array([_pooled(model.of_features(f)) for f in trials.photo_features])[columns]
    columns_of = {
        "score": score,
        "quality": face,
        "score_quality": score * face,
        "photo_quality": photo,
    }
    weight = np.where(same, 1 / same.sum(), STRANGERS / (~same).sum())
    design = np.stack(list(columns_of.values()), axis=1)
    fitted = logistic(design, same.astype(float), weight, penalty=1e-7)
    named = design @ fitted[:-1] + fitted[-1] > 0
    print(f"P >= 0.5: {named[same].mean():.3f} of true, {named[~same].mean():.2e} of others")
    weights = {name: round(float(v), 4) for name, v in zip(columns_of, fitted, strict=False)}
    return {"bias": round(float(fitted[-1]), 4), **weights}


def _pooled(qualities: Floats) -> float:
    weight = qualities + 0.05
    return float((weight @ qualities) / weight.sum())


if __name__ == "__main__":
    main()
