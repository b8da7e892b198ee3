"""A CLIP exported to ONNX, run by onnxruntime: no torch, no network.

The folder holds `visual.onnx` (pictures float32 [N, 3, H, W] to vectors), `textual.onnx` (ids
[N, L] to vectors), `tokenizer.json` and `encoder.json`; `idclip export-onnx` makes one. That of an
Id-CLIP (`idclip export`) holds `translator.onnx` too, and its texts can hold people. The layout of
rclip's model folder is read as well: the two networks in a subfolder, CLIP's vocabulary in
`tokenizer/`, no JSON; its pictures are prepared as OpenAI's CLIP wants them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .clip_tokenizer import clip_tokenizer, token_ids
from .devices import AUTO, onnx_device
from .encoders import REGISTRY, full_name
from .errors import ModelUnavailable
from .onnx_session import open_session
from .person_tokens import PersonTokenizer, flat_people
from .preparation import Shrink
from .pull import models_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VISUAL, TEXTUAL, TRANSLATOR = "visual.onnx", "textual.onnx", "translator.onnx"
TOKENIZER, MANIFEST = "tokenizer.json", "encoder.json"
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
UNKNOWN_LICENCE = "unknown: ask where the model comes from"
BATCH = 16
_OF_PICTURES = ("image_size", "mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True)
class Manifest:
    """What `encoder.json` says: how pictures and texts are prepared, and whose the weights are.

    `image_size` is (height, width); `mean` and `std` are of pictures in 0 to 1; `resize_mode`
    "shortest" (then the centre is cut out), "longest" (then padded) or "squash"; `clean` as in
    `clip_tokenizer.token_ids`. An Id-CLIP also names its `face_model`, whose vectors have
    `face_dim` values, how many `tokens` a person takes, how many `text_prompts` stand before a
    text, and whether its texts may be of `any_length`.
    """

    title: str
    dim: int
    image_size: tuple[int, int]
    context_length: int
    logit_scale: float = 100.0
    licence: str = UNKNOWN_LICENCE
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0
    clean: str = "lower"
    face_model: str = ""
    face_dim: int = 0
    tokens: int = 1
    text_prompts: int = 0
    any_length: bool = False

    @property
    def shrink(self) -> Shrink:
        """How pictures are shrunk for the network."""
        return Shrink(self.image_size, self.interpolation, self.resize_mode, self.fill_color)

    def write(self, folder: Path) -> None:
        """Write `encoder.json`."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", "utf-8")

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """Read `encoder.json`; raises `ModelUnavailable` where it is not one."""
        known = {field.name for field in fields(cls)}
        try:
            found: dict[str, Any] = json.loads(file.read_text("utf-8"))
            values = {key: _frozen(value) for key, value in found.items() if key in known}
            return cls(**values)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelUnavailable(f"{file}: is no description of an encoder ({error})") from error


