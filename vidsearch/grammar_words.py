"""The words that join and deny, in English, French, German, Italian and Spanish.

Capital AND, OR and NOT are operators wherever they stand. The same words in small letters are
operators only where they join or precede people, or stand at brackets or quotes: "a red or blue
car" and "a man with or without a hat" are captions. What is a word of another kind in some
language ("no", "sin", "o") is one only beside a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["and", "or", "not", "lead"]


@dataclass(frozen=True)
class Operator:
    """What a word, or some together, do.

    `beside` are the small ones that count only between names ("and", "or") or before one ("not").
    `wide` denials take in the whole list after them: "without Anna and Marco" is without either.
    One that comes `again` goes on with a list: "né Anna né Marco". A "lead" opens a list and says
    nothing: "both", "either".
    """

    kind: Kind
    beside: bool = False
    wide: bool = False
    again: bool = False


def _each(texts: str) -> list[str]:
    return texts.split("|")


def _spellings() -> Iterator[tuple[str, Operator]]:
    between = Operator("and", beside=True)
    for text in _each(
        "and|as well as|together with|along with|with|but|und|mit|sowie|als auch|aber|et|avec|mais"
        "|e|ed|con|insieme a|ma|y|pero|和|と"
    ):
        yield text, between
    for text in _each("or|or else|oder|ou|ou bien|oppure"):
        yield text, Operator("or")
    for text in _each("o|o bien|u|nor|noch"):
        yield text, Operator("or", beside=True)
    for text in _each("not|but not|and not|nicht|aber nicht|und nicht"):
        yield from _with(text, Operator("not"))
    for text in _each("non|ma non|e non|pas|mais pas|et pas|no|pero no|y no"):
        yield from _with(text, Operator("not", beside=True))
    for text in _each(
        "without|but without|and without|except|except for|excluding|other than|neither"
        "|and neither"
        "|ohne|aber ohne|und ohne|ausser|sans|mais sans|et sans|sauf|senza|ma senza|e senza|tranne"
        "|eccetto|excepto"
    ):
        yield text, Operator("not", wide=True)
    for text in _each("weder|sin|pero sin|y sin|salvo"):
        yield text, Operator("not", beside=True, wide=True)
    for text in _each("ni|ne"):
        yield text, Operator("not", beside=True, wide=True, again=True)
    for text in _each("both|either|entweder|sowohl"):
        yield text, Operator("lead", beside=True)


def _with(denial: str, operator: Operator) -> Iterator[tuple[str, Operator]]:
    """ "not" and "not with"."""
    yield denial, operator
    for word in ("with", "mit", "avec", "con"):
        yield f"{denial} {word}", operator


SMALL: Mapping[tuple[str, ...], Operator] = {tuple(text.split()): op for text, op in _spellings()}
"""By folded words (`vidsearch.names.fold`)."""

CAPITAL: Mapping[str, Operator] = {
    **dict.fromkeys(("AND", "UND"), Operator("and")),
    **dict.fromkeys(("OR", "ODER", "OPPURE"), Operator("or")),
    **dict.fromkeys(("NOT", "NICHT"), Operator("not")),
    **dict.fromkeys(("WITHOUT", "EXCEPT", "OHNE", "SANS", "SENZA"), Operator("not", wide=True)),
}

SIGNS = {"&": Operator("and", beside=True), "+": Operator("and", beside=True)}
COMMAS = ",、،，"
LONGEST = max(map(len, SMALL))

BEFORE_A_NAME = frozenset(word for phrase, op in SMALL.items() for word in phrase[-1:])
"""The last words of operators: a name may follow them."""
AFTER_A_NAME = frozenset(phrase[0] for phrase, op in SMALL.items() if op.kind != "lead")
"""The first words of operators: a name may stand before them."""
_GERMAN = frozenset(_each("und|mit|sowie|auch|aber|oder|noch|nicht|ohne|ausser|weder"))
JOINS_NAMES = BEFORE_A_NAME - _GERMAN
"""Between an enrolled name and a capitalised word: "Anna Rossi or Merkel". Not the German ones, as
every German noun has a capital: "Anna mit Hut"."""
DENIALS = frozenset(_each("not|without|except|excluding|neither|sans|sauf|senza|tranne"))
"""A capitalised word after one of these is a name more often than not: "without Merkel"."""
