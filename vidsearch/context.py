"""How well pictures fit a context, from 0 to 1, whatever the encoder.

A cosine means nothing by itself: 0.2 is high for one encoder and low for another, and some
pictures (a dark stage, a white wall) are near to every text. So a picture's likeness to the
question is compared with its likeness to a background of captions about everything that videos
show, which say nothing together (a querybank: Bogolin et al., "Cross Modal Retrieval with
Querybank Normalisation", CVPR 2022).

With an encoder trained by InfoNCE, `logit_scale * cosine` is, at the optimum, the log of
p(text | picture) / p(text) up to a constant of the picture (van den Oord et al., "Representation
Learning with Contrastive Predictive Coding", 2018, eq. 4). The background estimates it:

    evidence = scale * (cosine(picture, question) - level)
    level    = half the picture's mean cosine to the background + half that of all pictures

Half, because a picture's mean is a noisy estimate that also holds what the picture shows. On
1,000 held-out photos of Flickr8k (with a head on frozen towers) recall@1 was 23.4 without the
background, 23.2 with half of each picture's mean and 21.7 with all of it; a background of empty
phrases ("a photo", "something") cost 4.6. On video it keeps dark and crowded frames from coming
first for every question.

Encoders are surer than they should be. On the photos held out from training the log of the
likelihood ratio of right and wrong captions is `SLOPE * evidence - OFFSET`, where theory has slope
1 and no offset; the same line errs by 0.01 on Flickr8k's test photos and by 0.03 on COCO's
(`benchmarks/context_calibration.py`). By Bayes' rule, with odds of 1 to `RARITY` that a shot fits
a question, which is a convention,

    log odds = SLOPE * evidence - OFFSET - log(RARITY)
    score    = 1 / (1 + exp(-log odds))

Where a person was named, the text says "a person", but captions say what they see: of "a person",
"a man" and "a woman" the one that fits a picture best counts (`idclip.prompts`).

No floor is put under the score: among 250 photos there is nearly always one that is something
like what was asked for (the same benchmark: "weak" is as rare with the right photo taken out). A
low best score says that nothing fits; a high one does not prove the details.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from idclip.encoders import Encoder

Floats = NDArray[np.float32]

SLOPE, OFFSET = 0.77, 3.9
RARITY = 5.0
BACKGROUND = (
    "a man in a suit talks at a lectern",
    "a woman reads the news in a studio",
    "two people talk across a table",
    "a reporter speaks into a microphone in the street",
    "a crowd fills a square",
    "an audience applauds in a hall",
    "people walk along a busy pavement",
    "a face fills the picture",
    "a family stands in front of a house",
    "children play in a playground",
    "a baby lies in a bed",
    "an old man sits on a bench",
    "a young woman laughs",
    "a bride and a groom dance",
    "soldiers march in a row",
    "police officers stand beside a car",
    "a doctor works in a hospital",
    "a teacher writes on a blackboard",
    "a person works at a computer",
    "workers build a wall",
    "a cook prepares a meal in a kitchen",
    "a plate of food stands on a table",
    "people eat in a restaurant",
    "a shop is full of goods",
    "a band plays on a stage",
    "a woman sings under coloured lights",
    "a man plays the guitar",
    "a dancer turns in the air",
    "an actor wears a costume",
    "players run after a ball on a field",
    "a player throws a ball into a basket",
    "a runner crosses a line",
    "a swimmer dives into a pool",
    "a cyclist rides down a road",
    "a skier comes down a slope",
    "a boxer strikes in a ring",
    "a surfer rides a wave",
    "a skateboarder jumps over steps",
    "a climber hangs on a rock",
    "a dog runs through grass",
    "a cat sleeps on a sofa",
    "a horse stands in a meadow",
    "birds fly over water",
    "a wild animal hides in a forest",
    "fish swim between corals",
    "cars stand in traffic",
    "a train enters a station",
    "an aeroplane lands",
    "a ship lies in a harbour",
    "a motorcycle races round a bend",
    "tall buildings at night",
    "an old church on a hill",
    "a bridge over a river",
    "a street with shops and signs",
    "an empty room with chairs",
    "a living room with a window",
    "a corridor in an office",
    "mountains under snow",
    "a beach at sunset",
    "waves on the sea",
    "trees in autumn",
    "a field of flowers",
    "clouds in a blue sky",
    "rain on a window",
    "fire and smoke",
    "a desert with dunes",
    "a map with names of countries",
    "a page of text",
    "a chart with numbers",
    "a title on a plain background",
    "a drawing of a figure",
    "a scene from a computer game",
    "hands hold a small object",
    "a close view of a machine",
    "a dark picture in which little can be seen",
    "a blurred picture",
)


@lru_cache(maxsize=4)  # encoders are compared by identity; the background is encoded once for each
def background_of(encoder: Encoder) -> Floats:
    """[D]: its product with a picture's vector is the mean cosine to the background."""
    return np.asarray(encoder.encode_texts(BACKGROUND).mean(axis=0), np.float32)


def log_odds(
    vectors: Floats, texts: Floats, background: Floats, typical: Floats, logit_scale: float
) -> Floats:
    """How well pictures [N, D] fit the best of some texts [M, D]: log odds, float32 [N].

    `vectors` and `texts` are of unit length, `background` is `background_of` the same encoder and
    `typical` [D] the mean vector of all pictures of the archive.
    """
    level = typical @ background / 2
    likeness = (vectors @ (texts - background / 2).T).max(axis=1)
    evidence = logit_scale * (likeness - level)
    return np.asarray(SLOPE * evidence - OFFSET - np.log(RARITY), np.float32)


def score_of(log_odds: Floats) -> Floats:
    """Log odds [N] as scores from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(np.clip(-log_odds.astype(np.float64), -50, 50))), np.float32)
