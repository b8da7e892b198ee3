"""Where the words of a question name somebody who is enrolled.

At each place the longest name or alias that fits is taken, without regard to case, accents and
hyphens. Where no whole name stands, a part of one does, if it is written as a name is: the first
or the last words of it ("Anna", "van Beethoven", "O'Brien") or initials with the last ("A.
Rossi"), capitalised, where a person stands. Of several people who share that part, the question has
to say which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vidsearch import unknown, unknown_words
from vidsearch.errors import InvalidQuery
from vidsearch.names import Word, key
from vidsearch.records import Person

Key = tuple[str, ...]
Known = Mapping[Key, tuple[Person, ...]]
Spans = Sequence[tuple[int, int]]
_BRACKETS = {"(": 1, "（": 1, ")": -1, "）": -1}
_PLACES = frozenset(["in", "inside", "across", "through"])
_FIRST_NAMES_TOO = frozenset(["al", "ben"])  # elsewhere particles


@dataclass(frozen=True, eq=False)
class Mention:
    """One of `people` named by `words[first:last]`; a `part` of the name may be shared by many.

    `genitive` is a name with a bare s, as in German ("Anna Rossis Rede").
    """

    people: tuple[Person, ...]
    first: int
    last: int
    part: bool = False
    genitive: bool = False

    @property
    def person(self) -> Person:
        return self.people[0]


def find(
    text: str, found: Sequence[Word], people: Sequence[Person], known: Known, quoted: Spans
) -> list[Mention]:
    """The names in a text, left to right; `found` are its words, `quoted` its quoted stretches.

    `known` is `by_key` of the `people` enrolled.

    Raises `InvalidQuery` where two names overlap ("Anna Maria Rossi", where an Anna Maria and a
    Maria Rossi are enrolled).
    """
    mentions = _whole(text, found, known, quoted)
    taken = {at for mention in mentions for at in range(mention.first, mention.last)}
    parts = _parts(text, found, people, taken, quoted)
    return sorted((*mentions, *parts), key=lambda mention: mention.first)


def by_key(people: Iterable[Person]) -> dict[Key, tuple[Person, ...]]:
    """Who has which name or alias, by `names.key`."""
    known: dict[Key, tuple[Person, ...]] = {}
    for person in people:
        for name in {key(name) for name in person.names} - {()}:
            known[name] = (*known.get(name, ()), person)
    return known


def only(people: Sequence[Person], said: str) -> Person:
    """The one person a name is of; raises `InvalidQuery`, with all of them, if it is of several."""
    if len({person.person_id for person in people}) > 1:
        names = " or ".join(person.name for person in people)
        raise InvalidQuery(f'"{said}" may be {names}: write the name in full')
    return people[0]


# --- whole names ---------------------------------------------------------------------------------


def _whole(text: str, found: Sequence[Word], known: Known, quoted: Spans) -> list[Mention]:
    longest = max((len(name) for name in known), default=0)
    mentions: list[Mention] = []
    at = 0
    while at < len(found):
        mention = _longest_at(text, found, at, known, longest, quoted)
        if mention is None:
            at += 1
            continue
        for inside in range(at + 1, mention.last):
            other = _longest_at(text, found, inside, known, longest, quoted)
            if other is not None and other.last > mention.last:
                _refuse_overlap(text, found, mention, other)
        mentions.append(mention)
        at = mention.last
    return mentions


def _longest_at(
    text: str,
    found: Sequence[Word],
    at: int,
    known: Known,
    longest: int,
    quoted: Spans,
) -> Mention | None:
    for last in range(min(at + longest, len(found)), at, -1):
        said = tuple(word.folded for word in found[at:last])
        people, genitive = known.get(said), False
        if people is None and last - at > 1 and _has_bare_s(text, found[last - 1]):
            people, genitive = known.get((*said[:-1], said[-1][:-1])), True
        if (
            people is not None
            and _is_one_piece(text, found[at].start, found[last - 1].end, quoted)
            and (last - at > 1 or not _reads_as_a_word(found, at, quoted))
        ):
            return Mention(people, at, last, genitive=genitive)
    return None


def _has_bare_s(text: str, word: Word) -> bool:
    ends = word.folded.endswith("s") and len(word.folded) > 3 and word.capitalised
    return ends and text[word.end : word.end + 1] not in ("'", "’")


def _reads_as_a_word(found: Sequence[Word], at: int, quoted: Spans) -> bool:
    """Whether a name in small letters is the ordinary word it looks like."""
    word = found[at]
    if word.capitalised or word.folded not in unknown_words.NAMES_THAT_ARE_WORDS:
        return False
    around = _around(word.start, quoted)
    alone = around is not None and sum(around[0] < w.start < around[1] for w in found) == 1
    return not alone and (at > 0 or around is not None)


def _is_one_piece(text: str, start: int, end: int, quoted: Spans) -> bool:
    """Whether no quote or bracket that begins outside a stretch ends in it, or the reverse."""
    around = _around(start, quoted)
    if around != _around(end - 1, quoted) or around is not None:
        return around == _around(end - 1, quoted)
    depth = 0
    for char in text[start:end]:
        depth += _BRACKETS.get(char, 0)
        if depth < 0:
            return False
    return depth == 0


def _around(at: int, quoted: Spans) -> tuple[int, int] | None:
    """The quoted stretch that a place lies in."""
    return next((span for span in quoted if span[0] <= at < span[1]), None)


def _refuse_overlap(text: str, found: Sequence[Word], one: Mention, other: Mention) -> None:
    said = text[found[one.first].start : found[other.last - 1].end]
    names = " or ".join(dict.fromkeys(p.name for p in (*one.people, *other.people)))
    raise InvalidQuery(
        f'"{said}" may be {names}: put the name that is meant in quotes, or ask with --person'
    )


# --- parts of names ------------------------------------------------------------------------------


def _parts(
    text: str,
    found: Sequence[Word],
    people: Sequence[Person],
    taken: set[int],
    quoted: Spans,
) -> list[Mention]:
    places = [at for at in range(len(found)) if _may_open_a_part(found, at, taken, quoted)]
    if text == text.upper() or not places:
        return []  # all capitals tell nothing
    ends = _ends_of_names(people)
    mentions: list[Mention] = []
    for at in places:
        if mentions and at < mentions[-1].last:
            continue
        mention = _initials_at(found, at, people) or _part_at(text, found, at, ends)
        free = mention is not None and not taken & set(range(mention.first, mention.last))
        if mention is not None and free and _stands_as_person(text, found, mention):
            mentions.append(mention)
    return mentions


def _may_open_a_part(found: Sequence[Word], at: int, taken: set[int], quoted: Spans) -> bool:
    word = found[at]
    capitalised = word.capitalised or (
        at + 1 < len(found) and word.folded in unknown_words.PARTICLES and found[at + 1].capitalised
    )
    return capitalised and at not in taken and _around(word.start, quoted) is None


def _ends_of_names(people: Iterable[Person]) -> dict[Key, tuple[Person, ...]]:
    """Who has a name that begins or ends so, by those words; whole names are left out."""
    ends: dict[Key, dict[str, Person]] = defaultdict(dict)
    for person in people:
        for name in person.names:
            words = key(name)
            for cut in range(1, len(words)):
                ends[words[:cut]][person.person_id] = person
                ends[words[cut:]][person.person_id] = person
    return {words: tuple(holders.values()) for words, holders in ends.items()}


def _part_at(text: str, found: Sequence[Word], at: int, ends: Known) -> Mention | None:
    for last in range(min(at + 5, len(found)), at, -1):
        said = tuple(word.folded for word in found[at:last])
        gaps = (text[found[n].end : found[n + 1].start] for n in range(at, last - 1))
        if said in ends and _can_name(found[at:last]) and all(map(unknown.WITHIN.fullmatch, gaps)):
            return Mention(ends[said], at, last, part=True)
    return None


def _can_name(words: Sequence[Word]) -> bool:
    """Whether these words, a part of somebody's name, name anybody where they stand alone."""
    telling = [w for w in words if w.folded not in unknown_words.PARTICLES]
    if not telling:
        return len(words) == 1 and words[0].folded in _FIRST_NAMES_TOO
    if not all(word.capitalised for word in telling):
        return False
    return any(len(w.folded) > 1 and not unknown.is_no_name(w) for w in telling)


