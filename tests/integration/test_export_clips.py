"""From files to editing systems and clips, and the commands: what comes out holds those frames."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import opentimelineio as otio
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from videos import encode, numbered, read_number, settle

from vidsearch import Archive
from vidsearch.cli import main
from vidsearch.clip_encode import even, fit
from vidsearch.clips import Clip, Uncut, cut, reel
from vidsearch.errors import VidsearchError
from vidsearch.excerpts import Excerpt, Excerpts
from vidsearch.media import decode, probe
from vidsearch.records import Answer, Hit, Sighting, Video

NTSC = Fraction(30000, 1001)
ANNA = Sighting("Anna Rossi", 0.93, 0.5, (0.4, 0.2, 0.6, 0.5), "rossi1.jpg")
CODED: dict[str, dict[str, Any]] = {
    "df.mov": {
        "rate": NTSC,
        "tags": {"timecode": "00:59:59;00"},
        "stream_tags": {"reel_name": "A1"},
    },
    "film.mp4": {"rate": Fraction(24000, 1001), "tags": {"timecode": "01:00:00:00"}},
    "tape.mxf": {"codec": "mpeg2video", "tags": {"timecode": "10:00:00:00", "reel_name": "TAPE42"}},
    "air.ts": {"codec": "mpeg2video", "options": {"gop_timecode": "20:15:00:00"}},
    "p50.mkv": {"rate": Fraction(50), "tags": {"timecode": "09:08:07:49"}},
}


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An archive of files with time codes, of 40 numbered frames each."""
    folder = tmp_path_factory.mktemp("coded")
    for name, recipe in CODED.items():
        encode(folder / name, n_frames=40, **recipe)
    archive = Archive(folder / "archive")
    archive.index([folder])
    return archive


def whole(archive: Archive, name: str) -> Excerpts:
    """The first shot of a video, as a question would find it."""
    video = archive.video(name)
    (shot, *_) = archive.shots(name)
    hit = Hit(
        1, video.path, video.video_id, 0, shot.start_s, shot.end_s, 0.5, 0.8, 0.8, (ANNA,),
    )  # fmt: skip
    return archive.excerpts(Answer("Anna", ("Anna Rossi",), "", "", (hit,)))


@pytest.mark.parametrize(
    ("name", "rate", "first", "end", "reel_name"),
    [
        ("df.mov", float(NTSC), "00:59:59;00", "01:00:00;10", "A1"),
        ("film.mp4", 24.0, "01:00:00:00", "01:00:01:16", "FILM"),
        ("tape.mxf", 25.0, "10:00:00:00", "10:00:01:15", "TAPE42"),
        ("air.ts", 25.0, "20:15:00:00", "20:15:01:15", "AIR"),
        ("p50.mkv", 50.0, "09:08:07:49", "09:08:08:39", "P50"),
    ],
)
def test_the_time_code_of_the_file_arrives_in_the_edl(
    coded: Archive, tmp_path: Path, name: str, rate: float, first: str, end: str, reel_name: str
) -> None:
    (file,) = coded.export(whole(coded, name), tmp_path / "a.edl")
    text = file.read_text()
    assert f"{first} {end}" in text
    (clip,) = otio.adapters.read_from_string(text, "cmx_3600", rate=rate).find_clips()
    assert clip.source_range.duration.value == 40
    assert clip.metadata["cmx_3600"]["reel"] == reel_name


def test_a_variable_rate_arrives_as_such(tmp_path: Path) -> None:
    pts = [0, 3, 4, 9, 10, 11, 12, 20, 21, 22, 30, 31, 32, 33, 34, 40]
    encode(tmp_path / "phone.mp4", pts=pts, n_frames=16, tick=Fraction(1, 25))
    archive = Archive(tmp_path / "archive")
    archive.index([tmp_path])
    video = archive.video("phone.mp4")
    assert video.variable_rate
    text = archive.exported(whole(archive, "phone.mp4"), "edl").decode()
    seconds = video.duration_s  # placed by time, at 23.976, the standard rate next to 9.4
    assert f"00:00:00:00 00:00:01:{round(seconds * 24000 / 1001) - 24:02d}" in text


# --- clips ---------------------------------------------------------------------------------------


UNLIKELY = "zebras under the sea"


