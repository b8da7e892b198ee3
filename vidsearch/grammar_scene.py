"""From the words of a clause to the caption an encoder is asked: names become "a person".

The caption stays one that somebody could have written under the picture: "Anna Rossi and Marco
Bianchi shaking hands" is "two people shaking hands", "Anna or Marco in a car" is "a person in a
car", and of "a street without Anna Rossi at night" only "a street at night" is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from idclip.prompts import TOK
from vidsearch import unknown_words
from vidsearch.mentions import Known, Mention
from vidsearch.names import Word, key, words
from vidsearch.question import AllOf, AnyOf, Node, Not, Scene, Someone, leaves
from vidsearch.records import Person

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_JOINS = re.compile(r"\s*(?:,|(?:,\s*)?(?:and|with|und|et|y|e)\b|&|\+|、|和|と)\s*", re.IGNORECASE)
_TITLES = "|".join(sorted(unknown_words.TITLES))
_BEFORE_NAME = re.compile(rf"\b(?:(?:the|a|an)\s+)?(?:(?:{_TITLES})\.?\s+)*$", re.IGNORECASE)
# "the young Anna Rossi" is "the young person", not "the young a person".
_DESCRIBED = re.compile(
    r"\b(?:the|a|an|his|her|their)\s+(?:(?:very\s+)?(?:young|old|younger|older|little|late|great|"
    r"famous|smiling|laughing|happy|sad|angry|tired|real|masked|bearded)\s+)+$",
    re.IGNORECASE,
)
# "find shots of", "show me", "footage in which": said to the program, not about the picture.
_LEAD_IN = re.compile(
    r"^(?:please\s+)?(?:(?:find|search for|look for|show me|show|give me|where (?:is|are))\s+)?"
    r"(?:(?:(?:all|every|any|the|some|a)\s+)*(?:shots?|clips?|videos?|scenes?|footage|moments?)\s+"
    r"(?:of|with|where|showing|featuring|in which)\s+)?",
    re.IGNORECASE,
)
_QUOTES = re.compile(r"[\"“”„«»]")
_ENDS = " ,;:.!?-–—"
# Said beside a name without saying anything about the picture.
_EMPTY = """a all an and any both but clips e either et every everything find footage me moments of
or pictures s scenes shots show the und videos with y"""
_EMPTY_WORDS = frozenset(_EMPTY.split())
_NO_BRACES = str.maketrans("{}", "()")  # they say who is meant, see `in_quotes`
_BRACES = re.compile(r"\{([^{}=]*)(=[^{}=]+)?\}")


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch `text[start:end]` of a clause that its caption says otherwise, or not at all.

    `who` is named there; a `noun` that is given is taken instead of one made of them, and `marks`
    as well. Without any of these it is left out.
    """

    start: int
    end: int
    who: Node | None = None
    noun: str | None = None
    marks: tuple[Person, ...] = ()
    genitive: bool = False


def scene(
    text: str,
    start: int,
    end: int,
    pieces: Sequence[Piece],
    rest: Sequence[str] | None,
    *,
    optional: bool,
) -> Scene | None:
    """The caption of the clause `text[start:end]`.

    `rest` are the folded words outside of `pieces`; None for a quoted phrase, which is taken as it
    stands. An `optional` caption of which the rest says nothing is None.
    """
    said, marked = "", ""
    marks: list[Person] = []
    named, seen = False, set[str]()
    at = start
    for piece in pieces:
        noun, people = _spoken_of(piece, seen)
        tokens = " and ".join(TOK for _ in people) or noun
        if piece.noun == "":
            tokens += ". "  # somebody beside the text
        before, after = text[at : piece.start], piece.end
        if not noun and text[after : after + 2].lower() in ("'s", "’s"):
            after += 2
        if noun and piece.noun is None:
            before, noun, tokens, after = _fitted(text, before, noun, tokens, piece)
        said, marked = said + before + noun, marked + before + tokens
        named = named or bool(noun or people)
        marks += people
        at = after
    said, marked = said + text[at:end], marked + text[at:end]
    if rest is None:
        said, marked = said.strip(), marked.strip()
    else:
        lead_in = {word.folded for word in words(_lead_in(said))}
        if optional and all(word in _EMPTY_WORDS or word in lead_in for word in rest):
            return None
        said, marked = without_lead_in(said), without_lead_in(marked)
    return Scene(said, marked if marks else "", tuple(marks), named) if said else None


def without_lead_in(text: str) -> str:
    """The text as a caption; unchanged where nothing but the lead-in was said."""
    rest = _tidy(text[len(_lead_in(text)) :]).strip(_ENDS)
    return rest or _tidy(text)


