"""How well pictures fit a context, from 0 to 1, whatever the encoder.

A cosine means nothing by itself: 0.2 is high for one encoder and low for another, and some
pictures (a dark stage, a white wall) are near to every text. So a picture's likeness to the
question is compared with its likeness to neutral prompts, texts that fit any picture about
equally well, and the difference is read as evidence.

With an encoder trained by InfoNCE, `logit_scale * cosine` is, at the optimum, the log of
p(text | picture) / p(text) up to a constant that may depend on the picture (van den Oord et al.,
"Representation Learning with Contrastive Predictive Coding", 2018, eq. 4). Neutral prompts are
likely for any picture, so their scaled likeness estimates that constant, and

    evidence = scale * (cosine(picture, question) - mean over neutral prompts of the cosine)

is the question's pointwise mutual information with the picture. By Bayes' rule, with odds of
1 to `RARITY` that a shot taken at random fits a question,

    score = 1 / (1 + RARITY * exp(-evidence))
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from idclip.encoders import Encoder

Scores = NDArray[np.float32]

NEUTRAL_PROMPTS = (
    "a picture",
    "a photo",
    "an image",
    "a video frame",
    "a scene",
    "something",
    "a person",
    "people",
    "a man",
    "a woman",
    "somebody",
    "a place",
    "a room",
    "outdoors",
    "a thing",
    "an animal",
    "a blurry picture",
    "a dark picture",
)
RARITY = 50.0


@lru_cache(maxsize=4)  # encoders are compared by identity; the prompts are encoded once for each
def neutral_direction(encoder: Encoder) -> NDArray[np.float32]:
    """[D]: its product with a picture's vector is the mean cosine to the neutral prompts."""
    return np.asarray(encoder.encode_texts(NEUTRAL_PROMPTS).mean(axis=0), np.float32)


def context_scores(
    vectors: NDArray[np.float32],
    text: NDArray[np.float32],
    neutral: NDArray[np.float32],
    logit_scale: float,
) -> Scores:
    """How well pictures [N, D] fit a text [D], float32 [N] in 0 to 1 (see above).

    Vectors are of unit length; `neutral` is `neutral_direction` of the same encoder.
    """
    evidence = logit_scale * (vectors @ (text - neutral))
    return np.asarray(1 / (1 + RARITY * np.exp(-np.clip(evidence, -50, 50))), np.float32)
