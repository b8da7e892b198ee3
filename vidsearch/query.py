"""From the text of a question to the people asked for and the context they should be in.

"Anna Rossi giving a speech outdoors" becomes the person Anna Rossi, where she is enrolled, and
the context "a person giving a speech outdoors". Names are found by longest match over all names
and aliases, without regard to case, accents and hyphens; what an encoder reads in their place is
"a person", "two people", "another person", or, for an encoder whose texts can hold people, a mark
for each of them. A name that nobody is enrolled under is told apart from the context by the rule in
`vidsearch.unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from idclip.prompts import TOK
from vidsearch import unknown
from vidsearch.errors import InvalidQuery, UnknownPerson
from vidsearch.names import Word, key, normal, words
from vidsearch.records import Person
from vidsearch.unknown import UnknownName

__all__ = ["Query", "UnknownName", "parse", "require_enrolled"]

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_JOINS = re.compile(r"\s*(?:,|(?:,\s*)?(?:and|with|und|et|y|e)\b|&|\+|、|和|と)\s*", re.IGNORECASE)
# Between or before names these would turn the answer round; elsewhere they are ordinary words.
_OPERATORS = re.compile(r"\b(?:or|not|without|except|neither|nor)\s+$", re.IGNORECASE)
_BEFORE_NAME = re.compile(
    rf"\b(?:(?:the|a|an)\s+)?(?:(?:{'|'.join(sorted(unknown.TITLES))})\.?\s+)*$", re.IGNORECASE
)
# "find shots of", "show me", "footage in which": said to the program, not about the picture.
_LEAD_IN = re.compile(
    r"^(?:please\s+)?(?:(?:find|search for|look for|show me|show|give me|where (?:is|are))\s+)?"
    r"(?:(?:(?:all|every|any|the|some|a)\s+)*(?:shots?|clips?|videos?|scenes?|footage|moments?)\s+"
    r"(?:of|with|where|showing|featuring|in which)\s+)?",
    re.IGNORECASE,
)
_QUOTES = re.compile(r"[\"“”„«»]")
# Said beside a name without saying anything about the picture.
_EMPTY_WORDS = frozenset(
    ["a", "an", "and", "both", "e", "et", "of", "s", "the", "und", "with", "y"]
)


@dataclass(frozen=True, eq=False)
class Query:
    """A question taken apart.

    `people` must all be in the shot. `context` is what the encoder is asked, "" where the
    question was only a name. `unknown` are names that nobody is enrolled under; while there are
    any, an answer would be about somebody else (`require_enrolled`). `perhaps` is a word that may
    be a name and is searched as a word, or "". `marked` is the context for an encoder whose texts
    can hold people (`idclip.encoders.PersonEncoder`), with a mark for each of `marks` in order.
    """

    text: str
    people: tuple[Person, ...]
    context: str
    unknown: tuple[UnknownName, ...] = ()
    perhaps: str = ""
    marked: str = ""
    marks: tuple[Person, ...] = ()


@dataclass(frozen=True, eq=False)
class _Mention:
    """`person` named by `words[first:last]`."""

    person: Person
    first: int
    last: int


def parse(
    text: str,
    people: Sequence[Person],
    *,
    forced: Sequence[str] = (),
    context_only: bool = False,
) -> Query:
    """The people named in `text`, and the rest of it as a context for an encoder.

    `people` are all that are enrolled. `forced` are names given beside the text (`--person`),
    which must be enrolled ones and are asked for as well. With `context_only` no name is looked
    for in the text. Words in double quotes are never reported as a name that is not enrolled.

    A name that is one ordinary English word ("Will", "Rose") is only found where it is written
    with a capital or opens the question, so that "a rose in a vase" asks for no person.

    Raises `InvalidQuery` for a text without a word in it (unless somebody is forced), for a
    name that two people share, and for OR, NOT or without before a name, which are not understood.
    """
    text = normal(text)
    found = words(text)
    known = _by_key(people)
    asked, strangers = _forced(forced, known, people)
    if not found and not (forced and not text):
        raise InvalidQuery("The question is empty: say who or what the shot should show")
    if context_only:
        return Query(text, asked, _without_lead_in(text), strangers)
    mentions = _mentions(found, known)
    ranges = [(m.first, m.last) for m in mentions]
    strangers += unknown.find(text, found, ranges, people)
    perhaps = "" if strangers else unknown.perhaps(text, found, ranges)
    mentions = [m for m in mentions if not _part_of(m, found, strangers)]
    _refuse_operators(text, found, mentions)
    named = _distinct((*asked, *(m.person for m in mentions)))
    groups = _groups(text, found, mentions)
    context = _context(text, found, groups, _nouns(groups))
    if not context:
        return Query(text, named, "", strangers, perhaps)
    marked = _context(text, found, groups, [_marks(group) for group in groups])
    marks = tuple(mention.person for group in groups for mention in group)
    beside = tuple(person for person in asked if person not in marks)  # forced, not in the text
    marked = "".join(f"{TOK}. " for _ in beside) + marked
    return Query(text, named, context, strangers, perhaps, marked, (*beside, *marks))


def require_enrolled(query: Query) -> None:
    """Raises `UnknownPerson`, with near names and the remedy, if the question names a stranger."""
    if query.unknown:
        raise UnknownPerson("\n".join(name.message() for name in query.unknown))


def _by_key(people: Iterable[Person]) -> dict[tuple[str, ...], tuple[Person, ...]]:
    known: dict[tuple[str, ...], tuple[Person, ...]] = {}
    for person in people:
        for name in {key(name) for name in person.names} - {()}:
            known[name] = (*known.get(name, ()), person)
    return known


def _forced(
    names: Sequence[str],
    known: Mapping[tuple[str, ...], tuple[Person, ...]],
    people: Sequence[Person],
) -> tuple[tuple[Person, ...], tuple[UnknownName, ...]]:
    asked = []
    strangers = []
    for name in names:
        if key(name) in known:
            asked.append(_only(known[key(name)], name))
        else:
            strangers.append(UnknownName(normal(name), unknown.near(name, people), forced=True))
    return tuple(asked), tuple(strangers)


def _mentions(
    found: Sequence[Word], known: Mapping[tuple[str, ...], tuple[Person, ...]]
) -> list[_Mention]:
    """The names in a text, left to right, at each place the longest that fits."""
    longest = max((len(name) for name in known), default=0)
    folded = tuple(word.folded for word in found)
    mentions = []
    at = 0
    while at < len(found):
        for length in range(min(longest, len(found) - at), 0, -1):
            people = known.get(folded[at : at + length])
            if people and (length > 1 or not _reads_as_a_word(found, at)):
                said = " ".join(word.text for word in found[at : at + length])
                mentions.append(_Mention(_only(people, said), at, at + length))
                at += length
                break
        else:
            at += 1
    return mentions


def _reads_as_a_word(found: Sequence[Word], at: int) -> bool:
    word = found[at]
    return at > 0 and not word.capitalised and word.folded in unknown.NAMES_THAT_ARE_WORDS


def _only(people: tuple[Person, ...], said: str) -> Person:
    if len(people) > 1:
        names = ", ".join(person.name for person in people)
        raise InvalidQuery(f'"{said}" is the name of several people ({names}): write it in full')
    return people[0]


def _distinct(people: Iterable[Person]) -> tuple[Person, ...]:
    return tuple({person.person_id: person for person in people}.values())


def _part_of(mention: _Mention, found: Sequence[Word], strangers: Iterable[UnknownName]) -> bool:
    """Whether an enrolled name is only a part of a stranger's, as Obama of Michelle Obama."""
    start, end = found[mention.first].start, found[mention.last - 1].end
    return any(name.start <= start and end <= name.end for name in strangers)


