"""What a context score is worth: its constants fitted on some photos, checked on others.

    python -m benchmarks.context_calibration [--data ../shared/data] [--seed 0]

`vidsearch.context` turns likeness into evidence, and evidence into a score by a straight line,
`SLOPE * evidence - OFFSET`, the log of the likelihood ratio of right and wrong captions. The line
is fitted (logistic regression; right and wrong pairs weigh the same) on the Flickr8k photos that
`idclip train-concept` held out, and judged on both test sets, which nothing was fitted on:

- calibration: the expected calibration error of P(right) for right and wrong pairs in equal parts;
- how often the best score of 250 photos is under `WEAK`, the photo asked for among them or not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _report
from benchmarks.context_retrieval import DATA, Pair, coco_val, flickr_test
from idclip.encoders import Encoder, load_encoder
from vidsearch.context import OFFSET, SLOPE, background_of, log_odds, score_of
from vidsearch.search import WEAK

Floats = NDArray[np.float64]
PHOTOS = 250  # of a small archive
BINS = 15


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of each of C captions for each of N photos [C, N], and the score; `own` [C] is right."""

    evidence: Floats
    score: Floats
    own: NDArray[np.int64]

    @classmethod
    def of(cls, encoder: Encoder, pairs: Iterable[Pair]) -> Evidence:
        vectors, texts, own = [], [], []
        for number, (picture, captions) in enumerate(pairs):
            vectors.append(encoder.encode_images([picture])[0])
            texts += captions
            own += [number] * len(captions)
        pictures = np.stack(vectors)
        background, typical = background_of(encoder), pictures.mean(axis=0)
        asked = encoder.encode_texts(texts)
        score = np.stack(
            [
                score_of(log_odds(pictures, text[None], background, typical, encoder.logit_scale))
                for text in asked
            ]
        ).astype(np.float64)
        level = typical @ background / 2
        likeness = asked @ pictures.T - pictures @ background / 2
        evidence = encoder.logit_scale * (likeness - level)
        return cls(evidence.astype(np.float64), score, np.array(own))

    def sides(self) -> tuple[Floats, Floats]:
        """The evidence of right pairs, and of wrong ones."""
        right = np.zeros(self.evidence.shape, bool)
        right[np.arange(len(self.own)), self.own] = True
        return self.evidence[right], self.evidence[~right]

    def best(self, *, without: bool) -> Floats:
        """The best score of each caption in groups of `PHOTOS`, with or without its own photo."""
        found = []
        for start in range(0, self.score.shape[1] - min(PHOTOS, self.score.shape[1]) + 1, PHOTOS):
            photos = slice(start, start + PHOTOS)
            inside = (self.own >= start) & (self.own < start + PHOTOS)
            scores = self.score[inside, photos].copy()
            if without:
                scores[np.arange(len(scores)), self.own[inside] - start] = 0
            found.append(scores.max(axis=1))
        return np.concatenate(found)


def held_out(data: Path, seed: int) -> Iterable[Pair]:
    """The photos that `idclip train-concept` was not trained on, squeezed as it saw them."""
    from idclip.concept_training.data import Photos, flickr_photos, flickr_pictures

    photos = flickr_photos(data / "flickr8k")
    rows = Photos(data / "flickr8k", data / "coco-mini", None).split(seed).held_out
    chosen = [photos[row] for row in rows]
    pictures = flickr_pictures(data / "flickr8k", chosen)
    return (
        (picture, list(photo.captions)) for picture, photo in zip(pictures, chosen, strict=True)
    )


def fitted(right: Floats, wrong: Floats) -> tuple[float, float]:
    """Slope and offset of the log likelihood ratio, by Newton's method."""
    evidence = np.concatenate([right, wrong])
    label = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    weight = np.concatenate(
        [np.full(len(right), 0.5 / len(right)), np.full(len(wrong), 0.5 / len(wrong))]
    )
    design = np.stack([evidence, np.ones(len(evidence))], axis=1)
    line = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ line))
        curve = (design * (weight * chance * (1 - chance))[:, None]).T @ design
        line += np.linalg.solve(curve, design.T @ (weight * (label - chance)))
    return float(line[0]), float(-line[1])


def calibration_error(right: Floats, wrong: Floats) -> float:
    """Expected calibration error of P(right), when half of all pairs are right."""
    evidence = np.concatenate([right, wrong])
    label = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    weight = np.concatenate(
        [np.full(len(right), 0.5 / len(right)), np.full(len(wrong), 0.5 / len(wrong))]
    )
    chance = 1 / (1 + np.exp(OFFSET - SLOPE * evidence))
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, weight * (label - chance), BINS)
    return float(np.abs(gap).sum())


def row(name: str, found: Evidence) -> dict[str, Any]:
    right, wrong = found.sides()
    slope, offset = fitted(right, wrong)
    return {
        "photos": name,
        "slope": slope,
        "offset": offset,
        "calibration error": calibration_error(right, wrong),
        "median evidence, right": float(np.median(right)),
        "median evidence, wrong": float(np.median(wrong)),
        "weak, right photo there": float((found.best(without=False) < WEAK).mean()),
        "weak, right photo absent": float((found.best(without=True) < WEAK).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0, help="as given to idclip train-concept")
    parser.add_argument("--dry", action="store_true", help="print only, write no result")
    given = parser.parse_args()
    encoder = load_encoder("concept")
    rows = []
    for name, pairs in (
        ("Flickr8k held out (fit)", held_out(given.data, given.seed)),
        ("Flickr8k test", flickr_test(given.data)),
        ("coco-mini val", coco_val(given.data)),
    ):
        rows.append(row(name, Evidence.of(encoder, pairs)))
        print(rows[-1], flush=True)
    if not given.dry:
        _report.write(
            "context_calibration",
            "What a context score is worth",
            rows,
            [
                f"In use: slope {SLOPE}, offset {OFFSET} (the first row, rounded), weak under "
                f"{WEAK}. Slope and offset of the other rows are for comparison only.",
                "Calibration error: of P(right) by the line in use, half of all pairs right, "
                f"{BINS} bins.",
                f"Weak: the share of captions whose best score among {PHOTOS} photos (all of "
                "coco-mini) is under the limit, with the photo asked for among them and without.",
            ],
        )


if __name__ == "__main__":
    main()
