"""Small networks of the shapes and names that face libraries load, which see what a test draws.

The detectors fire on squares that are red throughout (255 in the first channel of RGB, whatever
the others hold) and stand on ground without red, 32, 64 and 128 pixels wide on the heads of stride
8, 16 and 32. They are sure where a square's middle lies on a multiple of the stride. Landmarks
stand where ArcFace's crops have them, so that the crop of a face is its square.

The recognisers give the mean colours of a crop's 4 x 4 cells, less a half, channel by channel
from red to blue; the other values are 0. A crop from the wrong place, mirrored or in BGR differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save

STRIDES = (8, 16, 32)
WIDTH = 4  # of the squares, in strides
CELLS = 4
# ArcFace's template, as a share of the crop.
LANDMARKS = (
    np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366],
              [41.5493, 92.3655], [70.7299, 92.2041]]) / 112
)  # fmt: skip


def face_square(side: int, seed: int, *, negative: bool = False) -> NDArray[np.uint8]:
    """A face [side, side, 3] the detectors find: red, with 4 x 4 cells of other colours.

    The same seed is the same person, and its negative as unlike them as can be.
    """
    cells = np.full((CELLS, CELLS, 3), 255, np.uint8)
    bits = np.random.default_rng(seed).integers(0, 2, (CELLS, CELLS, 2), dtype=np.uint8)
    cells[..., 1:] = 15 + 225 * (1 - bits if negative else bits)
    return cells.repeat(side // CELLS, axis=0).repeat(side // CELLS, axis=1)


def cells_of(square: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a recogniser says of a square: float64 [3 * 4 * 4] of unit length."""
    step = len(square) // CELLS
    means = square.reshape(CELLS, step, CELLS, step, 3).mean(axis=(1, 3)) / 255 - 0.5
    flat = means.transpose(2, 0, 1).ravel()
    unit: NDArray[np.float64] = flat / np.linalg.norm(flat)
    return unit


def save_yunet(file: Path, *, sides: tuple[Any, Any] = (640, 640)) -> None:
    """A detector for `cv2.FaceDetectorYN`; `sides` is what its input is declared as.

    The published file of 2023 says 640 x 640 and is run on other sizes all the same.
    """
    graph = _Graph()
    red = graph.conv("input", _only(2, 1 / 255), [0.0])  # BGR as it comes
    names = []
    for stride in STRIDES:
        score = _score(graph, red, stride)
        box = [0.0, 0.0, np.log(WIDTH), np.log(WIDTH)]
        for name, width, source, bias in (
            ("cls", 1, score, None),
            ("obj", 1, score, None),
            ("bbox", 4, score, box),
            ("kps", 10, score, _points()),
        ):
            names.append((f"{name}_{stride}", width))
            graph.rows(source, bias, (1, -1, width), f"{name}_{stride}")
    outputs = [(name, [1, None, width]) for name, width in names]
    graph.save(file, ("input", [1, 3, *sides]), sorted(outputs, key=_order_of_yunet))


