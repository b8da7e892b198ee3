"""Devices that are not here are told at once, with what to do; names nobody knows too."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from idclip.devices import Devices, face_device_beside, onnx_providers, require_device
from idclip.encoders import load_encoder
from idclip.errors import ModelUnavailable
from idclip.faces import load_faces


def _has_cuda(module: str) -> bool:
    if module == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _encoders() -> list[tuple[str, str]]:
    names = [("concept", "onnxruntime")]
    return [*names, ("idclip:compact", "torch")] if find_spec("torch") else names


@pytest.mark.parametrize(("encoder", "engine"), _encoders())
def test_a_gpu_that_is_not_here_is_told_with_the_remedy(encoder: str, engine: str) -> None:
    if _has_cuda(engine):
        pytest.skip("there is a GPU here")
    for ask in (require_device, lambda name, device: load_encoder(name, device=device)):
        with pytest.raises(ModelUnavailable, match=r"--device cuda:1: .*use --device cpu"):
            ask(encoder, "cuda:1")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
@pytest.mark.parametrize("encoder", ["concept", "open_clip:ViT-B-32/openai"])
def test_what_is_no_device_is_told(encoder: str, device: str) -> None:
    with pytest.raises(ModelUnavailable, match="is no device: use auto, cpu, cuda"):
        require_device(encoder, device)


@pytest.mark.parametrize("encoder", ["concept", "onnx:x", "idclip:x", "open_clip:ViT-B-32/openai"])
def test_the_processor_is_always_here(encoder: str) -> None:
    require_device(encoder, "auto")
    require_device(encoder, "cpu")


# --- faces ---------------------------------------------------------------------------------------


@pytest.fixture
def claims_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime says that it has CUDA, which it cannot load: as with versions that do not fit."""
    if _has_cuda("onnxruntime"):
        pytest.skip("there is a GPU here")
    import onnxruntime

    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)


def test_faces_on_a_gpu_that_is_not_here_are_told_with_the_remedy() -> None:
    if _has_cuda("onnxruntime"):
        pytest.skip("there is a GPU here")
    told = r"--faces-device cuda:1: .*pip install onnxruntime-gpu.*use --faces-device cpu"
    for ask in (
        lambda: load_faces("default", device="cuda:1"),
        lambda: load_faces("insightface:buffalo_l", device="cuda:1"),
        lambda: Devices("cpu", "cuda:1").require("concept", "default"),
        lambda: face_device_beside("default", "encoder", "cuda:1"),
    ):
        with pytest.raises(ModelUnavailable, match=told):
            ask()


@pytest.mark.usefixtures("claims_cuda")
def test_a_gpu_that_onnxruntime_refuses_is_told_with_the_remedy() -> None:
    with pytest.raises(ModelUnavailable, match=r"--faces-device cuda: .* CUDA and cuDNN"):
        load_faces("default", device="cuda")


@pytest.mark.usefixtures("claims_cuda")
def test_faces_that_nobody_sent_to_a_gpu_stay_on_the_processor_where_it_refuses_them(
    example_media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from vidsearch.analyze import load_faces_beside
    from vidsearch.photos import read

    with caplog.at_level("INFO", "vidsearch"):
        model = load_faces_beside("default", "cuda:1", 1)
    assert model.device == "cpu"
    assert "faces stay on the processor: --faces-device cuda:1" in caplog.text
    photo = read(example_media / "people" / "Joe_Biden.jpg").picture
    assert model.embed(photo, model.detect(photo, long_side=320)).shape == (1, model.dim)


@pytest.mark.parametrize(
    ("asked", "encoder", "expected"),
    [
        ("auto", "cpu", "cpu"),
        ("auto", "mps", "cpu"),
        ("auto", "cuda:1", "cuda:1"),
        ("cpu", "cuda", "cpu"),
        ("cuda:1", "cpu", "cuda:1"),
        ("encoder", "cuda", "cuda"),
        ("encoder", "cpu", "cpu"),
    ],
)
@pytest.mark.usefixtures("claims_cuda")
def test_faces_go_with_the_encoder_to_a_gpu_unless_another_device_is_named(
    asked: str, encoder: str, expected: str
) -> None:
    assert face_device_beside("default", asked, encoder) == expected
    assert face_device_beside("insightface:buffalo_l", asked, encoder) == expected


@pytest.mark.usefixtures("claims_cuda")
def test_opencv_stays_on_the_processor_and_says_so_where_it_cannot() -> None:
    assert face_device_beside("opencv:/models", "auto", "cuda") == "cpu"
    for devices in (Devices(faces="cuda"), Devices("cuda", "encoder")):
        with pytest.raises(ModelUnavailable, match=r"opencv:/models .* processor alone"):
            devices.require("concept", "opencv:/models")
    with pytest.raises(ModelUnavailable, match="processor alone; use --faces-device cpu"):
        load_faces("opencv:/models", device="cuda")


def test_a_gpu_that_is_not_nvidias_is_none_for_faces() -> None:
    with pytest.raises(ModelUnavailable, match=r"--faces-device mps: .* or by CUDA"):
        face_device_beside("default", "encoder", "mps")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "CPU", "encoders", ""])
