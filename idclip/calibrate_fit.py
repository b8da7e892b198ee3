"""From photographed people to a cohort and a calibration in a folder, and how good they are."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip import calibrate
from idclip.calibrate import LEAST_QUALITY, Reliability, Sample
from idclip.calibrate_photos import KINDS, Photographed, look_at, photos_below
from idclip.errors import VidsearchError
from idclip.faces import FaceModel
from idclip.identity import IdentityScorer, Strangers

LEAST_PEOPLE = 60
LEAST_WITH_SEVERAL = 20  # people with two photos or more: these give the true matches
COHORT_SHARE, MOST_COHORT = 0.3, 1000
FOLDS = 4
PAIR_STRANGERS = 10000.0
MIXES = (1.0, 10.0, 100.0)  # strangers for each true match


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What was fitted, and the reliability of P on people left out, by strangers a true match."""

    scorer: IdentityScorer
    origin: dict[str, Any]
    reliability: dict[str, Reliability]


def calibrate_folder(
    folder: Path, model: FaceModel, tell: Callable[[int, int], None] = lambda done, total: None
) -> Calibrated:
    """Fit a face model on a folder with a subfolder of photos for each person.

    A part of the people is the cohort. The evidence is fitted on all others; its errors are those
    of fits that have not seen the people they are measured on. `tell` hears of photos done. Raises
    `VidsearchError` for too few people, and photos that cannot be read or show no face.
    """
    people = photos_below(folder)
    _enough(folder, len(people), sum(len(files) > 1 for files in people.values()), "photos")
    seen = look_at(people, model, tell)
    chosen = (seen.copy == "") & (seen.qualities >= LEAST_QUALITY)
    names, count = np.unique(seen.person[chosen], return_counts=True)
    _enough(folder, len(names), int((count > 1).sum()), "usable faces")
    cohort = _cohort(names, count)
    scorer = _scorer(seen, cohort, chosen)
    rows = np.flatnonzero(~np.isin(seen.person, cohort))
    faces = scorer.faces(seen.vectors[rows], seen.qualities[rows])
    sample = Sample(seen.person[rows], seen.photo[rows], seen.copy[rows], faces)
    trials = calibrate.make_trials(scorer, sample, calibrate.make_tracks(sample, KINDS))
    errors = {
        f"1 true to {mix:.0f}": calibrate.reliability_unseen(trials, mix, FOLDS) for mix in MIXES
    }
    fitted = replace(
        scorer,
        weights=calibrate.fit_pairs(trials, PAIR_STRANGERS),
        track_weights=calibrate.fit_tracks(trials),
    )
    return Calibrated(fitted, _origin(folder, model, seen, cohort, trials, errors), errors)


def save(calibrated: Calibrated, out: Path) -> None:
    """Write `cohort.npy` and `calibration.json` into the folder `out`, made if need be."""
    scorer = calibrated.scorer
    content = {
        "top": scorer.top,
        "nearest": scorer.nearest,
        "least_quality": scorer.least_quality,
        "weights": dict(scorer.weights),
        "strangers": scorer.strangers._asdict(),
        "track_weights": dict(scorer.track_weights or {}),
        "origin": calibrated.origin,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        np.save(out / "cohort.npy", scorer.cohort.astype(np.float16))
        (out / "calibration.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise VidsearchError(f"{out}: cannot be written: {error.strerror or error}") from error


def _enough(folder: Path, people: int, several: int, what: str) -> None:
    if people < LEAST_PEOPLE or several < LEAST_WITH_SEVERAL:
        raise VidsearchError(
            f"{folder}: too few people to calibrate on: {people} with {what}, {several} of them "
            f"with several; at least {LEAST_PEOPLE} and {LEAST_WITH_SEVERAL} are needed"
        )


def _cohort(names: NDArray[np.str_], count: NDArray[Any]) -> NDArray[np.str_]:
    """Who stands for strangers: of those with one photo first, in an order that stays."""
    size = min(MOST_COHORT, round(COHORT_SHARE * len(names)))
    place = np.array([calibrate.part_of(str(name), 1 << 20) for name in names])
    return names[np.lexsort((place, count > 1))[:size]]


def _scorer(
    seen: Photographed, cohort: NDArray[np.str_], chosen: NDArray[np.bool_]
) -> IdentityScorer:
    """A scorer with its cohort, one face a person, and no weights yet."""
    first = [int(np.flatnonzero(chosen & (seen.person == name))[0]) for name in cohort]
    top = max(2, min(350, round(0.35 * len(first))))
    nearest = max(1, min(10, top // 3))
    vectors = seen.vectors[first].astype(np.float16).astype(np.float32)
    return IdentityScorer(vectors, top, nearest, {}, LEAST_QUALITY, None, Strangers())


def _origin(
    folder: Path,
    model: FaceModel,
    seen: Photographed,
    cohort: NDArray[np.str_],
    trials: calibrate.Trials,
    errors: dict[str, Reliability],
) -> dict[str, Any]:
    return {
        "model": model.name,
        "made_by": "idclip calibrate-faces",
        "date": datetime.date.today().isoformat(),
        "data": folder.name,
        "photos": seen.photos,
        "photos_left_out": seen.left_out,
        "people": len(np.unique(seen.person)),
        "cohort": len(cohort),
        "tracks": len(trials.tracks.starts),
        "of_the_same_person": int((trials.same & trials.allowed).sum()),
        "of_others": int((~trials.same & trials.allowed).sum()),
        "calibration_error_on_people_left_out": {k: round(r.error, 4) for k, r in errors.items()},
        "named_right_on_people_left_out": _table(trials),
    }


def _table(trials: calibrate.Trials) -> dict[str, dict[str, float]]:
    """For each kind of tracks, pairs named right and wrong at P of one half, one person enrolled.

    By weights fitted without the track's person.
    """
    folds = np.array([calibrate.part_of(p, FOLDS) for p in trials.tracks.person])
    others = np.array([calibrate.part_of(p, FOLDS) for p in trials.enrolled])
    evidence = np.zeros(trials.same.shape)
    for fold in np.unique(folds):
        inside = folds == fold
        weights = calibrate.fit_tracks(trials, ~inside[:, None] & (others != fold)[None])
        evidence[inside] = calibrate.log_odds(trials.features[inside], weights)
    named = evidence > np.log(Strangers().among(1))
    true, false = trials.same & trials.allowed, ~trials.same & trials.allowed
    return {
        str(kind): {
            "right": round(float(named[of][true[of]].mean()), 4) if true[of].any() else 0.0,
            "wrong": round(float(named[of][false[of]].mean()), 7) if false[of].any() else 0.0,
        }
        for kind in np.unique(trials.tracks.kind)
        for of in [trials.tracks.kind == kind]
    }
