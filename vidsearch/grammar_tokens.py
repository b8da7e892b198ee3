"""A question cut into names, words, quoted phrases, brackets and operators.

What decides here is which of its small words are operators (`vidsearch.grammar_words`) and which
brackets are more than punctuation: those that hold or touch a name or an operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vidsearch import unknown_words
from vidsearch.errors import InvalidQuery
from vidsearch.grammar_words import CAPITAL, COMMAS, LONGEST, SIGNS, SMALL, Operator
from vidsearch.mentions import Mention, Spans
from vidsearch.names import Word

Kind = Literal["name", "word", "quote", "open", "close", "comma", "and", "or", "not", "lead"]
OPERATORS = ("and", "or", "not")
_OPEN, _CLOSE = "(（", ")）"
_QUOTES = '"“”„«»'
_MINUS = "-−"
_DEEPEST = 40  # brackets within brackets
# A list of people, by the letters of `_letters`.
_PEOPLE = re.compile(r"l*x*l*n(?:[ao]l*x*l*n|x+l*n)*")
_SLASHED = frozenset([("and", "or"), ("und", "oder"), ("et", "ou"), ("e", "o"), ("y", "o")])
_SHOUTED = 3  # so many words, all in capitals, and capital AND, OR, NOT mean what small ones do


@dataclass(frozen=True, eq=False)
class Token:
    """A piece `text[start:end]` of a question.

    `mention` is who a name names, quotes around it and titles before it being a part of it;
    `mentions` are the names inside a quote that says more. `capital` operators (and minus) bind
    as written, the small ones as English does. `tight` denials take the next word alone (minus),
    `wide` ones a whole list; `again` ones go on with a list after a name. `people` tells an opening
    bracket that holds names only.
    """

    kind: Kind
    start: int
    end: int
    mention: Mention | None = None
    mentions: tuple[Mention, ...] = ()
    capital: bool = False
    tight: bool = False
    wide: bool = False
    beside: bool = False
    again: bool = False
    people: bool = False


def quoted(text: str) -> list[tuple[int, int]]:
    """The stretches in double quotes of any country, quotes included.

    Raises `InvalidQuery` for a quote that is never closed.
    """
    marks = [at for at, char in enumerate(text) if char in _QUOTES]
    if len(marks) % 2:
        raise InvalidQuery(
            f"The quote at {place(text, marks[-1])} is never closed: write another or none"
        )
    return [(first, last + 1) for first, last in zip(marks[::2], marks[1::2], strict=True)]


def place(text: str, at: int) -> str:
    """Where something stands, for a message."""
    rest = text[at : at + 20]
    return f"character {at + 1} ({rest}{'...' if at + 20 < len(text) else ''})"


def cut(
    text: str, found: Sequence[Word], mentions: Sequence[Mention], quotes: Spans
) -> tuple[list[Token], tuple[int, ...]]:
    """The tokens of a question, in order, and where it has brackets that are only punctuation.

    `found` are the words of `text`, `mentions` who they name and `quotes` its quoted stretches.
    Raises `InvalidQuery` for brackets that do not match.
    """
    whole = [
        *_names(text, found, mentions, quotes),
        *_phrases(text, found, mentions, quotes),
    ]
    whole.sort(key=lambda token: token.start)
    tokens = sorted((*whole, *_rest(text, found, whole)), key=lambda token: token.start)
    tokens = _commas(_small_words(tokens))
    return _brackets(text, tokens)


# --- names and quotes ----------------------------------------------------------------------------


def _names(
    text: str, found: Sequence[Word], mentions: Sequence[Mention], quotes: Spans
) -> Iterator[Token]:
    for mention in mentions:
        start, end = found[mention.first].start, found[mention.last - 1].end
        around = next((span for span in quotes if span[0] <= start < span[1]), None)
        if around is None:
            yield Token("name", _with_titles(found, text, mention.first, quotes), end, mention)
        elif _inside(found, around) == list(range(mention.first, mention.last)):
            yield Token("name", *around, mention)


def _with_titles(found: Sequence[Word], text: str, first: int, quotes: Spans) -> int:
    """Where a name begins with its titles and the article before them: "the President Obama"."""
    at = first
    while at and found[at - 1].folded in unknown_words.TITLES and _next_to(text, found, at):
        at -= 1
    if at and found[at - 1].folded in ("the", "a", "an") and _next_to(text, found, at):
        at -= 1
    return found[at].start


def _next_to(text: str, found: Sequence[Word], at: int) -> bool:
    return text[found[at - 1].end : found[at].start].strip() in ("", ".")


def _phrases(
    text: str, found: Sequence[Word], mentions: Sequence[Mention], quotes: Spans
) -> Iterator[Token]:
    """The quoted phrases that are no names; empty quotes are left out as punctuation."""
    for span in quotes:
        inside = _inside(found, span)
        held = tuple(m for m in mentions if m.first in inside)
        named = any(list(range(m.first, m.last)) == inside for m in held)
        # Quotes within a name ('Dwayne "The Rock" Johnson') belong to it.
        within = any(
            found[m.first].start < span[0] and span[1] <= found[m.last - 1].end for m in mentions
        )
        if (inside or "{" in text[slice(*span)]) and not named and not within:
            yield Token("quote", *span, mentions=held)


def _inside(found: Sequence[Word], span: tuple[int, int]) -> list[int]:
    return [at for at, word in enumerate(found) if span[0] < word.start < span[1]]


# --- everything else -----------------------------------------------------------------------------


def _rest(text: str, found: Sequence[Word], whole: Sequence[Token]) -> Iterator[Token]:
    """Words, operators, brackets and commas outside of names and quotes."""
    taken = bytearray(len(text))
    for token in whole:
        taken[token.start : token.end] = b"\x01" * (token.end - token.start)
    free = [word for word in found if not taken[word.start]]
    yield from _words(text, free)
    starts = {token.start for token in whole} | {word.start for word in free}
    for at, char in enumerate(text):
        if taken[at]:
            continue
        if char in _OPEN:
            yield Token("open", at, at + 1)
        elif char in _CLOSE:
            yield Token("close", at, at + 1)
        elif char in COMMAS:
            yield Token("comma", at, at + 1)
        elif char in SIGNS:
            yield _operator(SIGNS[char], at, at + 1)
        elif char in _MINUS and _is_denial(text, at, starts):
            yield Token("not", at, at + 1, capital=True, tight=True)


def _is_denial(text: str, at: int, starts: set[int]) -> bool:
    """Whether a minus stands before a name, a phrase, a bracket or a word, and after none."""
    after = text[at + 1 : at + 2]
    denies = (at + 1 in starts or after in ("(", "（")) and not after.isdigit()
    return denies and bool(after) and text[at - 1 : at] in ("", " ", "(", "（")


def _words(text: str, free: Sequence[Word]) -> Iterator[Token]:
    loud = [w for w in free if w.text.isupper() and w.text not in CAPITAL]
    shouted = len(loud) >= _SHOUTED and not any(w.text != w.text.upper() for w in free)
    at = 0
    while at < len(free):
        word = free[at]
        if _is_slashed(text, free, at):
            at += 1  # "and/or": the or is what counts
            continue
        if word.text in CAPITAL and not shouted:
            yield _operator(CAPITAL[word.text], word.start, word.end, capital=True)
            at += 1
            continue
        size, operator = _phrase_at(text, free, at, shouted)
        if operator is None:
            yield Token("word", word.start, word.end)
        else:
            yield _operator(operator, word.start, free[at + size - 1].end)
        at += size


def _is_slashed(text: str, free: Sequence[Word], at: int) -> bool:
    if at + 1 == len(free) or text[free[at].end : free[at + 1].start] != "/":
        return False
    return (free[at].folded, free[at + 1].folded) in _SLASHED


def _phrase_at(
    text: str, free: Sequence[Word], at: int, shouted: bool
) -> tuple[int, Operator | None]:
    """The longest small operator at a place, and of how many words it is."""
    words: list[str] = []
    best: tuple[int, Operator | None] = (1, None)
    for size in range(1, min(LONGEST, len(free) - at) + 1):
        word = free[at + size - 1]
        if size > 1 and text[free[at + size - 2].end : word.start] != " ":
            break
        if word.text in CAPITAL and not shouted:
            break
        words.append(word.folded)
        if tuple(words) in SMALL:
            best = (size, SMALL[tuple(words)])
    return best


def _operator(operator: Operator, start: int, end: int, *, capital: bool = False) -> Token:
    return Token(
        operator.kind,
        start,
        end,
        capital=capital,
        wide=operator.wide and not capital,
        beside=operator.beside and not capital,
        again=operator.again,
    )


# --- which small words count ---------------------------------------------------------------------


def _small_words(tokens: list[Token]) -> list[Token]:
    """Small operators that join or precede nobody become words; right to left, as they depend."""
    done = list(tokens)
    for at in range(len(done) - 1, -1, -1):
        token = done[at]
        if token.kind not in (*OPERATORS, "lead") or token.capital:
            continue
        left = next((t for t in reversed(done[:at]) if t.kind != "comma"), None)
        right = next((t for t in done[at + 1 :] if t.kind not in ("comma", "lead")), None)
        done[at] = _counted(token, left, right)
    return done


def _counted(token: Token, left: Token | None, right: Token | None) -> Token:
    before_name = right is not None and right.kind == "name"
    before_people = before_name or (right is not None and right.kind in ("open", "quote"))
    after_people = left is not None and left.kind in ("name", "close", "quote")
    between = before_people and after_people
    if token.kind == "lead":
        counts = before_name or (right is not None and right.kind == "open")
    elif token.kind == "not":
        counts = before_name if token.beside else before_people
        if counts and token.again and after_people:
            return replace(token, kind="or")
    elif token.kind == "and" or token.beside:
        counts = between or (
            token.kind == "and" and after_people and right is not None and right.kind == "not"
        )
    else:
        denied = right is not None and right.kind == "not" and after_people
        counts = before_name or between or denied
        if left is None and counts:
            return replace(token, kind="word")
        if right is None and left is not None and left.kind == "name":
            return token  # a name and nothing after: told as a fault
    return token if counts else replace(token, kind="word")


def _commas(tokens: list[Token]) -> list[Token]:
    """Commas between names join as the next operator of their list does; others go."""
    done: list[Token] = []
    for at, token in enumerate(tokens):
        if token.kind != "comma":
            done.append(token)
            continue
        left = tokens[at - 1] if at else None
        right = tokens[at + 1] if at + 1 < len(tokens) else None
        if (
            left is not None
            and right is not None
            and left.kind in ("name", "close")
            and right.kind in ("name", "open", "lead")
        ):
            done.append(replace(token, kind=_joins_as(tokens[at + 1 :])))
    return done


def _joins_as(after: Sequence[Token]) -> Literal["and", "or"]:
    depth = 0
    for token in after:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth < 0:
            break
        if not depth and token.kind == "or":
            return "or"
        if not depth and token.kind not in ("name", "comma", "close", "lead"):
            break
    return "and"


# --- brackets ------------------------------------------------------------------------------------


def _brackets(text: str, tokens: list[Token]) -> tuple[list[Token], tuple[int, ...]]:
    """The tokens without brackets that are only punctuation, and where those stand."""
    pairs = _pairs(text, tokens)
    dropped: set[int] = set()
    people: set[int] = set()
    for first, last in pairs.items():  # inner ones come first
        inside = [
            t for at, t in enumerate(tokens[first + 1 : last], first + 1) if at not in dropped
        ]
        around = [*tokens[max(first - 1, 0) : first], *tokens[last + 1 : last + 2]]
        telling = any(t.kind not in ("word", "comma") for t in inside)
        if last == first + 1:
            raise InvalidQuery(f"The brackets at {place(text, tokens[first].start)} hold nothing")
        joined = bool(inside) and inside[0].kind in ("and", "or")  # "Anna (or Marco) in a car"
        touched = telling or any(t.kind in OPERATORS for t in around)
        if joined or not touched:
            dropped |= {first, last}
        elif _PEOPLE.fullmatch(_letters(tokens, first + 1, last, dropped, people, pairs)):
            people.add(first)
    kept = [
        replace(token, people=at in people) for at, token in enumerate(tokens) if at not in dropped
    ]
    return kept, tuple(tokens[at].start for at in sorted(dropped))


def _letters(
    tokens: Sequence[Token],
    first: int,
    last: int,
    dropped: set[int],
    people: set[int],
    pairs: Mapping[int, int],
) -> str:
    """The kinds of some tokens, a letter each; brackets that hold people only are one person."""
    letters = ""
    at = first
    while at < last:
        if at in people:
            letters, at = letters + "n", pairs[at]
        elif at not in dropped:
            letters += {"name": "n", "lead": "l", "not": "x", "and": "a", "or": "o"}.get(
                tokens[at].kind, "?"
            )
        at += 1
    return letters


def _pairs(text: str, tokens: Sequence[Token]) -> Mapping[int, int]:
    pairs: dict[int, int] = {}
    open_at: list[int] = []
    for at, token in enumerate(tokens):
        if token.kind == "open":
            open_at.append(at)
            if len(open_at) > _DEEPEST:
                raise InvalidQuery(
                    f"Brackets lie more than {_DEEPEST} deep at {place(text, token.start)}"
                )
        elif token.kind == "close":
            if not open_at:
                raise InvalidQuery(f"The bracket at {place(text, token.start)} was never opened")
            pairs[open_at.pop()] = at
    if open_at:
        start = tokens[open_at[-1]].start
        raise InvalidQuery(f"The bracket at {place(text, start)} is never closed")
    return pairs
