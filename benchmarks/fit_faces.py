"""Fits what ships beside the default face networks, on people of LFW who are in no test.

`python -m benchmarks.fit_faces` writes into `idclip/weights/faces`: `face_vector.onnx` (the last
step of the vector: a linear discriminant), `quality.json`, `cohort.npy` (1,000 strangers) and
`calibration.json`. It needs `onnx` and `../shared/data/lfw90.tar`, and no torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import lfw
from idclip.face_quality import FEATURES, QualityModel
from idclip.face_weights import vector_head
from idclip.faces import WEIGHTS
from idclip.faces_default import DefaultFaces
from idclip.identity import Faces, IdentityScorer

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]

DIM = 192  # like the two that follow, chosen by cross-validation within the fit
SHRINKAGE = 0.5  # of the within-person covariance, towards a multiple of the identity
COHORT = 1000
TOP = 200  # best cohort scores that make a face's statistics
FALSE_RATE = 1e-3  # quality is the chance to be recognised when this share of strangers would be
# Odds of a stranger against the person asked for, among the tracks of an archive. They move the
# probability that a given score means: nobody may be given another's name.
STRANGERS = 10000.0


def main() -> None:
    """Fit everything, in the order in which each step needs the one before."""
    import onnx

    head = WEIGHTS / "face_vector.onnx"
    if not head.is_file():  # measuring asks for raw values only, but the model wants the file
        onnx.save(vector_head(np.zeros(256, np.float32), np.eye(256, dtype=np.float32)), head)
    model = DefaultFaces(WEIGHTS)
    variants = [lfw.measured(model, v) for v in (lfw.CLEAN, lfw.DEGRADED, lfw.DEGRADED_AGAIN)]
    clean = variants[0]
    mean, matrix = discriminant(variants)
    onnx.save(vector_head(mean, matrix), head)
    model = DefaultFaces(WEIGHTS)

    strangers = np.flatnonzero(clean.found & (clean.split == "cohort"))[:COHORT]
    cohort = model.vectors(clean.raw[strangers])
    np.save(WEIGHTS / "cohort.npy", cohort.astype(np.float16))
    scorer = IdentityScorer(cohort, TOP, {})

    trials = make_trials(model, scorer, variants)
    quality = fit_quality(trials)
    (WEIGHTS / "quality.json").write_text(json.dumps(quality, indent=1) + "\n")
    weights = fit_probability(trials, QualityModel.load(WEIGHTS / "quality.json"))
    calibration = {"top": TOP, "least_quality": 0.1, "weights": weights}
    (WEIGHTS / "calibration.json").write_text(json.dumps(calibration, indent=1) + "\n")


def discriminant(
    variants: Sequence[lfw.Measured],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean [256] and matrix [256, DIM] of Fisher's discriminant over people of the fit.

    Photos of one person, degraded copies among them, make the covariance within; a person with
    many photos counts as their square root.
    """
    rows = [v.found & (v.split == "fit") for v in variants]
    x = np.concatenate([v.raw[r] for v, r in zip(variants, rows, strict=True)]).astype(np.float64)
    people = np.concatenate([v.person[r] for v, r in zip(variants, rows, strict=True)])
    mean = x.mean(axis=0)
    _, who, count = np.unique(people, return_inverse=True, return_counts=True)
    centres = np.zeros((len(count), x.shape[1]))
    np.add.at(centres, who, x)
    centres /= count[:, None]
    several = count[who] > 1
    weight = 1 / np.sqrt(count[who][several])
    unbiased = np.sqrt(count / np.maximum(count - 1, 1))[who][several]
    spread = (x - centres[who])[several] * (unbiased * np.sqrt(weight))[:, None]
    within = spread.T @ spread / weight.sum()
    level = np.trace(within) / len(within)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * level * np.eye(len(within))
    values, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(values)
    values, axes = np.linalg.eigh(whiten.T @ np.cov(x.T) @ whiten)
    best = np.argsort(-values)[:DIM]
    return mean.astype(np.float32), (whiten @ axes[:, best]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Trials:
    """Every face of the fit against the photos of every person of the fit who has some left.

    `score` [N, G] is normalised, `same` [N, G] whether it is the same person, `allowed` [N, G]
    that the face itself is not among the photos; `features` [N, 9] are the face's, `photo_of`
    [G] the rows of the photos in `photo_features`.
    """

    score: NDArray[np.float32]
    same: NDArray[np.bool_]
    allowed: NDArray[np.bool_]
    features: NDArray[np.float32]
    photo_features: tuple[NDArray[np.float32], ...]


def make_trials(
    model: DefaultFaces, scorer: IdentityScorer, variants: Sequence[lfw.Measured]
) -> Trials:
    """One to three clean photos a person to enrol, all other faces to be named."""
    rng = np.random.default_rng(5)
    clean = variants[0]
    rows = np.flatnonzero(clean.found & (clean.split == "fit"))
    by_person: dict[str, list[int]] = {}
    for row in rows:
        by_person.setdefault(str(clean.person[row]), []).append(int(row))
    galleries, used, people = [], [], []
    for person, photos in by_person.items():
        if len(photos) < 2:
            continue
        kept = photos[: int(rng.integers(1, min(3, len(photos) - 1) + 1))]
        galleries.append(kept)
        people.append(person)
        used.append({str(clean.photo[row]) for row in kept})
    vectors = model.vectors(clean.raw)
    ones = np.ones(1, np.float32)
    templates = []
    for kept in galleries:
        mean = vectors[kept].mean(axis=0)
        templates.append(scorer.faces((mean / np.linalg.norm(mean))[None], ones))
    gallery = Faces(*(np.concatenate(parts) for parts in zip(*templates, strict=True)))
    chosen = [np.flatnonzero(v.found & (v.split == "fit")) for v in variants]
    pairs = list(zip(variants, chosen, strict=True))
    probes = np.concatenate([model.vectors(v.raw[r]) for v, r in pairs])
    owner = np.concatenate([v.person[r] for v, r in pairs])
    photo = np.concatenate([v.photo[r] for v, r in pairs])
    looks = scorer.faces(probes, np.ones(len(probes), np.float32))
    taken = np.array([[str(name) in names for names in used] for name in photo], np.bool_)
    return Trials(
        scorer.normalised(looks, gallery).astype(np.float32),
        np.asarray(owner[:, None] == np.array(people)),
        ~taken,
        np.concatenate([v.features[r] for v, r in pairs]),
        tuple(clean.features[kept] for kept in galleries),
    )


def fit_quality(trials: Trials) -> dict[str, object]:
    """Logistic regression of "recognised at `FALSE_RATE`" on the features, brightness squared too.

    Photos of LFW all face the camera, so `turn` has nothing to be fitted on; it is left to the
    fixed rule in `idclip.face_quality`.
    """
    threshold = np.quantile(trials.score[~trials.same & trials.allowed], 1 - FALSE_RATE)
    rows, columns = np.nonzero(trials.same & trials.allowed)
    recognised = (trials.score[rows, columns] > threshold).astype(float)
    features = trials.features[rows]
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
    quality = model.of_features(trials.features)
    photos = np.array([_pooled(model.of_features(f)) for f in trials.photo_features])
    rows, columns = np.nonzero(trials.allowed)
    same = trials.same[rows, columns]
    score, face = trials.score[rows, columns].astype(np.float64), quality[rows].astype(np.float64)
    columns_of = {
        "score": score,
        "quality": face,
        "score_quality": score * face,
        "photo_quality": photos[columns],
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


def logistic(x: Floats, y: Floats, weight: Floats, *, penalty: float) -> NDArray[np.float64]:
    """Weights [K + 1] of a logistic regression, the bias last, by Newton's method."""
    design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    weight = weight / weight.sum()
    fitted = np.zeros(design.shape[1])
    shrink = np.full(len(fitted), penalty)
    shrink[-1] = 0.0
    for _ in range(60):
        p = 1 / (1 + np.exp(-np.clip(design @ fitted, -30, 30)))
        gradient = design.T @ (weight * (p - y)) + shrink * fitted
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(shrink + 1e-10), gradient)
        fitted -= step * min(1.0, 3 / np.abs(step).max())
        if np.abs(step).max() < 1e-6:
            break
    return fitted


if __name__ == "__main__":
    main()
