"""A video that was analysed in pieces is what one pass over it gives, wherever the borders lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shot_videos import SHOTS_S, shots_video
from videos import cut_off, encode, loop, settle

from vidsearch.analyze import analyze
from vidsearch.media import decode
from vidsearch.pieces import Passed, Piece, analyze_piece, join, pieces_at, plan_pieces, route
from vidsearch.records import AnalyzedVideo
from vidsearch.tasks import Recipe, Task

RECIPE = Recipe("concept", "default", "blend", threads=1)
VECTORS = 1e-4
CLIP = Path(__file__).resolve().parents[2] / "examples" / "media" / "white-house-poetry.mp4"


def task_of(path: Path) -> Task:
    found = path.stat()
    return Task((bytes(path),), "v" * 12, found.st_size, found.st_mtime)


@cache
def one_pass(path: Path) -> AnalyzedVideo:
    return analyze(task_of(path), RECIPE)


def in_pieces(path: Path, pieces: Sequence[Piece]) -> tuple[AnalyzedVideo | None, list[Passed]]:
    """The joined video, None where it is to be analysed as a whole; and what was done for it."""
    task = task_of(path)
    passes = [analyze_piece(task, RECIPE, piece) for piece in pieces]
    while isinstance(found := route([each.light() for each in passes]), Piece):
        passes.append(analyze_piece(task, RECIPE, found))
    if found is None:
        return None, passes
    return join(task, RECIPE, passes, found, lambda i: passes[i].shots), passes


def cut_at(path: Path, borders: Sequence[float]) -> tuple[Piece, ...]:
    with decode(path) as frames:
        return pieces_at(frames, borders)


def assert_same(found: AnalyzedVideo, wanted: AnalyzedVideo) -> None:
    """Rows are equal, pictures too, and vectors nearly."""
    ours, theirs = plain(found), plain(wanted)
    ours["video"].pop("indexed_at")
    theirs["video"].pop("indexed_at")
    assert ours["video"] == theirs["video"]
    assert len(ours["shots"]) == len(theirs["shots"])
    for mine, other in zip(ours["shots"], theirs["shots"], strict=True):
        alike(mine, other)


def plain(video: AnalyzedVideo) -> dict[str, Any]:
    return asdict(video)


def alike(a: Any, b: Any, name: str = "") -> None:
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            alike(a[key], b[key], key)
    elif isinstance(b, (list, tuple)):
        assert len(a) == len(b), name
        for one, other in zip(a, b, strict=True):
            alike(one, other, name)
    elif isinstance(b, np.ndarray):
        np.testing.assert_allclose(a, b, atol=VECTORS, err_msg=name)
    else:
        assert a == b, name


def variable(n: int) -> list[int]:
    """Ticks of 1 ms, 33 to 47 apart."""
    steps = np.random.default_rng(3).integers(33, 48, n)
    return [0, *np.cumsum(steps)[:-1].tolist()]


def plain_h264(folder: Path) -> Path:
    return shots_video(folder / "plain.mp4", gop=30)


def variable_rate(folder: Path) -> Path:
    n = round(sum(SHOTS_S) * 25)
    return shots_video(folder / "variable.mp4", pts=variable(n), tick=Fraction(1, 1000))


def two_by_two(folder: Path) -> Path:
    """50 frames/s: the detector looks at every second one."""
    return shots_video(folder / "fast.mkv", rate=Fraction(50), gop=45, size=(160, 90))


def late_start(folder: Path) -> Path:
    n = round(sum(SHOTS_S) * 25)
    return shots_video(folder / "late.mkv", pts=[137 + i for i in range(n)])


def open_gops(folder: Path) -> Path:
    options = {"x264-params": "open-gop=1:keyint=30:bframes=3:b-pyramid=2", "preset": "veryfast"}
    return shots_video(folder / "open.mp4", options=options, gop=30)


def open_hevc(folder: Path) -> Path:
    options = {"x265-params": "open-gop=1:keyint=40:log-level=none", "preset": "ultrafast"}
    return shots_video(folder / "hevc.mp4", codec="libx265", options=options, gop=40)


def transport_stream(folder: Path) -> Path:
    return shots_video(folder / "stream.ts", gop=25, audio=True)


def mpeg2_stream(folder: Path) -> Path:
    options = {"b": "2000000", "bf": "2"}
    return shots_video(folder / "mpeg2.ts", codec="mpeg2video", options=options, gop=15)


def no_keyframes_by_cuts(folder: Path) -> Path:
    options = {"x264-params": "scenecut=0:keyint=200:min-keyint=200", "preset": "ultrafast"}
    return shots_video(folder / "sparse.mp4", options=options, gop=200)


def one_take(folder: Path) -> Path:
    """A cut every while, and a take of half a minute in which nothing is cut."""
    return shots_video(folder / "take.mp4", (3.0, 2.0, 2.5, 30.0, 2.2, 1.8, 3.1, 2.4, 2.0))


def white_house(folder: Path) -> Path:
    return loop(CLIP, folder / "white-house.mp4", 40)


KINDS: tuple[Callable[[Path], Path], ...] = (
    plain_h264,
    variable_rate,
    two_by_two,
    late_start,
    open_gops,
    open_hevc,
    transport_stream,
    mpeg2_stream,
    no_keyframes_by_cuts,
    one_take,
    white_house,
)
QUICK = (plain_h264,)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Path]], Path]:
    folder = tmp_path_factory.mktemp("pieces")
    return cache(lambda kind: kind(folder))


def borders_of(video: AnalyzedVideo) -> st.SearchStrategy[list[float]]:
    """Anywhere; at cuts and just beside them; within dissolves."""
    cuts = [shot.start_s for shot in video.shots[1:]]
    near = st.tuples(st.sampled_from(cuts), st.floats(-0.5, 0.5)).map(sum)
    anywhere = st.floats(0.1, video.video.duration_s - 0.1)
    return st.lists(anywhere | near, min_size=1, max_size=4, unique=True).map(sorted)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=kind.__name__, marks=() if kind in QUICK else (pytest.mark.slow,))
        for kind in KINDS
    ],
)
def test_pieces_give_what_one_pass_gives(
    made: Callable[[Callable[[Path], Path]], Path], kind: Callable[[Path], Path]
) -> None:
    path = made(kind)
    wanted = one_pass(path)

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(borders=borders_of(wanted))
    def at(borders: list[float]) -> None:
        pieces = cut_at(path, borders)
        assert [piece.from_s for piece in pieces[1:]] == borders
        found, _ = in_pieces(path, pieces)
        assert found is not None
        assert_same(found, wanted)

    at()


@pytest.mark.slow
def test_a_border_to_which_only_the_beginning_leads_begins_there(
    made: Callable[[Callable[[Path], Path]], Path],
) -> None:
    path = made(mpeg2_stream)
    with decode(path) as frames:
        assert frames.key_before(0.3) is None  # seeking lands behind the only one
    pieces = cut_at(path, [8.3])
    assert [piece.lead_s for piece in pieces] == [None, 0.0]
    found, _ = in_pieces(path, pieces)
    assert found is not None
    assert_same(found, one_pass(path))


def test_where_a_piece_knows_too_little_the_one_before_goes_on_until_they_meet(
    made: Callable[[Callable[[Path], Path]], Path],
) -> None:
    path = made(plain_h264)
    first, second = cut_at(path, [8.0])
    found, passes = in_pieces(path, (first, replace(second, lead_s=7.5)))
    assert len(passes) == 3
    between = passes[2]
    assert between.legs
    assert between.stop is not None  # it met the second piece, and did not do all the rest
    assert found is not None
    assert_same(found, one_pass(path))


def test_what_nobody_can_join_is_left_to_one_pass(
    made: Callable[[Callable[[Path], Path]], Path],
) -> None:
    path = made(plain_h264)
    task = task_of(path)
    passes = [analyze_piece(task, RECIPE, piece) for piece in cut_at(path, [10.0])]
    assert isinstance(route(passes), tuple)
    lost = [passes[0], replace(passes[1], legs=())]
    for leads_further in (1, 2):
        asked = route(lost)
        assert isinstance(asked, Piece)
        assert asked.begins == {passes[0].stop and passes[0].stop.digest}
        lost.append(replace(lost[1], piece=asked))
        assert leads_further == len(lost) - 2
    assert route(lost) is None
    other = replace(passes[1], version=(1, 1))  # the file was changed between the two
    assert route([passes[0], other]) is None


def test_a_file_that_is_cut_off_is_told_to_be_so(tmp_path: Path) -> None:
    path = cut_off(shots_video(tmp_path / "cut.mkv", SHOTS_S[:9], size=(160, 90)), 0.7)
    wanted = one_pass(path)
    assert wanted.video.status == "partial"
    found, _ = in_pieces(path, cut_at(path, [9.0]))
    assert found is not None
    assert_same(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("at", [0.2, 0.34, 0.55, 0.65])
def test_damage_is_counted_once_wherever_it_lies(tmp_path: Path, at: float) -> None:
    path = shots_video(tmp_path / "damaged.mp4", gop=25)
    data = bytearray(path.read_bytes())
    start = int(len(data) * at)
    data[start : start + 30_000] = np.random.default_rng(1).bytes(30_000)
    path.write_bytes(data)
    settle(path)
    wanted = one_pass(path)
    assert wanted.video.error.startswith("is damaged: ")
    found, _ = in_pieces(path, cut_at(path, [15.0, 30.0]))
    assert found is not None
    assert_same(found, wanted)


def test_long_files_are_planned_in_equal_pieces(
    made: Callable[[Callable[[Path], Path]], Path],
) -> None:
    task = task_of(made(plain_h264))
    pieces = plan_pieces(task, RECIPE, 15.0)
    length_s = sum(SHOTS_S) / 3
    assert [piece.number for piece in pieces] == [0, 1, 2]
    assert [piece.from_s for piece in pieces] == pytest.approx([0, length_s, 2 * length_s], abs=0.1)
    assert [piece.until_s for piece in pieces] == [*(piece.from_s for piece in pieces[1:]), None]
    for piece in pieces[1:]:
        assert piece.lead_s is not None
        assert 8.0 <= piece.from_s - piece.lead_s <= 8.0 + 2.0  # a keyframe every 1.2 s


def test_what_cannot_be_cut_is_one_piece(
    tmp_path: Path, made: Callable[[Callable[[Path], Path]], Path]
) -> None:
    task = task_of(made(plain_h264))
    assert plan_pieces(task, RECIPE, 0.0) == ()
    assert plan_pieces(task, RECIPE, 40.0) == ()  # not long enough for two
    assert plan_pieces(task, replace(RECIPE, detector="content"), 15.0) == ()
    avi = encode(tmp_path / "a.avi", codec="mpeg4", n_frames=25 * 40, size=(160, 90))
    assert plan_pieces(task_of(avi), RECIPE, 10.0) == ()
    one_key = encode(tmp_path / "one-key.mp4", n_frames=25 * 100, gop=9999, size=(64, 48))
    assert plan_pieces(task_of(one_key), RECIPE, 30.0) == ()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing of a video")
    assert plan_pieces(task_of(broken), RECIPE, 10.0) == ()
