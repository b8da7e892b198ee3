"""Fits the evidence that a track shows a person, on photos of known people.

Everybody is enrolled by one, two, three and five of their photos; tracks are made of their other
photos: one look, the same photo degraded twice, or degraded and turned. Every track meets everybody
(trials), and a logistic function tells the same person from another (`idclip.identity.EVIDENCE`).
It is a logarithm of odds by the share of true matches that was assumed in fitting, so what is left
without that share, the evidence, holds for any.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip.identity import EVIDENCE, Faces, IdentityScorer

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]

ENROLLED_BY = (1, 2, 3, 5)  # photos
LEAST_QUALITY = 0.1  # of a look; vidsearch keeps no poorer one
# Strangers for each true match in fitting: where few and many enrolled people need it to be right.
FITTED_AT = 1000.0
SINGLE = ("score", "quality", "score_quality", "photo_quality")  # weights for two single faces
_PENALTY = 1e-7


@dataclass(frozen=True, eq=False)
class Sample:
    """Faces of known people: `person`, `photo` [N] and `copy` [N], which says how it was changed.

    The same `photo` with another `copy` is the same photo degraded. `copy` "" is the photo itself;
    only these are enrolled.
    """

    person: NDArray[np.str_]
    photo: NDArray[np.str_]
    copy: NDArray[np.str_]
    faces: Faces

    def of(self, rows: Ints) -> Faces:
        """The faces in these rows."""
        return Faces(*(part[rows] for part in self.faces))


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks made of a sample: rows of all looks, the first look of each [T], and whose [T].

    `kind` [T] names the copies that a track is made of.
    """

    looks: Ints
    starts: Ints
    person: NDArray[np.str_]
    photo: NDArray[np.str_]
    kind: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Trials:
    """Every track against everybody as enrolled: `features` [T, G, 8] are those of `EVIDENCE`.

    `same` [T, G]: it is that person. `allowed` [T, G]: the track is of no photo that they are
    enrolled by. `photos` [G] is how many these are, `enrolled` [G] who.
    """

    features: NDArray[np.float32]
    same: Mask
    allowed: Mask
    tracks: Tracks
    enrolled: NDArray[np.str_]
    photos: Ints

    def weights(self, strangers: float) -> Floats:
        """[T, G]: kinds of tracks and numbers of photos count alike, and of all trials that are
        allowed `strangers` for each one of the same person.
        """
        kinds = _shares(self.tracks.kind)[:, None] * _shares(self.photos)[None]
        kinds = kinds * self.allowed
        true = np.where(self.same, kinds, 0.0)
        others = np.where(self.same, 0.0, kinds)
        return np.asarray(true / true.sum() + others * (strangers / others.sum()))


def make_tracks(sample: Sample, kinds: Sequence[Sequence[str]]) -> Tracks:
    """For each photo one track of each kind, which names its copies, where all are there."""
    row_of = {
        (photo, copy): row
        for row, (photo, copy) in enumerate(zip(sample.photo, sample.copy, strict=True))
        if sample.faces.qualities[row] >= LEAST_QUALITY
    }
    looks: list[int] = []
    starts, person, photos, names = [], [], [], []
    whose = dict(zip(sample.photo, sample.person, strict=True))
    for photo in sorted(whose):
        for kind in kinds:
            rows = [row_of[photo, copy] for copy in kind if (photo, copy) in row_of]
            if len(rows) == len(kind):
                starts.append(len(looks))
                looks += rows
                person.append(whose[photo])
                photos.append(photo)
                names.append("+".join(copy or "clean" for copy in kind))
    return Tracks(
        np.array(looks, np.intp),
        np.array(starts, np.intp),
        np.array(person, np.str_),
        np.array(photos, np.str_),
        np.array(names, np.str_),
    )


def make_trials(scorer: IdentityScorer, sample: Sample, tracks: Tracks, *, seed: int = 0) -> Trials:
    """Every track against everybody; who has no photo to spare is only somebody else."""
    looks = sample.of(tracks.looks)
    features, allowed, enrolled, photos = [], [], [], []
    for person, rows in _galleries(sample, seed):
        features.append(scorer.evidence(looks, tracks.starts, sample.of(rows))[1])
        allowed.append(~np.isin(tracks.photo, sample.photo[rows]))
        enrolled.append(person)
        photos.append(len(rows))
    names = np.array(enrolled, np.str_)
    return Trials(
        np.stack(features, axis=1).astype(np.float32),
        tracks.person[:, None] == names,
        np.stack(allowed, axis=1),
        tracks,
        names,
        np.array(photos, np.intp),
    )


def _galleries(sample: Sample, seed: int) -> Iterator[tuple[str, Ints]]:
    rng = np.random.default_rng(seed)
    clean = (sample.copy == "") & (sample.faces.qualities >= LEAST_QUALITY)
    for person in np.unique(sample.person):
        rows = rng.permutation(np.flatnonzero(clean & (sample.person == person)))
        for count in ENROLLED_BY:
            if len(rows) > count or (len(rows) == count == 1):
                yield str(person), rows[:count]


