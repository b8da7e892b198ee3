"""The frozen model that an Id-CLIP stands on: any of open_clip, or `compact` (torch).

A backbone is named `MODEL` with `PRETRAINED` as everywhere (`open_clip_models`): a published tag,
a checkpoint file, or `local-dir:FOLDER` alone; `MODEL` alone starts from random weights, for
measuring speed and for tests. `compact` is the encoder `concept` as an open_clip model.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .encoders import LOCAL_DIR, REGISTRY
from .errors import ModelUnavailable

COMPACT = "compact"
_DIGEST = 6  # bytes
_SAMPLE = 64  # values of each tensor that a digest is taken of


@dataclass(frozen=True, eq=False)
class Backbone:
    """An open_clip model with all that is needed to feed it.

    `model` has open_clip's `encode_image` and `encode_text`; `preprocess` takes a PIL image to
    float32 [3, H, W]; `tokenize` takes texts and a length to ids int64 [N, length]. Where
    `any_length` is set the text tower reads texts of any length, and padding may be cut off.
    """

    name: str
    model: Any
    preprocess: Any
    tokenizer: Any
    dim: int
    licence: str
    any_length: bool = False

    @property
    def context_length(self) -> int:
        """The longest text in tokens."""
        return int(self.tokenizer.context_length)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the text tower's tokens."""
        text = getattr(self.model, "text", self.model)
        hugging_face = getattr(getattr(text, "transformer", None), "get_input_embeddings", None)
        if hugging_face is not None:
            return hugging_face()
        return text.token_embedding

    @cached_property
    def digest(self) -> str:
        """Of the weights, 12 hexadecimal digits: shapes and a sample of every tensor."""
        found = hashlib.blake2b(digest_size=_DIGEST)
        for name, tensor in self.model.state_dict().items():
            found.update(f"{name} {tuple(tensor.shape)}".encode())
            values = tensor.detach().flatten()
            step = max(1, len(values) // _SAMPLE)
            found.update(values[::step].float().cpu().numpy().tobytes())
        return found.hexdigest()

    def tokenize(self, texts: Sequence[str], length: int) -> NDArray[np.int64]:
        """Ids int64 [N, length], cut off and padded."""
        return self.tokenizer(list(texts), context_length=length).numpy()

    def pixels(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """RGB uint8 pictures [H, W, 3] of any sizes as the image tower wants them [N, 3, H, W]."""
        from PIL import Image

        return torch.stack([self.preprocess(Image.fromarray(image)) for image in images])


def load_backbone(model: str, pretrained: str | None = None, *, device: str = "cpu") -> Backbone:
    """The backbone of that name in evaluation mode, its weights frozen.

    Raises `ModelUnavailable` where it is unknown, its weights cannot be had, or the extra `torch`
    is missing.
    """
    from . import open_clip_models as models

    if model == COMPACT:
        models.open_clip_package()  # complains where the extra is missing
        from .compact import load_compact

        return _frozen(load_compact(), device)
    name = f"{model}/{pretrained}" if pretrained else model
    models.hub_answers_if_needed(f"open_clip:{name}")
    open_clip = models.open_clip_package()
    if pretrained or model.startswith(LOCAL_DIR):
        found = models.source_of(name)
    elif model in open_clip.list_models():
        found = models.Source(model, None, {})
    else:
        raise ModelUnavailable(f'open_clip knows no model "{model}"; open_clip.list_models() does')
    loaded, preprocess = models.load_model(found, name, device)
    known = REGISTRY.get(f"open_clip:{name}")
    config = open_clip.get_model_config(found.model)
    backbone = Backbone(
        name,
        loaded,
        preprocess,
        models.load_tokenizer(found, name),
        int(config["embed_dim"]),
        known.licence if known else "unknown: ask where the weights come from",
        any_length="hf_model_name" in config["text_cfg"],
    )
    return _frozen(backbone, device)


def _frozen(backbone: Backbone, device: str) -> Backbone:
    backbone.model.to(device).eval().requires_grad_(False)
    return backbone
