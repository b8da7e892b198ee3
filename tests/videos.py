"""Test videos whose frames carry their number as a pattern that survives lossy coding.

A picture is a grid of 6 x 4 cells. The corners are red, green, blue and yellow (top left, top
right, bottom left, bottom right), so that turned or mirrored pictures and wrong colours show; the
other 20 cells are black or white: 16 bits of the number and 4 of a checksum.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

COLUMNS, ROWS = 6, 4
CORNERS = {
    (0, 0): (200, 30, 30),
    (0, COLUMNS - 1): (30, 170, 60),
    (ROWS - 1, 0): (40, 60, 200),
    (ROWS - 1, COLUMNS - 1): (210, 190, 40),
}
_BIT_CELLS = [(r, c) for r in range(ROWS) for c in range(COLUMNS) if (r, c) not in CORNERS]
BLACK, WHITE = 24, 232


def _bits(number: int) -> list[int]:
    code = number | ((number * 7 + 3) % 16) << 16
    return [code >> i & 1 for i in range(20)]


def numbered(number: int, size: tuple[int, int] = (320, 180)) -> np.ndarray:
    """The upright RGB picture [height, width, 3] of a number; `size` is (width, height)."""
    cells = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    for cell, colour in CORNERS.items():
        cells[cell] = colour
    for cell, bit in zip(_BIT_CELLS, _bits(number), strict=True):
        cells[cell] = WHITE if bit else BLACK
    return cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)


def cell_means(picture: np.ndarray) -> np.ndarray:
    """The mean colour [4, 6, 3] of the middle of each cell."""
    height, width = picture.shape[:2]
    means = np.empty((ROWS, COLUMNS, 3))
    for r in range(ROWS):
        for c in range(COLUMNS):
            y0, y1 = (np.array([r + 0.3, r + 0.7]) * height / ROWS).astype(int)
            x0, x1 = (np.array([c + 0.3, c + 0.7]) * width / COLUMNS).astype(int)
            means[r, c] = picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean((0, 1))
    return means


def read_number(picture: np.ndarray) -> int:
    """The number of an upright picture of any size; ValueError if it holds none."""
    luma = cell_means(picture).mean(2)
    code = sum(int(luma[cell] > 128) << i for i, cell in enumerate(_BIT_CELLS))
    number = code & 0xFFFF
    if code >> 16 != (number * 7 + 3) % 16:
        raise ValueError("this picture carries no number: not upright, mixed or damaged")
    return number


def colour_error(picture: np.ndarray) -> float:
    """The largest difference of any channel of any corner from what was drawn."""
    means = cell_means(picture)
    return max(float(np.abs(means[cell] - colour).max()) for cell, colour in CORNERS.items())


@dataclass(frozen=True)
class Recipe:
    """How to encode; the defaults make a small ordinary H.264 file at 25 frames a second."""

    codec: str = "libx264"
    size: tuple[int, int] = (320, 180)  # stored, before turning
    rate: Fraction = Fraction(25)
    pix_fmt: str = "yuv420p"
    n_frames: int = 50
    pts: Sequence[int] | None = None  # in ticks of `tick`; None: 0, 1, 2... of 1 / rate
    tick: Fraction | None = None
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)  # time code, reel, day of recording
    stream_tags: dict[str, str] = field(default_factory=dict)
    sample_aspect: Fraction | None = None
    rotation: int = 0  # degrees counterclockwise by which a player must turn the stored picture
    mirrored: bool = False  # stored left to right, and to be turned back by a player
    colorspace: int = 1  # AVColorSpace; 1 is BT.709, 6 BT.601
    color_range: int = 1  # AVColorRange; 1 limited, 2 full
    color_trc: int = 1
    color_primaries: int = 1
    gop: int = 12
    draw: Callable[[int, tuple[int, int]], np.ndarray] = numbered
    audio: bool = False


def encode(path: Path, recipe: Recipe | None = None, **changes: Any) -> Path:
    """Write a numbered video as the recipe says; keyword arguments change the default recipe."""
    recipe = recipe or Recipe(**changes)
    with av.open(str(path), "w", options=recipe.container) as container:
        container.metadata.update(recipe.tags)
        stream = _add_stream(container, recipe)
        stream.metadata.update(recipe.stream_tags)
        sound = container.add_stream("aac", rate=16000) if recipe.audio else None
        for i, picture in enumerate(_stored_pictures(recipe)):
            frame = _yuv(picture, recipe)
            frame.pts = i if recipe.pts is None else recipe.pts[i]
            frame.time_base = recipe.tick or 1 / recipe.rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _add_silence(container, sound, float(recipe.n_frames / recipe.rate))
    return settle(path)


def settle(path: Path) -> Path:
    """Date a file back by a minute: `decode` watches fresh ones for a second."""
    an_age_ago = time.time() - 60
    os.utime(path, (an_age_ago, an_age_ago))
    return path


def trim_by_edit_list(path: Path, first: int, n_frames: int, rate: int = 25) -> Path:
    """Let an MP4's only edit (ISO/IEC 14496-12, `elst`) show n frames from the first on."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    version, count, _, media_time = struct.unpack(">IIIi", data[at : at + 16])
    assert (version, count) == (0, 1)
    ticks = 12800 // rate  # FFmpeg's time scale for such rates; the movie's is 1000
    edit = struct.pack(">Ii", n_frames * 1000 // rate, media_time + first * ticks)
    data[at + 8 : at + 16] = edit
    path.write_bytes(data)
    return settle(path)


def loop(clip: Path, path: Path, seconds: float) -> Path:
    """Repeat a clip's packets, its timestamps shifted, until it lasts so long: no re-encoding."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        shift = 0
        while shift * stream.time_base < seconds:
            for packet in source.demux(stream):
                if packet.pts is None:
                    continue
                packet.pts += shift
                packet.dts += shift
                packet.stream = copy
                target.mux(packet)
            shift += stream.duration
            source.seek(0)
    return settle(path)


@contextmanager
def restored(folder: Path) -> Iterator[None]:
    """What is laid beside the files of a folder in the block is deleted at its end."""
    ours = set(folder.iterdir())
    try:
        yield
    finally:
        for other in set(folder.iterdir()) - ours:
            other.unlink()


def cut_off(path: Path, share: float = 0.6) -> Path:
    """Lose the end of a file."""
    os.truncate(path, int(path.stat().st_size * share))
    return settle(path)


def _add_stream(container: Any, recipe: Recipe) -> Any:
    options = {"g": str(recipe.gop), **recipe.options}
    if recipe.codec == "libx264":
        options = {"preset": "ultrafast", "bf": "2", "crf": "20", **options}
    stream = container.add_stream(recipe.codec, rate=recipe.rate, options=options)
    stream.width, stream.height = recipe.size
    stream.pix_fmt = recipe.pix_fmt
    context = stream.codec_context
    context.colorspace, context.color_range = recipe.colorspace, recipe.color_range
    context.color_trc, context.color_primaries = recipe.color_trc, recipe.color_primaries
    if recipe.tick is not None:
        context.time_base = recipe.tick
    if recipe.sample_aspect is not None:
        context.sample_aspect_ratio = recipe.sample_aspect
    if recipe.rotation or recipe.mirrored:
        stream.set_display_rotation(recipe.rotation, hflip=recipe.mirrored)
    return stream


def _stored_pictures(recipe: Recipe) -> Iterable[np.ndarray]:
    quarter_turns = round(recipe.rotation / 90) % 4
    width, height = recipe.size
    upright = (height, width) if quarter_turns % 2 else (width, height)
    for i in range(recipe.n_frames):
        stored = np.rot90(recipe.draw(i, upright), -quarter_turns)
        yield np.ascontiguousarray(np.fliplr(stored) if recipe.mirrored else stored)


def _yuv(picture: np.ndarray, recipe: Recipe) -> Any:
    frame = av.VideoFrame.from_ndarray(picture, "rgb24")
    matrix = {1: 1, 6: 5, 9: 9}[recipe.colorspace]  # AVColorSpace to swscale's numbers
    frame = frame.reformat(
        format=recipe.pix_fmt,
        dst_colorspace=matrix,
        src_color_range=2,
        dst_color_range=recipe.color_range,
    )
    frame.color_trc, frame.color_primaries = recipe.color_trc, recipe.color_primaries
    return frame


def _add_silence(container: Any, stream: Any, seconds: float) -> None:
    for start in range(0, int(seconds * 16000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
