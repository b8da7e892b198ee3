"""The image side of a training run: what no gradient needs is computed once (torch).

Without visual prompts a picture's vector is a constant, with the head unlocked what the head is
given is one. Otherwise the pixels are read anew for each batch, in threads, ahead of their use.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cocopfs.dataset import load_image
from .errors import VidsearchError
from .model import IdCLIP
from .train_data import PhotoSet
from .train_ranks import Ranks

CHUNK = 32
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageSide:
    """The image tower in two stages: `once` pixels to what is constant, `vectors` that to [B, D].

    `constant` says that `once` does any work, `whole` that it does all.
    """

    constant: bool
    whole: bool
    once: Callable[[Tensor], Tensor]
    vectors: Callable[[Tensor], Tensor]


def image_side(model: IdCLIP) -> ImageSide:
    """Where the first gradient of a model's image side is."""
    visual = model.backbone.model.visual
    if model.prompts:
        return ImageSide(False, False, _as_it_is, model.encode_image)
    if model.head is not None:
        return ImageSide(True, False, visual.features, visual.head)
    return ImageSide(True, True, model.encode_image, _as_it_is)


def _as_it_is(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True, eq=False)
class Pictures:
    """What `ImageSide.vectors` is given, by row: from `table` [N, X] where it is constant."""

    model: IdCLIP
    photos: PhotoSet
    table: Tensor | None
    seconds: float = 0.0
    """What computing this process's part of the table took; 0 where it was kept from before."""

    def batches(self, rows: Sequence[Rows]) -> Iterator[Tensor]:
        """What belongs to each list of rows, made ready ahead of its use."""
        if self.table is not None:
            yield from (self.table[torch.from_numpy(some)] for some in rows)
            return
        threads = os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[Tensor]] = deque()
            try:
                for some in rows:
                    waiting.append(pool.submit(pixels, self.model, self.photos, some))
                    if len(waiting) > threads:
                        yield waiting.popleft().result().to(self.model.device, non_blocking=True)
                while waiting:
                    yield waiting.popleft().result().to(self.model.device, non_blocking=True)
            finally:
                for each in waiting:
                    each.cancel()


def pixels(model: IdCLIP, photos: PhotoSet, rows: Rows) -> Tensor:
    """Pictures as the image tower wants them [B, 3, H, W]; raises `UnreadableImage`."""
    found = model.backbone.pixels([load_image(photos.photos[row].sample) for row in rows])
    return found.pin_memory() if model.device.startswith("cuda") else found


def pictures(
    model: IdCLIP,
    side: ImageSide,
    photos: PhotoSet,
    file: Path,
    ranks: Ranks,
    show: Callable[[int, int], None],
) -> Pictures:
    """The pictures of a set, with what is constant in `file` (float32 [N, X], NumPy).

    `show` is told how many are done, of how many. Raises `VidsearchError` where the file cannot be
    written, and whatever `show` raises.
    """
    if not side.constant:
        return Pictures(model, photos, None)
    file = file.with_name(f"{file.stem}-{_key(model, photos)}.npy")
    stored = _stored(file, len(photos))
    if ranks.largest(int(stored is None), model.device) == 0 and stored is not None:
        return Pictures(model, photos, torch.from_numpy(stored).to(model.device))
    began = time.monotonic()
    mine = ranks.share(len(photos))
    rows = np.arange(mine.start, mine.stop)
    parts = [rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK)]
    found = []
    for at, read in enumerate(Pictures(model, photos, None).batches(parts)):
        half = model.device.startswith("cuda")
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=half):
            found.append(side.once(read).float())
        show(min(CHUNK * (at + 1), len(rows)), len(rows))
    table = ranks.whole(torch.cat(found), len(photos))
    seconds = time.monotonic() - began
    if ranks.first:
        _store(file, table)
    return Pictures(model, photos, table, seconds)


def _key(model: IdCLIP, photos: PhotoSet) -> str:
    """What the table depends on."""
    digest = hashlib.blake2b(digest_size=6)
    for part in (model.backbone.digest, str(model.head is not None), photos.fingerprint):
        digest.update(part.encode() + b"\0")
    for photo in photos.photos:
        digest.update(photo.sample.image.name.encode() + b"\0")
    return digest.hexdigest()


def _stored(file: Path, rows: int) -> NDArray[np.float32] | None:
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError):  # not there, or torn: it is made anew
        return None
    return found if found.dtype == np.float32 and len(found) == rows else None


def _store(file: Path, table: Tensor) -> None:
    part = file.with_name(f".{file.name}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.save(stream, table.cpu().numpy())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise VidsearchError(f"{file}: cannot be written: {error.strerror}; make room") from error
