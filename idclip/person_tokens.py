"""Where a person's token embeddings go in a tokenized text (numpy alone; shared with ONNX).

A text holds the mark `[TOK]` wherever a person is meant. Tokenizers split that mark in their own
ways, or drop its brackets, so it is never shown to them: each mark becomes a word that this
tokenizer is known to make one token of. It does so twice, with two such words; where the ids
differ, and nowhere else, a person stands. So no word of the text can be taken for a mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import VidsearchError
from .prompts import TOK

Ids = NDArray[np.int64]
Tokenize = Callable[[Sequence[str], int], Ids]
"""Texts and a length to ids int64 [N, length], cut off and padded as the text tower wants it."""

# Words that one vocabulary or another has as one token, alone, beside others and at either end.
_STAND_INS = ("*", "x", "q", "z", "k", "w", "dog", "cat", "house")


class TextTooLong(VidsearchError):
    """A text names more people than the text tower has places for."""


@dataclass(frozen=True, eq=False)
class PersonTokens:
    """Texts as a text tower reads them.

    `ids` int64 [N, L]; `slots` int64 [N, L] says which learned vector replaces a token's own
    embedding: 0 none, 1 to P the text prompts, P + 1 + q * T + j the j-th of the T tokens of the
    q-th mark. Marks are counted over all texts, in order.
    """

    ids: Ids
    slots: Ids


class PersonTokenizer:
    """Texts with marks to `PersonTokens`.

    `tokens` T is the number of tokens a person takes, `prompts` P that of learned vectors put
    before the first word. Texts are cut at the end as the tokenizer does it, but a mark never is:
    words give way to it. With `any_length` L is that of the longest text, for a text tower that
    needs no more; else it is `context_length`. Raises `VidsearchError` for a tokenizer in which no
    word stands alone.
    """

    def __init__(
        self,
        tokenize: Tokenize,
        context_length: int,
        *,
        tokens: int = 1,
        prompts: int = 0,
        any_length: bool = False,
    ) -> None:
        self.context_length = context_length
        self.tokens, self.prompts = tokens, prompts
        self._length = context_length - prompts
        if self._length < 4:
            raise VidsearchError(f"{prompts} text prompts leave no room in {context_length} tokens")
        self._tokenize = tokenize
        self._first, self._second = self._stand_ins()
        # CLIP and BERT begin each text with a token of their own, SigLIP does not.
        starts = self._read(["dog house", "cat house"])[:, 0]
        self._after_start = int(starts[0] == starts[1])
        self._padding = int(self._read([""])[0, -1]) if any_length else None

    @property
    def stand_in(self) -> str:
        """The word that stands for a person's token while a text is tokenized."""
        return self._first[0]

    def __call__(self, texts: Sequence[str]) -> PersonTokens:
        """Tokenize. Raises `TextTooLong` where a text has more marks than there is room for."""
        if not texts:
            empty = np.zeros((0, self.context_length), np.int64)
            return PersonTokens(empty, empty)
        ids, marked = self._marked(texts)
        wanted = np.array([text.count(TOK) * self.tokens for text in texts])
        for row in np.flatnonzero(marked.sum(axis=1) < wanted).tolist():
            shorter = self._shortened(texts[row], int(wanted[row]))
            new_ids, new_marked = self._marked([shorter])
            ids[row], marked[row] = new_ids[0], new_marked[0]
        slots = np.zeros_like(ids)
        slots[marked] = self.prompts + 1 + np.arange(marked.sum())  # row by row, left to right
        return self._cut(*self._with_prompts(ids, slots))

    def _marked(self, texts: Sequence[str]) -> tuple[Ids, NDArray[np.bool_]]:
        """Ids with a stand-in for each token of a person, and where these are."""
        (word, token), (other, other_token) = self._first, self._second
        ids = self._read([self._written(text, word) for text in texts])
        if not any(TOK in text for text in texts):
            return ids, np.zeros(ids.shape, bool)
        again = self._read([self._written(text, other) for text in texts])
        return ids, (ids == token) & (again == other_token)

    def _written(self, text: str, word: str) -> str:
        if TOK not in text:
            return text
        person = f" {' '.join([word] * self.tokens)} "
        return re.sub(r"\s+", " ", text.replace(TOK, person)).strip()

    def _shortened(self, text: str, wanted: int) -> str:
        """The text without as many words, from its end, as it takes for all marks to fit."""
        pieces = re.findall(rf"{re.escape(TOK)}|(?:(?!{re.escape(TOK)})\S)+", text)
        words = [at for at, piece in enumerate(pieces) if piece != TOK]

        def without(n: int) -> str:
            dropped = set(words[len(words) - n :])
            return " ".join(piece for at, piece in enumerate(pieces) if at not in dropped)

        def fits(n: int) -> bool:
            return int(self._marked([without(n)])[1].sum()) == wanted

        if not fits(len(words)):
            raise TextTooLong(
                f'"{text[:60]}" names {text.count(TOK)} people, more than fit into the '
                f"{self._length} tokens of this text tower"
            )
        too_few, enough = 0, len(words)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            too_few, enough = (too_few, middle) if fits(middle) else (middle, enough)
        return without(enough)

    def _with_prompts(self, ids: Ids, slots: Ids) -> tuple[Ids, Ids]:
        """Places for the text prompts, after the token that begins a text."""
        if not self.prompts:
            return ids, slots
        at = self._after_start
        shape = len(ids), self.prompts
        places = np.broadcast_to(1 + np.arange(self.prompts), shape)
        filler = np.full(shape, self._first[1], np.int64)
        return (
            np.concatenate([ids[:, :at], filler, ids[:, at:]], axis=1),
            np.concatenate([slots[:, :at], places, slots[:, at:]], axis=1),
        )

    def _cut(self, ids: Ids, slots: Ids) -> PersonTokens:
        """Without the padding that all texts have, where the text tower can do without."""
        if self._padding is None:
            return PersonTokens(ids, slots)
        used = np.flatnonzero((ids != self._padding).any(axis=0))
        longest = int(used[-1]) + 1 if len(used) else 1
        return PersonTokens(ids[:, :longest], slots[:, :longest])

    def _stand_ins(self) -> list[tuple[str, int]]:
        """Two words, with their ids, that this tokenizer makes one token of wherever they stand."""
        found: list[tuple[str, int]] = []
        for word in _STAND_INS:
            token = self._alone(word)
            if token is not None:
                found.append((word, token))
            if len(found) == 2:
                return found
        raise VidsearchError(
            "this tokenizer makes one token of none of "
            f"{', '.join(_STAND_INS)}: a person cannot be put into its texts"
        )

    def _alone(self, word: str) -> int | None:
        """The id of a word where it is one token, at the beginning, amid and at the end."""
        places = (f"red {word} sun", f"{word} {word} sun", f"red sun {word}", f"( {word} ) sun")
        rows = self._read([*places, "red sun"])
        common = set(rows[0]) & set(rows[1]) & set(rows[2]) & set(rows[3]) - set(rows[4])
        if len(common) != 1:
            return None
        (token,) = common
        counts = [int((row == token).sum()) for row in rows[:3]]
        # "red * sun" without the stand-in must be "red sun": nothing else came with it.
        rest = rows[0][rows[0] != token]
        alone = counts == [1, 2, 1] and np.array_equal(rest, rows[4][: len(rest)])
        return int(token) if alone else None

    def _read(self, texts: Sequence[str]) -> Ids:
        return np.asarray(self._tokenize(list(texts), self._length), np.int64)


def flat_people(
    texts: Sequence[str],
    people: Sequence[NDArray[np.float32]],
    face_dim: int,
    face_model: str,
) -> NDArray[np.float32]:
    """The vectors of the people of all texts, in the order of their marks: float32 [Q, F].

    `people[i]` [M, F] are those of text i. Raises `VidsearchError` where marks and vectors do not
    match, or vectors have another length than `face_dim`, that of `face_model`.
    """
    for text, vectors in zip(texts, people, strict=True):
        if text.count(TOK) != len(vectors):
            raise VidsearchError(
                f'"{text[:60]}" has {text.count(TOK)} marks for {len(vectors)} people'
            )
        if len(vectors) and vectors.shape[1] != face_dim:
            raise VidsearchError(
                f"face vectors of {vectors.shape[1]} values; this model was made for {face_dim}, "
                f"those of the face model {face_model}"
            )
    return np.concatenate([*people, np.zeros((0, face_dim))]).astype(np.float32)