def test_what_is_no_device_for_faces_is_told(device: str) -> None:
    with pytest.raises(ModelUnavailable, match="is no device for faces: use auto, cpu, cuda"):
        Devices(faces=device).require("concept", "default")


def test_a_face_is_known_in_two_steps_as_in_one(example_media: Path) -> None:
    """And the first can travel without the network of the second."""
    import pickle

    from vidsearch.photos import read

    model = load_faces("default", threads=1)
    photo = read(example_media / "people" / "Barack_Obama_1.jpg").picture
    faces = model.detect(photo, long_side=640)
    travelled = pickle.dumps(model.crops)
    crops = pickle.loads(travelled)(photo, faces)
    assert len(travelled) < 1000
    assert (crops.shape, crops.dtype) == ((len(faces), 150, 150, 3), np.uint8)
    np.testing.assert_array_equal(model.embed_crops(crops), model.embed(photo, faces))
    assert model.embed_crops(np.concatenate([crops] * 40)).shape == (40 * len(faces), model.dim)
    assert model.crops(photo, []).shape == (0, 150, 150, 3)


# --- networks and commands -----------------------------------------------------------------------


def test_a_network_on_a_gpu_does_not_round_its_numbers() -> None:
    """Or vectors of a GPU would lie apart from those of a processor."""
    (name, options), rest = onnx_providers("cuda:2")
    assert name == "CUDAExecutionProvider"
    assert (options["device_id"], options["use_tf32"]) == (2, 0)
    assert rest == "CPUExecutionProvider"


def test_figures_of_a_processor_are_never_written_as_those_of_a_gpu(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from benchmarks import gpu_index

    assert gpu_index.main(["--device", "cpu", "--job", "--write"]) == 2
    assert "--write is for figures of a GPU" in capsys.readouterr().err


def _command(*arguments: object) -> tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr, time.monotonic() - began


@pytest.mark.parametrize(
    ("module", "option"),
    [
        ("vidsearch", "--device"),
        ("vidsearch", "--faces-device"),
        pytest.param("workers", "--device", marks=pytest.mark.slow),
    ],
)
def test_both_command_lines_tell_it_in_one_message_and_make_no_archive(
    tmp_path: Path, example_media: Path, module: str, option: str
) -> None:
    if _has_cuda("onnxruntime"):
        pytest.skip("there is a GPU here")
    if module == "workers" and find_spec("ray") is None:
        pytest.skip("the extra ray is absent")
    archive = tmp_path / "archive"
    given = ["index", example_media, "--archive", archive, option, "cuda"]
    status, said, _ = _command(module, *given, *(["--ray", "local"] * (module == "workers")))
    assert status == 2
    (told,) = [line for line in said.splitlines() if line.startswith("vidsearch: ")]
    assert "GPU" in told or "CUDA" in told
    assert "Traceback" not in said
    assert not (archive / "archive.json").exists() or module == "workers"
