"""How a text speaks of people: to a model that does not know them, and to one that does.

The templates and configurations are those of Messina, Vadicamo, Maltese and Gennaro, "Towards
Identity-Aware Cross-Modal Retrieval: a Dataset and a Baseline" (ECIR 2025, arXiv 2412.21009).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TOK = "[TOK]"
"""The mark in a text whose token embedding the translator's output replaces."""

ENTITY, NAME, KEYWORD = "[ENTITY]", "[NAME]", "[KEYWORD]"

PREFIXES = (
    "An image with [ENTITY]",
    "An image with a person whose name is [ENTITY]",
    "[ENTITY]",
    "A picture of [ENTITY]",
    "[ENTITY] in the image",
    "There is [ENTITY] in the picture",
)
"""Evaluation: stand before a caption, or alone as an entity's prompt, with a full stop."""

IN_PLACE = (
    "[ENTITY]",
    "[KEYWORD] ([ENTITY])",
    "[KEYWORD] (whose name is [ENTITY])",
    "famous [KEYWORD] [ENTITY]",
    "famous [ENTITY]",
)
"""Evaluation: stand where the caption's only keyword stood."""

TEMPLATES = PREFIXES + IN_PLACE
"""The 11 templates of the evaluation, in the paper's order."""


def described(template: int) -> str:
    """A row of `TEMPLATES` with the caption it is put into; C1 and C2 surround the keyword."""
    text = TEMPLATES[template]
    return f"{text}. [CAPTION]" if template < len(PREFIXES) else f"[C1] {text} [C2]"


TRAINING_PREFIXES = (
    "An image with [ENTITY]",
    "An image containing [ENTITY]",
    "[ENTITY]",
    "A picture of [ENTITY]",
    "[ENTITY] in the image",
    "There is [ENTITY] in the picture",
)
TRAINING_IN_PLACE = IN_PLACE[:3]


@dataclass(frozen=True)
class Configuration:
    """What the evaluation puts at [ENTITY], and what before the whole text."""

    label: str
    person: str
    lead: str = ""


CONFIGURATIONS: Mapping[str, Configuration] = MappingProxyType(
    {
        "names": Configuration("real names", NAME),
        "conf1": Configuration("[TOK]", TOK),
        "conf2": Configuration("[TOK] NAME", f"{TOK} {NAME}"),
        "conf3": Configuration("NAME [TOK]", f"{NAME} {TOK}"),
        "conf4": Configuration("An image with [TOK]. NAME", NAME, f"An image with {TOK}. "),
        "conf5": Configuration("[TOK]. NAME", NAME, f"{TOK}. "),
        "conf6": Configuration("[TOK]. [TOK]", TOK, f"{TOK}. "),
    }
)
"""The text alone ("names") and the paper's six ways to put the token beside it."""

_PERSON = re.compile(r"\ba person\b")
_CALLED = ("a person", "a man", "a woman")


def readings(text: str) -> list[str]:
    """The ways in which a caption may call the person of a text.

    A question says "a person giving a speech", captions say what they see: "a man giving a
    speech". Without "a person" in it the text has one reading.
    """
    return list(dict.fromkeys(_PERSON.sub(word, text, count=1) for word in _CALLED))
