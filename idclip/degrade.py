"""What video does to a face: small, squeezed, blurred, dark, noisy, compressed, turned away.

Copies of photos so changed stand for faces in footage where calibrations are fitted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def turn_head(image: Image, yaw: float) -> Image:
    """A photo with its face turned by `yaw` radians, as if drawn on a cylinder; same shape.

    LFW shows hardly anybody from the side. A cylinder has no nose to hide the far cheek, and what
    the camera did not see is smeared, so this is a likeness of a profile and no photo of one.
    """
    import cv2

    height, width = image.shape[:2]
    middle, radius = width / 2, 0.4 * width
    across = np.arange(width)
    away = (across - middle) / radius
    seen_at = np.clip(np.arcsin(np.clip(away, -1, 1)) - yaw, -np.pi / 2, np.pi / 2)
    source = np.where(np.abs(away) > 1, across, middle + radius * np.sin(seen_at))
    columns = np.tile(source.astype(np.float32), (height, 1))
    rows = np.tile(np.arange(height, dtype=np.float32)[:, None], (1, width))
    turned = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


def degrade(image: Image, rng: np.random.Generator) -> Image:
    """A portrait as video would show it; RGB uint8 [H, W, 3] in, another size out.

    The whole photo is made 18 to 70 pixels high (evenly on a logarithmic scale) and squeezed,
    blurred by lens or motion, darkened, made noisy and stored as JPEG of quality 20 to 75. It
    happens before detection, so that boxes and landmarks suffer too, and a face that is no longer
    found counts as not named.
    """
    import cv2

    height, width = image.shape[:2]
    scale = float(np.exp(rng.uniform(np.log(18), np.log(70)))) / height
    squeeze = float(np.exp(rng.normal(0, 0.08)))
    size = max(12, round(width * scale * squeeze)), max(12, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    x = cv2.resize(image, size, interpolation=how).astype(np.float32)
    x = _blurred(x, rng)
    x = 255 * (x / 255) ** float(np.exp(rng.normal(0.1, 0.25)))
    x = x * float(rng.uniform(0.35, 1.1)) + float(rng.uniform(0, 25))
    x = x + rng.normal(0, float(rng.uniform(0, 4)), x.shape)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(20, 75))]
    _, jpeg = cv2.imencode(".jpg", np.clip(x, 0, 255).astype(np.uint8)[:, :, ::-1], quality)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert picture is not None, "what was just written can be read"
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


def _blurred(x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    import cv2

    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.3, 1.0))))
    if rng.random() < 0.4:
        length = int(rng.integers(2, 4))
        kernel = np.zeros((length, length), np.float32)
        if rng.random() < 0.5:
            kernel[length // 2, :] = 1 / length
        else:
            np.fill_diagonal(kernel, 1 / length)
        return np.asarray(cv2.filter2D(x, -1, kernel))
    return x
