"""Random access gives the very frame that the pass over the file gave."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import encode, read_number, trim_by_edit_list

from vidsearch.errors import UnreadableVideo
from vidsearch.media import decode, read_picture, read_pictures
from vidsearch.rereads import decord_is_right

X265 = {"x265-params": "log-level=none:keyint=12"}
LEFT = {"rotation": 90}
ANAMORPHIC = {"size": (240, 180), "sample_aspect": Fraction(4, 3)}
INTERLACED = {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme"}}
WIDE = {"preset": "fast", "bf": "3"}
VP9 = {"cpu-used": "8", "deadline": "realtime"}
UNEVEN = [40 * i + 3 * (i % 7) + (2000 if i > 20 else 0) for i in range(100)]

FILES: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "plain.mkv": {},
    "b-frames.mov": {"options": WIDE},
    "ntsc.mp4": {"rate": Fraction(30000, 1001)},
    "variable.mp4": {"pts": UNEVEN, "tick": Fraction(1, 1000)},
    "late-start.mp4": {"pts": range(30, 130), "tick": Fraction(1, 25)},
    "stream.ts": {},
    "late.ts": {"pts": range(3000, 3100), "tick": Fraction(1, 25)},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "open-groups.mp4": {"options": {**WIDE, "x264-params": "open-gop=1"}},
    "open-groups.ts": {"options": {**WIDE, "x264-params": "open-gop=1"}},
    "intra-refresh.mp4": {"options": {**WIDE, "x264-params": "intra-refresh=1:keyint=25"}},
    "h265.mp4": {"codec": "libx265", "options": X265},
    "turned.mp4": LEFT,
    "anamorphic.mp4": ANAMORPHIC,
    "interlaced.ts": INTERLACED,
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}, "colorspace": 6},
    "wmv2.wmv": {"codec": "wmv2", "colorspace": 6},
    "vp9.webm": {"codec": "libvpx-vp9", "options": VP9},
    "raw-stream.h264": {},
}


@pytest.mark.parametrize("name", FILES)
def test_any_frame_is_found_again_by_its_time(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, **{"n_frames": 100, **FILES[name]})
    with decode(path) as frames:
        times = [frame.time_s for frame in frames]
    shuffled = [int(i) for i in np.random.default_rng(7).permutation(100)[:20]]

    few = shuffled[:5]
    one_by_one = [read_number(read_picture(path, round(times[i], 3))) for i in few]
    together = [read_number(p) for p in read_pictures(path, [times[i] for i in shuffled])]

    assert one_by_one == few
    assert together == shuffled


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("plain.mp4", True),
        ("plain.mkv", True),
        ("variable.mp4", True),
        ("vp9.webm", True),
        ("stream.ts", False),
        ("open-groups.mp4", False),
        ("intra-refresh.mp4", False),
        ("h265.mp4", False),
        ("turned.mp4", False),
        ("anamorphic.mp4", False),
    ],
)
def test_decord_is_used_only_where_its_frames_are_right(
    name: str, right: bool, tmp_path: Path
) -> None:
    pytest.importorskip("decord")
    path = encode(tmp_path / name, **{"n_frames": 100, **FILES[name]})
    assert decord_is_right(path) is right
    if right:
        shuffled = [int(i) for i in np.random.default_rng(7).permutation(100)]
        with decode(path) as frames:
            times = [frame.time_s for frame in frames]
        pictures = read_pictures(path, [times[i] for i in shuffled])
        assert [read_number(picture) for picture in pictures] == shuffled


def test_a_missing_decord_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = encode(tmp_path / "a.mp4")
    assert not decord_is_right(path)
    times = [i * 0.04 for i in range(50)]
    assert [read_number(p) for p in read_pictures(path, times)] == list(range(50))


def test_decord_is_not_used_behind_an_edit_list(tmp_path: Path) -> None:
    path = trim_by_edit_list(encode(tmp_path / "a.mp4"), 17, 20)
    assert not decord_is_right(path)
    times = [i * 0.04 for i in range(20)] * 2
    assert [read_number(p) for p in read_pictures(path, times)] == list(range(17, 37)) * 2


@pytest.mark.parametrize("name", ["plain.mp4", "turned.mp4", "anamorphic.mp4", "interlaced.ts"])
def test_the_picture_is_the_same_as_in_the_pass(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name, **FILES[name])
    with decode(path) as frames:
        passed = {f.time_s: f.picture() for f in frames if f.index % 5 == 0}
    for again, picture in zip(read_pictures(path, list(passed)), passed.values(), strict=True):
        assert again.shape == picture.shape
        assert np.abs(again.astype(int) - picture).mean() < 2


def test_times_outside_the_video_give_its_first_and_last_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    assert read_number(read_picture(path, -3.0)) == 0
    assert read_number(read_picture(path, 1e6)) == 49
    assert [read_number(p) for p in read_pictures(path, [99.0] + [0.0] * 30)] == [49] + [0] * 30


def test_a_moment_within_a_frame_gives_that_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4")
    assert [read_number(read_picture(path, t)) for t in (0.4, 0.41, 0.4385, 0.4395)] == [
        10,
        10,
        10,
        11,  # less than a millisecond early: a rounded 0.44
    ]


def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match="does not exist"):
        read_picture(tmp_path / "gone.mp4", 1.0)
    with pytest.raises(UnreadableVideo, match="does not exist"):
        read_pictures(tmp_path / "gone.mp4", list(range(20)))
