"""Generated videos of shots with known cuts and dissolves, long enough to be cut into pieces."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from videos import encode

Picture = NDArray[np.uint8]

SHOTS_S = (2.2, 1.4, 3.0, 0.9, 2.6, 4.1, 1.7, 12.5, 2.0, 0.6, 3.3, 1.2, 2.8, 2.4, 1.9, 3.6)
"""How long the shots are; every third begins with a dissolve. One is searched by parts."""
DISSOLVE_S = 0.6


def shots_video(path: Path, shots_s: tuple[float, ...] = SHOTS_S, **recipe: object) -> Path:
    """Write a video of these shots; `recipe` as for `videos.encode`, without the number of frames.

    Frames of uneven distances show what is due by their number at the rate.
    """
    rate = float(recipe.get("rate", 25))  # type: ignore[arg-type]
    n_frames = round(sum(shots_s) * rate)
    return encode(path, n_frames=n_frames, draw=_drawn(shots_s, rate), **recipe)


def _drawn(shots_s: tuple[float, ...], rate: float) -> Callable[[int, tuple[int, int]], Picture]:
    starts_s = [0.0, *accumulate(shots_s)][:-1]

    def draw(number: int, size: tuple[int, int]) -> Picture:
        time_s = number / rate
        shot = max(i for i, start_s in enumerate(starts_s) if start_s <= time_s + 1e-9)
        since_s = time_s - starts_s[shot]
        picture = _moving(shot, since_s, size)
        if shot and shot % 3 == 0 and since_s < DISSOLVE_S:
            old = _moving(shot - 1, since_s + shots_s[shot - 1], size)
            share = since_s / DISSOLVE_S
            picture = cv2.addWeighted(picture, share, old, 1 - share, 0)
        return np.ascontiguousarray(picture)

    return draw


def _moving(shot: int, since_s: float, size: tuple[int, int]) -> Picture:
    """A slow pan over the shot's scene; every fourth shot stands still."""
    width, height = size
    at = 0 if shot % 4 == 1 else int(6 * since_s)
    return _scene(shot, size)[at % 40 : at % 40 + height, at % 40 : at % 40 + width]


@lru_cache(maxsize=64)
def _scene(shot: int, size: tuple[int, int]) -> Picture:
    chance = np.random.default_rng(shot)
    coarse = chance.integers(0, 256, (7, 11, 3), dtype=np.uint8)
    large = cv2.resize(coarse, (size[0] + 40, size[1] + 40), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large)
