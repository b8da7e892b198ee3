"""The face network that is written is the one that was given, in training as on onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from idclip.errors import ModelUnavailable
from idclip.face_weights import BLOCKS, Convolution, dlib_layers, face_network, parameters
from idclip.onnx_session import open_session

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def convolutions() -> list[Convolution]:
    """27 of dlib's shapes, with values that keep the maps' size about as it is."""
    rng = np.random.default_rng(0)
    shapes, channels = [(32, 3, 7)], 32
    for filters, _ in BLOCKS[:-1]:
        shapes += [(filters, channels, 3), (filters, filters, 3)]
        channels = filters
    return [
        (
            rng.normal(0, 1 / (side * c**0.5), (f, c, side, side)).astype(np.float32),
            rng.normal(0, 0.1, f).astype(np.float32),
        )
        for f, c, side in shapes
    ]


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (2, 3, 150, 150)).astype(np.float32)


def parts_of(convolutions: list[Convolution], crops: np.ndarray, folder: Path) -> np.ndarray:
    onnx.save(face_network(convolutions), folder / "face_network.onnx")
    session = open_session(folder / "face_network.onnx", threads=1)
    return session.run(["parts"], {"crop": crops})[0]


def test_parameters_are_read_back_as_they_were_written(convolutions: list[Convolution]) -> None:
    read = parameters(face_network(convolutions), "Conv")

    assert len(read) == len(convolutions) == 27
    for (weight, bias), (given, given_bias) in zip(read, convolutions, strict=True):
        np.testing.assert_allclose(weight, given, atol=2e-4)
        np.testing.assert_allclose(bias, given_bias, atol=2e-4)


@pytest.mark.slow
def test_what_is_trained_is_what_ships(
    convolutions: list[Convolution], crops: np.ndarray, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.train_faces import Network

    network = Network(convolutions)
    with torch.no_grad():
        trained = network.upper(network.lower(torch.from_numpy(crops))).numpy()
    shipped = parts_of(network.convolutions(), crops, tmp_path)

    assert shipped.shape == trained.shape == (2, 256, 2, 2)
    np.testing.assert_allclose(shipped, trained, rtol=0.01, atol=0.01 * np.abs(trained).max())


def test_another_file_than_dlibs_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="dlib"):
        dlib_layers(b"no network")
