"""A folder with a subfolder of photos for each person, as faces to calibrate on.

Of each photo the widest face counts, unless another is half as wide. Its surroundings are cut
out, and twice made as poor as video makes them (`idclip.degrade`), once with the head turned.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idclip.degrade import degrade, turn_head
from idclip.errors import VidsearchError
from idclip.faces import Face, FaceModel

Image = NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
COPIES = ("", "degraded", "again", "turned")
KINDS = (("",), ("degraded",), ("turned",), ("degraded", "again"), ("degraded", "again", "turned"))
_SIDES = (640, 1280)  # long sides of the copy that faces are looked for in, in turn
_AROUND = 1.5  # of a face's width is cut out, as portraits have it
_SECOND = 0.5  # a second face of this share of the widest's width: nobody knows who is meant


@dataclass(frozen=True, eq=False)
class Photographed:
    """Faces found: whose, in which photo, which copy of it [N], vectors [N, F], qualities [N].

    `photos` were looked at, in `left_out` no face, or several, were found.
    """

    person: NDArray[np.str_]
    photo: NDArray[np.str_]
    copy: NDArray[np.str_]
    vectors: NDArray[np.float32]
    qualities: NDArray[np.float32]
    photos: int
    left_out: int


def photos_below(folder: Path) -> dict[str, list[Path]]:
    """The photos of each person, by the name of the subfolder; raises where there are none."""
    if not folder.is_dir():
        raise VidsearchError(f"{folder}: no such folder; give one with a subfolder for each person")
    found = {
        place.name: sorted(f for f in place.iterdir() if f.suffix.lower() in SUFFIXES)
        for place in sorted(folder.iterdir())
        if place.is_dir()
    }
    found = {person: files for person, files in found.items() if files}
    if not found:
        raise VidsearchError(
            f"{folder}: no photos in it: it should hold a subfolder for each person, with their "
            f"photos ({', '.join(SUFFIXES)})"
        )
    return found


def look_at(
    people: dict[str, list[Path]], model: FaceModel, tell: Callable[[int, int], None]
) -> Photographed:
    """The faces of all photos, and their copies. `tell` hears how many of how many are done.

    Raises `VidsearchError` where no face is found in any of them.
    """
    rows: list[tuple[str, str, str, Any, float]] = []
    total, done, left_out = sum(map(len, people.values())), 0, 0
    for person, files in people.items():
        for file in files:
            portrait = _portrait(file, model)
            left_out += portrait is None
            if portrait is not None:
                rows += [
                    (person, f"{person}/{file.name}", copy, vector, quality)
                    for copy, vector, quality in _copies(portrait, file.name, model)
                ]
            done += 1
            tell(done, total)
    if not rows:
        raise VidsearchError(
            f"no face found in any of {total} photos: they should show one face each, upright"
        )
    person_, photo, copy, vectors, qualities = zip(*rows, strict=True)
    return Photographed(
        np.array(person_),
        np.array(photo),
        np.array(copy),
        np.stack(vectors).astype(np.float32),
        np.array(qualities, np.float32),
        total,
        left_out,
    )


def _portrait(file: Path, model: FaceModel) -> Image | None:
    """The face of a photo with what is around it; None where none, or no single one, is found."""
    from PIL import Image as Pictures
    from PIL import ImageOps

    try:
        with Pictures.open(file) as opened:
            picture = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except (OSError, ValueError) as error:
        raise VidsearchError(f"{file}: the photo cannot be read: {error}") from error
    face = _only(_found(picture, model))
    if face is None:
        return None
    x0, y0, x1, y1 = face.box
    half = _AROUND * max(x1 - x0, y1 - y0) / 2
    height, width = picture.shape[:2]
    left, right = max(0, round((x0 + x1) / 2 - half)), min(width, round((x0 + x1) / 2 + half))
    top, bottom = max(0, round((y0 + y1) / 2 - half)), min(height, round((y0 + y1) / 2 + half))
    return np.ascontiguousarray(picture[top:bottom, left:right])


def _found(picture: Image, model: FaceModel) -> list[Face]:
    found: list[Face] = []
    for side in _SIDES:
        found = model.detect(picture, long_side=side)
        if found or side >= max(picture.shape[:2]):
            break
    return found


def _only(found: list[Face]) -> Face | None:
    wide = sorted(found, key=lambda face: face.box[0] - face.box[2])
    widths = [face.box[2] - face.box[0] for face in wide]
    if not wide or (len(wide) > 1 and widths[1] >= _SECOND * widths[0]):
        return None
    return wide[0]


def _copies(portrait: Image, name: str, model: FaceModel) -> list[tuple[str, Any, float]]:
    """Each copy with its vector and quality, those in which a face is found."""
    found = []
    for number, copy in enumerate(COPIES):
        rng = np.random.default_rng(zlib.crc32(name.encode()) + 7919 * number)
        picture = portrait
        if copy == "turned":
            yaw = np.deg2rad(rng.uniform(20, 45)) * rng.choice([-1, 1])
            picture = turn_head(picture, float(yaw))
        if copy:
            picture = degrade(picture, rng)
        face = _only(model.detect(picture, long_side=192))
        if face is not None:
            found.append((copy, model.embed(picture, [face])[0], face.quality))
    return found
