"""Any model of open_clip as an `Encoder` (extra `torch`); see `open_clip_models` for its names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .encoders import REGISTRY, full_name
from .open_clip_models import (
    hub_answers_if_needed,
    load_model,
    load_tokenizer,
    open_clip_package,
    source_of,
)

UNKNOWN_LICENCE = "unknown: ask where the checkpoint comes from"
BATCH = 32


class OpenClipEncoder:
    """An `Encoder` made of an open_clip model: float32 on the CPU, bfloat16 on a GPU.

    `source` is what follows `open_clip:` in a name. Raises `ModelUnavailable` where the extra is
    missing, the model is unknown, cannot be fetched, or its file does not fit.
    """

    def __init__(self, source: str, *, threads: int = 0, device: str | None = None) -> None:
        hub_answers_if_needed(f"open_clip:{source}")
        open_clip = open_clip_package()
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.name = full_name(f"open_clip:{source}")
        found = source_of(source)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.preprocess = load_model(found, source, self.device)
        self.tokenizer = load_tokenizer(found, source)
        self.dim = int(open_clip.get_model_config(found.model)["embed_dim"])
        self.logit_scale = float(self.model.logit_scale.detach().exp())
        known = REGISTRY.get(self.name)
        self.licence = known.licence if known else UNKNOWN_LICENCE

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim]."""
        from .image_stream import ImageStream

        stream = ImageStream(self.model.encode_image, self.preprocess, device=self.device)
        return np.concatenate([np.empty((0, self.dim), np.float32), *stream(images)])

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]."""
        import torch

        from .image_stream import without_gradients

        found = [np.empty((0, self.dim), np.float32)]
        with without_gradients(self.device):
            for start in range(0, len(texts), BATCH):
                ids = self.tokenizer(list(texts[start : start + BATCH])).to(self.device)
                vectors = self.model.encode_text(ids).float()
                found.append(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy())
        return np.concatenate(found)
