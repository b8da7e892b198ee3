"""A planned shot as moving pictures: a slow camera on a scene, and people as the news shows them.

Portraits stand beside the scene (`split`), in a corner (`inset`), or two
people talk over it (`interview`, `duo`); where a photo of a scene shows one face large enough,
somebody's face is put in its place (`swap`, by `idclip.cocopfs`). LFW's photos have 90 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from generated_plan import Planned
from generated_scenes import Picture

WIDTH, HEIGHT = 640, 360
_GREY = 72
_ZOOM = 0.06  # how far the camera moves in within a shot


def frames(
    shot: Planned, scene: Picture, faces: Sequence[Picture], rate: float
) -> Iterator[Picture]:
    """The frames of a shot, RGB [360, 640, 3]; `scene` is the photo, a face swapped already."""
    count = max(2, round(shot.seconds * rate))
    area, places = _composition(shot)
    photo = _photo(scene, area[2] - area[0], area[3] - area[1])
    empty = np.full((HEIGHT, WIDTH, 3), _GREY, np.uint8)
    inward = sum(map(ord, shot.scene.name)) % 2 == 0
    for at in range(count):
        share = at / (count - 1) if inward else 1 - at / (count - 1)
        picture = empty.copy()
        picture[area[1] : area[3], area[0] : area[2]] = _closer(photo, 1 + _ZOOM * share)
        for (x, y, side), face in zip(places, faces, strict=True):
            frame = 0 if shot.layout in ("split", "interview") else 3
            picture[y - frame : y + side + frame, x - frame : x + side + frame] = 255
            portrait = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
            picture[y : y + side, x : x + side] = _closer(portrait, 1 + 0.5 * _ZOOM * share)
        yield picture


def _composition(
    shot: Planned,
) -> tuple[tuple[int, int, int, int], list[tuple[int, int, int]]]:
    """Where the scene stands (x0, y0, x1, y1), and each portrait's corner and side."""
    if shot.layout == "split":
        return (0, 0, 400, HEIGHT), [(421, 81, 198)]
    if shot.layout == "inset":
        return (0, 0, WIDTH, HEIGHT), [(WIDTH - 142, HEIGHT - 142, 130)]
    if shot.layout == "interview":
        return (170, 0, 470, HEIGHT), [(12, 105, 146), (482, 105, 146)]
    if shot.layout == "duo":
        y = HEIGHT - 142
        return (0, 0, WIDTH, HEIGHT), [(12, y, 130), (WIDTH - 142, y, 130)]
    return (0, 0, WIDTH, HEIGHT), []


def _photo(scene: Picture, width: int, height: int) -> Picture:
    """The photo in a window: filled by cutting its sides, or with itself blurred beside it."""
    if width < 1.5 * height:
        return _covering(scene, width, height)
    beside = cv2.GaussianBlur(_covering(scene, width // 8, height // 8), (0, 0), 4)
    filled = cv2.resize(beside, (width, height), interpolation=cv2.INTER_LINEAR) // 2
    across = round(height * 4 / 3)
    left = (width - across) // 2
    filled[:, left : left + across] = _covering(scene, across, height)
    return filled


def _covering(scene: Picture, width: int, height: int) -> Picture:
    """Flickr8k's photos were squashed into squares: they are brought back to 4:3, then cut."""
    tall, wide = scene.shape[:2]
    if tall == wide:
        wide = round(tall * 4 / 3)
    scale = max(width / wide, height / tall)
    size = max(width, round(wide * scale)), max(height, round(tall * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(scene, size, interpolation=method)
    y, x = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(large[y : y + height, x : x + width])


def _closer(picture: Picture, zoom: float) -> Picture:
    height, width = picture.shape[:2]
    matrix = np.array(
        [[zoom, 0, (1 - zoom) * width / 2], [0, zoom, (1 - zoom) * height / 2]], np.float64
    )
    return np.asarray(
        cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