def excerpt(file: Path, first: int, end: int, rank: int = 1, **facts: Any) -> Excerpt:
    """Frames of a numbered video."""
    found = probe(file)
    rate = facts.pop("rate", Fraction(25))
    n = facts.pop("n_frames", 60)
    video = Video(
        "id-" + file.name, (os.fsencode(file),), 1, 1.0, media_offset_s=found.media_offset_s,
        duration_s=float(n / rate), n_frames=n, rate=f"{rate.numerator}/{rate.denominator}",
        width=found.width, height=found.height,
    )  # fmt: skip
    known = {"people": (ANNA,), "score": 0.8, "context_score": None} | facts
    return Excerpt(
        rank,
        video,
        0,
        float(first / rate),
        float(end / rate),
        first,
        end,
        float(first / rate),
        **known,
    )


def numbers(file: Path) -> list[int]:
    with decode(settle(file)) as frames:
        return [read_number(frame.picture()) for frame in frames]


def cut_all(excerpts: Sequence[Excerpt], folder: Path, **how: Any) -> list[Clip | Uncut]:
    return list(cut(Excerpts("Anna", tuple(excerpts)), folder, **how))


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("a.mp4", {"audio": True}),
    ("a.mov", {"rate": NTSC}),
    ("a.mkv", {"rate": Fraction(24000, 1001)}),
    ("a.ts", {"audio": True}),
    ("a.mxf", {"codec": "mpeg2video"}),
    ("a.avi", {"codec": "mpeg4"}),
]


@pytest.mark.parametrize(("name", "recipe"), KINDS, ids=[name for name, _ in KINDS])
def test_an_exact_clip_holds_exactly_its_frames(
    tmp_path: Path, name: str, recipe: dict[str, Any]
) -> None:
    rate = recipe.get("rate", Fraction(25))
    file = encode(tmp_path / name, n_frames=60, **recipe)
    (clip,) = cut_all([excerpt(file, 17, 31, rate=rate)], tmp_path / "out", exact=True)
    assert isinstance(clip, Clip)
    assert numbers(clip.file) == list(range(17, 31))
    assert clip.exact
    with av.open(str(clip.file)) as made:
        seconds = float(made.streams.video[0].duration * made.streams.video[0].time_base)
        assert seconds == pytest.approx(float(14 / rate), abs=1e-3)
        if recipe.get("audio"):
            sound = made.streams.audio[0]
            assert float(sound.duration * sound.time_base) == pytest.approx(14 / 25, abs=0.03)


@pytest.mark.parametrize(("name", "recipe"), KINDS, ids=[name for name, _ in KINDS])
def test_a_copied_clip_begins_at_the_keyframe_before_and_says_so(
    tmp_path: Path, name: str, recipe: dict[str, Any]
) -> None:
    rate = recipe.get("rate", Fraction(25))
    file = encode(tmp_path / name, n_frames=60, **recipe)
    (clip,) = cut_all([excerpt(file, 17, 31, rate=rate)], tmp_path / "out")
    assert isinstance(clip, Clip)
    assert not clip.exact, clip.note
    held = numbers(clip.file)
    assert held[0] == 12  # keyframes stand at each twelfth
    assert held == list(range(12, held[-1] + 1))
    assert clip.lead_s == pytest.approx(float(5 / rate), abs=2e-3)
    assert held[-1] in (30, 31, 32)  # what the last pictures refer to comes along
    assert clip.tail_s == pytest.approx(float((held[-1] - 30) / rate), abs=3e-3)
    with av.open(str(clip.file)) as made:
        assert [s.codec_context.name for s in made.streams.video] == [probe(file).codec]
        assert bool(made.streams.audio) == bool(recipe.get("audio"))


def test_the_first_pictures_of_a_stream_without_an_index_are_copied(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.ts", n_frames=60)
    (clip,) = cut_all([excerpt(file, 0, 10)], tmp_path / "out")
    assert isinstance(clip, Clip)
    assert not clip.exact, clip.note
    assert numbers(clip.file)[:10] == list(range(10))


def test_a_copy_of_what_starts_at_a_keyframe_loses_and_adds_nothing(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=60, options={"bf": "0"})
    (clip,) = cut_all([excerpt(file, 24, 36)], tmp_path / "out")
    assert isinstance(clip, Clip)
    assert numbers(clip.file) == list(range(24, 36))
    assert (clip.lead_s, clip.tail_s) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))


