"""Devices that are not here are told at once, with what to do; names nobody knows too."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from idclip.devices import onnx_providers, require_device
from idclip.encoders import load_encoder
from idclip.errors import ModelUnavailable


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


@pytest.mark.parametrize("module", ["vidsearch", pytest.param("workers", marks=pytest.mark.slow)])
def test_both_command_lines_tell_it_in_one_message_and_make_no_archive(
    tmp_path: Path, example_media: Path, module: str
) -> None:
    if _has_cuda("onnxruntime"):
        pytest.skip("there is a GPU here")
    if module == "workers" and find_spec("ray") is None:
        pytest.skip("the extra ray is absent")
    archive = tmp_path / "archive"
    given = ["index", example_media, "--archive", archive, "--device", "cuda"]
    status, said, _ = _command(module, *given, *(["--ray", "local"] * (module == "workers")))
    assert status == 2
    (told,) = [line for line in said.splitlines() if line.startswith("vidsearch: ")]
    assert "GPU" in told or "CUDA" in told
    assert "Traceback" not in said
    assert not (archive / "archive.json").exists() or module == "workers"
