"""What the towers say of pictures and captions, without training: vectors for the heads."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from idclip.onnx_session import open_session

from .data import Photos
from .maps import as_input
from .network import unit
from .towers import TEXT_DIM, ImageTower, TextTower, padded

CHUNK = 64


@dataclass(frozen=True, eq=False)
class Seen:
    """Features [N, 1280] and logits [N, 1000] of N pictures in one view, float32."""

    features: Tensor
    logits: Tensor

    def take(self, rows: Tensor) -> Seen:
        """What is said of these pictures."""
        return Seen(self.features[rows], self.logits[rows])


@torch.no_grad()
def look(tower: ImageTower, maps: NDArray[np.float16], rows: Tensor) -> Seen:
    """The pictures `rows` of one view's lower maps float16 [M, 120, 17, 17]."""
    features = torch.cat([tower.upper(as_input(maps[part.numpy()])) for part in rows.split(CHUNK)])
    return Seen(features, tower.classifier(features))


@torch.no_grad()
def look_again(
    file: Path, tower: ImageTower, photos: Photos, view: int, *, seed: int, threads: int
) -> Seen:
    """All pictures in one view, as the exported tower in `file` sees them: rounded to int8."""
    session = open_session(file, threads=threads)
    found = [session.run(None, {"pixels": pixels})[0] for pixels in photos.view(view, seed)]
    features = torch.from_numpy(np.concatenate(found))
    return Seen(features, tower.classifier(features))


@torch.no_grad()
def read(tower: TextTower, texts: Sequence[Tensor]) -> Tensor:
    """MiniLM's unit vectors [N, 384] of texts, each given as token ids [T]."""
    vectors = torch.empty(len(texts), TEXT_DIM)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        vectors[part] = unit(tower(*padded([texts[i] for i in part])))
    return vectors
