"""Putting one person's face where another's is: the interface, and the swapper that ships.

A swapper gets the picture with the face to go and a photo with the face to come, and gives the
picture back with the rest of it untouched. `classic` needs no network; `inswapper:FILE` is in
`idclip.cocopfs.inswapper`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from idclip.alignment import TEMPLATE
from idclip.errors import ModelUnavailable
from idclip.faces import Face, Floats, Image

from .pictures import turn

# The face without hair and ears, as an ellipse in the 150 x 150 crop of `idclip.alignment`: from
# the forehead to the chin. Smaller ones look no better and leave too much of the old person.
_CENTRE = np.array([73.5, 77.0])
_AXES = np.array([64.0, 68.0])
_SQUARE = 2.4  # the exponent of the ellipse: 2 is round; cheeks and jaw are fuller than that
_SKIN = 0.6  # of the ellipse: where colours are compared, without hair and background
_SOFT = 0.04  # of the face's width: how far the blend fades at its edge
_SHADING = 0.4  # how much of the old face's coarse light and shade the new one takes
_CONTRAST = 0.6, 1.5  # how far the new face's contrast may be changed to the old one's
_DEEP = 0.2  # of the face's width: how far into the face the seam's colours are carried


class Swapper(Protocol):
    """Puts a face of one picture in the place of a face in another."""

    name: str
    licence: str

    def swap(self, image: Image, face: Face, source_image: Image, source_face: Face) -> Image:
        """`image` with `face` replaced by `source_face`, both found by a `FaceModel`.

        Pictures are RGB uint8 [H, W, 3]; the result has the shape of `image`, which is left as it
        is. Raises nothing for faces at the picture's edge.
        """
        ...


def load_swapper(name: str) -> Swapper:
    """The swapper of that name: `classic` or `inswapper:FILE`.

    Raises `ModelUnavailable` with what to do when a name is unknown or its file is not there.
    """
    kind, _, rest = name.partition(":")
    if name == "classic":
        return ClassicSwapper()
    if kind == "inswapper" and rest:
        from .inswapper import InSwapper

        return InSwapper(Path(rest))
    raise ModelUnavailable(f"{name!r} is no swapper: use classic or inswapper:FILE")


class ClassicSwapper:
    """Warp, colours, Poisson blending: a swap without any network.

    1. The affine map of least squares brings the five landmarks of the new face onto those of
       the old one; the new face is mirrored where it looks to the other side.
    2. Mean and contrast of the new face in CIE Lab become those of the old one (Reinhard et al.,
       "Color transfer between images", 2001), and part of its coarse shading.
    3. Poisson blending (Perez et al., 2003; `cv2.seamlessClone`) inside an ellipse from the
       forehead to the chin. It takes hair and background at the seam for light, and carries
       them over the whole face: so its colours count at the seam, and less further in.
    """

    name = "classic"
    licence = "Apache-2.0, part of this project"

    def swap(self, image: Image, face: Face, source_image: Image, source_face: Face) -> Image:
        """See `Swapper.swap`."""
        source_image, source = _facing_alike(
            source_image, source_face.landmarks.astype(np.float64), face.landmarks
        )
        target = face.landmarks.astype(np.float64)
        oval = _through(_affine(TEMPLATE, target), _oval(1.0, 64))
        window, origin = _window(image, oval)
        target, oval = target - origin, oval - origin
        new = _warped(source_image, source, target, window.shape)
        mask = _filled(oval, window.shape)
        skin = _filled(oval.mean(axis=0) + _SKIN * (oval - oval.mean(axis=0)), window.shape)
        new = _lit_alike(new, window, skin)
        blended = _poisson(new, window, mask)
        return _pasted(image, _faded(blended, window, mask), origin)


def _facing_alike(
    image: Image, landmarks: NDArray[np.float64], target: Floats
) -> tuple[Image, NDArray[np.float64]]:
    """The photo, mirrored where its face looks to the other side than the face it replaces."""
    ours, theirs = turn(landmarks), turn(target)
    if ours * theirs >= 0 or min(abs(ours), abs(theirs)) < 0.1:
        return image, landmarks
    mirrored = landmarks[[1, 0, 2, 4, 3]]
    mirrored = np.stack([image.shape[1] - 1 - mirrored[:, 0], mirrored[:, 1]], axis=1)
    return np.ascontiguousarray(image[:, ::-1]), mirrored


def _oval(size: float, points: int) -> NDArray[np.float64]:
    """Points [points, 2] on the face's outline, `size` times as large, in the 150 crop."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    round_ = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    bent = np.sign(round_) * np.abs(round_) ** (2 / _SQUARE)
    return np.asarray(_CENTRE + size * _AXES * bent)