def save_scrfd(file: Path, *, sides: tuple[Any, Any] = ("h", "w"), points: bool = True) -> None:
    """A detector as `det_10g.onnx` is: nine outputs of rank 2, declared for 640 x 640.

    Without `points` it has six outputs and tells no landmarks.
    """
    graph = _Graph()
    # RGB, normalised; the ground outside must count as black, so it is undone first.
    red = graph.conv("input.1", _only(0, 128 / 255), [127.5 / 255])
    scores, boxes, landmarks = [], [], []
    for stride in STRIDES:
        score = _score(graph, red, stride)
        rows = 2 * (640 // stride) ** 2
        both = graph.conv(score, np.array([1.0, 0.0]).reshape(2, 1, 1, 1), [0.0, 0.0])
        graph.rows(both, None, (-1, 1), f"score_{stride}")
        graph.rows(score, [WIDTH / 2] * 4 + [1.0] * 4, (-1, 4), f"bbox_{stride}")
        scores.append((f"score_{stride}", [rows, 1]))
        boxes.append((f"bbox_{stride}", [rows, 4]))
        if points:
            graph.rows(score, _points() + [0.0] * 10, (-1, 10), f"kps_{stride}")
            landmarks.append((f"kps_{stride}", [rows, 10]))
    graph.save(file, ("input.1", [1, 3, *sides]), scores + boxes + landmarks)


def save_sface(file: Path) -> None:
    """A recogniser for `cv2.FaceRecognizerSF`: RGB 0 to 255, 112 x 112, to 128 values."""
    _save_recogniser(file, ("data", [1, 3, 112, 112]), ("fc1", [1, 128]), 1 / 255, -0.5)


def save_arcface(file: Path, *, batch: Any = "n") -> None:
    """A recogniser as `w600k_r50.onnx` is: RGB -1 to 1, 112 x 112, to 512 values."""
    _save_recogniser(file, ("input.1", [batch, 3, 112, 112]), ("683", [1, 512]), 0.5, 0.0)


def _save_recogniser(
    file: Path, given: tuple[str, Any], made: tuple[str, Any], scale: float, shift: float
) -> None:
    graph = _Graph()
    side = given[1][-1] // CELLS
    cells = graph.node("AveragePool", [given[0]], kernel_shape=[side] * 2, strides=[side] * 2)
    centred = graph.conv(cells, scale * np.eye(3).reshape(3, 3, 1, 1), [shift] * 3)
    flat = graph.node("Flatten", [centred], axis=1)
    wide = graph.constant(np.eye(3 * CELLS**2, made[1][-1], dtype=np.float32))
    graph.node("MatMul", [flat, wide], made[0])
    graph.save(file, given, [made])


def _only(channel: int, scale: float) -> NDArray[np.float64]:
    weights = np.zeros((1, 3, 1, 1))
    weights[0, channel] = scale
    return weights


def _score(graph: _Graph, red: str, stride: int) -> str:
    """1 for a square of this head's width on dark ground; less beside it; 0 on wide bright ground.

    The mean of the square's area, less twice that of a frame around it.
    """
    width = WIDTH * stride
    weights = np.full((1, 1, 2 * width, 2 * width), -2 / (3 * width**2))
    inside = slice(width // 2, width // 2 + width)
    weights[:, :, inside, inside] = 1 / width**2
    pads = [width, width, width - stride, width - stride]
    seen = graph.conv(red, weights, [0.0], strides=[stride, stride], pads=pads)
    return graph.node("Clip", [seen, graph.constant(0.0), graph.constant(1.0)])


def _points() -> list[float]:
    """The landmarks from a square's middle, in strides: x, y of the left eye and so on."""
    return [float(v) for v in ((LANDMARKS - 0.5) * WIDTH).ravel()]


def _order_of_yunet(output: tuple[str, Any]) -> tuple[int, int]:
    name, _, stride = output[0].partition("_")
    return ("cls", "obj", "bbox", "kps").index(name), int(stride)


class _Graph:
    """Nodes and weights as they come, and the file that they make."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, value: Any) -> str:
        array = np.asarray(value)
        kept = array if array.dtype == np.int64 else array.astype(np.float32)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(kept, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(self, source: str, weights: Any, bias: Sequence[float], **attributes: Any) -> str:
        kernel = list(weights.shape[2:])
        inputs = [source, self.constant(weights), self.constant(list(bias))]
        return self.node("Conv", inputs, kernel_shape=kernel, **attributes)

    def rows(self, source: str, bias: list[float] | None, shape: Any, output: str) -> None:
        """One row a place of the map `source`; with `bias`, each is these values."""
        if bias is not None:
            source = self.conv(source, np.zeros((len(bias), 1, 1, 1)), bias)
        last = self.node("Transpose", [source], perm=[0, 2, 3, 1])
        self.node("Reshape", [last, self.constant(np.array(shape, np.int64))], output)

    def save(self, file: Path, given: tuple[str, Any], made: Sequence[tuple[str, Any]]) -> None:
        kind = TensorProto.FLOAT
        inputs = [helper.make_tensor_value_info(given[0], kind, given[1])]
        outputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in made]
        graph = helper.make_graph(self.nodes, "tiny", inputs, outputs, self.weights)
        opset = [helper.make_opsetid("", 17)]
        save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