def test_a_recording_whose_clock_starts_anew_is_cut_by_reading_it(tmp_path: Path) -> None:
    once = encode(tmp_path / "once.ts", n_frames=60).read_bytes()
    twice = tmp_path / "twice.ts"
    twice.write_bytes(once + once)
    settle(twice)
    (clip,) = cut_all([excerpt(twice, 70, 80, n_frames=120)], tmp_path / "out")
    assert isinstance(clip, Clip)
    assert numbers(clip.file) == list(range(10, 20))
    assert clip.exact
    assert "its clock starts anew in the middle" in clip.note


def test_a_raw_stream_without_any_clock_is_cut_by_reading_it(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.h264", n_frames=60, options={"bf": "0"})
    (clip,) = cut_all([excerpt(file, 17, 31)], tmp_path / "out", exact=True)
    assert isinstance(clip, Clip)
    assert numbers(clip.file) == list(range(17, 31))
    assert "no sound" in clip.note


def test_handles_go_as_far_as_the_video_does(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=60)
    parts = [excerpt(file, 5, 20, 1), excerpt(file, 30, 40, 2), excerpt(file, 50, 58, 3)]
    made = cut_all(parts, tmp_path / "out", exact=True, handles_s=0.4)
    held = [numbers(clip.file) for clip in made if isinstance(clip, Clip)]
    assert held == [list(range(30)), list(range(20, 50)), list(range(40, 60))]


def test_frames_at_uneven_distances_keep_their_times(tmp_path: Path) -> None:
    pts = [0, 3, 4, 9, 10, 11, 12, 20, 21, 22, 30, 31]
    file = encode(tmp_path / "a.mp4", pts=pts, n_frames=12, tick=Fraction(1, 25))
    part = excerpt(file, 2, 9)
    video = Video(
        "id", (os.fsencode(file),), 1, 1.0, duration_s=32 / 25, n_frames=12, rate="10/1",
        variable_rate=True,
    )  # fmt: skip
    part = Excerpt(1, video, 0, 4 / 25, 21 / 25, 2, 8, 0.2, 0.5, None, ())
    (clip,) = cut_all([part], tmp_path / "out", exact=True)
    assert isinstance(clip, Clip)
    with decode(clip.file) as frames:
        shown = [(read_number(f.picture()), round(f.time_s * 25)) for f in frames]
    assert shown == [(2, 0), (3, 5), (4, 6), (5, 7), (6, 8), (7, 16)]


def test_a_turned_video_is_cut_upright(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=30, rotation=90)
    (clip,) = cut_all([excerpt(file, 3, 8, n_frames=30)], tmp_path / "out", exact=True)
    assert isinstance(clip, Clip)
    assert numbers(clip.file) == [3, 4, 5, 6, 7]
    assert (probe(clip.file).width, probe(clip.file).height) == (180, 320)


def test_captions_are_in_the_picture(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=30)
    part = excerpt(file, 3, 8, n_frames=30)
    (plain,) = cut_all([part], tmp_path / "plain", exact=True)
    (clip,) = cut_all([part], tmp_path / "out", captions=True)
    assert isinstance(clip, Clip)
    assert isinstance(plain, Clip)
    assert clip.exact
    with decode(clip.file) as ours, decode(plain.file) as theirs:
        pairs = [(a.picture().astype(int), b.picture()) for a, b in zip(ours, theirs, strict=True)]
    assert len(pairs) == 5
    for with_it, without in pairs:
        assert np.abs(with_it[:90] - without[:90]).mean() < 6
        assert np.abs(with_it[-30:] - without[-30:]).mean() > 30


def test_names_are_safe_and_say_what_is_in_them(tmp_path: Path) -> None:
    who = Sighting("../../etc/: Ann\n*?", 0.9, 0.5, (0, 0, 1, 1), "")
    file = encode(tmp_path / "a.mp4", n_frames=30)
    part = excerpt(file, 0, 12, n_frames=30, people=(who,))
    made = cut_all([part, part], tmp_path / "out")
    names = [clip.file.name for clip in made if isinstance(clip, Clip)]
    assert names[0] == "001 a 00.00.00.000 .._.._etc__ Ann___.mp4"
    assert names[1] == "001 a 00.00.00.000 .._.._etc__ Ann___ 2.mp4"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)


