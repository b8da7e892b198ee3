"""How networks are opened on onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from idclip.devices import CPU, DEVICE, onnx_device, onnx_providers
from idclip.errors import ModelUnavailable


def open_session(path: Path, *, threads: int = 0, device: str = CPU, option: str = DEVICE) -> Any:
    """An inference session on a device, with `threads` threads (0: as many as cores).

    Raises `ModelUnavailable` when the file is absent or is no network, or the device, which
    `option` names, is not here.
    """
    import onnxruntime

    device = onnx_device(device, option)
    if not path.is_file():
        raise ModelUnavailable(f"{path}: no such model file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads would spin on cores that the decoder and other workers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device != CPU:
        onnxruntime.preload_dlls()  # CUDA's libraries, from where torch or pip has put them
    try:
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=onnx_providers(device),
            enable_fallback=0,  # which goes on on the processor, and prints so
        )
    except Exception as error:  # onnxruntime has no public base of its errors
        reason = str(error).splitlines()[0]
        if device == CPU:
            raise ModelUnavailable(
                f"{path}: not a network onnxruntime can open: {reason}"
            ) from error
        raise ModelUnavailable(
            f"{option} {device}: onnxruntime cannot open {path} there ({reason}): does nvidia-smi"
            f" list such a GPU? Or use {option} cpu"
        ) from error
    if device != CPU and session.get_providers()[0] == "CPUExecutionProvider":
        # onnxruntime says so on stderr, and goes on without the GPU.
        raise ModelUnavailable(
            f"{option} {device}: onnxruntime cannot load CUDA; it wants the versions of CUDA and"
            " cuDNN that it was built for: pip install onnxruntime-gpu[cuda,cudnn]. Or use"
            f" {option} cpu"
        )
    return session