def _refuse_operators(text: str, found: Sequence[Word], mentions: Sequence[_Mention]) -> None:
    for mention in mentions:
        operator = _OPERATORS.search(text[: found[mention.first].start])
        if operator:
            raise InvalidQuery(
                f'"{operator.group().strip()}" before a name is not understood: ask one question '
                "for each person"
            )


def _context(
    text: str, found: Sequence[Word], groups: Sequence[list[_Mention]], said: Sequence[str]
) -> str:
    """`text` with each name, or list of names, replaced by what is said for it instead."""
    named = {at for group in groups for m in group for at in range(m.first, m.last)}
    rest = [word for at, word in enumerate(found) if at not in named]
    pieces = []
    at = 0
    for group, instead in zip(groups, said, strict=True):
        start, end = found[group[0].first].start, found[group[-1].last - 1].end
        before = _BEFORE_NAME.sub("", text[at:start])
        pieces += [_spaced(before), instead, " " if _glued(text, end) else ""]
        at = end
    replaced = _without_lead_in("".join([*pieces, text[at:]]))
    lead_in = {word.folded for word in words(_lead_in(text))}
    if groups and all(w.folded in _EMPTY_WORDS or w.folded in lead_in for w in rest):
        return ""
    return replaced


def _groups(text: str, found: Sequence[Word], mentions: Sequence[_Mention]) -> list[list[_Mention]]:
    """Mentions, those of one list ("Anna Rossi, Lee Wong and Marco Bianchi") together."""
    groups: list[list[_Mention]] = []
    for mention in mentions:
        if groups:
            between = text[found[groups[-1][-1].last - 1].end : found[mention.first].start]
            if _JOINS.fullmatch(between):
                groups[-1].append(mention)
                continue
        groups.append([mention])
    return groups


def _nouns(groups: Sequence[list[_Mention]]) -> list[str]:
    """What an encoder that knows nobody is told for each group of names."""
    nouns = []
    seen: set[str] = set()
    for group in groups:
        nouns.append(_noun(group, seen))
        seen.update(mention.person.person_id for mention in group)
    return nouns


def _marks(group: Sequence[_Mention]) -> str:
    return " and ".join(TOK for _ in group)


def _noun(group: Sequence[_Mention], seen: set[str]) -> str:
    count = len({mention.person.person_id for mention in group})
    if count > 1:
        return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} people"
    if group[0].person.person_id in seen:
        return "the person"
    return "another person" if seen else "a person"


def _spaced(before: str) -> str:
    """Room before a noun that replaces a name in a script without spaces."""
    return before + " " if before and before[-1].isalnum() else before


def _glued(text: str, end: int) -> bool:
    return end < len(text) and text[end].isalnum()


def _lead_in(text: str) -> str:
    match = _LEAD_IN.match(text)
    return match.group() if match else ""


def _without_lead_in(text: str) -> str:
    """The text as a caption; unchanged where nothing but the lead-in was said."""
    rest = _QUOTES.sub("", text[len(_lead_in(text)) :]).strip(" ,;:.!?-–—")
    return rest or text.strip()
