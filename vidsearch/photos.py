"""Reference photos: a picture file, or a moment of a video (`VIDEO@00:00:04.2`), as upright RGB.

Whatever Pillow opens is accepted, in any mode: transparency is laid on grey, 16-bit pictures are
brought to 8, cameras' orientation is applied.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vidsearch.errors import EnrolmentError, InvalidQuery, UnreadableImage
from vidsearch.inputs import printable
from vidsearch.records import Box
from vidsearch.timecodes import parse_timecode, timecode
from vidsearch.urls import Place, RemoteError, place

Picture: TypeAlias = NDArray[np.uint8]

# Larger photos are shrunk before faces are looked for: a face needs some 150 pixels, not 2,000.
WORKING_SIDE = 2048
# What is kept of a photo, so that another face model can be fitted to it later.
KEPT_SIDE = 640
_KEPT_FACE = 0.25  # the face's width over the kept picture's, at least: smaller ones are cut out
_JPEG_QUALITY = 92


@dataclass(frozen=True, eq=False)
class Source:
    """A photo as it was read: upright RGB uint8 [H, W, 3], long side at most `WORKING_SIDE`.

    `name` is what the evidence calls it, `sha256` is of the file's bytes (of the pixels, where it
    is a moment of a video), `beside` is where a picture about it can be written.
    """

    name: str
    picture: Picture
    sha256: str
    beside: Path


def read(source: str | Path) -> Source:
    """The photo at `source`, or the moment of a video that `VIDEO@TIME` names.

    Raises `UnreadableImage` for what is no picture, `UnreadableVideo` for a video that cannot be
    decoded, `EnrolmentError` for a path that does not exist and a moment outside the video.
    """
    try:
        path = place(source)
        found = path.is_file()
    except RemoteError as error:
        raise EnrolmentError(f"{printable(source)}: {error.reason}") from None
    if found:
        return _read_file(path)
    shown = printable(path)
    if path.is_dir():
        raise EnrolmentError(f"{shown} is a folder: name the photos in it")
    video, at, moment = str(source).rpartition("@")
    if at and place(video).is_file():
        return _read_moment(place(video), moment)
    raise EnrolmentError(f"{printable(source)}: no such file")


def kept(picture: Picture, box: Box) -> tuple[bytes, Box]:
    """The JPEG that is kept of a photo, with the box of the face in it.

    The whole picture, shrunk to `KEPT_SIDE`; where the face would become too small for another
    model to use, its surroundings only. `box` is relative to `picture`, the one given back to the
    JPEG's picture.
    """
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    side = max(x1 - x0, y1 - y0)
    left, top, right, bottom = 0, 0, width, height
    if max(width, height) > KEPT_SIDE and side < _KEPT_FACE * max(width, height):
        reach = max(side / _KEPT_FACE, 2 * side) / 2
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        left, right = max(0, int(middle[0] - reach)), min(width, int(middle[0] + reach))
        top, bottom = max(0, int(middle[1] - reach)), min(height, int(middle[1] + reach))
    image = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
    wide, high = image.size
    image.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    inside = ((x0 - left) / wide, (y0 - top) / high, (x1 - left) / wide, (y1 - top) / high)
    x0, y0, x1, y1 = (float(min(1.0, max(0.0, edge))) for edge in inside)
    return buffer.getvalue(), (x0, y0, x1, y1)


def decode_jpeg(jpeg: bytes) -> Picture:
    """The RGB picture of a JPEG this program wrote (a kept photo, a thumbnail)."""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def beside(path: Place) -> Path:
    """Where a picture about a photo is written: beside it, or here where it is in a store."""
    return path if isinstance(path, Path) else Path(path.name)


def _read_file(path: Place) -> Source:
    shown = printable(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{shown}: cannot be read ({error.strerror})") from error
    if not content:
        raise UnreadableImage(f"{shown}: the file is empty")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # large JPEGs decode in a fraction
            picture = _upright_rgb(image)
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{shown}: {_not_a_picture(path, content)}") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"{shown}: the picture is absurdly large: shrink it first") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UnreadableImage(f"{shown}: the picture is damaged ({error})") from error
    return Source(printable(path.name), picture, hashlib.sha256(content).hexdigest(), beside(path))


def _not_a_picture(path: Place, content: bytes) -> str:
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
        return "HEIC pictures need the package pillow-heif: convert it to JPEG"
    if content[4:8] == b"ftyp" or content[:4] in (b"\x1aE\xdf\xa3", b"RIFF"):
        return (
            f'a video is no photo: name a moment of it, as in "{printable(path.name)}@00:00:04.2"'
        )
    return "not a picture that can be read (JPEG, PNG, WebP, AVIF, TIFF, BMP and GIF are)"


def _upright_rgb(image: Image.Image) -> Picture:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _eight_bits(upright)
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        paper = Image.new("RGBA", upright.size, (128, 128, 128, 255))
        upright = Image.alpha_composite(paper, upright)
    upright = upright.convert("RGB")
    upright.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(upright)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and floating greyscale as 8 bits; Pillow's own conversion clips at 255."""
    values = np.asarray(image).astype(np.float64)
    top = float(values.max(initial=0.0))
    if image.mode.startswith("I"):
        top = 255.0 if top <= 255 else 65535.0
    scaled = values / top * 255 if top > 0 else values
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8))


def _read_moment(video: Place, moment: str) -> Source:
    from vidsearch.media import read_picture

    shown = f"{printable(video)}@{printable(moment)}"
    try:
        time_s = parse_timecode(moment)
    except InvalidQuery as error:
        raise EnrolmentError(f"{shown}: {error}") from error
    length = _length(video)
    if time_s >= length:
        raise EnrolmentError(f"{shown}: the video ends at {timecode(length)}")
    picture = np.ascontiguousarray(read_picture(video, time_s))
    name = f"{printable(video.name)}@{timecode(time_s)}"
    where = beside(video).with_name(f"{video.name}@{timecode(time_s).replace(':', '-')}")
    image = Image.fromarray(picture)
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    digest = hashlib.sha256(picture.tobytes()).hexdigest()
    return Source(name, np.asarray(image), digest, where)


def _length(video: Place) -> float:
    """Seconds of a video; read from end to end where its container does not say."""
    from vidsearch.media import decode

    with decode(video) as decoder:
        if not decoder.probe.duration_s:
            for _ in decoder:
                pass
            return decoder.end_s
        return decoder.probe.duration_s