def test_a_file_that_is_gone_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    here, gone = encode(tmp_path / "a.mp4", n_frames=60), encode(tmp_path / "b.mp4", n_frames=60)
    parts = [excerpt(gone, 5, 9, 1), excerpt(here, 5, 9, 2)]
    gone.unlink()
    bad, good = cut_all(parts, tmp_path / "out", exact=True)
    assert isinstance(bad, Uncut)
    assert "b.mp4: is gone: put it back, or index where it is now" in bad.reason
    assert isinstance(good, Clip)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [good.file.name]


def test_a_file_that_became_garbage_is_told(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=60)
    part = excerpt(file, 5, 9)
    file.write_bytes(bytes(5000))
    (bad,) = cut_all([part], tmp_path / "out")
    assert isinstance(bad, Uncut)
    assert "a.mp4" in bad.reason
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("exact", [True, False])
def test_a_full_disk_ends_it_and_nothing_half_written_stays(tmp_path: Path, exact: bool) -> None:
    resource = pytest.importorskip("resource")
    file = encode(tmp_path / "a.mp4", n_frames=60)
    part = excerpt(file, 12, 60)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        told = r"001 a 00\.00\.00\.480 Anna Rossi\.mp4 cannot be written \(file too large\)"
        with pytest.raises(VidsearchError, match=told):
            cut_all([part], tmp_path / "out", exact=exact)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "out").iterdir())


