"""People in texts for an encoder that does not know them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idclip.concept import ConceptEncoder
from idclip.encoders import encode_people
from idclip.prompts import readings


def test_a_person_may_be_called_a_man_or_a_woman() -> None:
    assert readings("a person gives a speech") == [
        "a person gives a speech",
        "a man gives a speech",
        "a woman gives a speech",
    ]
    assert readings("two people dance") == ["two people dance"]


def test_the_reading_that_fits_counts() -> None:
    encoder = ConceptEncoder(threads=1)
    asked = encode_people(encoder, "a person sings")
    said: NDArray[np.float32] = encoder.encode_texts(["a woman sings"])
    assert asked.shape == (3, encoder.dim)
    assert (asked @ said[0]).max() > 0.999
    assert len(encode_people(encoder, "a dog runs")) == 1
