"""Names in a question that nobody is enrolled under.

No dictionary of the world's names is needed for what matters: that "Anna Rossi giving a speech"
is not answered with somebody else's speech. A stranger's name is reported where either

- words are close to an enrolled name of two words or more without being it ("anna rosi"), or
- two to four capitalised words (initials and "de", "van", "bin" between them allowed) stand
  where a person stands: at the start of the question or after "and", "with", "by", "of", a comma
  or a word in -ing, and what follows is the end, a verb, a preposition or a word such as
  "speech"; unless one of the words says that it is a place or a thing ("White House",
  "New York", "Premier League") or an ordinary English word ("Two Men"), or
- one capitalised word stands so and is a word of an enrolled name that does not name its person
  (`vidsearch.mentions`), or comes after "by", "with", "without" or a minus ("a speech by Merkel"),
  or is joined to an enrolled name ("Anna Rossi or Merkel"), or
- what names an enrolled person is a part of a longer name ("Michelle Obama" where "Obama" is an
  alias or a surname).

One capitalised word that opens the question ("Merkel speaking", but "Water falling" as well)
is no more than perhaps a name (`perhaps`): it is searched as it stands, and where nothing fits
well the answer says how to enrol it.

The rule errs. Of 41,650 captions of Flickr8k and COCO it takes 69 for a question about a stranger,
rightly so in some 20 ("Andy Roddick"), wrongly in "Land Rover" and "Power Rangers"; of the 5,749
names of LFW it tells 98.5 % in "... giving a speech" and misses "John Snow". A name
in lower case is only told where it is near an enrolled one. So the message says how to ask for
the words as they stand, and words in double quotes are never reported.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vidsearch import grammar_words
from vidsearch.names import Word, key
from vidsearch.records import Person
from vidsearch.unknown_words import (
    BEFORE,
    FOLLOWS,
    INTRODUCES,
    LAST_OF_NO_NAME,
    NAMES_THAT_ARE_WORDS,
    NATIONS,
    NO_FIRST_NAME,
    NO_PERSON,
    ORDINARY,
    PARTICLES,
    SURNAMES,
    TITLES,
)

_SO_NEAR = 0.85  # difflib ratio from which other words are taken for a slip of an enrolled name
_RATHER_NEAR = 0.6  # ratio from which a name is worth mentioning; difflib's own default
_SHORT = frozenset(["EU", "PC", "TV", "UK", "UN", "US"])
_QUOTED = re.compile(r"[\"“”„«»][^\"“”„«»]*[\"“”„«»]")
WITHIN = re.compile(r"[ \-‐‑]|\. ?|['’]")  # what may stand between the words of one name


@dataclass(frozen=True)
class UnknownName:
    """A name nobody is enrolled under, at `text[start:end]`, with enrolled names near it.

    `forced` names were given beside the text (`--person`) and stand nowhere in it.
    """

    name: str
    near: tuple[str, ...]
    start: int = -1
    end: int = -1
    forced: bool = False

    def message(self) -> str:
        """What to tell the user: near names, how to enrol, how to ask for the words as such."""
        lines = [f'"{self.name}" is not enrolled']
        if self.near:
            lines[0] += f"; near names: {', '.join(self.near)}"
        lines.append(f"  enrol with: vidsearch people add {typed(self.name)} PHOTO...")
        if not self.forced:
            lines.append("  not a person? ask again with --context-only")
        return "\n".join(lines)


def typed(name: str) -> str:
    """A name as one word of a shell's command line."""
    return shlex.quote(name) if re.search(r'["$`\\!]', name) else f'"{name}"'


@dataclass(frozen=True)
class _Run:
    """Capitalised words `first` to `last` (exclusive) of a text that belong together."""

    first: int
    last: int


def find(
    text: str,
    found: Sequence[Word],
    mentions: Sequence[tuple[int, int]],
    people: Sequence[Person],
    parts: Collection[tuple[int, int]] = (),
) -> tuple[UnknownName, ...]:
    """The names in `text` that nobody is enrolled under, by the rule of this module.

    `found` are the words of `text`; `mentions` the ranges of them that name enrolled people,
    `parts` those of them that are only a part of a name.
    """
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    ranges: list[tuple[int, int]] = []
    for run in (*_runs(text, found, mentions, parts), *_slips(found, mentions, people)):
        start, end = found[run.first].start, found[run.last - 1].end
        inside_quotes = any(a <= start and end <= b for a, b in quoted)
        if not inside_quotes and not any(a < end and start < b for a, b in ranges):
            ranges.append((start, end))
    ranges += _lone(text, found, mentions, people, [*quoted, *ranges])
    return tuple(
        UnknownName(text[start:end], near(text[start:end], people), start, end)
        for start, end in sorted(ranges)
    )


