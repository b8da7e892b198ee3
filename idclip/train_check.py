"""Validation while an Id-CLIP is trained: does a text with [TOK] find its picture? (torch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from .metrics import ranks as ranks_of
from .metrics import recall
from .model import IdCLIP
from .train_data import Question
from .train_features import ImageSide, Pictures
from .train_ranks import Ranks

KS = (1, 5, 10)
SUM = "sum of R@1, R@5, R@10"
AT_ONCE = 128  # pictures or texts that go through a tower


def recalls(
    model: IdCLIP, side: ImageSide, pictures: Pictures, asked: Sequence[Question], ranks: Ranks
) -> dict[str, float]:
    """Text-to-image recall at `KS`, and their sum, as fractions; each process does its share."""
    rows = np.array([question.row for question in asked])
    images = _images(side, pictures, ranks)
    rank = ranks_of(images, _texts(model, asked, ranks), rows).text
    found = {f"R@{k}": float(recall(rank, k).mean()) for k in KS}
    return {**found, SUM: sum(found.values())}


def _images(side: ImageSide, pictures: Pictures, ranks: Ranks) -> NDArray[np.float32]:
    count = len(pictures.photos)
    mine = ranks.share(count)
    parts = [
        np.arange(at, min(at + AT_ONCE, mine.stop)) for at in range(mine.start, mine.stop, AT_ONCE)
    ]
    found = torch.cat([side.vectors(read).float() for read in pictures.batches(parts)])
    vectors: NDArray[np.float32] = ranks.whole(found, count).cpu().numpy()
    return vectors


def _texts(model: IdCLIP, asked: Sequence[Question], ranks: Ranks) -> NDArray[np.float32]:
    # Texts of a length go together: where padding can be cut off, there is less of it.
    by_length = sorted(range(len(asked)), key=lambda at: len(asked[at].text))
    own = by_length[ranks.share(len(asked))]
    found = []
    for at in range(0, len(own), AT_ONCE):
        some = [asked[number] for number in own[at : at + AT_ONCE]]
        texts, faces = [one.text for one in some], [one.face[None] for one in some]
        found.append(model.encode_text(*model.read(texts, faces)).float())
    in_order = ranks.whole(torch.cat(found), len(asked)).cpu().numpy()
    vectors: NDArray[np.float32] = np.empty_like(in_order)
    vectors[by_length] = in_order
    return vectors
