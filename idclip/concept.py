"""The encoder that ships: EfficientNet-Lite2 and MiniLM in one space, on onnxruntime alone.

`idclip train-concept` (`idclip.concept_training`) makes the files that stand in
`idclip/weights/concept`; `MODEL_CARD.md` there says from what, how good and for whom. The weights
are stored small (float16 and int8 with a scale for each row) and computed with in float32.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .devices import AUTO, CPU, onnx_device
from .errors import ModelUnavailable
from .preparation import Squeeze

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = Path(__file__).parent / "weights" / "concept"
FILES = ("config.json", "image.onnx", "text.onnx", "tokenizer.json")
IMAGE_BATCH = 8  # larger batches are no faster and take more memory
TEXT_BATCH = 64


class ConceptEncoder:
    """Pictures and texts as float32 unit vectors [N, dim] of one space.

    `folder` holds what `idclip.concept_training` writes. `threads` is the number of threads of
    each of the two networks; 0 leaves it to onnxruntime (all cores). Each network is loaded when
    it is first used, so that asking costs no image tower and indexing no text tower.

    `device` is where pictures are encoded ("auto": on the processor, which the network was rounded
    for). Raises `ModelUnavailable` when a file of the model is absent or of an unknown format, or
    the device is not here.
    """

    name = "concept"
    licence = "Apache-2.0"

    def __init__(self, folder: Path = WEIGHTS, *, threads: int = 0, device: str = AUTO) -> None:
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ModelUnavailable(
                f"the concept encoder is incomplete: {', '.join(missing)} absent from {folder}. "
                "Install the project again, or make the weights with `idclip train-concept`."
            )
        config = json.loads((folder / "config.json").read_text())
        if config.get("format") != 1:
            raise ModelUnavailable(
                f"{folder / 'config.json'}: format {config.get('format')!r} is not known to this "
                "version, which reads 1. Install the version that the weights were made with."
            )
        self.dim = int(config["dim"])
        self.logit_scale = float(config["logit_scale"])
        self.device = onnx_device(device)
        self.prepare = Squeeze(int(config["image_side"]))
        self._tokens = int(config["text_tokens"])
        self._folder = folder
        self._threads = threads

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes as unit vectors float32 [N, dim].

        The whole picture is squeezed to a square: nothing at its edges is lost, and the network
        was trained on pictures squeezed so. Raises `ValueError` for anything but RGB uint8.
        """
        return self.encode_prepared(self.prepare(images))

    def encode_prepared(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What `prepare` made of N pictures as unit vectors float32 [N, dim]."""
        vectors = np.empty((len(prepared), self.dim), np.float32)
        for start in range(0, len(prepared), IMAGE_BATCH):
            batch = prepared[start : start + IMAGE_BATCH]
            (found,) = self._image_session.run(None, {"pixels": batch})
            vectors[start : start + len(batch)] = found
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]; what is longer than `text_tokens` is cut off."""
        vectors = np.empty((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), TEXT_BATCH):
            batch = self._tokenizer.encode_batch(list(texts[start : start + TEXT_BATCH]))
            tokens = np.array([line.ids for line in batch], np.int64)
            mask = np.array([line.attention_mask for line in batch], np.int64)
            (found,) = self._text_session.run(None, {"tokens": tokens, "mask": mask})
            vectors[start : start + len(batch)] = found
        return vectors

    @cached_property
    def _image_session(self) -> Any:
        return self._session("image.onnx", self.device)

    @cached_property
    def _text_session(self) -> Any:
        return self._session("text.onnx", CPU)  # one text at a time

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.enable_truncation(self._tokens)
        tokenizer.enable_padding()
        return tokenizer

    def _session(self, file: str, device: str) -> Any:
        from .onnx_session import open_session

        return open_session(self._folder / file, threads=self._threads, device=device)
