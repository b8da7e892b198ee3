"""How networks are opened on onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from idclip.errors import ModelUnavailable


def open_session(path: Path, *, threads: int = 0) -> Any:
    """An inference session on the processor, with `threads` threads (0: as many as cores).

    Raises `ModelUnavailable` when the file is absent or is no network.
    """
    import onnxruntime

    if not path.is_file():
        raise ModelUnavailable(f"{path}: no such model file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads would spin on cores that the decoder and other workers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base of its errors
        reason = str(error).splitlines()[0]
        raise ModelUnavailable(f"{path}: not a network onnxruntime can open: {reason}") from error
