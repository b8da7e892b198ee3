"""Words of a text, and names compared as people compare them: without case, accents, hyphens.

A text is cut into words that remember where they stood. Scripts written without spaces (Han,
Hiragana, Thai, Lao, Khmer, Burmese) and Hangul, whose particles are glued to the noun, are cut
into single characters, so that a name is found in the middle of a run of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

# Letters that Unicode does not decompose but that people without that keyboard type plainly.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"})
_PLAIN.update(str.maketrans({"ı": "i", "ħ": "h", "ŧ": "t"}))

_ONE_BY_ONE = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1100, 0x11FF),  # Hangul, as its parts
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, zero
    (0x3040, 0x309F),  # Hiragana
    (0x3400, 0x9FFF),  # Han
    (0xAC00, 0xD7AF),  # Hangul
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, extensions
)
_JOINERS = "\u200c\u200d"  # zero width, inside Persian and Indic words


@dataclass(frozen=True)
class Word:
    """A word at `text[start:end]`, with the form in which it is compared."""

    text: str
    folded: str
    start: int
    end: int

    @property
    def capitalised(self) -> bool:
        """Whether it begins with an upper-case or title-case letter."""
        return self.text[0].isupper() or unicodedata.category(self.text[0]) == "Lt"


def normal(text: str) -> str:
    """`text` in Unicode's composed form (NFC), with single spaces and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def fold(word: str) -> str:
    """The form in which a word is compared: no case, no accents, no compatibility forms."""
    decomposed = unicodedata.normalize("NFKD", word).casefold()
    decomposed = unicodedata.normalize("NFKD", decomposed)
    return "".join(c for c in decomposed if not _is_accent(c)).translate(_PLAIN)


def words(text: str) -> tuple[Word, ...]:
    """The words of `text`: runs of letters, marks and digits; all else only separates them."""
    return tuple(
        Word(text[start:end], folded, start, end)
        for start, end in _spans(text)
        if (folded := fold(text[start:end]))
    )


@lru_cache(maxsize=1 << 16)  # every question compares all enrolled names
def key(name: str) -> tuple[str, ...]:
    """What two spellings of one name share: the folded words."""
    return tuple(word.folded for word in words(name))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start, previous = 0, ""
    for at, char in enumerate(text):
        if previous and (unicodedata.category(char)[0] == "M" or char in _JOINERS):
            continue  # a mark belongs to the letter it stands on
        kind = _kind(char)
        if kind != previous or kind == "single":
            if previous:
                yield start, at
            start = at
        previous = kind
    if previous:
        yield start, len(text)


def _kind(char: str) -> str:
    """ "letter" and "katakana" join their like, "single" is a word of its own, "" separates.

    Katakana is told from its neighbours because names from abroad are written in it, inside
    sentences of other scripts.
    """
    if unicodedata.category(char)[0] not in "LN":
        return ""
    code = ord(char)
    if any(low <= code <= high for low, high in _ONE_BY_ONE):
        return "single"
    return "katakana" if 0x30A0 <= code <= 0x30FF or 0xFF66 <= code <= 0xFF9F else "letter"


def _is_accent(char: str) -> bool:
    """Whether a character is an accent to be dropped, by its canonical combining class.

    Vowel signs, nuktas and viramas of Indic scripts, kana voicing marks (classes 0, 7, 8, 9) and
    South-East Asian vowels (103 to 132) tell words apart and stay; Latin, Greek and Cyrillic
    accents (1, 200 and up) and Hebrew and Arabic points (10 to 36) go.
    """
    combining = unicodedata.combining(char)
    return combining == 1 or 10 <= combining <= 36 or combining >= 200
