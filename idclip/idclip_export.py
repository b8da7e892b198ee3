"""Export an Id-CLIP to a folder that `onnx:FOLDER` runs without torch (extra `train`).

Beside what the export of any CLIP holds (`onnx_export`) there are `translator.onnx`, faces
[Q, F] to the embeddings [Q * T, W] of the tokens that stand for them, and a `textual.onnx` that
takes them: ids and slots [N, L] (`person_tokens`) and embeddings to vectors [N, D].
"""

# torch is not seen by mypy, so its functions are of any type.
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .checkpoints import CARD, checkpoint_folder, load_idclip
from .model import IdCLIP
from .onnx_encoder import TEXTUAL, TOKENIZER, TRANSLATOR, VISUAL, Manifest, OnnxEncoder
from .onnx_export import (
    as_module,
    cleaning,
    new_folder,
    preparation,
    require_equal,
    write_network,
    write_tokenizer,
)
from .prompts import TOK

_TEXTS = (
    f"{TOK} giving a speech outdoors",
    f"A man ({TOK}) and {TOK}, shaking hands",
    "a photo of a cat",
    "a very long text " * 40 + TOK,
    "",
)


def export_idclip(checkpoint: str | Path, folder: Path) -> float:
    """Write the model of a checkpoint into a new folder for `onnx:FOLDER`.

    The export is compared with the model before the folder appears; gives the largest difference
    of any value of a unit vector. Raises `ModelUnavailable` as `load_idclip` does, and
    `VidsearchError` where the folder holds something or the export differs by more than 1e-4.
    """
    with new_folder(folder) as part:
        model = load_idclip(checkpoint)
        _manifest(model, checkpoint).write(part)
        write_tokenizer(model.backbone.tokenizer, part / TOKENIZER, model.name)
        _write_networks(model, part)
        card = checkpoint_folder(checkpoint) / CARD
        if card.is_file():
            (part / CARD).write_bytes(card.read_bytes())
        difference = _difference(model, OnnxEncoder(str(part)))
        require_equal(difference, model.name)
    return difference


def _manifest(model: IdCLIP, checkpoint: str | Path) -> Manifest:
    backbone = model.backbone
    return Manifest(
        title=f"{model.name}, {Path(checkpoint).name}",
        dim=model.dim,
        context_length=backbone.context_length,
        logit_scale=float(backbone.model.logit_scale.detach().exp()),
        licence=backbone.licence,
        clean=cleaning(backbone.tokenizer),
        face_model=model.face_model,
        face_dim=model.face_dim,
        tokens=model.tokens,
        text_prompts=len(model.text_prompts),
        any_length=backbone.any_length,
        **preparation(backbone.model.visual.preprocess_cfg),
    )


def _write_networks(model: IdCLIP, folder: Path) -> None:
    height, width = preparation(model.backbone.model.visual.preprocess_cfg)["image_size"]
    people = [np.zeros((text.count(TOK), model.face_dim), np.float32) for text in _TEXTS[:2]]
    ids, slots, faces = model.read(_TEXTS[:2], people)
    per_text = {0: "batch", 1: "length"} if model.backbone.any_length else {0: "batch"}
    write_network(
        as_module(model, "encode_image"),
        {"input": torch.zeros(2, 3, height, width)},
        {"input": {0: "batch"}},
        folder / VISUAL,
    )
    write_network(
        as_module(model, "encode_placed"),
        {"ids": ids, "slots": slots, "embeddings": model.translate(faces).detach()},
        {"ids": per_text, "slots": per_text, "embeddings": {0: "tokens"}},
        folder / TEXTUAL,
    )
    write_network(
        as_module(model, "translate"),
        {"faces": faces},
        {"faces": {0: "people"}},
        folder / TRANSLATOR,
    )


def _difference(model: IdCLIP, export: OnnxEncoder) -> float:
    """The largest difference of any value, over pictures of odd shapes and odd texts."""
    noise = np.random.default_rng(0)
    sizes = ((240, 320), (320, 180), (97, 301))
    pictures = [noise.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    faces = noise.normal(size=(4, model.face_dim)).astype(np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    ends = np.cumsum([text.count(TOK) for text in _TEXTS])
    people = np.split(faces, ends[:-1])
    images = np.abs(model.encode_images(pictures) - export.encode_images(pictures))
    texts = np.abs(model.encode_texts(_TEXTS, people) - export.encode_texts(_TEXTS, people))
    return float(max(images.max(), texts.max()))
