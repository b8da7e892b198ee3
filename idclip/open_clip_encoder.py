"""Any model of open_clip as an `Encoder` (extra `torch`); the only module that imports it.

`MODEL/TAG` takes published weights, `MODEL/PATH` a checkpoint file (a leading slash makes two:
`ViT-B-32//data/my.pt`), `local-dir:FOLDER` a folder that open_clip saved. Checkpoints are read
as weights only: a file that wants to run code is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encoders import LOCAL_DIR, REGISTRY, full_name
from .errors import ModelUnavailable
from .pull import (
    TORCH_REMEDY,
    WEIGHTS,
    cached,
    hub_file,
    hub_folder,
    require_hub,
    torch_installed,
)

UNKNOWN_LICENCE = "unknown: ask where the checkpoint comes from"
BATCH = 32
_TOKENIZER_FILES = ("tokenizer*", "*.model", "vocab*", "merges*", "special_tokens*", "config.json")


@dataclass(frozen=True)
class Source:
    """Where a model comes from, in the words of `open_clip.create_model_and_transforms`.

    `published` is what open_clip knows of a tag: its repository, mean, std and more.
    """

    model: str
    pretrained: str | None
    published: dict[str, Any]


class OpenClipEncoder:
    """An `Encoder` made of an open_clip model: float32 on the CPU, bfloat16 on a GPU.

    `source` is what follows `open_clip:` in a name. Raises `ModelUnavailable` where the extra is
    missing, the model is unknown, cannot be fetched, or its file does not fit.
    """

    def __init__(self, source: str, *, threads: int = 0, device: str | None = None) -> None:
        _hub_answers_if_needed(f"open_clip:{source}")
        open_clip = _open_clip()
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.name = full_name(f"open_clip:{source}")
        found = _source(source)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.preprocess = _load(found, source, self.device)
        self.tokenizer = _tokenizer(found, source)
        self.dim = int(open_clip.get_model_config(found.model)["embed_dim"])
        self.logit_scale = float(self.model.logit_scale.detach().exp())
        known = REGISTRY.get(self.name)
        self.licence = known.licence if known else UNKNOWN_LICENCE

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB uint8 pictures [H, W, 3] of any sizes, as unit vectors float32 [N, dim]."""
        import torch
        from PIL import Image

        parts = [
            torch.stack([self.preprocess(Image.fromarray(image)) for image in part])
            for part in _parts(images)
        ]
        return self._encoded(self.model.encode_image, parts)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as unit vectors float32 [N, dim]."""
        parts = [self.tokenizer(list(part)) for part in _parts(texts)]
        return self._encoded(self.model.encode_text, parts)

    def _encoded(self, encode: Any, parts: list[Any]) -> NDArray[np.float32]:
        import torch

        found = [np.empty((0, self.dim), np.float32)]
        half = torch.autocast("cuda", torch.bfloat16, enabled=self.device.startswith("cuda"))
        with torch.inference_mode(), half:
            for part in parts:
                vectors = encode(part.to(self.device)).float()
                found.append(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy())
        return np.concatenate(found)


def fetch(source: str) -> Path:
    """Make sure that the weights and the tokenizer of `MODEL/TAG` are here; gives the weights.

    Raises `ModelUnavailable` as `OpenClipEncoder` does.
    """
    _hub_answers_if_needed(f"open_clip:{source}")
    found = _source(source)
    if not found.published:
        raise ModelUnavailable(f"open_clip:{source} is local: there is nothing to fetch")
    _tokenizer(found, source)
    return _weights(found, source)


def vector_files(source: str) -> list[Path]:
    """The files that vectors of `source` depend on: the checkpoint, with a folder's description.

    Fetches what `OpenClipEncoder` would fetch, and raises `ModelUnavailable` as that does.
    """
    if source.startswith(LOCAL_DIR):
        return sorted(Path(source.removeprefix(LOCAL_DIR)).expanduser().glob("open_clip_*"))
    found = _source(source)
    return [_weights(found, source) if found.published else Path(str(found.pretrained))]


def _hub_answers_if_needed(name: str) -> None:
    """Say at once that a named model is missing: importing open_clip alone can take seconds."""
    info = REGISTRY.get(name)
    if info is not None and torch_installed() and cached(info.repo, WEIGHTS) is None:
        require_hub(name)


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError as error:
        missing = "needs the extra" if error.name in ("open_clip", "torch") else f"({error})"
        raise ModelUnavailable(f"open_clip models {missing}: {TORCH_REMEDY}") from error
    return open_clip


def _source(source: str) -> Source:
    """Tell a published tag, a checkpoint file and a saved folder apart."""
    open_clip = _open_clip()
    if source.startswith(LOCAL_DIR):
        folder = Path(source.removeprefix(LOCAL_DIR)).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise ModelUnavailable(f"{folder}: has no open_clip_config.json as open_clip saves it")
        return Source(f"{LOCAL_DIR}{folder}", None, {})
    model, _, pretrained = source.partition("/")
    models, tags = open_clip.list_models(), open_clip.list_pretrained_tags_by_model(model)
    if model not in models:
        raise ModelUnavailable(f'open_clip knows no model "{model}"{_meant(model, models)}')
    published = open_clip.get_pretrained_cfg(model, pretrained)
    file = Path(pretrained).expanduser()
    if published:
        return Source(model, pretrained, published)
    if pretrained and file.is_file():
        return Source(model, str(file), {})
    raise ModelUnavailable(
        f'open_clip:{source}: "{pretrained}" is neither a file nor weights published for {model}'
        f"; those are {', '.join(tags) or 'none'}"
    )


def _meant(name: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else "; open_clip.list_models() has all"


def _weights(found: Source, source: str) -> Path:
    """The weights file of a published tag, from the cache or the network."""
    repo, _, file = str(found.published.get("hf_hub", "")).rpartition("/")
    if not repo:
        raise ModelUnavailable(
            f"open_clip:{source}: these weights are not on the hub; fetch them "
            f"by hand and name the file: open_clip:{found.model}/FILE"
        )
    files: tuple[str, ...] = WEIGHTS
    if file:
        safe = f"{Path(file).stem}.safetensors"
        files = (file,) if file == safe else (safe, file)
    return hub_file(f"open_clip:{source}", repo, files)


def _load(found: Source, source: str, device: str) -> tuple[Any, Any]:
    """The model in evaluation mode, and its way to prepare a PIL image."""
    published = found.published
    options: dict[str, Any] = {}
    if published:
        # We fetch ourselves (open_clip waits for minutes without a network), so a tag becomes a
        # path, and what open_clip would have known of the tag has to be said.
        options = {f"image_{key}": published.get(key) for key in _PREPARATION}
        options["force_quick_gelu"] = bool(published.get("quick_gelu"))
    pretrained = str(_weights(found, source)) if published else found.pretrained
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model, _, preprocess = _open_clip().create_model_and_transforms(
                found.model,
                pretrained=pretrained,
                device=device,
                weights_only=True,
                pretrained_text=False,
                require_pretrained=True,
                **options,
            )
    except Exception as error:  # what torch and open_clip raise here has no common base
        reason = str(error).strip().split("\n")[0]
        raise ModelUnavailable(
            f"open_clip:{source}: {pretrained or found.model} cannot be loaded: {reason}"
        ) from error
    return model.eval(), preprocess


_PREPARATION = ("mean", "std", "interpolation", "resize_mode")


def _tokenizer(found: Source, source: str) -> Any:
    """The model's tokenizer; those that open_clip takes from the hub are fetched first."""
    open_clip = _open_clip()
    text = open_clip.get_model_config(found.model).get("text_cfg", {})
    repo = str(text.get("hf_tokenizer_name", ""))
    if not repo or found.model.startswith(LOCAL_DIR):
        return open_clip.get_tokenizer(found.model)
    hub_folder(f"open_clip:{source}", repo, "tokenizer_config.json", _TOKENIZER_FILES)
    return open_clip.get_tokenizer(found.model, local_files_only=True)


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
