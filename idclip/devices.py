"""Where a network runs: the processor, a GPU by CUDA, or Apple's by Metal.

A device is "auto", "cpu", "cuda", "cuda:NUMBER" or "mps". Vectors do not depend on it: on a GPU
networks compute in float32 as on the processor, without the rounding to TF32 that some do unasked,
so an archive may be made on one device and go on on another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import ModelUnavailable

AUTO, CPU, ENCODER = "auto", "cpu", "encoder"
DEVICE, FACES_DEVICE = "--device", "--faces-device"
"""The options that name one, for messages."""
_KNOWN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_CUDA_PROVIDER = "CUDAExecutionProvider"


@dataclass(frozen=True)
class Devices:
    """Where an encoder runs and where a face model does.

    `faces` may be "encoder" too, which is where that runs, and "auto" is so as well where that is a
    CUDA GPU that the face model can use (`face_device_beside`).
    """

    encoder: str = AUTO
    faces: str = AUTO

    def require(self, encoder: str, faces: str) -> None:
        """Raise `ModelUnavailable` where the models of these names cannot run on their devices."""
        if self.encoder != AUTO:
            require_device(encoder, self.encoder)
        asked = self.encoder if self.faces == ENCODER else self.faces
        if asked != AUTO:
            face_device(faces, asked)


ANYWHERE = Devices()


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


def onnx_device(device: str, option: str = DEVICE) -> str:
    """The device for networks on onnxruntime; "auto" is the processor, which they are made for.

    Raises `ModelUnavailable`, with the name of the `option` that asks, where it is not here.
    """
    if known(device) in (AUTO, CPU):
        return CPU
    if device == "mps":
        raise ModelUnavailable(
            f"{option} mps: networks on onnxruntime run on the processor or by CUDA; use {option}"
            " cpu"
        )
    if not onnx_has_cuda():
        raise ModelUnavailable(
            f"{option} {device}: the onnxruntime that is installed has no CUDA. On a machine with"
            " an NVIDIA GPU: pip uninstall onnxruntime; pip install onnxruntime-gpu. Or use"
            f" {option} cpu"
        )
    return device


def onnx_has_cuda() -> bool:
    """Whether the onnxruntime that is installed was built for CUDA; it may find no GPU still."""
    import onnxruntime

    return _CUDA_PROVIDER in onnxruntime.get_available_providers()


def onnx_providers(device: str) -> list[Any]:
    """What onnxruntime is told for a device that `onnx_device` gave."""
    if device == CPU:
        return ["CPUExecutionProvider"]
    # Batches and pictures come in many sizes; unasked, each new one is benchmarked for a second.
    cuda = {"device_id": _number(device), "use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
    return [(_CUDA_PROVIDER, cuda), "CPUExecutionProvider"]


def face_device(faces: str, device: str) -> str:
    """The device for a face model of that name; "auto" is the processor.

    Raises `ModelUnavailable` where it is not here, or the face model cannot run on it.
    """
    if not _KNOWN.fullmatch(device):
        raise ModelUnavailable(
            f"{device!r} is no device for faces: use auto, cpu, cuda, cuda:NUMBER (the first is 0)"
            " or encoder, which is where the encoder runs"
        )
    if not faces.startswith("opencv:") or device in (AUTO, CPU):
        return onnx_device(device, FACES_DEVICE)
    raise ModelUnavailable(
        f"{FACES_DEVICE} {device}: {faces} runs on OpenCV, and so on the processor alone; use"
        f" {FACES_DEVICE} cpu, or the face model default or insightface"
    )


def face_device_beside(faces: str, asked: str, encoder: str) -> str:
    """The device for a face model whose encoder runs on the device `encoder`.

    `asked` is a device, or "encoder" for that of the encoder. "auto" is that too where it is a CUDA
    GPU that the face model can use, and else the processor. Raises `ModelUnavailable` as
    `face_device` does.
    """
    if asked == ENCODER:
        return face_device(faces, encoder)
    if asked != AUTO:
        return face_device(faces, asked)
    gains = encoder.startswith("cuda") and not faces.startswith("opencv:") and onnx_has_cuda()
    return encoder if gains else CPU


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
