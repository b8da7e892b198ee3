"""Ways to tell whose face it is among many people, tried on people who are in no test.

`python -m benchmarks.face_ways` writes `results/face_ways.json` and `.md`. The people are those of
the cohort: no network, quality or weight was fitted on them. In each draw 50 of them are enrolled
by three photos each, 330 are strangers, and the others are the cohort. No test person is looked at:
this is what `IdentityScorer.beside` and the weight of `nearness` were chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _report, lfw
from benchmarks.naming import Ints, against_others, named, nearest, shares, templates
from idclip.calibrate import log_odds
from idclip.centerface import THRESHOLD
from idclip.face_quality import FEATURES, QualityModel
from idclip.faces import WEIGHTS
from idclip.faces_default import DefaultFaces
from idclip.identity import EVIDENCE, Faces, IdentityScorer, trust

Floats = NDArray[Any]
Vectors = NDArray[np.float32]
Change = Callable[[Vectors], Vectors]

DRAWS, PEOPLE, PHOTOS, PROBES, STRANGERS = 40, 50, 3, 3, 330
TOP, NEAREST = 270, 8  # of some 740 strangers what 350 and 10 are of the product's 1,000
AXES = 3.0  # weight of nearness beside the other weights, before all are fitted to be evidence
WRONG = (0, 1, 2, 5)  # names given wrongly
BEFORE = "times the share among rivals (until now)"


@dataclass(frozen=True, eq=False)
class Known:
    """Faces with names: whose [N], of which photo [N], unit vectors [N, F], qualities [N]."""

    person: NDArray[np.str_]
    photo: NDArray[np.str_]
    vectors: Vectors
    qualities: Vectors

    def of(self, rows: Ints, scorer: IdentityScorer) -> Faces:
        """The faces in these rows."""
        return scorer.faces(self.vectors[rows], self.qualities[rows])


@dataclass(frozen=True, eq=False)
class Draw:
    """Faces to be named [N] and people [G] with their photos; `who` [N] is right, -1 a stranger.

    `lost` photos of people enrolled show no face that was found. `features` [N, G, 8] are those of
    `EVIDENCE`, `means` [G] everybody's mean face.
    """

    scorer: IdentityScorer
    looks: Faces
    people: tuple[Faces, ...]
    who: Ints
    lost: int
    features: Floats
    means: Faces

    @property
    def evidence(self) -> Floats:
        """[N, G], without nearness along the axes: what most ways start from."""
        return self.of(self.features)

    def of(self, features: Floats, axes: float = 0.0) -> Floats:
        """Evidence [N, G] of `features` where nearness weighs `axes` beside the other weights."""
        assert self.scorer.track_weights is not None
        weights = dict(self.scorer.track_weights)
        by = weights["axes"] / AXES  # fit_axes multiplies all alike
        return log_odds(features, {**weights, "axes": axes * by})

    def beside(self, evidence: Floats) -> Floats:
        """`evidence` with the others among the nearest strangers."""
        best = nearest(self.scorer, self.looks.vectors)
        each = np.arange(len(self.who))
        lost = against_others(self.scorer, self.looks, each, best, self.means.vectors)
        return np.asarray(evidence - lost)

    def alone(self, evidence: Floats) -> Floats:
        """P [N, G] of evidence, with the odds of strangers."""
        good = trust(self.features[..., EVIDENCE.index("quality")])
        odds = evidence - np.log(self.scorer.strangers.among(len(self.people)))
        return np.asarray(good / (1 + np.exp(-np.clip(odds, -30, 30))))

    def shared(self, evidence: Floats) -> Floats:
        """The same, times the share among rivals."""
        return self.alone(evidence) * shares(self.scorer.pairs(self.looks, self.means))


Way = Callable[[Draw], Floats]


def main() -> None:
    """Try all ways on the same draws."""
    clean, degraded = (known(variant) for variant in (lfw.CLEAN, lfw.DEGRADED))
    found: dict[str, dict[str, list[list[float]]]] = {"clean": {}, "degraded": {}}
    for kind, probes in (("clean", clean), ("degraded", degraded)):
        for draw in draws(clean, probes):
            for name, way in WAYS.items():
                found[kind].setdefault(name, []).append(figures(way(draw), draw))
    rows = []
    for name in WAYS:
        row: dict[str, object] = {"score": name}
        for kind, all_ways in found.items():
            row |= _columns(kind, np.array(all_ways[name]), np.array(all_ways[BEFORE]))
        rows.append(row)
    print(_report.write("face_ways", "Whose face it is among many people", rows, _NOTES))


def known(variant: int) -> Known:
    """The faces of the cohort's people that the product would see."""
    faces = lfw.measured_cohort(variant)
    parts = lfw.parts(WEIGHTS / "face_network.onnx", faces, variant, "cohort-parts")
    seen = faces.found & (faces.features[:, FEATURES.index("score")] > THRESHOLD)
    quality = QualityModel.load(WEIGHTS / "quality.json").of_features(faces.features)
    vectors = DefaultFaces(WEIGHTS, threads=1).vectors(parts)
    return Known(*(part[seen] for part in (faces.person, faces.photo, vectors, quality)))


