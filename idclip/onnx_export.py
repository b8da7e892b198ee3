"""Export an open_clip model to a folder that `onnx:FOLDER` runs without torch (extra `train`)."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip_tokenizer import clip_tokenizer
from .errors import ModelUnavailable, VidsearchError
from .onnx_encoder import TEXTUAL, TOKENIZER, VISUAL, Manifest, OnnxEncoder

if TYPE_CHECKING:
    from .open_clip_encoder import OpenClipEncoder

TOLERANCE = 1e-4  # largest difference of any value of a unit vector
_TEXTS = (
    "a photo of a cat",
    "Two people's hands, 3 microphones & a piano!",
    "Café “Zürich” at night",
    "a very long text " * 40,
    "",
)


def export_onnx(source: str, folder: Path, *, licence: str = "") -> float:
    """Write `visual.onnx`, `textual.onnx`, `tokenizer.json` and `encoder.json` into a new folder.

    `source` is MODEL/PRETRAINED as after `open_clip:`. `licence` overrides what the registry says
    of the weights. The export is compared with the model before the folder appears; gives the
    largest difference found. Raises `ModelUnavailable` where the model cannot be had, and
    `VidsearchError` where the folder exists or the export differs by more than `TOLERANCE`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VidsearchError(f"{folder}: exists; export into a new folder")
    _require_onnx()
    from .open_clip_encoder import OpenClipEncoder

    encoder = OpenClipEncoder(source, device="cpu")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        part = Path(scratch) / "model"
        part.mkdir()
        manifest = _manifest(encoder, licence)
        manifest.write(part)
        _write_tokenizer(encoder, part / TOKENIZER, manifest)
        _write_networks(encoder, part, manifest)
        difference = _difference(encoder, OnnxEncoder(str(part)))
        if difference > TOLERANCE:
            raise VidsearchError(
                f"{encoder.name}: the export differs from the model by {difference:.2g}; "
                "nothing was written"
            )
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return difference


def _require_onnx() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise ModelUnavailable(f'the export needs {needed}: pip install "vidsearch[train]"')


def _manifest(encoder: OpenClipEncoder, licence: str) -> Manifest:
    prepared = encoder.model.visual.preprocess_cfg
    size = prepared["size"]
    return Manifest(
        title=encoder.name,
        dim=encoder.dim,
        image_size=(size, size) if isinstance(size, int) else (size[0], size[1]),
        context_length=int(encoder.tokenizer.context_length),
        logit_scale=encoder.logit_scale,
        licence=licence or encoder.licence,
        mean=tuple(prepared["mean"]),
        std=tuple(prepared["std"]),
        interpolation=prepared["interpolation"],
        resize_mode=prepared["resize_mode"],
        fill_color=prepared["fill_color"],
        clean=encoder.tokenizer.clean_fn.__name__.removeprefix("_clean_"),
    )


def _write_tokenizer(encoder: OpenClipEncoder, file: Path, manifest: Manifest) -> None:
    """The model's tokenizer with its cut and padding inside, so that the file says it all."""
    ours = encoder.tokenizer
    if hasattr(ours, "bpe_ranks"):  # CLIP's own
        from open_clip.tokenizer import default_bpe

        clip_tokenizer(Path(default_bpe()), manifest.context_length).save(str(file))
        return
    fast = getattr(ours.tokenizer, "backend_tokenizer", None)
    if fast is None or ours.tokenizer_mode or ours.strip_sep_token:
        raise VidsearchError(f"{encoder.name}: this kind of tokenizer cannot be exported")
    fast.enable_truncation(manifest.context_length)
    fast.enable_padding(
        length=manifest.context_length,
        pad_id=ours.tokenizer.pad_token_id,
        pad_token=ours.tokenizer.pad_token,
    )
    fast.save(str(file))


def _write_networks(encoder: OpenClipEncoder, folder: Path, manifest: Manifest) -> None:
    import torch

    class Tower(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, model: Any, method: str) -> None:
            super().__init__()
            self.model, self.method = model, method

        def forward(self, x: Any) -> Any:
            return getattr(self.model, self.method)(x)

    pictures = torch.zeros(2, 3, *manifest.image_size)
    ids = encoder.tokenizer(list(_TEXTS[:2]))
    for method, example, file in (
        ("encode_image", pictures, folder / VISUAL),
        ("encode_text", ids, folder / TEXTUAL),
    ):
        try:
            _write_network(Tower(encoder.model, method).eval(), example, file)
        except Exception as error:  # torch's exporter raises whatever the model made it meet
            reason = str(error.__cause__ or error).strip().split("\n")[0]
            raise VidsearchError(f"{encoder.name}: torch cannot export it: {reason}") from error


def _write_network(network: Any, example: Any, file: Path) -> None:
    """Export for batches of any size; weights beside the file only where one cannot hold them."""
    import torch

    size = sum(weight.numel() * 4 for weight in network.parameters())
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(file),
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=18,
            dynamo=True,
            external_data=size > 1_900_000_000,  # a protobuf file ends at 2 GiB
            verbose=False,
        )


def _difference(model: OpenClipEncoder, export: OnnxEncoder) -> float:
    """The largest difference of any value, over pictures of odd shapes and odd texts."""
    noise = np.random.default_rng(0)
    sizes = ((240, 320), (320, 180), (97, 301))
    pictures = [noise.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    images = np.abs(model.encode_images(pictures) - export.encode_images(pictures))
    texts = np.abs(model.encode_texts(_TEXTS) - export.encode_texts(_TEXTS))
    return float(max(images.max(), texts.max()))
