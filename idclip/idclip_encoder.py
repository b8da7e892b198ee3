"""An Id-CLIP checkpoint as an `Encoder` whose texts can hold people (extra `torch`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .devices import AUTO, torch_device
from .encoders import full_name
from .errors import ModelUnavailable
from .open_clip_models import open_clip_package
from .preparation import Shrink

if TYPE_CHECKING:
    from .image_stream import ImageStream
    from .model import IdCLIP


class IdClipEncoder:
    """A `PersonEncoder` of a checkpoint folder, or of the name of a checkpoint that ships.

    It computes in float32 on any device (see `devices`). Raises `ModelUnavailable` where the extra,
    the checkpoint, its backbone or the device is missing.
    """

    def __init__(self, checkpoint: str, *, threads: int = 0, device: str = AUTO) -> None:
        self.name = full_name(f"idclip:{checkpoint}")
        self.model = _loaded(checkpoint, threads, device)
        self.model.exact = True
        self.device = self.model.device
        self.prepare = Shrink.of(self.model.backbone.model.visual.preprocess_cfg)
        self.dim = self.model.dim
        self.licence = self.model.backbone.licence
        self.face_model = self.model.face_model
        # Of the backbone: what was trained beside it is trained with a fixed scale.
        self.logit_scale = float(self.model.backbone.model.logit_scale.detach().exp())

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim]."""
        return np.concatenate([np.empty((0, self.dim), np.float32), *self._stream(images)])

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What `prepare` made of N pictures as unit vectors float32 [N, dim]."""
        found = self._stream.embed(prepared)
        return np.concatenate([np.empty((0, self.dim), np.float32), *found])

    @cached_property
    def _stream(self) -> ImageStream:
        return self.model.stream()

    def encode_texts(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]] = ()
    ) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]; see `PersonEncoder`."""
        return self.model.encode_texts(texts, people)


def checkpoint_files(checkpoint: str) -> tuple[list[Path], str]:
    """What a picture's vector depends on: the learned weights, and the backbone's by digest.

    Raises `ModelUnavailable` where there is no such checkpoint.
    """
    open_clip_package()  # complains where the extra is missing
    from .checkpoints import WEIGHTS, Checkpoint, checkpoint_folder

    folder = checkpoint_folder(checkpoint)
    described = Checkpoint.read(folder)
    changed = described.prompts or described.unlocked  # else pictures are the backbone's alone
    return [folder / WEIGHTS] if changed else [], described.backbone_digest


def _loaded(checkpoint: str, threads: int, device: str) -> IdCLIP:
    open_clip_package()
    import torch

    from .checkpoints import load_idclip

    if threads:
        torch.set_num_threads(threads)
    there = torch_device(device)
    try:
        return load_idclip(checkpoint, device=there)
    except ModelUnavailable as error:
        raise ModelUnavailable(f"idclip:{checkpoint}: {error}") from error