def draws(clean: Known, probes: Known) -> Iterator[Draw]:
    """The first three photos of people enrol them, the next three are to be named."""
    photos, others = _rows_of(clean), _rows_of(probes)
    several = [p for p, rows in photos.items() if len(rows) > PHOTOS]
    single = [p for p, rows in photos.items() if len(rows) == 1]
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        enrolled = [several[i] for i in rng.permutation(len(several))[:PEOPLE]]
        strangers = [single[i] for i in rng.permutation(len(single))[:STRANGERS]]
        asked = {*enrolled, *strangers}
        cohort = clean.vectors[[rows[0] for p, rows in photos.items() if p not in asked]]
        scorer = replace(
            IdentityScorer.for_model("default"), cohort=cohort, top=TOP, nearest=NEAREST
        )
        rows, who = [], []
        for number, person in enumerate(enrolled):
            used = clean.photo[photos[person][:PHOTOS]]
            left = [row for row in others.get(person, []) if probes.photo[row] not in used]
            rows += left[:PROBES]
            who += [number] * len(left[:PROBES])
        expected = sum(min(PROBES, len(photos[p]) - PHOTOS) for p in enrolled)
        unknown = [others[p][0] for p in strangers if p in others]
        yield _draw(
            scorer,
            probes.of(np.array(rows + unknown), scorer),
            tuple(clean.of(np.array(photos[p][:PHOTOS]), scorer) for p in enrolled),
            np.array(who + [-1] * len(unknown)),
            max(expected - len(rows), 0),
        )


def _draw(
    scorer: IdentityScorer, looks: Faces, people: tuple[Faces, ...], who: Ints, lost: int
) -> Draw:
    each = np.arange(len(who))
    features = np.stack([scorer.evidence(looks, each, photos)[1] for photos in people], axis=1)
    return Draw(scorer, looks, people, who, lost, features, templates(scorer, people))


def figures(scores: Floats, draw: Draw) -> list[float]:
    """Shares of the photos of people enrolled: ranked first, and named right at `WRONG` errors."""
    best, top = scores.argmax(axis=1), scores.max(axis=1)
    asked = draw.who >= 0
    right = asked & (best == draw.who)
    wrong = np.sort(top[~right])[::-1]
    named_right = [(right & (top > wrong[errors])).sum() for errors in WRONG]
    return [float(count / (asked.sum() + draw.lost)) for count in (right.sum(), *named_right)]


def _columns(kind: str, draws_: Floats, before: Floats) -> dict[str, object]:
    mean, gain = draws_.mean(axis=0), draws_[:, 1] - before[:, 1]
    columns: dict[str, object] = {f"{kind}, ranked first": round(float(mean[0]), 4)}
    for errors, share in zip(WRONG, mean[1:], strict=True):
        columns[f"{kind}, at {errors or 'no'} wrong name{'s'[: errors != 1]}"] = round(
            float(share), 4
        )
    columns[f"{kind}, draws better and worse"] = f"{(gain > 0).sum()} and {(gain < 0).sum()}"
    return columns


def _rows_of(faces: Known) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, person in enumerate(faces.person):
        rows.setdefault(str(person), []).append(row)
    return rows


def _less_the_next(evidence: Floats, share: float) -> Floats:
    """Evidence less a share of that of the likeliest other person, where that is any."""
    ranked = np.sort(evidence, axis=1)
    other = np.where(evidence >= ranked[:, -1:], ranked[:, -2:-1], ranked[:, -1:])
    return np.asarray(evidence - share * np.maximum(other, 0))


def _rescored(
    draw: Draw,
    change: Change = lambda vectors: vectors,
    *,
    top: int = TOP,
    nearest: int = NEAREST,
    side: float = 0.5,
) -> tuple[Floats, Floats]:
    """P with other normalisation, and all scores of photos [N, G, 3].

    `change` is of all vectors, `side` the weight of the normalisation by the face to be named.
    """
    scorer = replace(draw.scorer, cohort=change(draw.scorer.cohort), top=top, nearest=nearest)
    looks = scorer.faces(change(draw.looks.vectors), draw.looks.qualities)
    features, of_photos = draw.features.copy(), []
    for number, photos in enumerate(draw.people):
        changed = scorer.faces(change(photos.vectors), photos.qualities)
        pair = zip(scorer.template(changed), changed, strict=True)
        both = Faces(*(np.concatenate(part) for part in pair))
        cosine = looks.vectors @ both.vectors.T
        from_look = (cosine - looks.cohort_mean[:, None]) / looks.cohort_std[:, None]
        from_photo = (cosine - both.cohort_mean) / both.cohort_std
        scores = side * from_look + (1 - side) * from_photo
        features[:, number, EVIDENCE.index("score")] = scores[:, 0]
        features[:, number, EVIDENCE.index("best")] = scores[:, 1:].max(axis=1)
        of_photos.append(scores[:, 1:])
    quality = features[..., EVIDENCE.index("quality")]
    score = features[..., EVIDENCE.index("score")]
    features[..., EVIDENCE.index("score_quality")] = score * quality
    return draw.of(features), np.stack(of_photos, axis=1)


