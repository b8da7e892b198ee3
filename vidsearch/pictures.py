"""From a decoded frame to upright RGB at display aspect: small ones cheaply, full ones faithfully.

The planes of a frame are read as numpy views and scaled before any colour is computed: on a 720p
stream a small picture costs a twentieth of the decoding, where converting the whole frame to RGB
first would cost half of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import av.filter
import cv2
import numpy as np
from numpy.typing import NDArray

from vidsearch.hdr import grey_lut, tone_map

Picture: TypeAlias = NDArray[np.uint8]
Transfer = Literal["sdr", "pq", "hlg"]

_PLANAR_YUV = re.compile(r"(?:yuv[aj]?4\d\dp|gray)(9|10|12|14|16)?(?:le)?")
_BT709, _BT2020 = 1, (9, 10)
_BT601_LIKE = {4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
_FULL_RANGE = 2
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}


@dataclass(frozen=True)
class Layout:
    """How the pictures of one video are shown.

    `width` and `height` are those of the upright picture at display aspect, `small` its shrunk
    size (width, height). The stored picture is transposed, then mirrored left to right, then top
    to bottom, as told.
    """

    width: int
    height: int
    small: tuple[int, int]
    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation(self) -> int:
        """Degrees clockwise by which the stored picture is turned: 0, 90, 180 or 270."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the stored picture is flipped besides being turned."""
        return self.transpose ^ self.mirror_x ^ self.mirror_y

    def stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) before turning of a picture that is `size` when upright."""
        return (size[1], size[0]) if self.transpose else size

    def turn(self, picture: Picture) -> Picture:
        """The stored picture, upright."""
        if self.transpose:
            picture = cv2.transpose(picture)
        if self.mirror_x or self.mirror_y:
            flip = -1 if self.mirror_x and self.mirror_y else int(self.mirror_x)
            picture = cv2.flip(picture, flip)
        return picture


def layout_of(frame: Any, sample_aspect: float, small_side: int) -> Layout:
    """The layout of a video from its first frame and the width of a pixel over its height.

    Sources: FFmpeg's `AVFrameSideData` DISPLAYMATRIX (nine int32; a point (x, y) goes to
    (a x + c y, b x + d y)). An aspect is reached by widening or heightening, never by throwing
    pixels away. Angles that are no multiple of 90 degrees go to the nearest.
    """
    width, height = frame.width, frame.height
    if sample_aspect >= 1:
        width = round(width * sample_aspect)
    else:
        height = round(height / sample_aspect)
    transpose = mirror_x = mirror_y = False
    matrix = _display_matrix(frame)
    if matrix is not None:
        a, b, c, d = matrix
        transpose = abs(b) + abs(c) > abs(a) + abs(d)
        mirror_x, mirror_y = (c < 0, b < 0) if transpose else (a < 0, d < 0)
    if transpose:
        width, height = height, width
    scale = min(1.0, small_side / max(width, height))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Layout(width, height, small, transpose, mirror_x, mirror_y)


def _display_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return None
    a, b, _, c, d = np.frombuffer(side_data, np.int32)[:5].tolist()
    return a, b, c, d


def transfer_of(frame: Any) -> Transfer:
    """Which curve the frame's values follow: PQ and HLG are HDR, everything else is SDR."""
    return _TRANSFERS.get(int(frame.color_trc), "sdr")


def small_picture(frame: Any, layout: Layout) -> Picture:
    """The frame as RGB uint8 `layout.small`, upright.

    Fields of interlaced frames are blended by the shrinking, and HDR is brought to SDR by its
    tone curve alone: good enough to see a cut, and cheap.
    """
    size = layout.stored(layout.small)
    planes = _planes(frame)
    if planes is None:
        picture = _resize(frame.to_ndarray(format="rgb24"), size)
    else:
        scaled = [_to_8_bits(_resize(plane, size), bits) for plane, bits in planes]
        picture = cv2.transform(_merge(scaled, 128), _matrix_of(frame))
    transfer = transfer_of(frame)
    if transfer != "sdr":
        picture = cv2.LUT(picture, grey_lut(transfer))
    return layout.turn(picture)


