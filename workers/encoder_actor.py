"""An encoder that many workers share: a Ray actor with a GPU, or a part of one.

A worker sends it pictures that are shrunk to what the network takes, and no frame; batches are
made across the videos that are in work (`workers.batching`). It may have the network of a face
model beside it, for crops of the faces that workers have found.
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from idclip.alignment import Crops
from idclip.devices import AUTO, CPU, face_device_beside
from idclip.encoders import Encoder, load_encoder
from idclip.faces import FaceModel
from idclip.preparation import Prepare
from vidsearch.tasks import Recipe
from workers.batching import FACES, PICTURES, Batcher, Encode, Served
from workers.same_code import Code, refuse_other_code


@dataclass(frozen=True)
class AboutFaces:
    """What workers must know of the face model beside a shared encoder."""

    name: str
    dim: int
    licence: str
    crops: Crops
    device: str


@dataclass(frozen=True)
class About:
    """What workers must know of a shared encoder, and where it runs; `faces` None where each knows
    faces by itself.
    """

    name: str
    dim: int
    licence: str
    prepare: Prepare
    device: str
    node: str
    pid: int
    faces: AboutFaces | None = None


class EncoderActor:
    """The encoder of a recipe, on the recipe's device. Nothing is loaded before it is asked.

    It knows faces too unless these are to be on the processor; with "auto" only on a GPU.
    """

    def __init__(self, recipe: Recipe, code: Code, most: int) -> None:
        self._recipe = recipe
        self._code = code
        self._encoder: Encoder | None = None
        self._faces: FaceModel | None = None
        self._loading = threading.Lock()
        pictures = InHalves(lambda some: self._loaded().encode_prepared(some), most)
        faces = InHalves(lambda some: self._loaded_faces().embed_crops(some), most)
        self._batcher = Batcher({PICTURES: pictures, FACES: faces}, most)

    async def about(self) -> About:
        """Load the encoder, and the face model if it is wanted here, and describe them.

        Raises `VidsearchError` for other code, other weights, or a model or device that is not
        here.
        """
        return await asyncio.get_running_loop().run_in_executor(None, self._about)

    async def encode(self, prepared: NDArray[np.uint8], origin: str) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D] of N prepared pictures of the video `origin`."""
        return await self._batcher(PICTURES, prepared, origin)

    async def embed(self, crops: NDArray[np.uint8], origin: str) -> NDArray[np.float32]:
        """Unit vectors float32 [N, F] of crops of N faces of the video `origin`."""
        return await self._batcher(FACES, crops, origin)

    async def served(self) -> Served:
        """What this process has encoded so far."""
        return self._batcher.served()

    def _about(self) -> About:
        import ray

        encoder = self._loaded()
        return About(
            encoder.name,
            encoder.dim,
            encoder.licence,
            encoder.prepare,
            encoder.device,
            ray.get_runtime_context().get_node_id(),
            os.getpid(),
            self._about_faces(encoder),
        )

    def _about_faces(self, encoder: Encoder) -> AboutFaces | None:
        name, asked = self._recipe.faces, self._recipe.devices.faces
        if asked == CPU or (
            asked == AUTO and face_device_beside(name, asked, encoder.device) == CPU
        ):
            return None
        model = self._loaded_faces()
        if asked == AUTO and model.device == CPU:
            return None  # the workers' processors together are faster
        return AboutFaces(model.name, model.dim, model.licence, model.crops, model.device)

    def _loaded_faces(self) -> FaceModel:
        from vidsearch.analyze import check_weights, load_faces_beside

        encoder = self._loaded()
        with self._loading:
            if self._faces is None:
                recipe = self._recipe
                check_weights(replace(recipe, encoder_weights=""))
                self._faces = load_faces_beside(
                    recipe.faces, encoder.device, recipe.threads, recipe.devices.faces
                )
            return self._faces

    def _loaded(self) -> Encoder:
        from vidsearch.analyze import check_weights

        with self._loading:
            if self._encoder is None:
                refuse_other_code(self._code)
                recipe = self._recipe
                check_weights(replace(recipe, face_weights=""))
                self._encoder = load_encoder(
                    recipe.encoder, threads=recipe.threads, device=recipe.devices.encoder
                )
            return self._encoder


class InHalves:
    """Encodes batches; where memory ends, their halves, and none so large any more."""

    def __init__(self, encode: Encode, most: int) -> None:
        self._encode = encode
        self._most = most

    def __call__(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vectors float32 [N, D] of N prepared pictures."""
        parts, start = [], 0
        while start < len(prepared):
            part = prepared[start : start + self._most]
            try:
                parts.append(self._encode(part))
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
