"""Encoders: pictures and texts as unit vectors in one space, by name.

`load_encoder("concept")` is the one that ships; `open_clip:MODEL/PRETRAINED` (extra `torch`) and
`onnx:FOLDER` (no torch) load a CLIP; `idclip:CHECKPOINT` (extra `torch`) and the `onnx:FOLDER` that
`idclip export` makes of it load a CLIP whose texts can hold people. `REGISTRY` says of the named
ones where the weights come from and what their licence allows. Nothing heavy is imported before a
model is asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .devices import AUTO
from .errors import ModelUnavailable
from .preparation import Prepare
from .prompts import readings

DEFAULT = "concept"
LOCAL_DIR = "local-dir:"  # open_clip's word for a folder that it saved
Commercial = Literal["yes", "no", "ask"]


class ImageEncoder(Protocol):
    """What makes the vectors of an archive: pictures as float32 unit vectors."""

    @property
    def name(self) -> str:
        """What `load_encoder` takes to give this encoder again."""
        ...

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        ...

    @property
    def licence(self) -> str:
        """The licence of the weights."""
        ...

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim]."""
        ...


class Encoder(ImageEncoder, Protocol):
    """Pictures and texts as float32 unit vectors of the same space; their dot product is a cosine.

    An archive is stamped with the encoder's `name`, and not with the device: the vectors are the
    same on all. Pictures are encoded in two steps, which may run on two machines.
    """

    @property
    def logit_scale(self) -> float:
        """The multiplier of a cosine before a softmax over texts."""
        ...

    @property
    def device(self) -> str:
        """Where pictures are encoded: "cpu", "cuda", "cuda:NUMBER" or "mps"."""
        ...

    @property
    def prepare(self) -> Prepare:
        """The first step: pictures shrunk to what the network takes, a few bytes each."""
        ...

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The second: what `prepare` made of N pictures, as unit vectors float32 [N, dim]."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]."""
        ...