def _initials_at(found: Sequence[Word], at: int, people: Iterable[Person]) -> Mention | None:
    """ "A. Rossi", "J. F. Kennedy", "J. Kennedy"."""
    if len(found[at].folded) > 1:
        return None
    best: Mention | None = None
    for last in range(at + 2, min(at + 6, len(found) + 1)):
        said = tuple(word.folded for word in found[at:last])
        if len(said[-1]) < 2 or not found[last - 1].capitalised:
            continue
        fitting = tuple(p for p in people if any(_abbreviates(said, key(n)) for n in p.names))
        best = Mention(fitting, at, last, part=True) if fitting else best
    return best


def _abbreviates(said: Key, name: Key) -> bool:
    """Whether `said` is `name` with initials in it, or its first initial and its last word."""
    if len(name) < 2 or said[-1] != name[-1]:
        return False
    if len(said) == 2 and len(said[0]) == 1 and name[0].startswith(said[0]):
        return True
    return len(said) == len(name) and all(
        one == other or (len(one) == 1 and other.startswith(one))
        for one, other in zip(said, name, strict=True)
    )


def _stands_as_person(text: str, found: Sequence[Word], mention: Mention) -> bool:
    """Whether a part of a name, where it stands, is the person.

    Not after a word that places follow ("in Paris"), nor before what makes it something else
    ("Marco Polo", "Paris street"). A name that is an ordinary word has to stand as a stranger's
    would.
    """
    first, last = mention.first, mention.last
    if first and found[first - 1].folded in _PLACES:
        return False
    if last - first == 1 and found[first].folded in unknown_words.NAMES_THAT_ARE_WORDS:
        return unknown.stands_as_person(text, found, first, last)
    return not unknown.goes_on(text, found, last)
