"""What the frozen lower half of the image tower sees of every training picture, computed once.

The maps go to disk, one file a view, and are read from there by need: 69 kB a picture and view.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from idclip.onnx_session import open_session

from .data import Photos
from .towers import IMAGE_SIDE, MAP, ImageTower

VIEWS = 4

Maps = list[NDArray[np.float16]]


def lower_maps(
    tower: ImageTower,
    photos: Photos,
    folder: Path,
    *,
    seed: int,
    threads: int,
    say: Callable[[str], None],
) -> Maps:
    """Float16 [N, 120, 17, 17] of all photos in each of `VIEWS` views (`Photos.view`), on disk.

    Views that stand in `folder` whole are not computed again.
    """
    count = len(photos.captions)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        session = open_session(_as_onnx(tower, Path(scratch)), threads=threads)
        for number in range(VIEWS):
            file = folder / f"view-{number}.npy"
            if file.is_file():
                continue
            say(f"view {number + 1} of {VIEWS} of {count} pictures")
            unfinished = file.with_suffix(".part")
            maps = np.lib.format.open_memmap(unfinished, "w+", np.float16, (count, *MAP))
            done = 0
            for pixels in photos.view(number, seed):
                maps[done : done + len(pixels)] = session.run(None, {"pixels": pixels})[0]
                done += len(pixels)
            maps.flush()
            unfinished.rename(file)
    views = [np.load(folder / f"view-{number}.npy", mmap_mode="r") for number in range(VIEWS)]
    if any(len(view) != count for view in views):
        raise ValueError(f"{folder}: holds {len(views[0])} pictures, not {count}; remove it")
    return views


def as_input(maps: NDArray[np.float16]) -> Tensor:
    """Maps as the upper half takes them, float32."""
    return torch.from_numpy(maps.astype(np.float32))


class _Lower(nn.Module):
    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        return self.tower.lower(pixels).half()


def _as_onnx(tower: ImageTower, folder: Path) -> Path:
    """The lower half for onnxruntime: four times as fast as torch."""
    path = folder / "lower.onnx"
    with torch.no_grad():
        torch.onnx.export(
            _Lower(tower).eval(),
            (torch.zeros(2, IMAGE_SIDE, IMAGE_SIDE, 3, dtype=torch.uint8),),
            str(path),
            input_names=["pixels"],
            output_names=["maps"],
            dynamic_axes={"pixels": {0: "n"}, "maps": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    return path
