"""Exports, read back by other readers: OpenTimelineIO, pandas, Arrow, a WebVTT parser, XML."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ET
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pandas as pd
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.counting import counting
from vidsearch.errors import VidsearchError
from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.export import FORMATS, export, notes, rendered
from vidsearch.export_editors import reel_names
from vidsearch.export_tables import COLUMNS, harmless
from vidsearch.names_of_files import MAX_BYTES, Names, safe_name
from vidsearch.records import SAID_BY_HAND, Sighting, Still, Video

NTSC, NTSC2, FILM = Fraction(30000, 1001), Fraction(60000, 1001), Fraction(24000, 1001)
RATES = [
    (FILM, "01:00:00:00", False),
    (Fraction(24), "01:00:00:00", False),
    (Fraction(25), "10:00:00:00", False),
    (NTSC, "01:00:00:00", False),
    (NTSC, "01:00:00;02", True),
    (Fraction(30), "01:00:00:00", False),
    (Fraction(50), "10:00:00:00", False),
    (NTSC2, "01:00:00:00", False),
    (NTSC2, "01:00:00;00", True),
    (Fraction(60), "", False),
]
NAMED = [f"{float(rate):.2f}{'df' if drop else ''}" for rate, _, drop in RATES]
ANNA = Sighting("Anna Rossi", 0.93, 0.0, (0.1, 0.2, 0.3, 0.4), "rossi1.jpg")


def video(name: str = "a.mov", rate: Fraction = Fraction(25), **facts: Any) -> Video:
    known: dict[str, Any] = {
        "duration_s": float(100_000 / rate),
        "n_frames": 100_000,
        "rate": f"{rate.numerator}/{rate.denominator}",
        "frame_rate": float(rate),
        "width": 320,
        "height": 180,
    } | facts
    return Video("id-" + name, (b"/videos/" + os.fsencode(name),), 1000, 1.0, **known)


def excerpt(of: Video, first: int, end: int, rank: int = 1, **facts: Any) -> Excerpt:
    """Frames of a video with an even rate."""
    rate = Fraction(of.rate)
    start_s, end_s = float(first / rate), float(end / rate)
    people = facts.pop("people", (ANNA,))
    seen = tuple(
        Sighting(p.name, p.probability, (start_s + end_s) / 2, p.box, p.reference) for p in people
    )
    known: dict[str, Any] = {"score": 0.81, "context_score": 0.7} | facts
    return Excerpt(
        rank, of, 3, start_s, end_s, first, end, (start_s + end_s) / 2, people=seen, **known
    )


def some(*excerpts: Excerpt, title: str = "Anna Rossi on stage") -> Excerpts:
    return Excerpts(title, excerpts)


def grey(excerpts: Any) -> list[Still]:
    return [Still(np.full((90, 160, 3), 128, np.uint8)) for _ in excerpts]


def made(excerpts: Excerpts, form: str, rate: Fraction | None = None) -> bytes:
    return rendered(excerpts, form, rate=rate, stills=grey)


# --- editing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "code", "drop"), RATES, ids=NAMED)
def test_otio_is_exact_at_every_rate(rate: Fraction, code: str, drop: bool) -> None:
    one = video(rate=rate, timecode=code, reel="A001")
    data = made(some(excerpt(one, 1801, 1990), excerpt(one, 17_982, 18_000, 2)), "otio")
    timeline = otio.adapters.read_from_string(data.decode(), "otio_json")
    start = counting(one).time_base.frame(code) if code else 0
    for clip, (first, end) in zip(
        timeline.find_clips(), [(1801, 1990), (17_982, 18_000)], strict=True
    ):
        span = clip.source_range
        assert span.start_time == otio.opentime.RationalTime(start + first, float(rate))
        assert span.duration.value == end - first
        assert clip.media_reference.target_url == "file:///videos/a.mov"
        assert clip.media_reference.available_range.start_time.value == start
        assert clip.media_reference.available_range.duration.value == 100_000
        (marker,) = clip.markers
        assert marker.metadata["vidsearch"]["person"] == "Anna Rossi"
        assert marker.metadata["vidsearch"]["probability"] == 0.93
        assert marker.marked_range.start_time.value == start + first + (end - first) // 2
        assert clip.metadata["vidsearch"]["score"] == 0.81
        assert clip.metadata["vidsearch"]["reel"] == "A001"
    if code:
        labels = otio.opentime.to_timecode(
            otio.opentime.RationalTime(start, float(rate) if drop else round(rate)),
            float(rate) if drop else round(rate),
        )
        assert labels == code


@pytest.mark.parametrize(("rate", "code", "drop"), RATES, ids=NAMED)
def test_an_edl_is_exact_at_every_rate(rate: Fraction, code: str, drop: bool) -> None:
    one = video(rate=rate, timecode=code, reel="A001")
    text = made(some(excerpt(one, 1801, 1990), excerpt(one, 17_982, 18_000, 2)), "edl").decode()
    assert f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}\n" in text
    base = counting(one).time_base
    start = base.frame(code) if code else 0
    # An independent reader, told the frames a second that the codes count.
    speed = float(rate) if drop else float(base.count)
    timeline = otio.adapters.read_from_string(text, "cmx_3600", rate=speed)
    at = 0
    for clip, (first, end) in zip(
        timeline.find_clips(), [(1801, 1990), (17_982, 18_000)], strict=True
    ):
        span = clip.source_range
        assert (span.start_time.value, span.duration.value) == (start + first, end - first)
        assert clip.metadata["cmx_3600"]["reel"] == "A001"
        assert clip.name == "a.mov"
        assert clip.range_in_parent().start_time.value == at
        at += end - first
    event = next(line for line in text.splitlines() if line.startswith("001"))
    assert event.split()[4:6] == [base.code(start + 1801), base.code(start + 1990)]


def test_a_drop_frame_edl_writes_semicolons() -> None:
    one = video(rate=NTSC, timecode="00:59:00;02")
    text = made(some(excerpt(one, 1798, 1800)), "edl").decode()
    assert "01:00:00;00 01:00:00;02" in text  # the minute before an hour drops nothing at its end


@pytest.mark.parametrize(("rate", "code", "drop"), RATES, ids=NAMED)
def test_fcpxml_is_exact_at_every_rate(rate: Fraction, code: str, drop: bool) -> None:
    one = video(rate=rate, timecode=code, reel="A001")
    root = ET.fromstring(
        made(some(excerpt(one, 1801, 1990), excerpt(one, 20_000, 20_010, 2)), "fcpxml")
    )
    start = counting(one).time_base.frame(code) if code else 0

    def frames(element: ET.Element, name: str) -> Fraction:
        return Fraction(str(element.get(name)).rstrip("s")) * rate

    (shape,) = root.iter("format")
    assert frames(shape, "frameDuration") == 1
    (asset,) = root.iter("asset")
    assert (frames(asset, "start"), frames(asset, "duration")) == (start, 100_000)
    assert asset.get("src") == "file:///videos/a.mov"
    assert [(md.get("key"), md.get("value")) for md in asset.iter("md")] == [
        ("com.apple.proapps.studio.reel", "A001")
    ]
    first, second = root.iter("asset-clip")
    assert [frames(first, key) for key in ("offset", "start", "duration")] == [0, start + 1801, 189]
    assert [frames(second, key) for key in ("offset", "start", "duration")] == [
        189,
        start + 20_000,
        10,
    ]
    assert {clip.get("tcFormat") for clip in (first, second)} == {"DF" if drop else "NDF"}
    (marker,) = first.iter("marker")
    assert marker.get("value") == "Anna Rossi 0.93"
    assert frames(marker, "start") == start + 1801 + 94
    assert "rossi1.jpg" in str(first.findtext("note"))


def test_otios_own_adapter_reads_our_fcpxml() -> None:
    adapter = pytest.importorskip("otio_fcpx_xml_adapter.fcpx_xml", exc_type=ImportError)
    one = video(timecode="00:00:10:00")
    read = adapter.read_from_string(made(some(excerpt(one, 50, 75)), "fcpxml").decode())
    (clip,) = (c for c in read.find_clips() if c.source_range)
    assert (clip.source_range.start_time.value, clip.source_range.duration.value) == (300, 25)


@pytest.mark.parametrize("form", ["edl", "fcpxml"])
def test_a_rate_that_cannot_be_a_time_code_is_refused_with_the_way_out(form: str) -> None:
    one = some(excerpt(video(rate=Fraction(173, 10)), 10, 20))
    with pytest.raises(VidsearchError, match=r"a\.mov: 17\.3 frames .* cannot be .*--rate 25"):
        made(one, form)
    made(one, "otio")  # which has no time codes: any rate will do
    text = made(one, form, Fraction(25)).decode()
    if form == "edl":  # 10 / 17.3 s is frame 14 at 25, and 20 / 17.3 s frame 29
        assert "00:00:00:14 00:00:01:04" in text


def test_a_variable_rate_is_counted_by_time_at_the_next_standard_one() -> None:
    one = video(rate=Fraction("29.6"), variable_rate=True, duration_s=100.0, n_frames=2960)
    part = Excerpt(1, one, 0, 10.0, 12.0, 280, 351, 11.0, 0.5, None, ())
    text = made(some(part), "edl").decode()
    assert "00:00:10:00 00:00:12:00" in text  # 10 s at 29.97 are 299.7 frames, 12 s 359.6
    (note,) = notes(some(part), "edl")
    assert "come unevenly, 29.6 a second on average; they are counted by time at 29.97" in note
    read = otio.adapters.read_from_string(made(some(part), "otio").decode(), "otio_json")
    (clip,) = read.find_clips()
    assert clip.source_range.start_time == otio.opentime.RationalTime(300, float(NTSC))
    assert clip.metadata["vidsearch"]["counted_by_time"]


def test_a_sequence_has_one_rate() -> None:
    two = some(excerpt(video("a.mov"), 0, 5), excerpt(video("b.mov", NTSC), 0, 5, 2))
    for form in ("edl", "fcpxml"):
        with pytest.raises(
            VidsearchError, match=r"several: a\.mov at 25, b\.mov at 29\.97; give a folder"
        ):
            made(two, form)
        made(two, form, Fraction(25))
    read = otio.adapters.read_from_string(made(two, "otio").decode(), "otio_json")
    assert [c.source_range.start_time.rate for c in read.find_clips()] == [25.0, float(NTSC)]


def test_a_time_code_that_does_not_fit_the_rate_is_told() -> None:
    one = some(excerpt(video(timecode="01:00:00:29"), 0, 5))
    (note,) = notes(one, "edl")
    assert (
        "its time code 01:00:00:29 is none at 25 frames a second; counted from 00:00:00:00" in note
    )
    assert "00:00:00:00 00:00:00:05" in made(one, "edl").decode()


def test_a_video_whose_rate_nobody_knows_is_to_be_indexed_again() -> None:
    old = Video("id", (b"/videos/a.mov",), 1, 1.0, duration_s=10.0, n_frames=250)
    part = Excerpt(1, old, 0, 0.0, 1.0, 0, 25, 0.5, 0.5, None, ())
    with pytest.raises(VidsearchError, match=r"rate is not known; index it again .* --rate 25"):
        made(some(part), "edl")


def test_a_video_indexed_before_rates_were_exact_has_its_rounded_one_understood() -> None:
    old = Video("id", (b"/a.mov",), 1, 1.0, duration_s=10.0, n_frames=300, frame_rate=29.97003)
    assert counting(old).rate == NTSC


def test_reels_of_an_edl_have_eight_characters_and_no_two_are_the_same() -> None:
    long = [video(f"{n}.mov", reel=f"A001C00{n}_200506_R1XX") for n in (1, 2)]
    same = video("other.mov", reel="A001C001_200506_R1XX")
    named = reel_names([*long, same, video("Interview mit Jürgen.mov"), video("日本.mov")])
    assert list(named.values()) == ["A001C001", "A001C002", "A001C001", "INTERVIE", "AX"]
    text = made(some(excerpt(long[0], 0, 5), excerpt(same, 9, 12, 2)), "edl").decode()
    assert "* SOURCE REEL: A001C001_200506_R1XX" in text
    clash = reel_names([video(f"{n}.mov", reel=f"LONGNAME{n}") for n in range(12)])
    assert len(set(clash.values())) == 12
    assert all(len(reel) <= 8 for reel in clash.values())


def test_no_name_breaks_a_line_of_an_edl() -> None:
    one = video("a\nb.mov")
    text = made(some(excerpt(one, 0, 5), title="what\nis it"), "edl").decode()
    assert text.startswith("TITLE: what is it\n")
    assert "* FROM CLIP NAME:  a\\nb.mov" in text


# --- tables --------------------------------------------------------------------------------------


def test_csv_is_read_back_by_pandas() -> None:
    one = video(rate=NTSC, timecode="01:00:00;00", media_offset_s=0.5)
    table = pd.read_csv(io.BytesIO(made(some(excerpt(one, 30, 60)), "csv")))
    assert list(table) == list(COLUMNS)
    (row,) = table.to_dict("records")
    assert row["start_s"] == float(30 / NTSC)  # every digit survives
    assert row["media_start_s"] == 0.5 + float(30 / NTSC)
    assert (row["start_frame"], row["end_frame"], row["rate"]) == (30, 60, "30000/1001")
    assert (row["start_tc"], row["end_tc"]) == ("01:00:01;00", "01:00:02;00")
    assert row["people"] == "Anna Rossi 0.930"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_cell_of_a_csv_is_a_formula(start: str) -> None:
    name = start + 'HYPERLINK("http://x")'
    who = Sighting(name, 0.9, 0.0, (0, 0, 1, 1), "")
    one = some(excerpt(video(), 0, 5, people=(who,), context_score=None))
    row = pd.read_csv(io.BytesIO(made(one, "csv"))).iloc[0]
    assert row["people"] == f"'{name} 0.900"
    assert row["evidence"].startswith("'" + start)


@given(st.one_of(st.text(), st.floats(allow_nan=False), st.integers()))
def test_what_is_harmless_stays_as_it_is(value: Any) -> None:
    cell = harmless(value)
    assert cell == value or cell == "'" + str(value)
    assert not isinstance(cell, str) or cell[:1] not in ("=", "+", "-", "@", "\t", "\r")
    if not isinstance(value, str):
        assert cell is value


def test_json_says_what_its_columns_mean() -> None:
    data = json.loads(made(some(excerpt(video(), 25, 50)), "json"))
    assert data["title"] == "Anna Rossi on stage"
    assert set(data["columns"]) == set(data["excerpts"][0])
    (person,) = data["excerpts"][0]["people"]
    assert person["name"] == "Anna Rossi"
    assert person["box"] == [0.1, 0.2, 0.3, 0.4]


def test_parquet_is_read_back_with_its_types() -> None:
    plain = excerpt(video(), 50, 75, 2, people=(), context_score=None)
    data = made(some(excerpt(video(), 25, 50), plain), "parquet")
    table = pd.read_parquet(io.BytesIO(data))
    assert table["start_frame"].tolist() == [25, 50]
    assert table["start_s"].tolist() == [1.0, 2.0]
    assert table["people"][0][0]["name"] == "Anna Rossi"
    assert len(table["people"][1]) == 0
    assert np.isnan(table["context_score"][1])


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "otio", "fcpxml", "edl", "html"])
def test_a_file_name_of_any_bytes_survives(form: str) -> None:
    odd = Video(
        "id", (b"/videos/a\xff\n<&\"' .mov",), 1, 1.0, duration_s=9.0, n_frames=225, rate="25/1",
    )  # fmt: skip
    data = made(some(excerpt(odd, 0, 5)), form)
    url = b"file:///videos/a%FF%0A%3C%26%22%27%20.mov"
    if form != "html":
        assert url in data
    if form == "fcpxml":
        ET.fromstring(data)


def test_a_table_leaves_the_time_code_of_odd_rates_out() -> None:
    data = json.loads(made(some(excerpt(video(rate=Fraction(173, 10)), 0, 5)), "json"))
    assert data["excerpts"][0]["start_tc"] == ""
    assert data["excerpts"][0]["rate"] == "173/10"


# --- subtitles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [FILM, Fraction(25), NTSC, NTSC2], ids=str)
def test_webvtt_is_read_back_to_the_exact_frame(rate: Fraction, tmp_path: Path) -> None:
    one = video(rate=rate, media_offset_s=0.8520181)
    spans = [(17, 40), (1801, 1802), (90_001, 90_100)]
    parts = [excerpt(one, a, b, n) for n, (a, b) in enumerate(spans, 1)]
    (tmp_path / "a.vtt").write_bytes(made(some(*reversed(parts)), "webvtt"))
    cues = list(webvtt.read(tmp_path / "a.vtt"))
    for cue, (first, end) in zip(cues, spans, strict=True):
        # The frames on screen while the cue is: a player compares presentation times.
        times = [float(n / rate) + 0.8520181 for n in range(first - 1, end + 1)]
        shown = [t for t in times if cue.start_in_seconds + _ms(cue.start) <= t < _end(cue)]
        assert shown == times[1:-1]
    assert cues[0].text.splitlines()[0] == "Anna Rossi 0.93"


def _ms(clock: str) -> float:
    return int(clock.split(".")[1]) / 1000


def _end(cue: Any) -> float:
    hours, minutes, seconds = cue.end.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_srt_counts_cues_in_order_of_time(tmp_path: Path) -> None:
    one = video()
    text = made(some(excerpt(one, 50, 75, 1), excerpt(one, 0, 25, 2)), "srt").decode()
    blocks = text.strip().split("\n\n")
    assert blocks[0].splitlines()[:2] == ["1", "00:00:00,000 --> 00:00:01,000"]
    assert blocks[1].splitlines()[:2] == ["2", "00:00:02,000 --> 00:00:03,000"]
    (tmp_path / "a.srt").write_text(text)
    assert len(list(webvtt.from_srt(tmp_path / "a.srt"))) == 2


def test_no_name_is_a_tag_or_a_time_of_a_cue(tmp_path: Path) -> None:
    who = Sighting("<b>A</b> --> & B\n\n2", 0.9, 0.0, (0, 0, 1, 1), "")
    data = made(some(excerpt(video(), 0, 25, people=(who,)), title="a --> b\n\nc"), "webvtt")
    (tmp_path / "a.vtt").write_bytes(data)
    (cue,) = webvtt.read(tmp_path / "a.vtt")
    assert "&lt;b&gt;A&lt;/b&gt; -&gt; &amp; B 2 0.90" in cue.raw_text


@pytest.mark.parametrize("form", ["srt", "webvtt"])
def test_subtitles_are_of_one_video(form: str) -> None:
    two = some(excerpt(video("a.mov"), 0, 5), excerpt(video("b.mov"), 0, 5, 2))
    with pytest.raises(VidsearchError, match="is about one video, and these are 2: give a folder"):
        made(two, form)


# --- the report ----------------------------------------------------------------------------------


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.said: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)
        self.sources += [str(v) for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_a_report_is_one_file_that_needs_nothing_else() -> None:
    who = Sighting("<script>alert(1)</script>", 0.9, 0.0, (0.7, 0.05, 0.9, 0.4), "x.jpg")
    parts = [excerpt(video(), 0, 25), excerpt(video('"><b>.mov'), 0, 25, 2, people=(who,))]
    page = _Page()
    page.feed(made(some(*parts, title="who & <i>what</i>"), "html").decode())
    assert page.open == []
    assert "script" not in page.tags
    assert not {"b", "link", "iframe"} & set(page.tags)
    assert page.tags.count("img") == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    said = "\n".join(page.said)
    assert said.count("who & <i>what</i>") == 2  # title and heading
    assert "Anna Rossi 0.93" in said
    assert "00:00:00.000 to 00:00:01.000" in said
    assert "time code 00:00:00:00 to 00:00:01:00" in said


@pytest.mark.parametrize(
    ("box", "room"),
    [((0.3, 0.2, 0.5, 0.5), "350%"), ((0.7, 0.2, 0.9, 0.5), "450%")],
    ids=["to the right", "to the left"],
)
def test_a_long_name_at_a_face_ends_at_the_edge_of_the_picture(box: Any, room: str) -> None:
    who = Sighting("A Very Long Name " * 4, 0.9, 0.0, box, "x.jpg")
    page = made(some(excerpt(video(), 0, 25, people=(who,))), "html").decode()
    assert f'<span style="max-width:{room}">A Very Long' in page


def test_a_face_that_somebody_named_resembles_no_photo() -> None:
    who = Sighting("Anna Rossi", 1.0, 0.5, (0.1, 0.1, 0.2, 0.2), SAID_BY_HAND)
    said = excerpt(video(), 0, 25, people=(who,)).evidence
    assert said.startswith("Anna Rossi 1.00 at 00:00:00.500, said by hand")


def test_a_long_name_leaves_room_for_its_bar() -> None:
    page = made(some(excerpt(video(), 0, 25)), "html").decode()
    assert "grid-template-columns: fit-content(50%) 1fr" in page


def test_a_report_asks_for_few_pictures_at_a_time() -> None:
    asked: list[int] = []

    def stills(excerpts: Any) -> list[Still]:
        asked.append(len(excerpts))
        return grey(excerpts)

    many = some(*(excerpt(video(), 25 * n, 25 * n + 25, n + 1) for n in range(40)))
    rendered(many, "html", stills=stills)
    assert max(asked) <= 16
    assert sum(asked) == 40


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", list(FORMATS))
def test_an_export_of_nothing_says_why(form: str, tmp_path: Path) -> None:
    none = Excerpts("Joe Biden", (), "No shot shows Joe Biden (best probability 0.04)")
    for out in (tmp_path / "a", tmp_path / f"a{FORMATS[form].suffixes[0]}"):
        with pytest.raises(VidsearchError, match=r"nothing to export: No shot shows Joe Biden"):
            export(none, out, form, stills=grey)
        assert not out.exists()


def test_an_excerpt_beyond_the_end_is_none() -> None:
    with pytest.raises(VidsearchError, match=r"it is 00:00:04\.000 long, .* ends at 00:00:05\.000"):
        excerpt(video(duration_s=4.0), 100, 125)
    with pytest.raises(VidsearchError, match="there is nothing from"):
        Excerpt(1, video(), 0, 2.0, 2.0, 50, 50, 2.0, 0.5, None, ())


def test_the_name_tells_the_format_and_a_folder_gets_one_file_a_video(tmp_path: Path) -> None:
    two = some(
        excerpt(video("Tape.mov"), 0, 5), excerpt(video("x/tape.mov", NTSC), 0, 5, 2),
    )  # fmt: skip
    files = export(two, tmp_path / "out", "edl", stills=grey)
    assert [file.name for file in files] == ["Tape.edl", "tape 2.edl"]
    assert all(file.read_text().startswith("TITLE: Anna") for file in files)
    assert export(two, tmp_path / "a.OTIO", stills=grey) == [tmp_path / "a.OTIO"]
    with pytest.raises(VidsearchError, match="nothing tells the format; say --format: csv, json"):
        export(two, tmp_path / "a.txt", stills=grey)
    with pytest.raises(VidsearchError, match="is no format of exports"):
        export(two, tmp_path / "a.txt", "doc", stills=grey)


def test_a_target_that_cannot_be_written_is_told_and_nothing_stays(tmp_path: Path) -> None:
    one = some(excerpt(video(), 0, 5))
    with pytest.raises(VidsearchError, match=r"a\.csv cannot be written \(no such file or dir"):
        export(one, tmp_path / "no" / "a.csv", stills=grey)
    (tmp_path / "file").write_text("x")
    with pytest.raises(VidsearchError, match="cannot be written"):
        export(one, tmp_path / "file" / "sub" / "out", "csv", stills=grey)
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "a.csv" / "a.csv").mkdir()
    with pytest.raises(VidsearchError, match=r"a\.csv cannot be written \(is a directory\)"):
        export(one, tmp_path / "a.csv", "csv", stills=grey)
    assert not list(tmp_path.rglob(".vidsearch-*"))


def test_a_full_disk_is_told_and_the_old_file_stays(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    file = tmp_path / "a.html"
    file.write_text("before")
    one = some(excerpt(video(), 0, 5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(VidsearchError, match=r"a\.html cannot be written \(file too large\)"):
            export(one, file, stills=grey)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


# --- names of files ------------------------------------------------------------------------------


@given(st.text())
def test_every_text_becomes_a_safe_name(text: str) -> None:
    name = safe_name(text)
    assert name
    assert len(name.encode("utf-8")) <= MAX_BYTES + 1
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert name[0] not in ".-"
    assert name[-1] not in ". "
    assert name.isprintable()


@pytest.mark.parametrize("text", ["con", "NUL", "com1", "LPT9.tar", "aux."])
def test_names_that_windows_keeps_for_devices_are_changed(text: str) -> None:
    assert safe_name(text).startswith("_")


def test_no_name_is_given_out_twice() -> None:
    names = Names()
    given = [names.free("a", ".mp4"), names.free("A", ".mp4"), names.free("a", ".mp4")]
    assert given == ["a.mp4", "A 2.mp4", "a 3.mp4"]
