"""Make two more videos for the demo from the shipped clip and one photo.

`lectern.mp4` (25 frames/s): a slow move over a photograph of Barack Obama at a lectern, a
dissolve, then the singer of the White House clip. `evening.mkv` (24 frames/s): moving crops of
the clip's audience, singer and pianist, with a dissolve and a hard cut. Nothing is measured on
these; they make the archive an archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Picture = NDArray[np.uint8]
Scene = Callable[[float], Image.Image]  # the moment of a scene, 0 to 1 -> a picture
SIZE = (640, 360)


def make_videos(media: Path, out: Path) -> list[Path]:
    """Write the videos into `out`; return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    clip = _frames(media / "white-house-poetry.mp4")
    lectern = Image.open(media / "people" / "Barack_Obama_2.jpg").convert("RGB")
    speech = _move(_pillarboxed(lectern), (0.0, 0.0, 1.0), (0.1, 0.04, 0.8))
    singer = _play(clip[90:200], (0.0, 0.0, 1.0), (0.06, 0.02, 0.9))
    audience = _play(clip[212:274], (0.05, 0.05, 0.9), (0.0, 0.0, 1.0))
    pianist = _play(clip[22:80], (0.0, 0.0, 1.0), (0.08, 0.05, 0.88))
    _write(out / "lectern.mp4", 25, [(speech, 4.0), (singer, 3.0)], dissolve_s=0.8)
    _write(out / "evening.mkv", 24, [(audience, 2.5), (singer, 3.0)], 0.6, then=(pianist, 2.0))
    return [out / "lectern.mp4", out / "evening.mkv"]


def _frames(path: Path) -> list[Picture]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _pillarboxed(portrait: Image.Image) -> Image.Image:
    """An upright photo before a blurred copy of itself, as broadcasters fill a 16:9 screen."""
    size = (SIZE[0] * 2, SIZE[1] * 2)
    behind = portrait.resize(size, box=(0, 0, portrait.width, portrait.width * 9 / 16))
    screen = behind.filter(ImageFilter.GaussianBlur(40)).point(lambda value: value // 2)
    width = round(portrait.width * size[1] / portrait.height)
    screen.paste(portrait.resize((width, size[1])), ((size[0] - width) // 2, 0))
    return screen


def _crop(picture: Image.Image, at: tuple[float, float, float]) -> Image.Image:
    """The 16:9 window with its left and top at a share of the picture, and its width's share."""
    left, top, share = at
    width = picture.width * share
    height = width * SIZE[1] / SIZE[0]
    x, y = left * picture.width, top * picture.height
    box = (x, y, min(x + width, picture.width), min(y + height, picture.height))
    return picture.resize(SIZE, Image.Resampling.BICUBIC, box=box)


def _move(
    picture: Image.Image, start: tuple[float, float, float], end: tuple[float, float, float]
) -> Scene:
    """A slow move over a photograph, from one window to another."""

    def scene(moment: float) -> Image.Image:
        left, top, share = (a + (b - a) * moment for a, b in zip(start, end, strict=True))
        return _crop(picture, (left, top, share))

    return scene


def _play(
    frames: list[Picture], start: tuple[float, float, float], end: tuple[float, float, float]
) -> Scene:
    """Footage, stretched to the scene's length, under a moving window."""

    def scene(moment: float) -> Image.Image:
        picture = Image.fromarray(frames[min(int(moment * len(frames)), len(frames) - 1)])
        return _move(picture, start, end)(moment)

    return scene


def _write(
    path: Path,
    rate: int,
    scenes: list[tuple[Scene, float]],
    dissolve_s: float,
    then: tuple[Scene, float] | None = None,
) -> None:
    """Two scenes joined by a dissolve, and one more behind a hard cut."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        stream.codec_context.time_base = Fraction(1, rate)
        for picture in _pictures(rate, scenes, dissolve_s, then):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pictures(
    rate: int,
    scenes: list[tuple[Scene, float]],
    dissolve_s: float,
    then: tuple[Scene, float] | None,
) -> Iterator[Image.Image]:
    (first, first_s), (second, second_s) = scenes
    overlap = round(dissolve_s * rate)
    n_first, n_second = round(first_s * rate), round(second_s * rate)
    for i in range(n_first + n_second - overlap):
        j = i - (n_first - overlap)
        if j < 0:
            yield first(i / n_first)
        elif i < n_first:
            yield Image.blend(first(i / n_first), second(j / n_second), (j + 1) / (overlap + 1))
        else:
            yield second(j / n_second)
    if then is not None:
        scene, seconds = then
        n = round(seconds * rate)
        yield from (scene(i / n) for i in range(n))