class OnnxEncoder:
    """An `Encoder` of an exported CLIP; each network is loaded when it is first needed.

    `folder` is a folder, or the name of one that was pulled into `models_folder()`. `threads` 0
    leaves the number to onnxruntime; `device` is where pictures are encoded ("auto": on the
    processor). Raises `ModelUnavailable` where files are missing or damaged, or the device is not
    here.
    """

    def __init__(self, folder: str, *, threads: int = 0, device: str = AUTO) -> None:
        root = _root(folder)
        self.device = onnx_device(device)
        self.name = full_name(f"onnx:{folder}")
        self._threads = threads
        self._folder = _networks(root)
        self._tokenizer_file = _tokenizer_file(self._folder)
        file = self._folder / MANIFEST
        self._manifest = Manifest.read(file) if file.is_file() else self._inferred()

    @property
    def manifest(self) -> Manifest:
        """How this encoder prepares its inputs."""
        return self._manifest

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        return self._manifest.dim

    @property
    def licence(self) -> str:
        """The licence of the weights, as `encoder.json` says it."""
        return self._manifest.licence

    @property
    def logit_scale(self) -> float:
        """The multiplier of a cosine before a softmax over texts."""
        return self._manifest.logit_scale

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim]."""
        parts = (self.prepare(part) for part in _parts(images, BATCH))
        return self._run(self._visual, map(self._pixels, parts))

    @property
    def prepare(self) -> Shrink:
        """How pictures are shrunk for the network (see `idclip.preparation`)."""
        return self._manifest.shrink

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What `prepare` made of N pictures as unit vectors float32 [N, dim]."""
        return self._run(self._visual, map(self._pixels, _parts(prepared, BATCH)))

    def _pixels(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Bytes [N, h, w, 3] as the network wants them: float32 [N, 3, h, w]."""
        stated = self._manifest
        mean, std = (np.array(part, dtype=np.float32) for part in (stated.mean, stated.std))
        values = prepared.astype(np.float32)
        return np.ascontiguousarray(((values / 255 - mean) / std).transpose(0, 3, 1, 2))

    @property
    def face_model(self) -> str:
        """The face model of whose vectors a text can hold people; "" where it can hold none."""
        return self._manifest.face_model

    def encode_texts(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]] = ()
    ) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]; people as in `idclip.encoders.PersonEncoder`."""
        if self.face_model:
            return self._encode_with_people(texts, people)
        session = self._textual
        kind = np.int32 if "int32" in session.get_inputs()[0].type else np.int64
        batches = (
            token_ids(self._tokenizer, part, self._manifest.clean).astype(kind)
            for part in _parts(texts, BATCH)
        )
        return self._run(session, batches)

    def _encode_with_people(
        self, texts: Sequence[str], people: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        manifest = self._manifest
        given = people or [np.zeros((0, manifest.face_dim), np.float32)] * len(texts)
        found = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(texts), BATCH):
            part = slice(start, start + BATCH)
            faces = flat_people(texts[part], given[part], manifest.face_dim, manifest.face_model)
            read = self._person_tokenizer(texts[part])
            # The network wants one embedding at least; without a mark nothing points to it.
            faces = faces if len(faces) else np.zeros((1, manifest.face_dim), np.float32)
            (embeddings,) = self._translator.run(None, {"faces": faces})
            inputs = {"ids": read.ids, "slots": read.slots, "embeddings": embeddings}
            found.append(self._textual.run(None, inputs)[0])
        return _unit(np.concatenate(found))

    def _run(self, session: Any, batches: Iterator[NDArray[Any]]) -> NDArray[np.float32]:
        name = session.get_inputs()[0].name
        found = [session.run(None, {name: batch})[0] for batch in batches]
        return _unit(
            np.concatenate([np.empty((0, self.dim), np.float32), *found], dtype=np.float32)
        )

    @cached_property
    def _visual(self) -> Any:
        return open_session(self._folder / VISUAL, threads=self._threads, device=self.device)

    @cached_property
    def _textual(self) -> Any:
        return open_session(self._folder / TEXTUAL, threads=self._threads)

    @cached_property
    def _translator(self) -> Any:
        return open_session(self._folder / TRANSLATOR, threads=self._threads)

    @cached_property
    def _person_tokenizer(self) -> PersonTokenizer:
        manifest, tokenizer = self._manifest, self._tokenizer

        def tokenize(texts: Sequence[str], length: int) -> NDArray[np.int64]:
            tokenizer.enable_truncation(length)
            tokenizer.enable_padding(**{**(tokenizer.padding or {}), "length": length})
            return token_ids(tokenizer, texts, manifest.clean)

        return PersonTokenizer(
            tokenize,
            manifest.context_length,
            tokens=manifest.tokens,
            prompts=manifest.text_prompts,
            any_length=manifest.any_length,
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        if self._tokenizer_file.suffix == ".gz":
            return clip_tokenizer(self._tokenizer_file, self._manifest.context_length)
        from tokenizers import Tokenizer

        try:
            return Tokenizer.from_file(str(self._tokenizer_file))
        except Exception as error:  # the library raises a bare Exception
            raise ModelUnavailable(f"{self._tokenizer_file}: no tokenizer ({error})") from error

    def _inferred(self) -> Manifest:
        """A description for folders that have none, from the shapes of the networks."""
        height, width = self._visual.get_inputs()[0].shape[2:]
        length = self._textual.get_inputs()[0].shape[1]
        if not all(isinstance(size, int) for size in (height, width, length)):
            raise ModelUnavailable(
                f"{self._folder}: {MANIFEST} is missing and the networks do not say their sizes; "
                "export the model with idclip export-onnx"
            )
        # Exporters name the length of a vector or leave it open: a blank picture tells.
        blank = np.zeros((1, 3, height, width), np.float32)
        (vector,) = self._visual.run(None, {self._visual.get_inputs()[0].name: blank})
        return Manifest(self._folder.name, vector.shape[1], (height, width), length)


def visual_files(folder: str) -> tuple[list[Path], str]:
    """What a picture's vector depends on: the files of the network, and how it is prepared.

    `folder` is what `OnnxEncoder` takes; no network is loaded. Raises `ModelUnavailable`.
    """
    networks = _networks(_root(folder))
    file = networks / MANIFEST
    if not file.is_file():
        return sorted(networks.glob(f"{VISUAL}*")), ""
    stated = Manifest.read(file)
    preparation = [(name, getattr(stated, name)) for name in _OF_PICTURES]
    return sorted(networks.glob(f"{VISUAL}*")), repr(preparation)


def _root(folder: str) -> Path:
    root = Path(folder).expanduser()
    if not root.is_dir() and "/" not in folder and (models_folder() / folder).is_dir():
        root = models_folder() / folder
    if not root.is_dir() and f"onnx:{folder}" in REGISTRY:
        raise ModelUnavailable(
            f"onnx:{folder} is not on this machine; fetch it with: vidsearch models pull "
            f"onnx:{folder}"
        )
    if not root.is_dir():
        raise ModelUnavailable(
            f"onnx:{folder}: no such folder; make one with idclip export-onnx, or see "
            "vidsearch models list for those that can be pulled"
        )
    return root


def _networks(root: Path) -> Path:
    """The folder with the two networks: the root, or the only one below it that has them."""
    found = [
        folder
        for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir()))
        if (folder / VISUAL).is_file() and (folder / TEXTUAL).is_file()
    ]
    if not found:
        raise ModelUnavailable(f"{root}: has no {VISUAL} and {TEXTUAL}; see idclip export-onnx")
    return found[0]


def _tokenizer_file(folder: Path) -> Path:
    """The tokenizer beside the networks, or in rclip's `tokenizer/` beside their folder."""
    places = (
        folder / TOKENIZER,
        folder / VOCABULARY,
        folder / "tokenizer" / VOCABULARY,
        folder.parent / "tokenizer" / VOCABULARY,
    )
    for place in places:
        if place.is_file():
            return place
    raise ModelUnavailable(f"{folder}: has no {TOKENIZER}; see idclip export-onnx")


def _parts(items: Any, size: int) -> Iterator[Any]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(
        np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12
    )
    return unit


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