def test_what_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    file = encode(tmp_path / "a.mp4", n_frames=60)
    with pytest.raises(VidsearchError, match="nothing to cut: No shot shows X"):
        list(cut(Excerpts("X", (), "No shot shows X"), tmp_path / "out"))
    with pytest.raises(VidsearchError, match="handles are seconds before and after"):
        cut_all([excerpt(file, 0, 5)], tmp_path / "out", handles_s=-1.0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(VidsearchError, match=r"file cannot be written \(file exists\)"):
        cut_all([excerpt(file, 0, 5)], tmp_path / "file")
    assert not (tmp_path / "out").exists()


# --- reels ---------------------------------------------------------------------------------------


def test_a_reel_joins_clips_of_other_sizes_and_rates(tmp_path: Path) -> None:
    first = encode(tmp_path / "a.mp4", n_frames=60, audio=True)
    other = encode(tmp_path / "b.mov", n_frames=60, rate=Fraction(50), size=(240, 180))
    parts = (excerpt(first, 20, 30, 1), excerpt(other, 10, 30, 2, rate=Fraction(50)))
    assert reel(Excerpts("Anna", parts), tmp_path / "reel.mp4") == []
    with decode(tmp_path / "reel.mp4") as frames:
        pictures = [frame.picture() for frame in frames]
    assert {picture.shape for picture in pictures} == {(180, 320, 3)}
    assert [read_number(p) for p in pictures[:10]] == list(range(20, 30))
    assert [read_number(p[:, 40:280]) for p in pictures[10:]] == list(range(10, 30, 2))
    assert pictures[15][:, :30].mean() < 20  # black beside the narrower picture
    with av.open(str(tmp_path / "reel.mp4")) as made:
        sound = made.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(20 / 25, abs=0.03)


def test_a_reel_goes_on_without_files_that_are_gone(tmp_path: Path) -> None:
    here, gone = encode(tmp_path / "a.mp4", n_frames=60), encode(tmp_path / "b.mp4", n_frames=60)
    parts = (excerpt(gone, 0, 5, 1), excerpt(here, 5, 9, 2))
    gone.unlink()
    (missing,) = reel(Excerpts("Anna", parts), tmp_path / "reel.mp4")
    assert missing.excerpt.rank == 1
    assert numbers(tmp_path / "reel.mp4") == [5, 6, 7, 8]
    with pytest.raises(VidsearchError, match=r"nothing can be joined: .*b\.mp4: is gone"):
        reel(Excerpts("Anna", parts[:1]), tmp_path / "none.mp4")
    assert not (tmp_path / "none.mp4").exists()


def test_an_even_rate_shows_what_is_on_screen_at_each_tick() -> None:
    frames = [(at, np.full((2, 2, 3), n, np.uint8)) for n, at in enumerate([0, 0.1, 0.5])]
    assert [int(p[0, 0, 0]) for p in even(frames, Fraction(10), 0.7)] == [0, 1, 1, 1, 1, 2, 2]
    assert [int(p[0, 0, 0]) for p in even(frames, Fraction(2), 0.6)] == [0, 2]


@pytest.mark.parametrize("size", [(320, 180), (100, 300), (640, 360), (33, 77)])
def test_a_picture_fits_whole_into_any_other_size(size: tuple[int, int]) -> None:
    inner = fit(numbered(7, size), (320, 180))
    assert inner.shape == (180, 320, 3)
    ink = np.argwhere(inner.max(2) > 10)
    (top, left), (bottom, right) = ink.min(0), ink.max(0) + 1
    assert read_number(inner[top:bottom, left:right]) == 7


# --- commands ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def footage(example_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the White House clip and two people; the clip is a copy, to be taken away."""
    folder = tmp_path_factory.mktemp("footage")
    shutil.copy(example_media / "white-house-poetry.mp4", folder / "poetry.mp4")
    archive = Archive(folder / "archive")
    archive.index([folder / "poetry.mp4"])
    for name in ("Lin-Manuel_Miranda", "Joe_Biden"):
        archive.enrol(name.replace("_", " "), [example_media / "people" / f"{name}.jpg"])
    return folder / "archive"


def run(footage: Path, *arguments: object) -> Result:
    command, *rest = map(str, arguments)
    return CliRunner().invoke(main, [command, "--archive", str(footage), *rest])


def test_a_question_a_person_and_a_video_are_exported(footage: Path, tmp_path: Path) -> None:
    for what in (
        ["Lin-Manuel Miranda"],
        ["--person", "Lin-Manuel Miranda"],
        ["--timeline", "poetry.mp4"],
    ):
        done = run(footage, "export", *what, "-o", tmp_path / "a.csv")
        assert done.exit_code == 0, done.output
        table = pd.read_csv(tmp_path / "a.csv")
        assert len(table)
        assert table["people"].str.startswith("Lin-Manuel Miranda").all()
        assert (table["end_frame"] - table["start_frame"] > 0).all()


def test_text_goes_to_the_standard_output_and_a_list_of_files_as_json(
    footage: Path, tmp_path: Path
) -> None:
    done = run(footage, "export", "--person", "Lin-Manuel Miranda", "--format", "webvtt")
    assert done.stdout.startswith("WEBVTT\n")
    done = run(footage, "export", "--person", "Lin-Manuel Miranda", "--json")
    assert json.loads(done.stdout)["title"] == "Lin-Manuel Miranda"
    out = tmp_path / "out"
    done = run(
        footage, "export", "--person", "Lin-Manuel Miranda", "--format", "edl", "-o", out, "--json"
    )
    assert json.loads(done.stdout) == [str(out / "poetry.edl")]


def test_what_fits_nothing_well_is_said_where_it_is_exported_and_cut(
    footage: Path, tmp_path: Path
) -> None:
    asked = json.loads(run(footage, "query", UNLIKELY, "--json").stdout)
    assert asked["hits"]
    assert "No shot fits the context well" in asked["message"]
    assert asked["message"] in run(footage, "export", UNLIKELY, "--format", "csv").stderr
    cut = run(footage, "clip", UNLIKELY, "-k", "1", "-o", tmp_path / "out")
    assert asked["message"] in cut.stderr


def test_a_report_shows_the_pictures_of_the_video(footage: Path, tmp_path: Path) -> None:
    done = run(footage, "export", "Lin-Manuel Miranda", "-o", tmp_path / "a.html")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "a.html").read_text()
    assert "<title>Lin-Manuel Miranda</title>" in page
    assert page.count("data:image/jpeg;base64,") == page.count("<li>") > 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--format", "csv"], 2, "say what to take: TEXT, --person NAME, or --timeline VIDEO"),
        (["x"], 2, "say --out FILE, or --format: csv, json"),
        (["x", "--format", "parquet"], 2, "parquet is not text: say --out FILE.parquet"),
        (
            ["x", "--format", "edl", "--rate", "17.3"],
            2,
            "17.3 frames a second cannot be a time code",
        ),
        (["x", "--format", "edl", "--rate", "fast"], 2, "'fast' is no frame rate"),
        (["--person", "Joe Biden", "--format", "csv"], 1, "Joe Biden: not in any video (with a"),
        (["--person", "Nobody Known", "--format", "csv"], 2, "Nobody Known"),
        (["--timeline", "none.mp4", "--format", "csv"], 2, "no video of the archive is called"),
        (["x", "--timeline", "poetry.mp4", "--format", "csv"], 2, "leave TEXT out"),
        (["--person", "Joe Biden", "-k", "3", "--format", "csv"], 2, "-k is for a TEXT"),
        (["x", "--since", "3", "--until", "2", "--format", "csv"], 2, "nothing lies between"),
        (["x", "--since", "00:10:00", "--format", "csv"], 1, "nothing to export"),
        (["Lin-Manuel Miranda", "-o", "no/such/a.csv"], 2, "cannot be written"),
        (["Lin-Manuel Miranda", "-o", "a.doc"], 2, "nothing tells the format"),
    ],
)
def test_what_cannot_be_exported_is_told(
    footage: Path, arguments: list[str], status: int, said: str
) -> None:
    done = run(footage, "export", *arguments)
    assert done.exit_code == status, done.output
    assert said in done.stderr
    assert not done.stdout


