"""What the frozen towers see, computed once: pictures on onnxruntime, captions in torch."""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from idclip.onnx_session import open_session

from .network import unit
from .towers import CLASSES, IMAGE_FEATURES, IMAGE_SIDE, TEXT_DIM, ImageTower, TextTower, tokenize

VIEWS = ("whole", "mirrored")
BATCH = 16


@dataclass(frozen=True, eq=False)
class Seen:
    """Features [N, 1280] and logits [N, 1000] of N pictures in one view, float32."""

    features: Tensor
    logits: Tensor


def see(
    tower: ImageTower,
    pictures: Callable[[], Iterable[NDArray[np.uint8]]],
    count: int,
    *,
    threads: int,
    say: Callable[[str], None],
    cache: Path | None,
) -> list[Seen]:
    """`count` pictures in each of `VIEWS`, kept as files in `cache` where one is given.

    `pictures` starts a new pass over RGB uint8 [260, 260, 3].
    """
    views = []
    for view in VIEWS:
        kept = None if cache is None else cache / f"pictures-{view}.npz"
        if kept is None or not kept.is_file():
            found = _see(tower, pictures(), view, count, threads, say)
            if kept is not None:
                np.savez(kept, features=found[0], logits=found[1])
        else:
            stored = np.load(kept)
            found = stored["features"], stored["logits"]
        if len(found[0]) != count:
            raise ValueError(f"{kept}: holds {len(found[0])} pictures, not {count}; remove it")
        views.append(Seen(torch.from_numpy(found[0]), torch.from_numpy(found[1])))
    return views


def _see(
    tower: ImageTower,
    pictures: Iterable[NDArray[np.uint8]],
    view: str,
    count: int,
    threads: int,
    say: Callable[[str], None],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    features = np.empty((count, IMAGE_FEATURES), np.float32)
    logits = np.empty((count, CLASSES), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(_as_onnx(tower, Path(folder)), threads=threads)
        done = 0
        for batch in _batches(pictures):
            pixels = np.stack(batch)
            if view == "mirrored":
                pixels = np.ascontiguousarray(pixels[:, :, ::-1])
            part = slice(done, done + len(batch))
            features[part], logits[part] = session.run(None, {"pixels": pixels})
            done += len(batch)
            if done % (64 * BATCH) == 0:
                say(f"{view} pictures: {done} of {count}")
    return features, logits


def _batches(pictures: Iterable[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    rest = iter(pictures)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch


class _Both(nn.Module):
    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.tower(pixels)
        return features, self.tower.classifier(features)


def _as_onnx(tower: ImageTower, folder: Path) -> Path:
    """The tower with both outputs in full precision: four times as fast as torch."""
    path = folder / "tower.onnx"
    with torch.no_grad():
        torch.onnx.export(
            _Both(tower).eval(),
            (torch.zeros(2, IMAGE_SIDE, IMAGE_SIDE, 3, dtype=torch.uint8),),
            str(path),
            input_names=["pixels"],
            output_names=["features", "logits"],
            dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}, "logits": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    return path


@torch.no_grad()
def read(tower: TextTower, texts: Sequence[str], kept: Path | None = None) -> Tensor:
    """MiniLM's unit vectors [N, 384] of texts, kept in the file `kept` where one is given."""
    if kept is not None and kept.is_file():
        stored = torch.from_numpy(np.load(kept))
        if len(stored) != len(texts):
            raise ValueError(f"{kept}: holds {len(stored)} texts, not {len(texts)}; remove it")
        return stored
    vectors = torch.empty(len(texts), TEXT_DIM)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
    for start in range(0, len(order), 128):
        part = order[start : start + 128]
        vectors[part] = unit(tower(*tokenize([texts[i] for i in part])))
    if kept is not None:
        np.save(kept, vectors.numpy())
    return vectors