def fit_tracks(trials: Trials, used: Mask | None = None) -> dict[str, float]:
    """`IdentityScorer.track_weights`, fitted on the trials `used` [T, G], all without it."""
    chosen = trials.allowed if used is None else trials.allowed & used
    weight = trials.weights(FITTED_AT)[chosen]
    fitted = logistic(
        trials.features[chosen].astype(np.float64),
        trials.same[chosen].astype(float),
        weight,
        penalty=_PENALTY,
    )
    # The share of true matches in fitting is taken off: what stays is evidence.
    fitted[-1] += np.log(weight[~trials.same[chosen]].sum() / weight[trials.same[chosen]].sum())
    return {name: round(float(v), 4) for name, v in zip((*EVIDENCE, "bias"), fitted, strict=True)}


def fit_pairs(trials: Trials, strangers: float) -> dict[str, float]:
    """`IdentityScorer.weights`, of one look and one photo, with so many strangers a true match."""
    single = np.diff(np.append(trials.tracks.starts, len(trials.tracks.looks))) == 1
    chosen = trials.allowed & single[:, None] & (trials.photos == 1)[None]
    columns = [EVIDENCE.index(name) for name in SINGLE]
    fitted = logistic(
        trials.features[chosen][:, columns].astype(np.float64),
        trials.same[chosen].astype(float),
        trials.weights(strangers)[chosen],
        penalty=_PENALTY,
    )
    return {name: round(float(v), 4) for name, v in zip((*SINGLE, "bias"), fitted, strict=True)}


def log_odds(features: Floats, weights: Mapping[str, float]) -> Floats:
    """Evidence [...] of features [..., 8]."""
    evidence: Floats = (
        features @ np.array([weights.get(name, 0.0) for name in EVIDENCE]) + weights["bias"]
    )
    return evidence


def logistic(x: Floats, y: Floats, weight: Floats, *, penalty: float) -> NDArray[np.float64]:
    """Weights [K + 1] of a logistic regression, the bias last, by Newton's method.

    `x` [N, K], `y` [N] 0 or 1, `weight` [N]; `penalty` on the squares of all but the bias.
    """
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


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of predicted probability: mean `said` [B], share that was so [B], share of all [B].

    `error` is the expected calibration error: the mean of |said - was so|, by share of all.
    """

    said: Floats
    so: Floats
    share: Floats

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini et al., AAAI 2015), in bins of equal width."""
        return float((np.abs(self.said - self.so) * self.share).sum())


def reliability(
    probability: Floats, outcome: Floats, weight: Floats | None = None, *, bins: int = 10
) -> Reliability:
    """How often what was said with each probability was so; empty bins are left out. All [N]."""
    weight = np.ones(len(probability)) if weight is None else weight
    place = np.minimum((probability * bins).astype(int), bins - 1)
    total = np.bincount(place, weight, bins)
    there = total > 0
    said = np.bincount(place, weight * probability, bins)[there] / total[there]
    so = np.bincount(place, weight * outcome, bins)[there] / total[there]
    return Reliability(said, so, total[there] / total.sum())


def pair_reliability(trials: Trials, weights: Mapping[str, float], strangers: float) -> Reliability:
    """Of all trials in a mix of `strangers` for each true match, P by that mix's own odds."""
    chosen = trials.allowed
    odds = log_odds(trials.features[chosen], weights) - np.log(strangers)
    probability = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return reliability(
        probability, trials.same[chosen].astype(float), trials.weights(strangers)[chosen]
    )


def reliability_unseen(trials: Trials, strangers: float, folds: int) -> Reliability:
    """The same, each track judged by weights that were fitted without its person."""
    of_track = np.array([part_of(person, folds) for person in trials.tracks.person])
    of_person = np.array([part_of(person, folds) for person in trials.enrolled])
    said, so, share = [], [], []
    for fold in range(folds):
        inside = of_track == fold
        weights = fit_tracks(trials, ~inside[:, None] & (of_person != fold)[None])
        chosen = trials.allowed & inside[:, None]
        odds = log_odds(trials.features[chosen], weights) - np.log(strangers)
        said.append(1 / (1 + np.exp(-np.clip(odds, -30, 30))))
        so.append(trials.same[chosen].astype(float))
        share.append(trials.weights(strangers)[chosen])
    return reliability(*(np.concatenate(parts) for parts in (said, so, share)))


def part_of(person: str, parts: int) -> int:
    """Which of `parts` parts somebody belongs to: by the CRC-32 of the name, for good."""
    return zlib.crc32(person.encode()) // 10 % parts


def _shares(values: NDArray[Any]) -> Floats:
    """[N]: one over how often each value is there."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(1 / count[place])