def full_picture(frame: Any, layout: Layout) -> Picture:
    """The frame as RGB uint8 [height, width, 3] of the layout: upright, deinterlaced, SDR."""
    size = layout.stored((layout.width, layout.height))
    source = _deinterlaced(frame) if frame.interlaced_frame else frame
    planes = _planes(source)
    transfer = transfer_of(frame)
    if planes is None:
        picture = _resize(source.to_ndarray(format="rgb24"), size)
        if transfer != "sdr":
            picture = tone_map(picture.astype(np.float32) / 255, transfer)
    elif transfer == "sdr":
        scaled = [_resize(_to_8_bits(plane, bits), size) for plane, bits in planes]
        picture = cv2.transform(_merge(scaled, 128), _matrix_of(frame))
    else:  # keep all the bits until the highlights are rolled off
        scaled = [_resize(plane, size) * np.float32(2.0 ** (8 - bits)) for plane, bits in planes]
        codes = cv2.transform(_merge(scaled, 128), _matrix_of(frame)) / np.float32(255)
        picture = tone_map(codes, transfer)
    return layout.turn(picture)


def _deinterlaced(frame: Any) -> Any:
    """The frame's first field, its missing lines interpolated along edges (FFmpeg's estdif).

    Filters that look at neighbouring frames (yadif, bwdif) weave the fields back together when
    they are given one frame alone.
    """
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(
        source, graph.add("estdif", "mode=frame:deint=all"), graph.add("buffersink")
    ).configure()
    graph.push(frame)
    graph.push(None)
    return graph.pull()


def _planes(frame: Any) -> list[tuple[NDArray[Any], int]] | None:
    """Views of the frame's Y, U and V with their bits a value, None where it is not stored so."""
    known = _PLANAR_YUV.fullmatch(frame.format.name)
    if known is None:
        return None
    bits = int(known[1] or 8)
    views = []
    for plane in frame.planes[:3]:
        if plane.line_size <= 0:  # stored bottom up
            return None
        row = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16)
        views.append((row.reshape(plane.height, -1)[:, : plane.width], bits))
    return views


def _to_8_bits(plane: NDArray[Any], bits: int) -> Picture:
    if bits > 8:
        plane = cv2.convertScaleAbs(plane, alpha=2.0 ** (8 - bits))
    return plane


def _merge(planes: list[NDArray[Any]], neutral: int) -> NDArray[Any]:
    if len(planes) == 1:  # greyscale
        planes = [planes[0], *[np.full_like(planes[0], neutral)] * 2]
    return np.asarray(cv2.merge(planes))


def _resize(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Scale to (width, height): area average downwards, linear upwards."""
    width, height = size
    # OpenCV's 2x2 average is several times as fast as its general area average.
    while plane.shape[1] >= 2 * width and plane.shape[0] >= 2 * height:
        even = plane[: plane.shape[0] & ~1, : plane.shape[1] & ~1]
        half = (even.shape[1] // 2, even.shape[0] // 2)
        plane = cv2.resize(even, half, interpolation=cv2.INTER_AREA)
    if (plane.shape[1], plane.shape[0]) == size:
        return plane
    shrinks = plane.shape[1] >= width and plane.shape[0] >= height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size, interpolation=how))


def _matrix_of(frame: Any) -> NDArray[np.float32]:
    full_range = int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj")
    is_hd = frame.width >= 1280 or frame.height > 576
    return _yuv_to_rgb(int(frame.colorspace), full_range, is_hd)


@lru_cache(maxsize=64)
def _yuv_to_rgb(colorspace: int, full_range: bool, is_hd: bool) -> NDArray[np.float32]:
    """The 3x4 matrix from 8-bit Y, U, V to R, G, B, by ITU-R BT.601, BT.709 and BT.2020.

    A file that does not say follows players' custom: BT.709 for HD, else BT.601.
    """
    if colorspace in _BT2020:
        kr, kb = 0.2627, 0.0593
    elif colorspace in _BT601_LIKE:
        kr, kb = _BT601_LIKE[colorspace]
    elif colorspace == _BT709 or is_hd:
        kr, kb = 0.2126, 0.0722
    else:
        kr, kb = 0.299, 0.114
    kg = 1 - kr - kb
    from_ycc = np.array(
        [
            [1, 0, 2 * (1 - kr)],
            [1, -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg],
            [1, 2 * (1 - kb), 0],
        ]
    )
    y_scale, c_scale, black = (1.0, 1.0, 0) if full_range else (255 / 219, 255 / 224, 16)
    matrix = from_ycc * np.array([y_scale, c_scale, c_scale])
    offset = -matrix @ np.array([black, 128, 128])
    return np.hstack([matrix, offset[:, None]]).astype(np.float32)
