"""What files say to editors: time code, reel, day of recording, and the rate their frames keep."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from videos import encode

from vidsearch.media import decode, probe
from vidsearch.pace import Pace
from vidsearch.slate import group_code, message_code
from vidsearch.smpte import STANDARD_RATES

NTSC, NTSC2 = Fraction(30000, 1001), Fraction(60000, 1001)
MPEG2: dict[str, Any] = {"codec": "mpeg2video", "gop": 12, "n_frames": 26}
DAY = {"creation_time": "2020-05-06T07:08:09Z"}
THE_DAY = 1588748889.0


# --- time codes, reels, days ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "code"),
    [
        ("a.mov", Fraction(25), "10:00:00:00"),
        ("a.mov", NTSC, "01:00:00;02"),
        ("a.mov", NTSC, "01:00:00:02"),
        ("a.mp4", NTSC2, "23:59:59;56"),
        ("a.mkv", Fraction(24000, 1001), "10:11:12:13"),
        ("a.avi", Fraction(25), "10:00:00:00"),
    ],
)
def test_the_time_code_of_the_header_is_that_of_the_first_frame(
    tmp_path: Path, name: str, rate: Fraction, code: str
) -> None:
    file = encode(tmp_path / name, rate=rate, n_frames=8, tags={"timecode": code})
    assert probe(file).slate.timecode == code


def test_a_mov_tells_time_code_reel_and_day(tmp_path: Path) -> None:
    tags = {"timecode": "10:00:00:00", "reel_name": "A001C003_200506_R1XX"}
    file = encode(tmp_path / "a.mov", n_frames=8, tags=DAY, stream_tags=tags)
    slate = probe(file).slate
    assert slate.timecode == "10:00:00:00"
    assert slate.reel == "A001C003_200506_R1XX"
    assert slate.recorded_at == THE_DAY


def test_an_mxf_tells_time_code_and_reel(tmp_path: Path) -> None:
    tags = {"timecode": "10:00:00:00", "reel_name": "TAPE42"}
    slate = probe(encode(tmp_path / "a.mxf", **MPEG2, tags=tags)).slate
    assert (slate.timecode, slate.reel) == ("10:00:00:00", "TAPE42")


def test_an_mxf_with_drop_frame_codes_says_so(tmp_path: Path) -> None:
    tags = {"timecode": "01:00:00;00"}
    file = encode(tmp_path / "a.mxf", **{**MPEG2, "rate": NTSC}, tags=tags)
    assert probe(file).slate.timecode == "01:00:00;00"


@pytest.mark.parametrize(
    ("rate", "code"),
    [(Fraction(25), "01:02:03:04"), (NTSC, "01:02:03:04"), (NTSC, "01:02:03;04")],
)
@pytest.mark.parametrize("options", [{}, {"bf": "2"}, {"g": "1"}], ids=["ip", "ibp", "all intra"])
def test_a_transport_stream_tells_the_code_of_its_groups_of_pictures(
    tmp_path: Path, rate: Fraction, code: str, options: dict[str, str]
) -> None:
    drop = {"drop_frame_timecode": "1"} if ";" in code else {}
    options = {**options, "gop_timecode": code, **drop}
    file = encode(tmp_path / "a.ts", **{**MPEG2, "rate": rate, "options": options})
    assert probe(file).slate.timecode == code


def test_a_stream_that_begins_within_a_group_tells_the_code_of_what_it_shows_first() -> None:
    # An open group, whose first two pictures need what is not there: the third is shown first.
    header = b"\x00\x00\x01\xb8" + (1 << 26 | 2 << 20 | 1 << 19 | 3 << 13 | 4 << 7).to_bytes(
        4, "big"
    )
    intra = header + b"\x00\x00\x01\x00" + (2 << 6).to_bytes(2, "big")
    assert group_code([(b"\x00\x00\x01\x00\x00\x40", 7200), (intra, 9000)], 9000) == "01:02:03:06"


def test_codes_of_h264_messages_are_read() -> None:
    # 01:02:03 and frame 4, as av_timecode_make_smpte_tc_string2 reads them.
    word = 0x04 << 24 | 0x03 << 16 | 0x02 << 8 | 0x01
    data = (1).to_bytes(4, "little") + word.to_bytes(4, "little") + bytes(8)
    assert message_code(data, Fraction(25)) == "01:02:03:04"
    assert message_code(data, Fraction(50)) == "01:02:03:08"  # codes of pairs
    second = word | 1 << 7
    data = (1).to_bytes(4, "little") + second.to_bytes(4, "little") + bytes(8)
    assert message_code(data, Fraction(50)) == "01:02:03:09"
    dropping = word | 1 << 30
    data = (1).to_bytes(4, "little") + dropping.to_bytes(4, "little") + bytes(8)
    assert message_code(data, NTSC) == "01:02:03;04"
    assert message_code(bytes(16), NTSC) == ""


def test_a_file_without_a_slate_says_nothing(tmp_path: Path) -> None:
    slate = probe(encode(tmp_path / "a.mp4", n_frames=4)).slate
    assert (slate.timecode, slate.reel, slate.recorded_at) == ("", "", 0.0)


@pytest.mark.parametrize("day", ["1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "yesterday"])
def test_a_day_that_nobody_set_is_none(tmp_path: Path, day: str) -> None:
    file = encode(tmp_path / "a.mkv", n_frames=4, tags={"creation_time": day})
    assert probe(file).slate.recorded_at == 0.0


def test_a_time_code_that_is_none_is_left_out(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mkv", n_frames=4, tags={"timecode": "ten o'clock"})
    assert probe(file).slate.timecode == ""


# --- the rate that frames keep -------------------------------------------------------------------


def _pace(file: Path) -> Pace:
    with decode(file) as frames:
        for _ in frames:
            pass
        return frames.pace


@pytest.mark.parametrize("rate", [r for r in STANDARD_RATES if r <= 60], ids=str)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])  # ticks by the rate, 1 ms, 1/90,000 s
def test_an_even_rate_is_known_exactly(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    pace = _pace(encode(tmp_path / f"a.{suffix}", rate=rate, n_frames=40, size=(96, 64)))
    assert (pace.rate, pace.is_variable) == (rate, False)


def test_a_rate_of_no_standard_is_known_too(tmp_path: Path) -> None:
    pace = _pace(encode(tmp_path / "a.mp4", rate=Fraction(173, 10), n_frames=40))
    assert (pace.rate, pace.is_variable) == (Fraction(173, 10), False)


@pytest.mark.parametrize(
    "pts",
    [[*range(20), *range(21, 41)], [0, 3, 4, 9, 10, 11, 12, 20, 21, 22]],
    ids=["one frame dropped", "as a phone films"],
)
def test_frames_at_uneven_distances_are_noticed(tmp_path: Path, pts: list[int]) -> None:
    file = encode(tmp_path / "a.mp4", pts=pts, n_frames=len(pts), tick=Fraction(1, 25))
    pace = _pace(file)
    assert pace.is_variable
    assert float(pace.rate) == pytest.approx((len(pts) - 1) / (pts[-1] / 25), rel=1e-3)


@given(
    st.sampled_from(STANDARD_RATES),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 10_000_000)]),
    st.integers(300, 2000),
    st.booleans(),
)
def test_times_rounded_to_ticks_still_tell_the_rate(
    rate: Fraction, tick: Fraction, n: int, cut: bool
) -> None:
    pace = Pace(tick, _claims(rate))
    for i in range(n):
        pace.see(int(i / rate / tick) if cut else round(i / rate / tick))
    assert (pace.rate, pace.is_variable) == (rate, False)


def _claims(rate: Fraction) -> Iterable[Fraction]:
    """A header that is wrong, and one that is rounded."""
    return [Fraction(90_000), Fraction(round(rate * 100), 100)]
