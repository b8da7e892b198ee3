"""Weighs nearness along the cohort's axes in the shipped evidence, on people of the cohort.

`python -m benchmarks.fit_axes` rewrites `track_weights` in `idclip/weights/faces/calibration.json`:
to what `benchmarks/fit_faces.py` fitted, nearness (`axes`) is added with the weight `AXES`, chosen
by `benchmarks/face_ways.py`; the sum is multiplied by one number and another is added, so that it
is evidence again. Nobody of the cohort was trained on, so the shipped network can be asked; who is
judged is taken out of the cohort first. Nobody of the test is looked at.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import lfw
from benchmarks.face_ways import AXES, known
from idclip import calibrate
from idclip.calibrate import FITTED_AT, Sample, Trials, logistic, reliability
from idclip.faces import WEIGHTS
from idclip.identity import IdentityScorer

Floats = NDArray[Any]

FOLDS = 4
KINDS = (("",), ("degraded",))
MIXES = (1.0, 100.0)  # strangers for each true match


def main() -> None:
    """Fit, and write the weights and where they come from."""
    shipped = IdentityScorer.for_model("default")
    assert shipped.track_weights is not None
    before = {"axes": AXES, **shipped.track_weights}
    parts = list(_trials(shipped))
    fitted = fit(parts, before)
    path = WEIGHTS / "calibration.json"
    content = json.loads(path.read_text())
    content["track_weights"] = _weights(before, fitted)
    content["origin"]["axes"] = {
        "made_by": "python -m benchmarks.fit_axes",
        "date": datetime.date.today().isoformat(),
        "data": "people of the cohort: clean, degraded",
        "tracks": sum(len(t.tracks.starts) for t in parts),
        "of_the_same_person": sum(int((t.same & t.allowed).sum()) for t in parts),
        "of_others": sum(int((~t.same & t.allowed).sum()) for t in parts),
        "calibration_error_on_people_left_out": errors(parts, before),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["track_weights"]), content["origin"]["axes"])


def _trials(shipped: IdentityScorer) -> Iterator[Trials]:
    """Tracks of each part of the people against its people, by a cohort of all others."""
    faces = [known(variant) for variant in (lfw.CLEAN, lfw.DEGRADED)]
    person, photo, vectors, qualities = (
        np.concatenate([getattr(f, name) for f in faces])
        for name in ("person", "photo", "vectors", "qualities")
    )
    copy = np.repeat(["", "degraded"], [len(f.person) for f in faces])
    fold = np.array([calibrate.part_of(p, FOLDS) for p in person])
    _, first = np.unique(person, return_index=True)  # clean photos come first
    for part in range(FOLDS):
        others = first[(fold[first] != part) & (copy[first] == "")]
        share = len(others) / len(shipped.cohort)
        scorer = replace(
            shipped,
            cohort=vectors[others],
            top=round(share * shipped.top),
            nearest=round(share * shipped.nearest),
        )
        rows = np.flatnonzero(fold == part)
        looks = scorer.faces(vectors[rows], qualities[rows])
        sample = Sample(person[rows], photo[rows], copy[rows], looks)
        yield calibrate.make_trials(scorer, sample, calibrate.make_tracks(sample, KINDS))


def fit(parts: list[Trials], before: dict[str, float]) -> Floats:
    """What evidence is multiplied by, and what is added, [2]."""
    x, y, weight = (np.concatenate(p) for p in zip(*(_rows(t, before) for t in parts), strict=True))
    fitted = logistic(x, y, weight, penalty=1e-7)
    # The share of true matches in fitting is taken off: what stays is evidence.
    fitted[-1] += np.log(weight[y == 0].sum() / weight[y == 1].sum())
    return fitted


def _rows(trials: Trials, before: dict[str, float]) -> tuple[Floats, Floats, Floats]:
    chosen = trials.allowed
    odds = calibrate.log_odds(trials.features[chosen], before)
    return (
        odds[:, None].astype(np.float64),
        trials.same[chosen].astype(float),
        trials.weights(FITTED_AT)[chosen],
    )


def _weights(before: dict[str, float], fitted: Floats) -> dict[str, float]:
    by, summand = fitted
    after = {name: by * value for name, value in before.items()}
    after["bias"] += summand
    return {name: round(float(value), 4) for name, value in after.items()}


def errors(parts: list[Trials], before: dict[str, float]) -> dict[str, float]:
    """Expected calibration errors in mixes, each part of the people by a fit without them."""
    found = {}
    for strangers in MIXES:
        said, so, share = [], [], []
        for number, trials in enumerate(parts):
            weights = _weights(before, fit(parts[:number] + parts[number + 1 :], before))
            odds = calibrate.log_odds(trials.features[trials.allowed], weights)
            said.append(1 / (1 + np.exp(-np.clip(odds - np.log(strangers), -30, 30))))
            so.append(trials.same[trials.allowed].astype(float))
            share.append(trials.weights(strangers)[trials.allowed])
        whole = (np.concatenate(p) for p in (said, so, share))
        found[f"1 to {strangers:.0f}"] = round(reliability(*whole).error, 4)
    return found


if __name__ == "__main__":
    main()
