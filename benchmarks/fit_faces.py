"""Fits what ships beside the default face networks, on people of LFW who are in no test.

`python -m benchmarks.fit_faces` writes into `idclip/weights/faces`: `face_vector.onnx` (the last
step of the vector: a linear discriminant), `quality.json`, `cohort.npy` (1,000 strangers) and
`calibration.json`. It needs `onnx` and `../shared/data/lfw90.tar`, and no torch.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import lfw
from idclip.face_quality import FEATURES, QualityModel
from idclip.face_weights import vector_head
from idclip.faces import WEIGHTS
from idclip.faces_default import PARTS, DefaultFaces
from idclip.identity import Faces, IdentityScorer

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]

DIM = 256  # like the two that follow, chosen by cross-validation within the fit
SHRINKAGE = 0.7  # of the within-person covariance, towards a multiple of the identity
COHORT = 1000
TOP = 350  # best cohort scores that make a face's statistics
FALSE_RATE = 1e-3  # quality is the chance to be recognised when this share of strangers would be
FOLDS = 6  # parts of the fit, by person: scores that are fitted on are of people left out
# Odds of a stranger against the person asked for, among the tracks of an archive. They move the
# probability that a given score means: nobody may be given another's name.
STRANGERS = 10000.0


def main() -> None:
    """Fit everything, in the order in which each step needs the one before."""
    import onnx

    head = WEIGHTS / "face_vector.onnx"
    if not head.is_file():  # measuring asks for raw values only, but the model wants the file
        onnx.save(vector_head(np.zeros(PARTS, np.float32), np.eye(PARTS, dtype=np.float32)), head)
    model = DefaultFaces(WEIGHTS)
    variants = [lfw.measured(model, v) for v in (lfw.CLEAN, lfw.DEGRADED, lfw.DEGRADED_AGAIN)]
    clean = variants[0]
    mean, matrix = discriminant(variants)
    onnx.save(vector_head(mean, matrix), head)
    model = DefaultFaces(WEIGHTS)

    strangers = np.flatnonzero(clean.found & (clean.split == "cohort"))[:COHORT]
    cohort = model.vectors(clean.parts[strangers])
    np.save(WEIGHTS / "cohort.npy", cohort.astype(np.float16))

    trials = [make_trials(variants, fold) for fold in range(FOLDS)]
    quality = fit_quality(trials)
    (WEIGHTS / "quality.json").write_text(json.dumps(quality, indent=1) + "\n")
    weights = fit_probability(trials, QualityModel.load(WEIGHTS / "quality.json"))
    calibration = {"top": TOP, "least_quality": 0.1, "weights": weights}
    (WEIGHTS / "calibration.json").write_text(json.dumps(calibration, indent=1) + "\n")


def fold_of(person: str) -> int:
    """Which of `FOLDS` parts of the fit somebody belongs to; independent of the split."""
    return zlib.crc32(person.encode()) // 10 % FOLDS


def discriminant(
    variants: Sequence[lfw.Measured], without: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean [1024] and matrix [1024, DIM] of Fisher's discriminant over people of the fit.

    Photos of one person, degraded copies among them, make the covariance within; a person with
    many photos counts as their square root. People of the fold `without` are left out.
    """
    rows = [_of_fit(v) & (_folds(v) != without) for v in variants]
    x = np.concatenate([v.parts[r] for v, r in zip(variants, rows, strict=True)]).astype(np.float64)
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
    """Every face of a fold against the photos of every person of it who has some left.

    `score` [N, G] is normalised, `same` [N, G] whether it is the same person, `allowed` [N, G]
    that the face itself is not among the photos; `features` [N, 9] are the face's, `photo_of`
    [G] the rows of the photos in `photo_features`.
    """

    score: NDArray[np.float32]
    same: NDArray[np.bool_]
    allowed: NDArray[np.bool_]
    features: NDArray[np.float32]
    photo_features: tuple[NDArray[np.float32], ...]


