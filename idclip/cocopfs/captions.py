"""Captions that name a person: COCO's captions rewritten as the paper does, while loading.

The rules, keywords and templates are those of "Towards Identity-Aware Cross-Modal Retrieval"
(ECIR 2025, arXiv 2412.21009). A caption with exactly one keyword, once, takes the person where the
keyword stood; articles directly before the person are dropped ("A man riding" becomes "[TOK]
riding"). Any other caption keeps its words and gets a prompt before it ("An image with [TOK]. Two
men riding").

Where the paper is silent: a word joined to a keyword by a hyphen makes another word of it
("man-made" speaks of nobody); white space is collapsed; what surrounds the keyword, such as a full
stop or "'s", stays as close as it was.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from ..errors import VidsearchError
from ..prompts import (
    CONFIGURATIONS,
    ENTITY,
    KEYWORD,
    NAME,
    PREFIXES,
    TEMPLATES,
    TOK,
    TRAINING_IN_PLACE,
    TRAINING_PREFIXES,
    Configuration,
)

# fmt: off
KEYWORDS = (
    "person", "man", "mother", "father", "dad", "mum", "woman", "child", "boy", "guy",
    "girl", "kid", "human", "adult", "male", "female", "lady", "teenager", "baby",
)
# fmt: on

_KEYWORD = re.compile(rf"(?<!\w)(?<!\w-)(?:{'|'.join(KEYWORDS)})(?!-?\w)", re.IGNORECASE)
_ARTICLE = re.compile(r"(?<![\w-])(?:an?|the)\s+$", re.IGNORECASE)
_FALLBACK = PREFIXES[0]


class InvalidCaption(VidsearchError):
    """A caption or name that cannot be rewritten."""


class Parted(NamedTuple):
    """A caption around its only keyword: `before + keyword + after` is the caption."""

    before: str
    keyword: str
    after: str


def parted(caption: str) -> Parted | None:
    """The caption around its keyword; None where it has no keyword, several, or one twice.

    Keywords count as whole words in any case: "woman" holds no "man", "men" is no keyword.
    """
    found = list(_KEYWORD.finditer(caption))
    if len(found) != 1:
        return None
    start, end = found[0].span()
    return Parted(caption[:start], caption[start:end], caption[end:])


def training_text(caption: str, rng: np.random.Generator, *, in_place: bool = True) -> str:
    """The caption with [TOK] in it, in one of the training's ways, drawn by `rng`.

    With one keyword, one of three ways in its place; otherwise, and always with `in_place` False,
    one of six prompts before the caption. Raises `InvalidCaption` where the caption is empty or
    holds the mark itself.
    """
    caption = _checked("caption", caption)
    parts = parted(caption) if in_place else None
    templates = TRAINING_IN_PLACE if parts else TRAINING_PREFIXES
    template = templates[int(rng.integers(len(templates)))]
    return _placed(template, parts, TOK) if parts else f"{_before(template, TOK)} {caption}"


def training_entity_text(rng: np.random.Generator) -> str:
    """A prompt with [TOK] and no context, as the entity loss takes it, drawn by `rng`."""
    return _before(TRAINING_PREFIXES[int(rng.integers(len(TRAINING_PREFIXES)))], TOK)


def plain_text(caption: str) -> str:
    """The caption as it is ("no name"), white space collapsed. Raises as `training_text`."""
    return _checked("caption", caption)


def evaluation_texts(
    caption: str, name: str, *, configuration: str = "conf1", template: int | None = 0
) -> list[str]:
    """The caption about the person called `name`, for one template or for all that apply.

    `configuration` is a key of `idclip.prompts.CONFIGURATIONS`: "names" or "conf1" to "conf6".
    `template` 0 to 10 picks one of `TEMPLATES` and gives one text; None gives one text for each.

    A caption without exactly one keyword has no place for the templates 6 to 10. One of them alone
    falls back to the first ("An image with [ENTITY]. [CAPTION]"); among all they are left out, so
    that the fallback does not count six times in the average: 6 texts instead of 11.

    Raises `InvalidCaption` for an empty caption or name, one that holds the mark, a configuration
    nobody knows or a template out of range.
    """
    chosen = _configuration(configuration)
    caption = _checked("caption", caption)
    parts = parted(caption)
    person = chosen.person.replace(NAME, _checked("name", name))
    texts = []
    for index in _indices(template, len(TEMPLATES) if parts else len(PREFIXES)):
        if index < len(PREFIXES) or parts is None:
            pattern = PREFIXES[index] if index < len(PREFIXES) else _FALLBACK
            texts.append(f"{chosen.lead}{_before(pattern, person)} {caption}")
        else:
            texts.append(chosen.lead + _placed(TEMPLATES[index], parts, person))
    return texts


def entity_texts(name: str, *, configuration: str = "conf1", template: int | None = 0) -> list[str]:
    """Prompts for the person called `name` without a context, as entity retrieval asks.

    Only the first six templates stand without a caption; an in-place one falls back to the first,
    None gives all six. `configuration` and errors as in `evaluation_texts`.
    """
    chosen = _configuration(configuration)
    person = chosen.person.replace(NAME, _checked("name", name))
    indices = _indices(template, len(PREFIXES))
    patterns = [PREFIXES[i] if i < len(PREFIXES) else _FALLBACK for i in indices]
    return [chosen.lead + _before(pattern, person) for pattern in patterns]


def _before(prefix: str, person: str) -> str:
    """A prompt as a sentence of its own."""
    return prefix.replace(ENTITY, person).removesuffix(".") + "."  # "Robert Downey Jr."


def _placed(template: str, parts: Parted, person: str) -> str:
    """The caption with the template where its keyword stood."""
    before = parts.before
    if template.startswith(ENTITY):
        before = _ARTICLE.sub("", before)
    # The keyword first: it is one word, while a name may look like a placeholder.
    middle = template.replace(KEYWORD, parts.keyword).replace(ENTITY, person)
    return before + middle + parts.after


def _indices(template: int | None, applying: int) -> list[int]:
    if template is None:
        return list(range(applying))
    if not 0 <= template < len(TEMPLATES):
        raise InvalidCaption(
            f"there is no template {template}; choose 0 to {len(TEMPLATES) - 1}, or None for all"
        )
    return [template]


def _configuration(name: str) -> Configuration:
    try:
        return CONFIGURATIONS[name]
    except KeyError:
        known = ", ".join(CONFIGURATIONS)
        raise InvalidCaption(f'no configuration is called "{name}"; known: {known}') from None


def _checked(what: str, text: str) -> str:
    """`text` with single blanks; raises where it is empty or would bring a mark of its own."""
    clean = " ".join(text.split())
    if not clean:
        raise InvalidCaption(f"a {what} is empty; take its picture out of the data or mend it")
    if TOK in clean:
        raise InvalidCaption(
            f"the {what} {clean!r} holds {TOK}, which stands for a face; write it otherwise"
        )
    return clean