def _affine(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """The affine matrix [3, 2] of least squares that brings points [N, 2] onto others."""
    known = np.hstack([source.astype(np.float64), np.ones((len(source), 1))])
    return np.asarray(np.linalg.lstsq(known, target.astype(np.float64), rcond=None)[0])


def _through(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points @ matrix[:2] + matrix[2])


def _window(image: Image, oval: NDArray[np.float64]) -> tuple[Image, NDArray[np.int64]]:
    """The part of the picture around the face, and where its corner stands.

    What lies outside the picture is mirrored, so that a face at the edge has something to be
    blended with on all sides.
    """
    import cv2

    low, high = oval.min(axis=0), oval.max(axis=0)
    margin = np.maximum(8, 0.35 * (high - low))
    x0, y0 = np.floor(low - margin).astype(np.int64)
    x1, y1 = np.ceil(high + margin).astype(np.int64)
    height, width = image.shape[:2]
    left, top, right, bottom = max(0, -x0), max(0, -y0), max(0, x1 - width), max(0, y1 - height)
    inside = image[max(0, y0) : min(height, y1), max(0, x0) : min(width, x1)]
    padded = cv2.copyMakeBorder(
        inside, int(top), int(bottom), int(left), int(right), cv2.BORDER_REFLECT
    )
    return np.ascontiguousarray(padded, np.uint8), np.array([x0, y0])


def _warped(
    photo: Image, source: NDArray[np.float64], target: NDArray[np.float64], shape: tuple[int, ...]
) -> Image:
    """The photo brought under the window, landmarks on landmarks.

    Where a photo that is cut close has come to its end, the colour of the face goes on.
    """
    import cv2

    matrix = _affine(source, target)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2]))))
    if scale < 1:  # sampling alone would keep one pixel in many
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), 0.5 / max(scale, 0.02)), np.uint8)
    elif scale > 1.5:
        photo = _crisp(photo)
    size = shape[1], shape[0]
    warped = cv2.warpAffine(
        photo, matrix.T, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpAffine(np.ones(photo.shape[:2], np.uint8), matrix.T, size)
    eyes = float(np.linalg.norm(target[1] - target[0]))
    beyond = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    share = np.minimum(beyond / max(0.2 * eyes, 1), 1)[..., None]
    skin = _filled(_through(_affine(TEMPLATE, target), _oval(_SKIN, 64)), shape) * inside
    colour = np.median(warped[skin > 0], axis=0) if skin.any() else warped.mean(axis=(0, 1))
    return np.asarray(np.round(colour * share + warped * (1 - share)), np.uint8)


def _crisp(photo: Image) -> Image:
    """A little sharper: enlarging blurs."""
    import cv2

    soft = cv2.GaussianBlur(photo, (0, 0), 1.0)
    return np.asarray(cv2.addWeighted(photo, 1.6, soft, -0.6, 0), np.uint8)


def _filled(oval: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """255 inside the outline, 0 elsewhere and on the window's own rim."""
    import cv2

    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.round(oval).astype(np.int32), 255)
    mask[[0, -1]] = mask[:, [0, -1]] = 0
    return mask


def _lit_alike(new: Image, old: Image, mask: NDArray[np.uint8]) -> Image:
    """The new face in the colours, contrast and coarse light of the old one."""
    import cv2

    inside = mask > 0
    if not inside.any():
        return new
    ours = cv2.cvtColor(new.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    theirs = cv2.cvtColor(old.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mean, theirs_mean = ours[inside].mean(axis=0), theirs[inside].mean(axis=0)
    ratio = theirs[inside].std(axis=0) / np.maximum(ours[inside].std(axis=0), 1e-3)
    moved = (ours - mean) * np.clip(ratio, *_CONTRAST) + theirs_mean
    width = float(np.sqrt(inside.sum()))
    shade = _coarse(theirs, mask, width) - _coarse(moved, mask, width)
    moved[..., 0] += _SHADING * shade[..., 0]
    lit = cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(np.round(lit * 255), 0, 255), np.uint8)


def _coarse(lab: Floats, mask: NDArray[np.uint8], width: float) -> Floats:
    """Light and shade without features: blurred over a fifth of the face, inside the mask."""
    import cv2

    weight = (mask > 0).astype(np.float32)
    sum_ = cv2.GaussianBlur(lab * weight[..., None], (0, 0), 0.2 * width)
    count = cv2.GaussianBlur(weight, (0, 0), 0.2 * width)
    return np.asarray(sum_ / np.maximum(count, 1e-3)[..., None], np.float32)


def _poisson(new: Image, old: Image, mask: NDArray[np.uint8]) -> Image:
    """The new face with the colours of Poisson blending at the seam, and its own further in."""
    import cv2

    x, y, width, height = cv2.boundingRect(mask)
    if width < 3 or height < 3:
        return new
    # seamlessClone puts the middle of the mask's bounding box here: with this it stays in place.
    centre = x + width // 2, y + height // 2
    own = mask.copy()  # seamlessClone overwrites the mask it is given
    seamless = cv2.seamlessClone(new, old, own, centre, cv2.NORMAL_CLONE)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / (_DEEP * width)
    share = (1 / (1 + depth**2))[..., None]
    return np.asarray(np.round(seamless * share + new * (1 - share)), np.uint8)


def _faded(blended: Image, old: Image, mask: NDArray[np.uint8]) -> Image:
    import cv2

    width = float(np.sqrt((mask > 0).sum()))
    reach = max(1, round(_SOFT * width))
    core = cv2.erode(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    soft = cv2.GaussianBlur(core, (0, 0), max(0.5, _SOFT * width)).astype(np.float32) / 255
    soft = np.where(mask > 0, soft, 0)[..., None]
    return np.asarray(np.round(blended * soft + old * (1 - soft)), np.uint8)


def _pasted(image: Image, window: Image, origin: NDArray[np.int64]) -> Image:
    height, width = image.shape[:2]
    x0, y0 = (int(side) for side in origin)
    x1, y1 = x0 + window.shape[1], y0 + window.shape[0]
    top, left, bottom, right = max(0, y0), max(0, x0), min(height, y1), min(width, x1)
    result = image.copy()
    result[top:bottom, left:right] = window[top - y0 : bottom - y0, left - x0 : right - x0]
    return result