class PersonEncoder(Encoder, Protocol):
    """An encoder whose texts can hold people it never saw: an Id-CLIP."""

    @property
    def face_model(self) -> str:
        """The name of the face model whose vectors it knows people by."""
        ...

    def encode_texts(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]] = ()
    ) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim].

        Text i may hold the mark `idclip.prompts.TOK` any number of times; `people[i]` float32
        [M, F] are the face vectors of those meant, one for each mark in order. `people` may be
        left out where no text holds a mark. Raises `VidsearchError` where they do not match.
        """
        ...


@dataclass(frozen=True)
class EncoderInfo:
    """What is known of a named encoder before it is loaded.

    `commercial` is "yes", "no", or "ask" where the licence of the weights allows it but
    somebody's wish or rights stand beside it; `note` says that in words.
    """

    name: str
    about: str
    licence: str
    commercial: Commercial
    note: str
    dim: int
    megabytes: int
    repo: str = ""  # on the Hugging Face hub, "" for what ships
    files: tuple[str, ...] = ()  # patterns to fetch, where it is not open_clip that fetches
    extra: str = ""  # the pip extra it needs, "" for the core

    @property
    def origin(self) -> str:
        """Where the weights come from, as an address or in words."""
        return f"https://huggingface.co/{self.repo}" if self.repo else "ships with idclip"


def _open_clip(
    model: str,
    about: str,
    licence: str,
    commercial: Commercial,
    note: str,
    dim: int,
    megabytes: int,
    repo: str,
) -> EncoderInfo:
    return EncoderInfo(
        f"open_clip:{model}", about, licence, commercial, note, dim, megabytes, repo, (), "torch"
    )


_CRAWLED = "trained on DataComp-1B, pictures and texts crawled from the web"
_RESEARCH = "research only"
_KNOWN = (
    EncoderInfo(
        "concept",
        "EfficientNet-Lite2 and MiniLM joined by a trained head: small, no torch, no network",
        "Apache-2.0",
        "ask",
        "trained on ImageNet, COCO and Flickr8k photos, whose owners keep their rights",
        384,
        45,
    ),
    EncoderInfo(
        "idclip:compact",
        "concept with a translator: its texts can hold people; for trying Id-CLIP, concept with "
        "the face model finds them better",
        "Apache-2.0",
        "ask",
        "trained on Flickr8k, COCO and LFW photos, whose owners keep their rights",
        384,
        1,
        extra="torch",
    ),
    EncoderInfo(
        "onnx:clip-vit-b-32-256",
        "CLIP ViT-B/32 at 256 px on onnxruntime, as exported for rclip: no torch",
        "MIT",
        "yes",
        _CRAWLED,
        512,
        606,
        "yurijmikhalevich/rclip-models",
        ("ViT-B-32-256-datacomp_s34b_b86k/*.onnx", "tokenizer/*", "LICENSE", "*.md"),
    ),
    _open_clip(
        "ViT-B-32-256/datacomp_s34b_b86k",
        "the best small CLIP for most laptops",
        "MIT",
        "yes",
        _CRAWLED,
        512,
        606,
        "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    ),
    _open_clip(
        "ViT-B-16/datacomp_xl_s13b_b90k",
        "finer patches: better with small things, slower",
        "MIT",
        "yes",
        _CRAWLED,
        512,
        599,
        "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
    ),
    _open_clip(
        "ViT-L-14/datacomp_xl_s13b_b90k",
        "large: wants a GPU",
        "MIT",
        "yes",
        _CRAWLED,
        768,
        1710,
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    ),
    _open_clip(
        "ViT-B-16-SigLIP2-256/webli",
        "SigLIP 2: strong, many languages",
        "Apache-2.0",
        "yes",
        "trained on WebLI, pictures and texts crawled from the web",
        768,
        1500,
        "timm/ViT-B-16-SigLIP2-256",
    ),
    _open_clip(
        "ViT-B-32-quickgelu/openai",
        "OpenAI's first CLIP, the one that papers compare with",
        "MIT",
        "ask",
        "OpenAI's model card calls any deployed use out of scope",
        512,
        605,
        "timm/vit_base_patch32_clip_224.openai",
    ),
    _open_clip(
        "ViT-B-32-quickgelu/metaclip_400m",
        "MetaCLIP",
        "CC-BY-NC-4.0",
        "no",
        _RESEARCH,
        512,
        605,
        "timm/vit_base_patch32_clip_224.metaclip_400m",
    ),
    _open_clip(
        "ViT-B-16-quickgelu/dfn2b",
        "Apple's data filtering network",
        "apple-amlr (Apple Machine Learning Research Model)",
        "no",
        _RESEARCH,
        512,
        599,
        "apple/DFN2B-CLIP-ViT-B-16",
    ),
)
REGISTRY: dict[str, EncoderInfo] = {info.name: info for info in _KNOWN}


def load_encoder(name: str = DEFAULT, *, threads: int = 0, device: str = AUTO) -> Encoder:
    """Load an encoder: "concept", "open_clip:MODEL/PRETRAINED", "onnx:FOLDER", "idclip:FOLDER".

    PRETRAINED is a tag of open_clip or a checkpoint file (`open_clip:ViT-B-32//data/my.pt`);
    `open_clip:local-dir:FOLDER` takes a folder that open_clip saved. The FOLDER of `onnx:` may
    be the name of one that was pulled, that of `idclip:` one that ships ("compact"). `threads` 0
    leaves the number to the engine. `device` is "auto", "cpu", "cuda", "cuda:NUMBER" or "mps"; auto
    takes a CUDA GPU for what runs on torch, if there is one, and the processor for the others.

    Raises `ModelUnavailable` for a name nobody knows, a model that is not here and cannot be
    fetched, a package that is not installed, or a device that is not here.
    """
    kind, _, rest = name.partition(":")
    if kind == "open_clip" and rest:
        from .open_clip_encoder import OpenClipEncoder

        return OpenClipEncoder(rest, threads=threads, device=device)
    if kind == "onnx" and rest:
        from .onnx_encoder import OnnxEncoder

        return OnnxEncoder(rest, threads=threads, device=device)
    if kind == "idclip" and rest:
        from .idclip_encoder import IdClipEncoder

        return IdClipEncoder(rest, threads=threads, device=device)
    if name == "concept":
        from .concept import ConceptEncoder

        return ConceptEncoder(threads=threads, device=device)
    raise ModelUnavailable(unknown_encoder(name))


def takes_people(encoder: Encoder) -> TypeGuard[PersonEncoder]:
    """Whether the texts of an encoder can hold people."""
    return bool(getattr(encoder, "face_model", ""))


def encode_people(encoder: Encoder, text: str) -> NDArray[np.float32]:
    """A text about people whom the encoder does not know, as unit vectors float32 [M, dim].

    Of its M readings ("a person", "a man", "a woman") the one that fits a picture best counts.
    """
    return encoder.encode_texts(readings(text))


def full_name(name: str) -> str:
    """The name with folders and files written in full: what an encoder calls itself when loaded.

    So two names can be compared, from any folder, without loading a model. A name that stays the
    same may still be missing; raises `ModelUnavailable` for one that no encoder can have.
    """
    kind, _, rest = name.partition(":")
    if name in REGISTRY:
        return name
    if kind in ("onnx", "idclip") and rest:
        return f"{kind}:{_resolved(rest)}"
    if kind == "open_clip" and rest.startswith(LOCAL_DIR):
        return f"open_clip:{LOCAL_DIR}{_resolved(rest.removeprefix(LOCAL_DIR))}"
    if kind == "open_clip" and "/" in rest:
        model, _, pretrained = rest.partition("/")
        return f"open_clip:{model}/{_resolved(pretrained)}"
    raise ModelUnavailable(unknown_encoder(name))


def _resolved(path: str) -> str:
    """The whole path of what exists; tags and the names of pulled models stay as they are."""
    place = Path(path).expanduser()
    return str(place.resolve()) if place.exists() else path


def unknown_encoder(name: str) -> str:
    """The message for a name that is no encoder, with what was perhaps meant."""
    near = difflib.get_close_matches(name, REGISTRY, n=3, cutoff=0.4)
    near += [known for known in REGISTRY if name and name in known and known not in near]
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f'no encoder is called "{name}".{meant}\n'
        f"Known: {', '.join(REGISTRY)}; any open_clip:MODEL/PRETRAINED; onnx:FOLDER; "
        "idclip:CHECKPOINT."
    )
