"""Where a network runs: the processor, a GPU by CUDA, or Apple's by Metal.

A device is "auto", "cpu", "cuda", "cuda:NUMBER" or "mps". Vectors do not depend on it: on a GPU
networks compute in float32 as on the processor, without the rounding to TF32 that some do unasked,
so an archive may be made on one device and go on on another.
"""

from __future__ import annotations

import re
from typing import Any

from .errors import ModelUnavailable

AUTO, CPU = "auto", "cpu"
_KNOWN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_CUDA_PROVIDER = "CUDAExecutionProvider"


def require_device(encoder: str, device: str) -> None:
    """Raise `ModelUnavailable` where an encoder of that name cannot run on that device here.

    Loads no weights, and torch only for a GPU.
    """
    if uses_torch(encoder):
        if known(device) not in (AUTO, CPU):
            torch_device(device)
    else:
        onnx_device(device)


def uses_torch(encoder: str) -> bool:
    """Whether an encoder of that name runs on torch, and so on a GPU unasked."""
    return encoder.partition(":")[0] in ("open_clip", "idclip")


def known(device: str) -> str:
    """The device as it is; raises `ModelUnavailable` where nothing is called so."""
    if not _KNOWN.fullmatch(device):
        raise ModelUnavailable(
            f"{device!r} is no device: use auto, cpu, cuda, cuda:NUMBER (the first is 0) or mps"
        )
    return device


def torch_device(device: str) -> str:
    """The device in torch's words; "auto" is a CUDA GPU where torch finds one.

    Raises `ModelUnavailable` where it is not here.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if known(device) == AUTO:
        return "cuda" if gpus else CPU
    if device == "mps" and not torch.backends.mps.is_available():
        raise ModelUnavailable("--device mps: torch finds no Metal GPU here; use --device cpu")
    if device.startswith("cuda") and _number(device) >= gpus:
        raise ModelUnavailable(f"--device {device}: {_missing(torch, gpus)}, or use --device cpu")
    return device


def onnx_device(device: str) -> str:
    """The device for networks on onnxruntime; "auto" is the processor, which they are made for.

    Raises `ModelUnavailable` where it is not here.
    """
    if known(device) in (AUTO, CPU):
        return CPU
    import onnxruntime

    if device == "mps":
        raise ModelUnavailable(
            "--device mps: networks on onnxruntime run on the processor or by CUDA; use --device"
            " cpu"
        )
    if _CUDA_PROVIDER not in onnxruntime.get_available_providers():
        raise ModelUnavailable(
            f"--device {device}: the onnxruntime that is installed has no CUDA. On a machine with"
            " an NVIDIA GPU: pip uninstall onnxruntime; pip install onnxruntime-gpu. Or use"
            " --device cpu"
        )
    return device


def onnx_providers(device: str) -> list[Any]:
    """What onnxruntime is told for a device that `onnx_device` gave."""
    if device == CPU:
        return ["CPUExecutionProvider"]
    cuda = {"device_id": _number(device), "use_tf32": 0}
    return [(_CUDA_PROVIDER, cuda), "CPUExecutionProvider"]


def _number(device: str) -> int:
    """Of a CUDA device, 0 where it is not said."""
    return int(device.partition(":")[2] or 0)


def _missing(torch: Any, gpus: int) -> str:
    """Why a CUDA device is not there."""
    if gpus:
        return f"this machine has {gpus} CUDA GPU{'s' * (gpus > 1)}, counted from 0: name one"
    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is a build without CUDA: install one with it, as"
            " pytorch.org says"
        )
    return "torch finds no CUDA GPU here: see whether nvidia-smi lists one and its driver is recent"