def test_clips_and_a_reel_are_cut_and_listed(footage: Path, tmp_path: Path) -> None:
    arguments = ["--person", "Lin-Manuel Miranda", "--out", tmp_path / "out", "--json"]
    done = run(footage, "clip", *arguments, "--exact", "--reel", tmp_path / "reel.mp4")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    frames = 0
    for clip in data["clips"]:
        with decode(clip["file"]) as held:
            frames += sum(1 for _ in held)
    parts = json.loads(run(footage, "export", "--person", "Lin-Manuel Miranda", "--json").stdout)
    assert frames == sum(p["end_frame"] - p["start_frame"] for p in parts["excerpts"])
    with decode(tmp_path / "reel.mp4") as held:
        assert sum(1 for _ in held) == frames
    for clip in data["clips"]:  # the file has sound, so the clip has
        with av.open(clip["file"]) as made:
            samples = [f.to_ndarray() for f in made.decode(audio=0)]
            assert np.abs(np.concatenate(samples, axis=1)).max() > 0.01


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["x"], 2, "say where to: --out FOLDER, --reel FILE.mp4, or both"),
        (["--out", "out"], 2, "say what to take"),
        (["x", "--reel", "reel.mov"], 2, "is no MP4"),
        (["--person", "Joe Biden", "--out", "out"], 1, "nothing to cut: Joe Biden"),
        (["x", "--out", "out", "--handles", "-1"], 2, "--handles"),
    ],
)
def test_what_cannot_be_cut_is_told(
    footage: Path, arguments: list[str], status: int, said: str
) -> None:
    done = run(footage, "clip", *arguments)
    assert done.exit_code == status, done.output
    assert said in done.stderr


@pytest.mark.parametrize("name", ["a.vtt", "a.srt"])
def test_subtitles_of_a_file_that_is_gone_say_what_is_not_known(
    footage: Path, tmp_path: Path, name: str
) -> None:
    asked = ("export", "--person", "Lin-Manuel Miranda", "-o", tmp_path / name)
    assert "clock" not in run(footage, *asked).stderr
    file = footage.parent / "poetry.mp4"
    away = file.rename(tmp_path / "away.mp4")
    try:
        done = run(footage, *asked)
    finally:
        away.rename(file)
    assert done.exit_code == 0, done.output
    assert "poetry.mp4: is gone, and nobody knows where its clock starts" in done.stderr


def test_a_clip_of_a_file_that_is_gone_is_a_failure(footage: Path, tmp_path: Path) -> None:
    file = footage.parent / "poetry.mp4"
    away = file.rename(tmp_path / "away.mp4")
    try:
        done = run(footage, "clip", "--person", "Lin-Manuel Miranda", "--out", tmp_path / "out")
    finally:
        away.rename(file)
    assert done.exit_code == 3
    assert "poetry.mp4: is gone: put it back" in done.stderr
    assert not list((tmp_path / "out").iterdir())
