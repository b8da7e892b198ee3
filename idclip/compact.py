"""The encoder `concept` as an open_clip model, to train an Id-CLIP on two CPU cores (torch, onnx).

Its towers and head are those that ship, read back out of `image.onnx` and `text.onnx`: what is
stored in int8, times its scales, is the float32 weight that the text side computes with. The image
side ships as a network that also rounds what passes between its layers; here nothing is rounded
between, so its vectors differ a little (a test says how little).
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return"
from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .backbones import COMPACT, Backbone
from .concept import WEIGHTS, ConceptEncoder
from .concept_training.fit import HEADS, head_weights
from .concept_training.network import WIDTH, Head, ImageHead, Inputs, Joint, Ridge, TextEncoder
from .concept_training.towers import IMAGE_SIDE, MEAN, SPREAD, TEXT_DIM, ImageTower, TextTower
from .errors import ModelUnavailable
from .pull import TORCH_REMEDY

PREPARATION = {
    "size": (IMAGE_SIDE, IMAGE_SIDE),
    "mode": "RGB",
    "mean": (MEAN,) * 3,
    "std": (SPREAD,) * 3,
    "interpolation": "bilinear",
    "resize_mode": "squash",
    "fill_color": 0,
}


class CompactImage(nn.Module):
    """Pictures float32 [N, 3, 260, 260], normalised, to unit vectors [N, D]."""

    def __init__(self, tower: ImageTower, joint: Joint, dim: int) -> None:
        super().__init__()
        self.tower, self.head = tower, ImageHead(tower, joint)
        self.image_size, self.output_dim = (IMAGE_SIDE, IMAGE_SIDE), dim
        self.preprocess_cfg = PREPARATION

    def features(self, pixels: Tensor) -> Tensor:
        """What the head is given [N, 1280]."""
        return self.tower.upper(self.tower.lower_blocks(self.tower.stem(pixels)))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels))


class CompactText(nn.Module):
    """Ids int64 [N, T], padded with 0, to unit vectors [N, D]."""

    def __init__(self, tower: TextTower, joint: Joint, dim: int, context_length: int) -> None:
        super().__init__()
        self.encoder = TextEncoder(tower, joint)
        self.context_length, self.output_dim = context_length, dim
        self.vocab_size = tower.words.num_embeddings

    @property
    def token_embedding(self) -> nn.Embedding:
        return self.encoder.tower.words

    def forward(self, ids: Tensor) -> Tensor:
        return self.encoder(ids, (ids != 0).long())


class CompactCLIP(open_clip.CustomTextCLIP):
    """open_clip's model of two towers of anybody's making; these are made already."""

    def __init__(self, visual: CompactImage, text: CompactText, logit_scale: float) -> None:
        nn.Module.__init__(self)
        self.output_dict = False
        self.visual, self.text = visual, text
        self.context_length, self.vocab_size = text.context_length, text.vocab_size
        self.logit_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))
        self.logit_bias = None

    @property
    def joint(self) -> Joint:
        """The head that both towers share."""
        return self.visual.head.joint


class CompactTokenizer:
    """MiniLM's tokenizer, called as open_clip's are: ids int64 [N, L], padded with 0."""

    def __init__(self, file: Path, context_length: int) -> None:
        from tokenizers import Tokenizer

        self.file, self.context_length = file, context_length
        self._tokenizer = Tokenizer.from_file(str(file))

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        length = context_length or self.context_length
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length)
        batch = [texts] if isinstance(texts, str) else list(texts)
        return torch.tensor([line.ids for line in self._tokenizer.encode_batch(batch)])

    def save(self, file: Path) -> None:
        """Write it as a `tokenizer.json`, with the cut and padding of `context_length`."""
        self([""])
        self._tokenizer.save(str(file))


def load_compact(folder: Path = WEIGHTS) -> Backbone:
    """The encoder in `folder` as a backbone.

    Raises `ModelUnavailable` where its files are missing or hold another network.
    """
    dim = ConceptEncoder(folder).dim  # complains of what is missing
    config = json.loads((folder / "config.json").read_text())
    image, text = ImageTower(pretrained=False), TextTower(pretrained=False)
    networks = [Head() for _ in range(HEADS)]
    for network in networks:
        network.log_scale = None  # of its training only, and not stored
    heads: list[Ridge | Head] = [Ridge(torch.zeros(WIDTH, TEXT_DIM)), *networks]
    joint = Joint(Inputs(), torch.zeros(TEXT_DIM), heads, head_weights(HEADS))
    joint.projection = torch.zeros(TEXT_DIM * len(heads), dim)
    stored = {**_stored(folder / "image.onnx", "head/"), **_stored(folder / "text.onnx")}
    for module, prefix in ((image, ""), (text, "tower."), (joint, "joint.")):
        _fill(module, stored, prefix, folder)
    length = int(config["text_tokens"])
    model = CompactCLIP(
        CompactImage(image, joint, dim),
        CompactText(text, joint, dim, length),
        float(config["logit_scale"]),
    )
    preparation = {key: value for key, value in PREPARATION.items() if key not in ("size", "mode")}
    return Backbone(
        COMPACT,
        model,
        open_clip.image_transform(IMAGE_SIDE, is_train=False, **preparation),
        CompactTokenizer(folder / "tokenizer.json", length),
        dim,
        ConceptEncoder.licence,
        any_length=True,
    )


def _fill(module: nn.Module, stored: dict[str, Any], prefix: str, folder: Path) -> None:
    """Load what a module needs of the weights stored under names that begin with `prefix`."""
    state = {}
    for name, own in module.state_dict().items():
        found = stored.get(prefix + name)
        if found is None or found.size != own.numel():
            raise ModelUnavailable(
                f"{folder}: has no weights {prefix}{name} of the shape {tuple(own.shape)}; "
                "the compact backbone reads what `idclip train-concept --int8` writes"
            )
        state[name] = torch.from_numpy(np.array(found, np.float32)).reshape(own.shape)
    module.load_state_dict(state)


def _stored(file: Path, prefix: str = "") -> dict[str, NDArray[np.float32]]:
    """The weights of a network by the names they had in torch, in float32 and torch's layout.

    `prefix` is taken off the names.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ModelUnavailable(f"compact needs the package onnx: {TORCH_REMEDY}") from error

    graph = onnx.load(str(file)).graph
    raw = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {name.removeprefix(prefix): _in_float(name, raw) for name in _names(raw)}
    # A linear layer of which only the product has kept its name is stored the other way about.
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in found:
            layer = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            if node.input[1].startswith("onnx::"):
                found[f"{layer}.weight"] = found[node.input[1]].T
    return found


_STORED_AS = ("_quantized", "_i8", "_f16")


def _names(raw: dict[str, Any]) -> set[str]:
    """The weights' names without what the export has added to them."""
    rounded = {
        name.removesuffix(end): end for name in raw for end in _STORED_AS if name.endswith(end)
    }
    added = {
        f"{base}{of}{what}"
        for base, end in rounded.items()
        for of in ("", end)
        for what in ("", "_scale", "_zero_point")
    }
    return (set(raw) - added) | set(rounded)


def _in_float(name: str, raw: dict[str, Any]) -> NDArray[np.float32]:
    """A weight in float32: int8 and int32 ones times the scales of their rows or columns."""
    if name in raw:
        return np.asarray(raw[name], np.float32)
    if f"{name}_f16" in raw:
        return np.asarray(raw[f"{name}_f16"], np.float32)
    if f"{name}_i8" in raw:
        return raw[f"{name}_i8"].astype(np.float32) * raw[f"{name}_scale"]
    values = raw[f"{name}_quantized"].astype(np.float32)
    scale = raw[f"{name}_scale" if f"{name}_scale" in raw else f"{name}_quantized_scale"]
    return values * scale.reshape(-1, *(1,) * (values.ndim - 1))
