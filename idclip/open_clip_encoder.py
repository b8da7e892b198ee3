"""Any model of open_clip as an `Encoder` (extra `torch`); see `open_clip_models` for its names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .devices import AUTO, torch_device
from .encoders import REGISTRY, full_name
from .open_clip_models import (
    hub_answers_if_needed,
    load_model,
    load_tokenizer,
    open_clip_package,
    source_of,
)
from .preparation import Shrink

if TYPE_CHECKING:
    from .image_stream import ImageStream

UNKNOWN_LICENCE = "unknown: ask where the checkpoint comes from"
BATCH = 32


class OpenClipEncoder:
    """An `Encoder` made of an open_clip model, in float32 on any device (see `devices`).

    `source` is what follows `open_clip:` in a name. Raises `ModelUnavailable` where the extra is
    missing, the model is unknown, cannot be fetched, or its file does not fit, or the device is not
    here.
    """

    def __init__(self, source: str, *, threads: int = 0, device: str = AUTO) -> None:
        hub_answers_if_needed(f"open_clip:{source}")
        open_clip = open_clip_package()
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.name = full_name(f"open_clip:{source}")
        found = source_of(source)
        self.device = torch_device(device)
        self.model, self.preprocess = load_model(found, source, self.device)
        self.prepare = Shrink.of(self.model.visual.preprocess_cfg)
        self.tokenizer = load_tokenizer(found, source)
        self.dim = int(open_clip.get_model_config(found.model)["embed_dim"])
        self.logit_scale = float(self.model.logit_scale.detach().exp())
        known = REGISTRY.get(self.name)
        self.licence = known.licence if known else UNKNOWN_LICENCE

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim]."""
        return np.concatenate([np.empty((0, self.dim), np.float32), *self._stream(images)])

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What `prepare` made of N pictures as unit vectors float32 [N, dim]."""
        found = self._stream.embed(prepared)
        return np.concatenate([np.empty((0, self.dim), np.float32), *found])

    @cached_property
    def _stream(self) -> ImageStream:
        from .image_stream import ImageStream

        encode = self.model.encode_image
        return ImageStream(encode, self.preprocess, device=self.device, exact=True)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]."""
        import torch

        from .image_stream import without_gradients

        found = [np.empty((0, self.dim), np.float32)]
        with without_gradients(self.device, exact=True):
            for start in range(0, len(texts), BATCH):
                ids = self.tokenizer(list(texts[start : start + BATCH])).to(self.device)
                vectors = self.model.encode_text(ids).float()
                found.append(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy())
        return np.concatenate(found)
