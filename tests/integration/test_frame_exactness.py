"""Every frame is given once, in order, with its own time and its own picture.

The frames of the generated files carry their number (see `tests/videos.py`), so that a frame
that is dropped, doubled, shifted, turned wrongly or coloured wrongly shows.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import Recipe, colour_error, encode, numbered, read_number, settle, trim_by_edit_list

from vidsearch.media import decode, probe, read_picture

NTSC, FILM, FAST = Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60000, 1001)
X265 = {"x265-params": "log-level=none:bframes=3"}
VP9 = {"cpu-used": "8", "deadline": "realtime"}
AV1 = {"preset": "8", "crf": "15"}
UNEVEN = [40 * i + 3 * (i % 7) + (2000 if i > 20 else 0) for i in range(50)]
MS = Fraction(1, 1000)
INTERLACED = {"flags": "+ildct+ilme"}

FILES: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.mov": {"audio": True},
    "h264.flv": {},
    "open-groups.mp4": {"options": {"x264-params": "open-gop=1:bframes=3", "preset": "fast"}},
    "intra-refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=12"}},
    "fragmented.mp4": {"container": {"movflags": "frag_keyframe+empty_moov"}},
    "ntsc.mp4": {"rate": NTSC},
    "ntsc.ts": {"rate": NTSC},
    "film.mkv": {"rate": FILM},
    "film.mov": {"rate": FILM},
    "59.94.mp4": {"rate": FAST},
    "variable.mp4": {"pts": UNEVEN, "tick": MS},
    "variable.mkv": {"pts": UNEVEN, "tick": MS},
    "late-start.mp4": {"pts": range(30, 80), "tick": Fraction(1, 25)},
    "late-start.mkv": {"pts": range(30, 80), "tick": Fraction(1, 25)},
    "late-start.ts": {"pts": range(3000, 3050), "tick": Fraction(1, 25)},
    "left.mp4": {"rotation": 90},
    "right.mp4": {"rotation": -90},
    "upside-down.mov": {"rotation": 180},
    "mirrored.mp4": {"mirrored": True},
    "vertical.mp4": {"size": (180, 320)},
    "anamorphic.mp4": {"size": (240, 180), "sample_aspect": Fraction(4, 3)},
    "anamorphic.ts": {"codec": "mpeg2video", "size": (240, 180), "sample_aspect": Fraction(4, 3)},
    "tall-pixels.mp4": {"size": (320, 120), "sample_aspect": Fraction(2, 3)},
    "turned-anamorphic.mov": {"size": (240, 180), "sample_aspect": Fraction(4, 3), "rotation": 90},
    "full-range.mp4": {"pix_fmt": "yuvj420p", "color_range": 2},
    "bt601.mp4": {"colorspace": 6},
    "10bit.mp4": {"pix_fmt": "yuv422p10le"},
    "h265.mp4": {"codec": "libx265", "options": X265},
    "h265-10bit.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": X265},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "mpeg2.mxf": {"codec": "mpeg2video", "pix_fmt": "yuv422p", "options": {"b": "20000000"}},
    "interlaced.ts": {"codec": "mpeg2video", "options": INTERLACED},
    "interlaced.mxf": {
        "codec": "mpeg2video",
        "pix_fmt": "yuv422p",
        "options": {"b": "20000000", **INTERLACED},
    },
    "interlaced.mp4": {"options": {"x264-params": "tff=1"}},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": VP9},
    "vp9.mkv": {"codec": "libvpx-vp9", "options": VP9},
    "av1.webm": {"codec": "libsvtav1", "options": AV1},
    "av1.mkv": {"codec": "libsvtav1", "options": AV1},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "color_range": 2, "colorspace": 6},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}, "colorspace": 6},
    "wmv2.wmv": {"codec": "wmv2", "colorspace": 6},
    "raw-stream.h264": {},
    "rgb.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
}


@pytest.mark.parametrize("name", FILES)
def test_every_frame_comes_once_with_its_time_and_its_picture(name: str, tmp_path: Path) -> None:
    recipe = Recipe(**FILES[name])
    path = encode(tmp_path / name, recipe)

    with decode(path) as frames:
        numbers, times, pictures = [], [], []
        for frame in frames:
            numbers.append(read_number(frame.small))
            times.append(frame.time_s)
            if frame.index % 7 == 0:
                pictures.append(frame.picture())

    assert numbers == list(range(recipe.n_frames))
    ticks = recipe.pts or range(recipe.n_frames)
    wanted = [float((t - ticks[0]) * (recipe.tick or 1 / recipe.rate)) for t in ticks]
    # Matroska, WebM, FLV and WMV keep times in whole milliseconds.
    exact = 0.0006 if path.suffix in (".mkv", ".webm", ".flv", ".wmv") else 1e-9
    assert np.abs(np.subtract(times, wanted)).max() <= exact
    assert times[0] == 0.0
    assert [read_number(p) for p in pictures] == numbers[::7]
    assert max(colour_error(p) for p in pictures) <= 10
    assert frames.problem == ""
    assert frames.end_s == pytest.approx(wanted[-1] + float(1 / recipe.rate), abs=0.002)


@pytest.mark.parametrize(
    ("name", "size", "small"),
    [
        ("vertical.mp4", (180, 320), (180, 320)),
        ("left.mp4", (180, 320), (180, 320)),
        ("anamorphic.mp4", (320, 180), (320, 180)),
        ("tall-pixels.mp4", (320, 180), (320, 180)),
        ("turned-anamorphic.mov", (180, 320), (180, 320)),
    ],
)
def test_pictures_have_the_size_that_a_player_shows(
    name: str, size: tuple[int, int], small: tuple[int, int], tmp_path: Path
) -> None:
    path = encode(tmp_path / name, **{**FILES[name], "n_frames": 2})
    found = probe(path)
    assert (found.width, found.height) == size
    with decode(path) as frames:
        frame = next(iter(frames))
    assert frame.picture().shape == (size[1], size[0], 3)
    assert frame.small.shape == (small[1], small[0], 3)


def test_the_long_side_of_small_pictures_is_as_asked(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", size=(640, 360), n_frames=2)
    with decode(path, small_side=100) as frames:
        frame = next(iter(frames))
    assert frame.small.shape == (56, 100, 3)
    assert read_number(frame.small) == 0


@pytest.mark.parametrize(("first", "n_frames"), [(17, 20), (12, 10), (1, 49), (0, 30)])
def test_an_edit_list_shows_what_players_show(first: int, n_frames: int, tmp_path: Path) -> None:
    path = trim_by_edit_list(encode(tmp_path / "a.mp4"), first, n_frames)
    with decode(path) as frames:
        found = [(read_number(frame.small), round(frame.time_s, 9)) for frame in frames]
    assert found == [(first + i, round(i * 0.04, 9)) for i in range(n_frames)]
    assert frames.end_s == pytest.approx(n_frames * 0.04)
    assert frames.problem == ""


def test_the_place_of_the_first_frame_in_the_file_is_kept(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", pts=range(30, 80), tick=Fraction(1, 25))
    assert probe(path).media_offset_s == pytest.approx(1.2)


def test_a_single_frame_is_a_video(tmp_path: Path) -> None:
    with decode(encode(tmp_path / "a.mp4", n_frames=1)) as frames:
        assert [(f.index, f.time_s, read_number(f.picture())) for f in frames] == [(0, 0.0, 0)]
    assert frames.end_s == pytest.approx(0.04)


def test_frames_stay_usable_after_the_file_is_closed(tmp_path: Path) -> None:
    with decode(encode(tmp_path / "a.mp4")) as frames:
        kept = [frame for frame in frames if frame.index in (3, 40)]
    assert [read_number(frame.picture()) for frame in kept] == [3, 40]


def test_a_video_is_recognised_for_what_it_is(tmp_path: Path) -> None:
    recipe = Recipe(codec="libx265", options=X265, rate=NTSC, rotation=-90, audio=True)
    found = probe(encode(tmp_path / "a.mov", recipe))
    assert (found.codec, found.rotation, found.mirrored) == ("hevc", 90, False)
    assert found.frame_rate == pytest.approx(29.97, abs=0.001)
    assert found.n_frames == 50
    assert found.duration_s == pytest.approx(50 * 1001 / 30000, abs=1e-6)
    assert (found.interlaced, found.transfer) == (False, "sdr")
    assert probe(encode(tmp_path / "i.ts", **FILES["interlaced.ts"])).interlaced


def test_the_real_clip_starts_where_its_truth_says(example_media: Path) -> None:
    path = example_media / "white-house-poetry.mp4"
    if not path.exists():
        pytest.skip("the example footage is absent")
    with decode(path) as frames:
        times = [frame.time_s for frame in frames]
    assert len(times) == 275
    assert frames.probe.media_offset_s == pytest.approx(0.852, abs=0.0005)
    assert times[82] == pytest.approx(2.736, abs=0.0005)
    assert frames.end_s == pytest.approx(9.176, abs=0.0005)


@pytest.mark.parametrize("swapped", [False, True])
def test_joined_streams_run_on_in_time(swapped: bool, tmp_path: Path) -> None:
    late = encode(tmp_path / "1.ts", pts=range(3000, 3050), tick=Fraction(1, 25)).read_bytes()
    early = encode(tmp_path / "2.ts").read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(early + late if swapped else late + early)
    settle(joined)
    with decode(joined) as frames:
        found = [(read_number(frame.small), frame.time_s) for frame in frames]
    assert [number for number, _ in found] == [*range(50), *range(50)]
    assert np.diff([time_s for _, time_s in found]) == pytest.approx([0.04] * 99, abs=1e-6)
    for time_s in (0.4, 1.96, 2.0, 3.2):
        assert read_number(read_picture(joined, time_s)) == round(time_s * 25) % 50


def test_fields_of_interlaced_video_are_not_woven_together(tmp_path: Path) -> None:
    def two_fields(number: int, size: tuple[int, int]) -> np.ndarray:
        """A white bar that stands elsewhere in the second field."""
        picture = np.full((size[1], size[0], 3), 40, np.uint8)
        picture[0::2, 60:100] = 220
        picture[1::2, 160:200] = 220
        return picture

    path = encode(
        tmp_path / "a.ts",
        codec="mpeg2video",
        n_frames=5,
        draw=two_fields,
        options={**INTERLACED, "b": "8000000"},
    )
    with decode(path) as frames:
        picture = [frame.picture() for frame in frames][2].astype(int).mean(2)
    combing = np.abs(np.diff(picture[20:-20], axis=0)).mean(0)
    assert combing[65:95].max() < 12
    assert combing[165:195].max() < 12
    bars = picture[20:-20, [80, 180]].mean(0)
    assert sorted(bars > 130) == [False, True], "exactly one of the two fields is shown"


def test_numbers_read_back_from_what_was_drawn() -> None:
    for number in (0, 1, 255, 4097, 65535):
        assert read_number(numbered(number, (322, 178))) == number
    with pytest.raises(ValueError, match="no number"):
        read_number(np.rot90(numbered(77)))
