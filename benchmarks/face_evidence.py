"""What each part of the evidence gains, and best photo against mean: on people of the fit.

`python -m benchmarks.face_evidence` writes `results/face_evidence.json` and `.md`. No test person
is looked at: this is what `idclip.identity.EVIDENCE` was chosen by.
"""

from __future__ import annotations

import numpy as np

from benchmarks import _report
from benchmarks.fit_faces import FOLDS, tracks_held_out
from idclip import calibrate
from idclip.calibrate import Trials, logistic
from idclip.face_quality import QualityModel
from idclip.faces import WEIGHTS
from idclip.identity import EVIDENCE

KEPT = 0.1  # of the pairs of strangers in fitting, so that it takes seconds
STRANGERS = calibrate.FITTED_AT
PARTS = {
    "score (mean of the photos)": ("score",),
    "and quality of the face": ("score", "quality", "score_quality"),
    "and quality of the photos": ("score", "quality", "score_quality", "photo_quality"),
    "and number of photos": ("score", "quality", "score_quality", "photo_quality", "photos"),
    "and number of looks": (
        "score", "quality", "score_quality", "photo_quality", "photos", "looks",
    ),
    "best photo in the place of the mean": (
        "best", "quality", "score_quality", "photo_quality", "photos", "looks",
    ),
    "mean and best photo (shipped)": EVIDENCE[:-1],
    "and nearness along the axes": EVIDENCE,
}  # fmt: skip


def main() -> None:
    """Fit and compare."""
    trials = tracks_held_out(QualityModel.load(WEIGHTS / "quality.json"))
    weight = trials.weights(STRANGERS)
    rows = []
    for name, parts in PARTS.items():
        odds = _left_out(trials, [EVIDENCE.index(part) for part in parts])
        rows.append({"evidence of": name, **_figures(trials, odds, weight)})
    print(_report.write("face_evidence", "What each part of the evidence gains", rows, _NOTES))


def _left_out(trials: Trials, columns: list[int]) -> np.ndarray:
    """Log odds at `STRANGERS` [T, G], by weights fitted without the track's and that person."""
    of_track = np.array([calibrate.part_of(p, FOLDS) for p in trials.tracks.person])
    of_person = np.array([calibrate.part_of(p, FOLDS) for p in trials.enrolled])
    kept = trials.same | (np.random.default_rng(0).random(trials.same.shape) < KEPT)
    weight = trials.weights(STRANGERS) / np.where(trials.same, 1.0, KEPT)
    odds = np.zeros(trials.same.shape, np.float32)
    for fold in range(FOLDS):
        others = (of_track != fold)[:, None] & (of_person != fold)[None]
        chosen = kept & trials.allowed & others
        x = trials.features[chosen][:, columns].astype(np.float64)
        fitted = logistic(x, trials.same[chosen].astype(float), weight[chosen], penalty=1e-7)
        inside = of_track == fold
        odds[inside] = trials.features[inside][..., columns] @ fitted[:-1] + fitted[-1]
    return odds


def _figures(trials: Trials, odds: np.ndarray, weight: np.ndarray) -> dict[str, object]:
    true, false = trials.same & trials.allowed, ~trials.same & trials.allowed
    surprise = np.where(trials.same, np.logaddexp(0, -odds), np.logaddexp(0, odds))
    row: dict[str, object] = {"cost": float((surprise * weight)[trials.allowed].sum())}
    for photos in (1, 3):
        of_photos = (trials.photos == photos)[None]
        for kind in ("clean", "degraded", "degraded+again+turned"):
            of = of_photos & (trials.tracks.kind == kind)[:, None]
            limit = np.quantile(odds[false & of], 1 - 1e-4)
            shown = "several looks" if "+" in kind else kind
            row[f"{shown}, {photos} photo{'s'[: photos > 1]}"] = float(
                (odds > limit)[true & of].mean()
            )
    return row


_NOTES = [
    "People of the fit whom the networks of this fit have not seen, LFW at 90x90, folds by person.",
    f"Cost: mean surprise in nats of all pairs, {STRANGERS:.0f} strangers for each true match "
    "(logarithmic loss, of a true match and its strangers together): less is better.",
    "The others: share of true pairs with more evidence than one in 10,000 pairs of strangers has.",
    "The best photo's row keeps score times quality, of the mean.",
    "Several looks: a track of one photo, degraded twice and once turned as well.",
]


if __name__ == "__main__":
    main()