def near(name: str, people: Iterable[Person], n: int = 3) -> tuple[str, ...]:
    """Up to `n` enrolled people's names that resemble `name` or share a word with it."""
    asked = key(name)
    scored = []
    for person in people:
        ratio = max(_likeness(asked, key(known)) for known in person.names)
        if ratio >= _RATHER_NEAR:
            scored.append((-ratio, person.name))
    return tuple(name for _, name in sorted(scored)[:n])


def _likeness(asked: tuple[str, ...], known: tuple[str, ...]) -> float:
    ratio = _ratio(asked, known)
    shared = any(len(word) > 2 and word not in PARTICLES for word in set(asked) & set(known))
    return max(ratio, _RATHER_NEAR) if shared else ratio


def _ratio(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """difflib's ratio, or 0 where its quick upper bounds say that it is not `_RATHER_NEAR`."""
    matcher = difflib.SequenceMatcher(None, " ".join(one), " ".join(other))
    if matcher.real_quick_ratio() < _RATHER_NEAR or matcher.quick_ratio() < _RATHER_NEAR:
        return 0.0
    return matcher.ratio()


def _runs(
    text: str,
    found: Sequence[Word],
    mentions: Sequence[tuple[int, int]],
    parts: Collection[tuple[int, int]],
) -> list[_Run]:
    """Runs of capitalised words that look like a person's full name and are not enrolled."""
    if text == text.upper():
        return []  # all capitals tell nothing
    # What may be a part of a longer name, and what is a name by itself.
    loose = [span for span in mentions if span in parts or span[1] - span[0] == 1]
    whole = {at for span in mentions if span not in loose for at in range(*span)}
    whole |= _joints(found, mentions)
    runs = []
    at = 0
    while at < len(found):
        last = _end_of_run(text, found, at, whole)
        if last == at:
            at += 1
            continue
        run = _trimmed(found, _Run(at, last))
        at = last
        if not 2 <= run.last - run.first <= 6 or not _may_be_person(found, run):
            continue
        aliases = [span for span in loose if run.first < span[1] and span[0] < run.last]
        named = {at for span in aliases for at in range(*span)}
        rest = [found[place] for place in range(run.first, run.last) if place not in named]
        titled = len(aliases) == 1 and all(word.folded in TITLES for word in rest)
        if not titled and (aliases or stands_as_person(text, found, run.first, run.last)):
            runs.append(run)
    return runs


def _joints(found: Sequence[Word], mentions: Sequence[tuple[int, int]]) -> set[int]:
    """The words that join two names, as in "Anna y Marco", and capital operators."""
    joints = {at for at, word in enumerate(found) if word.text in grammar_words.CAPITAL}
    for one, other in pairwise(mentions):
        between = tuple(word.folded for word in found[one[1] : other[0]])
        if between in grammar_words.SMALL:
            joints |= set(range(one[1], other[0]))
    return joints


def _end_of_run(text: str, found: Sequence[Word], first: int, taken: set[int]) -> int:
    """Where the run of capitalised words that starts at `first` ends."""
    last = first
    at = first
    while at < len(found) and at not in taken:
        if at > first and not WITHIN.fullmatch(text[found[at - 1].end : found[at].start]):
            break
        word = found[at]
        if word.capitalised and not (at > first + 1 and _is_verb(word)):
            last = at + 1
        elif at > first + 1 and text[word.start - 1] in "-‐‑" and found[at - 1].capitalised:
            last = at + 1  # Cho Myung-kyun
        elif at == first or word.folded not in PARTICLES:
            break
        at += 1
    return last


def _trimmed(found: Sequence[Word], run: _Run) -> _Run:
    """Without ordinary words and titles around it: "The", "President", "Speech"."""
    first, last = run.first, run.last
    while first < last and (found[first].folded in ORDINARY or _is_verb(found[first])):
        first += 1
    while last - first > 2 and found[first].folded in TITLES:
        first += 1
    while last > first and found[last - 1].folded in LAST_OF_NO_NAME:
        last -= 1
    return _Run(first, last)


def _may_be_person(found: Sequence[Word], run: _Run) -> bool:
    said = [word.folded for word in found[run.first : run.last]]
    first = found[run.first].text
    if first.isupper() and (len(first) > 2 or first in _SHORT):
        return False  # "BBC News", "NASA Rocket"; but "AJ Cook"
    if all(word in TITLES for word in said):
        return False
    if said[0] in NO_FIRST_NAME | ORDINARY | NATIONS:
        return False
    return not any(word in NO_PERSON or word[0].isdigit() for word in said)


def stands_as_person(text: str, found: Sequence[Word], first: int, last: int) -> bool:
    """Whether the words `first` to `last` (exclusive) stand where a person stands in a question."""
    before = found[first - 1] if first else None
    if before is not None:
        gap = text[before.end : found[first].start]
        fits = before.folded in BEFORE | ORDINARY | TITLES or _is_verb(before)
        if not fits and not set(gap) & set(",;:&+()") and not is_denied(text, found[first]):
            return False
    if last == len(found):
        return True
    gap = text[found[last - 1].end : found[last].start]
    after = found[last]
    if set(gap) & set(",;:&+'’()") or is_denied(text, after):
        return True
    return after.folded in FOLLOWS or _is_verb(after)


def is_denied(text: str, word: Word) -> bool:
    """Whether a minus stands before a word: "-Merkel"."""
    before = text[max(word.start - 2, 0) : word.start]
    return before[-1:] in ("-", "−") and before[:-1] in ("", " ", "(")


def goes_on(text: str, found: Sequence[Word], last: int) -> bool:
    """Whether what ends before word `last` is the beginning of something longer.

    Of another name ("Marco Polo"), or of a place or a thing ("Paris street").
    """
    if last == len(found) or not WITHIN.fullmatch(text[found[last - 1].end : found[last].start]):
        return False
    after = found[last]
    longer = after.capitalised and after.folded not in FOLLOWS | ORDINARY and not _is_verb(after)
    return longer or after.folded in NO_PERSON


def is_no_name(word: Word) -> bool:
    """Whether a word, even capitalised, names nobody by itself: a title, a place, a common word."""
    return word.folded in TITLES | NO_PERSON | ORDINARY


def _is_verb(word: Word) -> bool:
    """Whether it is a participle by its ending, and not a surname that ends so."""
    return word.folded.endswith("ing") and len(word.folded) > 4 and word.folded not in SURNAMES


def _slips(
    found: Sequence[Word], mentions: Sequence[tuple[int, int]], people: Iterable[Person]
) -> list[_Run]:
    """Words that are nearly an enrolled name of two words or more, in any case."""
    taken = {at for first, last in mentions for at in range(first, last)}
    # Only names with the same initials are compared: a thousand names stay a millisecond.
    by_initials: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for name in {key(name) for person in people for name in person.names}:
        if len(name) > 1:
            by_initials.setdefault(tuple(word[0] for word in name), set()).add(name)
    runs = []
    for size in {len(initials) for initials in by_initials}:
        for at in range(len(found) - size + 1):
            said = tuple(word.folded for word in found[at : at + size])
            if taken & set(range(at, at + size)):
                continue
            close = by_initials.get(tuple(word[0] for word in said), set())
            if any(_ratio(said, name) >= _SO_NEAR for name in close):
                runs.append(_Run(at, at + size))
    return runs


def _lone(
    text: str,
    found: Sequence[Word],
    mentions: Sequence[tuple[int, int]],
    people: Iterable[Person],
    ranges: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """One capitalised word that stands as a person: known as a part of a name, or introduced."""
    if text == text.upper():
        return []
    taken = {at for first, last in mentions for at in range(first, last)}
    standing = [
        (at, word)
        for at, word in enumerate(found)
        if at not in taken
        and word.capitalised
        and len(word.folded) > 1
        and not any(a < word.end and word.start < b for a, b in ranges)
        and stands_as_person(text, found, at, at + 1)
    ]
    if not standing:
        return []
    parts = {word for person in people for name in person.names for word in key(name)}
    parts -= PARTICLES | TITLES | NO_PERSON | ORDINARY | NAMES_THAT_ARE_WORDS
    return [
        (word.start, word.end)
        for at, word in standing
        if word.folded in parts or _is_introduced(text, found, at, mentions)
    ]


def _is_introduced(
    text: str, found: Sequence[Word], at: int, mentions: Sequence[tuple[int, int]]
) -> bool:
    """Whether a word that may be a name stands where few places do.

    After "by", "with", "without", a minus, or joined to a name that is enrolled.
    """
    if not _may_be_name(found, at):
        return False
    before = found[at - 1].folded if at else ""
    after = found[at + 1].folded if at + 1 < len(found) else ""
    if before in INTRODUCES | grammar_words.DENIALS or is_denied(text, found[at]):
        return True
    left = before in grammar_words.JOINS_NAMES and any(
        last in (at - 1, at - 2) for _, last in mentions
    )
    right = after in grammar_words.JOINS_NAMES and any(first == at + 2 for first, _ in mentions)
    return left or right


def _may_be_name(found: Sequence[Word], at: int) -> bool:
    """Whether one word looks like a name and like no plural ("Frisbees") or acronym."""
    word = found[at]
    cased = word.capitalised and word.text[1:].islower() and not word.folded.endswith("s")
    return cased and len(word.text) > 2 and _may_be_person(found, _Run(at, at + 1))


def perhaps(text: str, found: Sequence[Word], mentions: Sequence[tuple[int, int]]) -> str:
    """The word that opens a question and may be a name, as in "Merkel speaking", or ""."""
    if not found or mentions or text == text.upper():
        return ""
    if _is_verb(found[0]) or not _may_be_name(found, 0):
        return ""
    return found[0].text if stands_as_person(text, found, 0, 1) else ""
