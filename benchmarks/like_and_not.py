"""Pictures like this one, and what is not wanted: how they are scored, measured.

    python -m benchmarks.like_and_not [--write]

- like: two views of one photo (each a cut of 55 to 75 per cent of it) are a right pair, views of
  two photos are a wrong one. The log of their likelihood ratio as a straight line of the cosine,
  less the mean picture, is fitted on photos kept out of training; the calibration error is that of
  P(right) with the line in use, half of all pairs right.
- not: a caption of a photo is asked, beside it "not" and a caption of another photo. The first
  photo should be found as often as without (R@1), and where a photo is asked for and not wanted at
  once it should no longer be first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _report
from benchmarks.context_calibration import Pair, fitted, held_out
from benchmarks.context_retrieval import DATA, flickr_test
from idclip.encoders import Encoder, load_encoder
from vidsearch.context import RARITY, background_of, log_odds
from vidsearch.fits import LIKE_OFFSET, LIKE_SLOPE, likeness_odds
from vidsearch.scoring import UNWANTED

Image = NDArray[np.uint8]
PHOTOS = 400
BINS = 15
MARGINS = (0.0, 1.0, 2.0, 3.0, 4.0)


def view(picture: Image, rng: np.random.Generator) -> Image:
    """A cut of the picture, 55 to 75 per cent of its height and width."""
    height, width = picture.shape[:2]
    tall, wide = (round(float(rng.uniform(0.55, 0.75)) * size) for size in (height, width))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    return np.ascontiguousarray(picture[top : top + tall, left : left + wide])


def likeness(photos: list[Image], encoder: Encoder) -> dict[str, float]:
    """Slope and offset that fit these photos, and the error of those in use."""
    rng = np.random.default_rng(0)
    views = [encoder.encode_images([view(photo, rng) for photo in photos]) for _ in (0, 1)]
    typical = np.asarray(np.concatenate(views).mean(axis=0), np.float32)
    odds = np.stack([likeness_odds(views[1], one, typical) for one in views[0]]) + np.log(RARITY)
    cosine = (odds + LIKE_OFFSET) / LIKE_SLOPE
    right = np.eye(len(photos), dtype=bool)
    slope, offset = fitted(cosine[right], cosine[~right])
    chance = 1 / (1 + np.exp(-odds))
    weight = np.where(right, 0.5 / right.sum(), 0.5 / (~right).sum())
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    gap = np.bincount(place.ravel(), (weight * (right - chance)).ravel(), BINS)
    return {
        "like: slope": slope,
        "like: offset": offset,
        "like: calibration error": float(np.abs(gap).sum()),
        "like: R@1 of the other view, %": 100
        * float((odds.argmax(axis=1) == range(len(odds))).mean()),
    }


def unwanted(pairs: list[Pair], vectors: NDArray[np.float32], encoder: Encoder) -> dict[str, float]:
    """R@1 of captions alone, beside an unwanted caption of another photo, and of the same photo."""
    rng = np.random.default_rng(0)
    background, typical = background_of(encoder), vectors.mean(axis=0)  # type: ignore[arg-type]

    def odds(at: int) -> NDArray[np.float64]:
        texts = encoder.encode_texts([captions[at] for _, captions in pairs])
        found = [
            log_odds(vectors, text[None], background, typical, encoder.logit_scale)
            for text in texts
        ]
        return np.stack(found).astype(np.float64)

    wanted, other = odds(0), odds(1)
    count = len(pairs)
    same = np.arange(count)
    another = (same + rng.integers(1, count, count)) % count

    def first(no: NDArray[np.int64] | None, margin: float = 0.0) -> float:
        both = wanted if no is None else _both(wanted, margin - other[no])
        return 100 * float((both.argmax(axis=1) == same).mean())

    found = {"alone, R@1 %": first(None)}
    for margin in MARGINS:
        found[f"not another photo, R@1 %, {margin:g}"] = first(another, margin)
        found[f"not the same photo, R@1 %, {margin:g}"] = first(same, margin)
    return found


def _both(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of both, as `vidsearch.scoring` joins them."""
    return np.asarray(-np.logaddexp(np.logaddexp(-a, -b), -a - b))


def row(name: str, source: Iterable[Pair], encoder: Encoder) -> dict[str, Any]:
    pairs = list(islice(source, PHOTOS))
    photos = [picture for picture, _ in pairs]
    found = likeness(photos, encoder)
    vectors = encoder.encode_images(photos)
    return {"photos": name, **found, **unwanted(pairs, vectors, encoder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    encoder = load_encoder("concept", threads=1)
    rows = []
    for name, source in (("fit", held_out(DATA, 0)), ("test", flickr_test(DATA))):
        rows.append(row(name, source, encoder))
        print(rows[-1], flush=True)
    if given.write:
        _report.write(
            "like_and_not",
            "Pictures like this one, and what is not wanted",
            rows,
            [
                f"{PHOTOS} photos of Flickr8k each, none trained on. In use: slope {LIKE_SLOPE},"
                f" offset {LIKE_OFFSET} (the row of fit, rounded); not: {UNWANTED:g}.",
                "The number behind not is the log odds at which they are turned round.",
                "Not the same photo: the photo's own other caption is what is not wanted, so the"
                " photo should not be first.",
            ],
        )


if __name__ == "__main__":
    main()
