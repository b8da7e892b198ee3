"""CLIP's byte-pair tokenizer as a Hugging Face `tokenizers` object, and CLIP's text cleaning.

The tokenizer carries its own start, end, cut and padding, so that `tokenizer.json` alone gives
the ids that `open_clip.get_tokenizer` gives (a test compares them).
"""

from __future__ import annotations

import gzip
import html
import string
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

START, END = "<start_of_text>", "<end_of_text>"
_N_MERGES = 49152 - 256 - 2  # as OpenAI cut the list: 49,408 tokens with bytes and marks
_WORDS = rf"{START}|{END}|(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"
# What ftfy.fix_text does to ordinary text, which open_clip applies first: curly quotes made
# straight, ligatures and full-width letters made plain. Mojibake is not repaired here.
_PLAIN = {
    **dict.fromkeys(map(ord, "\u02bc\u2018\u2019\u201b"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201f"), '"'),
    **{ord(a): unicodedata.normalize("NFKC", a) for a in "ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆ"},
    **{code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFFF0)},
    0x3000: " ",
}


def clip_tokenizer(vocabulary: Path, context_length: int = 77) -> Tokenizer:
    """CLIP's tokenizer from its gzipped list of merges (`bpe_simple_vocab_16e6.txt.gz`).

    Encoded texts are exactly `context_length` ids long: start, tokens, end, zeros.
    """
    from tokenizers import AddedToken, Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.normalizers import NFC, Lowercase, Sequence
    from tokenizers.pre_tokenizers import ByteLevel, Split
    from tokenizers.pre_tokenizers import Sequence as PreTokenizers
    from tokenizers.processors import TemplateProcessing

    lines = gzip.decompress(vocabulary.read_bytes()).decode("utf-8").split("\n")
    merges = [(a, b) for a, b in (line.split() for line in lines[1 : _N_MERGES + 1])]
    letters = _byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges)]
    tokens += [START, END]
    tokenizer = Tokenizer(
        BPE(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=merges,
            end_of_word_suffix="</w>",
            continuing_subword_prefix="",
            unk_token=END,
        )
    )
    tokenizer.normalizer = Sequence([NFC(), Lowercase()])
    tokenizer.pre_tokenizer = PreTokenizers(
        [Split(Regex(_WORDS), "removed", invert=True), ByteLevel(False, use_regex=False)]
    )
    marks = [(START, tokens.index(START)), (END, tokens.index(END))]
    tokenizer.add_special_tokens([AddedToken(mark, normalized=True) for mark, _ in marks])
    tokenizer.post_processor = TemplateProcessing(f"{START} $A {END}", None, marks)
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding(length=context_length, pad_id=0, pad_token=tokens[0])
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], clean: str) -> NDArray[np.int64]:
    """The ids of texts, int64 [N, context length], after open_clip's cleaning.

    `clean` is open_clip's word for it: "lower", "whitespace" or "canonicalize" (big_vision's:
    punctuation dropped too), or "none" for texts that are read as they are.
    """
    if clean == "none":
        return np.array([found.ids for found in tokenizer.encode_batch(list(texts))], np.int64)
    cleaned = [_CLEAN[clean](_basic(text)) for text in texts]
    return np.array([found.ids for found in tokenizer.encode_batch(cleaned)], dtype=np.int64)


def _basic(text: str) -> str:
    text = unicodedata.normalize("NFC", text.translate(_PLAIN))
    return html.unescape(html.unescape(text)).strip()


def _whitespace(text: str) -> str:
    return " ".join(text.split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonicalize(text: str) -> str:
    plain = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return _lower(plain)


_CLEAN = {"lower": _lower, "whitespace": _whitespace, "canonicalize": _canonicalize}


def _byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes in GPT-2's and CLIP's vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(rest))]
