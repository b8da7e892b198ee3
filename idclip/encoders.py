"""Encoders: pictures and texts as unit vectors in one space, by name.

`load_encoder("concept")` is the one that ships; `open_clip:MODEL/PRETRAINED` (extra `torch`) and
`onnx:FOLDER` (no torch) load a CLIP. `REGISTRY` says of the named ones where the weights come
from and what their licence allows. Nothing heavy is imported before a model is asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import ModelUnavailable

DEFAULT = "concept"
Commercial = Literal["yes", "no", "ask"]


class Encoder(Protocol):
    """Pictures and texts as float32 unit vectors of the same space; their dot product is a cosine.

    `name` is what `load_encoder` takes to give this encoder again; an archive is stamped with it.
    `logit_scale` multiplies a cosine before a softmax over texts.
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def licence(self) -> str: ...

    @property
    def logit_scale(self) -> float: ...

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim]."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]."""
        ...


@dataclass(frozen=True)
class EncoderInfo:
    """What is known of a named encoder before it is loaded.

    `commercial` is "yes", "no", or "ask" where the licence of the weights allows it but the
    photos behind them keep their owners' rights; `note` says it in words.
    """

    name: str
    about: str
    origin: str
    licence: str
    commercial: Commercial
    note: str
    dim: int
    megabytes: int
    extra: str = ""  # the pip extra it needs, "" for the core


_LAION = "trained on pairs crawled from the web"
REGISTRY: dict[str, EncoderInfo] = {
    info.name: info
    for info in (
        EncoderInfo(
            "concept",
            "EfficientNet-Lite2 and MiniLM joined by a trained head; small, no torch, no network",
            "shipped with idclip (see idclip/weights/concept/MODEL_CARD.md)",
            "Apache-2.0",
            "ask",
            "trained on ImageNet, COCO and Flickr8k photos, whose owners keep their rights",
            384,
            50,
        ),
        EncoderInfo(
            "open_clip:ViT-B-32-256/datacomp_s34b_b86k",
            "the best small CLIP for most laptops",
            "https://huggingface.co/laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
            "MIT",
            "yes",
            _LAION,
            512,
            605,
            "torch",
        ),
        EncoderInfo(
            "open_clip:ViT-B-16/datacomp_xl_s13b_b90k",
            "finer patches: better with small things, half as fast",
            "https://huggingface.co/laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
            "MIT",
            "yes",
            _LAION,
            512,
            599,
            "torch",
        ),
        EncoderInfo(
            "open_clip:ViT-L-14/datacomp_xl_s13b_b90k",
            "large: wants a GPU",
            "https://huggingface.co/laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
            "MIT",
            "yes",
            _LAION,
            768,
            1710,
            "torch",
        ),
        EncoderInfo(
            "open_clip:ViT-B-32-quickgelu/openai",
            "OpenAI's first CLIP, the one that papers compare with",
            "https://github.com/openai/CLIP",
            "MIT",
            "ask",
            "OpenAI's model card calls any deployed use out of scope",
            512,
            605,
            "torch",
        ),
        EncoderInfo(
            "open_clip:ViT-B-16-SigLIP2-256/webli",
            "SigLIP 2: strong, many languages",
            "https://huggingface.co/timm/ViT-B-16-SigLIP2-256",
            "Apache-2.0",
            "yes",
            "trained on Google's WebLI",
            768,
            1500,
            "torch",
        ),
        EncoderInfo(
            "open_clip:ViT-B-32-quickgelu/metaclip_400m",
            "MetaCLIP",
            "https://huggingface.co/timm/vit_base_patch32_clip_224.metaclip_400m",
            "CC-BY-NC-4.0",
            "no",
            "research only",
            512,
            605,
            "torch",
        ),
        EncoderInfo(
            "open_clip:ViT-B-16/dfn2b",
            "Apple's data filtering network",
            "https://huggingface.co/apple/DFN2B-CLIP-ViT-B-16",
            "Apple Machine Learning Research Model (apple-amlr)",
            "no",
            "research only",
            512,
            599,
            "torch",
        ),
    )
}


def load_encoder(name: str = DEFAULT, *, threads: int = 0) -> Encoder:
    """Load an encoder: "concept", "open_clip:MODEL/PRETRAINED" or "onnx:FOLDER".

    PRETRAINED is a tag of open_clip or a checkpoint file; `open_clip:local-dir:FOLDER` takes a
    folder that open_clip saved. `threads` 0 leaves the number to the engine.

    Raises `ModelUnavailable` for a name nobody knows, a model that is not here and cannot be
    fetched, or a package that is not installed.
    """
    kind, _, rest = name.partition(":")
    if kind == "open_clip" and rest:
        from .open_clip_encoder import OpenClipEncoder

        return OpenClipEncoder(rest, threads=threads)
    if kind == "onnx" and rest:
        from .onnx_encoder import OnnxEncoder

        return OnnxEncoder(rest, threads=threads)
    if name == "concept":
        from .concept import ConceptEncoder

        return ConceptEncoder(threads=threads)
    raise ModelUnavailable(_unknown(name))


def _unknown(name: str) -> str:
    """The message for a name that is no encoder, with what was perhaps meant."""
    near = difflib.get_close_matches(name, REGISTRY, n=3, cutoff=0.4)
    near += [known for known in REGISTRY if name and name in known and known not in near]
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f'no encoder is called "{name}".{meant}\n'
        f"Known: {', '.join(REGISTRY)}; any open_clip:MODEL/PRETRAINED; onnx:FOLDER."
    )
