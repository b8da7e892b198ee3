"""Whether two faces are one person, as a probability.

The cosine of two face vectors is no probability: the vectors of small, dark or turned faces all
lie together, nearer to some enrolled people than many true matches. So a score is

1. normalised against a cohort of strangers, from both sides (adaptive symmetric normalisation of
   speaker recognition; Matejka et al., Interspeech 2017): the cosine less the mean of the face's
   very best scores against the cohort, over the deviation of more of them: the nearest few say
   how near a stranger of the same looks may come, a deviation takes more to be told. Others who
   are enrolled count among these strangers (`IdentityScorer.beside`);
2. pooled over the looks of a track, good faces weighing most, and over the photos of a person;
3. joined by how near the face comes along the axes in which strangers differ most
   (`IdentityScorer.nearness`), and turned into evidence, the logarithm of how much likelier it is
   of the same person than of two people, by a logistic function of these, of quality and of the
   numbers of photos and looks, fitted on people who are in no test (`idclip.calibrate`);
4. and into a probability by the odds of a stranger, `Strangers`: the more people are enrolled, the
   more chances a stranger has to resemble one of them, and the more evidence a name needs.

Cohort and weights ship beside the face model as `cohort.npy` and `calibration.json`; a model
without them gets a cautious function of the bare cosine (`IdentityScorer.uncalibrated`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idclip.errors import ModelUnavailable
from idclip.places import models_folder

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]

WEIGHTS = Path(__file__).parent / "weights" / "faces"
_BLOCK = 4096  # faces compared with all strangers at once
# Face models with a cohort and a calibration of their own, and the folder these stand in.
CALIBRATED = {"default": WEIGHTS}


EVIDENCE = (
    "score",
    "best",
    "quality",
    "score_quality",
    "photo_quality",
    "photos",
    "looks",
    "axes",
)
"""What evidence is made of: see `IdentityScorer.evidence`."""


class Strangers(NamedTuple):
    """How many strangers' faces are taken to stand against each face of one enrolled person.

    `least`, and `each` more for everybody enrolled.
    """

    least: float = 6000.0
    each: float = 10.0

    def among(self, enrolled: int) -> float:
        """The odds against a name, before a face was looked at, with `enrolled` people."""
        return self.least + self.each * max(enrolled - 1, 0)


USUAL = Strangers()


class Faces(NamedTuple):
    """Face vectors [N, F] of unit length with their qualities [N] and `cohort_stats` [N], [N]."""

    vectors: Floats
    qualities: Floats
    cohort_mean: Floats
    cohort_std: Floats


class Matches(NamedTuple):
    """For each track: P(same person) [T], and which look and which photo fit best, [T] each.

    `look` counts over all looks given, -1 for a track without any.
    """

    probability: Floats
    look: Ints
    photo: Ints


@dataclass(frozen=True, eq=False)
class IdentityScorer:
    """Scores faces against the photos of one person. See the module for how.

    `cohort` [C, F] is float32 of unit length, or has no rows; the `nearest` best scores against
    it make a face's mean, the `top` best, which are more, its deviation; `weights` are those of
    the logistic function for two single faces, `track_weights` those for a track and all photos of
    a person (`EVIDENCE`, and "bias"), None for a model that has none: its tracks are judged as
    single faces are. `least_quality` is what a photo needs to be worth enrolling.
    """

    cohort: Floats
    top: int
    nearest: int
    weights: Mapping[str, float]
    least_quality: float = 0.2
    track_weights: Mapping[str, float] | None = None
    strangers: Strangers = USUAL

    @classmethod
    def for_model(cls, name: str) -> IdentityScorer:
        """The scorer of a face model by name; see `uncalibrated` for those without their own."""
        folder = calibration_folder(name)
        return cls.uncalibrated(name) if folder is None else cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> IdentityScorer:
        """A scorer from `cohort.npy` and `calibration.json` in a folder (see `fit`)."""
        try:
            cohort = np.load(folder / "cohort.npy").astype(np.float32)
            read = json.loads((folder / "calibration.json").read_text("utf-8"))
            top, nearest = int(read["top"]), int(read["nearest"])
            weights, least = read["weights"], float(read["least_quality"])
            strangers = Strangers(**read.get("strangers", {}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnavailable(f"{folder}: no face calibration can be read: {error}") from error
        cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
        tracks = read.get("track_weights")
        return cls(cohort, top, nearest, weights, least, tracks, strangers)

    @classmethod
    def uncalibrated(cls, name: str) -> IdentityScorer:
        """A cautious scorer for a face model whose calibration nobody fitted.

        ArcFace-like models hold strangers' cosines at 0 with a deviation under 0.1; their authors
        give 0.363 (SFace) as the threshold, so a probability of one half is put at 0.42.
        """
        middle, slope = (0.42, 25.0)
        return cls(
            np.zeros((0, 1), np.float32),
            0,
            0,
            {"bias": -slope * middle, "score": slope, "quality": 0.0, "score_quality": 0.0},
        )

    def cohort_stats(self, vectors: Floats) -> tuple[Floats, Floats]:
        """Mean and deviation, float32 [N] each, of the best scores of `vectors` [N, F].

        The mean is of the `nearest` best, the deviation of the `top` best.
        """
        if not len(self.cohort):
            return np.zeros(len(vectors), np.float32), np.ones(len(vectors), np.float32)
        scores = vectors.astype(np.float32) @ self.cohort.T
        best = np.partition(scores, (-self.top, -self.nearest), axis=1)[:, -self.top :]
        return best[:, -self.nearest :].mean(axis=1), np.maximum(best.std(axis=1), 1e-3)

    def faces(self, vectors: Floats, qualities: Floats) -> Faces:
        """`vectors` [N, F] with their cohort statistics."""
        mean, std = self.cohort_stats(vectors)
        return Faces(vectors, np.asarray(qualities, np.float32), mean, std)

    @cached_property
    def axes(self) -> Floats:
        """How strangers differ: the covariance [F, F] of the cohort, by its mean length along it.

        Of one zero where there is no cohort.
        """
        if not len(self.cohort):
            return np.zeros((1, 1), np.float32)
        spread = self.cohort - self.cohort.mean(axis=0)
        covariance = spread.T @ spread / len(spread)
        length = np.sqrt(np.maximum(((self.cohort @ covariance) * self.cohort).sum(axis=1), 1e-12))
        scaled: Floats = covariance / np.square(length.mean())
        return scaled

    def nearness(self, looks: Faces, person: Floats) -> Floats:
        """How near [N] `looks` come to the vector `person` [F] along the `axes`, about -1 to 1.

        What people differ in most tells most, and a poor face is short in it. Beside `normalised`
        it says how near a face is, whoever else is.
        """
        if not len(self.cohort):
            return np.zeros(len(looks.vectors), np.float32)
        along = self.axes @ person
        near: Floats = looks.vectors @ (along / np.sqrt(max(float(person @ along), 1e-12)))
        return near

    def beside(self, faces: Faces, others: Floats) -> Faces:
        """`faces` [N] as they are where `others` [O, F] are enrolled beside the person asked for.

        These count among the strangers of whom the nearest make a face's mean: what comes as near
        to one of them as to the person says little of either. The deviation stays.
        """
        if not len(self.cohort) or not len(others):
            return faces
        mean = np.empty_like(faces.cohort_mean)
        for start in range(0, len(mean), _BLOCK):
            block = slice(start, start + _BLOCK)
            shown = faces.vectors[block].astype(np.float32)
            scores = np.concatenate([shown @ self.cohort.T, shown @ others.T], axis=1)
            best = np.partition(scores, -self.nearest, axis=1)[:, -self.nearest :]
            mean[block] = best.mean(axis=1)
        return faces._replace(cohort_mean=mean)

    def probabilities(
        self, looks: Faces, track_of: Ints, n_tracks: int, photos: Faces, *, enrolled: int = 1
    ) -> Matches:
        """P(same person) of `n_tracks` tracks and one person.

        `looks` are the kept looks of all tracks, `track_of` [N] the track of each, not falling;
        `photos` are the person's reference photos. A track without looks has probability 0, and
        so has every track where there are no photos. `enrolled` is how many people are known, this
        one among them: the more, the stricter.
        """
        probability = np.zeros(n_tracks, np.float32)
        look, photo = np.full(n_tracks, -1, np.intp), np.zeros(n_tracks, np.intp)
        if not len(looks.vectors) or not len(photos.vectors):
            return Matches(probability, look, photo)
        starts = np.flatnonzero(np.diff(track_of, prepend=-1))
        tracks = track_of[starts]
        score, features = self.evidence(looks, starts, photos)
        quality = features[:, EVIDENCE.index("quality")]
        if self.track_weights is None:
            pooled = features[:, EVIDENCE.index("score")]
            photo_quality = features[:, EVIDENCE.index("photo_quality")]
            probability[tracks] = self.probability(pooled, quality, photo_quality)
        else:
            odds = self.log_odds(features) - np.log(self.strangers.among(enrolled))
            probability[tracks] = trust(quality) / (1 + np.exp(-np.clip(odds, -30, 30)))
        # Evidence: the look that adds most to its track, and the photo it resembles most.
        order = np.lexsort((-look_weights(looks.qualities) * score, track_of))
        look[tracks] = order[starts]
        shown = Faces(*(part[look[tracks]] for part in looks))
        photo[tracks] = self.normalised(shown, photos).argmax(axis=1)
        return Matches(probability, look, photo)

    def evidence(self, looks: Faces, starts: Ints, photos: Faces) -> tuple[Floats, Floats]:
        """Scores of looks with a person [N], and the values of `EVIDENCE` for tracks [K, 8].

        `starts` [K] is the first look of each track. `score` is that of the mean of all photos,
        `best` that of the one photo that fits the track best, both pooled over its looks, good ones
        weighing most; `photos` and `looks` are the logarithms of how many there are, `axes` is the
        `nearness` to the mean of all photos.
        """
        person = self.template(photos)
        # One photo is its own mean, and needs to be compared once.
        several = len(photos.vectors) > 1
        parts = zip(person, photos, strict=True)
        compared = Faces(*(np.concatenate(part) for part in parts)) if several else person
        weight = look_weights(looks.qualities)
        total = np.add.reduceat(weight, starts)
        scores = np.ascontiguousarray(self.normalised(looks, compared).T)
        pooled = np.add.reduceat(weight * scores, starts, axis=1) / total
        quality = np.add.reduceat(weight * looks.qualities, starts) / total
        near = self.nearness(looks, person.vectors[0])
        count = np.diff(np.append(starts, len(weight)))
        columns = (
            pooled[0],
            pooled[-len(photos.vectors) :].max(axis=0),
            quality,
            pooled[0] * quality,
            np.full(len(starts), person.qualities[0]),
            np.full(len(starts), np.log(len(photos.vectors))),
            np.log(count),
            np.add.reduceat(weight * near, starts) / total,
        )
        return scores[0], np.stack(columns, axis=1)

    def log_odds(self, features: Floats) -> Floats:
        """Evidence [K] of the values of `EVIDENCE` [K, 8]: log of P(given same) over P(given not).

        Raises `ValueError` for a model without `track_weights`.
        """
        if self.track_weights is None:
            raise ValueError("this face model has no weights for tracks: idclip calibrate-faces")
        # What was fitted before there was a value knows nothing of it.
        weights = np.array([self.track_weights.get(name, 0.0) for name in EVIDENCE])
        evidence: Floats = features @ weights + self.track_weights["bias"]
        return evidence

    def pairs(self, a: Faces, b: Faces) -> Floats:
        """P(same person) [N, P] of every face of `a` with every one of `b`."""
        quality = a.qualities[:, None] + np.zeros(len(b.qualities), np.float32)
        return self.probability(self.normalised(a, b), quality, b.qualities)

    def template(self, photos: Faces) -> Faces:
        """One face that stands for all photos of a person, good ones weighing most."""
        weight = photos.qualities + 0.05
        mean = (weight @ photos.vectors)[None]
        vectors = mean / max(float(np.linalg.norm(mean)), 1e-9)
        quality = np.array([(weight @ photos.qualities) / weight.sum()], np.float32)
        return self.faces(vectors.astype(np.float32), quality)

    def normalised(self, a: Faces, b: Faces) -> Floats:
        """Scores [N, P] of `a` with `b`, normalised against the cohort from both sides."""
        cosine = a.vectors @ b.vectors.T
        from_a = (cosine - a.cohort_mean[:, None]) / a.cohort_std[:, None]
        from_b = (cosine - b.cohort_mean) / b.cohort_std
        score: Floats = (from_a + from_b) / 2
        return score

    def probability(self, score: Floats, quality: Floats, photo_quality: Floats | float) -> Floats:
        """P(same person) of normalised scores, with the qualities of both sides (broadcast)."""
        w = self.weights
        logit = (
            w["bias"]
            + w["score"] * score
            + w["quality"] * quality
            + w["score_quality"] * score * quality
            + w.get("photo_quality", 0.0) * photo_quality
        )
        probability: Floats = (1 / (1 + np.exp(-np.clip(logit, -30, 30)))).astype(np.float32)
        return probability


def look_weights(qualities: Floats) -> Floats:
    """How much each look counts in its track."""
    weight: Floats = qualities**2 + 1e-4
    return weight


def trust(quality: Floats) -> Floats:
    """How much a track's faces can be believed: 0.01 up to a quality of 0.15, 1 from 0.3 on.

    On film, dark profiles came nearer to the enrolled than anything that LFW, degraded and turned
    as it may be, says of faces so poor (see the model card). A hundredth names nobody, but still
    tells the likelier of two.
    """
    share: Floats = np.clip((quality - 0.15) / 0.15, 0.01, 1)
    return share


def calibration_folder(name: str) -> Path | None:
    """Where the cohort and the calibration of a face model are; None for one that has none.

    What `idclip calibrate-faces` fitted stands in `fitted_folder`; the default model's ship.
    """
    fitted = fitted_folder(name)
    return fitted if (fitted / "calibration.json").is_file() else CALIBRATED.get(name)


def fitted_folder(name: str) -> Path:
    """Where `idclip calibrate-faces` puts what it fits for a face model: beside pulled models."""
    short = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[-60:]
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return models_folder() / "faces" / f"{short}-{mark}"
