"""Pictures to vectors at the pace of a GPU: while it embeds, the next pictures come (torch).

The host shrinks the pictures of a batch in threads, into pinned memory; a stream of its own copies
them, as uint8; they become numbers of the network's range on the GPU. All of it happens while the
batch before is embedded, and there are two buffers to do it in. On the CPU the same code runs, and
what is said of streams does nothing there.

    stream = ImageStream(model.encode_image, preprocess, device="cuda", batch=128)
    for vectors in stream(frames): ...

`python -m benchmarks.gpu_embed` measures it against the bare network.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.backends import cudnn
from torch.nn import functional

BATCH_CPU, BATCH_GPU = 32, 128
_WORKERS_GPU = 16  # PIL shrinks a frame of 720p in some 5 ms: more threads feed the faster networks


class ImageStream:
    """Takes any number of pictures and gives their unit vectors, in order, batch by batch.

    `encode` takes pixels float32 [B, 3, H, W] on `device` to vectors [B, D] of any length; it runs
    without gradients, and on a GPU under bfloat16, with `exact` in float32. `preprocess` is
    open_clip's way to prepare a PIL image. `batch` B is 32 on the CPU and 128 on a GPU where not
    given, `workers` the threads that prepare pictures, one on the CPU. `compiled` hands the work to
    `torch.compile`: it takes a minute at the first batch, and then each batch is computed whole,
    the last one too.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        preprocess: Any,
        *,
        device: str = "cpu",
        batch: int | None = None,
        workers: int | None = None,
        compiled: bool = False,
        exact: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self._on_gpu = on_gpu = self.device.type == "cuda"
        self.batch = batch or (BATCH_GPU if on_gpu else BATCH_CPU)
        self.workers = workers or (min(_WORKERS_GPU, os.cpu_count() or 1) if on_gpu else 1)
        self._encode = encode
        self._prepare, self._finish = _in_two(preprocess, self.device)
        self._whole = compiled
        self._exact = exact
        self._embed = torch.compile(self._unit, dynamic=False) if compiled else self._unit
        self._queues = torch.cuda if on_gpu else torch.cpu
        self._copies = torch.cuda.Stream(self.device) if on_gpu else torch.cpu.Stream()

    def __call__(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """RGB pictures [H, W, 3] of any sizes to float32 [n, D], n up to the batch, at a time.

        At most two batches of pictures are taken before the vectors of the first are given.
        """
        slots = itertools.cycle([_Slot(self._queues), _Slot(self._queues)])
        before: _Slot | None = None
        pictures = iter(images)
        with ThreadPoolExecutor(self.workers) as pool:
            while part := list(itertools.islice(pictures, self.batch)):
                # Its vectors were taken before the last batch went off: nothing uses it any more.
                slot = next(slots)
                self._fill(slot, part, pool)
                self._launch(slot)
                if before is not None:
                    yield before.take()
                before = slot
        if before is not None:
            yield before.take()

    def embed(self, prepared: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
        """Pictures that were shrunk elsewhere, uint8 [N, h, w, 3], to float32 [n, D] at a time.

        `h` and `w` are what `preprocess` makes; see `idclip.preparation`.
        """
        for start in range(0, len(prepared), self.batch):
            part = torch.from_numpy(np.ascontiguousarray(prepared[start : start + self.batch]))
            if self._on_gpu:
                part = part.pin_memory()
            with without_gradients(self.device, exact=self._exact):
                found = self._unit(part.to(self.device, non_blocking=True))
            yield found.cpu().numpy()

    def _fill(self, slot: _Slot, part: list[NDArray[np.uint8]], pool: ThreadPoolExecutor) -> None:
        """Pictures, prepared, into the host's side of a slot."""
        if slot.host is None:
            rows = self.batch if self._whole else len(part)
            self._make_room(slot, rows, self._prepare(part[0]))

        def put(row: int) -> None:
            slot.host[row] = self._prepare(part[row])

        for _ in pool.map(put, range(len(part))):
            pass  # raises what a thread has raised
        slot.count = len(part)

    def _make_room(self, slot: _Slot, rows: int, like: Tensor) -> None:
        shape = (rows, *like.shape)
        slot.host = torch.zeros(shape, dtype=like.dtype, pin_memory=self._on_gpu)
        # On the queue that writes it, or the memory could still be in use on the other one.
        with self._queues.stream(self._copies):
            slot.there = torch.empty_like(slot.host, device=self.device)

    def _launch(self, slot: _Slot) -> None:
        """Have a slot copied and embedded; returns at once on a GPU."""
        compute = self._queues.current_stream(self.device)
        with self._queues.stream(self._copies):
            slot.there.copy_(slot.host, non_blocking=self._on_gpu)
            slot.copied.record(self._copies)
        slot.copied.wait(compute)
        with without_gradients(self.device, exact=self._exact):
            found = self._embed(slot.there if self._whole else slot.there[: slot.count])
        slot.vectors = torch.empty(found.shape, pin_memory=self._on_gpu)
        slot.vectors.copy_(found, non_blocking=self._on_gpu)
        slot.done.record(compute)

    def _unit(self, pixels: Tensor) -> Tensor:
        """What the host has prepared to unit vectors float32 [B, D]."""
        return functional.normalize(self._encode(self._finish(pixels)).float(), dim=-1)


@contextmanager
def without_gradients(device: torch.device | str, *, exact: bool = False) -> Iterator[None]:
    """Inference, in float32 on the CPU, and in bfloat16 on a GPU unless it is to be `exact`.

    Exact is float32 without the rounding to TF32 that cuDNN does unasked: a bfloat16 has 8 bits,
    a TF32 11, and vectors of either differ from those of a CPU by more than 1e-4.
    """
    half = torch.device(device).type == "cuda" and not exact
    with (
        torch.inference_mode(),
        torch.autocast("cuda", torch.bfloat16, enabled=half),
        cudnn.flags(enabled=True, allow_tf32=False) if exact else nullcontext(),
    ):
        yield


class _Slot:
    """One of the two places that batches pass through, with what says how far one has come."""

    def __init__(self, queues: Any) -> None:
        self.host: Any = None
        self.there: Any = None
        self.vectors: Any = None
        self.count = 0
        self.copied, self.done = queues.Event(), queues.Event()

    def take(self) -> NDArray[np.float32]:
        """The vectors, when they are there."""
        self.done.synchronize()
        return self.vectors[: self.count].numpy().copy()


def _in_two(
    preprocess: Any, device: torch.device
) -> tuple[Callable[[NDArray[np.uint8]], Tensor], Callable[[Tensor], Tensor]]:
    """What is done to each picture on the host, and to a batch on the device.

    open_clip's preparation ends with "to float32" and "normalise": done on the device, a quarter
    of the bytes is copied. One that does not end so stays on the host.
    """
    from PIL import Image

    steps = [None, None, *getattr(preprocess, "transforms", ())]
    shrinking, to_tensor, normalize = steps[2:-2], steps[-2], steps[-1]
    if not (type(to_tensor).__name__.endswith("ToTensor") and hasattr(normalize, "std")):
        return lambda image: preprocess(Image.fromarray(image)), lambda pixels: pixels
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1)
        for values in (normalize.mean, normalize.std)
    )

    def shrink(image: NDArray[np.uint8]) -> Tensor:
        picture: Any = Image.fromarray(image)
        for step in shrinking:
            picture = step(picture)
        return torch.from_numpy(np.array(picture))

    def finish(pixels: Tensor) -> Tensor:
        # uint8 [B, H, W, 3] seen as [B, 3, H, W] is channels-last already.
        return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std

    return shrink, finish
