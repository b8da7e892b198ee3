"""Pictures of any size shrunk to what a network takes: bytes, without the network and its weights.

An encoder is two steps, `prepare` and `encode_prepared`, so that they can run in two places: a
keyframe of 1080p is 6 MB, and 150 kB once it is prepared for a network that sees 224 x 224. What
is in this module is small and can be pickled; numbers of the network's range are made of the bytes
where the network is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = NDArray[np.uint8]


class Prepare(Protocol):
    """Shrinks RGB uint8 pictures [H, W, 3] of any sizes to one array, uint8 [N, h, w, 3].

    It can be pickled. Raises `ValueError` or `TypeError` for what is no such picture.
    """

    def __call__(self, images: Sequence[Picture]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Shrink:
    """open_clip's `image_transform`, on PIL alone, up to where bytes become numbers.

    `image_size` is (height, width); `interpolation` "bicubic" or "bilinear"; `resize_mode`
    "shortest" (then the centre is cut out), "longest" (then padded with `fill_color`) or "squash".
    """

    image_size: tuple[int, int]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    @classmethod
    def of(cls, prepared: Mapping[str, Any]) -> Shrink:
        """From open_clip's `preprocess_cfg` of an image tower."""
        size = prepared["size"]
        return cls(
            (size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
            prepared["interpolation"],
            prepared["resize_mode"],
            prepared["fill_color"],
        )

    def __call__(self, images: Sequence[Picture]) -> NDArray[np.uint8]:
        """See `Prepare`."""
        found = np.empty((len(images), *self.image_size, 3), np.uint8)
        for row, image in zip(found, images, strict=True):
            row[:] = self._shrunk(image)
        return found

    def _shrunk(self, image: Picture) -> Picture:
        from PIL import Image

        filters = Image.Resampling
        smooth = filters.BILINEAR if self.interpolation == "bilinear" else filters.BICUBIC
        picture = Image.fromarray(image).resize(self._size(image.shape[1], image.shape[0]), smooth)
        return np.asarray(self._centre(picture))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing; torchvision cuts to whole pixels, timm rounds."""
        high, wide = self.image_size
        if self.resize_mode == "squash":
            return wide, high
        if self.resize_mode == "shortest" and high == wide:
            short = min(width, height)
            return int(high * width / short), int(high * height / short)
        ratios = (height / high, width / wide)
        ratio = max(ratios) if self.resize_mode == "longest" else min(ratios)
        return round(width / ratio), round(height / ratio)

    def _centre(self, picture: Image) -> Image:
        """Cut out the middle, after padding what is too small."""
        from PIL import ImageOps

        height, width = self.image_size
        across, down = max(0, width - picture.width), max(0, height - picture.height)
        if across or down:
            border = (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2)
            fill = self.fill_color
            picture = ImageOps.expand(picture, border, (fill, fill, fill))
        left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
        return picture.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class Squeeze:
    """The whole picture squeezed to a square of `side` pixels, by OpenCV: nothing is cut off."""

    side: int

    def __call__(self, images: Sequence[Picture]) -> NDArray[np.uint8]:
        """See `Prepare`; raises `ValueError` for anything but RGB uint8."""
        found = np.empty((len(images), self.side, self.side, 3), np.uint8)
        for row, image in zip(found, images, strict=True):
            row[:] = self._squeezed(image)
        return found

    def _squeezed(self, image: Picture) -> Picture:
        import cv2

        if (
            not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
            or 0 in image.shape
        ):
            seen = f"{getattr(image, 'dtype', type(image).__name__)} {np.shape(image)}"
            raise ValueError(f"a picture must be RGB uint8 [H, W, 3], not {seen}")
        if image.shape[:2] == (self.side, self.side):
            return image
        shrinks = image.shape[0] > self.side or image.shape[1] > self.side
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized: Picture = cv2.resize(
            np.ascontiguousarray(image), (self.side, self.side), interpolation=method
        )
        return resized
