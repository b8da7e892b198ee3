"""Models of open_clip: where they come from, and loading them (extra `torch`).

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

from .encoders import LOCAL_DIR, REGISTRY
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

_TOKENIZER_FILES = ("tokenizer*", "*.model", "vocab*", "merges*", "special_tokens*", "config.json")


@dataclass(frozen=True)
class Source:
    """Where a model comes from, in the words of `open_clip.create_model_and_transforms`.

    `published` is what open_clip knows of a tag: its repository, mean, std and more. A model
    that is neither a folder nor has `pretrained` starts from random weights.
    """

    model: str
    pretrained: str | None
    published: dict[str, Any]


def fetch(source: str) -> Path:
    """Make sure that the weights and the tokenizer of `MODEL/TAG` are here; gives the weights.

    Raises `ModelUnavailable` as `OpenClipEncoder` does.
    """
    hub_answers_if_needed(f"open_clip:{source}")
    found = source_of(source)
    if not found.published:
        raise ModelUnavailable(f"open_clip:{source} is local: there is nothing to fetch")
    load_tokenizer(found, source)
    return _weights(found, source)


def vector_files(source: str) -> list[Path]:
    """The files that vectors of `source` depend on: the checkpoint, with a folder's description.

    Fetches what `OpenClipEncoder` would fetch, and raises `ModelUnavailable` as that does.
    """
    if source.startswith(LOCAL_DIR):
        return sorted(Path(source.removeprefix(LOCAL_DIR)).expanduser().glob("open_clip_*"))
    found = source_of(source)
    return [_weights(found, source) if found.published else Path(str(found.pretrained))]


def hub_answers_if_needed(name: str) -> None:
    """Say at once that a named model is missing: importing open_clip alone can take seconds."""
    info = REGISTRY.get(name)
    if info is not None and torch_installed() and cached(info.repo, WEIGHTS) is None:
        require_hub(name)


def open_clip_package() -> Any:
    """The package; raises `ModelUnavailable` with the remedy where the extra is missing."""
    try:
        import open_clip
    except ImportError as error:
        missing = "needs the extra" if error.name in ("open_clip", "torch") else f"({error})"
        raise ModelUnavailable(f"open_clip models {missing}: {TORCH_REMEDY}") from error
    return open_clip


def source_of(source: str) -> Source:
    """Tell a published tag, a checkpoint file and a saved folder apart."""
    open_clip = open_clip_package()
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


def load_model(found: Source, source: str, device: str) -> tuple[Any, Any]:
    """The model in evaluation mode, and its way to prepare a PIL image.

    `source` is how the user named it. Raises `ModelUnavailable` where it cannot be loaded.
    """
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
            model, _, preprocess = open_clip_package().create_model_and_transforms(
                found.model,
                pretrained=pretrained,
                device=device,
                weights_only=True,
                pretrained_text=False,
                require_pretrained=pretrained is not None or found.model.startswith(LOCAL_DIR),
                **options,
            )
    except Exception as error:  # what torch and open_clip raise here has no common base
        reason = str(error).strip().split("\n")[0]
        raise ModelUnavailable(
            f"open_clip:{source}: {pretrained or found.model} cannot be loaded: {reason}"
        ) from error
    return model.eval(), preprocess


_PREPARATION = ("mean", "std", "interpolation", "resize_mode")


def load_tokenizer(found: Source, source: str) -> Any:
    """The model's tokenizer; those that open_clip takes from the hub are fetched first."""
    open_clip = open_clip_package()
    text = open_clip.get_model_config(found.model).get("text_cfg", {})
    repo = str(text.get("hf_tokenizer_name", ""))
    local = not repo or found.model.startswith(LOCAL_DIR) or Path(repo).is_dir()
    if not local:
        hub_folder(f"open_clip:{source}", repo, "tokenizer_config.json", _TOKENIZER_FILES)
    try:
        if local:
            return open_clip.get_tokenizer(found.model)
        return open_clip.get_tokenizer(found.model, local_files_only=True)
    except OSError as error:  # SigLIP's first tokenizer comes from a place of its own
        raise ModelUnavailable(
            f"open_clip:{source}: its tokenizer is not on this machine and cannot be fetched "
            f"({error}); connect to the network once"
        ) from error
