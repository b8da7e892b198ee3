"""A video that was analysed in pieces is what one pass over it gives, wherever the borders lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shot_videos import SHOTS_S, shots_video
from videos import loop

from vidsearch.analyze import analyze
from vidsearch.media import decode
from vidsearch.pieces import Passed, Piece, analyze_piece, join, pieces_at, route
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
