"""Pictures have the colours, the place and the light that the file means."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from videos import encode, read_number, settle

from vidsearch.hdr import grey_lut, hlg_to_scene, nits_to_pq, pq_to_nits, roll_off, tone_map
from vidsearch.media import Frame, decode, read_picture

# 8-bit Y, Cb, Cr of pure colours, as published with ITU-R BT.601 and BT.709 (limited range).
BT601 = {"red": (81, 90, 240), "green": (145, 54, 34), "blue": (41, 240, 110)}
BT709 = {"red": (63, 102, 240), "green": (173, 42, 26), "blue": (32, 240, 118)}
BT2020 = {"red": (74, 97, 240), "green": (164, 47, 25), "blue": (29, 240, 119)}
RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
WHITE, BLACK, GREY = (235, 128, 128), (16, 128, 128), (126, 128, 128)


def flat(
    path: Path,
    yuv: tuple[int, int, int],
    *,
    size: tuple[int, int] = (320, 180),
    bits: int = 8,
    full_range: bool = False,
    **tags: int,
) -> Frame:
    """The first frame of a lossless file of one colour, given as 8-bit codes."""
    pix_fmt = "yuv420p" if bits == 8 else f"yuv420p{bits}le"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.color_range = 2 if full_range else 1
        for name, value in tags.items():
            setattr(context, name, value)
        frame = av.VideoFrame(*size, pix_fmt)
        for plane, value in zip(frame.planes, yuv, strict=True):
            code = np.full(plane.buffer_size // (1 if bits == 8 else 2), value)
            plane.update((code << (bits - 8)).astype(np.uint8 if bits == 8 else "<u2").tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        for name, value in {"color_range": context.color_range, **tags}.items():
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with decode(settle(path)) as frames:
        return next(iter(frames))


def colours(frame: Frame) -> np.ndarray:
    """The colour of the full and of the small picture, [2, 3]; each must be of one colour."""
    for picture in (frame.picture(), frame.small):
        assert np.ptp(picture, axis=(0, 1)).max() == 0
    return np.array([frame.picture()[0, 0], frame.small[0, 0]]).astype(int)


@pytest.mark.parametrize("name", RGB)
@pytest.mark.parametrize(("table", "colorspace"), [(BT601, 6), (BT601, 5), (BT709, 1), (BT2020, 9)])
def test_the_matrix_that_the_file_names_is_used(
    name: str, table: dict[str, tuple[int, int, int]], colorspace: int, tmp_path: Path
) -> None:
    frame = flat(tmp_path / "a.mkv", table[name], colorspace=colorspace)
    assert np.abs(colours(frame) - RGB[name]).max() <= 3


@pytest.mark.parametrize("name", RGB)
def test_a_file_that_names_no_matrix_follows_its_size(name: str, tmp_path: Path) -> None:
    small = flat(tmp_path / "sd.mkv", BT601[name], size=(720, 576))
    large = flat(tmp_path / "hd.mkv", BT709[name], size=(1280, 720))
    for frame in (small, large):
        assert np.abs(colours(frame) - RGB[name]).max() <= 3


@pytest.mark.parametrize(
    ("codes", "full_range", "grey"),
    [
        (BLACK, False, 0),
        (WHITE, False, 255),
        (GREY, False, 128),
        ((5, 128, 128), False, 0),
        ((250, 128, 128), False, 255),
        ((0, 128, 128), True, 0),
        ((255, 128, 128), True, 255),
        ((128, 128, 128), True, 128),
    ],
)
def test_full_and_limited_range(
    codes: tuple[int, int, int], full_range: bool, grey: int, tmp_path: Path
) -> None:
    frame = flat(tmp_path / "a.mkv", codes, full_range=full_range, colorspace=1)
    assert np.abs(colours(frame) - grey).max() <= 1


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_more_bits_give_the_same_colours(bits: int, tmp_path: Path) -> None:
    frame = flat(tmp_path / "a.mkv", BT709["red"], bits=bits, colorspace=1)
    assert np.abs(colours(frame) - RGB["red"]).max() <= 3


def test_greyscale_and_rgb_files(tmp_path: Path) -> None:
    for pix_fmt in ("gray", "bgr0", "yuva420p"):
        path = encode(tmp_path / f"{pix_fmt}.mkv", codec="ffv1", pix_fmt=pix_fmt, n_frames=3)
        with decode(path) as frames:
            assert [read_number(f.picture()) for f in frames] == [0, 1, 2]


def test_the_curves_of_hdr_meet_their_published_points() -> None:
    # BT.2408: HDR reference white, 203 cd/m2, is 58 % PQ and 75 % HLG; 1,000 cd/m2 75 % PQ.
    assert pq_to_nits(np.array([0.0, 0.508, 0.5807, 0.7518, 1.0])) == pytest.approx(
        [0, 100, 203, 1000, 10000], rel=0.01
    )
    nits = np.array([0.01, 1.0, 100.0, 5000.0])
    assert pq_to_nits(nits_to_pq(nits)) == pytest.approx(nits, rel=1e-6)
    assert hlg_to_scene(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 1 / 12, 1], abs=1e-6)
    assert 1000 * hlg_to_scene(np.array(0.75)) ** 1.2 == pytest.approx(203, rel=0.01)


def test_the_roll_off_keeps_the_dark_and_bends_the_bright() -> None:
    nits = np.array([0.1, 10, 80, 203, 400, 1000, 4000])
    rolled = roll_off(nits)
    assert rolled[:3] == pytest.approx(nits[:3], rel=0.01)
    assert np.all(np.diff(rolled) >= 0)
    assert 140 < rolled[3] < 203
    assert rolled[-2:] == pytest.approx([203, 203], rel=1e-3)


@pytest.mark.parametrize("curve", ["pq", "hlg"])
def test_tone_mapping_keeps_order_black_and_white(curve: str) -> None:
    lut = grey_lut(curve).astype(int)  # type: ignore[arg-type]
    assert lut[0] == 0
    assert lut[255] == 255
    assert np.all(np.diff(lut) >= 0)
    greys = tone_map(np.linspace(0, 1, 50)[None, :, None].repeat(3, 2), curve)  # type: ignore[arg-type]
    assert np.ptp(greys.astype(int), axis=2).max() <= 2, "greys stay grey"


@pytest.mark.parametrize(("trc", "white_code"), [(16, 0.5807), (18, 0.75)])
def test_hdr_pictures_come_as_sdr(trc: int, white_code: float, tmp_path: Path) -> None:
    tags = {"color_trc": trc, "color_primaries": 9, "colorspace": 9}
    white = (round(16 + 219 * white_code), 128, 128)
    frame = flat(tmp_path / "white.mkv", white, bits=10, **tags)
    assert 220 <= colours(frame).min() <= colours(frame).max() <= 240
    red = flat(tmp_path / "red.mkv", BT2020["red"], bits=10, **tags)
    assert colours(red)[0] == pytest.approx([255, 0, 0], abs=12)
    black = flat(tmp_path / "black.mkv", BLACK, bits=10, **tags)
    assert colours(black).max() <= 1


@pytest.mark.parametrize(("trc", "transfer"), [(16, "pq"), (18, "hlg"), (1, "sdr")])
def test_hdr_is_recognised_in_a_delivered_file(trc: int, transfer: str, tmp_path: Path) -> None:
    path = encode(
        tmp_path / "a.mp4",
        codec="libx265",
        pix_fmt="yuv420p10le",
        n_frames=12,
        options={"x265-params": "log-level=none"},
        color_trc=trc,
        color_primaries=9,
        colorspace=9,
    )
    with decode(path) as frames:
        assert frames.probe.transfer == transfer
        pictures = [frame.picture() for frame in frames]
    assert [read_number(picture) for picture in pictures] == list(range(12))
    assert np.abs(read_picture(path, 0.2).astype(int) - pictures[5]).max() == 0
