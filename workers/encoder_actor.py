"""An encoder that many workers share: a Ray actor with a GPU, or a part of one.

A worker sends it pictures that are shrunk to what the network takes, and no frame; batches are
made across the videos that are in work (`workers.batching`).
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from idclip.encoders import Encoder, load_encoder
from idclip.preparation import Prepare
from vidsearch.tasks import Recipe
from workers.batching import Batcher, Served
from workers.cluster import Code, refuse_other_code


@dataclass(frozen=True)
class About:
    """What workers must know of a shared encoder, and where it runs."""

    name: str
    dim: int
    licence: str
    prepare: Prepare
    device: str
    node: str
    pid: int


class EncoderActor:
    """The encoder of a recipe, on the recipe's device. Nothing is loaded before it is asked."""

    def __init__(self, recipe: Recipe, code: Code, most: int) -> None:
        self._recipe = recipe
        self._code = code
        self._most = most
        self._encoder: Encoder | None = None
        self._loading = threading.Lock()
        self._batcher = Batcher(self._encode, most)

    async def about(self) -> About:
        """Load the encoder and describe it.

        Raises `VidsearchError` for other code, other weights, or a model or device that is not
        here.
        """
        import ray

        encoder = await asyncio.get_running_loop().run_in_executor(None, self._loaded)
        return About(
            encoder.name,
            encoder.dim,
            encoder.licence,
            encoder.prepare,
            encoder.device,
            ray.get_runtime_context().get_node_id(),
            os.getpid(),
        )

    async def encode(self, prepared: NDArray[np.uint8], origin: str) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D] of N prepared pictures of the video `origin`."""
        return await self._batcher(prepared, origin)

    async def served(self) -> Served:
        """What this process has encoded so far."""
        return self._batcher.served()

    def _loaded(self) -> Encoder:
        from vidsearch.analyze import check_weights

        with self._loading:
            if self._encoder is None:
                refuse_other_code(self._code)
                recipe = self._recipe
                check_weights(replace(recipe, face_weights=""))
                self._encoder = load_encoder(
                    recipe.encoder, threads=recipe.threads, device=recipe.device
                )
            return self._encoder

    def _encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A batch; where memory ends, its halves, and none so large any more."""
        encoder, parts = self._loaded(), []
        start = 0
        while start < len(prepared):
            part = prepared[start : start + self._most]
            try:
                parts.append(encoder.encode_prepared(part))
            except Exception as error:  # of engines that share no base
                if not out_of_memory(error) or len(part) == 1:
                    raise
                self._most = len(part) // 2
            else:
                start += len(part)
        return np.concatenate(parts)


def out_of_memory(error: Exception) -> bool:
    """Whether an engine says that a GPU has no room: torch by a class, onnxruntime in words."""
    return type(error).__name__ == "OutOfMemoryError" or "Failed to allocate memory" in str(error)