def _less_mean(draw: Draw) -> Change:
    mean = draw.scorer.cohort.mean(axis=0)
    return lambda vectors: _unit(vectors - mean)


def _less_main_axes(draw: Draw) -> Change:
    cohort = draw.scorer.cohort
    axes = np.linalg.svd(cohort - cohort.mean(axis=0), full_matrices=False)[2][:2]
    return lambda vectors: _unit(vectors - (vectors @ axes.T) @ axes)


def _stretched(draw: Draw, power: float) -> Change:
    """Axes of the cohort multiplied by this power of their deviation; -1 would whiten."""
    cohort = draw.scorer.cohort
    mean = cohort.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov((cohort - mean).T) + 1e-6 * np.eye(cohort.shape[1]))
    matrix = (axes * values ** (power / 2)) @ axes.T
    return lambda vectors: _unit((vectors - mean) @ matrix)


def _correlation(draw: Draw) -> Floats:
    """[N, G]: of the scores of face and mean face against all of the cohort."""
    both = [faces.vectors @ draw.scorer.cohort.T for faces in (draw.looks, draw.means)]
    a, b = ((s - s.mean(axis=1, keepdims=True)) / s.std(axis=1, keepdims=True) for s in both)
    return np.asarray(a @ b.T / a.shape[1])


def _unit(vectors: Floats) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _along(draw: Draw, axes: float) -> Floats:
    return draw.shared(draw.beside(draw.of(draw.features, axes)))


def _squared(draw: Draw) -> Floats:
    return draw.shared(draw.evidence) * shares(draw.scorer.pairs(draw.looks, draw.means))


def _of_photos(draw: Draw, pooled: Callable[..., Floats]) -> Floats:
    evidence, scores = _rescored(draw)
    return draw.shared(evidence + 0.5 * pooled(scores, axis=2))


WAYS: Mapping[str, Way] = {
    "each person alone": lambda draw: draw.alone(draw.evidence),
    BEFORE: lambda draw: draw.shared(draw.evidence),
    "the others among the nearest strangers, too": lambda draw: _along(draw, 0.0),
    "so, and nearness along the cohort's axes, times 1": lambda draw: _along(draw, 1.0),
    "so, times 3 (shipped)": lambda draw: named(draw.scorer, draw.looks, draw.people),
    "so, times 5": lambda draw: _along(draw, 5.0),
    "the share squared": _squared,
    "less 0.1 of the next likeliest's evidence": lambda draw: draw.shared(
        _less_the_next(draw.evidence, 0.1)
    ),
    "less 0.3 of it": lambda draw: draw.shared(_less_the_next(draw.evidence, 0.3)),
    "mean of the nearest 4 of the cohort": lambda draw: draw.shared(_rescored(draw, nearest=4)[0]),
    "mean of the nearest 16": lambda draw: draw.shared(_rescored(draw, nearest=16)[0]),
    "deviation of the best 150": lambda draw: draw.shared(_rescored(draw, top=150)[0]),
    "deviation of the best 500": lambda draw: draw.shared(_rescored(draw, top=500)[0]),
    "normalised 0.4 by the face": lambda draw: draw.shared(_rescored(draw, side=0.4)[0]),
    "normalised 0.6 by the face": lambda draw: draw.shared(_rescored(draw, side=0.6)[0]),
    "vectors less the cohort's mean": lambda draw: draw.shared(
        _rescored(draw, _less_mean(draw))[0]
    ),
    "without the cohort's two main axes": lambda draw: draw.shared(
        _rescored(draw, _less_main_axes(draw))[0]
    ),
    "axes by a fifth of whitening": lambda draw: draw.shared(
        _rescored(draw, _stretched(draw, -0.2))[0]
    ),
    "axes by a fifth the other way": lambda draw: draw.shared(
        _rescored(draw, _stretched(draw, 0.2))[0]
    ),
    "and correlation over the cohort, times 5": lambda draw: draw.shared(
        draw.evidence + 5 * _correlation(draw)
    ),
    "and half the photos' mean score": lambda draw: _of_photos(draw, np.mean),
    "and half the worst photo's": lambda draw: _of_photos(draw, np.min),
}
_NOTES = [
    f"People of the cohort, LFW at 90x90, {DRAWS} draws: {PEOPLE} enrolled by {PHOTOS} photos "
    f"each, up to {PROBES} others of each and {STRANGERS} strangers to be named, about 740 others "
    "as the cohort. Degraded as in face_identity.",
    "Share of the photos of people enrolled that are named right, at so many wrong names; draws in "
    f'which more are at no wrong name than by "{BEFORE}".',
    "All but the first row are times the share among rivals; weights of the evidence are the "
    "shipped ones (nearness aside), not fitted anew to what a row changes. Figures are higher than "
    "those of the test: fewer strangers.",
    "Mirrored crops are in all vectors. Photos to enrol averaged over shifted and scaled crops, "
    "degraded copies of them as further references, probabilistic discriminant analysis and a "
    "discriminant fitted anew were measured before (idclip/weights/faces/MODEL_CARD.md), and lost.",
]


if __name__ == "__main__":
    main()
