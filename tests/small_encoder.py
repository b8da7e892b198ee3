"""An encoder of a few numbers, as `onnx:FOLDER`: pictures by their mean colours, texts by ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from idclip.onnx_encoder import Manifest

SIZE, LENGTH, DIM = 32, 16, 12
_GRID = 8  # pixels of a cell of which the mean colour counts


def small_encoder(folder: Path, seed: int = 0) -> str:
    """Make one in a new folder, the same for the same seed; gives the name to load it by."""
    import onnx
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    node, kinds = onnx.helper.make_node, onnx.TensorProto
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    cells = 3 * (SIZE // _GRID) ** 2
    see = [
        node("AveragePool", ["input"], ["m"], kernel_shape=[_GRID] * 2, strides=[_GRID] * 2),
        node("Flatten", ["m"], ["flat"]),
        node("MatMul", ["flat", "w"], ["output"]),
    ]
    read = [
        node("Cast", ["input"], ["ids"], to=kinds.FLOAT),
        node("MatMul", ["ids", "w"], ["output"]),
    ]
    seen = draw.normal(size=(cells, DIM))
    _network(folder / "visual.onnx", kinds.FLOAT, ["n", 3, SIZE, SIZE], see, seen)
    told = draw.normal(size=(LENGTH, DIM))
    _network(folder / "textual.onnx", kinds.INT64, ["n", LENGTH], read, told)
    tokenizer = Tokenizer(WordLevel({"?": 0, "man": 1, "crowd": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=0, pad_token="?")
    tokenizer.save(str(folder / "tokenizer.json"))
    Manifest(f"small {seed}", DIM, (SIZE, SIZE), LENGTH, 12.5, "MIT").write(folder)
    return f"onnx:{folder}"


def _network(path: Path, kind: int, shape: list[Any], nodes: list[Any], weights: Any) -> None:
    import onnx

    inputs = [onnx.helper.make_tensor_value_info("input", kind, shape)]
    outputs = [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["n", DIM])]
    weight = onnx.numpy_helper.from_array(weights.astype(np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "small", inputs, outputs, [weight])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
