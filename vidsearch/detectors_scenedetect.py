"""PySceneDetect's detectors, fed frame by frame from our own decoding pass.

They are given frame numbers for times (the rate is of no consequence) and no minimum length:
`vidsearch.shots` sees to that in seconds. Without a statistics manager none of them keeps more
than a few numbers and one picture.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import (
    AdaptiveDetector,
    ContentDetector,
    HashDetector,
    HistogramDetector,
    ThresholdDetector,
)

_RATE = 25.0
_LONGEST_FADE = 250  # frames of black after which PySceneDetect's cut is set where black ends


class _Fed:
    """A PySceneDetect detector as a `vidsearch.shots.ShotDetector`."""

    def __init__(self, name: str, lag: int, detector: Any) -> None:
        self.name = name
        self.lag = lag
        self._detector = detector
        self._latest = FrameTimecode(0, _RATE)

    def push(self, index: int, time_s: float, small: NDArray[np.uint8]) -> list[int]:
        self._latest = FrameTimecode(index, _RATE)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        return self._numbers(self._detector.process_frame(self._latest, bgr))

    def finish(self) -> list[int]:
        return self._numbers(self._detector.post_process(self._latest))

    def _numbers(self, cuts: list[Any]) -> list[int]:
        earliest = self._latest.frame_num - self.lag
        return [max(cut.frame_num, earliest) for cut in cuts if cut.frame_num > 0]


def adaptive(threshold: float, window: float, min_content: float) -> _Fed:
    """Content difference over the mean of `window` neighbours on either side."""
    width = round(window)
    detector = AdaptiveDetector(
        adaptive_threshold=threshold,
        min_scene_len=0,
        window_width=width,
        min_content_val=min_content,
    )
    return _Fed("adaptive", width, detector)


def content(threshold: float) -> _Fed:
    """Mean difference of hue, saturation and value."""
    return _Fed("content", 0, ContentDetector(threshold=threshold, min_scene_len=0))


def histogram(threshold: float, bins: float) -> _Fed:
    """Correlation of luma histograms."""
    detector = HistogramDetector(threshold=threshold, bins=round(bins), min_scene_len=0)
    return _Fed("histogram", 0, detector)


def perceptual_hash(threshold: float, size: float) -> _Fed:
    """Hamming distance of perceptual hashes."""
    detector = HashDetector(threshold=threshold, size=round(size), min_scene_len=0)
    return _Fed("hash", 0, detector)


def threshold(threshold: float) -> _Fed:
    """Fades through black, cut in the middle of the black."""
    detector = ThresholdDetector(threshold=threshold, min_scene_len=0)
    return _Fed("threshold", _LONGEST_FADE, detector)
