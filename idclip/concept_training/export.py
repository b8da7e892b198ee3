"""The trained encoder as files for onnxruntime: small weights, float32 arithmetic (torch, onnx).

The weights of the image tower are stored as float16, those of the text tower and the heads as
int8 with one scale for each row. Both become float32 when a session is made (onnxruntime folds the
constants), so nothing is lost but the rounding. The word table stays int8 in memory: its rows are
looked up first and made float32 then.

With `typical` pictures and features the image side also computes in int8, in less than half the
time. Ranges are fixed, so that a picture's vector does not depend on those beside it.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from .towers import IMAGE_FEATURES, IMAGE_SIDE, MEAN, SPREAD, minilm_folder

TOKENS = 64
SMALL = 4096  # tensors of fewer values are kept as they are
FEATURES, VECTORS = "features", "vectors"  # what tower and encoder put out


def export_tower(tower: nn.Module, file: Path, typical: NDArray[np.uint8] | None) -> None:
    """Write RGB uint8 [N, 260, 260, 3] to features float32 [N, 1280].

    `typical` are training pictures RGB uint8 [N, 260, 260, 3] on which the ranges of the tower's
    values are measured for int8; None leaves it in float32. What the file computes differs a
    little from the tower for its rounding: heads are fitted on what the file says.
    """
    pixels = torch.zeros(2, IMAGE_SIDE, IMAGE_SIDE, 3, dtype=torch.uint8)
    _export(tower, {"pixels": pixels}, file, {"pixels": {0: "n"}}, FEATURES)
    _simplify(file)
    if typical is not None:
        batches = ({"pixels": some} for some in np.array_split(typical, max(1, len(typical) // 8)))
        _quantize(file, batches, ("Conv", "Add", "Clip"))
        _read_pixels_as_they_are(file)


def export(
    tower: Path,
    head: nn.Module,
    text: nn.Module,
    folder: Path,
    *,
    dim: int,
    logit_scale: float,
    typical: NDArray[np.float32] | None,
) -> dict[str, int]:
    """Write image.onnx, text.onnx, tokenizer.json, config.json; return each file's bytes.

    `tower` is what `export_tower` wrote, `head` takes its features [N, 1280], `text` tokens and
    mask int64 [N, T]; both return unit vectors float32 [N, dim]. With `typical` features of
    training pictures the head's products are made in int8 too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _export_image(tower, head, folder / "image.onnx", typical)
    _shrink_file(folder / "image.onnx")
    tokens = torch.ones(2, 9, dtype=torch.int64)
    axes = {0: "n", 1: "t"}
    inputs, varying = {"tokens": tokens, "mask": tokens}, {"tokens": axes, "mask": axes}
    _export(text, inputs, folder / "text.onnx", varying, VECTORS)
    _shrink_file(folder / "text.onnx")
    shutil.copyfile(minilm_folder() / "tokenizer.json", folder / "tokenizer.json")
    config = {
        "format": 1,
        "dim": dim,
        "logit_scale": round(logit_scale, 3),
        "image_side": IMAGE_SIDE,
        "text_tokens": TOKENS,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def _export_image(
    tower: Path, head: nn.Module, file: Path, typical: NDArray[np.float32] | None
) -> None:
    """Tower and head as one network."""
    features = torch.zeros(2, IMAGE_FEATURES)
    _export(head, {FEATURES: features}, file, {FEATURES: {0: "n"}}, VECTORS)
    if typical is not None:
        _simplify(file)
        batches = ({FEATURES: some} for some in np.array_split(typical, max(1, len(typical) // 8)))
        # Layers with a bias only: what the others take in has too long tails for 8 bits.
        _quantize(file, batches, ("Gemm",))
    own_names = {"rename_inputs": False, "rename_outputs": False}
    joined = onnx.compose.merge_models(
        onnx.load(str(tower)),
        onnx.compose.add_prefix(onnx.load(str(file)), "head/", **own_names),
        io_map=[(FEATURES, FEATURES)],
    )
    onnx.save(joined, str(file))


def _export(
    module: nn.Module,
    inputs: dict[str, Any],
    path: Path,
    axes: dict[str, dict[int, str]],
    output: str,
) -> None:
    with torch.no_grad():
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={**axes, output: {0: "n"}},
            opset_version=17,
            dynamo=False,  # the newer exporter rewrites the weights that `_shrink` looks for
        )


class _Batches:
    """Inputs in batches, as onnxruntime's calibration wants them."""

    def __init__(self, batches: Iterable[dict[str, NDArray[Any]]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._batches, None)


def _simplify(path: Path) -> None:
    """Fold constants, and make each padding a part of the convolution after it.

    A padding of its own in front of a convolution in int8 took a sixth of the time of them all.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(str(path), str(path), skip_symbolic_shape=True)
    model = onnx.load(str(path))
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        (conv,) = (node for node in graph.node if pad.output[0] in node.input)
        _, _, top, left, _, _, bottom, right = map(int, constants[pad.input[1]])
        (pads,) = (attribute for attribute in conv.attribute if attribute.name == "pads")
        pads.ints[:] = [
            there + more for there, more in zip(pads.ints, (top, left, bottom, right), strict=True)
        ]
        conv.input[0] = pad.input[0]
        graph.node.remove(pad)
    onnx.save(model, str(path))


def _quantize(path: Path, batches: Iterable[dict[str, NDArray[Any]]], kinds: Sequence[str]) -> None:
    """Make a network's operations of these kinds int8; `batches` tell their ranges."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(path),
        str(path),
        _Batches(batches),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=list(kinds),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,  # 7 bits: processors without VNNI add pairs of products in 16 bits
    )


def _read_pixels_as_they_are(path: Path) -> None:
    """Let the first convolution take the pixels for what its quantized input would be.

    (pixel / 255 - 0.498) / 0.502 is a quantized value already: (pixel - 127) / 128.01, but for a
    hundredth of a step.
    """
    model = onnx.load(str(path))
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    (first,) = (n for n in graph.node if n.op_type == "Conv" and "/stem/" in n.name)
    dequantize = maker[first.input[0]]
    normalized = maker[dequantize.input[0]]
    turned = helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2])
    scale = numpy_helper.from_array(np.array(1 / (255 * SPREAD), np.float32), "pixel_scale")
    zero = numpy_helper.from_array(np.array(round(255 * MEAN), np.uint8), "pixel_zero")
    graph.initializer.extend([scale, zero])
    dequantize.input[:] = [turned.output[0], scale.name, zero.name]
    graph.node.insert(0, turned)
    _drop_unread(graph, normalized)
    onnx.save(model, str(path))


def _drop_unread(graph: Any, node: Any) -> None:
    """Remove a node whose output nobody reads, and those before it that fed nothing else."""
    maker = {name: each for each in graph.node for name in each.output}
    graph.node.remove(node)
    for name in node.input:
        read = any(name in each.input for each in graph.node)
        if name in maker and not read:
            _drop_unread(graph, maker[name])


def _shrink_file(path: Path) -> None:
    model = onnx.load(str(path))
    _shrink(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _shrink(model: Any) -> None:
    """Store the large weights of `model` as float16 (convolutions) or int8 (all others)."""
    graph = model.graph
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    kept, casts = [], []
    for tensor in graph.initializer:
        if tensor.name not in readers:
            continue
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALL:
            kept.append(tensor)
            continue
        values = numpy_helper.to_array(tensor)
        uses = readers[tensor.name]
        if uses[0].op_type == "Conv":
            kept.append(numpy_helper.from_array(values.astype(np.float16), tensor.name + "_f16"))
            casts.append(_cast(tensor.name + "_f16", tensor.name))
        elif uses[0].op_type == "Gather" and len(uses) == 1:
            kept += _int8(values, tensor.name, axis=1)
            _look_up_first(graph, uses[0], tensor.name)
        else:
            # A MatMul's weight is [inputs, outputs]; a Gemm's with transB the other way about.
            transposed = any(a.name == "transB" and a.i for a in uses[0].attribute)
            kept += _int8(values, tensor.name, axis=1 if transposed else 0)
            casts.append(_cast(tensor.name + "_i8", tensor.name + "_f32"))
            product = [tensor.name + "_f32", tensor.name + "_scale"]
            casts.append(helper.make_node("Mul", product, [tensor.name]))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _int8(values: NDArray[np.float32], name: str, *, axis: int) -> list[Any]:
    """Values as int8 and the scales to multiply by, one for each index off `axis`."""
    scale = np.abs(values).max(axis=axis, keepdims=True) / 127
    scale = np.maximum(scale, 1e-12).astype(np.float32)
    rounded = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
    return [
        numpy_helper.from_array(rounded, name + "_i8"),
        numpy_helper.from_array(scale, name + "_scale"),
    ]


def _look_up_first(graph: Any, gather: Any, name: str) -> None:
    """Turn Gather(table, i) into Cast(Gather(int8 table, i)) * Gather(scales, i)."""
    at, index, found = list(graph.node).index(gather), gather.input[1], gather.output[0]
    nodes = [
        helper.make_node("Gather", [name + "_i8", index], [found + "_i8"], axis=0),
        helper.make_node("Gather", [name + "_scale", index], [found + "_scale"], axis=0),
        _cast(found + "_i8", found + "_f32"),
        helper.make_node("Mul", [found + "_f32", found + "_scale"], [found]),
    ]
    graph.node.remove(gather)
    for offset, node in enumerate(nodes):
        graph.node.insert(at + offset, node)


def _cast(source: str, target: str) -> Any:
    return helper.make_node("Cast", [source], [target], to=TensorProto.FLOAT)
