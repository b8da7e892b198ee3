"""How a text speaks of people to a model that does not know them."""

from __future__ import annotations

import re

_PERSON = re.compile(r"\ba person\b")
_CALLED = ("a person", "a man", "a woman")


def readings(text: str) -> list[str]:
    """The ways in which a caption may call the person of a text.

    A question says "a person giving a speech", captions say what they see: "a man giving a
    speech". Without "a person" in it the text has one reading.
    """
    return list(dict.fromkeys(_PERSON.sub(word, text, count=1) for word in _CALLED))