def in_quotes(
    text: str,
    start: int,
    end: int,
    found: Sequence[Word],
    mentions: Sequence[Mention],
    known: Known,
) -> list[Piece]:
    """The pieces of a quoted phrase: lists of names, and what stands in braces.

    `{a person=Anna Rossi}` is said as "a person" and means her; `{a person}` means somebody whom
    the question names elsewhere; `{=Anna Rossi}` says nothing. This is how `vidsearch.grammar_text`
    writes captions down, so that they can be read back.
    """
    pieces = [
        Piece(start + match.start(), start + match.end(), noun=match[1], marks=marks)
        for match in _BRACES.finditer(text[start:end])
        if (marks := _marked(match, known)) is not None
    ]
    group: list[Mention] = []
    for mention in mentions:
        if group and not _JOINS.fullmatch(
            text, found[group[-1].last - 1].end, found[mention.first].start
        ):
            pieces.append(_list_of(found, group))
            group = []
        group.append(mention)
    if group:
        pieces.append(_list_of(found, group))
    return sorted(pieces, key=lambda piece: piece.start)


def masked(text: str, quotes: Sequence[tuple[int, int]]) -> str:
    """`text` of the same length, with nothing to read in braces that stand in quotes."""
    for start, end in quotes:
        for match in _BRACES.finditer(text, start, end):
            text = text[: match.start()] + "|" * len(match[0]) + text[match.end() :]
    return text


def positive(node: Node) -> tuple[Person, ...]:
    """Those whom a tree wants to see, in order, each once."""
    if isinstance(node, Not):
        return ()
    if isinstance(node, (AllOf, AnyOf)):
        people = [person for part in node.parts for person in positive(part)]
        return tuple({person.person_id: person for person in people}.values())
    return (node.person,) if isinstance(node, Someone) else ()


def _marked(match: re.Match[str], known: Known) -> tuple[Person, ...] | None:
    names = match[2][1:].split(";") if match[2] else []
    if not match[1] + (match[2] or "") or not all(key(name) in known for name in names):
        return None  # braces like any other character
    return tuple(known[key(name)][0] for name in names)


def _list_of(found: Sequence[Word], group: Sequence[Mention]) -> Piece:
    parts = tuple(Someone(mention.person) for mention in group)
    who = AllOf(parts) if len(parts) > 1 else parts[0]
    start, end = found[group[0].first].start, found[group[-1].last - 1].end
    return Piece(start, end, who, genitive=group[-1].genitive)


def _spoken_of(piece: Piece, seen: set[str]) -> tuple[str, tuple[Person, ...]]:
    """What a piece is called, and who may be marked in its place; adds them to `seen`."""
    if piece.who is None:
        seen |= {p.person_id for p in piece.marks} or ({""} if piece.noun else set())
        return piece.noun or "", piece.marks
    people = positive(piece.who)
    noun = _noun(piece.who, people, seen)
    seen |= {person.person_id for person in people}
    plain = all(isinstance(leaf, Someone) for leaf in leaves(piece.who)) and not _has_choice(
        piece.who
    )
    return noun, _in_order(piece.who) if plain else ()


def _has_choice(node: Node) -> bool:
    if isinstance(node, AllOf):
        return any(map(_has_choice, node.parts))
    return isinstance(node, AnyOf)


def _in_order(node: Node) -> tuple[Person, ...]:
    """Everybody named, as often as named, those who are not wanted left out."""
    if isinstance(node, AllOf):
        return tuple(person for part in node.parts for person in _in_order(part))
    return (node.person,) if isinstance(node, Someone) else ()


def _noun(who: Node, people: Sequence[Person], seen: set[str]) -> str:
    sizes = _sizes(who) - {0}
    if not sizes:
        return ""
    if len(people) == 1 and people[0].person_id in seen:
        return "the person"
    if sizes == {1} or len(people) == 1:
        return "another person" if seen else "a person"
    if len(sizes) > 1:
        return "people"
    size = min(max(sizes), len(people))
    return f"{_NUMBERS[size] if size < len(_NUMBERS) else size} people"


def _sizes(node: Node) -> set[int]:
    """How many people a shot that fits shows, of those named."""
    if isinstance(node, Someone):
        return {1}
    if isinstance(node, AnyOf):
        return set[int]().union(*map(_sizes, node.parts))
    sizes = {0}
    if isinstance(node, AllOf):
        for part in node.parts:
            sizes = {one + other for one in sizes for other in _sizes(part)}
    return sizes


def _fitted(
    text: str, before: str, noun: str, tokens: str, piece: Piece
) -> tuple[str, str, str, int]:
    """A noun with the text before it, so that articles, genitives and other scripts fit."""
    end = piece.end
    before = _BEFORE_NAME.sub("", before)
    if noun.startswith("a ") and _DESCRIBED.search(before):
        noun = noun[2:]
    bare = text[end : end + 1] in ("'", "’") and not text[end + 1 : end + 2].isalnum()
    if piece.genitive or bare:  # "Anna Rossis Rede", "James' car"
        noun, tokens, end = f"{noun}'s", f"{tokens}'s", end + bare
    if before and before[-1].isalnum():  # a script without spaces
        before += " "
    gap = " " if end < len(text) and text[end].isalnum() else ""
    return before, noun + gap, tokens + gap, end


def _lead_in(text: str) -> str:
    match = _LEAD_IN.match(text)
    return match.group() if match else ""


def _tidy(text: str) -> str:
    """Without quotes and braces, and with single spaces where something was left out."""
    single = " ".join(_QUOTES.sub("", text).translate(_NO_BRACES).split())
    return re.sub(r" ([,.;:!?])", r"\1", single)