def make_trials(variants: Sequence[lfw.Measured], fold: int) -> Trials:
    """One to three clean photos a person to enrol, all other faces to be named, in one fold.

    The discriminant is fitted on the people of the other folds: it knows its own people better
    than it will know anybody else, and a probability fitted on them would promise too much.
    """
    mean, matrix = discriminant(variants, without=fold)
    clean = variants[0]
    strangers = np.flatnonzero(clean.found & (clean.split == "cohort"))[:COHORT]
    scorer = IdentityScorer(_project(clean.parts[strangers], mean, matrix), TOP, {})
    people, galleries = _galleries(clean, fold)
    templates = []
    for kept in galleries:
        centre = _project(clean.parts[kept], mean, matrix).mean(axis=0)
        templates.append(
            scorer.faces((centre / np.linalg.norm(centre))[None], np.ones(1, np.float32))
        )
    gallery = Faces(*(np.concatenate(parts) for parts in zip(*templates, strict=True)))
    pairs = [(v, np.flatnonzero(_of_fit(v) & (_folds(v) == fold))) for v in variants]
    probes = np.concatenate([_project(v.parts[r], mean, matrix) for v, r in pairs])
    owner = np.concatenate([v.person[r] for v, r in pairs])
    photo = np.concatenate([v.photo[r] for v, r in pairs])
    looks = scorer.faces(probes, np.ones(len(probes), np.float32))
    used = [set(clean.photo[kept]) for kept in galleries]
    taken = np.array([[name in names for names in used] for name in photo], np.bool_)
    return Trials(
        scorer.normalised(looks, gallery).astype(np.float32),
        np.asarray(owner[:, None] == np.array(people)),
        ~taken,
        np.concatenate([v.features[r] for v, r in pairs]),
        tuple(clean.features[kept] for kept in galleries),
    )


def _galleries(clean: lfw.Measured, fold: int) -> tuple[list[str], list[list[int]]]:
    """People of a fold with several photos, and the rows of those to enrol, never all of them."""
    rng = np.random.default_rng(5)
    by_person: dict[str, list[int]] = {}
    for row in np.flatnonzero(_of_fit(clean) & (_folds(clean) == fold)):
        by_person.setdefault(str(clean.person[row]), []).append(int(row))
    several = {person: rows for person, rows in by_person.items() if len(rows) > 1}
    kept = [rows[: int(rng.integers(1, min(3, len(rows) - 1) + 1))] for rows in several.values()]
    return list(several), kept


def _of_fit(measured: lfw.Measured) -> NDArray[np.bool_]:
    return np.asarray(measured.found & (measured.split == "fit"))


def _folds(measured: lfw.Measured) -> Ints:
    return np.array([fold_of(person) for person in measured.person], np.intp)


def _project(parts: Floats, mean: Floats, matrix: Floats) -> NDArray[np.float32]:
    vectors = (parts - mean) @ matrix
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def fit_quality(trials: Sequence[Trials]) -> dict[str, object]:
    """Logistic regression of "recognised at `FALSE_RATE`" on the features, brightness squared too.

    Photos of LFW all face the camera, so `turn` has nothing to be fitted on; it is left to the
    fixed rule in `idclip.face_quality`.
    """
    others = np.concatenate([t.score[~t.same & t.allowed] for t in trials])
    threshold = np.quantile(others, 1 - FALSE_RATE)
    true = [(t, np.nonzero(t.same & t.allowed)) for t in trials]
    recognised = np.concatenate([t.score[at] > threshold for t, at in true]).astype(float)
    features = np.concatenate([t.features[at[0]] for t, at in true])
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


def fit_probability(trials: Sequence[Trials], model: QualityModel) -> dict[str, float]:
    """The weights of P(same person), with `STRANGERS` strangers for each true match."""
    parts: list[tuple[Floats, ...]] = []
    for t in trials:
        rows, columns = np.nonzero(t.allowed)
        photos = np.array([_pooled(model.of_features(f)) for f in t.photo_features])
        face = model.of_features(t.features)[rows].astype(np.float64)
        parts.append((t.same[rows, columns], t.score[rows, columns], face, photos[columns]))
    same, score, face, photo = (np.concatenate(part) for part in zip(*parts, strict=True))
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
