"""Export an open_clip model to a folder that `onnx:FOLDER` runs without torch (extra `train`)."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    with new_folder(folder) as part:
        from .open_clip_encoder import OpenClipEncoder

        encoder = OpenClipEncoder(source, device="cpu")
        _manifest(encoder, licence).write(part)
        write_tokenizer(encoder.tokenizer, part / TOKENIZER, encoder.name)
        _write_networks(encoder, part)
        difference = _difference(encoder, OnnxEncoder(str(part)))
        require_equal(difference, encoder.name)
    return difference


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write an export into, which becomes `folder` when all went well.

    Raises `VidsearchError` where `folder` holds something, and `ModelUnavailable` without the
    packages that an export needs.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VidsearchError(f"{folder}: exists; export into a new folder")
    _require_onnx()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        part = Path(scratch) / "model"
        part.mkdir()
        yield part
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def require_equal(difference: float, name: str) -> None:
    """Raise `VidsearchError` where an export differs from its model by more than `TOLERANCE`."""
    if difference > TOLERANCE:
        raise VidsearchError(
            f"{name}: the export differs from the model by {difference:.2g}; nothing was written"
        )


def _require_onnx() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise ModelUnavailable(f'the export needs {needed}: pip install "vidsearch[train]"')


def _manifest(encoder: OpenClipEncoder, licence: str) -> Manifest:
    return Manifest(
        title=encoder.name,
        dim=encoder.dim,
        context_length=int(encoder.tokenizer.context_length),
        logit_scale=encoder.logit_scale,
        licence=licence or encoder.licence,
        clean=cleaning(encoder.tokenizer),
        **preparation(encoder.model.visual.preprocess_cfg),
    )


def preparation(prepared: Mapping[str, Any]) -> dict[str, Any]:
    """How pictures are prepared, in the words of `Manifest`, from open_clip's configuration."""
    size = prepared["size"]
    return {
        "image_size": (size, size) if isinstance(size, int) else (size[0], size[1]),
        "mean": tuple(prepared["mean"]),
        "std": tuple(prepared["std"]),
        "interpolation": prepared["interpolation"],
        "resize_mode": prepared["resize_mode"],
        "fill_color": prepared["fill_color"],
    }


def cleaning(tokenizer: Any) -> str:
    """How texts are cleaned before they are tokenized, as `clip_tokenizer.token_ids` calls it."""
    clean = getattr(tokenizer, "clean_fn", None)
    return clean.__name__.removeprefix("_clean_") if clean else "none"


def write_tokenizer(tokenizer: Any, file: Path, name: str) -> None:
    """A model's tokenizer with its cut and padding inside, so that the file says it all.

    `name` is that of the model. Raises `VidsearchError` for a kind that cannot be exported.
    """
    length = int(tokenizer.context_length)
    if hasattr(tokenizer, "bpe_ranks"):  # CLIP's own
        from open_clip.tokenizer import default_bpe

        clip_tokenizer(Path(default_bpe()), length).save(str(file))
        return
    if hasattr(tokenizer, "save"):  # compact's
        tokenizer.save(file)
        return
    fast = getattr(tokenizer.tokenizer, "backend_tokenizer", None)
    if fast is None or tokenizer.tokenizer_mode or tokenizer.strip_sep_token:
        raise VidsearchError(f"{name}: this kind of tokenizer cannot be exported")
    padding = tokenizer.tokenizer
    fast.enable_truncation(length)
    fast.enable_padding(length=length, pad_id=padding.pad_token_id, pad_token=padding.pad_token)
    fast.save(str(file))


def _write_networks(encoder: OpenClipEncoder, folder: Path) -> None:
    import torch

    height, width = preparation(encoder.model.visual.preprocess_cfg)["image_size"]
    inputs = {
        VISUAL: ("encode_image", torch.zeros(2, 3, height, width)),
        TEXTUAL: ("encode_text", encoder.tokenizer(list(_TEXTS[:2]))),
    }
    for file, (method, example) in inputs.items():
        network = as_module(encoder.model, method)
        write_network(network, {"input": example}, {"input": {0: "batch"}}, folder / file)


def as_module(model: Any, method: str) -> Any:
    """One method of a model as a network of its own, in evaluation mode."""
    import torch

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return getattr(self.model, method)(*inputs)

    return Network().eval()


def write_network(
    network: Any,
    inputs: Mapping[str, Any],
    varying: Mapping[str, Mapping[int, str]],
    file: Path,
) -> None:
    """Write `network` to an ONNX file, its result being called "output".

    `inputs` are examples by name, in the order of its arguments; `varying` names the dimensions
    of each that may have any size. Weights go beside the file only where one cannot hold them.
    Raises `VidsearchError` where torch cannot export it.
    """
    import torch

    names = {dim for dims in varying.values() for dim in dims.values()}
    sizes = {name: torch.export.Dim(name) for name in names}
    shapes = tuple({at: sizes[dim] for at, dim in varying.get(name, {}).items()} for name in inputs)
    size = sum(weight.numel() * 4 for weight in network.parameters())
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                tuple(inputs.values()),
                str(file),
                input_names=list(inputs),
                output_names=["output"],
                dynamic_shapes=(shapes,),  # for the one argument `*inputs`
                opset_version=18,
                dynamo=True,
                external_data=size > 1_900_000_000,  # a protobuf file ends at 2 GiB
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises whatever the model made it meet
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            reason = cause.strerror or str(cause)
            raise VidsearchError(f"{file}: cannot be written: {reason}; make room") from error
        reason = str(cause).strip().split("\n")[0]
        raise VidsearchError(f"{file.stem}: torch cannot export it: {reason}") from error


def _difference(model: OpenClipEncoder, export: OnnxEncoder) -> float:
    """The largest difference of any value, over pictures of odd shapes and odd texts."""
    noise = np.random.default_rng(0)
    sizes = ((240, 320), (320, 180), (97, 301))
    pictures = [noise.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    images = np.abs(model.encode_images(pictures) - export.encode_images(pictures))
    texts = np.abs(model.encode_texts(_TEXTS) - export.encode_texts(_TEXTS))
    return float(max(images.max(), texts.max()))
